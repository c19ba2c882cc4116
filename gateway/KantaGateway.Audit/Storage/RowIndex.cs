using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Globalization;
using KantaGateway.Audit.Sealing;
using Microsoft.Win32.SafeHandles;

namespace KantaGateway.Audit.Storage;

/// <summary>Where the rows of a segment stand, and those about a person, of one that has no run yet. One thread adds, any number read.</summary>
/// <param name="from">Index of the segment's first row.</param>
sealed class RecentRows(long from)
{
    private readonly Growing<Posting> _postings = new();
    private readonly Growing<uint> _places = new();

    public long From { get; } = from;

    /// <summary>Adds what has become durable; readers see it from here on.</summary>
    /// <param name="places">Of all rows.</param>
    /// <param name="postings">Of those that have a subject.</param>
    public void Add(ReadOnlySpan<uint> places, ReadOnlySpan<Posting> postings)
    {
        _places.Add(places);
        _postings.Add(postings);
    }

    public Posting[] Sorted()
    {
        var sorted = _postings.Items.ToArray();
        sorted.AsSpan().Sort();
        return sorted;
    }

    /// <summary>As they stand in the file of places.</summary>
    public byte[] Places()
    {
        var places = _places.Items;
        var bytes = new byte[places.Length * sizeof(uint)];
        for (var i = 0; i < places.Length; i++)
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(i * sizeof(uint)), places[i]);
        return bytes;
    }

    public void Find(UInt128 tag, long before, int limit, List<Posting> found)
    {
        var items = _postings.Items;
        for (var i = items.Length; --i >= 0 && found.Count < limit;)
            if (items[i].Tag == tag && items[i].Index < before)
                found.Add(items[i]);
    }

    /// <summary>Where a row begins; null when there is none of this index.</summary>
    public long? PlaceOf(long index) => _places.Items is var places && index - From < places.Length ? places[(int)(index - From)] : null;

    /// <summary>A list that one thread adds to and any number read as it stands.</summary>
    private sealed class Growing<T>
    {
        private T[] _items = new T[256];
        private int _count;

        public ReadOnlySpan<T> Items
        {
            get
            {
                var count = Volatile.Read(ref _count);
                return Volatile.Read(ref _items).AsSpan(0, count);
            }
        }

        public void Add(ReadOnlySpan<T> items)
        {
            var count = _count + items.Length;
            if (count > _items.Length)
            {
                // Whoever reads the old array finds there what it has counted.
                var grown = new T[Math.Max(count, 2 * _items.Length)];
                _items.AsSpan(0, _count).CopyTo(grown);
                Volatile.Write(ref _items, grown);
            }
            items.CopyTo(_items.AsSpan(_count));
            Volatile.Write(ref _count, count);
        }
    }
}

/// <summary>
/// Finds the rows about a person, and a row by its index: of finished segments sorted runs of postings and places on disk, and in memory
/// those of the segments that are not settled yet. It follows from the rows, and what is missing of it is made again. Reading is thread-safe.
/// </summary>
sealed class RowIndex
{
    public const string Folder = "subjects", PlacesFolder = "places";

    /// <summary>Runs that become one.</summary>
    private const int Fan = 8;

    private readonly string _folder;
    private readonly Lock _change = new();
    private volatile Picture _picture;
    private long _pruned;

    private RowIndex(string folder, Picture picture) => (_folder, _picture) = (folder, picture);

    /// <summary>End of what the runs cover: all before is settled.</summary>
    public long Settled => _picture.Settled;

    /// <summary>Finished segments that have no run yet.</summary>
    public int Unsettled => Math.Max(_picture.Recent.Length - 1, 0);

    /// <summary>First index and end of the oldest of them.</summary>
    public (long From, long To) OldestUnsettled => _picture.Recent is [var oldest, var next, ..] ? (oldest.From, next.From) : throw new InvalidOperationException("All is settled.");

    /// <summary>
    /// Reads which runs there are. A kill may have left a run beside those that it was merged from, which it replaces; what does not join on is
    /// thrown away.
    /// </summary>
    /// <param name="segments">Indices of the first rows of all segments.</param>
    public static RowIndex Open(string folder, IReadOnlyList<long> segments)
    {
        var runs = new List<SubjectRun>();
        OwnerOnly.CreateFolder(Path.Combine(folder, Folder));
        OwnerOnly.CreateFolder(Path.Combine(folder, PlacesFolder));
        foreach (var file in Directory.EnumerateFiles(Path.Combine(folder, Folder)))
            if (SubjectRun.TryOpen(file) is { } run)
                runs.Add(run);
            else
                File.Delete(file);
        var joined = ImmutableArray.CreateBuilder<SubjectRun>();
        var borders = segments.ToHashSet();
        foreach (var run in runs.OrderBy(r => r.From).ThenByDescending(r => r.To))
            if (run.From == (joined.Count == 0 ? 0 : joined[^1].To) && run.To > run.From && borders.Contains(run.To))
                joined.Add(run);
            else
                File.Delete(run.FullName);
        return new(folder, new([], joined.ToImmutable(), []));
    }

