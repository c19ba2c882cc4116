using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Audit.Sealing;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Audit;

public class SealingTests
{
    private static readonly byte[] Subject = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    [Theory]
    // RFC 9180 A.7.1.2: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only, base mode.
    [InlineData("", "7a36221bd56d50fb51ee65edfd98d06a23c4dc87085aa5866cb7087244bd2a36")]
    [InlineData("00", "d5535b87099c6c3ce80dc112a2671c6ec8e811a2f284f948cec6dd1708ee33f0")]
    [InlineData("54657374436f6e74657874", "ffaabc85a776136ca0c378e5d084c9140ab552b78f039d2e8775f26efff4c70e")]
    public void Keys_are_exported_as_rfc_9180_has_them(string exporterContext, string exported)
    {
        var info = Convert.FromHexString("4f6465206f6e2061204772656369616e2055726e");
        using var ephemeral = PrivateKey("095182b502f1f91f63ba584c7c3ec473d617b8b4c2cec3fad5af7fa6748165ed");
        using var recipient = PrivateKey("33d196c830a12f9ac65d6e565a590d80f04ee9b19c83c87f2c170d972a812848");
        Assert.Equal("194141ca6c3c3beb4792cd97ba0ea1faff09d98435012345766ee33aae2d7664", Convert.ToHexStringLower(recipient.PublicKey));

        var (sender, enc) = Hpke.ToRecipient(recipient.PublicKey, info, ephemeral);
        Assert.Equal("e5e8f9bfff6c2f29791fc351d2c25ce1299aa5eaca78a757c0b4fb4bcd830918", Convert.ToHexStringLower(enc));
        Assert.Equal(exported, Convert.ToHexStringLower(sender.Export(Convert.FromHexString(exporterContext))));
        Assert.Equal(exported, Convert.ToHexStringLower(Hpke.AtRecipient(recipient, enc, info).Export(Convert.FromHexString(exporterContext))));
    }

