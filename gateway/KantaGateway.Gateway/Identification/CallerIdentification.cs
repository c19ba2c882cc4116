using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Gateway.Identification.Dpop;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Gateway.Identification.Professionals;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Microsoft.Net.Http.Headers;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Identifies FHIR callers by access token (RFC 9068) and what it is bound to: the TLS certificate (RFC 8705 §3), or a key of which the
/// request carries a proof (RFC 9449 §7).
/// </summary>
/// <remarks>
/// What a token says is verified once and kept under the token's digest; its life, the client's standing and the
/// certificate are compared at every request.
/// </remarks>
internal sealed class CallerIdentification(ClientRegistry registry, OrganisationCertificates certificates, DpopProofs proofs, AttemptLimits limits, Revocations revocations, IdentificationMetrics metrics, TokenKeys keys, IdentifierCipher ids, ProtectionRules protection, GatewayOptions options, TimeProvider time, Containments contained, IProfessionalRights? rights = null, Approvals? approvals = null) : IIdentification
{
    private const string Scheme = "Bearer ", ProofScheme = DpopProofs.TokenType + " ";
    private const int LongestToken = 8 * 1024;

    /// <summary>Why it was refused, for the metric.</summary>
    private static readonly object ReasonKey = new();

    private static readonly JsonWebTokenHandler Tokens = new() { MapInboundClaims = false };

    private readonly RecentCache<TokenDigest, VerifiedToken> _verified = new(options.Identification.VerifiedTokens);

    private readonly TokenValidationParameters _parameters = new()
    {
        IssuerSigningKeys = [.. keys.All.Select(static key => key.Signing)],
        ValidIssuer = TokenEndpoint.IssuerOf(options),
        ValidAudience = TokenEndpoint.AudienceOf(options),
        ValidAlgorithms = [SecurityAlgorithms.EcdsaSha256],
        ValidTypes = ["at+jwt"],
        RequireExpirationTime = true,
        // By this process's clock. That it has ended is looked at when it is used: whose it is says first what it is bound to.
        LifetimeValidator = (from, to, _, _) => to is null ? throw new SecurityTokenNoExpirationException()
            : from is null || from <= time.GetUtcNow().AddSeconds(10) ? true : throw new SecurityTokenNotYetValidException(),
    };

    private readonly record struct TokenDigest(long A, long B, long C, long D);

    /// <param name="Thumbprint">Of the certificate that it is bound to, or of the key.</param>
    /// <param name="NeedsProof">Whether it is bound to a key.</param>
    /// <param name="Holder">Whose certificate a token that is bound to a key comes with all the same; null: a citizen's app, which needs none.</param>
    /// <param name="Directory">The registrations it was verified under; another instance means verifying again.</param>
    /// <param name="Names">Any of them may be revoked.</param>
    private sealed record VerifiedToken(Requester Requester, string Thumbprint, bool NeedsProof, Oid? Holder, ClientDirectory Directory, IReadOnlyList<RevokedName> Names)
    {
        /// <summary>Epoch of <see cref="Revocations"/> under which none of the names was revoked.</summary>
        public long UnrevokedAt = -1;
    }

    public ValueTask<(Requester? Requester, Fault? Fault)> IdentifyAsync(HttpContext context)
    {
        var isReadable = TryReadToken(context.Request, out var token, out var unreadable, out var error);
        var directory = registry.Current;
        var digest = isReadable ? DigestOf(token) : default;
        var verified = isReadable && _verified.TryGet(digest, out var kept) && ReferenceEquals(kept.Directory, directory) ? kept : null;
        // A token that is known and good costs no more than this, and is never held back.
        if (verified is null || verified.NeedsProof || IsProofScheme(context.Request) || CheckUse(context, verified) is not { Requester: not null } known)
            return AttemptAsync(context, verified, isReadable ? token.ToString() : null, (unreadable, error), digest, directory);
        metrics.AcceptedFhir();
        return new(known);
    }

