using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>What the gateway decides on, and when it must decide anew.</summary>
public sealed class PolicyReadingTests : IAsyncLifetime
{
    private const string Visit = "1.2.246.10.11111111.14.5";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Visits_and_appointments_come_with_their_register_and_services()
    {
        await _aurora.StoreAsync(Some.Patient());
        var care = _aurora.With(s => s with { Register = Register.Occupational("0204819-8") });
        await care.StoreAsync(Some.Patient());
        var encounter = Some.Encounter(_aurora.PatientId, Visit);
        encounter["serviceType"] = Service("142");
        await _aurora.StoreAsync(encounter);
        await care.StoreAsync(Appointment("booked"));
        foreach (var status in (string[])["proposed", "pending", "fulfilled", "cancelled", "noshow", "waitlist", "entered-in-error"])
            await _aurora.StoreAsync(Appointment(status));
        var events = (await PolicyAsync())["serviceEvents"]!.AsArray();
        Assert.Equal(2, events.Count);
        foreach (var told in events.Select(e => e!.AsObject()))
        {
            // When it was stored is the repository's word, whatever the visit says of itself.
            Assert.InRange(DateTimeOffset.Parse((string)told["stored"]!, System.Globalization.CultureInfo.InvariantCulture), DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(5));
            told.Remove("stored");
        }
        Assert.True(JsonNode.DeepEquals(new JsonObject
        {
            ["kind"] = "Encounter", ["oid"] = Visit, ["controller"] = RepositoryWorld.Aurora, ["register"] = "2", ["services"] = (int)ProtectedService.Psychology,
            ["status"] = "in-progress", ["start"] = "2026-01-05T08:00:00+02:00",
        }, events[0]), events[0]!.ToJsonString());
        Assert.True(JsonNode.DeepEquals(new JsonObject
        {
            ["kind"] = "Appointment", ["controller"] = RepositoryWorld.Aurora, ["register"] = "4:1.2.246.10.2048198", ["services"] = 0,
            ["status"] = "booked", ["start"] = "2026-05-05T08:00:00+03:00", ["end"] = "2026-05-05T09:00:00+03:00",
        }, events[1]), events[1]!.ToJsonString());
        foreach (var status in (string[])["arrived", "checked-in"])
            await _aurora.StoreAsync(Appointment(status));
        Assert.Equal(4, (await PolicyAsync())["serviceEvents"]!.AsArray().Count);
    }

    [Theory]
    [InlineData(RepositoryWorld.Aurora + ".10.7", null, RepositoryWorld.Aurora + ".10.7")]
    [InlineData(RepositoryWorld.Aurora, null, null)]
    [InlineData(RepositoryWorld.Aurora + ".10.8", RepositoryWorld.Aurora + ".10.7", RepositoryWorld.Aurora + ".10.7 " + RepositoryWorld.Aurora + ".10.8")]
    public async Task A_visit_comes_with_the_unit_that_it_names_and_its_booking_with_it(string provider, string? another, string? expected)
    {
        await _aurora.StoreAsync(Some.Patient());
        foreach (var its in new[] { provider, another }.OfType<string>())
        {
            var encounter = Some.Encounter(_aurora.PatientId, Visit);
            encounter["serviceProvider"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + its } };
            await _aurora.StoreAsync(encounter);
        }
        var booked = Appointment("booked");
        booked["extension"] = new JsonArray(new JsonObject { ["url"] = KantaGateway.Fhir.Compartment.References.ServiceEventExtension, ["valueOid"] = "urn:oid:" + Visit });
        await _aurora.StoreAsync(booked);
        var events = (await PolicyAsync())["serviceEvents"]!.AsArray();
        Assert.Equal(another is null ? 2 : 3, events.Count);
        Assert.All(events, e => Assert.Equal((Visit, expected), ((string?)e!["oid"], (string?)e["unit"])));
    }

    [Fact]
    public async Task Of_the_person_each_registers_record_tells_what_it_knows()
    {
        Assert.Equal("[]", (await PolicyAsync())["people"]!.ToJsonString());
        var first = Some.Patient();
        first["birthDate"] = "2015-02-03";
        first["deceasedDateTime"] = "2026-01-02";
        await _aurora.StoreAsync(first);
        var fact = Some.Patient();
        fact["deceasedBoolean"] = true;
        await _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli).StoreAsync(fact);
        await _world.As(_aurora.Grant.Compartment, "1.2.246.10.33333333").StoreAsync(Some.Patient());
        var denial = Some.Patient();
        denial["deceasedBoolean"] = false;
        await _world.As(_aurora.Grant.Compartment, "1.2.246.10.44444444").StoreAsync(denial);
        var people = (await PolicyAsync())["people"]!.AsArray();
        Assert.Equal(("2015-02-03", "2026-01-02", null), ((string?)people[0]!["birthDate"], (string?)people[0]!["deceased"], people[0]!["alive"]));
        // Only the fact is known: the day it was written.
        Assert.Matches(@"^20\d\d-\d\d-\d\d$", (string)people[1]!["deceased"]!);
        Assert.Equal(["controller", "stored"], people[2]!.AsObject().Select(static its => its.Key));
        Assert.Equal([RepositoryWorld.Aurora, RepositoryWorld.Revontuli, "1.2.246.10.33333333", "1.2.246.10.44444444"], people.Select(static person => (string?)person!["controller"]));
        Assert.True((bool)people[3]!["alive"]!);
        Assert.All(people, person => Assert.Matches(@"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", (string)person!["stored"]!));
    }

    [Fact]
    public async Task The_version_moves_with_what_decisions_rest_on_and_with_nothing_else()
    {
        var created = (await _aurora.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
        var version = await VersionAsync();
        Assert.True(version > 0);

        // When a record was stored weighs against a death that another states, whatever it says.
        var before = (string?)(await PolicyAsync())["people"]![0]!["stored"];
        created.Json["name"]![0]!["family"] = "Lepp\u00e4";
        (await _aurora.UpdateAsync(created.Json, created.ETag)).Is(HttpStatusCode.OK);
        Assert.True(await MovedAsync());
        Assert.NotEqual(before, (string?)(await PolicyAsync())["people"]![0]!["stored"]);
        await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));
        Assert.False(await MovedAsync());
        await _aurora.StoreAsync(Appointment("booked"));
        Assert.True(await MovedAsync());
        (await _aurora.DeleteAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.NoContent);
        Assert.True(await MovedAsync());
        // A record that knows none of it, but that another register knows them.
        await _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli).StoreAsync(Some.Patient());
        Assert.True(await MovedAsync());

        async Task<bool> MovedAsync()
        {
            var before = version;
            version = await VersionAsync();
            return version != before;
        }
    }

    private async Task<JsonNode> PolicyAsync() => (await _aurora.PolicyAsync()).Is(HttpStatusCode.OK).Json;

    private async Task<long> VersionAsync() => (long)(await PolicyAsync())["version"]!;

    private static JsonObject Service(string code) =>
        new() { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/service-type", ["code"] = code }) };

    private JsonObject Appointment(string status) => new()
    {
        ["resourceType"] = "Appointment", ["status"] = status,
        ["participant"] = new JsonArray(new JsonObject { ["actor"] = Some.To("Patient/" + _aurora.PatientId), ["status"] = "accepted" }),
        ["start"] = "2026-05-05T08:00:00+03:00", ["end"] = "2026-05-05T09:00:00+03:00",
    };
}