    [Fact]
    public void The_reader_opens_what_was_sealed_and_can_prove_its_commitment()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var record = """{"kind":"Read"}"""u8.ToArray();
        var entry = Seal(opener, TimeProvider.System, new AuditEntry(Subject, record));
        Assert.True(opener.TryOpen(entry, out var opened));
        Assert.Equal(Subject, opened.Subject);
        Assert.Equal(record, opened.Record);
        Assert.Equal(entry.Commitment, SHA256.HashData([.. opened.Salt, (byte)opened.Subject.Length, .. opened.Subject, .. opened.Record]));
    }

    [Fact]
    public void What_is_withheld_is_bound_by_the_commitment_and_the_rest_is_checked_without_it()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var record = new DisclosureRecord
        {
            Kind = AuditKind.Read, Interaction = "read", Recorded = DateTimeOffset.UnixEpoch, Server = "https://localhost", System = new("aurora", "127.0.0.1"), Organisation = new("1.2.246.10.1", "Aurora"),
            PurposeOfUse = "TREAT", RequestId = "1", Professional = new("12345678", "Liisa Lääkäri", "lääkäri"),
        };
        var entry = Seal(opener, TimeProvider.System, AuditEntry.Of(Subject, record));
        Assert.True(opener.TryOpen(entry, out var opened));
        Assert.Equal(entry.Commitment, SHA256.HashData([.. opened.Salt, (byte)(opened.Subject.Length | 0x80), .. opened.Subject, .. opened.WithheldDigest!, .. opened.Record]));
        Assert.DoesNotContain("12345678", Encoding.UTF8.GetString(opened.Record), StringComparison.Ordinal);
        Assert.True(DisclosureRecord.TryRead(opened.Record, opened.Withheld, out var whole));
        Assert.Equal(record.Professional, whole.Professional);
        Assert.True(DisclosureRecord.TryRead(opened.Record, [], out var told));
        Assert.Equal(new AuditPerson("", null, "lääkäri"), told.Professional);
        // About nobody, or with nobody to withhold: as it is.
        Assert.True(opener.TryOpen(Seal(opener, TimeProvider.System, AuditEntry.Of([], record)), out var ofNobody));
        Assert.Null(ofNobody.WithheldDigest);
        Assert.Contains("12345678", Encoding.UTF8.GetString(ofNobody.Record), StringComparison.Ordinal);

        // Whoever changes the withheld part and seals anew has the commitment against him.
        var plain = new byte[PlainEntry.LengthOf(AuditEntry.Of(Subject, record))];
        var commitment = new byte[32];
        PlainEntry.Write(AuditEntry.Of(Subject, record), plain, commitment);
        Assert.True(PlainEntry.TryRead(plain, commitment, out _));
        for (var at = 0; at < plain.Length; at++)
        {
            plain[at] ^= 1;
            Assert.False(PlainEntry.TryRead(plain, commitment, out _), $"byte {at}");
            plain[at] ^= 1;
        }
    }

    [Fact]
    public void Nothing_that_was_changed_or_sealed_to_another_opens()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        using var another = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var entry = Seal(opener, TimeProvider.System, new AuditEntry(Subject, "{}"u8.ToArray()));
        Assert.False(another.TryOpen(entry, out _));
        Assert.False(opener.TryOpen(entry with { Sealed = Flip(entry.Sealed) }, out _));
        Assert.False(opener.TryOpen(entry with { Enc = Flip(entry.Enc) }, out _));
        Assert.False(opener.TryOpen(entry with { Enc = new byte[32] }, out _));
        Assert.False(opener.TryOpen(entry with { Enc = [] }, out _));
        // Points of low order (RFC 7748 §6.1), with which everybody agrees on the same.
        foreach (var enc in new[] { new byte[32], [1, .. new byte[31]] })
        {
            Assert.False(opener.TryOpen(entry with { Enc = enc }, out _));
            Assert.Null(opener.KeyOf(enc));
        }
        Assert.False(opener.TryOpen(entry with { Sealed = [] }, out _));
        Assert.False(opener.TryOpen(entry with { Commitment = Flip(entry.Commitment) }, out _));
    }

    [Fact]
    public void An_entry_that_its_commitment_does_not_cover_does_not_open_though_it_is_well_sealed()
    {
        // Anyone can seal to the public key; here with a right key and tag, but for a commitment that says something else.
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var commitment = SHA256.HashData("another entry"u8);
        var (context, enc) = Hpke.ToRecipient(opener.PublicKey, EntrySealer.Info);
        byte[] plain = [.. new byte[32], 10, .. Subject, .. "{}"u8];
        var ciphertext = new byte[plain.Length + 16];
        using (var aes = EntrySealer.CipherOf(context))
            aes.Encrypt(EntrySealer.NonceOf(commitment), plain, ciphertext.AsSpan(0, plain.Length), ciphertext.AsSpan(plain.Length), commitment);
        Assert.False(opener.TryOpen(new SealedEntry(0, default, commitment, enc, ciphertext), out _));
    }

    [Fact]
    public void A_sealing_context_lives_for_a_second()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var time = new FakeTimeProvider();
        using var sealer = new EntrySealer(opener.PublicKey, new byte[32], time);
        var entry = new AuditEntry(Subject, "{}"u8.ToArray());
        var first = sealer.Seal(entry);
        time.Advance(TimeSpan.FromMilliseconds(999));
        Assert.Equal(first.Enc, sealer.Seal(entry).Enc);
        time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.NotEqual(first.Enc, sealer.Seal(entry).Enc);
    }

    /// <summary>Of what is opened at once each has the key of its own second and of its own log.</summary>
    [Fact]
    public void Several_open_in_their_order_each_by_the_key_it_was_sealed_with_and_what_does_not_hinders_none()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        using var another = new AuditOpener(AuditOpener.GeneratePrivateKey());
        var time = new FakeTimeProvider();
        using var sealer = new EntrySealer(opener.PublicKey, new byte[32], time);
        SealedEntry Next(long index, string says)
        {
            var row = sealer.Seal(new AuditEntry(Subject, Encoding.UTF8.GetBytes(says)));
            return new(index, DateTimeOffset.FromUnixTimeMilliseconds(row.Time), row.Commitment.ToArray(), row.Enc, row.Sealed);
        }
        var (first, second) = (Next(0, "first"), Next(1, "second"));
        time.Advance(EntrySealer.ContextLife);
        var (third, fourth) = (Next(2, "third"), Next(3, "fourth"));
        var foreign = Seal(another, time, new AuditEntry(Subject, "foreign"u8.ToArray()));
        var opened = opener.Open([first, foreign, third, first with { Enc = new byte[32] }, second, fourth with { Enc = first.Enc }, fourth]);
        Assert.Equal([(0, "first"), (2, "third"), (1, "second"), (3, "fourth")], opened.Select(static one => (one.Index, Encoding.UTF8.GetString(one.Record))));
        Assert.Equal(opener.KeyOf(first.Enc), opener.KeyOf(second.Enc));
        Assert.NotEqual(opener.KeyOf(first.Enc), opener.KeyOf(third.Enc));
    }

    [Fact]
    public void The_same_event_twice_has_nothing_in_common_at_rest_but_the_tag_of_its_person()
    {
        using var opener = new AuditOpener(AuditOpener.GeneratePrivateKey());
        using var sealer = new EntrySealer(opener.PublicKey, new byte[32], TimeProvider.System);
        using var elsewhere = new EntrySealer(opener.PublicKey, [1, .. new byte[31]], TimeProvider.System);
        var entry = new AuditEntry(Subject, Encoding.UTF8.GetBytes(new string('x', 100)));
        var (first, second) = (sealer.Seal(entry), sealer.Seal(entry));
        Assert.NotEqual(first.Leaf, second.Leaf);
        Assert.NotEqual(first.Sealed, second.Sealed);
        Assert.Equal(first.Tag, second.Tag);
        Assert.NotEqual(first.Tag, elsewhere.Seal(entry).Tag);
        Assert.Equal(-1, first.Tag.AsSpan().IndexOf(Subject));
        Assert.Null(sealer.Seal(entry with { Subject = [] }).Tag);
    }

    [Fact]
    public void A_box_opens_for_its_key_and_its_use_alone_and_unchanged()
    {
        var key = SealedBox.GeneratePrivateKey();
        var box = SealedBox.Seal(SealedBox.PublicKeyOf(key), "one"u8, "a letter"u8);
        Assert.Equal("a letter"u8, SealedBox.Open(key, "one"u8, box));
        Assert.NotEqual(box, SealedBox.Seal(SealedBox.PublicKeyOf(key), "one"u8, "a letter"u8));
        Assert.ThrowsAny<CryptographicException>(() => SealedBox.Open(key, "another"u8, box));
        Assert.ThrowsAny<CryptographicException>(() => SealedBox.Open(SealedBox.GeneratePrivateKey(), "one"u8, box));
        for (var i = 0; i < box.Length; i++)
        {
            byte[] changed = [.. box];
            changed[i] ^= 1;
            Assert.ThrowsAny<CryptographicException>(() => SealedBox.Open(key, "one"u8, changed));
        }
        Assert.ThrowsAny<CryptographicException>(() => SealedBox.Open(key, "one"u8, box.AsSpan(0, 47)));
        Assert.ThrowsAny<CryptographicException>(() => SealedBox.Seal(new byte[31], "one"u8, "a letter"u8));
    }

    private static SealedEntry Seal(AuditOpener reader, TimeProvider time, AuditEntry entry)
    {
        using var sealer = new EntrySealer(reader.PublicKey, new byte[32], time);
        var row = sealer.Seal(entry);
        return new SealedEntry(0, DateTimeOffset.FromUnixTimeMilliseconds(row.Time), row.Commitment.ToArray(), row.Enc, row.Sealed);
    }

    private static AgreementKey PrivateKey(string hex) => new(Convert.FromHexString(hex));

    private static byte[] Flip(byte[] bytes) => [(byte)(bytes[0] ^ 1), .. bytes[1..]];
}
