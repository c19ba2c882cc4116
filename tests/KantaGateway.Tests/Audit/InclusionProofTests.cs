using KantaGateway.Audit;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Audit;

/// <summary>The proof of an entry, for whom it was received by.</summary>
public sealed class InclusionProofTests
{
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
        await using (var log = folder.Open(LogFolder.ShortSegment))
        {
            for (var i = 0; i < 300; i += 5)
                await log.AppendAsync([.. Enumerable.Range(i, 5).Select(n => LogFolder.Entry(n, (byte)(n % 3)))]);
            await CheckAsync(log);
        }
        await using var again = folder.Open(LogFolder.ShortSegment);
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
