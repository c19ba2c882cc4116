using System.Buffers.Text;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Professionals;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>Writes what <see cref="TokenRequests"/> has found into the tokens and the answer.</summary>
internal sealed class IssuedTokens(TokenKeys keys, GatewayOptions options, TimeProvider time) :
    IOpenIddictServerHandler<HandleTokenRequestContext>, IOpenIddictServerHandler<ProcessSignInContext>, IOpenIddictServerHandler<GenerateTokenContext>, IOpenIddictServerHandler<ApplyTokenResponseContext>
{
    private const string SubscriberClaim = "subscriber", ActorClaim = "act", ConfirmationClaim = "cnf";

    public static void Add(OpenIddictServerBuilder server)
    {
        server.AddEventHandler<HandleTokenRequestContext>(static handler => handler.UseSingletonHandler<IssuedTokens>());
        server.AddEventHandler<ProcessSignInContext>(static handler => handler.UseSingletonHandler<IssuedTokens>()
            .SetOrder(OpenIddictServerHandlers.PrepareAccessTokenPrincipal.Descriptor.Order + 500));
        server.AddEventHandler<GenerateTokenContext>(static handler => handler.UseSingletonHandler<IssuedTokens>()
            .SetOrder(OpenIddictServerHandlers.Protection.AttachSecurityCredentials.Descriptor.Order + 500));
        server.AddEventHandler<GenerateTokenContext>(static handler => handler.UseInlineHandler(ShortenId)
            .SetOrder(OpenIddictServerHandlers.Protection.AttachTokenMetadata.Descriptor.Order + 500));
        server.AddEventHandler<ApplyTokenResponseContext>(static handler => handler.UseSingletonHandler<IssuedTokens>().SetOrder(int.MinValue + 50_000));
    }

    /// <summary>The audit may record at most 32 characters of a token's id (IHE BALP).</summary>
    public static string NewId() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));

    public ValueTask HandleAsync(HandleTokenRequestContext context)
    {
        var found = ConnectRequest.Of(context.Transaction);
        var (client, requester, professional, allowed) = (found.Client!, found.Requester!, found.Professional, found.Allowed);

        var identity = new ClaimsIdentity("kanta", Claims.Name, Claims.Role);
        identity.SetClaim(Claims.Subject, professional?.Id ?? allowed?.Patient ?? client.ClientId);
        identity.SetClaim(TokenEndpoint.OrganisationClaim, requester.Organisation.ToString());
        if (requester.Organisation != client.Organisation)
            identity.SetClaim(SubscriberClaim, client.Organisation.ToString());
        identity.SetClaim(TokenEndpoint.PurposeClaim, allowed is null ? TokenEndpoint.PurposeOf((string?)context.Request[TokenEndpoint.PurposeClaim]) : TokenEndpoint.PurposeOf(allowed));
        identity.SetClaim(TokenEndpoint.GrantClaim, found.Grant);
        if (allowed?.Patient is not null)
        {
            identity.SetClaim(TokenEndpoint.PatientClaim, allowed.Patient);
            identity.SetClaim(TokenEndpoint.AcrClaim, allowed.Acr);
        }
        var life = TimeSpan.FromSeconds(options.Identification.AccessTokenSeconds);
        if (professional is not null)
        {
            identity.SetClaim(TokenEndpoint.ProfessionalIdClaim, professional.Id);
            identity.SetClaim(TokenEndpoint.ProfessionalNameClaim, professional.Name);
            identity.SetClaim(TokenEndpoint.ProfessionClaim, professional.Profession);
            identity.SetClaim(TokenEndpoint.TaskClassClaim, professional.Tasks is { } tasks ? TaskClasses.NameOf(tasks) : null);
            identity.SetClaim(TokenEndpoint.UnitClaim, professional.Unit);
            identity.SetClaim(TokenEndpoint.AcrClaim, professional.Acr);
            // RFC 8693 §4.1: on whose hands the professional's request travels.
            identity.SetClaim(ActorClaim, new JsonObject { ["sub"] = client.ClientId });
            var left = professional.Until - time.GetUtcNow();
            if (left < life)
                life = left;
        }
        identity.SetScopes(TokenRequests.ScopesOf(found, context.Request));
        identity.SetResources(TokenEndpoint.AudienceOf(options));
        if (allowed is not null)
        {
            // Where OpenIddict looks for it.
            identity.SetClaim(Claims.Private.Nonce, allowed.Request.Nonce);
            identity.SetClaim(IdTokens.FhirUser, found.FhirUser);
        }
        identity.SetDestinations(static claim => claim.Type switch
        {
            IdTokens.FhirUser => [Destinations.IdentityToken],
            TokenEndpoint.AcrClaim => [Destinations.AccessToken, Destinations.IdentityToken],
            _ => [Destinations.AccessToken],
        });
        var principal = new ClaimsPrincipal(identity);
        principal.SetAccessTokenLifetime(life);
        principal.SetIdentityTokenLifetime(life < IdTokens.Life ? life : IdTokens.Life);
        context.SignIn(principal);
        return default;
    }

    /// <summary>RFC 9449 §6.1: to the key in place of the certificate, where the request carried a proof.</summary>
    public ValueTask HandleAsync(ProcessSignInContext context)
    {
        if (ConnectRequest.Of(context.Transaction).Key is { } thumbprint)
            context.AccessTokenPrincipal?.SetClaim(ConfirmationClaim, new JsonObject { ["jkt"] = thumbprint });
        return default;
    }

    /// <summary>OpenIddict would sign with any of the keys that it publishes.</summary>
    public ValueTask HandleAsync(GenerateTokenContext context)
    {
        context.SigningCredentials = context.Options.SigningCredentials.First(credentials => credentials.Key == keys.Newest.Signing);
        if (context.TokenType == TokenTypeIdentifiers.IdentityToken)
            IdTokens.Complete(context, ConnectRequest.Of(context.Transaction).Client!);
        return default;
    }

    /// <summary>OpenIddict makes 36 characters.</summary>
    private static ValueTask ShortenId(GenerateTokenContext context)
    {
        if (context.SecurityTokenDescriptor.Claims is { } claims && context.TokenType == TokenTypeIdentifiers.AccessToken)
            claims[Claims.JwtId] = ConnectRequest.Of(context.Transaction).TokenId ?? NewId();
        return default;
    }

    /// <summary>SMART App Launch 2.2: the scopes that were granted, and the patient in context.</summary>
    public ValueTask HandleAsync(ApplyTokenResponseContext context)
    {
        var found = ConnectRequest.Of(context.Transaction);
        if (!string.IsNullOrEmpty(context.Error) || found.Client is null || context.Request is not { } request)
            return default;
        if (found.Key is not null)
            context.Response.TokenType = DpopProofs.TokenType;
        var access = found.Allowed?.Request.Access;
        context.Response.Scope = string.Join(' ', access is null ? TokenRequests.ScopesOf(found, request) : TokenRequests.ScopesOf(found, request).Add(access));
        context.Response.RefreshToken = found.RefreshToken;
        if (found.Allowed?.Patient is { } patient)
            context.Response[TokenEndpoint.PatientClaim] = patient;
        return default;
    }
}
