using System.CommandLine;
using System.Globalization;
using KantaGateway.Dev;

namespace KantaGateway.Benchmarks;

/// <summary><c>read</c>, <c>search</c>, <c>create</c> and <c>transaction</c>: one kind of request through the whole gateway, beside a bare YARP and a bare Kestrel, in one run.</summary>
static class LoadCommand
{
    /// <summary>Patients of the smaller of two circles: as many as may be under treatment at once; their compartments stay open in memory.</summary>
    public const int Circle = 1_000;

    private const string Any = "any patient";

    /// <param name="Peers">Requests per second of others, as others measured them on another machine of two cores.</param>
    /// <param name="Goals">From the best rate, and its ratio to YARP.</param>
    private sealed record Kind(string Name, string Summary, string Setting, IReadOnlyList<(string Name, string Rate)> Peers, Func<double, double, IReadOnlyList<Goal>> Goals);

    private static readonly IReadOnlyList<Kind> Kinds =
    [
        new("read", "Read by id", "A read by id of a random resource.", [("Medplum", "535"), ("fhir-candle", "11060")], (rate, ratio) =>
            [new("reads per second, 12 times Medplum's", rate, 12 * 535), new("of the bare YARP's rate", ratio, 0.6)]),
        new("search", "Search by patient and code", "A search by patient and code: ten Observations of a record.", [("Medplum", "586"), ("fhir-candle", "1.9")], (rate, _) =>
            [new("searches per second, 10 times Medplum's", rate, 10 * 586)]),
        new("create", "Creation of an Observation", "A creation of an Observation in a random record, durable before it is answered.", [("Medplum", "89-100"), ("fhir-candle", "1020-1670")], (rate, _) =>
            [new("creations per second, 15 times Medplum's", rate, 15 * 100), new("creations per second, fhir-candle's", rate, 1_670)]),
        new("transaction", "Transaction of ten entries", "A transaction that archives a visit of ten resources in a random record, durable before it is answered.", [("Medplum", "8.7"), ("fhir-candle", "433")], (rate, _) =>
            [new("transactions per second, 40 times Medplum's", rate, 40 * 8.7), new("transactions per second, fhir-candle's", rate, 433)]),
    ];

    public static IEnumerable<Command> CreateAll() => Kinds.Select(Create);

