using System.Globalization;
using System.Text;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Search;

/// <summary>Reads the parameters of a search, one after the other, and collects what is wrong with them. Used once.</summary>
/// <param name="now">UTC ticks.</param>
/// <param name="terms">What is known besides the codes that come with the product; null: nothing.</param>
/// <param name="outer">Reader of the chain that led here; null: of the search itself.</param>
sealed class SearchReader(string type, IdentifierCipher ids, Pseudonym compartment, long now, string? publicBase, StoredTerms? terms = null, SearchReader? outer = null)
{
    // A unit or a value set that nobody has asked for costs milliseconds, a link of a chain a look at every resource of its type.
    private const int MaxAlternatives = 500, MaxCostly = 20, MaxDepth = 4, MaxLinks = 200, MaxSortKeys = 8, MaxIncludes = 20;

    private readonly int _depth = outer is null ? 0 : outer._depth + 1;

    // Of the whole search, counted where it began.
    private int _links;

    public List<FaultIssue> Issues { get; } = [];

    /// <summary>Parameters that nothing is known of, and orders and includes by such.</summary>
    public List<FaultIssue> Unknown { get; } = [];

    public List<SearchClause> Clauses { get; } = [];
    public List<SortKey> Sort { get; } = [];
    public List<Include> Includes { get; } = [];
    public TotalMode Total { get; private set; }
    public int Count { get; private set; } = SearchQuery.DefaultCount;
    public bool IsCountOnly { get; private set; }

    public void Wrong(string? parameter, string sentence, string code) => Issues.Add(IssueOf(parameter, sentence, code));

    public void Read(string name, string value)
    {
        if (value.Length == 0)
        {
            Wrong(name, "has no value.", "value");
            return;
        }
        switch (name)
        {
            case "_count":
                ReadCount(value);
                return;
            case "_summary" when value is "count":
                IsCountOnly = true;
                return;
            case "_total" when value is "none" or "estimate" or "accurate":
                Total = value == "none" ? TotalMode.None : TotalMode.Accurate;
                return;
            case "_total":
                Wrong(name, "takes none, estimate or accurate.", "value");
                return;
            case "_sort":
                ReadSort(value);
                return;
            case "_include" or "_include:iterate" or "_revinclude" or "_revinclude:iterate":
                ReadInclude(name, value);
                return;
            // Chose the compartment; the gateway has already used them.
            case "patient.identifier" or "subject.identifier" or "patient:Patient.identifier" or "subject:Patient.identifier" or "patient:identifier" or "subject:identifier"
                when value.StartsWith(PersonalIdentityCode.System + "|", StringComparison.Ordinal):
                return;
        }
        // These say how to answer and not what to find; the gateway has already judged them.
        if (!PresentationParameters.Contains(name) && ReadFilter(name, value) is { } clause)
            Clauses.Add(clause);
    }

