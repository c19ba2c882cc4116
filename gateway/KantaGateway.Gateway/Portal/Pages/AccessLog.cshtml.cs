using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Who has received the citizen's data (Act 703/2023 §11, §74; EHDS Art. 9).</summary>
internal sealed class AccessLogModel(AccessEvents events, AccessExport export, TimeProvider time) : CitizenPage
{
    /// <summary>Lines on a page, more or less, and times 200 entries that are opened for one at most; what is looked for may lie further apart.</summary>
    private const int Wanted = 50, MostStretches = 10, MostStretchesOfSearch = 50;

    private const int LongestName = 100;

    public IReadOnlyList<AccessEvent> Events { get; private set; } = [];

    /// <summary>Whether the citizen's own visits are shown too.</summary>
    public bool WithOwn { get; private set; }

    /// <summary>Where older entries begin; null when there are none.</summary>
    public long? Before { get; private set; }

    /// <summary>What was looked for, as it was typed; null where all is shown.</summary>
    public AccessForm? Form { get; private set; }

    public FormProblem? Problem { get; private set; }

    public async Task OnGetAsync([FromQuery] long? before, [FromQuery] string? own, CancellationToken cancel)
    {
        WithOwn = own == "yes";
        await ReadAsync(new(WithOwn: WithOwn), before, MostStretches, cancel);
    }

    /// <summary>Looks for some of them. What is looked for is the citizen's own affair, so it is in no address.</summary>
    public async Task<IActionResult> OnPostAsync([FromForm] AccessForm form, [FromForm] long? before, CancellationToken cancel)
    {
        if (FilterOf(form) is not { } filter)
            return await RejectedAsync(cancel);
        await ReadAsync(filter, before, MostStretchesOfSearch, cancel);
        return Page();
    }

    /// <summary>The same as a file.</summary>
    public async Task<IActionResult> OnPostFileAsync([FromForm] AccessForm form, [FromForm] string? format, CancellationToken cancel)
    {
        if (FilterOf(form) is not { } filter || format is not ("csv" or "json" or "pdf"))
            return await RejectedAsync(cancel);
        var part = await events.ReadAsync(Citizen, filter, null, int.MaxValue, AccessExport.MostStretches, cancel);
        var now = time.GetUtcNow();
        var (bytes, type) = format switch
        {
            "csv" => (export.Csv(part), "text/csv; charset=utf-8"),
            "json" => (AccessExport.Machine(part, now), "application/json"),
            _ => (export.Pdf(part), "application/pdf"),
        };
        return File(bytes, type, $"access-log-{Dates.DayAtHome(now):yyyy-MM-dd}.{format}");
    }

    private async Task ReadAsync(AccessFilter filter, long? before, int mostStretches, CancellationToken cancel)
    {
        var part = await events.ReadAsync(Citizen, filter, before, Wanted, mostStretches, cancel);
        (Events, Before) = (events.Tell(part.Lines), part.Before);
    }

    private async Task<IActionResult> RejectedAsync(CancellationToken cancel)
    {
        await ReadAsync(new(WithOwn: WithOwn), null, MostStretches, cancel);
        return Rejected();
    }

    /// <returns>Null where something is wrong, which <see cref="Problem"/> says.</returns>
    private AccessFilter? FilterOf(AccessForm form)
    {
        (Form, WithOwn) = (form, form.Own == "yes");
        var (from, to) = (Dates.Typed(form.From), Dates.Typed(form.To));
        Problem = from is null && !string.IsNullOrWhiteSpace(form.From) ? new("from", "access.find.error.date")
            : to is null && !string.IsNullOrWhiteSpace(form.To) ? new("to", "access.find.error.date")
            : from > to ? new("to", "access.find.error.order")
            : form.Who?.Length > LongestName ? new("who", "access.find.error.who") : null;
        return Problem is null ? new(from, to, string.IsNullOrWhiteSpace(form.Who) ? null : form.Who.Trim(), WithOwn) : null;
    }
}

/// <param name="Own"><c>yes</c>: the citizen's own visits too.</param>
internal sealed record AccessForm(string? From, string? To, string? Who, string? Own);
