using System.Globalization;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>Whom a breach has reached, and with what.</summary>
/// <param name="Persons">In the order in which they were first reached.</param>
/// <param name="Evidence">Of each person the entries that say so.</param>
/// <param name="Findings">Proves them.</param>
/// <param name="Refused">As <see cref="ScopeTest.Refused"/>.</param>
/// <param name="OfNobody">As <see cref="ScopeTest.OfNobody"/>.</param>
internal sealed record ScopeResult(IReadOnlyList<ReachedPerson> Persons, IReadOnlyDictionary<string, IReadOnlyList<(FoundEntry Entry, DisclosureRecord Record)>> Evidence, AuditFindings Findings, long Refused, long OfNobody);

/// <summary>
/// The scope of a breach: from what is known of whoever asked to the exact persons, resources and versions, out of the audit log alone. The key service gives the keys of the seconds that are read, against the
/// gateway's word for two persons and a case; the reader's own key stays there.
/// </summary>
internal sealed partial class BreachScope(AuditLog log, KeyServiceClient keys, ILogger<BreachScope> logger)
{
    /// <summary>Reads the log. It takes every processor for some seconds a million entries.</summary>
    /// <param name="reading">That two persons have approved of it; of the time of the criteria.</param>
    /// <exception cref="FaultException">The key service gives no keys, the log cannot be read or is not what it has to be, or too much is looked for at once.</exception>
    public async Task<ScopeResult> RunAsync(AuditReading reading, ScopeCriteria criteria, CancellationToken cancel)
    {
        var test = criteria.Test() ?? throw new ArgumentException("A criterion is malformed.", nameof(criteria));
        try
        {
            var findings = await log.SearchAsync(new(criteria.From, criteria.To, (encs, stop) => keys.AuditKeysAsync(reading, encs, stop), test.IsWanted), cancel).ConfigureAwait(false);
            return ResultOf(findings, test);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new FaultException(new Fault(FaultKind.AuditUnavailable, "The audit log cannot be read at the moment. Try again."));
        }
        catch (AuditStoreException damaged)
        {
            LogDamaged(logger, damaged.Message);
            throw new FaultException(new Fault(FaultKind.AuditUnavailable,
                "The store of the audit log is not what it has to be, so there is no scope that could be relied on. The operators have been called; trying again does not help. Verify the log against a checkpoint that was kept elsewhere, and search a sound copy of it."));
        }
        catch (AuditSearchTooWideException)
        {
            throw new FaultException(new Fault(FaultKind.Unprocessable,
                string.Create(CultureInfo.InvariantCulture, $"More than {AuditSearch.MostFound:N0} entries match. Propose narrower criteria: a shorter time, such as a day at a time, or more of what is known of whoever asked.")));
        }
    }

    internal static ScopeResult ResultOf(AuditFindings findings, ScopeTest test)
    {
        var evidence = new Dictionary<string, IReadOnlyList<(FoundEntry, DisclosureRecord)>>(StringComparer.Ordinal);
        var persons = new List<(Pseudonym Person, string Id, List<ReachedItem> Items)>();
        var itemsOf = new Dictionary<string, List<ReachedItem>>(StringComparer.Ordinal);
        foreach (var found in findings.Found)
        {
            if (!DisclosureRecord.TryRead(found.Entry.Record, found.Entry.Withheld, out var record) || record.PatientId is not { } id)
                throw new InvalidOperationException("It was read before.");
            if (!itemsOf.TryGetValue(id, out var items))
            {
                persons.Add((Pseudonym.Read(found.Entry.Subject), id, itemsOf[id] = items = []));
                evidence[id] = new List<(FoundEntry, DisclosureRecord)>();
            }
            items.AddRange(record.Items.Select(item => new ReachedItem(item, IsWrite(record), record.Recorded, found.Entry.Index)));
            ((List<(FoundEntry, DisclosureRecord)>)evidence[id]).Add((found, record));
        }
        return new([.. persons.Select(static one => new ReachedPerson(one.Person, one.Id, one.Items))], evidence, findings, test.Refused, test.OfNobody);
    }

    [LoggerMessage(1, LogLevel.Critical, "ALARM: the scope of a breach could not be read, for the audit store is not what it has to be: {What}")]
    private static partial void LogDamaged(ILogger logger, string what);

    private static bool IsWrite(DisclosureRecord record) => record.Interaction is "create" or "update" or "patch" or "delete" or "transaction";
}
