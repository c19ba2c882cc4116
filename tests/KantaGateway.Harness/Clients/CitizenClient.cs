using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text;
using KantaGateway.Client;

namespace KantaGateway.Harness.Clients;

/// <summary>What the portal says is in force.</summary>
/// <param name="Informed">Version of the informing text, null when the citizen has not been informed.</param>
/// <param name="Permission">FHIR id of the disclosure permission, null when there is none.</param>
public sealed record ConsentState(string? Informed, string? Permission, IReadOnlyList<DenialInForce> Denials);

/// <param name="Target"><c>all</c>, <c>register</c>, <c>occupational</c>, <c>event</c>, <c>prescription</c> or <c>other</c>.</param>
/// <param name="ServiceEvent">OID, empty for a denial of everything.</param>
public sealed record DenialInForce(string Id, string Target, string ServiceEvent);

/// <summary>One entry of the citizen's own records as a page lists it.</summary>
public sealed record ListedEntry(string Type, string Id, string Organisation, string ServiceEvent);

/// <summary>One line of the citizen's access log.</summary>
public sealed record ListedAccess(long Index, DateTimeOffset When, string Organisation, string Purpose, string LegalBasis, int Items);

/// <summary>A portal page was not what its README promises.</summary>
public sealed class PortalException(string expected, Page page)
    : Exception($"Expected {expected}; came {page.Status} at {page.Address.AbsolutePath}: {Excerpt(page)}")
{
    public int Status => page.Status;

    private static string Excerpt(Page page) => page.With("data-error").Any() || page.Status >= 400 ? page.Text[..Math.Min(page.Text.Length, 300)] : "a page without it";
}

/// <summary>
/// A citizen at the portal: a browser reduced to cookies, redirects and forms. Signs in through the page of the
/// (simulated) Finnish Trust Network broker. Not thread-safe, as a person is not.
/// </summary>
public sealed class CitizenClient : IDisposable
{
    private const int MostRedirects = 20;

    private readonly CookieContainer _cookies = new();
    private readonly HttpClient _http;

    /// <param name="index">Position of the citizen in <c>citizens.json</c>, from 0.</param>
    public CitizenClient(DevFolder folder, Uri target, int index)
    {
        Target = new(target.GetLeftPart(UriPartial.Authority));
        Index = index;
        Entry = folder.Citizens[index];
        var handler = Transport.Handler(folder.Authority);
        handler.UseCookies = true;
        handler.CookieContainer = _cookies;
        _http = new(folder.Through(handler)) { Timeout = TimeSpan.FromSeconds(60) };
    }

    public Uri Target { get; }
    public int Index { get; }
    public CitizenEntry Entry { get; }

    /// <summary>Every address visited, so that a search for personal data in addresses knows where to look.</summary>
    public ConcurrentQueue<Uri> Visited { get; } = [];

    /// <summary>Values of all cookies now held: secrets that must not lie about in logs.</summary>
    public IEnumerable<string> CookieValues => _cookies.GetAllCookies().Select(c => c.Value);

    /// <summary>The <c>Cookie</c> header that the portal would be sent now.</summary>
    public string CookieHeader => _cookies.GetCookieHeader(Target);

