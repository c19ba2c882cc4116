using System.Buffers;
using System.Buffers.Text;
using System.Text.Json;
using System.Text.Unicode;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// What must hold of a signed token from outside before anybody acts on it: JWS compact form (RFC 7515 §7.1) of bounded length, header and
/// claims two JSON objects whose members stand once each (RFC 7515 §4, RFC 7519 §4), registered ones of their types, nothing critical that nobody here
/// understands (RFC 7515 §4.1.11), no token within the token.
/// </summary>
/// <remarks>
/// Libraries take the last of two members and pass over <c>crit</c>; who checks and who uses a token could then read two tokens in one.
/// <c>jku</c>, <c>jwk</c>, <c>x5u</c> and <c>x5c</c> are not looked at: keys are those that are registered or configured
/// (<see cref="Professionals.CardTokens"/> takes the certificate of <c>x5c</c> and has its chain end at a configured authority).
/// </remarks>
internal static class TokenShape
{
    private static readonly SearchValues<char> Base64UrlCharacters = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

    private static readonly JsonDocumentOptions Strict = new() { AllowDuplicateProperties = false, MaxDepth = 8 };

    /// <summary>Reads a token without verifying anything.</summary>
    /// <param name="text">The token.</param>
    /// <param name="longest">Most characters of it.</param>
    /// <param name="problem">What is wrong, to follow the token's name in a sentence; it quotes nothing from the token.</param>
    /// <returns>Null when something is wrong.</returns>
    public static JsonWebToken? Read(string text, int longest, out string problem)
    {
        problem = Explain(text, longest) ?? "";
        if (problem.Length > 0)
            return null;
        try
        {
            return new JsonWebToken(text);
        }
        catch (Exception malformed) when (malformed is ArgumentException or SecurityTokenException or FormatException or JsonException)
        {
            problem = Unreadable;
            return null;
        }
    }

    /// <summary>Reads an encrypted token (JWE compact form, RFC 7516 §7.1) without opening it; what is inside is read by <see cref="Read"/>.</summary>
    /// <inheritdoc cref="Read"/>
    public static JsonWebToken? ReadEncrypted(string text, int longest, out string problem)
    {
        problem = ExplainEncrypted(text, longest) ?? "";
        if (problem.Length > 0)
            return null;
        try
        {
            return new JsonWebToken(text);
        }
        catch (Exception malformed) when (malformed is ArgumentException or SecurityTokenException or FormatException or JsonException)
        {
            problem = NotEncrypted;
            return null;
        }
    }

    /// <summary>For tokens whose claims have sentences of their own: looks at the signature, and at the type.</summary>
    /// <param name="key">The only one that may have signed it.</param>
    /// <param name="algorithm">The token's; that it is one of those allowed has been looked at.</param>
    /// <param name="type">Throws where <c>typ</c> is another than expected; null: it has been looked at.</param>
    public static TokenValidationParameters SignatureOf(SecurityKey key, string algorithm, TypeValidator? type = null) => new()
    {
        IssuerSigningKey = key,
        TryAllIssuerSigningKeys = true,
        ValidAlgorithms = [algorithm],
        TypeValidator = type,
        ValidateIssuer = false,
        ValidateAudience = false,
        ValidateLifetime = false,
    };

    /// <summary>Seconds since 1970 (RFC 7519 NumericDate); what no time can be is the first or the last of them.</summary>
    public static DateTimeOffset Time(long seconds) => DateTimeOffset.FromUnixTimeSeconds(Math.Clamp(seconds, 0, DateTimeOffset.MaxValue.ToUnixTimeSeconds()));

    private const string NotEncrypted = "is not a readable encrypted JWT (JWE compact form).";

    private static string? ExplainEncrypted(string text, int longest)
    {
        if (text.Length > longest)
            return $"is longer than {longest} characters.";
        if (text.Split('.') is not { Length: 5 } parts || parts.Any(part => part.Length == 0 || part.AsSpan().ContainsAnyExcept(Base64UrlCharacters)))
            return NotEncrypted;
        using var head = Object(parts[0], out var problem);
        if (head is null)
            return problem;
        var root = head.RootElement;
        if (root.TryGetProperty("crit", out _) || root.TryGetProperty("b64", out _) || root.TryGetProperty("zip", out _))
            return "has crit, b64 or zip in its header; leave them out, no extension of JWE is understood.";
        // RFC 7519 §5.2: a signed token within says so, and nothing else may be within.
        return root.TryGetProperty("cty", out var content) && (content.ValueKind != JsonValueKind.String || content.GetString() != "JWT") ? "has another cty than JWT in its header." : null;
    }

