using System.Buffers.Text;
using System.Collections.Immutable;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Gateway.Identification.Dpop;
using Microsoft.AspNetCore;
using Microsoft.IdentityModel.Tokens;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using OpenIddict.Server.AspNetCore;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The authorization server's token endpoint on OpenIddict: <c>client_credentials</c> for clinic systems (SMART Backend
/// Services), token exchange (RFC 8693) for professionals, and <c>authorization_code</c> and <c>refresh_token</c> for apps of citizens and of clinics.
/// </summary>
/// <remarks>
/// OpenIddict runs in its degraded mode: it has no client or token store, and the authentication of clients is
/// <see cref="ClientAuthentication"/>. Tokens are self-contained and short, so gateways share nothing but keys.
/// </remarks>
internal static class TokenEndpoint
{
    public const string Path = "/connect/token";

    /// <summary>RFC 7662 and RFC 7009, see <see cref="TokenStatus"/>.</summary>
    public const string IntrospectionPath = "/connect/introspect", RevocationPath = "/connect/revoke";

    // Claims of access tokens beyond the registered ones.
    public const string OrganisationClaim = "organisation";
    private const string SubscriberClaim = "subscriber";
    public const string PurposeClaim = "purpose_of_use";
    public const string ProfessionalIdClaim = "professional_id";
    public const string ProfessionalNameClaim = "professional_name";
    public const string ProfessionClaim = "profession";
    public const string TaskClassClaim = "task_class";
    public const string UnitClaim = "unit";
    public const string AcrClaim = "acr";

    /// <summary>Of a citizen's app: id of her Patient (SMART App Launch 2.2, launch context).</summary>
    public const string PatientClaim = "patient";

    /// <summary>Of an app: what the token came of, to be ended with it (<see cref="AppGrant"/>).</summary>
    public const string GrantClaim = "grant";
    private const string ActorClaim = "act";
    private const string ConfirmationClaim = "cnf";

    /// <summary>Seconds; the shared store is tried again at each request, so soon is soon enough.</summary>
    private const string RetryAfterSeconds = "5";

    private const string DefaultPurpose = "TREAT";

    /// <summary>v3-ActReason: the person's own wish.</summary>
    private const string PatientRequest = "PATRQT";

    /// <summary>v3-ActReason codes that a clinic may state; what each permits is decided later.</summary>
    private static readonly HashSet<string> Purposes = ["TREAT", "ETREAT", "CAREMGT", "COC", "HOPERAT", "HPAYMT"];

    /// <summary>Parameter that names the organisation for whom a joint connection asks.</summary>
    internal const string RequesterParameter = "service_requester";

    private static readonly object ClientKey = new();
    private static readonly object RequesterKey = new();

    /// <summary>Set where too many have failed and the caller has to wait.</summary>
    private static readonly object WaitKey = new();
    private static readonly object ProfessionalKey = new();

    /// <summary>The thumbprint of the key that the request proves.</summary>
    private static readonly object KeyKey = new();
    private static readonly object AllowedKey = new();
    private static readonly object TokenIdKey = new();

    /// <summary>Id of the grant that the token comes of.</summary>
    private static readonly object GrantKey = new();

    /// <summary>The refresh token that goes with it.</summary>
    private static readonly object RefreshTokenKey = new();

    /// <summary>What the refresh token stands for whose standing or end is asked for.</summary>
    internal static readonly object AskedGrantKey = new();

    /// <summary>Address of the resource for who is signed in.</summary>
    private static readonly object FhirUserKey = new();

    /// <summary>What FHIR requests must have in <c>aud</c>.</summary>
    public static string AudienceOf(GatewayOptions options) => options.PublicAddress + "/fhir";

    /// <summary>Whose record the id of a Patient opens; null when it is no such id.</summary>
    public static Pseudonym? PersonOf(string? patient, IdentifierCipher ids) =>
        patient is not null && ids.TryReadResourceId(patient, out var person, out var sequence) && sequence == 0 ? person : null;

    /// <summary>As tokens and discovery write it.</summary>
    public static string IssuerOf(GatewayOptions options) => new Uri(options.PublicAddress).AbsoluteUri;

