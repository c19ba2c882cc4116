using System.Security.Cryptography.X509Certificates;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Step 1 where a protocol has no place for a token (MLLP): the TLS client certificate alone says who it is, as at the token endpoint for
/// <c>tls_client_auth</c> (RFC 8705 §2.1). Only a clinic's system that is registered for it (<see cref="ClientRegistration.Mllp"/>), and never a person.
/// </summary>
/// <remarks>Nothing is kept from one message to the next: registration, certificate and revocations are looked at each time. Thread-safe.</remarks>
internal sealed class CertificateCallers(ClientRegistry registry, OrganisationCertificates certificates, AttemptLimits limits, Revocations revocations, IdentificationMetrics metrics, GatewayOptions options, TimeProvider time, Approvals? approvals = null)
{
    /// <param name="context">Has the certificate and the address of the connection.</param>
    /// <param name="connection">Stands in the audit log in the place of a token's id, at most 32 characters.</param>
    public async ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context, string connection)
    {
        if (limits.Wait(context) is { } wait)
            return (null, AttemptLimits.Refuse(context, wait));
        var (requester, fault, reason) = await AttemptAsync(context.Connection.ClientCertificate, connection, context.RequestAborted).ConfigureAwait(false);
        if (requester is not null)
            metrics.AcceptedFhir();
        else
        {
            metrics.RefusedFhir(reason);
            if (fault!.Kind == FaultKind.NotIdentified)
                await limits.FailedAsync(context).ConfigureAwait(false);
        }
        return (requester, fault);
    }

    private async ValueTask<(Requester?, Fault?, RefusalReason)> AttemptAsync(X509Certificate2? certificate, string connection, CancellationToken cancel)
    {
        if (certificate is null)
            return Refuse("The connection has no TLS client certificate.", RefusalReason.Certificate);
        await certificates.RenewAsync(certificate, cancel).ConfigureAwait(false);
        var facts = certificates.Examine(certificate);
        if (facts is { IsOutage: true, Problem: { } outage })
            return (null, new(FaultKind.IdentificationUnavailable, outage), RefusalReason.Unavailable);
        if (facts.Problem is { } problem)
            return Refuse(problem, RefusalReason.Certificate);
        var named = registry.Current.All.Where(c => c is { IsActive: true, Registration: { Mllp: true, Kind: ClientKind.System } } && c.Organisation == facts.Organisation
            && (c.Registration.TlsClientCertificates.Contains(facts.Thumbprint) || c.Subjects.Any(subject => subject.Equivalent(facts.Subject, true)))).ToList();
        // Where two answer to one certificate, nothing says which of them speaks; where it asks for tenants, nothing says for which.
        if (named is not [var client])
            return Refuse(named.Count == 0 ? "No active system that is registered for MLLP has registered this TLS client certificate." : "Several systems have registered this TLS client certificate for MLLP; each needs its own.", RefusalReason.Client);
        if (client.Requesters is not [{ Status: ClientStatus.Active } registered])
            return Refuse("A joint connection sends by HTTP, where its token says for whom.", RefusalReason.Client);

        RevokedName[] bears = [.. RevokedName.OfToken(connection, client, registered, null, null, null), facts.Name];
        try
        {
            if (bears.Any(revocations.IsRevoked))
                return Refuse("The system, its organisation or its certificate has been revoked or contained; ask the operators of this gateway.", RefusalReason.Revoked);
        }
        catch (SharedStateException)
        {
            return (null, new(FaultKind.IdentificationUnavailable, "Whether the system has been revoked cannot be known at the moment; try again."), RefusalReason.Unavailable);
        }
        var scopes = client.Scopes.Where(static scope => scope.Level is not (SmartScope.Patient or SmartScope.User)).ToList();
        return (Requester.OfSystem(client, registered, options, approvals, connection, "TREAT", scopes, time.GetUtcNow().AddMinutes(5)) with { Bears = bears }, null, default);
    }

    private static (Requester?, Fault?, RefusalReason) Refuse(string reason, RefusalReason code) => (null, new(FaultKind.NotIdentified, reason), code);
}
