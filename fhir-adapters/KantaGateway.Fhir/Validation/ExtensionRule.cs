using System.Collections.Frozen;
using System.Text.Json;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Validation;

/// <summary>What the definition of an extension asks of it, or of a part of it (hl7.org/fhir/R4/defining-extensions.html).</summary>
/// <param name="Types">Of its value; null: it has none.</param>
/// <param name="Targets">Types that a value may refer to; null: any.</param>
/// <param name="NeedsValue">Whether it means nothing without a value.</param>
/// <param name="Parts">By their url; null: it has none.</param>
/// <param name="Min">Least times that a part occurs.</param>
/// <param name="Max">Most times that a part occurs; null: any number.</param>
/// <param name="Context">Types, elements and extensions that it may stand in; null: anywhere.</param>
/// <param name="IsModifier">Whether it is a <c>modifierExtension</c>.</param>
sealed record ExtensionRule(FrozenSet<string>? Types, FrozenSet<string>? Targets, bool NeedsValue, FrozenDictionary<string, ExtensionRule>? Parts,
    int Min, int? Max, FrozenSet<string>? Context, bool IsModifier)
{
    /// <summary>Of which a coded value must have one, as <c>system#code</c>; null: any.</summary>
    public FrozenSet<string>? Codes { get; init; }

    /// <summary>The same without systems, for values that are a code alone.</summary>
    private FrozenSet<string>? Bare { get; init; }

    // The primitive types that R4 derives from others (datatypes.html).
    private static readonly FrozenDictionary<string, string> Bases = new Dictionary<string, string>
    {
        ["code"] = "string", ["id"] = "string", ["markdown"] = "string", ["url"] = "uri", ["canonical"] = "uri", ["oid"] = "uri", ["uuid"] = "uri",
        ["positiveInt"] = "integer", ["unsignedInt"] = "integer",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    public static ExtensionRule Read(JsonElement json) => new(BaseRules.Set(json, "types"), BaseRules.Set(json, "targets"), json.TryGetProperty("needsValue", out _),
        json.TryGetProperty("parts", out var parts) ? parts.EnumerateObject().ToFrozenDictionary(p => p.Name, p => Read(p.Value), StringComparer.Ordinal) : null,
        json.TryGetProperty("min", out var min) ? min.GetInt32() : 0, json.TryGetProperty("max", out var max) ? max.GetInt32() : null,
        BaseRules.Set(json, "context"), json.TryGetProperty("isModifier", out _))
    {
        Codes = BaseRules.Set(json, "codes"),
        Bare = BaseRules.Set(json, "codes")?.Select(c => c[(c.IndexOf('#') + 1)..]).ToFrozenSet(StringComparer.Ordinal),
    };

    /// <summary>Whether a value has a code of those that are required (hl7.org/fhir/R4/terminologies.html#required); true of what is not coded.</summary>
    public bool TakesCodeOf(DataType value) => Codes is null || value switch
    {
        CodeableConcept concept => concept.Coding.Exists(Holds),
        Coding coding => Holds(coding),
        Code { JsonValue: string code } => Bare!.Contains(code),
        _ => true,
    };

    private bool Holds(Coding coding) => Codes!.Contains($"{coding.System}#{coding.Code}");

    /// <summary>Whether it may stand in an element.</summary>
    /// <param name="path">The element's parent type and its own name, such as <c>Patient.birthDate</c>; null: it is a resource.</param>
    public bool MayStandIn(Base holder, string? path) => Context is null || Context.Contains(holder.TypeName) || (path is not null && Context.Contains(path))
        || holder switch
        {
            Resource => Context.Contains("Resource") || (holder is DomainResource && Context.Contains("DomainResource")),
            Extension { Url: { } url } when Context.Contains(url) => true,
            _ => (holder is BackboneElement && Context.Contains("BackboneElement")) || (holder is Quantity && Context.Contains("Quantity"))
                || (Bases.TryGetValue(holder.TypeName, out var derived) && Context.Contains(derived)),
        };
}
