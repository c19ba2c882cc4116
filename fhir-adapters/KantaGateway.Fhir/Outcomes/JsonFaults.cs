using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using System.Xml;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>What is wrong with a text that is not one well-formed JSON object, and at which element. Stateless.</summary>
/// <remarks>
/// A first pass without memory of where it is decides; only when that one fails does a second find the place. Beyond
/// JSON itself this refuses what readers are known to understand differently: a second <c>resourceType</c> in one object
/// (hl7.org/fhir/R4/json.html has property names unique), half surrogate pairs, control characters in strings
/// (datatypes.html#string), and narratives nested so deeply that validating them takes minutes: the XHTML schema costs
/// the square of the depth.
/// </remarks>
static class JsonFaults
{
    /// <summary>Deepest nesting of objects and arrays that is read. FHIR content seldom passes 20.</summary>
    public const int MaxDepth = 64;

    /// <summary>Deepest nesting of XHTML elements in a narrative.</summary>
    public const int MaxNarrativeDepth = 64;

    public static readonly JsonReaderOptions ReaderOptions = new() { MaxDepth = MaxDepth };

    private enum TextFault { None, NoText, NoName, ControlCharacter, DeepNarrative }

    /// <summary>The fault of a JSON text, or null when it is one well-formed object.</summary>
    public static Fault? Find(ReadOnlySpan<byte> json) => IsSound(json) ? null : Locate(json);

