using KantaGateway.Keys.Backends;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Has everybody in the register named and sealed with the current keys, while requests go on. It begins when it is told of a ceremony or an erasure, and looks by itself at the start and every
/// <see cref="Interval"/>; what a kill or a silent backend cut off goes on where it stopped.
/// </summary>
sealed partial class PeopleWalk(KnownPeople people, TimeProvider time, ILogger<PeopleWalk> logger) : BackgroundService, IAsyncDisposable
{
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly SemaphoreSlim _told = new(0, 1);

    /// <summary>Has it look now.</summary>
    public void Begin()
    {
        people.Named();
        try
        {
            _told.Release();
        }
        catch (SemaphoreFullException)
        {
            // It has been told already.
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                try
                {
                    // One to end what was begun, one for what changed meanwhile; whatever changes from now on is told. Were anything left by then, trying it at once again would not help.
                    for (var turn = 0; turn < 2 && people.HasWork; turn++)
                        await people.WriteAnewAsync(stopping).ConfigureAwait(false);
                }
                catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
                {
                    // Whoever is down comes back; the files say what is left.
                    LogInterrupted(failure.Message);
                }
                catch (Exception failure) when (failure is not OperationCanceledException || !stopping.IsCancellationRequested)
                {
                    // The register serves as it is, and the old file stays.
                    LogFailed(failure);
                }
                using var wait = CancellationTokenSource.CreateLinkedTokenSource(stopping);
                await Task.WhenAny(_told.WaitAsync(wait.Token), Task.Delay(Interval, time, wait.Token)).ConfigureAwait(false);
                await wait.CancelAsync().ConfigureAwait(false);
                stopping.ThrowIfCancellationRequested();
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // What is left is begun at the next start.
        }
    }

    /// <summary>Nothing is written to the folder any more when this returns.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(CancellationToken.None).ConfigureAwait(false);
        Dispose();
    }

    public override void Dispose()
    {
        _told.Dispose();
        base.Dispose();
    }

    [LoggerMessage(1312, LogLevel.Warning, "Writing the register of people anew stopped and goes on by itself: {Failure}")]
    private partial void LogInterrupted(string failure);

    [LoggerMessage(1314, LogLevel.Critical, "Writing the register of people anew failed, and is tried again in a minute.")]
    private partial void LogFailed(Exception failure);
}
