using System.Text.Json.Nodes;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Patching;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Fhir;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Forwarding;

/// <summary>
/// What names no patient by itself (Medication, Substance, Device and their like) changed by criteria, as the CapabilityStatement says: alone by
/// <c>_id</c>, in a transaction by any criteria beside what says whose record it is.
/// </summary>
public sealed class CompanionChangeTests : IAsyncLifetime
{
    private const string Link = "urn:uuid:6f0b6c1e-0d52-4d7a-8f3e-0a4b1c2d3e4f";

    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    private static IEnumerable<string> Companions => ResourceTypes.Served.Where(t => ResourceTypes.PlaceOf(t) == ResourcePlace.Companion && t != "Binary");

    [Fact]
    public async Task Alone_it_is_changed_by_criteria_that_name_it()
    {
        foreach (var type in Companions)
        {
            var id = IdOf(await TransactionAsync(ReferringList(), Entry("POST", type, Tagged(type, "a"), Link)), 1);
            var byId = $"{type}?_id={id}";
            Status(200, await _house.Aurora.System.SendAsync(HttpMethod.Put, byId, HouseInMemory.Json(Tagged(type, "b"))));
            Status(200, await _house.Aurora.System.SendAsync(HttpMethod.Patch, byId, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType));
            var read = await _house.Aurora.System.ReadAsync(type, id);
            Assert.Equal("sv", read.Json.GetProperty("language").GetString());
            Assert.Equal("b", read.Json.GetProperty("meta").GetProperty("tag")[0].GetProperty("code").GetString());
            Status(204, await _house.Aurora.System.SendAsync(HttpMethod.Delete, byId));
            Status(410, await _house.Aurora.System.ReadAsync(type, id));
            Status(204, await _house.Aurora.System.SendAsync(HttpMethod.Delete, byId));
        }
    }

    [Fact]
    public async Task Alone_it_is_not_made_and_the_refusal_says_how()
    {
        foreach (var type in Companions)
        {
            var body = HouseInMemory.Json(Tagged(type, "a"));
            foreach (var refused in new[]
            {
                await _house.Aurora.System.CreateAsync(type, body),
                await _house.Aurora.System.CreateAsync(type, body, ifNoneExist: "_tag=urn:t|a"),
                await _house.Aurora.System.SendAsync(HttpMethod.Put, $"{type}?_tag=urn:t|a", body),
            })
            {
                Status(422, refused);
                Assert.Contains("transaction with a resource that refers to it", refused.Text, StringComparison.Ordinal);
            }
            Status(400, await _house.Aurora.System.SendAsync(HttpMethod.Delete, $"{type}?_tag=urn:t|a"));
        }
    }

    [Fact]
    public async Task In_a_transaction_any_criteria_make_it_find_it_and_change_it()
    {
        foreach (var type in Companions)
        {
            var byTag = $"{type}?_tag=urn:t|{type}";
            var once = Entry("POST", type, Tagged(type, type), Link);
            once["request"]!["ifNoneExist"] = $"_tag=urn:t|{type}";
            var made = await TransactionAsync(ReferringList(), once);
            Assert.Equal(["201", "201"], StatusesOf(made));
            var found = await TransactionAsync(ReferringList(), once);
            Assert.Equal(["201", "200"], StatusesOf(found));
            var id = IdOf(made, 1);
            Assert.Equal(id, IdOf(found, 1));

            Assert.Equal(["201", "200"], StatusesOf(await TransactionAsync(ReferringList(), Entry("PUT", byTag, Tagged(type, type), Link))));
            var carrier = new JsonObject { ["resourceType"] = "Binary", ["contentType"] = ResourcePatch.JsonPatchType, ["data"] = Convert.ToBase64String(HouseInMemory.Json(Patch())) };
            Assert.Equal(["201", "200"], StatusesOf(await TransactionAsync(Entry("POST", "Observation", _house.Observation("muu")), Entry("PATCH", byTag, carrier))));
            Assert.Equal("sv", (await _house.Aurora.System.ReadAsync(type, id)).Json.GetProperty("language").GetString());
            Assert.Equal(["201", "204"], StatusesOf(await TransactionAsync(Entry("POST", "Observation", _house.Observation("muu")), Entry("DELETE", byTag))));
            Status(410, await _house.Aurora.System.ReadAsync(type, id));
            // Nothing is found any more: an update makes one.
            Assert.Equal(["201", "201"], StatusesOf(await TransactionAsync(ReferringList(), Entry("PUT", byTag, Tagged(type, type), Link))));
        }
    }

    private JsonObject Tagged(string type, string tag)
    {
        var body = MinimalResources.Of(type, _house.PatientId);
        body["meta"] = new JsonObject { ["tag"] = new JsonArray(new JsonObject { ["system"] = "urn:t", ["code"] = tag }) };
        return body;
    }

    private JsonObject ReferringList()
    {
        var list = MinimalResources.Of("List", _house.PatientId);
        list["entry"] = new JsonArray(new JsonObject { ["item"] = new JsonObject { ["reference"] = Link } });
        return Entry("POST", "List", list);
    }

    private static JsonArray Patch() => [new JsonObject { ["op"] = "add", ["path"] = "/language", ["value"] = "sv" }];

    private static JsonObject Entry(string method, string url, JsonNode? resource = null, string? fullUrl = null)
    {
        var entry = new JsonObject { ["request"] = new JsonObject { ["method"] = method, ["url"] = url } };
        if (fullUrl is not null)
            entry["fullUrl"] = fullUrl;
        if (resource is not null)
            entry["resource"] = resource.DeepClone();
        return entry;
    }

    private async Task<FhirReply> TransactionAsync(params JsonObject[] entries)
    {
        var reply = await _house.Aurora.System.BundleAsync(HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "Bundle", ["type"] = "transaction", ["entry"] = new JsonArray([.. entries.Select(e => e.DeepClone())]),
        }));
        Status(200, reply);
        return reply;
    }

    private static IEnumerable<string> StatusesOf(FhirReply reply) =>
        reply.Json.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("response").GetProperty("status").GetString()![..3]);

    private static string IdOf(FhirReply reply, int entry) =>
        FhirReply.ParseLocation(reply.Json.GetProperty("entry")[entry].GetProperty("response").GetProperty("location").GetString()!)!.Value.Id;

    private static void Status(int expected, FhirReply reply) => Assert.True(reply.Status == expected, $"{expected}: {reply}");
}
