using Microsoft.AspNetCore.Authentication;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>Beginning and end of an operator's session.</summary>
internal static class OperatorSession
{
    public const string SignInPath = "/operator/signin";
    public const string SignOutPath = "/operator/signout";

    public static void Map(IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet(SignInPath, static async (HttpContext context, AttemptLimits limits, string? back) =>
        {
            if (!Navigation.IsTop(context.Request))
            {
                context.Response.StatusCode = StatusCodes.Status403Forbidden;
                return;
            }
            if (await limits.SignInAsync(context).ConfigureAwait(false) is { } wait)
            {
                _ = AttemptLimits.Refuse(context, wait);
                context.Response.StatusCode = StatusCodes.Status429TooManyRequests;
                return;
            }
            var target = LocalPath.IsLocal(back) && back!.StartsWith(OperatorSignIn.HomePath, StringComparison.Ordinal) ? back : OperatorSignIn.HomePath;
            try
            {
                await context.ChallengeAsync(OperatorSignIn.Scheme, new AuthenticationProperties { RedirectUri = target }).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is InvalidOperationException or HttpRequestException or IOException && !context.Response.HasStarted)
            {
                // The tenant's metadata could not be read.
                context.Response.Redirect(OperatorSignIn.StartPath + "?signin=unavailable");
            }
        });
        endpoints.MapPost(SignOutPath, static async context =>
        {
            if (!IsOwn(context.Request))
            {
                context.Response.StatusCode = StatusCodes.Status403Forbidden;
                return;
            }
            context.Response.StatusCode = StatusCodes.Status303SeeOther;
            try
            {
                await context.SignOutAsync(OperatorSessions.Scheme).ConfigureAwait(false);
                context.Response.Headers.Location = OperatorSignIn.StartPath + "?signout=done";
            }
            catch (SharedStateException)
            {
                // Never said to be done when it is not.
                context.Response.Headers.Location = OperatorSignIn.StartPath + "?signout=failed";
            }
        });
    }

    /// <summary>Whether a request may come from a page of this site: browsers say which site a request comes from, other tools say nothing.</summary>
    public static bool IsOwn(HttpRequest request) => request.Headers["Sec-Fetch-Site"] is [] or ["same-origin" or "none"];
}
