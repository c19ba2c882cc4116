using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace KantaGateway.Keys.Backends;

/// <summary>Keys of the key file, in the memory of this process: the embedded default.</summary>
/// <param name="path">Of the key file, which new versions are written to.</param>
/// <param name="keys">What it holds.</param>
sealed class FileBackend(string path, KeyFile keys) : IKeyBackend
{
    private const int NonceLength = 12, TagLength = 16;

    private readonly ConcurrentDictionary<uint, byte[]> _keys = new((keys.WrappingKeys ?? throw new InvalidOperationException("The key file has no wrapping keys."))
        .Select(static key => KeyValuePair.Create(key.Version, key.Key)));
    private readonly byte[] _pseudonymKey = keys.PseudonymKey ?? throw new InvalidOperationException("The key file has no pseudonym key.");
    private readonly Lock _making = new();

    public ValueTask<IReadOnlyList<uint>> VersionsAsync(CancellationToken cancel) => new([.. _keys.Keys.Order()]);

    public ValueTask MakeAsync(uint version, CancellationToken cancel)
    {
        lock (_making)
        {
            if (_keys.ContainsKey(version))
                return default;
            var made = RandomNumberGenerator.GetBytes(DataKeys.KeyLength);
            Write(_keys.Append(KeyValuePair.Create(version, made)));
            _keys[version] = made;
            return default;
        }
    }

    public ValueTask DestroyAsync(uint version, CancellationToken cancel)
    {
        lock (_making)
        {
            if (!_keys.ContainsKey(version))
                return default;
            Write(_keys.Where(key => key.Key != version));
            if (_keys.TryRemove(version, out var gone))
                CryptographicOperations.ZeroMemory(gone);
            return default;
        }
    }

    private void Write(IEnumerable<KeyValuePair<uint, byte[]>> wrapping)
    {
        try
        {
            (keys with { WrappingKeys = [.. wrapping.OrderBy(static key => key.Key).Select(static key => new WrappingKey(key.Key, key.Value))] }).Write(path, overwrite: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new KeyBackendException("The key file cannot be written.", failure);
        }
    }

    public ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        var sealedKey = new byte[IKeyBackend.SealedLength];
        // A random nonce: 2^32 keys under one wrapping key keep a collision below 2^-32 (SP 800-38D §8.3).
        RandomNumberGenerator.Fill(sealedKey.AsSpan(0, NonceLength));
        using var aes = new AesGcm(_keys[version], TagLength);
        aes.Encrypt(sealedKey.AsSpan(0, NonceLength), key.Span, sealedKey.AsSpan(NonceLength, key.Length), sealedKey.AsSpan(^TagLength..), associated.Span);
        return new(sealedKey);
    }

    public ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        if (!_keys.TryGetValue(version, out var wrappingKey))
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

    public ValueTask<byte[]> MacAsync(ReadOnlyMemory<byte> text, CancellationToken cancel) => new(HMACSHA256.HashData(_pseudonymKey, text.Span));

    public void Dispose()
    {
        foreach (var key in _keys.Values)
            CryptographicOperations.ZeroMemory(key);
        CryptographicOperations.ZeroMemory(_pseudonymKey);
    }
}
