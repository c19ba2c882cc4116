using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>$everything, $meta and $docref.</summary>
public sealed class OperationsTests : IAsyncLifetime
{
    private const string Denied = "1.2.246.10.22222222.14.1", Open = "1.2.246.10.22222222.14.2";

    private RepositoryWorld _world = null!;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync();

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Everything_is_the_patient_then_all_else_and_the_directory_entries_referred_to()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).WithDirectory();
        var organization = await StoreInDirectoryAsync();
        var visit = await clinic.StoreAsync(Some.Encounter(clinic.PatientId, Open));
        await clinic.StoreAsync(Some.Patient());
        var note = Some.Observation(clinic.PatientId, encounterId: visit);
        note["performer"] = new JsonArray(Some.To("Organization/" + organization));
        var stored = await clinic.StoreAsync(note);

        var all = (await clinic.GetAsync($"Patient/{clinic.PatientId}/$everything")).Is(HttpStatusCode.OK);
        Assert.Equal([clinic.PatientId, visit, stored, organization], all.Ids);
        Assert.Equal(["match", "match", "match", "include"], all.Json["entry"]!.AsArray().Select(e => (string)e!["search"]!["mode"]!));
        Assert.Equal(3, (int)all.Json["total"]!);
        Assert.Equal(all.Ids, all.Manifest!.Items.Select(i => i.Id));
        Assert.Equal([clinic.PatientId, visit, stored, organization], (await clinic.GetAsync($"Encounter/{visit}/$everything")).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task Everything_is_narrowed_by_type_and_time_and_asked_for_by_either_method()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var stored = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var target = $"Patient/{clinic.PatientId}/$everything";
        Assert.Equal([stored], (await clinic.GetAsync(target + "?_type=Observation,Condition")).Is(HttpStatusCode.OK).Ids);
        Assert.Empty((await clinic.GetAsync(target + "?_since=2099")).Is(HttpStatusCode.OK).Ids);
        Assert.Equal((await clinic.GetAsync(target)).Ids, (await clinic.GetAsync(target + "?_since=2000-01-01T00:00:00Z")).Is(HttpStatusCode.OK).Ids);
        var parameters = new JsonObject
        {
            ["resourceType"] = "Parameters",
            ["parameter"] = new JsonArray(new JsonObject { ["name"] = "_type", ["valueCode"] = "Observation" }),
        };
        Assert.Equal([stored], (await _world.SendAsync(clinic.Grant, null, "POST", "/fhir/" + target, parameters.ToJsonString())).Is(HttpStatusCode.OK).Ids);
        (await clinic.GetAsync(target + "?_type=Nonsense")).Is(HttpStatusCode.BadRequest);
    }

    /// <summary>Of a Condition any of its dates counts; what has none, as a person or a medicine, belongs to every time.</summary>
    [Fact]
    public async Task Everything_is_narrowed_by_the_dates_of_care_on_every_page()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var old = await StoreAsync("2019-03-01T10:00:00+02:00");
        var recent = await StoreAsync("2026-01-05");
        var vague = await StoreAsync("2021");
        var condition = await clinic.StoreAsync(new JsonObject
        {
            ["resourceType"] = "Condition", ["subject"] = new JsonObject { ["reference"] = "Patient/" + clinic.PatientId },
            ["onsetDateTime"] = "2018", ["recordedDate"] = "2026-02-01", ["code"] = new JsonObject { ["text"] = "x" },
        });
        var value = await StoreAsync(null);
        var target = $"Patient/{clinic.PatientId}/$everything";
        foreach (var (query, expected) in new (string, string[])[]
        {
            ("?start=2026-01-05", [clinic.PatientId, recent, condition, value]),
            ("?start=2026-01-06", [clinic.PatientId, condition, value]),
            ("?end=2019-02", [clinic.PatientId, condition, value]),
            ("?end=2019-03-01", [clinic.PatientId, old, condition, value]),
            ("?start=2019&end=2021-06-30", [clinic.PatientId, old, vague, value]),
            ("?start=2021-06-30&_type=Observation", [recent, vague, value]),
            ("?end=2017&start=2016", [clinic.PatientId, value]),
        })
        {
            Assert.Equal(expected, (await clinic.GetAsync(target + query)).Is(HttpStatusCode.OK).Ids);
            Assert.Equal(expected.Length, (await HistoriesTests.PagesAsync(clinic, target, query + "&_count=1")).Length);
        }
        (await clinic.GetAsync(target + "?start=yesterday")).Is(HttpStatusCode.BadRequest);
        (await clinic.GetAsync($"Encounter/{await clinic.StoreAsync(Some.Encounter(clinic.PatientId))}/$everything?start=2026")).Is(HttpStatusCode.BadRequest);

        // A date that is the result is none of care.
        Task<string> StoreAsync(string? effective)
        {
            var observation = Some.Observation(clinic.PatientId);
            observation.Remove("effectiveDateTime");
            if (effective is not null)
                observation["effectiveDateTime"] = effective;
            observation["valueDateTime"] = "1990-01-01";
            return clinic.StoreAsync(observation);
        }
    }

    [Fact]
    public async Task Everything_shows_no_type_that_the_token_does_not_reach()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        await clinic.StoreAsync(Some.Encounter(clinic.PatientId));
        var stored = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var narrow = clinic with { Grant = clinic.Grant with { Scope = clinic.Grant.Scope with { Types = ["Observation", "Patient"] } } };
        Assert.Equal([clinic.PatientId, stored], (await narrow.GetAsync($"Patient/{clinic.PatientId}/$everything")).Is(HttpStatusCode.OK).Ids);
        Assert.Equal(2, (await narrow.GetAsync($"_history?patient={clinic.PatientId}")).Is(HttpStatusCode.OK).Ids.Length);
    }

    [Fact]
    public async Task Everything_of_nobody_is_the_answer_for_what_is_hidden()
    {
        var person = await _world.NewPersonAsync();
        var other = _world.As(person, RepositoryWorld.Revontuli);
        await other.StoreAsync(Some.Patient());
        var visit = await other.StoreAsync(Some.Encounter(other.PatientId, Denied));
        var reader = _world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed, Denied);
        var hidden = (await reader.GetAsync($"Encounter/{visit}/$everything")).Is(HttpStatusCode.NotFound);
        var absent = (await reader.GetAsync($"Encounter/{Guid.NewGuid()}/$everything")).Is(HttpStatusCode.NotFound);
        Assert.Equal(absent.Body, hidden.Body);
        Assert.Equal(absent.Body, (await reader.GetAsync($"Encounter/{visit}/$meta")).Is(HttpStatusCode.NotFound).Body);
    }

    [Fact]
    public async Task The_person_is_given_everything_that_is_hers_though_no_register_has_a_patient_of_it()
    {
        var (person, other) = (await _world.NewPersonAsync(), await _world.NewPersonAsync());
        var clinic = _world.As(person, RepositoryWorld.Aurora);
        var stored = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        Assert.Equal([stored], (await _world.AsPerson(person).GetAsync($"Patient/{clinic.PatientId}/$everything")).Is(HttpStatusCode.OK).Ids);
        Assert.Empty((await _world.AsPerson(other).GetAsync($"Patient/{_world.AsPerson(other).PatientId}/$everything")).Is(HttpStatusCode.OK).Ids);
        // To a clinic it is as one that there never was, and of another person there is none to anybody.
        (await clinic.GetAsync($"Patient/{clinic.PatientId}/$everything")).Is(HttpStatusCode.NotFound);
        (await _world.AsPerson(other).GetAsync($"Patient/{clinic.PatientId}/$everything")).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_page_of_everything_has_as_many_as_are_asked_for_up_to_a_thousand()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        (await clinic.TransactAsync(Some.Transaction([.. Enumerable.Range(0, 1001).Select(_ => ("POST", "Observation", (JsonObject?)Some.Observation(clinic.PatientId), (string?)null))]))).Is(HttpStatusCode.OK);
        var own = _world.AsPerson(clinic.Grant.Compartment);
        foreach (var (query, count) in ((string, int)[])[("", 200), ("?_count=1000", 1000), ("?_count=5000", 1000)])
        {
            var page = (await own.GetAsync($"Patient/{clinic.PatientId}/$everything{query}")).Is(HttpStatusCode.OK);
            Assert.Equal((count, count, 1001), (page.Ids.Length, page.Manifest!.Items.Count, (int)page.Json["total"]!));
        }
    }

    [Theory]
    [InlineData("?_count=2")]
    [InlineData("?_count=2&start=2026-01-01&end=2026-01-31")]
    public async Task What_is_hidden_leaves_no_trace_on_the_pages_of_everything(string query)
    {
        var answers = new List<string[]>();
        foreach (var hides in new[] { true, false })
        {
            var person = await _world.NewPersonAsync();
            var writer = _world.As(person, RepositoryWorld.Revontuli);
            await writer.StoreAsync(Some.Patient());
            var denied = hides ? await writer.StoreAsync(Some.Encounter(writer.PatientId, Denied)) : null;
            var visit = await writer.StoreAsync(Some.Encounter(writer.PatientId, Open));
            for (var i = 0; i < 4; i++)
            {
                if (denied is not null)
                    await writer.StoreAsync(Some.Observation(writer.PatientId, encounterId: denied, note: "Salaisuus"));
                await writer.StoreAsync(Some.Observation(writer.PatientId, encounterId: visit));
            }
            var reader = _world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed, Denied);
            answers.Add(await HistoriesTests.PagesAsync(reader, $"Patient/{reader.PatientId}/$everything", query));
        }
        Assert.Equal(3, answers[0].Length);
        Assert.Equal(answers[1], answers[0]);
    }

    [Fact]
    public async Task Meta_is_given_alone()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var stored = (await clinic.CreateAsync(Some.Observation(clinic.PatientId))).Is(HttpStatusCode.Created);
        var meta = (await clinic.GetAsync($"Observation/{stored.Json["id"]}/$meta")).Is(HttpStatusCode.OK);
        Assert.Equal("Parameters", (string)meta.Json["resourceType"]!);
        Assert.Equal(stored.Json["meta"]!.ToJsonString(), meta.Json["parameter"]![0]!["valueMeta"]!.ToJsonString());
        Assert.Single(meta.Manifest!.Items);
    }

    [Fact]
    public async Task Docref_finds_documents_by_type()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var summary = await clinic.StoreAsync(Document(clinic.PatientId, "34133-9"));
        var letter = await clinic.StoreAsync(Document(clinic.PatientId, "57133-1"));
        var target = $"DocumentReference/$docref?patient={clinic.PatientId}";
        Assert.Equal([summary, letter], (await clinic.GetAsync(target)).Is(HttpStatusCode.OK).Ids);
        Assert.Equal([letter], (await clinic.GetAsync(target + "&type=http://loinc.org|57133-1&on-demand=false")).Is(HttpStatusCode.OK).Ids);
        (await clinic.GetAsync(target + "&on-demand=true")).Is(HttpStatusCode.BadRequest);
        var page = (await clinic.GetAsync(target + "&_count=1")).Is(HttpStatusCode.OK);
        var next = (string)page.Json["link"]!.AsArray().Single(l => (string)l!["relation"]! == "next")!["url"]!;
        Assert.Equal([letter], (await clinic.GetAsync(next[(RepositoryWorld.Base.Length + 1)..])).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task Docref_finds_documents_of_any_of_the_profiles_and_takes_nothing_else()
    {
        const string One = "https://example.org/fhir/StructureDefinition/one", Other = "https://example.org/fhir/StructureDefinition/other";
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var ids = new List<string>();
        foreach (var profile in (string[])[One, Other, One + "s"])
        {
            var document = Document(clinic.PatientId, "34133-9");
            document["meta"] = new JsonObject { ["profile"] = new JsonArray(profile) };
            ids.Add((string)(await clinic.CreateAsync(document, (KantaGateway.Fhir.Transport.InternalHeaders.UnknownProfiles, "accept"))).Is(HttpStatusCode.Created).Json["id"]!);
        }
        var target = $"DocumentReference/$docref?patient={clinic.PatientId}";
        Assert.Equal([ids[0]], (await clinic.GetAsync($"{target}&profile={One}")).Is(HttpStatusCode.OK).Ids);
        Assert.Equal(ids[..2], (await clinic.GetAsync($"{target}&profile={One}&profile={Other}")).Is(HttpStatusCode.OK).Ids);
        (await clinic.GetAsync($"{target}&status=current")).Is(HttpStatusCode.BadRequest);
    }

    private async Task<string> StoreInDirectoryAsync()
    {
        var reply = await _world.SendAsync(_world.DirectoryGrant(RepositoryWorld.Aurora), null, "POST", "/fhir/Organization", Some.Organization().ToJsonString());
        return (string)reply.Is(HttpStatusCode.Created).Json["id"]!;
    }

    private static JsonObject Document(string patientId, string code) => new()
    {
        ["resourceType"] = "DocumentReference", ["status"] = "current",
        ["type"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = code }) },
        ["subject"] = Some.To("Patient/" + patientId),
        ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["data"] = "dGVrc3Rp" } }),
    };
}
