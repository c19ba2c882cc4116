using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Search;

/// <summary>
/// A search of one type in one compartment, ready to be held against index entries. Immutable; thread-safe.
/// </summary>
/// <remarks>
/// hl7.org/fhir/R4/search.html: repeated parameters are ANDed, comma-separated values ORed. What is not supported is
/// refused, never ignored: an ignored filter would disclose more than was asked for.
/// </remarks>
public sealed class SearchQuery
{
    public const int DefaultCount = 50;
    public const int MaxCount = 200;

    private const int MaxParameters = 50, MaxAlternatives = 500;

    private readonly byte[] _type;
    private readonly Clause[] _clauses;

    private SearchQuery(string type, Reading reading, IReadOnlyList<FaultIssue> ignored, string understood)
    {
        Type = type;
        _type = Encoding.UTF8.GetBytes(type);
        _clauses = [.. reading.Clauses];
        Count = reading.Count;
        IsCountOnly = reading.IsCountOnly;
        Total = reading.Total;
        Sort = reading.Sort;
        Includes = reading.Includes;
        Ignored = ignored;
        Understood = understood;
    }

    public string Type { get; }

    /// <summary>Entries on a page, 1 to <see cref="MaxCount"/>.</summary>
    public int Count { get; }

    /// <summary><c>_count=0</c> or <c>_summary=count</c>: the total and no entries.</summary>
    public bool IsCountOnly { get; }

    public TotalMode Total { get; }

    /// <summary>Keys of <c>_sort</c>, the most important first; empty: in the order of creation.</summary>
    public IReadOnlyList<SortKey> Sort { get; }

    public IReadOnlyList<Include> Includes { get; }

    /// <summary>What was left out of a lenient search because it is not supported, to be told in the answer.</summary>
    public IReadOnlyList<FaultIssue> Ignored { get; }

    /// <summary>The parameters that were understood, form-encoded, in their order.</summary>
    public string Understood { get; }

    /// <summary>Whether it looks at more than resources of its type.</summary>
    public bool LooksBeyondItsType => Includes.Count > 0;

    /// <summary>Begins an execution over a space.</summary>
    public SearchRun Over(ISearchSpace space) => new(this, space);

    /// <summary>Reads the parameters of a search.</summary>
    /// <param name="form">Form-encoded, from the URL or the body of <c>_search</c> or both joined by <c>&amp;</c>; without <c>?</c>.</param>
    /// <param name="compartment">Where the search takes place; an <c>_id</c> of another one finds nothing.</param>
    /// <param name="now">Time of request, for the prefix <c>ap</c>.</param>
    /// <param name="publicBase">The FHIR base without trailing slash: references below it count as relative.</param>
    /// <param name="lenient">What is not supported is left out (<see cref="Ignored"/>); what is wrong is refused all the same.</param>
    /// <returns>One of the two; the fault names every parameter that is wrong, never a value.</returns>
    public static (SearchQuery? Query, Fault? Fault) Parse(
        string type, string? form, IdentifierCipher ids, Pseudonym compartment, DateTimeOffset now, string? publicBase = null, bool lenient = false)
    {
        var reading = new Reading(type, ids, compartment, now.UtcTicks, publicBase);
        var understood = new List<string>();
        var ignored = new List<FaultIssue>();
        var number = 0;
        foreach (var pair in (form ?? "").Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            if (++number > MaxParameters)
            {
                reading.Wrong(null, $"More than {MaxParameters} parameters.", "too-costly");
                break;
            }
            var equals = pair.IndexOf('=');
            var issues = reading.Issues.Count;
            reading.Read(WebUtility.UrlDecode(equals < 0 ? pair : pair[..equals]), equals < 0 ? "" : WebUtility.UrlDecode(pair[(equals + 1)..]));
            if (lenient && reading.Issues.Count > issues && reading.Issues.Skip(issues).All(i => i.Code == "not-supported"))
            {
                ignored.AddRange(reading.Issues.Skip(issues));
                reading.Issues.RemoveRange(issues, reading.Issues.Count - issues);
            }
            else
                understood.Add(pair);
        }
        return reading.Issues.Count > 0
            ? (null, new Fault(FaultKind.Invalid, reading.Issues))
            : (new SearchQuery(type, reading, ignored, string.Join('&', understood)), null);
    }

