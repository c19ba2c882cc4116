using System.Net;
using System.Text;

namespace KantaGateway.Tests.Repository;

public abstract class ReadingTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;

    /// <summary>Connection string of an empty PostgreSQL database; null: SQLite.</summary>
    private protected abstract Task<Storage.PostgresDatabase?> DatabaseAsync();

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync(await DatabaseAsync());

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task What_is_created_reads_back_byte_for_byte_with_a_manifest()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        Assert.Equal(clinic.PatientId, await clinic.StoreAsync(Some.Patient()));
        var created = (await clinic.CreateAsync(Some.Observation(clinic.PatientId))).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var read = (await clinic.GetAsync("Observation/" + id)).Is(HttpStatusCode.OK);

        Assert.Equal(created.Body, read.Body);
        Assert.Equal(created.ETag, read.ETag);
        Assert.Equal($"{RepositoryWorld.Base}/Observation/{id}/_history/{(string)created.Json["meta"]!["versionId"]!}", created.Headers["Location"]);
        var item = Assert.Single(read.Manifest!.Items);
        Assert.Equal(("Observation", id, RepositoryWorld.Aurora), (item.Type, item.Id, item.Controller));
        Assert.Equal(System.Security.Cryptography.SHA256.HashData(read.Body), read.Manifest.Digest);
        Assert.Equal(read.Body, (await clinic.GetAsync($"Observation/{id}/_history/{item.VersionId}")).Is(HttpStatusCode.OK).Body);
    }

    [Fact]
    public async Task Search_gives_what_matches_in_the_order_of_creation()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var first = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        await clinic.StoreAsync(Some.Observation(clinic.PatientId, "9279-1"));
        var second = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var found = (await clinic.SearchAsync("Observation", "code=http://loinc.org|8867-4&patient=" + clinic.PatientId)).Is(HttpStatusCode.OK);
        Assert.Equal([first, second], found.Ids);
        Assert.Equal(2, (int)found.Json["total"]!);
        Assert.Equal(2, found.Manifest!.Items.Count);
    }

    [Fact]
    public async Task Health_is_told_without_a_grant()
    {
        (await _world.SendAsync(null, null, "GET", "/health/live")).Is(HttpStatusCode.OK);
        (await _world.SendAsync(null, null, "GET", "/health/ready")).Is(HttpStatusCode.OK);
    }

    [Fact]
    public void Whoever_is_answered_is_answered_by_a_repository_whose_validator_has_read_the_specification() =>
        Assert.True(KantaGateway.Fhir.Validation.KnownProfiles.PrepareAsync().IsCompletedSuccessfully);

    [Theory]
    [InlineData("PATCH", "/fhir/Observation/x/_history/y", HttpStatusCode.MethodNotAllowed, "GET,HEAD")]
    [InlineData("GET", "/fhir", HttpStatusCode.MethodNotAllowed, "POST")]
    [InlineData("DELETE", "/fhir/Provenance/x", HttpStatusCode.MethodNotAllowed, "GET,HEAD")]
    [InlineData("GET", "/fhir/Nonsense/x", HttpStatusCode.NotFound)]
    [InlineData("GET", "/fhir/Organization/x", HttpStatusCode.NotFound)]
    [InlineData("GET", "/fhir/Observation/a/b/c/d/e", HttpStatusCode.MethodNotAllowed, "")]
    public async Task Odd_requests_get_an_outcome(string method, string target, HttpStatusCode status, string? allowed = null)
    {
        var reply = await _world.SendAsync(_world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).Grant, null, method, target);
        Assert.Equal(status, reply.Status);
        Assert.Equal(allowed, reply.Headers.GetValueOrDefault("Allow"));
        Assert.Equal("OperationOutcome", (string)reply.Json["resourceType"]!);
        Assert.Equal("test-1", (string)reply.Json["id"]!);
    }

    [Fact]
    public async Task No_link_repeats_an_identity_code()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        for (var i = 0; i < 3; i++)
            await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var found = (await clinic.SearchAsync("Observation", $"_count=2&patient.identifier=urn%3Aoid%3A1.2.246.21%7C{RepositoryWorld.Code}&code=8867-4")).Is(HttpStatusCode.OK);
        Assert.Equal(["self", "last", "next"], found.Json["link"]!.AsArray().Select(l => (string)l!["relation"]!));
        Assert.DoesNotContain(RepositoryWorld.Code, found.Text);
        Assert.Equal($"{RepositoryWorld.Base}/Observation?_count=2&code=8867-4", (string)found.Json["link"]![0]!["url"]!);
    }

    [Fact]
    public async Task Policy_tells_consents_and_open_service_events_of_every_controller()
    {
        var person = await _world.NewPersonAsync();
        var aurora = _world.As(person, RepositoryWorld.Aurora);
        var revontuli = _world.As(person, RepositoryWorld.Revontuli);
        Assert.Equal("""{"version":0,"consents":[],"order":[],"serviceEvents":[],"people":[]}""", (await aurora.PolicyAsync()).Is(HttpStatusCode.OK).Text);

        var open = await aurora.StoreAsync(Some.Encounter(aurora.PatientId, "1.2.246.10.11111111.14.1"));
        await revontuli.StoreAsync(Some.Encounter(aurora.PatientId, "1.2.246.10.22222222.14.1", "finished"));
        var consent = await _world.AsPerson(person).StoreAsync(Some.Consent(aurora.PatientId));

        var policy = (await aurora.PolicyAsync()).Is(HttpStatusCode.OK).Json;
        Assert.Equal(3, (long)policy["version"]!);
        Assert.Equal(consent, (string)Assert.Single(policy["consents"]!.AsArray())!["id"]!);
        Assert.Equal(3, (long)Assert.Single(policy["order"]!.AsArray())!);
        var serviceEvent = Assert.Single(policy["serviceEvents"]!.AsArray())!;
        Assert.Equal(("1.2.246.10.11111111.14.1", RepositoryWorld.Aurora, "in-progress"),
            ((string)serviceEvent["oid"]!, (string)serviceEvent["controller"]!, (string)serviceEvent["status"]!));

        Assert.Equal(HttpStatusCode.OK, (await aurora.WithPolicy(3).SearchAsync("Observation")).Status);
        var moved = await aurora.WithPolicy(2).SearchAsync("Observation");
        Assert.Equal((HttpStatusCode.PreconditionFailed, "3", 0), (moved.Status, moved.Headers["X-Kanta-Policy-Version"], moved.Body.Length));
        Assert.Equal(HttpStatusCode.PreconditionFailed, (await aurora.WithPolicy(2).GetAsync("Encounter/" + open)).Status);
    }

    [Fact]
    public async Task What_another_node_has_committed_binds_the_next_read_here()
    {
        await _world.StartRepositoryAsync();
        var person = await _world.NewPersonAsync();
        var here = _world.As(person, RepositoryWorld.Aurora);
        var id = "Observation/" + await here.StoreAsync(Some.Observation(here.PatientId));
        await here.StoreAsync(Some.Encounter(here.PatientId));
        var decided = here.WithPolicy(2);
        (await decided.GetAsync(id)).Is(HttpStatusCode.OK);

        // The person's declaration goes through the other node; this one has the compartment open, and must not trust that.
        var consent = await (_world.AsPerson(person) with { Node = 1 }).CreateAsync(Some.Consent(here.PatientId));
        consent.Is(HttpStatusCode.Created);
        Assert.Equal("3", (await decided.GetAsync(id)).Is(HttpStatusCode.PreconditionFailed).Headers["X-Kanta-Policy-Version"]);
        (await decided.SearchAsync("Observation")).Is(HttpStatusCode.PreconditionFailed);
        (await decided.GetAsync(id + "/_history")).Is(HttpStatusCode.PreconditionFailed);
        (await decided.CreateAsync(Some.Observation(here.PatientId))).Is(HttpStatusCode.PreconditionFailed);
        (await decided.WithPolicy(3).GetAsync(id)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Writers_on_two_nodes_lose_nothing()
    {
        await _world.StartRepositoryAsync();
        var here = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var ids = await Task.WhenAll(Enumerable.Range(0, 40).Select(n => (here with { Node = n % 2 }).StoreAsync(Some.Observation(here.PatientId))));
        for (var node = 0; node < 2; node++)
            Assert.Equal(ids.Order(), (await (here with { Node = node }).SearchAsync("Observation", "_count=200")).Ids.Order());
    }

    [Fact]
    public async Task Without_a_valid_grant_nothing_is_answered()
    {
        var person = await _world.NewPersonAsync();
        var clinic = _world.As(person, RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        (await _world.SendAsync(null, null, "GET", "/fhir/Patient/" + clinic.PatientId)).Is(HttpStatusCode.Unauthorized);
        var forged = await _world.SendAsync(null, null, "GET", "/fhir/Patient/" + clinic.PatientId, null, null,
            ("X-Kanta-Grant", _world.Signer.Sign(clinic.Grant)[..^4] + "AAAA"));
        forged.Is(HttpStatusCode.Unauthorized);
        // A policy grant reads no record, a read grant no policy.
        (await _world.SendAsync(clinic.Grant with { Use = KantaGateway.Fhir.Grants.GrantUse.Policy }, null, "GET", "/fhir/Patient/" + clinic.PatientId)).Is(HttpStatusCode.Forbidden);
        (await _world.SendAsync(clinic.Grant, null, "POST", "/policy")).Is(HttpStatusCode.Forbidden);
        Assert.DoesNotContain("Koivu", Encoding.UTF8.GetString(forged.Body));
    }
}

public sealed class ReadingOnSqliteTests : ReadingTests
{
    private protected override Task<Storage.PostgresDatabase?> DatabaseAsync() => Task.FromResult<Storage.PostgresDatabase?>(null);
}

public sealed class ReadingOnPostgresTests : ReadingTests
{
    private protected override async Task<Storage.PostgresDatabase?> DatabaseAsync() => await Storage.PostgresServer.NewDatabaseAsync();
}
