using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Fhir.Grants;

/// <summary>Names shared by the signer and the verifier of grants and service tokens.</summary>
static class GrantFormat
{
    public const string Issuer = "kanta-gateway";
    public const string Audience = "kanta-repository";
    public const string KeysAudience = "kanta-keys";
    public const string GrantType = "kanta-grant+jwt";
    public const string ServiceType = "kanta-service+jwt";
    public const string CeremonyType = "kanta-ceremony+jwt";
    public const string ErasureType = "kanta-erasure+jwt";
    public const string RestoreType = "kanta-restore+jwt";
    public const string DataKeyRotationType = "kanta-data-key-rotation+jwt";
    public const string Use = "use";
    public const string PolicyVersion = "pv";
    public const string Scope = "scp";
    public const string Caller = "cal";
    public const string Purpose = "pou";
    public const string Writer = "wrt";
    public const string ProposedBy = "pro";
    public const string ApprovedBy = "apr";
    public const string Version = "ver";
    public const string Key = "key";
    public const string Since = "snc";
}

/// <summary>Signs grants and the gateway's own service tokens with ES256 (RFC 7515, RFC 7518 §3.4). Thread-safe.</summary>
/// <remarks>Law 5: only the gateway holds this key; repository and key service hold its public half.</remarks>
public sealed class GrantSigner
{
    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly SigningCredentials _credentials;
    private readonly TimeProvider _time;

    /// <param name="key">P-256 private key. Kept for the life of the signer.</param>
    public GrantSigner(ECDsa key, TimeProvider time)
    {
        _credentials = new(new ECDsaSecurityKey(key) { KeyId = KeyIdOf(key) }, SecurityAlgorithms.EcdsaSha256);
        _time = time;
    }

    /// <summary>RFC 7638 thumbprint of the key, base64url.</summary>
    public static string KeyIdOf(ECDsa key) =>
        Base64UrlEncoder.Encode(JsonWebKeyConverter.ConvertFromECDsaSecurityKey(new ECDsaSecurityKey(key)).ComputeJwkThumbprint());

    /// <summary>Signs a grant as a compact JWS.</summary>
    /// <exception cref="ArgumentException">It would outlive <see cref="Grant.MaxLifetime"/>.</exception>
    public string Sign(Grant grant)
    {
        var now = _time.GetUtcNow();
        if (grant.Expires > now + Grant.MaxLifetime)
            throw new ArgumentException("A grant lives at most 60 s.", nameof(grant));
        var claims = new Dictionary<string, object>
        {
            [JwtRegisteredClaimNames.Jti] = grant.Id,
            [JwtRegisteredClaimNames.Sub] = grant.Compartment.Encode(),
            [GrantFormat.Use] = grant.Use.ToString(),
            [GrantFormat.Scope] = JsonSerializer.Serialize(grant.Scope),
            [GrantFormat.Caller] = grant.Caller,
            [GrantFormat.Purpose] = grant.PurposeOfUse,
        };
        if (grant.PolicyVersion is { } version)
            claims[GrantFormat.PolicyVersion] = version;
        if (grant.Writer is { } writer)
            claims[GrantFormat.Writer] = writer;
        return Create(GrantFormat.GrantType, GrantFormat.Audience, claims, now, grant.Expires);
    }

    /// <summary>
    /// A token by which the gateway itself calls the key service (pseudonyms), valid for one minute.
    /// </summary>
    public string SignServiceToken()
    {
        var now = _time.GetUtcNow();
        return Create(GrantFormat.ServiceType, GrantFormat.KeysAudience,
            new() { [JwtRegisteredClaimNames.Jti] = Guid.NewGuid().ToString("N") }, now, now + Grant.MaxLifetime);
    }

