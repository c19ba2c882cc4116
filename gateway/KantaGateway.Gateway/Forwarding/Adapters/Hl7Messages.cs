using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>An acknowledgement, and the HTTP status that says the same.</summary>
/// <param name="RetryAfter">Of a receiver that is out of order: when it may be tried again.</param>
sealed record Hl7Reply(byte[] Bytes, Hl7Answer Answer, int Status, string? RetryAfter = null);

/// <summary>
/// Takes HL7 v2 messages, by whichever way they came, and answers each when what it says is durable:
/// <list type="number">
/// <item>the message is read; what is wrong with it is told and recorded, and nothing stored;</item>
/// <item>the sender's own register is asked whether the message has come before, and for what it changes;</item>
/// <item>one transaction is made of it and sent, on condition that what was seen is still so.</item>
/// </list>
/// Each of the requests takes the whole path of a FHIR request.
/// </summary>
sealed class Hl7Messages(IInnerRequests inner, OwnRegister register, DisclosureAudit audit, TimeProvider time)
{
    /// <summary>Messages about different people that are under way at once; those about one person follow each other.</summary>
    private const int Concurrency = 8;

    /// <summary>Tokens of one search, so that its form stays within <see cref="InteractionReader.MaxSearch"/>.</summary>
    private const int TokensAtOnce = 40;

    private const int Attempts = 4;

