using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc.Filters;

namespace KantaGateway.Gateway.Portal;

/// <summary>The page is the operators': a citizen's session is nothing to it.</summary>
/// <param name="roles">Who has one of them may open it. None: the page offers to sign in, and needs no session.</param>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class ForOperatorsAttribute(params OperatorRole[] roles) : Attribute
{
    public IReadOnlyList<OperatorRole> Roles => roles;

    public bool NeedsSession => roles.Length > 0;
}

/// <summary>The signed-in operator of a page.</summary>
internal sealed record OperatorFeature(Operator Operator);

/// <summary>Lets only operators with a role that it names at a page that is <see cref="ForOperatorsAttribute"/>; who is not signed in is sent to the start page.</summary>
internal sealed class OperatorOnly : IAsyncAuthorizationFilter, IOrderedFilter
{
    public int Order => -1000;

    public async Task OnAuthorizationAsync(AuthorizationFilterContext context)
    {
        if (context.ActionDescriptor.EndpointMetadata.OfType<ForOperatorsAttribute>().FirstOrDefault() is not { } page)
            return;
        var http = context.HttpContext;
        try
        {
            if (await OperatorSessions.OfAsync(http) is { } who)
            {
                http.Features.Set(new OperatorFeature(who));
                if (page.NeedsSession && !page.Roles.Any(who.Roles.Contains))
                    // Who signs in comes to one page; it may be another role's.
                    context.Result = http.Request.Path == OperatorSignIn.HomePath && HttpMethods.IsGet(http.Request.Method)
                        ? new SeeOtherResult(OperatorSections.FirstFor(who, http.RequestServices.GetRequiredService<GatewayOptions>())) : PlainRefusals.Page(StatusCodes.Status403Forbidden, http);
            }
            else if (page.NeedsSession)
                context.Result = new SeeOtherResult(OperatorSignIn.StartPath);
        }
        catch (FaultException outage)
        {
            context.Result = PlainRefusals.Page(FaultTable.Of(outage.Fault.Kind).Status, http);
        }
    }
}
