using System.Buffers;
using System.Buffers.Text;
using System.Security.Cryptography;
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
    public const string GrantsType = "kanta-grants+jwt";
    public const string ServiceType = "kanta-service+jwt";
    public const string CeremonyType = "kanta-ceremony+jwt";
    public const string ErasureType = "kanta-erasure+jwt";
    public const string RestoreType = "kanta-restore+jwt";
    public const string DataKeyRotationType = "kanta-data-key-rotation+jwt";
    public const string AuditReadingType = "kanta-audit-reading+jwt";
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
    public const string Root = "root";
    public const string Size = "size";

    /// <summary>Between the signed root, the place in the tree and the claims of a grant: no character of base64url, and one of a bearer token (RFC 6750 §2.1).</summary>
    public const char Separator = '~';

    /// <summary>Longest grant, characters: what the internal listeners take of headers.</summary>
    public const int MaxLength = 256 << 10;
    public const string Until = "unt";
    public const string Case = "cas";
}

/// <summary>Signs grants and the gateway's own service tokens with ES256 (RFC 7515, RFC 7518 §3.4). Thread-safe.</summary>
/// <remarks>Law 5: only the gateway holds this key; repository and key service hold its public half.</remarks>
public sealed class GrantSigner
{
    /// <summary>Most grants that are signed together.</summary>
    public const int MostTogether = GrantTree.MostLeaves;

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

    /// <summary>Signs a grant alone: a tree of one.</summary>
    /// <exception cref="ArgumentException">It would outlive <see cref="Grant.MaxLifetime"/>.</exception>
    public string Sign(Grant grant) => Sign([grant])[0];

