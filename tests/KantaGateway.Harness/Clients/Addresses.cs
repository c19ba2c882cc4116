using System.CommandLine.Parsing;

namespace KantaGateway.Harness.Clients;

/// <summary>Addresses among a command's words: a wrong one is told of like any other wrong word.</summary>
static class Addresses
{
    /// <returns>Absolute, https or http; null, with an error that says how one looks, where what was given is none.</returns>
    public static Uri? One(ArgumentResult given) => Of(given, given.Tokens[0]);

    /// <summary>Where a command takes several.</summary>
    public static Uri[] Each(ArgumentResult given) => [.. given.Tokens.Select(token => Of(given, token)).OfType<Uri>()];

    // localhost:8443 is absolute too, of a scheme called localhost.
    private static Uri? Of(ArgumentResult given, Token token)
    {
        if (Uri.TryCreate(token.Value, UriKind.Absolute, out var address) && (address.Scheme == Uri.UriSchemeHttps || address.Scheme == Uri.UriSchemeHttp))
            return address;
        given.AddError($"'{token.Value}' is no address: one begins with https:// or http://, such as https://localhost:8443.");
        return null;
    }
}
