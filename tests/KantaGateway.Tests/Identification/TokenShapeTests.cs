using System.Text;
using KantaGateway.Gateway.Identification;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Every signed token from outside has one form, wherever it comes in (RFC 7515, RFC 7519).</summary>
public class TokenShapeTests
{
    private const string Header = """{"alg":"ES256","typ":"JWT","kid":"1"}""";
    private const string Claims = """{"iss":"a","sub":"a"}""";

    [Fact]
    public void A_signed_token_in_compact_form_is_read()
    {
        var token = TokenShape.Read(Token(Header, Claims), 1_000, out var problem);
        Assert.Equal(("a", "1", ""), (token?.Issuer, token?.Kid, problem));
    }

    public static TheoryData<string, string> Misshapen() => new()
    {
        { "", "readable" },
        { "a", "readable" },
        { "..", "readable" },
        { "a.b.c", "readable" },
        { Token(Header, Claims) + ".x", "readable" },
        { Token(Header, Claims) + "=", "readable" },
        { Token(Header, Claims) + "\n", "readable" },
        { " " + Token(Header, Claims), "readable" },
        { Token(Header, Claims).Replace('.', '+'), "readable" },
        // Five parts: it is encrypted, and was not asked for so.
        { Token(Header, Claims) + ".eA.eA", "readable" },
        { $"{Encode(Header)}.{Encode(Claims)}.", "not signed" },
        { Token("""{"typ":"JWT"}""", Claims), "without alg" },
        { Token("""{"alg":null}""", Claims), "without alg" },
        { Token("""{"alg":["ES256"]}""", Claims), "without alg" },
        { Token("""{"alg":"none","alg":"ES256"}""", Claims), "each member once" },
        { Token(Header, """{"sub":"a","iss":"a","sub":"b"}"""), "each member once" },
        { Token(Header, """{"cnf":{"x":"1","x":"2"}}"""), "each member once" },
        // The same name in other letters of JSON.
        { Token(Header, """{"sub":"a","\u0073ub":"b"}"""), "each member once" },
        { Token(Header, """{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}"""), "8 levels" },
        { Token(Header, """{"sub":"a"} x"""), "JSON object" },
        { Token(Header, """{"sub":"a",}"""), "JSON object" },
        { Token(Header, "[]"), "readable" },
        { Token("\"x\"", Claims), "readable" },
        { Token("""{"alg":"ES256","crit":["exp"]}""", Claims), "crit" },
        { Token("""{"alg":"ES256","b64":false}""", Claims), "crit" },
        { Token("""{"alg":"ES256","zip":"DEF"}""", Claims), "crit" },
        { Token("""{"alg":"ES256","cty":"JWT"}""", Claims), "within a token" },
        { Token(Header, $$"""{"sub":"{{new string('a', 1_000)}}"}"""), "longer than 1000" },
        { Token("""{"alg":"ES256","typ":null}""", Claims), "not a string" },
        { Token("""{"alg":"ES256","kid":1}""", Claims), "not a string" },
        { Token(Header, """{"iss":null}"""), "not a string" },
        { Token(Header, """{"sub":["a"]}"""), "not a string" },
        { Token(Header, """{"jti":1}"""), "not a string" },
        { Token(Header, """{"aud":null}"""), "neither a string nor a list" },
        { Token(Header, """{"aud":["a",null]}"""), "neither a string nor a list" },
        { Token(Header, """{"exp":null}"""), "not a number" },
        { Token(Header, """{"nbf":"1"}"""), "not a number" },
        { Token(Header, """{"iat":{}}"""), "not a number" },
        // Half of a pair, in a name, a value, and where nobody looks.
        { Token(Header, """{"iss":"\ud800"}"""), "readable" },
        { Token(Header, """{"\udc00":1}"""), "readable" },
        { Token("""{"alg":"ES256","jwk":{"x":["\ud800"]}}""", Claims), "readable" },
    };

    [Theory]
    [MemberData(nameof(Misshapen))]
    public void What_has_another_form_is_refused_with_what_to_change(string text, string reason)
    {
        Assert.Null(TokenShape.Read(text, 1_000, out var problem));
        Assert.Contains(reason, problem);
    }

    [Fact]
    public void Octets_that_are_no_UTF_8_are_no_JSON() =>
        Assert.Null(TokenShape.Read($"{Encode(Header)}.{Base64UrlEncoder.Encode([.. "{\"sub\":\""u8, 0xFF, .. "\"}"u8])}.eA", 1_000, out _));

    private static string Token(string header, string claims) => $"{Encode(header)}.{Encode(claims)}.c2ln";

    private static string Encode(string json) => Base64UrlEncoder.Encode(Encoding.UTF8.GetBytes(json));
}