    /// <summary>A parameter that says what to find; null where it is refused.</summary>
    private SearchClause? ReadFilter(string name, string value)
    {
        if (name.StartsWith("_has:", StringComparison.Ordinal))
            return ReadHas(name, value);
        var dot = name.IndexOf('.');
        if (dot > 0)
            return ReadChain(name, name[..dot], name[(dot + 1)..], value);
        switch (name)
        {
            case "_id":
                return ReadIds(value);
            case "_lastUpdated":
                return ReadTimes(name, value) is { } times ? new LastUpdatedClause(times) : null;
        }
        var colon = name.IndexOf(':');
        var (bare, modifier) = colon < 0 ? (name, null) : (name[..colon], name[(colon + 1)..]);
        if (SearchParameters.WhyNot(bare) is { } why)
        {
            Wrong(name, why, "not-supported");
            return null;
        }
        if (SearchParameters.Find(type, bare) is not { } parameter)
        {
            Unknown.Add(IssueOf(name, $"is not a search parameter of {type}. Those that are: {string.Join(", ", SearchParameters.Of(type).Select(p => p.Name).Concat(["_id", "_lastUpdated"]))}.", "not-supported"));
            return null;
        }
        if (modifier == "missing")
        {
            if (value is "true" or "false")
                return new MissingClause(parameter.Code, value == "true");
            Wrong(name, "takes true or false.", "value");
            return null;
        }
        if (modifier is not null && WhyNot(parameter, modifier) is { } whyNot)
        {
            Wrong(name, whyNot, "not-supported");
            return null;
        }
        if (parameter is { Kind: SearchKind.Uri, Name: "url" } && value.Contains('|') && SearchParameters.Find(type, "version") is { Kind: SearchKind.Token } version)
            return Alternatives(name, value) is { Count: > 0 } canonicals ? new DefinitionClause(parameter, version, [.. canonicals.Select(Bytes)], ModeOf(modifier)) : null;
        var tests = new List<ValueTest>();
        if (parameter is { Kind: SearchKind.Reference, IsCanonical: false } && modifier is "above" or "below")
            return ReadHierarchy(parameter, modifier == "above", name, value);
        var isOfSets = parameter.Kind == SearchKind.Token && modifier is "in" or "not-in" or "above" or "below";
        foreach (var alternative in Alternatives(name, value, isOfSets || parameter.Kind is SearchKind.Quantity or SearchKind.Composite ? MaxCostly : MaxAlternatives))
        {
            if (TestOf(parameter, parameter.Kind, modifier, name, alternative) is not { } test)
                return null;
            tests.Add(test);
        }
        return tests.Count == 0 ? null : new ValueClause(parameter.Code, [.. tests], isNegated: modifier is "not" or "not-in");
    }

    /// <summary>Why a modifier does not go with a parameter, as a sentence; null where it does.</summary>
    private static string? WhyNot(SearchParameter parameter, string modifier) => (parameter.Kind, modifier) switch
    {
        _ when parameter.Modifiers.Contains(modifier) => null,
        (SearchKind.Reference, "above" or "below") when !parameter.IsCanonical => $"with :{modifier} is not served, because nothing that it refers to is part of others of its type. Follow the references with a chain.",
        (SearchKind.Reference, _) when ResourceTypes.IsFhirType(modifier) => null,
        _ => $"does not take this modifier. A {parameter.Kind.ToString().ToLowerInvariant()} takes {string.Join(", ", parameter.Modifiers.Select(m => ":" + m))}.",
    };

    // :: values

    /// <param name="value">One alternative, still escaped.</param>
    private ValueTest? TestOf(SearchParameter parameter, SearchKind kind, string? modifier, string name, string value)
    {
        switch (kind)
        {
            case SearchKind.Token when modifier == "text":
                return new TokenTextTest(Unescape(value));
            case SearchKind.Token when modifier == "of-type":
                return SplitUnescaped(value, '|') is [var system, var code, var of] && code.Length > 0 && of.Length > 0
                    ? new TypedIdentifierTest(Bytes(system), Bytes(code), Bytes(of))
                    : Malformed(name, "takes system|code|value, where system and code say the type of the identifier.");
            case SearchKind.Token when modifier is "in" or "not-in":
                return OneOf(name, CodesOf(Unescape(value)));
            case SearchKind.Token when modifier is "above" or "below":
                return ReadPlace(name, value, above: modifier == "above");
            case SearchKind.Token:
                return ReadToken(name, value, ValueKind.Token);
            case SearchKind.String:
                return new StringTest(modifier switch { "exact" => StringMode.Exact, "contains" => StringMode.Contains, _ => StringMode.StartsWith }, Unescape(value));
            case SearchKind.Uri:
                return new UriTest(ModeOf(modifier), Bytes(value));
            case SearchKind.Date:
                return TimeTest.TryParse(Unescape(value), now, out var time) ? new DateTest(time)
                    : Malformed(name, "takes a date or time such as 2024-05, ge2024-05-01 or lt2024-05-01T12:00:00+03:00; prefixes eq, ne, lt, le, gt, ge, sa, eb, ap.");
            case SearchKind.Number:
                return NumberTest.TryParse(Unescape(value), out var number) ? new NumberValueTest(number)
                    : Malformed(name, "takes a number such as 100, 1.50, 1e2 or gt0.8; prefixes eq, ne, lt, le, gt, ge, sa, eb, ap.");
            case SearchKind.Special:
                return NearTest.TryParse(Unescape(value), out var near) ? near
                    : Malformed(name, $"takes latitude|longitude|distance|unit in degrees, such as 60.17|24.94|5|km; a UCUM unit of length, km where none is given, and {NearTest.DefaultKilometres} km where no distance is.");
            case SearchKind.Quantity:
                return ReadQuantity(name, value);
            case SearchKind.Reference when modifier is "above" or "below":
                return new UriTest(ModeOf(modifier), Bytes(value), ValueKind.Reference);
            case SearchKind.Reference when modifier == "identifier":
                return ReadToken(name, value, ValueKind.LogicalReference);
            case SearchKind.Reference:
                return ReadReference(parameter, modifier, name, Unescape(value));
            default:
                return ReadComposite(parameter, name, value);
        }
    }

