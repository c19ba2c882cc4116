namespace KantaGateway.Gateway.Breach;

/// <summary>What the law asks for within a time.</summary>
public enum BreachClockKind
{
    /// <summary>First word to the supervisor: 24 hours (Act 124/2025 §11).</summary>
    EarlyWarning,

    /// <summary>Notification of the data protection authority: 72 hours (GDPR Art. 33).</summary>
    DataProtectionAuthority,

    /// <summary>Notification of the supervisor: 72 hours (Act 124/2025 §11).</summary>
    IncidentNotification,

    /// <summary>Final report: a month after that notification (Act 124/2025 §11).</summary>
    FinalReport,

    /// <summary>Word to the persons concerned: without undue delay (GDPR Art. 34).</summary>
    Persons,
}

/// <summary>How a clock stands.</summary>
public enum BreachClockState { Running, Overdue, Done, CaseEnded }

/// <summary>A clock of a case.</summary>
/// <param name="Due">UTC.</param>
/// <param name="DoneBy">The line of the journal that stopped it; null while none has.</param>
public sealed record BreachClock(BreachClockKind Kind, DateTimeOffset Due, BreachClockState State, BreachStep? DoneBy)
{
    /// <summary>Whether it was done, and after its time.</summary>
    public bool IsLate => DoneBy?.At > Due;

    /// <summary>Whether somebody still has to do something.</summary>
    public bool IsOpen => State is BreachClockState.Running or BreachClockState.Overdue;
}

/// <summary>The clocks of a case, as they follow from the case and its journal: there is nothing to set.</summary>
public static class BreachClocks
{
    private static readonly (BreachClockKind Kind, BreachStepKind StoppedBy)[] All =
    [
        (BreachClockKind.EarlyWarning, BreachStepKind.EarlyWarningSent),
        (BreachClockKind.DataProtectionAuthority, BreachStepKind.AuthorityNotified),
        (BreachClockKind.IncidentNotification, BreachStepKind.IncidentNotified),
        (BreachClockKind.FinalReport, BreachStepKind.FinalReportSent),
        (BreachClockKind.Persons, BreachStepKind.PersonsNotified),
    ];

    /// <param name="steps">The journal of the case.</param>
    /// <param name="end">How it ended; null: it has not. That two persons found that nothing is left to do stops what nobody has done.</param>
    /// <param name="persons">Within which the persons are told.</param>
    /// <param name="now">UTC.</param>
    public static IReadOnlyList<BreachClock> Of(BreachCase about, IReadOnlyList<BreachStep> steps, BreachCaseEnd? end, TimeSpan persons, DateTimeOffset now) =>
    [
        .. All.Select(clock =>
        {
            // The first counts: to do it again sets nothing back.
            var done = steps.FirstOrDefault(step => step.Kind == clock.StoppedBy);
            var due = clock.Kind switch
            {
                BreachClockKind.EarlyWarning => about.AwareAt.AddHours(24),
                BreachClockKind.FinalReport => (steps.FirstOrDefault(static step => step.Kind == BreachStepKind.IncidentNotified)?.At ?? about.AwareAt.AddHours(72)).AddMonths(1),
                BreachClockKind.Persons => about.AwareAt + persons,
                _ => about.AwareAt.AddHours(72),
            };
            return new BreachClock(clock.Kind, due, done is not null ? BreachClockState.Done : end is not null ? BreachClockState.CaseEnded : now > due ? BreachClockState.Overdue : BreachClockState.Running, done);
        }),
    ];
}
