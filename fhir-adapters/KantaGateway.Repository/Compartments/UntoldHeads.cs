using System.Threading.Channels;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// How far the compartments are that were written to here, or are further on than the key service knew, until it has been told: off every request's way, many at once, within <see cref="Interval"/>.
/// What a kill leaves untold, whoever opens the compartment next tells; until then the audit log alone knows it. Thread-safe.
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

    public UntoldHeads(KeyClient keys, TimeProvider time, ILogger<UntoldHeads> logger)
    {
        (_keys, _time, _logger) = (keys, time, logger);
        _telling = Task.Run(TellAsync);
    }

    /// <summary>What is still to be told of a compartment; none: nothing.</summary>
    public CompartmentHead Of(Pseudonym compartment)
    {
        lock (_gate)
            return _untold.GetValueOrDefault(compartment).Head;
    }

    /// <summary>Has it told; of a compartment the last that was added.</summary>
    public void Add(ToldHead told)
    {
        lock (_gate)
            if (_untold.GetValueOrDefault(told.Compartment).Head.Sequence < told.Head.Sequence)
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
            while (Next() is { Length: > 0 } told)
            {
                await _keys.TellAsync(told, CancellationToken.None).ConfigureAwait(false);
                lock (_gate)
                    foreach (var one in told)
                        if (_untold.GetValueOrDefault(one.Compartment) == one)
                            _untold.Remove(one.Compartment);
            }
            return true;
        }
        catch (FaultException)
        {
            // It gives no keys either: whoever wants one is told so. It is asked again.
            LogUntold();
            return false;
        }
    }

    private ToldHead[] Next()
    {
        lock (_gate)
            return [.. _untold.Values.Take(AtOnce)];
    }

    [LoggerMessage(2205, LogLevel.Warning, "The key service could not be told how far the records are. It is told again.")]
    private partial void LogUntold();
}
