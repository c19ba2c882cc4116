using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;
using static KantaGateway.Tests.Consent.ConsentModel;

namespace KantaGateway.Tests.Consent;

/// <summary>What holds of every decision about anybody, whatever was declared.</summary>
public class ConsentProperties
{
    private static readonly Gen<ModelAsker> ProfessionalsAlone = Askers.Where(a => a.Requester.Kind == RequesterKind.Professional);

    private static readonly Gen<ModelAsker> InEmergency = ProfessionalsAlone.Select(a => a with { Requester = a.Requester with { PurposeOfUse = "ETREAT" } });

    /// <summary>Cases of the slow law: <c>KANTA_CONSENT_CASES</c>, 30,000 by default.</summary>
    private static readonly int Cases = int.TryParse(Environment.GetEnvironmentVariable("KANTA_CONSENT_CASES"), out var cases) ? cases : 30_000;

    [Fact]
    public void Decisions_agree_with_the_law_read_slowly() => Gen.Select(People, Askers, Entries)
        .Sample((person, asker, entry) => Sees(asker, person, entry) == LawText.Shows(asker, person, entry, Now), iter: Cases,
            print: t => $"{t.Item2.Requester.Kind} {t.Item2.Requester.Organisation} {t.Item2.Requester.Tasks} {t.Item2.Requester.PurposeOfUse} {t.Item2.Interaction} {t.Item3} {string.Join(" / ", t.Item1.Declared)} {string.Join(" / ", t.Item1.Events)} {t.Item1.Facts} objections: {string.Join("; ", LawText.Objections(t.Item2, t.Item1, t.Item3, Now))}");

    [Fact]
    public void Adding_a_denial_never_shows_more() => Gen.Select(People, Askers, Entries, Denials)
        .Where((person, _, _, denial) => denial.IsActive && denial.Until is null && denial.From is null && !denial.AllowsEmergency)
        .Sample((person, asker, entry, denial) => !Sees(asker, person with { Declared = [.. person.Declared, denial] }, entry) || Sees(asker, person, entry));

    [Fact]
    public void Removing_the_permissions_never_shows_more() => Gen.Select(People, Askers, Entries)
        .Sample((person, asker, entry) => !Sees(asker, Without<DisclosurePermit>(person), entry) || Sees(asker, person, entry), iter: Cases / 3);

    [Fact]
    public void Withdrawing_the_permission_last_leaves_none() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Sample((person, asker, entry) =>
        {
            var withdrawn = person with { Declared = [.. person.Declared, new DisclosurePermit { At = Now, IsActive = false }] };
            return Sees(asker, withdrawn, entry) == Sees(asker, Without<DisclosurePermit>(person), entry);
        });

    [Fact]
    public void The_own_register_is_unaffected_by_denials_and_permissions() => Gen.Select(People, Askers, Entries, AnyDeclaration.Array[0, 4])
        .Where((_, asker, _, _) => asker.Requester.ControllerKind != ControllerKind.Occupational && asker.Requester.Kind != RequesterKind.Citizen)
        .Sample((person, asker, entry, more) =>
        {
            var own = entry with { Controller = asker.Requester.Organisation.ToString(), Register = Register.Patient };
            var others = more.Where(d => d is DisclosureDenial or DisclosurePermit or Informing);
            return Sees(asker, person, own) == Sees(asker, person with { Declared = [.. person.Declared, .. others] }, own);
        }, iter: Cases / 3);

    [Fact]
    public void The_order_in_which_declarations_are_read_decides_nothing() => Gen.Select(People, Askers, Entries)
        .Where((person, _, _) => person.Declared.OfType<AccessRecord>().Select(r => r.Id).Distinct().Count() == person.Declared.OfType<AccessRecord>().Count())
        .Sample((person, asker, entry) => Sees(asker, person, entry) == Sees(asker, person with { Declared = [.. person.Declared.Reverse()] }, entry));

