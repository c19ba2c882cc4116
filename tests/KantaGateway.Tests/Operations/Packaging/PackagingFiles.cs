using System.Text.Json.Nodes;
using KantaGateway.Tests.Scenarios;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace KantaGateway.Tests.Operations.Packaging;

/// <summary>What infra gives to run the product by.</summary>
static class PackagingFiles
{
    public static string Folder { get; } = Path.Combine(Solution.Folder, "infra");

    public static readonly string[] Parts = ["gateway", "repository", "keys"];

    /// <summary>Folders with the settings of each part: of a small site, and of a nation.</summary>
    public static readonly string[] Settings = ["configuration", "kubernetes/settings"];

    /// <summary>Everything in the cluster, with the jobs that migrate.</summary>
    public static IReadOnlyList<JsonNode> Cluster { get; } =
    [
        .. Directory.EnumerateFiles(Path.Combine(Folder, "kubernetes"), "*.yaml", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Where(static file => Path.GetFileName(file) is not ("kustomization.yaml" or "adapter-rules.yaml")).SelectMany(Documents),
    ];

    /// <summary>Services of the small site, by name.</summary>
    public static JsonObject Compose { get; } = Documents(Path.Combine(Folder, "compose", "compose.yaml")).Single()["services"]!.AsObject();

    /// <summary>What starts pods, with the specification of the pod.</summary>
    public static IEnumerable<(string Name, JsonNode Pod)> Pods() =>
        Cluster.Where(static one => one["kind"]!.ToString() is "StatefulSet" or "Job").Select(static one => (one["metadata"]!["name"]!.ToString(), one["spec"]!["template"]!["spec"]!));

    public static IEnumerable<JsonNode> Containers(JsonNode pod) => List(pod["initContainers"]).Concat(List(pod["containers"]));

    public static IEnumerable<JsonNode> List(JsonNode? list) => list?.AsArray().Select(static one => one!) ?? [];

    /// <summary>A unit of systemd: settings in their order.</summary>
    public static (string Key, string Value)[] Unit(string part) =>
        [.. File.ReadLines(Path.Combine(Folder, "systemd", $"kanta-{part}.service")).Where(static line => line.Contains('=') && !line.StartsWith('#')).Select(static line => (line[..line.IndexOf('=')], line[(line.IndexOf('=') + 1)..]))];

    /// <summary>Documents of a YAML file, scalars as text.</summary>
    private static IEnumerable<JsonNode> Documents(string file)
    {
        using var reader = File.OpenText(file);
        var parser = new MergingParser(new Parser(reader));
        var deserializer = new DeserializerBuilder().Build();
        parser.Consume<YamlDotNet.Core.Events.StreamStart>();
        while (parser.TryConsume<YamlDotNet.Core.Events.StreamEnd>(out _) is false)
            yield return Node(deserializer.Deserialize<object>(parser))!;
    }

    private static JsonNode? Node(object? yaml) => yaml switch
    {
        IDictionary<object, object> map => new JsonObject(map.Select(static pair => KeyValuePair.Create(pair.Key.ToString()!, Node(pair.Value)))),
        IEnumerable<object> list => new JsonArray([.. list.Select(Node)]),
        null => null,
        var scalar => JsonValue.Create(scalar.ToString()),
    };
}
