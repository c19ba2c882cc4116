using System.Buffers.Binary;
using System.Security.Cryptography;

namespace KantaGateway.Keys.Custody;

/// <summary>What was asked for.</summary>
enum KeyOperation : byte { Create = 1, Unwrap = 2, Rewrap = 3, Destroy = 4, Restore = 5, Rotate = 6, Retire = 7, AuditReading = 8, Pair = 9, Gateway = 10 }

/// <summary>One request for a key and its end, in 64 bytes that name nobody.</summary>
/// <param name="Status">HTTP status that it was answered with.</param>
/// <param name="Grant">Digest of the grant's id, by which it pairs with what the gateway recorded.</param>
readonly record struct CustodyRecord(KeyOperation Operation, int Status, DateTimeOffset At, Digest Grant, Digest Requester, Digest Person)
{
    /// <summary>Bytes.</summary>
    public const int Size = 64;

    private const byte Format = 1;
    private const int CheckAt = 60;

    /// <summary>Format (1), operation (1), status (2), time in milliseconds since the epoch (8), grant, requester, person (16 each), check (4); big-endian.</summary>
    public void Write(Span<byte> destination)
    {
        destination[0] = Format;
        destination[1] = (byte)Operation;
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], (ushort)Status);
        BinaryPrimitives.WriteInt64BigEndian(destination[4..], At.ToUnixTimeMilliseconds());
        BinaryPrimitives.WriteUInt128BigEndian(destination[12..], Grant.Value);
        BinaryPrimitives.WriteUInt128BigEndian(destination[28..], Requester.Value);
        BinaryPrimitives.WriteUInt128BigEndian(destination[44..], Person.Value);
        CheckOf(destination).CopyTo(destination[CheckAt..]);
    }

    /// <summary>Reads what <see cref="Write"/> wrote; null where it was not written to its end, or is damaged.</summary>
    public static CustodyRecord? Read(ReadOnlySpan<byte> source) =>
        source.Length < Size || source[0] != Format || !CheckOf(source).SequenceEqual(source.Slice(CheckAt, 4)) ? null
        : new((KeyOperation)source[1], BinaryPrimitives.ReadUInt16BigEndian(source[2..]), DateTimeOffset.FromUnixTimeMilliseconds(BinaryPrimitives.ReadInt64BigEndian(source[4..])),
            new(BinaryPrimitives.ReadUInt128BigEndian(source[12..])), new(BinaryPrimitives.ReadUInt128BigEndian(source[28..])), new(BinaryPrimitives.ReadUInt128BigEndian(source[44..])));

    private static ReadOnlySpan<byte> CheckOf(ReadOnlySpan<byte> record) => SHA256.HashData(record[..CheckAt]).AsSpan(0, 4);
}
