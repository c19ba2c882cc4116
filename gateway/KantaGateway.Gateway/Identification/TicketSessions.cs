using System.Buffers.Text;
using System.Security.Cryptography;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Options;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Sessions of one kind of people: the browser holds a random name in a cookie, the ticket stays in the shared store, sealed under a key of
/// its kind.
/// </summary>
/// <param name="scheme">Authentication scheme of their cookie.</param>
/// <param name="kind">Kind of key in the shared store.</param>
internal abstract class TicketSessions(string scheme, string kind, ISharedState shared, IDataProtector protector, TimeProvider time) : ITicketStore
{
    protected const string NameClaim = "name";
    protected const string SessionClaim = "sid";

    /// <summary>A session ends when unused for this long.</summary>
    public static readonly TimeSpan Idle = TimeSpan.FromMinutes(15);

    /// <summary>Whether a session that is still in the store has been ended by something else than its time.</summary>
    protected virtual bool HasEnded(AuthenticationTicket ticket) => false;

    /// <param name="isOver">Whether it has lasted long enough, however much it is used.</param>
    protected static void Configure(CookieAuthenticationOptions cookie, string name, Func<CookieValidatePrincipalContext, DateTimeOffset, bool> isOver)
    {
        cookie.Cookie.Name = name;
        cookie.CookieManager = new CookiesOfSession();
        cookie.Cookie.Path = "/";
        cookie.Cookie.HttpOnly = true;
        cookie.Cookie.SecurePolicy = CookieSecurePolicy.Always;
        // Strict would hide the session from the page that the redirect of a sign-in leads to.
        cookie.Cookie.SameSite = SameSiteMode.Lax;
        cookie.ExpireTimeSpan = Idle;
        cookie.SlidingExpiration = true;
        // At every page, not only past half of the time: the page says that opening it keeps the session.
        cookie.Events.OnCheckSlidingExpiration = static context =>
        {
            context.ShouldRenew = true;
            return Task.CompletedTask;
        };
        cookie.Events.OnValidatePrincipal = context =>
        {
            if (isOver(context, (context.Options.TimeProvider ?? TimeProvider.System).GetUtcNow()))
                context.RejectPrincipal();
            return Task.CompletedTask;
        };
    }

    /// <summary>The name under which a new session is known to the audit.</summary>
    protected static string NewSession() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16));

    /// <summary>
    /// Ends the session that the browser brought to a sign-in and makes the sign-in that follows in this request begin under
    /// a new name (<see cref="CookiesOfSession"/>).
    /// </summary>
    /// <exception cref="SharedStateException">The old session could not be ended.</exception>
    public async Task LeaveAsync(HttpContext context)
    {
        var cookie = context.RequestServices.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get(scheme);
        if (NameBroughtBy(context, cookie) is { } key)
            await RemoveAsync(key).ConfigureAwait(false);
        CookiesOfSession.BeginAnew(context);
    }

    /// <summary>The name of the session that the browser brought; null when it brought none.</summary>
    protected string? NameBroughtBy(HttpContext context) =>
        NameBroughtBy(context, context.RequestServices.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get(scheme));

    // The cookie says nothing but the session's name.
    private static string? NameBroughtBy(HttpContext context, CookieAuthenticationOptions cookie) =>
        cookie.CookieManager.GetRequestCookie(context, cookie.Cookie.Name!) is { } brought ? cookie.TicketDataFormat.Unprotect(brought)?.Principal.Claims.SingleOrDefault()?.Value : null;

    /// <summary>A last look at a new session's ticket, now that the session has its name.</summary>
    protected virtual void Finish(string key, AuthenticationTicket ticket) { }

    public async Task<string> StoreAsync(AuthenticationTicket ticket)
    {
        var key = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
        Finish(key, ticket);
        var life = LifeOf(ticket);
        if (life > TimeSpan.Zero)
            await shared.SetAsync(NameOf(key), Seal(ticket), life).ConfigureAwait(false);
        return key;
    }

    /// <summary>Prolongs a session that is there; one that has ended meanwhile stays ended.</summary>
    /// <exception cref="InvalidOperationException">The name is another session's.</exception>
    public async Task RenewAsync(string key, AuthenticationTicket ticket)
    {
        if (await RetrieveAsync(key).ConfigureAwait(false) is not { } current)
            return;
        if (SessionOf(current) is not { } session || session != SessionOf(ticket))
            throw new InvalidOperationException("A session's name is never given to another session.");
        var life = LifeOf(ticket);
        // Between reading it and this it may have been signed out.
        if (life > TimeSpan.Zero)
            await shared.ReplaceAsync(NameOf(key), Seal(ticket), life).ConfigureAwait(false);
        else
            await RemoveAsync(key).ConfigureAwait(false);
    }

    /// <exception cref="FaultException">The shared store does not answer: nobody can be known to be signed in, or out.</exception>
    public async Task<AuthenticationTicket?> RetrieveAsync(string key)
    {
        try
        {
            return await ReadAsync(NameOf(key)).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            throw new FaultException(new Fault(FaultKind.IdentificationUnavailable, "Sessions cannot be looked up at the moment. Try again."));
        }
    }

    /// <summary>The digest by which the store knows the session that the browser brought, and nobody can open it; null when it brought none.</summary>
    public string? DigestBroughtBy(HttpContext context) => NameBroughtBy(context) is { } key ? NameOf(key) : null;

    /// <returns>Null when the session is over.</returns>
    /// <exception cref="SharedStateException">The shared store does not answer.</exception>
    protected async Task<AuthenticationTicket?> ReadAsync(string digest)
    {
        try
        {
            if (await shared.GetAsync(digest).ConfigureAwait(false) is not { } stored)
                return null;
            if (TicketSerializer.Default.Deserialize(protector.Unprotect(stored)) is { } ticket && !HasEnded(ticket))
                return ticket;
            await shared.RemoveAsync(digest).ConfigureAwait(false);
            return null;
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since: the session is over.
            return null;
        }
    }

    public Task RemoveAsync(string key) => shared.RemoveAsync(NameOf(key)).AsTask();

    private static string? SessionOf(AuthenticationTicket ticket) => ticket.Principal.FindFirst(SessionClaim)?.Value;

    private TimeSpan LifeOf(AuthenticationTicket ticket) => (ticket.Properties.ExpiresUtc ?? time.GetUtcNow() + Idle) - time.GetUtcNow();

    private byte[] Seal(AuthenticationTicket ticket) => protector.Protect(TicketSerializer.Default.Serialize(ticket));

    private string NameOf(string key) => SharedKey.Of(kind, key);
}
