using System.Reflection;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc;
using Microsoft.OpenApi;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// The description (OpenAPI) of what other portals and apps ask instead of pages: the portal's JSON addresses, as they are mapped, and where FHIR has the rest. Version 1 gets further
/// addresses and members, and nothing of it is taken away.
/// </summary>
internal static class ApiDescription
{
    private const string Version = "v1", AnyType = "*/*";

    public static void AddApiDescription(this IServiceCollection services, GatewayOptions options) => services.AddOpenApi(Version, description =>
    {
        description.ShouldInclude = static api => api.ActionDescriptor.EndpointMetadata.OfType<EndpointNameAttribute>().Any();
        description.AddOperationTransformer(static (operation, context, _) =>
        {
            operation.RequestBody?.Content?.Remove(AnyType);
            // One of them is enough.
            operation.Security = [.. context.Description.ActionDescriptor.EndpointMetadata.OfType<ApiCallersAttribute>().Single().Schemes
                .Select(scheme => new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(scheme, context.Document)] = [] })];
            return Task.CompletedTask;
        });
        description.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new()
            {
                Title = "KantaGateway, for portals and apps of citizens", Version = "1",
                Description = "Records, declarations (Consent) and their history are FHIR R4 at /fhir, as its CapabilityStatement at /fhir/metadata says, under SMART App Launch scopes (/.well-known/smart-configuration). Here is what stands beside it.",
            };
            document.ExternalDocs = new() { Url = new(options.PublicAddress + "/fhir/metadata"), Description = "CapabilityStatement of the FHIR part" };
            document.Servers = [new() { Url = options.PublicAddress }];
            document.AddComponent(ApiCallersAttribute.Session, new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Cookie, Name = PortalSessions.CookieName, Description = "The person's own session at the portal." });
            document.AddComponent(ApiCallersAttribute.Token, new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", Description = "Access token of an app that the person lets ask (SMART App Launch), or of a clinic's system or professional, bound to a certificate or key." });
            return Task.CompletedTask;
        });
    });

    /// <summary>At <c>/openapi/v1.json</c>.</summary>
    public static void MapApiDescription(this IEndpointRouteBuilder app, PortalEndpoint marker) => app.MapOpenApi("/openapi/{documentName}.json").WithMetadata(marker);

    /// <summary>Describes an address.</summary>
    /// <param name="name">Of the operation, unique.</param>
    /// <param name="callers">By what they are known who may ask.</param>
    /// <param name="answer">Of a success; null: nothing.</param>
    /// <param name="body">Of the request; null: none.</param>
    /// <param name="type">Media type of the answer.</param>
    /// <param name="status">Of a success with an answer.</param>
    public static void Describe(this IEndpointConventionBuilder endpoint, string name, ApiCallersAttribute callers, string summary, Type? answer, Type? body = null, string type = "application/json", int status = StatusCodes.Status200OK)
    {
        // Handlers take the request as it is; this is by what the framework finds an endpoint to describe.
        endpoint.WithMetadata(((Delegate)Described).GetMethodInfo(), new EndpointNameAttribute(name), new EndpointSummaryAttribute(summary), callers);
        endpoint.WithMetadata(answer is null ? new ProducesResponseTypeMetadata(StatusCodes.Status204NoContent, typeof(void)) : new ProducesResponseTypeMetadata(status, answer, [type]));
        if (body is not null)
            // Any type, or the router would refuse others by itself, without a word of what to change.
            endpoint.WithMetadata(new AcceptsMetadata(["application/json", AnyType], body));
        foreach (var refusal in (int[])[StatusCodes.Status400BadRequest, StatusCodes.Status401Unauthorized, StatusCodes.Status403Forbidden, StatusCodes.Status404NotFound, StatusCodes.Status503ServiceUnavailable])
            endpoint.WithMetadata(new ProducesResponseTypeMetadata(refusal, typeof(ProblemDetails), ["application/problem+json"]));
    }

    private static Task Described(HttpContext context) => Task.CompletedTask;
}

/// <summary>By what those are known who may ask an address: names of security schemes of the description, of which one is enough.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class ApiCallersAttribute(params string[] schemes) : Attribute
{
    public const string Session = "session", Token = "token";

    /// <summary>The person in her session; a clinic or a professional by token; the person in her session or an app of hers by token.</summary>
    public static readonly ApiCallersAttribute Person = new(Session), Clinic = new(Token), PersonOrApp = new(Session, Token);

    public IReadOnlyList<string> Schemes => schemes;
}
