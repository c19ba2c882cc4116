using KantaGateway.Audit;
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
            long? cosigned = witnessing is not null && await witnessing.CosignedAsync() is { } note && Checkpoint.TryOpen(note, log.Verifier, out var known) ? known.Size : null;
            return new(newest.Origin, newest.Size, log.IsTaking, cosigned, witnessing?.MetAt, [.. witnessing?.Policy.Witnesses.Select(one => new WitnessStanding(one.Key.Name, witnessing.TroubleOf(one))) ?? []]);
        }
        catch (AuditUnavailableException)
        {
            return null;
        }
    }
}
