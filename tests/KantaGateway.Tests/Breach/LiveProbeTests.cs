using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Yarp.ReverseProxy.Forwarder;

namespace KantaGateway.Tests.Breach;

/// <summary>The live probes: sound on a whole gateway, and whatever opens one trips them in the next round, a case opened and the gateway out of service.</summary>
/// <remarks>A round is asked for here, but where the clock of the service itself is turned: <see cref="ProbeOptions.IntervalSeconds"/>.</remarks>
public sealed class LiveProbeTests
{
    [Fact]
    public async Task A_whole_gateway_is_sound_round_after_round_and_ready()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        var probe = house.Gateway.GetRequiredService<LiveProbe>();
        for (var round = 0; round < 3; round++)
            Assert.Equal(ProbeOutcome.Sound, await AskAsync(probe));
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
        Assert.Equal(200, (await house.Aurora.SendAsync(HttpMethod.Get, "/health/ready")).Status);
    }

    [Theory]
    [InlineData(Opening.NoFilter, BreachKind.DeniedDataShown)]
    [InlineData(Opening.FailsOpen, BreachKind.DeniedDataShown)]
    [InlineData(Opening.NoReceipt, BreachKind.Unrecorded)]
    [InlineData(Opening.ForeignReceipt, BreachKind.Unrecorded)]
    [InlineData(Opening.NoRecord, BreachKind.Unrecorded)]
    public async Task Whatever_opens_the_gateway_trips_the_next_round(Opening opening, BreachKind kind)
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await using var world = await OpenedGateway.StartAsync(house, opening);
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        Assert.Equal(200, await world.ReadyAsync());

        var before = DateTimeOffset.UtcNow;
        world.IsOpen = true;
        Assert.Equal(ProbeOutcome.Breached, await AskAsync(world.Probe));

        Assert.Equal(503, await world.ReadyAsync());
        var opened = Assert.Single(world.Cases);
        Assert.Equal((1, kind, ""), (opened.Number, opened.Kind, opened.Previous));
        Assert.InRange(opened.AwareAt, before, DateTimeOffset.UtcNow);

        // Once is enough, and it is not over when it is not seen any more.
        Assert.Equal(ProbeOutcome.Breached, await AskAsync(world.Probe));
        world.IsOpen = false;
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        Assert.Equal(503, await world.ReadyAsync());
        Assert.Single(world.Cases);
        Assert.Equal(200, (await house.Aurora.SendAsync(HttpMethod.Get, "/health/ready")).Status); // the other gateway is whole
    }

    /// <summary>A policy that was put together whole is kept, so this one is without denials from its start.</summary>
    [Fact]
    public async Task A_gateway_that_folds_no_denials_trips_and_started_anew_it_keeps_the_case_and_serves_when_a_round_was_sound()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await using var world = await OpenedGateway.StartAsync(house, Opening.NoDenialFold);
        world.IsOpen = true;
        Assert.Equal(200, await world.ReadyAsync());
        Assert.Equal(ProbeOutcome.Breached, await AskAsync(world.Probe));
        Assert.Equal(503, await world.ReadyAsync());
        Assert.Equal(BreachKind.DeniedDataShown, Assert.Single(world.Cases).Kind);
        world.IsOpen = false;
        await world.RestartAsync();
        Assert.Equal(503, await world.ReadyAsync());
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        Assert.Equal(200, await world.ReadyAsync());
        Assert.Single(world.Cases);
    }

    /// <summary>The service's own rounds, by a clock that the test turns: the gateway is opened at the worst moment, when an interval has just begun.</summary>
    [Theory]
    [InlineData(Opening.NoFilter, null)]
    [InlineData(Opening.NoDenialFold, null)]
    [InlineData(Opening.FailsOpen, null)]
    [InlineData(Opening.NoFilter, MostSeconds)]
    public async Task An_opened_gateway_is_out_of_service_and_has_a_case_within_a_minute(Opening opening, int? intervalSeconds)
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await using var world = await OpenedGateway.StartAsync(house, opening);
        await world.EndRoundsAsync();
        if (opening != Opening.NoDenialFold)
            Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        Assert.Equal(200, await world.ReadyAsync());

        var clock = new RoundClock();
        using var rounds = world.RoundsBy(clock, intervalSeconds);
        await rounds.StartAsync(CancellationToken.None);
        var interval = await clock.Interval;
        using var guard = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        world.Log.Clear();
        world.IsOpen = true;
        var opened = clock.GetUtcNow();
        await using var said = world.Log.GetLogsAsync(guard.Token).GetAsyncEnumerator(guard.Token);
        // A round that was blind, for this machine is busy with other things, says so; the next one tells.
        do
        {
            clock.Advance(interval);
            do
                Assert.True(await said.MoveNextAsync());
            while (said.Current.Category != typeof(LiveProbe).FullName && said.Current.Category != typeof(BreachWatch).FullName);
        }
        while (said.Current.Category == typeof(LiveProbe).FullName);

        Assert.InRange(clock.GetUtcNow() - opened, TimeSpan.Zero, TimeSpan.FromMinutes(1));
        Assert.Equal(503, await world.ReadyAsync());
        Assert.Equal(BreachKind.DeniedDataShown, Assert.Single(world.Cases).Kind);
        await rounds.StopAsync(CancellationToken.None);
    }

    /// <summary>An outage is no breach and no blindness: readiness asks for what is down by itself. That nobody watches is said, once in a row of such rounds.</summary>
    [Theory]
    [InlineData(Opening.Down)]
    [InlineData(Opening.Cut)]
    public async Task What_is_not_answered_is_no_breach_and_by_itself_takes_no_gateway_out_of_service(Opening opening)
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await using var world = await OpenedGateway.StartAsync(house, opening);
        await world.EndRoundsAsync();
        for (var time = 1; time <= 2; time++)
        {
            Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
            // A gateway that has just started may have left some rounds unanswered.
            world.Log.Clear();
            var visits = world.Visits;
            world.IsOpen = true;
            for (var round = 0; round < 5; round++)
            {
                Assert.Equal(ProbeOutcome.Unanswered, await world.Probe.AskAsync(CancellationToken.None));
                Assert.Equal(200, await world.ReadyAsync());
            }
            Assert.Equal(visits, world.Visits);
            Assert.Single(world.Log.GetSnapshot().Where(line => line.Level == LogLevel.Critical).Select(line => line.Message));
            world.IsOpen = false;
        }
        Assert.Empty(world.Cases);
    }

    /// <summary>Every answer is as it should be, and shows nothing: the visit is made anew once, and it counts.</summary>
    [Fact]
    public async Task A_gateway_that_shows_nothing_at_all_is_out_of_service_after_three_rounds()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await using var world = await OpenedGateway.StartAsync(house, Opening.NoPermission);
        await world.EndRoundsAsync();
        world.IsOpen = true;
        for (var round = 0; round < 5; round++)
        {
            Assert.Equal(ProbeOutcome.Blind, await world.Probe.AskAsync(CancellationToken.None));
            Assert.Equal(round < 2 ? 200 : 503, await world.ReadyAsync());
        }
        // Of each person two of the archivist, the reader's of the beginning, and the one that was opened anew.
        Assert.Equal(4 * KantaGateway.Dev.DevelopmentFolder.ProbeCodes.Count, world.Visits);
        Assert.Empty(world.Cases);
        world.IsOpen = false;
        await world.RestartAsync();
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        Assert.Equal(200, await world.ReadyAsync());
    }

    /// <summary>Whoever withdraws the synthetic person's permission blinds the probe for a round and not for good.</summary>
    [Fact]
    public async Task A_probe_whose_person_is_made_to_withdraw_the_permission_sees_again()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        var probe = house.Gateway.GetRequiredService<LiveProbe>();
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(probe));
        var code = PersonalIdentityCode.TryParse(KantaGateway.Dev.DevelopmentFolder.ProbeCodes[0], out var parsed) ? parsed : default;
        var person = house.CitizenOf(await house.Gateway.GetRequiredService<IPseudonyms>().OfAsync(code, CancellationToken.None));
        var patient = house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(person.Self!.Value);
        using var permit = JsonDocument.Parse(Declarations.Permit(patient, DateTimeOffset.UtcNow));
        await house.DeclareAsync(Declarations.Withdrawn(permit.RootElement), person);
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(probe));
        Assert.Equal(200, (await house.Aurora.SendAsync(HttpMethod.Get, "/health/ready")).Status);
    }

    private static async Task AtDeskAsync(HouseInMemory house, byte[] consent)
    {
        var stored = await house.Revontuli.System.CreateAsync("Consent", Laws.DeclaredAtTheDeskTests.AtDesk(consent));
        Assert.True(stored.Status == 201, stored.Text);
    }

    /// <summary>A desk needs no relationship to deny all for a person whose code it knows: the probe sees again in the very round, each time, and nothing is left behind.</summary>
    [Fact]
    public async Task A_probe_whose_person_a_desk_speaks_for_sees_again_after_each_time()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await Assert.Single(house.Gateway.GetServices<IHostedService>().OfType<LiveProbeService>()).StopAsync(CancellationToken.None);
        var probe = house.Gateway.GetRequiredService<LiveProbe>();
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(probe));
        var code = PersonalIdentityCode.TryParse(KantaGateway.Dev.DevelopmentFolder.ProbeCodes[0], out var parsed) ? parsed : default;
        var self = await house.Gateway.GetRequiredService<IPseudonyms>().OfAsync(code, CancellationToken.None);
        var patient = house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(self);
        var hospital = KantaGateway.Dev.DevelopmentFolder.Clinics.First(clinic => clinic.Kind == ControllerKind.Public).Oid;

        // Before as many rounds as would end the service, with what by itself blinds nobody.
        foreach (var times in new[] { 4, 1 })
        {
            for (var time = 0; time < times; time++)
            {
                await AtDeskAsync(house, Declarations.Denial(patient, new DenialTarget.All(), DateTimeOffset.UtcNow));
                await AtDeskAsync(house, Declarations.Denial(patient, new DenialTarget.OfRegister(hospital, Register.Patient), DateTimeOffset.UtcNow));
                using (var permit = JsonDocument.Parse(Declarations.Permit(patient, DateTimeOffset.UtcNow)))
                    await AtDeskAsync(house, Declarations.Withdrawn(permit.RootElement));
                Assert.Equal(ProbeOutcome.Sound, await AskAsync(probe));
            }
            Assert.Equal(200, (await house.Aurora.SendAsync(HttpMethod.Get, "/health/ready")).Status);
            var (permission, denials) = (await house.Gateway.GetRequiredService<PolicyLookup>().FetchAsync(house.CitizenOf(self), self, CancellationToken.None)).InForceAt(DateTimeOffset.UtcNow);
            Assert.Null(permission!.RecordedBy);
            Assert.IsType<DenialTarget.OfServiceEvent>(Assert.Single(denials).Target);
        }
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
    }

    /// <summary>What a desk withdraws for the person is rightly shown. It is denied anew, and from then on whoever shows it has opened the gateway as before.</summary>
    [Fact]
    public async Task A_desk_that_withdraws_the_denial_of_a_probe_breaches_nothing_and_excuses_nothing_afterwards()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await Assert.Single(house.Gateway.GetServices<IHostedService>().OfType<LiveProbeService>()).StopAsync(CancellationToken.None);
        await using var world = await OpenedGateway.StartAsync(house, Opening.NoFilter);
        await world.EndRoundsAsync();
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        var people = await ProbedAsync(house);
        var target = await DeniedAsync(house, people[0]);
        await AdmitAsync(house, people[0]);

        for (var time = 0; time < 4; time++)
        {
            await WithdrawAtDeskAsync(house, people[0]);
            Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
            Assert.Equal(target, await DeniedAsync(house, people[0]));
        }
        Assert.Empty(world.Cases);
        Assert.Equal(200, await world.ReadyAsync());

        // Nor does a desk's own denial, which is in force: what it covers is not to be shown.
        foreach (var self in people)
            await AtDeskAsync(house, Declarations.Denial(PatientOf(house, self), await DeniedAsync(house, self), DateTimeOffset.UtcNow));
        world.IsOpen = true;
        Assert.Equal(ProbeOutcome.Breached, await AskAsync(world.Probe));
        Assert.Equal(BreachKind.DeniedDataShown, Assert.Single(world.Cases).Kind);
    }

    /// <summary>Only a word that came after the denial excuses: who passes over a denial is found, whatever a desk has withdrawn before it.</summary>
    [Fact]
    public async Task A_desk_that_withdrew_an_earlier_denial_excuses_no_gateway_that_passes_over_the_next_one()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await Assert.Single(house.Gateway.GetServices<IHostedService>().OfType<LiveProbeService>()).StopAsync(CancellationToken.None);
        await using var world = await OpenedGateway.StartAsync(house, Opening.EndsDenials);
        await world.EndRoundsAsync();
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));
        foreach (var self in await ProbedAsync(house))
        {
            await AdmitAsync(house, self);
            await WithdrawAtDeskAsync(house, self);
        }
        Assert.Equal(ProbeOutcome.Sound, await AskAsync(world.Probe));

        // A policy that was put together whole is kept.
        world.IsOpen = true;
        await world.RestartAsync();
        await world.EndRoundsAsync();
        Assert.Equal(ProbeOutcome.Breached, await AskAsync(world.Probe));
        Assert.Equal(BreachKind.DeniedDataShown, Assert.Single(world.Cases).Kind);
    }

    private static async Task<Pseudonym[]> ProbedAsync(HouseInMemory house) => await Task.WhenAll(KantaGateway.Dev.DevelopmentFolder.ProbeCodes.Select(async code =>
        await house.Gateway.GetRequiredService<IPseudonyms>().OfAsync(PersonalIdentityCode.TryParse(code, out var parsed) ? parsed : default, CancellationToken.None)));

    private static string PatientOf(HouseInMemory house, Pseudonym self) => house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(self);

    /// <summary>What the person denies, and nothing else.</summary>
    private static async Task<DenialTarget> DeniedAsync(HouseInMemory house, Pseudonym self) =>
        Assert.Single((await house.Gateway.GetRequiredService<PolicyLookup>().FetchAsync(house.CitizenOf(self), self, CancellationToken.None)).InForceAt(DateTimeOffset.UtcNow).Denials).Target;

    private static async Task WithdrawAtDeskAsync(HouseInMemory house, Pseudonym self)
    {
        using var denial = JsonDocument.Parse(Declarations.Denial(PatientOf(house, self), await DeniedAsync(house, self), DateTimeOffset.UtcNow));
        await AtDeskAsync(house, Declarations.Withdrawn(denial.RootElement));
    }

    /// <summary>A desk withdraws only for who is treated there.</summary>
    private static async Task AdmitAsync(HouseInMemory house, Pseudonym self)
    {
        var visit = house.Encounter("1.2.246.10.99000022.14.2026.77", "in-progress");
        visit["subject"] = new JsonObject { ["reference"] = "Patient/" + PatientOf(house, self) };
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
    }

    [Fact]
    public async Task Cases_follow_one_another_and_a_folder_in_which_one_was_changed_or_has_gone_does_not_open()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        using var folder = new TemporaryFolder();
        var options = house.Gateway.GetRequiredService<KantaGateway.Gateway.GatewayOptions>() with { Breach = new() { CaseFolder = folder.File("cases") } };
        BreachCases Open() => new(options, house.Gateway.GetRequiredService<KantaGateway.Audit.AuditLog>(), TimeProvider.System);
        using (var cases = Open())
        {
            Assert.Throws<IOException>(Open);
            for (var i = 1; i <= 3; i++)
                Assert.Equal(i, (await cases.OpenAsync(BreachKind.Unrecorded, $"case {i}")).Number);
        }
        using (var cases = Open())
            Assert.Equal(["case 1", "case 2", "case 3"], cases.All.Select(c => c.What));
        var second = folder.File("cases/00000002.json");
        var kept = await File.ReadAllTextAsync(second);
        await File.WriteAllTextAsync(second, kept.Replace("case 2", "nothing", StringComparison.Ordinal));
        Assert.Throws<InvalidDataException>(Open);
        File.Delete(second);
        Assert.Throws<InvalidDataException>(Open);
        await File.WriteAllTextAsync(second, kept);
        File.Delete(folder.File("cases/00000001.json"));
        Assert.Throws<InvalidDataException>(Open);
    }

    /// <summary>Rounds until one says something: on a machine that is busy with other things an answer may be too late.</summary>
    private static async Task<ProbeOutcome> AskAsync(LiveProbe probe)
    {
        var outcome = ProbeOutcome.Blind;
        for (var round = 0; round < 10 && outcome is (ProbeOutcome.Blind or ProbeOutcome.Unanswered); round++)
            outcome = await probe.AskAsync(CancellationToken.None);
        return outcome;
    }

    /// <summary>The longest interval that options may say, seconds.</summary>
    private const int MostSeconds = 30;

    /// <summary>A clock that stands still until the test turns it, and tells by what interval somebody waits on it.</summary>
    private sealed class RoundClock : FakeTimeProvider
    {
        private readonly TaskCompletionSource<TimeSpan> _interval = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<TimeSpan> Interval => _interval.Task;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            _interval.TrySetResult(period);
            return timer;
        }
    }

    /// <summary>How a gateway may come to show what it must not, or to keep no record.</summary>
    public enum Opening
    {
        /// <summary>The scope reaches the repository as if nothing filtered.</summary>
        NoFilter,

        /// <summary>What is denied is left out where the policy is put together.</summary>
        NoDenialFold,

        /// <summary>What the person has denied is taken for over.</summary>
        EndsDenials,

        /// <summary>No permission is ever seen, so nothing of others is shown.</summary>
        NoPermission,

        /// <summary>Who is refused gets what the person herself would get.</summary>
        FailsOpen,

        /// <summary>Answers without a receipt, with one of another entry, and answers of which the log has nothing.</summary>
        NoReceipt, ForeignReceipt, NoRecord,

        /// <summary>Everything is answered that it cannot be now.</summary>
        Down,

        /// <summary>No answer comes.</summary>
        Cut,
    }

    /// <summary>A further gateway of a house, whose line to the repository and whose front can be tampered with while it runs.</summary>
    private sealed class OpenedGateway : IAsyncDisposable
    {
        private readonly HouseInMemory _house;
        private readonly Opening _opening;
        private readonly int _port = RunningHost.FreePorts();
        private readonly HttpMessageInvoker _invoker;
        private readonly GrantSigner _signer;
        private readonly GrantVerifier _verifier;
        private WebApplication _line = null!, _gateway = null!;
        private ClinicClient _caller = null!;

        private OpenedGateway(HouseInMemory house, Opening opening)
        {
            (_house, _opening) = (house, opening);
            var handler = new SocketsHttpHandler { ActivityHeadersPropagator = null };
            InternalEndpoint.Parse(house.Repositories[0]).Configure(handler);
            _invoker = new(handler);
            var key = ECDsa.Create();
            key.ImportFromPem(File.ReadAllText(house.Folder.File("keys/grant.key")));
            (_signer, _verifier) = (new(key, TimeProvider.System), new([key], TimeProvider.System));
        }

        public bool IsOpen { get; set; }

        public LiveProbe Probe => _gateway.Services.GetRequiredService<LiveProbe>();

        public IReadOnlyList<BreachCase> Cases => _gateway.Services.GetRequiredService<BreachCases>().All;

        public FakeLogCollector Log { get; } = new();

        /// <summary>Encounters that were sent.</summary>
        public int Visits;

        private string Line => $"process:{_house.Folder.Path}/opened";

        public static async Task<OpenedGateway> StartAsync(HouseInMemory house, Opening opening)
        {
            var world = new OpenedGateway(house, opening);
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.ListenInternally(InternalEndpoint.Parse(world.Line));
            builder.Services.AddHttpForwarder();
            world._line = builder.Build();
            world._line.Run(world.PassAsync);
            await world._line.StartAsync();
            await world.StartAsync();
            return world;
        }

        public async Task RestartAsync()
        {
            await _gateway.DisposeAsync();
            _caller.Dispose();
            await StartAsync();
        }

        /// <summary>No rounds come by themselves any more.</summary>
        public Task EndRoundsAsync() => Assert.Single(_gateway.Services.GetServices<IHostedService>().OfType<LiveProbeService>()).StopAsync(CancellationToken.None);

        /// <summary>The service's rounds, by another clock.</summary>
        /// <param name="intervalSeconds">Null: as options are by default.</param>
        public LiveProbeService RoundsBy(TimeProvider clock, int? intervalSeconds)
        {
            var options = _gateway.Services.GetRequiredService<KantaGateway.Gateway.GatewayOptions>();
            var probes = options.Breach!.Probes!;
            var usual = new ProbeOptions
            {
                IdentityCodes = probes.IdentityCodes, Archivist = probes.Archivist, Reader = probes.Reader, Professional = probes.Professional, SubjectTokenAddress = probes.SubjectTokenAddress,
            };
            return new(Probe, options with { Breach = options.Breach with { Probes = intervalSeconds is { } seconds ? usual with { IntervalSeconds = seconds } : usual } }, _gateway.Lifetime, clock, NullLogger<LiveProbe>.Instance);
        }

        public async Task<int> ReadyAsync() => (await _caller.SendAsync(HttpMethod.Get, "/health/ready")).Status;

        public async ValueTask DisposeAsync()
        {
            await _gateway.DisposeAsync();
            await _line.DisposeAsync();
            _caller.Dispose();
            _invoker.Dispose();
        }

        private async Task StartAsync()
        {
            _gateway = await _house.StartFurtherGatewayAsync(_port, Line, builder =>
            {
                builder.Logging.ClearProviders().AddProvider(new FakeLoggerProvider(Log));
                builder.Services.AddSingleton<IStartupFilter>(new Front(this));
            });
            _caller = ClinicClient.Open(_house.Folder, "aurora", new Uri($"https://localhost:{_port}"));
        }

        private async Task PassAsync(HttpContext context)
        {
            if (IsOpen && _opening is Opening.NoDenialFold or Opening.EndsDenials or Opening.NoPermission && context.Request.Path == "/policy")
            {
                using var question = new HttpRequestMessage(HttpMethod.Post, "http://localhost/policy");
                question.Headers.TryAddWithoutValidation(InternalHeaders.Grant, context.Request.Headers[InternalHeaders.Grant].ToString());
                using var answer = await _invoker.SendAsync(question, context.RequestAborted);
                var policy = JsonNode.Parse(await answer.Content.ReadAsByteArrayAsync(context.RequestAborted))!;
                if (_opening == Opening.EndsDenials)
                    foreach (var denial in policy["consents"]!.AsArray().Where(c => c!["organization"] is null && (string?)c["provision"]?["type"] == "deny"))
                        denial!["provision"]!["period"] = new JsonObject { ["end"] = "2026-01-01" };
                else
                    policy["consents"] = new JsonArray([.. policy["consents"]!.AsArray().Where(c => !c!.ToJsonString().Contains(_opening == Opening.NoPermission ? "disclosure-permission" : "\"deny\"", StringComparison.Ordinal)).Select(c => c!.DeepClone())]);
                await context.Response.WriteAsync(policy.ToJsonString(), Encoding.UTF8);
                return;
            }
            if (IsOpen && _opening == Opening.NoFilter && await _verifier.VerifyAsync(context.Request.Headers[InternalHeaders.Grant]) is { Grant: { Use: GrantUse.Read } grant })
                context.Request.Headers[InternalHeaders.Grant] = _signer.Sign(grant with { Scope = new DisclosureScope { Breadth = Breadth.WholePerson } });
            await _line.Services.GetRequiredService<IHttpForwarder>().SendAsync(context, "http://localhost", _invoker, ForwarderRequestConfig.Empty);
        }

        private sealed class Front(OpenedGateway world) : IStartupFilter
        {
            public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => app =>
            {
                app.Use(async (context, rest) =>
                {
                    if (context.Request is { Method: "POST", Path.Value: "/fhir/Encounter" })
                        Interlocked.Increment(ref world.Visits);
                    if (!world.IsOpen || !context.Request.Path.StartsWithSegments("/fhir"))
                    {
                        await rest(context);
                        return;
                    }
                    switch (world._opening)
                    {
                        case Opening.Down:
                            context.Response.StatusCode = 503;
                            break;
                        case Opening.Cut:
                            context.Abort();
                            break;
                        case Opening.NoRecord:
                            context.Response.StatusCode = 404;
                            break;
                        case Opening.NoReceipt or Opening.ForeignReceipt:
                            context.Response.OnStarting(() =>
                            {
                                if (!context.Response.Headers.Remove("Kanta-Receipt"))
                                    return Task.CompletedTask;
                                if (world._opening == Opening.ForeignReceipt)
                                    context.Response.Headers["Kanta-Receipt"] = "0;entry=\"00000000000000000000000000000000\"";
                                return Task.CompletedTask;
                            });
                            await rest(context);
                            break;
                        case Opening.FailsOpen:
                            await FailOpenAsync(context, rest);
                            break;
                        default:
                            await rest(context);
                            break;
                    }
                });
                next(app);
            };

            private async Task FailOpenAsync(HttpContext context, RequestDelegate rest)
            {
                var (path, query, real) = (context.Request.Path.Value!["/fhir/".Length..], context.Request.QueryString, context.Response.Body);
                using var held = new MemoryStream();
                context.Response.Body = held;
                await rest(context);
                context.Response.Body = real;
                if (context.Response.StatusCode != 404)
                {
                    await real.WriteAsync(held.ToArray());
                    return;
                }
                var code = PersonalIdentityCode.TryParse(KantaGateway.Dev.DevelopmentFolder.ProbeCodes[0], out var parsed) ? parsed : default;
                var person = world._house.CitizenOf(await context.RequestServices.GetRequiredService<IPseudonyms>().OfAsync(code, context.RequestAborted));
                var answer = await context.RequestServices.GetRequiredService<IInnerRequests>().SendAsync(person, "GET", path + query);
                context.Response.StatusCode = answer.Status;
                context.Response.ContentLength = answer.Body.Length;
                await real.WriteAsync(answer.Body);
            }
        }
    }
}
