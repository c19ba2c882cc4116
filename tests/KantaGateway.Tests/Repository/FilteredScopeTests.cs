using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>
/// A token with search parameters in its scopes reaches the resources that match them, and the others are to it as if they had never been: the
/// same as when the filter is applied by hand to what an unfiltered token is answered.
/// </summary>
public sealed class FilteredScopeTests : IAsyncLifetime
{
    private static readonly string[] Statuses = ["final", "amended", "preliminary"], Codes = ["8867-4", "718-7"], Categories = ["laboratory", "vital-signs"];

    private RepositoryWorld _world = null!;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync();

    public async Task DisposeAsync() => await _world.DisposeAsync();

    /// <summary>Each with what it says of an Observation, said once more by hand.</summary>
    private static readonly (string[] AnyOf, Func<JsonNode, bool> Passes)[] Filters =
    [
        (["status=final"], o => StatusOf(o) == "final"),
        (["category=laboratory"], o => CategoryOf(o) == "laboratory"),
        (["category=laboratory", "status=amended"], o => CategoryOf(o) == "laboratory" || StatusOf(o) == "amended"),
        (["code=http://loinc.org|8867-4&status=final,preliminary"], o => CodeOf(o) == "8867-4" && StatusOf(o) is "final" or "preliminary" && CodeOf(o) == "8867-4"),
        (["category:missing=true"], o => CategoryOf(o) is null),
        (["status:not=final"], o => StatusOf(o) != "final"),
        (["date=ge2026-01-03"], o => string.CompareOrdinal((string)o["effectiveDateTime"]!, "2026-01-03") >= 0),
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Every_answer_is_the_unfiltered_one_with_the_filter_applied_by_hand(int seed)
    {
#pragma warning disable CA5394 // The same records every time.
        var random = new Random(seed);
        string Pick(string[] some) => some[random.Next(some.Length)];
        var writer = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await writer.StoreAsync(Some.Patient());
        string[] visits = [await writer.StoreAsync(Some.Encounter(writer.PatientId)), await writer.StoreAsync(Some.Encounter(writer.PatientId))];
        JsonObject Change(JsonObject observation)
        {
            observation["status"] = Pick(Statuses);
            observation["effectiveDateTime"] = $"2026-01-0{random.Next(1, 6)}T12:00:00Z";
            observation["code"]!["coding"]![0]!["code"] = Pick(Codes);
            observation["encounter"] = new JsonObject { ["reference"] = "Encounter/" + Pick(visits) };
            observation.Remove("category");
            if (random.Next(3) > 0)
                observation["category"] = new JsonArray(new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/observation-category", ["code"] = Pick(Categories) }) });
            return observation;
        }
        // Of every version its resource, and null for a deletion, oldest first.
        var versions = new Dictionary<string, List<(string Id, JsonNode? Resource)>>();
        for (var i = 0; i < 9; i++)
        {
            var reply = (await writer.CreateAsync(Change(Some.Observation(writer.PatientId)))).Is(HttpStatusCode.Created);
            var id = (string)reply.Json["id"]!;
            versions[id] = [((string)reply.Json["meta"]!["versionId"]!, reply.Json)];
            for (var more = random.Next(3); more > 0; more--)
            {
                reply = (await writer.UpdateAsync(Change(reply.Json.AsObject()), reply.ETag)).Is(HttpStatusCode.OK);
                versions[id].Add(((string)reply.Json["meta"]!["versionId"]!, reply.Json));
            }
            if (random.Next(2) == 0)
                await writer.StoreAsync(Report(writer.PatientId, id));
            if (random.Next(4) == 0)
            {
                (await writer.DeleteAsync("Observation/" + id)).Is(HttpStatusCode.NoContent);
                versions[id].Add(("", null));
            }
        }
#pragma warning restore CA5394
        // A deletion is seen where what it deleted was.
        bool Shows((string, JsonNode?)[] of, int at, Func<JsonNode, bool> passes) => of[at].Item2 is { } resource ? passes(resource) : Shows(of, at - 1, passes);

        foreach (var (anyOf, passes) in Filters)
        {
            var filtered = Narrow(writer, new ScopeFilter("Observation", anyOf, reads: true));
            bool IsSeen(string id) => Shows([.. versions[id]], versions[id].Count - 1, passes);

            // Search, its pages, totals, counts and orders.
            foreach (var query in new[] { "_count=200", "_count=200&_sort=-date", "_count=200&code=8867-4" })
                Assert.Equal((await EntriesAsync(writer, "Observation", query)).Where(e => passes(e.Resource)).Select(e => e.Id), (await EntriesAsync(filtered, "Observation", query)).Select(e => e.Id));
            var expected = (await EntriesAsync(writer, "Observation", "_count=200")).Where(e => passes(e.Resource)).Select(e => e.Id).ToArray();
            Assert.Equal(expected.Length, (int)(await filtered.SearchAsync("Observation", "_summary=count")).Is(HttpStatusCode.OK).Json["total"]!);
            Assert.Equal(expected, await PagesAsync(filtered, "Observation"));

            foreach (var (id, of) in versions)
            {
                // Read by id; nothing tells what is filtered from what never was.
                var read = await filtered.GetAsync("Observation/" + id);
                Assert.Equal(!IsSeen(id) ? HttpStatusCode.NotFound : of[^1].Resource is null ? HttpStatusCode.Gone : HttpStatusCode.OK, read.Status);
                if (!IsSeen(id))
                    Assert.Equal((await filtered.GetAsync("Observation/" + _world.Identifiers.ResourceId(filtered.Grant.Compartment, 999_999))).Text, read.Text);
                // Each version, and the history of them.
                foreach (var (version, resource) in of)
                    if (resource is not null)
                        Assert.Equal(IsSeen(id) && passes(resource) ? HttpStatusCode.OK : HttpStatusCode.NotFound, (await filtered.GetAsync($"Observation/{id}/_history/{version}")).Status);
                var history = await filtered.GetAsync($"Observation/{id}/_history");
                if (!IsSeen(id))
                    history.Is(HttpStatusCode.NotFound);
                else
                    Assert.Equal(Enumerable.Range(0, of.Count).Count(at => Shows([.. of], at, passes)), (int)history.Is(HttpStatusCode.OK).Json["total"]!);
            }

            // Histories of the type and of everything; $everything.
            var seen = versions.Where(one => IsSeen(one.Key)).Sum(one => Enumerable.Range(0, one.Value.Count).Count(at => Shows([.. one.Value], at, passes)));
            Assert.Equal(seen, (int)(await filtered.GetAsync($"Observation/_history?patient={writer.PatientId}&_count=200")).Is(HttpStatusCode.OK).Json["total"]!);
            var others = (int)(await writer.GetAsync($"_history?patient={writer.PatientId}&_count=200")).Is(HttpStatusCode.OK).Json["total"]! - versions.Sum(one => one.Value.Count);
            Assert.Equal(others + seen, (int)(await filtered.GetAsync($"_history?patient={writer.PatientId}&_count=200")).Is(HttpStatusCode.OK).Json["total"]!);
            var everything = (await writer.GetAsync($"Patient/{writer.PatientId}/$everything?_count=200")).Is(HttpStatusCode.OK);
            Assert.Equal(Resources(everything).Where(r => (string)r["resourceType"]! != "Observation" || passes(r)).Select(r => (string)r["id"]!),
                (await filtered.GetAsync($"Patient/{writer.PatientId}/$everything?_count=200")).Is(HttpStatusCode.OK).Ids);

            // What comes along, and what is only looked at.
            foreach (var query in new[] { "_revinclude=Observation:encounter", "_revinclude=*" })
                Assert.Equal(Resources((await writer.SearchAsync("Encounter", query)).Is(HttpStatusCode.OK)).Where(r => (string)r["resourceType"]! != "Observation" || passes(r)).Select(r => (string)r["id"]!).Order(),
                    (await filtered.SearchAsync("Encounter", query)).Is(HttpStatusCode.OK).Ids.Order());
            Assert.Equal(Resources((await writer.SearchAsync("DiagnosticReport", "_include=DiagnosticReport:result")).Is(HttpStatusCode.OK)).Where(r => (string)r["resourceType"]! != "Observation" || passes(r)).Select(r => (string)r["id"]!).Order(),
                (await filtered.SearchAsync("DiagnosticReport", "_include=DiagnosticReport:result")).Is(HttpStatusCode.OK).Ids.Order());
            var open = (await EntriesAsync(writer, "Observation", "_count=200")).Where(e => passes(e.Resource)).Select(e => e.Resource).ToArray();
            foreach (var code in Codes)
            {
                Assert.Equal(visits.Where(visit => open.Any(o => CodeOf(o) == code && (string)o["encounter"]!["reference"]! == "Encounter/" + visit)).Order(),
                    (await filtered.SearchAsync("Encounter", "_has:Observation:encounter:code=" + code)).Is(HttpStatusCode.OK).Ids.Order());
                var reports = Resources((await writer.SearchAsync("DiagnosticReport", "_count=200")).Is(HttpStatusCode.OK))
                    .Where(r => open.Any(o => CodeOf(o) == code && (string)r["result"]![0]!["reference"]! == "Observation/" + (string)o["id"]!)).Select(r => (string)r["id"]!);
                Assert.Equal(reports.Order(), (await filtered.SearchAsync("DiagnosticReport", "result:Observation.code=" + code)).Is(HttpStatusCode.OK).Ids.Order());
            }
        }
    }

    [Fact]
    public async Task What_is_written_is_what_the_scope_describes_before_and_after()
    {
        var writer = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await writer.StoreAsync(Some.Patient());
        var narrow = Narrow(writer, new ScopeFilter("Observation", ["status=final"], reads: false));
        JsonObject Observation(string status, string note = "Muistiinpano")
        {
            var one = Some.Observation(writer.PatientId, note: note);
            one["status"] = status;
            return one;
        }
        var final = (await narrow.CreateAsync(Observation("final"))).Is(HttpStatusCode.Created);
        var amended = (await writer.CreateAsync(Observation("amended"))).Is(HttpStatusCode.Created);
        var id = (string)amended.Json["id"]!;
        var unknown = _world.Identifiers.ResourceId(writer.Grant.Compartment, 999_999);

        (await narrow.CreateAsync(Observation("amended"))).Is(HttpStatusCode.Forbidden);
        var turned = final.Json.AsObject();
        turned["status"] = "amended";
        (await narrow.UpdateAsync(turned, final.ETag)).Is(HttpStatusCode.Forbidden);
        (await narrow.PatchAsync($"Observation/{turned["id"]}", Some.Patch("replace", "/status", "amended"), ("If-Match", final.ETag))).Is(HttpStatusCode.Forbidden);
        // What does not match is not there, whatever it would become.
        var brought = amended.Json.AsObject();
        brought["status"] = "final";
        var refused = await narrow.UpdateAsync(brought, amended.ETag);
        Assert.Equal((await narrow.UpdateAsync(new JsonObject(brought.Select(p => KeyValuePair.Create(p.Key, p.Key == "id" ? unknown : p.Value?.DeepClone()))), amended.ETag)).Text, refused.Text);
        Assert.NotEqual(HttpStatusCode.OK, refused.Status);
        (await narrow.PatchAsync("Observation/" + id, Some.Patch("replace", "/status", "final"), ("If-Match", amended.ETag))).Is(HttpStatusCode.NotFound);
        (await narrow.DeleteAsync("Observation/" + id)).Is(HttpStatusCode.NotFound);
        // One entry that goes too far, and nothing of the transaction is stored.
        (await narrow.TransactAsync(Some.Transaction(("POST", "Observation", Observation("final"), null), ("POST", "Observation", Observation("amended"), null)))).Is(HttpStatusCode.Forbidden);
        Assert.Equal(2, (int)(await writer.SearchAsync("Observation", "_summary=count")).Json["total"]!);

        // A reference says nothing of what it leads to, here as for types that a token does not reach.
        var member = Observation("final");
        member["hasMember"] = new JsonArray(new JsonObject { ["reference"] = "Observation/" + id });
        await narrow.StoreAsync(member);
        (await narrow.DeleteAsync($"Observation/{turned["id"]}")).Is(HttpStatusCode.NoContent);
    }

    [Fact]
    public async Task Criteria_find_what_may_be_found_and_written()
    {
        var writer = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await writer.StoreAsync(Some.Patient());
        var hidden = Some.Observation(writer.PatientId, code: "718-7");
        hidden["status"] = "amended";
        await writer.StoreAsync(hidden);
        var narrow = Narrow(writer, new ScopeFilter("Observation", ["status=final"], reads: true));
        // It finds none, so it makes one.
        (await narrow.CreateAsync(Some.Observation(writer.PatientId, code: "718-7"), ("If-None-Exist", $"code=718-7&patient={writer.PatientId}"))).Is(HttpStatusCode.Created);
        (await narrow.CreateAsync(Some.Observation(writer.PatientId, code: "718-7"), ("If-None-Exist", $"code=718-7&patient={writer.PatientId}"))).Is(HttpStatusCode.OK);
        // What may only be read so may be written otherwise.
        var other = Some.Observation(writer.PatientId);
        other["status"] = "amended";
        await narrow.StoreAsync(other);
        // In a transaction too: its reads and searches are bounded as outside.
        var reply = (await narrow.TransactAsync(Some.Transaction(("GET", $"Observation?patient={writer.PatientId}", null, null), ("POST", "Observation", Some.Observation(writer.PatientId), null)))).Is(HttpStatusCode.OK);
        Assert.All(reply.Json["entry"]![0]!["resource"]!["entry"]!.AsArray(), e => Assert.Equal("final", (string)e!["resource"]!["status"]!));
    }

    private static Caller Narrow(Caller caller, params ScopeFilter[] filters) => caller with { Grant = caller.Grant with { Scope = caller.Grant.Scope with { Filters = filters } } };

    private static JsonObject Report(string patient, string observation) => new()
    {
        ["resourceType"] = "DiagnosticReport", ["status"] = "final", ["code"] = new JsonObject { ["text"] = "Lausunto" },
        ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient }, ["result"] = new JsonArray(new JsonObject { ["reference"] = "Observation/" + observation }),
    };

    private static string? StatusOf(JsonNode observation) => (string?)observation["status"];

    private static string? CodeOf(JsonNode observation) => (string?)observation["code"]!["coding"]![0]!["code"];

    private static string? CategoryOf(JsonNode observation) => (string?)observation["category"]?[0]!["coding"]![0]!["code"];

    private static IEnumerable<JsonNode> Resources(Reply bundle) => bundle.Json["entry"]?.AsArray().Select(e => e!["resource"]!) ?? [];

    private static async Task<List<(string Id, JsonNode Resource)>> EntriesAsync(Caller caller, string type, string query) =>
        [.. Resources((await caller.SearchAsync(type, query)).Is(HttpStatusCode.OK)).Select(r => ((string)r["id"]!, r))];

    private static async Task<List<string>> PagesAsync(Caller caller, string type)
    {
        var ids = new List<string>();
        for (var page = (await caller.SearchAsync(type, "_count=2")).Is(HttpStatusCode.OK); ; page = (await caller.GetAsync(page.Link("next")!)).Is(HttpStatusCode.OK))
        {
            ids.AddRange(page.Ids);
            if (page.Link("next") is null)
                return ids;
        }
    }
}
