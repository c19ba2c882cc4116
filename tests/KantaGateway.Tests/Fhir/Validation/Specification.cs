using System.IO.Compression;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using Hl7.Fhir.Specification.Source;
using Hl7.Fhir.Utility;
using Firely.Fhir.Validation.Compilation;
using KantaGateway.Fhir.Compartment;

namespace KantaGateway.Tests.Fhir.Validation;

/// <summary>
/// R4 as Firely's specification package has it, with the corrections of Firely's validator, and what of it
/// <c>base-rules.json</c> has to say.
/// </summary>
static class Specification
{
    /// <summary>Whatever BCP 13 has, which cannot be counted up.</summary>
    private const string MediaTypes = "http://hl7.org/fhir/ValueSet/mimetypes";

    private static readonly JsonSerializerOptions Writing = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Where ours differs from the specification on purpose.</summary>
    private static readonly Dictionary<string, string> OwnWords = new(StringComparer.Ordinal)
    {
        // Where the order is left open, by two precisions (2026-02 to 2026-02-03) or two units (2 mg to 1 g), R4's words come to
        // nothing and so refuse what nobody meant to refuse. R5 accepts it, and a comparator, on which the
        // evaluator fails, is refused by sqty-1.
        ["per-1"] = "start.hasValue().not() or end.hasValue().not() or (start <= end) or (start <= end).empty()",
        ["rng-2"] = "low.comparator.exists() or high.comparator.exists() or low.value.empty() or high.value.empty() or (low <= high) or (low <= high).empty()",
        // R4's words are for one when, of which there may be several; these are R5's.
        ["tim-9"] = "offset.empty() or (when.exists() and when.select($this in ('C' | 'CM' | 'CD' | 'CV')).allFalse())",
    };

    private static readonly Lazy<IReadOnlyList<Resource>> Definitions = new(() => [.. Read("profiles-types.xml"), .. Read("profiles-resources.xml")]);

    private static readonly Lazy<Dictionary<string, Resource>> Terminology = new(() =>
        Read("valuesets.xml").Concat(Read("v3-codesystems.xml")).Concat(FinnishOf("CodeSystem-*.json")).Concat(FinnishOf("ValueSet-*.json")).OfType<IConformanceResource>().DistinctBy(r => r.Url).ToDictionary(r => r.Url!, r => (Resource)r));

    private static readonly Lazy<IReadOnlyList<StructureDefinition>> CorrectedTypes = new(() =>
    {
#pragma warning disable CS0618 // The synchronous way of resolving.
        var corrected = new StructureDefinitionCorrectionsResolver(new InMemoryResourceResolver(Definitions.Value));
        return [.. Definitions.Value.OfType<StructureDefinition>()
            .Where(d => d.Abstract != true && d.Derivation != StructureDefinition.TypeDerivationRule.Constraint && d.Kind is StructureDefinition.StructureDefinitionKind.Resource or StructureDefinition.StructureDefinitionKind.ComplexType)
            .Where(d => d.Derivation != StructureDefinition.TypeDerivationRule.Constraint)
            .OrderBy(d => d.Type, StringComparer.Ordinal).Select(d => (StructureDefinition)corrected.ResolveByCanonicalUri(d.Url!)!)];
#pragma warning restore CS0618
    });

    /// <summary>Every resource and complex data type that is not abstract, in the order of their names.</summary>
    public static IReadOnlyList<StructureDefinition> Types => CorrectedTypes.Value;

    /// <summary>The codes of a value set as <c>system#code</c>; null when they cannot be counted up from the package.</summary>
    public static IReadOnlyList<string>? Codes(string valueSet)
    {
        if (!Terminology.Value.TryGetValue(valueSet.Split('|')[0], out var found) || found is not ValueSet { Compose: { Exclude.Count: 0 } compose } || compose.Include.Exists(i => i.Filter.Count > 0 || i.ValueSet.Any()))
            return null;
        var codes = new List<string>();
        foreach (var include in compose.Include)
            if (include.Concept.Count > 0)
                codes.AddRange(include.Concept.Select(c => $"{include.System}#{c.Code}"));
            else if (Terminology.Value.GetValueOrDefault(include.System ?? "") is CodeSystem { Concept.Count: > 0 } system)
                codes.AddRange(Flat(system.Concept).Select(c => $"{include.System}#{c}"));
            else
                return null;
        return codes;

        static IEnumerable<string> Flat(IEnumerable<CodeSystem.ConceptDefinitionComponent> concepts) => concepts.SelectMany(c => Flat(c.Concept).Prepend(c.Code!));
    }

