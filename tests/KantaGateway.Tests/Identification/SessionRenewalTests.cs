using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Tests.Identification;

/// <summary>Every request renews its session. One that is signed out while another request renews it stays signed out.</summary>
public sealed class SessionRenewalTests
{
    private readonly LeavingState _shared = new(new MemoryState(TimeProvider.System));

    [Fact]
    public async Task A_citizens_session_that_is_signed_out_during_a_renewal_stays_signed_out()
    {
        var ends = new SessionEnds(new Revocations(null, TimeProvider.System), TimeProvider.System);
        var properties = new AuthenticationProperties();
        ends.Begin(properties, null, "somebody");
        await StaysOutAsync(new PortalSessions(_shared, ends, new EphemeralDataProtectionProvider(), TimeProvider.System),
            new(PortalSessions.CreatePrincipal(Pseudonym.Read("one-person"u8), "Aino Esimerkki", IdentificationWorld.Acr), properties, PortalSessions.Scheme));
    }

    [Fact]
    public Task An_operators_session_that_is_signed_out_during_a_renewal_stays_signed_out() =>
        StaysOutAsync(new OperatorSessions(_shared, new EphemeralDataProtectionProvider(), TimeProvider.System),
            new(OperatorSessions.CreatePrincipal("tenant", "id", "Olga Operaattori", [OperatorRole.Onboarding], TimeProvider.System.GetUtcNow()), OperatorSessions.Scheme));

    private async Task StaysOutAsync(ITicketStore sessions, AuthenticationTicket ticket)
    {
        var key = await sessions.StoreAsync(ticket);
        await sessions.RenewAsync(key, ticket);
        Assert.NotNull(await sessions.RetrieveAsync(key));

        _shared.Leave = () => sessions.RemoveAsync(key);
        await sessions.RenewAsync(key, ticket);
        Assert.Null(_shared.Leave);
        Assert.Null(await sessions.RetrieveAsync(key));
    }

    /// <summary>Something else happens once, right after a read.</summary>
    private sealed class LeavingState(ISharedState inner) : ISharedState
    {
        public Func<Task>? Leave { get; set; }

        public async ValueTask<byte[]?> GetAsync(string key)
        {
            var read = await inner.GetAsync(key);
            if (Leave is { } leave)
            {
                Leave = null;
                await leave();
            }
            return read;
        }

        public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from) => inner.AddAsync(key, life, from);
        public ValueTask SetAsync(string key, byte[] value, TimeSpan life) => inner.SetAsync(key, value, life);
        public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) => inner.ReplaceAsync(key, value, life);
        public ValueTask RemoveAsync(string key) => inner.RemoveAsync(key);
        public ValueTask<long> CountAsync(string key, TimeSpan life) => inner.CountAsync(key, life);
        public ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace) => inner.SpreadAsync(sets, member, hold, trace);
        public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) => inner.TracesAsync(key, within);
        public ValueTask SettleAsync(string set) => inner.SettleAsync(set);
        public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after) => inner.TakeUnsettledAsync(after);
        public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member) => inner.WithdrawAsync(sets, member);
        public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most) => inner.PutAsync(group, member, value, life, most);
        public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group) => inner.ValuesAsync(group);
    }
}
