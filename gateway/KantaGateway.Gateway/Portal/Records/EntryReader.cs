using System.Text;
using System.Text.Json;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>One labelled line or text of an entry.</summary>
/// <param name="Label">Key under <c>entry.</c> of the texts, or null when <paramref name="Name"/> names it.</param>
/// <param name="Name">Name that came with the data, such as a component of a panel.</param>
/// <param name="Value">As people read it; may have line breaks.</param>
internal sealed record EntryField(string? Label, string? Name, string Value);

/// <summary>Says in plain words what a resource holds. Pure; what it does not know it leaves to the technical details.</summary>
internal sealed class EntryReader(Texts texts)
{
    /// <summary>What the entry is, in a few words.</summary>
    public string Title(Entry entry)
    {
        var r = entry.Resource;
        return entry.Type switch
        {
            "Encounter" => FhirText.Concepts(r, "type", texts) ?? VisitClass(r),
            "Immunization" => FhirText.Concept(r.At("vaccineCode"), texts),
            "MedicationRequest" or "MedicationStatement" or "MedicationDispense" or "MedicationAdministration" => Medicine(r),
            "DocumentReference" => r.String("description") ?? FhirText.Concept(r.At("type"), texts) ?? FhirText.Concepts(r, "category", texts),
            "Composition" => r.String("title") ?? FhirText.Concept(r.At("type"), texts),
            "CarePlan" => r.String("title") ?? FhirText.Concepts(r, "category", texts) ?? r.String("description"),
            "Goal" => FhirText.Concept(r.At("description"), texts),
            "ClinicalImpression" => FhirText.Concept(r.At("code"), texts) ?? r.String("description"),
            "ImagingStudy" => r.String("description") ?? FhirText.Concepts(r, "procedureCode", texts),
            "FamilyMemberHistory" => FhirText.Concept(r.At("relationship"), texts),
            "Appointment" => FhirText.Concepts(r, "serviceType", texts) ?? r.String("description"),
            "Communication" => FhirText.Concept(r.At("topic"), texts),
            "Media" => r.At("content")?.String("title") ?? FhirText.Concept(r.At("type"), texts),
            "EpisodeOfCare" => FhirText.Concepts(r, "type", texts),
            "Specimen" or "Coverage" => FhirText.Concept(r.At("type"), texts),
            "AdverseEvent" => FhirText.Concept(r.At("event"), texts),
            "Device" => r.Each("deviceName").FirstOrDefault().String("name") ?? FhirText.Concept(r.At("type"), texts),
            "DeviceUseStatement" => FhirText.Display(r.At("device")),
            "DeviceRequest" => FhirText.Concept(r.At("codeCodeableConcept"), texts) ?? FhirText.Display(r.At("codeReference")),
            "CareTeam" or "Account" => r.String("name"),
            "List" => r.String("title") ?? FhirText.Concept(r.At("code"), texts),
            "RelatedPerson" => FhirText.Concepts(r, "relationship", texts),
            "Claim" or "ExplanationOfBenefit" or "QuestionnaireResponse" => null,
            _ => FhirText.Concept(r.At("code"), texts),
        } ?? TypeName(entry.Type);
    }

    /// <summary>What a professional calls it, beside <paramref name="title"/>; null where that says no more.</summary>
    public static string? Term(Entry entry, string title)
    {
        var r = entry.Resource;
        return FhirText.Term(entry.Type switch
        {
            "Encounter" or "EpisodeOfCare" => r.Each("type").Select(static c => (JsonElement?)c).FirstOrDefault(),
            "DocumentReference" or "Composition" or "Specimen" or "Coverage" => r.At("type"),
            "Immunization" => r.At("vaccineCode"),
            "MedicationRequest" or "MedicationStatement" or "MedicationDispense" or "MedicationAdministration" => r.At("medicationCodeableConcept") ?? Contained(r)?.At("code"),
            "AdverseEvent" => r.At("event"),
            "ImagingStudy" => r.Each("procedureCode").Select(static c => (JsonElement?)c).FirstOrDefault(),
            _ => r.At("code"),
        }, title);
    }

