using System.Globalization;
using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>FHIR R4 data types as people read them, and the few elements that every type has under another name.</summary>
internal static class FhirText
{
    /// <summary>Where each type says when something happened, the best first: whatever comes first in a resource is its time.</summary>
    private static readonly string[] Times =
    [
        "period", "effectiveDateTime", "effectivePeriod", "effectiveInstant", "performedDateTime", "performedPeriod", "occurrenceDateTime",
        "occurrencePeriod", "onsetDateTime", "onsetPeriod", "whenHandedOver", "whenPrepared", "authoredOn", "recordedDate", "date", "started",
        "start", "createdDateTime", "created", "authored", "dateAsserted", "startDate", "sent", "billablePeriod", "issued",
    ];

    public static StatedTime? When(JsonElement resource)
    {
        foreach (var name in Times)
        {
            var stated = resource.At(name) switch
            {
                { ValueKind: JsonValueKind.String } time => StatedTime.Read(time.GetString()),
                { ValueKind: JsonValueKind.Object } period => StatedTime.Read(period.String("start") ?? period.String("end")),
                _ => null,
            };
            if (stated is not null)
                return stated;
        }
        return null;
    }

    /// <summary>CodeableConcept: the text of who wrote it, else our plain word for its code, else a display. Null for a bare code that we do not know.</summary>
    public static string? Concept(JsonElement? concept, Texts texts) =>
        concept is not { } value ? null
        : value.String("text")
        ?? value.Each("coding").Select(c => PlainName(c, texts)).FirstOrDefault(n => n is not null)
        ?? value.Each("coding").Select(c => c.String("display")).FirstOrDefault(d => d is not null);

    /// <summary>
    /// What a professional calls a concept, to stand beside the plain word: the name that a coding gives it, and its code where people meet the classification. Null where that says no more
    /// than what is shown.
    /// </summary>
    /// <param name="shown">The plain word.</param>
    public static string? Term(JsonElement? concept, string shown)
    {
        if (concept is not { } value)
            return null;
        var name = value.Each("coding").Select(c => c.String("display")).FirstOrDefault(d => d is not null && !string.Equals(d.Trim(), shown.Trim(), StringComparison.OrdinalIgnoreCase));
        var code = value.Each("coding").Select(c => Classification(c.String("system")) is { } known && c.String("code") is { } its ? $"{known} {its}" : null).FirstOrDefault(c => c is not null);
        return name is null ? code : code is null ? name : $"{name}, {code}";
    }

    private static string? Classification(string? system) => system switch
    {
        "http://loinc.org" => "LOINC",
        "http://snomed.info/sct" => "SNOMED CT",
        "urn:oid:1.2.246.537.6.1" or "http://hl7.org/fhir/sid/icd-10" => "ICD-10",
        "urn:oid:1.2.246.537.6.32" or "http://www.whocc.no/atc" => "ATC",
        _ => null,
    };

    /// <summary>All concepts of a list, with commas between.</summary>
    public static string? Concepts(JsonElement resource, string name, Texts texts)
    {
        var names = resource.Each(name).Select(c => Concept(c, texts)).OfType<string>().Distinct().ToArray();
        return names.Length == 0 ? null : string.Join(", ", names);
    }

    private static string? PlainName(JsonElement coding, Texts texts) =>
        coding.String("system") == "http://loinc.org" && coding.String("code") is { } code ? texts.Find($"loinc.{code}") : null;

    /// <summary>The codes behind a concept, for those who want them: <c>I10 (urn:oid:1.2.246.537.6.1)</c>.</summary>
    public static IEnumerable<string> Codes(JsonElement? concept) =>
        concept is not { } value ? []
        : value.Each("coding").Where(c => c.String("code") is not null)
            .Select(c => c.String("system") is { } system ? $"{c.String("code")} ({system})" : c.String("code")!);

