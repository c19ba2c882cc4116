using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>
/// The law once more, slowly: for one asker and one entry the list of everything that the text has against showing it. Written from the
/// sections, without looking at how the product decides; nothing is compiled, sorted, kept or shared with it but the values.
/// </summary>
static class LawText
{
    public static bool Shows(ModelAsker asker, ModelPerson person, ModelEntry entry, DateTimeOffset now) => !Objections(asker, person, entry, now).Any();

    public static IEnumerable<string> Objections(ModelAsker asker, ModelPerson person, ModelEntry entry, DateTimeOffset now)
    {
        var who = asker.Requester;
        switch (who.Kind)
        {
            case RequesterKind.System:
                if (entry.Controller != who.Organisation.ToString() || entry.Register != RegisterMeant(asker, []))
                    yield return "§13: a system keeps its own controller's register";
                yield break;

            case RequesterKind.Citizen:
                if (who.OnBehalfOf is null && who.Self != ConsentWorld.Person)
                    yield return "§74: somebody else's record";
                // The person's own reading rests on no policy, so the age of the record is not looked at there: it is being destroyed.
                if (who.OnBehalfOf is not null && IsPastRetention(person.Facts, now))
                    yield return "§24: kept no longer";
                if (who.OnBehalfOf is not null && person.Facts.Deceased is { } died && died <= now)
                    yield return "§50: representation ends with death";
                if (who.OnBehalfOf is { Kind: RepresentationKind.Custodian })
                {
                    if (Birthday(person.Facts.CustodyFrom, 18) <= now)
                        yield return "§50: custody ends with majority";
                    var isShown = entry.MinorsCode switch
                    {
                        1 or 2 => true,
                        null => ConsentModel.WrittenAt(entry) < Birthday(person.Facts.BirthDate, 12),
                        _ => false,
                    };
                    if (!isShown)
                        yield return "§34, §51: the minor's own";
                }
                if (entry.Release is { } release && release > now)
                    yield return "release delay";
                yield break;
        }

        if (IsPastRetention(person.Facts, now))
            yield return "§24: kept no longer";
        if (who.PurposeOfUse is not ("TREAT" or "ETREAT"))
            yield return "§9: purpose";
        var open = person.Events.Where(e => e.Controller == who.Organisation.ToString() && IsOpen(e, now)
            && (asker.Interaction.ServiceEvent is null || e.Oid == asker.Interaction.ServiceEvent)).ToList();
        // §9: one of the own that goes on, and is only too long unwritten to prove treatment, refuses nothing of the own register.
        if (asker.Interaction.ServiceEvent is not null && open.Count == 0
            && !person.Events.Any(e => e.Controller == who.Organisation.ToString() && e.Oid == asker.Interaction.ServiceEvent && e.Kind == CareEventKind.Encounter && GoesOn(e, now)))
            yield return "§57: the named service event proves nothing";

        if (asker.Requester.ControllerKind == ControllerKind.Occupational && asker.Interaction.Employer is { } employer
            && person.Events.Where(e => e.Controller == who.Organisation.ToString() && e.Register[0] == '4' && IsOpen(e, now)).Select(e => e.Register[2..]).ToList() is { Count: > 0 } treatedFor
            && !treatedFor.Contains(employer))
            yield return "§18: the register of one employer, while the person is treated for others";

        var isEmergency = who.PurposeOfUse == "ETREAT";
        var ownRecords = person.Declared.OfType<AccessRecord>().Where(r => r.IsActive && Begun(r, now) && r.Professional == who.ProfessionalId && r.Organisation == who.Organisation.ToString()).ToList();
        var isGiven = IsGiven(who);
        var reachesOthers = who.Tasks is not (TaskClass.Support or TaskClass.Administration) && isGiven;

        if (isEmergency && reachesOthers)
        {
            if (who.EmergencyIsOverdue)
                yield return "EHDS 11(5): an emergency of somebody else is not settled";
            var reviews = person.Declared.OfType<EmergencyReview>().Where(r => r.IsActive && Begun(r, now)).ToList();
            foreach (var emergency in ownRecords.OfType<EmergencyAccess>())
            {
                var review = reviews.Where(r => r.Emergency == emergency.Id).OrderBy(r => r.Order).ThenBy(r => r.At).FirstOrDefault();
                if (review is { IsJustified: false } || (review is null && now - emergency.At >= TimeSpan.FromDays(3)))
                    yield return "EHDS 11(5): an emergency is not settled";
            }
            if (!ownRecords.OfType<EmergencyAccess>().Any(e => e.Until is null || now < e.Until))
                yield return "§54.2: no emergency is recorded";
        }

        // §26.2, own register or not.
        if (entry.Services != ProtectedService.None && !ConsentModel.IsMedicationOrRisk(entry.Type)
            && !IsOfService(asker, open, entry.Services)
            && !(IsOfOwnRegister(asker, open, entry) && (who.OwnServices & entry.Services) != 0)
            && !ownRecords.OfType<ProtectedConfirmation>().Any(c => (c.Until is null || now < c.Until) && c.Purpose == who.PurposeOfUse && (c.Services & entry.Services) != 0))
            yield return "§26.2: not confirmed";

        // Decree §5-8: what the task is for, in the own register too.
        if (!isGiven && (entry.Type is not "Appointment" || who.Tasks == TaskClass.Medication))
            yield return "D §5, §6, §8: not in any of these services";
        if (who.Tasks == TaskClass.LimitedCare && entry is { Type: "DocumentReference", Setting: { } speciality } && IsOfOwnRegister(asker, open, entry) && IsOfAnother(who, speciality))
            yield return "D §6: of another profession, speciality and service";
        if (who.Tasks == TaskClass.Support && entry.Type is not "Appointment")
            yield return "D §7: not an order or a booking";
        if (who.Tasks == TaskClass.Medication && isGiven && entry.Type is not ("MedicationRequest" or "Condition" or "Observation"))
            yield return "D §8: not of the summary";

        if (IsOfOwnRegister(asker, open, entry))
            yield break; // §9, §13, §59: the own register needs no permission, and no denial reaches it

        if (!reachesOthers)
            yield return "D §7, §9: the task stays in the own register";
        if (who.Tasks == TaskClass.LimitedCare && entry.Type is not ("MedicationRequest" or "Condition" or "Observation") && !(entry is { Type: "DocumentReference", Setting: { } its } && its == SpecialityOf(who.Profession)))
            yield return "D §6: not of the summary, and no document of the own speciality";
        if (who.Tasks == TaskClass.Medication && entry.Type is not ("MedicationRequest" or "Condition"))
            yield return "D §8: not a medicine";
        if (open.Count == 0)
            yield return "§57: no treatment relationship";
        if (isEmergency)
        {
            if (entry.Type is not ("MedicationRequest" or "Condition" or "Observation"))
                yield return "§54.2: not necessary";
        }
        else if (!who.JointWith.Contains(entry.Controller) || entry.Register != "2") // §54.1: the public providers of Uusimaa need none among each other
        {
            var informed = LastWords(person.Declared.OfType<Informing>().Where(i => Begun(i, now)));
            if (informed.Count == 0 || informed.Any(i => !i.IsCurrent))
                yield return "§58, §68: not informed with the text in force";
            var permit = person.Declared.OfType<DisclosurePermit>().Where(p => Begun(p, now)).ToList();
            // §50: of who was of age somebody with a mandate spoke, as the person.
            permit = [.. permit.Select(p => p with { ByCustodian = IsCustodians(p, person.Facts) })];
            // §51: what a minor able to decide gave, and has not withdrawn, no custodian takes back or shortens; unless somebody says that she was none.
            var minors = permit.Where(p => !p.ByCustodian && !(SaidOn(p) < Birthday(p.IsActive ? person.Facts.BirthDate : person.Facts.FirstBirth, 12))).ToList();
            permit.RemoveAll(taken => taken.ByCustodian && SaidOn(taken) < Birthday(person.Facts.FirstBirth, 18)
                && LastWords(minors.Where(p => IsOfOneMoment(p, taken) ? p.IsActive : p.Order < taken.Order || (p.Order == taken.Order && p.At < taken.At))) is { Count: > 0 } last && last.All(p => p.IsActive && !(p.Until <= now))
                && (!taken.IsActive || (taken.Until ?? DateTimeOffset.MaxValue) < last.Min(p => p.Until ?? DateTimeOffset.MaxValue)));
            if (permit.Count == 0 || LastWords(permit).Any(p => !p.IsActive || p.Until <= now))
                yield return "§54.1: no permission";
            else if (LastWords(minors).Any(p => !p.IsActive))
                yield return "§50, §51: a minor able to decide has withdrawn it";
        }

        if (person.Declared.Contains(null))
            yield return "§59.2: something that nobody can read";
        foreach (var about in person.Declared.OfType<DisclosureDenial>().Where(d => d.From is null || d.From <= now).Select(d => d with { ByCustodian = IsCustodians(d, person.Facts) }).GroupBy(d => d.Target))
        {
            if (LastWords(about).Any(d => d.IsActive && !(d.Until <= now) && !(isEmergency && d.AllowsEmergency)) && Covers(about.Key, entry))
                yield return "§59.2: denied";
        }
    }