    /// <summary>Plain name of a FHIR type.</summary>
    public string TypeName(string type) => texts.Find($"type.{type}") ?? texts["type.other"];

    /// <summary>The one thing to show beside the title in a list: a result, a dose, a status. Null when there is none.</summary>
    public string? Gist(Entry entry)
    {
        var r = entry.Resource;
        return entry.Type switch
        {
            "Observation" => FhirText.Value(r, texts) ?? Components(r),
            "DiagnosticReport" => r.String("conclusion"),
            "MedicationRequest" or "MedicationStatement" or "MedicationDispense" or "MedicationAdministration" => Dosage(r) ?? Status(r),
            "Condition" => Concepted(r, "clinicalStatus", "status"),
            "AllergyIntolerance" => Concepted(r, "clinicalStatus", "status"),
            "Encounter" => Status(r),
            _ => r.String("status") is "entered-in-error" or "not-done" or "cancelled" ? Status(r) : null,
        };
    }

    /// <summary>Everything the page shows of an entry, in reading order.</summary>
    /// <param name="attachments">Texts of its attachments, already fetched.</param>
    public IReadOnlyList<EntryField> Fields(Entry entry, IReadOnlyList<string> attachments)
    {
        var r = entry.Resource;
        var fields = new List<EntryField>();
        void Add(string label, string? value)
        {
            if (!string.IsNullOrWhiteSpace(value))
                fields.Add(new(label, null, value));
        }

        Add("period", FhirText.Period(r.At("period")) ?? FhirText.Period(r.At("effectivePeriod")) ?? FhirText.Period(r.At("performedPeriod")));
        Add("value", FhirText.Value(r, texts));
        foreach (var component in r.Each("component"))
            if (FhirText.Value(component, texts) is { } value)
                fields.Add(new(null, FhirText.Concept(component.At("code"), texts) ?? texts["entry.value"], value));
        Add("value", Concepted(r, "dataAbsentReason", "status"));
        Add("reference", Lines(r.Each("referenceRange").Select(x => FhirText.Range(x))));
        Add("value", Lines(r.Each("result").Select(x => FhirText.Display(x))));
        Add("conclusion", r.String("conclusion"));
        Add("dosage", Dosage(r));
        Add("severity", Concepted(r, "severity", "severity") ?? (r.String("criticality") is { } danger ? texts.Find($"criticality.{danger}") : null));
        Add("reaction", Lines(r.Each("reaction").Select(x => FhirText.Concepts(x, "manifestation", texts))));
        Add("bodysite", FhirText.Concepts(r, "bodySite", texts));
        Add("reason", FhirText.Concepts(r, "reasonCode", texts) ?? Lines(r.Each("reasonReference").Select(x => FhirText.Display(x))));
        Add("performer", Lines(
            r.Each("performer").Select(p => FhirText.Display(p) ?? FhirText.Display(p.At("actor")))
                .Concat(r.Each("participant").Select(p => FhirText.Display(p.At("individual")) ?? FhirText.Display(p.At("actor"))))
                .Append(FhirText.Display(r.At("requester"))).Append(FhirText.Display(r.At("recorder")))));
        Add("author", Lines(r.Each("author").Select(x => FhirText.Display(x))));
        Add("status", Status(r));
        foreach (var note in r.Each("note"))
            Add("note", note.String("text"));
        Add("note", entry.Type == "CarePlan" ? Lines(r.Each("activity").Select(a => FhirText.Concept(a.At("detail")?.At("code"), texts))) : null);
        foreach (var section in r.Each("section"))
            Sections(section, fields);
        foreach (var item in r.Each("item"))
            if (entry.Type == "QuestionnaireResponse")
                Answers(item, fields);
        foreach (var payload in r.Each("payload"))
            Add("text", payload.String("contentString"));
        foreach (var text in attachments)
            Add("text", text);
        // A narrative repeats the fields; it is shown only where they say next to nothing.
        if (fields.Count(f => f.Label is not ("status" or "performer" or "author" or "period")) == 0 && r.At("text")?.String("div") is { } narrative)
            Add("text", PlainText.OfMarkup(narrative));
        return fields;
    }

