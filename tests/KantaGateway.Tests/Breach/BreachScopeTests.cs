using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Keys;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;

namespace KantaGateway.Tests.Breach;

/// <summary>What a scope says where the log or the keys are not what they have to be, and whom an address means.</summary>
public sealed class BreachScopeTests : IAsyncLifetime
{
    /// <summary>Two full tiles, and one that is not.</summary>
    private const int Entries = 600;

    /// <summary>The thief's, in each tile.</summary>
    private static readonly int[] Thefts = [3, 300, 599];

    // As long as the others' name, so that one row has room in the place of another.
    private const string Thief = "thieve";

    private readonly LogFolder _folder = new();
    private readonly RunningKeys _keys = new() { Registers = 0 };
    private readonly FakeLogger<BreachScope> _logger = new();
    private readonly DateTimeOffset _now = DateTimeOffset.UtcNow;
    private KeyServiceClient _client = null!;
    private byte[] _reader = null!;

    public async Task InitializeAsync()
    {
        await _keys.InitializeAsync();
        _client = new(_keys.Options.Listen, _keys.Gateway);
        _reader = await _client.AuditReaderKeyAsync(default);
        await using var log = Open();
        await log.AppendAsync([.. Enumerable.Range(0, Entries).Select(i => Entry(i, Thefts.Contains(i) ? Thief : "clinic"))]);
    }

