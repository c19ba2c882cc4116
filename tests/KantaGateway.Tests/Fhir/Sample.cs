using System.Text;
using System.Text.Json;
using CsCheck;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Tests.Fhir;

/// <summary>Material that the tests of FHIR rules share. Every person is fictional.</summary>
static class Sample
{
    /// <summary>Folder of the solution.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The shared samples beside the solution, which this project did not write; empty where they are not.</summary>
    public static IReadOnlyList<string> SharedFiles(string folder)
    {
        var path = Path.Combine(Root, "..", "shared", "samples", folder);
        return Directory.Exists(path) ? [.. Directory.GetFiles(path, "*.json").Order(StringComparer.Ordinal)] : [];
    }

    public static JsonElement Vectors(string name) =>
        JsonDocument.Parse(File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "Vectors", name))).RootElement;

    /// <summary>A valid code with an individual number of 900-999.</summary>
    public static string IdentityCode(int n = 0)
    {
        var date = $"{1 + n % 28:00}{1 + n / 28 % 12:00}{n / 336 % 100:00}";
        var individual = $"{900 + n % 100}";
        return $"{date}-{individual}{PersonalIdentityCode.CheckCharacterOf(date, individual)}";
    }

    public static T Parse<T>(string json) where T : Resource
    {
        var result = ResourceParser.Parse(Encoding.UTF8.GetBytes(json));
        Assert.True(result.Fault is null, result.Fault?.Issues[0].ToString());
        return Assert.IsType<T>(result.Resource);
    }

    /// <summary>Any of the values.</summary>
    public static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "KantaGateway.sln")))
            folder = folder.Parent ?? throw new InvalidOperationException("The tests do not lie below the solution.");
        return folder.FullName;
    }
}
