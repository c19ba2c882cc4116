using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>PV1, PV2, DG1, AL1; SCH and what stands under it.</summary>
sealed partial class MessageReading
{
    private const string OfVisit = "Encounter", OfBooking = "Appointment", ActCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

    /// <summary>HL7 table 0004 in v3-ActCode.</summary>
    private static readonly Dictionary<string, (string Code, string Display)> Classes = new()
    {
        ["I"] = ("IMP", "inpatient encounter"), ["O"] = ("AMB", "ambulatory"), ["E"] = ("EMER", "emergency"), ["P"] = ("PRENC", "pre-admission"), ["R"] = ("AMB", "ambulatory"), ["B"] = ("IMP", "inpatient encounter"), ["C"] = ("AMB", "ambulatory"),
    };

    private void ReadVisit(string trigger)
    {
        // An update of the person alone has a PV1 that says N(ot applicable), or none.
        var needsVisit = trigger is "A01" or "A03" or "A04";
        var pv1 = needsVisit ? Required("PV1") : message.First("PV1");
        if (pv1 is null || trigger is "A31" or "A40")
            return;
        if (IdOf(pv1, 19, OfVisit, isCx: true) is not { } number)
        {
            if (needsVisit)
                message.Refuse(pv1.At(19), Hl7ErrorCode.RequiredFieldMissing, "The visit is named by its number, best by the OID of the service event.");
            return;
        }
        number.Use = Identifier.IdentifierUse.Official;
        var encounter = transaction.CopyOf<Encounter>(number) ?? new Encounter { Identifier = [number] };
        encounter.Subject = _patient;
        if (pv1.Text(2, target: OfVisit) is { } kind && Classes.TryGetValue(kind, out var coded))
            encounter.Class = new(ActCode, coded.Code, coded.Display);
        else if (encounter.Class is null)
            NotInTable(pv1, 2, "table 0004");
        encounter.Period ??= new();
        Field(pv1, 44, () => encounter.Period.StartElement = Time(pv1, 44, OfVisit), () => encounter.Period.StartElement = null);
        Field(pv1, 45, () => encounter.Period.EndElement = Time(pv1, 45, OfVisit), () => encounter.Period.EndElement = null);
        if (trigger == "A03" && encounter.Period.End is null)
            encounter.Period.EndElement = message.First("EVN") is { } evn ? Time(evn, 6, OfVisit) ?? Time(evn, 2, OfVisit) : null;
        if (encounter.Period is { StartElement: { } from, EndElement: { } to } && string.CompareOrdinal(to.Value, from.Value) < 0 && to.ToDateTimeOffset(TimeSpan.Zero) < from.ToDateTimeOffset(TimeSpan.Zero))
            message.Refuse(pv1.At(45), Hl7ErrorCode.DataType, "The visit ends before it begins (PV1-44).");
        if (encounter.Period.Start is null && encounter.Period.End is null)
            encounter.Period = null;
        encounter.Status = trigger == "A03" || encounter.Period?.End is not null ? Encounter.EncounterStatus.Finished
            : trigger == "A08" && encounter.Status is { } stays ? stays : Encounter.EncounterStatus.InProgress;
        ReadParticipants(encounter, pv1);
        Field(pv1, 3, () => encounter.Location = Place(pv1, 3, OfVisit) is { } place ? [new() { Location = new() { Display = place } }] : [], () => encounter.Location = []);
        Field(pv1, 10, () => encounter.ServiceType = Concept(pv1, 10, OfVisit), () => encounter.ServiceType = null);
        if (message.First("PV2") is { } pv2)
            Field(pv2, 3, () => encounter.ReasonCode = Concept(pv2, 3, OfVisit) is { } reason ? [reason] : [], () => encounter.ReasonCode = []);
        var visit = Add(encounter, pv1, number);
        ReadDiagnoses(visit, number);
        ReadAllergies(number);
    }

