using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Act 703/2023 §58, EHDS Art. 8: the signed form behind a Consent is for the person and for the register that keeps it, for nobody else.</summary>
public sealed class SignedFormTests : IAsyncLifetime
{
    private const string Text = "urn:uuid:00000000-0000-4000-8000-00000000000a";

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _desk = null!, _other = null!, _person = null!, _custodian = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _aurora = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        _desk = _aurora.With(s => s with { MayDeclare = true });
        _other = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        _person = _world.AsPerson(_aurora.Grant.Compartment);
        _custodian = _person.With(s => s with { Withheld = new() { FromCustodians = true, UnknownShownBefore = DateTimeOffset.MaxValue } });
        await _aurora.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Theory]
    [InlineData("DocumentReference")]
    [InlineData("Binary")]
    [InlineData("QuestionnaireResponse")]
    public async Task A_form_is_hidden_on_every_road_from_the_moment_at_which_a_consent_names_it(string type)
    {
        var form = await FormAsync(type);
        var listed = ListOf(form);
        var telling = new[] { "List/" + await _aurora.StoreAsync(listed), "Provenance/" + await _aurora.StoreAsync(ProvenanceOf(form)) };
        var version = (string)(await _other.GetAsync(form)).Is(HttpStatusCode.OK).Json["meta"]!["versionId"]!;
        for (var i = 0; i < 3; i++)
            await _aurora.StoreAsync(Another(listed));
        var page = (await _other.GetAsync("List?_count=1&_sort=-_lastUpdated")).Is(HttpStatusCode.OK).Link("next")!;
        (await _other.GetAsync("List?_include=List:item")).Is(HttpStatusCode.OK);

        await _desk.StoreAsync(Naming(form));

        foreach (var hidden in (string[])[form, $"{form}/_history", $"{form}/_history/{version}", .. telling])
            (await _other.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
        for (var next = page; next is not null;)
        {
            var reply = (await _other.GetAsync(next)).Is(HttpStatusCode.OK);
            Assert.Empty(reply.Ids);
            next = reply.Link("next");
        }
        foreach (var road in (string[])[type, "List?_include=List:item", $"{type}?_summary=count"])
        {
            var reply = (await _other.GetAsync(road)).Is(HttpStatusCode.OK);
            AssertTellsNothing(reply);
            Assert.Equal(0, (int)reply.Json["total"]!);
        }
        foreach (var road in (string[])[$"_history?patient={_other.PatientId}", $"Patient/{_other.PatientId}/$everything"])
            AssertTellsNothing((await _other.GetAsync(road)).Is(HttpStatusCode.OK));
        AssertTellsNothing((await _other.TransactAsync(Some.Transaction(("GET", form, null, null), ("POST", "Observation", Some.Observation(_other.PatientId), null)))).Is(HttpStatusCode.OK));
        // A reference to it fails as one to nothing.
        var referring = Another(listed);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _other.CreateAsync(referring)).Status);

        foreach (var road in (string[])[form, $"{form}/_history/{version}", .. telling])
        {
            (await _aurora.GetAsync(road)).Is(HttpStatusCode.OK);
            (await _person.GetAsync(road)).Is(HttpStatusCode.OK);
            // A child's declarations are the child's.
            (await _custodian.GetAsync(road)).Is(HttpStatusCode.NotFound);
        }

        void AssertTellsNothing(Reply reply)
        {
            foreach (var name in (string[])[form, .. telling])
                Assert.DoesNotContain(name.Split('/')[1], reply.Text);
        }
    }

    [Fact]
    public async Task What_lies_in_a_form_is_hidden_with_it_also_when_it_was_stored_before()
    {
        var scan = await _aurora.StoreAsync(Binary());
        var form = "DocumentReference/" + await _aurora.StoreAsync(Document("Binary/" + scan));
        var other = "Binary/" + await _aurora.StoreAsync(Binary());
        await _desk.StoreAsync(Naming(form));
        (await _other.GetAsync("Binary/" + scan)).Is(HttpStatusCode.NotFound);
        (await _aurora.GetAsync("Binary/" + scan)).Is(HttpStatusCode.OK);
        (await _other.GetAsync(other)).Is(HttpStatusCode.OK);

        var together = (await _aurora.TransactAsync(Some.Transaction(("POST", "Binary", Binary(), Text), ("POST", "DocumentReference", Document(Text), null)))).Is(HttpStatusCode.OK);
        string[] stored = [.. together.Json["entry"]!.AsArray().Select(e => ((string)e!["response"]!["location"]!)[(RepositoryWorld.Base.Length + 1)..].Split("/_history/")[0])];
        await _desk.StoreAsync(Naming(stored[1]));
        foreach (var each in stored)
            (await _other.GetAsync(each)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_form_stays_one_when_its_consent_is_withdrawn_and_when_it_is_deleted()
    {
        var form = await FormAsync("DocumentReference");
        await _desk.StoreAsync(Naming(form));
        var withdrawn = Some.Consent(_aurora.PatientId);
        withdrawn["status"] = "inactive";
        await _desk.StoreAsync(withdrawn);
        (await _aurora.DeleteAsync(form)).Is(HttpStatusCode.NoContent);
        (await _other.GetAsync(form)).Is(HttpStatusCode.NotFound);
        Assert.DoesNotContain(form.Split('/')[1], (await _other.GetAsync("DocumentReference/_history?patient=" + _other.PatientId)).Is(HttpStatusCode.OK).Text);
        (await _aurora.GetAsync(form)).Is(HttpStatusCode.Gone);
    }

    [Fact]
    public async Task A_consent_hides_no_entry_of_another_controller_and_none_that_is_no_form()
    {
        // A single document is no scope of a denial (§59.1), by no detour either.
        var document = await FormAsync("DocumentReference");
        await _person.StoreAsync(Naming(document));
        (await _other.GetAsync(document)).Is(HttpStatusCode.OK);
        var observation = "Observation/" + await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));
        var consent = Some.Consent(_aurora.PatientId);
        consent["provision"] = new JsonObject { ["data"] = new JsonArray(new JsonObject { ["meaning"] = "instance", ["reference"] = Some.To(observation) }) };
        await _desk.StoreAsync(consent);
        (await _other.GetAsync(observation)).Is(HttpStatusCode.OK);
    }

    /// <summary>What a form is only related to is no part of it, whoever wrote it: the note of the visit at which it was signed is seen as before.</summary>
    [Fact]
    public async Task What_a_form_is_related_to_is_seen_as_before()
    {
        var note = "DocumentReference/" + await _aurora.StoreAsync(Letter(null));
        var answers = await FormAsync("QuestionnaireResponse");
        var document = Document("Binary/" + await _aurora.StoreAsync(Binary()));
        document["relatesTo"] = new JsonArray(new JsonObject { ["code"] = "appends", ["target"] = Some.To(note) });
        document["context"] = new JsonObject { ["related"] = new JsonArray(Some.To(answers)) };
        var form = "DocumentReference/" + await _aurora.StoreAsync(document);

        await _desk.StoreAsync(Naming(form));

        (await _other.GetAsync(form)).Is(HttpStatusCode.NotFound);
        (await _other.GetAsync(note)).Is(HttpStatusCode.OK);
        (await _other.GetAsync(answers)).Is(HttpStatusCode.OK);
        (await _custodian.GetAsync(note)).Is(HttpStatusCode.OK);
    }

    /// <summary>The Consent names the content; its document says by its title what it is.</summary>
    [Fact]
    public async Task The_document_of_a_content_that_is_named_is_hidden_with_all_that_is_attached_to_it()
    {
        var (scan, signature, other) = (await _aurora.StoreAsync(Binary()), await _aurora.StoreAsync(Binary()), await _aurora.StoreAsync(Binary()));
        var document = Document("Binary/" + scan);
        document["content"]!.AsArray().Add(new JsonObject { ["attachment"] = new JsonObject { ["url"] = "Binary/" + signature } });
        string[] parts = ["DocumentReference/" + await _aurora.StoreAsync(document), "Binary/" + scan, "Binary/" + signature];
        string[] others = ["DocumentReference/" + await _aurora.StoreAsync(Document("Binary/" + other)), "Binary/" + other];

        await _desk.StoreAsync(Naming("Binary/" + scan));

        foreach (var part in parts)
        {
            (await _other.GetAsync(part)).Is(HttpStatusCode.NotFound);
            (await _person.GetAsync(part)).Is(HttpStatusCode.OK);
        }
        foreach (var seen in others)
            (await _other.GetAsync(seen)).Is(HttpStatusCode.OK);
    }

    /// <summary>Another clinic's entry is its own; what only speaks of the form goes with it.</summary>
    [Fact]
    public async Task What_another_clinic_wrote_of_a_form_stays_and_what_only_speaks_of_it_is_hidden_with_it()
    {
        var form = await FormAsync("QuestionnaireResponse");
        var third = _world.As(_aurora.Grant.Compartment, "1.2.246.10.99000033", Breadth.Disclosed);
        var writer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await writer.StoreAsync(Some.Patient());
        string[] theirs = ["Observation/" + await writer.StoreAsync(ObservationFrom(form)), "Provenance/" + await writer.StoreAsync(ProvenanceOf(form)), "List/" + await writer.StoreAsync(ListOf(form)),
            "Communication/" + await writer.StoreAsync(CommunicationAbout(form)), "DocumentManifest/" + await writer.StoreAsync(ManifestOf(form))];
        string[] about = ["Provenance/" + await _aurora.StoreAsync(ProvenanceOf(form)), "List/" + await _aurora.StoreAsync(ListOf(form))];
        about = [.. about, "DocumentReference/" + await _aurora.StoreAsync(About(Document(null), form)), "List/" + await _aurora.StoreAsync(ListOf(about[1]))];

        // It is no note by what another clinic says of it.
        theirs = [.. theirs, "Observation/" + await writer.StoreAsync(ObservationFrom(about[2]))];

        await _desk.StoreAsync(Naming(form));
        about = [.. about, "DocumentReference/" + await _aurora.StoreAsync(About(Document(null), form)), "Provenance/" + await _aurora.StoreAsync(ProvenanceOf(about[^1]))];

        foreach (var seen in theirs)
            (await third.GetAsync(seen)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])[form, .. about])
        {
            (await third.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
            (await _aurora.GetAsync(hidden)).Is(HttpStatusCode.OK);
        }
        foreach (var road in (string[])["Observation?_include=Observation:derived-from", "List?_include=List:item", "Communication", "DocumentManifest", $"Patient/{third.PatientId}/$everything"])
        {
            var reply = (await third.GetAsync(road)).Is(HttpStatusCode.OK);
            foreach (var hidden in (string[])[form, .. about])
                Assert.DoesNotContain(hidden.Split('/')[1], reply.Ids);
        }
    }

    /// <summary>A reference that leads nowhere tells that there is something: its own clinic is told to leave it out, others are answered as to what is absent.</summary>
    [Fact]
    public async Task An_entry_of_care_that_refers_to_a_form_or_to_what_speaks_of_one_is_refused_to_its_clinic()
    {
        var form = await FormAsync("DocumentReference");
        var (list, note) = ("List/" + await _aurora.StoreAsync(ListOf(form)), await FormAsync("DocumentReference"));
        var finding = await _aurora.StoreAsync(ObservationFrom(note));
        var absent = "DocumentReference/" + Guid.NewGuid();
        var writer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await writer.StoreAsync(Some.Patient());
        await _desk.StoreAsync(Naming(form));

        Refused(await _aurora.CreateAsync(ObservationFrom(form)), "Observation.derivedFrom[0]");
        // A message, a manifest, a letter: nobody would be told that they are not read.
        foreach (var about in (string[])[form, list])
            Refused(await _aurora.CreateAsync(CommunicationAbout(about)), "Communication.about[0]");
        Refused(await _aurora.CreateAsync(ManifestOf(form)), "DocumentManifest.content[0]");
        Refused(await _aurora.CreateAsync(About(Letter(null), form)), "DocumentReference.context.related[0]");
        var focused = Some.Observation(_aurora.PatientId);
        focused["focus"] = new JsonArray(Some.To(list));
        Refused(await _aurora.CreateAsync(focused), "Observation.focus[0]");
        // What names it in an extension tells of it too.
        var naming = Some.Observation(_aurora.PatientId);
        naming["extension"] = new JsonArray(new JsonObject { ["url"] = "https://kanta.example/lomake", ["valueUri"] = $"{RepositoryWorld.Base}/{form}" });
        Refused(await _aurora.CreateAsync(naming), "Observation.extension[0]");
        // Through what comes with it.
        focused["focus"] = new JsonArray(Some.To(Text));
        Refused(await _aurora.TransactAsync(Some.Transaction(("POST", "Observation", focused, null), ("POST", "List", ListOf(form), Text))), "Bundle.entry[0].resource.focus[0]");
        var stored = (await _aurora.GetAsync("Observation/" + finding)).Is(HttpStatusCode.OK);
        var changed = stored.Json;
        changed["focus"] = new JsonArray(Some.To(form));
        Refused(await _aurora.UpdateAsync(changed, stored.ETag), "Observation.focus[0]");
        // A note does not become what only tells of a form.
        var read = (await _aurora.GetAsync(note)).Is(HttpStatusCode.OK);
        changed = read.Json;
        Refused(await _aurora.UpdateAsync(About(changed.AsObject(), form), read.ETag), "DocumentReference.context.related[0]");
        (await _other.GetAsync(note)).Is(HttpStatusCode.OK);

        var toHidden = await writer.CreateAsync(ObservationFrom(form));
        Assert.Equal((HttpStatusCode.UnprocessableEntity, IssuesOf(await writer.CreateAsync(ObservationFrom(absent)))), (toHidden.Status, IssuesOf(toHidden)));

        static string IssuesOf(Reply reply) => reply.Json["issue"]!.ToJsonString();

        static void Refused(Reply reply, string at)
        {
            Assert.Equal(HttpStatusCode.UnprocessableEntity, reply.Status);
            Assert.Contains(at, (string)reply.Json["issue"]![0]!["expression"]![0]!, StringComparison.Ordinal);
            Assert.Contains("Leave the reference out", reply.Text, StringComparison.Ordinal);
        }
    }

    /// <summary>Whoever treats the person needs a note that entries of care rest on: it is no form, and is not made one by a Consent.</summary>
    [Theory]
    [InlineData("DocumentReference")]
    [InlineData("QuestionnaireResponse")]
    [InlineData("Binary")]
    public async Task A_note_that_entries_refer_to_is_not_taken_for_a_form(string type)
    {
        var named = await FormAsync(type);
        var note = type == "Binary" ? "DocumentReference/" + await _aurora.StoreAsync(Document(named)) : named;
        var finding = await _aurora.StoreAsync(ObservationFrom(note));
        await RefuseAsync(Naming(named), "Observation", named, note, "Observation/" + finding);

        // What only others say of it, or what is not there any more, makes no note of a form.
        (await _aurora.DeleteAsync("Observation/" + finding)).Is(HttpStatusCode.NoContent);
        var writer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await writer.StoreAsync(Some.Patient());
        await writer.StoreAsync(ObservationFrom(note));
        await _desk.With(s => s with { Breadth = Breadth.Disclosed }).StoreAsync(Naming(named));
        (await _other.GetAsync(named)).Is(HttpStatusCode.NotFound);
    }

    /// <summary>A discharge letter into which the signature was put, an anamnesis: most notes are referred to by nothing.</summary>
    [Theory]
    [InlineData("DocumentReference")]
    [InlineData("QuestionnaireResponse")]
    [InlineData("Binary")]
    public async Task What_does_not_say_that_it_is_a_form_is_made_none(string type)
    {
        var named = type == "Binary" ? await FormAsync(type) : null;
        var note = type == "QuestionnaireResponse" ? Answers() : Letter(named);
        note.Remove("meta");
        var stored = $"{note["resourceType"]}/" + await _aurora.StoreAsync(note);
        named ??= stored;
        await RefuseAsync(Naming(named), "59284-0", named, stored);

        var read = (await _aurora.GetAsync(stored)).Is(HttpStatusCode.OK);
        var changed = read.Json;
        if (type == "QuestionnaireResponse")
            changed["meta"]!["tag"] = new JsonArray(Loinc("59284-0"));
        else
            changed["category"] = new JsonArray(new JsonObject { ["coding"] = new JsonArray(Loinc("57016-8")) });
        (await _aurora.UpdateAsync(changed, read.ETag)).Is(HttpStatusCode.OK);
        await _desk.StoreAsync(Naming(named));
        foreach (var hidden in (string[])[named, stored])
            (await _other.GetAsync(hidden)).Is(HttpStatusCode.NotFound);

        // And it stays one.
        if (type == "Binary")
            return;
        read = (await _aurora.GetAsync(stored)).Is(HttpStatusCode.OK);
        changed = read.Json;
        changed["meta"]!.AsObject().Remove("tag");
        changed.AsObject().Remove("category");
        var refused = await _aurora.UpdateAsync(changed, read.ETag);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
        Assert.Contains("stays hidden from other care", refused.Text, StringComparison.Ordinal);
    }

    /// <summary>A referral with its enclosure, a letter that has the same scan: they would vanish with the form, or refer to nothing.</summary>
    [Theory]
    [InlineData("Communication")]
    [InlineData("DocumentManifest")]
    [InlineData("a letter about it")]
    [InlineData("a letter that has the same content")]
    [InlineData("a message about a list of it")]
    [InlineData("a message about another form of it")]
    [InlineData("a report that has the same content")]
    public async Task What_care_would_lose_is_in_the_way_of_a_consent(string what)
    {
        var scan = await FormAsync("Binary");
        var form = "DocumentReference/" + await _aurora.StoreAsync(Document(scan));
        var report = Some.Observation(_aurora.PatientId);
        report["extension"] = new JsonArray(new JsonObject { ["url"] = "https://kanta.example/liite", ["valueAttachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = scan } });
        var lost = what switch
        {
            "Communication" => CommunicationAbout(form),
            "DocumentManifest" => ManifestOf(form),
            "a letter about it" => About(Letter(null), form),
            "a letter that has the same content" => Letter(scan),
            "a message about a list of it" => CommunicationAbout("List/" + await _aurora.StoreAsync(ListOf(form))),
            "a message about another form of it" => CommunicationAbout("DocumentReference/" + await _aurora.StoreAsync(About(Document(null), form))),
            _ => report,
        };
        var stored = $"{lost["resourceType"]}/" + await _aurora.StoreAsync(lost);
        foreach (var named in (string[])[form, scan])
            await RefuseAsync(Naming(named), (string)lost["resourceType"]!, form, scan, stored);
        // By whatever attachment of the Consent.
        var attached = Some.Consent(_aurora.PatientId);
        attached["extension"] = new JsonArray(new JsonObject { ["url"] = "https://kanta.example/liite", ["valueAttachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = scan } });
        await RefuseAsync(attached, (string)lost["resourceType"]!, form, scan, stored);

        (await _aurora.DeleteAsync(stored)).Is(HttpStatusCode.NoContent);
        await _desk.StoreAsync(Naming(form));
        (await _other.GetAsync(form)).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_form_is_not_given_the_content_of_a_letter()
    {
        var letters = await FormAsync("Binary");
        var letter = "DocumentReference/" + await _aurora.StoreAsync(Letter(letters));
        var form = await FormAsync("DocumentReference");
        await _desk.StoreAsync(Naming(form));
        var read = (await _aurora.GetAsync(form)).Is(HttpStatusCode.OK);
        var refused = await _aurora.UpdateAsync(With(read.Json.AsObject(), new() { ["url"] = letters }), read.ETag);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
        Assert.Equal("DocumentReference.content[1].attachment.url", (string)refused.Json["issue"]![0]!["expression"]![0]!);
        foreach (var seen in (string[])[letter, letters])
            (await _other.GetAsync(seen)).Is(HttpStatusCode.OK);
    }

    /// <summary>Law 9: a refusal tells of nothing that is hidden from whom it is given to, be it of another register of the same house.</summary>
    [Fact]
    public async Task Nobody_is_refused_because_of_what_they_are_not_shown()
    {
        var form = await FormAsync("DocumentReference");
        var care = _aurora.With(s => s with { Register = Register.Occupational("0204819-8"), Breadth = Breadth.Disclosed });
        await care.StoreAsync(Some.Patient());
        string[] theirs = ["Communication/" + await care.StoreAsync(CommunicationAbout(form)), "DocumentReference/" + await care.StoreAsync(About(Letter(null), form))];
        await _desk.StoreAsync(Naming(form));
        foreach (var seen in theirs)
            (await _other.GetAsync(seen)).Is(HttpStatusCode.OK);

        // Nor of a specially protected entry of its own, by whom it is not seen.
        form = await FormAsync("DocumentReference");
        var another = await FormAsync("QuestionnaireResponse");
        var message = CommunicationAbout(form);
        message["about"]!.AsArray().Add(Some.To(another));
        message["meta"] = new JsonObject { ["security"] = new JsonArray(new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "PSY" }) };
        var told = "Communication/" + await _aurora.StoreAsync(message);
        await RefuseAsync(Naming(form), "Communication", form);
        await _desk.With(s => s with { Withheld = new() { SpeciallyProtected = true } }).StoreAsync(Naming(form));
        (await _other.GetAsync(told)).Is(HttpStatusCode.NotFound);
        // What is hidden already is lost by no other Consent, and is told when it is written again.
        await _desk.StoreAsync(Naming(another));
        var read = (await _aurora.GetAsync(told)).Is(HttpStatusCode.OK);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _aurora.UpdateAsync(read.Json, read.ETag)).Status);
        var spoken = read.Json;
        spoken.AsObject().Remove("about");
        (await _aurora.UpdateAsync(spoken, read.ETag)).Is(HttpStatusCode.OK);
        (await _other.GetAsync(told)).Is(HttpStatusCode.OK);

        // The other way round: as what is absent.
        var toHidden = await care.CreateAsync(CommunicationAbout(form));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, toHidden.Status);
        Assert.Contains("names no DocumentReference that this request may refer to", toHidden.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_consent_that_names_the_note_of_another_controller_hides_nothing_and_is_taken()
    {
        var note = "DocumentReference/" + await _aurora.StoreAsync(Letter(null));
        await _aurora.StoreAsync(CommunicationAbout(note));
        var writer = _other.With(s => s with { MayDeclare = true });
        await writer.StoreAsync(Some.Patient());
        await writer.StoreAsync(Naming(note));
        (await _world.As(_aurora.Grant.Compartment, "1.2.246.10.99000033", Breadth.Disclosed).GetAsync(note)).Is(HttpStatusCode.OK);
    }

    /// <summary>Of purchased services (§13) a Consent that goes into the buyer's register makes forms of what is the buyer's.</summary>
    [Fact]
    public async Task Who_declares_in_a_buyers_register_makes_no_form_of_the_buyers_note()
    {
        var producer = _other.With(s => s with { MayDeclare = true, MayWriteFor = [RepositoryWorld.Aurora] });
        var (note, form) = ("DocumentReference/" + await _aurora.StoreAsync(Letter(null)), await FormAsync("DocumentReference"));
        foreach (var (named, expected, seen) in ((string, HttpStatusCode, HttpStatusCode)[])[(note, HttpStatusCode.UnprocessableEntity, HttpStatusCode.OK), (form, HttpStatusCode.OK, HttpStatusCode.NotFound)])
        {
            (await producer.TransactAsync(Some.Transaction(("POST", "Consent", Naming(named), Text),
                ("POST", "Provenance", RegisterTests.Custodian(RepositoryWorld.Aurora, "2", null, Text), null)))).Is(expected);
            (await _other.GetAsync(named)).Is(seen);
        }
    }

    /// <summary>It is her form, and in her own register nothing is hidden by it.</summary>
    [Fact]
    public async Task The_person_may_speak_of_a_form()
    {
        var form = await FormAsync("DocumentReference");
        await _desk.StoreAsync(Naming(form));
        foreach (var hers in (JsonObject[])[ObservationFrom(form), CommunicationAbout(form)])
            (await _person.CreateAsync(hers)).Is(HttpStatusCode.Created);
    }

    /// <summary>A discharge letter may have the scanned form attached: it would vanish with it, and so would what else it has.</summary>
    [Fact]
    public async Task A_document_that_takes_up_the_content_of_a_form_afterwards_makes_no_form_of_what_else_it_has()
    {
        var (scan, letter) = ("Binary/" + await _aurora.StoreAsync(Binary()), "Binary/" + await _aurora.StoreAsync(Binary()));
        await _desk.StoreAsync(Naming(scan));
        foreach (var other in (JsonObject[])[new() { ["url"] = letter }, new() { ["data"] = "S2lyamU=" }])
        {
            var refused = await _aurora.CreateAsync(With(Document(scan), other));
            Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
            Assert.Equal("DocumentReference.content[0].attachment.url", (string)refused.Json["issue"]![0]!["expression"]![0]!);
        }
        // Nor does a letter consist of it.
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _aurora.CreateAsync(Letter(scan))).Status);
        // What is a form too, and consists of it alone, speaks of it.
        var late = "DocumentReference/" + await _aurora.StoreAsync(Document(scan));
        (await _other.GetAsync(late)).Is(HttpStatusCode.NotFound);

        var read = (await _aurora.GetAsync(late)).Is(HttpStatusCode.OK);
        (await _aurora.UpdateAsync(With(read.Json.AsObject(), new() { ["url"] = letter }), read.ETag)).Is(HttpStatusCode.OK);
        await _desk.StoreAsync(Naming(scan));

        (await _other.GetAsync(letter)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])[scan, late])
        {
            (await _other.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
            (await _person.GetAsync(hidden)).Is(HttpStatusCode.OK);
        }
        // It is one when it is named itself.
        await _desk.StoreAsync(Naming(late));
        (await _other.GetAsync(letter)).Is(HttpStatusCode.NotFound);
    }

    /// <param name="seen">What other care sees as before.</param>
    private async Task RefuseAsync(JsonObject consent, string says, params string[] seen)
    {
        var refused = await _desk.CreateAsync(consent);
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
        Assert.Contains(says, refused.Text, StringComparison.Ordinal);
        Assert.Contains("sourceAttachment.data", refused.Text, StringComparison.Ordinal);
        foreach (var each in seen)
            (await _other.GetAsync(each)).Is(HttpStatusCode.OK);
    }

    private async Task<string> FormAsync(string type) => $"{type}/" + await _aurora.StoreAsync(type switch
    {
        "Binary" => Binary(),
        "DocumentReference" => Document(null),
        _ => Answers(),
    });

    private JsonObject Answers() => new()
    {
        ["resourceType"] = "QuestionnaireResponse", ["status"] = "completed", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["meta"] = new JsonObject { ["tag"] = new JsonArray(Loinc("59284-0")) },
    };

    private static JsonObject Loinc(string code) => new() { ["system"] = "http://loinc.org", ["code"] = code };

    private JsonObject Binary() => new()
    {
        ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + _aurora.PatientId), ["data"] = "S2llbHRvbG9tYWtl",
    };

    /// <summary>A discharge letter.</summary>
    private JsonObject Letter(string? content)
    {
        var letter = Document(content);
        letter["type"] = new JsonObject { ["coding"] = new JsonArray(Loinc("18842-5")) };
        return letter;
    }

    private static JsonObject About(JsonObject document, string what)
    {
        document["context"] = new JsonObject { ["related"] = new JsonArray(Some.To(what)) };
        return document;
    }

    private static JsonObject With(JsonObject document, JsonObject attachment)
    {
        attachment["contentType"] = "text/plain";
        document["content"]!.AsArray().Add(new JsonObject { ["attachment"] = attachment });
        return document;
    }

    private JsonObject Document(string? content) => new()
    {
        ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["type"] = new JsonObject { ["coding"] = new JsonArray(Loinc("64292-6")) },
        ["content"] = new JsonArray(new JsonObject
        {
            ["attachment"] = content is null ? new JsonObject { ["contentType"] = "text/plain", ["title"] = "Kieltolomake" } : new JsonObject { ["contentType"] = "text/plain", ["url"] = content },
        }),
    };

    private JsonObject Naming(string form)
    {
        var consent = Some.Consent(_aurora.PatientId);
        if (form.StartsWith("Binary/", StringComparison.Ordinal))
            consent["sourceAttachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = form };
        else
            consent["sourceReference"] = Some.To(form);
        return consent;
    }

    private JsonObject ListOf(string item) => new()
    {
        ["resourceType"] = "List", ["status"] = "current", ["mode"] = "working", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
        ["entry"] = new JsonArray(new JsonObject { ["item"] = Some.To(item) }),
    };

    private JsonObject CommunicationAbout(string what) => new()
    {
        ["resourceType"] = "Communication", ["status"] = "completed", ["subject"] = Some.To("Patient/" + _aurora.PatientId), ["about"] = new JsonArray(Some.To(what)),
        ["payload"] = new JsonArray(new JsonObject { ["contentString"] = "Kieltolomake arkistoitu" }),
    };

    private JsonObject ManifestOf(string content) => new()
    {
        ["resourceType"] = "DocumentManifest", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId), ["content"] = new JsonArray(Some.To(content)),
    };

    private JsonObject ObservationFrom(string source)
    {
        var observation = Some.Observation(_aurora.PatientId);
        observation["derivedFrom"] = new JsonArray(Some.To(source));
        return observation;
    }

    private static JsonObject ProvenanceOf(string target) => new()
    {
        ["resourceType"] = "Provenance", ["recorded"] = "2026-01-05T08:10:00+02:00", ["target"] = new JsonArray(Some.To(target)),
        ["agent"] = new JsonArray(new JsonObject { ["who"] = new JsonObject { ["display"] = "Klinikka Aurora" } }),
    };

    private static JsonObject Another(JsonObject resource) => resource.DeepClone().AsObject();
}