    [Fact]
    public void Of_two_declarations_about_one_thing_the_later_decides() => Gen.Select(People, ProfessionalsAlone, Entries, Targets, Gen.Bool)
        .Sample((person, asker, entry, target, last) =>
        {
            var before = person with { Declared = [.. person.Declared.Where(d => d is not DisclosureDenial denial || !denial.Target.Equals(target))] };
            var (earlier, later) = (Denial(target, -2, !last), Denial(target, -1, last));
            return Sees(asker, before with { Declared = [.. before.Declared, later, earlier] }, entry) == Sees(asker, before with { Declared = [.. before.Declared, later] }, entry);
        });

    private static readonly Gen<ModelPerson> StoredPeople = People.Where(p => p.Declared.All(d => d is null || d.Order < long.MaxValue));

    private static Declaration TypedIn(Declaration declared) => declared with { Order = 99, StoredAt = Now, RecordedBy = Aurora };

    [Fact]
    public void An_older_form_that_is_typed_in_last_never_shows_more() => Gen.Select(StoredPeople, ProfessionalsAlone, Entries, Gen.OneOf(Denials.Select(d => (Declaration)d), AnyDeclaration))
        .Where((person, _, _, form) => form is not AccessRecord && person.Declared.Any(d => d is not null && d.GetType() == form.GetType() && d.HasBegun(Now) && (d is not DisclosureDenial denial || denial.Target.Equals(((DisclosureDenial)form).Target))))
        .Sample((person, asker, entry, form) => !Sees(asker, person with { Declared = [.. person.Declared, TypedIn(form) with { At = Now.AddYears(-9) }] }, entry) || Sees(asker, person, entry), iter: Cases / 3);

    [Fact]
    public void What_closes_binds_however_old_its_form() => Gen.Select(StoredPeople, ProfessionalsAlone, Entries, Targets)
        .Sample((person, asker, entry, target) =>
        {
            Declaration old(Declaration declared) => TypedIn(declared) with { At = Now.AddYears(-9) };
            return Sees(asker, person with { Declared = [.. person.Declared, old(new DisclosurePermit { At = Now, IsActive = false })] }, entry) == Sees(asker, Without<DisclosurePermit>(person), entry)
                && Sees(asker, person with { Declared = [.. person.Declared, old(Denial(target, 0, true))] }, entry)
                    == Sees(asker, person with { Declared = [.. person.Declared.Where(d => d is not DisclosureDenial its || !its.Target.Equals(target)), Denial(target, 0, true)] }, entry);
        }, iter: Cases / 6);

    [Fact]
    public void What_the_person_says_last_is_heard() => Gen.Select(StoredPeople, ProfessionalsAlone, Entries, Denials)
        .Where((_, _, _, denial) => denial.From is null && !denial.ByCustodian)
        .Sample((person, asker, entry, denial) =>
        {
            var (own, others) = (denial with { Order = 99, StoredAt = Now }, person.Declared.Where(d => d is not DisclosureDenial its || !its.Target.Equals(denial.Target)));
            return Sees(asker, person with { Declared = [.. person.Declared, own] }, entry) == Sees(asker, person with { Declared = [.. others, own] }, entry);
        }, iter: Cases / 6);

    [Fact]
    public void What_is_dated_later_changes_nothing_yet() => Gen.Select(People, Askers, Entries, AnyDeclaration)
        .Sample((person, asker, entry, later) =>
            Sees(asker, person, entry) == Sees(asker, person with { Declared = [.. person.Declared, later is DisclosureDenial ? later with { From = Now.AddTicks(1) } : later with { At = Now.AddMinutes(5).AddTicks(1) }] }, entry));

    [Fact]
    public void A_denial_binds_whatever_the_clock_of_who_declared_it_says() => Gen.Select(People, ProfessionalsAlone, Entries, Gen.Int[0, 400])
        .Where((_, asker, entry, _) => entry.Controller != asker.Requester.Organisation.ToString())
        .Sample((person, asker, entry, hours) => !Sees(asker, person with { Declared = [.. person.Declared, Denial(new DenialTarget.All(), 4, true) with { At = Now.AddHours(100 + hours) }] }, entry));

    [Fact]
    public void No_rule_matched_is_deny() => Gen.Select(People, Askers)
        .Sample((person, asker) => Decide(asker with { Requester = asker.Requester with { Kind = (RequesterKind)99 } }, person.Policy) is Decision.Deny);

