using System.Net;
using KantaGateway.Fhir.Grants;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Repository;

public sealed class HistoriesTests : IAsyncLifetime
{
    private const string Denied = "1.2.246.10.22222222.14.1", Open = "1.2.246.10.22222222.14.2";

    private RepositoryWorld _world = null!;

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync(configure: b => b.Services.AddSingleton<TimeProvider>(new Ticking()));

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task A_patients_history_has_every_version_of_everything_newest_first_and_stands_in_the_manifest()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        var created = (await clinic.CreateAsync(Some.Observation(clinic.PatientId))).Is(HttpStatusCode.Created);
        var observation = created.Json.AsObject();
        (await clinic.UpdateAsync(observation, created.ETag)).Is(HttpStatusCode.OK);
        (await clinic.DeleteAsync($"Observation/{observation["id"]}")).Is(HttpStatusCode.NoContent);

        var history = (await clinic.GetAsync($"_history?patient={clinic.PatientId}")).Is(HttpStatusCode.OK);
        Assert.Equal("history", (string)history.Json["type"]!);
        Assert.Equal(["DELETE", "PUT", "POST", "POST"], Methods(history));
        Assert.Equal(4, (int)history.Json["total"]!);
        Assert.Equal(["Observation", "Observation", "Observation", "Patient"], history.Manifest!.Items.Select(i => i.Type));

