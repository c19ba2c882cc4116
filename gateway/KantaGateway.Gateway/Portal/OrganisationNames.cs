using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>Names of the organisations that citizens meet in their records.</summary>
internal sealed class OrganisationNames(ClientRegistry clients, GatewayOptions options, Texts texts)
{
    /// <summary>Under which a business id makes an OID (JHS 159).</summary>
    private const string BusinessIds = "1.2.246.10.";

    /// <summary>Public controllers that have joined, by OID and name.</summary>
    public IReadOnlyList<(string Oid, string Name)> OfPublicControllers() => clients.Current.PublicControllers();

    /// <summary>Whether an organisation has joined: a denial names registers of those that have.</summary>
    /// <param name="oid">Dotted OID of the data controller.</param>
    public bool HasJoined(string oid) => clients.Current.KindsOfOrganisation(oid).Count > 0;

    /// <summary>The name an organisation was onboarded with, else its OID in words.</summary>
    /// <param name="oid">Dotted OID of the data controller.</param>
    public string Of(string oid) =>
        oid == options.NationalOrganisation ? texts["source.self"]
        : clients.Current.NameOfOrganisation(oid) ?? texts["source.unknown", oid];

    /// <summary>An employer for whom occupational care keeps a register: by name where it has joined, else by its business id.</summary>
    /// <param name="employer">As <see cref="Register.EmployerOf"/> gives it.</param>
    private string OfEmployer(string employer) => clients.Current.NameOfOrganisation(employer)
        ?? (employer.StartsWith(BusinessIds, StringComparison.Ordinal) && employer[BusinessIds.Length..] is { Length: >= 2 and <= 8 } digits && digits.All(char.IsAsciiDigit)
            ? texts["employer.unknown", $"{digits[..^1].PadLeft(7, '0')}-{digits[^1]}"] : texts["employer.unknown", employer]);

    /// <summary>Who keeps a register, and of occupational care for whom.</summary>
    public string OfRegister(string controller, string register) =>
        Register.EmployerOf(register) is { } employer ? texts["register.occupational", Of(controller), OfEmployer(employer)] : Of(controller);
}