    [Fact]
    public void Who_has_no_care_relationship_sees_nothing_of_others() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Where((_, asker, entry) => entry.Controller != asker.Requester.Organisation.ToString())
        .Sample((person, asker, entry) => !Sees(asker, person with { Events = [.. person.Events.Where(e => e.Controller != asker.Requester.Organisation.ToString())] }, entry));

    [Fact]
    public void Another_organisations_event_proves_nothing() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Sample((person, asker, entry) => Sees(asker, person, entry)
            == Sees(asker, person with { Events = [.. person.Events.Where(e => e.Controller == asker.Requester.Organisation.ToString())] }, entry));

    [Fact]
    public void Closing_every_event_never_shows_more() => Gen.Select(People, ProfessionalsAlone, Entries)
        // Who treats for one employer does not read another's register meanwhile (§18).
        .Where((_, asker, entry) => asker.Interaction.Employer is not { } employer || entry.Register != Register.Occupational(employer) || entry.Controller != asker.Requester.Organisation.ToString())
        .Sample((person, asker, entry) => !Sees(asker, person with { Events = [.. person.Events.Select(e => e with { Status = "finished" })] }, entry) || Sees(asker, person, entry), iter: Cases / 3);

    [Fact]
    public void Nothing_proves_treatment_a_month_after_it_was_last_written() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Where((_, asker, entry) => entry.Controller != asker.Requester.Organisation.ToString())
        .Sample((person, asker, entry) => !Sees(Lasting(asker), (person with
        {
            Events = [.. person.Events.Select(e => e with { End = e.Kind == CareEventKind.Encounter ? Now.AddYears(70) : e.End })],
        }).Policy, entry, Now.AddDays(33)), iter: Cases / 6);

    /// <summary>§9, §57: it refuses nothing of the own register and proves nothing for others'.</summary>
    [Fact]
    public void Naming_a_visit_that_is_only_stale_shows_what_the_law_shows_without_treatment() => Gen.Select(People, ProfessionalsAlone, Entries, OneOf("in-progress", "onleave", "finished"), OneOf(-29, -30, -31, -400), OneOf<int?>(null, 0, 1))
        .Sample((person, asker, entry, status, days, end) =>
        {
            var organisation = asker.Requester.Organisation.ToString();
            ServiceEvent visit = new("2.999.1.14.9", organisation, status, Now.AddDays(-500), end is { } hours ? Now.AddHours(hours) : null) { StoredAt = Now.AddDays(days), Services = ProtectedService.Psychiatry };
            var (with, named) = (person with { Events = [.. person.Events, visit] }, asker with { Interaction = asker.Interaction with { ServiceEvent = visit.Oid } });
            var unnamed = asker with { Interaction = asker.Interaction with { ServiceEvent = null } };
            return Sees(named, with, entry) == LawText.Shows(named, with, entry, Now)
                && (days == -29 || !Sees(named, with, entry) || Sees(unnamed, person with { Events = [] }, entry));
        }, iter: Cases / 3);

    [Fact]
    public void Of_its_own_documents_a_limited_task_sees_what_the_law_shows() => Gen.Select(People, ProfessionalsAlone, Entries, OneOf(Settings))
        .Sample((person, asker, entry, setting) =>
        {
            var limited = asker with { Requester = asker.Requester with { Tasks = TaskClass.LimitedCare, PurposeOfUse = "TREAT" }, Interaction = asker.Interaction with { ServiceEvent = null } };
            var own = entry with { Type = "DocumentReference", Controller = asker.Requester.Organisation.ToString(), Register = Register.Patient, Setting = setting };
            return Sees(limited, person, own) == LawText.Shows(limited, person, own, Now);
        }, iter: Cases / 6);

    [Fact]
    public void A_narrower_task_never_sees_more_than_broad_care() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Sample((person, asker, entry) => !Sees(asker, person, entry)
            || asker.Requester.PurposeOfUse == "ETREAT"
            // Where the decree gives broad care nothing, another task has more.
            || asker.Requester.Services is HealthServices.ScreeningAndVaccination or HealthServices.HospitalPharmacy
            || Sees(asker with { Requester = asker.Requester with { Tasks = TaskClass.BroadCare } }, person, entry));

