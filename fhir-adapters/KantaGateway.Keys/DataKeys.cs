using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys;

/// <summary>
/// Makes and unwraps the data keys of compartments (envelope encryption): AES-256-GCM under a versioned wrapping key,
/// bound to the compartment, so that one person's wrapped key cannot be passed off as another's. Thread-safe.
/// </summary>
/// <remarks>An identity code is sealed in the same form, bound to the number that it has, and to what it is: it is never taken for a data key. Wrapped form: format (1), wrapping key version (4, big-endian), nonce (12), ciphertext (32), tag (16). Throws <see cref="KeyBackendException"/> while the backend is silent.</remarks>
sealed class DataKeys(IKeyBackend backend, WrappingVersions versions)
{
    public const int KeyLength = 32;
    public const int WrappedLength = WrappedKey.Length;

    /// <summary>A new random data key and its wrapped form.</summary>
    public async ValueTask<(byte[] Key, byte[] Wrapped)> CreateAsync(Pseudonym compartment, CancellationToken cancel)
    {
        var key = RandomNumberGenerator.GetBytes(KeyLength);
        return (key, await WrapAsync(key, compartment, versions.Current, cancel).ConfigureAwait(false));
    }

    /// <summary>The data key; null when it was wrapped for another compartment, was changed, or its wrapping key does not serve.</summary>
    public ValueTask<byte[]?> UnwrapAsync(ReadOnlyMemory<byte> wrapped, Pseudonym compartment, CancellationToken cancel) => WrappedKey.VersionOf(wrapped.Span) is { } version && versions.Serves(version)
        ? backend.OpenAsync(version, wrapped[WrappedKey.HeaderLength..WrappedLength], AssociatedData(wrapped.Span[..WrappedKey.HeaderLength], compartment), cancel) : default;

    /// <summary>The same data key wrapped with the current wrapping key; null as of <see cref="UnwrapAsync"/>.</summary>
    /// <param name="isKept">Whether a key is one of the compartment still; null where it is not.</param>
    public async ValueTask<byte[]?> RewrapAsync(ReadOnlyMemory<byte> wrapped, Pseudonym compartment, CancellationToken cancel, Func<byte[], bool>? isKept = null)
    {
        if (await UnwrapAsync(wrapped, compartment, cancel).ConfigureAwait(false) is not { } key)
            return null;
        try
        {
            if (isKept?.Invoke(key) is false)
                return null;
            var current = versions.Current;
            return WrappedKey.VersionOf(wrapped.Span) == current ? wrapped[..WrappedLength].ToArray() : await WrapAsync(key, compartment, current, cancel).ConfigureAwait(false);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }

    private async ValueTask<byte[]> WrapAsync(byte[] key, Pseudonym compartment, uint version, CancellationToken cancel)
    {
        var header = WrappedKey.HeaderOf(version);
        return [.. header, .. await backend.SealAsync(version, key, AssociatedData(header, compartment), cancel).ConfigureAwait(false)];
    }

    /// <summary>An identity code, sealed with the current wrapping key as what the number stands for.</summary>
    public async ValueTask<byte[]> SealPersonAsync(PersonalIdentityCode code, Pseudonym number, CancellationToken cancel)
    {
        var version = versions.Current;
        var (header, plain) = (WrappedKey.HeaderOf(version), new byte[KeyLength]);
        Encoding.ASCII.GetBytes(code.Reveal(), plain);
        try
        {
            return [.. header, .. await backend.SealAsync(version, plain, PersonData(header, number), cancel).ConfigureAwait(false)];
        }
        finally
        {
            CryptographicOperations.ZeroMemory(plain);
        }
    }

    /// <summary>The identity code that a number stands for; null when it was sealed for another number, was changed, or its wrapping key does not serve.</summary>
    public async ValueTask<PersonalIdentityCode?> OpenPersonAsync(ReadOnlyMemory<byte> sealedCode, Pseudonym number, CancellationToken cancel)
    {
        if (sealedCode.Length != WrappedLength || WrappedKey.VersionOf(sealedCode.Span) is not { } version || !versions.Serves(version)
            || await backend.OpenAsync(version, sealedCode[WrappedKey.HeaderLength..], PersonData(sealedCode.Span[..WrappedKey.HeaderLength], number), cancel).ConfigureAwait(false) is not { } plain)
            return null;
        var text = Encoding.ASCII.GetString(plain, 0, PersonalIdentityCodeLength);
        CryptographicOperations.ZeroMemory(plain);
        return PersonalIdentityCode.TryParse(text, out var code) ? code : null;
    }

    private const int PersonalIdentityCodeLength = 11;

    private static byte[] PersonData(ReadOnlySpan<byte> header, Pseudonym number) => [.. header, .. number.ToArray(), .. "person"u8];

    private static byte[] AssociatedData(ReadOnlySpan<byte> header, Pseudonym compartment) => [.. header, .. compartment.ToArray()];
}
