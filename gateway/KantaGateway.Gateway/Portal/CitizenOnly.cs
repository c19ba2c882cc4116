using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.Filters;

namespace KantaGateway.Gateway.Portal;

/// <summary>The page shows nothing of anybody and needs no session. Every page without it does, and those of operators need theirs.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class OpenToAllAttribute : Attribute;

/// <summary>The page asks for nobody's record: for whom the citizen acts is told on it, and not asked anew.</summary>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class WithoutRecordAttribute : Attribute;

/// <summary>For whom the citizen acts, where it is only told: nothing may be opened by it.</summary>
/// <param name="Person">Null: for herself.</param>
internal sealed record ToldFeature(RepresentedPerson? Person);

/// <summary>
/// Lets only a signed-in citizen through and puts the requester on the request, with the person for whom she acts; others are sent to the start page,
/// which says why.
/// </summary>
/// <remarks>Comes before the check of the form's token: whoever posts after the session ended is told so, not that the form is bad.</remarks>
internal sealed class CitizenOnly : IAsyncAuthorizationFilter, IOrderedFilter
{
    public int Order => -1000;

    public async Task OnAuthorizationAsync(AuthorizationFilterContext context)
    {
        // Theirs is the operator's session, which OperatorOnly sees to.
        if (Has<ForOperatorsAttribute>(context))
            return;
        var http = context.HttpContext;
        if (http.RequestServices.GetRequiredService<IIdentification>().PortalRequester(http) is { } requester)
        {
            if (requester.Self is { } self)
                OpenRequests.EnterSession(http, self);
            try
            {
                context.Result = await AdmitAsync(http, requester, Has<WithoutRecordAttribute>(context));
            }
            catch (Exception outage) when (outage is FaultException or SharedStateException)
            {
                // It is not known for whom the page would be.
                context.Result = PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, http);
            }
            return;
        }
        var isOpen = Has<OpenToAllAttribute>(context);
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

    /// <returns>What to answer instead of the page; null: the page.</returns>
    private static async Task<IActionResult?> AdmitAsync(HttpContext http, Requester requester, bool isWithoutRecord)
    {
        if (http.RequestServices.GetService<Representations>() is { } representations)
        {
            if (isWithoutRecord)
                http.Features.Set(new ToldFeature(await representations.ToldAsync(requester)));
            else
                switch (await representations.OfAsync(http, requester))
                {
                    case Standing.Oneself:
                        break;
                    case Standing.For(var person):
                        requester = requester with { OnBehalfOf = person };
                        break;
                    case Standing.Ended ended:
                        Notices.Leave(http, ended.IsRefused ? "acting-ended" : "acting-expired");
                        return new SeeOtherResult(OnBehalf.PagePath);
                    case Standing.Unknown(var person):
                        http.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
                        http.Features.Set(new ToldFeature(person));
                        return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, http, "/Portal/Pages/Shared/Representation.cshtml");
                }
        }
        http.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
        return null;
    }

    private static bool Has<T>(AuthorizationFilterContext context) => context.ActionDescriptor.EndpointMetadata.OfType<T>().Any();
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
