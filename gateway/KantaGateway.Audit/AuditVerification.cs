using KantaGateway.Audit.Storage;

namespace KantaGateway.Audit;

/// <summary>What a check of a whole store found.</summary>
/// <param name="Entries">Rows read.</param>
/// <param name="Published">The stored checkpoint; null when its signature is not this log's.</param>
/// <param name="Faults">Everything that is not as it must be, at most <see cref="MaxFaults"/>; empty for an intact log. Without personal data.</param>
/// <param name="Pruned">What was pruned lawfully; null: nothing.</param>
/// <param name="Left">What of that is there still, since somebody stopped it on its way: pieces of content, and of what finds it. Opening the log takes it away.</param>
public sealed record AuditVerification(long Entries, Checkpoint? Published, IReadOnlyList<string> Faults, Pruning? Pruned = null, long Left = 0)
{
    public const int MaxFaults = 100;

    public bool IsIntact => Faults.Count == 0;

    /// <summary>
    /// Reads every entry, recomputes leaves, tiles and roots, and compares them with what is stored and signed. Finds a
    /// changed, dropped, inserted or reordered entry, changed hashes, a subject index that hides an entry, a forged checkpoint and, against a
    /// checkpoint that was kept elsewhere, a fork or a log rolled back. So is content that was taken away, but for what a note of the log says was pruned. Needs no secret. May run while the log is written or pruned. Its memory does not
    /// grow with the log.
    /// </summary>
    /// <param name="earlierCheckpoint">A signed note of this log from any time before.</param>
    /// <exception cref="AuditStoreException">There is no such store.</exception>
    public static AuditVerification Of(string folder, NoteVerifier log, string? earlierCheckpoint = null)
    {
        LogStore.CheckIdentity(folder, log);
        return Of(log, LogStore.ReadCheckpoint(folder), earlierCheckpoint, () => LogStore.ReadPruned(folder), (published, earlier, pruned, fault) => new FilesReading(folder, published, earlier, pruned, fault));
    }

    /// <summary>The same of any store.</summary>
    /// <param name="log">Its key.</param>
    /// <param name="note">The stored checkpoint.</param>
    /// <param name="earlierCheckpoint">As above.</param>
    /// <param name="readPruned">The stored note of what was pruned; null: none.</param>
    /// <param name="open">Given the two checkpoints and what was pruned, null where they are not the log's, and where faults go. First what is signed, then what follows from the rows, then the rows: what is added meanwhile is only more.</param>
    internal static AuditVerification Of(NoteVerifier log, string note, string? earlierCheckpoint, Func<string?> readPruned, Func<Checkpoint?, Checkpoint?, Pruning?, Action<string>, LogReading> open)
    {
        while (true)
        {
            var pruned = readPruned();
            var found = Of(log, note, earlierCheckpoint, pruned, open);
            // What is missing may have been pruned meanwhile.
            if (readPruned() == pruned)
                return found;
        }
    }

    private static AuditVerification Of(NoteVerifier log, string note, string? earlierCheckpoint, string? prunedNote, Func<Checkpoint?, Checkpoint?, Pruning?, Action<string>, LogReading> open)
    {
        var faults = new List<string>();
        void Fault(string fault)
        {
            if (faults.Count < MaxFaults)
                faults.Add(fault);
        }

        var earlier = default(Checkpoint);
        if (earlierCheckpoint is not null && !Checkpoint.TryOpen(earlierCheckpoint, log, out earlier))
            Fault("the earlier checkpoint is not signed by this log");
        if (!Checkpoint.TryOpen(note, log, out var published))
            Fault("the stored checkpoint is not signed by this log");

        var pruned = default(Pruning);
        if (prunedNote is not null && !Pruning.TryOpen(prunedNote, log, out pruned))
            Fault("the note of what was pruned is not signed by this log");

        var reading = open(published, earlier, pruned, Fault);
        reading.ListTiles();
        reading.CheckRoots();
        try
        {
            reading.ReadRows();
        }
        catch (AuditStoreException e)
        {
            Fault(e.Message);
        }
        var size = reading.Edge.Size;
        if (published is not null && published.Size > size)
            Fault($"the stored checkpoint has {published.Size} entries, the store {size}");
        if (earlier is not null && earlier.Size > (published?.Size ?? 0))
            Fault($"rolled back: the earlier checkpoint has {earlier.Size} entries, the stored one {published?.Size ?? 0}");
        reading.CheckTaken();
        reading.CheckLeftTiles();
        reading.CheckSubjects();
        return new(size, published, faults, pruned, reading.Left);
    }
}
