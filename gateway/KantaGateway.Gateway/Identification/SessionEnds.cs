using System.Globalization;
using KantaGateway.Fhir.Identifiers;
using Microsoft.AspNetCore.Authentication;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Ends sessions that are not at hand: all of a person, or those that began with one session or one subject of the broker. In force
/// on every gateway with the answer, by <see cref="Revocations"/>.
/// </summary>
/// <remarks>Throws <see cref="SharedStateException"/> where it cannot be seen to, or not be known.</remarks>
internal sealed class SessionEnds(Revocations revocations, TimeProvider time, Operators.Containments? contained = null, IdentifierCipher? ids = null)
{
    private const string Mark = "mark";
    private const string BrokerSession = "broker-session";
    private const string BrokerSubject = "broker-subject";

    /// <summary>Ends all sessions of a person; what apps were given is ended by <see cref="AppGrants.EndAllAsync"/>.</summary>
    public ValueTask EndAsync(Pseudonym person, CancellationToken cancel) => EndAsync(RevokedName.Person(person), cancel);

    /// <summary>OpenID Connect Back-Channel Logout 1.0 §2.7: what a session of the broker began, or where none is named all of its subject.</summary>
    public ValueTask EndAsync(EndedAtBroker ended, CancellationToken cancel) =>
        EndAsync(ended.Session is { } session ? RevokedName.BrokerSession(session) : RevokedName.BrokerSubject(ended.Subject), cancel);

    // No session lasts longer than this, so neither need its end be remembered.
    private ValueTask EndAsync(RevokedName name, CancellationToken cancel) => revocations.RevokeAsync(name, time.GetUtcNow() + PortalSessions.Longest, cancel);

    /// <summary>Writes into a session that begins what could end it.</summary>
    /// <param name="properties">Of the session's ticket.</param>
    /// <param name="session">The broker's <c>sid</c>, if it gave one.</param>
    /// <param name="subject">The broker's <c>sub</c>.</param>
    public void Begin(AuthenticationProperties properties, string? session, string subject)
    {
        properties.Items[Mark] = revocations.Mark.ToString(CultureInfo.InvariantCulture);
        properties.Items[BrokerSubject] = subject;
        if (session is not null)
            properties.Items[BrokerSession] = session;
    }

    /// <summary>Whether operators let a citizen in nowhere.</summary>
    public bool IsContained(Pseudonym person) => ids is not null && contained?.HoldsCitizen(person, ids) is true;

    /// <summary>Whether a session has been ended.</summary>
    public bool HasEnded(AuthenticationProperties properties, Pseudonym person)
    {
        if (!properties.Items.TryGetValue(Mark, out var text) || !long.TryParse(text, CultureInfo.InvariantCulture, out var mark)
            || !properties.Items.TryGetValue(BrokerSubject, out var subject) || subject is null)
            return true;
        // Told at once, and decided for as long as two do not end it.
        if (IsContained(person) || (ids is not null && revocations.IsRevoked(RevokedName.Contained(Operators.ContainedSubject.Citizen(ids.PatientId(person))))))
            return true;
        return revocations.IsRevoked(RevokedName.Person(person), mark) || revocations.IsRevoked(RevokedName.BrokerSubject(subject), mark)
            // One that the broker has ended begins nothing anew.
            || (BrokerSessionOf(properties) is { } session && revocations.IsRevoked(RevokedName.BrokerSession(session)));
    }

    /// <summary>The broker's session with which this one began; null when it gave none.</summary>
    public static string? BrokerSessionOf(AuthenticationProperties properties) => properties.Items.TryGetValue(BrokerSession, out var session) ? session : null;
}
