using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Repository;

/// <summary>Act 703/2023 §26.2, decree 457/2024 §26: entries of specially protected services, from every register until they are confirmed.</summary>
public sealed class ProtectedEntriesTests : IAsyncLifetime
{
    private const string Visit = "1.2.246.10.11111111.14.5", ActCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _own = null!, _other = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora).WithDirectory();
        _own = _aurora.With(s => s with { Withheld = new() { SpeciallyProtected = true } });
        _other = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with { Withheld = new() { SpeciallyProtected = true } });
        await _aurora.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task A_labelled_entry_is_withheld_from_every_register_with_what_refers_to_it()
    {
        var note = await StoreAsync(Labelled("PSY"));
        var open = await StoreAsync(Some.Observation(_aurora.PatientId));
        var referring = Some.Observation(_aurora.PatientId);
        referring["derivedFrom"] = new JsonArray(Some.To(note));
        await AssertWithheldAsync(note, await StoreAsync(referring));
        await AssertSeenAsync(open);
    }

    [Fact]
    public async Task What_is_seen_of_one_service_is_not_seen_of_another()
    {
        var psychiatry = await StoreAsync(Labelled("PSY"));
        var addiction = await StoreAsync(Labelled("SUD"));
        var strange = await StoreAsync(Labelled("HIV"));
        var both = await StoreAsync(Labelled("PSY", "SUD"));
        var unclear = await StoreAsync(Labelled("PSY", "HIV"));
        var seeing = _own.With(s => s with { Withheld = s.Withheld with { SeenServices = ProtectedService.Psychiatry } });
        (await seeing.GetAsync(psychiatry)).Is(HttpStatusCode.OK);
        (await seeing.GetAsync(both)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])[addiction, strange, unclear])
            (await seeing.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
        var all = _own.With(s => s with { Withheld = s.Withheld with { SeenServices = (ProtectedService)255 } });
        foreach (var entry in (string[])[psychiatry, addiction, strange, both, unclear])
            (await all.GetAsync(entry)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task What_is_seen_of_the_own_register_alone_stays_withheld_from_others()
    {
        var psychiatry = await StoreAsync(Labelled("PSY"));
        var addiction = await StoreAsync(Labelled("SUD"));
        var others = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli).WithDirectory();
        await others.StoreAsync(Some.Patient());
        var foreign = "Observation/" + await others.StoreAsync(Labelled("PSY"));
        // It tells of what is hidden, to others; its own register knows of it anyhow.
        var referring = Some.Observation(_aurora.PatientId);
        referring["derivedFrom"] = new JsonArray(Some.To(psychiatry));
        var referred = await StoreAsync(referring);
        foreach (var breadth in (Breadth[])[Breadth.Disclosed, Breadth.OwnRegister])
        {
            Caller seeing(Caller from) => from.With(s => s with { Breadth = breadth, Withheld = new() { SpeciallyProtected = true, SeenServicesOfOwn = ProtectedService.Psychiatry } });
            foreach (var (reader, mine, theirs) in ((Caller, string, string)[])[(seeing(_aurora), psychiatry, foreign), (seeing(others), foreign, psychiatry)])
            {
                (await reader.GetAsync(mine)).Is(HttpStatusCode.OK);
                foreach (var hidden in (string[])[theirs, addiction])
                    (await reader.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
                (await reader.GetAsync(referred)).Is(mine == psychiatry ? HttpStatusCode.OK : HttpStatusCode.NotFound);
            }
        }
    }

    [Fact]
    public async Task Every_entry_of_a_visit_to_a_protected_service_is_protected_also_when_the_visit_is_labelled_afterwards()
    {
        var encounter = Some.Encounter(_aurora.PatientId, Visit);
        var created = (await _aurora.CreateAsync(encounter)).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var note = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: id));
        // By its OID alone, from no address.
        var naming = Some.Observation(_aurora.PatientId);
        naming["encounter"] = new JsonObject { ["type"] = "Encounter", ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + Visit } };
        var named = await StoreAsync(naming);
        var order = await StoreAsync(Order(id));
        await AssertSeenAsync(note, named, order, "Encounter/" + id);

        var labelled = created.Json;
        labelled["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "142");
        var updated = (await _aurora.UpdateAsync(labelled, created.ETag)).Is(HttpStatusCode.OK);
        await AssertWithheldAsync(note, named, "Encounter/" + id);
        // Medication is exempt, though it belongs to the visit and refers to it.
        await AssertSeenAsync(order);
        // And the way back, and a deletion, which takes no protection away.
        var plain = updated.Json.AsObject();
        plain.Remove("serviceType");
        var unlabelled = (await _aurora.UpdateAsync(plain, updated.ETag)).Is(HttpStatusCode.OK);
        await AssertSeenAsync(note);
        var again = unlabelled.Json;
        again["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "142");
        (await _aurora.UpdateAsync(again, unlabelled.ETag)).Is(HttpStatusCode.OK);
        (await _aurora.DeleteAsync("Encounter/" + id)).Is(HttpStatusCode.NoContent);
        await AssertWithheldAsync(note, named);
    }

    [Fact]
    public async Task A_consultation_within_a_visit_protects_itself_and_not_the_visit()
    {
        var visit = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, Visit));
        var part = Some.Encounter(_aurora.PatientId);
        part["partOf"] = Some.To("Encounter/" + visit);
        part["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "141");
        var consultation = await _aurora.StoreAsync(part);
        await AssertWithheldAsync("Encounter/" + consultation, await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: consultation)));
        await AssertSeenAsync("Encounter/" + visit, await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: visit)));
    }

    [Fact]
    public async Task Another_register_s_visit_of_the_same_name_protects_nothing()
    {
        var mine = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, Visit));
        var note = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: mine));
        var revontuli = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await revontuli.StoreAsync(Some.Patient());
        var psychiatric = Some.Encounter(_aurora.PatientId, Visit);
        psychiatric["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "141");
        var theirs = await revontuli.StoreAsync(psychiatric);
        var ofTheirs = await revontuli.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: theirs));
        await AssertSeenAsync("Encounter/" + mine, note);
        await AssertWithheldAsync("Encounter/" + theirs, "Observation/" + ofTheirs);
    }

    [Fact]
    public async Task Who_only_names_a_protected_visit_works_with_it_and_tells_others_nothing_of_it()
    {
        var psychiatric = Some.Encounter(_aurora.PatientId, Visit);
        psychiatric["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "141");
        await _aurora.StoreAsync(psychiatric);
        var revontuli = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await revontuli.StoreAsync(Some.Patient());
        var naming = Some.Observation(_aurora.PatientId);
        naming["encounter"] = new JsonObject { ["type"] = "Encounter", ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + Visit } };
        var named = "Observation/" + await revontuli.StoreAsync(naming);
        (await _other.GetAsync(named)).Is(HttpStatusCode.OK);
        (await _own.With(s => s with { Breadth = Breadth.Disclosed }).GetAsync(named)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task Medication_and_risks_are_seen_and_hide_nothing_that_refers_to_them()
    {
        var encounter = Some.Encounter(_aurora.PatientId, Visit);
        encounter["serviceType"] = Concept("http://terminology.hl7.org/CodeSystem/service-type", "141");
        var order = Order(await _aurora.StoreAsync(encounter));
        order["meta"] = Security("PSY");
        var ordered = await StoreAsync(order);
        var allergy = new JsonObject
        {
            ["resourceType"] = "AllergyIntolerance", ["meta"] = Security("PSY"), ["patient"] = Some.To("Patient/" + _aurora.PatientId), ["code"] = new JsonObject { ["text"] = "Pähkinä" },
            ["clinicalStatus"] = Concept("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
        };
        var related = Some.Observation(_aurora.PatientId);
        related["focus"] = new JsonArray(Some.To(ordered));
        await AssertSeenAsync(ordered, await StoreAsync(allergy), await StoreAsync(related));
        // A denial of the visit covers them all the same.
        var denied = _other.With(s => s with { Withheld = s.Withheld with { ServiceEvents = [Visit] } });
        (await denied.GetAsync(ordered)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_practitioner_of_a_protected_speciality_protects_what_names_them()
    {
        var directory = new Caller(_world, _world.DirectoryGrant(RepositoryWorld.Aurora));
        var role = await directory.StoreAsync(new JsonObject { ["resourceType"] = "PractitionerRole", ["specialty"] = new JsonArray(Concept("http://snomed.info/sct", "394913002")) });
        var encounter = Some.Encounter(_aurora.PatientId, Visit);
        encounter["participant"] = new JsonArray(new JsonObject { ["individual"] = Some.To("PractitionerRole/" + role) });
        var id = await _aurora.StoreAsync(encounter);
        await AssertWithheldAsync("Encounter/" + id, await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: id)));
        var seeing = _own.With(s => s with { Withheld = s.Withheld with { SeenServices = ProtectedService.Psychotherapy } });
        (await seeing.GetAsync("Encounter/" + id)).Is(HttpStatusCode.OK);
        // The directory itself tells everybody who works there.
        (await directory.GetAsync("PractitionerRole/" + role)).Is(HttpStatusCode.OK);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_a_practice_of_one_service_produces_for_a_buyer_is_protected_in_the_buyer_s_register(bool isInTheBuyersName)
    {
        const string practice = "1.2.246.10.99000044", entry = "urn:uuid:00000000-0000-4000-8000-00000000000a";
        using var rules = new MemoryStream(Encoding.UTF8.GetBytes($$"""{"rules":[{"service":"Psychotherapy","where":"controller","system":"urn:ietf:rfc:3986","codes":["{{practice}}"],"source":"test"}],"neutral":[]}"""));
        var read = ProtectionRules.Read(rules);
        await using var world = await RepositoryWorld.StartAsync(configure: b => b.Services.AddSingleton(ProtectionRules.Default.And(read)));
        var person = await world.NewPersonAsync();
        var buyer = world.As(person, RepositoryWorld.Aurora);
        await buyer.StoreAsync(Some.Patient());
        string note;
        if (isInTheBuyersName)
            note = await (buyer with { Grant = buyer.Grant with { Writer = practice } }).StoreAsync(Some.Observation(buyer.PatientId));
        else
        {
            var stored = (await world.As(person, practice).With(s => s with { MayWriteFor = [RepositoryWorld.Aurora] }).TransactAsync(Some.Transaction(
                ("POST", "Observation", Some.Observation(buyer.PatientId), entry),
                ("POST", "Provenance", new JsonObject
                {
                    ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00", ["target"] = new JsonArray(Some.To(entry)),
                    ["agent"] = new JsonArray(new JsonObject
                    {
                        ["type"] = Concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "CST"),
                        ["who"] = new JsonObject { ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + RepositoryWorld.Aurora } },
                    }),
                }, null)))).Is(HttpStatusCode.OK);
            Assert.Equal(RepositoryWorld.Aurora, stored.Manifest!.Items[0].Controller);
            note = ((string)stored.Json["entry"]![0]!["response"]!["location"]!).Split('/')[^3];
        }
        var plain = await buyer.StoreAsync(Some.Observation(buyer.PatientId));
        foreach (var reader in (Caller[])[buyer, world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed)])
        {
            var withheld = reader.With(s => s with { Withheld = new() { SpeciallyProtected = true } });
            (await withheld.GetAsync("Observation/" + note)).Is(HttpStatusCode.NotFound);
            (await withheld.GetAsync("Observation/" + plain)).Is(HttpStatusCode.OK);
            (await withheld.With(s => s with { Withheld = s.Withheld with { SeenServices = ProtectedService.Psychotherapy } }).GetAsync("Observation/" + note)).Is(HttpStatusCode.OK);
        }
    }

    /// <summary>§26.2 asks what an entry is, and not when an operator came to know it: what was there before a practice was named is protected with the rest.</summary>
    [Fact]
    public async Task What_a_practice_had_recorded_before_it_was_named_is_protected_from_then_on()
    {
        const string practice = "1.2.246.10.99000044";
        using var text = new MemoryStream(Encoding.UTF8.GetBytes($$"""{"rules":[{"service":"Psychotherapy","where":"controller","system":"urn:ietf:rfc:3986","codes":["{{practice}}"],"source":"test"}],"neutral":[]}"""));
        var (rules, read) = (ProtectionRules.Default, ProtectionRules.Read(text));
        await using var world = await RepositoryWorld.StartAsync(configure: b => b.Services.AddSingleton(rules));
        var person = await world.NewPersonAsync();
        var therapist = world.As(person, practice);
        await therapist.StoreAsync(Some.Patient());
        var visit = await therapist.StoreAsync(Some.Encounter(therapist.PatientId, practice + ".14.1"));
        string[] entries = ["Encounter/" + visit, "Observation/" + await therapist.StoreAsync(Some.Observation(therapist.PatientId, encounterId: visit)), "Observation/" + await therapist.StoreAsync(Some.Observation(therapist.PatientId))];
        var medication = "MedicationRequest/" + await therapist.StoreAsync(new JsonObject
        {
            ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order", ["subject"] = Some.To("Patient/" + therapist.PatientId), ["medicationCodeableConcept"] = new JsonObject { ["text"] = "Sertraliini" },
        });
        var clinic = world.As(person, RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var plain = "Observation/" + await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        Caller[] readers = [therapist, world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed)];
        foreach (var reader in readers)
            foreach (var entry in entries)
                (await Withheld(reader).GetAsync(entry)).Is(HttpStatusCode.OK);

        await world.StopRepositoryAsync();
        rules = ProtectionRules.Default.And(read);
        await world.StartRepositoryAsync();
        foreach (var reader in readers)
        {
            foreach (var entry in entries)
            {
                (await Withheld(reader).GetAsync(entry)).Is(HttpStatusCode.NotFound);
                (await Withheld(reader, ProtectedService.Psychotherapy).GetAsync(entry)).Is(HttpStatusCode.OK);
            }
            (await Withheld(reader).GetAsync(medication)).Is(HttpStatusCode.OK);
        }
        (await Withheld(readers[1]).GetAsync(plain)).Is(HttpStatusCode.OK);
        // By the open visit the practice sees its own again.
        Assert.Equal((int)ProtectedService.Psychotherapy, (int)(await therapist.PolicyAsync()).Is(HttpStatusCode.OK).Json["serviceEvents"]![0]!["services"]!);

        static Caller Withheld(Caller reader, ProtectedService seen = ProtectedService.None) => reader.With(s => s with { Withheld = new() { SpeciallyProtected = true, SeenServices = seen } });
    }

    [Fact]
    public async Task A_labelled_record_of_the_person_is_hidden_from_others_and_not_from_its_own_register()
    {
        var patient = Some.Patient();
        patient["meta"] = Security("PSYTHPN");
        (await _aurora.CreateAsync(patient)).Is(HttpStatusCode.Created);
        (await _own.GetAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.OK);
        (await _other.GetAsync("Patient/" + _aurora.PatientId)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_text_is_withheld_with_its_document()
    {
        const string text = "urn:uuid:00000000-0000-4000-8000-00000000000a";
        var reply = (await _aurora.TransactAsync(Some.Transaction(
            ("POST", "Binary", new JsonObject { ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["data"] = "VGVrc3Rpw6Q=" }, text),
            ("POST", "DocumentReference", new JsonObject
            {
                ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId), ["type"] = Concept("http://loinc.org", "34904-3"),
                ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = text } }),
            }, null)))).Is(HttpStatusCode.OK);
        await AssertWithheldAsync([.. reply.Json["entry"]!.AsArray().Select(e => ((string)e!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0])]);
    }

    private async Task AssertWithheldAsync(params string[] entries)
    {
        foreach (var entry in entries)
        {
            (await _own.GetAsync(entry)).Is(HttpStatusCode.NotFound);
            (await _other.GetAsync(entry)).Is(HttpStatusCode.NotFound);
            Assert.DoesNotContain(entry.Split('/')[1], (await _own.SearchAsync(entry.Split('/')[0])).Text);
            (await _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed).GetAsync(entry)).Is(HttpStatusCode.OK);
        }
    }

    private async Task AssertSeenAsync(params string[] entries)
    {
        foreach (var entry in entries)
            foreach (var reader in (Caller[])[_own, _other])
                (await reader.GetAsync(entry)).Is(HttpStatusCode.OK);
    }

    private async Task<string> StoreAsync(JsonObject resource) => $"{(string)resource["resourceType"]!}/{await _aurora.StoreAsync(resource)}";

    private JsonObject Labelled(params string[] codes)
    {
        var observation = Some.Observation(_aurora.PatientId);
        observation["meta"] = Security(codes);
        return observation;
    }

    private JsonObject Order(string encounter) => new()
    {
        ["resourceType"] = "MedicationRequest", ["status"] = "active", ["intent"] = "order", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["medicationCodeableConcept"] = new JsonObject { ["text"] = "Lääke" }, ["encounter"] = Some.To("Encounter/" + encounter),
    };

    private static JsonObject Security(params string[] codes) => new() { ["security"] = new JsonArray([.. codes.Select(c => new JsonObject { ["system"] = ActCode, ["code"] = c })]) };

    private static JsonObject Concept(string system, string code) => new() { ["coding"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code }) };
}
