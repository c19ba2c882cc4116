using KantaGateway.Audit;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Audit;

public class TamperTests
{
    private const int Entries = 300;

    [Theory]
    [InlineData("tile/0/000", "changed", "tile 0/0: it does not follow")]
    [InlineData("tile/0/000", "cut", "tile 0/0 is missing or cut off")]
    [InlineData("tile/0/000", "gone", "tile 0/0 is missing or cut off")]
    [InlineData("tile/entries/000", "changed", "tile entries/0: it does not follow")]
    [InlineData("tile/entries/000", "gone", "tile entries/0 is missing or cut off")]
    [InlineData("tile/5/000", "new", "tile 5/0: it does not follow")]
    [InlineData("tile/0/a", "new", "tile/0/a is no full tile")]
    [InlineData("checkpoint", "changed", "the stored checkpoint is not signed by this log")]
    public async Task Whatever_is_done_to_the_files_beside_the_rows_is_found(string path, string change, string fault)
    {
        using var folder = await WrittenAsync();
        var file = folder.File(path);
        if (change == "gone")
            File.Delete(file);
        else if (change == "new")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            await File.WriteAllBytesAsync(file, new byte[8192]);
        }
        else
        {
            var content = await File.ReadAllBytesAsync(file);
            content[20] ^= 1;
            await File.WriteAllBytesAsync(file, change == "cut" ? content[..^1] : content);
        }
        Assert.Contains(folder.Verify().Faults, f => f.StartsWith(fault, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_row_that_is_no_row_is_found()
    {
        using var folder = await WrittenAsync();
        // A length that reaches beyond the commit, under a right checksum.
        var rows = await File.ReadAllBytesAsync(folder.LastRows);
        var frame = rows.AsSpan(20, Frame.LengthAt(rows.AsSpan(20)));
        frame[Frame.HeaderLength] = 0x7F;
        Frame.Close(frame, Entries, 0);
        await File.WriteAllBytesAsync(folder.LastRows, rows);
        Assert.Contains("entry 0: its row is malformed", folder.Verify().Faults);
        Assert.Throws<AuditStoreException>(() => folder.Open());
    }

    [Fact]
    public async Task A_subject_index_that_hides_an_entry_is_found()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(LogFolder.ShortSegment))
            for (var i = 0; i < 100; i++)
                await log.AppendAsync(LogFolder.Entry(i));
        Assert.Empty(folder.Verify().Faults);
        var run = RowIndex.ListRuns(folder.Store).MinBy(r => r.From)!;
        var postings = run.All().ToList();
        (run with { Count = run.Count - 1 }).Write(postings[1..]);
        Assert.Equal([$"the subject index from 0 to {run.To - 1} is not what the entries say"], folder.Verify().Faults);
        // All of them, in an order in which a search does not find them.
        run.Write(postings.AsEnumerable().Reverse());
        Assert.Equal([$"the subject index from 0 to {run.To - 1} is not what the entries say"], folder.Verify().Faults);
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public async Task Places_that_lead_elsewhere_are_found(bool cut)
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(LogFolder.ShortSegment))
            for (var i = 0; i < 100; i++)
                await log.AppendAsync(LogFolder.Entry(i));
        var file = folder.File("places/000000000000");
        var places = await File.ReadAllBytesAsync(file);
        await File.WriteAllBytesAsync(file, cut ? places[..^4] : [.. places[4..], .. places[..4]]);
        Assert.Equal(["places of the rows from 0 on: they are not where they say"], folder.Verify().Faults);
    }

    [Fact]
    public async Task An_entry_resealed_with_all_hashes_made_right_is_found_by_the_checkpoint()
    {
        // A thief with the disk but not the log key: drops an entry and recomputes nothing; drops it and everything signed.
        using var folder = await WrittenAsync();
        folder.Rewrite(_ => []);
        Directory.Delete(folder.File("tile"), recursive: true);
        Assert.Contains(folder.Verify().Faults, f => f.Contains("the store 0"));
        Assert.Throws<AuditStoreException>(() => folder.Open());
    }

    private static async Task<LogFolder> WrittenAsync()
    {
        var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([.. Enumerable.Range(0, Entries).Select(i => LogFolder.Entry(i))]);
        return folder;
    }
}
