using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>GET /records/v1/rectifications/waiting</c>: to a controller, the requests for rectification that wait in its own register, those first whose answer is due soonest (GDPR Art. 12(3)); of occupational care in
/// that of one employer (<c>X-Employer</c>). Whoever asks is shown what a search of each of those people would show, by that very search: each is decided, counted and on record as any.
/// </summary>
internal static class RectificationsToAnswer
{
    /// <summary>Most people whose records one list looks into, those marked longest ago.</summary>
    private const int MaxListed = 50;

    /// <param name="Request">Reference of its Communication.</param>
    /// <param name="Patient">Reference of the Patient.</param>
    /// <param name="State"><c>open</c>, <c>late</c> or <c>delayed</c>.</param>
    /// <param name="Sent">When the request came: the month runs from then.</param>
    private sealed record WaitingRequest(string Request, string Patient, string State, DateTimeOffset Sent, DateTimeOffset AnswerBy);

    /// <param name="IsWhole">Whether these are all; else ask again when some of them are answered, or later.</param>
    private sealed record WaitingAnswer(DateTimeOffset AsOf, bool IsWhole, IEnumerable<WaitingRequest> Requests);

    public static void MapRectificationsToAnswer(this IEndpointRouteBuilder app, PortalEndpoint marker) =>
        app.MapGet("/records/v1/rectifications/waiting", static context => JsonRequests.AnswerAsync(context, JsonRequests.IdentifyAsync, AnswerAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("waiting-rectifications", ApiCallersAttribute.Clinic, "To a controller: the requests for rectification that wait for its answer.", typeof(WaitingAnswer));

    private static async Task AnswerAsync(HttpContext context, Requester requester)
    {
        if (requester.Kind is not (RequesterKind.System or RequesterKind.Professional))
            throw new FaultException(Refusals.FaultOf(DenyReason.NoLegalBasis));
        var search = new Interaction { Kind = InteractionKind.Search, Type = "Communication", Compartment = Pseudonym.Directory, Needs = [("Communication", 's')] };
        if (ConsentDecision.Decide(requester, search, PolicySnapshot.Empty, null, context.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow()) is Decision.Deny deny)
            throw new FaultException(Refusals.FaultOf(deny.Reason));
        context.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
        var employer = context.Request.Headers[InteractionReader.EmployerHeader];
        var register = employer.Count == 0 ? Register.Patient
            : Oid.TryParse(employer.ToString(), out var oid) ? Register.Occupational(oid.ToString()) : throw new FaultException(new(FaultKind.Invalid, $"{InteractionReader.EmployerHeader} is an OID.", $"http.{InteractionReader.EmployerHeader}"));
        var (services, trail) = (context.RequestServices, context.RequestServices.GetRequiredService<RectificationTrail>());
        var (now, ids, rectifications) = (services.GetRequiredService<TimeProvider>().GetUtcNow(), services.GetRequiredService<IdentifierCipher>(), services.GetRequiredService<Rectifications>());
        var marks = trail.Of(new(requester.Organisation.ToString(), register));
        var (waiting, isWhole) = (new List<WaitingRequest>(), marks.Count <= MaxListed);
        // Whose token shows but a part does not know that nothing waits.
        var seesAll = TokenReach.Of(requester).Filters(requester, search) is null;
        foreach (var mark in marks.Take(MaxListed))
        {
            IReadOnlyList<RectificationRequest> asked;
            try
            {
                asked = await rectifications.ListAsync(requester, mark.Person, new HeaderDictionary { [InteractionReader.EmployerHeader] = employer }, context.RequestAborted);
            }
            catch (RefusedException refused) when (refused.Status < StatusCodes.Status500InternalServerError)
            {
                // Too many people at a time, above all: what was found is told, and that it is not all.
                isWhole = false;
                break;
            }
            catch (RefusedException)
            {
                throw new FaultException(new(FaultKind.StoreUnavailable, "The records cannot be asked now. Try again."));
            }
            if (seesAll && asked.Count > 0 && asked.All(static one => one.IsSettled))
                trail.Settled(mark);
            waiting.AddRange(asked.Where(static one => !one.IsSettled).Select(one => new WaitingRequest("Communication/" + one.Id, "Patient/" + ids.PatientId(mark.Person), Rectifications.StateOf(one, now), one.At, one.AnswerBy)));
        }
        context.Response.Headers.CacheControl = "no-store";
        await JsonRequests.WriteAsync(context, JsonSerializer.SerializeToUtf8Bytes(new WaitingAnswer(now, isWhole, waiting.OrderBy(static one => one.AnswerBy)), JsonSerializerOptions.Web));
    }
}
