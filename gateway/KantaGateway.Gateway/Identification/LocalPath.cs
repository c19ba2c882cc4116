namespace KantaGateway.Gateway.Identification;

/// <summary>Where a citizen may be led back to.</summary>
internal static class LocalPath
{
    /// <summary>Whether a text is a path on this site: one slash first, and printable ASCII without backslashes.</summary>
    /// <remarks>
    /// A browser reads <c>//</c> and <c>/\</c> as another host, and drops tabs and line ends before it reads. What is
    /// outside ASCII comes percent-encoded in an address, and a Location header could not carry it.
    /// </remarks>
    public static bool IsLocal(string? path) =>
        path is ['/', ..] && path is not ['/', '/', ..] && path.All(static c => c is > ' ' and < '\x7F' and not '\\');
}
