using System.Text;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using KantaGateway.Fhir.Formats;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;

namespace KantaGateway.Tests.Formats;

/// <summary>One house in which somebody has a few observations.</summary>
public sealed class FormatsHouse : IAsyncLifetime
{
    internal HouseInMemory House { get; private set; } = null!;

    internal string Note { get; private set; } = "";

    public async Task InitializeAsync()
    {
        House = await HouseInMemory.OpenAsync();
        Note = await House.AdmitAsync();
    }

    public async Task DisposeAsync() => await House.DisposeAsync();
}

[CollectionDefinition(Name)]
public sealed class FormatsCollection : ICollectionFixture<FormatsHouse>
{
    public const string Name = "one house for formats";
}

/// <summary>Every interaction speaks both formats, through the whole way.</summary>
[Collection(FormatsCollection.Name)]
public sealed class FormatsOfTheHouseTests(FormatsHouse fixture)
{
    private static readonly (string, string)[] Xml = [("Accept", MediaTypes.Xml)];
    private static readonly XNamespace Fhir = "http://hl7.org/fhir";

    private readonly HouseInMemory _house = fixture.House;

    private FhirSession Aurora => _house.Aurora.System;

    [Fact]
    public async Task A_resource_is_created_read_changed_and_found_as_XML()
    {
        var created = await SendXmlAsync(HttpMethod.Post, "Observation", Presented(_house.Observation("xml")));
        Assert.Equal(201, created.Status);
        var id = Root(created, "Observation").Element(Fhir + "id")!.Attribute("value")!.Value;

        var read = await Aurora.SendAsync(HttpMethod.Get, $"Observation/{id}", headers: Xml);
        Root(read, "Observation");
        var json = await Aurora.ReadAsync("Observation", id);
        Assert.Equal("application/fhir+json; charset=utf-8", json.Headers["Content-Type"]);
        var (asJson, fault) = XmlBody.ToJson(read.Body);
        Assert.Null(fault);
        Assert.True(JsonNode.DeepEquals(JsonNode.Parse(json.Body), JsonNode.Parse(asJson.Span)));

        var updated = await Aurora.SendAsync(HttpMethod.Put, $"Observation/{id}", read.Body, [.. Xml, ("If-Match", read.ETag!)], MediaTypes.Xml);
        Assert.True(updated.Status == 200, updated.Text);
        Root(updated, "Observation");

        const string Patch = """
            <Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/><valueCode value="replace"/></part>
            <part><name value="path"/><valueString value="Observation.status"/></part><part><name value="value"/><valueCode value="amended"/></part></parameter></Parameters>
            """;
        var patched = await Aurora.SendAsync(HttpMethod.Patch, $"Observation/{id}", Encoding.UTF8.GetBytes(Patch), [.. Xml, ("If-Match", updated.ETag!)], MediaTypes.Xml);
        Assert.True(patched.Status == 200, patched.Text);
        Assert.Equal("amended", Root(patched, "Observation").Element(Fhir + "status")!.Attribute("value")!.Value);

        var found = await Aurora.SearchAsync("Observation", $"patient={_house.PatientId}&_id={id}&_format=xml");
        Assert.Equal(200, found.Status);
        Assert.Single(Root(found, "Bundle").Elements(Fhir + "entry"));
    }

    [Fact]
    public async Task A_page_link_goes_on_in_the_form_that_its_search_or_history_began_in()
    {
        foreach (var first in new[] { $"Observation?patient={_house.PatientId}&_count=1&_format=xml&_summary=true", $"Observation/{fixture.Note}/_history?_count=1&_format=xml" })
        {
            await _house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("more")));
            var note = await Aurora.ReadAsync("Observation", fixture.Note);
            await Aurora.UpdateAsync("Observation", fixture.Note, note.Body, note.ETag);