    public static void Add(IServiceCollection services, GatewayOptions options, IReadOnlyList<TokenKey> keys)
    {
        services.AddOpenIddict().AddServer(server =>
        {
            server.EnableDegradedMode();
            server.SetIssuer(IssuerOf(options));
            server.SetTokenEndpointUris(Path);
            server.SetIntrospectionEndpointUris(IntrospectionPath);
            server.SetRevocationEndpointUris(RevocationPath);
            server.SetJsonWebKeySetEndpointUris("/.well-known/jwks");
            server.SetConfigurationEndpointUris("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server");
            server.AllowClientCredentialsFlow().AllowTokenExchangeFlow();
            foreach (var key in keys)
                server.AddSigningKey(key.Signing);
            foreach (var key in IdTokens.ReadKeys(options.Identification))
                server.AddSigningCredentials(key);
            server.AddEncryptionKey(new SymmetricSecurityKey(keys[0].EncryptionKey));
            server.DisableAccessTokenEncryption();
            server.DisableScopeValidation();
            server.SetAccessTokenLifetime(TimeSpan.FromSeconds(options.Identification.AccessTokenSeconds));
            server.UseClientCertificateBoundAccessTokens();
            // Behind a terminator on this machine the scheme is set from its listener, see Listeners.
            server.UseAspNetCore().DisableTransportSecurityRequirement();
            // After UseAspNetCore, which adds a method of its own.
            server.Configure(it =>
            {
                it.ClientAuthenticationMethods.Clear();
                it.ClientAuthenticationMethods.Add(ClientAuthenticationMethods.PrivateKeyJwt);
                it.ClientAssertionTypes.Clear();
                it.ClientAssertionTypes.Add(ClientAssertionTypes.JwtBearer);
                it.SubjectTokenTypes.Clear();
                foreach (var type in SubjectTokens.Types)
                    it.SubjectTokenTypes.Add(type);
                it.ActorTokenTypes.Clear();
                it.RequestedTokenTypes.Clear();
                it.RequestedTokenTypes.Add(TokenTypeIdentifiers.AccessToken);
            });

            server.AddEventHandler<ValidateTokenRequestContext>(handler => handler.UseScopedHandler<AuthenticateCaller>()
                .SetOrder(OpenIddictServerHandlers.Exchange.ValidateGrantType.Descriptor.Order + 500));
            server.AddEventHandler<ProcessAuthenticationContext>(handler => handler.UseInlineHandler(LeaveAssertions)
                .SetOrder(OpenIddictServerHandlers.EvaluateValidatedTokens.Descriptor.Order + 500));
            server.AddEventHandler<HandleTokenRequestContext>(handler => handler.UseSingletonHandler<GrantToken>());
            server.AddEventHandler<HandleConfigurationRequestContext>(handler => handler.UseInlineHandler(TellCertificates)
                .SetOrder(OpenIddictServerHandlers.Discovery.AttachClientAuthenticationMethods.Descriptor.Order + 500));
            server.AddEventHandler<ProcessSignInContext>(handler => handler.UseInlineHandler(BindToKey)
                .SetOrder(OpenIddictServerHandlers.PrepareAccessTokenPrincipal.Descriptor.Order + 500));
            server.AddEventHandler<GenerateTokenContext>(handler => handler.UseSingletonHandler<SignWithNewest>()
                .SetOrder(OpenIddictServerHandlers.Protection.AttachSecurityCredentials.Descriptor.Order + 500));
            server.AddEventHandler<GenerateTokenContext>(handler => handler.UseInlineHandler(ShortenTokenId)
                .SetOrder(OpenIddictServerHandlers.Protection.AttachTokenMetadata.Descriptor.Order + 500));
            server.AddEventHandler<ApplyTokenResponseContext>(handler => handler.UseScopedHandler<CompleteResponse>().SetOrder(int.MinValue + 100_000));
            server.AddEventHandler<ApplyTokenResponseContext>(handler => handler.UseInlineHandler(TellOutage)
                .SetOrder(OpenIddictServerAspNetCoreHandlers.AttachHttpResponseCode<ApplyTokenResponseContext>.Descriptor.Order + 500));
            server.AddEventHandler<HandleConfigurationRequestContext>(handler => handler.UseSingletonHandler<DescribeAppFlow>().SetOrder(int.MaxValue - 100_000));
            TokenStatus.Add(server);
        });
        // Requests and codes are AppAuthorizations' and not OpenIddict's, whose check wants an authorization endpoint of its own for this.
        services.PostConfigure<OpenIddictServerOptions>(static it =>
        {
            it.GrantTypes.Add(GrantTypes.AuthorizationCode);
            it.GrantTypes.Add(GrantTypes.RefreshToken);
            it.CodeChallengeMethods.Clear();
            it.CodeChallengeMethods.Add(CodeChallengeMethods.Sha256);
        });
    }

