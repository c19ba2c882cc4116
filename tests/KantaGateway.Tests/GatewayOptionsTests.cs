using KantaGateway.Audit;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Gateway.Identification.Certificates;
using KantaGateway.Simulators;

namespace KantaGateway.Tests;

/// <summary>The gateway starts with options that hold, or says everything that does not.</summary>
public sealed class GatewayOptionsTests : IDisposable
{
    private const string Fingerprint = "ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB";

    private readonly string _file = Path.GetTempFileName();
    private readonly string _audit = Directory.CreateTempSubdirectory("kanta-options").FullName;

    private static readonly DevelopmentAuthority Authority = DevelopmentAuthority.Create();

    public GatewayOptionsTests()
    {
        OwnerOnly.WriteWhole(Path.Combine(_audit, "log.key"), []);
        File.WriteAllText(_file, Authority.CertificatePem);
    }

    public void Dispose()
    {
        File.Delete(_file);
        Directory.Delete(_audit, true);
    }

    private static IReadOnlyList<string> Explain(GatewayOptions options) => new GatewayOptionsCheck(options).Wrong;

    [Fact]
    public void Options_that_hold_pass() => Good().Validate();

    [Fact]
    public void The_host_is_not_built_with_wrong_options()
    {
        var refusal = Assert.Throws<InvalidOperationException>(() => GatewayHost.Build(Good() with { Port = 0 }));
        Assert.Equal("Gateway options: Port: 1 to 65535.", refusal.Message);
    }

