using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// A notice and the way on from it (GDPR Art. 34): what was taken of this person, entry by entry, what she can do now, what she has done, and what the organisation owes her. Opening it
/// is what counts as having read it.
/// </summary>
internal sealed class NoticeModel(BreachNotices notices, OwnRecords records, EntryLines lines, IdentifierCipher ids) : NoticePage(notices)
{
    public NoticeStanding Standing { get; private set; } = null!;

    /// <summary>Of this page.</summary>
    public IReadOnlyList<EntryLine> Taken { get; private set; } = [];

    /// <summary>Kinds of what was taken, with how many of each.</summary>
    public string Kinds { get; private set; } = "";

    /// <summary>Kinds of what was taken and cannot be shown here, such as what is not yet released; empty: none.</summary>
    public string Unshown { get; private set; } = "";

    public Pager Pager { get; private set; } = null!;

    /// <summary>What the organisation owes, and when it was done.</summary>
    public IReadOnlyList<(string Duty, DateTimeOffset? At)> Owed { get; private set; } = [];

    public Task<IActionResult> OnGetAsync(string id, [FromQuery] int page, CancellationToken cancel) => GuardedAsync(async () =>
    {
        if (Sent.Find(Person, id) is not { } standing)
            throw new RefusedException(StatusCodes.Status404NotFound);
        var notice = standing.Notice;
        // Recorded before it is shown.
        await Sent.ReadAsync(Person, notice, person => ids.PatientId(person), cancel);
        Standing = standing;
        var duties = Sent.DutiesOf(notice);
        Owed = [("told", notice.SentAt), ("authority", duties.Authority), ("supervisor", duties.Supervisor), ("contained", duties.Contained)];
        Kinds = lines.Kinds(notice.Items.Select(static item => item.Type));
        (Pager, var items) = Pager.Cut($"/notices/{notice.Id}", page, notice.Items);
        await ReadAsync(items, cancel);
        return Page();
    });

    public Task<IActionResult> OnPostAsync(string id, [FromForm] string? what, [FromForm] string? done, CancellationToken cancel) => GuardedAsync(async () =>
    {
        if (Sent.Find(Person, id) is not { } standing || VictimHelp.Find(what) is not { } action || done is not ("yes" or "no"))
            throw new RefusedException(StatusCodes.Status404NotFound);
        await Sent.SetDoneAsync(Person, standing.Notice, action.Code, done == "yes", cancel);
        return Done($"/notices/{standing.Notice.Id}", done == "yes" ? "victim-done" : "victim-undone");
    });

    /// <summary>By the road of any page: what the person may not see is not shown by way of a notice either.</summary>
    private async Task ReadAsync(IReadOnlyList<AffectedItem> items, CancellationToken cancel)
    {
        var own = await OwnAsync(cancel);
        var found = items.Select(item => (Item: item, Entry: own.GetValueOrDefault((item.Type, item.Id)))).ToArray();
        Taken = lines.Of(found.Where(static one => one.Entry is not null).Select(static one => one.Entry!), withKind: true);
        Unshown = lines.Kinds(found.Where(static one => one.Entry is null).Select(static one => one.Item.Type));
    }

    private async Task<Dictionary<(string Type, string Id), Entry>> OwnAsync(CancellationToken cancel)
    {
        try
        {
            return (await records.ReadAsync(Citizen, EntryKind.All, cancel)).Entries.ToDictionary(static entry => (entry.Type, entry.Id));
        }
        catch (RefusedException)
        {
            // The notice stands without them, and names their kinds.
            return [];
        }
    }
}
