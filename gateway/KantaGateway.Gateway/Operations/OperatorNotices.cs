using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/breach-cases/{number}/notices</c>: drafts, sends and counts the notices of a case, and <c>/letters</c> writes those for paper; for the data protection officer. What is sent, and that letters are written, is an act of two persons (<see cref="OperatorActs"/>). People are
/// named by <c>Patient/[id]</c> or by identity code; no answer says who they are, nor whether the gateway knows them.
/// </summary>
public static class OperatorNotices
{
    private const int LongestBody = DraftedNotices.LongestList, MostPeople = 10_000, LongestText = 4_000;

    private const string Patient = "Patient/";

    private sealed record Sending(NoticeWords? Words, IReadOnlyList<Named>? Persons);

    /// <param name="Act">Id of what was approved.</param>
    private sealed record Printing(string? Act, string? Digest);

    private sealed record Named(string? Patient, string? IdentityCode, IReadOnlyList<Item>? Items, string? Reach, string? Language);

    private sealed record Item(string? Type, string? Id, string? Version, string? Controller);

    public static void MapOperatorNotices(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach?.Notices is null)
            return;
        app.MapPost("/operator/breach-cases/{number:long}/notices/drafts", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, _) =>
        {
            if (await OperatorClients.ReadAsync(context, LongestBody) is not { } body || Draft(services, options, body) is not { } drafted)
                return OperatorClients.Problem(context, 422, "Not understood", [Form]);
            if (services.GetRequiredService<BreachCases>().Find(number) is null)
                return NoCase(context);
            var drafts = drafted.Words.ToDictionary(static words => words.Language, static words => (object)words.Text);
            (drafts["persons"], drafts["sha256"]) = (drafted.Persons, drafted.Digest);
            return Results.Json(drafts);
        }));
        app.MapGet("/operator/breach-cases/{number:long}/notices", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, (services, _) =>
        {
            if (services.GetRequiredService<BreachCases>().Find(number) is null)
                return new(NoCase(context));
            var notices = services.GetRequiredService<BreachNotices>();
            var (count, owed) = (notices.CountOf(number), notices.DutiesOf(number));
            return new(Results.Json(new { sent = count.Sent, read = count.Read, letters = count.Letters, owed = new { authority = owed.Authority, supervisor = owed.Supervisor, contained = owed.Contained } }));
        }));
        app.MapPost("/operator/breach-cases/{number:long}/notices", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
            await SendAsync(services, context, who, options, number, await OperatorClients.ReadAsync(context, LongestBody), context.Request.Query["act"].ToString(), context.Request.Query["digest"].ToString()) switch
            {
                { Problem: { } problem } => OperatorClients.Problem(context, problem.Status, problem.Title, [problem.Text]),
                { Refusal: { } refusal } => OperatorClients.Refuse(context, refusal),
                var done => Results.Json(new { sent = done.Sent, told = done.Told }, statusCode: 201),
            }));
        app.MapPost("/operator/breach-cases/{number:long}/letters", (HttpContext context, long number) => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            if (services.GetRequiredService<BreachCases>().Find(number) is null)
                return NoCase(context);
            if (await OperatorClients.ReadAsync<Printing>(context) is not { Act: { } act, Digest: { } digest })
                return OperatorClients.Problem(context, 422, "Not understood", ["Send {\"act\", \"digest\"} of the act breach-letters, of which another has approved."]);
            var (written, refusal) = await WriteLettersAsync(services, context, who, number, act, digest);
            return refusal is { } why ? OperatorClients.Refuse(context, why) : written is null ? NoCase(context) : Results.Json(new { written }, statusCode: 201);
        }));
    }

    /// <summary>What all notices of a list would say, in each language, and by what those who propose and approve know that it is one list.</summary>
    /// <param name="body">The list, or its words alone.</param>
    /// <returns>Null: it is none.</returns>
    internal static DraftedNotices? Draft(IServiceProvider services, GatewayOptions options, byte[] body)
    {
        if (OperatorClients.Read<Sending>(body) is not { Words: { } words } sending || Fault(words) is not null)
            return null;
        var (texts, now) = (services.GetRequiredService<Texts>(), services.GetRequiredService<TimeProvider>().GetUtcNow());
        return new([.. Texts.Languages.Select(language => (language.Code, NoticeLetters.Draft(words, options.Identification.Citizens.ServiceName, now, language.Code, texts)))], sending.Persons?.Count ?? 0, DigestOf(body));
    }

    /// <summary>Sends the notices of a case, as the address and the page do.</summary>
    /// <param name="body">The list; null: it is too long.</param>
    /// <param name="act">Id of what two have decided.</param>
    internal static async Task<SentNotices> SendAsync(IServiceProvider services, HttpContext context, Operator who, GatewayOptions options, long number, byte[]? body, string act, string digest)
    {
        if (OperatorClients.Read<Sending>(body) is not { Words: { } words, Persons: { Count: > 0 and <= MostPeople } persons })
            return new(0, 0, Problem: (422, "Not understood", Form));
        if (Fault(words) is { } fault)
            return new(0, 0, Problem: (422, "The words are not fit to send", fault));
        var people = new List<AffectedPerson>();
        for (var i = 0; i < persons.Count; i++)
        {
            if (await PersonOfAsync(services, options, persons[i], context.RequestAborted) is not { } person || ItemsOf(persons[i]) is not { } items)
                // Which one, and not who.
                return new(0, 0, Problem: (422, "Nobody", string.Create(CultureInfo.InvariantCulture, $"persons[{i}] names nobody, or something that is no resource. Nothing was sent. {Form}")));
            if (persons[i].Reach is { } reach && (!NoticeMessages.IsReachable(reach) || !Texts.Languages.Any(known => known.Code == persons[i].Language)))
                return new(0, 0, Problem: (422, "Not reachable", string.Create(CultureInfo.InvariantCulture, $"persons[{i}].reach is an e-mail address or a telephone number in international form, with language fi, sv or en. Nothing was sent.")));
            people.Add(new(person, items));
        }
        if (services.GetRequiredService<BreachCases>().Find(number) is null)
            return new(0, 0, Problem: (404, NoCaseTitle, NoCaseText));
        // Just what two have decided to send, to whom they have decided to send it.
        if (services.GetRequiredService<Approvals>().Current.Proposals.GetValueOrDefault(act) is not { Kind: ApprovalKind.BreachNotices } approved || FilesIn(approved.Content) is not { } files || !files.Contains(DigestOf(body!)))
            return new(0, 0, Problem: (409, nameof(DecisionRefusal.NoSuchProposal), $"Notices are sent by two persons: propose the act breach-notices, have another approve of it, and send the same list with ?act= its id and &digest= its digest. Nothing was sent. Its content is {FilesForm}."));
        if (await OperatorActs.CarryOutAsync(services, context, who, ApprovalKind.BreachNotices, act, digest, number) is { } refusal)
            return new(0, 0, refusal);
        await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Sends notices of breach case {number} to {people.Count} persons."), null, null);
        try
        {
            var notices = services.GetRequiredService<BreachNotices>();
            if (await notices.SendAsync(number, words, people, CaseWork.NameOf(who), services.GetRequiredService<IdentifierCipher>().PatientId, context.RequestAborted) is not { } sent)
                return new(0, 0, Problem: (404, NoCaseTitle, NoCaseText));
            var told = services.GetService<NoticeMessages>() is { } messages
                ? await notices.TellAsync(number, [.. persons.Zip(people).Where(static one => one.First.Reach is not null).Select(static one => (one.Second.Person, one.First.Reach!, one.First.Language!))], messages.SendAsync, context.RequestAborted) : 0;
            return new(sent, told);
        }
        catch (IOException)
        {
            return new(0, 0, Problem: (503, "Not all sent", "Not every notice could be recorded and kept. Send the same list again: who has a notice keeps it."));
        }
    }

    /// <summary>Has the letters of a case written, as two have decided.</summary>
    /// <returns>How many; null: there is no such case, or it was refused.</returns>
    internal static async Task<(int? Written, DecisionRefusal? Refusal)> WriteLettersAsync(IServiceProvider services, HttpContext context, Operator who, long number, string act, string digest)
    {
        if (await OperatorActs.CarryOutAsync(services, context, who, ApprovalKind.BreachLetters, act, digest, number) is { } refusal)
            return (null, refusal);
        await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, string.Create(CultureInfo.InvariantCulture, $"Has letters of breach case {number} written."), null, null);
        var (texts, portal) = (services.GetRequiredService<Texts>(), services.GetRequiredService<GatewayOptions>().PublicAddress);
        return (await services.GetRequiredService<BreachNotices>().WriteLettersAsync(number, CaseWork.NameOf(who), notice => NoticeLetters.Write(notice, texts, portal), context.RequestAborted), null);
    }

    private const string Form = """Send {"words": {"fi", "sv", "en": {"what", "consequences", "measures"}, "contact"}, "persons": [{"patient": "Patient/[id]" or "identity_code", "items": [{"type", "id", "version", "controller"}], "reach", "language"}]}: all words, at most 4000 characters each, 1 to 10000 persons; to draft, the words alone.""";

    internal const string FilesForm = "the SHA-256 of each list as it will be sent, hexadecimal in small letters, with a space between two, at most 30; /notices/drafts says it";

    /// <summary>The lists that an act is about; null: it names none.</summary>
    internal static IReadOnlySet<string>? FilesIn(string content) => content.Split(' ') is { Length: <= 30 } files && files.All(static file => file is { Length: 64 } && file.All(char.IsAsciiHexDigitLower)) ? files.ToHashSet(StringComparer.Ordinal) : null;

    internal static string DigestOf(byte[] body) => Convert.ToHexStringLower(SHA256.HashData(body));

    private const string NoCaseTitle = "No such case", NoCaseText = "There is no breach case of that number.";

    private static IResult NoCase(HttpContext context) => OperatorClients.Problem(context, 404, NoCaseTitle, [NoCaseText]);

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
