using System.Security.Claims;
using KantaGateway.Fhir.Identifiers;
using Microsoft.IdentityModel.Tokens;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The authorization server's token endpoint on OpenIddict: <c>client_credentials</c> for clinic systems (SMART Backend
/// Services), token exchange (RFC 8693) for professionals, and <c>authorization_code</c> and <c>refresh_token</c> for apps of citizens and of clinics.
/// </summary>
/// <remarks>
/// OpenIddict runs in its degraded mode: it has no client or token store. Who asks is <see cref="ConnectCallers"/>' to say, what is granted
/// <see cref="TokenRequests"/>', and <see cref="IssuedTokens"/> writes it. Tokens are self-contained and short, so gateways share nothing but keys.
/// </remarks>
internal static class TokenEndpoint
{
    public const string Path = "/connect/token";

    /// <summary>RFC 7662 and RFC 7009, see <see cref="TokenStatus"/>.</summary>
    public const string IntrospectionPath = "/connect/introspect", RevocationPath = "/connect/revoke";

    // Claims of access tokens beyond the registered ones.
    public const string OrganisationClaim = "organisation";
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

    private const string DefaultPurpose = "TREAT";

    /// <summary>v3-ActReason: the person's own wish.</summary>
    private const string PatientRequest = "PATRQT";

    /// <summary>v3-ActReason codes that a clinic may state; what each permits is decided later.</summary>
    private static readonly HashSet<string> Purposes = ["TREAT", "ETREAT", "CAREMGT", "COC", "HOPERAT", "HPAYMT"];

    /// <summary>Parameter that names the organisation for whom a joint connection asks.</summary>
    internal const string RequesterParameter = "service_requester";

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

            IdentifyCaller.Add(server);
            server.AddEventHandler<ValidateTokenRequestContext>(static handler => handler.UseScopedHandler<TokenRequests>()
                .SetOrder(OpenIddictServerHandlers.Exchange.ValidateGrantType.Descriptor.Order + 500));
            server.AddEventHandler<ProcessAuthenticationContext>(static handler => handler.UseInlineHandler(LeaveTokens)
                .SetOrder(OpenIddictServerHandlers.EvaluateValidatedTokens.Descriptor.Order + 500));
            IssuedTokens.Add(server);
            ServerMetadata.Add(server);
            ConnectAnswers.Add(server);
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

    /// <summary>
    /// OpenIddict would validate assertion and subject token with its own keys; <see cref="IdentifyCaller"/> and <see cref="TokenRequests"/> have done
    /// both. Codes and refresh tokens are none of its tokens: it checks once more what stands behind them.
    /// </summary>
    private static ValueTask LeaveTokens(ProcessAuthenticationContext context)
    {
        context.ValidateClientAssertion = context.ValidateSubjectToken = false;
        context.ExtractActorToken = context.ValidateActorToken = false;
        var found = ConnectRequest.Of(context.Transaction);
        if (found.AskedGrant is { } grant)
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
        if (found.Allowed is not { Request: var asked })
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

    internal static string PurposeOf(AllowedRequest allowed) => allowed.Request.Purpose ?? (allowed.Patient is null ? DefaultPurpose : PatientRequest);
}
