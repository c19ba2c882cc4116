using System.CommandLine;
using System.Globalization;

namespace KantaGateway.Benchmarks;

/// <summary>Where a measurement takes place.</summary>
sealed class Place
{
    public Option<string> Data { get; } = new("--data")
    {
        Description = "Folder for the servers' state, on the disk whose flushes are to count; what is seeded there stays for the next run",
        DefaultValueFactory = _ => Artifact("data"),
    };

    public Option<int> Port { get; } = new("--port") { Description = "First of ten loopback ports; identify uses ten more", DefaultValueFactory = _ => 18_440 };

    public Option<int> Patients { get; } = new("--patients") { Description = "Patients to seed", DefaultValueFactory = _ => 10_000 };

    public Option<int> Resources { get; } = new("--resources") { Description = "Resources of each", DefaultValueFactory = _ => 200 };

    /// <summary>A seeded folder of the wanted size, made where it is not there yet.</summary>
    public Task<SeededFolder> SeedAsync(ParseResult parsed, CancellationToken cancel) => SeedAsync(parsed, parsed.GetValue(Patients), [parsed.GetValue(Resources)], cancel);

    /// <inheritdoc cref="SeedAsync(ParseResult, CancellationToken)"/>
    public Task<SeededFolder> SeedAsync(ParseResult parsed, int patients, int[] sizes, CancellationToken cancel) =>
        SeededFolder.OpenAsync(Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(Data)), string.Create(CultureInfo.InvariantCulture, $"{patients}x{string.Join('-', sizes)}")), patients, sizes, Say, cancel);

    public static void Say(string line) => Console.WriteLine("  " + line);

    /// <summary>What was seeded, for a report.</summary>
    public static string DataOf(SeededFolder seeded) => string.Create(CultureInfo.InvariantCulture,
        $"{seeded.Patients:N0} patients with {string.Join(", ", seeded.Seeding.Sizes.Select(s => s.ToString("N0", CultureInfo.InvariantCulture)))} resources each.");

    /// <summary>The command that repeats a run.</summary>
    public static string Repeat(ParseResult parsed) => $"dotnet run -c Release --project tests/KantaGateway.Benchmarks -- {string.Join(' ', parsed.Tokens.Select(t => t.Value))}";

    /// <summary>A path under the solution's folder for what is not kept in version control.</summary>
    public static string Artifact(string name) => Path.Combine(Solution(), "artifacts", "benchmarks", name);

    /// <summary>Where a result that the README shows is kept.</summary>
    public static string Measured(string name) => Path.Combine(Solution(), "tests", "KantaGateway.Benchmarks", "measured", name);

    /// <exception cref="BenchmarkException">It is a Debug build.</exception>
    public static void RequireRelease()
    {
#if DEBUG
        throw new BenchmarkException("This is a Debug build. Measure with: dotnet run -c Release --project tests/KantaGateway.Benchmarks -- read");
#endif
    }

    private static string Solution()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "KantaGateway.sln")))
                return folder.FullName;
        throw new BenchmarkException("Run this from the repository: it is not below KantaGateway.sln.");
    }
}
