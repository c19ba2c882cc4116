using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Tests.Repository;

/// <summary>Turvakielto: by no road is it told, or can it be found out, where a person under it lives and how they are reached.</summary>
public sealed class NonDisclosureTests : IAsyncLifetime
{
    private const string Secret = "Salatie";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _reader = null!;
    private string _related = "", _observation = "";

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        _reader = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with { HidesContacts = true });
        await _aurora.StoreAsync(Patient());
        _related = "RelatedPerson/" + await _aurora.StoreAsync(Related());
        var observation = Some.Observation(_aurora.PatientId);
        observation["contained"] = new JsonArray(Related("c"));
        observation["performer"] = new JsonArray(Some.To("#c"));
        _observation = "Observation/" + await _aurora.StoreAsync(observation);
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Without_a_label_everything_is_told()
    {
        Assert.Contains(Secret, (await _reader.GetAsync("Patient/" + _aurora.PatientId)).Text);
        Assert.Equal(1, (int)(await _reader.SearchAsync("RelatedPerson", "address=" + Secret)).Json["total"]!);
    }

    [Fact]
    public async Task Any_controller_s_label_hides_it_in_every_answer_from_all_but_the_own_register()
    {
        await LabelAsync();
        var version = (string)(await _aurora.GetAsync("Patient/" + _aurora.PatientId)).Json["meta"]!["versionId"]!;
        string[] roads =
        [
            $"Patient/{_aurora.PatientId}", $"Patient/{_aurora.PatientId}/_history/{version}", $"Patient/{_aurora.PatientId}/_history", "Patient/_history", "_history",
            $"Patient?_id={_aurora.PatientId}", $"Patient/{_aurora.PatientId}/$everything", "Observation?_include=*&_revinclude=*", "RelatedPerson?_include=RelatedPerson:patient",
            _related, _related + "/_history", "RelatedPerson", _observation, "Observation", "Patient?_revinclude=RelatedPerson:patient",
        ];
        foreach (var road in roads)
        {
            var reply = (await _reader.GetAsync(road)).Is(HttpStatusCode.OK);
            Assert.True(reply.Manifest!.Items.Count > 0, road);
            foreach (var told in (string[])[Secret, "0401234567", "Naapuritie"])
                Assert.False(reply.Text.Contains(told, StringComparison.Ordinal), road);
            // The record says what is sent.
            Assert.Equal(SHA256.HashData(reply.Body), reply.Manifest!.Digest);
            Assert.Contains(Secret, (await _aurora.GetAsync(road)).Is(HttpStatusCode.OK).Text);
            Assert.Contains(Secret, (await _reader.With(s => s with { HidesContacts = false }).GetAsync(road)).Text);
        }
        var inTransaction = await _reader.TransactAsync(Some.Transaction(("GET", "RelatedPerson", null, null), ("GET", "Patient/" + _aurora.PatientId, null, null), ("GET", _related, null, null)));
        Assert.DoesNotContain(Secret, inTransaction.Is(HttpStatusCode.OK).Text);
        Assert.Equal(3, inTransaction.Manifest!.Items.Count);
        var found = await _reader.CreateAsync(Related(), ("If-None-Exist", "name=Naapuri"), ("Prefer", "return=representation"));
        Assert.DoesNotContain(Secret, found.Is(HttpStatusCode.OK).Text);
        Assert.Contains("Naapuri", found.Text);
    }

    [Fact]
    public async Task The_version_is_the_same_for_all()
    {
        await LabelAsync();
        var (own, other) = (await _aurora.GetAsync(_related), await _reader.GetAsync(_related));
        Assert.Equal(own.ETag, other.ETag);
        Assert.Equal(own.Manifest!.Items, other.Manifest!.Items);
    }

    [Fact]
    public async Task Parameters_find_as_if_it_were_not_written()
    {
        await LabelAsync();
        foreach (var (type, holder) in new[] { ("RelatedPerson", "RelatedPerson"), ("Patient", "Patient") })
            foreach (var criteria in (string[])["address=Salatie", "address-city=Akaa", "address-country=FI", "address-postalcode=37800", "address-state=Pirkanmaa", "address-use=home",
                "telecom=0401234567", "phone=0401234567", "email=salla@example.org", "address:contains=Sala", "address:missing=false", "telecom:missing=false"])
            {
                Assert.True(1 == (int)(await _aurora.SearchAsync(type, criteria)).Json["total"]!, $"{type}?{criteria}");
                Assert.True(0 == (int)(await _reader.SearchAsync(type, criteria)).Json["total"]!, $"{type}?{criteria}");
                Assert.Equal(0, (int)(await _reader.SearchAsync(type, criteria + "&_summary=count")).Json["total"]!);
                // Chains, both ways.
                Assert.Equal(0, (int)(await _reader.SearchAsync("RelatedPerson", "patient." + criteria)).Json["total"]!);
                Assert.Equal(0, (int)(await _reader.SearchAsync("Patient", $"_has:RelatedPerson:patient:{criteria}")).Json["total"]!);
            }
        foreach (var absent in (string[])["address:missing=true", "telecom:missing=true", "phone:missing=true", "email:not=salla@example.org"])
            Assert.True(1 == (int)(await _reader.SearchAsync("RelatedPerson", absent)).Json["total"]!, absent);
        // The name is no secret.
        Assert.Equal(1, (int)(await _reader.SearchAsync("RelatedPerson", "name=Naapuri")).Json["total"]!);
    }

    [Fact]
    public async Task Writes_by_criteria_find_as_if_it_were_not_written()
    {
        await LabelAsync();
        (await _reader.CreateAsync(Related(), ("If-None-Exist", "address=Salatie"))).Is(HttpStatusCode.Created);
        var reader = _world.As(_aurora.Grant.Compartment, "1.2.246.10.33333333", Breadth.Disclosed).With(s => s with { HidesContacts = true });
        (await reader.DeleteAsync("RelatedPerson?phone=0401234567")).Is(HttpStatusCode.NoContent);
        (await reader.PatchAsync("RelatedPerson?phone=0401234567", Some.Patch("replace", "/active", true))).Is(HttpStatusCode.NotFound);
        (await _aurora.GetAsync(_related)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_search_parameters_of_a_scope_find_as_if_it_were_not_written()
    {
        Caller Narrow(Caller caller) => caller.With(s => s with { Filters = [new("RelatedPerson", ["address=Salatie"], reads: true)] });
        (await Narrow(_reader).GetAsync(_related)).Is(HttpStatusCode.OK);
        await LabelAsync();
        (await Narrow(_reader).GetAsync(_related)).Is(HttpStatusCode.NotFound);
        Assert.Equal(0, (int)(await Narrow(_reader).SearchAsync("RelatedPerson")).Is(HttpStatusCode.OK).Json["total"]!);
        (await Narrow(_aurora).GetAsync(_related)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_order_of_pages_tells_nothing_of_it()
    {
        await LabelAsync();
        for (var i = 0; i < 4; i++)
        {
            var related = Related();
            related["address"]![0]!["city"] = "CABD".Substring(i, 1);
            await _aurora.StoreAsync(related);
        }
        var inOrder = (await _reader.SearchAsync("RelatedPerson")).Ids;
        foreach (var sort in (string[])["address-city", "-address-city", "phone"])
        {
            var found = new List<string>();
            for (var target = $"RelatedPerson?_sort={sort}&_count=2"; target is not null;)
            {
                var page = (await _reader.GetAsync(target)).Is(HttpStatusCode.OK);
                found.AddRange(page.Ids);
                Assert.True(found.Count <= 5);
                target = page.Link("next");
            }
            Assert.Equal(inOrder, found);
        }
    }

    [Fact]
    public async Task A_label_that_is_taken_away_by_who_gave_it_is_gone_and_a_deleted_record_keeps_it()
    {
        var labelling = await LabelAsync();
        (await labelling.DeleteAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.NoContent);
        Assert.DoesNotContain(Secret, (await _reader.GetAsync(_related)).Text);
        (await labelling.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
        Assert.Contains(Secret, (await _reader.GetAsync(_related)).Text);
    }

    /// <summary>Another clinic's record of the person gets the label.</summary>
    private async Task<Caller> LabelAsync()
    {
        var third = _world.As(_aurora.Grant.Compartment, "1.2.246.10.44444444");
        var labelled = Some.Patient();
        labelled["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = ContactDetails.LabelSystem, ["code"] = "TURVAKIELTO" }) };
        await third.StoreAsync(labelled);
        // The newest record is Aurora's all the same.
        (await _aurora.CreateAsync(Patient())).Is(HttpStatusCode.Created);
        return third;
    }

    private static JsonObject Patient()
    {
        var patient = Some.Patient();
        AddContacts(patient);
        patient["contact"] = new JsonArray(new JsonObject { ["name"] = new JsonObject { ["family"] = "Koivu" }, ["address"] = new JsonObject { ["line"] = new JsonArray("Naapuritie 2") } });
        return patient;
    }

    private JsonObject Related(string? id = null)
    {
        var related = new JsonObject
        {
            ["resourceType"] = "RelatedPerson", ["patient"] = Some.To("Patient/" + _aurora.PatientId), ["name"] = new JsonArray(new JsonObject { ["family"] = "Naapuri" }),
        };
        if (id is not null)
            related["id"] = id;
        AddContacts(related);
        return related;
    }

    private static void AddContacts(JsonObject person)
    {
        person["address"] = new JsonArray(new JsonObject
        {
            ["use"] = "home", ["line"] = new JsonArray("Salatie 1"), ["city"] = "Akaa", ["state"] = "Pirkanmaa", ["postalCode"] = "37800", ["country"] = "FI",
        });
        person["telecom"] = new JsonArray(new JsonObject { ["system"] = "phone", ["value"] = "0401234567" }, new JsonObject { ["system"] = "email", ["value"] = "salla@example.org" });
        person["text"] = new JsonObject { ["status"] = "generated", ["div"] = "<div xmlns=\"http://www.w3.org/1999/xhtml\">Salatie 1</div>" };
    }
}
