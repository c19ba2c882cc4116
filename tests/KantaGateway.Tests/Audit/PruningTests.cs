using System.CommandLine;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Monitoring;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using KantaGateway.Gateway.Operations;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Npgsql;

namespace KantaGateway.Tests.Audit;

/// <summary>Entries whose twelve years are over go, whatever the log is kept in, and the tree stays what it was.</summary>
public abstract class PruningContract
{
    private protected const int Old = 520, Entries = 700;

    private protected static readonly DateTimeOffset Then = new(2012, 2, 29, 12, 0, 0, TimeSpan.Zero), Over = new(2024, 2, 29, 12, 0, 0, TimeSpan.Zero);

    private const string Why = "Their twelve years are over.";

    /// <summary>A new, empty one.</summary>
    private protected abstract Task<LogPlace> NewAsync();

    /// <summary>Short files, so that there is something to cut.</summary>
    private protected virtual AuditLogOptions OptionsOf(LogPlace place, Action<DurableStep>? onStep = null) => place.Options(onStep);

    /// <summary>Whether some bytes stand anywhere in the store.</summary>
    private protected abstract Task<bool> HoldsAsync(LogPlace place, byte[] bytes);

    /// <summary>Puts something else in the place of the note, or nothing.</summary>
    private protected abstract Task RewriteNoteAsync(LogPlace place, string? note);

    /// <summary>Takes away what an entry is about, and perhaps of those beside it, as somebody would who has every right there.</summary>
    private protected abstract Task TakeAwayAsync(LogPlace place, long index);

    private protected AuditLog Open(LogPlace place, Action<DurableStep>? onStep = null, TimeProvider? time = null) => AuditLog.Open(OptionsOf(place, onStep), time ?? TimeProvider.System);

    private protected static async Task<Pruning> PruneAsync(AuditLog log, DateTimeOffset? now = null) =>
        (await log.PruneAsync(await log.PrunableAsync(now ?? Over), Why, now ?? Over, static _ => default))!;

    /// <summary>Entries of 29 February 2012, of two persons in turn, and then as many as it takes of a year later.</summary>
    private protected async Task<LogPlace> WrittenAsync()
    {
        var (place, clock) = (await NewAsync(), new FakeTimeProvider(Then));
        await using var log = Open(place, time: clock);
        await AppendAsync(log, 0, Old);
        clock.Advance(TimeSpan.FromDays(366));
        await AppendAsync(log, Old, Entries);
        return place;
    }

    private protected static async Task AppendAsync(AuditLog log, int from, int to)
    {
        for (var i = from; i < to; i += 10)
            await log.AppendAsync([.. Enumerable.Range(i, 10).Select(static n => LogPlace.Entry(n, (byte)(n % 2)))]);
    }

    /// <summary>It is what it has signed, and nothing is left of what was to go.</summary>
    private protected static void RequireClean(LogPlace place, string? earlier = null)
    {
        var found = place.Verify(earlier);
        Assert.Equal([], found.Faults);
        Assert.Equal(0, found.Left);
    }

