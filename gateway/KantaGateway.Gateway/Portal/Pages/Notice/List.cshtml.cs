using KantaGateway.Gateway.Breach;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The notices of breaches that the citizen has been sent.</summary>
internal sealed class NoticesModel(BreachNotices notices) : NoticePage(notices)
{
    /// <summary>Newest first.</summary>
    public IReadOnlyList<NoticeStanding> Notices { get; private set; } = [];

    public IActionResult OnGet() => Guarded(() =>
    {
        Notices = Sent.Of(Person);
        return Page();
    });
}