    /// <summary>POST <c>$hl7v2</c>: a message, a batch or a file of batches.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        if (await AdapterEndpoints.BodyAsync(context, [MessageAdapter.ContentType, "x-application/hl7-v2+er7"], "HL7 v2 messages") is not { } body)
            return;
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        var fault = NotOf(requester);
        var (batch, problem) = fault is null ? Hl7Batch.Read(body) : (null, "");
        // There is nobody to acknowledge to, or nothing that could be told apart.
        if (batch is null || batch is { IsBatch: false } && Hl7Message.Read(batch.Messages[0]) is null)
        {
            fault ??= new(FaultKind.Invalid, problem ?? "MSH cannot be read: after its name stand the field delimiter and four encoding characters, all different.", "MSH");
            await audit.RefuseAsync(context, requester, null, fault, "malformed");
            return;
        }
        var reports = context.Request.Query["report"] == "true";
        var replies = await AnswerAsync(context, requester, batch.Messages, reports);
        var single = batch.IsBatch ? null : replies[0];
        await AdapterAnswers.WriteAsync(context, single?.Status ?? StatusCodes.Status200OK, single?.Bytes ?? Hl7Acknowledgement.WriteBatch(batch, [.. replies.Select(static r => r.Bytes)], time.GetUtcNow()), MessageAdapter.ContentType, single?.RetryAfter);
    }

    /// <summary>Why somebody may not send messages; null: a system may. A message is sent by no person, so it is nobody's but the system's own.</summary>
    public static Fault? NotOf(Requester requester) => requester.Kind == RequesterKind.System ? null
        : new(FaultKind.Denied, "HL7 v2 messages are sent by a clinic's system under its own token. Who acted stands in the message.");

    /// <summary>Answers messages in their order; what is wrong with one stops no other.</summary>
    public async ValueTask<Hl7Reply[]> AnswerAsync(HttpContext context, Requester requester, IReadOnlyList<ReadOnlyMemory<byte>> messages, bool reports)
    {
        var replies = new Hl7Reply[messages.Count];
        var organisation = requester.Organisation.ToString();
        var persons = messages.Count == 1 ? [[0]]
            : Enumerable.Range(0, messages.Count).GroupBy(i => MessageAdapter.Adapt(messages[i], organisation, []).Adapted?.Code ?? "").Select(static g => g.ToArray()).ToArray();
        Faults.Correlation.Of(context);
        await Parallel.ForEachAsync(persons, new ParallelOptions { MaxDegreeOfParallelism = Concurrency, CancellationToken = context.RequestAborted }, async (theirs, cancel) =>
        {
            foreach (var i in theirs)
                replies[i] = await AnswerAsync(context, requester, messages[i], reports, cancel);
        });
        return replies;
    }

    private async ValueTask<Hl7Reply> AnswerAsync(HttpContext context, Requester requester, ReadOnlyMemory<byte> bytes, bool reports, CancellationToken cancel)
    {
        var organisation = requester.Organisation.ToString();
        Hl7Message? message = null;
        try
        {
            for (var attempt = 1; attempt <= Attempts; attempt++)
            {
                (message, var adapted) = MessageAdapter.Adapt(bytes, organisation, []);
                if (message is null)
                    return await RefuseAsync(context, requester, null, [new(new("MSH", 1), Hl7ErrorCode.SegmentSequence, "MSH cannot be read.")]);
                if (adapted!.Errors.Count > 0)
                    return await RefuseAsync(context, requester, message, adapted.Errors);
                if (await PastAsync(requester, message, adapted, cancel) is { } past)
                    return past;
                if (await KnownAsync(requester, adapted, cancel) is { Count: > 0 } known)
                {
                    (message, adapted) = MessageAdapter.Adapt(bytes, organisation, known);
                    if (adapted!.Errors.Count > 0)
                        return await RefuseAsync(context, requester, message!, adapted.Errors);
                }
                var answer = await inner.SendAsync(requester, "POST", "", ResourceParser.Serialize(adapted.Bundle!), cancel: CancellationToken.None);
                if (answer.Status == StatusCodes.Status200OK)
                    return Write(message, Hl7Answer.AA, 200, reports ? [.. Informing(message!, adapted.Report)] : []);
                // Somebody has changed what was seen, or the other half of a pair came first: look again.
                if (answer.Status is not (StatusCodes.Status412PreconditionFailed or StatusCodes.Status409Conflict) || attempt == Attempts)
                    return Refused(message, answer, adapted.Sources);
            }
            throw new InvalidOperationException("Every attempt ends.");
        }
        catch (StoppedException stopped)
        {
            return Refused(message, stopped.Answer, []);
        }
    }

    /// <summary>What was answered when the message came before; null: it has not.</summary>
    private async ValueTask<Hl7Reply?> PastAsync(Requester requester, Hl7Message message, AdaptedMessage adapted, CancellationToken cancel)
    {
        var digests = await register.SourcesAsync(requester, adapted.Code!, adapted.Key, cancel);
        if (digests.Count == 0)
            return null;
        return digests.Contains(adapted.Digest)
            ? Write(message, Hl7Answer.AA, 200, [])
            : Write(message, Hl7Answer.AR, 409, [new(message.Header.At(10), Hl7ErrorCode.DuplicateKey, "Another message of this application had this control id. Nothing was stored: send it with an id of its own.")]);
    }

    private async ValueTask<IReadOnlyList<Resource>> KnownAsync(Requester requester, AdaptedMessage adapted, CancellationToken cancel)
    {
        var known = new List<Resource>();
        known.AddRange((await register.SearchAsync(requester, "Patient", $"identifier={Code(adapted)}", cancel)).Where(static r => r is Patient));
        // Who is not known has nothing that could be.
        if (known.Count == 0)
            return known;
        foreach (var question in adapted.Questions.Where(static q => q.Type != "Patient"))
            foreach (var tokens in question.Tokens.Chunk(TokensAtOnce))
                known.AddRange(await register.SearchAsync(requester, question.Type, $"patient.identifier={Code(adapted)}&identifier={Uri.EscapeDataString(string.Join(',', tokens.Select(Escaped)))}&_count={2 * TokensAtOnce}", cancel));
        return known;

        // search.html#escaping
        static string Escaped(string token) => token.Replace("\\", "\\\\", StringComparison.Ordinal).Replace(",", "\\,", StringComparison.Ordinal).Replace("$", "\\$", StringComparison.Ordinal);
    }

    private static string Code(AdaptedMessage adapted) => OwnRegister.Token(PersonalIdentityCode.System, adapted.Code);

    private async ValueTask<Hl7Reply> RefuseAsync(HttpContext context, Requester requester, Hl7Message? message, IReadOnlyList<Hl7Error> errors)
    {
        try
        {
            await audit.RefusalAsync(context, requester, null, new(FaultKind.Unprocessable, errors[0].Text, errors[0].Place.ToString()), "malformed");
        }
        catch (FaultException unrecorded)
        {
            return Write(message, Hl7Answer.AR, FaultTable.Of(unrecorded.Fault.Kind).Status, [new(new("MSH", 1), Hl7ErrorCode.Internal, unrecorded.Fault.Issues[0].Diagnostics)]);
        }
        return Write(message, errors.Any(static e => e.Rejects) ? Hl7Answer.AR : Hl7Answer.AE, StatusCodes.Status422UnprocessableEntity, errors);
    }

    /// <summary>An answer of the path, told of the segments that its elements come from.</summary>
    private Hl7Reply Refused(Hl7Message? message, FhirAnswer answer, IReadOnlyList<Hl7Place> sources)
    {
        var isContent = answer.Status is StatusCodes.Status400BadRequest or StatusCodes.Status413PayloadTooLarge or StatusCodes.Status422UnprocessableEntity;
        Hl7Error[] errors = [.. AdapterAnswers.IssuesOf(answer).Select(issue =>
            new Hl7Error(issue.Entry is { } entry && entry < sources.Count ? sources[entry] : new("MSH", 1), isContent ? Hl7ErrorCode.DataType : Hl7ErrorCode.Internal, issue.TextWithExpression))];
        return Write(message, isContent ? Hl7Answer.AE : Hl7Answer.AR, answer.Status < 400 ? 500 : answer.Status, errors, answer.Headers.RetryAfter.ToString() is { Length: > 0 } wait ? wait : null);
    }

    private static IEnumerable<Hl7Error> Informing(Hl7Message message, LossReport report) =>
        report.Lost.Take(Hl7Message.MaxErrors).Select(path => Hl7Error.Kept(message.PlaceOf(path), "No FHIR resource says this: it is kept in the message itself."));

    private Hl7Reply Write(Hl7Message? message, Hl7Answer answer, int status, IReadOnlyList<Hl7Error> errors, string? retryAfter = null) =>
        new(Hl7Acknowledgement.Write(message, answer, errors, Guid.NewGuid().ToString("N")[..20], time.GetUtcNow()), answer, status, retryAfter);
}
