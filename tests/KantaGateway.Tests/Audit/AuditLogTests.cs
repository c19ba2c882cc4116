using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

public class AuditLogTests
{
    [Fact]
    public async Task An_entry_is_in_the_store_when_its_append_has_completed()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        var receipt = await log.AppendAsync(LogFolder.Entry(1));
        Assert.Equal(0, receipt.Index);
        Assert.Equal(32, receipt.EntryId.Length);
        Assert.Equal(["1"], folder.Stored(log));
        using var copy = folder.Copy();
        Assert.Equal(["1"], await copy.StoredAsync());
    }

    [Fact]
    public async Task A_log_goes_on_where_it_was_closed()
    {
        using var folder = new LogFolder();
        for (var round = 0; round < 3; round++)
        {
            await using var log = folder.Open();
            for (var i = 0; i < 150; i++)
                Assert.Equal(round * 150 + i, (await log.AppendAsync(LogFolder.Entry(i))).Index);
        }
        var verification = folder.Verify();
        Assert.Empty(verification.Faults);
        Assert.Equal(450, verification.Entries);
        Assert.Equal(450, verification.Published!.Size);
    }

    [Fact]
    public async Task Many_appends_at_once_share_few_commits()
    {
        // The first commit is held until all others wait: they then go down together.
        using var folder = new LogFolder();
        using var release = new ManualResetEventSlim();
        var first = true;
        await using var log = folder.Open(step =>
        {
            if (step == DurableStep.BeforeInsert && first)
            {
                first = false;
                release.Wait();
            }
        });
        var before = log.Commits;
        var appends = Enumerable.Range(0, 1000).Select(i => log.AppendAsync(LogFolder.Entry(i)).AsTask()).ToList();
        release.Set();
        var receipts = await Task.WhenAll(appends);
        Assert.Equal(Enumerable.Range(0, 1000).Select(i => (long)i), receipts.Select(r => r.Index).Order());
        // One of what was there when the writer first looked, one of the rest, and at most one of a checkpoint.
        Assert.InRange(log.Commits - before, 1, 3);
    }

    [Fact]
    public async Task Several_entries_of_one_append_stand_next_to_each_other()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        var others = Enumerable.Range(0, 50).Select(i => log.AppendAsync(LogFolder.Entry(i, who: 2)).AsTask()).ToList();
        var receipts = await log.AppendAsync([LogFolder.Entry(1), LogFolder.Entry(2), LogFolder.Entry(3)]);
        await Task.WhenAll(others);
        Assert.Equal([receipts[0].Index, receipts[0].Index + 1, receipts[0].Index + 2], receipts.Select(r => r.Index));
        Assert.Equal(["1", "2", "3"], folder.Stored(log));
        Assert.Empty(await log.AppendAsync([]));
    }

    [Fact]
    public async Task A_person_has_their_own_entries_newest_first_and_in_pages()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        for (var i = 0; i < 6; i++)
            await log.AppendAsync(LogFolder.Entry(i, who: (byte)(1 + i % 2)));
        await log.AppendAsync(new AuditEntry([], "{}"u8.ToArray()));
        var page = log.ForSubject(LogFolder.Subject(1), 2);
        Assert.Equal([4L, 2L], page.Select(e => e.Index));
        Assert.Equal([0L], log.ForSubject(LogFolder.Subject(1), 2, page[^1].Index).Select(e => e.Index));
        Assert.Empty(log.ForSubject(LogFolder.Subject(9), 10));
        Assert.Empty(log.ForSubject([], 10));
    }

    [Fact]
    public async Task A_persons_entries_are_found_in_many_files_of_rows_and_in_few_runs()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(segment: LogFolder.ShortSegment))
        {
            for (var i = 0; i < 1500; i += 10)
                await log.AppendAsync([.. Enumerable.Range(i, 10).Select(n => LogFolder.Entry(n, (byte)(n % 7)))]);
            Check(log);
        }
        await using var again = folder.Open(segment: LogFolder.ShortSegment);
        Check(again);
        Assert.True(Directory.GetFiles(folder.File("rows")).Length > 64);
        // Eight of a level become one of the next.
        Assert.True(Directory.GetFiles(folder.File("subjects")).Length < 8 * 3);
        Assert.Empty(again.Verify().Faults);

        void Check(AuditLog log)
        {
            Assert.Equal(Enumerable.Range(0, 1500).Where(i => i % 7 == 3).Select(i => $"{i}"), folder.Stored(log, 3));
            for (var before = 1500L; before > 0;)
            {
                var page = log.ForSubject(LogFolder.Subject(5), 20, before).Select(e => e.Index).ToList();
                Assert.Equal(Enumerable.Range(0, (int)before).Where(i => i % 7 == 5).TakeLast(20).Reverse().Select(i => (long)i), page);
                before = page.Count == 0 ? 0 : page[^1];
            }
        }
    }

    [Fact]
    public async Task Entries_are_found_while_files_of_rows_are_begun_settled_and_merged()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open(segment: LogFolder.ShortSegment);
        var last = -1;
        using var done = new CancellationTokenSource();
        var reader = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                var least = Volatile.Read(ref last);
                var found = log.ForSubject(LogFolder.Subject(1), int.MaxValue).Select(e => e.Index).Reverse().ToList();
                Assert.True(found.Count > least);
                Assert.Equal(Enumerable.Range(0, found.Count).Select(i => (long)i), found);
                Assert.Empty(log.Verify().Faults);
            }
        });
        for (var i = 0; i < 400; i++)
        {
            await log.AppendAsync(LogFolder.Entry(i));
            Volatile.Write(ref last, i);
        }
        await done.CancelAsync();
        await reader;
    }

    [Fact]
    public async Task The_published_tiles_prove_every_published_entry()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 600).Select(i => LogFolder.Entry(i))]);
        await log.PublishAsync();
        Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var checkpoint));
        Assert.Equal(600, checkpoint.Size);

        var tree = new TiledTree(600, path => log.ReadTile(path)!);
        Assert.Equal(checkpoint.Root, tree.Root());
        var bundle = log.ReadTile(new TilePath(TilePath.Entries, 2, 88))!;
        Assert.Equal(88 * 66, bundle.Length);
        var entry = log.ForSubject(LogFolder.Subject(1), 1)[0];
        var leaf = bundle[(87 * 66 + 2)..];
        Assert.Equal(entry.Commitment, leaf[..32]);
        Assert.Equal(checkpoint.Root, TiledTree.RootFromInclusion(599, 600, Merkle.HashLeaf(leaf), tree.ProveInclusion(599)));

        Assert.Null(log.ReadTile(new TilePath(0, 2, 89)));
        Assert.Null(log.ReadTile(new TilePath(2, 0, 1)));
        Assert.Null(log.ReadTile(new TilePath(63, 0, 1)));
    }

    [Fact]
    public async Task Public_tiles_hold_nothing_that_says_whom_or_what_an_entry_is_about()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([LogFolder.Entry(1), LogFolder.Entry(1)]);
        await log.PublishAsync();
        var bundle = log.ReadTile(new TilePath(TilePath.Entries, 0, 2))!;
        Assert.Equal(-1, bundle.AsSpan().IndexOf(LogFolder.Subject(1)));
        Assert.False(bundle.AsSpan(2, 64).SequenceEqual(bundle.AsSpan(68, 64)));
    }

    [Fact]
    public async Task No_file_of_the_store_holds_a_pseudonym_or_an_event_in_the_clear_or_is_readable_by_others()
    {
        using var folder = new LogFolder();
        byte[] subject = Encoding.ASCII.GetBytes("PSEUDONYM!");
        await using (var log = folder.Open())
        {
            await log.AppendAsync(new AuditEntry(subject, "{\"note\":\"a planted text\"}"u8.ToArray()));
            Check();
        }
        Check();

        void Check()
        {
            // Read by copy, which asks nobody for locks.
            using var copy = folder.Copy();
            foreach (var file in Directory.GetFiles(copy.Path, "*", SearchOption.AllDirectories))
            {
                var bytes = File.ReadAllBytes(file);
                Assert.True(bytes.AsSpan().IndexOf(subject) < 0 && bytes.AsSpan().IndexOf("planted"u8) < 0, Path.GetFileName(file));
                if (!OperatingSystem.IsWindows())
                    Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(file) & ~(UnixFileMode.UserRead | UnixFileMode.UserWrite));
            }
        }
    }

    [Fact]
    public async Task A_store_is_open_in_one_place_at_a_time_and_under_its_own_key_and_name()
    {
        using var folder = new LogFolder();
        await using (folder.Open())
            Assert.Throws<AuditStoreException>(() => folder.Open());
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(folder.Options() with { Origin = "localhost/another" }, TimeProvider.System));
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(folder.Options() with { LogKey = new byte[32] }, TimeProvider.System));
        await using var again = folder.Open();
    }

    [Fact]
    public void A_missing_store_is_made_only_where_that_is_allowed()
    {
        using var folder = new LogFolder();
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(folder.Options() with { Create = false }, TimeProvider.System));
        Assert.False(Directory.Exists(folder.Options().Folder));
    }

    [Fact]
    public async Task A_cancelled_append_is_not_acknowledged_and_the_log_goes_on()
    {
        using var folder = new LogFolder();
        using var inCommit = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        await using var log = folder.Open(step =>
        {
            if (step != DurableStep.BeforeCommit)
                return;
            inCommit.Set();
            release.Wait();
        });
        using var cancel = new CancellationTokenSource();
        var append = log.AppendAsync(LogFolder.Entry(1), cancel.Token).AsTask();
        inCommit.Wait();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => append);
        release.Set();
        Assert.Equal(1, (await log.AppendAsync(LogFolder.Entry(2))).Index);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await log.AppendAsync(LogFolder.Entry(3), cancel.Token));
    }

    [Fact]
    public async Task Appends_beyond_what_may_wait_are_refused_at_once()
    {
        using var folder = new LogFolder();
        using var inCommit = new ManualResetEventSlim();
        using var release = new ManualResetEventSlim();
        await using var log = AuditLog.Open(folder.Options(step =>
        {
            if (step != DurableStep.BeforeCommit)
                return;
            inCommit.Set();
            release.Wait();
        }) with { MaxWaiting = 2 }, TimeProvider.System);
        var written = log.AppendAsync(LogFolder.Entry(1)).AsTask();
        inCommit.Wait();
        var waiting = log.AppendAsync([LogFolder.Entry(2), LogFolder.Entry(3)]).AsTask();
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(4)));
        release.Set();
        await Task.WhenAll(written, waiting);
    }

    [Fact]
    public async Task A_closed_log_refuses()
    {
        using var folder = new LogFolder();
        var log = folder.Open();
        await log.DisposeAsync();
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(1)));
    }
}
