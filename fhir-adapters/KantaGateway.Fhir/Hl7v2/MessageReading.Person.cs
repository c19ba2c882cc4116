using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>PID, PD1, NK1, MRG.</summary>
sealed partial class MessageReading
{
    private const string OfPatient = "Patient";

    /// <summary>Identifier of nobody: it is asked for until the person is known.</summary>
    private static readonly Dictionary<string, AdministrativeGender> Genders = new()
    {
        ["F"] = AdministrativeGender.Female, ["M"] = AdministrativeGender.Male, ["O"] = AdministrativeGender.Other, ["A"] = AdministrativeGender.Other, ["U"] = AdministrativeGender.Unknown, ["N"] = AdministrativeGender.Other,
    };

    /// <param name="changes">Whether the message tells how the person's details are; another only says who it is.</param>
    private bool ReadPerson(bool changes, bool merges)
    {
        if (Required("PID") is not { } pid)
            return false;
        if (CodeIn(pid, 3) is not { } code)
            return false;
        if (merges && !ReadMerge(code))
            return false;
        Code = code;
        var key = new Identifier(PersonalIdentityCode.System, code);
        var known = transaction.CopyOf<Patient>(key);
        var patient = known ?? new Patient { Identifier = [new(PersonalIdentityCode.System, code) { Use = Identifier.IdentifierUse.Official, Type = new("http://terminology.hl7.org/CodeSystem/v2-0203", "NNFIN") }] };
        if (changes || known is null)
            Describe(patient, pid);
        if (merges)
            AddReplaced(patient);
        _patient = transaction.Add(patient, "PID 1", key);
        if (changes)
            _made.Add(_patient);
        else if (known is null)
            _made.Add(_patient);
        return true;
    }

    /// <summary>The personal identity code among the ids of a field; what is wrong is said.</summary>
    private string? CodeIn(Hl7Segment segment, int field)
    {
        for (var r = 1; r <= segment.Repetitions(field); r++)
        {
            if (!IsIdentityCode(segment, field, r))
                continue;
            var text = segment.Text(field, 1, r, target: OfPatient)!;
            segment.Text(field, 4, r, 1, OfPatient);
            segment.Text(field, 4, r, 2, OfPatient);
            segment.Text(field, 4, r, 3, OfPatient);
            segment.Text(field, 5, r, target: OfPatient);
            if (PersonalIdentityCode.TryParse(text, out var code))
                return code.Reveal();
            message.Refuse(segment.At(field, r, 1), Hl7ErrorCode.DataType, "The personal identity code is not valid: all eleven characters are compared, capital letters, the check character too.");
            return null;
        }
        message.Refuse(segment.At(field), Hl7ErrorCode.UnknownKey, "The person is named by the personal identity code: an id whose authority (component 4) is 1.2.246.21 or whose type (component 5) is NNFIN. Nobody is kept here without one.");
        return null;
    }

    private static bool IsIdentityCode(Hl7Segment segment, int field, int repetition) =>
        segment.Text(field, 1, repetition) is { } id
        && (segment.Text(field, 5, repetition) == "NNFIN" || segment.Text(field, 4, repetition, 2) == "1.2.246.21" || segment.Text(field, 4, repetition) == "1.2.246.21"
            // Alone and of nobody, as small systems send it.
            || segment.Text(field, 4, repetition) is null && segment.Text(field, 5, repetition) is null && PersonalIdentityCode.TryParse(id, out _));