    [Fact]
    public async Task What_they_were_about_is_gone_and_whatever_was_proven_is_proven_as_before()
    {
        using var place = await WrittenAsync();
        var recorded = new List<Pruning>();
        string kept, receipt;
        byte[] tile, bundle;
        SealedEntry entry;
        InclusionProof hers;
        long before;
        await using (var log = Open(place))
        {
            Assert.Null(await log.ReadPruningAsync());
            kept = log.ReadCheckpoint();
            receipt = (await log.ProveAsync(5, LogPlace.ReceiverOf(1)))!.ToString();
            hers = (await log.ProveAboutAsync(7, LogPlace.Subject(1)))!;
            entry = LogPlace.Entries(log, 1, 1, 8)[0];
            (tile, bundle) = (LogPlace.Tile(log, new(0, 0, 256)), LogPlace.Tile(log, new(TilePath.Entries, 0, 256)));
            Assert.True(await HoldsAsync(place, entry.Sealed));
            before = await log.PrunableAsync(Over);
            Assert.InRange(before, 256, Old);
            var pruned = (await log.PruneAsync(before, Why, Over, pruning =>
            {
                // Nothing has been done yet.
                Assert.Equal(7, LogPlace.Entries(log, 1, 1, 8)[0].Index);
                recorded.Add(pruning);
                return default;
            }))!;
            Assert.Equal((before, Then, Over, Why), (pruned.Before, pruned.Newest, pruned.At, pruned.Reason));
            Assert.Equal(pruned, Assert.Single(recorded));
            await CheckAsync(log);
            // The same again is done already, and there is no more to do.
            Assert.Equal(before, await log.PrunableAsync(Over));
            Assert.Equal(pruned.Note, (await log.PruneAsync(before, "Again.", Over, static _ => throw new InvalidOperationException("Recorded twice.")))!.Note);
            await AppendAsync(log, Entries, Entries + 100);
        }
        await using (var log = Open(place))
        {
            await CheckAsync(log);
            Assert.Equal(Enumerable.Range(0, Entries + 100).Where(n => n % 2 == 1 && n >= before).Select(n => $"{n}"), place.Stored(log));
        }
        var verification = place.Verify(kept);
        Assert.Equal([], verification.Faults);
        Assert.Equal((Entries + 100, before, 0), (verification.Entries, verification.Pruned!.Before, verification.Left));
        Assert.False(await HoldsAsync(place, entry.Sealed[..32]));

        async Task CheckAsync(AuditLog log)
        {
            var pruned = (await log.ReadPruningAsync())!;
            Assert.True(Pruning.TryOpen(pruned.Note, place.Verifier, out var read));
            Assert.Equal(before, read.Before);
            // As if they were not there.
            Assert.All(LogPlace.Entries(log), left => Assert.True(left.Index >= before));
            Assert.Empty(LogPlace.Entries(log, 1, 5, before));
            Assert.Null(await log.ProveAsync(5, LogPlace.ReceiverOf(1)));
            Assert.Null(await log.ProveAboutAsync(7, LogPlace.Subject(1)));
            // What was given out is proven by the same tree, and what it was about by who has kept it.
            Assert.True(InclusionProof.TryParse(receipt, out var proof) && proof.IsOf(place.Verifier));
            Assert.True(hers.IsOf(place.Verifier) && place.Reader.TryOpen(entry, out _));
            Assert.Equal(entry.Commitment, hers.Leaf[..32]);
            Assert.Equal(tile, LogPlace.Tile(log, new(0, 0, 256)));
            // Commitments whose salts are gone, so that who comes for the first time reads the whole log.
            Assert.Equal(bundle, LogPlace.Tile(log, new(TilePath.Entries, 0, 256)));
            Assert.True(Checkpoint.TryOpen(kept, place.Verifier, out var earlier));
            Assert.True(Checkpoint.TryOpen(await log.ReadNewestCheckpointAsync(), place.Verifier, out var later));
            Assert.True(TiledTree.IsConsistent(earlier.Size, earlier.Root, later.Size, later.Root, await log.ProveConsistencyAsync(earlier.Size, later.Size)));
            Assert.True((await log.ProveAsync(before + 1 - before % 2, LogPlace.ReceiverOf(1)))!.IsOf(place.Verifier));
            Assert.Equal([], log.Verify(kept).Faults);
            // A search over all times finds what is there, and says from where on that is.
            var found = await log.SearchAsync(new(Then.AddYears(-1), DateTimeOffset.UtcNow.AddYears(1), (encs, _) => Task.FromResult<IReadOnlyList<byte[]?>>([.. encs.Select(enc => place.Reader.KeyOf(enc))]), static (_, _) => true));
            Assert.Equal((before, 0), (found.PrunedBefore, found.UnreadableCount));
            Assert.Equal(Enumerable.Range((int)before, (int)(found.Size - before)).Select(static n => (long)n), found.Found.Select(static one => one.Entry.Index));
        }
    }

