using System.Globalization;
using System.Text;
using System.Xml.Linq;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;

namespace KantaGateway.Fhir.Cda;

/// <summary>The body: sections, their text, and the entries that are resources.</summary>
sealed partial class CdaReading
{
    private const int MaxSectionDepth = 8;

    /// <summary>With what stands beside them they are a transaction (<see cref="Profiles.TransactionBundle.MaxEntries"/>).</summary>
    private const int MaxEntries = 1_900;

    /// <summary>Of a document and its own body beside it, bytes: both go into one transaction as base64. What is larger has its body in itself.</summary>
    private const int MaxWithBody = 7 * 1024 * 1024;

    private int _entries;

    private static readonly XNamespace Instance = "http://www.w3.org/2001/XMLSchema-instance";

    private void ReadSections(Composition composition)
    {
        foreach (var section in CdaSource.All(source.Root, "component", "structuredBody", "component", "section"))
            if (SectionOf(section, 1) is { } read)
                composition.Section.Add(read);
    }

    /// <summary>A body that is no sections (level 1): the document in another form, such as PDF. Null: there is none, or it stays in the original alone.</summary>
    private Binary? ReadBody()
    {
        // What stands elsewhere nobody fetches; what is packed nobody unpacks.
        if (CdaSource.One(source.Root, "component", "nonXMLBody", "text") is not { } text || CdaSource.One(text, "reference") is not null || text.Attribute("compression") is not null)
            return null;
        var isBase64 = text.Attribute("representation")?.Value == "B64";
        byte[] data;
        try
        {
            data = isBase64 ? Convert.FromBase64String(text.Value) : Encoding.UTF8.GetBytes(text.Value);
        }
        catch (FormatException)
        {
            Wrong("The body is not base64, as its representation says.", CdaXml.PathOf(text) + "/text()");
            return null;
        }
        if (data.Length == 0 || data.Length + original.Length > MaxWithBody)
            return null;
        source.TakeText(text, "Binary");
        source.Take(text, "representation", "Binary");
        // By the schema a type that is not said is plain text.
        var type = source.Take(text, "mediaType", "Binary") ?? "text/plain";
        return new() { ContentType = isBase64 || type.Contains(';', StringComparison.Ordinal) || !type.StartsWith("text/", StringComparison.Ordinal) ? type : type + "; charset=utf-8", Data = data };
    }

    private Composition.SectionComponent? SectionOf(XElement section, int depth)
    {
        if (depth > MaxSectionDepth)
        {
            Wrong($"Sections are nested deeper than {MaxSectionDepth} levels.", CdaXml.PathOf(section), "structure");
            return null;
        }
        var read = new Composition.SectionComponent { Title = source.TakeText(CdaSource.One(section, "title"), OfDocument), Code = Concept(CdaSource.One(section, "code"), OfDocument) };
        if (CdaSource.One(section, "text") is { } text)
        {
            source.Narrate(text);
            if (NarrativeOf(text) is { } div)
                read.Text = new() { Status = Narrative.NarrativeStatus.Additional, Div = div };
        }
        foreach (var entry in CdaSource.All(section, "entry"))
        {
            foreach (var statement in entry.Elements())
                read.Entry.AddRange(ResourcesOf(statement, 0));
            if (read.Text is not null)
                source.NarrateUnread(entry);
        }
        foreach (var inner in CdaSource.All(section, "component", "section"))
            if (SectionOf(inner, depth + 1) is { } child)
                read.Section.Add(child);
        // cmp-1
        return read.Text is not null || read.Entry.Count > 0 || read.Section.Count > 0 ? read : null;
    }

    private IEnumerable<ResourceReference> ResourcesOf(XElement statement, int depth)
    {
        if (_entries > MaxEntries)
            yield break;
        // What says that something is not so, or that nothing is known, is for people to read.
        if (depth > 8 || statement.Attribute("negationInd")?.Value is "true" or "1" || statement.Attribute("nullFlavor") is not null)
            yield break;
        // So an act says that it was entered in error.
        if (CdaSource.One(statement, "statusCode")?.Attribute("code")?.Value is "nullified" or "obsolete")
            yield break;
        var mood = source.Take(statement, "moodCode", OfDocument);
        Resource? made = (statement.Name.LocalName, mood) switch
        {
            ("observation", "EVN") => FromObservation(statement),
            ("substanceAdministration", "EVN" or "INT" or "RQO") => FromMedication(statement, mood),
            _ => null,
        };
        if (made is not null && ++_entries > MaxEntries)
            Wrong($"A document has at most {MaxEntries} entries that become resources; part it.", CdaXml.PathOf(statement), "too-costly");
        else if (made is not null)
        {
            var key = made switch { Condition c => c.Identifier[0], Observation o => o.Identifier[0], MedicationStatement m => m.Identifier[0], _ => null };
            yield return _transaction.Add(made, CdaXml.PathOf(statement), key);
        }
        // organizer/component, act/entryRelationship: what they hold.
        foreach (var inner in CdaSource.All(statement, "component").Concat(CdaSource.All(statement, "entryRelationship")).SelectMany(static part => part.Elements()))
            foreach (var below in ResourcesOf(inner, depth + 1))
                yield return below;
    }

