using System.Buffers.Binary;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;

namespace KantaGateway.Tests.Audit;

/// <summary>
/// The public face of a log as whoever holds its key and its disk can stage it: any leaves, whatever is signed over them, and any resource in the place of the right one. Its tree is computed anew from the leaves, by the definition.
/// </summary>
sealed class StagedLog : IDisposable
{
    private readonly NoteSigner _signer = new("localhost/staged", RandomNumberGenerator.GetBytes(32));
    private string _note = "";
    private List<byte[][]> _levels = [];
    private byte[][] _leaves = [];

    public StagedLog(int entries) => Publish([.. Enumerable.Range(0, entries).Select(_ => NewLeaf())]);

    public NoteVerifier Verifier => _signer.Verifier;

    /// <summary>Leaf data that the last publication has.</summary>
    public IReadOnlyList<byte[]> Leaves => _leaves;

    /// <summary>What is given instead of the right resource; null: there is none.</summary>
    public Dictionary<string, Func<byte[], byte[]?>> Tampered { get; } = [];

    /// <summary>Lines that are added to the checkpoint.</summary>
    public string Cosignatures { get; set; } = "";

    public List<string> Asked { get; } = [];

    public static byte[] NewLeaf() => RandomNumberGenerator.GetBytes(64);

    /// <summary>Signs these leaves, whatever was signed before.</summary>
    public void Publish(IEnumerable<byte[]> leaves)
    {
        _leaves = [.. leaves];
        _levels = [[.. _leaves.Select(leaf => Merkle.HashLeaf(leaf))]];
        while (_levels[^1].Length >= TilePath.FullWidth)
            _levels.Add([.. _levels[^1].Chunk(TilePath.FullWidth).Where(c => c.Length == TilePath.FullWidth).Select(c => RootOf(c))]);
        _note = new Checkpoint(Verifier.Name, _leaves.Length, RootOf(_levels[0])).Sign(_signer);
    }

    /// <summary>Adds leaves as an honest log does.</summary>
    public void Grow(int by) => Publish([.. _leaves, .. Enumerable.Range(0, by).Select(_ => NewLeaf())]);

    public string Note => _note + Cosignatures;

    public Task<byte[]?> ReadAsync(string path, CancellationToken cancel)
    {
        lock (Asked)
            Asked.Add(path);
        var right = path == "checkpoint" ? Encoding.UTF8.GetBytes(Note) : Tile(path);
        return Task.FromResult(Tampered.TryGetValue(path, out var tampered) && right is not null ? tampered(right) : right);
    }

    public void Dispose() => _signer.Dispose();

    private byte[]? Tile(string path)
    {
        if (!TilePath.TryParse(path, out var tile) || tile.EndSize > _leaves.Length)
            return null;
        var from = (int)tile.Index * TilePath.FullWidth;
        if (tile.Level != TilePath.Entries)
            return [.. _levels[tile.Level][from..(from + tile.Width)].SelectMany(h => h)];
        return Bundle(_leaves[from..(from + tile.Width)]);
    }

    public static byte[] Bundle(IEnumerable<byte[]> leaves)
    {
        var length = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(length, 64);
        return [.. leaves.SelectMany(leaf => (byte[])[.. length, .. leaf])];
    }

    // RFC 6962 §2.1, word for word.
    private static byte[] RootOf(ReadOnlySpan<byte[]> hashes)
    {
        if (hashes.Length < 2)
            return hashes.Length == 0 ? Merkle.Empty : hashes[0];
        var k = (int)BitOperations.RoundUpToPowerOf2((uint)hashes.Length) / 2;
        return Merkle.HashNode(RootOf(hashes[..k]), RootOf(hashes[k..]));
    }
}
