using System.Buffers.Binary;
using System.Globalization;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit.Storage;

/// <summary>
/// The files of rows, each named after the index of its first: a header, then a frame for each commit, then zeros or nothing.
/// <c>magic (8) | index of the first row (8) | leaves of the tile that was unfinished there, as in its entry bundle | CRC-32C (4)</c>
/// One that was pruned has another magic, and of each row the leaf and an empty envelope.
/// </summary>
static class Segments
{
    public const string Folder = "rows";

    /// <summary>Rows of a frame of a pruned segment.</summary>
    private const int PrunedFrame = 4_096;

    private static ReadOnlySpan<byte> Magic => "KAudRow1"u8;

    private static ReadOnlySpan<byte> PrunedMagic => "KAudPru1"u8;

    public static string FileOf(string folder, long first) => Path.Combine(folder, Folder, first.ToString("D12", CultureInfo.InvariantCulture));

    /// <summary>Indices of the first rows of all segments, ascending.</summary>
    public static List<long> List(string folder)
    {
        var firsts = new List<long>();
        if (Directory.Exists(Path.Combine(folder, Folder)))
            foreach (var file in Directory.EnumerateFiles(Path.Combine(folder, Folder)))
                if (long.TryParse(Path.GetFileName(file), NumberStyles.None, CultureInfo.InvariantCulture, out var first) && FileOf(folder, first) == file)
                    firsts.Add(first);
        firsts.Sort();
        return firsts;
    }

    /// <summary>Makes a segment without rows, flushed with its name. One that a failure has left behind is made anew.</summary>
    /// <param name="unfinished">Entry bundle of the tile in which the first row will stand.</param>
    /// <param name="length">Length of its header.</param>
    public static FileStream Create(string folder, long first, ReadOnlySpan<byte> unfinished, out int length)
    {
        length = HeaderLength(first);
        var header = Header(Magic, first, unfinished);
        var stream = Disk.Open(FileOf(folder, first));
        try
        {
            stream.SetLength(0);
            RandomAccess.Write(stream.SafeFileHandle, header, 0);
            Disk.Flush(stream.SafeFileHandle);
            Disk.FlushFolder(Path.Combine(folder, Folder));
            return stream;
        }
        catch
        {
            stream.Dispose();
            throw;
        }
    }

    /// <summary>Puts in the place of a finished segment one that has the leaves of its rows and nothing else, flushed with its name. A kill leaves the one or the other.</summary>
    /// <param name="end">Where the next segment begins.</param>
    /// <exception cref="AuditStoreException">It is not whole.</exception>
    public static void Prune(string folder, long first, long end)
    {
        var (file, next) = (FileOf(folder, first), first);
        var beside = file + ".new";
        using (var reader = SegmentReader.TryOpen(file) ?? throw new AuditStoreException($"The file of rows from {first} on is damaged."))
        using (var stream = Disk.Open(beside))
        {
            stream.SetLength(0);
            stream.Write(Header(PrunedMagic, first, reader.Unfinished));
            var frame = new byte[Frame.HeaderLength + PrunedFrame * SealedRow.StoredHeader];
            var count = 0;
            while (reader.Next())
                foreach (var row in reader.Rows())
                {
                    if (row.Index != next++)
                        throw new AuditStoreException($"The rows from {next - 1} to {row.Index - 1} are missing.");
                    // Its length is 0.
                    SealedRow.LeafOf(row.Bytes.Span).CopyTo(frame.AsSpan(Frame.HeaderLength + count * SealedRow.StoredHeader + 4));
                    if (++count == PrunedFrame)
                        Close();
                }
            if (count > 0)
                Close();
            if (next != end)
                throw new AuditStoreException($"The rows from {next} to {end - 1} are missing or damaged.");
            stream.Flush();
            Disk.Flush(stream.SafeFileHandle);

            void Close()
            {
                var whole = frame.AsSpan(0, Frame.HeaderLength + count * SealedRow.StoredHeader);
                Frame.Close(whole, count, next - count);
                stream.Write(whole);
                count = 0;
            }
        }
        File.Move(beside, file, overwrite: true);
        Disk.FlushFolder(Path.Combine(folder, Folder));
    }

