namespace KantaGateway.Gateway.Portal;

/// <summary>
/// What the last action did, told once on the next page. The code travels in a cookie and not in the address, which would
/// stay in the browser's history.
/// </summary>
internal static class Notices
{
    public const string Cookie = "__Host-kanta-notice";

    /// <summary>The known ones and whether each is good news; each has the texts <c>notice.{code}.title</c> and <c>notice.{code}</c>.</summary>
    private static readonly Dictionary<string, bool> Known = new()
    {
        ["signed-out"] = true, ["sign-out-failed"] = false, ["sign-out-needs-sign-in"] = false, ["session-ended"] = false, ["sign-in-first"] = false, ["sign-in-failed"] = false,
        ["sign-in-cancelled"] = false, ["sign-in-unavailable"] = false,
        ["informed"] = true, ["permitted"] = true, ["denied"] = true, ["permit-withdrawn"] = true, ["denial-withdrawn"] = true, ["child-permit-withdrawn"] = true, ["declared-since"] = false,
        ["nothing-changed"] = true, ["disputed"] = true, ["dispute-taken-back"] = true, ["disputes-too-many"] = false, ["rectification-sent"] = true, ["rectification-withdrawn"] = true, ["rectifications-too-many"] = false, ["entry-pruned"] = false, ["file-unavailable"] = false, ["acknowledged"] = true, ["recorded-acknowledged"] = true, ["inform-first"] = false,
        ["acting"] = true, ["acting-over"] = true, ["acting-refused"] = false, ["acting-ended"] = false, ["acting-expired"] = false, ["acting-cancelled"] = false,
        ["acting-unavailable"] = false, ["acting-sign-in-again"] = false, ["acting-too-many"] = false, ["acting-own-only"] = false, ["custodian-no-denials"] = false,
        ["app-ended"] = true, ["apps-own-only"] = false, ["message-read"] = true,
        ["operator-proposed"] = true, ["operator-approved"] = true, ["operator-rejected"] = true, ["operator-suspended"] = true, ["operator-sign-in-failed"] = false,
        ["operator-contained"] = true, ["operator-end-proposed"] = true, ["operator-end-approved"] = true, ["operator-end-rejected"] = true,
        ["operator-act-proposed"] = true, ["operator-act-approved"] = true, ["operator-act-rejected"] = true, ["operator-act-done"] = true, ["operator-step"] = true, ["operator-notices-sent"] = true, ["operator-reported"] = true,
        ["victim-done"] = true, ["victim-undone"] = true, ["forgery-reported"] = true,
    };

    public static IEnumerable<string> Codes => Known.Keys;

    public static void Leave(HttpContext context, string code) => context.Response.Cookies.Append(Cookie, code, new()
    {
        HttpOnly = true,
        Secure = true,
        SameSite = SameSiteMode.Lax,
        Path = "/",
        MaxAge = TimeSpan.FromMinutes(1),
        IsEssential = true,
    });

    /// <summary>Takes the notice off; null when there is none, or one that this portal never leaves.</summary>
    public static (string Code, bool Good)? Take(HttpContext context)
    {
        if (context.Request.Cookies[Cookie] is not { } code)
            return null;
        context.Response.Cookies.Delete(Cookie, new() { Secure = true, Path = "/" });
        return Known.TryGetValue(code, out var good) ? (code, good) : null;
    }
}
