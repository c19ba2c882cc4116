using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Reads the form of a request to the authorization server, or of the broker's logout, before anybody acts on it: what cannot be read gets the error of
/// RFC 6749 §5.2 and a plain sentence, and is a failure to identify.
/// </summary>
internal static class ConnectForms
{
    /// <summary>The longest tokens that the endpoints take, and room.</summary>
    private const int Longest = 64 * 1024;

    private const string FormType = "application/x-www-form-urlencoded";

    private static readonly PathString[] Paths = [TokenEndpoint.Path, TokenEndpoint.IntrospectionPath, TokenEndpoint.RevocationPath, PushedAuthorization.Path, CitizenSession.BackChannelPath];

    /// <summary>Put it before everything that reads forms.</summary>
    public static void Use(IApplicationBuilder app) => app.UseWhen(
        // OpenIddict takes an address with a slash at its end for the same one.
        static context => HttpMethods.IsPost(context.Request.Method) && Array.Exists(Paths, path => path.Equals((context.Request.Path.Value ?? "").TrimEnd('/'))),
        static branch => branch.Use(static async (context, next) =>
        {
            // RFC 6749 §5.1; whatever becomes of it.
            context.Response.Headers.CacheControl = "no-store";
            if (await ExplainAsync(context).ConfigureAwait(false) is { } problem)
                await RefuseAsync(context, problem).ConfigureAwait(false);
            else
                await next(context).ConfigureAwait(false);
        }));

    /// <returns>What is wrong with the form; null when it has been read.</returns>
    internal static async ValueTask<string?> ExplainAsync(HttpContext context)
    {
        var request = context.Request;
        if (!MediaTypeHeaderValue.TryParse(request.ContentType, out var type) || !type.MediaType.Equals(FormType, StringComparison.OrdinalIgnoreCase))
            return $"Send the parameters as {FormType}.";
        if (type.Charset.HasValue && !HeaderUtilities.RemoveQuotes(type.Charset).Equals("utf-8", StringComparison.OrdinalIgnoreCase))
            return "The form must be in UTF-8.";
        if (request.ContentLength > Longest)
            return $"The form has more than {Longest} bytes.";
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
            size.MaxRequestBodySize = Longest;
        try
        {
            var form = await request.ReadFormAsync(context.RequestAborted).ConfigureAwait(false);
            // RFC 6749 §3.1. These two may stand more often in a token exchange (RFC 8693 §2.1).
            return form.Any(static parameter => parameter.Value.Count != 1 && parameter.Key is not (Parameters.Audience or Parameters.Resource)) ? "A parameter stands more than once." : null;
        }
        catch (InvalidDataException)
        {
            return "The form cannot be read: it has too many parameters, or too long ones.";
        }
        catch (BadHttpRequestException)
        {
            return $"The form cannot be read: it has more than {Longest} bytes, or ends before its end.";
        }
    }

    private static async Task RefuseAsync(HttpContext context, string problem)
    {
        var callers = context.RequestServices.GetRequiredService<ConnectCallers>();
        var refusal = callers.RefuseUnread(context, problem);
        await callers.RefusedAsync(context, refusal, null).ConfigureAwait(false);
        await ConnectCallers.AnswerAsync(context, refusal).ConfigureAwait(false);
    }
}
