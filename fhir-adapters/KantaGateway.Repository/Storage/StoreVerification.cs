using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Storage;

/// <summary>What a check of a whole store found that can be seen without opening anybody's record.</summary>
/// <param name="Compartments">Looked at, those of destroyed people too.</param>
/// <param name="Faults">Everything that is not as it was written, at most <see cref="MaxFaults"/>. A compartment is named by its place in the order of the store: without personal data.</param>
public sealed record StoreVerification(long Compartments, IReadOnlyList<string> Faults)
{
    public const int MaxFaults = 100;

    private const int AtOnce = 100;

    /// <summary>What it cannot see, for whoever reads that a store is whole.</summary>
    public const string NotSeen = """
        Not verified, for it takes people's keys: whether what a row or a part of a content holds is what was written there (changed, swapped, an older one); every read of it does that.
        Not verified, for nothing in the store tells: whether the newest rows of a compartment were taken away together with its head, or a compartment as a whole. The audit log names every version that was written.
        """;

    public bool IsWhole => Faults.Count == 0;

    /// <summary>
    /// Looks at every compartment: rows without gaps up to the head and none behind it, contents with their parts, the wrapped key its own and under a key that serves, nothing left of who is destroyed
    /// and nobody made out to be who is not, no row that is nobody's. May run while the store is used. Needs no grant: the key service wraps each key anew, and gives none out.
    /// </summary>
    /// <exception cref="KantaGateway.Fhir.Outcomes.FaultException">The key service does not answer.</exception>
    /// <exception cref="StoreException">The database does not.</exception>
    internal static async Task<StoreVerification> OfAsync(ICompartmentStore store, KeyClient keys, CancellationToken cancel)
    {
        var faults = new List<string>();
        var seen = 0L;
        for (var page = await store.CountRowsAsync(null, AtOnce, cancel).ConfigureAwait(false); page.Count > 0; page = await store.CountRowsAsync(page[^1].Compartment, AtOnce, cancel).ConfigureAwait(false))
        {
            var wrapped = await keys.RewrapAsync([.. page.Select(counted => new StoredKey(counted.Compartment, counted.WrappedKey))], cancel).ConfigureAwait(false);
            for (var i = 0; i < page.Count; i++)
            {
                seen++;
                foreach (var fault in FaultsOf(page[i], wrapped[i]))
                    Fault($"compartment {seen}: {fault}");
            }
        }
        if (await store.CountStraysAsync(cancel).ConfigureAwait(false) is > 0 and var strays)
            Fault($"{strays} rows or contents are of no compartment that is there");
        return new(seen, faults);

        void Fault(string fault)
        {
            if (faults.Count < MaxFaults)
                faults.Add(fault);
        }
    }

    private static IEnumerable<string> FaultsOf(CountedRows counted, byte[]? wrapped)
    {
        var isDestroyed = wrapped is { Length: 0 };
        if (wrapped is null)
            yield return counted.WrappedKey.Length == 0 ? "it is made out to be destroyed, and the key service knows nothing of that" : "its wrapped key is not its own, was changed, or its wrapping key does not serve";
        if (isDestroyed || counted.WrappedKey.Length == 0)
        {
            if (isDestroyed && (counted.WrappedKey.Length > 0 || counted.Entries.Count + counted.Bodies.Count > 0))
                yield return "it is of a person whose key is destroyed, and something of it is here again";
            yield break;
        }
        if (!counted.Entries.AreAll(counted.Head))
            yield return $"its entries are not those from 1 to its head, {counted.Head}";
        if (!counted.Bodies.AreAll(counted.Head))
            yield return $"its bodies are not those from 1 to its head, {counted.Head}";
        if (counted.LostContents > 0)
            yield return $"{counted.LostContents} of its contents have not all parts, or not their row";
    }
}
