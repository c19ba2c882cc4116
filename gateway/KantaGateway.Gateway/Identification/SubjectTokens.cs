using System.Security.Claims;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Professionals;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Authentication.JwtBearer;
using Microsoft.Extensions.Options;
using Microsoft.Identity.Web;
using Microsoft.IdentityModel.Tokens;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>A professional as the clinic's identity provider vouches for one.</summary>
/// <param name="Id">Terhikki number (<c>professional_id</c>) where the provider knows it, else the provider's <c>sub</c>.</param>
/// <param name="Profession">As the role register has it; the provider's word where there is no register.</param>
/// <param name="Tasks">Null where there is no register.</param>
/// <param name="Unit">OID of the service unit; null when the provider names none.</param>
/// <param name="Until">When the subject token ends; what is derived from it ends no later.</param>
internal sealed record VouchedProfessional(string Id, string Name, string? Profession, TaskClass? Tasks, string? Unit, string? Acr, DateTimeOffset Until);

/// <summary>
/// Validates subject tokens of token exchange (RFC 8693): those of the clinics' identity providers through Microsoft.Identity.Web, one
/// scheme for each, and those that professionals sign with their cards (<see cref="CardTokens"/>).
/// </summary>
internal sealed class SubjectTokens(GatewayOptions options, IProfessionalRights? rights = null, CardTokens? cards = null)
{
    /// <summary>What a clinic may call its token; JWTs all of them.</summary>
    public static readonly IReadOnlyList<string> Types =
        [TokenTypeIdentifiers.AccessToken, TokenTypeIdentifiers.IdentityToken, "urn:ietf:params:oauth:token-type:jwt"];

    /// <summary>What clinics' providers sign with.</summary>
    public static readonly string[] Algorithms = [SecurityAlgorithms.RsaSha256, SecurityAlgorithms.RsaSsaPssSha256, SecurityAlgorithms.EcdsaSha256];

    private const string SchemePrefix = "professional:";
    private const int LongestToken = 16 * 1024;
    private static readonly object TokenKey = new();

    private readonly Dictionary<string, ProfessionalIssuer> _issuers =
        options.Identification.ProfessionalIssuers.ToDictionary(issuer => issuer.Issuer, StringComparer.Ordinal);

    public static void AddSchemes(AuthenticationBuilder authentication, IdentificationOptions options, Func<HttpMessageHandler> upstream)
    {
        foreach (var issuer in options.ProfessionalIssuers)
            authentication.AddMicrosoftIdentityWebApi(
                jwt =>
                {
                    jwt.MetadataAddress = issuer.Issuer.TrimEnd('/') + "/.well-known/openid-configuration";
                    jwt.BackchannelHttpHandler = upstream();
                    jwt.BackchannelTimeout = TimeSpan.FromSeconds(10);
                    jwt.MapInboundClaims = false;
                    jwt.TokenValidationParameters = new TokenValidationParameters
                    {
                        ValidIssuer = issuer.Issuer,
                        ValidAudience = issuer.Audience,
                        ValidTypes = ["JWT", "at+jwt"],
                        ValidAlgorithms = Algorithms,
                        ClockSkew = TimeSpan.FromSeconds(10),
                        // In the place of the Entra validator, which wants a tenant id: exactly this issuer.
                        IssuerValidator = (found, _, _) => found == issuer.Issuer ? found : throw new SecurityTokenInvalidIssuerException(),
                    };
                    jwt.Events = new JwtBearerEvents
                    {
                        OnMessageReceived = received =>
                        {
                            // The Authorization header is not where a subject token stands.
                            received.Token = received.HttpContext.Items[TokenKey] as string;
                            if (received.Token is null)
                                received.NoResult();
                            return Task.CompletedTask;
                        },
                    };
                },
                entra =>
                {
                    entra.Authority = issuer.Issuer;
                    entra.ClientId = issuer.Audience;
                    // SMART scopes are granted here, not by the clinic's provider, so its scp or roles are not asked for.
                    entra.AllowWebApiToBeAuthorizedByACL = true;
                },
                SchemePrefix + issuer.Issuer);
    }

