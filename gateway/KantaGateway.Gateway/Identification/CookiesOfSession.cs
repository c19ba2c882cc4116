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
        context.Items.ContainsKey(BeginsAnew) || IsTwice(context.Request, key) ? null : _usual.GetRequestCookie(context, key);

    /// <summary>No browser sends two cookies of one <c>__Host-</c> name; which of them counts would be a matter of their order.</summary>
    private static bool IsTwice(HttpRequest request, string key)
    {
        var found = 0;
        foreach (var header in request.Headers.Cookie)
            foreach (var part in header.AsSpan().Split(';'))
                if (header.AsSpan(part).Trim() is var cookie && cookie.StartsWith(key) && cookie[key.Length..].TrimStart() is ['=', ..])
                    found++;
        return found > 1;
    }

    public void AppendResponseCookie(HttpContext context, string key, string? value, CookieOptions options) =>
        _usual.AppendResponseCookie(context, key, value, options);

    public void DeleteCookie(HttpContext context, string key, CookieOptions options) => _usual.DeleteCookie(context, key, options);
}
