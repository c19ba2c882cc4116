using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Professionals;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;
using OpenIddict.Server;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// The endpoint at which an app of citizens or of a clinic pushes what it asks for (RFC 9126), authenticated as at the token endpoint; nothing is
/// taken from the address that the person's browser then opens.
/// </summary>
internal static class PushedAuthorization
{
    public const string Path = "/connect/par";

    /// <summary>Page of the portal at which the citizen answers, and from which a professional is sent to sign in at the clinic.</summary>
    public const string AuthorizePath = "/connect/authorize";

    private const int LongestState = 1024;

    /// <summary>Asks for the patient in context, which an app of a citizen always gets (SMART App Launch 2.2, launch/patient).</summary>
    private const string LaunchScope = "launch/patient";

    public static void Map(IEndpointRouteBuilder endpoints) => endpoints.MapPost(Path, PushAsync);

    /// <summary>Where the browser goes back to, with the issuer that answers (RFC 9207).</summary>
    public static string BackTo(PushedRequest request, GatewayOptions options, params ReadOnlySpan<(string Name, string Value)> said)
    {
        var answer = new Dictionary<string, string?> { [Parameters.Iss] = TokenEndpoint.IssuerOf(options) };
        foreach (var (name, value) in said)
            answer[name] = value;
        if (request.State is { } state)
            answer[Parameters.State] = state;
        return QueryHelpers.AddQueryString(request.RedirectUri, answer);
    }

    private static async Task PushAsync(HttpContext context)
    {
        var services = context.RequestServices;
        var callers = services.GetRequiredService<ConnectCallers>();
        // Read before, by ConnectForms.
        var form = context.Request.Form.ToDictionary(StringComparer.Ordinal);
        var (clientId, assertion) = (One(form, Parameters.ClientId), One(form, Parameters.ClientAssertion));
        var refusal = await callers.IdentifyAsync(context, clientId, One(form, Parameters.ClientAssertionType), assertion).ConfigureAwait(false);
        if (refusal is null)
            try
            {
                (var address, refusal) = await KeepAsync(context, ConnectRequest.Of(context).Client!, form).ConfigureAwait(false);
                if (address is not null)
                {
                    services.GetRequiredService<IdentificationMetrics>().AcceptedPush();
                    context.Response.StatusCode = StatusCodes.Status201Created;
                    await context.Response.WriteAsJsonAsync(new { request_uri = address, expires_in = (int)AppAuthorizations.RequestLife.TotalSeconds }, context.RequestAborted).ConfigureAwait(false);
                    return;
                }
            }
            catch (SharedStateException)
            {
                refusal = new(Errors.TemporarilyUnavailable, "Requests cannot be kept at the moment; try again with a new assertion.");
            }
        await callers.RefusedAsync(context, refusal!, ConnectCallers.ClaimedIn(clientId, assertion)).ConfigureAwait(false);
        await ConnectCallers.AnswerAsync(context, refusal!).ConfigureAwait(false);
    }

    private static async Task<(string? Address, TokenRefusal? Refusal)> KeepAsync(HttpContext context, RegisteredClient client, Dictionary<string, StringValues> form)
    {
        var services = context.RequestServices;
        var (request, refusal) = Read(client, form, TokenEndpoint.AudienceOf(services.GetRequiredService<GatewayOptions>()),
            services.GetRequiredService<IOptions<OpenIddictServerOptions>>().Value.SigningCredentials.Select(static key => key.Algorithm), services.GetRequiredService<ClinicSignIn>());
        if (request is { } read)
            (request, refusal) = await BindAsync(context, client, form, read).ConfigureAwait(false);
        return request is null ? (null, refusal) : (await services.GetRequiredService<AppAuthorizations>().PushAsync(request).ConfigureAwait(false), null);
    }

