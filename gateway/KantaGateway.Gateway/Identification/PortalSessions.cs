using System.Security.Claims;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Mandates;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Citizens' sessions: the browser holds a random name in <c>__Host-kanta</c>, the ticket stays here, sealed. It carries
/// the pseudonym and the display name, and the identity code only where citizens may act for others, sealed so that it takes the browser to open it.
/// </summary>
internal sealed class PortalSessions(ISharedState shared, SessionEnds ends, IDataProtectionProvider protection, TimeProvider time)
    : TicketSessions(Scheme, "session", shared, protection.CreateProtector("portal ticket"), time), ITicketStore
{
    public const string Scheme = "portal";
    public const string CookieName = "__Host-kanta";
    public const string ClientId = "portal";

    private const string PseudonymClaim = "pseudonym";
    private const string AcrClaim = "acr";
    private const string Started = "started";
    private const string Code = "own-code";

    /// <summary>A session ends after this long in any case.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(4);

    private static readonly object Away = new();

    private readonly TimeProvider _time = time;

    public static void Configure(CookieAuthenticationOptions cookie)
    {
        Configure(cookie, CookieName, static (context, now) => StartOf(context.Properties) is not { } started || now - started > Longest);
        cookie.LoginPath = cookie.AccessDeniedPath = cookie.LogoutPath = "/";
    }

    /// <summary>The principal of a new session.</summary>
    public static ClaimsPrincipal CreatePrincipal(Pseudonym self, string name, string acr) =>
        new(new ClaimsIdentity(
        [
            new(PseudonymClaim, self.Encode()), new(NameClaim, name), new(AcrClaim, acr),
            new(SessionClaim, NewSession()),
        ], Scheme, NameClaim, null));

    /// <summary>Stamps the beginning of a session into its ticket.</summary>
    public static void Begin(AuthenticationProperties properties, DateTimeOffset now) =>
        properties.Items[Started] = now.ToString("O", System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Keeps the citizen's own code for the session that begins, see <see cref="OwnCode"/>.</summary>
    public static void Keep(AuthenticationProperties properties, PersonalIdentityCode code) => properties.Parameters[Code] = code;

    // Parameters are not part of what is stored; the item is.
    protected override void Finish(string key, AuthenticationTicket ticket)
    {
        if (ticket.Properties.Parameters.Remove(Code, out var kept) && kept is PersonalIdentityCode code)
            ticket.Properties.Items[Code] = OwnCode.Seal(key, code);
    }

    /// <summary>The citizen's own code; null where none was kept.</summary>
    public PersonalIdentityCode? OwnCodeOf(HttpContext context) =>
        context.Features.Get<IAuthenticateResultFeature>()?.AuthenticateResult?.Properties is { } properties && properties.Items.TryGetValue(Code, out var kept) && kept is not null
            && NameBroughtBy(context) is { } session ? OwnCode.Open(session, kept) : null;

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

    protected override bool HasEnded(AuthenticationTicket ticket) => SelfOf(ticket.Principal) is not { } self || ends.HasEnded(ticket.Properties, self);

    /// <summary>Whether a citizen is still signed in, without prolonging it.</summary>
    /// <param name="digest">By <see cref="TicketSessions.DigestBroughtBy"/>.</param>
    /// <exception cref="SharedStateException">The shared store does not answer.</exception>
    public async Task<bool> LastsAsync(string digest) =>
        await ReadAsync(digest).ConfigureAwait(false) is { } ticket && StartOf(ticket.Properties) is { } started && _time.GetUtcNow() - started <= Longest;

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
}
