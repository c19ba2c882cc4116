using KantaGateway.Fhir.Grants;
using KantaGateway.Keys.Backends;

namespace KantaGateway.Tests.Keys;

/// <summary>A backend that answers only so often and then falls silent, or is slow.</summary>
sealed class SilentBackend : IKeyBackend
{
    private readonly Lock _turn = new();
    private IKeyBackend _real = null!;
    private int? _opensLeft, _callsLeft;

    /// <summary>So much it opens still; null: whatever there is.</summary>
    public int? OpensLeft
    {
        set
        {
            lock (_turn)
                (_opensLeft, HasFailed) = (value, false);
        }
    }

    /// <summary>So often it does anything still; null: always.</summary>
    public int? CallsLeft
    {
        set
        {
            lock (_turn)
                (_callsLeft, HasFailed) = (value, false);
        }
    }

    public int Opened { get; set; }

    public bool HasFailed { get; private set; }

    /// <summary>What it fails with; null: it is silent.</summary>
    public Exception? Fails { get; set; }

    /// <summary>Whoever seals waits for it; null: nobody does.</summary>
    public Task? SealsAfter { get; set; }

    /// <summary>How many have waited so.</summary>
    public int Waited { get; private set; }

    public SilentBackend Over(IKeyBackend real)
    {
        _real = real;
        return this;
    }

    public ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        lock (_turn)
        {
            Count(ref _opensLeft);
            Count(ref _callsLeft);
            Opened++;
        }
        return _real.OpenAsync(version, sealedKey, associated, cancel);
    }

    public async ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel)
    {
        Called();
        if (SealsAfter is { } wait)
        {
            lock (_turn)
                Waited++;
            await wait;
        }
        return await _real.SealAsync(version, key, associated, cancel);
    }

    public ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel) => Called().MacAsync(version, text, cancel);
    public ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel) => Called().VersionsAsync(kind, cancel);
    public ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel) => Called().MakeAsync(kind, version, cancel);
    public ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel) => Called().DestroyAsync(kind, version, cancel);
    public ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel) => Called().DeriveAsync(label, cancel);
    public void Dispose() => _real.Dispose();

    private IKeyBackend Called()
    {
        lock (_turn)
            Count(ref _callsLeft);
        return _real;
    }

    private void Count(ref int? left)
    {
        if (left is not { } most || (left = Math.Max(-1, most - 1)) >= 0)
            return;
        HasFailed = true;
        throw Fails ?? new KeyBackendException("It is silent on purpose.");
    }
}
