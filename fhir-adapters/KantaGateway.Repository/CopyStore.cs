using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository;

/// <summary>The commands <c>copy</c>, which moves all of a store into an empty one, of the other engine or the same, and <c>compare</c>.</summary>
public static class CopyStore
{
    public const string Name = "copy", CompareName = "compare";

    /// <param name="isCopied">Whether the target is filled first; else both are only compared.</param>
    /// <returns>Exit code: 0 both are the same, 1 not, 2 it could not be done.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<int> RunAsync(RepositoryOptions from, RepositoryOptions to, bool isCopied, TextWriter console, CancellationToken cancel = default)
    {
        from.ValidateStore();
        to.ValidateStore();
        try
        {
            // What is of no compartment would be left behind unsaid.
            await using (var whole = await RepositoryHost.OpenStoreAsync(from, cancel).ConfigureAwait(false))
                if (await whole.CountStraysAsync(cancel).ConfigureAwait(false) is > 0 and var strays)
                    throw new StoreException($"{strays} rows or contents of the source are of no compartment: \"KantaGateway.Repository {VerifyStore.Name}\" says more.");
            await using var source = await OpenAsync(from, cancel).ConfigureAwait(false);
            await using var target = await OpenAsync(to, cancel).ConfigureAwait(false);
            var difference = await (isCopied ? StoreCopy.RunAsync(source, target, console.WriteLine, cancel) : StoreCopy.CompareAsync(source, target, console.WriteLine, cancel)).ConfigureAwait(false);
            await console.WriteLineAsync(difference is null ? "Both have the same rows." : $"They differ: {difference}.").ConfigureAwait(false);
            return difference is null ? 0 : 1;
        }
        catch (StoreException e)
        {
            await console.WriteLineAsync($"Not done: {e.Explanation}").ConfigureAwait(false);
            return 2;
        }
    }

    private static async Task<ICopiedStore> OpenAsync(RepositoryOptions options, CancellationToken cancel) =>
        options.Postgres is { } connection ? await PostgresCopy.OpenAsync(connection, cancel).ConfigureAwait(false) : new SqliteCopy(options.DatabaseFile);
}
