using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Disclosure;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>Roads around identification, consent or the record that look like something else.</summary>
public class NoSecondRoadTests
{
    [Fact]
    public async Task A_narrow_token_is_not_widened_by_a_conditional_create_or_a_transaction()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var identified = house.Observation(HouseInMemory.Secret);
        identified["identifier"] = new JsonArray(new JsonObject { ["system"] = "urn:x", ["value"] = "1" });
        Assert.Equal(201, (await house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(identified))).Status);

        var writer = house.Aurora.With((await house.Aurora.RequestSystemTokenAsync(scope: "system/Observation.c")).Value);
        var conditional = await writer.CreateAsync("Observation", HouseInMemory.Json(house.Observation("uusi")), ifNoneExist: "identifier=urn:x|1");
        Assert.Equal(403, conditional.Status);
        Assert.DoesNotContain(HouseInMemory.Secret, conditional.Text);

        var reader = house.Aurora.With((await house.Aurora.RequestSystemTokenAsync(scope: "system/Observation.r")).Value);
        Assert.Equal(403, (await reader.SearchAsync("Observation", "patient=" + house.PatientId)).Status);
        Assert.Equal(403, (await reader.BundleAsync(Transaction("GET", $"Observation?patient={house.PatientId}"))).Status);
    }

    [Fact]
    public async Task A_narrow_token_is_not_widened_by_an_include_or_its_page_link()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        for (var i = 0; i < 2; i++)
            Assert.Equal(201, (await house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("lisää " + i)))).Status);
        var query = $"patient={house.PatientId}&_count=1&_include=*&_revinclude:iterate=*";
        Assert.Contains("Encounter", Types(await house.Aurora.System.SearchAsync("Observation", query)));

        var narrow = house.Aurora.With((await house.Aurora.RequestSystemTokenAsync(scope: "system/Observation.s system/Patient.s system/Encounter.r")).Value);
        var page = await narrow.SearchAsync("Observation", query);
        Assert.Equal(["Observation", "Patient"], Types(page).Distinct().Order());
        var link = page.Json.GetProperty("link").EnumerateArray().Single(l => l.GetProperty("relation").GetString() == "next").GetProperty("url").GetString()!;
        Assert.Equal(["Observation", "Patient"], Types(await narrow.SendAsync(HttpMethod.Get, link[(link.IndexOf("/fhir/", StringComparison.Ordinal) + 6)..])).Distinct().Order());

        static IEnumerable<string> Types(Harness.Clients.FhirReply reply) =>
            reply.Json.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("resource").GetProperty("resourceType").GetString()!);
    }

    [Fact]
    public async Task A_transaction_of_one_search_finds_its_patient_in_the_parameters()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var answer = await house.Aurora.System.BundleAsync(Transaction("GET", $"Observation?patient={house.PatientId}"));
        Assert.Equal(200, answer.Status);
        Assert.Contains(HouseInMemory.Secret, answer.Text);
    }

    [Fact]
    public async Task A_body_where_none_belongs_is_refused_and_nothing_happens()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        Assert.Equal(400, (await house.Aurora.System.SendAsync(HttpMethod.Delete, "Observation/" + note, "{\"a\":1}"u8.ToArray())).Status);
        Assert.Equal(200, (await house.Aurora.System.ReadAsync("Observation", note)).Status);
    }

    [Fact]
    public async Task A_search_form_beyond_its_bounds_is_refused_with_a_reason()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var many = string.Join('&', Enumerable.Range(0, 1_500).Select(i => "a=1"));
        Assert.Equal(400, (await house.Aurora.System.SearchAsync("Observation", many)).Status);
        Assert.Equal(413, (await house.Aurora.System.SearchAsync("Observation", "patient=" + house.PatientId + "&code=" + new string('1', 20_000))).Status);
    }

    [Theory]
    [InlineData("2021")]
    [InlineData("2026-11-24")]
    public async Task A_visit_whose_stated_end_has_passed_proves_no_treatment(string end)
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync(open: false);
        var visit = house.Encounter("1.2.246.10.99000022.14.2026.2", "in-progress");
        visit["period"] = new JsonObject { ["start"] = "2021-01-01", ["end"] = end };
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        await house.PermitAsync();
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", note)).Status);
    }

    [Fact]
    public async Task A_write_whose_caller_hangs_up_is_recorded_when_it_is_stored()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        for (var i = 0; i < 20; i++)
        {
            using var cut = new CancellationTokenSource();
            var sent = house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("katkennut " + i)), cancel: cut.Token);
            await Task.Yield();
            await cut.CancelAsync();
            try
            {
                await sent;
            }
            catch (OperationCanceledException)
            {
                // What happened to it is what the log must say.
            }
        }
        // Whatever was still under way when its caller left is over when a later write has been answered and the two agree.
        var log = house.Gateway.GetRequiredService<AccessLog>();
        for (var attempt = 0; attempt < 50; attempt++)
        {
            var stored = (await house.Aurora.System.SearchAsync("Observation", $"patient={house.PatientId}&_count=200")).Json.GetProperty("entry").EnumerateArray()
                .Select(e => e.GetProperty("resource").GetProperty("id").GetString()!).ToHashSet();
            var recorded = (await log.ForPersonAsync(house.Citizen)).Lines.Where(l => l.Interaction == "create").SelectMany(l => l.Items)
                .Where(item => item.Type == "Observation").Select(item => item.Id).ToHashSet();
            if (stored.IsSubsetOf(recorded))
                return;
        }
        Assert.Fail("A stored resource is not in the log as written.");
    }

    [Fact]
    public async Task The_metrics_listener_serves_metrics_and_nothing_else()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false }) { BaseAddress = new Uri($"http://127.0.0.1:{house.Target.Port + 2}") };
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync("/metrics")).StatusCode);
        foreach (var path in new[] { "/", "/signin", "/fhir/metadata", "/connect/token", "/health/ready", "/audit/log/checkpoint" })
            Assert.Equal(HttpStatusCode.NotFound, (await http.GetAsync(path)).StatusCode);
    }

    private static byte[] Transaction(string method, string url) => Encoding.UTF8.GetBytes(new JsonObject
    {
        ["resourceType"] = "Bundle",
        ["type"] = "transaction",
        ["entry"] = new JsonArray(new JsonObject { ["request"] = new JsonObject { ["method"] = method, ["url"] = url } }),
    }.ToJsonString());
}
