using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Hl7.Fhir.Model;
using Hl7.Fhir.Rest;
using Hl7.Fhir.Utility;

namespace KantaGateway.Client;

/// <summary>One thing that is wrong, as the gateway tells it.</summary>
/// <param name="Code">FHIR issue type, such as <c>required</c>.</param>
/// <param name="Diagnostics">What to change; never data of a person.</param>
/// <param name="Expression">FHIRPath of the element at fault, null when there is none.</param>
public sealed record GatewayIssue(string Severity, string Code, string? Diagnostics, string? Expression)
{
    public override string ToString() => Expression is null ? Diagnostics ?? Code : $"{Diagnostics ?? Code} [{Expression}]";
}

/// <summary>
/// The gateway refused. What it says of it is here in parts, and as an OperationOutcome for who catches <see cref="FhirOperationException"/>.
/// </summary>
public class GatewayException : FhirOperationException
{
    private protected GatewayException(GatewayAnswer answer) : base(answer.ToString(), answer.Status, answer.ToOutcome()) =>
        (Issues, CorrelationId, RetryAfter) = (answer.Issues, answer.CorrelationId, answer.RetryAfter);

    public IReadOnlyList<GatewayIssue> Issues { get; }

    /// <summary>By which the operator of the gateway finds the request; null: the answer had none, so something else answered.</summary>
    public string? CorrelationId { get; }

    /// <summary>When the request may be sent again, if the gateway said so.</summary>
    public TimeSpan? RetryAfter { get; }

    internal static GatewayException Of(GatewayAnswer answer) => (int)answer.Status switch
    {
        401 => new NotIdentifiedException(answer),
        403 => new NotPermittedException(answer),
        404 or 410 => new NotThereException(answer),
        409 or 412 or 428 => new VersionConflictException(answer),
        408 or 429 or >= 502 and <= 504 => new TryLaterException(answer),
        >= 400 and < 500 => new InvalidRequestException(answer),
        _ => new(answer),
    };
}

/// <summary>401: certificate, token or key are not those of the registration, or no longer.</summary>
public sealed class NotIdentifiedException : GatewayException
{
    internal NotIdentifiedException(GatewayAnswer answer) : base(answer) { }
}

/// <summary>403: who asks may not. Asking again does not help.</summary>
public sealed class NotPermittedException : GatewayException
{
    internal NotPermittedException(GatewayAnswer answer) : base(answer) { }
}

/// <summary>404 or 410: there is nothing, or nothing that may be shown; the two look the same.</summary>
public sealed class NotThereException : GatewayException
{
    internal NotThereException(GatewayAnswer answer) : base(answer) { }
}

/// <summary>409, 412 or 428: somebody else was faster, or the request does not say which version it changes. Read again, change that, and send it with its version.</summary>
public sealed class VersionConflictException : GatewayException
{
    internal VersionConflictException(GatewayAnswer answer) : base(answer) => MayBeOwn = answer.EarlierOutcomeUnknown;

    /// <summary>The request was sent more than once, and an earlier attempt may have been carried out: read again before you take it for somebody else's change.</summary>
    public bool MayBeOwn { get; }
}

/// <summary>Another 4xx: the request is wrong. <see cref="GatewayException.Issues"/> say where and what to change.</summary>
public sealed class InvalidRequestException : GatewayException
{
    internal InvalidRequestException(GatewayAnswer answer) : base(answer) { }
}

/// <summary>408, 429, 502 to 504, after as many attempts as are allowed: the gateway cannot serve now.</summary>
public sealed class TryLaterException : GatewayException
{
    internal TryLaterException(GatewayAnswer answer) : base(answer) => MayHaveHappened = !answer.IsRepeatable && answer.Status != HttpStatusCode.TooManyRequests;

    /// <summary>The request may have been carried out and cannot be repeated: look for what it would have stored before sending it again.</summary>
    public bool MayHaveHappened { get; }
}

/// <summary>
/// No answer came to a request that cannot be repeated. Look for what it would have stored, by its identifier, before sending it again; or send it with <c>If-None-Exist</c>, which may be repeated.
/// </summary>
public sealed class OutcomeUnknownException(string? requestId, Exception inner) : Exception($"No answer came, and the request may have been carried out (X-Request-Id {requestId}).", inner)
{
    /// <summary>By which the operator of the gateway finds the request.</summary>
    public string? RequestId { get; } = requestId;
}

/// <summary>What is read of an answer that refuses.</summary>
sealed record GatewayAnswer(HttpStatusCode Status, IReadOnlyList<GatewayIssue> Issues, string? CorrelationId, TimeSpan? RetryAfter, bool IsRepeatable, bool EarlierOutcomeUnknown)
{
    private const int MostText = 2_000;

    public static async Task<GatewayAnswer> ReadAsync(HttpRequestMessage request, HttpResponseMessage response, TimeProvider time, CancellationToken cancel)
    {
        var body = await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
        return new(response.StatusCode, IssuesOf(body), First(response.Headers, "X-Correlation-Id"), Client.RetryAfter.Of(response, time),
            await Repeatable.IsAsync(request, cancel).ConfigureAwait(false), request.Options.TryGetValue(RepeatPolicy.EarlierOutcomeUnknown, out var unknown) && unknown);
    }

    /// <summary>Issues of an OperationOutcome or of ProblemDetails; none for anything else.</summary>
    public static IReadOnlyList<GatewayIssue> IssuesOf(ReadOnlyMemory<byte> body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object)
                return [];
            if (root.TryGetProperty("issue", out var issues) && issues.ValueKind == JsonValueKind.Array)
                return [.. issues.EnumerateArray().Select(static i => new GatewayIssue(Text(i, "severity") ?? "error", Text(i, "code") ?? "unknown", Text(i, "diagnostics"),
                    i.TryGetProperty("expression", out var e) && e.ValueKind == JsonValueKind.Array && e.GetArrayLength() > 0 ? e[0].GetString() : null))];
            return (Text(root, "detail") ?? Text(root, "title")) is { } text ? [new("error", "processing", text, null)] : [];
        }
        catch (JsonException)
        {
            return []; // not the gateway's own answer: status and headers are all there is
        }
    }

    public OperationOutcome ToOutcome() => new()
    {
        Issue = [.. Issues.Select(static issue => new OperationOutcome.IssueComponent
        {
            Severity = EnumUtility.ParseLiteral<OperationOutcome.IssueSeverity>(issue.Severity),
            Code = EnumUtility.ParseLiteral<OperationOutcome.IssueType>(issue.Code),
            Diagnostics = issue.Diagnostics,
            Expression = issue.Expression is { } expression ? [expression] : [],
        })],
    };

    public override string ToString()
    {
        var text = string.Join("; ", Issues.Take(5));
        text = $"{(int)Status}: {(text.Length == 0 ? "no reason was given" : text.Length > MostText ? text[..MostText] : text)}";
        return CorrelationId is null ? $"{text} (no correlation id: was it the gateway that answered?)" : $"{text} (correlation id {CorrelationId})";
    }

    private static string? First(HttpResponseHeaders headers, string name) => headers.TryGetValues(name, out var values) ? values.First() : null;

    private static string? Text(JsonElement element, string name) => element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
