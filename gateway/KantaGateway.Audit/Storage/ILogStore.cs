using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit.Storage;

/// <summary>
/// Where a log is kept: its rows, the tree over them, and the checkpoint. One thread of the log writes; finding and reading is for any. What an engine throws says that nothing is
/// known to be durable of what was under way; <see cref="Recover"/> comes before anything else is written.
/// </summary>
/// <remarks>Rows are numbered without gaps in the order of their commits, and never change.</remarks>
interface ILogStore : IDisposable
{
    // :: The writing thread

    /// <summary>Bytes that the next commit will write.</summary>
    int Waiting { get; }

    void Begin();

    void Insert(SealedRow row);

    /// <summary>Now everything since <see cref="Begin"/> is durable, and found by its subject.</summary>
    /// <returns>Index of the first row; the others follow it.</returns>
    /// <exception cref="IOException">It is not known to be.</exception>
    /// <exception cref="AuditStoreException">The store is not the one that was written to.</exception>
    long Commit();

    /// <summary>Does what a commit has left to be done and nobody waits for.</summary>
    void Grow();

    /// <summary>Whether there may be durable rows that no published checkpoint covers, or a checkpoint that another log has published.</summary>
    bool IsBehind { get; }

    /// <summary>Now <see cref="Published"/> covers every row that was durable before.</summary>
    /// <exception cref="IOException">Whether it was stored is not known; it is not shown.</exception>
    void Publish();

    /// <summary>After a failure: makes the store what it is known to be, or finds that it is that.</summary>
    /// <exception cref="IOException">It is not back.</exception>
    /// <exception cref="AuditStoreException">It is back without what it had acknowledged.</exception>
    void Recover();

    // :: Any thread

    /// <summary>What this log knows to be published.</summary>
    PublishedTree Published { get; }

    /// <summary>What is published by now, by whichever of the logs that share the store.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    ValueTask<PublishedTree> NewestAsync();

    /// <summary>The row of an index; null when there is none, and where it was pruned.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    /// <exception cref="AuditStoreException">It was taken away, and no note of the log says so.</exception>
    ValueTask<SealedRow?> RowAtAsync(long index);

    /// <summary>A person's entries before an index, newest first: as many as asked for, or all that there are. What is found under the person and is not the person's is passed over, and said.</summary>
    /// <param name="mostBytes">The one with which their sealed texts are longer than this together is the last.</param>
    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    ValueTask<IReadOnlyList<SealedEntry>> OfSubjectAsync(byte[] tag, int limit, long before, long mostBytes);

    /// <summary>Cuts a stretch of rows into parts that can be read beside each other, in the order of their indices.</summary>
    IReadOnlyList<(long From, long To)> PartsOf(long from, long to);

    /// <summary>Reads a part, row after row. What is given is the same batch each time, filled anew.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be asked, or was pruned meanwhile.</exception>
    /// <exception cref="AuditStoreException">A row is missing or malformed.</exception>
    IEnumerable<RowBatch> Read((long From, long To) part);

    /// <summary>The cosigned note that was kept last; null: none. Whether it is one is the caller's to know.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    ValueTask<string?> CosignedAsync();

    /// <summary>Keeps a cosigned note of a published size in the place of one that is not larger: it is durable when this returns. A larger one stays.</summary>
    /// <returns>Whether it was kept.</returns>
    /// <exception cref="AuditUnavailableException">It is not known to be.</exception>
    ValueTask<bool> KeepCosignedAsync(long size, string note);

    /// <summary>What was pruned, by whichever log shares the store; null: nothing.</summary>
    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    /// <exception cref="AuditStoreException">The note is not signed by the log.</exception>
    ValueTask<Pruning?> PrunedAsync();

    /// <summary>The largest index, not above one, before which the store can be pruned.</summary>
    ValueTask<long> BoundaryAsync(long atMost);

    /// <summary>Keeps the note, and then takes away envelopes, tags and whatever finds entries, of all before it. Nothing of them is to be had from when the note is durable; what a kill leaves half done is done by the next call, or the next opening.</summary>
    /// <param name="pruning">At a boundary.</param>
    /// <exception cref="IOException">It may not be at its end.</exception>
    /// <exception cref="AuditStoreException">A row is not what it must be, or the store keeps it still.</exception>
    Task PruneAsync(Pruning pruning, CancellationToken cancel);

    /// <summary>Reads everything; see <see cref="AuditVerification"/>.</summary>
    AuditVerification Verify(string? earlierCheckpoint);
}

/// <summary>What is shown to the world: a signed tree. Immutable.</summary>
/// <param name="Size">Number of leaves.</param>
/// <param name="Note">The checkpoint.</param>
abstract record PublishedTree(long Size, string Note)
{
    /// <summary>Reads a tile or entry bundle that this tree has; null when the store lacks it.</summary>
    public abstract ValueTask<byte[]?> ReadAsync(TilePath tile);

    /// <summary>Audit path of a leaf in the tree of a size that was published.</summary>
    /// <exception cref="AuditStoreException">The store lacks a tile of it.</exception>
    public ValueTask<IReadOnlyList<byte[]>> ProveInclusionAsync(long index, long size) => TiledTree.ProveInclusionAsync(size, index, ReadTileAsync);

    /// <summary>Proof that the tree of a size continues the one of a smaller size; both were published.</summary>
    /// <exception cref="AuditStoreException">The store lacks a tile of it.</exception>
    public ValueTask<IReadOnlyList<byte[]>> ProveConsistencyAsync(long earlier, long size) => TiledTree.ProveConsistencyAsync(size, earlier, ReadTileAsync);

    /// <summary>The same for who is known and waits for a proof, where the public must not be in the way.</summary>
    private protected virtual ValueTask<byte[]?> ReadForProofAsync(TilePath tile) => ReadAsync(tile);

    /// <summary>Reads a tile that this tree has, as for a proof.</summary>
    /// <exception cref="AuditStoreException">The store lacks it.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<byte[]> ReadTileAsync(TilePath tile) => await ReadForProofAsync(tile).ConfigureAwait(false) ?? throw new AuditStoreException($"The store lacks the hashes of {tile}.");
}
