using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Audit;

/// <summary>A folder of its own for a log under test, its keys, and what may befall it.</summary>
sealed class LogFolder : IDisposable
{
    public LogFolder() => Path = Directory.CreateTempSubdirectory("kanta-audit-").FullName;

    public string Path { get; }

    public AuditOpener Reader { get; } = new(AuditOpener.GeneratePrivateKey());

    public byte[] LogKey { get; } = RandomNumberGenerator.GetBytes(32);

    public NoteVerifier Verifier => new NoteSigner("localhost/log", LogKey).Verifier;

    /// <summary>Where the log's own files are.</summary>
    public string Store => System.IO.Path.Combine(Path, "log");

    public static byte[] Subject(byte who) => [who, 0, 0, 0, 0, 0, 0, 0, 0, who];

    /// <summary>Received by a clinic named after the person.</summary>
    public static AuditEntry Entry(int number, byte who = 1) => new(Subject(who), Encoding.UTF8.GetBytes($$"""{"resourceType":"AuditEvent","id":"{{number}}"}"""), ReceiverOf(who));

    public static string ReceiverOf(byte who) => $"clinic {who}";

    /// <summary>Bytes of a short file of rows: some twenty entries each, so that many are begun, settled and merged.</summary>
    public const int ShortSegment = 4096;

    /// <summary>Options whose checkpoints are published only when asked for, or a second later.</summary>
    public AuditLogOptions Options(Action<DurableStep>? onStep = null, int segment = 64 << 20) => new()
    {
        Folder = Store, Origin = "localhost/log", LogKey = LogKey, ReaderPublicKey = Reader.PublicKey, Create = true,
        CheckpointInterval = TimeSpan.FromSeconds(1), OnStep = onStep, SegmentBytes = segment,
    };

    public AuditLog Open(Action<DurableStep>? onStep = null, int segment = 64 << 20) => AuditLog.Open(Options(onStep, segment), TimeProvider.System);

    public AuditVerification Verify(string? earlier = null) => AuditVerification.Of(Store, Verifier, earlier);

    /// <summary>Ids of the entries of a person in the store as it is on disk, oldest first.</summary>
    public async Task<List<string>> StoredAsync(byte who = 1)
    {
        await using var log = Open();
        return Stored(log, who);
    }

    public List<string> Stored(AuditLog log, byte who = 1) => [.. log.ForSubject(Subject(who), int.MaxValue).Reverse().Select(e =>
    {
        Assert.True(Reader.TryOpen(e, out var opened));
        return System.Text.Json.JsonDocument.Parse(opened.Record).RootElement.GetProperty("id").GetString()!;
    })];

    /// <summary>A file of the store by its path in it.</summary>
    public string File(string path) => System.IO.Path.Combine([Store, .. path.Split('/')]);

    /// <summary>The file of rows that is written, or was last.</summary>
    public string LastRows => Directory.GetFiles(File("rows")).Max(StringComparer.Ordinal)!;

    /// <summary>Writes all rows anew as somebody would who knows the format: whole frames, right checksums.</summary>
    public void Rewrite(Func<List<(long Index, SealedRow Row)>, IEnumerable<(long Index, SealedRow Row)>> change)
    {
        var rows = change([.. Segments.Rows(Store)]).ToList();
        foreach (var file in Directory.GetFiles(File("rows")))
            System.IO.File.Delete(file);
        using var stream = Segments.Create(Store, 0, [], out var end);
        stream.Position = end;
        foreach (var (index, row) in rows)
        {
            var frame = new byte[Frame.HeaderLength + row.StoredLength];
            row.WriteTo(frame.AsSpan(Frame.HeaderLength));
            Frame.Close(frame, 1, index);
            stream.Write(frame);
        }
    }

    /// <summary>The store as a kill of the process at this moment would leave it. By another process, which asks nobody for locks.</summary>
    public LogFolder Copy()
    {
        var copy = new LogFolder(LogKey, Reader);
        // Again where a file was renamed into its place under the copying.
        for (var tries = 0; ; tries++)
        {
            using var cp = Process.Start("cp", ["-r", Store, copy.Store]);
            cp.WaitForExit();
            if (cp.ExitCode == 0)
                break;
            Assert.True(tries < 10, "The store could not be copied.");
            Directory.Delete(copy.Store, recursive: true);
        }
        return copy;
    }

    private LogFolder(byte[] logKey, AuditOpener reader) : this() => (LogKey, Reader) = (logKey, reader);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
