using KantaGateway.Repository.Storage;
using Npgsql;

namespace KantaGateway.Repository;

/// <summary>
/// The command <c>migrate</c>: makes the tables of the store, or brings them to the version that this program needs. The running service never does: it has not the right to.
/// </summary>
public static class MigrateStore
{
    public const string Name = "migrate";

    /// <returns>Exit code: 0 the store is of the version that this program needs, 2 it was left as it was.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<int> RunAsync(RepositoryOptions options, TextWriter console, CancellationToken cancel = default)
    {
        try
        {
            foreach (var script in await ApplyAsync(options, cancel).ConfigureAwait(false))
                await console.WriteLineAsync($"{script} has run.").ConfigureAwait(false);
            await console.WriteLineAsync($"The store has schema version {StoreSchema.Version}.").ConfigureAwait(false);
            return 0;
        }
        catch (StoreException e)
        {
            await console.WriteLineAsync($"Not migrated: {e.Explanation}").ConfigureAwait(false);
            return 2;
        }
    }

    /// <summary>The same for a host that embeds the repository.</summary>
    /// <returns>Scripts that ran.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<IReadOnlyList<string>> ApplyAsync(RepositoryOptions options, CancellationToken cancel = default)
    {
        options.ValidateForMigration();
        return options.Postgres is { } service
            ? await StoreSchema.MigrateAsync(options.PostgresOwner!, new NpgsqlConnectionStringBuilder(service).Username!, cancel).ConfigureAwait(false)
            : StoreSchema.Migrate(options.DatabaseFile);
    }
}
