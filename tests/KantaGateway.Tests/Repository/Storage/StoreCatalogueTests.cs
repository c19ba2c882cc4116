using System.Globalization;
using System.Text.RegularExpressions;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>What a request asks PostgreSQL for lies in one partition, so that partitions may lie on different machines.</summary>
public sealed partial class StoreCatalogueTests : IAsyncLifetime
{
    private PostgresDatabase _database = null!;

    public async Task InitializeAsync() => _database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();

    public Task DisposeAsync() => Task.CompletedTask;

    [Fact]
    public async Task Every_table_of_records_is_spread_by_compartment_and_every_unique_key_of_it_has_the_compartment()
    {
        Assert.Equal("body, compartment, content, entry, part", await AskAsync("""
            SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
            WHERE p.partstrat = 'h' AND p.partnatts = 1 AND a.attname = 'compartment' AND (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid) = 6
            """));
        // Neither has anything of anybody.
        Assert.Equal("copying, schema_version", await AskAsync("""
            SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relispartition
            """));
        Assert.Equal(5L * 7, await AskAsync("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE i.indisunique AND (c.relkind = 'p' OR c.relispartition)"));
        Assert.Null(await AskAsync("""
            SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
            WHERE (i.indisunique OR i.indisexclusion) AND c.relnamespace = 'public'::regnamespace AND (c.relkind = 'p' OR c.relispartition)
            AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'compartment' AND a.attnum = ANY (i.indkey::int2[]))
            """));
    }

    /// <summary>
    /// By the rules of docs.citusdata.com (create_distributed_table, and what it refuses): the distribution column is in every unique and exclusion constraint, never null and of a type with a hash function; tables that are
    /// asked together lie together; no foreign key, trigger, rule or policy.
    /// </summary>
    [Fact]
    public async Task The_statements_that_spread_the_tables_over_machines_name_them_all_and_are_legal()
    {
        var told = Distribution().Matches(await File.ReadAllTextAsync(Path.Combine(Solution.Folder, "infra", "scale.md")));
        Assert.Equal(["body", "compartment", "content", "entry", "part"], told.Select(one => one.Groups["table"].Value).Order());
        // The first is the one that the others lie with.
        Assert.Equal(["", "compartment", "compartment", "compartment", "compartment"], told.Select(one => one.Groups["with"].Value));
        foreach (Match one in told)
        {
            var (table, column) = (one.Groups["table"].Value, one.Groups["column"].Value);
            Assert.Equal("bytea, true, true", await AskAsync($"""
                SELECT format('%s, %s, %s', format_type(a.atttypid, a.atttypmod), a.attnotnull::text, EXISTS (SELECT 1 FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod WHERE m.amname = 'hash' AND o.opcdefault AND o.opcintype = a.atttypid)::text)
                FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass AND a.attname = '{column}'
                """));
            Assert.Equal(0L, await AskAsync($"""
                SELECT count(*) FROM pg_index i WHERE i.indrelid = '{table}'::regclass AND (i.indisunique OR i.indisexclusion)
                AND NOT (SELECT attnum FROM pg_attribute WHERE attrelid = i.indrelid AND attname = '{column}') = ANY (i.indkey::int2[])
                """));
        }
        Assert.Null(await AskAsync("""
            SELECT string_agg(what, ', ') FROM (
                SELECT conname::text AS what FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
                UNION ALL SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
                UNION ALL SELECT rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = 'public'::regnamespace
                UNION ALL SELECT polname FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = 'public'::regnamespace
            ) AS found
            """));
    }

