using Hl7.Fhir.Model;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Compartment;

/// <summary>The OID by which a reference names an organisation: its identifier, or one of the contained Organization that it points to.</summary>
static class OrganisationOid
{
    /// <summary>Null where none is named.</summary>
    public static Oid? Of(DomainResource holder, ResourceReference? who)
    {
        var contained = who?.Reference is ['#', .. var id] ? holder.Contained.OfType<Organization>().FirstOrDefault(o => o.Id == id) : null;
        foreach (var identifier in (IEnumerable<Identifier?>)[who?.Identifier, .. contained?.Identifier ?? []])
            if (Oid.TryParse(identifier?.Value, out var oid))
                return oid;
        return null;
    }

    /// <summary>Whether it is an organisation's own or that of a unit of it (1.2.246.10.n and what is below).</summary>
    public static bool IsOf(Oid oid, string organisation) =>
        oid.ToString() == organisation || oid.ToString().StartsWith(organisation + ".", StringComparison.Ordinal);
}
