using System.Buffers.Binary;
using KantaGateway.Audit.Sealing;
using KantaGateway.Audit.Storage;
using KantaGateway.Audit.Tree;
using KantaGateway.Postgres;
using Npgsql;
using NpgsqlTypes;

namespace KantaGateway.Audit.Postgres;

/// <summary>
/// One of the logs that share a database. An append is one statement, which takes the log's head, adds the rows and is committed: no lock is held while a gateway is waited for. A checkpoint is made from what
/// is committed, beside the appends, and stored on condition that the one it was made from is still the last.
/// </summary>
sealed class PostgresLogStore : ILogStore
{
    /// <summary>Leaves that one checkpoint takes further at most: who has much to make up for publishes on the way.</summary>
    private const int LongestStep = 1 << 16;

    /// <summary>Connections for checkpoint and tiles, which anybody may ask for.</summary>
    private const int PublicConnections = 4;

    /// <summary>Rows of one part of a reading, and of one statement of it.</summary>
    private const int LongestPart = 1 << 17, BatchRows = 1 << 13;

    /// <summary>Rows of the first statement of a reading that ends at a length.</summary>
    private const int FewRows = 16;

    private const string StateSql = "SELECT c.size, c.note, CASE WHEN c.size <> $1 THEN c.edge END, l.size FROM checkpoint c, log l";

    private readonly string _connectionString;
    private readonly AuditLogOptions _options;
    private readonly NoteSigner _signer;
    private readonly AuditAlarm _alarm;
    private readonly byte[] _word;
    private readonly NpgsqlMultiHostDataSource _writers, _readers, _public;
    private readonly NpgsqlDataSource _reading, _showing;
    private readonly StoredTiles _tiles;

    // Of the writing thread alone, and open for as long as it answers.
    private NpgsqlConnection? _connection;
    private CommitWatch? _watch;
    private readonly List<SealedRow> _inserted = [];

    // The last row that this log was told is durable, by which the store is known again.
    private long _lastIndex = -1;
    private byte[] _lastLeaf = [];

    // The tree of what is published, or null where it has to be restored.
    private TreeEdge? _tree;

    private volatile PublishedRows _published;

    public PostgresLogStore(string connectionString, AuditLogOptions options, NoteSigner signer, AuditAlarm alarm)
    {
        (_connectionString, _options, _signer, _alarm, _word) = (connectionString, options, signer, alarm, LogWord.Of(options.LogKey));
        var given = new NpgsqlConnectionStringBuilder(connectionString);
        // Whoever reads takes no connection from who writes, and the public, which anybody is, none from whoever wants to see who has looked at her records.
        _writers = PostgresServers.SourceOf(connectionString, "kanta-audit", builder => Settle(builder, 2));
        _readers = PostgresServers.SourceOf(connectionString, "kanta-audit-reading", builder => Settle(builder, given.ShouldSerialize("Maximum Pool Size") ? builder.MaxPoolSize : 16));
        _public = PostgresServers.SourceOf(connectionString, "kanta-audit-public", builder => Settle(builder, PublicConnections));
        (_reading, _showing) = (PostgresServers.Primary(_readers), PostgresServers.Primary(_public));
        _tiles = new(_reading, _showing);
        _published = new(0, "", [], _tiles);

        void Settle(NpgsqlConnectionStringBuilder builder, int most)
        {
            // Callers wait as long as a commit may take.
            if (!given.ShouldSerialize("Command Timeout"))
                builder.CommandTimeout = 5;
            builder.MinPoolSize = 0;
            builder.MaxPoolSize = most;
        }
    }

    /// <summary>Connects, and finds what is published.</summary>
    /// <param name="require">Looks at the database first.</param>
    public void Open(Action<NpgsqlConnection> require)
    {
        require(Connection);
        Recover();
    }

    public int Waiting { get; private set; }

    /// <summary>Always, for others may have committed or published: it is looked at in every interval.</summary>
    public bool IsBehind => true;

    public PublishedTree Published => _published;

    public void Begin()
    {
        _inserted.Clear();
        Waiting = 0;
    }

    public void Insert(SealedRow row)
    {
        _inserted.Add(row);
        Waiting += row.StoredLength;
    }

