using System.Threading.Channels;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Opens a case when a repository says that what it keeps is not as it was written, or when what was known of it was put back: somebody with all rights in the database may be at work. One case while one is
/// open, however many records are hit; of the others the repository's log has the correlation ids. Thread-safe.
/// </summary>
public sealed partial class StoreWatch(BreachCases cases, ILogger<StoreWatch> logger) : BackgroundService
{
    private readonly Channel<bool> _seen = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Says that it was seen; waits for nothing.</summary>
    public void WasChanged() => _seen.Writer.TryWrite(true);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await foreach (var _ in _seen.Reader.ReadAllAsync(stoppingToken))
                await OpenAsync();
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    private async Task OpenAsync()
    {
        if (cases.All.Any(one => one.Kind == BreachKind.StoreChanged && cases.IsOpen(one.Number)))
            return;
        try
        {
            var opened = await cases.OpenAsync(BreachKind.StoreChanged, "What the repository keeps is not as it was written, or was put back to an earlier time. Nothing of the records in question is given out. "
                + "If nobody has restored a backup, somebody changes the database: verify-store names the places, and the repository's log the requests that came upon them.");
            LogOpened(opened.Number);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The next request that comes upon it tries again.
            LogNotOpened(failure);
        }
    }

    [LoggerMessage(1, LogLevel.Critical, "ALARM: what the repository keeps is not as it was written. Breach case {Number} is open.")]
    private partial void LogOpened(long number);

    [LoggerMessage(2, LogLevel.Critical, "ALARM: what the repository keeps is not as it was written, and no breach case could be opened.")]
    private partial void LogNotOpened(Exception failure);
}
