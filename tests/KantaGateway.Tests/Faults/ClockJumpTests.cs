using System.Net;
using System.Net.Http.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Identification;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Keys;
using KantaGateway.Tests.Repository;
using Some = KantaGateway.Tests.Repository.Some;

namespace KantaGateway.Tests.Faults;

/// <summary>A clock that jumps by an hour, and back, keeps nothing open longer and lets nothing be used twice; and what went by it serves again by itself.</summary>
public sealed class ClockJumpTests
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task A_record_and_a_grant_are_open_for_their_minute_and_the_next_grant_serves(int hours)
    {
        var machine = new SetClock();
        await using var world = await RepositoryWorld.StartAsync(time: new ForwardClock(machine));
        var clinic = world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        string Signed() => world.Signer.Sign(clinic.Grant with { Id = Guid.NewGuid().ToString("N"), Use = GrantUse.Policy, Expires = world.Time.GetUtcNow().AddSeconds(60) });
        var grant = Signed();
        (await world.AskAsync(HttpMethod.Post, "/policy", grant)).Is(HttpStatusCode.OK);

        machine.Set = hours * Hour;
        machine.Pass(TimeSpan.FromSeconds(61));
        (await world.AskAsync(HttpMethod.Post, "/policy", grant)).Is(HttpStatusCode.Unauthorized);
        // Set right again: what has ended has.
        machine.Set = default;
        (await world.AskAsync(HttpMethod.Post, "/policy", grant)).Is(HttpStatusCode.Unauthorized);
        // Nor is the record open: without the key service nobody gets at it.
        await world.StopKeysAsync();
        (await world.AskAsync(HttpMethod.Post, "/policy", Signed())).Is(HttpStatusCode.ServiceUnavailable);
        await world.StartKeysAsync();
        (await world.AskAsync(HttpMethod.Post, "/policy", Signed())).Is(HttpStatusCode.OK);
    }

    /// <summary>The key service forgets which grants have opened a key when none of them can live any more.</summary>
    [Fact]
    public async Task A_grant_that_has_opened_a_key_opens_none_again_when_the_clock_is_set_back_to_its_minute()
    {
        var machine = new SetClock();
        await using var world = await RepositoryWorld.StartAsync(time: new ForwardClock(machine));
        var person = await world.NewPersonAsync();
        string Signed(GrantUse use) => world.Signer.Sign(world.As(person, RepositoryWorld.Aurora).Grant with { Id = Guid.NewGuid().ToString("N"), Use = use });
        using var creation = new HttpRequestMessage(HttpMethod.Post, "/v1/keys/create") { Content = JsonContent.Create(new { }), Headers = { Authorization = new("Bearer", Signed(GrantUse.Write)) } };
        using var created = await world.KeyService.SendAsync(creation);
        var wrapped = (await created.Content.ReadFromJsonAsync<CreateAnswer>())!.Wrapped;
        async Task<int> UnwrapAsync(string grant)
        {
            using var answer = await world.KeyService.PostAsJsonAsync("/v1/keys/unwrap", new { keys = new[] { new { grant, wrapped } } });
            return (await answer.Content.ReadFromJsonAsync<UnwrapAnswer>())!.Keys.Single().Status;
        }
        var grant = Signed(GrantUse.Read);
        Assert.Equal(200, await UnwrapAsync(grant));
        machine.Set = -Hour;
        machine.Pass(2 * SpentGrants.Kept);
        Assert.Equal(401, await UnwrapAsync(grant));
        Assert.Equal(200, await UnwrapAsync(Signed(GrantUse.Read)));
    }

    /// <summary>It has nobody to compare it with: the others do when they start, and what they sign is of another time than its own.</summary>
    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task A_key_service_that_alone_starts_by_a_clock_that_is_off_gives_nothing_out(int hours)
    {
        var keys = new RunningKeys();
        await keys.InitializeAsync();
        try
        {
            var (person, others) = (keys.People[0], new SetClock());
            var gateway = new GrantSigner(keys.GatewayKey, others);
            string Signed(GrantUse use) => gateway.Sign(new Grant
            {
                Id = Guid.NewGuid().ToString("N"), Use = use, Compartment = person, Caller = "aurora", PurposeOfUse = "TREAT", Scope = new() { Breadth = Breadth.WholePerson }, Expires = others.GetUtcNow() + Grant.MaxLifetime,
            });
            async Task<HttpStatusCode> AskAsync(string path, string word)
            {
                using var answer = await keys.PostAsync(path, word, new { });
                return answer.StatusCode;
            }
            others.Set = keys.Time.GetUtcNow() - others.GetUtcNow() - hours * Hour;
            foreach (var (path, word) in new[] { ("/v1/keys/create", Signed(GrantUse.Write)), ("/v1/erasures", gateway.Sign(new KeyErasure("act", person, "proposer", "approver"))), ("/v1/pseudonym", gateway.SignServiceToken()) })
                Assert.Equal(HttpStatusCode.Unauthorized, await AskAsync(path, word));
            others.Set += hours * Hour;
            Assert.Equal(HttpStatusCode.OK, await AskAsync("/v1/keys/create", Signed(GrantUse.Write)));
        }
        finally
        {
            await keys.DisposeAsync();
        }
    }

    [Fact]
    public void A_key_service_that_starts_by_a_clock_that_was_set_back_gives_no_second_budget()
    {
        var noon = new DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero);
        Digest Of(int number) => new((UInt128)number);
        PatientBudgets Started(DateTimeOffset now)
        {
            var budgets = new PatientBudgets([new() { Seconds = 3600, PerRequester = 2, Total = 2 }]);
            foreach (var person in (int[])[10, 11])
                budgets.Restore(Of(1), Of(person), noon.AddMinutes(person), now);
            return budgets;
        }
        Assert.NotNull(Started(noon.AddMinutes(30)).Spend(Of(1), Of(12), noon.AddMinutes(30)));
        var setBack = Started(noon.AddMinutes(-30));
        Assert.NotNull(setBack.Spend(Of(1), Of(12), noon.AddMinutes(-30)));
        Assert.NotNull(setBack.Spend(Of(1), Of(12), noon.AddMinutes(30)));
        Assert.Null(setBack.Spend(Of(1), Of(12), noon.AddHours(1)));
        // A time that is far from any other is nobody's window.
        Assert.Null(Started(noon.AddHours(-5)).Spend(Of(1), Of(12), noon.AddHours(-5)));
    }

    [Fact]
    public async Task A_session_ends_in_its_time_whatever_the_clock_is_set_to()
    {
        var machine = new SetClock();
        var state = new MemoryState(new ForwardClock(machine));
        var life = TimeSpan.FromMinutes(5);
        await state.SetAsync("session", [1], life);
        machine.Set = Hour;
        Assert.Null(await state.GetAsync("session"));
        machine.Set = default;
        Assert.Null(await state.GetAsync("session"));
        await state.SetAsync("session", [1], life);
        machine.Set = -Hour;
        machine.Pass(life);
        Assert.Null(await state.GetAsync("session"));
    }

    /// <summary>What a gateway whose clock is ahead takes for long over is in force by all the others.</summary>
    [Fact]
    public async Task A_gateway_whose_clock_is_ahead_takes_no_revocation_out_of_the_shared_list()
    {
        await using var redis = await TestRedis.StartAsync();
        var machine = new ShiftedClock();
        var connection = RedisState.Connect(redis.Connection);
        Revocations Gateway(TimeProvider time) => new(new RedisRevocationLog(connection, time), time);
        var (right, ahead) = (Gateway(TimeProvider.System), Gateway(machine));
        await right.RenewAsync();
        await right.RevokeAsync(RevokedName.Token("a"), DateTimeOffset.UtcNow.AddMinutes(20));
        machine.Ahead = Hour;
        // The first one is gone, which would have added what it still holds.
        await ahead.RevokeAsync(RevokedName.Token("b"), machine.GetUtcNow().AddMinutes(20));
        var later = Gateway(TimeProvider.System);
        await later.RenewAsync();
        Assert.True(later.IsRevoked(RevokedName.Token("a")));
        Assert.True(later.IsRevoked(RevokedName.Token("b")));
    }
}
