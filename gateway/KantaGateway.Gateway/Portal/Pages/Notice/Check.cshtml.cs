using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>Tells anybody whether there is a notice with a code (not that the message she holds is it: a code can be copied), and takes the word of who has received a forged one. It says when a notice was sent and by whom, and nothing of to whom.</summary>
[OpenToAll, WithoutRecord]
internal sealed class NoticeCheckModel(BreachNotices notices, ForgeryReports reports, IServiceProvider services) : PageModel
{
    /// <summary>Ways by which a forged notice may come, as the form names them.</summary>
    public static readonly IReadOnlyList<string> Ways = ["email", "text", "call", "letter", "other"];

    public (DateTimeOffset SentAt, string From)? Real { get; private set; }

    /// <summary>A code was asked for that no notice has.</summary>
    public bool IsNone { get; private set; }

    public FormProblem? Problem { get; private set; }

    public async Task<IActionResult> OnPostAsync([FromForm] string? code)
    {
        if (await HasToWaitAsync(counts: false) is { } wait)
            return wait;
        if (!NoticeCode.TryParse(code, out var parsed))
        {
            Problem = new("code", "check.code.problem");
            Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
            return Page();
        }
        try
        {
            Real = notices.Check(parsed);
        }
        catch (IOException)
        {
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        }
        IsNone = Real is null;
        // Who tries codes is held back; who checks a real one may do so as often as she likes.
        return IsNone && await HasToWaitAsync(counts: true) is { } now ? now : Page();
    }

    public async Task<IActionResult> OnPostReportAsync([FromForm] string? way, [FromForm] string? money)
    {
        if (await HasToWaitAsync(counts: true) is { } wait)
            return wait;
        if (way is null || !Ways.Contains(way))
        {
            Problem = new("way-email", "check.way.problem");
            Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
            return Page();
        }
        try
        {
            await reports.ReportAsync(way switch { "email" => ForgeryWay.Email, "text" => ForgeryWay.TextMessage, "call" => ForgeryWay.Call, "letter" => ForgeryWay.Letter, _ => ForgeryWay.Other }, money == "yes");
        }
        catch (IOException)
        {
            return PlainRefusals.Page(StatusCodes.Status503ServiceUnavailable, HttpContext);
        }
        Notices.Leave(HttpContext, "forgery-reported");
        return new SeeOtherResult("/notice-check");
    }

    /// <param name="counts">Whether this is one of what there may not be too many of.</param>
    private async Task<IActionResult?> HasToWaitAsync(bool counts)
    {
        // Only a portal that stands alone, in tests, has none.
        if (services.GetService<AttemptLimits>() is not { } limits)
            return null;
        if (limits.WaitForRequests(HttpContext) is { } wait)
        {
            _ = AttemptLimits.Refuse(HttpContext, wait);
            return PlainRefusals.Page(StatusCodes.Status429TooManyRequests, HttpContext);
        }
        if (counts)
            await limits.StrayedAsync(HttpContext);
        return null;
    }
}
