using System.Collections.Frozen;
using System.Net.Http.Headers;
using System.Text.Json;
using Hl7.Fhir.FhirPath;
using Hl7.Fhir.Model;
using Hl7.FhirPath;
using Hl7.FhirPath.Expressions;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Validation;

/// <summary>One rule of the specification about an element (hl7.org/fhir/R4/conformance-rules.html#constraints).</summary>
/// <param name="Key">Such as <c>obs-7</c>.</param>
/// <param name="Expression">FHIRPath that must be true.</param>
/// <param name="Human">The rule in words.</param>
sealed record Constraint(string Key, string Expression, string Human)
{
    private static readonly FhirPathCompiler Compiler = new(new SymbolTable().AddStandardFP().AddFhirExtensions());

    private readonly Lazy<QuickConstraint.Condition> _quick = new(() => QuickConstraint.Read(Expression));
    private readonly Lazy<CompiledExpression> _exact = new(() => Compiler.Compile(Expression));

    /// <param name="element">What the rule is about.</param>
    /// <param name="root">The outermost resource.</param>
    public bool Holds(Base element, Resource root) => _quick.Value(element) == Truth.True || HoldsExactly(element, root);

    /// <summary>By Firely's evaluator alone.</summary>
    public bool HoldsExactly(Base element, Resource root)
    {
        // The place in the tree says what %resource is and where a reference leads.
        var tree = root.ToPocoNode();
        var node = ReferenceEquals(element, root) ? tree : new[] { tree }.Descendants().First(n => ReferenceEquals(n.Poco, element));
        var resource = ResourceOf(node);
        var outer = resource is { Poco: not Bundle, Name: "contained", Parent: { } container } ? ResourceOf(container) : resource;
        try
        {
            return _exact.Value.IsTrue(node, new FhirEvaluationContext { Resource = resource, RootResource = outer });
        }
        catch (InvalidOperationException)
        {
            // FHIRPath ends in an error where an expression was written for other content. What cannot be judged is refused by the
            // rule's name; known cases have words of their own in the table.
            return false;
        }
    }

    private static PocoNode ResourceOf(PocoNode node)
    {
        while (node is not { Poco: Resource } and { Parent: { } parent })
            node = parent;
        return node;
    }

    internal Truth Quickly(Base element) => _quick.Value(element);
}

/// <summary>
/// What the base specification demands beyond structure, which <see cref="Profiles.ResourceParser"/> has proved: constraints
/// and the required bindings of CodeableConcepts.
/// </summary>
/// <remarks>
/// Firely's validator says the same and costs 0.3 to 5 ms a resource; this costs microseconds, because a rule that
/// plainly holds is not evaluated by an engine. <c>base-rules.json</c> is distilled from the specification and Firely's
/// corrections of it: a test holds it to them, and another the verdicts on mutated resources to Firely's. Three rules have
/// words of ours: where the order of a Period's or Range's ends is left open, by two precisions (2026-02 to 2026-02-03) or
/// two units, it is accepted (per-1, rng-2), and an offset is allowed beside several <c>when</c> (tim-9), all as in R5.
/// Immutable; thread-safe.
/// </remarks>
static class BaseRules
{
    /// <param name="Required">Mandatory elements that the parser does not ask for.</param>
    private sealed record Rules(Constraint[] OfType, string[] Required, FrozenDictionary<string, MemberRules> OfMembers);

    /// <param name="Type">Type of value that the constraints are about, where the member may have others; null: any.</param>
    /// <param name="Codes">Of which a CodeableConcept must have one, as <c>system#code</c>, or a code be one; null: any.</param>
    /// <param name="IsMediaType">Whether a code is to be a media type of BCP 13.</param>
    /// <param name="Targets">Types that a reference may be to; null: any.</param>
    private sealed record MemberRules(Constraint[] Constraints, string? Type, FrozenSet<string>? Codes, bool IsMediaType, FrozenSet<string>? Targets);

    /// <summary>What makes the address of a type's definition of its name (<c>Reference.type</c>).</summary>
    private const string TypePrefix = "http://hl7.org/fhir/StructureDefinition/";

    private static readonly FrozenDictionary<string, Rules> ByType;
    private static readonly Constraint[] OfDomainResources;

    /// <summary>By their address; those of R4 and of the Finnish Base Profiles.</summary>
    private static readonly FrozenDictionary<string, ExtensionRule> Extensions;