    [Fact]
    public async Task An_entry_is_kept_for_twelve_years_to_the_second_and_keeps_all_that_come_after_it()
    {
        using var place = await NewAsync();
        // What was recorded between two of an earlier time, by a clock that was put right.
        foreach (var (count, at) in ((int, DateTimeOffset)[])[(520, Then), (10, Then.AddYears(1)), (500, Then.AddDays(1))])
        {
            await using var log = Open(place, time: new FakeTimeProvider(at));
            var size = (int)(Checkpoint.TryOpen(log.ReadCheckpoint(), place.Verifier, out var head) ? head.Size : 0);
            await AppendAsync(log, size, size + count);
        }
        await using (var log = Open(place))
        {
            Assert.Equal(0, await log.PrunableAsync(Over.AddSeconds(-1)));
            Assert.Null(await log.PruneAsync(256, Why, Over.AddSeconds(-1), static _ => throw new InvalidOperationException("Recorded.")));
            var most = await log.PrunableAsync(Over);
            Assert.InRange(most, 256, 520);
            Assert.Equal(most, await log.PrunableAsync(Over.AddDays(300)));
            // Nor is it pruned beyond what may go, where the store cannot be cut, or where there is nothing.
            var all = await log.PrunableAsync(Over.AddYears(1));
            Assert.InRange(all, 768, 1030);
            foreach (var before in (long[])[all, most - 1, most + 1, 0, -256, 1L << 40])
                Assert.Null(await log.PruneAsync(before, Why, Over, static _ => throw new InvalidOperationException("Recorded.")));
            await Assert.ThrowsAsync<FormatException>(() => log.PruneAsync(most, "Two\nlines.", Over, static _ => default));
            Assert.Null(await log.ReadPruningAsync());
            Assert.Equal(515, place.Stored(log).Count);
            Assert.Equal(most, (await PruneAsync(log)).Before);
            // The rest a year later; of what was over before it says the newest of all.
            var later = await PruneAsync(log, Over.AddYears(1));
            Assert.Equal((all, Then.AddYears(1)), (later.Before, later.Newest));
        }
        RequireClean(place);
    }

