using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Repository;

namespace KantaGateway.Tests.Forwarding;

/// <summary>Law 5: a grant opens one record once. The gateway keeps one for many requests, so it signs another where the record has been closed, and nobody notices.</summary>
public sealed class SpentGrantTests
{
    [Fact]
    public async Task A_record_that_was_closed_is_opened_with_another_grant_on_every_road()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        await house.PermitAsync();
        var observation = new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = "final", ["code"] = new JsonObject { ["text"] = "Paino" }, ["subject"] = new JsonObject { ["reference"] = "Patient/" + house.PatientId },
        };
        JsonObject Bundle(string type, string method, string url, JsonObject? resource = null) => new()
        {
            ["resourceType"] = "Bundle", ["type"] = type,
            ["entry"] = new JsonArray(new JsonObject { ["resource"] = resource?.DeepClone(), ["request"] = new JsonObject { ["method"] = method, ["url"] = url } }),
        };
        var reader = house.Reader;
        foreach (var (road, expected) in new (Func<Task<FhirReply>>, int)[]
        {
            (() => reader.ReadAsync("Observation", note), 200),
            (() => reader.HistoryAsync("Observation", note), 200),
            (() => reader.SearchAsync("Observation", $"patient={house.PatientId}"), 200),
            (() => reader.SendAsync(HttpMethod.Get, $"Patient/{house.PatientId}/$everything"), 200),
            (() => reader.CreateAsync("Observation", Bytes(observation)), 201),
            (() => reader.BundleAsync(Bytes(Bundle("transaction", "POST", "Observation", observation))), 200),
            (() => reader.BundleAsync(Bytes(Bundle("batch", "GET", $"Observation/{note}"))), 200),
            (() => house.Revontuli.System.CreateAsync("Observation", Bytes(observation)), 201),
        })
            foreach (var isKept in new[] { false, true })
            {
                house.CloseRecords();
                var reply = await road();
                Assert.True(reply.Status == expected, $"{(isKept ? "with a kept grant" : "first")}: {reply}");
            }
    }

    [Fact]
    public async Task A_repository_says_that_a_grant_is_spent_and_stores_and_reads_nothing()
    {
        await using var world = await RepositoryWorld.StartAsync();
        var person = await world.NewPersonAsync();
        var aurora = world.As(person, RepositoryWorld.Aurora);
        await aurora.StoreAsync(Some.Patient());
        for (var i = 0; i < 2; i++)
            await world.StartRepositoryAsync();
        string Signed() => world.Signer.Sign(aurora.Grant with { Id = Guid.NewGuid().ToString("N"), Use = GrantUse.Policy });
        var grant = Signed();
        (await world.AskAsync(HttpMethod.Post, "/policy", grant, node: 1)).Is(HttpStatusCode.OK);
        // Open there, it serves as long as it lives; another has to open it anew.
        (await world.AskAsync(HttpMethod.Post, "/policy", grant, node: 1)).Is(HttpStatusCode.OK);
        var spent = (await world.AskAsync(HttpMethod.Post, "/policy", grant, node: 2)).Is(HttpStatusCode.PreconditionFailed);
        Assert.Equal(("1", 0), (spent.Headers[InternalHeaders.GrantSpent], spent.Body.Length));
        (await world.AskAsync(HttpMethod.Post, "/policy", Signed(), node: 2)).Is(HttpStatusCode.OK);
    }

    private static byte[] Bytes(JsonObject resource) => Encoding.UTF8.GetBytes(resource.ToJsonString());
}
