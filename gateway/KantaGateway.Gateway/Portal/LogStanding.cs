namespace KantaGateway.Gateway.Portal;

/// <summary>Somebody outside who vouches for the audit log.</summary>
/// <param name="Trouble">Why it did not when it was asked last; null: it did, or was not asked yet.</param>
internal sealed record WitnessStanding(string Name, string? Trouble);

/// <summary>How far the audit log is, and who vouches for it.</summary>
/// <param name="Entries">Of the newest checkpoint.</param>
/// <param name="IsTaking">Whether it takes entries; if not, nothing is disclosed.</param>
/// <param name="Cosigned">Entries of the largest checkpoint that a quorum has cosigned; null: none yet, or nobody is asked.</param>
/// <param name="MetAt">When a quorum had last cosigned all there was; null: nobody is asked.</param>
internal sealed record LogState(string Origin, long Entries, bool IsTaking, long? Cosigned, DateTimeOffset? MetAt, IReadOnlyList<WitnessStanding> Witnesses)
{
    /// <summary>For how long the oldest entry has waited for the disk; until it is there, what it is about does not leave.</summary>
    public TimeSpan Lag { get; init; }

    /// <summary>For how long there have been entries that no checkpoint covers.</summary>
    public TimeSpan Uncovered { get; init; }

    /// <summary>Whether what is kept has just been reckoned to the signed root of the newest checkpoint, and that one proven to continue what witnesses have cosigned; null: there is no entry yet.</summary>
    public bool? IsProven { get; init; }
}

/// <summary>Tells it to operators; of no entry.</summary>
internal interface ILogStanding
{
    /// <returns>Null: the log cannot be asked now.</returns>
    Task<LogState?> OfAsync();
}