    private async ValueTask<(Requester?, Fault?)> AttemptAsync(HttpContext context, VerifiedToken? verified, string? token, (string Problem, string? Error) unreadable, TokenDigest digest, ClientDirectory directory)
    {
        // A known token is not held back because its certificate or its professional has to be looked up again, or its proof verified.
        (Requester? Requester, Fault? Fault) identified = verified is null ? default : await CheckAgainAsync(context, verified, token!).ConfigureAwait(false);
        if (identified.Requester is not null)
        {
            metrics.AcceptedFhir();
            return identified;
        }
        if (limits.Wait(context) is { } wait)
        {
            context.Response.Headers.Remove(HeaderNames.WWWAuthenticate);
            return (null, AttemptLimits.Refuse(context, wait));
        }
        if (verified is null)
            identified = token is null ? Refuse(context, unreadable.Error, unreadable.Problem, unreadable.Error is null ? RefusalReason.NoToken : RefusalReason.Malformed) : await VerifyAsync(context, token, digest, directory).ConfigureAwait(false);
        // Who is told a nonce, or comes with a token of his own that has ended, has done nothing wrong: a clinic would be held back for the clocks of its users.
        if (identified.Fault is { Kind: FaultKind.NotIdentified })
        {
            if (context.Items[ReasonKey] is RefusalReason.Nonce or RefusalReason.Expired)
                await limits.SlippedAsync(context).ConfigureAwait(false);
            else
                await limits.FailedAsync(context).ConfigureAwait(false);
        }
        if (identified.Requester is not null)
            metrics.AcceptedFhir();
        else
            metrics.RefusedFhir(identified.Fault is { Kind: FaultKind.NotIdentified } && context.Items[ReasonKey] is RefusalReason reason ? reason : RefusalReason.Unavailable);
        return identified;
    }

    public Requester? PortalRequester(HttpContext context) => PortalSessions.RequesterOf(context, options);

    private async ValueTask<(Requester? Requester, Fault? Fault)> VerifyAsync(HttpContext context, string token, TokenDigest digest, ClientDirectory directory)
    {
        if (TokenShape.Read(token, LongestToken, out var misshapen) is not { } read)
            return Refuse(context, "invalid_token", "The access token " + misshapen, RefusalReason.Malformed);
        var result = await Tokens.ValidateTokenAsync(read, _parameters).ConfigureAwait(false);
        if (!result.IsValid)
        {
            var (reason, explanation) = Explain(result.Exception);
            return Refuse(context, "invalid_token", explanation, reason);
        }

        var jwt = (JsonWebToken)result.SecurityToken;
        if (!jwt.TryGetPayloadValue<string>("client_id", out var clientId) || directory.Find(clientId) is not { IsActive: true } client)
            return Refuse(context, "invalid_token", "The client of the access token is suspended or no longer registered.", RefusalReason.Client);
        if (!jwt.TryGetPayloadValue<string>(TokenEndpoint.OrganisationClaim, out var organisation) || client.RequesterOf(organisation) is not { } registered)
            return Refuse(context, "invalid_token", "The client may no longer ask for the organisation that the access token was issued for.", RefusalReason.Client);
        // RFC 8705 §3.1, RFC 9449 §6.1: to one of the two.
        if (!jwt.TryGetPayloadValue<System.Text.Json.JsonElement>("cnf", out var confirmation)
            || confirmation.TryGetProperty("jkt", out var toKey) == confirmation.TryGetProperty("x5t#S256", out var toCertificate)
            || (toKey.ValueKind == System.Text.Json.JsonValueKind.String ? toKey : toCertificate).GetString() is not { } thumbprint)
            return Refuse(context, "invalid_token", "The access token is not bound to a TLS client certificate or a key.", RefusalReason.Unbound);

        var requester = RequesterOf(jwt, client, registered, toKey.ValueKind == System.Text.Json.JsonValueKind.String ? null : thumbprint);
        if (!(client.Registration.Kind switch
        {
            ClientKind.App => requester.Kind == RequesterKind.Citizen,
            ClientKind.ClinicApp => requester.Kind == RequesterKind.Professional,
            _ => requester.Kind != RequesterKind.Citizen,
        }))
            return Refuse(context, "invalid_token", "The access token is not of the kind that the client is registered for.", RefusalReason.Client);
        // A decision makes another directory, and with that the token is read anew.
        if ((requester.ProfessionalId is { } professional && contained.HoldsProfessional(requester.Organisation.ToString(), professional)) || (requester.Self is { } self && contained.HoldsCitizen(self, ids)))
            return Refuse(context, "invalid_token", "Whom the access token was issued for has been contained by the operators of this gateway; ask them.", RefusalReason.Revoked);
        var verified = new VerifiedToken(requester, thumbprint, toKey.ValueKind == System.Text.Json.JsonValueKind.String,
            client.NeedsCertificate ? client.Organisation : null, directory,
            requester.Bears);
        if (requester.Expires > time.GetUtcNow())
            _verified.Set(digest, verified);
        return await CheckAgainAsync(context, verified, token).ConfigureAwait(false);
    }

