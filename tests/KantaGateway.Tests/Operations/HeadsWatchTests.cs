using System.Net;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using KantaGateway.Keys;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Keys;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Operations;

/// <summary>What the key service knows of how far the records are goes forwards only, and a gateway sees when it does not.</summary>
[Collection(OperatorsCollection.Name)]
public sealed class HeadsWatchTests(IdentificationWorld world) : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private readonly RunningKeys _keys = new();
    private readonly LogFolder _audit = new();

    public Task InitializeAsync() => _keys.InitializeAsync();

    public async Task DisposeAsync()
    {
        await _keys.DisposeAsync();
        _audit.Dispose();
    }

    [Fact]
    public async Task Heads_that_were_put_back_or_taken_away_are_noticed_and_recorded_once_and_no_restart_is()
    {
        var heads = Path.Combine(_keys.Options.CustodyFolder, "heads");
        await using var log = AuditLog.Open(_audit.Options(), TimeProvider.System);
        var options = world.Options with { Keys = _keys.Options.Listen, AuditFolder = _audit.Store };
        HeadsWatch Watch() => new(new KeyServiceClient(options.Keys, _keys.Gateway), log, options, TimeProvider.System, NullLogger<HeadsWatch>.Instance);
        var witness = (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Maija), new { })).Witness;
        using var first = Watch();
        Assert.True(await first.LookAsync(default));
        await TellAsync(1);
        var older = await File.ReadAllBytesAsync(heads);
        await TellAsync(2);
        Assert.True(await first.LookAsync(default));
        await RestartAsync(null);
        Assert.True(await first.LookAsync(default));
        await TellAsync(3);
        Assert.True(await first.LookAsync(default));
        var recorded = log.Commits;
        foreach (var (back, put) in new[] { (1, older), (2, []) })
        {
            await RestartAsync(put);
            // More than it had seen is told before it looks: it sees what the start began with.
            for (var sequence = 4; sequence < 9; sequence++)
                await TellAsync(sequence);
            // So does a gateway that has just started.
            using var another = Watch();
            Assert.False(await another.LookAsync(default));
            Assert.True(await first.LookAsync(default));
            Assert.Equal(recorded + back, log.Commits);
        }

        async Task TellAsync(long sequence)
        {
            using var told = await _keys.PostAsync("/v1/heads", null, new { heads = new[] { new { compartment = Maija.Encode(), sequence, digest = new byte[16], witness } } });
            Assert.Equal(HttpStatusCode.NoContent, told.StatusCode);
        }

        async Task RestartAsync(byte[]? put)
        {
            await _keys.StopAsync();
            if (put is { Length: > 0 })
                await File.WriteAllBytesAsync(heads, put);
            else if (put is not null)
                File.Delete(heads);
            await _keys.StartAsync();
        }
    }
}
