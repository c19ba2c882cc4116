using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Tests.Repository;

/// <summary>Pages of a search show one moment, whatever others write, and what has been deleted or hidden since is gone.</summary>
public sealed class SearchPageTests : IAsyncLifetime
{
    private const string Event = "1.2.246.10.11111111.14.1";

    private RepositoryWorld _world = null!;
    private Caller _clinic = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await _clinic.StoreAsync(Some.Patient());
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    /// <summary>Stores observations with codes that repeat, in one commit.</summary>
    private async Task<List<string>> StoreAsync(int count, string? encounterId = null)
    {
        var entries = Enumerable.Range(0, count).Select(i => ("POST", "Observation", (JsonObject?)Some.Observation(_clinic.PatientId, $"8867-{i % 3}", encounterId), (string?)null));
        var reply = (await _clinic.TransactAsync(Some.Transaction([.. entries]))).Is(HttpStatusCode.OK);
        return [.. reply.Manifest!.Items.Select(i => i.Id)];
    }

    private static string? LinkOf(Reply reply, string relation) =>
        ((string?)reply.Json["link"]!.AsArray().SingleOrDefault(l => (string)l!["relation"]! == relation)?["url"])?[(RepositoryWorld.Base.Length + 1)..];

    /// <summary>All pages from a first one on, by their next links.</summary>
    private static async Task<List<Reply>> PagesAsync(Caller caller, string target, Func<Task>? between = null)
    {
        var pages = new List<Reply>();
        for (var next = target; next is not null; next = LinkOf(pages[^1], "next"))
        {
            if (pages.Count > 0 && between is not null)
                await between();
            pages.Add((await caller.GetAsync(next)).Is(HttpStatusCode.OK));
        }
        return pages;
    }

    [Theory]
    [InlineData("_sort=code")]
    [InlineData("_sort=-code")]
    [InlineData("_sort=-_lastUpdated")]
    [InlineData("_sort=code,-_lastUpdated")]
    [InlineData("_total=none")]
    [InlineData("_total=accurate")]
    [InlineData("_total=estimate")]
    [InlineData("code=8867-1,8867-2")]
    public async Task Every_match_is_on_one_page_in_one_order_and_previous_links_lead_back(string query)
    {
        await StoreAsync(23);
        var whole = (await _clinic.GetAsync("Observation?" + query)).Is(HttpStatusCode.OK).Ids;
        Assert.True(whole.Length > 10);
        var pages = await PagesAsync(_clinic, $"Observation?{query}&_count=4");
        Assert.Equal(whole, pages.SelectMany(p => p.Ids));
        Assert.Equal((whole.Length + 3) / 4, pages.Count);
        Assert.All(pages, p => Assert.Equal(query.Contains("none", StringComparison.Ordinal) ? null : whole.Length, (int?)p.Json["total"]));
        Assert.Null(LinkOf(pages[0], "previous"));

        for (var (page, i) = (pages[^1], pages.Count - 1); i > 0; i--)
        {
            page = (await _clinic.GetAsync(LinkOf(page, "previous")!)).Is(HttpStatusCode.OK);
            Assert.Equal(pages[i - 1].Ids, page.Ids);
            Assert.Equal(pages[i].Ids, (await _clinic.GetAsync(LinkOf(page, "next")!)).Ids);
        }
        Assert.Equal(pages[0].Ids, (await _clinic.GetAsync(LinkOf(pages[^1], "first")!)).Ids);
    }

