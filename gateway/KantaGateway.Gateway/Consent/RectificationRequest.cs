using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Formats;

namespace KantaGateway.Gateway.Consent;

/// <summary>The register that a person asks, and so the one that her request is written into.</summary>
/// <param name="Controller">OID of the data controller, dotted.</param>
/// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
public sealed record AskedRegister(string Controller, string Register);

/// <summary>How far a request for rectification is.</summary>
public enum RectificationState
{
    /// <summary>Not answered yet.</summary>
    Open,

    /// <summary>The controller takes up to two months more and has said why (GDPR Art. 12(3)).</summary>
    Delayed,

    /// <summary>It will be corrected.</summary>
    Granted,

    /// <summary>It has been corrected.</summary>
    Corrected,

    /// <summary>It is not corrected, and why (GDPR Art. 12(4)).</summary>
    Refused,

    /// <summary>The person has taken it back.</summary>
    Withdrawn,
}

/// <summary>
/// The person asks the controller of an entry to correct or complete it (GDPR Art. 16; of patient data too, where the Act 703/2023 has no rule of its own). Its FHIR form is a Communication in the
/// controller's own register (<see cref="RectificationRequests"/>): the entry in <c>about</c>, the controller in <c>recipient</c>, when it was made in <c>sent</c>, and in <c>payload</c> what is wrong, what it
/// should be and why. The answer is another of the same register, <c>inResponseTo</c> it, with what has come of it in <c>topic</c> and the controller's words in <c>payload</c>; the newest answer counts. The person takes
/// it back with one too, which counts unless it was answered before.
/// </summary>
public sealed record RectificationRequest
{
    /// <summary>Longest of each of the three texts, letters.</summary>
    public const int MostLetters = 3_000;

    /// <summary>System of the identifier by which the same request is known again.</summary>
    public const string Identifiers = "https://kantagateway.fi/fhir/NamingSystem/rectification-request";

    /// <summary>System of the identifier of what takes a request back.</summary>
    public const string Withdrawals = "https://kantagateway.fi/fhir/NamingSystem/rectification-withdrawal";

    /// <summary>Where it is for a register of occupational care (§18), the register; the patient register has none.</summary>
    public const string RegisterUrl = "https://kantagateway.fi/fhir/StructureDefinition/asked-register";

    private const string Oids = "urn:oid:";

    /// <summary>Logical id of the Communication; empty for one not yet stored.</summary>
    public string Id { get; init; } = "";

    /// <summary>Logical id of the Patient.</summary>
    public required string PatientId { get; init; }

    /// <summary>Reference of the entry, <c>Type/id</c>.</summary>
    public required string Entry { get; init; }

    public required AskedRegister Asked { get; init; }

    /// <summary>What is wrong or missing, and what it should be.</summary>
    public required string Wrong { get; init; }

    /// <inheritdoc cref="Wrong"/>
    public required string Right { get; init; }

    /// <summary>Grounds; null: none given.</summary>
    public string? Why { get; init; }

    /// <summary>When it was made, UTC: the request is received then.</summary>
    public required DateTimeOffset At { get; init; }

    public RectificationState State { get; init; }

    /// <summary>The controller's words; null: none.</summary>
    public string? Answer { get; init; }

    /// <summary>Logical id of the newest answer's Communication; null: there is none.</summary>
    public string? AnswerId { get; init; }

    /// <summary>When the newest answer was stored, UTC, by the repository's clock; null: there is none.</summary>
    public DateTimeOffset? AnsweredAt { get; init; }

    /// <summary>When the person took it back, UTC, by the repository's clock; null: she has not.</summary>
    public DateTimeOffset? WithdrawnAt { get; init; }

    /// <summary>By when it is answered at the latest: within a month of receipt, and three where the controller has said why (GDPR Art. 12(3)). Months as the calendar has them.</summary>
    public DateTimeOffset AnswerBy => At.AddMonths(State == RectificationState.Delayed ? 3 : 1);

    /// <summary>Whether no answer is waited for any more.</summary>
    public bool IsSettled => State is not (RectificationState.Open or RectificationState.Delayed);

    /// <summary>Whether another asks the same of the same entry, in the same words.</summary>
    public bool IsSame(RectificationRequest other) => (Entry, Wrong, Right, Why) == (other.Entry, other.Wrong, other.Right, other.Why);

    /// <summary>As it is stored.</summary>
    /// <param name="earlier">How many of the same are settled already: the same words are the same request until then.</param>
    public byte[] Write(int earlier)
    {
        var payload = new JsonArray(Words(Wrong), Words(Right));
        if (Why is { } why)
            payload.Add(Words(why));
        var letter = Letter(RectificationRequests.Request, Identifiers, DigestOf(earlier), At);
        letter["about"] = new JsonArray(Reference(Entry));
        letter["payload"] = payload;
        return JsonSerializer.SerializeToUtf8Bytes(letter);

        static JsonObject Words(string text) => new() { ["contentString"] = text };
    }

    /// <summary>What takes it back, as it is stored; its identifier of <see cref="Withdrawals"/> is <see cref="Id"/>.</summary>
    /// <param name="at">When, UTC.</param>
    public byte[] WriteWithdrawal(DateTimeOffset at)
    {
        var letter = Letter(RectificationRequests.Withdrawal, Withdrawals, Id, at);
        letter["inResponseTo"] = new JsonArray(Reference("Communication/" + Id));
        return JsonSerializer.SerializeToUtf8Bytes(letter);
    }

