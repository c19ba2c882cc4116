using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit;

namespace KantaGateway.Keys.Custody;

/// <summary>Where a file of <see cref="ChainedRecords"/> ends.</summary>
/// <param name="Count">Records.</param>
/// <param name="Mac">Of the last one; of none, what the first is chained to.</param>
sealed record ChainEnd(long Count, byte[] Mac);

/// <summary>
/// A file that is only added to, of records of one length, each closed by an HMAC over itself and the one before it: none can be changed, left out or put in. That its end is cut off shows where
/// <see cref="End"/> is kept. Not thread-safe, but for <see cref="Read"/>.
/// </summary>
/// <param name="size">Of a record with its HMAC, bytes.</param>
/// <param name="copy">A second file of the same, which may know more than a first one that was brought back from a backup; null: none is kept.</param>
/// <param name="first">What the first record is chained to: of files under one key each has its own, or one could be put in the place of another.</param>
sealed class ChainedRecords(string path, int size, byte[] macKey, string? copy = null, int first = 0)
{
    /// <summary>Bytes of the HMAC at the end of each record.</summary>
    public const int MacSize = 24;

    private readonly byte[] _link = new byte[size];

    /// <summary>Where it ends now.</summary>
    public ChainEnd End { get; private set; } = new(0, Begin(first));

    // Where its records are read, if not at its path: the copy is longer until both are brought to the same.
    private string? _read;

    /// <summary>Reads the records. No file: there are none.</summary>
    /// <param name="end">Where it ended once; null: nobody kept that.</param>
    /// <param name="read">Gets each record, in the same array.</param>
    /// <returns>False: it is not as it was written, or ends before where it ended once, or it and its copy do not say the same (<see cref="IsCopyAnother"/>).</returns>
    public bool TryOpen(ChainEnd? end, Action<ReadOnlyMemory<byte>> read)
    {
        var isCopyLonger = copy is not null && WholeLengthOf(copy) > WholeLengthOf(path);
        _read = isCopyLonger ? copy : null;
        using var longer = Open(_read ?? path);
        using var shorter = copy is null ? null : Open(isCopyLonger ? path : copy);
        var (record, beside) = (new byte[size], new byte[size]);
        var isWhole = end is null or { Count: 0 };
        // A kill may have left a part of a record: nobody was told that it was there.
        while (longer?.ReadAtLeast(record, size, throwOnEndOfStream: false) == size)
        {
            IsCopyAnother = shorter?.ReadAtLeast(beside, size, throwOnEndOfStream: false) == size && !record.AsSpan().SequenceEqual(beside);
            if (IsCopyAnother || !CryptographicOperations.FixedTimeEquals(record.AsSpan(^MacSize..), MacOf(End.Mac, record)))
                return false;
            End = new(End.Count + 1, record[^MacSize..]);
            read(record);
            isWhole |= End.Count == end?.Count && CryptographicOperations.FixedTimeEquals(End.Mac, end.Mac);
        }
        return isWhole;
    }

    /// <summary>Whether it did not open because it and its copy have another record in the same place.</summary>
    public bool IsCopyAnother { get; private set; }

    /// <summary>Why the service does not start where it did not open, and what to do.</summary>
    /// <param name="says">What is to be read in it.</param>
    /// <param name="setting">Of the copy.</param>
    public InvalidOperationException Broken(string says, string setting) => IsCopyAnother
        ? new($"{path} and {copy} ({setting}), which both say {says}, go on differently from record {End.Count + 1} on: one of them was changed, or was in use without the other. Keep the one that was in use last in both places, and the other one elsewhere until it is known what only it says.")
        : new($"{(_read is null ? path : $"{copy} ({setting})")}, which says {says}, is not there or not as this key service wrote it: bring it back, with ceremonies.json beside it, from where it was kept.");

    /// <summary>Adds records; on disk, in both files, when this returns.</summary>
    /// <param name="records">Each of the file's length; its HMAC is put in.</param>
    /// <exception cref="IOException">They may not be on disk.</exception>
    public void Append(params IReadOnlyList<byte[]> records)
    {
        var (end, bytes) = (End, new byte[records.Count * size]);
        for (var i = 0; i < records.Count; i++)
        {
            MacOf(end.Mac, records[i]).CopyTo(records[i].AsSpan(size - MacSize));
            records[i].CopyTo(bytes, i * size);
            end = new(end.Count + 1, records[i][^MacSize..]);
        }
        var isNew = !File.Exists(path);
        using (var file = OwnerOnly.OpenFile(path, FileShare.Read))
        {
            if (file.Length < End.Count * size)
                throw new IOException($"{Path.GetFileName(path)} is shorter than it was.");
            file.SetLength(End.Count * size);
            file.Seek(0, SeekOrigin.End);
            file.Write(bytes);
            file.Flush(flushToDisk: true);
        }
        if (isNew)
            OwnerOnly.FlushFolder(path);
        if (copy is not null)
            Continue(path, copy, End.Count * size);
        End = end;
    }

    /// <summary>Records that are there, from a place on, as many as there are up to a number of them. Thread-safe.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public IReadOnlyList<byte[]> Read(long place, int most)
    {
        var records = new List<byte[]>(most);
        using var file = new FileStream(_read ?? path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, Math.Min(most, 512) * size);
        file.Seek(place * size, SeekOrigin.Begin);
        for (var record = new byte[size]; records.Count < most && file.ReadAtLeast(record, size, throwOnEndOfStream: false) == size; record = new byte[size])
            records.Add(record);
        return records;
    }

    /// <summary>Brings each of the two files to where the other is; on disk when this returns.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public void Level()
    {
        if (copy is null)
            return;
        Continue(path, copy);
        Continue(copy, path);
        _read = null;
    }

    /// <param name="most">What is behind so many bytes of the other was never said to be there.</param>
    private void Continue(string from, string to, long most = long.MaxValue)
    {
        var length = WholeLengthOf(from);
        if (length == 0)
            return;
        var isNew = !File.Exists(to);
        using var file = OwnerOnly.OpenFile(to, FileShare.Read);
        if (Math.Min(file.Length - file.Length % size, most) is var end && end >= length)
            return;
        file.SetLength(end);
        file.Seek(0, SeekOrigin.End);
        using var records = Open(from)!;
        records.Seek(end, SeekOrigin.Begin);
        var bytes = new byte[size * 64];
        for (var left = length - end; left > 0;)
        {
            var part = bytes.AsSpan(0, (int)Math.Min(left, bytes.Length));
            records.ReadExactly(part);
            file.Write(part);
            left -= part.Length;
        }
        file.Flush(flushToDisk: true);
        if (isNew)
            OwnerOnly.FlushFolder(to);
    }

    private static byte[] Begin(int first)
    {
        var begin = new byte[MacSize];
        BinaryPrimitives.WriteInt32BigEndian(begin, first);
        return begin;
    }

    private long WholeLengthOf(string file) => File.Exists(file) && new FileInfo(file).Length is var length ? length - length % size : 0;

    private static FileStream? Open(string file) => File.Exists(file) ? new(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 64 * 1024) : null;

    private ReadOnlySpan<byte> MacOf(ReadOnlySpan<byte> before, ReadOnlySpan<byte> record)
    {
        before.CopyTo(_link);
        record[..^MacSize].CopyTo(_link.AsSpan(MacSize));
        return HMACSHA256.HashData(macKey, _link).AsSpan(0, MacSize);
    }
}
