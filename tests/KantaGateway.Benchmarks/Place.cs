using System.CommandLine;

namespace KantaGateway.Benchmarks;

/// <summary>Where a measurement takes place.</summary>
sealed class Place
{
    public Option<string> Data { get; } = new("--data")
    {
        Description = "Folder for the servers' state, on the disk whose flushes are to count; emptied first and at the end",
        DefaultValueFactory = _ => Artifact("data"),
    };

    public Option<int> Port { get; } = new("--port") { Description = "First of eight loopback ports", DefaultValueFactory = _ => 18_440 };

    /// <summary>A path under the solution's folder for what is not kept in version control.</summary>
    public static string Artifact(string name)
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "KantaGateway.sln")))
                return Path.Combine(folder.FullName, "artifacts", "benchmarks", name);
        return Path.GetFullPath(name);
    }

    public Task<Arena> OpenAsync(ParseResult parsed, Action<string> say, CancellationToken cancel)
    {
#if DEBUG
        throw new BenchmarkException("This is a Debug build. Measure with: dotnet run -c Release --project tests/KantaGateway.Benchmarks -- read");
#else
        return Arena.OpenAsync(Path.GetFullPath(parsed.GetRequiredValue(Data)), new(parsed.GetValue(Port)), say, cancel);
#endif
    }
}
