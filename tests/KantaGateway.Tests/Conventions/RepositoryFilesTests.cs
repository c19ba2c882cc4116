using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Conventions;

/// <summary>What may not stand in the files of the project: secrets, paths of somebody's machine, package hosts, real people.</summary>
public sealed partial class RepositoryFilesTests
{
    private static readonly string[] Text = [".cs", ".cshtml", ".csproj", ".props", ".targets", ".sln", ".json", ".md", ".sh", ".yml", ".yaml", ".xml", ".config", ".http", ".css", ".js", ".html", ".sql", ".txt", ".razor", ".resx", ""];

    /// <summary>The code by which Statistics Finland explains the check character; whoever needs one outside the 900 series takes it.</summary>
    private const string PublishedExample = "131052-308T";

    [Fact]
    public void No_file_holds_a_secret_a_machine_path_a_package_host_or_a_real_identity_code()
    {
        var found = new List<string>();
        foreach (var file in Files())
            found.AddRange(Faults(File.ReadAllText(Path.Combine(Solution.Folder, file))).Select(f => $"{file}: {f}"));
        Assert.Equal([], found);
    }

    public static TheoryData<string, string> Planted => new()
    {
        { "private key", $"-----BEGIN {"PRIVATE"} KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n" },
        { "private key", $"{{\"kty\":\"EC\",\"{'d'}\":\"AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfG\"}}" },
        { "token", $"Bearer {"eyJ"}hbGciOiJFUzI1NiJ9.{"eyJ"}zdWIiOiJhIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ" },
        { "token", $"{"ghp"}_abcdefghijklmnopqrstuvwxyz0123456789" },
        { "password", $"Host=db;{"Password"}=Sala1sana;Database=kanta" },
        { "machine path", $"see /{"home"}/matti/source" },
        { "machine path", $"C:\\{"Users"}\\matti" },
        { "package host", $"\"resolved\": \"https://{"registry"}.example.org/suomifi-1.0.tgz\"" },
        { "package host", $"https://api.{"nuget"}.org/v3/index.json" },
        { "identity code", $"{"010203"}-234{PersonalIdentityCode.CheckCharacterOf("010203", "234")}" },
    };

    [Theory]
    [MemberData(nameof(Planted))]
    public void A_planted_fault_is_found(string kind, string text) => Assert.Contains(kind, Faults($"before {text} after"));

    [Theory]
    [InlineData("Authorization: Bearer {token}")]
    [InlineData("Password={password}")]
    [InlineData("Host=x;Password=$password;Database=y")]
    [InlineData("https://learn.microsoft.com/nuget")]
    public void What_only_looks_like_one_is_let_through(string text) => Assert.Empty(Faults(text));

    private static IEnumerable<string> Faults(string text)
    {
        if (PemKey().IsMatch(text) || JwkKey().IsMatch(text))
            yield return "private key";
        if (Token().IsMatch(text))
            yield return "token";
        if (Password().IsMatch(text))
            yield return "password";
        if (MachinePath().IsMatch(text))
            yield return "machine path";
        if (PackageHost().IsMatch(text))
            yield return "package host";
        if (IdentityCode().Matches(text).Any(m => m.Value != PublishedExample && PersonalIdentityCode.TryParse(m.Value, out var code) && !code.IsTemporary))
            yield return "identity code";
    }

    /// <summary>Files that git keeps or would keep.</summary>
    private static IEnumerable<string> Files()
    {
        var start = new ProcessStartInfo("git", ["ls-files", "--cached", "--others", "--exclude-standard"]) { WorkingDirectory = Solution.Folder, RedirectStandardOutput = true, StandardOutputEncoding = Encoding.UTF8 };
        using var git = Process.Start(start) ?? throw new InvalidOperationException("git did not start.");
        var files = git.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        git.WaitForExit();
        Assert.Equal(0, git.ExitCode);
        Assert.NotEmpty(files);
        return files.Where(f => Text.Contains(Path.GetExtension(f)) && File.Exists(Path.Combine(Solution.Folder, f)));
    }

    [GeneratedRegex("-----BEGIN [A-Z ]*PRIVATE KEY-----\\s+[A-Za-z0-9+/=]{20}")]
    private static partial Regex PemKey();

    [GeneratedRegex("\"d\"\\s*:\\s*\"[A-Za-z0-9_-]{40,}\"")]
    private static partial Regex JwkKey();

    [GeneratedRegex("\\beyJ[A-Za-z0-9_-]{10,}\\.eyJ[A-Za-z0-9_-]{10,}\\.[A-Za-z0-9_-]{10,}|\\bgh[pousr]_[A-Za-z0-9]{30,}|\\bAKIA[0-9A-Z]{16}\\b|\\bxox[abp]-[A-Za-z0-9-]{20,}")]
    private static partial Regex Token();

    [GeneratedRegex("(?i)\\b(password|pwd)=(?![{$<*]|\\.\\.\\.)[^;\"'\\s{}$]{4,}")]
    private static partial Regex Password();

    [GeneratedRegex("(?<![A-Za-z0-9.])/(home|Users)/[a-z][a-z0-9_-]*/|(?<![A-Za-z0-9./])/(root|work)/[a-z.]|[A-Z]:\\\\Users\\\\")]
    private static partial Regex MachinePath();

    [GeneratedRegex("https?://([a-z0-9-]+\\.)*(registry|nuget|npmjs|artifactory|nexus|pkgs|packages|proxy)\\.([a-z0-9-]+\\.)*[a-z]{2,}[/:\"]")]
    private static partial Regex PackageHost();

    [GeneratedRegex("(?<![0-9A-Za-z])[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-Y](?![0-9A-Za-z])")]
    private static partial Regex IdentityCode();
}
