using System.Globalization;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/breach-cases/{number}/notices</c>: drafts, sends and counts the notices of a case, and <c>/letters</c> writes those for paper; for the data protection officer. People are
/// named by <c>Patient/[id]</c> or by identity code; no answer says who they are, nor whether the gateway knows them.
/// </summary>
public static class OperatorNotices
{
    private const int LongestBody = 4 * 1024 * 1024, MostPeople = 10_000, LongestText = 4_000;

    private const string Patient = "Patient/";

    private sealed record Sending(NoticeWords? Words, IReadOnlyList<Named>? Persons);

    private sealed record Named(string? Patient, string? IdentityCode, IReadOnlyList<Item>? Items, string? Reach, string? Language);

    private sealed record Item(string? Type, string? Id, string? Version, string? Controller);

    public static void MapOperatorNotices(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach?.Notices is null)
            return;
        app.MapPost("/operator/breach-cases/{number:long}/notices/drafts", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, _) =>
            await OperatorClients.ReadAsync<Sending>(context, LongestBody) is not { Words: { } words } || Fault(words) is { } ? OperatorClients.Problem(context, 422, "Not understood", [Form])
            : services.GetRequiredService<BreachCases>().Find(number) is null ? NoCase(context)
            : Results.Json(Texts.Languages.ToDictionary(static language => language.Code, language =>
                NoticeLetters.Draft(words, options.Identification.Citizens.ServiceName, services.GetRequiredService<TimeProvider>().GetUtcNow(), language.Code, services.GetRequiredService<Texts>())))));
        app.MapGet("/operator/breach-cases/{number:long}/notices", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, (services, _) =>
        {
            if (services.GetRequiredService<BreachCases>().Find(number) is null)
                return new(NoCase(context));
            var count = services.GetRequiredService<BreachNotices>().CountOf(number);
            return new(Results.Json(new { sent = count.Sent, read = count.Read, letters = count.Letters }));
        }));
        app.MapPost("/operator/breach-cases/{number:long}/notices", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            if (await OperatorClients.ReadAsync<Sending>(context, LongestBody) is not { Words: { } words, Persons: { Count: > 0 and <= MostPeople } persons })
                return OperatorClients.Problem(context, 422, "Not understood", [Form]);
            if (Fault(words) is { } fault)
                return OperatorClients.Problem(context, 422, "The words are not fit to send", [fault]);
            var people = new List<AffectedPerson>();
            for (var i = 0; i < persons.Count; i++)
            {
                if (await PersonOfAsync(services, options, persons[i], context.RequestAborted) is not { } person || ItemsOf(persons[i]) is not { } items)
                    // Which one, and not who.
                    return OperatorClients.Problem(context, 422, "Nobody", [string.Create(CultureInfo.InvariantCulture, $"persons[{i}] names nobody, or something that is no resource. Nothing was sent. {Form}")]);
                if (persons[i].Reach is { } reach && (!NoticeMessages.IsReachable(reach) || !Texts.Languages.Any(known => known.Code == persons[i].Language)))
                    return OperatorClients.Problem(context, 422, "Not reachable", [string.Create(CultureInfo.InvariantCulture, $"persons[{i}].reach is an e-mail address or a telephone number in international form, with language fi, sv or en. Nothing was sent.")]);
                people.Add(new(person, items));
            }
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Sends notices of breach case {number} to {people.Count} persons."), null, null);
            try
            {
                var notices = services.GetRequiredService<BreachNotices>();
                if (await notices.SendAsync(number, words, people, OperatorBreachCases.Name(who), services.GetRequiredService<IdentifierCipher>().PatientId, context.RequestAborted) is not { } sent)
                    return NoCase(context);
                var told = services.GetService<NoticeMessages>() is { } messages
                    ? await notices.TellAsync(number, [.. persons.Zip(people).Where(static one => one.First.Reach is not null).Select(static one => (one.Second.Person, one.First.Reach!, one.First.Language!))], messages.SendAsync, context.RequestAborted) : 0;
                return Results.Json(new { sent, told }, statusCode: 201);
            }
            catch (IOException)
            {
                return OperatorClients.Problem(context, 503, "Not all sent", ["Not every notice could be recorded and kept. Send the same list again: who has a notice keeps it."]);
            }
        }));
        app.MapPost("/operator/breach-cases/{number:long}/letters", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Has letters of breach case {number} written."), null, null);
            var texts = services.GetRequiredService<Texts>();
            return await services.GetRequiredService<BreachNotices>().WriteLettersAsync(number, OperatorBreachCases.Name(who), notice => NoticeLetters.Write(notice, texts, options.PublicAddress), context.RequestAborted) is { } written
                ? Results.Json(new { written }, statusCode: 201) : NoCase(context);
        }));
    }

    private const string Form = """Send {"words": {"fi", "sv", "en": {"what", "consequences", "measures"}, "contact"}, "persons": [{"patient": "Patient/[id]" or "identity_code", "items": [{"type", "id", "version", "controller"}], "reach", "language"}]}: all words, at most 4000 characters each, 1 to 10000 persons; to draft, the words alone.""";

    private static IResult NoCase(HttpContext context) => OperatorClients.Problem(context, 404, "No such case", ["There is no breach case of that number."]);

    /// <summary>Why words cannot be sent to everybody; null: they can.</summary>
    private static string? Fault(NoticeWords words) => words.All.Any(static text => text is not { Length: > 0 and <= LongestText }) ? Form
        : words.All.Any(static text => OutboundMessage.HoldsIdentityCode(text!)) ? "What all are told names nobody: what looks like an identity code has to go." : null;

    private static async ValueTask<Pseudonym?> PersonOfAsync(IServiceProvider services, GatewayOptions options, Named? named, CancellationToken cancel) => named switch
    {
        { Patient: { } patient, IdentityCode: null } => patient.StartsWith(Patient, StringComparison.Ordinal)
            && services.GetRequiredService<IdentifierCipher>().TryReadResourceId(patient.AsSpan(Patient.Length), out var compartment, out var sequence) && sequence == 0 && !compartment.IsDirectory ? compartment : null,
        { Patient: null, IdentityCode: { } text } => PersonalIdentityCode.TryParse(text, out var code) && SearchedCompartment.ForeignCode(code, options.Identification.TestIdentityCodes) is null
            ? await services.GetRequiredService<IPseudonyms>().OfAsync(code, cancel) : null,
        _ => null,
    };

    private static IReadOnlyList<AffectedItem>? ItemsOf(Named named) =>
        (named.Items ?? []).Any(static item => item is not { Type.Length: > 0 and <= 64, Id: { } id } || !item.Type.All(char.IsAsciiLetter) || !Guid.TryParseExact(id, "D", out _))
            ? null : [.. (named.Items ?? []).Select(static item => new AffectedItem(item.Type!, item.Id!, item.Version, item.Controller))];
}
