using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Act 703/2023 §18: which of a controller's registers an entry goes to, and who sees it there.</summary>
public sealed class RegisterTests : IAsyncLifetime
{
    private const string Employer = "0204819-8", Entry = "urn:uuid:00000000-0000-4000-8000-00000000000a";

    private static readonly string Occupational = Register.Occupational(Employer);

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _care = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        _care = _aurora.With(s => s with { Register = Occupational });
        await _aurora.StoreAsync(Some.Patient());
        await _care.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public void An_employer_is_the_same_by_its_business_id_and_by_its_oid()
    {
        Assert.Equal(Register.Occupational("1.2.246.10.2048198"), Occupational);
        Assert.Equal("4:1.2.246.10.2048198", Occupational);
    }

    [Fact]
    public async Task A_write_goes_to_the_register_of_the_writer_and_is_the_own_one_there_only()
    {
        var id = "Observation/" + await _care.StoreAsync(Some.Observation(_aurora.PatientId));
        var seen = (await _care.GetAsync(id)).Is(HttpStatusCode.OK);
        Assert.Equal(Occupational, Assert.Single(seen.Manifest!.Items).Register);
        (await _aurora.GetAsync(id)).Is(HttpStatusCode.NotFound);
        var disclosed = _aurora.With(s => s with { Breadth = Breadth.Disclosed });
        (await disclosed.GetAsync(id)).Is(HttpStatusCode.OK);
        // Another register of the same house is another's: it is seen under a permission, and not changed.
        (await disclosed.DeleteAsync(id)).Is(HttpStatusCode.Forbidden);
    }

    [Fact]
    public async Task A_person_has_a_record_in_each_register()
    {
        Assert.Equal(Register.Patient, Assert.Single((await _aurora.GetAsync("Patient/" + _aurora.PatientId)).Manifest!.Items).Register);
        Assert.Equal(Occupational, Assert.Single((await _care.GetAsync("Patient/" + _aurora.PatientId)).Manifest!.Items).Register);
    }