    public long Commit() => Guard(() =>
    {
        // From before: what is stored here may be published by another, and shown to a reader here, before this thread hears of its commit.
        var published = _published.Size;
        using var append = new NpgsqlCommand("SELECT append($1, $2, $3, $4)", Connection)
        {
            Parameters = { Bytes(_word), Many([.. _inserted.Select(static row => row.Tag)]), Many([.. _inserted.Select(static row => row.Leaf)]), Many([.. _inserted.Select(static row => row.Envelope())]) },
        };
        var first = (long)append.ExecuteScalar()!;
        _watch!.RequireConfirmed();
        // :: Durable from here on.
        if (first <= _lastIndex || first < published)
            throw new AuditStoreException("The audit store lacks what it has acknowledged.");
        (_lastIndex, _lastLeaf) = (first + _inserted.Count - 1, _inserted[^1].Leaf);
        return first;
    });

    public void Grow()
    {
        // The tree grows with its checkpoint.
    }

    public void Publish() => Guard(() =>
    {
        // As far as the rows went when it began. What others commit meanwhile is the next round's: whoever waits to append here must not wait for that.
        long? goal = null;
        while (Look(Connection, (from, rows) => from.Size >= (goal ??= rows) && from.Size <= rows ? from : Sign(from, rows)))
        {
        }
        return true;
    });

    public void Recover() => Guard(() =>
    {
        if (_lastIndex >= 0)
        {
            using var last = new NpgsqlCommand("SELECT leaf FROM entry WHERE index = $1", Connection) { Parameters = { Number(_lastIndex) } };
            if (last.ExecuteScalar() is not byte[] leaf || !leaf.AsSpan().SequenceEqual(_lastLeaf))
                throw new AuditStoreException("The audit store lacks what it has acknowledged.");
        }
        return Look(Connection, static (from, _) => from);
    });

    public async ValueTask<PublishedTree> NewestAsync() => await ReadAsync(async () =>
    {
        var known = _published;
        await using var command = _showing.CreateCommand(StateSql);
        command.Parameters.Add(Number(known.Size));
        await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
        await reader.ReadAsync().ConfigureAwait(false);
        return Adopt(known, StateIn(reader));
    }).ConfigureAwait(false);

    public ValueTask<SealedRow?> RowAtAsync(long index) => ReadAsync(async () =>
    {
        SealedRow? row;
        await using (var command = _reading.CreateCommand("SELECT leaf, envelope FROM entry WHERE index = $1"))
        {
            command.Parameters.Add(Number(index));
            await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
            row = await reader.ReadAsync().ConfigureAwait(false) ? RowIn(reader, 0) : null;
        }
        if (row is not { IsPruned: true })
            return row;
        return await IsPrunedAsync(index).ConfigureAwait(false) ? null : throw NotPruned(index);
    });

    public ValueTask<Pruning?> PrunedAsync() => ReadAsync(async () =>
    {
        await using var command = _reading.CreateCommand("SELECT note FROM pruned");
        return await command.ExecuteScalarAsync().ConfigureAwait(false) is not string note ? null
            : Pruning.TryOpen(note, _signer.Verifier, out var pruning) ? pruning : throw new AuditStoreException("The note of what was pruned is not signed by this log.");
    });

    // Whole tiles.
    public async ValueTask<long> BoundaryAsync(long atMost) => Math.Min(atMost, (await NewestAsync().ConfigureAwait(false)).Size) / TilePath.FullWidth * TilePath.FullWidth;

    // One statement, so all of it or nothing. It takes as long as there are rows; nobody waits for it.
    public async Task PruneAsync(Pruning pruning, CancellationToken cancel)
    {
        _options.OnStep?.Invoke(DurableStep.BeforePruning);
        try
        {
            await using var connection = await _reading.OpenConnectionAsync(cancel).ConfigureAwait(false);
            using var watch = new CommitWatch(connection);
            await using var command = new NpgsqlCommand("SELECT prune($1, $2, $3)", connection) { CommandTimeout = 0, Parameters = { Bytes(_word), Number(pruning.Before), PostgresAudit.Text(pruning.Note) } };
            await command.ExecuteScalarAsync(CancellationToken.None).ConfigureAwait(false);
            watch.RequireConfirmed();
        }
        catch (PostgresException e) when (e.SqlState == PostgresErrorCodes.CheckViolation)
        {
            throw new AuditStoreException($"The database prunes nothing: {e.MessageText}.", e);
        }
        catch (NpgsqlException e)
        {
            throw new IOException("The audit log's database failed.", e);
        }
        _options.OnStep?.Invoke(DurableStep.SegmentPruned);
    }

