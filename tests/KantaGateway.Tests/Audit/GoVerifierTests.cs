using System.Diagnostics;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Audit;

/// <summary>A second verifier that has nothing of ours: the Go project's <c>sumdb/tlog</c> and <c>note</c>. It stands in <c>go/main.go</c>.</summary>
public sealed class GoVerifierTests : IClassFixture<GoVerifierTests.Program>, IDisposable
{
    private const int Before = 300, Now = 700;

    private readonly Program _program;
    private readonly TemporaryFolder _folder = new();

    public GoVerifierTests(Program program) => _program = program;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Go_finds_a_log_of_ours_as_it_must_be()
    {
        await WriteAsync();
        Assert.Equal($"verified: {Now} entries, {Before} before", Verify());
    }

    [Fact]
    public async Task Go_finds_a_pruned_log_of_ours_as_it_must_be()
    {
        await WriteAsync(isPruned: true);
        Assert.Equal($"verified: {Now} entries, {Before} before", Verify());
    }

    [Theory]
    [InlineData("old", "old checkpoint")]
    [InlineData("new", "new checkpoint")]
    [InlineData("proof", "receipt")]
    [InlineData("tile/0/001", "consistency")]
    [InlineData("tile/0/002.p/188", "")]
    [InlineData("tile/1/000.p/2", "")]
    [InlineData("tile/entries/001", "entries: they are not what is signed")]
    public async Task Go_refuses_what_was_tampered_with(string file, string why)
    {
        await WriteAsync();
        var content = await File.ReadAllBytesAsync(_folder.File(file));
        // In a checkpoint its size or root, in a proof the leaf.
        content[file is "old" or "new" or "proof" ? 40 : 10] ^= 1;
        await File.WriteAllBytesAsync(_folder.File(file), content);
        var said = Verify();
        Assert.StartsWith("refused: ", said, StringComparison.Ordinal);
        Assert.Contains(why, said, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Go_refuses_a_fork_that_the_log_has_signed()
    {
        var place = await WriteAsync();
        using var signer = new NoteSigner(place.Name, place.Key);
        await File.WriteAllTextAsync(_folder.File("old"), new Checkpoint(place.Name, Before, Merkle.HashLeaf([1])).Sign(signer));
        Assert.StartsWith("refused: consistency: ", Verify(), StringComparison.Ordinal);
    }

    /// <summary>A log of ours, its public face in files, and the receipt of an entry.</summary>
    private async Task<(string Name, byte[] Key)> WriteAsync(bool isPruned = false)
    {
        using var place = new LogFolder();
        await using var log = AuditLog.Open(isPruned ? place.Options(null, LogFolder.ShortSegment) : place.Options(), isPruned ? new FakeTimeProvider(new(2010, 1, 1, 0, 0, 0, TimeSpan.Zero)) : TimeProvider.System);
        await log.AppendAsync([.. Enumerable.Range(0, Before).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        await File.WriteAllTextAsync(_folder.File("old"), log.ReadCheckpoint());
        await log.AppendAsync([.. Enumerable.Range(Before, Now - Before).Select(i => LogPlace.Entry(i))]);
        await log.PublishAsync();
        await File.WriteAllTextAsync(_folder.File("new"), log.ReadCheckpoint());
        await File.WriteAllTextAsync(_folder.File("vkey"), log.Verifier.ToString());
        await File.WriteAllTextAsync(_folder.File("proof"), (await log.ProveAsync(256, LogPlace.ReceiverOf(1)))!.ToString());
        // The first append is a file of its own; once the second is whole it can go.
        if (isPruned)
            Assert.Equal(Before, (await log.PruneAsync(await PrunableAsync(), "Over.", DateTimeOffset.UtcNow, static _ => default))!.Before);
        foreach (var (level, count) in (ReadOnlySpan<(int, int)>)[(TilePath.Entries, Now), (0, Now), (1, Now / 256)])
            for (var from = 0; from < count; from += TilePath.FullWidth)
            {
                var tile = new TilePath(level, from / TilePath.FullWidth, Math.Min(TilePath.FullWidth, count - from));
                var file = _folder.File(tile.ToString());
                Directory.CreateDirectory(Path.GetDirectoryName(file)!);
                File.WriteAllBytes(file, LogPlace.Tile(log, tile));
            }
        return (place.Verifier.Name, place.LogKey);

        async Task<long> PrunableAsync()
        {
            // It is settled beside the writer.
            var prunable = 0L;
            while (prunable == 0)
                prunable = await log.PrunableAsync(DateTimeOffset.UtcNow);
            return prunable;
        }
    }

    private string Verify() => Program.Run(_program.File, _folder.Path);

    /// <summary>Built once.</summary>
    public sealed class Program : IDisposable
    {
        private readonly TemporaryFolder _folder = new();

        public Program()
        {
            File = _folder.File("verify");
            Assert.Equal("", Run("go", "build", "-o", File, Path.Combine(Solution.Folder, "tests", "KantaGateway.Tests", "Audit", "go", "main.go")));
        }

        public string File { get; }

        public void Dispose() => _folder.Dispose();

        public static string Run(string program, params string[] arguments)
        {
            // Debian's packages of Go sources, and nothing from a network.
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, Environment = { ["GO111MODULE"] = "off", ["GOPATH"] = "/usr/share/gocode", ["GOFLAGS"] = "" } };
            using var process = Process.Start(start)!;
            var wrong = process.StandardError.ReadToEndAsync();
            var said = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (said + wrong.Result).Trim();
        }
    }
}
