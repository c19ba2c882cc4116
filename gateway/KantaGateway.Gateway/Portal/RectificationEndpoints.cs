using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Portal;

/// <summary><c>GET, POST /records/v1/rectifications</c> and <c>POST /records/v1/rectifications/withdraw</c>: what the pages of requests for rectification do, as JSON, for the signed-in citizen's own session alone.</summary>
internal static class RectificationEndpoints
{
    /// <param name="Type">FHIR type.</param>
    /// <param name="Id">FHIR id.</param>
    private sealed record AskedEntry(string Type, Guid Id);

    /// <param name="Wrong">What is wrong or missing, at most 3,000 letters as each of them.</param>
    /// <param name="Right">What it should be.</param>
    /// <param name="Why">Grounds; may be left out.</param>
    private sealed record AskBody(AskedEntry Entry, string Wrong, string Right, string? Why = null);

    /// <param name="Request">FHIR id of the Communication.</param>
    private sealed record WithdrawBody(Guid Request);

    /// <param name="Request">FHIR id of the Communication.</param>
    /// <param name="Entry">Reference of the entry, <c>Type/id</c>.</param>
    /// <param name="Controller">OID of who answers.</param>
    /// <param name="State"><c>open</c>, <c>late</c>, <c>delayed</c>, <c>granted</c>, <c>corrected</c>, <c>refused</c> or <c>withdrawn</c>.</param>
    /// <param name="AnswerBy">By when it is answered at the latest (GDPR Art. 12(3)).</param>
    /// <param name="Answer">The controller's words; absent: none yet.</param>
    private sealed record RequestAnswer(string Request, string Entry, string Controller, string ControllerName, string State, DateTimeOffset At, DateTimeOffset AnswerBy, string Wrong, string Right, string? Why, string? Answer, DateTimeOffset? AnsweredAt, DateTimeOffset? WithdrawnAt);

    /// <param name="Requests">Newest first.</param>
    private sealed record ListAnswer(DateTimeOffset AsOf, IReadOnlyList<RequestAnswer> Requests);

    public static void MapRectifications(this IEndpointRouteBuilder app, PortalEndpoint marker)
    {
        const string Address = "/records/v1/rectifications";
        app.MapGet(Address, static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, ListAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("rectifications", ApiCallersAttribute.Person, "What the person has asked controllers to rectify, and their answers.", typeof(ListAnswer));
        app.MapPost(Address, static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, AskAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("ask-rectification", ApiCallersAttribute.Person, "The person asks the controller of an entry to rectify it.", typeof(RequestAnswer), typeof(AskBody), status: StatusCodes.Status201Created);
        app.MapPost(Address + "/withdraw", static context => JsonRequests.AnswerAsync(context, JsonRequests.SessionAsync, WithdrawAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("withdraw-rectification", ApiCallersAttribute.Person, "The person takes back a request for rectification that waits for its answer.", null, typeof(WithdrawBody));
    }

    private static async Task ListAsync(HttpContext context, Requester citizen)
    {
        RequirePerson(citizen);
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var services = context.RequestServices;
        var all = await WithinAsync(services.GetRequiredService<Rectifications>().ListAsync(citizen, context.RequestAborted));
        await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new ListAnswer(services.GetRequiredService<TimeProvider>().GetUtcNow(), [.. all.Select(one => Of(one, services))]), JsonRequests.Answers));
    }

    private static async Task AskAsync(HttpContext context, Requester citizen)
    {
        RequirePerson(citizen);
        var body = JsonRequests.Read<AskBody>(await JsonRequests.BodyAsync(context.Request));
        var form = new RectifyForm(body.Wrong, body.Right, body.Why);
        if (form.Problem is { } problem)
            throw new FaultException(new(FaultKind.Unprocessable, $"Say what is wrong and what it should be, in at most {RectificationRequest.MostLetters} letters each.", problem.Field));
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var services = context.RequestServices;
        // Somebody else's looks like one that is not there.
        var request = await WithinAsync(services.GetRequiredService<Rectifications>().AskAsync(citizen, body.Entry.Type, body.Entry.Id.ToString("D"), form, context.RequestAborted))
            ?? throw new FaultException(new(FaultKind.Absent, "There is no such entry in your record. Nothing was stored."));
        context.Response.StatusCode = StatusCodes.Status201Created;
        await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(Of(request, services), JsonRequests.Answers));
    }

    private static async Task WithdrawAsync(HttpContext context, Requester citizen)
    {
        RequirePerson(citizen);
        var request = JsonRequests.Read<WithdrawBody>(await JsonRequests.BodyAsync(context.Request)).Request;
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        if (!await WithinAsync(context.RequestServices.GetRequiredService<Rectifications>().WithdrawAsync(citizen, request.ToString("D"), context.RequestAborted)))
            throw new FaultException(new(FaultKind.Absent, "No request of that id waits for an answer. Nothing was stored."));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static RequestAnswer Of(RectificationRequest one, IServiceProvider services) => new(one.Id, one.Entry, one.Asked.Controller, services.GetRequiredService<OrganisationNames>().Of(one.Asked.Controller),
        services.GetRequiredService<Rectifications>().StateOf(one), one.At, one.AnswerBy, one.Wrong, one.Right, one.Why, one.Answer, one.AnsweredAt, one.WithdrawnAt);

    /// <exception cref="FaultException">A custodian asks: on paper (§51).</exception>
    private static void RequirePerson(Requester citizen)
    {
        if (citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            throw new FaultException(new(FaultKind.Denied, "A custodian asks for the rectification of a child's record on paper; the portal prints the request."));
    }

    /// <exception cref="FaultException">The record cannot be asked, or did not take it.</exception>
    private static async Task<T> WithinAsync<T>(Task<T> asked)
    {
        try
        {
            return await asked;
        }
        catch (RefusedException)
        {
            throw new FaultException(new(FaultKind.StoreUnavailable, "The record cannot be asked now. Try again; the same request twice is one."));
        }
    }
}
