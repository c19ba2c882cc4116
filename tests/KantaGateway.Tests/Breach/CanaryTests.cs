using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Client;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace KantaGateway.Tests.Breach;

/// <summary>Patients who are nobody: whoever asks for one is contained, by the machine, with a case; nothing in FHIR tells them from others.</summary>
public sealed class CanaryTests
{
    private const int Heikki = 1, Tarja = 2;

    [Fact]
    public async Task Who_asks_for_a_canary_is_out_on_every_gateway_and_after_a_restart_and_back_by_two_persons()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var heikki = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), Heikki);
        using var tarja = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), Tarja);
        var code = Code("030381", "971");
        Assert.Equal(HttpStatusCode.Created, await WatchAsync(heikki, new { kind = "canary", identity_code = code }));
        Assert.Equal(1, (await heikki.GetFromJsonAsync<JsonElement>("/operator/watched-people")).GetProperty("canaries").GetInt32());
        // Whoever has a record is none.
        await house.AdmitAsync();
        Assert.Equal(HttpStatusCode.Conflict, await WatchAsync(heikki, new { kind = "canary", identity_code = house.Folder.Citizens[0].IdentityCode }));
        Assert.Equal(200, (await house.Reader.ReadAsync("Patient", house.PatientId)).Status);

        // One that was let in keeps its connection no longer than its answer: it may be broken off, and shows nothing.
        try
        {
            var touched = await SearchAsync(house.Reader, code);
            Assert.Equal(401, touched.Status);
        }
        catch (HttpRequestException)
        {
        }
        Assert.Equal(401, await StatusAsync(house.Reader, house.PatientId));
        Assert.Equal(401, await StatusAsync(house.Revontuli.System, house.PatientId));
        Assert.Equal(200, await StatusAsync(house.Aurora.System, house.PatientId));

        // Broken off, she may be here before it is on record.
        JsonElement[] all = [];
        for (var asked = 0; all.Length == 0 && asked < 100; asked++)
            all = [.. (await heikki.GetFromJsonAsync<JsonElement>("/operator/containments")).GetProperty("containments").EnumerateArray()];
        var contained = Assert.Single(all);
        Assert.Equal(("client/revontuli", "machine", 1), (contained.GetProperty("subject").GetString(), contained.GetProperty("by").GetString(), contained.GetProperty("breach_case").GetInt32()));
        var opened = Assert.Single((await heikki.GetFromJsonAsync<JsonElement>("/operator/breach-cases")).GetProperty("cases").EnumerateArray());
        Assert.Equal(("canary-touched", 1), (opened.GetProperty("kind").GetString(), opened.GetProperty("number").GetInt32()));
        Assert.DoesNotContain(code, opened.GetProperty("what").GetString(), StringComparison.Ordinal);

        // Another gateway, started after it, follows the same decisions.
        await using var another = await house.StartFurtherGatewayAsync(RunningHost.FreePorts(), house.Repositories[0]);
        Assert.False(another.Services.GetRequiredService<ClientRegistry>().Current.Find("revontuli")!.IsActive);
        Assert.Equal(1, another.Services.GetRequiredService<WatchedPeople>().Count(WatchedAs.Canary));

        using var proposed = await heikki.PostAsJsonAsync("/operator/acts", new { kind = "containment-end", subject = "client/revontuli", content = "A typing error at the desk." });
        Assert.Equal(HttpStatusCode.Created, proposed.StatusCode);
        var end = await proposed.Content.ReadFromJsonAsync<JsonElement>();
        var approve = new Uri($"/operator/acts/{end.GetProperty("id")}/approve", UriKind.Relative);
        Assert.Equal(HttpStatusCode.Forbidden, (await heikki.PostAsJsonAsync(approve, new { digest = end.GetProperty("digest").GetString() })).StatusCode);
        Assert.Equal(HttpStatusCode.NoContent, (await tarja.PostAsJsonAsync(approve, new { digest = end.GetProperty("digest").GetString() })).StatusCode);
        Assert.True(house.Gateway.GetRequiredService<ClientRegistry>().Current.Find("revontuli")!.IsActive);
    }

    /// <summary>Two gateways over one Redis: with the answer at one it is refused at the other, which has let it in before and need not look at what was decided.</summary>
    [Fact]
    public async Task Who_touches_a_canary_at_one_gateway_is_refused_at_the_other_with_the_answer()
    {
        await using var redis = await Identification.TestRedis.StartAsync();
        await using var house = await HouseInMemory.OpenAsync(redis: redis.Connection);
        var port = RunningHost.FreePorts();
        await using var further = await house.StartFurtherGatewayAsync(port, house.Repositories[0]);
        using var there = ClinicClient.Open(house.Folder, "revontuli", new Uri($"https://localhost:{port}"));
        var readerThere = there.Professional(house.Folder.ProfessionalOf("revontuli").Id);
        var (_, canary) = await PlantAsync(house, Code("030381", "971"));
        await house.AdmitAsync();
        // A call that does not look at the decisions again for a while, since it has just done so.
        Assert.Equal(200, (await readerThere.ReadAsync("Patient", house.PatientId)).Status);
        Assert.Equal(200, (await there.System.ReadAsync("Patient", house.PatientId)).Status);

        // Through the steps alone: a connection that is broken off would be so before the other has heard of it.
        Assert.Equal(401, (await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(HouseInMemory.DeskOfRevontuli, "GET", "Patient/" + canary)).Status);
        // What Redis has told is known here whatever the folder of decisions says.
        Assert.True(further.Services.GetRequiredService<Revocations>().IsKnownRevoked(RevokedName.Contained(ContainedSubject.Client("revontuli"))));
        Assert.Equal(401, await StatusAsync(readerThere, house.PatientId));
        Assert.Equal(401, await StatusAsync(there.System, house.PatientId));
        // One case, at the gateway that has seen it.
        Assert.Equal(BreachKind.CanaryTouched, Assert.Single(house.Gateway.GetRequiredService<BreachCases>().All).Kind);
        Assert.Equal(401, await StatusAsync(readerThere, canary));
        Assert.Empty(further.Services.GetRequiredService<BreachCases>().All);
    }

    /// <summary>By two persons, of whom neither is told who she is by the other's word.</summary>
    [Fact]
    public async Task A_canary_is_taken_off_by_two_persons_and_by_nobody_alone()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var heikki = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), Heikki);
        using var tarja = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), Tarja);
        var code = Code("030381", "971");
        Assert.Equal(HttpStatusCode.Created, await WatchAsync(heikki, new { kind = "canary", identity_code = code }));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await WatchAsync(heikki, new { kind = "canary", identity_code = code, remove = true }));
        await house.AdmitAsync();
        Task<HttpResponseMessage> ProposeAsync(string of) => heikki.PostAsJsonAsync("/operator/acts", new { kind = "canary-end", identity_code = of, content = "Her code is given to somebody." });
        using (var nobody = await ProposeAsync(house.Folder.Citizens[0].IdentityCode))
            Assert.Equal(HttpStatusCode.UnprocessableEntity, nobody.StatusCode);

        using var proposed = await ProposeAsync(code);
        Assert.Equal(HttpStatusCode.Created, proposed.StatusCode);
        var act = await proposed.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(PersonalIdentityCode.TryParse(code, out var parsed));
        var patient = house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(await house.Gateway.GetRequiredService<IPseudonyms>().OfAsync(parsed, CancellationToken.None));
        foreach (var told in new[] { code, patient })
            Assert.DoesNotContain(told, act.GetRawText(), StringComparison.Ordinal);
        async Task<HttpStatusCode> StepAsync(HttpClient who, string step)
        {
            using var answer = await who.PostAsJsonAsync($"/operator/acts/{act.GetProperty("id").GetString()}/{step}", new { digest = act.GetProperty("digest").GetString() });
            return answer.StatusCode;
        }
        async Task<int> CountAsync() => (await heikki.GetFromJsonAsync<JsonElement>("/operator/watched-people")).GetProperty("canaries").GetInt32();
        Assert.Equal(HttpStatusCode.Forbidden, await StepAsync(heikki, "approve"));
        Assert.NotEqual(HttpStatusCode.NoContent, await StepAsync(heikki, "carry-out"));
        Assert.Equal(1, await CountAsync());
        Assert.Equal(HttpStatusCode.NoContent, await StepAsync(tarja, "approve"));
        Assert.Equal(HttpStatusCode.NoContent, await StepAsync(heikki, "carry-out"));
        Assert.Equal(0, await CountAsync());

        Assert.Equal(200, (await SearchAsync(house.Reader, code)).Status);
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
        using (var again = await ProposeAsync(code))
            Assert.Equal(HttpStatusCode.UnprocessableEntity, again.StatusCode);
    }

    /// <summary>Every road in one house: each by a client of its own, through the steps that requests from outside take.</summary>
    [Fact]
    public async Task Whatever_the_road_whoever_takes_it_is_contained_and_the_probes_are_not()
    {
        await using var house = await HouseInMemory.OpenAsync(probes: true);
        await Assert.Single(house.Gateway.GetServices<IHostedService>().OfType<LiveProbeService>()).StopAsync(CancellationToken.None);
        var code = Code("150562", "944");
        var (self, patient) = await PlantAsync(house, code);
        await house.AdmitAsync();
        Assert.Equal(ProbeOutcome.Sound, await house.Gateway.GetRequiredService<LiveProbe>().AskAsync(CancellationToken.None));
        var cases = house.Gateway.GetRequiredService<BreachCases>();
        Assert.Empty(cases.All);

        var note = new JsonObject { ["resourceType"] = "Observation", ["status"] = "final", ["code"] = new JsonObject { ["text"] = "pulssi" }, ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient } };
        var batch = new JsonObject { ["resourceType"] = "Bundle", ["type"] = "batch", ["entry"] = new JsonArray(new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = "Patient/" + patient } }) };
        var transaction = new JsonObject { ["resourceType"] = "Bundle", ["type"] = "transaction", ["entry"] = new JsonArray(new JsonObject { ["resource"] = note.DeepClone(), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Observation" } }) };
        (string Name, string Method, string Target, string? Body, string? Type)[] roads =
        [
            ("read", "GET", "Patient/" + patient, null, null),
            ("history", "GET", $"Patient/{patient}/_history", null, null),
            ("everything", "GET", $"Patient/{patient}/$everything", null, null),
            ("search", "GET", "Observation?patient=" + patient, null, null),
            ("search by code", "POST", "Patient/_search", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System + "|" + code)}", "application/x-www-form-urlencoded"),
            ("write", "POST", "Observation", note.ToJsonString(), null),
            ("register", "POST", "Patient", HouseInMemory.Patient(code).ToJsonString(), null),
            ("transaction", "POST", "", transaction.ToJsonString(), null),
            ("batch", "POST", "", batch.ToJsonString(), null),
            // What would have been refused is a touch as well.
            ("refused", "DELETE", "Patient/" + patient, null, null),
        ];
        var inner = house.Gateway.GetRequiredService<IInnerRequests>();
        var contained = house.Gateway.GetRequiredService<Approvals>();
        foreach (var (road, i) in roads.Select(static (road, i) => (road, i)))
        {
            var client = $"road-{i}";
            var answer = await inner.SendAsync(HouseInMemory.DeskOfRevontuli with { ClientId = client, Scopes = SmartScope.ParseAll([road.Name == "refused" ? "system/*.r" : "system/*.cruds"]) }, road.Method, road.Target, road.Body is null ? default : Encoding.UTF8.GetBytes(road.Body), road.Type);
            Assert.Equal((road.Name, road.Name == "batch" ? 200 : 401), (road.Name, answer.Status));
            Assert.DoesNotContain("Korhonen", Encoding.UTF8.GetString(answer.Body), StringComparison.Ordinal);
            Assert.Equal((road.Name, i + 1L), (road.Name, contained.Current.Contained.GetValueOrDefault("client/" + client)?.Case));
            // Once is enough.
            await inner.SendAsync(HouseInMemory.DeskOfRevontuli with { ClientId = client }, "GET", "Patient/" + patient);
            Assert.Equal((road.Name, i + 1), (road.Name, cases.All.Count));
        }
        // A citizen at the portal: she, and not the portal.
        Assert.Equal(401, (await inner.SendAsync(house.Citizen, "GET", "Patient/" + patient)).Status);
        Assert.Contains("citizen/Patient/" + house.PatientId, contained.Current.Contained.Keys);
        Assert.DoesNotContain("client/portal", contained.Current.Contained.Keys);
        // Through an app it is the app: its citizen may know nothing of it.
        await house.AdmitAsync(citizen: 1);
        Assert.Equal(401, (await inner.SendAsync(house.Citizen with { ClientId = "wellness-app" }, "GET", "Patient/" + patient)).Status);
        Assert.Contains("client/wellness-app", contained.Current.Contained.Keys);
        Assert.DoesNotContain("citizen/Patient/" + house.PatientId, contained.Current.Contained.Keys);
        Assert.All(cases.All, one => Assert.Equal(BreachKind.CanaryTouched, one.Kind));
        Assert.DoesNotContain(cases.All, one => one.What.Contains(house.PatientId, StringComparison.Ordinal) || one.What.Contains(patient, StringComparison.Ordinal));
        // And nobody is known from the file.
        var file = await File.ReadAllTextAsync(house.Gateway.GetRequiredService<KantaGateway.Gateway.GatewayOptions>().Breach!.PeopleFile!);
        Assert.DoesNotContain(self.Encode(), file, StringComparison.Ordinal);
        Assert.DoesNotContain(patient, file, StringComparison.Ordinal);
        Assert.DoesNotContain(code, file, StringComparison.Ordinal);
        Assert.Equal(ProbeOutcome.Sound, await house.Gateway.GetRequiredService<LiveProbe>().AskAsync(CancellationToken.None));
    }

    /// <summary>As its clinic sees it, beside somebody whom the clinic registered: the same members, the same profile of meta, and dates that fit the code.</summary>
    [Fact]
    public async Task A_canary_looks_like_any_patient_of_its_clinic()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var (self, patient) = await PlantAsync(house, Code("240795", "918"));
        using var making = house.Gateway.GetRequiredService<Canaries>().Make(self);
        await house.AdmitAsync();
        var canary = (await house.Aurora.System.ReadAsync("Patient", patient)).Json;
        var other = (await house.Aurora.System.ReadAsync("Patient", house.PatientId)).Json;
        Assert.Equal(Names(other.GetProperty("meta")), Names(canary.GetProperty("meta")));
        Assert.Equal(Names(other.GetProperty("identifier")[0]).Append("use").Order(), Names(canary.GetProperty("identifier")[0]).Order());
        Assert.Equal(("1995-07-24", "female"), (canary.GetProperty("birthDate").GetString(), canary.GetProperty("gender").GetString()));
        var everything = (await house.Aurora.System.SendAsync(HttpMethod.Get, $"Patient/{patient}/$everything?_count=200")).Json;
        var types = everything.GetProperty("entry").EnumerateArray().Select(static e => e.GetProperty("resource")).ToLookup(static r => r.GetProperty("resourceType").GetString());
        Assert.InRange(types["Encounter"].Count(), 2, 5);
        Assert.Equal(types["Encounter"].Count(), types["Condition"].Count());
        foreach (var resource in types.SelectMany(static its => its))
        {
            Assert.DoesNotContain(Names(resource), static name => name is "extension" or "text" or "implicitRules" or "contained");
            Assert.DoesNotContain(Names(resource.GetProperty("meta")), static name => name is "tag" or "profile");
        }
    }

    /// <summary>Plants a canary as the operators' address does.</summary>
    private static async Task<(Pseudonym Self, string Patient)> PlantAsync(HouseInMemory house, string code)
    {
        Assert.True(PersonalIdentityCode.TryParse(code, out var parsed));
        var self = await house.Gateway.GetRequiredService<IPseudonyms>().OfAsync(parsed, CancellationToken.None);
        Assert.True(await house.Gateway.GetRequiredService<WatchedPeople>().AddAsync(WatchedAs.Canary, self, null, CancellationToken.None));
        using var making = house.Gateway.GetRequiredService<Canaries>().Make(self);
        await house.Gateway.GetRequiredService<CanaryRecords>().MakeAsync(parsed, CancellationToken.None);
        return (self, house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(self));
    }

    private static IEnumerable<string> Names(JsonElement element) => element.EnumerateObject().Select(static its => its.Name);

    private static string Code(string ddmmyy, string zzz) => $"{ddmmyy}-{zzz}{PersonalIdentityCode.CheckCharacterOf(ddmmyy, zzz)}";

    private static Task<FhirReply> SearchAsync(FhirSession session, string code) => session.SearchAsync("Patient", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System + "|" + code)}");

    /// <summary>Of a read, or of the refusal of a token for it.</summary>
    private static async Task<int> StatusAsync(FhirSession session, string patient)
    {
        try
        {
            return (await session.ReadAsync("Patient", patient)).Status;
        }
        catch (TokenRefusedException refused)
        {
            return refused.Status;
        }
    }

    private static async Task<HttpStatusCode> WatchAsync(HttpClient http, object asked)
    {
        using var answer = await http.PostAsJsonAsync("/operator/watched-people", asked);
        return answer.StatusCode;
    }
}