    public async Task DisposeAsync()
    {
        await _keys.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Each_is_told_and_proven_in_whatever_order_the_proofs_are_asked_for()
    {
        await using var log = Open();
        var result = await ScopeAsync(log);
        Assert.Equal(Thefts.Select(PersonOf), result.Persons.Select(static one => one.PatientId));
        Assert.All(result.Findings.Found.Reverse(), found => Assert.True(result.Findings.Prove(found).IsOf(log.Verifier)));
        Assert.Equal(Entries, result.Findings.Read);
    }

    [Fact]
    public async Task An_entry_that_cannot_be_opened_is_named_in_the_answer_and_the_others_are_told()
    {
        await _folder.RewriteAsync(static rows => rows.Select(static row => row.Index != 300 ? row : (row.Index, row.Row with { Sealed = [.. row.Row.Sealed[..^1], (byte)~row.Row.Sealed[^1]] })));
        await using var log = Open();
        var result = await ScopeAsync(log);
        Assert.Equal([PersonOf(3), PersonOf(599)], result.Persons.Select(static one => one.PatientId));
        using var body = new MemoryStream();
        await OperatorScopes.WriteAsync(body, "act", "1", Criteria(), result, default);
        using var end = JsonDocument.Parse(Encoding.UTF8.GetString(body.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries)[^1]);
        Assert.Equal((2, 1), (end.RootElement.GetProperty("persons").GetInt32(), end.RootElement.GetProperty("unreadable").GetInt32()));
        Assert.Equal([300], end.RootElement.GetProperty("unreadable_entries").EnumerateArray().Select(static one => one.GetInt32()));
    }

    [Theory]
    [InlineData("by an innocent row in its place", 300), InlineData("by another time", 300), InlineData("by a time that was never", 300), InlineData("by the next minute", 3)]
    public async Task Whoever_can_write_to_the_store_hides_no_entry(string how, int which)
    {
        await using var log = Open();
        // Under the log, which has looked at its files before.
        var file = await File.ReadAllBytesAsync(_folder.LastRows);
        var at = Rows().Single(row => row.Index == which).Offset;
        var changed = Rows().Single(row => row.Index == which + 1).Bytes;
        if (how != "by an innocent row in its place")
        {
            var row = SealedRow.Read(Rows().Single(one => one.Index == which).Bytes);
            (row with { Time = how switch { "by another time" => row.Time - 86_400_000, "by the next minute" => row.Time + 60_000, _ => 0 } }).WriteTo(changed);
        }
        changed.CopyTo(file, at);
        var (begin, count) = (Segments.HeaderLength(0), Entries);
        Frame.Close(file.AsSpan(begin, Rows().Sum(static row => row.Bytes.Length) + Frame.HeaderLength), count, 0);
        await File.WriteAllBytesAsync(_folder.LastRows, file);
        var result = await ScopeAsync(log);
        Assert.Equal(Thefts.Where(theft => theft != which).Select(PersonOf), result.Persons.Select(static one => one.PatientId));
        Assert.Equal([(long)which], result.Findings.Unreadable);

        List<(long Index, long Offset, byte[] Bytes)> Rows()
        {
            using var reader = SegmentReader.TryOpen(_folder.LastRows)!;
            Assert.True(reader.Next());
            return [.. reader.Rows().Select(static row => (row.Index, row.Offset, row.Bytes.ToArray()))];
        }
    }

    [Fact]
    public async Task What_was_sealed_to_another_reader_is_unreadable()
    {
        using (var stranger = new AuditOpener(AuditOpener.GeneratePrivateKey()))
        await using (var log = AuditLog.Open(_folder.Options() with { ReaderPublicKey = stranger.PublicKey }, TimeProvider.System))
            await log.AppendAsync(Entry(Entries, Thief));
        await using var again = Open();
        var result = await ScopeAsync(again);
        Assert.Equal(Thefts.Length, result.Persons.Count);
        Assert.Equal([(long)Entries], result.Findings.Unreadable);
    }

    [Fact]
    public async Task What_the_log_itself_has_sealed_and_not_committed_to_is_unreadable()
    {
        // Who holds the second's key seals for a commitment that is of something else, and would show each reader another entry.
        var commitment = SHA256.HashData("another entry"u8);
        var (context, enc) = Hpke.ToRecipient(_reader, EntrySealer.Info);
        byte[] plain = [.. new byte[EntrySealer.SaltLength], 0, .. Record(Entries, Thief, "203.0.113.77").ToUtf8()];
        var ciphertext = new byte[plain.Length + EntrySealer.GcmTagLength];
        using (var aes = EntrySealer.CipherOf(context))
            aes.Encrypt(EntrySealer.NonceOf(commitment), plain, ciphertext.AsSpan(0, plain.Length), ciphertext.AsSpan(plain.Length), commitment);
        byte[] leaf = [.. commitment, .. new byte[SHA256.HashSizeInBytes]];
        SealedRow.EnvelopeDigest(_now.ToUnixTimeMilliseconds(), null, enc, null, ciphertext, leaf.AsSpan(commitment.Length));
        using (var store = LogStore.Open(_folder.Options(), new(_folder.Options().Origin, _folder.LogKey), NullLogger.Instance))
        {
            store.Begin();
            store.Insert(new(_now.ToUnixTimeMilliseconds(), null, leaf, enc, ciphertext, null));
            Assert.Equal(Entries, store.Commit());
            store.Grow();
            store.Publish();
        }
        await using var log = Open();
        var result = await ScopeAsync(log);
        Assert.Equal(Thefts.Length, result.Persons.Count);
        Assert.Equal([(long)Entries], result.Findings.Unreadable);
    }

    [Fact]
    public async Task Without_the_key_service_there_is_no_scope()
    {
        await using var log = Open();
        await _keys.StopAsync();
        var refused = await Assert.ThrowsAsync<FaultException>(() => ScopeAsync(log));
        Assert.Equal(FaultKind.KeyUnavailable, refused.Fault.Kind);
        await _keys.StartAsync();
        Assert.Equal(Thefts.Length, (await ScopeAsync(log)).Persons.Count);
    }

    [Fact]
    public async Task A_store_that_is_away_is_no_store_in_which_nobody_is_found()
    {
        await using var log = Open();
        Directory.Move(_folder.File("rows"), _folder.File("away"));
        var refused = await Assert.ThrowsAsync<FaultException>(() => ScopeAsync(log));
        Assert.Equal(FaultKind.AuditUnavailable, refused.Fault.Kind);
        Directory.Move(_folder.File("away"), _folder.File("rows"));
        Assert.Equal(Thefts.Length, (await ScopeAsync(log)).Persons.Count);
    }

    [Theory]
    [InlineData("rows that are cut off"), InlineData("another tile"), InlineData("no tile")]
    public async Task A_store_that_is_not_what_the_log_has_signed_is_said_to_be_damaged(string damage)
    {
        await using var log = Open();
        var (rows, tile) = (_folder.LastRows, _folder.File("tile/0/001"));
        var bytes = await File.ReadAllBytesAsync(damage == "rows that are cut off" ? rows : tile);
        switch (damage)
        {
            case "rows that are cut off":
                // The frame's checksum: as a disk leaves it that lies.
                bytes[bytes.AsSpan().IndexOf("KAf1"u8) + 4] ^= 1;
                await File.WriteAllBytesAsync(rows, bytes);
                break;
            case "another tile":
                bytes[^1] ^= 1;
                await File.WriteAllBytesAsync(tile, bytes);
                break;
            default:
                File.Delete(tile);
                break;
        }
        var refused = await Assert.ThrowsAsync<FaultException>(() => ScopeAsync(log));
        Assert.Equal(FaultKind.AuditUnavailable, refused.Fault.Kind);
        Assert.Contains(_logger.Collector.GetSnapshot(), static line => line.Level == LogLevel.Critical && line.Message.StartsWith("ALARM: the scope of a breach could not be read", StringComparison.Ordinal));
    }

    [Theory]
    // What is asked, from where it came, whether that is meant.
    [InlineData("203.0.113.77", "203.0.113.77", true)]
    [InlineData("203.0.113.77", "::ffff:203.0.113.77", true)]
    [InlineData("::ffff:203.0.113.77", "203.0.113.77", true)]
    [InlineData("203.0.113.77", "203.0.113.7", false)]
    [InlineData("203.0.113.7", "203.0.113.77", false)]
    [InlineData("203.0.113.77", "203.0.113.177", false)]
    [InlineData("203.0.113.64/28", "203.0.113.79", true)]
    [InlineData("203.0.113.64/28", "::ffff:203.0.113.64", true)]
    [InlineData("203.0.113.64/28", "203.0.113.80", false)]
    [InlineData("203.0.113.64/28", "203.0.113.63", false)]
    [InlineData("2001:db8::1", "2001:db8:0:0::1", true)]
    [InlineData("2001:db8::1", "2001:db8::10", false)]
    [InlineData("2001:db8::/32", "2001:db8:ffff::1", true)]
    [InlineData("2001:db8::/32", "2001:db9::1", false)]
    [InlineData("0.0.0.0/0", "10.0.0.1", true)]
    [InlineData("0.0.0.0/0", "2001:db8::1", false)]
    [InlineData("0.0.0.0/0", "inside", false)]
    [InlineData("203.0.113.77", "", false)]
    public void An_address_means_the_connection_it_is_of_and_nothing_that_is_written_elsewhere(string asked, string from, bool isMeant)
    {
        var test = (Criteria() with { Client = null, Address = asked }).Test()!;
        // Wherever somebody has a say, it says the other thing.
        var said = $"\"address\":\"{(isMeant ? "192.0.2.1" : "203.0.113.77")}\"";
        var record = Record(1, said, from) with { Query = said, Organisation = new("1.2.246.10.1", said), RequestId = said, TokenId = said };
        Assert.Equal(isMeant, test.IsWanted(record.ToUtf8(), []));
    }

    [Theory]
    // The client.
    [InlineData("its client", true), InlineData("a client whose id begins so", false), InlineData("a client that writes its id into a search", false)]
    [InlineData("its certificate", true), InlineData("a certificate of one bit less", false)]
    [InlineData("its professional", true), InlineData("its professional where the number is withheld", true), InlineData("a professional whose number begins so", false)]
    [InlineData("its organisation", true), InlineData("a unit of its organisation", true), InlineData("an organisation that it asks through", true), InlineData("an organisation whose number begins so", false)]
    [InlineData("its budget", true), InlineData("the budget of another professional", false), InlineData("the budget of its tenant", false)]
    [InlineData("its token", true), InlineData("a token that begins so", false)]
    [InlineData("its citizen", true), InlineData("a citizen whose data it is", false)]
    [InlineData("its patient", true), InlineData("a patient who asks", false)]
    [InlineData("the first moment", true), InlineData("a moment before", false), InlineData("the last moment", true), InlineData("a moment after", false)]
    [InlineData("a history", true), InlineData("a write", true)]
    public void An_indicator_means_whom_it_is_of_and_nobody_beside(string whom, bool isMeant)
    {
        const string Person = "6f1f3a52-9d0e-4c5b-8a5e-0d3f5b1c2a77", Number = "90000000123";
        var (print, other) = (SHA256.HashData("thief"u8), SHA256.HashData("thief"u8));
        other[31] ^= 1;
        var (all, taken) = (Criteria() with { Client = null }, Record(1, "clinic", "203.0.113.77") with { Professional = new(Number, "Nea Näyte", "nurse") });
        var (asked, record) = whom switch
        {
            "its client" => (all with { Client = Thief }, taken with { System = new(Thief, "203.0.113.77") }),
            "a client whose id begins so" => (all with { Client = Thief }, taken with { System = new(Thief + "s", "203.0.113.77") }),
            "a client that writes its id into a search" => (all with { Client = Thief }, taken with { Query = $"Observation?code={Thief}" }),
            "its certificate" => (all with { Certificate = Convert.ToHexStringLower(print) }, taken with { System = new("clinic", "203.0.113.77", null, Base64Url.EncodeToString(print)) }),
            "a certificate of one bit less" => (all with { Certificate = Convert.ToHexStringLower(print) }, taken with { System = new("clinic", "203.0.113.77", null, Base64Url.EncodeToString(other)), Query = Base64Url.EncodeToString(print) }),
            "its professional" or "a history" or "a write" => (all with { Professional = Number }, taken with { Interaction = whom == "a history" ? "history-instance" : whom == "a write" ? "create" : "read" }),
            "its professional where the number is withheld" => (all with { Professional = Number }, taken with { Professional = new("", null, "nurse") }),
            "a professional whose number begins so" => (all with { Professional = Number }, taken with { Professional = new(Number + "4", null, "nurse") }),
            "its organisation" => (all with { Organisation = "1.2.246.10.1" }, taken),
            "a unit of its organisation" => (all with { Organisation = "1.2.246.10.1" }, taken with { Organisation = new("1.2.246.10.1.10.7", "Aurora, vastaanotto") }),
            "an organisation that it asks through" => (all with { Organisation = "1.2.246.10.9" }, taken with { Subscriber = new("1.2.246.10.9", "Nimbus") }),
            "an organisation whose number begins so" => (all with { Organisation = "1.2.246.10.1" }, taken with { Organisation = new("1.2.246.10.12", "Borea") }),
            "its budget" => (all with { Requester = $"clinic|{Number}" }, taken),
            "the budget of another professional" => (all with { Requester = $"clinic|{Number}" }, taken with { Professional = new(Number + "4", null, "nurse") }),
            "the budget of its tenant" => (all with { Requester = $"clinic|{Number}" }, taken with { Subscriber = new("1.2.246.10.9", "Nimbus") }),
            "its token" => (all with { Token = "token" }, taken with { TokenId = "token" }),
            "a token that begins so" => (all with { Token = "token" }, taken with { TokenId = "tokens" }),
            "its citizen" => (all with { Citizen = $"Patient/{Person}" }, taken with { Citizen = new(Person, null, null) }),
            "a citizen whose data it is" => (all with { Citizen = $"Patient/{Person}" }, taken with { PatientId = Person }),
            "its patient" => (all with { Patient = $"Patient/{Person}" }, taken with { PatientId = Person }),
            "a patient who asks" => (all with { Patient = $"Patient/{Person}" }, taken with { Citizen = new(Person, null, null) }),
            "the first moment" => (all, taken with { Recorded = all.From }),
            "a moment before" => (all, taken with { Recorded = all.From.AddTicks(-1) }),
            "the last moment" => (all, taken with { Recorded = all.To }),
            "a moment after" => (all, taken with { Recorded = all.To.AddTicks(1) }),
            _ => throw new ArgumentException("Nobody of that name.", nameof(whom)),
        };
        Assert.Equal(isMeant, asked.Test()!.IsWanted(record.ToUtf8(), whom.EndsWith("withheld", StringComparison.Ordinal) ? new WithheldPart(Number, "Nea Näyte").ToUtf8() : []));
    }

    [Theory]
    // What it shows, and as what it is counted where that is nobody's data.
    [InlineData("refused", 1, 0), InlineData("failed", 1, 0), InlineData("found nothing", 1, 0), InlineData("permitted a write", 0, 0), InlineData("of the directory", 0, 1)]
    public void Who_was_refused_or_was_shown_nobodys_data_has_reached_nobody_and_is_counted(string how, int refused, int ofNobody)
    {
        var (test, taken) = (Criteria().Test()!, Record(1, Thief, "203.0.113.77"));
        var record = how switch
        {
            "refused" => taken with { Outcome = AuditOutcome.MinorFailure },
            "failed" => taken with { Outcome = AuditOutcome.SeriousFailure },
            "found nothing" => taken with { Items = [] },
            "permitted a write" => taken with { Kind = AuditKind.AuthorizationDecision },
            _ => taken with { PatientId = null },
        };
        Assert.False(test.IsWanted(record.ToUtf8(), []));
        Assert.Equal((refused, ofNobody), (test.Refused, test.OfNobody));
    }

    private AuditLog Open() => AuditLog.Open(_folder.Options() with { ReaderPublicKey = _reader }, TimeProvider.System);

    private ScopeCriteria Criteria() => new() { From = _now.AddMinutes(-1), To = _now.AddMinutes(1), Client = Thief };

    private AuditReading Reading(DateTimeOffset to) => new(Guid.NewGuid().ToString("N"), 1, to.AddMinutes(-2), to, "one", "another");

    private Task<ScopeResult> ScopeAsync(AuditLog log) => new BreachScope(log, _client, _logger).RunAsync(Reading(_now.AddMinutes(1)), Criteria(), default);

    private AuditEntry Entry(int number, string client) => new(LogPlace.Subject((byte)(number % 250 + 1)), Record(number, client, "203.0.113.77").ToUtf8());

    private DisclosureRecord Record(int number, string client, string address) => new()
    {
        Kind = AuditKind.Read, Interaction = "read", Recorded = _now, Server = "https://localhost/fhir", System = new(client, address), Organisation = new("1.2.246.10.1", "Aurora"), PatientId = PersonOf(number),
        PurposeOfUse = "TREAT", RequestId = "1", Items = [new("Observation", "o1", "v1", "1.2.246.10.1")],
    };

    private static string PersonOf(int number) => string.Create(CultureInfo.InvariantCulture, $"p{number}");
}
