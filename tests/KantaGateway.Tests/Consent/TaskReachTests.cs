using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>What each task reaches, type by type, from the vector file (decree 457/2024 §5-9).</summary>
public sealed class TaskReachTests
{
    private static readonly JsonElement File = JsonDocument.Parse(System.IO.File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "task-reach.json"))).RootElement;

    private static readonly JsonElement[] Vectors = [.. File.GetProperty("tasks").EnumerateArray()];

    public static TheoryData<int> Rows => [.. Enumerable.Range(0, Vectors.Length)];

    [Theory, MemberData(nameof(Rows))]
    public void A_task_reaches_exactly_the_types_of_its_section(int row)
    {
        var vector = Vectors[row];
        var (task, profession) = (vector.GetProperty("task").GetString(), ProfessionOf(vector));
        var services = vector.TryGetProperty("services", out var points) ? HealthServicePoints.Of([.. points.EnumerateArray().Select(p => p.GetInt32())]) : HealthServices.Reception;
        var (treating, inEmergency, alone) = (Decided(task, profession, "TREAT", services), Decided(task, profession, "ETREAT", services), Decided(task, profession, "TREAT", services, []));
        Assert.Equal(Types(vector, "own"), treating.Types);
        Assert.Equal(Types(vector, "own"), inEmergency.Types);
        Assert.Equal(Types(vector, "others"), OfOthers(treating));
        Assert.Equal(Types(vector, "emergency"), OfOthers(inEmergency));
        Assert.Equal(Narrowed(vector, "documents"), Narrowed(treating.FiltersOfOthers));
        Assert.Null(inEmergency.FiltersOfOthers);
        foreach (var scope in (DisclosureScope[])[treating, inEmergency, alone])
            Assert.Equal(OwnDocuments(vector), scope.FiltersOfOwn?.Select(f => (f.Type, f.Reads, string.Join('\n', f.AnyOf))));
    }

    public static TheoryData<int> Settings => [.. Enumerable.Range(0, File.GetProperty("settings").GetArrayLength())];

    /// <summary>Decree 457/2024 §6: a code that is no speciality is the house's own.</summary>
    [Theory, MemberData(nameof(Settings))]
    public void Of_the_own_register_a_limited_task_misses_what_is_of_another_speciality(int row)
    {
        var vector = File.GetProperty("settings")[row];
        CodeableConcept named = new() { Coding = [.. vector.GetProperty("settings").EnumerateArray().Select(s => s.GetString()!.Split('|')).Select(token => new Coding(token[0], token[1]))] };
        var entry = Indexer.Build(new() { Type = "DocumentReference", ResourceSequence = 1, RowSequence = 1, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch },
            new DocumentReference { Context = new() { PracticeSetting = named.Coding.Count == 0 ? null : named } });
        var scope = Decided("limited-care", ProfessionOf(vector), "TREAT", HealthServicePoints.Of([.. vector.GetProperty("services").EnumerateArray().Select(p => p.GetInt32())]));
        Assert.Equal(vector.GetProperty("shown").GetBoolean(), scope.Passes("DocumentReference", entry, isOwn: true));
    }

    /// <summary>One row of the decree: what it gives a task in a service, and that is what it has everywhere it has any.</summary>
    [Theory]
    [InlineData("broad-care")]
    [InlineData("limited-care")]
    [InlineData("support")]
    [InlineData("medication")]
    [InlineData("administration")]
    public void A_task_has_what_the_decree_gives_it_in_a_service_and_elsewhere_the_basics(string task)
    {
        int[] gives = [.. File.GetProperty("gives").GetProperty(task).EnumerateArray().Select(p => p.GetInt32())];
        // What it has where it is given nothing it has everywhere.
        if (File.GetProperty("basics").TryGetProperty(task, out var basics) && Decided(task, null, "TREAT", HealthServicePoints.Of([gives[0]])).Types is { } most)
            Assert.Empty(basics.EnumerateArray().Select(t => t.GetString()!).Except(most));
        foreach (var purpose in new[] { "TREAT", "ETREAT" })
        {
            var given = Decided(task, null, purpose, HealthServicePoints.Of([gives[0]]));
            foreach (var point in HealthServicePoints.All)
            {
                // Of two services what any of them gives.
                var (alone, with) = (Decided(task, null, purpose, HealthServicePoints.Of([point])), Decided(task, null, purpose, HealthServicePoints.Of([point, gives[0]])));
                Assert.Equal((point, given.Breadth), (point, with.Breadth));
                Assert.Equal(given.Types, with.Types);
                if (gives.Contains(point))
                    Assert.Equal((point, given.Breadth, Joined(given.Types), Joined(given.TypesOfOthers)), (point, alone.Breadth, Joined(alone.Types), Joined(alone.TypesOfOthers)));
                else
                    Assert.Equal((point, Breadth.OwnRegister, Joined(File.GetProperty("basics").GetProperty(task).EnumerateArray().Select(t => t.GetString()!))), (point, alone.Breadth, Joined(alone.Types)));
            }
        }
    }

    [Fact]
    public void A_task_in_a_service_that_gives_it_nothing_writes_bookings_and_no_notes()
    {
        var requester = ConsentWorld.Requester("professional") with { Tasks = TaskClass.BroadCare, Services = HealthServices.ScreeningAndVaccination };
        Decision written(string type) => ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Create, type), ConsentWorld.Policy(["informed", "permit"], open: true));
        Assert.IsType<Decision.Permit>(written("Appointment"));
        foreach (var type in (string[])["Observation", "DocumentReference", "Encounter"])
            Assert.Equal(DenyReason.TaskTooNarrow, Assert.IsType<Decision.Deny>(written(type)).Reason);
        // §10: the use is logged, whoever it is; and logged use is not read by it.
        Assert.IsType<Decision.Permit>(written("AuditEvent"));
        Assert.DoesNotContain("AuditEvent", Decided("broad-care", null, "TREAT", HealthServices.ScreeningAndVaccination).Types!);
        Assert.Equal(DenyReason.TaskTooNarrow, Assert.IsType<Decision.Deny>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Update, "AuditEvent"), PolicySnapshot.Empty)).Reason);
    }

    [Fact]
    public void Each_search_that_narrows_can_be_held_against_an_entry() =>
        Assert.All(Vectors.SelectMany(v => (Narrowed(v, "documents") ?? []).Concat((OwnDocuments(v) ?? []).SelectMany(f => f.AnyOf.Split('\n')))), query => Assert.Null(ScopeFilter.Explain("DocumentReference", query)));

    [Fact]
    public void Every_type_of_a_task_is_served()
    {
        foreach (var vector in Vectors)
            foreach (var list in new[] { "own", "others", "emergency" })
                Assert.All(Types(vector, list) ?? [], type => Assert.True(ResourceTypes.IsServed(type), type));
    }

    /// <summary>A system is no professional: what it keeps is bounded by its token alone.</summary>
    [Fact]
    public void A_system_has_no_task()
    {
        var requester = ConsentWorld.Requester("system") with { Tasks = TaskClass.Support };
        Assert.Null(Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), PolicySnapshot.Empty)).Scope.Types);
    }

    [Fact]
    public void The_token_bounds_the_task()
    {
        var requester = ConsentWorld.Requester("professional", scopes: ["user/Observation.s", "user/Specimen.s", "user/Appointment.s"]) with { Tasks = TaskClass.Support };
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Specimen"), PolicySnapshot.Empty));
        Assert.Equal(["Appointment", "Specimen"], permit.Scope.Types);
        // One token, another task: the one does not answer for the other.
        Assert.Equal(["Appointment", "Observation", "Specimen"], Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester with { Tasks = TaskClass.BroadCare },
            ConsentWorld.Interaction(InteractionKind.Search, "Specimen"), PolicySnapshot.Empty)).Scope.Types);
    }

    private static string? ProfessionOf(JsonElement vector) => vector.TryGetProperty("profession", out var profession) ? profession.GetString() : null;

    private static DisclosureScope Decided(string? task, string? profession, string purpose, HealthServices services, string[]? declared = null) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(
        ConsentWorld.Requester("professional", purpose) with { Tasks = task is null ? null : TaskClasses.Read(task)!.Value, Profession = profession, Services = services },
        ConsentWorld.Interaction(InteractionKind.Search, "Patient"), ConsentWorld.Policy(declared ?? ["informed", "permit", "emergency"], open: true))).Scope;

    private static string[]? Narrowed(JsonElement vector, string list) => vector.TryGetProperty(list, out var queries) ? [.. queries.EnumerateArray().Select(q => q.GetString()!)] : null;

    private static IEnumerable<(string Type, bool Reads, string AnyOf)>? OwnDocuments(JsonElement vector) => vector.TryGetProperty("ownDocuments", out var filters)
        ? filters.EnumerateArray().Select(f => ("DocumentReference", true, string.Join('\n', f.EnumerateArray().Select(q => q.GetString())))) : null;

    private static IEnumerable<string>? Narrowed(IReadOnlyList<ScopeFilter>? filters)
    {
        if (filters is null)
            return null;
        var only = Assert.Single(filters);
        Assert.Equal(("DocumentReference", true), (only.Type, only.Reads));
        return only.AnyOf;
    }

    private static string? Joined(IEnumerable<string>? types) => types is null ? null : string.Join(' ', types);

    private static IEnumerable<string>? OfOthers(DisclosureScope scope) => scope.Breadth == Breadth.OwnRegister ? [] : scope.TypesOfOthers;

    private static string[]? Types(JsonElement vector, string list) =>
        vector.GetProperty(list) is { ValueKind: JsonValueKind.Array } types ? [.. types.EnumerateArray().Select(t => t.GetString()!)] : null;
}
