using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Authentication.OpenIdConnect;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The gateway as an application of an Entra ID tenant, or of a provider that speaks the same: client assertions signed under a registered
/// certificate (RFC 7523, PS256).
/// </summary>
internal sealed class ApplicationCredential
{
    private static readonly TimeSpan AssertionLife = TimeSpan.FromMinutes(1);
    private static readonly JsonWebTokenHandler Tokens = new() { SetDefaultTimesOnTokenCreation = false };

    private readonly string _clientId;
    private readonly TimeProvider _time;
    private readonly SigningCredentials _credentials;
    private readonly string _thumbprint;

    /// <exception cref="InvalidDataException">The files do not hold a certificate and its RSA key.</exception>
    public ApplicationCredential(string clientId, string certificateFile, string keyFile, TimeProvider time)
    {
        (_clientId, _time) = (clientId, time);
        try
        {
            using var certificate = X509Certificate2.CreateFromPemFile(certificateFile, keyFile);
            if (certificate.GetRSAPrivateKey() is not { KeySize: >= 2048 } rsa)
                throw new InvalidDataException($"{keyFile}: the key must be RSA of 2048 bits or more.");
            _credentials = new SigningCredentials(new RsaSecurityKey(rsa.ExportParameters(true)), SecurityAlgorithms.RsaSsaPssSha256);
            _thumbprint = Base64UrlEncoder.Encode(SHA256.HashData(certificate.RawData));
        }
        catch (Exception wrong) when (wrong is ArgumentException or CryptographicException)
        {
            throw new InvalidDataException($"{certificateFile}, {keyFile}: not a PEM certificate and its PKCS#8 PEM key.", wrong);
        }
    }

    /// <summary>Puts an assertion into the token request, as Entra has it: the certificate is named by <c>x5t#S256</c>.</summary>
    public async Task AuthenticateAsync(AuthorizationCodeReceivedContext context)
    {
        var provider = await context.Options.ConfigurationManager!.GetConfigurationAsync(context.HttpContext.RequestAborted).ConfigureAwait(false);
        var now = _time.GetUtcNow();
        context.TokenEndpointRequest!.ClientAssertionType = ClientAssertionTypes.JwtBearer;
        context.TokenEndpointRequest.ClientAssertion = Tokens.CreateToken(new SecurityTokenDescriptor
        {
            Claims = new Dictionary<string, object>
            {
                ["iss"] = _clientId, ["sub"] = _clientId, ["aud"] = provider.TokenEndpoint, ["jti"] = Guid.NewGuid().ToString("N"),
                ["iat"] = now.ToUnixTimeSeconds(), ["nbf"] = now.ToUnixTimeSeconds(), ["exp"] = (now + AssertionLife).ToUnixTimeSeconds(),
            },
            SigningCredentials = _credentials,
            TokenType = "JWT",
            AdditionalHeaderClaims = new Dictionary<string, object> { ["x5t#S256"] = _thumbprint },
        });
    }
}

/// <summary>Refuses an ID token that has not the form of <see cref="TokenShape"/>.</summary>
internal sealed class ShapedIdTokens : JsonWebTokenHandler
{
    private const int LongestToken = 16 * 1024;

    public override Task<TokenValidationResult> ValidateTokenAsync(string token, TokenValidationParameters validationParameters) =>
        TokenShape.Read(token, LongestToken, out _) is not null
            ? base.ValidateTokenAsync(token, validationParameters)
            : Task.FromResult(new TokenValidationResult { IsValid = false, Exception = new SecurityTokenException("The ID token is no signed JWT.") });
}
