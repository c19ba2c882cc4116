namespace KantaGateway.Gateway.Identification;

/// <summary>What every answer to a browser carries, pages and sign-ins alike: nothing of it is kept, framed or taken for something else.</summary>
internal static class AnswerHeaders
{
    /// <summary>Adds them to what identification answers itself. A page of the portal under the same addresses sets its own list of sources in the place of none.</summary>
    public static void Use(IApplicationBuilder app, GatewayOptions options)
    {
        var isLocal = IsLocal(options);
        app.UseWhen(static context => IsOwn(context.Request.Path), branch => branch.Use((context, next) =>
        {
            Set(context.Response.Headers, isLocal);
            context.Response.Headers.ContentSecurityPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
            return next(context);
        }));
    }

    /// <param name="isLocal">By <see cref="IsLocal"/>.</param>
    public static void Set(IHeaderDictionary headers, bool isLocal)
    {
        headers.XContentTypeOptions = "nosniff";
        headers.XFrameOptions = "DENY";
        headers["Referrer-Policy"] = "same-origin";
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers.CacheControl = "no-store";
        if (!isLocal)
            headers.StrictTransportSecurity = "max-age=63072000; includeSubDomains";
    }

    /// <summary>Whether the gateway is a developer's: browsers apply Strict-Transport-Security to every port of a host name, which would break other things there.</summary>
    public static bool IsLocal(GatewayOptions options) => new Uri(options.PublicAddress).IsLoopback;

    /// <summary>The addresses of sign-ins and of the authorization server, whichever middleware answers them.</summary>
    private static bool IsOwn(PathString path) => path.Value is { } text
        && (text.StartsWith("/signin", StringComparison.Ordinal) || text.StartsWith("/signout", StringComparison.Ordinal)
            || path.StartsWithSegments("/connect") || path.StartsWithSegments("/on-behalf") || path.StartsWithSegments("/operator"));
}
