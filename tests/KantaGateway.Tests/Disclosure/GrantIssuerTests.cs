using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Consent;
using KantaGateway.Tests.Faults;

namespace KantaGateway.Tests.Disclosure;

/// <summary>A grant is kept for those requests, and only those, for which a new one would say the same.</summary>
public sealed class GrantIssuerTests : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly GrantIssuer _issuer;

    public GrantIssuerTests() => _issuer = new(new GrantSigner(_key, TimeProvider.System), TimeProvider.System);

    public void Dispose() => _key.Dispose();

    private string Grant(DisclosureScope scope) => _issuer.For(ConsentWorld.Requester("professional"), ConsentWorld.Person, GrantUse.Read, scope, 7);

    private static DisclosureScope Scope(string[]? types, params string[] denied) =>
        new() { Breadth = Breadth.Disclosed, Controller = "1.2.246.10.1", Types = types, Withheld = new() { ServiceEvents = denied } };

    [Fact]
    public void Equal_scopes_made_at_different_times_share_a_grant()
    {
        Assert.Equal(Grant(Scope(["Observation", "Patient"], "1.2.3")), Grant(Scope(["Observation", "Patient"], "1.2.3")));
        Assert.Equal(Grant(Scope(null)), Grant(Scope(null)));
    }

    [Fact]
    public void A_grant_is_kept_for_half_its_life_and_not_when_the_clock_was_set()
    {
        var time = new SetClock();
        var issuer = new GrantIssuer(new GrantSigner(_key, time), time);
        string Asked() => issuer.For(ConsentWorld.Requester("professional"), ConsentWorld.Person, GrantUse.Read, Scope(null), 7);
        var first = Asked();
        time.Pass(KantaGateway.Fhir.Grants.Grant.MaxLifetime / 2 - TimeSpan.FromSeconds(1));
        Assert.Equal(first, Asked());
        time.Pass(TimeSpan.FromSeconds(1));
        var second = Asked();
        Assert.NotEqual(first, second);
        // Set back, it is of a time to come; set right again, it was signed by a clock that was not.
        time.Set = TimeSpan.FromHours(-1);
        var third = Asked();
        time.Set = default;
        Assert.Equal(3, new[] { second, third, Asked() }.Distinct().Count());
    }

    [Fact]
    public async Task A_grant_to_write_names_the_host_that_writes_for_a_tenant()
    {
        var verifier = new GrantVerifier([_key], TimeProvider.System);
        var requester = ConsentWorld.Requester("professional");
        var hosted = requester with { Subscriber = new(KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000044"), "Psykoterapeutti Saari") };
        Assert.Equal("1.2.246.10.99000044", await WriterAsync(hosted, GrantUse.Write));
        Assert.Null(await WriterAsync(hosted, GrantUse.Read));
        Assert.Null(await WriterAsync(requester with { TokenId = "another" }, GrantUse.Write));

        async Task<string?> WriterAsync(Requester of, GrantUse use) => (await verifier.VerifyAsync(_issuer.For(of, ConsentWorld.Person, use, Scope(null), null))).Grant!.Writer;
    }

    [Fact]
    public void Another_type_or_denial_makes_another_grant()
    {
        DisclosureScope Filtered(string query, bool reads) => Scope(null) with { Filters = [new("Observation", [query], reads)] };
        string[] grants = [Grant(Filtered("status=final", true)), Grant(Filtered("status=final", false)), Grant(Filtered("status=amended", true)), Grant(Scope(null)), Grant(Scope([])), Grant(Scope(["Observation"])), Grant(Scope(["Patient"])), Grant(Scope(["Observation", "Patient"])), Grant(Scope(null, "1.2.3"))];
        Assert.Equal(grants.Length, grants.Distinct().Count());
    }
}
