using System.Text;
using System.Text.Json.Nodes;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Tests.Fhir.Validation;

/// <summary>
/// Whatever R4's StructureDefinitions ask of an element of a served type is enforced before it is stored: cardinality and the
/// codes of enumerations by the parser, all else by the table of rules. What neither does is named here with its reason.
/// </summary>
public sealed class SpecificationTests
{
    /// <summary>Constraints and required value sets that stand for no rule in the table.</summary>
    private static readonly Dictionary<string, string> LeftOut = new(StringComparer.Ordinal)
    {
        ["ele-1"] = "An element without value and children is refused by the parser.",
        ["txt-1"] = "Narratives are held to the XHTML rules of FHIR by the parser.",
        ["txt-2"] = "Narratives are held to the XHTML rules of FHIR by the parser.",
        ["ext-1"] = "The rule of the type Extension itself, repeated where extensions may stand.",
        ["http://loinc.org/vs/LL379-9"] = "An answer list of LOINC that the package does not have; of MolecularSequence.structureVariant.variantType, where any code is taken.",
        ["http://hl7.org/fhir/ValueSet/mimetypes"] = "Of the extension mimeType of questionnaires, which are not kept here; media types cannot be counted up.",
        ["http://hl7.org/fhir/ValueSet/parent-relationship-codes"] = "Of the extension family-member-history-genetics-parent: chosen by filters of v3-RoleCode.",
        ["http://hl7.org/fhir/ValueSet/sibling-relationship-codes"] = "Of the extension family-member-history-genetics-sibling: chosen by filters of v3-RoleCode.",
        ["http://hl7.org/fhir/ValueSet/timezones"] = "Of the extension tz-code: the package does not have the names of time zones.",
        ["http://hl7.org/fhir/ValueSet/ucum-units"] = "Of the extension elementdefinition-allowedUnits, which stands in definitions: units cannot be counted up.",
    };

    /// <summary>
    /// <c>base-rules.json</c> says what the specification says, rule by rule. After a new version of the package:
    /// <c>KANTA_RULES=file</c> has this test write what the table should be.
    /// </summary>
    [Fact]
    public void The_table_of_rules_is_that_of_the_specification()
    {
        var (expected, extensions, profiles) = (Specification.Rules((_, _) => { }), Specification.Extensions((_, _) => { }), Specification.Profiles());
        if (Environment.GetEnvironmentVariable("KANTA_RULES") is { Length: > 0 } file)
            File.WriteAllText(file, Specification.Layout(expected, extensions, profiles));
        using var stream = typeof(BaseRules).Assembly.GetManifestResourceStream("base-rules.json")!;
        var table = JsonNode.Parse(stream)!;
        Assert.Empty(Different(expected, table["types"]!.AsObject()));
        Assert.Empty(Different(extensions, table["extensions"]!.AsObject()));
        Assert.Empty(Different(profiles, table["profiles"]!.AsObject()));
        Assert.True(expected.Count > 100 && extensions.Count > 300, $"{expected.Count} types, {extensions.Count} extensions");

        static IEnumerable<string> Different(SortedDictionary<string, JsonObject> expected, JsonObject table) =>
            expected.Where(t => !JsonNode.DeepEquals(t.Value, table[t.Key])).Select(t => t.Key).Concat(table.Select(t => t.Key).Where(t => !expected.ContainsKey(t)));
    }

    [Fact]
    public void What_the_table_leaves_out_is_named_with_its_reason()
    {
        var served = Places.OfServed.Value.Select(p => p.Type).ToHashSet();
        var rules = new SortedSet<string>(StringComparer.Ordinal);
        Specification.Rules((element, rule) =>
        {
            // Of codes below.
            if (!element.Type.TrueForAll(t => t.Code == "code") && served.Contains(element.Path!.Contains('.') ? Specification.ParentOf(element) : element.Path!))
                rules.Add(rule);
        });
        Specification.Extensions((_, valueSet) => rules.Add(valueSet));
        Assert.Equal(LeftOut.Keys.Order(StringComparer.Ordinal), rules);
    }

