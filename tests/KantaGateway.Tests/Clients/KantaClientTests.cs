using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Audit;
using KantaGateway.Client;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.Tokens;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Tests.Clients;

/// <summary>What the vendors' client does with what comes, without any gateway: answers are scripted where the connections would be.</summary>
public sealed class KantaClientTests : IDisposable
{
    private const string Refused = """{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","diagnostics":"Say the status.","expression":["Observation.status"]}]}""";

    private readonly FakeTimeProvider _time = new(new(2026, 11, 30, 12, 0, 0, TimeSpan.Zero));
    private readonly Script _script = new();
    private readonly KantaClientOptions _options;
    private readonly KantaClient _kanta;

    public KantaClientTests() => _kanta = KantaClient.Open(_options = new()
    {
        Registration = new("aurora", "1.2.246.10.99000011", "private", new("https://gateway.example/connect/token"), new("https://gateway.example/fhir"), ["system/*.cruds", "user/*.rs"], "k1", "ES384"),
        SigningKey = Key(),
        Repeats = new() { FirstWait = TimeSpan.Zero },
        Between = _ => _script,
        Time = _time,
    });

    public void Dispose() => _kanta.Dispose();

    public static TheoryData<string, string, string?, bool> Requests => new()
    {
        { "GET", "fhir/Observation/1", null, true },
        { "POST", "fhir/Observation/_search", null, true },
        { "PUT", "fhir/Observation/1", null, true },
        { "DELETE", "fhir/Observation/1", null, true },
        { "POST", "fhir/Observation", null, false },
        { "POST", "fhir/Observation", "If-None-Exist", true },
        { "PATCH", "fhir/Observation/1", null, false },
        { "PATCH", "fhir/Observation/1", "If-Match", true },
        { "POST", "fhir/$hl7v2", null, false },
        { "POST", "fhir/Patient/1/$everything", null, false },
    };

    [Theory, MemberData(nameof(Requests))]
    public async Task Only_what_does_nothing_twice_is_sent_again_when_the_answer_was_lost(string method, string path, string? header, bool again)
    {
        using var request = new HttpRequestMessage(new(method), new Uri("https://gateway.example/" + path));
        if (header is not null)
            request.Headers.TryAddWithoutValidation(header, "W/\"1\"");
        Assert.Equal(again, await Repeatable.IsAsync(request));
    }

    [Theory]
    [InlineData("""{"entry":[{"request":{"method":"POST","url":"Observation","ifNoneExist":"identifier=1"}},{"request":{"method":"PUT","url":"Observation/1"}}]}""", true)]
    [InlineData("""{"entry":[{"request":{"method":"PUT","url":"Observation/1"}},{"request":{"method":"POST","url":"Observation"}}]}""", false)]
    [InlineData("""{"entry":[{"request":{"method":"PATCH","url":"Observation/1"}}]}""", false)]
    [InlineData("""{"entry":[{}]}""", false)]
    [InlineData("""{"entry":"x"}""", false)]
    [InlineData("<Bundle/>", false)]
    public void A_transaction_is_repeatable_when_each_of_its_entries_is(string bundle, bool again) => Assert.Equal(again, Repeatable.IsBundle(Encoding.UTF8.GetBytes(bundle)));

    [Fact]
    public async Task A_read_is_repeated_until_it_is_answered()
    {
        _script.Then(503).Then(new HttpRequestException("broken", null, null)).Then(504).Then(200, Stored);
        using var fhir = _kanta.System();
        Assert.Equal("1", (await fhir.ReadAsync<Observation>("Observation/1"))!.Id);
        Assert.Equal(4, _script.Requests.Count);
    }

    [Fact]
    public async Task Nothing_is_repeated_more_often_than_is_allowed()
    {
        for (var i = 0; i < 9; i++)
            _script.Then(503);
        using var fhir = _kanta.System();
        Assert.False((await Assert.ThrowsAsync<TryLaterException>(() => fhir.ReadAsync<Observation>("Observation/1"))).MayHaveHappened);
        Assert.Equal(1 + new RepeatOptions().Most, _script.Requests.Count);
    }

    [Fact]
    public async Task A_bare_creation_is_sent_once_and_the_exception_says_that_nobody_knows()
    {
        using var fhir = _kanta.System();
        _script.Then(503);
        Assert.True((await Assert.ThrowsAsync<TryLaterException>(() => fhir.CreateAsync(new Observation()))).MayHaveHappened);
        _script.Then(new HttpRequestException("broken", null, null));
        var unknown = await Assert.ThrowsAsync<OutcomeUnknownException>(() => fhir.CreateAsync(new Observation()));
        Assert.Equal(_script.Requests[^1].Headers["X-Request-Id"], unknown.RequestId);
        Assert.Equal(2, _script.Requests.Count);
    }

