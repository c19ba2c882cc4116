using OpenIddict.Server;
using OpenIddict.Server.AspNetCore;
using static OpenIddict.Abstractions.OpenIddictConstants;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>What is answered where OpenIddict writes the answer: a refusal is told to whoever records refusals, and an outage has a status of its own.</summary>
internal sealed class ConnectAnswers(ConnectCallers callers, IdentificationMetrics metrics) :
    IOpenIddictServerHandler<ApplyTokenResponseContext>, IOpenIddictServerHandler<ApplyIntrospectionResponseContext>, IOpenIddictServerHandler<ApplyRevocationResponseContext>
{
    public static void Add(OpenIddictServerBuilder server)
    {
        server.AddEventHandler<ApplyTokenResponseContext>(static handler => handler.UseSingletonHandler<ConnectAnswers>().SetOrder(int.MinValue + 100_000));
        // After an unknown token has become an answer like any other.
        server.AddEventHandler<ApplyIntrospectionResponseContext>(static handler => handler.UseSingletonHandler<ConnectAnswers>()
            .SetOrder(OpenIddictServerHandlers.Introspection.NormalizeErrorResponse.Descriptor.Order + 500));
        server.AddEventHandler<ApplyRevocationResponseContext>(static handler => handler.UseSingletonHandler<ConnectAnswers>()
            .SetOrder(OpenIddictServerHandlers.Revocation.NormalizeErrorResponse.Descriptor.Order + 500));
        TellOutages<ApplyTokenResponseContext>(server);
        TellOutages<ApplyIntrospectionResponseContext>(server);
        TellOutages<ApplyRevocationResponseContext>(server);
    }

    private static void TellOutages<TContext>(OpenIddictServerBuilder server) where TContext : BaseRequestContext =>
        server.AddEventHandler<TContext>(static handler => handler.UseInlineHandler(static context =>
        {
            if (context.Transaction.Response?.Error == Errors.TemporarilyUnavailable)
                ConnectCallers.TellOutage(ConnectRequest.HttpOf(context.Transaction));
            return default;
        }).SetOrder(OpenIddictServerAspNetCoreHandlers.AttachHttpResponseCode<TContext>.Descriptor.Order + 500));

    public ValueTask HandleAsync(ApplyTokenResponseContext context) => TellRefusalAsync(context.Transaction);

    public ValueTask HandleAsync(ApplyIntrospectionResponseContext context) => TellRefusalAsync(context.Transaction);

    public ValueTask HandleAsync(ApplyRevocationResponseContext context) => TellRefusalAsync(context.Transaction);

    private async ValueTask TellRefusalAsync(OpenIddictServerTransaction transaction)
    {
        if (transaction.Response is not { Error: { Length: > 0 } error } response)
        {
            metrics.AcceptedToken();
            return;
        }
        // The documentation pages that OpenIddict points at explain its own checks, not this gateway's.
        response.ErrorUri = null;
        await callers.RefusedAsync(ConnectRequest.HttpOf(transaction), new(error, response.ErrorDescription ?? error),
            ConnectCallers.ClaimedIn(transaction.Request?.ClientId, transaction.Request?.ClientAssertion)).ConfigureAwait(false);
    }
}
