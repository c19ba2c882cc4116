using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal;

/// <summary>What the addresses of version 1 have in common: who asks, bodies, answers and refusals.</summary>
internal static class JsonRequests
{
    /// <summary>Largest body, bytes: a Consent with a signed form is for saving, not for asking.</summary>
    private const int MaxBody = 64 * 1024;

    private static readonly JsonSerializerOptions Strict = new(JsonSerializerOptions.Strict) { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>How answers are written: what there is nothing to say of is absent.</summary>
    public static readonly JsonSerializerOptions Answers = new(JsonSerializerOptions.Web) { DefaultIgnoreCondition = System.Text.Json.Serialization.JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Identifies who asks, and answers; a refusal of either is recorded, with who it was once that is known, and answered.</summary>
    public static async Task AnswerAsync(HttpContext context, Func<HttpContext, Task<Requester>> identify, Func<HttpContext, Requester, Task> answer)
    {
        Requester? requester = null;
        try
        {
            requester = await identify(context);
            await answer(context, requester);
        }
        catch (FaultException refused) when (!context.Response.HasStarted)
        {
            await RefuseAsync(context, requester, refused.Fault);
        }
    }

    /// <summary>Who asks, by access token.</summary>
    /// <exception cref="FaultException">Nobody is identified.</exception>
    public static async Task<Requester> IdentifyAsync(HttpContext context)
    {
        var (requester, fault) = await context.RequestServices.GetRequiredService<IIdentification>().IdentifyAsync(context);
        return requester ?? throw new FaultException(fault ?? new(FaultKind.NotIdentified, "The caller is not identified."));
    }

    /// <summary>The citizen in her own session, which may be for another, and from no page of another site.</summary>
    /// <exception cref="FaultException">There is no session.</exception>
    public static Task<Requester> SessionAsync(HttpContext context)
    {
        RequireOwnSite(context);
        if (context.RequestServices.GetRequiredService<IIdentification>().PortalRequester(context) is not { } citizen)
            throw new FaultException(PortalSessions.AreAway(context) ? new(FaultKind.IdentificationUnavailable, "Sessions cannot be read at the moment. Try again.") : new(FaultKind.NotIdentified, "Sign in at the portal."));
        if (citizen.Self is { } self)
            OpenRequests.EnterSession(context, self);
        return WhoSeesWhatEndpoints.ActingAsync(context, citizen);
    }

    /// <exception cref="FaultException">A page of another site asks with the citizen's session.</exception>
    public static void RequireOwnSite(HttpContext context)
    {
        if (!OperatorSession.IsOwn(context.Request))
            throw new FaultException(new(FaultKind.Denied, "Not from a page of another site."));
    }

    /// <summary>Writes the answer; headers of its own are set before.</summary>
    public static async Task WriteAsync(HttpContext context, ReadOnlyMemory<byte> body, string type = "application/json")
    {
        context.Response.ContentType = type;
        context.Response.ContentLength = body.Length;
        await context.Response.Body.WriteAsync(body, context.RequestAborted);
    }

    /// <exception cref="FaultException">It is no JSON, or too long.</exception>
    public static async Task<ReadOnlyMemory<byte>> BodyAsync(HttpRequest request)
    {
        // A browser sends this from another site only after asking, and it is not let.
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase))
            throw new FaultException(new(FaultKind.UnsupportedMediaType, "Send application/json."));
        using var body = new MemoryStream();
        var buffer = new byte[8 * 1024];
        for (int read; (read = await request.Body.ReadAsync(buffer, request.HttpContext.RequestAborted)) > 0;)
        {
            body.Write(buffer, 0, read);
            if (body.Length > MaxBody)
                throw new FaultException(new(FaultKind.TooLarge, $"The body is larger than {MaxBody / 1024} KiB."));
        }
        return body.ToArray();
    }

    /// <exception cref="FaultException">The body has other members than this.</exception>
    public static T Read<T>(ReadOnlyMemory<byte> body) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(body.Span, Strict) ?? throw Invalid("The body is null.");
        }
        catch (JsonException wrong)
        {
            throw Invalid($"The body is not as it should be at {(wrong.Path is { Length: > 0 and <= 60 } path ? path : "$")}: the members are described in the portal's README.");
        }
    }

    /// <summary>What a Consent would declare, were it sent to be saved.</summary>
    /// <exception cref="FaultException">It would be refused as a resource, or is no declaration that the Act knows.</exception>
    public static Declaration DeclarationIn(JsonElement consent)
    {
        if (ResourceParser.Parse(JsonSerializer.SerializeToUtf8Bytes(consent)).Fault is { } malformed)
            throw new FaultException(malformed);
        var (declaration, objection) = DeclarationReader.Read(consent);
        return declaration ?? throw new FaultException(Refusals.FaultOf(objection));
    }

    public static FaultException Invalid(string what) => new(new(FaultKind.Invalid, what));

    /// <summary>Records the refusal and answers with it; where it cannot be recorded the answer says only that.</summary>
    /// <param name="requester">Null: not identified.</param>
    private static Task RefuseAsync(HttpContext context, Requester? requester, Fault fault) =>
        // That there were too many was recorded when it began.
        fault.Kind == FaultKind.TooMany ? FaultWriter.WriteAsync(context, fault)
            : context.RequestServices.GetRequiredService<DisclosureAudit>().RefuseAsync(context, requester, null, fault, fault.Kind.ToString());
}
