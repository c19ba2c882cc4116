using System.Net;
using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Gateway.Operations;

/// <summary>What came of the rotation of a data key.</summary>
/// <param name="Rows">Of the record, each sealed anew.</param>
/// <param name="Before">Digest of where the record ended under the old key, 32 hexadecimal digits.</param>
/// <param name="After">Of the same row under the new one.</param>
public sealed record RotatedRecord(long Rows, string Before, string After);

/// <summary>
/// Has one person's data key replaced, as two operators have approved of: the repository seals all of the record anew under a key that the key service makes for it. What stopped on its way, or takes longer than one waits, is carried out again by the same approval.
/// </summary>
public sealed class RecordRotation(RepositoryNodes nodes, GrantSigner signer)
{
    private readonly HttpClient _repository = nodes.CreateClient(TimeSpan.FromMinutes(2));

    /// <exception cref="FaultException">It may not be at its end: ask again. Or there is no such record, or it is destroyed.</exception>
    public async Task<RotatedRecord> RotateAsync(DataKeyRotation rotation, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/data-key-rotations");
        // Asked again it comes to the one that does it already.
        RepositoryNodes.SayWhom(request, rotation.Compartment);
        request.Headers.Add(InternalHeaders.Grant, signer.Sign(rotation));
        try
        {
            using var answer = await _repository.SendAsync(request, cancel);
            if (answer.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
                throw new FaultException(new Fault(FaultKind.Absent, "No record of this person is stored, so there is no data key to replace."));
            if (answer.StatusCode == HttpStatusCode.InternalServerError)
                throw new FaultException(new Fault(FaultKind.UpstreamFailed, "The record is not as it was written, or the repository failed: see its log. It was not sealed anew, and its data key is the old one."));
            if (answer.StatusCode == HttpStatusCode.OK && JsonSerializer.Deserialize<RotatedRecord>(await answer.Content.ReadAsByteArrayAsync(cancel), JsonSerializerOptions.Web) is { Before: not null, After: not null } rotated)
                return rotated;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is TaskCanceledException && !cancel.IsCancellationRequested))
        {
            // Said below.
        }
        throw new FaultException(new Fault(FaultKind.StoreUnavailable, "The rotation is not done, or it is not known whether it is. See /operator/keys whether it is under way, and carry it out again: it is done once, and goes on where it stopped."));
    }
}
