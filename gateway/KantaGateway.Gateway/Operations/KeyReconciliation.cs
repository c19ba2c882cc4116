using System.Globalization;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// Pairs every key that the key service has given out with a grant of a gateway and an entry in the audit log. The key service says which grants have opened a key, each gateway says of its own that the entry is there, and one of which none
/// says so opens a case within a minute. Where a request came to nothing, its entry is made here; what a gateway had under way that was killed is an entry of the next one that looks.
/// </summary>
/// <remarks>What it finds and what not is in the README of <c>Breach</c>.</remarks>
public sealed partial class KeyReconciliation(KeyServiceClient keys, GrantAccounts accounts, DisclosureAudit audit, AuditLog log, GatewayOptions options, TimeProvider time, ILogger<KeyReconciliation> logger, BreachCases? cases = null) : BackgroundService
{
    /// <summary>Between two looks.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    /// <summary>Seconds until a request that came to nothing is entered, a key of this gateway's that nothing accounts for is reported, and one that it does not know: others look every five seconds too.</summary>
    private const double PatienceWithNothing = 10, Patience = 30, PatienceWithOthers = 40;

    /// <summary>What is said of a key, as of the key service's contract.</summary>
    private const int Recorded = StatusCodes.Status200OK, Held = StatusCodes.Status102Processing, Reported = StatusCodes.Status409Conflict, Lost = StatusCodes.Status410Gone;

    /// <summary>Between two notes in a case that is open.</summary>
    private static readonly TimeSpan BetweenNotes = TimeSpan.FromMinutes(1);

    // Of this start alone: what another had under way this one knows nothing of.
    private readonly string _gateway = Guid.NewGuid().ToString("N");
    private readonly SemaphoreSlim _looking = new(1);
    private long? _noted;

