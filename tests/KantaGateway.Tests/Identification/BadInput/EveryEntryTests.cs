using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Identification.BadInput;

/// <summary>
/// Every kind of bad token at every entry: the RFC's error, a plain sentence that says what to change, nothing of the token in the log, and nobody asked at an
/// address that stands in it.
/// </summary>
public sealed class EveryEntryTests(Entries entries) : IClassFixture<Entries>
{
    private const string Nobody = "invalid_client", Request = "invalid_request", Token = "invalid_token", Proof = "invalid_dpop_proof";

    /// <summary>What each entry answers, whatever the kind.</summary>
    private static readonly Dictionary<string, (int Status, string Error, string Name)> Entries = new()
    {
        ["client assertion at the token endpoint"] = (401, Nobody, "The client assertion"),
        ["client assertion at the push"] = (401, Nobody, "The client assertion"),
        ["client assertion at introspection"] = (401, Nobody, "The client assertion"),
        ["client assertion at revocation"] = (401, Nobody, "The client assertion"),
        ["subject token"] = (400, Request, "The subject_token"),
        ["card token"] = (400, Request, "The subject_token"),
        ["access token as Bearer"] = (401, Token, "The "),
        ["access token as DPoP"] = (401, Token, "The "),
        ["proof at the token endpoint"] = (400, Proof, "The DPoP proof"),
        ["proof at the push"] = (400, Proof, "The DPoP proof"),
        ["proof on a FHIR request"] = (401, Proof, "The DPoP proof"),
        ["ID token of the broker"] = (302, "refused", "The "),
        ["logout token of the broker"] = (400, Request, "The logout token is refused."),
        ["request object at the push"] = (400, "request_not_supported", "request is not supported"),
    };

    private const string Unsigned = "is not signed", Form = "is not a readable signed JWT", Members = "that are no JSON object with each member once", Types = "has an iss, sub or jti that is not a string",
        Dates = "date", Signature = "signature";

    /// <summary>What is wrong, and the part of a sentence that says so. Where an entry says it by another, that stands behind the entry's first letters.</summary>
    private static readonly Dictionary<string, (string Says, (string Entry, string Says)[] Others)> Kinds = new()
    {
        ["no token"] = (Form, []),
        ["three parts of nothing"] = (Form, []),
        ["a header that is no JSON"] = (Members, []),
        ["claims that are no JSON"] = (Members, []),
        ["claims that are a list"] = (Form, []),
        ["claims that are no UTF-8"] = (Form, []),
        ["half a surrogate pair"] = (Form, []),
        ["a hundred levels"] = (Members, []),
        ["oversized"] = ("longer than", [("access", "too long to be one of this gateway's")]),
        ["expired"] = ("has expired", [("proof", "not valid at this time (nbf, exp)")]),
        ["not valid yet"] = ("dated in the future", [("subject", "is not valid yet"), ("access", "is not valid yet"), ("proof", "not valid at this time (nbf, exp)")]),
        ["an end that is no time"] = ("more than five minutes ahead", [("proof", "not valid at this time (nbf, exp)")]),
        ["another type"] = ("typ must be JWT", [("access", "is not an access token (typ at+jwt)"), ("proof", "typ must be dpop+jwt"), ("logout", "typ must be logout+jwt")]),
        ["another key"] = (Signature, []),
        ["another curve"] = ("must be signed with", [("subject", Signature), ("access", Signature)]),
        ["a shared secret"] = ("must be signed with", [("subject", Signature), ("access", Signature)]),
        ["an algorithm that is none"] = ("must be signed with", [("subject", Signature), ("access", Signature)]),
        ["a changed claim"] = (Signature, []),
        ["unsigned, and says so"] = (Unsigned, []),
        ["its signature cut off"] = (Unsigned, []),
        ["a token within a token"] = ("has cty in its header; a token within a token is not taken", []),
        ["a token in the place of claims"] = (Members, []),
        ["encrypted where it is only signed, or only signed where it is encrypted"] = (Form, []),
        ["a claim twice"] = (Members, []),
        ["a header member twice"] = (Members, []),
        ["the same claim in other letters"] = (Members, []),
        ["what nobody here understands"] = ("has crit, b64 or zip in its header", []),
        ["compressed"] = ("has crit, b64 or zip in its header", []),
        ["no algorithm"] = ("has a header without alg", []),
        ["an issuer that is null"] = (Types, []),
        ["an audience of null"] = (Types, []),
        ["an end that is null"] = (Types, []),
        ["an id that is a number"] = (Types, []),
        ["a type that is null"] = ("has a typ or kid in its header that is not a string", []),
    };

    private static readonly Dictionary<string, string> Own = new()
    {
        // People are told how it ended; the log has a sentence, and the broker's engineer the standard.
        ["ID token of the broker"] = "The ID token",
        ["logout token of the broker"] = "It is not encrypted, signed, issued and dated as the ID tokens of the broker are.",
        ["request object at the push"] = "the parameters are pushed",
    };

