namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>
/// Where the gateway learns which certificates of one client authority are revoked. With a list and a responder the responder is asked and the
/// list stands in when it is silent; either one that says revoked is believed.
/// </summary>
/// <remarks>Addresses that stand in certificates are never asked: the configuration names them all.</remarks>
public sealed record RevocationSource
{
    /// <summary>The authority: SHA-256 of its certificate (DER) in hexadecimal, colons or not, as <c>openssl x509 -fingerprint -sha256</c> prints it.</summary>
    public required string Authority { get; init; }

    /// <summary>Address of its complete revocation list (RFC 5280 §5), http or https: the list is signed.</summary>
    public string? CrlAddress { get; init; }

    /// <summary>File of the same list, in the place of <see cref="CrlAddress"/>; whoever writes it puts a new one in its place.</summary>
    public string? CrlFile { get; init; }

    /// <summary>Address of its OCSP responder (RFC 6960), http or https: the answers are signed.</summary>
    public string? OcspAddress { get; init; }

    /// <summary>
    /// Seconds, 60 to 3,600, for which an answer is relied on at the longest, and less where the authority says so. A certificate is refused at the
    /// latest this long after its authority has made known that it is revoked.
    /// </summary>
    public int MaxAgeSeconds { get; init; } = 900;

    /// <summary>Seconds, 1 to 10, after which one question is given up.</summary>
    public int TimeoutSeconds { get; init; } = 5;

    /// <summary>Whether revocation of its certificates is not checked at all: a test environment only, and never beside an address.</summary>
    public bool Unchecked { get; init; }

    /// <summary>The authority's fingerprint as <see cref="Authority"/> is compared: upper case, no colons.</summary>
    internal static string FingerprintOf(ReadOnlySpan<byte> certificate) => Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(certificate));

    internal bool IsOf(string fingerprint) => string.Equals(Authority?.Replace(":", "", StringComparison.Ordinal), fingerprint, StringComparison.OrdinalIgnoreCase);
}
