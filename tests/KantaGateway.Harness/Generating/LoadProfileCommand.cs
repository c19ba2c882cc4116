using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using HdrHistogram;
using KantaGateway.Harness.Clients;
using Spectre.Console;

namespace KantaGateway.Harness.Generating;

/// <summary><c>load-profile national</c>: the requests of a nation, as many as are asked for, and how long they took. (<c>load</c> loads files.)</summary>
static class LoadProfileCommand
{
    /// <summary>An access token lives for 300 s, and a load has one from its beginning to its end.</summary>
    private const int LongestSeconds = 240;

    public static Command Create()
    {
        var target = new Option<Uri?>("--target") { CustomParser = Addresses.One, Description = "Address of the gateway, such as https://localhost:8443" };
        var dev = new Option<DirectoryInfo?>("--dev") { Description = "The gateway's data folder, with ca.pem and clinics/" };
        var other = new Option<Uri?>("--other") { CustomParser = Addresses.One, Description = "Instead of a gateway: base of another FHIR server, over http and without tokens, for comparison" };
        var times = new Option<double>("--times") { DefaultValueFactory = static _ => 1, Description = "Open load: so many times the nation's mean of 35 requests a second" };
        var closed = new Option<int>("--closed") { Description = "Closed load instead: so many connections, each of which waits for its answer" };
        var think = new Option<double>("--think") { Description = "Closed load: seconds that each waits before a request, on average" };
        var ramp = new Option<double>("--ramp") { DefaultValueFactory = static _ => 5, Description = "Seconds in which the load grows to its full size" };
        var seconds = new Option<double>("--seconds") { DefaultValueFactory = static _ => 60, Description = $"How long it lasts, {LongestSeconds} at most" };
        var people = new Option<int>("--people") { DefaultValueFactory = static _ => 50, Description = "Fictional people whom it is about, registered before" };
        var connections = new Option<int>("--connections") { DefaultValueFactory = static _ => 64, Description = "Open load: connections that are there" };
        var seed = new Option<int>("--seed") { DefaultValueFactory = static _ => 20_261, Description = "Repeats the same requests at the same times" };
        var json = new Option<FileInfo?>("--json") { Description = "Write the numbers there" };
        var histograms = new Option<DirectoryInfo?>("--histograms") { Description = "Write an HDR percentile distribution (.hgrm, ms) of each kind there" };
        var national = new Command("national", "Archive, search the own register, prescriptions and others' data, in the proportions of Kanta") { target, dev, other, times, closed, think, ramp, seconds, people, connections, seed, json, histograms };
        national.SetAction(async (parsed, cancel) =>
        {
            var length = Math.Clamp(parsed.GetValue(seconds), 1, LongestSeconds);
            var plan = new Plan(parsed.GetValue(times), Math.Max(0, parsed.GetValue(closed)), parsed.GetValue(think), parsed.GetValue(ramp), length, Math.Max(1, parsed.GetValue(people)), Math.Max(4, parsed.GetValue(connections)), parsed.GetValue(seed));
            var results = parsed.GetValue(other) is { } server ? await AtOtherAsync(server, plan, cancel).ConfigureAwait(false)
                : parsed.GetValue(target) is { } address && parsed.GetValue(dev) is { } data ? await AtGatewayAsync(new DevFolder(data.FullName), address, plan, cancel).ConfigureAwait(false)
                : throw new InvalidDataException("load-profile needs --target and --dev, or --other.");
            Print(results, plan);
            if (parsed.GetValue(json) is { } file)
                await File.WriteAllTextAsync(file.FullName, Text(results, plan), cancel).ConfigureAwait(false);
            if (parsed.GetValue(histograms) is { } folder)
            {
                folder.Create();
                foreach (var (kind, result) in results)
                    await using (var writer = new StreamWriter(Path.Combine(folder.FullName, kind.Name.Replace(' ', '-').Replace("'", "", StringComparison.Ordinal) + ".hgrm")))
                        result.Histogram!.OutputPercentileDistribution(writer, outputValueUnitScalingRatio: 1000);
            }
            return results.Any(static r => r.Result.Failures > 0) ? 1 : 0;
        });
        return new("load-profile", "Generates load, and says how long answers took") { national };
    }

    /// <summary>How large a load is.</summary>
    private sealed record Plan(double Times, int Closed, double Think, double Ramp, double Seconds, int People, int Connections, int Seed)
    {
        public bool IsOpen => Closed == 0;

        /// <summary>Each kind has its part of the rate, and of the connections.</summary>
        public Load Of(NationalKind kind, int port, string host, string headers, string? identity, string authority) => new("", 0, port, headers, identity, authority,
            Math.Max(1, (int)Math.Round((IsOpen ? Connections : Closed) * kind.Share)), Seconds, Pause: Think, Rate: IsOpen ? Times * kind.PerSecond : 0, Ramp: Ramp, Host: host, Seed: Seed);

