using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http.Features;

namespace KantaGateway.Simulators;

/// <summary>One person who may act for another.</summary>
/// <param name="Representative">Identity code of who acts.</param>
/// <param name="Represented">Identity code of the other.</param>
/// <param name="IsCustodian">By custody of a minor; else by a mandate to manage matters of health care.</param>
/// <param name="HasNonDisclosureOrder">Turvakielto: custody alone does not let act then.</param>
public sealed record SimulatedRelation(string Representative, string Represented, bool IsCustodian, bool HasNonDisclosureOrder = false);

/// <summary>What of the Web API misbehaves.</summary>
public enum AuthorizationsStep { Register, Token, Delegate, List, Authorization }

/// <summary>How it misbehaves.</summary>
public enum AuthorizationsFault
{
    None, Silent, Slow, Error, Redirect, Malformed, Duplicated, Empty, Huge, Nested, WrongType,

    /// <summary>It knows another key than the gateway signs with.</summary>
    AnotherKey,

    /// <summary>The session, or the code, has ended.</summary>
    Expired,

    /// <summary>Not allowed: DISALLOWED, or no roles.</summary>
    Disallowed,

    /// <summary>A result, or a role, that nobody has heard of.</summary>
    Unknown,

    /// <summary>The answer is about somebody else than was chosen.</summary>
    AnotherPerson,

    /// <summary>The answer is about the one who acts.</summary>
    Oneself,

    /// <summary>Two people, or none.</summary>
    Two, Nobody,
}

/// <summary>
/// Suomi.fi e-Authorizations as its Web API speaks: requests signed with HMAC-SHA-256 and no more than five minutes old, a page on which a person is
/// chosen, codes, tokens of 599 s with refresh tokens, ALLOWED where every rule passes and DISALLOWED without a reason otherwise.
/// </summary>
/// <param name="ClientId">Web API Client ID of the one client.</param>
/// <param name="RedirectUri">Where its people come back to.</param>
public sealed class SimulatedAuthorizations(string ClientId, string ApiKey, string OAuthPassword, string RedirectUri)
{
    public const string Theme = "http://valtuusrekisteri.suomi.fi/terveydenhuollon_asioiden_hoito";

    private static readonly TimeSpan TokenLife = TimeSpan.FromSeconds(599);
    private static readonly TimeSpan Skew = TimeSpan.FromMinutes(5);

    private readonly ConcurrentDictionary<string, Session> _sessions = new();
    private readonly ConcurrentDictionary<string, (Session Session, DateTimeOffset Ends)> _codes = new(), _tokens = new();
    private readonly ConcurrentDictionary<string, Session> _renewals = new();

    private sealed class Session(string person)
    {
        public string Person => person;
        public string Id { get; } = Random();
        public string User { get; } = Random();
        public string? Chosen { get; set; }
    }

