using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Repository.Interactions;

namespace KantaGateway.Tests.Repository;

/// <summary>What an answer can hold is bounded before anything is stored.</summary>
public sealed class BoundsTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Theory]
    [InlineData("Observation", 50, 1, HttpStatusCode.UnprocessableEntity)]
    [InlineData("Observation", 49, 1, HttpStatusCode.OK)]
    [InlineData("Encounter/00000000-0000-4000-8000-000000000000/_history", 50, 1, HttpStatusCode.UnprocessableEntity)]
    [InlineData("Encounter/00000000-0000-4000-8000-000000000000", 50, 1, HttpStatusCode.OK)]
    [InlineData("Encounter/00000000-0000-4000-8000-000000000000", 51, 1, HttpStatusCode.UnprocessableEntity)]
    [InlineData("Observation", 0, 2001, HttpStatusCode.UnprocessableEntity)]
    public async Task A_transaction_whose_answer_might_not_fit_stores_nothing(string read, int reads, int writes, HttpStatusCode status)
    {
        var entries = Enumerable.Repeat(("GET", read, (JsonObject?)null, (string?)null), reads)
            .Concat(Enumerable.Range(0, writes).Select(_ => ("POST", "Observation", (JsonObject?)Some.Observation(_clinic.PatientId), (string?)null)));
        var reply = (await _clinic.TransactAsync(Some.Transaction([.. entries]))).Is(status);
        if (status != HttpStatusCode.OK)
            Assert.Equal(("too-costly", "Bundle.entry"), ((string)reply.Json["issue"]![0]!["code"]!, reply.Expression));
        Assert.Equal(status == HttpStatusCode.OK ? writes : 0, (int)(await _clinic.SearchAsync("Observation")).Json["total"]!);
    }

    [Fact]
    public async Task Pages_end_where_they_grow_too_large_and_go_on()
    {
        var created = await _clinic.CreateAsync(Large());
        var large = created.Is(HttpStatusCode.Created).Json;
        await _clinic.StoreAsync(Large());
        await _clinic.StoreAsync(Large());
        var first = (await _clinic.SearchAsync("DocumentReference")).Is(HttpStatusCode.OK);
        Assert.InRange(first.Body.Length, 1, Answer.MaxPage + 10_000);
        Assert.Equal((3, 2, 2), ((int)first.Json["total"]!, first.Ids.Length, first.Manifest!.Items.Count));
        var second = (await _clinic.GetAsync(first.Link("next")!)).Is(HttpStatusCode.OK);
        Assert.Single(second.Ids);
        Assert.Equal(3, first.Ids.Concat(second.Ids).Distinct().Count());

        var etag = created.ETag;
        for (var i = 0; i < 2; i++)
            etag = (await _clinic.UpdateAsync(large, etag)).Is(HttpStatusCode.OK).ETag;
        var history = (await _clinic.GetAsync($"DocumentReference/{(string)large["id"]!}/_history")).Is(HttpStatusCode.OK);
        Assert.Equal((3, 2), ((int)history.Json["total"]!, history.Ids.Length));
        Assert.Single((await _clinic.GetAsync(history.Link("next")!)).Is(HttpStatusCode.OK).Ids);

        // In a transaction each read has its page, and all together their bound.
        var reads = Enumerable.Repeat(("GET", "DocumentReference", (JsonObject?)null, (string?)null), 6);
        var reply = (await _clinic.TransactAsync(Some.Transaction([.. reads]))).Is(HttpStatusCode.OK);
        Assert.InRange(reply.Body.Length, 1, Changes.MaxTransactionAnswer + 100_000);
        var statuses = reply.Json["entry"]!.AsArray().Select(e => (string)e!["response"]!["status"]!).ToList();
        Assert.Equal(["200 OK", "200 OK", "200 OK", "200 OK", "413", "413"], statuses);
        Assert.Equal(8, reply.Manifest!.Items.Count);
    }

    /// <summary>A document of 3.9 MB: two to a page.</summary>
    private JsonObject Large() => new()
    {
        ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _clinic.PatientId),
        ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["data"] = new string('A', 3_900_000) } }),
    };
}
