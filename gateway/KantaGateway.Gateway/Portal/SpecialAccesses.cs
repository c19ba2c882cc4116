using KantaGateway.Fhir.Outcomes;
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
    /// <summary>Log entries opened at a time, and how often: what lies further back is told without what the log knows.</summary>
    private const int Stretch = 200, MostStretches = 10;

    public async Task<IReadOnlyList<SpecialAccess>> TellAsync(Requester citizen, IReadOnlyList<RecordedAccess> accesses, CancellationToken cancel)
    {
        if (accesses.Count == 0)
            return [];
        var (lines, isWhole) = await LinesAsync(citizen, accesses.Min(a => a.Record.At), cancel);
        return [.. accesses.Select(access => Tell(access, lines, isWhole))];
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

    /// <summary>The log back to a moment.</summary>
    /// <returns>Its lines, and whether those are all.</returns>
    private async Task<(IReadOnlyList<AccessLine> Lines, bool IsWhole)> LinesAsync(Requester citizen, DateTimeOffset since, CancellationToken cancel)
    {
        var lines = new List<AccessLine>();
        long? before = long.MaxValue;
        try
        {
            for (var i = 0; i < MostStretches && before is { } index; i++)
            {
                var stretch = await log.ForPersonAsync(citizen, Stretch, index, cancel);
                lines.AddRange(stretch.Lines);
                // Clocks of who records and who logs may be apart.
                if (stretch.Before is null || stretch.Lines.Any(l => l.When < since - Declaration.Skew))
                    return (lines, true);
                before = stretch.Before;
            }
        }
        catch (FaultException)
        {
            // The notice stands without it.
        }
        return (lines, false);
    }
}
