using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;

namespace KantaGateway.Keys;

/// <summary>A wrapping key and the version by which wrapped data keys name it.</summary>
/// <param name="Version">1 and up; never reused.</param>
/// <param name="Key">AES-256 key.</param>
sealed record WrappingKey(uint Version, byte[] Key);

/// <summary>
/// The secrets of the key service, in one JSON file that only its owner may open.
/// </summary>
/// <param name="PseudonymKey">HMAC key over identity codes, 32 bytes. Can never change: compartments are named by it. Null where the backend has it.</param>
/// <param name="AuditReaderKey">X25519 private key that opens audit entries, 32 bytes.</param>
/// <param name="WrappingKeys">Every version that is there; which of them serve, the ceremonies say. Null where the backend has them.</param>
sealed record KeyFile(byte[]? PseudonymKey, byte[] AuditReaderKey, IReadOnlyList<WrappingKey>? WrappingKeys)
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true, DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull, UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
    };

    /// <summary>Reads the file, or makes one where <paramref name="create"/> allows it.</summary>
    /// <param name="path">Who may read it, the options have looked at.</param>
    /// <param name="create">Whether a missing one is made.</param>
    /// <param name="isBackend">Whether the wrapping keys and the pseudonym key are in it too, or in another backend; then they may not be in it.</param>
    /// <exception cref="InvalidOperationException">Missing, or without a usable key.</exception>
    public static KeyFile Open(string path, bool create, bool isBackend)
    {
        if (!File.Exists(path))
        {
            if (!create)
                throw new InvalidOperationException($"There is no key file at {path}.");
            (isBackend ? new KeyFile(RandomNumberGenerator.GetBytes(32), AuditOpener.GeneratePrivateKey(), [new(1, RandomNumberGenerator.GetBytes(32))])
                : new KeyFile(null, AuditOpener.GeneratePrivateKey(), null)).Write(path, overwrite: false);
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
                throw new InvalidOperationException($"The key file {path} is not valid JSON of this form (line {e.LineNumber + 1}).");
            }
        if (!isBackend)
            return keys is { PseudonymKey: null, AuditReaderKey.Length: 32, WrappingKeys: null } ? keys
                : throw new InvalidOperationException($"The key file {path} must hold the audit reader key of 32 bytes and, beside another backend, nothing else.");
        if (keys is not { PseudonymKey.Length: 32, AuditReaderKey.Length: 32, WrappingKeys.Count: > 0 }
            || keys.WrappingKeys.Any(k => k is not { Version: > 0, Key.Length: 32 })
            || keys.WrappingKeys.DistinctBy(k => k.Version).Count() != keys.WrappingKeys.Count)
            throw new InvalidOperationException($"The key file {path} lacks a 32-byte key, or has one wrapping key version twice.");
        return keys;
    }

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
