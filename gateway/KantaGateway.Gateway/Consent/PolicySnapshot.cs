using System.Collections.Frozen;

namespace KantaGateway.Gateway.Consent;

/// <summary>An unfinished service event (palvelutapahtuma) as the repository holds it.</summary>
/// <param name="Oid">Its OID; null when the Encounter carries none.</param>
/// <param name="Controller">OID of the organisation whose register it is in.</param>
/// <param name="Status">FHIR Encounter.status.</param>
/// <param name="Start">Inclusive; null: not stated.</param>
/// <param name="End">Exclusive; null: open-ended. What is stated but unreadable must come as the earliest time, so that it is over.</param>
public sealed record ServiceEvent(string? Oid, string Controller, string Status, DateTimeOffset? Start, DateTimeOffset? End)
{
    /// <summary>Whether it proves a care relationship at this time (Act 703/2023 §9, §57): the visit has begun and has not ended.</summary>
    public bool IsOpenAt(DateTimeOffset at) =>
        Status is "arrived" or "triaged" or "in-progress" or "onleave" && (Start is null || Start <= at) && (End is null || at < End);
}

/// <summary>Proof of treatment: an open service event of the organisation, as the repository holds it (§9, §57).</summary>
public sealed record CareRelationship(string Organisation, string? ServiceEvent);

/// <summary>
/// Everything about one person on which decisions rest, compiled once per policy version: immutable, no text left to parse.
/// </summary>
/// <remarks>Valid as long as the repository says the version still holds; it says so in the snapshot that it reads (law 3).</remarks>
public sealed class PolicySnapshot
{
    private readonly FrozenDictionary<string, ServiceEvent[]> _serviceEvents;

    private PolicySnapshot(long version, IReadOnlyList<Declaration> declarations, bool unreadable, IEnumerable<ServiceEvent> serviceEvents)
    {
        Version = version;
        Declarations = declarations;
        Informed = declarations.OfType<Informing>().MaxBy(i => i.At);
        Permission = declarations.OfType<DisclosurePermit>().FirstOrDefault(p => p.InForce);
        // A declaration nobody can read might be a denial of everything, so it is one.
        DeniesAll = unreadable || declarations.OfType<DisclosureDenial>().Any(d => d.InForce && d.Target is DenialTarget.All);
        DeniedServiceEvents = [.. declarations.OfType<DisclosureDenial>().Where(d => d.InForce)
            .Select(d => d.Target).OfType<DenialTarget.OfServiceEvent>().Select(t => t.Oid).Distinct().Order(StringComparer.Ordinal)];
        _serviceEvents = serviceEvents.GroupBy(e => e.Controller).ToFrozenDictionary(g => g.Key, g => g.ToArray());
    }

    /// <summary>A person of whom nothing is known.</summary>
    public static PolicySnapshot Empty { get; } = new(0, [], false, []);

    public long Version { get; }

    /// <summary>All declarations, in force or withdrawn; the person sees them in the portal.</summary>
    public IReadOnlyList<Declaration> Declarations { get; }

    /// <summary>The latest informing (§68); null: never informed.</summary>
    public Informing? Informed { get; }

    /// <summary>The permission in force (§54, §58); null: none.</summary>
    public DisclosurePermit? Permission { get; }

    /// <summary>A denial of all is in force (§59.2).</summary>
    public bool DeniesAll { get; }

    /// <summary>OIDs of service events under a denial in force (§59.2), sorted.</summary>
    public IReadOnlyList<string> DeniedServiceEvents { get; }

    /// <param name="version">Policy version of the compartment; 0 where nothing was ever declared.</param>
    /// <param name="declarations">Those read from the Consents, any order; null stands for one that could not be read.</param>
    /// <param name="serviceEvents">Those not finished, of all controllers.</param>
    public static PolicySnapshot Compile(long version, IEnumerable<Declaration?> declarations, IEnumerable<ServiceEvent> serviceEvents)
    {
        Declaration?[] all = [.. declarations];
        return new(version, [.. all.OfType<Declaration>()], all.Contains(null), serviceEvents);
    }

    /// <summary>The care relationship (hoitosuhde) that an open service event of the organisation proves; null: none.</summary>
    /// <param name="organisation">OID of the requester's organisation.</param>
    /// <param name="oid">A particular service event; null: any open one.</param>
    /// <param name="at">Time of the request, UTC.</param>
    public CareRelationship? RelationshipOf(string organisation, string? oid, DateTimeOffset at)
    {
        if (!_serviceEvents.TryGetValue(organisation, out var events))
            return null;
        foreach (var e in events)
            if (e.IsOpenAt(at) && (oid is null || e.Oid == oid))
                return new(organisation, e.Oid);
        return null;
    }
}
