using Hl7.Fhir.Model;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Compartment;

/// <summary>
/// The data controller (rekisterinpitäjä) and the register that a Provenance names for what it is about: Finnish Base Profiles,
/// fi-base-information-custodian, whether or not the profile is claimed.
/// </summary>
/// <param name="Controller">OID of the custodian (agent of type CST), perhaps of a unit of it; null: it is not told by an OID.</param>
/// <param name="Register">As <see cref="Grants.Register"/> names it; null: none is named.</param>
/// <param name="Wrong">Why what is named is no register that is kept here; null: nothing is wrong.</param>
public sealed record InformationCustodian(Oid? Controller, string? Register, string? Wrong)
{
    /// <summary>THL, register of a patient document.</summary>
    private const string RegisterSystem = "urn:oid:1.2.246.537.5.40150";

    /// <summary>Extension in which Kanta says the same (gen.kanta.fi).</summary>
    private const string RegisterTypeExtension = "https://gen.kanta.fi/fhir/StructureDefinition/extension/RegisterType";

    // Business ids: in the Finnish tree, and as earlier versions of the profile wrote them.
    private static readonly string[] EmployerSystems = ["urn:oid:1.2.246.10", "https://ytj.fi/", "http://ytj.fi/"];

    /// <summary>What a Provenance says; null where it names no custodian.</summary>
    public static InformationCustodian? Of(Provenance provenance)
    {
        var custodians = provenance.Agent.FindAll(a => a.Type?.Coding.Exists(c => c.Code == "CST") == true);
        if (custodians.Count == 0)
            return null;
        Oid[] controllers = [.. custodians.Select(a => OrganisationOid.Of(provenance, a.Who)).OfType<Oid>().Distinct()];
        if (controllers.Length > 1)
            return new(null, null, "The Provenance names more than one custodian; a register has one.");
        var (register, wrong) = RegisterOf(provenance);
        return new(controllers.Length == 0 ? null : controllers[0], register, wrong);
    }

    /// <summary>Whether the custodian is an organisation or a unit of it (1.2.246.10.n and what is below).</summary>
    public bool IsOf(string organisation) =>
        Controller is { } oid && OrganisationOid.IsOf(oid, organisation);

    private static (string? Register, string? Wrong) RegisterOf(Provenance provenance)
    {
        string[] kinds = [.. provenance.Entity.Select(e => e.What?.Identifier).Where(i => IsOf(i?.System, RegisterSystem)).Select(i => i!.Value)
            .Concat(provenance.Extension.Where(e => e.Url == RegisterTypeExtension).Select(e => (e.Value as Coding)?.Code)).OfType<string>().Distinct()];
        switch (kinds)
        {
            case []:
                return (null, null);
            case ["2"]:
                return (Grants.Register.Patient, null);
            case not ["4"]:
                return (null, "The registers kept here are 2, the patient register, and 4, that of occupational health care.");
        }
        string[] employers = [.. provenance.Entity.Select(e => e.What?.Identifier).Where(i => EmployerSystems.Contains(i?.System)).Select(i => i!.Value)
            .Concat(provenance.Entity.Select(e => e.What?.Identifier).Where(i => i?.System == "urn:ietf:rfc:3986").Select(i => Oid.TryParse(i!.Value, out var oid) ? oid.ToString() : null))
            .OfType<string>().Where(e => e.Length > 0)
            .Select(Grants.Register.Occupational).Distinct()];
        // A person who is the customer would be named by the identity code, and the name of a register stands in logs.
        return employers is [var register] && register.Length <= 100 ? (register, null)
            : (null, "A register of occupational health care is kept for each employer: name one, by its business id (system urn:oid:1.2.246.10).");
    }

    /// <summary>Whether a system is a code system, in whatever version: editions have a date as a further node or behind a bar.</summary>
    internal static bool IsOf(string? system, string codeSystem) =>
        system is not null && system.StartsWith(codeSystem, StringComparison.Ordinal) && (system.Length == codeSystem.Length || system[codeSystem.Length] is '.' or '|');
}
