using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Consent;

/// <summary>What is recorded at a desk for the person (Act 703/2023 §58), and what professionals record of their own access (§26.2, §54.2).</summary>
public class DeskDeclarationsTests
{
    private const string PatientId = "0b0a55d2-799a-45f5-a161-6a4a5faad1f8", EmergencyId = "4f6c0b3e-1111-4000-8000-0000000000e1";
    private const string Me = "revontuli-laakari", Unit = "1.2.246.10.99000022.10.1", OtherUnit = "1.2.246.10.99000022.10.2";
    private static readonly string Own = ConsentWorld.Revontuli.ToString();
    private static readonly DateTimeOffset Now = ConsentWorld.Now;

    private static readonly DisclosurePermit Permit = new() { At = Now, RecordedBy = Own, IsSigned = true };

    [Theory]
    [InlineData("system")]
    [InlineData("professional")]
    public void A_signed_permission_of_a_person_who_is_treated_there_is_recorded(string kind) =>
        Assert.Contains(Rule.DeskDeclares, Assert.IsType<Decision.Permit>(Decide(kind, Permit)).Rules);

    [Fact]
    public void Its_grant_stores_the_declaration_and_shows_nothing_of_others()
    {
        var scope = Assert.IsType<Decision.Permit>(Decide("system", Permit)).Scope;
        Assert.Equal((true, Breadth.OwnRegister, Own), (scope.MayDeclare, scope.Breadth, scope.Controller));
    }

    [Fact]
    public void Without_a_signed_form_nothing_is_recorded_but_the_informing()
    {
        Assert.Equal(DenyReason.UnsignedDeclaration, Reason("system", Permit with { IsSigned = false }));
        Assert.Equal(DenyReason.UnsignedDeclaration, Reason("system", new DisclosureDenial { At = Now, RecordedBy = Own, Target = new DenialTarget.All() }));
        Assert.IsType<Decision.Permit>(Decide("system", new Informing { At = Now, RecordedBy = Own, TextVersion = Informing.CurrentTextVersion }));
    }

