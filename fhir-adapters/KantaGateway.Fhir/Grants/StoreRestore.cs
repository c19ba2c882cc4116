using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The gateway's signed statement that two operators accept what is stored as it was at an earlier time: it was restored from a backup, and what was written since is lost. The key service forgets how far
/// those records were, or the one, of which it was told since then. Valid for <see cref="Grant.MaxLifetime"/>.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Compartment">Which one; null: the whole store.</param>
/// <param name="Since">Time of the backup, to the millisecond.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
public sealed record StoreRestore(string Act, Pseudonym? Compartment, DateTimeOffset Since, string ProposedBy, string ApprovedBy);
