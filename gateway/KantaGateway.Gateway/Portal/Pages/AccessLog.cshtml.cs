using KantaGateway.Audit.Balp;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Who has received the citizen's data (Act 703/2023 §11, §74; EHDS Art. 9).</summary>
internal sealed class AccessLogModel(IAccessLog log, EntryLines entries, Texts texts) : CitizenPage
{
    /// <summary>Lines on a page, more or less: an event is not cut in two by it.</summary>
    private const int Wanted = 50;

    /// <summary>Entries opened at a time, and how often for one page: a citizen's own visits may lie many between two of others.</summary>
    private const int Stretch = 200, MostStretches = 10;

    /// <summary>More entries than these are counted, not listed.</summary>
    private const int MostListed = 50;

    /// <summary>What one organisation, one app, or one who acted for the citizen did within a minute, for one purpose and on one basis.</summary>
    /// <param name="Vendor">Who is responsible for the app; null when it was none.</param>
    /// <param name="Entries">What somebody else received, to be opened: FHIR type, id and a name with a number.</param>
    /// <param name="Lines">The entries of the log that it is gathered from, newest first.</param>
    public sealed record Event(string Who, string? Vendor, DateTimeOffset When, string Purpose, string Basis, IReadOnlyList<Deed> Deeds, IReadOnlyList<(string Type, string Id, string Name)> Entries, IReadOnlyList<AccessLine> Lines);

    /// <param name="What">In words: <c>Viewed: Diagnosis or health problem, Measurement or test result (3)</c>.</param>
    /// <param name="Count">Different entries.</param>
    public sealed record Deed(string What, int Count, AccessLine Newest);

    public IReadOnlyList<Event> Events { get; private set; } = [];

    /// <summary>Whether the citizen's own visits are shown too.</summary>
    public bool WithOwn { get; private set; }

    /// <summary>Where older entries begin; null when there are none.</summary>
    public long? Before { get; private set; }

    public async Task OnGetAsync([FromQuery] long? before, [FromQuery] string? own, CancellationToken cancel)
    {
        WithOwn = own == "yes";
        Before = before;
        var lines = new List<AccessLine>();
        for (var i = 0; i < MostStretches && lines.Count < Wanted; i++)
        {
            var stretch = await log.ForPersonAsync(Citizen, Stretch, Before ?? long.MaxValue, cancel);
            lines.AddRange(stretch.Lines.Where(l => WithOwn || !l.BySelf));
            Before = stretch.Before;
            if (Before is null)
                break;
        }
        Events = [.. Gather(lines).Select(Tell)];
    }

    private Event Tell(List<AccessLine> lines)
    {
        var first = lines[0];
        var app = first.AppName;
        return new(
            first.BySelf ? texts["source.self"] : first.Representative is { } who ? texts["access.representative", who.Name ?? ""] : app is null ? first.OrganisationName : texts["access.app", app],
            app is null ? null : first.OrganisationName, first.When,
            first.Representative is not null ? texts["access.representative.purpose"]
                : app is null ? texts.Find($"purpose.{first.PurposeOfUse}") ?? texts["purpose.other", first.PurposeOfUse] : texts["access.app.purpose"],
            first.Representative is { Role: AuditPerson.Custodian } ? texts["access.representative.custodian"]
                : first.Representative is not null ? texts["access.representative.mandate"]
                : app is null ? texts.Find($"basis.{first.LegalBasis}") ?? texts["basis.other", first.LegalBasis] : texts["access.app.basis"],
            [.. lines.GroupBy(DeedOf).Select(deed => Tell(deed.Key, deed))],
            first.BySelf ? [] : Opened(lines), lines);
    }

    private Deed Tell(string deed, IEnumerable<AccessLine> lines)
    {
        var items = lines.SelectMany(l => l.Items).DistinctBy(i => (i.Type, i.Id)).ToArray();
        return new(texts[$"access.did.{deed}", entries.Kinds(items.Select(i => i.Type))], items.Length, lines.First());
    }

    private (string Type, string Id, string Name)[] Opened(List<AccessLine> lines)
    {
        var items = lines.SelectMany(l => l.Items).DistinctBy(i => (i.Type, i.Id)).Where(i => EntryKind.OfType(i.Type) is not null).ToArray();
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

    /// <summary>Puts neighbours together that are one event to a person: one look at a record is many FHIR requests.</summary>
    private static List<List<AccessLine>> Gather(IEnumerable<AccessLine> newestFirst)
    {
        var events = new List<List<AccessLine>>();
        foreach (var line in newestFirst)
            if (events is [.., [var first, ..] last] && first.OrganisationOid == line.OrganisationOid && first.BySelf == line.BySelf && first.AppName == line.AppName && first.Representative == line.Representative
                && first.PurposeOfUse == line.PurposeOfUse && first.LegalBasis == line.LegalBasis && first.When - line.When < TimeSpan.FromMinutes(1))
                last.Add(line);
            else
                events.Add([line]);
        return events;
    }
}
