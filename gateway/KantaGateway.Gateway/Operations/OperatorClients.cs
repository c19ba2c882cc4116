using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// Onboarding over HTTP, with an operator's session: what is registered, proposing, approving, rejecting, suspending. Only there where operators
/// are configured. Errors are ProblemDetails (RFC 9457) with everything that is wrong in <c>errors</c>.
/// </summary>
public static class OperatorClients
{
    private const int LongestAnswer = 4 * 1024;

    internal sealed record Decided(string? Digest);
    private sealed record Suspended(string? ClientId);

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web) { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    /// <summary>Adds the addresses under <c>/operator/clients</c>.</summary>
    public static void MapOperatorClients(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null)
            return;
        app.MapGet("/operator/clients", static context => AnswerAsync(context, static (services, _) =>
        {
            var (clients, open) = services.GetRequiredService<Onboarding>().List();
            return new(Results.Json(new JsonObject
            {
                ["clients"] = new JsonArray([.. clients.Select(static one => JsonNode.Parse(ClientDirectory.WriteOne(one.Registration)))]),
                ["proposals"] = new JsonArray([.. open.Select(Describe)]),
            }));
        }));
        app.MapPost("/operator/clients/proposals", static context => AnswerAsync(context, async (services, who) =>
        {
            if (await ReadAsync(context, Onboarding.LongestRegistration) is not { } body)
                return Problem(context, 413, "Too large", [$"The body has more than {Onboarding.LongestRegistration} bytes."]);
            var (proposal, faults, refusal) = await services.GetRequiredService<Onboarding>().ProposeAsync(context, who, body);
            return proposal is not null ? Results.Json(Describe(proposal), statusCode: 201)
                : refusal is { } reason ? Refuse(context, reason)
                : Problem(context, 422, "The registration is not valid", [.. faults.Select(static fault => fault.ToString())]);
        }));
        app.MapPost("/operator/clients/proposals/{id}/approve", static context => DecideAsync(context, OperatorRole.Onboarding, static (services, context, who, id, digest) => services.GetRequiredService<Onboarding>().ApproveAsync(context, who, id, digest)));
        app.MapPost("/operator/clients/proposals/{id}/reject", static context => DecideAsync(context, OperatorRole.Onboarding, static (services, context, who, id, digest) => services.GetRequiredService<Onboarding>().RejectAsync(context, who, id, digest)));
        app.MapPost("/operator/clients/suspend", static context => AnswerAsync(context, async (services, who) =>
        {
            if (await ReadAsync<Suspended>(context) is not { ClientId: { } client })
                return Problem(context, 400, "Not understood", ["Send {\"client_id\": ...}."]);
            return await services.GetRequiredService<Onboarding>().SuspendAsync(context, who, client) is { } refusal ? Refuse(context, refusal) : Results.NoContent();
        }));
    }

    /// <summary>A step about the proposal that the address names, with the digest of what the operator has looked at in the body.</summary>
    /// <param name="role">As in <see cref="AnswerAsync(HttpContext, OperatorRole?, Func{IServiceProvider, Operator, ValueTask{IResult}})"/>.</param>
    internal static Task DecideAsync(HttpContext context, OperatorRole? role, Func<IServiceProvider, HttpContext, Operator, string, string, ValueTask<DecisionRefusal?>> decide) =>
        AnswerAsync(context, role, async (services, who) =>
        {
            if (await ReadAsync<Decided>(context) is not { Digest: { } digest })
                return Problem(context, 400, "Not understood", ["Send {\"digest\": ...}, the digest of the proposal that you have looked at."]);
            return await decide(services, context, who, (string)context.Request.RouteValues["id"]!, digest) is { } refusal ? Refuse(context, refusal) : Results.NoContent();
        });

    /// <summary>What holds of each of them: an operator, no other site's page behind it, JSON in, nothing kept.</summary>
    private static Task AnswerAsync(HttpContext context, Func<IServiceProvider, Operator, ValueTask<IResult>> answer) => AnswerAsync(context, OperatorRole.Onboarding, answer);

    /// <param name="role">That the operator must have; null: the one that the act itself asks for.</param>
    internal static async Task AnswerAsync(HttpContext context, OperatorRole? role, Func<IServiceProvider, Operator, ValueTask<IResult>> answer)
    {
        context.Response.Headers.CacheControl = "no-store";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        IResult result;
        if (await OperatorSessions.OfAsync(context) is not { } who)
            result = Problem(context, 401, "Not signed in", [$"Sign in at {OperatorSession.SignInPath}."]);
        else if (role is { } needed && !who.Roles.Contains(needed))
            result = Refuse(context, DecisionRefusal.NoRole);
        // A form of another site can neither send JSON nor hide where it comes from.
        else if (HttpMethods.IsPost(context.Request.Method) && (!OperatorSession.IsOwn(context.Request) || !context.Request.HasJsonContentType()))
            result = Problem(context, 403, "Not from here", ["Send application/json, and not from a page of another site."]);
        else
            try
            {
                result = await answer(context.RequestServices, who);
            }
            catch (SharedStateException)
            {
                result = Problem(context, 503, "Not in force everywhere yet", ["The decision is kept, but may not be in force on every gateway. Do it again."]);
            }
        await result.ExecuteAsync(context);
    }

    private static JsonObject Describe(Proposal proposal) => new()
    {
        ["id"] = proposal.Id,
        ["kind"] = proposal.Kind == ApprovalKind.Onboarding ? "onboarding" : "scope-widening",
        ["digest"] = proposal.Digest,
        ["proposed_by"] = proposal.By.Name,
        ["proposed_at"] = proposal.At,
        ["until"] = proposal.Until,
        ["registration"] = JsonNode.Parse(proposal.Content),
    };

    internal static IResult Refuse(HttpContext context, DecisionRefusal refusal)
    {
        var (status, text) = refusal switch
        {
            DecisionRefusal.NoSuchProposal => (404, "There is no such proposal."),
            DecisionRefusal.NoSuchClient => (404, "There is no such client."),
            DecisionRefusal.AlreadyDecided => (409, "The proposal has been decided already."),
            DecisionRefusal.TooLate => (409, "The time in which this could be decided or carried out is over: 24 hours, or seven days after what had to wait. Propose it anew."),
            DecisionRefusal.OtherContent => (409, "The digest is not the proposal's. Look at it again."),
            DecisionRefusal.ChangedMeanwhile => (409, "What the proposal would change is not as it was any more. Look at it, and propose the change anew."),
            DecisionRefusal.KeysLeft => (409, "Something is still under an older version of the key: wait until /operator/keys says that nothing is left, under people neither."),
            DecisionRefusal.NotNow => (409, "The key service does not hold it now: the version is not the next one or the oldest one, a ceremony before it has not come to its end, the one after it began less than ten minutes ago, or somebody is still named by it. Carry it out again, or propose another."),
            DecisionRefusal.StillKept => (409, "The record may not be destroyed: there is none, its retention has not ended by what the registers state (12 years after death, 120 from birth where no death is known), or a service event is open. Where a date is wrong or missing, the clinic that states it corrects its Patient, and where a visit was not ended, its Encounter. Then decide again."),
            DecisionRefusal.EntriesKept => (409, "The audit log may not be pruned there. An entry is kept for twelve years from when it was recorded, and one that is younger keeps all that come after it; and the log is cut between its files or tiles only. Propose audit-log alone: the act says how far that is."),
            DecisionRefusal.EntriesNeeded => (409, "An open breach case needs entries that would go: an access among them is disputed, or the scope of a breach is asked for that reaches back so far. When the case has ended, decide again."),
            DecisionRefusal.OtherLog => (409, "The act is about the audit log of another gateway. Decide at that one."),
            DecisionRefusal.Waiting => (409, "It is approved and waits until the time not_before in /operator/acts; until it is carried out, anybody with the role can reject it. Carry it out then."),
            DecisionRefusal.SamePerson => (403, "Whoever proposes does not approve. Somebody else has to."),
            DecisionRefusal.SignInAgain => (403, $"You signed in too long ago to decide this. Sign in again at {OperatorSession.SignInPath}."),
            DecisionRefusal.NoRole => (403, "You have not the role that this needs."),
            _ => (409, "The proposal has not been approved."),
        };
        return Problem(context, status, refusal.ToString(), [text]);
    }

    internal static IResult Problem(HttpContext context, int status, string title, IReadOnlyList<string> errors) =>
        Results.Problem(errors.Count == 1 ? errors[0] : $"{errors.Count} things are wrong.", statusCode: status, title: title,
            extensions: new Dictionary<string, object?> { ["errors"] = errors, ["correlationId"] = Correlation.Of(context) });

    /// <returns>Null when there are more bytes than that.</returns>
    internal static async ValueTask<byte[]?> ReadAsync(HttpContext context, int longest)
    {
        var buffer = new byte[longest + 1];
        var read = await context.Request.Body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, context.RequestAborted);
        return read > longest ? null : buffer[..read];
    }

    /// <returns>Null when it is not that.</returns>
    internal static async ValueTask<T?> ReadAsync<T>(HttpContext context, int longest = LongestAnswer) where T : class => Read<T>(await ReadAsync(context, longest));

    /// <returns>Null when it is not that.</returns>
    internal static T? Read<T>(byte[]? body) where T : class
    {
        try
        {
            return body is null ? null : JsonSerializer.Deserialize<T>(body, Format);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