    /// <summary>RFC 8414, RFC 9126 §5, RFC 9207 §3: what OpenIddict does not see.</summary>
    internal sealed class DescribeAppFlow(GatewayOptions options) : IOpenIddictServerHandler<HandleConfigurationRequestContext>
    {
        public ValueTask HandleAsync(HandleConfigurationRequestContext context)
        {
            context.AuthorizationEndpoint = new Uri(options.PublicAddress + PushedAuthorization.AuthorizePath);
            context.PushedAuthorizationEndpoint = new Uri(options.PublicAddress + PushedAuthorization.Path);
            context.Metadata["require_pushed_authorization_requests"] = true;
            context.Metadata["authorization_response_iss_parameter_supported"] = true;
            context.Metadata["request_parameter_supported"] = false;
            // RFC 8414 §2: required beside private_key_jwt.
            foreach (var endpoint in (ReadOnlySpan<string>)["token", "introspection", "revocation"])
                context.Metadata[endpoint + "_endpoint_auth_signing_alg_values_supported"] = new OpenIddictParameter([.. ClientAuthentication.Algorithms]);
            // RFC 9449 §5.1
            context.Metadata["dpop_signing_alg_values_supported"] = new OpenIddictParameter([.. DpopProofs.Algorithms]);
            context.Scopes.Clear();
            context.Scopes.UnionWith(SmartConfiguration.Scopes);
            context.Claims.UnionWith([Claims.Nonce, Claims.AccessTokenHash, AcrClaim, IdTokens.FhirUser]);
            context.GrantTypes.Add(GrantTypes.AuthorizationCode);
            context.GrantTypes.Add(GrantTypes.RefreshToken);
            context.ResponseTypes.Add(ResponseTypes.Code);
            context.ResponseModes.Add(ResponseModes.Query);
            return default;
        }
    }

    /// <summary>OpenIddict would validate assertion and subject token with its own keys; <see cref="AuthenticateCaller"/> has done both.</summary>
    private static ValueTask LeaveAssertions(ProcessAuthenticationContext context)
    {
        context.ValidateClientAssertion = context.ValidateSubjectToken = false;
        context.ExtractActorToken = context.ValidateActorToken = false;
        var http = HttpOf(context.Transaction);
        // Codes and refresh tokens are none of OpenIddict's tokens; it checks once more what AuthenticateCaller has found behind them.
        if (http.Items[AskedGrantKey] is AppGrant grant)
        {
            context.ExtractGenericToken = context.ValidateGenericToken = context.RequireGenericToken = false;
            context.GenericTokenPrincipal = new ClaimsPrincipal(new ClaimsIdentity("grant"))
                .SetTokenType(TokenTypeIdentifiers.RefreshToken)
                .SetPresenters(grant.Allowed.Request.ClientId)
                .SetClaim(Claims.Subject, grant.Allowed.Professional?.Id ?? grant.Allowed.Patient)
                .SetClaim(GrantClaim, grant.Id)
                .SetScopes([.. grant.Allowed.Request.Identity, .. grant.Allowed.Request.Scopes, grant.Allowed.Request.Access!])
                .SetCreationDate(grant.Began).SetExpirationDate(grant.Ends);
        }
        if (http.Items[AllowedKey] is not AllowedRequest { Request: var asked })
            return default;
        if (context.Request.IsRefreshTokenGrantType())
        {
            context.ExtractRefreshToken = context.ValidateRefreshToken = context.RequireRefreshToken = false;
            context.RefreshTokenPrincipal = new ClaimsPrincipal(new ClaimsIdentity("grant")).SetPresenters(asked.ClientId).SetScopes(context.Request.GetScopes());
        }
        else
        {
            context.ExtractAuthorizationCode = context.ValidateAuthorizationCode = context.RequireAuthorizationCode = false;
            context.AuthorizationCodePrincipal = new ClaimsPrincipal(new ClaimsIdentity("code"))
                .SetPresenters(asked.ClientId)
                .SetClaim(Claims.Private.RedirectUri, asked.RedirectUri)
                .SetClaim(Claims.Private.CodeChallenge, asked.CodeChallenge)
                .SetClaim(Claims.Private.CodeChallengeMethod, CodeChallengeMethods.Sha256);
        }
        return default;
    }

