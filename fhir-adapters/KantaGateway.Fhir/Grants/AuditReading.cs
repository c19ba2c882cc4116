namespace KantaGateway.Fhir.Grants;

/// <summary>
/// The gateway's signed statement that two operators want the audit log of a stretch of time searched for whom a breach has affected. For it the key service gives the keys of the seconds of that time, and keeps
/// that it did. Valid for <see cref="Grant.MaxLifetime"/>; said again, it asks for more of the same search.
/// </summary>
/// <param name="Act">Id of the act that was approved, at most 64 characters.</param>
/// <param name="Case">Number of the breach case that it is for, from 1.</param>
/// <param name="From">Earliest time, UTC, to the millisecond.</param>
/// <param name="To">Latest time, not before <paramref name="From"/>.</param>
/// <param name="ProposedBy">Opaque name of who proposed it: the operators' own log knows who that is.</param>
/// <param name="ApprovedBy">Opaque name of who approved of it: somebody else.</param>
public sealed record AuditReading(string Act, long Case, DateTimeOffset From, DateTimeOffset To, string ProposedBy, string ApprovedBy);
