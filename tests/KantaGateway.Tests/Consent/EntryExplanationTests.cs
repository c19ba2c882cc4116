using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;
using static KantaGateway.Tests.Consent.ConsentModel;

namespace KantaGateway.Tests.Consent;

/// <summary>Why an entry is seen or is not: the reason is the rule that opens or hides it, and the declaration is named.</summary>
public sealed class EntryExplanationTests
{
    private const string Event = Aurora + ".14.2026.1", Prescription = "4f6c0b3e-1111-4000-8000-000000000001";

    private static readonly Declaration[] Open =
    [
        new Informing { Id = "informed", At = Now.AddDays(-9), TextVersion = Informing.CurrentTextVersion }, new DisclosurePermit { Id = "permit", At = Now.AddDays(-8) },
    ];

    private static readonly ModelEntry Note = new("DocumentReference", Aurora, Register.Patient, Event, "note", ProtectedService.None, null, 40, null);

    private static readonly Onlooker Other = Onlooker.Of(Viewer.Treating, []), InEmergency = Onlooker.Of(Viewer.InEmergency, []),
        Joint = new(Oid.Parse("1.2.246.10.99000077"), ControllerKind.Public, TaskClass.BroadCare, false, true) { JointWith = [Hospital, "1.2.246.10.99000077"] };

    public static TheoryData<string, Why, string> Cases => new()
    {
        { "permitted", Why.Permission, "permit" },
        { "own", Why.OwnRegister, "" },
        { "not informed", Why.NotInformed, "" },
        { "no permission", Why.NoPermission, "" },
        { "not treated", Why.NoCareRelationship, "" },
        { "support", Why.Task, "" },
        { "medication task", Why.Task, "" },
        { "note in an emergency", Why.NotNecessary, "" },
        { "observation in an emergency", Why.Emergency, "" },
        { "all denied", Why.DenialOfAll, "denial" },
        { "visit denied", Why.DenialOfServiceEvent, "denial" },
        { "refers to what is denied", Why.DenialOfServiceEvent, "" },
        { "register denied", Why.DenialOfRegister, "denial" },
        { "prescription denied", Why.DenialOfPrescription, "denial" },
        { "denied but for emergencies", Why.Emergency, "" },
        { "protected", Why.SpeciallyProtected, "" },
        { "declaration", Why.NeverDisclosed, "" },
        { "joint", Why.JointRegister, "" },
        { "outside the joint ones", Why.NoPermission, "" },
        { "outside the joint ones, not informed", Why.NotInformed, "" },
        { "another speciality", Why.Task, "" },
        { "own of another speciality", Why.Task, "" },
        { "own of a practice of one service", Why.OwnRegister, "" },
        { "own of a service that gives nothing", Why.Task, "" },
        { "a service that gives nothing", Why.Task, "" },
    };

