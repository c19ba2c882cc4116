using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Audit.Monitoring;

/// <summary>
/// What an outsider keeps of a log between two checks: the last checkpoint that was shown and the last that was verified, the edge of the tree, and of each entry eight bytes of its leaf hash, so that what was done to an entry can be named.
/// One process at a time. Not thread-safe.
/// </summary>
public sealed class MonitorFolder : IDisposable
{
    private const string StateFile = "state.json", LeavesFile = "leaves", EvidenceFolder = "evidence";

    /// <summary>Bytes kept of each leaf hash.</summary>
    private const int Kept = sizeof(ulong);

    private readonly string _folder;
    private readonly NoteVerifier _log;
    private readonly FileStream _lock, _leaves;
    private State _state;

    /// <summary>Opens the folder, or begins one.</summary>
    /// <exception cref="InvalidDataException">It is of another log, or damaged.</exception>
    /// <exception cref="IOException">Another process has it open, or it cannot be read.</exception>
    public MonitorFolder(string folder, NoteVerifier log)
    {
        (_folder, _log) = (folder, log);
        OwnerOnly.CreateFolder(folder);
        _lock = OwnerOnly.OpenFile(Path.Combine(folder, "lock"), FileShare.None);
        _leaves = OwnerOnly.OpenFile(Path.Combine(folder, LeavesFile), FileShare.Read);
        try
        {
            var file = Path.Combine(folder, StateFile);
            _state = File.Exists(file) ? Read(file) : new(log.ToString(), null, null, new(0, []), new(0, []));
            if (_state.Log != log.ToString())
                throw new InvalidDataException("The state is of another log.");
            (Seen, Verified) = (Open(_state.Seen), Open(_state.Verified));
            if (_leaves.Length < _state.Reached.Size * Kept || (Verified?.Size ?? 0) != _state.VerifiedEdge.Size
                || Verified is { } verified && !_state.VerifiedEdge.Restore().Root().AsSpan().SequenceEqual(verified.Root))
                throw new InvalidDataException("The state is damaged.");
            // What was read after the last save is read again.
            _leaves.SetLength(_state.Reached.Size * Kept);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The largest checkpoint that the log has shown and signed.</summary>
    public Checkpoint? Seen { get; private set; }

    /// <summary>The last one all of whose entries were read and found to have its root.</summary>
    public Checkpoint? Verified { get; private set; }

    /// <summary>Leaves that are kept.</summary>
    internal long Leaves => _leaves.Length / Kept;

    /// <summary>The tree as far as it was read.</summary>
    internal TreeEdge Edge() => _state.Reached.Restore();

    public void Dispose()
    {
        _leaves.Dispose();
        _lock.Dispose();
    }

    internal void Append(ReadOnlySpan<byte> leafHash)
    {
        _leaves.Seek(0, SeekOrigin.End);
        _leaves.Write(leafHash[..Kept]);
    }

    internal ulong[] Fingerprints(long from, int count)
    {
        var read = new byte[Math.Max(0, Math.Min(count, Leaves - from)) * Kept];
        _leaves.Flush();
        RandomAccess.Read(_leaves.SafeFileHandle, read, from * Kept);
        return FingerprintsIn(read, Kept);
    }

    /// <summary>Of hashes that follow each other.</summary>
    internal static ulong[] FingerprintsIn(ReadOnlySpan<byte> bytes, int stride)
    {
        var fingerprints = new ulong[bytes.Length / stride];
        for (var i = 0; i < fingerprints.Length; i++)
            fingerprints[i] = BinaryPrimitives.ReadUInt64BigEndian(bytes[(i * stride)..]);
        return fingerprints;
    }

    /// <summary>Remembers that the log has signed this: whatever comes later has to go on from it.</summary>
    internal void See(Checkpoint seen, string note)
    {
        Seen = seen;
        Save(_state with { Seen = note });
    }

    /// <summary>Remembers how far was read.</summary>
    internal void Reach(TreeEdge edge) => Save(_state with { Reached = KeptEdge.Of(edge) });

    /// <summary>All of it was read, and is what is signed.</summary>
    internal void Verify(Checkpoint verified, string note, TreeEdge edge)
    {
        Verified = verified;
        var reached = KeptEdge.Of(edge);
        Save(_state with { Verified = note, VerifiedEdge = reached, Reached = reached });
    }

    /// <summary>Forgets what was read and is not what is signed.</summary>
    internal void Revert()
    {
        Save(_state with { Reached = _state.VerifiedEdge });
        _leaves.SetLength(_state.Reached.Size * Kept);
    }

    /// <summary>Keeps a checkpoint that the log must not have signed: beside the one in the state it proves so to anybody.</summary>
    internal void KeepEvidence(string note)
    {
        var folder = Path.Combine(_folder, EvidenceFolder);
        OwnerOnly.CreateFolder(folder);
        var bytes = Encoding.UTF8.GetBytes(note);
        OwnerOnly.WriteWhole(Path.Combine(folder, Convert.ToHexStringLower(SHA256.HashData(bytes).AsSpan(0, 8)) + ".checkpoint"), bytes, overwrite: true);
    }

    private void Save(State state)
    {
        _leaves.Flush(flushToDisk: true);
        OwnerOnly.WriteWhole(Path.Combine(_folder, StateFile), JsonSerializer.SerializeToUtf8Bytes(state), overwrite: true);
        _state = state;
    }

    private Checkpoint? Open(string? note) => note is null ? null : Checkpoint.TryOpen(note, _log, out var checkpoint) ? checkpoint : throw new InvalidDataException("The state is damaged.");

    private static State Read(string file)
    {
        try
        {
            return JsonSerializer.Deserialize<State>(File.ReadAllBytes(file)) is { Log: not null, VerifiedEdge: { IsWhole: true }, Reached: { IsWhole: true } } state ? state : throw new InvalidDataException("The state is damaged.");
        }
        catch (JsonException damaged)
        {
            throw new InvalidDataException("The state is damaged.", damaged);
        }
    }

    /// <param name="Log">Verifier key.</param>
    /// <param name="Seen">Signed note.</param>
    /// <param name="Verified">Signed note.</param>
    private sealed record State(string Log, string? Seen, string? Verified, KeptEdge VerifiedEdge, KeptEdge Reached);

    /// <param name="Tiles">Hashes of the unfinished tile of each level.</param>
    private sealed record KeptEdge(long Size, byte[][] Tiles)
    {
        public bool IsWhole => Size >= 0 && Enumerable.Range(0, 8).All(level => (int)(Size >> 8 * level) % TilePath.FullWidth * Merkle.HashLength == (level < Tiles.Length ? Tiles[level].Length : 0));

        public static KeptEdge Of(TreeEdge edge) => new(edge.Size, edge.PartialTiles());

        public TreeEdge Restore() => TreeEdge.Restore(Size, tile => Tiles[tile.Level]);
    }
}
