using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal;

/// <summary>What the citizen writes of an entry, as it is stored: without spaces around it, and without what no FHIR string has (control characters, halves of letters).</summary>
/// <param name="Wrong">What is wrong or missing.</param>
/// <param name="Right">What it should be.</param>
/// <param name="Why">Grounds; may be left out.</param>
internal sealed record RectifyForm(string? Wrong, string? Right, string? Why)
{
    public string Wrong { get; } = Clean(Wrong);

    public string Right { get; } = Clean(Right);

    /// <summary>Empty: none given.</summary>
    public string Why { get; } = Clean(Why);

    /// <summary>What of it is missing or too long: field and text; null: nothing.</summary>
    public FormProblem? Problem => Wrong.Length == 0 ? new("wrong", "rectify.error.wrong")
        : Right.Length == 0 ? new("right", "rectify.error.right")
        : IsTooLong(Wrong) ? new("wrong", "rectify.error.long")
        : IsTooLong(Right) ? new("right", "rectify.error.long")
        : IsTooLong(Why) ? new("why", "rectify.error.long") : null;

    private static string Clean(string? text)
    {
        var clean = new StringBuilder();
        // Counted as browsers do: a line break is one letter in a field and two in a form.
        foreach (var letter in (text ?? "").ReplaceLineEndings("\n").EnumerateRunes())
            if (letter.Value is '\n' or '\t' || !Rune.IsControl(letter))
                clean.Append(letter);
        return clean.ToString().Trim();
    }

    private static bool IsTooLong(string text) => text.Length > RectificationRequest.MostLetters;
}

/// <summary>
/// The citizen asks controllers to rectify entries of hers, and follows what becomes of it (GDPR Art. 16, 12(3)-(4)). Each request is a Communication in the controller's register, written and read as any FHIR of hers; the
/// controller finds it there and answers it (<see cref="RectificationRequest"/>).
/// </summary>
internal sealed class Rectifications(IInnerRequests requests, OwnRecords records, RectificationTrail trail, IdentifierCipher ids, TimeProvider time)
{
    /// <summary>Requests of one person that may wait for an answer at the same time: a person writes that many in no day, a script would fill a clinic's register.</summary>
    private const int MostOpen = 50;

    /// <summary>Asks; the same words again, while they wait for an answer, are the same request, whichever gateway has the second.</summary>
    /// <param name="form">Without a <see cref="RectifyForm.Problem"/>.</param>
    /// <returns>Null: there is no such entry in the citizen's record. Nothing was stored.</returns>
    /// <exception cref="RefusedException">The record did not take it.</exception>
    /// <exception cref="FaultException">The controller cannot be told of it; or as many wait already (<see cref="FaultKind.TooMany"/>).</exception>
    public async Task<RectificationRequest?> AskAsync(Requester citizen, string type, string id, RectifyForm form, CancellationToken cancel)
    {
        if (await FindAsync(citizen, type, id, cancel) is not { Organisation.Length: > 0 } entry)
            return null;
        var request = new RectificationRequest
        {
            PatientId = ids.PatientId(citizen.Person!.Value),
            Entry = $"{entry.Type}/{entry.Id}",
            Asked = new(entry.Organisation, entry.Register),
            Wrong = form.Wrong,
            Right = form.Right,
            Why = form.Why is { Length: > 0 } why ? why : null,
            At = time.GetUtcNow(),
        };
        var all = await ListAsync(citizen, cancel);
        if (all.FirstOrDefault(one => !one.IsSettled && one.IsSame(request)) is { } same)
            return same;
        if (all.Count(static one => !one.IsSettled) >= MostOpen)
            throw new FaultException(new(FaultKind.TooMany, $"At most {MostOpen} requests for rectification wait for an answer at the same time. Wait for answers, or write to the place of care."));
        var earlier = all.Count(one => one.IsSettled && one.IsSame(request));
        // The controller is told where to look before there is something to find.
        trail.Mark(request.Asked, citizen.Person!.Value);
        // Of two that come at once the repository stores one.
        var headers = new HeaderDictionary { ["If-None-Exist"] = $"identifier={RectificationRequest.Identifiers}|{request.DigestOf(earlier)}" };
        var answer = await requests.SendAsync(citizen, "POST", "Communication", request.Write(earlier), headers: headers, cancel: cancel);
        FhirAnswers.RequireSuccess(answer);
        return answer.Headers.Location.ToString().Split("Communication/") is [_, var address] ? request with { Id = address.Split('/')[0] }
            : RectificationRequest.ReadAll([FhirAnswers.Success(answer)]) is [var stored] ? stored : throw new RefusedException(StatusCodes.Status502BadGateway);
    }

