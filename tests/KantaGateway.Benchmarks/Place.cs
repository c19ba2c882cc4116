using System.CommandLine;

namespace KantaGateway.Benchmarks;

/// <summary>Where a measurement takes place.</summary>
sealed class Place
{
    public Option<string> Data { get; } = new("--data")
    {
        Description = "Folder for the servers' state, on the disk whose flushes are to count; emptied first and at the end",
        DefaultValueFactory = _ => Path.Combine("artifacts", "benchmarks", "data"),
    };

    public Option<int> Port { get; } = new("--port") { Description = "First of eight loopback ports", DefaultValueFactory = _ => 18_440 };

    public Task<Arena> OpenAsync(ParseResult parsed, Action<string> say, CancellationToken cancel)
    {
#if DEBUG
        throw new BenchmarkException("This is a Debug build. Measure with: dotnet run -c Release --project tests/KantaGateway.Benchmarks -- read");
#else
        return Arena.OpenAsync(Path.GetFullPath(parsed.GetRequiredValue(Data)), new(parsed.GetValue(Port)), say, cancel);
#endif
    }
}