    private async ValueTask<bool> IsPrunedAsync(long index) => index < (await PrunedAsync().ConfigureAwait(false))?.Before;

    private static AuditStoreException NotPruned(long index) => new($"The content of entry {index} was taken away, and no note of the log says so.");

    public ValueTask<IReadOnlyList<SealedEntry>> OfSubjectAsync(byte[] tag, int limit, long before, long mostBytes) => ReadAsync<IReadOnlyList<SealedEntry>>(async () =>
    {
        var entries = new List<SealedEntry>();
        // Where they are read until there is enough of them, few at first: a row that has been asked for comes, wanted or not.
        var (left, atOnce) = (mostBytes, mostBytes == long.MaxValue ? limit : FewRows);
        for (var isMore = true; isMore && left >= 0 && entries.Count < limit; atOnce = Math.Max(atOnce, atOnce * 2))
        {
            var missing = Math.Min(limit - entries.Count, atOnce);
            await using var command = _reading.CreateCommand("SELECT index, leaf, envelope FROM entry WHERE tag = $1 AND index < $2 ORDER BY index DESC LIMIT $3");
            command.Parameters.Add(Bytes(tag));
            command.Parameters.Add(Number(before));
            command.Parameters.Add(Number(missing));
            await using var reader = await command.ExecuteReaderAsync().ConfigureAwait(false);
            var read = 0;
            for (; left >= 0 && await reader.ReadAsync().ConfigureAwait(false); read++)
            {
                before = reader.GetInt64(0);
                // Whoever put it there has hidden nothing of hers by it, and may not hide the rest.
                if (reader.GetFieldValue<byte[]>(2) is var envelope && SealedRow.IsEnvelope(envelope) && SealedRow.TagIn(envelope).SequenceEqual(tag))
                {
                    entries.Add(RowIn(reader, 1).At(before));
                    left -= entries[^1].Sealed.Length;
                }
                else
                    _alarm.Raise($"entry {before} is found under a person that it is not about.");
            }
            isMore = read == missing;
        }
        return entries;
    });

    public IReadOnlyList<(long From, long To)> PartsOf(long from, long to)
    {
        var parts = new List<(long, long)>();
        for (; from < to; from += LongestPart)
            parts.Add((from, Math.Min(to, from + LongestPart)));
        return parts;
    }

    // A statement for each batch: none keeps old rows from being cleared away for long.
    public IEnumerable<RowBatch> Read((long From, long To) part)
    {
        var batch = new RowBatch();
        for (var next = part.From; next < part.To;)
        {
            try
            {
                Fill(batch, next, part.To);
            }
            catch (NpgsqlException e)
            {
                throw new AuditUnavailableException("The audit log's database could not be asked.", e);
            }
            if (batch.Count == 0)
                throw new AuditStoreException($"The rows from {next} on are missing.");
            next += batch.Count;
            yield return batch;
            batch.Clear();
        }
    }

    private void Fill(RowBatch batch, long from, long to)
    {
        using var connection = _reading.OpenConnection();
        using var command = new NpgsqlCommand("SELECT index, leaf, envelope FROM entry WHERE index >= $1 AND index < $2 ORDER BY index LIMIT $3", connection) { Parameters = { Number(from), Number(to), Number(BatchRows) } };
        using var reader = command.ExecuteReader();
        while (reader.Read())
        {
            if (reader.GetInt64(0) != from + batch.Count)
                throw new AuditStoreException($"The row {from + batch.Count} is missing.");
            var length = (int)reader.GetBytes(2, 0, null, 0, 0);
            var row = batch.Add(reader.GetInt64(0), SealedRow.StoredHeader + length);
            BinaryPrimitives.WriteInt32BigEndian(row, length);
            using (var leaf = reader.GetStream(1))
                leaf.ReadExactly(row.Slice(4, SealedRow.LeafLength));
            if (length == 0)
                throw IsPrunedAsync(from + batch.Count - 1).AsTask().GetAwaiter().GetResult() ? new AuditUnavailableException("The audit log was pruned meanwhile.") : NotPruned(from + batch.Count - 1);
            using (var envelope = reader.GetStream(2))
                envelope.ReadExactly(row[SealedRow.StoredHeader..]);
            if (SealedRow.StoredLengthAt(row) != row.Length)
                throw new AuditStoreException($"entry {from + batch.Count - 1}: its row is malformed");
        }
    }

