namespace KantaGateway.Keys.Custody;

/// <summary>A file of records of one length, one behind the other. How they are written differs: added behind a chain, in the place of another, many at once.</summary>
static class RecordFile
{
    /// <summary>Each whole record, in its order and in the same array. Of a last one that was not written to its end nobody was told that it was there. No file: none.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static IEnumerable<byte[]> Read(string file, int size)
    {
        if (!File.Exists(file))
            yield break;
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 64 * 1024);
        var record = new byte[size];
        while (stream.ReadAtLeast(record, size, throwOnEndOfStream: false) == size)
            yield return record;
    }
}
