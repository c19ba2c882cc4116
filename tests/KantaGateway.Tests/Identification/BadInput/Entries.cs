using System.Buffers.Text;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Simulators;
using KantaGateway.Tests.Identification.Dpop;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification.BadInput;

/// <summary>What became of a token.</summary>
/// <param name="Status">HTTP.</param>
/// <param name="Error">The RFC's code; at a page for people how the sign-in ended; null when all is well.</param>
/// <param name="Sentence">For the vendor's engineer; where people are told nothing, what was recorded.</param>
public sealed record Answer(int Status, string? Error, string Sentence);

/// <summary>A way by which signed tokens come in.</summary>
/// <param name="Header">Of a good token.</param>
/// <param name="Claims">Likewise.</param>
/// <param name="Sign">Under the key that is expected there.</param>
/// <param name="SendAsync">Brings a token to the gateway.</param>
/// <param name="Wrap">What is done with a signed token before it is sent; null: nothing.</param>
public sealed record Entry(Func<JsonObject> Header, Func<Task<JsonObject>> Claims, Func<byte[], byte[]> Sign, Func<string, Task<Answer>> SendAsync, Func<string, string>? Wrap = null);

/// <summary>A gateway with every entry open, one world for the whole table.</summary>
public sealed partial class Entries : IAsyncLifetime
{
    private const string Redirect = "https://app.example/back", Verifier = "a-verifier-of-forty-three-characters-and-more";

    private readonly DevelopmentAuthority _cards = DevelopmentAuthority.Create("Cards");
    private readonly DpopKey _key = new();
    private readonly ECDsa _tokenKey = ECDsa.Create(), _cardKey = ECDsa.Create();
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-entries").FullName;
    private WebApplication _cardGateway = null!;
    private Uri _cardAddress = null!;
    private string _card = "";
    private HttpClient _aurora = null!, _revontuli = null!, _stranger = null!;

    internal IdentificationWorld World { get; } = new();
    public IReadOnlyDictionary<string, Entry> All { get; private set; } = null!;

    private SomeClinic Aurora => World.Aurora;
    private SomeClinic Revontuli => World.Revontuli;
    private DateTimeOffset Now => DateTimeOffset.UtcNow + World.Clock.Ahead;
    private string Nonce => World.Services.GetRequiredService<DpopNonces>().Current;
    private string WhoAmI => World.Options.PublicAddress + "/fhir/whoami";

    public async Task InitializeAsync()
    {
        await World.InitializeAsync();
        // Aurora is an app of citizens here, Revontuli a clinic's system.
        World.WriteClients(it => it.OrganisationOid == Aurora.Organisation ? it with { Kind = ClientKind.App, RedirectUris = [Redirect], Scopes = ["patient/*.rs"] } : it);
        World.Clock.Ahead += TimeSpan.FromSeconds(2);
        (_aurora, _revontuli, _stranger) = (World.Connect(Aurora.Certificate), World.Connect(Revontuli.Certificate), World.Connect());
        _tokenKey.ImportFromPem(await File.ReadAllTextAsync(World.Options.Identification.TokenKeyFile));
        var card = _cards.IssueCard("90002", "Helmi", "Hoitaja");
        _cardKey.ImportFromPem(card.KeyPem);
        using (var certificate = X509Certificate2.CreateFromPem(card.ChainPem))
            _card = Convert.ToBase64String(certificate.RawData);
        var authorities = Path.Combine(_folder, "cards.pem");
        await File.WriteAllTextAsync(authorities, _cards.CertificatePem);
        _cardAddress = new($"https://localhost:{IdentificationWorld.FreePort()}");
        _cardGateway = World.BuildGateway(World.Options with
        {
            Port = _cardAddress.Port, TerminatorListen = null,
            Identification = World.Options.Identification with
            {
                ProfessionalCards = new CardOptions { AuthorityFile = authorities, RevocationSources = [new RevocationSource { Authority = _cards.Fingerprint, Unchecked = true }] },
            },
        }, builder => builder.Logging.ClearProviders().AddProvider(World.Logs));
        await _cardGateway.StartAsync();
        All = Open();
    }

    public async Task DisposeAsync()
    {
        await _cardGateway.DisposeAsync();
        foreach (var http in new[] { _aurora, _revontuli, _stranger })
            http.Dispose();
        await World.DisposeAsync();
        _cards.Dispose();
        _key.Dispose();
        _tokenKey.Dispose();
        _cardKey.Dispose();
        Directory.Delete(_folder, true);
    }

