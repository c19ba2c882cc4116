using System.Net;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Simulators;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Tests.Identification;

/// <summary>A certificate is good only as long as its authorities say so, freshly; whoever keeps silent has not said so.</summary>
public sealed class RevocationTests : IAsyncLifetime
{
    private const string Good = "good", Revoked = "revoked", Unknown = "unknown";

    private readonly FakeTimeProvider _clock = new(DateTimeOffset.UtcNow);
    private readonly DevelopmentAuthority _root = DevelopmentAuthority.Create("Root", below: 1);
    private readonly DevelopmentAuthority _intermediate;
    private readonly RevocationResponder _responder, _other, _above;
    private readonly HttpClient _http = new(new SocketsHttpHandler { AllowAutoRedirect = false });
    private readonly List<string> _trapped = [];
    private WebApplication _host = null!;
    private string _address = "";

    public RevocationTests()
    {
        _intermediate = _root.IssueAuthority("Intermediate");
        _above = new(_root, _clock, "/above");
        _responder = new(_intermediate, _clock, "/one");
        _other = new(_intermediate, _clock, "/other");
    }

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        _host = builder.Build();
        foreach (var responder in new[] { _above, _responder, _other })
            responder.Map(_host);
        _host.Map("/trap", (HttpContext context) =>
        {
            _trapped.Add(context.Request.Method);
            return Results.Ok();
        });
        await _host.StartAsync();
        _address = _host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
    }

    public async Task DisposeAsync()
    {
        await _host.DisposeAsync();
        _http.Dispose();
        _intermediate.Dispose();
        _root.Dispose();
    }

    private RevocationSource List(RevocationResponder? from = null) => new() { Authority = _intermediate.Fingerprint, CrlAddress = _address + (from ?? _responder).ListPath, TimeoutSeconds = 10 };

    private RevocationSource Responder(RevocationResponder? from = null) => new() { Authority = _intermediate.Fingerprint, OcspAddress = _address + (from ?? _responder).ResponderPath, TimeoutSeconds = 10 };

    private RevocationSource Both => List() with { OcspAddress = Responder().OcspAddress };

    private RevocationSource Of(string kind) => kind switch { "list" => List(), "responder" => Responder(), _ => Both };

    /// <param name="above">Of the root; by default unchecked.</param>
    private OrganisationCertificates Gateway(RevocationSource source, RevocationSource? above = null, HttpClient? http = null) =>
        new(_root.CertificatePem + _intermediate.CertificatePem, [above ?? new() { Authority = _root.Fingerprint, Unchecked = true }, source],
            http ?? _http, _clock, NullLogger<OrganisationCertificates>.Instance);

    private IssuedCertificate Issue(X509Extension? extension = null) =>
        _intermediate.IssueOrganisation(Oid.Parse("1.2.246.10.90000001"), "Aurora Oy", extension: extension);

    private static async Task<string> AskAsync(OrganisationCertificates gateway, IssuedCertificate certificate)
    {
        using var shown = certificate.Open();
        await gateway.RenewAsync(shown, CancellationToken.None);
        return Look(gateway, shown);
    }

    private static string Look(OrganisationCertificates gateway, X509Certificate2 shown)
    {
        var facts = gateway.Examine(shown);
        Assert.True(facts.IsIssued);
        Assert.Equal(facts.Problem is not null && !facts.Problem.Contains("has been revoked by"), facts.IsOutage);
        return facts.Problem is null ? Good : facts.IsOutage ? Unknown : Revoked;
    }

    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    [InlineData("both")]
    public async Task A_certificate_that_its_authority_stands_by_is_good_and_a_revoked_one_is_not(string kind)
    {
        var (good, revoked) = (Issue(), Issue());
        _responder.Revoke(revoked);
        var gateway = Gateway(Of(kind));
        Assert.Equal(Good, await AskAsync(gateway, good));
        Assert.Equal(Revoked, await AskAsync(gateway, revoked));
    }

    [Fact]
    public async Task A_list_that_hangs_is_not_asked_for_again_at_once()
    {
        var asked = 0;
        using var http = new HttpClient(new Hanging(() =>
        {
            asked++;
            _clock.Advance(RevocationInquiry.Pause * 5);
        }));
        var gateway = Gateway(List(), http: http);
        Assert.Equal(Unknown, await AskAsync(gateway, Issue()));
        // Of another certificate of the authority, while it is left alone.
        Assert.Equal(Unknown, await AskAsync(gateway, Issue()));
        Assert.Equal(1, asked);
        _clock.Advance(RevocationInquiry.Pause);
        Assert.Equal(Unknown, await AskAsync(gateway, Issue()));
        Assert.Equal(2, asked);
    }

    private sealed class Hanging(Action then) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            then();
            throw new HttpRequestException("given up");
        }
    }

    /// <summary>As of a large authority: a quarter of a million numbers.</summary>
    [Fact]
    public void A_long_list_is_read_and_each_number_on_it_is_revoked()
    {
        var generator = new Org.BouncyCastle.X509.X509V2CrlGenerator();
        using var opened = X509Certificate2.CreateFromPem(_intermediate.CertificatePem);
        var authority = new Org.BouncyCastle.X509.X509Certificate(opened.RawData);
        var now = _clock.GetUtcNow();
        generator.SetIssuerDN(authority.SubjectDN);
        generator.SetThisUpdate(now.UtcDateTime);
        generator.SetNextUpdate(now.UtcDateTime.AddDays(1));
        generator.AddExtension(Org.BouncyCastle.Asn1.X509.X509Extensions.CrlNumber, false, Org.BouncyCastle.Asn1.DerInteger.ValueOf(1));
        static Org.BouncyCastle.Math.BigInteger Number(int i) => new Org.BouncyCastle.Math.BigInteger(1, System.Security.Cryptography.SHA256.HashData(BitConverter.GetBytes(i)).AsSpan(0, 16).ToArray()).SetBit(120);
        for (var i = 0; i < 250_000; i++)
            generator.AddCrlEntry(Number(i), now.UtcDateTime.AddDays(-1), 0);
        using var key = System.Security.Cryptography.ECDsa.Create();
        key.ImportFromPem(_intermediate.KeyPem);
        var encoded = generator.Generate(new Org.BouncyCastle.Crypto.Operators.Asn1SignatureFactory("SHA256WITHECDSA", Org.BouncyCastle.Security.PrivateKeyFactory.CreateKey(key.ExportPkcs8PrivateKey()))).GetEncoded();
        Assert.True(encoded.Length < RevocationInquiry.LongestList);
        var list = RevocationList.Read(encoded, authority, null, now, TimeSpan.FromMinutes(15));
        Assert.All(Enumerable.Range(0, 250_000), i => Assert.True(list.Revokes(Number(i))));
        Assert.False(list.Revokes(Number(250_000)));
    }

    /// <summary>Anybody can make certificates and show them.</summary>
    [Fact]
    public async Task Strangers_certificates_do_not_push_out_what_is_known_of_good_ones()
    {
        var gateway = new OrganisationCertificates(_root.CertificatePem + _intermediate.CertificatePem, [new() { Authority = _root.Fingerprint, Unchecked = true }, Responder()],
            _http, _clock, NullLogger<OrganisationCertificates>.Instance, capacity: 4);
        var good = Issue();
        Assert.Equal(Good, await AskAsync(gateway, good));
        var asked = _responder.Asked.Count;
        using var foreign = DevelopmentAuthority.Create("Foreign");
        for (var i = 0; i < 5; i++)
        {
            using var shown = foreign.IssueOrganisation(Oid.Parse("1.2.246.10.90000001"), $"Stranger {i}").Open();
            Assert.False(gateway.Examine(shown).IsIssued);
        }
        // On a new connection it is another object, and nobody is asked again.
        Assert.Equal(Good, await AskAsync(gateway, good));
        Assert.Equal(asked, _responder.Asked.Count);
    }

    [Fact]
    public async Task What_nobody_has_asked_about_is_not_good()
    {
        using var shown = Issue().Open();
        Assert.Equal(Unknown, Look(Gateway(Both), shown));
    }

    [Fact]
    public async Task Whichever_of_list_and_responder_says_revoked_is_believed()
    {
        var (listed, told) = (Issue(), Issue());
        _responder.Revoke(listed);
        _other.Revoke(told);
        var gateway = Gateway(List() with { OcspAddress = Responder(_other).OcspAddress });
        Assert.Equal(Revoked, await AskAsync(gateway, listed));
        Assert.Equal(Revoked, await AskAsync(gateway, told));
        Assert.Equal(Good, await AskAsync(gateway, Issue()));
    }

    [Fact]
    public async Task Everything_below_a_revoked_intermediate_is_revoked()
    {
        var above = new RevocationSource { Authority = _root.Fingerprint, CrlAddress = _address + _above.ListPath, TimeoutSeconds = 10 };
        Assert.Equal(Good, await AskAsync(Gateway(Both, above), Issue()));
        _above.Revoke(_intermediate);
        Assert.Equal(Revoked, await AskAsync(Gateway(Both, above), Issue()));
        _above.ListMisbehaviour = RevocationMisbehaviour.ServerError;
        Assert.Equal(Unknown, await AskAsync(Gateway(Both, above), Issue()));
    }

    [Theory]
    [InlineData(RevocationMisbehaviour.Silent)]
    [InlineData(RevocationMisbehaviour.ServerError)]
    [InlineData(RevocationMisbehaviour.Garbage)]
    [InlineData(RevocationMisbehaviour.Redirect)]
    [InlineData(RevocationMisbehaviour.Endless)]
    [InlineData(RevocationMisbehaviour.Expired)]
    [InlineData(RevocationMisbehaviour.Future)]
    [InlineData(RevocationMisbehaviour.ForeignSignature)]
    [InlineData(RevocationMisbehaviour.Sha1Signature)]
    [InlineData(RevocationMisbehaviour.CriticalExtension)]
    [InlineData(RevocationMisbehaviour.OtherIssuer)]
    [InlineData(RevocationMisbehaviour.NoNumber)]
    [InlineData(RevocationMisbehaviour.NoNextUpdate)]
    [InlineData(RevocationMisbehaviour.Partial)]
    [InlineData(RevocationMisbehaviour.CriticalEntry)]
    public async Task Of_a_list_that_cannot_be_relied_on_nothing_is_known(RevocationMisbehaviour misbehaviour)
    {
        var (gateway, certificate) = (Gateway(List() with { TimeoutSeconds = misbehaviour == RevocationMisbehaviour.Silent ? 1 : 10 }), Issue());
        _responder.ListMisbehaviour = misbehaviour;
        Assert.Equal(Unknown, await AskAsync(gateway, certificate));
        Assert.DoesNotContain("/one/elsewhere", _responder.Asked);
        // That is all that was wrong.
        _responder.ListMisbehaviour = RevocationMisbehaviour.None;
        _clock.Advance(RevocationInquiry.Pause);
        Assert.Equal(Good, await AskAsync(misbehaviour == RevocationMisbehaviour.Silent ? Gateway(List()) : gateway, certificate));
    }

    [Theory]
    [InlineData(RevocationMisbehaviour.Silent)]
    [InlineData(RevocationMisbehaviour.ServerError)]
    [InlineData(RevocationMisbehaviour.Garbage)]
    [InlineData(RevocationMisbehaviour.Redirect)]
    [InlineData(RevocationMisbehaviour.Endless)]
    [InlineData(RevocationMisbehaviour.Expired)]
    [InlineData(RevocationMisbehaviour.Future)]
    [InlineData(RevocationMisbehaviour.ForeignSignature)]
    [InlineData(RevocationMisbehaviour.Sha1Signature)]
    [InlineData(RevocationMisbehaviour.CriticalExtension)]
    [InlineData(RevocationMisbehaviour.TryLater)]
    [InlineData(RevocationMisbehaviour.OtherSerial)]
    [InlineData(RevocationMisbehaviour.StatusUnknown)]
    [InlineData(RevocationMisbehaviour.OtherNonce)]
    [InlineData(RevocationMisbehaviour.InAdvance)]
    [InlineData(RevocationMisbehaviour.DelegateWithoutUsage)]
    [InlineData(RevocationMisbehaviour.ForeignDelegate)]
    [InlineData(RevocationMisbehaviour.ExpiredDelegate)]
    public async Task Of_an_answer_that_cannot_be_relied_on_nothing_is_known(RevocationMisbehaviour misbehaviour)
    {
        var (gateway, certificate) = (Gateway(Responder() with { TimeoutSeconds = misbehaviour == RevocationMisbehaviour.Silent ? 1 : 10 }), Issue());
        _responder.ResponderMisbehaviour = misbehaviour;
        Assert.Equal(Unknown, await AskAsync(gateway, certificate));
        _responder.ResponderMisbehaviour = RevocationMisbehaviour.None;
        _clock.Advance(RevocationInquiry.Pause);
        Assert.Equal(Good, await AskAsync(misbehaviour == RevocationMisbehaviour.Silent ? Gateway(Responder()) : gateway, certificate));
    }

    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    public async Task Of_an_answer_without_end_no_more_is_taken_than_an_answer_can_have(string kind)
    {
        var endless = new Endless();
        using var http = new HttpClient(endless);
        Assert.Equal(Unknown, await AskAsync(Gateway(Of(kind), http: http), Issue()));
        Assert.InRange(endless.Taken, 1, kind == "list" ? 11 * 1024 * 1024 : 1024 * 1024);
    }

    /// <summary>A server whose answers have no end, and how much of them was taken.</summary>
    private sealed class Endless : HttpMessageHandler
    {
        public long Taken { get; private set; }

        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
            Task.FromResult(new HttpResponseMessage { Content = new Zeros(this) });

        private sealed class Zeros(Endless all) : HttpContent
        {
            protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

            protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
            {
                for (var zeros = new byte[16 * 1024]; ; all.Taken += zeros.Length)
                    await stream.WriteAsync(zeros, cancellationToken);
            }

            protected override bool TryComputeLength(out long length) => (length = 0) != 0;
        }
    }

    [Fact]
    public async Task An_older_list_does_not_take_the_place_of_a_newer_one()
    {
        var (gateway, certificate) = (Gateway(List()), Issue());
        Assert.Equal(Good, await AskAsync(gateway, certificate));
        _responder.ListMisbehaviour = RevocationMisbehaviour.OldNumber;
        _clock.Advance(TimeSpan.FromSeconds(901));
        Assert.Equal(Unknown, await AskAsync(gateway, certificate));
        // To a gateway that has seen no newer one it is as good as any.
        Assert.Equal(Good, await AskAsync(Gateway(List()), certificate));
    }

    [Fact]
    public async Task The_list_stands_in_for_a_responder_that_is_away_and_not_for_one_that_does_not_know_the_certificate()
    {
        _responder.ResponderMisbehaviour = RevocationMisbehaviour.ServerError;
        Assert.Equal(Good, await AskAsync(Gateway(Both), Issue()));
        _responder.ResponderMisbehaviour = RevocationMisbehaviour.StatusUnknown;
        Assert.Equal(Unknown, await AskAsync(Gateway(Both), Issue()));
    }

    [Fact]
    public async Task The_responder_stands_in_for_a_list_that_is_away()
    {
        _responder.ListMisbehaviour = RevocationMisbehaviour.ServerError;
        Assert.Equal(Good, await AskAsync(Gateway(Both), Issue()));
    }

    [Fact]
    public async Task An_authority_may_let_another_answer_for_it_until_it_revokes_that_one()
    {
        var certificate = Issue();
        _other.Delegates = true;
        _other.Revoke(certificate);
        var source = List() with { OcspAddress = Responder(_other).OcspAddress };
        Assert.Equal(Revoked, await AskAsync(Gateway(Responder(_other)), certificate));
        Assert.Equal(Revoked, await AskAsync(Gateway(source), certificate));
        _responder.Revoke(_other.Delegate);
        // What the list says is left.
        Assert.Equal(Good, await AskAsync(Gateway(source), certificate));
    }

    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    public async Task An_answer_is_relied_on_for_its_time_and_not_longer(string kind)
    {
        var (gateway, certificate) = (Gateway(Of(kind) with { MaxAgeSeconds = 600 }), Issue());
        using var shown = certificate.Open();
        Assert.Equal(Good, await AskAsync(gateway, certificate));
        _responder.ListMisbehaviour = _responder.ResponderMisbehaviour = RevocationMisbehaviour.ServerError;
        _clock.Advance(TimeSpan.FromSeconds(590));
        Assert.Equal(Good, Look(gateway, shown));
        _clock.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal(Unknown, Look(gateway, shown));
        Assert.Equal(Unknown, await AskAsync(gateway, certificate));
    }

    /// <summary>The authority's own end comes before the gateway's.</summary>
    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    public async Task An_answer_ends_when_its_authority_says_so(string kind)
    {
        // The simulated ones are good for a day from a minute before.
        var (gateway, certificate) = (Gateway(Of(kind) with { MaxAgeSeconds = 2 * 86_400 }), Issue());
        using var shown = certificate.Open();
        Assert.Equal(Good, await AskAsync(gateway, certificate));
        _responder.ListMisbehaviour = _responder.ResponderMisbehaviour = RevocationMisbehaviour.ServerError;
        _clock.Advance(TimeSpan.FromDays(1) + TimeSpan.FromSeconds(1));
        Assert.Equal(Unknown, Look(gateway, shown));
    }

    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    public async Task A_revocation_binds_after_the_stated_time_and_so_does_its_end(string kind)
    {
        var (gateway, certificate) = (Gateway(Of(kind) with { MaxAgeSeconds = 600 }), Issue());
        Assert.Equal(Good, await AskAsync(gateway, certificate));
        _responder.Revoke(certificate);
        _clock.Advance(TimeSpan.FromSeconds(601));
        Assert.Equal(Revoked, await AskAsync(gateway, certificate));
        // On hold, and taken off it.
        _responder.Restore(certificate);
        _clock.Advance(TimeSpan.FromSeconds(601));
        Assert.Equal(Good, await AskAsync(gateway, certificate));
    }

    [Fact]
    public async Task A_standing_that_is_in_use_is_renewed_before_it_ends()
    {
        var (gateway, certificate) = (Gateway(Responder() with { MaxAgeSeconds = 600 }), Issue());
        using var shown = certificate.Open();
        Assert.Equal(Good, await AskAsync(gateway, certificate));
        _responder.Revoke(certificate);
        _clock.Advance(TimeSpan.FromSeconds(300));
        Assert.Equal(Good, Look(gateway, shown));
        Assert.Single(_responder.Asked);
        _clock.Advance(TimeSpan.FromSeconds(200));
        // Whoever asks now does not wait for it; it is there long before the end of the old one.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (Look(gateway, shown) == Good)
        {
            patience.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
        Assert.Equal(Revoked, Look(gateway, shown));
        Assert.Equal(2, _responder.Asked.Count);
    }

    [Fact]
    public async Task Many_who_ask_at_once_are_one_question()
    {
        var (gateway, certificate) = (Gateway(Both), Issue());
        var ready = new TaskCompletionSource();
        _responder.Ready = ready.Task;
        var asking = Enumerable.Range(0, 50).Select(_ => AskAsync(gateway, certificate)).ToArray();
        ready.SetResult();
        Assert.All(await Task.WhenAll(asking), answer => Assert.Equal(Good, answer));
        Assert.Equal([_responder.ListPath, _responder.ResponderPath], _responder.Asked);
    }

    [Theory]
    [InlineData("list")]
    [InlineData("responder")]
    public async Task A_source_that_failed_is_left_alone_for_a_moment(string kind)
    {
        var (gateway, certificate) = (Gateway(Of(kind)), Issue());
        _responder.ListMisbehaviour = _responder.ResponderMisbehaviour = RevocationMisbehaviour.Garbage;
        // A list is asked for once for all certificates, a responder for each.
        for (var i = 0; i < 3; i++)
            Assert.Equal(Unknown, await AskAsync(gateway, kind == "list" ? Issue() : certificate));
        Assert.Single(_responder.Asked);
        _clock.Advance(RevocationInquiry.Pause);
        Assert.Equal(Unknown, await AskAsync(gateway, certificate));
        Assert.Equal(2, _responder.Asked.Count);
    }

    [Fact]
    public async Task An_address_in_a_certificate_is_never_asked()
    {
        var points = CertificateRevocationListBuilder.BuildCrlDistributionPointExtension([_address + "/trap"]);
        var access = new X509AuthorityInformationAccessExtension([_address + "/trap"], [_address + "/trap"]);
        Assert.Equal(Good, await AskAsync(Gateway(Both), Issue(points)));
        Assert.Equal(Good, await AskAsync(Gateway(Both), Issue(access)));
        Assert.Empty(_trapped);
    }

    [Fact]
    public async Task A_list_may_come_as_a_file_and_a_new_one_in_its_place()
    {
        var file = Path.GetTempFileName();
        try
        {
            var certificate = Issue();
            await File.WriteAllBytesAsync(file, await _http.GetByteArrayAsync(_address + _responder.ListPath));
            var gateway = Gateway(new() { Authority = _intermediate.Fingerprint, CrlFile = file });
            Assert.Equal(Good, await AskAsync(gateway, certificate));
            _responder.Revoke(certificate);
            await File.WriteAllBytesAsync(file, await _http.GetByteArrayAsync(_address + _responder.ListPath));
            _clock.Advance(TimeSpan.FromSeconds(901));
            Assert.Equal(Revoked, await AskAsync(gateway, certificate));
            File.Delete(file);
            _clock.Advance(TimeSpan.FromSeconds(901));
            Assert.Equal(Unknown, await AskAsync(gateway, certificate));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public async Task Who_says_that_nothing_is_checked_is_taken_at_his_word_and_who_says_nothing_does_not_start()
    {
        Assert.Equal(Good, await AskAsync(Gateway(new() { Authority = _intermediate.Fingerprint, Unchecked = true }), Issue()));
        Assert.Empty(_responder.Asked);
        Assert.Throws<InvalidDataException>(() => Gateway(new() { Authority = _intermediate.Fingerprint }));
        Assert.Throws<InvalidDataException>(() => Gateway(Both with { Authority = "00" }));
    }

    [Fact]
    public async Task A_certificate_ends_with_its_authority()
    {
        using var brief = _root.IssueAuthority("Brief", DateTimeOffset.UtcNow.AddDays(1));
        var gateway = new OrganisationCertificates(_root.CertificatePem + brief.CertificatePem,
            [new() { Authority = _root.Fingerprint, Unchecked = true }, new() { Authority = brief.Fingerprint, Unchecked = true }], _http, _clock, NullLogger<OrganisationCertificates>.Instance);
        using var shown = brief.IssueOrganisation(Oid.Parse("1.2.246.10.90000001"), "Aurora Oy").Open();
        await gateway.RenewAsync(shown, CancellationToken.None);
        Assert.Null(gateway.Examine(shown).Problem);
        _clock.Advance(TimeSpan.FromDays(2));
        Assert.Contains("expired", gateway.Examine(shown).Problem);
    }
}
