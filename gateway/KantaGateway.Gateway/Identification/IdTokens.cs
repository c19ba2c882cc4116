using Microsoft.IdentityModel.Tokens;
using OpenIddict.Abstractions;
using static OpenIddict.Server.OpenIddictServerEvents;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// ID tokens of apps (OpenID Connect Core §2, §3.1.3.6; SMART App Launch 2.2, <c>fhirUser</c>): who has answered, or signed in, for the client alone and
/// for five minutes.
/// </summary>
/// <remarks>RS256, which OpenID Connect and SMART's <c>sso-openid-connect</c> want of a server, is none: FAPI 2.0 forbids it (§5.4.1).</remarks>
internal static class IdTokens
{
    public const string FhirUser = "fhirUser";

    /// <summary>The scopes that give one.</summary>
    public static readonly IReadOnlyList<string> Scopes = [OpenIddictConstants.Scopes.OpenId, FhirUser];

    public static readonly IReadOnlyList<string> Algorithms = [SecurityAlgorithms.EcdsaSha256, SecurityAlgorithms.RsaSsaPssSha256];

    public static readonly TimeSpan Life = TimeSpan.FromMinutes(5);

    /// <summary>What is wrong with a list of scopes; null: nothing.</summary>
    public static string? Explain(IEnumerable<string> scopes) =>
        scopes.Contains(FhirUser) && !scopes.Contains(OpenIddictConstants.Scopes.OpenId) ? "fhirUser goes with openid." : null;

    /// <exception cref="InvalidDataException">A file holds no RSA key of 2048 bits or more.</exception>
    public static IReadOnlyList<SigningCredentials> ReadKeys(IdentificationOptions options) =>
        [.. options.IdTokenKeyFiles.Select(static file => new SigningCredentials(RsaKeyFile.Read(file), SecurityAlgorithms.RsaSsaPssSha256))];

    /// <summary>Signs with what the client has registered, and leaves out what OpenIddict adds for its own use.</summary>
    public static void Complete(GenerateTokenContext context, RegisteredClient client)
    {
        if (client.Registration.IdTokenSignedResponseAlg == SecurityAlgorithms.RsaSsaPssSha256)
            context.SigningCredentials = context.Options.SigningCredentials.First(static one => one.Algorithm == SecurityAlgorithms.RsaSsaPssSha256);
    }
}

/// <summary>The directory, asked who a professional is there.</summary>
public interface IPractitioners
{
    /// <summary>The Practitioner that the professional's own organisation has entered under the professional's number.</summary>
    /// <param name="professional">On whose behalf it is asked, and recorded.</param>
    /// <returns>Its id; null when there is none, or several, or the directory does not answer.</returns>
    ValueTask<string?> FindAsync(Requester professional, CancellationToken cancel);
}
