using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Operations;

namespace KantaGateway.Benchmarks;

/// <summary><c>scope</c>: how long it takes to say exactly whom a breach has reached, out of a day's entries, and whether it is exactly they.</summary>
static class ScopeCommand
{
    private const int People = 100_000, Clinics = 40, Appenders = 4;

    /// <summary>One event in this many is the thief's, from morning to night.</summary>
    private const int Rarity = 2_500;

    private static readonly DateTimeOffset Day = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly string Thief = Convert.ToHexStringLower(SHA256.HashData("the thief's"u8));

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
            var count = Math.Max(10_000, parsed.GetValue(events));
            var folder = Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), string.Create(CultureInfo.InvariantCulture, $"scope-{count}"));
            var ports = new Ports(parsed.GetValue(place.Port));
            Directory.CreateDirectory(folder);
            var machine = Machine.Describe(folder);
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            await File.WriteAllTextAsync(Path.Combine(folder, "gateway.pem"), key.ExportSubjectPublicKeyInfoPem(), cancel);
            // Its reader key is in the folder, and opens what an earlier run has sealed.
            await using var service = await KeysCommand.ServeAsync(folder, ports);
            using var http = new HttpClient { BaseAddress = new($"http://127.0.0.1:{ports.Base}"), Timeout = TimeSpan.FromMinutes(1) };
            await MakeAsync(folder, count, http, cancel);
            if (parsed.GetValue(make))
                return 0;

            var signer = new GrantSigner(key, TimeProvider.System);
            await using var log = await OpenAsync(folder, http, TimeProvider.System);
            var truth = Enumerable.Range(0, count).Where(IsThefts).SelectMany(static number => RecordOf(number, Day).Items).Select(static item => (item.Id, item.VersionId)).ToHashSet();
            var ofOne = Enumerable.Range(0, count).Where(static number => PersonOf(number) == 0).SelectMany(static number => RecordOf(number, Day).Items).Select(static item => (item.Id, item.VersionId)).ToHashSet();
            var at = new ScopeCriteria { From = Day, To = Day.AddDays(1) };
            var rows = new List<IReadOnlyList<string>>();
            var (worst, recall, precision) = (0.0, 1.0, 1.0);
            foreach (var (what, criteria, expected) in ((string, ScopeCriteria, HashSet<(string, string?)>)[])
            [
                ("a system, by its client id", at with { Client = "thief" }, truth),
                ("a certificate", at with { Certificate = Thief }, truth),
                ("a professional", at with { Professional = "99999999" }, truth),
                ("a canary: everybody who touched one person", at with { Patient = "Patient/" + IdOf(0, 0) }, ofOne),
            ])
            {
                var one = await TakeAsync(log, signer, http, criteria, cancel);
                var right = one.Found.Count(expected.Contains);
                (worst, recall, precision) = (Math.Max(worst, one.Seconds), Math.Min(recall, (double)right / expected.Count), Math.Min(precision, (double)right / Math.Max(1, one.Found.Count)));
                rows.Add([what, Measurement.Number(one.Seconds, "0.0"), Measurement.Number(one.Cpu / count * 1e6, "0.00"), Measurement.Number(one.Keys, "0"), Measurement.Number(one.Persons, "0"), Measurement.Number(one.Found.Count, "0"),
                    Measurement.Number(one.Bytes / 1e6, "0.0"), Measurement.Number(one.WorkingSet / 1e6, "0"), Measurement.Number(one.Others, "0.00")]);
                Place.Say(string.Join(", ", rows[^1]));
            }
            return await new Report("scope", DateTimeOffset.UtcNow, Place.Repeat(parsed), machine,
                string.Create(CultureInfo.InvariantCulture, $"{count:N0} entries of one day about {People:N0} people, in files ({SizeOf(folder) / 1e9:0.0} GB); one in {Rarity:N0} is a thief's. The key service is in the same process, over HTTP. From the question to the last byte of the answer, with a proof of each entry."),
                [new("the scope of a breach", ["s", "CPU µs an entry", "keys", "persons", "items", "answer MB", "working set MB", "other cores"], rows)],
                [new("seconds, the slowest", worst, 60, AtLeast: false), new("recall", recall, 1), new("precision", precision, 1)], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    private sealed record Taken(double Seconds, double Cpu, double Others, int Keys, int Persons, HashSet<(string, string?)> Found, long Bytes, long WorkingSet);

    private static async Task<Taken> TakeAsync(AuditLog log, GrantSigner signer, HttpClient http, ScopeCriteria criteria, CancellationToken cancel)
    {
        var reading = new AuditReading(Guid.NewGuid().ToString("N"), 1, criteria.From, criteria.To, "one", "another");
        var (asked, test) = (0, criteria.Test()!);
        var (before, begin) = (MachineTime.Now(), Stopwatch.GetTimestamp());
        var findings = await log.SearchAsync(new(criteria.From, criteria.To, async (encs, stop) =>
        {
            Interlocked.Add(ref asked, encs.Count);
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/audit/keys") { Content = JsonContent.Create(new { encs }) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", signer.Sign(reading));
            using var answer = await http.SendAsync(request, stop);
            answer.EnsureSuccessStatusCode();
            return [.. (await answer.Content.ReadFromJsonAsync<JsonElement>(stop)).GetProperty("keys").EnumerateArray().Select(static one => one.GetProperty("key").GetBytesFromBase64())];
        }, test.IsWanted), cancel);
        var result = BreachScope.ResultOf(findings, test);
        var file = Path.GetTempFileName();
        try
        {
            long bytes;
            await using (var body = File.Create(file))
            {
                await OperatorScopes.WriteAsync(body, reading.Act, "1", criteria, result, cancel);
                bytes = body.Length;
            }
            var (seconds, after) = (Stopwatch.GetElapsedTime(begin).TotalSeconds, MachineTime.Now());
            if (findings.UnreadableCount > 0)
                throw new BenchmarkException("Entries could not be read, so these are no numbers.");
            var own = (after.Own - before.Own).TotalSeconds;
            return new(seconds, own, Math.Max(0, ((after.Busy - before.Busy).TotalSeconds - own) / seconds), asked, result.Persons.Count,
                [.. result.Persons.SelectMany(static person => person.Items).Select(static item => (item.Resource.Id, item.Resource.VersionId))], bytes, Process.GetCurrentProcess().WorkingSet64);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static async Task<AuditLog> OpenAsync(string folder, HttpClient http, TimeProvider time)
    {
        var reader = (await http.GetFromJsonAsync<JsonElement>("/v1/audit/reader")).GetProperty("publicKey").GetBytesFromBase64();
        return AuditLog.Open(new() { Folder = Path.Combine(folder, "log"), Origin = "localhost/log", LogKey = SHA256.HashData("benchmark"u8), ReaderPublicKey = reader, Create = true, CheckpointInterval = TimeSpan.FromSeconds(1) }, time);
    }

    private static async Task MakeAsync(string folder, int count, HttpClient http, CancellationToken cancel)
    {
        var done = Path.Combine(folder, "made");
        if (File.Exists(done))
            return;
        if (Directory.Exists(Path.Combine(folder, "log")))
            Directory.Delete(Path.Combine(folder, "log"), recursive: true);
        var (clock, begin) = (new DayClock(), Stopwatch.GetTimestamp());
        await using (var log = await OpenAsync(folder, http, clock))
        {
            // As many an append as there are in a second: each second has a key.
            var (together, next) = ((count + 86_399) / 86_400, 0);
            await Task.WhenAll(Enumerable.Range(0, Appenders).Select(_ => Task.Run(async () =>
            {
                while (true)
                {
                    var first = Interlocked.Add(ref next, together) - together;
                    if (first >= count)
                        return;
                    var at = clock.Next();
                    await log.AppendAsync([.. Enumerable.Range(first, Math.Min(together, count - first)).Select(number => AuditEntry.Of([.. BitConverter.GetBytes((long)PersonOf(number)), 0, 0], RecordOf(number, at), "clinic"))], cancel);
                    if (first / together % 8_640 == 0)
                        Place.Say(string.Create(CultureInfo.InvariantCulture, $"{first:N0} events made, {Stopwatch.GetElapsedTime(begin).TotalSeconds:0} s"));
                }
            })));
            await log.PublishAsync();
        }
        await File.WriteAllTextAsync(done, "", cancel);
    }

    private static long SizeOf(string folder) => new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(static file => file.Length);

    private static bool IsThefts(int number) => number % Rarity == 7;

    private static int PersonOf(int number) => (int)(Mix(number) % People);

    private static ulong Mix(long number)
    {
        var mixed = (ulong)number * 0x9E3779B97F4A7C15;
        mixed ^= mixed >> 29;
        mixed *= 0xBF58476D1CE4E5B9;
        return mixed ^ mixed >> 32;
    }

    private static string IdOf(int number, int part) => new Guid(number, (short)part, 0x4000, 0x80, 0, 0, 0, 0, 0, 0, 1).ToString("D");

    private static DisclosureRecord RecordOf(int number, DateTimeOffset at)
    {
        var (mixed, isThefts) = (Mix(number + 1), IsThefts(number));
        // Three of five read one entry; the others search.
        var isRead = number % 5 < 3;
        var clinic = isThefts ? 0 : (int)(mixed % Clinics);
        var oid = string.Create(CultureInfo.InvariantCulture, $"1.2.246.10.990001{clinic:00}");
        return new()
        {
            Kind = isRead ? AuditKind.Read : AuditKind.Query, Interaction = isRead ? "read" : "search-type", Recorded = at, Server = "https://gateway.example.fi/fhir",
            System = new(isThefts ? "thief" : $"clinic-{clinic}", string.Create(CultureInfo.InvariantCulture, $"10.0.{clinic}.{mixed % 200}"), null, System.Buffers.Text.Base64Url.EncodeToString(isThefts ? Convert.FromHexString(Thief) : SHA256.HashData(BitConverter.GetBytes(clinic)))),
            Organisation = new(oid, $"Kuvitteellinen Klinikka {clinic}"), Professional = new(isThefts ? "99999999" : string.Create(CultureInfo.InvariantCulture, $"{10_000_000 + mixed % 50_000}"), "Liisa Esimerkki", "laillistettu lääkäri"),
            PatientId = IdOf(PersonOf(number), 0), PurposeOfUse = "TREAT", LegalBasis = "own-register", Rules = "own-register care-relationship", RequestId = IdOf(number, 9), TokenId = IdOf(number, 8).Replace("-", "", StringComparison.Ordinal),
            Items = isRead ? [new("Observation", IdOf(number, 1), IdOf(number, 2), oid)] : [new("Observation", IdOf(number, 1), IdOf(number, 2), oid), new("Encounter", IdOf(number, 5), IdOf(number, 6), oid)],
            Digest = new byte[32], Query = isRead ? null : "Observation?code=http://loinc.org|8867-4",
        };
    }

    /// <summary>A clock of the day that is made: a second later with each append.</summary>
    private sealed class DayClock : TimeProvider
    {
        private long _ticks = Day.Ticks;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Volatile.Read(ref _ticks);

        public override DateTimeOffset GetUtcNow() => new(Math.Min(Volatile.Read(ref _ticks), Day.AddDays(1).Ticks - 1), TimeSpan.Zero);

        public DateTimeOffset Next() => new(Math.Min(Interlocked.Add(ref _ticks, TimeSpan.TicksPerSecond), Day.AddDays(1).Ticks - 1), TimeSpan.Zero);
    }
}
