using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using Hl7.Fhir.Specification.Source;

namespace KantaGateway.Fhir.Validation;

/// <summary>
/// The definitions that are known: the R4 specification as Firely ships it, and the Finnish Base Profiles. Thread-safe.
/// </summary>
static class KnownDefinitions
{
    private const string Folder = "finnish-base-profiles/";

    /// <summary>Of the package: the publisher, not SUSHI, writes it into the definitions.</summary>
    public const string PackageVersion = "2.0.0-rc2";

    /// <summary>Of R4.</summary>
    public const string SpecificationVersion = "4.0.1";

    // SUSHI leaves some texts empty, which is not FHIR but does no harm here.
    private static readonly FhirJsonDeserializer Reader = new(new DeserializerSettings().UsingMode(DeserializationMode.Ostrich));

    private static readonly Lazy<SpecificationSource> Specification = new();

    /// <summary>All of them for one reader: what he is answered with is his own, to be changed by Firely's expander and snapshot generator.</summary>
    public static IAsyncResourceResolver Open() => new MultiResolver(new InMemoryResourceResolver(Files().Select(Read)), Specification.Value);

    /// <summary>The same with snapshots: the specification has its own, and only the Finnish ones are generated, each once.</summary>
    public static IAsyncResourceResolver OpenWithSnapshots() =>
        new CachedResolver(new OneAtATime(new MultiResolver(Specification.Value, new SnapshotSource(Open(), regenerate: false))));

    /// <summary>Canonical addresses, without version, of all definitions of a type. Reads the whole specification when first asked.</summary>
    public static IEnumerable<string> Canonicals(string type) => Specification.Value.Canonicals(type)
        .Concat(Files().Where(f => f.StartsWith($"{Folder}{type}-", StringComparison.Ordinal)).Select(Read).OfType<IConformanceResource>().Select(r => r.Url).OfType<string>());

    /// <summary>A canonical address as it is written in references: <c>url</c> or <c>url|version</c>.</summary>
    public static (string Url, string? Version) Split(string canonical) =>
        canonical.IndexOf('|') is >= 0 and var bar ? (canonical[..bar], canonical[(bar + 1)..]) : (canonical, null);

    /// <summary>Names of the files of the Finnish Base Profiles.</summary>
    public static IEnumerable<string> Files() => typeof(KnownDefinitions).Assembly.GetManifestResourceNames().Where(n => n.StartsWith(Folder, StringComparison.Ordinal));

    public static string Text(string name)
    {
        using var reader = new StreamReader(typeof(KnownDefinitions).Assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }

    private static Resource Read(string name)
    {
        var definition = Reader.DeserializeResource(Text(name));
        if (definition is IVersionableConformanceResource versioned)
            versioned.Version = PackageVersion;
        return definition;
    }
}

/// <summary>Firely's snapshot generator answers one question at a time; what it has answered is cached before it.</summary>
sealed class OneAtATime(IAsyncResourceResolver source) : IAsyncResourceResolver
{
    private readonly SemaphoreSlim _turn = new(1);

#pragma warning disable CS0618 // The interface still has the two.
    public Task<Resource?> ResolveByUriAsync(string uri) => AskAsync(() => source.ResolveByUriAsync(uri));

    public Task<Resource?> ResolveByCanonicalUriAsync(string uri) => AskAsync(() => source.ResolveByCanonicalUriAsync(uri));
#pragma warning restore CS0618

    public Task<ResolverResult> TryResolveByUriAsync(string uri) => AskAsync(() => source.TryResolveByUriAsync(uri));

    public Task<ResolverResult> TryResolveByCanonicalUriAsync(string uri) => AskAsync(() => source.TryResolveByCanonicalUriAsync(uri));

    private async Task<T> AskAsync<T>(Func<Task<T>> ask)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            return await ask().ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }
}