    /// <summary>Looks once, says which keys are accounted for, and reports those that nobody accounts for.</summary>
    /// <param name="ends">This gateway ends: what is under way comes to nothing.</param>
    /// <param name="cancel">Stops the look.</param>
    /// <returns>How many keys were reported.</returns>
    /// <exception cref="FaultException">The key service does not answer, or nothing can be recorded; the next look says it.</exception>
    /// <exception cref="IOException">The case could not be written; the next look does.</exception>
    public async Task<int> LookAsync(bool ends, CancellationToken cancel)
    {
        await _looking.WaitAsync(cancel);
        try
        {
            // Before it is asked: what was given out so many seconds ago is not older by this clock.
            var asked = time.GetTimestamp();
            var unpaired = await keys.UnpairedAsync(_gateway, ends: false, cancel);
            var (said, nothing, unaccounted, lost) = (new List<(string Grant, int Status)>(), new List<(UnpairedGrant Key, GrantAccount Account)>(), new List<UnpairedGrant>(), new List<UnpairedGrant>());
            foreach (var one in unpaired)
                if (accounts.Find(one.Grant) is not { } account)
                {
                    if (!one.IsHeld && one.Waited >= PatienceWithOthers)
                        (one.IsLost ? lost : unaccounted).Add(one);
                }
                else
                    switch (account.StandingOf(asked - (long)(one.Seconds * time.TimestampFrequency)))
                    {
                        case GrantStanding.Recorded:
                            said.Add((one.Grant, Recorded));
                            break;
                        case GrantStanding.UnderWay when !ends:
                            said.Add((one.Grant, Held));
                            break;
                        // Its entry may be a moment away: the question is answered, and the request goes on.
                        case GrantStanding.UnderWay or GrantStanding.NothingLeft when ends || one.Waited >= PatienceWithNothing:
                            nothing.Add((one, account));
                            break;
                        case GrantStanding.Unaccounted when one.Waited >= Patience:
                            unaccounted.Add(one);
                            break;
                    }
            if (nothing.Count > 0)
            {
                await audit.CameToNothingAsync([.. nothing.Select(static one => one.Account).Distinct()]);
                said.AddRange(nothing.Select(static one => (one.Key.Grant, Recorded)));
            }
            if (said.Count > 0)
                await keys.PairAsync(_gateway, said, cancel);
            await AccountForAsync(lost, Lost, EnterLostAsync, cancel);
            var reported = await AccountForAsync(unaccounted, Reported, ReportAsync, cancel);
            accounts.Turn();
            return reported;
        }
        finally
        {
            _looking.Release();
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        try
        {
            do
                await TryLookAsync(ends: false, stoppingToken);
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    /// <summary>Says the last word of this gateway: nobody waits for another.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await TryLookAsync(ends: true, cancellationToken);
    }

    public override void Dispose()
    {
        base.Dispose();
        _looking.Dispose();
    }

    private async Task TryLookAsync(bool ends, CancellationToken cancel)
    {
        try
        {
            await LookAsync(ends, cancel);
            if (ends)
                await keys.UnpairedAsync(_gateway, ends: true, cancel);
        }
        catch (Exception failure) when (failure is FaultException or AuditUnavailableException or IOException or UnauthorizedAccessException or JsonException || (ends && failure is OperationCanceledException))
        {
            LogNotSeen(failure);
        }
    }

    /// <summary>Takes what is to be told from other gateways, which look too, tells it, and says so.</summary>
    /// <returns>Of how many it was told.</returns>
    private async Task<int> AccountForAsync(List<UnpairedGrant> about, int status, Func<List<UnpairedGrant>, CancellationToken, Task<bool>> tell, CancellationToken cancel)
    {
        if (about.Count == 0)
            return 0;
        var held = await keys.PairAsync(_gateway, about.Select(static one => (one.Grant, Held)), cancel);
        about.RemoveAll(one => !held.Contains(one.Grant));
        if (about.Count == 0 || !await tell(about, cancel))
            return 0;
        await keys.PairAsync(_gateway, about.Select(one => (one.Grant, status)), cancel);
        return about.Count;
    }

    /// <summary>A key was given out, and its request was not answered: the gateway that knew whose it was has been killed.</summary>
    private async Task<bool> EnterLostAsync(List<UnpairedGrant> lost, CancellationToken cancel)
    {
        var what = string.Create(CultureInfo.InvariantCulture, $"A gateway has stopped without a word, and {lost.Count} records had been opened for requests of which it has not said what came. Nothing leaves before its entry. {WhereOf(lost)}");
        LogLost(what);
        await log.AppendAsync(OwnRecord.Of(options, time.GetUtcNow(), what, JsonSerializer.SerializeToUtf8Bytes(lost), AuditOutcome.MinorFailure), cancel);
        return true;
    }

    /// <returns>False: not now; it stands in the case soon.</returns>
    private async Task<bool> ReportAsync(List<UnpairedGrant> unaccounted, CancellationToken cancel)
    {
        var what = string.Create(CultureInfo.InvariantCulture, $"{unaccounted.Count} keys were given out that pair with no request of a gateway, or with none that stands in the audit log: somebody else than a gateway had them, or an answer left without its entry. {WhereOf(unaccounted)}");
        if (cases is null)
            await log.AppendAsync(OwnRecord.Of(options, time.GetUtcNow(), what, JsonSerializer.SerializeToUtf8Bytes(unaccounted), AuditOutcome.SeriousFailure), cancel);
        else if (cases.All.LastOrDefault(one => one.Kind == BreachKind.UnpairedKey && cases.IsOpen(one.Number)) is not { } open)
            await cases.OpenAsync(BreachKind.UnpairedKey, what);
        // Who goes on for hours does not fill the case.
        else if (_noted is { } last && time.GetElapsedTime(last) < BetweenNotes)
            return false;
        else
            await cases.AddStepAsync(open.Number, BreachStepKind.Note, "gateway", note: what);
        _noted = time.GetTimestamp();
        LogAlarm(what);
        return true;
    }

    // All of them stand in the custody log, with the status that is said of them.
    private static string WhereOf(List<UnpairedGrant> about) => $"In the custody log: {string.Join(", ", about.Take(5).Select(static one => one.Grant[..12]))}{(about.Count > 5 ? ", ..." : "")}.";

    [LoggerMessage(1, LogLevel.Critical, "ALARM: {What}")]
    private partial void LogAlarm(string what);

    [LoggerMessage(2, LogLevel.Warning, "Which keys were given out could not be looked at, or what came of them not be kept.")]
    private partial void LogNotSeen(Exception failure);

    [LoggerMessage(3, LogLevel.Warning, "{What}")]
    private partial void LogLost(string what);
}
