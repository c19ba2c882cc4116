using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification.Dpop;

/// <summary>Why a proof is refused.</summary>
/// <param name="Error">RFC 9449: <c>invalid_dpop_proof</c> (§5) or <c>use_dpop_nonce</c> (§8).</param>
/// <param name="Description">A plain sentence that says what to change.</param>
internal sealed record DpopRefusal(string Error, string Description);

/// <summary>
/// Checks the proof that a request's sender holds the private key its token is bound to (DPoP, RFC 9449 §4.3): for clients that have no
/// organisation's certificate.
/// </summary>
/// <remarks>
/// The key stands in the proof itself and proves nothing but that its holder made it: who calls compares the thumbprint with what the token or
/// code is bound to. Costs one signature verification and one entry of the shared store for every request.
/// </remarks>
/// <param name="publicAddress">Where the gateway is reached from outside, without a path.</param>
internal sealed class DpopProofs(DpopNonces nonces, ISharedState shared, string publicAddress, TimeProvider time)
{
    public const string Header = "DPoP", NonceHeader = "DPoP-Nonce", TokenType = "DPoP";

    /// <summary>FAPI 2.0 Security Profile §5.4.1, without EdDSA, which the library for tokens does not know.</summary>
    public static readonly IReadOnlyList<string> Algorithms = ["ES256", "PS256"];

    public const string InvalidProof = "invalid_dpop_proof", UseNonce = "use_dpop_nonce";

    /// <summary>How old a proof may be, and how far the clock of its maker may be ahead.</summary>
    private static readonly TimeSpan Oldest = TimeSpan.FromSeconds(60), Ahead = TimeSpan.FromSeconds(10);

    private const int LongestProof = 4 * 1024, LongestJti = 255, LeastRsaBytes = 256, MostRsaBytes = 512;

    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    /// <summary>Keeps nothing: the keys are whatever strangers send.</summary>
    private static readonly CryptoProviderFactory Uncached = new() { CacheSignatureProviders = false };

    /// <summary>Whether the request carries a proof, good or not.</summary>
    public static bool IsIn(HttpRequest request) => request.Headers.ContainsKey(Header);

    /// <summary>Checks the proof of a request to the authorization server, which its client may send and must send where it is registered so (RFC 9449 §5, §10).</summary>
    /// <returns>Thumbprint of the key that a token or code is to be bound to; none of the two where the request has no proof and needs none.</returns>
    /// <inheritdoc cref="VerifyAsync(HttpContext, string?, string?)"/>
    public ValueTask<(string? Thumbprint, DpopRefusal? Refusal)> VerifyAsync(HttpContext context, RegisteredClient client) =>
        IsIn(context.Request) || client.Registration.DpopBoundAccessTokens ? VerifyAsync(context, null, null) : new((null, null));

    /// <summary>Checks the proof of a request, and tells the client the nonce for the next one in the answer's header.</summary>
    /// <param name="accessToken">The token that the request carries; null at the endpoints of the authorization server.</param>
    /// <param name="bound">Thumbprint of the key that the token is bound to; null: of any.</param>
    /// <returns>SHA-256 thumbprint (RFC 7638) of the key, base64url; or why not. Exactly one of the two.</returns>
    /// <exception cref="SharedStateException">Whether the proof was used before cannot be known.</exception>
    public async ValueTask<(string? Thumbprint, DpopRefusal? Refusal)> VerifyAsync(HttpContext context, string? accessToken, string? bound)
    {
        context.Response.Headers[NonceHeader] = nonces.Current;
        if (context.Request.Headers[Header] is not [{ } text])
            return Refuse("Send one DPoP header with one proof.");
        if (TokenShape.Read(text, LongestProof, out var misshapen) is not { } proof)
            return Refuse("The DPoP proof " + misshapen);
        if (proof.Typ != "dpop+jwt")
            return Refuse("The DPoP proof's typ must be dpop+jwt.");
        if (!Algorithms.Contains(proof.Alg))
            return Refuse($"The DPoP proof must be signed with {string.Join(" or ", Algorithms)}.");
        if (KeyOf(proof, out var keyless) is not { } key)
            return Refuse(keyless);
        var signed = await Tokens.ValidateTokenAsync(proof, TokenShape.SignatureOf(key, proof.Alg)).ConfigureAwait(false);
        if (!signed.IsValid)
            return Refuse("The DPoP proof's signature does not verify with the jwk in its header.");
        // Before anything is kept or told on the strength of a key that anybody can make.
        var thumbprint = Base64Url.EncodeToString(key.ComputeJwkThumbprint());
        if (bound is not null && bound != thumbprint)
            return (null, new("invalid_token", "The access token is bound to another key than the one of the DPoP proof."));
        if (Explain(context.Request, proof, accessToken) is { } wrong)
            return Refuse(wrong);
        if (!proof.TryGetPayloadValue<string>("nonce", out var nonce) || nonce is null || !nonces.IsGood(nonce))
            return (null, new(UseNonce, $"The DPoP proof must carry the nonce of this answer's {NonceHeader} header; make a new proof with it."));
        // Last, so that only an otherwise good proof is used up. It is refused by its age after this.
        return await shared.AddAsync(SharedKey.Of("dpop", thumbprint, proof.Id), Oldest + Ahead, TokenShape.Time(proof.GetPayloadValue<long>("iat")) - Ahead).ConfigureAwait(false)
            ? (thumbprint, null)
            : Refuse("The DPoP proof has been used before (jti); make a new one for each request.");
    }

