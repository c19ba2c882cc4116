using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification;

/// <summary>Step 1: who is asking.</summary>
public interface IIdentification
{
    /// <summary>
    /// Identifies the caller of a FHIR request by its certificate-bound access token. Exactly one of the two is set. With
    /// a fault the <c>WWW-Authenticate</c> header (RFC 6750 §3) is already on the response; nothing else is written.
    /// </summary>
    /// <remarks>Act 703/2023 §8. A token seen before costs a hash and a look-up.</remarks>
    ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context);

    /// <summary>The signed-in citizen of a portal request, or null. Valid after authentication has run, so on every path but <c>/fhir</c>.</summary>
    Requester? PortalRequester(HttpContext context);
}

/// <summary>Turns an identity code into the pseudonym that only the key service knows.</summary>
public interface IPseudonyms
{
    /// <summary>Of somebody who has none yet, a new one.</summary>
    ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel);

    /// <summary>Of somebody who has one; null: nobody has asked for this code before, and nobody is asked for by it now.</summary>
    async ValueTask<Pseudonym?> FindAsync(PersonalIdentityCode code, CancellationToken cancel) => await OfAsync(code, cancel);
}

/// <summary>Told of every refused token request and sign-in, so that refusals are recorded as disclosures are.</summary>
public interface IIdentificationObserver
{
    /// <param name="clientIdOrEmpty">Id of a registered client or identity provider; empty when what the request claimed is not registered.</param>
    /// <param name="reason">A plain sentence without personal data.</param>
    ValueTask RefusedAsync(HttpContext context, string clientIdOrEmpty, string reason, CancellationToken cancel);

    /// <summary>Told that a citizen's session is for another person from now on, or that it may not be or no longer may.</summary>
    /// <param name="citizen">Who acts.</param>
    /// <param name="person">For whom.</param>
    /// <param name="kind">By what right; null: by none.</param>
    /// <param name="refusal">A plain sentence without personal data; null when nothing was refused.</param>
    ValueTask RepresentationAsync(HttpContext context, Requester citizen, Pseudonym person, Mandates.RepresentationKind? kind, string? refusal, CancellationToken cancel);

    /// <summary>Told that an app is about to get a new access token on what a person has allowed or signed in for before.</summary>
    /// <param name="app">Who the token will speak for, and its scopes.</param>
    /// <exception cref="FaultException">It is not recorded; there is no token.</exception>
    ValueTask RefreshedAsync(HttpContext context, Requester app, CancellationToken cancel);

    /// <summary>Told of attempts that were refused unexamined because there were too many, as a number and not one by one.</summary>
    /// <param name="address">From where; null when it is not known.</param>
    ValueTask HeldAsync(System.Net.IPAddress? address, string clientIdOrEmpty, string reason, CancellationToken cancel);
}

/// <summary>Records nothing: for a host of identification alone. The gateway registers its audit, which is then told instead.</summary>
internal sealed class NoIdentificationObserver : IIdentificationObserver
{
    public ValueTask RefusedAsync(HttpContext context, string clientIdOrEmpty, string reason, CancellationToken cancel) => default;

    public ValueTask HeldAsync(System.Net.IPAddress? address, string clientIdOrEmpty, string reason, CancellationToken cancel) => default;

    public ValueTask RepresentationAsync(HttpContext context, Requester citizen, Pseudonym person, Mandates.RepresentationKind? kind, string? refusal, CancellationToken cancel) => default;

    public ValueTask RefreshedAsync(HttpContext context, Requester app, CancellationToken cancel) => default;
}
