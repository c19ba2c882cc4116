using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Fhir.Validation;

namespace KantaGateway.Tests.Repository;

/// <summary>What says of itself that it is a part is not stored as if it were all, and what a Bundle claims is not overlooked.</summary>
public sealed class PartsAndClaimsTests : IAsyncLifetime
{
    private const string Unknown = "https://example.org/fhir/StructureDefinition/envelope", OfObservations = "http://hl7.org/fhir/StructureDefinition/vitalsigns";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    private JsonObject Part()
    {
        var part = Some.Observation(_clinic.PatientId);
        part["meta"] = new JsonObject { ["tag"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", ["code"] = "SUBSETTED" }) };
        return part;
    }

    [Fact]
    public async Task A_part_of_a_resource_is_stored_by_no_road()
    {
        AssertRefused(await _clinic.CreateAsync(Part()), "Observation.meta.tag[0]");
        AssertRefused(await _clinic.CreateAsync(Part(), ("If-None-Exist", "code=nothing")), "Observation.meta.tag[0]");
        AssertRefused(await _clinic.UpdateByAsync("code=nothing", Part()), "Observation.meta.tag[0]");
        AssertRefused(await _clinic.TransactAsync(Some.Transaction(("POST", "Observation", Part(), null))), "Bundle.entry[0].resource.meta.tag[0]");

        var stored = (await _clinic.CreateAsync(Some.Observation(_clinic.PatientId))).Is(HttpStatusCode.Created);
        var part = Part();
        part["id"] = (string)stored.Json["id"]!;
        AssertRefused(await _clinic.UpdateAsync(part, stored.ETag), "Observation.meta.tag[0]");
        AssertRefused(await _clinic.PatchAsync("Observation/" + (string)stored.Json["id"]!, Some.Patch("add", "/meta/tag", part["meta"]!["tag"]!.DeepClone())), "Observation.meta.tag[0]");
        Assert.Equal(1, (int)(await _clinic.GetAsync("Observation")).Json["total"]!);
    }

    private static void AssertRefused(Reply reply, string expression)
    {
        reply.Is(HttpStatusCode.UnprocessableEntity);
        Assert.Equal(expression, reply.Expression);
    }

    private async Task<Reply> TransactAsync(string claim, string? policy)
    {
        var bundle = Some.Transaction(("POST", "Observation", Some.Observation(_clinic.PatientId), null));
        bundle["meta"] = new JsonObject { ["profile"] = new JsonArray(claim) };
        return await _clinic.TransactAsync(bundle, policy is null ? [] : [(InternalHeaders.UnknownProfiles, policy)]);
    }

    [Fact]
    public async Task A_profile_that_a_transaction_claims_is_refused_or_told_of_by_the_policy_of_the_client()
    {
        AssertRefused(await TransactAsync(Unknown, null), "Bundle.meta.profile[0]");
        Assert.Equal("1", (await TransactAsync(Unknown, "accept")).Is(HttpStatusCode.OK).Headers[UnenforcedProfiles.Header]);
        // A known one is not a Bundle's.
        AssertRefused(await TransactAsync(OfObservations, "accept"), "Bundle.meta.profile[0]");
        Assert.Equal(1, (int)(await _clinic.GetAsync("Observation")).Json["total"]!);
    }
}