    private static UriMode ModeOf(string? modifier) => modifier switch { "above" => UriMode.Above, "below" => UriMode.Below, _ => UriMode.Same };

    /// <param name="name">A canonical URL, or <c>ValueSet/id</c>.</param>
    private (CodeSet?, string?) CodesOf(string name)
    {
        if (publicBase is not null && name.StartsWith(publicBase + "/ValueSet/", StringComparison.Ordinal))
            name = name[(publicBase.Length + 1)..];
        return terms is null || KnownCodes.HasValueSet(name) ? KnownCodes.In(name) : terms.In(name);
    }

    private ValueTest? ReadPlace(string name, string value, bool above) => SplitUnescaped(value, '|') is [{ Length: > 0 } system, { Length: > 0 } code]
        ? OneOf(name, terms is null || KnownCodes.HasSystem(Unescape(system)) ? KnownCodes.Around(Unescape(system), Unescape(code), above) : terms.Around(Unescape(system), Unescape(code), above))
        : Malformed(name, "takes system|code: a code has its place in the hierarchy of its system.");

    private CodeSetTest? OneOf(string name, (CodeSet? Codes, string? Why) known)
    {
        if (known.Codes is { } codes)
            return new(codes);
        Wrong(name, known.Why!, "not-supported");
        return null;
    }

    private ValueTest? ReadToken(string name, string value, ValueKind kind)
    {
        var parts = SplitUnescaped(value, '|');
        if (parts.Count > 2 || value is "" or "|")
            return Malformed(name, "takes code, system|code, |code or system|; a comma or bar inside is written with a backslash.");
        var code = parts[^1];
        return new TokenTest(parts.Count == 1 ? null : Bytes(parts[0]), code.Length == 0 ? null : Bytes(code), kind);
    }

    private ValueTest? ReadQuantity(string name, string value)
    {
        var parts = SplitUnescaped(value, '|');
        return parts.Count is 1 or 3 && NumberTest.TryParse(Unescape(parts[0]), out var number)
            ? new QuantityTest(number, parts is [_, { Length: > 0 } system, _] ? Unescape(system) : null, parts is [_, _, { Length: > 0 } unit] ? Unescape(unit) : null)
            : Malformed(name, "takes a number, number|system|code or number||unit, such as gt5.4|http://unitsofmeasure.org|mg; prefixes eq, ne, lt, le, gt, ge, sa, eb, ap.");
    }

    private ReferenceTest? ReadReference(SearchParameter parameter, string? target, string name, string value) =>
        LiteralOf(parameter.Targets, target, name, value) is { Literal: { } literal, IsBare: var isBare } ? new(Encoding.UTF8.GetBytes(literal), isBare) : null;

