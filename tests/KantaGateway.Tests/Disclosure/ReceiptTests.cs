using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Audit;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Disclosure;

/// <summary>Every answer that gives something says under which entry of the audit log it stands, and who received it can prove that.</summary>
public sealed class ReceiptTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;
    private string _note = "";

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        _note = await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    private FhirSession System => _house.Aurora.System;

    [Fact]
    public async Task Every_road_that_gives_something_gives_a_receipt_whose_entry_is_in_the_public_log()
    {
        var observation = HouseInMemory.Json(_house.Observation("toinen"));
        var created = await System.CreateAsync("Observation", observation);
        var id = created.Stored!.Value.Id;
        var body = JsonNode.Parse(observation)!.AsObject();
        (body["id"], body["status"]) = (id, "amended");
        var page = await System.SearchAsync("Observation", $"patient={_house.PatientId}&_count=1");
        var binary = await System.SendAsync(HttpMethod.Post, "Binary", new byte[3_000_000], [("X-Security-Context", "Patient/" + _house.PatientId)], "image/tiff");
        var content = "Binary/" + binary.Stored!.Value.Id;
        (string Road, FhirReply Reply)[] answers =
        [
            ("create", created), ("page", page), ("streamed upload", binary),
            ("page link", await System.SendAsync(HttpMethod.Get, Appearance.Next(page)!)),
            ("read", await System.ReadAsync("Observation", _note)),
            ("head", await System.SendAsync(HttpMethod.Head, "Observation/" + _note)),
            ("vread", await System.ReadVersionAsync("Observation", id, created.VersionId!)),
            ("not modified", await System.SendAsync(HttpMethod.Get, "Observation/" + id, headers: [("If-None-Match", created.ETag!)])),
            ("xml", await System.SendAsync(HttpMethod.Get, "Observation/" + id, headers: [("Accept", "application/fhir+xml")])),
            ("history", await System.HistoryAsync("Observation", _note)),
            ("history of the type", await System.SendAsync(HttpMethod.Get, $"Observation/_history?patient={_house.PatientId}")),
            ("everything", await System.SendAsync(HttpMethod.Get, $"Patient/{_house.PatientId}/$everything")),
            ("content", await System.SendAsync(HttpMethod.Get, content, headers: [("Accept", "image/tiff")])),
            ("part of a content", await System.SendAsync(HttpMethod.Get, content, headers: [("Accept", "image/tiff"), ("Range", "bytes=0-9")])),
            ("nothing found", await System.SearchAsync("Observation", $"patient={_house.PatientId}&code=nothing")),
            ("directory", await System.SendAsync(HttpMethod.Get, "Organization")),
            ("validate", await System.SendAsync(HttpMethod.Post, "Observation/$validate", observation)),
            ("transaction", await System.BundleAsync(Bundle("transaction", ("GET", "Observation/" + _note)))),
            ("update", await System.UpdateAsync("Observation", id, HouseInMemory.Json(body), created.ETag)),
            ("delete", await System.DeleteAsync("Observation", id)),
        ];

        Assert.Equal([], answers.Where(a => a.Reply.Status is < 200 or >= 400).Select(a => $"{a.Road}: {a.Reply}"));
        var received = _house.Aurora.Received.ToList();
        Assert.Equal([], received.Where(a => a.Gives && a.Receipts.Count != 1).Select(a => a.What));
        foreach (var receipt in received.SelectMany(a => a.Receipts))
            Assert.Equal(receipt.Entry, await PublishedAsync(receipt.Index));
    }

    [Fact]
    public async Task A_write_that_also_shows_something_has_a_receipt_for_both()
    {
        var answer = await System.BundleAsync(Encoding.UTF8.GetBytes($$$"""
            {"resourceType":"Bundle","type":"transaction","entry":[
              {"request":{"method":"GET","url":"Observation/{{{_note}}}"}},
              {"resource":{{{_house.Observation("oma").ToJsonString()}}},"request":{"method":"POST","url":"Observation"}}]}
            """));
        Assert.Equal(200, answer.Status);
        Assert.Equal(2, _house.Aurora.Received.Single(a => a.What.StartsWith("POST  ", StringComparison.Ordinal)).Receipts.Count);
    }

    [Fact]
    public async Task Each_entry_of_a_batch_that_gives_something_has_its_receipt_and_no_other_has()
    {
        var answer = await System.BundleAsync(Bundle("batch", ("GET", "Observation/" + _note), ("GET", "Observation/" + Guid.NewGuid()), ("GET", "Observation?patient=" + _house.PatientId)));
        Assert.Equal(200, answer.Status);
        Assert.DoesNotContain(Receipt.Header, answer.Headers.Keys);
        var entries = _house.Aurora.Received.Single(a => a.Entries.Count > 0).Entries;
        Assert.Equal([1, 0, 1], entries.Select(e => e.Receipts.Count));
        foreach (var receipt in entries.SelectMany(e => e.Receipts))
            Assert.Equal(receipt.Entry, (await ProveAsync(_house.Aurora.System, receipt.Index))!.EntryId);
    }

    [Fact]
    public async Task What_gives_nothing_has_no_receipt()
    {
        var changed = HouseInMemory.Json(_house.Observation("muutos"));
        foreach (var reply in (FhirReply[])[
            await _house.Aurora.With(null).ReadAsync("Observation", _note),
            await System.ReadAsync("Observation", Guid.NewGuid().ToString()),
            await System.SendAsync(HttpMethod.Get, "Observation/" + _note, headers: [("Accept", "text/html")]),
            await System.UpdateAsync("Observation", _note, changed, "W/\"00000000-0000-4000-8000-000000000000\""),
            await System.CreateAsync("Observation", "{\"resourceType\":\"Observation\"}"u8.ToArray()),
        ])
        {
            Assert.True(reply.Status >= 400, reply.ToString());
            Assert.DoesNotContain(Receipt.Header, reply.Headers.Keys);
        }
    }

    [Fact]
    public async Task Who_received_it_gets_the_proof_and_anybody_else_the_answer_to_an_index_that_is_not_there()
    {
        await _house.PermitAsync();
        await _house.Reader.ReadAsync("Observation", _note);
        var index = _house.Revontuli.Received.Single(a => a.What == "GET Observation 200").Receipts.Single().Index;

        // The system in which the professional sat, whoever sits there now.
        foreach (var session in (FhirSession[])[_house.Reader, _house.Revontuli.System])
            Assert.True((await ProveAsync(session, index))!.IsOf(_house.Gateway.GetRequiredService<AuditLog>().Verifier));
        var foreign = await AskAsync(_house.Aurora.System, index.ToString(CultureInfo.InvariantCulture));
        Assert.Equal(404, foreign.Status);
        foreach (var never in (string[])["100000", "-1", "x", "0x1", "99999999999999999999"])
            Assert.Equal(Appearance.Of(foreign), Appearance.Of(await AskAsync(_house.Aurora.System, never)));
        Assert.Equal(401, (await AskAsync(_house.Aurora.With(null), index.ToString(CultureInfo.InvariantCulture))).Status);
        // An entry without an answer: the refusal just recorded.
        await _house.Gateway.GetRequiredService<AuditLog>().PublishAsync();
        Assert.Equal(Appearance.Of(foreign), Appearance.Of(await AskAsync(_house.Aurora.System, (Size - 1).ToString(CultureInfo.InvariantCulture))));
    }

    /// <summary>Law 4: neither the receipt nor the number of entries in between tells whether something was hidden.</summary>
    [Fact]
    public async Task What_is_hidden_and_what_is_absent_have_receipts_of_one_form_and_cost_the_log_as_many_entries()
    {
        string[] Roads(string observation) =>
        [
            $"GET Observation/{observation}", $"GET Observation/{observation}/_history", $"GET Observation?patient={_house.PatientId}&_id={observation}",
            $"DELETE Observation/{observation}", $"PATCH Observation/{observation}", $"GET Observation?patient={_house.PatientId}&identifier={observation}", $"GET Patient/{_house.PatientId}/$everything",
        ];
        async Task<List<string>> WalkAsync(string observation)
        {
            var seen = new List<string>();
            foreach (var road in Roads(observation))
            {
                await _house.Gateway.GetRequiredService<AuditLog>().PublishAsync();
                var before = Size;
                var parts = road.Split(' ');
                var reply = await _house.Reader.SendAsync(new HttpMethod(parts[0]), parts[1], parts[0] == "PATCH" ? """[{"op":"test","path":"/status","value":"final"}]"""u8.ToArray() : null, contentType: "application/json-patch+json");
                await _house.Gateway.GetRequiredService<AuditLog>().PublishAsync();
                seen.Add($"{Size - before} entries: {Appearance.Of(reply, observation)}");
            }
            return seen;
        }
        Assert.Equal(await WalkAsync(Guid.NewGuid().ToString("D")), await WalkAsync(_note));
    }

    private long Size => long.Parse(_house.Gateway.GetRequiredService<AuditLog>().ReadCheckpoint().Split('\n')[1], CultureInfo.InvariantCulture);

    private static Task<FhirReply> AskAsync(FhirSession session, string index) => session.SendAsync(HttpMethod.Get, "/audit/receipts/" + index);

    private static async Task<InclusionProof?> ProveAsync(FhirSession session, long index)
    {
        var reply = await AskAsync(session, index.ToString(CultureInfo.InvariantCulture));
        Assert.True(reply.Status == 200, reply.ToString());
        return InclusionProof.TryParse(reply.Text, out var proof) ? proof : null;
    }

    /// <summary>Beginning of the commitment that the public tiles have at an index.</summary>
    private async Task<string> PublishedAsync(long index)
    {
        await _house.Gateway.GetRequiredService<AuditLog>().PublishAsync();
        const int Line = 2 + 64;
        var width = Math.Min(256, Size - index / 256 * 256);
        var tile = $"/audit/log/tile/entries/{index / 256:000}" + (width < 256 ? $".p/{width}" : "");
        var bundle = await _house.Aurora.SendAsync(HttpMethod.Get, tile);
        Assert.Equal(200, bundle.Status);
        return Convert.ToHexStringLower(bundle.Body.AsSpan((int)(index % 256) * Line + 2, 16));
    }

    private static byte[] Bundle(string type, params (string Method, string Url)[] entries) => HouseInMemory.Json(new JsonObject
    {
        ["resourceType"] = "Bundle",
        ["type"] = type,
        ["entry"] = new JsonArray([.. entries.Select(e => new JsonObject { ["request"] = new JsonObject { ["method"] = e.Method, ["url"] = e.Url } })]),
    });
}
