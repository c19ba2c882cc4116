using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Benchmarks;

/// <summary><c>scope</c>: how long it takes to say exactly whom a breach has reached, out of a day's entries, and whether it is exactly they.</summary>
static class ScopeCommand
{
    private const int Appenders = 4;

    public static Command Create()
    {
        var events = new Option<int>("--events") { Description = "Of one day, about all of 24 hours", DefaultValueFactory = _ => 10_000_000 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("scope.json") };
        var make = new Option<bool>("--make") { Description = "Only makes the events" };
        var place = new Place();
        var command = new Command("scope", "The scope of a breach, out of ten million events") { events, json, make, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var count = Math.Max(StagedDay.Fewest, parsed.GetValue(events));
            var folder = Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), string.Create(CultureInfo.InvariantCulture, $"scope-{count}"));
            var ports = new Ports(parsed.GetValue(place.Port));
            Directory.CreateDirectory(folder);
            var machine = Machine.Describe(folder);
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            await File.WriteAllTextAsync(Path.Combine(folder, "gateway.pem"), key.ExportSubjectPublicKeyInfoPem(), cancel);
            // Its reader key is in the folder, and opens what an earlier run has sealed.
            await using var service = await KeysCommand.ServeAsync(folder, ports);
            var keys = new KeyServiceClient(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{ports.Base}"), new GrantSigner(key, TimeProvider.System));
            var day = new StagedDay(count);
            await MakeAsync(folder, day, count, keys, cancel);
            if (parsed.GetValue(make))
                return 0;

            await using var log = await OpenAsync(folder, keys, TimeProvider.System);
            var scope = new BreachScope(log, keys, NullLogger<BreachScope>.Instance);
            var questions = QuestionsOf(day);
            Parallel.For(0, count, number =>
            {
                var one = day[number];
                foreach (var question in questions)
                    if (question.IsMeant(one))
                        question.Expect(one);
            });
            var (worst, recall, precision) = (0.0, 1.0, 1.0);
            var rows = new List<IReadOnlyList<string>>();
            foreach (var question in questions)
            {
                var one = await TakeAsync(log, scope, question, cancel);
                (worst, recall, precision) = (Math.Max(worst, one.Seconds), Math.Min(recall, one.Recall), Math.Min(precision, one.Precision));
                rows.Add([question.What, Measurement.Number(one.Seconds, "0.0"), Measurement.Number(one.Cpu / one.Read * 1e6, "0.00"), Measurement.Number(one.Read, "0"), Measurement.Number(one.Keys, "0"), Measurement.Number(one.Persons, "0"),
                    Measurement.Number(one.Items, "0"), Measurement.Number(one.Entries, "0"), Measurement.Number(one.Bytes / 1e6, "0.0"), Measurement.Number(one.WorkingSet / 1e6, "0"), Measurement.Number(one.Others, "0.00")]);
                Place.Say(string.Join(", ", rows[^1]));
            }
            if (recall < 1 || precision < 1)
                throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture, $"It is not exactly they (recall {recall}, precision {precision}), so these are no numbers."));
            return await new Report("scope", DateTimeOffset.UtcNow, $"dotnet run -c Release --project tests/KantaGateway.Benchmarks -- scope{(count == 10_000_000 ? "" : string.Create(CultureInfo.InvariantCulture, $" --events {count}"))}", machine,
                string.Create(CultureInfo.InvariantCulture, $"{count:N0} entries of one day about {StagedDay.People:N0} people, in files ({SizeOf(folder) / 1e9:0.0} GB); one in {StagedDay.Rarity:N0} is a thief's, who takes {StagedDay.Roads.Count} roads in turn. The key service is in the same process, over HTTP. From the question to the last byte of the answer, with a proof of each entry."),
                [
                    new("the scope of a breach", ["s", "CPU µs an entry", "entries read", "keys", "persons", "items", "proven entries", "answer MB", "working set MB", "other cores"], rows),
                    new("what the thief's address has taken, by road", ["entries", "items", "of them in the answer"], [.. questions.Single(static one => one.What == ByAddress).Roads.Select(static road => (string[])[road.Name, Measurement.Number(road.Entries, "0"), Measurement.Number(road.Items, "0"), Measurement.Number(road.Found, "0")])]),
                ],
                [new("seconds, the slowest", worst, 60, AtLeast: false), new("recall", recall, 1), new("precision", precision, 1)], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    private const string ByAddress = "an address";

    private static Question[] QuestionsOf(StagedDay day)
    {
        var whole = new ScopeCriteria { From = StagedDay.Begin, To = StagedDay.Begin.AddDays(1) };
        var (minutes, hour) = (day.Morning(TimeSpan.FromMinutes(5)), day.Morning(TimeSpan.FromHours(1)));
        return
        [
            new("a system, by its client id", whole with { Client = StagedDay.Thief }, static one => one.Client == StagedDay.Thief),
            new("a certificate", whole with { Certificate = StagedDay.CertificateHex }, static one => one.Certificate == StagedDay.Certificate),
            new("a professional", whole with { Professional = StagedDay.Professional }, static one => one.Professional == StagedDay.Professional),
            new(ByAddress, whole with { Address = StagedDay.Address }, static one => one.Address is StagedDay.Address or "::ffff:" + StagedDay.Address),
            new("a canary: everybody who touched one person", whole with { Patient = "Patient/" + StagedDay.IdOf(StagedDay.Canary, 0) }, static one => one.Person == StagedDay.Canary),
            new("a key budget: a system's professional", whole with { Requester = $"{StagedDay.Thief}|{StagedDay.Professional}" }, static one => one is { Client: StagedDay.Thief, Subscriber: null, Professional: StagedDay.Professional }),
            new("the system in one hour", whole with { Client = StagedDay.Thief, From = hour.From, To = hour.To }, one => one.Client == StagedDay.Thief && one.At >= hour.From && one.At <= hour.To),
            new("a time: everybody in five minutes", whole with { From = minutes.From, To = minutes.To }, one => one.At >= minutes.From && one.At <= minutes.To),
        ];
    }

    private readonly record struct Item(string Patient, string Type, string Id, string? Version, bool Written);

    /// <summary>What is asked, and what the day has of it.</summary>
    private sealed class Question(string what, ScopeCriteria criteria, Predicate<StagedAccess> isMeant)
    {
        private readonly Dictionary<string, RoadCount> _roads = StagedDay.Roads.ToDictionary(static road => road.Name, static road => new RoadCount(road.Name));
        private readonly Lock _expecting = new();

        public string What => what;

        public ScopeCriteria Criteria => criteria;

        /// <summary>Each item with the road by which it was taken.</summary>
        public Dictionary<Item, RoadCount> Expected { get; } = [];

        public int Entries { get; private set; }

        public int Refused { get; private set; }

        public int OfNobody { get; private set; }

        public IEnumerable<RoadCount> Roads => _roads.Values;

        public bool IsMeant(StagedAccess one) => isMeant(one);

        public void Expect(StagedAccess one)
        {
            lock (_expecting)
                if (one.Reaches)
                {
                    var road = _roads[one.Road.Name];
                    (Entries, road.Entries) = (Entries + 1, road.Entries + 1);
                    foreach (var item in one.Items)
                    {
                        road.Items++;
                        Expected.Add(new(StagedDay.IdOf(one.Person!.Value, 0), item.Type, item.Id, item.VersionId, one.Road.Writes), road);
                    }
                }
                else if (one.Outcome == StagedOutcome.Given)
                    OfNobody++;
                else if (one.Outcome != StagedOutcome.Permitted)
                    Refused++;
        }
    }

    private sealed class RoadCount(string name)
    {
        public string Name => name;

        public int Entries { get; set; }

        public int Items { get; set; }

        public int Found { get; set; }
    }

    private sealed record Taken(double Seconds, double Cpu, double Others, long Read, long Keys, int Persons, int Items, int Entries, double Recall, double Precision, long Bytes, long WorkingSet);

    private static async Task<Taken> TakeAsync(AuditLog log, BreachScope scope, Question question, CancellationToken cancel)
    {
        var criteria = question.Criteria;
        var reading = new AuditReading(Guid.NewGuid().ToString("N"), 1, criteria.From, criteria.To, "one", "another");
        var file = Path.GetTempFileName();
        try
        {
            var (before, begin) = (MachineTime.Now(), Stopwatch.GetTimestamp());
            var result = await scope.RunAsync(reading, criteria, cancel);
            await using (var body = File.Create(file))
                await OperatorScopes.WriteAsync(body, reading.Act, "1", criteria, result, cancel);
            var (seconds, after) = (Stopwatch.GetElapsedTime(begin).TotalSeconds, MachineTime.Now());
            var (own, workingSet) = ((after.Own - before.Own).TotalSeconds, Process.GetCurrentProcess().WorkingSet64);
            if (result.Findings.UnreadableCount > 0)
                throw new BenchmarkException("Entries could not be read, so these are no numbers.");
            var (persons, entries, found) = await CheckAsync(file, log.Verifier, question, cancel);
            var right = found.Count(item => question.Expected.ContainsKey(item));
            foreach (var item in found)
                if (question.Expected.TryGetValue(item, out var road))
                    road.Found++;
            return new(seconds, own, Math.Max(0, ((after.Busy - before.Busy).TotalSeconds - own) / seconds), result.Findings.Read, result.Findings.Keys, persons, found.Count, entries, (double)right / question.Expected.Count, (double)right / Math.Max(1, found.Count),
                new FileInfo(file).Length, workingSet);
        }
        finally
        {
            File.Delete(file);
        }
    }

    /// <summary>Reads the answer as who has nothing but the log's public key: each entry is what its leaf says, and leads to the root of the checkpoint.</summary>
    private static async Task<(int Persons, int Entries, HashSet<Item> Found)> CheckAsync(string file, NoteVerifier verifier, Question question, CancellationToken cancel)
    {
        var (persons, proven, isWhole, found, checkpoint) = (0, 0, false, new HashSet<Item>(), (Checkpoint?)null);
        await foreach (var text in File.ReadLinesAsync(file, cancel))
        {
            using var parsed = JsonDocument.Parse(text);
            var line = parsed.RootElement;
            if (line.TryGetProperty("checkpoint", out var note))
            {
                Require(Checkpoint.TryOpen(note.GetString()!, verifier, out checkpoint), "The checkpoint is not the log's.");
                continue;
            }
            if (line.TryGetProperty("end", out _))
            {
                Require(line.GetProperty("refused").GetInt32() == question.Refused && line.GetProperty("of_nobody").GetInt32() == question.OfNobody && line.GetProperty("entries").GetInt32() == proven, "It counts other entries than there are.");
                isWhole = true;
                continue;
            }
            persons++;
            var (entries, categories, patient) = (new HashSet<long>(), new SortedSet<string>(StringComparer.Ordinal), line.GetProperty("patient").GetString()!["Patient/".Length..]);
            foreach (var entry in line.GetProperty("entries").EnumerateArray())
            {
                var (index, leaf, subject) = (entry.GetProperty("index").GetInt64(), entry.GetProperty("leaf").GetBytesFromBase64(), entry.GetProperty("subject").GetBytesFromBase64());
                byte[] withheld = entry.TryGetProperty("withheld", out var digest) ? digest.GetBytesFromBase64() : [];
                var commitment = SHA256.HashData([.. entry.GetProperty("salt").GetBytesFromBase64(), (byte)(subject.Length | (withheld.Length > 0 ? 128 : 0)), .. subject, .. withheld, .. entry.GetProperty("record").GetBytesFromBase64()]);
                Require(commitment.AsSpan().SequenceEqual(leaf.AsSpan(0, 32)), "An entry is not what its leaf says.");
                Require(TiledTree.RootFromInclusion(index, checkpoint!.Size, Merkle.HashLeaf(leaf), [.. entry.GetProperty("path").EnumerateArray().Select(static hash => hash.GetBytesFromBase64())])?.AsSpan().SequenceEqual(checkpoint.Root) == true, "An entry is not proven.");
                Require(entries.Add(index), "An entry is there twice.");
            }
            foreach (var item in line.GetProperty("items").EnumerateArray())
            {
                var type = item.GetProperty("type").GetString()!;
                categories.Add(StagedDay.CategoryOf(type));
                Require(entries.Contains(item.GetProperty("entry").GetInt64()), "An item has no evidence.");
                Require(found.Add(new(patient, type, item.GetProperty("id").GetString()!, item.GetProperty("version").GetString(), item.GetProperty("written").GetBoolean())), "An item is there twice.");
            }
            Require(categories.SequenceEqual(line.GetProperty("categories").EnumerateArray().Select(static one => one.GetString()!)), "The categories are others.");
            proven += entries.Count;
        }
        Require(isWhole && proven > 0 && proven == question.Entries, "It has other entries than there are.");
        return (persons, proven, found);
    }

    private static void Require(bool holds, string otherwise)
    {
        if (!holds)
            throw new BenchmarkException(otherwise + " So these are no numbers.");
    }

    private static async Task<AuditLog> OpenAsync(string folder, KeyServiceClient keys, TimeProvider time) => AuditLog.Open(new()
    {
        Folder = Path.Combine(folder, "log"), Origin = "localhost/log", LogKey = SHA256.HashData("benchmark"u8), ReaderPublicKey = await keys.AuditReaderKeyAsync(default), Create = true, CheckpointInterval = TimeSpan.FromSeconds(1),
    }, time);

    private static async Task MakeAsync(string folder, StagedDay day, int count, KeyServiceClient keys, CancellationToken cancel)
    {
        var done = Path.Combine(folder, "made");
        if (File.Exists(done))
            return;
        if (Directory.Exists(Path.Combine(folder, "log")))
            Directory.Delete(Path.Combine(folder, "log"), recursive: true);
        var (clock, begin) = (new DayClock(), Stopwatch.GetTimestamp());
        await using (var log = await OpenAsync(folder, keys, clock))
        {
            // As many an append as there are in a second: each second has a key.
            var (together, next) = (day.Together, 0);
            await Task.WhenAll(Enumerable.Range(0, Appenders).Select(_ => Task.Run(async () =>
            {
                while (true)
                {
                    var first = Interlocked.Add(ref next, together) - together;
                    if (first >= count)
                        return;
                    clock.Reach(day[first].At);
                    await log.AppendAsync([.. Enumerable.Range(first, Math.Min(together, count - first)).Select(number => day[number].Entry())], cancel);
                    if (first / together % 8_640 == 0)
                        Place.Say(string.Create(CultureInfo.InvariantCulture, $"{first:N0} events made, {Stopwatch.GetElapsedTime(begin).TotalSeconds:0} s"));
                }
            })));
            await log.PublishAsync();
        }
        await File.WriteAllTextAsync(done, "", cancel);
    }

    private static long SizeOf(string folder) => new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(static file => file.Length);

    /// <summary>A clock of the day that is made: as late as the latest of what is appended.</summary>
    private sealed class DayClock : TimeProvider
    {
        private long _ticks = StagedDay.Begin.Ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Volatile.Read(ref _ticks);

        public override DateTimeOffset GetUtcNow() => new(Volatile.Read(ref _ticks), TimeSpan.Zero);

        public void Reach(DateTimeOffset time)
        {
            for (var now = Volatile.Read(ref _ticks); now < time.Ticks; now = Volatile.Read(ref _ticks))
                Interlocked.CompareExchange(ref _ticks, time.Ticks, now);
        }
    }
}
