using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Portal;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Tests.Identification;

/// <summary>What citizens have let apps at: as long as it stands it is listed, and nothing else is.</summary>
public sealed class AppsOfPersonTests
{
    private static readonly Pseudonym Helmi = Pseudonym.Read("helmi-koe1"u8), Onni = Pseudonym.Read("onni-koe-1"u8);

    private readonly ShiftedClock _clock = new();
    private readonly IdentifierCipher _ids = new(new byte[32]);
    private readonly SeenState _shared;
    private readonly Revocations _revocations;
    private readonly PortalSessions _sessions;
    private readonly AppGrants _grants;
    private readonly AppsOfPerson _apps;

    public AppsOfPersonTests()
    {
        var seals = new EphemeralDataProtectionProvider();
        _shared = new(new MemoryState(_clock));
        _revocations = new(null, _clock);
        _sessions = new(_shared, new SessionEnds(_revocations, _clock), seals, _clock);
        _grants = new(_shared, seals, _revocations, _clock);
        _apps = new(_shared, seals, _grants, _revocations, _sessions, _ids, PortalUnderTest.Options(false), _clock);
    }

    [Fact]
    public async Task An_app_that_may_go_on_is_listed_for_thirty_days_and_one_that_may_not_for_its_access_token()
    {
        await LetAsync("once", access: null);
        await LetAsync("offline");
        Assert.Equal(["offline", "once"], await ListedAsync());
        _clock.Ahead = TimeSpan.FromSeconds(301);
        Assert.Equal(["offline"], await ListedAsync());
        _clock.Ahead = TimeSpan.FromDays(29.99);
        Assert.Equal(["offline"], await ListedAsync());
        _clock.Ahead = TimeSpan.FromDays(30.01);
        Assert.Empty(await ListedAsync());
    }

    [Fact]
    public async Task What_is_listed_says_what_was_allowed_and_since_when_and_until_when()
    {
        var now = _clock.GetUtcNow();
        await LetAsync("app");
        var one = Assert.Single(await _apps.OfAsync(Helmi));
        Assert.Equal(("app", "patient/Observation.rs", "offline_access"), (one.ClientId, Assert.Single(one.Scopes), one.Access));
        Assert.InRange(one.Began, now, now.AddMinutes(1));
        Assert.Equal(one.Began.AddDays(30), one.Ends);
    }

    [Fact]
    public async Task What_one_ends_of_an_app_is_not_listed_and_another_app_and_another_person_are()
    {
        await LetAsync("app");
        await LetAsync("other");
        await LetAsync("app", person: Onni);
        await _grants.EndAppAsync(Helmi, "app", default);
        Assert.Equal(["other"], await ListedAsync());
        Assert.Equal(["app"], await ListedAsync(Onni));
        // Nothing is left of the revocation itself.
        _clock.Ahead = TimeSpan.FromDays(1);
        Assert.Equal(["other"], await ListedAsync());
        await _grants.EndAllAsync(Helmi, default);
        Assert.Empty(await ListedAsync());
        Assert.Equal(["app"], await ListedAsync(Onni));
    }

    [Fact]
    public async Task What_an_app_is_given_within_seven_minutes_of_its_end_has_ended_too_and_what_it_is_given_later_stands()
    {
        await _grants.EndAppAsync(Helmi, "app", default);
        var free = (await _grants.FreeFromAsync(Helmi, "app"))!.Value;
        Assert.InRange(free - _clock.GetUtcNow(), TimeSpan.FromMinutes(6.9), TimeSpan.FromMinutes(7));
        Assert.Null(await _grants.FreeFromAsync(Helmi, "other"));
        await LetAsync("app");
        Assert.Empty(await ListedAsync());
        _clock.Ahead = TimeSpan.FromMinutes(7.1);
        Assert.Empty(await ListedAsync());
        await LetAsync("app");
        Assert.Equal(["app"], await ListedAsync());
    }

    [Fact]
    public async Task A_grant_that_was_ended_by_itself_is_not_listed()
    {
        var grant = await LetAsync("app");
        await LetAsync("app");
        await _grants.EndAsync(grant);
        Assert.Equal(["app"], await ListedAsync());
        _clock.Ahead = TimeSpan.FromMinutes(8);
        Assert.Equal(["app"], await ListedAsync());
    }

    [Fact]
    public async Task An_app_that_may_read_while_she_is_signed_in_is_listed_until_its_last_token_has_ended_after_her_session()
    {
        var properties = new AuthenticationProperties();
        PortalSessions.Begin(properties, _clock.GetUtcNow());
        new SessionEnds(_revocations, _clock).Begin(properties, null, "somebody");
        var session = await _sessions.StoreAsync(new(PortalSessions.CreatePrincipal(Helmi, "Helmi Koe", IdentificationWorld.Acr), properties, PortalSessions.Scheme));
        await LetAsync("app", AppGrants.OnlineAccess, session: SharedKey.Of("session", session));
        _clock.Ahead = TimeSpan.FromMinutes(6);
        Assert.Equal(["app"], await ListedAsync());
        await _sessions.RemoveAsync(session);
        Assert.Empty(await ListedAsync());
    }

    [Fact]
    public async Task What_the_store_has_forgotten_is_listed_again_when_the_app_goes_on()
    {
        var token = (await _grants.BeginAsync(Allowed("app"), AppGrants.IdOf("code"), null, "certificate"))!;
        Assert.Empty(await ListedAsync());
        var grant = (await _grants.FindAsync(token))!;
        _clock.Ahead = TimeSpan.FromDays(10);
        await _apps.KeepAsync(grant.Allowed, grant.Id, grant);
        var one = Assert.Single(await _apps.OfAsync(Helmi));
        Assert.Equal((grant.Began, grant.Ends), (one.Began, one.Ends));
    }

    [Fact]
    public async Task The_store_sees_neither_person_nor_app_nor_what_was_allowed()
    {
        var grant = await LetAsync("the-app");
        foreach (var secret in new[] { grant, _ids.PatientId(Helmi), Helmi.Encode(), "the-app", "Observation" })
            Assert.DoesNotContain(secret, _shared.Text);
    }

    private AllowedRequest Allowed(string client, string? access = AppGrants.OfflineAccess, Pseudonym? person = null, string? session = null) =>
        new(new(client, "https://app.example/back", null, "challenge", ["patient/Observation.rs"]) { Access = access }, _ids.PatientId(person ?? Helmi), IdentificationWorld.Acr) { Session = session };

    /// <summary>As the token endpoint does it.</summary>
    /// <returns>Id of the grant.</returns>
    private async Task<string> LetAsync(string client, string? access = AppGrants.OfflineAccess, Pseudonym? person = null, string? session = null)
    {
        var (allowed, grant) = (Allowed(client, access, person, session), AppGrants.IdOf(Guid.NewGuid().ToString()));
        await _apps.KeepAsync(allowed, grant);
        if (access is not null)
            Assert.NotNull(await _grants.BeginAsync(allowed, grant, null, "certificate"));
        return grant;
    }

    private async Task<string[]> ListedAsync(Pseudonym? person = null) => [.. (await _apps.OfAsync(person ?? Helmi)).Select(static one => one.ClientId).Order(StringComparer.Ordinal)];
}