    /// <summary>The first member that stands twice in one object, or null. For a sound text.</summary>
    public static Fault? Repeated(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, ReaderOptions);
        var path = new ElementPath();
        var names = new Stack<HashSet<string>>();
        while (reader.Read())
        {
            if (path.Depth == 0)
                path.Enter();
            else
                path.Follow(ref reader);
            switch (reader.TokenType)
            {
                case JsonTokenType.StartObject:
                    names.Push(new(StringComparer.Ordinal));
                    break;
                case JsonTokenType.EndObject:
                    names.Pop();
                    break;
                case JsonTokenType.PropertyName when !names.Peek().Add(reader.GetString()!):
                    return new(FaultKind.Unprocessable, new FaultIssue("The element stands more than once in the same object.", path.Expression, "structure"));
            }
        }
        return null;
    }

    /// <summary>Whether every string and name of a well-formed JSON text is text: valid UTF-8 without half surrogate pairs.</summary>
    public static bool IsText(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, ReaderOptions);
        while (reader.Read())
            if (reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName && CheckText(ref reader, isNarrative: false) == TextFault.NoText)
                return false;
        return true;
    }

    private static bool IsSound(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json, ReaderOptions);
        var typed = 0UL; // bit n: the object at depth n has had its resourceType
        var isNarrative = false;
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return false;
            while (reader.Read())
            {
                switch (reader.TokenType)
                {
                    case JsonTokenType.StartObject:
                        typed &= ~(1UL << (reader.CurrentDepth + 1));
                        break;
                    case JsonTokenType.PropertyName:
                        if (CheckText(ref reader, isNarrative: false) != TextFault.None)
                            return false;
                        isNarrative = reader.ValueTextEquals("div"u8);
                        if (reader.ValueTextEquals("resourceType"u8))
                        {
                            var bit = 1UL << reader.CurrentDepth;
                            if ((typed & bit) != 0)
                                return false;
                            typed |= bit;
                        }
                        break;
                    case JsonTokenType.String when CheckText(ref reader, isNarrative) != TextFault.None:
                        return false;
                }
            }
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static Fault Locate(ReadOnlySpan<byte> json)
    {
        if (json.StartsWith("\uFEFF"u8))
            return Invalid("The body begins with a byte order mark; send UTF-8 without one.", null);
        if (json.Trim(" \t\r\n"u8).IsEmpty)
            return Invalid("The body is empty; a FHIR resource as JSON is expected.", null);
        var reader = new Utf8JsonReader(json, ReaderOptions);
        var path = new ElementPath();
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                return Invalid("The body is not a JSON object; a FHIR resource begins with '{'.", null);
            path.Enter();
            while (reader.Read())
            {
                var text = reader.TokenType is JsonTokenType.String or JsonTokenType.PropertyName
                    ? CheckText(ref reader, path.IsNarrative && reader.TokenType == JsonTokenType.String) : TextFault.None;
                if (text == TextFault.NoText)
                    return Invalid("A string is not valid UTF-8 or has an incomplete surrogate pair.", path.Expression);
                if (text == TextFault.NoName)
                    return new(FaultKind.Unprocessable, new FaultIssue("A member has an empty name.", path.Expression, "structure"));
                if (!path.Follow(ref reader))
                    return new(FaultKind.Unprocessable, new FaultIssue("The element stands more than once in the same object.", path.Expression, "structure"));
                if (text == TextFault.DeepNarrative)
                    return new(FaultKind.Unprocessable, new FaultIssue($"The narrative nests elements deeper than {MaxNarrativeDepth} levels.", path.Before, "too-long"));
                if (text == TextFault.ControlCharacter)
                    return new(FaultKind.Unprocessable, new FaultIssue("A string has a control character other than tab, line feed and carriage return, or one that is no character.", path.Before, "value"));
            }
            throw new InvalidOperationException("The two passes over a body disagree.");
        }
        catch (JsonException e)
        {
            var rest = json[(int)Math.Min(reader.BytesConsumed, json.Length)..].TrimStart(" \t\r\n:,"u8);
            return path.Depth >= MaxDepth && rest is [(byte)'{' or (byte)'[', ..]
                ? Invalid($"Objects and arrays are nested deeper than {MaxDepth} levels.", path.Expression)
                : Invalid(string.Create(CultureInfo.InvariantCulture, $"Malformed JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}."), path.Expression);
        }
    }

    /// <summary>Whether a string or name token is text. The reader itself lets bad UTF-8 and lone surrogates pass.</summary>
    private static TextFault CheckText(ref Utf8JsonReader reader, bool isNarrative)
    {
        if (reader.TokenType == JsonTokenType.PropertyName && (reader.ValueSpan.IsEmpty || reader.ValueSpan.SequenceEqual("_"u8)))
            return TextFault.NoName;
        if (!reader.ValueIsEscaped && !Utf8.IsValid(reader.ValueSpan))
            return TextFault.NoText;
        if (!reader.ValueIsEscaped && !isNarrative)
            return HasNoncharacter(reader.ValueSpan) ? TextFault.ControlCharacter : TextFault.None;
        string text;
        try
        {
            text = reader.GetString()!;
        }
        catch (InvalidOperationException)
        {
            return TextFault.NoText;
        }
        if (text.AsSpan().ContainsAny(ControlCharacters))
            return TextFault.ControlCharacter;
        return isNarrative && IsTooDeep(text) ? TextFault.DeepNarrative : TextFault.None;
    }

    /// <summary>Whether U+FFFE or U+FFFF stands in a text: XML, in which it may be asked for, cannot carry them.</summary>
    private static bool HasNoncharacter(ReadOnlySpan<byte> utf8)
    {
        for (int at; (at = utf8.IndexOf((ReadOnlySpan<byte>)[0xEF, 0xBF])) >= 0; utf8 = utf8[(at + 2)..])
            if (utf8.Length > at + 2 && utf8[at + 2] is 0xBE or 0xBF)
                return true;
        return false;
    }

    /// <summary>Reads no further than the first element that is too deep; what is no XML is left to the parser.</summary>
    private static bool IsTooDeep(string narrative)
    {
        if (narrative.AsSpan().Count('<') <= MaxNarrativeDepth)
            return false;
        using var xml = XmlReader.Create(new StringReader(narrative), NarrativeReading);
        try
        {
            while (xml.Read())
                if (xml.Depth > MaxNarrativeDepth)
                    return true;
            return false;
        }
        catch (XmlException)
        {
            return false;
        }
    }

    private static readonly XmlReaderSettings NarrativeReading = new() { DtdProcessing = DtdProcessing.Prohibit, XmlResolver = null };

    private static readonly System.Buffers.SearchValues<char> ControlCharacters =
        System.Buffers.SearchValues.Create([.. Enumerable.Range(0, 32).Select(c => (char)c).Except("\t\n\r"), '\uFFFE', '\uFFFF']);

    private static Fault Invalid(string diagnostics, string? expression) =>
        new(FaultKind.Invalid, new FaultIssue(diagnostics, expression, "structure"));

    /// <summary>Follows a reader and tells the FHIRPath of where it stands.</summary>
    private sealed class ElementPath
    {
        private readonly Stack<Level> _levels = new();
        private string? _property;
        private string? _rootType;

        /// <param name="Name">Property whose value the level is; null in an array.</param>
        /// <param name="Index">In an array, of the item that comes next; -1 in an object.</param>
        private record struct Level(string? Name, int Index, bool IsTyped);

        public int Depth => _levels.Count;

        /// <summary>The value that comes next is a narrative's XHTML.</summary>
        public bool IsNarrative => _property == "div";

        public void Enter() => _levels.Push(new(null, -1, false));

        /// <summary>Takes a token into account; false: it is a second <c>resourceType</c>.</summary>
        public bool Follow(ref Utf8JsonReader reader)
        {
            Before = null;
            switch (reader.TokenType)
            {
                case JsonTokenType.PropertyName:
                    _property = reader.GetString();
                    if (_property != "resourceType")
                        return true;
                    var level = _levels.Pop();
                    _levels.Push(level with { IsTyped = true });
                    return !level.IsTyped;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    _levels.TryPop(out _);
                    Advance();
                    return true;
                case JsonTokenType.StartArray:
                    _levels.Push(new(_property, 0, false));
                    _property = null;
                    return true;
                case JsonTokenType.StartObject:
                    _levels.Push(new(_property, -1, false));
                    _property = null;
                    return true;
                default:
                    if (_levels.Count == 1 && _property == "resourceType" && reader.TokenType == JsonTokenType.String)
                        _rootType = reader.GetString();
                    Before = Expression;
                    Advance();
                    return true;
            }
        }

        private void Advance()
        {
            if (_levels.TryPeek(out var top) && top.Index >= 0)
            {
                _levels.Pop();
                _levels.Push(top with { Index = top.Index + 1 });
            }
            _property = null;
        }

        /// <summary>Of the value just followed.</summary>
        public string? Before { get; private set; }

        public string? Expression
        {
            get
            {
                if (_rootType is null || !ElementExpression.IsName(_rootType))
                    return null;
                var text = new StringBuilder(_rootType);
                foreach (var (name, index, _) in _levels.Reverse().Skip(1))
                {
                    if (!Append(text, name))
                        return text.ToString();
                    if (index >= 0)
                        text.Append('[').Append(index.ToString(CultureInfo.InvariantCulture)).Append(']');
                }
                Append(text, _property);
                return text.ToString();
            }
        }

        private static bool Append(StringBuilder text, string? name)
        {
            if (name is null)
                return true;
            name = name.TrimStart('_');
            if (!ElementExpression.IsName(name))
                return false;
            text.Append('.').Append(name);
            return true;
        }
    }
}
