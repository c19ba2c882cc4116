using System.Buffers.Text;
using System.Globalization;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Options;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// Operators' sessions, apart from citizens': the browser holds a random name in <c>__Host-kanta-operator</c>, the ticket stays in the
/// shared store, sealed under a key of its own.
/// </summary>
internal sealed class OperatorSessions(ISharedState shared, IDataProtectionProvider protection, TimeProvider time) : ITicketStore
{
    public const string Scheme = "operator";
    public const string CookieName = "__Host-kanta-operator";

    private const string TenantClaim = "tid";
    private const string IdClaim = "oid";
    private const string NameClaim = "name";
    private const string RoleClaim = "role";
    private const string SignedInClaim = "auth_time";
    private const string SessionClaim = "sid";

    /// <summary>A session ends when unused for this long.</summary>
    public static readonly TimeSpan Idle = TimeSpan.FromMinutes(15);

    /// <summary>And this long after the operator proved herself in any case.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(2);

    private readonly IDataProtector _protector = protection.CreateProtector("operator ticket");

    public static void Configure(CookieAuthenticationOptions cookie)
    {
        cookie.Cookie.Name = CookieName;
        cookie.CookieManager = new CookiesOfSession();
        cookie.Cookie.Path = "/";
        cookie.Cookie.HttpOnly = true;
        cookie.Cookie.SecurePolicy = CookieSecurePolicy.Always;
        // Strict would hide the session from the page that Entra's redirect leads to.
        cookie.Cookie.SameSite = SameSiteMode.Lax;
        cookie.ExpireTimeSpan = Idle;
        cookie.SlidingExpiration = true;
        cookie.Events.OnCheckSlidingExpiration = static context =>
        {
            context.ShouldRenew = true;
            return Task.CompletedTask;
        };
        cookie.Events.OnValidatePrincipal = static context =>
        {
            var now = (context.Options.TimeProvider ?? TimeProvider.System).GetUtcNow();
            if (Read(context.Principal) is not { } who || now - who.SignedIn > Longest)
                context.RejectPrincipal();
            return Task.CompletedTask;
        };
    }

    /// <summary>The principal of a new session.</summary>
    public static ClaimsPrincipal CreatePrincipal(string tenant, string id, string name, IEnumerable<OperatorRole> roles, DateTimeOffset signedIn) =>
        new(new ClaimsIdentity(
        [
            new(TenantClaim, tenant), new(IdClaim, id), new(NameClaim, name),
            .. roles.Select(static role => new Claim(RoleClaim, role.ToString())),
            new(SignedInClaim, signedIn.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)),
            new(SessionClaim, Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16))),
        ], Scheme, NameClaim, RoleClaim));

    /// <summary>Who is signed in as an operator; null when nobody is.</summary>
    /// <exception cref="FaultException">The shared store does not answer.</exception>
    public static async ValueTask<Operator?> OfAsync(HttpContext context) =>
        await context.AuthenticateAsync(Scheme).ConfigureAwait(false) is { Succeeded: true, Principal: { } principal } ? Read(principal) : null;

    /// <returns>Null when it is no operator's.</returns>
    public static Operator? Read(ClaimsPrincipal? session)
    {
        if (session?.Identity is not ClaimsIdentity { AuthenticationType: Scheme } identity
            || identity.FindFirst(TenantClaim)?.Value is not { } tenant || identity.FindFirst(IdClaim)?.Value is not { } id
            || identity.FindFirst(NameClaim)?.Value is not { } name || identity.FindFirst(SessionClaim)?.Value is not { } sid
            || !long.TryParse(identity.FindFirst(SignedInClaim)?.Value, CultureInfo.InvariantCulture, out var signedIn))
            return null;
        var roles = identity.FindAll(RoleClaim).Select(static role => Enum.Parse<OperatorRole>(role.Value)).ToHashSet();
        return roles.Count == 0 ? null : new(tenant, id, name, roles, DateTimeOffset.FromUnixTimeSeconds(signedIn), sid);
    }

    /// <summary>Ends the session that the browser brought to a sign-in; the new one begins under a new name.</summary>
    /// <exception cref="SharedStateException">The old session could not be ended.</exception>
    public async Task LeaveAsync(HttpContext context)
    {
        var cookie = context.RequestServices.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get(Scheme);
        if (cookie.CookieManager.GetRequestCookie(context, CookieName) is { } brought
            && cookie.TicketDataFormat.Unprotect(brought)?.Principal.Claims.SingleOrDefault()?.Value is { } key)
            await RemoveAsync(key).ConfigureAwait(false);
        CookiesOfSession.BeginAnew(context);
    }

    public async Task<string> StoreAsync(AuthenticationTicket ticket)
    {
        var key = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32));
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
        if (Read(current.Principal)?.Session != Read(ticket.Principal)?.Session)
            throw new InvalidOperationException("A session's name is never given to another session.");
        var life = LifeOf(ticket);
        // Between reading it and this it may have been signed out.
        if (life > TimeSpan.Zero)
            await shared.ReplaceAsync(NameOf(key), Seal(ticket), life).ConfigureAwait(false);
        else
            await RemoveAsync(key).ConfigureAwait(false);
    }

    private TimeSpan LifeOf(AuthenticationTicket ticket) => (ticket.Properties.ExpiresUtc ?? time.GetUtcNow() + Idle) - time.GetUtcNow();

    private byte[] Seal(AuthenticationTicket ticket) => _protector.Protect(TicketSerializer.Default.Serialize(ticket));

    /// <exception cref="FaultException">The shared store does not answer: nobody can be known to be signed in, or out.</exception>
    public async Task<AuthenticationTicket?> RetrieveAsync(string key)
    {
        try
        {
            return await shared.GetAsync(NameOf(key)).ConfigureAwait(false) is { } stored ? TicketSerializer.Default.Deserialize(_protector.Unprotect(stored)) : null;
        }
        catch (CryptographicException)
        {
            // Sealed under a token key that has been replaced since: the session is over.
            return null;
        }
        catch (SharedStateException)
        {
            throw new FaultException(new Fault(FaultKind.IdentificationUnavailable, "Sessions cannot be looked up at the moment. Try again."));
        }
    }

    public Task RemoveAsync(string key) => shared.RemoveAsync(NameOf(key)).AsTask();

    /// <summary>Who reads the store must not learn what a cookie has to say.</summary>
    private static string NameOf(string key) => "operator:" + Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(key)));
}