    /// <summary>Signs that a key ceremony was approved of by two.</summary>
    public string Sign(KeyCeremony ceremony)
    {
        var now = _time.GetUtcNow();
        return Create(GrantFormat.CeremonyType, GrantFormat.KeysAudience, new()
        {
            [JwtRegisteredClaimNames.Jti] = ceremony.Act,
            [GrantFormat.Use] = ceremony.Step.ToString(),
            [GrantFormat.Version] = (long)ceremony.Version,
            [GrantFormat.Key] = ceremony.Key.ToString(),
            [GrantFormat.ProposedBy] = ceremony.ProposedBy,
            [GrantFormat.ApprovedBy] = ceremony.ApprovedBy,
        }, now, now + Grant.MaxLifetime);
    }

    /// <summary>Signs that an erasure was approved of by two.</summary>
    public string Sign(KeyErasure erasure) => SignAbout(GrantFormat.ErasureType, erasure.Act, erasure.Compartment, erasure.ProposedBy, erasure.ApprovedBy);

    /// <summary>Signs that the rotation of a data key was approved of by two.</summary>
    public string Sign(DataKeyRotation rotation) => SignAbout(GrantFormat.DataKeyRotationType, rotation.Act, rotation.Compartment, rotation.ProposedBy, rotation.ApprovedBy);

    private string SignAbout(string type, string act, Pseudonym compartment, string proposedBy, string approvedBy)
    {
        var now = _time.GetUtcNow();
        return Create(type, GrantFormat.Audience, new()
        {
            [JwtRegisteredClaimNames.Jti] = act,
            [JwtRegisteredClaimNames.Sub] = compartment.Encode(),
            [GrantFormat.ProposedBy] = proposedBy,
            [GrantFormat.ApprovedBy] = approvedBy,
        }, now, now + Grant.MaxLifetime);
    }

    /// <summary>Signs that two accept what is stored as it was.</summary>
    public string Sign(StoreRestore restore)
    {
        var now = _time.GetUtcNow();
        var claims = new Dictionary<string, object>
        {
            [JwtRegisteredClaimNames.Jti] = restore.Act,
            [GrantFormat.Since] = restore.Since.ToUnixTimeMilliseconds(),
            [GrantFormat.ProposedBy] = restore.ProposedBy,
            [GrantFormat.ApprovedBy] = restore.ApprovedBy,
        };
        if (restore.Compartment is { } compartment)
            claims[JwtRegisteredClaimNames.Sub] = compartment.Encode();
        return Create(GrantFormat.RestoreType, GrantFormat.KeysAudience, claims, now, now + Grant.MaxLifetime);
    }

    private string Create(string type, string audience, Dictionary<string, object> claims, DateTimeOffset now, DateTimeOffset expires) =>
        _handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = GrantFormat.Issuer,
            Audience = audience,
            TokenType = type,
            Claims = claims,
            IssuedAt = now.UtcDateTime,
            NotBefore = now.UtcDateTime,
            Expires = expires.UtcDateTime,
            SigningCredentials = _credentials,
        });
}

/// <summary>Checks signature, type, audience, issuer and time of grants and service tokens. Thread-safe.</summary>
public sealed class GrantVerifier
{
    private readonly JsonWebTokenHandler _handler = new() { MapInboundClaims = false };
    private readonly TokenValidationParameters _grants;
    private readonly TokenValidationParameters _service;
    private readonly TokenValidationParameters _ceremonies;
    private readonly TokenValidationParameters _erasures;
    private readonly TokenValidationParameters _restores;
    private readonly TokenValidationParameters _rotations;

    /// <param name="publicKeys">The gateways' P-256 public keys.</param>
    public GrantVerifier(IEnumerable<ECDsa> publicKeys, TimeProvider time)
    {
        SecurityKey[] keys = [.. publicKeys.Select(k => new ECDsaSecurityKey(k) { KeyId = GrantSigner.KeyIdOf(k) })];
        _grants = Parameters(GrantFormat.GrantType, GrantFormat.Audience, keys, time);
        _service = Parameters(GrantFormat.ServiceType, GrantFormat.KeysAudience, keys, time);
        _ceremonies = Parameters(GrantFormat.CeremonyType, GrantFormat.KeysAudience, keys, time);
        _erasures = Parameters(GrantFormat.ErasureType, GrantFormat.Audience, keys, time);
        _restores = Parameters(GrantFormat.RestoreType, GrantFormat.KeysAudience, keys, time);
        _rotations = Parameters(GrantFormat.DataKeyRotationType, GrantFormat.Audience, keys, time);
    }

