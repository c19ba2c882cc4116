using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Breach;

/// <summary>What the gateway enters in the audit log of itself: that nobody asked for.</summary>
static class OwnRecord
{
    /// <param name="what">A plain sentence without personal data.</param>
    /// <param name="about">What it rests on; its SHA-256 stands in the entry.</param>
    /// <param name="outcome">A serious failure where somebody has to look.</param>
    /// <param name="person">Whom it is about; null: nobody.</param>
    /// <param name="patientId">That person's Patient.</param>
    public static AuditEntry Of(GatewayOptions options, DateTimeOffset at, string what, ReadOnlySpan<byte> about, AuditOutcome outcome, Pseudonym? person = null, string? patientId = null) => new(person?.ToArray() ?? [], new DisclosureRecord
    {
        Kind = AuditKind.AuthorizationDecision,
        Interaction = "operation",
        Recorded = at,
        Server = options.PublicAddress,
        System = new("gateway", "inside"),
        Organisation = new(options.NationalOrganisation, "gateway"),
        PurposeOfUse = "HSYSADMIN",
        PatientId = patientId,
        Outcome = outcome,
        OutcomeDescription = what,
        RequestId = Guid.NewGuid().ToString("D"),
        Digest = SHA256.HashData(about),
    }.ToUtf8());
}