    [Fact]
    public async Task A_custodian_provenance_in_the_same_transaction_names_the_register()
    {
        var reply = (await _aurora.TransactAsync(Some.Transaction(
            ("POST", "Observation", Some.Observation(_aurora.PatientId), Entry),
            ("POST", "Provenance", Custodian(RepositoryWorld.Aurora + ".10.0", "4", Employer, Entry), null)))).Is(HttpStatusCode.OK);
        Assert.Equal([Occupational, Occupational], reply.Manifest!.Items.Select(i => i.Register));
        var id = IdOf(reply, 0);
        (await _aurora.GetAsync(id)).Is(HttpStatusCode.NotFound);
        (await _care.GetAsync(id)).Is(HttpStatusCode.OK);
        (await _care.GetAsync(IdOf(reply, 1))).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task The_patient_register_may_be_named_too()
    {
        var reply = (await _care.TransactAsync(Some.Transaction(
            ("POST", "Observation", Some.Observation(_aurora.PatientId), Entry),
            ("POST", "Provenance", Custodian(RepositoryWorld.Aurora, "2", null, Entry), null)))).Is(HttpStatusCode.OK);
        Assert.All(reply.Manifest!.Items, i => Assert.Equal(Register.Patient, i.Register));
    }

    [Fact]
    public async Task Another_controller_is_named_by_who_may_write_for_it_only()
    {
        var purchase = Some.Transaction(
            ("POST", "Patient", Some.Patient(), "urn:uuid:00000000-0000-4000-8000-00000000000b"),
            ("POST", "Observation", Some.Observation(_aurora.PatientId), Entry),
            ("POST", "Provenance", Custodian(RepositoryWorld.Revontuli, "2", null, Entry, "urn:uuid:00000000-0000-4000-8000-00000000000b"), null));
        Assert.Equal("Bundle.entry[2].resource.agent", (await _aurora.TransactAsync(purchase.DeepClone())).Is(HttpStatusCode.Forbidden).Expression);
        // Not one whose OID begins alike.
        var other = purchase.DeepClone();
        other["entry"]![2]!["resource"]!["agent"]![0]!["who"]!["identifier"]!["value"] = "urn:oid:" + RepositoryWorld.Aurora + "1";
        (await _aurora.TransactAsync(other)).Is(HttpStatusCode.Forbidden);

        var producer = _aurora.With(s => s with { MayWriteFor = [RepositoryWorld.Revontuli] });
        var reply = (await producer.TransactAsync(purchase)).Is(HttpStatusCode.OK);
        Assert.All(reply.Manifest!.Items, i => Assert.Equal((RepositoryWorld.Revontuli, Register.Patient), (i.Controller, i.Register)));
        var buyer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        (await buyer.GetAsync(IdOf(reply, 1))).Is(HttpStatusCode.OK);
        (await buyer.GetAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.OK);
        (await producer.GetAsync(IdOf(reply, 1))).Is(HttpStatusCode.NotFound);
    }

    /// <summary>Who is shown the document is shown its text: it goes with it, without being named too.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_is_attached_to_a_document_goes_into_its_register(bool isNamedElsewhere)
    {
        const string text = "urn:uuid:00000000-0000-4000-8000-00000000000c", other = "urn:uuid:00000000-0000-4000-8000-00000000000d";
        JsonObject Binary() => new() { ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + _aurora.PatientId), ["data"] = "VGVrc3Rpw6Q=" };
        var document = new JsonObject
        {
            ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
            ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = text } }),
        };
        var provenance = ("POST", "Provenance", (JsonObject?)Custodian(RepositoryWorld.Revontuli, "2", null, Entry), (string?)null);
        (string, string, JsonObject?, string?)[] entries = [("POST", "Binary", Binary(), text), ("POST", "Binary", Binary(), other), ("POST", "DocumentReference", document, Entry), provenance];
        // Where it is named itself it goes there.
        if (isNamedElsewhere)
            entries = [.. entries, ("POST", "Provenance", Custodian(RepositoryWorld.Aurora, "2", null, text, "Patient/" + _aurora.PatientId), null)];
        var reply = (await _aurora.With(s => s with { MayWriteFor = [RepositoryWorld.Revontuli] }).TransactAsync(Some.Transaction(entries))).Is(HttpStatusCode.OK);
        Assert.Equal([isNamedElsewhere ? RepositoryWorld.Aurora : RepositoryWorld.Revontuli, RepositoryWorld.Aurora, RepositoryWorld.Revontuli], reply.Manifest!.Items.Take(3).Select(i => i.Controller));
        var buyer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        (await buyer.GetAsync(IdOf(reply, 2))).Is(HttpStatusCode.OK);
        Assert.Equal(isNamedElsewhere ? HttpStatusCode.NotFound : HttpStatusCode.OK, (await buyer.GetAsync(IdOf(reply, 0))).Status);
    }

    /// <summary>No oracle of whether the buyer of services knows the person.</summary>
    [Theory]
    [InlineData("nothing")]
    [InlineData("record")]
    [InlineData("deleted")]
    public async Task A_producer_is_answered_the_same_whatever_record_the_buyer_has_of_the_person(string has)
    {
        const string patient = "urn:uuid:00000000-0000-4000-8000-00000000000b";
        var buyer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        if (has != "nothing")
            await buyer.StoreAsync(Some.Patient(family: "Ostajan"));
        if (has == "deleted")
            (await buyer.DeleteAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.NoContent);
        var before = await buyer.GetAsync("Patient/" + _aurora.PatientId);
        var producer = _aurora.With(s => s with { MayWriteFor = [RepositoryWorld.Revontuli] });
        var versions = new HashSet<string>();
        for (var i = 0; i < 2; i++)
        {
            var reply = (await producer.TransactAsync(Some.Transaction(
                ("POST", "Patient", Some.Patient(family: "Tuottajan"), patient), ("POST", "Observation", Some.Observation(_aurora.PatientId), Entry),
                ("POST", "Provenance", Custodian(RepositoryWorld.Revontuli, "2", null, Entry, patient), null)), ("Prefer", "return=representation"))).Is(HttpStatusCode.OK);
            var registered = reply.Json["entry"]![0]!;
            Assert.Equal("201 Created", (string?)registered["response"]!["status"]);
            Assert.Equal("Tuottajan", (string?)registered["resource"]!["name"]![0]!["family"]);
            var location = ((string)registered["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..];
            Assert.StartsWith($"Patient/{_aurora.PatientId}/_history/", location, StringComparison.Ordinal);
            Assert.Equal($"W/\"{location.Split('/')[^1]}\"", (string?)registered["response"]!["etag"]);
            Assert.True(Guid.TryParse(location.Split('/')[^1], out _));
            Assert.True(versions.Add(location));
            // What it says to the producer it does not say to the log: a version that was never stored is not recorded as written (law 8).
            Assert.Equal(has == "nothing" && i == 0 ? ["Patient", "Observation", "Provenance"] : (string[])["Observation", "Provenance"], reply.Manifest!.Items.Select(item => item.Type));
            Assert.All(reply.Manifest.Items, item => Assert.True(item.Written));
            // Neither record is the producer's to read.
            (await producer.GetAsync(location)).Is(HttpStatusCode.NotFound);
            (await buyer.GetAsync(IdOf(reply, 1))).Is(HttpStatusCode.OK);
        }
        if (has != "nothing")
            Assert.Equal(before.Body, (await buyer.GetAsync("Patient/" + _aurora.PatientId)).Is(before.Status).Body);
    }

    /// <summary>§57: what a producer cannot close it does not open.</summary>
    [Theory]
    [InlineData("in-progress", null, false)]
    [InlineData("arrived", null, false)]
    [InlineData("onleave", null, false)]
    [InlineData("in-progress", "2026-01-05T09:00:00+02:00", true)]
    [InlineData("finished", null, true)]
    [InlineData("planned", null, true)]
    public async Task A_producer_leaves_no_visit_open_in_the_buyer_s_register(string status, string? end, bool isTaken)
    {
        var encounter = Some.Encounter(_aurora.PatientId, "1.2.246.10.22222222.14.9", status);
        if (end is not null)
            encounter["period"]!["end"] = end;
        var producer = _aurora.With(s => s with { MayWriteFor = [RepositoryWorld.Revontuli] });
        var reply = await producer.TransactAsync(Some.Transaction(("POST", "Encounter", encounter.DeepClone().AsObject(), Entry), ("POST", "Provenance", Custodian(RepositoryWorld.Revontuli, "2", null, Entry), null)));
        reply.Is(isTaken ? HttpStatusCode.OK : HttpStatusCode.UnprocessableEntity);
        if (!isTaken)
            Assert.Equal("Bundle.entry[0].resource.status", reply.Expression);
        // In its own register it opens what it likes.
        (await producer.CreateAsync(encounter)).Is(HttpStatusCode.Created);
    }

    [Fact]
    public async Task A_denied_register_s_visit_of_the_same_name_hides_nothing_of_another_register()
    {
        const string visit = "1.2.246.10.11111111.14.5";
        var mine = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, visit));
        var entry = await _aurora.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: mine));
        var theirs = await _care.StoreAsync(Some.Encounter(_aurora.PatientId, visit));
        var ofTheirs = await _care.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: theirs));
        var third = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed)
            .With(s => s with { Withheld = new() { Registers = [Register.Of(RepositoryWorld.Aurora, Occupational)] } });
        foreach (var shown in (string[])["Encounter/" + mine, "Observation/" + entry])
            (await third.GetAsync(shown)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])["Encounter/" + theirs, "Observation/" + ofTheirs])
            (await third.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
        // A denial of the visit names no register: it covers both.
        var ofVisit = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed, visit);
        foreach (var hidden in (string[])["Encounter/" + mine, "Observation/" + entry, "Encounter/" + theirs, "Observation/" + ofTheirs])
            (await ofVisit.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_register_cannot_be_named_afterwards()
    {
        var observation = "Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));
        Assert.Equal("Provenance.target[0]", (await _aurora.CreateAsync(Custodian(RepositoryWorld.Aurora, "4", Employer, observation))).Is(HttpStatusCode.UnprocessableEntity).Expression);
        (await _aurora.CreateAsync(Custodian(RepositoryWorld.Aurora, "2", null, observation))).Is(HttpStatusCode.Created);
        (await _aurora.CreateAsync(Custodian(RepositoryWorld.Revontuli, "2", null, observation))).Is(HttpStatusCode.Forbidden);
    }

    [Theory]
    [InlineData("4", null)]
    [InlineData("9", null)]
    public async Task A_register_that_is_none_is_refused(string kind, string? employer) =>
        Assert.Equal("Bundle.entry[1].resource.entity", (await _aurora.TransactAsync(Some.Transaction(
            ("POST", "Observation", Some.Observation(_aurora.PatientId), Entry),
            ("POST", "Provenance", Custodian(RepositoryWorld.Aurora, kind, employer, Entry), null)))).Is(HttpStatusCode.UnprocessableEntity).Expression);

    [Fact]
    public async Task A_denied_register_is_hidden_from_every_other_one_with_what_refers_to_it_and_what_names_its_visits()
    {
        const string visit = "1.2.246.10.11111111.14.77";
        var encounter = await _care.StoreAsync(Some.Encounter(_aurora.PatientId, visit));
        var note = "Observation/" + await _care.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: encounter));
        var sees = _aurora.With(s => s with { Breadth = Breadth.Disclosed });
        var referring = Some.Observation(_aurora.PatientId);
        referring["derivedFrom"] = new JsonArray(Some.To(note));
        var naming = Some.Observation(_aurora.PatientId);
        naming["extension"] = new JsonArray(new JsonObject { ["url"] = "https://example.org/about", ["valueUri"] = "urn:oid:" + visit });
        string[] telling = ["Observation/" + await sees.StoreAsync(referring), "Observation/" + await sees.StoreAsync(naming)];
        var open = "Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));

        var denied = new Withheld { Registers = [Register.Of(RepositoryWorld.Aurora, Occupational)] };
        var reader = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with { Withheld = denied });
        foreach (var hidden in (string[])[note, "Encounter/" + encounter, .. telling])
            (await reader.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
        (await reader.GetAsync(open)).Is(HttpStatusCode.OK);
        // Of another employer there is another register.
        var elsewhere = reader.With(s => s with { Withheld = new() { Registers = [Register.Of(RepositoryWorld.Aurora, Register.Occupational("1572860-0"))] } });
        (await elsewhere.GetAsync(note)).Is(HttpStatusCode.OK);
        // Never from the register itself; from its neighbour in the same house it is.
        (await _care.With(s => s with { Breadth = Breadth.Disclosed, Withheld = denied }).GetAsync(note)).Is(HttpStatusCode.OK);
        (await sees.With(s => s with { Withheld = denied }).GetAsync(note)).Is(HttpStatusCode.NotFound);
        (await sees.With(s => s with { Withheld = denied }).GetAsync(telling[0])).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_denied_prescription_is_hidden_with_what_dispenses_it_and_no_other_is()
    {
        async Task<(string Order, string Dispense)> PrescribeAsync()
        {
            var order = await _aurora.StoreAsync(new JsonObject
            {
                ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
                ["medicationCodeableConcept"] = new JsonObject { ["text"] = "Lääke" },
            });
            var dispense = await _aurora.StoreAsync(new JsonObject
            {
                ["resourceType"] = "MedicationDispense", ["status"] = "completed", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
                ["medicationCodeableConcept"] = new JsonObject { ["text"] = "Lääke" }, ["authorizingPrescription"] = new JsonArray(Some.To("MedicationRequest/" + order)),
            });
            return (order, "MedicationDispense/" + dispense);
        }
        var (denied, open) = (await PrescribeAsync(), await PrescribeAsync());
        var reader = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed)
            .With(s => s with { Withheld = new() { Prescriptions = [denied.Order, Guid.NewGuid().ToString(), "nonsense"] } });
        (await reader.GetAsync("MedicationRequest/" + denied.Order)).Is(HttpStatusCode.NotFound);
        (await reader.GetAsync(denied.Dispense)).Is(HttpStatusCode.NotFound);
        Assert.Equal([open.Order], (await reader.SearchAsync("MedicationRequest")).Ids);
        (await reader.GetAsync(open.Dispense)).Is(HttpStatusCode.OK);
        (await _aurora.With(s => s with { Withheld = reader.Grant.Scope.Withheld }).GetAsync(denied.Dispense)).Is(HttpStatusCode.OK);
    }

    internal static JsonObject Custodian(string controller, string kind, string? employer, params string[] targets)
    {
        var entity = new JsonArray(Entity("urn:oid:1.2.246.537.5.40150", kind));
        if (employer is not null)
            entity.Add((JsonNode)Entity("urn:oid:1.2.246.10", employer));
        return new()
        {
            ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00",
            ["target"] = new JsonArray([.. targets.Select(Some.To)]),
            ["agent"] = new JsonArray(new JsonObject
            {
                ["type"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", ["code"] = "CST" }) },
                ["who"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + controller } },
            }),
            ["entity"] = entity,
        };

        static JsonObject Entity(string system, string value) =>
            new() { ["role"] = "source", ["what"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = system, ["value"] = value } } };
    }

    private static string IdOf(Reply transaction, int entry) =>
        ((string)transaction.Json["entry"]![entry]!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0];
}