    /// <summary>The grant, or null when anything about it is not right; the reason is for logs, without data.</summary>
    public async Task<(Grant? Grant, string? Reason)> VerifyAsync(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return (null, "no grant");
        var result = await _handler.ValidateTokenAsync(token, _grants).ConfigureAwait(false);
        if (!result.IsValid)
            return (null, result.Exception.GetType().Name);
        var jwt = (JsonWebToken)result.SecurityToken;
        if (!Pseudonym.TryDecode(jwt.Subject, out var compartment)
            || ReadUse(jwt) is not { } use
            || ReadScope(jwt) is not { } scope
            || !jwt.TryGetPayloadValue<string>(GrantFormat.Caller, out var caller)
            || !jwt.TryGetPayloadValue<string>(GrantFormat.Purpose, out var purpose)
            || string.IsNullOrEmpty(jwt.Id))
            return (null, "claims");
        if (jwt.ValidTo - jwt.IssuedAt > Grant.MaxLifetime)
            return (null, "lifetime");
        return (new Grant
        {
            Id = jwt.Id,
            Use = use,
            Compartment = compartment,
            PolicyVersion = jwt.TryGetPayloadValue<long>(GrantFormat.PolicyVersion, out var version) ? version : null,
            Scope = scope,
            Caller = caller,
            PurposeOfUse = purpose,
            Writer = jwt.TryGetPayloadValue<string>(GrantFormat.Writer, out var writer) ? writer : null,
            Expires = jwt.ValidTo,
        }, null);
    }

    private static GrantUse? ReadUse(JsonWebToken jwt) =>
        jwt.TryGetPayloadValue<string>(GrantFormat.Use, out var text) && Enum.TryParse<GrantUse>(text, out var use)
        && use != GrantUse.None && Enum.GetName(use) == text ? use : null;

    private static DisclosureScope? ReadScope(JsonWebToken jwt)
    {
        try
        {
            return jwt.TryGetPayloadValue<string>(GrantFormat.Scope, out var text) ? JsonSerializer.Deserialize<DisclosureScope>(text) : null;
        }
        catch (JsonException)
        {
            return null; // a signer of another release; what cannot be read permits nothing
        }
    }

    /// <summary>Whether this is a gateway's own service token.</summary>
    public async Task<bool> IsServiceTokenAsync(string? token) =>
        !string.IsNullOrEmpty(token) && (await _handler.ValidateTokenAsync(token, _service).ConfigureAwait(false)).IsValid;

    /// <summary>The approved ceremony, or null when this is none: not the gateway's, over, or approved of by who proposed it.</summary>
    public async Task<KeyCeremony?> VerifyCeremonyAsync(string? token)
    {
        if (string.IsNullOrEmpty(token) || await _handler.ValidateTokenAsync(token, _ceremonies).ConfigureAwait(false) is not { IsValid: true, SecurityToken: JsonWebToken jwt })
            return null;
        return jwt.Id is { Length: > 0 and <= 64 } act && jwt.TryGetPayloadValue<long>(GrantFormat.Version, out var version) && version is > 0 and <= uint.MaxValue
            && jwt.TryGetPayloadValue<string>(GrantFormat.Use, out var text) && Enum.TryParse<CeremonyStep>(text, out var step) && Enum.GetName(step) == text
            && jwt.TryGetPayloadValue<string>(GrantFormat.Key, out var name) && Enum.TryParse<KeyKind>(name, out var key) && Enum.GetName(key) == name
            && TwoPersonsIn(jwt) is var (proposed, approved)
            ? new(act, step, (uint)version, proposed, approved, key) : null;
    }

