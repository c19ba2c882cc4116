using System.Globalization;
using System.Text;
using KantaGateway.Fhir.Adapters;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>One HL7 v2 message in vertical-bar encoding (HL7 v2.5.1 chapter 2), read but not yet understood.</summary>
/// <remarks>
/// What is read of it is remembered for the report, so a message is read by one adapter at a time. Bounds: the caller's body limit, and
/// <see cref="MaxSegments"/>.
/// </remarks>
public sealed class Hl7Message
{
    /// <summary>Most segments of one message.</summary>
    public const int MaxSegments = 10_000;

    /// <summary>Most fields, repetitions, components and subcomponents of one message together.</summary>
    public const int MaxParts = 200_000;

    /// <summary>Most errors told of one message.</summary>
    public const int MaxErrors = 50;

    private readonly List<Hl7Error> _errors = [];

    private Hl7Message(ReadOnlyMemory<byte> original, Hl7Delimiters delimiters) => (Original, Delimiters) = (original, delimiters);

    /// <summary>As it was sent, byte for byte.</summary>
    public ReadOnlyMemory<byte> Original { get; }

    public Hl7Delimiters Delimiters { get; }

    /// <summary>Of which the message is, and so its acknowledgement.</summary>
    public Encoding Encoding { get; private set; } = Encoding.ASCII;

    /// <summary>The segments, MSH first.</summary>
    public IReadOnlyList<Hl7Segment> Segments { get; private set; } = [];

    public Hl7Segment Header => Segments[0];

    /// <summary>MSH-9: message code and trigger event.</summary>
    public (string? Code, string? Event) Type => (Header.Text(9), Header.Text(9, 2));

    /// <summary>MSH-10.</summary>
    public string? ControlId => Header.Text(10);

    /// <summary>What is wrong, at most <see cref="MaxErrors"/>; with any, nothing of the message may be stored.</summary>
    public IReadOnlyList<Hl7Error> Errors => _errors.Count <= MaxErrors ? _errors : _errors[..MaxErrors];

    public void Refuse(Hl7Place place, Hl7ErrorCode code, string text) => _errors.Add(new(place, code, text));

    public IEnumerable<Hl7Segment> All(string name) => Segments.Where(s => s.Name == name);

    public Hl7Segment? First(string name) => All(name).FirstOrDefault();

    /// <summary>The place of a part of <see cref="Report"/>.</summary>
    public Hl7Place PlaceOf(string path) => Segments.SelectMany(static s => s.Parts()).First(part => part.Place.ToString() == path).Place;

    /// <summary>The report: every component that holds something.</summary>
    public LossReport Report() => new([.. Segments.SelectMany(static s => s.Parts()).Select(static part => new SourcePart(part.Place.ToString(), part.WasRead ? SourceFate.Mapped : SourceFate.Lost, part.Target))]);

    /// <summary>Reads a message.</summary>
    /// <returns>Null: it has no MSH from which an acknowledgement could be made. Otherwise a message, with what is wrong in <see cref="Errors"/>.</returns>
    public static Hl7Message? Read(ReadOnlyMemory<byte> bytes)
    {
        var span = bytes.Span;
        if (!span.StartsWith("MSH"u8) || span.Length < 8)
            return null;
        Span<char> signs = stackalloc char[5];
        for (var i = 0; i < 5; i++)
            signs[i] = (char)span[3 + i];
        // Truncation character of v2.7 or none: MSH-2 ends with the field delimiter.
        foreach (var sign in signs)
            if (sign is < '!' or > '~' || char.IsAsciiLetterOrDigit(sign) || signs.Count(sign) > 1)
                return null;
        var delimiters = new Hl7Delimiters(signs[0], signs[1], signs[2], signs[3], signs[4]);
        var message = new Hl7Message(bytes, delimiters);
        var headerEnd = span.IndexOfAny((byte)'\r', (byte)'\n') is var end and >= 0 ? end : span.Length;
        // The header says in which characters the rest is written; that itself is ASCII in each of them.
        var header = new Hl7Segment(Encoding.Latin1.GetString(span[..headerEnd]), 1, delimiters, Encoding.Latin1, []);
        if (Hl7Characters.Of(header.Text(18)) is { } encoding)
            message.Encoding = encoding;
        else
            message.Refuse(new("MSH", 1, 18), Hl7ErrorCode.TableValueNotFound, "The character set is none of ASCII, 8859/1, 8859/15 and UNICODE UTF-8.");
        message.ReadSegments(span);
        return message;
    }

