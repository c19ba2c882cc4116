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
                cases = cases.All.Select(one => (one, End: cases.EndOf(one.Number))).Select(static its => new
                {
                    number = its.one.Number, kind = its.one.Kind == BreachKind.Unrecorded ? "unrecorded" : "denied-data-shown", aware_at = its.one.AwareAt, what = its.one.What,
                    ended_at = its.End?.EndedAt, finding = its.End?.Finding,
                }),
            }));
        }));
    }
}
