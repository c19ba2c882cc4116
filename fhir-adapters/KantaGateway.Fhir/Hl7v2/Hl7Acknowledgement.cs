using System.Globalization;
using System.Text;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>HL7 table 0008, original mode.</summary>
public enum Hl7Answer
{
    /// <summary>Accepted: stored, durable.</summary>
    AA,

    /// <summary>Error in the content: nothing was stored, and it will not be until the content is another.</summary>
    AE,

    /// <summary>Rejected for what is no matter of its content: its type or version, who sends it, or the state of the receiver.</summary>
    AR,
}

/// <summary>ACK messages (HL7 v2.5.1 §2.9.2, §2.15). Pure.</summary>
public static class Hl7Acknowledgement
{
    /// <summary>What a message is answered with.</summary>
    /// <param name="message">Null: it could not be read, so the answer refers to none.</param>
    /// <param name="id">MSH-10 of the answer.</param>
    /// <param name="at">MSH-7.</param>
    /// <returns>In the message's own characters and delimiters; segments end with a carriage return.</returns>
    public static byte[] Write(Hl7Message? message, Hl7Answer answer, IReadOnlyList<Hl7Error> errors, string id, DateTimeOffset at)
    {
        var signs = message?.Delimiters ?? Hl7Delimiters.Usual;
        var f = signs.Field;
        var header = message?.Header;
        var text = new StringBuilder();
        var (_, trigger) = message?.Type ?? default;
        Line("MSH", $"{signs.Component}{signs.Repetition}{signs.Escape}{signs.Subcomponent}", Of(header, 5), Of(header, 6), Of(header, 3), Of(header, 4),
            at.ToUniversalTime().ToString("yyyyMMddHHmmss'+0000'", CultureInfo.InvariantCulture), "",
            trigger is null ? "ACK" : $"ACK{signs.Component}{Escape(trigger)}{signs.Component}ACK", id, header?.Text(11) is { } processing ? Escape(processing) : "P", header?.Text(12) is { } version ? Escape(version) : "2.5",
            "", "", "", "", "", header?.Text(18) is { } characters ? Escape(characters) : "");
        Line("MSA", answer.ToString(), message?.ControlId is { } control ? Escape(control) : "");
        foreach (var error in errors)
            Line("ERR", "", error.Place.ToErl().Replace('^', signs.Component),
                $"{(int)error.Code}{signs.Component}{error.CodeText}{signs.Component}HL70357", error.IsInformation ? "I" : "E", "", "", Escape(error.Place.ToString()), Escape(error.Text));
        return (message?.Encoding ?? Encoding.ASCII).GetBytes(text.ToString());

        // MSH-1 is the delimiter itself, so what follows the name is MSH-2.
        void Line(params string[] fields) => text.AppendJoin(f, fields).Append('\r');

        string Of(Hl7Segment? segment, int field) => segment is null ? "" : string.Join(signs.Component, Enumerable.Range(1, 3).Select(c => segment.Text(field, c) is { } part ? Escape(part) : "")).TrimEnd(signs.Component);

        string Escape(string plain)
        {
            var escaped = new StringBuilder(plain.Length);
            foreach (var c in plain)
                escaped.Append(c == signs.Escape ? $"{signs.Escape}E{signs.Escape}" : c == signs.Field ? $"{signs.Escape}F{signs.Escape}" : c == signs.Component ? $"{signs.Escape}S{signs.Escape}"
                    : c == signs.Repetition ? $"{signs.Escape}R{signs.Escape}" : c == signs.Subcomponent ? $"{signs.Escape}T{signs.Escape}" : c is '\r' or '\n' ? " " : c.ToString());
            return escaped.ToString();
        }
    }

    /// <summary>The answers to the messages of a batch, in their order, in an envelope like the batch's own.</summary>
    public static byte[] WriteBatch(Hl7Batch batch, IReadOnlyList<byte[]> answers, DateTimeOffset at)
    {
        using var all = new MemoryStream();
        var time = at.ToUniversalTime().ToString("yyyyMMddHHmmss'+0000'", CultureInfo.InvariantCulture);
        if (batch.IsFile)
            Write($@"FHS|^~\&|||||{time}");
        Write($@"BHS|^~\&|||||{time}|||||{Plain(batch.ControlId)}");
        foreach (var answer in answers)
            all.Write(answer);
        Write(string.Create(CultureInfo.InvariantCulture, $"BTS|{answers.Count}"));
        if (batch.IsFile)
            Write("FTS|1");
        return all.ToArray();

        void Write(string line) => all.Write(Encoding.ASCII.GetBytes(line + "\r"));

        static string Plain(string? id) => id is { Length: <= 64 } && id.All(static c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.' or '_') ? id : "";
    }
}
