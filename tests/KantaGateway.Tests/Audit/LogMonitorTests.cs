using KantaGateway.Audit;
using KantaGateway.Audit.Monitoring;
using KantaGateway.Audit.Tree;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Audit;

/// <summary>What an outsider finds in a log that was tampered with, by the checks of <c>verify-log</c>.</summary>
public sealed class LogMonitorTests : IDisposable
{
    private const int Entries = 700;

    private readonly TemporaryFolder _folder = new();
    private readonly StagedLog _log = new(Entries);

    public void Dispose()
    {
        _folder.Dispose();
        _log.Dispose();
    }

    [Fact]
    public async Task A_log_that_grows_is_as_it_must_be_and_only_what_is_new_is_read()
    {
        Assert.Equal(Entries, (await CheckAsync()).Read);
        foreach (var by in (int[])[0, 1, 66, 1, 300, 5000])
        {
            _log.Grow(by);
            _log.Asked.Clear();
            var report = await CheckAsync();
            Assert.Equal([], report.Faults);
            Assert.Equal(_log.Leaves.Count, report.Head!.Size);
            Assert.Equal(by, report.Read);
        }
        Assert.DoesNotContain("tile/entries/002", _log.Asked);
        Assert.Equal([], (await CheckAsync(all: true)).Faults);
        Assert.Contains("tile/entries/000", _log.Asked);
    }

    public static TheoryData<string, LogFaultKind, string> Thefts => new()
    {
        { "changed", LogFaultKind.Changed, "entry 300 was changed" },
        { "dropped", LogFaultKind.Dropped, "entry 300 was dropped" },
        { "inserted", LogFaultKind.Inserted, "entry 300 was inserted" },
        { "reordered", LogFaultKind.Reordered, "entries 300 to 310 were in another order" },
    };

    /// <summary>The thief has the log's key: everything fits, and is signed.</summary>
    [Theory]
    [MemberData(nameof(Thefts))]
    public async Task Whoever_rewrites_the_log_with_its_key_is_found_by_who_has_seen_it(string theft, LogFaultKind kind, string what)
    {
        await CheckAsync();
        // The log goes on meanwhile, so that it is no shorter than it was.
        _log.Publish([.. Rewritten(theft), .. Enumerable.Range(0, 40).Select(_ => StagedLog.NewLeaf())]);
        var report = await CheckAsync();
        Assert.Equal([LogFaultKind.Forked, kind], report.Faults.Select(f => f.Kind));
        Assert.Equal(what, report.Faults[1].What);
        // It is found at every visit, and both signed checkpoints are kept: they prove it to anybody.
        Assert.Equal([LogFaultKind.Forked, kind], (await CheckAsync()).Faults.Select(f => f.Kind));
        Assert.Equal(_log.Note, File.ReadAllText(Assert.Single(Directory.GetFiles(_folder.File("state/evidence")))));
    }

    [Theory]
    [MemberData(nameof(Thefts))]
    public async Task Rewritten_without_a_new_entry_it_is_found_too(string theft, LogFaultKind kind, string what)
    {
        await CheckAsync();
        _log.Publish(Rewritten(theft));
        var report = await CheckAsync();
        if (theft == "inserted")
            Assert.Equal([LogFaultKind.Forked, kind], report.Faults.Select(f => f.Kind));
        else
            Assert.Equal([theft == "dropped" ? LogFaultKind.RolledBack : LogFaultKind.Forked, kind], report.Faults.Select(f => f.Kind));
        Assert.Equal(what, report.Faults[1].What);
    }

