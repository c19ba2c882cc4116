using System.Buffers;
using System.Security.Cryptography;
using NSec.Cryptography;

namespace KantaGateway.Audit.Sealing;

/// <summary>
/// Seals entries so that the writer itself cannot open them again: each has its own key, exported from an HPKE context
/// that is thrown away after at most <see cref="ContextLife"/>. Thread-safe.
/// </summary>
sealed class EntrySealer : IDisposable
{
    public static readonly TimeSpan ContextLife = TimeSpan.FromSeconds(1);

    public const int SaltLength = 32, TagLength = 16, GcmTagLength = 16;

    /// <summary>HPKE info: names this use of the reader's key.</summary>
    public static ReadOnlySpan<byte> Info => "KantaGateway audit entry 1"u8;

    /// <summary>
    /// Always zero: a key seals exactly one entry, since it is exported for that entry's commitment, which contains a
    /// random salt.
    /// </summary>
    public static ReadOnlySpan<byte> Nonce => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private readonly PublicKey _reader;
    private readonly byte[] _indexKey;
    private readonly TimeProvider _time;
    private readonly Lock _contextLock = new();
    private Hpke? _context;
    private byte[] _enc = [];
    private long _since;

    public EntrySealer(byte[] readerPublicKey, byte[] logKey, TimeProvider time)
    {
        _reader = PublicKey.Import(KeyAgreementAlgorithm.X25519, readerPublicKey, KeyBlobFormat.RawPublicKey);
        _indexKey = HKDF.DeriveKey(HashAlgorithmName.SHA256, logKey, 32, info: "KantaGateway audit subject index 1"u8.ToArray());
        _time = time;
    }

    /// <summary>Keyed hash of a pseudonym: joins the entries of one person within this store and with nothing outside it.</summary>
    public byte[]? TagOf(ReadOnlySpan<byte> subject) =>
        subject.IsEmpty ? null : HMACSHA256.HashData(_indexKey, subject)[..TagLength];

    /// <exception cref="ArgumentException">The subject is longer than 255 bytes or the AuditEvent than <see cref="AuditEntry.MaxLength"/>.</exception>
    public SealedRow Seal(AuditEntry entry)
    {
        if (entry.Subject.Length > byte.MaxValue || entry.AuditEvent.Length is 0 or > AuditEntry.MaxLength)
            throw new ArgumentException("Subject or AuditEvent of a wrong length.", nameof(entry));
        var time = _time.GetUtcNow().ToUnixTimeMilliseconds();
        var tag = TagOf(entry.Subject);
        var plainLength = SaltLength + 1 + entry.Subject.Length + entry.AuditEvent.Length;
        var header = SealedRow.EnvelopeHeader(tag);
        var plainBuffer = ArrayPool<byte>.Shared.Rent(plainLength);
        var envelopeBuffer = ArrayPool<byte>.Shared.Rent(header + plainLength + GcmTagLength);
        try
        {
            var plain = plainBuffer.AsSpan(0, plainLength);
            RandomNumberGenerator.Fill(plain[..SaltLength]);
            plain[SaltLength] = (byte)entry.Subject.Length;
            entry.Subject.CopyTo(plain[(SaltLength + 1)..]);
            entry.AuditEvent.CopyTo(plain[(SaltLength + 1 + entry.Subject.Length)..]);

            var leaf = new byte[SealedRow.LeafLength];
            var commitment = leaf.AsSpan(0, 32);
            SHA256.HashData(plain, commitment);
            var (key, enc) = KeyFor(commitment);

            var envelope = envelopeBuffer.AsSpan(0, header + plainLength + GcmTagLength);
            SealedRow.WriteEnvelopeHeader(envelope, time, tag, enc);
            var ciphertext = envelope[header..];
            using (var aes = new AesGcm(key, GcmTagLength))
                aes.Encrypt(Nonce, plain, ciphertext[..plainLength], ciphertext[plainLength..], commitment);
            CryptographicOperations.ZeroMemory(key);
            SHA256.HashData(envelope, leaf.AsSpan(32));
            return new SealedRow(time, tag, leaf, enc, ciphertext.ToArray());
        }
        finally
        {
            CryptographicOperations.ZeroMemory(plainBuffer.AsSpan(0, plainLength));
            ArrayPool<byte>.Shared.Return(plainBuffer);
            ArrayPool<byte>.Shared.Return(envelopeBuffer);
        }
    }

    public void Dispose()
    {
        lock (_contextLock)
        {
            _context?.Dispose();
            _context = null;
        }
        CryptographicOperations.ZeroMemory(_indexKey);
    }

    // Under the lock, for a context that is zeroed while another thread exports from it would yield a key anyone can guess.
    private (byte[] Key, byte[] Enc) KeyFor(ReadOnlySpan<byte> commitment)
    {
        lock (_contextLock)
        {
            if (_context is null || _time.GetElapsedTime(_since) >= ContextLife)
            {
                _context?.Dispose();
                (_context, _enc) = Hpke.ToRecipient(_reader, Info);
                _since = _time.GetTimestamp();
            }
            return (_context.Export(commitment), _enc);
        }
    }
}
