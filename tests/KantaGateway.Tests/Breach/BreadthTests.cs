#pragma warning disable CA5394 // The same seed gives the same day; nothing here is a secret.
using System.Text;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Identification;

namespace KantaGateway.Tests.Breach;

/// <summary>Who opens patients whom no open service event justifies is stopped after a few, and goes on with the others; honest days are not disturbed.</summary>
public sealed class BreadthTests : IAsyncLifetime
{
    private BreadthWorld _world = null!;

    public Task InitializeAsync()
    {
        _world = new();
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    /// <summary>Curious at any pace: from a script's to one in an hour, over the weekend. Between them the own patients, who count for nothing.</summary>
    [Theory]
    [InlineData(0.1, 500)]
    [InlineData(20, 500)]
    [InlineData(60, 500)]
    [InlineData(230, 300)]
    [InlineData(300, 288)]
    [InlineData(3_600, 24)]
    public async Task A_curious_enumeration_stops_before_twenty_and_the_own_patients_go_on(double seconds, int people)
    {
        var gateway = _world.Gateway();
        foreach (var requester in new[] { _world.Professional("90001"), _world.System("scraper", "1.2.246.10.99000099") })
        {
            var (opened, cases) = (0, _world.Cases.All.Count);
            for (var i = 0; i < people; i++)
            {
                opened += await gateway.OpenAsync(requester, BreadthWorld.Person(i), isJustified: false) is null ? 1 : 0;
                Assert.Null(await gateway.OpenAsync(requester, BreadthWorld.Person(10_000 + i), isJustified: true));
                _world.Clock.Advance(TimeSpan.FromSeconds(seconds));
            }
            Assert.InRange(opened, 5, 19);
            var its = _world.Cases.All.Skip(cases).ToList();
            Assert.Equal(BreachKind.BreadthExceeded, Assert.Single(its).Kind);
            Assert.DoesNotContain("90001", its[0].What, StringComparison.Ordinal);
        }
    }

    /// <summary>Few enough each day for every shorter window.</summary>
    [Theory]
    [InlineData(3)]
    [InlineData(10)]
    [InlineData(18)]
    public async Task Slow_scraping_is_stopped_within_the_month(int aDay)
    {
        var gateway = _world.Gateway();
        var opened = 0;
        for (var day = 0; day < 30; day++)
        {
            for (var i = 0; i < aDay; i++)
            {
                opened += await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(day * 100 + i), isJustified: false) is null ? 1 : 0;
                _world.Clock.Advance(TimeSpan.FromMinutes(20));
            }
            _world.Clock.Advance(TimeSpan.FromDays(1) - aDay * TimeSpan.FromMinutes(20));
        }
        Assert.Equal(60, opened);
        // Stepped down again on each day after, and yet one case while it is open.
        Assert.Single(_world.Cases.All);
        await _world.Cases.EndAsync(1, "Looked into.", "approval");
        _world.Clock.Advance(TimeSpan.FromDays(1));
        for (var i = 0; i < 19; i++)
            await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(5_000 + i), isJustified: false);
        Assert.Equal(2, _world.Cases.All.Count);
    }

    /// <summary>More than its client and its organisation may, and they keep what they have.</summary>
    [Fact]
    public async Task A_system_with_an_allowance_of_its_own_is_counted_there_alone()
    {
        var gateway = _world.Gateway(new() { Systems = new Dictionary<string, BreadthAllowance> { ["hospital"] = new(300, 300, 300, 300) } });
        for (var i = 0; i < 301; i++)
            Assert.Equal(i < 300, await gateway.OpenAsync(_world.System(), BreadthWorld.Person(i), isJustified: false) is null);
        Assert.Equal(BreadthOf.System, Assert.Single(gateway.InForce).Of);
        Assert.Null(await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(1_000), isJustified: false));
        // Another one of that organisation has what it had.
        Assert.Null(await gateway.OpenAsync(_world.System("laboratory"), BreadthWorld.Person(1_001), isJustified: false));
    }

    /// <summary>Many professionals' tokens at one client, each below its own allowance.</summary>
    [Fact]
    public async Task A_client_and_an_organisation_are_stopped_whoever_they_send()
    {
        var gateway = _world.Gateway();
        var opened = 0;
        for (var i = 0; i < 3_000; i++)
        {
            opened += await gateway.OpenAsync(_world.Professional($"P{i % 300}", i % 2 == 0 ? "one" : "two"), BreadthWorld.Person(i), isJustified: false) is null ? 1 : 0;
            _world.Clock.Advance(TimeSpan.FromSeconds(3));
        }
        Assert.Equal(200, opened);
        Assert.Equal(BreadthOf.Organisation, Assert.Single(gateway.InForce).Of);
    }

    /// <summary>
    /// A ward for a day, on two gateways: a patient every six minutes, first looked up at the triage, where the visit is opened a minute or two later, and then seen by three others of the shift many times. Each
    /// shift looks up a few who never come.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task An_honest_day_of_an_emergency_ward_is_not_stopped(int seed)
    {
        var random = new Random(seed);
        BreadthBudgets[] gateways = [_world.Gateway(), _world.Gateway()];
        BreadthBudgets Any() => gateways[random.Next(2)];
        for (var arrival = 0; arrival < 240; arrival++)
        {
            var (shift, person) = (arrival / 80, BreadthWorld.Person(arrival));
            var triage = _world.Professional($"triage-{shift}-{random.Next(2)}");
            Assert.Null(await Any().OpenAsync(triage, person, isJustified: false));
            _world.Clock.Advance(TimeSpan.FromSeconds(random.Next(40, 130)));
            // Who left before, or came by a wrong code.
            if (random.Next(20) == 0)
                continue;
            Assert.Null(await Any().JustifyAsync(triage, person));
            foreach (var who in new[] { triage, _world.Professional($"nurse-{shift}-{random.Next(4)}"), _world.Professional($"doctor-{shift}-{random.Next(3)}"), _world.System() })
                for (var look = 0; look < 5; look++)
                    Assert.Null(await Any().OpenAsync(who, person, isJustified: true));
            _world.Clock.Advance(TimeSpan.FromSeconds(random.Next(180, 300)));
        }
        Assert.Empty(_world.Cases.All);
    }

    /// <summary>Thirty receptionists, a call every two and a half minutes each; most end in a booking, which justifies, some in none.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Monday_at_nine_is_not_stopped(int seed)
    {
        var random = new Random(seed);
        BreadthBudgets[] gateways = [_world.Gateway(), _world.Gateway(), _world.Gateway()];
        var pending = new PriorityQueue<(Requester Who, int Person), TimeSpan>();
        var (number, end) = (0, TimeSpan.FromMinutes(90));
        for (var at = TimeSpan.Zero; at < end; at += TimeSpan.FromSeconds(5), _world.Clock.Advance(TimeSpan.FromSeconds(5)))
        {
            while (pending.TryPeek(out var due, out var when) && when <= at)
            {
                pending.Dequeue();
                Assert.Null(await gateways[random.Next(3)].JustifyAsync(due.Who, BreadthWorld.Person(due.Person)));
            }
            for (var desk = 0; desk < 30; desk++)
                if (random.Next(30) == 0)
                {
                    var who = _world.Professional($"desk-{desk}");
                    Assert.Null(await gateways[random.Next(3)].OpenAsync(who, BreadthWorld.Person(++number), isJustified: false));
                    if (random.Next(10) != 0)
                        pending.Enqueue((who, number), at + TimeSpan.FromSeconds(random.Next(45, 140)));
                }
        }
        Assert.InRange(number, 800, 1_400);
        Assert.Empty(_world.Cases.All);
    }

    [Fact]
    public async Task Who_is_stepped_down_is_so_on_every_gateway_for_the_time_and_then_no_more()
    {
        var (one, other) = (_world.Gateway(), _world.Gateway());
        var requester = _world.Professional("90001");
        for (var i = 0; i < 11; i++)
            Assert.Equal(i < 10, await one.OpenAsync(requester, BreadthWorld.Person(i), false) is null);
        // One who was counted before is one without a visit too.
        Assert.Equal(BreadthBudgets.Exceeded, await one.OpenAsync(requester, BreadthWorld.Person(0), false));
        Assert.Equal(BreadthBudgets.Exceeded, await other.OpenAsync(requester, BreadthWorld.Person(50), false));
        Assert.Null(await other.OpenAsync(requester, BreadthWorld.Person(51), true));
        Assert.Null(await other.OpenAsync(_world.Professional("90002"), BreadthWorld.Person(52), false));
        Assert.Single(_world.Cases.All);
        var down = Assert.Single(one.InForce);
        Assert.Equal((BreadthOf.Professional, "90001", (60, 10)), (down.Of, down.Professional, down.Window!.Value));
        Assert.Null(Assert.Single(other.InForce).Window);
        _world.Clock.Advance(TimeSpan.FromHours(24));
        Assert.Null(await other.OpenAsync(requester, BreadthWorld.Person(50), false));
        Assert.Empty(one.InForce);
    }

    /// <summary>At most one round trip a request, and none for whom this gateway has counted or who is justified; the store learns of nobody.</summary>
    [Fact]
    public async Task It_costs_one_round_trip_for_somebody_new_and_shows_the_store_nobody()
    {
        var trips = new CountedTrips(_world.Shared);
        _world.Shared = trips;
        var gateway = _world.Gateway();
        var person = BreadthWorld.Person(7);
        for (var i = 0; i < 10; i++)
            await gateway.OpenAsync(_world.Professional("90001"), person, false);
        Assert.Equal(1, trips.Count);
        for (var i = 0; i < 10; i++)
            await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(8), true);
        Assert.Equal(1, trips.Count);
        // Justified now: it is taken back, once.
        await gateway.OpenAsync(_world.Professional("90001"), person, true);
        await gateway.OpenAsync(_world.Professional("90001"), person, true);
        Assert.Equal(2, trips.Count);
        foreach (var clear in new[] { person.Encode(), Convert.ToHexString(person.ToArray()), "90001", "hospital", "99000033" })
            Assert.DoesNotContain(clear, trips.Seen.ToString(), StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Without the store nobody is opened but those who are justified; it is as before when it is back.</summary>
    [Fact]
    public async Task Without_the_shared_store_only_the_justified_are_opened_until_it_is_back()
    {
        var trips = new CountedTrips(_world.Shared);
        _world.Shared = trips;
        var gateway = _world.Gateway();
        trips.IsAway = true;
        Assert.Equal(FaultKind.StoreUnavailable, (await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(1), false))?.Kind);
        Assert.Null(await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(2), true));
        trips.IsAway = false;
        Assert.Null(await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(1), false));
        Assert.Empty(_world.Cases.All);
    }

    [Fact]
    public async Task A_case_that_the_disk_does_not_take_is_opened_with_the_next_refusal()
    {
        var gateway = _world.Gateway(new() { Professional = new(1, 1, 1, 1) });
        var taken = Path.Combine(_world.CaseFolder, "00000001.json");
        Directory.CreateDirectory(taken);
        await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(1), false);
        Assert.Equal(BreadthBudgets.Exceeded, await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(2), false));
        Assert.Empty(_world.Cases.All);
        Directory.Delete(taken);
        Assert.Equal(BreadthBudgets.Exceeded, await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(2), false));
        Assert.Single(_world.Cases.All);
    }

    /// <summary>A gateway ends between the answer of the store and the case: whoever asks next brings it, at another gateway as well, and the round where nobody asks. It is opened once.</summary>
    [Theory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public async Task An_alarm_that_a_gateway_took_with_it_is_given_by_another(bool isAskedAgain, bool redis)
    {
        await using var server = redis ? await TestRedis.StartAsync() : null;
        var store = new CountedTrips(redis ? new RedisState(RedisState.Connect(server!.Connection), time: _world.Clock) : _world.Shared);
        _world.Shared = store;
        var options = new BreadthOptions { Professional = new(1, 1, 1, 1) };
        var requester = _world.Professional("90001");
        var killed = _world.Gateway(options);
        Assert.Null(await killed.OpenAsync(requester, BreadthWorld.Person(1), false));
        store.LosesAnswers = true;
        Assert.NotNull(await killed.OpenAsync(requester, BreadthWorld.Person(2), false));
        store.LosesAnswers = false;
        Assert.Empty(_world.Cases.All);

        // Meanwhile its turn has not ended, and the requester is held all the same.
        var another = _world.Gateway(options);
        Assert.Equal(BreadthBudgets.Exceeded, await another.OpenAsync(requester, BreadthWorld.Person(3), false));
        await another.LookAsync();
        Assert.Empty(_world.Cases.All);
        _world.Clock.Advance(isAskedAgain ? SpreadAnswer.Lease : TimeSpan.FromMinutes(2));
        if (isAskedAgain)
            Assert.Equal(BreadthBudgets.Exceeded, await another.OpenAsync(requester, BreadthWorld.Person(3), false));
        else
            await another.LookAsync();
        var opened = Assert.Single(_world.Cases.All);
        Assert.Equal(BreachKind.BreadthExceeded, opened.Kind);
        Assert.Contains("more than 1 patients within 60 seconds", opened.What, StringComparison.Ordinal);
        Assert.Equal(isAskedAgain, opened.What.Contains("through the client hospital", StringComparison.Ordinal));

        _world.Clock.Advance(TimeSpan.FromMinutes(5));
        await another.LookAsync();
        await _world.Gateway(options).LookAsync();
        Assert.Equal(BreadthBudgets.Exceeded, await _world.Gateway(options).OpenAsync(requester, BreadthWorld.Person(4), false));
        Assert.Single(_world.Cases.All);
    }

    /// <summary>The store was away when the case was open: the turn comes again, and finds it.</summary>
    [Fact]
    public async Task A_case_that_the_store_did_not_hear_of_is_not_opened_again()
    {
        var store = new CountedTrips(_world.Shared);
        _world.Shared = store;
        var gateway = _world.Gateway(new() { Professional = new(1, 1, 1, 1) });
        var taken = Path.Combine(_world.CaseFolder, "00000001.json");
        Directory.CreateDirectory(taken);
        for (var i = 0; i < 2; i++)
            await gateway.OpenAsync(_world.Professional("90001"), BreadthWorld.Person(i), false);
        Directory.Delete(taken);
        store.IsAway = true;
        await gateway.LookAsync();
        Assert.Single(_world.Cases.All);
        store.IsAway = false;
        _world.Clock.Advance(TimeSpan.FromMinutes(2));
        await gateway.LookAsync();
        Assert.Single(_world.Cases.All);
        _world.Clock.Advance(TimeSpan.FromMinutes(2));
        Assert.Empty(await store.TakeUnsettledAsync(TimeSpan.Zero));
    }

    /// <summary>Most look-ups of a desk end in a visit that somebody else opens: of the unit, within half a day.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_look_is_taken_back_by_a_visit_that_anybody_of_the_unit_opens_within_hours(bool redis)
    {
        await using var server = redis ? await TestRedis.StartAsync() : null;
        if (redis)
            _world.Shared = new RedisState(RedisState.Connect(server!.Connection), time: _world.Clock);
        BreadthBudgets[] gateways = [_world.Gateway(), _world.Gateway()];
        var (desk, doctor, elsewhere) = (_world.Professional("desk") with { Unit = "1.2.246.10.99000033.10.1" }, _world.Professional("doctor", "ward") with { Unit = "1.2.246.10.99000033.10.1" }, _world.Professional("other") with { Unit = "1.2.246.10.99000033.10.2" });
        async Task VisitAsync(Requester opener, int person) =>
            await gateways[1].JustifyAsync(opener, BreadthWorld.Person(person), await gateways[1].LookedUpAsync(opener, BreadthWorld.Person(person)));
        // Forty callers a day, two days long: nobody is held.
        for (var i = 0; i < 80; i++)
        {
            Assert.Null(await gateways[0].OpenAsync(desk, BreadthWorld.Person(i), false));
            _world.Clock.Advance(TimeSpan.FromMinutes(20));
            // A system names no unit: the visit is its organisation's.
            await VisitAsync(i % 2 == 0 ? doctor : _world.System("ward"), i);
            _world.Clock.Advance(TimeSpan.FromMinutes(15));
        }
        Assert.Empty(_world.Cases.All);

        // Another unit's visit, another organisation's and one of the next day take back nothing.
        for (var i = 100; i < 120; i++)
        {
            var refused = await gateways[0].OpenAsync(desk, BreadthWorld.Person(i), false);
            Assert.Equal(i < 119, refused is null);
            await VisitAsync(elsewhere, i);
            await VisitAsync(_world.Professional("doctor", "hospital", "1.2.246.10.99000044"), i);
            _world.Clock.Advance(TimeSpan.FromMinutes(5));
        }
        Assert.Single(_world.Cases.All);
        _world.Clock.Advance(TimeSpan.FromHours(12));
        Assert.Empty(await gateways[0].LookedUpAsync(doctor, BreadthWorld.Person(118)));
    }

    /// <summary>Neither who works at two places nor a host of many tenants is stepped down at one for what was done at another.</summary>
    [Fact]
    public async Task What_is_done_for_one_organisation_steps_nobody_down_at_another()
    {
        const string Here = "1.2.246.10.99000033", There = "1.2.246.10.99000044";
        var gateway = _world.Gateway(new() { Client = new(30, 30, 30, 30) });
        for (var i = 0; i < 11; i++)
            Assert.Equal(i < 10, await gateway.OpenAsync(_world.Professional("90001", "host", There), BreadthWorld.Person(i), false) is null);
        Assert.Null(await gateway.OpenAsync(_world.Professional("90001", "host", Here), BreadthWorld.Person(50), false));
        // Each of them few, and the tenant's allowance is used up with them.
        for (var i = 0; i < 40; i++)
            await gateway.OpenAsync(_world.Professional($"P{i}", "host", There), BreadthWorld.Person(100 + i), false);
        Assert.Contains(gateway.InForce, static one => one.Of == BreadthOf.Client);
        Assert.Equal(BreadthBudgets.Exceeded, await gateway.OpenAsync(_world.Professional("P99", "host", There), BreadthWorld.Person(200), false));
        Assert.Null(await gateway.OpenAsync(_world.Professional("P99", "host", Here), BreadthWorld.Person(200), false));
    }

    /// <summary>In memory and in Redis alike.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Sets_that_count_together_keep_the_contract(bool redis)
    {
        await using var store = redis ? await TestRedis.FindAsync() : null;
        ISharedState state = redis ? new RedisState(RedisState.Connect(store!.Connection), time: _world.Clock) : new MemoryState(_world.Clock);
        var (small, large) = ($"breadth:{Guid.NewGuid():N}", $"breadth:{Guid.NewGuid():N}");
        (TimeSpan, int)[] windows = [(TimeSpan.FromMinutes(1), 3), (TimeSpan.FromHours(1), 5)];
        Spread[] sets = [new(small, windows), new(large, [(TimeSpan.FromMinutes(1), 100), (TimeSpan.FromHours(1), 100)])];
        ValueTask<SpreadAnswer> AddAsync(string member) => state.SpreadAsync(sets, member, TimeSpan.FromHours(2));

        for (var i = 0; i < 3; i++)
            Assert.Null((await AddAsync($"m{i}")).Set);
        Assert.Null((await AddAsync("m0")).Set);
        await state.WithdrawAsync([small, large], "m1");
        Assert.Null((await AddAsync("m3")).Set);
        _world.Clock.Advance(TimeSpan.FromMinutes(2));
        // Who was there counts in the minute from now on, and is no other in the hour.
        Assert.Null((await AddAsync("m0")).Set);
        Assert.Null((await AddAsync("m4")).Set);
        Assert.Null((await AddAsync("m5")).Set);
        _world.Clock.Advance(TimeSpan.FromMinutes(2));
        // The hour is full: of all that come at once one has filled it.
        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => AddAsync($"n{i}").AsTask()));
        Assert.All(answers, answer => Assert.Equal(0, answer.Set));
        Assert.Equal(1, Assert.Single(answers, static answer => answer.Window is not null).Window);
        Assert.All(answers, answer => Assert.Equal((_world.Clock.GetUtcNow() + TimeSpan.FromHours(2)).ToUnixTimeSeconds(), answer.Until.ToUnixTimeSeconds()));
        // Nothing was added to the other set.
        Assert.Null((await state.SpreadAsync([new(large, [(TimeSpan.FromHours(1), 6)])], "o1", TimeSpan.FromHours(2))).Set);
        Assert.NotNull((await state.SpreadAsync([new(large, [(TimeSpan.FromHours(1), 6)])], "o2", TimeSpan.FromHours(2))).Set);
        _world.Clock.Advance(TimeSpan.FromHours(2));
        Assert.Null((await AddAsync("n0")).Set);
    }

    /// <summary>Tells how often the store was asked, and with what names.</summary>
    private sealed class CountedTrips(ISharedState inner) : ISharedState
    {
        public int Count { get; private set; }
        public bool IsAway { get; set; }
        public StringBuilder Seen { get; } = new();

        public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from) => inner.AddAsync(key, life, from);
        public ValueTask SetAsync(string key, byte[] value, TimeSpan life) => inner.SetAsync(key, value, life);
        public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) => inner.ReplaceAsync(key, value, life);
        public ValueTask<byte[]?> GetAsync(string key) => inner.GetAsync(key);
        public ValueTask RemoveAsync(string key) => inner.RemoveAsync(key);
        public ValueTask<long> CountAsync(string key, TimeSpan life) => inner.CountAsync(key, life);

        /// <summary>What the store has done, the gateway does not hear of.</summary>
        public bool LosesAnswers { get; set; }

        public async ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace)
        {
            Asked(member, sets.Select(static set => set.Key).Append(trace?.Key ?? "").Append(trace?.Value ?? ""));
            var answer = await inner.SpreadAsync(sets, member, hold, trace);
            return LosesAnswers ? throw new SharedStateException("lost") : answer;
        }

        public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) => inner.TracesAsync(key, within);
        public ValueTask SettleAsync(string set) => IsAway ? throw new SharedStateException("away") : inner.SettleAsync(set);
        public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after) => IsAway ? throw new SharedStateException("away") : inner.TakeUnsettledAsync(after);

        public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most) => inner.PutAsync(group, member, value, life, most);
        public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group) => inner.ValuesAsync(group);

        public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member)
        {
            Asked(member, sets);
            return inner.WithdrawAsync(sets, member);
        }

        private void Asked(string member, IEnumerable<string> sets)
        {
            Count++;
            Seen.AppendLine(member).AppendJoin(' ', sets);
            if (IsAway)
                throw new SharedStateException("away");
        }
    }
}
