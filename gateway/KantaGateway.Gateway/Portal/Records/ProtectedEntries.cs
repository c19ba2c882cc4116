using System.Runtime.InteropServices;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>Which entries are specially protected (Act 703/2023 §26.2), as far as they say so themselves or by who keeps them; what only a staff register says of them is not known here. Thread-safe.</summary>
internal sealed class ProtectedEntries(ProtectionRules rules)
{
    /// <summary>Types that rules look into besides <c>meta.security</c>.</summary>
    private static readonly string[] Named = ["Encounter", "Appointment", "EpisodeOfCare", "DocumentReference", "Composition"];

    public bool Has(Entry entry)
    {
        if (rules.OfController(entry.Organisation) != ProtectedService.None)
            return true;
        if (entry.Resource.At("meta")?.At("security") is null && !Named.Contains(entry.Type) && entry.Resource.At("contained") is null)
            return false;
        return ResourceParser.Parse(JsonMarshal.GetRawUtf8Value(entry.Resource).ToArray()).Resource is { } resource
            && rules.LabelsOf(resource) is { Services: not ProtectedService.None };
    }
}
