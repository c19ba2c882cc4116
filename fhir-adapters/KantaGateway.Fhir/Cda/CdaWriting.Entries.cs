using System.Globalization;
using System.Xml.Linq;
using Hl7.Fhir.Model;
using Range = Hl7.Fhir.Model.Range;

namespace KantaGateway.Fhir.Cda;

/// <summary>The body: sections with their text, and the entries.</summary>
sealed partial class CdaWriting
{
    /// <summary>As many as are read again; what is beyond them stays in the text.</summary>
    private const int MaxEntries = 1_900;

    private const string Ucum = "http://unitsofmeasure.org";

    private int _entries;

    /// <summary>A body has a section at least.</summary>
    private XElement Body() => One("structuredBody", composition.Section.Count > 0 ? composition.Section.Select((section, i) => One("component", Section(section, $"Composition.section[{i}]")))
        : [One("component", Section(new() { Title = composition.Title, Text = composition.Text }, "Composition"))]);

    private XElement Section(Composition.SectionComponent section, string at)
    {
        var text = new XElement(Hl7 + "text");
        var hasText = CdaNarrative.Write(section.Text?.Div, text);
        if (hasText)
            Say("read", at + ".text.div", InText);
        // What is said about somebody else than the patient must not become the patient's.
        var entries = section.Focus is null ? section.Entry.Select((entry, i) => Entry(entry, $"{at}.entry[{i}]", hasText ? null : text)).OfType<XElement>().ToList() : [];
        _text.Append(' ').Append(string.Join(' ', text.DescendantNodes().OfType<XText>().Select(static t => t.Value))).Append(' ');
        return One("section",
            Coded(section.Code, at + ".code", "code", "section"),
            Say(section.Title, at + ".title", "section") is { } title ? One("title", title) : null,
            text.Nodes().Any() ? text : null,
            entries,
            section.Section.Select((inner, i) => One("component", Section(inner, $"{at}.section[{i}]"))));
    }

    /// <param name="text">Of a section without one: what people are to read of the entry is added; null: it has its own.</param>
    private XElement? Entry(ResourceReference reference, string at, XElement? text)
    {
        if (resources.Of(reference) is not DomainResource resource)
            return null;
        if (text is not null && resource.Text?.Status is not null && CdaNarrative.Write(resource.Text.Div, text))
            Say("read", resources.PathOf(resource) + ".text.div", InText);
        if (_entries == MaxEntries || resource.ModifierExtension.Count > 0 || StatementOf(resource, resources.PathOf(resource)) is not { } statement)
            return null;
        _entries++;
        Say(reference.Reference, at + ".reference", "entry");
        SayDocumentsOwn(resource, resources.PathOf(resource));
        // People read all that programs do.
        if (text is not null && resource.Text?.Div is null)
            text.Add(One("paragraph", LineOf(statement)));
        return One("entry", statement);
    }

    private static string LineOf(XElement statement) => string.Join(' ', statement.DescendantsAndSelf().Where(static e => e.Name.LocalName is not ("id" or "statusCode") && e.AncestorsAndSelf(Hl7 + "effectiveTime").FirstOrDefault() is null)
        .SelectMany(static e => e.Attributes().Where(static a => a.Name.LocalName is "displayName" or "value" or "unit").Select(static a => a.Value).Concat(e.Nodes().OfType<XText>().Select(static t => t.Value)).DefaultIfEmpty(e.Attribute("code")?.Value ?? "")).Where(static word => word.Length > 0));

    /// <summary>Null: CDA's statement would say something else, or nothing.</summary>
    private XElement? StatementOf(DomainResource resource, string at) => resource switch
    {
        Condition condition => Diagnosis(condition, at),
        Observation { Focus.Count: 0 } observation => Observation(observation, at),
        MedicationStatement statement when statement.Status is not (MedicationStatement.MedicationStatusCodes.EnteredInError or MedicationStatement.MedicationStatusCodes.NotTaken) => Administration(statement, at, "MedicationStatement",
            statement.Status == MedicationStatement.MedicationStatusCodes.Intended ? "INT" : "EVN", statement.Identifier, statement.Medication, statement.Dosage, "dosage",
            statement.Status switch
            {
                MedicationStatement.MedicationStatusCodes.Active => "active", MedicationStatement.MedicationStatusCodes.Completed => "completed", MedicationStatement.MedicationStatusCodes.Stopped => "aborted",
                MedicationStatement.MedicationStatusCodes.OnHold => "suspended", _ => null,
            }, statement.Effective, statement.Status == MedicationStatement.MedicationStatusCodes.Intended, statement.Subject, statement.Context, "context"),
        MedicationRequest { DoNotPerform: not true } request when request.Status is not (MedicationRequest.MedicationrequestStatus.EnteredInError or MedicationRequest.MedicationrequestStatus.Draft) => Administration(request, at, "MedicationRequest",
            "RQO", request.Identifier, request.Medication, request.DosageInstruction, "dosageInstruction",
            request.Status switch
            {
                MedicationRequest.MedicationrequestStatus.Active => "active", MedicationRequest.MedicationrequestStatus.Completed => "completed", MedicationRequest.MedicationrequestStatus.Stopped => "aborted",
                MedicationRequest.MedicationrequestStatus.Cancelled => "cancelled", MedicationRequest.MedicationrequestStatus.OnHold => "suspended", _ => null,
            }, null, false, request.Subject, request.Encounter, "encounter"),
        _ => null,
    };