    /// <summary>Checks with certificate and right looked up where that is due, and with the proof; what cannot be looked up the check finds out.</summary>
    private async ValueTask<(Requester? Requester, Fault? Fault)> CheckAgainAsync(HttpContext context, VerifiedToken verified, string token)
    {
        // RFC 9449 §7.1, §7.2: neither passes for the other.
        if (verified.NeedsProof != IsProofScheme(context.Request))
            return Refuse(context, "invalid_token", verified.NeedsProof
                ? "The access token is bound to a key: send Authorization: DPoP with it, and a DPoP proof."
                : "The access token is bound to a TLS client certificate: send Authorization: Bearer with it.", RefusalReason.Unbound);
        if (verified.NeedsProof && await CheckProofAsync(context, verified, token).ConfigureAwait(false) is { } unproven)
            return unproven;
        if (context.Connection.ClientCertificate is { } certificate)
            await certificates.RenewAsync(certificate, context.RequestAborted).ConfigureAwait(false);
        if (rights is not null && verified.Requester.ProfessionalId is { } id)
            try
            {
                await rights.AskAsync(id, context.RequestAborted).ConfigureAwait(false);
            }
            catch (ProfessionalRightsException)
            {
            }
        // An earlier look may have found only that it has to be looked up.
        context.Response.Headers.Remove(HeaderNames.WWWAuthenticate);
        context.Response.Headers.Remove(HeaderNames.RetryAfter);
        return CheckUse(context, verified);
    }

    /// <returns>Why not; null when the request's sender holds the key.</returns>
    private async ValueTask<(Requester? Requester, Fault? Fault)?> CheckProofAsync(HttpContext context, VerifiedToken verified, string token)
    {
        try
        {
            return await proofs.VerifyAsync(context, token, verified.Thumbprint).ConfigureAwait(false) is { Refusal: { } refusal }
                ? Refuse(context, refusal.Error, refusal.Description, refusal.Error == DpopProofs.UseNonce ? RefusalReason.Nonce : RefusalReason.Proof)
                : null;
        }
        catch (SharedStateException)
        {
            return Unavailable(context, "Whether the DPoP proof has been used before cannot be known at the moment; try again with a new one.");
        }
    }

    /// <summary>What can change from one use of a token to the next: time, and the connection it comes over. A proof has been checked before.</summary>
    private (Requester? Requester, Fault? Fault) CheckUse(HttpContext context, VerifiedToken verified)
    {
        if (verified is { NeedsProof: true, Holder: null })
            return CheckLife(context, verified);
        if (context.Connection.ClientCertificate is not { } certificate)
            return Refuse(context, "invalid_token", "The request has no TLS client certificate; the access token works only with the certificate it was issued to.");
        var facts = certificates.Examine(certificate);
        if (facts is { IsOutage: true, Problem: { } outage })
            return Unavailable(context, outage);
        if (facts.Problem is { } problem)
            return Refuse(context, "invalid_token", problem);
        return (verified.NeedsProof ? facts.Organisation == verified.Holder : facts.Thumbprint == verified.Thumbprint)
            ? CheckLife(context, verified)
            : Refuse(context, "invalid_token", "The access token is bound to another TLS client certificate than the one of this connection.");
    }

    private (Requester? Requester, Fault? Fault) CheckLife(HttpContext context, VerifiedToken verified) => verified.Requester.Expires > time.GetUtcNow()
        ? CheckRevocation(context, verified)
        : Refuse(context, "invalid_token", "The access token has expired; get a new one.", RefusalReason.Expired);