    /// <summary>Who may act for whom.</summary>
    public required IReadOnlyList<SimulatedRelation> Relations { get; set; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Misbehaviour, and where.</summary>
    public (AuthorizationsStep Step, AuthorizationsFault Fault) Misbehaves { get; set; }

    /// <summary>Requests of the client so far, by step.</summary>
    public ConcurrentDictionary<AuthorizationsStep, int> Asked { get; } = new();

    /// <summary>Whether tokens can be renewed.</summary>
    public bool Renews { get; set; } = true;

    /// <summary>How far its clock is ahead of the client's.</summary>
    public TimeSpan Ahead { get; set; }

    /// <summary>How long <see cref="AuthorizationsFault.Slow"/> takes.</summary>
    public TimeSpan Slowness { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Ends all sessions at the Web API.</summary>
    public void EndSessions() { _sessions.Clear(); _tokens.Clear(); _renewals.Clear(); }

    internal void Map(IEndpointRouteBuilder endpoints, SimulatorOptions options)
    {
        string NameOf(string code) => options.Citizens.FirstOrDefault(c => c.IdentityCode == code)?.Name ?? "Nimetön Henkilö";

        endpoints.MapGet("/service/hpa/user/register/{client}/{person}", (HttpContext context, string client, string person) => AnswerAsync(context, AuthorizationsStep.Register, _ =>
        {
            if (client != ClientId)
                return Results.StatusCode(StatusCodes.Status404NotFound);
            var session = new Session(person);
            _sessions[session.Id] = session;
            return Results.Json(new JsonObject { ["sessionId"] = session.Id, ["userId"] = session.User });
        }));

        endpoints.MapGet("/oauth/authorize", (HttpContext context) =>
        {
            var query = context.Request.Query;
            if (query["client_id"] != ClientId || query["response_type"] != "code" || query["redirect_uri"] != RedirectUri || _sessions.Values.FirstOrDefault(s => s.User == query["user"]) is not { } session)
                return Results.Text("client_id, redirect_uri or user is not known.", statusCode: StatusCodes.Status400BadRequest);
            var choices = string.Join('\n', Relations.Where(r => r.Representative == session.Person).Select(r => r.Represented).Distinct()
                .Select((code, index) => $"""<li><button name="person" value="{index}">{WebUtility.HtmlEncode(NameOf(code))}</button></li>"""));
            return Results.Content($$"""
                <!doctype html>
                <html lang="{{WebUtility.HtmlEncode(query["lang"])}}">
                <head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Test e-Authorizations</title></head>
                <body>
                <h1>Test e-Authorizations</h1>
                <p>Everyone here is fictional. {{WebUtility.HtmlEncode(NameOf(session.Person))}}, for whom do you act?</p>
                <form id="selection" method="post" action="/oauth/authorize">
                <input type="hidden" name="user" value="{{session.User}}"><input type="hidden" name="state" value="{{WebUtility.HtmlEncode(query["state"])}}">
                <ul>
                {{choices}}
                </ul>
                <button name="cancel" value="1">Cancel</button>
                </form>
                </body>
                </html>
                """, "text/html; charset=utf-8");
        });

        endpoints.MapPost("/oauth/authorize", async (HttpContext context) =>
        {
            var form = await context.Request.ReadFormAsync(context.RequestAborted);
            if (_sessions.Values.FirstOrDefault(s => s.User == form["user"]) is not { } session)
                return Results.Text("The session has ended.", statusCode: StatusCodes.Status400BadRequest);
            var back = $"{RedirectUri}?state={Uri.EscapeDataString(form["state"].ToString())}";
            var choices = Relations.Where(r => r.Representative == session.Person).Select(r => r.Represented).Distinct().ToArray();
            if (!int.TryParse(form["person"], out var index) || index < 0 || index >= choices.Length)
                return Results.Redirect(back + "&error=access_denied");
            session.Chosen = choices[index];
            var code = Random();
            _codes[code] = (session, Time.GetUtcNow().AddMinutes(1));
            return Results.Redirect($"{back}&code={code}");
        }).DisableAntiforgery();

        endpoints.MapPost("/oauth/token", async (HttpContext context) =>
        {
            var form = await context.Request.ReadFormAsync(context.RequestAborted);
            return await AnswerAsync(context, AuthorizationsStep.Token, fault =>
            {
                if (context.Request.Headers.Authorization != "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{ClientId}:{OAuthPassword}")))
                    return Results.Json(new JsonObject { ["error"] = "invalid_client" }, statusCode: StatusCodes.Status401Unauthorized);
                Session? session = null;
                if (fault == AuthorizationsFault.Expired)
                    session = null;
                else if (form["grant_type"] == "authorization_code" && form["redirect_uri"] == RedirectUri && _codes.TryRemove(form["code"].ToString(), out var issued) && issued.Ends > Time.GetUtcNow())
                    session = issued.Session;
                else if (form["grant_type"] == "refresh_token" && Renews && _renewals.TryRemove(form["refresh_token"].ToString(), out var renewed))
                    session = renewed;
                if (session is null)
                    return Results.Json(new JsonObject { ["error"] = "invalid_grant" }, statusCode: StatusCodes.Status400BadRequest);
                var (token, renewal) = (Random(), Random());
                _tokens[token] = (session, Time.GetUtcNow() + TokenLife);
                var answer = new JsonObject { ["access_token"] = token, ["token_type"] = "bearer", ["expires_in"] = (int)TokenLife.TotalSeconds, ["scope"] = "read write trust" };
                if (Renews)
                {
                    _renewals[renewal] = session;
                    answer["refresh_token"] = renewal;
                }
                return Results.Json(answer);
            });
        }).DisableAntiforgery();

        endpoints.MapGet("/service/hpa/api/delegate/{session}", (HttpContext context, string session) => AnswerAsync(context, AuthorizationsStep.Delegate, fault =>
        {
            if (SessionOf(context, session) is not { Chosen: { } chosen } known)
                return Results.StatusCode(StatusCodes.Status401Unauthorized);
            // One for whom the same right holds, if there is one.
            var other = Relations.OrderByDescending(r => r.Representative == known.Person && !r.HasNonDisclosureOrder && RelationsOf(known.Person, chosen).Any(its => its.IsCustodian == r.IsCustodian))
                .First(r => r.Represented != chosen).Represented;
            string[] people = fault switch
            {
                AuthorizationsFault.AnotherPerson => [other],
                AuthorizationsFault.Oneself => [known.Person],
                AuthorizationsFault.Two => [chosen, other],
                AuthorizationsFault.Nobody => [],
                AuthorizationsFault.Unknown => ["010190-900?"],
                _ => [chosen],
            };
            return Results.Json(new JsonArray([.. people.Select(code => (JsonNode)new JsonObject { ["personId"] = code, ["name"] = NameOf(code) })]));
        }));

        endpoints.MapGet("/service/hpa/api/authorizationlist/{session}/{person}", (HttpContext context, string session, string person) => AnswerAsync(context, AuthorizationsStep.List, fault =>
            SessionOf(context, session) is not { } known ? Results.StatusCode(StatusCodes.Status401Unauthorized)
            : Results.Json(new JsonObject
            {
                ["roles"] = new JsonArray([.. (fault switch
                {
                    AuthorizationsFault.Disallowed => [],
                    AuthorizationsFault.Unknown => ["http://valtuusrekisteri.suomi.fi/verojen_hoito"],
                    _ => RolesOf(known.Person, person),
                }).Select(role => (JsonNode)role)]),
                ["reasons"] = new JsonArray(),
            })));

        endpoints.MapGet("/service/hpa/api/authorization/{session}/{person}", (HttpContext context, string session, string person) => AnswerAsync(context, AuthorizationsStep.Authorization, fault =>
            SessionOf(context, session) is not { } known ? Results.StatusCode(StatusCodes.Status401Unauthorized)
            : Results.Json(new JsonObject
            {
                ["result"] = fault switch
                {
                    AuthorizationsFault.Disallowed => "DISALLOWED",
                    AuthorizationsFault.Unknown => "allowed",
                    _ => IsAllowed(known.Person, person, context.Request.Query["issues"]) ? "ALLOWED" : "DISALLOWED",
                },
                ["reasons"] = new JsonArray(),
            })));
    }

