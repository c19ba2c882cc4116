using System.Buffers.Binary;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Tree;
using Microsoft.Data.Sqlite;

namespace KantaGateway.Audit.Storage;

/// <summary>What is read from a store, on any of its connections.</summary>
static class StoreReads
{
    public static string Checkpoint(SqliteConnection connection)
    {
        using var command = Command(connection, "SELECT checkpoint FROM log");
        return (string)command.ExecuteScalar()!;
    }

    /// <summary>Number of leaves.</summary>
    public static long Size(SqliteConnection connection)
    {
        using var command = Command(connection, "SELECT max(idx) + 1 FROM entries");
        return command.ExecuteScalar() is long size ? size : 0;
    }

    /// <summary>The first hashes of a tile; null when the store has fewer than the path's width.</summary>
    public static byte[]? Tile(SqliteConnection connection, TilePath path)
    {
        using var command = Command(connection, "SELECT hashes FROM tiles WHERE level = $level AND idx = $idx");
        command.Parameters.AddWithValue("$level", path.Level);
        command.Parameters.AddWithValue("$idx", path.Index);
        var length = path.Width * Merkle.HashLength;
        if (command.ExecuteScalar() is byte[] hashes)
            return hashes.Length >= length ? hashes[..length] : null;
        if (path.Level != 0 || Leaves(connection, path) is not { } leaves)
            return null;
        // The last tile of level 0 is not stored: it follows from the entries.
        hashes = new byte[length];
        for (var i = 0; i < path.Width; i++)
            Merkle.HashLeaf(leaves[i], hashes.AsSpan(i * Merkle.HashLength, Merkle.HashLength));
        return hashes;
    }

    /// <summary>The entry bundle: leaf data, each after its length as a big-endian 16-bit number.</summary>
    public static byte[]? EntryBundle(SqliteConnection connection, TilePath path)
    {
        if (Leaves(connection, path) is not { } leaves)
            return null;
        var bundle = new byte[leaves.Sum(l => 2 + l.Length)];
        var at = 0;
        foreach (var leaf in leaves)
        {
            BinaryPrimitives.WriteUInt16BigEndian(bundle.AsSpan(at), (ushort)leaf.Length);
            leaf.CopyTo(bundle, at + 2);
            at += 2 + leaf.Length;
        }
        return bundle;
    }

    /// <summary>Entries of one subject, newest first.</summary>
    public static IReadOnlyList<SealedEntry> OfSubject(SqliteConnection connection, byte[] tag, int limit, long before)
    {
        using var command = Command(connection,
            "SELECT idx, time, leaf, enc, sealed FROM entries WHERE tag = $tag AND idx < $before ORDER BY idx DESC LIMIT $limit");
        command.Parameters.AddWithValue("$tag", tag);
        command.Parameters.AddWithValue("$before", before);
        command.Parameters.AddWithValue("$limit", limit);
        using var rows = command.ExecuteReader();
        var entries = new List<SealedEntry>();
        while (rows.Read())
            entries.Add(new SealedEntry(rows.GetInt64(0), DateTimeOffset.FromUnixTimeMilliseconds(rows.GetInt64(1)),
                rows.GetFieldValue<byte[]>(2)[..Merkle.HashLength], rows.GetFieldValue<byte[]>(3), rows.GetFieldValue<byte[]>(4)));
        return entries;
    }

    /// <summary>Leaf data of an entry that has a receiver, and the receiver's keyed hash; null when there is no such entry.</summary>
    public static (byte[] Leaf, byte[] Receiver)? Receivable(SqliteConnection connection, long index)
    {
        using var command = Command(connection, "SELECT leaf, receiver FROM entries WHERE idx = $idx AND receiver IS NOT NULL");
        command.Parameters.AddWithValue("$idx", index);
        using var rows = command.ExecuteReader();
        return rows.Read() ? (rows.GetFieldValue<byte[]>(0), rows.GetFieldValue<byte[]>(1)) : null;
    }

    /// <summary>Every row in order of index, as it stands in the store.</summary>
    public static IEnumerable<(long Index, SealedRow Row)> All(SqliteConnection connection)
    {
        using var command = Command(connection, "SELECT idx, time, tag, leaf, enc, sealed, receiver FROM entries ORDER BY idx");
        using var rows = command.ExecuteReader();
        while (rows.Read())
            yield return (rows.GetInt64(0), new SealedRow(rows.GetInt64(1), rows.IsDBNull(2) ? null : rows.GetFieldValue<byte[]>(2),
                rows.GetFieldValue<byte[]>(3), rows.GetFieldValue<byte[]>(4), rows.GetFieldValue<byte[]>(5), rows.IsDBNull(6) ? null : rows.GetFieldValue<byte[]>(6)));
    }

    /// <summary>Every stored tile.</summary>
    public static IEnumerable<TileChange> Tiles(SqliteConnection connection)
    {
        using var command = Command(connection, "SELECT level, idx, hashes FROM tiles ORDER BY level, idx");
        using var rows = command.ExecuteReader();
        while (rows.Read())
            yield return new TileChange(rows.GetInt32(0), rows.GetInt64(1), rows.GetFieldValue<byte[]>(2));
    }

    private static List<byte[]>? Leaves(SqliteConnection connection, TilePath path)
    {
        using var command = Command(connection, "SELECT leaf FROM entries WHERE idx >= $from AND idx < $to ORDER BY idx");
        command.Parameters.AddWithValue("$from", path.Index * TilePath.FullWidth);
        command.Parameters.AddWithValue("$to", path.Index * TilePath.FullWidth + path.Width);
        using var rows = command.ExecuteReader();
        var leaves = new List<byte[]>(path.Width);
        while (rows.Read())
            leaves.Add(rows.GetFieldValue<byte[]>(0));
        return leaves.Count == path.Width ? leaves : null;
    }

    private static SqliteCommand Command(SqliteConnection connection, string sql)
    {
        var command = connection.CreateCommand();
        command.CommandText = sql;
        return command;
    }
}
