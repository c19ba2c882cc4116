using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Filters;

namespace KantaGateway.Gateway.Portal;

/// <summary>The page shows nothing of anybody and needs no session. Every page without it does, and those of operators need theirs.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class OpenToAllAttribute : Attribute;

/// <summary>
/// Lets only a signed-in citizen through and puts the requester on the request; others are sent to the start page, which
/// says why.
/// </summary>
/// <remarks>Comes before the check of the form's token: whoever posts after the session ended is told so, not that the form is bad.</remarks>
internal sealed class CitizenOnly : IAuthorizationFilter, IOrderedFilter
{
    public int Order => -1000;

    public void OnAuthorization(AuthorizationFilterContext context)
    {
        // Theirs is the operator's session, which OperatorOnly sees to.
        if (context.ActionDescriptor.EndpointMetadata.OfType<ForOperatorsAttribute>().Any())
            return;
        var http = context.HttpContext;
        if (http.RequestServices.GetRequiredService<IIdentification>().PortalRequester(http) is { } requester)
        {
            http.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
            return;
        }
        var isOpen = context.ActionDescriptor.EndpointMetadata.OfType<OpenToAllAttribute>().Any();
        // A form's token is the session's too, and without it would be called bad.
        if (PortalSessions.AreAway(http) && !(isOpen && HttpMethods.IsGet(http.Request.Method)))
        {
            context.Result = PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, http);
            return;
        }
        if (isOpen)
            return;
        Notices.Leave(http, http.Request.Cookies.ContainsKey(PortalSessions.CookieName) ? "session-ended" : "sign-in-first");
        context.Result = new SeeOtherResult("/");
    }
}

/// <summary>303: the next request is a GET, whatever this one was.</summary>
internal sealed class SeeOtherResult(string location) : ActionResult
{
    public string Location => location;

    public override void ExecuteResult(ActionContext context)
    {
        context.HttpContext.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.HttpContext.Response.Headers.Location = location;
    }
}
