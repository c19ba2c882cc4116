using System.Net;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Gateway.Identification;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Keys at a client's own address are asked for seldom, and are what a registered key has to be.</summary>
public sealed class ClientKeysTests : IDisposable
{
    private readonly FakeTimeProvider _clock = new(DateTimeOffset.UtcNow);
    private readonly SomeServer _server = new();
    private readonly HttpClient _http;
    private readonly ClientKeys _keys;
    private readonly RegisteredClient _client = ClientDirectory.Read("""
        [{"client_id":"a","organisation_oid":"1.2.3","organisation_name":"A","controller_kind":"private","scopes":[],
          "jwks_uri":"https://clinic.example/jwks","token_endpoint_auth_signing_alg":["ES256"]}]
        """u8, true).Find("a")!;

    public ClientKeysTests()
    {
        _http = new(_server);
        _keys = new(_http, _clock, NullLogger<ClientKeys>.Instance);
    }

    public void Dispose() => _http.Dispose();

    private sealed class SomeServer : HttpMessageHandler
    {
        public int Asked { get; private set; }
        public string Body { get; set; } = "";
        public HttpStatusCode Status { get; set; } = HttpStatusCode.OK;

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Asked++;
            return Task.FromResult(new HttpResponseMessage(Status) { Content = new ByteArrayContent(Encoding.UTF8.GetBytes(Body)) });
        }
    }

    private static string Set(params string[] keys) => $$"""{"keys":[{{string.Join(',', keys)}}]}""";

    private static string Key(string kid, bool isPrivate = false, string curve = "P-256", string more = "")
    {
        using var ec = ECDsa.Create(curve == "P-256" ? ECCurve.NamedCurves.nistP256 : ECCurve.NamedCurves.nistP384);
        var p = ec.ExportParameters(true);
        return $$"""{"kty":"EC","crv":"{{curve}}","kid":"{{kid}}","x":"{{Base64UrlEncoder.Encode(p.Q.X)}}","y":"{{Base64UrlEncoder.Encode(p.Q.Y)}}"{{(isPrivate ? $",\"d\":\"{Base64UrlEncoder.Encode(p.D)}\"" : "")}}{{more}}}""";
    }

    private async Task<string?> KidsAsync(string kid) => await _keys.OfAsync(_client, kid) is { } keys ? string.Join(' ', keys.Select(key => key.Kid)) : null;

    [Fact]
    public async Task A_set_is_kept_for_five_minutes()
    {
        _server.Body = Set(Key("1"));
        Assert.Equal("1", await KidsAsync("1"));
        _clock.Advance(TimeSpan.FromMinutes(4));
        Assert.Equal("1", await KidsAsync("1"));
        Assert.Equal(1, _server.Asked);
        _server.Body = Set(Key("2"));
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("2", await KidsAsync("1"));
        Assert.Equal(2, _server.Asked);
    }

    [Fact]
    public async Task A_key_that_the_set_does_not_name_makes_it_be_asked_for_once_a_minute()
    {
        _server.Body = Set(Key("1"));
        Assert.Equal("1", await KidsAsync("1"));
        _server.Body = Set(Key("1"), Key("2"));
        for (var i = 0; i < 5; i++)
            Assert.Equal("1", await KidsAsync("2"));
        Assert.Equal(1, _server.Asked);
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal("1 2", await KidsAsync("2"));
        Assert.Equal(2, _server.Asked);
    }

    [Fact]
    public async Task While_the_address_is_silent_the_last_set_is_used_for_an_hour()
    {
        _server.Body = Set(Key("1"));
        Assert.Equal("1", await KidsAsync("1"));
        _server.Status = HttpStatusCode.BadGateway;
        _clock.Advance(TimeSpan.FromMinutes(59));
        Assert.Equal("1", await KidsAsync("1"));
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Null(await KidsAsync("1"));
    }

    public static TheoryData<string, HttpStatusCode> Unusable => new()
    {
        { Set(Key("1")), HttpStatusCode.Found }, { Set(Key("1")), HttpStatusCode.InternalServerError },
        { "keys", HttpStatusCode.OK }, { "[]", HttpStatusCode.OK }, { """{"keys":{}}""", HttpStatusCode.OK }, { """{"keys":[],"keys":[]}""", HttpStatusCode.OK }, { """{"keys":[],"\ud800":1}""", HttpStatusCode.OK },
        { Set(Key("1"), Key("2", isPrivate: true)), HttpStatusCode.OK },
        { Set(Key("1")) + new string(' ', 64 * 1024), HttpStatusCode.OK },
    };

    [Theory, MemberData(nameof(Unusable))]
    public async Task A_set_that_cannot_be_used_is_no_set(string body, HttpStatusCode status)
    {
        (_server.Body, _server.Status) = (body, status);
        Assert.Null(await KidsAsync("1"));
        Assert.Null(await KidsAsync("1"));
        Assert.Equal(1, _server.Asked);
    }

    [Fact]
    public async Task Keys_for_something_else_are_passed_over()
    {
        _server.Body = Set(Key("1"), Key("2", curve: "P-384"), Key(""), "1", """{"kty":"oct","k":"AAAA","kid":"3"}""", Key("4", more: ",\"use\":\"enc\""), Key("5", more: ",\"alg\":\"ES384\""), Key("6", more: ",\"alg\":\"ES256\",\"use\":\"sig\""));
        Assert.Equal("1 6", await KidsAsync("1"));
    }

    [Fact]
    public async Task Keys_that_are_registered_are_not_asked_for()
    {
        var client = ClientDirectory.Read(Encoding.UTF8.GetBytes($$"""
            [{"client_id":"a","organisation_oid":"1.2.3","organisation_name":"A","controller_kind":"private","scopes":[],"jwks":{{Set(Key("1"))}},"token_endpoint_auth_signing_alg":["ES256"]}]
            """), true).Find("a")!;
        Assert.Equal("1", Assert.Single((await _keys.OfAsync(client, "unknown"))!).Kid);
        Assert.Equal(0, _server.Asked);
    }
}
