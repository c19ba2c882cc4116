using System.Text.Json;

namespace KantaGateway.Fhir.Outcomes;

/// <summary>The one place with a status code: fault to HTTP status and FHIR issue type (hl7.org/fhir/R4/valueset-issue-type.html).</summary>
public static class FaultTable
{
    public static (int Status, string Code) Of(FaultKind kind) => kind switch
    {
        FaultKind.NotIdentified => (401, "login"),
        FaultKind.Denied or FaultKind.Frozen => (403, "forbidden"),
        FaultKind.Absent => (404, "not-found"),
        FaultKind.Deleted => (410, "deleted"),
        FaultKind.Invalid => (400, "invalid"),
        FaultKind.Unprocessable => (422, "processing"),
        FaultKind.NotSupported => (400, "not-supported"),
        FaultKind.MethodNotAllowed => (405, "not-supported"),
        FaultKind.NotAcceptable => (406, "not-supported"),
        FaultKind.UnsupportedMediaType => (415, "not-supported"),
        FaultKind.TooLarge => (413, "too-long"),
        FaultKind.RangeNotSatisfiable => (416, "value"),
        FaultKind.TooMany => (429, "throttled"),
        FaultKind.VersionConflict => (412, "conflict"),
        FaultKind.PreconditionRequired => (428, "required"),
        FaultKind.Duplicate => (409, "duplicate"),
        FaultKind.AuditUnavailable or FaultKind.KeyUnavailable or FaultKind.StoreUnavailable => (503, "no-store"),
        FaultKind.IdentificationUnavailable or FaultKind.Busy => (503, "transient"),
        FaultKind.UpstreamFailed => (502, "transient"),
        FaultKind.UpstreamTimeout => (504, "timeout"),
        _ => (500, "exception"),
    };

    /// <summary>The OperationOutcome of a fault as FHIR JSON.</summary>
    /// <param name="correlationId">Becomes <c>OperationOutcome.id</c>; the same value stands in the response header.</param>
    /// <param name="language">Of <c>issue.details.text</c>; the diagnostics are English always.</param>
    public static byte[] ToOperationOutcome(Fault fault, string correlationId, OutcomeLanguage language)
    {
        using var buffer = new MemoryStream(512);
        using (var json = new Utf8JsonWriter(buffer))
            Write(json, fault, correlationId, language);
        return buffer.ToArray();
    }

    /// <summary>Writes the OperationOutcome into a larger document, such as a batch response.</summary>
    /// <param name="correlationId">Null where the larger document is traced by itself.</param>
    public static void Write(Utf8JsonWriter json, Fault fault, string? correlationId, OutcomeLanguage language)
    {
        var (_, defaultCode) = Of(fault.Kind);
        json.WriteStartObject();
        json.WriteString("resourceType", "OperationOutcome");
        if (correlationId is not null)
            json.WriteString("id", correlationId);
        json.WriteStartArray("issue");
        foreach (var issue in fault.Issues)
        {
            json.WriteStartObject();
            json.WriteString("severity", issue.Severity switch { FaultSeverity.Error => "error", FaultSeverity.Warning => "warning", _ => "information" });
            json.WriteString("code", issue.Code ?? defaultCode);
            json.WriteStartObject("details");
            json.WriteString("text", OutcomeTexts.Of(fault.Kind, issue, language));
            json.WriteEndObject();
            json.WriteString("diagnostics", issue.Diagnostics);
            if (issue.Expression is { } expression)
            {
                json.WriteStartArray("expression");
                json.WriteStringValue(expression);
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }
}
