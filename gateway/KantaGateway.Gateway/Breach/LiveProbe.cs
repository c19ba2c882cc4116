using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>How a round of probes ended.</summary>
public enum ProbeOutcome
{
    /// <summary>What is denied did not come, what is not denied did, and everything stands in the log.</summary>
    Sound,

    /// <summary>
    /// Something could not be reached, was too slow or answered that it cannot now (5xx): the round says nothing, and nothing of it counts. What a gateway cannot do without
    /// is asked for by its readiness itself, and a slow repository that took every gateway out of service would be an outage of the probes' own making.
    /// </summary>
    Unanswered,

    /// <summary>It was answered, without what is not denied: somebody or something keeps the probe from seeing.</summary>
    Blind,

    /// <summary>What is denied came, or something is not in the log.</summary>
    Breached,
}

/// <summary>
/// Asks as another clinic's professional for what synthetic people have denied, by several roads through the public listener. One success, or one
/// answer that is not in the audit log, opens a case and takes the gateway out of service.
/// </summary>
sealed class LiveProbe : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly GatewayOptions _options;
    private readonly ProbeOptions _probes;
    private readonly BreachWatch _watch;
    private readonly AuditLog _log;
    private readonly IPseudonyms _pseudonyms;
    private readonly ILogger<LiveProbe> _logger;
    private readonly ProbeClient _archivist, _reader;
    private readonly SyntheticRecords _records;

    /// <summary>Those of whom nothing was seen and to whom the reader opened another visit since.</summary>
    private readonly HashSet<int> _visited = [];

    public LiveProbe(GatewayOptions options, BreachWatch watch, AuditLog log, IPseudonyms pseudonyms, ISyntheticCitizen citizen, TimeProvider time, ILogger<LiveProbe> logger)
    {
        (_options, _probes, _watch, _log, _pseudonyms, _logger) = (options, options.Breach!.Probes!, watch, log, pseudonyms, logger);
        _archivist = new(_probes.Archivist, options, _probes.AuthorityFile, time);
        _reader = new(_probes.Reader, options, _probes.AuthorityFile, time, _probes);
        _records = new(options.Breach, _archivist, _reader, citizen);
    }

    /// <summary>One round over all synthetic people, which are made first where they are not there.</summary>
    public async Task<ProbeOutcome> AskAsync(CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var outcome = ProbeOutcome.Sound;
            for (var i = 0; i < _probes.IdentityCodes.Count; i++)
                outcome = (ProbeOutcome)Math.Max((int)outcome, (int)await AskAboutAsync(i, cancel).ConfigureAwait(false));
            if (outcome == ProbeOutcome.Sound)
                _watch.RoundWasSound();
            else if (outcome == ProbeOutcome.Blind)
                _watch.RoundWasBlind();
            else if (outcome == ProbeOutcome.Unanswered)
                _watch.RoundWasUnanswered();
            return outcome;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // A fault of the watch itself, that nobody has thought of: it sees nothing until that is over.
            _watch.RoundWasBlind();
            throw;
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose()
    {
        _archivist.Dispose();
        _reader.Dispose();
        _turn.Dispose();
    }

    private async Task<ProbeOutcome> AskAboutAsync(int person, CancellationToken cancel)
    {
        try
        {
            var code = PersonalIdentityCode.TryParse(_probes.IdentityCodes[person], out var parsed) ? parsed : throw new InvalidOperationException("Checked at start.");
            var self = await _pseudonyms.OfAsync(code, cancel).ConfigureAwait(false);
            var record = await _records.OfAsync(person, code, self, cancel).ConfigureAwait(false);
            var token = await _reader.ProfessionalTokenAsync(cancel).ConfigureAwait(false);
            var (outcome, sighted) = await WalkAllAsync(record, self, token, cancel).ConfigureAwait(false);
            if (outcome == ProbeOutcome.Blind || (outcome == ProbeOutcome.Sound && !sighted))
            {
                Log.Blind(_logger, "what is not denied was not shown, or is denied no more");
                // Somebody may have declared something for the person, and may before every round; or the visit have come to its end, which nobody but the reader ends: one more in
                // each time of blindness. It is what is seen after that by which the round is judged, or whoever knows the code could have every round end blind.
                if (!sighted && !_visited.Contains(person))
                {
                    await _records.OpenVisitAsync(record, cancel).ConfigureAwait(false);
                    _visited.Add(person);
                }
                await _records.DeclareAnewAsync(record, self, cancel).ConfigureAwait(false);
                (outcome, sighted) = await WalkAllAsync(record, self, token, cancel).ConfigureAwait(false);
            }
            if (sighted)
                _visited.Remove(person);
            if (outcome == ProbeOutcome.Unanswered && !sighted)
                Log.Unanswered(_logger, "a road was answered that it cannot be gone now");
            return sighted || outcome is ProbeOutcome.Breached or ProbeOutcome.Unanswered ? outcome : ProbeOutcome.Blind;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or JsonException or Fhir.Outcomes.FaultException || (e is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            if (!IsAnswer(e))
            {
                Log.Unanswered(_logger, e.GetType().Name);
                return ProbeOutcome.Unanswered;
            }
            Log.Blind(_logger, e.GetType().Name);
            return ProbeOutcome.Blind;
        }
    }

    /// <summary>Every road once.</summary>
    /// <returns>The worst that any tells, and whether any shows what is not denied.</returns>
    private async Task<(ProbeOutcome, bool Sighted)> WalkAllAsync(SyntheticRecord record, Pseudonym self, string token, CancellationToken cancel)
    {
        var (outcome, sighted) = (ProbeOutcome.Sound, false);
        foreach (var road in RoadsTo(record))
        {
            var (found, seesOpen) = await WalkAsync(road, record, self, token, cancel).ConfigureAwait(false);
            outcome = (ProbeOutcome)Math.Max((int)outcome, (int)found);
            sighted |= seesOpen;
        }
        return (outcome, sighted);
    }

    /// <summary>Whether something was answered, and not that it cannot be now.</summary>
    private static bool IsAnswer(Exception e) => e is JsonException or HttpRequestException { StatusCode: < HttpStatusCode.InternalServerError };

    private sealed record Road(string Name, HttpMethod Method, string Target, string? Body = null, bool Identified = true);

    private static Road[] RoadsTo(SyntheticRecord record)
    {
        Road[] roads =
        [
            new("a read", HttpMethod.Get, "/fhir/Observation/" + record.Denied),
            new("a history", HttpMethod.Get, $"/fhir/Observation/{record.Denied}/_history"),
            new("a search", HttpMethod.Post, "/fhir/Observation/_search", $"patient={record.Patient}&_count=200"),
            new("$everything", HttpMethod.Get, $"/fhir/Patient/{record.Patient}/$everything?_count=200"),
            new("a request without a token", HttpMethod.Get, "/fhir/Observation/" + record.Open, Identified: false),
        ];
        RandomNumberGenerator.Shuffle(roads.AsSpan());
        return roads;
    }

    /// <returns>What the answer tells, and whether it shows what is not denied.</returns>
    private async Task<(ProbeOutcome, bool SeesOpen)> WalkAsync(Road road, SyntheticRecord record, Pseudonym self, string token, CancellationToken cancel)
    {
        var before = await NewestOfAsync(self).ConfigureAwait(false);
        var reply = await _reader.SendAsync(road.Method, road.Target, road.Identified ? token : null, road.Body, form: road.Body is not null, cancel).ConfigureAwait(false);
        var seesOpen = reply.Status < 300 && reply.Body.Contains(record.Open, StringComparison.Ordinal);
        // A read that is refused repeats the id that was asked for.
        if (reply.Status < 400 && (reply.Body.Contains(record.Denied, StringComparison.Ordinal) || road.Target.Contains(record.Denied, StringComparison.Ordinal) || !road.Identified))
        {
            if (road.Identified && await IsOverruledAsync(record, self, cancel).ConfigureAwait(false))
            {
                Log.Overruled(_logger);
                return (ProbeOutcome.Blind, seesOpen);
            }
            await _watch.BreachAsync(BreachKind.DeniedDataShown, $"{road.Name} through the public listener was shown what {(road.Identified ? "a synthetic person has denied" : "needs a token")}.").ConfigureAwait(false);
            return (ProbeOutcome.Breached, seesOpen);
        }
        // Whatever concerns a record is recorded, found or not; nobody else asks about these people.
        if (road.Identified && reply.Status is < 400 or 404 && await NewestOfAsync(self).ConfigureAwait(false) <= before)
            return await UnrecordedAsync("is not among the entries of its person", road, seesOpen).ConfigureAwait(false);
        if (reply.Status < 400 && !await IsProvenAsync(reply.Receipt, token, cancel).ConfigureAwait(false))
            return await UnrecordedAsync("has no receipt that the audit log proves", road, seesOpen).ConfigureAwait(false);
        return (reply.Status is < 400 or 401 or 404 ? ProbeOutcome.Sound : reply.Status >= 500 ? ProbeOutcome.Unanswered : ProbeOutcome.Blind, seesOpen);
    }

    /// <summary>Whether what was shown is not denied any more, by a desk's word; where that cannot be known it is not.</summary>
    private async Task<bool> IsOverruledAsync(SyntheticRecord record, Pseudonym self, CancellationToken cancel)
    {
        try
        {
            return await _records.IsOverruledAsync(record, self, cancel).ConfigureAwait(false);
        }
        catch (Fhir.Outcomes.FaultException)
        {
            return false;
        }
    }

    private async Task<(ProbeOutcome, bool)> UnrecordedAsync(string why, Road road, bool seesOpen)
    {
        await _watch.BreachAsync(BreachKind.Unrecorded, $"The answer to {road.Name} about a synthetic person {why}.").ConfigureAwait(false);
        return (ProbeOutcome.Breached, seesOpen);
    }

    /// <summary>Index of the newest entry about the person; -1: none.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be known now.</exception>
    private async Task<long> NewestOfAsync(Pseudonym self) => await _log.ForSubjectAsync(self.ToArray(), 1).ConfigureAwait(false) is [var newest] ? newest.Index : -1;

    /// <summary>Whether the log proves the receipt, asked for as the clinic would.</summary>
    /// <exception cref="HttpRequestException">It cannot be known now.</exception>
    private async Task<bool> IsProvenAsync(string receipt, string token, CancellationToken cancel)
    {
        if (receipt.Split(";entry=") is not [var index, var entry] || !long.TryParse(index, NumberStyles.None, CultureInfo.InvariantCulture, out var at))
            return false;
        var proof = await _reader.SendAsync(HttpMethod.Get, "/audit/receipts/" + index, token, null, form: false, cancel).ConfigureAwait(false);
        if (proof.Status is not (200 or 404))
            throw new HttpRequestException($"The proof of a receipt was answered {proof.Status}.", null, (HttpStatusCode)proof.Status);
        return proof.Status == 200 && InclusionProof.TryParse(proof.Body, out var read) && read.IsOf(_log.Verifier) && read.Index == at && $"\"{read.EntryId}\"" == entry;
    }
}

/// <summary>Asks a round after every interval, from when the listener answers.</summary>
sealed class LiveProbeService(LiveProbe probe, GatewayOptions options, IHostApplicationLifetime lifetime, TimeProvider time, ILogger<LiveProbe> logger) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.Delay(Timeout.Infinite, lifetime.ApplicationStarted).WaitAsync(stoppingToken).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default).ConfigureAwait(false);
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(options.Breach!.Probes!.IntervalSeconds), time);
            while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
                try
                {
                    await probe.AskAsync(stoppingToken).ConfigureAwait(false);
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    // The next round must come whatever became of this one: who watches may not stop.
                    Log.Failed(logger, e.GetType().Name, e.StackTrace);
                }
        }
        catch (OperationCanceledException)
        {
            // The host stops.
        }
    }
}