    [Theory]
    [InlineData("_sort=-code", 23)]
    [InlineData("", 20)]
    public async Task The_last_link_leads_to_the_page_that_going_forward_ends_with(string query, int count)
    {
        await StoreAsync(count);
        var pages = await PagesAsync(_clinic, $"Observation?{query}&_count=4");
        foreach (var page in pages)
        {
            var last = (await _clinic.GetAsync(LinkOf(page, "last")!)).Is(HttpStatusCode.OK);
            Assert.Equal(pages[^1].Ids, last.Ids);
            Assert.Null(LinkOf(last, "next"));
            Assert.Equal(pages[^2].Ids, (await _clinic.GetAsync(LinkOf(last, "previous")!)).Ids);
        }
        // Sealed for its caller, like the others.
        var other = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.WholePerson);
        (await other.GetAsync(LinkOf(pages[0], "last")!)).Is(HttpStatusCode.BadRequest);
        // Where nobody counts, or where there is one page, there is none.
        Assert.Null(LinkOf(await _clinic.GetAsync("Observation?_count=4&_total=none"), "last"));
        Assert.Null(LinkOf(await _clinic.GetAsync("Observation?_count=200"), "last"));
    }

    [Fact]
    public async Task The_last_page_is_that_of_the_moment_of_the_first()
    {
        var stored = await StoreAsync(7);
        var first = (await _clinic.GetAsync("Observation?_count=3")).Is(HttpStatusCode.OK);
        await StoreAsync(5);
        await _clinic.DeleteAsync("Observation/" + stored[5]);
        Assert.Equal([stored[3], stored[4], stored[6]], (await _clinic.GetAsync(LinkOf(first, "last")!)).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task Equal_keys_stay_in_the_order_of_creation_both_ways()
    {
        var stored = await StoreAsync(9);
        int[] upwards = [0, 3, 6, 1, 4, 7, 2, 5, 8], downwards = [2, 5, 8, 1, 4, 7, 0, 3, 6];
        Assert.Equal(upwards.Select(i => stored[i]), (await _clinic.GetAsync("Observation?_sort=code")).Ids);
        Assert.Equal(downwards.Select(i => stored[i]), (await _clinic.GetAsync("Observation?_sort=-code")).Ids);
    }

    [Theory]
    [InlineData("_count=3")]
    [InlineData("_count=3&_sort=-_lastUpdated")]
    [InlineData("_count=3&_sort=code&_total=none")]
    public async Task While_others_write_pages_hold_what_was_there_at_the_first_once_each(string query)
    {
        var start = await StoreAsync(40);
        var deleted = new HashSet<string>();
        using var stop = new CancellationTokenSource();
        var firstIsRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var writers = Enumerable.Range(0, 2).Select(writer => Task.Run(async () =>
        {
            // What is written before the first page is on it.
            await firstIsRead.Task;
            // Each has its own resources: one to change and to delete, the rest stays.
            for (var i = writer; !stop.IsCancellationRequested; i += 2)
            {
                await _clinic.StoreAsync(Some.Observation(_clinic.PatientId, "8867-1"));
                if (i >= 30)
                    continue;
                var current = (await _clinic.GetAsync("Observation/" + start[i])).Is(HttpStatusCode.OK);
                var changed = current.Json;
                changed["note"] = new JsonArray(new JsonObject { ["text"] = "Muutettu" });
                (await _clinic.UpdateAsync(changed, current.ETag)).Is(HttpStatusCode.OK);
                if (i % 3 == 0)
                {
                    await _clinic.DeleteAsync("Observation/" + start[i]);
                    lock (deleted)
                        deleted.Add(start[i]);
                }
            }
        })).ToList();
        var goneBefore = new List<(HashSet<string> Gone, int Page)>();
        var page = 0;
        var pages = await PagesAsync(_clinic, "Observation?" + query, () =>
        {
            lock (deleted)
                goneBefore.Add((deleted.ToHashSet(), ++page));
            firstIsRead.TrySetResult();
            return Task.CompletedTask;
        });
        await stop.CancelAsync();
        await Task.WhenAll(writers);

        var shown = pages.SelectMany(p => p.Ids).ToList();
        Assert.Equal(shown.Count, shown.Distinct().Count());
        Assert.Empty(shown.Except(start));
        Assert.Empty(start.Except(deleted).Except(shown));
        foreach (var (gone, at) in goneBefore)
            Assert.Empty(pages[at].Ids.Intersect(gone));
    }

    [Fact]
    public async Task A_page_shows_the_version_of_the_first_pages_moment_and_a_deleted_one_no_more()
    {
        var stored = await StoreAsync(6);
        var first = await _clinic.GetAsync("Observation?_count=2");
        var current = await _clinic.GetAsync("Observation/" + stored[2]);
        var changed = current.Json;
        changed["code"]!["coding"]![0]!["code"] = "changed";
        (await _clinic.UpdateAsync(changed, current.ETag)).Is(HttpStatusCode.OK);
        (await _clinic.DeleteAsync("Observation/" + stored[3])).Is(HttpStatusCode.NoContent);
        (await _clinic.DeleteAsync("Observation/" + stored[1])).Is(HttpStatusCode.NoContent);

        var second = (await _clinic.GetAsync(LinkOf(first, "next")!)).Is(HttpStatusCode.OK);
        Assert.Equal([stored[2], stored[4]], second.Ids);
        Assert.Equal((string)current.Json["meta"]!["versionId"]!, (string)second.Json["entry"]![0]!["resource"]!["meta"]!["versionId"]!);
        Assert.Equal(second.Manifest!.Items.Select(i => i.VersionId), second.Json["entry"]!.AsArray().Select(e => (string)e!["resource"]!["meta"]!["versionId"]!));
        Assert.Equal(4, (int)second.Json["total"]!);
    }

    [Fact]
    public async Task What_has_been_denied_since_the_first_page_is_on_no_later_one()
    {
        var open = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, "1.2.246.10.11111111.14.2"));
        var visit = await _clinic.StoreAsync(Some.Encounter(_clinic.PatientId, Event));
        var before = await StoreAsync(3, open);
        await StoreAsync(3, visit);
        var after = await StoreAsync(3, open);
        var reader = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed);
        var denied = _world.As(_clinic.Grant.Compartment, RepositoryWorld.Revontuli, Breadth.Disclosed, Event);
        // The link stands behind a match that is denied now.
        var first = (await reader.GetAsync("Observation?_count=4")).Is(HttpStatusCode.OK);
        var rest = (await denied.GetAsync(LinkOf(first, "next")!)).Is(HttpStatusCode.OK);
        Assert.Equal(after, rest.Ids);
        Assert.Equal(6, (int)rest.Json["total"]!);
        Assert.Equal(before, (await denied.GetAsync(LinkOf(rest, "previous")!)).Ids);
    }

    [Fact]
    public async Task A_repository_that_is_behind_the_link_catches_up_first()
    {
        await _clinic.StoreAsync(Some.Observation(_clinic.PatientId));
        await _world.StartRepositoryAsync();
        var other = _clinic with { Node = 1 };
        Assert.Single((await other.GetAsync("Observation")).Ids);
        var stored = await StoreAsync(5);
        var first = await _clinic.GetAsync("Observation?_count=3");
        Assert.Equal(stored[2..], (await other.GetAsync(LinkOf(first, "next")!)).Is(HttpStatusCode.OK).Ids);
    }

    [Fact]
    public async Task A_posted_search_goes_on_by_get_and_one_too_long_for_a_link_says_so()
    {
        await StoreAsync(5);
        var form = $"patient={_clinic.PatientId}&_count=2&code=" + string.Join(',', Enumerable.Range(0, 400).Select(i => $"8867-{i}"));
        var first = (await _clinic.SearchAsync("Observation", form)).Is(HttpStatusCode.OK);
        Assert.InRange(LinkOf(first, "next")!.Length, 3_000, 8_000);
        Assert.Equal(2, (await _clinic.GetAsync(LinkOf(first, "next")!)).Is(HttpStatusCode.OK).Ids.Length);

        var longer = form.Replace("8867-", "http://loinc.org|8867-", StringComparison.Ordinal);
        var refused = (await _clinic.SearchAsync("Observation", longer)).Is(HttpStatusCode.RequestEntityTooLarge);
        Assert.Contains("_count", refused.Text, StringComparison.Ordinal);
        Assert.Equal(5, (await _clinic.SearchAsync("Observation", longer.Replace("_count=2", "_count=50", StringComparison.Ordinal))).Is(HttpStatusCode.OK).Ids.Length);
    }

    [Fact]
    public async Task A_lenient_search_says_what_it_left_out_on_every_page_and_a_strict_one_refuses()
    {
        await StoreAsync(3);
        (await _clinic.GetAsync("Observation?nonsense=1&code=8867-0,8867-1")).Is(HttpStatusCode.BadRequest);
        var first = (await LenientAsync("Observation?nonsense=1&code=8867-0,8867-1&_count=1")).Is(HttpStatusCode.OK);
        Assert.Equal("Observation?code=8867-0,8867-1&_count=1", LinkOf(first, "self"));
        foreach (var page in new[] { first, (await _clinic.GetAsync(LinkOf(first, "next")!)).Is(HttpStatusCode.OK) })
        {
            var outcome = Assert.Single(page.Json["entry"]!.AsArray(), e => (string)e!["search"]!["mode"]! == "outcome")!["resource"]!;
            Assert.Equal(("warning", "Observation?nonsense"), ((string)outcome["issue"]![0]!["severity"]!, (string)outcome["issue"]![0]!["expression"]![0]!));
            Assert.Single(page.Manifest!.Items);
            Assert.Equal(2, (int)page.Json["total"]!);
        }
        // What is wrong is wrong leniently too.
        (await LenientAsync("Observation?_lastUpdated=yesterday")).Is(HttpStatusCode.BadRequest);

        Task<Reply> LenientAsync(string target) => _world.SendAsync(_clinic.Grant, null, "GET", "/fhir/" + target, headers: ("Prefer", "handling=lenient"));
    }

    [Fact]
    public async Task A_count_has_a_total_and_no_entries()
    {
        await StoreAsync(3);
        foreach (var query in new[] { "_summary=count", "_count=0", "_summary=count&_total=none" })
        {
            var reply = (await _clinic.GetAsync("Observation?" + query)).Is(HttpStatusCode.OK);
            Assert.Equal((3, null, 0), ((int)reply.Json["total"]!, reply.Json["entry"], reply.Manifest!.Items.Count));
            Assert.Null(LinkOf(reply, "next"));
        }
    }
}