    /// <summary>As the planner would do it that does not know the values, which it may at any time.</summary>
    [Fact]
    public async Task Every_statement_of_a_request_touches_one_partition_of_a_table()
    {
        var (person, content) = (RepositoryWorld.SomeNumber(), Guid.CreateVersion7());
        await using (var store = await _database.OpenAsync())
        {
            await store.StorePartAsync(person, content, 0, new byte[] { 1 }, default);
            Assert.True(await store.AppendAsync([new(person, 0, [1], [new(1, [1], [2]), new(2, [1], [2], content)])], default));
        }
        var id = person.ToArray();
        var appends = ((CompartmentAppend[])
        [
            new(RepositoryWorld.SomeNumber(), 0, [1], [new(1, [1], [2])]), new(RepositoryWorld.SomeNumber(), 0, [1], [new(1, [1], [2]), new(2, [1], [2])]),
            new(person, 2, null, [new(3, [1], [2])]), new(person, 3, null, [new(4, [1], [2]), new(5, [1], [2], Guid.CreateVersion7())]), new(person, 5, null, [new(6, [1], [2], Guid.CreateVersion7())]),
        ]).Select(append => PostgresStore.Statement(append)).Select(command => (command.CommandText, command.Parameters.Select(parameter => parameter.Value!).ToArray()));
        await using var connection = new NpgsqlConnection(_database.Administrator + ";Pooling=false");
        await connection.OpenAsync();
        await AskAsync(connection, "SET plan_cache_mode = force_generic_plan");
        foreach (var (sql, values) in ((IEnumerable<(string, object[])>)
        [
            (PostgresStore.IndexSql, [id, 0L]), (PostgresStore.BodySql, [id, 1L]), (PostgresStore.BodiesSql, [id, new long[] { 1, 2 }]), (PostgresStore.ReadPartSql, [id, content, 0]),
            (PostgresStore.StorePartSql, [id, Guid.CreateVersion7(), 0, new byte[] { 1 }]), (PostgresStore.DropPartsSql, [id, content]), (PostgresStore.ReplaceKeySql, [id, new byte[] { 1 }, new byte[] { 2 }]),
            .. appends, (PostgresStore.HeadSql, [id, new byte[] { 1 }]), (PostgresStore.TakeEntriesSql, [id, 0L, 1L]), (PostgresStore.TakeBodiesSql, [id, 0L, 1L]), (PostgresStore.PutRowsSql, [id, new long[] { 1 }, new[] { new byte[] { 1 } }, new[] { new byte[] { 1 } }]),
            (PostgresStore.TakeContentsSql, [id]), (PostgresStore.PutContentsSql, [id, new[] { Guid.CreateVersion7() }, new long[] { 1 }]), (PostgresStore.RenewSql, [id, new byte[] { 1 }, new byte[] { 2 }]),
            .. PostgresStore.EraseSql.Select(sql => (sql, (object[])[id])),
        ]))
        {
            await AskAsync(connection, $"PREPARE one AS {sql}");
            var plan = new List<string>();
            await using (var explain = new NpgsqlCommand($"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE one ({string.Join(", ", values.Select(Literal))})", connection))
            await using (var reader = await explain.ExecuteReaderAsync())
                while (await reader.ReadAsync())
                    plan.Add(reader.GetString(0));
            var touched = plan.Where(line => !line.Contains("never executed")).SelectMany(line => PartitionName().Matches(line)).Select(match => match.Groups[1].Value).Distinct()
                .GroupBy(partition => partition.Split('_')[0]).ToList();
            Assert.True(touched.All(table => table.Count() == 1), $"{sql}\n{string.Join('\n', plan)}");
            // Of different tables those of the same number, which lie together wherever that is.
            Assert.True(touched.SelectMany(table => table).Select(partition => partition.Split('_')[1]).Distinct().Count() <= 1, $"{sql}\n{string.Join('\n', plan)}");
            if (!sql.StartsWith("INSERT", StringComparison.Ordinal) && !sql.Contains("(INSERT INTO compartment") && sql != PostgresStore.PutRowsSql)
                Assert.True(touched.Count > 0, $"{sql}\n{string.Join('\n', plan)}");
            await AskAsync(connection, "DEALLOCATE one");
        }
    }

    /// <summary>Of every connection of the service, whatever the server and the role are set to.</summary>
    [Fact]
    public async Task What_is_asked_for_is_durable_is_waited_for_for_seconds_and_is_carried_out_by_one_process()
    {
        await PostgresDatabase.AskAsync(_database.Administrator, $"ALTER ROLE {_database.ServiceRole} SET max_parallel_workers_per_gather = 4; ALTER ROLE {_database.ServiceRole} SET synchronous_commit = off; ALTER ROLE {_database.ServiceRole} SET lock_timeout = 0");
        await using var servers = PostgresStore.SourceOf(_database.Service);
        await using var connection = await PostgresStore.Primary(servers).OpenConnectionAsync();
        foreach (var (setting, value) in new[] { ("synchronous_commit", "on"), ("jit", "off"), ("plan_cache_mode", "force_generic_plan"), ("max_parallel_workers_per_gather", "0"), ("lock_timeout", "3s"), ("idle_in_transaction_session_timeout", "10s") })
            Assert.Equal(value, await AskAsync(connection, "SHOW " + setting));
        // Whatever may have helpers has them now, but for that.
        await AskAsync(connection, "SET force_parallel_mode = on");
        Assert.False(await IsHelpedAsync());
        await AskAsync(connection, "SET max_parallel_workers_per_gather = 4");
        Assert.True(await IsHelpedAsync());

        async Task<bool> IsHelpedAsync()
        {
            var isHelped = false;
            foreach (var sql in new[] { PostgresStore.IndexSql, PostgresStore.BodySql })
            {
                await AskAsync(connection, $"PREPARE hot (bytea, bigint) AS {sql}");
                await using (var explain = new NpgsqlCommand("EXPLAIN EXECUTE hot ('\\x00', 1)", connection))
                await using (var reader = await explain.ExecuteReaderAsync())
                    while (await reader.ReadAsync())
                        isHelped |= reader.GetString(0).Contains("Gather", StringComparison.Ordinal);
                await AskAsync(connection, "DEALLOCATE hot");
            }
            return isHelped;
        }
    }

    private static string Literal(object value) => value switch
    {
        byte[] bytes => $"'\\x{Convert.ToHexString(bytes)}'::bytea",
        Guid id => $"'{id}'::uuid",
        Array many => $"ARRAY[{string.Join(", ", many.Cast<object>().Select(Literal))}]",
        long number => string.Create(CultureInfo.InvariantCulture, $"{number}::bigint"),
        _ => Convert.ToString(value, CultureInfo.InvariantCulture)!,
    };

    private Task<object?> AskAsync(string sql) => PostgresDatabase.AskAsync(_database.Administrator, sql);

    private static async Task<object?> AskAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    [GeneratedRegex(@"SELECT create_distributed_table\('(?<table>\w+)', '(?<column>\w+)'(?:, colocate_with => '(?<with>\w+)')?\);")]
    private static partial Regex Distribution();

    // "Index Scan using body_3_pkey on body_3 b": the table, not the index, and not those that an update might have touched.
    [GeneratedRegex(@"Scan\b.* on ((?:compartment|entry|body|content|part)_\d+)\b")]
    private static partial Regex PartitionName();
}