    /// <summary>Those of R4 on served types, and the Finnish Base Profiles.</summary>
    public static IReadOnlyList<KnownProfile> KnownProfiles { get; }

    static BaseRules()
    {
        using var stream = typeof(BaseRules).Assembly.GetManifestResourceStream("base-rules.json")
            ?? throw new InvalidOperationException("The rules of the base specification are not embedded.");
        using var document = JsonDocument.Parse(stream);
        var rules = new Dictionary<string, Rules>(StringComparer.Ordinal);
        foreach (var type in document.RootElement.GetProperty("types").EnumerateObject())
            rules[type.Name] = new(
                type.Value.TryGetProperty("constraints", out var own) ? Constraints(own) : [],
                type.Value.TryGetProperty("required", out var required) ? [.. required.EnumerateArray().Select(r => r.GetString()!)] : [],
                type.Value.TryGetProperty("members", out var members)
                    ? members.EnumerateObject().ToFrozenDictionary(m => m.Name, m => Member(m.Value), StringComparer.Ordinal) : FrozenDictionary<string, MemberRules>.Empty);
        OfDomainResources = rules["DomainResource"].OfType;
        ByType = rules.ToFrozenDictionary(StringComparer.Ordinal);
        KnownProfiles = [.. document.RootElement.GetProperty("profiles").EnumerateObject().Select(p =>
            new KnownProfile(p.Name, p.Value.GetProperty("version").GetString()!, p.Value.GetProperty("type").GetString()!)
            {
                Targets = p.Value.TryGetProperty("targets", out var targets)
                    ? targets.EnumerateObject().ToFrozenDictionary(t => t.Name, t => t.Value.EnumerateArray().Select(e => e.GetString()!).ToFrozenSet(StringComparer.Ordinal), StringComparer.Ordinal)
                    : FrozenDictionary<string, FrozenSet<string>>.Empty,
            })];
        Extensions = document.RootElement.GetProperty("extensions").EnumerateObject().ToFrozenDictionary(e => e.Name, e => ExtensionRule.Read(e.Value), StringComparer.Ordinal);
    }

    private static MemberRules Member(JsonElement json) => new(
        json.TryGetProperty("constraints", out var constraints) ? Constraints(constraints) : [],
        json.TryGetProperty("type", out var type) ? type.GetString() : null,
        Set(json, "codes"),
        json.TryGetProperty("isMediaType", out _),
        Set(json, "targets"));

    public static FrozenSet<string>? Set(JsonElement json, string name) =>
        json.TryGetProperty(name, out var items) ? items.EnumerateArray().Select(c => c.GetString()!).ToFrozenSet(StringComparer.Ordinal) : null;

    private static Constraint[] Constraints(JsonElement json) =>
        [.. json.EnumerateArray().Select(c => new Constraint(c[0].GetString()!, c[1].GetString()!, c[2].GetString()!))];

    /// <summary>Whether a reference at a path of element names, such as <c>Encounter.participant.individual</c>, may be to a type; true where the table does not say.</summary>
    internal static bool MayReferTo(string path, string type) => path.LastIndexOf('.') is not (> 0 and var dot)
        || !ByType.TryGetValue(path[..dot], out var rules) || !rules.OfMembers.TryGetValue(path[(dot + 1)..], out var member)
        || member.Targets is not { } targets || targets.Contains(type);

    /// <summary>Every constraint with the type or type.member that it is about.</summary>
    internal static IEnumerable<(string Of, Constraint Constraint)> All =>
        ByType.SelectMany(t => t.Value.OfType.Select(c => (t.Key, c))
            .Concat(t.Value.OfMembers.SelectMany(m => m.Value.Constraints.Select(c => ($"{t.Key}.{m.Key}", c)))));

    /// <summary>Checks a parsed resource with everything in it.</summary>
    /// <param name="issues">Gets one error for each rule that does not hold, up to <see cref="Profiles.ResourceParser.MaxIssues"/>.</param>
    /// <param name="root">FHIRPath of the resource in a larger body; null: its type.</param>
    /// <param name="entries">From <c>fullUrl</c> to type, of the entries of the Bundle around it; null: none.</param>
    /// <param name="profiles">That the resource is held to: of them only what references may be to, since a validator would have to look them up.</param>
    public static void Check(Resource resource, List<FaultIssue> issues, string? root = null, IReadOnlyDictionary<string, string>? entries = null, IReadOnlyList<KnownProfile>? profiles = null) =>
        new Walk(resource, new ElementTree.Place(root ?? resource.TypeName), issues, entries, profiles ?? []).Visit(resource);

