using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
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
        Not verified, for the key service is told how far a compartment is up to a quarter of a second late: whether rows are gone that were written in the last quarter of a second before a repository was killed. The audit log names every version that was written.
        """;

    public bool IsWhole => Faults.Count == 0;

    /// <summary>
    /// Looks at every compartment: rows without gaps up to the head and none behind it, contents with their parts, the wrapped key its own and under a key that serves, nothing left of who is destroyed
    /// and nobody made out to be who is not, no row that is nobody's; and each as far as the key service was told that it is, with the same row in that place; that the rows before it are those that it goes on from, whoever opens the compartment sees. No compartment twice.
    /// May run while the store is used. Needs no grant: the key service wraps each key anew, and gives none out.
    /// </summary>
    /// <exception cref="KantaGateway.Fhir.Outcomes.FaultException">The key service does not answer.</exception>
    /// <exception cref="StoreException">The database does not.</exception>
    internal static async Task<StoreVerification> OfAsync(ICompartmentStore store, KeyClient keys, CancellationToken cancel)
    {
        var faults = new List<string>();
        var seen = 0L;
        var found = 0;
        Pseudonym? before = null;
        // Of those that are told of from now on, none is looked for.
        var (_, count, places) = await keys.KnownAsync([Pseudonym.Directory], cancel).ConfigureAwait(false);
        for (var page = await store.CountRowsAsync(null, AtOnce, cancel).ConfigureAwait(false); page.Count > 0; page = await store.CountRowsAsync(page[^1].Compartment, AtOnce, cancel).ConfigureAwait(false))
        {
            var known = await keys.KnownAsync([.. page.Select(counted => counted.Compartment)], cancel).ConfigureAwait(false);
            var wrapped = await keys.RewrapAsync([.. page.Select(counted => new StoredKey(counted.Compartment, counted.WrappedKey))], cancel).ConfigureAwait(false);
            for (var i = 0; i < page.Count; i++)
            {
                seen++;
                foreach (var fault in FaultsOf(page[i], wrapped[i]))
                    Fault($"compartment {seen}: {fault}");
                // Whoever has all rights can drop the key that keeps it from being there twice, and so make up for one that is gone.
                if (before is { } last && page[i].Compartment.ToArray().AsSpan().SequenceCompareTo(last.ToArray()) <= 0)
                {
                    Fault($"compartment {seen}: it is there twice, or not in its place");
                    continue;
                }
                before = page[i].Compartment;
                if (known.Heads[i] is not { } told)
                    continue;
                found += told.Place < places ? 1 : 0;
                if (page[i].WrappedKey.Length > 0 && !await HasAsync(store, page[i].Compartment, told.Head, cancel).ConfigureAwait(false))
                    Fault($"compartment {seen}: it has not the row that was once its last, {told.Head.Sequence}: it was cut back, or exchanged for another past");
            }
        }
        if (await store.CountStraysAsync(cancel).ConfigureAwait(false) is > 0 and var strays)
            Fault($"{strays} rows or contents are of no compartment that is there");
        if (count > found)
            Fault($"{count - found} compartments that there once were are gone");
        return new(seen, faults);

        void Fault(string fault)
        {
            if (faults.Count < MaxFaults)
                faults.Add(fault);
        }
    }

    /// <summary>Whether a compartment has the row that was once its last.</summary>
    private static async Task<bool> HasAsync(ICompartmentStore store, Pseudonym compartment, CompartmentHead head, CancellationToken cancel)
    {
        if (await store.ReadIndexAsync(compartment, head.Sequence - 1, cancel).ConfigureAwait(false) is not { } stored)
            return false;
        return stored.IsErased || (stored.Index is [var (sequence, entry), ..] && sequence == head.Sequence && entry.Length >= RowSeal.Overhead
            && CompartmentHead.Of(compartment, sequence, RowSeal.TagOf(entry)) == head);
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
