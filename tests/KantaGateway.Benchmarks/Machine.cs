using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace KantaGateway.Benchmarks;

/// <summary>Processor time of the whole machine, to tell what else ran (proc(5)).</summary>
/// <param name="Busy">Of all processors together since boot.</param>
/// <param name="Own">Of this process.</param>
readonly record struct MachineTime(TimeSpan Busy, TimeSpan Own)
{
    // USER_HZ is 100 on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    public static MachineTime Now()
    {
        // cpu user nice system idle iowait irq softirq steal
        var cpu = File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries)[1..].Select(t => long.Parse(t, CultureInfo.InvariantCulture)).ToArray();
        var stat = File.ReadAllText("/proc/self/stat");
        // After the name in parentheses, which may hold spaces: field 3 is the first.
        var own = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return new(
            Seconds(cpu[0] + cpu[1] + cpu[2] + cpu[5] + cpu[6] + (cpu.Length > 7 ? cpu[7] : 0)),
            Seconds(long.Parse(own[14 - 3], CultureInfo.InvariantCulture) + long.Parse(own[15 - 3], CultureInfo.InvariantCulture)));
    }

    private static TimeSpan Seconds(long ticks) => TimeSpan.FromSeconds(ticks / TicksPerSecond);
}

/// <summary>What the numbers were measured on.</summary>
/// <param name="Flush">Median time to make one 4 KiB write durable in the data folder, milliseconds.</param>
sealed record Machine(int Cores, string Processor, string System, string Runtime, double Flush)
{
    public static Machine Describe(string dataFolder)
    {
        var model = File.ReadLines("/proc/cpuinfo").FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))?.Split(':', 2)[1].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
        return new(Environment.ProcessorCount, model, RuntimeInformation.OSDescription, RuntimeInformation.FrameworkDescription, MeasureFlush(dataFolder));
    }

    private static double MeasureFlush(string folder)
    {
        const int Times = 200;
        var path = Path.Combine(folder, "flush.probe");
        var block = new byte[4096];
        var took = new double[Times];
        using (var file = new FileStream(path, FileMode.Create, FileAccess.Write))
            for (var i = 0; i < Times; i++)
            {
                var start = Stopwatch.GetTimestamp();
                file.Write(block);
                file.Flush(flushToDisk: true);
                took[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
        File.Delete(path);
        Array.Sort(took);
        return took[Times / 2];
    }
}
