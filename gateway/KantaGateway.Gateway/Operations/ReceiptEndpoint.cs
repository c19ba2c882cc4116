using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Operations.Witnesses;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>GET /audit/receipts/{index}</c>: to whoever received an answer, identified as for the answer itself, the proof that its entry is in the
/// log (C2SP tlog-proof). It holds hashes only.
/// </summary>
public static class ReceiptEndpoint
{
    /// <summary>The one answer for an entry that is somebody else's, is of no answer, or is not there.</summary>
    private static readonly Fault None = new(FaultKind.Absent, "The log has no entry of that index for an answer that you received.");

    public static void MapReceipts(this WebApplication app) => app.MapGet("/audit/receipts/{index}", static async (HttpContext context, string index) =>
    {
        var services = context.RequestServices;
        var (requester, fault) = await services.GetRequiredService<IIdentification>().IdentifyAsync(context);
        if (requester is null)
        {
            fault ??= new(FaultKind.NotIdentified, "The caller is not identified.");
            // That there were too many was recorded when it began.
            if (fault.Kind == FaultKind.TooMany)
                await FaultWriter.WriteAsync(context, fault);
            else
                await services.GetRequiredService<DisclosureAudit>().RefuseAsync(context, null, null, fault, "not identified");
        }
        else if (await ProofAsync(services.GetRequiredService<AuditLog>(), services.GetService<Witnessing>(), index, requester.Receiver, context.RequestAborted) is { } proof)
        {
            context.Response.Headers.CacheControl = "no-store";
            await Results.Text(proof.ToString(), "text/plain; charset=utf-8").ExecuteAsync(context);
        }
        else
            await FaultWriter.WriteAsync(context, TryIndex(index, out var at) ? await PrunedEntries.FaultOfAsync(services.GetRequiredService<AuditLog>(), at) ?? None : None);
    });

    private static bool TryIndex(string text, out long index) => long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out index);

    private static async ValueTask<InclusionProof?> ProofAsync(AuditLog log, Witnessing? witnesses, string index, string receiver, CancellationToken cancel)
    {
        if (!TryIndex(index, out var at))
            return null;
        try
        {
            var proof = await log.ProveAsync(at, receiver);
            if (proof is null || witnesses is null || witnesses.Policy.IsMetBy(proof.Checkpoint))
                return proof;
            // An entry of this second: the witnesses are asked now. Where too few answer, the proof is the log's own word, and whoever checks it sees that.
            try
            {
                return await witnesses.AskAsync(at + 1, cancel) ? await log.ProveAsync(at, receiver) ?? proof : proof;
            }
            catch (Exception failure) when (failure is AuditStoreException or IOException or UnauthorizedAccessException || failure is OperationCanceledException && !cancel.IsCancellationRequested)
            {
                // What is proven already is not lost with it; the next round tells the operators.
                return proof;
            }
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }
}