    [Fact]
    public void Fewer_services_never_show_more() => Gen.Select(People, ProfessionalsAlone, Entries, OneOf(HealthServices.Reception, HealthServices.ScreeningAndVaccination, HealthServices.HospitalPharmacy))
        .Where((_, asker, entry, _) => asker.Requester.Tasks != TaskClass.LimitedCare || entry.Type != "DocumentReference")
        .Sample((person, asker, entry, more) => !Sees(asker, person, entry) || asker.Requester.PurposeOfUse == "ETREAT"
            || Sees(asker with { Requester = asker.Requester with { Services = asker.Requester.Services | more } }, person, entry), iter: Cases / 6);

    [Fact]
    public void A_protected_entry_is_seen_only_in_its_service_or_after_a_confirmation() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Where((_, asker, entry) => entry.Services != ProtectedService.None && !IsMedicationOrRisk(entry.Type)
            && (entry.Controller != asker.Requester.Organisation.ToString() || (asker.Requester.OwnServices & entry.Services) == 0))
        .Sample((person, asker, entry) => !Sees(asker, Without<ProtectedConfirmation>(person) with
        {
            Events = [.. person.Events.Select(e => e with { Services = e.Services & ~entry.Services })],
        }, entry));

    [Fact]
    public void Medication_and_risks_need_no_confirmation() => Gen.Select(People, Askers, Entries)
        .Where((_, _, entry) => IsMedicationOrRisk(entry.Type))
        .Sample((person, asker, entry) => Sees(asker, person, entry) == Sees(asker, person, entry with { Services = ProtectedService.None }));

    [Fact]
    public void A_confirmation_serves_nobody_else() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Sample((person, asker, entry) => Sees(asker, person, entry) == Sees(asker, person with
        {
            Declared = [.. person.Declared.Where(d => d is not ProtectedConfirmation c || c.Professional == asker.Requester.ProfessionalId)],
        }, entry));

    [Fact]
    public void Without_a_recorded_emergency_there_is_none() => Gen.Select(People, InEmergency, Entries)
        .Sample((person, asker, entry) => entry.Controller == asker.Requester.Organisation.ToString() || !Sees(asker, Without<EmergencyAccess>(person), entry));

    [Fact]
    public void In_an_emergency_no_notes_and_documents_of_others_are_seen() => Gen.Select(People, InEmergency, Entries, OneOf("DocumentReference", "Appointment"))
        .Sample((person, asker, entry, type) => entry.Controller == asker.Requester.Organisation.ToString() || !Sees(asker, person, entry with { Type = type }));

    [Fact]
    public void The_exception_for_emergencies_changes_nothing_in_treatment() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Sample((person, asker, entry) => asker.Requester.PurposeOfUse == "ETREAT" || Sees(asker, person, entry) == Sees(asker, person with
        {
            Declared = [.. person.Declared.Select(d => d is DisclosureDenial denial ? denial with { AllowsEmergency = !denial.AllowsEmergency } : d)],
        }, entry));

    [Fact]
    public void A_denial_of_everything_hides_every_other_register() => Gen.Select(People, ProfessionalsAlone, Entries)
        .Where((_, asker, entry) => entry.Controller != asker.Requester.Organisation.ToString())
        // Dated after all others, so that no withdrawal comes after it.
        .Sample((person, asker, entry) => !Sees(asker, person with { Declared = [.. person.Declared, Denial(new DenialTarget.All(), 4, true)] }, entry));

    [Fact]
    public void Something_unreadable_is_a_denial_of_everything() => Gen.Select(People, Askers, Entries)
        .Sample((person, asker, entry) => Sees(asker, person with { Declared = [.. person.Declared, null] }, entry)
            == Sees(asker, person with { Declared = [.. person.Declared.Where(d => d is not DisclosureDenial { Target: DenialTarget.All }), Denial(new DenialTarget.All(), 0, true)] }, entry));

    [Fact]
    public void A_stranger_gets_nothing() => Gen.Select(People, Entries)
        .Sample((person, entry) => !Sees(Asker("stranger"), person, entry));

