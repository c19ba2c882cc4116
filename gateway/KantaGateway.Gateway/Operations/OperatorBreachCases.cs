using System.Text.Json;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/breach-cases</c>: the cases of this gateway with their clocks and journals, for the data protection officer; any operator opens one. There is no address that changes
/// or removes a case or a line of its journal, or sets a clock.
/// </summary>
public static class OperatorBreachCases
{
    /// <summary>The steps that persons take, by the names that they have here.</summary>
    private static readonly Dictionary<string, BreachStepKind> Steps = CaseWork.Steps.ToDictionary(static kind => NameOf(kind), StringComparer.Ordinal);

    private sealed record Opened(string? What, DateTimeOffset? AwareAt);
    private sealed record Done(string? Kind, string? To, string? Reference, string? Note);

    public static void MapOperatorBreachCases(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach is not { } breach)
            return;
        app.MapGet("/operator/breach-cases", context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, (services, _) =>
        {
            var cases = services.GetRequiredService<BreachCases>();
            var now = services.GetRequiredService<TimeProvider>().GetUtcNow();
            return new(Results.Json(new { cases = cases.All.Select(one => Describe(one, cases, breach, now)) }));
        }));
        app.MapPost("/operator/breach-cases", context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
        {
            var opened = await OperatorClients.ReadAsync<Opened>(context);
            return await services.GetRequiredService<CaseWork>().OpenAsync(context, who, opened?.What, opened?.AwareAt) switch
            {
                ({ } one, _) => Results.Json(Describe(one, services.GetRequiredService<BreachCases>(), breach, services.GetRequiredService<TimeProvider>().GetUtcNow()), statusCode: 201),
                (_, CaseFault.Later) => OperatorClients.Problem(context, 422, "Not yet", ["A breach becomes known when it is opened, or before: aware_at is later than now."]),
                (_, CaseFault.IdentityCode) => OperatorClients.Problem(context, 422, "Personal data", [NoPersonalData]),
                _ => OperatorClients.Problem(context, 422, "Not understood", [$"Send {{\"what\": what was seen, without personal data, in at most {CaseWork.LongestText} characters}}, and \"aware_at\" where it was known earlier than now."]),
            };
        }));
        app.MapPost("/operator/breach-cases/{number:long}/steps", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            if (await OperatorClients.ReadAsync<Done>(context) is not { Kind: { } name } done || !Steps.TryGetValue(name, out var kind))
                return NotUnderstood(context);
            var cases = services.GetRequiredService<BreachCases>();
            return await services.GetRequiredService<CaseWork>().AddStepAsync(context, who, number, kind, done.To, done.Reference, done.Note) switch
            {
                ({ }, _) => Results.Json(Describe(cases.Find(number)!, cases, breach, services.GetRequiredService<TimeProvider>().GetUtcNow()), statusCode: 201),
                (_, CaseFault.IdentityCode) => OperatorClients.Problem(context, 422, "Personal data", [NoPersonalData]),
                (_, null) => OperatorClients.Problem(context, 404, "No such case", ["There is no breach case of that number."]),
                _ => NotUnderstood(context),
            };
        }));
    }

    private static IResult NotUnderstood(HttpContext context) => OperatorClients.Problem(context, 422, "Not understood",
        [$"Send {{\"kind\": one of {string.Join(", ", Steps.Keys)}}}; what was sent to an authority with \"to\" and \"reference\" in at most {CaseWork.LongestName} characters each, the others with \"note\" in at most {CaseWork.LongestText}. When it was done is now."]);

    internal const string NoPersonalData = "A case names nobody: what looks like an identity code has to go.";

    private static string NameOf<T>(T value) where T : struct, Enum => JsonNamingPolicy.KebabCaseLower.ConvertName(value.ToString());

    private static object Describe(BreachCase one, BreachCases cases, BreachOptions options, DateTimeOffset now)
    {
        var (end, steps) = (cases.EndOf(one.Number), cases.StepsOf(one.Number));
        DateTimeOffset? answerBy = one.Kind == BreachKind.DisputedAccess ? DisputeWatch.DueOf(one, options) : null;
        return new
        {
            number = one.Number, kind = NameOf(one.Kind), aware_at = one.AwareAt, what = one.What, opened_by = one.OpenedBy ?? "gateway", opened_at = one.OpenedAt ?? one.AwareAt,
            clocks = BreachClocks.Of(one, steps, end, TimeSpan.FromHours(options.PersonsWithinHours), now).Select(static clock => new
            {
                clock = NameOf(clock.Kind), due = clock.Due, state = NameOf(clock.State), late = clock.IsLate,
                done_at = clock.DoneBy?.At, done_by = clock.DoneBy?.By, to = clock.DoneBy?.To, reference = clock.DoneBy?.Reference,
            }),
            steps = steps.Select(static step => new { number = step.Number, kind = NameOf(step.Kind), at = step.At, by = step.By, to = step.To, reference = step.Reference, note = step.Note }),
            ended_at = end?.EndedAt, finding = end?.Finding, answer_by = answerBy, overdue = end is null && answerBy is { } due ? now >= due : (bool?)null,
        };
    }
}