    private Dictionary<string, Entry> Open() => new()
    {
        ["client assertion at the token endpoint"] = new(AssertionHeader(Revontuli), AssertionClaims(Revontuli), SignAs(Revontuli), token => PostAsync(_revontuli, "/connect/token", World.ClientCredentials(Revontuli, token))),
        ["client assertion at the push"] = new(AssertionHeader(Aurora), AssertionClaims(Aurora), SignAs(Aurora), token => PostAsync(_aurora, "/connect/par", Push(token))),
        ["client assertion at introspection"] = new(AssertionHeader(Revontuli), AssertionClaims(Revontuli), SignAs(Revontuli), token => PostAsync(_revontuli, "/connect/introspect", Named(token))),
        ["client assertion at revocation"] = new(AssertionHeader(Revontuli), AssertionClaims(Revontuli), SignAs(Revontuli), token => PostAsync(_revontuli, "/connect/revoke", Named(token))),
        ["subject token"] = new(() => new() { ["alg"] = "ES256", ["typ"] = "at+jwt", ["kid"] = "revontuli-1" }, SubjectClaims, World.Outside.Providers["revontuli"].Sign,
            token => PostAsync(_revontuli, "/connect/token", World.TokenExchange(Revontuli, token))),
        ["card token"] = new(() => new() { ["alg"] = "ES256", ["typ"] = "JWT", ["x5c"] = new JsonArray(_card) }, CardClaims, octets => _cardKey.SignData(octets, HashAlgorithmName.SHA256),
            token => PostAsync(_revontuli, new Uri(_cardAddress, "/connect/token").AbsoluteUri, World.TokenExchange(Revontuli, token))),
        ["access token as Bearer"] = new(AccessHeader, () => AccessClaimsAsync(null), SignAsGateway, token => AskAsync("Bearer", token, null)),
        ["access token as DPoP"] = new(AccessHeader, () => AccessClaimsAsync(_key), SignAsGateway, token => AskAsync("DPoP", token, _key.Proof("GET", WhoAmI, Now, Nonce, token))),
        ["proof at the token endpoint"] = new(ProofHeader, () => Task.FromResult(ProofClaims("POST", World.TokenUrl)), SignProof, token => PostAsync(_revontuli, "/connect/token", World.ClientCredentials(Revontuli), token)),
        ["proof at the push"] = new(ProofHeader, () => Task.FromResult(ProofClaims("POST", World.Options.PublicAddress + "/connect/par")), SignProof,
            token => PostAsync(_aurora, "/connect/par", Push(World.Assertion(Aurora)), token)),
        ["proof on a FHIR request"] = new(ProofHeader, async () => ProofClaims("GET", WhoAmI, await BoundAsync()), SignProof, async token => await AskAsync("DPoP", await BoundAsync(), token)),
        ["ID token of the broker"] = new(BrokerHeader("JWT"), IdClaimsAsync, World.Outside.Broker!.Sign, SignInAsync, inner => World.Outside.Broker!.Encrypt(inner)),
        ["logout token of the broker"] = new(BrokerHeader("logout+jwt"), LogoutClaims, World.Outside.Broker!.Sign, token => PostAsync(_stranger, "/signout-ftn", new() { ["logout_token"] = token }), inner => World.Outside.Broker!.Encrypt(inner)),
        ["request object at the push"] = new(AssertionHeader(Aurora), AssertionClaims(Aurora), SignAs(Aurora), token => PostAsync(_aurora, "/connect/par", new(Push(World.Assertion(Aurora))) { ["request"] = token })),
    };

    private static Func<JsonObject> AssertionHeader(SomeClinic clinic) => () => new() { ["alg"] = clinic.Algorithm, ["typ"] = "JWT", ["kid"] = clinic.Key.KeyId };

    private Func<Task<JsonObject>> AssertionClaims(SomeClinic clinic) => () => Task.FromResult(Dated(new() { ["iss"] = clinic.ClientId, ["sub"] = clinic.ClientId, ["aud"] = World.TokenUrl }));

