using System.Net;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Keys;

/// <summary>What the key service counts, records and refuses (law 5), over its own contract.</summary>
public sealed class CustodyTests : IAsyncLifetime
{
    private readonly RunningKeys _keys = new() { Registers = 7 };

    public async Task InitializeAsync()
    {
        _keys.Change = static options => options with { Budgets = [new() { Seconds = 3600, PerRequester = 3, Total = 5 }] };
        await _keys.InitializeAsync();
    }

    public Task DisposeAsync() => _keys.DisposeAsync();

    [Fact]
    public async Task Past_the_budget_of_a_requester_nobody_new_is_opened_until_the_window_ends()
    {
        foreach (var number in Enumerable.Range(1, 3))
            await CreateAsync(number, HttpStatusCode.OK);
        using var refused = await SendAsync(4);
        Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        Assert.InRange(refused.Headers.RetryAfter!.Delta!.Value, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        await CreateAsync(1, HttpStatusCode.OK);
        // Others have their own, until all together have used theirs up; the directory is nobody's.
        await CreateAsync(4, HttpStatusCode.OK, "revontuli");
        await CreateAsync(5, HttpStatusCode.OK, "revontuli");
        await CreateAsync(6, HttpStatusCode.TooManyRequests, "keskussairaala");
        using var directory = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, Pseudonym.Directory), new { });
        Assert.Equal(HttpStatusCode.OK, directory.StatusCode);

