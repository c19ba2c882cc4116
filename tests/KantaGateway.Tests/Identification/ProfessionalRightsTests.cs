using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Simulators;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Identification;

/// <summary>A professional is let in while the role register knows a right to practise, and no more than a minute longer.</summary>
/// <remarks>In a world of its own, whose clock goes forward only: what was kept from later would be good for too long.</remarks>
public sealed class ProfessionalRightsTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>, IDisposable
{
    public void Dispose()
    {
        world.Register.Restore();
        world.Outside.FurtherClaims.Clear();
        // Nothing that one test has left is kept for the next.
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
    }

    [Fact]
    public async Task The_token_carries_person_profession_task_organisation_unit_and_purpose()
    {
        // What the clinic says of the profession is not what counts.
        world.Outside.FurtherClaims["profession"] = "hammaslaakari";
        world.Outside.FurtherClaims["unit"] = world.Aurora.Organisation + ".10.1";
        var (_, who, _) = await world.WhoAmIAsync(await TokenAsync(), world.Aurora.Certificate);
        Assert.Equal("90001", who.GetProperty("professionalId").GetString());
        Assert.Equal("laakari", who.GetProperty("profession").GetString());
        Assert.Equal("BroadCare", who.GetProperty("tasks").GetString());
        Assert.Equal(world.Aurora.Organisation, who.GetProperty("organisation").GetString());
        Assert.Equal(world.Aurora.Organisation + ".10.1", who.GetProperty("unit").GetString());
        Assert.Equal("TREAT", who.GetProperty("purposeOfUse").GetString());
    }

    [Fact]
    public async Task A_provider_may_state_a_narrower_task()
    {
        world.Outside.FurtherClaims["task_class"] = "administration";
        var (_, who, _) = await world.WhoAmIAsync(await TokenAsync(), world.Aurora.Certificate);
        Assert.Equal("Administration", who.GetProperty("tasks").GetString());
    }

    [Theory]
    [InlineData("task_class", "everything", "task_class is none")]
    [InlineData("unit", "1.2.246.10.90000002.10.1", "under that of the organisation")]
    [InlineData("unit", "1.2.246.10.900000011", "under that of the organisation")]
    [InlineData("unit", "1.2.246.10.90000001.x", "under that of the organisation")]
    [InlineData("professional_id", null, "the number in the role register")]
    [InlineData("professional_id", "90009", "no valid right")]
    public async Task Rejects_a_subject_token_with(string claim, string? value, string reason)
    {
        world.Outside.FurtherClaims[claim] = value;
        await RejectsAsync(reason);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("puoskari")]
    public async Task Without_a_right_or_with_a_profession_that_is_not_known_there_is_no_token(string? profession)
    {
        world.Register.Change("90001", profession);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        await RejectsAsync("no valid right");
    }

    [Fact]
    public async Task A_right_that_ends_ends_the_token_within_a_minute()
    {
        var token = await TokenAsync();
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        world.Register.Change("90001", null);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        var (status, _, challenge) = await world.WhoAmIAsync(token, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Contains("no valid right", challenge);
        // And is good again when the right is, as long as it lives.
        world.Register.Restore();
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    /// <summary>RFC 7662 §2.2: what a FHIR request would not find good is not active.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData("fysioterapeutti")]
    public async Task Introspection_asks_for_the_right_too(string? profession)
    {
        var token = await TokenAsync();
        Assert.True((await IntrospectAsync(token)).Body.GetProperty("active").GetBoolean());
        world.Register.Change("90001", profession);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal("""{"active":false}""", JsonSerializer.Serialize((await IntrospectAsync(token)).Body));
        // What nobody can look up is neither.
        world.Register.Fault = RegisterFault.Error;
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        var (status, body) = await IntrospectAsync(token);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, "temporarily_unavailable"), (status, body.GetProperty("error").GetString()));
    }

    [Theory]
    [InlineData("fysioterapeutti")]
    [InlineData("hammaslaakari")]
    public async Task Another_profession_than_the_tokens_ends_it(string profession)
    {
        var token = await TokenAsync();
        world.Register.Change("90001", profession);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        var (status, _, challenge) = await world.WhoAmIAsync(token, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.Unauthorized, status);
        Assert.Contains("is another than", challenge);
    }

