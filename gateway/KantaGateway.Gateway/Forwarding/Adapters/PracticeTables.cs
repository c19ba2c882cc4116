using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Tables;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>
/// POST <c>$table</c>: a practice's table, CSV or XLSX, with the mapping that says what its columns are. Each row is a transaction of its own, and is reported by itself; with <c>dry-run=true</c> nothing is stored.
/// </summary>
sealed class PracticeTables(IInnerRequests inner, OwnRegister register, DisclosureAudit audit, TimeProvider time)
{
    /// <summary>Rows about different people that are under way at once; those about one person follow each other.</summary>
    private const int Concurrency = 8;

    public async Task InvokeAsync(HttpContext context)
    {
        if (await AdapterEndpoints.BodyAsync(context, ["multipart/form-data"], "A table and its mapping") is not { } body)
            return;
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        var (table, mapping, issues) = await ReadAsync(context.Request, body, context.RequestAborted);
        if (issues.Count > 0)
        {
            await audit.RefuseAsync(context, requester, null, new(FaultKind.Unprocessable, issues), "malformed");
            return;
        }
        var organisation = requester.Organisation.ToString();
        var isDry = context.Request.Query["dry-run"] == "true";
        var now = time.GetUtcNow();
        var rows = table!.Rows.Select(row => TableAdapter.Adapt(table, mapping!, row, organisation, now)).ToArray();
        var reports = new Parameters.ParameterComponent[rows.Length];
        Faults.Correlation.Of(context);
        await Parallel.ForEachAsync(Enumerable.Range(0, rows.Length).GroupBy(i => rows[i].Code ?? ""), new ParallelOptions { MaxDegreeOfParallelism = Concurrency, CancellationToken = context.RequestAborted }, async (theirs, cancel) =>
        {
            foreach (var i in theirs)
                reports[i] = await ReportAsync(context, requester, rows[i], isDry, cancel);
        });
        var answer = new Parameters();
        answer.Parameter.AddRange(reports);
        await AdapterAnswers.WriteAsync(context, answer);
    }

    private async ValueTask<Parameters.ParameterComponent> ReportAsync(HttpContext context, Requester requester, AdaptedRow row, bool isDry, CancellationToken cancel)
    {
        var (status, issues) = row.Bundle is null ? ("refused", row.Issues) : isDry ? ("good", []) : await StoreAsync(requester, row, cancel);
        if (row.Bundle is null && !isDry)
            await audit.RefusalAsync(context, requester, null, new(FaultKind.Unprocessable, row.Issues), "malformed");
        return new()
        {
            Name = "row",
            Part =
            [
                new() { Name = "number", Value = new Integer(row.Number) },
                new() { Name = "status", Value = new Code(status) },
                .. issues.Select(static issue => new Parameters.ParameterComponent { Name = "issue", Part = [.. issue.Expression is { Length: > 0 } place ? [new() { Name = "place", Value = new FhirString(place) }] : Array.Empty<Parameters.ParameterComponent>(), new() { Name = "problem", Value = new FhirString(issue.Diagnostics) }] }),
                .. row.Report.Lost.Select(static path => new Parameters.ParameterComponent { Name = "lost", Value = new FhirString(path) }),
            ],
        };
    }

    private async ValueTask<(string Status, IReadOnlyList<FaultIssue> Issues)> StoreAsync(Requester requester, AdaptedRow row, CancellationToken cancel)
    {
        FhirAnswer answer;
        try
        {
            if ((await register.SourcesAsync(requester, row.Code!, row.Key, cancel)).Count > 0)
                return ("stored-before", []);
            answer = await inner.SendAsync(requester, "POST", "", ResourceParser.Serialize(row.Bundle!), cancel: CancellationToken.None);
        }
        catch (StoppedException stopped)
        {
            answer = stopped.Answer;
        }
        if (answer.Status == StatusCodes.Status200OK)
            return ("stored", []);
        FaultIssue[] issues = [.. AdapterAnswers.IssuesOf(answer).Select(issue => new FaultIssue(issue.TextWithExpression, issue.Entry is { } entry && entry < row.Sources.Count ? TableAdapter.PlaceOf(row.Number, row.Sources[entry] is { Length: > 0 } column ? column : null) : null))];
        // The others would be stored still; this one is sent again with the whole table, which changes nothing of them.
        return (answer.Status is StatusCodes.Status429TooManyRequests or >= 500 ? "try-again" : "refused", issues);
    }

    private static async ValueTask<(TableFile? Table, TableMapping? Mapping, IReadOnlyList<FaultIssue> Issues)> ReadAsync(HttpRequest request, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        byte[]? mappingFile = null, tableFile = null;
        try
        {
            var boundary = HeaderUtilities.RemoveQuotes(MediaTypeHeaderValue.Parse(request.ContentType).Boundary).Value;
            if (string.IsNullOrEmpty(boundary) || boundary.Length > 100)
                return Wrong("The multipart body has no boundary.", "http.Content-Type");
            var reader = new MultipartReader(boundary, new MemoryStream(body.ToArray(), writable: false));
            while (await reader.ReadNextSectionAsync(cancel) is { } section)
            {
                using var part = new MemoryStream();
                await section.Body.CopyToAsync(part, cancel);
                if (section.GetContentDispositionHeader()?.Name.Value?.Trim('"') is not { } name || name is not ("mapping" or "table") || name == "mapping" && mappingFile is not null || name == "table" && tableFile is not null)
                    return Wrong("The form has the parts mapping and table, each once, and no other.", null);
                if (name == "mapping")
                    mappingFile = part.ToArray();
                else
                    tableFile = part.ToArray();
            }
        }
        catch (Exception malformed) when (malformed is InvalidDataException or IOException)
        {
            return Wrong("The body is no multipart form.", null);
        }
        if (mappingFile is null || tableFile is null)
            return Wrong("The form has the parts mapping and table.", null);
        var (mapping, problems) = TableMapping.Read(mappingFile);
        if (mapping is null)
            return (null, null, [.. problems.Select(static problem => new FaultIssue(problem, "mapping"))]);
        var (table, wrong) = TableFile.Read(tableFile, mapping);
        if (table is null)
            return Wrong(wrong!, "table");
        return (table, mapping, [.. TableAdapter.Explain(table, mapping).Select(static problem => new FaultIssue(problem, "mapping"))]);

        static (TableFile?, TableMapping?, IReadOnlyList<FaultIssue>) Wrong(string sentence, string? place) => (null, null, [new(sentence, place)]);
    }
}
