using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;

namespace KantaGateway.Keys;

/// <summary>A version of the wrapping key, or of the pseudonym key.</summary>
/// <param name="Version">By which what is wrapped or named with it says so; 1 and up, never reused.</param>
/// <param name="Key">32 bytes.</param>
sealed record VersionedKey(uint Version, byte[] Key);

/// <summary>
/// The secrets of the key service, in one JSON file that only its owner may open.
/// </summary>
/// <param name="CustodyKey">HMAC key that the keys of the service's own records are made by, 32 bytes; it can never change. Null where the backend has it.</param>
/// <param name="PseudonymKeys">HMAC keys over identity codes, by which people are found; every version that is there. Null where the backend has them.</param>
/// <param name="AuditReaderKey">X25519 private key that opens audit entries, 32 bytes.</param>
/// <param name="WrappingKeys">AES-256; every version that is there. Which of them serve, the ceremonies say. Null where the backend has them.</param>
sealed record KeyFile(byte[]? CustodyKey, IReadOnlyList<VersionedKey>? PseudonymKeys, byte[] AuditReaderKey, IReadOnlyList<VersionedKey>? WrappingKeys)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true, DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull, UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
    };

    /// <summary>Reads the file, or makes one where <paramref name="create"/> allows it.</summary>
    /// <param name="path">Who may read it, the options have looked at.</param>
    /// <param name="create">Whether a missing one is made.</param>
    /// <param name="isBackend">Whether wrapping keys, pseudonym keys and custody key are in it too, or in another backend; then they may not be in it.</param>
    /// <exception cref="InvalidOperationException">Missing, or without a usable key.</exception>
    public static KeyFile Open(string path, bool create, bool isBackend)
    {
        if (!File.Exists(path))
        {
            if (!create)
                throw new InvalidOperationException($"There is no key file at {path}.");
            (isBackend ? new KeyFile(RandomNumberGenerator.GetBytes(32), [new(1, RandomNumberGenerator.GetBytes(32))], AuditOpener.GeneratePrivateKey(), [new(1, RandomNumberGenerator.GetBytes(32))])
                : new KeyFile(null, null, AuditOpener.GeneratePrivateKey(), null)).Write(path, overwrite: false);
        }
        KeyFile? keys;
        using (var stream = File.OpenRead(path))
            try
            {
                keys = JsonSerializer.Deserialize<KeyFile>(stream, Json);
            }
            catch (JsonException e)
            {
                // The exception of the parser may quote the file.
                throw new InvalidOperationException($"The key file {path} is not valid JSON of this form (line {e.LineNumber + 1}). Where an earlier release made it for development, delete the data folder: people have other numbers since.");
            }
        if (!isBackend)
            return keys is { CustodyKey: null, PseudonymKeys: null, AuditReaderKey.Length: 32, WrappingKeys: null } ? keys
                : throw new InvalidOperationException($"The key file {path} must hold the audit reader key of 32 bytes and, beside another backend, nothing else.");
        return keys is { CustodyKey.Length: 32, AuditReaderKey.Length: 32 } && AreVersions(keys.WrappingKeys) && AreVersions(keys.PseudonymKeys) ? keys
            : throw new InvalidOperationException($"The key file {path} lacks a 32-byte key, or has one version of a key twice.");
    }

    private static bool AreVersions(IReadOnlyList<VersionedKey>? keys) =>
        keys is { Count: > 0 } && keys.All(static key => key is { Version: > 0, Key.Length: 32 }) && keys.DistinctBy(static key => key.Version).Count() == keys.Count;

    /// <summary>Writes the file, whole or not at all.</summary>
    /// <exception cref="IOException">It cannot be written, or is there and may not be replaced.</exception>
    public void Write(string path, bool overwrite)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        var json = JsonSerializer.SerializeToUtf8Bytes(this, Json);
        OwnerOnly.WriteWhole(path, json, overwrite);
        CryptographicOperations.ZeroMemory(json);
    }
}