    /// <summary>Whether an entry is of the type, not deleted, and fulfils every parameter. Allocates nothing.</summary>
    public bool Matches(ReadOnlySpan<byte> entry) => Matches(new IndexEntry(entry));

    /// <inheritdoc cref="Matches(ReadOnlySpan{byte})"/>
    public bool Matches(in IndexEntry entry)
    {
        if (entry.IsDeleted || !entry.Type.SequenceEqual(_type))
            return false;
        foreach (var clause in _clauses)
            if (!clause.Holds(entry))
                return false;
        return true;
    }

    /// <summary>Masked: parameters are personal data.</summary>
    public override string ToString() => $"SearchQuery({Type}, {_clauses.Length} clauses)";

    /// <summary>One occurrence of a parameter: alternatives, any of which is enough.</summary>
    private abstract class Clause
    {
        public abstract bool Holds(in IndexEntry entry);
    }

    private sealed class IdClause(List<long> sequences) : Clause
    {
        public override bool Holds(in IndexEntry entry) => sequences.Contains(entry.ResourceSequence);
    }

    private sealed class LastUpdatedClause(List<TimeTest> tests) : Clause
    {
        public override bool Holds(in IndexEntry entry)
        {
            var range = TimeRange.Millisecond(entry.LastUpdatedTicks);
            foreach (var test in tests)
                if (test.Holds(range))
                    return true;
            return false;
        }
    }

    private sealed class DateClause(byte code, List<TimeTest> tests) : Clause
    {
        public override bool Holds(in IndexEntry entry)
        {
            var values = new SearchValues(entry.Values);
            while (values.Next())
            {
                if (values.Code != code)
                    continue;
                var range = new TimeRange(BinaryPrimitives.ReadInt64LittleEndian(values.Payload), BinaryPrimitives.ReadInt64LittleEndian(values.Payload[8..]));
                foreach (var test in tests)
                    if (test.Holds(range))
                        return true;
            }
            return false;
        }
    }

    /// <param name="System">Null: any; empty: none.</param>
    /// <param name="Code">Null: any.</param>
    private readonly record struct TokenTest(byte[]? System, byte[]? Code)
    {
        public bool Holds(ReadOnlySpan<byte> system, ReadOnlySpan<byte> code, bool isImplied) =>
            (Code is null || code.SequenceEqual(Code))
            && (System is null || system.SequenceEqual(System) || (System.Length == 0 && isImplied));
    }

    private sealed class TokenClause(byte code, List<TokenTest> tests) : Clause
    {
        public override bool Holds(in IndexEntry entry)
        {
            var values = new SearchValues(entry.Values);
            while (values.Next())
            {
                if ((values.Code & ~IndexEntry.ImpliedSystem) != code)
                    continue;
                var rest = values.Payload;
                var length = SearchValues.ReadLength(ref rest);
                foreach (var test in tests)
                    if (test.Holds(rest[..length], rest[length..], (values.Code & IndexEntry.ImpliedSystem) != 0))
                        return true;
            }
            return false;
        }
    }

    /// <param name="Literal">What the stored literal must be; a bare id: what it must end with after a slash.</param>
    private readonly record struct ReferenceTest(byte[] Literal, bool IsBareId)
    {
        public bool Holds(ReadOnlySpan<byte> stored)
        {
            // A reference to a version is a reference to the resource.
            var history = stored.IndexOf("/_history/"u8);
            if (history >= 0)
                stored = stored[..history];
            return IsBareId
                ? stored.EndsWith(Literal) && stored.Length > Literal.Length && stored[^(Literal.Length + 1)] == '/'
                    && stored.IndexOf((byte)'/') == stored.Length - Literal.Length - 1
                : stored.SequenceEqual(Literal);
        }
    }

    private sealed class ReferenceClause(byte code, List<ReferenceTest> tests) : Clause
    {
        public override bool Holds(in IndexEntry entry)
        {
            var values = new SearchValues(entry.Values);
            while (values.Next())
            {
                if (values.Code != code)
                    continue;
                foreach (var test in tests)
                    if (test.Holds(values.Payload))
                        return true;
            }
            return false;
        }
    }