        var ofType = (await clinic.GetAsync($"Patient/_history?patient={clinic.PatientId}")).Is(HttpStatusCode.OK);
        Assert.Equal(["POST"], Methods(ofType));
    }

    [Fact]
    public async Task Pages_show_the_moment_of_the_first_whatever_is_written_meanwhile()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var first = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var second = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var third = await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var page = (await clinic.GetAsync($"Observation/_history?patient={clinic.PatientId}&_count=2")).Is(HttpStatusCode.OK);
        Assert.Equal([third, second], page.Ids);
        await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        var next = (await clinic.GetAsync(Next(page))).Is(HttpStatusCode.OK);
        Assert.Equal([first], next.Ids);
        Assert.Equal(3, (int)next.Json["total"]!);
        Assert.Single(next.Json["link"]!.AsArray());
    }

    [Fact]
    public async Task Since_and_at_choose_by_when_a_version_was_the_newest()
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        var created = (await clinic.CreateAsync(Some.Observation(clinic.PatientId))).Is(HttpStatusCode.Created);
        // To the millisecond: written without its last zeros it would be a longer time.
        var began = DateTimeOffset.Parse((string)created.Json["meta"]!["lastUpdated"]!, System.Globalization.CultureInfo.InvariantCulture).UtcDateTime
            .ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture);
        var updated = (await clinic.UpdateAsync(created.Json.AsObject(), created.ETag)).Is(HttpStatusCode.OK);
        var changed = Uri.EscapeDataString((string)updated.Json["meta"]!["lastUpdated"]!);

        var target = $"Observation/_history?patient={clinic.PatientId}&";
        Assert.Equal(["PUT"], Methods((await clinic.GetAsync(target + "_since=" + changed)).Is(HttpStatusCode.OK)));
        Assert.Equal(["PUT", "POST"], Methods((await clinic.GetAsync(target + "_since=" + began)).Is(HttpStatusCode.OK)));
        Assert.Equal(["POST"], Methods((await clinic.GetAsync(target + "_at=" + began)).Is(HttpStatusCode.OK)));
        Assert.Equal(["PUT"], Methods((await clinic.GetAsync(target + "_at=2099")).Is(HttpStatusCode.OK)));
        var none = (await clinic.GetAsync(target + "_at=2001")).Is(HttpStatusCode.OK);
        Assert.Null(none.Json["entry"]);
    }

    [Theory]
    [InlineData("_sort=_lastUpdated")]
    [InlineData("_since=yesterday")]
    [InlineData("_at=1")]
    [InlineData("code=8867-4")]
    public async Task What_would_narrow_a_history_and_is_not_served_is_refused(string parameter)
    {
        var clinic = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        (await clinic.GetAsync($"_history?patient={clinic.PatientId}&{parameter}")).Is(HttpStatusCode.BadRequest);
    }

    [Theory]
    [InlineData("_history")]
    [InlineData("Observation/_history")]
    [InlineData("Patient/_history")]
    [InlineData("Encounter/_history")]
    public async Task What_is_hidden_leaves_no_trace_in_a_history(string target)
    {
        var (with, without) = (await RecordAsync(hides: true), await RecordAsync(hides: false));
        var (a, b) = (await PagesAsync(with, target), await PagesAsync(without, target));
        Assert.Equal(b, a);
    }

    /// <summary>What a professional of Aurora sees of a record of Revontuli in which a service event is denied, or was never written.</summary>
    private async Task<Caller> RecordAsync(bool hides)
    {
        var person = await _world.NewPersonAsync();
        var writer = _world.As(person, RepositoryWorld.Revontuli);
        await writer.StoreAsync(Some.Patient());
        if (hides)
        {
            var denied = await writer.StoreAsync(Some.Encounter(writer.PatientId, Denied));
            await writer.StoreAsync(Some.Observation(writer.PatientId, encounterId: denied, note: "Salaisuus"));
        }
        var visit = await writer.StoreAsync(Some.Encounter(writer.PatientId, Open));
        for (var i = 0; i < 3; i++)
        {
            var created = (await writer.CreateAsync(Some.Observation(writer.PatientId, encounterId: visit))).Is(HttpStatusCode.Created);
            var note = created.Json.AsObject();
            (await writer.UpdateAsync(note, created.ETag)).Is(HttpStatusCode.OK);
            if (!hides)
                continue;
            var hidden = await writer.StoreAsync(Some.Observation(writer.PatientId, encounterId: (await writer.SearchAsync("Encounter", "_count=1")).Ids[0], note: "Salaisuus"));
            (await writer.DeleteAsync("Observation/" + hidden)).Is(HttpStatusCode.NoContent);
        }
        return _world.As(person, RepositoryWorld.Aurora, Breadth.Disclosed, Denied);
    }

    /// <summary>All pages, with ids and times numbered in the order they come, and links by their length.</summary>
    internal static async Task<string[]> PagesAsync(Caller reader, string target, string? query = null)
    {
        var pages = new List<string>();
        var names = new Dictionary<string, string>();
        for (var next = target + (query ?? $"?patient={reader.PatientId}&_count=2"); next is not null;)
        {
            var page = (await reader.GetAsync(next)).Is(HttpStatusCode.OK);
            Assert.DoesNotContain("Salaisuus", page.Text);
            var link = page.Json["link"]!.AsArray().FirstOrDefault(l => (string)l!["relation"]! == "next");
            next = link is null ? null : ((string)link["url"]!)[(RepositoryWorld.Base.Length + 1)..];
            var text = page.Json.AsObject();
            foreach (var l in text["link"]!.AsArray())
                l!["url"] = ((string)l["url"]!).Length;
            pages.Add(System.Text.RegularExpressions.Regex.Replace(text.ToJsonString(), @"[0-9a-f]{8}-[0-9a-f-]{27}|20[0-9-]+T[0-9:.]+(Z|\\u002B00:00)",
                m => names.TryGetValue(m.Value, out var name) ? name : names[m.Value] = m.Value.Contains('T') ? "time" : $"id{names.Count(n => n.Value != "time")}"));
        }
        return [.. pages];
    }

    /// <summary>No two readings in one millisecond.</summary>
    private sealed class Ticking : TimeProvider
    {
        private long _readings;

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddMilliseconds(2 * Interlocked.Increment(ref _readings));
    }

    private static string[] Methods(Reply history) => [.. history.Json["entry"]!.AsArray().Select(e => (string)e!["request"]!["method"]!)];

    private static string Next(Reply page) =>
        ((string)page.Json["link"]!.AsArray().Single(l => (string)l!["relation"]! == "next")!["url"]!)[(RepositoryWorld.Base.Length + 1)..];
}
