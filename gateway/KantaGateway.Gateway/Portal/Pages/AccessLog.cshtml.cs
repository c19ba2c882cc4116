using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Who has received the citizen's data (Act 703/2023 §11, §74; EHDS Art. 9).</summary>
internal sealed class AccessLogModel(AccessLog log, EntryLines entries, Texts texts) : CitizenPage
{
    /// <summary>Lines on a page, more or less: an event is not cut in two by it.</summary>
    private const int Wanted = 50;

    /// <summary>Entries opened at a time, and how often for one page: a citizen's own visits may lie many between two of others.</summary>
    private const int Stretch = 200, MostStretches = 10;

    /// <summary>What one organisation did within a minute, for one purpose and on one basis.</summary>
    public sealed record Event(string Who, DateTimeOffset When, string Purpose, string Basis, IReadOnlyList<AccessLine> Lines);

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
        Events = [.. Gather(lines).Select(group => new Event(
            group[0].BySelf ? texts["source.self"] : group[0].OrganisationName, group[0].When,
            texts.Find($"purpose.{group[0].PurposeOfUse}") ?? texts["purpose.other", group[0].PurposeOfUse],
            texts.Find($"basis.{group[0].LegalBasis}") ?? texts["basis.other", group[0].LegalBasis], group))];
    }

    /// <summary>What a line did, in words: <c>Viewed: Diagnosis or health problem, Measurement or test result (3)</c>.</summary>
    public string What(AccessLine line)
    {
        var did = line.Interaction switch
        {
            "create" or "transaction" => "create",
            "update" or "patch" => "update",
            "delete" => "delete",
            _ => "view",
        };
        return texts[$"access.did.{did}", string.Join(", ", line.Items.GroupBy(item => entries.Reader.TypeName(item.Type))
            .Select(type => type.Count() == 1 ? type.Key : $"{type.Key} ({type.Count()})"))];
    }

    /// <summary>Puts neighbours together that are one event to a person: one look at a record is many FHIR requests.</summary>
    private static List<List<AccessLine>> Gather(IEnumerable<AccessLine> newestFirst)
    {
        var events = new List<List<AccessLine>>();
        foreach (var line in newestFirst)
            if (events is [.., [var first, ..] last] && first.OrganisationOid == line.OrganisationOid && first.BySelf == line.BySelf
                && first.PurposeOfUse == line.PurposeOfUse && first.LegalBasis == line.LegalBasis && first.When - line.When < TimeSpan.FromMinutes(1))
                last.Add(line);
            else
                events.Add([line]);
        return events;
    }
}
