namespace KantaGateway.Fhir.Hl7v2;

/// <summary>The delimiters that a message declares in MSH-1 and MSH-2.</summary>
public readonly record struct Hl7Delimiters(char Field, char Component, char Repetition, char Escape, char Subcomponent)
{
    public static Hl7Delimiters Usual { get; } = new('|', '^', '~', '\\', '&');
}

/// <summary>One segment. What is read of it is remembered, so that what nobody has read can be told.</summary>
public sealed class Hl7Segment
{
    private readonly string[] _fields;
    private readonly Hl7Delimiters _delimiters;
    private readonly System.Text.Encoding _encoding;
    private readonly List<Hl7Error> _errors;
    private readonly Dictionary<Hl7Place, string?> _read = [];

    // A field of a million repetitions is taken apart once, not once for each.
    private readonly Dictionary<int, string[]> _repetitions = [];

    internal Hl7Segment(string text, int sequence, Hl7Delimiters delimiters, System.Text.Encoding encoding, List<Hl7Error> errors)
    {
        (_delimiters, _encoding, _errors, Sequence) = (delimiters, encoding, errors, sequence);
        var fields = text.Split(delimiters.Field);
        Name = fields[0];
        // MSH-1 is the delimiter itself.
        _fields = Name is "MSH" or "BHS" or "FHS" ? [Name, delimiters.Field.ToString(), .. fields.Skip(1)] : fields;
    }

    public string Name { get; }

    public int Sequence { get; }

    private bool IsHeader => Name is "MSH" or "BHS" or "FHS";

    public Hl7Place At(int field, int repetition = 0, int component = 0) => new(Name, Sequence, field, repetition, component);

    /// <summary>Whether a field says that what is known is to be deleted: <c>""</c> (HL7 v2.5.1 §2.5.3).</summary>
    public bool IsDeleted(int field)
    {
        if (Raw(field) is not "\"\"")
            return false;
        _read[At(field, 1, 1)] = null;
        return true;
    }

    public bool IsEmpty(int field) => Raw(field).Length == 0;

    /// <summary>How many repetitions a field has; 0: it is empty.</summary>
    public int Repetitions(int field) => Raw(field) is { Length: > 0 } raw ? IsDelimiters(field) ? 1 : RepetitionsOf(field).Length : 0;

    /// <summary>What a component says, its escapes resolved; null where it is empty or to be deleted.</summary>
    /// <param name="target">Type of the resource that will say it, for the report; null: it is looked at only.</param>
    public string? Text(int field, int component = 1, int repetition = 1, int subcomponent = 1, string? target = null)
    {
        var raw = Raw(field);
        if (raw.Length == 0)
            return null;
        if (IsDelimiters(field))
        {
            _read[At(field, 1, 1)] = target;
            return raw;
        }
        var repetitions = RepetitionsOf(field);
        if (repetition > repetitions.Length)
            return null;
        var components = repetitions[repetition - 1].Split(_delimiters.Component);
        if (component > components.Length)
            return null;
        var subcomponents = components[component - 1].Split(_delimiters.Subcomponent);
        if (subcomponent > subcomponents.Length || subcomponents[subcomponent - 1] is not { Length: > 0 } text)
            return null;
        var place = new Hl7Place(Name, Sequence, field, repetition, component, subcomponent);
        if (target is not null || !_read.ContainsKey(place))
            _read[place] = target;
        return text == "\"\"" ? null : Unescape(text, place);
    }

    /// <summary>Every component that is not empty, with the resource that says it; null and unread where none does.</summary>
    internal IEnumerable<(Hl7Place Place, string? Target, bool WasRead)> Parts()
    {
        for (var field = 1; field < _fields.Length; field++)
        {
            if (_fields[field].Length == 0)
                continue;
            if (IsDelimiters(field))
            {
                yield return (At(field, 1, 1), null, true);
                continue;
            }
            var repetitions = RepetitionsOf(field);
            for (var r = 1; r <= repetitions.Length; r++)
            {
                var components = repetitions[r - 1].Split(_delimiters.Component);
                for (var c = 1; c <= components.Length; c++)
                {
                    var subcomponents = components[c - 1].Split(_delimiters.Subcomponent);
                    for (var s = 1; s <= subcomponents.Length; s++)
                        if (subcomponents[s - 1].Length > 0)
                        {
                            var place = new Hl7Place(Name, Sequence, field, r, c, s);
                            var wasRead = _read.TryGetValue(place, out var target) || (r, c, s) == (1, 1, 1) && _read.TryGetValue(At(field, 1, 1), out target);
                            yield return (place, target, wasRead);
                        }
                }
            }
        }
    }

    private string[] RepetitionsOf(int field) =>
        _repetitions.TryGetValue(field, out var known) ? known : _repetitions[field] = _fields[field].Split(_delimiters.Repetition);

    private string Raw(int field) => field < _fields.Length ? _fields[field] : "";

    private bool IsDelimiters(int field) => IsHeader && field <= 2;

    /// <summary>HL7 v2.5.1 §2.7.</summary>
    private string Unescape(string text, Hl7Place place)
    {
        if (!text.Contains(_delimiters.Escape))
            return text;
        var plain = new System.Text.StringBuilder(text.Length);
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] != _delimiters.Escape)
            {
                plain.Append(text[i]);
                continue;
            }
            var end = text.IndexOf(_delimiters.Escape, i + 1);
            if (end < 0 || Resolve(text[(i + 1)..end]) is not { } resolved)
            {
                Wrong();
                return text;
            }
            plain.Append(resolved);
            i = end;
        }
        return plain.ToString();

        void Wrong()
        {
            var error = new Hl7Error(place, Hl7ErrorCode.DataType, "The text has an escape character that begins no escape sequence known here: write it as \\E\\.");
            if (_errors.Count < 1_000 && !_errors.Contains(error))
                _errors.Add(error);
        }
    }

    private string? Resolve(string sequence)
    {
        switch (sequence)
        {
            case "F": return _delimiters.Field.ToString();
            case "S": return _delimiters.Component.ToString();
            case "R": return _delimiters.Repetition.ToString();
            case "T": return _delimiters.Subcomponent.ToString();
            case "E": return _delimiters.Escape.ToString();
            // Highlighting, which a plain text has none of.
            case "H" or "N": return "";
            case ".br" or ".sp": return "\n";
            case ".fi" or ".nf" or ".ce": return "";
        }
        if (sequence is not ['X', .. { Length: > 0 and <= 256 } hex] || hex.Length % 2 != 0 || !hex.All(char.IsAsciiHexDigit))
            return null;
        try
        {
            return _encoding.GetString(Convert.FromHexString(hex)) is var read && !Hl7Message.HasControl(read) ? read : null;
        }
        catch (System.Text.DecoderFallbackException)
        {
            return null;
        }
    }
}
