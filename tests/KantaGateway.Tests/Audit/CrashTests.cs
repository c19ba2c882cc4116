using KantaGateway.Audit;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Audit;

public class CrashTests
{
    /// <summary>Those of the writer itself.</summary>
    public static TheoryData<string> Steps => [.. Enum.GetValues<DurableStep>().Where(s => s < DurableStep.BeforeSettling).Select(s => $"{s}")];

    /// <summary>Those beside it.</summary>
    public static TheoryData<string> SettlingSteps => [.. Enum.GetValues<DurableStep>().Where(s => s is >= DurableStep.BeforeSettling and < DurableStep.BeforePruning).Select(s => $"{s}")];

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_kill_at_any_step_leaves_a_store_with_every_acknowledged_entry(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var folder = new LogFolder();
        LogFolder? killed = null;
        List<string> acknowledged = [];
        var armed = false;
        await using (var log = folder.Open(now =>
        {
            // A copy taken while the writer stands at the step is what a kill there leaves behind.
            if (armed && now == at)
            {
                armed = false;
                killed = folder.Copy();
            }
        }, LogFolder.ShortSegment))
        {
            for (var i = 0; i < 300; i++)
            {
                armed = i == 240 || (armed && killed is null);
                await log.AppendAsync(LogFolder.Entry(i));
                if (killed is null)
                    acknowledged.Add($"{i}");
                // On its way from 240 to 300 the log fills a tile, begins files of rows, and publishes a checkpoint.
                if (i is 200 or 290)
                    await log.PublishAsync();
            }
        }
        Assert.NotNull(killed);
        using (killed)
        {
            await using (var log = killed.Open())
            {
                var stored = killed.Stored(log);
                Assert.Equal(acknowledged, stored.Take(acknowledged.Count));
                Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var checkpoint));
                Assert.True(checkpoint.Size >= 201);
                await log.AppendAsync(LogFolder.Entry(1000));
            }
            Assert.Empty(killed.Verify().Faults);
            Assert.Equal("1000", (await killed.StoredAsync())[^1]);
        }
    }

    [Theory]
    [MemberData(nameof(SettlingSteps))]
    public async Task A_kill_while_a_finished_file_of_rows_is_settled_or_merged_loses_nothing(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var folder = new LogFolder();
        using var reached = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        List<string> acknowledged = [];
        LogFolder killed;
        await using (var log = AuditLog.Open(folder.Options(now =>
        {
            if (now != at || reached.IsSet)
                return;
            reached.Set();
            release.Wait();
        }, LogFolder.ShortSegment) with { MostUnsettled = int.MaxValue }, TimeProvider.System))
        {
            try
            {
                for (var i = 0; i < 300 && !reached.IsSet; i++)
                {
                    await log.AppendAsync(LogFolder.Entry(i));
                    acknowledged.Add($"{i}");
                }
                reached.Wait();
                killed = folder.Copy();
            }
            finally
            {
                release.Set();
            }
            Assert.Equal(acknowledged, folder.Stored(log));
        }
        Assert.Empty(folder.Verify().Faults);
        using (killed)
        {
            await using (var log = killed.Open(LogFolder.ShortSegment))
            {
                Assert.Equal(acknowledged, killed.Stored(log));
                for (var i = 1000; i < 1030; i++)
                    await log.AppendAsync(LogFolder.Entry(i));
            }
            Assert.Empty(killed.Verify().Faults);
            Assert.Equal([.. acknowledged, .. Enumerable.Range(1000, 30).Select(i => $"{i}")], await killed.StoredAsync());
        }
    }

    [Fact]
    public async Task A_last_write_torn_anywhere_is_there_whole_or_not_at_all()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open())
        {
            for (var i = 0; i < 3; i++)
                await log.AppendAsync(LogFolder.Entry(i));
            await log.PublishAsync();
        }
        LogFolder? written = null;
        // The kill comes after this commit and before any checkpoint over it.
        await using (var log = folder.Open(now => written ??= now == DurableStep.AfterCommit ? folder.Copy() : null))
            await log.AppendAsync([LogFolder.Entry(3), LogFolder.Entry(4)]);
        using (written)
        {
            var whole = await File.ReadAllBytesAsync(written!.LastRows);
            var (from, to) = (Frames(whole)[^1], whole.AsSpan().LastIndexOfAnyExcept((byte)0) + 1);
            for (var cut = from; cut < to; cut += cut < from + Frame.HeaderLength ? 5 : 97)
                foreach (var tear in new[] { "cut off", "zeros", "zeros before" })
                {
                    using var torn = written.Copy();
                    var bytes = whole.ToArray();
                    if (tear == "zeros before")
                        bytes.AsSpan(from, cut - from + 1).Clear();
                    else
                        bytes.AsSpan(cut).Clear();
                    await File.WriteAllBytesAsync(torn.LastRows, tear == "cut off" ? bytes[..cut] : bytes);
                    await using (var again = torn.Open())
                    {
                        Assert.Equal(["0", "1", "2"], torn.Stored(again));
                        Assert.Equal(3, (await again.AppendAsync(LogFolder.Entry(5))).Index);
                    }
                    Assert.Empty(torn.Verify().Faults);
                    Assert.Equal(["0", "1", "2", "5"], await torn.StoredAsync());
                }
            Assert.Equal(["0", "1", "2", "3", "4"], await written.StoredAsync());
        }
    }

    [Fact]
    public async Task Damage_before_the_last_write_is_no_torn_write_and_cuts_nothing_off()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open())
            for (var i = 0; i < 3; i++)
                await log.AppendAsync(LogFolder.Entry(i));
        var bytes = await File.ReadAllBytesAsync(folder.LastRows);
        bytes[Frames(bytes)[1] + 50] ^= 1;
        await File.WriteAllBytesAsync(folder.LastRows, bytes);
        // Even where no checkpoint has been signed over it.
        Assert.Throws<AuditStoreException>(() => folder.Open());
        Assert.Equal(bytes, await File.ReadAllBytesAsync(folder.LastRows));
        Assert.Contains(folder.Verify().Faults, f => f.Contains("are damaged"));
    }

    [Fact]
    public async Task Tiles_and_subject_index_that_are_lost_are_made_again_from_the_rows()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(LogFolder.ShortSegment))
            for (var i = 0; i < 600; i += 10)
                await log.AppendAsync([.. Enumerable.Range(i, 10).Select(n => LogFolder.Entry(n, (byte)(n % 2)))]);
        var stored = await folder.StoredAsync();
        Assert.Equal(300, stored.Count);
        var receiver = LogFolder.ReceiverOf(1);
        Directory.Delete(folder.File("places"), recursive: true);
        await using (var log = folder.Open(LogFolder.ShortSegment))
            foreach (var index in new[] { 1, 301, 599 })
                Assert.True((await log.ProveAsync(index, receiver))!.IsOf(folder.Verifier));
        Directory.Delete(folder.File("subjects"), recursive: true);
        Directory.Delete(folder.File("tile"), recursive: true);
        Assert.NotEmpty(folder.Verify().Faults);
        await using (var log = folder.Open(LogFolder.ShortSegment))
        {
            Assert.Equal(stored, folder.Stored(log));
            Assert.NotNull(LogPlace.Tile(log, new(0, 1, 256)));
            Assert.True((await log.ProveAsync(301, receiver))!.IsOf(folder.Verifier));
        }
        Assert.Empty(folder.Verify().Faults);
    }

    [Fact]
    public async Task A_disk_that_fills_up_in_the_middle_of_a_write_acknowledges_nothing_until_there_is_room()
    {
        using var folder = new LogFolder();
        var full = false;
        await using var log = folder.Open(now =>
        {
            if (!full || now != DurableStep.BeforeCommit)
                return;
            // What of the frame still found room is there, and the rest is not.
            using var rows = new FileStream(folder.LastRows, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
            rows.Position = Frames(File.ReadAllBytes(folder.LastRows)) is [.., var last] && File.ReadAllBytes(folder.LastRows) is var bytes
                ? last + Frame.LengthAt(bytes.AsSpan(last)) : 0;
            rows.Write("KAf1 half a frame"u8);
            throw new IOException("No space left on device");
        });
        await log.AppendAsync(LogFolder.Entry(1));
        full = true;
        for (var i = 0; i < 3; i++)
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(2)));
        using (var killed = folder.Copy())
            Assert.Equal(["1"], await killed.StoredAsync());
        full = false;
        Assert.Equal(1, (await log.AppendAsync(LogFolder.Entry(3))).Index);
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
        Assert.Equal(["1", "3"], folder.Stored(log));
    }

    [Theory]
    [InlineData("rows"), InlineData(".")]
    public async Task Files_that_are_gone_take_no_entries_though_the_writer_still_has_them_open(string what)
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync(LogFolder.Entry(1));
        var (place, elsewhere) = (Path.GetFullPath(folder.File(what)), Path.Combine(folder.Path, "elsewhere"));
        Directory.Move(place, elsewhere);
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(2)));
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(3)));
        Assert.False(Directory.Exists(place));
        Directory.Move(elsewhere, place);
        Assert.Equal(1, (await log.AppendAsync(LogFolder.Entry(4))).Index);
        Assert.Equal(["1", "4"], folder.Stored(log));
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
    }

    [Fact]
    public async Task A_disk_that_comes_back_without_what_it_had_taken_is_not_continued()
    {
        using var folder = new LogFolder();
        var fail = false;
        await using var log = folder.Open(now => { if (fail && now == DurableStep.BeforeCommit) throw new IOException("The disk is gone."); });
        await log.AppendAsync(LogFolder.Entry(1));
        using var older = folder.Copy();
        await log.AppendAsync(LogFolder.Entry(2));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(3)));
        fail = false;
        var rows = folder.LastRows;
        File.Delete(rows);
        File.Copy(older.LastRows, rows);
        for (var i = 0; i < 2; i++)
            await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(4)));
    }

    [Fact]
    public async Task A_subject_index_that_cannot_be_written_stops_the_log_before_it_fills_the_memory()
    {
        using var folder = new LogFolder();
        var fail = true;
        await using var log = folder.Open(now => { if (fail && now == DurableStep.BeforeRun) throw new IOException("No space left on device"); }, LogFolder.ShortSegment);
        var stored = new List<string>();
        async Task AppendAsync(int i)
        {
            await log.AppendAsync(LogFolder.Entry(i));
            stored.Add($"{i}");
        }
        await Assert.ThrowsAsync<AuditUnavailableException>(async () =>
        {
            for (var i = 0; i < 1000; i++)
                await AppendAsync(i);
        });
        Assert.InRange(Directory.GetFiles(folder.File("rows")).Length, 2, 6);
        Assert.Equal(stored, folder.Stored(log));
        fail = false;
        for (var i = 2000; i < 2100; i++)
            await AppendAsync(i);
        Assert.Equal(stored, folder.Stored(log));
        Assert.Empty(log.Verify().Faults);
    }

    [Fact]
    public async Task A_flush_that_fails_acknowledges_nothing_though_all_was_written()
    {
        using var folder = new LogFolder();
        var fail = false;
        await using var log = folder.Open(now => { if (fail && now == DurableStep.Written) throw new IOException("The disk is gone."); });
        await log.AppendAsync(LogFolder.Entry(1));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync([LogFolder.Entry(2), LogFolder.Entry(3)]));
        fail = false;
        Assert.Equal(1, (await log.AppendAsync(LogFolder.Entry(5))).Index);
        Assert.Equal(["1", "5"], folder.Stored(log));
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
    }

    [Theory]
    [InlineData("log"), InlineData("log checkpoint"), InlineData("log checkpoint rows/000000000000"), InlineData("log checkpoint rows/000000000000 tile rows subjects places")]
    public async Task A_kill_while_the_store_is_made_leaves_one_that_is_made_at_the_next_start(string missing)
    {
        using var folder = new LogFolder();
        await folder.Open().DisposeAsync();
        foreach (var path in missing.Split(' '))
            if (Directory.Exists(folder.File(path)))
                Directory.Delete(folder.File(path), recursive: true);
            else
                File.Delete(folder.File(path));
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(folder.Options() with { Create = false }, TimeProvider.System));
        await using var log = folder.Open();
        await log.AppendAsync(LogFolder.Entry(1));
    }

    [Fact]
    public async Task Rows_that_nothing_says_the_owner_of_are_not_written_over()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open())
            await log.AppendAsync(LogFolder.Entry(1));
        var rows = await File.ReadAllBytesAsync(folder.LastRows);
        File.Delete(folder.File("log"));
        Assert.Throws<AuditStoreException>(() => folder.Open());
        Assert.Equal(rows, await File.ReadAllBytesAsync(folder.LastRows));
    }

    [Fact]
    public void A_store_of_an_earlier_version_is_not_passed_over_for_an_empty_one()
    {
        using var folder = new LogFolder();
        Directory.CreateDirectory(folder.Store);
        File.WriteAllBytes(folder.File("audit.db"), [1]);
        Assert.Throws<AuditStoreException>(() => folder.Open());
    }

    // Where the frames of a file of rows begin.
    private static List<int> Frames(byte[] rows)
    {
        var frames = new List<int>();
        for (var at = 20; Frame.LengthAt(rows.AsSpan(at)) is var length and > 0; at += length)
            frames.Add(at);
        return frames;
    }
}