    private static Func<byte[], byte[]> SignAs(SomeClinic clinic) => octets => clinic.Key is ECDsaSecurityKey ec
        ? ec.ECDsa.SignData(octets, HashAlgorithmName.SHA384) : ((RsaSecurityKey)clinic.Key).Rsa.SignData(octets, HashAlgorithmName.SHA384, RSASignaturePadding.Pkcs1);

    private Task<JsonObject> SubjectClaims() => Task.FromResult(Dated(new()
    {
        ["iss"] = World.Outside.ClinicIssuer("revontuli"), ["aud"] = "kanta", ["sub"] = "revontuli:90002", ["professional_id"] = "90002", ["name"] = "Helmi Hoitaja", ["profession"] = "sairaanhoitaja",
    }));

    private Task<JsonObject> CardClaims() => Task.FromResult(Dated(new() { ["iss"] = "90002", ["sub"] = "90002", ["aud"] = World.TokenUrl, ["client_id"] = Revontuli.ClientId }));

    private JsonObject AccessHeader() => new() { ["alg"] = "ES256", ["typ"] = "at+jwt", ["kid"] = _accessKid };

    private string _accessKid = "";

    /// <summary>Those of a token that the gateway has issued, as if it had issued another.</summary>
    private async Task<JsonObject> AccessClaimsAsync(DpopKey? key)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/connect/token") { Content = new FormUrlEncodedContent(World.ClientCredentials(Revontuli)) };
        if (key is not null)
            request.Headers.Add("DPoP", key.Proof("POST", World.TokenUrl, Now, Nonce));
        using var response = await _revontuli.SendAsync(request);
        var parts = JsonNode.Parse(await response.Content.ReadAsStringAsync())!["access_token"]!.GetValue<string>().Split('.');
        _accessKid = JsonNode.Parse(Base64Url.DecodeFromChars(parts[0]))!["kid"]!.GetValue<string>();
        return Dated(JsonNode.Parse(Base64Url.DecodeFromChars(parts[1]))!.AsObject());
    }

    private string? _bound;

    /// <summary>A good token that is bound to the key.</summary>
    private async Task<string> BoundAsync()
    {
        if (_bound is null)
        {
            var claims = await AccessClaimsAsync(_key);
            claims["exp"] = Now.AddHours(1).ToUnixTimeSeconds();
            _bound = Jws.Make(AccessHeader().ToJsonString(), claims.ToJsonString(), SignAsGateway);
        }
        return _bound;
    }

    private byte[] SignAsGateway(byte[] octets) => _tokenKey.SignData(octets, HashAlgorithmName.SHA256);

    private JsonObject ProofHeader() => new() { ["typ"] = "dpop+jwt", ["alg"] = "ES256", ["jwk"] = _key.Jwk };

    private JsonObject ProofClaims(string method, string address, string? token = null)
    {
        var claims = Dated(new() { ["htm"] = method, ["htu"] = address, ["nonce"] = Nonce });
        if (token is not null)
            claims["ath"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(token)));
        return claims;
    }

    private byte[] SignProof(byte[] octets) => _key.Sign(octets);

    private static Func<JsonObject> BrokerHeader(string type) => () => new() { ["alg"] = "RS256", ["typ"] = type, ["kid"] = "ftn-1" };

    private Task<JsonObject> LogoutClaims()
    {
        // The broker has no clock to be moved, and the library that looks at exp neither.
        var now = DateTimeOffset.UtcNow;
        return Task.FromResult(new JsonObject
        {
            ["iss"] = World.Outside.FtnIssuer, ["aud"] = "kanta-portal", ["sub"] = "nobody", ["jti"] = Guid.NewGuid().ToString("N"), ["iat"] = now.ToUnixTimeSeconds(), ["exp"] = now.AddMinutes(2).ToUnixTimeSeconds(),
            ["events"] = new JsonObject { ["http://schemas.openid.net/event/backchannel-logout"] = new JsonObject() },
        });
    }

    private JsonObject Dated(JsonObject claims)
    {
        (claims["jti"], claims["iat"], claims["exp"]) = (Guid.NewGuid().ToString("N"), Now.ToUnixTimeSeconds(), Now.AddMinutes(4).ToUnixTimeSeconds());
        return claims;
    }

    private Dictionary<string, string> Named(string assertion)
    {
        var form = World.ClientCredentials(Revontuli, assertion);
        return new() { ["client_assertion_type"] = form["client_assertion_type"], ["client_assertion"] = assertion, ["token"] = "some" };
    }

    private Dictionary<string, string> Push(string assertion) => new()
    {
        ["client_assertion_type"] = World.ClientCredentials(Aurora, assertion)["client_assertion_type"], ["client_assertion"] = assertion, ["response_type"] = "code", ["redirect_uri"] = Redirect,
        ["scope"] = "patient/Observation.rs", ["code_challenge_method"] = "S256", ["code_challenge"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))),
    };

    private static async Task<Answer> PostAsync(HttpClient http, string path, Dictionary<string, string> form, string? proof = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = new FormUrlEncodedContent(form) };
        if (proof is not null)
            request.Headers.TryAddWithoutValidation("DPoP", proof);
        using var response = await http.SendAsync(request);
        var text = await response.Content.ReadAsStringAsync();
        var body = text.Length > 0 ? JsonDocument.Parse(text).RootElement : default;
        return body.ValueKind == JsonValueKind.Object && body.TryGetProperty("error", out var error)
            ? new((int)response.StatusCode, error.GetString(), body.GetProperty("error_description").GetString()!) : new((int)response.StatusCode, null, "");
    }

    private async Task<Answer> AskAsync(string scheme, string token, string? proof)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/fhir/whoami");
        request.Headers.TryAddWithoutValidation("Authorization", $"{scheme} {token}");
        if (proof is not null)
            request.Headers.TryAddWithoutValidation("DPoP", proof);
        using var response = await _revontuli.SendAsync(request);
        var challenge = Challenge().Match(response.Headers.WwwAuthenticate.ToString());
        return new((int)response.StatusCode, challenge.Success ? challenge.Groups[1].Value : null, challenge.Groups[2].Value);
    }

    private (CookieContainer Cookies, Uri Callback) _signIn;

    /// <summary>A citizen goes to the broker, which will answer with a token of these claims.</summary>
    private async Task<JsonObject> IdClaimsAsync()
    {
        var cookies = new CookieContainer();
        var nonce = "";
        _signIn = (cookies, await World.ReachCallbackAsync(cookies, 0, challenged: place =>
            nonce = JsonNode.Parse(Base64Url.DecodeFromChars(QueryHelpers.ParseQuery(place.Query)["request"].ToString().Split('.')[1]))!["nonce"]!.GetValue<string>()));
        var now = DateTimeOffset.UtcNow;
        return new()
        {
            ["iss"] = World.Outside.FtnIssuer, ["aud"] = "kanta-portal", ["sub"] = "somebody", ["jti"] = Guid.NewGuid().ToString("N"), ["sid"] = Guid.NewGuid().ToString("N"), ["nonce"] = nonce, ["acr"] = IdentificationWorld.Acr,
            ["iat"] = now.ToUnixTimeSeconds(), ["exp"] = now.AddMinutes(5).ToUnixTimeSeconds(),
            ["urn:oid:1.2.246.21"] = IdentificationWorld.TestCode, ["urn:oid:2.16.840.1.113730.3.1.241"] = "Aino Esimerkki",
        };
    }

    private async Task<Answer> SignInAsync(string token)
    {
        World.Outside.SentIdTokens = _ => token;
        try
        {
            using var http = World.Connect(cookies: _signIn.Cookies);
            using var response = await http.GetAsync(_signIn.Callback);
            var place = response.Headers.Location!.OriginalString;
            return new((int)response.StatusCode, place.Contains("signin=", StringComparison.Ordinal) ? place[(place.IndexOf('=') + 1)..] : null, World.Refusals.All.LastOrDefault().Reason ?? "");
        }
        finally
        {
            World.Outside.SentIdTokens = null;
        }
    }

    [GeneratedRegex("error=\"([^\"]+)\", error_description=\"([^\"]+)\"")]
    private static partial Regex Challenge();
}

/// <summary>Signed tokens of any content (RFC 7515 §7.1).</summary>
internal static class Jws
{
    public static string Make(string header, string claims, Func<byte[], byte[]> sign) => Make(header, Encoding.UTF8.GetBytes(claims), sign);

    public static string Make(string header, byte[] claims, Func<byte[], byte[]> sign)
    {
        var text = Base64Url.EncodeToString(Encoding.UTF8.GetBytes(header)) + "." + Base64Url.EncodeToString(claims);
        return text + "." + Base64Url.EncodeToString(sign(Encoding.ASCII.GetBytes(text)));
    }
}