    /// <summary>A reference as it is stored, or the bare id that it ends with; null where it is refused.</summary>
    /// <param name="targets">Types that it may refer to.</param>
    /// <param name="target">The one that is asked for; null: any.</param>
    private (string? Literal, bool IsBare) LiteralOf(IReadOnlyList<string> targets, string? target, string name, string literal)
    {
        if (publicBase is not null)
            literal = References.Relative(literal, publicBase);
        if (References.IsId(literal))
        {
            // The type that a bare id stands for is open where there are several.
            target ??= targets.Count == 1 ? targets[0] : null;
            return target is null ? (literal, true) : ($"{target}/{literal}", false);
        }
        if (References.Classify(literal, out var named, out _) is ReferenceKind.Local or ReferenceKind.External or ReferenceKind.Urn
            && (target is null || named is null || named == target))
            return (literal, false);
        Malformed(name, "takes Type/id, an id, or a URL of a resource.");
        return default;
    }

    private HierarchyClause? ReadHierarchy(SearchParameter parameter, bool above, string name, string value)
    {
        string[] types = [.. parameter.Hierarchies];
        var roots = new List<(string, string)>();
        foreach (var alternative in Alternatives(name, value, MaxCostly))
        {
            if (LiteralOf(types, null, name, Unescape(alternative)) is not { Literal: { } literal })
                return null;
            if (!References.TryReadLocal(literal, out var type, out var id) || !types.Contains(type))
            {
                Malformed(name, $"takes one of {string.Join(", ", types)}, as Type/id: these are parts of others of their type.");
                return null;
            }
            roots.Add((type!, id!));
        }
        return roots.Count == 0 ? null : new(parameter, roots, above);
    }

    private ValueTest? ReadComposite(SearchParameter parameter, string name, string value)
    {
        var parts = SplitUnescaped(value, '$');
        if (parts.Count != parameter.Components.Count)
            return Malformed(name, $"takes {parameter.Components.Count} values with $ between them.");
        var tests = new ValueTest[parts.Count];
        for (var i = 0; i < tests.Length; i++)
            if (parts[i].Length == 0)
                return Malformed(name, $"takes {parameter.Components.Count} values with $ between them.");
            else if (TestOf(parameter, parameter.Components[i].Kind, null, name, parts[i]) is { } test)
                tests[i] = test;
            else
                return null;
        return new CompositeTest(tests);
    }

    private IdClause ReadIds(string value)
    {
        var sequences = new List<long>();
        foreach (var id in Alternatives("_id", value))
            if (ids.TryReadResourceId(Unescape(id), out var owner, out var sequence) && owner == (IsInDirectory ? Pseudonym.Directory : compartment))
                sequences.Add(sequence);
        return new(sequences);
    }

    private bool IsInDirectory => ResourceTypes.PlaceOf(type) == ResourcePlace.Directory;

    private List<TimeTest>? ReadTimes(string name, string value)
    {
        var tests = new List<TimeTest>();
        foreach (var alternative in Alternatives(name, value))
            if (TimeTest.TryParse(Unescape(alternative), now, out var test))
                tests.Add(test);
            else
            {
                Malformed(name, "takes a date or time such as 2024-05, ge2024-05-01 or lt2024-05-01T12:00:00+03:00; prefixes eq, ne, lt, le, gt, ge, sa, eb, ap.");
                return null;
            }
        return tests;
    }

    // :: chains

