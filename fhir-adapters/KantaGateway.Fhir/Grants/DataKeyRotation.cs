using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The gateway's signed statement that two operators want the data key of one person replaced by another one, since the old one may be known to somebody, and all of the record sealed anew
/// under it. The repository does it, the key service makes the key; each verifies the statement. Valid for <see cref="Grant.MaxLifetime"/>; said again, it asks for the same one rotation.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Compartment">Whose record; never the directory.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
public sealed record DataKeyRotation(string Act, Pseudonym Compartment, string ProposedBy, string ApprovedBy);
