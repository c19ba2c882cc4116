using System.Globalization;
using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>
/// A batch (hl7.org/fhir/R4/http.html#transaction) is many requests in one envelope: each entry takes the whole path
/// with its own decision, grant and audit entry, and its own answer.
/// </summary>
public sealed class BatchSplitter(IServiceScopeFactory scopes)
{
    /// <summary>Most entries of one batch.</summary>
    public const int MaxEntries = 2_000;

    /// <summary>Entries under way at once; they are independent by the specification.</summary>
    private const int Concurrency = 8;

    /// <param name="context">The batch's own request.</param>
    /// <param name="requester">Whose batch it is.</param>
    /// <param name="batch">As step 2 has read it.</param>
    /// <param name="serve">Steps 2 to 9 for an entry.</param>
    public async Task AnswerAsync(HttpContext context, Requester requester, Reading.Batch batch, RequestDelegate serve)
    {
        var entries = batch.Scan.Entries;
        if (entries.Count > MaxEntries)
            throw new FaultException(new Fault(FaultKind.TooLarge, $"A batch has at most {MaxEntries} entries.", "Bundle.entry"));
        // Before the entries run at once: a request's context is for one thread, and each would make an id of its own.
        Correlation.Of(context);
        var answers = new FhirAnswer[entries.Count];
        await Parallel.ForAsync(0, entries.Count, new ParallelOptions { MaxDegreeOfParallelism = Concurrency, CancellationToken = context.RequestAborted },
            async (i, cancel) => answers[i] = await AnswerAsync(context, requester, entries[i], batch.Body, serve, cancel));

        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("resourceType", "Bundle");
            json.WriteString("type", "batch-response");
            json.WriteStartArray("entry");
            foreach (var answer in answers)
                Write(json, answer);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        context.Response.StatusCode = StatusCodes.Status200OK;
        context.Response.Headers.CacheControl = "no-store";
        if (batch.UnenforcedProfiles + answers.Sum(a => int.TryParse(a.Headers[UnenforcedProfiles.Header], CultureInfo.InvariantCulture, out var number) ? number : 0) is > 0 and var unenforced)
            context.Response.Headers[UnenforcedProfiles.Header] = unenforced.ToString(CultureInfo.InvariantCulture);
        await FaultWriter.WriteAsync(context, buffer.GetBuffer().AsMemory(0, (int)buffer.Length));
    }

    private async Task<FhirAnswer> AnswerAsync(HttpContext outer, Requester requester, ScannedEntry entry, ReadOnlyMemory<byte> bundle, RequestDelegate serve, CancellationToken cancel)
    {
        await using var scope = scopes.CreateAsyncScope();
        var body = entry.ResourceType is null ? default : bundle[entry.Resource];
        var context = InnerRequestSender.Create(scope.ServiceProvider, outer, requester, entry.Method ?? "", entry.Url?.TrimEnd('/') ?? "", body,
            entry.Method is "POST" or "PUT" or "PATCH" ? "application/fhir+json" : null, cancel);
        var headers = context.Request.Headers;
        if (entry.IfMatch is { } ifMatch)
            headers.IfMatch = ifMatch;
        if (entry.IfNoneMatch is { } ifNoneMatch)
            headers.IfNoneMatch = ifNoneMatch;
        if (DateTimeOffset.TryParse(entry.IfModifiedSince, CultureInfo.InvariantCulture, out var ifModifiedSince))
            headers.IfModifiedSince = ifModifiedSince.ToString("R", CultureInfo.InvariantCulture);
        if (entry.IfNoneExist is { } ifNoneExist)
            headers["If-None-Exist"] = ifNoneExist;
        foreach (var name in new[] { InteractionReader.ServiceEventHeader, InteractionReader.EmployerHeader, "Prefer", "Accept-Language" })
            if (outer.Request.Headers.TryGetValue(name, out var value))
                headers[name] = value;
        return await InnerRequestSender.AnswerOf(context, serve);
    }

    private static void Write(Utf8JsonWriter json, FhirAnswer answer)
    {
        json.WriteStartObject();
        var isOutcome = answer.Status >= 400;
        if (answer.Body.Length > 0 && !isOutcome)
        {
            json.WritePropertyName("resource");
            json.WriteRawValue(answer.Body, skipInputValidation: true);
        }
        json.WriteStartObject("response");
        if (answer.Headers[Receipt.Header].ToString() is { Length: > 0 } receipt)
        {
            json.WriteStartArray("extension");
            json.WriteStartObject();
            json.WriteString("url", Receipt.Extension);
            json.WriteString("valueString", receipt);
            json.WriteEndObject();
            json.WriteEndArray();
        }
        json.WriteString("status", answer.Status.ToString(CultureInfo.InvariantCulture));
        if (answer.Headers.Location.ToString() is { Length: > 0 } location)
            json.WriteString("location", location);
        if (answer.Headers.ETag.ToString() is { Length: > 0 } etag)
            json.WriteString("etag", etag);
        if (answer.Headers.LastModified.ToString() is { Length: > 0 } modified && DateTimeOffset.TryParse(modified, CultureInfo.InvariantCulture, out var time))
            json.WriteString("lastModified", time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture));
        if (answer.Body.Length > 0 && isOutcome)
        {
            json.WritePropertyName("outcome");
            json.WriteRawValue(answer.Body, skipInputValidation: true);
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
