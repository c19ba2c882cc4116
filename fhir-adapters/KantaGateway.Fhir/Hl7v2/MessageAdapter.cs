using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>What an HL7 v2 message comes to.</summary>
/// <param name="Code">The person's identity code; null where the message names none, which is an error.</param>
/// <param name="Key">By which the message is known again: sender, its application and MSH-10.</param>
/// <param name="Digest">Of what it says, MSH-7 aside: a message that comes again has the same.</param>
/// <param name="Questions">What must be known of the record first; see <see cref="Transaction"/>.</param>
/// <param name="Bundle">A transaction about one person; null where there are errors.</param>
/// <param name="Sources">Of each entry of the Bundle the segment that it comes from.</param>
/// <param name="Report">Every component that is not empty.</param>
public sealed record AdaptedMessage(string? Code, string Key, string Digest, IReadOnlyList<KnownQuestion> Questions, Bundle? Bundle, IReadOnlyList<Hl7Place> Sources, LossReport Report, IReadOnlyList<Hl7Error> Errors);

/// <summary>
/// HL7 v2 messages as FHIR transactions: ADT A01, A03, A04, A08, A31, A40, ORU R01, SIU S12 to S15, MDM T02. Pure.
/// </summary>
/// <remarks>
/// A field that is empty leaves what is known, <c>""</c> deletes it (HL7 v2.5.1 §2.5.3): so what is known of the record is an argument. Every
/// transaction has the message itself, byte for byte, and a Provenance that says which resources came from it.
/// </remarks>
public static class MessageAdapter
{
    public const string ContentType = "application/hl7-v2";

    /// <summary>System of the identifiers that Provenance.entity carries for a message.</summary>
    public const string MessageSystem = "urn:ietf:rfc:3986";

    private static readonly Dictionary<string, string[]> Served = new()
    {
        ["ADT"] = ["A01", "A03", "A04", "A08", "A31", "A40"], ["ORU"] = ["R01"], ["SIU"] = ["S12", "S13", "S14", "S15"], ["MDM"] = ["T02"],
    };

    /// <summary>The message types and events that are taken, such as <c>ADT^A01</c>.</summary>
    public static IEnumerable<string> Types => Served.SelectMany(static one => one.Value, static (one, trigger) => $"{one.Key}^{trigger}");

    /// <summary>Turns a message into a transaction.</summary>
    /// <param name="bytes">The message as it was sent, from MSH on.</param>
    /// <param name="organisation">Dotted OID of the sender, in whose register it is written.</param>
    /// <param name="known">What that register has of what <see cref="AdaptedMessage.Questions"/> asked for; empty: nothing, or not asked yet.</param>
    /// <returns>Null for the second: there is no MSH to answer to.</returns>
    public static (Hl7Message? Message, AdaptedMessage? Adapted) Adapt(ReadOnlyMemory<byte> bytes, string organisation, IReadOnlyList<Resource> known)
    {
        if (Hl7Message.Read(bytes) is not { } message)
            return (null, null);
        var (code, trigger) = message.Type;
        var at = message.Header;
        var key = Transaction.UuidOf("hl7v2", organisation, at.Text(3) ?? "", at.Text(4) ?? "", message.ControlId ?? "");
        var digest = Transaction.UuidOf("hl7v2 content", DigestOf(message));
        if (message.ControlId is null)
            message.Refuse(at.At(10), Hl7ErrorCode.RequiredFieldMissing, "A message has a control id, by which its acknowledgement names it.");
        else if (message.ControlId.Length > 199)
            message.Refuse(at.At(10), Hl7ErrorCode.ValueTooLong, "A control id has at most 199 characters.");
        if (at.Text(12) is not { } version || !version.StartsWith("2.", StringComparison.Ordinal))
            message.Refuse(at.At(12), Hl7ErrorCode.UnsupportedVersion, "Messages of HL7 v2 are taken: say 2.3 to 2.8.");
        if (code is null || !Served.TryGetValue(code, out var events))
            message.Refuse(at.At(9, 0, 1), Hl7ErrorCode.UnsupportedMessageType, $"This message type is not taken here. Those that are: {string.Join(", ", Types)}.");
        else if (trigger is null || !events.Contains(trigger))
            message.Refuse(at.At(9, 0, 2), Hl7ErrorCode.UnsupportedEventCode, $"This event is not taken here. Those that are: {string.Join(", ", Types)}.");
        if (message.Errors.Count > 0)
            return (message, new(null, key, digest, [], null, [], message.Report(), message.Errors));

        var transaction = new Transaction(key, known);
        var reading = new MessageReading(message, transaction, organisation);
        reading.Read(code!, trigger!);
        reading.AddOriginal(key, digest);
        var isRefused = message.Errors.Count > 0;
        return (message, new(reading.Code, key, digest, transaction.Questions, isRefused ? null : transaction.ToBundle(),
            isRefused ? [] : [.. transaction.Sources.Select(PlaceOf)], message.Report(), message.Errors));
    }

    private static string DigestOf(Hl7Message message)
    {
        var span = message.Original.Span;
        var end = span.IndexOfAny((byte)'\r', (byte)'\n') is var at and >= 0 ? at : span.Length;
        var header = System.Text.Encoding.Latin1.GetString(span[..end]).Split(message.Delimiters.Field);
        // The time at which it was sent: again is later.
        if (header.Length > 6)
            header[6] = "";
        var hash = System.Security.Cryptography.IncrementalHash.CreateHash(System.Security.Cryptography.HashAlgorithmName.SHA256);
        hash.AppendData(System.Text.Encoding.Latin1.GetBytes(string.Join(message.Delimiters.Field, header)));
        hash.AppendData(span[end..].TrimEnd("\r\n"u8));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static Hl7Place PlaceOf(string source) => source.Split(' ') is [var name, var sequence] ? new(name, int.Parse(sequence, System.Globalization.CultureInfo.InvariantCulture)) : new("MSH", 1);
}
