using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// FHIR requests that are being answered: one whose sender has been revoked or contained since it was let in is broken off, however long its content goes on.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class OpenRequests : IDisposable
{
    private readonly ConcurrentDictionary<HttpContext, Request> _open = new();
    private readonly ConditionalWeakTable<X509Certificate2, RevokedName[]> _ofCertificates = [];
    private readonly Revocations _revocations;

    public OpenRequests(Revocations revocations)
    {
        _revocations = revocations;
        revocations.Changed += EndRevoked;
    }

    /// <summary>How many there are.</summary>
    public int Count => _open.Count;

    /// <summary>Until it is answered.</summary>
    /// <param name="borne">The names by which what the sender has shown can be revoked. That of the certificate of the connection is added.</param>
    /// <param name="since"><see cref="Revocations.Epoch"/> from before these were looked at: while it is the same none of them has been revoked since. Null: they were not.</param>
    public void Enter(HttpContext context, IReadOnlyList<RevokedName> borne, long? since = null)
    {
        var request = new Request(context, borne, context.Connection.ClientCertificate is { } certificate ? NamesOf(certificate) : []);
        if (!_open.TryAdd(context, request))
            return;
        context.Response.OnCompleted(static entered =>
        {
            var (all, one) = ((OpenRequests, Request))entered;
            one.Leave();
            all._open.TryRemove(one.Context, out _);
            return Task.CompletedTask;
        }, (this, request));
        // Revoked between the look at its token and now. A revocation after this look finds it among those that are open.
        if (_revocations.Epoch != since)
            request.EndIfRevoked(_revocations);
    }

    /// <summary>A request of the portal, as <see cref="Enter"/>: for when the citizen is contained. A session that is ended answers what it was asked before.</summary>
    public static void EnterSession(HttpContext context, Pseudonym self) => context.RequestServices.GetRequiredService<OpenRequests>()
        .Enter(context, [RevokedName.Contained(ContainedSubject.Citizen(context.RequestServices.GetRequiredService<IdentifierCipher>().PatientId(self)))]);

    public void Dispose() => _revocations.Changed -= EndRevoked;

    private void EndRevoked()
    {
        foreach (var request in _open.Values)
            request.EndIfRevoked(_revocations);
    }

    private RevokedName[] NamesOf(X509Certificate2 certificate) => _ofCertificates.GetValue(certificate, static its => [RevokedName.Contained(ContainedSubject.Certificate(OrganisationCertificates.ThumbprintOf(its)))]);

    private sealed class Request(HttpContext context, IReadOnlyList<RevokedName> borne, IReadOnlyList<RevokedName> ofConnection)
    {
        private readonly Lock _turn = new();
        private bool _isOver;

        public HttpContext Context => context;

        public void Leave()
        {
            lock (_turn)
                _isOver = true;
        }

        public void EndIfRevoked(Revocations revocations)
        {
            if (!borne.Concat(ofConnection).Any(revocations.IsKnownRevoked))
                return;
            // The context of one that is over may be another request's.
            lock (_turn)
                if (!_isOver)
                    context.Abort();
        }
    }
}
