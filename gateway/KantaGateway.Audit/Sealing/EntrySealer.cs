using System.Buffers;
using System.Security.Cryptography;
using System.Text;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// Seals entries so that the writer itself cannot open them again: under a key exported from an HPKE context, and both
/// are thrown away after at most <see cref="ContextLife"/>. Thread-safe.
/// </summary>
sealed class EntrySealer : IDisposable
{
    public static readonly TimeSpan ContextLife = TimeSpan.FromSeconds(1);

    public const int SaltLength = 32, TagLength = 16, GcmTagLength = 16;

    /// <summary>HPKE info: names this use of the reader's key.</summary>
    public static ReadOnlySpan<byte> Info => "KantaGateway audit entry 2"u8;

    /// <summary>
    /// The beginning of the commitment, a hash over 32 random bytes: as good as a random nonce, of which NIST SP 800-38D
    /// allows 2^32 a key, and no key lives longer than a second's entries.
    /// </summary>
    public static ReadOnlySpan<byte> NonceOf(ReadOnlySpan<byte> commitment) => commitment[..12];

    private readonly byte[] _reader;
    private readonly byte[] _indexKey;
    private readonly byte[] _ownIndexKey;
    private readonly byte[] _receiverKey;
    private readonly TimeProvider _time;
    private readonly Lock _contextLock = new();
    private AesGcm? _cipher;
    private byte[] _enc = [];
    private long _since;

    /// <exception cref="ArgumentException">The public key has another length than 32 bytes.</exception>
    public EntrySealer(byte[] readerPublicKey, byte[] logKey, TimeProvider time)
    {
        _reader = readerPublicKey.Length == Hpke.KeyLength ? readerPublicKey : throw new ArgumentException($"A public key of X25519 has {Hpke.KeyLength} bytes.", nameof(readerPublicKey));
        _indexKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, 32, info: "KantaGateway audit subject index 1"u8.ToArray());
        _ownIndexKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, 32, info: "KantaGateway audit own index 1"u8.ToArray());
        _receiverKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, 32, info: "KantaGateway audit receiver 1"u8.ToArray());
        _time = time;
    }

    /// <summary>Keyed hash of a pseudonym: joins the entries of one person within this store and with nothing outside it.</summary>
    /// <param name="isOwn">Of the person's own visits, whose tags have nothing in common with those of others'.</param>
    public byte[]? TagOf(ReadOnlySpan<byte> subject, bool isOwn = false) =>
        subject.IsEmpty ? null : HMACSHA256.HashData(isOwn ? _ownIndexKey : _indexKey, subject)[..TagLength];

    /// <summary>Keyed hash by which a receiver is known again. The commitment is in it, so that two entries of one receiver have nothing in common.</summary>
    public byte[] ReceiverOf(ReadOnlySpan<byte> commitment, string receiver) =>
        HMACSHA256.HashData(_receiverKey, (byte[])[.. commitment, .. Encoding.UTF8.GetBytes(receiver)])[..TagLength];

    /// <exception cref="ArgumentException">The subject is longer than 127 bytes, or the record or what is withheld than <see cref="AuditEntry.MaxLength"/>.</exception>
    public SealedRow Seal(AuditEntry entry)
    {
        if (entry.Subject.Length > PlainEntry.LongestSubject || entry.Record.Length is 0 or > AuditEntry.MaxLength || entry.Withheld is { Length: 0 or > AuditEntry.MaxLength })
            throw new ArgumentException("Subject or record of a wrong length.", nameof(entry));
        var time = _time.GetUtcNow().ToUnixTimeMilliseconds();
        var tag = TagOf(entry.Subject, entry.IsOwn);
        var plainLength = PlainEntry.LengthOf(entry);
        var plainBuffer = ArrayPool<byte>.Shared.Rent(plainLength);
        try
        {
            var plain = plainBuffer.AsSpan(0, plainLength);
            var leaf = new byte[SealedRow.LeafLength];
            var commitment = leaf.AsSpan(0, 32);
            PlainEntry.Write(entry, plain, commitment);
            var sealedEntry = new byte[plainLength + GcmTagLength];
            var enc = Encrypt(plain, sealedEntry, commitment);
            var receiver = entry.Receiver is { } name ? ReceiverOf(commitment, name) : null;
            SealedRow.EnvelopeDigest(time, tag, enc, receiver, sealedEntry, leaf.AsSpan(32));
            return new SealedRow(time, tag, leaf, enc, sealedEntry, receiver);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(plainBuffer.AsSpan(0, plainLength));
            ArrayPool<byte>.Shared.Return(plainBuffer);
        }
    }

    public void Dispose()
    {
        lock (_contextLock)
        {
            _cipher?.Dispose();
            _cipher = null;
        }
        CryptographicOperations.ZeroMemory(_indexKey);
        CryptographicOperations.ZeroMemory(_ownIndexKey);
        CryptographicOperations.ZeroMemory(_receiverKey);
    }

    // Under the lock: a cipher serves one thread at a time, and none may seal with one that another has thrown away. It is
    // held for about a microsecond.
    private byte[] Encrypt(ReadOnlySpan<byte> plain, Span<byte> sealedEntry, ReadOnlySpan<byte> commitment)
    {
        lock (_contextLock)
        {
            if (_cipher is null || _time.GetElapsedTime(_since) >= ContextLife)
            {
                _cipher?.Dispose();
                _cipher = null;
                (var context, _enc) = Hpke.ToRecipient(_reader, Info);
                using (context)
                    _cipher = CipherOf(context);
                _since = _time.GetTimestamp();
            }
            _cipher.Encrypt(NonceOf(commitment), plain, sealedEntry[..plain.Length], sealedEntry[plain.Length..], commitment);
            return _enc;
        }
    }

    /// <summary>The cipher of a context's entries, on either end.</summary>
    public static AesGcm CipherOf(Hpke context)
    {
        var key = context.Export([]);
        try
        {
            return new AesGcm(key, GcmTagLength);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(key);
        }
    }
}
