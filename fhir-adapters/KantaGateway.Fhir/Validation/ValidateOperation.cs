using System.Text.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Validation;

/// <summary><c>$validate</c> (hl7.org/fhir/R4/resource-operation-validate.html): what would be said of a resource if it were sent. Stateless.</summary>
public static partial class ValidateOperation
{
    /// <summary>Answers a request.</summary>
    /// <param name="body">The resource, or Parameters with <c>resource</c> and perhaps <c>profile</c> and <c>mode</c>, as JSON.</param>
    /// <param name="type">Type in the address.</param>
    /// <param name="unknown">Policy of the client.</param>
    /// <returns>The issues of the outcome, or the fault where there is nothing to validate.</returns>
    public static (IReadOnlyList<FaultIssue> Issues, Fault? Fault) Answer(ReadOnlyMemory<byte> body, string type, UnknownProfiles unknown)
    {
        if (JsonFaults.Find(body.Span) is { } malformed)
            return ([], malformed);
        var profile = (KnownProfile?)null;
        var asked = body;
        using (var document = JsonDocument.Parse(body))
            if (TextOf(document.RootElement, "resourceType") == "Parameters" && type != "Parameters")
            {
                if (ParameterOf(document.RootElement, "mode") is { } mode && TextOf(mode, "valueCode") is "delete" or "profile")
                    return ([], new(FaultKind.NotSupported, "The mode is not served; validate a resource without one, or with create or update.", "Parameters.parameter"));
                if (ParameterOf(document.RootElement, "profile") is { } named && (TextOf(named, "valueUri") ?? TextOf(named, "valueCanonical")) is { } url
                    && (profile = KnownProfiles.Find(url)) is null)
                    return ([], new(FaultKind.NotSupported, "The profile is not known here.", "Parameters.parameter"));
                if (ParameterOf(document.RootElement, "resource") is not { } parameter || !parameter.TryGetProperty("resource", out var resource))
                    return ([], new(FaultKind.Invalid, "Parameters must hold a parameter resource with the resource to validate.", "Parameters.parameter"));
                asked = System.Text.Encoding.UTF8.GetBytes(resource.GetRawText());
            }
        var (parsed, fault) = ResourceParser.Parse(asked);
        if (parsed is null)
            return fault!.Kind == FaultKind.Unprocessable ? (fault.Issues, null) : ([], fault);
        if (parsed.TypeName != type)
            return ([], new(FaultKind.Invalid, $"The resource must be a {type}, as the URL says.", "resourceType"));
        var issues = new List<FaultIssue>();
        ResourceValidator.CheckFully(parsed, unknown, profile, issues);
        return (issues.Count > 0 ? issues : [new("The resource is valid. What it refers to was not looked up.", null, "informational") { Severity = FaultSeverity.Information, Message = "valid" }], null);
    }

    /// <summary>Issues of Parameters around a resource, as issues of the resource: with its type where the expression has the way to it.</summary>
    public static IReadOnlyList<FaultIssue> OfResource(IReadOnlyList<FaultIssue> issues, string type) =>
        [.. issues.Select(i => i with { Expression = i.Expression is { } e ? Wrapping().Replace(e, type) : null })];

    [System.Text.RegularExpressions.GeneratedRegex(@"^Parameters\.parameter\[\d+\]\.resource")]
    private static partial System.Text.RegularExpressions.Regex Wrapping();

    private static JsonElement? ParameterOf(JsonElement parameters, string name)
    {
        if (parameters.TryGetProperty("parameter", out var list) && list.ValueKind == JsonValueKind.Array)
            foreach (var item in list.EnumerateArray())
                if (TextOf(item, "name") == name)
                    return item;
        return null;
    }

    private static string? TextOf(JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
