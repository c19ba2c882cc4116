using System.Runtime.Versioning;

// proc(5), file modes, and tools from Debian's packages.
[assembly: SupportedOSPlatform("linux")]

namespace KantaGateway.Benchmarks;

/// <summary>Files with a key or a token in them: only their owner can read them, from their first byte on.</summary>
static class PrivateFile
{
    /// <summary>Writes the file anew.</summary>
    /// <returns>The path.</returns>
    public static string Write(string path, ReadOnlySpan<byte> content)
    {
        File.Delete(path);
        using var stream = new FileStream(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite });
        stream.Write(content);
        return path;
    }
}
