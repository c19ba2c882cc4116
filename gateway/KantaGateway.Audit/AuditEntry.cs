using System.Text.Json.Serialization;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Audit;

/// <summary>One event to record.</summary>
/// <param name="Subject">The 10-byte pseudonym of the person it is about; empty when it is about none or an unknown one.</param>
/// <param name="Record">What happened: <see cref="DisclosureRecord.ToUtf8"/>. At most <see cref="MaxLength"/> bytes.</param>
/// <param name="Receiver">Opaque name of whom the proof of this entry is given to; null: nobody.</param>
/// <param name="Withheld">What the person is not told who is given the rest to check (<see cref="WithheldPart"/>); null: nothing.</param>
/// <param name="IsOwn">Whether the person has looked at the own record: found apart from what others did, of which there is little beside it.</param>
public readonly record struct AuditEntry(byte[] Subject, byte[] Record, string? Receiver = null, byte[]? Withheld = null, bool IsOwn = false)
{
    /// <summary>The entry of a record about a person, who is told no professional's name and number (Act 703/2023 §74).</summary>
    /// <param name="subject">As of the entry.</param>
    public static AuditEntry Of(byte[] subject, DisclosureRecord record, string? receiver = null) => subject.Length == 0 || record.Professional is not { } professional
        ? new(subject, record.ToUtf8(), receiver)
        : new(subject, (record with { Professional = new("", null, professional.Role) }).ToUtf8(), receiver, new WithheldPart(professional.Id, professional.Name).ToUtf8());

    /// <summary>Longest record, bytes: 4 MiB, some ten thousand disclosed resource versions.</summary>
    public const int MaxLength = 4 * 1024 * 1024;
}

/// <summary>Says that an entry is on disk.</summary>
/// <param name="Index">Its leaf in the Merkle tree, from 0.</param>
/// <param name="EntryId">Opaque name, 32 hexadecimal digits; the beginning of its commitment.</param>
public readonly record struct AuditReceipt(long Index, string EntryId);

/// <summary>A stored entry as it is at rest: without the reader's private key it says when, and nothing else.</summary>
/// <param name="Index">Leaf index.</param>
/// <param name="Time">When it was recorded, UTC.</param>
/// <param name="Commitment">SHA-256 of the opened entry, 32 bytes; public in the tree.</param>
/// <param name="Enc">HPKE encapsulated key, 32 bytes.</param>
/// <param name="Sealed">AES-256-GCM ciphertext and tag of salt, subject and record.</param>
public sealed record SealedEntry(long Index, DateTimeOffset Time, byte[] Commitment, byte[] Enc, byte[] Sealed);

/// <summary>
/// An entry opened by <see cref="AuditOpener"/>. Its commitment is SHA-256(Salt, one byte length of Subject, Subject, Record); where something is withheld, that byte has its top bit set and <see cref="WithheldDigest"/>
/// comes before the record.
/// </summary>
/// <param name="Subject">10-byte pseudonym, or empty.</param>
/// <param name="Record">The exact bytes that were recorded, but for what is withheld.</param>
/// <param name="Salt">32 random bytes; with them anyone can check the entry against the tree.</param>
/// <param name="WithheldDigest">SHA-256 of 16 random bytes and what is withheld; null: nothing is.</param>
/// <param name="Withheld">What is; null also for who is not told. The random bytes are not given: a name could be guessed by them.</param>
public sealed record OpenedEntry(long Index, DateTimeOffset Time, byte[] Subject, byte[] Record, byte[] Salt, byte[]? WithheldDigest = null, byte[]? Withheld = null)
{
    /// <summary>The record as a FHIR R4 AuditEvent, UTF-8 JSON; null when it is no <see cref="DisclosureRecord"/>. It follows from the rest, and is sent to nobody.</summary>
    [JsonIgnore]
    public byte[]? AuditEvent => DisclosureRecord.TryRead(Record, Withheld, out var record) ? BalpEvent.Write(record) : null;
}

/// <summary>The log could not make an entry durable. Nothing that the entry was about to record may happen.</summary>
public sealed class AuditUnavailableException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>The store on disk is not the log it claims to be: it does not open.</summary>
public sealed class AuditStoreException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Body of a request to the key service to open entries (<c>POST /v1/audit/open</c>), as camel-case JSON.</summary>
public sealed record AuditOpenRequest(IReadOnlyList<SealedEntry> Entries);

/// <summary>Its answer: those entries that are about the person of the grant, in the order of the request.</summary>
public sealed record AuditOpenAnswer(IReadOnlyList<OpenedEntry> Entries);
