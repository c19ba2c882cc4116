using System.Net;
using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Grants;
using KantaGateway.Tests.Laws.Matrix;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Repository;

/// <summary>
/// Law 4 of searches, as a property over random records and queries: over a record with a hidden part every page, forwards
/// and backwards, is what it is over a record where that part was never written, ids and times apart.
/// </summary>
public sealed partial class SearchLooksAbsentTests(ITestOutputHelper output)
{
    private const int Records = 5, SearchesOfEach = 150;

    [Fact]
    public async Task Every_page_of_every_search_is_the_same_forwards_and_backwards()
    {
        await using var world = await RepositoryWorld.StartAsync();
        var (pages, matches) = (0, 0);
        for (var number = 1000; number < 1000 + Records; number++)
        {
            var plan = new RecordPlan(number);
            var (hidden, absent) = (await Record.WriteAsync(world, plan, withHidden: true), await Record.WriteAsync(world, plan, withHidden: false));
            var roads = new Roads(plan, number);
            for (var i = 0; i < SearchesOfEach;)
            {
                if (roads.Next() is not { Kind: "search" } road)
                    continue;
                i++;
                var lenient = road.Headers.Length > 0 || i % 2 == 0;
                var target = road.Target.Contains("_count", StringComparison.Ordinal) ? road.Target : $"{road.Target}&_count={1 + i % 4}";
                var (one, other) = (await hidden.SearchAsync(target, lenient), await absent.SearchAsync(target, lenient));
                Assert.True(one.SequenceEqual(other), $"Record {number}, {target}\n--- hidden\n{string.Join("\n", one.Except(other))}\n--- never written\n{string.Join("\n", other.Except(one))}");
                (pages, matches) = (pages + one.Count, matches + one.Count(p => p.Contains("\"match\"", StringComparison.Ordinal)));
            }
        }
        output.WriteLine($"{Records * SearchesOfEach} searches, {pages} pages, {matches} with matches");
        Assert.InRange(matches, Records * SearchesOfEach / 3, int.MaxValue);
    }

    /// <summary>One person's record as a plan has it, and its reader.</summary>
    private sealed partial class Record(Caller reader)
    {
        private readonly Dictionary<string, string> _ids = new(StringComparer.Ordinal) { ["patient"] = reader.PatientId };

        public static async Task<Record> WriteAsync(RepositoryWorld world, RecordPlan plan, bool withHidden)
        {
            var person = await world.NewPersonAsync();
            var (other, own) = (world.As(person, RepositoryWorld.Aurora), world.As(person, RepositoryWorld.Revontuli));
            var record = new Record(world.As(person, RepositoryWorld.Revontuli, Breadth.Disclosed, RecordPlan.DeniedEvent));
            await other.StoreAsync(Some.Patient());
            foreach (var group in plan.Resources.Where(r => withHidden || !r.IsHidden).GroupBy(r => r.With ?? r.Label))
            {
                var entries = group.Select(r => ("POST", r.Type, (JsonObject?)JsonNode.Parse(
                    group.Aggregate(r.Body.ToJsonString(), (body, g) => body.Replace($"{g.Type}/{{{g.Label}}}", UrnOf(g), StringComparison.Ordinal)) is var json ? record.WithIds(json) : "")!.AsObject(), (string?)UrnOf(r)));
                var reply = (await (group.First().ByReader ? own : other).TransactAsync(Some.Transaction([.. entries]))).Is(HttpStatusCode.OK);
                foreach (var (resource, item) in group.Zip(reply.Manifest!.Items))
                    record._ids[resource.Label] = item.Id;
            }
            // Where the hidden part never was, its ids are some that nobody has.
            foreach (var resource in plan.Resources)
                record._ids.TryAdd(resource.Label, world.Identifiers.ResourceId(person, 1_000_000 + record._ids.Count));
            foreach (var resource in plan.Resources.Where(r => r.IsDeleted && (withHidden || !r.IsHidden)))
                (await (resource.ByReader ? own : other).DeleteAsync($"{resource.Type}/{record._ids[resource.Label]}")).Is(HttpStatusCode.NoContent);
            return record;

            static string UrnOf(PlannedResource r) => "urn:uuid:00000000-0000-4000-8000-" + Convert.ToHexStringLower(Encoding.UTF8.GetBytes(r.Label.PadRight(6)[..6]));
        }

        /// <summary>All pages, then back from the last to the first.</summary>
        public async Task<List<string>> SearchAsync(string target, bool lenient)
        {
            var pages = new List<string>();
            var last = await FollowAsync(WithIds(target), "next");
            await FollowAsync(LinkOf(last!, "previous"), "previous");
            return pages;

            async Task<Reply?> FollowAsync(string? link, string relation)
            {
                Reply? reply = null;
                for (; link is not null; link = LinkOf(reply, relation))
                {
                    Assert.True(pages.Count < 500, "The pages do not end: " + target);
                    reply = await reader.World.SendAsync(reader.Grant, null, "GET", "/fhir/" + link, headers: lenient ? [("Prefer", "handling=lenient")] : []);
                    pages.Add(Describe(reply));
                }
                return reply;
            }
        }

        private string WithIds(string text) => Placeholder().Replace(text, m => _ids.TryGetValue(m.Groups[1].Value, out var id) ? id : Guid.Empty.ToString());

        private string Describe(Reply reply)
        {
            var text = $"{(int)reply.Status} {reply.Manifest?.Items.Count} {reply.Text}";
            foreach (var (label, id) in _ids)
                text = text.Replace(id, $"<{label}>", StringComparison.Ordinal);
            var versions = new Dictionary<string, int>();
            return Volatile().Replace(text, m => m.Value.StartsWith('"') ? "\"time\"" : m.Value.StartsWith("_page", StringComparison.Ordinal) ? $"_page={m.Length}"
                : $"<#{(versions.TryGetValue(m.Value, out var n) ? n : versions[m.Value] = versions.Count)}>");
        }

        private static string? LinkOf(Reply reply, string relation) => reply.Status != HttpStatusCode.OK ? null
            : ((string?)reply.Json["link"]?.AsArray().SingleOrDefault(l => (string)l!["relation"]! == relation)?["url"])?[(RepositoryWorld.Base.Length + 1)..];

        [GeneratedRegex(@"\{([a-z0-9]+)\}")]
        private static partial Regex Placeholder();

        [GeneratedRegex("""_page=[A-Za-z0-9_-]+|"20(2[6-9])-\d\d-\d\dT[^"]*"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}""")]
        private static partial Regex Volatile();
    }
}
