namespace KantaGateway.Gateway.Consent;

/// <summary>What a denial covers (Act 703/2023 §59.2). A single document is no scope in health care.</summary>
public abstract record DenialTarget
{
    private DenialTarget() { }

    /// <summary>All patient data.</summary>
    public sealed record All : DenialTarget;

    /// <summary>One service event (palvelutapahtuma).</summary>
    public sealed record OfServiceEvent(string Oid) : DenialTarget;
}

/// <summary>A declaration of will of one person, as its Consent resource holds it.</summary>
/// <param name="Id">Logical id of the Consent; empty for one not yet stored.</param>
/// <param name="VersionId">Its version; empty for one not yet stored.</param>
/// <param name="At">When it was declared, UTC.</param>
/// <param name="InForce">Consent.status is active.</param>
public abstract record Declaration(string Id, string VersionId, DateTimeOffset At, bool InForce);

/// <summary>Informing (informointi, §68): the person was told, in the version named.</summary>
/// <param name="Id">As in <see cref="Declaration"/>.</param>
/// <param name="VersionId">As in <see cref="Declaration"/>.</param>
/// <param name="At">When the person was informed, UTC.</param>
/// <param name="InForce">Consent.status is active.</param>
/// <param name="TextVersion">Version of the informing text, such as <c>2026-1</c>.</param>
public sealed record Informing(string Id, string VersionId, DateTimeOffset At, bool InForce, string TextVersion) : Declaration(Id, VersionId, At, InForce)
{
    /// <summary>The informing text now in force. When it changes, permissions and denials need a new informing (§58).</summary>
    public const string CurrentTextVersion = "2026-1";

    public bool IsCurrent => InForce && TextVersion == CurrentTextVersion;
}

/// <summary>Disclosure permission (luovutuslupa, §54): one for all data, until further notice.</summary>
public sealed record DisclosurePermit(string Id, string VersionId, DateTimeOffset At, bool InForce) : Declaration(Id, VersionId, At, InForce);

/// <summary>Denial (kielto, §58-59): covers existing and future entries, never the owning register.</summary>
public sealed record DisclosureDenial(string Id, string VersionId, DateTimeOffset At, bool InForce, DenialTarget Target) : Declaration(Id, VersionId, At, InForce);
