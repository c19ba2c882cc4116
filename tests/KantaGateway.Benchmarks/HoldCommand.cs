using System.CommandLine;
using System.Globalization;

namespace KantaGateway.Benchmarks;

/// <summary><c>hold</c>: keeps one load up for a while and says which process serves it, so that a profiler can look at it.</summary>
static class HoldCommand
{
    // Shorter than what the last half minute of a token leaves.
    private const double Piece = 10;

    public static Command Create()
    {
        var what = new Argument<string>("WHAT") { Description = "read, search, create, transaction, or professional: a read by permission" };
        what.AcceptOnlyFromAmong("read", "search", "create", "transaction", "professional");
        var of = new Argument<string>("OF") { Description = "some: of 1,000 patients; all; yarp, kestrel: the references", DefaultValueFactory = _ => "all" };
        of.AcceptOnlyFromAmong("some", "all", "yarp", "kestrel");
        var plain = new Option<bool>("--plain") { Description = "Without TLS" };
        var connections = new Option<int>("--connections") { Description = "Connections at once", DefaultValueFactory = _ => 32 };
        var seconds = new Option<int>("--seconds") { Description = "How long, at most 600", DefaultValueFactory = _ => 60 };
        var place = new Place();
        var command = new Command("hold", "Keeps one load up, for a profiler to look at") { what, of, plain, connections, seconds, place.Data, place.Port, place.Patients, place.Resources };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var ports = new Ports(parsed.GetValue(place.Port));
            var name = parsed.GetRequiredValue(what);
            await using var house = await House.StartAsync(await place.SeedAsync(parsed, cancel), ports, cancel);
            await using var arena = await Arena.OpenAsync(ports, cancel);
            using var scene = name == "professional" ? await Scene.PrepareAsync(house, cancel) : null;
            var contestants = LoadCommand.ContestantsOf(scene is null ? name : "read", house, arena, scene);
            var contestant = parsed.GetValue(of) switch
            {
                "yarp" => (await arena.ReferencesOfAsync(contestants[0], cancel))[0],
                "kestrel" => (await arena.ReferencesOfAsync(contestants[0], cancel))[1],
                _ when scene is not null => contestants[^1],
                "some" => contestants[0],
                _ => contestants[1],
            };
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"process {contestant.Server.Id}"));
            for (double left = Math.Clamp(parsed.GetValue(seconds), 1, 600); left > 0; left -= Piece)
            {
                var one = await Measurement.TakeAsync(arena, contestant, parsed.GetValue(connections), Math.Min(left, Piece), cancel, !parsed.GetValue(plain));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{one.RequestsPerSecond:0} requests/s, p50 {one.P50:0.00} ms, p99 {one.P99:0.00} ms, {one.ServerCpu:0} µs of processor a request, {contestant.Server.Memory >> 20} MiB, others {one.OtherShare:0.00} cores"));
            }
            return 0;
        });
        return command;
    }
}
