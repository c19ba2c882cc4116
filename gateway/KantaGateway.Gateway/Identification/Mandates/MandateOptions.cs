namespace KantaGateway.Gateway.Identification.Mandates;

/// <summary>Suomi.fi e-Authorizations (Suomi.fi-valtuudet), which knows who may act for whom. The three identifiers are given by the Digital and Population Data Services Agency.</summary>
public sealed record MandateOptions
{
    /// <summary>https origin of the Web API, without path or trailing slash.</summary>
    public required string Address { get; init; }

    /// <summary>Web API Client ID: 8 letters and digits.</summary>
    public required string ClientId { get; init; }

    /// <summary>File with the API key, which requests are signed with.</summary>
    public required string ApiKeyFile { get; init; }

    /// <summary>File with the OAuth password.</summary>
    public required string OAuthPasswordFile { get; init; }

    /// <summary>URI of the mandate theme (valtuusasia) by which an adult lets another act here: managing matters related to health care.</summary>
    public string Theme { get; init; } = "http://valtuusrekisteri.suomi.fi/terveydenhuollon_asioiden_hoito";

    /// <summary>Seconds, 1 to 10, after which what is asked of the service at one time is given up.</summary>
    public int TimeoutSeconds { get; init; } = 5;
}
