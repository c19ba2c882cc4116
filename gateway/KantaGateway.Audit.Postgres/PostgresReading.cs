using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using Npgsql;

namespace KantaGateway.Audit.Postgres;

/// <summary>Reads a log in a database, beside its writers or without one, in short statements, so that nothing is kept from being cleared away meanwhile.</summary>
sealed class PostgresReading(NpgsqlConnection connection, Checkpoint? published, Checkpoint? earlier, Pruning? pruned, Action<string> fault) : LogReading(published, earlier, pruned, fault)
{
    /// <summary>Rows that are read at a time.</summary>
    private const int Page = 4096;

    private readonly PostingSum _postings = new();

    protected override bool StoresBundles => false;

    public override void ListTiles()
    {
        using var command = Ask("SELECT level, number FROM tile");
        using var reader = command.ExecuteReader();
        while (reader.Read())
            Know(reader.GetInt32(0), reader.GetInt64(1));
    }

    public override void ReadRows()
    {
        var size = Scalar("SELECT size FROM log");
        if (Scalar("SELECT coalesce(min(index), 0) FROM entry") is var least and < 0)
            Fault($"there is a row of index {least}");
        for (var more = true; more;)
        {
            var page = new List<(long Index, byte[]? Tag, byte[] Leaf, byte[] Envelope)>();
            // From the last one on, which is there once.
            using (var command = Ask("SELECT index, tag, leaf, envelope FROM entry WHERE index >= $1 ORDER BY index LIMIT $2", Math.Max(Edge.Size - 1, 0), Page))
            using (var reader = command.ExecuteReader())
                while (reader.Read())
                    page.Add((reader.GetInt64(0), reader.IsDBNull(1) ? null : reader.GetFieldValue<byte[]>(1), reader.GetFieldValue<byte[]>(2), reader.GetFieldValue<byte[]>(3)));
            var known = Edge.Size > 0 && page is [var last, ..] && last.Index == Edge.Size - 1 ? 1 : 0;
            // Tiles are asked for meanwhile, on the same connection.
            foreach (var (index, tag, leaf, envelope) in page[known..])
                Read(index, tag, leaf, envelope);
            more = page.Count > known;
        }
        if (Edge.Size < size)
            throw new AuditStoreException($"the log says that it has {size} entries, and has {Edge.Size}");
        if (Scalar("SELECT size FROM log") is var now && Edge.Size > now)
            Fault($"the log says that it has {now} entries, and has {Edge.Size}");
    }

    public override void CheckSubjects()
    {
        // By the index, which is what a person's entries are found with: it may have less, or more, than the table.
        using (var only = Ask("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off"))
            only.ExecuteNonQuery();
        var (found, last, read) = (new PostingSum(), default(Posting?), Page);
        while (read == Page)
        {
            read = 0;
            var after = new byte[Posting.StoredLength];
            last?.WriteTo(after);
            using var command = Ask("SELECT tag, index FROM entry WHERE tag IS NOT NULL AND (tag, index) > ($3, $4) AND index < $1 ORDER BY tag, index LIMIT $2", Edge.Size, Page);
            command.Parameters.Add(PostgresLogStore.Bytes(after[..EntrySealer.TagLength]));
            command.Parameters.Add(PostgresLogStore.Number(last?.Index ?? -1));
            using var reader = command.ExecuteReader();
            for (; reader.Read(); read++)
                if (reader.GetFieldValue<byte[]>(0) is { Length: EntrySealer.TagLength } tag)
                {
                    last = new Posting(Posting.TagOf(tag), reader.GetInt64(1), 0, 0);
                    if (last.Value.Index < Before)
                        Left++;
                    else
                        found.Add(last.Value);
                }
        }
        if (!found.Equals(_postings))
            Fault($"the subject index from 0 to {Edge.Size - 1} is not what the entries say");
    }

    protected override byte[]? Stored(TilePath tile)
    {
        using var command = new NpgsqlCommand("SELECT hashes FROM tile WHERE level = $1 AND number = $2", connection) { Parameters = { new NpgsqlParameter<int> { TypedValue = tile.Level }, PostgresLogStore.Number(tile.Index) } };
        return command.ExecuteScalar() as byte[] is { Length: TilePath.FullWidth * Merkle.HashLength } hashes ? hashes : null;
    }

    private void Read(long index, byte[]? tag, byte[] leaf, byte[] envelope)
    {
        RequireNext(index);
        if (leaf.Length != SealedRow.LeafLength || envelope.Length > 0 && !SealedRow.IsEnvelope(envelope))
            throw new AuditStoreException($"entry {index}: its row is malformed");
        var sealedTag = SealedRow.TagIn(envelope);
        if (!sealedTag.SequenceEqual(tag))
            Fault($"entry {index}: it is not found under the person that it is about");
        if (!sealedTag.IsEmpty && index >= Before)
            _postings.Add(new(Posting.TagOf(sealedTag), index, 0, 0));
        Add(index, leaf, envelope);
    }

    private long Scalar(string sql)
    {
        using var command = Ask(sql);
        return command.ExecuteScalar() as long? ?? -1;
    }

    private NpgsqlCommand Ask(string sql, params long[] numbers)
    {
        var command = new NpgsqlCommand(sql, connection);
        foreach (var number in numbers)
            command.Parameters.Add(PostgresLogStore.Number(number));
        return command;
    }
}