    [Fact]
    public void The_person_sees_all_that_is_released() => Gen.Select(People, Entries)
        .Sample((person, entry) => Sees(Asker("citizen"), person, entry) == !(entry.Release > Now));

    [Fact]
    public void A_custodian_sees_no_more_than_the_child() => Gen.Select(People, Entries)
        .Sample((person, entry) => !Sees(Asker("custodian"), person, entry) || Sees(Asker("citizen"), person, entry));

    [Fact]
    public void What_nobody_knows_of_a_child_over_twelve_is_hidden_from_custodians() => Gen.Select(People, Entries)
        .Sample((person, entry) => entry.MinorsCode is 1 or 2 || !Sees(Asker("custodian"), person, entry with { WrittenAtAge = 12 }));

    [Fact]
    public void Nobody_represents_the_dead() => Gen.Select(People, Entries, OneOf("custodian", "mandate"))
        .Sample((person, entry, kind) => !Sees(Asker(kind), person with { Facts = person.Facts with { Deceased = Now } }, entry));

    [Fact]
    public void A_decision_that_the_policy_took_part_in_rests_on_its_version() => Gen.Select(People, ProfessionalsAlone)
        .Sample((person, asker) => Decide(asker, person.Policy) is not Decision.Permit permit || permit.RestsOnPolicy);

    [Fact]
    public void The_same_policy_decides_the_same_at_any_time_as_one_compiled_then() => Gen.Select(People, Askers, Entries, Gen.Int[-500, 500].Array[1, 6])
        .Sample((person, asker, entry, hours) =>
        {
            var kept = person.Policy;
            return hours.All(h => Sees(Lasting(asker), kept, entry, Now.AddHours(h)) == Sees(Lasting(asker), person.Policy, entry, Now.AddHours(h)));
        });

    /// <summary>The moments at which something begins or ends, a tick before and a tick after.</summary>
    private static IEnumerable<DateTimeOffset> Edges(ModelPerson person)
    {
        var moments = new List<DateTimeOffset?> { Now, person.Facts.Deceased, person.Facts.Deceased?.AddYears(12) };
        foreach (var years in new[] { 12, 18, 120 })
            moments.AddRange(new[] { person.Facts.BirthDate, person.Facts.FirstBirth, person.Facts.CustodyFrom }.Select(born => LawText.Birthday(born, years)));
        foreach (var declared in person.Declared.OfType<Declaration>())
            moments.AddRange([declared.At, declared.At - Declaration.Skew, declared.From, declared.Until, declared.At + EmergencyAccess.ReviewedWithin]);
        foreach (var e in person.Events)
            moments.AddRange([e.Start, e.End, e.Start - ServiceEvent.AppointmentMargin, (e.End ?? e.Start) + ServiceEvent.AppointmentMargin, e.StoredAt + ServiceEvent.Lasts, e.Start + ServiceEvent.Lasts]);
        return moments.OfType<DateTimeOffset>().SelectMany(m => new[] { m.AddTicks(-1), m, m.AddTicks(1) });
    }

    [Fact]
    public void At_the_very_moment_at_which_something_begins_or_ends_the_law_read_slowly_agrees() => Gen.Select(People, Askers, Entries)
        .Sample((person, asker, entry) =>
        {
            var kept = person.Policy;
            var lasting = asker with { Requester = asker.Requester with { Expires = DateTimeOffset.MaxValue } };
            return Edges(person).All(at => Sees(lasting, kept, entry, at) == LawText.Shows(lasting, person, entry, at));
        }, iter: Cases / 20);

    [Fact]
    public void Deciding_twice_gives_the_very_same_permit() => Gen.Select(People, Askers.Where(a => a.Requester.OnBehalfOf is null))
        .Sample((person, asker) =>
        {
            var policy = person.Policy;
            return ReferenceEquals(Decide(asker, policy), Decide(asker, policy));
        });

