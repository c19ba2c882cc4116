using System.Globalization;
using System.Text.RegularExpressions;
using Hl7.Fhir.FhirPath;
using Hl7.Fhir.Model;
using Hl7.Fhir.Utility;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>
/// What a resource has to be found by, read as hl7.org/fhir/R4/search.html words it: R4's own expressions, evaluated by Firely's FHIRPath on
/// the parsed resource. Slow, and nothing in common with the product but the resources.
/// </summary>
static partial class PlainSearch
{
    private const string Ucum = "http://unitsofmeasure.org";

    /// <summary>Factors to the first unit of a kind, by hand.</summary>
    private static readonly Dictionary<string, (string Kind, decimal Factor)> Units = new(StringComparer.Ordinal)
    {
        ["g"] = ("g", 1), ["mg"] = ("g", 0.001m), ["ug"] = ("g", 0.000_001m), ["kg"] = ("g", 1000),
        ["L"] = ("L", 1), ["mL"] = ("L", 0.001m), ["min"] = ("min", 1), ["h"] = ("min", 60),
    };

    /// <summary>R4's parameters of a type, those of all types with them.</summary>
    public static IEnumerable<SearchParamDefinition> ParametersOf(string type) => ModelInfo.SearchParameters.Where(p => p.Resource == type && p.Expression is { Length: > 0 }).DistinctBy(p => p.Name).Concat(
    [
        new() { Resource = type, Name = "_tag", Type = SearchParamType.Token, Expression = "meta.tag" },
        new() { Resource = type, Name = "_security", Type = SearchParamType.Token, Expression = "meta.security" },
        new() { Resource = type, Name = "_profile", Type = SearchParamType.Uri, Expression = "meta.profile" },
        new() { Resource = type, Name = "_source", Type = SearchParamType.Uri, Expression = "meta.source" },
    ]);

    /// <summary>The elements that a parameter selects and that something can be compared with.</summary>
    public static List<Base> Values(SearchParamDefinition parameter, Resource resource) =>
        [.. Select(parameter.Expression!, resource, resource).Where(e => parameter.Type == SearchParamType.Composite
            ? Enumerable.Range(0, parameter.Component!.Length).All(i => Values(parameter, i, e, resource).Count > 0) : Means(parameter.Type, e))];

    /// <summary>Likewise of one part of a composite, within one of its elements.</summary>
    public static List<Base> Values(SearchParamDefinition composite, int part, Base element, Resource resource) =>
        [.. Select(composite.Component![part].Expression!, element, resource).Where(e => Means(KindOf(composite, part), e))];

    public static SearchParamType KindOf(SearchParamDefinition composite, int part)
    {
        // R4 has them the wrong way round there.
        if (composite is { Resource: "DocumentReference", Name: "relationship" })
            return composite.Component![part].Expression == "code" ? SearchParamType.Token : SearchParamType.Reference;
        return ModelInfo.SearchParameters.First(p => p.Url == composite.Component![part].Definition).Type;
    }

    private static IEnumerable<Base> Select(string expression, Base from, Resource resource)
    {
        // as(DateTime) is a slip of R4; resolve() would need the network, so the type is read off the reference.
        expression = expression.Replace("as(DateTime)", "as(dateTime)", StringComparison.Ordinal);
        var context = new FhirEvaluationContext { Resource = resource.ToPocoNode() };
        foreach (var part in expression.Split('|', StringSplitOptions.TrimEntries))
        {
            if (part.Contains("exists()", StringComparison.Ordinal))
            {
                yield return new FhirBoolean(from.Predicate(part, context));
                continue;
            }
            var target = Resolving().Match(part);
            foreach (var found in from.Select(target.Success ? part.Replace(target.Value, "", StringComparison.Ordinal) : part, context))
                if (found is not null && (!target.Success || RefersTo((ResourceReference)found, target.Groups[1].Value)))
                    yield return found;
        }
    }

    [GeneratedRegex(@"\.where\(resolve\(\) is ([A-Za-z]+)\)")]
    private static partial Regex Resolving();

    private static bool RefersTo(ResourceReference reference, string type) =>
        reference.Reference is { Length: > 0 } literal ? literal.Split('/').Contains(type) || reference.Type == type : reference.Type is null || reference.Type == type;

