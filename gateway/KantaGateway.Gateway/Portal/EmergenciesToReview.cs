using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>GET /consent/v1/emergencies</c>: to a professional, the emergencies of the own organisation that nobody has settled and that the professional may settle
/// (EHDS Art. 11(5)), those first that have to be settled soonest. Nobody but the person reads Consents; of these it tells what a review has to name and is about,
/// and nothing of the record. Each person finds it among who has looked.
/// </summary>
internal static class EmergenciesToReview
{
    /// <param name="Emergency">Reference of its Consent.</param>
    /// <param name="Patient">Reference of the Patient.</param>
    private sealed record EmergencyAnswer(string Emergency, string Patient, string Professional, string? Unit, string Reason, DateTimeOffset Recorded, DateTimeOffset? Until, DateTimeOffset SettleBy);

    private sealed record EmergenciesAnswer(DateTimeOffset AsOf, IEnumerable<EmergencyAnswer> Emergencies);

    public static void MapEmergenciesToReview(this IEndpointRouteBuilder app, PortalEndpoint marker) =>
        app.MapGet("/consent/v1/emergencies", static context => JsonRequests.AnswerAsync(context, JsonRequests.IdentifyAsync, AnswerAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("emergencies", ApiCallersAttribute.Clinic, "To a professional: the emergencies of the own organisation that wait for their review.", typeof(EmergenciesAnswer));

    private static async Task AnswerAsync(HttpContext context, Requester requester)
    {
        var services = context.RequestServices;
        var now = services.GetRequiredService<TimeProvider>().GetUtcNow();
        var interaction = new Interaction { Kind = InteractionKind.Search, Type = "Consent", Compartment = Pseudonym.Directory, Needs = [("Consent", 's')] };
        if (ConsentDecision.Decide(requester, interaction, PolicySnapshot.Empty, null, now) is Decision.Deny deny)
            throw new FaultException(Refusals.FaultOf(deny.Reason));
        // Who could settle none is told of none.
        if (!ConsentDecision.MayReview(requester, OfAnother(requester)))
            throw new FaultException(Refusals.FaultOf(DenyReason.NoReview));
        var waiting = await services.GetRequiredService<EmergencyTrail>().WaitingForAsync(context, requester);
        var ids = services.GetRequiredService<IdentifierCipher>();
        var body = JsonSerializer.SerializeToUtf8Bytes(new EmergenciesAnswer(now, waiting.SelectMany(one => one.Emergencies.Select(emergency => new EmergencyAnswer(
            "Consent/" + emergency.Id, "Patient/" + ids.PatientId(one.Person), emergency.Professional, emergency.Unit, Declarations.ReasonCodes.First(known => known.Value == emergency.Reason).Key,
            emergency.At, emergency.Until, emergency.At + EmergencyAccess.ReviewedWithin))).OrderBy(one => one.SettleBy)), JsonSerializerOptions.Web);
        if (waiting.Count > 0)
            context.Response.Headers[Receipt.Header] = await services.GetRequiredService<DisclosureAudit>().ReviewableAsync(context, requester, waiting);
        context.Response.Headers.CacheControl = "no-store";
        await JsonRequests.WriteAsync(context, body);
    }

    /// <summary>An emergency of somebody else in no unit of the organisation: whoever may settle any may settle this.</summary>
    private static EmergencyAccess OfAnother(Requester reviewer) => new()
    { At = default, Professional = "", Organisation = reviewer.Organisation.ToString(), Reason = EmergencyReason.CannotBeAsked };
}