    private static readonly Gen<Onlooker> Onlookers = Gen.Select(OneOf<string?>(null, Aurora, Revontuli, Occupational),
            OneOf(TaskClass.BroadCare, TaskClass.BroadCare, TaskClass.LimitedCare, TaskClass.Support, TaskClass.Medication),
            Gen.Bool, Gen.Int[0, 2], Gen.Select(Gen.Bool, OneOf(null, "fysioterapeutti", "lahihoitaja"), OneOf(HealthServices.Reception, HealthServices.Oral, HealthServices.HospitalPharmacy), OneOf(ProtectedService.None, ProtectedService.Psychiatry)))
        .Select((organisation, tasks, isEmergency, treats, rest) => new Onlooker(organisation is null ? null : Oid.Parse(organisation),
            organisation == Occupational ? ControllerKind.Occupational : ControllerKind.Public, tasks, isEmergency, IsTreating: treats > 0)
            { JointWith = rest.Item1 ? [Revontuli, Hospital] : [], Profession = rest.Item2, Services = rest.Item3, OwnServices = rest.Item4 })
        .Select(Units, static (onlooker, unit) => onlooker with { Unit = unit });

    /// <summary>
    /// A random record of a random person, who is about to declare something at random, looked at by anybody: what the preview counts is what the same professional
    /// sees once it is declared, in a real care relationship and after a real emergency, by the decision of that request and by the law read slowly.
    /// </summary>
    [Fact]
    public void The_preview_is_what_is_enforced()
    {
        var (seen, hidden) = (0, 0);
        Gen.Select(People, Entries.Array[1, 8], Onlookers, AnyDeclaration.Where(d => d is DisclosureDenial or DisclosurePermit or Informing)).Sample((person, record, onlooker, declared) =>
        {
            var previewed = Preview.Of(onlooker, person.Policy.With(declared), Now);
            var (asker, real) = Real(onlooker, person, declared);
            foreach (var entry in record)
            {
                var shown = previewed is Decision.Permit permit && entry.IsSeenUnder(permit.Scope);
                if (shown != Sees(asker, real, entry) || shown != LawText.Shows(asker, real, entry, Now))
                    return false;
                Interlocked.Increment(ref shown ? ref seen : ref hidden);
            }
            return true;
        }, iter: 10_000, print: t => $"{t.Item3} {t.Item4} {string.Join(" / ", t.Item2.AsEnumerable())} {string.Join(" / ", t.Item1.Declared)} {string.Join(" / ", t.Item1.Events)} {t.Item1.Facts}");
        Assert.True(Math.Min(seen, hidden) > 1_000, $"{seen} seen, {hidden} hidden");
    }

    /// <summary>The onlooker in the flesh: with a token, an open service event where one is assumed, an emergency that is recorded, after what was declared.</summary>
    private static (ModelAsker, ModelPerson) Real(Onlooker onlooker, ModelPerson person, Declaration declared)
    {
        var organisation = onlooker.Organisation?.ToString() ?? "2.999.1";
        var asker = Asker("professional", organisation, "preview", onlooker.Tasks, onlooker.IsEmergency ? "ETREAT" : "TREAT");
        List<Declaration?> all = [.. person.Declared.Where(d => d is null || d.Id != declared.Id), declared with { Order = long.MaxValue }];
        if (onlooker.IsEmergency)
            all.Add(new EmergencyAccess { At = Now, Until = Now.AddMinutes(30), Professional = "preview", Organisation = organisation, Reason = EmergencyReason.CannotBeAsked });
        List<ServiceEvent> events = [.. person.Events];
        if (onlooker.IsTreating && person.Policy.RelationshipOf(organisation, null, Now) is null)
            events.Add(new("2.999.1.14.1", organisation, "in-progress", Now.AddDays(-1), null));
        return (asker with { Requester = asker.Requester with { JointWith = onlooker.JointWith, Services = onlooker.Services, OwnServices = onlooker.OwnServices, Profession = onlooker.Profession, Unit = onlooker.Unit } }, new(all, events, person.Facts));
    }

    private static ModelAsker Lasting(ModelAsker asker) => asker with { Requester = asker.Requester with { Expires = Now.AddYears(1) } };

    private static DisclosureDenial Denial(DenialTarget target, int days, bool active) => new() { At = Now.AddDays(days), Target = target, IsActive = active };

    private static ModelPerson Without<T>(ModelPerson person) => person with { Declared = [.. person.Declared.Where(d => d is not T)] };
}