    [Theory, MemberData(nameof(Cases))]
    public void The_reason_is_the_rule_and_names_the_declaration(string what, Why expected, string declaration)
    {
        var (entry, onlooker, declared) = what switch
        {
            "own" => (Note, new Onlooker(Oid.Parse(Aurora), ControllerKind.Private, TaskClass.BroadCare, false, false), Open),
            "not informed" => (Note, Other, Open[1..]),
            "no permission" => (Note, Other, Open[..1]),
            "not treated" => (Note, Other with { IsTreating = false }, Open),
            "support" => (Note, Other with { Tasks = TaskClass.Support }, Open),
            "medication task" => (Note, Other with { Tasks = TaskClass.Medication }, Open),
            "note in an emergency" => (Note, InEmergency, Open),
            "observation in an emergency" => (Note with { Type = "Observation" }, InEmergency, []),
            "all denied" => (Note, Other, [.. Open, Denial(new DenialTarget.All())]),
            "visit denied" => (Note, Other, [.. Open, Denial(new DenialTarget.OfServiceEvent(Event))]),
            "refers to what is denied" => (Note with { Event = null }, Other, [.. Open, Denial(new DenialTarget.OfServiceEvent(Event))]),
            "register denied" => (Note with { Controller = Hospital }, Other, [.. Open, Denial(new DenialTarget.OfRegister(Hospital, Register.Patient))]),
            "prescription denied" => (Note with { Type = "MedicationRequest", Id = Prescription }, Other, [.. Open, Denial(new DenialTarget.OfPrescription(Prescription))]),
            "denied but for emergencies" => (Note with { Type = "Observation" }, InEmergency, [.. Open, Denial(new DenialTarget.OfServiceEvent(Event), allowsEmergency: true)]),
            "protected" => (Note with { Services = ProtectedService.Psychiatry }, Other, Open),
            "joint" => (Note with { Controller = Hospital }, Joint, []),
            "outside the joint ones" => (Note, Joint, Open[..1]),
            "outside the joint ones, not informed" => (Note, Joint, []),
            "another speciality" => (Note, Other with { Tasks = TaskClass.LimitedCare }, Open),
            "own of another speciality" => (Note with { Setting = "http://snomed.info/sct|394586005" }, Own with { Tasks = TaskClass.LimitedCare, Profession = "fysioterapeutti" }, Open),
            "own of a practice of one service" => (Note with { Services = ProtectedService.Psychiatry }, Own with { OwnServices = ProtectedService.Psychiatry }, Open),
            "own of a service that gives nothing" => (Note, Own with { Services = HealthServices.ScreeningAndVaccination }, Open),
            "a service that gives nothing" => (Note, Other with { Services = HealthServices.HospitalPharmacy }, Open),
            "declaration" => (Note with { Type = "Consent" }, Other, Open),
            _ => (Note, Other, Open),
        };
        var policy = PolicySnapshot.Compile(1, declared, []);
        var permit = Assert.IsType<Decision.Permit>(Preview.Of(onlooker, policy, Now));
        // The repository hides with what is denied whatever refers to it.
        bool[] shown = [.. EntryExplanation.PartsOf(permit.Scope).Select(scope => (what == "refers to what is denied" ? entry with { Event = Event } : entry).IsSeenUnder(scope))];
        var because = Assert.Single(EntryExplanation.Of(permit, new(entry.Type, entry.Id, entry.Controller, entry.Register, entry.Event), shown, policy, onlooker.IsEmergency, Now));
        Assert.Equal((expected, declaration), (because.Why, string.Join(' ', because.Declarations)));
    }

    [Fact]
    public void Of_several_reasons_each_is_given()
    {
        var policy = PolicySnapshot.Compile(1, [.. Open, Denial(new DenialTarget.OfServiceEvent(Event))], []);
        var permit = (Decision.Permit)Preview.Of(Other, policy, Now);
        var entry = Note with { Services = ProtectedService.Psychiatry };
        var because = EntryExplanation.Of(permit, new(entry.Type, entry.Id, entry.Controller, entry.Register, entry.Event), [.. EntryExplanation.PartsOf(permit.Scope).Select(entry.IsSeenUnder)], policy, false, Now);
        Assert.Equal([Why.DenialOfServiceEvent, Why.SpeciallyProtected], because.Select(b => b.Why));
    }

    /// <summary>§26.2: to the unit that the open visit names its protected entries are open.</summary>
    [Fact]
    public void What_an_open_visit_opens_to_its_unit_alone_is_explained_to_be_seen_from_there()
    {
        var visit = new ServiceEvent(Event, Aurora, "in-progress", Now.AddHours(-1), null) { Services = ProtectedService.Psychiatry, Unit = "1.2.246.10.7" };
        var entry = Note with { Services = ProtectedService.Psychiatry };
        foreach (var (unit, isSeen) in new[] { ("1.2.246.10.7", true), ("1.2.246.10.8", false), (null, false) })
            Assert.Equal(isSeen, entry.IsSeenUnder(((Decision.Permit)Preview.Of(Own with { Unit = unit, IsTreating = false }, PolicySnapshot.Compile(1, Open, [visit]), Now)).Scope));
    }

    [Fact]
    public void What_is_kept_no_longer_is_seen_by_nobody()
    {
        var policy = PolicySnapshot.Compile(1, Open, [], new PersonFacts(null, Now.AddYears(-13)));
        var permit = (Decision.Permit)Preview.Of(Other, policy, Now);
        Assert.Equal(Why.RetentionOver, Assert.Single(EntryExplanation.Of(permit, new("Observation", "o", Aurora, Register.Patient, null), [.. EntryExplanation.PartsOf(permit.Scope).Select(Note.IsSeenUnder)], policy, false, Now)).Why);
    }

    private static readonly Onlooker Own = new(Oid.Parse(Aurora), ControllerKind.Private, TaskClass.BroadCare, false, IsTreating: true);

    private static DisclosureDenial Denial(DenialTarget target, bool allowsEmergency = false) => new() { Id = "denial", At = Now.AddDays(-1), Target = target, AllowsEmergency = allowsEmergency };
}
