using System.Security.Cryptography;
using KantaGateway.Audit;

namespace KantaGateway.Keys.Custody;

/// <summary>Where a file of <see cref="ChainedRecords"/> ends.</summary>
/// <param name="Count">Records.</param>
/// <param name="Mac">Of the last one; of none, zeros.</param>
sealed record ChainEnd(long Count, byte[] Mac);

/// <summary>
/// A file that is only added to, of records of one length, each closed by an HMAC over itself and the one before it: none can be changed, left out or put in. That its end is cut off shows where
/// <see cref="End"/> is kept. Not thread-safe.
/// </summary>
/// <param name="size">Of a record with its HMAC, bytes.</param>
/// <param name="copy">A second file of the same, which may know more than a first one that was brought back from a backup; null: none is kept.</param>
sealed class ChainedRecords(string path, int size, byte[] macKey, string? copy = null)
{
    /// <summary>Bytes of the HMAC at the end of each record.</summary>
    public const int MacSize = 24;

    /// <summary>Where it ends now.</summary>
    public ChainEnd End { get; private set; } = new(0, new byte[MacSize]);

    /// <summary>Reads the records. No file: there are none.</summary>
    /// <param name="end">Where it ended once; null: nobody kept that.</param>
    /// <param name="read">Gets each record.</param>
    /// <returns>False: it is not as it was written, or ends before where it ended once, or its copy goes on from another.</returns>
    public bool TryOpen(ChainEnd? end, Action<ReadOnlyMemory<byte>> read)
    {
        var bytes = WholeRecordsOf(path);
        if (copy is not null && WholeRecordsOf(copy) is var kept && kept.Length > bytes.Length)
        {
            if (!kept.AsSpan().StartsWith(bytes))
                return false;
            bytes = kept;
        }
        var isWhole = end is null or { Count: 0 };
        for (var at = 0; at < bytes.Length; at += size)
        {
            var record = bytes.AsMemory(at, size);
            if (!CryptographicOperations.FixedTimeEquals(record.Span[^MacSize..], MacOf(record.Span)))
                return false;
            End = new(End.Count + 1, record[^MacSize..].ToArray());
            read(record);
            isWhole |= End.Count == end?.Count && CryptographicOperations.FixedTimeEquals(End.Mac, end.Mac);
        }
        return isWhole;
    }

    /// <summary>Adds a record; on disk, in both files, when this returns.</summary>
    /// <param name="record">Of the file's length; its HMAC is put in.</param>
    /// <exception cref="IOException">It may not be on disk.</exception>
    public void Append(byte[] record)
    {
        MacOf(record).CopyTo(record.AsSpan(size - MacSize));
        using (var file = OwnerOnly.OpenFile(path, FileShare.Read))
        {
            if (file.Length < End.Count * size)
                throw new IOException($"{Path.GetFileName(path)} is shorter than it was.");
            file.SetLength(End.Count * size);
            file.Seek(0, SeekOrigin.End);
            file.Write(record);
            file.Flush(flushToDisk: true);
        }
        if (copy is not null)
            Continue(path, copy, End.Count * size);
        End = new(End.Count + 1, record[^MacSize..]);
    }

    /// <summary>Brings each of the two files to where the other is; on disk when this returns.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public void Level()
    {
        if (copy is null)
            return;
        Continue(path, copy);
        Continue(copy, path);
    }

    /// <param name="most">What is behind so many bytes of the other was never said to be there.</param>
    private void Continue(string from, string to, long most = long.MaxValue)
    {
        var records = WholeRecordsOf(from);
        if (records.Length == 0)
            return;
        using var file = OwnerOnly.OpenFile(to, FileShare.Read);
        if (Math.Min(file.Length - file.Length % size, most) is var end && end >= records.Length)
            return;
        file.SetLength(end);
        file.Seek(0, SeekOrigin.End);
        file.Write(records.AsSpan((int)end));
        file.Flush(flushToDisk: true);
    }

    // A kill may have left a part of a record: nobody was told that it was there.
    private byte[] WholeRecordsOf(string file) => File.Exists(file) ? File.ReadAllBytes(file) is var bytes && bytes.Length % size is > 0 and var part ? bytes[..^part] : bytes : [];

    private ReadOnlySpan<byte> MacOf(ReadOnlySpan<byte> record) => HMACSHA256.HashData(macKey, (byte[])[.. End.Mac, .. record[..^MacSize]]).AsSpan(0, MacSize);
}
