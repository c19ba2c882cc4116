using System.Net;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Validation;

/// <summary>
/// <c>$validate</c> (hl7.org/fhir/R4/resource-operation-validate.html): what would be said of a resource if it were sent, or is to be
/// said of one that is stored. Stateless.
/// </summary>
public static partial class ValidateOperation
{
    /// <summary>What is asked.</summary>
    /// <param name="Resource">As JSON; empty: the stored one.</param>
    /// <param name="Profile">A further profile to hold it to.</param>
    public sealed record Question(ReadOnlyMemory<byte> Resource, KnownProfile? Profile);

    /// <summary>Reads the parameters, which stand in the address, in Parameters, or both.</summary>
    /// <param name="query">Form-encoded, from the address; without <c>?</c>.</param>
    /// <param name="body">The resource, or Parameters with <c>resource</c> and perhaps <c>profile</c> and <c>mode</c>, as JSON; empty: none.</param>
    /// <param name="type">Type in the address.</param>
    /// <param name="isStored">Whether the address names a stored resource.</param>
    public static (Question? Question, Fault? Fault) Read(string query, ReadOnlyMemory<byte> body, string type, bool isStored)
    {
        if (!body.IsEmpty && JsonFaults.Find(body.Span) is { } malformed)
            return (null, malformed);
        var (mode, profile) = ((string?)null, (string?)null);
        foreach (var pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
            if (pair.Split('=', 2) is [var name, var value])
                (mode, profile) = WebUtility.UrlDecode(name) switch
                {
                    "mode" => (WebUtility.UrlDecode(value), profile),
                    "profile" => (mode, WebUtility.UrlDecode(value)),
                    _ => (mode, profile),
                };
        var asked = body;
        if (!body.IsEmpty)
            using (var document = JsonDocument.Parse(body))
                if (TextOf(document.RootElement, "resourceType") == "Parameters" && type != "Parameters")
                {
                    mode = ParameterOf(document.RootElement, "mode") is { } m ? TextOf(m, "valueCode") : mode;
                    profile = ParameterOf(document.RootElement, "profile") is { } p ? TextOf(p, "valueUri") ?? TextOf(p, "valueCanonical") : profile;
                    asked = ParameterOf(document.RootElement, "resource") is { } parameter && parameter.TryGetProperty("resource", out var resource)
                        ? System.Text.Encoding.UTF8.GetBytes(resource.GetRawText()) : default(ReadOnlyMemory<byte>);
                }
        if ((mode, asked.IsEmpty, isStored) switch
            {
                ("delete", _, _) => "Whether a resource may be deleted is not told beforehand. DELETE it: what may not be is refused and stays.",
                ("profile", _, false) => "The mode profile is about a stored resource: [Type]/[id]/$validate.",
                ("profile", false, true) => "The mode profile is about the stored resource: leave the parameter resource out.",
                ("create", _, true) => "The mode create is about a resource that is not stored: POST [Type]/$validate.",
                ("update", _, false) => "The mode update is about a new version of a stored resource: POST [Type]/[id]/$validate.",
                ("update", true, true) => "The mode update is about a new version: send it as the body, or in Parameters as the parameter resource.",
                (not (null or "create" or "update" or "profile"), _, _) => "The mode is create, update or profile.",
                _ => null,
            } is { } wrong)
            return (null, new(FaultKind.NotSupported, wrong, "Parameters.parameter"));
        if (asked.IsEmpty && !isStored)
            return (null, new(FaultKind.Invalid, "Parameters must hold a parameter resource with the resource to validate.", "Parameters.parameter"));
        var known = KnownProfiles.Find(profile);
        return profile is not null && known is null ? (null, new(FaultKind.NotSupported, "The profile is not known here.", "Parameters.parameter")) : (new(asked, known), null);
    }

    /// <summary>Answers of a resource that is sent.</summary>
    /// <param name="type">Type in the address.</param>
    /// <param name="id">Of the stored resource that it would be a new version of; null: it would be a new one.</param>
    /// <param name="unknown">Policy of the client.</param>
    /// <returns>The issues of the outcome, or the fault where there is nothing to validate.</returns>
    public static (IReadOnlyList<FaultIssue> Issues, Fault? Fault) Answer(Question question, string type, string? id, UnknownProfiles unknown)
    {
        var (parsed, fault) = ResourceParser.Parse(question.Resource);
        if (parsed is null)
            return fault!.Kind == FaultKind.Unprocessable ? (fault.Issues, null) : ([], fault);
        if (parsed.TypeName != type)
            return ([], new(FaultKind.Invalid, $"The resource must be a {type}, as the URL says.", "resourceType"));
        // As a creation would take it: its claim taken out.
        if (id is null && parsed is DocumentReference reference && SimplifiedPublish.Extract(reference, "Binary/new").Fault is { } unpublished)
            return (unpublished.Issues, null);
        var issues = new List<FaultIssue>();
        if (id is not null && parsed.Id != id)
            issues.Add(new("The resource's id must be the one in the URL.", $"{type}.id", "value"));
        ResourceValidator.CheckFully(parsed, unknown, question.Profile, issues);
        return (OrValid(issues), null);
    }

    /// <summary>Answers of a stored resource, as JSON: what is wrong with it by the rules of today.</summary>
    public static IReadOnlyList<FaultIssue> AnswerOfStored(ReadOnlyMemory<byte> body, Question question, UnknownProfiles unknown)
    {
        var (parsed, fault) = ResourceParser.Parse(body);
        if (parsed is null)
            return fault!.Issues;
        var issues = new List<FaultIssue>();
        ResourceValidator.CheckFully(parsed, unknown, question.Profile, issues);
        return OrValid(issues);
    }

    private static IReadOnlyList<FaultIssue> OrValid(List<FaultIssue> issues) => issues.Count > 0 ? issues
        : [new("The resource is valid. What it refers to was not looked up.", null, "informational") { Severity = FaultSeverity.Information, Message = "valid" }];

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
