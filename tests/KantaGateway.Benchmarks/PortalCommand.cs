#pragma warning disable CA5394 // In which order pages are asked for need not be unforeseeable.
using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Generating;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Benchmarks;

/// <summary><c>portal</c>: how long the server takes for each page of a citizen with a long record, and whether hundreds who are signed in at once wait.</summary>
static class PortalCommand
{
    /// <summary>Goals of the portal, milliseconds at p95.</summary>
    private const double PageGoal = 50, ManyGoal = 300;

    private const string Reference = "a style sheet, the reference";

    /// <param name="Form">Fields of a form that is sent; null: the page is asked for.</param>
    private sealed record Page(string Name, string Path, IReadOnlyDictionary<string, string>? Form = null);

    public static Command Create()
    {
        var records = new Option<int>("--records") { Description = "Entries of the one person, in tens", DefaultValueFactory = _ => 2_000 };
        var sessions = new Option<int>("--sessions") { Description = "Sessions that are signed in at once", DefaultValueFactory = _ => 500 };
        var pause = new Option<double>("--pause") { Description = "Seconds, on average, between two pages of a session", DefaultValueFactory = _ => 10 };
        var seconds = new Option<double>("--seconds") { Description = "Length of the load on one page", DefaultValueFactory = _ => 2 };
        var crowded = new Option<double>("--crowd") { Description = "Length of the load of all sessions, seconds", DefaultValueFactory = _ => 20 };
        var only = new Option<string?>("--only") { Description = "Path of one page, kept up for a profiler to look at" };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("portal.json") };
        var place = new Place();
        var command = new Command("portal", "Server time of the citizen's pages, and of many sessions at once") { records, sessions, pause, seconds, crowded, only, json, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            // Afresh: pages read the log, and each run would make it longer.
            var folder = Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), "portal");
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
            var ports = new Ports(parsed.GetValue(place.Port));
            await using var house = await House.StartAsync(await SeededFolder.OpenAsync(folder, 1, [SeededRecord.VisitSize], Place.Say, cancel), ports, cancel);
            await using var arena = await Arena.OpenAsync(ports, cancel);
            using var citizen = new CitizenClient(house.Folder, house.Clinic.Target, 0);
            var entries = parsed.GetValue(records);
            await ArchiveAsync(house, citizen, entries, cancel);
            Place.Say(string.Create(CultureInfo.InvariantCulture, $"{entries} records of one person; the server is process {house.Server.Id}"));
            var pages = await PagesAsync(citizen, cancel);
            var length = parsed.GetValue(seconds);
            if (parsed.GetValue(only) is { } path)
                pages = [.. pages.Where(page => page.Path == path)];

            var rows = new List<(Page Page, LoadResult Result, double Cpu, double Entries)>();
            foreach (var (page, i) in pages.Select((page, i) => (page, i)))
            {
                var load = Load(arena.Prepare($"page-{i}", [await RequestAsync(citizen, page, cancel)]), house, 1, length);
                // Until it is compiled.
                await AskAsync(arena, load with { MaxRequests = 30, Seconds = 10 });
                var before = (await EntriesAsync(house, cancel), house.Server.Cpu);
                var result = await AskAsync(arena, load);
                var cpu = (house.Server.Cpu - before.Cpu).TotalMilliseconds / result.Requests;
                rows.Add((page, result, cpu, (await EntriesAsync(house, cancel) - before.Item1) / (double)result.Requests));
                Place.Say(string.Create(CultureInfo.InvariantCulture, $"{page.Name}: p50 {result.P50:0.0} ms, p95 {result.P95:0.0} ms"));
            }
            var tables = new List<ReportTable>();
            var reference = rows.Find(row => row.Page.Name == Reference).Result?.P50;
            tables.Add(new("one page after another, one connection, TLS on", ["p50 ms", "p95 ms", "max ms", "of the style sheet, p50", "CPU ms", "log entries a page"],
                [.. rows.Select(row => (IReadOnlyList<string>)[row.Page.Name, Number(row.Result.P50), Number(row.Result.P95), Number(row.Result.Max), reference is { } of ? Number(row.Result.P50 / of) : "", Number(row.Cpu), Number(row.Entries)])]));
            var slowest = rows.MaxBy(row => row.Result.P95);
            var goals = new List<Goal> { new($"server time of the slowest page ({slowest.Page.Name}), ms at p95", slowest.Result.P95, PageGoal, AtLeast: false) };
            if (parsed.GetValue(only) is not null)
                return 0;

            var many = parsed.GetValue(sessions);
            var cookies = new List<string>();
            await Parallel.ForEachAsync(Enumerable.Range(0, many), new ParallelOptions { MaxDegreeOfParallelism = 4, CancellationToken = cancel }, async (_, stop) =>
            {
                using var other = new CitizenClient(house.Folder, house.Clinic.Target, 0);
                await other.SignInAsync(stop);
                lock (cookies)
                    cookies.Add(other.CookieHeader);
            });
            Place.Say($"{many} sessions are signed in");
            // What people open: where they come in, lists, entries, who has looked.
            var opened = pages.Where(page => page.Form is null && page.Path.Split('?')[0] is "/" or "/records" or "/records/timeline" or "/access-log" or "/inbox" or "/consent" || page.Path.StartsWith("/records/", StringComparison.Ordinal)).ToList();
            var requests = cookies.SelectMany(cookie => opened.Where(page => page.Form is null).Select(page => new LoadRequest("GET", page.Path, [], Header: "Cookie: " + cookie))).ToArray();
            Workload.Chance.Shuffle(requests);
            var crowd = Load(arena.Prepare("sessions", requests), house, many, parsed.GetValue(crowded)) with { Pause = parsed.GetValue(pause) };
            var (cpuBefore, toolBefore) = (house.Server.Cpu, arena.Generator.Cpu);
            var together = await AskAsync(arena, crowd);
            var (server, tool) = ((house.Server.Cpu - cpuBefore).TotalSeconds / together.Seconds, (arena.Generator.Cpu - toolBefore).TotalSeconds / together.Seconds);
            tables.Add(new(string.Create(CultureInfo.InvariantCulture, $"{many} sessions at once, a page every {parsed.GetValue(pause):0.#} s each"), ["pages/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "server cores", "tool cores"],
                [["all of them", Number(together.Requests / together.Seconds), Number(together.P50), Number(together.P95), Number(together.P99), Number(together.Max), Measurement.Number(server, "0.00"), Measurement.Number(tool, "0.00")]]));
            goals.Add(new($"{many} sessions at once, ms at p95", together.P95, ManyGoal, AtLeast: false));
            return await new Report("portal", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(folder),
                string.Create(CultureInfo.InvariantCulture, $"One person with {entries:N0} records; all sessions are that person's. Times are a client's over loopback, so they hold TLS and the way there too."), tables, goals, []).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    private static string Number(double value) => Measurement.Number(value, "0.0");

    private static async Task ArchiveAsync(House house, CitizenClient citizen, int records, CancellationToken cancel)
    {
        var (clinic, record) = (house.Clinic, new SeededRecord());
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel);
        for (var visit = 0; visit < records / 10; visit++)
            Expect.Status(await clinic.System.BundleAsync(record.NewVisit($"Patient/{patient}", Some.ServiceEvent(clinic), 3 * visit), cancel), "archiving a visit", 200);
        await citizen.SignInAsync(cancel);
        await citizen.BeInformedAsync(cancel);
        await citizen.PermitAsync(cancel);
    }

    /// <summary>Every page of a citizen, with what is asked for where an address names an entry.</summary>
    private static async Task<IReadOnlyList<Page>> PagesAsync(CitizenClient citizen, CancellationToken cancel)
    {
        var result = (await citizen.RecordsAsync("/records/kind/measurements", cancel))[0];
        var visit = (await citizen.RecordsAsync("/records/kind/visits", cancel))[0];
        var note = (await citizen.RecordsAsync("/records/kind/notes", cancel))[0];
        var access = (await citizen.AccessLogAsync(cancel))[0];
        var sheet = (await citizen.GetAsync("/about", cancel)).Tags.First(tag => tag.Name == "link" && tag["rel"] == "stylesheet")["href"];
        return
        [
            new(Reference, sheet), new("about", "/about"), new("help", "/help"), new("accessibility", "/accessibility"),
            new("start", "/"), new("inbox", "/inbox"), new("who has looked", "/access-log"), new("who has looked, the citizen too", "/access-log?own=yes"), new("one access", $"/access-log/entry/{access.Index.ToString(CultureInfo.InvariantCulture)}"),
            new("disputes", "/access-log/disputes"), new("emergencies", "/access-log/special"),
            new("records by kind", "/records"), new("all records", "/records/timeline"), new("all records, the last page", "/records/timeline?page=999"),
            new("records with two words in them", "/records/timeline", new Dictionary<string, string> { ["words"] = "verenpaine kotimittaukset" }),
            new("visits", "/records/kind/visits"), new("diagnoses", "/records/kind/diagnoses"), new("medication", "/records/kind/medication"), new("measurements", "/records/kind/measurements"), new("notes", "/records/kind/notes"),
            new("one visit", $"/records/entry/Encounter/{visit.Id}"), new("one note", $"/records/entry/DocumentReference/{note.Id}"), new("one measurement", $"/records/entry/Observation/{result.Id}"),
            new("how a measurement changes", $"/records/trend/{result.Id}"), new("correction", $"/records/entry/Observation/{result.Id}/rectify"), new("requests for correction", "/records/rectifications"),
            new("permission and denials", "/consent"), new("informing", "/consent/inform"), new("giving a permission", "/consent/permit"), new("denying", "/consent/deny"), new("history", "/consent/history"), new("printed declarations", "/consent/print"),
            new("for whom", "/on-behalf"), new("apps", "/apps"), new("download", "/download"), new("notices", "/notices"), new("notice check", "/notice-check"),
        ];
    }

    private static async Task<LoadRequest> RequestAsync(CitizenClient citizen, Page page, CancellationToken cancel)
    {
        var shown = await citizen.GetAsync(page.Path, cancel);
        if (shown.Status != 200 || shown.Address.PathAndQuery != page.Path)
            throw new BenchmarkException($"{page.Path} was answered {shown.Status} at {shown.Address.PathAndQuery}: nothing was measured.");
        if (page.Form is not { } fields)
            return new("GET", page.Path, [], Header: "Cookie: " + citizen.CookieHeader);
        var form = shown.Form("filter-form") ?? throw new BenchmarkException($"{page.Path} has no form to look for records.");
        using var content = new FormUrlEncodedContent(form.Fields.Where(field => !fields.ContainsKey(field.Key)).Concat(fields));
        return new("POST", page.Path, await content.ReadAsByteArrayAsync(cancel), "application/x-www-form-urlencoded", "Cookie: " + citizen.CookieHeader);
    }

    private static Load Load(Workload workload, House house, int connections, double seconds) => new(workload.File, 0, house.Ports.Gateway,
        string.Create(CultureInfo.InvariantCulture, $"Host: localhost:{house.Ports.Gateway}\r\nAccept-Language: fi\r\nAccept: text/html\r\n"), house.Folder.File($"clinics/{house.Clinic.Name}"), house.Folder.File("ca.pem"), connections, seconds, ShowsCertificate: false);

    private static async Task<LoadResult> AskAsync(Arena arena, Load load)
    {
        var result = await arena.Generator.AskAsync<LoadResult>(JsonSerializer.Serialize(load), default);
        return result.Failures == 0 && result.Requests > 0 ? result
            : throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture, $"{result.Failures} of {result.Requests} pages failed, so these are no numbers: {result.FirstFailure}"));
    }

    /// <summary>Each request that a page makes of the record leaves its entry. The published tree covers what is more than a second old.</summary>
    private static async Task<long> EntriesAsync(House house, CancellationToken cancel)
    {
        await Task.Delay(TimeSpan.FromSeconds(1.2), cancel);
        return long.Parse((await house.Clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint", cancel: cancel)).Text.Split('\n')[1], CultureInfo.InvariantCulture);
    }
}
