using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>A file of an entry, to be saved: whatever somebody has stored, it is never run from this address.</summary>
internal sealed class FileModel(OwnRecords records) : CitizenPage
{
    public async Task<IActionResult> OnGetAsync(string type, Guid id, int number, CancellationToken cancel)
    {
        if (!EntryKind.Shown.Contains(type) || await records.ReadOneAsync(Citizen, type, id.ToString("D"), cancel) is not { } entry)
            throw new RefusedException(StatusCodes.Status404NotFound);
        if (await records.FileAsync(Citizen, entry, number, cancel) is not var (attachment, bytes))
            return Done($"/records/entry/{type}/{entry.Id}", "file-unavailable");
        Response.Headers.ContentSecurityPolicy = "sandbox; default-src 'none'";
        return File(bytes, attachment.GivenType, attachment.FileName);
    }
}
