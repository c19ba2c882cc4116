using KantaGateway.Audit;

namespace KantaGateway.Tests.Audit;

public class TamperTests
{
    private const int Entries = 300;

    [Theory]
    [InlineData("UPDATE entries SET sealed = zeroblob(length(sealed)) WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET time = time + 1 WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET tag = zeroblob(16) WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET tag = NULL WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET enc = zeroblob(32) WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET receiver = zeroblob(16) WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET receiver = NULL WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET sealed = CAST(receiver || sealed AS BLOB), receiver = NULL WHERE idx = 7", "entry 7: its content")]
    [InlineData("UPDATE entries SET leaf = CAST(zeroblob(32) || substr(leaf, 33) AS BLOB) WHERE idx = 7", "fork: the stored checkpoint")]
    [InlineData("UPDATE entries SET leaf = zeroblob(63) WHERE idx = 7", "entry 7: its leaf has a wrong length")]
    [InlineData("DELETE FROM entries WHERE idx = 7", "entries 7 to 7 are missing")]
    [InlineData("DELETE FROM entries WHERE idx = 0", "entries 0 to 0 are missing")]
    [InlineData("DELETE FROM entries WHERE idx >= 290", "the stored checkpoint has 300 entries, the store 290")]
    [InlineData("UPDATE entries SET idx = -1 WHERE idx = 7; UPDATE entries SET idx = 7 WHERE idx = 8; UPDATE entries SET idx = 8 WHERE idx = -1", "fork: the stored checkpoint")]
    [InlineData("UPDATE entries SET idx = -idx WHERE idx > 7; UPDATE entries SET idx = 1 - idx WHERE idx < 0; INSERT INTO entries SELECT 8, time, tag, leaf, enc, sealed, receiver FROM entries WHERE idx = 3", "fork: the stored checkpoint")]
    [InlineData("UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0", "tile 0/0: its hashes do not follow")]
    [InlineData("DELETE FROM tiles WHERE level = 1", "tile 1/0 is missing")]
    [InlineData("INSERT INTO tiles VALUES (5, 0, zeroblob(32))", "tile 5/0: its hashes do not follow")]
    [InlineData("UPDATE log SET checkpoint = replace(checkpoint, '300', '299')", "the stored checkpoint is not signed by this log")]
    public async Task Whatever_is_done_to_the_store_is_found(string sql, string fault)
    {
        using var folder = await WrittenAsync();
        Assert.Empty(folder.Verify().Faults);
        folder.Sql(sql);
        Assert.Contains(folder.Verify().Faults, f => f.StartsWith(fault, StringComparison.Ordinal));
    }

    [Fact]
    public async Task An_entry_resealed_with_all_hashes_made_right_is_found_by_the_checkpoint()
    {
        // A thief with the disk but not the log key: drops an entry and recomputes nothing; drops it and everything signed.
        using var folder = await WrittenAsync();
        folder.Sql("DELETE FROM entries; DELETE FROM tiles");
        Assert.Contains(folder.Verify().Faults, f => f.Contains("the store 0"));
        Assert.Throws<AuditStoreException>(() => folder.Open());
    }

    [Fact]
    public async Task A_log_rolled_back_to_an_older_state_is_found_against_a_checkpoint_kept_elsewhere()
    {
        using var folder = await WrittenAsync();
        using var older = folder.Copy();
        string kept;
        await using (var log = folder.Open())
        {
            await log.AppendAsync(LogFolder.Entry(1000));
            await log.PublishAsync();
            kept = log.ReadCheckpoint();
        }
        Assert.Empty(folder.Verify(kept).Faults);
        Assert.Empty(older.Verify().Faults);
        Assert.Contains(older.Verify(kept).Faults, f => f.StartsWith("rolled back", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_fork_signed_with_the_true_key_is_found_against_a_checkpoint_kept_elsewhere()
    {
        using var folder = await WrittenAsync();
        using var fork = folder.Copy();
        string kept;
        await using (var log = folder.Open())
        {
            await log.AppendAsync(LogFolder.Entry(1000));
            await log.PublishAsync();
            kept = log.ReadCheckpoint();
        }
        await using (var log = fork.Open())
            await log.AppendAsync([LogFolder.Entry(2000), LogFolder.Entry(2001)]);
        Assert.Empty(fork.Verify().Faults);
        Assert.Contains(fork.Verify(kept).Faults, f => f.StartsWith("fork: the earlier checkpoint", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_foreign_checkpoint_is_no_evidence()
    {
        using var folder = await WrittenAsync();
        using var foreign = new LogFolder();
        await using var log = foreign.Open();
        Assert.Contains(folder.Verify(log.ReadCheckpoint()).Faults, f => f.Contains("not signed by this log"));
    }

    private static async Task<LogFolder> WrittenAsync()
    {
        var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([.. Enumerable.Range(0, Entries).Select(i => LogFolder.Entry(i))]);
        return folder;
    }
}
