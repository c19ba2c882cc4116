using System.Buffers.Text;
using System.Collections.Immutable;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Dpop;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>Whether an identified client gets the token that it asks for, for whom, and with which scopes; what is found stands in <see cref="ConnectRequest"/>.</summary>
internal sealed class TokenRequests(SubjectTokens subjects, AppAuthorizations apps, AppGrants grants, AppsOfPerson given, AppStanding standings, DpopProofs proofs, IIdentificationObserver observer, IdentifierCipher ids,
    GatewayOptions options, TimeProvider time, Operators.Containments contained, IPractitioners? practitioners = null) : IOpenIddictServerHandler<ValidateTokenRequestContext>
{
    public async ValueTask HandleAsync(ValidateTokenRequestContext context)
    {
        var http = ConnectRequest.HttpOf(context.Transaction);
        try
        {
            if (await ExplainAsync(http, ConnectRequest.Of(http), context.Request).ConfigureAwait(false) is { } refusal)
                context.Reject(refusal.Error, refusal.Description);
        }
        catch (SharedStateException)
        {
            context.Reject(Errors.TemporarilyUnavailable, "What is asked for cannot be looked up at the moment; try again with a new assertion.");
        }
    }

    /// <returns>Why not; null when the token is to be issued.</returns>
    private async ValueTask<TokenRefusal?> ExplainAsync(HttpContext http, ConnectRequest found, OpenIddictRequest request)
    {
        // Before a code is used up: who is told a nonce comes again with the same one.
        var (thumbprint, unbound) = await proofs.VerifyAsync(http, found.Client!).ConfigureAwait(false);
        if (unbound is not null)
            return new(unbound.Error, unbound.Description);
        found.Key = thumbprint;
        return request.IsAuthorizationCodeGrantType() ? await RedeemAsync(http, found, request).ConfigureAwait(false)
            : request.IsRefreshTokenGrantType() ? await RefreshAsync(http, found, request).ConfigureAwait(false)
            : await ExplainSystemAsync(http, found, request).ConfigureAwait(false);
    }

    /// <summary>A system for itself (SMART Backend Services), or for a professional for whom it vouches (RFC 8693).</summary>
    private async ValueTask<TokenRefusal?> ExplainSystemAsync(HttpContext http, ConnectRequest found, OpenIddictRequest request)
    {
        var client = found.Client!;
        // A clinic's app is not a system that vouches for its users: they sign in.
        if (client.Registration.Kind == ClientKind.ClinicApp)
            return new(Errors.UnauthorizedClient, "An app of a clinic gets tokens by authorization_code and refresh_token only.");
        if (TokenEndpoint.RequesterOf(client, (string?)request[TokenEndpoint.RequesterParameter], out var unnamed) is not { } requester)
            return new(Errors.InvalidRequest, unnamed);
        found.Requester = requester;
        if (ExplainScopes(client, request) is { } scope)
            return new(Errors.InvalidScope, scope);
        if (TokenEndpoint.ExplainPurpose((string?)request[TokenEndpoint.PurposeClaim]) is { } purpose)
            return new(Errors.InvalidRequest, purpose);
        if (!request.IsTokenExchangeGrantType())
            return null;
        if (string.IsNullOrEmpty(request.SubjectToken) || request.SubjectTokenType is not { } type || !SubjectTokens.Types.Contains(type))
            return new(Errors.InvalidRequest, $"Send subject_token, and subject_token_type as one of {string.Join(", ", SubjectTokens.Types)}.");
        if (request.ActorToken is not null)
            return new(Errors.InvalidRequest, "actor_token is not used: the actor is the authenticated client.");
        var (professional, unproven) = await subjects.ValidateAsync(http, client, requester, request.SubjectToken).ConfigureAwait(false);
        if (professional is null)
            return unproven;
        if (contained.HoldsProfessional(requester.Organisation.ToString(), professional.Id))
            return new(Errors.InvalidRequest, "The professional has been contained by the operators of this gateway; ask them.");
        if (professional.Until <= time.GetUtcNow())
            return new(Errors.InvalidRequest, "The subject_token has expired; the professional must sign in again.");
        found.Professional = professional;
        return null;
    }

    /// <summary>RFC 6749 §4.1.3: what a person has allowed an app, or signed in for.</summary>
    private async ValueTask<TokenRefusal?> RedeemAsync(HttpContext http, ConnectRequest found, OpenIddictRequest request)
    {
        var client = found.Client!;
        var (allowed, problem) = await apps.RedeemAsync(request.Code, client.ClientId, request.RedirectUri, request.CodeVerifier, found.Key).ConfigureAwait(false);
        if (allowed is null)
            return new(Errors.InvalidGrant, problem!);
        var (standing, fallen) = await standings.OfAsync(allowed, client, http.RequestAborted).ConfigureAwait(false);
        if (standing is null)
            return fallen;
        Allow(found, allowed, standing, AppGrants.IdOf(request.Code!));
        found.FhirUser = await FhirUserOfAsync(http, found, allowed, standing).ConfigureAwait(false);
        await given.KeepAsync(allowed, found.Grant!).ConfigureAwait(false);
        if (allowed.Request.Access is null)
            return null;
        found.RefreshToken = await grants.BeginAsync(allowed, found.Grant!, found.Key, CertificateOf(http)).ConfigureAwait(false);
        return found.RefreshToken is null ? new(Errors.InvalidGrant, "The code has been used.") : null;
    }

    /// <summary>RFC 6749 §6: a new access token on what was allowed, no wider, and recorded before it is issued.</summary>
    private async ValueTask<TokenRefusal?> RefreshAsync(HttpContext http, ConnectRequest found, OpenIddictRequest request)
    {
        var client = found.Client!;
        if (string.IsNullOrEmpty(request.RefreshToken))
            return new(Errors.InvalidRequest, "Send refresh_token.");
        if (await grants.FindAsync(request.RefreshToken).ConfigureAwait(false) is not { } grant || grant.Allowed.Request.ClientId != client.ClientId)
            return new(Errors.InvalidGrant, "The refresh token has ended, was revoked, is another client's or never was; ask anew.");
        if (grant.Key != found.Key || (grant.Key is null && grant.Certificate != CertificateOf(http)))
            return new(Errors.InvalidGrant, "The refresh token is bound to another key or certificate than the one of the request.");
        var (standing, fallen) = await standings.OfAsync(grant, client, http.RequestAborted).ConfigureAwait(false);
        if (standing is null)
        {
            if (fallen!.Error == Errors.InvalidGrant)
                await grants.EndAsync(grant.Id, http.RequestAborted).ConfigureAwait(false);
            return fallen;
        }
        if (PushedAuthorization.Narrow(grant.Allowed.Request, request.GetScopes()) is not { } asked)
            return new(Errors.InvalidScope, "A refreshed token has scopes that were allowed, one SMART scope at least, and no wider ones.");
        Allow(found, grant.Allowed with { Request = asked }, standing, grant.Id);
        await given.KeepAsync(grant.Allowed, grant.Id, grant).ConfigureAwait(false);
        try
        {
            await observer.RefreshedAsync(http, SpeakerOf(found, grant.Allowed, standing, SmartScope.ParseAll(asked.Scopes)), http.RequestAborted).ConfigureAwait(false);
            return null;
        }
        catch (FaultException)
        {
            return new(Errors.TemporarilyUnavailable, "The access could not be recorded, so no token was issued; try again with a new assertion.");
        }
    }

    private static void Allow(ConnectRequest found, AllowedRequest allowed, StandingRequest standing, string grant)
    {
        (found.Allowed, found.Requester, found.Professional, found.Grant) = (allowed, standing.Requester, standing.Professional, grant);
        // The audit names the token before it is there.
        found.TokenId = IssuedTokens.NewId();
    }

    /// <summary>RFC 8705 §3.1.</summary>
    private static string? CertificateOf(HttpContext http) =>
        http.Connection.ClientCertificate is { } certificate ? Base64Url.EncodeToString(certificate.GetCertHash(HashAlgorithmName.SHA256)) : null;

    /// <summary>SMART App Launch 2.2: address of the resource for who is signed in; null when it is not asked for, or there is none.</summary>
    private async ValueTask<string?> FhirUserOfAsync(HttpContext http, ConnectRequest found, AllowedRequest allowed, StandingRequest standing)
    {
        if (!allowed.Request.Identity.Contains(IdTokens.FhirUser))
            return null;
        if (allowed.Patient is not null)
            return $"{TokenEndpoint.AudienceOf(options)}/Patient/{allowed.Patient}";
        if (practitioners is null || standing.Professional is null)
            return null;
        var id = await practitioners.FindAsync(SpeakerOf(found, allowed, standing, SmartScope.ParseAll(["user/Practitioner.s"])), http.RequestAborted).ConfigureAwait(false);
        return id is null ? null : $"{TokenEndpoint.AudienceOf(options)}/Practitioner/{id}";
    }

    /// <summary>Who the token that is to be issued will speak for.</summary>
    private Requester SpeakerOf(ConnectRequest found, AllowedRequest allowed, StandingRequest standing, IReadOnlyList<SmartScope> scopes)
    {
        var (client, requester, professional) = (found.Client!, standing.Requester, standing.Professional);
        return new()
        {
            Kind = professional is null ? RequesterKind.Citizen : RequesterKind.Professional, ClientId = client.ClientId, AppName = client.AppName,
            Organisation = requester.Organisation, OrganisationName = requester.Name, ControllerKind = requester.Kind,
            Subscriber = requester.Organisation == client.Organisation ? null : new(client.Organisation, client.Registration.OrganisationName),
            Self = TokenEndpoint.PersonOf(allowed.Patient, ids),
            ProfessionalId = professional?.Id, ProfessionalName = professional?.Name, Profession = professional?.Profession, Tasks = professional?.Tasks, Unit = professional?.Unit,
            PurposeOfUse = TokenEndpoint.PurposeOf(allowed), Acr = professional?.Acr ?? allowed.Acr, TokenId = found.TokenId!, Scopes = scopes,
            Expires = time.GetUtcNow().AddSeconds(options.Identification.AccessTokenSeconds),
        };
    }

    private static string LevelOf(OpenIddictRequest request) => request.IsTokenExchangeGrantType() ? SmartScope.User : "system";

    /// <summary>Null when every requested scope is of the grant's level and covered by a registered one.</summary>
    private static string? ExplainScopes(RegisteredClient client, OpenIddictRequest request)
    {
        var level = LevelOf(request);
        foreach (var text in request.GetScopes())
        {
            if (!SmartScope.TryParse(text, out var scope, out var query))
                return query ?? "A requested scope is not a SMART v2 scope such as system/Observation.rs.";
            if (scope.Level != level)
                return $"This grant gives {level}/ scopes only.";
            if (!client.Scopes.Any(registered => registered.Covers(scope)))
                return "A requested scope goes beyond what the client has registered.";
        }
        return request.GetScopes().IsEmpty && !client.Scopes.Any(s => s.Level == level)
            ? $"The client has no {level}/ scope registered."
            : null;
    }

    /// <summary>
    /// What the access token is for. An app has what was allowed, without <c>fhirUser</c> where there is no resource for who it is; a system what it
    /// asked for, and without a wish everything of the level that it has registered (RFC 6749 §3.3).
    /// </summary>
    public static ImmutableArray<string> ScopesOf(ConnectRequest found, OpenIddictRequest request) =>
        found.Allowed is { } allowed ? [.. allowed.Request.Identity.Where(scope => scope != IdTokens.FhirUser || found.FhirUser is not null), .. allowed.Request.Scopes]
            : request.GetScopes() is { IsEmpty: false } asked ? asked
            : [.. found.Client!.Scopes.Where(s => s.Level == LevelOf(request)).Select(static s => s.ToString())];
}
