#pragma warning disable CA5394 // The same number must give the same questions; nothing here is a secret.
using System.Globalization;
using System.Net;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Search;
using Xunit.Abstractions;
using SearchParameter = KantaGateway.Fhir.Search.SearchParameter;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>
/// What the index finds is what a plain reading of the specification finds (<see cref="PlainSearch"/>), for every type, parameter and
/// modifier that is served, over random resources and random questions.
/// </summary>
/// <remarks>A test run asks a few questions of each parameter; <c>KANTA_SEARCH_ROUNDS</c> makes it a campaign.</remarks>
public sealed class SearchEvaluationTests(ITestOutputHelper output)
{
    private const int ResourcesOfAType = 6;

    private static readonly string[] Prefixes = ["", "eq", "ne", "lt", "le", "gt", "ge", "sa", "eb", "ap"];

    [Fact]
    public void The_index_finds_what_the_specification_says()
    {
        var rounds = int.TryParse(Environment.GetEnvironmentVariable("KANTA_SEARCH_ROUNDS"), NumberStyles.None, CultureInfo.InvariantCulture, out var asked) ? asked : 2;
        var tally = new SortedDictionary<string, (int Held, int Failed)>(StringComparer.Ordinal);
        var wrong = new List<string>();
        for (var round = 0; round < rounds; round++)
            foreach (var type in ResourceTypes.Served)
                Ask(type, round, tally, wrong);
        foreach (var (kind, (held, failed)) in tally)
            output.WriteLine($"{kind}: found {held} times, not found {failed} times");
        Assert.True(wrong.Count == 0, $"{wrong.Count} questions:\n{string.Join('\n', wrong.Take(40))}");
        // Nothing compared with nothing would hold anything.
        foreach (var (kind, (held, failed)) in tally)
            Assert.True(held > 0 && failed > 0, $"{kind}: found {held} times, not found {failed} times");
        foreach (var modifier in Enum.GetValues<SearchKind>().SelectMany(k => new SearchParameter("x", k) { Definition = "" }.Modifiers.Where(m => !LooksElsewhere(k, m)).Select(m => $"{k}:{m}").Append(k.ToString())))
            Assert.True(tally.ContainsKey(modifier), modifier);
    }

    private static void Ask(string type, int round, SortedDictionary<string, (int, int)> tally, List<string> wrong)
    {
        var random = new Random(HashOf(type) + round * 7919);
        var space = new InMemorySpace();
        Resource[] resources = [.. Enumerable.Range(0, ResourcesOfAType).Select(i => RandomResources.Of(type, $"r{i}", random))];
        foreach (var resource in resources)
            space.Add(resource);
        foreach (var definition in PlainSearch.ParametersOf(type).Where(p => SearchParameters.WhyNot(p.Name!) is null))
        {
            var parameter = SearchParameters.Find(type, definition.Name!);
            Assert.True(parameter is not null, $"{type}?{definition.Name} is not served.");
            var values = resources.ToDictionary(r => r.Id!, r => PlainSearch.Values(definition, r));
            Base[] all = [.. values.Values.SelectMany(v => v)];
            var owner = new Dictionary<object, Resource>(ReferenceEqualityComparer.Instance);
            foreach (var resource in resources)
                foreach (var value in values[resource.Id!])
                    owner[value] = resource;
            foreach (var modifier in parameter.Modifiers.Where(m => !LooksElsewhere(parameter.Kind, m)).Append("").Concat(parameter.Kind == SearchKind.Reference ? [":type"] : []))
            {
                var question = new Questions(definition, parameter, random, owner).Next(modifier, all);
                if (question is null)
                    continue;
                var form = $"{definition.Name}{question.Suffix}={WebUtility.UrlEncode(question.Value)}";
                var (query, fault) = SearchQuery.Parse(type, form, SearchSetting.Ids, SearchSetting.Compartment, SearchSetting.Now, SearchSetting.Base);
                if (query is null)
                {
                    wrong.Add($"{type}?{definition.Name}{question.Suffix}={question.Value}: refused: {fault!.Issues[0].Diagnostics}");
                    continue;
                }
                string[] expected = [.. resources.Where(r => question.Holds(values[r.Id!])).Select(r => r.Id!)];
                var found = space.Search(query);
                var kind = modifier.Length == 0 ? parameter.Kind.ToString() : $"{parameter.Kind}:{modifier.TrimStart(':')}";
                var (held, failed) = tally.GetValueOrDefault(kind);
                tally[kind] = (held + expected.Length, failed + resources.Length - expected.Length);
                if (!expected.SequenceEqual(found))
                    wrong.Add($"{type}?{definition.Name}{question.Suffix}={question.Value} (round {round}): the specification finds {string.Join(',', expected)}; the index {string.Join(',', found)}");
            }
        }
    }

