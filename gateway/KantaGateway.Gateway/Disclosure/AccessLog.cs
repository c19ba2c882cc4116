using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>One line of "who has read my data", in the log's words.</summary>
/// <param name="Index">Leaf of the audit log.</param>
/// <param name="When">UTC.</param>
/// <param name="OrganisationName">Who received it. The employee's name is not shown (Act 703/2023 §74).</param>
/// <param name="OrganisationOid">Dotted.</param>
/// <param name="Interaction">restful-interaction code: read, search-type, create ...</param>
/// <param name="PurposeOfUse">v3-ActReason code.</param>
/// <param name="LegalBasis">A <see cref="Consent.LegalBasis"/> as <see cref="Consent.Explanation"/> names it, such as own-register.</param>
/// <param name="Items">What was disclosed or written.</param>
/// <param name="BySelf">The person's own visit to the portal: nobody else's eyes.</param>
/// <param name="AppName">The app that the person had let at her records; null when it was none.</param>
/// <param name="Representative">Who acted for the person, by name (§74); null when nobody did.</param>
/// <param name="Profession">Of the professional who received it, as the role register writes it; null when it was none, or is not known.</param>
/// <param name="ConsentId">Id of the permission or the emergency on which a disclosure rests.</param>
public sealed record AccessLine(long Index, DateTimeOffset When, string OrganisationName, string OrganisationOid, string Interaction, string PurposeOfUse,
    string LegalBasis, IReadOnlyList<AuditItem> Items, bool BySelf, string? AppName, AuditPerson? Representative = null,
    string? Profession = null, string? ConsentId = null);

/// <summary>A stretch of the log.</summary>
/// <param name="Lines">Newest first; fewer than were looked through, for refusals and empty answers disclosed nothing.</param>
/// <param name="Before">Where the next stretch begins; null when there is no older entry.</param>
public sealed record AccessStretch(IReadOnlyList<AccessLine> Lines, long? Before);

/// <summary>"Who has read my data."</summary>
public interface IAccessLog
{
    /// <summary>Newest first: every access that disclosed or changed something.</summary>
    /// <param name="citizen">The person, or who acts for the person by a mandate.</param>
    /// <param name="limit">Entries to look through, newest first.</param>
    /// <param name="beforeIndex">Where the stretch before ended.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The log or the key service cannot be reached, or a custodian asks: a child's disclosure log is not shown to custodians (§51).</exception>
    Task<AccessStretch> ForPersonAsync(Requester citizen, int limit = 200, long beforeIndex = long.MaxValue, CancellationToken cancel = default);
}

/// <summary>The person's view of the audit log: the sealed entries about them, opened by the key service for them alone.</summary>
public sealed class AccessLog(AuditLog log, KeyServiceClient keys, GrantIssuer grants) : IAccessLog
{
    /// <inheritdoc />
    public async Task<AccessStretch> ForPersonAsync(Requester citizen, int limit = 200, long beforeIndex = long.MaxValue, CancellationToken cancel = default)
    {
        if (citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian })
            throw new FaultException(new Fault(FaultKind.Denied, "Who has looked at a child's records is not shown to custodians."));
        if (citizen.Person is not { } person)
            return new([], null);
        var entries = await EntriesOfAsync(person, limit, beforeIndex);
        if (entries.Count == 0)
            return new([], null);
        using var answer = await keys.OpenAuditAsync(await grants.ForAuditTrailAsync(citizen, person), entries, cancel);
        var lines = new List<AccessLine>(entries.Count);
        foreach (var opened in answer.RootElement.GetProperty("entries").Deserialize<OpenedEntry[]>(JsonSerializerOptions.Web) ?? [])
            if (DisclosureRecord.TryRead(opened.Record, out var record) && record is { Outcome: AuditOutcome.Success, Kind: not AuditKind.AuthorizationDecision, Items.Count: > 0 })
                lines.Add(new(opened.Index, record.Recorded, record.Organisation.Name, record.Organisation.Oid, record.Interaction, record.PurposeOfUse,
                    record.LegalBasis ?? "", record.Items, IsBySelf(record), record.System.AppName, RepresentativeIn(record), record.Professional?.Role, record.ConsentId));
        lines.Sort((a, b) => b.Index.CompareTo(a.Index));
        return new(lines, entries.Count < limit ? null : entries[^1].Index);
    }

    private async ValueTask<IReadOnlyList<SealedEntry>> EntriesOfAsync(Pseudonym person, int limit, long beforeIndex)
    {
        try
        {
            return await log.ForSubjectAsync(person.ToArray(), limit, beforeIndex);
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }

    /// <summary>The portal in the person's own session. An app that she let in is another's eyes, though it asks in her name.</summary>
    private static bool IsBySelf(DisclosureRecord record) =>
        record is { Citizen: not null, System: { ClientId: PortalSessions.ClientId, AppName: null } } && RepresentativeIn(record) is null;

    private static AuditPerson? RepresentativeIn(DisclosureRecord record) =>
        record is { Citizen: { } citizen, PatientId: { } person } && citizen.Id != person ? citizen : null;
}