    [Fact]
    public async Task A_bare_creation_is_sent_again_where_it_cannot_have_happened()
    {
        using var fhir = _kanta.System();
        _script.Then(429, retryAfter: 0).Then(new HttpRequestException(HttpRequestError.ConnectionError)).Then(201, Stored);
        Assert.Equal("1", (await fhir.CreateAsync(new Observation()))!.Id);
        Assert.Equal(3, _script.Requests.Count);
    }

    [Fact]
    public async Task Who_is_told_to_wait_longer_than_allowed_learns_until_when()
    {
        using var fhir = _kanta.System();
        _script.Then(429, retryAfter: 3600);
        var later = await Assert.ThrowsAsync<TryLaterException>(() => fhir.ReadAsync<Observation>("Observation/1"));
        Assert.Equal((TimeSpan.FromHours(1), false), (later.RetryAfter, later.MayHaveHappened));
        Assert.Single(_script.Requests);
    }

    [Fact]
    public async Task A_conflict_after_a_lost_answer_may_be_ones_own()
    {
        using var fhir = _kanta.System();
        var resource = new Observation { Id = "1", Meta = new() { VersionId = "7" } };
        _script.Then(412);
        Assert.False((await Assert.ThrowsAsync<VersionConflictException>(() => fhir.UpdateAsync(resource, versionAware: true))).MayBeOwn);
        _script.Then(504).Then(412);
        Assert.True((await Assert.ThrowsAsync<VersionConflictException>(() => fhir.UpdateAsync(resource, versionAware: true))).MayBeOwn);
        _script.Then(429, retryAfter: 0).Then(412);
        Assert.False((await Assert.ThrowsAsync<VersionConflictException>(() => fhir.UpdateAsync(resource, versionAware: true))).MayBeOwn);
    }

    [Theory]
    [InlineData(400, typeof(InvalidRequestException))]
    [InlineData(403, typeof(NotPermittedException))]
    [InlineData(404, typeof(NotThereException))]
    [InlineData(409, typeof(VersionConflictException))]
    [InlineData(410, typeof(NotThereException))]
    [InlineData(422, typeof(InvalidRequestException))]
    [InlineData(428, typeof(VersionConflictException))]
    [InlineData(500, typeof(GatewayException))]
    public async Task A_refusal_has_a_type_a_place_a_reason_and_a_correlation_id(int status, Type type)
    {
        using var fhir = _kanta.System();
        _script.Then(status, Refused);
        var refusal = (GatewayException)await Assert.ThrowsAsync(type, () => fhir.CreateAsync(new Observation()));
        Assert.Equal(("required", "Say the status.", "Observation.status", "c-1"), (refusal.Issues[0].Code, refusal.Issues[0].Diagnostics, refusal.Issues[0].Expression, refusal.CorrelationId));
        Assert.Equal(OperationOutcome.IssueType.Required, refusal.Outcome!.Issue[0].Code);
        Assert.Equal(status, (int)refusal.Status);
    }

