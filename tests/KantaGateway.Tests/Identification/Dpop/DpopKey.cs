using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Identification.Dpop;

/// <summary>A client's key for proofs of possession, and proofs of every form with it.</summary>
sealed class DpopKey : IDisposable
{
    private readonly ECDsa? _ec;
    private readonly RSA? _rsa;

    public DpopKey(int rsaBits = 0, ECCurve? curve = null)
    {
        if (rsaBits > 0)
            _rsa = RsaKeys.Of("proofs", rsaBits);
        else
            _ec = ECDsa.Create(curve ?? ECCurve.NamedCurves.nistP256);
    }

    public string Alg => _rsa is not null ? "PS256" : "ES256";

    public JsonObject Jwk
    {
        get
        {
            if (_rsa is not null)
            {
                var rsa = _rsa.ExportParameters(false);
                return new() { ["kty"] = "RSA", ["n"] = Base64Url.EncodeToString(rsa.Modulus), ["e"] = Base64Url.EncodeToString(rsa.Exponent) };
            }
            var ec = _ec!.ExportParameters(false);
            return new() { ["kty"] = "EC", ["crv"] = _ec.KeySize == 256 ? "P-256" : "P-384", ["x"] = Base64Url.EncodeToString(ec.Q.X), ["y"] = Base64Url.EncodeToString(ec.Q.Y) };
        }
    }

    /// <summary>RFC 7638 over the required members in the order of their names.</summary>
    public string Thumbprint
    {
        get
        {
            var jwk = Jwk;
            var canonical = string.Join(',', jwk.Select(m => m.Key).Order(StringComparer.Ordinal).Select(name => $"\"{name}\":\"{(string)jwk[name]!}\""));
            return Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes("{" + canonical + "}")));
        }
    }

    public string PrivateMember => Base64Url.EncodeToString(_ec!.ExportParameters(true).D);

    /// <summary>A good proof, unless it is changed.</summary>
    public string Proof(string method, string address, DateTimeOffset now, string? nonce, string? accessToken = null, Action<JsonObject, JsonObject>? change = null)
    {
        var header = new JsonObject { ["typ"] = "dpop+jwt", ["alg"] = Alg, ["jwk"] = Jwk };
        var claims = new JsonObject { ["jti"] = Guid.NewGuid().ToString(), ["htm"] = method, ["htu"] = address, ["iat"] = now.ToUnixTimeSeconds() };
        if (nonce is not null)
            claims["nonce"] = nonce;
        if (accessToken is not null)
            claims["ath"] = Base64Url.EncodeToString(SHA256.HashData(Encoding.ASCII.GetBytes(accessToken)));
        change?.Invoke(header, claims);
        var text = Base64Url.EncodeToString(Encoding.UTF8.GetBytes(header.ToJsonString())) + "." + Base64Url.EncodeToString(Encoding.UTF8.GetBytes(claims.ToJsonString()));
        return text + "." + Base64Url.EncodeToString(Sign(Encoding.ASCII.GetBytes(text)));
    }

    public byte[] Sign(byte[] octets) => _rsa?.SignData(octets, HashAlgorithmName.SHA256, RSASignaturePadding.Pss) ?? _ec!.SignData(octets, HashAlgorithmName.SHA256);

    public void Dispose()
    {
        _ec?.Dispose();
        _rsa?.Dispose();
    }
}
