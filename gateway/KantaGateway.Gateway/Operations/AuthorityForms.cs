using System.Globalization;
using System.Text.Json;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>GET /operator/breach-cases/{number}/authority/{form}</c>: what an authority is to be told, as JSON or PDF, filled in as far as the gateway knows it: the content of GDPR Art. 33(3), and the
/// first word, the notification and the final report of Act 124/2025 §11. It names nobody; what is not known yet says so, for it may follow in phases (Art. 33(4)).
/// </summary>
public static class AuthorityForms
{
    private static readonly Dictionary<string, BreachClockKind> Forms = new(StringComparer.Ordinal)
    {
        ["data-protection"] = BreachClockKind.DataProtectionAuthority, ["early-warning"] = BreachClockKind.EarlyWarning,
        ["incident-notification"] = BreachClockKind.IncidentNotification, ["final-report"] = BreachClockKind.FinalReport,
    };

    public static void MapAuthorityForms(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach is not { } breach)
            return;
        app.MapGet("/operator/breach-cases/{number:long}/authority/{form}", (HttpContext context, long number, string form, string? language) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            var (name, format) = form.Split('.', 2) is [var stem, var end] ? (stem, end) : (form, "");
            if (!Forms.TryGetValue(name, out var kind) || format is not ("json" or "pdf") || (language is not null && !Texts.Languages.Any(known => known.Code == language)))
                return OperatorClients.Problem(context, 404, "No such form", [$"The forms are {string.Join(", ", Forms.Keys)}, each with .json or .pdf, and ?language= fi, sv or en."]);
            var cases = services.GetRequiredService<BreachCases>();
            if (cases.Find(number) is not { } about)
                return OperatorClients.Problem(context, 404, "No such case", ["There is no breach case of that number."]);
            var now = services.GetRequiredService<TimeProvider>().GetUtcNow();
            var (steps, totals) = (cases.StepsOf(number), services.GetService<BreachNotices>()?.TotalsOf(number));
            var clock = BreachClocks.Of(about, steps, cases.EndOf(number), TimeSpan.FromHours(breach.PersonsWithinHours), now).Single(one => one.Kind == kind);
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Exports the form {name} of breach case {number}."), null, null);
            if (format == "json")
                return Results.Json(new
                {
                    form = name, controller = options.Identification.Citizens.ServiceName, @case = number, kind = JsonNamingPolicy.KebabCaseLower.ConvertName(about.Kind.ToString()), aware_at = about.AwareAt, opened_at = about.OpenedAt ?? about.AwareAt, exported_at = now,
                    due = clock.Due, late = IsLate(clock),
                    nature = about.What, persons_approximately = totals?.Persons, records_approximately = totals?.Items, categories = totals?.Types, contact = totals?.Words.Contact,
                    consequences = totals?.Words.Fi.Consequences, measures = totals?.Words.Fi.Measures,
                    journal = steps.Select(static step => new { at = step.At, step = JsonNamingPolicy.KebabCaseLower.ConvertName(step.Kind.ToString()), to = step.To, reference = step.Reference, note = step.Note }),
                    finding = cases.EndOf(number)?.Finding,
                });
            var pdf = NoticeLetters.Speaking(language ?? "fi", () => Print(name, about, clock, steps, cases.EndOf(number), totals, options.Identification.Citizens.ServiceName, now, services.GetRequiredService<Texts>(), language ?? "fi"));
            return Results.File(pdf, "application/pdf", string.Create(CultureInfo.InvariantCulture, $"{name}-{number}.pdf"));
        }));
    }

    private static bool IsLate(BreachClock clock) => clock.State == BreachClockState.Overdue || clock.IsLate;

    private static byte[] Print(string name, BreachCase about, BreachClock clock, IReadOnlyList<BreachStep> steps, BreachCaseEnd? end, NoticeTotals? totals, string controller, DateTimeOffset now, Texts texts, string language)
    {
        string Known(string? value) => value is { Length: > 0 } ? value : texts["form.unknown"];
        var words = totals?.Words.In(language);
        return PrintedForm.Write(texts[$"form.{name}"],
        [
            (texts["form.controller"], controller),
            (texts["form.case"], string.Create(CultureInfo.InvariantCulture, $"{about.Number}")),
            (texts["form.aware"], Dates.Minute(about.AwareAt)),
            (texts["form.due"], Dates.Minute(clock.Due) + (IsLate(clock) ? $" ({texts["form.late"]})" : "")),
            (texts["form.nature"], about.What),
            (texts["form.persons"], Known(totals?.Persons.ToString(CultureInfo.InvariantCulture))),
            (texts["form.records"], Known(totals?.Items.ToString(CultureInfo.InvariantCulture))),
            (texts["form.categories"], Known(totals is null ? null : string.Join(", ", totals.Types.Select(type => $"{texts.Find($"type.{type.Key}") ?? texts["type.other"]} ({type.Value})")))),
            (texts["form.contact"], Known(totals?.Words.Contact)),
            (texts["form.consequences"], Known(words?.Consequences)),
            (texts["form.measures"], Known(words?.Measures)),
            (texts["form.journal"], steps.Count == 0 ? texts["form.unknown"] : string.Join('\n', steps.Select(static step =>
                string.Join(" · ", new[] { Dates.Minute(step.At), JsonNamingPolicy.KebabCaseLower.ConvertName(step.Kind.ToString()), step.To, step.Reference, step.Note }.Where(static part => part is { Length: > 0 }))))),
            (texts["form.finding"], Known(end?.Finding)),
            (texts["form.exported"], Dates.Minute(now)),
        ]);
    }
}
