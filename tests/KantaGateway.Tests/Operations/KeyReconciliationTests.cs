using System.Net;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Consent;
using KantaGateway.Tests.Faults;
using KantaGateway.Tests.Keys;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Portal;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Operations;

/// <summary>Every key that was given out pairs with a grant of a gateway and an entry in the audit log; what does not opens a case within a minute, once.</summary>
public sealed class KeyReconciliationTests : IAsyncLifetime
{
    private readonly RunningKeys _keys = new() { Registers = 8 };
    private readonly LogFolder _folder = new();
    private readonly List<RunningGateway> _gateways = [];
    private AuditLog _log = null!;
    private LeakingRepository _repository = null!;
    private int _people;

    public async Task InitializeAsync()
    {
        await _keys.InitializeAsync();
        _log = _folder.Open();
        _repository = new(_keys);
    }

    public async Task DisposeAsync()
    {
        foreach (var gateway in _gateways)
            gateway.Dispose();
        await _log.DisposeAsync();
        await _keys.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_key_whose_request_is_entered_pairs_with_the_entry_and_is_no_case()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        await gateway.AnswerAsync(person, _repository.OpenAsync);
        Assert.Single(await UnpairedAsync(gateway));
        Assert.Equal(0, await gateway.Job.LookAsync(false, default));
        Assert.Empty(await UnpairedAsync(gateway));
        Assert.Equal([200], StatusesOfPairs().Skip(1));
        await LookForAMinuteAsync(gateway);
        Assert.Empty(gateway.Cases.All);
        Assert.Single(EntriesAbout(person));
    }

    [Fact]
    public async Task A_repository_that_keeps_a_grant_and_opens_a_record_with_it_on_the_side_opens_one_case_within_a_minute()
    {
        var (gateway, other) = (NewGateway(), NewGateway());
        var person = await NewPersonAsync(gateway);
        // The record was open: the request is answered and entered, and its grant has opened nothing.
        var grant = await gateway.AnswerAsync(person, static _ => Task.CompletedTask);
        await LookAsync([gateway, other], seconds: 20);
        Assert.Equal(200, await _repository.LeakAsync(grant, person));
        // With the same one it opens nothing more.
        Assert.Equal(409, await _repository.LeakAsync(grant, person));
        await LookForAMinuteAsync(gateway, other);
        var opened = Assert.Single(gateway.Cases.All.Concat(other.Cases.All));
        Assert.Equal(BreachKind.UnpairedKey, opened.Kind);
        Assert.Contains("1 keys were given out", opened.What, StringComparison.Ordinal);
        Assert.Contains(GrantAccounts.DigestOf(IdIn(grant)).ToString("x32", null)[..12], opened.What, StringComparison.Ordinal);
        // It stands in the log of the key service too, and is told of once.
        Assert.Equal(409, StatusesOfPairs().Last());
        await LookForAMinuteAsync(gateway, other);
        Assert.Single(gateway.Cases.All.Concat(other.Cases.All));
    }