    /// <summary>What <c>base-rules.json</c> is to say of each type.</summary>
    /// <param name="leftOut">Told of each rule that it need not have: the element and the constraint's key or the value set.</param>
    public static SortedDictionary<string, JsonObject> Rules(Action<ElementDefinition, string> leftOut)
    {
        var types = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var definition in Types)
            foreach (var element in definition.Snapshot!.Element)
                Add(definition, element);
        return types;

        JsonObject Of(string type) => types.TryGetValue(type, out var rules) ? rules : types[type] = [];

        void Add(StructureDefinition definition, ElementDefinition element)
        {
            var isType = !element.Path!.Contains('.') || element.Type.Exists(t => t.Code is "BackboneElement" or "Element");
            JsonArray constraints = [];
            foreach (var constraint in element.Constraint.Where(c => c.Severity == ConstraintSeverity.Error))
                if (constraint.Key!.StartsWith("dom-", StringComparison.Ordinal))
                    // The same for all: kept once.
                    (Of("DomainResource")["constraints"] ??= new JsonArray()).AsArray().AddOnce(Written(constraint));
                else if (constraint.Key is "ele-1" or "txt-1" or "txt-2" || (constraint.Key == "ext-1" && element.Path != "Extension"))
                    leftOut(element, constraint.Key);
                // Of a member the constraints of its type stand with the type.
                else if (isType || constraint.Source is null || constraint.Source == definition.Url || constraint.Source == definition.Type)
                    constraints.Add(Written(constraint));
            if (isType)
            {
                if (constraints.Count > 0)
                    Of(element.Path!)["constraints"] = constraints;
                return;
            }
            // The SDK has one class for all versions of FHIR, and what one of them need not have it does not ask for.
            if (element.Min > 0 && ModelInfo.ModelInspector.FindClassMapping(definition.Type!) is { } model && ParentOf(element) == definition.Type
                && model.FindMappedElementByName(NameOf(element))?.IsMandatoryElement != true)
                (Of(definition.Type!)["required"] ??= new JsonArray()).AsArray().Add(NameOf(element));
            JsonObject member = [];
            // SimpleQuantity, the only profile on a data type that a member names.
            if (element.Type.Exists(t => t.Code == "Quantity" && t.Profile.Any()))
            {
                constraints.Add(new JsonArray("sqty-1", "comparator.empty()", "The comparator is not used on a SimpleQuantity"));
                member["type"] = "Quantity";
            }
            if (constraints.Count > 0)
                member.Insert(0, "constraints", constraints);
            if (element.Binding is { Strength: BindingStrength.Required } binding)
                // A format of a server may be named "json" alone.
                if (binding.ValueSet!.Split('|')[0] == MediaTypes && element.Path != "CapabilityStatement.format")
                    member["isMediaType"] = true;
                else if (element.Type.Exists(t => t.Code is "CodeableConcept" or "Coding") && Codes(binding.ValueSet!) is { } codes)
                    member["codes"] = new JsonArray([.. codes.Select(c => (JsonNode)c)]);
                else if (IsWider(definition, element) && Codes(binding.ValueSet!) is { } few)
                    member["codes"] = new JsonArray([.. few.Select(c => (JsonNode)c[(c.IndexOf('#') + 1)..])]);
                else
                    leftOut(element, binding.ValueSet!.Split('|')[0]);
            if (Targets(element) is { } targets)
                member["targets"] = targets;
            if (member.Count > 0)
                (Of(ParentOf(element))["members"] ??= new JsonObject()).AsObject()[NameOf(element)] = member;
        }
    }

    /// <summary>Whether the SDK's enumeration, one for all versions of FHIR, has codes that R4 has not.</summary>
    private static bool IsWider(StructureDefinition definition, ElementDefinition element) => ParentOf(element) == definition.Type
        && ModelInfo.ModelInspector.FindClassMapping(definition.Type!)?.FindMappedElementByName(NameOf(element))?.ImplementingType is { IsGenericType: true } type
        && type.GetGenericArguments()[0] is { IsEnum: true } codes && Codes(element.Binding!.ValueSet!) is { } known
        && Enum.GetValues(codes).Cast<Enum>().Select(e => e.GetLiteral()).Except(known.Select(c => c[(c.IndexOf('#') + 1)..])).Any();

    /// <summary>What <c>base-rules.json</c> is to say of each extension that R4 or the Finnish Base Profiles define, by its address.</summary>
    /// <param name="leftOut">Told of each required value set that cannot be counted up from what is there: the extension and the value set.</param>
    public static SortedDictionary<string, JsonObject> Extensions(Action<StructureDefinition, string> leftOut)
    {
        var all = Read("extension-definitions.xml").OfType<StructureDefinition>().Concat(Finnish()).ToList();
#pragma warning disable CS0618 // The synchronous way of resolving.
        var source = new SnapshotSource(new CachedResolver(new InMemoryResourceResolver(Definitions.Value.Concat(all))));
        var rules = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var url in all.Where(d => d.Type == "Extension" && d.Derivation == StructureDefinition.TypeDerivationRule.Constraint).Select(d => d.Url!))
        {
            var definition = (StructureDefinition)source.ResolveByCanonicalUri(url)!;
            var rule = Extension(definition, "Extension", leftOut);
            if (definition.Snapshot!.Element[0].IsModifier == true)
                rule["isModifier"] = true;
            // A context in a profile is one of its type; one in FHIRPath, or Element, may be anywhere.
            if (definition.Context.Count > 0 && !definition.Context.Exists(c => c.Type == StructureDefinition.ExtensionContextType.Fhirpath || c.Expression == "Element"))
                rule["context"] = new JsonArray([.. definition.Context.Select(c => (JsonNode)c.Expression![(c.Expression!.IndexOf('#') + 1)..].Replace("[x]", "", StringComparison.Ordinal))]);
            rules.Add(url, rule);
        }
