using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal;

/// <summary>A visit that a denial can name.</summary>
/// <param name="Id">FHIR id of the Encounter.</param>
/// <param name="ServiceEvent">Dotted OID.</param>
/// <param name="Title">Date, kind and place in one line.</param>
internal sealed record Visit(string Id, string ServiceEvent, string Title);

/// <summary>The citizen's visits as things to choose and to name.</summary>
internal sealed class Visits(OwnRecords records, EntryLines lines, OrganisationNames names, Texts texts)
{
    /// <summary>Those with a service event, newest first.</summary>
    public async Task<IReadOnlyList<Visit>> ReadAsync(Requester citizen, CancellationToken cancel)
    {
        var visits = await records.ReadAsync(citizen, [EntryKind.Find("visits")!], cancel);
        return [.. visits.Entries.Where(v => v.ServiceEvent is not null).Select(v => new Visit(v.Id, v.ServiceEvent!, Title(lines.Of(v, withKind: false))))];
    }

    /// <summary>What a denial covers, in words.</summary>
    /// <param name="known">The visits that can be named.</param>
    public string Describe(DenialTarget target, IReadOnlyList<Visit> known) => target switch
    {
        DenialTarget.All => texts["consent.denial.all"],
        DenialTarget.OfServiceEvent(var oid) => known.FirstOrDefault(v => v.ServiceEvent == oid) is { } visit
            ? texts["consent.denial.event", visit.Title]
            : texts["consent.denial.event.unknown"],
        DenialTarget.OfRegister(var controller, _) => texts["consent.denial.register", names.Of(controller)],
        DenialTarget.OfPrescription => texts["consent.denial.prescription"],
        _ => texts["consent.denial.other"],
    };

    private static string Title(EntryLine line) =>
        string.Join(", ", new[] { line.Entry.When is { } when ? Dates.Day(when.Sort) : null, line.Title, line.Source }.OfType<string>());
}
