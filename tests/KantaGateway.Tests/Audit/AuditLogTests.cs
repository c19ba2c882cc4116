using System.Text;
using KantaGateway.Audit;

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
    public async Task A_persons_entries_are_found_in_many_files_of_rows_and_in_few_runs()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(LogFolder.ShortSegment))
        {
            for (var i = 0; i < 1500; i += 10)
                await log.AppendAsync([.. Enumerable.Range(i, 10).Select(n => LogFolder.Entry(n, (byte)(n % 7)))]);
            Check(log);
        }
        await using var again = folder.Open(LogFolder.ShortSegment);
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
                var page = LogPlace.Entries(log, 5, 20, before).Select(e => e.Index).ToList();
                Assert.Equal(Enumerable.Range(0, (int)before).Where(i => i % 7 == 5).TakeLast(20).Reverse().Select(i => (long)i), page);
                before = page.Count == 0 ? 0 : page[^1];
            }
        }
    }

    [Fact]
    public async Task Entries_are_found_while_files_of_rows_are_begun_settled_and_merged()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open(LogFolder.ShortSegment);
        var last = -1;
        using var done = new CancellationTokenSource();
        var reader = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                var least = Volatile.Read(ref last);
                var found = LogPlace.Entries(log).Select(e => e.Index).Reverse().ToList();
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
}
