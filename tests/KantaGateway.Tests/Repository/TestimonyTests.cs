using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Interactions;

namespace KantaGateway.Tests.Repository;

/// <summary>Consent, Provenance and AuditEvent obey their own rules on every road.</summary>
public sealed class TestimonyTests : IAsyncLifetime
{
    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Theory]
    [InlineData("Provenance")]
    [InlineData("AuditEvent")]
    public async Task What_testifies_is_made_and_never_changed(string type)
    {
        var note = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        var created = (await _clinic.CreateAsync(Testimony(type, note))).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var target = $"{type}/{id}";
        var patch = Some.Patch("replace", "/recorded", "2026-01-01T00:00:00Z");

        (await _clinic.UpdateAsync(created.Json.AsObject(), created.ETag)).Is(HttpStatusCode.MethodNotAllowed);
        (await _clinic.UpdateByAsync("_id=" + id, created.Json.AsObject())).Is(HttpStatusCode.MethodNotAllowed);
        (await _clinic.PatchAsync(target, patch)).Is(HttpStatusCode.MethodNotAllowed);
        (await _clinic.PatchAsync($"{type}?_id={id}", patch)).Is(HttpStatusCode.MethodNotAllowed);
        (await _clinic.DeleteAsync(target)).Is(HttpStatusCode.MethodNotAllowed);
        (await _clinic.DeleteAsync($"{type}?_id={id}")).Is(HttpStatusCode.MethodNotAllowed);
        foreach (var url in new[] { target, $"{type}?_id={id}" })
        {
            (await _clinic.TransactAsync(Some.Transaction(("DELETE", url, null, null)))).Is(HttpStatusCode.MethodNotAllowed);
            (await _clinic.TransactAsync(Some.Transaction(("PUT", url, created.Json.AsObject(), null)))).Is(HttpStatusCode.MethodNotAllowed);
        }
        Assert.Equal(created.Body, (await _clinic.GetAsync(target)).Is(HttpStatusCode.OK).Body);
        Assert.Equal(1, (int)(await _clinic.GetAsync(target + "/_history")).Is(HttpStatusCode.OK).Json["total"]!);
    }

    [Fact]
    public async Task Consents_are_declared_by_the_person_one_at_a_time_and_by_id()
    {
        var person = _world.AsPerson(_clinic.Grant.Compartment);
        var created = (await person.CreateAsync(Some.Consent(person.PatientId))).Is(HttpStatusCode.Created);
        var target = $"Consent/{created.Json["id"]}";
        var criteria = $"_id={created.Json["id"]}";
        (await person.CreateAsync(Some.Consent(person.PatientId), ("If-None-Exist", criteria))).Is(HttpStatusCode.MethodNotAllowed);
        (await person.UpdateByAsync(criteria, created.Json.AsObject())).Is(HttpStatusCode.MethodNotAllowed);
        (await person.PatchAsync(target, Some.Patch("replace", "/status", "inactive"))).Is(HttpStatusCode.MethodNotAllowed);
        (await person.DeleteAsync(target)).Is(HttpStatusCode.MethodNotAllowed);
        (await person.DeleteAsync("Consent?" + criteria)).Is(HttpStatusCode.MethodNotAllowed);
        (await person.TransactAsync(Some.Transaction(("POST", "Consent", Some.Consent(person.PatientId), null)))).Is(HttpStatusCode.MethodNotAllowed);
        (await person.UpdateAsync(created.Json.AsObject(), created.ETag)).Is(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData(Breadth.Disclosed)]
    [InlineData(Breadth.OwnRegister)]
    [InlineData(Breadth.WholePerson)]
    public async Task A_controllers_use_log_is_read_by_that_controller_alone(Breadth breadth)
    {
        var note = await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        await _clinic.StoreAsync(Some.Patient());
        var entry = await _clinic.StoreAsync(Testimony("AuditEvent", note));
        Assert.Equal([entry], (await _clinic.SearchAsync("AuditEvent")).Is(HttpStatusCode.OK).Ids);

        var other = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, breadth);
        (await other.GetAsync("AuditEvent/" + entry)).Is(HttpStatusCode.NotFound);
        Assert.Empty((await other.SearchAsync("AuditEvent")).Is(HttpStatusCode.OK).Ids);
        Assert.DoesNotContain(entry, (await other.GetAsync($"_history?patient={other.PatientId}")).Is(HttpStatusCode.OK).Text);
        if (breadth != Breadth.OwnRegister)
            Assert.DoesNotContain(entry, (await other.GetAsync($"Patient/{other.PatientId}/$everything")).Is(HttpStatusCode.OK).Text);
    }

    public static TheoryData<string, string, bool> WrongEntries => new()
    {
        { "recorded", "AuditEvent.recorded", false }, { "period", "AuditEvent.period.start", false }, { "observer", "AuditEvent.source.observer", false }, { "contained observer", "AuditEvent.source.observer", false },
        { "recorded", "Bundle.entry[0].resource.recorded", true },
    };

    [Theory]
    [MemberData(nameof(WrongEntries))]
    public async Task An_entry_of_what_has_not_been_or_of_anothers_use_log_is_refused_and_nothing_is_stored(string what, string expression, bool inTransaction)
    {
        await _clinic.StoreAsync(Some.Patient());
        var entry = Testimony("AuditEvent", await _clinic.StoreAsync(Some.Observation(_clinic.PatientId)));
        var later = DateTimeOffset.UtcNow.AddMinutes(6).ToString("O");
        JsonObject Organisation(string oid) => new() { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + oid };
        switch (what)
        {
            case "recorded":
                entry["recorded"] = later;
                break;
            case "period":
                entry["period"] = new JsonObject { ["start"] = later };
                break;
            case "observer":
                entry["source"]!["observer"] = new JsonObject { ["identifier"] = Organisation(RepositoryWorld.Revontuli) };
                break;
            default:
                entry["contained"] = new JsonArray(new JsonObject { ["resourceType"] = "Organization", ["id"] = "o", ["identifier"] = new JsonArray(Organisation(RepositoryWorld.Revontuli)) });
                entry["source"]!["observer"] = new JsonObject { ["reference"] = "#o" };
                break;
        }
        var answer = inTransaction ? await _clinic.TransactAsync(Some.Transaction(("POST", "AuditEvent", entry, null))) : await _clinic.CreateAsync(entry);
        Assert.Equal(expression, answer.Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Empty((await _clinic.SearchAsync("AuditEvent")).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task A_unit_of_the_controller_keeps_its_use_log_and_clocks_may_differ_a_little()
    {
        var entry = Testimony("AuditEvent", await _clinic.StoreAsync(Some.Observation(_clinic.PatientId)));
        entry["recorded"] = DateTimeOffset.UtcNow.AddMinutes(4).ToString("O");
        entry["source"]!["observer"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = $"urn:oid:{RepositoryWorld.Aurora}.10.1" } };
        (await _clinic.CreateAsync(entry)).Is(HttpStatusCode.Created);
    }

    [Fact]
    public void The_capability_statement_offers_what_the_rules_allow()
    {
        Assert.Equal(["create", "history-instance", "history-type", "read", "search-type", "vread"], Offered("Provenance"));
        Assert.Equal(Offered("Provenance"), Offered("AuditEvent"));
        Assert.Equal(["create", "history-instance", "history-type", "read", "search-type", "vread"], Offered("Consent"));
        Assert.Contains("patch", Offered("Observation"));
    }

    private static string[] Offered(string type) =>
        [.. RestRoutes.All.Where(r => r is { IsOfType: true, Code: not null } && ResourceRules.IsOffered(type, r)).Select(r => r.Code!).Distinct().Order(StringComparer.Ordinal)];

    private JsonObject Testimony(string type, string observation) => type == "Provenance"
        ? new()
        {
            ["resourceType"] = "Provenance",
            ["target"] = new JsonArray(Some.To("Observation/" + observation)),
            ["recorded"] = "2026-01-05T08:15:00+02:00",
            ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Aurora" } }),
        }
        : new()
        {
            ["resourceType"] = "AuditEvent",
            ["type"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/audit-event-type", ["code"] = "rest" },
            ["recorded"] = "2026-01-05T08:15:00+02:00",
            ["agent"] = new JsonArray(new JsonObject { ["requestor"] = true, ["name"] = "Hoitaja" }),
            ["source"] = new JsonObject { ["observer"] = new JsonObject { ["display"] = "Aurora" } },
            ["entity"] = new JsonArray(new JsonObject { ["what"] = Some.To("Patient/" + _clinic.PatientId) }),
        };
}
