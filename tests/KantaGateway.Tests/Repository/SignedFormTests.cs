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
        _aurora = _world.As(RepositoryWorld.NewPerson(), RepositoryWorld.Aurora);
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
        var note = "DocumentReference/" + await _aurora.StoreAsync(Document(null));
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
        string[] theirs = ["Observation/" + await writer.StoreAsync(ObservationFrom(form)), "Provenance/" + await writer.StoreAsync(ProvenanceOf(form)), "List/" + await writer.StoreAsync(ListOf(form))];
        string[] about = ["Provenance/" + await _aurora.StoreAsync(ProvenanceOf(form)), "List/" + await _aurora.StoreAsync(ListOf(form))];
        var rendition = Document(null);
        rendition["context"] = new JsonObject { ["related"] = new JsonArray(Some.To(form)) };
        about = [.. about, "DocumentReference/" + await _aurora.StoreAsync(rendition), "List/" + await _aurora.StoreAsync(ListOf(about[1])),
            "Communication/" + await _aurora.StoreAsync(CommunicationAbout(form)), "DocumentManifest/" + await _aurora.StoreAsync(ManifestOf(form))];

        // It is no note by what another clinic says of it.
        theirs = [.. theirs, "Observation/" + await writer.StoreAsync(ObservationFrom(about[2]))];

        await _desk.StoreAsync(Naming(form));
        about = [.. about, "Communication/" + await _aurora.StoreAsync(CommunicationAbout(form)), "DocumentManifest/" + await _aurora.StoreAsync(ManifestOf(form)),
            "Communication/" + await _aurora.StoreAsync(CommunicationAbout(about[^1]))];

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
        changed["context"] = new JsonObject { ["related"] = new JsonArray(Some.To(form)) };
        Refused(await _aurora.UpdateAsync(changed, read.ETag), "DocumentReference.context.related[0]");
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
        var refused = await _desk.CreateAsync(Naming(named));
        Assert.Equal(HttpStatusCode.UnprocessableEntity, refused.Status);
        Assert.Contains("sourceAttachment.data", refused.Text, StringComparison.Ordinal);
        foreach (var seen in (string[])[named, note, "Observation/" + finding])
            (await _other.GetAsync(seen)).Is(HttpStatusCode.OK);

        // What only others say of it, or what is not there any more, makes no note of a form.
        (await _aurora.DeleteAsync("Observation/" + finding)).Is(HttpStatusCode.NoContent);
        var writer = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        await writer.StoreAsync(Some.Patient());
        await writer.StoreAsync(ObservationFrom(note));
        await _desk.StoreAsync(Naming(named));
        (await _other.GetAsync(named)).Is(HttpStatusCode.NotFound);
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
        // What consists of the form alone speaks of it.
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

        static JsonObject With(JsonObject document, JsonObject attachment)
        {
            attachment["contentType"] = "text/plain";
            document["content"]!.AsArray().Add(new JsonObject { ["attachment"] = attachment });
            return document;
        }
    }

    private async Task<string> FormAsync(string type) => $"{type}/" + await _aurora.StoreAsync(type switch
    {
        "Binary" => Binary(),
        "DocumentReference" => Document(null),
        _ => new() { ["resourceType"] = type, ["status"] = "completed", ["subject"] = Some.To("Patient/" + _aurora.PatientId) },
    });

    private JsonObject Binary() => new()
    {
        ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + _aurora.PatientId), ["data"] = "S2llbHRvbG9tYWtl",
    };

    private JsonObject Document(string? content) => new()
    {
        ["resourceType"] = "DocumentReference", ["status"] = "current", ["subject"] = Some.To("Patient/" + _aurora.PatientId),
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
