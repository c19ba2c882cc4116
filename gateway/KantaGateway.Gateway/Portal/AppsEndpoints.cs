using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>GET /apps/v1/apps</c> and <c>POST /apps/v1/end</c>: what the page of connected apps does, as JSON, for the signed-in citizen's own session alone: which apps she has is no app's business, and each
/// app ends itself at <c>/connect/revoke</c>.
/// </summary>
internal static class AppsEndpoints
{
    /// <param name="Client">Client id of the app.</param>
    private sealed record EndBody(string Client);

    /// <param name="Client">Client id.</param>
    /// <param name="Vendor">Who is responsible for it; absent: it is no longer registered.</param>
    /// <param name="May">What it may read, in words.</param>
    /// <param name="KnowsWho">It is told who the person is.</param>
    /// <param name="Access">The longest that it has: <c>offline_access</c>, <c>online_access</c>, or absent.</param>
    /// <param name="Read">When it last read something: <c>at</c>, <c>never</c>, <c>not-lately</c> (older entries of the log were not looked through) or <c>unknown</c>.</param>
    private sealed record AppAnswer(string Client, string Name, string? Vendor, IReadOnlyList<string> May, bool KnowsWho, string? Access, DateTimeOffset Since, DateTimeOffset Until, bool IsSuspended, string Read, DateTimeOffset? ReadAt);

    private sealed record AppsAnswer(DateTimeOffset AsOf, IReadOnlyList<AppAnswer> Apps);

    public static void MapApps(this IEndpointRouteBuilder app, PortalEndpoint marker)
    {
        app.MapGet("/apps/v1/apps", static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, ListAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("apps", ApiCallersAttribute.Person, "The apps that may read the person's own record.", typeof(AppsAnswer));
        app.MapPost("/apps/v1/end", static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, EndAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("end-app", ApiCallersAttribute.Person, "Ends what one app was given, at every gateway.", null, typeof(EndBody));
    }

    private static async Task ListAsync(HttpContext context, Requester citizen)
    {
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var services = context.RequestServices;
        var apps = await services.GetRequiredService<ConnectedApps>().OfAsync(citizen, SelfOf(citizen), context.RequestAborted);
        await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new AppsAnswer(services.GetRequiredService<TimeProvider>().GetUtcNow(), [.. apps.Select(static app =>
        {
            var (read, at) = app.Read switch { LastReading.At(var when) => ("at", (DateTimeOffset?)when), LastReading.Never => ("never", null), LastReading.NotLately => ("not-lately", null), _ => ("unknown", null) };
            return new AppAnswer(app.ClientId, app.Name, app.Vendor, app.What, app.KnowsWho, app.Access, app.Since, app.Until, app.IsSuspended, read, at);
        })]), JsonRequests.Answers));
    }

    private static async Task EndAsync(HttpContext context, Requester citizen)
    {
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var client = JsonRequests.Read<EndBody>(await JsonRequests.BodyAsync(context.Request)).Client;
        if (!await context.RequestServices.GetRequiredService<ConnectedApps>().EndAsync(context, citizen, SelfOf(citizen), client))
            throw new FaultException(new(FaultKind.Absent, "You have let no such app at your records. Nothing was ended."));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <exception cref="FaultException">She acts for another: an app is let at one's own record only.</exception>
    private static Pseudonym SelfOf(Requester citizen) => citizen.OnBehalfOf is null && citizen.Self is { } self ? self
        : throw new FaultException(new(FaultKind.Denied, "Apps are let at one's own record only: go back to oneself first."));
}
