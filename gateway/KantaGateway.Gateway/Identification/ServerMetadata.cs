using KantaGateway.Gateway.Identification.Dpop;
using OpenIddict.Abstractions;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>What the metadata of the authorization server says of what OpenIddict does not see (RFC 8414, RFC 9126 §5, RFC 9207 §3).</summary>
internal sealed class ServerMetadata(GatewayOptions options) : IOpenIddictServerHandler<HandleConfigurationRequestContext>
{
    public static void Add(OpenIddictServerBuilder server)
    {
        server.AddEventHandler<HandleConfigurationRequestContext>(static handler => handler.UseInlineHandler(TellCertificates)
            .SetOrder(OpenIddictServerHandlers.Discovery.AttachClientAuthenticationMethods.Descriptor.Order + 500));
        server.AddEventHandler<HandleConfigurationRequestContext>(static handler => handler.UseSingletonHandler<ServerMetadata>().SetOrder(int.MaxValue - 100_000));
    }

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
        context.Claims.UnionWith([Claims.Nonce, Claims.AccessTokenHash, TokenEndpoint.AcrClaim, IdTokens.FhirUser]);
        context.GrantTypes.Add(GrantTypes.AuthorizationCode);
        context.GrantTypes.Add(GrantTypes.RefreshToken);
        context.ResponseTypes.Add(ResponseTypes.Code);
        context.ResponseModes.Add(ResponseModes.Query);
        return default;
    }

    /// <summary>OpenIddict would judge the certificate itself, by a policy of its own, if it knew of the method; <see cref="ClientAuthentication"/> does.</summary>
    private static ValueTask TellCertificates(HandleConfigurationRequestContext context)
    {
        foreach (var methods in new[] { context.TokenEndpointAuthenticationMethods, context.IntrospectionEndpointAuthenticationMethods, context.RevocationEndpointAuthenticationMethods })
            methods.Add(ClientAuthenticationMethods.TlsClientAuth);
        return default;
    }
}
