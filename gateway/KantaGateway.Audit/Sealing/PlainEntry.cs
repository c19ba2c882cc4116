using System.Buffers.Binary;
using System.Security.Cryptography;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// What is sealed: <c>salt (32) | length of the subject (1), its top bit set where something is withheld | subject | digest (32, where something is) | record | salt of what is withheld (16) | that | length of those two (4)</c>.
/// The commitment is of all but the last three, so that it can be checked without them.
/// </summary>
readonly ref struct PlainEntry
{
    public const int WithheldSalt = 16, LongestSubject = 0x7F;

    private const int Mark = 0x80, DigestLength = 32, Tail = 4;

    public ReadOnlySpan<byte> Salt { get; private init; }

    public ReadOnlySpan<byte> Subject { get; private init; }

    public ReadOnlySpan<byte> Record { get; private init; }

    /// <summary>Empty where nothing is withheld.</summary>
    public ReadOnlySpan<byte> WithheldDigest { get; private init; }

    /// <summary>Without its salt.</summary>
    public ReadOnlySpan<byte> Withheld => Part.IsEmpty ? default : Part[WithheldSalt..];

    private ReadOnlySpan<byte> Committed { get; init; }

    private ReadOnlySpan<byte> Part { get; init; }

    public static int LengthOf(AuditEntry entry) =>
        EntrySealer.SaltLength + 1 + entry.Subject.Length + entry.Record.Length + (entry.Withheld is { } withheld ? DigestLength + WithheldSalt + withheld.Length + Tail : 0);

    /// <summary>Writes an entry with fresh salts, and its commitment.</summary>
    public static void Write(AuditEntry entry, Span<byte> plain, Span<byte> commitment)
    {
        RandomNumberGenerator.Fill(plain[..EntrySealer.SaltLength]);
        plain[EntrySealer.SaltLength] = (byte)(entry.Subject.Length | (entry.Withheld is null ? 0 : Mark));
        var at = EntrySealer.SaltLength + 1;
        entry.Subject.CopyTo(plain[at..]);
        at += entry.Subject.Length;
        var end = plain.Length;
        if (entry.Withheld is { } withheld)
        {
            var length = WithheldSalt + withheld.Length;
            end -= length + Tail;
            var part = plain.Slice(end, length);
            RandomNumberGenerator.Fill(part[..WithheldSalt]);
            withheld.CopyTo(part[WithheldSalt..]);
            BinaryPrimitives.WriteInt32BigEndian(plain[^Tail..], length);
            SHA256.HashData(part, plain[at..]);
            at += DigestLength;
        }
        entry.Record.CopyTo(plain[at..]);
        SHA256.HashData(plain[..end], commitment);
    }

    /// <summary>Reads what is what the commitment says; anything else is no entry.</summary>
    public static bool TryRead(ReadOnlySpan<byte> plain, ReadOnlySpan<byte> commitment, out PlainEntry entry) => TryParse(plain, out entry) && entry.IsOf(commitment);

    /// <summary>Reads the parts of what may be an entry; only <see cref="IsOf"/> says whether it is.</summary>
    public static bool TryParse(ReadOnlySpan<byte> plain, out PlainEntry entry)
    {
        entry = default;
        if (plain.Length < EntrySealer.SaltLength + 1)
            return false;
        var (subject, at, end) = (plain[EntrySealer.SaltLength] & ~Mark, EntrySealer.SaltLength + 1, plain.Length);
        var part = default(ReadOnlySpan<byte>);
        if ((plain[EntrySealer.SaltLength] & Mark) != 0)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(plain[^Tail..]);
            if (length < WithheldSalt || length > end - at - subject - DigestLength - Tail)
                return false;
            end -= length + Tail;
            part = plain.Slice(end, length);
        }
        var record = at + subject + (part.IsEmpty ? 0 : DigestLength);
        if (record > end)
            return false;
        entry = new()
        {
            Committed = plain[..end], Part = part, Salt = plain[..EntrySealer.SaltLength], Subject = plain.Slice(at, subject), WithheldDigest = plain[(at + subject)..record], Record = plain[record..end],
        };
        return true;
    }

    /// <summary>Whether it is what the commitment says. Anyone can seal to the reader's public key; only what the tree has committed to is an entry.</summary>
    public bool IsOf(ReadOnlySpan<byte> commitment)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Committed, hash);
        if (!CryptographicOperations.FixedTimeEquals(hash, commitment))
            return false;
        if (Part.IsEmpty)
            return true;
        SHA256.HashData(Part, hash);
        return hash.SequenceEqual(WithheldDigest);
    }

    public OpenedEntry Open(long index, DateTimeOffset time) => new(index, time, Subject.ToArray(), Record.ToArray(), Salt.ToArray(),
        WithheldDigest.IsEmpty ? null : WithheldDigest.ToArray(), Withheld.IsEmpty ? null : Withheld.ToArray());
}
