using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Backends;

/// <summary>Keys of the key file, in the memory of this process: the embedded default.</summary>
/// <param name="path">Of the key file, which new versions are written to.</param>
/// <param name="keys">What it holds.</param>
sealed class FileBackend(string path, KeyFile keys) : IKeyBackend
{
    private const int NonceLength = 12, TagLength = 16;

    private readonly ConcurrentDictionary<uint, byte[]> _wrapping = Of(keys.WrappingKeys), _pseudonym = Of(keys.PseudonymKeys);
    private readonly byte[] _custodyKey = keys.CustodyKey ?? throw new InvalidOperationException("The key file has no custody key.");
    private readonly Lock _making = new();

    public ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel) => new([.. Of(kind).Keys.Order()]);

    public ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel)
    {
        lock (_making)
        {
            if (Of(kind).ContainsKey(version))
                return default;
            var made = RandomNumberGenerator.GetBytes(DataKeys.KeyLength);
            Write(kind, Of(kind).Append(KeyValuePair.Create(version, made)));
            Of(kind)[version] = made;
            return default;
        }
    }

    public ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel)
    {
        lock (_making)
        {
            if (!Of(kind).ContainsKey(version))
                return default;
            Write(kind, Of(kind).Where(key => key.Key != version));
            if (Of(kind).TryRemove(version, out var gone))
                CryptographicOperations.ZeroMemory(gone);
            return default;
        }
    }

    private ConcurrentDictionary<uint, byte[]> Of(KeyKind kind) => kind == KeyKind.Pseudonym ? _pseudonym : _wrapping;

    private static ConcurrentDictionary<uint, byte[]> Of(IReadOnlyList<VersionedKey>? keys) =>
        new((keys ?? throw new InvalidOperationException("The key file lacks the versions of a key.")).Select(static key => KeyValuePair.Create(key.Version, key.Key)));

    private void Write(KeyKind kind, IEnumerable<KeyValuePair<uint, byte[]>> changed)
    {
        try
        {
            (keys with { WrappingKeys = ListOf(kind == KeyKind.Wrapping ? changed : _wrapping), PseudonymKeys = ListOf(kind == KeyKind.Pseudonym ? changed : _pseudonym) }).Write(path, overwrite: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new KeyBackendException("The key file cannot be written.", failure);
        }
    }

    private static List<VersionedKey> ListOf(IEnumerable<KeyValuePair<uint, byte[]>> keys) => [.. keys.OrderBy(static key => key.Key).Select(static key => new VersionedKey(key.Key, key.Value))];

    public ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        var sealedKey = new byte[IKeyBackend.SealedLength];
        // A random nonce: 2^32 keys under one wrapping key keep a collision below 2^-32 (SP 800-38D §8.3).
        RandomNumberGenerator.Fill(sealedKey.AsSpan(0, NonceLength));
        using var aes = new AesGcm(_wrapping[version], TagLength);
        aes.Encrypt(sealedKey.AsSpan(0, NonceLength), key.Span, sealedKey.AsSpan(NonceLength, key.Length), sealedKey.AsSpan(^TagLength..), associated.Span);
        return new(sealedKey);
    }

    public ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        if (!_wrapping.TryGetValue(version, out var wrappingKey))
            return default;
        var plain = new byte[DataKeys.KeyLength];
        try
        {
            using var aes = new AesGcm(wrappingKey, TagLength);
            aes.Decrypt(sealedKey.Span[..NonceLength], sealedKey.Span[NonceLength..^TagLength], sealedKey.Span[^TagLength..], plain, associated.Span);
            return new(plain);
        }
        catch (AuthenticationTagMismatchException)
        {
            return default;
        }
    }

    public ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel) =>
        new(HMACSHA256.HashData(_pseudonym.TryGetValue(version, out var key) ? key : throw new KeyBackendException("The key file has no such version of the pseudonym key."), text.Span));

    public ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel) => new(HMACSHA256.HashData(_custodyKey, Encoding.ASCII.GetBytes(label)));

    public void Dispose()
    {
        foreach (var key in _wrapping.Values.Concat(_pseudonym.Values))
            CryptographicOperations.ZeroMemory(key);
        CryptographicOperations.ZeroMemory(_custodyKey);
    }
}
