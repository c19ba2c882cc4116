using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>
/// An identity broker of the Finnish Trust Network: authorization endpoint that takes signed request objects only, a page
/// on which a citizen is chosen where a bank would be, token endpoint with <c>private_key_jwt</c>, encrypted ID tokens.
/// </summary>
/// <remarks>Traficom 213/2023; Telia Tunnistus integration guide 2.34 sections 2.4 to 2.6. Everything outside <c>request</c> but client_id is ignored.</remarks>
internal sealed class FtnBroker
{
    private const string JwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

    private static readonly TimeSpan CodeLife = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan IdTokenLife = TimeSpan.FromSeconds(600);
    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly SimulatorOptions _options;
    private readonly RsaSecurityKey _key = new(RsaKeys.Of("ftn-1")) { KeyId = "ftn-1" };
    private readonly JsonWebKey _clientSigning;
    private readonly JsonWebKey _clientEncryption;
    private readonly ConcurrentDictionary<string, PendingSignIn> _pending = new();
    private readonly ConcurrentDictionary<string, IssuedCode> _codes = new();
    private readonly ConcurrentDictionary<string, DateTimeOffset> _usedAssertions = new();

    private readonly RsaSecurityKey _keySetKey = new(RsaKeys.Of("ftn-key-set-1")) { KeyId = "ftn-key-set-1" };
    private readonly ConcurrentDictionary<string, string> _subjects = new();
    private int _jwksAsked;

    private sealed record PendingSignIn(string RedirectUri, string Acr, string State, string Nonce, string Challenge, string ServiceName, string Language, DateTimeOffset Ends);
    private sealed record IssuedCode(PendingSignIn SignIn, SimulatedCitizen Citizen, DateTimeOffset Ends);

    public FtnBroker(SimulatorOptions options)
    {
        _options = options;
        var keys = new JsonWebKeySet(options.Client.Jwks).Keys;
        _clientSigning = keys.Single(key => key.Use == "sig");
        _clientEncryption = keys.Single(key => key.Use == "enc");
    }

    /// <summary>How often the unsigned JWK set was asked for.</summary>
    public int JwksAsked => Volatile.Read(ref _jwksAsked);

    /// <summary>The keys of ID tokens, and those that the key set is signed with: what is exchanged beforehand.</summary>
    public string SigningJwks => SetOf(_key).ToJsonString();
    public string KeySetJwks => SetOf(_keySetKey).ToJsonString();

    public void Map(IEndpointRouteBuilder endpoints)
    {
        var group = endpoints.MapGroup("/ftn");
        group.MapGet("/.well-known/openid-configuration", () => Results.Json(Discovery()));
        group.MapGet("/jwks", () =>
        {
            Interlocked.Increment(ref _jwksAsked);
            return Results.Json(SetOf(_key));
        });
        group.MapGet("/signed-jwks", () => Results.Text(_options.IssuedSignedJwks?.Invoke() ?? SignedJwks(), "application/jwk-set+jwt"));
        group.MapGet("/authorize", (Delegate)AuthorizeAsync);
        group.MapPost("/authorize", (Delegate)ChooseAsync).DisableAntiforgery();
        group.MapGet("/logout", (Delegate)Logout);
        group.MapPost("/token", (Delegate)TokenAsync).DisableAntiforgery();
    }

    private JsonObject Discovery() => new()
    {
        ["issuer"] = _options.FtnIssuer,
        ["authorization_endpoint"] = _options.FtnIssuer + "/authorize",
        ["token_endpoint"] = _options.FtnIssuer + "/token",
        ["end_session_endpoint"] = _options.EndSessionEndpoint ?? _options.FtnIssuer + "/logout",
        ["backchannel_logout_supported"] = true,
        ["backchannel_logout_session_supported"] = true,
        ["jwks_uri"] = _options.FtnIssuer + "/jwks",
        ["signed_jwks_uri"] = _options.FtnIssuer + "/signed-jwks",
        ["response_types_supported"] = new JsonArray("code"),
        ["subject_types_supported"] = new JsonArray("pairwise"),
        ["scopes_supported"] = new JsonArray("openid"),
        ["acr_values_supported"] = new JsonArray([.. _options.FurtherAcrs.Prepend(_options.Acr).Select(acr => (JsonNode)acr)]),
        ["request_parameter_supported"] = true,
        ["require_signed_request_object"] = true,
        ["request_object_signing_alg_values_supported"] = new JsonArray("RS256"),
        ["token_endpoint_auth_methods_supported"] = new JsonArray("private_key_jwt"),
        ["token_endpoint_auth_signing_alg_values_supported"] = new JsonArray("RS256"),
        ["id_token_signing_alg_values_supported"] = new JsonArray("RS256"),
        ["id_token_encryption_alg_values_supported"] = new JsonArray("RSA-OAEP"),
        ["id_token_encryption_enc_values_supported"] = new JsonArray("A128CBC-HS256"),
        ["code_challenge_methods_supported"] = new JsonArray("S256"),
    };

