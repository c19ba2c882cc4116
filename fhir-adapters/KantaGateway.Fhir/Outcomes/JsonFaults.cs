using System.Text;
using System.Text.Json;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>What is wrong with a text that is no well-formed JSON object, and at which element.</summary>
/// <remarks>
/// Runs only after a reader has already failed, so that the ordinary path keeps no track of where it is. Stateless.
/// </remarks>
static class JsonFaults
{
    /// <summary>Deepest nesting of objects and arrays that is read. FHIR content seldom passes 20.</summary>
    public const int MaxDepth = 64;

    public static readonly JsonReaderOptions ReaderOptions = new() { MaxDepth = MaxDepth };

    /// <summary>The fault of a JSON text, or null when it is one well-formed object.</summary>
    public static Fault? Find(ReadOnlySpan<byte> json)
    {
        if (json.StartsWith("\uFEFF"u8))
            return Invalid("The body begins with a byte order mark; send UTF-8 without one.", null);
        var reader = new Utf8JsonReader(json, ReaderOptions);
        var path = new ElementPath();
        try
        {
            if (!reader.Read())
                return Invalid("The body is empty; a FHIR resource as JSON is expected.", null);
            if (reader.TokenType != JsonTokenType.StartObject)
                return Invalid("The body is not a JSON object; a FHIR resource begins with '{'.", null);
            path.Enter();
            while (reader.Read())
                path.Follow(ref reader);
            return null;
        }
        catch (JsonException e)
        {
            if (json.Trim(" \t\r\n"u8).IsEmpty)
                return Invalid("The body is empty; a FHIR resource as JSON is expected.", null);
            if (reader.CurrentDepth >= MaxDepth)
                return Invalid($"Objects and arrays are nested deeper than {MaxDepth} levels.", path.Expression);
            return Invalid($"Malformed JSON at line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}.", path.Expression);
        }
        catch (InvalidOperationException)
        {
            // Utf8JsonReader reads on over bad UTF-8 and lone surrogates; only taking the string out fails.
            return Invalid("A string is not valid UTF-8 or has an incomplete surrogate pair.", path.Expression);
        }
    }

    /// <summary>Whether a string token cannot be text: invalid UTF-8 or half a surrogate pair.</summary>
    private static void RequireText(ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.String && (reader.ValueIsEscaped || !Encoding.UTF8.GetCharCountIsPlain(reader.ValueSpan)))
            _ = reader.GetString();
    }

    private static bool GetCharCountIsPlain(this Encoding _, ReadOnlySpan<byte> bytes) => Ascii.IsValid(bytes);

    private static Fault Invalid(string diagnostics, string? expression) =>
        new(FaultKind.Invalid, new FaultIssue(diagnostics, expression, "structure"));

    /// <summary>Follows a reader and tells the FHIRPath of where it stands.</summary>
    private sealed class ElementPath
    {
        private readonly Stack<(string? Name, int Index)> _levels = new();
        private string? _property;
        private string? _rootType;
        private bool _atRootType;

        public void Enter() => _levels.Push((null, -1));

        public void Follow(ref Utf8JsonReader reader)
        {
            switch (reader.TokenType)
            {
                case JsonTokenType.PropertyName:
                    _property = reader.GetString();
                    _atRootType = _levels.Count == 1 && _property == "resourceType";
                    return;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    _levels.TryPop(out _);
                    Advance();
                    return;
                case JsonTokenType.StartArray:
                    _levels.Push((_property, 0));
                    _property = null;
                    return;
                case JsonTokenType.StartObject:
                    _levels.Push((_property, -1));
                    _property = null;
                    return;
                default:
                    RequireText(ref reader);
                    if (_atRootType && reader.TokenType == JsonTokenType.String)
                        _rootType = reader.GetString();
                    Advance();
                    return;
            }
        }

        private void Advance()
        {
            if (_levels.TryPeek(out var top) && top.Index >= 0)
            {
                _levels.Pop();
                _levels.Push((top.Name, top.Index + 1));
            }
            _property = null;
        }

        public string? Expression
        {
            get
            {
                if (_rootType is null || !ElementExpression.IsName(_rootType))
                    return null;
                var text = new StringBuilder(_rootType);
                foreach (var (name, index) in _levels.Reverse().Skip(1))
                {
                    if (!Append(text, name))
                        return text.ToString();
                    if (index >= 0)
                        text.Append('[').Append(index).Append(']');
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
