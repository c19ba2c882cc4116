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

    public static TheoryData<string?> Tasks => [.. Vectors.Select(v => v.GetProperty("task").GetString())];

    [Theory, MemberData(nameof(Tasks))]
    public void A_task_reaches_exactly_the_types_of_its_section(string? task)
    {
        var vector = Vectors.Single(v => v.GetProperty("task").GetString() == task);
        Assert.Equal(Types(vector, "own"), Decided(task, "TREAT").Types);
        Assert.Equal(Types(vector, "own"), Decided(task, "ETREAT").Types);
        Assert.Equal(Types(vector, "others"), OfOthers(Decided(task, "TREAT")));
        Assert.Equal(Types(vector, "emergency"), OfOthers(Decided(task, "ETREAT")));
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

    private static DisclosureScope Decided(string? task, string purpose) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(
        ConsentWorld.Requester("professional", purpose) with { Tasks = task is null ? null : TaskClasses.Read(task)!.Value },
        ConsentWorld.Interaction(InteractionKind.Search, task == "support" ? "Appointment" : "Observation"), ConsentWorld.Policy(["informed", "permit", "emergency"], open: true))).Scope;

    private static IEnumerable<string>? OfOthers(DisclosureScope scope) => scope.Breadth == Breadth.OwnRegister ? [] : scope.TypesOfOthers;

    private static string[]? Types(JsonElement vector, string list) =>
        vector.GetProperty(list) is { ValueKind: JsonValueKind.Array } types ? [.. types.EnumerateArray().Select(t => t.GetString()!)] : null;
}
