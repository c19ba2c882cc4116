using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Gateway.Breach;

namespace KantaGateway.Gateway.Operations.Witnesses;

/// <summary>
/// Has others vouch for the audit log: asks every witness of the policy to cosign the newest checkpoint, and keeps it with the cosignatures once there is a quorum. Any gateway that shares the log may ask, several at once too: a witness takes one after
/// the other, and whose checkpoint is larger wins. Thread-safe.
/// </summary>
/// <remarks>A witness that has cosigned what this log does not have, or what it contradicts, proves that the log was put back or rewritten: a case is opened.</remarks>
public sealed partial class Witnessing : BackgroundService
{
    /// <summary>How often one round asks a witness: at the size that was thought, at the one that it said, and with what another gateway has published meanwhile.</summary>
    private const int MostQuestions = 4;

    /// <summary>How long the others are waited for once there is a quorum: their cosignatures are kept with it.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromMilliseconds(250);

    private static readonly Meter Meter = new("KantaGateway.Witnesses");
    private static readonly Counter<long> Answers = Meter.CreateCounter<long>("kanta.witness.answers", description: "Answers of witnesses, by witness and kind.");

    private readonly WitnessOptions _options;
    private readonly GatewayOptions _gateway;
    private readonly AuditLog _log;
    private readonly BreachCases? _cases;
    private readonly TimeProvider _time;
    private readonly ILogger<Witnessing> _logger;
    private readonly WitnessClient _client;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly ConcurrentDictionary<string, long> _sizes = new();
    private readonly ConcurrentDictionary<string, string> _troubles = new();
    private readonly Dictionary<Witness, Task<Given?>> _asked = [];
    private readonly CancellationTokenSource _end = new();
    private readonly HashSet<BreachKind> _opened = [];
    private DateTimeOffset _metAt;

    /// <exception cref="InvalidDataException">The policy file is not one, or a witness has no address.</exception>
    public Witnessing(GatewayOptions options, AuditLog log, TimeProvider time, ILogger<Witnessing> logger, BreachCases? cases = null)
    {
        (_gateway, _options, _log, _cases, _time, _logger) = (options, options.Witnesses!, log, cases, time, logger);
        Policy = PolicyIn(_options.PolicyFile);
        _client = new WitnessClient(_options);
        _metAt = time.GetUtcNow();
    }

    /// <summary>Whose cosignatures make a checkpoint count.</summary>
    public WitnessPolicy Policy { get; }

    /// <summary>When a quorum had last cosigned the newest checkpoint, UTC; when this gateway began, where none has since.</summary>
    public DateTimeOffset MetAt => _metAt;

    /// <summary>Why a witness has not cosigned when it was asked last; null: it has, or was not asked yet.</summary>
    public string? TroubleOf(Witness witness) => _troubles.GetValueOrDefault(witness.Name);

    /// <summary>Reads a policy with an address for each witness.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    internal static WitnessPolicy PolicyIn(string file)
    {
        if (!WitnessPolicy.TryParse(File.ReadAllBytes(file), out var policy, out var problem))
            throw new InvalidDataException(problem);
        if (policy.QuorumName == "none")
            throw new InvalidDataException("the quorum is none: nobody would vouch for the log");
        return policy.Witnesses.All(w => w.Address is { } at && (at.Scheme == Uri.UriSchemeHttps || at.IsLoopback)) ? policy : throw new InvalidDataException("each witness has an address: https, or http on a loopback address");
    }

    /// <summary>The largest checkpoint that a quorum has cosigned; null: none yet.</summary>
    /// <exception cref="AuditUnavailableException">The log's store cannot be asked.</exception>
    public async ValueTask<string?> CosignedAsync() => await _log.ReadCosignedCheckpointAsync().ConfigureAwait(false) is { } note && Policy.IsMetBy(note) ? note : null;

