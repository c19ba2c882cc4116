using System.Buffers.Text;
using System.Security.Claims;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Options;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Citizens' sessions: the browser holds a random name in <c>__Host-kanta</c>, the ticket stays here, sealed. It carries
/// the pseudonym and the display name, never the identity code.
/// </summary>
internal sealed class PortalSessions(ISharedState shared, SessionEnds ends, IDataProtectionProvider protection, TimeProvider time) : ITicketStore
{
    public const string Scheme = "portal";
    public const string CookieName = "__Host-kanta";
    public const string ClientId = "portal";

    private const string PseudonymClaim = "pseudonym";
    private const string NameClaim = "name";
    private const string AcrClaim = "acr";
    private const string SessionClaim = "sid";
    private const string Started = "started";

    /// <summary>A session ends when unused for this long.</summary>
    public static readonly TimeSpan Idle = TimeSpan.FromMinutes(15);

    /// <summary>And after this long in any case.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(4);

    private static readonly object Away = new();

    private readonly IDataProtector _protector = protection.CreateProtector("portal ticket");

    public static void Configure(CookieAuthenticationOptions cookie)
    {
        cookie.Cookie.Name = CookieName;
        cookie.CookieManager = new CookiesOfSession();
        cookie.Cookie.Path = "/";
        cookie.Cookie.HttpOnly = true;
        cookie.Cookie.SecurePolicy = CookieSecurePolicy.Always;
        // Strict would hide the session from the page that the broker's redirect leads to.
        cookie.Cookie.SameSite = SameSiteMode.Lax;
        cookie.ExpireTimeSpan = Idle;
        cookie.SlidingExpiration = true;
        cookie.LoginPath = cookie.AccessDeniedPath = cookie.LogoutPath = "/";
        // At every page, not only past half of the time: the page says that opening it keeps the session.
        cookie.Events.OnCheckSlidingExpiration = static context =>
        {
            context.ShouldRenew = true;
            return Task.CompletedTask;
        };
        cookie.Events.OnValidatePrincipal = static context =>
        {
            var now = (context.Options.TimeProvider ?? TimeProvider.System).GetUtcNow();
            if (StartOf(context.Properties) is not { } started || now - started > Longest)
                context.RejectPrincipal();
            return Task.CompletedTask;
        };
    }

