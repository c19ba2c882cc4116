using System.Diagnostics;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;

namespace KantaGateway.Tests.Audit;

/// <summary>A folder of its own for a log under test.</summary>
sealed class LogFolder(byte[] logKey, AuditOpener reader) : LogPlace(logKey, reader)
{
    public LogFolder() : this(RandomNumberGenerator.GetBytes(32), new(AuditOpener.GeneratePrivateKey()))
    {
    }

    public string Path { get; } = Directory.CreateTempSubdirectory("kanta-audit-").FullName;

    /// <summary>Where the log's own files are.</summary>
    public string Store => System.IO.Path.Combine(Path, "log");

    /// <summary>Bytes of a short file of rows: some twenty entries each, so that many are begun, settled and merged.</summary>
    public const int ShortSegment = 4096;

    public AuditLogOptions Options(Action<DurableStep>? onStep, int segment) => Options(onStep) with { SegmentBytes = segment };

    public AuditLog Open(Action<DurableStep>? onStep, int segment) => AuditLog.Open(Options(onStep, segment), TimeProvider.System);

    public AuditLog Open(int segment) => Open(null, segment);

    protected override AuditLogOptions Here(AuditLogOptions options) => options with { Folder = Store, Create = true };

    public override AuditVerification Verify(string? earlier = null) => AuditVerification.Of(Store, Verifier, earlier);

    /// <summary>A file of the store by its path in it.</summary>
    public string File(string path) => System.IO.Path.Combine([Store, .. path.Split('/')]);

    /// <summary>The file of rows that is written, or was last.</summary>
    public string LastRows => Directory.GetFiles(File("rows")).Max(StringComparer.Ordinal)!;

    public override Task RewriteAsync(Func<List<(long Index, SealedRow Row)>, IEnumerable<(long Index, SealedRow Row)>> change)
    {
        Rewrite(change);
        return Task.CompletedTask;
    }

    public override Task RewriteCheckpointAsync(string note) => System.IO.File.WriteAllTextAsync(File("checkpoint"), note);

    public override Task<LogPlace> CopyAtRestAsync() => Task.FromResult<LogPlace>(Copy());

    /// <summary>Whole frames, right checksums.</summary>
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

    public override void Dispose() => Directory.Delete(Path, recursive: true);
}
