using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Tests.Consent;

namespace KantaGateway.Tests.Identification;

/// <summary>Decree 457/2024 §3-9, from the vector file.</summary>
public sealed class TaskClassesTests
{
    private static readonly JsonElement Vectors =
        JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "task-classes.json"))).RootElement;

    private static readonly string[] All = [.. Vectors.GetProperty("tasks").EnumerateArray().Select(t => t.GetProperty("name").GetString()!)];

    public static TheoryData<string> Professions => [.. Vectors.GetProperty("professions").EnumerateArray().Select(p => p.GetProperty("profession").GetString()!)];
    public static TheoryData<string> Tasks => [.. All];

    [Theory, MemberData(nameof(Professions))]
    public void A_profession_permits_its_tasks_and_no_others(string profession)
    {
        var vector = Vectors.GetProperty("professions").EnumerateArray().Single(p => p.GetProperty("profession").GetString() == profession);
        var most = TaskClasses.Of(profession);
        Assert.Equal(vector.GetProperty("most").GetString(), most is { } task ? TaskClasses.NameOf(task) : null);
        if (most is not { } widest)
            return;
        Assert.Equal(widest, TaskClasses.Narrow(widest, null));
        Assert.Equal(vector.GetProperty("permits").EnumerateArray().Select(p => p.GetString()), All.Where(name => TaskClasses.Narrow(widest, name) is not null));
        Assert.Null(TaskClasses.Narrow(widest, "everything"));
    }

    [Fact]
    public void Every_task_of_the_decree_is_there_and_can_be_read()
    {
        Assert.Equal(Enum.GetValues<TaskClass>().Select(TaskClasses.NameOf), All);
        Assert.All(All, name => Assert.Equal(name, TaskClasses.NameOf(TaskClasses.Read(name)!.Value)));
        Assert.Null(TaskClasses.Read("BroadCare"));
    }

    [Theory, MemberData(nameof(Tasks))]
    public void What_others_recorded_is_reached_by_the_tasks_that_the_decree_gives_it_to(string name)
    {
        var others = Vectors.GetProperty("tasks").EnumerateArray().Single(t => t.GetProperty("name").GetString() == name).GetProperty("others").GetBoolean();
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(
            ConsentWorld.Requester("professional") with { Tasks = TaskClasses.Read(name) },
            ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy(["informed", "permit"], open: true)));
        Assert.Equal(others ? Breadth.Disclosed : Breadth.OwnRegister, permit.Scope.Breadth);
        Assert.Equal(!others, permit.Rules.Contains(Rule.TaskTooNarrow));
    }
}
