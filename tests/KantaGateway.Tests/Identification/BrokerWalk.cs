using System.Net;
using System.Text.RegularExpressions;

namespace KantaGateway.Tests.Identification;

/// <summary>Through the broker as a browser goes.</summary>
internal static partial class BrokerWalk
{
    /// <param name="citizen">Index on the broker's page; null cancels.</param>
    /// <param name="gateway">Another gateway than the world's, which shares its public address; null: the world's.</param>
    /// <returns>Where the citizen ends.</returns>
    public static async Task<Uri> SignInAsync(this IdentificationWorld world, CookieContainer cookies, int? citizen, string start = "/signin", List<string>? setCookies = null, Uri? gateway = null)
    {
        var callback = await world.ReachCallbackAsync(cookies, citizen, start, gateway);
        using var http = world.Connect(cookies: cookies);
        using var response = await http.GetAsync(gateway is null ? callback : new Uri(gateway, callback.PathAndQuery));
        Assert.Equal(HttpStatusCode.Redirect, response.StatusCode);
        if (response.Headers.TryGetValues("Set-Cookie", out var set))
            setCookies?.AddRange(set);
        return new Uri(http.BaseAddress!, response.Headers.Location!);
    }

    public static async Task<Uri> ReachCallbackAsync(this IdentificationWorld world, CookieContainer cookies, int? citizen, string start = "/signin", Uri? gateway = null, Action<Uri>? challenged = null)
    {
        using var http = world.Connect(cookies: cookies);
        using var challenge = await http.GetAsync(new Uri(gateway ?? http.BaseAddress!, start));
        Assert.Equal(HttpStatusCode.Redirect, challenge.StatusCode);
        challenged?.Invoke(challenge.Headers.Location!);
        var page = await http.GetStringAsync(challenge.Headers.Location);
        var form = new Dictionary<string, string> { ["ticket"] = Ticket().Match(page).Groups[1].Value };
        if (citizen is { } index)
            form["citizen"] = index.ToString(System.Globalization.CultureInfo.InvariantCulture);
        else
            form["cancel"] = "1";
        using var chosen = await http.PostAsync(world.Outside.FtnIssuer + "/authorize", new FormUrlEncodedContent(form));
        Assert.Equal(HttpStatusCode.Redirect, chosen.StatusCode);
        Assert.Equal("/signin-ftn", chosen.Headers.Location!.AbsolutePath);
        return chosen.Headers.Location;
    }

    [GeneratedRegex("name=\"ticket\" value=\"([^\"]+)\"")]
    private static partial Regex Ticket();
}
