using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal;

/// <summary>What one organisation, one app, or one who acted for the citizen did within a minute, for one purpose and on one basis.</summary>
/// <param name="Vendor">Who is responsible for the app; null when it was none.</param>
/// <param name="Place">The unit, and the profession of who looked, as far as the log has them. The employee's name is not shown (Act 703/2023 §74).</param>
/// <param name="Entries">What somebody else received, to be opened: FHIR type, id and a name with a number.</param>
/// <param name="Lines">The entries of the log that it is gathered from, newest first.</param>
internal sealed record AccessEvent(string Who, string? Vendor, string? Place, DateTimeOffset When, string Purpose, string Basis, IReadOnlyList<AccessDeed> Deeds,
    IReadOnlyList<(string Type, string Id, string Name)> Entries, IReadOnlyList<AccessLine> Lines);

/// <param name="What">In words: <c>Viewed: Diagnosis or health problem, Measurement or test result (3)</c>.</param>
/// <param name="Count">Different entries.</param>
internal sealed record AccessDeed(string What, int Count, AccessLine Newest);

/// <summary>Which accesses are asked for.</summary>
/// <param name="From">The first day, in Finland; null: from the beginning.</param>
/// <param name="To">The last one; null: until now.</param>
/// <param name="Who">Part of the name of an organisation, an app or a representative; null: anybody.</param>
/// <param name="WithOwn">The citizen's own visits too.</param>
internal sealed record AccessFilter(DateOnly? From = null, DateOnly? To = null, string? Who = null, bool WithOwn = false)
{
    public bool Takes(AccessLine line) => (WithOwn || !line.BySelf) && (From is not { } from || DayOf(line) >= from) && (To is not { } to || DayOf(line) <= to)
        && (Who is null || new[] { line.OrganisationName, line.AppName, line.Representative?.Name }.Any(name => name?.Contains(Who, StringComparison.CurrentCultureIgnoreCase) is true));

    /// <summary>Whether what is older than this line is from before the first day.</summary>
    public bool EndsAt(AccessLine line) => From is { } from && DayOf(line) < from;

    private static DateOnly DayOf(AccessLine line) => Dates.DayAtHome(line.When);
}

/// <summary>A part of what was asked for, newest first.</summary>
/// <param name="Before">Where what is older begins; null when there is nothing older.</param>
internal sealed record AccessPart(IReadOnlyList<AccessLine> Lines, long? Before);

/// <summary>Tells the citizen who has received the own data (Act 703/2023 §11, §74; EHDS Art. 9).</summary>
internal sealed class AccessEvents(IAccessLog log, EntryLines entries, Texts texts)
{
    /// <summary>Entries opened at a time to see whether an event goes on.</summary>
    private const int Peek = 20;

    /// <summary>Entries opened at a time for the last few events: where the citizen's own visits lie between, further back.</summary>
    private static readonly int[] Few = [20, 60, 120];

    /// <summary>More entries than these are counted, not listed.</summary>
    private const int MostListed = 50;

    private static readonly TimeSpan OneEvent = TimeSpan.FromMinutes(1);

    /// <param name="before">Where an earlier part ended; null: the newest.</param>
    /// <param name="wanted">Lines to stop at, more or less: an event is not cut in two by it.</param>
    /// <param name="mostStretches">How often entries are opened at most, 200 at a time: a citizen's own visits may lie many between two of others.</param>
    /// <exception cref="FaultException">As <see cref="IAccessLog.ForPersonAsync"/>.</exception>
    public async Task<AccessPart> ReadAsync(Requester citizen, AccessFilter filter, long? before, int wanted, int mostStretches, CancellationToken cancel)
    {
        var (lines, stretches) = (new List<AccessLine>(), 0);
        before = await log.BackAsync(citizen, before, filter.WithOwn, LookBack.AtMost(mostStretches), stretch =>
        {
            stretches++;
            lines.AddRange(stretch.Where(filter.Takes));
            return IsEnd(stretch) ? Look.AtEnd : lines.Count >= wanted ? Look.Enough : Look.Further;
        }, cancel);
        if (before is null || Gather(lines) is not [.., [var first, ..]])
            return new(lines, before);
        // The last event may go on.
        long? cut = null;
        before = await log.BackAsync(citizen, before, filter.WithOwn, Enumerable.Repeat(Peek, 2 * mostStretches - stretches), stretch =>
        {
            foreach (var line in stretch.Where(filter.Takes))
            {
                if (!IsOneEvent(first, line))
                {
                    cut = line.Index + 1;
                    return Look.Enough;
                }
                lines.Add(line);
            }
            return IsEnd(stretch) ? Look.AtEnd : stretch is [.., var oldest] && first.When - oldest.When >= OneEvent ? Look.Enough : Look.Further;
        }, cancel);
        return new(lines, cut ?? before);

        bool IsEnd(IReadOnlyList<AccessLine> stretch) => stretch is [.., var last] && filter.EndsAt(last);
    }

