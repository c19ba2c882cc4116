namespace KantaGateway.Gateway.Identification;

/// <summary>What a registration has to be.</summary>
public enum RegistrationRule
{
    /// <summary>A member is not JSON of its type.</summary>
    Json,

    /// <summary>A line about an organisation in a form.</summary>
    RequesterLine,

    ClientId, ReservedClientId, Name, Organisation, SoteOrganisation, Requesters, AppRequesters, Buyers, HealthServices, HealthServicesOfTenants, System, Algorithms, Key, RepeatedKey, NoKey, KeysAddress, KeysOrAddress,
    KeysBesideCertificate, CertificateNeeded, CertificateSubject, Scope, IdentityScopes, AppScopes, PatientScopes, ClinicAppScopes, IssuerOfClinicApps, IdTokenAlgorithm, Redirects, SystemRedirects, Status, Length,
}

/// <summary>What is wrong with a registration.</summary>
/// <param name="Client">Whose it is; empty where that is not known.</param>
/// <param name="Member">Of which member, as the clients file names it; empty: of the whole.</param>
/// <param name="Text">For vendors and logs, in English.</param>
public sealed record RegistrationFault(string Client, string Member, RegistrationRule Rule, string Text)
{
    public override string ToString() => Client.Length == 0 ? Text : $"{Client}: {Text}";
}
