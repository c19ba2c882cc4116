using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Fhir;
using KantaGateway.Tests.Laws;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>
/// What testifies is made and never changed, and a declaration of will is made one at a time by its person, on every road through the
/// gateway: alone, in a batch, in a transaction.
/// </summary>
public sealed class TestimonyRoadsTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    /// <summary>A change of a stored resource in every form that FHIR has.</summary>
    public static TheoryData<string, string> Changes => new()
    {
        { "PUT", "{type}/{id}" }, { "PUT", "{type}?patient={patient}&_id={id}" }, { "PATCH", "{type}/{id}" }, { "PATCH", "{type}?patient={patient}&_id={id}" },
        { "DELETE", "{type}/{id}" }, { "DELETE", "{type}?patient={patient}&_id={id}" },
    };

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task What_testifies_is_not_changed_on_any_road(string method, string form)
    {
        foreach (var type in new[] { "Provenance", "AuditEvent" })
        {
            var created = await _house.Aurora.System.CreateAsync(type, HouseInMemory.Json(Testimony(type)));
            Assert.True(created.Status == 201, created.ToString());
            var id = created.Stored!.Value.Id;
            var target = form.Replace("{type}", type, StringComparison.Ordinal).Replace("{id}", id, StringComparison.Ordinal).Replace("{patient}", _house.PatientId, StringComparison.Ordinal);
            foreach (var road in Roads)
                Assert.Equal((type, road, 405), (type, road, await StatusAsync(road, method, target, method == "PUT" ? JsonNode.Parse(created.Body) : null, created.ETag)));
            Assert.Equal(created.Body, (await _house.Aurora.System.ReadAsync(type, id)).Body);
            Assert.Equal(1, (await _house.Aurora.System.SendAsync(HttpMethod.Get, $"{type}/{id}/_history")).Json.GetProperty("total").GetInt32());
        }
    }

    [Fact]
    public async Task What_testifies_is_made_on_every_road_and_by_condition_too()
    {
        foreach (var type in new[] { "Provenance", "AuditEvent" })
            foreach (var road in Roads)
            {
                Assert.Equal((type, road, 201), (type, road, await StatusAsync(road, "POST", type, Testimony(type))));
                Assert.Equal((type, road, 201), (type, road, await StatusAsync(road, "POST", type, Testimony(type), ifNoneExist: $"patient={_house.PatientId}&_lastUpdated=lt2000-01-01")));
            }
    }

    [Fact]
    public async Task A_use_log_is_read_by_its_organisation_and_everybody_else_is_answered_as_if_there_were_none()
    {
        // What is disclosed to others: the person has been informed and permits it.
        await _house.PermitAsync();
        var used = Testimony("AuditEvent");
        used["entity"] = new JsonArray(new JsonObject { ["what"] = new JsonObject { ["reference"] = "Patient/" + _house.PatientId } });
        var created = await _house.Aurora.System.CreateAsync("AuditEvent", HouseInMemory.Json(used));
        Assert.True(created.Status == 201, created.ToString());
        var (id, search) = (created.Stored!.Value.Id, $"AuditEvent?patient={_house.PatientId}");
        var note = (await _house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("x")))).Stored!.Value.Id;
        Assert.Equal(created.Body, (await _house.Aurora.System.ReadAsync("AuditEvent", id)).Body);
        Assert.Equal(1, (await _house.Aurora.System.SendAsync(HttpMethod.Get, search)).Json.GetProperty("total").GetInt32());

        // The other organisation sees the rest.
        Assert.Equal(200, (await _house.Reader.SendAsync(HttpMethod.Get, "Observation/" + note)).Status);
        foreach (var target in new[] { "AuditEvent/{0}", "AuditEvent/{0}/_history", "AuditEvent/{0}/_history/" + created.VersionId })
        {
            Assert.Equal(404, (await _house.Reader.SendAsync(HttpMethod.Get, string.Format(null, target, id))).Status);
            Assert.Equal(404, (await InnerAsync("GET", string.Format(null, target, id))).Status);
        }
        foreach (var target in new[] { search, $"AuditEvent/_history?patient={_house.PatientId}" })
        {
            Assert.Equal(0, (await _house.Reader.SendAsync(HttpMethod.Get, target)).Json.GetProperty("total").GetInt32());
            Assert.Equal(0, JsonNode.Parse((await InnerAsync("GET", target)).Body)!["total"]!.GetValue<int>());
        }
    }

    [Fact]
    public async Task Who_tries_to_change_a_use_log_is_told_where_a_person_sees_it()
    {
        var created = await _house.Aurora.System.CreateAsync("AuditEvent", HouseInMemory.Json(Testimony("AuditEvent")));
        var refused = await _house.Aurora.System.SendAsync(HttpMethod.Delete, "AuditEvent/" + created.Stored!.Value.Id);
        Assert.Equal((405, "GET, HEAD"), (refused.Status, refused.Headers.GetValueOrDefault("Allow")));
        Assert.Contains("in the portal", refused.Text, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task A_declaration_is_changed_by_id_with_put_alone(string method, string form)
    {
        await _house.DeclareAsync(Declarations.Informing(_house.PatientId, DateTimeOffset.UtcNow));
        foreach (var road in Roads)
        {
            var id = await _house.DeclareAsync(Declarations.Denial(_house.PatientId, new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026.1"), DateTimeOffset.UtcNow));
            var stored = await InnerAsync("GET", "Consent/" + id);
            var target = form.Replace("{type}", "Consent", StringComparison.Ordinal).Replace("{id}", id, StringComparison.Ordinal).Replace("{patient}", _house.PatientId, StringComparison.Ordinal);
            using var consent = JsonDocument.Parse(stored.Body);
            var body = method == "PUT" ? JsonNode.Parse(Declarations.Withdrawn(consent.RootElement)) : null;
            var isServed = method == "PUT" && form == "{type}/{id}" && road != "transaction";
            Assert.Equal((road, isServed ? 200 : 405), (road, await StatusAsync(road, method, target, body, stored.Headers.ETag.ToString(), byCitizen: true)));
            Assert.Equal(isServed ? 2 : 1, JsonNode.Parse((await InnerAsync("GET", $"Consent/{id}/_history")).Body)!["total"]!.GetValue<int>());
        }
    }

    [Fact]
    public async Task A_declaration_is_made_alone_by_the_person_and_without_a_condition()
    {
        var consent = JsonNode.Parse(Declarations.Informing(_house.PatientId, DateTimeOffset.UtcNow))!;
        foreach (var road in Roads)
        {
            Assert.Equal((road, road == "transaction" ? 405 : 201), (road, await StatusAsync(road, "POST", "Consent", consent, byCitizen: true)));
            Assert.Equal((road, 405), (road, await StatusAsync(road, "POST", "Consent", consent, ifNoneExist: $"patient={_house.PatientId}", byCitizen: true)));
            // Nobody declares another's will.
            var byOther = await StatusAsync(road, "POST", "Consent", consent);
            Assert.True(byOther is 403 or 405, $"{road}: {byOther}");
        }
    }

    private static readonly string[] Roads = ["alone", "batch", "transaction"];

    /// <summary>Status of a change by a road; in a Bundle that of its one entry, or of the whole where that is refused.</summary>
    private async Task<int> StatusAsync(string road, string method, string target, JsonNode? body, string? ifMatch = null, string? ifNoneExist = null, bool byCitizen = false)
    {
        var patch = new JsonArray(new JsonObject { ["op"] = "replace", ["path"] = "/language", ["value"] = "sv" });
        if (road == "alone")
        {
            (string, string)[] headers = [.. new (string, string?)[] { ("If-Match", ifMatch), ("If-None-Exist", ifNoneExist) }.Where(h => h.Item2 is not null).Select(h => (h.Item1, h.Item2!))];
            var bytes = method == "PATCH" ? HouseInMemory.Json(patch) : body is null ? null : HouseInMemory.Json(body);
            var contentType = method == "PATCH" ? ResourcePatch.JsonPatchType : "application/fhir+json";
            if (!byCitizen)
                return (await _house.Aurora.System.SendAsync(new(method), target, bytes, headers, contentType)).Status;
            return (await InnerAsync(method, target, bytes, bytes is null ? null : contentType, headers)).Status;
        }
        var request = new JsonObject { ["method"] = method, ["url"] = target };
        if (ifMatch is not null && method == "PUT")
            request["ifMatch"] = ifMatch;
        if (ifNoneExist is not null)
            request["ifNoneExist"] = ifNoneExist;
        var entry = new JsonObject { ["request"] = request };
        if (method == "PATCH")
            entry["resource"] = new JsonObject { ["resourceType"] = "Binary", ["contentType"] = ResourcePatch.JsonPatchType, ["data"] = Convert.ToBase64String(HouseInMemory.Json(patch)) };
        else if (body is not null)
            entry["resource"] = body.DeepClone();
        var bundle = HouseInMemory.Json(new JsonObject { ["resourceType"] = "Bundle", ["type"] = road, ["entry"] = new JsonArray(entry) });
        int status;
        byte[] answer;
        if (byCitizen)
        {
            var reply = await InnerAsync("POST", "", bundle);
            (status, answer) = (reply.Status, reply.Body);
        }
        else
        {
            FhirReply reply = await _house.Aurora.System.BundleAsync(bundle);
            (status, answer) = (reply.Status, reply.Body);
        }
        return status != 200 ? status : int.Parse(((string)JsonNode.Parse(answer)!["entry"]![0]!["response"]!["status"]!)[..3], System.Globalization.CultureInfo.InvariantCulture);
    }

    private async Task<FhirAnswer> InnerAsync(string method, string target, byte[]? body = null, string? contentType = null, params (string Name, string Value)[] headers)
    {
        var sent = new HeaderDictionary();
        foreach (var (name, value) in headers)
            sent[name] = value;
        return await _house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(_house.Citizen, method, target, body ?? default(ReadOnlyMemory<byte>), contentType, sent);
    }

    private JsonObject Testimony(string type)
    {
        var testimony = MinimalResources.Of(type, _house.PatientId);
        testimony["language"] = "fi";
        return testimony;
    }
}
