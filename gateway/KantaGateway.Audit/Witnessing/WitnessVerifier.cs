using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace KantaGateway.Audit.Witnessing;

/// <summary>Public key of a witness (C2SP tlog-cosignature, Ed25519, type 0x04).</summary>
/// <param name="name">Not empty, without spaces and plus signs.</param>
/// <param name="publicKey">32 bytes.</param>
/// <exception cref="FormatException">The name or the key is not of that form.</exception>
public sealed class WitnessVerifier(string name, ReadOnlySpan<byte> publicKey) : NoteKey(CosignatureType, name, publicKey)
{
    private const byte CosignatureType = 4;
    private const int TimeLength = 8, SignatureLength = 64;

    /// <summary>Reads what <see cref="NoteKey.ToString"/> wrote.</summary>
    public static bool TryParse(string? vkey, [NotNullWhen(true)] out WitnessVerifier? verifier) =>
        (verifier = Read(vkey, CosignatureType, static (name, key) => new WitnessVerifier(name, key))) is not null;

    /// <summary>What a witness signs: that at this time it knew no larger tree of the log, and that this one continues all that it knew.</summary>
    /// <param name="time">POSIX seconds.</param>
    /// <param name="text">Text of the checkpoint.</param>
    public static byte[] MessageOf(long time, string text) => Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"cosignature/v1\ntime {time}\n{text}"));

    /// <param name="text">Text of the checkpoint.</param>
    /// <param name="line">A line of this key's.</param>
    internal bool Verify(string text, NoteSignature line) => line.Signature is { Length: TimeLength + SignatureLength } bytes
        // A checkpoint's cosignature has a time.
        && BinaryPrimitives.ReadInt64BigEndian(bytes) is > 0 and var time
        && VerifyBytes(MessageOf(time, text), bytes.AsSpan(TimeLength));
}
