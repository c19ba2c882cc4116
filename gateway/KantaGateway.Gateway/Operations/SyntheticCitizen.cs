using System.Net;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <inheritdoc />
/// <remarks>A synthetic person has no bank that vouches for her, so the sign-in is what is left out; from there it is the portal's road, decided and recorded.</remarks>
sealed class SyntheticCitizen(IInnerRequests inner, PolicyLookup policies, GatewayOptions options, TimeProvider time) : ISyntheticCitizen
{
    public async Task DeclareAsync(Pseudonym self, string patient, string deniedServiceEvent, bool isNew, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var person = Of(self, now);
        var policy = await policies.FetchAsync(person, self, cancel);
        var state = policy.At(now);
        if (isNew && (policy.Declarations.Count > 0 || state.Denied.DeniesAll))
            throw new HttpRequestException("A configured identity code is somebody's whose record holds declarations; no probe touches it.", null, HttpStatusCode.Conflict);
        var own = new DenialTarget.OfServiceEvent(deniedServiceEvent);
        if (!state.IsInformed)
            await SendAsync(Declarations.Informing(patient, now));
        if (!state.Denials.Any(denial => denial.Target == own && denial is { AllowsEmergency: false, Until: null }))
            await SendAsync(Declarations.Denial(patient, own, now));
        foreach (var other in state.Denials.Where(denial => denial.Target != own))
        {
            // It names none of them: whatever holds of that target is withdrawn.
            using var denial = JsonDocument.Parse(Declarations.Denial(patient, other.Target, now));
            await SendAsync(Declarations.Withdrawn(denial.RootElement));
        }
        if (state.Permission is not { Until: null })
            await SendAsync(Declarations.Permit(patient, now));

        async Task SendAsync(byte[] consent)
        {
            var answer = await inner.SendAsync(person, "POST", "Consent", consent, cancel: cancel);
            if (answer.Status != 201)
                throw new HttpRequestException($"The declaration of a synthetic person was answered {answer.Status}.", null, (HttpStatusCode)answer.Status);
        }
    }

    public async Task<bool> IsOverruledAsync(Pseudonym self, string deniedServiceEvent, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var policy = await policies.FetchAsync(Of(self, now), self, cancel);
        var own = new DenialTarget.OfServiceEvent(deniedServiceEvent);
        if (policy.At(now).Denials.Any(denial => denial.Target == own))
            return false;
        // A policy in which even the probe's own denial is not to be found was put together wrongly, whatever a desk has said.
        var declared = policy.Declarations.OfType<DisclosureDenial>().Where(denial => denial.Target == own).ToLookup(denial => denial.RecordedBy is null);
        return declared[true].Where(denial => denial.IsActive).MaxBy(denial => denial.Order) is { } last && declared[false].Any(denial => denial.Order > last.Order);
    }

    private Requester Of(Pseudonym self, DateTimeOffset now) => new()
    {
        Kind = RequesterKind.Citizen,
        ClientId = "probes",
        Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse(options.NationalOrganisation),
        OrganisationName = options.Identification.Citizens.ServiceName,
        ControllerKind = ControllerKind.Public,
        Self = self,
        PurposeOfUse = "PATRQT",
        TokenId = "probes",
        Scopes = SmartScope.ParseAll(["patient/*.cruds"]),
        Expires = now.AddMinutes(1),
    };
}
