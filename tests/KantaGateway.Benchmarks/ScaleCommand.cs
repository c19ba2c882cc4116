using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary><c>scale</c>: the same requests where there are ten and a hundred times as many patients, and in records of ten and a hundred times as many resources.</summary>
static class ScaleCommand
{
    /// <summary>Resources of each patient where their number is what changes: a hundred thousand records are seeded in minutes.</summary>
    private const int Resources = 20;

    /// <summary>Patients with a record of each size: many, so that creations do not make the small ones large, but no more long ones than may be open together.</summary>
    private const int PatientsOfSize = 12;

    private const int CreationsOfSize = 100;

    private static readonly int[] Sizes = [100, 1_000, 10_000];

    /// <summary>What is seeded for it.</summary>
    /// <param name="middle">Number of patients in the second of three folders.</param>
    public static IEnumerable<(int Patients, int[] Sizes)> FoldersOf(int middle) =>
        [(Math.Max(1, middle / 10), [Resources]), (middle, [Resources]), (middle * 10, [Resources]), (PatientsOfSize * Sizes.Length, Sizes)];

    public static Command Create()
    {
        var seconds = new Option<double>("--seconds") { Description = "Length of one measurement", DefaultValueFactory = _ => 3 };
        var rounds = new Option<int>("--rounds") { Description = "Measurements of each; the one with the median rate counts", DefaultValueFactory = _ => 3 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("scale.json") };
        var place = new Place();
        var command = new Command("scale", "The same requests beside each other where there are more patients, and in larger records") { seconds, rounds, json, place.Data, place.Port, place.Patients };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var (length, times, ports) = (Math.Clamp(parsed.GetValue(seconds), 0.5, 20), Math.Clamp(parsed.GetValue(rounds), 1, 20), new Ports(parsed.GetValue(place.Port)));
            var seeded = new List<SeededFolder>();
            foreach (var (patients, sizes) in FoldersOf(parsed.GetValue(place.Patients)))
                seeded.Add(await place.SeedAsync(parsed, patients, sizes, cancel));
            await using var arena = await Arena.OpenAsync(ports, cancel);
            var (tables, goals, measured) = (new List<ReportTable>(), new List<Goal>(), new List<Measurement>());
            await PatientsAsync(arena, seeded[..3], ports, length, times, tables, goals, measured, cancel);
            await using (var house = await House.StartAsync(seeded[3], ports, cancel))
                await SizesAsync(arena, house, length, times, tables, goals, measured, cancel);
            return await new Report("scale", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(seeded[0].Path),
                $"{Resources} resources each where the number of patients is what changes; {PatientsOfSize} patients of each size where the record's is.", tables, goals, measured)
                .PublishAsync(parsed.GetRequiredValue(json), cancel);
        });
        return command;
    }

    /// <summary>All three houses run at once and are asked in turn, so that whatever else changes on the machine changes for all.</summary>
    private static async Task PatientsAsync(Arena arena, IReadOnlyList<SeededFolder> seeded, Ports ports, double length, int times,
        List<ReportTable> tables, List<Goal> goals, List<Measurement> measured, CancellationToken cancel)
    {
        var houses = new List<House>();
        try
        {
            foreach (var folder in seeded)
                houses.Add(await House.StartAsync(folder, new(ports.Base + 10 * houses.Count), cancel));
            var loads = new List<(string Name, bool IsBound, List<Contestant> Contestants)>();
            foreach (var (name, bound, requests) in new (string, bool, Func<SeededFolder, int[], IReadOnlyList<LoadRequest>>)[]
            {
                ("read, 1,000 patients of all", true, (s, some) => Workload.Reads(s, 20_000, some)),
                ("read, any patient", false, (s, _) => Workload.Reads(s, 20_000)),
                ("search, 1,000 patients of all", true, (s, some) => Workload.Searches(s, 20_000, some)),
                ("create, 1,000 patients of all", true, (s, some) => Workload.Creates(s, 10_000, some)),
            })
                loads.Add((name, bound, [.. houses.Select(h => h.Contestant(string.Create(CultureInfo.InvariantCulture, $"{h.Seeded.Patients:N0} patients"),
                    arena.Prepare(name, requests(h.Seeded, Workload.Some(h.Seeded, Math.Min(LoadCommand.Circle, seeded[0].Patients))))))]));
            Place.Say("warming up");
            await arena.WarmUpAsync(loads.SelectMany(l => l.Contestants), length, cancel);
            for (var round = 1; round <= times; round++)
                foreach (var (name, _, contestants) in loads)
                    foreach (var contestant in contestants)
                    {
                        measured.Add(await Measurement.TakeAsync(arena, contestant, 16, length, cancel));
                        Place.Say(string.Create(CultureInfo.InvariantCulture, $"round {round}, {name}, {contestant.Name}: {measured[^1].RequestsPerSecond:0} requests/s"));
                    }
            foreach (var (name, bound, contestants) in loads)
            {
                var medians = contestants.Select(c => Measurement.MedianOf(measured.Where(m => m.Load == name && m.Name == c.Name))).ToList();
                tables.Add(TableOf(name + ", 16 connections", medians));
                if (bound)
                    goals.Add(new($"{name}: rate with the fewest patients through that with the most", medians[0].RequestsPerSecond / medians[^1].RequestsPerSecond, 1.3, AtLeast: false));
            }
        }
        finally
        {
            foreach (var house in houses)
                await house.DisposeAsync();
        }
    }

    private static async Task SizesAsync(Arena arena, House house, double length, int times, List<ReportTable> tables, List<Goal> goals, List<Measurement> measured, CancellationToken cancel)
    {
        // Half of the patients are kept for the end of warming up: their records have not been opened by then.
        var ofSize = Enumerable.Range(0, Sizes.Length).Select(i => Enumerable.Range(0, PatientsOfSize).Select(n => i + n * Sizes.Length).ToArray()).ToArray();
        var warm = ofSize.SelectMany(p => p[..(PatientsOfSize / 2)]).ToArray();
        Place.Say("warming up");
        await arena.WarmUpAsync([house.Contestant("", arena.Prepare("", Workload.Reads(house.Seeded, 1_000, warm))), house.Contestant("", arena.Prepare("", Workload.Searches(house.Seeded, 1_000, warm)))], length, cancel);
        var opening = new List<IReadOnlyList<string>>();
        var medians = new List<double>();
        foreach (var (size, patients) in Sizes.Zip(ofSize))
        {
            var took = new List<double>();
            foreach (var patient in patients[(PatientsOfSize / 2)..])
            {
                var start = Stopwatch.GetTimestamp();
                await house.AskAsync(Workload.Reads(house.Seeded, 1, [patient])[0], null, cancel);
                took.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
            }
            took.Sort();
            medians.Add(took[took.Count / 2]);
            opening.Add([Named(size), Measurement.Number(medians[^1], "0.00"), Measurement.Number(took[^1], "0.00")]);
        }
        tables.Add(new("first read of a record, which opens it", ["median ms", "longest ms"], opening));
        AddGoals("first read", medians);
        foreach (var (name, requests, most) in new (string, Func<int[], IReadOnlyList<LoadRequest>>, long)[]
        {
            ("read", p => Workload.Reads(house.Seeded, 10_000, p), 0),
            ("search", p => Workload.Searches(house.Seeded, 10_000, p), 0),
            ("create", p => Workload.Creates(house.Seeded, 2_000, p), CreationsOfSize),
        })
        {
            var contestants = Sizes.Zip(ofSize).Select(s => house.Contestant(Named(s.First), arena.Prepare(name, requests(s.Second)))).ToList();
            for (var round = 1; round <= times; round++)
                foreach (var contestant in contestants)
                    measured.Add(await Measurement.TakeAsync(arena, contestant, 4, most > 0 ? 60 : length, cancel, most: most));
            var results = contestants.Select(c => Measurement.MedianOf(measured.Where(m => m.Load == name && m.Name == c.Name))).ToList();
            tables.Add(TableOf($"{name} in opened records, 4 connections", results));
            AddGoals(name, [.. results.Select(r => r.ServerCpu)]);
        }

        void AddGoals(string name, List<double> costs)
        {
            for (var i = 1; i < costs.Count; i++)
                goals.Add(new(string.Create(CultureInfo.InvariantCulture, $"{name}: cost in a record of {Sizes[i]:N0} through that in one of {Sizes[i - 1]:N0}"), costs[i] / costs[i - 1], (double)Sizes[i] / Sizes[i - 1], AtLeast: false));
        }

        static string Named(int size) => string.Create(CultureInfo.InvariantCulture, $"{size:N0} resources");
    }

    private static ReportTable TableOf(string title, IReadOnlyList<Measurement> rows) =>
        new(title, ["requests/s", "rate ratio", "p50 ms", "p95 ms", "p99 ms", "CPU µs", "CPU ratio", "server cores", "tool cores", "other cores", "bound by"],
        [
            .. rows.Select(m => (IReadOnlyList<string>)
            [
                m.Name, Measurement.Number(m.RequestsPerSecond, "0"), Measurement.Number(rows[0].RequestsPerSecond / m.RequestsPerSecond, "0.00"), Measurement.Number(m.P50, "0.00"), Measurement.Number(m.P95, "0.00"),
                Measurement.Number(m.P99, "0.00"), Measurement.Number(m.ServerCpu, "0"), Measurement.Number(m.ServerCpu / rows[0].ServerCpu, "0.00"), Measurement.Number(m.ServerShare, "0.00"),
                Measurement.Number(m.ToolShare, "0.00"), Measurement.Number(m.OtherShare, "0.00"), m.BoundBy,
            ]),
        ]);
}
