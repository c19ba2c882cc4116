using KantaGateway.Fhir.Interactions;
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
    public static void AddAdapters(this IServiceCollection services) => services.AddSingleton<OwnRegister>().AddSingleton<Hl7Messages>().AddSingleton<CdaDocuments>().AddSingleton<PracticeTables>().AddSingleton<CompositionDocuments>();

    /// <summary>By the table that the CapabilityStatement is generated from.</summary>
    public static void MapAdapters(this WebApplication app)
    {
        var services = app.Services;
        var pipeline = services.GetRequiredService<GatewayPipeline>();
        foreach (var route in RestRoutes.All.Where(static route => RestRoutes.IsOfAdapter(route.Interaction)))
        {
            RequestDelegate serve = route.Interaction switch
            {
                RestInteraction.Messages => services.GetRequiredService<Hl7Messages>().InvokeAsync,
                RestInteraction.Document => services.GetRequiredService<CdaDocuments>().InvokeAsync,
                RestInteraction.Table => services.GetRequiredService<PracticeTables>().InvokeAsync,
                RestInteraction.AsDocument => services.GetRequiredService<CompositionDocuments>().InvokeAsync,
                _ => throw new InvalidOperationException($"{route.Template} has nobody who serves it."),
            };
            // What is read can be asked for without its body.
            string[] methods = route.Method == "GET" ? ["GET", "HEAD"] : [route.Method];
            app.MapMethods("/fhir/" + route.Template.Replace("[id]", "{id}", StringComparison.Ordinal), methods, context => pipeline.InvokeAsync(context, serve)).WithMetadata(PassesDecision.Instance).ShortCircuit();
        }
    }

    /// <summary>The body of a request that may be one of these; otherwise it has been refused, and that recorded.</summary>
    public static async ValueTask<ReadOnlyMemory<byte>?> BodyAsync(HttpContext context, string[] types, string whose)
    {
        var request = context.Request;
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        Fault? fault = null;
        ReadOnlyMemory<byte> body = default;
        if (InteractionReader.CheckUrl(request) is { } badUrl)
            fault = badUrl;
        else if (requester.Kind == RequesterKind.Citizen)
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

    /// <summary>What of a request means something to those that are made of it.</summary>
    public static HeaderDictionary PassedOn(HttpContext context)
    {
        var headers = new HeaderDictionary();
        foreach (var name in new[] { InteractionReader.ServiceEventHeader, InteractionReader.EmployerHeader, "Accept-Language" })
            if (context.Request.Headers.TryGetValue(name, out var value))
                headers[name] = value;
        return headers;
    }
}
