using KantaGateway.Repository;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace KantaGateway.Tests.Repository.Storage;

/// <summary>Tables come from a command of their own, only forwards; what serves them can neither make nor change them.</summary>
public sealed class StoreSchemaTests
{
    private const string Newer = "INSERT INTO schema_version (scriptname, applied) VALUES ('9042_later.sql', '2030-01-01')";

    [Fact]
    public void Both_engines_have_the_same_numbers()
    {
        static string[] Numbers(string engine) => [.. Directory.GetFiles(Path.Combine(Solution.Folder, "fhir-adapters/KantaGateway.Repository/Storage/Migrations", engine))
            .Select(file => Path.GetFileName(file).Split('_')[0]).Order(StringComparer.Ordinal)];
        Assert.Equal(Numbers("Postgres"), Numbers("Sqlite"));
        Assert.Equal(Enumerable.Range(1, StoreSchema.Version).Select(n => n.ToString("0000")), Numbers("Postgres"));
    }

    [Fact]
    public async Task A_PostgreSQL_store_is_refused_until_it_is_migrated_and_migrating_again_changes_nothing()
    {
        var database = await PostgresServer.NewDatabaseAsync();
        // As an administrator would leave it, so that only the tables are missing.
        await PostgresDatabase.AskAsync(database.Owner, $"REVOKE ALL ON DATABASE {new NpgsqlConnectionStringBuilder(database.Owner).Database} FROM PUBLIC; GRANT CONNECT ON DATABASE {new NpgsqlConnectionStringBuilder(database.Owner).Database} TO {database.ServiceRole}");
        var refused = await Assert.ThrowsAsync<StoreException>(() => database.OpenAsync());
        Assert.Contains($"schema version 0, and this program needs {StoreSchema.Version}", refused.Message);
        Assert.Contains("KantaGateway.Repository migrate", refused.Message);

        Assert.Equal(StoreSchema.Version, (await StoreSchema.MigrateAsync(database.Owner, database.ServiceRole, default)).Count);
        Assert.Empty(await StoreSchema.MigrateAsync(database.Owner, database.ServiceRole, default));
        await (await database.OpenAsync()).DisposeAsync();
    }

