using System.Globalization;
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
    [InlineData("by an innocent row in its place"), InlineData("by another time"), InlineData("by a time that was never")]
    public async Task Whoever_can_write_to_the_store_hides_no_entry(string how)
    {
        await using var log = Open();
        // Under the log, which has looked at its files before.
        var file = await File.ReadAllBytesAsync(_folder.LastRows);
        var at = Rows().Single(static row => row.Index == 300).Offset;
        var changed = Rows().Single(static row => row.Index == (300 + 1)).Bytes;
        if (how != "by an innocent row in its place")
        {
            var row = SealedRow.Read(Rows().Single(static one => one.Index == 300).Bytes);
            (row with { Time = how == "by another time" ? row.Time - 86_400_000 : 0 }).WriteTo(changed);
        }
        changed.CopyTo(file, at);
        var (begin, count) = (Segments.HeaderLength(0), Entries);
        Frame.Close(file.AsSpan(begin, Rows().Sum(static row => row.Bytes.Length) + Frame.HeaderLength), count, 0);
        await File.WriteAllBytesAsync(_folder.LastRows, file);
        var result = await ScopeAsync(log);
        Assert.Equal([PersonOf(3), PersonOf(599)], result.Persons.Select(static one => one.PatientId));
        Assert.Equal([300L], result.Findings.Unreadable);

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
