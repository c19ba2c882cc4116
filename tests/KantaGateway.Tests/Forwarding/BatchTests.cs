using System.Text.Json.Nodes;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Laws;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>A batch is many requests, carried out at the same time, and one to whoever traces it.</summary>
public sealed class BatchTests
{
    private const string CorrelationId = "X-Correlation-Id";

    /// <summary>Entries run at once and a request's context is for one thread: had none an id, each might make one of its own.</summary>
    [Fact]
    public async Task The_batch_has_its_correlation_id_before_its_entries_begin()
    {
        var body = """{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Observation/1"}},{"request":{"method":"GET","url":"Observation/2"}}]}"""u8.ToArray();
        var outer = new DefaultHttpContext { Response = { Body = new MemoryStream() } };
        var scopes = new Scopes(() => outer.Response.Headers[CorrelationId].ToString());
        var answered = new List<string>();

        await new BatchSplitter(scopes).AnswerAsync(outer, Somebody, new Reading.Batch(RequestScan.Read(body), body), inner =>
        {
            lock (answered)
                answered.Add(Gateway.Faults.Correlation.Of(inner));
            return Task.CompletedTask;
        });

        Assert.Equal(2, scopes.Seen.Count);
        Assert.All(scopes.Seen.Concat(answered), id => Assert.Equal(outer.Response.Headers[CorrelationId].ToString(), id));
        Assert.NotEqual("", outer.Response.Headers[CorrelationId].ToString());
    }

    /// <summary>What the envelope claims counts with what its entries claim.</summary>
    [Fact]
    public async Task A_profile_that_a_batch_claims_is_refused_or_told_of_by_the_policy_of_the_client()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var entry = house.Observation("x");
        entry["meta"] = Claim("https://example.org/fhir/StructureDefinition/note");
        var bundle = new JsonObject
        {
            ["resourceType"] = "Bundle", ["meta"] = Claim("https://example.org/fhir/StructureDefinition/envelope"), ["type"] = "batch",
            ["entry"] = new JsonArray(new JsonObject { ["resource"] = entry, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Observation" } }),
        };
        var accepted = await house.Aurora.System.BundleAsync(HouseInMemory.Json(bundle));
        Assert.True(accepted.Status == 200, accepted.ToString());
        Assert.Equal("2", accepted.Headers[UnenforcedProfiles.Header]);

        var refused = await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(house.Citizen, "POST", "", HouseInMemory.Json(bundle));
        Assert.Equal(422, refused.Status);
        Assert.Contains("Bundle.meta.profile[0]", System.Text.Encoding.UTF8.GetString(refused.Body), StringComparison.Ordinal);

        static JsonObject Claim(string profile) => new() { ["profile"] = new JsonArray(profile) };
    }

    private static Requester Somebody => new()
    {
        Kind = RequesterKind.System,
        ClientId = "aurora",
        Organisation = Oid.Parse("1.2.246.10.99000011"),
        OrganisationName = "Aurora",
        ControllerKind = ControllerKind.Private,
        PurposeOfUse = "TREAT",
        TokenId = "t",
        Scopes = [],
        Expires = DateTimeOffset.MaxValue,
    };

    /// <summary>Each entry opens a scope first: what is to be seen then is noted.</summary>
    private sealed class Scopes(Func<string> look) : IServiceScopeFactory
    {
        public List<string> Seen { get; } = [];

        public IServiceScope CreateScope()
        {
            lock (Seen)
                Seen.Add(look());
            return new ServiceCollection().BuildServiceProvider().CreateScope();
        }
    }
}