    /// <summary>D §5-9: whether the section of the task names one of the services that are given.</summary>
    private static bool IsGiven(Requester who) => Enumerable.Range(1, 14).Where(point => who.Services.HasFlag((HealthServices)(1 << point))).Any(point => who.Tasks switch
    {
        TaskClass.BroadCare => point <= 12,
        TaskClass.LimitedCare => point <= 13,
        TaskClass.Medication => point is 1 or 2 or (>= 5 and <= 7) or 14,
        _ => true,
    });

    /// <summary>§50: a custodian's word of a child; of who was of age somebody with a mandate spoke.</summary>
    private static bool IsCustodians(Declaration said, PersonFacts facts) => said.ByCustodian && !(SaidOn(said) >= Birthday(facts.CustodyFrom, 18));

    private const string Snomed = "http://snomed.info/sct|";

    private static string? SpecialityOf(string? profession) => profession switch { "fysioterapeutti" => Snomed + "394602003", "suuhygienisti" => Snomed + "394812008", _ => null };

    /// <summary>
    /// D §6: not of the own speciality nor of what is given, where all of that is of some speciality; who has none of one's own works in what is given. What a house calls
    /// its work by a code of its own is of no other.
    /// </summary>
    private static bool IsOfAnother(Requester who, string speciality)
    {
        if (!speciality.StartsWith(Snomed, StringComparison.Ordinal))
            return false;
        var given = Enumerable.Range(1, 14).Where(point => who.Services.HasFlag((HealthServices)(1 << point))).Select(point => point switch { 4 => Snomed + "394812008", 10 => Snomed + "394602003", _ => null }).ToList();
        var isOfSpecialities = !given.Contains(null);
        return speciality != SpecialityOf(who.Profession) && !(isOfSpecialities && given.Contains(speciality)) && (SpecialityOf(who.Profession) is not null || isOfSpecialities);
    }