        /// <summary>Requests that are made before; the same are sent again after the last.</summary>
        public int Requests(NationalKind kind) => IsOpen ? (int)Math.Clamp(Times * kind.PerSecond * Seconds, 100, 100_000) : 10_000;
    }

    private static async Task<(NationalKind Kind, LoadResult Result)[]> AtGatewayAsync(DevFolder folder, Uri target, Plan plan, CancellationToken cancel)
    {
        using var clinic = ClinicClient.Open(folder, "aurora", target);
        using var reader = ClinicClient.Open(folder, "revontuli", target);
        var profile = await NationalProfile.PrepareAsync(folder, target, clinic, reader, plan.People, plan.Seed, cancel).ConfigureAwait(false);
        var own = (await clinic.RequestSystemTokenAsync(cancel: cancel).ConfigureAwait(false)).Value;
        var professional = (await reader.ExchangeAsync(await reader.SubjectTokenAsync(folder.ProfessionalOf("revontuli").Id, cancel).ConfigureAwait(false), cancel: cancel).ConfigureAwait(false)).Value;
        return await RunAsync(profile, plan, kind => plan.Of(kind, target.Port, target.Host, $"Host: {target.Authority}\r\nAuthorization: Bearer {(kind.IsOthers ? professional : own)}\r\n",
            folder.File($"clinics/{(kind.IsOthers ? "revontuli" : "aurora")}"), folder.File("ca.pem")), cancel).ConfigureAwait(false);
    }

    private static async Task<(NationalKind Kind, LoadResult Result)[]> AtOtherAsync(Uri server, Plan plan, CancellationToken cancel)
    {
        var profile = await NationalProfile.PrepareAsync(server, plan.People, plan.Seed, cancel).ConfigureAwait(false);
        return await RunAsync(profile, plan, kind => plan.Of(kind, server.Port, server.Host, $"Host: {server.Authority}\r\n", null, ""), cancel).ConfigureAwait(false);
    }

    private static async Task<(NationalKind Kind, LoadResult Result)[]> RunAsync(NationalProfile profile, Plan plan, Func<NationalKind, Load> load, CancellationToken cancel)
    {
        var packed = NationalKind.All.Select(kind => (kind, Requests: LoadGenerator.Pack(profile.Requests(kind, plan.Requests(kind))))).ToList();
        return await Task.WhenAll(packed.Select(async one => (one.kind, await LoadGenerator.RunAsync(load(one.kind), cancel, one.Requests).ConfigureAwait(false)))).ConfigureAwait(false);
    }

    private static void Print((NationalKind Kind, LoadResult Result)[] results, Plan plan)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumn("");
        foreach (var name in (string[])["requests", "a second", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms", "late", "failed"])
            table.AddColumn(new TableColumn(name).RightAligned());
        foreach (var (kind, its) in results)
            table.AddRow([Markup.Escape(kind.Name), .. new[] { its.Requests, its.Requests / its.Seconds, its.P50, its.P95, its.P99, its.P999, its.Max, its.Late, its.Failures }.Select(static n => n.ToString("0.##", CultureInfo.InvariantCulture))]);
        AnsiConsole.Write(table);
        AnsiConsole.WriteLine(plan.IsOpen ? string.Create(CultureInfo.InvariantCulture, $"open: {plan.Times:0.##} times the nation's mean, {plan.Seconds:0} s, seed {plan.Seed}; times run from when a request came")
            : string.Create(CultureInfo.InvariantCulture, $"closed: {plan.Closed} connections, {plan.Think:0.##} s of thinking, {plan.Seconds:0} s, seed {plan.Seed}"));
        foreach (var failure in results.Select(static r => r.Result.FirstFailure).OfType<string>())
            AnsiConsole.WriteLine(Verification.Redaction.Of(failure));
    }

    private static string Text((NationalKind Kind, LoadResult Result)[] results, Plan plan) => JsonSerializer.Serialize(new
    {
        model = plan.IsOpen ? "open" : "closed", times = plan.Times, connections = plan.IsOpen ? plan.Connections : plan.Closed, think = plan.Think, ramp = plan.Ramp, seconds = plan.Seconds, people = plan.People, seed = plan.Seed,
        kinds = results.Select(static r => new { name = r.Kind.Name, requests = r.Result.Requests, perSecond = r.Result.Requests / r.Result.Seconds, p50 = r.Result.P50, p95 = r.Result.P95, p99 = r.Result.P99, p999 = r.Result.P999, max = r.Result.Max, late = r.Result.Late, failures = r.Result.Failures }),
    }, new JsonSerializerOptions { WriteIndented = true }) + "\n";
}
