using KantaGateway.Audit.Storage;

namespace KantaGateway.Audit;

/// <summary>Folders and files that only their owner can open (0700, 0600). On Windows the folder's own access list decides.</summary>
public static class OwnerOnly
{
    public static void CreateFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(folder);
        else
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    /// <summary>Opens a file and makes it if there is none.</summary>
    public static FileStream OpenFile(string file, FileShare share)
    {
        var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = share };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        return new FileStream(file, options);
    }

    /// <summary>
    /// Writes a secret whole or not at all: beside its place, flushed, renamed. A kill leaves the old file, the new one, or
    /// none, never half a key.
    /// </summary>
    /// <param name="file">Its place; the folder exists.</param>
    /// <param name="content">All of it.</param>
    /// <param name="overwrite">Whether a file that is there is replaced.</param>
    /// <param name="flushFolder">Whether it outlives a power cut when this returns, as after <see cref="FlushFolder"/>.</param>
    /// <exception cref="IOException">It is there and may not be replaced, or the disk does not take it.</exception>
    public static void WriteWhole(string file, ReadOnlySpan<byte> content, bool overwrite = false, bool flushFolder = false)
    {
        var beside = file + ".new";
        File.Delete(beside);
        using (var stream = OpenFile(beside, FileShare.None))
        {
            stream.Write(content);
            stream.Flush(flushToDisk: true);
        }
        File.Move(beside, file, overwrite);
        if (flushFolder)
            FlushFolder(file);
    }

    /// <summary>Now that a file is there, or is there no more, is so on the disk too: without it a power cut may bring back what was in its folder before.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public static void FlushFolder(string file) => Disk.FlushFolder(Path.GetDirectoryName(Path.GetFullPath(file))!);
}