    private (Requester? Requester, Fault? Fault) CheckRevocation(HttpContext context, VerifiedToken verified)
    {
        var epoch = revocations.Epoch;
        if (revocations.IsCurrent && Volatile.Read(ref verified.UnrevokedAt) == epoch)
            return CheckRight(context, verified.Requester);
        try
        {
            foreach (var name in verified.Names)
                if (revocations.IsRevoked(name))
                    return Refuse(context, "invalid_token", "The access token has been revoked; get a new one.", RefusalReason.Revoked);
        }
        catch (SharedStateException)
        {
            return Unavailable(context, "Whether the access token has been revoked cannot be known at the moment; try again.");
        }
        Volatile.Write(ref verified.UnrevokedAt, epoch);
        return CheckRight(context, verified.Requester);
    }

    /// <summary>A right to practise that has ended, or become another, ends the tokens that were issued on it.</summary>
    private (Requester? Requester, Fault? Fault) CheckRight(HttpContext context, Requester requester)
    {
        if (rights is null || requester.ProfessionalId is not { } id)
            return (requester, null);
        if (rights.Known(id) is not { } right)
            return Unavailable(context, "The right to practise cannot be looked up at the moment; try again.");
        if (!right.IsValid)
            return Refuse(context, "invalid_token", "The role register knows no valid right to practise of the professional.", RefusalReason.Right);
        return right.StillGives(requester.Profession, requester.Tasks)
            ? (requester, null)
            : Refuse(context, "invalid_token", "The professional's right to practise is another than when the access token was issued; get a new one.", RefusalReason.Right);
    }

    /// <param name="certificate">Thumbprint of the one that the token is bound to; null: it is bound to a key.</param>
    private Requester RequesterOf(JsonWebToken token, RegisteredClient client, RegisteredRequester requester, string? certificate)
    {
        string? Claim(string name) => token.TryGetPayloadValue<string>(name, out var value) ? value : null;

        var professional = Claim(TokenEndpoint.ProfessionalIdClaim);
        var self = TokenEndpoint.PersonOf(Claim(TokenEndpoint.PatientClaim), ids);
        var system = Requester.OfSystem(client, requester, options, approvals, token.Id, Claim(TokenEndpoint.PurposeClaim) ?? "", SmartScope.ParseAll((Claim("scope") ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries)), new(token.ValidTo, TimeSpan.Zero));
        return system with
        {
            Kind = self is not null ? RequesterKind.Citizen : professional is null ? RequesterKind.System : RequesterKind.Professional,
            Self = self,
            OwnServices = professional is null ? ProtectedService.None : protection.OfController(requester.Organisation.ToString()),
            ProfessionalId = professional,
            // A decision makes another directory, and with that the token is read anew.
            EmergencyBarEnded = professional is not null && approvals?.Current.EmergencyBarEnds.TryGetValue(DecisionState.SubjectOf(rights is not null, requester.Organisation.ToString(), professional), out var ended) is true ? ended : null,
            ProfessionalName = Claim(TokenEndpoint.ProfessionalNameClaim),
            Profession = Claim(TokenEndpoint.ProfessionClaim),
            Tasks = TaskClasses.Read(Claim(TokenEndpoint.TaskClassClaim)),
            Unit = Claim(TokenEndpoint.UnitClaim),
            Acr = Claim(TokenEndpoint.AcrClaim),
            Bears =
            [
                .. RevokedName.OfToken(token.Id, client, requester, professional, self, Claim(TokenEndpoint.GrantClaim)),
                .. certificate is null ? (ReadOnlySpan<RevokedName>)[] : [RevokedName.Contained(ContainedSubject.Certificate(certificate))],
                .. self is { } person ? [RevokedName.Contained(ContainedSubject.Citizen(ids.PatientId(person)))] : (ReadOnlySpan<RevokedName>)[],
            ],
        };
    }

