using Microsoft.AspNetCore;
using OpenIddict.Server;

namespace KantaGateway.Gateway.Identification;

/// <summary>What has been found out about one request to the authorization server, step by step.</summary>
internal sealed class ConnectRequest
{
    /// <summary>Who asks; null until it has proven to be that client.</summary>
    public RegisteredClient? Client { get; set; }

    /// <summary>Whether it was refused unexamined, because of too many before it.</summary>
    public bool Waits { get; set; }

    /// <summary>Thumbprint of the key that the request proves; null when it carries no proof.</summary>
    public string? Key { get; set; }

    /// <summary>For whom the client asks.</summary>
    public RegisteredRequester? Requester { get; set; }

    public VouchedProfessional? Professional { get; set; }

    /// <summary>What stands behind a code or refresh token, and of the latter as much as is asked for.</summary>
    public AllowedRequest? Allowed { get; set; }

    /// <summary>Id of the grant that the access token comes of.</summary>
    public string? Grant { get; set; }

    /// <summary>What goes with the access token.</summary>
    public string? RefreshToken { get; set; }

    /// <summary>Address of the resource for who is signed in.</summary>
    public string? FhirUser { get; set; }

    /// <summary>The access token's jti, where it has to be known before there is one.</summary>
    public string? TokenId { get; set; }

    /// <summary>What the refresh token stands for whose standing or end is asked for.</summary>
    public AppGrant? AskedGrant { get; set; }

    public static ConnectRequest Of(HttpContext http)
    {
        if (http.Features.Get<ConnectRequest>() is not { } found)
            http.Features.Set(found = new());
        return found;
    }

    public static ConnectRequest Of(OpenIddictServerTransaction transaction) => Of(HttpOf(transaction));

    public static HttpContext HttpOf(OpenIddictServerTransaction transaction) =>
        transaction.GetHttpRequest()?.HttpContext ?? throw new InvalidOperationException("The authorization server runs over HTTP only.");
}
