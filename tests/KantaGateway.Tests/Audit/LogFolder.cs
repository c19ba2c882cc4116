using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Tests.Audit;

/// <summary>A folder of its own for a log under test, its keys, and what may befall it.</summary>
sealed class LogFolder : IDisposable
{
    public LogFolder() => Path = Directory.CreateTempSubdirectory("kanta-audit-").FullName;

    public string Path { get; }

    public AuditOpener Reader { get; } = new(AuditOpener.GeneratePrivateKey());

    public byte[] LogKey { get; } = RandomNumberGenerator.GetBytes(32);

    public NoteVerifier Verifier => new NoteSigner("localhost/log", LogKey).Verifier;

    private string Store => System.IO.Path.Combine(Path, "log");

    public static byte[] Subject(byte who) => [who, 0, 0, 0, 0, 0, 0, 0, 0, who];

    /// <summary>Received by a clinic named after the person.</summary>
    public static AuditEntry Entry(int number, byte who = 1) => new(Subject(who), Encoding.UTF8.GetBytes($$"""{"resourceType":"AuditEvent","id":"{{number}}"}"""), ReceiverOf(who));

    public static string ReceiverOf(byte who) => $"clinic {who}";

    /// <summary>Options whose checkpoints are published only when asked for, or a second later.</summary>
    public AuditLogOptions Options(Action<DurableStep>? onStep = null) => new()
    {
        Folder = Store, Origin = "localhost/log", LogKey = LogKey, ReaderPublicKey = Reader.PublicKey, Create = true,
        CheckpointInterval = TimeSpan.FromSeconds(1), OnStep = onStep,
    };

    public AuditLog Open(Action<DurableStep>? onStep = null) => AuditLog.Open(Options(onStep), TimeProvider.System);

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

    public void Sql(string sql)
    {
        using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = System.IO.Path.Combine(Store, "audit.db"), Pooling = false }.ConnectionString);
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    /// <summary>The store as a kill of the process at this moment would leave it. By another process: to close a database file drops its locks.</summary>
    public LogFolder Copy()
    {
        var copy = new LogFolder(LogKey, Reader);
        using var cp = Process.Start("cp", ["-r", Store, copy.Store]);
        cp.WaitForExit();
        Assert.Equal(0, cp.ExitCode);
        return copy;
    }

    private LogFolder(byte[] logKey, AuditOpener reader) : this() => (LogKey, Reader) = (logKey, reader);

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        Directory.Delete(Path, recursive: true);
    }
}