    private static void ReadParticipants(Encounter encounter, Hl7Segment pv1)
    {
        foreach (var (field, role) in (ReadOnlySpan<(int, string)>)[(7, "ATND"), (8, "REF"), (9, "CON"), (17, "ADM")])
        {
            if (pv1.IsEmpty(field))
                continue;
            encounter.Participant.RemoveAll(p => p.Type.Exists(t => t.Coding.Exists(c => c.Code == role)));
            for (var r = 1; r <= pv1.Repetitions(field); r++)
                if (Professional(pv1, field, OfVisit, r) is { } who)
                    encounter.Participant.Add(new() { Type = [new("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", role)], Individual = who });
        }
    }

    private void ReadDiagnoses(ResourceReference visit, Identifier number)
    {
        foreach (var dg1 in message.All("DG1"))
        {
            dg1.Text(1);
            if (Concept(dg1, 3, "Condition") is not { } code)
            {
                message.Refuse(dg1.At(3), Hl7ErrorCode.RequiredFieldMissing, "A diagnosis has a code or a text.");
                continue;
            }
            if (code.Text is null && dg1.Text(4, target: "Condition") is { } words)
                code.Text = words;
            // Sent with every message of the visit: it is the same one.
            var key = new Identifier("urn:ietf:rfc:3986", Adapters.Transaction.UuidOf("hl7v2 diagnosis", organisation, number.Value!, code.Coding is [{ Code: { } coded }, ..] ? coded : code.Text ?? ""));
            var condition = transaction.CopyOf<Condition>(key) ?? new Condition { Identifier = [key] };
            (condition.Subject, condition.Encounter, condition.Code) = (_patient, visit, code);
            condition.Category = [new("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")];
            if (Time(dg1, 5, "Condition") is { } found)
                condition.RecordedDateElement = found;
            if (Professional(dg1, 16, "Condition") is { } who)
                condition.Recorder = who;
            condition.VerificationStatus ??= new("http://terminology.hl7.org/CodeSystem/condition-ver-status", dg1.Text(6, target: "Condition") is "F" ? "confirmed" : "provisional");
            OfServiceEvent(condition);
            condition.Extension = [.. condition.Extension.DistinctBy(static e => e.Url)];
            Add(condition, dg1, key);
        }
    }

    private void ReadAllergies(Identifier number)
    {
        foreach (var al1 in message.All("AL1"))
        {
            al1.Text(1);
            if (Concept(al1, 3, "AllergyIntolerance") is not { } code)
            {
                message.Refuse(al1.At(3), Hl7ErrorCode.RequiredFieldMissing, "An allergy has a code or a text.");
                continue;
            }
            var key = new Identifier("urn:ietf:rfc:3986", Adapters.Transaction.UuidOf("hl7v2 allergy", organisation, Code!, code.Coding is [{ Code: { } coded }, ..] ? coded : code.Text ?? ""));
            var allergy = transaction.CopyOf<AllergyIntolerance>(key) ?? new AllergyIntolerance { Identifier = [key] };
            (allergy.Patient, allergy.Code) = (_patient, code);
            // ait-1
            allergy.ClinicalStatus ??= new("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active");
            allergy.Category = al1.Text(2, target: "AllergyIntolerance") switch
            {
                "DA" => [AllergyIntolerance.AllergyIntoleranceCategory.Medication], "FA" => [AllergyIntolerance.AllergyIntoleranceCategory.Food],
                "EA" or "AA" or "PA" or "LA" => [AllergyIntolerance.AllergyIntoleranceCategory.Environment], _ => [],
            };
            if (al1.Text(5, target: "AllergyIntolerance") is { } reaction)
                allergy.Reaction = [new() { Manifestation = [new() { Text = reaction }] }];
            Add(allergy, al1, key);
        }
    }