    private sealed class Walk(Resource root, ElementTree.Place place, List<FaultIssue> issues, IReadOnlyDictionary<string, string>? entries, IReadOnlyList<KnownProfile> profiles)
    {
        public void Visit(Base element)
        {
            if (element is PrimitiveType { HasElements: false })
                return;
            if (!ByType.TryGetValue(element.TypeName, out var rules))
                rules = null;
            else
            {
                foreach (var constraint in rules.OfType)
                    Require(constraint, element);
                foreach (var name in rules.Required)
                    if (!element.TryGetValue(name, out var value) || value is System.Collections.ICollection { Count: 0 })
                        Add(new("A mandatory element is missing.", place.ToExpression(name), "required"));
            }
            if (element is DomainResource)
                foreach (var constraint in OfDomainResources)
                    Require(constraint, element);
            foreach (var (name, value) in element.EnumerateElements())
            {
                if (value is Base child)
                    VisitMember(element, rules, name, -1, child);
                else if (value is not string and System.Collections.IEnumerable children)
                {
                    var index = 0;
                    foreach (var item in children)
                    {
                        if (item is Base listed)
                            VisitMember(element, rules, name, index, listed);
                        index++;
                    }
                }
            }
        }

        private void VisitMember(Base parent, Rules? rules, string name, int index, Base child)
        {
            place.Push(name, index);
            MemberRules? member = null;
            if (rules is not null && rules.OfMembers.TryGetValue(name, out member))
            {
                if (member.Type is null || member.Type == child.TypeName)
                    foreach (var constraint in member.Constraints)
                        Require(constraint, child);
                // The SDK's enumerations are one for all versions of FHIR: some have codes of R5.
                if (member.Codes is { } few && child is PrimitiveType { JsonValue: string code } && !few.Contains(code))
                    Add(new("The code is not in the value set that is required for the element.", place.ToExpression(), "code-invalid"));
                if (member.Codes is { } codes && child is CodeableConcept concept && !concept.Coding.Exists(c => codes.Contains($"{c.System}#{c.Code}")))
                    Add(new("None of the codes is in the value set that is required for the element.", place.ToExpression(), "code-invalid"));
                if (member.IsMediaType && child is PrimitiveType { JsonValue: string media } && !MediaTypeHeaderValue.TryParse(media, out _))
                    Add(new("The code is not a media type, such as application/pdf.", place.ToExpression(), "code-invalid"));
            }
            if (child is ResourceReference reference)
                CheckTarget(reference, profiles.Count == 0 ? member?.Targets : Narrowed(member?.Targets));
            else if (child is Extension { Url: { } url } extension && Extensions.TryGetValue(url, out var rule))
            {
                if (!rule.MayStandIn(parent, _path))
                    Add(new("The extension may not stand in this element; its definition says where it may.", place.ToExpression(), "extension"));
                if (rule.IsModifier != (name == "modifierExtension"))
                    Add(new($"The extension must be {(rule.IsModifier ? "a modifierExtension" : "an extension and no modifierExtension")}.", place.ToExpression(), "extension"));
                CheckExtension(extension, rule);
            }
            var outer = _path;
            _path = child is Resource ? null : $"{parent.TypeName}.{name}";
            Visit(child);
            _path = outer;
            place.Pop();
        }

        /// <summary>What the element's type and each of the profiles allow.</summary>
        private FrozenSet<string>? Narrowed(FrozenSet<string>? allowed)
        {
            var path = place.ToPath(root.TypeName);
            foreach (var profile in profiles)
                if (profile.Targets.TryGetValue(path, out var targets))
                    allowed = allowed?.Intersect(targets).ToFrozenSet(StringComparer.Ordinal) ?? targets;
            return allowed;
        }