    /// <summary>The <c>value[x]</c> of an Observation or a component; null when it has none.</summary>
    public static string? Value(JsonElement holder, Texts texts) =>
        Quantity(holder.At("valueQuantity"))
        ?? Concept(holder.At("valueCodeableConcept"), texts) ?? Codes(holder.At("valueCodeableConcept")).FirstOrDefault()
        ?? holder.String("valueString")
        ?? (holder.At("valueBoolean") is { ValueKind: JsonValueKind.True or JsonValueKind.False } flag ? texts[flag.GetBoolean() ? "yes" : "no"] : null)
        ?? (holder.At("valueInteger") is { ValueKind: JsonValueKind.Number } number ? Number(number) : null)
        ?? Range(holder.At("valueRange"))
        ?? Ratio(holder.At("valueRatio"))
        ?? (StatedTime.Read(holder.String("valueDateTime")) is { } time ? Dates.Of(time) : null)
        ?? holder.String("valueTime")
        ?? Period(holder.At("valuePeriod"));

    public static string? Quantity(JsonElement? quantity)
    {
        if (quantity is not { } value || value.At("value") is not { ValueKind: JsonValueKind.Number } number)
            return null;
        var unit = value.String("unit") ?? value.String("code");
        return $"{value.String("comparator")}{Number(number)}{(unit is null or "1" ? "" : unit == "%" ? " %" : " " + unit)}";
    }

    public static string? Range(JsonElement? range) =>
        range is not { } value ? null : (Quantity(value.At("low")), Quantity(value.At("high"))) switch
        {
            ({ } low, { } high) => $"{low} – {high}",
            ({ } low, null) => $"≥ {low}",
            (null, { } high) => $"≤ {high}",
            _ => value.String("text"),
        };

    public static string? Period(JsonElement? period)
    {
        if (period is not { ValueKind: JsonValueKind.Object } value)
            return null;
        var (start, end) = (StatedTime.Read(value.String("start")), StatedTime.Read(value.String("end")));
        return (start, end) switch
        {
            ({ } from, { } to) when Dates.Day(from.Sort) == Dates.Day(to.Sort) && to.Precision == TimePrecision.Minute =>
                $"{Dates.Of(from)}–{Dates.Clock(to.Sort)}",
            ({ } from, { } to) => $"{Dates.Of(from)} – {Dates.Of(to)}",
            ({ } from, null) => $"{Dates.Of(from)} –",
            (null, { } to) => $"– {Dates.Of(to)}",
            _ => null,
        };
    }

    /// <summary>What a Reference calls its target; null when it only points.</summary>
    public static string? Display(JsonElement? reference) => reference?.String("display");

    /// <summary>Id of a local reference of this type; null for any other.</summary>
    public static string? ReferencedId(JsonElement? reference, string type)
    {
        if (reference?.String("reference") is not { } text)
            return null;
        var parts = text.Split('/');
        // Of a full URL the last two segments; of a versioned one those before _history.
        var history = Array.IndexOf(parts, "_history");
        var end = history > 0 ? history : parts.Length;
        return end >= 2 && parts[end - 2] == type ? parts[end - 1] : null;
    }

    /// <summary>The Encounter that a resource says it belongs to (R4 calls it encounter, or context in older shapes).</summary>
    public static string? EncounterId(JsonElement resource) =>
        ReferencedId(resource.At("encounter"), "Encounter")
        ?? ReferencedId(resource.At("context"), "Encounter")
        ?? (resource.At("context") is { } context ? context.Each("encounter").Select(e => ReferencedId(e, "Encounter")).FirstOrDefault(id => id is not null) : null);

    /// <summary>
    /// Service event (palvelutapahtuma) of an Encounter, a dotted OID: by the record's own reading, because that is what
    /// denials bind. Null when it names none.
    /// </summary>
    public static string? ServiceEvent(JsonElement encounter) => References.ServiceEvent(encounter)?.ToString();

    /// <summary>A decimal as written, with the language's separator; long machine precision is rounded to two places.</summary>
    private static string Number(JsonElement number)
    {
        if (!number.TryGetDecimal(out var value))
            return number.GetRawText();
        var places = (decimal.GetBits(value)[3] >> 16) & 0xFF;
        return places > 4 && Math.Abs(value) >= 0.01m
            ? Math.Round(value, 2, MidpointRounding.AwayFromZero).ToString("0.##", CultureInfo.CurrentCulture)
            : value.ToString(CultureInfo.CurrentCulture);
    }

    private static string? Ratio(JsonElement? ratio) =>
        ratio is { } value && Quantity(value.At("numerator")) is { } over && Quantity(value.At("denominator")) is { } under ? $"{over} / {under}" : null;
}