    [Fact]
    public async Task Where_an_entry_is_not_what_the_tree_has_signed_nothing_goes_for_it_may_be_evidence()
    {
        using var place = await WrittenAsync();
        await place.RewriteAsync(rows => rows.Select(static row => row.Index == 3 ? (row.Index, row.Row with { Time = row.Row.Time - 1000 }) : row));
        await using var log = Open(place);
        await Assert.ThrowsAsync<AuditStoreException>(() => log.PrunableAsync(Over));
        await Assert.ThrowsAsync<AuditStoreException>(() => PruneAsync(log));
        Assert.Null(await log.ReadPruningAsync());
        Assert.Contains(place.Verify().Faults, static fault => fault.StartsWith("entry 3: its content", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("no note", "the content of entries 0 to ")]
    [InlineData("another key", "the note of what was pruned is not signed by this log")]
    [InlineData("changed", "the note of what was pruned is not signed by this log")]
    [InlineData("too early", "the note of what was pruned is not signed by this log")]
    [InlineData("another history", "fork: the note of what was pruned")]
    [InlineData("beyond the log", "the note of what was pruned has 4096 entries")]
    [InlineData("more than it says", "was taken away, and no note of the log says so")]
    public async Task Whoever_takes_away_more_than_a_note_of_the_log_says_is_found(string change, string fault)
    {
        using var place = await WrittenAsync();
        Pruning pruning;
        await using (var log = Open(place))
            pruning = await PruneAsync(log);
        Assert.Equal([], place.Verify().Faults);
        using (var own = new NoteSigner(place.Verifier.Name, place.LogKey))
        using (var other = new NoteSigner(place.Verifier.Name, RandomNumberGenerator.GetBytes(32)))
            await (change switch
            {
                "no note" => RewriteNoteAsync(place, null),
                "another key" => RewriteNoteAsync(place, pruning.Sign(other).Note),
                "changed" => RewriteNoteAsync(place, pruning.Note.Replace($"\n{pruning.Before}\n", $"\n{pruning.Before + 256}\n", StringComparison.Ordinal)),
                // Whoever has the key signs no note by which an entry goes before its time.
                "too early" => RewriteNoteAsync(place, (pruning with { Newest = pruning.At.AddYears(-12).AddMilliseconds(1) }).Sign(own).Note),
                "another history" => RewriteNoteAsync(place, (pruning with { Root = new byte[32] }).Sign(own).Note),
                "beyond the log" => RewriteNoteAsync(place, (pruning with { Before = 4096 }).Sign(own).Note),
                _ => TakeAwayAsync(place, pruning.Before),
            });
        Assert.Contains(place.Verify().Faults, found => found.Contains(fault, StringComparison.Ordinal));
        await RefusedAsync(place, pruning.Before);
    }

    /// <summary>What a running log, or one that is opened, says of it.</summary>
    private protected abstract Task RefusedAsync(LogPlace place, long before);

    /// <summary>With what anybody has: the addresses of a gateway, the log's key, and what they kept of their last visit.</summary>
    [Fact]
    public async Task Verify_log_finds_a_pruned_log_as_it_must_be_and_says_what_is_kept_no_longer()
    {
        using var place = await WrittenAsync();
        using var folder = new TemporaryFolder();
        await using var log = Open(place);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services.AddSingleton(_ => log);
        await using var gateway = builder.Build();
        gateway.MapAuditLog();
        await gateway.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri(gateway.Urls.Single()) };
        Assert.Equal(System.Net.HttpStatusCode.NotFound, (await http.GetAsync("/audit/log/pruned")).StatusCode);
        await log.PublishAsync();
        Assert.DoesNotContain("kept no longer", await VerifyAsync("visited"), StringComparison.Ordinal);
        var pruning = await PruneAsync(log);
        Assert.Equal(pruning.Note, await http.GetStringAsync("/audit/log/pruned"));
        await AppendAsync(log, Entries, Entries + 20);
        await log.PublishAsync();
        foreach (var state in (string[])["visited", "new"])
            Assert.Contains($"what the first {pruning.Before} entries are about is kept no longer since 2024-02-29 12:00:00Z, the newest of them is of 2012-02-29 12:00:00Z: {Why}", await VerifyAsync(state), StringComparison.Ordinal);

        async Task<string> VerifyAsync(string state)
        {
            using var said = new StringWriter();
            var code = await VerifyLogCommand.Create().Parse([new Uri(http.BaseAddress!, "/audit/log").ToString(), "--vkey", place.Verifier.ToString(), "--state", folder.File(state), "--all"])
                .InvokeAsync(new InvocationConfiguration { Output = said, Error = said, EnableDefaultExceptionHandler = false });
            Assert.True(code == 0, said.ToString());
            return said.ToString();
        }
    }

    [Fact]
    public async Task An_outsider_finds_a_note_that_is_not_the_logs_or_of_another_history()
    {
        using var place = await WrittenAsync();
        using var folder = new TemporaryFolder();
        await using var log = Open(place);
        await log.PublishAsync();
        var pruning = await PruneAsync(log);
        using var own = new NoteSigner(place.Verifier.Name, place.LogKey);
        using var other = new NoteSigner(place.Verifier.Name, new byte[32]);
        Assert.Equal([], await CheckAsync(pruning.Note));
        Assert.Equal([LogFaultKind.Forged], await CheckAsync(pruning.Sign(other).Note));
        Assert.Equal([LogFaultKind.Forged], await CheckAsync((pruning with { Before = 4096 }).Sign(own).Note));
        Assert.Equal([LogFaultKind.Forked], await CheckAsync((pruning with { Before = pruning.Before - 1 }).Sign(own).Note));
        Assert.Equal([LogFaultKind.Forged], await CheckAsync(log.ReadCheckpoint()));

        async Task<IEnumerable<LogFaultKind>> CheckAsync(string note)
        {
            using var kept = new MonitorFolder(folder.File("state"), place.Verifier);
            return (await new LogMonitor(place.Verifier, kept, async (path, _) => path == "pruned" ? Encoding.UTF8.GetBytes(note)
                : path == "checkpoint" ? Encoding.UTF8.GetBytes(log.ReadCheckpoint()) : TilePath.TryParse(path, out var tile) ? await log.ReadTileAsync(tile) : null).CheckAsync()).Faults.Select(static fault => fault.Kind);
        }
    }
}

public sealed class FilePruningTests : PruningContract
{
    public static TheoryData<string> Steps => [.. Enum.GetValues<DurableStep>().Where(static step => step >= DurableStep.BeforePruning).Select(static step => $"{step}")];

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_kill_at_any_step_leaves_a_log_that_verifies_and_the_next_opening_ends_what_had_begun(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var place = (LogFolder)await WrittenAsync();
        LogFolder? killed = null;
        Pruning pruning;
        var kept = LogStore.ReadCheckpoint(place.Store);
        await using (var log = Open(place, now => killed ??= now == at ? place.Copy() : null))
            pruning = await PruneAsync(log);
        using (killed)
        {
            var found = killed!.Verify(kept);
            Assert.Equal([], found.Faults);
            Assert.Equal((at > DurableStep.BeforePruning, at > DurableStep.BeforePruning), (found.Pruned is not null, found.Left > 0));
            await using (var log = Open(killed))
            {
                if (at == DurableStep.BeforePruning)
                {
                    Assert.Equal(Entries / 2, killed.Stored(log).Count);
                    await PruneAsync(log);
                }
                Assert.Equal(pruning.Note, (await log.ReadPruningAsync())!.Note);
                Assert.Equal(Enumerable.Range(0, Entries).Where(n => n % 2 == 1 && n >= pruning.Before).Select(n => $"{n}"), killed.Stored(log));
                await AppendAsync(log, Entries, Entries + 10);
            }
            RequireClean(killed, kept);
            Assert.Equal([], Directory.GetFiles(killed.Store, "*.new", SearchOption.AllDirectories));
        }
    }

