using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Gateway.Breach;

/// <summary>What the gateway enters in the audit log of itself: that nobody asked for, and that is about no person.</summary>
static class OwnRecord
{
    /// <param name="what">A plain sentence without personal data.</param>
    /// <param name="about">What it rests on; its SHA-256 stands in the entry.</param>
    /// <param name="outcome">A serious failure where somebody has to look.</param>
    public static AuditEntry Of(GatewayOptions options, DateTimeOffset at, string what, ReadOnlySpan<byte> about, AuditOutcome outcome) => new([], new DisclosureRecord
    {
        Kind = AuditKind.AuthorizationDecision,
        Interaction = "operation",
        Recorded = at,
        Server = options.PublicAddress,
        System = new("gateway", "inside"),
        Organisation = new(options.NationalOrganisation, "gateway"),
        PurposeOfUse = "HSYSADMIN",
        Outcome = outcome,
        OutcomeDescription = what,
        RequestId = Guid.NewGuid().ToString("D"),
        Digest = SHA256.HashData(about),
    }.ToUtf8());
}