    /// <param name="requester">The organisation that the authenticated clinic system asks for: its own identity provider is the only one heard.</param>
    /// <param name="client">That system.</param>
    /// <exception cref="SharedStateException">The replay cache does not answer.</exception>
    public async ValueTask<(VouchedProfessional? Professional, TokenRefusal? Refusal)> ValidateAsync(HttpContext context, RegisteredClient client, RegisteredRequester requester, string token)
    {
        if (TokenShape.Read(token, LongestToken, out var misshapen) is not { } claims)
            return Refuse("The subject_token " + misshapen);
        if (cards is not null && CardTokens.IsOne(claims) && !_issuers.ContainsKey(claims.Issuer ?? ""))
        {
            var (holder, ends, unproven) = await cards.ValidateAsync(claims, client, requester).ConfigureAwait(false);
            if (holder is null)
                return (null, unproven);
            var looked = await LookUpAsync(new(holder.Number, holder.Name, null, null, null, CardTokens.Acr, ends), null, "subject_token", context.RequestAborted).ConfigureAwait(false);
            return looked.Item1 is not null && await cards.UseUpAsync(claims, holder, ends).ConfigureAwait(false) is { } used ? (null, used) : looked;
        }
        if (claims.Issuer is not { } named || !_issuers.TryGetValue(named, out var issuer))
            return Refuse("The subject_token's issuer is not an identity provider that this gateway knows.");
        if (issuer.Organisation != requester.Organisation.ToString())
            return Refuse("The subject_token was issued by the identity provider of another organisation than the one that asks.");

        var scheme = SchemePrefix + issuer.Issuer;
        try
        {
            // Kept once they are there. The scheme itself takes a provider that does not answer for one without this key.
            await context.RequestServices.GetRequiredService<IOptionsMonitor<JwtBearerOptions>>().Get(scheme).ConfigurationManager!.GetConfigurationAsync(context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception silent) when (silent is InvalidOperationException or HttpRequestException or IOException or OperationCanceledException)
        {
            return Unreachable;
        }
        AuthenticateResult result;
        context.Items[TokenKey] = token;
        try
        {
            result = await context.AuthenticateAsync(scheme).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is InvalidOperationException or HttpRequestException or IOException or OperationCanceledException)
        {
            result = AuthenticateResult.Fail(failure);
        }
        finally
        {
            context.Items.Remove(TokenKey);
        }
        if (result.Failure is { } reason)
            return Explain(reason) is { } wrong ? Refuse(wrong) : Unreachable;
        if (result.Principal is not { } principal)
            return Refuse("The subject_token could not be validated.");
        return await VouchAsync(issuer, principal, result.Properties?.ExpiresUtc, "subject_token", context.RequestAborted).ConfigureAwait(false);
    }

    /// <summary>The professional whom a validated token of an issuer names, with the right to practise looked up.</summary>
    /// <param name="what">What the token is called in a refusal: <c>subject_token</c>, <c>ID token</c>.</param>
    public async ValueTask<(VouchedProfessional? Professional, TokenRefusal? Refusal)> VouchAsync(ProfessionalIssuer issuer, ClaimsPrincipal principal, DateTimeOffset? ends, string what, CancellationToken cancel)
    {
        if (ExplainTenant(issuer, principal, what) is { } foreign)
            return Refuse(foreign);

        // The register knows professionals by their number there, which a provider's own sub is not.
        var id = principal.FindFirst(issuer.ProfessionalIdClaim)?.Value ?? (rights is null ? principal.FindFirst(Claims.Subject)?.Value : null);
        var name = principal.FindFirst(Claims.Name)?.Value;
        if (id is not { Length: > 0 and <= 128 } || name is not { Length: > 0 and <= 256 })
            return Refuse(rights is null ? $"The {what} must name the professional: {issuer.ProfessionalIdClaim} or sub, and name." : $"The {what} must name the professional: {issuer.ProfessionalIdClaim}, the number in the role register, and name.");
        var until = long.TryParse(principal.FindFirst("exp")?.Value, out var exp) ? TokenShape.Time(exp) : ends;
        if (until is not { } end)
            return Refuse($"The {what} has no exp.");
        var unit = principal.FindFirst("unit")?.Value;
        if (unit is not null && (!Oid.TryParse(unit, out _) || !unit.StartsWith(issuer.Organisation + ".", StringComparison.Ordinal)))
            return Refuse($"The {what}'s unit must be an OID under that of the organisation.");
        return await LookUpAsync(new(id, name, principal.FindFirst("profession")?.Value, null, unit, principal.FindFirst("acr")?.Value, end),
            principal.FindFirst("task_class")?.Value, what, cancel).ConfigureAwait(false);
    }

    /// <summary>The professional of whom was heard before, by what the register says now.</summary>
    public ValueTask<(VouchedProfessional? Professional, TokenRefusal? Refusal)> LookUpAgainAsync(VouchedProfessional professional, CancellationToken cancel) =>
        LookUpAsync(professional, professional.Tasks is { } tasks ? TaskClasses.NameOf(tasks) : null, "sign-in", cancel);

    /// <summary>Act 703/2023 §8, §65: the right to practise is looked up, and the profession is the register's word.</summary>
    private async ValueTask<(VouchedProfessional?, TokenRefusal?)> LookUpAsync(VouchedProfessional vouched, string? task, string what, CancellationToken cancel)
    {
        if (rights is null)
            return (vouched, null);
        try
        {
            var right = await rights.AskAsync(vouched.Id, cancel).ConfigureAwait(false);
            if (!right.IsValid)
                return Refuse("The role register knows no valid right to practise of the professional.");
            return TaskClasses.Narrow(right.Tasks, task) is { } tasks
                ? (vouched with { Profession = right.Profession, Tasks = tasks }, null)
                : Refuse($"The {what}'s task_class is none that the profession permits.");
        }
        catch (ProfessionalRightsException)
        {
            return (null, new(Errors.TemporarilyUnavailable, "The right to practise cannot be looked up at the moment; try again with a new assertion."));
        }
    }

    /// <summary>What an access token of Entra ID (v2.0) must say beside its issuer; null when all holds.</summary>
    /// <remarks>learn.microsoft.com/entra/identity-platform/access-token-claims-reference: tid, ver, oid, idtyp, roles.</remarks>
    private static string? ExplainTenant(ProfessionalIssuer issuer, ClaimsPrincipal principal, string what)
    {
        if (issuer.Roles is { Count: > 0 } roles && !principal.FindAll("roles").Any(role => roles.Contains(role.Value)))
            return $"The {what} has none of the app roles that professionals need here.";
        if (issuer.Tenant is not { } tenant)
            return null;
        if (!string.Equals(principal.FindFirst("tid")?.Value, tenant, StringComparison.OrdinalIgnoreCase))
            return $"The {what}'s tid is not the tenant of its issuer.";
        if (principal.FindFirst("ver")?.Value != "2.0")
            return $"The {what}'s ver must be 2.0.";
        // An application's own token names no person.
        return principal.FindFirst("idtyp")?.Value == "app" || !Guid.TryParse(principal.FindFirst("oid")?.Value, out _)
            ? $"The {what} must be a user's (oid), not an application's." : null;
    }

    private static (VouchedProfessional?, TokenRefusal?) Unreachable => (null, new(Errors.TemporarilyUnavailable,
        "The organisation's identity provider cannot be reached at the moment to validate the subject_token; try again with a new assertion."));

    // RFC 8693 §2.2.2: an unacceptable subject token is invalid_request.
    private static (VouchedProfessional?, TokenRefusal?) Refuse(string description) => (null, new(Errors.InvalidRequest, description));

    /// <returns>Null when the provider could not be asked for its keys.</returns>
    private static string? Explain(Exception reason) => reason switch
    {
        SecurityTokenNotYetValidException => "The subject_token is not valid yet; check the clock of the identity provider.",
        SecurityTokenExpiredException or SecurityTokenNoExpirationException or SecurityTokenInvalidLifetimeException => "The subject_token has expired; the professional must sign in again.",
        SecurityTokenInvalidAudienceException => "The subject_token was issued for another audience.",
        SecurityTokenInvalidIssuerException => "The subject_token's issuer is not the expected one.",
        SecurityTokenInvalidTypeException => "The subject_token's typ must be JWT or at+jwt.",
        SecurityTokenException => "The subject_token's signature does not verify with the identity provider's keys.",
        _ => null,
    };
}
