using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Breach;

/// <summary>Somebody whose data a breach has reached, and exactly which, when, and by which entries of the audit log (GDPR Art. 33.3 and 34).</summary>
/// <param name="Person">Whose record it is.</param>
/// <param name="PatientId">Logical id of the person's Patient.</param>
/// <param name="Items">Every time of everything, in the order of the audit log.</param>
public sealed record ReachedPerson(Pseudonym Person, string PatientId, IReadOnlyList<ReachedItem> Items)
{
    /// <summary>As she is told: each entry once.</summary>
    public AffectedPerson Affected => new(Person, [.. Items.Select(static item => new AffectedItem(item.Resource.Type, item.Resource.Id, item.Resource.VersionId, item.Resource.Controller)).Distinct()]);

    /// <summary>UTC.</summary>
    public DateTimeOffset First => Items.Min(static item => item.When);

    /// <summary>UTC.</summary>
    public DateTimeOffset Last => Items.Max(static item => item.When);

    /// <summary>Names of <see cref="DataCategory"/>, each once, in alphabetical order.</summary>
    public IEnumerable<string> Categories => Items.Select(static item => DataCategory.Of(item.Resource.Type)).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal);
}

/// <summary>A resource version that was shown, or written, once.</summary>
/// <param name="Resource">Type, id, version, controller and register.</param>
/// <param name="Written">Stored or changed by whoever is looked for; false: shown.</param>
/// <param name="When">UTC.</param>
/// <param name="Entry">Leaf of the audit log that says so.</param>
public sealed record ReachedItem(AuditItem Resource, bool Written, DateTimeOffset When, long Entry);
