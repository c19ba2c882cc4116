using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Search;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>One entry of a record as decisions see it.</summary>
sealed record ModelEntry(string Type, string Controller, string Register, string? Event, string Id, ProtectedService Services, int? MinorsCode, int WrittenAtAge, DateTimeOffset? Release)
{
    /// <summary>SNOMED code of the speciality that a document names; null: none.</summary>
    public string? Setting { get; init; }

    /// <summary>What the repository does to an entry that nothing else refers to.</summary>
    public bool IsSeenUnder(DisclosureScope scope)
    {
        var withheld = scope.Withheld;
        var hidden = Hidden.None;
        if ((Event is not null && withheld.ServiceEvents.Contains(Event)) || withheld.Registers.Contains(KantaGateway.Fhir.Grants.Register.Of(Controller, Register)) || withheld.Prescriptions.Contains(Id))
            hidden |= Hidden.FromOthers;
        if (withheld.SpeciallyProtected && Services != ProtectedService.None && (Services & withheld.SeenServices) == 0 && !ConsentModel.IsMedicationOrRisk(Type))
            hidden |= (Services & withheld.SeenServicesOfOwn) == 0 ? Hidden.FromAll : Hidden.FromOthers;
        if (withheld.FromCustodians && !(MinorsCode is 1 or 2 || (MinorsCode is null && ConsentModel.WrittenAt(this) < withheld.UnknownShownBefore)))
            hidden |= Hidden.FromAll;
        if (Release > withheld.UnreleasedAt)
            hidden |= Hidden.FromAll;
        return scope.Admits(Type, Controller, Register, hidden) && (Type != "DocumentReference" || scope.Passes(Type, Documents[Setting ?? ""], scope.IsOwn(Controller, Register)));
    }

    /// <summary>Index entries of documents, by the speciality that they name.</summary>
    private static readonly Dictionary<string, byte[]> Documents = ConsentModel.Settings.ToDictionary(setting => setting ?? "", ConsentModel.DocumentOf);
}

/// <summary>Somebody who asks, in a moment.</summary>
sealed record ModelAsker(Requester Requester, Interaction Interaction);

/// <summary>A person: what was declared, which events are open, when born.</summary>
sealed record ModelPerson(IReadOnlyList<Declaration?> Declared, IReadOnlyList<ServiceEvent> Events, PersonFacts Facts)
{
    public PolicySnapshot Policy => PolicySnapshot.Compile(1, Declared, Events, Facts);
}

/// <summary>Random people, entries and askers, small enough that they meet.</summary>
static class ConsentModel
{
    public static readonly DateTimeOffset Now = ConsentWorld.Now;

    public const string Aurora = "1.2.246.10.99000011", Revontuli = "1.2.246.10.99000022", Hospital = "1.2.246.10.99000033", Occupational = "1.2.246.10.99000044",
        Employer = "1.2.246.10.99000055", OtherEmployer = "1.2.246.10.99000066";

    /// <summary>Those that need no permission among each other.</summary>
    private static readonly string[] Joint = [Revontuli, Hospital];

    private static readonly string[] Controllers = [Aurora, Revontuli, Hospital, Occupational];
    private static readonly string[] Prescriptions = ["4f6c0b3e-1111-4000-8000-000000000001", "4f6c0b3e-1111-4000-8000-000000000002"];
    private static readonly string[] Types = ["Observation", "MedicationRequest", "DocumentReference", "Appointment", "Condition"];
    private static readonly ProtectedService[] Services = [ProtectedService.None, ProtectedService.Psychiatry, ProtectedService.Addiction, ProtectedService.Psychiatry | ProtectedService.Genetics];

    /// <summary>Of no speciality, rehabilitation, dentistry, radiology, and physiotherapy by a code of which nobody has said whose it is.</summary>
    public static readonly string?[] Settings = [null, Snomed + "394602003", Snomed + "394812008", Snomed + "394586005", "urn:oid:1.2.246.10.1.99|FYS"];

    private const string Snomed = "http://snomed.info/sct|";

    /// <summary>Index entry of a document that names a practice setting, <c>system|code</c>.</summary>
    public static byte[] DocumentOf(string? setting) => Indexer.Build(
        new() { Type = "DocumentReference", ResourceSequence = 1, RowSequence = 1, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch },
        new Hl7.Fhir.Model.DocumentReference { Context = new() { PracticeSetting = setting?.Split('|') is [var system, var code] ? new(system, code) : null } });