    /// <summary>§26.2: in an event of the same service; where none is named, all that are open have to be of it. To another unit than its own none is.</summary>
    private static bool IsOfService(ModelAsker asker, List<ServiceEvent> open, ProtectedService services) => asker.Interaction.ServiceEvent is not null
        ? open.Any(e => IsOf(asker, e, services))
        : Enum.GetValues<ProtectedService>().Any(s => s != 0 && (s & services) != 0 && open.Any(e => IsOf(asker, e, s)) && open.All(e => IsOf(asker, e, s) || IsOfNoVisit(e)));

    /// <summary>A booking that says of which visit it is neither by number nor by service.</summary>
    private static bool IsOfNoVisit(ServiceEvent e) => e is { Kind: CareEventKind.Appointment, Oid: null, Services: ProtectedService.None };

    private static bool IsOf(ModelAsker asker, ServiceEvent e, ProtectedService services) => (e.Services & services) != 0 && (e.Unit is null || e.Unit == asker.Requester.Unit);

    private static bool IsOfOwnRegister(ModelAsker asker, List<ServiceEvent> open, ModelEntry entry) =>
        entry.Controller == asker.Requester.Organisation.ToString() && entry.Register == RegisterMeant(asker, open);

    /// <summary>Clocks differ by minutes; what is dated further ahead gives nothing yet.</summary>
    private static bool Begun(Declaration declaration, DateTimeOffset now) => declaration.At <= now.AddMinutes(5) && (declaration.From is null || declaration.From <= now);

