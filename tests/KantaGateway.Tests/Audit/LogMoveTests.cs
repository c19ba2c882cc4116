using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Storage;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Operations;

namespace KantaGateway.Tests.Audit;

/// <summary>A log in files is brought into a database whole, or stays where it was.</summary>
public sealed class LogMoveTests : IAsyncLifetime
{
    private const int Entries = 600;

    private readonly LogFolder _files = new();
    private readonly StringWriter _console = new();
    private LogDatabase _database = null!;
    private string _earlier = "";

    public async Task InitializeAsync()
    {
        _database = await LogDatabase.ForAsync(_files);
        await using var log = _files.Open(LogFolder.ShortSegment);
        OwnerOnly.WriteWhole(_files.File(LogKeyFile.Name), Encoding.ASCII.GetBytes(Convert.ToBase64String(_files.LogKey)));
        await log.AppendAsync([.. Enumerable.Range(0, Entries / 2).Select(i => LogPlace.Entry(i, (byte)(i % 3)))]);
        await log.PublishAsync();
        _earlier = log.ReadCheckpoint();
        for (var i = Entries / 2; i < Entries - 1; i++)
            await log.AppendAsync(LogPlace.Entry(i, (byte)(i % 3)));
        await log.AppendAsync(new AuditEntry([], "{}"u8.ToArray()));
    }

    public Task DisposeAsync()
    {
        _database.Dispose();
        _files.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task Its_entries_receipts_and_checkpoints_are_those_of_the_files_and_it_goes_on()
    {
        var kept = LogStore.ReadCheckpoint(_files.Store);
        var (tile, proof) = (await File.ReadAllBytesAsync(_files.File("tile/0/001")), "");
        string[][] stored;
        await using (var log = _files.Open())
        {
            stored = [.. Enumerable.Range(0, 3).Select(who => _files.Stored(log, (byte)who).ToArray())];
            proof = (await log.ProveAsync(298, LogPlace.ReceiverOf(1)))!.ToString();
        }
        Assert.Equal(0, await MoveAsync());
        Assert.StartsWith($"{Entries} entries are in the database", _console.ToString());
        await using (var log = _database.Open())
        {
            Assert.Equal(stored, Enumerable.Range(0, 3).Select(who => _database.Stored(log, (byte)who).ToArray()));
            Assert.Equal(proof, (await log.ProveAsync(298, LogPlace.ReceiverOf(1)))!.ToString());
            Assert.Equal(tile, LogPlace.Tile(log, new(0, 1, 256)));
            Assert.Equal(kept, await log.ReadNewestCheckpointAsync());
            Assert.Equal(Entries, (await log.AppendAsync(LogPlace.Entry(Entries))).Index);
        }
        foreach (var checkpoint in (string[])[_earlier, kept])
            Assert.Empty(_database.Verify(checkpoint).Faults);
        // The files are a log no longer.
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(_files.Options() with { Create = false }, TimeProvider.System));
        Assert.Equal(2, await MoveAsync());
        Assert.Contains("Not moved: There is no log in files", _console.ToString());
        Assert.Empty(GatewayOptionsCheck.ForMigration(Options, isMove: false).Wrong);
    }

    [Fact]
    public async Task One_that_was_pruned_is_pruned_where_it_comes_to_and_the_rest_goes_there_when_its_time_is_over()
    {
        Pruning pruning;
        var later = DateTimeOffset.UtcNow.AddYears(13);
        await using (var log = _files.Open(LogFolder.ShortSegment))
            pruning = (await log.PruneAsync(Segments.List(_files.Store)[^2], "Over.", later, static _ => default))!;
        Assert.Equal(0, await MoveAsync());
        await using (var log = _database.Open())
        {
            Assert.Equal(pruning.Note, (await log.ReadPruningAsync())!.Note);
            Assert.Null(await log.ProveAsync(1, LogPlace.ReceiverOf(1)));
            Assert.Equal(Enumerable.Range(0, Entries - 1).Where(i => i % 3 == 1 && i >= pruning.Before).Select(i => $"{i}"), _database.Stored(log));
            await log.AppendAsync([.. Enumerable.Range(Entries, 200).Select(i => LogPlace.Entry(i))]);
            await log.PublishAsync();
            // Whatever this machine's clock says, the server keeps what is kept still.
            await Assert.ThrowsAsync<AuditStoreException>(async () => await log.PruneAsync(await log.PrunableAsync(later), "Over.", later, static _ => default));
        }
        var found = _database.Verify(_earlier);
        Assert.Equal([], found.Faults);
        Assert.Equal(0, found.Left);
    }

    [Fact]
    public async Task Where_it_was_killed_before_the_files_were_marked_it_is_done_again_and_nothing_is_there_twice()
    {
        Assert.Equal(0, await MoveAsync());
        File.Move(_files.File("log.moved"), _files.File("log"));
        Assert.Equal(0, await MoveAsync());
        Assert.Equal(Entries, _database.Verify(_earlier).Entries);
        Assert.Empty(_database.Verify(_earlier).Faults);
    }

    [Fact]
    public async Task One_that_a_gateway_has_open_is_not_moved()
    {
        await using var serving = _files.Open();
        await RefusedAsync("in use by another process");
        await serving.AppendAsync(LogPlace.Entry(Entries));
    }

    [Fact]
    public async Task One_that_is_not_whole_is_not_moved()
    {
        // What nobody looks at who opens it.
        var bundle = await File.ReadAllBytesAsync(_files.File("tile/entries/000"));
        bundle[20] ^= 1;
        await File.WriteAllBytesAsync(_files.File("tile/entries/000"), bundle);
        await RefusedAsync("The log in files is not whole: tile entries/0: it does not follow from the entries");
    }

    [Fact]
    public async Task One_is_not_moved_onto_another()
    {
        await _database.MigratedAsync();
        await using (var other = _database.Open())
            await other.AppendAsync(LogPlace.Entry(1));
        Assert.Equal(2, await MoveAsync());
        Assert.Contains("The log of the database has been begun", _console.ToString());
        Assert.True(AuditLog.IsIn(_files.Store));
    }

    private GatewayOptions Options => new()
    {
        PublicAddress = "", Port = 0, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", Identification = null!,
        AuditFolder = _files.Store, AuditOrigin = "localhost/log", AuditPostgres = _database.Database.Service, AuditPostgresOwner = _database.Database.Owner,
    };

    private Task<int> MoveAsync() => MoveAudit.RunAsync(Options, _console);

    private async Task RefusedAsync(string why)
    {
        Assert.Equal(2, await MoveAsync());
        Assert.Contains(why, _console.ToString());
        Assert.True(AuditLog.IsIn(_files.Store));
        Assert.Equal(0L, await _database.AsOwnerAsync("SELECT (SELECT count(*) FROM entry) + (SELECT size FROM log)"));
    }
}
