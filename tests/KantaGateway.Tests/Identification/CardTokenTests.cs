using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>Professionals who sign in with their cards.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class CardTokenTests(IdentificationWorld world) : IAsyncLifetime
{
    private readonly DevelopmentAuthority _authority = DevelopmentAuthority.Create("Cards", below: 1);
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-cards").FullName;
    private RevocationResponder _responder = null!;
    private WebApplication _outside = null!, _gateway = null!;
    private Uri _address = null!;
    private IssuedCertificate _card = null!;

    public async Task InitializeAsync()
    {
        _card = _authority.IssueCard("90001", "Lasse", "Lääkäri");
        _responder = new(_authority, world.Clock, "/cards");
        var outside = IdentificationWorld.FreePort();
        _outside = SimulatorHost.Build(world.Outside with { Port = outside, Revocation = _responder, Register = null, Tenants = [] }, builder => builder.Logging.ClearProviders());
        var authorities = Path.Combine(_folder, "cards.pem");
        File.WriteAllText(authorities, _authority.CertificatePem);
        _address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        _gateway = world.BuildGateway(world.Options with
        {
            Port = _address.Port, TerminatorListen = null,
            Identification = world.Options.Identification with
            {
                ProfessionalCards = new CardOptions
                {
                    AuthorityFile = authorities,
                    RevocationSources = [new RevocationSource { Authority = _authority.Fingerprint, CrlAddress = $"https://localhost:{outside}{_responder.ListPath}", TimeoutSeconds = 2 }],
                },
            },
        });
        await Task.WhenAll(_outside.StartAsync(), _gateway.StartAsync());
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        await _outside.DisposeAsync();
        _authority.Dispose();
        Directory.Delete(_folder, true);
    }

    [Fact]
    public async Task A_card_identifies_the_professional_and_the_register_the_profession()
    {
        var (status, body) = await ExchangeAsync(Sign(_card));
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.InRange(body.GetProperty("expires_in").GetInt32(), 1, 300);
        var (_, who, _) = await world.WhoAmIAsync(body.GetProperty("access_token").GetString(), world.Aurora.Certificate);
        Assert.Equal("Professional", who.GetProperty("kind").GetString());
        Assert.Equal("90001", who.GetProperty("professionalId").GetString());
        Assert.Equal("Lasse Lääkäri", who.GetProperty("professionalName").GetString());
        Assert.Equal("laakari", who.GetProperty("profession").GetString());
        Assert.Equal(CardTokens.Acr, who.GetProperty("acr").GetString());
    }

    [Fact]
    public async Task A_card_whose_bearer_has_no_right_gives_no_token() =>
        await RejectsAsync(Sign(_authority.IssueCard("90009", "Pekka", "Puoskari"), claims => claims["iss"] = claims["sub"] = "90009"), "no valid right");

    [Fact]
    public async Task A_token_is_good_once()
    {
        var token = Sign(_card);
        Assert.Equal(HttpStatusCode.OK, (await ExchangeAsync(token)).Status);
        await RejectsAsync(token, "used before");
    }

    [Fact]
    public async Task Neither_an_outage_of_the_register_nor_its_refusal_uses_up_a_token()
    {
        var token = Sign(_card);
        world.Register.Fault = RegisterFault.Error;
        try
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await ExchangeAsync(token)).Status);
            world.Register.Restore();
            world.Register.Change("90001", null);
            world.Clock.Ahead += TimeSpan.FromSeconds(2);
            await RejectsAsync(token, "no valid right");
        }
        finally
        {
            world.Register.Restore();
            world.Clock.Ahead += TimeSpan.FromSeconds(61);
        }
        Assert.Equal(HttpStatusCode.OK, (await ExchangeAsync(token)).Status);
        await RejectsAsync(token, "used before");
    }

    [Theory]
    [InlineData("1.3.6.1.5.5.7.3.2", true)]
    [InlineData(null, true)]
    // RFC 5280 §4.2.1.12: who says "any" may be asked to name it.
    [InlineData("2.5.29.37.0", false)]
    [InlineData("1.3.6.1.5.5.7.3.4", false)]
    [InlineData("1.3.6.1.5.5.7.3.1", false)]
    public async Task A_card_that_says_what_it_is_for_must_be_for_signing_in(string? purpose, bool isGood)
    {
        var token = Sign(_authority.IssueCard("90001", "Lasse", "Lääkäri", purpose: purpose));
        if (isGood)
            Assert.Equal(HttpStatusCode.OK, (await ExchangeAsync(token)).Status);
        else
            await RejectsAsync(token, "extended key usage");
    }

    [Fact]
    public async Task A_token_for_one_clinics_system_is_no_use_to_another() =>
        await RejectsAsync(Sign(_card), "client_id must be the client", world.Revontuli);

    /// <summary>Else a host could use at one tenant what a professional has signed for another.</summary>
    [Fact]
    public Task A_token_for_a_host_of_several_names_for_which_of_them_it_is() => world.WithClientsAsync(it => it.ClientId != world.Aurora.ClientId ? it : it with
    {
        ServiceRequesters =
        [
            .. new[] { world.Aurora.Organisation, "1.2.246.10.90000044" }.Select(oid => new Gateway.Identification.ServiceRequester { OrganisationOid = oid, OrganisationName = "Vuokralainen", ControllerKind = Gateway.Identification.ControllerKind.Private }),
        ],
    }, async () =>
    {
        async Task<(HttpStatusCode, string)> AskAsync(string? signedFor)
        {
            var (status, body) = await ExchangeAsync(Sign(_card, claims => claims["organisation"] = signedFor), requester: "1.2.246.10.90000044");
            return (status, body.TryGetProperty("error_description", out var description) ? description.GetString()! : "");
        }
        Assert.Equal((HttpStatusCode.BadRequest, "The subject_token's organisation must be the OID of the organisation that the token is asked for."), await AskAsync(null));
        Assert.Equal(HttpStatusCode.BadRequest, (await AskAsync(world.Aurora.Organisation)).Item1);
        Assert.Equal((HttpStatusCode.OK, ""), await AskAsync("1.2.246.10.90000044"));
    });

    public static TheoryData<string, object?, string> BadClaims() => new()
    {
        { "sub", "90002", "iss and sub must both be the number" },
        { "iss", "90002", "iss and sub must both be the number" },
        { "aud", "https://elsewhere.example", "aud must be" },
        { "aud", new[] { "https://localhost", "https://elsewhere.example" }, "aud must be" },
        { "aud", null, "aud must be" },
        { "client_id", "revontuli-system", "client_id must be the client" },
        { "client_id", null, "client_id must be the client" },
        { "organisation", "1.2.246.10.90000002", "organisation must be the OID" },
        { "exp", -1, "has expired" },
        { "exp", 400, "more than five minutes" },
        { "exp", null, "needs exp and iat" },
        { "iat", null, "needs exp and iat" },
        { "iat", 60, "dated in the future" },
        { "nbf", 60, "dated in the future" },
        { "jti", null, "needs a jti" },
        { "jti", "", "needs a jti" },
    };

    [Theory, MemberData(nameof(BadClaims))]
    public async Task Rejects_a_token_whose(string claim, object? value, string reason) => await RejectsAsync(Sign(_card, claims =>
        claims[claim] = value is int seconds ? (DateTimeOffset.UtcNow + world.Clock.Ahead).AddSeconds(seconds).ToUnixTimeSeconds() : value), reason);

    [Fact]
    public async Task Rejects_certificates_that_prove_nothing_here()
    {
        using var foreign = DevelopmentAuthority.Create("Cards");
        using var between = _authority.IssueAuthority("Not configured");
        await RejectsAsync(Sign(foreign.IssueCard("90001", "Lasse", "Lääkäri")), "not issued by an authority of professional cards");
        // What is sent along is not used.
        await RejectsAsync(Sign(between.IssueCard("90001", "Lasse", "Lääkäri")), "not issued by an authority of professional cards");
        await RejectsAsync(Sign(_authority.IssueCard("90001", "Lasse", "Lääkäri", to: DateTimeOffset.UtcNow.AddMinutes(-1))), "has expired");
        await RejectsAsync(Sign(_authority.IssueCard("90001", "Lasse", "Lääkäri", from: DateTimeOffset.UtcNow.AddDays(2))), "not valid yet");
        await RejectsAsync(Sign(_authority.IssueCard("90001", "Lasse", "Lääkäri", usage: X509KeyUsageFlags.NonRepudiation)), "key usage digitalSignature");
        await RejectsAsync(Sign(_authority.IssueCard(null, "Lasse", "Lääkäri")), "names no professional");
        await RejectsAsync(Sign(world.Aurora.Certificate), "not issued by an authority of professional cards");
    }

    [Fact]
    public async Task Rejects_what_another_key_or_nobody_has_signed()
    {
        await RejectsAsync(Sign(_card, signWith: _authority.IssueCard("90001", "Lasse", "Lääkäri")), "signature does not verify");
        var parts = Sign(_card).Split('.');
        await RejectsAsync($"{parts[0]}.{parts[1]}.", "is not signed");
        await RejectsAsync($"{parts[0]}.{Base64UrlEncoder.Encode(Base64UrlEncoder.Decode(parts[1]).Replace("90001", "90002", StringComparison.Ordinal))}.{parts[2]}", "signature does not verify");
        await RejectsAsync(Sign(_card, type: "at+jwt"), "typ must be JWT");
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("[\"bm9uc2Vuc2U=\"]")]
    [InlineData("[\"not base64\"]")]
    [InlineData("[1]")]
    [InlineData("[\"\",\"\",\"\",\"\",\"\",\"\"]")]
    public async Task Rejects_a_chain_that_is_none(string chain)
    {
        var parts = Sign(_card).Split('.');
        var header = Base64UrlEncoder.Encode($$"""{"alg":"ES256","typ":"JWT","x5c":{{chain}}}""");
        await RejectsAsync($"{header}.{parts[1]}.{parts[2]}", "x5c must hold");
    }

    [Theory]
    [InlineData("ES384")]
    [InlineData("HS256")]
    [InlineData("none")]
    [InlineData("RS256")]
    public async Task Rejects_an_algorithm_that_is_not_the_keys(string algorithm)
    {
        var parts = Sign(_card).Split('.');
        var header = Base64UrlEncoder.Decode(parts[0]).Replace("ES256", algorithm, StringComparison.Ordinal);
        await RejectsAsync($"{Base64UrlEncoder.Encode(header)}.{parts[1]}.{parts[2]}", "must be signed with ES256");
    }

    [Fact]
    public async Task A_revoked_card_is_refused()
    {
        _responder.Revoke(_card);
        await RejectsAsync(Sign(_card), "has been revoked");
    }

    [Theory]
    [InlineData(RevocationMisbehaviour.ServerError)]
    [InlineData(RevocationMisbehaviour.Expired)]
    [InlineData(RevocationMisbehaviour.ForeignSignature)]
    public async Task An_authority_that_cannot_be_asked_is_an_outage_and_nobody_is_let_in(RevocationMisbehaviour misbehaviour)
    {
        _responder.ListMisbehaviour = misbehaviour;
        var (status, body) = await ExchangeAsync(Sign(_card));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
        Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());
    }

    [Fact]
    public async Task A_gateway_that_takes_no_cards_does_not_look_at_them()
    {
        var (status, body) = await world.PostTokenAsync(world.TokenExchange(world.Aurora, Sign(_card)), world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Contains("not an identity provider that this gateway knows", body.GetProperty("error_description").GetString());
    }

    private string Sign(IssuedCertificate card, Action<Dictionary<string, object?>>? change = null, IssuedCertificate? signWith = null, string type = "JWT")
    {
        var now = DateTimeOffset.UtcNow + world.Clock.Ahead;
        var claims = new Dictionary<string, object?>
        {
            ["iss"] = "90001", ["sub"] = "90001", ["aud"] = world.TokenUrl, ["client_id"] = world.Aurora.ClientId, ["jti"] = Guid.NewGuid().ToString(),
            ["iat"] = now.ToUnixTimeSeconds(), ["exp"] = now.AddMinutes(4).ToUnixTimeSeconds(),
        };
        change?.Invoke(claims);
        using var certificate = X509Certificate2.CreateFromPem(card.ChainPem);
        var key = ECDsa.Create();
        key.ImportFromPem((signWith ?? card).KeyPem);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Claims = claims.Where(c => c.Value is not null).ToDictionary(c => c.Key, c => c.Value!),
            SigningCredentials = new(new ECDsaSecurityKey(key), "ES256"),
            TokenType = type,
            AdditionalHeaderClaims = new Dictionary<string, object> { ["x5c"] = new[] { Convert.ToBase64String(certificate.RawData) } },
        });
    }

    private async Task<(HttpStatusCode Status, JsonElement Body)> ExchangeAsync(string token, SomeClinic? clinic = null, string? requester = null)
    {
        clinic ??= world.Aurora;
        using var http = world.Connect(clinic.Certificate);
        var form = world.TokenExchange(clinic, token);
        if (requester is not null)
            form["service_requester"] = requester;
        using var response = await http.PostAsync(new Uri(_address, "/connect/token"), new FormUrlEncodedContent(form));
        return (response.StatusCode, JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement);
    }

    private async Task RejectsAsync(string token, string reason, SomeClinic? clinic = null)
    {
        var (status, body) = await ExchangeAsync(token, clinic);
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
        Assert.Equal(HttpStatusCode.BadRequest, status);
        Assert.Equal("invalid_request", body.GetProperty("error").GetString());
    }
}
