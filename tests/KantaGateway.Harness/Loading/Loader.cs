using System.Collections.Concurrent;
using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Loading;

/// <summary>What became of one resource.</summary>
/// <param name="Stored">Type and id under which it is stored, null when refused.</param>
/// <param name="Differences">What reads back otherwise than it was sent; empty when equal or not checked.</param>
public sealed record LoadedEntry(SourceEntry Entry, (string Type, string Id)? Stored, IReadOnlyList<string> Differences);

/// <summary>What became of one request.</summary>
/// <param name="Issues">Of the OperationOutcome, when it was refused.</param>
public sealed record LoadedUnit(LoadUnit Unit, int Status, IReadOnlyList<ReplyIssue> Issues, IReadOnlyList<LoadedEntry> Entries)
{
    public bool IsStored => Status is >= 200 and < 300;
}

/// <summary>The whole load.</summary>
public sealed record LoadReport(IReadOnlyList<LoadedUnit> Units, IReadOnlyList<UnreadableSource> Unreadable, TimeSpan Duration)
{
    public IEnumerable<LoadedEntry> Stored => Units.Where(u => u.IsStored).SelectMany(u => u.Entries);
    public IEnumerable<LoadedUnit> Refused => Units.Where(u => !u.IsStored);
    public IEnumerable<LoadedEntry> Different => Units.SelectMany(u => u.Entries).Where(e => e.Differences.Count > 0);
}

