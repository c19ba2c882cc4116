using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal;

/// <summary>An emergency or a confirmation as the citizen is told of it.</summary>
/// <param name="Profession">In words; null where it is not known.</param>
/// <param name="Kinds">What was given in the emergency, in words; empty: nothing. Null where the log cannot tell, and of a confirmation.</param>
internal sealed record SpecialAccess(RecordedAccess Access, string? Profession, string? Kinds);

/// <summary>
/// Emergencies and confirmations with what the audit log knows of them. The Consent alone says that there was one; the log only adds to it, so that no outage hides
/// an emergency.
/// </summary>
internal sealed class SpecialAccesses(IAccessLog log, EntryLines entries, Texts texts)
{
    /// <summary>So many stretches of the log are looked through: what lies further back is told without what the log knows.</summary>
    private const int MostStretches = 10;

    public async Task<IReadOnlyList<SpecialAccess>> TellAsync(Requester citizen, IReadOnlyList<RecordedAccess> accesses, CancellationToken cancel)
    {
        if (accesses.Count == 0)
            return [];
        var (lines, since) = (new List<AccessLine>(), accesses.Min(a => a.Record.At) - LookBack.Skew);
        var isWhole = await log.TryBackAsync(citizen, MostStretches, stretch =>
        {
            lines.AddRange(stretch);
            return stretch.Any(l => l.When < since) ? Look.AtEnd : Look.Further;
        }, cancel);
        // While the log is away the notice stands without it.
        return [.. accesses.Select(access => Tell(access, isWhole is null ? [] : lines, isWhole is true))];
    }

    private SpecialAccess Tell(RecordedAccess access, IReadOnlyList<AccessLine> lines, bool isWhole)
    {
        var id = access.Record.Id;
        var given = lines.Where(l => l.ConsentId == id).ToList();
        var profession = lines.FirstOrDefault(l => l.ConsentId == id || (l.Interaction == "create" && l.Items.Any(i => i.Type == "Consent" && i.Id == id)))?.Profession;
        return new(access, profession is null ? null : texts.Find($"profession.{profession}") ?? profession,
            access.Record is not EmergencyAccess || (given.Count == 0 && !isWhole) ? null
                : entries.Kinds(given.SelectMany(l => l.Items).DistinctBy(i => (i.Type, i.Id)).Select(i => i.Type)));
    }
}