    /// <summary>What value sets and hierarchies say stands in neither the resource nor the question; their tests are elsewhere.</summary>
    private static bool LooksElsewhere(SearchKind kind, string modifier) => modifier is "in" or "not-in" || (modifier is "above" or "below" && kind is not SearchKind.Uri);

    /// <summary>The same on every run, which string.GetHashCode is not.</summary>
    private static int HashOf(string text) => text.Aggregate(17, (hash, c) => unchecked(hash * 31 + c));

    /// <param name="Suffix">Modifier with its colon.</param>
    /// <param name="Holds">Of all values that a resource has for the parameter.</param>
    private sealed record Question(string Suffix, string Value, Func<List<Base>, bool> Holds);

    /// <summary>Makes questions of one parameter from values that there are, as they are or a little beside.</summary>
    private sealed class Questions(SearchParamDefinition definition, SearchParameter parameter, Random random, Dictionary<object, Resource> owner)
    {
        private sealed record Asked(string Text, Func<Base, bool> Holds);

        public Question? Next(string modifier, Base[] all)
        {
            if (modifier == "missing")
            {
                var missing = random.Next(2) == 0;
                return new(":missing", missing ? "true" : "false", values => values.Count == 0 == missing);
            }
            var suffix = modifier;
            if (modifier == ":type")
            {
                if (all.Select(PlainSearch.LiteralOf).OfType<string>().Where(l => l.Split('/').Length == 2 && !l.Contains(':', StringComparison.Ordinal)).ToArray() is not { Length: > 0 } literals)
                    return null;
                suffix = Pick(literals).Split('/')[0];
            }
            Asked[] alternatives = [.. Enumerable.Range(0, 1 + random.Next(2)).Select(_ => OfKind(parameter.Kind, suffix, all.Length == 0 ? null : Pick(all))).OfType<Asked>()];
            return alternatives.Length == 0 ? null : new(suffix.Length == 0 ? "" : ":" + suffix, string.Join(',', alternatives.Select(a => a.Text)),
                values => values.Any(v => alternatives.Any(a => a.Holds(v))) != (modifier == "not"));
        }

        private Asked? OfKind(SearchKind kind, string modifier, Base? like) => kind switch
        {
            SearchKind.Token when modifier == "text" => Text(like),
            SearchKind.Token when modifier == "of-type" => OfType(like),
            SearchKind.Token => TokenLike(like is null ? [] : PlainSearch.Tokens(like)) is var (text, holds) ? new(text, e => PlainSearch.Tokens(e).Any(holds)) : null,
            SearchKind.String => String(modifier, like),
            SearchKind.Uri => Uri(modifier, like),
            SearchKind.Reference when modifier == "identifier" => Logical(like),
            SearchKind.Reference => Reference(modifier, like),
            SearchKind.Date => Date(like),
            SearchKind.Number => Number(),
            SearchKind.Quantity => Quantity(like),
            SearchKind.Special => Near(like),
            _ => Composite(like),
        };

        private (string, Func<PlainSearch.Token, bool>)? TokenLike(IEnumerable<PlainSearch.Token> tokens)
        {
            var token = tokens.ToArray() is { Length: > 0 } some && random.Next(4) > 0 ? Pick(some) : new(Pick(RandomResources.Systems), Pick(RandomResources.Codes), false);
            var (system, code) = (token.System ?? "", token.Code ?? "");
            var (askedSystem, askedCode) = random.Next(5) switch
            {
                0 when system.Length > 0 => (system, (string?)null),
                1 when code.Length > 0 => ("", code),
                2 when system.Length > 0 && code.Length > 0 => (system, code),
                _ when code.Length > 0 => ((string?)null, code),
                _ => (system, null),
            };
            return (askedSystem is null ? Escape(askedCode!) : $"{Escape(askedSystem)}|{Escape(askedCode ?? "")}", t => PlainSearch.IsToken(t, askedSystem, askedCode));
        }