    private string? Explain(HttpRequest request, JsonWebToken proof, string? accessToken)
    {
        string? Claim(string name) => proof.TryGetPayloadValue<string>(name, out var value) ? value : null;

        if (proof.Id is not { Length: > 0 and <= LongestJti })
            return $"The DPoP proof needs a jti of 1 to {LongestJti} characters.";
        if (Claim("htm") != request.Method)
            return "The DPoP proof's htm must be the method of the request.";
        if (!IsAddress(Claim("htu"), request))
            return "The DPoP proof's htu must be the address of the request, as this gateway is reached from outside, without query and fragment.";
        var now = time.GetUtcNow();
        if (Time("iat") is not { } made || made < now - Oldest || made > now + Ahead)
            return $"The DPoP proof's iat must be the present time in seconds, at most {Oldest.TotalSeconds} s old; make a new one for each request, and check the client's clock.";
        if ((proof.TryGetPayloadValue<object>("exp", out _) && (Time("exp") is not { } ends || ends <= now - Ahead))
            || (proof.TryGetPayloadValue<object>("nbf", out _) && (Time("nbf") is not { } begins || begins > now + Ahead)))
            return "The DPoP proof is not valid at this time (nbf, exp).";
        if (accessToken is not null && !IsDigest(Claim("ath"), accessToken))
            return "The DPoP proof's ath must be the base64url SHA-256 digest of the access token.";
        return null;

        DateTimeOffset? Time(string name) => proof.TryGetPayloadValue<long>(name, out var seconds) && seconds is >= 0 and <= 253402300799
            ? DateTimeOffset.FromUnixTimeSeconds(seconds) : null;
    }

    /// <summary>RFC 9449 §4.3 (9), normalised after RFC 3986 §6.2; a query or fragment is not looked at.</summary>
    private bool IsAddress(string? htu, HttpRequest request)
    {
        // As it was sent: the path of the request has been decoded.
        var target = request.HttpContext.Features.Get<IHttpRequestFeature>()?.RawTarget is { Length: > 0 } raw && raw[0] == '/' ? raw : request.Path.ToUriComponent();
        var end = target.AsSpan().IndexOfAny('?', '#');
        return Uri.TryCreate(htu, UriKind.Absolute, out var named) && Uri.TryCreate(publicAddress + (end < 0 ? target : target[..end]), UriKind.Absolute, out var here)
            && named.GetLeftPart(UriPartial.Path) == here.GetLeftPart(UriPartial.Path);
    }

    private static bool IsDigest(string? ath, string accessToken) =>
        ath is not null && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(ath),
            Encoding.ASCII.GetBytes(Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(accessToken)))));

    /// <summary>The public key in a proof's header: a P-256 point, or an RSA modulus of 2,048 to 4,096 bits.</summary>
    private static JsonWebKey? KeyOf(JsonWebToken proof, out string problem)
    {
        problem = "The DPoP proof's header must have a jwk: the public key that it is signed with, P-256 for ES256, RSA of 2048 to 4096 bits for PS256.";
        using var header = JsonDocument.Parse(Base64UrlEncoder.DecodeBytes(proof.EncodedHeader));
        if (!header.RootElement.TryGetProperty("jwk", out var jwk) || jwk.ValueKind != JsonValueKind.Object)
            return null;
        foreach (var secret in (ReadOnlySpan<string>)["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
            if (jwk.TryGetProperty(secret, out _))
            {
                problem = "The jwk in the DPoP proof's header must be the public key only; the key that was sent is known now, make a new one.";
                return null;
            }
        string? Member(string name) => jwk.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
        byte[]? Number(string name)
        {
            try
            {
                return Member(name) is { } text ? Base64Url.DecodeFromChars(text) : null;
            }
            catch (FormatException)
            {
                return null;
            }
        }

        // Made anew of what the thumbprint is about: a certificate chain beside it would be another key.
        if (proof.Alg == "ES256" && Member("kty") == "EC" && Member("crv") == "P-256" && Number("x") is { Length: 32 } x && Number("y") is { Length: 32 } y)
            return new() { Kty = "EC", Crv = "P-256", X = Base64Url.EncodeToString(x), Y = Base64Url.EncodeToString(y), CryptoProviderFactory = Uncached };
        if (proof.Alg == "PS256" && Member("kty") == "RSA" && Number("n") is { Length: >= LeastRsaBytes and <= MostRsaBytes } n && n[0] >= 0x80 && Number("e") is { Length: >= 1 and <= 4 } e)
            return new() { Kty = "RSA", N = Base64Url.EncodeToString(n), E = Base64Url.EncodeToString(e), CryptoProviderFactory = Uncached };
        return null;
    }

    private static (string?, DpopRefusal?) Refuse(string description) => (null, new(InvalidProof, description));
}
