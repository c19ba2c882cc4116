using System.Globalization;
using System.Text.RegularExpressions;
using KantaGateway.Repository.Storage;
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
            WHERE p.partstrat = 'h' AND p.partnatts = 1 AND a.attname = 'compartment' AND (SELECT count(*) FROM pg_inherits WHERE inhparent = c.oid) = 16
            """));
        // Neither has anything of anybody.
        Assert.Equal("copying, schema_version", await AskAsync("""
            SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT relispartition
            """));
        Assert.Equal(5L * 17, await AskAsync("SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE i.indisunique AND (c.relkind = 'p' OR c.relispartition)"));
        Assert.Null(await AskAsync("""
            SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
            WHERE (i.indisunique OR i.indisexclusion) AND c.relnamespace = 'public'::regnamespace AND (c.relkind = 'p' OR c.relispartition)
            AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'compartment' AND a.attnum = ANY (i.indkey::int2[]))
            """));
    }

    /// <summary>As the planner would do it that does not know the values, which it may at any time.</summary>
    [Fact]
    public async Task Every_statement_of_a_request_touches_one_partition_of_a_table()
    {
        var (person, content) = (RepositoryWorld.NewPerson(), Guid.CreateVersion7());
        await using (var store = await _database.OpenAsync())
        {
            await store.StorePartAsync(person, content, 0, new byte[] { 1 }, default);
            Assert.True(await store.AppendAsync([new(person, 0, [1], [new(1, [1], [2]), new(2, [1], [2], content)])], default));
        }
        var id = person.ToArray();
        var appends = ((CompartmentAppend[])
        [
            new(RepositoryWorld.NewPerson(), 0, [1], [new(1, [1], [2])]), new(RepositoryWorld.NewPerson(), 0, [1], [new(1, [1], [2]), new(2, [1], [2])]),
            new(person, 2, null, [new(3, [1], [2])]), new(person, 3, null, [new(4, [1], [2]), new(5, [1], [2], Guid.CreateVersion7())]), new(person, 5, null, [new(6, [1], [2], Guid.CreateVersion7())]),
        ]).Select(append => PostgresStore.Statement(append)).Select(command => (command.CommandText, command.Parameters.Select(parameter => parameter.Value!).ToArray()));
        await using var connection = new NpgsqlConnection(_database.Administrator + ";Pooling=false");
        await connection.OpenAsync();
        await AskAsync(connection, "SET plan_cache_mode = force_generic_plan");
        foreach (var (sql, values) in ((IEnumerable<(string, object[])>)
        [
            (PostgresStore.IndexSql, [id, 0L]), (PostgresStore.BodySql, [id, 1L]), (PostgresStore.BodiesSql, [id, new long[] { 1, 2 }]), (PostgresStore.ReadPartSql, [id, content, 0]),
            (PostgresStore.StorePartSql, [id, Guid.CreateVersion7(), 0, new byte[] { 1 }]), (PostgresStore.DropPartsSql, [id, content]), (PostgresStore.ReplaceKeySql, [id, new byte[] { 1 }, new byte[] { 2 }]),
            .. appends, .. PostgresStore.EraseSql.Select(sql => (sql, (object[])[id])),
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
            if (!sql.StartsWith("INSERT", StringComparison.Ordinal) && !sql.Contains("(INSERT INTO compartment"))
                Assert.True(touched.Count > 0, $"{sql}\n{string.Join('\n', plan)}");
            await AskAsync(connection, "DEALLOCATE one");
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

    // "Index Scan using body_3_pkey on body_3 b": the table, not the index, and not those that an update might have touched.
    [GeneratedRegex(@"Scan\b.* on ((?:compartment|entry|body|content|part)_\d+)\b")]
    private static partial Regex PartitionName();
}
