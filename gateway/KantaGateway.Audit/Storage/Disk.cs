using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace KantaGateway.Audit.Storage;

/// <summary>What a file system must be told so that what was written outlives a power cut. Thread-safe.</summary>
static class Disk
{
    private const int ErrorInterrupted = 4, OpenForReading = 0, CloseOnExec = 0x80000;

    /// <summary>Now what was written to the file is on the disk, and so is its length; its times need not be.</summary>
    /// <exception cref="IOException">Whether it is on disk is not known, and no later flush of the same file will tell.</exception>
    public static void Flush(SafeFileHandle file)
    {
        if (OperatingSystem.IsLinux())
            Flushed(() => fdatasync(file));
        else
            RandomAccess.FlushToDisk(file);
    }

    /// <summary>Flushes a file that another handle has written.</summary>
    public static void FlushFile(string file)
    {
        using var handle = File.OpenHandle(file, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        Flush(handle);
    }

    /// <summary>Now the names that were made, changed or taken away in a folder are so on the disk. Elsewhere than on Linux the system decides when.</summary>
    public static void FlushFolder(string folder)
    {
        if (!OperatingSystem.IsLinux())
            return;
        using var handle = open(folder, OpenForReading | CloseOnExec);
        if (handle.IsInvalid)
            throw Failure();
        Flushed(() => fsync(handle));
    }

    /// <summary>A file for writing in place, owner-only, made if there is none; others may read it meanwhile.</summary>
    public static FileStream Open(string file) => OwnerOnly.OpenFile(file, FileShare.ReadWrite | FileShare.Delete);

    /// <summary>The same of a file that must be there.</summary>
    public static FileStream OpenExisting(string file) => new(file, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);

    /// <summary>Puts a file in its place whole. A kill leaves the old one, the new one or none; a power cut too, once it is flushed.</summary>
    public static void Put(string file, ReadOnlySpan<byte> content, bool flush)
    {
        var beside = file + ".new";
        using (var stream = Open(beside))
        {
            stream.SetLength(0);
            RandomAccess.Write(stream.SafeFileHandle, content, 0);
            if (flush)
                Flush(stream.SafeFileHandle);
        }
        File.Move(beside, file, overwrite: true);
    }

    private static void Flushed(Func<int> flush)
    {
        while (flush() != 0)
            if (Marshal.GetLastPInvokeError() != ErrorInterrupted)
                throw Failure();
    }

    private static IOException Failure() => new($"The disk has not taken what was written ({Marshal.GetLastPInvokeErrorMessage()}).");

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int fdatasync(SafeFileHandle file);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int fsync(SafeFileHandle file);

    [DllImport("libc", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern SafeFileHandle open([MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags);
}