    public static bool IsMedicationOrRisk(string type) => type == "MedicationRequest";

    /// <summary>When an entry was written: everybody of the model was born thirteen years ago, or forty.</summary>
    public static DateTimeOffset WrittenAt(ModelEntry entry) => Now.AddYears(-13).AddYears(entry.WrittenAtAge);

    public static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static string EventOf(string controller, int number) => $"{controller}.14.2026.{number}";

    public static readonly Gen<string> AnyEvent = Gen.Select(OneOf(Controllers), Gen.Int[1, 2]).Select(EventOf);

    public static readonly Gen<(string Controller, string Register)> AnyRegister = OneOf(
        (Aurora, Register.Patient), (Revontuli, Register.Patient), (Hospital, Register.Patient), (Occupational, Register.Occupational(Employer)), (Occupational, Register.Occupational(OtherEmployer)));

    public static readonly Gen<ModelEntry> Entries = Gen.Select(OneOf(Types), AnyRegister, Gen.Int[0, 2], Gen.Int[0, 1], OneOf(Services),
            Gen.Select(OneOf<int?>(null, 1, 2, 3, 4), Gen.Int[0, 13], Gen.Int[-2, 2]))
        .Select((type, register, number, id, services, rest) => new ModelEntry(type, register.Controller, register.Register,
            number == 0 ? null : EventOf(register.Controller, number), Prescriptions[id], services, rest.Item1, rest.Item2,
            rest.Item3 == 0 ? null : Now.AddDays(rest.Item3)))
        .Select(OneOf(Settings), (entry, setting) => entry.Type == "DocumentReference" ? entry with { Setting = setting } : entry);

    /// <summary>Times around now, so that something has just ended, and something begins at this very moment.</summary>
    private static readonly Gen<DateTimeOffset> Times = OneOf(-400, -20, -3, -1, 0, 1, 3).Select(days => Now.AddDays(days));

    private static readonly Gen<DateTimeOffset?> Ends = OneOf<int?>(null, null, null, -1, 0, 1).Select(days => days is { } d ? Now.AddDays(d) : (DateTimeOffset?)null);

    public static readonly Gen<DenialTarget> Targets = Gen.OneOf<DenialTarget>(
        Gen.Const((DenialTarget)new DenialTarget.All()),
        AnyEvent.Select(e => (DenialTarget)new DenialTarget.OfServiceEvent(e)),
        AnyRegister.Select(r => (DenialTarget)new DenialTarget.OfRegister(r.Controller, r.Register)),
        OneOf(Prescriptions).Select(p => (DenialTarget)new DenialTarget.OfPrescription(p)));

    public static readonly Gen<DisclosureDenial> Denials = Gen.Select(Targets, Times, Ends, Gen.Bool, Gen.Int[0, 11])
        .Select((target, at, until, allows, how) => new DisclosureDenial
        { Id = "d", At = at, Until = until, Target = target, AllowsEmergency = allows, IsActive = how % 4 > 0, From = how == 3 ? Now.AddTicks(1) : how == 7 ? Now : null, ByCustodian = how is 8 or 9 });

    private static readonly Gen<Declaration> Permits = Gen.Select(Times, Ends, Gen.Int[0, 3], Gen.Int[0, 2])
        .Select((at, until, active, by) => (Declaration)new DisclosurePermit { Id = "p", At = at, Until = until, IsActive = active > 0, ByCustodian = by == 0 });

    private static readonly Gen<Declaration> Informings = Gen.Select(Times, Gen.Int[0, 4])
        .Select((at, current) => (Declaration)new Informing { Id = "i", At = at, TextVersion = current > 0 ? Informing.CurrentTextVersion : "2019-1" });

    private static readonly Gen<string> Professionals = OneOf("pro-1", "pro-2");
    private static readonly Gen<string> Organisations = OneOf(Aurora, Revontuli, Occupational);

    private static readonly Gen<Declaration> Confirmations = Gen.Select(Professionals, Organisations, OneOf("TREAT", "ETREAT"), OneOf(Services.Skip(1).ToArray()), OneOf(-1, 0, 1))
        .Select((who, organisation, purpose, services, hours) => (Declaration)new ProtectedConfirmation
        { Id = "c", At = Now.AddHours(-2), Until = Now.AddHours(hours), Professional = who, Organisation = organisation, Purpose = purpose, Services = services });