    /// <summary>Where a kind is none at an entry: ID tokens may be of any type, and whoever issues tokens says how long they last, unless it is a client itself.</summary>
    private static bool Exists(string entry, string kind) => (entry, kind) switch
    {
        ("ID token of the broker", "another type") => false,
        ("subject token" or "access token as Bearer" or "access token as DPoP" or "ID token of the broker" or "logout token of the broker", "an end that is no time") => false,
        _ => true,
    };

    public static TheoryData<string, string, int, string, string> Table()
    {
        var table = new TheoryData<string, string, int, string, string>();
        foreach (var (entry, (status, error, _)) in Entries)
            foreach (var (kind, (says, others)) in Kinds)
                if (Exists(entry, kind))
                    table.Add(entry, kind, status, error, others.FirstOrDefault(other => entry.StartsWith(other.Entry, StringComparison.Ordinal)) is { Says: { } other } ? other : Own.GetValueOrDefault(entry) ?? says);
        return table;
    }

    public static TheoryData<string> Good() => [.. Entries.Keys.Where(entry => !entry.StartsWith("request object", StringComparison.Ordinal))];

    /// <summary>Else the table would prove nothing: with the addresses that nobody is to ask, and otherwise as it has to be.</summary>
    [Theory, MemberData(nameof(Good))]
    public async Task A_good_one_is_taken_at(string entry)
    {
        using var elsewhere = new Elsewhere();
        var way = entries.All[entry];
        var header = elsewhere.In(way.Header);
        var token = Jws.Make(header.ToJsonString(), (await way.Claims()).ToJsonString(), way.Sign);
        // The header of an access token is known when one has been issued.
        if (entry.StartsWith("access", StringComparison.Ordinal))
            token = Jws.Make(elsewhere.In(way.Header).ToJsonString(), (await way.Claims()).ToJsonString(), way.Sign);
        var answer = await way.SendAsync(way.Wrap?.Invoke(token) ?? token);
        Assert.Null(answer.Error);
        Assert.True(answer.Status is 200 or 201 or 302, answer.ToString());
        Assert.False(elsewhere.WasAsked);
    }

    [Theory, MemberData(nameof(Table))]
    public async Task Refused_at(string entry, string kind, int status, string error, string says)
    {
        using var elsewhere = new Elsewhere();
        var way = entries.All[entry];
        var claims = await way.Claims();
        // What comes in headers is cut off by the server at 32 kB already.
        var token = Make(kind, elsewhere.In(way.Header), claims, way, entry.StartsWith("access", StringComparison.Ordinal) || entry.StartsWith("proof", StringComparison.Ordinal) ? 9_000 : 26_000);
        var logged = entries.World.Logs.Length;
        var answer = await way.SendAsync(token);

        Assert.Equal((status, error), (answer.Status, answer.Error));
        Assert.Contains(says, answer.Sentence);
        Assert.StartsWith(Entries[entry].Name, answer.Sentence);
        Assert.EndsWith(".", answer.Sentence);
        var log = entries.World.Logs.Since(logged);
        foreach (var part in token.Split('.').Where(part => part.Length > 16))
        {
            Assert.DoesNotContain(part, log);
            Assert.DoesNotContain(part, answer.Sentence);
        }
        Assert.False(elsewhere.WasAsked);
    }

