using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Fhir.Validation;
using Xunit.Abstractions;

namespace KantaGateway.Tests.Fuzzing;

/// <summary>Everything that takes bytes from outside apart, fed with mutated inputs.</summary>
public sealed class EntryPointTests(ITestOutputHelper output)
{
    private static readonly IdentifierCipher Ids = new([.. Enumerable.Range(0, 32).Select(i => (byte)i)]);
    private static readonly DateTimeOffset Now = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero);

    [Fact]
    public void Mutated_JSON_is_read_or_refused() => Campaign.Run("json", 15_000, new Mutator(Seeds("json"), Pieces.Json), FeedJson, output);

    [Fact]
    public void Mutated_searches_are_read_or_refused() => Campaign.Run("search", 30_000, new Mutator(Lines("searches.txt"), Pieces.Search), FeedSearch, output);

    [Fact]
    public void Mutated_XML_is_read_or_refused() => Campaign.Run("xml", 10_000,
        new Mutator([.. Seeds("json").Select(json => new Presentation(FhirFormat.Xml).Apply(json).ToArray())], Pieces.Xml), FeedXml, output);

    private static string FeedXml(byte[] input)
    {
        var (json, fault) = XmlBody.ToJson(input);
        if (fault is not null)
            return Refused(fault);
        // From here on it is as if it had come as JSON.
        var (resource, wrong) = ResourceParser.Parse(json);
        return resource is null ? Refused(wrong) : "read";
    }

    private static string FeedJson(byte[] input)
    {
        var scan = RequestScan.Read(input);
        var (resource, fault) = ResourceParser.Parse(input);
        if (resource is null)
            return Refused(fault);
        // What the validator takes, the gateway's own scan must have understood.
        Assert.Null(scan.Fault);
        Assert.Equal(resource.TypeName, scan.ResourceType);
        _ = ResourceParser.Serialize(resource);
        ResourceValidator.Check(resource, UnknownProfiles.Accept, []);
        if (resource is Bundle bundle)
        {
            var (transaction, wrong) = TransactionBundle.Read(bundle);
            return transaction is null ? Refused(wrong) : "read";
        }
        if (ResourceTypes.IsServed(resource.TypeName))
            _ = Indexer.Build(new() { Type = resource.TypeName, ResourceSequence = 1, RowSequence = 1, Controller = "1.2.3", LastUpdated = Now }, resource);
        return "read";
    }

    private static string FeedSearch(byte[] input)
    {
        var text = Encoding.UTF8.GetString(input);
        var question = text.IndexOf('?', StringComparison.Ordinal);
        var type = question > 0 && ResourceTypes.IsServed(text[..question]) ? text[..question] : "Observation";
        var (query, fault) = SearchQuery.Parse(type, text[(question + 1)..], Ids, Pseudonym.Directory, Now, "https://localhost/fhir");
        return query is null ? Refused(fault) : "read";
    }

    private static string Refused(Fault? fault)
    {
        Assert.NotNull(fault);
        Assert.NotEmpty(fault.Issues);
        Assert.Equal(4, FaultTable.Of(fault.Kind).Status / 100);
        _ = FaultTable.ToOperationOutcome(fault, "fuzz", OutcomeLanguage.English);
        return fault.Kind.ToString();
    }

    internal static byte[][] Seeds(string folder) =>
        [.. Directory.EnumerateFiles(Path.Combine(AppContext.BaseDirectory, "Vectors", "fuzz", folder)).Order(StringComparer.Ordinal).Select(File.ReadAllBytes)];

    internal static byte[][] Lines(string file) =>
        [.. File.ReadLines(Path.Combine(AppContext.BaseDirectory, "Vectors", "fuzz", file)).Where(l => l.Length > 0 && l[0] != '#').Select(Encoding.UTF8.GetBytes)];
}
