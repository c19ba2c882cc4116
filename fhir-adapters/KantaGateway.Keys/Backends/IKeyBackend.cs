using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Backends;

/// <summary>Where the wrapping keys, the pseudonym keys and the custody key are: a file, an HSM, or a service. From the last two they never come out.</summary>
/// <remarks>
/// A sealed data key is nonce (12), ciphertext (32) and tag (16) of AES-256-GCM whichever backend made it, so that another one with the same keys opens it.
/// Thread-safe.
/// </remarks>
interface IKeyBackend : IDisposable
{
    /// <summary>Bytes of a sealed data key.</summary>
    const int SealedLength = WrappedKey.Length - WrappedKey.HeaderLength;

    /// <summary>Versions of a key that it has, 1 and up, in their order. Which of them serve, <see cref="Ceremonies.KeyVersions"/> says.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel);

    /// <summary>Makes a version of a key, unless it is there already; it lasts when this returns.</summary>
    /// <param name="kind">Of which key.</param>
    /// <param name="version">One more than the highest.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="KeyBackendException">The backend does not answer, or it made another version; asked again, it goes on.</exception>
    ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel);

    /// <summary>Destroys a version of a key, unless it is gone already; nobody can bring it back when this returns.</summary>
    /// <param name="kind">Of which key.</param>
    /// <param name="version">The lowest that is there.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="KeyBackendException">The backend does not answer; asked again, it goes on.</exception>
    ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel);

    /// <summary>Seals a data key, or what is as long.</summary>
    /// <param name="version">Of the wrapping key.</param>
    /// <param name="key">The data key, 32 bytes; not kept.</param>
    /// <param name="associated">What the seal binds.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel);

    /// <summary>Opens what was sealed; null where it was changed, is bound to something else, or its wrapping key is gone.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel);

    /// <summary>HMAC-SHA-256 of a text under the pseudonym key, 32 bytes.</summary>
    /// <param name="version">Of the pseudonym key.</param>
    /// <param name="text">Not kept.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="KeyBackendException">The backend does not answer, or has no such version.</exception>
    ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel);

    /// <summary>HMAC-SHA-256 of a label under the custody key, which has no versions: the key of a record that this service keeps, 32 bytes.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel);
}

/// <summary>The backend gives no answer now: 503, and its silence decides nothing.</summary>
sealed class KeyBackendException(string message, Exception? inner = null) : Exception(message, inner);