    private static string Make(string kind, JsonObject header, JsonObject claims, Entry way, int large)
    {
        var now = DateTimeOffset.UtcNow;
        var sign = way.Sign;
        string? token = null;
        var (headText, claimText) = ((string?)null, (string?)null);
        switch (kind)
        {
            case "no token": return "nonsense";
            case "three parts of nothing": token = ".."; break;
            case "a header that is no JSON": headText = "{\"alg\":"; break;
            case "claims that are no JSON": claimText = "{\"iss\":"; break;
            case "claims that are a list": claimText = "[" + claims.ToJsonString() + "]"; break;
            case "claims that are no UTF-8": token = Jws.Make(header.ToJsonString(), [.. "{\"iss\":\""u8, 0xFF, .. "\"}"u8], sign); break;
            case "half a surrogate pair": claimText = claims.ToJsonString()[..^1] + ""","other":"\ud800"}"""; break;
            case "a hundred levels": claimText = claims.ToJsonString()[..^1] + ",\"other\":" + new string('[', 100) + new string(']', 100) + "}"; break;
            case "oversized": claims["other"] = new string('a', large); break;
            case "expired": (claims["iat"], claims["exp"]) = (now.AddSeconds(-50).ToUnixTimeSeconds(), now.AddSeconds(-40).ToUnixTimeSeconds()); break;
            case "not valid yet": (claims["nbf"], claims["exp"]) = (now.AddMinutes(2).ToUnixTimeSeconds(), now.AddMinutes(4).ToUnixTimeSeconds()); break;
            case "an end that is no time": claimText = With(claims, "exp", "99999999999999999"); break;
            case "another type": header["typ"] = "other+jwt"; break;
            case "another key": sign = AnotherOf((string)header["alg"]!); break;
            case "another curve":
                header["alg"] = "ES512";
                using (var key = ECDsa.Create(ECCurve.NamedCurves.nistP521))
                    token = Jws.Make(header.ToJsonString(), claims.ToJsonString(), octets => key.SignData(octets, HashAlgorithmName.SHA512));
                break;
            case "a shared secret": header["alg"] = "HS256"; sign = static octets => HMACSHA256.HashData(new byte[32], octets); break;
            case "an algorithm that is none": header["alg"] = "none"; break;
            case "a changed claim":
                var parts = Jws.Make(header.ToJsonString(), claims.ToJsonString(), sign).Split('.');
                claims["other"] = "1";
                token = $"{parts[0]}.{Base64Url.EncodeToString(Encoding.UTF8.GetBytes(claims.ToJsonString()))}.{parts[2]}";
                break;
            case "unsigned, and says so": header["alg"] = "none"; sign = static _ => []; break;
            case "its signature cut off": sign = static _ => []; break;
            case "a token within a token": header["cty"] = "JWT"; break;
            case "a token in the place of claims": claimText = Jws.Make(header.ToJsonString(), claims.ToJsonString(), sign); break;
            case "encrypted where it is only signed, or only signed where it is encrypted":
                var signed = Jws.Make(header.ToJsonString(), claims.ToJsonString(), sign);
                return way.Wrap is not null ? signed : $"{Base64Url.EncodeToString("""{"alg":"RSA-OAEP","enc":"A128CBC-HS256","cty":"JWT"}"""u8)}.{signed.Split('.')[2]}.AAAAAAAAAAAAAAAAAAAAAA.{signed.Split('.')[1]}.AAAAAAAAAAAAAAAAAAAAAA";
            case "a claim twice": claimText = claims.ToJsonString()[..^1] + ",\"jti\":\"another\"}"; break;
            case "a header member twice": headText = header.ToJsonString()[..^1] + ",\"alg\":\"none\"}"; break;
            case "the same claim in other letters": claimText = claims.ToJsonString()[..^1] + ",\"\\u006ati\":\"another\"}"; break;
            case "what nobody here understands": header["crit"] = new JsonArray("exp"); break;
            case "compressed": header["zip"] = "DEF"; break;
            case "no algorithm": header.Remove("alg"); break;
            case "an issuer that is null": claimText = With(claims, "iss", "null"); break;
            case "an audience of null": claimText = With(claims, "aud", "[null]"); break;
            case "an end that is null": claimText = With(claims, "exp", "null"); break;
            case "an id that is a number": claimText = With(claims, "jti", "7"); break;
            case "a type that is null": headText = With(header, "typ", "null"); break;
            default: throw new ArgumentOutOfRangeException(nameof(kind), kind, null);
        }
        token ??= Jws.Make(headText ?? header.ToJsonString(), claimText ?? claims.ToJsonString(), sign);
        return way.Wrap?.Invoke(token) ?? token;
    }

    private static string With(JsonObject members, string name, string value)
    {
        members.Remove(name);
        return members.Count == 0 ? $"{{\"{name}\":{value}}}" : $"{members.ToJsonString()[..^1]},\"{name}\":{value}}}";
    }

    private static Func<byte[], byte[]> AnotherOf(string algorithm) => octets =>
    {
        var hash = algorithm.EndsWith("384", StringComparison.Ordinal) ? HashAlgorithmName.SHA384 : HashAlgorithmName.SHA256;
        if (algorithm.StartsWith("ES", StringComparison.Ordinal))
        {
            using var ec = ECDsa.Create(algorithm == "ES384" ? ECCurve.NamedCurves.nistP384 : ECCurve.NamedCurves.nistP256);
            return ec.SignData(octets, hash);
        }
        using var rsa = RsaKeys.Of("of nobody");
        return rsa.SignData(octets, hash, RSASignaturePadding.Pkcs1);
    };

    /// <summary>Where a token says that its key is to be had.</summary>
    private sealed class Elsewhere : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

        public Elsewhere() => _listener.Start();

        public bool WasAsked => _listener.Pending();

        public JsonObject In(Func<JsonObject> header)
        {
            var with = header();
            var place = $"https://localhost:{((IPEndPoint)_listener.LocalEndpoint).Port}/keys";
            (with["jku"], with["x5u"]) = (place, place);
            return with;
        }

        public void Dispose() => _listener.Dispose();
    }
}