static partial class Log
{
    [LoggerMessage(LogLevel.Warning, "A live probe was blind: {Why}.")]
    public static partial void Blind(ILogger logger, string why);

    [LoggerMessage(LogLevel.Warning, "A desk has withdrawn what a synthetic person denied. It is declared anew before the second look.")]
    public static partial void Overruled(ILogger logger);

    [LoggerMessage(LogLevel.Warning, "A live probe was not answered: {Why}.")]
    public static partial void Unanswered(ILogger logger, string why);

    [LoggerMessage(LogLevel.Critical, "{Rounds} rounds of live probes in a row were not answered. It serves if its other parts are ready, and nobody watches it.")]
    public static partial void UnansweredLong(ILogger logger, int rounds);

    [LoggerMessage(LogLevel.Critical, "{Rounds} rounds of live probes in a row saw nothing. This gateway is not ready until one is sound.")]
    public static partial void BlindTooLong(ILogger logger, int rounds);

    [LoggerMessage(LogLevel.Warning, "The live probes see again.")]
    public static partial void Sighted(ILogger logger);

    [LoggerMessage(LogLevel.Error, "A live probe failed: {Type}\n{Stack}")]
    public static partial void Failed(ILogger logger, string type, string? stack);

    [LoggerMessage(LogLevel.Critical, "Breach case {Number} opened: {What} This gateway is not ready until it is started anew and a round of probes is sound.")]
    public static partial void Opened(ILogger logger, long number, string what);
}
