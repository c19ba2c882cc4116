using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Keys;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging;
using static KantaGateway.Tests.Identification.Operators.OperatorWalk;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>Key ceremonies, bulk exports and the end of a breach case take two persons, over HTTP.</summary>
[Collection(OperatorsCollection.Name)]
public sealed class OperatorActsTests(IdentificationWorld world) : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    /// <summary>What the repository says of somebody whose record is kept no longer, and has not yet been destroyed.</summary>
    private const string LongDead = """{"version":3,"stored":"2009-02-03T10:00:00.000Z","consents":[],"order":[],"serviceEvents":[],"people":[{"birthDate":"1931-04-05","deceased":"2009-02-01","stored":"2009-02-03T10:00:00.000Z"}]}""";

    private const string Nobody = """{"version":0,"consents":[],"order":[],"serviceEvents":[],"people":[]}""";

    private readonly LogFolder _audit = new();
    private readonly RunningKeys _keys = new();
    private readonly string _cases = Directory.CreateTempSubdirectory("kanta-cases-").FullName;
    private WebApplication _gateway = null!;
    private WebApplication _repository = null!;
    private int _keysLeft;
    private int _rotationsBegun;
    private readonly List<string> _erasures = [];
    private int _erasureAnswer = 204;
    private readonly List<string> _rotations = [];
    private int _rotationAnswer = 200;
    private string _policy = LongDead;
    private IdentifierCipher _ids = null!;
    private AuditLog _log = null!;
    private Uri _address = null!;
    private GatewayOptions _options = null!;

    public async Task InitializeAsync()
    {
        await _keys.InitializeAsync();
        // What the repository says of a rotation.
        var socket = Path.Combine(_cases, "repository.sock");
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(socket));
        _repository = builder.Build();
        _repository.MapGet("/rotation", () => Results.Json(new { version = 2, all = 10, left = _keysLeft, percent = 10.0 * (10 - _keysLeft) }));
        _repository.MapPost("/rotation", () => Interlocked.Increment(ref _rotationsBegun));
        _repository.MapPost("/policy", () => Results.Text(_policy, "application/json"));
        _repository.MapPost("/preview", () => Results.Text("""
            [{"type":"Patient","controller":"1.2.246.10.2","register":"2","count":1,"seen":[1]},{"type":"Patient","controller":"1.2.246.10.1","register":"2","count":1,"seen":[1]},
             {"type":"Observation","controller":"1.2.246.10.1","register":"2","serviceEvent":"1.2.246.10.1.14.1","count":4,"seen":[4]}]
            """, "application/json"));
        _repository.MapPost("/erasures", (HttpRequest request) =>
        {
            _erasures.Add(request.Headers[InternalHeaders.Grant].ToString());
            return Results.StatusCode(_erasureAnswer);
        });
        _repository.MapPost("/data-key-rotations", (HttpRequest request) =>
        {
            _rotations.Add(request.Headers[InternalHeaders.Grant].ToString());
            return _rotationAnswer == 200 ? Results.Json(new { rows = 41, before = new string('a', 32), after = new string('b', 32) }) : Results.StatusCode(_rotationAnswer);
        });
        await _repository.StartAsync();
        _ids = new(new byte[32]);
        _options = world.Options with { Port = IdentificationWorld.FreePort(), TerminatorListen = null, Breach = new() { CaseFolder = _cases }, Repository = "unix:" + socket };
        var reader = (await _keys.Client.GetFromJsonAsync<JsonElement>("/v1/audit/reader")).GetProperty("publicKey").GetBytesFromBase64();
        _log = AuditLog.Open(_audit.Options() with { ReaderPublicKey = reader }, TimeProvider.System);
        await StartGatewayAsync(erasureWaitDays: 0);
    }

    /// <param name="erasureWaitDays">None, but where a test is about the wait.</param>
    private async Task StartGatewayAsync(int erasureWaitDays)
    {
        _options = _options with { Identification = _options.Identification with { Operators = _options.Identification.Operators! with { ErasureWaitDays = erasureWaitDays } } };
        _gateway = world.BuildGateway(_options, builder =>
        {
            builder.Services.AddSingleton(_ => new BreachCases(_options, _log, world.Clock)).AddSingleton<CaseWork>();
            var nodes = new RepositoryNodes(_options);
            builder.Services.AddSingleton(new WrappingRotation(nodes));
            var keys = new KeyServiceClient(_keys.Options.Listen, _keys.Gateway);
            builder.Services.AddSingleton(keys);
            builder.Services.AddSingleton(services => new AuditRetention(_log, world.Clock, services.GetRequiredService<KantaGateway.Gateway.Identification.Operators.Approvals>(), services.GetRequiredService<BreachCases>()));
            builder.Services.AddSingleton(new BreachScope(_log, keys, NullLogger<BreachScope>.Instance));
            builder.Services.AddSingleton(new RecordErasure(nodes, keys, _keys.Gateway));
            builder.Services.AddSingleton(new RecordRotation(nodes, _keys.Gateway));
            var requests = new PolicyRequests(nodes, new GrantIssuer(_keys.Gateway, _keys.Time));
            builder.Services.AddSingleton(new RecordRetention(requests, new PolicyPreview(requests), _options, world.Clock));
            builder.Services.AddSingleton(_ids).AddSingleton(new IdentifierKey(new byte[32])).AddSingleton<DisputeAnswers>();
        }, app =>
        {
            app.MapGet("/", () => "start");
            app.MapOperatorActs(_options);
            app.MapOperatorBreachCases(_options);
            app.MapOperatorScopes(_options);
        });
        await _gateway.StartAsync();
        _address = new Uri($"https://localhost:{_options.Port}");
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _log.DisposeAsync();
        await _repository.DisposeAsync();
        await _keys.DisposeAsync();
        _audit.Dispose();
        Directory.Delete(_cases, recursive: true);
    }

    [Fact]
    public async Task A_breach_case_ends_by_two_persons_once_and_stays_ended_after_a_restart()
    {
        await Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-case-end", "1", $"Nothing of {IdentificationWorld.TestCode} had left.")).Status);
        var act = await ProposedAsync(tiina, "breach-case-end", "1", "A disk was full; nothing had left.");
        // Another gateway has a first case too, and it is not that one.
        Assert.Equal("1/" + Cases.NameOf(1)[..16], act.GetProperty("subject").GetString());
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-case-end", "1/0123456789abcdef", "Another gateway's.")).Status);
        // Nobody ends it alone, nor before the other has approved.
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        Assert.Empty(Cases.Ends);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));

        var shown = (await tero.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/breach-cases"))).GetProperty("cases")[0];
        Assert.Equal("A disk was full; nothing had left.", shown.GetProperty("finding").GetString());
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-case-end", "1", "Once more.")).Status);
        Cases.Dispose();
        using (var again = new BreachCases(_options, _log, world.Clock))
            Assert.Equal((1L, act.GetProperty("digest").GetString()), again.Ends.Select(end => (end.Number, (string?)end.Approval)).Single());
        // An end that was written for another case, or changed, is no start.
        var end = Path.Combine(_cases, "00000001.end");
        await File.WriteAllTextAsync(end, (await File.ReadAllTextAsync(end)).Replace("\"number\": 1", "\"number\": 2", StringComparison.Ordinal));
        Assert.Throws<InvalidDataException>(() => new BreachCases(_options, _log, world.Clock));
    }

    [Fact]
    public async Task The_scope_of_an_open_case_is_told_when_two_persons_want_it_and_the_key_service_keeps_that_it_was()
    {
        await Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await _log.AppendAsync(new AuditEntry(Maija.ToArray(), new DisclosureRecord
        {
            Kind = AuditKind.Read, Interaction = "read", Recorded = DateTimeOffset.UtcNow, Server = "https://localhost", System = new("aurora", "127.0.0.1"), Organisation = new("1.2.246.10.1", "Aurora"),
            PurposeOfUse = "TREAT", RequestId = "1", PatientId = _ids.PatientId(Maija), Items = [new("Observation", "o1", "v1", "1.2.246.10.1")],
        }.ToUtf8()));
        var content = $$"""{"from":"{{DateTimeOffset.UtcNow.AddHours(-1):O}}","to":"{{DateTimeOffset.UtcNow.AddHours(1):O}}","client":"aurora"}""";
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "breach-scope", "1", content);
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, (await ScopeAsync(tiina)).Status);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        // It is no act that is just carried out, and nobody else's affair.
        Assert.Equal(HttpStatusCode.NotFound, await DecideAsync(tiina, act, "carry-out"));
        using (var aatu = await SignedInAsync(KeyKeeper))
            Assert.Equal(HttpStatusCode.Forbidden, (await ScopeAsync(aatu)).Status);
        Assert.DoesNotContain(CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue), static record => record.Operation == KeyOperation.AuditReading);

        // Once more by the same approval: an answer may be lost on its way.
        for (var i = 0; i < 2; i++)
        {
            var (status, lines) = await ScopeAsync(tiina);
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal(("Patient/" + _ids.PatientId(Maija), "o1"), (lines[1].GetProperty("patient").GetString(), lines[1].GetProperty("items")[0].GetProperty("id").GetString()));
            Assert.Equal((true, 1), (lines[^1].GetProperty("end").GetBoolean(), lines[^1].GetProperty("persons").GetInt32()));
        }
        Assert.Contains(world.Acts.All, static told => told.Act.StartsWith("Was given the scope of breach case 1: 1 persons, 1 items in 1 of ", StringComparison.Ordinal));
        Assert.All(CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue).Where(static record => record.Operation == KeyOperation.AuditReading), record =>
            Assert.Equal((200, KeyCustody.GrantDigestOf(act.GetProperty("id").GetString()!)), (record.Status, record.Grant)));

        foreach (var (subject, wrong) in ((string, string)[])[("2", content), ("1", "{}"), ("1", content.Replace("\"client\":\"aurora\"", "\"certificate\":\"x\"", StringComparison.Ordinal)), ("1", content.Replace("client", "clients", StringComparison.Ordinal))])
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "breach-scope", subject, wrong)).Status);
        // Of a case that has ended nobody is told any more.
        Assert.True(await Cases.EndAsync(1, "Nothing had left.", "x"));
        Assert.Equal(HttpStatusCode.Conflict, (await ScopeAsync(tiina)).Status);

        async Task<(HttpStatusCode Status, JsonElement[] Lines)> ScopeAsync(HttpClient who)
        {
            using var answer = await who.PostAsJsonAsync(new Uri(_address, $"/operator/acts/{act.GetProperty("id").GetString()}/scope"), new { digest = act.GetProperty("digest").GetString() });
            return (answer.StatusCode, answer.StatusCode != HttpStatusCode.OK ? []
                : [.. (await answer.Content.ReadAsStringAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonDocument.Parse(line).RootElement)]);
        }
    }

    [Fact]
    public async Task A_dispute_is_settled_by_two_persons_with_an_answer_to_the_person()
    {
        var dispute = Guid.NewGuid().ToString("D");
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "dispute-end", dispute, $"Käynti oli henkilön {IdentificationWorld.TestCode}.")).Status);
        var act = await ProposedAsync(tiina, "dispute-end", dispute, "Vastaanotto oli 3.3., laskutus tarkisti käynnin.");
        Assert.Equal("Vastaanotto oli 3.3., laskutus tarkisti käynnin.", act.GetProperty("content").GetString());
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Empty(State().DisputeEnds);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        var answers = _gateway.Services.GetRequiredService<DisputeAnswers>();
        Assert.Equal("Vastaanotto oli 3.3., laskutus tarkisti käynnin.", answers.Open(State().DisputeEnds[dispute].Answer));
        // Nobody reads it in the log of decisions, which lies in the clear.
        Assert.DoesNotContain("Vastaanotto", State().DisputeEnds[dispute].Answer, StringComparison.Ordinal);
        Assert.DoesNotContain("Vastaanotto", State().Proposals[act.GetProperty("id").GetString()!].Content, StringComparison.Ordinal);
        Assert.Null(answers.Open("Vastaanotto oli 3.3."));
        Assert.Null(new DisputeAnswers(new(new byte[31])).Open(State().DisputeEnds[dispute].Answer));
        Assert.Equal([dispute], State().EndedRestrictions);
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));
        foreach (var none in new[] { dispute, dispute.ToUpperInvariant(), "1" })
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "dispute-end", none, "Once more.")).Status);

        KantaGateway.Gateway.Identification.Operators.DecisionState State() => _gateway.Services.GetRequiredService<KantaGateway.Gateway.Identification.Operators.Approvals>().Current;
    }

    [Fact]
    public async Task An_emergency_bar_ends_by_two_persons_with_the_approval_of_what_was_there_to_look_at()
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "emergency-bar-end", "12345678901", "The number was abused by another organisation, case 7.");
        var ends = () => _gateway.Services.GetRequiredService<KantaGateway.Gateway.Identification.Operators.Approvals>().Current.EmergencyBarEnds;
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Empty(ends());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Equal(act.GetProperty("proposed_at").GetDateTimeOffset(), Assert.Single(ends(), end => end.Key == "12345678901").Value);
        // Nothing waits for being carried out.
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));
        Assert.DoesNotContain(act.GetProperty("id").GetString()!, await tero.GetStringAsync(new Uri(_address, "/operator/acts")), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "emergency-bar-end", "123 456", "Whose?")).Status);
    }

    [Fact]
    public async Task A_key_ceremony_is_held_by_the_key_service_when_two_persons_want_it_and_not_before()
    {
        using var aatu = await SignedInAsync(KeyKeeper);
        using var aino = await SignedInAsync(OtherKeyKeeper);
        var act = await ProposedAsync(aatu, "key-ceremony", "wrapping-key/2", "begin");
        // Nobody holds it alone, nor before the other has approved.
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(aatu, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal(1, await WrappedWithAsync());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, act, "approve"));
        Assert.Equal(1, await WrappedWithAsync());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal((2, 1), (await WrappedWithAsync(), _rotationsBegun));
        // Once more holds nothing new; a version that is not the next one cannot be held.
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal(2, await WrappedWithAsync());
        var far = await ProposedAsync(aino, "key-ceremony", "wrapping-key/9", "begin");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, far, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(aino, far, "carry-out"));
        // The key service keeps by whose approval, and names nobody.
        var kept = await File.ReadAllTextAsync(Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json"));
        Assert.Contains(act.GetProperty("id").GetString()!, kept, StringComparison.Ordinal);
        Assert.DoesNotContain("Avaintenhoitaja", kept, StringComparison.Ordinal);
        Assert.DoesNotContain("0000000000a3", kept, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_wrapping_key_is_destroyed_by_two_persons_when_no_data_key_is_left_under_it()
    {
        using var aatu = await SignedInAsync(KeyKeeper);
        using var aino = await SignedInAsync(OtherKeyKeeper);
        var begin = await ProposedAsync(aatu, "key-ceremony", "wrapping-key/2", "begin");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, begin, "approve"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, begin, "carry-out"));
        await _keys.SettledAsync();
        _keys.Time.Advance(TimeSpan.FromMinutes(10));
        var destroy = await ProposedAsync(aino, "key-ceremony", "wrapping-key/1", "destroy");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, destroy, "approve"));
        _keysLeft = 3;
        using (var progress = await aatu.GetAsync(new Uri(_address, "/operator/keys")))
        {
            var said = await progress.Content.ReadFromJsonAsync<JsonElement>();
            Assert.Equal((3, 70), (said.GetProperty("left").GetInt32(), said.GetProperty("percent").GetDouble()));
        }
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(aatu, destroy, "carry-out"));
        Assert.Equal([1u, 2u], ServingOf());
        _keysLeft = 0;
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, destroy, "carry-out"));
        Assert.Equal([2u], ServingOf());
        using var olga = await SignedInAsync(Olga);
        using var refused = await olga.GetAsync(new Uri(_address, "/operator/keys"));
        Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
    }

    [Fact]
    public async Task A_pseudonym_key_is_replaced_by_two_persons_and_whoever_is_asked_for_has_the_id_that_they_had()
    {
        using var aatu = await SignedInAsync(KeyKeeper);
        using var aino = await SignedInAsync(OtherKeyKeeper);
        var asking = _gateway.Services.GetRequiredService<KeyServiceClient>();
        var ids = await IdsAsync();
        await CarriedOutAsync("pseudonym-key/2", "begin", HttpStatusCode.NoContent);
        Assert.Equal(0, _rotationsBegun);
        JsonElement people;
        do
        {
            Assert.Equal(ids, await IdsAsync());
            people = (await aatu.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/keys"))).GetProperty("people");
            Assert.Equal((2, 120 + _keys.Registers), (people.GetProperty("version").GetInt32(), people.GetProperty("all").GetInt32()));
        }
        while (people.GetProperty("left").GetInt32() > 0);
        Assert.Equal((100, 0), (people.GetProperty("percent").GetDouble(), people.GetProperty("secondsLeft").GetDouble()));
        // What data keys are left says nothing about this.
        _keysLeft = 3;
        await CarriedOutAsync("pseudonym-key/1", "destroy", HttpStatusCode.NoContent);
        Assert.Equal([2u], KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true).PseudonymKeys!.Select(static key => key.Version));
        Assert.Equal([1u], ServingOf());
        Assert.Equal(ids, await IdsAsync());
        await CarriedOutAsync("pseudonym-key/2", "destroy", HttpStatusCode.Conflict);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(aatu, "key-ceremony", "pseudonym-key/1", "begin")).Status);

        async Task<string[]> IdsAsync() => [.. (await Task.WhenAll(Enumerable.Range(0, 120).Select(i => asking.OfAsync(FictionalIdentityCode.Of("rotated", i), default).AsTask()))).Select(_ids.PatientId)];

        async Task CarriedOutAsync(string subject, string content, HttpStatusCode status)
        {
            var act = await ProposedAsync(aatu, "key-ceremony", subject, content);
            Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, act, "approve"));
            Assert.Equal(status, await DecideAsync(aatu, act, "carry-out"));
        }
    }

    [Fact]
    public async Task An_older_store_is_accepted_by_two_persons_and_what_was_known_before_it_stays()
    {
        using var aatu = await SignedInAsync(KeyKeeper);
        using var aino = await SignedInAsync(OtherKeyKeeper);
        var matti = _keys.People[1];
        await TellAsync(matti);
        _keys.Time.Advance(TimeSpan.FromMinutes(2));
        await TellAsync(Maija);
        var backup = (_keys.Time.GetUtcNow() - TimeSpan.FromMinutes(1)).UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
        var act = await ProposedAsync(aatu, "store-restore", "store", backup);
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(aatu, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, act, "approve"));
        Assert.Equal([true, true], await AreKnownAsync());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal([false, true], await AreKnownAsync());
        // Once: what is told from now on is of the store that was accepted.
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(aino, act, "carry-out"));
        await _keys.StopAsync();
        await _keys.StartAsync();
        Assert.Equal([false, true], await AreKnownAsync());
        Assert.Contains(CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue),
            record => record is { Operation: KeyOperation.Restore, Status: 200 } && record.Grant == KeyCustody.GrantDigestOf(act.GetProperty("id").GetString()!));
        var tomorrow = (_keys.Time.GetUtcNow() + TimeSpan.FromDays(1)).UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
        foreach (var (subject, content) in new[] { ("store", "yesterday"), ("store", backup + "Z"), ("store", tomorrow), ("all", backup), ("Patient/" + Guid.NewGuid(), backup) })
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(aatu, "store-restore", subject, content)).Status);
        using var tiina = await SignedInAsync(Tiina);
        Assert.Equal(HttpStatusCode.Forbidden, (await ProposeAsync(tiina, "store-restore", "store", backup)).Status);

        // Of one record alone, and of what all share.
        var before = _keys.Time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
        await TellAsync(Maija);
        await CarriedOutAsync("directory");
        Assert.Equal([true, true], await AreKnownAsync());
        await CarriedOutAsync(Subject);
        Assert.Equal([false, true], await AreKnownAsync());

        async Task CarriedOutAsync(string subject)
        {
            var one = await ProposedAsync(aatu, "store-restore", subject, before);
            Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, one, "approve"));
            Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, one, "carry-out"));
        }

        async Task TellAsync(Pseudonym person)
        {
            var made = await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, person), new { });
            using var told = await _keys.PostAsync("/v1/heads", null, new { heads = new[] { new { compartment = person.Encode(), sequence = 1, digest = new byte[16], witness = made.Witness } } });
            Assert.Equal(HttpStatusCode.NoContent, told.StatusCode);
        }

        async Task<IEnumerable<bool>> AreKnownAsync() =>
            (await _keys.PostAsync<object, KnownAnswer>("/v1/heads/known", null, new { compartments = new[] { Maija.Encode(), matti.Encode() } })).Heads.Select(known => known is not null);
    }

    [Fact]
    public async Task A_ceremony_whose_key_service_was_silent_is_carried_out_again_by_the_same_approval()
    {
        using var aatu = await SignedInAsync(KeyKeeper);
        using var aino = await SignedInAsync(OtherKeyKeeper);
        var act = await ProposedAsync(aatu, "key-ceremony", "wrapping-key/2", "begin");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aino, act, "approve"));
        await _keys.StopAsync();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await DecideAsync(aatu, act, "carry-out"));
        await _keys.StartAsync();
        Assert.Equal(1, await WrappedWithAsync());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(aatu, act, "carry-out"));
        Assert.Equal(2, await WrappedWithAsync());
    }

    [Fact]
    public async Task A_data_key_is_rotated_when_two_persons_want_it_and_what_came_of_it_is_in_the_log()
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        using var aatu = await SignedInAsync(KeyKeeper);
        var act = await ProposedAsync(tiina, "data-key-rotation", Subject, "The memory of a repository has leaked, case 7.");
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(aatu, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        Assert.Empty(_rotations);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        // What stopped on its way goes on by the same approval.
        _rotationAnswer = 503;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await DecideAsync(tiina, act, "carry-out"));
        _rotationAnswer = 200;
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "carry-out"));
        // By a word that both services can check for themselves.
        foreach (var word in _rotations)
        {
            var read = await new GrantVerifier([_keys.GatewayKey], _keys.Time).VerifyDataKeyRotationAsync(word);
            Assert.Equal((act.GetProperty("id").GetString(), Maija), (read!.Act, read.Compartment));
        }
        Assert.Equal(2, _rotations.Count);
        Assert.Contains(world.Acts.All, said => said.Act.Contains("41 rows", StringComparison.Ordinal) && said.Act.Contains(new string('a', 32), StringComparison.Ordinal) && said.Act.Contains(new string('b', 32), StringComparison.Ordinal));
        // Who asked for it follows it too.
        using (var progress = await tiina.GetAsync(new Uri(_address, "/operator/keys")))
            Assert.Equal(HttpStatusCode.OK, progress.StatusCode);
        _rotationAnswer = 404;
        var none = await ProposedAsync(tero, "data-key-rotation", Subject, "The memory of a repository has leaked, case 8.");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, none, "approve"));
        Assert.Equal(HttpStatusCode.NotFound, await DecideAsync(tiina, none, "carry-out"));
        foreach (var subject in new[] { "directory", "store", "Patient/" + Guid.NewGuid() })
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "data-key-rotation", subject, "It has leaked.")).Status);
    }

    [Fact]
    public async Task A_record_is_destroyed_when_two_persons_want_it_and_not_before()
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Equal(1, await WrappedWithAsync());
        Assert.Empty(_erasures);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(HttpStatusCode.Gone, await AskForAsync(Maija));
        // By a word that the repository can check for itself.
        var word = await new GrantVerifier([_keys.GatewayKey], _keys.Time).VerifyErasureAsync(Assert.Single(_erasures));
        Assert.Equal((act.GetProperty("id").GetString(), Maija), (word!.Act, word.Compartment));
        Assert.Equal(HttpStatusCode.OK, await AskForAsync(_keys.People[1]));
    }

    [Fact]
    public async Task Whose_record_an_act_is_about_may_be_said_by_the_identity_code_which_is_not_kept_with_it()
    {
        using var tiina = await SignedInAsync(Tiina);
        var known = await world.Pseudonyms.OfAsync(PersonalIdentityCode.TryParse(Code, out var code) ? code : default, default);
        foreach (var kind in new[] { "erasure", "data-key-rotation" })
        {
            using var answer = await tiina.PostAsJsonAsync(new Uri(_address, "/operator/acts"), new { kind, identity_code = Code, content = "Died twelve years ago (§24)." });
            var said = await answer.Content.ReadAsStringAsync();
            Assert.True(answer.StatusCode == HttpStatusCode.Created, said);
            Assert.Equal("Patient/" + _ids.PatientId(known), JsonDocument.Parse(said).RootElement.GetProperty("subject").GetString());
            Assert.DoesNotContain(Code, said, StringComparison.Ordinal);
        }
        Assert.DoesNotContain(Code, await tiina.GetStringAsync(new Uri(_address, "/operator/acts")), StringComparison.Ordinal);
        // Who is not here is told as who is kept still.
        _policy = Nobody;
        using var refused = await tiina.PostAsJsonAsync(new Uri(_address, "/operator/acts"), new { kind = "erasure", identity_code = Code, content = "Died twelve years ago (§24)." });
        Assert.Equal(HttpStatusCode.Conflict, refused.StatusCode);
    }

    [Fact]
    public async Task Nobody_is_given_a_number_by_an_act_nor_looked_for_by_who_may_not_propose_it()
    {
        var (asked, looked) = (world.Pseudonyms.Asked, world.Pseudonyms.Looked);
        var act = new { kind = "erasure", identity_code = FictionalIdentityCode.Of("nobody asked for").Reveal(), content = "Died twelve years ago (§24)." };
        using var aatu = await SignedInAsync(KeyKeeper);
        using (var answer = await aatu.PostAsJsonAsync(new Uri(_address, "/operator/acts"), act))
            Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        Assert.Equal((asked, looked), (world.Pseudonyms.Asked, world.Pseudonyms.Looked));
        using var tiina = await SignedInAsync(Tiina);
        using (var answer = await tiina.PostAsJsonAsync(new Uri(_address, "/operator/acts"), act))
            Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
        Assert.Equal((asked, looked + 1), (world.Pseudonyms.Asked, world.Pseudonyms.Looked));
    }

    private const string Code = "010190-900P";

    public static TheoryData<string> StillKept => [
        Nobody,
        // Alive, or dead for less than twelve years, or nobody says when.
        LongDead.Replace(",\"deceased\":\"2009-02-01\"", "", StringComparison.Ordinal),
        LongDead.Replace("2009-02-01", DateTimeOffset.UtcNow.AddYears(-12).AddDays(2).ToString("yyyy-MM-dd", System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal),
        LongDead.Replace("2009-02-01", "unknown", StringComparison.Ordinal),
        // In treatment: a visit, one that nobody has ended, a booking for next week.
        LongDead.Replace("\"serviceEvents\":[]", $$"""
            "serviceEvents":[{"kind":"Encounter","oid":"1.2.246.10.1.14.1","controller":"1.2.246.10.1","register":"2","services":0,"stored":"{{DateTimeOffset.UtcNow.AddDays(-1):O}}","status":"in-progress"}]
            """, StringComparison.Ordinal),
        LongDead.Replace("\"serviceEvents\":[]", $$"""
            "serviceEvents":[{"kind":"Encounter","oid":"1.2.246.10.1.14.1","controller":"1.2.246.10.1","register":"2","services":0,"stored":"{{DateTimeOffset.UtcNow.AddDays(-400):O}}","status":"in-progress"}]
            """, StringComparison.Ordinal),
        LongDead.Replace("\"serviceEvents\":[]", $$"""
            "serviceEvents":[{"kind":"Appointment","controller":"1.2.246.10.1","register":"2","services":0,"stored":"{{DateTimeOffset.UtcNow.AddDays(-1):O}}","status":"booked","start":"{{DateTimeOffset.UtcNow.AddDays(7):O}}"}]
            """, StringComparison.Ordinal),
    ];

    [Theory]
    [MemberData(nameof(StillKept))]
    public async Task A_record_that_is_kept_still_is_neither_proposed_nor_approved_nor_destroyed(string policy)
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        _policy = policy;
        var (status, problem) = await ProposeAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        Assert.Equal((HttpStatusCode.Conflict, "StillKept"), (status, problem.GetProperty("title").GetString()));
        Assert.Contains(world.Acts.All, static act => act.Refused == "StillKept");
        _policy = LongDead;
        var act = await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        _policy = policy;
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "approve"));
        _policy = LongDead;
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        _policy = policy;
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(HttpStatusCode.OK, await AskForAsync(Maija));
        Assert.Empty(_erasures);
        _policy = LongDead;
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "carry-out"));
    }

    [Fact]
    public async Task A_visit_that_was_forgotten_before_the_person_died_keeps_no_record()
    {
        using var tiina = await SignedInAsync(Tiina);
        _policy = LongDead.Replace("\"serviceEvents\":[]", """
            "serviceEvents":[{"kind":"Encounter","oid":"1.2.246.10.1.14.1","controller":"1.2.246.10.1","register":"2","services":0,"stored":"2008-01-01T10:00:00.000Z","status":"in-progress"}]
            """, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24)."), "reject"));
    }

    [Fact]
    public async Task Both_see_from_when_the_record_is_and_who_keeps_it_and_no_more()
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        var listed = (await tero.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/acts"))).GetProperty("acts").EnumerateArray().Single(one => one.GetProperty("id").GetString() == act.GetProperty("id").GetString());
        foreach (var seen in new[] { act, listed })
            Assert.Equal("""{"born":1931,"died":2009,"controllers":["1.2.246.10.1","1.2.246.10.2"],"last_stored":"2009-02-03","kept_until":"2021-02-01","is_treated":false,"is_over":true}""", seen.GetProperty("about").GetRawText());
        foreach (var who in new[] { "Tiina", "Tero" })
            Assert.Contains(world.Acts.All, told => told.Who.Contains(who, StringComparison.Ordinal) && told.Act.Contains("Was told", StringComparison.Ordinal) && told.Act.Contains(Subject, StringComparison.Ordinal));
        // Who cannot record it is told nothing.
        world.Acts.IsAway = true;
        using (var unrecorded = await tero.GetAsync(new Uri(_address, "/operator/acts")))
            Assert.Equal(HttpStatusCode.ServiceUnavailable, unrecorded.StatusCode);
        world.Acts.IsAway = false;
        // A repository that is silent keeps nobody from stopping it.
        _policy = "";
        Assert.False((await tero.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/acts"))).GetProperty("acts").EnumerateArray().Single(one => one.GetProperty("id").GetString() == act.GetProperty("id").GetString()).TryGetProperty("about", out _));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await DecideAsync(tero, act, "approve"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "reject"));
    }

    [Fact]
    public async Task An_erasure_that_is_approved_waits_and_one_person_is_enough_to_stop_it()
    {
        await _gateway.DisposeAsync();
        await StartGatewayAsync(erasureWaitDays: 7);
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        var waiting = (await tero.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/acts"))).GetProperty("acts").EnumerateArray().Single(one => one.GetProperty("id").GetString() == act.GetProperty("id").GetString());
        Assert.Equal("approved", waiting.GetProperty("status").GetString());
        Assert.InRange(waiting.GetProperty("not_before").GetDateTimeOffset() - world.Clock.GetUtcNow(), TimeSpan.FromDays(6.9), TimeSpan.FromDays(7));
        Assert.Equal(TimeSpan.FromDays(7), waiting.GetProperty("until").GetDateTimeOffset() - waiting.GetProperty("not_before").GetDateTimeOffset());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "reject"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));
        Assert.DoesNotContain(act.GetProperty("id").GetString()!, await tero.GetStringAsync(new Uri(_address, "/operator/acts")), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, await AskForAsync(Maija));
        Assert.Empty(_erasures);
    }

    [Fact]
    public async Task An_erasure_that_stopped_on_its_way_is_carried_out_again_by_the_same_approval()
    {
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "erasure", Subject, "Died twelve years ago (§24).");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        await _keys.StopAsync();
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await DecideAsync(tiina, act, "carry-out"));
        Assert.Empty(_erasures);
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.OK, await AskForAsync(Maija));
        // Meanwhile a register says that she lives.
        _policy = LongDead.Replace(",\"deceased\":\"2009-02-01\"", "", StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));
        Assert.Equal(HttpStatusCode.OK, await AskForAsync(Maija));
        _policy = LongDead;
        _erasureAnswer = 503;
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await DecideAsync(tero, act, "carry-out"));
        Assert.Equal(HttpStatusCode.Gone, await AskForAsync(Maija));
        // Asked about somebody whose key is destroyed, the repository has removed what it had.
        _policy = Nobody;
        _erasureAnswer = 204;
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(2, _erasures.Count);
    }

    [Fact]
    public async Task The_audit_log_is_pruned_by_two_persons_as_far_as_its_twelve_years_are_over()
    {
        await WithOldEntriesAsync();
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var prunable = await _log.PrunableAsync(DateTimeOffset.UtcNow);
        Assert.InRange(prunable, 1, OldEntries);
        var less = (await ProposedAsync(tiina, "audit-pruning", $"audit-log/{prunable - 1}", "Their twelve years are over.")).GetProperty("subject").GetString()!;
        Assert.InRange(long.Parse(less.Split('/')[2], System.Globalization.CultureInfo.InvariantCulture), 1, prunable - 1);
        var act = await ProposedAsync(tiina, "audit-pruning", "audit-log", "Their twelve years are over.");
        Assert.Equal($"audit-log/{_log.Verifier.KeyId:x8}/{prunable}", act.GetProperty("subject").GetString());
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(tiina, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tiina, act, "carry-out"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Null(await _log.ReadPruningAsync());
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, act, "carry-out"));
        var pruning = (await _log.ReadPruningAsync())!;
        Assert.Equal((prunable, "Their twelve years are over."), (pruning.Before, pruning.Reason));
        Assert.Equal(OldEntries - prunable, LogPlace.Entries(_log).Count);
        // What was done is recorded with what the log signed of it; and it is done once.
        Assert.Contains(world.Acts.All, one => one.Act.StartsWith($"Takes away what the first {prunable} entries of the audit log are about", StringComparison.Ordinal)
            && one.Digest is { } digest && digest.AsSpan().SequenceEqual(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(pruning.Note))));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "carry-out"));
        Assert.Equal(pruning.Note, (await _log.ReadPruningAsync())!.Note);
        // There is no more of it, and nothing else is a pruning.
        foreach (var none in (string[])["audit-log", $"audit-log/{prunable}", $"audit-log/{prunable + 1}", $"audit-log/{OldEntries + 1}"])
            Assert.Equal((none, HttpStatusCode.Conflict), (none, (await ProposeAsync(tiina, "audit-pruning", none, "Over.")).Status));
        foreach (var none in (string[])["audit", "audit-log/", "audit-log/-1", "audit-log/0", "audit-log/00000000/256", "audit-log/all"])
            Assert.Equal((none, HttpStatusCode.UnprocessableEntity), (none, (await ProposeAsync(tiina, "audit-pruning", none, "Over.")).Status));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await ProposeAsync(tiina, "audit-pruning", "audit-log", "Two\nlines.")).Status);
    }

    [Fact]
    public async Task A_pruning_that_is_approved_waits_and_what_an_open_case_needs_is_not_pruned()
    {
        await WithOldEntriesAsync(erasureWaitDays: 7);
        using var tiina = await SignedInAsync(Tiina);
        using var tero = await SignedInAsync(Tero);
        var act = await ProposedAsync(tiina, "audit-pruning", "audit-log", "Over.");
        var rejected = await ProposedAsync(tero, "audit-pruning", "audit-log", "Over, too.");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(tero, act, "carry-out"));
        // A person disputes an access that would go.
        await Cases.OpenAsync(BreachKind.DisputedAccess, "A person disputes an access: dispute 0b0a55d2-799a-45f5-a161-6a4a5faad1f8, entry 3 of the audit log, by 1.2.246.10.1. It is answered by 2027-01-01 at the latest; until then they are shown nothing of the record.");
        foreach (var refused in (Func<Task<HttpStatusCode>>[])[() => DecideAsync(tiina, act, "carry-out"), () => DecideAsync(tiina, rejected, "approve"), async () => (await ProposeAsync(tiina, "audit-pruning", "audit-log", "Over.")).Status])
            Assert.Equal(HttpStatusCode.Conflict, await refused());
        await Cases.EndAsync(1, "Answered.", "digest");
        // Of another one that is none of those, and of the scope of a breach that reaches back so far.
        await Cases.OpenAsync(BreachKind.DisputedAccess, $"A person disputes an access: dispute 0b0a55d2-799a-45f5-a161-6a4a5faad1f8, entry {OldEntries} of the audit log, by 1.2.246.10.1.");
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tiina, await ProposedAsync(tero, "audit-pruning", "audit-log", "Over."), "approve"));
        var scope = await ProposedAsync(tiina, "breach-scope", "2", """{"from":"2010-01-01T00:00:00Z","to":"2010-06-01T00:00:00Z","client":"aurora"}""");
        Assert.Equal(HttpStatusCode.Conflict, (await ProposeAsync(tiina, "audit-pruning", "audit-log", "Over.")).Status);
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(tero, scope, "reject"));
        await ProposedAsync(tiina, "audit-pruning", "audit-log", "Over.");
        Assert.Null(await _log.ReadPruningAsync());
    }

    [Fact]
    public async Task A_log_that_is_not_what_it_has_signed_is_pruned_by_nobody()
    {
        await WithOldEntriesAsync();
        using var tiina = await SignedInAsync(Tiina);
        var rows = await File.ReadAllBytesAsync(_audit.File("rows/000000000000"));
        rows[200] ^= 1;
        await File.WriteAllBytesAsync(_audit.File("rows/000000000000"), rows);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, (await ProposeAsync(tiina, "audit-pruning", "audit-log", "Over.")).Status);
    }

    private const int OldEntries = 100;

    /// <summary>A log of 2010, in short files.</summary>
    private async Task WithOldEntriesAsync(int erasureWaitDays = 0)
    {
        await _gateway.DisposeAsync();
        await _log.DisposeAsync();
        Directory.Delete(_audit.Store, recursive: true);
        await using (var old = AuditLog.Open(_audit.Options(null, LogFolder.ShortSegment), new Microsoft.Extensions.Time.Testing.FakeTimeProvider(new(2010, 3, 1, 0, 0, 0, TimeSpan.Zero))))
            for (var i = 0; i < OldEntries; i += 10)
                await old.AppendAsync([.. Enumerable.Range(i, 10).Select(static n => LogPlace.Entry(n))]);
        _log = AuditLog.Open(_audit.Options(null, LogFolder.ShortSegment), TimeProvider.System);
        await StartGatewayAsync(erasureWaitDays);
    }

    [Theory]
    [InlineData("audit-pruning")]
    [InlineData("erasure")]
    [InlineData("bulk-export")]
    [InlineData("breach-case-end")]
    [InlineData("emergency-bar-end")]
    [InlineData("key-ceremony")]
    [InlineData("store-restore")]
    [InlineData("data-key-rotation")]
    public async Task Each_act_is_for_those_with_its_role(string kind)
    {
        if (kind == "audit-pruning")
            await WithOldEntriesAsync();
        await Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var olga = await SignedInAsync(Olga);
        var (subject, content) = kind switch
        {
            "key-ceremony" => ("wrapping-key/2", "begin"),
            "store-restore" => ("store", "2025-01-31T04:00:00Z"),
            "erasure" => (Subject, "Died twelve years ago."),
            "audit-pruning" => ("audit-log", "Their twelve years are over."),
            "data-key-rotation" => (Subject, "It has leaked."),
            _ => ("1", "Something."),
        };
        Assert.Equal(HttpStatusCode.Forbidden, (await ProposeAsync(olga, kind, subject, content)).Status);
        using var its = await SignedInAsync(kind is "key-ceremony" or "store-restore" ? KeyKeeper : Tiina);
        var act = await ProposedAsync(its, kind, subject, content);
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(olga, act, "approve"));
        Assert.Equal(0, (await olga.GetFromJsonAsync<JsonElement>(new Uri(_address, "/operator/acts"))).GetProperty("acts").EnumerateArray().Count(one => one.GetProperty("id").GetString() == act.GetProperty("id").GetString()));
        Assert.Equal(HttpStatusCode.Forbidden, await DecideAsync(its, act, "approve"));
        Assert.Equal(HttpStatusCode.Conflict, await DecideAsync(its, act, "carry-out"));
        Assert.Equal(HttpStatusCode.NoContent, await DecideAsync(its, act, "reject"));
    }

    [Theory]
    [InlineData("""{"kind":"onboarding","subject":"1","content":"x"}""")]
    [InlineData("""{"kind":"bulk-export","subject":"","content":"x"}""")]
    [InlineData("""{"kind":"bulk-export","subject":"1"}""")]
    [InlineData("""{"kind":"bulk-export","subject":"1","content":"All of 010190-900P."}""")]
    [InlineData("""{"kind":"breach-case-end","subject":"99","content":"x"}""")]
    [InlineData("""{"kind":"breach-case-end","subject":"one","content":"x"}""")]
    [InlineData("""{"kind":"key-ceremony","subject":"wrapping-key/1","content":"begin"}""")]
    [InlineData("""{"kind":"key-ceremony","subject":"wrapping-key/2","content":"Begin it."}""")]
    [InlineData("""{"kind":"key-ceremony","subject":"wrapping-key/two","content":"begin"}""")]
    [InlineData("""{"kind":"erasure","subject":"1","content":"x"}""")]
    [InlineData("""{"kind":"erasure","subject":"Patient/0b0a55d2-799a-45f5-a161-6a4a5faad1f8","content":"x"}""")]
    [InlineData("""{"kind":"erasure","identity_code":"010190-900X","content":"x"}""")]
    [InlineData("""{"kind":"erasure","identity_code":"010190-900P","subject":"directory","content":"x"}""")]
    [InlineData("""{"kind":"key-ceremony","identity_code":"010190-900P","content":"begin"}""")]
    [InlineData("[]")]
    public async Task What_is_no_act_is_refused(string body)
    {
        using var tiina = await SignedInAsync(Tiina);
        using var answer = await tiina.PostAsync(new Uri(_address, "/operator/acts"), new StringContent(body, System.Text.Encoding.UTF8, "application/json"));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, answer.StatusCode);
        Assert.Equal("application/problem+json", answer.Content.Headers.ContentType?.MediaType);
    }

    private string Subject => "Patient/" + _ids.PatientId(Maija);

    /// <summary>Version of the wrapping key that a new data key is wrapped with.</summary>
    private async Task<int> WrappedWithAsync() =>
        (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Maija), new { })).Wrapped[4];

    private async Task<HttpStatusCode> AskForAsync(Pseudonym person)
    {
        using var answer = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, person), new { });
        return answer.StatusCode;
    }

    private IEnumerable<uint> ServingOf() => KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true).WrappingKeys!.Select(key => key.Version);

    private BreachCases Cases => _gateway.Services.GetRequiredService<BreachCases>();

    private async Task<HttpClient> SignedInAsync(int who)
    {
        var cookies = new CookieContainer();
        Assert.Equal("/operator", (await world.SignInOperatorAsync(cookies, who, gateway: _address)).PathAndQuery);
        return world.Connect(cookies: cookies);
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> ProposeAsync(HttpClient http, string kind, string subject, string content)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(_address, "/operator/acts"), new { kind, subject, content });
        return (answer.StatusCode, await answer.Content.ReadFromJsonAsync<JsonElement>());
    }

    private async Task<JsonElement> ProposedAsync(HttpClient http, string kind, string subject, string content)
    {
        var (status, body) = await ProposeAsync(http, kind, subject, content);
        Assert.True(status == HttpStatusCode.Created, body.ToString());
        return body;
    }

    private async Task<HttpStatusCode> DecideAsync(HttpClient http, JsonElement act, string how)
    {
        using var answer = await http.PostAsJsonAsync(new Uri(_address, $"/operator/acts/{act.GetProperty("id")}/{how}"), new { digest = act.GetProperty("digest").GetString() });
        return answer.StatusCode;
    }
}