    private ChainClause? ReadChain(string name, string first, string rest, string value)
    {
        var colon = first.IndexOf(':');
        var (bare, only) = colon < 0 ? (first, null) : (first[..colon], first[(colon + 1)..]);
        if (SearchParameters.Find(type, bare) is not { Kind: SearchKind.Reference } reference)
        {
            Unknown.Add(IssueOf(name, $"does not begin with a reference parameter of {type}.", "not-supported"));
            return null;
        }
        if (only is not null && !reference.Targets.Contains(only))
        {
            Wrong(name, $"names a type that {bare} does not refer to. It refers to {string.Join(", ", reference.Targets)}.", "value");
            return null;
        }
        // Of the types that it may refer to, those that have such a parameter.
        var next = rest[..(rest.AsSpan().IndexOfAny('.', ':') is >= 0 and var end ? end : rest.Length)];
        string[] types = only is not null ? [only] : [.. reference.Targets.Where(t => SearchParameters.Find(t, next) is not null
            || next is "_id" or "_lastUpdated" or "_has" || SearchParameters.WhyNot(next) is not null)];
        if (types.Length == 0)
        {
            Unknown.Add(IssueOf(name, $"asks for a parameter that none of {string.Join(", ", reference.Targets)} has.", "not-supported"));
            return null;
        }
        var inner = new List<SearchQuery>();
        SearchReader? refused = null;
        foreach (var target in types)
        {
            if (Inner(target, name, rest, value) is not { } reader)
                return null;
            if (reader.Clauses.Count > 0)
                inner.Add(new(target, reader, ""));
            else
                refused ??= reader;
        }
        if (inner.Count > 0)
            return new(reference, inner);
        Take(refused!, name);
        return null;
    }

    private HasClause? ReadHas(string name, string value)
    {
        // _has:Observation:patient:code, where code may be a chain, a modifier or another _has.
        if (name.Split(':', 4) is not [_, var source, var bare, var rest] || !ResourceTypes.IsServed(source))
        {
            Wrong(name, "is written _has:[type]:[reference parameter of it]:[parameter of it].", "value");
            return null;
        }
        if (SearchParameters.Find(source, bare) is not { Kind: SearchKind.Reference } reference)
        {
            Wrong(name, $"names no reference parameter of {source}.", "value");
            return null;
        }
        if (Inner(source, name, rest, value) is not { } reader)
            return null;
        if (reader.Clauses.Count > 0)
            return new(reference, new(source, reader, ""));
        Take(reader, name);
        return null;
    }

    /// <summary>What a chain looks for in another type; null where it is too long.</summary>
    private SearchReader? Inner(string of, string name, string rest, string value)
    {
        if (_depth == MaxDepth)
        {
            Wrong(name, $"chains more than {MaxDepth} references. Search in steps.", "too-costly");
            return null;
        }
        if (!First.IsAffordable())
        {
            Wrong(name, $"may lead to too many types: a search follows at most {MaxLinks} links. Name the types, such as subject:Patient.name.", "too-costly");
            return null;
        }
        var reader = new SearchReader(of, ids, compartment, now, publicBase, terms, this);
        if (reader.ReadFilter(rest, value) is { } clause)
            reader.Clauses.Add(clause);
        return reader;
    }

    private SearchReader First => outer?.First ?? this;

    private bool IsAffordable() => ++_links <= MaxLinks;

    /// <summary>What is wrong in a chain is wrong with the whole parameter.</summary>
    private void Take(SearchReader inner, string name)
    {
        foreach (var issue in inner.Unknown)
            Unknown.Add(issue with { Expression = IssueOf(name, "", null).Expression });
        foreach (var issue in inner.Issues)
            Issues.Add(issue with { Expression = IssueOf(name, "", null).Expression });
    }

    // :: how to answer