    /// <summary>The principal of a new session.</summary>
    public static ClaimsPrincipal CreatePrincipal(Pseudonym self, string name, string acr) =>
        new(new ClaimsIdentity(
        [
            new(PseudonymClaim, self.Encode()), new(NameClaim, name), new(AcrClaim, acr),
            new(SessionClaim, Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16))),
        ], Scheme, NameClaim, null));

    /// <summary>Stamps the beginning of a session into its ticket.</summary>
    public static void Begin(AuthenticationProperties properties, DateTimeOffset now) =>
        properties.Items[Started] = now.ToString("O", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>
    /// Ends the session that the browser brought to a sign-in and makes the sign-in that follows in this request begin under
    /// a new name (<see cref="CookiesOfSession"/>).
    /// </summary>
    /// <exception cref="SharedStateException">The old session could not be ended.</exception>
    public async Task LeaveAsync(HttpContext context)
    {
        var cookie = context.RequestServices.GetRequiredService<IOptionsMonitor<CookieAuthenticationOptions>>().Get(Scheme);
        // The cookie says nothing but the session's name.
        if (cookie.CookieManager.GetRequestCookie(context, CookieName) is { } brought
            && cookie.TicketDataFormat.Unprotect(brought)?.Principal.Claims.SingleOrDefault()?.Value is { } key)
            await RemoveAsync(key).ConfigureAwait(false);
        CookiesOfSession.BeginAnew(context);
    }

    /// <summary>The person whose session it is; null when it is none.</summary>
    public static Pseudonym? SelfOf(ClaimsPrincipal session) =>
        session.Identity is ClaimsIdentity { AuthenticationType: Scheme } identity && Pseudonym.TryDecode(identity.FindFirst(PseudonymClaim)?.Value, out var self) ? self : null;

    public static Requester? RequesterOf(HttpContext context, GatewayOptions options)
    {
        if (SelfOf(context.User) is not { } self || context.User.Identity is not ClaimsIdentity identity
            || context.Features.Get<IAuthenticateResultFeature>()?.AuthenticateResult?.Properties is not { } properties
            || StartOf(properties) is not { } started)
            return null;
        // The ticket still has the end from before this request, which renews it.
        var renewed = context.RequestServices.GetRequiredService<TimeProvider>().GetUtcNow() + Idle;
        return new()
        {
            Kind = RequesterKind.Citizen,
            ClientId = ClientId,
            Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse(options.NationalOrganisation),
            OrganisationName = options.Identification.Citizens.ServiceName,
            ControllerKind = ControllerKind.Public,
            Self = self,
            CitizenName = identity.FindFirst(NameClaim)?.Value,
            PurposeOfUse = "PATRQT",
            Acr = identity.FindFirst(AcrClaim)?.Value,
            TokenId = identity.FindFirst(SessionClaim)?.Value ?? "",
            Scopes = SmartScope.ParseAll(["patient/*.cruds"]),
            Expires = renewed < started + Longest ? renewed : started + Longest,
        };
    }

    private static DateTimeOffset? StartOf(AuthenticationProperties properties) =>
        properties.Items.TryGetValue(Started, out var text)
            && DateTimeOffset.TryParse(text, System.Globalization.CultureInfo.InvariantCulture, out var started) ? started : null;

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
        if (SessionOf(current) is not { } session || session != SessionOf(ticket))
            throw new InvalidOperationException("A session's name is never given to another session.");
        var life = LifeOf(ticket);
        // Between reading it and this it may have been signed out.
        if (life > TimeSpan.Zero)
            await shared.ReplaceAsync(NameOf(key), Seal(ticket), life).ConfigureAwait(false);
        else
            await RemoveAsync(key).ConfigureAwait(false);
    }

    private static string? SessionOf(AuthenticationTicket ticket) => ticket.Principal.FindFirst(SessionClaim)?.Value;

    private TimeSpan LifeOf(AuthenticationTicket ticket) => (ticket.Properties.ExpiresUtc ?? time.GetUtcNow() + Idle) - time.GetUtcNow();

    private byte[] Seal(AuthenticationTicket ticket) => _protector.Protect(TicketSerializer.Default.Serialize(ticket));

    /// <exception cref="FaultException">The shared store does not answer: nobody can be known to be signed in, or out.</exception>
    public async Task<AuthenticationTicket?> RetrieveAsync(string key)
    {
        try
        {
            if (await shared.GetAsync(NameOf(key)).ConfigureAwait(false) is not { } stored)
                return null;
            var ticket = TicketSerializer.Default.Deserialize(_protector.Unprotect(stored));
            if (ticket is not null && SelfOf(ticket.Principal) is { } self && !ends.HasEnded(ticket.Properties, self))
                return ticket;
            await RemoveAsync(key).ConfigureAwait(false);
            return null;
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

    /// <summary>For a request: where sessions cannot be looked up it has none, and <see cref="AreAway"/> says so.</summary>
    public async Task<AuthenticationTicket?> RetrieveAsync(string key, HttpContext httpContext, CancellationToken cancellationToken)
    {
        try
        {
            return await RetrieveAsync(key).ConfigureAwait(false);
        }
        catch (FaultException)
        {
            httpContext.Items[Away] = true;
            return null;
        }
    }

    /// <summary>Whether the browser brought a session that could not be looked up: it is not known to be over, and opens nothing.</summary>
    public static bool AreAway(HttpContext context) => context.Items.ContainsKey(Away);

    public Task RemoveAsync(string key) => shared.RemoveAsync(NameOf(key)).AsTask();

    /// <summary>Who reads the store must not learn what a cookie has to say.</summary>
    private static string NameOf(string key) => "session:" + Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(key)));
}
