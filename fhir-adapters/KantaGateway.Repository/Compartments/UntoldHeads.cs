using System.Threading.Channels;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// How far the compartments are that were written to here, or are seen here to be further on than the key service knew, until it has been told: off every request's way, many at once, within <see cref="Interval"/>.
/// What is told first has to go on from what is known: who has an old head open cannot make another past the known one by writing to it.
/// What a kill leaves untold, whoever sees it next tells; until then the audit log alone knows it. Thread-safe.
/// </summary>
sealed partial class UntoldHeads : IAsyncDisposable
{
    /// <summary>Between two tellings.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    private const int AtOnce = 1_000;

    private readonly KeyClient _keys;
    private readonly TimeProvider _time;
    private readonly ILogger<UntoldHeads> _logger;
    private readonly Lock _gate = new();
    private readonly Dictionary<Pseudonym, ToldHead> _untold = [];
    private readonly Channel<bool> _added = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _telling;
    private bool _isSilent;

    public UntoldHeads(KeyClient keys, TimeProvider time, ILogger<UntoldHeads> logger)
    {
        (_keys, _time, _logger) = (keys, time, logger);
        _telling = Task.Run(TellAsync);
    }

    /// <summary>What is still to be told of a compartment; none: nothing.</summary>
    public ToldHead Of(Pseudonym compartment)
    {
        lock (_gate)
            return _untold.GetValueOrDefault(compartment);
    }

    /// <summary>Has it told; of a compartment the last that was added.</summary>
    public void Add(ToldHead told)
    {
        lock (_gate)
            if (_untold.GetValueOrDefault(told.Compartment) is var before && (before.Rotations != told.Rotations ? before.Rotations < told.Rotations : before.Head.Sequence <= told.Head.Sequence))
                _untold[told.Compartment] = told;
        _added.Writer.TryWrite(true);
    }

    /// <summary>Tells what there is, if the key service can be told, and ends.</summary>
    public async ValueTask DisposeAsync()
    {
        _added.Writer.TryComplete();
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _telling.ConfigureAwait(false);
        await TryTellAllAsync().ConfigureAwait(false);
        _stopping.Dispose();
    }

    private async Task TellAsync()
    {
        try
        {
            while (await _added.Reader.WaitToReadAsync(_stopping.Token).ConfigureAwait(false))
            {
                _added.Reader.TryRead(out _);
                if (!await TryTellAllAsync().ConfigureAwait(false))
                    _added.Writer.TryWrite(true);
                await Task.Delay(Interval, _time, _stopping.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // What is left is told by who ends it.
        }
    }

    private async Task<bool> TryTellAllAsync()
    {
        try
        {
            // Again only where there was more than goes at once: what comes meanwhile is told with what comes after it.
            int count;
            do
            {
                var told = Next();
                count = told.Length;
                if (count > 0)
                    await TellAsync(told).ConfigureAwait(false);
            } while (count == AtOnce);
            if (_isSilent)
                LogToldAgain();
            _isSilent = false;
            return true;
        }
        catch (FaultException)
        {
            // It gives no keys either: whoever wants one is told so. It is asked again.
            if (!_isSilent)
                LogUntold();
            _isSilent = true;
            return false;
        }
    }

    private async Task TellAsync(ToldHead[] told)
    {
        // :: Step 1: none that does not go on from what is known
        var further = new List<ToldHead>();
        foreach (var (one, known) in await NotKnownAsync(told).ConfigureAwait(false))
            // Closed meanwhile, and another was told since: whoever opens it next holds it against that.
            if ((known.Sequence == 0 || known == one.Opened?.Known ? true : one.Opened?.Has(known)) is not { } goesOn)
                Wait(one);
            else if (goesOn)
                further.Add(one);
            else
            {
                LogForked();
                one.Opened!.Close();
                Settle(one, null);
            }
        if (further.Count == 0)
            return;

        // :: Step 2: told; what was left out waits until its compartment is opened or checked anew
        if (await _keys.TellAsync(further, CancellationToken.None).ConfigureAwait(false))
            foreach (var one in further)
                Known(one);
        else
        {
            var refused = await NotKnownAsync(further).ConfigureAwait(false);
            foreach (var (one, _) in refused)
                Wait(one);
            LogRefused(refused.Count);
        }
    }

    /// <summary>Those of which the key service does not know as much, with what it knows; the others are done with.</summary>
    private async Task<List<(ToldHead Told, CompartmentHead Known)>> NotKnownAsync(IReadOnlyList<ToldHead> told)
    {
        var known = (await _keys.KnownAsync([.. told.Select(static one => one.Compartment)], CancellationToken.None).ConfigureAwait(false)).Heads;
        var others = new List<(ToldHead, CompartmentHead)>();
        for (var i = 0; i < told.Count; i++)
        {
            var head = known[i]?.Head ?? default;
            if (head == told[i].Head)
                Known(told[i]);
            // Of a record that has been sealed anew under another key since: the rows are there, and who has done that has told of the new ones.
            else if (head.Sequence > told[i].Head.Sequence || known[i]?.Rotations > told[i].Rotations)
                Settle(told[i], null);
            else
                others.Add((told[i], head));
        }
        return others;
    }

    private void Known(ToldHead told)
    {
        told.Opened?.KnownNow(told.Head);
        Settle(told, null);
    }

    /// <summary>It stays for those who open the compartment here, and is told when one of them has it told.</summary>
    private void Wait(ToldHead told) => Settle(told, told with { Witness = null, Opened = null });

    /// <summary>Unless there is another to tell meanwhile.</summary>
    private void Settle(ToldHead told, ToldHead? instead)
    {
        lock (_gate)
        {
            if (_untold.GetValueOrDefault(told.Compartment) != told)
                return;
            _untold.Remove(told.Compartment);
            if (instead is { } one)
                _untold.Add(told.Compartment, one);
        }
    }

    private ToldHead[] Next()
    {
        lock (_gate)
            return [.. _untold.Values.Where(static one => one.Witness is not null).Take(AtOnce)];
    }

    [LoggerMessage(2205, LogLevel.Warning, "The key service could not be told how far the records are. It is told again.")]
    private partial void LogUntold();

    [LoggerMessage(2206, LogLevel.Information, "The key service has been told again how far the records are.")]
    private partial void LogToldAgain();

    [LoggerMessage(2207, LogLevel.Warning, "The key service did not take how far {Count} records are, for their keys were given out too long ago. It is told when they are opened again.")]
    private partial void LogRefused(int count);

    [LoggerMessage(2208, LogLevel.Critical, "ALARM: a record that was open here is not the one that the key service was told of: the store was cut back, or exchanged, and written to.")]
    private partial void LogForked();
}
