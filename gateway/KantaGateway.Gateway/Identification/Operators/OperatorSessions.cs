using System.Globalization;
using System.Security.Claims;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.Cookies;
using Microsoft.AspNetCore.DataProtection;

namespace KantaGateway.Gateway.Identification.Operators;

/// <summary>
/// Operators' sessions, apart from citizens': the browser holds a random name in <c>__Host-kanta-operator</c>, the ticket stays in the
/// shared store, sealed under a key of its own.
/// </summary>
internal sealed class OperatorSessions(ISharedState shared, IDataProtectionProvider protection, TimeProvider time)
    : TicketSessions(Scheme, "operator", shared, protection.CreateProtector("operator ticket"), time)
{
    public const string Scheme = "operator";
    public const string CookieName = "__Host-kanta-operator";

    private const string TenantClaim = "tid";
    private const string IdClaim = "oid";
    private const string RoleClaim = "role";
    private const string SignedInClaim = "auth_time";

    /// <summary>A session ends this long after the operator proved herself in any case.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromHours(2);

    public static void Configure(CookieAuthenticationOptions cookie) =>
        Configure(cookie, CookieName, static (context, now) => Read(context.Principal) is not { } who || now - who.SignedIn > Longest);

    /// <summary>The principal of a new session.</summary>
    public static ClaimsPrincipal CreatePrincipal(string tenant, string id, string name, IEnumerable<OperatorRole> roles, DateTimeOffset signedIn) =>
        new(new ClaimsIdentity(
        [
            new(TenantClaim, tenant), new(IdClaim, id), new(NameClaim, name),
            .. roles.Select(static role => new Claim(RoleClaim, role.ToString())),
            new(SignedInClaim, signedIn.ToUnixTimeSeconds().ToString(CultureInfo.InvariantCulture)),
            new(SessionClaim, NewSession()),
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
}
