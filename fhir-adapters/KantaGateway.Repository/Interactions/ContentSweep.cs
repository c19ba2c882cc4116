using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Removes the parts of uploads that were cut off by a crash: at the start, and then every <see cref="Interval"/>. Whatever else ends an
/// upload removes its parts by itself.
/// </summary>
sealed class ContentSweep(ICompartmentStore store, TimeProvider time) : BackgroundService
{
    public static readonly TimeSpan Interval = TimeSpan.FromHours(1);

    protected override async Task ExecuteAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
                await SweepAsync(stopping).ConfigureAwait(false);
            while (await timer.WaitForNextTickAsync(stopping).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The host is being disposed: there is nobody to tell.
        }
    }

    private async Task SweepAsync(CancellationToken cancel)
    {
        // Another node's may be under way for as long as an upload may take; clocks differ a little.
        var before = Guid.CreateVersion7(time.GetUtcNow() - 2 * Contents.LongestUpload);
        try
        {
            await store.SweepPartsAsync(before, cancel).ConfigureAwait(false);
        }
        catch (StoreException)
        {
            // They take room and nothing else; the next time tries again.
        }
    }
}
