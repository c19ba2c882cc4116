using System.Text.Json.Nodes;

namespace KantaGateway.Gateway.Identification;

/// <summary><c>/.well-known/smart-configuration</c> (SMART App Launch 2.2, conformance), under the FHIR base and at the root.</summary>
internal static class SmartConfiguration
{
    /// <summary>What apps and systems may be granted, at most.</summary>
    public static readonly IReadOnlyList<string> Scopes = ["openid", "fhirUser", "launch/patient", AppGrants.OfflineAccess, AppGrants.OnlineAccess, "patient/*.rs", "user/*.cruds", "system/*.cruds",
        // One of many: any search parameters of the type itself narrow a scope.
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"];

    public static void Map(IEndpointRouteBuilder endpoints, GatewayOptions options)
    {
        var document = Write(options);
        RequestDelegate answer = async context =>
        {
            context.Response.ContentType = "application/json";
            context.Response.Headers.CacheControl = "public, max-age=300";
            context.Response.ContentLength = document.Length;
            await context.Response.Body.WriteAsync(document, context.RequestAborted).ConfigureAwait(false);
        };
        endpoints.MapGet("/.well-known/smart-configuration", answer);
        endpoints.MapGet("/fhir/.well-known/smart-configuration", answer);
    }

    private static byte[] Write(GatewayOptions options)
    {
        static JsonArray List(params IEnumerable<string> items) => [.. items.Select(item => (JsonNode)item)];

        return System.Text.Encoding.UTF8.GetBytes(new JsonObject
        {
            ["issuer"] = TokenEndpoint.IssuerOf(options),
            ["jwks_uri"] = options.PublicAddress + "/.well-known/jwks",
            ["token_endpoint"] = options.PublicAddress + TokenEndpoint.Path,
            ["introspection_endpoint"] = options.PublicAddress + TokenEndpoint.IntrospectionPath,
            ["revocation_endpoint"] = options.PublicAddress + TokenEndpoint.RevocationPath,
            ["token_endpoint_auth_methods_supported"] = List("private_key_jwt", "tls_client_auth"),
            ["token_endpoint_auth_signing_alg_values_supported"] = List(ClientAuthentication.Algorithms),
            ["authorization_endpoint"] = options.PublicAddress + PushedAuthorization.AuthorizePath,
            ["pushed_authorization_request_endpoint"] = options.PublicAddress + PushedAuthorization.Path,
            ["require_pushed_authorization_requests"] = true,
            ["authorization_response_iss_parameter_supported"] = true,
            ["grant_types_supported"] = List("authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ["scopes_supported"] = List(Scopes),
            ["response_types_supported"] = List("code"),
            ["code_challenge_methods_supported"] = List("S256"),
            // RFC 9449 §5.1
            ["dpop_signing_alg_values_supported"] = List(Dpop.DpopProofs.Algorithms),
            // RFC 8705 §3.3
            ["tls_client_certificate_bound_access_tokens"] = true,
            ["capabilities"] = List("launch-standalone", "client-confidential-asymmetric", "context-standalone-patient", "permission-patient", "permission-user", "permission-v2", "permission-offline", "permission-online"),
        }.ToJsonString());
    }
}