    /// <summary>Signs grants together: one signature, over the root of the tree that they are the leaves of (<see cref="GrantTree"/>).</summary>
    /// <param name="grants">1 to <see cref="MostTogether"/>.</param>
    /// <returns>Of each <c>root ~ place ~ claims</c>, in the same order.</returns>
    /// <exception cref="ArgumentException">One would outlive <see cref="Grant.MaxLifetime"/>.</exception>
    public string[] Sign(IReadOnlyList<Grant> grants)
    {
        var now = _time.GetUtcNow();
        var (claims, expires) = (new byte[grants.Count][], now);
        for (var i = 0; i < claims.Length; i++)
        {
            if (grants[i].Expires > now + Grant.MaxLifetime)
                throw new ArgumentException("A grant lives at most 60 s.", nameof(grants));
            claims[i] = GrantClaims.Write(grants[i]);
            expires = grants[i].Expires > expires ? grants[i].Expires : expires;
        }
        var tree = new GrantTree(claims);
        var root = Create(GrantFormat.GrantsType, GrantFormat.Audience, new()
        {
            [GrantFormat.Root] = Base64Url.EncodeToString(tree.Root),
            [GrantFormat.Size] = claims.Length,
        }, now, expires);
        var signed = new string[claims.Length];
        for (var i = 0; i < signed.Length; i++)
            signed[i] = $"{root}{GrantFormat.Separator}{Base64Url.EncodeToString(tree.PlaceOf(i))}{GrantFormat.Separator}{Base64Url.EncodeToString(claims[i])}";
        return signed;
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

    /// <summary>Signs that two want the audit log of a stretch of time read.</summary>
    public string Sign(AuditReading reading)
    {
        var now = _time.GetUtcNow();
        return Create(GrantFormat.AuditReadingType, GrantFormat.KeysAudience, new()
        {
            [JwtRegisteredClaimNames.Jti] = reading.Act,
            [GrantFormat.Case] = reading.Case,
            [GrantFormat.Since] = reading.From.ToUnixTimeMilliseconds(),
            [GrantFormat.Until] = reading.To.ToUnixTimeMilliseconds(),
            [GrantFormat.ProposedBy] = reading.ProposedBy,
            [GrantFormat.ApprovedBy] = reading.ApprovedBy,
        }, now, now + Grant.MaxLifetime);
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
/// <remarks>
/// The signature over a tree of several grants is checked once: what came of it is remembered under the digest of the whole JWS until the root ends. Only what was found right is
/// remembered, so that nobody but a gateway puts anything there. A tree of one is not: its grant opens one key, and who uses it for more remembers it (<see cref="VerifiedGrants"/>).
/// </remarks>
public sealed class GrantVerifier
{
    // Some 200 bytes each.
    private const int MostRoots = 10_000;

    private readonly JsonWebTokenHandler _handler = new() { MapInboundClaims = false };
    private readonly VerifiedTokens<SignedRoot> _roots = new(MostRoots, static root => root.Expires);
    private readonly TimeProvider _time;
    private readonly TokenValidationParameters _grants;
    private readonly TokenValidationParameters _service;
    private readonly TokenValidationParameters _ceremonies;
    private readonly TokenValidationParameters _erasures;
    private readonly TokenValidationParameters _restores;
    private readonly TokenValidationParameters _rotations;
    private readonly TokenValidationParameters _readings;

    /// <param name="publicKeys">The gateways' P-256 public keys.</param>
    public GrantVerifier(IEnumerable<ECDsa> publicKeys, TimeProvider time)
    {
        _time = time;
        SecurityKey[] keys = [.. publicKeys.Select(k => new ECDsaSecurityKey(k) { KeyId = GrantSigner.KeyIdOf(k) })];
        _grants = Parameters(GrantFormat.GrantsType, GrantFormat.Audience, keys, time);
        _service = Parameters(GrantFormat.ServiceType, GrantFormat.KeysAudience, keys, time);
        _ceremonies = Parameters(GrantFormat.CeremonyType, GrantFormat.KeysAudience, keys, time);
        _erasures = Parameters(GrantFormat.ErasureType, GrantFormat.Audience, keys, time);
        _restores = Parameters(GrantFormat.RestoreType, GrantFormat.KeysAudience, keys, time);
        _rotations = Parameters(GrantFormat.DataKeyRotationType, GrantFormat.Audience, keys, time);
        _readings = Parameters(GrantFormat.AuditReadingType, GrantFormat.KeysAudience, keys, time);
    }

    /// <summary>The grant, or null when anything about it is not right; the reason is for logs, without data.</summary>
    public ValueTask<(Grant? Grant, string? Reason)> VerifyAsync(string? token)
    {
        if (string.IsNullOrEmpty(token))
            return new((null, "no grant"));
        if (token.Length > GrantFormat.MaxLength || token.IndexOf(GrantFormat.Separator, StringComparison.Ordinal) is not (> 0 and var rootEnd))
            return new((null, "form"));
        var hash = TokenHash.Of(token.AsSpan(0, rootEnd));
        return _roots.TryGet(hash, out var root) ? new(Read(token, rootEnd, root)) : CheckAsync(token, rootEnd, hash);
    }

    private async ValueTask<(Grant? Grant, string? Reason)> CheckAsync(string token, int rootEnd, TokenHash hash)
    {
        var result = await _handler.ValidateTokenAsync(token[..rootEnd], _grants).ConfigureAwait(false);
        if (!result.IsValid)
            return (null, result.Exception.GetType().Name);
        if (SignedRoot.In((JsonWebToken)result.SecurityToken) is not { } root)
            return (null, "root");
        var read = Read(token, rootEnd, root);
        if (read.Grant is not null && root.Size > 1)
            _roots.Add(hash, root, _time.GetUtcNow());
        return read;
    }

    /// <summary>What a root whose signature was checked says of the grant that came with it.</summary>
    private (Grant? Grant, string? Reason) Read(string token, int rootEnd, SignedRoot root)
    {
        var now = _time.GetUtcNow();
        if (!IsNow(root.IssuedAt.UtcDateTime, root.Expires.UtcDateTime, now))
            return (null, "expired");
        var rest = token.AsSpan(rootEnd + 1);
        if (rest.IndexOf(GrantFormat.Separator) is not (>= 0 and var placeEnd))
            return (null, "form");
        if (!Base64Url.IsValid(rest[..placeEnd], out var placeLength) || placeLength > GrantTree.LongestPlace || !Base64Url.IsValid(rest[(placeEnd + 1)..], out var length))
            return (null, "form");
        Span<byte> place = stackalloc byte[placeLength];
        Base64Url.DecodeFromChars(rest[..placeEnd], place);
        var claims = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            // Nothing of it is read before the root says that it was signed.
            length = Base64Url.DecodeFromChars(rest[(placeEnd + 1)..], claims);
            if (!GrantTree.Holds(root.Hash, root.Size, place, claims.AsSpan(0, length)))
                return (null, "tree");
            if (GrantClaims.Read(claims.AsSpan(0, length)) is not { } grant)
                return (null, "claims");
            // The root ends with the last of its grants, each grant for itself.
            return grant.Expires > root.Expires || grant.Expires - root.IssuedAt > Grant.MaxLifetime ? (null, "lifetime") : grant.Expires <= now ? (null, "expired") : (grant, null);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(claims);
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

    /// <summary>The approved reading of the audit log, or null when this is none: not the gateway's, over, of no case or no time, or approved of by who proposed it.</summary>
    public async Task<AuditReading?> VerifyAuditReadingAsync(string? token) =>
        !string.IsNullOrEmpty(token) && await _handler.ValidateTokenAsync(token, _readings).ConfigureAwait(false) is { IsValid: true, SecurityToken: JsonWebToken jwt }
        && jwt.Id is { Length: > 0 and <= 64 } act && jwt.TryGetPayloadValue<long>(GrantFormat.Case, out var of) && of > 0
        && jwt.TryGetPayloadValue<long>(GrantFormat.Since, out var from) && jwt.TryGetPayloadValue<long>(GrantFormat.Until, out var to) && from >= 0 && from <= to && to <= LatestSince
        && TwoPersonsIn(jwt) is var (proposed, approved)
            ? new(act, of, DateTimeOffset.FromUnixTimeMilliseconds(from), DateTimeOffset.FromUnixTimeMilliseconds(to), proposed, approved) : null;

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
        LifetimeValidator = (notBefore, expires, _, _) => expires is { } e && notBefore is { } n && IsNow(n, e, time.GetUtcNow()),
    };

    // Clocks differ by seconds.
    private static bool IsNow(DateTime notBefore, DateTime expires, DateTimeOffset now) => now.UtcDateTime < expires && now.UtcDateTime >= notBefore.AddSeconds(-2);
}
