using System.Buffers.Binary;
using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace KantaGateway.Audit.Storage;

/// <summary>Where a row about a person stands. Ordered by tag, then index.</summary>
/// <param name="Tag">Keyed hash of the person's pseudonym.</param>
/// <param name="Index">Leaf index.</param>
/// <param name="Offset">Where the row begins in its segment.</param>
/// <param name="Length">Its length there.</param>
readonly record struct Posting(UInt128 Tag, long Index, uint Offset, uint Length) : IComparable<Posting>
{
    public const int StoredLength = 32;

    public int CompareTo(Posting other) => Tag.CompareTo(other.Tag) is var order and not 0 ? order : Index.CompareTo(other.Index);

    public static UInt128 TagOf(ReadOnlySpan<byte> tag) => BinaryPrimitives.ReadUInt128BigEndian(tag);

    public void WriteTo(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt128BigEndian(destination, Tag);
        BinaryPrimitives.WriteInt64BigEndian(destination[16..], Index);
        BinaryPrimitives.WriteUInt32BigEndian(destination[24..], Offset);
        BinaryPrimitives.WriteUInt32BigEndian(destination[28..], Length);
    }

    public static Posting Read(ReadOnlySpan<byte> stored) => new(BinaryPrimitives.ReadUInt128BigEndian(stored), BinaryPrimitives.ReadInt64BigEndian(stored[16..]),
        BinaryPrimitives.ReadUInt32BigEndian(stored[24..]), BinaryPrimitives.ReadUInt32BigEndian(stored[28..]));
}

/// <summary>
/// A sorted file of all postings of whole segments: <c>magic (8) | first index (8) | end (8) | number (8)</c>, then the postings, 32 bytes
/// each. Several become one of the next level; one whose oldest rows were pruned is put in its place anew.
/// </summary>
/// <param name="Folder">Where it lies.</param>
/// <param name="From">First index that it covers.</param>
/// <param name="To">End of what it covers.</param>
/// <param name="Level">0 for one segment.</param>
/// <param name="Count">Number of postings.</param>
sealed record SubjectRun(string Folder, long From, long To, int Level, long Count)
{
    private const int HeaderLength = 32;

    private static ReadOnlySpan<byte> Magic => "KAudSub1"u8;

    public string FullName => Path.Combine(Folder, string.Create(CultureInfo.InvariantCulture, $"{From:D12}-{To:D12}.{Level}"));

    /// <summary>Reads a run's name and header; null when they are not one.</summary>
    public static SubjectRun? TryOpen(string file)
    {
        var parts = Path.GetFileName(file).Split('-', '.');
        if (parts.Length != 3 || !long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var from)
            || !long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var to)
            || !int.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var level))
            return null;
        using var handle = File.OpenHandle(file);
        Span<byte> header = stackalloc byte[HeaderLength];
        if (RandomAccess.Read(handle, header, 0) != HeaderLength || !header.StartsWith(Magic) || BinaryPrimitives.ReadInt64BigEndian(header[8..]) != from
            || BinaryPrimitives.ReadInt64BigEndian(header[16..]) != to)
            return null;
        var run = new SubjectRun(Path.GetDirectoryName(file)!, from, to, level, BinaryPrimitives.ReadInt64BigEndian(header[24..]));
        return run.FullName == file && RandomAccess.GetLength(handle) == HeaderLength + run.Count * Posting.StoredLength ? run : null;
    }

    /// <summary>Writes a run, flushed, and puts it in its place whole.</summary>
    /// <param name="sorted">Exactly <see cref="Count"/> postings in order.</param>
    public void Write(IEnumerable<Posting> sorted)
    {
        var beside = FullName + ".new";
        using (var stream = Disk.Open(beside))
        {
            stream.SetLength(0);
            using var buffered = new BufferedStream(stream, 1 << 16);
            Span<byte> bytes = stackalloc byte[HeaderLength];
            Magic.CopyTo(bytes);
            BinaryPrimitives.WriteInt64BigEndian(bytes[8..], From);
            BinaryPrimitives.WriteInt64BigEndian(bytes[16..], To);
            BinaryPrimitives.WriteInt64BigEndian(bytes[24..], Count);
            buffered.Write(bytes);
            foreach (var posting in sorted)
            {
                posting.WriteTo(bytes);
                buffered.Write(bytes);
            }
            buffered.Flush();
            Disk.Flush(stream.SafeFileHandle);
        }
        File.Move(beside, FullName, overwrite: true);
        Disk.FlushFolder(Folder);
    }

    /// <summary>All postings in order.</summary>
    public IEnumerable<Posting> All()
    {
        using var stream = new FileStream(FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 16, FileOptions.SequentialScan);
        stream.Position = HeaderLength;
        var bytes = new byte[Posting.StoredLength];
        for (var count = CountIn(stream.Length); count > 0; count--)
        {
            stream.ReadExactly(bytes);
            yield return Posting.Read(bytes);
        }
    }

    /// <summary>Adds a person's postings from one index to before another, newest first, until there are as many as asked for.</summary>
    /// <exception cref="FileNotFoundException">The run has been merged into another.</exception>
    public void Find(UInt128 tag, long from, long before, int limit, List<Posting> found)
    {
        using var handle = File.OpenHandle(FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Span<byte> bytes = stackalloc byte[Posting.StoredLength];
        var end = new Posting(tag, before, 0, 0);
        long low = 0, high = CountIn(RandomAccess.GetLength(handle));
        while (low < high)
        {
            var middle = low + (high - low) / 2;
            if (Read(handle, middle, bytes).CompareTo(end) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        while (--low >= 0 && found.Count < limit && Read(handle, low, bytes) is var posting && posting.Tag == tag && posting.Index >= from)
            found.Add(posting);
    }

    /// <summary>The same without the postings before an index; in its place when this returns, and whoever reads reads the one or the other.</summary>
    public SubjectRun Prune(long before)
    {
        var kept = this with { Count = All().LongCount(posting => posting.Index >= before) };
        if (kept.Count < Count)
            kept.Write(All().Where(posting => posting.Index >= before));
        return kept;
    }

    /// <summary>One run of neighbours, oldest first, one level up; memory does not grow with them.</summary>
    public static SubjectRun Merge(IReadOnlyList<SubjectRun> runs)
    {
        var merged = new SubjectRun(runs[0].Folder, runs[0].From, runs[^1].To, runs[0].Level + 1, runs.Sum(r => r.Count));
        merged.Write(InOrder(runs));
        return merged;
    }

    private static IEnumerable<Posting> InOrder(IReadOnlyList<SubjectRun> runs)
    {
        var next = new PriorityQueue<IEnumerator<Posting>, Posting>();
        var open = runs.Select(r => r.All().GetEnumerator()).ToList();
        try
        {
            foreach (var run in open)
                if (run.MoveNext())
                    next.Enqueue(run, run.Current);
            while (next.TryDequeue(out var run, out var posting))
            {
                yield return posting;
                if (run.MoveNext())
                    next.Enqueue(run, run.Current);
            }
        }
        finally
        {
            open.ForEach(r => r.Dispose());
        }
    }

    // Of the file that is open: it may have been put there since its header was read.
    private static long CountIn(long length) => (length - HeaderLength) / Posting.StoredLength;

    private static Posting Read(SafeFileHandle handle, long at, Span<byte> bytes) =>
        RandomAccess.Read(handle, bytes, HeaderLength + at * Posting.StoredLength) == bytes.Length ? Posting.Read(bytes)
            : throw new AuditStoreException("A run of the subject index is cut off.");
}
