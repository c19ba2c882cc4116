using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>Names of the organisations that citizens meet in their records.</summary>
internal sealed class OrganisationNames(ClientRegistry clients, GatewayOptions options, Texts texts)
{
    /// <summary>Public controllers that have joined, by OID and name.</summary>
    public IReadOnlyList<(string Oid, string Name)> OfPublicControllers() => clients.Current.PublicControllers();

    /// <summary>The name an organisation was onboarded with, else its OID in words.</summary>
    /// <param name="oid">Dotted OID of the data controller.</param>
    public string Of(string oid) =>
        oid == options.NationalOrganisation ? texts["source.self"]
        : clients.Current.NameOfOrganisation(oid) ?? texts["source.unknown", oid];
}