    public ValueTask<string?> CosignedAsync() => ReadAsync(async () =>
    {
        await using var command = _reading.CreateCommand("SELECT note FROM cosigned");
        return await command.ExecuteScalarAsync().ConfigureAwait(false) as string;
    });

    public ValueTask<bool> KeepCosignedAsync(long size, string note) => ReadAsync(async () =>
    {
        await using var command = _reading.CreateCommand("SELECT keep_cosigned($1, $2, $3)");
        command.Parameters.Add(Bytes(_word));
        command.Parameters.Add(Number(size));
        command.Parameters.Add(PostgresAudit.Text(note));
        return await command.ExecuteScalarAsync().ConfigureAwait(false) is true;
    });

    public AuditVerification Verify(string? earlierCheckpoint) => PostgresAudit.Verify(_connectionString, _signer.Verifier, earlierCheckpoint);

    public void Dispose()
    {
        Disconnect();
        _writers.Dispose();
        _readers.Dispose();
        _public.Dispose();
    }

    private NpgsqlConnection Connection
    {
        get
        {
            if (_connection is null)
            {
                _connection = PostgresServers.Primary(_writers).OpenConnection();
                _watch = new(_connection);
            }
            return _connection;
        }
    }

    private void Disconnect()
    {
        _watch?.Dispose();
        _connection?.Dispose();
        (_watch, _connection) = (null, null);
    }

    /// <summary>Looks at what is published and committed, and takes it over.</summary>
    /// <param name="connection">The writing thread's.</param>
    /// <param name="publish">Given what is published and how many rows there are, publishes more and gives that back; or gives back the same.</param>
    /// <returns>Whether to look again.</returns>
    private bool Look(NpgsqlConnection connection, Func<PublishedRows, long, PublishedRows?> publish)
    {
        State state;
        PublishedRows known = _published;
        using (var command = new NpgsqlCommand(StateSql, connection) { Parameters = { Number(known.Size) } })
        using (var reader = command.ExecuteReader())
        {
            reader.Read();
            state = StateIn(reader);
        }
        var newest = Adopt(known, state);
        var published = publish(newest, state.Rows);
        if (ReferenceEquals(published, newest))
            return false;
        if (published is not null)
            Show(published);
        return true;
    }

    /// <summary>Signs what is committed beyond what is published.</summary>
    /// <returns>Null where another log was first.</returns>
    private PublishedRows? Sign(PublishedRows from, long rows)
    {
        if (rows == from.Size)
            return from;
        var to = Math.Min(rows, from.Size + LongestStep);
        var tree = _tree?.Size == from.Size ? _tree : from.Restore();
        // Until it is stored it is nobody's.
        _tree = null;
        var tiles = new List<TileChange>();
        using (var command = new NpgsqlCommand("SELECT index, leaf FROM entry WHERE index >= $1 AND index < $2 ORDER BY index", Connection) { Parameters = { Number(from.Size), Number(to) } })
        using (var reader = command.ExecuteReader())
        {
            Span<byte> hash = stackalloc byte[Merkle.HashLength];
            while (reader.Read())
            {
                if (reader.GetInt64(0) != tree.Size)
                    break;
                Merkle.HashLeaf(reader.GetFieldValue<byte[]>(1), hash);
                tree.Append(hash, tiles);
            }
        }
        if (tree.Size != to)
            throw new AuditStoreException($"The rows from {tree.Size} on are missing.");
        var note = new Checkpoint(_options.Origin, to, tree.Root()).Sign(_signer);
        var published = new PublishedRows(to, note, [.. tree.PartialTiles().SelectMany(static hashes => hashes)], _tiles);
        _options.OnStep?.Invoke(DurableStep.BeforeCheckpoint);
        _options.OnStep?.Invoke(DurableStep.BeforeCommit);
        using (var command = new NpgsqlCommand("SELECT publish($1, $2, $3, $4, $5, $6, $7, $8)", Connection)
        {
            Parameters =
            {
                Bytes(_word), Number(from.Size), Number(to), PostgresAudit.Text(note), Bytes(published.Edge), new NpgsqlParameter<int[]> { TypedValue = [.. tiles.Select(static tile => tile.Level)] },
                new NpgsqlParameter<long[]> { TypedValue = [.. tiles.Select(static tile => tile.Index)] }, Many([.. tiles.Select(static tile => tile.Hashes)]),
            },
        })
            if (command.ExecuteScalar() is not true)
                return null;
        _watch!.RequireConfirmed();
        _options.OnStep?.Invoke(DurableStep.AfterCheckpoint);
        _tree = tree;
        return published;
    }