        private Asked Text(Base? like)
        {
            var text = Part(like is not null && PlainSearch.Texts(like).ToArray() is { Length: > 0 } some ? Pick(some) : Pick(RandomResources.Words), fromStart: true);
            return new(Escape(text), e => PlainSearch.Texts(e).Any(t => PlainSearch.Begins(t, text)));
        }

        private Asked OfType(Base? like)
        {
            var (system, code, value) = like is not null && PlainSearch.Typed(like).Where(t => !string.IsNullOrEmpty(t.Code)).ToArray() is { Length: > 0 } some && random.Next(4) > 0
                ? Pick(some) : (Pick(RandomResources.Systems), Pick(RandomResources.Codes), Pick(RandomResources.Codes));
            return new($"{Escape(system ?? "")}|{Escape(code!)}|{Escape(value)}", e => PlainSearch.Typed(e).Any(t => (t.System ?? "") == (system ?? "") && t.Code == code && t.Value == value));
        }

        private Asked String(string modifier, Base? like)
        {
            var whole = like is not null && random.Next(5) > 0 ? Pick(PlainSearch.Strings(like).ToArray()) : Pick(RandomResources.Words);
            var text = modifier == "exact" ? random.Next(4) == 0 ? whole.ToUpperInvariant() : whole : Part(whole, fromStart: modifier != "contains");
            return new(Escape(text), e => PlainSearch.Strings(e).Any(s => modifier switch
            {
                "exact" => s == text,
                "contains" => PlainSearch.Contains(s, text),
                _ => PlainSearch.Begins(s, text),
            }));
        }

        private Asked Uri(string modifier, Base? like)
        {
            var uri = like is not null && random.Next(2) == 0 ? PlainSearch.Literal(like)! : Pick(RandomResources.Uris);
            // Of what is defined the version stands beside the URL.
            if (definition.Name == "url")
                uri = uri.Split('|')[0];
            return new(Escape(uri), e => PlainSearch.Literal(e) is { Length: > 0 } stored && PlainSearch.IsUri(modifier, stored, uri));
        }

        private Asked? Logical(Base? like)
        {
            PlainSearch.Token[] tokens = like is not null && PlainSearch.Logical(like) is { } identifier ? [new(identifier.System, identifier.Value, false)] : [];
            return TokenLike(tokens) is var (text, holds) ? new(text, e => PlainSearch.Logical(e) is { } i && holds(new(i.System, i.Value, false))) : null;
        }

        private Asked? Reference(string modifier, Base? like)
        {
            var literal = like is null ? null : PlainSearch.LiteralOf(like)?.Split("/_history/")[0];
            var isLocal = literal is not null && literal.Split('/').Length == 2 && ResourceTypes.IsFhirType(literal.Split('/')[0]);
            if (modifier.Length > 0)
            {
                var id = isLocal && random.Next(3) > 0 ? literal!.Split('/')[1] : "i" + random.Next(3);
                return new(id, e => PlainSearch.LiteralOf(e) is { } l && PlainSearch.IsReference(l, $"{modifier}/{id}"));
            }
            if (literal is null)
                return null;
            if (isLocal && random.Next(2) == 0)
            {
                var id = literal.Split('/')[1];
                // A bare id is of whatever type the parameter may refer to.
                return new(id, e => PlainSearch.LiteralOf(e)?.Split("/_history/")[0].Split('/') is [var type, var other] && other == id
                    && (parameter.Targets.Count != 1 || type == parameter.Targets[0]));
            }
            if (literal.Contains('|', StringComparison.Ordinal) && random.Next(2) == 0)
                literal = literal.Split('|')[0];
            return new(Escape(literal), e => PlainSearch.LiteralOf(e) is { } l && PlainSearch.IsReference(l, literal));
        }

        private Asked Date(Base? like)
        {
            var prefix = Pick(Prefixes);
            var literal = like is FhirDateTime or Hl7.Fhir.Model.Date && random.Next(2) == 0 ? PlainSearch.Literal(like)! : random.Next(2) == 0 ? Pick(RandomResources.Days) : Pick(RandomResources.Times);
            return new(prefix + literal, e => PlainSearch.Interval(e) is { } interval && PlainSearch.IsTime(prefix, interval, PlainSearch.Interval(literal), SearchSetting.Now.UtcTicks));
        }

