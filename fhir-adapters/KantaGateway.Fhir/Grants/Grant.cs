using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>What a grant may be used for.</summary>
public enum GrantUse
{
    None = 0,

    /// <summary>Read what the scope admits.</summary>
    Read = 1,

    /// <summary>Read what the scope admits and write as the scope's controller.</summary>
    Write = 2,

    /// <summary>Read consents and open service events, to decide; nothing else.</summary>
    Policy = 3,

    /// <summary>Open the audit entries about the person, for the person.</summary>
    AuditTrail = 4,
}

/// <summary>
/// The gateway's signed statement that one requester may have part of one person's data opened now. Without one the
/// key service unwraps nothing. Short-lived (at most <see cref="MaxLifetime"/>).
/// </summary>
public sealed record Grant
{
    /// <summary>Longest life of a grant, seconds 60: long enough to cache, too short to hoard.</summary>
    public static readonly TimeSpan MaxLifetime = TimeSpan.FromSeconds(60);

    /// <summary>Unique id of the grant, at most 64 characters.</summary>
    public required string Id { get; init; }

    public required GrantUse Use { get; init; }

    /// <summary>The compartment it opens.</summary>
    public required Pseudonym Compartment { get; init; }

    /// <summary>Policy version the decision rests on; null where it rests on none (own register, directory, the person).</summary>
    public long? PolicyVersion { get; init; }

    public required DisclosureScope Scope { get; init; }

    /// <summary>Opaque name of the caller, to which page links are bound: client and, where there is one, person.</summary>
    public required string Caller { get; init; }

    /// <summary>v3-ActReason code, such as TREAT.</summary>
    public required string PurposeOfUse { get; init; }

    /// <summary>OID of the organisation whose system writes in the name of the scope's controller; null: that controller itself.</summary>
    public string? Writer { get; init; }

    public required DateTimeOffset Expires { get; init; }
}
