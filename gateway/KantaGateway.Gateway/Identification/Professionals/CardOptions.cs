namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>Tokens that professionals sign with their own cards (DVV's for social welfare and health care).</summary>
public sealed record CardOptions
{
    /// <summary>PEM file with the authorities that issue professional cards; others that a token brings along are not used.</summary>
    public required string AuthorityFile { get; init; }

    /// <summary>Where to learn what each of them has revoked: one entry for every certificate in <see cref="AuthorityFile"/>.</summary>
    public required IReadOnlyList<Certificates.RevocationSource> RevocationSources { get; init; }
}
