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
/// <param name="Keys">Asked with at most <see cref="MostKeys"/> at a time.</param>
/// <param name="IsWanted">Which entries to give back.</param>
public sealed record AuditSearch(DateTimeOffset From, DateTimeOffset To, EntryKeys Keys, EntryTest IsWanted)
{
    /// <summary>Most keys that are asked for at once.</summary>
    public const int MostKeys = 4_096;

    /// <summary>Most entries that are found: they are held in memory. Beyond, ask for less at a time.</summary>
    public const int MostFound = 1_000_000;

    /// <summary>Most unreadable entries that are named.</summary>
    public const int MostNamed = 1_000;

    /// <summary>By how much the order of the rows may differ from that of their times: several logs write, each by its own clock, and a row waits for the disk.</summary>
    public static readonly TimeSpan Disorder = TimeSpan.FromMinutes(10);

    /// <summary>Processors that are used; by default all.</summary>
    public int Parallelism { get; init; } = Environment.ProcessorCount;

    internal async Task<AuditFindings> RunAsync(ILogStore store, PublishedTree published, CancellationToken cancel)
    {
        var from = await FirstAtAsync(store, published.Size, From - Disorder).ConfigureAwait(false);
        var to = await FirstAtAsync(store, published.Size, To + Disorder).ConfigureAwait(false);
        var findings = new AuditFindings(published);
        await Parallel.ForEachAsync(store.PartsOf(from, to), new ParallelOptions { MaxDegreeOfParallelism = Parallelism, CancellationToken = cancel }, async (part, stop) =>
        {
            using var reading = new Reading(this, findings);
            foreach (var batch in store.Read(part))
                await reading.ReadAsync(batch, stop).ConfigureAwait(false);
        }).ConfigureAwait(false);
        findings.Sort();
        return findings;
    }

    /// <summary>The first of the rows that are of that time or later, but for the disorder.</summary>
    private static async ValueTask<long> FirstAtAsync(ILogStore store, long size, DateTimeOffset time)
    {
        long low = 0, high = size;
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            var row = await store.RowAtAsync(middle).ConfigureAwait(false) ?? throw new AuditStoreException($"The row {middle} is missing.");
            if (row.Time < time.ToUnixTimeMilliseconds())
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    /// <summary>What one thread needs.</summary>
    private sealed class Reading(AuditSearch search, AuditFindings findings) : IDisposable
    {
        private readonly Dictionary<UInt128, AesGcm?> _ciphers = [];
        private readonly long _from = (search.From - Disorder).ToUnixTimeMilliseconds(), _to = (search.To + Disorder).ToUnixTimeMilliseconds();
        private byte[] _plain = [];
        private int _read;

        public async ValueTask ReadAsync(RowBatch batch, CancellationToken cancel)
        {
            await GetKeysAsync(batch, cancel).ConfigureAwait(false);
            cancel.ThrowIfCancellationRequested();
            _read = 0;
            for (var i = 0; i < batch.Count; i++)
                Read(batch.IndexAt(i), batch[i]);
            findings.CountRead(_read);
        }

        private async ValueTask GetKeysAsync(RowBatch batch, CancellationToken cancel)
        {
            if (_ciphers.Count > 2 * MostKeys)
                Forget();
            var (missing, names) = (new List<byte[]>(), new HashSet<UInt128>());
            for (var i = 0; i < batch.Count; i++)
                if (IsInTime(batch[i]))
                {
                    var enc = SealedRow.EncIn(SealedRow.EnvelopeOf(batch[i]));
                    if (!_ciphers.ContainsKey(NameOf(enc)) && names.Add(NameOf(enc)))
                        missing.Add(enc.ToArray());
                }
            foreach (var some in missing.Chunk(MostKeys))
            {
                var keys = await search.Keys(some, cancel).ConfigureAwait(false);
                for (var i = 0; i < some.Length; i++)
                {
                    _ciphers[NameOf(some[i])] = keys[i] is { } key ? new AesGcm(key, EntrySealer.GcmTagLength) : null;
                    CryptographicOperations.ZeroMemory(keys[i]);
                }
            }
        }

        private void Read(long index, ReadOnlySpan<byte> stored)
        {
            if (!IsInTime(stored))
                return;
            var leaf = SealedRow.LeafOf(stored);
            var envelope = SealedRow.EnvelopeOf(stored);
            var commitment = leaf[..32];
            var ciphertext = SealedRow.SealedIn(envelope);
            _read++;
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
            if (!PlainEntry.TryRead(plain, commitment, out var entry))
            {
                findings.AddUnreadable(index);
                return;
            }
            if (!search.IsWanted(entry.Record, entry.Withheld))
                return;
            Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
            SHA256.HashData(envelope, hash);
            if (!hash.SequenceEqual(leaf[32..]))
                findings.AddUnreadable(index);
            else
                findings.Add(new(entry.Open(index, DateTimeOffset.FromUnixTimeMilliseconds(SealedRow.TimeIn(envelope))), leaf.ToArray()));
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

/// <summary>An entry that was found.</summary>
/// <param name="Leaf">Its leaf data in the tree, 64 bytes.</param>
public sealed record FoundEntry(OpenedEntry Entry, byte[] Leaf);

/// <summary>What a search has found, and against which checkpoint each of it is proven.</summary>
public sealed class AuditFindings
{
    private readonly PublishedTree _published;
    private readonly List<FoundEntry> _found = [];
    private readonly List<long> _unreadable = [];
    private readonly Lock _adding = new();
    private long _read, _unreadableCount;
    private TiledTree _tree;
    private int _proven;

    internal AuditFindings(PublishedTree published)
    {
        _published = published;
        _tree = NewTree();
    }

    /// <summary>The checkpoint, a signed note: nothing that is newer was searched.</summary>
    public string Checkpoint => _published.Note;

    /// <summary>How many entries it covers.</summary>
    public long Size => _published.Size;

    /// <summary>Entries that were opened, or tried.</summary>
    public long Read => _read;

    /// <summary>In the order of their indices.</summary>
    public IReadOnlyList<FoundEntry> Found => _found;

    /// <summary>How many could not be opened, or are not what the tree has committed to: the search knows nothing of them.</summary>
    public long UnreadableCount => _unreadableCount;

    /// <summary>The first of them, at most <see cref="AuditSearch.MostNamed"/>.</summary>
    public IReadOnlyList<long> Unreadable => _unreadable;

    /// <summary>The proof of an entry that was found. Of one thread at a time; fast in the order of the indices.</summary>
    /// <exception cref="AuditStoreException">The store lacks a tile of it.</exception>
    /// <exception cref="AuditUnavailableException">The store cannot be asked.</exception>
    public InclusionProof Prove(FoundEntry found)
    {
        // Its memory grows with every proof.
        if (++_proven % 4_096 == 0)
            _tree = NewTree();
        return new(found.Entry.Index, found.Leaf, _tree.ProveInclusion(found.Entry.Index), Checkpoint);
    }

    internal void CountRead(int entries) => Interlocked.Add(ref _read, entries);

    internal void Add(FoundEntry found)
    {
        lock (_adding)
        {
            if (_found.Count == AuditSearch.MostFound)
                throw new InvalidOperationException($"More than {AuditSearch.MostFound} entries are looked for.");
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

    private TiledTree NewTree() => new(Size, tile => _published.ReadAsync(tile).AsTask().GetAwaiter().GetResult() ?? throw new AuditStoreException($"The store lacks the hashes of {tile}."));
}