    /// <summary>Asks for the newest checkpoint, unless a quorum has cosigned it.</summary>
    /// <returns>Whether one has, by now.</returns>
    /// <exception cref="AuditUnavailableException">The log's store cannot be asked, or does not take it; the next round tries again.</exception>
    public Task<bool> AskAsync(CancellationToken cancel) => AskAsync(long.MaxValue, cancel);

    /// <summary>The same, unless a quorum has cosigned a checkpoint of some size: whoever waits for one entry does not wait for a round of their own.</summary>
    /// <param name="wanted">Entries that are to be covered; more than there are: all.</param>
    /// <param name="cancel">Ends the wait for one's turn; a round goes on to its end.</param>
    /// <returns>Whether one has, by now.</returns>
    /// <exception cref="AuditUnavailableException">The log's store cannot be asked, or does not take it; the next round tries again.</exception>
    /// <exception cref="AuditStoreException">The log's newest checkpoint is not its own.</exception>
    public async Task<bool> AskAsync(long wanted, CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var newest = await NewestAsync().ConfigureAwait(false);
            var known = await CosignedAsync().ConfigureAwait(false) is { } kept && Checkpoint.TryOpen(kept, _log.Verifier, out var cosigned) ? cosigned : null;
            if (known?.Size == newest.Size && !known.Root.AsSpan().SequenceEqual(newest.Root))
            {
                await OpenAsync(BreachKind.LogForked, string.Create(CultureInfo.InvariantCulture, $"The audit log has another root of its {newest.Size} entries than the one of that size that a quorum of witnesses has cosigned: it was rewritten, or signed elsewhere too.")).ConfigureAwait(false);
                await MissedAsync().ConfigureAwait(false);
                return false;
            }
            if (known?.Size >= newest.Size)
                return Met();
            // Another's round has covered it meanwhile.
            if (known?.Size >= wanted)
                return true;
            foreach (var note in Enough(await QuorumAsync(newest, known?.Size ?? 0).ConfigureAwait(false)))
            {
                // A larger one of another's stays, if it is one.
                if (await _log.KeepCosignedAsync(note).ConfigureAwait(false) || await CosignedAsync().ConfigureAwait(false) is not null)
                    return Met();
            }
            await MissedAsync().ConfigureAwait(false);
            return false;
        }
        finally
        {
            _turn.Release();
        }
    }

    public override void Dispose()
    {
        base.Dispose();
        // The host may do this twice.
        if (!_end.IsCancellationRequested)
            _end.Cancel();
        _client.Dispose();
        _end.Dispose();
        // The turn is left alone: a round that outlasts the stop, for its store does not answer, gives it back.
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var ending = stoppingToken.Register(_end.Cancel);
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(_options.IntervalSeconds), _time);
        try
        {
            do
            {
                try
                {
                    await AskAsync(stoppingToken).ConfigureAwait(false);
                }
                catch (Exception failure) when (failure is AuditUnavailableException or AuditStoreException or IOException or UnauthorizedAccessException)
                {
                    LogNotAsked(failure);
                    await StillMissedAsync().ConfigureAwait(false);
                }
            } while (await timer.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    /// <summary>
    /// Asks all witnesses, until a quorum has answered and the others have had <see cref="Grace"/>, or all have. Whoever is later goes on being asked, for it may know of a fork, and is asked nothing else meanwhile. In turn.
    /// </summary>
    private async Task<IReadOnlyList<Given>> QuorumAsync(Published newest, long guess)
    {
        foreach (var witness in Policy.Witnesses)
            if (!_asked.TryGetValue(witness, out var before) || before.IsCompleted)
                _asked[witness] = AskAsync(witness, newest, guess, _end.Token);
        var (all, done, waiting) = (Task.WhenAll(_asked.Values), new List<Given>(), new List<Task>(_asked.Values));
        Task? grace = null;
        for (var left = _asked.Count; left > 0; left--)
        {
            if (await Task.WhenAny(waiting).ConfigureAwait(false) is not Task<Given?> one)
                break;
            waiting.Remove(one);
            if (await one.ConfigureAwait(false) is { } given)
                done.Add(given);
            if (grace is null && Enough(done.Where(given => given.Of.Size >= newest.Size)).Any())
                waiting.Add(grace = Task.Delay(Grace, _time, _end.Token));
        }
        // What goes wrong with who is late is nobody's to wait for.
        _ = all.ContinueWith(late => LogNotAsked(late.Exception!), CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        return done;
    }

    /// <summary>The notes that a quorum has cosigned, the largest first: another gateway may have published meanwhile.</summary>
    private IEnumerable<string> Enough(IEnumerable<Given> lines) => lines.GroupBy(given => (given.Of.Size, given.Of.Note)).OrderByDescending(group => group.Key.Size)
        .Select(group => group.Key.Note + string.Concat(group.Select(static given => given.Line + "\n").Order(StringComparer.Ordinal))).Where(Policy.IsMetBy);

    /// <summary>Asks one witness, until it has cosigned or there is nothing more to ask.</summary>
    private async Task<Given?> AskAsync(Witness witness, Published published, long guess, CancellationToken cancel)
    {
        var at = Math.Min(_sizes.GetValueOrDefault(witness.Name, guess), published.Size);
        for (var asked = 0; asked < MostQuestions; asked++)
        {
            var proof = at == 0 || at == published.Size ? [] : await _log.ProveConsistencyAsync(at, published.Size).ConfigureAwait(false);
            var answer = await _client.AddCheckpointAsync(witness, at, proof, published.Note, cancel).ConfigureAwait(false);
            Answers.Add(1, new("witness", witness.Key.Name), new("kind", answer.GetType().Name));
            switch (answer)
            {
                case WitnessAnswer.Cosigned(var lines) when LineOf(witness, published, lines) is { } line:
                    _sizes[witness.Name] = published.Size;
                    if (_troubles.TryRemove(witness.Name, out _))
                        LogBack(witness.Key.Name);
                    return new(published, line);
                case WitnessAnswer.Cosigned:
                    Trouble(witness, "its cosignature does not verify");
                    return null;
                case WitnessAnswer.At(var size) when size > published.Size:
                    // Another gateway was quicker, or the log has lost what it had published.
                    published = await NewestAsync().ConfigureAwait(false);
                    if (size > published.Size)
                    {
                        await OpenAsync(BreachKind.LogForked, string.Create(CultureInfo.InvariantCulture, $"The audit log has {published.Size} entries, and the witness {witness.Key.Name} says that it has cosigned {size} of it: if it has, the log was put back, or signed elsewhere too.")).ConfigureAwait(false);
                        return null;
                    }
                    at = size;
                    break;
                case WitnessAnswer.At(var size) when size != at:
                    at = size;
                    break;
                case WitnessAnswer.At or WitnessAnswer.Conflict when at == published.Size && at > 0:
                    await OpenAsync(BreachKind.LogForked, string.Create(CultureInfo.InvariantCulture, $"The witness {witness.Key.Name} says that it has cosigned another root of the audit log's {at} entries: if it has, the log was rewritten, or signed elsewhere too.")).ConfigureAwait(false);
                    return null;
                case WitnessAnswer.Conflict:
                    Trouble(witness, "it answered 409 without its size");
                    return null;
                case WitnessAnswer.Inconsistent:
                    await OpenAsync(BreachKind.LogForked, string.Create(CultureInfo.InvariantCulture, $"The audit log's {published.Size} entries do not go on from the {at} that the witness {witness.Key.Name} says that it has cosigned: if it has, the log was rewritten, or signed elsewhere too.")).ConfigureAwait(false);
                    return null;
                case WitnessAnswer.Stranger(var status):
                    Trouble(witness, $"it does not know this log or its key ({status})");
                    return null;
                case WitnessAnswer.Silent(var why):
                    Trouble(witness, why);
                    return null;
                default:
                    Trouble(witness, "it contradicts itself about its size");
                    return null;
            }
        }
        Trouble(witness, "it is always at another size");
        return null;
    }

    /// <summary>The witness's own line, if it verifies; of keys that the policy does not have nothing is taken.</summary>
    private string? LineOf(Witness witness, Published published, string answer)
    {
        foreach (var line in answer.Split('\n', StringSplitOptions.RemoveEmptyEntries))
            if (Policy.CosignersOf(published.Note + line + "\n") is [var cosigner] && cosigner == witness)
                return line;
        return null;
    }

    private async ValueTask<Published> NewestAsync()
    {
        var note = await _log.ReadNewestCheckpointAsync().ConfigureAwait(false);
        return Checkpoint.TryOpen(note, _log.Verifier, out var checkpoint) ? new(checkpoint.Size, checkpoint.Root, note) : throw new AuditStoreException("The log's checkpoint is not its own.");
    }

    private bool Met()
    {
        _metAt = _time.GetUtcNow();
        lock (_opened)
            _opened.Remove(BreachKind.Unwitnessed);
        return true;
    }

    private async Task MissedAsync()
    {
        if (_time.GetUtcNow() - _metAt >= TimeSpan.FromSeconds(_options.AlarmSeconds))
            await OpenAsync(BreachKind.Unwitnessed, string.Create(CultureInfo.InvariantCulture, $"No quorum of witnesses has cosigned the audit log for {_options.AlarmSeconds} seconds or more: nobody outside vouches for what was recorded since.")).ConfigureAwait(false);
    }

    /// <summary>The same where the log itself did not answer: that is no reason to keep quiet.</summary>
    private async Task StillMissedAsync()
    {
        try
        {
            await MissedAsync().ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is AuditUnavailableException or AuditStoreException or IOException or UnauthorizedAccessException)
        {
            LogNotAsked(failure);
        }
    }

    /// <summary>Raises the alarm and opens a case, one for each kind while it lasts; a case that is open from before is not opened again.</summary>
    private async Task OpenAsync(BreachKind kind, string what)
    {
        lock (_opened)
            if (!_opened.Add(kind))
                return;
        LogAlarm(what);
        try
        {
            if (_cases is null)
                await _log.AppendAsync(OwnRecord.Of(_gateway, _time.GetUtcNow(), what, [], AuditOutcome.SeriousFailure)).ConfigureAwait(false);
            else if (!_cases.All.Any(one => one.Kind == kind && _cases.IsOpen(one.Number)))
                await _cases.OpenAsync(kind, what).ConfigureAwait(false);
        }
        catch
        {
            // A disk that does not take it: the next round tries again.
            lock (_opened)
                _opened.Remove(kind);
            throw;
        }
    }

    private void Trouble(Witness witness, string why)
    {
        // Once for each trouble: an outage of hours is not a line every two seconds.
        if (_troubles.TryGetValue(witness.Name, out var before) && before == why)
            return;
        _troubles[witness.Name] = why;
        LogTrouble(witness.Key.Name, why);
    }

    private sealed record Published(long Size, byte[] Root, string Note);

    private sealed record Given(Published Of, string Line);

    [LoggerMessage(1, LogLevel.Critical, "ALARM: {What}")]
    private partial void LogAlarm(string what);

    [LoggerMessage(2, LogLevel.Warning, "The witness {Witness} has not cosigned: {Why}.")]
    private partial void LogTrouble(string witness, string why);

    [LoggerMessage(3, LogLevel.Information, "The witness {Witness} cosigns again.")]
    private partial void LogBack(string witness);

    [LoggerMessage(4, LogLevel.Warning, "The witnesses could not be asked: the audit log's store, or the disk of the cases, did not answer.")]
    private partial void LogNotAsked(Exception failure);
}
