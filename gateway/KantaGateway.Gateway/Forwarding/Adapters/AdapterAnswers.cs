using System.Text.Json;
using System.Text.Json.Nodes;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Faults;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>What the path found wrong with a transaction that an adapter made.</summary>
/// <param name="Entry">Of the transaction; null: it names none.</param>
/// <param name="Expression">Empty: it names no element.</param>
readonly record struct TransactionIssue(int? Entry, string Expression, string Text)
{
    /// <summary>For an answer that has no room for both.</summary>
    public string TextWithExpression => Expression.Length > 0 ? $"{Text} ({Expression})" : Text;
}

/// <summary>What senders of messages, documents and tables are told: each adapter says it in its own form, and none reads or frames an answer by itself.</summary>
static class AdapterAnswers
{
    /// <summary>The report as parameters: each part of the source with what became of it.</summary>
    public static IEnumerable<Parameters.ParameterComponent> Of(LossReport report) => report.Parts.Select(static part => new Parameters.ParameterComponent
    {
        Name = "part",
        Part =
        [
            new() { Name = "path", Value = new FhirString(part.Path) },
            new() { Name = "fate", Value = new Code(part.Fate.ToString().ToLowerInvariant()) },
            .. part.Target is { } target ? [new() { Name = "target", Value = new Code(target) }] : Array.Empty<Parameters.ParameterComponent>(),
        ],
    });

    public static Task WriteAsync(HttpContext context, Parameters answer)
    {
        context.Response.StatusCode = StatusCodes.Status200OK;
        context.Response.Headers.CacheControl = "no-store";
        return FaultWriter.WriteAsync(context, ResourceParser.Serialize(answer));
    }

    /// <summary>An answer in a form that is no FHIR.</summary>
    public static Task WriteAsync(HttpContext context, int status, byte[] bytes, string contentType, string? retryAfter = null)
    {
        var response = context.Response;
        response.StatusCode = status;
        if (retryAfter is not null)
            response.Headers.RetryAfter = retryAfter;
        response.ContentType = contentType;
        response.Headers.CacheControl = "no-store";
        response.ContentLength = bytes.Length;
        return response.Body.WriteAsync(bytes, context.RequestAborted).AsTask();
    }

    /// <summary>What an answer that is no success says; never empty.</summary>
    public static IReadOnlyList<TransactionIssue> IssuesOf(FhirAnswer answer)
    {
        TransactionIssue[] issues = answer.Body.Length > 0 && ResourceParser.Parse(answer.Body).Resource is OperationOutcome outcome
            ? [.. outcome.Issue.Select(static issue => issue.Expression.FirstOrDefault() is { } expression ? new TransactionIssue(EntryOf(expression), expression, issue.Diagnostics ?? "") : new(null, "", issue.Diagnostics ?? ""))] : [];
        return issues.Length > 0 ? issues : [new(null, "", "It was not taken; send it again.")];
    }

    /// <summary>An answer of the path, with the places of the source beside those of the transaction that was made of it.</summary>
    /// <param name="sources">Of each entry.</param>
    public static Task PassOnAsync(HttpContext context, FhirAnswer answer, IReadOnlyList<string> sources)
    {
        context.Response.StatusCode = answer.Status;
        context.Response.Headers.CacheControl = "no-store";
        foreach (var name in new[] { "Retry-After", "WWW-Authenticate" })
            if (answer.Headers.TryGetValue(name, out var value))
                context.Response.Headers[name] = value;
        var body = answer.Body;
        if (body.Length > 0 && JsonNode.Parse(body) is JsonObject outcome && outcome["issue"] is JsonArray issues)
        {
            foreach (var issue in issues.OfType<JsonObject>())
                if (issue["expression"] is JsonArray expressions && expressions is [JsonValue first, ..] && EntryOf(first.GetValue<string>()) is { } entry && entry < sources.Count && sources[entry] is { Length: > 0 } source)
                    expressions.Insert(0, source);
            body = JsonSerializer.SerializeToUtf8Bytes(outcome);
        }
        return FaultWriter.WriteAsync(context, body);
    }

    /// <summary>The entry that an expression such as <c>Bundle.entry[3].resource.code</c> names; null: it names none.</summary>
    private static int? EntryOf(string expression)
    {
        const string Before = "Bundle.entry[";
        return expression.StartsWith(Before, StringComparison.Ordinal) && expression.IndexOf(']') is > 0 and var end && int.TryParse(expression[Before.Length..end], out var index) ? index : null;
    }
}
