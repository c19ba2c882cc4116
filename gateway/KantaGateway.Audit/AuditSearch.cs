using System.Numerics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit;

/// <summary>Whether an opened entry is looked for. Called from several threads at once; what it is given is there for the call alone.</summary>
/// <param name="record">As in <see cref="OpenedEntry.Record"/>.</param>
/// <param name="withheld">As in <see cref="OpenedEntry.Withheld"/>; empty where nothing is.</param>
public delegate bool EntryTest(ReadOnlySpan<byte> record, ReadOnlySpan<byte> withheld);

/// <summary>The keys of encapsulated keys, 32 bytes each, in their order; null for one that no log has made. Whoever asks zeroes them.</summary>
public delegate Task<IReadOnlyList<byte[]?>> EntryKeys(IReadOnlyList<byte[]> encs, CancellationToken cancel);

/// <summary>
/// A look through all entries of a stretch of time, opened with keys that the reader gives for the seconds of it: of a day some hundred thousand, however many entries there are. Each row is read once;
/// each processor reads a part of its own, opens in memory that it uses again, and throws away what is not looked for.
/// </summary>
/// <param name="From">Earliest time, inclusive.</param>
/// <param name="To">Latest time, inclusive.</param>
/// <param name="Keys">Asked with at most <see cref="KeysTogether"/> at a time, by several parts at once.</param>
/// <param name="IsWanted">Which entries to give back.</param>
public sealed record AuditSearch(DateTimeOffset From, DateTimeOffset To, EntryKeys Keys, EntryTest IsWanted)
{
    /// <summary>Most keys that may be asked for at once.</summary>
    public const int MostKeys = 4_096;

    /// <summary>Keys that a search asks for at once: some tens of milliseconds of whoever gives them, who has other callers too, and these do not wait for ever.</summary>
    public const int KeysTogether = 256;

    /// <summary>Most entries that are found: they are held in memory. Beyond, ask for less at a time.</summary>
    public const int MostFound = 1_000_000;

    /// <summary>Most unreadable entries that are named.</summary>
    public const int MostNamed = 1_000;

    /// <summary>By how much the order of the rows may differ from that of their times: several logs write, each by its own clock, and a row waits for the disk.</summary>
    public static readonly TimeSpan Disorder = TimeSpan.FromMinutes(10);

    /// <summary>Parts that are read at a time; by default two for each processor, of which one may wait for keys or the disk while the other is opened.</summary>
    public int Parallelism { get; init; } = 2 * Environment.ProcessorCount;

