namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>Whether an authority stands by a certificate. What nobody has said is unknown, and unknown is never taken for good.</summary>
internal enum RevocationStatus { Unknown = 0, Good, Revoked }

/// <summary>An authority's word on one certificate.</summary>
/// <param name="Until">How long it may be relied on; of <see cref="RevocationStatus.Unknown"/>: when to ask again.</param>
internal readonly record struct RevocationAnswer(RevocationStatus Status, DateTimeOffset Until);