    /// <summary>Whether a segment says that it was pruned.</summary>
    public static bool IsPruned(string folder, long first)
    {
        using var file = File.OpenHandle(FileOf(folder, first), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        Span<byte> magic = stackalloc byte[8];
        return RandomAccess.Read(file, magic, 0) == magic.Length && HasPrunedMagic(magic);
    }

    private static byte[] Header(ReadOnlySpan<byte> magic, long first, ReadOnlySpan<byte> unfinished)
    {
        var header = new byte[HeaderLength(first)];
        magic.CopyTo(header);
        BinaryPrimitives.WriteInt64BigEndian(header.AsSpan(8), first);
        unfinished.CopyTo(header.AsSpan(16));
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(^4..), Frame.Checksum(header.AsSpan(..^4)));
        return header;
    }

    /// <summary>Every row from an index on, as it stands in the files.</summary>
    /// <exception cref="AuditStoreException">A file is not what it claims to be.</exception>
    public static IEnumerable<(long Index, SealedRow Row)> Rows(string folder, long from = 0)
    {
        var firsts = List(folder);
        for (var i = 0; i < firsts.Count; i++)
        {
            if (i + 1 < firsts.Count && firsts[i + 1] <= from)
                continue;
            using var reader = SegmentReader.TryOpen(FileOf(folder, firsts[i]));
            while (reader is not null && reader.Next())
                foreach (var row in reader.Rows())
                    if (row.Index >= from)
                        yield return (row.Index, SealedRow.Read(row.Bytes.Span));
        }
    }

    /// <summary>Length of the header of a segment.</summary>
    public static int HeaderLength(long first) => 16 + (int)(first % TilePath.FullWidth) * EntryBundle.EntryLength + 4;

    /// <summary>Whether these bytes are the whole header of this segment.</summary>
    public static bool IsHeader(ReadOnlySpan<byte> header, long first) =>
        header.Length == HeaderLength(first) && (header.StartsWith(Magic) || HasPrunedMagic(header)) && BinaryPrimitives.ReadInt64BigEndian(header[8..]) == first
        && BinaryPrimitives.ReadUInt32BigEndian(header[^4..]) == Frame.Checksum(header[..^4]);

    /// <summary>Whether a header is that of a pruned segment.</summary>
    public static bool HasPrunedMagic(ReadOnlySpan<byte> header) => header.StartsWith(PrunedMagic);
}

/// <summary>What stands behind the last whole frame of a segment.</summary>
enum SegmentEnd
{
    /// <summary>Zeros, or nothing.</summary>
    Clean,

    /// <summary>A commit that was not finished.</summary>
    Torn,

    /// <summary>Whole frames again: what is between was once whole too, for a commit begins when the one before is on disk.</summary>
    Damaged,

    /// <summary>The next frame: the writer has finished it meanwhile.</summary>
    Grown,
}

/// <summary>Reads a segment from its beginning, frame by frame. May run beside the writer. Not thread-safe.</summary>
sealed class SegmentReader : IDisposable
{
    private readonly FileStream _file;
    private byte[] _frame = new byte[1 << 16];
    private int _length;

    private SegmentReader(FileStream file, long first, byte[] header) =>
        (_file, First, Unfinished, IsPruned, End) = (file, first, header[16..^4], Segments.HasPrunedMagic(header), file.Position);

    /// <summary>Index of the first row.</summary>
    public long First { get; }

    /// <summary>Entry bundle of the tile that was unfinished when the segment began.</summary>
    public byte[] Unfinished { get; }

    /// <summary>Whether its rows have leaves alone.</summary>
    public bool IsPruned { get; }

    /// <summary>Where the last whole frame that was read ends.</summary>
    public long End { get; private set; }

