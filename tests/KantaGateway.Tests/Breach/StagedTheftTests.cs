using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Operations;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Laws;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Breach;

/// <summary>Somebody takes what there is by every road, among others who ask rightly; the scope of it is exactly what their answers held, each item proven.</summary>
public sealed class StagedTheftTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;
    private readonly List<(string Patient, string Note)> _people = [];

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        for (var citizen = 0; citizen < 3; citizen++)
        {
            var note = await _house.AdmitAsync(citizen);
            _people.Add((_house.PatientId, note));
        }
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    [Fact]
    public async Task What_a_clinic_took_by_every_road_is_found_exactly_by_whatever_is_known_of_it()
    {
        var from = DateTimeOffset.UtcNow;
        var taken = new Loot();
        foreach (var (patient, note) in _people.Take(2))
        {
            var system = _house.Aurora.System;
            // Others ask meanwhile, about the same people and others.
            await _house.Revontuli.System.ReadAsync("Patient", patient);
            var read = await system.ReadAsync("Observation", note);
            taken.Add(read);
            taken.Add(await system.ReadVersionAsync("Observation", note, read.VersionId!));
            taken.Add(await system.HistoryAsync("Observation", note));
            taken.Add(await system.SearchAsync("Observation", $"patient={patient}&_include=Observation:encounter&_include=Observation:subject"));
            var page = await system.SendAsync(HttpMethod.Get, $"Patient/{patient}/$everything?_count=1");
            taken.Add(page);
            while (NextOf(page) is { } next)
                taken.Add(page = await system.SendAsync(HttpMethod.Get, next));
            taken.Add(await system.BundleAsync(Bundle("batch", $"Observation/{note}", $"Encounter?patient={patient}", "Observation/00000000-0000-4000-8000-000000000000")));
            taken.Add(await system.BundleAsync(Bundle("transaction", $"Patient/{patient}")));
            taken.Add(await system.CreateAsync("Observation", HouseInMemory.Json(Observation(patient))));
            await _house.Revontuli.System.SearchAsync("Encounter", $"patient={patient}");
        }
        // What gives nothing affects nobody.
        Assert.Equal(404, (await _house.Aurora.System.ReadAsync("Observation", "00000000-0000-4000-8000-000000000000")).Status);
        Assert.Equal(200, (await _house.Revontuli.System.ReadAsync("Patient", _people[2].Patient)).Status);
        var to = DateTimeOffset.UtcNow;
        Assert.Equal(2, taken.Items.Select(static one => one.Patient).Distinct().Count());
        Assert.Contains(taken.Items, static one => one.Type == "Encounter");

        var certificate = Convert.ToHexStringLower(SHA256.HashData(System.Security.Cryptography.X509Certificates.X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(Path.Combine(_house.Folder.Path, "clinics/aurora/tls.pem"))).RawData));
        foreach (var known in (ScopeCriteria[])
        [
            Of() with { Client = _house.Aurora.Client.ClientId }, Of() with { Organisation = _house.Aurora.Client.OrganisationOid }, Of() with { Certificate = certificate }, Of() with { Requester = _house.Aurora.Client.ClientId },
            Of() with { Client = _house.Aurora.Client.ClientId, Address = "127.0.0.0/8" },
        ])
        {
            var found = await ScopeAsync(known);
            Assert.Equal([], found.Findings.Unreadable);
            taken.RequireExactly(found);
            Assert.True(found.Refused > 0);
        }
        // By one who was touched, everybody who touched her is found, and of her alone.
        var canary = await ScopeAsync(Of() with { Patient = "Patient/" + _people[0].Patient });
        Assert.Equal([_people[0].Patient], canary.Persons.Select(static one => one.PatientId));
        Assert.Contains(canary.Evidence[_people[0].Patient], one => one.Record.System.ClientId == _house.Revontuli.Client.ClientId);
        // Nobody asked from there, then, or with that.
        foreach (var nobody in (ScopeCriteria[])[Of() with { Address = "10.9.8.7" }, Of() with { Client = _house.Aurora.Client.ClientId, From = from.AddDays(-2), To = from.AddDays(-1) }, Of() with { Certificate = new string('0', 64) }])
            Assert.Empty((await ScopeAsync(nobody)).Persons);

        ScopeCriteria Of() => new() { From = from, To = to };
    }

    [Fact]
    public async Task What_a_professional_took_by_permission_and_what_was_taken_in_the_portal_is_found_exactly()
    {
        foreach (var (patient, _) in _people)
        {
            await _house.DeclareAsync(Declarations.Informing(patient, DateTimeOffset.UtcNow), _house.CitizenOf(patient));
            await _house.DeclareAsync(Declarations.Permit(patient, DateTimeOffset.UtcNow), _house.CitizenOf(patient));
        }
        var from = DateTimeOffset.UtcNow;
        var (byProfessional, inPortal) = (new Loot(), new Loot());
        foreach (var (patient, note) in _people.Take(2))
        {
            byProfessional.Add(await _house.Reader.ReadAsync("Observation", note));
            byProfessional.Add(await _house.Reader.SearchAsync("Observation", $"patient={patient}"));
            Assert.Equal(200, (await _house.Aurora.System.ReadAsync("Observation", note)).Status);
        }
        foreach (var target in (string[])["Observation/" + _people[2].Note, $"Patient/{_people[2].Patient}/$everything"])
        {
            var answer = await _house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(_house.CitizenOf(_people[2].Patient), "GET", target);
            Assert.Equal(200, answer.Status);
            inPortal.Add(answer.Body);
        }
        var to = DateTimeOffset.UtcNow;
        var professional = (await ScopeAsync(new() { From = from, To = to, Client = _house.Revontuli.Client.ClientId })).Evidence.Values.SelectMany(static all => all).Select(static one => one.Record.Professional!.Id).Distinct().Single();
        byProfessional.RequireExactly(await ScopeAsync(new() { From = from, To = to, Professional = professional }));
        byProfessional.RequireExactly(await ScopeAsync(new() { From = from, To = to, Requester = $"{_house.Revontuli.Client.ClientId}|{professional}" }));
        inPortal.RequireExactly(await ScopeAsync(new() { From = from, To = to, Citizen = "Patient/" + _people[2].Patient }));
        inPortal.RequireExactly(await ScopeAsync(new() { From = from, To = to, Token = "session", Client = "portal" }));
    }

    [Fact]
    public async Task The_answer_proves_each_entry_to_whoever_has_the_log_s_key_alone()
    {
        var from = DateTimeOffset.UtcNow;
        await _house.Aurora.System.ReadAsync("Observation", _people[0].Note);
        await _house.Aurora.System.ReadAsync("Observation", _people[1].Note);
        var criteria = new ScopeCriteria { From = from, To = DateTimeOffset.UtcNow, Client = _house.Aurora.Client.ClientId };
        using var body = new MemoryStream();
        await OperatorScopes.WriteAsync(body, "act", "1", criteria, await ScopeAsync(criteria), default);
        JsonElement[] lines = [.. Encoding.UTF8.GetString(body.ToArray()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(4, lines.Length);
        Assert.True(Checkpoint.TryOpen(lines[0].GetProperty("checkpoint").GetString()!, _house.Gateway.GetRequiredService<AuditLog>().Verifier, out var checkpoint));
        Assert.Equal(2, lines[^1].GetProperty("persons").GetInt32());
        foreach (var (line, person) in lines[1..3].Zip(_people))
        {
            Assert.Equal("Patient/" + person.Patient, line.GetProperty("patient").GetString());
            Assert.Equal("test-results", line.GetProperty("categories")[0].GetString());
            var entry = Assert.Single(line.GetProperty("entries").EnumerateArray());
            var (leaf, subject) = (entry.GetProperty("leaf").GetBytesFromBase64(), entry.GetProperty("subject").GetBytesFromBase64());
            Assert.Equal(leaf[..32], SHA256.HashData([.. entry.GetProperty("salt").GetBytesFromBase64(), (byte)(subject.Length | (entry.TryGetProperty("withheld", out var withheld) ? 128 : 0)), .. subject, .. withheld.ValueKind == JsonValueKind.String ? withheld.GetBytesFromBase64() : [], .. entry.GetProperty("record").GetBytesFromBase64()]));
            Assert.Equal(checkpoint.Root, TiledTree.RootFromInclusion(entry.GetProperty("index").GetInt64(), checkpoint.Size, Merkle.HashLeaf(leaf), [.. entry.GetProperty("path").EnumerateArray().Select(static hash => hash.GetBytesFromBase64())]));
            Assert.Contains(person.Note, Encoding.UTF8.GetString(entry.GetProperty("record").GetBytesFromBase64()), StringComparison.Ordinal);
        }
    }

    private Task<ScopeResult> ScopeAsync(ScopeCriteria criteria) =>
        _house.Gateway.GetRequiredService<BreachScope>().RunAsync(new AuditReading(Guid.NewGuid().ToString("N"), 1, criteria.From, criteria.To, "one", "another"), criteria, default);

    private static JsonObject Observation(string patient) => new()
    {
        ["resourceType"] = "Observation", ["status"] = "final", ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient },
        ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = "8867-4" }) },
    };

    private static byte[] Bundle(string type, params string[] targets) => HouseInMemory.Json(new JsonObject
    {
        ["resourceType"] = "Bundle", ["type"] = type,
        ["entry"] = new JsonArray([.. targets.Select(static target => new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = target } })]),
    });

    private static string? NextOf(FhirReply page) => page.Json.TryGetProperty("link", out var links)
        && links.EnumerateArray().FirstOrDefault(static link => link.GetProperty("relation").GetString() == "next") is { ValueKind: JsonValueKind.Object } next ? next.GetProperty("url").GetString() : null;

    /// <summary>What the answers held, told from them alone.</summary>
    private sealed class Loot
    {
        public HashSet<(string Patient, string Type, string Id, string Version)> Items { get; } = [];

        public void Add(FhirReply answer)
        {
            Assert.True(answer.IsSuccess, answer.ToString());
            Add(answer.Body);
        }

        public void Add(ReadOnlyMemory<byte> body)
        {
            if (body.Length > 0)
                Add(JsonDocument.Parse(body).RootElement);
        }

        /// <summary>Each of them, and no other.</summary>
        public void RequireExactly(ScopeResult found) =>
            Assert.Equal(Items.Order(), found.Persons.SelectMany(static person => person.Items.Select(item => (person.PatientId, item.Resource.Type, item.Resource.Id, item.Resource.VersionId!))).Distinct().Order());

        private void Add(JsonElement resource)
        {
            switch (resource.GetProperty("resourceType").GetString())
            {
                case "Bundle" when resource.TryGetProperty("entry", out var entries):
                    foreach (var entry in entries.EnumerateArray())
                        if (entry.TryGetProperty("resource", out var inner))
                            Add(inner);
                    break;
                case "Bundle" or "OperationOutcome":
                    break;
                case var type:
                    var id = resource.GetProperty("id").GetString()!;
                    Items.Add((type == "Patient" ? id : resource.GetProperty(type == "Consent" ? "patient" : "subject").GetProperty("reference").GetString()!["Patient/".Length..], type!, id, resource.GetProperty("meta").GetProperty("versionId").GetString()!));
                    break;
            }
        }
    }
}
