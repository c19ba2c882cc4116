using KantaGateway.Gateway.Identification.Dpop;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Who asks the authorization server, at each of its four endpoints: the first thing that is looked at, in one order and with the same errors. And what is
/// done about who is refused.
/// </summary>
/// <remarks>
/// 1. Whether the caller has failed too often (429). 2. Whether the client that it claims to be asks too often from there (429). 3. Whether it is that client
/// (<see cref="ClientAuthentication"/>). 4. Whether this one request makes them too many (429).
/// </remarks>
internal sealed class ConnectCallers(ClientAuthentication clients, ClientRegistry registry, AttemptLimits limits, IIdentificationObserver observer, IdentificationMetrics metrics)
{
    /// <summary>Seconds; the shared store is tried again at each request, so soon is soon enough.</summary>
    private const string RetryAfterSeconds = "5";

    /// <summary>Identifies the client of a request; it then stands in <see cref="ConnectRequest.Client"/>.</summary>
    /// <returns>Why not; null when it has been identified.</returns>
    public async ValueTask<TokenRefusal?> IdentifyAsync(HttpContext http, string? clientId, string? assertionType, string? assertion)
    {
        if ((limits.Wait(http) ?? limits.WaitForTokens(http, () => ClaimedIn(clientId, assertion))) is { } wait)
            return Wait(http, wait);
        try
        {
            var (client, refusal) = await clients.AuthenticateAsync(http, clientId, assertionType, assertion).ConfigureAwait(false);
            if (client is null)
                return refusal;
            ConnectRequest.Of(http).Client = client;
            return await limits.AskedAsync(http, client).ConfigureAwait(false) is { } flood ? Wait(http, flood) : null;
        }
        catch (SharedStateException)
        {
            return new(Errors.TemporarilyUnavailable, "Client assertions cannot be checked for replay at the moment; try again with a new assertion.");
        }
    }

    /// <summary>Refuses what cannot be read, without asking who sent it.</summary>
    public TokenRefusal RefuseUnread(HttpContext http, string problem) => limits.Wait(http) is { } wait ? Wait(http, wait) : new(Errors.InvalidRequest, problem);

    /// <summary>Records and counts that a request has been refused.</summary>
    /// <param name="claimed">By <see cref="ClaimedIn"/>.</param>
    public async ValueTask RefusedAsync(HttpContext http, TokenRefusal refusal, string? claimed)
    {
        var found = ConnectRequest.Of(http);
        // Recorded when it began.
        if (found.Waits)
            return;
        if (http.Request.Path.StartsWithSegments(PushedAuthorization.Path))
            metrics.RefusedPush(refusal.Error);
        else if (!http.Request.Path.StartsWithSegments(CitizenSession.BackChannelPath))
            metrics.RefusedToken(refusal.Error);
        // What a client asks wrongly that has proven itself, or an outage of ours, is no failure to identify: one user's stale token must not hold back a clinic.
        if (found.Client is null && refusal.Error is not Errors.TemporarilyUnavailable)
            await limits.FailedAsync(http).ConfigureAwait(false);
        if (refusal.Error == DpopProofs.UseNonce && !await limits.SlippedAsync(http).ConfigureAwait(false))
            return;
        // Only an id that is registered: what else a request claims may be anything.
        await observer.RefusedAsync(http, (found.Client ?? (claimed is null ? null : registry.Current.Find(claimed)))?.ClientId ?? "", refusal.Description, http.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>What a request that nobody has verified calls its client; null when it calls it nothing.</summary>
    public static string? ClaimedIn(string? clientId, string? assertion) => clientId ?? ClientAuthentication.ClaimedIn(assertion);

    /// <summary>An outage is ours, not the client's mistake, and who came too often has to wait: with 400, which is the RFC's, nobody tries again.</summary>
    public static void TellOutage(HttpContext http)
    {
        var waits = ConnectRequest.Of(http).Waits;
        http.Response.StatusCode = waits ? StatusCodes.Status429TooManyRequests : StatusCodes.Status503ServiceUnavailable;
        // Who waits has been told how long.
        if (!waits)
            http.Response.Headers.RetryAfter = RetryAfterSeconds;
    }

    /// <summary>Writes a refusal (RFC 6749 §5.2).</summary>
    public static Task AnswerAsync(HttpContext http, TokenRefusal refusal)
    {
        if (refusal.Error == Errors.TemporarilyUnavailable)
            TellOutage(http);
        else
            http.Response.StatusCode = refusal.Error == Errors.InvalidClient ? StatusCodes.Status401Unauthorized : StatusCodes.Status400BadRequest;
        return http.Response.WriteAsJsonAsync(new { error = refusal.Error, error_description = refusal.Description }, http.RequestAborted);
    }

    private static TokenRefusal Wait(HttpContext http, Waiting wait)
    {
        ConnectRequest.Of(http).Waits = true;
        return new(Errors.TemporarilyUnavailable, AttemptLimits.Refuse(http, wait).Issues[0].Diagnostics);
    }
}

/// <summary>The same at the endpoints that OpenIddict serves, before it looks at anything itself (RFC 6749 §2.3, RFC 7662 §2.1, RFC 7009 §2.1).</summary>
internal sealed class IdentifyCaller(ConnectCallers callers) :
    IOpenIddictServerHandler<ValidateTokenRequestContext>, IOpenIddictServerHandler<ValidateIntrospectionRequestContext>, IOpenIddictServerHandler<ValidateRevocationRequestContext>
{
    public static void Add(OpenIddictServerBuilder server)
    {
        const int First = int.MinValue + 50_000;
        server.AddEventHandler<ValidateTokenRequestContext>(static handler => handler.UseSingletonHandler<IdentifyCaller>().SetOrder(First));
        server.AddEventHandler<ValidateIntrospectionRequestContext>(static handler => handler.UseSingletonHandler<IdentifyCaller>().SetOrder(First));
        server.AddEventHandler<ValidateRevocationRequestContext>(static handler => handler.UseSingletonHandler<IdentifyCaller>().SetOrder(First));
    }

    public ValueTask HandleAsync(ValidateTokenRequestContext context) => IdentifyAsync(context);

    public ValueTask HandleAsync(ValidateIntrospectionRequestContext context) => IdentifyAsync(context);

    public ValueTask HandleAsync(ValidateRevocationRequestContext context) => IdentifyAsync(context);

    private async ValueTask IdentifyAsync(BaseValidatingContext context)
    {
        var http = ConnectRequest.HttpOf(context.Transaction);
        var request = context.Transaction.Request!;
        // Neither a token nor an assertion belongs into a URL.
        if (!HttpMethods.IsPost(http.Request.Method))
            context.Reject(Errors.InvalidRequest, "Send the request with POST.");
        else if (await callers.IdentifyAsync(http, request.ClientId, request.ClientAssertionType, request.ClientAssertion).ConfigureAwait(false) is { } refusal)
            context.Reject(refusal.Error, refusal.Description);
        else
            // SMART requests carry no client_id beside the assertion; OpenIddict wants one from here on.
            request.ClientId = ConnectRequest.Of(http).Client!.ClientId;
    }
}
