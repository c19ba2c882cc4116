using System.Globalization;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// Notices that what the key service knows of how far the records are was put back: together with the store that hides what was written since, and neither of the two can tell. It counts its changes, and this gateway, on
/// another disk, keeps how many it has seen (<c>heads</c> in the audit folder). A restore from a backup is noticed too, as it should be.
/// </summary>
/// <remarks>Not noticed: what was told in the last <see cref="Interval"/> before the key service was stopped.</remarks>
public sealed partial class HeadsWatch(KeyServiceClient keys, AuditLog log, GatewayOptions options, TimeProvider time, ILogger<HeadsWatch> logger, StoreWatch? watch = null) : BackgroundService
{
    /// <summary>Between two looks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly string _file = Path.Combine(options.AuditFolder, "heads");

    /// <summary>Looks once.</summary>
    /// <returns>False: they were put back, which is recorded.</returns>
    /// <exception cref="FaultException">The key service does not answer.</exception>
    /// <exception cref="AuditUnavailableException">It could not be recorded; the next look does.</exception>
    /// <exception cref="IOException">What was seen cannot be read or kept.</exception>
    public async Task<bool> LookAsync(CancellationToken cancel)
    {
        var now = await keys.HeadChangesAsync(cancel);
        var seen = File.Exists(_file) ? JsonSerializer.Deserialize<HeadChanges>(await File.ReadAllBytesAsync(_file, cancel)) : null;
        // Of the same start it only grows. Another one has read at least what was seen of the one before.
        var isPutBack = seen is not null && (seen.Start == now.Start ? now.Now : now.Before) < seen.Now;
        if (isPutBack)
        {
            LogPutBack(seen!.Now, now.Before);
            watch?.WasChanged();
            await log.AppendAsync(OwnRecord.Of(options, time.GetUtcNow(), string.Create(CultureInfo.InvariantCulture,
                $"What the key service knows of how far the records are was put back: it had changed {seen.Now} times, and has begun with {now.Before}."), JsonSerializer.SerializeToUtf8Bytes(now), AuditOutcome.SeriousFailure), cancel);
        }
        if (now != seen)
            OwnerOnly.WriteWhole(_file, JsonSerializer.SerializeToUtf8Bytes(now), overwrite: true);
        return !isPutBack;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
            {
                try
                {
                    await LookAsync(stoppingToken);
                }
                catch (Exception failure) when (failure is FaultException or AuditUnavailableException or IOException or UnauthorizedAccessException or JsonException)
                {
                    LogNotSeen(failure);
                }
            } while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    [LoggerMessage(1, LogLevel.Critical, "ALARM: what the key service knows of how far the records are was put back: it had changed {Seen} times, and has begun with {Before}. Where nobody has restored it from a backup, the store may have been put back with it: verify-store does not see that, and the heads in the audit log do.")]
    private partial void LogPutBack(long seen, long before);

    [LoggerMessage(2, LogLevel.Warning, "How often what the key service knows has changed could not be looked at, or kept.")]
    private partial void LogNotSeen(Exception failure);
}
