using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Keys;

/// <summary>
/// Makes and unwraps the data keys of compartments (envelope encryption): AES-256-GCM under a versioned wrapping key,
/// bound to the compartment, so that one person's wrapped key cannot be passed off as another's. Thread-safe.
/// </summary>
/// <remarks>Wrapped form: format (1), wrapping key version (4, big-endian), nonce (12), ciphertext (32), tag (16).</remarks>
sealed class DataKeys(IReadOnlyList<WrappingKey> wrappingKeys)
{
    public const int KeyLength = 32;
    public const int WrappedLength = 1 + 4 + NonceLength + KeyLength + TagLength;

    private const byte Format = 1;
    private const int NonceLength = 12, TagLength = 16;

    private readonly Dictionary<uint, byte[]> _keys = wrappingKeys.ToDictionary(k => k.Version, k => k.Key);
    private readonly uint _current = wrappingKeys.Max(k => k.Version);

    /// <summary>A new random data key and its wrapped form.</summary>
    public (byte[] Key, byte[] Wrapped) Create(Pseudonym compartment)
    {
        var key = RandomNumberGenerator.GetBytes(KeyLength);
        return (key, Wrap(key, compartment));
    }

    /// <summary>The data key; false when it was wrapped for another compartment, was changed, or its wrapping key is gone.</summary>
    public bool TryUnwrap(ReadOnlySpan<byte> wrapped, Pseudonym compartment, [NotNullWhen(true)] out byte[]? key)
    {
        key = null;
        if (wrapped.Length != WrappedLength || wrapped[0] != Format
            || !_keys.TryGetValue(BinaryPrimitives.ReadUInt32BigEndian(wrapped[1..]), out var wrappingKey))
            return false;
        var plain = new byte[KeyLength];
        try
        {
            using var aes = new AesGcm(wrappingKey, TagLength);
            aes.Decrypt(wrapped.Slice(5, NonceLength), wrapped.Slice(5 + NonceLength, KeyLength), wrapped[^TagLength..], plain,
                AssociatedData(wrapped[..5], compartment));
        }
        catch (AuthenticationTagMismatchException)
        {
            return false;
        }
        key = plain;
        return true;
    }

    private byte[] Wrap(byte[] key, Pseudonym compartment)
    {
        var wrapped = new byte[WrappedLength];
        wrapped[0] = Format;
        BinaryPrimitives.WriteUInt32BigEndian(wrapped.AsSpan(1), _current);
        // A random nonce: 2^32 keys under one wrapping key keep a collision below 2^-32 (SP 800-38D §8.3).
        RandomNumberGenerator.Fill(wrapped.AsSpan(5, NonceLength));
        using var aes = new AesGcm(_keys[_current], TagLength);
        aes.Encrypt(wrapped.AsSpan(5, NonceLength), key, wrapped.AsSpan(5 + NonceLength, KeyLength), wrapped.AsSpan(^TagLength..),
            AssociatedData(wrapped.AsSpan(0, 5), compartment));
        return wrapped;
    }

    private static byte[] AssociatedData(ReadOnlySpan<byte> header, Pseudonym compartment) => [.. header, .. compartment.ToArray()];
}
