using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary><c>POST /access-log/v1/disputes</c>: what the page of an entry does, as JSON, for the signed-in citizen's own session alone.</summary>
internal static class DisputeEndpoint
{
    /// <param name="Entry">Index in the audit log.</param>
    private sealed record Body(long Entry);

    public static void MapDisputes(this IEndpointRouteBuilder app, PortalEndpoint marker) => app.MapPost("/access-log/v1/disputes", static context => JsonRequests.AnswerAsync(context, CitizenAsync, async (context, citizen) =>
    {
        var entry = JsonRequests.Read<Body>(await JsonRequests.BodyAsync(context.Request)).Entry;
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        try
        {
            // Somebody else's looks like one that is not there.
            var dispute = await context.RequestServices.GetRequiredService<Disputes>().DisputeAsync(citizen, entry, context.RequestAborted) ?? throw new FaultException(new(FaultKind.Absent, "There is no such access of a place of care to your records. Nothing was stored."));
            context.Response.StatusCode = StatusCodes.Status201Created;
            await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new { dispute = dispute.Restriction.Id, answerBy = dispute.AnswerBy }, JsonSerializerOptions.Web));
        }
        catch (RefusedException)
        {
            throw new FaultException(new(FaultKind.StoreUnavailable, "The dispute could not be stored. Try again."));
        }
    })).WithMetadata(marker, PassesDecision.Instance);

    private static Task<Requester> CitizenAsync(HttpContext context)
    {
        if (!OperatorSession.IsOwn(context.Request))
            throw new FaultException(new(FaultKind.Denied, "Not from a page of another site."));
        if (context.RequestServices.GetRequiredService<IIdentification>().PortalRequester(context) is not { } citizen)
            throw new FaultException(new(FaultKind.NotIdentified, "Sign in at the portal."));
        return WhoSeesWhatEndpoints.ActingAsync(context, citizen);
    }
}