    /// <summary>One that is stored again is the same: it follows from the document's id and its place where it has no id.</summary>
    private Identifier KeyOf(XElement statement, string target) =>
        CdaSource.One(statement, "id") is { } id && id.Attribute("nullFlavor") is null && IdOf(id, target) is { } own ? own
            : new(Uri, Transaction.UuidOf("cda entry", DocumentId!.System!, DocumentId.Value!, CdaXml.PathOf(statement)));

    private Resource? FromObservation(XElement observation)
    {
        var value = CdaSource.One(observation, "value");
        var type = value?.Attribute(Instance + "type")?.Value.Split(':')[^1];
        if (IsDiagnosis(observation, value))
        {
            if (Concept(value, "Condition") is not { } what)
                return null;
            var condition = new Condition
            {
                Identifier = [KeyOf(observation, "Condition")], Subject = _patient, Encounter = _visit, Code = what,
                Onset = Time(CdaSource.One(observation, "effectiveTime", "low"), "Condition") ?? Time(CdaSource.One(observation, "effectiveTime"), "Condition"),
                Abatement = Time(CdaSource.One(observation, "effectiveTime", "high"), "Condition"),
                VerificationStatus = new("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
                Category = [new("http://terminology.hl7.org/CodeSystem/condition-category", _visit is null ? "problem-list-item" : "encounter-diagnosis")],
            };
            // con-4, con-5
            condition.ClinicalStatus = new("http://terminology.hl7.org/CodeSystem/condition-clinical", condition.Abatement is null ? "active" : "resolved");
            OfServiceEvent(condition);
            return condition;
        }
        if (Concept(CdaSource.One(observation, "code"), "Observation") is not { } code)
            return null;
        var read = new Observation
        {
            Identifier = [KeyOf(observation, "Observation")], Subject = _patient, Encounter = _visit, Code = code,
            Status = source.Take(CdaSource.One(observation, "statusCode"), "code", "Observation") switch { "active" => ObservationStatus.Preliminary, "aborted" or "cancelled" => ObservationStatus.Cancelled, null or "completed" => ObservationStatus.Final, _ => ObservationStatus.Unknown },
            Effective = Time(CdaSource.One(observation, "effectiveTime"), "Observation") is { } at ? at : PeriodOf(CdaSource.One(observation, "effectiveTime"), "Observation"),
            Value = value is null || value.Attribute("nullFlavor") is not null ? null : ValueOf(value, type),
            Interpretation = [.. CdaSource.All(observation, "interpretationCode").Select(flag => source.Take(flag, "code", "Observation")).OfType<string>().Select(static flag => new CodeableConcept("http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", flag))],
            ReferenceRange = [.. CdaSource.All(observation, "referenceRange", "observationRange").Select(RangeOf).OfType<Observation.ReferenceRangeComponent>()],
        };
        if (read.Status == ObservationStatus.Unknown)
            source.Leave(CdaSource.One(observation, "statusCode"));
        if (read.Value is null)
            read.DataAbsentReason = new("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown");
        OfServiceEvent(read);
        return read;
    }

    /// <summary>A diagnosis is the value of an observation: ICD-10 of the Finnish code service, SNOMED CT of a C-CDA problem, or what is called one.</summary>
    private static bool IsDiagnosis(XElement observation, XElement? value) =>
        value?.Attribute("codeSystem")?.Value is { } system
        && (CdaSource.One(observation, "code") is { } code && (code.Attribute("code")?.Value, code.Attribute("codeSystem")?.Value) == (CdaWriting.DiagnosisCode, CdaWriting.Loinc) || system is "1.2.246.537.6.1" or "1.2.246.537.6.1.1999" or "1.2.246.537.6.31" or "1.2.246.537.6.31.2007" or "2.16.840.1.113883.6.90" || system.StartsWith("1.2.246.537.6.1.", StringComparison.Ordinal)
            || CdaSource.All(observation, "templateId").Any(static t => t.Attribute("root")?.Value == "2.16.840.1.113883.10.20.22.4.4"));

    private DataType? ValueOf(XElement value, string? type)
    {
        const string Target = "Observation";
        switch (type)
        {
            case "PQ" or "REAL" or "INT":
                if (decimal.TryParse(source.Take(value, "value", Target), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
                    return source.Take(value, "unit", Target) is { } unit and not "1" ? new Quantity { Value = number, Unit = unit, System = "http://unitsofmeasure.org", Code = unit } : new Quantity { Value = number };
                Wrong("The value is no number, as its type says.", CdaXml.PathOf(value) + "/@value");
                return null;
            case "CD" or "CE" or "CV" or "CO":
                return Concept(value, Target);
            case "BL":
                return source.Take(value, "value", Target) is { } flag ? new FhirBoolean(flag is "true" or "1") : null;
            case "TS":
                return Time(value, Target);
            case "IVL_PQ":
                if ((Bound("low"), Bound("high")) is var (low, high) && (low is not null || high is not null))
                    return new Hl7.Fhir.Model.Range { Low = low, High = high };
                return null;
            default:
                return source.TakeText(value, Target) is { } text ? new FhirString(text) : null;
        }

        Quantity? Bound(string name) => CdaSource.One(value, name) is { } bound && decimal.TryParse(source.Take(bound, "value", Target), NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            ? new Quantity { Value = number, Unit = source.Take(bound, "unit", Target) } : null;
    }

    private Observation.ReferenceRangeComponent? RangeOf(XElement range)
    {
        var read = new Observation.ReferenceRangeComponent { Text = source.TakeText(CdaSource.One(range, "text"), "Observation") };
        if (CdaSource.One(range, "value") is { } value && ValueOf(value, "IVL_PQ") is Hl7.Fhir.Model.Range bounds)
            (read.Low, read.High) = (Simple(bounds.Low), Simple(bounds.High));
        return read.Text is not null || read.Low is not null || read.High is not null ? read : null;

        static Quantity? Simple(Quantity? quantity) => quantity is null ? null : new() { Value = quantity.Value, Unit = quantity.Unit };
    }

    private MedicationStatement? FromMedication(XElement administration, string mood)
    {
        const string Target = "MedicationStatement";
        var material = CdaSource.One(administration, "consumable", "manufacturedProduct", "manufacturedMaterial") ?? CdaSource.One(administration, "consumable", "manufacturedProduct", "manufacturedLabeledDrug");
        if (material is null)
            return null;
        var what = Concept(CdaSource.One(material, "code"), Target);
        if (source.TakeText(CdaSource.One(material, "name"), Target) is { } name)
            (what ??= new()).Text ??= name;
        if (what is null)
            return null;
        var text = source.TakeText(CdaSource.One(administration, "text"), Target);
        Quantity? dose = null;
        if (CdaSource.One(administration, "doseQuantity") is { } amount && decimal.TryParse(source.Take(amount, "value", Target), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
            dose = new() { Value = number, Unit = source.Take(amount, "unit", Target) };
        var statement = new MedicationStatement
        {
            Identifier = [KeyOf(administration, Target)], Subject = _patient, Context = _visit, Medication = what,
            Status = source.Take(CdaSource.One(administration, "statusCode"), "code", Target) switch
            {
                "aborted" or "cancelled" => MedicationStatement.MedicationStatusCodes.Stopped,
                "suspended" or "held" => MedicationStatement.MedicationStatusCodes.OnHold,
                _ when mood != "EVN" => MedicationStatement.MedicationStatusCodes.Intended,
                "completed" => MedicationStatement.MedicationStatusCodes.Completed,
                _ => MedicationStatement.MedicationStatusCodes.Active,
            },
            Effective = CdaSource.All(administration, "effectiveTime").Select(t => PeriodOf(t, Target)).FirstOrDefault(static p => p is not null),
        };
        if (text is not null || dose is not null)
            statement.Dosage = [new() { Text = text, DoseAndRate = dose is null ? [] : [new() { Dose = dose }] }];
        OfServiceEvent(statement);
        return statement;
    }

    /// <summary>CDA's narrative block in the XHTML that FHIR allows: paragraphs, lists, tables, and text; what else there is, as text.</summary>
    private static string? NarrativeOf(XElement text)
    {
        if (string.IsNullOrWhiteSpace(text.Value))
            return null;
        var html = new StringBuilder("<div xmlns=\"http://www.w3.org/1999/xhtml\">");
        Write(text, html);
        return html.Append("</div>").ToString();

        static void Write(XElement element, StringBuilder html)
        {
            foreach (var node in element.Nodes())
                if (node is XText words)
                    html.Append(new XText(words.Value).ToString());
                else if (node is XElement inner)
                {
                    var tag = inner.Name.LocalName switch
                    {
                        "paragraph" => "p", "list" => inner.Attribute("listType")?.Value == "ordered" ? "ol" : "ul", "item" => "li", "table" => "table", "thead" => "thead", "tbody" => "tbody", "tfoot" => "tfoot", "tr" => "tr", "th" => "th", "td" => "td",
                        "caption" => inner.Parent?.Name.LocalName switch { "table" => "caption", "list" => "li", _ => "b" }, "sub" => "sub", "sup" => "sup", _ => "span",
                    };
                    if (inner.Name.LocalName == "br")
                        html.Append("<br/>");
                    // They say how wide columns are.
                    else if (inner.Name.LocalName is not ("col" or "colgroup"))
                    {
                        html.Append('<').Append(tag);
                        // What was struck out must not read as if it stood.
                        if (inner.Attribute("revised")?.Value == "delete")
                            html.Append(" style=\"text-decoration: line-through\"");
                        html.Append('>');
                        Write(inner, html);
                        html.Append("</").Append(tag).Append('>');
                    }
                }
        }
    }
}
