using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Keys;

/// <summary>The part of the contract by which the data key of one person is replaced by another one: the repository seals all of the record anew between the first request and the last.</summary>
static class RotationEndpoints
{
    /// <summary>Longer than any record takes to be sealed anew.</summary>
    public static readonly TimeSpan TicketLifetime = TimeSpan.FromHours(2);

    private const string Unkept = "The rotation could not be kept. Ask for it again: it goes on where it stopped.";

    public static void Map(WebApplication app)
    {
        app.MapPost("/v1/rotations", BeginAsync);
        app.MapPost("/v1/rotations/sealed", SealedAsync);
        app.MapPost("/v1/rotations/end", EndAsync);
    }

    /// <summary>Gives out the key that there is and the one that takes its place: counted and on record like any other that is given out.</summary>
    private static async Task<IResult> BeginAsync(HttpContext http, GrantVerifier verifier, RotatedKeys rotated, KeyCustody custody, HeadWitnesses witnesses, KnownPeople people, KeyMetrics metrics)
    {
        if (await verifier.VerifyDataKeyRotationAsync(KeyEndpoints.Bearer(http)).ConfigureAwait(false) is not { } rotation)
            return KeyEndpoints.Refuse(metrics, "rotate", 401, "The rotation of a data key that the gateway has signed, and two persons have approved of, is required.");
        if (await KeyEndpoints.ReadAsync(http, Wire.Default.RotateRequest).ConfigureAwait(false) is not { Wrapped: { } wrapped })
            return KeyEndpoints.Refuse(metrics, "rotate", 400, "The body is {\"wrapped\": base64}.");
        var request = custody.RequestOf(rotation);
        RotationStep? step = null;
        var isGiven = false;
        try
        {
            if (custody.Spend(request) is { } exceeded)
            {
                http.Response.Headers.RetryAfter = Math.Max(1, (long)Math.Ceiling(exceeded.RetryAfter.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
                return await RefuseAsync(429, "As many people have been opened as may be in this time. Nobody new is opened until it is over.").ConfigureAwait(false);
            }
            if (custody.IsErased(request))
                return await RefuseAsync(410, "The data key of this compartment is destroyed, and none is made for it.").ConfigureAwait(false);
            if (!await people.HasAsync(rotation.Compartment, WrappedKey.PersonOf(wrapped), http.RequestAborted).ConfigureAwait(false))
                return people.MayLack ? await RefuseAsync(503, KeyEndpoints.MaybeNobodys).ConfigureAwait(false) : await RefuseAsync(404, KeyEndpoints.Nobodys).ConfigureAwait(false);
            step = await rotated.BeginAsync(request, rotation.Compartment, wrapped, http.RequestAborted).ConfigureAwait(false);
            if (step is null)
                return await RefuseAsync(422, "The wrapped key is not of the compartment, was changed, was rotated, or its wrapping key does not serve.").ConfigureAwait(false);
            var wrappedNew = step.Done is null ? await people.WithPersonAsync(step.Wrapped, rotation.Compartment, http.RequestAborted, WrappedKey.PersonOf(wrapped)).ConfigureAwait(false) : null;
            await custody.RecordAsync(KeyOperation.Rotate, request, 200).ConfigureAwait(false);
            metrics.Served("rotate");
            isGiven = true;
            var known = custody.HeadOf(request);
            return step.Done is { } done
                ? Results.Json(new RotateAnswer(null, null, null, null, 0, null, rotated.RotationsOf(request.Person), new(done.After.Sequence, done.Before.DigestBytes(), done.After.DigestBytes())), Wire.Default.RotateAnswer)
                : new KeyEndpoints.SecretAnswer<RotateAnswer>(Wire.Default.RotateAnswer,
                    new(step.Key, step.NewKey, wrappedNew, TicketOf(rotation.Compartment, step.Mark, witnesses), known.Sequence, KeyEndpoints.BytesOf(known), rotated.RotationsOf(request.Person), null), [step.Key, step.NewKey]);
        }
        catch (Exception failure) when (failure is KeyBackendException or IOException or UnauthorizedAccessException)
        {
            return KeyEndpoints.Refuse(metrics, "rotate", 503, KeyEndpoints.Silent);
        }
        finally
        {
            if (!isGiven)
            {
                CryptographicOperations.ZeroMemory(step?.Key);
                CryptographicOperations.ZeroMemory(step?.NewKey);
            }
        }

        async Task<IResult> RefuseAsync(int status, string detail)
        {
            await custody.RecordAsync(KeyOperation.Rotate, request, status).ConfigureAwait(false);
            return KeyEndpoints.Refuse(metrics, "rotate", status, detail);
        }
    }

    private static async Task<IResult> SealedAsync(HttpContext http, RotatedKeys rotated, KeyCustody custody, HeadWitnesses witnesses, KeyMetrics metrics)
    {
        if (await KeyEndpoints.ReadAsync(http, Wire.Default.SealedRequest).ConfigureAwait(false) is not { Sequence: > 0 and <= int.MaxValue, Before.Length: CompartmentHead.DigestSize, After.Length: CompartmentHead.DigestSize, Ticket: { Length: > MarkSize } ticket } item
            || !Pseudonym.TryDecode(item.Compartment, out var compartment))
            return KeyEndpoints.Refuse(metrics, "sealed", 400, "The body is {\"compartment\", \"ticket\", \"sequence\", \"before\": base64 of 16 bytes, \"after\": likewise}.");
        try
        {
            if (MarkIn(ticket, item.Compartment!, witnesses) is not { } mark
                || !await rotated.SealedAsync(custody.RequestOf(compartment), mark, CompartmentHead.Read(item.Sequence, item.Before), CompartmentHead.Read(item.Sequence, item.After)).ConfigureAwait(false))
                return KeyEndpoints.Refuse(metrics, "sealed", 403, NoTicket);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return KeyEndpoints.Refuse(metrics, "sealed", 503, Unkept);
        }
        metrics.Served("sealed");
        return Results.NoContent();
    }

    private static async Task<IResult> EndAsync(HttpContext http, RotatedKeys rotated, KeyCustody custody, HeadWitnesses witnesses, KeyMetrics metrics)
    {
        if (await KeyEndpoints.ReadAsync(http, Wire.Default.EndRequest).ConfigureAwait(false) is not { Ticket: { Length: > MarkSize } ticket } item || !Pseudonym.TryDecode(item.Compartment, out var compartment))
            return KeyEndpoints.Refuse(metrics, "end", 400, "The body is {\"compartment\", \"ticket\"}.");
        try
        {
            if (MarkIn(ticket, item.Compartment!, witnesses) is not { } mark || await rotated.EndAsync(custody.RequestOf(compartment), mark).ConfigureAwait(false) is not { } ended)
                return KeyEndpoints.Refuse(metrics, "end", 403, NoTicket);
            metrics.Served("end");
            return Results.Json(new EndAnswer(witnesses.Of(custody.NameOf(item.Compartment!)), ended.Count), Wire.Default.EndAnswer);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return KeyEndpoints.Refuse(metrics, "end", 503, Unkept);
        }
    }

    private const string NoTicket = "The ticket that came with the new key is required, of a rotation that is under way.";

    private const int MarkSize = 32;

    /// <summary>The mark of the new key, and a witness that it was given out.</summary>
    private static string TicketOf(Pseudonym compartment, Digest mark, HeadWitnesses witnesses) =>
        string.Create(CultureInfo.InvariantCulture, $"{mark.Value:x32}{witnesses.Of(NameOf(compartment.Encode(), mark), TicketLifetime)}");

    private static string NameOf(string compartment, Digest mark) => string.Create(CultureInfo.InvariantCulture, $"{compartment}\nrotation\n{mark.Value:x32}");

    /// <returns>Null: it is no ticket, or of another compartment, or too old.</returns>
    private static Digest? MarkIn(string ticket, string compartment, HeadWitnesses witnesses) =>
        UInt128.TryParse(ticket.AsSpan(0, MarkSize), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var mark) && witnesses.IsOf(ticket[MarkSize..], NameOf(compartment, new(mark))) ? new Digest(mark) : null;
}