    private void ReadCount(string value)
    {
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var count))
        {
            Wrong("_count", "is a number from 0.", "value");
            return;
        }
        IsCountOnly |= count == 0;
        Count = Math.Clamp(count, 1, SearchQuery.MaxCount);
    }

    private void ReadSort(string value)
    {
        var keys = new List<SortKey>();
        foreach (var key in value.Split(','))
        {
            var name = key.StartsWith('-') ? key[1..] : key;
            var parameter = SearchParameters.Find(type, name);
            var sentence = $"takes search parameters of {type} that are neither composite nor special, and _lastUpdated, each with - before it to sort downwards.";
            if (parameter?.Kind is SearchKind.Composite or SearchKind.Special || SearchParameters.WhyNot(name) is not null)
                Wrong("_sort", sentence, "not-supported");
            else if (parameter is null && name != "_lastUpdated")
            {
                // An order in which a key is left out is another order: none of it is understood.
                Unknown.Add(IssueOf("_sort", sentence, "not-supported"));
                return;
            }
            else if (Sort.Count + keys.Count == MaxSortKeys)
                Wrong("_sort", $"has more than {MaxSortKeys} keys.", "too-costly");
            else
                keys.Add(new(parameter, key.Length > name.Length));
        }
        Sort.AddRange(keys);
    }

    private void ReadInclude(string name, string value)
    {
        var parts = value.Split(':');
        var isReverse = name.StartsWith("_revinclude", StringComparison.Ordinal);
        var parameter = parts.Length > 1 && SearchParameters.Find(parts[0], parts[1]) is { Kind: SearchKind.Reference } found ? found : null;
        if (parts.Length > 3 || (value != "*" && !ResourceTypes.IsServed(parts[0])) || (value != "*" && parameter is null && parts is not [_, "*"])
            || (parts.Length == 3 && !ResourceTypes.IsServed(parts[2])))
            Unknown.Add(IssueOf(name, "takes Type:parameter, Type:parameter:Target, Type:* or *; the parameter is one of the type's references.", "not-supported"));
        else if (parameter is { Targets.Count: 0 })
            Wrong(name, "names a reference to what is not kept here: there is nothing to include.", "not-supported");
        else if (Includes.Count == MaxIncludes)
            Wrong(name, $"stands more than {MaxIncludes} times.", "too-costly");
        else
            Includes.Add(new(isReverse, name.EndsWith(":iterate", StringComparison.Ordinal), parts[0], parameter, parts.Length == 3 ? parts[2] : null));
    }

    // :: text

    private List<string> Alternatives(string name, string value, int most = MaxAlternatives)
    {
        var alternatives = SplitUnescaped(value, ',');
        if (alternatives.Count <= most)
            return alternatives;
        Wrong(name, $"has more than {most} alternatives.", "too-costly");
        return [];
    }

    private ValueTest? Malformed(string name, string sentence)
    {
        Wrong(name, sentence, "value");
        return null;
    }

    private FaultIssue IssueOf(string? parameter, string sentence, string? code)
    {
        if (parameter is null)
            return new(sentence, null, code);
        var shown = IsShowable(parameter) ? parameter : null;
        return new(shown is null ? $"A parameter {sentence}" : $"Parameter {shown} {sentence}", shown is null ? null : $"{type}?{shown}", code);
    }

    /// <summary>Whether a parameter's name may be repeated in the answer: it has the form of one, and hides no identity code.</summary>
    private static bool IsShowable(string name) =>
        name.Length is > 0 and <= 128 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or ':' or '-')
        && !PersonalIdentityCode.Occurs(name) && !name.All(c => !char.IsAsciiLetter(c));

    private static byte[] Bytes(string escaped) => Encoding.UTF8.GetBytes(Unescape(escaped));

    private static List<string> SplitUnescaped(string text, char separator)
    {
        var parts = new List<string>();
        var start = 0;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\')
                i++;
            else if (text[i] == separator)
            {
                parts.Add(text[start..i]);
                start = i + 1;
            }
        }
        parts.Add(text[start..]);
        return parts;
    }

    private static string Unescape(string text)
    {
        if (!text.Contains('\\'))
            return text;
        var plain = new StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
            plain.Append(text[i] == '\\' && i + 1 < text.Length ? text[++i] : text[i]);
        return plain.ToString();
    }
}
