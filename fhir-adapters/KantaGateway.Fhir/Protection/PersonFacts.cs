using Hl7.Fhir.Model;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Fhir.Protection;

/// <summary>What decisions rest on in a Patient record: day of birth, death, non-disclosure for personal safety. Pure.</summary>
public static class PersonFacts
{
    private static readonly ushort[] Codes = [.. ((string[])["birthdate", "deceased", "death-date"]).Select(n => SearchParameters.Find("Patient", n)!.Code)];

    /// <summary>Of a record that knows none of it.</summary>
    private static readonly byte[] Blank = Indexer.Build(new() { Type = "Patient", ResourceSequence = 0, RowSequence = 1, Controller = "", LastUpdated = DateTimeOffset.UnixEpoch }, new Patient());

    /// <summary>Whether a new version tells other facts than the one before it.</summary>
    /// <param name="entry">Index entry of the new version.</param>
    /// <param name="before">Of the version that it replaces; empty: it is the first.</param>
    public static bool Differ(ReadOnlySpan<byte> entry, ReadOnlySpan<byte> before)
    {
        var now = new IndexEntry(entry);
        var then = new IndexEntry(before.IsEmpty ? Blank : before);
        return now.NonDisclosure != then.NonDisclosure || !now.HasSameValues(then, Codes);
    }
}