    private static readonly Gen<Declaration> Emergencies = Gen.Select(Professionals, Organisations, OneOf(-5, -1, 0), OneOf(-1, 0, 20), OneOf("e1", "e2"))
        .Select((who, organisation, days, minutes, id) => (Declaration)new EmergencyAccess
        { Id = id, At = Now.AddDays(days).AddMinutes(-5), Until = Now.AddDays(days).AddMinutes(minutes), Professional = who, Organisation = organisation, Unit = "u1", Reason = EmergencyReason.CannotBeAsked });

    private static readonly Gen<Declaration> Reviews = Gen.Select(OneOf("e1", "e2"), Gen.Bool)
        .Select((id, justified) => (Declaration)new EmergencyReview { Id = "r", At = Now.AddHours(-1), Professional = "pro-3", Organisation = Revontuli, Unit = "u2", Emergency = id, IsJustified = justified });

    public static readonly Gen<Declaration> AnyDeclaration = Gen.OneOf(Denials.Select(d => (Declaration)d), Permits, Permits, Informings, Informings, Confirmations, Emergencies, Reviews);

    public static readonly Gen<string?> Units = OneOf(null, null, "u1", "u2");

    private static readonly Gen<ServiceEvent> Events = Gen.Select(OneOf(Aurora, Revontuli, Occupational), Gen.Int[1, 2], OneOf("in-progress", "in-progress", "planned", "finished", "booked"),
            Gen.Select(OneOf<int?>(null, -30, -1, 0, 1), OneOf<int?>(null, -1, 0, 1)), OneOf(Services), Gen.Select(Gen.Bool, Units, OneOf<int?>(null, 0, 0, -29, -30, -31), Gen.Int[0, 2]))
        .Select((controller, number, status, times, services, rest) => new ServiceEvent(status == "booked" && rest.Item4 == 0 ? null : EventOf(controller, number), controller, status,
            times.Item1 is { } start ? Now.AddHours(start) : null, times.Item2 is { } end ? Now.AddHours(end) : null)
        {
            Kind = status == "booked" ? CareEventKind.Appointment : CareEventKind.Encounter,
            Services = services,
            Register = controller == Occupational ? Register.Occupational(rest.Item1 ? Employer : OtherEmployer) : Register.Patient,
            Unit = rest.Item2,
            StoredAt = rest.Item3 is { } days ? Now.AddDays(days) : null,
        });

    /// <summary>Of some another register states an earlier birth, or as many a later one.</summary>
    private static readonly Gen<PersonFacts> Facts = Gen.Select(OneOf<int?>(null, 13, 13, 40, 119, 120), OneOf<int?>(null, null, null, 1, 11, 12), OneOf(0, 0, 30, -27)).Select((age, dead, differs) =>
        new PersonFacts(Born(age), dead is { } ago ? Now.AddYears(-ago) : null) { FirstBirth = Born(age + Math.Max(differs, 0)), CustodyFrom = Born(age + (age > 27 ? Math.Min(differs, 0) : 0)) });

    private static DateOnly? Born(int? age) => age is { } years ? DateOnly.FromDateTime(Now.AddYears(-years).UtcDateTime) : null;

    /// <summary>Half of the declarations unreadable would hide everything; one in some people is.</summary>
    public static readonly Gen<ModelPerson> People = Gen.Select(AnyDeclaration.Array[0, 7], Events.Array[0, 4], Facts, Gen.Int[0, 12], Gen.Bool, Gen.Bool)
        .Select((declared, events, facts, unreadable, begins, isStored) => new ModelPerson(
            // Half of the people begin informed and permitting, or nothing would ever be disclosed.
            [.. unreadable == 0 ? [null] : Array.Empty<Declaration?>(),
             .. begins ? [new Informing { Id = "i", Order = isStored ? 0 : long.MaxValue, At = Now.AddYears(-3), TextVersion = Informing.CurrentTextVersion }, new DisclosurePermit { Id = "p", Order = isStored ? 0 : long.MaxValue, At = Now.AddYears(-2) }] : Array.Empty<Declaration?>(),
             // In the order of their storing, which need not be that of their dates, by the person or typed in at a desk; or not stored yet.
             .. declared.Select((d, i) => isStored ? Stored(d, i) : d)], events, facts));

    /// <summary>A day after the other, up to yesterday; every second of what a person declares is a form.</summary>
    private static Declaration Stored(Declaration declared, int place) => declared with
    {
        Order = place + 1,
        StoredAt = Now.AddDays(place - 8),
        RecordedBy = declared is AccessRecord || (declared.At.Day + place) % 2 == 0 ? declared.RecordedBy : Aurora,
    };

