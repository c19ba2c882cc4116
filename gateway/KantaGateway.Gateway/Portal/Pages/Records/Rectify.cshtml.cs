using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// A request to have an entry corrected (GDPR Art. 16, 19; EHDS Art. 6): the controller decides on it. Before it is sent it is shown as it would be, and can be printed instead; until then nothing of it is stored, so it
/// is in no address and in no answer but this one.
/// </summary>
internal sealed class RectifyModel(OwnRecords records, Rectifications rectifications, EntryLines lines, IdentifierCipher ids, TimeProvider time) : CitizenPage
{
    internal const int MostLetters = RectificationRequest.MostLetters;

    public RectifyForm Form { get; private set; } = new(null, null, null);

    public FormProblem? Problem { get; private set; }

    /// <summary>Whether the request is ready, and shown instead of the form.</summary>
    public bool IsReady { get; private set; }

    public EntryLine Line { get; private set; } = null!;

    public string Address => $"/records/entry/{Line.Entry.Type}/{Line.Entry.Id}";

    public string? Version => Line.Entry.Resource.At("meta")?.String("versionId");

    public string? Person => Citizen.OnBehalfOf?.Name ?? Citizen.CitizenName;

    /// <summary>Who asks for the person; null: the person.</summary>
    public string? Representative => Citizen.OnBehalfOf is null ? null : Citizen.CitizenName;

    /// <summary>Day of birth; the identity code is for the pen.</summary>
    public string? Born { get; private set; }

    public DateTimeOffset At { get; } = time.GetUtcNow();

    /// <summary>For the pen.</summary>
    public string Pen => "______________________________";

    public async Task<IActionResult> OnGetAsync(string type, Guid id, CancellationToken cancel)
    {
        await FindAsync(type, id, cancel);
        return Page();
    }

    /// <param name="edit"><c>yes</c>: back to the form, with what was written.</param>
    /// <param name="send"><c>yes</c>: stored, for the controller to answer.</param>
    public async Task<IActionResult> OnPostAsync(string type, Guid id, [FromForm] RectifyForm form, [FromForm] string? edit, [FromForm] string? send, CancellationToken cancel)
    {
        await FindAsync(type, id, cancel);
        Form = form;
        if (edit == "yes")
            return Page();
        Problem = form.Problem;
        if (Problem is not null)
            return Rejected();
        if (send == "yes")
            return await SendAsync(type, id.ToString("D"), form, cancel);
        var patient = await records.ReadOneAsync(Citizen, "Patient", ids.PatientId(Citizen.Person!.Value), cancel);
        Born = StatedTime.Read(patient?.Resource.String("birthDate")) is { } born ? Dates.Of(born) : null;
        IsReady = true;
        return Page();
    }

    private async Task<IActionResult> SendAsync(string type, string id, RectifyForm form, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        try
        {
            return await rectifications.AskAsync(Citizen, type, id, form, cancel) is null ? throw new RefusedException(StatusCodes.Status404NotFound) : Done(RectificationsModel.Address, "rectification-sent");
        }
        catch (FaultException many) when (many.Fault.Kind == FaultKind.TooMany)
        {
            return Done(RectificationsModel.Address, "rectifications-too-many");
        }
    }

    private async Task FindAsync(string type, Guid id, CancellationToken cancel)
    {
        Line = lines.Of(await rectifications.FindAsync(Citizen, type, id.ToString("D"), cancel) ?? throw new RefusedException(StatusCodes.Status404NotFound), withKind: true);
    }
}
