using System.CommandLine;
using System.Globalization;

namespace KantaGateway.Benchmarks;

/// <summary><c>hold</c>: keeps one load up for a while and says which process serves it, so that a profiler can look at it.</summary>
static class HoldCommand
{
    // Shorter than what the last half minute of a token leaves.
    private const int Piece = 10;

    public static Command Create()
    {
        var who = new Argument<string>("WHO") { Description = "system, professional, yarp or kestrel" };
        who.AcceptOnlyFromAmong("system", "professional", "yarp", "kestrel");
        var tls = new Option<bool>("--tls") { Description = "Through TLS with the clinic's certificate" };
        var connections = new Option<int>("--connections") { Description = "Connections at once", DefaultValueFactory = _ => 32 };
        var seconds = new Option<int>("--seconds") { Description = "How long, at most 600", DefaultValueFactory = _ => 60 };
        var place = new Place();
        var command = new Command("hold", "Keeps one load up, for a profiler to look at") { who, tls, connections, seconds, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            await using var arena = await place.OpenAsync(parsed, line => Console.WriteLine("  " + line), cancel);
            var index = Array.IndexOf(["system", "professional", "yarp", "kestrel"], parsed.GetValue(who));
            var contestant = arena.Contestants[index];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"process {contestant.Server.Id}"));
            for (var left = Math.Clamp(parsed.GetValue(seconds), 1, 600); left > 0; left -= Piece)
            {
                var one = await Measurement.TakeAsync(arena, contestant, parsed.GetValue(tls), parsed.GetValue(connections), Math.Min(left, Piece), cancel);
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{one.RequestsPerSecond:0} requests/s, p50 {one.P50:0.00} ms, p99 {one.P99:0.00} ms, {one.ServerCpu:0} µs of processor a request, {contestant.Server.Memory >> 20} MiB, others {one.OtherShare:0.00} cores"));
            }
            return 0;
        });
        return command;
    }
}
