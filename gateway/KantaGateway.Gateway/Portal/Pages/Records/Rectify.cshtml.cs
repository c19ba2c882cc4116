using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// A request to have an entry corrected, ready to be printed (GDPR Art. 16, 19; EHDS Art. 6): the controller decides on it, and is reached on paper. Nothing of it is stored or sent, so it
/// is in no address and in no answer but this one.
/// </summary>
internal sealed class RectifyModel(OwnRecords records, EntryLines lines, IdentifierCipher ids, TimeProvider time) : CitizenPage
{
    internal const int MostLetters = 3_000;

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
    public async Task<IActionResult> OnPostAsync(string type, Guid id, [FromForm] RectifyForm form, [FromForm] string? edit, CancellationToken cancel)
    {
        await FindAsync(type, id, cancel);
        Form = form;
        if (edit == "yes")
            return Page();
        Problem = string.IsNullOrWhiteSpace(form.Wrong) ? new("wrong", "rectify.error.wrong")
            : string.IsNullOrWhiteSpace(form.Right) ? new("right", "rectify.error.right")
            : IsTooLong(form.Wrong) ? new("wrong", "rectify.error.long")
            : IsTooLong(form.Right) ? new("right", "rectify.error.long")
            : IsTooLong(form.Why) ? new("why", "rectify.error.long") : null;
        if (Problem is not null)
            return Rejected();
        var patient = await records.ReadOneAsync(Citizen, "Patient", ids.PatientId(Citizen.Person!.Value), cancel);
        Born = StatedTime.Read(patient?.Resource.String("birthDate")) is { } born ? Dates.Of(born) : null;
        IsReady = true;
        return Page();
    }

    /// <summary>Counted as browsers do: a line break is one letter in a field and two in a form.</summary>
    private static bool IsTooLong(string? text) => text?.ReplaceLineEndings("\n").Length > MostLetters;

    private async Task FindAsync(string type, Guid id, CancellationToken cancel)
    {
        if (!EntryKind.Shown.Contains(type) || await records.ReadOneAsync(Citizen, type, id.ToString("D"), cancel) is not { } entry)
            throw new RefusedException(StatusCodes.Status404NotFound);
        Line = lines.Of(entry, withKind: true);
    }
}

/// <param name="Wrong">What is wrong or missing.</param>
/// <param name="Right">What it should be.</param>
/// <param name="Why">Grounds; may be left out.</param>
internal sealed record RectifyForm(string? Wrong, string? Right, string? Why);
