using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Dev;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Benchmarks;

/// <summary>
/// <c>identify</c>: what it costs to identify a caller whose token has been seen, requests per second with identification on and off, and full TLS
/// handshakes per second with client certificates and without.
/// </summary>
static class IdentifyCommand
{
    private const int Times = 200_000, Rounds = 9, Patients = 1_000, Resources = 20;

    /// <summary>The registrations and the operators' decisions are looked at so often, by the caller that is due.</summary>
    private const double LookEvery = 0.5;

    private const string On = "identification on", Off = "identification off", With = "gateway, client certificate", Without = "the same Kestrel, none asked for";

    public static Command Create()
    {
        var seconds = new Option<double>("--seconds") { Description = "Length of one load", DefaultValueFactory = _ => 15 };
        var rounds = new Option<int>("--rounds") { Description = "Loads on each contestant, in turn; the one with the median rate counts", DefaultValueFactory = _ => 5 };
        var connections = new Option<int>("--connections") { Description = "Connections at once", DefaultValueFactory = _ => 16 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("identify.json") };
        var place = new Place();
        var command = new Command("identify", "Cost of identifying a caller whose token is known, and of what brings the caller here") { seconds, rounds, connections, json, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var ports = new Ports(parsed.GetValue(place.Port));
            var (tables, goals) = (new List<ReportTable>(), new List<Goal>());
            await TakeOneThreadAsync(ports, tables, goals, cancel);
            var measured = await TakeLoadsAsync(parsed, place, ports, Math.Clamp(parsed.GetValue(seconds), 0.5, 120), Math.Clamp(parsed.GetValue(rounds), 1, 20), parsed.GetValue(connections), cancel);
            var medians = measured.GroupBy(one => one.Name).ToDictionary(same => same.Key, Measurement.MedianOf);
            tables.Add(new($"read by id, TLS on, {parsed.GetValue(connections)} kept-alive connections", Measurement.Columns, [medians[On].Row(null), medians[Off].Row(null)]));
            tables.Add(new($"full TLS handshakes, one small answer each, {parsed.GetValue(connections)} at once", Measurement.Columns, [medians[With].Row(null), medians[Without].Row(null)]));
            goals.Add(new("requests per second with identification on, of those with it off", medians[On].RequestsPerSecond / medians[Off].RequestsPerSecond, 0.9));
            Place.Say(string.Create(CultureInfo.InvariantCulture, $"handshakes per second with client certificates, of those without: {medians[With].RequestsPerSecond / medians[Without].RequestsPerSecond:0.00}"));
            return await new Report("identify", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(Path.GetTempPath()),
                string.Create(CultureInfo.InvariantCulture, $"One thread, {Times:N0} times in a row, {Rounds} rounds in turn, the median of each. Loads of {parsed.GetValue(seconds):0.#} s, {parsed.GetValue(rounds)} in turn, the median of each; {Patients:N0} patients with {Resources} resources."),
                tables, goals, measured).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    private static async Task TakeOneThreadAsync(Ports ports, List<ReportTable> tables, List<Goal> goals, CancellationToken cancel)
    {
        var folder = Directory.CreateTempSubdirectory("kanta-identify").FullName;
        try
        {
            await using var host = await DevHost.StartAsync(new DevHostOptions { Port = ports.Gateway, DataFolder = folder, Configure = builder => builder.Logging.ClearProviders() });
            using var clinic = ClinicClient.Open(new DevFolder(folder), DevelopmentFolder.Clinics[0].Name, new(host.Address));
            var token = await clinic.TokenAsync(cancel) ?? throw new BenchmarkException("The clinic got no token.");
            var identification = host.Gateway.Services.GetRequiredService<IIdentification>();
            using var certificate = System.Security.Cryptography.X509Certificates.X509CertificateLoader.LoadCertificateFromFile(Path.Combine(folder, "clinics", clinic.Name, "tls.pem"));
            var context = new DefaultHttpContext { RequestServices = host.Gateway.Services };
            context.Request.Headers.Authorization = "Bearer " + token;
            context.Connection.ClientCertificate = certificate;
            if ((await identification.IdentifyAsync(context)).Requester is null)
                throw new BenchmarkException("The token was refused. Nothing was measured.");
            var ascii = Encoding.ASCII.GetBytes(token);
            var digest = new byte[SHA256.HashSizeInBytes];
            bool IsIdentified()
            {
                var identified = identification.IdentifyAsync(context);
                return identified.IsCompletedSuccessfully && identified.Result.Requester is not null;
            }

            var known = new List<double>();
            var alone = new List<double>();
            for (var round = 0; round < Rounds; round++)
            {
                known.Add(Take(IsIdentified));
                alone.Add(Take(() => SHA256.HashData(ascii, digest) == digest.Length));
            }
            var (one, reference) = (MedianOf(known), MedianOf(alone));
            var bytes = Allocated(IsIdentified, out var looks, out var largest);
            tables.Add(new($"a token already seen, of {token.Length} characters", ["µs", "of the digest", "bytes allocated"],
            [
                ["identified: digest, look-up, life, certificate, revocation", Measurement.Number(one, "0.00"), Measurement.Number(one / reference, "0.00"), Measurement.Number(bytes, "0")],
                [string.Create(CultureInfo.InvariantCulture, $"{looks} times in {Times:N0}: whether registrations or decisions have changed"), "", "", Measurement.Number(largest, "0")],
                ["SHA-256 of the token alone", Measurement.Number(reference, "0.00"), "1", "0"],
            ]));
            goals.Add(new("checking a token already seen, µs", one, 2, AtLeast: false));
            goals.Add(new("bytes allocated by it", bytes, 0, AtLeast: false));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    private static async Task<List<Measurement>> TakeLoadsAsync(ParseResult parsed, Place place, Ports ports, double seconds, int rounds, int connections, CancellationToken cancel)
    {
        async Task<SeededFolder> SeedAsync(string name) =>
            await SeededFolder.OpenAsync(Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), name), Patients, [Resources], Place.Say, cancel);
        await using var on = await House.StartAsync(await SeedAsync("identify-on"), ports, cancel);
        await using var off = await House.StartAsync(await SeedAsync("identify-off"), ports.Others, cancel, ServeCommand.Unidentified);
        await using var arena = await Arena.OpenAsync(ports, cancel);
        Contestant[] readers = [on.Contestant(On, arena.Prepare("read", Workload.Reads(on.Seeded, 20_000))), off.Contestant(Off, arena.Prepare("read", Workload.Reads(off.Seeded, 20_000)))];
        var live = arena.Prepare("handshake", [new("GET", "/health/live", [])]);
        var kestrel = (await arena.ReferencesOfAsync(on.Contestant(With, live), cancel))[^1];
        Contestant[] shakers =
        [
            new(With, live, on.System, on.Server, ports.Terminator, ports.Gateway, null, Connects: true),
            kestrel with { Name = Without, TlsPort = ports.KestrelWithoutCertificates, Connects = true, ShowsCertificate = false },
        ];
        Place.Say("warming up");
        await arena.WarmUpAsync([.. readers, .. shakers], Math.Min(seconds, 5), cancel);
        var measured = new List<Measurement>();
        foreach (var contestants in new[] { readers, shakers })
            for (var round = 1; round <= rounds; round++)
                // Each goes first as often: a machine does not stay the same.
                foreach (var contestant in round % 2 == 0 ? Enumerable.Reverse(contestants) : contestants)
                {
                    var one = await Measurement.TakeAsync(arena, contestant, connections, seconds, cancel);
                    Place.Say(string.Create(CultureInfo.InvariantCulture, $"round {round}, {one.Name}: {one.RequestsPerSecond:0} /s, p99 {one.P99:0.0} ms, {one.ServerCpu:0} µs of the server each"));
                    measured.Add(one);
                }
        return measured;
    }

    /// <returns>Microseconds of each.</returns>
    private static double Take(Func<bool> once)
    {
        var begin = Stopwatch.GetTimestamp();
        for (var i = 0; i < Times; i++)
            if (!once())
                throw new BenchmarkException("It was not answered at once. Nothing was measured.");
        return Stopwatch.GetElapsedTime(begin).TotalMicroseconds / Times;
    }

    /// <summary>
    /// The most that a call allocates, each measured by itself. An average would be a small fraction of a byte: twice a second a call looks whether
    /// registrations or decisions have changed, and these calls, as many as there can have been, are told apart.
    /// </summary>
    private static long Allocated(Func<bool> once, out int looks, out long largest)
    {
        var each = new long[Times];
        var begin = Stopwatch.GetTimestamp();
        for (var i = 0; i < Times; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            _ = once();
            each[i] = GC.GetAllocatedBytesForCurrentThread() - before;
        }
        var most = 2 * ((int)(Stopwatch.GetElapsedTime(begin).TotalSeconds / LookEvery) + 1);
        Array.Sort(each);
        Array.Reverse(each);
        looks = each.Count(static bytes => bytes > 0);
        largest = each[0];
        return each[most];
    }

    private static double MedianOf(List<double> samples) => samples.Order().ElementAt(samples.Count / 2);
}