    /// <summary>OpenIddict would judge the certificate itself, by a policy of its own, if it knew of the method; <see cref="ClientAuthentication"/> does.</summary>
    private static ValueTask TellCertificates(HandleConfigurationRequestContext context)
    {
        foreach (var methods in new[] { context.TokenEndpointAuthenticationMethods, context.IntrospectionEndpointAuthenticationMethods, context.RevocationEndpointAuthenticationMethods })
            methods.Add(ClientAuthenticationMethods.TlsClientAuth);
        return default;
    }

    /// <summary>RFC 9449 §6.1: in place of the certificate, where the request carried a proof.</summary>
    private static ValueTask BindToKey(ProcessSignInContext context)
    {
        if (KeyOf(context.Transaction) is { } thumbprint)
            context.AccessTokenPrincipal?.SetClaim(ConfirmationClaim, new JsonObject { ["jkt"] = thumbprint });
        return default;
    }

    /// <summary>Thumbprint of the key that the request has proven; null when it carried no proof.</summary>
    private static string? KeyOf(OpenIddictServerTransaction transaction) => HttpOf(transaction).Items[KeyKey] as string;

    /// <summary>OpenIddict would sign with any of the keys that it publishes.</summary>
    internal sealed class SignWithNewest(TokenKeys keys) : IOpenIddictServerHandler<GenerateTokenContext>
    {
        public ValueTask HandleAsync(GenerateTokenContext context)
        {
            context.SigningCredentials = context.Options.SigningCredentials.First(credentials => credentials.Key == keys.Newest.Signing);
            if (context.TokenType == TokenTypeIdentifiers.IdentityToken)
                IdTokens.Complete(context, (RegisteredClient)HttpOf(context.Transaction).Items[ClientKey]!);
            return default;
        }
    }

    /// <summary>The audit may record at most 32 characters of a token's id (IHE BALP), and OpenIddict makes 36.</summary>
    private static ValueTask ShortenTokenId(GenerateTokenContext context)
    {
        if (context.SecurityTokenDescriptor.Claims is { } claims && context.TokenType == TokenTypeIdentifiers.AccessToken)
            claims[Claims.JwtId] = HttpOf(context.Transaction).Items[TokenIdKey] as string ?? NewTokenId();
        return default;
    }

