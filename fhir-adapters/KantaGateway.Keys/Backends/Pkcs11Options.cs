namespace KantaGateway.Keys.Backends;

/// <summary>Keys in an HSM behind its PKCS#11 library.</summary>
/// <remarks>
/// The token holds AES-256 keys labelled <c>kanta-wrapping-1</c>, <c>-2</c> and on, and generic secrets of 32 bytes labelled
/// <c>kanta-pseudonym-1</c> and on, and <c>kanta-custody</c>; all of them CKA_SENSITIVE and not CKA_EXTRACTABLE, which is checked at start and after each
/// ceremony. A ceremony makes the next version where the token has it not yet, and one destroys the oldest; the PIN's user has to be allowed to.
/// </remarks>
public sealed record Pkcs11Options
{
    /// <summary>The vendor's PKCS#11 library, such as <c>/usr/lib/softhsm/libsofthsm2.so</c>.</summary>
    public required string Library { get; init; }

    /// <summary>CKA label of the token.</summary>
    public required string Token { get; init; }

    /// <summary>File with the user PIN, readable by its owner alone (0600).</summary>
    public required string PinFile { get; init; }

    /// <summary>Sessions that are open at once, 1 to 64.</summary>
    public int Sessions { get; init; } = 4;
}

/// <summary>Keys in a service that speaks the Transit API of HashiCorp Vault and OpenBao.</summary>
/// <remarks>
/// The mount holds a key of type <c>aes256-gcm96</c> and two of type <c>hmac</c>, for pseudonyms and for the custody's records; none exportable. The token's
/// policy needs <c>update</c> on <c>encrypt/</c> and <c>decrypt/</c> of the first and <c>hmac/</c> of the others, <c>read</c> on <c>keys/</c> of the first two, and for ceremonies
/// <c>update</c> on <c>rotate</c>, <c>config</c> and <c>trim</c> of those.
/// </remarks>
public sealed record TransitOptions
{
    /// <summary>https, or http on a loopback address.</summary>
    public required string Address { get; init; }

    /// <summary>Where the secrets engine is mounted.</summary>
    public string Mount { get; init; } = "transit";

    public string WrappingKey { get; init; } = "kanta-wrapping";

    public string PseudonymKey { get; init; } = "kanta-pseudonym";

    public string CustodyKey { get; init; } = "kanta-custody";

    /// <summary>File with the access token, readable by its owner alone (0600); read again at each call, so that an agent may renew it.</summary>
    public required string TokenFile { get; init; }

    /// <summary>PEM file with the authorities of its certificate; null: those of the system.</summary>
    public string? AuthorityFile { get; init; }

    /// <summary>1 to 30.</summary>
    public int TimeoutSeconds { get; init; } = 5;
}
