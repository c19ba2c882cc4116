using System.Text.Json;
using System.Text.Json.Nodes;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Faults;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>What senders of documents and tables are told.</summary>
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

    public static Task WriteAsync(HttpContext context, int status, Parameters answer)
    {
        context.Response.StatusCode = status;
        context.Response.Headers.CacheControl = "no-store";
        return FaultWriter.WriteAsync(context, ResourceParser.Serialize(answer));
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
                if (issue["expression"] is JsonArray expressions && expressions is [JsonValue first, ..] && SourceOf(first.GetValue<string>(), sources) is { Length: > 0 } source)
                    expressions.Insert(0, source);
            body = JsonSerializer.SerializeToUtf8Bytes(outcome);
        }
        return FaultWriter.WriteAsync(context, body);
    }

    /// <summary>Where what an expression such as <c>Bundle.entry[3].resource.code</c> names came from; null: it names no entry.</summary>
    public static string? SourceOf(string expression, IReadOnlyList<string> sources)
    {
        const string Before = "Bundle.entry[";
        return expression.StartsWith(Before, StringComparison.Ordinal) && expression.IndexOf(']') is > 0 and var end && int.TryParse(expression[Before.Length..end], out var index) && index < sources.Count ? sources[index] : null;
    }
}
