using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Tests.Identification.Mandates;

/// <summary>To e-Authorizations and back as a browser goes.</summary>
internal static class OnBehalfWalk
{
    /// <summary>Begins a choice.</summary>
    /// <returns>Where the browser is led: to the service, or to a page that says why not.</returns>
    public static async Task<Uri> BeginChoiceAsync(this IdentificationWorld world, CookieContainer cookies)
    {
        using var http = world.Connect(cookies: cookies);
        using var begun = await http.PostAsync("/on-behalf/choose", null);
        Assert.Equal(HttpStatusCode.SeeOther, begun.StatusCode);
        return new(http.BaseAddress!, begun.Headers.Location!);
    }

    /// <summary>Chooses at the service.</summary>
    /// <param name="person">Position among those for whom the citizen may ask to act; null cancels.</param>
    /// <returns>Where the browser is sent back to.</returns>
    public static async Task<Uri> ChooseAsync(this IdentificationWorld world, Uri choice, int? person)
    {
        using var http = world.Connect();
        var page = new Page(choice, 200, await http.GetStringAsync(choice));
        var form = page.Form("selection")!;
        var fields = form.Fields.Append(person is { } index ? new("person", index.ToString(System.Globalization.CultureInfo.InvariantCulture)) : new("cancel", "1"));
        using var chosen = await http.PostAsync(form.Action, new FormUrlEncodedContent(fields));
        Assert.Equal(HttpStatusCode.Redirect, chosen.StatusCode);
        return chosen.Headers.Location!;
    }

    /// <summary>The whole way.</summary>
    /// <returns>Path and query of the page where it ends.</returns>
    public static async Task<string> ActForAsync(this IdentificationWorld world, CookieContainer cookies, int? person)
    {
        var choice = await world.BeginChoiceAsync(cookies);
        return choice.AbsolutePath != "/oauth/authorize" ? choice.PathAndQuery : await world.ComeBackAsync(cookies, await world.ChooseAsync(choice, person));
    }

    public static async Task<string> ComeBackAsync(this IdentificationWorld world, CookieContainer cookies, Uri callback)
    {
        using var http = world.Connect(cookies: cookies);
        using var back = await http.GetAsync(callback);
        Assert.Equal(HttpStatusCode.SeeOther, back.StatusCode);
        return back.Headers.Location!.OriginalString;
    }

    /// <summary>For whom the session is now, as the portal's pages find out.</summary>
    public static async Task<JsonElement> WhoseAsync(this IdentificationWorld world, CookieContainer cookies)
    {
        using var http = world.Connect(cookies: cookies);
        return await http.GetFromJsonAsync<JsonElement>("/whose");
    }

    public static async Task<string> StandingAsync(this IdentificationWorld world, CookieContainer cookies) => (await world.WhoseAsync(cookies)).GetProperty("standing").GetString()!;
}
