using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Download;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The own record to take along (EHDS Art. 3, 7; GDPR Art. 15, 20): by a form, so that no link and no prefetch gets it.</summary>
internal sealed class DownloadModel(RecordPages record, RecordBundle bundle, RecordPdf print, EntryLines lines, Texts texts, GatewayOptions options, TimeProvider time) : CitizenPage
{
    /// <summary>In the order of the page: to be read, for who treats, for machines.</summary>
    public static readonly IReadOnlyList<string> Formats = ["pdf", "summary", "fhir"];

    public FormProblem? Problem { get; private set; }

    private string? Person => Citizen.OnBehalfOf?.Name ?? Citizen.CitizenName;

    public void OnGet() { }

    public async Task<IActionResult> OnPostAsync([FromForm] string? format, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        switch (format)
        {
            case "pdf":
                var printed = new PrintedContent();
                await foreach (var page in record.OfPersonAsync(Citizen, [], cancel))
                    foreach (var entry in page.Entries)
                        printed.Add(entry);
                return File(print.Write(printed, Person, Citizen.OnBehalfOf is null ? null : Citizen.CitizenName, now), "application/pdf", NameOf("records", "pdf", now));
            case "summary":
                var summary = new SummaryContent();
                await foreach (var page in record.OfPersonAsync(Citizen, SummaryContent.Types, cancel))
                    foreach (var entry in page.Entries)
                        summary.Add(entry);
                var document = new PatientSummary(texts, entry => lines.Of(entry, withKind: false)).Write(summary, Guid.NewGuid(), options.PublicAddress + "/fhir", Person, now);
                return File(document, MediaType, NameOf("summary", "json", now));
            case "fhir":
                await WriteAllAsync(now, cancel);
                return new EmptyResult();
            default:
                Problem = new("format", "download.error");
                return Rejected();
        }
    }

    private async Task WriteAllAsync(DateTimeOffset now, CancellationToken cancel)
    {
        await using var pages = record.OfPersonAsync(Citizen, [], cancel).GetAsyncEnumerator(cancel);
        // What is refused at once is told on a page: nothing has left yet.
        var isThere = await pages.MoveNextAsync();
        Response.ContentType = MediaType;
        Response.Headers.ContentDisposition = $"attachment; filename={NameOf("records", "json", now)}";
        try
        {
            await bundle.WriteAsync(Response.BodyWriter, Citizen, RestAsync(), cancel);
        }
        catch (Exception outage) when (outage is RefusedException or FaultException or SharedStateException)
        {
            // The browser is to see that the file is not whole.
            HttpContext.Abort();
        }

        async IAsyncEnumerable<RecordPage> RestAsync()
        {
            for (; isThere; isThere = await pages.MoveNextAsync())
                yield return pages.Current;
        }
    }

    private const string MediaType = "application/fhir+json";

    /// <summary>Names nobody: who else uses the device sees it.</summary>
    private static string NameOf(string what, string extension, DateTimeOffset now) => $"{what}-{Dates.DayAtHome(now):yyyy-MM-dd}.{extension}";
}
