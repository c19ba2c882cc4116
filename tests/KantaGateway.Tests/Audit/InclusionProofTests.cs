using KantaGateway.Audit;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

/// <summary>The proof of an entry, for whom it was received by.</summary>
public sealed class InclusionProofTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(256)]
    [InlineData(300)]
    public async Task Every_entry_has_a_proof_that_verifies_offline(int entries)
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        var receipts = await log.AppendAsync([.. Enumerable.Range(0, entries).Select(i => LogFolder.Entry(i))]);
        foreach (var index in (int[])[0, entries / 2, entries - 1])
        {
            var text = (await log.ProveAsync(index, LogFolder.ReceiverOf(1)))!.ToString();
            Assert.True(InclusionProof.TryParse(text, out var proof));
            Assert.Equal(text, proof.ToString());
            Assert.True(proof.IsOf(folder.Verifier));
            Assert.Equal((index, receipts[index].EntryId), ((int)proof.Index, proof.EntryId));
            // The same leaf that anybody finds in the public tiles.
            var bundle = log.ReadTile(new TilePath(TilePath.Entries, index / 256, Math.Min(256, entries - index / 256 * 256)))!;
            Assert.Equal(bundle[(index % 256 * 66 + 2)..((index % 256 + 1) * 66)], proof.Leaf);
        }
    }

    [Fact]
    public async Task An_entry_newer_than_the_last_checkpoint_is_proven_by_a_new_one()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.PublishAsync();
        var receipt = await log.AppendAsync(LogFolder.Entry(1));
        Assert.Equal(receipt.EntryId, (await log.ProveAsync(receipt.Index, LogFolder.ReceiverOf(1)))!.EntryId);
    }

    [Fact]
    public async Task Only_the_receiver_gets_a_proof()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([LogFolder.Entry(0), LogFolder.Entry(1, who: 2), LogFolder.Entry(2) with { Receiver = null }]);
        Assert.NotNull(await log.ProveAsync(0, LogFolder.ReceiverOf(1)));
        Assert.NotNull(await log.ProveAsync(1, LogFolder.ReceiverOf(2)));
        Assert.Null(await log.ProveAsync(0, LogFolder.ReceiverOf(2)));
        Assert.Null(await log.ProveAsync(2, LogFolder.ReceiverOf(1)));
        Assert.Null(await log.ProveAsync(2, ""));
        Assert.Null(await log.ProveAsync(3, LogFolder.ReceiverOf(1)));
        Assert.Null(await log.ProveAsync(-1, LogFolder.ReceiverOf(1)));
    }

    [Fact]
    public async Task What_is_kept_of_a_receiver_joins_no_two_entries()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 20).Select(i => LogFolder.Entry(i))]);
        Assert.Equal(20, Segments.Rows(folder.Store).Select(e => Convert.ToHexString(e.Row.Receiver!)).Distinct().Count());
    }

    [Fact]
    public async Task A_proof_in_which_anything_is_changed_proves_nothing()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        await log.AppendAsync([.. Enumerable.Range(0, 5).Select(i => LogFolder.Entry(i))]);
        var proof = (await log.ProveAsync(2, LogFolder.ReceiverOf(1)))!;
        var other = (await log.ProveAsync(3, LogFolder.ReceiverOf(1)))!;
        using var stranger = new LogFolder();
        Assert.True(proof.IsOf(folder.Verifier));
        Assert.False((proof with { Index = 3 }).IsOf(folder.Verifier));
        Assert.False((proof with { Leaf = other.Leaf }).IsOf(folder.Verifier));
        Assert.False((proof with { Path = other.Path }).IsOf(folder.Verifier));
        Assert.False((proof with { Path = [.. proof.Path.SkipLast(1)] }).IsOf(folder.Verifier));
        Assert.False((proof with { Checkpoint = proof.Checkpoint.Replace("\n5\n", "\n6\n", StringComparison.Ordinal) }).IsOf(folder.Verifier));
        Assert.False(proof.IsOf(stranger.Verifier));
    }

    [Theory]
    [InlineData("c2sp.org/tlog-proof@v1\nindex 0\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v2\nextra LEAF\nindex 0\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v1\nextra LEAF\nindex 01\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v1\nextra LEAF\nindex -1\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v1\nextra AAAA\nindex 0\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v1\nextra LEAF\nindex 0\nAAAA\n\nx")]
    [InlineData("c2sp.org/tlog-proof@v1\nextra LEAF\nindex 0")]
    [InlineData("")]
    public void Rejects_text_of_another_form(string text) =>
        Assert.False(InclusionProof.TryParse(text.Replace("LEAF", Convert.ToBase64String(new byte[64]), StringComparison.Ordinal), out _));

    [Fact]
    public async Task An_entry_in_any_file_of_rows_has_its_proof()
    {
        using var folder = new LogFolder();
        await using (var log = folder.Open(segment: LogFolder.ShortSegment))
        {
            for (var i = 0; i < 300; i += 5)
                await log.AppendAsync([.. Enumerable.Range(i, 5).Select(n => LogFolder.Entry(n, (byte)(n % 3)))]);
            await CheckAsync(log);
        }
        await using var again = folder.Open(segment: LogFolder.ShortSegment);
        await CheckAsync(again);

        async Task CheckAsync(AuditLog log)
        {
            for (var i = 0; i < 300; i += 7)
            {
                Assert.True((await log.ProveAsync(i, LogFolder.ReceiverOf((byte)(i % 3))))!.IsOf(folder.Verifier));
                Assert.Null(await log.ProveAsync(i, LogFolder.ReceiverOf((byte)((i + 1) % 3))));
            }
            Assert.Null(await log.ProveAsync(300, LogFolder.ReceiverOf(0)));
        }
    }
}
