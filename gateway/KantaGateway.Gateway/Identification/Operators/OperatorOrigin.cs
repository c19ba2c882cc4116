namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// Operators' addresses stand at an origin of their own, and nothing else does: a fault in a citizen's page reaches no operator's session, and no citizen is ever shown where operators sign in.
/// </summary>
internal static class OperatorOrigin
{
    /// <summary>Nothing is there at any origin, which its page says.</summary>
    public const string Nowhere = "/not-found";

    /// <summary>What a page needs that both sides have, and that shows nothing of anybody.</summary>
    private static readonly PathString[] OfBoth = ["/assets", "/language"];

    /// <summary>Origin of the operators' pages, no trailing slash; without one of their own that of the citizens.</summary>
    public static string AddressOf(GatewayOptions options) => options.Identification.Operators?.Address ?? options.PublicAddress;

    /// <summary>Whether an answer is for an operator to see, whatever it says.</summary>
    public static bool IsTheirs(HttpContext context, GatewayOptions options) =>
        options.Identification.Operators is { } operators && (operators.Address is { } address ? IsNamed(context.Request, new Uri(address)) : IsPath(context.Request.Path));

    /// <summary>Whether an address is an operator's: a page, what the pages do as JSON, or a step of the sign-in.</summary>
    public static bool IsPath(PathString path) => path.StartsWithSegments(OperatorSignIn.HomePath) || path == OperatorSignIn.CallbackPath;

    /// <summary>Whether a path is answered there.</summary>
    public static bool HasPath(PathString path) => IsPath(path) || Array.Exists(OfBoth, both => path.StartsWithSegments(both));

    /// <summary>Whether the browser means this origin. Ports part no cookies, so it is the host that counts (<see cref="OperatorOptions.Address"/>).</summary>
    public static bool IsNamed(HttpRequest request, Uri origin) =>
        request.Host is { Host: var host, Port: var port } && string.Equals(host, origin.Host, StringComparison.OrdinalIgnoreCase) && (port ?? 443) == origin.Port;
}

/// <summary>
/// Runs before the routing: what is asked for at the wrong origin is not there, whoever would answer it. Operators' origin has a short list of addresses, and all others are refused; the citizens' has none of an operator.
/// </summary>
internal sealed class OperatorOriginFilter(GatewayOptions options) : IStartupFilter
{
    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next)
    {
        if (options.Identification.Operators is not { Address: { } address } operators)
            return next;
        var origin = new Uri(address);
        return app =>
        {
            app.Use((context, proceed) =>
            {
                var request = context.Request;
                var isNamed = OperatorOrigin.IsNamed(request, origin);
                // Where they have a listener, it is the only one at which their origin is answered, and answers no other.
                var isWhole = operators.Port is not { } port || (port == context.Connection.LocalPort) == isNamed;
                if (isWhole && isNamed && request.Path == "/")
                {
                    context.Response.Redirect(OperatorSignIn.HomePath);
                    return Task.CompletedTask;
                }
                if (!isWhole || (isNamed ? !OperatorOrigin.HasPath(request.Path) : OperatorOrigin.IsPath(request.Path)))
                {
                    request.Path = OperatorOrigin.Nowhere;
                    request.QueryString = default;
                    if (!HttpMethods.IsHead(request.Method))
                        request.Method = HttpMethods.Get;
                }
                return proceed(context);
            });
            next(app);
        };
    }
}
