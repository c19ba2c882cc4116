using Microsoft.AspNetCore.Authentication.Cookies;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The usual cookies, except that a sign-in sees none. The cookie handler would go on under the name of the session that the browser
/// brought, and whoever had copied it, or planted it, would be in.
/// </summary>
internal sealed class CookiesOfSession : ICookieManager
{
    private static readonly object BeginsAnew = new();

    private readonly ChunkingCookieManager _usual = new();

    /// <summary>Makes the sign-in that follows in this request begin under a new name.</summary>
    public static void BeginAnew(HttpContext context) => context.Items[BeginsAnew] = true;

    public string? GetRequestCookie(HttpContext context, string key) =>
        context.Items.ContainsKey(BeginsAnew) ? null : _usual.GetRequestCookie(context, key);

    public void AppendResponseCookie(HttpContext context, string key, string? value, CookieOptions options) =>
        _usual.AppendResponseCookie(context, key, value, options);

    public void DeleteCookie(HttpContext context, string key, CookieOptions options) => _usual.DeleteCookie(context, key, options);
}