    [Fact]
    public async Task A_repository_that_opens_a_record_and_breaks_off_leaves_an_entry_of_it_with_the_person()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        await gateway.AnswerAsync(person, _repository.OpenAsync, isEntered: false, hasLeft: false);
        await LookAsync([gateway], seconds: 5);
        Assert.Empty(EntriesAbout(person));
        await LookAsync([gateway], seconds: 5);
        var entry = Encoding.UTF8.GetString(Assert.Single(EntriesAbout(person)));
        Assert.Contains("came to nothing", entry, StringComparison.Ordinal);
        // And of who has asked.
        Assert.Contains("t1", entry, StringComparison.Ordinal);
        Assert.Empty(await UnpairedAsync(gateway));
        await LookForAMinuteAsync(gateway);
        Assert.Empty(gateway.Cases.All);
        Assert.Single(EntriesAbout(person));
    }

    [Fact]
    public async Task An_answer_that_left_without_its_entry_opens_a_case_within_a_minute_even_where_the_policy_was_asked_for_before()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        var started = await gateway.AnswerAsync(person, _repository.OpenAsync, isEntered: false, hasLeft: true);
        Assert.NotEmpty(started);
        gateway.Accounts.Begin(RunningGateway.Requester, person.Number).Dispose();
        await LookForAMinuteAsync(gateway);
        Assert.Equal(BreachKind.UnpairedKey, Assert.Single(gateway.Cases.All).Kind);
        Assert.Empty(EntriesAbout(person));
    }

    [Fact]
    public async Task An_entry_of_before_accounts_for_no_key_and_one_about_somebody_else_or_by_another_token_for_none_either()
    {
        var gateway = NewGateway();
        var (person, another) = (await NewPersonAsync(gateway), await NewPersonAsync(gateway));
        await gateway.EnterAsync(person);
        _keys.Time.Advance(TimeSpan.FromSeconds(1));
        await gateway.AnswerAsync(person, _repository.OpenAsync, isEntered: false, hasLeft: true);
        await gateway.EnterAsync(another);
        await gateway.EnterAsync(person, RunningGateway.Requester with { TokenId = "another" });
        await LookForAMinuteAsync(gateway);
        Assert.Single(gateway.Cases.All);
    }

    [Fact]
    public async Task Who_signs_grants_that_no_gateway_has_asked_for_opens_one_case_of_all_gateways_within_a_minute()
    {
        var (gateway, other) = (NewGateway(), NewGateway());
        var person = await NewPersonAsync(gateway);
        await LookAsync([gateway, other], seconds: 5);
        Assert.Equal(200, await _repository.LeakAsync(_keys.Grant(GrantUse.Read, person.Number), person));
        var looks = 0;
        for (; looks < 12 && gateway.Cases.All.Count + other.Cases.All.Count == 0; looks++)
        {
            _keys.Time.Advance(KeyReconciliation.Interval);
            // At once, as they do.
            await Task.WhenAll(gateway.Job.LookAsync(false, default), other.Job.LookAsync(false, default));
        }
        Assert.InRange(looks, 1, 11);
        Assert.Single(gateway.Cases.All.Concat(other.Cases.All));
    }

    [Fact]
    public async Task While_the_case_is_open_more_is_a_note_in_it_once_a_minute_and_after_its_end_another_case()
    {
        var gateway = NewGateway();
        var (first, second, third, last) = (await NewPersonAsync(gateway), await NewPersonAsync(gateway), await NewPersonAsync(gateway), await NewPersonAsync(gateway));
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, first.Number), first);
        await LookAsync([gateway], seconds: 5);
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, second.Number), second);
        await LookAsync([gateway], seconds: 10);
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, third.Number), third);
        await LookForAMinuteAsync(gateway);
        await LookForAMinuteAsync(gateway);
        var opened = Assert.Single(gateway.Cases.All);
        Assert.Contains("2 keys", Assert.Single(gateway.Cases.StepsOf(opened.Number)).Note, StringComparison.Ordinal);
        Assert.Empty(await UnpairedAsync(gateway));
        await gateway.Cases.EndAsync(opened.Number, "Found.", "two");
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, last.Number), last);
        await LookForAMinuteAsync(gateway);
        Assert.Equal(2, gateway.Cases.All.Count);
    }

    [Fact]
    public async Task A_request_that_is_under_way_for_long_is_waited_for_by_every_gateway()
    {
        var (one, other) = (NewGateway(), NewGateway());
        var person = await NewPersonAsync(one);
        var isOver = new TaskCompletionSource();
        var answering = one.AnswerAsync(person, async grant =>
        {
            await _repository.OpenAsync(grant);
            await isOver.Task;
        });
        for (var i = 0; i < 5; i++)
            await LookForAMinuteAsync(one, other);
        isOver.SetResult();
        await answering;
        Assert.Equal(0, await one.Job.LookAsync(false, default));
        Assert.Empty(await UnpairedAsync(other));
        Assert.Empty(one.Cases.All.Concat(other.Cases.All));
    }

    [Fact]
    public async Task What_a_gateway_had_under_way_that_was_killed_is_one_entry_and_no_case_and_what_is_opened_with_its_grants_later_is_one()
    {
        var (killed, one, other) = (NewGateway(), NewGateway(), NewGateway());
        var (person, leaked) = (await NewPersonAsync(killed), await NewPersonAsync(killed));
        var kept = await killed.AnswerAsync(leaked, static _ => Task.CompletedTask);
        await LookAsync([killed, one, other], seconds: 5);
        await _repository.OpenAsync((await killed.GrantAsync(person), person));
        var before = _log.Commits;
        await LookForAMinuteAsync(one, other);
        Assert.Empty(await UnpairedAsync(one));
        Assert.Equal([410], StatusesOfPairs().Skip(2));
        Assert.Equal(before + 1, _log.Commits);
        Assert.Empty(one.Cases.All.Concat(other.Cases.All));
        kept = _keys.Grant(GrantUse.Read, leaked.Number, id: IdIn(kept));
        Assert.Equal(200, await _repository.LeakAsync(kept, leaked));
        await LookForAMinuteAsync(one, other);
        Assert.Single(one.Cases.All.Concat(other.Cases.All));
    }

    [Fact]
    public async Task Where_gateway_and_key_service_are_killed_together_the_next_ones_account_for_it_once()
    {
        var killed = NewGateway();
        var person = await NewPersonAsync(killed);
        await LookAsync([killed], seconds: 5);
        await _repository.OpenAsync((await killed.GrantAsync(person), person));
        await RestartKeysAsync();
        var next = NewGateway();
        await LookForAMinuteAsync(next);
        Assert.Equal([410], StatusesOfPairs().Skip(1));
        Assert.Empty(next.Cases.All);
        await RestartKeysAsync();
        Assert.Empty(await UnpairedAsync(NewGateway()));
    }

    [Fact]
    public async Task A_start_of_the_key_service_forgets_nothing_however_long_it_was_away_and_each_gateway_has_its_time_again()
    {
        var (gateway, other) = (NewGateway(), NewGateway());
        var (paired, person, leaked) = (await NewPersonAsync(gateway), await NewPersonAsync(gateway), await NewPersonAsync(gateway));
        await gateway.AnswerAsync(paired, _repository.OpenAsync);
        await LookAsync([gateway, other], seconds: 5);
        await gateway.AnswerAsync(person, _repository.OpenAsync);
        Assert.Equal(200, await _repository.LeakAsync(_keys.Grant(GrantUse.Read, leaked.Number), leaked));
        await _keys.StopAsync();
        _keys.Time.Advance(TimeSpan.FromDays(3));
        await _keys.StartAsync();
        Assert.Equal(2, (await UnpairedAsync(other)).Count);
        // The one that knows nothing of it comes first.
        await LookAsync([other, gateway], seconds: 0);
        Assert.Single(await UnpairedAsync(other));
        Assert.Empty(gateway.Cases.All.Concat(other.Cases.All));
        await LookForAMinuteAsync(other, gateway);
        Assert.Single(gateway.Cases.All.Concat(other.Cases.All));
    }

    [Fact]
    public async Task A_gateway_that_ends_leaves_nothing_to_others_and_what_is_opened_with_its_grants_then_is_a_case()
    {
        var (ending, other) = (NewGateway(), NewGateway());
        var (person, leaked) = (await NewPersonAsync(ending), await NewPersonAsync(ending));
        var kept = await ending.AnswerAsync(leaked, static _ => Task.CompletedTask);
        await LookAsync([ending, other], seconds: 5);
        using var underWay = ending.Accounts.Begin(RunningGateway.Requester, person.Number);
        await _repository.OpenAsync((await ending.GrantAsync(person), person));
        await ending.Job.StopAsync(default);
        Assert.Empty(await UnpairedAsync(other));
        Assert.Contains("came to nothing", Encoding.UTF8.GetString(Assert.Single(EntriesAbout(person))), StringComparison.Ordinal);
        Assert.Equal(200, await _repository.LeakAsync(kept, leaked));
        await LookForAMinuteAsync(other);
        Assert.Single(other.Cases.All);
    }

    [Fact]
    public async Task A_case_that_cannot_be_written_is_opened_by_the_next_look_that_can()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, person.Number), person);
        var (cases, away) = (gateway.CaseFolder, gateway.CaseFolder + ".away");
        Directory.Move(cases, away);
        _keys.Time.Advance(TimeSpan.FromSeconds(41));
        await Assert.ThrowsAnyAsync<IOException>(() => gateway.Job.LookAsync(false, default));
        Directory.Move(away, cases);
        Assert.Equal(1, await gateway.Job.LookAsync(false, default));
        Assert.Single(gateway.Cases.All);
    }

    /// <summary>By itself, at its start and from then on.</summary>
    [Fact]
    public async Task The_job_looks_every_five_seconds()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, person.Number), person);
        _keys.Time.Advance(TimeSpan.FromSeconds(41));
        var opened = new TaskCompletionSource();
        gateway.Cases.Changed += () => opened.TrySetResult();
        await gateway.Job.StartAsync(default);
        await opened.Task.WaitAsync(TimeSpan.FromMinutes(1));
        Assert.Single(gateway.Cases.All);
        await gateway.Job.StopAsync(default);
    }

    [Fact]
    public async Task Nobody_but_a_gateway_learns_of_grants_or_says_what_came_of_them_and_only_who_holds_one_reports_it()
    {
        var gateway = NewGateway();
        var person = await NewPersonAsync(gateway);
        var name = new string('a', 32);
        foreach (var path in (string[])["/v1/grants/unpaired", "/v1/grants/paired"])
        {
            foreach (var bearer in (string?[])[null, "x", _keys.Grant(GrantUse.Read, person.Number)])
            {
                using var refused = await _keys.PostAsync(path, bearer, new { gateway = name, grants = new[] { new { grant = name, status = 200 } } });
                Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
            }
            foreach (var body in (object[])[new { }, new { gateway = "x", grants = new[] { new { grant = name, status = 200 } } }, new { gateway = name, after = -1, grants = new[] { new { grant = "x", status = 200 } } }, new { gateway = name, after = -1, grants = new[] { new { grant = name, status = 204 } } }])
            {
                using var refused = await _keys.PostAsync(path, _keys.Gateway.SignServiceToken(), body);
                Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
            }
        }
        await _repository.LeakAsync(_keys.Grant(GrantUse.Read, person.Number), person);
        var digest = Assert.Single(await UnpairedAsync(gateway)).Grant;
        var client = gateway.Client;
        Assert.Empty(await client.PairAsync(name, [(digest, 409)], default));
        Assert.Equal([digest], await client.PairAsync(name, [(digest, 102)], default));
        Assert.Empty(await client.PairAsync(new string('b', 32), [(digest, 102)], default));
        Assert.Empty(await client.PairAsync(new string('b', 32), [(digest, 409)], default));
        Assert.True(Assert.Single(await UnpairedAsync(gateway)).IsHeld);
        _keys.Time.Advance(UnpairedKeys.LongestHold);
        Assert.Equal([digest], await client.PairAsync(new string('b', 32), [(digest, 102)], default));
        Assert.Equal([digest], await client.PairAsync(new string('b', 32), [(digest, 409)], default));
        Assert.Empty(await client.PairAsync(new string('b', 32), [(digest, 200)], default));
    }

    /// <summary>Reads, writes, searches, refusals and what is not found: none of it is left unpaired, and none needs an entry beside its own.</summary>
    [Fact]
    public async Task Ordinary_work_leaves_no_key_unpaired()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        foreach (var session in (KantaGateway.Harness.Clients.FhirSession[])[house.Aurora.System, house.Reader])
        {
            house.CloseRecords();
            await session.ReadAsync("Observation", note);
            await session.ReadAsync("Observation", Guid.NewGuid().ToString());
            await session.SearchAsync("Observation", "patient=" + house.PatientId);
            house.CloseRecords();
            await session.SendAsync(HttpMethod.Get, $"Patient/{house.PatientId}/$everything");
            await session.CreateAsync("Observation", HouseInMemory.Json(house.Observation("lisää")));
            await session.CreateAsync("Observation", "{}"u8.ToArray());
            house.CloseRecords();
            await session.DeleteAsync("Observation", note);
        }
        house.CloseRecords();
        await house.DeclareAsync(Declarations.Informing(house.PatientId, DateTimeOffset.UtcNow));
        var keys = house.Gateway.GetRequiredService<KeyServiceClient>();
        await house.Gateway.GetRequiredService<KeyReconciliation>().LookAsync(false, default);
        Assert.Empty(await keys.UnpairedAsync(new string('a', 32), ends: true, default));
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
    }

    [Fact]
    public async Task Of_a_record_that_was_opened_for_a_request_whose_answer_did_not_come_the_gateway_makes_the_entry()
    {
        await using var house = await HouseInMemory.OpenAsync(sockets: true);
        var note = await house.AdmitAsync();
        await using var line = new Line(house.Folder.File("line.sock"), house.Folder.File("repository.sock"));
        var port = RunningHost.FreePorts();
        await using var gateway = await house.StartFurtherGatewayAsync(port, "unix:" + house.Folder.File("line.sock"));
        using var clinic = KantaGateway.Harness.Clients.ClinicClient.Open(house.Folder, "aurora", new Uri($"https://localhost:{port}"));
        var log = gateway.Services.GetRequiredService<AuditLog>();
        async Task<int> EntriesAsync() => (await log.ForSubjectAsync(house.Citizen.Self!.Value.ToArray(), int.MaxValue, long.MaxValue)).Count;
        house.CloseRecords();
        line.Cut = Cut.Answers;
        Assert.Contains((await clinic.System.ReadAsync("Observation", note)).Status, (int[])[502, 503]);
        var before = await EntriesAsync();
        await gateway.Services.GetRequiredService<KeyReconciliation>().LookAsync(ends: true, default);
        Assert.Equal(before + 1, await EntriesAsync());
        await house.Gateway.GetRequiredService<KeyReconciliation>().LookAsync(ends: true, default);
        Assert.Empty(await house.Gateway.GetRequiredService<KeyServiceClient>().UnpairedAsync(new string('a', 32), ends: true, default));
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
    }

    /// <summary>Asked by who is no gateway that anybody waits for.</summary>
    private static Task<IReadOnlyList<UnpairedGrant>> UnpairedAsync(RunningGateway gateway) => gateway.Client.UnpairedAsync(new string('f', 32), ends: true, default);

    private IEnumerable<int> StatusesOfPairs() => CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue).Where(static one => one.Operation == KeyOperation.Pair).Select(static one => one.Status);

    private List<byte[]> EntriesAbout(Somebody person) => [.. _log.ForSubjectAsync(person.Number.ToArray(), int.MaxValue, long.MaxValue).AsTask().GetAwaiter().GetResult().Select(entry =>
    {
        Assert.True(_folder.Reader.TryOpen(entry, out var opened));
        return opened.Record;
    })];

    private static string IdIn(string grant) => LeakingRepository.IdIn(grant);

    /// <summary>As the jobs do, whose clock this is.</summary>
    private async Task LookAsync(RunningGateway[] gateways, int seconds)
    {
        for (var passed = 0; passed < Math.Max(1, seconds); passed += 5)
        {
            _keys.Time.Advance(TimeSpan.FromSeconds(Math.Min(5, seconds)));
            foreach (var gateway in gateways)
                await gateway.Job.LookAsync(false, default);
        }
    }

    private Task LookForAMinuteAsync(params RunningGateway[] gateways) => LookAsync(gateways, seconds: 60);

    private async Task RestartKeysAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }

    /// <summary>Somebody with a record, whose making is accounted for.</summary>
    private async Task<Somebody> NewPersonAsync(RunningGateway gateway)
    {
        var number = _keys.People[_people++];
        var id = $"made{_people}";
        var made = await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, number, id: id), new { });
        await gateway.Client.PairAsync(new string('f', 32), [(GrantAccounts.DigestOf(id).ToString("x32", null), 200)], default);
        return new(number, made.Wrapped);
    }

    private RunningGateway NewGateway()
    {
        var gateway = new RunningGateway(_keys, _log);
        _gateways.Add(gateway);
        return gateway;
    }

    private sealed record Somebody(Pseudonym Number, byte[] Wrapped);

    /// <summary>What of a gateway has to do with keys, with cases of its own.</summary>
    private sealed class RunningGateway : IDisposable
    {
        public static readonly Requester Requester = ConsentWorld.Requester("professional");

        private readonly RunningKeys _keys;
        private readonly TemporaryFolder _folder = new();
        private readonly GatewayOptions _options;
        private readonly GrantIssuer _issuer;
        private readonly DisclosureAudit _audit;

        public RunningGateway(RunningKeys keys, AuditLog log)
        {
            _keys = keys;
            _options = PortalUnderTest.Options(false) with { CreateStores = true, Keys = keys.Options.Listen, Breach = new() { CaseFolder = CaseFolder } };
            Accounts = new(keys.Time);
            _issuer = new(keys.Gateway, keys.Time, Accounts);
            _audit = new(log, new IdentifierCipher(new byte[32]), _options, keys.Time, Accounts);
            Cases = new(_options, log, keys.Time);
            Client = new(_options.Keys, keys.Gateway);
            Job = new(Client, Accounts, _audit, log, _options, keys.Time, NullLogger<KeyReconciliation>.Instance, Cases);
        }

        public string CaseFolder => _folder.File("cases");
        public GrantAccounts Accounts { get; }
        public BreachCases Cases { get; }
        public KeyServiceClient Client { get; }
        public KeyReconciliation Job { get; }

        public async Task<string> GrantAsync(Somebody person) => await _issuer.ForAsync(Requester, person.Number, GrantUse.Read, DisclosureScope.Nothing, 7);

        /// <summary>One request.</summary>
        /// <param name="serve">What the repository does with the grant.</param>
        /// <param name="isEntered">Whether its entry is made, before the answer leaves.</param>
        /// <param name="hasLeft">Whether there is an answer.</param>
        /// <returns>The grant.</returns>
        public async Task<string> AnswerAsync(Somebody person, Func<(string Grant, Somebody Person), Task> serve, bool isEntered = true, bool hasLeft = true)
        {
            var grant = await GrantAsync(person);
            using var underWay = Accounts.Begin(Requester, person.Number);
            await serve((grant, person));
            if (isEntered)
                await EnterAsync(person);
            underWay.HasLeft = hasLeft;
            return grant;
        }

        public Task EnterAsync(Somebody person, Requester? by = null) => _audit.OutcomeAsync(new DefaultHttpContext(), by ?? Requester,
            ConsentWorld.Interaction(InteractionKind.Read, "Observation") with { Compartment = person.Number }, new Decision.Permit(LegalBasis.OwnRegister, DisclosureScope.Nothing, [], false), PolicySnapshot.Empty, _keys.Time.GetUtcNow(), 200, null);

        public void Dispose()
        {
            Job.Dispose();
            Cases.Dispose();
            _folder.Dispose();
        }
    }

    /// <summary>In the place of a repository: it opens with the grants that it is sent what it is asked for, and with those that it keeps what it likes.</summary>
    private sealed class LeakingRepository(RunningKeys keys)
    {
        public async Task OpenAsync((string Grant, Somebody Person) asked) => Assert.Equal(200, await LeakAsync(asked.Grant, asked.Person));

        /// <returns>What the key service says.</returns>
        public async Task<int> LeakAsync(string grant, Somebody person) =>
            Assert.Single((await keys.PostAsync<object, UnwrapAnswer>("/v1/keys/unwrap", null, new { keys = new[] { new { grant, wrapped = person.Wrapped } } })).Keys).Status;

        public static string IdIn(string grant)
        {
            using var claims = System.Text.Json.JsonDocument.Parse(Microsoft.IdentityModel.Tokens.Base64UrlEncoder.DecodeBytes(grant.Split('~')[2]));
            return claims.RootElement.GetProperty("jti").GetString()!;
        }
    }
}
