using Npgsql;

namespace KantaGateway.Postgres;

/// <summary>
/// Hears what a server says beside its answers. A commit that waits for its standby and is told to wait no longer (<c>pg_cancel_backend</c>, by an administrator or a tool of theirs) is answered with success, and a
/// warning that the standby may not have it (PostgreSQL, <c>syncrep.c</c>). What is asked on a connection that writes gives no other, so any is taken for that one, in whichever language it is.
/// </summary>
/// <remarks>For one piece of work on a connection, which one thread at a time uses.</remarks>
public sealed class CommitWatch : IDisposable
{
    private readonly NpgsqlConnection _connection;
    private volatile PostgresNotice? _warning;

    /// <param name="connection">Open.</param>
    public CommitWatch(NpgsqlConnection connection)
    {
        _connection = connection;
        connection.Notice += Hear;
    }

    /// <summary>Now what was committed under this watch is on the standby too, where there is one.</summary>
    /// <exception cref="NpgsqlException">It is not known to be: it is on the server, and gone if the server is lost. Its outcome is unknown.</exception>
    public void RequireConfirmed()
    {
        if (_warning is { } warning)
            throw new NpgsqlException($"The server has warned ({warning.SqlState}): the commit is not known to be on its standby.");
    }

    public void Dispose() => _connection.Notice -= Hear;

    private void Hear(object sender, NpgsqlNoticeEventArgs e)
    {
        if (e.Notice.InvariantSeverity == "WARNING")
            _warning = e.Notice;
    }
}
