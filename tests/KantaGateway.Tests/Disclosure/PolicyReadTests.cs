using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Tests.Disclosure;

/// <summary>What the repository answers of a person, as decisions are made on it.</summary>
public sealed class PolicyReadTests
{
    private const string Two = """{"controller":"1.2.3","deceased":"2010-01-01","stored":"2009-01-01T10:00:00.000Z"},{"controller":"1.2.$","deceased":"2010-01-01","stored":"2009-01-01T10:00:00.000Z"}""";

    /// <summary>§24: all registers of one controller have one voice.</summary>
    [Theory]
    [InlineData("4", true)]
    [InlineData("3", false)]
    public void Each_record_of_a_person_says_whose_it_is(string other, bool isOver)
    {
        var person = Read(people: Two.Replace("$", other, StringComparison.Ordinal) + """,{"controller":"1.2.5"}""").Person;
        Assert.Equal(isOver, person.KeptUntil <= DateTimeOffset.UtcNow);
        Assert.Equal(new DateTimeOffset(2009, 12, 31, 22, 0, 0, TimeSpan.Zero), person.Deceased);
    }

    [Theory]
    [InlineData("""{"controller":"1.2.5","stored":"2026-01-01T10:00:00.000Z"}""", true)]
    [InlineData("""{"controller":"1.2.5","stored":"2026-01-01T10:00:00.000Z","alive":true}""", false)]
    public void Who_is_said_to_live_is_not_dead(string other, bool isDead)
    {
        var person = Read(people: $"{Two.Replace('$', '4')},{other}").Person;
        Assert.Equal(isDead, person.Deceased is not null);
        Assert.Null(person.KeptUntil);
    }

    /// <summary>Where its time cannot be read an event proves nothing: it has never come, or is over.</summary>
    [Theory]
    [InlineData("", true)]
    [InlineData(""","start":"2026-11-25","end":"2026-11-25" """, true)]
    [InlineData(""","start":"soon" """, false)]
    [InlineData(""","end":"soon" """, false)]
    [InlineData(""","end":"2026-11-24" """, false)]
    public void A_service_event_proves_treatment_within_what_it_states(string times, bool proves)
    {
        var policy = Read(events: $$"""{"kind":"Encounter","oid":"1.2.3.14.1","controller":"1.2.3","register":"2","services":2,"unit":"1.2.3.7","stored":"2026-11-20T10:00:00.000Z","status":"in-progress"{{times}}}""");
        var relationship = policy.RelationshipOf("1.2.3", null, new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero), "1.2.3.7");
        Assert.Equal(proves, relationship is not null);
        if (proves)
            Assert.Equal(("1.2.3.14.1", Register.Patient, (ProtectedService)2), (relationship!.ServiceEvent, relationship.Register, relationship.Services));
    }

    private static PolicySnapshot Read(string people = "", string events = "")
    {
        using var answer = JsonDocument.Parse($$"""{"version":7,"consents":[],"order":[],"serviceEvents":[{{events}}],"people":[{{people}}]}""");
        var policy = PolicyLookup.Compile(answer.RootElement);
        Assert.Equal(7, policy.Version);
        return policy;
    }
}
