using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>By what right somebody acts for another (puolesta asiointi).</summary>
public enum RepresentationKind
{
    /// <summary>Custodian of a minor (huoltaja), as the population information system has it; Act 703/2023 §50, §51.</summary>
    Custodian,

    /// <summary>Mandate to manage matters of health care (valtuus), given by an adult in Suomi.fi.</summary>
    Mandate,
}

/// <summary>The person for whom a citizen acts, as e-Authorizations has said for this session.</summary>
/// <param name="Compartment">Of the represented person.</param>
/// <param name="Name">To show on every page for whom it is; never logged.</param>
public sealed record RepresentedPerson(Pseudonym Compartment, RepresentationKind Kind, string Name)
{
    /// <summary>Names nobody, so that no log line can by accident.</summary>
    public override string ToString() => $"RepresentedPerson({Kind})";
}
