using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository;

/// <summary>The command <c>verify-store</c>: says on the console whether the store is whole.</summary>
public static class VerifyStore
{
    public const string Name = "verify-store";

    /// <returns>Exit code: 0 whole, 1 not, 2 it could not be looked at.</returns>
    /// <exception cref="InvalidOperationException">The options are wrong; the message names each.</exception>
    public static async Task<int> RunAsync(RepositoryOptions options, TextWriter console, CancellationToken cancel = default)
    {
        options.Validate();
        try
        {
            await using var store = await RepositoryHost.OpenStoreAsync(options, cancel).ConfigureAwait(false);
            using var keys = new KeyClient(InternalEndpoint.Parse(options.Keys));
            var found = await StoreVerification.OfAsync(store, keys, cancel).ConfigureAwait(false);
            foreach (var fault in found.Faults)
                await console.WriteLineAsync(fault).ConfigureAwait(false);
            await console.WriteLineAsync($"{found.Compartments} compartments, {(found.IsWhole ? "no fault" : found.Faults.Count == StoreVerification.MaxFaults ? "these faults and perhaps more" : "these faults")}.").ConfigureAwait(false);
            await console.WriteLineAsync(StoreVerification.NotSeen).ConfigureAwait(false);
            return found.IsWhole ? 0 : 1;
        }
        catch (Exception e) when (e is StoreException or FaultException)
        {
            await console.WriteLineAsync($"Not verified: {e.Message}").ConfigureAwait(false);
            return 2;
        }
    }
}
