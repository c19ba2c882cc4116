using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// The end of the time of audit entries, which two operators decide (Act 703/2023 §24, Annex: twelve years from the event). An act about it names the log by its key and before which entry it is pruned:
/// <c>audit-log/[key id]/[index]</c>. Thread-safe.
/// </summary>
/// <remarks>Cases and disputes are this gateway's: of a log that several share, each knows its own.</remarks>
internal sealed class AuditRetention(AuditLog log, TimeProvider time, Approvals approvals, BreachCases? cases = null)
{
    /// <summary>What an act says that means as much of the log as may be pruned; with a slash and an index behind it, at most so much.</summary>
    public const string Log = "audit-log";

    private string Prefix => string.Create(CultureInfo.InvariantCulture, $"{Log}/{log.Verifier.KeyId:x8}/");

    /// <summary>The subject of an act, for what somebody asks for. Reads the entries that are to go.</summary>
    /// <returns>Null: it is none. Or why it may not be.</returns>
    /// <exception cref="FaultException">The log cannot be read, or is not what it has to be.</exception>
    public async Task<(string? Subject, DecisionRefusal? Refusal)> SubjectOfAsync(string asked, CancellationToken cancel)
    {
        if ((asked == Log ? long.MaxValue : BeforeIn(asked, Log + "/")) is not { } atMost)
            return (null, null);
        var (before, pruned) = await AskAsync(async () => (await log.PrunableAsync(time.GetUtcNow(), atMost, cancel), (await log.ReadPruningAsync())?.Before ?? 0));
        return (string.Create(CultureInfo.InvariantCulture, $"{Prefix}{before}"), before == pruned ? DecisionRefusal.EntriesKept : IsNeeded(before) ? DecisionRefusal.EntriesNeeded : null);
    }

    /// <summary>Why an act about this log may not be approved or carried out now; null: nothing is against it. Whether the time of all entries is over is seen when they are pruned.</summary>
    public DecisionRefusal? Against(Proposal act) => BeforeIn(act.Subject) is not { } before ? DecisionRefusal.OtherLog : IsNeeded(before) ? DecisionRefusal.EntriesNeeded : null;

    /// <summary>Prunes the log. What stopped on its way goes on.</summary>
    /// <exception cref="FaultException">It may not be at its end: carry it out again. Or the log is not what it has to be.</exception>
    public async Task<DecisionRefusal?> PruneAsync(HttpContext context, Operator who, Proposal act)
    {
        var before = BeforeIn(act.Subject) ?? throw new InvalidOperationException("A pruning that was carried out names this log.");
        var observer = context.RequestServices.GetRequiredService<IOperatorObserver>();
        try
        {
            // What has begun is not broken off by whoever waits for it.
            return await AskAsync(() => log.PruneAsync(before, act.Content, time.GetUtcNow(), pruning => observer.ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture,
                $"Takes away what the first {pruning.Before} entries of the audit log are about, the newest of {pruning.Newest:u}: the time of all is over."), null, SHA256.HashData(Encoding.UTF8.GetBytes(pruning.Note))))) is null ? DecisionRefusal.EntriesKept : null;
        }
        catch (IOException)
        {
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "The audit log may not have been pruned to its end. Carry it out again."));
        }
    }

    /// <summary>An open case to which an entry before the index may belong: a disputed access, or the scope of a breach that somebody has asked for.</summary>
    private bool IsNeeded(long before) => cases is not null
        && (cases.All.Any(one => one.Kind == BreachKind.DisputedAccess && cases.IsOpen(one.Number) && Disputes.EntryOf(one) < before)
            || approvals.Current.Proposals.Values.Any(act => act is { Kind: ApprovalKind.BreachScope, Status: not ProposalStatus.Rejected } && cases.IsOpen(OperatorActs.NumberOf(act.Subject))
                && ScopeCriteria.Read(act.Content) is { } scope && Pruning.IsOver(scope.From - AuditSearch.Disorder, time.GetUtcNow())));

    private long? BeforeIn(string subject) => BeforeIn(subject, Prefix);

    private static long? BeforeIn(string subject, string prefix) =>
        subject.StartsWith(prefix, StringComparison.Ordinal) && long.TryParse(subject.AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var before) && before > 0 ? before : null;

    private static async Task<T> AskAsync<T>(Func<Task<T>> ask)
    {
        try
        {
            return await ask();
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
        catch (AuditStoreException damaged)
        {
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, $"The audit log is not what it has signed, so nothing is taken away: it may be evidence. {damaged.Message}"));
        }
    }
}
