using System.Collections.Concurrent;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Contains somebody or something by the machine's own word: in force on every gateway with the return, as an operator's word is, with a breach case, and ended by two
/// persons alike (<c>containment-end</c>).
/// </summary>
/// <remarks>
/// It is told at once, for two minutes, and breaks off what goes on; beside that the case is opened and the decision kept with its number. Whatever of the three fails is tried
/// again every second until it is done, and what was told is told anew meanwhile. Thread-safe.
/// </remarks>
sealed class Containing(BreachCases cases, Approvals approvals, Revocations revocations, BreachMetrics metrics, TimeProvider time, ILogger<Containing> logger) : BackgroundService
{
    private static readonly TimeSpan TryAgain = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Held> _held = new(StringComparer.Ordinal);

    private sealed class Held(ContainedSubject subject, BreachKind kind, string what)
    {
        public readonly SemaphoreSlim Turn = new(1);
        public readonly ContainedSubject Subject = subject;
        public readonly BreachKind Kind = kind;
        public readonly string What = what;
        public DateTimeOffset ToldUntil;
        public long? Number;
        public bool IsBegun, IsKept, HasNumber;

        public bool IsDone => IsKept && HasNumber;
    }

    /// <param name="what">Why: a plain sentence without personal data, for the case and for who ends it.</param>
    public async Task ContainAsync(ContainedSubject subject, BreachKind kind, string what)
    {
        // In this order: what is done between the two is contained, and was not ended.
        var wasDone = _held.TryGetValue(subject.Text, out var held) && held.IsDone;
        var isContained = IsContained(subject);
        if (held is null && isContained)
            return;
        // Two persons have ended it since: this is another time.
        if (wasDone && !isContained)
            _held.TryRemove(KeyValuePair.Create(subject.Text, held!));
        held = _held.GetOrAdd(subject.Text, static (_, its) => new(its.subject, its.kind, its.what), (subject, kind, what));
        // In force by the decision, and somebody tells it already: nothing to wait for.
        if (!await held.Turn.WaitAsync(isContained ? TimeSpan.Zero : Timeout.InfiniteTimeSpan).ConfigureAwait(false))
            return;
        try
        {
            // Of several that come at once one has done it, and may have gone from the list before this one came to it.
            if (!held.IsBegun && IsContained(subject))
                _held.TryRemove(KeyValuePair.Create(subject.Text, held));
            else if (!held.IsDone || !IsTold(held))
                await TryAsync(held).ConfigureAwait(false);
        }
        finally
        {
            held.Turn.Release();
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TryAgain, time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
                await RetryAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    /// <summary>Tries once more what has failed.</summary>
    internal async Task RetryAsync()
    {
        foreach (var held in _held.Values)
        {
            if (!await held.Turn.WaitAsync(TimeSpan.Zero).ConfigureAwait(false))
                continue;
            try
            {
                // What two persons have ended is told no more.
                if (held.IsDone && !IsContained(held.Subject))
                    _held.TryRemove(KeyValuePair.Create(held.Subject.Text, held));
                else if (!held.IsDone || !IsTold(held))
                    await TryAsync(held).ConfigureAwait(false);
            }
            finally
            {
                held.Turn.Release();
            }
        }
    }

    private bool IsTold(Held held) => held.ToldUntil > time.GetUtcNow();

    private bool IsContained(ContainedSubject subject) =>
        approvals.Current.Contained.GetValueOrDefault(subject.Text) is { Case: not null } known && (known.By.IsMachine || known.Before.Exists(static by => by.IsMachine));

    private async Task TryAsync(Held held)
    {
        held.IsBegun = true;
        // A gateway that has died is waited for until its lease has run out; nothing else waits for that.
        var telling = TellAsync(held);
        if (held.Number is null)
            try
            {
                held.Number = (await cases.OpenAsync(held.Kind, held.What).ConfigureAwait(false)).Number;
                BreachLog.OpenedFor(logger, held.Number.Value, held.What);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                BreachLog.NoCase(logger, failure.GetType().Name);
            }
        if (!held.IsKept || (held.Number is not null && !held.HasNumber))
            try
            {
                await approvals.ContainAsync(held.Subject, held.What, held.Number, CancellationToken.None).ConfigureAwait(false);
                if (!held.IsKept)
                    metrics.Contained();
                (held.IsKept, held.HasNumber) = (true, held.Number is not null);
            }
            catch (FaultException)
            {
                BreachLog.NotKept(logger);
            }
        await telling.ConfigureAwait(false);
        if (held.IsDone && IsTold(held))
            _held.TryRemove(KeyValuePair.Create(held.Subject.Text, held));
    }

    private async Task TellAsync(Held held)
    {
        var now = time.GetUtcNow();
        if (held.ToldUntil - now > Approvals.Told / 2)
            return;
        try
        {
            await revocations.RevokeAsync(RevokedName.Contained(held.Subject), now + Approvals.Told).ConfigureAwait(false);
            held.ToldUntil = now + Approvals.Told;
        }
        catch (SharedStateException)
        {
            BreachLog.NotTold(logger);
        }
    }
}

static partial class BreachLog
{
    [LoggerMessage(1300, LogLevel.Critical, "Breach case {Number} opened: {What}")]
    public static partial void OpenedFor(ILogger logger, long number, string what);

    [LoggerMessage(1301, LogLevel.Critical, "A breach case could not be opened ({Type}); it is tried again every second.")]
    public static partial void NoCase(ILogger logger, string type);

    [LoggerMessage(1302, LogLevel.Critical, "The machine's containment could not be kept; it is in force by what was told, and tried again every second.")]
    public static partial void NotKept(ILogger logger);

    [LoggerMessage(1303, LogLevel.Error, "The machine's containment may not be in force on every gateway yet; it is told again.")]
    public static partial void NotTold(ILogger logger);

    [LoggerMessage(1305, LogLevel.Warning, "The accesses of a requester are unusual: score {Score} within a day. See /operator/unusual-access.")]
    public static partial void Unusual(ILogger logger, int score);

    [LoggerMessage(1306, LogLevel.Warning, "Breach case {Number}, which is open: {What}")]
    public static partial void StillOpen(ILogger logger, long number, string what);

    [LoggerMessage(1304, LogLevel.Critical, "The list of watched people cannot be read; the one from before stays in force. {Problem}")]
    public static partial void NoPeople(ILogger logger, string problem);
}