    private IEnumerable<SimulatedRelation> RelationsOf(string representative, string represented) => Relations.Where(r => r.Representative == representative && r.Represented == represented);

    private IEnumerable<string> RolesOf(string representative, string represented) => representative == represented ? ["ALL"]
        : RelationsOf(representative, represented).Where(r => !(r.IsCustodian && r.HasNonDisclosureOrder)).Select(r => r.IsCustodian ? "ALL" : Theme);

    /// <summary>For a minor custody is enough; for an adult the theme of the mandate has to be asked about.</summary>
    private bool IsAllowed(string representative, string represented, string? issue) =>
        RolesOf(representative, represented).Any(role => role == "ALL" || role == issue);

    private Session? SessionOf(HttpContext context, string session) =>
        context.Request.Headers.Authorization is [{ } header] && header.StartsWith("Bearer ", StringComparison.Ordinal)
            && _tokens.TryGetValue(header["Bearer ".Length..], out var token) && token.Ends > Time.GetUtcNow() && token.Session.Id == session && _sessions.ContainsKey(session) ? token.Session : null;

    private async Task<IResult> AnswerAsync(HttpContext context, AuthorizationsStep step, Func<AuthorizationsFault, IResult> answer)
    {
        Asked.AddOrUpdate(step, 1, static (_, count) => count + 1);
        var fault = Misbehaves.Step == step ? Misbehaves.Fault : AuthorizationsFault.None;
        if (step != AuthorizationsStep.Token && !IsSigned(context.Request, fault == AuthorizationsFault.AnotherKey ? "another" : ApiKey))
            return Results.StatusCode(StatusCodes.Status401Unauthorized);
        switch (fault)
        {
            case AuthorizationsFault.Silent:
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
                return Results.Empty;
            case AuthorizationsFault.Slow:
                await Task.Delay(Slowness, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default);
                return answer(fault);
            case AuthorizationsFault.Error:
                return Results.StatusCode(StatusCodes.Status500InternalServerError);
            case AuthorizationsFault.Redirect:
                return Results.Redirect("/elsewhere", preserveMethod: true);
            case AuthorizationsFault.Malformed:
                return Results.Text("{\"result\":\"ALLOWED\"", "application/json");
            case AuthorizationsFault.Empty:
                return Results.Text("", "application/json");
            case AuthorizationsFault.Duplicated:
                return Results.Text("""{"result":"DISALLOWED","result":"ALLOWED","roles":[],"roles":["ALL"],"sessionId":"a","sessionId":"b","userId":"c","access_token":"a","access_token":"b","token_type":"bearer","expires_in":599}""", "application/json");
            case AuthorizationsFault.Huge:
                return Results.Text("{\"result\":\"ALLOWED\",\"roles\":[\"ALL\"],\"sessionId\":\"a\",\"userId\":\"b\",\"access_token\":\"a\",\"token_type\":\"bearer\",\"expires_in\":599" + new string(' ', 1024 * 1024) + "}", "application/json");
            case AuthorizationsFault.Nested:
                return Results.Text(string.Concat(Enumerable.Repeat("{\"result\":", 64)) + "\"ALLOWED\"" + new string('}', 64), "application/json");
            case AuthorizationsFault.WrongType:
                return Results.Text("[\"ALLOWED\",\"ALL\"]", "application/json");
            case AuthorizationsFault.Expired when step is not AuthorizationsStep.Token:
                return Results.StatusCode(StatusCodes.Status401Unauthorized);
            default:
                return answer(fault);
        }
    }

    /// <summary>The header of the interface description: client id, time and checksum of path and time.</summary>
    private bool IsSigned(HttpRequest request, string key)
    {
        if (request.Headers["X-AsiointivaltuudetAuthorization"].ToString().Split(' ') is not [var client, var time, var checksum] || client != ClientId
            || !DateTimeOffset.TryParse(time, System.Globalization.CultureInfo.InvariantCulture, out var at) || (at - Time.GetUtcNow() - Ahead).Duration() > Skew)
            return false;
        var path = request.HttpContext.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        return checksum == Convert.ToBase64String(HMACSHA256.HashData(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes($"{path} {time}")));
    }

    private static string Random() => Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));
}
