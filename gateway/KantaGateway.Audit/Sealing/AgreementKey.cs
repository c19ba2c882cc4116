using System.Security.Cryptography;
using Org.BouncyCastle.Math.EC.Rfc7748;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// A key pair of X25519 (RFC 7748). In managed memory, for a search of the log agrees on some ten thousand keys a minute: libsodium makes guarded pages for each secret, and unmapping them stops every processor,
/// which took six times as long as the agreement itself. Thread-safe; zeroed by <see cref="Dispose"/>.
/// </summary>
sealed class AgreementKey : IDisposable
{
    /// <summary>Of either half and of what is agreed on.</summary>
    public const int Length = 32;

    private readonly byte[] _private;
    private readonly byte[] _public = new byte[Length];

    /// <param name="privateKey">32 bytes.</param>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public AgreementKey(ReadOnlySpan<byte> privateKey)
    {
        if (privateKey.Length != Length)
            throw new ArgumentException($"A private key of X25519 has {Length} bytes.", nameof(privateKey));
        _private = privateKey.ToArray();
        X25519.GeneratePublicKey(_private, _public);
    }

    public static AgreementKey Generate()
    {
        Span<byte> key = stackalloc byte[Length];
        RandomNumberGenerator.Fill(key);
        var pair = new AgreementKey(key);
        CryptographicOperations.ZeroMemory(key);
        return pair;
    }

    /// <summary>32 bytes.</summary>
    public ReadOnlySpan<byte> PublicKey => _public;

    /// <summary>What both ends alone have.</summary>
    /// <param name="secret">32 bytes.</param>
    /// <exception cref="CryptographicException">The other is no public key, or one of low order: the result is all zero, which RFC 9180 §7.1.4 demands to refuse.</exception>
    public void Agree(ReadOnlySpan<byte> other, Span<byte> secret)
    {
        if (other.Length != Length || !X25519.CalculateAgreement(_private, other, secret))
            throw new CryptographicException("Not a usable X25519 public key.");
    }

    public void Dispose() => CryptographicOperations.ZeroMemory(_private);
}
