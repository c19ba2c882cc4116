using System.Collections.Concurrent;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// FHIR requests that are being answered: one whose sender has been revoked or contained since it was let in is broken off, however long its content goes on.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class OpenRequests : IDisposable
{
    private readonly ConcurrentDictionary<HttpContext, IReadOnlyList<RevokedName>> _open = new();
    private readonly Revocations _revocations;

    public OpenRequests(Revocations revocations)
    {
        _revocations = revocations;
        revocations.Changed += EndRevoked;
    }

    /// <summary>How many there are.</summary>
    public int Count => _open.Count;

    /// <summary>Until it is answered.</summary>
    /// <param name="borne">The names by which what the sender has shown can be revoked.</param>
    public void Enter(HttpContext context, IReadOnlyList<RevokedName> borne)
    {
        if (borne.Count == 0 || !_open.TryAdd(context, borne))
            return;
        context.Response.OnCompleted(static entered =>
        {
            var (all, one) = ((OpenRequests, HttpContext))entered;
            all._open.TryRemove(one, out _);
            return Task.CompletedTask;
        }, (this, context));
        // Revoked between the look at its token and now.
        End(context, borne);
    }

    public void Dispose() => _revocations.Changed -= EndRevoked;

    private void EndRevoked()
    {
        foreach (var (context, borne) in _open)
            End(context, borne);
    }

    private void End(HttpContext context, IReadOnlyList<RevokedName> borne)
    {
        foreach (var name in borne)
            if (_revocations.IsCurrent && _revocations.IsRevoked(name))
            {
                context.Abort();
                return;
            }
    }
}
