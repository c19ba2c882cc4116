namespace KantaGateway.Fhir.Grants;

/// <summary>Services whose entries are specially protected: shown outside the service's own events only after a separate confirmation.</summary>
/// <remarks>Act 703/2023 §26.2 (genetics, psychiatry) and decree 457/2024 §26 (the others); psychotherapy is mental-health care of its own name.</remarks>
[Flags]
public enum ProtectedService : byte
{
    None = 0,
    Psychotherapy = 1,
    Psychiatry = 2,
    Psychology = 4,
    MentalHealth = 8,
    Addiction = 16,
    SexualTherapy = 32,
    Genetics = 64,

    /// <summary>Labelled as protected by a label whose service is not known: no confirmation of one service opens it, only one of all.</summary>
    Unknown = 128,
}
