using System.Net;
using KantaGateway.Simulators;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Identification;

/// <summary>ID tokens are believed with keys that were exchanged beforehand, or that the broker has signed (Traficom 213/2023).</summary>
[Collection(SignInCollection.Name)]
public sealed class BrokerKeysTests(IdentificationWorld world) : IDisposable
{
    private const int Adult = 0;

    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-broker-keys").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Fact]
    public async Task With_pinned_keys_a_citizen_signs_in_and_the_broker_is_not_asked_for_its_keys()
    {
        var before = world.Outside.Broker!.JwksAsked;
        Assert.Equal("/", await SignInAsync(pinned: world.Outside.Broker!.SigningJwks));
        Assert.Equal(before, world.Outside.Broker!.JwksAsked);
    }

    [Fact]
    public async Task What_the_broker_signs_with_another_key_than_the_pinned_one_is_refused() =>
        Assert.Equal("/?signin=refused", await SignInAsync(pinned: world.Outside.Broker!.KeySetJwks));

    [Fact]
    public async Task With_a_signed_key_set_a_citizen_signs_in_and_the_unsigned_one_is_not_asked_for()
    {
        var before = world.Outside.Broker!.JwksAsked;
        Assert.Equal("/", await SignInAsync(signer: world.Outside.Broker!.KeySetJwks));
        Assert.Equal(before, world.Outside.Broker!.JwksAsked);
    }

    public static TheoryData<string> BadKeySets => ["foreign key", "of another issuer", "about another", "expired", "not yet valid", "of another type", "unsigned", "empty", "no JWT", "with a small key"];

    [Theory]
    [MemberData(nameof(BadKeySets))]
    public async Task A_key_set_is_not_used_that_is(string how)
    {
        var broker = world.Outside.Broker!;
        using var small = RsaKeys.Of("of nobody", 1024);
        using var foreign = RsaKeys.Of("of nobody");
        var now = DateTimeOffset.UtcNow;
        world.Outside.IssuedSignedJwks = () => how switch
        {
            "foreign key" => broker.SignedJwks(signer: new RsaSecurityKey(foreign.ExportParameters(true)) { KeyId = "ftn-key-set-1" }),
            "of another issuer" => broker.SignedJwks(claims => claims["iss"] = "https://elsewhere.example"),
            "about another" => broker.SignedJwks(claims => claims["sub"] = "https://elsewhere.example"),
            "expired" => broker.SignedJwks(claims => claims["exp"] = now.AddMinutes(-1).ToUnixTimeSeconds()),
            "not yet valid" => broker.SignedJwks(claims => claims["nbf"] = now.AddMinutes(5).ToUnixTimeSeconds()),
            "of another type" => broker.SignedJwks(type: "JWT"),
            "unsigned" => string.Join('.', broker.SignedJwks().Split('.')[..2]) + ".",
            "empty" => broker.SignedJwks(claims => claims["keys"] = Array.Empty<string>()),
            "with a small key" => broker.SignedJwks(key: new RsaSecurityKey(small) { KeyId = "small" }),
            _ => broker.SigningJwks,
        };
        try
        {
            Assert.Equal("/?signin=unavailable", await BeginAsync(signer: broker.KeySetJwks));
        }
        finally
        {
            world.Outside.IssuedSignedJwks = null;
        }
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("no JSON")]
    [InlineData("""{"keys":[]}""")]
    [InlineData("""{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA","kid":"1"}]}""")]
    public async Task A_file_without_usable_keys_stops_the_start(string pinned) =>
        await Assert.ThrowsAsync<InvalidDataException>(() => BeginAsync(pinned));

    private async Task<string> SignInAsync(string? pinned = null, string? signer = null)
    {
        await using var gateway = Build(pinned, signer, out var address);
        await gateway.StartAsync();
        return (await world.SignInAsync(new CookieContainer(), Adult, gateway: address)).PathAndQuery;
    }

    /// <returns>Where <c>/signin</c> leads to.</returns>
    private async Task<string> BeginAsync(string? pinned = null, string? signer = null)
    {
        await using var gateway = Build(pinned, signer, out var address);
        await gateway.StartAsync();
        using var http = world.Connect();
        using var response = await http.GetAsync(new Uri(address, "/signin"));
        return response.Headers.Location!.OriginalString;
    }

    private Microsoft.AspNetCore.Builder.WebApplication Build(string? pinned, string? signer, out Uri address)
    {
        address = new($"https://localhost:{IdentificationWorld.FreePort()}");
        string? Write(string name, string? text)
        {
            if (text is null)
                return null;
            File.WriteAllText(Path.Combine(_folder, name), text);
            return Path.Combine(_folder, name);
        }
        return world.BuildGateway(world.Options with
        {
            Port = address.Port, TerminatorListen = null,
            Identification = world.Options.Identification with
            {
                Citizens = world.Options.Identification.Citizens with { BrokerJwksFile = Write("pinned.json", pinned), BrokerSignedJwksKeyFile = Write("signer.json", signer) },
            },
        });
    }
}
