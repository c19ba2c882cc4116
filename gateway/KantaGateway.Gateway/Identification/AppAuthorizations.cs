using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification;

/// <summary>What an app asks for, a citizen's or a clinic's, pushed beforehand over the app's own authenticated connection (RFC 9126).</summary>
/// <param name="RedirectUri">One of the registered ones, exactly.</param>
/// <param name="State">Given back as it came; null: none.</param>
/// <param name="CodeChallenge">PKCE, S256 (RFC 7636).</param>
/// <param name="Scopes">SMART v2 scopes of level <c>patient</c>, or of level <c>user</c> for a clinic's app, no wider than the registration.</param>
/// <param name="KeyThumbprint">Of the key that must fetch the token (RFC 9449 §10); null: any that proves itself then, or the certificate.</param>
/// <param name="Ends">Until when it may be answered; the push sets it, and nothing prolongs it.</param>
internal sealed record PushedRequest(string ClientId, string RedirectUri, string? State, string CodeChallenge, IReadOnlyList<string> Scopes, string? KeyThumbprint = null, DateTimeOffset Ends = default)
{
    /// <summary>Those of <see cref="IdTokens.Scopes"/> that it asks for.</summary>
    public IReadOnlyList<string> Identity { get; init; } = [];

    /// <summary>Given back in the ID token as it came; null: none.</summary>
    public string? Nonce { get; init; }

    /// <summary>One of <see cref="AppGrants.Scopes"/> that it asks for; null: the person is asked again each time.</summary>
    public string? Access { get; init; }

    /// <summary>Of a clinic's app: OID of the organisation that it asks for. Null for a citizen's.</summary>
    public string? Organisation { get; init; }

    /// <summary>Of a clinic's app: v3-ActReason code. Null for a citizen's.</summary>
    public string? Purpose { get; init; }
}

/// <summary>What a citizen has allowed, or a professional signed in for, until the app has fetched its token.</summary>
/// <param name="Patient">Id of the citizen's Patient; null where it is a professional.</param>
/// <param name="Acr">Level at which the person was identified.</param>
internal sealed record AllowedRequest(PushedRequest Request, string? Patient, string? Acr)
{
    /// <summary>When the code was made.</summary>
    public DateTimeOffset At { get; init; }

    /// <summary>Who has signed in to a clinic's app; null where it is a citizen.</summary>
    public VouchedProfessional? Professional { get; init; }

    /// <summary>Digest of the citizen's session (<see cref="TicketSessions.DigestBroughtBy"/>), with which <see cref="AppGrants.OnlineAccess"/> ends.</summary>
    public string? Session { get; init; }
}

/// <summary>
/// The way of an app from its pushed request to its token. Request and code are 32 random bytes each; what they stand for is
/// in the shared store, sealed, so that both end after their time, serve once, and say nothing.
/// </summary>
/// <remarks>Throws <see cref="SharedStateException"/> when the store does not answer.</remarks>
internal sealed class AppAuthorizations(ISharedState shared, IDataProtectionProvider protection, AppGrants grants, TimeProvider time)
{
    /// <summary>Between the push and the person's arrival.</summary>
    public static readonly TimeSpan RequestLife = TimeSpan.FromSeconds(60);

    /// <summary>Between the push and her answer, once she has arrived: she identifies herself meanwhile.</summary>
    private static readonly TimeSpan ThinkingTime = TimeSpan.FromMinutes(15);

    private static readonly TimeSpan CodeLife = TimeSpan.FromSeconds(60);

    private const string UrnPrefix = "urn:ietf:params:oauth:request_uri:";
    private const int SecretLength = 43;
    private const string NoCode = "The code has been used, has expired, or never was.";

    private readonly IDataProtector _protector = protection.CreateProtector("app authorization");

    /// <returns>The <c>request_uri</c>.</returns>
    public async Task<string> PushAsync(PushedRequest request)
    {
        var secret = NewSecret();
        await WriteAsync("request", secret, request with { Ends = time.GetUtcNow() + ThinkingTime }, RequestLife).ConfigureAwait(false);
        return UrnPrefix + secret;
    }

