using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Professionals;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// What becomes of an access or refresh token after it was issued: introspection (RFC 7662) and revocation (RFC 7009), both for the client
/// that it was issued to.
/// </summary>
/// <remarks>
/// OpenIddict reads the token and knows whose it is; without a token store it neither revokes nor knows what was revoked, so
/// both is done with <see cref="Revocations"/>. A token of somebody else is to both endpoints as if it did not exist.
/// </remarks>
internal static class TokenStatus
{
    public static void Add(OpenIddictServerBuilder server)
    {
        server.AddEventHandler<ValidateIntrospectionRequestContext>(static handler => handler.UseSingletonHandler<FindGrant>()
            .SetOrder(OpenIddictServerHandlers.Introspection.ValidateTokenParameter.Descriptor.Order + 500));
        server.AddEventHandler<ValidateIntrospectionRequestContext>(static handler => handler.UseSingletonHandler<RejectRevoked>()
            .SetOrder(OpenIddictServerHandlers.Introspection.ValidateAuthorizedParty.Descriptor.Order + 500));
        server.AddEventHandler<HandleIntrospectionRequestContext>(static handler => handler.UseInlineHandler(Describe)
            .SetOrder(OpenIddictServerHandlers.Introspection.AttachMetadataClaims.Descriptor.Order + 500));

        server.AddEventHandler<ValidateRevocationRequestContext>(static handler => handler.UseSingletonHandler<FindGrant>()
            .SetOrder(OpenIddictServerHandlers.Revocation.ValidateTokenParameter.Descriptor.Order + 500));
        server.AddEventHandler<HandleRevocationRequestContext>(static handler => handler.UseSingletonHandler<Revoke>()
            .SetOrder(OpenIddictServerHandlers.Revocation.AttachPrincipal.Descriptor.Order + 500));
    }

    private const string Unknown = "What has been revoked is not known at the moment; try again with a new assertion.";

    /// <summary>What OpenIddict cannot read: a refresh token is none of its own.</summary>
    internal sealed class FindGrant(AppGrants grants) : IOpenIddictServerHandler<ValidateIntrospectionRequestContext>, IOpenIddictServerHandler<ValidateRevocationRequestContext>
    {
        public ValueTask HandleAsync(ValidateIntrospectionRequestContext context) => FindAsync(context);

        public ValueTask HandleAsync(ValidateRevocationRequestContext context) => FindAsync(context);

        private async ValueTask FindAsync(BaseValidatingContext context)
        {
            try
            {
                ConnectRequest.Of(context.Transaction).AskedGrant = await grants.FindAsync(context.Transaction.Request!.Token).ConfigureAwait(false);
            }
            catch (SharedStateException)
            {
                context.Reject(Errors.TemporarilyUnavailable, Unknown);
            }
        }
    }

    /// <summary>RFC 7662 §2.2: what FHIR requests, or of a refresh token the token endpoint, would not accept is not active.</summary>
    internal sealed class RejectRevoked(ClientRegistry registry, Revocations revocations, AppStanding standings, IdentifierCipher ids, Operators.Containments contained, IProfessionalRights? rights = null) : IOpenIddictServerHandler<ValidateIntrospectionRequestContext>
    {
        public async ValueTask HandleAsync(ValidateIntrospectionRequestContext context)
        {
            try
            {
                var http = ConnectRequest.HttpOf(context.Transaction);
                if (ConnectRequest.Of(http).AskedGrant is { } grant)
                {
                    if (registry.Current.Find(grant.Allowed.Request.ClientId) is not { } owner || (grant.Certificate is { } holder && contained.HoldsCertificate(holder)))
                        context.Reject(Errors.InvalidToken);
                    else if ((await standings.OfAsync(grant, owner, http.RequestAborted).ConfigureAwait(false)).Refusal is { } fallen)
                        context.Reject(fallen.Error == Errors.InvalidGrant ? Errors.InvalidToken : fallen.Error, fallen.Description);
                    return;
                }
                // Without a name or a client there is nothing of this gateway's.
                if (context.GenericTokenPrincipal?.GetClaim(Claims.JwtId) is not { Length: > 0 } jti
                    || registry.Current.Find(context.Request.ClientId!) is not { IsActive: true } client
                    || client.RequesterOf(context.GenericTokenPrincipal.GetClaim(TokenEndpoint.OrganisationClaim)) is not { } requester
                    || (CertificateOf(context.GenericTokenPrincipal) is { } certificate && contained.HoldsCertificate(certificate))
                    || (context.GenericTokenPrincipal.GetClaim(TokenEndpoint.ProfessionalIdClaim) is { } acting && contained.HoldsProfessional(requester.Organisation.ToString(), acting))
                    || (TokenEndpoint.PersonOf(context.GenericTokenPrincipal.GetClaim(TokenEndpoint.PatientClaim), ids) is { } self && contained.HoldsCitizen(self, ids))
                    || RevokedName.OfToken(jti, client, requester, context.GenericTokenPrincipal.GetClaim(TokenEndpoint.ProfessionalIdClaim),
                        TokenEndpoint.PersonOf(context.GenericTokenPrincipal.GetClaim(TokenEndpoint.PatientClaim), ids), context.GenericTokenPrincipal.GetClaim(TokenEndpoint.GrantClaim)).Any(revocations.IsRevoked))
                    context.Reject(Errors.InvalidToken);
                else if (rights is not null && context.GenericTokenPrincipal.GetClaim(TokenEndpoint.ProfessionalIdClaim) is { } professional
                    && !(await rights.AskAsync(professional, http.RequestAborted).ConfigureAwait(false))
                        .StillGives(context.GenericTokenPrincipal.GetClaim(TokenEndpoint.ProfessionClaim), TaskClasses.Read(context.GenericTokenPrincipal.GetClaim(TokenEndpoint.TaskClassClaim))))
                    context.Reject(Errors.InvalidToken);
            }
            catch (SharedStateException)
            {
                context.Reject(Errors.TemporarilyUnavailable, Unknown);
            }
            catch (ProfessionalRightsException)
            {
                context.Reject(Errors.TemporarilyUnavailable, "The right to practise cannot be looked up at the moment; try again with a new assertion.");
            }
        }
    }

