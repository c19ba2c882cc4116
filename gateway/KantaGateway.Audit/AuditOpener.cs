using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;

namespace KantaGateway.Audit;

/// <summary>Opens sealed entries. Only the key service holds one. Thread-safe.</summary>
public sealed class AuditOpener : IDisposable
{
    private readonly AgreementKey _key;

    /// <param name="readerPrivateKey">X25519 private key, 32 bytes.</param>
    /// <exception cref="ArgumentException">It has another length.</exception>
    public AuditOpener(ReadOnlySpan<byte> readerPrivateKey) => _key = new(readerPrivateKey);

    /// <summary>The half to which a log seals, 32 bytes.</summary>
    public byte[] PublicKey => _key.PublicKey.ToArray();

    /// <summary>A new reader's private key, 32 bytes.</summary>
    public static byte[] GeneratePrivateKey() => RandomNumberGenerator.GetBytes(Hpke.KeyLength);

    /// <summary>The key of all entries that were sealed with one encapsulated key, 32 bytes: what one log sealed in one second. Whoever is given it opens those, and no others.</summary>
    /// <param name="enc">32 bytes.</param>
    /// <returns>Null: no log has made it.</returns>
    public byte[]? KeyOf(ReadOnlySpan<byte> enc)
    {
        using var context = ContextOf(enc);
        return context?.Export([]);
    }

    /// <summary>
    /// Opens an entry. False when it was not sealed to this reader, was changed, or is not what its commitment says.
    /// </summary>
    public bool TryOpen(SealedEntry entry, [NotNullWhen(true)] out OpenedEntry? opened)
    {
        opened = null;
        using var cipher = CipherOf(entry.Enc);
        return cipher is not null && TryOpen(entry, cipher, out opened);
    }

    /// <summary>Opens those of several entries that <see cref="TryOpen(SealedEntry, out OpenedEntry?)"/> would, in their order. Those of one second have one key, which is agreed on once.</summary>
    public List<OpenedEntry> Open(IReadOnlyList<SealedEntry> entries)
    {
        var ciphers = new Dictionary<string, AesGcm?>(StringComparer.Ordinal);
        try
        {
            var all = new List<OpenedEntry>(entries.Count);
            foreach (var entry in entries)
            {
                var enc = Convert.ToBase64String(entry.Enc);
                if (!ciphers.TryGetValue(enc, out var cipher))
                    ciphers.Add(enc, cipher = CipherOf(entry.Enc));
                if (cipher is not null && TryOpen(entry, cipher, out var opened))
                    all.Add(opened);
            }
            return all;
        }
        finally
        {
            foreach (var cipher in ciphers.Values)
                cipher?.Dispose();
        }
    }

    private AesGcm? CipherOf(ReadOnlySpan<byte> enc)
    {
        using var context = ContextOf(enc);
        return context is null ? null : EntrySealer.CipherOf(context);
    }

    private Hpke? ContextOf(ReadOnlySpan<byte> enc)
    {
        try
        {
            return Hpke.AtRecipient(_key, enc, EntrySealer.Info);
        }
        catch (CryptographicException)
        {
            return null;
        }
    }

    private static bool TryOpen(SealedEntry entry, AesGcm cipher, [NotNullWhen(true)] out OpenedEntry? opened)
    {
        opened = null;
        var length = entry.Sealed.Length - EntrySealer.GcmTagLength;
        if (entry.Commitment.Length != 32 || length < EntrySealer.SaltLength + 1)
            return false;
        var plain = new byte[length];
        try
        {
            cipher.Decrypt(EntrySealer.NonceOf(entry.Commitment), entry.Sealed.AsSpan(0, length), entry.Sealed.AsSpan(length), plain, entry.Commitment);
        }
        catch (CryptographicException)
        {
            return false;
        }
        if (!PlainEntry.TryRead(plain, entry.Commitment, out var read))
            return false;
        opened = read.Open(entry.Index, entry.Time);
        CryptographicOperations.ZeroMemory(plain);
        return true;
    }

    public void Dispose() => _key.Dispose();
}