    internal async Task<AuditFindings> RunAsync(ILogStore store, PublishedTree published, NoteVerifier log, CancellationToken cancel)
    {
        var edge = CommittedHashes.EdgeOf(published, log);
        var hashes = new CommittedHashes(published, edge);
        var pruned = (await store.PrunedAsync().ConfigureAwait(false))?.Before ?? 0;
        var from = await FirstAtAsync(store, hashes, pruned, published.Size, From - Disorder, orLater: false).ConfigureAwait(false);
        var to = await FirstAtAsync(store, hashes, pruned, published.Size, To + Disorder, orLater: true).ConfigureAwait(false);
        var findings = new AuditFindings(published, edge) { PrunedBefore = pruned };
        await Parallel.ForEachAsync(store.PartsOf(from, to), new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancel }, async (part, stop) =>
        {
            using var reading = new Reading(this, findings, new(published, edge));
            foreach (var batch in store.Read(part))
                await reading.ReadAsync(batch, stop).ConfigureAwait(false);
        }).ConfigureAwait(false);
        findings.Sort();
        return findings;
    }

    /// <summary>The first of the rows that are of that time or later, but for the disorder. What a row says that the tree has not committed to is not believed.</summary>
    /// <param name="orLater">Where rows are not believed: whether it may be a later one, or an earlier.</param>
    private static async ValueTask<long> FirstAtAsync(ILogStore store, CommittedHashes hashes, long pruned, long size, DateTimeOffset time, bool orLater)
    {
        long low = pruned, high = size;
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            var row = await store.RowAtAsync(middle).ConfigureAwait(false) ?? throw new AuditStoreException($"The row {middle} is missing.");
            var isCommitted = await hashes.HasAsync(middle, row).ConfigureAwait(false);
            if (isCommitted ? row.Time < time.ToUnixTimeMilliseconds() : orLater)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    /// <summary>What one thread needs.</summary>
    private sealed class Reading(AuditSearch search, AuditFindings findings, CommittedHashes hashes) : IDisposable
    {
        private readonly Dictionary<UInt128, AesGcm?> _ciphers = [];
        private readonly long _from = (search.From - Disorder).ToUnixTimeMilliseconds(), _to = (search.To + Disorder).ToUnixTimeMilliseconds();
        private readonly List<FoundEntry> _found = [];
        private bool[] _isCommitted = [];
        private byte[] _plain = [];
        private int _read;

        public async ValueTask ReadAsync(RowBatch batch, CancellationToken cancel)
        {
            // Before anything else of a row is believed: whoever can write to the store would hide it by another in its place.
            _isCommitted = await hashes.CompareAsync(batch).ConfigureAwait(false);
            await GetKeysAsync(batch, cancel).ConfigureAwait(false);
            cancel.ThrowIfCancellationRequested();
            _read = 0;
            for (var i = 0; i < batch.Count; i++)
                Read(batch.IndexAt(i), batch[i], _isCommitted[i]);
            // Here where its tile is at hand: whoever asks for the proofs asks in the order of the persons.
            foreach (var found in _found)
                findings.Add(found with { Beside = await hashes.BesideAsync(found.Entry.Index).ConfigureAwait(false) });
            _found.Clear();
            findings.CountRead(_read);
        }

        private async ValueTask GetKeysAsync(RowBatch batch, CancellationToken cancel)
        {
            if (_ciphers.Count > 2 * MostKeys)
                Forget();
            var (missing, names) = (new List<byte[]>(), new HashSet<UInt128>());
            for (var i = 0; i < batch.Count; i++)
                if (_isCommitted[i] && IsInTime(batch[i]))
                {
                    var enc = SealedRow.EncIn(SealedRow.EnvelopeOf(batch[i]));
                    // No more keys are given than the time has seconds: what somebody has put there takes none of them.
                    if (!_ciphers.ContainsKey(NameOf(enc)) && !names.Contains(NameOf(enc)) && SealedRow.HasOwnEnvelope(batch[i]) && names.Add(NameOf(enc)))
                        missing.Add(enc.ToArray());
                }
            foreach (var some in missing.Chunk(KeysTogether))
            {
                var keys = await search.Keys(some, cancel).ConfigureAwait(false);
                findings.CountKeys(some.Length);
                for (var i = 0; i < some.Length; i++)
                {
                    _ciphers[NameOf(some[i])] = keys[i] is { } key ? new AesGcm(key, EntrySealer.GcmTagLength) : null;
                    CryptographicOperations.ZeroMemory(keys[i]);
                }
            }
        }

        private void Read(long index, ReadOnlySpan<byte> stored, bool isCommitted)
        {
            // What is of another time by its own word has to be that by the tree's.
            if (isCommitted && !IsInTime(stored) && SealedRow.HasOwnEnvelope(stored))
                return;
            _read++;
            if (!isCommitted || !IsInTime(stored))
            {
                findings.AddUnreadable(index);
                return;
            }
            var leaf = SealedRow.LeafOf(stored);
            var envelope = SealedRow.EnvelopeOf(stored);
            var commitment = leaf[..32];
            var ciphertext = SealedRow.SealedIn(envelope);
            var length = ciphertext.Length - EntrySealer.GcmTagLength;
            if (length < EntrySealer.SaltLength + 1 || !_ciphers.TryGetValue(NameOf(SealedRow.EncIn(envelope)), out var cipher) || cipher is null)
            {
                findings.AddUnreadable(index);
                return;
            }
            if (_plain.Length < length)
                _plain = new byte[Math.Max(length, 1 << 14)];
            var plain = _plain.AsSpan(0, length);
            try
            {
                cipher.Decrypt(EntrySealer.NonceOf(commitment), ciphertext[..length], ciphertext[length..], plain, commitment);
            }
            catch (CryptographicException)
            {
                findings.AddUnreadable(index);
                return;
            }
            if (!PlainEntry.TryParse(plain, out var entry))
            {
                findings.AddUnreadable(index);
                return;
            }
            // Whoever had this second's key has sealed this for this commitment, wherever its envelope has been: the tag says so, and the key is that of an envelope which the tree has committed to.
            // That is enough to throw it away, and saves a hash of each. What is given back is held against the commitment too, and of it time and person are told.
            if (!search.IsWanted(entry.Record, entry.Withheld))
                return;
            if (!entry.IsOf(commitment) || !SealedRow.HasOwnEnvelope(stored))
                findings.AddUnreadable(index);
            else
                _found.Add(new(entry.Open(index, DateTimeOffset.FromUnixTimeMilliseconds(SealedRow.TimeIn(envelope))), leaf.ToArray()));
        }

        private bool IsInTime(ReadOnlySpan<byte> stored) => SealedRow.TimeIn(SealedRow.EnvelopeOf(stored)) is var time && time >= _from && time <= _to;

        /// <summary>Half of a key that is chosen at random tells it from every other.</summary>
        private static UInt128 NameOf(ReadOnlySpan<byte> enc) => MemoryMarshal.Read<UInt128>(enc);

        private void Forget()
        {
            foreach (var cipher in _ciphers.Values)
                cipher?.Dispose();
            _ciphers.Clear();
        }

        public void Dispose()
        {
            Forget();
            CryptographicOperations.ZeroMemory(_plain);
        }
    }
}

