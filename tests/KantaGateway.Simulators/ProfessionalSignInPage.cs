using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Simulators;

/// <summary>The application that clinics' identity providers know the gateway as.</summary>
/// <param name="CertificateFile">PEM certificate under which its assertions are signed.</param>
/// <param name="RedirectUriOf">Where a provider with this issuer sends its people back to.</param>
public sealed record ProfessionalClient(string ClientId, string CertificateFile, Func<string, string> RedirectUriOf);

/// <summary>
/// Code flow with PKCE of a clinic's identity provider (OpenID Connect Core): a page on which a professional is chosen stands where the password and the
/// key would be. Client assertions are signed under the registered certificate (PS256, <c>x5t#S256</c>).
/// </summary>
/// <param name="address">Of the page; the token endpoint is given beside it.</param>
/// <param name="issue">Makes an ID token for a professional, with these claims beside what the provider always says.</param>
internal sealed class ProfessionalSignInPage(
    SimulatorOptions options, string clinic, string issuer, string address, string tokenAddress, Func<SimulatedProfessional, Dictionary<string, object>, string> issue)
{
    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly ConcurrentDictionary<string, (string State, string Nonce, string Challenge)> _pending = new();
    private readonly ConcurrentDictionary<string, (SimulatedProfessional Who, string Nonce, string Challenge)> _codes = new();
    private readonly ConcurrentDictionary<string, bool> _usedAssertions = new();

    public void Map(IEndpointRouteBuilder endpoints)
    {
        if (options.ProfessionalClient is not { } client)
            return;
        endpoints.MapGet(new Uri(address).AbsolutePath, (Delegate)((HttpContext context) => Authorize(context, client)));
        endpoints.MapPost(new Uri(address).AbsolutePath, (Delegate)((HttpContext context) => ChooseAsync(context, client))).DisableAntiforgery();
        endpoints.MapPost(new Uri(tokenAddress).AbsolutePath, (Delegate)((HttpContext context) => TokenAsync(context, client))).DisableAntiforgery();
    }

    private IReadOnlyList<SimulatedProfessional> People => [.. options.Professionals.Where(professional => professional.Clinic == clinic)];

    private IResult Authorize(HttpContext context, ProfessionalClient client)
    {
        string Of(string name) => context.Request.Query[name].ToString();
        if (Of("client_id") != client.ClientId || Of("redirect_uri") != client.RedirectUriOf(issuer) || Of("response_type") != "code")
            return Results.Text("client_id, redirect_uri or response_type is not as registered.", statusCode: 400);
        if (Of("code_challenge_method") != "S256" || Of("code_challenge").Length != 43 || Of("state").Length == 0 || Of("nonce").Length == 0 || !Of("scope").Split(' ').Contains("openid"))
            return Results.Text("openid, state, nonce and PKCE with S256 are required.", statusCode: 400);
        var ticket = Random();
        _pending[ticket] = (Of("state"), Of("nonce"), Of("code_challenge"));
        return Results.Content(Page(ticket), "text/html; charset=utf-8");
    }

    private async Task<IResult> ChooseAsync(HttpContext context, ProfessionalClient client)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        if ((string?)form["ticket"] is not { } ticket || !_pending.TryRemove(ticket, out var asked))
            return Results.Text("This sign-in has ended.", statusCode: 400);
        var back = client.RedirectUriOf(issuer);
        if (People.FirstOrDefault(professional => professional.Id == form["professional"]) is not { } who)
            return Results.Redirect($"{back}?error=access_denied&state={Uri.EscapeDataString(asked.State)}");
        var code = Random();
        _codes[code] = (who, asked.Nonce, asked.Challenge);
        return Results.Redirect($"{back}?code={code}&state={Uri.EscapeDataString(asked.State)}");
    }

    private async Task<IResult> TokenAsync(HttpContext context, ProfessionalClient client)
    {
        var form = await context.Request.ReadFormAsync(context.RequestAborted);
        using var certificate = X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(client.CertificateFile, context.RequestAborted));
        var result = await Tokens.ValidateTokenAsync(form["client_assertion"], new TokenValidationParameters
        {
            ValidIssuer = client.ClientId, ValidAudience = tokenAddress, IssuerSigningKey = new X509SecurityKey(certificate), TryAllIssuerSigningKeys = true,
            ValidAlgorithms = [SecurityAlgorithms.RsaSsaPssSha256], RequireExpirationTime = true,
            // By the gateway's clock, which tests move.
            LifetimeValidator = static (_, to, _, _) => to is not null,
        });
        if (!result.IsValid || result.SecurityToken is not JsonWebToken assertion || assertion.Subject != client.ClientId
            || !assertion.TryGetHeaderValue<string>("x5t#S256", out var thumbprint) || thumbprint != Base64UrlEncoder.Encode(SHA256.HashData(certificate.RawData))
            || !_usedAssertions.TryAdd(assertion.Id, true))
            return Results.Json(new { error = "invalid_client" }, statusCode: 401);
        if ((string?)form["code"] is not { } code || !_codes.TryRemove(code, out var issued) || form["redirect_uri"] != client.RedirectUriOf(issuer)
            || Base64UrlEncoder.Encode(SHA256.HashData(Encoding.ASCII.GetBytes(form["code_verifier"].ToString()))) != issued.Challenge)
            return Results.Json(new { error = "invalid_grant" }, statusCode: 400);
        return Results.Json(new
        {
            access_token = Random(), token_type = "Bearer", expires_in = 3600,
            id_token = issue(issued.Who, new() { ["aud"] = client.ClientId, ["nonce"] = issued.Nonce, ["auth_time"] = DateTimeOffset.UtcNow.ToUnixTimeSeconds() }),
        }, JsonSerializerOptions.Default);
    }

    private static string Random() => Base64UrlEncoder.Encode(RandomNumberGenerator.GetBytes(24));

    private string Page(string ticket) =>
        ChoicePage.Html("Test sign-in of a clinic", address, ticket, "professional", People.Select(who => (who.Id, who.Name, who.Profession)));
}
