using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Gateway.Breach;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// That something was restored from a backup stands in the audit log before anything is served over it. <c>infra/restore.sh</c> says so in the file
/// <c>restored</c> of the audit folder, a line a restore, before it puts anything in its place.
/// </summary>
static class RestoreMark
{
    /// <summary>Name of the file.</summary>
    public const string Name = "restored";

    /// <summary>Characters of a line that are recorded.</summary>
    private const int Longest = 1_000;

    /// <summary>
    /// Records the mark, if there is one, and takes it away when that is on disk. A kill in between leaves it, and the next start records it again: once too often, never not at all.
    /// </summary>
    /// <exception cref="AuditUnavailableException">It could not be recorded, so nothing may be served.</exception>
    /// <exception cref="IOException">The mark cannot be read or taken away.</exception>
    public static void Record(AuditLog log, GatewayOptions options, TimeProvider time)
    {
        var file = Path.Combine(options.AuditFolder, Name);
        if (!File.Exists(file))
            return;
        var bytes = File.ReadAllBytes(file);
        string[] restores = [.. File.ReadAllLines(file).Where(static line => line.Length > 0)];
        if (restores.Length == 0)
            restores = ["which, is not said."];
        log.AppendAsync([.. restores.Select(restore => OwnRecord.Of(options, time.GetUtcNow(), "Restored from a backup: " + restore[..Math.Min(restore.Length, Longest)], bytes, AuditOutcome.Success))]).AsTask().GetAwaiter().GetResult();
        // :: Durable from here on.
        File.Delete(file);
    }
}
