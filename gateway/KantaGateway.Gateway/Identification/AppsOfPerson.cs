using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification;

/// <summary>Something that a citizen has let an app at, as she is told it.</summary>
/// <param name="Patient">Id of her Patient.</param>
/// <param name="Grant">Named by every access token of it.</param>
/// <param name="Scopes">SMART scopes.</param>
/// <param name="Identity">Those of <see cref="IdTokens.Scopes"/>.</param>
/// <param name="Access">One of <see cref="AppGrants.Scopes"/>; null: an access token and no more.</param>
/// <param name="Session">Digest of the session in which she answered.</param>
/// <param name="Issued">When it was last given an access token.</param>
/// <param name="Ends">Nothing prolongs it.</param>
internal sealed record GivenToApp(string Patient, string Grant, string ClientId, IReadOnlyList<string> Scopes, IReadOnlyList<string> Identity, string? Access, string? Session, DateTimeOffset Began, DateTimeOffset Issued, DateTimeOffset Ends);

/// <summary>
/// What citizens have let apps at: kept before an app is given the token, whenever it is given one, sealed in the shared store under a name that tells nothing. So what a store has forgotten, or never knew, is there again before it is used.
/// </summary>
/// <remarks>What it tells may have become narrower since, with the registration. Throws <see cref="SharedStateException"/> when the store does not answer.</remarks>
internal sealed class AppsOfPerson(ISharedState shared, IDataProtectionProvider protection, AppGrants grants, Revocations revocations, PortalSessions sessions, IdentifierCipher ids, GatewayOptions options, TimeProvider time)
{
    /// <summary>What one citizen has let apps at, at a time; each took her answer.</summary>
    private const int Most = 200;

    private readonly IDataProtector _protector = protection.CreateProtector("apps of person");

    private TimeSpan LifeOfToken => TimeSpan.FromSeconds(options.Identification.AccessTokenSeconds);

    /// <summary>Keeps that an app is about to be given an access token. Without it there is no token: she could not see it, nor end it.</summary>
    /// <param name="allowed">By a citizen.</param>
    /// <param name="grant">Id of what the code was turned into.</param>
    /// <param name="kept">The grant that it goes on with; null: the code is being redeemed.</param>
    public async Task KeepAsync(AllowedRequest allowed, string grant, AppGrant? kept = null)
    {
        if (TokenEndpoint.PersonOf(allowed.Patient, ids) is not { } person)
            return;
        var (request, now) = (allowed.Request, time.GetUtcNow());
        var given = new GivenToApp(allowed.Patient!, grant, request.ClientId, request.Scopes, request.Identity, request.Access, allowed.Session, kept?.Began ?? now, now,
            kept?.Ends ?? now + (request.Access is null ? LifeOfToken : AppGrants.LongestOf(request)));
        await shared.PutAsync(NameOf(person), SharedKey.Of("grant", grant), _protector.Protect(JsonSerializer.SerializeToUtf8Bytes(given)), given.Ends + AppGrants.LifeOfTokens - now, Most).ConfigureAwait(false);
    }

    /// <summary>What apps may read now, or go on to read; what has been ended is not among it.</summary>
    public async Task<IReadOnlyList<GivenToApp>> OfAsync(Pseudonym person)
    {
        var (all, patient) = (new List<GivenToApp>(), ids.PatientId(person));
        foreach (var stored in await shared.ValuesAsync(NameOf(person)).ConfigureAwait(false))
            if (Read(stored) is { } given && given.Patient == patient && await StandsAsync(given, person).ConfigureAwait(false))
                all.Add(given);
        return all;
    }

    private async ValueTask<bool> StandsAsync(GivenToApp given, Pseudonym person)
    {
        if (((RevokedName[])[RevokedName.Grant(given.Grant), RevokedName.AppsOf(person), RevokedName.AppOf(person, given.ClientId)]).Any(revocations.IsRevoked))
            return false;
        var now = time.GetUtcNow();
        // An access token lives on when what it came of has ended by itself.
        return given.Issued + LifeOfToken > now
            || (given.Access is not null && given.Ends > now && await grants.IsKeptAsync(given.Grant).ConfigureAwait(false) && !await grants.HasEndedAsync(person, given.ClientId, given.Began).ConfigureAwait(false)
                && (given.Access != AppGrants.OnlineAccess || (given.Session is { } session && await sessions.LastsAsync(session).ConfigureAwait(false))));
    }

    private GivenToApp? Read(byte[] stored)
    {
        try
        {
            return JsonSerializer.Deserialize<GivenToApp>(_protector.Unprotect(stored));
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since, as the grant was.
            return null;
        }
    }

    private static string NameOf(Pseudonym person) => SharedKey.Of("apps-of", person.Encode());
}