/// <summary>The leaf hashes of a published tree, each tile of them traced to the root that the log has signed. The last tile of each level is kept. Not thread-safe.</summary>
/// <param name="edge">As <see cref="EdgeOf"/> gives it.</param>
sealed class CommittedHashes(PublishedTree published, byte[]?[] edge)
{
    private const int Levels = 8;

    private readonly (long Index, byte[]? Hashes)[] _last = [.. Enumerable.Repeat((-1L, (byte[]?)null), Levels)];
    private readonly byte[] _leaves = new byte[TilePath.FullWidth * Merkle.HashLength];
    private bool[] _isCommitted = [];

    // The hashes of one full tile of leaves, then those of their pairs, and so on up to the last two.
    private readonly byte[] _subtrees = new byte[2 * (TilePath.FullWidth - 1) * Merkle.HashLength];
    private long _subtreesOf = -1;

    /// <summary>The unfinished tiles, level by level, null where there is none: the root is made of these alone.</summary>
    /// <exception cref="AuditStoreException">It is not the one that the log has signed.</exception>
    public static byte[]?[] EdgeOf(PublishedTree published, NoteVerifier log)
    {
        var edge = new byte[]?[Levels];
        var root = new TiledTree(published.Size, tile => edge[tile.Level] = published.ReadTileAsync(tile).AsTask().GetAwaiter().GetResult()).Root();
        return Checkpoint.TryOpen(published.Note, log, out var checkpoint) && checkpoint.Size == published.Size && checkpoint.Root.AsSpan().SequenceEqual(root)
            ? edge : throw new AuditStoreException("The tree of the audit store is not the one of its checkpoint.");
    }

    /// <summary>Whether an envelope is that of its leaf, and the leaf the one that the tree has there.</summary>
    /// <exception cref="AuditStoreException">The store lacks a tile.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<bool> HasAsync(long index, SealedRow row)
    {
        var isCommitted = new bool[1];
        await CompareAsync(index, Merkle.HashLeaf(row.Leaf), isCommitted).ConfigureAwait(false);
        return isCommitted[0] && SHA256.HashData(row.Envelope()).AsSpan().SequenceEqual(row.Leaf.AsSpan(32));
    }

    /// <summary>Whether the leaf of each row is the one that the tree has there.</summary>
    /// <returns>One for each, until the next call; what stands behind them is of none.</returns>
    /// <exception cref="AuditStoreException">The store lacks a tile.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<bool[]> CompareAsync(RowBatch batch)
    {
        if (_isCommitted.Length < batch.Count)
            _isCommitted = new bool[batch.Count];
        for (var (i, count) = (0, 0); i < batch.Count; i += count)
        {
            var first = batch.IndexAt(i);
            count = (int)Math.Min(batch.Count - i, TilePath.FullWidth - first % TilePath.FullWidth);
            for (var row = 0; row < count; row++)
                Merkle.HashLeaf(SealedRow.LeafOf(batch[i + row]), _leaves.AsSpan(row * Merkle.HashLength, Merkle.HashLength));
            await CompareAsync(first, _leaves.AsMemory(0, count * Merkle.HashLength), _isCommitted.AsMemory(i, count)).ConfigureAwait(false);
        }
        return _isCommitted;
    }

