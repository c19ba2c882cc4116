using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The gateway's signed statement that two operators want the data key of one person destroyed, and with it every copy of the record (Act 703/2023 §24). The key service and the
/// repository ask for it alike. Valid for <see cref="Grant.MaxLifetime"/>; said again, it asks for nothing new.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Compartment">Whose record; never the directory.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
public sealed record KeyErasure(string Act, Pseudonym Compartment, string ProposedBy, string ApprovedBy);
