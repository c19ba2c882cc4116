using System.Text;
using System.Text.Json;
using System.Xml.Linq;
using KantaGateway.Fhir.Cda;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Forwarding.Adapters;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Forwarding;

/// <summary>
/// Documents and tables take the road of every FHIR request: who sends them is identified, what they become is decided and recorded, what is denied stays denied, and the original is
/// kept byte for byte. What is refused names its place and leaves nothing.
/// </summary>
[Collection(AdapterHouseCollection.Name)]
public sealed class AdapterRoadsTests(AdapterHouse shared)
{
    private readonly string _code = FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal();
    private readonly string _run = System.Security.Cryptography.RandomNumberGenerator.GetInt32(1_000, 100_000_000).ToString(System.Globalization.CultureInfo.InvariantCulture);

    private readonly string _unknown = Guid.NewGuid().ToString();

    private HouseInMemory House => shared.House;

    private FhirSession Aurora => House.Aurora.System;

    private byte[] Document => Mine(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "cda", "hoitojakso.xml")));

    [Fact]
    public async Task A_document_is_archived_once_found_by_FHIR_and_given_back_as_it_came()
    {
        var stored = await SendAsync("$cda", Document);
        Assert.True(stored.Status == 200, stored.ToString());
        Assert.NotEqual("", stored.Headers[Receipt.Header]);
        Assert.Equal(1, Count(stored, "response"));
        Assert.True(Count(stored, "part") > 80);
        var again = await SendAsync("$cda", Document);
        Assert.Equal((200, 0, false), (again.Status, Count(again, "response"), again.Headers.ContainsKey(Receipt.Header)));
        foreach (var (type, count) in new[] { ("Composition", 1), ("Encounter", 1), ("Condition", 1), ("MedicationStatement", 1), ("Observation", 1), ("DocumentReference", 1) })
            Assert.Equal((type, count), (type, await FoundAsync(Aurora, type)));
        var reference = (await FindAsync(Aurora, "DocumentReference"))[0];
        var original = await Aurora.SendAsync(HttpMethod.Get, reference.GetProperty("content")[0].GetProperty("attachment").GetProperty("url").GetString()!, headers: [("Accept", CdaAdapter.ContentType)]);
        Assert.Equal((200, CdaAdapter.ContentType), (original.Status, original.Headers["Content-Type"]));
        Assert.Equal(Document, original.Body);

        var other = await SendAsync("$cda", Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Document).Replace("Jatketaan.", "Lopetetaan.", StringComparison.Ordinal)));
        Assert.Equal((409, "/ClinicalDocument/id"), (other.Status, other.Issues[0].Expression));
        Assert.Equal(1, await FoundAsync(Aurora, "DocumentReference"));
    }

    [Fact]
    public async Task What_is_refused_names_its_place_leaves_nothing_and_is_recorded()
    {
        var text = Encoding.UTF8.GetString(Document);
        var narrow = House.Aurora.With((await House.Aurora.RequestSystemTokenAsync(scope: "system/Observation.cruds")).Value);
        var log = House.Gateway.GetRequiredService<KantaGateway.Audit.AuditLog>();
        var (form, type) = Form(Table);
        foreach (var (sender, operation, body, contentType, status, expression) in new (FhirSession, string, byte[], string, int, string?)[]
        {
            (House.Aurora.With(null), "$cda", Document, CdaAdapter.ContentType, 401, null),
            (House.Aurora.With(null), "$table", form, type, 401, null),
            (narrow, "$cda", Document, CdaAdapter.ContentType, 403, null),
            (Aurora, "$cda", Document, "application/json", 415, "http.Content-Type"),
            (Aurora, "$table", Document, CdaAdapter.ContentType, 415, "http.Content-Type"),
            (Aurora, $"$cda?of={_code}", Document, CdaAdapter.ContentType, 400, "http.url"),
            (Aurora, "$cda", Encoding.UTF8.GetBytes(text.Replace("</title>", "</titel>", StringComparison.Ordinal)), CdaAdapter.ContentType, 400, "/ClinicalDocument/title"),
            (Aurora, "$cda", Encoding.UTF8.GetBytes(text.Replace("value=\"2.1\"", "value=\"2,1\"", StringComparison.Ordinal)), CdaAdapter.ContentType, 422, "/ClinicalDocument/component/structuredBody/component[3]/section/entry/organizer/component/observation/value/@value"),
            // What the repository finds in the transaction is told by the place that it came from.
            (Aurora, "$cda", Encoding.UTF8.GetBytes(text.Replace("unit=\"mU/L\"/><referenceRange>", "unit=\"mU  L\"/><referenceRange>", StringComparison.Ordinal)), CdaAdapter.ContentType, 422, "/ClinicalDocument/component/structuredBody/component[3]/section/entry/organizer/component/observation"),
            (Aurora, "$table", form[..(form.Length / 2)], type, 422, null),
            (Aurora, "$table", Form(Table.Replace("Otsikko;", "Otsake;", StringComparison.Ordinal)).Body, Form(Table).Type, 422, "mapping"),
        })
        {
            await log.PublishAsync();
            var before = SizeOf(log);
            var reply = await sender.SendAsync(HttpMethod.Post, operation, body, Json, contentType);
            Assert.True(reply.Status == status, $"{operation} {expression}: {reply}");
            Assert.Equal((operation, expression), (operation, expression is null ? null : reply.Issues[0].Expression));
            Assert.DoesNotContain(_code, reply.Text, StringComparison.Ordinal);
            await log.PublishAsync();
            Assert.True(SizeOf(log) > before, $"{operation} {expression}");
        }
        Assert.Equal(0, await FoundAsync(Aurora, "Patient"));
    }

    [Fact]
    public async Task What_a_document_says_is_disclosed_like_any_record_and_what_is_denied_is_not()
    {
        var (patient, composition, citizen) = await ArchivedAsync();
        await SeesAsync(House.Reader, composition, false);
        await PermitAsync(patient, citizen);
        await SeesAsync(House.Reader, composition, true);

        // Both are in the person's own log: the use that archived it, and the disclosure of each of its parts.
        var lines = (await House.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(citizen)).Lines;
        var archived = lines.Single(l => l.Interaction == "transaction");
        Assert.Equal(("Lääkäriasema Aurora Oy", "own-register"), (archived.OrganisationName, archived.LegalBasis));
        Assert.Contains(archived.Items, i => i is { Type: "Binary" });
        var given = lines.First(l => l.Items.Any(i => i.Id == composition) && l.OrganisationOid == House.Revontuli.Client.OrganisationOid);
        Assert.Equal(("search-type", "disclosure-permission"), (given.Interaction, given.LegalBasis));
        Assert.Equal(["Composition", "Condition", "DocumentReference", "Encounter", "MedicationStatement", "Observation", "Patient"], given.Items.Select(i => i.Type).Order(StringComparer.Ordinal));

        // Each part of the document is of its service event, and so is its original.
        await House.DeclareAsync(Declarations.Denial(patient, new DenialTarget.OfServiceEvent("1.2.246.10.99000011.14.2026." + _run), DateTimeOffset.UtcNow), citizen);
        await SeesAsync(House.Reader, composition, false);
        Assert.Equal(200, (await AsDocumentAsync(Aurora, composition)).Status);

        // What is not yet released to the person is none for the person either.
        Assert.Equal((200, 404), (await AsDocumentAsync(citizen, composition), await AsDocumentAsync(citizen, _unknown)));
        await LabelAsync("Composition/" + composition, "https://hl7.fi/fhir/finnish-base-profiles/CodeSystem/fi-base-release-for-patient-viewing-cs", "1");
        Assert.Equal(404, await AsDocumentAsync(citizen, composition));
    }

    /// <summary>Act 703/2023 §26.2: an entry of psychiatry is withheld with what refers to it, from every register until the person confirms; so the document is none.</summary>
    [Fact]
    public async Task A_document_of_specially_protected_entries_is_none_to_who_may_not_see_them()
    {
        var (patient, composition, citizen) = await ArchivedAsync();
        await PermitAsync(patient, citizen);
        var labelled = "Condition/" + (await FindAsync(Aurora, "Condition"))[0].GetProperty("id").GetString();
        await LabelAsync(labelled, "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "N");
        await SeesAsync(House.Reader, composition, true);
        await LabelAsync(labelled, "http://terminology.hl7.org/CodeSystem/v3-ActCode", "PSY");
        await SeesAsync(House.Reader, composition, false, "Composition", "Condition");
    }

    [Fact]
    public async Task A_stored_Composition_is_given_as_a_document_with_a_report_of_each_element()
    {
        Assert.Equal(200, (await SendAsync("$cda", Document)).Status);
        var composition = (await FindAsync(Aurora, "Composition"))[0].GetProperty("id").GetString()!;
        var reply = await AsDocumentAsync(Aurora, composition);
        Assert.True(reply.Status == 200, reply.ToString());
        var document = reply.Json.GetProperty("parameter")[0].GetProperty("resource").GetProperty("data").GetBytesFromBase64();
        var alone = await Aurora.SendAsync(HttpMethod.Get, $"Composition/{composition}/$cda", headers: [("Accept", CdaAdapter.ContentType)]);
        Assert.Equal((200, CdaAdapter.ContentType), (alone.Status, alone.Headers["Content-Type"]));
        Assert.Equal(document, alone.Body);
        var root = XElement.Load(new MemoryStream(document));
        Assert.Empty(Fhir.Cda.CdaSchema.Violations(root));
        Assert.Equal(_code, root.Descendants((XNamespace)CdaAdapter.Hl7 + "id").Single(i => i.Attribute("root")?.Value == "1.2.246.21").Attribute("extension")!.Value);
        Assert.Equal(3, root.Descendants((XNamespace)CdaAdapter.Hl7 + "entry").Count());
        Assert.Contains(root.Descendants((XNamespace)CdaAdapter.Hl7 + "relatedDocument"), r => r.Attribute("typeCode")?.Value == "XFRM");
        var fates = reply.Json.GetProperty("parameter").EnumerateArray().Skip(1).Select(p => p.GetProperty("part")).ToDictionary(p => p[0].GetProperty("valueString").GetString()!, p => p[1].GetProperty("valueCode").GetString());
        Assert.Equal(("mapped", "narrative", "lost"), (fates["Composition.title"], fates["Composition.section[0].text.div"], fates["Composition.meta.versionId"]));

        foreach (var (target, status) in new[] { ($"Composition/{composition}/$cda?x={_code}", 400), ("Composition/nothing/$cda", 404), ($"Observation/{composition}/$cda", 404) })
            Assert.Equal((target, status), (target, (await Aurora.SendAsync(HttpMethod.Get, target)).Status));
        Assert.Equal(401, (await AsDocumentAsync(House.Aurora.With(null), composition)).Status);
        var narrow = House.Aurora.With((await House.Aurora.RequestSystemTokenAsync(scope: "system/Observation.rs")).Value);
        Assert.Equal(403, (await AsDocumentAsync(narrow, composition)).Status);
        Assert.Equal(204, (await Aurora.DeleteAsync("Composition", composition)).Status);
        Assert.Equal(410, (await AsDocumentAsync(Aurora, composition)).Status);
    }

    [Fact]
    public async Task A_table_is_stored_row_by_row_and_told_so_by_row()
    {
        var (form, type) = Form(Table);
        var dry = await Aurora.SendAsync(HttpMethod.Post, "$table?dry-run=true", form, contentType: type);
        Assert.True(dry.Status == 200, dry.ToString());
        Assert.Equal(["2 good", "3 good"], Rows(dry));
        Assert.Equal(0, await FoundAsync(Aurora, "Patient"));

        Assert.Equal(["2 stored", "3 stored"], Rows(await Aurora.SendAsync(HttpMethod.Post, "$table", form, contentType: type)));
        // A row that is wrong stops no other, and those before are stored already.
        var (further, furtherType) = Form(Table + Row("31.2.2026", "Kolmas") + Row("3.3.2026", "Neljäs"));
        var reply = await Aurora.SendAsync(HttpMethod.Post, "$table", further, contentType: furtherType);
        Assert.Equal(["2 stored-before", "3 stored-before", "4 refused", "5 stored"], Rows(reply));
        Assert.Equal("row 4, \"Käyntipäivä\"", reply.Json.GetProperty("parameter")[2].GetProperty("part")[2].GetProperty("part")[0].GetProperty("valueString").GetString());
        Assert.DoesNotContain(_code, reply.Text, StringComparison.Ordinal);
        foreach (var (resource, count) in new[] { ("Patient", 1), ("Encounter", 3), ("DocumentReference", 3), ("Provenance", 3) })
            Assert.Equal((resource, count), (resource, await FoundAsync(Aurora, resource)));
        // What is kept of the row is kept as it was written.
        var row = await Aurora.SendAsync(HttpMethod.Get, (await FindAsync(Aurora, "Provenance")).Select(p => p.GetProperty("entity")[0].GetProperty("what").GetProperty("reference").GetString()!).First());
        Assert.Equal(_code, JsonDocument.Parse(row.Json.GetProperty("data").GetBytesFromBase64()).RootElement.GetProperty("Henkilötunnus").GetString());

        // Each row is decided by itself.
        var narrow = House.Aurora.With((await House.Aurora.RequestSystemTokenAsync(scope: "system/Provenance.s system/Patient.c")).Value);
        var refused = Form(Titles + Row("4.3.2026", "Viides"));
        Assert.Equal(["2 refused"], Rows(await narrow.SendAsync(HttpMethod.Post, "$table", refused.Body, contentType: refused.Type)));
        Assert.Equal(3, await FoundAsync(Aurora, "Encounter"));
        var lines = (await House.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(House.CitizenOf((await FindAsync(Aurora, "Patient"))[0].GetProperty("id").GetString()!))).Lines;
        Assert.Equal(3, lines.Count(l => l is { Interaction: "transaction", LegalBasis: "own-register" }));
    }

    private static readonly string Sample = Path.Combine(Solution.Folder, "fhir-adapters", "KantaGateway.Fhir", "Tables", "sample");

    internal static readonly string Titles = File.ReadLines(Path.Combine(Sample, "vastaanotto.csv")).First() + "\n";

    private string Table => Titles + Row("1.3.2026", "Ensimmäinen") + Row("2.3.2026", "Toinen");

    private string Row(string date, string note) => $"{_run};{_code};Esimerkki;Meri;Keksitty katu 1;00100;Helsinki;;;Leena Keksitty;{date};F32.1;Käynti;{note};kyllä;1-1\n";

    internal static (byte[] Body, string Type) Form(string table)
    {
        using var form = new MultipartFormDataContent("----of-the-test")
        {
            { new ByteArrayContent(File.ReadAllBytes(Path.Combine(Sample, "vastaanotto.mapping.json"))), "mapping", "mapping.json" },
            { new ByteArrayContent(Encoding.UTF8.GetBytes(table)), "table", "table.csv" },
        };
        return (form.ReadAsByteArrayAsync().GetAwaiter().GetResult(), form.Headers.ContentType!.ToString());
    }

    private static IEnumerable<string> Rows(FhirReply reply) => reply.Json.GetProperty("parameter").EnumerateArray().Select(static p => p.GetProperty("part")).Select(static p => $"{p[0].GetProperty("valueInteger").GetInt32()} {p[1].GetProperty("valueCode").GetString()}");

    /// <summary>Of this test's own person, document and visit.</summary>
    private byte[] Mine(string document) => Encoding.UTF8.GetBytes(document.Replace("290280-9011", _code, StringComparison.Ordinal).Replace("extension=\"42\"", $"extension=\"{_run}\"", StringComparison.Ordinal).Replace("extension=\"7\"", $"extension=\"{_run}\"", StringComparison.Ordinal)
        .Replace("root=\"1.2.246.10.99000011.11.2026.42.1\"", $"root=\"1.2.246.10.99000011.11.2026.{_run}.1\"", StringComparison.Ordinal));

    /// <summary>The document of one clinic, of a person whom another has in its care.</summary>
    private async Task<(string Patient, string Composition, Requester Citizen)> ArchivedAsync()
    {
        Assert.Equal(200, (await SendAsync("$cda", Document)).Status);
        var patient = (await FindAsync(Aurora, "Patient"))[0].GetProperty("id").GetString()!;
        Assert.Equal(201, (await House.Revontuli.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(_code)))).Status);
        var visit = House.Encounter("1.2.246.10.99000022.14.2026." + _run, "in-progress");
        visit["subject"] = new System.Text.Json.Nodes.JsonObject { ["reference"] = "Patient/" + patient };
        Assert.Equal(201, (await House.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        return (patient, (await FindAsync(Aurora, "Composition"))[0].GetProperty("id").GetString()!, House.CitizenOf(patient));
    }

    private async Task PermitAsync(string patient, Requester citizen)
    {
        await House.DeclareAsync(Declarations.Informing(patient, DateTimeOffset.UtcNow), citizen);
        await House.DeclareAsync(Declarations.Permit(patient, DateTimeOffset.UtcNow), citizen);
    }

    /// <summary>Whether what was archived is found, and given as a document.</summary>
    private async Task SeesAsync(FhirSession reader, string composition, bool isSeen, params string[] types)
    {
        foreach (var type in types.Length > 0 ? types : ["Composition", "Condition", "DocumentReference"])
            Assert.Equal((type, isSeen ? 1 : 0), (type, await FoundAsync(reader, type)));
        var document = await AsDocumentAsync(reader, composition);
        Assert.True(document.Status == (isSeen ? 200 : 404), document.ToString());
        Assert.Equal(isSeen, document.Headers.ContainsKey(Receipt.Header));
        // As it is of an id that was never given out, to the byte.
        if (!isSeen)
            Assert.Null(Appearance.Difference(Appearance.Of(document, composition), Appearance.Of(await AsDocumentAsync(reader, _unknown), _unknown)));
    }

    private async Task LabelAsync(string target, string system, string code)
    {
        var patch = $$"""[{"op":"add","path":"/meta/security","value":[{"system":"{{system}}","code":"{{code}}"}]}]""";
        var labelled = await Aurora.SendAsync(HttpMethod.Patch, target, Encoding.UTF8.GetBytes(patch), [("If-Match", (await Aurora.SendAsync(HttpMethod.Get, target)).ETag!)], "application/json-patch+json");
        Assert.True(labelled.Status == 200, labelled.ToString());
    }

    private Task<FhirReply> SendAsync(string operation, byte[] document) => Aurora.SendAsync(HttpMethod.Post, operation, document, Json, CdaAdapter.ContentType);

    /// <summary>Without it who sends XML is answered in XML.</summary>
    private static readonly (string, string)[] Json = [("Accept", "application/fhir+json")];

    private static Task<FhirReply> AsDocumentAsync(FhirSession session, string composition) => session.SendAsync(HttpMethod.Get, $"Composition/{composition}/$cda");

    /// <summary>As the person sees it, whose portal asks from inside.</summary>
    private async Task<int> AsDocumentAsync(Requester person, string composition)
    {
        await using var scope = House.Gateway.CreateAsyncScope();
        var context = InnerRequestSender.Create(scope.ServiceProvider, null, person, "GET", $"Composition/{composition}/$cda", default, null, CancellationToken.None);
        context.Request.RouteValues["id"] = composition;
        return (await InnerRequestSender.AnswerOf(context, scope.ServiceProvider.GetRequiredService<CompositionDocuments>().InvokeAsync)).Status;
    }

    private static int Count(FhirReply reply, string name) => reply.Json.GetProperty("parameter").EnumerateArray().Count(p => p.GetProperty("name").GetString() == name);

    private async Task<int> FoundAsync(FhirSession session, string type) => (await SearchAsync(session, type)).Json.GetProperty("total").GetInt32();

    private async Task<List<JsonElement>> FindAsync(FhirSession session, string type) => [.. (await SearchAsync(session, type)).Json.GetProperty("entry").EnumerateArray().Select(static e => e.GetProperty("resource"))];

    private async Task<FhirReply> SearchAsync(FhirSession session, string type)
    {
        var reply = await session.SearchAsync(type, $"{(type == "Patient" ? "identifier" : "patient.identifier")}=urn:oid:1.2.246.21|{_code}");
        Assert.True(reply.Status == 200, reply.ToString());
        return reply;
    }

    private static long SizeOf(KantaGateway.Audit.AuditLog log) => long.Parse(log.ReadCheckpoint().Split('\n')[1], System.Globalization.CultureInfo.InvariantCulture);
}
