using System.Security.Cryptography;

namespace KantaGateway.Audit.Postgres;

/// <summary>
/// What a gateway says with each append and each checkpoint, and the database has the SHA-256 of: who has the password of the gateways' role and not the log's key, adds nothing and holds nobody up.
/// </summary>
static class LogWord
{
    /// <summary>32 bytes.</summary>
    public static byte[] Of(byte[] logKey) => HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, 32, info: "KantaGateway audit database 1"u8.ToArray());
}