        _keys.Time.Advance(TimeSpan.FromHours(1));
        await CreateAsync(6, HttpStatusCode.OK, "keskussairaala");
    }

    [Fact]
    public async Task A_budget_outlives_the_process()
    {
        foreach (var number in Enumerable.Range(1, 3))
            await CreateAsync(number, HttpStatusCode.OK);
        await _keys.StopAsync();
        await _keys.StartAsync();
        await CreateAsync(4, HttpStatusCode.TooManyRequests);
        await CreateAsync(2, HttpStatusCode.OK);
    }

    /// <summary>Law 5: what the gateway signed for one request opens nothing for another.</summary>
    [Fact]
    public async Task A_grant_opens_one_key_however_many_ask_at_once()
    {
        var wrapped = (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Person(1)), new { })).Wrapped;
        var grant = _keys.Grant(GrantUse.Write, Person(1));
        var statuses = await Task.WhenAll(Enumerable.Range(0, 24).Select(async i =>
        {
            // One of them asks for it twice in one.
            if (i == 0)
                return (await _keys.PostAsync<object, UnwrapAnswer>("/v1/keys/unwrap", null, new { keys = Enumerable.Repeat(new { grant, wrapped }, 2) })).Keys.Select(static key => (HttpStatusCode)key.Status);
            if (i % 2 == 0)
                return [(await _keys.AskAsync(grant, wrapped)).Status];
            using var response = await _keys.PostAsync("/v1/keys/create", grant, new { });
            return (IEnumerable<HttpStatusCode>)[response.StatusCode];
        }));
        Assert.Equal([(HttpStatusCode.OK, 1), (HttpStatusCode.Conflict, 24)], statuses.SelectMany(static status => status).CountBy(static status => status).Select(static its => (its.Key, its.Value)).Order());
        // Nor after a restart, as long as it lives.
        await _keys.StopAsync();
        _keys.Time.Advance(TimeSpan.FromSeconds(59));
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.Conflict, (await _keys.AskAsync(grant, wrapped)).Status);
    }

    [Fact]
    public async Task Of_many_that_are_asked_for_at_once_each_is_answered_for_itself()
    {
        var wrapped = (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Person(1)), new { })).Wrapped;
        foreach (var person in Enumerable.Range(2, 2))
            await CreateAsync(person, HttpStatusCode.OK);
        var spent = _keys.Grant(GrantUse.Read, Person(1));
        await _keys.UnwrapAsync(spent, wrapped);
        (string? Grant, int Status)[] asked = [(spent, 409), (_keys.Grant(GrantUse.Read, Person(1)), 200), ("x", 401), (null, 401), (_keys.Grant(GrantUse.AuditTrail, Person(1)), 403), (_keys.Grant(GrantUse.Read, Person(2)), 422), (_keys.Grant(GrantUse.Read, Person(4)), 429), (_keys.Grant(GrantUse.Read, Person(1)), 200)];
        var answer = await _keys.PostAsync<object, UnwrapAnswer>("/v1/keys/unwrap", null, new { keys = asked.Select(one => new { grant = one.Grant, wrapped }) });
        Assert.Equal(asked.Select(static one => one.Status), answer.Keys.Select(static key => key.Status));
        Assert.All(answer.Keys, static key => Assert.Equal((key.Status == 200, key.Status != 200, key.Status == 429), (key.Key is not null, key.Detail is not null, key.RetryAfter > 0)));
        foreach (var count in new[] { 0, 257 })
        {
            using var refused = await _keys.PostAsync("/v1/keys/unwrap", null, new { keys = Enumerable.Repeat(new { grant = spent, wrapped }, count) });
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        }
    }

    [Fact]
    public async Task A_grant_for_which_no_key_left_is_not_spent()
    {
        var wrapped = (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Person(1)), new { })).Wrapped;
        foreach (var person in Enumerable.Range(2, 2))
            await CreateAsync(person, HttpStatusCode.OK);
        // Refused for another's key, for the budget, for a record that cannot be written.
        var grant = _keys.Grant(GrantUse.Write, Person(2));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _keys.AskAsync(grant, wrapped)).Status);
        using (var own = await _keys.PostAsync("/v1/keys/create", grant, new { }))
            Assert.Equal(HttpStatusCode.OK, own.StatusCode);
        var late = _keys.Grant(GrantUse.Write, Person(4));
        foreach (var _ in Enumerable.Range(0, 2))
        {
            using var refused = await _keys.PostAsync("/v1/keys/create", late, new { });
            Assert.Equal(HttpStatusCode.TooManyRequests, refused.StatusCode);
        }
        _keys.Time.Advance(TimeSpan.FromDays(1));
        var place = Path.Combine(_keys.Options.CustodyFolder!, _keys.Time.GetUtcNow().ToString("yyyyMMdd") + ".custody");
        Directory.CreateDirectory(place);
        var kept = _keys.Grant(GrantUse.Write, Person(4));
        using (var unrecorded = await _keys.PostAsync("/v1/keys/create", kept, new { }))
            Assert.Equal(HttpStatusCode.ServiceUnavailable, unrecorded.StatusCode);
        Directory.Delete(place);
        using var given = await _keys.PostAsync("/v1/keys/create", kept, new { });
        Assert.Equal(HttpStatusCode.OK, given.StatusCode);
    }

    [Fact]
    public async Task While_its_disk_is_slow_no_key_leaves_and_what_needs_no_record_is_answered()
    {
        await _keys.StopAsync();
        var (reached, isSlow) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), false);
        using var released = new ManualResetEventSlim();
        _keys.Configure = builder => builder.Services.AddSingleton(_ => new CustodyLog(_keys.Options.CustodyFolder, create: false, () =>
        {
            if (!isSlow)
                return;
            reached.TrySetResult();
            released.Wait();
        }));
        await _keys.StartAsync();
        await CreateAsync(1, HttpStatusCode.OK);
        isSlow = true;
        var asked = Enumerable.Range(1, 3).Select(person => SendAsync(person)).ToArray();
        try
        {
            await reached.Task;
            for (var i = 0; i < 20; i++)
                using (var versions = await _keys.Client.GetAsync(new Uri("/v1/keys/versions", UriKind.Relative)))
                    Assert.Equal(HttpStatusCode.OK, versions.StatusCode);
            Assert.DoesNotContain(asked, static one => one.IsCompleted);
        }
        finally
        {
            // Its end waits for the disk.
            released.Set();
        }
        foreach (var answer in await Task.WhenAll(asked))
            using (answer)
                Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal(4, CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue).Count(static record => record.Status == 200));
    }

    [Fact]
    public async Task Every_key_given_out_made_or_refused_is_recorded_without_naming_anybody()
    {
        var grant = _keys.Grant(GrantUse.Write, Person(1), id: "0123456789abcdef0123456789abcdef");
        var wrapped = (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", grant, new { })).Wrapped;
        var reading = _keys.Grant(GrantUse.Read, Person(1));
        await _keys.UnwrapAsync(reading, wrapped);
        await _keys.AskAsync(_keys.Grant(GrantUse.Read, Person(2)), wrapped);
        await CreateAsync(3, HttpStatusCode.OK);
        await CreateAsync(4, HttpStatusCode.TooManyRequests);

        var folder = _keys.Options.CustodyFolder!;
        var records = CustodyLog.ReadSince(folder, DateTimeOffset.MinValue).ToList();
        Assert.Equal([(KeyOperation.Create, 200), (KeyOperation.Unwrap, 200), (KeyOperation.Unwrap, 422), (KeyOperation.Create, 200), (KeyOperation.Create, 429)],
            records.Select(r => (r.Operation, r.Status)));
        // By the grant's id the gateway's own record is found.
        Assert.Equal(KeyCustody.GrantDigestOf("0123456789abcdef0123456789abcdef"), records[0].Grant);
        Assert.Equal(records[0].Person, records[1].Person);
        Assert.NotEqual(records[0].Person, records[2].Person);
        Assert.All(records, r => Assert.Equal(records[0].Requester, r.Requester));
        var bytes = Encoding.Latin1.GetString(File.ReadAllBytes(Directory.GetFiles(folder, "*.custody").Single()));
        Assert.DoesNotContain("aurora", bytes, StringComparison.Ordinal);
        Assert.DoesNotContain(Encoding.Latin1.GetString(Person(1).ToArray()), bytes, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_cannot_be_recorded_is_not_given_out_and_is_again_when_it_can()
    {
        var folder = _keys.Options.CustodyFolder!;
        await CreateAsync(1, HttpStatusCode.OK);
        // The next day's file cannot be made: there is a folder in its place.
        _keys.Time.Advance(TimeSpan.FromDays(1));
        var place = Path.Combine(folder, _keys.Time.GetUtcNow().ToString("yyyyMMdd") + ".custody");
        Directory.CreateDirectory(place);
        await CreateAsync(1, HttpStatusCode.ServiceUnavailable);
        Directory.Delete(place);
        await CreateAsync(1, HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_record_that_a_kill_cut_off_is_no_record_and_the_next_one_begins_whole()
    {
        await CreateAsync(1, HttpStatusCode.OK);
        await _keys.StopAsync();
        var file = Directory.GetFiles(_keys.Options.CustodyFolder!, "*.custody").Single();
        await File.AppendAllTextAsync(file, "a part of a record");
        Assert.Single(CustodyLog.ReadSince(_keys.Options.CustodyFolder!, DateTimeOffset.MinValue));
        await _keys.StartAsync();
        await CreateAsync(2, HttpStatusCode.OK);
        Assert.Equal(2, CustodyLog.ReadSince(_keys.Options.CustodyFolder!, DateTimeOffset.MinValue).Count());
    }

    [Fact]
    public void Wrong_settings_are_named_all_at_once()
    {
        var wrong = _keys.Options with
        {
            Listen = "http://0.0.0.0:5000", KeyFile = "/nowhere", GatewayKeyFile = "/nowhere",
            Pkcs11 = new() { Library = "/nowhere.so", Token = "t", PinFile = "/nowhere", Sessions = 0 },
            Transit = new() { Address = "http://vault.example", TokenFile = "/nowhere", TimeoutSeconds = 0 },
            Budgets = [new() { Seconds = 0, PerRequester = 2, Total = 1 }], CustodyFolder = "/nowhere", CreateStores = false,
        };
        var message = Assert.Throws<InvalidOperationException>(() => KeysHost.Build(wrong)).Message;
        foreach (var name in (string[])["Listen", "KeyFile", "GatewayKeyFile", "Pkcs11, Transit", "Pkcs11.Library", "Pkcs11.PinFile", "Pkcs11.Sessions", "Transit.Address", "Transit.TokenFile", "Transit.TimeoutSeconds", "Budgets", "CustodyFolder"])
            Assert.Contains(name, message, StringComparison.Ordinal);
    }

    private Pseudonym Person(int number) => _keys.People[number];

    private Task<HttpResponseMessage> SendAsync(int person, string caller = "aurora") => _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, Person(person), caller: caller), new { });

    private async Task CreateAsync(int person, HttpStatusCode expected, string caller = "aurora")
    {
        using var response = await SendAsync(person, caller);
        Assert.Equal(expected, response.StatusCode);
    }
}
