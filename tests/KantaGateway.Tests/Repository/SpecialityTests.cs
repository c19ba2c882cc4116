using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Decree 457/2024 §6: of other registers a limited task reaches the documents of its own speciality, and their contents.</summary>
public sealed class SpecialityTests : IAsyncLifetime
{
    private const string Own = "394602003", Foreign = "394579002";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _limited = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        var person = RepositoryWorld.NewPerson();
        _aurora = _world.As(person, RepositoryWorld.Aurora);
        _limited = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with
        {
            TypesOfOthers = ["Binary", "DocumentReference", "Observation"],
            FiltersOfOthers = [new("DocumentReference", ["setting=" + Uri.EscapeDataString("http://snomed.info/sct|" + Own)], reads: true)],
        });
        await _aurora.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Documents_of_the_own_speciality_are_found_with_their_contents_and_others_look_absent()
    {
        var (ownDocument, ownContent) = await StoreAsync(_aurora, Own);
        var (foreignDocument, foreignContent) = await StoreAsync(_aurora, Foreign);
        var lone = await _aurora.StoreAsync(Binary());
        var observation = await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));

        Assert.Equal([ownDocument], (await _limited.SearchAsync("DocumentReference")).Is(HttpStatusCode.OK).Ids);
        foreach (var seen in (string[])["DocumentReference/" + ownDocument, "Binary/" + ownContent, "Observation/" + observation])
            (await _limited.GetAsync(seen)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])["DocumentReference/" + foreignDocument, "Binary/" + foreignContent, "Binary/" + lone])
        {
            (await _limited.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
            (await _limited.GetAsync(hidden + "/_history")).Is(HttpStatusCode.NotFound);
        }
        var everything = (await _limited.GetAsync($"Patient/{_aurora.PatientId}/$everything")).Text;
        Assert.DoesNotContain(foreignDocument, everything, StringComparison.Ordinal);
        Assert.DoesNotContain(foreignContent, everything, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_own_register_is_not_narrowed_by_the_speciality()
    {
        var own = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await own.StoreAsync(Some.Patient());
        var (document, content) = await StoreAsync(own, Foreign);
        (await _limited.GetAsync("DocumentReference/" + document)).Is(HttpStatusCode.OK);
        (await _limited.GetAsync("Binary/" + content)).Is(HttpStatusCode.OK);
    }

    private async Task<(string Document, string Content)> StoreAsync(Caller caller, string setting)
    {
        var content = await caller.StoreAsync(Binary());
        return (await caller.StoreAsync(new JsonObject
        {
            ["resourceType"] = "DocumentReference", ["status"] = "current",
            ["subject"] = Some.To("Patient/" + caller.PatientId),
            ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = "Binary/" + content } }),
            ["context"] = new JsonObject { ["practiceSetting"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://snomed.info/sct", ["code"] = setting }) } },
        }), content);
    }

    private JsonObject Binary() => new()
    {
        ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + _aurora.PatientId), ["data"] = "S3VudG91dHVz",
    };
}
