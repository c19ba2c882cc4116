using System.Net;
using System.Text.RegularExpressions;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>Through the operators' tenant as a browser goes.</summary>
internal static partial class OperatorWalk
{
    public const int Olga = 0, Heikki = 1, KeyKeeper = 2, WithoutRole = 3, Tiina = 4, Tero = 5, OtherKeyKeeper = 6;

    /// <param name="who">Index on the tenant's page; null cancels.</param>
    /// <param name="gateway">Another gateway than the world's, which shares its public address.</param>
    /// <returns>Where the operator ends.</returns>
    public static async Task<Uri> SignInOperatorAsync(this IdentificationWorld world, CookieContainer cookies, int? who, string start = "/operator/signin", List<string>? setCookies = null, Uri? gateway = null)
    {
        using var http = world.Connect(cookies: cookies);
        using var challenge = await http.GetAsync(new Uri(gateway ?? http.BaseAddress!, start));
        Assert.Equal(HttpStatusCode.Redirect, challenge.StatusCode);
        var page = await http.GetStringAsync(challenge.Headers.Location);
        var form = new Dictionary<string, string> { ["ticket"] = Ticket().Match(page).Groups[1].Value };
        form[who is null ? "cancel" : "operator"] = (who ?? 1).ToString(System.Globalization.CultureInfo.InvariantCulture);
        using var chosen = await http.PostAsync($"{world.Outside.PublicAddress}{OperatorTenant.Path}/{IdentificationWorld.OperatorTenantId}/oauth2/v2.0/authorize", new FormUrlEncodedContent(form));
        Assert.Equal(HttpStatusCode.Redirect, chosen.StatusCode);
        var callback = chosen.Headers.Location!;
        Assert.Equal("/signin-operator", callback.AbsolutePath);
        using var response = await http.GetAsync(gateway is null ? callback : new Uri(gateway, callback.PathAndQuery));
        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        if (response.Headers.TryGetValues("Set-Cookie", out var set))
            setCookies?.AddRange(set);
        return new Uri(http.BaseAddress!, response.Headers.Location!);
    }

    [GeneratedRegex("name=\"ticket\" value=\"([^\"]+)\"")]
    private static partial Regex Ticket();
}