    private void Describe(Patient patient, Hl7Segment pid)
    {
        for (var r = 1; r <= pid.Repetitions(3); r++)
            if (!IsIdentityCode(pid, 3, r) && IdOf(pid, 3, OfPatient, isCx: true, r) is { } local && !patient.Identifier.Exists(i => i.System == local.System && i.Value == local.Value))
                patient.Identifier.Add(local);
        Field(pid, 5, () => patient.Name = [.. Enumerable.Range(1, pid.Repetitions(5)).Select(r => Name(pid, 5, r)).OfType<HumanName>()], () => patient.Name = []);
        Field(pid, 7, () => patient.BirthDateElement = Day(pid, 7), () => patient.BirthDate = null);
        Field(pid, 8, () =>
        {
            if (pid.Text(8, target: OfPatient) is { } sex && Genders.TryGetValue(sex, out var gender))
                patient.Gender = gender;
            else
                NotInTable(pid, 8, "table 0001");
        }, () => patient.Gender = null);
        Field(pid, 11, () => patient.Address = [.. Enumerable.Range(1, pid.Repetitions(11)).Select(r => AddressOf(pid, 11, r)).OfType<Address>()], () => patient.Address = []);
        foreach (var (field, use) in (ReadOnlySpan<(int, ContactPoint.ContactPointUse)>)[(13, ContactPoint.ContactPointUse.Home), (14, ContactPoint.ContactPointUse.Work)])
            Field(pid, field, () =>
            {
                patient.Telecom.RemoveAll(t => t.Use == use);
                patient.Telecom.AddRange(Enumerable.Range(1, pid.Repetitions(field)).Select(r => Contact(pid, field, use, r)).OfType<ContactPoint>());
            }, () => patient.Telecom.RemoveAll(t => t.Use == use));
        Field(pid, 15, () => patient.Communication = Concept(pid, 15, OfPatient) is { } language ? [new() { Language = AsLanguage(language), Preferred = true }] : [], () => patient.Communication = []);
        if (pid.Text(30, target: OfPatient) is "Y")
            patient.Deceased = Time(pid, 29, OfPatient) is { } died ? died : new FhirBoolean(true);
        else if (pid.Text(30, target: OfPatient) is "N")
            patient.Deceased = null;
        else if (Time(pid, 29, OfPatient) is { } died)
            patient.Deceased = died;
        if (message.First("PD1")?.Text(12, target: OfPatient) is { } isProtected)
            Protect(patient, isProtected);
        ReadContacts(patient);
    }

    /// <summary>Turvakielto: it is set and ended by what is said, and an empty field ends nothing.</summary>
    private void Protect(Patient patient, string indicator)
    {
        if (indicator == "Y" && !ContactDetails.AreLabelled(patient))
            (patient.Meta ??= new()).Security.Add(new(ContactDetails.LabelSystem, "TURVAKIELTO"));
        else if (indicator == "N")
            patient.Meta?.Security.RemoveAll(static s => string.Equals(s.Code, "TURVAKIELTO", StringComparison.OrdinalIgnoreCase));
        else if (indicator != "Y")
            NotInTable(message.First("PD1")!, 12, "table 0136 (Y, N)");
    }

    private void ReadContacts(Patient patient)
    {
        if (message.First("NK1") is null)
            return;
        patient.Contact = [];
        foreach (var nk1 in message.All("NK1"))
        {
            nk1.Text(1);
            var contact = new Patient.ContactComponent
            {
                Name = Name(nk1, 2, 1), Address = AddressOf(nk1, 4, 1), Telecom = Contact(nk1, 5, ContactPoint.ContactPointUse.Home, 1) is { } phone ? [phone] : [],
                Relationship = Concept(nk1, 3, OfPatient) is { } relationship ? [relationship] : [],
            };
            // pat-1
            if (contact.Name is not null || contact.Address is not null || contact.Telecom.Count > 0)
                patient.Contact.Add(contact);
        }
    }

    private bool ReadMerge(string code)
    {
        if (Required("MRG") is not { } mrg)
            return false;
        for (var r = 1; r <= mrg.Repetitions(1); r++)
            if (IsIdentityCode(mrg, 1, r) && mrg.Text(1, 1, r) != code)
            {
                message.Refuse(mrg.At(1, r, 1), Hl7ErrorCode.DataType, "What was recorded under one personal identity code is not moved to another by a message: correct the records themselves, or ask the operators of this service. Ids of your own system are merged.");
                return false;
            }
        if (mrg.Repetitions(1) > 0)
            return true;
        message.Refuse(mrg.At(1), Hl7ErrorCode.RequiredFieldMissing, "MRG-1 says which ids are merged into those of PID-3.");
        return false;
    }