    private static bool Means(SearchParamType kind, Base element) => kind switch
    {
        SearchParamType.Token => Tokens(element).Any() || Texts(element).Any(),
        SearchParamType.String => Strings(element).Any(),
        SearchParamType.Uri => Literal(element) is { Length: > 0 },
        SearchParamType.Reference => LiteralOf(element) is not null || Logical(element) is not null,
        SearchParamType.Date => Interval(element) is not null,
        SearchParamType.Number => Bounds(element) is not null,
        SearchParamType.Quantity => Measure(element) is not null,
        _ => true,
    };

    // :: token

    public readonly record struct Token(string? System, string? Code, bool IsImplied);

    public static IEnumerable<Token> Tokens(Base element) => (element switch
    {
        CodeableConcept concept => concept.Coding.Select(c => new Token(c.System, c.Code, false)),
        Coding coding => [new(coding.System, coding.Code, false)],
        Identifier identifier => [new(identifier.System, identifier.Value, false)],
        ContactPoint contact => [new(null, contact.Value, false)],
        FhirBoolean { Value: { } truth } => [new(null, truth ? "true" : "false", false)],
        Code code => [new(SystemOf(code), Literal(code), true)],
        _ => (IEnumerable<Token>)[new(null, Literal(element), false)],
    }).Where(t => t is not { System: null or "", Code: null or "" });

    private static string? SystemOf(Code code) => code.GetType() is { IsGenericType: true } bound && bound.GetProperties().First(p => p.Name == "Value" && p.DeclaringType == bound).GetValue(code) is Enum value ? value.GetSystem() : null;

    /// <param name="system">Null: any; empty: none.</param>
    /// <param name="code">Null: any.</param>
    public static bool IsToken(Token token, string? system, string? code) =>
        (code is null || token.Code == code) && (system is null || (token.System ?? "") == system || (system.Length == 0 && token.IsImplied));

    public static IEnumerable<string> Texts(Base element) => (element switch
    {
        CodeableConcept concept => [concept.Text, .. concept.Coding.Select(c => c.Display)],
        Coding coding => [coding.Display],
        Identifier identifier => [identifier.Type?.Text],
        _ => (IEnumerable<string?>)[],
    }).OfType<string>().Where(t => !string.IsNullOrWhiteSpace(t));

    public static IEnumerable<(string? System, string? Code, string Value)> Typed(Base element) =>
        element is Identifier { Value: { Length: > 0 } value, Type: { } type } ? type.Coding.Select(c => (c.System, c.Code, value)) : [];

    // :: string and uri

    public static IEnumerable<string> Strings(Base element) => (element switch
    {
        HumanName name => [name.Text, name.Family, .. name.Given, .. name.Prefix, .. name.Suffix],
        Address address => [address.Text, .. address.Line, address.City, address.District, address.State, address.PostalCode, address.Country],
        CodeableConcept concept => [concept.Text, .. concept.Coding.Select(c => c.Display)],
        _ => (IEnumerable<string?>)[Literal(element)],
    }).OfType<string>().Where(t => !string.IsNullOrWhiteSpace(t));

    private const CompareOptions Loosely = CompareOptions.IgnoreCase | CompareOptions.IgnoreNonSpace;

    private static readonly CompareInfo Comparer = CultureInfo.InvariantCulture.CompareInfo;

    public static bool Begins(string text, string asked) => Comparer.IsPrefix(text, asked, Loosely);

    public static bool Contains(string text, string asked) => Comparer.IndexOf(text, asked, Loosely) >= 0;

    /// <summary>Whether one URI is another or lies below it, by whole segments.</summary>
    public static bool IsBelow(string uri, string upper)
    {
        var (segments, above) = (uri.Split('/'), upper.TrimEnd('/').Split('/'));
        return uri == upper || (segments.Length > above.Length && segments.Take(above.Length).SequenceEqual(above));
    }