    /// <summary>
    /// §58: the last word that was new when it was stored, and the older ones that were typed in after it: those still close. New is what the person says herself, and a form
    /// that is no older than all that was said before; of two at once both count. A custodian's about a child's denial is new where there was none (§51).
    /// </summary>
    private static List<T> LastWords<T>(IEnumerable<T> declared) where T : Declaration
    {
        var told = declared.OrderBy(d => d.Order).ThenBy(d => d.At).ToList();
        var since = told.FindLastIndex(d => told.TakeWhile(other => !IsOfOneMoment(other, d)).All(earlier => d is not DisclosureDenial { ByCustodian: true } && (d.RecordedBy is null || SaidOn(d) >= SaidOn(earlier))));
        return since < 0 ? [] : [.. told.SkipWhile(d => !IsOfOneMoment(d, told[since]))];
    }

    private static bool IsOfOneMoment(Declaration one, Declaration other) => one.Order == other.Order && one.At == other.At;

    private static DateTimeOffset SaidOn(Declaration declared) => declared.StoredAt is not { } stored ? declared.At
        : declared.RecordedBy is null ? stored : new[] { stored, declared.At }.Min();

    private static bool Covers(DenialTarget target, ModelEntry entry) => target switch
    {
        DenialTarget.All => true,
        DenialTarget.OfServiceEvent its => its.Oid == entry.Event,
        DenialTarget.OfRegister its => its.Controller == entry.Controller && its.Register == entry.Register,
        DenialTarget.OfPrescription its => its.Id == entry.Id,
        _ => true,
    };

    /// <summary>§18: occupational care keeps one for each employer, and of two for whom it treats means neither.</summary>
    private static string RegisterMeant(ModelAsker asker, List<ServiceEvent> open) =>
        asker.Requester.ControllerKind != ControllerKind.Occupational ? "2"
        : asker.Interaction.Employer is { } employer ? "4:" + employer
        : open.Select(e => e.Register).Where(r => r[0] == '4').Distinct().ToList() is [var only] ? only : "2";

    private static bool IsOpen(ServiceEvent e, DateTimeOffset now) => e.Kind == CareEventKind.Encounter
        ? GoesOn(e, now)
            // §57: what nobody ends is over thirty days after anybody last wrote it.
            && (e.StoredAt ?? e.Start) is { } last && now < last.AddDays(30)
        : e.Status is "booked" or "arrived" or "checked-in" && e.Start is { } start && start.AddHours(-24) <= now && now < new[] { e.End ?? start, start.AddDays(30) }.Min().AddHours(24);

    /// <summary>A visit by its own words: begun, and not over.</summary>
    private static bool GoesOn(ServiceEvent e, DateTimeOffset now) =>
        e.Status is "arrived" or "triaged" or "in-progress" or "onleave" && (e.Start is null || e.Start <= now) && (e.End is null || now < e.End);

    private static bool IsPastRetention(PersonFacts facts, DateTimeOffset now) => facts.Deceased is { } died ? died.AddYears(12) <= now
        : facts.BirthDate is not null && Birthday(facts.BirthDate, 120) <= now;

    /// <summary>A birthday begins when it does where the person lives; null where nobody knows it.</summary>
    public static DateTimeOffset? Birthday(DateOnly? birth, int years)
    {
        if (birth is not { } born)
            return null;
        var midnight = born.AddYears(years).ToDateTime(default);
        return new DateTimeOffset(midnight, TimeZoneInfo.FindSystemTimeZoneById("Europe/Helsinki").GetUtcOffset(midnight));
    }
}
