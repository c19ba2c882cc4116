using System.Collections.Concurrent;

namespace KantaGateway.Client;

/// <summary>Keeps the token of each caller until shortly before it ends. One asks for it, the others wait: a burst of requests must not become a burst of assertions. Thread-safe.</summary>
public sealed class TokenCache(TimeProvider time) : IDisposable
{
    /// <summary>Of a token that lives shorter than two minutes a quarter of its life.</summary>
    private static readonly TimeSpan RefreshAhead = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, Slot> _slots = new(StringComparer.Ordinal);

    /// <summary>The token of a caller, asked for where none is known that lasts.</summary>
    /// <param name="caller">Any name.</param>
    public async Task<string> GetAsync(string caller, Func<CancellationToken, Task<IssuedToken>> ask, CancellationToken cancel = default)
    {
        var slot = _slots.GetOrAdd(caller, static _ => new());
        if (Lasts(slot.Known))
            return slot.Known!.Value;
        await slot.Asking.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (!Lasts(slot.Known))
                slot.Known = await ask(cancel).ConfigureAwait(false);
            return slot.Known!.Value;
        }
        finally
        {
            slot.Asking.Release();
        }
    }

    /// <summary>The next one who asks gets another token, unless somebody got another already.</summary>
    public void Forget(string caller, string token)
    {
        if (_slots.TryGetValue(caller, out var slot) && slot.Known?.Value == token)
            slot.Known = null;
    }

    /// <summary>The caller is gone, and the token with them.</summary>
    public void Remove(string caller)
    {
        if (_slots.TryRemove(caller, out var slot))
            slot.Asking.Dispose();
    }

    public void Dispose()
    {
        foreach (var caller in _slots.Keys)
            Remove(caller);
    }

    private bool Lasts(IssuedToken? token) =>
        token is not null && token.Until - (token.ExpiresIn / 4 < RefreshAhead ? token.ExpiresIn / 4 : RefreshAhead) > time.GetUtcNow();

    private sealed class Slot
    {
        public SemaphoreSlim Asking { get; } = new(1);

        public volatile IssuedToken? Known;
    }
}
