using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/containments</c>: one operator, of any role, stops an organisation, a certificate, a professional, a citizen or a client at once, on every
/// gateway. The end takes two (<c>containment-end</c> of <see cref="OperatorActs"/>); of a client it is its registration, proposed anew.
/// </summary>
public static class OperatorContainments
{
    private sealed record Asked(string? Subject, string? Reason);

    public static void MapOperatorContainments(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null)
            return;
        app.MapGet("/operator/containments", static context => OperatorClients.AnswerAsync(context, null, static (services, _) => new(Results.Json(new
        {
            containments = services.GetRequiredService<ContainmentActs>().List().Contained
                .Select(static one => new { subject = one.Subject, reason = one.Reason, since = one.At, by = one.By.Name, breach_case = one.Case }),
        }))));
        app.MapPost("/operator/containments", static context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
        {
            var acts = services.GetRequiredService<ContainmentActs>();
            if (await OperatorClients.ReadAsync<Asked>(context) is not { Subject: { Length: > 0 and <= ContainmentActs.LongestSubject } named, Reason: { Length: > 0 and <= ContainmentActs.LongestReason } reason })
                return OperatorClients.Problem(context, 422, "Not understood", [$"Send {{\"subject\": who or what, \"reason\": why, in at most {ContainmentActs.LongestReason} characters}}. {acts.Forms}"]);
            var (isNamed, refusal) = await acts.ContainAsync(context, who, named, reason);
            return !isNamed ? OperatorClients.Problem(context, 422, "Nobody and nothing", [acts.Forms]) : refusal is { } why ? OperatorClients.Refuse(context, why) : Results.NoContent();
        }));
    }
}