    /// <summary>RFC 9449 §10: to the key that is named, or proven, already here.</summary>
    private static async ValueTask<(PushedRequest? Request, TokenRefusal? Refusal)> BindAsync(HttpContext context, RegisteredClient client, Dictionary<string, StringValues> form, PushedRequest request)
    {
        var named = One(form, "dpop_jkt");
        if (named is not null && (named.Length != 43 || named.Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_'))))
            return Refuse(Errors.InvalidRequest, "dpop_jkt must be the base64url SHA-256 thumbprint of the key (RFC 7638).");
        if (!DpopProofs.IsIn(context.Request))
            return (request with { KeyThumbprint = named }, null);
        var (thumbprint, unbound) = await context.RequestServices.GetRequiredService<DpopProofs>().VerifyAsync(context, client).ConfigureAwait(false);
        return unbound is not null ? Refuse(unbound.Error, unbound.Description)
            : named is not null && named != thumbprint ? Refuse(DpopProofs.InvalidProof, "dpop_jkt differs from the key of the DPoP proof.")
            : (request with { KeyThumbprint = thumbprint }, null);
    }

    /// <param name="keys">Algorithms that this server has keys for.</param>
    private static (PushedRequest? Request, TokenRefusal? Refusal) Read(RegisteredClient client, Dictionary<string, StringValues> form, string audience, IEnumerable<string> keys, ClinicSignIn clinics)
    {
        // RFC 6749 §3.1: each at most once, those too that may stand more often in a token exchange.
        if (form.Any(parameter => parameter.Value.Count != 1))
            return Refuse(Errors.InvalidRequest, "A parameter stands more than once.");
        if (client.Registration.Kind == ClientKind.System)
            return Refuse(Errors.UnauthorizedClient, "The client is not registered as an app.");
        if (form.ContainsKey(Parameters.Request))
            return Refuse(Errors.RequestNotSupported, "request is not supported: the parameters are pushed.");
        if (form.ContainsKey(Parameters.RequestUri))
            return Refuse(Errors.InvalidRequest, "request_uri is not allowed where requests are pushed (RFC 9126 §2.1).");
        if (One(form, Parameters.ResponseType) != ResponseTypes.Code)
            return Refuse(Errors.UnsupportedResponseType, "response_type must be code.");
        if (One(form, Parameters.ResponseMode) is not (null or ResponseModes.Query))
            return Refuse(Errors.InvalidRequest, "response_mode must be query.");
        if (One(form, Parameters.RedirectUri) is not { } redirect || !client.Registration.RedirectUris.Contains(redirect, StringComparer.Ordinal))
            return Refuse(Errors.InvalidRequest, "redirect_uri must be exactly one of those that the client has registered.");
        if (One(form, Parameters.CodeChallengeMethod) != CodeChallengeMethods.Sha256)
            return Refuse(Errors.InvalidRequest, "PKCE is required: code_challenge_method must be S256.");
        if (One(form, Parameters.CodeChallenge) is not { Length: 43 } challenge || challenge.Any(static c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_')))
            return Refuse(Errors.InvalidRequest, "code_challenge must be the base64url of a SHA-256 digest.");
        if (One(form, Parameters.State) is { Length: > LongestState })
            return Refuse(Errors.InvalidRequest, $"state has more than {LongestState} characters.");
        // SMART App Launch 2.2: which server the app believes to speak to.
        if (One(form, "aud") is { } aud && aud.TrimEnd('/') != audience)
            return Refuse(Errors.InvalidRequest, $"aud must be {audience}.");
        var isClinic = client.Registration.Kind == ClientKind.ClinicApp;
        var level = isClinic ? SmartScope.User : SmartScope.Patient;
        // OpenID Connect Core §3.1.2.1: somebody is always asked, and when she has identified herself before is not told.
        if (One(form, Parameters.Prompt)?.Split(' ').Contains(PromptValues.None) is true || form.ContainsKey(Parameters.MaxAge))
            return Refuse(Errors.InvalidRequest, "prompt=none and max_age are not supported.");
        if (One(form, Parameters.Nonce) is { Length: > LongestState })
            return Refuse(Errors.InvalidRequest, $"nonce has more than {LongestState} characters.");
        var (scopes, identity) = (new List<string>(), new List<string>());
        string? access = null;
        foreach (var text in (One(form, Parameters.Scope) ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (text == LaunchScope && !isClinic)
                continue;
            if (IdTokens.Scopes.Contains(text))
            {
                if (!client.Registration.Scopes.Contains(text))
                    return Refuse(Errors.InvalidScope, "A requested scope goes beyond what the client has registered.");
                identity.Add(text);
                continue;
            }
            if (AppGrants.Scopes.Contains(text))
            {
                if (!client.Registration.Scopes.Contains(text))
                    return Refuse(Errors.InvalidScope, "A requested scope goes beyond what the client has registered.");
                if (access is not null && access != text)
                    return Refuse(Errors.InvalidScope, "Ask for one of offline_access and online_access.");
                access = text;
                continue;
            }
            if (!SmartScope.TryParse(text, out var scope, out var query) || scope.Level != level)
                return Refuse(Errors.InvalidScope, query ?? (isClinic ? "An app of a clinic asks for user/ scopes such as user/Observation.rs."
                    : $"An app of citizens asks for {LaunchScope} and for patient/ scopes such as patient/Observation.rs."));
            if (!client.Scopes.Any(registered => registered.Covers(scope)))
                return Refuse(Errors.InvalidScope, "A requested scope goes beyond what the client has registered.");
            scopes.Add(scope.ToString());
        }
        if (scopes.Count == 0)
            return Refuse(Errors.InvalidScope, $"scope must name at least one {level}/ scope such as {level}/Observation.rs.");
        if (IdTokens.Explain(identity) is { } alone)
            return Refuse(Errors.InvalidScope, alone);
        if (identity.Count > 0 && !keys.Contains(client.Registration.IdTokenSignedResponseAlg))
            return Refuse(Errors.InvalidScope, "This server has no key for ID tokens of the algorithm that the client has registered (id_token_signed_response_alg).");
        var request = new PushedRequest(client.ClientId, redirect, One(form, Parameters.State), challenge, [.. scopes.Distinct(StringComparer.Ordinal)])
        {
            Identity = [.. identity.Distinct(StringComparer.Ordinal)], Nonce = One(form, Parameters.Nonce), Access = access,
        };
        return isClinic ? AskForClinic(client, form, request, clinics) : (request, null);
    }

    /// <summary>What is left of a request where a part of it is asked for anew (RFC 6749 §6): SMART scopes alone, for nobody has been identified anew.</summary>
    /// <param name="scopes">Empty: all.</param>
    /// <returns>Null when they go beyond it, or nothing is left.</returns>
    public static PushedRequest? Narrow(PushedRequest request, IReadOnlyCollection<string> scopes)
    {
        var (left, allowed) = (new List<string>(), SmartScope.ParseAll(request.Scopes));
        foreach (var text in scopes)
            if (SmartScope.TryParse(text, out var scope) && allowed.Any(one => one.Covers(scope)))
                left.Add(scope.ToString());
            else if (text != LaunchScope && text != request.Access && !request.Identity.Contains(text))
                return null;
        return scopes.Count > 0 && left.Count == 0 ? null
            : request with { Scopes = scopes.Count == 0 ? request.Scopes : [.. left.Distinct(StringComparer.Ordinal)], Identity = [], Nonce = null };
    }

    /// <summary>For whom and what for, as at the token endpoint.</summary>
    private static (PushedRequest? Request, TokenRefusal? Refusal) AskForClinic(RegisteredClient client, Dictionary<string, StringValues> form, PushedRequest request, ClinicSignIn clinics)
    {
        if (TokenEndpoint.RequesterOf(client, One(form, TokenEndpoint.RequesterParameter), out var unnamed) is not { } requester)
            return Refuse(Errors.InvalidRequest, unnamed);
        if (TokenEndpoint.ExplainPurpose(One(form, TokenEndpoint.PurposeClaim)) is { } purpose)
            return Refuse(Errors.InvalidRequest, purpose);
        if (clinics.IssuerOf(client, requester) is null)
            return Refuse(Errors.UnauthorizedClient, "The organisation has no identity provider at which professionals sign in here, or several and the client's registration names none (professional_issuer).");
        return (request with { Organisation = requester.Organisation.ToString(), Purpose = TokenEndpoint.PurposeOf(One(form, TokenEndpoint.PurposeClaim)) }, null);
    }

    private static string? One(Dictionary<string, StringValues> form, string name) => form.TryGetValue(name, out var values) && values is [{ Length: > 0 } one] ? one : null;

    private static (PushedRequest?, TokenRefusal?) Refuse(string error, string description) => (null, new(error, description));
}