    /// <summary>Ids that are in use no more lead to the person still.</summary>
    private void AddReplaced(Patient patient)
    {
        var mrg = message.First("MRG")!;
        for (var r = 1; r <= mrg.Repetitions(1); r++)
        {
            if (IsIdentityCode(mrg, 1, r) || IdOf(mrg, 1, OfPatient, isCx: true, r) is not { } old)
                continue;
            patient.Identifier.RemoveAll(i => i.System == old.System && i.Value == old.Value);
            patient.Identifier.Add(new(old.System, old.Value) { Use = Identifier.IdentifierUse.Old });
        }
    }

    /// <summary>HL7 v2.5.1 §2.5.3: empty says nothing, <c>""</c> deletes.</summary>
    private static void Field(Hl7Segment segment, int field, Action said, Action deleted)
    {
        if (segment.IsDeleted(field))
            deleted();
        else if (!segment.IsEmpty(field))
            said();
    }

    private Date? Day(Hl7Segment segment, int field) => Time(segment, field, OfPatient)?.Value is { } time ? new(time.Length > 10 ? time[..10] : time) : null;

    /// <summary>XPN: family (own, prefix and partner's as one), given, further given.</summary>
    private static HumanName? Name(Hl7Segment segment, int field, int repetition)
    {
        var name = new HumanName
        {
            Family = segment.Text(field, 1, repetition, 1, OfPatient),
            Given = [.. new[] { 2, 3 }.Select(c => segment.Text(field, c, repetition, 1, OfPatient)).OfType<string>()],
            Use = segment.Text(field, 7, repetition, 1, OfPatient) switch { "L" => HumanName.NameUse.Official, "M" => HumanName.NameUse.Maiden, "N" => HumanName.NameUse.Nickname, _ => null },
        };
        return name.Family is not null || name.Given.Any() ? name : null;
    }

    /// <summary>XAD.</summary>
    private static Address? AddressOf(Hl7Segment segment, int field, int repetition)
    {
        var address = new Address
        {
            Line = [.. new[] { 1, 2 }.Select(c => segment.Text(field, c, repetition, 1, OfPatient)).OfType<string>()],
            City = segment.Text(field, 3, repetition, 1, OfPatient), State = segment.Text(field, 4, repetition, 1, OfPatient),
            PostalCode = segment.Text(field, 5, repetition, 1, OfPatient), Country = segment.Text(field, 6, repetition, 1, OfPatient),
        };
        return address.Line.Any() || address.City is not null || address.State is not null || address.PostalCode is not null || address.Country is not null ? address : null;
    }

    /// <summary>XTN: a number as it was written, or an e-mail address.</summary>
    private static ContactPoint? Contact(Hl7Segment segment, int field, ContactPoint.ContactPointUse use, int repetition)
    {
        if (segment.Text(field, 4, repetition, 1, OfPatient) is { } mail)
            return new() { System = ContactPoint.ContactPointSystem.Email, Use = use, Value = mail };
        var parts = new[] { 5, 6, 7 }.Select(c => segment.Text(field, c, repetition, 1, OfPatient)).OfType<string>().ToList();
        var number = segment.Text(field, 12, repetition, 1, OfPatient) ?? segment.Text(field, 1, repetition, 1, OfPatient) ?? (parts.Count > 0 ? string.Join(' ', parts) : null);
        return number is null ? null : new() { System = ContactPoint.ContactPointSystem.Phone, Use = use, Value = number };
    }

    /// <summary>BCP 47 for what is one; FHIR binds languages to it.</summary>
    private static CodeableConcept AsLanguage(CodeableConcept language) =>
        language.Coding.Count == 0 && language.Text is { } text && text.Split(' ')[0] is { Length: 2 or 3 } code && code.All(char.IsAsciiLetter)
            ? new("urn:ietf:bcp:47", code.ToLowerInvariant()) : language;
}