    /// <summary>The state of reading a query.</summary>
    private sealed class Reading(string type, IdentifierCipher ids, Pseudonym compartment, long now, string? publicBase)
    {
        public List<FaultIssue> Issues { get; } = [];
        public List<Clause> Clauses { get; } = [];
        public List<SortKey> Sort { get; } = [];
        public List<Include> Includes { get; } = [];
        public TotalMode Total { get; private set; }
        public int Count { get; private set; } = DefaultCount;
        public bool IsCountOnly { get; private set; }

        public void Wrong(string? parameter, string sentence, string code) =>
            Issues.Add(new(sentence, parameter is null ? null : $"{type}?{parameter}", code));

        public void Read(string name, string value)
        {
            var shown = IsShowable(name) ? name : null;
            if (value.Length == 0)
            {
                Wrong(shown, Named(shown, "has no value."), "value");
                return;
            }
            switch (name)
            {
                case "_id":
                    ReadIds(value);
                    return;
                case "_lastUpdated":
                    if (ReadTimes(name, value) is { } times)
                        Clauses.Add(new LastUpdatedClause(times));
                    return;
                case "_count":
                    ReadCount(value);
                    return;
                case "_summary" when value is "count":
                    IsCountOnly = true;
                    return;
                case "_total" when value is "none" or "estimate" or "accurate":
                    Total = value == "none" ? TotalMode.None : TotalMode.Accurate;
                    return;
                case "_sort":
                    ReadSort(value);
                    return;
                case "_include" or "_include:iterate" or "_revinclude" or "_revinclude:iterate":
                    ReadInclude(name, value);
                    return;
                case "patient.identifier" or "subject.identifier" or "patient:Patient.identifier" or "subject:Patient.identifier"
                    when value.StartsWith(PersonalIdentityCode.System + "|", StringComparison.Ordinal):
                    return; // chose the compartment; the gateway has already used it
            }
            // These say how to answer and not what to find; the gateway has already judged them.
            if (PresentationParameters.Contains(name))
                return;

            var modifier = name.IndexOf(':');
            var bare = modifier < 0 ? name : name[..modifier];
            var parameter = SearchParameters.Of(type).FirstOrDefault(p => p.Name == bare);
            if (parameter is null)
            {
                Wrong(shown, Named(shown, $"is not a search parameter that is supported for {type}. Supported: " +
                    $"{string.Join(", ", SearchParameters.Of(type).Select(p => p.Name).Concat(["_id", "_lastUpdated", "_count"]))}."), "not-supported");
                return;
            }
            string? target = null;
            if (modifier >= 0)
            {
                target = name[(modifier + 1)..];
                if (parameter.Kind != SearchKind.Reference || !ResourceTypes.IsFhirType(target))
                {
                    Wrong(shown, Named(shown, "has a modifier that is not supported; use the parameter without it."), "not-supported");
                    return;
                }
            }
            switch (parameter.Kind)
            {
                case SearchKind.Token:
                    ReadTokens(parameter, value);
                    break;
                case SearchKind.Date:
                    if (ReadTimes(name, value) is { } times)
                        Clauses.Add(new DateClause(parameter.Code, times));
                    break;
                case SearchKind.Reference:
                    ReadReferences(parameter, name, target, value);
                    break;
            }
        }

        private void ReadIds(string value)
        {
            var sequences = new List<long>();
            foreach (var id in Alternatives("_id", value))
                if (ids.TryReadResourceId(id, out var owner, out var sequence) && owner == compartment)
                    sequences.Add(sequence);
            Clauses.Add(new IdClause(sequences));
        }

