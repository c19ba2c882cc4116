using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Repository;

/// <summary>
/// What the first request of its kind would have to wait for, done before the repository listens: tables are read, code is compiled, the
/// validator has read the specification. On a busy machine that takes longer than a request may.
/// </summary>
sealed class WarmUp : IHostedService
{
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var profiles = KnownProfiles.PrepareAsync();
        await Task.Run(WriteOne, cancellationToken).ConfigureAwait(false);
        await profiles.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    private static void WriteOne()
    {
        var (resource, _) = ResourceParser.Parse("""{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/x"},"effectiveDateTime":"2026-01-01"}"""u8.ToArray());
        Indexer.Build(new() { Type = "Observation", ResourceSequence = 1, RowSequence = 1, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch }, resource);
        ResourceValidator.Check(resource!, UnknownProfiles.Refuse, []);
        ResourceParser.Serialize(resource!);
    }
}