    /// <summary>Its length, header and all; 0 before the first.</summary>
    public int LastLength => _length;

    /// <summary>Null when the file has no whole header.</summary>
    public static SegmentReader? TryOpen(string file)
    {
        var first = long.Parse(Path.GetFileName(file), CultureInfo.InvariantCulture);
        var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 18, FileOptions.SequentialScan);
        var header = new byte[Segments.HeaderLength(first)];
        if (stream.ReadAtLeast(header, header.Length, throwOnEndOfStream: false) == header.Length && Segments.IsHeader(header, first))
            return new(stream, first, header);
        stream.Dispose();
        return null;
    }

    /// <summary>Reads the next frame; false when there is no whole one.</summary>
    public bool Next()
    {
        if (_file.ReadAtLeast(_frame.AsSpan(0, Frame.HeaderLength), Frame.HeaderLength, throwOnEndOfStream: false) < Frame.HeaderLength
            || BinaryPrimitives.ReadUInt32BigEndian(_frame) != Frame.Magic
            || BinaryPrimitives.ReadUInt32BigEndian(_frame.AsSpan(8)) is var rows && rows > _file.Length - _file.Position)
            return false;
        var length = Frame.HeaderLength + (int)rows;
        if (length > _frame.Length)
            Array.Resize(ref _frame, Math.Max(length, 2 * _frame.Length));
        if (_file.ReadAtLeast(_frame.AsSpan(Frame.HeaderLength, (int)rows), (int)rows, throwOnEndOfStream: false) < rows
            || Frame.LengthAt(_frame.AsSpan(0, length)) != length)
            return false;
        _length = length;
        End += length;
        return true;
    }

    /// <summary>The rows of the frame.</summary>
    /// <exception cref="AuditStoreException">They are not what the frame's header says.</exception>
    public IEnumerable<StoredRow> Rows()
    {
        var (count, index) = (BinaryPrimitives.ReadInt32BigEndian(_frame.AsSpan(12)), BinaryPrimitives.ReadInt64BigEndian(_frame.AsSpan(16)));
        var at = Frame.HeaderLength;
        for (var i = 0; i < count; i++)
        {
            var length = IsPruned ? SealedRow.PrunedLengthAt(_frame.AsSpan(at.._length)) : SealedRow.StoredLengthAt(_frame.AsSpan(at.._length));
            if (length == 0)
                throw new AuditStoreException($"entry {index + i}: its row is malformed");
            yield return new(index + i, End - _length + at, _frame.AsMemory(at, length));
            at += length;
        }
        if (at != _length)
            throw new AuditStoreException($"entries after {index + count - 1}: their rows are malformed");
    }

    /// <summary>What follows <see cref="End"/>. Reads the rest of the file.</summary>
    public SegmentEnd Rest()
    {
        // Beside a writer the second look tells a frame that was being written from one that is broken.
        var end = LookAtRest();
        return end == SegmentEnd.Damaged ? LookAtRest() : end;
    }

    private SegmentEnd LookAtRest()
    {
        // Not through the buffer of the stream, which may be older than what is there.
        var rest = new byte[RandomAccess.GetLength(_file.SafeFileHandle) - End];
        var read = 0;
        while (read < rest.Length && RandomAccess.Read(_file.SafeFileHandle, rest.AsSpan(read), End + read) is var more and > 0)
            read += more;
        var bytes = rest.AsSpan(0, read);
        if (bytes.IndexOfAnyExcept((byte)0) < 0)
            return SegmentEnd.Clean;
        Span<byte> magic = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32BigEndian(magic, Frame.Magic);
        for (int at = 0, next; (next = bytes[at..].IndexOf(magic)) >= 0; at += next + 1)
            if (Frame.LengthAt(bytes[(at + next)..]) > 0)
                return at + next == 0 ? SegmentEnd.Grown : SegmentEnd.Damaged;
        return SegmentEnd.Torn;
    }

    public void Dispose() => _file.Dispose();
}