    private XElement? Diagnosis(Condition condition, string at)
    {
        const string Target = "observation";
        // Whether it is so says the verification alone; what is suspected would stand here as if it were known.
        var verification = condition.VerificationStatus?.Coding.Select(static c => c.Code).FirstOrDefault();
        if (verification is not (null or "confirmed" or "refuted") || Coded(condition.Code, at + ".code", "value", Target, isTyped: true) is not { } value || value.Attribute("code") is null)
            return null;
        if (verification is not null)
            SayCoding(condition.VerificationStatus!, at + ".verificationStatus", Target);
        var clinical = condition.ClinicalStatus?.Coding.Select(static c => c.Code).FirstOrDefault();
        if (clinical == (condition.Abatement is FhirDateTime ? "resolved" : "active"))
            SayCoding(condition.ClinicalStatus!, at + ".clinicalStatus", Target);
        SayContext(condition.Subject, condition.Encounter, at, "encounter");
        var (low, high) = (Time((condition.Onset as FhirDateTime)?.Value ?? (condition.Onset as Period)?.Start, at + (condition.Onset is Period ? ".onsetPeriod.start" : ".onsetDateTime"), "low", Target),
            Time((condition.Abatement as FhirDateTime)?.Value, at + ".abatementDateTime", "high", Target));
        return One("observation", new XAttribute("classCode", "OBS"), new XAttribute("moodCode", "EVN"), verification == "refuted" ? new XAttribute("negationInd", "true") : null,
            Ids(condition.Identifier, at, Target), Empty("code", ("code", DiagnosisCode), ("codeSystem", Loinc), ("displayName", "Diagnosis")), Empty("statusCode", ("code", "completed")),
            low is null && high is null ? null : One("effectiveTime", low, high), value);
    }

    private XElement? Observation(Observation observation, string at)
    {
        const string Target = "observation";
        if (observation.Status == ObservationStatus.EnteredInError)
            return null;
        var status = observation.Status switch { ObservationStatus.Registered or ObservationStatus.Preliminary => "active", ObservationStatus.Cancelled => "aborted", ObservationStatus.Unknown => null, _ => "completed" };
        if (Measured(observation.Code, observation.Value, observation.DataAbsentReason, at, Target) is not var (code, value))
            return null;
        if (observation.Status is ObservationStatus.Final or ObservationStatus.Preliminary or ObservationStatus.Cancelled)
            Say("status", at + ".status", Target);
        SayContext(observation.Subject, observation.Encounter, at, "encounter");
        var when = observation.Effective switch
        {
            FhirDateTime time => Time(time.Value, at + ".effectiveDateTime", "effectiveTime", Target),
            Period period => Interval(period, at + ".effectivePeriod", "effectiveTime", Target),
            _ => null,
        };
        return One("observation", new XAttribute("classCode", "OBS"), new XAttribute("moodCode", "EVN"),
            Ids(observation.Identifier, at, Target), code, status is null ? null : Empty("statusCode", ("code", status)), when, value,
            observation.Interpretation.Select((flag, i) => Interpretation(flag, $"{at}.interpretation[{i}]", Target)),
            Coded(observation.Method, at + ".method", "methodCode", Target), Coded(observation.BodySite, at + ".bodySite", "targetSiteCode", Target),
            observation.Component.Select((component, i) => Component(component, $"{at}.component[{i}]", status, when, Target)),
            observation.ReferenceRange.Select((range, i) => ReferenceRange(range, $"{at}.referenceRange[{i}]", Target)));
    }

    /// <summary>What was measured, and what came of it; null: the value has no form in CDA, and without it the statement would mislead.</summary>
    private (XElement Code, XElement? Value)? Measured(CodeableConcept? what, DataType? measured, CodeableConcept? absent, string at, string target)
    {
        var value = measured is null ? null : Value(measured, at, target);
        if (measured is not null && value is null)
            return null;
        if (measured is null && absent is not null)
        {
            value = new(Hl7 + "value", new XAttribute(Instance + "type", "ST"), new XAttribute("nullFlavor", "UNK"));
            if (absent.Coding is [{ Code: "unknown" }])
                SayCoding(absent, at + ".dataAbsentReason", target);
        }
        return (Coded(what, at + ".code", "code", target) ?? Nothing("code"), value);
    }

