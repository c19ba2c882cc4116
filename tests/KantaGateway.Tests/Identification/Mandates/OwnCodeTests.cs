using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Harness.Drills;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Tests.Identification.Mandates;

/// <summary>A citizen's own code lasts as long as her session, and nobody opens it without her browser.</summary>
public sealed class OwnCodeTests
{
    [Fact]
    public void Only_the_name_of_the_session_opens_it()
    {
        Assert.True(PersonalIdentityCode.TryParse(IdentificationWorld.TestCode, out var code));
        var sealedCode = OwnCode.Seal("one session", code);
        Assert.Equal(code, OwnCode.Open("one session", sealedCode));
        Assert.Null(OwnCode.Open("another session", sealedCode));
        Assert.Null(OwnCode.Open("one session", "not base64"));
        Assert.NotEqual(sealedCode, OwnCode.Seal("one session", code));
    }

    /// <summary>Whoever has the store and the keys of the gateway opens the ticket, and finds no code in it.</summary>
    [Fact]
    public async Task An_opened_ticket_has_no_code_in_it()
    {
        Assert.True(PersonalIdentityCode.TryParse(IdentificationWorld.TestCode, out var code));
        var (shared, protection) = (new Watched(), new EphemeralDataProtectionProvider());
        var ends = new SessionEnds(new Revocations(null, TimeProvider.System), TimeProvider.System);
        var sessions = new PortalSessions(shared, ends, protection, TimeProvider.System);
        var properties = new AuthenticationProperties();
        ends.Begin(properties, null, "somebody");
        PortalSessions.Keep(properties, code);
        var key = await sessions.StoreAsync(new(PortalSessions.CreatePrincipal(Pseudonym.Read("one-person"u8), "Aino Esimerkki", IdentificationWorld.Acr), properties, PortalSessions.Scheme));

        var opened = protection.CreateProtector("portal ticket").Unprotect(Assert.Single(shared.Written));
        Assert.Contains("Aino Esimerkki", Encoding.UTF8.GetString(opened));
        foreach (var (form, bytes) in ClearText.Forms(IdentificationWorld.TestCode))
            Assert.True(opened.AsSpan().IndexOf(bytes) < 0, form);
        // A renewal takes it along.
        await sessions.RenewAsync(key, (await sessions.RetrieveAsync(key))!);
        var item = (await sessions.RetrieveAsync(key))!.Properties.Items["own-code"]!;
        Assert.Equal(code, OwnCode.Open(key, item));
    }

    private sealed class Watched : ISharedState
    {
        private readonly MemoryState _inner = new(TimeProvider.System);

        public List<byte[]> Written { get; } = [];

        public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from) => _inner.AddAsync(key, life, from);

        public ValueTask SetAsync(string key, byte[] value, TimeSpan life)
        {
            Written.Add(value);
            return _inner.SetAsync(key, value, life);
        }

        public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) => _inner.ReplaceAsync(key, value, life);
        public ValueTask<byte[]?> GetAsync(string key) => _inner.GetAsync(key);
        public ValueTask RemoveAsync(string key) => _inner.RemoveAsync(key);
        public ValueTask<long> CountAsync(string key, TimeSpan life) => _inner.CountAsync(key, life);
        public ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace) => _inner.SpreadAsync(sets, member, hold, trace);
        public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) => _inner.TracesAsync(key, within);
        public ValueTask SettleAsync(string set) => _inner.SettleAsync(set);
        public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after) => _inner.TakeUnsettledAsync(after);
        public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member) => _inner.WithdrawAsync(sets, member);
        public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most) => _inner.PutAsync(group, member, value, life, most);
        public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group) => _inner.ValuesAsync(group);
    }
}