    private const string Unreadable = "is not a readable signed JWT (JWS compact form).";

    private static string? Explain(string text, int longest)
    {
        if (text.Length > longest)
            return $"is longer than {longest} characters.";
        if (text.Split('.') is not [var header, var claims, var signature] || header.Length == 0 || claims.Length == 0)
            return Unreadable;
        if (signature.Length == 0)
            return "is not signed.";
        if (signature.AsSpan().ContainsAnyExcept(Base64UrlCharacters))
            return Unreadable;
        using var head = Object(header, out var problem);
        if (head is null)
            return problem;
        using var body = Object(claims, out problem);
        if (body is null)
            return problem;
        var root = head.RootElement;
        if (!root.TryGetProperty("alg", out var alg) || alg.ValueKind != JsonValueKind.String)
            return "has a header without alg.";
        // b64 is only understood where it is critical, and zip belongs to encrypted tokens (RFC 7797 §6, RFC 7516 §4.1.3).
        if (root.TryGetProperty("crit", out _) || root.TryGetProperty("b64", out _) || root.TryGetProperty("zip", out _))
            return "has crit, b64 or zip in its header; leave them out, no extension of JWS is understood.";
        if (root.TryGetProperty("cty", out _))
            return "has cty in its header; a token within a token is not taken.";
        if (!AreStrings(root, "typ", "kid"))
            return "has a typ or kid in its header that is not a string.";
        // RFC 7519 §4.1. Libraries read what is of another type, null too, as if it were not there, or throw.
        var claimed = body.RootElement;
        return AreStrings(claimed, "iss", "sub", "jti") && AreNumbers(claimed, "exp", "nbf", "iat")
            && (!claimed.TryGetProperty("aud", out var aud) || aud.ValueKind == JsonValueKind.String || (aud.ValueKind == JsonValueKind.Array && aud.EnumerateArray().All(static one => one.ValueKind == JsonValueKind.String)))
            ? null : "has an iss, sub or jti that is not a string, an aud that is neither a string nor a list of strings, or an exp, nbf or iat that is not a number.";
    }

    private static bool AreStrings(JsonElement members, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
            if (members.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.String)
                return false;
        return true;
    }

    private static bool AreNumbers(JsonElement members, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
            if (members.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Number)
                return false;
        return true;
    }

    /// <exception cref="InvalidOperationException">A name or a value is no text.</exception>
    private static bool IsText(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Object => value.EnumerateObject().All(static member => member.Name is not null && IsText(member.Value)),
        JsonValueKind.Array => value.EnumerateArray().All(IsText),
        JsonValueKind.String => value.GetString() is not null,
        _ => true,
    };

    private static JsonDocument? Object(string part, out string problem)
    {
        problem = Unreadable;
        if (part.AsSpan().ContainsAnyExcept(Base64UrlCharacters))
            return null;
        try
        {
            var json = Base64Url.DecodeFromChars(part);
            // The parser does not look into strings; whoever reads them later would throw.
            if (!Utf8.IsValid(json))
                return null;
            var document = JsonDocument.Parse(json, Strict);
            // Half of a surrogate pair is no text; only an escape can write one.
            if (document.RootElement.ValueKind == JsonValueKind.Object && (json.AsSpan().IndexOf("\\u"u8) < 0 || IsText(document.RootElement)))
                return document;
            document.Dispose();
        }
        catch (Exception malformed) when (malformed is FormatException or InvalidOperationException)
        {
            // Readers throw the latter where text is none; the one that looks for members that stand twice too.
        }
        catch (JsonException)
        {
            problem = $"has a header or claims that are no JSON object with each member once and at most {Strict.MaxDepth} levels.";
        }
        return null;
    }
}
