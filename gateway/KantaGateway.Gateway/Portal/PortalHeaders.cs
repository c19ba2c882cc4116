using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// Headers of every portal answer: nothing from elsewhere runs or frames it, nothing of it is kept. An asset lifts the
/// no-store for itself.
/// </summary>
internal sealed class PortalHeaders(RequestDelegate next, GatewayOptions options)
{
    // Signing out goes on to the broker, and browsers hold the redirect after a form to the same list.
    private readonly string _forms = CitizenSignIn.OriginOfBroker(options) is { } broker ? "'self' " + broker : "'self'";
    private readonly bool _local = AnswerHeaders.IsLocal(options);
    private readonly GatewayOptions _options = options;

    /// <summary>Lets this page's form end at another origin: where the citizen's answer leads her browser.</summary>
    public static void AllowFormTo(HttpContext context, string origin) =>
        context.Response.Headers.ContentSecurityPolicy = $"{context.Response.Headers.ContentSecurityPolicy} {origin}";

    public Task InvokeAsync(HttpContext context)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy =
            "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; form-action " + (OperatorOrigin.IsTheirs(context, _options) ? "'self'" : _forms);
        AnswerHeaders.Set(headers, _local);
        headers.Vary = "Accept-Language, Cookie";
        return next(context);
    }
}
