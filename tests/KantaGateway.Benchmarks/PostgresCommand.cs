using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Dev;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Postgres;
using KantaGateway.Repository.Storage;
using Npgsql;
using NpgsqlTypes;

namespace KantaGateway.Benchmarks;

/// <summary><c>postgres</c>: durable creates and reads of the store over PostgreSQL, beside raw Npgsql that moves the same bytes on the same server.</summary>
static class PostgresCommand
{
    private const int People = 1_000, RowsOfEach = 50, EntryBytes = 600, BodyBytes = 1_300;

    /// <summary>Connections that raw inserts are pipelined over: as many as the store has groups under way.</summary>
    private const int Connections = 2;

    public static Command Create()
    {
        var writers = new Option<int>("--writers") { Description = "Creates at once", DefaultValueFactory = _ => 64 };
        var readers = new Option<int>("--readers") { Description = "Reads at once", DefaultValueFactory = _ => 16 };
        var seconds = new Option<double>("--seconds") { Description = "Of one load", DefaultValueFactory = _ => 5 };
        var rounds = new Option<int>("--rounds") { Description = "Loads of each, in turn; the one with the median rate counts", DefaultValueFactory = _ => 5 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("postgres.json") };
        var command = new Command("postgres", "Creates and reads of the store over PostgreSQL, beside raw Npgsql") { writers, readers, seconds, rounds, json };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            // Syncs are on, as a server has them; checkpoints are rare, so that none falls into one load and not into the next.
            using var server = await LocalPostgres.StartAsync(null, "shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=60min");
            var machine = Machine.Describe(server.Folder);
            var ours = await MakeAsync(server, "ours", cancel);
            var theirs = await MakeAsync(server, "theirs", cancel);
            await using var store = await PostgresStore.OpenAsync(ours, cancel);
            await using var raw = RawOf(theirs);
            await using var rawOnOurs = RawOf(ours);
            var people = Enumerable.Range(0, People).Select(_ => Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size))).ToArray();
            var heads = new long[People];
            var (entry, body) = (RandomNumberGenerator.GetBytes(EntryBytes), RandomNumberGenerator.GetBytes(BodyBytes));
            await Parallel.ForEachAsync(Enumerable.Range(0, People), cancel, async (i, stop) =>
            {
                heads[i] = RowsOfEach;
                await store.AppendAsync([new(people[i], 0, RandomNumberGenerator.GetBytes(65), [.. Enumerable.Range(1, RowsOfEach).Select(s => new SealedRow(s, entry, body))])], stop);
            });
            await AskAsync(server, "ours", "VACUUM ANALYZE", cancel);

            var (atOnce, reading) = (Math.Clamp(parsed.GetValue(writers), Connections, 512), Math.Clamp(parsed.GetValue(readers), 1, 64));
            var own = people.Select((_, i) => i).GroupBy(i => i % atOnce).Select(group => group.ToArray()).ToArray();
            var (turns, rawHead, inOne) = (new int[atOnce], 0L, atOnce / Connections);
            Func<int, Task<int>>
                create = async writer =>
                {
                    var i = own[writer][turns[writer]++ % own[writer].Length];
                    var head = heads[i];
                    if (!await store.AppendAsync([new(people[i], head, null, [new(head + 1, entry, body)])], cancel))
                        throw new BenchmarkException("An append was lost.");
                    heads[i] = head + 1;
                    return 1;
                },
                pipelined = async _ => await InsertAsync(raw, people, Interlocked.Add(ref rawHead, inOne) - inOne, inOne, entry, body, cancel),
                alone = async _ => await InsertAsync(raw, people, Interlocked.Increment(ref rawHead) - 1, 1, entry, body, cancel),
                readBody = async _ => (await store.ReadBodyAsync(people[RandomNumberGenerator.GetInt32(People)], RandomNumberGenerator.GetInt32(1, RowsOfEach + 1), cancel)).Sealed!.Length == BodyBytes ? 1 : throw new BenchmarkException("A body was lost."),
                rawBody = async _ =>
                {
                    await using var select = rawOnOurs.CreateCommand("SELECT sealed FROM body WHERE compartment = $1 AND sequence = $2");
                    select.Parameters.Add(Bytes(people[RandomNumberGenerator.GetInt32(People)].ToArray()));
                    select.Parameters.Add(new NpgsqlParameter<long> { TypedValue = RandomNumberGenerator.GetInt32(1, RowsOfEach + 1) });
                    await using var reader = await select.ExecuteReaderAsync(cancel);
                    return await reader.ReadAsync(cancel) && reader.GetFieldValue<byte[]>(0).Length == BodyBytes ? 1 : throw new BenchmarkException("A body was lost.");
                },
                readIndex = async _ =>
                {
                    var i = RandomNumberGenerator.GetInt32(People);
                    return (await store.ReadIndexAsync(people[i], heads[i] - RowsOfEach, cancel))!.Index.Count == RowsOfEach ? 1 : throw new BenchmarkException("An index was lost.");
                },
                rawIndex = async _ =>
                {
                    var (i, found) = (RandomNumberGenerator.GetInt32(People), new List<(long, byte[])>(RowsOfEach));
                    await using var select = rawOnOurs.CreateCommand("SELECT sequence, sealed FROM entry WHERE compartment = $1 AND sequence > $2 ORDER BY sequence");
                    select.Parameters.Add(Bytes(people[i].ToArray()));
                    select.Parameters.Add(new NpgsqlParameter<long> { TypedValue = heads[i] - RowsOfEach });
                    await using var reader = await select.ExecuteReaderAsync(cancel);
                    while (await reader.ReadAsync(cancel))
                        found.Add((reader.GetInt64(0), reader.GetFieldValue<byte[]>(1)));
                    return found.Count == RowsOfEach ? 1 : throw new BenchmarkException("An index was lost.");
                };
            (string What, int AtOnce, Func<int, Task<int>> Once)[] loads =
            [
                ("body, store", reading, readBody), ("body, raw", reading, rawBody), ("index, store", reading, readIndex), ("index, raw", reading, rawIndex),
                ("create, store", atOnce, create), ("create, raw, pipelined", Connections, pipelined), ("create, raw, a commit each", atOnce, alone),
            ];
            var taken = loads.ToDictionary(load => load.What, _ => new List<Taken>());
            // The first round only warms up.
            for (var round = 0; round <= Math.Clamp(parsed.GetValue(rounds), 1, 20); round++)
                foreach (var (what, many, once) in loads)
                {
                    var one = await TakeAsync(many, round == 0 ? 2 : Math.Clamp(parsed.GetValue(seconds), 0.5, 120), once);
                    Place.Say(string.Create(CultureInfo.InvariantCulture, $"round {round}: {what}: {one.Rate:0} /s, p99 {one.P99:0.0} ms"));
                    if (round > 0)
                        taken[what].Add(one);
                }
            var syncs = 1000 / machine.Flush;
            return await new Report("postgres", DateTimeOffset.UtcNow, Place.Repeat(parsed), machine,
                string.Create(CultureInfo.InvariantCulture, $"PostgreSQL on a Unix socket, synchronous_commit=on. A row is an entry of {EntryBytes} and a body of {BodyBytes:N0} bytes; {People:N0} people, {RowsOfEach} rows each at the beginning."),
                [
                    new(string.Create(CultureInfo.InvariantCulture, $"durable creates, {atOnce} at once"), Columns,
                    [
                        Row("PostgresStore.AppendAsync", "create, store", "create, raw, pipelined"),
                        Row(string.Create(CultureInfo.InvariantCulture, $"raw Npgsql, two inserts a row, pipelined {inOne} rows to a commit over {Connections} connections"), "create, raw, pipelined", null),
                        Row("raw Npgsql, two inserts a row, a connection and a commit for each", "create, raw, a commit each", "create, raw, pipelined"),
                        ["one durable 4 KiB write after another", Measurement.Number(syncs, "0"), Measurement.Number(syncs / Of("create, raw, pipelined").Rate, "0.00"), "", "", "", "", ""],
                    ]),
                    new(string.Create(CultureInfo.InvariantCulture, $"reads, {reading} at once"), Columns,
                    [
                        Row("PostgresStore.ReadBodyAsync: a body, and the head in the same snapshot", "body, store", "body, raw"),
                        Row("raw Npgsql: the body", "body, raw", null),
                        Row(string.Create(CultureInfo.InvariantCulture, $"PostgresStore.ReadIndexAsync: {RowsOfEach} entries, head and key"), "index, store", "index, raw"),
                        Row(string.Create(CultureInfo.InvariantCulture, $"raw Npgsql: the {RowsOfEach} entries"), "index, raw", null),
                    ]),
                ],
                [
                    new("creates of raw pipelined inserts", Of("create, store").Rate / Of("create, raw, pipelined").Rate, 0.7),
                    new("creates through durable writes of the disk", Of("create, store").Rate / syncs, 1),
                    new("bodies read of raw", Of("body, store").Rate / Of("body, raw").Rate, 0.8),
                    new("indexes read of raw", Of("index, store").Rate / Of("index, raw").Rate, 0.8),
                ], []).PublishAsync(parsed.GetRequiredValue(json), cancel);

            Taken Of(string what) => taken[what].OrderBy(one => one.Rate).ElementAt(taken[what].Count / 2);

            string[] Row(string name, string what, string? of)
            {
                var one = Of(what);
                return [name, Measurement.Number(one.Rate, "0"), of is null ? "" : Measurement.Number(one.Rate / Of(of).Rate, "0.00"), Measurement.Number(one.P50, "0.00"), Measurement.Number(one.P95, "0.00"), Measurement.Number(one.P99, "0.00"),
                    Measurement.Number(one.Own, "0.00"), Measurement.Number(one.Others, "0.00")];
            }
        });
        return command;
    }

    private static readonly string[] Columns = ["/s", "of raw", "p50 ms", "p95 ms", "p99 ms", "own cores", "other cores"];

    /// <param name="P50">Milliseconds; of a pipelined insert, of all its rows.</param>
    /// <param name="Own">Cores that this process kept busy; the others are the server's, and whatever else runs.</param>
    private sealed record Taken(double Rate, double P50, double P95, double P99, double Own, double Others);

    private static async Task<Taken> TakeAsync(int atOnce, double seconds, Func<int, Task<int>> once)
    {
        var (latencies, rows, before, begin) = (new List<double>[atOnce], 0L, MachineTime.Now(), Stopwatch.GetTimestamp());
        await Task.WhenAll(Enumerable.Range(0, atOnce).Select(caller => Task.Run(async () =>
        {
            latencies[caller] = [];
            while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds)
            {
                var start = Stopwatch.GetTimestamp();
                var done = await once(caller);
                latencies[caller].Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
                Interlocked.Add(ref rows, done);
            }
        })));
        var (took, after) = (Stopwatch.GetElapsedTime(begin).TotalSeconds, MachineTime.Now());
        var sorted = latencies.SelectMany(all => all).Order().ToArray();
        double At(double share) => sorted[Math.Min(sorted.Length - 1, (int)(share * sorted.Length))];
        var own = (after.Own - before.Own).TotalSeconds / took;
        return new(rows / took, At(0.5), At(0.95), At(0.99), own, (after.Busy - before.Busy).TotalSeconds / took - own);
    }

    /// <summary>Rows of an own numbering over the people, in one implicit transaction.</summary>
    private static async Task<int> InsertAsync(NpgsqlDataSource source, Pseudonym[] people, long first, int count, byte[] entry, byte[] body, CancellationToken cancel)
    {
        await using var connection = await source.OpenConnectionAsync(cancel);
        await using var batch = new NpgsqlBatch(connection);
        for (var i = first; i < first + count; i++)
            foreach (var (table, bytes) in (IEnumerable<(string, byte[])>)[("entry", entry), ("body", body)])
                batch.BatchCommands.Add(new NpgsqlBatchCommand($"INSERT INTO {table} (compartment, sequence, sealed) VALUES ($1, $2, $3)")
                {
                    Parameters = { Bytes(people[i % People].ToArray()), new NpgsqlParameter<long> { TypedValue = i / People + 1 }, Bytes(bytes) },
                });
        await batch.ExecuteNonQueryAsync(cancel);
        return count;
    }

    /// <summary>With statements prepared, and the server's settings, as the store has them.</summary>
    private static NpgsqlDataSource RawOf(string connection) => PostgresServers.Primary(PostgresServers.SourceOf(connection, "raw"));

    private static async Task<string> MakeAsync(LocalPostgres server, string name, CancellationToken cancel)
    {
        await AskAsync(server, "postgres", $"CREATE DATABASE {name}", cancel);
        var administrator = new NpgsqlConnectionStringBuilder(server.Superuser) { Database = name }.ToString();
        var service = await DevelopmentDatabase.MakeServiceRoleAsync(administrator, Convert.ToHexString(RandomNumberGenerator.GetBytes(16)), cancel);
        await StoreSchema.MigrateAsync(administrator, new NpgsqlConnectionStringBuilder(service).Username!, cancel);
        return service;
    }

    private static async Task AskAsync(LocalPostgres server, string database, string sql, CancellationToken cancel)
    {
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(server.Superuser) { Database = database, Pooling = false });
        await using var command = source.CreateCommand(sql);
        await command.ExecuteNonQueryAsync(cancel);
    }

    private static NpgsqlParameter<byte[]> Bytes(byte[] value) => new() { TypedValue = value, NpgsqlDbType = NpgsqlDbType.Bytea };
}
