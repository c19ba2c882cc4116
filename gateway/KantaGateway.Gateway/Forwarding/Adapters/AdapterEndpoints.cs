using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>
/// What a clinic sends that is no FHIR: it is identified as any FHIR request, read by a pure function (<c>KantaGateway.Fhir</c>), and what that makes of it goes through steps 2
/// to 9 as if the clinic had sent it itself.
/// </summary>
static class AdapterEndpoints
{
    public static void AddAdapters(this IServiceCollection services) => services.AddSingleton<OwnRegister>().AddSingleton<Hl7Messages>().AddSingleton<CdaDocuments>().AddSingleton<PracticeTables>();

    public static void MapAdapters(this WebApplication app)
    {
        Map(app, "/fhir/$hl7v2", app.Services.GetRequiredService<Hl7Messages>().InvokeAsync);
        Map(app, "/fhir/$cda", app.Services.GetRequiredService<CdaDocuments>().InvokeAsync);
        Map(app, "/fhir/$table", app.Services.GetRequiredService<PracticeTables>().InvokeAsync);
    }

    private static void Map(WebApplication app, string path, RequestDelegate serve)
    {
        var pipeline = app.Services.GetRequiredService<GatewayPipeline>();
        app.MapPost(path, context => pipeline.InvokeAsync(context, serve)).WithMetadata(PassesDecision.Instance).ShortCircuit();
    }

    /// <summary>The body of a request that may be one of these; otherwise it has been refused, and that recorded.</summary>
    public static async ValueTask<ReadOnlyMemory<byte>?> BodyAsync(HttpContext context, string[] types, string whose)
    {
        var request = context.Request;
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        Fault? fault = null;
        ReadOnlyMemory<byte> body = default;
        if (requester.Kind == RequesterKind.Citizen)
            fault = new(FaultKind.Denied, $"{whose} come from a clinic's system.");
        else if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !types.Contains(type!.MediaType.Value ?? "", StringComparer.OrdinalIgnoreCase))
            fault = new(FaultKind.UnsupportedMediaType, $"{whose} have Content-Type {string.Join(" or ", types)}.", "http.Content-Type");
        else
            (body, fault) = await RequestBody.ReadAsync(request, context.RequestAborted);
        if (fault is null)
            return body;
        await context.RequestServices.GetRequiredService<DisclosureAudit>().RefuseAsync(context, requester, null, fault, "malformed");
        return null;
    }
}
