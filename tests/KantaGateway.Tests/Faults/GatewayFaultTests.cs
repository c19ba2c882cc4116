using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Harness.Clients;
using KantaGateway.Keys;
using KantaGateway.Tests.Identification;
using KantaGateway.Tests.Keys;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Faults;

/// <summary>
/// What befalls a gateway over a repository and a key service that are sound: lines that are cut in the middle of a request, a clock that is another's, everybody at once. The caller is told no untruth, nobody is
/// said to have received what did not leave, and who asks again under a condition finds or makes it once.
/// </summary>
public sealed class GatewayFaultTests(GatewayFaultTests.SharedHouse shared) : IClassFixture<GatewayFaultTests.SharedHouse>
{
    private const int Callers = 150;

    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    private readonly HouseInMemory _house = shared.House;
    private readonly string _note = shared.Note;

    /// <summary>A person whose record the tests read, each through a gateway of its own; on sockets, where lines can be put between.</summary>
    public sealed class SharedHouse : IAsyncLifetime
    {
        internal HouseInMemory House { get; private set; } = null!;

        internal string Note { get; private set; } = "";

        public async Task InitializeAsync()
        {
            House = await HouseInMemory.OpenAsync(sockets: true);
            Note = await House.AdmitAsync();
        }

        public async Task DisposeAsync() => await House.DisposeAsync();
    }

