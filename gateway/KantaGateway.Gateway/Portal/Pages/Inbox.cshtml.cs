using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Everything that the citizen is told, and that she has read it.</summary>
internal sealed class InboxModel(Inbox inbox, GatewayOptions options) : CitizenPage
{
    public const string Address = "/inbox";

    /// <summary>Messages that were read and are listed, the newest; each has its own page besides.</summary>
    private const int MostRead = 100;

    /// <summary>Newest first.</summary>
    public IReadOnlyList<Message> Messages { get; private set; } = [];

    /// <summary>Messages that were read and are not listed.</summary>
    public int Older { get; private set; }

    /// <summary>What is away: its messages are not among them.</summary>
    public bool IsRecordAway { get; private set; }

    /// <inheritdoc cref="IsRecordAway"/>
    public bool AreNoticesAway { get; private set; }

    /// <summary>After so many days without reading a notice of a breach a letter is written; null: there are no such notices here.</summary>
    public int? LetterAfterDays => options.Breach?.Notices?.LetterAfterDays;

    /// <summary>Whether persons are told of a breach by e-mail or text message to sign in.</summary>
    public bool HasRelay => options.Breach?.Notices?.MessageRelay is not null;

    public async Task OnGetAsync(CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        var content = await inbox.ReadAsync(Citizen, cancel);
        (IsRecordAway, AreNoticesAway) = (content.State is null, content.Notices is null);
        var read = content.Messages.Where(static one => !one.IsNew).ToList();
        Older = Math.Max(0, read.Count - MostRead);
        Messages = [.. content.Messages.Except(read[^Older..])];
        if (IsRecordAway)
            Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
    }

    /// <param name="id">FHIR id of what it is about.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<IActionResult> OnPostAsync([FromForm] Guid id, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        return Done(Address, await inbox.AcknowledgeAsync(Citizen, id.ToString("D"), cancel) ? "message-read" : "nothing-changed");
    }
}
