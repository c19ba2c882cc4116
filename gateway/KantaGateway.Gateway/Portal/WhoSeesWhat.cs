using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>What one kind of viewer would see of the entries of one controller.</summary>
/// <param name="Controller">OID of the data controller.</param>
/// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
/// <param name="Count">How many entries there are.</param>
/// <param name="Now">How many are seen as things are, for each <see cref="Viewer"/> in turn.</param>
/// <param name="Then">How many would be seen, likewise; null where nothing is about to change.</param>
internal sealed record SeenOfController(string Controller, string Register, int Count, IReadOnlyList<int> Now, IReadOnlyList<int>? Then);

/// <summary>"Who would see what if I save this."</summary>
internal interface IWhoSeesWhat
{
    /// <summary>What each <see cref="Viewer"/> sees of the person's record, by controller.</summary>
    /// <param name="citizen">The person, or who represents them.</param>
    /// <param name="about">What is about to be declared; null: as things are.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="Fhir.Outcomes.FaultException">The repository cannot be reached.</exception>
    Task<IReadOnlyList<SeenOfController>> OfAsync(Requester citizen, Declaration? about, CancellationToken cancel);
}

/// <summary>The decisions about made-up professionals, counted over the person's own record.</summary>
internal sealed class WhoSeesWhat(PolicyLookup policies, PolicyPreview preview, TimeProvider time) : IWhoSeesWhat
{
    private static readonly Viewer[] Viewers = Enum.GetValues<Viewer>();

    /// <inheritdoc />
    public async Task<IReadOnlyList<SeenOfController>> OfAsync(Requester citizen, Declaration? about, CancellationToken cancel)
    {
        if (citizen.Person is not Pseudonym person)
            return [];
        var now = time.GetUtcNow();
        var policy = await policies.FetchAsync(citizen, person, cancel);
        var scopes = Viewers.Select(v => Preview.Of(v, policy, now).Scope).ToList();
        if (about is not null)
            scopes.AddRange(Viewers.Select(v => Preview.Of(v, policy.With(about), now).Scope));
        var counted = await preview.CountAsync(citizen, person, scopes, cancel);
        // Declarations are nobody else's, and a Patient is known to whoever treats them.
        return [.. counted.Where(c => c.Type is not ("Consent" or "Patient" or "AuditEvent")).GroupBy(c => (c.Controller, c.Register)).Select(g => new SeenOfController(
            g.Key.Controller, g.Key.Register, g.Sum(c => c.Count), Sum(g, 0), about is null ? null : Sum(g, Viewers.Length)))];
    }

    private static int[] Sum(IEnumerable<PreviewedEntries> entries, int from) => [.. Viewers.Select((_, i) => entries.Sum(e => e.Seen[from + i]))];
}