    /// <summary>The last events of others, and whether there is anything older that was not looked at.</summary>
    /// <param name="wanted">Events.</param>
    /// <exception cref="FaultException">As <see cref="IAccessLog.ForPersonAsync"/>.</exception>
    public async Task<(IReadOnlyList<AccessEvent> Events, bool HasOlder)> LatelyAsync(Requester citizen, int wanted, CancellationToken cancel)
    {
        var (lines, filter) = (new List<AccessLine>(), new AccessFilter());
        var before = await log.BackAsync(citizen, null, filter.WithOwn, Few, stretch =>
        {
            lines.AddRange(stretch.Where(filter.Takes));
            // The next one has begun: those are whole.
            return Gather(lines).Count > wanted ? Look.Enough : Look.Further;
        }, cancel);
        return ([.. Gather(lines).Take(wanted).Select(Tell)], before is not null);
    }

    /// <summary>Lines as events.</summary>
    public IReadOnlyList<AccessEvent> Tell(IReadOnlyList<AccessLine> newestFirst) => [.. Gather(newestFirst).Select(Tell)];

    private AccessEvent Tell(List<AccessLine> lines)
    {
        var first = lines[0];
        var app = first.AppName;
        return new(
            first.BySelf ? texts["source.self"] : first.Representative is { } who ? texts["access.representative", who.Name ?? ""] : app is null ? first.OrganisationName : texts["access.app", app],
            app is null ? null : first.OrganisationName,
            string.Join(", ", new[] { first.Unit is { } unit ? texts["special.unit", unit] : null, ProfessionOf(first) }.OfType<string>()) is { Length: > 0 } place ? place : null,
            first.When,
            first.Representative is not null ? texts["access.representative.purpose"]
                : app is null ? texts.Find($"purpose.{first.PurposeOfUse}") ?? texts["purpose.other", first.PurposeOfUse] : texts["access.app.purpose"],
            first.Representative is { Role: AuditPerson.Custodian } ? texts["access.representative.custodian"]
                : first.Representative is not null ? texts["access.representative.mandate"]
                : app is null ? texts.Find($"basis.{first.LegalBasis}") ?? texts["basis.other", first.LegalBasis] : texts["access.app.basis"],
            [.. lines.GroupBy(DeedOf).Select(deed => Tell(deed.Key, deed))],
            first.BySelf ? [] : Opened(lines), lines);
    }

    /// <summary>In words; null where it is not known.</summary>
    private string? ProfessionOf(AccessLine line) => line.Profession is { } profession ? texts.Find($"profession.{profession}") ?? profession : null;

    private AccessDeed Tell(string deed, IEnumerable<AccessLine> lines)
    {
        var items = lines.SelectMany(l => l.Items).DistinctBy(i => (i.Type, i.Id)).ToArray();
        return new(texts[$"access.did.{deed}", entries.Kinds(items.Select(i => i.Type))], items.Length, lines.First());
    }

    private (string Type, string Id, string Name)[] Opened(List<AccessLine> lines)
    {
        var items = lines.SelectMany(l => l.Items).DistinctBy(i => (i.Type, i.Id)).Where(i => EntryKind.Shown.Contains(i.Type)).ToArray();
        return items.Length > MostListed ? [] : [.. items.GroupBy(i => i.Type).SelectMany(type => type.Select((item, n) =>
            (item.Type, item.Id, type.Count() == 1 ? entries.Reader.TypeName(item.Type) : $"{entries.Reader.TypeName(item.Type)} {n + 1}")))];
    }

    internal static string DeedOf(AccessLine line) => line.Interaction switch
    {
        "create" or "transaction" => "create",
        "update" or "patch" => "update",
        "delete" => "delete",
        _ => line.AppName is null ? "view" : "received",
    };

    private static bool IsOneEvent(AccessLine first, AccessLine line) => first.OrganisationOid == line.OrganisationOid && first.Unit == line.Unit && first.Profession == line.Profession && first.BySelf == line.BySelf
        && first.AppName == line.AppName && first.Representative == line.Representative && first.PurposeOfUse == line.PurposeOfUse && first.LegalBasis == line.LegalBasis && first.When - line.When < OneEvent;

    /// <summary>Puts neighbours together that are one event to a person: one look at a record is many FHIR requests.</summary>
    private static List<List<AccessLine>> Gather(IEnumerable<AccessLine> newestFirst)
    {
        var events = new List<List<AccessLine>>();
        foreach (var line in newestFirst)
            if (events is [.., [var first, ..] last] && IsOneEvent(first, line))
                last.Add(line);
            else
                events.Add([line]);
        return events;
    }
}