    /// <summary>The approved erasure, or null when this is none: not the gateway's, over, of the directory, or approved of by who proposed it.</summary>
    public async Task<KeyErasure?> VerifyErasureAsync(string? token) =>
        await VerifyAboutAsync(token, _erasures).ConfigureAwait(false) is var (act, compartment, proposed, approved) ? new(act, compartment, proposed, approved) : null;

    /// <summary>The approved rotation of a data key, or null when this is none: not the gateway's, over, of the directory, or approved of by who proposed it.</summary>
    public async Task<DataKeyRotation?> VerifyDataKeyRotationAsync(string? token) =>
        await VerifyAboutAsync(token, _rotations).ConfigureAwait(false) is var (act, compartment, proposed, approved) ? new(act, compartment, proposed, approved) : null;

    private async Task<(string Act, Pseudonym Compartment, string ProposedBy, string ApprovedBy)?> VerifyAboutAsync(string? token, TokenValidationParameters expected) =>
        !string.IsNullOrEmpty(token) && await _handler.ValidateTokenAsync(token, expected).ConfigureAwait(false) is { IsValid: true, SecurityToken: JsonWebToken jwt }
        && jwt.Id is { Length: > 0 and <= 64 } act && Pseudonym.TryDecode(jwt.Subject, out var compartment) && !compartment.IsDirectory && TwoPersonsIn(jwt) is var (proposed, approved)
            ? (act, compartment, proposed, approved) : null;

    /// <summary>The restore that two accept, or null when this is none: not the gateway's, over, or approved of by who proposed it.</summary>
    public async Task<StoreRestore?> VerifyRestoreAsync(string? token) =>
        !string.IsNullOrEmpty(token) && await _handler.ValidateTokenAsync(token, _restores).ConfigureAwait(false) is { IsValid: true, SecurityToken: JsonWebToken jwt }
        && jwt.Id is { Length: > 0 and <= 64 } act && jwt.TryGetPayloadValue<long>(GrantFormat.Since, out var since) && since is >= 0 and <= LatestSince && TwoPersonsIn(jwt) is var (proposed, approved)
        && (Pseudonym.TryDecode(jwt.Subject, out var compartment) || string.IsNullOrEmpty(jwt.Subject))
            ? new(act, string.IsNullOrEmpty(jwt.Subject) ? null : compartment, DateTimeOffset.FromUnixTimeMilliseconds(since), proposed, approved) : null;

    /// <summary>The end of the year 9999, milliseconds since the epoch.</summary>
    private const long LatestSince = 253_402_300_799_999;

    private static (string ProposedBy, string ApprovedBy)? TwoPersonsIn(JsonWebToken jwt) =>
        jwt.TryGetPayloadValue<string>(GrantFormat.ProposedBy, out var proposed) && jwt.TryGetPayloadValue<string>(GrantFormat.ApprovedBy, out var approved)
        && !string.IsNullOrEmpty(proposed) && !string.IsNullOrEmpty(approved) && proposed != approved ? (proposed, approved) : null;

    private static TokenValidationParameters Parameters(string type, string audience, SecurityKey[] keys, TimeProvider time) => new()
    {
        ValidIssuer = GrantFormat.Issuer,
        ValidAudience = audience,
        ValidTypes = [type],
        ValidAlgorithms = [SecurityAlgorithms.EcdsaSha256],
        IssuerSigningKeys = keys,
        RequireExpirationTime = true,
        RequireSignedTokens = true,
        LifetimeValidator = (notBefore, expires, _, _) =>
            expires is { } e && notBefore is { } n
            && time.GetUtcNow().UtcDateTime < e && time.GetUtcNow().UtcDateTime >= n.AddSeconds(-2),
    };
}