    [Fact]
    public async Task The_register_is_asked_once_a_minute_and_once_for_all_who_ask_together()
    {
        var token = await TokenAsync();
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        var before = world.Register.Asked;
        var answers = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => world.WhoAmIAsync(token, world.Aurora.Certificate)));
        Assert.All(answers, answer => Assert.Equal(HttpStatusCode.OK, answer.Status));
        Assert.Equal(before + 1, world.Register.Asked);
        // A clinic's system has no profession, and nobody is asked about it.
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(await world.TokenAsync(world.Aurora), world.Aurora.Certificate)).Status);
        Assert.Equal(before + 1, world.Register.Asked);
    }

    public static TheoryData<RegisterFault> Faults => [.. Enum.GetValues<RegisterFault>().Where(fault => fault != RegisterFault.None)];

    [Theory, MemberData(nameof(Faults))]
    public async Task A_register_that_gives_no_usable_answer_lets_nobody_in_and_is_told_as_an_outage(RegisterFault fault)
    {
        var token = await TokenAsync();
        Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
        world.Clock.Ahead += TimeSpan.FromSeconds(61);
        world.Register.Fault = fault;

        using var http = world.Connect(world.Aurora.Certificate);
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using (var response = await http.GetAsync("/fhir/whoami"))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
            Assert.NotNull(response.Headers.RetryAfter);
            Assert.Empty(response.Headers.WwwAuthenticate);
            Assert.Contains("cannot be looked up", await response.Content.ReadAsStringAsync());
        }
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        var (status, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());

        // Over: the same token goes on, without a trace of it.
        world.Register.Restore();
        world.Clock.Ahead += TimeSpan.FromSeconds(2);
        using var after = await http.GetAsync("/fhir/whoami");
        Assert.Equal(HttpStatusCode.OK, after.StatusCode);
        Assert.Null(after.Headers.RetryAfter);
    }

    [Fact]
    public async Task A_gateway_whose_certificate_the_register_does_not_know_lets_no_professional_in()
    {
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with
        {
            Port = port, TerminatorListen = null,
            Identification = world.Options.Identification with { RoleRegister = world.Options.Identification.RoleRegister! with { CertificateFile = world.Options.TlsCertificateFile, KeyFile = world.Options.TlsKeyFile } },
        });
        await gateway.StartAsync();
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync($"https://localhost:{port}/connect/token",
            new FormUrlEncodedContent(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"))));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
    }

    [Fact]
    public async Task A_token_without_a_task_is_not_taken_where_there_is_a_register()
    {
        var port = IdentificationWorld.FreePort();
        await using var gateway = world.BuildGateway(world.Options with { Port = port, TerminatorListen = null, Identification = world.Options.Identification with { RoleRegister = null } });
        await gateway.StartAsync();
        using var http = world.Connect(world.Aurora.Certificate);
        using var response = await http.PostAsync($"https://localhost:{port}/connect/token",
            new FormUrlEncodedContent(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"))));
        var token = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.GetProperty("access_token").GetString();
        Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
    }

    private async Task<string> TokenAsync()
    {
        var (status, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
        return body.GetProperty("access_token").GetString()!;
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> IntrospectAsync(string token)
    {
        using var http = world.Connect(world.Aurora.Certificate);
        var form = world.ClientCredentials(world.Aurora);
        using var response = await http.PostAsync("/connect/introspect", new FormUrlEncodedContent(new Dictionary<string, string>
        {
            ["token"] = token, ["client_assertion_type"] = form["client_assertion_type"], ["client_assertion"] = form["client_assertion"],
        }));
        return (response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    private async Task RejectsAsync(string reason)
    {
        var (status, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001")), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_request", body.GetProperty("error").GetString());
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
    }
}

/// <summary>How the register is asked.</summary>
public sealed class RoleRegisterTests
{
    [Fact]
    public async Task All_who_ask_together_are_one_question_and_one_who_leaves_does_not_end_it()
    {
        var answer = new TaskCompletionSource();
        var asked = 0;
        using var http = new HttpClient(new Answering(async request =>
        {
            Interlocked.Increment(ref asked);
            var question = JsonDocument.Parse(await request.Content!.ReadAsStringAsync()).RootElement;
            await answer.Task;
            return new(HttpStatusCode.OK)
            {
                Content = new StringContent($$"""{"professional":"90001","question":"{{question.GetProperty("question").GetString()}}","valid":true,"profession":"laakari"}"""),
            };
        }));
        var register = new RoleRegister(new() { Address = "https://register.example", CertificateFile = "", KeyFile = "" }, http, TimeProvider.System, NullLogger<RoleRegister>.Instance);
        using var leaves = new CancellationTokenSource();
        var impatient = register.AskAsync("90001", leaves.Token).AsTask();
        var patient = Enumerable.Range(0, 12).Select(_ => register.AskAsync("90001", default).AsTask()).ToArray();
        await leaves.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => impatient);
        answer.SetResult();
        Assert.All(await Task.WhenAll(patient), right => Assert.Equal("laakari", right.Profession));
        Assert.Equal(1, asked);
    }

    [Theory]
    [InlineData(404, "", true)]
    [InlineData(400, "", true)]
    [InlineData(200, "nonsense", true)]
    [InlineData(200, "{}", true)]
    [InlineData(503, "", false)]
    public async Task What_the_register_does_not_understand_of_one_professional_pauses_it_for_nobody_else(int status, string body, bool goesOn)
    {
        var asked = 0;
        using var http = new HttpClient(new Answering(async request =>
        {
            asked++;
            var question = JsonDocument.Parse(await request.Content!.ReadAsStringAsync()).RootElement;
            return question.GetProperty("professional").GetString() == "odd" ? new((HttpStatusCode)status) { Content = new StringContent(body) } : new(HttpStatusCode.OK)
            {
                Content = new StringContent($$"""{"professional":"90001","question":"{{question.GetProperty("question").GetString()}}","valid":true,"profession":"laakari"}"""),
            };
        }));
        var register = new RoleRegister(new() { Address = "https://register.example", CertificateFile = "", KeyFile = "" }, http, new Microsoft.Extensions.Time.Testing.FakeTimeProvider(), NullLogger<RoleRegister>.Instance);
        await Assert.ThrowsAsync<ProfessionalRightsException>(async () => await register.AskAsync("odd", default));
        if (goesOn)
            Assert.True((await register.AskAsync("90001", default)).IsValid);
        else
            await Assert.ThrowsAsync<ProfessionalRightsException>(async () => await register.AskAsync("90001", default));
        Assert.Equal(goesOn ? 2 : 1, asked);
    }

    private sealed class Answering(Func<HttpRequestMessage, Task<HttpResponseMessage>> answer) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) => answer(request);
    }
}
