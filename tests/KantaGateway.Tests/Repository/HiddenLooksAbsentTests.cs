using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Law 4: the answers of a reader for whom something is hidden are those of a reader for whom it never was.</summary>
public sealed partial class HiddenLooksAbsentTests : IAsyncLifetime
{
    private const string Event = "1.2.246.10.11111111.14.1", OtherEvent = "1.2.246.10.11111111.14.2";

    private RepositoryWorld _world = null!;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync();

    public async Task DisposeAsync() => await _world.DisposeAsync();

    /// <summary>
    /// Two people with the same visible record; one has hidden entries before, between, around and after it.
    /// </summary>
    private async Task<(Caller Hidden, Caller Absent, string[] HiddenIds)> TwinsAsync()
    {
        var callers = new List<Caller>();
        var hiddenIds = new List<string>();
        foreach (var withHidden in new[] { true, false })
        {
            var person = await _world.NewPersonAsync();
            var aurora = _world.As(person, RepositoryWorld.Aurora);
            if (withHidden)
            {
                await _world.AsPerson(person).StoreAsync(Some.Consent(aurora.PatientId));
                hiddenIds.Add("Encounter/" + await aurora.StoreAsync(Some.Encounter(aurora.PatientId, Event)));
                for (var i = 0; i < 12; i++)
                    hiddenIds.Add("Observation/" + await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: hiddenIds[0].Split('/')[1])));
            }
            await aurora.StoreAsync(Some.Patient());
            var visible = await aurora.StoreAsync(Some.Encounter(aurora.PatientId, OtherEvent));
            for (var i = 0; i < 5; i++)
            {
                await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: visible));
                if (withHidden)
                    await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: hiddenIds[0].Split('/')[1]));
            }
            if (withHidden)
            {
                // A hidden one that has also been deleted, and one with a history.
                var gone = await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: hiddenIds[0].Split('/')[1]));
                hiddenIds.Add("Observation/" + gone);
                await aurora.DeleteAsync("Observation/" + gone);
            }
            callers.Add(_world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed, Event));
        }
        return (callers[0], callers[1], [.. hiddenIds]);
    }

    [Theory]
    [InlineData("Observation")]
    [InlineData("Observation?code=8867-4&_count=2")]
    [InlineData("Observation?_summary=count")]
    [InlineData("Encounter?status=in-progress")]
    [InlineData("Encounter?identifier=urn:ietf:rfc:3986|urn:oid:1.2.246.10.11111111.14.1")]
    [InlineData("Consent")]
    [InlineData("Patient")]
    [InlineData("Medication")]
    [InlineData("Observation?nonsense=1")]
    public async Task Searches_answer_the_same(string target)
    {
        var (hidden, absent, _) = await TwinsAsync();
        await AssertSameAsync(hidden, absent, c => c.GetAsync(target));
    }

    [Fact]
    public async Task Every_page_is_the_same_to_the_end()
    {
        var (hidden, absent, _) = await TwinsAsync();
        var targets = ("Observation?_count=2", "Observation?_count=2");
        var pages = 0;
        while (targets.Item1 is not null)
        {
            var (one, other) = (await hidden.GetAsync(targets.Item1), await absent.GetAsync(targets.Item2));
            Assert.Equal(Shape(one), Shape(other));
            targets = (one.Link("next")!, other.Link("next")!);
            pages++;
        }
        Assert.Equal(3, pages);
    }

    [Fact]
    public async Task Hidden_ids_answer_as_ids_that_nobody_has()
    {
        var (hidden, _, ids) = await TwinsAsync();
        foreach (var id in ids)
        {
            var type = id.Split('/')[0];
            var nobody = $"{type}/{Guid.NewGuid()}";
            foreach (var (hiddenTarget, absentTarget) in new[] { (id, nobody), (id + "/_history", nobody + "/_history") })
                AssertSame(await hidden.GetAsync(hiddenTarget), await hidden.GetAsync(absentTarget), HttpStatusCode.NotFound);
            AssertSame(await hidden.DeleteAsync(id), await hidden.DeleteAsync(nobody), HttpStatusCode.NotFound);
            foreach (var ifMatch in new[] { null, "W/\"00000000-0000-4000-8000-000000000000\"" })
            {
                var resource = type == "Encounter" ? Some.Encounter(hidden.PatientId) : Some.Observation(hidden.PatientId);
                resource["id"] = id.Split('/')[1];
                var other = resource.DeepClone();
                other["id"] = nobody.Split('/')[1];
                AssertSame(await hidden.UpdateAsync(resource, ifMatch), await hidden.UpdateAsync(other, ifMatch),
                    ifMatch is null ? HttpStatusCode.PreconditionRequired : HttpStatusCode.MethodNotAllowed);
            }
            foreach (var patch in new JsonNode[] { Some.Patch("test", "/status", "final"), Some.Patch("remove", "/nothing"), Some.PathPatch($"{type}.status", "valueCode", "final") })
                AssertSame(await hidden.PatchAsync(id, patch), await hidden.PatchAsync(nobody, patch), HttpStatusCode.NotFound);
            AssertSame(await hidden.PatchAsync(id, Some.Patch("remove", "/note"), ("If-Match", "W/\"1\"")),
                await hidden.PatchAsync(nobody, Some.Patch("remove", "/note"), ("If-Match", "W/\"1\"")), HttpStatusCode.NotFound);
            var search = await hidden.SearchAsync(type, "_id=" + id.Split('/')[1]);
            Assert.Equal(Shape(await hidden.SearchAsync(type, "_id=" + nobody.Split('/')[1])), Shape(search));
        }
    }

    [Theory]
    [InlineData("identifier=urn:ietf:rfc:3986|urn:oid:" + Event)]
    [InlineData("status=in-progress&identifier=" + Event)]
    public async Task Criteria_that_fit_hidden_entries_only_find_nothing(string criteria)
    {
        var (hidden, absent, _) = await TwinsAsync();
        await AssertSameAsync(hidden, absent, c => c.PatchAsync("Encounter?" + criteria, Some.Patch("replace", "/status", "finished")));
        await AssertSameAsync(hidden, absent, c => c.DeleteAsync("Encounter?" + criteria));
        await AssertSameAsync(hidden, absent, c => c.DeleteAsync("Encounter?" + criteria, ("If-Match", "W/\"1\"")));
        await AssertSameAsync(hidden, absent, c => c.UpdateByAsync(criteria, Some.Encounter(c.PatientId), ("If-Match", "W/\"1\"")));
        await AssertSameAsync(hidden, absent, c => c.TransactAsync(Some.Transaction(("DELETE", "Encounter?" + criteria, null, null))));
        // Last, for these do store one: it is made as if there were none.
        await AssertSameAsync(hidden, absent, c => c.CreateAsync(Some.Encounter(c.PatientId), ("If-None-Exist", criteria)));
        await AssertSameAsync(hidden, absent, c => c.UpdateByAsync(criteria, Some.Encounter(c.PatientId), ("If-None-Match", "*")));
    }

    [Fact]
    public async Task References_to_hidden_entries_are_refused_like_references_to_nothing()
    {
        var (hidden, _, ids) = await TwinsAsync();
        AssertSame(await hidden.CreateAsync(Some.Observation(hidden.PatientId, encounterId: ids[0].Split('/')[1])),
            await hidden.CreateAsync(Some.Observation(hidden.PatientId, encounterId: Guid.NewGuid().ToString())), HttpStatusCode.UnprocessableEntity);
    }

    [Fact]
    public async Task Versions_under_a_denied_event_are_absent_from_a_history()
    {
        var person = await _world.NewPersonAsync();
        var aurora = _world.As(person, RepositoryWorld.Aurora);
        await aurora.StoreAsync(Some.Patient());
        var denied = await aurora.StoreAsync(Some.Encounter(aurora.PatientId, Event));
        var open = await aurora.StoreAsync(Some.Encounter(aurora.PatientId, OtherEvent));
        var first = Some.Observation(aurora.PatientId);
        first["derivedFrom"] = new JsonArray(Some.To("Observation/" + await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: denied))));
        var created = await aurora.CreateAsync(first);
        var moved = created.Json;
        moved["derivedFrom"] = new JsonArray(Some.To("Observation/" + await aurora.StoreAsync(Some.Observation(aurora.PatientId, encounterId: open))));
        (await aurora.UpdateAsync(moved, created.ETag)).Is(HttpStatusCode.OK);
        var id = "Observation/" + (string)moved["id"]!;

        var reader = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed, Event);
        var history = (await reader.GetAsync(id + "/_history")).Is(HttpStatusCode.OK).Json;
        Assert.Equal("POST", (string)Assert.Single(history["entry"]!.AsArray())!["request"]!["method"]!);
        Assert.Equal(1, (int)history["total"]!);
        AssertSame(await reader.GetAsync($"{id}/_history/{(string)created.Json["meta"]!["versionId"]!}"),
            await reader.GetAsync($"{id}/_history/{Guid.NewGuid()}"), HttpStatusCode.NotFound);

        // And the other way: while the newest version is hidden, the visible older one is hidden with it.
        var reversed = _world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed, OtherEvent);
        (await reversed.GetAsync(id + "/_history")).Is(HttpStatusCode.NotFound);
        (await reversed.GetAsync($"{id}/_history/{(string)created.Json["meta"]!["versionId"]!}")).Is(HttpStatusCode.NotFound);
    }

    [Fact]
    public async Task A_record_that_is_all_hidden_answers_like_a_person_nobody_knows()
    {
        var person = await _world.NewPersonAsync();
        var aurora = _world.As(person, RepositoryWorld.Aurora);
        await aurora.StoreAsync(Some.Patient());
        await aurora.StoreAsync(Some.Observation(aurora.PatientId));
        var known = _world.As(person, RepositoryWorld.Revontuli);
        var unknown = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Revontuli);
        await AssertSameAsync(known, unknown, c => c.GetAsync("Observation"));
        await AssertSameAsync(known, unknown, c => c.GetAsync("Patient/" + c.PatientId));
        await AssertSameAsync(known, unknown, c => c.GetAsync($"Patient/{c.PatientId}/_history"));
        await AssertSameAsync(known, unknown, c => c.SearchAsync("Patient", "identifier=urn:oid:1.2.246.21|" + RepositoryWorld.Code));
        // Registering the person answers the same too.
        await AssertSameAsync(known, unknown, c => c.CreateAsync(Some.Patient()));
    }

    [Fact]
    public async Task A_page_link_opens_for_its_caller_only_and_under_the_decision_of_the_moment()
    {
        var (hidden, _, _) = await TwinsAsync();
        var link = (await hidden.GetAsync("Observation?_count=2")).Link("next")!;
        (await _world.As(hidden.Grant.Compartment, RepositoryWorld.Aurora).GetAsync(link)).Is(HttpStatusCode.BadRequest);
        (await _world.As(await _world.NewPersonAsync(), RepositoryWorld.Revontuli).GetAsync(link)).Is(HttpStatusCode.BadRequest);
        (await hidden.GetAsync(link.Replace("Observation?", "Encounter?", StringComparison.Ordinal))).Is(HttpStatusCode.BadRequest);
        // Denied since: the rest of the pages is gone.
        var denied = _world.As(hidden.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed, Event, OtherEvent);
        Assert.Equal(0, (int)(await denied.GetAsync(link)).Is(HttpStatusCode.OK).Json["total"]!);
    }

    [Fact]
    public async Task However_much_is_denied_what_is_left_is_still_answered()
    {
        var (hidden, absent, _) = await TwinsAsync();
        // A denial of every visit in years of therapy: each is named in the grant, which repository and key service must both take.
        var denied = _world.As(hidden.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed,
            [Event, .. Enumerable.Range(0, 3_000).Select(i => "1.2.246.10.11111111.14.2026." + i.ToString(System.Globalization.CultureInfo.InvariantCulture))]);
        // What is open in memory was opened under another grant: the key must be asked for with this one.
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        await AssertSameAsync(denied, absent, c => c.GetAsync("Observation"));
        await AssertSameAsync(denied, absent, c => c.CreateAsync(Some.Observation(c.PatientId)));
    }

    [Fact]
    public async Task A_content_for_a_person_whom_others_know_is_answered_like_one_for_nobody()
    {
        var person = await _world.NewPersonAsync();
        await _world.As(person, RepositoryWorld.Aurora).StoreAsync(Some.Patient());
        foreach (var register in new[] { false, true })
        {
            var (known, unknown) = (_world.As(person, RepositoryWorld.Revontuli), _world.As(await _world.NewPersonAsync(), RepositoryWorld.Revontuli));
            foreach (var caller in register ? [known, unknown] : Array.Empty<Caller>())
                await caller.StoreAsync(Some.Patient());
            await AssertSameAsync(known, unknown, c => _world.SendAsync(c.Grant, null, "POST", "/fhir/Binary", "x", "image/png", ("X-Security-Context", "Patient/" + c.PatientId)));
        }
    }

    private static async Task AssertSameAsync(Caller hidden, Caller absent, Func<Caller, Task<Reply>> ask)
    {
        var (one, other) = (await ask(hidden), await ask(absent));
        Assert.Equal(Shape(other), Shape(one));
    }

    private static void AssertSame(Reply hidden, Reply absent, HttpStatusCode status)
    {
        Assert.Equal(Encoding.UTF8.GetString(absent.Is(status).Body), hidden.Text);
        Assert.Equal(Shape(absent), Shape(hidden));
    }

    /// <summary>
    /// Everything of an answer but what differs between any two: times (of which the last zeros of the millisecond are not
    /// written, so the length too), and ids, seals and digests, kept in their length.
    /// </summary>
    private static string Shape(Reply reply) => Mask().Replace(
        $"{(int)reply.Status}\n{string.Join("\n", reply.Headers.Where(h => h.Key is not ("Date" or "Content-Length")).OrderBy(h => h.Key).Select(h => $"{h.Key}: {h.Value}"))}\n\n{reply.Text}",
        m => m.Value.StartsWith('"') || m.Value.EndsWith(" GMT", StringComparison.Ordinal) ? "time" : new string('x', m.Length));

    [GeneratedRegex("""[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[A-Za-z0-9_-]{40,}|"\d{4}-\d\d-\d\dT[^"]*"|\w{3}, [^\n]* GMT""")]
    private static partial Regex Mask();
}
