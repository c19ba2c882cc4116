using KantaGateway.Client;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>A citizen's app from its launch to the end of what it was given (SMART App Launch, standalone).</summary>
static class AppChecks
{
    private const string Allowed = "patient/Observation.rs";

    public static Task RunAsync(Steps steps, ClinicClient clinic, CancellationToken cancel) => steps.AlsoAsync("smart.app-launch", "lets a citizen's app at what she allowed, and at nothing once she or the app has ended it", async () =>
    {
        using var app = new AppClient(clinic.Folder, clinic.Target);
        using var citizen = new CitizenClient(clinic.Folder, clinic.Target, clinic.Folder.FirstAdult);
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel).ConfigureAwait(false);
        await ArchivedVisit.StoreAsync(clinic.System, patient, "Tarkastus", "Muistiinpano", cancel).ConfigureAwait(false);
        await citizen.SignInAsync(cancel).ConfigureAwait(false);

        // Who has ended it a moment ago, in an earlier run, cannot let it in again yet: then that is what holds.
        var first = await AskAsync(app, cancel).ConfigureAwait(false);
        if (!await citizen.MayAllowAppAsync(first, cancel).ConfigureAwait(false))
        {
            var letIn = true;
            try
            {
                await citizen.AllowAppAsync(first, app.Redirect, cancel).ConfigureAwait(false);
            }
            catch (PortalException e) when (e.Status == 422)
            {
                letIn = false;
            }
            Expect.That(!letIn, "an app that was ended a moment ago to be let in later only", "a code");
            return;
        }

        var token = await LaunchAsync(app, citizen, patient, first, cancel).ConfigureAwait(false);
        Expect.Refusal(await app.SearchAsync(token, "Condition", patient, cancel).ConfigureAwait(false), "a search beyond what was allowed", [403]);
        await app.RevokeAsync(token, cancel).ConfigureAwait(false);
        Expect.Status(await app.SearchAsync(token, "Observation", patient, cancel).ConfigureAwait(false), "a search with a token that the app has revoked", 401);

        token = await LaunchAsync(app, citizen, patient, await AskAsync(app, cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);
        await citizen.EndAppAsync(app.ClientId, cancel).ConfigureAwait(false);
        Expect.Status(await app.SearchAsync(token, "Observation", patient, cancel).ConfigureAwait(false), "a search after the citizen has ended it", 401);
    });

    /// <returns>Where the citizen is sent to answer.</returns>
    private static Task<string> AskAsync(AppClient app, CancellationToken cancel) => app.AskAsync("launch/patient " + Allowed, cancel);

    /// <summary>From the citizen's answer to the app's request to the first answer that gives something.</summary>
    /// <param name="address">Of the request.</param>
    /// <returns>The access token.</returns>
    private static async Task<string> LaunchAsync(AppClient app, CitizenClient citizen, string patient, string address, CancellationToken cancel)
    {
        var returned = await citizen.AllowAppAsync(address, app.Redirect, cancel).ConfigureAwait(false);
        var code = app.CodeIn(returned) ?? throw new ExpectationException("a code and the app's own state", "another answer");
        await RefusesAsync(() => app.RedeemAsync(code, AppClient.NewVerifier(), cancel)).ConfigureAwait(false);
        var answer = await app.RedeemAsync(code, cancel: cancel).ConfigureAwait(false);
        var (scope, of) = (answer.GetProperty("scope").GetString(), answer.TryGetProperty("patient", out var about) ? about.GetString() : null);
        Expect.That(scope == Allowed, $"a token for {Allowed}", $"one for {scope}");
        Expect.That(of == patient, "patient, the person's own Patient id", of is null ? "none" : "another id");
        var token = answer.GetProperty("access_token").GetString()!;
        var found = Expect.Status(await app.SearchAsync(token, "Observation", patient, cancel).ConfigureAwait(false), "a search of what was allowed", 200);
        Expect.That(Appearance.Total(found) > 0, "her Observations", "none");
        return token;
    }

    private static async Task RefusesAsync(Func<Task> redeem)
    {
        try
        {
            await redeem().ConfigureAwait(false);
        }
        catch (TokenRefusedException e) when (e.Status is 400 or 401)
        {
            return;
        }
        throw new ExpectationException("the token endpoint to refuse a code under another verifier (RFC 7636)", "a token");
    }
}
