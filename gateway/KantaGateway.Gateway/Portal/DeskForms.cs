using System.Text;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// <c>POST /consent/v1/print</c>: to a clinic's system, the form that a person signs at the desk (Act 703/2023 §58), of the Consent that it is about to send: who, what,
/// when, the informing text, what it covers and how to revoke it, in the language of <c>Accept-Language</c>. It stores nothing and shows nothing but what is sent.
/// </summary>
internal static class DeskForms
{
    private sealed record FormBody(JsonElement Consent);

    public static void MapDeskForms(this IEndpointRouteBuilder app, PortalEndpoint marker) =>
        app.MapPost("/consent/v1/print", static context => JsonRequests.AnswerAsync(context, JsonRequests.IdentifyAsync, AnswerAsync)).WithMetadata(marker, PassesDecision.Instance)
            .Describe("print-form", ApiCallersAttribute.Clinic, "To a clinic: the form that a person signs at the desk.", typeof(string), typeof(FormBody), "text/html");

    private static async Task AnswerAsync(HttpContext context, Requester requester)
    {
        var services = context.RequestServices;
        if (requester.Kind == RequesterKind.Citizen)
            throw new FaultException(new(FaultKind.Denied, "This is a clinic's form. The person prints at the portal, at /consent/print."));
        var interaction = new Interaction { Kind = InteractionKind.Validate, Type = "Consent", Compartment = Pseudonym.Directory, Needs = [("Consent", 'r')] };
        var now = services.GetRequiredService<TimeProvider>().GetUtcNow();
        var decision = ConsentDecision.Decide(requester, interaction, PolicySnapshot.Empty, null, now);
        if (decision is not Decision.Permit permit)
            throw new FaultException(Refusals.FaultOf(decision is Decision.Deny deny ? deny.Reason : DenyReason.NoLegalBasis));
        var consent = JsonRequests.Read<FormBody>(await JsonRequests.BodyAsync(context.Request)).Consent;
        var html = Encoding.UTF8.GetBytes(FormOf(services, requester, consent, now) ?? throw new FaultException(Refusals.FaultOf(DenyReason.UnknownDeclaration)));
        context.Response.Headers[Receipt.Header] = await services.GetRequiredService<DisclosureAudit>()
            .OutcomeAsync(context, requester, interaction, permit, PolicySnapshot.Empty, now, StatusCodes.Status200OK, null);
        await JsonRequests.WriteAsync(context, html, "text/html; charset=utf-8");
    }

    /// <returns>Null: what is recorded of an access is not signed by the person.</returns>
    private static string? FormOf(IServiceProvider services, Requester requester, JsonElement consent, DateTimeOffset now)
    {
        var (texts, prints) = (services.GetRequiredService<Texts>(), services.GetRequiredService<PrintedDeclarations>());
        var declaration = JsonRequests.DeclarationIn(consent);
        // The desk knows a visit by its OID, and the form may not be looked up in a record that it does not see.
        var what = (declaration as DisclosureDenial)?.Target switch
        {
            null => null,
            DenialTarget.OfServiceEvent(var oid) => texts["consent.denial.event", oid],
            DenialTarget.OfPrescription(var id) => texts["consent.denial.prescription", id],
            var target => services.GetRequiredService<DenialChoices>().Describe(target, []),
        };
        return prints.Of(declaration, what, Informing.CurrentTextVersion, now) is { } printed
            ? prints.Form(printed, consent.At("patient")?.String("display"), requester.OrganisationName) : null;
    }
}
