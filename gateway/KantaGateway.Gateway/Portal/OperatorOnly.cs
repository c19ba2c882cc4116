using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc.Filters;

namespace KantaGateway.Gateway.Portal;

/// <summary>The page is the operators': a citizen's session is nothing to it.</summary>
/// <param name="needsSession">False for the page that offers to sign in.</param>
[AttributeUsage(AttributeTargets.Class)]
internal sealed class ForOperatorsAttribute(bool needsSession = true) : Attribute
{
    public bool NeedsSession => needsSession;
}

/// <summary>The signed-in operator of a page.</summary>
internal sealed record OperatorFeature(Operator Operator);

/// <summary>Lets only operators with the role for onboarding at the pages that are <see cref="ForOperatorsAttribute"/>; who is not signed in is sent to the start page.</summary>
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
                if (page.NeedsSession && !who.Roles.Contains(OperatorRole.Onboarding))
                    context.Result = PlainRefusals.Page(StatusCodes.Status403Forbidden, http);
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