    [Fact]
    public async Task Migrations_that_start_at_once_do_the_work_once()
    {
        var database = await PostgresServer.NewDatabaseAsync();
        var ran = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => StoreSchema.MigrateAsync(database.Owner, database.ServiceRole, default)));
        Assert.Equal(StoreSchema.Version, ran.Sum(scripts => scripts.Count));
        await (await database.OpenAsync()).DisposeAsync();
        using var folder = new TemporaryFolder();
        var file = folder.File("store.db");
        var ranOnFile = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => StoreSchema.Migrate(file))));
        Assert.Equal(StoreSchema.Version, ranOnFile.Sum(scripts => scripts.Count));
        await new SqliteStore(file).DisposeAsync();
    }

    [Fact]
    public async Task A_PostgreSQL_store_of_sixteen_partitions_has_six_afterwards_and_every_row()
    {
        var database = await PostgresServer.NewDatabaseAsync();
        var scripts = Directory.GetFiles(Path.Combine(Solution.Folder, "fhir-adapters/KantaGateway.Repository/Storage/Migrations/Postgres")).Order(StringComparer.Ordinal).TakeWhile(static file => !file.Contains("0005_", StringComparison.Ordinal));
        await PostgresDatabase.AskAsync(database.Owner, "CREATE TABLE schema_version (schemaversionsid serial NOT NULL, scriptname varchar(255) NOT NULL, applied timestamp NOT NULL)");
        foreach (var script in scripts)
        {
            var text = await File.ReadAllTextAsync(script);
            await PostgresDatabase.AskAsync(database.Owner, text.Replace("0..5 LOOP", "0..15 LOOP", StringComparison.Ordinal).Replace("MODULUS 6", "MODULUS 16", StringComparison.Ordinal));
            await PostgresDatabase.AskAsync(database.Owner, $"INSERT INTO schema_version (scriptname, applied) VALUES ('{Path.GetFileName(script)}', '2026-01-01')");
        }
        await PostgresDatabase.AskAsync(database.Owner, """
            INSERT INTO compartment SELECT sha256(n::text::bytea), '\x01', n, n % 3 FROM generate_series(1, 500) n;
            INSERT INTO entry SELECT compartment, 1, '\x02' FROM compartment;
            INSERT INTO body SELECT compartment, 1, '\x03' FROM compartment;
            INSERT INTO content SELECT compartment, gen_random_uuid(), head FROM compartment;
            INSERT INTO part SELECT compartment, content, 1, '\x04' FROM content;
            """);
        var before = await AllAsync();
        Assert.Equal(["0005_six_partitions.sql"], await StoreSchema.MigrateAsync(database.Owner, database.ServiceRole, default));
        Assert.Equal(before, await AllAsync());
        Assert.Equal("6 6 6 6 6", await PostgresDatabase.AskAsync(database.Owner, "SELECT string_agg(n::text, ' ') FROM (SELECT count(*) n FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relkind = 'p' GROUP BY inhparent) counts"));
        // What the older scripts set, and one that begins with six has.
        Assert.Equal(await SettingsAsync(await (await PostgresServer.NewDatabaseAsync()).MigratedAsync()), await SettingsAsync(database));
        await (await database.OpenAsync()).DisposeAsync();

        Task<object?> AllAsync() => PostgresDatabase.AskAsync(database.Owner, """
            SELECT md5(string_agg(row, E'\n' ORDER BY row)) FROM (SELECT c::text FROM compartment c UNION ALL SELECT e::text FROM entry e UNION ALL SELECT b::text FROM body b UNION ALL SELECT c::text FROM content c UNION ALL SELECT p::text FROM part p) AS all_rows (row)
            """);

        static Task<object?> SettingsAsync(PostgresDatabase database) => PostgresDatabase.AskAsync(database.Owner, """
            SELECT string_agg(concat_ws(' ', c.relname, c.relkind, c.reloptions, a.attname, a.atttypid::regtype, a.attnotnull, a.attstorage, pg_get_expr(d.adbin, d.adrelid), c.relacl IS NULL), E'\n' ORDER BY c.relname, a.attname)
            FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT ILIKE '%schema%'
            """);
    }

    [Fact]
    public async Task A_PostgreSQL_store_of_a_newer_program_is_refused_by_the_service_and_by_the_migration()
    {
        var database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();
        await PostgresDatabase.AskAsync(database.Owner, Newer);
        foreach (var refused in new[]
        {
            await Assert.ThrowsAsync<StoreException>(() => database.OpenAsync()),
            await Assert.ThrowsAsync<StoreException>(() => StoreSchema.MigrateAsync(database.Owner, database.ServiceRole, default)),
        })
            Assert.Contains($"schema version 9042, and this program knows none after {StoreSchema.Version}", refused.Message);
    }

    [Fact]
    public async Task A_SQLite_store_is_refused_until_it_is_migrated_and_when_a_newer_program_has_been_at_it()
    {
        using var folder = new TemporaryFolder();
        var file = folder.File("sub/store.db");
        Assert.Contains("migrate", Assert.Throws<StoreException>(() => new SqliteStore(file)).Message);
        Assert.False(File.Exists(file));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllBytes(file, []);
        Assert.Contains($"schema version 0, and this program needs {StoreSchema.Version}", Assert.Throws<StoreException>(() => new SqliteStore(file)).Message);
        Assert.Equal(StoreSchema.Version, StoreSchema.Migrate(file).Count);
        Assert.Empty(StoreSchema.Migrate(file));
        await new SqliteStore(file).DisposeAsync();

        await using (var connection = new SqliteConnection($"Data Source={file};Pooling=false"))
        {
            await connection.OpenAsync();
            SqliteStatement.Execute(connection, Newer);
        }
        foreach (var refused in new[] { Assert.Throws<StoreException>(() => new SqliteStore(file)), Assert.Throws<StoreException>(() => StoreSchema.Migrate(file)) })
            Assert.Contains($"schema version 9042, and this program knows none after {StoreSchema.Version}", refused.Message);
        File.WriteAllText(file, "This is not a database, and long enough to be told from an empty one.".PadRight(4096));
        Assert.Throws<StoreException>(() => StoreSchema.Migrate(file));
        Assert.Throws<StoreException>(() => new SqliteStore(file));
    }

    [Fact]
    public async Task The_command_says_what_it_did_and_what_it_would_not()
    {
        using var folder = new TemporaryFolder();
        var options = new RepositoryOptions { Listen = "", Keys = "", DatabaseFile = folder.File("store.db"), IdentifierKeyFile = "", GatewayKeyFile = "" };
        using var console = new StringWriter();
        Assert.Equal(0, await MigrateStore.RunAsync(options, console));
        Assert.Contains("0001_compartments.sql has run", console.ToString());
        Assert.Contains($"The store has schema version {StoreSchema.Version}.", console.ToString());
        await using (var connection = new SqliteConnection($"Data Source={options.DatabaseFile};Pooling=false"))
        {
            await connection.OpenAsync();
            SqliteStatement.Execute(connection, Newer);
        }
        Assert.Equal(2, await MigrateStore.RunAsync(options, console));
        Assert.Contains("Not migrated: The database has schema version 9042", console.ToString());

        var database = await PostgresServer.NewDatabaseAsync();
        var wrong = await Assert.ThrowsAsync<InvalidOperationException>(() => MigrateStore.RunAsync(options with { Postgres = database.Service }, console));
        Assert.Contains("PostgresOwner: needed", wrong.Message);
        wrong = await Assert.ThrowsAsync<InvalidOperationException>(() => MigrateStore.RunAsync(options with { Postgres = database.Service, PostgresOwner = database.Service }, console));
        Assert.Contains("PostgresOwner: the role of Postgres", wrong.Message);
        wrong = Assert.Throws<InvalidOperationException>(() => (options with { Postgres = database.Service, PostgresOwner = database.Owner }).Validate());
        Assert.Contains("PostgresOwner: for the command migrate alone", wrong.Message);
        Assert.Equal(0, await MigrateStore.RunAsync(options with { Postgres = database.Service, PostgresOwner = database.Owner }, console));
    }

    [Fact]
    public async Task The_services_role_has_no_more_than_it_needs()
    {
        var database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();
        var granted = (string)(await PostgresDatabase.AskAsync(database.Administrator, $"""
            SELECT string_agg(c.relname || ': ' || p.privileges, '; ' ORDER BY c.relname) FROM pg_class c
            CROSS JOIN LATERAL (SELECT string_agg(privilege, ' ') AS privileges FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
                WHERE has_table_privilege('{database.ServiceRole}', c.oid, privilege)) p
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND p.privileges IS NOT NULL
            """))!;
        Assert.Equal("body: SELECT INSERT DELETE; compartment: SELECT INSERT UPDATE; content: SELECT INSERT DELETE; copying: SELECT INSERT DELETE; entry: SELECT INSERT DELETE; part: SELECT INSERT DELETE; schema_version: SELECT", granted);

        foreach (var statement in (string[])
        [
            "CREATE TABLE mine (a int)", "CREATE TEMPORARY TABLE mine (a int)", "CREATE SCHEMA mine", "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "CREATE INDEX ON body (sealed)",
            "ALTER TABLE body ADD COLUMN mine int", "ALTER TABLE body_3 DISABLE TRIGGER ALL", "DROP TABLE part", "TRUNCATE entry", "TRUNCATE compartment_0", "UPDATE body SET sealed = ''", "UPDATE entry SET sealed = ''",
            "DELETE FROM compartment", "SELECT * FROM body_1", "INSERT INTO schema_version (scriptname, applied) VALUES ('9000_x.sql', now())", $"SET ROLE {new NpgsqlConnectionStringBuilder(database.Owner).Username}",
        ])
        {
            var refused = await Assert.ThrowsAsync<PostgresException>(() => PostgresDatabase.AskAsync(database.Service, statement));
            Assert.True(refused.SqlState == PostgresErrorCodes.InsufficientPrivilege, $"{statement}: {refused.SqlState}");
        }
    }

    [Fact]
    public async Task A_role_that_may_do_more_is_refused_at_the_start()
    {
        var database = await (await PostgresServer.NewDatabaseAsync()).MigratedAsync();
        var (service, owner) = (database.ServiceRole, new NpgsqlConnectionStringBuilder(database.Owner).Username);
        foreach (var (given, taken, why) in (IEnumerable<(string, string, string)>)
        [
            ($"ALTER ROLE {service} SUPERUSER", $"ALTER ROLE {service} NOSUPERUSER", "superuser"),
            ($"ALTER ROLE {service} CREATEROLE", $"ALTER ROLE {service} NOCREATEROLE", "may make roles"),
            ($"ALTER ROLE {service} CREATEDB", $"ALTER ROLE {service} NOCREATEDB", "may make roles or databases"),
            ($"GRANT {owner} TO {service}", $"REVOKE {owner} FROM {service}", "is a member of"),
            ($"ALTER ROLE {service} NOINHERIT; GRANT {owner} TO {service}", $"ALTER ROLE {service} INHERIT; REVOKE {owner} FROM {service}", "is a member of"),
            ($"GRANT UPDATE ON entry_3 TO {service}", $"REVOKE UPDATE ON entry_3 FROM {service}", "entry_3"),
            ($"GRANT UPDATE (sealed) ON body TO {service}", $"REVOKE UPDATE (sealed) ON body FROM {service}", "rewrite body"),
            ($"GRANT TRUNCATE ON part_0 TO {service}", $"REVOKE TRUNCATE ON part_0 FROM {service}", "part_0"),
            ($"GRANT pg_execute_server_program TO {service}", $"REVOKE pg_execute_server_program FROM {service}", "pg_execute_server_program"),
            ($"GRANT CREATE ON SCHEMA public TO {service}", $"REVOKE CREATE ON SCHEMA public FROM {service}", "may make tables"),
            ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "may make tables"),
            ($"GRANT CREATE ON DATABASE {owner} TO {service}", $"REVOKE CREATE ON DATABASE {owner} FROM {service}", "may make schemas"),
            ($"GRANT TEMPORARY ON DATABASE {owner} TO PUBLIC", $"REVOKE TEMPORARY ON DATABASE {owner} FROM PUBLIC", "temporary tables"),
            ($"GRANT TRUNCATE ON body TO {service}", $"REVOKE TRUNCATE ON body FROM {service}", "rewrite body"),
            ($"GRANT TRIGGER ON entry TO {service}", $"REVOKE TRIGGER ON entry FROM {service}", "rewrite entry"),
            ($"ALTER TABLE part OWNER TO {service}", $"ALTER TABLE part OWNER TO {owner}", "rewrite part"),
        ])
        {
            await PostgresDatabase.AskAsync(database.Administrator, given);
            var refused = await Assert.ThrowsAsync<StoreException>(() => database.OpenAsync());
            Assert.StartsWith("Postgres: its role ", refused.Message);
            Assert.Contains(why, refused.Message);
            await PostgresDatabase.AskAsync(database.Administrator, taken);
        }
        // Migrating again gives the role its own, and nothing else.
        await (await (await database.MigratedAsync()).OpenAsync()).DisposeAsync();
    }
}