    private void ReadAppointment(string trigger)
    {
        if (Required("SCH") is not { } sch)
            return;
        if ((IdOf(sch, 2, OfBooking, isCx: false) ?? IdOf(sch, 1, OfBooking, isCx: false)) is not { } key)
        {
            message.Refuse(sch.At(2), Hl7ErrorCode.RequiredFieldMissing, "A booking is named by the filler's id, or by the placer's (SCH-1).");
            return;
        }
        var booking = transaction.CopyOf<Appointment>(key) ?? new Appointment { Identifier = [key] };
        booking.Status = trigger == "S15" ? Appointment.AppointmentStatus.Cancelled : Appointment.AppointmentStatus.Booked;
        Field(sch, 7, () => booking.ReasonCode = Concept(sch, 7, OfBooking) is { } reason ? [reason] : [], () => booking.ReasonCode = []);
        Field(sch, 8, () => booking.AppointmentType = Concept(sch, 8, OfBooking), () => booking.AppointmentType = null);
        if (trigger == "S15" && Concept(sch, 6, OfBooking) is { } why)
            booking.CancelationReason = why;
        ReadTimes(booking, sch);
        var others = new List<Appointment.ParticipantComponent>();
        foreach (var segment in message.Segments)
            switch (segment.Name)
            {
                case "RGS":
                    segment.Text(1);
                    break;
                case "AIS":
                    segment.Text(1);
                    if (Concept(segment, 3, OfBooking) is { } service)
                        booking.ServiceType = [service];
                    break;
                case "AIP" when Professional(segment, 3, OfBooking) is { } who:
                    segment.Text(1);
                    others.Add(Accepted(who));
                    break;
                case "AIL" when Place(segment, 3, OfBooking) is { } where:
                    segment.Text(1);
                    others.Add(Accepted(new() { Display = where, Type = "Location" }));
                    break;
                case "AIG" when Concept(segment, 3, OfBooking) is { } what:
                    segment.Text(1);
                    others.Add(Accepted(new() { Display = what.Text ?? what.Coding[0].Display ?? what.Coding[0].Code }));
                    break;
                case "NTE" when segment.Text(3, target: OfBooking) is { } note:
                    segment.Text(1);
                    booking.Comment = note;
                    break;
            }
        if (others.Count > 0 || booking.Participant.Count == 0)
            booking.Participant = [Accepted(_patient), .. others];
        Add(booking, sch, key);

        static Appointment.ParticipantComponent Accepted(ResourceReference actor) => new() { Actor = actor, Status = ParticipationStatus.Accepted };
    }

    private void ReadTimes(Appointment booking, Hl7Segment sch)
    {
        var (tq1, ais) = (message.First("TQ1"), message.First("AIS"));
        var from = Moment(sch, 11, OfBooking, 4) ?? (tq1 is null ? null : Moment(tq1, 7, OfBooking)) ?? (ais is null ? null : Moment(ais, 4, OfBooking));
        var to = Moment(sch, 11, OfBooking, 5) ?? (tq1 is null ? null : Moment(tq1, 8, OfBooking));
        if (from is not null && to is null && Minutes(sch, 9) is { } minutes)
            to = from.Value.AddMinutes(minutes);
        if (from is not null && to is null && ais is not null && Minutes(ais, 7) is { } lasts)
            to = from.Value.AddMinutes(lasts);
        if (from is not null)
            (booking.Start, booking.End) = (from, to);
        if (booking.Status == Appointment.AppointmentStatus.Booked && (booking.Start is null || booking.End is null))
            message.Refuse(sch.At(11), Hl7ErrorCode.RequiredFieldMissing, "A booking begins and ends: say it in SCH-11.4 and .5, TQ1-7 and 8, or AIS-4 and 7.");
        else if (booking.Start > booking.End)
            message.Refuse(sch.At(11), Hl7ErrorCode.DataType, "The booking ends before it begins.");
        // app-3
        else if (booking.Start is null != booking.End is null)
            (booking.Start, booking.End) = (null, null);
    }

    /// <summary>A duration with its unit in the field after it; minutes where none is said.</summary>
    private int? Minutes(Hl7Segment segment, int field)
    {
        if (segment.Text(field, target: OfBooking) is not { } text)
            return null;
        var unit = segment.Text(field + 1, target: OfBooking)?.ToUpperInvariant();
        if (int.TryParse(text, System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out var number) && number <= 100_000)
            switch (unit)
            {
                case null or "MIN" or "M" or "MINUTE" or "MINUTES": return number;
                case "H" or "HR" or "HOUR" or "HOURS": return number * 60;
                case "S" or "SEC": return number / 60;
            }
        message.Refuse(segment.At(field), Hl7ErrorCode.DataType, "The duration is a whole number of minutes, or its unit is none of min, h and s.");
        return null;
    }
}