    /// <summary>A run that covers more than what goes is put in its place anew; merging goes on with it.</summary>
    [Fact]
    public async Task What_finds_entries_is_found_and_merged_as_before()
    {
        using var place = (LogFolder)await WrittenAsync();
        await using (var log = Open(place))
        {
            var pruning = await PruneAsync(log);
            Assert.DoesNotContain(RowIndex.ListRuns(place.Store).SelectMany(static run => run.All()), posting => posting.Index < pruning.Before);
            Assert.Contains(RowIndex.ListRuns(place.Store), run => run.From < pruning.Before && run.To > pruning.Before);
            await AppendAsync(log, Entries, 1500);
            Assert.Equal(Enumerable.Range(0, 1500).Where(n => n % 2 == 1 && n >= pruning.Before).Select(n => $"{n}"), place.Stored(log));
        }
        // All of it can be made again.
        Directory.Delete(place.File("subjects"), recursive: true);
        Directory.Delete(place.File("tile"), recursive: true);
        await using (var log = Open(place))
            Assert.Equal((1500 - (int)(await log.ReadPruningAsync())!.Before) / 2, place.Stored(log).Count);
        RequireClean(place);
    }

    [Fact]
    public async Task Whoever_reads_while_it_is_pruned_is_given_what_is_kept()
    {
        using var place = (LogFolder)await WrittenAsync();
        using var done = new CancellationTokenSource();
        await using var log = Open(place);
        var reading = Task.Run(() =>
        {
            for (var last = 0; !done.IsCancellationRequested;)
            {
                var entries = LogPlace.Entries(log);
                Assert.Equal(Enumerable.Range(0, entries.Count).Select(i => Entries - 1L - 2 * i), entries.Select(static one => one.Index));
                Assert.True(last == 0 || entries.Count <= last);
                last = entries.Count;
                log.ProveAsync(5, LogPlace.ReceiverOf(1)).AsTask().GetAwaiter().GetResult();
            }
        });
        foreach (var before in (long[])[100, 200, 300, 400, Old])
            Assert.NotNull(await log.PruneAsync(Segments.List(place.Store).FindLast(first => first <= before), "Step by step.", Over, static _ => default));
        await done.CancelAsync();
        await reading;
        RequireClean(place);
    }