    /// <summary>The <c>sid</c> of every ID token that was issued, and of every session that its relying party ended here; latest last.</summary>
    public ConcurrentQueue<string> Began { get; } = [];
    public ConcurrentQueue<string> Ended { get; } = [];

    /// <summary>Pairwise: the same at every sign-in of a citizen, and nobody's name.</summary>
    public string SubjectOf(SimulatedCitizen citizen) => _subjects.GetOrAdd(citizen.Name, _ => Random());

    /// <summary>OpenID Connect RP-Initiated Logout 1.0: back to the registered address and to no other.</summary>
    private IResult Logout(HttpContext context)
    {
        var query = context.Request.Query;
        if (query["client_id"] != _options.Client.ClientId || query["post_logout_redirect_uri"] != _options.Client.PostLogoutRedirectUri)
            return Refuse("client_id or post_logout_redirect_uri is not registered.");
        if ((string?)query["logout_hint"] is { Length: > 0 } session)
            Ended.Enqueue(session);
        return Results.Redirect(_options.Client.PostLogoutRedirectUri);
    }

    /// <summary>RS256 under its key, of anything.</summary>
    public byte[] Sign(byte[] octets) => _key.Rsa.SignData(octets, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);

    /// <summary>A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4), signed and encrypted as ID tokens are.</summary>
    /// <param name="change">Changes claims; a null value removes one.</param>
    public string LogoutToken(Action<Dictionary<string, object?>>? change = null, string type = "logout+jwt", RsaSecurityKey? signer = null, bool encrypted = true)
    {
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = _options.FtnIssuer, ["aud"] = _options.Client.ClientId, ["jti"] = Random(),
            ["iat"] = DateTimeOffset.UtcNow.ToUnixTimeSeconds(), ["exp"] = DateTimeOffset.UtcNow.AddMinutes(2).ToUnixTimeSeconds(),
            ["events"] = new Dictionary<string, object> { ["http://schemas.openid.net/event/backchannel-logout"] = new Dictionary<string, object>() },
        };
        change?.Invoke(claims);
        var signed = new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Claims = claims.Where(c => c.Value is not null).ToDictionary(c => c.Key, c => c.Value!),
            SigningCredentials = new SigningCredentials(signer ?? _key, SecurityAlgorithms.RsaSha256),
            TokenType = type,
        });
        return encrypted ? Encrypt(signed) : signed;
    }

    private static JsonObject SetOf(RsaSecurityKey rsa)
    {
        var key = rsa.Rsa.ExportParameters(false);
        return new()
        {
            ["keys"] = new JsonArray(new JsonObject
            {
                ["kty"] = "RSA", ["use"] = "sig", ["alg"] = "RS256", ["kid"] = rsa.KeyId,
                ["n"] = Base64UrlEncoder.Encode(key.Modulus), ["e"] = Base64UrlEncoder.Encode(key.Exponent),
            }),
        };
    }

    /// <summary>OpenID Federation 1.0 §5.2.1: the JWK set of ID tokens as a signed JWT.</summary>
    /// <param name="change">Changes claims; a null value removes one.</param>
    public string SignedJwks(Action<Dictionary<string, object?>>? change = null, RsaSecurityKey? signer = null, string type = "jwk-set+jwt", RsaSecurityKey? key = null)
    {
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = _options.FtnIssuer, ["sub"] = _options.FtnIssuer, ["iat"] = DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
            ["exp"] = DateTimeOffset.UtcNow.AddDays(1).ToUnixTimeSeconds(),
            ["keys"] = System.Text.Json.JsonSerializer.SerializeToElement(SetOf(key ?? _key)["keys"]),
        };
        change?.Invoke(claims);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Claims = claims.Where(c => c.Value is not null).ToDictionary(c => c.Key, c => c.Value!),
            SigningCredentials = new SigningCredentials(signer ?? _keySetKey, SecurityAlgorithms.RsaSha256),
            TokenType = type,
        });
    }

    /// <summary>Validates the request object and shows the page.</summary>
    private async Task<IResult> AuthorizeAsync(HttpContext context)
    {
        if ((string?)context.Request.Query["client_id"] != _options.Client.ClientId)
            return Refuse("Unknown client_id.");
        if ((string?)context.Request.Query["request"] is not { Length: > 0 } request)
            return Refuse("A signed request object is required.");
        var result = await Tokens.ValidateTokenAsync(request, ClientParameters(_options.FtnIssuer));
        if (!result.IsValid)
            return Refuse("The request object is not valid.");
        string Asked(string name) => result.Claims.TryGetValue(name, out var value) ? value as string ?? "" : "";

        if (Asked("client_id") != _options.Client.ClientId || Asked("response_type") != "code" || Asked("scope") != "openid")
            return Refuse("client_id, response_type or scope is not as agreed.");
        if (Asked("redirect_uri") != _options.Client.RedirectUri)
            return Refuse("redirect_uri is not registered.");
        if (!_options.FurtherAcrs.Append(_options.Acr).Contains(Asked("acr_values")))
            return Refuse("acr_values is mandatory, and must be a level that the broker offers.");
        if (Asked("nonce").Length == 0 || Asked("state").Length == 0 || Asked("jti").Length == 0)
            return Refuse("nonce, state and jti are mandatory.");
        if (Asked("code_challenge_method") != "S256" || Asked("code_challenge").Length != 43)
            return Refuse("PKCE with S256 is required.");
        if (Asked("ftn_spname") is { Length: > 40 })
            return Refuse("ftn_spname has more than 40 characters.");

        var ticket = Random();
        _pending[ticket] = new(Asked("redirect_uri"), Asked("acr_values"), Asked("state"), Asked("nonce"), Asked("code_challenge"), Asked("ftn_spname"), Asked("ui_locales"), DateTimeOffset.UtcNow.AddMinutes(10));
        return Results.Content(Page(ticket, _pending[ticket]), "text/html; charset=utf-8");
    }

    /// <summary>The citizen has been chosen, or has cancelled.</summary>
    private async Task<IResult> ChooseAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        if ((string?)form["ticket"] is not { } ticket || !_pending.TryRemove(ticket, out var signIn) || signIn.Ends <= DateTimeOffset.UtcNow)
            return Refuse("This sign-in has ended; start again from the service.");
        if (!int.TryParse(form["citizen"], out var index) || index < 0 || index >= _options.Citizens.Count)
            return Back(signIn, "error", "access_denied");
        var code = Random();
        _codes[code] = new(signIn, _options.Citizens[index], DateTimeOffset.UtcNow + CodeLife);
        return Back(signIn, "code", code);
    }

    private async Task<IResult> TokenAsync(HttpContext context)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        if (form["client_assertion_type"] != JwtBearer || (string?)form["client_assertion"] is not { Length: > 0 } assertion)
            return Error("invalid_client", "private_key_jwt is required.");
        var result = await Tokens.ValidateTokenAsync(assertion, ClientParameters(_options.FtnIssuer + "/token"));
        if (!result.IsValid || (result.SecurityToken as JsonWebToken)?.Subject != _options.Client.ClientId)
            return Error("invalid_client", "The client assertion is not valid.");
        if (result.SecurityToken.Id is not { Length: > 0 } jti || !_usedAssertions.TryAdd(jti, DateTimeOffset.UtcNow))
            return Error("invalid_client", "The client assertion has been used before.");
        if (form["grant_type"] != "authorization_code" || (string?)form["code"] is not { } code || !_codes.TryRemove(code, out var issued) || issued.Ends <= DateTimeOffset.UtcNow)
            return Error("invalid_grant", "The code is unknown, used or expired.");
        if (form["redirect_uri"] != issued.SignIn.RedirectUri)
            return Error("invalid_grant", "redirect_uri differs.");
        if ((string?)form["code_verifier"] is not { } verifier || Base64UrlEncoder.Encode(SHA256.HashData(Encoding.ASCII.GetBytes(verifier))) != issued.SignIn.Challenge)
            return Error("invalid_grant", "code_verifier does not match.");
        return Results.Json(new JsonObject
        {
            ["access_token"] = Random(),
            ["token_type"] = "Bearer",
            ["expires_in"] = (int)IdTokenLife.TotalSeconds,
            ["id_token"] = Send(IdToken(issued.Citizen, issued.SignIn)),
        });
    }

    private string IdToken(SimulatedCitizen citizen, PendingSignIn signIn)
    {
        var surname = citizen.Name[(citizen.Name.LastIndexOf(' ') + 1)..];
        var given = citizen.Name[..Math.Max(0, citizen.Name.LastIndexOf(' '))];
        var claims = new Dictionary<string, object>
        {
            ["sub"] = SubjectOf(citizen),
            ["sid"] = Random(),
            ["nonce"] = _options.IssuedNonce ?? signIn.Nonce,
            ["acr"] = _options.IssuedAcr ?? signIn.Acr,
            ["amr"] = new[] { "fLoA2" },
            ["auth_time"] = DateTimeOffset.UtcNow.ToUnixTimeSeconds(),
            ["session_index"] = Random(),
            ["urn:oid:2.5.4.4"] = surname,
            ["urn:oid:1.2.246.575.1.14"] = given,
            ["urn:oid:2.16.840.1.113730.3.1.241"] = citizen.Name,
        };
        // Foreign means of identification carry no identity code.
        if (citizen.IdentityCode.Length > 0)
            claims["urn:oid:1.2.246.21"] = citizen.IdentityCode;
        Began.Enqueue((string)claims["sid"]);
        return Tokens.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = _options.FtnIssuer,
            Audience = _options.Client.ClientId,
            Expires = DateTime.UtcNow + IdTokenLife,
            Claims = claims,
            SigningCredentials = new SigningCredentials(_key, SecurityAlgorithms.RsaSha256),
        });
    }

    private string Send(string signed) => _options.PlainIdTokens ? signed : _options.SentIdTokens?.Invoke(signed) ?? Encrypt(signed);

    /// <summary>Encrypts to the relying party: RSA-OAEP, A128CBC-HS256 (RFC 7516 §5.1, RFC 7518 §5.2).</summary>
    /// <param name="header">As it is to stand in the token, whatever it says.</param>
    public string Encrypt(string inner, string header = """{"alg":"RSA-OAEP","enc":"A128CBC-HS256","cty":"JWT"}""")
    {
        var (key, iv) = (RandomNumberGenerator.GetBytes(32), RandomNumberGenerator.GetBytes(16));
        using var rsa = RSA.Create(new RSAParameters { Modulus = Base64UrlEncoder.DecodeBytes(_clientEncryption.N), Exponent = Base64UrlEncoder.DecodeBytes(_clientEncryption.E) });
        using var aes = Aes.Create();
        aes.Key = key[16..];
        var ciphertext = aes.EncryptCbc(Encoding.UTF8.GetBytes(inner), iv);
        var head = Base64UrlEncoder.Encode(header);
        var length = new byte[8];
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(length, head.Length * 8);
        var tag = HMACSHA256.HashData(key[..16], (byte[])[.. Encoding.ASCII.GetBytes(head), .. iv, .. ciphertext, .. length])[..16];
        return string.Join('.', head, Base64UrlEncoder.Encode(rsa.Encrypt(key, RSAEncryptionPadding.OaepSHA1)), Base64UrlEncoder.Encode(iv), Base64UrlEncoder.Encode(ciphertext), Base64UrlEncoder.Encode(tag));
    }

    private TokenValidationParameters ClientParameters(string audience) => new()
    {
        ValidIssuer = _options.Client.ClientId,
        ValidAudience = audience,
        IssuerSigningKey = _clientSigning,
        TryAllIssuerSigningKeys = true,
        ValidAlgorithms = [SecurityAlgorithms.RsaSha256],
        RequireExpirationTime = true,
    };

    private static IResult Back(PendingSignIn signIn, string name, string value) =>
        Results.Redirect($"{signIn.RedirectUri}?{name}={Uri.EscapeDataString(value)}&state={Uri.EscapeDataString(signIn.State)}");

    private static IResult Refuse(string reason) => Results.Text(reason, "text/plain", Encoding.UTF8, 400);

    private static IResult Error(string error, string description) =>
        Results.Json(new JsonObject { ["error"] = error, ["error_description"] = description }, statusCode: error == "invalid_client" ? 401 : 400);

    private static string Random() => Base64UrlEncoder.Encode(RandomNumberGenerator.GetBytes(24));

    private string Page(string ticket, PendingSignIn signIn) => ChoicePage.Html("Test bank identification", "/ftn/authorize", ticket, "citizen",
        _options.Citizens.Index().Select(static one => (one.Index.ToString(CultureInfo.InvariantCulture), one.Item.Name, one.Item.Role)), signIn.ServiceName);
}
