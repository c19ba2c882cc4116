using Npgsql;

namespace KantaGateway.Postgres;

/// <summary>The role that a service signs in with.</summary>
/// <param name="Setting">Names its connection string.</param>
/// <param name="Command">Gives the role what it needs, as one types it.</param>
public sealed record ServiceRole(string Setting, string Command)
{
    /// <summary>The one table that it may change rows of; null: none.</summary>
    public string? Changed { get; init; }

    /// <summary>Whether it adds and deletes rows by itself, and not by functions of the owner alone.</summary>
    public bool Writes { get; init; } = true;

    /// <summary>Who holds the service's password holds no more than the service: it cannot change tables, empty them, or become who can.</summary>
    /// <exception cref="UnfitDatabaseException">It could.</exception>
    public async Task RequireNoMoreAsync(NpgsqlConnection connection, CancellationToken cancel)
    {
        // Of the role that has signed in, whatever it has been set to since; what it is a member of it can become, so it is a member of nothing.
        await using var command = new NpgsqlCommand("""
            WITH own AS (SELECT * FROM pg_roles WHERE rolname = session_user)
            SELECT 'is a superuser' FROM own WHERE rolsuper
            UNION ALL SELECT 'may make roles or databases, replicate, or pass row security' FROM own WHERE rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
            UNION ALL SELECT 'is a member of ' || string_agg(g.rolname, ', ') FROM pg_auth_members m JOIN own ON own.oid = m.member JOIN pg_roles g ON g.oid = m.roleid HAVING count(*) > 0
            UNION ALL SELECT 'owns the database or the schema' FROM own, pg_database d, pg_namespace n
                WHERE d.datname = current_database() AND n.nspname = 'public' AND own.oid IN (d.datdba, n.nspowner)
            UNION ALL SELECT 'may make schemas or temporary tables' WHERE has_database_privilege(session_user, current_database(), 'CREATE, TEMPORARY')
            UNION ALL SELECT 'may make tables' WHERE has_schema_privilege(session_user, 'public', 'CREATE')
            UNION ALL SELECT 'owns or may truncate, refer to, put triggers on or rewrite ' || string_agg(c.relname, ', ') FROM own, pg_class c
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND (c.relowner = own.oid OR has_table_privilege(session_user, c.oid, 'TRUNCATE, REFERENCES, TRIGGER') OR (c.relname <> $1 AND has_any_column_privilege(session_user, c.oid, 'UPDATE'))) HAVING count(*) > 0
            UNION ALL SELECT 'may add to or delete from ' || string_agg(c.relname, ', ') FROM pg_class c
                WHERE NOT $2 AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND (has_table_privilege(session_user, c.oid, 'DELETE') OR has_any_column_privilege(session_user, c.oid, 'INSERT')) HAVING count(*) > 0
            UNION ALL SELECT 'owns the function ' || string_agg(f.proname, ', ') FROM own, pg_proc f WHERE f.pronamespace = 'public'::regnamespace AND f.proowner = own.oid HAVING count(*) > 0
            LIMIT 1
            """, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = Changed ?? "" }, new NpgsqlParameter<bool> { TypedValue = Writes } } };
        if (await command.ExecuteScalarAsync(cancel).ConfigureAwait(false) is string tooMuch)
            throw new UnfitDatabaseException($"{Setting}: its role {tooMuch}. Give the service a role of its own that has no more than \"{Command}\" gives it.");
    }
}