    private protected override Task<LogPlace> NewAsync() => Task.FromResult<LogPlace>(new LogFolder());

    private protected override AuditLogOptions OptionsOf(LogPlace place, Action<DurableStep>? onStep = null) => ((LogFolder)place).Options(onStep, LogFolder.ShortSegment);

    private protected override Task<bool> HoldsAsync(LogPlace place, byte[] bytes) =>
        Task.FromResult(Directory.EnumerateFiles(((LogFolder)place).Store, "*", SearchOption.AllDirectories).Where(static file => Path.GetFileName(file) != "lock").Any(file => ReadBeside(file).AsSpan().IndexOf(bytes) >= 0));

    private static byte[] ReadBeside(string file)
    {
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    private protected override Task RewriteNoteAsync(LogPlace place, string? note)
    {
        var file = ((LogFolder)place).File("pruned");
        File.Delete(file);
        return note is null ? Task.CompletedTask : File.WriteAllTextAsync(file, note);
    }

    private protected override Task TakeAwayAsync(LogPlace place, long index)
    {
        var segments = Segments.List(((LogFolder)place).Store);
        Segments.Prune(((LogFolder)place).Store, index, segments[segments.IndexOf(index) + 1]);
        return Task.CompletedTask;
    }

    private protected override Task RefusedAsync(LogPlace place, long before)
    {
        Assert.Throws<AuditStoreException>(() => Open(place));
        return Task.CompletedTask;
    }
}

public sealed class PostgresPruningTests : PruningContract
{
    [Fact]
    public async Task Whoever_has_taken_a_whole_gateway_prunes_nothing_that_is_kept_still()
    {
        using var place = await LogDatabase.NewAsync();
        await using (var log = Open(place))
            await AppendAsync(log, 0, 300);
        var word = KantaGateway.Audit.Postgres.LogWord.Of(place.LogKey);
        Assert.Equal("an entry is kept still", await AskAsync("SELECT prune($1, 256, 'signed')", word));
        Assert.Equal("not the word of this log", await AskAsync("SELECT prune($1, 256, 'signed')", new byte[32]));
        Assert.StartsWith("permission denied", await AskAsync("UPDATE entry SET envelope = ''"), StringComparison.Ordinal);
        Assert.StartsWith("permission denied", await AskAsync("DELETE FROM pruned"), StringComparison.Ordinal);
        // What says when it was recorded is of twelve years ago, and a second less.
        foreach (var (less, said) in ((int, string?)[])[(1, "an entry is kept still"), (0, null)])
        {
            await place.AsOwnerAsync($"UPDATE entry SET envelope = decode(lpad(to_hex(floor(extract(epoch FROM (now() AT TIME ZONE 'UTC') - interval '12 years') * 1000)::bigint + {less * 60_000}), 16, '0'), 'hex') || substring(envelope FROM 9)");
            Assert.Equal("not where a tile of the published tree ends", await AskAsync("SELECT prune($1, 255, 'signed')", word));
            Assert.Equal("not where a tile of the published tree ends", await AskAsync("SELECT prune($1, 512, 'signed')", word));
            Assert.Equal(said, await AskAsync("SELECT prune($1, 256, 'signed')", word));
        }

        async Task<string?> AskAsync(string sql, params byte[][] parameters)
        {
            await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(place.Database.Service) { Pooling = false });
            await using var command = source.CreateCommand(sql);
            foreach (var parameter in parameters)
                command.Parameters.Add(new NpgsqlParameter<byte[]> { TypedValue = parameter });
            try
            {
                await command.ExecuteNonQueryAsync();
                return null;
            }
            catch (PostgresException refused)
            {
                return refused.MessageText;
            }
        }
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public async Task A_gateway_that_dies_before_or_after_has_pruned_nothing_or_all_and_another_knows_which(bool before)
    {
        using var place = await WrittenAsync();
        await using var other = Open(place);
        await using (var dying = Open(place, step =>
        {
            if (step == (before ? DurableStep.BeforePruning : DurableStep.SegmentPruned))
                throw new IOException("Killed.");
        }))
            await Assert.ThrowsAsync<IOException>(() => PruneAsync(dying));
        Assert.Equal(!before, await other.ReadPruningAsync() is not null);
        Assert.Equal(before, await other.ProveAsync(5, LogPlace.ReceiverOf(1)) is not null);
        Assert.Equal(512, (await PruneAsync(other)).Before);
        Assert.Null(await other.ProveAsync(5, LogPlace.ReceiverOf(1)));
        RequireClean(place);
    }

