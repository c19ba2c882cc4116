using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>A breach case with its clocks.</summary>
internal sealed record ShownCase(BreachCase About, IReadOnlyList<BreachClock> Clocks, IReadOnlyList<BreachStep> Steps, BreachCaseEnd? End, DateTimeOffset? AnswerBy)
{
    /// <summary>The next clock that somebody has to stop; null: none runs.</summary>
    public BreachClock? Next => Clocks.Where(static clock => clock.IsOpen).MinBy(static clock => clock.Due);

    public static ShownCase Of(BreachCase about, BreachCases cases, BreachOptions options, DateTimeOffset now)
    {
        var (steps, end) = (cases.StepsOf(about.Number), cases.EndOf(about.Number));
        return new(about, BreachClocks.Of(about, steps, end, TimeSpan.FromHours(options.PersonsWithinHours), now), steps, end, about.Kind == BreachKind.DisputedAccess ? DisputeWatch.DueOf(about, options) : null);
    }
}

/// <summary>The breach cases of this gateway, those that are open first, by the clock that has to be stopped soonest.</summary>
[ForOperators(OperatorRole.DataProtection)]
internal sealed class OperatorCasesModel(BreachCases cases, GatewayOptions options, TimeProvider time) : OperatorPage
{
    public const string Address = "/operator/cases";

    /// <summary>Cases that have ended are named at most, the newest.</summary>
    private const int MostEnded = 100;

    public IReadOnlyList<ShownCase> Open { get; private set; } = [];

    public IReadOnlyList<ShownCase> Ended { get; private set; } = [];

    public void OnGet()
    {
        var now = time.GetUtcNow();
        var all = cases.All.Select(one => ShownCase.Of(one, cases, options.Breach!, now)).ToLookup(static one => one.End is null);
        Open = [.. all[true].OrderBy(static one => one.Next?.Due ?? DateTimeOffset.MaxValue).ThenBy(static one => one.About.Number)];
        Ended = [.. all[false].OrderByDescending(static one => one.About.Number).Take(MostEnded)];
    }
}
