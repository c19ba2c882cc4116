namespace KantaGateway.Fhir.Grants;

/// <summary>Lists of names compared by what is in them, in their order; the same list is equal at once.</summary>
static class NameLists
{
    public static bool Same(IReadOnlyList<string>? one, IReadOnlyList<string>? other) =>
        ReferenceEquals(one, other) || (one is not null && other is not null && one.SequenceEqual(other));

    /// <summary>Enough to tell most lists apart: how many, and the first. Two hundred denied visits are not hashed for each request.</summary>
    public static int Hash(IReadOnlyList<string>? names) => names is { Count: > 0 } ? HashCode.Combine(names.Count, names[0]) : names is null ? 0 : 1;
}
