using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification.Operators;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What operators do and try stands in the same log as every disclosure, before it takes effect.</summary>
public sealed class OperatorAudit(AuditLog log, GatewayOptions options, TimeProvider time) : IOperatorObserver
{
    private static readonly Fault Unavailable = new(FaultKind.AuditUnavailable, "The act could not be recorded, so it was not done. Try again.");

    /// <inheritdoc />
    public async ValueTask ActedAsync(HttpContext context, Operator who, string act, string? refused, byte[]? digest)
    {
        var record = new DisclosureRecord
        {
            Kind = AuditKind.AuthorizationDecision,
            Interaction = "operation",
            Recorded = time.GetUtcNow(),
            Server = OperatorOrigin.AddressOf(options) + OperatorSignIn.HomePath,
            System = new("operator", context.Connection.RemoteIpAddress?.ToString() ?? "inside"),
            Organisation = new(options.NationalOrganisation, "operators"),
            Professional = new($"{who.Tenant}/{who.Id}", who.Name, "operator"),
            PurposeOfUse = "HSYSADMIN",
            Outcome = refused is null ? AuditOutcome.Success : AuditOutcome.MinorFailure,
            OutcomeDescription = refused is null ? act : $"Not done ({refused}): {act}",
            RequestId = Correlation.Of(context),
            TokenId = who.Session.Length > 0 ? who.Session : null,
            Digest = digest,
        };
        await AppendAsync(record);
    }

    /// <inheritdoc />
    public async ValueTask MachineActedAsync(string act, string? refused, byte[]? digest) => await AppendAsync(new DisclosureRecord
    {
        Kind = AuditKind.AuthorizationDecision,
        Interaction = "operation",
        Recorded = time.GetUtcNow(),
        Server = options.PublicAddress,
        System = new("gateway", "inside"),
        Organisation = new(options.NationalOrganisation, "gateway"),
        PurposeOfUse = "HSYSADMIN",
        Outcome = AuditOutcome.SeriousFailure,
        OutcomeDescription = refused is null ? act : $"Not done ({refused}): {act}",
        RequestId = Guid.NewGuid().ToString("D"),
        Digest = digest,
    });

    private async Task AppendAsync(DisclosureRecord record)
    {
        try
        {
            await log.AppendAsync([new AuditEntry([], record.ToUtf8())]);
        }
        catch (AuditUnavailableException)
        {
            throw new FaultException(Unavailable); // the log has said why, in its own log messages
        }
    }
}
