using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Gateway.Identification;
using KantaGateway.Simulators;
using Microsoft.IdentityModel.Tokens;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification;

/// <summary>A client authenticates as it is registered, and speaks for whom it is registered.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class RegistrationTests(IdentificationWorld world)
{
    private const string Tenant = "1.2.246.10.90000077", OtherTenant = "1.2.246.10.90000078";

    /// <summary>Aurora with a key of another kind.</summary>
    private SomeClinic With(string algorithm, string kid = "other-1") => new("aurora", world.Aurora.Organisation, algorithm switch
    {
        "ES256" => new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP256)) { KeyId = kid },
        "ES384" => new ECDsaSecurityKey(ECDsa.Create(ECCurve.NamedCurves.nistP384)) { KeyId = kid },
        _ => new RsaSecurityKey(RsaKeys.Of(kid)) { KeyId = kid },
    }, algorithm, world.Aurora.Certificate);

    private static RegisteredKeys Keys(params SomeClinic[] clinics) => new() { Keys = [.. clinics.Select(clinic => JsonDocument.Parse(clinic.PublicJwk).RootElement)] };

    private Task WithAsync(Func<ClientRegistration, ClientRegistration> change, Func<Task> act) =>
        world.WithClientsAsync(client => client.ClientId == world.Aurora.ClientId ? change(client) : client, act);

    private async Task AcceptsAsync(Dictionary<string, string> form, IssuedCertificate? certificate = null) =>
        Assert.Equal(HttpStatusCode.OK, (await world.PostTokenAsync(form, certificate ?? world.Aurora.Certificate)).Status);

    private async Task RejectsAsync(Dictionary<string, string> form, string reason, IssuedCertificate? certificate = null, string error = "invalid_client")
    {
        var (_, body) = await world.PostTokenAsync(form, certificate ?? world.Aurora.Certificate);
        Assert.Equal(error, body.GetProperty("error").GetString());
        Assert.Contains(reason, body.GetProperty("error_description").GetString());
    }

    [Theory]
    [InlineData("ES256", ClientProfile.Smart)]
    [InlineData("PS256", ClientProfile.Smart)]
    [InlineData("ES384", ClientProfile.Smart)]
    [InlineData("RS384", ClientProfile.Smart)]
    [InlineData("ES256", ClientProfile.Fapi2)]
    [InlineData("PS256", ClientProfile.Fapi2)]
    public async Task A_client_signs_as_it_has_registered(string algorithm, ClientProfile profile)
    {
        var clinic = With(algorithm);
        await WithAsync(client => client with { Jwks = Keys(clinic), TokenEndpointAuthSigningAlg = [algorithm], Profile = profile }, () =>
            AcceptsAsync(world.ClientCredentials(clinic, world.Assertion(clinic, claims => claims["aud"] = world.Options.PublicAddress + "/"))));
    }

    [Fact]
    public async Task One_clients_algorithms_are_not_anothers()
    {
        var (elliptic, rsa) = (With("ES256", "ec"), With("PS256", "rsa"));
        await WithAsync(client => client with { Jwks = Keys(elliptic), TokenEndpointAuthSigningAlg = ["ES256"] }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(elliptic));
            await RejectsAsync(world.ClientCredentials(rsa), "must be signed with ES256");
            await RejectsAsync(world.ClientCredentials(world.Aurora), "must be signed with ES256");
        });
        // With both, each key is for its own.
        await WithAsync(client => client with { Jwks = Keys(elliptic, rsa), TokenEndpointAuthSigningAlg = ["ES256", "PS256"] }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(elliptic));
            await AcceptsAsync(world.ClientCredentials(rsa));
            rsa.Key.KeyId = "ec";
            await RejectsAsync(world.ClientCredentials(rsa), "kid is not among the keys");
        });
    }

    /// <summary>FAPI2SPFinalPAREndpointAsArrayAudienceFails, ...TokenEndpointAsAudienceFails.</summary>
    [Fact]
    public async Task A_fapi_client_names_the_issuer_as_one_string()
    {
        var clinic = With("ES256");
        var issuer = world.Options.PublicAddress + "/";
        await WithAsync(client => client with { Jwks = Keys(clinic), TokenEndpointAuthSigningAlg = null, Profile = ClientProfile.Fapi2 }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(clinic, world.Assertion(clinic, claims => claims["aud"] = issuer)));
            foreach (var audience in new object[] { world.TokenUrl, world.Options.PublicAddress, new[] { issuer }, new[] { issuer, "https://elsewhere.example" } })
                await RejectsAsync(world.ClientCredentials(clinic, world.Assertion(clinic, claims => claims["aud"] = audience)), "as one string");
        });
    }

    [Fact]
    public async Task A_client_may_publish_its_keys_itself()
    {
        var (clinic, stranger) = (With("ES384", "published"), With("ES384", "stranger"));
        world.ClinicKeys = $$"""{"keys":[{{clinic.PublicJwk}}]}""";
        await WithAsync(client => client with { Jwks = null, JwksUri = world.ClinicKeysUrl }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(clinic));
            await RejectsAsync(world.ClientCredentials(stranger), "kid is not among the keys");
        });
        // Nobody can be authenticated by keys that are not there.
        await WithAsync(client => client with { Jwks = null, JwksUri = world.Outside.PublicAddress + "/clinic/nothing" }, async () =>
        {
            var (status, body) = await world.PostTokenAsync(world.ClientCredentials(clinic), clinic.Certificate);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, status);
            Assert.Equal("temporarily_unavailable", body.GetProperty("error").GetString());
        });
    }

    private Task WithTenantsAsync(Func<Task> act, params ServiceRequester[] tenants) => WithAsync(client => client with { ServiceRequesters = tenants }, act);

    private static ServiceRequester Some(string oid, ClientStatus status = ClientStatus.Active) =>
        new() { OrganisationOid = oid, OrganisationName = "Vuokralainen " + oid[^2..], ControllerKind = ControllerKind.Independent, Status = status };

    private async Task<string> TokenForAsync(string? requester)
    {
        var form = world.ClientCredentials(world.Aurora);
        if (requester is not null)
            form["service_requester"] = requester;
        var (status, body) = await world.PostTokenAsync(form, world.Aurora.Certificate);
        Assert.Equal(HttpStatusCode.OK, status);
        return body.GetProperty("access_token").GetString()!;
    }

    [Fact]
    public async Task A_host_asks_for_its_tenants_by_name_and_for_nobody_else()
    {
        await WithTenantsAsync(async () =>
        {
            var (_, me, _) = await world.WhoAmIAsync(await TokenForAsync(Tenant), world.Aurora.Certificate);
            Assert.Equal((Tenant, world.Aurora.Organisation, "Independent"),
                (me.GetProperty("organisation").GetString(), me.GetProperty("subscriber").GetString(), me.GetProperty("controllerKind").GetString()));
            var (_, other, _) = await world.WhoAmIAsync(await TokenForAsync(OtherTenant), world.Aurora.Certificate);
            Assert.Equal(OtherTenant, other.GetProperty("organisation").GetString());
            // Grants and page links of the one are none of the other's.
            Assert.NotEqual(me.GetProperty("caller").GetString(), other.GetProperty("caller").GetString());

            await RejectsAsync(world.ClientCredentials(world.Aurora), "several organisations", error: "invalid_request");
            foreach (var stranger in new[] { world.Aurora.Organisation, world.Revontuli.Organisation, "nobody" })
                await RejectsAsync(new(world.ClientCredentials(world.Aurora)) { ["service_requester"] = stranger }, "may ask for", error: "invalid_request");
        }, Some(Tenant), Some(OtherTenant));
    }

    [Fact]
    public async Task Whom_a_client_produces_services_for_and_shares_registers_with_comes_from_its_registration()
    {
        static string[] Names(JsonElement who, string name) => [.. who.GetProperty(name).EnumerateArray().Select(oid => oid.GetString()!)];
        async Task<JsonElement> WhoAsync() => (await world.WhoAmIAsync(await TokenForAsync(null), world.Aurora.Certificate)).Body;

        await WithAsync(client => client with { ProducesFor = ["1.2.246.10.90000044"], HealthServices = [6, 12] }, async () =>
        {
            var me = await WhoAsync();
            Assert.Equal(["1.2.246.10.90000044"], Names(me, "producesFor"));
            Assert.Equal("MentalHealthAndAddiction, ExaminationsAndProcedures", me.GetProperty("services").GetString());
            // A private one is of no joint register, whatever the list says.
            Assert.Empty(Names(me, "jointWith"));
        });
        await WithAsync(client => client with { ControllerKind = ControllerKind.Public }, async () =>
        {
            var me = await WhoAsync();
            Assert.Empty(Names(me, "producesFor"));
            Assert.Equal("Reception", me.GetProperty("services").GetString());
            Assert.Equal([world.Aurora.Organisation, "1.2.246.10.90000008"], Names(me, "jointWith"));
        });
    }

    [Fact]
    public async Task Who_has_no_tenants_asks_for_itself()
    {
        var (_, me, _) = await world.WhoAmIAsync(await TokenForAsync(null), world.Aurora.Certificate);
        Assert.Equal(world.Aurora.Organisation, me.GetProperty("organisation").GetString());
        Assert.Equal(JsonValueKind.Null, me.GetProperty("subscriber").ValueKind);
        Assert.Equal(world.Aurora.ClientId, me.GetProperty("caller").GetString());
        await RejectsAsync(new(world.ClientCredentials(world.Aurora)) { ["service_requester"] = Tenant }, "may ask for", error: "invalid_request");
    }

    [Fact]
    public async Task A_tenant_that_is_suspended_or_gone_gets_nothing_and_its_tokens_end()
    {
        string token = "";
        await WithTenantsAsync(async () => token = await TokenForAsync(Tenant), Some(Tenant), Some(OtherTenant));
        foreach (var left in new ServiceRequester[][] { [Some(Tenant, ClientStatus.Suspended), Some(OtherTenant)], [Some(OtherTenant)] })
            await WithTenantsAsync(async () =>
            {
                await RejectsAsync(new(world.ClientCredentials(world.Aurora)) { ["service_requester"] = Tenant }, "may ask for", error: "invalid_request");
                var (status, body, _) = await world.WhoAmIAsync(token, world.Aurora.Certificate);
                Assert.Equal(HttpStatusCode.Unauthorized, status);
                Assert.Contains("may no longer ask", body.GetProperty("issue")[0].GetProperty("diagnostics").GetString());
            }, left);
    }

    /// <summary>The host's certificate, and its tenant's professionals.</summary>
    [Fact]
    public async Task A_professional_is_vouched_for_by_the_organisation_that_asks()
    {
        await WithTenantsAsync(async () =>
        {
            var form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("revontuli", "90002"));
            form["service_requester"] = world.Revontuli.Organisation;
            await AcceptsAsync(form);
            form = world.TokenExchange(world.Aurora, await world.SubjectTokenAsync("aurora", "90001"));
            form["service_requester"] = world.Revontuli.Organisation;
            await RejectsAsync(form, "another organisation than the one that asks", error: "invalid_request");
        }, Some(world.Revontuli.Organisation));
    }

    /// <summary>A renewal: the old certificate goes on until its end, the new one has begun.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Two_certificates_overlap(bool areListed)
    {
        var now = DateTimeOffset.UtcNow + world.Clock.Ahead;
        var (old, renewed) = (world.Issue(world.Aurora.Organisation, now.AddDays(-360), now.AddMinutes(2)), world.Issue(world.Aurora.Organisation, now.AddMinutes(-5)));
        var ahead = world.Clock.Ahead;
        await WithAsync(client => areListed ? client with { TlsClientCertificates = [old.Thumbprint, renewed.Thumbprint] } : client, async () =>
        {
            foreach (var certificate in new[] { old, renewed })
            {
                var (status, body) = await world.PostTokenAsync(world.ClientCredentials(world.Aurora), certificate);
                Assert.Equal(HttpStatusCode.OK, status);
                var token = body.GetProperty("access_token").GetString();
                Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, certificate)).Status);
                // Each token with its own certificate.
                Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, certificate == old ? renewed : old)).Status);
            }
            world.Clock.Ahead += TimeSpan.FromMinutes(3);
            await RejectsAsync(world.ClientCredentials(world.Aurora), "expired", old);
            await AcceptsAsync(world.ClientCredentials(world.Aurora), renewed);
        });
        world.Clock.Ahead = ahead;
    }

    [Fact]
    public async Task A_registration_may_name_its_certificates_by_their_subject()
    {
        var named = world.Authority.IssueOrganisation(Oid.Parse(world.Aurora.Organisation), "Aurora Oy, \"potilas\"");
        var renewed = world.Authority.IssueOrganisation(Oid.Parse(world.Aurora.Organisation), "Aurora Oy, \"potilas\"");
        // RFC 4514: the last part of the name first, which here is the organisation's OID.
        var subject = $"2.5.4.97={world.Aurora.Organisation},O=Aurora Oy\\, \\\"potilas\\\",CN=Aurora Oy\\, \\\"potilas\\\"";
        await WithAsync(client => client with { CertificateSubjects = [subject] }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(world.Aurora), named);
            await AcceptsAsync(world.ClientCredentials(world.Aurora), renewed);
            await RejectsAsync(world.ClientCredentials(world.Aurora), "not one that the client has registered");
        });
        await WithAsync(client => client with { CertificateSubjects = [subject], TlsClientCertificates = [world.Aurora.Certificate.Thumbprint] }, async () =>
        {
            await AcceptsAsync(world.ClientCredentials(world.Aurora), named);
            await AcceptsAsync(world.ClientCredentials(world.Aurora));
            await RejectsAsync(world.ClientCredentials(world.Aurora), "not one that the client has registered", world.Issue(world.Aurora.Organisation));
        });
    }

    private Dictionary<string, string> Bare(SomeClinic clinic) => new() { ["grant_type"] = "client_credentials", ["scope"] = "system/*.cruds", ["client_id"] = clinic.ClientId };

    private static ClientRegistration Certified(ClientRegistration client, IssuedCertificate certificate) => client with
    {
        TokenEndpointAuthMethod = ClientAuthenticationMethod.TlsClientAuth, Jwks = null, TokenEndpointAuthSigningAlg = null, TlsClientCertificates = [certificate.Thumbprint],
    };

    /// <summary>RFC 8705 §2.1.</summary>
    [Fact]
    public async Task A_client_may_authenticate_by_its_certificate_alone()
    {
        await WithAsync(client => Certified(client, world.Aurora.Certificate), async () =>
        {
            var (status, body) = await world.PostTokenAsync(Bare(world.Aurora), world.Aurora.Certificate);
            Assert.Equal(HttpStatusCode.OK, status);
            var token = body.GetProperty("access_token").GetString();
            Assert.Equal(HttpStatusCode.OK, (await world.WhoAmIAsync(token, world.Aurora.Certificate)).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await world.WhoAmIAsync(token, world.Issue(world.Aurora.Organisation))).Status);

            await RejectsAsync(Bare(world.Aurora), "not one that the client has registered", world.Issue(world.Aurora.Organisation));
            await RejectsAsync(Bare(world.Aurora), "another organisation", world.Revontuli.Certificate);
            await RejectsAsync(world.ClientCredentials(world.Aurora), "tls_client_auth");
        });
        await WithAsync(client => Certified(client, world.Aurora.Certificate) with { Status = ClientStatus.Suspended }, () => RejectsAsync(Bare(world.Aurora), "suspended"));
    }

    [Fact]
    public async Task Who_has_registered_keys_does_not_get_in_by_its_certificate_alone()
    {
        var (status, body) = await world.PostTokenAsync(Bare(world.Aurora), world.Aurora.Certificate);
        Assert.Contains(status, (HttpStatusCode[])[HttpStatusCode.BadRequest, HttpStatusCode.Unauthorized]);
        Assert.False(body.TryGetProperty("access_token", out _));
    }
}
