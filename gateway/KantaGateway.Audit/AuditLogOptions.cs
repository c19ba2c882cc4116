namespace KantaGateway.Audit;

/// <summary>Everything the log must be told.</summary>
public sealed record AuditLogOptions
{
    /// <summary>Folder of a store in files, which one process at a time has open; null where there is an <see cref="Engine"/>.</summary>
    public string? Folder { get; init; }

    /// <summary>Another store than files, which any number of logs of one key and one origin may share; null: files in <see cref="Folder"/>.</summary>
    public AuditEngine? Engine { get; init; }

    /// <summary>Origin line of the checkpoints and name of the log's key: no spaces, no plus sign (C2SP signed-note).</summary>
    public required string Origin { get; init; }

    /// <summary>Ed25519 seed, 32 bytes: signs checkpoints, and the subject index key derives from it.</summary>
    public required byte[] LogKey { get; init; }

    /// <summary>X25519 public key, 32 bytes, to which entries are sealed; the private half is with the key service.</summary>
    public required byte[] ReaderPublicKey { get; init; }

    /// <summary>Whether a missing store of files is made: the embedded development host only.</summary>
    public bool Create { get; init; }

    /// <summary>Longest time from an entry to the checkpoint that covers it. Default 500 ms, at most 1 s.</summary>
    public TimeSpan CheckpointInterval { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Most entries that wait for the disk; beyond it appends are refused. Default 16,384.</summary>
    public int MaxWaiting { get; init; } = 16_384;

    /// <summary>A file of rows that has this many bytes is followed by a new one. Default 64 MiB; at most 2 GiB.</summary>
    internal int SegmentBytes { get; init; } = 64 << 20;

    /// <summary>Finished files of rows whose index may still be in memory alone; with more the log waits for the disk, else its memory had no bound. Default 4.</summary>
    internal int MostUnsettled { get; init; } = 4;

    /// <summary>Called at each durable step; tests throw from it.</summary>
    internal Action<DurableStep>? OnStep { get; init; }
}

/// <summary>Points between which a kill may fall.</summary>
enum DurableStep
{
    BeforeInsert, BeforeCommit, Written, AfterCommit, BeforeTiles, AfterTiles, BeforeCheckpoint, AfterCheckpoint, BeforeSegment, AfterSegment,

    /// <summary>From here on beside the writer: of a finished segment.</summary>
    BeforeSettling, BeforeRun, AfterRun, Merged,

    /// <summary>From here on of a pruning.</summary>
    BeforePruning, PruningNoted, IndexPruned, SegmentPruned,
}
