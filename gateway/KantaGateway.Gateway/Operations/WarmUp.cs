using KantaGateway.Fhir.Validation;

namespace KantaGateway.Gateway.Operations;

/// <summary>The validator that answers <c>$validate</c> has read the specification before the gateway listens: the first question must not wait for it.</summary>
sealed class WarmUp : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => KnownProfiles.PrepareAsync().WaitAsync(cancellationToken);

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
