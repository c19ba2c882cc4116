using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>Patches and changes by criteria on their whole way, from token to record.</summary>
public sealed class ChangeTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;
    private string _note = "";

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        _note = await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task The_log_says_of_each_write_where_it_has_left_the_record()
    {
        Assert.Equal(200, (await _house.Aurora.System.ReadAsync("Observation", _note)).Status);
        using var audit = new Scenarios.AuditOnDisk(_house.Folder.Path);
        audit.Refresh();
        var heads = audit.All.SelectMany(e => JsonNode.Parse(e.GetRawText())!["entity"]!.AsArray()).SelectMany(entity => entity!["detail"]?.AsArray() ?? [])
            .Where(detail => (string?)detail!["type"] == "head").Select(detail => ((string)detail!["valueString"]!).Split(' ')).Where(head => head[0] == "patient").ToList();
        // Aurora's three writes and revontuli's two.
        Assert.Equal(["1", "2", "3", "4", "5"], heads.Select(head => head[1]));
        Assert.Equal(5, heads.Select(head => head[2]).Distinct().Count());
        Assert.All(heads, head => Assert.Matches("^[0-9a-f]{32}$", head[2]));
    }

    private const string ByCode = "code=http://loinc.org|8867-4";

    /// <summary>Each letter is needed: without any one of them the answer is 403, whether or not there is such a resource.</summary>
    [Theory]
    [InlineData("PATCH", "Observation/{note}", "ru", 200)]
    [InlineData("PATCH", "Observation?patient={patient}&_id={note}", "rus", 200)]
    [InlineData("PUT", "Observation?patient={patient}&_id={note}", "cus", 200)]
    [InlineData("DELETE", "Observation?patient={patient}&_id={note}", "ds", 204)]
    [InlineData("DELETE", "Observation?patient={patient}&identifier=none", "ds", 204)]
    [InlineData("PATCH", "Observation?patient={patient}&identifier=none", "rus", 404)]
    [InlineData("PATCH", "Observation/00000000-0000-4000-8000-000000000000", "ru", 404)]
    [InlineData("DELETE", "Observation/00000000-0000-4000-8000-000000000000", "d", 404)]
    public async Task A_change_needs_every_letter_of_what_it_does(string method, string target, string letters, int status)
    {
        target = target.Replace("{patient}", _house.PatientId, StringComparison.Ordinal).Replace("{note}", _note, StringComparison.Ordinal);
        var stored = (await _house.Aurora.System.ReadAsync("Observation", _note)).Json.GetRawText();
        foreach (var missing in letters)
            Assert.Equal(403, (await SendAsync(letters.Replace(missing.ToString(), "", StringComparison.Ordinal))).Status);
        var reply = await SendAsync(letters);
        Assert.True(reply.Status == status, reply.Text);
        // In a transaction too.
        foreach (var missing in letters)
            Assert.Equal(403, (await (await WithAsync(letters.Replace(missing.ToString(), "", StringComparison.Ordinal))).BundleAsync(
                HouseInMemory.Json(Bundle("transaction", (method, target, method switch { "PUT" => JsonNode.Parse(stored), "PATCH" => Carrier(Patch()), _ => null }))))).Status);

        async Task<FhirReply> SendAsync(string held)
        {
            var session = await WithAsync(held);
            return method switch
            {
                "PUT" => await session.SendAsync(HttpMethod.Put, target, Encoding.UTF8.GetBytes(stored)),
                "PATCH" => await session.SendAsync(HttpMethod.Patch, target, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType),
                _ => await session.SendAsync(HttpMethod.Delete, target),
            };
        }
    }

    [Theory]
    [InlineData("_summary=true")]
    [InlineData("_elements=status,code")]
    [InlineData("_summary=data")]
    public async Task A_part_of_a_resource_is_not_put_in_the_place_of_the_whole(string shape)
    {
        var system = _house.Aurora.System;
        var whole = await system.ReadAsync("Observation", _note);
        var part = await system.SendAsync(HttpMethod.Get, $"Observation/{_note}?{shape}");
        foreach (var (language, said) in new[] { ("fi", "Lue ensin tieto kokonaan"), ("sv", "Läs först hela uppgiften"), ("en", "Read the whole resource first") })
        {
            var refused = await system.SendAsync(HttpMethod.Put, "Observation/" + _note, part.Body, [("If-Match", whole.ETag!), ("Accept-Language", language)]);
            Assert.True(refused.Status == 422, refused.ToString());
            Assert.Contains(said, refused.Json.GetProperty("issue")[0].GetProperty("details").GetProperty("text").GetString());
            Assert.Equal("Observation.meta.tag[0]", refused.Json.GetProperty("issue")[0].GetProperty("expression")[0].GetString());
        }
        Assert.Equal(422, (await system.SendAsync(HttpMethod.Put, $"Observation?patient={_house.PatientId}&_id={_note}", part.Body)).Status);
        var transaction = await system.BundleAsync(HouseInMemory.Json(Bundle("transaction", ("PUT", "Observation/" + _note, JsonNode.Parse(part.Body)))));
        Assert.Equal(422, transaction.Status);
        Assert.Equal(whole.Body, (await system.ReadAsync("Observation", _note)).Body);
        Assert.Equal(200, (await system.SendAsync(HttpMethod.Put, "Observation/" + _note, whole.Body, [("If-Match", whole.ETag!)])).Status);
    }

    [Fact]
    public async Task A_conditional_reference_is_a_search_and_may_choose_the_patient()
    {
        var observation = _house.Observation("viittaus");
        observation["subject"] = new JsonObject { ["reference"] = $"Patient?identifier=urn:oid:1.2.246.21|{_house.Folder.Citizens[0].IdentityCode}" };
        Assert.Equal(403, (await (await WithAsync("c")).CreateAsync("Observation", HouseInMemory.Json(observation))).Status);
        var created = await _house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(observation));
        Assert.True(created.Status == 201, created.Text);
        Assert.Equal("Patient/" + _house.PatientId, created.Json.GetProperty("subject").GetProperty("reference").GetString());
    }

    [Fact]
    public async Task An_id_that_nobody_has_an_id_of_another_shape_and_a_hidden_id_are_told_alike()
    {
        // Aurora's note, of which revontuli's professional may see nothing yet; ids never given out; none of ours.
        string[] ids = [_note, "00000000-0000-4000-8000-000000000000", "my-own-id"];
        foreach (var session in new[] { _house.Reader, _house.Revontuli.System, _house.Revontuli.With((await _house.Revontuli.RequestSystemTokenAsync(scope: "system/Encounter.r")).Value) })
            foreach (var ask in new Func<string, Task<FhirReply>>[]
            {
                id => session.ReadAsync("Observation", id),
                id => session.DeleteAsync("Observation", id),
                id => session.SendAsync(HttpMethod.Patch, "Observation/" + id, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType),
                id => session.UpdateAsync("Observation", id, Named(id), null),
                id => session.UpdateAsync("Observation", id, Named(id), "W/\"1\""),
                id => session.UpdateAsync("Observation", id, "{\"resourceType\":\"Observation\"}"u8.ToArray(), "W/\"1\""),
            })
            {
                var told = await Task.WhenAll(ids.Select(async id =>
                {
                    var reply = await ask(id);
                    var outcome = JsonNode.Parse(reply.Text)!.AsObject();
                    outcome.Remove("id");
                    return (reply.Status, outcome.ToJsonString());
                }));
                Assert.Single(told.Distinct());
                Assert.True(told[0].Status >= 400);
            }

        byte[] Named(string id)
        {
            var observation = _house.Observation("oma");
            observation["id"] = id;
            return HouseInMemory.Json(observation);
        }
    }

    [Fact]
    public async Task An_update_with_a_clients_id_is_told_to_post()
    {
        var observation = _house.Observation("oma");
        observation["id"] = "my-own-id";
        foreach (var (ifMatch, status, allowed) in new[] { (null, 428, null), ("W/\"1\"", 405, "DELETE, GET, HEAD, PATCH") })
        {
            var reply = await _house.Aurora.System.UpdateAsync("Observation", "my-own-id", HouseInMemory.Json(observation), ifMatch);
            Assert.True(reply.Status == status, reply.Text);
            // Said by the repository, and passed on.
            Assert.Equal(allowed, reply.Headers.GetValueOrDefault("Allow"));
            Assert.Contains("POST [Type]", reply.Text, StringComparison.Ordinal);
        }
    }

    /// <summary>What reaches beyond one person is not given, and the refusal is of use.</summary>
    [Theory]
    [InlineData("GET", "Observation?code=8867-4", "patient=[id]")]
    [InlineData("POST", "Observation/_search", "patient=[id]")]
    [InlineData("GET", "Patient?family=Koivu", "POST Patient/_search")]
    [InlineData("POST", "_search", "POST [Type]/_search")]
    [InlineData("GET", "_history", "_history?patient=[id]")]
    [InlineData("GET", "Observation/_history", "[Type]/_history?patient=[id]")]
    [InlineData("GET", "Patient/_history", "[Type]/_history?patient=[id]")]
    public async Task What_reaches_beyond_one_person_is_refused_with_what_to_do_instead(string method, string target, string instead)
    {
        var form = method == "POST" ? Encoding.UTF8.GetBytes("code=8867-4") : null;
        var reply = await _house.Aurora.System.SendAsync(new(method), target, form, contentType: "application/x-www-form-urlencoded");
        Assert.True(reply.Status is >= 400 and < 500, reply.ToString());
        Assert.Contains(instead, reply.Json.GetProperty("issue")[0].GetProperty("diagnostics").GetString(), StringComparison.Ordinal);
        Assert.DoesNotContain(_note, reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Criteria_concern_one_patient_who_is_the_one_of_the_body()
    {
        var second = await _house.Aurora.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(_house.Folder.Citizens[1].IdentityCode)));
        var other = second.Json.GetProperty("id").GetString();
        Assert.Equal(400, (await PutAsync($"Observation?patient={other}&{ByCode}")).Status);
        Assert.Equal(400, (await _house.Aurora.System.SendAsync(HttpMethod.Delete, $"Observation?{ByCode}")).Status);
        Assert.Equal(400, (await _house.Aurora.System.SendAsync(HttpMethod.Delete, $"Observation?patient={other}&patient={_house.PatientId}")).Status);
        Assert.Equal(400, (await _house.Aurora.System.SendAsync(HttpMethod.Put, $"Patient?identifier=urn:oid:1.2.246.21|{_house.Folder.Citizens[0].IdentityCode}",
            HouseInMemory.Json(HouseInMemory.Patient(_house.Folder.Citizens[0].IdentityCode)))).Status);
        // The body names the patient where the criteria name none.
        Assert.Equal(201, (await PutAsync("Observation?identifier=urn:x|1")).Status);

        Task<FhirReply> PutAsync(string target) => _house.Aurora.System.SendAsync(HttpMethod.Put, target, HouseInMemory.Json(_house.Observation("toinen")));
    }

    [Fact]
    public async Task A_patch_says_what_it_is()
    {
        var target = "Observation/" + _note;
        Assert.Equal(415, (await _house.Aurora.System.SendAsync(HttpMethod.Patch, target, HouseInMemory.Json(Patch()), contentType: "application/xml-patch+xml")).Status);
        Assert.Equal(415, (await _house.Aurora.System.SendAsync(HttpMethod.Put, target, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType)).Status);
        Assert.Equal(400, (await _house.Aurora.System.SendAsync(HttpMethod.Patch, target, HouseInMemory.Json(Patch()))).Status);
        var byPath = JsonNode.Parse("""{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"Observation.status"},{"name":"value","valueCode":"amended"}]}]}""")!;
        Assert.Equal(200, (await _house.Aurora.System.SendAsync(HttpMethod.Patch, target, HouseInMemory.Json(byPath))).Status);
    }

    [Fact]
    public async Task A_FHIRPath_Patch_may_come_as_XML_and_a_result_parameter_is_no_criterion()
    {
        const string Xml = """
            <Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/><valueCode value="replace"/></part>
            <part><name value="path"/><valueString value="Observation.status"/></part><part><name value="value"/><valueCode value="amended"/></part></parameter></Parameters>
            """;
        var byCriteria = await _house.Aurora.System.SendAsync(HttpMethod.Patch, $"Observation?patient={_house.PatientId}&_id={_note}&_format=json",
            Encoding.UTF8.GetBytes(Xml), contentType: "application/fhir+xml");
        Assert.True(byCriteria.Status == 200, byCriteria.Text);
        Assert.Equal("amended", byCriteria.Json.GetProperty("status").GetString());
    }

    [Fact]
    public async Task A_batch_carries_patches_and_criteria_and_each_is_answered_for_itself()
    {
        var target = "Observation/" + _note;
        var etag = (await _house.Aurora.System.ReadAsync("Observation", _note)).ETag;
        var bundle = Bundle("batch",
            ("PATCH", target, Carrier(Patch())),
            ("PATCH", "Observation/00000000-0000-4000-8000-000000000000", Carrier(Patch())),
            ("PUT", "Observation?identifier=urn:x|1", _house.Observation("joukosta")),
            ("DELETE", $"Observation?patient={_house.PatientId}&identifier=none", null));
        var reply = await _house.Aurora.System.BundleAsync(HouseInMemory.Json(bundle));
        Assert.Equal(["200", "404", "201", "204"], reply.Json.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("response").GetProperty("status").GetString()!.Split(' ')[0]));
        Assert.NotEqual(etag, (await _house.Aurora.System.ReadAsync("Observation", _note)).ETag);
    }

    [Theory]
    [InlineData("batch")]
    [InlineData("transaction")]
    public async Task A_bundle_of_requests_with_what_only_answers_have_is_refused_at_its_place(string type)
    {
        var bundle = Bundle(type, ("POST", "Observation", _house.Observation("joukosta")));
        bundle["entry"]![0]!["response"] = new System.Text.Json.Nodes.JsonObject { ["status"] = "201" };
        var reply = await _house.Aurora.System.BundleAsync(HouseInMemory.Json(bundle));
        Assert.Equal(422, reply.Status);
        Assert.Equal("Bundle.entry[0].response", reply.Json.GetProperty("issue")[0].GetProperty("expression")[0].GetString());
    }

    [Fact]
    public async Task Nobody_patches_a_will_nor_changes_another_persons_by_criteria()
    {
        var consent = await _house.DeclareAsync(Declarations.Informing(_house.PatientId, DateTimeOffset.UtcNow));
        var inner = _house.Gateway.GetRequiredService<IInnerRequests>();
        foreach (var target in new[] { "Consent/" + consent, "Consent?patient=" + _house.PatientId })
        {
            Assert.Equal(405, (await inner.SendAsync(_house.Citizen, "PATCH", target, HouseInMemory.Json(Patch()), ResourcePatch.JsonPatchType)).Status);
            Assert.Equal(405, (await inner.SendAsync(_house.Citizen, "DELETE", target)).Status);
            Assert.Equal(405, (await _house.Aurora.System.SendAsync(HttpMethod.Patch, target, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType)).Status);
            Assert.Equal(405, (await _house.Aurora.System.SendAsync(HttpMethod.Delete, target)).Status);
        }
    }

    [Fact]
    public async Task The_record_says_that_it_was_a_patch()
    {
        Assert.Equal(200, (await _house.Aurora.System.SendAsync(HttpMethod.Patch, "Observation/" + _note, HouseInMemory.Json(Patch()), contentType: ResourcePatch.JsonPatchType)).Status);
        var lines = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines;
        Assert.Contains(lines, l => l.Interaction == "patch" && l.Items.Any(i => i.Id == _note));
    }

    private async Task<FhirSession> WithAsync(string letters) =>
        _house.Aurora.With((await _house.Aurora.RequestSystemTokenAsync(scope: letters.Length == 0 ? "system/Encounter.r" : $"system/Observation.{letters}")).Value);

    private static JsonArray Patch() => [new JsonObject { ["op"] = "replace", ["path"] = "/status", ["value"] = "amended" }];

    private static JsonObject Carrier(JsonArray patch) => new()
    {
        ["resourceType"] = "Binary",
        ["contentType"] = ResourcePatch.JsonPatchType,
        ["data"] = Convert.ToBase64String(HouseInMemory.Json(patch)),
    };

    private static JsonObject Bundle(string type, params (string Method, string Url, JsonNode? Resource)[] entries)
    {
        var list = new JsonArray();
        foreach (var (method, url, resource) in entries)
        {
            var entry = new JsonObject { ["request"] = new JsonObject { ["method"] = method, ["url"] = url } };
            if (resource is not null)
                entry["resource"] = resource.DeepClone();
            list.Add((JsonNode)entry);
        }
        return new() { ["resourceType"] = "Bundle", ["type"] = type, ["entry"] = list };
    }
}
