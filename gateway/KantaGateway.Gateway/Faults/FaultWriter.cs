using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Faults;

/// <summary>The correlation id of a request: the caller's X-Request-Id where it can be one, else a new one.</summary>
public static class Correlation
{
    public const string RequestIdHeader = "X-Request-Id";

    /// <summary>At most 64 characters of <c>[A-Za-z0-9.-]</c>, the form of a FHIR id; the same value for the whole request.</summary>
    public static string Of(HttpContext context)
    {
        if (context.Features.Get<Id>() is { } known)
            return known.Value;
        var given = context.Request.Headers[RequestIdHeader].ToString();
        var id = given.Length is > 0 and <= 64 && given.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '.')
            && !PersonalIdentityCode.Occurs(given)
            ? given : Guid.NewGuid().ToString("D");
        context.Features.Set(new Id(id));
        context.Response.Headers[InternalHeaders.CorrelationId] = id;
        return id;
    }

    /// <summary>A request that is made for another has its id.</summary>
    public static void Continue(HttpContext outer, HttpContext inner) => inner.Features.Set(new Id(Of(outer)));

    private sealed record Id(string Value);
}

/// <summary>Writes a fault as the caller's kind of document: OperationOutcome on FHIR paths, ProblemDetails (RFC 9457) elsewhere.</summary>
public static class FaultWriter
{
    /// <summary>Answers with the fault. The response may not have started.</summary>
    public static Task WriteAsync(HttpContext context, Fault fault)
    {
        var correlation = Correlation.Of(context);
        var (status, _) = FaultTable.Of(fault.Kind);
        var response = context.Response;
        response.StatusCode = status;
        response.Headers[InternalHeaders.CorrelationId] = correlation;
        response.Headers.CacheControl = "no-store";
        if (fault.Kind == FaultKind.MethodNotAllowed)
            response.Headers.Allow = RestRoutes.Allowed(context.Request.Method, RestRoutes.Segments(context.Request.Path.Value!));
        if (fault.RetryAfter is { } wait)
            response.Headers.RetryAfter = ((long)wait.TotalSeconds).ToString(System.Globalization.CultureInfo.InvariantCulture);
        else if (status == StatusCodes.Status503ServiceUnavailable)
            response.Headers.RetryAfter = "1";
        if (!context.Request.Path.StartsWithSegments("/fhir"))
            return Results.Problem(fault.Issues.Count > 0 ? fault.Issues[0].Diagnostics : null, statusCode: status,
                extensions: new Dictionary<string, object?> { ["correlationId"] = correlation }).ExecuteAsync(context);
        return WriteAsync(context, FaultTable.ToOperationOutcome(fault, correlation, OutcomeLanguages.Of(context.Request.Headers.AcceptLanguage)));
    }

    /// <summary>Writes a resource of the gateway's own in the form that was agreed; status and other headers are set.</summary>
    /// <param name="json">Canonical JSON.</param>
    public static Task WriteAsync(HttpContext context, ReadOnlyMemory<byte> json)
    {
        var presentation = Negotiation.Of(context);
        var body = presentation.Apply(json);
        context.Response.ContentType = presentation.ContentType;
        context.Response.Headers.Vary = Negotiation.Vary;
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body, context.RequestAborted).AsTask();
    }

    /// <summary>The fault that an exception stands for; a bug is logged here, with the correlation id.</summary>
    public static Fault FaultOf(HttpContext context, Exception e)
    {
        switch (e)
        {
            case FaultException expected:
                return expected.Fault;
            case BadHttpRequestException bad:
                return new(bad.StatusCode == 413 ? FaultKind.TooLarge : FaultKind.Invalid, "The HTTP request is malformed or too large.");
            default:
                Log.Unexpected(context.RequestServices.GetRequiredService<ILoggerFactory>().CreateLogger("KantaGateway.Faults"), e.GetType().Name, e.StackTrace, Correlation.Of(context));
                return new(FaultKind.Unexpected, "Something went wrong on our side. Report the correlation id.");
        }
    }

    /// <summary>
    /// The outermost middleware: expected faults that surface as exceptions get their answer, bugs become a 500 that
    /// names nothing but the correlation id. After the first byte nothing can be repaired, so the connection is cut.
    /// </summary>
    public static IApplicationBuilder UseFaults(this IApplicationBuilder app) => app.Use(async (context, next) =>
    {
        try
        {
            await next(context);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The caller has gone; there is nobody to answer.
        }
        catch (Exception e)
        {
            var fault = FaultOf(context, e);
            if (context.Response.HasStarted)
            {
                context.Abort();
                return;
            }
            context.Response.Clear();
            await WriteAsync(context, fault);
        }
    });
}

static partial class Log
{
    // Without the exception's message: it may quote what came in.
    [LoggerMessage(Level = LogLevel.Error, Message = "Unexpected {Type}, correlation {Correlation}\n{Stack}")]
    public static partial void Unexpected(ILogger logger, string type, string? stack, string correlation);
}
