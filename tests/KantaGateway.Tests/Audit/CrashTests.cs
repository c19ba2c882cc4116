using KantaGateway.Audit;

namespace KantaGateway.Tests.Audit;

public class CrashTests
{
    public static TheoryData<string> Steps => [.. Enum.GetNames<DurableStep>()];

    [Theory]
    [MemberData(nameof(Steps))]
    public async Task A_kill_at_any_step_leaves_a_store_with_every_acknowledged_entry(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var folder = new LogFolder();
        LogFolder? killed = null;
        List<string> acknowledged = [];
        var armed = false;
        await using (var log = folder.Open(now =>
        {
            // A copy taken while the writer stands at the step is what a kill there leaves behind.
            if (armed && now == at)
            {
                armed = false;
                killed = folder.Copy();
            }
        }))
        {
            for (var i = 0; i < 300; i++)
            {
                armed = i == 280 || (armed && killed is null);
                await log.AppendAsync(LogFolder.Entry(i));
                if (killed is null)
                    acknowledged.Add($"{i}");
                if (i is 200 or 290)
                    await log.PublishAsync();
            }
        }
        Assert.NotNull(killed);
        using (killed)
        {
            await using (var log = killed.Open())
            {
                var stored = killed.Stored(log);
                Assert.Equal(acknowledged, stored.Take(acknowledged.Count));
                Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var checkpoint));
                Assert.True(checkpoint.Size >= 201);
                await log.AppendAsync(LogFolder.Entry(1000));
            }
            Assert.Empty(killed.Verify().Faults);
            Assert.Equal("1000", (await killed.StoredAsync())[^1]);
        }
    }

    [Theory]
    [InlineData(nameof(DurableStep.BeforeInsert), false), InlineData(nameof(DurableStep.BeforeCommit), false), InlineData(nameof(DurableStep.AfterCommit), true)]
    public async Task A_write_that_fails_is_not_acknowledged_and_the_log_recovers_by_itself(string step, bool stored)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var folder = new LogFolder();
        var fail = false;
        await using var log = folder.Open(now =>
        {
            // A checkpoint that is due rides along and gives the step its own name.
            var of = now switch { DurableStep.BeforeCheckpoint => DurableStep.BeforeInsert, DurableStep.AfterCheckpoint => DurableStep.AfterCommit, _ => now };
            if (fail && of == at)
                throw new IOException("The disk is gone.");
        });
        await log.AppendAsync(LogFolder.Entry(1));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync([LogFolder.Entry(2), LogFolder.Entry(3)]));
        await Assert.ThrowsAsync<AuditUnavailableException>(async () => await log.AppendAsync(LogFolder.Entry(4)));
        fail = false;
        // Whether the lost reply's entries are there is not known to the callers, but it is all of them or none.
        Assert.Equal(stored ? 4 : 1, (await log.AppendAsync(LogFolder.Entry(5))).Index);
        Assert.Equal(stored ? ["1", "2", "3", "4", "5"] : ["1", "5"], folder.Stored(log));
        await log.PublishAsync();
        Assert.Empty(log.Verify().Faults);
    }

    [Theory]
    [InlineData(nameof(DurableStep.BeforeCheckpoint)), InlineData(nameof(DurableStep.BeforeCommit)), InlineData(nameof(DurableStep.AfterCheckpoint))]
    public async Task A_checkpoint_that_is_not_known_to_be_stored_is_not_shown_until_it_is(string step)
    {
        var at = Enum.Parse<DurableStep>(step);
        using var folder = new LogFolder();
        var fail = false;
        await using var log = folder.Open(now =>
        {
            if (fail && now == at)
                throw new IOException("The disk is gone.");
        });
        await log.AppendAsync(LogFolder.Entry(1));
        await log.PublishAsync();
        var earlier = log.ReadCheckpoint();
        await log.AppendAsync(LogFolder.Entry(2));
        fail = true;
        await Assert.ThrowsAsync<AuditUnavailableException>(log.PublishAsync);
        Assert.Equal(earlier, log.ReadCheckpoint());
        fail = false;
        await log.PublishAsync();
        Assert.NotEqual(earlier, log.ReadCheckpoint());
        Assert.Empty(log.Verify(earlier).Faults);
    }

    [Fact]
    public async Task A_kill_while_the_store_is_made_leaves_one_that_is_made_at_the_next_start()
    {
        using var folder = new LogFolder();
        Directory.CreateDirectory(folder.Options().Folder);
        await File.WriteAllBytesAsync(Path.Combine(folder.Options().Folder, "audit.db"), []);
        Assert.Throws<AuditStoreException>(() => AuditLog.Open(folder.Options() with { Create = false }, TimeProvider.System));
        await using var log = folder.Open();
        await log.AppendAsync(LogFolder.Entry(1));
    }
}