    /// <summary>Says of rows, by the hashes of their leaves, which are those that the log has signed.</summary>
    /// <param name="first">Index of the first. All are of one tile.</param>
    /// <param name="leaves">32 bytes each.</param>
    /// <param name="isCommitted">One for each.</param>
    /// <exception cref="AuditStoreException">The store lacks a tile.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask CompareAsync(long first, ReadOnlyMemory<byte> leaves, Memory<bool> isCommitted)
    {
        var number = first / TilePath.FullWidth;
        // A tile that is all here is not read: the hash of it stands in the tile above. Read it is only to say which rows are not what they were.
        if (isCommitted.Length == TilePath.FullWidth && await TileAsync(1, number / TilePath.FullWidth).ConfigureAwait(false) is { } above && IsIn(above, number, leaves.Span))
        {
            isCommitted.Span.Fill(true);
            return;
        }
        var tile = await TileAsync(0, number).ConfigureAwait(false);
        for (var i = 0; i < isCommitted.Length; i++)
            isCommitted.Span[i] = tile is not null && leaves.Span.Slice(i * Merkle.HashLength, Merkle.HashLength).SequenceEqual(HashIn(tile, first + i));
    }

    /// <summary>The part of a leaf's audit path that is within its tile, from its sibling up, 32 bytes each; null where the tile is unfinished.</summary>
    /// <exception cref="AuditStoreException">The store lacks the tile, or has another.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<byte[]?> BesideAsync(long index)
    {
        var (number, at) = Math.DivRem(index, TilePath.FullWidth);
        if (number == published.Size / TilePath.FullWidth)
            return null;
        if (_subtreesOf != number)
        {
            FillSubtrees(await RequireTileAsync(0, number).ConfigureAwait(false));
            _subtreesOf = number;
        }
        var beside = new byte[BitOperations.Log2(TilePath.FullWidth) * Merkle.HashLength];
        for (var (height, begin, width) = (0, 0, TilePath.FullWidth); width > 1; begin += width, width /= 2, at /= 2, height++)
            _subtrees.AsSpan((begin + ((int)at ^ 1)) * Merkle.HashLength, Merkle.HashLength).CopyTo(beside.AsSpan(height * Merkle.HashLength));
        return beside;
    }

    private void FillSubtrees(byte[] tile)
    {
        tile.CopyTo(_subtrees, 0);
        for (int from = 0, to = TilePath.FullWidth; to < _subtrees.Length / Merkle.HashLength; from += 2, to++)
        {
            var pair = _subtrees.AsSpan(from * Merkle.HashLength, 2 * Merkle.HashLength);
            Merkle.HashNode(pair[..Merkle.HashLength], pair[Merkle.HashLength..], _subtrees.AsSpan(to * Merkle.HashLength, Merkle.HashLength));
        }
    }

    /// <summary>A tile, as wide as it is in this tree.</summary>
    /// <exception cref="AuditStoreException">The store lacks it, or has another.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public async ValueTask<byte[]> RequireTileAsync(int level, long index) =>
        await TileAsync(level, index).ConfigureAwait(false) ?? throw new AuditStoreException($"The stored hashes of {new TilePath(level, index, TilePath.FullWidth)} are not those that the log has signed.");

    private ValueTask<byte[]?> TileAsync(int level, long index)
    {
        if (index == published.Size >> 8 * (level + 1))
            return new(edge[level]);
        return _last[level].Index == index ? new(_last[level].Hashes) : ReadAsync(level, index);
    }

    // A full tile is one hash of the tile above it.
    private async ValueTask<byte[]?> ReadAsync(int level, long index)
    {
        var hashes = await published.ReadTileAsync(new(level, index, TilePath.FullWidth)).ConfigureAwait(false);
        var above = await TileAsync(level + 1, index / TilePath.FullWidth).ConfigureAwait(false);
        _last[level] = (index, above is not null && hashes.Length == TilePath.FullWidth * Merkle.HashLength && IsIn(above, index, hashes) ? hashes : null);
        return _last[level].Hashes;
    }

    /// <summary>Whether the hashes of a whole tile make the one that the tile above has for it.</summary>
    private static bool IsIn(byte[] above, long index, ReadOnlySpan<byte> hashes)
    {
        Span<byte> root = stackalloc byte[Merkle.HashLength];
        TreeEdge.Subtree(hashes, root);
        return root.SequenceEqual(HashIn(above, index));
    }

    private static ReadOnlySpan<byte> HashIn(byte[] tile, long index) => tile.AsSpan((int)(index % TilePath.FullWidth) * Merkle.HashLength, Merkle.HashLength);
}