        private Asked Number()
        {
            var (prefix, (text, value, half)) = (Pick(Prefixes), Numeral());
            return new(prefix + text, e => PlainSearch.Bounds(e) is var (low, high) && PlainSearch.IsNumber(prefix, low, high, value, half));
        }

        private Asked Quantity(Base? like)
        {
            var (prefix, (text, value, half)) = (Pick(Prefixes), Numeral());
            var measured = like is null ? null : PlainSearch.Measure(like);
            var (system, unit) = random.Next(4) switch
            {
                0 => (null, null),
                1 when measured is not null => (null, random.Next(2) == 0 ? measured.Unit : measured.Code),
                2 when measured is not null => (measured.System, measured.Code),
                _ => ("http://unitsofmeasure.org", Pick(RandomResources.Units)),
            };
            (system, unit) = (system is "" ? null : system, unit is "" ? null : unit);
            return new(prefix + text + (system is null && unit is null ? "" : $"|{Escape(system ?? "")}|{Escape(unit ?? "")}"),
                e => PlainSearch.Measure(e) is { } m && PlainSearch.IsQuantity(m, prefix, value, half, system, unit));
        }

        /// <summary>About the place itself, and about one a degree away.</summary>
        private Asked Near(Base? like)
        {
            var (latitude, longitude) = like is Location.PositionComponent { Latitude: { } north, Longitude: { } east } ? (north, east) : (60m, 25m);
            (latitude, longitude) = (latitude + random.Next(-1, 2), longitude + random.Next(-1, 2));
            var (distance, unit, metres) = Pick(new[] { ("100", "km", 100_000d), ("150000", "m", 150_000d), ("", "", 50_000d), ("300", "", 300_000d) });
            return new(string.Create(CultureInfo.InvariantCulture, $"{latitude}|{longitude}|{distance}|{unit}"),
                e => PlainSearch.Metres(e, (double)latitude, (double)longitude) <= metres);
        }

        private Asked? Composite(Base? like)
        {
            if (like is null)
                return null;
            var parts = new Asked[definition.Component!.Length];
            for (var i = 0; i < parts.Length; i++)
            {
                var kind = Enum.Parse<SearchKind>(PlainSearch.KindOf(definition, i).ToString());
                if (OfKind(kind, "", Pick(PlainSearch.Values(definition, i, like, owner[like]).ToArray())) is not { } part)
                    return null;
                parts[i] = part;
            }
            return new(string.Join('$', parts.Select(p => p.Text)), e => parts.Index().All(p => PlainSearch.Values(definition, p.Index, e, owner[e]).Exists(v => p.Item.Holds(v))));
        }

        /// <summary>A number as it is written, and half of its last digit.</summary>
        private (string Text, decimal Value, decimal Half) Numeral()
        {
            var value = Pick(RandomResources.Numbers);
            var text = value.ToString(CultureInfo.InvariantCulture);
            var digits = text.Contains('.', StringComparison.Ordinal) ? text.Length - text.IndexOf('.', StringComparison.Ordinal) - 1 : 0;
            var half = 0.5m;
            for (var i = 0; i < digits; i++)
                half /= 10;
            return value == 100 && random.Next(2) == 0 ? ("1e2", 100, 50) : (text, value, half);
        }

        private string Part(string text, bool fromStart)
        {
            var from = fromStart || text.Length < 3 ? 0 : random.Next(text.Length - 2);
            var part = text.Substring(from, 1 + random.Next(text.Length - from)).Trim();
            part = part.Length == 0 ? text : part;
            return random.Next(3) == 0 ? part.ToUpperInvariant() : part;
        }

        private static string Escape(string text) => text.Replace(@"\", @"\\", StringComparison.Ordinal).Replace(",", @"\,", StringComparison.Ordinal)
            .Replace("|", @"\|", StringComparison.Ordinal).Replace("$", @"\$", StringComparison.Ordinal);

        private T Pick<T>(T[] values) => values[random.Next(values.Length)];
    }
}