    /// <summary>RFC 6750 §2.1: in the header only, never in the URL or the body.</summary>
    /// <param name="error">RFC 6750 §3.1; null where there is no token at all.</param>
    private static bool TryReadToken(HttpRequest request, out ReadOnlySpan<char> token, out string problem, out string? error)
    {
        token = default;
        (problem, error) = ("", null);
        if (request.Headers.Authorization is not { Count: > 0 } headers)
            problem = "The request has no access token; send Authorization: Bearer with one from the token endpoint.";
        else if (headers is not [{ } header] || !(header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) || header.StartsWith(ProofScheme, StringComparison.OrdinalIgnoreCase)))
            (problem, error) = ("The Authorization header must be one Bearer or DPoP token.", "invalid_request");
        else if (header.Length > LongestToken)
            (problem, error) = ("The access token is too long to be one of this gateway's.", "invalid_token");
        else
            token = header.AsSpan(header.IndexOf(' ')).Trim();
        return problem.Length == 0;
    }

    /// <summary>RFC 9449 §7.1; like every scheme in any case (RFC 9110 §11.1).</summary>
    private static bool IsProofScheme(HttpRequest request) => request.Headers.Authorization is [{ } header] && header.StartsWith(ProofScheme, StringComparison.OrdinalIgnoreCase);

    private static TokenDigest DigestOf(ReadOnlySpan<char> token)
    {
        // A token is ASCII. One that is not has no digest but that of nothing, under which nothing is ever kept.
        Span<byte> ascii = token.Length <= 2048 ? stackalloc byte[2048] : new byte[token.Length];
        Span<long> digest = stackalloc long[4];
        if (Ascii.FromUtf16(token, ascii, out var length) != System.Buffers.OperationStatus.Done)
            length = 0;
        SHA256.HashData(ascii[..length], System.Runtime.InteropServices.MemoryMarshal.AsBytes(digest));
        return new(digest[0], digest[1], digest[2], digest[3]);
    }

    private static (RefusalReason Reason, string Explanation) Explain(Exception? problem) => problem switch
    {
        SecurityTokenNotYetValidException => (RefusalReason.Expired, "The access token is not valid yet."),
        SecurityTokenExpiredException or SecurityTokenNoExpirationException or SecurityTokenInvalidLifetimeException => (RefusalReason.Expired, "The access token has expired; get a new one."),
        SecurityTokenInvalidAudienceException => (RefusalReason.NotForHere, "The access token was issued for another audience."),
        SecurityTokenInvalidIssuerException => (RefusalReason.NotForHere, "The access token was issued by another authorization server."),
        SecurityTokenInvalidTypeException => (RefusalReason.NotForHere, "The token is not an access token (typ at+jwt)."),
        SecurityTokenMalformedException or ArgumentException => (RefusalReason.Malformed, "The access token is not a readable signed JWT."),
        SecurityTokenException => (RefusalReason.Signature, "The access token's signature is not of this gateway's authorization server."),
        _ => (RefusalReason.Signature, "The access token could not be verified."),
    };

    /// <summary>What cannot be checked is an outage of ours, and nobody is let in meanwhile.</summary>
    private static (Requester? Requester, Fault? Fault) Unavailable(HttpContext context, string reason)
    {
        context.Response.Headers.Remove(HeaderNames.WWWAuthenticate);
        context.Response.Headers.RetryAfter = "2";
        return (null, new Fault(FaultKind.IdentificationUnavailable, reason));
    }

    /// <param name="error">RFC 6750 §3.1; null when the request carried no token at all.</param>
    private static (Requester? Requester, Fault? Fault) Refuse(HttpContext context, string? error, string reason, RefusalReason code = RefusalReason.Certificate)
    {
        context.Items[ReasonKey] = code;
        var (scheme, algorithms) = IsProofScheme(context.Request) ? (ProofScheme, $", algs=\"{string.Join(' ', DpopProofs.Algorithms)}\"") : (Scheme, "");
        context.Response.Headers[HeaderNames.WWWAuthenticate] = error is null
            ? $"{scheme}realm=\"fhir\"{algorithms}"
            : $"{scheme}realm=\"fhir\", error=\"{error}\", error_description=\"{reason}\"{algorithms}";
        return (null, new Fault(FaultKind.NotIdentified, reason));
    }
}
