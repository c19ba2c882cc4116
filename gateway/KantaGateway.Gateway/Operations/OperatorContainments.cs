using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/containments</c>: one operator, of any role, stops an organisation, a certificate, a professional, a citizen or a client at once, on every
/// gateway. The end takes two (<c>containment-end</c> of <see cref="OperatorActs"/>); of a client it is its registration, proposed anew.
/// </summary>
public static class OperatorContainments
{
    private const string Client = "client/";
    private const int LongestSubject = 160, LongestReason = 2_000;

    private sealed record Asked(string? Subject, string? Reason);

    public static void MapOperatorContainments(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null)
            return;
        app.MapGet("/operator/containments", static context => OperatorClients.AnswerAsync(context, null, static (services, _) => new(Results.Json(new
        {
            containments = services.GetRequiredService<Approvals>().Current.Contained.Values.OrderBy(static one => one.At)
                .Select(static one => new { subject = one.Subject, reason = one.Reason, since = one.At, by = one.By.Name, breach_case = one.Case }),
        }))));
        app.MapPost("/operator/containments", static context => OperatorClients.AnswerAsync(context, null, async (services, who) =>
        {
            if (await OperatorClients.ReadAsync<Asked>(context) is not { Subject: { Length: > 0 and <= LongestSubject } named, Reason: { Length: > 0 and <= LongestReason } reason })
                return OperatorClients.Problem(context, 422, "Not understood", [$"Send {{\"subject\": who or what, \"reason\": why, in at most {LongestReason} characters}}. {Forms(services)}"]);
            if (named.StartsWith(Client, StringComparison.Ordinal))
                return await services.GetRequiredService<Onboarding>().SuspendAsync(context, who, named[Client.Length..]) is { } refusal ? OperatorClients.Refuse(context, refusal) : Results.NoContent();
            if (!TryParse(services, named, out var subject))
                return OperatorClients.Problem(context, 422, "Nobody and nothing", [Forms(services)]);
            await services.GetRequiredService<Approvals>().ContainAsync(context, who, subject, reason);
            // The decision is kept, and known everywhere within half a second. By this it is in force with the answer, and what goes on is broken off.
            await services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Contained(subject), services.GetRequiredService<TimeProvider>().GetUtcNow() + Approvals.Told, CancellationToken.None);
            return Results.NoContent();
        }));
    }

    /// <summary>Whether a text names what can be contained here.</summary>
    internal static bool TryParse(IServiceProvider services, string text, out ContainedSubject subject) =>
        ContainedSubject.TryParse(text, services.GetRequiredService<Containments>().IsNational, out subject);

    /// <summary>How it is named, in plain words.</summary>
    internal static string Forms(IServiceProvider services) => "The subject is organisation/[OID], certificate/[SHA-256 of the certificate], professional/"
        + (services.GetRequiredService<Containments>().IsNational ? "[number in the role register]" : "[OID of the organisation]/[number there]") + ", citizen/Patient/[id] or client/[client_id].";
}
