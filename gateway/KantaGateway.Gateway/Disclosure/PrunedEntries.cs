using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What is said of an audit entry that was pruned.</summary>
internal static class PrunedEntries
{
    /// <summary>The answer about an entry; null: it was not pruned. Whose it was nobody knows any more, so everybody is told the same.</summary>
    /// <exception cref="FaultException">The log cannot be asked.</exception>
    public static async ValueTask<Fault?> FaultOfAsync(AuditLog log, long index)
    {
        try
        {
            return await log.ReadPruningAsync() is { } pruning && index < pruning.Before ? new(FaultKind.Deleted, string.Create(CultureInfo.InvariantCulture,
                $"What this entry was about is kept no longer: the content of the first {pruning.Before} entries was taken away on {pruning.At:u}, when their twelve years were over (Act 703/2023 §24). A receipt that somebody has is proven as before. The log's signed note of it is at /audit/log/pruned.")) : null;
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }
}
