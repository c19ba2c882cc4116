using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>A fictional operator.</summary>
/// <param name="Id">Her <c>oid</c>.</param>
/// <param name="Roles">App roles.</param>
public sealed record SimulatedOperator(string Id, string Name, params IReadOnlyList<string> Roles);

/// <summary>
/// The operators' tenant as Entra ID speaks (v2.0): code flow with PKCE, client assertions signed with a registered certificate (PS256,
/// <c>x5t#S256</c>), ID tokens with <c>tid</c>, <c>oid</c>, <c>roles</c>, <c>acrs</c>, <c>amr</c> and <c>auth_time</c>. A page on which an operator is chosen
/// stands where the password, the key and the phone would be.
/// </summary>
/// <param name="Tenant">Its id.</param>
/// <param name="ClientId">The application registered there.</param>
/// <param name="CertificateFile">PEM certificate of that application.</param>
/// <param name="RedirectUri">Where its people come back to.</param>
public sealed record OperatorTenant(string Tenant, string ClientId, string CertificateFile, string RedirectUri)
{
    /// <summary>Under the simulators' address.</summary>
    public const string Path = "/entra";

    /// <summary>The authentication context that a sign-in with a passkey satisfies.</summary>
    public const string PhishingResistant = "c1";

    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false, SetDefaultTimesOnTokenCreation = false };

    private readonly RsaSecurityKey _key = new(RsaKeys.Of("entra-1")) { KeyId = "entra-1" };
    private readonly ConcurrentDictionary<string, Pending> _pending = new();
    private readonly ConcurrentDictionary<string, (Pending Asked, SimulatedOperator Who)> _codes = new();
    private readonly ConcurrentDictionary<string, bool> _usedAssertions = new();

    private sealed record Pending(string State, string Nonce, string Challenge, string? Acrs);

    public required IReadOnlyList<SimulatedOperator> Operators { get; init; }

    /// <summary>When people sign in, and by what client assertions are dated. ID tokens are issued now, as their reader's library goes by the machine's clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Misbehaviour: changes the claims of ID tokens; a null value removes one.</summary>
    public Action<Dictionary<string, object?>>? Change { get; set; }

    /// <summary>Misbehaviour: signs ID tokens with a key that it does not publish.</summary>
    public bool SignsWithOtherKey { get; set; }

    /// <summary>Misbehaviour: answers 503.</summary>
    public bool IsAway { get; set; }

    /// <summary>A self-signed certificate of an application, as it is registered at Entra, and its key; RSA of 2048 bits, PEM.</summary>
    public static (string CertificatePem, string KeyPem) NewApplicationCertificate()
    {
        using var rsa = RsaKeys.Of("application at Entra");
        using var certificate = new CertificateRequest("CN=KantaGateway at Entra", rsa, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddYears(2));
        return (certificate.ExportCertificatePem(), rsa.ExportPkcs8PrivateKeyPem());
    }

    /// <summary>What the last sign-in asked for.</summary>
    public IReadOnlyDictionary<string, string> Asked { get; private set; } = new Dictionary<string, string>();

    public string IssuerUnder(string address) => $"{address}{Path}/{Tenant}/v2.0";

    internal void Map(IEndpointRouteBuilder endpoints, SimulatorOptions options)
    {
        var issuer = IssuerUnder(options.PublicAddress);
        var group = endpoints.MapGroup($"{Path}/{Tenant}");
        group.MapGet("/v2.0/.well-known/openid-configuration", () => IsAway ? Results.StatusCode(503) : Results.Json(new JsonObject
        {
            ["issuer"] = issuer,
            ["authorization_endpoint"] = $"{options.PublicAddress}{Path}/{Tenant}/oauth2/v2.0/authorize",
            ["token_endpoint"] = $"{options.PublicAddress}{Path}/{Tenant}/oauth2/v2.0/token",
            ["jwks_uri"] = $"{options.PublicAddress}{Path}/{Tenant}/discovery/v2.0/keys",
            ["response_types_supported"] = new JsonArray("code"),
            ["subject_types_supported"] = new JsonArray("pairwise"),
            ["id_token_signing_alg_values_supported"] = new JsonArray("RS256"),
            ["token_endpoint_auth_methods_supported"] = new JsonArray("private_key_jwt"),
        }));
        group.MapGet("/discovery/v2.0/keys", () =>
        {
            var key = _key.Rsa.ExportParameters(false);
            return Results.Json(new JsonObject
            {
                ["keys"] = new JsonArray(new JsonObject
                {
                    ["kty"] = "RSA", ["use"] = "sig", ["kid"] = _key.KeyId, ["n"] = Base64UrlEncoder.Encode(key.Modulus), ["e"] = Base64UrlEncoder.Encode(key.Exponent),
                }),
            });
        });
        group.MapGet("/oauth2/v2.0/authorize", (Delegate)Authorize);
        group.MapPost("/oauth2/v2.0/authorize", (Delegate)ChooseAsync).DisableAntiforgery();
        group.MapPost("/oauth2/v2.0/token", (Delegate)((HttpContext context) => TokenAsync(context, issuer, $"{options.PublicAddress}{Path}/{Tenant}/oauth2/v2.0/token"))).DisableAntiforgery();
    }

    private IResult Authorize(HttpContext context)
    {
        var asked = context.Request.Query.ToDictionary(static q => q.Key, static q => q.Value.ToString());
        Asked = asked;
        string Of(string name) => asked.GetValueOrDefault(name, "");
        if (Of("client_id") != ClientId || Of("redirect_uri") != RedirectUri || Of("response_type") != "code")
            return Results.Text("AADSTS50011: client_id, redirect_uri or response_type is not as registered.", statusCode: 400);
        if (Of("code_challenge_method") != "S256" || Of("code_challenge").Length != 43 || Of("state").Length == 0 || Of("nonce").Length == 0)
            return Results.Text("state, nonce and PKCE with S256 are required.", statusCode: 400);
        string? acrs = null;
        if (Of("claims") is { Length: > 0 } claims)
            acrs = (string?)JsonNode.Parse(claims)?["id_token"]?["acrs"]?["value"];
        var ticket = Random();
        _pending[ticket] = new(Of("state"), Of("nonce"), Of("code_challenge"), acrs);
        return Results.Content(Page(ticket), "text/html; charset=utf-8");
    }

    private async Task<IResult> ChooseAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        if ((string?)form["ticket"] is not { } ticket || !_pending.TryRemove(ticket, out var asked))
            return Results.Text("This sign-in has ended.", statusCode: 400);
        if (!int.TryParse(form["operator"], out var index) || index < 0 || index >= Operators.Count)
            return Results.Redirect($"{RedirectUri}?error=access_denied&state={Uri.EscapeDataString(asked.State)}");
        var code = Random();
        _codes[code] = (asked, Operators[index]);
        return Results.Redirect($"{RedirectUri}?code={code}&state={Uri.EscapeDataString(asked.State)}");
    }

    private async Task<IResult> TokenAsync(HttpContext context, string issuer, string self)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        using var certificate = X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(CertificateFile, context.RequestAborted));
        var result = await Tokens.ValidateTokenAsync(form["client_assertion"], new TokenValidationParameters
        {
            ValidIssuer = ClientId, ValidAudience = self, IssuerSigningKey = new X509SecurityKey(certificate), TryAllIssuerSigningKeys = true,
            ValidAlgorithms = [SecurityAlgorithms.RsaSsaPssSha256], RequireExpirationTime = true,
            LifetimeValidator = (from, to, _, _) => from <= Time.GetUtcNow().AddMinutes(1).UtcDateTime && to > Time.GetUtcNow().UtcDateTime,
        });
        if (!result.IsValid || result.SecurityToken is not JsonWebToken assertion || assertion.Subject != ClientId
            || !assertion.TryGetHeaderValue<string>("x5t#S256", out var thumbprint) || thumbprint != Base64UrlEncoder.Encode(SHA256.HashData(certificate.RawData))
            || !_usedAssertions.TryAdd(assertion.Id, true))
            return Results.Json(new { error = "invalid_client" }, statusCode: 401);
        if ((string?)form["code"] is not { } code || !_codes.TryRemove(code, out var issued) || form["redirect_uri"] != RedirectUri
            || Base64UrlEncoder.Encode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString()))) != issued.Asked.Challenge)
            return Results.Json(new { error = "invalid_grant" }, statusCode: 400);
        var now = DateTimeOffset.UtcNow;
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = issuer, ["aud"] = ClientId, ["ver"] = "2.0", ["tid"] = Tenant, ["oid"] = issued.Who.Id, ["sub"] = "pairwise-" + issued.Who.Id,
            ["name"] = issued.Who.Name, ["roles"] = issued.Who.Roles.ToArray(), ["nonce"] = issued.Asked.Nonce,
            // Entra dates its tokens five minutes back.
            ["iat"] = now.AddMinutes(-5).ToUnixTimeSeconds(), ["nbf"] = now.AddMinutes(-5).ToUnixTimeSeconds(), ["exp"] = now.AddHours(1).ToUnixTimeSeconds(),
            ["auth_time"] = Time.GetUtcNow().ToUnixTimeSeconds(), ["amr"] = new[] { "fido", "mfa" }, ["acrs"] = issued.Asked.Acrs is { } acrs ? new[] { acrs } : null,
        };
        Change?.Invoke(claims);
        return Results.Json(new
        {
            access_token = Random(), token_type = "Bearer", expires_in = 3600,
            id_token = Tokens.CreateToken(new SecurityTokenDescriptor
            {
                Claims = claims.Where(static c => c.Value is not null).ToDictionary(static c => c.Key, static c => c.Value!),
                SigningCredentials = new SigningCredentials(SignsWithOtherKey ? new RsaSecurityKey(RsaKeys.Of("not published")) { KeyId = _key.KeyId } : _key, SecurityAlgorithms.RsaSha256),
                TokenType = "JWT",
            }),
        }, JsonSerializerOptions.Default);
    }

    private static string Random() => Base64UrlEncoder.Encode(RandomNumberGenerator.GetBytes(24));

    private string Page(string ticket) => ChoicePage.Html("Test sign-in of operators", $"{Path}/{Tenant}/oauth2/v2.0/authorize", ticket, "operator",
        Operators.Index().Select(o => (o.Index.ToString(CultureInfo.InvariantCulture), o.Item.Name, string.Join(", ", o.Item.Roles))));
}
