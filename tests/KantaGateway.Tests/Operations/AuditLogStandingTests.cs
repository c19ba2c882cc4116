using KantaGateway.Audit;
using KantaGateway.Gateway.Operations;
using KantaGateway.Tests.Audit;

namespace KantaGateway.Tests.Operations;

/// <summary>Operators are told whether the log is the one that was signed.</summary>
public sealed class AuditLogStandingTests
{
    [Fact]
    public async Task A_log_is_proven_when_its_tree_leads_to_what_was_signed_and_continues_what_was_cosigned()
    {
        using var folder = new LogFolder();
        await using var log = folder.Open();
        Assert.Equal((0L, (bool?)null), await log.Standing());
        for (var i = 0; i < 300; i++)
            await log.AppendAsync(LogPlace.Entry(i));
        await log.PublishAsync();
        Assert.Equal((300L, (bool?)true), await log.Standing());
        Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var earlier));
        for (var i = 0; i < 7; i++)
            await log.AppendAsync(LogPlace.Entry(i));
        await log.PublishAsync();
        Assert.True(Checkpoint.TryOpen(log.ReadCheckpoint(), log.Verifier, out var newest));
        Assert.True(await AuditLogStanding.IsProvenAsync(log, newest, earlier));
        // A tree that was signed and is not the one that is kept, and one that was cosigned and is not continued, or lies ahead.
        Assert.False(await AuditLogStanding.IsProvenAsync(log, newest with { Root = earlier.Root }, null));
        Assert.False(await AuditLogStanding.IsProvenAsync(log, newest, earlier with { Root = newest.Root }));
        Assert.False(await AuditLogStanding.IsProvenAsync(log, earlier, newest));
    }
}

file static class Told
{
    public static async Task<(long Entries, bool? IsProven)> Standing(this AuditLog log) => await new AuditLogStanding(log).OfAsync() is { } state ? (state.Entries, state.IsProven) : throw new InvalidOperationException("It cannot be told.");
}