    [Fact]
    public void An_element_occurs_as_often_as_the_specification_says()
    {
        var (needed, single, many) = (0, 0, 0);
        var wrong = new List<string>();
        foreach (var place in Places.OfServed.Value)
        {
            var empty = Issues(place.With(null));
            foreach (var element in place.Elements)
            {
                var name = Specification.NameOf(element);
                var expression = $"{place.Expression}.{name}";
                if (element.Min > 0)
                {
                    needed++;
                    if (!empty.Exists(i => i.Code == "required" && i.Expression == expression))
                        wrong.Add($"{expression} may be missing");
                }
                var (member, value) = Places.Value(element);
                var twice = Parsed(place.With((member, new JsonArray(value.DeepClone(), value))));
                var isRefused = twice.Any(i => i.Code == "structure" && i.Expression == expression);
                if (isRefused != (element.Max == "1"))
                    wrong.Add($"{expression} twice: {string.Join("; ", twice)}");
                _ = element.Max == "1" ? single++ : many++;
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.True(needed > 300 && single > 2_000 && many > 1_000, $"{needed} mandatory, {single} single, {many} repeating");
    }

    [Fact]
    public void A_code_is_one_of_its_required_value_set()
    {
        var held = 0;
        var wrong = new List<string>();
        foreach (var place in Places.OfServed.Value)
            foreach (var element in place.Elements.Where(e => e.Binding is { Strength: BindingStrength.Required } && e.Type.Exists(t => t.Code == "code")))
            {
                var valueSet = element.Binding!.ValueSet!.Split('|')[0];
                var (member, _) = Places.Value(element);
                var value = JsonValue.Create("no-such-code");
                var issues = Issues(place.With((member, element.Max == "1" ? value : new JsonArray(value))));
                if (issues.Exists(i => i.Code == "code-invalid" && i.Expression!.StartsWith($"{place.Expression}.{Specification.NameOf(element)}", StringComparison.Ordinal)))
                    held++;
                else
                        wrong.Add($"{element.Path!} takes any code, not only those of {valueSet}");
            }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
        Assert.True(held > 150, $"{held}");
    }

    /// <summary>The name under which the table has a rule is the one under which the walk comes by the element.</summary>
    [Fact]
    public void Every_rule_of_the_table_is_met_where_its_element_stands()
    {
        using var stream = typeof(BaseRules).Assembly.GetManifestResourceStream("base-rules.json")!;
        var table = JsonNode.Parse(stream)!["types"]!.AsObject();
        var met = 0;
        foreach (var place in Places.OfServed.Value)
        {
            if (table[place.Type] is not { } rules)
                continue;
            foreach (var element in place.Elements)
                if (rules["members"]?[Specification.NameOf(element)] is not null)
                {
                    met++;
                    var (member, value) = Places.Value(element);
                    var resource = Lenient.DeserializeResource(place.With((member, element.Max == "1" ? value : new JsonArray(value))));
                    var found = new List<string>();
                    ElementTree.Visit<Base>(resource, (parent, _) =>
                    {
                        if (parent.TypeName == place.Type)
                            found.AddRange(parent.EnumerateElements().Select(m => m.Key));
                    });
                    Assert.True(found.Contains(Specification.NameOf(element)), $"{place.Type} {Specification.NameOf(element)}: {string.Join(", ", found)}");
                }
            var seen = false;
            ElementTree.Visit<Base>(Lenient.DeserializeResource(place.With(null)), (e, at) => seen |= e.TypeName == place.Type && at.ToExpression() == place.Expression);
            Assert.True(seen, place.Expression);
            met++;
        }
        Assert.True(met > 100, $"{met}");
    }

    [Theory]
    [InlineData("""{"resourceType":"Patient","name":[{}]}""", "Patient.name[0]")] // ele-1
    [InlineData("""{"resourceType":"Patient","active":""}""", "Patient.active")]
    [InlineData("""{"resourceType":"Patient","name":[{"family":""}]}""", "Patient.name[0].family")]
    [InlineData("""{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'><script>x</script></div>"}}""", "Patient.text.div")] // txt-1
    [InlineData("""{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns='http://www.w3.org/1999/xhtml'> </div>"}}""", "Patient.text.div")] // txt-2
    public void What_the_table_leaves_to_the_parser_the_parser_refuses(string json, string expression) => Assert.Contains(Issues(json), i => i.Expression == expression);

    /// <summary>What the parser refuses, and, as if it had not, the rules.</summary>
    private static List<FaultIssue> Issues(string json)
    {
        List<FaultIssue> issues = [.. Parsed(json)];
        BaseRules.Check(Lenient.DeserializeResource(json), issues);
        return issues;
    }

    private static IReadOnlyList<FaultIssue> Parsed(string json) => ResourceParser.Parse(Encoding.UTF8.GetBytes(json)).Fault?.Issues ?? [];

    private static readonly FhirJsonDeserializer Lenient = new(new DeserializerSettings().UsingMode(DeserializationMode.Ostrich));

    /// <summary>A place in a served type where an object of some type stands.</summary>
    /// <param name="Type">The table's name of it: <c>Observation</c>, <c>Observation.component</c>, <c>Quantity</c>.</param>
    /// <param name="Expression">FHIRPath, such as <c>Observation.component[0].value</c>.</param>
    private sealed record Place(string Type, string Expression, IReadOnlyList<(string Name, bool IsRepeating)> Steps, string Resource, IReadOnlyList<ElementDefinition> Elements)
    {
        /// <summary>The resource with nothing but the way to this place, and there the member.</summary>
        public string With((string Name, JsonNode Value)? member)
        {
            var resource = new JsonObject { ["resourceType"] = Resource };
            var at = resource;
            foreach (var (name, isRepeating) in Steps)
            {
                var next = new JsonObject();
                at[name] = isRepeating ? new JsonArray(next) : next;
                at = next;
            }
            if (member is var (of, value))
                at[of] = value.Parent is null ? value : value.DeepClone();
            else if (at != resource)
                at["id"] = "x";
            else
                at["language"] = "fi";
            return resource.ToJsonString();
        }
    }

    private static class Places
    {
        /// <summary>The first place of every type of object that a served resource may have.</summary>
        public static readonly Lazy<IReadOnlyList<Place>> OfServed = new(Find);

        /// <summary>The element's name in JSON and something to stand there.</summary>
        public static (string Name, JsonNode Value) Value(ElementDefinition element)
        {
            var name = Specification.NameOf(element);
            var type = element.ContentReference is null ? element.Type[0].Code! : "BackboneElement";
            if (element.Path!.EndsWith("[x]", StringComparison.Ordinal))
                name += char.ToUpperInvariant(type[0]) + type[1..];
            return (name, type switch
            {
                "boolean" => true,
                "integer" or "positiveInt" or "unsignedInt" or "decimal" => 1,
                "Resource" => new JsonObject { ["resourceType"] = "Basic", ["id"] = "x" },
                _ when char.IsLower(type[0]) || type.StartsWith("http", StringComparison.Ordinal) => "x",
                _ => new JsonObject { ["id"] = "x" },
            });
        }

        private static List<Place> Find()
        {
            var definitions = Specification.Types.ToDictionary(d => d.Type!);
            var places = new Dictionary<string, Place>(StringComparer.Ordinal);
            var waiting = new Queue<Place>();
            foreach (var type in ResourceTypes.Served)
                Visit(definitions[type], type, type, [], type);
            while (waiting.TryDequeue(out var place))
                foreach (var element in place.Elements.Where(e => e.ContentReference is null))
                    foreach (var type in element.Type.Where(t => char.IsUpper(t.Code![0])))
                    {
                        var name = Specification.NameOf(element);
                        var step = (element.Path!.EndsWith("[x]", StringComparison.Ordinal) ? name + type.Code : name, element.Max == "*");
                        var expression = $"{place.Expression}.{name}{(element.Max == "*" ? "[0]" : "")}";
                        if (type.Code is "BackboneElement" or "Element")
                            Visit(definitions[element.Path!.Split('.')[0]], element.Path!, expression, [.. place.Steps, step], place.Resource);
                        else if (definitions.TryGetValue(type.Code!, out var definition) && definition.Kind == StructureDefinition.StructureDefinitionKind.ComplexType)
                            Visit(definition, type.Code!, expression, [.. place.Steps, step], place.Resource);
                    }
            return [.. places.Values];

            void Visit(StructureDefinition definition, string path, string expression, IReadOnlyList<(string, bool)> steps, string resource)
            {
                if (places.ContainsKey(path))
                    return;
                var place = new Place(path, expression, steps, resource,
                    [.. definition.Snapshot!.Element.Where(e => e.Path!.StartsWith(path + ".", StringComparison.Ordinal) && e.Path!.LastIndexOf('.') == path.Length)]);
                places.Add(path, place);
                waiting.Enqueue(place);
            }
        }
    }
}