#pragma warning restore CS0618
        return rules;
    }

    /// <summary>
    /// The profiles that are known, those of R4 on served types and the Finnish ones, with what references may be to where that is
    /// less than their type allows.
    /// </summary>
    public static SortedDictionary<string, JsonObject> Profiles()
    {
        var all = Read("profiles-others.xml").Concat(Definitions.Value).OfType<StructureDefinition>().Where(d => ResourceTypes.IsServed(d.Type)).Concat(Finnish()).ToList();
#pragma warning disable CS0618 // The synchronous way of resolving.
        var source = new SnapshotSource(new CachedResolver(new InMemoryResourceResolver(Definitions.Value.Concat(all).Concat(Read("extension-definitions.xml")).OfType<StructureDefinition>().DistinctBy(d => d.Url))));
        var types = all.Concat(Definitions.Value.OfType<StructureDefinition>()).DistinctBy(d => d.Url).ToDictionary(d => d.Url!, d => d.Type!);
        var profiles = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        foreach (var profile in all.Where(d => d is { Kind: StructureDefinition.StructureDefinitionKind.Resource, Derivation: StructureDefinition.TypeDerivationRule.Constraint }))
        {
            var ofType = Types.Single(t => t.Type == profile.Type).Snapshot!.Element.DistinctBy(e => e.Path).ToDictionary(e => e.Path!, Allowed);
            JsonObject targets = [];
            foreach (var element in ((StructureDefinition)source.ResolveByCanonicalUri(profile.Url!)!).Snapshot!.Element.Where(e => !e.ElementId!.Contains(':')))
                if (Allowed(element) is { Count: > 0 } allowed && (!ofType.TryGetValue(element.Path!, out var before) || !allowed.SetEquals(before)))
                    targets[element.Path!.Replace("[x]", "", StringComparison.Ordinal)] = new JsonArray([.. allowed.Select(t => (JsonNode)t)]);
            JsonObject known = new() { ["type"] = profile.Type, ["version"] = profile.Version ?? "2.0.0-rc2" };
            if (targets.Count > 0)
                known["targets"] = targets;
            profiles.Add(profile.Url!, known);
        }
#pragma warning restore CS0618
        return profiles;

        SortedSet<string> Allowed(ElementDefinition element)
        {
            var targets = element.Type.Where(t => t.Code == "Reference").SelectMany(t => t.TargetProfile).Select(p => types[p!]).ToList();
            return targets.Contains("Resource") ? [] : new(targets, StringComparer.Ordinal);
        }
    }

    private static IEnumerable<StructureDefinition> Finnish() => FinnishOf("StructureDefinition-*.json").Cast<StructureDefinition>();

    private static IEnumerable<Resource> FinnishOf(string pattern) =>
        Directory.GetFiles(Path.Combine(Sample.Root, "fhir-adapters/KantaGateway.Fhir/Validation/FinnishBaseProfiles"), pattern).Order(StringComparer.Ordinal)
            .Select(f => new FhirJsonDeserializer(new DeserializerSettings().UsingMode(DeserializationMode.Ostrich)).DeserializeResource(File.ReadAllText(f)));

    private static JsonObject Extension(StructureDefinition definition, string id, Action<StructureDefinition, string> leftOut)
    {
        JsonObject rule = [];
        var elements = definition.Snapshot!.Element;
        if (elements.Find(e => e.ElementId == id + ".value[x]") is { Max: not "0" } value)
        {
            rule["types"] = new JsonArray([.. value.Type.Select(t => t.Code!).Distinct().Select(t => (JsonNode)t)]);
            if (Targets(value) is { } targets)
                rule["targets"] = targets;
            if (value.Min == 1)
                rule["needsValue"] = true;
            if (value.Binding is { Strength: BindingStrength.Required } binding && value.Type.Exists(t => t.Code is "CodeableConcept" or "Coding" or "code"))
                if (Codes(binding.ValueSet!) is { } codes)
                    rule["codes"] = new JsonArray([.. codes.Select(c => (JsonNode)c)]);
                else
                    leftOut(definition, binding.ValueSet!.Split('|')[0]);
        }
        if (elements.Find(e => e.ElementId == id + ".extension") is { Max: "0" })
            return rule;
        JsonObject parts = [];
        foreach (var slice in elements.Where(e => e.ElementId!.StartsWith(id + ".extension:", StringComparison.Ordinal) && !e.ElementId[(id.Length + 11)..].Contains('.')))
        {
            var part = Extension(definition, slice.ElementId!, leftOut);
            if (slice.Min > 0)
                part["min"] = slice.Min;
            if (slice.Max != "*")
                part["max"] = int.Parse(slice.Max!, System.Globalization.CultureInfo.InvariantCulture);
            parts[elements.Find(e => e.ElementId == slice.ElementId + ".url")?.Fixed is FhirUri url ? url.Value! : slice.SliceName!] = part;
        }
        rule["parts"] = parts;
        return rule;
    }

    /// <summary>The types that a reference may be to; null when it may be to any, or is none.</summary>
    private static JsonArray? Targets(ElementDefinition element)
    {
        var targets = element.Type.Where(t => t.Code == "Reference").SelectMany(t => t.TargetProfile).Select(p => p!.Contains("/fi-base-practitioner", StringComparison.Ordinal) ? "Practitioner" : p["http://hl7.org/fhir/StructureDefinition/".Length..]).ToList();
        return targets.Count == 0 || targets.Contains("Resource") ? null : new JsonArray([.. targets.Distinct().Select(t => (JsonNode)t)]);
    }

    /// <summary>Path of the element's parent.</summary>
    public static string ParentOf(ElementDefinition element) => element.Path![..element.Path!.LastIndexOf('.')];

    /// <summary>The element's own name, of a choice without its <c>[x]</c>.</summary>
    public static string NameOf(ElementDefinition element) => element.Path![(element.Path!.LastIndexOf('.') + 1)..].Replace("[x]", "", StringComparison.Ordinal);

    /// <summary>The rules in the layout of <c>base-rules.json</c>: a line for each type, extension and profile.</summary>
    public static string Layout(SortedDictionary<string, JsonObject> types, SortedDictionary<string, JsonObject> extensions, SortedDictionary<string, JsonObject> profiles)
    {
        return $"{{\n\"types\": {{\n{Lines(types)}\n}},\n\"extensions\": {{\n{Lines(extensions)}\n}},\n\"profiles\": {{\n{Lines(profiles)}\n}}\n}}\n";

        static string Lines(SortedDictionary<string, JsonObject> rules) => string.Join(",\n", rules.Select(t => $"{JsonSerializer.Serialize(t.Key)}: {t.Value.ToJsonString(Writing)}"));
    }

    private static JsonArray Written(ElementDefinition.ConstraintComponent constraint) => [constraint.Key, OwnWords.GetValueOrDefault(constraint.Key!) ?? constraint.Expression, constraint.Human];

    private static void AddOnce(this JsonArray array, JsonNode item)
    {
        if (!array.Any(i => JsonNode.DeepEquals(i, item)))
            array.Add(item);
    }

    private static IEnumerable<Resource> Read(string entry)
    {
        using var zip = ZipFile.OpenRead(Path.Combine(AppContext.BaseDirectory, "specification.zip"));
        using var reader = new StreamReader(zip.GetEntry(entry)!.Open());
        return ((Bundle)new FhirXmlDeserializer(new DeserializerSettings().UsingMode(DeserializationMode.Ostrich)).DeserializeResource(reader.ReadToEnd())).Entry.Select(e => e.Resource!);
    }
}
