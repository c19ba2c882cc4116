using KantaGateway.Fhir.Identifiers;
using static OpenIddict.Abstractions.OpenIddictConstants;

namespace KantaGateway.Gateway.Identification;

/// <summary>What was allowed, as it stands now.</summary>
/// <param name="Requester">The organisation that is asked for.</param>
/// <param name="Professional">By what the role register says now; null where it is a citizen.</param>
internal sealed record StandingRequest(RegisteredRequester Requester, VouchedProfessional? Professional);

/// <summary>Whether what a person has allowed an app still stands: looked at when a code is redeemed, and whenever a token is refreshed.</summary>
/// <remarks>
/// An app is never let at the record of somebody for whom a citizen acts, so there is no mandate to ask about anew. Throws
/// <see cref="SharedStateException"/> when the store does not answer.
/// </remarks>
internal sealed class AppStanding(AppGrants grants, Revocations revocations, PortalSessions sessions, SubjectTokens subjects, IdentifierCipher ids, TimeProvider time, Operators.Containments contained)
{
    /// <summary>By registration, and by the right of the professional.</summary>
    /// <returns>How it stands, or why it does not; <c>invalid_grant</c> when it never will again.</returns>
    public async ValueTask<(StandingRequest? Standing, TokenRefusal? Refusal)> OfAsync(AllowedRequest allowed, RegisteredClient client, CancellationToken cancel)
    {
        var asked = allowed.Request;
        if (client.Registration.Kind != (allowed.Patient is null ? ClientKind.ClinicApp : ClientKind.App) || !client.Covers(asked.Scopes)
            || !asked.Identity.Concat(asked.Access is { } access ? [access] : []).All(client.Registration.Scopes.Contains))
            return Refuse("The registration has become narrower than what was allowed; ask anew.");
        // A citizen's app asks for nobody but the citizen.
        if ((asked.Organisation is { } organisation ? client.RequesterOf(organisation) : client.Requesters[0]) is not { } requester)
            return Refuse("The client may no longer ask for the organisation; ask anew.");
        if (allowed.Professional is not { } signedIn)
            return TokenEndpoint.PersonOf(allowed.Patient, ids) is { } self && contained.HoldsCitizen(self, ids) ? Refuse(Contained) : (new(requester, null), null);
        if (contained.HoldsProfessional(requester.Organisation.ToString(), signedIn.Id))
            return Refuse(Contained);
        var (valid, ended) = await subjects.LookUpAgainAsync(signedIn, cancel).ConfigureAwait(false);
        if (ended is { Error: Errors.TemporarilyUnavailable })
            return (null, ended);
        return valid is null ? Refuse(ended!.Description)
            : valid.Until <= time.GetUtcNow() ? Refuse("The professional's sign-in has expired; ask anew.")
            : (new(requester, valid), null);
    }

    /// <summary>By these, by what has been revoked, and by the session of the person.</summary>
    /// <inheritdoc cref="OfAsync(AllowedRequest, RegisteredClient, CancellationToken)"/>
    public async ValueTask<(StandingRequest? Standing, TokenRefusal? Refusal)> OfAsync(AppGrant grant, RegisteredClient client, CancellationToken cancel)
    {
        var (allowed, person) = (grant.Allowed, TokenEndpoint.PersonOf(grant.Allowed.Patient, ids));
        var (standing, refusal) = await OfAsync(allowed, client, cancel).ConfigureAwait(false);
        if (standing is null)
            return (null, refusal);
        if (RevokedName.OfGrant(grant.Id, client, standing.Requester, standing.Professional?.Id, person).Any(revocations.IsRevoked)
            || (person is { } citizen && await grants.HasEndedAsync(citizen, client.ClientId, grant.Began).ConfigureAwait(false)))
            return Refuse("What was allowed has been ended; ask anew.");
        return person is not null && allowed.Request.Access == AppGrants.OnlineAccess && !(allowed.Session is { } session && await sessions.LastsAsync(session).ConfigureAwait(false))
            ? Refuse("The citizen is no longer signed in; ask anew.") : (standing, null);
    }

    private const string Contained = "Who has allowed it has been contained by the operators of this gateway.";

    private static (StandingRequest?, TokenRefusal?) Refuse(string description) => (null, new(Errors.InvalidGrant, description));
}
