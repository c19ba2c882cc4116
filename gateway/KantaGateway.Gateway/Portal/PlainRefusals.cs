using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Core.Infrastructure;
using Microsoft.AspNetCore.Mvc.Filters;
using Microsoft.AspNetCore.Mvc.ModelBinding;
using Microsoft.AspNetCore.Mvc.ViewFeatures;

namespace KantaGateway.Gateway.Portal;

/// <summary>What went wrong, for a page that a frightened person can read.</summary>
/// <param name="Status">400, 403, 404, 429, 500 or 503: each has its texts.</param>
/// <param name="Reference">Correlation id for the support.</param>
internal sealed record Refusal(int Status, string Reference)
{
    /// <summary>Folds every status into those that have a page.</summary>
    internal static Refusal Of(int status, HttpContext context) => new(
        status switch
        {
            400 or 403 or 404 or 429 or 503 => status,
            410 => 404,
            409 or 412 or 422 or 428 => 400,
            502 or 504 => 503,
            _ => 500,
        },
        context.Response.Headers[InternalHeaders.CorrelationId].FirstOrDefault() ?? context.TraceIdentifier);
}

/// <summary>Turns faults, refused FHIR requests and bad form tokens into pages in the citizen's language.</summary>
internal sealed partial class PlainRefusals : IExceptionFilter, IAlwaysRunResultFilter
{
    public void OnException(ExceptionContext context)
    {
        var http = context.HttpContext;
        if (http.RequestAborted.IsCancellationRequested)
            return;
        var status = context.Exception switch
        {
            FaultException fault => FaultTable.Of(fault.Fault.Kind).Status,
            RefusedException refused => refused.Status,
            SharedStateException => StatusCodes.Status503ServiceUnavailable,
            _ => StatusCodes.Status500InternalServerError,
        };
        if (status == StatusCodes.Status500InternalServerError)
            PageFailed(http.RequestServices.GetRequiredService<ILogger<PlainRefusals>>(), context.Exception);
        context.Result = Page(status, http);
        context.ExceptionHandled = true;
    }

    public void OnResultExecuting(ResultExecutingContext context)
    {
        if (context.Result is IAntiforgeryValidationFailedResult)
            context.Result = Page(StatusCodes.Status400BadRequest, context.HttpContext);
    }

    public void OnResultExecuted(ResultExecutedContext context) { }

    /// <summary>The page of a status; an outage says when to come again.</summary>
    internal static ViewResult Page(int status, HttpContext http, string view = "/Portal/Pages/Shared/Refusal.cshtml")
    {
        var refusal = Refusal.Of(status, http);
        if (refusal.Status == StatusCodes.Status503ServiceUnavailable)
            http.Response.Headers.RetryAfter = "5";
        return new()
        {
            ViewName = view,
            StatusCode = refusal.Status,
            ViewData = new ViewDataDictionary<Refusal>(new EmptyModelMetadataProvider(), new ModelStateDictionary()) { Model = refusal },
        };
    }

    [LoggerMessage(1, LogLevel.Error, "A page of the portal failed")]
    private static partial void PageFailed(ILogger logger, Exception exception);
}