        private void ReadCount(string value)
        {
            if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var count))
            {
                Wrong("_count", "Parameter _count is a number from 0.", "value");
                return;
            }
            IsCountOnly |= count == 0;
            Count = Math.Clamp(count, 1, MaxCount);
        }

        private void ReadSort(string value)
        {
            foreach (var key in value.Split(','))
            {
                var name = key.TrimStart('-');
                var parameter = SearchParameters.Of(type).FirstOrDefault(p => p.Name == name);
                if (parameter is null && name != "_lastUpdated")
                    Wrong("_sort", $"Parameter _sort takes search parameters of {type} and _lastUpdated, each with - before it to sort downwards.", "not-supported");
                else
                    Sort.Add(new(parameter, key.Length > name.Length));
            }
        }

        private void ReadInclude(string name, string value)
        {
            var parts = value.Split(':');
            var isReverse = name.StartsWith("_revinclude", StringComparison.Ordinal);
            var parameter = parts.Length > 1 ? SearchParameters.Of(parts[0]).FirstOrDefault(p => p.Kind == SearchKind.Reference && p.Name == parts[1]) : null;
            if (parts.Length > 3 || (value != "*" && !ResourceTypes.IsServed(parts[0])) || (value != "*" && parameter is null && parts is not [_, "*"])
                || (parts.Length == 3 && !ResourceTypes.IsServed(parts[2])))
                Wrong(name, $"Parameter {name} takes Type:parameter, Type:parameter:Target, Type:* or *; the parameter is one of the type's references.", "not-supported");
            else
                Includes.Add(new(isReverse, name.EndsWith(":iterate", StringComparison.Ordinal), parts[0], parameter, parts.Length == 3 ? parts[2] : null));
        }

        private List<TimeTest>? ReadTimes(string name, string value)
        {
            var tests = new List<TimeTest>();
            foreach (var alternative in Alternatives(name, value))
            {
                if (TimeTest.TryParse(alternative, now, out var test))
                {
                    tests.Add(test);
                    continue;
                }
                Wrong(name, $"Parameter {name} takes a date or time such as 2024-05, ge2024-05-01 or lt2024-05-01T12:00:00+03:00; " +
                    "prefixes eq, ne, lt, le, gt, ge, sa, eb, ap.", "value");
                return null;
            }
            return tests;
        }

        private void ReadTokens(SearchParameter parameter, string value)
        {
            var tests = new List<TokenTest>();
            foreach (var alternative in Alternatives(parameter.Name, value))
            {
                var parts = SplitUnescaped(alternative, '|');
                if (parts.Count > 2 || alternative is "" or "|")
                {
                    Wrong(parameter.Name, $"Parameter {parameter.Name} takes code, system|code, |code or system|; a comma or bar inside is written with a backslash.", "value");
                    return;
                }
                var code = Unescape(parts[^1]);
                tests.Add(new(parts.Count == 1 ? null : Encoding.UTF8.GetBytes(Unescape(parts[0])), code.Length == 0 ? null : Encoding.UTF8.GetBytes(code)));
            }
            Clauses.Add(new TokenClause(parameter.Code, tests));
        }

        private void ReadReferences(SearchParameter parameter, string name, string? target, string value)
        {
            var tests = new List<ReferenceTest>();
            foreach (var alternative in Alternatives(name, value))
            {
                var literal = Unescape(alternative);
                if (publicBase is not null && literal.StartsWith(publicBase + "/", StringComparison.Ordinal))
                    literal = literal[(publicBase.Length + 1)..];
                var isBare = References.IsId(literal);
                if (isBare)
                {
                    // A bare id of "patient" is a patient's; the type of others is open.
                    target ??= parameter.Name == "patient" ? "Patient" : null;
                    if (target is not null)
                        (literal, isBare) = ($"{target}/{literal}", false);
                }
                else if (References.Classify(literal, out var named, out _) is not (ReferenceKind.Local or ReferenceKind.External)
                    || (target is not null && named is not null && named != target))
                {
                    Wrong(name, $"Parameter {name} takes Type/id, an id, or a URL of a resource.", "value");
                    return;
                }
                tests.Add(new(Encoding.UTF8.GetBytes(literal), isBare));
            }
            Clauses.Add(new ReferenceClause(parameter.Code, tests));
        }

        private List<string> Alternatives(string name, string value)
        {
            var alternatives = SplitUnescaped(value, ',');
            if (alternatives.Count > MaxAlternatives)
            {
                Wrong(name, $"Parameter {name} has more than {MaxAlternatives} alternatives.", "too-costly");
                return [];
            }
            return alternatives;
        }

        private static string Named(string? parameter, string sentence) => parameter is null ? $"A parameter {sentence}" : $"Parameter {parameter} {sentence}";

        /// <summary>Whether a parameter's name may be repeated in the answer: it has the form of one, and hides no identity code.</summary>
        private static bool IsShowable(string name) =>
            name.Length is > 0 and <= 64 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '_' or '.' or ':' or '-')
            && !PersonalIdentityCode.Occurs(name) && !name.All(c => !char.IsAsciiLetter(c));

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
}