    /// <summary>From the person to who is asked.</summary>
    private JsonObject Letter(string kind, string system, string identifier, DateTimeOffset at)
    {
        var letter = new JsonObject
        {
            ["resourceType"] = "Communication",
            ["identifier"] = new JsonArray(new JsonObject { ["system"] = system, ["value"] = identifier }),
            ["instantiatesUri"] = new JsonArray("http://data.europa.eu/eli/reg/2016/679/oj#art_16"),
            ["status"] = "completed",
            ["category"] = new JsonArray(new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = RectificationRequests.System, ["code"] = kind }) }),
            ["subject"] = Reference("Patient/" + PatientId),
            ["sent"] = at.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture),
            ["recipient"] = new JsonArray(new JsonObject { ["type"] = "Organization", ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = Oids + Asked.Controller } }),
            ["sender"] = Reference("Patient/" + PatientId),
        };
        if (Asked.Register != Register.Patient)
            letter["extension"] = new JsonArray(new JsonObject { ["url"] = RegisterUrl, ["valueString"] = Asked.Register });
        return letter;
    }

    /// <summary>Value of the identifier; it says nothing of the words to who does not know them all.</summary>
    /// <inheritdoc cref="Write"/>
    public string DigestOf(int earlier) =>
        Base64Url.EncodeToString(SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes((string?[])[PatientId, Entry, Wrong, Right, Why, earlier.ToString(CultureInfo.InvariantCulture)])));

    /// <summary>The requests among stored Communications, newest first, each with what has become of it.</summary>
    public static IReadOnlyList<RectificationRequest> ReadAll(IEnumerable<JsonElement> letters)
    {
        var all = letters.ToList();
        var replies = all.Where(static letter => Is(letter, RectificationRequests.Answer) || Is(letter, RectificationRequests.Withdrawal)).OrderBy(static letter => StoredAt(letter))
            .SelectMany(static letter => letter.Each("inResponseTo").Select(to => (To: to.String("reference"), Letter: letter))).ToLookup(static one => one.To, static one => one.Letter);
        return [.. all.Select(letter => Read(letter) is { } request ? replies["Communication/" + request.Id].Aggregate(request, static (before, reply) => before.With(reply)) : null)
            .OfType<RectificationRequest>().OrderByDescending(static one => one.At)];
    }

    private RectificationRequest With(JsonElement reply)
    {
        if (Is(reply, RectificationRequests.Withdrawal))
            // What was answered before it came stands.
            return IsSettled ? this : this with { State = RectificationState.Withdrawn, WithdrawnAt = StoredAt(reply) };
        var answered = Answered(reply);
        // Nothing waits any more; that the controller has done something all the same is told.
        return State == RectificationState.Withdrawn && !answered.IsSettled ? answered with { State = State } : answered;
    }

    private RectificationRequest Answered(JsonElement answer) => this with
    {
        State = (answer.At("topic")?.Each("coding") ?? []).Where(static coding => coding.String("system") == RectificationRequests.AnswerSystem).Select(static coding => coding.String("code")).FirstOrDefault() switch
        {
            RectificationRequests.Delayed => RectificationState.Delayed, RectificationRequests.Granted => RectificationState.Granted,
            RectificationRequests.Corrected => RectificationState.Corrected, RectificationRequests.Refused => RectificationState.Refused, _ => RectificationState.Open,
        },
        Answer = string.Join('\n', answer.Each("payload").Select(static part => part.String("contentString")).OfType<string>()) is { Length: > 0 } words ? words : null,
        AnswerId = answer.String("id"),
        AnsweredAt = StoredAt(answer),
    };

    private static RectificationRequest? Read(JsonElement letter)
    {
        if (!Is(letter, RectificationRequests.Request) || AskedIn(letter) is not { } asked || letter.Each("about").Select(static its => its.String("reference")).FirstOrDefault() is not { } entry
            || letter.At("subject")?.String("reference")?.Split('/') is not [.., var patient] || Time(letter.String("sent")) is not { } at
            || letter.Each("payload").Select(static part => part.String("contentString")).ToList() is not [{ } wrong, { } right, .. var rest])
            return null;
        return new() { Id = letter.String("id") ?? "", PatientId = patient, Entry = entry, Asked = asked, Wrong = wrong, Right = right, Why = rest.FirstOrDefault(), At = at };
    }

    /// <summary>The register that a Communication asks for rectification, or takes such a request back from; null: it is neither, or names none.</summary>
    public static AskedRegister? AskedIn(JsonElement letter)
    {
        if (!(Is(letter, RectificationRequests.Request) || Is(letter, RectificationRequests.Withdrawal)) || letter.Each("recipient").Select(static its => its.At("identifier")?.String("value")).FirstOrDefault() is not { } recipient || !recipient.StartsWith(Oids, StringComparison.Ordinal))
            return null;
        var register = letter.Each("extension").Where(static its => its.String("url") == RegisterUrl).Select(static its => its.String("valueString")).FirstOrDefault();
        return new(recipient[Oids.Length..], register ?? Register.Patient);
    }

    /// <summary>Whether a resource is a request for rectification, takes one back or answers one: no entry of the record.</summary>
    public static bool IsLetter(JsonElement resource) => Is(resource, RectificationRequests.Request) || Is(resource, RectificationRequests.Withdrawal) || Is(resource, RectificationRequests.Answer);

    private static bool Is(JsonElement letter, string kind) => letter.String("resourceType") == "Communication"
        && letter.Each("category").Any(concept => concept.Each("coding").Any(coding => coding.String("system") == RectificationRequests.System && coding.String("code") == kind));

    private static DateTimeOffset? StoredAt(JsonElement letter) => Time(letter.At("meta")?.String("lastUpdated"));

    private static DateTimeOffset? Time(string? text) => DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var at) ? at.ToUniversalTime() : null;

    private static JsonObject Reference(string to) => new() { ["reference"] = to };
}