    private XElement? Component(Observation.ComponentComponent component, string at, string? status, XElement? when, string target) => Measured(component.Code, component.Value, component.DataAbsentReason, at, target) is not var (code, value) ? null
        : new(Hl7 + "entryRelationship", new XAttribute("typeCode", "COMP"), One("observation", new XAttribute("classCode", "OBS"), new XAttribute("moodCode", "EVN"),
            code, status is null ? null : Empty("statusCode", ("code", status)), when is null ? null : new XElement(when), value,
            component.Interpretation.Select((flag, i) => Interpretation(flag, $"{at}.interpretation[{i}]", target)),
            component.ReferenceRange.Select((range, i) => ReferenceRange(range, $"{at}.referenceRange[{i}]", target))));

    private XElement? Value(DataType value, string at, string target)
    {
        switch (value)
        {
            case Quantity quantity:
                return Measure(quantity, at + ".valueQuantity", target);
            case CodeableConcept concept:
                return Coded(concept, at + ".valueCodeableConcept", "value", target, isTyped: true);
            case FhirString text:
                return Say(text.Value, at + ".valueString", target) is { } said ? Typed("ST", said) : null;
            case FhirBoolean { Value: { } flag }:
                Say("flag", at + ".valueBoolean", target);
                return Typed("BL", new XAttribute("value", flag ? "true" : "false"));
            case Integer { Value: { } number }:
                Say("number", at + ".valueInteger", target);
                return Typed("INT", new XAttribute("value", number.ToString(CultureInfo.InvariantCulture)));
            case FhirDateTime time when TimeOf(time.Value) is { } written:
                Say(time.Value, at + ".valueDateTime", target);
                return Typed("TS", new XAttribute("value", written));
            case Range range:
                var (low, high) = (Bound(range.Low, at + ".valueRange.low", "low", target), Bound(range.High, at + ".valueRange.high", "high", target));
                return low is null && high is null ? null : Typed("IVL_PQ", low, high);
            default:
                return null;
        }
    }

    private static XElement Typed(string type, params ReadOnlySpan<object?> content)
    {
        var made = new XElement(Hl7 + "value", new XAttribute(Instance + "type", type));
        foreach (var part in content)
            made.Add(part);
        return made;
    }

    /// <summary>PQ where the unit is of UCUM or there is none; an interval where it is known to be below or above; else words, for PQ has no other units.</summary>
    private XElement? Measure(Quantity quantity, string at, string target)
    {
        if (quantity.Value is not { } number)
            return null;
        var written = number.ToString(CultureInfo.InvariantCulture);
        if (quantity.Unit is null && quantity.Code is null || quantity is { System: Ucum, Code: not null })
        {
            Say(written, at + ".value", target);
            var unit = UnitOf(quantity, at, target);
            if (quantity.Comparator is not { } comparator)
                return Typed("PQ", new XAttribute("value", written), new XAttribute("unit", unit ?? "1"));
            Say("comparator", at + ".comparator", target);
            var isBelow = comparator is Quantity.QuantityComparator.LessThan or Quantity.QuantityComparator.LessOrEqual;
            return Typed("IVL_PQ", Empty(isBelow ? "high" : "low", ("value", written), ("unit", unit), ("inclusive", comparator is Quantity.QuantityComparator.LessThan or Quantity.QuantityComparator.GreaterThan ? "false" : null)));
        }
        var words = $"{quantity.Comparator switch { null => "", Quantity.QuantityComparator.LessThan => "<", Quantity.QuantityComparator.LessOrEqual => "<=", Quantity.QuantityComparator.GreaterThan => ">", _ => ">=" }}{written} {quantity.Unit ?? quantity.Code}";
        foreach (var element in (ReadOnlySpan<string>)["value", "comparator", quantity.Unit is null ? "code" : "unit"])
            Say(words, $"{at}.{element}", InText);
        return Typed("ST", words);
    }

    private string? UnitOf(Quantity quantity, string at, string target)
    {
        if (quantity.Code is null)
            return Say(quantity.Unit, at + ".unit", target);
        Say(quantity.System, at + ".system", target);
        if (quantity.Unit == quantity.Code)
            Say(quantity.Unit, at + ".unit", target);
        return Say(quantity.Code, at + ".code", target);
    }

    private XElement? Bound(Quantity? quantity, string at, string name, string target)
    {
        if (quantity?.Value is not { } number)
            return null;
        var written = Say(number.ToString(CultureInfo.InvariantCulture), at + ".value", target);
        return Empty(name, ("value", written), ("unit", UnitOf(quantity, at, target)));
    }

