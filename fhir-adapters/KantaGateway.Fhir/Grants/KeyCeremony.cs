namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The gateway's signed statement that two operators want a version of the wrapping key to begin its service. Without one the key service changes nothing
/// about its keys. Valid for <see cref="Grant.MaxLifetime"/>; said again, it asks for nothing new.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Version">Of the wrapping key, 2 and up.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
public sealed record KeyCeremony(string Act, uint Version, string ProposedBy, string ApprovedBy);
