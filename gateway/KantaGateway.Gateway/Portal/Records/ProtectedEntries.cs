using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Which entries are specially protected (Act 703/2023 §26.2), as far as they say so themselves or by who keeps them; what only a staff register says of them is not known here. Thread-safe.</summary>
internal sealed class ProtectedEntries(ProtectionRules rules)
{
    public bool Has(Entry entry) => (rules.OfController(entry.Organisation) | rules.ServicesOf(entry.Resource)) != ProtectedService.None;
}