    /// <summary>Every run that there is a file of, for reading beside the writer.</summary>
    public static List<SubjectRun> ListRuns(string folder)
    {
        var runs = new List<SubjectRun>();
        if (!Directory.Exists(Path.Combine(folder, Folder)))
            return runs;
        foreach (var file in Directory.EnumerateFiles(Path.Combine(folder, Folder)))
            try
            {
                if (SubjectRun.TryOpen(file) is { } run)
                    runs.Add(run);
            }
            catch (FileNotFoundException)
            {
                // Merged into another meanwhile.
            }
        return runs;
    }

    /// <summary>A segment begins; the one before it is finished.</summary>
    public RecentRows Begin(long first)
    {
        var rows = new RecentRows(first);
        lock (_change)
            _picture = _picture with { Recent = _picture.Recent.Add(rows), Segments = _picture.Segments.Add(first) };
        return rows;
    }

    /// <summary>Names the segments that are settled, before others begin.</summary>
    public void Know(IEnumerable<long> segments)
    {
        lock (_change)
            _picture = _picture with { Segments = [.. segments] };
    }

    /// <summary>Makes a run of the oldest finished segment. Of one thread at a time.</summary>
    public void Settle()
    {
        var (from, to) = OldestUnsettled;
        Disk.Put(PlacesOf(_folder, from), _picture.Recent[0].Places(), flush: true);
        Disk.FlushFolder(Path.Combine(_folder, PlacesFolder));
        var sorted = _picture.Recent[0].Sorted();
        var run = new SubjectRun(Path.Combine(_folder, Folder), from, to, 0, sorted.Length);
        run.Write(sorted);
        lock (_change)
            _picture = _picture with { Runs = _picture.Runs.Add(run), Recent = _picture.Recent.RemoveAt(0) };
    }

    /// <summary>Merges runs until fewer than <see cref="Fan"/> of one level are left. Of one thread at a time.</summary>
    /// <param name="merged">Called when a merged run is on disk and those that it replaces are not yet gone.</param>
    public void Merge(Action merged)
    {
        while (FirstToMerge(_picture.Runs) is { } first)
        {
            var runs = _picture.Runs;
            var old = runs[first..(first + Fan)];
            var run = SubjectRun.Merge(old);
            lock (_change)
                _picture = _picture with { Runs = [.. runs[..first], run, .. runs[(first + Fan)..]] };
            merged();
            foreach (var replaced in old)
                File.Delete(replaced.FullName);
        }
    }

    // The oldest, so that levels never rise from a run to a newer one.
    private static int? FirstToMerge(ImmutableArray<SubjectRun> runs)
    {
        for (var first = 0; first + Fan <= runs.Length; first++)
            if (runs[first].Level == runs[first + Fan - 1].Level)
                return first;
        return null;
    }

    /// <summary>Nothing is found before an index from here on.</summary>
    public void Forget(long before) => Volatile.Write(ref _pruned, before);

