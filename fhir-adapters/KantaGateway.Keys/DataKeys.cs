using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys;

/// <summary>
/// Makes and unwraps the data keys of compartments (envelope encryption): AES-256-GCM under a versioned wrapping key,
/// bound to the compartment, so that one person's wrapped key cannot be passed off as another's. Thread-safe.
/// </summary>
/// <remarks>Wrapped form: format (1), wrapping key version (4, big-endian), nonce (12), ciphertext (32), tag (16). Throws <see cref="KeyBackendException"/> while the backend is silent.</remarks>
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
        ? backend.OpenAsync(version, wrapped[WrappedKey.HeaderLength..], AssociatedData(wrapped.Span[..WrappedKey.HeaderLength], compartment), cancel) : default;

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
            return WrappedKey.VersionOf(wrapped.Span) == current ? wrapped.ToArray() : await WrapAsync(key, compartment, current, cancel).ConfigureAwait(false);
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

    private static byte[] AssociatedData(ReadOnlySpan<byte> header, Pseudonym compartment) => [.. header, .. compartment.ToArray()];
}
