using System.Collections.Concurrent;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// People who are nobody, with records like anybody's. Nobody has a reason to ask for one, so whatever does is contained, and a case is opened: the client through which it was asked, whichever way the
/// request came, whatever it wanted and whether or not it would have been answered.
/// </summary>
/// <remarks>
/// An app that asks for more than its citizen's own record does so by itself, and the citizen may know nothing of it: the app is contained. At the portal a citizen writes the addresses herself: there it is she, and not the portal. Thread-safe.
/// </remarks>
sealed class Canaries(WatchedPeople people, Containing containing, IdentifierCipher ids, GatewayOptions options)
{
    private readonly ConcurrentDictionary<Pseudonym, byte> _made = [];

    /// <summary>What who touched one is told: as any other whose access has been revoked.</summary>
    public static Fault Refusal { get; } = new(FaultKind.NotIdentified, "The access token has been revoked; get a new one.");

    /// <summary>Whether a request concerns a canary; whoever sends it is contained when this returns.</summary>
    public ValueTask<bool> TouchedAsync(Requester requester, Pseudonym compartment) =>
        compartment.IsDirectory || !people.IsCanary(compartment) || IsMade(requester, compartment) ? new(false) : ContainAsync(requester);

    /// <summary>The archivist may write the canary's record from now on, until the end of what is returned.</summary>
    public IDisposable Make(Pseudonym canary)
    {
        _made[canary] = 0;
        return new Making(_made, canary);
    }

    private bool IsMade(Requester requester, Pseudonym compartment) =>
        !_made.IsEmpty && _made.ContainsKey(compartment) && requester.Kind == RequesterKind.System && requester.ClientId == options.Breach!.Canaries!.Archivist.ClientId;

    private async ValueTask<bool> ContainAsync(Requester requester)
    {
        if (requester is { Kind: RequesterKind.Citizen, ClientId: PortalSessions.ClientId, Self: { } self })
            await containing.ContainAsync(ContainedSubject.Citizen(ids.PatientId(self)), BreachKind.CanaryTouched, "A canary patient was asked for by a citizen at the portal; the citizen is contained.").ConfigureAwait(false);
        else if (requester.Kind == RequesterKind.Citizen)
            await containing.ContainAsync(ContainedSubject.Client(requester.ClientId), BreachKind.CanaryTouched, $"A canary patient was asked for through the app {requester.ClientId}; the app is contained.").ConfigureAwait(false);
        else
            await containing.ContainAsync(ContainedSubject.Client(requester.ClientId), BreachKind.CanaryTouched, $"A canary patient was asked for through the client {requester.ClientId}, for {requester.Organisation}; the client is contained.").ConfigureAwait(false);
        return true;
    }

    private sealed class Making(ConcurrentDictionary<Pseudonym, byte> made, Pseudonym canary) : IDisposable
    {
        public void Dispose() => made.TryRemove(canary, out _);
    }
}
