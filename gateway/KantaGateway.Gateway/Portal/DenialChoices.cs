using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal;

/// <summary>Something that a denial can name.</summary>
/// <param name="Kind">One of <see cref="DenialChoices.Kinds"/>.</param>
/// <param name="Value">As the form sends it.</param>
/// <param name="Title">Of a visit date, kind and place, of a prescription date, medicine and place, of a register who keeps it.</param>
/// <param name="Entry">FHIR id of the visit or the prescription; null for a register.</param>
internal sealed record DenialChoice(string Kind, string Value, string Title, DenialTarget Target, string? Entry = null);

/// <summary>What the citizen can deny besides everything (Act 703/2023 §59.2): as things to choose and to name.</summary>
internal sealed class DenialChoices(OwnRecords records, EntryLines lines, OrganisationNames names, IWhoSeesWhat sees, Texts texts)
{
    public const string PublicRegister = "register", OccupationalRegister = "occupational", Visit = "event", Prescription = "prescription";

    /// <summary>In the order of the page.</summary>
    public static readonly IReadOnlyList<string> Kinds = [PublicRegister, OccupationalRegister, Visit, Prescription];

    private static readonly EntryKind Deniable = new("deniable", "Encounter", "MedicationRequest");

    /// <summary>
    /// Visits with a service event and prescriptions, newest first; public registers, first those that hold something, for a denial covers what is yet to come; and
    /// registers of occupational care that hold something, whatever else their keeper is.
    /// </summary>
    public async Task<IReadOnlyList<DenialChoice>> ReadAsync(Requester citizen, CancellationToken cancel)
    {
        var held = await sees.OfAsync(citizen, null, cancel);
        var publicRegisters = names.OfPublicControllers().OrderByDescending(c => held.Any(h => h.Controller == c.Oid))
            .Select(c => new DenialChoice(PublicRegister, c.Oid, c.Name, new DenialTarget.OfRegister(c.Oid, Register.Patient)));
        var occupational = held.Where(h => Register.IsOccupational(h.Register) && names.HasJoined(h.Controller)).Select(h => new DenialTarget.OfRegister(h.Controller, h.Register))
            .Select(r => new DenialChoice(OccupationalRegister, Register.Of(r.Controller, r.Register), names.OfRegister(r.Controller, r.Register), r)).OrderBy(c => c.Title, StringComparer.CurrentCulture);
        return [.. publicRegisters, .. occupational, .. await EntriesAsync(citizen, cancel)];
    }

    /// <summary>Those that have to be read to name these targets.</summary>
    public async Task<IReadOnlyList<DenialChoice>> NamingAsync(Requester citizen, IEnumerable<DenialTarget> targets, CancellationToken cancel) =>
        targets.Any(static t => t is DenialTarget.OfServiceEvent or DenialTarget.OfPrescription) ? await EntriesAsync(citizen, cancel) : [];

    /// <summary>What a denial covers, in words.</summary>
    /// <param name="known">What can be named.</param>
    public string Describe(DenialTarget target, IReadOnlyList<DenialChoice> known)
    {
        var title = known.FirstOrDefault(c => c.Target == target)?.Title;
        return target switch
        {
            DenialTarget.All => texts["consent.denial.all"],
            DenialTarget.OfServiceEvent => title is null ? texts["consent.denial.event.unknown"] : texts["consent.denial.event", title],
            DenialTarget.OfRegister register => texts["consent.denial.register", names.OfRegister(register.Controller, register.Register)],
            DenialTarget.OfPrescription => title is null ? texts["consent.denial.prescription.unknown"] : texts["consent.denial.prescription", title],
            _ => texts["consent.denial.other"],
        };
    }

    /// <summary>The kind of a target as forms and hooks name it.</summary>
    public static string KindOf(DenialTarget target) => target switch
    {
        DenialTarget.All => "all",
        DenialTarget.OfServiceEvent => Visit,
        DenialTarget.OfRegister(_, var register) => Register.IsOccupational(register) ? OccupationalRegister : PublicRegister,
        DenialTarget.OfPrescription => Prescription,
        _ => "other",
    };

    private async Task<IReadOnlyList<DenialChoice>> EntriesAsync(Requester citizen, CancellationToken cancel)
    {
        var read = await records.ReadAsync(citizen, [Deniable], cancel);
        return
        [
            .. read.Entries.Select(e => e switch
            {
                { Type: "MedicationRequest" } => new DenialChoice(Prescription, e.Id, Title(e), new DenialTarget.OfPrescription(e.Id), e.Id),
                { ServiceEvent: { } oid } => new DenialChoice(Visit, oid, Title(e), new DenialTarget.OfServiceEvent(oid), e.Id),
                _ => null,
            }).OfType<DenialChoice>(),
        ];
    }

    private string Title(Entry entry) => string.Join(", ", new[] { entry.When is { } when ? Dates.Day(when.Sort) : null, lines.Reader.Title(entry), names.Of(entry.Organisation) }.OfType<string>());
}
