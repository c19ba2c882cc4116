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
/// <param name="PseudonymKey">HMAC key over identity codes, 32 bytes. Can never change: compartments are named by it.</param>
/// <param name="AuditReaderKey">X25519 private key that opens audit entries, 32 bytes.</param>
/// <param name="WrappingKeys">Every version still in use; new data keys are wrapped with the highest.</param>
sealed record KeyFile(byte[] PseudonymKey, byte[] AuditReaderKey, IReadOnlyList<WrappingKey> WrappingKeys)
{
    private const UnixFileMode OwnerMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true, UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow,
    };

    /// <summary>Reads the file, or makes one where <paramref name="create"/> allows it.</summary>
    /// <exception cref="InvalidOperationException">Missing, readable by others, or without a usable key.</exception>
    public static KeyFile Open(string path, bool create)
    {
        if (!File.Exists(path))
        {
            if (!create)
                throw new InvalidOperationException($"There is no key file at {path}.");
            Write(path, new KeyFile(RandomNumberGenerator.GetBytes(32), AuditOpener.GeneratePrivateKey(), [new(1, RandomNumberGenerator.GetBytes(32))]));
        }
        if (!OperatingSystem.IsWindows() && (File.GetUnixFileMode(path) & ~OwnerMode) != 0)
            throw new InvalidOperationException($"The key file {path} must be readable by its owner alone (chmod 600).");
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
        if (keys is not { PseudonymKey.Length: 32, AuditReaderKey.Length: 32, WrappingKeys.Count: > 0 }
            || keys.WrappingKeys.Any(k => k is not { Version: > 0, Key.Length: 32 })
            || keys.WrappingKeys.DistinctBy(k => k.Version).Count() != keys.WrappingKeys.Count)
            throw new InvalidOperationException($"The key file {path} lacks a 32-byte key, or has one wrapping key version twice.");
        return keys;
    }

    private static void Write(string path, KeyFile keys)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        var json = JsonSerializer.SerializeToUtf8Bytes(keys, Json);
        OwnerOnly.WriteWhole(path, json);
        CryptographicOperations.ZeroMemory(json);
    }
}