/// <summary>More entries are looked for than are held in memory (<see cref="AuditSearch.MostFound"/>): ask for less at a time.</summary>
public sealed class AuditSearchTooWideException() : Exception($"More than {AuditSearch.MostFound} entries are looked for.");

/// <summary>An entry that was found.</summary>
/// <param name="Leaf">Its leaf data in the tree, 64 bytes.</param>
public sealed record FoundEntry(OpenedEntry Entry, byte[] Leaf)
{
    /// <summary>As <see cref="CommittedHashes.BesideAsync"/> gives it.</summary>
    internal byte[]? Beside { get; init; }
}

/// <summary>What a search has found, and against which checkpoint each of it is proven.</summary>
public sealed class AuditFindings
{
    /// <summary>Proofs after which what they have in common is forgotten.</summary>
    private const int MostProven = 1 << 16;

    private readonly PublishedTree _published;
    private readonly CommittedHashes _hashes;
    private readonly List<FoundEntry> _found = [];
    private readonly List<long> _unreadable = [];
    private readonly Lock _adding = new();
    private long _read, _keys, _unreadableCount;
    private TiledTree _tree;
    private int _proven;

    /// <param name="edge">As <see cref="CommittedHashes.EdgeOf"/> gives it.</param>
    internal AuditFindings(PublishedTree published, byte[]?[] edge)
    {
        _published = published;
        _hashes = new(published, edge);
        _tree = NewTree();
    }

    /// <summary>The checkpoint, a signed note: nothing that is newer was searched.</summary>
    public string Checkpoint => _published.Note;

    /// <summary>How many entries it covers.</summary>
    public long Size => _published.Size;

    /// <summary>Entries with a smaller index were pruned (<see cref="Pruning"/>): nothing is known of them. 0: none.</summary>
    public long PrunedBefore { get; internal init; }

    /// <summary>Entries that were opened, or tried.</summary>
    public long Read => _read;

    /// <summary>Keys that were asked for.</summary>
    public long Keys => _keys;

    /// <summary>In the order of their indices.</summary>
    public IReadOnlyList<FoundEntry> Found => _found;

    /// <summary>How many could not be opened, or are not what the tree has committed to: the search knows nothing of them.</summary>
    public long UnreadableCount => _unreadableCount;

    /// <summary>The first of them, at most <see cref="AuditSearch.MostNamed"/>.</summary>
    public IReadOnlyList<long> Unreadable => _unreadable;

    /// <summary>The proof of an entry that was found, of hashes alone that the log has signed. Of one thread at a time, in any order.</summary>
    /// <exception cref="AuditStoreException">The store lacks a tile of it, or has another.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public InclusionProof Prove(FoundEntry found)
    {
        // Its memory grows with every proof.
        if (++_proven % MostProven == 0)
            _tree = NewTree();
        var index = found.Entry.Index;
        if (found.Beside is not { } beside)
            return new(index, found.Leaf, _tree.ProveInclusion(index), Checkpoint);
        var above = _tree.ProveTile(index / TilePath.FullWidth);
        var path = new List<byte[]>(beside.Length / Merkle.HashLength + above.Count);
        for (var at = 0; at < beside.Length; at += Merkle.HashLength)
            path.Add(beside[at..(at + Merkle.HashLength)]);
        path.AddRange(above);
        return new(index, found.Leaf, path, Checkpoint);
    }

    internal void CountRead(int entries) => Interlocked.Add(ref _read, entries);

    internal void CountKeys(int keys) => Interlocked.Add(ref _keys, keys);

    internal void Add(FoundEntry found)
    {
        lock (_adding)
        {
            if (_found.Count == AuditSearch.MostFound)
                throw new AuditSearchTooWideException();
            _found.Add(found);
        }
    }

    internal void AddUnreadable(long index)
    {
        lock (_adding)
        {
            _unreadableCount++;
            if (_unreadable.Count < AuditSearch.MostNamed)
                _unreadable.Add(index);
        }
    }

    internal void Sort()
    {
        _found.Sort(static (a, b) => a.Entry.Index.CompareTo(b.Entry.Index));
        _unreadable.Sort();
    }

    private TiledTree NewTree() => new(Size, tile => _hashes.RequireTileAsync(tile.Level, tile.Index).AsTask().GetAwaiter().GetResult());
}
