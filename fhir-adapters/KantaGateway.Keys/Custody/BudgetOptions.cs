namespace KantaGateway.Keys.Custody;

/// <summary>How many different people's keys may be given out within a window of time.</summary>
public sealed record BudgetOptions
{
    /// <summary>Length of the window, seconds, 1 to 2,678,400 (31 days); windows follow each other from the epoch on.</summary>
    public required int Seconds { get; init; }

    /// <summary>People at most of one requester, at least 1.</summary>
    public required int PerRequester { get; init; }

    /// <summary>People at most of all requesters together, at least <see cref="PerRequester"/>.</summary>
    public required int Total { get; init; }
}
