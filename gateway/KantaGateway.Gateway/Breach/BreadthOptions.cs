namespace KantaGateway.Gateway.Breach;

/// <summary>
/// How many different patients may be opened whom no open service event of the requester's organisation justifies, within each window. Whoever opens one more opens none of them for a while; those that are
/// justified are opened as before and count for nothing.
/// </summary>
public sealed record BreadthOptions
{
    /// <summary>For one professional at one organisation, through whichever system. Default: 10 in a minute, 15 in an hour, 19 in a day, 60 in 30 days.</summary>
    public BreadthAllowance Professional { get; init; } = new(10, 15, 19, 60);

    /// <summary>For one system with its own token, for one organisation; the same by default.</summary>
    public BreadthAllowance System { get; init; } = new(10, 15, 19, 60);

    /// <summary>For the systems that read many without a visit, by client id, for each organisation, instead of <see cref="System"/>, <see cref="Client"/> and <see cref="Organisation"/>; their professionals are counted as all are. Default none.</summary>
    public IReadOnlyDictionary<string, BreadthAllowance> Systems { get; init; } = new Dictionary<string, BreadthAllowance>();

    /// <summary>For one client with all its professionals, for each organisation that it serves. Default: 60 in a minute, 200 in an hour, 800 in a day, 6,000 in 30 days.</summary>
    public BreadthAllowance Client { get; init; } = new(60, 200, 800, 6_000);

    /// <summary>For one organisation through all its clients; the same by default.</summary>
    public BreadthAllowance Organisation { get; init; } = new(60, 200, 800, 6_000);

    /// <summary>Hours after a look in which a visit or a booking that anybody of the same unit opens takes it back, 1 to 24; default 12.</summary>
    public int LookUpHours { get; init; } = 12;

    /// <summary>Hours for which whoever has used an allowance up opens only those who are justified, 1 to 720; default 24.</summary>
    public int StepDownHours { get; init; } = 24;
}

/// <summary>Different patients in each window, 1 to 100,000, none fewer than in a shorter one.</summary>
/// <param name="Minute">In any 60 seconds.</param>
/// <param name="Hour">In any 60 minutes.</param>
/// <param name="Day">In any 24 hours.</param>
/// <param name="Month">In any 30 days.</param>
public sealed record BreadthAllowance(int Minute, int Hour, int Day, int Month)
{
    internal IReadOnlyList<(TimeSpan Window, int Most)> Windows { get; } =
        [(TimeSpan.FromMinutes(1), Minute), (TimeSpan.FromHours(1), Hour), (TimeSpan.FromDays(1), Day), (TimeSpan.FromDays(30), Month)];

    internal bool IsSound => Minute is >= 1 && Minute <= Hour && Hour <= Day && Day <= Month && Month <= 100_000;
}