    /// <summary>Nothing is kept that finds a row before an index. Of the thread that settles and merges, or while it does neither.</summary>
    /// <param name="before">Where a settled segment ends.</param>
    public void Prune(long before)
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(_folder, PlacesFolder)))
            if (long.TryParse(Path.GetFileName(file), NumberStyles.None, CultureInfo.InvariantCulture, out var segment) && segment < before)
                File.Delete(file);
        Disk.FlushFolder(Path.Combine(_folder, PlacesFolder));
        foreach (var run in _picture.Runs.Where(run => run.From < before))
        {
            var pruned = run.Prune(before);
            lock (_change)
                _picture = _picture with { Runs = _picture.Runs.Replace(run, pruned) };
        }
    }

    /// <summary>The row of an index; null when there is none, and where it was pruned.</summary>
    public SealedRow? RowAt(long index)
    {
        while (true)
            try
            {
                return Read(index);
            }
            catch (Exception e) when (e is AuditStoreException or IOException && index < Volatile.Read(ref _pruned))
            {
                // It was pruned meanwhile.
            }
    }

    private SealedRow? Read(long index)
    {
        var picture = _picture;
        if (index < Volatile.Read(ref _pruned) || index < 0)
            return null;
        var segment = picture.SegmentOf(index);
        var recent = picture.Recent.FirstOrDefault(r => r.From == segment);
        if ((recent is null ? PlaceOnDisk(segment, index) : recent.PlaceOf(index)) is not { } place)
            return null;
        using var file = File.OpenHandle(Segments.FileOf(_folder, segment), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var start = new byte[SealedRow.ShortestStored];
        RandomAccess.Read(file, start, place);
        var length = BinaryPrimitives.ReadUInt32BigEndian(start) + SealedRow.StoredHeader;
        if (place + length > RandomAccess.GetLength(file))
            throw new AuditStoreException("The places of the rows contradict the rows.");
        return SealedRow.Read(ReadAt(file, place, (int)length));
    }

    /// <summary>The file in which the places of a settled segment are.</summary>
    public static string PlacesOf(string folder, long segment) => Path.Combine(folder, PlacesFolder, Path.GetFileName(Segments.FileOf(folder, segment)));

    private long PlaceOnDisk(long segment, long index)
    {
        var file = PlacesOf(_folder, segment);
        if (File.Exists(file))
        {
            using var places = File.OpenHandle(file);
            Span<byte> place = stackalloc byte[sizeof(uint)];
            if (RandomAccess.Read(places, place, (index - segment) * sizeof(uint)) == sizeof(uint))
                return BinaryPrimitives.ReadUInt32BigEndian(place);
        }
        // Nothing is lost with it but time.
        using var reader = SegmentReader.TryOpen(Segments.FileOf(_folder, segment));
        while (reader is not null && reader.Next())
            foreach (var row in reader.Rows())
                if (row.Index == index)
                    return row.Offset;
        throw new AuditStoreException($"Entry {index} is not where it must be.");
    }

    private static byte[] ReadAt(SafeFileHandle file, long offset, int length)
    {
        var stored = new byte[length];
        return RandomAccess.Read(file, stored, offset) == length && SealedRow.StoredLengthAt(stored) == length ? stored
            : throw new AuditStoreException("The index of the rows contradicts the rows.");
    }

    /// <summary>A person's entries before an index, newest first.</summary>
    /// <param name="mostBytes">As of <see cref="ILogStore.OfSubjectAsync"/>.</param>
    public List<SealedEntry> OfSubject(ReadOnlySpan<byte> tag, int limit, long before, long mostBytes)
    {
        while (true)
        {
            var (pruned, picture) = (Volatile.Read(ref _pruned), _picture);
            try
            {
                return Read(picture, picture.Find(Posting.TagOf(tag), limit, pruned, before), tag, mostBytes);
            }
            catch (FileNotFoundException) when (picture != _picture)
            {
                // A run was merged into another meanwhile.
            }
            catch (AuditStoreException) when (pruned != Volatile.Read(ref _pruned))
            {
                // Some of what was found was pruned meanwhile.
            }
        }
    }

    private List<SealedEntry> Read(Picture picture, List<Posting> postings, ReadOnlySpan<byte> tag, long mostBytes)
    {
        var entries = new List<SealedEntry>(postings.Count);
        for (var i = 0; i < postings.Count && mostBytes >= 0;)
        {
            var segment = picture.SegmentOf(postings[i].Index);
            using var file = File.OpenHandle(Segments.FileOf(_folder, segment), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            for (; i < postings.Count && mostBytes >= 0 && postings[i].Index >= segment; i++)
            {
                var stored = ReadAt(file, postings[i].Offset, (int)postings[i].Length);
                if (!SealedRow.TagOf(stored).SequenceEqual(tag))
                    throw new AuditStoreException("The subject index contradicts the rows.");
                entries.Add(SealedRow.Read(stored).At(postings[i].Index));
                mostBytes -= entries[^1].Sealed.Length;
            }
        }
        return entries;
    }

    /// <summary>What there is at one moment.</summary>
    /// <param name="Segments">First indices, ascending.</param>
    /// <param name="Runs">One after another from index 0 on.</param>
    /// <param name="Recent">Of the segments after them; the last is being written.</param>
    private sealed record Picture(ImmutableArray<long> Segments, ImmutableArray<SubjectRun> Runs, ImmutableArray<RecentRows> Recent)
    {
        public long Settled => Runs.IsEmpty ? 0 : Runs[^1].To;

        public long SegmentOf(long index)
        {
            var at = Segments.BinarySearch(index);
            return Segments[at >= 0 ? at : ~at - 1];
        }

        public List<Posting> Find(UInt128 tag, int limit, long from, long before)
        {
            var found = new List<Posting>();
            for (var i = Recent.Length; --i >= 0 && found.Count < limit;)
                Recent[i].Find(tag, before, limit, found);
            for (var i = Runs.Length; --i >= 0 && found.Count < limit;)
                if (Runs[i].From < before && Runs[i].To > from)
                    Runs[i].Find(tag, from, before, limit, found);
            return found;
        }
    }
}
