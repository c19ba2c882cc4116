using System.Text;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Tests.Fhir.Patching;
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
    public void Mutated_JSON_Patches_are_applied_or_refused() => Campaign.Run("json-patch", 10_000,
        new Mutator([.. VectorsOf("json-patch.json", "patch"), .. PatientPatches], Pieces.Json), input => FeedPatch(input, ResourcePatch.JsonPatchType), output);

    [Fact]
    public void Mutated_FHIRPath_Patches_are_applied_or_refused() => Campaign.Run("fhirpath-patch", 5_000,
        new Mutator([.. VectorsOf("fhirpath-patch.json", "patch").Select(FhirPathPatchTests.ParametersOf)], Pieces.Json), input => FeedPatch(input, "application/fhir+json"), output);

    /// <summary>A path comes from outside and goes to a parser and an evaluator that were not made for that.</summary>
    [Fact]
    public void Mutated_paths_select_or_are_refused() => Campaign.Run("path", 10_000,
        new Mutator([.. VectorsOf("fhirpath-patch.json", "patch").SelectMany(PathsIn)], Pieces.Paths), input => FeedPatch(
            FhirPathPatchTests.ParametersOf(JsonSerializer.SerializeToUtf8Bytes(new[] { new { type = "delete", path = Encoding.UTF8.GetString(input) } })), "application/fhir+json"), output);

    private static string FeedPatch(byte[] input, string contentType)
    {
        var (patch, wrong) = ResourcePatch.Read(input, contentType);
        if (patch is null)
            return Refused(wrong);
        var (resource, fault) = patch.Apply(Patched);
        if (resource is null)
            return Refused(fault);
        Assert.Equal(("Patient", "p1"), (resource.TypeName, resource.Id));
        return "applied";
    }

    private static readonly byte[] Patched = """
        {"resourceType":"Patient","id":"p1","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">x</div>"},"active":true,"identifier":[{"use":"official","value":"1"},{"value":"2"}],
         "name":[{"text":"a","given":["A","B"],"_given":[null,{"id":"x"}]}],"gender":"male","birthDate":"1920-01-01","deceasedBoolean":false,"contact":[{"name":{"text":"a name"},"gender":"male"}]}
        """u8.ToArray();

    private static readonly byte[][] PatientPatches =
    [
        """[{"op":"replace","path":"/birthDate","value":"1990"},{"op":"test","path":"/active","value":true}]"""u8.ToArray(),
        """[{"op":"add","path":"/name/0/given/-","value":"C"},{"op":"remove","path":"/name/0/_given"},{"op":"move","from":"/identifier/0","path":"/identifier/1"}]"""u8.ToArray(),
        """[{"op":"copy","from":"/contact/0","path":"/contact/-"},{"op":"remove","path":"/contact/0/name/text"},{"op":"replace","path":"/text/div","value":"<div xmlns=\"http://www.w3.org/1999/xhtml\">y</div>"}]"""u8.ToArray(),
    ];

    private static IEnumerable<byte[]> PathsIn(byte[] patch) =>
        JsonDocument.Parse(patch).RootElement.EnumerateArray().Select(o => Encoding.UTF8.GetBytes(o.GetProperty("path").GetString()!));

    private static byte[][] VectorsOf(string vectors, string member) =>
        [.. Fhir.Sample.Vectors(vectors).EnumerateArray().Where(v => v.TryGetProperty(member, out _)).Select(v => Encoding.UTF8.GetBytes(v.GetProperty(member).GetRawText()))];

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
