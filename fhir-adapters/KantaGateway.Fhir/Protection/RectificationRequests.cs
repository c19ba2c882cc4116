using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Protection;

/// <summary>
/// How a Communication says that the person asks with it for the rectification of an entry (GDPR Art. 16), takes such a request back, or that the controller answers it (Art. 12). All are in the register of the
/// entry's controller and are shown to it and to the person alone: what somebody contests is no other's business. None is changed or deleted once it is stored. Pure; thread-safe.
/// </summary>
public static class RectificationRequests
{
    public const string System = "https://kantagateway.fi/fhir/CodeSystem/letter-kind", Request = "rectification-request", Withdrawal = "rectification-withdrawal", Answer = "rectification-answer";

    /// <summary>Codes of <c>topic</c> of an answer: it takes longer (Art. 12(3)), it will be or has been corrected, it is not (Art. 12(4)).</summary>
    public const string AnswerSystem = "https://kantagateway.fi/fhir/CodeSystem/rectification-answer", Delayed = "delayed", Granted = "granted", Corrected = "corrected", Refused = "refused";

    /// <summary>Criteria of a search that finds all three, and nothing else.</summary>
    public const string Criteria = $"category={System}|{Request},{System}|{Withdrawal},{System}|{Answer}";

    /// <summary>Whether a resource says that it is a request, takes one back, or answers one.</summary>
    public static bool Says(Resource resource) => IsPersons(resource) || IsAnswer(resource);

    /// <summary>Whether it is the person's: a request, or what takes one back.</summary>
    public static bool IsPersons(Resource resource) => Is(resource, Request) || IsWithdrawal(resource);

    public static bool IsWithdrawal(Resource resource) => Is(resource, Withdrawal);

    public static bool IsAnswer(Resource resource) => Is(resource, Answer);

    /// <summary>What is wrong with an answer, or with what takes a request back, by itself; null: nothing.</summary>
    /// <param name="root">FHIRPath of the resource in the request.</param>
    public static FaultIssue? Wrong(Communication answer, string root)
    {
        if (IsWithdrawal(answer))
            return answer.InResponseTo.Count != 1 ? Issue("One request is taken back: name it in inResponseTo.", root + ".inResponseTo") : null;
        var kind = answer.Topic?.Coding.Find(static coding => coding.System == AnswerSystem)?.Code;
        return kind is not (Delayed or Granted or Corrected or Refused) ? Issue($"An answer says what has come of the request, in topic by {AnswerSystem}: {Delayed}, {Granted}, {Corrected} or {Refused}.", root + ".topic")
            : kind is Delayed or Refused && !answer.Payload.Exists(static payload => payload.Content is FhirString { Value: { } words } && !string.IsNullOrWhiteSpace(words))
                ? Issue("Say in payload.contentString why the request is refused or delayed, in words that the person understands (GDPR Art. 12(3), 12(4)).", root + ".payload")
            : answer.InResponseTo.Count != 1 ? Issue("An answer is to one request: name it in inResponseTo.", root + ".inResponseTo") : null;
    }

    public static FaultIssue Issue(string sentence, string expression) => new(sentence, expression, "business-rule");

    private static bool Is(Resource resource, string code) => resource is Communication letter && letter.Category.Exists(concept => concept.Coding.Exists(coding => coding.System == System && coding.Code == code));
}