    /// <summary>Codes behind the main concept of the entry.</summary>
    public static IReadOnlyList<string> Codes(Entry entry) =>
        [.. new[] { "code", "vaccineCode", "medicationCodeableConcept" }.SelectMany(name => FhirText.Codes(entry.Resource.At(name))),
            .. entry.Resource.Each("type").SelectMany(type => FhirText.Codes(type))];

    private string? VisitClass(JsonElement visit) =>
        visit.At("class") is { } kind
            ? (kind.String("code") is { } code ? texts.Find($"class.{code}") : null) ?? kind.String("display")
            : null;

    private string? Medicine(JsonElement r) =>
        FhirText.Concept(r.At("medicationCodeableConcept"), texts)
        ?? FhirText.Display(r.At("medicationReference"))
        ?? FhirText.Concept(Contained(r)?.At("code"), texts);

    /// <summary>The medicine that stands within a prescription; null where it does not.</summary>
    private static JsonElement? Contained(JsonElement r) => r.At("medicationReference")?.String("reference") is ['#', .. var id]
        ? r.Each("contained").Where(c => c.String("id") == id).Select(static c => (JsonElement?)c).FirstOrDefault() : null;

    private static string? Dosage(JsonElement r) => Lines(
        r.Each("dosageInstruction").Concat(r.Each("dosage")).Select(d =>
            d.String("text") ?? d.String("patientInstruction")
            ?? FhirText.Quantity(d.At("dose")) ?? d.Each("doseAndRate").Select(x => FhirText.Quantity(x.At("doseQuantity"))).FirstOrDefault(x => x is not null)));

    private string? Components(JsonElement r)
    {
        var parts = r.Each("component").Select(c => (Name: FhirText.Concept(c.At("code"), texts), Value: FhirText.Value(c, texts))).Where(c => c.Value is not null)
            .Select(c => c.Name is null ? c.Value : $"{c.Name} {c.Value}").ToArray();
        return parts.Length == 0 ? null : string.Join(", ", parts);
    }

    private string? Status(JsonElement r) =>
        r.String("status") is { } code ? texts.Find($"status.{code}") ?? code : Concepted(r, "clinicalStatus", "status");

    /// <summary>A concept whose code has a plain word of ours, else its own text.</summary>
    private string? Concepted(JsonElement r, string element, string group)
    {
        if (r.At(element) is not { } concept)
            return null;
        var code = concept.Each("coding").Select(c => c.String("code")).FirstOrDefault(c => c is not null);
        return (code is null ? null : texts.Find($"{group}.{code}")) ?? FhirText.Concept(concept, texts);
    }

    private void Sections(JsonElement section, List<EntryField> fields)
    {
        if (section.At("text")?.String("div") is { } div && PlainText.OfMarkup(div) is { Length: > 0 } text)
            fields.Add(new("text", section.String("title") ?? FhirText.Concept(section.At("code"), texts), text));
        foreach (var inner in section.Each("section"))
            Sections(inner, fields);
    }

    private void Answers(JsonElement item, List<EntryField> fields)
    {
        var answer = Lines(item.Each("answer").Select(a =>
            FhirText.Value(a, texts) ?? (a.At("valueCoding") is { } c ? c.String("display") ?? c.String("code") : null)
            ?? (StatedTime.Read(a.String("valueDate")) is { } day ? Dates.Of(day) : null)
            ?? (a.At("valueDecimal") is { ValueKind: JsonValueKind.Number } number ? number.GetRawText() : null)));
        if (answer is not null)
            fields.Add(new("text", item.String("text") ?? item.String("linkId"), answer));
        foreach (var inner in item.Each("item").Concat(item.Each("answer").SelectMany(a => a.Each("item"))))
            Answers(inner, fields);
    }

    private static string? Lines(IEnumerable<string?> values)
    {
        var text = new StringBuilder();
        foreach (var value in values.Where(v => !string.IsNullOrWhiteSpace(v)).Distinct())
            text.Append(text.Length == 0 ? "" : "\n").Append(value);
        return text.Length == 0 ? null : text.ToString();
    }
}