    /// <summary>Whether a URI is the one asked for, above or below it; where a version is asked for, it is the version that is.</summary>
    public static bool IsUri(string modifier, string stored, string asked)
    {
        var (uri, version) = (stored.Split('|')[0], stored.Split('|').ElementAtOrDefault(1));
        if (asked.Split('|') is not [var askedUri, var askedVersion])
            return modifier switch { "below" => IsBelow(uri, asked), "above" => IsBelow(asked, uri), _ => uri == asked };
        return uri == askedUri && version is not null && modifier switch
        {
            "below" => version.Split('.', '-').Take(askedVersion.Split('.', '-').Length).SequenceEqual(askedVersion.Split('.', '-')),
            "above" => askedVersion.Split('.', '-').Take(version.Split('.', '-').Length).SequenceEqual(version.Split('.', '-')),
            _ => version == askedVersion,
        };
    }

    /// <summary>How far a position is from a point on a sphere, by the angle between the two as vectors; null where it is none.</summary>
    public static double? Metres(Base element, double latitude, double longitude)
    {
        if (element is not Location.PositionComponent { Latitude: { } north, Longitude: { } east } || Math.Abs(north) > 90 || Math.Abs(east) > 180)
            return null;
        var (a, b) = (Vector(latitude, longitude), Vector((double)north, (double)east));
        return 6_371_008.8 * Math.Acos(Math.Clamp(a.X * b.X + a.Y * b.Y + a.Z * b.Z, -1, 1));

        static (double X, double Y, double Z) Vector(double latitude, double longitude)
        {
            var (phi, lambda) = (latitude * Math.PI / 180, longitude * Math.PI / 180);
            return (Math.Cos(phi) * Math.Cos(lambda), Math.Cos(phi) * Math.Sin(lambda), Math.Sin(phi));
        }
    }

    public static string? Literal(Base element) => element is PrimitiveType { JsonValue: string text } ? text : null;

    // :: reference

    public static string? LiteralOf(Base element) => element is ResourceReference reference ? reference.Reference is { Length: > 0 } literal ? literal : null : Literal(element);

    public static Identifier? Logical(Base element) => element is ResourceReference { Identifier: { Value: { Length: > 0 } } identifier } ? identifier : null;

    /// <summary>A reference to a version is one to the resource; a canonical is asked for with its version or without.</summary>
    public static bool IsReference(string literal, string asked) =>
        literal.Split("/_history/")[0] is var plain && (plain == asked || (!asked.Contains('|', StringComparison.Ordinal) && plain.Split('|')[0] == asked));

    // :: date

    /// <summary>First and last tick; the least and the most there are where it is open.</summary>
    public static (long First, long Last)? Interval(Base element) => element switch
    {
        Period { Start: null, End: null } => null,
        Period period => (period.Start is { } s ? Interval(s).First : long.MinValue, period.End is { } e ? Interval(e).Last : long.MaxValue),
        Timing timing when timing.Event.Any() => (timing.Event.OfType<string>().Min(e => Interval(e).First), timing.Event.OfType<string>().Max(e => Interval(e).Last)),
        Timing { Repeat.Bounds: Period bounds } => Interval(bounds),
        FhirDateTime or Date or Instant => Literal(element) is { } literal ? Interval(literal) : null,
        _ => null,
    };

    public static (long First, long Last) Interval(string literal)
    {
        if (literal.Length > 10)
        {
            var at = DateTimeOffset.Parse(literal, CultureInfo.InvariantCulture);
            var fraction = literal.Contains('.', StringComparison.Ordinal) ? literal[20..].TrimEnd('Z').Split('+', '-')[0].Length : 0;
            return (at.UtcTicks, at.UtcTicks + (long)Math.Pow(10, 7 - fraction) - 1);
        }
        var zone = TimeZoneInfo.FindSystemTimeZoneById("Europe/Helsinki");
        var numbers = literal.Split('-').Select(int.Parse).ToArray();
        var start = new DateTime(numbers[0], numbers.ElementAtOrDefault(1) is > 0 and var m ? m : 1, numbers.ElementAtOrDefault(2) is > 0 and var d ? d : 1);
        var end = numbers.Length switch { 1 => start.AddYears(1), 2 => start.AddMonths(1), _ => start.AddDays(1) };
        return (TimeZoneInfo.ConvertTimeToUtc(start, zone).Ticks, TimeZoneInfo.ConvertTimeToUtc(end, zone).Ticks - 1);
    }

