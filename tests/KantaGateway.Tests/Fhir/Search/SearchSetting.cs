using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Tests.Fhir.Search;

/// <summary>Where and when the searches of the tests take place.</summary>
static class SearchSetting
{
    public const string Base = "https://gateway.example/fhir";

    public static Pseudonym Compartment { get; } = Pseudonym.Read("0123456789"u8);

    public static DateTimeOffset Now { get; } = new(2030, 6, 15, 12, 0, 0, TimeSpan.Zero);

    public static IdentifierCipher Ids { get; } = new(new byte[IdentifierCipher.KeySize]);

    public static (SearchQuery? Query, Fault? Fault) Parse(string type, string form, bool lenient = false) => SearchQuery.Parse(type, form, Ids, Compartment, Now, Base, lenient);

    /// <summary>A query that must be understood.</summary>
    public static SearchQuery Read(string type, string form)
    {
        var (query, fault) = Parse(type, form);
        Assert.True(fault is null, fault?.Issues[0].Diagnostics);
        return query!;
    }

    /// <summary>Whether a resource is found among none but itself.</summary>
    public static bool Finds(Resource resource, string form)
    {
        var space = new InMemorySpace();
        space.Add(resource);
        return space.Search(Read(resource.TypeName, form)).Count == 1;
    }
}
