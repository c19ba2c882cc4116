using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Gateway.Operations.Witnesses;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>How the audit log stands, for the operators' page.</summary>
internal sealed class AuditLogStanding(AuditLog log, Witnessing? witnessing = null) : ILogStanding
{
    public async Task<LogState?> OfAsync()
    {
        try
        {
            if (!Checkpoint.TryOpen(await log.ReadNewestCheckpointAsync(), log.Verifier, out var newest))
                return null;
            var cosigned = witnessing is not null && await witnessing.CosignedAsync() is { } note && Checkpoint.TryOpen(note, log.Verifier, out var known) ? known : null;
            return new(newest.Origin, newest.Size, log.IsTaking, cosigned?.Size, witnessing?.MetAt, [.. witnessing?.Policy.Witnesses.Select(one => new WitnessStanding(one.Key.Name, witnessing.TroubleOf(one))) ?? []])
            {
                Lag = log.Lag,
                Uncovered = log.UncoveredFor,
                IsProven = newest.Size == 0 ? null : await IsProvenAsync(log, newest, cosigned),
            };
        }
        catch (AuditUnavailableException)
        {
            return null;
        }
    }

    /// <summary>By the hashes along the edge of the tree: a few reads, however long the log is. Each entry is looked at by <c>verify-log</c>.</summary>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    internal static async Task<bool> IsProvenAsync(AuditLog log, Checkpoint newest, Checkpoint? cosigned)
    {
        var root = await TiledTree.RootAsync(newest.Size, async tile => await log.ReadTileAsync(tile) ?? throw new AuditUnavailableException("A tile of the published tree is not there."));
        return root.AsSpan().SequenceEqual(newest.Root) && (cosigned is not { Size: > 0 } || (cosigned.Size <= newest.Size
            && TiledTree.IsConsistent(cosigned.Size, cosigned.Root, newest.Size, newest.Root, await log.ProveConsistencyAsync(cosigned.Size, newest.Size))));
    }
}
