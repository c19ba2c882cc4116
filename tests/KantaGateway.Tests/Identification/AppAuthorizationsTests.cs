using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Tests.Identification;

/// <summary>Requests and codes of citizens' apps: their time, their one use, and what the store sees of them.</summary>
public sealed class AppAuthorizationsTests
{
    private const string Verifier = "a-verifier-of-forty-three-characters-and-more";

    private static readonly PushedRequest Asked = new("app", "https://app.example/back", "state", Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(Verifier))), ["patient/Observation.rs"]);

    private readonly ShiftedClock _clock = new();
    private readonly MemoryState _shared;
    private readonly Revocations _revocations;
    private readonly AppGrants _grants;
    private readonly AppAuthorizations _apps;

    public AppAuthorizationsTests()
    {
        _shared = new(_clock);
        _revocations = new(null, _clock);
        _grants = new(_shared, new EphemeralDataProtectionProvider(), _revocations, _clock);
        _apps = new(_shared, new EphemeralDataProtectionProvider(), _grants, _clock);
    }

    /// <summary>PARAttemptToUseExpiredRequestUri.</summary>
    [Theory]
    [InlineData(59, true)]
    [InlineData(61, false)]
    public async Task A_request_waits_a_minute_for_the_citizen(int seconds, bool found)
    {
        var request = await _apps.PushAsync(Asked);
        _clock.Ahead += TimeSpan.FromSeconds(seconds);
        Assert.Equal(found, await _apps.ArriveAsync(request, "app") is not null);
    }

    [Theory]
    [InlineData(14, true)]
    [InlineData(16, false)]
    public async Task Once_she_has_arrived_she_has_time_to_identify_herself(int minutes, bool found)
    {
        var request = await _apps.PushAsync(Asked);
        Assert.NotNull(await _apps.ArriveAsync(request, "app"));
        _clock.Ahead += TimeSpan.FromMinutes(minutes);
        Assert.Equal(found, await _apps.ArriveAsync(request, "app") is not null);
    }

    [Fact]
    public async Task Looking_at_a_request_again_and_again_does_not_keep_it()
    {
        var request = await _apps.PushAsync(Asked);
        for (var minutes = 0; minutes < 15; minutes += 5)
        {
            Assert.NotNull(await _apps.ArriveAsync(request, "app"));
            _clock.Ahead += TimeSpan.FromMinutes(5);
        }
        Assert.Null(await _apps.ArriveAsync(request, "app"));
    }

    [Fact]
    public async Task Who_looks_at_a_request_while_it_is_answered_does_not_bring_it_back()
    {
        var shared = new SeenState(_shared);
        var apps = new AppAuthorizations(shared, new EphemeralDataProtectionProvider(), _grants, _clock);
        var request = await apps.PushAsync(Asked);
        shared.AfterGet("app-request:", async () => Assert.True(await apps.AnswerAsync(request)));
        Assert.Null(await apps.ArriveAsync(request, "app"));
        Assert.Null(await apps.ArriveAsync(request, "app"));
        Assert.False(await apps.AnswerAsync(request));
    }

    /// <summary>AttemptToUseExpiredAuthCode.</summary>
    [Theory]
    [InlineData(59, true)]
    [InlineData(61, false)]
    public async Task A_code_lives_a_minute(int seconds, bool redeemed)
    {
        var code = await _apps.AllowAsync(new(Asked, "patient", null));
        _clock.Ahead += TimeSpan.FromSeconds(seconds);
        Assert.Equal(redeemed, (await _apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null)).Allowed is not null);
    }

    [Fact]
    public async Task Of_many_who_bring_a_code_at_once_one_gets_it_and_of_many_answers_one_counts()
    {
        var code = await _apps.AllowAsync(new(Asked, "patient", null));
        var redeemed = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Task.Run(() => _apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null))));
        Assert.Single(redeemed, each => each.Allowed is not null);
        var request = await _apps.PushAsync(Asked);
        var answered = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ => Task.Run(() => _apps.AnswerAsync(request))));
        Assert.Single(answered, each => each);
    }

    [Fact]
    public async Task A_code_that_comes_again_revokes_what_it_was_turned_into()
    {
        var code = await _apps.AllowAsync(new(Asked, "patient", null));
        var token = RevokedName.Grant(AppGrants.IdOf(code));
        Assert.NotNull((await _apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null)).Allowed);
        Assert.False(_revocations.IsRevoked(token));
        Assert.Null((await _apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null)).Allowed);
        Assert.True(_revocations.IsRevoked(token));
    }

    [Fact]
    public async Task Who_brings_a_code_while_it_is_redeemed_revokes_the_token_too()
    {
        var shared = new SeenState(_shared);
        var apps = new AppAuthorizations(shared, new EphemeralDataProtectionProvider(), _grants, _clock);
        var code = await apps.AllowAsync(new(Asked, "patient", null));
        shared.AfterGet("app-code:", async () => Assert.NotNull((await apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null)).Allowed));
        Assert.Null((await apps.RedeemAsync(code, "app", Asked.RedirectUri, Verifier, null)).Allowed);
        Assert.True(_revocations.IsRevoked(RevokedName.Grant(AppGrants.IdOf(code))));
    }

    [Fact]
    public async Task The_store_sees_neither_secret_nor_content()
    {
        var seen = new SeenState(_shared);
        var apps = new AppAuthorizations(seen, new EphemeralDataProtectionProvider(), _grants, _clock);
        var request = await apps.PushAsync(Asked);
        var code = await apps.AllowAsync(new(Asked, "the-patient", null));
        foreach (var secret in new[] { request[^43..], code, "the-patient", "app.example", "Observation" })
            Assert.DoesNotContain(secret, seen.Text);
    }

    [Theory]
    [InlineData("redirect_uris", "[]", "redirect_uris")]
    [InlineData("redirect_uris", "[\"http://app.example/back\"]", "redirect_uris")]
    [InlineData("redirect_uris", "[\"https://app.example/back#x\"]", "redirect_uris")]
    [InlineData("redirect_uris", "[\"https://user@app.example/back\"]", "redirect_uris")]
    [InlineData("redirect_uris", "[\"/back\"]", "redirect_uris")]
    [InlineData("scopes", "[\"patient/*.cruds\"]", "letters r and s")]
    [InlineData("scopes", "[\"patient/Consent.c\"]", "letters r and s")]
    [InlineData("scopes", "[\"user/*.rs\"]", "letters r and s")]
    [InlineData("client_id", "\"operator\"", "audit log's own")]
    [InlineData("client_id", "\"unknown\"", "audit log's own")]
    [InlineData("client_id", "\"kanta|900\"", "ASCII letters")]
    [InlineData("client_id", "\"host@1.2.246.10.90000009\"", "ASCII letters")]
    [InlineData("client_id", "\"\u00e4ppi\"", "ASCII letters")]
    [InlineData("kind", "\"system\"", "are for kind app")]
    [InlineData("kind", "\"both\"", "not valid")]
    public void A_registration_of_an_app_is_refused_with(string member, string value, string reason)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        var point = key.ExportParameters(false).Q;
        var entry = JsonNode.Parse($$$"""
            {"client_id":"app","kind":"app","client_name":"App","redirect_uris":["https://app.example/back"],"organisation_oid":"1.2.246.10.90000009","organisation_name":"App Oy",
             "controller_kind":"private","scopes":["patient/*.rs"],
             "jwks":{"keys":[{"kty":"EC","crv":"P-384","kid":"1","x":"{{{Base64Url.EncodeToString(point.X)}}}","y":"{{{Base64Url.EncodeToString(point.Y)}}}"}]}}
            """)!.AsObject();
        Assert.Equal(ClientKind.App, ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true).Find("app")!.Registration.Kind);
        entry[member] = JsonNode.Parse(value);
        Assert.Contains(reason, Assert.Throws<InvalidDataException>(() => ClientDirectory.Read(Encoding.UTF8.GetBytes($"[{entry}]"), true)).Message);
    }
}