            var page = await Aurora.SendAsync(HttpMethod.Get, first);
            var next = Root(page, "Bundle").Elements(Fhir + "link").Single(l => l.Element(Fhir + "relation")!.Attribute("value")!.Value == "next").Element(Fhir + "url")!.Attribute("value")!.Value;
            var second = await Aurora.SendAsync(HttpMethod.Get, next);
            var bundle = Root(second, "Bundle");
            Assert.Equal(first.Contains("_summary", StringComparison.Ordinal), bundle.ToString().Contains("SUBSETTED", StringComparison.Ordinal));
            Assert.Equal("application/fhir+json; charset=utf-8", (await Aurora.SendAsync(HttpMethod.Get, next + "&_format=json")).Headers["Content-Type"]);
        }
    }

    [Theory]
    [InlineData("transaction")]
    [InlineData("batch")]
    public async Task A_Bundle_is_taken_and_answered_as_XML(string type)
    {
        var bundle = new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["type"] = type,
            ["entry"] = new JsonArray(
                new JsonObject { ["resource"] = _house.Observation(type), ["request"] = new JsonObject { ["method"] = "POST", ["url"] = "Observation" } },
                new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = $"Observation?patient={_house.PatientId}&_elements=status&_count=2" } }),
        };
        var answer = await SendXmlAsync(HttpMethod.Post, "", Presented(bundle));
        Assert.True(answer.Status == 200, answer.Text);
        var root = Root(answer, "Bundle");
        Assert.Equal(type + "-response", root.Element(Fhir + "type")!.Attribute("value")!.Value);
        Assert.Equal(2, root.Elements(Fhir + "entry").Count());
        var found = root.Elements(Fhir + "entry").Last().Element(Fhir + "resource")!.Element(Fhir + "Bundle")!;
        Assert.NotEmpty(found.Descendants(Fhir + "Observation"));
        Assert.All(found.Descendants(Fhir + "Observation"), o => Assert.Null(o.Element(Fhir + "subject")));
    }

    [Fact]
    public async Task A_batch_entry_that_asks_for_another_format_is_answered_in_that_of_the_batch()
    {
        var bundle = new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["type"] = "batch",
            ["entry"] = new JsonArray(new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = $"Observation/{fixture.Note}?_format=xml" } }),
        };
        var answer = await Aurora.BundleAsync(HouseInMemory.Json(bundle));
        Assert.Equal("Observation", answer.Json.GetProperty("entry")[0].GetProperty("resource").GetProperty("resourceType").GetString());
    }

    [Fact]
    public async Task Every_refusal_is_an_OperationOutcome_in_the_format_that_was_asked_for()
    {
        foreach (var (method, target, status) in new[]
        {
            (HttpMethod.Get, $"Observation/{Guid.NewGuid()}", 404), (HttpMethod.Get, $"Observation?patient={_house.PatientId}&nonsense=1", 400),
            (HttpMethod.Get, "Nothing/1", 404), (HttpMethod.Get, $"Observation/{fixture.Note}?_summary=count", 400), (HttpMethod.Delete, "metadata", 404),
        })
        {
            var refused = await Aurora.SendAsync(method, target, headers: Xml);
            Assert.True(status == refused.Status || refused.Status == 405, $"{target}: {refused}");
            Assert.NotEmpty(Root(refused, "OperationOutcome").Elements(Fhir + "issue"));
        }
        Root(await _house.Aurora.With(null).SendAsync(HttpMethod.Get, "Observation/1", headers: Xml), "OperationOutcome");
        var wrong = await SendXmlAsync(HttpMethod.Post, "Observation", "<Observation xmlns=\"http://hl7.org/fhir\"><status value=\"x\"/></Observation>"u8.ToArray());
        Assert.Equal(422, wrong.Status);
        Assert.Contains("Observation.status", wrong.Text, StringComparison.Ordinal);
        Assert.Equal(406, (await Aurora.SendAsync(HttpMethod.Get, $"Observation/{fixture.Note}?_format=html")).Status);
        Assert.Equal(415, (await Aurora.SendAsync(HttpMethod.Post, "Observation", "x"u8.ToArray(), contentType: "text/plain")).Status);
    }

    [Fact]
    public async Task A_hidden_resource_looks_absent_in_every_form()
    {
        foreach (var shape in new[] { "_format=xml", "_pretty=true", "_summary=true", "_elements=status" })
        {
            var hidden = await _house.Revontuli.System.SendAsync(HttpMethod.Get, $"Observation/{fixture.Note}?{shape}");
            var absent = await _house.Revontuli.System.SendAsync(HttpMethod.Get, $"Observation/{Guid.NewGuid()}?{shape}");
            Assert.Equal(404, hidden.Status);
            Assert.Equal(Plain(absent), Plain(hidden));
        }

        static string Plain(FhirReply reply) => reply.Text.Replace(reply.Headers["X-Correlation-Id"], "", StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metadata_comes_as_XML_too()
    {
        var metadata = await Aurora.SendAsync(HttpMethod.Get, "metadata", headers: Xml);
        Assert.Contains(Root(metadata, "CapabilityStatement").Elements(Fhir + "format"), f => f.Attribute("value")!.Value == MediaTypes.Xml);
    }

    private Task<FhirReply> SendXmlAsync(HttpMethod method, string target, byte[] xml) => Aurora.SendAsync(method, target, xml, Xml, MediaTypes.Xml);

    private static byte[] Presented(JsonObject resource) => new Presentation(FhirFormat.Xml).Apply(HouseInMemory.Json(resource)).ToArray();

    private static XElement Root(FhirReply reply, string name)
    {
        Assert.Equal("application/fhir+xml; charset=utf-8", reply.Headers["Content-Type"]);
        var root = XDocument.Parse(reply.Text).Root!;
        Assert.Equal(Fhir + name, root.Name);
        return root;
    }
}