    /// <summary>Takes over what another log has published, if it is signed and goes on from what is known.</summary>
    private PublishedRows Adopt(PublishedRows known, State state)
    {
        if (state.Note == known.Note && state.Size == known.Size)
            return known;
        if (!Checkpoint.TryOpen(state.Note, _signer.Verifier, out var checkpoint))
            throw new AuditStoreException("The stored checkpoint is not signed by this log.");
        if (known.Note.Length > 0 && checkpoint.Size <= known.Size)
            throw new AuditStoreException("The audit store has another checkpoint than the one it has published.");
        var stored = new PublishedRows(checkpoint.Size, state.Note, state.Edge ?? [], _tiles);
        if (checkpoint.Size != state.Size || state.Rows < checkpoint.Size || !stored.IsWhole || !stored.Restore().Root().AsSpan().SequenceEqual(checkpoint.Root))
            throw new AuditStoreException("The audit store contradicts its own checkpoint.");
        return Show(stored);
    }

    /// <summary>What is shown never gets smaller, whoever of the writer and the readers comes last.</summary>
    private PublishedRows Show(PublishedRows published)
    {
        lock (_signer)
            if (published.Size >= _published.Size)
                _published = published;
        return published;
    }

    /// <summary>Of the writing thread: what fails ends the connection, for nobody knows what is still under way on it.</summary>
    private T Guard<T>(Func<T> work)
    {
        try
        {
            return work();
        }
        catch (Exception e)
        {
            Disconnect();
            throw e is NpgsqlException ? new IOException("The audit log's database failed.", e) : e;
        }
    }

    private static async ValueTask<T> ReadAsync<T>(Func<Task<T>> work)
    {
        try
        {
            return await work().ConfigureAwait(false);
        }
        catch (NpgsqlException e)
        {
            throw new AuditUnavailableException("The audit log's database could not be asked.", e);
        }
    }

    private static State StateIn(NpgsqlDataReader reader) =>
        new(reader.GetInt64(0), reader.GetString(1), reader.IsDBNull(2) ? null : reader.GetFieldValue<byte[]>(2), reader.GetInt64(3));

    internal static SealedRow RowIn(NpgsqlDataReader reader, int column)
    {
        var envelope = reader.GetFieldValue<byte[]>(column + 1);
        return envelope.Length == 0 || SealedRow.IsEnvelope(envelope) ? SealedRow.Read(reader.GetFieldValue<byte[]>(column), envelope) : throw new AuditStoreException("A row of the audit store is malformed.");
    }

    internal static NpgsqlParameter<long> Number(long value) => new() { TypedValue = value };

    internal static NpgsqlParameter<byte[]> Bytes(byte[] value) => new() { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Bytea };

    private static NpgsqlParameter<byte[]?[]> Many(byte[]?[] values) => new() { TypedValue = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };

    /// <param name="Size">Of the checkpoint's row.</param>
    /// <param name="Edge">Null where the size is the one that is known.</param>
    /// <param name="Rows">That are committed.</param>
    private readonly record struct State(long Size, string Note, byte[]? Edge, long Rows);
}