    [Fact]
    public void Everything_that_is_wrong_is_said_at_once()
    {
        var none = Path.Combine(_audit, "none");
        var wrong = new GatewayOptions
        {
            PublicAddress = "http://localhost:8443/", Port = 70_000, ListenAddress = "everywhere",
            TlsCertificateFile = none, TlsKeyFile = none, ClientAuthorityFile = none,
            TerminatorListen = "http://10.0.0.1:8080", TerminatorHeader = "X-Cert", TerminatorAddresses = ["10.0.0.1"], TerminatorCertificates = ["AB"], MetricsListen = "http://0.0.0.0:9090", Repository = "http://10.0.0.2:5000", Keys = "/run/keys",
            GrantKeyFile = none, IdentifierKeyFile = none, AuditFolder = none, AuditOrigin = "", EmergencyFolder = none, ProtectedServicesFile = none, Redis = "10.0.0.3:6379", Otlp = "http://collector:4317",
            NationalOrganisation = "national", MaxBinary = 0, AccessibilityFeedback = "the desk",
            Identification = new()
            {
                ClientsFile = none, TokenKeyFile = none, FollowingTokenKeys = [new() { File = none, SignsFrom = default }], UpstreamAuthorityFile = none, AccessTokenSeconds = 301, FailuresPerMinute = 0, TokenRequestsPerMinute = 0, SignInsPerMinute = 0, VerifiedTokens = 0,
                ProfessionalIssuers = [new("http://idp", "", "clinic")],
                Mandates = new() { Address = "http://valtuudet/", ClientId = "portal", ApiKeyFile = none, OAuthPasswordFile = none, Theme = "health", TimeoutSeconds = 11 },
                Operators = new() { Authority = "http://entra/", Tenant = "", ClientId = "", CertificateFile = none, KeyFile = none, Amr = [""], OnboardingRole = "", KeysRole = "", DataProtectionRole = "", LogFolder = none, LogKeyFile = none, ErasureWaitDays = 0 },
                Citizens = new() { Authority = "http://broker", ClientId = "", SigningKeyFile = none, EncryptionKeyFile = none, Acr = "", ServiceName = "", FurtherAcrs = [""], BrokerJwksFile = none, BrokerSignedJwksKeyFile = none },
            },
        };
        var named = Explain(wrong).Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]).Distinct().Order(StringComparer.Ordinal);
        Assert.Equal(
        [
            "AccessibilityFeedback", "AuditFolder", "AuditOrigin", "ClientAuthorityFile", "EmergencyFolder", "GrantKeyFile", "Identification.AccessTokenSeconds",
            "Identification.Citizens.Acr", "Identification.Citizens.Authority", "Identification.Citizens.BrokerJwksFile", "Identification.Citizens.BrokerSignedJwksKeyFile",
            "Identification.Citizens.ClientId",
            "Identification.Citizens.EncryptionKeyFile", "Identification.Citizens.FurtherAcrs", "Identification.Citizens.ServiceName", "Identification.Citizens.SigningKeyFile",
            "Identification.ClientsFile", "Identification.FailuresPerMinute", "Identification.FollowingTokenKeys[0].File", "Identification.FollowingTokenKeys[0].SignsFrom",
            "Identification.Mandates.Address", "Identification.Mandates.ApiKeyFile", "Identification.Mandates.ClientId", "Identification.Mandates.OAuthPasswordFile", "Identification.Mandates.Theme", "Identification.Mandates.TimeoutSeconds",
            "Identification.Operators.Address", "Identification.Operators.Amr", "Identification.Operators.Authority", "Identification.Operators.CertificateFile", "Identification.Operators.ClientId",
            "Identification.Operators.DataProtectionRole", "Identification.Operators.ErasureWaitDays", "Identification.Operators.KeyFile", "Identification.Operators.KeysRole", "Identification.Operators.LogFolder", "Identification.Operators.LogKeyFile",
            "Identification.Operators.OnboardingRole", "Identification.Operators.Tenant",
            "Identification.ProfessionalIssuers[0].Audience", "Identification.ProfessionalIssuers[0].Issuer",
            "Identification.ProfessionalIssuers[0].Organisation", "Identification.RoleRegister", "Identification.SignInsPerMinute", "Identification.TokenKeyFile", "Identification.TokenRequestsPerMinute", "Identification.UpstreamAuthorityFile",
            "Identification.VerifiedTokens", "IdentifierKeyFile", "Keys", "ListenAddress", "MaxBinary", "MetricsListen", "NationalOrganisation", "Otlp", "Port", "ProtectedServicesFile", "PublicAddress",
            "Redis", "Repository", "TerminatorAddresses", "TerminatorCertificates", "TerminatorHeader", "TerminatorListen", "TlsCertificateFile", "TlsKeyFile",
        ], named);
    }

    [Theory]
    [InlineData(null, null, "Acrs")]
    [InlineData(" ", "fido", "Acrs")]
    [InlineData("c1", null, null)]
    [InlineData(null, "fido", null)]
    public void Operators_sign_in_by_means_that_resist_phishing(string? acrs, string? amr, string? wrong)
    {
        var operators = new Gateway.Identification.Operators.OperatorOptions
        {
            Address = "https://operators.example", Authority = "https://entra.example/tenant/v2.0", Tenant = "tenant", ClientId = "gateway", CertificateFile = Good().TlsCertificateFile, KeyFile = Good().TlsCertificateFile, LogKeyFile = Good().TlsCertificateFile,
            LogFolder = _audit, Acrs = acrs, Amr = amr is null ? [] : [amr],
        };
        var errors = Explain(Good() with { Identification = Good().Identification with { Operators = operators } });
        Assert.Equal(wrong is null ? [] : [$"Identification.Operators.{wrong}"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Theory]
    [InlineData("https://operators.example", null, null)]
    [InlineData("https://127.0.0.1:8450", 8450, null)]
    [InlineData(null, null, "Address")]
    [InlineData("https://localhost:8450", 8450, "Address")]
    [InlineData("https://LOCALHOST:8450", 8450, "Address")]
    [InlineData("https://operators.example/", null, "Address")]
    [InlineData("https://operators.example/operator", null, "Address")]
    [InlineData("http://operators.example", null, "Address")]
    [InlineData("https://operators.example", 8443, "Port")]
    [InlineData("https://operators.example", 0, "Port")]
    public void Operators_have_an_origin_whose_host_is_not_the_citizens(string? address, int? port, string? wrong)
    {
        var options = Shared() with { Redis = null };
        options = options with { Identification = options.Identification with { Operators = options.Identification.Operators! with { Address = address, Port = port } } };
        Assert.Equal(wrong is null ? [] : [$"Identification.Operators.{wrong}"], Explain(options).Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
        // A developer's machine may do without.
        Assert.Empty(Explain(Shared() with { Redis = null, CreateStores = true, Identification = options.Identification with { Operators = options.Identification.Operators! with { Address = null, Port = null } } }));
    }

    [Theory]
    [InlineData("https://asiointivaltuustarkastus.example", "kanta001", null)]
    [InlineData("https://asiointivaltuustarkastus.example:8443", "KANTA001", null)]
    [InlineData("https://asiointivaltuustarkastus.example/", "kanta001", "Address")]
    [InlineData("https://asiointivaltuustarkastus.example/base", "kanta001", "Address")]
    [InlineData("https://Asiointivaltuustarkastus.example", "kanta001", "Address")]
    [InlineData("https://user@asiointivaltuustarkastus.example", "kanta001", "Address")]
    [InlineData("http://asiointivaltuustarkastus.example", "kanta001", "Address")]
    [InlineData("https://asiointivaltuustarkastus.example", "kanta-01", "ClientId")]
    [InlineData("https://asiointivaltuustarkastus.example", "kanta01", "ClientId")]
    [InlineData("https://asiointivaltuustarkastus.example", null, "ClientId")]
    public void E_authorizations_is_an_https_origin_and_knows_this_client_by_eight_characters(string address, string? client, string? wrong)
    {
        var mandates = new Gateway.Identification.Mandates.MandateOptions { Address = address, ClientId = client!, ApiKeyFile = _file, OAuthPasswordFile = _file };
        var errors = Explain(Good() with { Identification = Good().Identification with { Mandates = mandates } });
        Assert.Equal(wrong is null ? [] : [$"Identification.Mandates.{wrong}"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Fact]
    public void What_configuration_left_out_is_named_and_not_stumbled_over()
    {
        var refusal = Assert.Throws<InvalidOperationException>((Good() with { Repository = null!, TlsKeyFile = null!, AuditOrigin = null!, Identification = null! }).Validate);
        foreach (var name in (string[])["Repository: ", "TlsKeyFile: ", "AuditOrigin: ", "Identification: missing"])
            Assert.Contains(name, refusal.Message);
    }

    [Theory]
    [InlineData("127.0.0.1:6379", true)]
    [InlineData("localhost:6379", true)]
    [InlineData("[::1]:6379", true)]
    [InlineData("!/run/redis.sock", true)]
    [InlineData("redis.example:6380,ssl=true,password={secret}", true)]
    [InlineData("redis.example:6380,ssl=true", false)]
    [InlineData("redis.example:6380,password={secret}", false)]
    [InlineData("127.0.0.1:6379,10.0.0.3:6379,password={secret}", false)]
    [InlineData("ssl=true,password={secret}", false)]
    [InlineData("redis.example:6380,ssl=perhaps,password={secret}", false)]
    public void Redis_elsewhere_takes_tls_and_a_password(string connection, bool holds)
    {
        var wrong = Explain(Shared() with { Redis = connection.Replace("{secret}", "fictional-secret", StringComparison.Ordinal) });
        Assert.Equal(holds, wrong.Count == 0);
        Assert.All(wrong, e => Assert.StartsWith("Redis: ", e));
        Assert.DoesNotContain("fictional-secret", string.Join(' ', wrong));
    }

    [Theory]
    [InlineData("unix:/run/repository.sock", true)]
    [InlineData("http://127.0.0.1:5000", true)]
    [InlineData("http://localhost:5000", true)]
    [InlineData("https://repository.example:5000", true)]
    [InlineData("http://repository.example:5000", false)]
    [InlineData("unix:run/repository.sock", false)]
    [InlineData("", false)]
    public void Records_and_grants_pass_on_protected_roads_only(string endpoint, bool holds)
    {
        Assert.Equal(holds, Explain(Good() with { Repository = endpoint }).Count == 0);
        Assert.Equal(holds, Explain(Good() with { Keys = endpoint }).Count == 0);
    }

    [Theory]
    [InlineData("https://kanta.example", true)]
    [InlineData("https://localhost:8443", true)]
    [InlineData("https://localhost:8443/", false)]
    [InlineData("https://localhost:8443/base", false)]
    [InlineData("https://user@localhost", false)]
    [InlineData("https://Kanta.Example", false)]
    [InlineData("http://localhost:8443", false)]
    [InlineData("localhost:8443", false)]
    public void The_public_address_is_an_https_origin(string address, bool holds) =>
        Assert.Equal(holds, Explain(Good() with { PublicAddress = address }).Count == 0);

    [Theory]
    [InlineData("http://127.0.0.1:9000", null, true)]
    [InlineData("http://127.0.0.1:8443", null, false)]
    [InlineData(null, "http://127.0.0.1:8443", false)]
    [InlineData("http://127.0.0.1:9000", "http://127.0.0.1:9000", false)]
    [InlineData("http://192.0.2.1:9000", null, false)]
    [InlineData(null, "http://192.0.2.1:9000", false)]
    [InlineData("https://127.0.0.1:9000", null, false)]
    [InlineData(null, "https://127.0.0.1:9000", false)]
    public void Inner_listeners_are_on_loopback_ports_of_their_own(string? terminator, string? metrics, bool holds) =>
        Assert.Equal(holds, Explain(Good() with { TerminatorListen = terminator, MetricsListen = metrics }).Count == 0);

    [Theory]
    [InlineData("https://10.0.0.5:9000", "10.0.0.1", Fingerprint, null)]
    [InlineData("https://0.0.0.0:9000", "10.0.0.0/28", "aB:aB", null)]
    [InlineData("https://[::]:9000", "2001:db8::1", Fingerprint, null)]
    [InlineData("https://10.0.0.5:8443", "10.0.0.1", Fingerprint, "TerminatorListen")]
    [InlineData("https://gateway.example:9000", "10.0.0.1", Fingerprint, "TerminatorListen")]
    [InlineData("https://10.0.0.5:9000/path", "10.0.0.1", Fingerprint, "TerminatorListen")]
    [InlineData("http://10.0.0.5:9000", null, null, "TerminatorListen")]
    [InlineData("https://10.0.0.5:9000", null, Fingerprint, "TerminatorAddresses")]
    [InlineData("https://10.0.0.5:9000", "terminator.example", Fingerprint, "TerminatorAddresses")]
    [InlineData("https://10.0.0.5:9000", "0.0.0.0/0", Fingerprint, "TerminatorAddresses")]
    [InlineData("http://127.0.0.1:9000", "10.0.0.1", null, "TerminatorAddresses")]
    [InlineData("https://10.0.0.5:9000", "10.0.0.1", null, "TerminatorCertificates")]
    [InlineData("https://10.0.0.5:9000", "10.0.0.1", "ABAB", "TerminatorCertificates")]
    [InlineData("http://127.0.0.1:9000", null, Fingerprint, "TerminatorCertificates")]
    public void A_terminator_elsewhere_is_named_by_addresses_and_certificates(string listen, string? address, string? fingerprint, string? wrong)
    {
        fingerprint = fingerprint == "aB:aB" ? string.Join(':', Enumerable.Repeat("aB", 32)) : fingerprint;
        var options = Good() with
        {
            TerminatorListen = listen, TerminatorHeader = "Client-Cert",
            TerminatorAddresses = address is null ? [] : [address], TerminatorCertificates = fingerprint is null ? [] : [fingerprint],
        };
        var errors = Explain(options);
        Assert.Equal(wrong is null ? [] : [wrong], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Theory]
    [InlineData("2027-01-31T03:00:00Z", "2027-02-28T03:00:00Z", null)]
    [InlineData("2027-01-31T03:00:00+02:00", "2027-02-28T03:00:00Z", "[0].SignsFrom")]
    [InlineData("2027-01-31T03:00:00Z", "2027-01-31T03:00:00Z", "[1].SignsFrom")]
    [InlineData("0001-01-01T00:00:00Z", "2027-02-28T03:00:00Z", "[0].SignsFrom")]
    public void Token_keys_take_over_one_after_the_other_at_moments_in_utc(string first, string second, string? wrong)
    {
        FollowingTokenKey From(string moment) => new() { File = _file, SignsFrom = DateTimeOffset.Parse(moment, System.Globalization.CultureInfo.InvariantCulture) };
        var errors = Explain(Good() with { Identification = Good().Identification with { FollowingTokenKeys = [From(first), From(second)] } });
        Assert.Equal(wrong is null ? [] : [$"Identification.FollowingTokenKeys{wrong}"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Fact]
    public void Only_the_log_key_may_be_missing_and_only_where_stores_are_made()
    {
        File.Delete(Path.Combine(_audit, "log.key"));
        Assert.StartsWith("AuditFolder: has no log.key", Assert.Single(Explain(Good())));
        Assert.Empty(Explain(Good() with { CreateStores = true }));
        Assert.StartsWith("GrantKeyFile: ", Assert.Single(Explain(Good() with { CreateStores = true, GrantKeyFile = "/nowhere" })));
    }

    /// <summary>Traficom 213/2023 S: brokers give test identities at levels of their own.</summary>
    [Theory]
    [InlineData("http://ftn.ficora.fi/2017/loa3", false, true)]
    [InlineData("http://ftn.ficora.fi/2017/loatest2", true, true)]
    [InlineData("http://ftn.ficora.fi/2017/loatest2", false, false)]
    [InlineData("http://ftn.ficora.fi/2017/LoaTest3", false, false)]
    public void A_level_of_test_identities_is_taken_only_where_test_identity_codes_are(string acr, bool testCodes, bool holds)
    {
        var options = Good();
        var identification = options.Identification with { TestIdentityCodes = testCodes, Citizens = options.Identification.Citizens! with { Acr = acr } };
        Assert.Equal(holds, Explain(options with { Identification = identification }).Count == 0);
        identification = identification with { Citizens = options.Identification.Citizens! with { Acr = "http://ftn.ficora.fi/2017/loa2", FurtherAcrs = [acr] } };
        Assert.Equal(holds, Explain(options with { Identification = identification }).Count == 0);
    }

    [Theory]
    [InlineData(false, true, false)]
    [InlineData(true, true, true)]
    [InlineData(false, false, true)]
    public void Real_professionals_are_looked_up_in_the_role_register(bool testCodes, bool hasProfessionals, bool holds)
    {
        var options = Good();
        var identification = options.Identification with { RoleRegister = null, TestIdentityCodes = testCodes };
        if (!hasProfessionals)
            identification = identification with { ProfessionalIssuers = [] };
        var wrong = Explain(options with { Identification = identification });
        Assert.Equal(holds, wrong.Count == 0);
        Assert.All(wrong, e => Assert.StartsWith("Identification.RoleRegister: ", e));
    }

    [Fact]
    public void A_sign_in_at_a_clinics_provider_has_a_client_and_its_certificate()
    {
        var options = Good();
        IReadOnlyList<string> Of(ProfessionalSignIn signIn) => Explain(options with
        {
            Identification = options.Identification with { ProfessionalIssuers = [options.Identification.ProfessionalIssuers[0] with { SignIn = signIn }] },
        });
        var file = options.TlsCertificateFile;
        Assert.Empty(Of(new("kanta-apps", file, file)));
        Assert.StartsWith("Identification.ProfessionalIssuers[0].SignIn.ClientId: ", Assert.Single(Of(new(" ", file, file))));
        Assert.StartsWith("Identification.ProfessionalIssuers[0].SignIn.CertificateFile: ", Assert.Single(Of(new("kanta-apps", "/nowhere", file))));
        Assert.StartsWith("Identification.ProfessionalIssuers[0].SignIn.KeyFile: ", Assert.Single(Of(new("kanta-apps", file, "/nowhere"))));
        Assert.StartsWith("Identification.IdTokenKeyFiles: ", Assert.Single(Explain(options with { Identification = options.Identification with { IdTokenKeyFiles = ["/nowhere"] } })));
    }

    [Theory]
    [InlineData("https://login.microsoftonline.com/5f8a1c52-0000-4000-8000-000000000001/v2.0", "5f8a1c52-0000-4000-8000-000000000001", true)]
    [InlineData("https://login.microsoftonline.com/5f8a1c52-0000-4000-8000-000000000001/v2.0", "5f8a1c52-0000-4000-8000-000000000002", false)]
    [InlineData("https://login.microsoftonline.com/5f8a1c52-0000-4000-8000-000000000001/v2.0", null, false)]
    [InlineData("https://login.microsoftonline.com/common/v2.0", "common", false)]
    [InlineData("https://login.microsoftonline.com/common/v2.0", null, false)]
    [InlineData("https://idp.example/clinic", null, true)]
    public void An_issuer_of_Entra_names_its_tenant(string issuer, string? tenant, bool holds)
    {
        var options = Good();
        var identification = options.Identification with { ProfessionalIssuers = [new(issuer, "kanta", "1.2.246.10.90000001") { Tenant = tenant }] };
        Assert.Equal(holds, Explain(options with { Identification = identification }).Count == 0);
    }

    [Fact]
    public void Authorities_of_cards_are_named_with_where_they_say_what_they_have_revoked()
    {
        using var authority = DevelopmentAuthority.Create();
        var file = Path.Combine(_audit, "cards.pem");
        File.WriteAllText(file, authority.CertificatePem);
        IReadOnlyList<string> Of(CardOptions cards) => Explain(Good() with { Identification = Good().Identification with { ProfessionalCards = cards } });

        Assert.Empty(Of(new() { AuthorityFile = file, RevocationSources = [new() { Authority = authority.Fingerprint, CrlAddress = "http://crl.example/cards.crl" }] }));
        Assert.StartsWith("Identification.ProfessionalCards.RevocationSources: ", Assert.Single(Of(new() { AuthorityFile = file, RevocationSources = [] })));
        Assert.StartsWith("Identification.ProfessionalCards.RevocationSources[0].", Of(new() { AuthorityFile = file, RevocationSources = [new() { Authority = authority.Fingerprint, Unchecked = true }] })[0]);
        Assert.StartsWith("Identification.ProfessionalCards.AuthorityFile: ", Of(new() { AuthorityFile = "/nowhere", RevocationSources = [] })[0]);
    }

    [Fact]
    public void The_role_register_is_named_as_it_has_to_be()
    {
        var options = Good();
        var register = new RoleRegisterOptions { Address = "http://register.example/", CertificateFile = "/nowhere", KeyFile = "/nowhere", TimeoutSeconds = 11 };
        Assert.Equal(["Address", "CertificateFile", "KeyFile", "TimeoutSeconds"],
            Explain(options with { Identification = options.Identification with { RoleRegister = register } }).Select(e => e.Split(':')[0].Split('.')[^1]));
    }

    [Fact]
    public void A_sign_in_can_tell_the_levels_apart()
    {
        var options = Good();
        var citizens = options.Identification.Citizens! with { FurtherAcrs = ["https://broker.example/loa2"] };
        Assert.StartsWith("Identification.Citizens.FurtherAcrs: ", Assert.Single(Explain(options with { Identification = options.Identification with { Citizens = citizens } })));
    }

    [Theory]
    [InlineData(false, false, false, false)]
    [InlineData(false, false, true, true)]
    [InlineData(true, false, false, true)]
    [InlineData(false, true, false, true)]
    [InlineData(true, true, true, false)]
    public void Real_people_are_identified_with_keys_that_were_exchanged_beforehand(bool pinned, bool signed, bool testCodes, bool holds)
    {
        var options = Good();
        var citizens = options.Identification.Citizens! with { BrokerJwksFile = pinned ? _file : null, BrokerSignedJwksKeyFile = signed ? _file : null };
        var identification = options.Identification with { TestIdentityCodes = testCodes, Citizens = citizens };
        Assert.Equal(holds, Explain(options with { Identification = identification }).Count == 0);
    }

    public static TheoryData<string, bool, bool> RevocationOf => new()
    {
        // What a source has, in a test environment or not, and whether that holds.
        { "list", false, true }, { "responder", false, true }, { "file", false, true },
        { "nothing", false, false }, { "nothing", true, false }, { "no entry", false, false }, { "no entry", true, false }, { "two entries", false, false },
        { "unchecked", false, false }, { "unchecked", true, true }, { "unchecked and a list", true, false },
        { "another authority's list", false, false }, { "list and file", false, false }, { "no such file", false, false }, { "ftp", false, false },
        { "too old", false, false }, { "too patient", false, false },
    };

    /// <summary>Act 703/2023 §8: that the means of identification are valid is checked; production does not start without.</summary>
    [Theory, MemberData(nameof(RevocationOf))]
    public void Every_client_authority_is_asked_what_it_has_revoked(string what, bool isTest, bool holds)
    {
        using var other = DevelopmentAuthority.Create();
        var list = List;
        var bare = list with { CrlAddress = null };
        RevocationSource[] sources = what switch
        {
            "list" => [list],
            "responder" => [bare with { OcspAddress = "https://authority.example/ocsp", Authority = string.Join(':', Convert.FromHexString(Authority.Fingerprint).Select(b => b.ToString("x2"))) }],
            "file" => [bare with { CrlFile = _file }],
            "nothing" => [bare],
            "no entry" => [],
            "two entries" => [list, list],
            "unchecked" => [bare with { Unchecked = true }],
            "unchecked and a list" => [list with { Unchecked = true }],
            "another authority's list" => [list with { Authority = other.Fingerprint }],
            "list and file" => [list with { CrlFile = _file }],
            "no such file" => [bare with { CrlFile = "/nowhere" }],
            "ftp" => [list with { CrlAddress = "ftp://authority.example/ca.crl" }],
            "too old" => [list with { MaxAgeSeconds = 3601 }],
            _ => [list with { TimeoutSeconds = 11 }],
        };
        var options = Good();
        var wrong = Explain(options with { Identification = options.Identification with { TestIdentityCodes = isTest, RevocationSources = sources } });
        Assert.Equal(holds, wrong.Count == 0);
        Assert.All(wrong, error => Assert.StartsWith("Identification.RevocationSources", error));
    }

    [Theory]
    [InlineData("interval", "Breach.Probes.IntervalSeconds")]
    [InlineData("no blind round", "Breach.Probes.BlindRounds")]
    [InlineData("blind for long", "Breach.Probes.BlindRounds")]
    [InlineData("code of the 900 series", "Breach.Probes.IdentityCodes")]
    [InlineData("no code", "Breach.Probes.IdentityCodes")]
    [InlineData("one organisation", "Breach.Probes.Reader")]
    [InlineData("http", "Breach.Probes.SubjectTokenAddress")]
    [InlineData("no key", "Breach.Probes.Reader.KeyFile")]
    [InlineData("no folder", "Breach.CaseFolder")]
    [InlineData("good", null)]
    public void Probes_ask_about_nobody_real_and_often_enough(string what, string? wrong)
    {
        // One that the population register keeps free for examples.
        var code = $"{"010203"}-898{KantaGateway.Fhir.Identifiers.PersonalIdentityCode.CheckCharacterOf("010203", "898")}";
        KantaGateway.Gateway.Breach.ProbeSystem System(string organisation) => new() { ClientId = "probe", KeyFile = _file, CertificateFile = _file, CertificateKeyFile = _file, Organisation = organisation };
        var probes = new KantaGateway.Gateway.Breach.ProbeOptions
        {
            IdentityCodes = [code], Archivist = System("1.2.246.10.1"), Reader = System("1.2.246.10.2"), Professional = "someone", SubjectTokenAddress = "https://idp.example/subject",
        };
        probes = what switch
        {
            "interval" => probes with { IntervalSeconds = 31 },
            "no blind round" => probes with { BlindRounds = 0 },
            "blind for long" => probes with { BlindRounds = 21 },
            "code of the 900 series" => probes with { IdentityCodes = [KantaGateway.Dev.DevelopmentFolder.ProbeCodes[0]] },
            "no code" => probes with { IdentityCodes = [] },
            "one organisation" => probes with { Reader = System("1.2.246.10.1") },
            "http" => probes with { SubjectTokenAddress = "http://idp.example/subject" },
            "no key" => probes with { Reader = System("1.2.246.10.2") with { KeyFile = "/nowhere" } },
            _ => probes,
        };
        var errors = Explain(Good() with { Breach = new() { CaseFolder = what == "no folder" ? "/nowhere" : _audit, Probes = probes, Escalation = Told("https://one.example/", "https://two.example/") } });
        Assert.Equal(wrong is null ? [] : [wrong], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Theory]
    [InlineData("good", null)]
    [InlineData("nobody", "Breach.Escalation")]
    [InlineData("one", "Breach.Escalation.Recipients")]
    [InlineData("one host", "Breach.Escalation.Recipients")]
    [InlineData("one name", "Breach.Escalation.Recipients")]
    [InlineData("http", "Breach.Escalation.Recipients")]
    [InlineData("seldom", "Breach.Escalation.RepeatMinutes")]
    [InlineData("not more often", "Breach.Escalation.UrgentMinutes")]
    [InlineData("no notice folder", "Breach.Notices.Folder")]
    [InlineData("no letters", "Breach.Notices.LetterFolder")]
    [InlineData("no printer", "Breach.Notices.LetterKey")]
    [InlineData("a short key", "Breach.Notices.LetterKey")]
    public void A_breach_is_told_to_two_who_are_not_one(string what, string? wrong)
    {
        var told = what switch
        {
            "one" => Told("https://one.example/"),
            "one host" => Told("https://one.example/a", "https://ONE.example:444/b"),
            "http" => Told("https://one.example/", "http://two.example/"),
            _ => Told("https://one.example/", "https://two.example/"),
        };
        told = what switch
        {
            "one name" => told with { Recipients = [.. told.Recipients.Select(static one => one with { Name = "same" })] },
            "seldom" => told with { RepeatMinutes = 1_441 },
            "not more often" => told with { UrgentMinutes = 61 },
            _ => told,
        };
        var errors = Explain(Good() with
        {
            Breach = new()
            {
                CaseFolder = _audit, Escalation = what == "nobody" ? null : told,
                Notices = new() { Folder = what == "no notice folder" ? "/nowhere" : _audit, LetterFolder = what == "no letters" ? "" : _audit, LetterKey = what switch { "no printer" => "", "a short key" => Convert.ToBase64String(new byte[31]), _ => Convert.ToBase64String(new byte[32]) } },
            },
        });
        Assert.Equal(wrong is null ? [] : [wrong], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    private static KantaGateway.Gateway.Breach.EscalationOptions Told(params IReadOnlyList<string> addresses) =>
        new() { Recipients = [.. addresses.Select(static (address, i) => new KantaGateway.Gateway.Breach.EscalationRecipient { Name = $"recipient {i}", Address = address })] };

    [Theory]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.UserWrite, true)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.GroupRead, true)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.OtherRead, false)]
    [InlineData(UnixFileMode.UserRead | UnixFileMode.GroupWrite, false)]
    public void A_key_that_others_may_read_or_change_is_no_start(UnixFileMode mode, bool holds)
    {
        // There the folder's own access list decides.
        if (OperatingSystem.IsWindows())
            return;
        var key = Path.Combine(_audit, "some.key");
        File.WriteAllText(key, "");
        File.SetUnixFileMode(key, mode);
        File.SetUnixFileMode(Path.Combine(_audit, "log.key"), mode);
        var good = Good();
        var errors = Explain(good with
        {
            TlsKeyFile = key, GrantKeyFile = key, IdentifierKeyFile = key,
            Identification = good.Identification with
            {
                TokenKeyFile = key, IdTokenKeyFiles = [key], FollowingTokenKeys = [new() { File = key, SignsFrom = new(2027, 1, 31, 3, 0, 0, TimeSpan.Zero) }],
                RoleRegister = good.Identification.RoleRegister! with { KeyFile = key },
                Citizens = good.Identification.Citizens! with { SigningKeyFile = key, EncryptionKeyFile = key },
            },
        });
        Assert.Equal(holds ? [] :
        [
            "AuditFolder", "GrantKeyFile", "Identification.Citizens.EncryptionKeyFile", "Identification.Citizens.SigningKeyFile", "Identification.FollowingTokenKeys[0].File", "Identification.IdTokenKeyFiles",
            "Identification.RoleRegister.KeyFile", "Identification.TokenKeyFile", "IdentifierKeyFile", "TlsKeyFile",
        ], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]).Order(StringComparer.Ordinal));
        Assert.All(errors, error => Assert.Contains("chmod 600", error));
    }

    [Theory]
    [InlineData(-30, -1, "ended on")]
    [InlineData(1, 30, "begins on")]
    [InlineData(-1, 30, null)]
    public void A_certificate_that_is_not_valid_now_is_no_start(int fromDays, int toDays, string? wrong)
    {
        var now = DateTimeOffset.UtcNow;
        var issued = Authority.IssueOrganisation(KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000011"), "Aurora", now.AddDays(fromDays), now.AddDays(toDays));
        var file = Path.Combine(_audit, "tls.pem");
        File.WriteAllText(file, issued.ChainPem);
        var good = Good();
        var errors = Explain(good with { TlsCertificateFile = file, Identification = good.Identification with { RoleRegister = good.Identification.RoleRegister! with { CertificateFile = file } } });
        Assert.Equal(wrong is null ? [] : ["TlsCertificateFile", "Identification.RoleRegister.CertificateFile"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
        Assert.All(errors, error => Assert.Contains(wrong!, error));
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public void An_authority_that_has_ended_counts_only_beside_one_that_has_not(bool isBeside, bool holds)
    {
        using var ended = Authority.IssueAuthority("Ended", DateTimeOffset.UtcNow.AddMinutes(-1));
        File.WriteAllText(_file, isBeside ? Authority.CertificatePem + ended.CertificatePem : ended.CertificatePem);
        var good = Good();
        var errors = Explain(good with
        {
            TlsCertificateFile = WrittenServer(),
            Identification = good.Identification with
            {
                RoleRegister = good.Identification.RoleRegister! with { CertificateFile = WrittenServer() },
                RevocationSources = [.. new[] { isBeside ? Authority : ended, ended }.Distinct().Select(authority => List with { Authority = authority.Fingerprint })],
            },
        });
        Assert.Equal(holds ? [] : ["ClientAuthorityFile"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Theory]
    [InlineData(10, 15, 19, 60, 24, 10, null)]
    [InlineData(0, 15, 19, 60, 24, 10, "Breadth.System")]
    [InlineData(16, 15, 19, 60, 24, 10, "Breadth.System")]
    [InlineData(10, 15, 19, 100_001, 24, 10, "Breadth.System")]
    [InlineData(10, 15, 19, 60, 0, 10, "Breadth.StepDownHours")]
    [InlineData(10, 15, 19, 60, 721, 10, "Breadth.StepDownHours")]
    [InlineData(10, 15, 19, 60, 24, 0, "AlarmScore")]
    public void Breadth_is_bounded_and_no_longer_window_allows_fewer(int minute, int hour, int day, int month, int hours, int score, string? wrong)
    {
        var breadth = new KantaGateway.Gateway.Breach.BreadthOptions { System = new(minute, hour, day, month), StepDownHours = hours };
        var errors = Explain(Good() with { Breach = new() { CaseFolder = _audit, Breadth = breadth, AlarmScore = score, Escalation = Told("https://one.example/", "https://two.example/") } });
        Assert.Equal(wrong is null ? [] : [$"Breach.{wrong}"], errors.Select(e => e[..e.IndexOf(':', StringComparison.Ordinal)]));
    }

    [Fact]
    public void Gateways_that_share_state_follow_the_operators_decisions()
    {
        var alone = Good();
        Assert.Empty(Explain(alone));
        Assert.StartsWith("Identification.Operators: ", Assert.Single(Explain(alone with { Redis = "!/run/redis.sock" })), StringComparison.Ordinal);
        Assert.StartsWith("Breach.PeopleFile: ", Assert.Single(Explain(alone with { Breach = new() { CaseFolder = _audit, PeopleFile = _file, Escalation = Told("https://one.example/", "https://two.example/") } })), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("default", "foobared", false)]
    [InlineData("gateway", "Gateway", false)]
    [InlineData("gateway", "Vahva-salaisuus-1", true)]
    public void A_password_that_comes_with_Redis_is_none(string user, string password, bool holds) =>
        Assert.Equal(holds, Explain(Shared() with { Redis = $"127.0.0.1:6379,user={user},password={password}" }).Count == 0);

    [Theory]
    [InlineData("Host=/run/postgresql;Username=kanta_audit", null, null)]
    [InlineData("Host=db.example;Username=kanta_audit", "Vahva-salaisuus-1", "AuditPostgres: over TCP it needs SSL Mode=VerifyFull")]
    [InlineData("Host=db.example;Username=kanta_audit;SSL Mode=VerifyFull", "Vahva-salaisuus-1", "AuditPostgres: over TCP it needs Root Certificate")]
    [InlineData("Host=/run/postgresql;Username=kanta_audit", "postgres", "AuditPostgres: a default password")]
    [InlineData("Host=/run/postgresql", null, "AuditPostgres: names no role")]
    [InlineData("Vahva-salaisuus-1", null, "AuditPostgres: not a connection string")]
    public void The_audit_logs_database_is_near_or_verified_and_has_no_default_password(string connection, string? password, string? wrong)
    {
        var errors = Explain(Good() with { AuditPostgres = password is null ? connection : $"{connection};Password={password}" });
        Assert.Equal(wrong is null, errors.Count == 0);
        if (wrong is not null)
            Assert.Contains(errors, error => error.StartsWith(wrong, StringComparison.Ordinal));
        Assert.DoesNotContain(errors, error => error.Contains("Vahva", StringComparison.Ordinal));
    }

    [Fact]
    public void A_gateway_is_not_told_the_audit_logs_owner_and_a_migration_is()
    {
        const string Service = "Host=/run/postgresql;Username=kanta_audit", Owner = "Host=/run/postgresql;Username=kanta_audit_owner";
        static IReadOnlyList<string> Migration(GatewayOptions options) => GatewayOptionsCheck.ForMigration(options, isMove: false).Wrong;
        Assert.StartsWith("AuditPostgresOwner: for the commands migrate-audit and move-audit alone", Assert.Single(Explain(Good() with { AuditPostgres = Service, AuditPostgresOwner = Owner })));
        Assert.Empty(Migration(Good() with { AuditPostgres = Service, AuditPostgresOwner = Owner, Port = 0 }));
        Assert.StartsWith("AuditPostgresOwner: needed", Assert.Single(Migration(Good() with { AuditPostgres = Service })));
        Assert.StartsWith("AuditPostgresOwner: the role of AuditPostgres", Assert.Single(Migration(Good() with { AuditPostgres = Service, AuditPostgresOwner = Service })));
        Assert.StartsWith("AuditPostgres: missing", Assert.Single(Migration(Good())));
    }

    [Fact]
    public void A_log_in_files_and_one_in_a_database_have_not_the_same_key()
    {
        File.WriteAllText(Path.Combine(_audit, "log"), "");
        Assert.Empty(Explain(Good()));
        Assert.StartsWith("AuditFolder: has a log in files", Assert.Single(Explain(Good() with { AuditPostgres = "Host=/run/postgresql;Username=kanta_audit" })));
    }

    private string WrittenServer()
    {
        var file = Path.Combine(_audit, "server.pem");
        File.WriteAllText(file, Authority.IssueServer("localhost").ChainPem);
        return file;
    }

    private static RevocationSource List => new() { Authority = Authority.Fingerprint, CrlAddress = "http://authority.example/ca.crl" };

    /// <summary>With the operators that gateways need who share state.</summary>
    private GatewayOptions Shared() => Good() with
    {
        Identification = Good().Identification with
        {
            Operators = new() { Address = "https://operators.example", Authority = "https://entra.example/tenant/v2.0", Tenant = "tenant", ClientId = "gateway", CertificateFile = _file, KeyFile = _file, LogKeyFile = _file, LogFolder = _audit, Amr = ["fido"] },
        },
    };

    private GatewayOptions Good() => new()
    {
        PublicAddress = "https://localhost:8443", Port = 8443, TlsCertificateFile = _file, TlsKeyFile = _file, ClientAuthorityFile = _file,
        Repository = "unix:/run/repository.sock", Keys = "unix:/run/keys.sock", GrantKeyFile = _file, IdentifierKeyFile = _file,
        AuditFolder = _audit, AuditOrigin = "localhost/kanta-audit",
        Identification = new IdentificationOptions
        {
            ClientsFile = _file, TokenKeyFile = _file, RevocationSources = [List],
            ProfessionalIssuers = [new("https://idp.example/clinic", "kanta", "1.2.246.10.90000001")],
            RoleRegister = new() { Address = "https://register.example", CertificateFile = _file, KeyFile = _file },
            Citizens = new() { Authority = "https://broker.example", ClientId = "portal", SigningKeyFile = _file, EncryptionKeyFile = _file, Acr = "http://ftn.ficora.fi/2017/loa2", BrokerJwksFile = _file },
        },
    };
}
