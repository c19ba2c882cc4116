using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Portal;

/// <summary>Opens, at the start and every minute, the case of each dispute that is stored and has none: the gateway was killed in between, or its disk did not take the case.</summary>
internal sealed partial class DisputeRecovery(Disputes disputes, TimeProvider time, ILogger<DisputeRecovery> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
                try
                {
                    await disputes.RecoverAsync(stoppingToken);
                }
                catch (Exception failure) when (failure is FaultException or IOException or UnauthorizedAccessException)
                {
                    LogNotYet(failure.Message);
                }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    [LoggerMessage(1231, LogLevel.Error, "Whether each disputed access has its breach case could not be looked at, or one could not be opened ({Why}); it is tried again every minute.")]
    private partial void LogNotYet(string why);
}
