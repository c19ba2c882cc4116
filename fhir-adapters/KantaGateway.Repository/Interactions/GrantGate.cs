using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Repository.Interactions;

/// <summary>A verified grant and the signed form to pass on to the key service.</summary>
sealed record HeldGrant(Grant Grant, string Token);

/// <summary>Lets in only who comes with a valid grant. Thread-safe.</summary>
sealed class GrantGate(VerifiedGrants grants)
{
    /// <exception cref="FaultException">There is none, or anything about it is not right.</exception>
    public async ValueTask<HeldGrant> RequireAsync(string? token)
    {
        var (grant, _) = await grants.VerifyAsync(token).ConfigureAwait(false);
        return grant is null || grant.Use == GrantUse.None
            ? throw new FaultException(new Fault(FaultKind.NotIdentified, "The repository answers only to a valid grant of its gateway."))
            : new(grant, token!);
    }
}