    private static Command Create(Kind kind)
    {
        var seconds = new Option<double>("--seconds") { Description = "Length of one measurement", DefaultValueFactory = _ => 60 };
        var lead = new Option<double>("--lead") { Description = "Seconds of the same load before each measurement: a steady load finds most records open, and opens each anew every minute", DefaultValueFactory = _ => 15 };
        var rounds = new Option<int>("--rounds") { Description = "Measurements of each contestant; the one with the median rate counts", DefaultValueFactory = _ => 1 };
        var connections = new Option<int[]>("--connections") { Description = "Numbers of connections to measure with", DefaultValueFactory = _ => [16], AllowMultipleArgumentsPerToken = true };
        var plain = new Option<bool>("--plain") { Description = "Without TLS, as behind a terminator: the certificate comes in a header" };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured($"{kind.Name}.json") };
        var place = new Place();
        var command = new Command(kind.Name, $"{kind.Summary} through the whole gateway, beside a bare YARP and a bare Kestrel")
        {
            seconds, lead, rounds, connections, plain, json, place.Data, place.Port, place.Patients, place.Resources,
        };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var (length, times, loads, tls) = (Math.Clamp(parsed.GetValue(seconds), 0.5, 120), Math.Clamp(parsed.GetValue(rounds), 1, 20), parsed.GetRequiredValue(connections), !parsed.GetValue(plain));
            var seeded = await place.SeedAsync(parsed, cancel);
            var ports = new Ports(parsed.GetValue(place.Port));
            await using var house = await House.StartAsync(seeded, ports, cancel);
            await using var arena = await Arena.OpenAsync(ports, cancel);
            using var scene = kind.Name == "read" ? await Scene.PrepareAsync(house, cancel) : null;
            var contestants = ContestantsOf(kind.Name, house, arena, scene);
            contestants.AddRange(await arena.ReferencesOfAsync(contestants[0], cancel));
            Place.Say("warming up");
            await arena.WarmUpAsync(contestants, Math.Min(length, 5), cancel, tls);
            var measured = new List<Measurement>();
            for (var round = 1; round <= times; round++)
                foreach (var count in loads)
                    foreach (var contestant in contestants)
                    {
                        await arena.LeadInAsync(contestant, count, parsed.GetValue(lead), cancel, tls);
                        var one = await Measurement.TakeAsync(arena, contestant, count, length, cancel, tls);
                        Place.Say(string.Create(CultureInfo.InvariantCulture, $"round {round}, {count} connections, {one.Name}: {one.RequestsPerSecond:0} requests/s, p99 {one.P99:0.0} ms"));
                        measured.Add(one);
                    }
            return await ReportOf(kind, measured, seeded, parsed).PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    /// <summary>What a kind of request is asked of, before the references.</summary>
    public static List<Contestant> ContestantsOf(string kind, House house, Arena arena, Scene? scene)
    {
        var (seeded, clinic) = (house.Seeded, DevelopmentFolder.Clinics[0].Oid);
        var some = string.Create(CultureInfo.InvariantCulture, $"{Math.Min(Circle, seeded.Patients):N0} patients of all");
        var circle = Workload.Some(seeded, Circle);
        List<Contestant> contestants = kind switch
        {
            "read" =>
            [
                house.Contestant(some, arena.Prepare(kind, Workload.Reads(seeded, 50_000, circle))),
                house.Contestant(Any, arena.Prepare(kind, Workload.Reads(seeded, 50_000))),
            ],
            "search" =>
            [
                house.Contestant(some, arena.Prepare(kind, Workload.Searches(seeded, 50_000, circle))),
                house.Contestant(Any, arena.Prepare(kind, Workload.Searches(seeded, 50_000))),
            ],
            "create" =>
            [
                house.Contestant(some, arena.Prepare(kind, Workload.Creates(seeded, 20_000, circle))),
                house.Contestant(Any, arena.Prepare(kind, Workload.Creates(seeded, 20_000))),
            ],
            _ =>
            [
                house.Contestant(some, arena.Prepare(kind, Workload.Transactions(seeded, clinic, 4_000, circle))),
                house.Contestant(Any, arena.Prepare(kind, Workload.Transactions(seeded, clinic, 4_000))),
            ],
        };
        if (scene is not null)
            contestants.Add(house.Contestant("professional, by permission", arena.Prepare(kind, [new("GET", scene.Target, [])]), scene.Professional));
        return contestants;
    }

    private static Report ReportOf(Kind kind, List<Measurement> measured, SeededFolder seeded, ParseResult parsed)
    {
        var (tables, goals) = (new List<ReportTable>(), new List<Goal>());
        var (rate, ratio) = (0.0, 0.0);
        foreach (var load in measured.GroupBy(m => m.Connections))
        {
            var medians = load.GroupBy(m => m.Name).Select(Measurement.MedianOf).ToList();
            var yarp = medians.First(m => m.Name == Arena.BareYarp);
            // Of two circles the wider one: goals are about the whole of the data.
            var any = medians.First(m => m.Name == Any);
            if (any.RequestsPerSecond > rate)
                (rate, ratio) = (any.RequestsPerSecond, any.RequestsPerSecond / yarp.RequestsPerSecond);
            tables.Add(new($"{kind.Name}, TLS {(medians[0].Tls ? "on" : "off")}, {load.Key} connections", Measurement.Columns,
            [
                .. medians.Select(m => m.Row(yarp)),
                .. kind.Peers.Select(p => (IReadOnlyList<string>)[$"{p.Name}, measured by others", p.Rate, .. Measurement.Columns.Skip(1).Select(_ => "")]),
            ]));
        }
        goals.AddRange(kind.Goals(rate, ratio).Select(g => g with { What = $"{g.What} ({Any})" }));
        return new(kind.Name, DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(seeded.Path), $"{kind.Setting} {Place.DataOf(seeded)}", tables, goals, measured);
    }
}
