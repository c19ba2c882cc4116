using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Identification;

/// <summary>Where the certificate alone says who it is, a registration has to say that it may, and the system is who it is by its token.</summary>
[Collection(IdentificationCollection.Name)]
public sealed class CertificateCallersTests(IdentificationWorld world)
{
    [Fact]
    public async Task Only_one_active_system_that_is_registered_for_it_is_known_by_its_certificate_alone()
    {
        foreach (var (change, isKnown) in new (Func<ClientRegistration, ClientRegistration>, bool)[]
        {
            (its => its, true),
            (its => its with { Mllp = false }, false),
            (its => its with { TlsClientCertificates = [world.Revontuli.Certificate.Thumbprint] }, false),
            (its => its with { Status = ClientStatus.Suspended }, false),
        })
        {
            // Each its own certificate: failures are counted under it.
            var certificate = world.Issue(world.Aurora.Organisation);
            using var shown = certificate.Open();
            await world.WithClientsAsync(its => its.ClientId == world.Aurora.ClientId ? change(its with { Mllp = true, TlsClientCertificates = [certificate.Thumbprint] }) : its, async () =>
            {
                var (requester, fault) = await world.Services.GetRequiredService<CertificateCallers>().IdentifyAsync(new DefaultHttpContext { Connection = { ClientCertificate = shown } }, "connection");
                Assert.Equal((isKnown, !isKnown), (requester is not null, fault is not null));
            });
        }

        // Where two answer to one certificate, nothing says which of them speaks.
        var both = world.Issue(world.Aurora.Organisation);
        using var shared = both.Open();
        await world.WithClientsAsync(its => its with { Mllp = true, OrganisationOid = world.Aurora.Organisation, TlsClientCertificates = [both.Thumbprint] }, async () =>
        {
            var (requester, fault) = await world.Services.GetRequiredService<CertificateCallers>().IdentifyAsync(new DefaultHttpContext { Connection = { ClientCertificate = shared } }, "connection");
            Assert.Null(requester);
            Assert.Contains("Several systems", fault!.Issues[0].Diagnostics);
        });
    }

    /// <summary>Who was contained sends nothing more, whatever the registration says.</summary>
    [Fact]
    public async Task Neither_a_contained_certificate_nor_one_of_another_organisation_is_known()
    {
        var (certificate, foreign) = (world.Issue(world.Aurora.Organisation), world.Issue(world.Revontuli.Organisation));
        using var shown = certificate.Open();
        using var other = foreign.Open();
        await world.WithClientsAsync(its => its.ClientId == world.Aurora.ClientId ? its with { Mllp = true, TlsClientCertificates = [certificate.Thumbprint, foreign.Thumbprint] } : its, async () =>
        {
            var callers = world.Services.GetRequiredService<CertificateCallers>();
            async Task<Requester?> KnownAsync(System.Security.Cryptography.X509Certificates.X509Certificate2 by) => (await callers.IdentifyAsync(new DefaultHttpContext { Connection = { ClientCertificate = by } }, "connection")).Requester;
            Assert.Null(await KnownAsync(other));
            Assert.NotNull(await KnownAsync(shown));
            await world.Services.GetRequiredService<Revocations>().RevokeAsync(RevokedName.Contained(ContainedSubject.Certificate(certificate.Thumbprint)), DateTimeOffset.UtcNow + world.Clock.Ahead + TimeSpan.FromMinutes(5), CancellationToken.None);
            Assert.Null(await KnownAsync(shown));
        });
    }

    /// <summary>Special services are a professional's matter, and what operators have settled holds for every road.</summary>
    [Fact]
    public async Task A_system_is_the_same_by_its_certificate_as_by_its_token()
    {
        const string Dispute = "0198c0de-0000-4000-8000-000000000001";
        var practices = Path.GetTempFileName();
        await File.WriteAllTextAsync(practices, JsonSerializer.Serialize(new
        {
            rules = new[] { new { service = "Psychotherapy", where = "controller", system = "urn:ietf:rfc:3986", codes = new[] { "urn:oid:" + world.Aurora.Organisation }, source = "onboarding" } },
            neutral = Array.Empty<object>(),
        }));
        try
        {
            await using var gateway = world.BuildGateway(world.Options with { ProtectedPracticesFile = practices });
            var approvals = gateway.Services.GetRequiredService<Approvals>();
            Operator Some(string id) => new("tenant", id, id, Enum.GetValues<OperatorRole>().ToHashSet(), DateTimeOffset.UtcNow + world.Clock.Ahead, "session");
            if (approvals.Current.EndedRestrictions.Count == 0)
            {
                var end = (await approvals.ProposeAsync(new DefaultHttpContext(), Some("tiina"), ApprovalKind.DisputeEnd, Dispute, null, "answer")).Proposal!;
                Assert.Null(await approvals.ApproveAsync(new DefaultHttpContext(), Some("tero"), end.Id, end.Digest));
            }
            var certificate = world.Aurora.Certificate;
            using var shown = certificate.Open();
            await world.WithClientsAsync(its => its.ClientId == world.Aurora.ClientId ? its with { Mllp = true, TlsClientCertificates = [certificate.Thumbprint] } : its, async () =>
            {
                var request = new DefaultHttpContext { Connection = { ClientCertificate = shown }, Request = { Headers = { Authorization = "Bearer " + await world.TokenAsync(world.Aurora) } } };
                var (byToken, refused) = await gateway.Services.GetRequiredService<IIdentification>().IdentifyAsync(request);
                Assert.True(refused is null, refused?.Issues[0].Diagnostics);
                var (byCertificate, fault) = await gateway.Services.GetRequiredService<CertificateCallers>().IdentifyAsync(new DefaultHttpContext { Connection = { ClientCertificate = shown } }, "connection");
                Assert.True(fault is null, fault?.Issues[0].Diagnostics);
                Assert.Equal(ProtectedService.None, byCertificate!.OwnServices);
                Assert.Equal([Dispute], byCertificate.EndedRestrictions);
                Assert.All(byCertificate.Scopes, static scope => Assert.Equal("system", scope.Level));
                Assert.Equivalent(Known(byToken!), Known(byCertificate), strict: true);
            });
        }
        finally
        {
            File.Delete(practices);
        }

        // Who asks; the token's own life and number, and what it was issued for, are no part of that.
        static Requester Known(Requester requester) => requester with { TokenId = "", Expires = default, Scopes = [] };
    }
}
