using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary><c>GET /operator/breach-cases</c>: the cases of this gateway, for the data protection officer. There is no address that changes or removes one.</summary>
public static class OperatorBreachCases
{
    public static void MapOperatorBreachCases(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach is null)
            return;
        app.MapGet("/operator/breach-cases", static context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, static (services, _) =>
        {
            var cases = services.GetRequiredService<BreachCases>();
            return new(Results.Json(new
            {
                cases = cases.All.Select(one => new
                {
                    number = one.Number, kind = one.Kind == BreachKind.Unrecorded ? "unrecorded" : "denied-data-shown", aware_at = one.AwareAt, what = one.What,
                    ended_at = cases.Ends.FirstOrDefault(end => end.Number == one.Number)?.EndedAt, finding = cases.Ends.FirstOrDefault(end => end.Number == one.Number)?.Finding,
                }),
            }));
        }));
    }
}