    private protected override async Task<LogPlace> NewAsync() => await LogDatabase.NewAsync();

    private protected override async Task<bool> HoldsAsync(LogPlace place, byte[] bytes) =>
        await ((LogDatabase)place).AsOwnerAsync($"SELECT count(*) FROM entry WHERE position('\\x{Convert.ToHexStringLower(bytes)}'::bytea IN envelope) > 0") is > 0L;

    private protected override async Task RewriteNoteAsync(LogPlace place, string? note) =>
        await ((LogDatabase)place).AsOwnerAsync(note is null ? "DELETE FROM pruned" : $"UPDATE pruned SET note = '{note}'");

    private protected override async Task TakeAwayAsync(LogPlace place, long index) => await ((LogDatabase)place).AsOwnerAsync($"UPDATE entry SET tag = NULL, envelope = '' WHERE index = {index}");

    private protected override async Task RefusedAsync(LogPlace place, long before)
    {
        await using var log = Open(place);
        // One that says what it must not is no note, and one that says too little leaves the rest unexplained.
        if (await IsReadAsync() is { } note)
            Assert.True(note.Before != before || await log.ReadPruningAsync() is not null);
        else
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.ProveAsync(5, LogPlace.ReceiverOf(1)));

        async Task<Pruning?> IsReadAsync()
        {
            try
            {
                return await log.ReadPruningAsync();
            }
            catch (AuditUnavailableException)
            {
                return null;
            }
        }
    }
}

/// <summary>When twelve years are over.</summary>
public sealed class RetentionOfEntriesTests
{
    [Theory]
    [InlineData("2012-02-29T12:00:00Z", "2024-02-29T11:59:59Z", false)]
    [InlineData("2012-02-29T12:00:00Z", "2024-02-29T12:00:00Z", true)]
    [InlineData("2013-03-01T00:00:00Z", "2025-02-28T23:59:59Z", false)]
    [InlineData("2013-03-01T00:00:00Z", "2025-03-01T00:00:00Z", true)]
    // The year 2100 has no 29 February.
    [InlineData("2088-02-29T12:00:00Z", "2100-02-28T23:59:59Z", false)]
    [InlineData("2088-02-29T12:00:00Z", "2100-03-01T00:00:00Z", true)]
    [InlineData("2100-02-28T12:00:00Z", "2112-02-28T12:00:00Z", true)]
    // Wherever the clock hangs.
    [InlineData("2012-02-29T23:30:00Z", "2024-03-01T01:29:59+02:00", false)]
    [InlineData("2012-02-29T23:30:00Z", "2024-03-01T01:30:00+02:00", true)]
    public void An_entry_is_kept_for_twelve_full_years(string recorded, string now, bool isOver) =>
        Assert.Equal(isOver, Pruning.IsOver(DateTimeOffset.Parse(recorded, System.Globalization.CultureInfo.InvariantCulture), DateTimeOffset.Parse(now, System.Globalization.CultureInfo.InvariantCulture)));
}
