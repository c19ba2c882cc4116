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
/// <param name="Unit">OID of the unit that received it; null where none was named.</param>
/// <param name="ClientId">Of the system or the app that asked.</param>
public sealed record AccessLine(long Index, DateTimeOffset When, string OrganisationName, string OrganisationOid, string Interaction, string PurposeOfUse,
    string LegalBasis, IReadOnlyList<AuditItem> Items, bool BySelf, string? AppName, AuditPerson? Representative = null,
    string? Profession = null, string? ConsentId = null, string? Unit = null, string? ClientId = null)
{
    /// <summary>Whether a place of care had it: neither the person or who represents her in the portal, nor an app of hers.</summary>
    public bool IsOfCare => !BySelf && AppName is null && Representative is null;
}

/// <summary>A stretch of the log.</summary>
/// <param name="Lines">Newest first; fewer than were looked through, for refusals and empty answers disclosed nothing.</param>
/// <param name="Before">Where the next stretch begins; null when there is no older entry.</param>
public sealed record AccessStretch(IReadOnlyList<AccessLine> Lines, long? Before);

/// <summary>A line with what proves it to the person: the entry as it is in the log, but for what she is not told, and that the log has it.</summary>
/// <param name="Proof">C2SP tlog-proof.</param>
/// <param name="LogKey">Verifier key of the log (vkey).</param>
public sealed record ProvenLine(AccessLine Line, OpenedEntry Entry, string Proof, string LogKey);

/// <summary>"Who has read my data."</summary>
public interface IAccessLog
{
    /// <summary>A line that <see cref="ForPersonAsync"/> gives, with its proof; null for an entry that is none: somebody else's looks like one that is not there.</summary>
    /// <param name="citizen">As there.</param>
    /// <exception cref="FaultException">As there; and of an entry that was pruned, whoever asks (<see cref="FaultKind.Deleted"/>).</exception>
    Task<ProvenLine?> ProveAsync(Requester citizen, long index, CancellationToken cancel = default);

    /// <summary>Newest first: every access that disclosed or changed something.</summary>
    /// <param name="citizen">The person, or who acts for the person by a mandate.</param>
    /// <param name="limit">Entries to look through, newest first; fewer where they are long.</param>
    /// <param name="beforeIndex">Where the stretch before ended.</param>
    /// <param name="withOwn">Whether the person's own visits too; without them, those are passed over unopened.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The log or the key service cannot be reached, or a custodian asks: a child's disclosure log is not shown to custodians (§51).</exception>
    Task<AccessStretch> ForPersonAsync(Requester citizen, int limit = 200, long beforeIndex = long.MaxValue, bool withOwn = true, CancellationToken cancel = default);
}

/// <summary>The person's view of the audit log: the sealed entries about them, opened by the key service for them alone.</summary>
/// <param name="mostBytes">Sealed entries opened at a time, bytes, but one in any case: an entry names everything that was disclosed, so each reading of a long record is long. Shorter than the key service is waited for.</param>
public sealed class AccessLog(AuditLog log, KeyServiceClient keys, GrantIssuer grants, int mostBytes = 1 << 20) : IAccessLog
{
    /// <inheritdoc />
    public async Task<AccessStretch> ForPersonAsync(Requester citizen, int limit = 200, long beforeIndex = long.MaxValue, bool withOwn = true, CancellationToken cancel = default)
    {
        if (PersonOf(citizen) is not { } person)
            return new([], null);
        var all = await EntriesOfAsync(person, limit, beforeIndex, withOwn);
        if (all.Count == 0)
            return new([], null);
        // The log ends with the one that is too much, which is for the next time unless it is the first.
        var isCut = all.Sum(static entry => (long)entry.Sealed.Length) > mostBytes;
        var entries = isCut && all.Count > 1 ? [.. all.SkipLast(1)] : all;
        var lines = (await OpenAsync(citizen, person, entries, cancel)).Select(LineOf).OfType<AccessLine>().Where(line => withOwn || !line.BySelf).ToList();
        lines.Sort((a, b) => b.Index.CompareTo(a.Index));
        return new(lines, entries.Count < limit && !isCut ? null : entries[^1].Index);
    }

    /// <inheritdoc />
    public async Task<ProvenLine?> ProveAsync(Requester citizen, long index, CancellationToken cancel = default)
    {
        // Of her own entries the one that is not after it: somebody else's is none of them.
        if (PersonOf(citizen) is not { } person || index is < 0 or long.MaxValue)
            return null;
        if ((await EntriesOfAsync(person, 1, index + 1, withOwn: true)) is not [var entry] || entry.Index != index)
            return await PrunedEntries.FaultOfAsync(log, index) is { } pruned ? throw new FaultException(pruned) : null;
        if ((await OpenAsync(citizen, person, [entry], cancel)) is not [var opened] || LineOf(opened) is not { } line)
            return null;
        try
        {
            return await log.ProveAboutAsync(index, person.ToArray()) is { } proof ? new(line, opened, proof.ToString(), log.Verifier.ToString()) : null;
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }

    private static Pseudonym? PersonOf(Requester citizen) => citizen.OnBehalfOf is { Kind: RepresentationKind.Custodian }
        ? throw new FaultException(new Fault(FaultKind.Denied, "Who has looked at a child's records is not shown to custodians.")) : citizen.Person;

    private async Task<IReadOnlyList<OpenedEntry>> OpenAsync(Requester citizen, Pseudonym person, IReadOnlyList<SealedEntry> entries, CancellationToken cancel) =>
        await keys.OpenAuditAsync(await grants.ForAuditTrailAsync(citizen, person), entries, cancel);

    /// <summary>Null for refusals and what gave nothing.</summary>
    private static AccessLine? LineOf(OpenedEntry opened) =>
        DisclosureRecord.TryRead(opened.Record, out var record) && record is { Outcome: AuditOutcome.Success, Kind: not AuditKind.AuthorizationDecision, Items.Count: > 0 }
            ? new(opened.Index, record.Recorded, record.Organisation.Name, record.Organisation.Oid, record.Interaction, record.PurposeOfUse,
                record.LegalBasis ?? "", record.Items, IsBySelf(record), record.System.AppName, RepresentativeIn(record), record.Professional?.Role, record.ConsentId, record.Unit, record.System.ClientId)
            : null;

    private async ValueTask<IReadOnlyList<SealedEntry>> EntriesOfAsync(Pseudonym person, int limit, long beforeIndex, bool withOwn)
    {
        try
        {
            return await log.ForSubjectAsync(person.ToArray(), limit, beforeIndex, withOwn, mostBytes);
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(DisclosureAudit.Unavailable);
        }
    }

    /// <summary>The portal in the person's own session. An app that she let in is another's eyes, though it asks in her name.</summary>
    internal static bool IsBySelf(DisclosureRecord record) =>
        record is { Citizen: not null, System: { ClientId: PortalSessions.ClientId, AppName: null } } && RepresentativeIn(record) is null;

    private static AuditPerson? RepresentativeIn(DisclosureRecord record) =>
        record is { Citizen: { } citizen, PatientId: { } person } && citizen.Id != person ? citizen : null;
}