    [Fact]
    public void What_another_organisation_recorded_or_nobody_is_not_taken_from_this_one()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Permit with { RecordedBy = "1.2.246.10.99000011" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Permit with { RecordedBy = null }));
    }

    [Fact]
    public void A_permission_and_an_informing_need_the_person_to_be_treated_there()
    {
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", Permit, open: false));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("system", new Informing { At = Now, RecordedBy = Own, TextVersion = Informing.CurrentTextVersion }, open: false));
    }

    [Fact]
    public void A_denial_and_a_withdrawal_are_taken_from_whoever_comes_to_the_desk()
    {
        Assert.IsType<Decision.Permit>(Decide("system", new DisclosureDenial { At = Now, RecordedBy = Own, IsSigned = true, Target = new DenialTarget.All() }, open: false));
        Assert.IsType<Decision.Permit>(Decide("system", Permit with { IsActive = false }, open: false, declared: []));
    }

    [Fact]
    public void Permissions_and_denials_rest_on_informing_at_the_desk_too()
    {
        Assert.Equal(DenyReason.NotInformed, Reason("system", Permit, declared: []));
        Assert.Equal(DenyReason.NotInformed, Reason("system", Permit, declared: ["informed-old"]));
    }

    [Fact]
    public void A_declaration_of_tomorrow_or_one_that_ends_before_it_begins_is_refused()
    {
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { At = Now.AddMinutes(6) }));
        Assert.Equal(DenyReason.WrongTime, Reason("system", Permit with { Until = Now }));
        Assert.Equal(DenyReason.WrongTime, Reason("citizen", new DisclosurePermit { At = Now.AddDays(1) }));
        Assert.IsType<Decision.Permit>(Decide("system", Permit with { At = Now.AddMinutes(4) }));
    }

    [Theory]
    [InlineData(ControllerKind.Public, false, null)]
    [InlineData(ControllerKind.Private, false, DenyReason.PrivateProviderIsNoScope)]
    [InlineData(ControllerKind.Independent, false, DenyReason.PrivateProviderIsNoScope)]
    [InlineData(ControllerKind.Occupational, false, DenyReason.PrivateProviderIsNoScope)]
    [InlineData(ControllerKind.Occupational, true, null)]
    [InlineData(ControllerKind.Public, true, DenyReason.PrivateProviderIsNoScope)]
    [InlineData(null, false, DenyReason.UnknownRegister)]
    public void Only_public_and_occupational_registers_can_be_denied(ControllerKind? kind, bool isOccupational, DenyReason? refused)
    {
        var denial = new DisclosureDenial { At = Now, Target = new DenialTarget.OfRegister("1.2.246.10.99000033", isOccupational ? Register.Occupational("1.2.246.10.99000055") : Register.Patient) };
        var interaction = ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: denial) with { DeniedController = kind };
        var decision = ConsentWorld.Decide(ConsentWorld.Requester("citizen"), interaction, ConsentWorld.Policy(["informed"], open: false));
        Assert.Equal(refused, (decision as Decision.Deny)?.Reason);
    }

    [Fact]
    public void A_clinic_changes_no_declaration_that_is_stored()
    {
        foreach (var kind in new[] { InteractionKind.Update, InteractionKind.Patch, InteractionKind.Delete })
            Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Permit, kind: kind));
    }

    // :: Confirmations

    private static readonly ProtectedConfirmation Confirmation = new()
    { At = Now, Until = Now.AddHours(8), Professional = Me, Organisation = Own, Purpose = "TREAT", Services = ProtectedService.Psychiatry };

    [Fact]
    public void A_professional_confirms_the_own_need_for_some_hours()
    {
        Assert.Contains(Rule.RecordsAccess, Assert.IsType<Decision.Permit>(Decide("professional", Confirmation)).Rules);
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Until = Now.AddHours(8).AddTicks(1) }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Until = null }));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Confirmation with { Purpose = "ETREAT" }));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("professional", Confirmation, open: false));
    }

    [Fact]
    public void Nobody_confirms_for_another()
    {
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Confirmation with { Professional = "another" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("professional", Confirmation with { Organisation = "1.2.246.10.99000011" }));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("system", Confirmation));
        Assert.Equal(DenyReason.DeclarationByAnother, Reason("citizen", Confirmation));
    }

    // :: Emergencies and their review

    private static readonly EmergencyAccess Emergency = new()
    { Id = "", At = Now, Until = Now.AddMinutes(30), Professional = Me, Organisation = Own, Unit = Unit, Reason = EmergencyReason.CannotBeAsked };

    private static readonly EmergencyReview Review = new()
    { At = Now, Professional = "reviewer", Organisation = Own, Unit = OtherUnit, Emergency = EmergencyId, IsJustified = true };

    [Fact]
    public void An_emergency_is_recorded_for_minutes_with_a_token_of_that_purpose()
    {
        Assert.IsType<Decision.Permit>(Decide("professional", Emergency, purpose: "ETREAT", declared: []));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency, purpose: "TREAT"));
        Assert.Equal(DenyReason.RecordTooWide, Reason("professional", Emergency with { Until = Now.AddMinutes(31) }, purpose: "ETREAT"));
        Assert.Equal(DenyReason.NoOpenServiceEvent, Reason("professional", Emergency, purpose: "ETREAT", open: false));
        Assert.Equal(DenyReason.EmergenciesRest, Reason("professional", Emergency, purpose: "ETREAT", declared: ["emergency-unsettled"]));
    }

    [Fact]
    public void A_reviewer_of_another_unit_settles_an_emergency_once()
    {
        Assert.Contains(Rule.ReviewsEmergency, Assert.IsType<Decision.Permit>(DecideReview(Review)).Rules);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Emergency = PatientId }) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review, settled: true) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Unit = Unit }, unit: Unit) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Unit = OtherUnit }, unit: Unit) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review, unit: null) as Decision.Deny)?.Reason);
        Assert.Equal(DenyReason.NoReview, (DecideReview(Review with { Professional = Me }, who: Me) as Decision.Deny)?.Reason);
    }

    private static Decision DecideReview(EmergencyReview review, string who = "reviewer", string? unit = OtherUnit, bool settled = false)
    {
        var stored = Emergency with { Id = EmergencyId, At = Now.AddDays(-1), Until = Now.AddDays(-1).AddMinutes(20) };
        Declaration[] declared = settled ? [stored, Review with { At = Now.AddHours(-1) }] : [stored];
        return ConsentWorld.Decide(ConsentWorld.Requester("professional") with { ProfessionalId = who, Unit = unit },
            ConsentWorld.InteractionOf(InteractionKind.Create, "Consent", declares: review), PolicySnapshot.Compile(7, declared, []));
    }

    [Fact]
    public void Only_the_person_acknowledges_the_notice_of_an_emergency()
    {
        var read = new Acknowledgement { At = Now, Emergency = EmergencyId };
        Assert.IsType<Decision.Permit>(Decide("citizen", read, declared: []));
        foreach (var other in (string[])["system", "professional"])
            Assert.Equal(DenyReason.DeclarationByAnother, Reason(other, read with { RecordedBy = Own, IsSigned = true }));
    }

    // :: The FHIR form

    [Fact]
    public void Each_kind_is_valid_FHIR_and_read_back_as_it_was()
    {
        (byte[] Consent, Declaration Expected)[] kinds =
        [
            (Declarations.Confirmation(PatientId, Confirmation), Confirmation),
            (Declarations.Confirmation(PatientId, Confirmation with { Services = (ProtectedService)255, Unit = Unit }), Confirmation with { Services = (ProtectedService)255, Unit = Unit }),
            (Declarations.Emergency(PatientId, Emergency, "Löytynyt tajuttomana."), Emergency),
            (Declarations.Review(PatientId, Review with { IsJustified = false }), Review with { IsJustified = false, IsSigned = true }),
            (Declarations.Acknowledged(PatientId, EmergencyId, Now), new Acknowledgement { At = Now, Emergency = EmergencyId, IsSigned = true }),
            (Declarations.Denial(PatientId, new DenialTarget.OfPrescription(EmergencyId), Now, allowsEmergency: true), new DisclosureDenial { At = Now, Target = new DenialTarget.OfPrescription(EmergencyId), AllowsEmergency = true }),
            (Declarations.Denial(PatientId, new DenialTarget.OfRegister("1.2.246.10.99000033", Register.Patient), Now), new DisclosureDenial { At = Now, Target = new DenialTarget.OfRegister("1.2.246.10.99000033", Register.Patient) }),
            (Declarations.Denial(PatientId, new DenialTarget.OfRegister("1.2.246.10.99000044", Register.Occupational("1.2.246.10.99000055")), Now), new DisclosureDenial { At = Now, Target = new DenialTarget.OfRegister("1.2.246.10.99000044", Register.Occupational("1.2.246.10.99000055")) }),
        ];
        foreach (var (consent, expected) in kinds)
        {
            var (resource, fault) = ResourceParser.Parse(consent);
            Assert.True(resource is not null, fault?.ToString());
            using var document = JsonDocument.Parse(consent);
            var read = Declarations.Read(document.RootElement)!;
            Assert.Equal(expected, read with { From = null, RecordedBy = null });
        }
    }

    public static TheoryData<string, Action<JsonNode>> NoEmergencies => new()
    {
        { "no reason", c => c.AsObject().Remove("extension") },
        { "an unknown reason", c => c["extension"]![0]!["valueCodeableConcept"]!["coding"]![0]!["code"] = "curious" },
        { "no words", c => c["extension"]![0]!["valueCodeableConcept"]!["text"] = "  " },
        { "another purpose", c => c["provision"]!["purpose"]![0]!["code"] = "TREAT" },
        { "nobody", c => c["provision"]!.AsObject().Remove("actor") },
        { "two people", c => c["provision"]!["actor"]!.AsArray().Add(c["provision"]!["actor"]![0]!.DeepClone()) },
        { "no organisation", c => c.AsObject().Remove("organization") },
    };

    [Theory, MemberData(nameof(NoEmergencies))]
    public void An_emergency_without_its_parts_is_none(string what, Action<JsonNode> change)
    {
        Assert.NotEmpty(what);
        var consent = JsonNode.Parse(Declarations.Emergency(PatientId, Emergency, "Löytynyt tajuttomana."))!;
        change(consent);
        using var document = JsonDocument.Parse(consent.ToJsonString());
        Assert.Null(Declarations.Read(document.RootElement));
    }

    private static DenyReason? Reason(string requester, Declaration declares, bool open = true, string purpose = "TREAT", string[]? declared = null, InteractionKind kind = InteractionKind.Create) =>
        (Decide(requester, declares, open, purpose, declared, kind) as Decision.Deny)?.Reason;

    private static Decision Decide(string kind, Declaration declares, bool open = true, string purpose = "TREAT", string[]? declared = null, InteractionKind interaction = InteractionKind.Create) =>
        ConsentWorld.Decide(ConsentWorld.Requester(kind, kind == "citizen" ? "PATRQT" : purpose) with { Unit = kind == "professional" ? Unit : null },
            ConsentWorld.InteractionOf(interaction, "Consent", declares: declares) with { Needs = [("Consent", 'c')] },
            ConsentWorld.Policy(declared ?? ["informed"], open));
}