    private static string NewTokenId() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));

    /// <summary>An outage is ours, not the client's mistake, and who failed too often has to wait: OpenIddict would answer 400, which nobody tries again.</summary>
    internal static ValueTask TellOutage(BaseRequestContext context)
    {
        if (context.Transaction.Response?.Error == Errors.TemporarilyUnavailable)
        {
            var response = HttpOf(context.Transaction).Response;
            var waits = response.HttpContext.Items.ContainsKey(WaitKey);
            response.StatusCode = waits ? StatusCodes.Status429TooManyRequests : StatusCodes.Status503ServiceUnavailable;
            // Who waits has been told how long.
            if (!waits)
                response.Headers.RetryAfter = RetryAfterSeconds;
        }
        return default;
    }

    internal static HttpContext HttpOf(OpenIddictServerTransaction transaction) =>
        transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("The token endpoint runs over HTTP only.");

    /// <summary>Authenticates the client of a request to any of the endpoints; null when the request has been rejected.</summary>
    /// <exception cref="SharedStateException">The replay cache does not answer.</exception>
    internal static async ValueTask<RegisteredClient?> AuthenticateAsync(BaseValidatingContext context, ClientAuthentication clients, AttemptLimits limits)
    {
        var http = HttpOf(context.Transaction);
        var request = context.Transaction.Request!;
        void Wait(Waiting wait)
        {
            http.Items[WaitKey] = true;
            context.Reject(Errors.TemporarilyUnavailable, AttemptLimits.Refuse(http, wait).Issues[0].Diagnostics);
        }
        if ((limits.Wait(http) ?? limits.WaitForTokens(http, () => ClaimedIn(request))) is { } wait)
        {
            Wait(wait);
            return null;
        }
        var (client, refusal) = await clients.AuthenticateAsync(http, request.ClientId, request.ClientAssertionType, request.ClientAssertion).ConfigureAwait(false);
        if (client is null)
        {
            context.Reject(refusal!.Error, refusal.Description);
            return null;
        }
        // SMART requests carry no client_id beside the assertion; OpenIddict wants one from here on.
        request.ClientId = client.ClientId;
        http.Items[ClientKey] = client;
        if (await limits.AskedAsync(http, client).ConfigureAwait(false) is not { } flood)
            return client;
        Wait(flood);
        return null;
    }

    /// <summary>What a request that nobody has verified calls its client; null when it calls it nothing.</summary>
    private static string? ClaimedIn(OpenIddictRequest? request) => request?.ClientId ?? ClientAuthentication.ClaimedIn(request?.ClientAssertion);

    /// <summary>Who is asking, and for whom.</summary>
    internal sealed class AuthenticateCaller(ClientAuthentication clients, SubjectTokens subjects, AppAuthorizations apps, AppGrants grants, AppStanding standings, DpopProofs proofs, AttemptLimits limits,
        IIdentificationObserver observer, IdentifierCipher ids, GatewayOptions options, TimeProvider time, IPractitioners? practitioners = null) : IOpenIddictServerHandler<ValidateTokenRequestContext>
    {
        public async ValueTask HandleAsync(ValidateTokenRequestContext context)
        {
            var http = HttpOf(context.Transaction);
            var request = context.Request;
            try
            {
                if (await AuthenticateAsync(context, clients, limits).ConfigureAwait(false) is not { } client)
                    return;
                // Before a code is used up: who is told a nonce comes again with the same one.
                var (thumbprint, unbound) = await proofs.VerifyAsync(http, client).ConfigureAwait(false);
                if (unbound is not null)
                {
                    context.Reject(unbound.Error, unbound.Description);
                    return;
                }
                http.Items[KeyKey] = thumbprint;
                if (request.IsAuthorizationCodeGrantType())
                {
                    var (allowed, problem) = await apps.RedeemAsync(request.Code, client.ClientId, request.RedirectUri, request.CodeVerifier, thumbprint).ConfigureAwait(false);
                    if (allowed is null)
                    {
                        context.Reject(Errors.InvalidGrant, problem);
                        return;
                    }
                    var (standing, fallen) = await standings.OfAsync(allowed, client, http.RequestAborted).ConfigureAwait(false);
                    if (standing is null)
                    {
                        context.Reject(fallen!.Error, fallen.Description);
                        return;
                    }
                    var id = AppGrants.IdOf(request.Code!);
                    Allow(http, allowed, standing, id);
                    http.Items[FhirUserKey] = await FhirUserOfAsync(http, client, allowed, standing).ConfigureAwait(false);
                    if (allowed.Request.Access is not null)
                        if (await grants.BeginAsync(allowed, id, thumbprint, CertificateOf(http)).ConfigureAwait(false) is { } token)
                            http.Items[RefreshTokenKey] = token;
                        else
                            context.Reject(Errors.InvalidGrant, "The code has been used.");
                    return;
                }
                if (request.IsRefreshTokenGrantType())
                {
                    if (await RefreshAsync(http, client, request, thumbprint).ConfigureAwait(false) is { } refused)
                        context.Reject(refused.Error, refused.Description);
                    return;
                }
                // A clinic's app is not a system that vouches for its users: they sign in.
                if (client.Registration.Kind == ClientKind.ClinicApp)
                {
                    context.Reject(Errors.UnauthorizedClient, "An app of a clinic gets tokens by authorization_code only.");
                    return;
                }
                if (RequesterOf(client, (string?)request[RequesterParameter], out var unnamed) is not { } requester)
                {
                    context.Reject(Errors.InvalidRequest, unnamed);
                    return;
                }
                http.Items[RequesterKey] = requester;
                if (ExplainScopes(client, request) is { } scope)
                {
                    context.Reject(Errors.InvalidScope, scope);
                    return;
                }
                if (ExplainPurpose((string?)request[PurposeClaim]) is { } purpose)
                {
                    context.Reject(Errors.InvalidRequest, purpose);
                    return;
                }
                if (!request.IsTokenExchangeGrantType())
                    return;
                if (string.IsNullOrEmpty(request.SubjectToken) || request.SubjectTokenType is not { } type || !SubjectTokens.Types.Contains(type))
                {
                    context.Reject(Errors.InvalidRequest, $"Send subject_token, and subject_token_type as one of {string.Join(", ", SubjectTokens.Types)}.");
                    return;
                }
                if (request.ActorToken is not null)
                {
                    context.Reject(Errors.InvalidRequest, "actor_token is not used: the actor is the authenticated client.");
                    return;
                }
                var (professional, unproven) = await subjects.ValidateAsync(http, client, requester, request.SubjectToken).ConfigureAwait(false);
                if (professional is null)
                    context.Reject(unproven!.Error, unproven.Description);
                else if (professional.Until <= time.GetUtcNow())
                    context.Reject(Errors.InvalidRequest, "The subject_token has expired; the professional must sign in again.");
                else
                    http.Items[ProfessionalKey] = professional;
            }
            catch (SharedStateException)
            {
                context.Reject(Errors.TemporarilyUnavailable, "Client assertions cannot be checked for replay at the moment; try again with a new assertion.");
            }
        }

        /// <summary>RFC 6749 §6: a new access token on what was allowed, no wider, and recorded before it is issued.</summary>
        /// <returns>Why not; null when it is to be issued.</returns>
        private async ValueTask<TokenRefusal?> RefreshAsync(HttpContext http, RegisteredClient client, OpenIddictRequest request, string? thumbprint)
        {
            if (string.IsNullOrEmpty(request.RefreshToken))
                return new(Errors.InvalidRequest, "Send refresh_token.");
            if (await grants.FindAsync(request.RefreshToken).ConfigureAwait(false) is not { } grant || grant.Allowed.Request.ClientId != client.ClientId)
                return new(Errors.InvalidGrant, "The refresh token has ended, was revoked, is another client's or never was; ask anew.");
            if (grant.Key != thumbprint || (grant.Key is null && grant.Certificate != CertificateOf(http)))
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
            Allow(http, grant.Allowed with { Request = asked }, standing, grant.Id);
            try
            {
                await observer.RefreshedAsync(http, SpeakerOf(http, client, grant.Allowed, standing, SmartScope.ParseAll(asked.Scopes)), http.RequestAborted).ConfigureAwait(false);
            }
            catch (FaultException)
            {
                return new(Errors.TemporarilyUnavailable, "The access could not be recorded, so no token was issued; try again with a new assertion.");
            }
            return null;
        }

        private static void Allow(HttpContext http, AllowedRequest allowed, StandingRequest standing, string grant)
        {
            http.Items[AllowedKey] = allowed;
            http.Items[RequesterKey] = standing.Requester;
            http.Items[ProfessionalKey] = standing.Professional;
            http.Items[GrantKey] = grant;
            // The audit names the token before it is there.
            http.Items[TokenIdKey] = NewTokenId();
        }

        /// <summary>RFC 8705 §3.1.</summary>
        private static string? CertificateOf(HttpContext http) =>
            http.Connection.ClientCertificate is { } certificate ? Base64Url.EncodeToString(certificate.GetCertHash(HashAlgorithmName.SHA256)) : null;

        /// <summary>SMART App Launch 2.2: address of the resource for who is signed in; null when it is not asked for, or there is none.</summary>
        private async ValueTask<string?> FhirUserOfAsync(HttpContext http, RegisteredClient client, AllowedRequest allowed, StandingRequest standing)
        {
            if (!allowed.Request.Identity.Contains(IdTokens.FhirUser))
                return null;
            if (allowed.Patient is not null)
                return $"{AudienceOf(options)}/Patient/{allowed.Patient}";
            if (practitioners is null || standing.Professional is null)
                return null;
            var id = await practitioners.FindAsync(SpeakerOf(http, client, allowed, standing, SmartScope.ParseAll(["user/Practitioner.s"])), http.RequestAborted).ConfigureAwait(false);
            return id is null ? null : $"{AudienceOf(options)}/Practitioner/{id}";
        }

        /// <summary>Who the token that is to be issued will speak for.</summary>
        private Requester SpeakerOf(HttpContext http, RegisteredClient client, AllowedRequest allowed, StandingRequest standing, IReadOnlyList<SmartScope> scopes) => new()
        {
            Kind = standing.Professional is null ? RequesterKind.Citizen : RequesterKind.Professional, ClientId = client.ClientId, AppName = client.AppName,
            Organisation = standing.Requester.Organisation, OrganisationName = standing.Requester.Name, ControllerKind = standing.Requester.Kind,
            Subscriber = standing.Requester.Organisation == client.Organisation ? null : new(client.Organisation, client.Registration.OrganisationName),
            Self = PersonOf(allowed.Patient, ids),
            ProfessionalId = standing.Professional?.Id, ProfessionalName = standing.Professional?.Name, Profession = standing.Professional?.Profession, Tasks = standing.Professional?.Tasks,
            Unit = standing.Professional?.Unit, PurposeOfUse = PurposeOf(allowed), Acr = standing.Professional?.Acr ?? allowed.Acr, TokenId = (string)http.Items[TokenIdKey]!, Scopes = scopes,
            Expires = time.GetUtcNow().AddSeconds(options.Identification.AccessTokenSeconds),
        };
    }

    private static string PurposeOf(AllowedRequest allowed) => allowed.Request.Purpose ?? (allowed.Patient is null ? DefaultPurpose : PatientRequest);

    /// <summary>The scopes that a token of a code has: without <c>fhirUser</c> where there is no resource for who it is.</summary>
    private static ImmutableArray<string> ScopesOf(HttpContext http, AllowedRequest allowed) =>
        [.. allowed.Request.Identity.Where(scope => scope != IdTokens.FhirUser || http.Items[FhirUserKey] is not null), .. allowed.Request.Scopes];

    /// <summary>Writes what was proven into the token.</summary>
    internal sealed class GrantToken(GatewayOptions options, TimeProvider time) : IOpenIddictServerHandler<HandleTokenRequestContext>
    {
        public ValueTask HandleAsync(HandleTokenRequestContext context)
        {
            var http = HttpOf(context.Transaction);
            var client = (RegisteredClient)http.Items[ClientKey]!;
            var professional = http.Items[ProfessionalKey] as VouchedProfessional;

            var identity = new ClaimsIdentity("kanta", Claims.Name, Claims.Role);
            var allowed = http.Items[AllowedKey] as AllowedRequest;
            identity.SetClaim(Claims.Subject, professional?.Id ?? allowed?.Patient ?? client.ClientId);
            var requester = (RegisteredRequester)http.Items[RequesterKey]!;
            identity.SetClaim(OrganisationClaim, requester.Organisation.ToString());
            if (requester.Organisation != client.Organisation)
                identity.SetClaim(SubscriberClaim, client.Organisation.ToString());
            identity.SetClaim(PurposeClaim, allowed is null ? PurposeOf((string?)context.Request[PurposeClaim]) : PurposeOf(allowed));
            identity.SetClaim(GrantClaim, http.Items[GrantKey] as string);
            if (allowed?.Patient is not null)
            {
                identity.SetClaim(PatientClaim, allowed.Patient);
                identity.SetClaim(AcrClaim, allowed.Acr);
            }
            var life = TimeSpan.FromSeconds(options.Identification.AccessTokenSeconds);
            if (professional is not null)
            {
                identity.SetClaim(ProfessionalIdClaim, professional.Id);
                identity.SetClaim(ProfessionalNameClaim, professional.Name);
                identity.SetClaim(ProfessionClaim, professional.Profession);
                identity.SetClaim(TaskClassClaim, professional.Tasks is { } tasks ? TaskClasses.NameOf(tasks) : null);
                identity.SetClaim(UnitClaim, professional.Unit);
                identity.SetClaim(AcrClaim, professional.Acr);
                // RFC 8693 §4.1: on whose hands the professional's request travels.
                identity.SetClaim(ActorClaim, new JsonObject { ["sub"] = client.ClientId });
                var left = professional.Until - time.GetUtcNow();
                if (left < life)
                    life = left;
            }
            identity.SetScopes(allowed is null ? ScopesOf(client, context.Request) : ScopesOf(http, allowed));
            identity.SetResources(AudienceOf(options));
            if (allowed is not null)
            {
                // Where OpenIddict looks for it.
                identity.SetClaim(Claims.Private.Nonce, allowed.Request.Nonce);
                identity.SetClaim(IdTokens.FhirUser, http.Items[FhirUserKey] as string);
            }
            identity.SetDestinations(static claim => claim.Type switch
            {
                IdTokens.FhirUser => [Destinations.IdentityToken],
                AcrClaim => [Destinations.AccessToken, Destinations.IdentityToken],
                _ => [Destinations.AccessToken],
            });
            var principal = new ClaimsPrincipal(identity);
            principal.SetAccessTokenLifetime(life);
            principal.SetIdentityTokenLifetime(life < IdTokens.Life ? life : IdTokens.Life);
            context.SignIn(principal);
            return default;
        }
    }

    /// <summary>Completes the answers: scopes as SMART wants them; a refusal is told to whoever records refusals.</summary>
    internal sealed class CompleteResponse(ClientRegistry registry, IIdentificationObserver observer, AttemptLimits limits, IdentificationMetrics metrics) :
        IOpenIddictServerHandler<ApplyTokenResponseContext>, IOpenIddictServerHandler<ApplyIntrospectionResponseContext>, IOpenIddictServerHandler<ApplyRevocationResponseContext>
    {
        public ValueTask HandleAsync(ApplyTokenResponseContext context)
        {
            if (string.IsNullOrEmpty(context.Error) && HttpOf(context.Transaction).Items[ClientKey] is RegisteredClient client && context.Request is { } request)
            {
                var allowed = HttpOf(context.Transaction).Items[AllowedKey] as AllowedRequest;
                if (KeyOf(context.Transaction) is not null)
                    context.Response.TokenType = DpopProofs.TokenType;
                context.Response.Scope = string.Join(' ', allowed is null ? ScopesOf(client, request) : [.. ScopesOf(HttpOf(context.Transaction), allowed), .. allowed.Request.Access is { } access ? (string[])[access] : []]);
                context.Response.RefreshToken = HttpOf(context.Transaction).Items[RefreshTokenKey] as string;
                if (allowed?.Patient is not null)
                    context.Response[PatientClaim] = allowed.Patient;
            }
            return TellRefusalAsync(context.Transaction);
        }

        public ValueTask HandleAsync(ApplyIntrospectionResponseContext context) => TellRefusalAsync(context.Transaction);

        public ValueTask HandleAsync(ApplyRevocationResponseContext context) => TellRefusalAsync(context.Transaction);

        private async ValueTask TellRefusalAsync(OpenIddictServerTransaction transaction)
        {
            var http = HttpOf(transaction);
            if (transaction.Response is not { Error: { Length: > 0 } error } response)
            {
                metrics.AcceptedToken();
                return;
            }
            // The documentation pages that OpenIddict points at explain its own checks, not this gateway's.
            response.ErrorUri = null;
            // Recorded when it began.
            if (http.Items.ContainsKey(WaitKey))
                return;
            metrics.RefusedToken(error);
            // What a client asks wrongly that has proven itself, or an outage of ours, is no failure to identify: one user's stale token must not hold back a clinic.
            if (!http.Items.ContainsKey(ClientKey) && error is not Errors.TemporarilyUnavailable)
                await limits.FailedAsync(http).ConfigureAwait(false);
            if (error == DpopProofs.UseNonce && !await limits.SlippedAsync(http).ConfigureAwait(false))
                return;
            await observer.RefusedAsync(http, ClaimedClient(transaction.Request, http), response.ErrorDescription ?? error, http.RequestAborted).ConfigureAwait(false);
        }

        /// <summary>Only an id that is registered: what else a request claims may be anything.</summary>
        private string ClaimedClient(OpenIddictRequest? request, HttpContext http)
        {
            if (http.Items[ClientKey] is RegisteredClient authenticated)
                return authenticated.ClientId;
            return ClaimedIn(request) is { } claimed && registry.Current.Find(claimed) is { } known ? known.ClientId : "";
        }
    }

    /// <param name="stated">The parameter <c>purpose_of_use</c>.</param>
    internal static string PurposeOf(string? stated) => stated is { Length: > 0 } ? stated : DefaultPurpose;

    /// <summary>Null when a clinic may state it.</summary>
    internal static string? ExplainPurpose(string? stated) => Purposes.Contains(PurposeOf(stated)) ? null : $"purpose_of_use must be one of {string.Join(", ", Purposes)}.";

    /// <summary>For whom the client asks: who it says, or the only one that it may ask for.</summary>
    /// <param name="named">The parameter <c>service_requester</c>.</param>
    internal static RegisteredRequester? RequesterOf(RegisteredClient client, string? named, out string problem)
    {
        problem = "";
        if (string.IsNullOrEmpty(named) && client.Requesters.Count > 1)
        {
            problem = $"The client asks for several organisations: name one by its OID in {RequesterParameter}.";
            return null;
        }
        var requester = client.RequesterOf(string.IsNullOrEmpty(named) ? client.Requesters[0].Organisation.ToString() : named);
        if (requester is null)
            problem = $"{RequesterParameter} is not an organisation that the client may ask for.";
        return requester;
    }

    private static string LevelOf(OpenIddictRequest request) => request.IsTokenExchangeGrantType() ? "user" : "system";

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

    /// <summary>What was asked for; without a wish, everything of the level that the client has registered (RFC 6749 §3.3).</summary>
    private static ImmutableArray<string> ScopesOf(RegisteredClient client, OpenIddictRequest request) =>
        request.GetScopes() is { IsEmpty: false } asked ? asked
            : [.. client.Scopes.Where(s => s.Level == LevelOf(request)).Select(s => s.ToString())];
}
