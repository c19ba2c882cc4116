using System.Net;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// Destroys one person's record, as two operators have approved of: the key service first, from when on no copy opens, a backup's neither, then what the repository has stored.
/// What stopped on its way is carried out again by the same approval. The audit log stays: what was disclosed of the record is kept for its own time (Act 703/2023 §11, Annex).
/// </summary>
public sealed class RecordErasure(RepositoryNodes nodes, KeyServiceClient keys, GrantSigner signer)
{
    private readonly HttpClient _repository = nodes.CreateClient(TimeSpan.FromMinutes(1));

    /// <exception cref="FaultException">It may not be at its end. Ask again.</exception>
    public async Task EraseAsync(KeyErasure erasure, CancellationToken cancel)
    {
        await keys.EraseAsync(erasure, cancel);
        using var request = new HttpRequestMessage(HttpMethod.Post, "/erasures");
        RepositoryNodes.SayWhom(request, erasure.Compartment);
        request.Headers.Add(InternalHeaders.Grant, signer.Sign(erasure));
        try
        {
            using var answer = await _repository.SendAsync(request, cancel);
            if (answer.StatusCode == HttpStatusCode.NoContent)
                return;
        }
        catch (Exception e) when (e is HttpRequestException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            // Said below.
        }
        throw new FaultException(new Fault(FaultKind.StoreUnavailable, "The key is destroyed, so the record opens nowhere any more, but the repository has not removed what it has stored. Carry it out again."));
    }
}