    /// <summary>From the portal's start page through the broker and back.</summary>
    public async Task<Page> SignInAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/signin", cancel).ConfigureAwait(false);
        var wanted = Index.ToString(CultureInfo.InvariantCulture);
        var form = page.Forms.FirstOrDefault(f => f.Buttons.Any(b => b.Name == "citizen"))
            ?? throw new PortalException("the broker's page with a choice named citizen", page);
        if (!form.Buttons.Any(b => b.Name == "citizen" && b.Value == wanted))
            throw new PortalException($"a choice citizen={wanted} at the broker", page);
        page = await SubmitAsync(form, new() { ["citizen"] = wanted }, cancel).ConfigureAwait(false);
        // A broker may return by a form that posts itself (response_mode=form_post); without script, we press the button.
        for (var i = 0; i < 3 && page.Address.Authority != Target.Authority && page.Forms is [{ } next]; i++)
            page = await SubmitAsync(next, [], cancel).ConfigureAwait(false);
        if (page.Address.Authority != Target.Authority || page.Status != 200)
            throw new PortalException("to be back at the portal, signed in", page);
        return page;
    }

    public async Task SignOutAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/consent", cancel).ConfigureAwait(false);
        await PostAsync(page, "sign-out", [], cancel).ConfigureAwait(false);
    }

    public async Task<ConsentState> ConsentAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/consent", cancel).ConfigureAwait(false);
        var state = page.With("data-consent-state").FirstOrDefault() ?? throw new PortalException("[data-consent-state]", page);
        return new(
            NullIfEmpty(state["data-informed"]), NullIfEmpty(state["data-permission"]),
            [.. page.With("data-denial").Select(d => new DenialInForce(d["data-denial"], d["data-target"], d["data-service-event"]))]);
    }

    /// <summary>Reads the informing text and confirms having been informed; nothing where that is in force already.</summary>
    public async Task BeInformedAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/consent/inform", cancel).ConfigureAwait(false);
        await PostAsync(page, "inform-form", new() { ["informed"] = "yes" }, cancel).ConfigureAwait(false);
    }

    public async Task PermitAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/consent/permit", cancel).ConfigureAwait(false);
        await PostAsync(page, "permit-form", new() { ["permit"] = "yes" }, cancel).ConfigureAwait(false);
    }

    /// <summary>Denies the disclosure of everything.</summary>
    public Task DenyAllAsync(CancellationToken cancel = default) => DenyAsync(new() { ["target"] = "all" }, cancel);

    /// <summary>Denies the disclosure of one service event.</summary>
    /// <param name="oid">Dotted OID.</param>
    public Task DenyEventAsync(string oid, CancellationToken cancel = default) => DenyAsync(new() { ["target"] = "event", ["event"] = oid }, cancel);

    /// <summary>Withdraws a permission or a denial.</summary>
    /// <param name="id">FHIR id of the Consent.</param>
    public async Task WithdrawAsync(string id, CancellationToken cancel = default)
    {
        var page = await GetAsync($"/consent/withdraw?id={id}", cancel).ConfigureAwait(false);
        await PostAsync(page, "withdraw-form", new() { ["id"] = id }, cancel).ConfigureAwait(false);
    }

    /// <summary>Withdraws whatever permission and denials are in force.</summary>
    public async Task WithdrawEverythingAsync(CancellationToken cancel = default)
    {
        var state = await ConsentAsync(cancel).ConfigureAwait(false);
        foreach (var denial in state.Denials)
            await WithdrawAsync(denial.Id, cancel).ConfigureAwait(false);
        if (state.Permission is { } permission)
            await WithdrawAsync(permission, cancel).ConfigureAwait(false);
    }

    /// <summary>All own records that a list page shows.</summary>
    /// <param name="path">Such as <c>/records/timeline</c>.</param>
    public async Task<IReadOnlyList<ListedEntry>> RecordsAsync(string path, CancellationToken cancel = default)
    {
        var page = await GetAsync(path, cancel).ConfigureAwait(false);
        return [.. page.With("data-entry").Select(e => new ListedEntry(e["data-entry-type"], e["data-entry"], e["data-organisation"], e["data-service-event"]))];
    }

    /// <summary>The first page of the access log, newest first.</summary>
    public async Task<IReadOnlyList<ListedAccess>> AccessLogAsync(CancellationToken cancel = default)
    {
        var page = await GetAsync("/access-log", cancel).ConfigureAwait(false);
        if (page.Status != 200 || page.Address.AbsolutePath != "/access-log")
            throw new PortalException("the access log", page);
        return
        [
            .. page.With("data-access").Select(a => new ListedAccess(
                long.Parse(a["data-access"], CultureInfo.InvariantCulture),
                DateTimeOffset.Parse(a["data-when"], CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal),
                a["data-organisation"], a["data-purpose"], a["data-legal-basis"],
                int.TryParse(a["data-items"], CultureInfo.InvariantCulture, out var items) ? items : 0)),
        ];
    }

    /// <summary>Opens the address to which an app has sent the browser, and allows what it asks for.</summary>
    /// <param name="app">Where the app waits; its site need not be there.</param>
    /// <returns>The address by which the browser comes back to the app.</returns>
    public async Task<Uri> AllowAppAsync(string address, Uri app, CancellationToken cancel = default)
    {
        var page = await GetAsync(address, cancel).ConfigureAwait(false);
        var form = page.Form("authorize-form") ?? throw new PortalException("a form #authorize-form", page);
        var answer = await SubmitAsync(form, new() { ["answer"] = "allow" }, app, cancel).ConfigureAwait(false);
        return IsAt(app, answer.Address) ? answer.Address : throw new PortalException("to be sent back to the app", answer);
    }

    /// <summary>Whether an app may be let at the own records now: not for some minutes after it was ended.</summary>
    public async Task<bool> MayAllowAppAsync(string address, CancellationToken cancel = default) =>
        !(await GetAsync(address, cancel).ConfigureAwait(false)).With("data-not-before").Any();

    /// <summary>Ends what an app has been given.</summary>
    public async Task EndAppAsync(string app, CancellationToken cancel = default)
    {
        var page = await GetAsync("/apps", cancel).ConfigureAwait(false);
        var form = page.Forms.FirstOrDefault(f => f.Fields.GetValueOrDefault("client") == app) ?? throw new PortalException($"a form with client={app}", page);
        var answer = await SubmitAsync(form, [], cancel).ConfigureAwait(false);
        if (answer.Status != 200 || answer.With("data-app").Any(a => a["data-app"] == app))
            throw new PortalException("the app to be gone from the list", answer);
    }

    /// <summary>Fetches a page of the portal, or any absolute address, following redirects.</summary>
    public Task<Page> GetAsync(string address, CancellationToken cancel = default) =>
        FollowAsync(new HttpRequestMessage(HttpMethod.Get, new Uri(Target, address)), cancel);

    /// <summary>Asks one of the portal's JSON addresses.</summary>
    /// <param name="path">Such as <c>/consent/v1/preview</c>.</param>
    /// <param name="json">The body.</param>
    /// <param name="contentType">Of the body.</param>
    public Task<Page> AskAsync(string path, string json, string contentType = "application/json", CancellationToken cancel = default) => FollowAsync(
        new HttpRequestMessage(HttpMethod.Post, new Uri(Target, path)) { Content = new StringContent(json, Encoding.UTF8, contentType) }, cancel);

    /// <summary>Sends a form with its hidden fields and the given ones.</summary>
    public Task<Page> SubmitAsync(PageForm form, Dictionary<string, string> fields, CancellationToken cancel = default) => SubmitAsync(form, fields, null, cancel);

    private async Task<Page> SubmitAsync(PageForm form, Dictionary<string, string> fields, Uri? until, CancellationToken cancel)
    {
        var all = new Dictionary<string, string>(form.Fields);
        foreach (var (name, value) in fields)
            all[name] = value;
        if (form.Method == HttpMethod.Post)
            return await FollowAsync(new HttpRequestMessage(HttpMethod.Post, form.Action) { Content = new FormUrlEncodedContent(all) }, cancel, until).ConfigureAwait(false);
        using var query = new FormUrlEncodedContent(all);
        var address = new UriBuilder(form.Action) { Query = await query.ReadAsStringAsync(cancel).ConfigureAwait(false) };
        return await FollowAsync(new HttpRequestMessage(HttpMethod.Get, address.Uri), cancel, until).ConfigureAwait(false);
    }

    public void Dispose() => _http.Dispose();

    private async Task DenyAsync(Dictionary<string, string> fields, CancellationToken cancel)
    {
        var page = await GetAsync("/consent/deny", cancel).ConfigureAwait(false);
        await PostAsync(page, "deny-form", fields, cancel).ConfigureAwait(false);
    }

    private async Task PostAsync(Page page, string formId, Dictionary<string, string> fields, CancellationToken cancel)
    {
        var form = page.Form(formId) ?? throw new PortalException($"a form #{formId}", page);
        var answer = await SubmitAsync(form, fields, cancel).ConfigureAwait(false);
        if (answer.Status != 200 || answer.With("data-error").Any())
            throw new PortalException($"#{formId} to be accepted", answer);
    }

    /// <param name="until">Where it stops, without asking for anything there.</param>
    private async Task<Page> FollowAsync(HttpRequestMessage request, CancellationToken cancel, Uri? until = null)
    {
        for (var i = 0; i < MostRedirects; i++)
        {
            using var sent = request;
            Visited.Enqueue(request.RequestUri!);
            using var response = await _http.SendAsync(request, cancel).ConfigureAwait(false);
            if ((int)response.StatusCode is < 301 or > 308 || response.Headers.Location is not { } location)
                return new(request.RequestUri!, (int)response.StatusCode, await response.Content.ReadAsStringAsync(cancel).ConfigureAwait(false));
            var next = new Uri(request.RequestUri!, location);
            if (until is not null && IsAt(until, next))
                return new(next, (int)response.StatusCode, "");
            // 307 and 308 would keep the method; neither portal nor broker uses them after a form.
            request = new(HttpMethod.Get, next);
        }
        throw new HttpRequestException($"More than {MostRedirects} redirects.");
    }

    private static bool IsAt(Uri place, Uri address) => address.GetLeftPart(UriPartial.Path) == place.AbsoluteUri;

    private static string? NullIfEmpty(string text) => text.Length == 0 ? null : text;
}
