using System.Collections.Concurrent;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using Npgsql;

namespace KantaGateway.Audit.Postgres;

/// <summary>A published tree: its full tiles are rows of their own, its entry bundles are read from the entries, and the hashes of its unfinished tiles are here.</summary>
/// <param name="Edge">Those hashes, level by level from 0.</param>
/// <param name="Stored">Where the rest is.</param>
sealed record PublishedRows(long Size, string Note, byte[] Edge, StoredTiles Stored) : PublishedTree(Size, Note)
{
    /// <summary>Whether there are as many hashes as unfinished tiles of this size have.</summary>
    public bool IsWhole => Edge.Length == OffsetOf(8);

    /// <summary>The tree, to go on from.</summary>
    public TreeEdge Restore() => TreeEdge.Restore(Size, tile => Edge[OffsetOf(tile.Level)..OffsetOf(tile.Level + 1)]);

    public override ValueTask<byte[]?> ReadAsync(TilePath tile) => ReadAsync(tile, isPublic: true);

    private protected override ValueTask<byte[]?> ReadForProofAsync(TilePath tile) => ReadAsync(tile, isPublic: false);

    private async ValueTask<byte[]?> ReadAsync(TilePath tile, bool isPublic)
    {
        if (tile.Level > 7)
            return null;
        if (tile.Level != TilePath.Entries && tile.Index == Size >> 8 * (tile.Level + 1))
            return Edge.AsSpan(OffsetOf(tile.Level), tile.Width * Merkle.HashLength).ToArray();
        return await Stored.ReadAsync(tile, isPublic).ConfigureAwait(false);
    }

    /// <summary>Where the hashes of a level begin.</summary>
    private int OffsetOf(int level)
    {
        var offset = 0;
        for (var before = 0; before < level; before++)
            offset += (int)((Size >> 8 * before) % TilePath.FullWidth) * Merkle.HashLength;
        return offset;
    }
}

/// <summary>Tiles and entry bundles in the database, of which the full ones never change: the last that were asked for are kept. Thread-safe.</summary>
/// <param name="readers">Connections for who is known.</param>
/// <param name="public">Connections for anybody.</param>
sealed class StoredTiles(NpgsqlDataSource readers, NpgsqlDataSource @public)
{
    /// <summary>Some 8 KiB each.</summary>
    private const int MostKept = 2_048;

    // Two generations: when the young one is full the old one is dropped whole.
    private ConcurrentDictionary<TilePath, byte[]> _young = [], _old = [];

    /// <exception cref="AuditUnavailableException">It cannot be asked.</exception>
    public async ValueTask<byte[]?> ReadAsync(TilePath tile, bool isPublic)
    {
        var full = new TilePath(tile.Level, tile.Index, TilePath.FullWidth);
        if (_young.TryGetValue(full, out var kept) || _old.TryGetValue(full, out kept))
            return Beginning(kept, tile);
        try
        {
            var database = isPublic ? @public : readers;
            var read = tile.Level == TilePath.Entries ? await ReadBundleAsync(database, tile).ConfigureAwait(false) : await ReadHashesAsync(database, tile).ConfigureAwait(false);
            if (read is not null && (tile.Level != TilePath.Entries || tile.Width == TilePath.FullWidth))
                Keep(full, read);
            return read is null ? null : Beginning(read, tile);
        }
        catch (NpgsqlException e)
        {
            throw new AuditUnavailableException("The audit log's database could not be asked.", e);
        }
    }

    private static byte[] Beginning(byte[] full, TilePath tile) => full[..(tile.Width * (tile.Level == TilePath.Entries ? EntryBundle.EntryLength : Merkle.HashLength))];

    private void Keep(TilePath full, byte[] content)
    {
        _young[full] = content;
        if (_young.Count >= MostKept / 2)
            (_old, _young) = (_young, []);
    }

    private static async ValueTask<byte[]?> ReadHashesAsync(NpgsqlDataSource database, TilePath tile)
    {
        await using var command = database.CreateCommand("SELECT hashes FROM tile WHERE level = $1 AND number = $2");
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = tile.Level });
        command.Parameters.Add(PostgresLogStore.Number(tile.Index));
        return await command.ExecuteScalarAsync().ConfigureAwait(false) as byte[];
    }

    private static async ValueTask<byte[]?> ReadBundleAsync(NpgsqlDataSource database, TilePath tile)
    {
        var (first, bundle, read) = (tile.Index * TilePath.FullWidth, new byte[tile.Width * EntryBundle.EntryLength], 0);
        await using var command = database.CreateCommand("SELECT leaf FROM entry WHERE index >= $1 AND index < $2 ORDER BY index");
        command.Parameters.Add(PostgresLogStore.Number(first));
        command.Parameters.Add(PostgresLogStore.Number(first + tile.Width));
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        while (await reader.ReadAsync().ConfigureAwait(false) && reader.GetFieldValue<byte[]>(0) is { Length: SealedRow.LeafLength } leaf && read < tile.Width)
            EntryBundle.Write(leaf, bundle.AsSpan(read++ * EntryBundle.EntryLength));
        return read == tile.Width ? bundle : null;
    }
}
