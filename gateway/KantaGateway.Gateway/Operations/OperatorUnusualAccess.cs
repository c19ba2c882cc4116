using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>GET /operator/unusual-access</c>, for the data protection officer: who opens only justified patients because a breadth budget is used up, and whose accesses of the last day are unusual, with why. As this gateway has seen it; of no patient.
/// </summary>
public static class OperatorUnusualAccess
{
    public static void MapOperatorUnusualAccess(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach is null)
            return;
        app.MapGet("/operator/unusual-access", static context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, static (services, _) => new(Results.Json(new
        {
            stepped_down = (services.GetService<BreadthBudgets>()?.InForce ?? []).Select(static one => new
            {
                of = BreadthBudgets.NameOf(one.Of), organisation = one.Organisation, client_id = one.ClientId, professional = one.Professional,
                window_seconds = one.Window?.Seconds, allowed = one.Window?.Most, until = one.Until,
            }),
            requesters = services.GetRequiredService<Signs>().Of().Select(static one => new
            {
                client_id = one.ClientId, organisation = one.Organisation, professional = one.Professional, score = one.Score,
                signs = one.Signs.Select(static its => new { sign = Signs.NameOf(its.Sign), weight = its.Times, last_at = its.Last, why = Signs.Explain(its.Sign) }),
            }),
        }))));
    }
}