/// <summary>Sends a plan to a gateway as one clinic's system.</summary>
/// <param name="parallel">Requests at a time.</param>
public sealed class Loader(FhirSession session, int parallel = 4)
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Source key -> "Type/id" as stored.
    private readonly ConcurrentDictionary<string, string> _stored = new();

    /// <param name="check">Read everything back and compare.</param>
    /// <param name="progress">Told of every resource done.</param>
    public async Task<LoadReport> LoadAsync(LoadPlan plan, bool check = false, IProgress<SourceEntry>? progress = null, CancellationToken cancel = default)
    {
        var watch = Stopwatch.StartNew();
        var done = new ConcurrentBag<LoadedUnit>();
        foreach (var level in plan.Levels)
            await Parallel.ForEachAsync(level, new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = cancel }, async (unit, token) =>
            {
                done.Add(unit.Atomic ? await SendTransactionAsync(unit, token).ConfigureAwait(false) : await SendSingleAsync(unit, token).ConfigureAwait(false));
                foreach (var entry in unit.Entries)
                    progress?.Report(entry);
            }).ConfigureAwait(false);
        var order = plan.Levels.SelectMany(l => l).Select((u, i) => (u, i)).ToDictionary(p => p.u, p => p.i);
        IReadOnlyList<LoadedUnit> units = [.. done.OrderBy(u => order[u.Unit])];
        if (check)
            units = await CheckAsync(units, cancel).ConfigureAwait(false);
        return new(units, plan.Unreadable, watch.Elapsed);
    }

    private async Task<LoadedUnit> SendSingleAsync(LoadUnit unit, CancellationToken cancel)
    {
        var entry = unit.Entries[0];
        var reply = await session.CreateAsync(entry.Type, Bytes(Prepared(entry, _stored.GetValueOrDefault)), entry.IfNoneExist, cancel).ConfigureAwait(false);
        if (!reply.IsSuccess || reply.Stored is not { } stored)
            return new(unit, reply.Status, reply.Issues, [new(entry, null, [])]);
        Remember(entry, stored);
        return new(unit, reply.Status, [], [new(entry, stored, [])]);
    }

    private async Task<LoadedUnit> SendTransactionAsync(LoadUnit unit, CancellationToken cancel)
    {
        var urls = unit.Entries.Select(UrlInBundle).ToList();
        var inside = new Dictionary<string, string>();
        foreach (var (entry, url) in unit.Entries.Zip(urls))
            foreach (var key in entry.Keys)
                inside.TryAdd(key, url);
        var entries = new JsonArray();
        foreach (var (entry, url) in unit.Entries.Zip(urls))
        {
            var request = new JsonObject { ["method"] = "POST", ["url"] = entry.Type };
            if (entry.IfNoneExist is { } condition)
                request["ifNoneExist"] = condition;
            entries.Add(new JsonObject
            {
                ["fullUrl"] = url,
                ["resource"] = Prepared(entry, key => inside.GetValueOrDefault(key) ?? _stored.GetValueOrDefault(key)),
                ["request"] = request,
            });
        }
        var bundle = new JsonObject { ["resourceType"] = "Bundle", ["type"] = "transaction", ["entry"] = entries };
        var reply = await session.BundleAsync(Bytes(bundle), cancel).ConfigureAwait(false);
        if (!reply.IsSuccess)
            return new(unit, reply.Status, reply.Issues, [.. unit.Entries.Select(e => new LoadedEntry(e, null, []))]);
        var answers = reply.Json.GetProperty("entry").EnumerateArray().ToList();
        var loaded = new List<LoadedEntry>();
        foreach (var (entry, answer) in unit.Entries.Zip(answers))
        {
            var stored = FhirReply.ParseLocation(answer.GetProperty("response").GetProperty("location").GetString() ?? "")
                ?? throw new InvalidDataException("A transaction answer names no location.");
            Remember(entry, stored);
            loaded.Add(new(entry, stored, []));
        }
        return loaded.Count == unit.Entries.Count
            ? new(unit, reply.Status, [], loaded)
            : throw new InvalidDataException($"A transaction of {unit.Entries.Count} entries was answered with {loaded.Count}.");
    }

    private async Task<IReadOnlyList<LoadedUnit>> CheckAsync(IReadOnlyList<LoadedUnit> units, CancellationToken cancel)
    {
        var differences = new ConcurrentDictionary<LoadedEntry, IReadOnlyList<string>>();
        await Parallel.ForEachAsync(units.Where(u => u.IsStored), new ParallelOptions { MaxDegreeOfParallelism = parallel, CancellationToken = cancel },
            async (unit, token) =>
            {
                // Inside a transaction its own entries come first: a shared companion was copied for each patient.
                var inside = unit.Entries.Where(e => e.Stored is not null)
                    .SelectMany(e => e.Entry.Keys.Select(k => (Key: k, Target: $"{e.Stored!.Value.Type}/{e.Stored.Value.Id}")))
                    .GroupBy(p => p.Key).ToDictionary(g => g.Key, g => g.First().Target);
                foreach (var entry in unit.Entries.Where(e => e.Stored is not null))
                    differences[entry] = await CheckAsync(entry, key => inside.GetValueOrDefault(key) ?? _stored.GetValueOrDefault(key), token).ConfigureAwait(false);
            }).ConfigureAwait(false);
        return [.. units.Select(u => u with { Entries = [.. u.Entries.Select(e => e with { Differences = differences.GetValueOrDefault(e) ?? [] })] })];
    }

    private async Task<IReadOnlyList<string>> CheckAsync(LoadedEntry entry, Func<string, string?> target, CancellationToken cancel)
    {
        var (type, id) = entry.Stored!.Value;
        var reply = await session.ReadAsync(type, id, cancel).ConfigureAwait(false);
        if (reply.Status != 200)
            return [$"{type} does not read back: {reply}"];
        var got = JsonNode.Parse(reply.Body)!.AsObject();
        if ((string?)got["id"] != id)
            return [$"{type}.id is not the one asked for"];
        return SemanticComparison.Differences(Prepared(entry.Entry, target), got);
    }

    private static JsonObject Prepared(SourceEntry entry, Func<string, string?> target)
    {
        var resource = entry.Resource.DeepClone().AsObject();
        resource.Remove("id"); // the server gives ids
        ReferenceText.Rewrite(resource, target);
        return resource;
    }

    private static string UrlInBundle(SourceEntry entry, int index) =>
        entry.FullUrl is { } url && url.StartsWith("urn:uuid:", StringComparison.Ordinal) ? url
        : $"urn:uuid:{new Guid(SHA256.HashData(Encoding.UTF8.GetBytes($"{entry.File}/{index}/{entry.Keys.FirstOrDefault()}")).AsSpan(0, 16))}";

    private void Remember(SourceEntry entry, (string Type, string Id) stored)
    {
        foreach (var key in entry.Keys)
            _stored[key] = $"{stored.Type}/{stored.Id}";
    }

    private static byte[] Bytes(JsonObject node) => JsonSerializer.SerializeToUtf8Bytes(node, Plain);
}
