using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// What a person's key is given out with, so that whoever has got it can tell how far the record is, and nobody else: a false head shuts the record. Thread-safe.
/// </summary>
/// <remarks>When it ends, in milliseconds since the epoch (8, big-endian), and an HMAC over that and the compartment (16); base64url.</remarks>
sealed class HeadWitnesses(byte[] macKey, TimeProvider time)
{
    /// <summary>Longer than any compartment may be open after its grant was checked.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(10);

    private const int EndSize = 8, Size = EndSize + 16;

    /// <param name="compartment">As <see cref="KeyCustody.NameOf"/> writes it.</param>
    /// <param name="lifetime">Null: <see cref="Lifetime"/>.</param>
    public string Of(string compartment, TimeSpan? lifetime = null)
    {
        Span<byte> witness = stackalloc byte[Size];
        BinaryPrimitives.WriteInt64BigEndian(witness, (time.GetUtcNow() + (lifetime ?? Lifetime)).ToUnixTimeMilliseconds());
        Sign(witness[..EndSize], compartment, witness[EndSize..]);
        return Base64Url.EncodeToString(witness);
    }

    /// <summary>Whether it was given out with this compartment's key, a short while ago.</summary>
    public bool IsOf(string witness, string compartment)
    {
        Span<byte> given = stackalloc byte[Size], right = stackalloc byte[Size - EndSize];
        if (!Base64Url.IsValid(witness, out var length) || length != Size || !Base64Url.TryDecodeFromChars(witness, given, out _))
            return false;
        Sign(given[..EndSize], compartment, right);
        return CryptographicOperations.FixedTimeEquals(right, given[EndSize..]) && BinaryPrimitives.ReadInt64BigEndian(given) >= time.GetUtcNow().ToUnixTimeMilliseconds();
    }

    private void Sign(ReadOnlySpan<byte> end, string compartment, Span<byte> into)
    {
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(macKey, (byte[])[.. end, .. Encoding.ASCII.GetBytes(compartment)], mac);
        mac[..into.Length].CopyTo(into);
    }
}
