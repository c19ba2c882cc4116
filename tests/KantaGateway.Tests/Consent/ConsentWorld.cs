using System.Text;
using KantaGateway.Fhir.Grants;
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
    /// <remarks><c>form:</c> before it: typed in at a desk, from a form of three days ago; <c>@2</c> after it: stored second, hours ago. What says no place is stored last.</remarks>
    public static Declaration? Declared(string name) => name switch
    {
        _ when name.Split('@') is [var its, var place] && int.Parse(place, System.Globalization.CultureInfo.InvariantCulture) is var order =>
            Declared(its)! with { Order = order, StoredAt = Now.AddHours(order - 20) },
        _ when name.StartsWith("form:", StringComparison.Ordinal) => Declared(name["form:".Length..])! with { At = Now.AddDays(-3), RecordedBy = Revontuli.ToString() },
        "informed" => new Informing { Id = "c1", VersionId = "v1", At = Now.AddDays(-2), TextVersion = Informing.CurrentTextVersion },
        "informed-old" => new Informing { Id = "c1", VersionId = "v1", At = Now.AddDays(-900), TextVersion = "2019-1" },
        "informed-withdrawn" => new Informing { Id = "c1", VersionId = "v2", At = Now.AddDays(-2), TextVersion = Informing.CurrentTextVersion, IsActive = false },
        "permit" => new DisclosurePermit { Id = "c2", VersionId = "v1", At = Now.AddDays(-1) },
        "permit-withdrawn" => new DisclosurePermit { Id = "c2", VersionId = "v2", At = Now.AddDays(-1), IsActive = false },
        "permit-expired" => new DisclosurePermit { Id = "c2", VersionId = "v2", At = Now.AddDays(-1), Until = Now },
        "permit-later" => new DisclosurePermit { Id = "c2", VersionId = "v2", At = Now.AddDays(-1), From = Now.AddTicks(1) },
        "permit-by-custodian" => new DisclosurePermit { Id = "c4", VersionId = "v1", At = Now.AddHours(-1), ByCustodian = true },
        "permit-at-desk" => new DisclosurePermit { Id = "", At = Now, RecordedBy = Revontuli.ToString(), IsSigned = true },
        "deny-all" => Denial(new DenialTarget.All()),
        "deny-all-but-emergency" => Denial(new DenialTarget.All()) with { AllowsEmergency = true },
        "deny-all-withdrawn" => Denial(new DenialTarget.All()) with { IsActive = false },
        "deny-all-expired" => Denial(new DenialTarget.All()) with { Until = Now },
        "disputed" => new AccessRestriction { Id = "d1", VersionId = "v1", At = Now.AddHours(-1), Organisation = Revontuli.ToString(), Unit = "1.2.246.10.99000022.10.1", Entry = 7 },
        "disputed-taken-back" => Declared("disputed")! with { VersionId = "v2", IsActive = false },
        "unreadable" => null,
        "emergency" => Emergency,
        "emergency-over" => Emergency with { Until = Now },
        "emergency-of-another" => Emergency with { Professional = "another" },
        "emergency-unsettled" => Emergency with { Id = "e0", At = Now - EmergencyAccess.ReviewedWithin, Until = Now.AddDays(-2) },
        "emergency-settled" => new EmergencyReview { Id = "r1", At = Now.AddDays(-1), Professional = "reviewer", Organisation = Revontuli.ToString(), Unit = "1.2.246.10.99000022.10.2", Emergency = "e0", IsJustified = true },
        "emergency-unjustified" => new EmergencyReview { Id = "r1", At = Now.AddDays(-1), Professional = "reviewer", Organisation = Revontuli.ToString(), Unit = "1.2.246.10.99000022.10.2", Emergency = "e1", IsJustified = false },
        "confirmed" => Confirmed,
        "confirmed-over" => Confirmed with { Until = Now },
        "confirmed-by-another" => Confirmed with { Professional = "another" },
        "confirmed-for-another-purpose" => Confirmed with { Purpose = "ETREAT" },
        _ when name.Contains("-but-emergency:", StringComparison.Ordinal) =>
            (DisclosureDenial)Declared(name.Replace("-but-emergency:", ":", StringComparison.Ordinal))! with { AllowsEmergency = true },
        _ when name.StartsWith("deny-event:", StringComparison.Ordinal) => Denial(new DenialTarget.OfServiceEvent(name["deny-event:".Length..])),
        _ when name.StartsWith("deny-register:", StringComparison.Ordinal) => Denial(new DenialTarget.OfRegister(name["deny-register:".Length..], Register.Patient)),
        _ when name.StartsWith("deny-occupational:", StringComparison.Ordinal) && name.Split(':') is [_, var keeper, var employer] =>
            Denial(new DenialTarget.OfRegister(keeper, Register.Occupational(employer))),
        _ when name.StartsWith("deny-prescription:", StringComparison.Ordinal) => Denial(new DenialTarget.OfPrescription(name["deny-prescription:".Length..])),
        _ => throw new ArgumentOutOfRangeException(nameof(name), name, "not in the table above"),
    };

    private static readonly EmergencyAccess Emergency = new()
    {
        Id = "e1", At = Now.AddMinutes(-5), Until = Now.AddMinutes(25), Professional = "revontuli-laakari", Organisation = Revontuli.ToString(),
        Unit = "1.2.246.10.99000022.10.1", Reason = EmergencyReason.CannotBeAsked,
    };

    private static readonly ProtectedConfirmation Confirmed = new()
    {
        Id = "p1", At = Now.AddMinutes(-5), From = Now.AddHours(-1), Until = Now.AddHours(1), Professional = "revontuli-laakari", Organisation = Revontuli.ToString(),
        Purpose = "TREAT", Services = ProtectedService.Psychiatry,
    };

    private static DisclosureDenial Denial(DenialTarget target) => new() { Id = "c3", VersionId = "v1", At = Now.AddDays(-1), Target = target };

    public static PolicySnapshot Policy(IEnumerable<string> declared, bool open, ProtectedService services = ProtectedService.None, PersonFacts? person = null, string register = Register.Patient, DateTimeOffset? stored = null) =>
        PolicySnapshot.Compile(7, declared.Select(Declared),
            open ? [new ServiceEvent(OwnEvent, Revontuli.ToString(), "in-progress", Now.AddHours(-1), null) { Services = services, Register = register, StoredAt = stored }] : [], person);

    public static Interaction Interaction(InteractionKind kind, string type, bool directory = false, string? serviceEvent = null, string? declares = null) =>
        InteractionOf(kind, type, directory, serviceEvent, declares is null ? null : Declared(declares));

    public static Interaction InteractionOf(InteractionKind kind, string type, bool directory = false, string? serviceEvent = null, Declaration? declares = null) => new()
    {
        Kind = kind,
        Type = type,
        Compartment = directory ? Pseudonym.Directory : Person,
        Needs = [(type, kind switch { InteractionKind.Create => 'c', InteractionKind.Update => 'u', InteractionKind.Delete => 'd', InteractionKind.Search => 's', _ => 'r' })],
        ServiceEvent = serviceEvent,
        Declares = declares,
    };

    /// <summary>Decides as the pipeline does: the relationship comes from the same policy.</summary>
    public static Decision Decide(Requester requester, Interaction interaction, PolicySnapshot policy) =>
        ConsentDecision.Decide(requester, interaction, policy, policy.RelationshipOf(requester.Organisation.ToString(), interaction.ServiceEvent, Now), Now);
}
