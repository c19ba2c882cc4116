using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>GET /inbox/v1/messages</c> and <c>POST /inbox/v1/read</c>: what the inbox does, as JSON, for the signed-in citizen (session cookie) or an app of hers that may read her declarations, of which messages
/// come (access token with <c>patient/Consent.rs</c>, to say that one was read <c>.c</c>; to be told of answers to requests for rectification <c>patient/Communication.rs</c> too).
/// </summary>
internal static class InboxEndpoints
{
    /// <param name="Message">Id of what the message is about.</param>
    private sealed record ReadBody(Guid Message);

    /// <param name="Message">Id of what it is about: of the Consent, of the Communication that answers, or of the notice.</param>
    /// <param name="Kind"><c>breach</c>, <c>emergency</c>, <c>review</c>, <c>recorded</c>, <c>dispute</c> or <c>rectification</c>.</param>
    /// <param name="Title">In the language of <c>Accept-Language</c>.</param>
    /// <param name="Page">Address of the portal's page that tells all of it.</param>
    private sealed record MessageAnswer(string Message, string Kind, DateTimeOffset At, bool IsNew, string Title, string Page);

    /// <param name="Messages">Newest first.</param>
    /// <param name="Away">What cannot be asked now, <c>record</c> or <c>notices</c>: its messages are not among them.</param>
    private sealed record InboxAnswer(DateTimeOffset AsOf, IReadOnlyList<MessageAnswer> Messages, IReadOnlyList<string> Away);

    public static void MapInbox(this IEndpointRouteBuilder app, PortalEndpoint marker)
    {
        app.MapGet("/inbox/v1/messages", static context => JsonRequests.AnswerAsync(context, WhoSeesWhatEndpoints.CitizenAsync, ListAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("messages", ApiCallersAttribute.PersonOrApp, "What the person is told.", typeof(InboxAnswer));
        app.MapPost("/inbox/v1/read", static context => JsonRequests.AnswerAsync(context, WriterAsync, ReadAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("read-message", ApiCallersAttribute.PersonOrApp, "The person has read a message.", null, typeof(ReadBody));
    }

    private static async Task ListAsync(HttpContext context, Requester citizen)
    {
        RequirePerson(citizen);
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        var services = context.RequestServices;
        var content = await WithinAsync(services.GetRequiredService<Inbox>().ReadAsync(citizen, context.RequestAborted));
        // By no scope is an app told what was taken of her: that stands in no record.
        var isApp = context.Request.Headers.Authorization.Count > 0;
        await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new InboxAnswer(services.GetRequiredService<TimeProvider>().GetUtcNow(),
            [.. content.Messages.Where(one => !isApp || one.Kind != MessageKind.Breach).Select(static one => new MessageAnswer(one.Id, JsonNamingPolicy.KebabCaseLower.ConvertName(one.Kind.ToString()), one.At, one.IsNew, one.Title, one.Address))],
            [.. content.State is null ? (string[])["record"] : [], .. content.Notices is null && !isApp ? (string[])["notices"] : []]), JsonRequests.Answers));
    }

    private static async Task ReadAsync(HttpContext context, Requester citizen)
    {
        RequirePerson(citizen);
        var message = JsonRequests.Read<ReadBody>(await JsonRequests.BodyAsync(context.Request)).Message;
        context.Features.Set<IRequesterFeature>(new RequesterFeature(citizen));
        if (!await WithinAsync(context.RequestServices.GetRequiredService<Inbox>().AcknowledgeAsync(citizen, message.ToString("D"), context.RequestAborted)))
            throw new FaultException(new(FaultKind.Absent, "There is no such message that could be said to be read: it was already, or is a notice that is read by opening it. Nothing was stored."));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    /// <summary>The citizen, and from no page of another site where it is her session.</summary>
    private static Task<Requester> WriterAsync(HttpContext context)
    {
        if (context.Request.Headers.Authorization.Count == 0)
            JsonRequests.RequireOwnSite(context);
        return WhoSeesWhatEndpoints.CitizenAsync(context);
    }

    /// <exception cref="FaultException">A custodian asks: what is told of a child is not shown to custodians (§51).</exception>
    private static void RequirePerson(Requester citizen)
    {
        if (citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            throw new FaultException(new(FaultKind.Denied, "What is told of a child is not shown to custodians."));
    }

    /// <exception cref="FaultException">The record refused the app or the person, or cannot be asked.</exception>
    private static async Task<T> WithinAsync<T>(Task<T> asked)
    {
        try
        {
            return await asked;
        }
        catch (RefusedException refused)
        {
            throw new FaultException(refused.Status == StatusCodes.Status403Forbidden ? new(FaultKind.Denied, "An app needs patient/Consent.rs to read messages, and patient/Consent.c to say that one was read.")
                : new(FaultKind.StoreUnavailable, "The record cannot be asked now. Try again."));
        }
    }
}