    /// <summary>The prefixes by the words of the specification.</summary>
    public static bool IsTime(string prefix, (long First, long Last) resource, (long First, long Last) parameter, long now)
    {
        var fullyContains = parameter.First <= resource.First && resource.Last <= parameter.Last;
        var above = resource.Last > parameter.Last; // the range above the parameter intersects the resource's
        var below = resource.First < parameter.First;
        var reach = Math.Abs(now - parameter.First) / 10;
        return prefix switch
        {
            "" or "eq" => fullyContains,
            "ne" => !fullyContains,
            "gt" => above,
            "lt" => below,
            "ge" => above || fullyContains,
            "le" => below || fullyContains,
            "sa" => resource.First > parameter.Last,
            "eb" => resource.Last < parameter.First,
            "ap" => resource.First <= parameter.Last + reach && resource.Last >= parameter.First - reach,
            _ => throw new ArgumentOutOfRangeException(nameof(prefix)),
        };
    }

    // :: number and quantity

    /// <summary>Lowest and highest; null: open.</summary>
    public static (decimal? Low, decimal? High)? Bounds(Base element) => element switch
    {
        FhirDecimal { Value: { } n } => (n, n),
        Integer { Value: { } n } => (n, n),
        PositiveInt { Value: { } n } => (n, n),
        UnsignedInt { Value: { } n } => (n, n),
        Hl7.Fhir.Model.Range range when range.Low?.Value is not null || range.High?.Value is not null => (range.Low?.Value, range.High?.Value),
        _ => null,
    };

    public sealed record Measured(decimal? Low, decimal? High, string? System, string? Code, string? Unit);

    public static Measured? Measure(Base element) => element switch
    {
        Quantity { Value: { } v } q => q.Comparator switch
        {
            Quantity.QuantityComparator.LessThan or Quantity.QuantityComparator.LessOrEqual => new(null, v, q.System, q.Code, q.Unit),
            Quantity.QuantityComparator.GreaterThan or Quantity.QuantityComparator.GreaterOrEqual => new(v, null, q.System, q.Code, q.Unit),
            _ => new(v, v, q.System, q.Code, q.Unit),
        },
        Hl7.Fhir.Model.Range range when Bounds(range) is { } bounds => (range.Low ?? range.High) is { } of ? new(bounds.Low, bounds.High, of.System, of.Code, of.Unit) : null,
        Money { Value: { } v } money => new(v, v, "urn:iso:std:iso:4217", money.Currency?.ToString(), null),
        _ => null,
    };

    /// <param name="half">Of the last digit written.</param>
    public static bool IsNumber(string prefix, decimal? low, decimal? high, decimal asked, decimal half)
    {
        // A point lies from the lower bound on up to the upper one, which is the next number's.
        var fullyContains = low is { } l && high is { } h && l >= asked - half && (l == h ? h < asked + half : h <= asked + half);
        var (above, below) = (high is null || high > asked, low is null || low < asked);
        var reach = Math.Max(half, Math.Abs(asked) / 10);
        return prefix switch
        {
            "" or "eq" => fullyContains,
            "ne" => !fullyContains,
            "gt" => above,
            "lt" => below,
            "ge" => high is null || high >= asked || fullyContains,
            "le" => low is null || low <= asked || fullyContains,
            "sa" => low is not null && low > asked,
            "eb" => high is not null && high < asked,
            "ap" => (low is null || low <= asked + reach) && (high is null || high >= asked - reach),
            _ => throw new ArgumentOutOfRangeException(nameof(prefix)),
        };
    }

    /// <param name="system">Null: any.</param>
    /// <param name="unit">Null: any.</param>
    public static bool IsQuantity(Measured of, string prefix, decimal asked, decimal half, string? system, string? unit)
    {
        if (system == Ucum && of.System == Ucum && unit is not null && of.Code is not null
            && Units.TryGetValue(unit, out var one) && Units.TryGetValue(of.Code, out var other) && one.Kind == other.Kind)
            return IsNumber(prefix, of.Low * other.Factor, of.High * other.Factor, asked * one.Factor, half * one.Factor);
        return (system is null || of.System == system) && (unit is null || of.Code == unit || (system is null && of.Unit == unit))
            && IsNumber(prefix, of.Low, of.High, asked, half);
    }
}
