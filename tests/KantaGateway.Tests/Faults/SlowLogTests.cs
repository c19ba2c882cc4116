using KantaGateway.Audit;
using KantaGateway.Tests.Audit;

namespace KantaGateway.Tests.Faults;

/// <summary>An audit log whose disk takes its time.</summary>
public sealed class SlowLogTests
{
    [Fact]
    public async Task Nobody_is_told_that_an_entry_is_there_before_it_is_durable_and_those_who_come_meanwhile_are_kept_in_their_order()
    {
        using var folder = new LogFolder();
        var (reached, isSlow) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), false);
        using var released = new ManualResetEventSlim();
        await using var log = folder.Open(now =>
        {
            if (!isSlow || now != DurableStep.BeforeCommit)
                return;
            reached.TrySetResult();
            released.Wait();
        });
        await log.AppendAsync(LogFolder.Entry(1));
        isSlow = true;
        var first = log.AppendAsync(LogFolder.Entry(2)).AsTask();
        Task<AuditReceipt>[] others;
        try
        {
            await reached.Task;
            others = [.. Enumerable.Range(3, 20).Select(i => log.AppendAsync(LogFolder.Entry(i)).AsTask())];
            // Whoever were told would hear of it meanwhile.
            for (var i = 0; i < 1_000; i++)
                await Task.Yield();
            Assert.DoesNotContain([first, .. others], appending => appending.IsCompleted);
        }
        finally
        {
            // Its end waits for the disk.
            released.Set();
        }
        Assert.Equal(1, (await first).Index);
        await Task.WhenAll(others);
        Assert.Equal(Enumerable.Range(1, 22).Select(i => $"{i}"), folder.Stored(log));
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
    }
}
