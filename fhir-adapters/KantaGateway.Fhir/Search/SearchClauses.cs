namespace KantaGateway.Fhir.Search;

/// <summary>One occurrence of a parameter in a query. Immutable.</summary>
abstract class SearchClause
{
    /// <summary>Whether it looks at other resources too, and so needs a <see cref="SearchRun"/>.</summary>
    public virtual bool LooksBeyond => false;

    /// <param name="run">Null where the query looks at nothing beyond its type.</param>
    /// <param name="record">Whose entry it is; null with <paramref name="run"/>.</param>
    public abstract bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record);
}

/// <param name="sequences">Of the resources that may match.</param>
sealed class IdClause(List<long> sequences) : SearchClause
{
    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record) => sequences.Contains(entry.ResourceSequence);
}

sealed class LastUpdatedClause(List<TimeTest> tests) : SearchClause
{
    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record)
    {
        var range = TimeRange.Millisecond(entry.LastUpdatedTicks);
        foreach (var test in tests)
            if (test.Holds(range))
                return true;
        return false;
    }
}

/// <summary>Some value of the parameter passes one of the tests; with <c>:not</c>, none does.</summary>
sealed class ValueClause(ushort code, ValueTest[] tests, bool isNegated) : SearchClause
{
    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record)
    {
        var values = new SearchValues(entry.Values);
        while (values.Next(code))
            foreach (var test in tests)
                if (test.Holds(values.Kind, values.Payload))
                    return !isNegated;
        return isNegated;
    }
}

/// <summary>The <c>url</c> of what is defined, asked for with the version: both are the resource's own (hl7.org/fhir/R4/search.html#uri).</summary>
/// <param name="canonicals">Each <c>url|version</c>.</param>
sealed class DefinitionClause(SearchParameter url, SearchParameter version, IReadOnlyList<byte[]> canonicals, UriMode mode) : SearchClause
{
    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record)
    {
        foreach (var canonical in canonicals)
        {
            CanonicalText.Split(canonical, out var asked, out var askedVersion);
            if (Any(entry, url, askedVersion.IsEmpty ? mode : UriMode.Same, asked) && (askedVersion.IsEmpty || AnyVersion(entry, askedVersion)))
                return true;
        }
        return false;
    }

    private static bool Any(in IndexEntry entry, SearchParameter parameter, UriMode mode, ReadOnlySpan<byte> asked)
    {
        var values = new SearchValues(entry.Values);
        while (values.Next(parameter.Code))
            if (CanonicalText.Fits(mode, asked, values.Payload))
                return true;
        return false;
    }

    private bool AnyVersion(in IndexEntry entry, ReadOnlySpan<byte> asked)
    {
        var values = new SearchValues(entry.Values);
        while (values.Next(version.Code))
            if (CanonicalText.FitsVersion(mode, asked, SearchValues.CodeOf(values.Payload)))
                return true;
        return false;
    }
}

/// <summary><c>:missing</c>.</summary>
sealed class MissingClause(ushort code, bool isMissing) : SearchClause
{
    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record) => new SearchValues(entry.Values).Next(code) != isMissing;
}

/// <summary>A chain: the parameter refers to something that matches.</summary>
/// <param name="inner">By the types that it may refer to; any of them.</param>
sealed class ChainClause(SearchParameter reference, IReadOnlyList<SearchQuery> inner) : SearchClause
{
    public override bool LooksBeyond => true;

    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record)
    {
        if (run is null)
            throw new InvalidOperationException("A chain needs a space to look at.");
        var values = new SearchValues(entry.Values);
        while (values.Next(reference.Code))
            if (values.Kind == ValueKind.Reference)
                foreach (var query in inner)
                    if (run.LeadsInto(run.MatchesOf(query), reference, SearchRun.Plain(values.Payload)))
                        return true;
        return false;
    }
}

/// <summary><c>_has</c>: something that matches refers to it.</summary>
sealed class HasClause(SearchParameter reference, SearchQuery inner) : SearchClause
{
    public override bool LooksBeyond => true;

    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record) => run is null || record is null
        ? throw new InvalidOperationException("A reverse chain needs a space to look at.")
        : run.TargetsOf(inner, reference).Contains($"{record.Type}/{run.Space.IdOf(record)}");
}

/// <summary><c>:above</c> and <c>:below</c> of a reference: it leads to one of the resources named, or to what they are part of, or to their parts.</summary>
/// <param name="roots">Each as <c>Type/id</c>.</param>
sealed class HierarchyClause(SearchParameter reference, IReadOnlyList<(string Type, string Id)> roots, bool above) : SearchClause
{
    public override bool LooksBeyond => true;

    public override bool Holds(in IndexEntry entry, SearchRun? run, SearchRecord? record)
    {
        if (run is null)
            throw new InvalidOperationException("A hierarchy needs a space to look at.");
        var values = new SearchValues(entry.Values);
        while (values.Next(reference.Code))
            if (values.Kind == ValueKind.Reference && SearchRun.Plain(values.Payload) is var literal)
                foreach (var root in roots)
                    if (run.HierarchyOf(root, above).Contains(literal))
                        return true;
        return false;
    }
}
