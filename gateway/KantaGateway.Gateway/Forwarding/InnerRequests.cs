using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>Answer to a request that the gateway made of itself.</summary>
/// <param name="Body">Whole body, bounded by the page size.</param>
/// <param name="Manifest">What the body discloses, on every 2xx answer: the portal shows each entry's controller from it.</param>
public sealed record FhirAnswer(int Status, IHeaderDictionary Headers, byte[] Body, DisclosureManifest? Manifest = null);

/// <summary>
/// Sends a FHIR request for an already identified requester through the same steps 2 to 9 as one from outside:
/// batch entries and the portal use it, so that there is no second road to data.
/// </summary>
public interface IInnerRequests
{
    /// <param name="method">HTTP method.</param>
    /// <param name="target">Path and query under the FHIR base, such as <c>Observation/_search</c> or <c>Encounter?patient=id</c>.</param>
    /// <param name="body">Empty for none.</param>
    /// <param name="contentType">Null means FHIR JSON when there is a body.</param>
    /// <param name="headers">Extra FHIR headers, such as If-Match.</param>
    Task<FhirAnswer> SendAsync(Requester requester, string method, string target, ReadOnlyMemory<byte> body = default,
        string? contentType = null, IHeaderDictionary? headers = null, CancellationToken cancel = default);
}
