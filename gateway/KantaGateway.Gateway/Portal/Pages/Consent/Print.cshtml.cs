using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Informing, permission and denials to be printed (Act 703/2023 §58): all that is in force, or one of them, withdrawn or not.</summary>
internal sealed class PrintModel(OwnDeclarations declarations, DenialChoices choices, PrintedDeclarations prints, OwnRecords records, IdentifierCipher ids, TimeProvider time) : CitizenPage
{
    public string? Person => Citizen.OnBehalfOf?.Name ?? Citizen.CitizenName;

    /// <summary>Who prints it for the person; null: the person.</summary>
    public string? Representative => Citizen.OnBehalfOf is null ? null : Citizen.CitizenName;

    /// <summary>Day of birth, by which people of one name are told apart; the identity code is not put on paper (Act 1050/2018 §29).</summary>
    public string? Born { get; private set; }

    public DateTimeOffset At { get; } = time.GetUtcNow();

    public IReadOnlyList<PrintedDeclaration> Printed { get; private set; } = [];

    /// <summary>Key of the sentence that sums up what is in force; null where only one declaration is printed.</summary>
    public string? Sentence { get; private set; }

    /// <param name="id">FHIR id of one Consent; null: all that is in force.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnGetAsync([FromQuery] Guid? id, CancellationToken cancel)
    {
        // What has been declared is not shown to custodians (§51).
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        var state = await declarations.ReadAsync(Citizen, cancel);
        List<Declaration> found = id is { } one ? [.. state.All.Where(d => d.Id == one.ToString("D"))]
            : [.. ((Declaration?[])[state.Informed, state.Permission, .. state.Denials]).OfType<Declaration>()];
        var named = await choices.NamingAsync(Citizen, found.OfType<DisclosureDenial>().Select(d => d.Target), cancel);
        Printed = [.. found.Select(d => prints.Of(d, d is DisclosureDenial denial ? choices.Describe(denial.Target, named) : null, state.InformingOf(d), At, state.Holds(d))).OfType<PrintedDeclaration>()];
        if (id is not null && Printed.Count == 0)
            throw new RefusedException(StatusCodes.Status404NotFound);
        Sentence = id is null ? state.Sentence : null;
        var patient = await records.ReadOneAsync(Citizen, "Patient", ids.PatientId(Citizen.Person!.Value), cancel);
        Born = StatedTime.Read(patient?.Resource.String("birthDate")) is { } born ? Dates.Of(born) : null;
        return Page();
    }
}
