using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Act 703/2023 §34 and §51: what a minor's custodians see; and when the person sees what is released later.</summary>
public sealed class CitizenViewTests : IAsyncLifetime
{
    private const string Visit = "1.2.246.10.11111111.14.5", Codes = "urn:oid:1.2.246.537.5.40202.201901", Profiles = "https://hl7.fi/fhir/finnish-base-profiles/";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _custodian = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        _custodian = _world.AsPerson(_aurora.Grant.Compartment).With(s => s with { Withheld = new() { FromCustodians = true } });
        await _aurora.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Theory]
    [InlineData("1", true)]
    [InlineData("2", true)]
    [InlineData("3", false)]
    [InlineData("4", false)]
    [InlineData("9", false)]
    public async Task Custodians_see_what_the_entry_s_own_code_allows(string code, bool isShown)
    {
        var entry = await StoreAsync(Observation(code));
        await AssertShownAsync(isShown, entry);
        // The person sees it whatever the code is.
        (await _world.AsPerson(_aurora.Grant.Compartment).GetAsync(entry)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task What_says_nothing_is_hidden_but_for_the_person_and_what_a_child_s_time_wrote()
    {
        var entry = await StoreAsync(Observation());
        await AssertShownAsync(false, entry);
        await AssertShownAsync(true, "Patient/" + _aurora.PatientId);
        (await Since(TimeSpan.FromHours(1)).GetAsync(entry)).Is(HttpStatusCode.OK);
        (await Since(TimeSpan.FromHours(-1)).GetAsync(entry)).Is(HttpStatusCode.NotFound);
        // What was said is not overruled by age.
        (await Since(TimeSpan.FromHours(1)).GetAsync(await StoreAsync(Observation("4")))).Is(HttpStatusCode.NotFound);

        Caller Since(TimeSpan from) => _custodian.With(s => s with { Withheld = s.Withheld with { UnknownShownBefore = DateTimeOffset.UtcNow + from } });
    }

    [Fact]
    public async Task An_entry_counts_from_its_first_version()
    {
        var created = (await _aurora.CreateAsync(Observation())).Is(HttpStatusCode.Created);
        var between = DateTimeOffset.UtcNow.AddMilliseconds(1);
        while (DateTimeOffset.UtcNow <= between)
            await Task.Yield();
        var changed = created.Json;
        changed["status"] = "amended";
        (await _aurora.UpdateAsync(changed, created.ETag)).Is(HttpStatusCode.OK);
        (await _custodian.With(s => s with { Withheld = s.Withheld with { UnknownShownBefore = between } }).GetAsync("Observation/" + (string)changed["id"]!)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task An_appointment_says_it_in_its_extension()
    {
        await AssertShownAsync(true, await StoreAsync(Appointment(Restriction("1"))));
        await AssertShownAsync(false, await StoreAsync(Appointment(Restriction("3"))));
    }

    [Fact]
    public async Task The_newest_provenance_says_it_where_the_entry_does_not_and_at_once()
    {
        var entry = await StoreAsync(Observation());
        await StoreAsync(Provenance(entry, Restriction("1")));
        await AssertShownAsync(true, entry);
        await StoreAsync(Provenance(entry, Restriction("3")));
        await AssertShownAsync(false, entry);
        // One that says nothing of it changes nothing.
        await StoreAsync(Provenance(entry));
        await AssertShownAsync(false, entry);
        await StoreAsync(Provenance(entry, Restriction("2")));
        await AssertShownAsync(true, entry);
    }

    [Fact]
    public async Task What_an_entry_opens_a_later_provenance_may_close_and_what_it_closes_none_opens()
    {
        var open = await StoreAsync(Observation("2"));
        await StoreAsync(Provenance(open, Restriction("3")));
        await AssertShownAsync(false, open);
        var closed = await StoreAsync(Observation("3"));
        await StoreAsync(Provenance(closed, Restriction("1")));
        await AssertShownAsync(false, closed);
    }

    [Fact]
    public async Task Another_register_s_provenance_opens_nothing()
    {
        var entry = await StoreAsync(Observation());
        var other = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await other.StoreAsync(Some.Patient());
        await other.StoreAsync(Provenance(entry, Restriction("1")));
        await AssertShownAsync(false, entry);
    }

    [Fact]
    public async Task The_visit_says_it_for_its_entries_by_its_newest_version_or_its_provenance()
    {
        var encounter = Some.Encounter(_aurora.PatientId, Visit);
        encounter["meta"] = Security("1");
        var created = (await _aurora.CreateAsync(encounter)).Is(HttpStatusCode.Created);
        var id = (string)created.Json["id"]!;
        var entry = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: id));
        await AssertShownAsync(true, entry, "Encounter/" + id);
        // Its own code goes before the visit's.
        var own = Some.Observation(_aurora.PatientId, encounterId: id);
        own["meta"] = Security("3");
        await AssertShownAsync(false, await StoreAsync(own));
        await StoreAsync(Provenance("Encounter/" + id, Restriction("3")));
        await AssertShownAsync(false, entry, "Encounter/" + id);
        // A new version of the visit is a later word than the Provenance.
        var changed = (await _aurora.UpdateAsync(created.Json, created.ETag)).Is(HttpStatusCode.OK);
        await AssertShownAsync(true, entry, "Encounter/" + id);
        var closing = changed.Json;
        closing["meta"]!["security"]![0]!["code"] = "4";
        (await _aurora.UpdateAsync(closing, changed.ETag)).Is(HttpStatusCode.OK);
        await AssertShownAsync(false, entry, "Encounter/" + id);
    }

    [Fact]
    public async Task Another_register_s_visit_of_the_same_name_opens_nothing()
    {
        var mine = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, Visit));
        var entry = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: mine));
        var other = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await other.StoreAsync(Some.Patient());
        var theirs = Some.Encounter(_aurora.PatientId, Visit);
        theirs["meta"] = Security("1");
        await other.StoreAsync(theirs);
        await AssertShownAsync(false, entry);
    }

    [Fact]
    public async Task Another_register_s_visit_of_the_same_name_delays_nothing_for_the_person()
    {
        var mine = await _aurora.StoreAsync(Some.Encounter(_aurora.PatientId, Visit));
        var entry = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: mine));
        var other = await RevontuliAsync();
        var delayed = Some.Encounter(_aurora.PatientId, Visit);
        delayed["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = Profiles + "CodeSystem/fi-base-release-for-patient-viewing-cs", ["code"] = "1" }) };
        var theirs = await other.StoreAsync(delayed);
        var ofTheirs = await other.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: theirs));
        var person = PersonAt("2026-03-01T00:00:00Z");
        await AssertAsync();
        // A deletion delays what it delayed, and no more.
        (await other.DeleteAsync("Observation/" + ofTheirs)).Is(HttpStatusCode.NoContent);
        (await other.DeleteAsync("Encounter/" + theirs)).Is(HttpStatusCode.NoContent);
        await AssertAsync();

        async Task AssertAsync()
        {
            foreach (var shown in (string[])["Encounter/" + mine, entry])
                (await person.GetAsync(shown)).Is(HttpStatusCode.OK);
            foreach (var hidden in (string[])["Encounter/" + theirs, "Observation/" + ofTheirs])
                (await person.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
        }
    }

    [Fact]
    public async Task Another_register_s_visit_of_the_same_name_closes_nothing_to_custodians()
    {
        var open = Some.Encounter(_aurora.PatientId, Visit);
        open["meta"] = Security("1");
        var mine = await _aurora.StoreAsync(open);
        var ofVisit = await StoreAsync(Some.Observation(_aurora.PatientId, encounterId: mine));
        var own = Some.Observation(_aurora.PatientId, encounterId: mine);
        own["meta"] = Security("1");
        var entry = await StoreAsync(own);
        var other = await RevontuliAsync();
        var theirs = await other.StoreAsync(Some.Encounter(_aurora.PatientId, Visit));
        await AssertShownAsync(true, "Encounter/" + mine, ofVisit, entry);
        await AssertShownAsync(false, "Encounter/" + theirs, "Observation/" + await other.StoreAsync(Some.Observation(_aurora.PatientId, encounterId: theirs)));
    }

    [Fact]
    public async Task Who_only_names_a_closed_visit_tells_custodians_nothing_of_it_and_the_person_what_they_know()
    {
        var closed = Some.Encounter(_aurora.PatientId, Visit);
        closed["meta"] = Security("3");
        closed["meta"]!["security"]!.AsArray().Add((JsonNode)new JsonObject { ["system"] = Profiles + "CodeSystem/fi-base-release-for-patient-viewing-cs", ["code"] = "1" });
        await _aurora.StoreAsync(closed);
        var naming = Some.Observation(_aurora.PatientId);
        naming["meta"] = Security("1");
        naming["encounter"] = new JsonObject { ["type"] = "Encounter", ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + Visit } };
        var named = "Observation/" + await (await RevontuliAsync()).StoreAsync(naming);
        await AssertShownAsync(false, named);
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(named)).Is(HttpStatusCode.OK);
    }

    [Fact]
    public async Task What_refers_to_a_closed_entry_is_closed_with_it()
    {
        var closed = await StoreAsync(Observation("3"));
        var referring = Observation("1");
        referring["derivedFrom"] = new JsonArray(Some.To(closed));
        await AssertShownAsync(false, await StoreAsync(referring));
    }

    [Theory]
    [InlineData("2026-07-15", "2026-07-14T20:59:59Z", false)]
    [InlineData("2026-07-15", "2026-07-14T21:00:00Z", true)]
    [InlineData("2026-01-15", "2026-01-14T21:59:59Z", false)]
    [InlineData("2026-01-15", "2026-01-14T22:00:00Z", true)]
    public async Task An_entry_is_released_at_Finnish_midnight_of_its_day(string date, string at, bool isShown)
    {
        var appointment = await StoreAsync(Appointment(Release(date)));
        var entry = await StoreAsync(Observation());
        await StoreAsync(Provenance(entry, Release(date)));
        var person = PersonAt(at);
        foreach (var each in (string[])[appointment, entry])
            (await person.GetAsync(each)).Is(isShown ? HttpStatusCode.OK : HttpStatusCode.NotFound);
        // Only where the delay matters.
        (await _world.AsPerson(_aurora.Grant.Compartment).GetAsync(appointment)).Is(HttpStatusCode.OK);
        // The same hour twice is one question, and the hour after another.
        (await PersonAt("2026-12-01T00:30:00Z").GetAsync(appointment)).Is(HttpStatusCode.OK);
        (await person.GetAsync(appointment)).Is(isShown ? HttpStatusCode.OK : HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task The_newest_provenance_gives_the_day_and_the_later_of_two_words_holds()
    {
        var entry = await StoreAsync(Observation());
        await StoreAsync(Provenance(entry, Release("2026-01-15")));
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.OK);
        await StoreAsync(Provenance(entry, Release("2026-05-01")));
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.NotFound);
        await StoreAsync(Provenance(entry, Release("2026-02-01")));
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.OK);
        var appointment = await StoreAsync(Appointment(Release("2026-01-15")));
        await StoreAsync(Provenance(appointment, Release("2026-05-01")));
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(appointment)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task What_is_marked_as_delayed_waits_for_a_day()
    {
        var delayed = Some.Observation(_aurora.PatientId);
        delayed["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = Profiles + "CodeSystem/fi-base-release-for-patient-viewing-cs", ["code"] = "1" }) };
        var entry = await StoreAsync(delayed);
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.NotFound);
        await StoreAsync(Provenance(entry, Release("2026-02-01")));
        (await PersonAt("2026-03-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.OK);
        (await PersonAt("2026-01-01T00:00:00Z").GetAsync(entry)).Is(HttpStatusCode.NotFound);
    }

    private async Task<Caller> RevontuliAsync()
    {
        var other = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await other.StoreAsync(Some.Patient());
        return other;
    }

    private Caller PersonAt(string utc) => _world.AsPerson(_aurora.Grant.Compartment)
        .With(s => s with { Withheld = new() { UnreleasedAt = DateTimeOffset.Parse(utc, System.Globalization.CultureInfo.InvariantCulture) } });

    private async Task AssertShownAsync(bool isShown, params string[] entries)
    {
        foreach (var entry in entries)
            (await _custodian.GetAsync(entry)).Is(isShown ? HttpStatusCode.OK : HttpStatusCode.NotFound);
    }

    private async Task<string> StoreAsync(JsonObject resource) => $"{(string)resource["resourceType"]!}/{await _aurora.StoreAsync(resource)}";

    private JsonObject Observation(string? code = null)
    {
        var observation = Some.Observation(_aurora.PatientId);
        if (code is not null)
            observation["meta"] = Security(code);
        return observation;
    }

    private JsonObject Appointment(params JsonObject[] extensions) => new()
    {
        ["resourceType"] = "Appointment", ["status"] = "booked", ["start"] = "2026-05-05T08:00:00+03:00", ["end"] = "2026-05-05T09:00:00+03:00",
        ["participant"] = new JsonArray(new JsonObject { ["actor"] = Some.To("Patient/" + _aurora.PatientId), ["status"] = "accepted" }),
        ["extension"] = new JsonArray([.. extensions]),
    };

    private static JsonObject Provenance(string target, params JsonObject[] extensions)
    {
        var provenance = new JsonObject
        {
            ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00", ["target"] = new JsonArray(Some.To(target)),
            ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Klinikka Aurora" } }),
        };
        if (extensions.Length > 0)
            provenance["extension"] = new JsonArray([.. extensions]);
        return provenance;
    }

    private static JsonObject Restriction(string code) => new()
    {
        ["url"] = Profiles + "StructureDefinition/RestrictionParent", ["valueCoding"] = new JsonObject { ["system"] = Codes, ["code"] = code, ["display"] = "koodi" },
    };

    private static JsonObject Release(string date) => new() { ["url"] = Profiles + "StructureDefinition/ReleaseDateForPatientViewing", ["valueDate"] = date };

    private static JsonObject Security(string code) => new() { ["security"] = new JsonArray(new JsonObject { ["system"] = Codes, ["code"] = code }) };
}
