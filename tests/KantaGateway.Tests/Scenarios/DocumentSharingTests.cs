using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Scenarios;

/// <summary>IHE MHD: documents are published (ITI-65, ITI-105), found (ITI-66, ITI-67) and fetched (ITI-68).</summary>
public sealed class DocumentSharingTests : IAsyncLifetime
{
    private const string Mhd = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.";
    private const string ListTypes = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes";
    private static readonly byte[] Document = Encoding.UTF8.GetBytes("Hoitosuunnitelma: tapaamiset viikoittain.");
#pragma warning disable CA5350 // Attachment.hash is SHA-1 by the specification.
    private static readonly byte[] Digest = SHA1.HashData(Document);
#pragma warning restore CA5350

    private HouseInMemory _house = null!;

    private FhirSession Clinic => _house.Aurora.System;

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        await _house.AdmitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task A_document_bundle_is_published_found_and_fetched()
    {
        const string Set = "urn:uuid:aaaaaaaa-bbbb-4ccc-8ddd-e00111100001", Reference = "urn:uuid:aaaaaaaa-bbbb-4ccc-8ddd-e00111100002", Text = "urn:uuid:aaaaaaaa-bbbb-4ccc-8ddd-e00111100003";
        var reference = DocumentReference(Mhd + "Minimal.DocumentReference", new JsonObject
        {
            ["contentType"] = "text/plain", ["url"] = Text, ["size"] = Document.Length, ["hash"] = Convert.ToBase64String(Digest),
        });
        var published = await Clinic.BundleAsync(HouseInMemory.Json(new JsonObject
        {
            ["resourceType"] = "Bundle", ["meta"] = Claim(Mhd + "Minimal.ProvideBundle"), ["type"] = "transaction", ["timestamp"] = "2026-05-01T10:00:00+03:00",
            ["entry"] = new JsonArray(
                Entry(Set, new JsonObject
                {
                    ["resourceType"] = "List", ["meta"] = Claim(Mhd + "Minimal.SubmissionSet"), ["status"] = "current", ["mode"] = "working", ["date"] = "2026-05-01T10:00:00+03:00",
                    ["extension"] = new JsonArray(new JsonObject { ["url"] = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId", ["valueIdentifier"] = new JsonObject { ["value"] = "urn:oid:1.2.246.10.99000011" } }),
                    ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:1.2.246.10.99000011.11.2026.7" }),
                    ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = ListTypes, ["code"] = "submissionset" }) },
                    ["subject"] = new JsonObject { ["reference"] = "Patient/" + _house.PatientId },
                    ["entry"] = new JsonArray(new JsonObject { ["item"] = new JsonObject { ["reference"] = Reference } }),
                }),
                Entry(Reference, reference),
                Entry(Text, new JsonObject { ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document) })),
        }));
        Assert.True(published.Status == 200, published.ToString());
        var stored = published.Json.GetProperty("entry").EnumerateArray().Select(e => e.GetProperty("response")).ToList();
        Assert.All(stored, r => Assert.StartsWith("201", r.GetProperty("status").GetString()));
        var ids = stored.Select(r => FhirReply.ParseLocation(r.GetProperty("location").GetString()!)!.Value).ToList();
        Assert.Equal(["List", "DocumentReference", "Binary"], ids.Select(i => i.Type));

        var sets = await Clinic.SearchAsync("List", $"patient={_house.PatientId}&code={ListTypes}|submissionset&status=current&_include=List:item");
        Assert.Equal(1, sets.Json.GetProperty("total").GetInt32());
        Assert.Equal([$"List/{ids[0].Id}", $"DocumentReference/{ids[1].Id}"], Found(sets));

        var found = await Clinic.SearchAsync("DocumentReference", $"patient={_house.PatientId}&status=current&identifier=urn:ietf:rfc:3986|urn:oid:1.2.246.10.99000011.11.2026.8&date=ge2026-05-01&contenttype=text/plain");
        Assert.Equal([$"DocumentReference/{ids[1].Id}"], Found(found));
        await FetchAsync(found.Json.GetProperty("entry")[0].GetProperty("resource"), ids[2].Id);
    }

    [Fact]
    public async Task A_document_is_published_by_its_reference_alone()
    {
        var published = await PublishAsync(new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document), ["title"] = "Suunnitelma" });
        Assert.True(published.Status == 201, published.ToString());
        var reference = published.Json;
        var attachment = reference.GetProperty("content")[0].GetProperty("attachment");
        Assert.False(attachment.TryGetProperty("data", out _));
        Assert.Equal((Document.Length, Convert.ToBase64String(Digest), "Suunnitelma"), (attachment.GetProperty("size").GetInt32(), attachment.GetProperty("hash").GetString(), attachment.GetProperty("title").GetString()));
        Assert.DoesNotContain("SimplifiedPublish", published.Text);
        Assert.Equal(published.Stored!.Value.Id, reference.GetProperty("id").GetString());

        var found = await Clinic.SearchAsync("DocumentReference", $"patient={_house.PatientId}&status=current");
        Assert.Equal([$"DocumentReference/{published.Stored.Value.Id}"], Found(found));
        await FetchAsync(found.Json.GetProperty("entry")[0].GetProperty("resource"));
    }

    /// <summary>A recipient makes the submission set of a document that came without one (ITI-105), and it is found like any (ITI-66).</summary>
    [Fact]
    public async Task A_document_that_is_published_by_its_reference_gets_a_submission_set()
    {
        var author = await Clinic.CreateAsync("Device", HouseInMemory.Json(new JsonObject { ["resourceType"] = "Device", ["patient"] = new JsonObject { ["reference"] = "Patient/" + _house.PatientId } }));
        Assert.True(author.Status == 201, author.ToString());
        var body = DocumentReference(SimplifiedPublish.Profile, new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document) });
        body["type"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = "18776-5" }) };
        body["author"] = new JsonArray(new JsonObject { ["reference"] = "Device/" + author.Stored!.Value.Id });
        var published = await Clinic.CreateAsync("DocumentReference", HouseInMemory.Json(body));
        Assert.True(published.Status == 201, published.ToString());
        // A document in an attachment that nobody claims to publish has none.
        Assert.Equal(201, (await Clinic.CreateAsync("DocumentReference", HouseInMemory.Json(DocumentReference(null, new JsonObject { ["contentType"] = "text/plain", ["data"] = "SGVp" })))).Status);

        var sender = _house.Folder.Client("aurora").OrganisationOid;
        foreach (var (query, count) in new[]
        {
            ("", 1), ("&designationType=http://loinc.org|18776-5", 1), ("&designationType=18776-5", 1), ("&designationType=http://loinc.org|other", 0), ("&designationType:missing=true", 0),
            ($"&sourceId=urn:ietf:rfc:3986|urn:oid:{sender}", 1), ("&sourceId=urn:oid:1.2.3", 0), ($"&source=Device/{author.Stored.Value.Id}", 1),
            ("&item=DocumentReference/" + published.Stored!.Value.Id, 1),
        })
            Assert.Equal((query, count), (query, (await SetsAsync(query)).Json.GetProperty("total").GetInt32()));
        var sets = await SetsAsync("&_include=List:item");
        Assert.Equal("DocumentReference/" + published.Stored.Value.Id, Found(sets).Last());
        var set = sets.Json.GetProperty("entry")[0].GetProperty("resource");
        Assert.Equal(["official", "usual"], set.GetProperty("identifier").EnumerateArray().Select(i => i.GetProperty("use").GetString()));
        Assert.Equal("working", set.GetProperty("mode").GetString());

        async Task<FhirReply> SetsAsync(string query) =>
            await Clinic.SearchAsync("List", $"patient={_house.PatientId}&code={ListTypes}|submissionset&status=current{query}");
    }

    /// <summary>A hash and a size that are given are held to the data; MHD's own examples have the hash as hexadecimal digits in base64.</summary>
    [Fact]
    public async Task What_the_source_says_of_the_document_is_checked()
    {
        foreach (var hash in new[] { Convert.ToBase64String(Digest), Convert.ToBase64String(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(Digest))) })
        {
            var published = await PublishAsync(new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document), ["size"] = Document.Length, ["hash"] = hash });
            Assert.Equal((201, Convert.ToBase64String(Digest)), (published.Status, published.Json.GetProperty("content")[0].GetProperty("attachment").GetProperty("hash").GetString()));
        }
    }

    [Fact]
    public async Task What_is_not_published_leaves_nothing_behind()
    {
        var before = await CountAsync();
        foreach (var (attachment, status, encounter, expression) in new (string, string, string?, string)[]
        {
            ("""{"contentType":"text/plain"}""", "current", null, "DocumentReference.content[0].attachment.data"),
            ("""{"contentType":"text/plain","data":"SGVp","url":"http://elsewhere.example/1"}""", "current", null, "DocumentReference.content[0].attachment.url"),
            ("""{"data":"SGVp"}""", "current", null, "DocumentReference.content[0].attachment.contentType"),
            ("""{"contentType":"text/plain","data":"SGVp","size":4}""", "current", null, "DocumentReference.content[0].attachment.size"),
            ("""{"contentType":"text/plain","data":"SGVp","hash":"SGVp"}""", "current", null, "DocumentReference.content[0].attachment.hash"),
            ("""{"contentType":"text/plain","data":"SGVp"}""", "superseded", null, "DocumentReference.status"),
            ("""{"contentType":"text/plain","data":"SGVp"}""", "current", "Encounter/00000000-0000-4000-8000-000000000000", "DocumentReference.context.encounter[0]"),
        })
        {
            var refused = await PublishAsync(JsonNode.Parse(attachment)!.AsObject(), status, encounter);
            Assert.Equal(422, refused.Status);
            Assert.Contains(refused.Issues, i => i.Expression == expression);
        }
        Assert.Equal(before, await CountAsync());

        async Task<int> CountAsync() => (await Clinic.SendAsync(HttpMethod.Get, $"_history?patient={_house.PatientId}&_count=200")).Json.GetProperty("total").GetInt32();
    }

    [Fact]
    public async Task Data_in_an_attachment_stay_where_nobody_claims_to_publish()
    {
        foreach (var claim in new[] { null, Mhd + "Minimal.DocumentReference" })
        {
            var stored = await Clinic.CreateAsync("DocumentReference", HouseInMemory.Json(DocumentReference(claim, new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document) })));
            Assert.Equal((201, Convert.ToBase64String(Document)), (stored.Status, stored.Json.GetProperty("content")[0].GetProperty("attachment").GetProperty("data").GetString()));
        }
    }

    [Fact]
    public async Task Publishing_writes_a_binary_and_a_list_and_so_needs_leave_to()
    {
        var body = HouseInMemory.Json(DocumentReference(SimplifiedPublish.Profile, new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document) }));
        foreach (var scope in (string[])["", " system/Binary.c", " system/List.c"])
        {
            var narrow = _house.Aurora.With((await _house.Aurora.RequestSystemTokenAsync(scope: "system/DocumentReference.cruds" + scope)).Value);
            Assert.Equal(403, (await narrow.CreateAsync("DocumentReference", body)).Status);
        }
        var wide = _house.Aurora.With((await _house.Aurora.RequestSystemTokenAsync(scope: "system/DocumentReference.cruds system/Binary.c system/List.c")).Value);
        Assert.Equal(201, (await wide.CreateAsync("DocumentReference", body)).Status);
        Assert.Equal(400, (await wide.CreateAsync("DocumentReference", body, ifNoneExist: $"patient={_house.PatientId}&status=current")).Status);
    }

    /// <summary>A document is as hidden as its DocumentReference, whatever road it came by.</summary>
    [Fact]
    public async Task A_published_document_is_fetched_by_nobody_who_may_not_find_it()
    {
        var published = await PublishAsync(new JsonObject { ["contentType"] = "text/plain", ["data"] = Convert.ToBase64String(Document) });
        var url = published.Json.GetProperty("content")[0].GetProperty("attachment").GetProperty("url").GetString()!;
        foreach (var type in (string[])["DocumentReference", "List"])
            Assert.Equal(0, (await _house.Reader.SearchAsync(type, $"patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
        Assert.Equal(404, (await _house.Reader.SendAsync(HttpMethod.Get, url, headers: [("Accept", "text/plain")])).Status);
    }

    private Task<FhirReply> PublishAsync(JsonObject attachment, string status = "current", string? encounter = null) =>
        Clinic.CreateAsync("DocumentReference", HouseInMemory.Json(DocumentReference(SimplifiedPublish.Profile + "|4.2.2", attachment, status, encounter)));

    private JsonObject DocumentReference(string? claim, JsonObject attachment, string status = "current", string? encounter = null)
    {
        var reference = new JsonObject
        {
            ["resourceType"] = "DocumentReference", ["status"] = status, ["date"] = "2026-05-01T10:00:00+03:00",
            ["masterIdentifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:1.2.246.10.99000011.11.2026.8" },
            ["subject"] = new JsonObject { ["reference"] = "Patient/" + _house.PatientId },
            ["content"] = new JsonArray(new JsonObject { ["attachment"] = attachment }),
        };
        if (claim is not null)
            reference["meta"] = Claim(claim);
        if (encounter is not null)
            reference["context"] = new JsonObject { ["encounter"] = new JsonArray(new JsonObject { ["reference"] = encounter }) };
        return reference;
    }

    private static JsonObject Claim(string profile) => new() { ["profile"] = new JsonArray(profile) };

    private static JsonObject Entry(string fullUrl, JsonObject resource) => new()
    {
        ["fullUrl"] = fullUrl, ["resource"] = resource, ["request"] = new JsonObject { ["method"] = "POST", ["url"] = (string)resource["resourceType"]! },
    };

    private static IEnumerable<string> Found(FhirReply reply) => reply.Json.GetProperty("entry").EnumerateArray()
        .Select(e => e.GetProperty("resource")).Select(r => $"{r.GetProperty("resourceType").GetString()}/{r.GetProperty("id").GetString()}");

    /// <summary>Reads a document by the address in its DocumentReference, as what it is.</summary>
    private async Task FetchAsync(JsonElement reference, string? id = null)
    {
        var url = reference.GetProperty("content")[0].GetProperty("attachment").GetProperty("url").GetString()!;
        Assert.StartsWith("Binary/", url);
        Assert.True(id is null || url == "Binary/" + id);
        var fetched = await Clinic.SendAsync(HttpMethod.Get, url, headers: [("Accept", "text/plain")]);
        Assert.Equal((200, "text/plain"), (fetched.Status, fetched.Headers["Content-Type"]));
        Assert.Equal(Document, fetched.Body);
    }
}
