using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Tests.Consent;

namespace KantaGateway.Tests.Repository;

/// <summary>Decree 457/2024 §6: of other registers a limited task reaches the documents of its own speciality, and their contents; of the own one none of another.</summary>
public sealed class SpecialityTests : IAsyncLifetime
{
    /// <summary>Rehabilitation, cardiology, gynaecology, and physiotherapy by a code of the house.</summary>
    private const string Own = "394602003", Foreign = "394579002", Another = "394586005", OfTheHouse = "urn:oid:1.2.246.10.1.99|FYS";

    /// <summary>The own register as a physiotherapist of a reception reaches it.</summary>
    private static readonly IReadOnlyList<ScopeFilter> OfPhysiotherapist =
        TaskReach.Of(ConsentWorld.Requester("professional") with { Tasks = TaskClass.LimitedCare, Profession = "fysioterapeutti" }).FiltersOfOwn!;

    private RepositoryWorld _world = null!;
    private Caller _aurora = null!, _limited = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        var person = await _world.NewPersonAsync();
        _aurora = _world.As(person, RepositoryWorld.Aurora);
        _limited = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed).With(s => s with
        {
            TypesOfOthers = ["Binary", "DocumentReference", "Observation"],
            FiltersOfOthers = [new("DocumentReference", ["setting=" + Uri.EscapeDataString("http://snomed.info/sct|" + Own)], reads: true)],
        });
        await _aurora.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task Documents_of_the_own_speciality_are_found_with_their_contents_and_others_look_absent()
    {
        var (ownDocument, ownContent) = await StoreAsync(_aurora, Own);
        var (foreignDocument, foreignContent) = await StoreAsync(_aurora, Foreign);
        var lone = await _aurora.StoreAsync(Binary());
        var observation = await _aurora.StoreAsync(Some.Observation(_aurora.PatientId));

        Assert.Equal([ownDocument], (await _limited.SearchAsync("DocumentReference")).Is(HttpStatusCode.OK).Ids);
        foreach (var seen in (string[])["DocumentReference/" + ownDocument, "Binary/" + ownContent, "Observation/" + observation])
            (await _limited.GetAsync(seen)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])["DocumentReference/" + foreignDocument, "Binary/" + foreignContent, "Binary/" + lone])
        {
            (await _limited.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
            (await _limited.GetAsync(hidden + "/_history")).Is(HttpStatusCode.NotFound);
        }
        var everything = (await _limited.GetAsync($"Patient/{_aurora.PatientId}/$everything")).Text;
        Assert.DoesNotContain(foreignDocument, everything, StringComparison.Ordinal);
        Assert.DoesNotContain(foreignContent, everything, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_the_own_register_documents_of_another_speciality_look_absent_with_their_contents()
    {
        var own = _aurora.With(s => s with { FiltersOfOwn = OfPhysiotherapist });
        var (ownDocument, ownContent) = await StoreAsync(_aurora, Own);
        var (plainDocument, plainContent) = await StoreAsync(_aurora, null);
        var (houseDocument, houseContent) = await StoreAsync(_aurora, OfTheHouse);
        var (foreignDocument, foreignContent) = await StoreAsync(_aurora, Another);
        var lone = await _aurora.StoreAsync(Binary());

        Assert.Equal(new[] { ownDocument, plainDocument, houseDocument }.Order(), (await own.SearchAsync("DocumentReference")).Is(HttpStatusCode.OK).Ids.Order());
        foreach (var seen in (string[])["DocumentReference/" + ownDocument, "Binary/" + ownContent, "DocumentReference/" + plainDocument, "Binary/" + plainContent, "DocumentReference/" + houseDocument, "Binary/" + houseContent, "Binary/" + lone])
            (await own.GetAsync(seen)).Is(HttpStatusCode.OK);
        foreach (var hidden in (string[])["DocumentReference/" + foreignDocument, "Binary/" + foreignContent])
        {
            (await own.GetAsync(hidden)).Is(HttpStatusCode.NotFound);
            (await own.GetAsync(hidden + "/_history")).Is(HttpStatusCode.NotFound);
        }
        var everything = (await own.GetAsync($"Patient/{_aurora.PatientId}/$everything")).Text;
        Assert.DoesNotContain(foreignDocument, everything, StringComparison.Ordinal);
        Assert.DoesNotContain(foreignContent, everything, StringComparison.Ordinal);
        // A content that a reached document has too is reached.
        await _aurora.StoreAsync(Document(_aurora, foreignContent, null));
        (await own.GetAsync("Binary/" + foreignContent)).Is(HttpStatusCode.OK);
        (await own.GetAsync("DocumentReference/" + foreignDocument)).Is(HttpStatusCode.NotFound);
    }

    /// <summary>Decree §6: of the own profession or speciality alone. What specialities there are their code systems say, and not the list of those that some limited profession has.</summary>
    [Theory]
    [InlineData("fysioterapeutti")]
    [InlineData("suuhygienisti")]
    [InlineData("rontgenhoitaja")]
    [InlineData("laboratoriohoitaja")]
    [InlineData("optikko")]
    public async Task No_limited_profession_reads_gynaecology(string profession)
    {
        var own = _aurora.With(s => s with { FiltersOfOwn = TaskReach.Of(ConsentWorld.Requester("professional") with { Tasks = TaskClass.LimitedCare, Profession = profession }).FiltersOfOwn! });
        foreach (var (setting, expected) in ((string?, HttpStatusCode)[])[(Another, HttpStatusCode.NotFound), ("urn:oid:1.2.246.537.6.24|30", HttpStatusCode.NotFound), (OfTheHouse, HttpStatusCode.OK), (null, HttpStatusCode.OK)])
        {
            var (document, content) = await StoreAsync(_aurora, setting);
            (await own.GetAsync("DocumentReference/" + document)).Is(expected);
            (await own.GetAsync("Binary/" + content)).Is(expected);
        }
    }

    /// <summary>What a document has had is its own, also when it has another content, and in its own register when it is deleted.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_content_that_only_an_earlier_version_has_is_reached_as_that_version_is(bool deletes)
    {
        var own = _aurora.With(s => s with { FiltersOfOwn = [new("DocumentReference", ["setting=" + Uri.EscapeDataString("http://snomed.info/sct|" + Own)], reads: true)] });
        foreach (var (setting, expected) in ((string, HttpStatusCode)[])[(Own, HttpStatusCode.OK), (Foreign, HttpStatusCode.NotFound)])
        {
            var (document, content) = await StoreAsync(_aurora, setting);
            var stored = (await _aurora.GetAsync("DocumentReference/" + document)).Is(HttpStatusCode.OK);
            var changed = Document(_aurora, await _aurora.StoreAsync(Binary()), setting);
            changed["id"] = document;
            (await _aurora.UpdateAsync(changed, stored.ETag)).Is(HttpStatusCode.OK);
            if (deletes)
                (await _aurora.DeleteAsync("DocumentReference/" + document)).Is(HttpStatusCode.NoContent);
            foreach (var reader in (Caller[])[own, _limited])
            {
                (await reader.GetAsync("Binary/" + content)).Is(deletes && reader == _limited ? HttpStatusCode.NotFound : expected);
                (await reader.GetAsync($"DocumentReference/{document}/_history/{(string)stored.Json["meta"]!["versionId"]!}")).Is(expected);
            }
        }
    }

    /// <summary>A speciality that was wrong opens nothing once it has been corrected, and closes nothing either.</summary>
    /// <param name="keepsContent">Whether the corrected version has the same content.</param>
    [Theory]
    [InlineData(Own, Foreign, true, false, HttpStatusCode.NotFound)]
    [InlineData(Own, Foreign, false, false, HttpStatusCode.NotFound)]
    [InlineData(Own, Foreign, true, true, HttpStatusCode.NotFound)]
    [InlineData(Foreign, Own, true, false, HttpStatusCode.OK)]
    [InlineData(Foreign, Own, false, false, HttpStatusCode.NotFound)]
    public async Task A_content_is_reached_by_the_speciality_that_its_document_has_today(string was, string @is, bool keepsContent, bool deletes, HttpStatusCode expected)
    {
        var own = _aurora.With(s => s with { FiltersOfOwn = [new("DocumentReference", ["setting=" + Uri.EscapeDataString("http://snomed.info/sct|" + Own)], reads: true)] });
        var (document, content) = await StoreAsync(_aurora, was);
        var stored = (await _aurora.GetAsync("DocumentReference/" + document)).Is(HttpStatusCode.OK);
        var corrected = Document(_aurora, keepsContent ? content : await _aurora.StoreAsync(Binary()), @is);
        corrected["id"] = document;
        (await _aurora.UpdateAsync(corrected, stored.ETag)).Is(HttpStatusCode.OK);
        if (deletes)
            (await _aurora.DeleteAsync("DocumentReference/" + document)).Is(HttpStatusCode.NoContent);
        foreach (var reader in (Caller[])[own, _limited])
        {
            foreach (var road in (string[])["", "/_history"])
                (await reader.GetAsync($"Binary/{content}{road}")).Is(expected);
            // Of versions of two specialities the first is not seen, be it the newest that is or the other way round.
            (await reader.GetAsync($"DocumentReference/{document}/_history/{(string)stored.Json["meta"]!["versionId"]!}")).Is(HttpStatusCode.NotFound);
        }
    }

    /// <summary>Who has a limited task archives what it does, whichever speciality the document names; what is not reached is not changed.</summary>
    [Fact]
    public async Task What_is_archived_is_not_narrowed_and_what_is_not_reached_is_not_changed()
    {
        var own = _aurora.With(s => s with { FiltersOfOwn = OfPhysiotherapist });
        var (foreign, content) = await StoreAsync(own, Another);
        foreach (var setting in (string?[])[null, OfTheHouse])
        {
            var known = (await own.GetAsync("DocumentReference/" + (await StoreAsync(own, setting)).Document)).Is(HttpStatusCode.OK);
            (await own.UpdateAsync(Corrected(known), known.ETag)).Is(HttpStatusCode.OK);
        }
        var unseen = (await _aurora.GetAsync("DocumentReference/" + foreign)).Is(HttpStatusCode.OK);
        // As one that is not there.
        (await own.UpdateAsync(Corrected(unseen), unseen.ETag)).Is(HttpStatusCode.MethodNotAllowed);
        Assert.Equal(unseen.ETag, (await _aurora.GetAsync("DocumentReference/" + foreign)).ETag);
        (await _aurora.GetAsync("Binary/" + content)).Is(HttpStatusCode.OK);

        static JsonObject Corrected(Reply read)
        {
            var document = read.Json.AsObject();
            document["description"] = "Korjattu";
            return document;
        }
    }

    [Fact]
    public async Task The_own_register_is_not_narrowed_by_what_narrows_others()
    {
        var own = _world.As(_aurora.Grant.Compartment, RepositoryWorld.Revontuli);
        await own.StoreAsync(Some.Patient());
        var (document, content) = await StoreAsync(own, Foreign);
        (await _limited.GetAsync("DocumentReference/" + document)).Is(HttpStatusCode.OK);
        (await _limited.GetAsync("Binary/" + content)).Is(HttpStatusCode.OK);
    }

    private async Task<(string Document, string Content)> StoreAsync(Caller caller, string? setting)
    {
        var content = await caller.StoreAsync(Binary());
        return (await caller.StoreAsync(Document(caller, content, setting)), content);
    }

    private static JsonObject Document(Caller caller, string content, string? setting)
    {
        var document = new JsonObject
        {
            ["resourceType"] = "DocumentReference", ["status"] = "current",
            ["subject"] = Some.To("Patient/" + caller.PatientId),
            ["content"] = new JsonArray(new JsonObject { ["attachment"] = new JsonObject { ["contentType"] = "text/plain", ["url"] = "Binary/" + content } }),
        };
        if (setting is not null)
            document["context"] = new JsonObject { ["practiceSetting"] = new JsonObject { ["coding"] = new JsonArray(setting.Split('|') is [var system, var code]
                ? new JsonObject { ["system"] = system, ["code"] = code } : new JsonObject { ["system"] = "http://snomed.info/sct", ["code"] = setting }) } };
        return document;
    }

    private JsonObject Binary() => new()
    {
        ["resourceType"] = "Binary", ["contentType"] = "text/plain", ["securityContext"] = Some.To("Patient/" + _aurora.PatientId), ["data"] = "S3VudG91dHVz",
    };
}