    /// <summary>Thumbprint of the certificate that a token is bound to; null: to none.</summary>
    private static string? CertificateOf(System.Security.Claims.ClaimsPrincipal token) =>
        token.GetClaim("cnf") is { } confirmation && System.Text.Json.JsonElement.Parse(confirmation).TryGetProperty("x5t#S256", out var thumbprint) ? thumbprint.GetString() : null;

    /// <summary>OpenIddict names whose and how long, and the certificate (RFC 8705 §3.2); what the token may it leaves out without a client store.</summary>
    private static ValueTask Describe(HandleIntrospectionRequestContext context)
    {
        context.Scopes.UnionWith(context.GenericTokenPrincipal!.GetScopes());
        if (ConnectRequest.Of(context.Transaction).AskedGrant is { } grant)
            context.Claims["cnf"] = new OpenIddictParameter(grant.Key is null ? new System.Text.Json.Nodes.JsonObject { ["x5t#S256"] = grant.Certificate } : new System.Text.Json.Nodes.JsonObject { ["jkt"] = grant.Key });
        // RFC 9449 §6.2
        if (context.GenericTokenPrincipal!.GetClaim("cnf") is { } confirmation && System.Text.Json.JsonElement.Parse(confirmation).TryGetProperty("jkt", out var thumbprint))
        {
            context.TokenType = Dpop.DpopProofs.TokenType;
            context.Claims["cnf"] = new OpenIddictParameter(new System.Text.Json.Nodes.JsonObject { ["jkt"] = thumbprint.GetString() });
        }
        return default;
    }

    /// <summary>Answered when no gateway takes the token any more.</summary>
    internal sealed class Revoke(Revocations revocations, AppGrants grants) : IOpenIddictServerHandler<HandleRevocationRequestContext>
    {
        public async ValueTask HandleAsync(HandleRevocationRequestContext context)
        {
            var http = ConnectRequest.HttpOf(context.Transaction);
            try
            {
                // RFC 7009 §2.1: a refresh token goes with every access token of it.
                if (ConnectRequest.Of(http).AskedGrant is { } grant)
                    await grants.EndAsync(grant.Id, http.RequestAborted).ConfigureAwait(false);
                else if (context.GenericTokenPrincipal?.GetClaim(Claims.JwtId) is { Length: > 0 } jti && context.GenericTokenPrincipal.GetExpirationDate() is { } end)
                    await revocations.RevokeAsync(RevokedName.Token(jti), end, http.RequestAborted).ConfigureAwait(false);
                else
                    context.Reject(Errors.UnsupportedTokenType, "Only access and refresh tokens can be revoked.");
            }
            catch (SharedStateException)
            {
                // RFC 7009 §2.2.1: the client has to assume that the token still lives.
                context.Reject(Errors.TemporarilyUnavailable, "The token may not be revoked everywhere yet; send the request again.");
            }
        }
    }
}
