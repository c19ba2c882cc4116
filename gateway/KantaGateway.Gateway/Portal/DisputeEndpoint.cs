using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary><c>POST /access-log/v1/disputes</c>: what the page of an entry does, as JSON, for the signed-in citizen's own session alone.</summary>
internal static class DisputeEndpoint
{
    /// <param name="Entry">Index in the audit log.</param>
    private sealed record DisputeBody(long Entry);

    /// <param name="Dispute">FHIR id of the Consent.</param>
    private sealed record DisputeAnswer(string Dispute, DateTimeOffset AnswerBy);

    public static void MapDisputes(this IEndpointRouteBuilder app, PortalEndpoint marker) => app.MapPost("/access-log/v1/disputes", static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, async (context, citizen) =>
    {
        var entry = JsonRequests.Read<DisputeBody>(await JsonRequests.BodyAsync(context.Request)).Entry;
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        try
        {
            // Somebody else's looks like one that is not there.
            var dispute = await context.RequestServices.GetRequiredService<Disputes>().DisputeAsync(citizen, entry, context.RequestAborted) ?? throw new FaultException(new(FaultKind.Absent, "There is no such access of a place of care to your records. Nothing was stored."));
            context.Response.StatusCode = StatusCodes.Status201Created;
            await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new DisputeAnswer(dispute.Restriction.Id, dispute.AnswerBy), JsonSerializerOptions.Web));
        }
        catch (RefusedException)
        {
            throw new FaultException(new(FaultKind.StoreUnavailable, "The dispute could not be stored. Try again."));
        }
    })).WithMetadata(marker, PassesDecision.Instance)
        .Describe("dispute-access", ApiCallersAttribute.Person, "The person disputes an access to her record.", typeof(DisputeAnswer), typeof(DisputeBody), status: StatusCodes.Status201Created);
}