    private void ReadSegments(ReadOnlySpan<byte> span)
    {
        var segments = new List<Hl7Segment>();
        if (span.Count((byte)Delimiters.Field) + span.Count((byte)Delimiters.Component) + span.Count((byte)Delimiters.Repetition) + span.Count((byte)Delimiters.Subcomponent) > MaxParts)
        {
            Refuse(new("MSH", 1), Hl7ErrorCode.ValueTooLong, $"A message has at most {MaxParts} fields, repetitions, components and subcomponents together.");
            span = span[..(span.IndexOfAny((byte)'\r', (byte)'\n') is var end and >= 0 ? end : Math.Min(span.Length, 4_096))];
        }
        var sequences = new Dictionary<string, int>();
        foreach (var range in span.SplitAny((byte)'\r', (byte)'\n'))
        {
            var line = span[range];
            if (line.IsEmpty)
                continue;
            if (segments.Count == MaxSegments)
            {
                Refuse(new("MSH", 1), Hl7ErrorCode.ValueTooLong, $"A message has at most {MaxSegments} segments.");
                break;
            }
            var name = line.Length >= 3 ? Encoding.Latin1.GetString(line[..3]) : "";
            var isNamed = name.Length == 3 && name.All(static c => char.IsAsciiLetterUpper(c) || char.IsAsciiDigit(c)) && (line.Length == 3 || line[3] == (byte)Delimiters.Field);
            var previous = segments.Count > 0 ? segments[^1] : null;
            if (!isNamed)
            {
                Refuse(new(previous?.Name ?? "MSH", previous?.Sequence ?? 1), Hl7ErrorCode.SegmentSequence, "After this segment stands a line that is no segment: a segment begins with three capital letters or digits and the field delimiter, and a line break inside a field is written as an escape sequence (\\X0D\\, \\.br\\).");
                continue;
            }
            var sequence = sequences[name] = sequences.GetValueOrDefault(name) + 1;
            string text;
            try
            {
                text = Encoding.GetString(line);
            }
            catch (DecoderFallbackException wrong)
            {
                Refuse(new(name, sequence, FieldAt(line, wrong.Index, name)), Hl7ErrorCode.DataType, "Here stands a byte that the character set in MSH-18 does not have. Without MSH-18 a message is ASCII: say 8859/1, 8859/15 or UNICODE UTF-8.");
                text = Encoding.Latin1.GetString(line);
            }
            if (HasControl(text))
                Refuse(new(name, sequence, FieldAt(line, text.AsSpan().IndexOfAny(Controls), name)), Hl7ErrorCode.DataType, "Here stands a control character, as there is where Windows-1252 is sent as 8859/1.");
            segments.Add(new(text, sequence, Delimiters, Encoding, _errors));
        }
        Segments = segments;
    }

    private static readonly System.Buffers.SearchValues<char> Controls = System.Buffers.SearchValues.Create(
        [.. Enumerable.Range(0, 32).Concat(Enumerable.Range(127, 33)).Where(static c => c != '\t').Select(static c => (char)c)]);

    /// <summary>What a FHIR string may not hold, or no text does; a tab and line breaks are let through.</summary>
    internal static bool HasControl(string text)
    {
        foreach (var c in text)
            if (c is not ('\t' or '\n' or '\r') && char.IsControl(c))
                return true;
        return false;
    }

    private int FieldAt(ReadOnlySpan<byte> line, int index, string name) =>
        line[..Math.Clamp(index, 0, line.Length)].Count((byte)Delimiters.Field) + (name == "MSH" ? 1 : 0);
}

/// <summary>Character sets of MSH-18, HL7 table 0211.</summary>
static class Hl7Characters
{
    private static readonly Encoding Ascii = Encoding.GetEncoding("us-ascii", EncoderFallback.ReplacementFallback, DecoderFallback.ExceptionFallback);
    private static readonly Encoding Utf8 = new UTF8Encoding(false, throwOnInvalidBytes: true);
    private static readonly Encoding Latin1 = Encoding.GetEncoding("iso-8859-1", EncoderFallback.ReplacementFallback, DecoderFallback.ExceptionFallback);
    private static readonly Encoding Latin9 = CodePagesEncodingProvider.Instance.GetEncoding(28605, EncoderFallback.ReplacementFallback, DecoderFallback.ExceptionFallback)!;

    /// <summary>Null for a set that is not served. Nothing said is ASCII; where several are said the first is the message's.</summary>
    public static Encoding? Of(string? code) => code?.ToUpper(CultureInfo.InvariantCulture).Replace(' ', '-') switch
    {
        null or "ASCII" => Ascii,
        "8859/1" => Latin1,
        "8859/15" => Latin9,
        "UNICODE-UTF-8" or "UTF-8" => Utf8,
        _ => null,
    };
}