    [Fact]
    public async Task A_line_to_the_repository_that_is_cut_loses_and_doubles_nothing_and_shows_nothing_unrecorded()
    {
        await using var line = new Line(_house.Folder.File("records-line.sock"), _house.Folder.File("repository.sock"));
        var port = RunningHost.FreePorts();
        await using var gateway = await _house.StartFurtherGatewayAsync(port, "unix:" + _house.Folder.File("records-line.sock"));
        using var clinic = ClinicClient.Open(_house.Folder, "aurora", new Uri($"https://localhost:{port}"));
        Assert.Equal(200, (await clinic.System.ReadAsync("Observation", _note)).Status);
        const string Visit = "1.2.246.10.99000011.14.2026.77", Criteria = "identifier=urn:ietf:rfc:3986|urn:oid:" + Visit;
        var body = HouseInMemory.Json(_house.Encounter(Visit, "finished"));

        foreach (var cut in (Cut[])[Cut.Questions, Cut.Answers])
        {
            line.Cut = cut;
            var read = await clinic.System.ReadAsync("Observation", _note);
            Assert.Contains(read.Status, (int[])[502, 503]);
            Assert.DoesNotContain(HouseInMemory.Secret, read.Text);
            var created = await clinic.System.CreateAsync("Encounter", body, Criteria);
            Assert.Contains(created.Status, (int[])[502, 503]);
            Assert.Contains("not known", created.Text);
            line.Cut = Cut.Nowhere;
            var again = await clinic.System.CreateAsync("Encounter", body, Criteria);
            Assert.Equal(cut == Cut.Questions ? 201 : 200, again.Status);
            var id = again.Stored?.Id ?? again.Json.GetProperty("id").GetString()!;
            var tag = (await clinic.System.ReadAsync("Encounter", id)).ETag;
            var changed = _house.Encounter(Visit, "finished");
            changed["id"] = id;
            line.Cut = cut;
            Assert.Contains((await clinic.System.UpdateAsync("Encounter", id, HouseInMemory.Json(changed), tag)).Status, (int[])[502, 503]);
            line.Cut = Cut.Nowhere;
            // Sent again as it was: made once, whichever of the two it was.
            Assert.Equal(cut == Cut.Questions ? 200 : 412, (await clinic.System.UpdateAsync("Encounter", id, HouseInMemory.Json(changed), tag)).Status);
            Assert.Equal(2, (await clinic.System.HistoryAsync("Encounter", id)).Json.GetProperty("total").GetInt32());
            line.Cut = cut;
            Assert.Contains((await clinic.System.DeleteAsync("Encounter", id)).Status, (int[])[502, 503]);
            line.Cut = Cut.Nowhere;
            Assert.Contains((await clinic.System.DeleteAsync("Encounter", id)).Status, (int[])[200, 204]);
            Assert.Equal(3, (await clinic.System.HistoryAsync("Encounter", id)).Json.GetProperty("total").GetInt32());
        }
        Assert.True(line.Broken >= 8, "The line was cut in no request's middle.");
        // The one read that was answered, and the tries of which nothing came: nobody is said to have received what did not leave.
        var lines = (await gateway.Services.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Single(lines, entry => entry.Interaction == "read" && entry.Items.Any(item => item.Id == _note));
        Assert.Empty(gateway.Services.GetRequiredService<AuditLog>().Verify().Faults);
    }

    [Fact]
    public async Task A_line_to_the_key_service_that_is_cut_stores_nothing_and_is_used_again()
    {
        await using var line = new Line(_house.Folder.File("keys-line.sock"), _house.Folder.File("keys.sock"));
        var port = RunningHost.FreePorts();
        await using var gateway = await _house.StartFurtherGatewayAsync(port, _house.Repositories[0], keys: "unix:" + _house.Folder.File("keys-line.sock"));
        using var clinic = ClinicClient.Open(_house.Folder, "aurora", new Uri($"https://localhost:{port}"));
        var patient = HouseInMemory.Json(HouseInMemory.Patient(_house.Folder.Citizens[2].IdentityCode));
        _ = await clinic.TokenAsync();
        foreach (var cut in (Cut[])[Cut.Questions, Cut.Answers])
        {
            line.Cut = cut;
            var refused = await clinic.System.CreateAsync("Patient", patient);
            Assert.Equal(503, refused.Status);
            Assert.Contains("Nothing was disclosed or stored", refused.Text);
        }
        Assert.True(line.Broken >= 2, "The line was cut in no request's middle.");
        line.Cut = Cut.Nowhere;
        var created = await clinic.System.CreateAsync("Patient", patient);
        Assert.Equal(201, created.Status);
        Assert.Equal("1", (await clinic.System.HistoryAsync("Patient", created.Stored!.Value.Id)).Json.GetProperty("total").ToString());
    }

    [Fact]
    public async Task A_gateway_whose_clock_is_set_back_goes_on_and_records_in_the_order_of_time()
    {
        var machine = new ShiftedClock();
        var port = RunningHost.FreePorts();
        await using var gateway = await _house.StartFurtherGatewayAsync(port, _house.Repositories[0], By(new ForwardClock(machine)));
        using var aurora = ClinicClient.Open(_house.Folder, "aurora", new Uri($"https://localhost:{port}"));
        Assert.Equal(200, (await aurora.System.ReadAsync("Observation", _note)).Status);
        machine.Ahead = -Hour;
        // With the token that it has, and with a new one: their times have not changed.
        Assert.Equal(200, (await aurora.System.ReadAsync("Observation", _note)).Status);
        Assert.Equal(200, (await aurora.With((await aurora.RequestSystemTokenAsync()).Value).ReadAsync("Observation", _note)).Status);
        var times = (await gateway.Services.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines.OrderBy(line => line.Index).Select(line => line.When).ToArray();
        Assert.Equal(3, times.Length);
        Assert.Equal(times.Order(), times);
        Assert.Empty(gateway.Services.GetRequiredService<AuditLog>().Verify().Faults);
    }

    /// <summary>On machines of their own, the clock of one alone. Whoever it is, the caller is told of an outage and not that he is nobody.</summary>
    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task A_gateway_whose_clock_is_not_the_repositorys_discloses_nothing_and_serves_when_it_is_right_again(int hours)
    {
        var machine = new ShiftedClock();
        await using var gateway = await _house.StartFurtherGatewayAsync(RunningHost.FreePorts(), _house.Repositories[0], By(machine));
        machine.Ahead = hours * Hour;
        var inner = gateway.Services.GetRequiredService<IInnerRequests>();
        // The system of the clinic whose register it is: no other grant is asked for before.
        var aurora = HouseInMemory.DeskOfRevontuli with { ClientId = "aurora", Expires = DateTimeOffset.UtcNow.AddHours(3), Organisation = Oid.Parse(_house.Aurora.Client.OrganisationOid), OrganisationName = "Aurora" };
        Task<FhirAnswer> ReadAsync() => inner.SendAsync(aurora, "GET", "Observation/" + _note);
        var off = await ReadAsync();
        Assert.Equal(503, off.Status);
        Assert.DoesNotContain(HouseInMemory.Secret, System.Text.Encoding.UTF8.GetString(off.Body));
        machine.Ahead = default;
        Assert.Equal(200, (await ReadAsync()).Status);
        Assert.Single((await gateway.Services.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines);
    }

    /// <summary>Over a connection of its own each.</summary>
    [Fact]
    public async Task Each_of_many_connections_at_once_is_served_and_each_disclosure_recorded()
    {
        var before = _house.Aurora.Connections;
        foreach (var reply in await Task.WhenAll(Enumerable.Range(0, Callers).Select(_ => _house.Aurora.System.ReadAsync("Observation", _note))))
            Assert.Equal(200, reply.Status);
        Assert.True(_house.Aurora.Connections - before > Callers / 2, "They did not come at once.");
        var lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen, 1000)).Lines;
        Assert.Equal(Callers, lines.Count(line => line.Interaction == "read" && line.Items.Any(item => item.Id == _note)));
    }

    [Fact]
    public async Task A_gateway_does_not_start_beside_a_part_whose_clock_is_off_and_asks_each()
    {
        Assert.Equal(["Keys", "Repository"], _house.Gateway.GetServices<PeerClock>().Select(static peer => peer.Setting).Order());
        foreach (var peer in _house.Gateway.GetServices<PeerClock>())
            Assert.InRange(await peer.ReadAsync(default), DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddMinutes(1));
        var off = new PeerClock("Redis", static _ => Task.FromResult(DateTimeOffset.UtcNow - Hour));
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => _house.StartFurtherGatewayAsync(RunningHost.FreePorts(), _house.Repositories[0], builder => builder.Services.AddSingleton(off)));
        Assert.StartsWith("Gateway options: Redis: its clock goes ", refusal.Message);
    }

    [Fact]
    public async Task Every_part_goes_by_the_clock_that_only_goes_forwards()
    {
        Assert.Same(ForwardClock.OfThisMachine, _house.Gateway.GetRequiredService<TimeProvider>());
        Assert.Same(ForwardClock.OfThisMachine, _house.Records.GetRequiredService<TimeProvider>());
        var keys = new RunningKeys();
        await keys.InitializeAsync();
        try
        {
            var another = keys.Options with { Listen = $"unix:{Path.Combine(keys.Folder, "another.sock")}", CustodyFolder = Path.Combine(keys.Folder, "another"), KeyFile = Path.Combine(keys.Folder, "another.json") };
            await using var app = KeysHost.Build(another);
            Assert.Same(ForwardClock.OfThisMachine, app.Services.GetRequiredService<TimeProvider>());
        }
        finally
        {
            await keys.DisposeAsync();
        }
    }

    private static Action<WebApplicationBuilder> By(TimeProvider time) => builder =>
    {
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton(time);
    };
}
