using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Consent;

/// <summary>The people and clinics that consent vectors speak of.</summary>
static class ConsentWorld
{
    public static readonly DateTimeOffset Now = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero);
    public static readonly Oid Revontuli = Oid.Parse("1.2.246.10.99000022");
    public static readonly Pseudonym Person = PseudonymOf("person");
    public const string OwnEvent = "1.2.246.10.99000022.14.2026.1";

    public static Pseudonym PseudonymOf(string name) => Pseudonym.Read(System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(name)));

    public static Requester Requester(string kind, string purpose = "TREAT", IReadOnlyList<string>? scopes = null, bool expired = false) => new()
    {
        Kind = kind switch { "system" => RequesterKind.System, "professional" => RequesterKind.Professional, _ => RequesterKind.Citizen },
        ClientId = "revontuli",
        Organisation = Revontuli,
        OrganisationName = "Revontuli Terveys Oy",
        ControllerKind = ControllerKind.Private,
        ProfessionalId = kind == "professional" ? "revontuli-laakari" : null,
        Self = kind switch { "citizen" => Person, "another citizen" => PseudonymOf("another"), _ => null },
        PurposeOfUse = purpose,
        TokenId = "t1",
        Scopes = SmartScope.ParseAll(scopes ?? ["system/*.cruds", "user/*.cruds", "patient/*.cruds"]),
        Expires = expired ? Now : Now.AddMinutes(5),
    };

    /// <summary>A declaration by its short name in the vectors; null stands for a Consent that nobody can read.</summary>
    public static Declaration? Declared(string name) => name switch
    {
        "informed" => new Informing("c1", "v1", Now.AddDays(-1), true, Informing.CurrentTextVersion),
        "informed-old" => new Informing("c1", "v1", Now.AddDays(-900), true, "2019-1"),
        "permit" => new DisclosurePermit("c2", "v1", Now.AddDays(-1), true),
        "permit-withdrawn" => new DisclosurePermit("c2", "v2", Now.AddDays(-1), false),
        "deny-all" => new DisclosureDenial("c3", "v1", Now.AddDays(-1), true, new DenialTarget.All()),
        "deny-all-withdrawn" => new DisclosureDenial("c3", "v2", Now.AddDays(-1), false, new DenialTarget.All()),
        "unreadable" => null,
        _ when name.StartsWith("deny-event:", StringComparison.Ordinal) =>
            new DisclosureDenial("c4", "v1", Now.AddDays(-1), true, new DenialTarget.OfServiceEvent(name["deny-event:".Length..])),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "not in the table above"),
    };

    public static PolicySnapshot Policy(IEnumerable<string> declared, bool open) => PolicySnapshot.Compile(7, declared.Select(Declared),
        open ? [new ServiceEvent(OwnEvent, Revontuli.ToString(), "in-progress", Now.AddHours(-1), null)] : []);

    public static Interaction Interaction(InteractionKind kind, string type, bool directory = false, string? serviceEvent = null, string? declares = null) => new()
    {
        Kind = kind,
        Type = type,
        Compartment = directory ? Pseudonym.Directory : Person,
        Needs = [(type, kind switch { InteractionKind.Create => 'c', InteractionKind.Update => 'u', InteractionKind.Delete => 'd', InteractionKind.Search => 's', _ => 'r' })],
        ServiceEvent = serviceEvent,
        Declares = declares is null ? null : Declared(declares),
    };

    /// <summary>Decides as the pipeline does: the relationship comes from the same policy.</summary>
    public static Decision Decide(Requester requester, Interaction interaction, PolicySnapshot policy) =>
        ConsentDecision.Decide(requester, interaction, policy, policy.RelationshipOf(requester.Organisation.ToString(), interaction.ServiceEvent, Now), Now);
}