    /// <summary>The request, as often as the citizen looks at it before she has answered.</summary>
    /// <returns>Null when there is none, it has ended or been answered, or another client pushed it.</returns>
    public async Task<PushedRequest?> ArriveAsync(string? requestUri, string? clientId)
    {
        if (SecretOf(requestUri) is not { } secret || await ReadAsync<PushedRequest>("request", secret).ConfigureAwait(false) is not { } request || request.ClientId != clientId)
            return null;
        var left = request.Ends - time.GetUtcNow();
        if (left <= TimeSpan.Zero)
            return null;
        await WriteAsync("request", secret, request, left).ConfigureAwait(false);
        // Answered between the read and the write: what was just written back ends too.
        if (await shared.GetAsync(NameOf("answered", secret)).ConfigureAwait(false) is null)
            return request;
        await shared.RemoveAsync(NameOf("request", secret)).ConfigureAwait(false);
        return null;
    }

    /// <summary>Ends the request with the citizen's answer.</summary>
    /// <returns>False when it has been answered before.</returns>
    public async Task<bool> AnswerAsync(string requestUri)
    {
        if (SecretOf(requestUri) is not { } secret || !await shared.AddAsync(NameOf("answered", secret), ThinkingTime).ConfigureAwait(false))
            return false;
        await shared.RemoveAsync(NameOf("request", secret)).ConfigureAwait(false);
        return true;
    }

    /// <returns>The code.</returns>
    public async Task<string> AllowAsync(AllowedRequest allowed)
    {
        var code = NewSecret();
        await WriteAsync("code", code, allowed with { At = time.GetUtcNow() }, CodeLife).ConfigureAwait(false);
        return code;
    }

    /// <summary>Takes what a code stands for. A code that comes twice has been stolen from somebody: what it was turned into ends.</summary>
    /// <param name="thumbprint">Of the key that the app has proven; null: none.</param>
    /// <returns>What was allowed, or a plain sentence why not; exactly one of the two.</returns>
    public async Task<(AllowedRequest? Allowed, string? Problem)> RedeemAsync(string? code, string clientId, string? redirectUri, string? verifier, string? thumbprint)
    {
        if (code is not { Length: SecretLength })
            return (null, "The code is not one of this server's.");
        if (await ReadAsync<AllowedRequest>("code", code).ConfigureAwait(false) is not { } allowed)
            return await shared.GetAsync(NameOf("used", code)).ConfigureAwait(false) is null ? (null, NoCode) : await RefuseUsedAsync(code).ConfigureAwait(false);
        if (allowed.Request.ClientId != clientId)
            return (null, "The code was issued to another client.");
        if (allowed.Request.RedirectUri != redirectUri)
            return (null, "redirect_uri differs from the one of the request.");
        // RFC 7636 §4.1, §4.6
        if (verifier is not { Length: >= 43 and <= 128 }
            || !CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(verifier)))), Encoding.ASCII.GetBytes(allowed.Request.CodeChallenge)))
            return (null, "code_verifier does not match the code_challenge of the request.");
        if (allowed.Request.KeyThumbprint is { } bound && bound != thumbprint)
            return (null, "The code is bound to another key than the one of the DPoP proof (dpop_jkt).");
        // Of all that come at the same time exactly one.
        if (!await shared.AddAsync(NameOf("used", code), AppGrants.LifeOfTokens, allowed.At).ConfigureAwait(false))
            return await RefuseUsedAsync(code).ConfigureAwait(false);
        await shared.RemoveAsync(NameOf("code", code)).ConfigureAwait(false);
        return (allowed, null);
    }

    private async Task<(AllowedRequest? Allowed, string? Problem)> RefuseUsedAsync(string code)
    {
        await grants.EndAsync(AppGrants.IdOf(code)).ConfigureAwait(false);
        return (null, NoCode);
    }

    private static string NewSecret() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));

    private static string? SecretOf(string? requestUri) =>
        requestUri is { Length: 34 + SecretLength } && requestUri.StartsWith(UrnPrefix, StringComparison.Ordinal) ? requestUri[UrnPrefix.Length..] : null;

    private static string NameOf(string kind, string secret) => SharedKey.Of("app-" + kind, secret);

    private async Task WriteAsync<T>(string kind, string secret, T value, TimeSpan life) =>
        await shared.SetAsync(NameOf(kind, secret), _protector.Protect(JsonSerializer.SerializeToUtf8Bytes(value)), life).ConfigureAwait(false);

    private async Task<T?> ReadAsync<T>(string kind, string secret) where T : class
    {
        if (await shared.GetAsync(NameOf(kind, secret)).ConfigureAwait(false) is not { } stored)
            return null;
        try
        {
            return JsonSerializer.Deserialize<T>(_protector.Unprotect(stored));
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since.
            return null;
        }
    }
}