    /// <summary>What an organisation gives: mostly what most do.</summary>
    private static readonly HealthServices[] Given =
    [
        HealthServices.Reception, HealthServices.Reception, HealthServices.Reception, HealthServices.Oral, HealthServices.Rehabilitation, HealthServices.ScreeningAndVaccination,
        HealthServices.HospitalPharmacy, HealthServices.Oral | HealthServices.Rehabilitation, HealthServices.Oral | HealthServices.Hospital, HealthServices.ExaminationsAndProcedures | HealthServices.HospitalPharmacy,
    ];

    public static readonly Gen<ModelAsker> Askers = Gen.Select(OneOf("system", "professional", "professional", "professional", "citizen", "custodian", "mandate", "stranger"),
            Organisations, Professionals, OneOf<TaskClass?>(null, null, TaskClass.BroadCare, TaskClass.LimitedCare, TaskClass.Support, TaskClass.Medication, TaskClass.Administration),
            OneOf("TREAT", "TREAT", "TREAT", "ETREAT", "HRESCH"), Gen.Select(OneOf(null, null, Employer, OtherEmployer), Gen.Int[0, 5], Gen.Int[0, 3], Gen.Int[0, 9]))
        .Select((kind, organisation, who, tasks, purpose, rest) => Asker(kind, organisation, who, tasks, purpose, rest.Item1, rest.Item2 == 0 ? EventOf(organisation, 1) : null, rest.Item3 == 0, rest.Item4 == 0))
        // Some act in a unit, and some for a controller that is wholly of one service.
        .Select(Units, OneOf(ProtectedService.None, ProtectedService.None, ProtectedService.Psychiatry, ProtectedService.Addiction), (asker, unit, own) =>
            asker.Requester.Kind != RequesterKind.Professional ? asker : asker with { Requester = asker.Requester with { Unit = unit, OwnServices = own } })
        .Select(OneOf(null, "lahihoitaja", "fysioterapeutti", "suuhygienisti"), OneOf(Given), (asker, profession, services) => asker with { Requester = asker.Requester with { Profession = profession, Services = services } });

    public static ModelAsker Asker(string kind, string organisation = Revontuli, string who = "pro-1", TaskClass? tasks = null, string purpose = "TREAT", string? employer = null, string? serviceEvent = null, bool isJoint = false, bool isOverdue = false)
    {
        var isCitizen = kind is "citizen" or "custodian" or "mandate" or "stranger";
        var requester = ConsentWorld.Requester(isCitizen ? (kind == "citizen" ? "citizen" : "another citizen") : kind, isCitizen ? "PATRQT" : purpose) with
        {
            Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse(organisation),
            ControllerKind = organisation == Occupational ? ControllerKind.Occupational : ControllerKind.Private,
            ProfessionalId = kind == "professional" ? who : null,
            Tasks = kind == "professional" ? tasks : null,
            JointWith = isJoint && organisation == Revontuli ? Joint : [],
            EmergencyIsOverdue = isOverdue,
            OnBehalfOf = kind switch
            {
                "custodian" => new(ConsentWorld.Person, RepresentationKind.Custodian, "Lapsi"),
                "mandate" => new(ConsentWorld.Person, RepresentationKind.Mandate, "Isoäiti"),
                _ => null,
            },
        };
        return new(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation", serviceEvent: isCitizen || kind == "system" ? null : serviceEvent) with { Employer = employer });
    }

    /// <summary>Decides as the pipeline does.</summary>
    public static Decision Decide(ModelAsker asker, PolicySnapshot policy, DateTimeOffset? at = null)
    {
        var now = at ?? Now;
        var its = ConsentDecision.NeedsPolicy(asker.Requester, asker.Interaction) ? policy : PolicySnapshot.Empty;
        return ConsentDecision.Decide(asker.Requester, asker.Interaction, its,
            its.RelationshipOf(asker.Requester.Organisation.ToString(), asker.Interaction.ServiceEvent, now, asker.Requester.Unit), now);
    }

    public static bool Sees(ModelAsker asker, ModelPerson person, ModelEntry entry) => Sees(asker, person.Policy, entry);

    public static bool Sees(ModelAsker asker, PolicySnapshot policy, ModelEntry entry, DateTimeOffset? at = null) =>
        Decide(asker, policy, at) is Decision.Permit permit && entry.IsSeenUnder(permit.Scope);
}
