using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;

namespace KantaGateway.Tests.Audit;

/// <summary>Where a log under test is kept, its keys, and what may befall it whatever the engine is.</summary>
abstract class LogPlace(byte[] logKey, AuditOpener reader) : IDisposable
{
    public AuditOpener Reader { get; } = reader;

    public byte[] LogKey { get; } = logKey;

    public NoteVerifier Verifier => new NoteSigner(Origin, LogKey).Verifier;

    protected const string Origin = "localhost/log";

    public static byte[] Subject(byte who) => [who, 0, 0, 0, 0, 0, 0, 0, 0, who];

    /// <summary>Received by a clinic named after the person.</summary>
    public static AuditEntry Entry(int number, byte who = 1) => new(Subject(who), Encoding.UTF8.GetBytes($$"""{"resourceType":"AuditEvent","id":"{{number}}"}"""), ReceiverOf(who));

    public static string ReceiverOf(byte who) => $"clinic {who}";

    /// <summary>Options whose checkpoints are published only when asked for, or a second later.</summary>
    public AuditLogOptions Options(Action<DurableStep>? onStep = null) =>
        Here(new() { Origin = Origin, LogKey = LogKey, ReaderPublicKey = Reader.PublicKey, CheckpointInterval = TimeSpan.FromSeconds(1), OnStep = onStep });

    public AuditLog Open(Action<DurableStep>? onStep = null) => AuditLog.Open(Options(onStep), TimeProvider.System);

    /// <summary>The options of a log in this place.</summary>
    protected abstract AuditLogOptions Here(AuditLogOptions options);

    public abstract AuditVerification Verify(string? earlier = null);

    /// <summary>Writes all rows anew as somebody would who knows the format and has every right there.</summary>
    public abstract Task RewriteAsync(Func<List<(long Index, SealedRow Row)>, IEnumerable<(long Index, SealedRow Row)>> change);

    /// <summary>Puts something else in the place of the published checkpoint.</summary>
    public abstract Task RewriteCheckpointAsync(string note);

    /// <summary>The store as it is at rest; no log has it open.</summary>
    public abstract Task<LogPlace> CopyAtRestAsync();

    /// <summary>Ids of the entries of a person in the store as it is, oldest first.</summary>
    public async Task<List<string>> StoredAsync(byte who = 1)
    {
        await using var log = Open();
        return Stored(log, who);
    }

    public List<string> Stored(AuditLog log, byte who = 1) => [.. Entries(log, who).Reverse().Select(e =>
    {
        Assert.True(Reader.TryOpen(e, out var opened));
        return System.Text.Json.JsonDocument.Parse(opened.Record).RootElement.GetProperty("id").GetString()!;
    })];

    /// <summary>Sealed entries of a person, newest first.</summary>
    public static IReadOnlyList<SealedEntry> Entries(AuditLog log, byte who = 1, int limit = int.MaxValue, long before = long.MaxValue) =>
        log.ForSubjectAsync(Subject(who), limit, before).AsTask().GetAwaiter().GetResult();

    /// <summary>A tile that is there.</summary>
    public static byte[] Tile(AuditLog log, KantaGateway.Audit.Tree.TilePath path) => log.ReadTileAsync(path).AsTask().GetAwaiter().GetResult()!;

    public abstract void Dispose();
}