    /// <summary>The thief has the disk and not the key. Whoever comes for the first time finds it too.</summary>
    [Theory]
    [MemberData(nameof(Thefts))]
    public async Task Whoever_rewrites_what_the_log_gives_without_its_key_is_found(string theft, LogFaultKind kind, string what)
    {
        var leaves = Rewritten(theft);
        string[] bundles = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/188"];
        foreach (var (tile, path) in bundles.Index())
            _log.Tampered[path] = _ => StagedLog.Bundle(leaves.Skip(tile * 256).Take(256));
        var report = await CheckAsync();
        Assert.Equal([kind], report.Faults.Select(f => f.Kind).Distinct());
        Assert.Contains(what, report.Faults[0].What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rollback_is_found()
    {
        await CheckAsync();
        _log.Publish(_log.Leaves.Take(600));
        var report = await CheckAsync();
        Assert.Equal(new LogFault(LogFaultKind.RolledBack, "the log had signed 700 entries and now signs 600"), Assert.Single(report.Faults));
        // And still when it has grown again, by other entries.
        _log.Grow(200);
        Assert.Contains((await CheckAsync()).Faults, f => f.Kind == LogFaultKind.Forked);
    }

    [Fact]
    public async Task A_fork_is_found_even_where_the_visit_that_saw_the_other_side_was_broken_off()
    {
        var honest = _log.Leaves.ToList();
        _log.Tampered["tile/entries/001"] = _ => throw new HttpRequestException("cut");
        await Assert.ThrowsAsync<HttpRequestException>(() => CheckAsync());
        _log.Tampered.Clear();
        _log.Publish([.. honest.Take(650), .. Enumerable.Range(0, 100).Select(_ => StagedLog.NewLeaf())]);
        Assert.Equal(LogFaultKind.Forked, (await CheckAsync()).Faults[0].Kind);
    }

    [Fact]
    public async Task A_checkpoint_of_another_key_is_found()
    {
        using var other = new StagedLog(Entries);
        _log.Tampered["checkpoint"] = _ => System.Text.Encoding.UTF8.GetBytes(other.Note);
        Assert.Equal(LogFaultKind.Forged, Assert.Single((await CheckAsync()).Faults).Kind);
        _log.Tampered["checkpoint"] = _ => null;
        Assert.Equal(LogFaultKind.Withheld, Assert.Single((await CheckAsync()).Faults).Kind);
    }

    [Theory]
    [InlineData("tile/0/001", "changed", LogFaultKind.Damaged, "the hash of entry 256")]
    [InlineData("tile/1/000.p/2", "changed", LogFaultKind.Damaged, "tile/1/000.p/2 does not follow")]
    [InlineData("tile/0/001", "gone", LogFaultKind.Withheld, "does not give tile/0/001")]
    [InlineData("tile/entries/001", "gone", LogFaultKind.Withheld, "does not give tile/entries/001")]
    [InlineData("tile/0/002.p/188", "gone", LogFaultKind.Withheld, "does not give tile/0/002.p/188")]
    [InlineData("tile/0/002.p/188", "cut", LogFaultKind.Withheld, "tile/0/002.p/188 has")]
    [InlineData("tile/entries/001", "cut", LogFaultKind.Withheld, "does not hold 256 entries")]
    public async Task Whatever_is_done_to_what_the_log_gives_is_found(string path, string change, LogFaultKind kind, string what)
    {
        _log.Tampered[path] = right =>
        {
            right[5] ^= 1;
            return change switch { "gone" => null, "cut" => right[..^1], _ => right };
        };
        var report = await CheckAsync();
        Assert.Contains(report.Faults, f => f.Kind == kind && f.What.Contains(what, StringComparison.Ordinal));
        // It was not taken for verified: set right, all of it is read again.
        _log.Tampered.Clear();
        var again = await CheckAsync();
        Assert.Equal([], again.Faults);
        Assert.True(again.Read > 0);
    }

    [Fact]
    public async Task A_partial_tile_that_is_gone_is_read_from_the_full_one()
    {
        var note = _log.Note;
        _log.Grow(100);
        _log.Tampered["checkpoint"] = _ => System.Text.Encoding.UTF8.GetBytes(note);
        foreach (var path in (string[])["tile/0/002.p/188", "tile/entries/002.p/188"])
            _log.Tampered[path] = _ => null;
        var report = await CheckAsync();
        Assert.Equal([], report.Faults);
        Assert.Equal(Entries, report.Read);
    }

    [Fact]
    public async Task A_visit_that_was_broken_off_goes_on_where_it_was()
    {
        _log.Publish([.. Enumerable.Range(0, 1100 * 256).Select(i => _log.Leaves[i % Entries])]);
        _log.Tampered["tile/entries/x001/060"] = _ => throw new HttpRequestException("cut");
        await Assert.ThrowsAsync<HttpRequestException>(() => CheckAsync());
        _log.Tampered.Clear();
        _log.Asked.Clear();
        var report = await CheckAsync();
        Assert.Equal([], report.Faults);
        Assert.Equal((1100 - 1024) * 256, report.Read);
        Assert.DoesNotContain("tile/entries/000", _log.Asked);
    }

    [Fact]
    public async Task What_is_kept_of_another_log_is_refused()
    {
        await CheckAsync();
        using var other = new StagedLog(1);
        Assert.Throws<InvalidDataException>(() => new MonitorFolder(_folder.File("state"), other.Verifier));
        File.WriteAllText(_folder.File("state/state.json"), "{}");
        Assert.Throws<InvalidDataException>(() => new MonitorFolder(_folder.File("state"), _log.Verifier));
    }

    /// <summary>The log itself, its rows rewritten and everything made anew and signed with its own key.</summary>
    [Fact]
    public async Task A_log_of_ours_is_read_as_it_is_and_found_out_when_it_is_rewritten()
    {
        using var place = new LogFolder();
        await using (var log = place.Open())
        {
            for (var round = 0; round < 3; round++)
            {
                await log.AppendAsync([.. Enumerable.Range(0, 250).Select(i => LogPlace.Entry(i))]);
                await log.PublishAsync();
                var report = await CheckAsync(log);
                Assert.Equal([], report.Faults);
                Assert.Equal(250, report.Read);
            }
        }
        place.Rewrite(rows => rows.Where(r => r.Index != 5).Select((r, i) => ((long)i, r.Row)));
        Directory.Delete(place.File("tile"), recursive: true);
        Directory.Delete(place.File("subjects"), recursive: true);
        Directory.Delete(place.File("places"), recursive: true);
        await place.RewriteCheckpointAsync(new Checkpoint(place.Verifier.Name, 0, Merkle.Empty).Sign(new NoteSigner(place.Verifier.Name, place.LogKey)));
        await using var rewritten = place.Open();
        await rewritten.AppendAsync([.. Enumerable.Range(0, 10).Select(i => LogPlace.Entry(i))]);
        await rewritten.PublishAsync();
        var found = await CheckAsync(rewritten);
        Assert.Equal([LogFaultKind.Forked, LogFaultKind.Dropped], found.Faults.Select(f => f.Kind));
        Assert.Equal("entry 5 was dropped", found.Faults[1].What);
    }

    private IEnumerable<byte[]> Rewritten(string theft)
    {
        var leaves = _log.Leaves.ToList();
        switch (theft)
        {
            case "changed":
                leaves[300] = StagedLog.NewLeaf();
                break;
            case "dropped":
                leaves.RemoveAt(300);
                break;
            case "inserted":
                leaves.Insert(300, StagedLog.NewLeaf());
                break;
            default:
                (leaves[300], leaves[310]) = (leaves[310], leaves[300]);
                break;
        }
        return leaves;
    }

    private async Task<MonitorReport> CheckAsync(bool all = false)
    {
        using var kept = new MonitorFolder(_folder.File("state"), _log.Verifier);
        return await new LogMonitor(_log.Verifier, kept, _log.ReadAsync) { ReadsAll = all }.CheckAsync();
    }

    private async Task<MonitorReport> CheckAsync(AuditLog log)
    {
        using var kept = new MonitorFolder(_folder.File("real"), log.Verifier);
        return await new LogMonitor(log.Verifier, kept, async (path, _) => path == "checkpoint" ? System.Text.Encoding.UTF8.GetBytes(log.ReadCheckpoint())
            : TilePath.TryParse(path, out var tile) ? await log.ReadTileAsync(tile) : null).CheckAsync();
    }
}
