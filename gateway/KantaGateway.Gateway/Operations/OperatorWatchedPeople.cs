using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// <c>/operator/watched-people</c>, for the data protection officer: how many there are, and by identity code one more canary (whose record is made with it), VIP or colleague, or of the latter two one less. Nobody is told who
/// they are, and the code is not kept.
/// </summary>
public static class OperatorWatchedPeople
{
    private sealed record Asked(string? Kind, string? IdentityCode, string? Organisation, bool Remove);

    public static void MapOperatorWatchedPeople(this WebApplication app, GatewayOptions options)
    {
        if (options.Identification.Operators is null || options.Breach?.PeopleFile is null)
            return;
        app.MapGet("/operator/watched-people", static context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, static (services, _) =>
        {
            var people = services.GetRequiredService<WatchedPeople>();
            return new(Results.Json(new { canaries = people.Count(WatchedAs.Canary), vips = people.Count(WatchedAs.Vip), colleagues = people.Count(WatchedAs.Colleague) }));
        }));
        app.MapPost("/operator/watched-people", context => OperatorClients.AnswerAsync(context, OperatorRole.DataProtection, async (services, who) =>
        {
            var asked = await OperatorClients.ReadAsync<Asked>(context);
            WatchedAs? kind = asked?.Kind switch { "canary" => WatchedAs.Canary, "vip" => WatchedAs.Vip, "colleague" => WatchedAs.Colleague, _ => null };
            var organisation = Oid.TryParse(asked?.Organisation, out var oid) ? oid.ToString() : null;
            if (kind is not { } its || !PersonalIdentityCode.TryParse(asked!.IdentityCode, out var code) || SearchedCompartment.ForeignCode(code, options.Identification.TestIdentityCodes) is not null
                || its == WatchedAs.Colleague != (organisation is not null) || (asked.Remove && its == WatchedAs.Canary))
                return OperatorClients.Problem(context, 422, "Not understood",
                    ["Send {\"kind\": canary, vip or colleague, \"identity_code\": a valid one of this service, of a colleague \"organisation\": the OID of the employer, and to take a VIP or colleague off \"remove\": true}."]);
            var person = await services.GetRequiredService<IPseudonyms>().OfAsync(code, context.RequestAborted);
            var people = services.GetRequiredService<WatchedPeople>();
            // What the file says afterwards the audit log says of no person.
            await services.GetRequiredService<IOperatorObserver>().ActedAsync(context, who, $"{(asked.Remove ? "Took off" : "Added")} a {asked.Kind} {(asked.Remove ? "from" : "to")} those who are watched.", null, null);
            if (its == WatchedAs.Canary)
                return await PlantAsync(context, services, options, code, person);
            var changed = asked.Remove ? await people.RemoveAsync(its, person, organisation, context.RequestAborted) : await people.AddAsync(its, person, organisation, context.RequestAborted);
            return changed ? Results.NoContent() : OperatorClients.Problem(context, 409, "Nothing to do", [asked.Remove ? "The person is not on the list." : "The person is on the list."]);
        }));
    }

    private static async Task<IResult> PlantAsync(HttpContext context, IServiceProvider services, GatewayOptions options, PersonalIdentityCode code, Pseudonym person)
    {
        if (services.GetService<CanaryRecords>() is not { } records)
            return OperatorClients.Problem(context, 409, "No canaries here", ["This gateway is not told who archives canaries (Breach.Canaries)."]);
        var people = services.GetRequiredService<WatchedPeople>();
        // One that was broken off is made anew; whoever else has a record is somebody.
        if (options.Breach?.Probes?.IdentityCodes.Contains(code.Reveal()) is true
            || (!people.IsCanary(person) && (await services.GetRequiredService<RecordRetention>().OfAsync(person, context.RequestAborted)).LastStored is not null))
            return OperatorClients.Problem(context, 409, "Somebody's code", ["There is a record under this identity code. A canary is nobody: take a code that is kept for tests."]);
        await people.AddAsync(WatchedAs.Canary, person, null, context.RequestAborted);
        // :: Whoever else asks for it from here on is contained.
        using var making = services.GetRequiredService<Canaries>().Make(person);
        try
        {
            await records.MakeAsync(code, context.RequestAborted);
        }
        catch (Exception e) when (e is HttpRequestException or IOException || (e is OperationCanceledException && !context.RequestAborted.IsCancellationRequested))
        {
            return OperatorClients.Problem(context, 503, "Not made", ["The record could not be made, or not all of it. It is a canary already; send it again."]);
        }
        return Results.StatusCode(201);
    }
}
