namespace KantaGateway.Fhir.Grants;

/// <summary>Which key of the key service has versions.</summary>
public enum KeyKind
{
    /// <summary>Data keys are wrapped with it, and identity codes sealed.</summary>
    Wrapping = 1,

    /// <summary>People are named by it.</summary>
    Pseudonym = 2,
}

/// <summary>What a ceremony does to a version of a key.</summary>
public enum CeremonyStep
{
    /// <summary>The next version begins its service: from then on data keys are wrapped with it, or people named by it.</summary>
    Begin = 1,

    /// <summary>The oldest version that serves is destroyed: what is wrapped with it, a backup's too, is lost for ever, or whom it names nobody can find by it any more.</summary>
    Destroy = 2,
}

/// <summary>
/// The gateway's signed statement that two operators want a version of a key to begin its service, or to be destroyed. Without one the key service changes nothing
/// about its keys. Valid for <see cref="Grant.MaxLifetime"/>; said again, it asks for nothing new.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Step">What is done.</param>
/// <param name="Version">Of the key, 1 and up.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
/// <param name="Key">Of which key.</param>
public sealed record KeyCeremony(string Act, CeremonyStep Step, uint Version, string ProposedBy, string ApprovedBy, KeyKind Key = KeyKind.Wrapping);
