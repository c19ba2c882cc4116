using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Hl7.Fhir.FhirPath;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using SearchParameter = KantaGateway.Fhir.Search.SearchParameter;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>The served parameters are R4's, and select what R4's own expressions select.</summary>
public partial class SearchParametersTests
{
    private static IEnumerable<(Resource Resource, SearchParameter Parameter)> Everything =>
        from type in ResourceTypes.Served
        from resource in Enumerable.Range(0, 11).Select(variant => FullResources.Of(type, variant)).Concat(RandomResources.Some(type))
        from parameter in SearchParameters.Of(type)
        select (resource, parameter);

    /// <summary>Held against Firely's evaluator of FHIRPath, over resources that have every element in every type.</summary>
    [Fact]
    public void Every_path_selects_what_the_FHIRPath_engine_selects()
    {
        ElementNavFhirExtensions.PrepareFhirSymbolTableFunctions();
        var (held, filled) = (0, new HashSet<string>());
        foreach (var (resource, parameter) in Everything)
        {
            var found = false;
            foreach (var source in parameter.Sources)
                found |= Hold(resource, resource, source, $"{resource.TypeName}?{parameter.Name}");
            foreach (var root in parameter.Components.Count == 0 ? [] : parameter.Sources.SelectMany(s => s.Select(resource)).ToArray())
                foreach (var source in parameter.Components.SelectMany(c => c.Sources).Where(s => !s.FromResource))
                    Hold(resource, root, source, $"{resource.TypeName}?{parameter.Name}");
            held++;
            if (found)
                filled.Add($"{resource.TypeName}?{parameter.Name}");
        }
        Assert.True(held > 11_000, $"{held}");
        // A comparison of nothing with nothing would hold anything.
        var empty = string.Join(' ', Everything.Select(e => $"{e.Resource.TypeName}?{e.Parameter.Name}").Distinct().Except(filled));
        Assert.True(empty.Length == 0, empty);
        foreach (var resource in Sample.SharedFiles("synthea").Concat(Sample.SharedFiles("fi-base")).Select(f => ResourceParser.Parse(File.ReadAllBytes(f)).Resource)
            .SelectMany(r => r is Bundle bundle ? bundle.Entry.Select(e => e.Resource) : [r]).OfType<Resource>().GroupBy(r => r.TypeName).SelectMany(g => g.Take(8)))
            foreach (var parameter in SearchParameters.Of(resource.TypeName))
                foreach (var source in parameter.Sources)
                    Hold(resource, resource, source, $"{resource.TypeName}?{parameter.Name}");
    }

    private static bool Hold(Resource resource, Base root, ElementSource source, string parameter)
    {
        // resolve() would need the network; what it then selects is held by the test of references. as(DateTime) is a slip of R4.
        var expression = Resolving().Replace(source.Expression, "").Replace("as(DateTime)", "as(dateTime)", StringComparison.Ordinal);
        var expected = expression.Contains("exists()", StringComparison.Ordinal) ? [new FhirBoolean(root.Predicate(expression))] : root.Select(expression).OfType<Base>().ToList();
        var actual = source.Select(root).ToList();
        Assert.True(expected.Count == actual.Count && expected.Zip(actual).All(p => p.First.IsExactly(p.Second)), $"{parameter} of {resource.TypeName}: {source.Expression}");
        return actual.Count > 0;
    }

    [GeneratedRegex(@"\.where\(resolve\(\) is [A-Za-z]+\)")]
    private static partial Regex Resolving();

    [Fact]
    public void Every_parameter_of_a_full_resource_has_something_to_be_found_by()
    {
        var without = string.Join(' ', Everything.GroupBy(e => $"{e.Resource.TypeName}?{e.Parameter.Name}").Where(g => g.All(e => !Has(e.Resource, e.Parameter))).Select(g => g.Key));
        Assert.True(without.Length == 0, without);
    }

    private static bool Has(Resource resource, SearchParameter parameter)
    {
        var entry = Indexer.Build(new() { Type = resource.TypeName, ResourceSequence = 1, RowSequence = 1, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch }, resource);
        return new SearchValues(new IndexEntry(entry).Values).Next(parameter.Code);
    }

    [Fact]
    public void Values_lie_in_the_order_of_their_codes()
    {
        foreach (var type in ResourceTypes.Served)
        {
            var entry = Indexer.Build(new() { Type = type, ResourceSequence = 1, RowSequence = 1, Controller = "1.2", LastUpdated = DateTimeOffset.UnixEpoch }, FullResources.Of(type, 1));
            var values = new SearchValues(new IndexEntry(entry).Values);
            for (var last = 0; values.Next(); last = values.Code)
                Assert.True(values.Code >= last, $"{type}: {values.Code} after {last}");
        }
    }

    /// <summary>The codes stand in stored entries. A change of this fingerprint is a change of what they mean.</summary>
    [Fact]
    public void Names_are_only_ever_added_to_the_table()
    {
        using var stream = typeof(SearchParameters).Assembly.GetManifestResourceStream("search-parameter-names.txt")!;
        using var reader = new StreamReader(stream);
        var names = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(names.Length, names.Distinct(StringComparer.Ordinal).Count());
        Assert.Equal("5f4cfbcd57da5d43", Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', names[..441]))))[..16]);
        Assert.Empty(ModelInfo.SearchParameters.Where(p => ResourceTypes.IsServed(p.Resource) && SearchParameters.WhyNot(p.Name!) is null).Select(p => p.Name!).Except(names));
    }

    [Fact]
    public void What_a_client_calls_a_type_is_not_remembered()
    {
        Assert.Empty(SearchParameters.Of("Nonsense"));
        Assert.Null(SearchParameters.Find("Nonsense", "code"));
        Assert.Same(SearchParameters.Of("Nonsense"), SearchParameters.Of("Other"));
    }
}