        /// <summary>An extension that is known has the value and the parts that its definition gives it.</summary>
        private void CheckExtension(Extension extension, ExtensionRule rule)
        {
            switch (extension.Value)
            {
                case null when rule.NeedsValue:
                    Add(new($"The extension needs a value; it may be: {string.Join(", ", rule.Types!.Order(StringComparer.Ordinal))}.", place.ToExpression(), "extension"));
                    break;
                case { } value when rule.Types?.Contains(value.TypeName) != true:
                    Add(new(rule.Types is null ? "The extension has parts and takes no value."
                        : $"The extension's value has a type that it may not have; it may be: {string.Join(", ", rule.Types.Order(StringComparer.Ordinal))}.", place.ToExpression("value"), "extension"));
                    break;
                case ResourceReference reference when rule.Targets is not null:
                    place.Push("value", -1);
                    CheckTarget(reference, rule.Targets);
                    place.Pop();
                    break;
                case { } coded when !rule.TakesCodeOf(coded):
                    Add(new("None of the codes is in the value set that is required for the element.", place.ToExpression("value"), "code-invalid"));
                    break;
            }
            if (rule.Parts is not { } parts)
            {
                if (extension.Extension.Count > 0)
                    Add(new("The extension has a value and no parts.", place.ToExpression("extension"), "extension"));
                return;
            }
            foreach (var (name, part) in parts)
                if (extension.Extension.Count(e => e.Url == name) is var count && (count < part.Min || count > part.Max))
                    Add(new($"The extension's part {name} occurs too few or too many times.", place.ToExpression("extension"), "extension"));
            for (var i = 0; i < extension.Extension.Count; i++)
            {
                place.Push("extension", i);
                // Other extensions may stand among the parts; they have an address.
                if (extension.Extension[i].Url is { } url && parts.TryGetValue(url, out var part))
                    CheckExtension(extension.Extension[i], part);
                else if (parts.Count > 0 && extension.Extension[i].Url?.Contains(':') == false)
                    Add(new("The extension has no part of this name.", place.ToExpression("url"), "extension"));
                place.Pop();
            }
        }

        /// <summary>A reference is to what its element allows, as far as it says itself what it is to, and says one thing.</summary>
        private void CheckTarget(ResourceReference reference, FrozenSet<string>? allowed)
        {
            var target = References.TargetType(reference.Reference, root, entries);
            var said = reference.Type is { } type ? type.StartsWith(TypePrefix, StringComparison.Ordinal) ? type[TypePrefix.Length..] : type : null;
            if (target is not null && allowed is not null && !allowed.Contains(target))
                Add(new($"The reference is to a {target}; here it may be to: {string.Join(", ", allowed.Order(StringComparer.Ordinal))}.", place.ToExpression(), "value") { Message = "wrong-target" });
            else if (said is not null && target is not null && said != target)
                Add(new($"The reference says that it is to another type than the {target} that it names.", place.ToExpression("type"), "value") { Message = "wrong-target" });
            else if (said is not null && allowed is not null && !allowed.Contains(said))
                Add(new($"The reference says that it is to a type that it may not be to; here it may be to: {string.Join(", ", allowed.Order(StringComparer.Ordinal))}.", place.ToExpression("type"), "value") { Message = "wrong-target" });
        }

        private void Require(Constraint constraint, Base element)
        {
            if (!IsPlain(constraint.Key, element) && !constraint.Holds(element, root))
                Add(new($"Constraint {constraint.Key} does not hold: {constraint.Human}", place.ToExpression(), "invariant"));
        }

        /// <summary>The two rules about contained resources, where every reference of the outermost resource has its target and the other way round.</summary>
        private bool IsPlain(string key, Base element) => key switch
        {
            "ref-1" => element is ResourceReference { Reference: ['#', .. var id] } && root is DomainResource holder && holder.Contained.Exists(c => c.Id == id),
            "dom-3" => element is DomainResource { Contained.Count: > 0 } holder && ReferenceEquals(holder, root) && holder.Contained.TrueForAll(c => c.Id is not null && Referred.Contains(c.Id)),
            _ => false,
        };

        private HashSet<string> Referred => _referred ??= [.. References.Of(root).Where(r => r.Kind == ReferenceKind.Contained).Select(r => r.Element.Reference![1..])];

        private HashSet<string>? _referred;

        /// <summary>Parent type and name of the element that is visited; null: a resource.</summary>
        private string? _path;

        private void Add(FaultIssue issue)
        {
            if (issues.Count < Profiles.ResourceParser.MaxIssues)
                issues.Add(issue);
        }
    }
}
