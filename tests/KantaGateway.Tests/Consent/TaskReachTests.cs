using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>What each task reaches, type by type, from the vector file (decree 457/2024 §5-9).</summary>
public sealed class TaskReachTests
{
    private static readonly JsonElement[] Vectors =
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "task-reach.json"))).RootElement.GetProperty("tasks").EnumerateArray()];

    public static TheoryData<string?, string?> Tasks
    {
        get
        {
            var tasks = new TheoryData<string?, string?>();
            foreach (var vector in Vectors)
                tasks.Add(vector.GetProperty("task").GetString(), ProfessionOf(vector));
            return tasks;
        }
    }

    [Theory, MemberData(nameof(Tasks))]
    public void A_task_reaches_exactly_the_types_of_its_section(string? task, string? profession)
    {
        var vector = Vectors.Single(v => v.GetProperty("task").GetString() == task && ProfessionOf(v) == profession);
        var (treating, inEmergency) = (Decided(task, profession, "TREAT"), Decided(task, profession, "ETREAT"));
        Assert.Equal(Types(vector, "own"), treating.Types);
        Assert.Equal(Types(vector, "own"), inEmergency.Types);
        Assert.Equal(Types(vector, "others"), OfOthers(treating));
        Assert.Equal(Types(vector, "emergency"), OfOthers(inEmergency));
        Assert.Null(inEmergency.FiltersOfOthers);
        var narrowed = treating.FiltersOfOthers is [var only] ? only : null;
        Assert.Equal(vector.TryGetProperty("documents", out _) ? ("DocumentReference", true) : default, narrowed is null ? default : (narrowed.Type, narrowed.Reads));
        Assert.Equal(vector.TryGetProperty("documents", out _) ? Types(vector, "documents") : null, narrowed?.AnyOf);
    }

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

    private static DisclosureScope Decided(string? task, string? profession, string purpose) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(
        ConsentWorld.Requester("professional", purpose) with { Tasks = task is null ? null : TaskClasses.Read(task)!.Value, Profession = profession },
        ConsentWorld.Interaction(InteractionKind.Search, task == "support" ? "Appointment" : "Observation"), ConsentWorld.Policy(["informed", "permit", "emergency"], open: true))).Scope;

    private static IEnumerable<string>? OfOthers(DisclosureScope scope) => scope.Breadth == Breadth.OwnRegister ? [] : scope.TypesOfOthers;

    private static string[]? Types(JsonElement vector, string list) =>
        vector.GetProperty(list) is { ValueKind: JsonValueKind.Array } types ? [.. types.EnumerateArray().Select(t => t.GetString()!)] : null;
}