    [Fact]
    public async Task One_token_serves_many_and_is_renewed_shortly_before_it_ends()
    {
        using var fhir = _kanta.System();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => _kanta.System().Http.GetAsync("Observation/1")));
        Assert.Equal(1, _script.Tokens);
        _time.Advance(TimeSpan.FromSeconds(269));
        await fhir.Http.GetAsync("Observation/1");
        Assert.Equal(1, _script.Tokens);
        _time.Advance(TimeSpan.FromSeconds(2));
        await fhir.Http.GetAsync("Observation/1");
        Assert.Equal(2, _script.Tokens);
    }

    [Fact]
    public async Task A_token_that_is_no_longer_taken_is_replaced_once()
    {
        using var fhir = _kanta.System();
        _script.Then(401).Then(201, Stored);
        await fhir.CreateAsync(new Observation());
        Assert.Equal(2, _script.Tokens);
        Assert.NotEqual(_script.Requests[0].Headers["Authorization"], _script.Requests[1].Headers["Authorization"]);
        _script.Then(401, Refused).Then(401, Refused);
        await Assert.ThrowsAsync<NotIdentifiedException>(() => fhir.CreateAsync(new Observation()));
        Assert.Equal(4, _script.Requests.Count);
    }

    [Fact]
    public async Task The_token_endpoint_is_asked_again_with_another_assertion()
    {
        using var fhir = _kanta.System();
        _script.TokenStatus.Enqueue(503);
        await fhir.Http.GetAsync("Observation/1");
        Assert.Equal(2, _script.Assertions.Distinct().Count());
        _script.TokenStatus.Enqueue(400);
        using var professional = _kanta.Professional(_ => Task.FromResult(new SubjectToken("subject", "urn:ietf:params:oauth:token-type:jwt")), "ETREAT");
        Assert.Equal(400, (await Assert.ThrowsAsync<TokenRefusedException>(() => professional.Http.GetAsync("Observation/1"))).Status);
    }

    [Fact]
    public async Task A_professional_has_a_token_of_their_own_and_names_the_service_event()
    {
        static Task<SubjectToken> Subject(CancellationToken _) => Task.FromResult(new SubjectToken("subject", "urn:ietf:params:oauth:token-type:jwt"));
        using var system = _kanta.System();
        using var professional = _kanta.Professional(Subject, serviceEvent: "1.2.246.10.99000011.14.1");
        using var colleague = _kanta.Professional(Subject, "ETREAT");
        await system.Http.GetAsync("Observation/1");
        await professional.Http.GetAsync("Observation/1");
        await colleague.Http.GetAsync("Observation/1");
        Assert.Equal(3, _script.Requests.Select(static one => one.Headers["Authorization"]).Distinct().Count());
        Assert.Equal([("system/*.cruds", null), ("user/*.rs", "TREAT"), ("user/*.rs", "ETREAT")], _script.Forms.Select(static form => (form["scope"], form.GetValueOrDefault("purpose_of_use"))));
        Assert.False(_script.Requests[0].Headers.ContainsKey("X-Service-Event"));
        Assert.Equal("1.2.246.10.99000011.14.1", _script.Requests[1].Headers["X-Service-Event"]);
    }

    [Theory]
    [InlineData("Patient?identifier=urn:oid:1.2.246.21|010190-999W")]
    [InlineData("Patient?identifier=urn%3Aoid%3A1.2.246.21%7C010190%2D999W")]
    [InlineData("Patient/010190-999W")]
    public async Task No_identity_code_leaves_in_an_address(string address)
    {
        using var fhir = _kanta.System();
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => fhir.Http.GetAsync(address));
        Assert.DoesNotContain("999W", refusal.Message, StringComparison.Ordinal);
        Assert.Empty(_script.Requests);
    }

    [Fact]
    public async Task Receipts_are_kept_and_what_has_none_is_named()
    {
        using var fhir = _kanta.System();
        _script.Then(200, Stored, receipt: "7;entry=\"812cab5e8619523a9d8ee6d62b903381\"").Then(200, Stored).Then(404, Refused);
        await fhir.Http.GetAsync("Observation/1");
        await fhir.Http.GetAsync("Observation/2");
        await Assert.ThrowsAsync<NotThereException>(() => fhir.Http.GetAsync("Observation/3"));
        Assert.Equal([new ReceivedReceipt(7, "812cab5e8619523a9d8ee6d62b903381")], _kanta.Receipts.Receipts);
        Assert.Single(_kanta.Receipts.WithoutReceipt);
    }

    [Fact]
    public async Task Each_entry_of_a_batch_has_its_own_receipt_and_the_oldest_answers_go_first()
    {
        using var kanta = KantaClient.Open(_options with { KeptAnswers = 2 });
        using var fhir = kanta.System();
        const string Batch = """{"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"200","extension":[{"url":"urn:kantagateway:receipt","valueString":"8;entry=\"812cab5e8619523a9d8ee6d62b903381\""}]}},{"response":{"status":"201"}},{"response":{"status":"404"}}]}""";
        _script.Then(200, Stored).Then(200, Stored, receipt: "7;entry=\"00000000000000000000000000000000\"").Then(200, Batch);
        await fhir.Http.GetAsync("Observation/1");
        Assert.Single(kanta.Receipts.WithoutReceipt);
        await fhir.Http.GetAsync("Observation/1");
        using var batch = new StringContent("""{"resourceType":"Bundle","type":"batch","entry":[]}""", Encoding.UTF8, new MediaTypeHeaderValue("application/fhir+json"));
        await fhir.Http.PostAsync("", batch);
        Assert.Equal([7, 8], kanta.Receipts.Receipts.Select(static one => one.Index));
        // The first answer is no longer kept; of the batch one entry gave something without a receipt.
        Assert.Equal("entry 1 of a batch 201", Assert.Single(kanta.Receipts.WithoutReceipt).What);
    }

    [Fact]
    public void Only_the_logs_own_proof_of_that_very_entry_is_taken()
    {
        using var signer = new NoteSigner("log.example/kanta", RandomNumberGenerator.GetBytes(32));
        using var stranger = new NoteSigner("log.example/kanta", RandomNumberGenerator.GetBytes(32));
        var leaf = RandomNumberGenerator.GetBytes(64);
        byte[] hashed = SHA256.HashData([0, .. leaf]);
        string Proof(NoteSigner by) => new InclusionProof(0, leaf, [], SignedNote.Sign($"log.example/kanta\n1\n{Convert.ToBase64String(hashed)}\n", by)).ToString();
        var receipt = new ReceivedReceipt(0, Convert.ToHexStringLower(leaf.AsSpan(0, 16)));
        Assert.Null(ReceiptProof.ProblemOf(Proof(signer), receipt, signer.Verifier, null));
        Assert.NotNull(ReceiptProof.ProblemOf(Proof(stranger), receipt, signer.Verifier, null));
        Assert.NotNull(ReceiptProof.ProblemOf(Proof(signer), receipt with { Index = 1 }, signer.Verifier, null));
        Assert.NotNull(ReceiptProof.ProblemOf(Proof(signer), receipt with { Entry = new('0', 32) }, signer.Verifier, null));
        Assert.NotNull(ReceiptProof.ProblemOf("x", receipt, signer.Verifier, null));
    }

    private const string Stored = """{"resourceType":"Observation","id":"1","status":"final","code":{"text":"x"}}""";

    private static JsonWebKey Key()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP384);
        return JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(ECDsa.Create(key.ExportParameters(true))));
    }

    /// <summary>Answers in the order in which they were told, tokens aside; the last stands for all that follow.</summary>
    private sealed class Script : HttpMessageHandler
    {
        private readonly Queue<Func<HttpResponseMessage>> _answers = [];
        private readonly Lock _one = new();

        public List<(string What, Dictionary<string, string> Headers)> Requests { get; } = [];
        public List<Dictionary<string, string>> Forms { get; } = [];
        public IEnumerable<string> Assertions => Forms.Select(static form => form["client_assertion"]);
        public Queue<int> TokenStatus { get; } = [];
        public int Tokens { get; private set; }

        public Script Then(Exception e)
        {
            _answers.Enqueue(() => throw e);
            return this;
        }

        public Script Then(int status, string body = "", int? retryAfter = null, string? receipt = null)
        {
            _answers.Enqueue(() =>
            {
                var answer = new HttpResponseMessage((HttpStatusCode)status) { Content = new StringContent(body, Encoding.UTF8, new MediaTypeHeaderValue("application/fhir+json")) };
                answer.Headers.Add("X-Correlation-Id", "c-1");
                if (retryAfter is { } seconds)
                    answer.Headers.RetryAfter = new(TimeSpan.FromSeconds(seconds));
                if (receipt is not null)
                    answer.Headers.TryAddWithoutValidation("Kanta-Receipt", receipt);
                return answer;
            });
            return this;
        }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var form = request.RequestUri!.AbsolutePath == "/connect/token" ? await request.Content!.ReadAsStringAsync(cancellationToken) : null;
            // Who asks for a token waits for it, as over a connection, so that others come meanwhile.
            if (form is not null)
                await Task.Yield();
            lock (_one)
            {
                if (form is null)
                {
                    Requests.Add((request.Method.Method, request.Headers.ToDictionary(h => h.Key, h => string.Join(',', h.Value), StringComparer.OrdinalIgnoreCase)));
                    return _answers.TryDequeue(out var answer) ? answer() : new(HttpStatusCode.OK) { Content = new StringContent(Stored, Encoding.UTF8, new MediaTypeHeaderValue("application/fhir+json")) };
                }
                Forms.Add(form.Split('&').Select(static field => field.Split('=')).ToDictionary(static field => field[0], static field => Uri.UnescapeDataString(field[1].Replace('+', ' '))));
                if (TokenStatus.TryDequeue(out var status))
                    return new((HttpStatusCode)status) { Content = new StringContent("""{"error":"invalid_request"}""", Encoding.UTF8, "application/json") };
                return new(HttpStatusCode.OK) { Content = new StringContent($$"""{"access_token":"token-{{++Tokens}}","expires_in":300}""", Encoding.UTF8, "application/json") };
            }
        }
    }
}
