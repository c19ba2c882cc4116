using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using Npgsql;

namespace KantaGateway.Audit.Postgres;

/// <summary>A published tree: its full tiles are rows of their own, its entry bundles are read from the entries, and the hashes of its unfinished tiles are here.</summary>
/// <param name="Edge">Those hashes, level by level from 0.</param>
/// <param name="Database">Where the rest is.</param>
sealed record PublishedRows(long Size, string Note, byte[] Edge, NpgsqlDataSource Database) : PublishedTree(Size, Note)
{
    /// <summary>Whether there are as many hashes as unfinished tiles of this size have.</summary>
    public bool IsWhole => Edge.Length == OffsetOf(8);

    /// <summary>The tree, to go on from.</summary>
    public TreeEdge Restore() => TreeEdge.Restore(Size, tile => Edge[OffsetOf(tile.Level)..OffsetOf(tile.Level + 1)]);

    public override async ValueTask<byte[]?> ReadAsync(TilePath tile)
    {
        if (tile.Level > 7)
            return null;
        if (tile.Level != TilePath.Entries && tile.Index == Size >> 8 * (tile.Level + 1))
            return Edge.AsSpan(OffsetOf(tile.Level), tile.Width * Merkle.HashLength).ToArray();
        try
        {
            return tile.Level == TilePath.Entries ? await ReadBundleAsync(tile).ConfigureAwait(false) : await ReadHashesAsync(tile).ConfigureAwait(false);
        }
        catch (NpgsqlException e)
        {
            throw new AuditUnavailableException("The audit log's database could not be asked.", e);
        }
    }

    private async ValueTask<byte[]?> ReadHashesAsync(TilePath tile)
    {
        await using var command = Database.CreateCommand("SELECT hashes FROM tile WHERE level = $1 AND number = $2");
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = tile.Level });
        command.Parameters.Add(PostgresLogStore.Number(tile.Index));
        return await command.ExecuteScalarAsync().ConfigureAwait(false) is byte[] hashes ? hashes[..(tile.Width * Merkle.HashLength)] : null;
    }

    private async ValueTask<byte[]?> ReadBundleAsync(TilePath tile)
    {
        var (first, bundle, read) = (tile.Index * TilePath.FullWidth, new byte[tile.Width * EntryBundle.EntryLength], 0);
        await using var command = Database.CreateCommand("SELECT leaf FROM entry WHERE index >= $1 AND index < $2 ORDER BY index");
        command.Parameters.Add(PostgresLogStore.Number(first));
        command.Parameters.Add(PostgresLogStore.Number(first + tile.Width));
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        while (await reader.ReadAsync().ConfigureAwait(false) && reader.GetFieldValue<byte[]>(0) is { Length: SealedRow.LeafLength } leaf && read < tile.Width)
            EntryBundle.Write(leaf, bundle.AsSpan(read++ * EntryBundle.EntryLength));
        return read == tile.Width ? bundle : null;
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