    private XElement? Interpretation(CodeableConcept flag, string at, string target)
    {
        const string System = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
        if (flag.Coding.FindIndex(static c => c is { System: System, Code.Length: > 0 }) is not (>= 0 and var i))
            return null;
        Say(System, $"{at}.coding[{i}].system", target);
        return Empty("interpretationCode", ("code", Say(flag.Coding[i].Code, $"{at}.coding[{i}].code", target)), ("codeSystem", "2.16.840.1.113883.5.83"), ("displayName", Say(flag.Coding[i].Display, $"{at}.coding[{i}].display", target)));
    }

    /// <summary>Null: it says nothing, or holds for some alone.</summary>
    private XElement? ReferenceRange(Observation.ReferenceRangeComponent range, string at, string target)
    {
        if (range.AppliesTo.Count > 0 || range.Age is not null)
            return null;
        var (low, high) = (Bound(range.Low, at + ".low", "low", target), Bound(range.High, at + ".high", "high", target));
        var text = Say(range.Text, at + ".text", target);
        return text is null && low is null && high is null ? null
            : One("referenceRange", One("observationRange", text is null ? null : One("text", text), low is null && high is null ? null : Typed("IVL_PQ", low, high)));
    }

    /// <param name="status">ActStatus; null: it is not known, or the mood says it.</param>
    /// <param name="isByMood">Whether the mood says the status.</param>
    private XElement? Administration(DomainResource resource, string at, string type, string mood, List<Identifier> identifiers, DataType? medication, List<Dosage> dosages, string dosageName, string? status, DataType? effective, bool isByMood, ResourceReference? subject, ResourceReference? encounter, string encounterName)
    {
        const string Target = "substanceAdministration";
        (CodeableConcept? what, string place) = medication switch
        {
            CodeableConcept concept => (concept, at + ".medicationCodeableConcept"),
            ResourceReference reference when resources.Of(reference) is Medication its => (its.Code, resources.PathOf(its) + ".code"),
            ResourceReference { Reference: ['#', ..] inside } when resource.Contained.FindIndex(c => c is Medication && c.Id == inside[1..]) is >= 0 and var i => (((Medication)resource.Contained[i]).Code, $"{at}.contained[{i}].code"),
            _ => (null, ""),
        };
        if (Coded(what, place, "code", Target) is not { } code)
            return null;
        if (medication is ResourceReference led)
            Say(led.Reference, at + ".medicationReference.reference", Target);
        if (status is not null || isByMood)
            Say(type, at + ".status", Target);
        SayContext(subject, encounter, at, encounterName);
        // One of several would mislead.
        var (dosage, dosageAt) = (dosages.Count == 1 ? dosages[0] : null, $"{at}.{dosageName}[0]");
        var text = Say(dosage?.Text, dosageAt + ".text", Target);
        var dose = dosage?.DoseAndRate is [{ Dose: Quantity quantity }] ? Bound(quantity, dosageAt + ".doseAndRate[0].doseQuantity", "doseQuantity", Target) : null;
        var when = effective switch
        {
            Period period => Interval(period, at + ".effectivePeriod", "effectiveTime", Target),
            FhirDateTime time when Time(time.Value, at + ".effectiveDateTime", "low", Target) is { } start => One("effectiveTime", start),
            _ => null,
        };
        when?.Add(new XAttribute(Instance + "type", "IVL_TS"));
        return One("substanceAdministration", new XAttribute("classCode", "SBADM"), new XAttribute("moodCode", mood),
            Ids(identifiers, at, Target), text is null ? null : One("text", text), status is null ? null : Empty("statusCode", ("code", status)), when, dose,
            One("consumable", One("manufacturedProduct", One("manufacturedLabeledDrug", code))));
    }

    private IEnumerable<XElement> Ids(List<Identifier> identifiers, string at, string target) => identifiers.Select((identifier, i) => Id(identifier, $"{at}.identifier[{i}]", target)).OfType<XElement>();

    /// <summary>Whom and which visit it is about the document says for all that is in it.</summary>
    private void SayContext(ResourceReference? subject, ResourceReference? encounter, string at, string encounterName)
    {
        if (resources.Of(subject) == patient)
            Say(subject!.Reference, at + ".subject.reference", OfPatient);
        if (_visit is not null && resources.Of(encounter) == _visit)
            Say(encounter!.Reference, $"{at}.{encounterName}.reference", OfVisit);
    }

    private void SayCoding(CodeableConcept concept, string at, string target)
    {
        Say(concept.Coding[0].System, at + ".coding[0].system", target);
        Say(concept.Coding[0].Code, at + ".coding[0].code", target);
    }
}
