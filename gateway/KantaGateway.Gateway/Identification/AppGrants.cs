using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification;

/// <summary>What an app gets new access tokens for without asking the person again, as long as it stands.</summary>
/// <param name="Id">Named by every access token of it (claim <c>grant</c>).</param>
/// <param name="Digest">SHA-256 of the refresh token.</param>
/// <param name="Key">Thumbprint of the key that the app has to prove; null: it has to show the certificate.</param>
/// <param name="Certificate">SHA-256 of that certificate (<c>x5t#S256</c>); null with a key.</param>
/// <param name="Ends">Nothing prolongs it.</param>
internal sealed record AppGrant(AllowedRequest Allowed, string Id, string Digest, string? Key, string? Certificate, DateTimeOffset Began, DateTimeOffset Ends);

/// <summary>
/// Refresh tokens (RFC 6749 §6; SMART App Launch 2.2, <c>offline_access</c> and <c>online_access</c>): an id and 32 random bytes that say nothing; what
/// they stand for lies sealed in the shared store. They are not rotated (FAPI 2.0 Security Profile §5.3.2.1).
/// </summary>
/// <remarks>Whether a grant still stands is <see cref="AppStanding"/>'s to say. Throws <see cref="SharedStateException"/> when the store does not answer.</remarks>
internal sealed class AppGrants(ISharedState shared, IDataProtectionProvider protection, Revocations revocations, TimeProvider time)
{
    /// <summary>While the person is away too, or while signed in.</summary>
    public const string OfflineAccess = "offline_access", OnlineAccess = "online_access";

    /// <summary>The scopes that give one.</summary>
    public static readonly IReadOnlyList<string> Scopes = [OfflineAccess, OnlineAccess];

    /// <summary>Life of what was allowed with <see cref="OfflineAccess"/>, from the code on.</summary>
    public static readonly TimeSpan OfflineLife = TimeSpan.FromDays(30);

    /// <summary>The longest life of an access token, what a request to get one may take, and a little more.</summary>
    public static readonly TimeSpan LifeOfTokens = TimeSpan.FromMinutes(7);

    private const int IdLength = 22, SecretLength = 43;

    private readonly IDataProtector _protector = protection.CreateProtector("app grant");

    /// <summary>Id of the grant that a code is turned into: whoever brings the code again names by it what is to be ended.</summary>
    public static string IdOf(string code) => Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes("grant of code\0" + code)).AsSpan(0, 16));

    /// <summary>Keeps what a code has given.</summary>
    /// <param name="id">By <see cref="IdOf"/>.</param>
    /// <param name="key">Thumbprint of the key that the app has proven; null: none.</param>
    /// <param name="certificate">SHA-256 of the certificate that it has shown.</param>
    /// <returns>The refresh token; null when the code has come a second time meanwhile.</returns>
    public async Task<string?> BeginAsync(AllowedRequest allowed, string id, string? key, string? certificate)
    {
        var now = time.GetUtcNow();
        var longest = now + LongestOf(allowed.Request);
        // A clinic's provider has said until when it vouches.
        var ends = allowed.Professional is { } professional && professional.Until < longest ? professional.Until : longest;
        var token = id + Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        var grant = new AppGrant(allowed, id, DigestOf(token), key, key is null ? certificate : null, now, ends);
        await shared.SetAsync(NameOf(id), _protector.Protect(JsonSerializer.SerializeToUtf8Bytes(grant)), ends - now).ConfigureAwait(false);
        // Whoever ends it revokes first and removes then: one of the two sees the other.
        if (!revocations.IsRevoked(RevokedName.Grant(id)))
            return token;
        await shared.RemoveAsync(NameOf(id)).ConfigureAwait(false);
        return null;
    }

    /// <summary>How long what was allowed lasts at most, from the code on.</summary>
    public static TimeSpan LongestOf(PushedRequest request) => request.Access == OfflineAccess ? OfflineLife : PortalSessions.Longest;

    /// <returns>Null when the token is none, has ended or been ended.</returns>
    public async Task<AppGrant?> FindAsync(string? token)
    {
        if (token is not { Length: IdLength + SecretLength } || await shared.GetAsync(NameOf(token[..IdLength])).ConfigureAwait(false) is not { } stored)
            return null;
        try
        {
            return JsonSerializer.Deserialize<AppGrant>(_protector.Unprotect(stored)) is { } grant && grant.Ends > time.GetUtcNow()
                && CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(grant.Digest), Encoding.ASCII.GetBytes(DigestOf(token))) ? grant : null;
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since.
            return null;
        }
    }

    /// <summary>Ends a grant with every access token of it, at every gateway.</summary>
    public async ValueTask EndAsync(string id, CancellationToken cancel = default)
    {
        try
        {
            await revocations.RevokeAsync(RevokedName.Grant(id), time.GetUtcNow() + LifeOfTokens, cancel).ConfigureAwait(false);
        }
        finally
        {
            await shared.RemoveAsync(NameOf(id)).ConfigureAwait(false);
        }
    }

    /// <summary>Whether a grant is kept: it has neither ended nor been ended by itself.</summary>
    public async Task<bool> IsKeptAsync(string id) => await shared.GetAsync(NameOf(id)).ConfigureAwait(false) is not null;

    /// <summary>Ends whatever apps were given by a citizen. Access tokens are refused for <see cref="LifeOfTokens"/>, and what began before that is over ends with them.</summary>
    public ValueTask EndAllAsync(Pseudonym person, CancellationToken cancel) => EndAsync(NameOf(person), RevokedName.AppsOf(person), cancel);

    /// <summary>The same of one app.</summary>
    /// <inheritdoc cref="EndAllAsync"/>
    public ValueTask EndAppAsync(Pseudonym person, string clientId, CancellationToken cancel) => EndAsync(NameOf(person, clientId), RevokedName.AppOf(person, clientId), cancel);

    private async ValueTask EndAsync(string key, RevokedName name, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var moment = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(moment, now.Ticks);
        await shared.SetAsync(key, moment, OfflineLife + LifeOfTokens).ConfigureAwait(false);
        // By name alone, without a mark: tokens outlive the process that counts marks.
        await revocations.RevokeAsync(name, now + LifeOfTokens, cancel).ConfigureAwait(false);
    }

    /// <summary>Since when an app may be given something again that stands; null: a citizen has ended nothing of it for a month. Later than now: what it is given before ends with what was ended.</summary>
    public async Task<DateTimeOffset?> FreeFromAsync(Pseudonym person, string clientId)
    {
        DateTimeOffset? from = null;
        foreach (var key in (string[])[NameOf(person), NameOf(person, clientId)])
            // The clocks of gateways differ by less.
            if (await shared.GetAsync(key).ConfigureAwait(false) is { } moment && new DateTimeOffset(BinaryPrimitives.ReadInt64BigEndian(moment), default) + LifeOfTokens is var one && !(from > one))
                from = one;
        return from;
    }

    /// <summary>Whether a citizen has ended what an app was given, or what all were, since it began.</summary>
    public async Task<bool> HasEndedAsync(Pseudonym person, string clientId, DateTimeOffset began) => began < await FreeFromAsync(person, clientId).ConfigureAwait(false);

    private static string DigestOf(string token) => Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(token)));

    private static string NameOf(string id) => SharedKey.Of("app-grant", id);

    private static string NameOf(Pseudonym person) => SharedKey.Of("apps-ended", person.Encode());

    private static string NameOf(Pseudonym person, string clientId) => SharedKey.Of("app-ended", person.Encode(), clientId);
}
