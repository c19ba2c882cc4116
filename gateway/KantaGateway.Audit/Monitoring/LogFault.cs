using KantaGateway.Audit.Witnessing;

namespace KantaGateway.Audit.Monitoring;

/// <summary>What an outsider can find wrong with a log.</summary>
public enum LogFaultKind
{
    /// <summary>The checkpoint is not signed by the log, or the note of what was pruned.</summary>
    Forged,

    /// <summary>Not enough witnesses have cosigned the checkpoint.</summary>
    Unwitnessed,

    /// <summary>The log has signed fewer entries than before.</summary>
    RolledBack,

    /// <summary>The log has signed two histories.</summary>
    Forked,

    /// <summary>An entry is another one than was signed, or seen before.</summary>
    Changed,

    /// <summary>An entry that was signed, or seen before, is not there.</summary>
    Dropped,

    /// <summary>An entry stands between two that were signed, or seen, next to each other.</summary>
    Inserted,

    /// <summary>Entries stand in another order than they were signed, or seen.</summary>
    Reordered,

    /// <summary>What the checkpoint commits to is not given.</summary>
    Withheld,

    /// <summary>Hashes do not follow from the entries, or both not from the signed root.</summary>
    Damaged,
}

/// <param name="What">A plain sentence without its full stop.</param>
public sealed record LogFault(LogFaultKind Kind, string What);

/// <summary>What one check of a log from outside found.</summary>
/// <param name="Head">The checkpoint that the log showed; null where it is not the log's.</param>
/// <param name="Read">Entries read by this check.</param>
/// <param name="Cosigners">Witnesses of the policy that have cosigned it.</param>
/// <param name="Faults">At most <see cref="MaxFaults"/>; empty for a log that is as it must be.</param>
/// <param name="Pruned">What the log says that it keeps no longer; null: nothing.</param>
public sealed record MonitorReport(Checkpoint? Head, long Read, IReadOnlyList<Witness> Cosigners, IReadOnlyList<LogFault> Faults, Pruning? Pruned = null)
{
    public const int MaxFaults = 100;

    public bool IsIntact => Faults.Count == 0;
}
