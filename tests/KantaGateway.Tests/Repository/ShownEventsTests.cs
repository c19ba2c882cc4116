using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Whatever shows an entry of a denied service event is hidden with it, and nothing gets out of a service event.</summary>
public sealed class ShownEventsTests : IAsyncLifetime
{
    private const string Event = "1.2.246.10.11111111.14.1", OtherEvent = "1.2.246.10.11111111.14.2", Third = "1.2.246.10.33333333";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _reader = null!, _denied = null!;
    private string _encounter = "", _observation = "", _open = "";

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        var person = await _world.NewPersonAsync();
        _aurora = _world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed, Event);
        _reader = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed);
        _denied = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed, Event);
        await _aurora.StoreAsync(Some.Patient());
        _encounter = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, Event));
        _open = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, OtherEvent));
        _observation = await _aurora.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: _encounter));
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task A_list_is_hidden_with_an_entry_that_it_names()
    {
        await AssertHiddenAsync("List/" + await _aurora.StoreAsync(List("Observation/" + _observation)));
        Assert.Equal(0, (int)(await _denied.SearchAsync("List")).Json["total"]!);
    }

    [Fact]
    public async Task A_resource_of_an_open_event_is_hidden_with_a_denied_one_that_it_refers_to()
    {
        var derived = Some.Observation(_aurora.PatientId, encounterId: _open);
        derived["derivedFrom"] = new JsonArray(Some.To("Observation/" + _observation));
        var id = await _aurora.StoreAsync(derived);
        await AssertHiddenAsync("Observation/" + id);
        // And what refers to that, for it would show that there is something.
        await AssertHiddenAsync("List/" + await _aurora.StoreAsync(List("Observation/" + id)));
    }

    [Fact]
    public async Task A_provenance_is_hidden_when_any_of_its_targets_is()
    {
        var open = await _aurora.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: _open));
        await AssertHiddenAsync("Provenance/" + await _aurora.StoreAsync(new JsonObject
        {
            ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00",
            ["target"] = new JsonArray(Some.To("Observation/" + open), Some.To("Observation/" + _observation)),
            ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Klinikka Aurora" } }),
        }));
        (await _denied.GetAsync("Observation/" + open)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Within_a_transaction_an_event_shows_through_any_number_of_references_and_circles()
    {
        const string first = "urn:uuid:00000000-0000-4000-8000-00000000000a", second = "urn:uuid:00000000-0000-4000-8000-00000000000b", third = "urn:uuid:00000000-0000-4000-8000-00000000000c";
        var last = Some.Observation(_aurora.PatientId, encounterId: _encounter);
        last["focus"] = new JsonArray(Some.To(first));
        var reply = await _aurora.TransactAsync(Some.Transaction(
            ("POST", "List", List(second), first), ("POST", "List", List(third), second), ("POST", "Observation", last, third)));
        foreach (var entry in reply.Is(HttpStatusCode.OK).Json["entry"]!.AsArray())
            await AssertHiddenAsync(((string)entry!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0]);
    }

    [Fact]
    public async Task A_companion_of_two_events_is_hidden_with_either()
    {
        const string medication = "urn:uuid:00000000-0000-4000-8000-00000000000a";
        var reply = await _aurora.TransactAsync(Some.Transaction(
            ("POST", "Medication", new JsonObject { ["resourceType"] = "Medication", ["status"] = "active" }, medication),
            ("POST", "MedicationRequest", Prescription(medication, _open), null),
            ("POST", "MedicationRequest", Prescription(medication, _encounter), null)));
        foreach (var entry in reply.Is(HttpStatusCode.OK).Json["entry"]!.AsArray())
            await AssertHiddenAsync(((string)entry!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0]);
    }

    [Fact]
    public async Task A_document_cannot_take_a_text_that_stays_readable_under_its_denial()
    {
        var alone = await _aurora.StoreAsync(Binary("Patient/" + _aurora.PatientId));
        var elsewhere = await _aurora.StoreAsync(Binary("Encounter/" + _open));
        var along = await _aurora.StoreAsync(Binary("Encounter/" + _encounter));
        foreach (var url in new[] { "Binary/" + alone, "Binary/" + elsewhere, $"{RepositoryWorld.Base}/Binary/{alone}" })
            Assert.Equal("DocumentReference.content[0].attachment.url",
                (await _aurora.CreateAsync(Document(url))).Is(HttpStatusCode.UnprocessableEntity).Expression);
        Assert.Equal("MedicationRequest.medication", (await _aurora.CreateAsync(Prescription("Medication/" + await StoredMedicationAsync(), _encounter)))
            .Is(HttpStatusCode.UnprocessableEntity).Expression);

        await AssertHiddenAsync("DocumentReference/" + await _aurora.StoreAsync(Document("Binary/" + along)));
        await AssertHiddenAsync("Binary/" + along);

        async Task<string> StoredMedicationAsync()
        {
            const string medication = "urn:uuid:00000000-0000-4000-8000-00000000000a";
            var reply = await _aurora.TransactAsync(Some.Transaction(
                ("POST", "Medication", new JsonObject { ["resourceType"] = "Medication", ["status"] = "active" }, medication),
                ("POST", "MedicationRequest", Prescription(medication, _open), null)));
            return ((string)reply.Is(HttpStatusCode.OK).Json["entry"]![0]!["response"]!["location"]!).Split('/')[^3];
        }
    }

    [Theory]
    [InlineData("Binary/00000000-0000-4000-8000-000000000000")]
    [InlineData("https://localhost:8443/fhir/Binary/00000000-0000-4000-8000-000000000000")]
    [InlineData("https://localhost:8443/fhir/Binary")]
    [InlineData("./Binary/00000000-0000-4000-8000-000000000000")]
    public async Task An_address_of_a_text_on_this_server_leads_to_one(string url)
    {
        Assert.Equal("DocumentReference.content[0].attachment.url", (await _aurora.CreateAsync(Document(url))).Is(HttpStatusCode.UnprocessableEntity).Expression);
        (await _aurora.CreateAsync(Document("https://elsewhere.example/Binary"))).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task An_update_takes_nothing_out_of_its_service_event()
    {
        var read = await _aurora.GetAsync("Observation/" + _observation);
        var moved = read.Json.AsObject();
        moved["encounter"] = Some.To("Encounter/" + _open);
        Assert.Equal("Observation.encounter", (await _aurora.UpdateAsync(moved, read.ETag)).Is(HttpStatusCode.UnprocessableEntity).Expression);
        moved.Remove("encounter");
        (await _aurora.UpdateAsync(moved, read.ETag)).Is(HttpStatusCode.UnprocessableEntity);
        moved["encounter"] = Some.To("Encounter/" + _encounter);
        moved["status"] = "amended";
        (await _aurora.UpdateAsync(moved, read.ETag)).Is(HttpStatusCode.OK);
        await AssertHiddenAsync("Observation/" + _observation);
        // Into one is no way out.
        var none = await _aurora.CreateAsync(Some.Observation(_aurora.PatientId));
        var given = none.Json;
        given["encounter"] = Some.To("Encounter/" + _encounter);
        (await _aurora.UpdateAsync(given, none.ETag)).Is(HttpStatusCode.OK);
        await AssertHiddenAsync("Observation/" + (string)given["id"]!);
    }

    [Fact]
    public async Task What_others_name_takes_them_along_when_it_comes_into_a_service_event()
    {
        var (observation, list, above) = await NamedAsync();
        var other = "List/" + await _aurora.StoreAsync(List("Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId))));
        await ChangeAsync(observation, o => o["encounter"] = Some.To("Encounter/" + _encounter));
        foreach (var hidden in new[] { observation, list, above })
            await AssertHiddenAsync(hidden);
        (await _denied.GetAsync(other)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task What_others_name_takes_them_along_when_it_comes_to_refer_to_a_service_event()
    {
        var (observation, list, above) = await NamedAsync();
        await ChangeAsync(observation, o => o["derivedFrom"] = new JsonArray(Some.To("Observation/" + _observation)));
        foreach (var hidden in new[] { observation, list, above })
            await AssertHiddenAsync(hidden);
        Assert.Equal(0, (int)(await _denied.SearchAsync("List")).Json["total"]!);
    }

    [Fact]
    public async Task What_is_deleted_goes_on_being_hidden_with_what_it_named()
    {
        var (observation, list, above) = await NamedAsync();
        (await _aurora.DeleteAsync(list)).Is(HttpStatusCode.NoContent);
        (await _denied.GetAsync(list)).Is(HttpStatusCode.Gone);
        await ChangeAsync(observation, o => o["derivedFrom"] = new JsonArray(Some.To("Observation/" + _observation)));
        (await _reader.GetAsync(list)).Is(HttpStatusCode.Gone);
        (await _denied.GetAsync(list)).Is(HttpStatusCode.NotFound);
        await AssertHiddenAsync(above);
    }

    [Fact]
    public async Task A_companion_goes_on_being_hidden_with_what_it_came_with()
    {
        const string medication = "urn:uuid:00000000-0000-4000-8000-00000000000a";
        var prescribed = Prescription(medication, _open);
        prescribed.Remove("encounter");
        var reply = (await _aurora.TransactAsync(Some.Transaction(
            ("POST", "Medication", new JsonObject { ["resourceType"] = "Medication", ["status"] = "active" }, medication),
            ("POST", "MedicationRequest", prescribed, null)))).Is(HttpStatusCode.OK);
        var stored = reply.Json["entry"]!.AsArray().Select(e => ((string)e!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0]).ToList();
        await ChangeAsync(stored[0], m => m["status"] = "inactive");
        (await _denied.GetAsync(stored[0])).Is(HttpStatusCode.OK);
        await ChangeAsync(stored[1], r => r["reasonReference"] = new JsonArray(Some.To("Observation/" + _observation)));
        foreach (var hidden in stored)
            await AssertHiddenAsync(hidden);
    }

    [Fact]
    public async Task A_version_that_names_what_came_into_a_service_event_is_hidden_and_one_that_does_not_is_shown()
    {
        await _aurora.StoreAsync(List("Encounter/" + _open));
        var observation = "Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));
        var list = "List/" + await _aurora.StoreAsync(List(observation));
        await _aurora.StoreAsync(List("Encounter/" + _open));
        // With this page begins a walk through the lists as they stand now: of the three it is the second that names the observation.
        var page = await _denied.GetAsync("List?_count=1");
        Assert.Contains(observation, (await _denied.GetAsync(page.Link("next")!)).Text, StringComparison.Ordinal);
        await ChangeAsync(list, l => l["entry"] = new JsonArray(new JsonObject { ["item"] = Some.To("Encounter/" + _open) }));
        await ChangeAsync(observation, o => o["derivedFrom"] = new JsonArray(Some.To("Observation/" + _observation)));
        (await _denied.GetAsync(list)).Is(HttpStatusCode.OK);
        Assert.Equal(1, (int)(await _denied.GetAsync(list + "/_history")).Json["total"]!);
        Assert.Equal(2, (int)(await _reader.GetAsync(list + "/_history")).Json["total"]!);
        Assert.DoesNotContain(observation, (await _denied.GetAsync(page.Link("next")!)).Is(HttpStatusCode.OK).Text, StringComparison.Ordinal);
    }

    /// <summary>An observation of no service event, a list that names it and a list that names the list.</summary>
    private async Task<(string Observation, string List, string Above)> NamedAsync()
    {
        var observation = "Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));
        var list = "List/" + await _aurora.StoreAsync(List(observation));
        return (observation, list, "List/" + await _aurora.StoreAsync(List(list)));
    }

    private async Task ChangeAsync(string target, Action<JsonObject> change)
    {
        var read = await _aurora.GetAsync(target);
        var resource = read.Json.AsObject();
        change(resource);
        (await _aurora.UpdateAsync(resource, read.ETag)).Is(HttpStatusCode.OK);
    }

    /// <summary>How a visit is named without its address.</summary>
    public static TheoryData<string, string> Unaddressed => new()
    {
        { """{"identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.11111111.14.1"}}""", "" },
        { """{"type":"Encounter","identifier":{"use":"official","value":"1.2.246.10.11111111.14.1"}}""", "" },
        { """{"reference":"https://aurora.example/fhir/Encounter/1","identifier":{"value":"1.2.246.10.11111111.14.1"}}""", "" },
        { """{"reference":"#visit"}""", """{"resourceType":"Encounter","id":"visit","identifier":[{"use":"official","value":"1.2.246.10.11111111.14.1"}],"status":"finished","class":{"code":"AMB"}}""" },
    };

    [Theory]
    [MemberData(nameof(Unaddressed))]
    public async Task An_entry_that_names_its_visit_without_an_address_belongs_to_it_all_the_same(string encounter, string contained)
    {
        var observation = Some.Observation(_aurora.PatientId);
        observation["encounter"] = JsonNode.Parse(encounter);
        if (contained.Length > 0)
            observation["contained"] = new JsonArray(JsonNode.Parse(contained));
        var stored = await _aurora.StoreAsync(observation);
        await AssertHiddenAsync("Observation/" + stored);
        // And cannot be taken out of it.
        var read = await _aurora.GetAsync("Observation/" + stored);
        var moved = read.Json.AsObject();
        moved.Remove("encounter");
        moved.Remove("contained");
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _aurora.UpdateAsync(moved, read.ETag)).Status);
    }

    [Theory]
    [MemberData(nameof(Unaddressed))]
    public async Task What_tells_of_a_visit_without_an_address_is_hidden_with_it(string item, string contained)
    {
        var list = List("x");
        list["encounter"] = Some.To("Encounter/" + _open);
        list["entry"]![0]!["item"] = JsonNode.Parse(item);
        if (contained.Length > 0)
            list["contained"] = new JsonArray(JsonNode.Parse(contained));
        await AssertHiddenAsync("List/" + await _aurora.StoreAsync(list));
    }

    /// <summary>Places in which a resource of one visit tells of another.</summary>
    public static TheoryData<string, string> Telling => new()
    {
        { "contained", """[{"resourceType":"Encounter","identifier":[{"use":"official","value":"1.2.246.10.11111111.14.1"}],"status":"finished","class":{"code":"AMB"},"extension":[{"url":"https://example.org/of","valueReference":{"reference":"#"}}]}]""" },
        { "contained", """[{"resourceType":"Basic","id":"b","code":{"text":"x"},"subject":{"reference":"#"},"extension":[{"url":"SERVICE-EVENT","valueOid":"urn:oid:1.2.246.10.11111111.14.1"}]}]""" },
        { "_title", """{"extension":[{"url":"SERVICE-EVENT","valueOid":"urn:oid:1.2.246.10.11111111.14.1"}]}""" },
        { "extension", """[{"url":"https://example.org/about","valueReference":{"identifier":{"value":"urn:oid:1.2.246.10.11111111.14.1"}}}]""" },
        { "extension", """[{"url":"https://example.org/about","valueIdentifier":{"value":"1.2.246.10.11111111.14.1"}}]""" },
        { "extension", """[{"url":"https://example.org/about","valueUri":"urn:oid:1.2.246.10.11111111.14.1"}]""" },
        { "extension", """[{"url":"https://example.org/about","valueUri":"Encounter/VISIT"}]""" },
        { "extension", """[{"url":"https://example.org/about","valueCanonical":"BASE/Encounter/VISIT|1"}]""" },
    };

    [Theory]
    [MemberData(nameof(Telling))]
    public async Task What_tells_of_a_visit_in_any_other_place_is_hidden_with_it(string member, string value)
    {
        var list = List("Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: _open)));
        list["encounter"] = Some.To("Encounter/" + _open);
        list["title"] = "x";
        list[member] = JsonNode.Parse(value.Replace("SERVICE-EVENT", References.ServiceEventExtension, StringComparison.Ordinal)
            .Replace("BASE", RepositoryWorld.Base, StringComparison.Ordinal).Replace("VISIT", _encounter, StringComparison.Ordinal));
        await AssertHiddenAsync("List/" + await _aurora.StoreAsync(list));
    }

    [Fact]
    public async Task A_name_that_looks_like_an_address_of_something_hidden_is_taken_like_one_of_nothing()
    {
        foreach (var visit in new[] { _encounter, Guid.NewGuid().ToString() })
        {
            var list = List("Observation/" + await _denied.StoreAsync(Some.Observation(_denied.PatientId)));
            list["extension"] = new JsonArray(new JsonObject { ["url"] = "https://example.org/about", ["valueUri"] = "Encounter/" + visit });
            await _denied.StoreAsync(list);
        }
    }

    [Fact]
    public async Task What_another_clinic_names_without_seeing_it_is_hidden_with_it_from_third_ones()
    {
        // A system sees its own register only.
        var system = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.OwnRegister);
        var list = List("Observation/" + await system.StoreAsync(Some.Observation(system.PatientId)));
        list["extension"] = new JsonArray(new JsonObject { ["url"] = "https://example.org/about", ["valueUri"] = "Observation/" + _observation });
        var stored = "List/" + await system.StoreAsync(list);
        (await system.GetAsync(stored)).Is(HttpStatusCode.OK);
        (await _world.As(_aurora.Grant.Compartment, Third, Breadth.Disclosed).GetAsync(stored)).Is(HttpStatusCode.OK);
        (await _world.As(_aurora.Grant.Compartment, Third, Breadth.Disclosed, Event).GetAsync(stored)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_logical_reference_to_an_organisation_names_no_visit()
    {
        var observation = Some.Observation(_aurora.PatientId, encounterId: _open);
        observation["performer"] = new JsonArray(JsonNode.Parse("""{"identifier":{"system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.246.10.11111111"}}"""));
        (await _denied.GetAsync("Observation/" + await _aurora.StoreAsync(observation))).Is(HttpStatusCode.OK);
    }

    /// <summary>Seen by a clinic without the denial and by the own register, under the denial as if nobody had it.</summary>
    private async Task AssertHiddenAsync(string target)
    {
        (await _reader.GetAsync(target)).Is(HttpStatusCode.OK);
        (await _aurora.GetAsync(target)).Is(HttpStatusCode.OK);
        (await _denied.GetAsync(target)).Is(HttpStatusCode.NotFound);
    }

    private JsonObject List(string item) => new()
    {
        ["resourceType"] = "List", ["status"] = "current", ["mode"] = "working", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["entry"] = new JsonArray(new JsonObject { ["item"] = Some.To(item) }),
    };

    private JsonObject Prescription(string medication, string encounter) => new()
    {
        ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order", ["medicationReference"] = Some.To(medication),
        ["subject"] = Some.To("Patient/" + _aurora.PatientId), ["encounter"] = Some.To("Encounter/" + encounter),
    };

    private static JsonObject Binary(string context) => new()
    {
        ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To(context), ["data"] = "VGVzdGk=",
    };

    private JsonObject Document(string url) => new()
    {
        ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = url } }),
        ["context"] = new JsonObject { ["encounter"] = new JsonArray(Some.To("Encounter/" + _encounter)) },
    };
}