    /// <summary>Takes a request back that waits for its answer. It stays to be read, as does all that was written.</summary>
    /// <param name="id">FHIR id of its Communication.</param>
    /// <returns>False: none of that id waits. Nothing was stored.</returns>
    /// <exception cref="RefusedException">The record did not take it.</exception>
    public async Task<bool> WithdrawAsync(Requester citizen, string id, CancellationToken cancel)
    {
        if ((await ListAsync(citizen, cancel)).FirstOrDefault(one => one.Id == id) is not { IsSettled: false } request)
            return false;
        // Of two windows one takes it back.
        var headers = new HeaderDictionary { ["If-None-Exist"] = $"identifier={RectificationRequest.Withdrawals}|{request.Id}" };
        FhirAnswers.RequireSuccess(await requests.SendAsync(citizen, "POST", "Communication", request.WriteWithdrawal(time.GetUtcNow()), headers: headers, cancel: cancel));
        return true;
    }

    /// <summary>The entry that rectification could be asked of; null: there is none of that type and id in the citizen's record, or it is such a request itself.</summary>
    public async Task<Entry?> FindAsync(Requester citizen, string type, string id, CancellationToken cancel) =>
        EntryKind.Shown.Contains(type) && await records.ReadOneAsync(citizen, type, id, cancel) is { IsRequest: false } entry ? entry : null;

    /// <summary>All of the citizen's, newest first.</summary>
    /// <exception cref="RefusedException">They cannot be read.</exception>
    public Task<IReadOnlyList<RectificationRequest>> ListAsync(Requester citizen, CancellationToken cancel) => ListAsync(citizen, citizen.Person!.Value, null, cancel);

    /// <summary>Those of a person that whoever asks is shown, newest first.</summary>
    /// <param name="headers">Of the search.</param>
    /// <exception cref="RefusedException">They cannot be read.</exception>
    public async Task<IReadOnlyList<RectificationRequest>> ListAsync(Requester who, Pseudonym person, IHeaderDictionary? headers, CancellationToken cancel)
    {
        var found = new List<System.Text.Json.JsonElement>();
        var criteria = $"patient={ids.PatientId(person)}&{RectificationRequests.Criteria}&_count=1000";
        var answer = await requests.SendAsync(who, "POST", "Communication/_search", Encoding.UTF8.GetBytes(criteria), "application/x-www-form-urlencoded", headers, cancel);
        while (true)
        {
            var bundle = FhirAnswers.Success(answer);
            found.AddRange(bundle.Each("entry").Select(static one => one.At("resource")).OfType<System.Text.Json.JsonElement>());
            if (FhirAnswers.NextPage(bundle) is not { } next)
                return RectificationRequest.ReadAll(found);
            answer = await requests.SendAsync(who, "GET", next, headers: headers, cancel: cancel);
        }
    }

    /// <summary>How far one is, as pages and clients name it: <c>open</c>, <c>late</c>, <c>delayed</c>, <c>granted</c>, <c>corrected</c>, <c>refused</c> or <c>withdrawn</c>.</summary>
    public string StateOf(RectificationRequest request) => StateOf(request, time.GetUtcNow());

    /// <inheritdoc cref="StateOf(RectificationRequest)"/>
    public static string StateOf(RectificationRequest request, DateTimeOffset now) => !request.IsSettled && request.AnswerBy < now ? "late" : request.State.ToString().ToLowerInvariant();
}
