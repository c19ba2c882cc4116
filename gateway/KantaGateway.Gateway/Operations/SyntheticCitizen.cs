using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Operations;

/// <inheritdoc />
/// <remarks>A synthetic person has no bank that vouches for her, so the sign-in is what is left out; from there it is the portal's road, decided and recorded.</remarks>
sealed class SyntheticCitizen(IInnerRequests inner, GatewayOptions options, TimeProvider time) : ISyntheticCitizen
{
    public async Task DeclareAsync(Pseudonym self, string patient, string deniedServiceEvent, bool isNew, CancellationToken cancel)
    {
        var now = time.GetUtcNow();
        var person = new Requester
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
        var found = await inner.SendAsync(person, "GET", $"Consent?patient={patient}&_count=200", cancel: cancel);
        if (found.Status != 200)
            throw new HttpRequestException($"The declarations of a synthetic person were answered {found.Status}.");
        using var bundle = JsonDocument.Parse(found.Body);
        var declared = bundle.RootElement.TryGetProperty("entry", out var entries) ? entries.EnumerateArray().Select(e => Declarations.Read(e.GetProperty("resource"))).ToList() : [];
        if (isNew && declared.Count > 0)
            throw new HttpRequestException("A configured identity code is somebody's whose record holds declarations; no probe touches it.");
        await SendAsync(Declarations.Informing(patient, now));
        if (!declared.OfType<DisclosureDenial>().Any(d => d.IsActive))
            await SendAsync(Declarations.Denial(patient, new DenialTarget.OfServiceEvent(deniedServiceEvent), now));
        await SendAsync(Declarations.Permit(patient, now));

        async Task SendAsync(byte[] consent)
        {
            var answer = await inner.SendAsync(person, "POST", "Consent", consent, cancel: cancel);
            if (answer.Status != 201)
                throw new HttpRequestException($"The declaration of a synthetic person was answered {answer.Status}.");
        }
    }
}
