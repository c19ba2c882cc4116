using System.Diagnostics.Metrics;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Identification;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Breach;

/// <summary>The machine's containment where the disk does not take the case or the decision: in force all the same, and kept as soon as it can be.</summary>
public sealed class ContainingTests : IAsyncLifetime
{
    private static readonly ContainedSubject Client = ContainedSubject.Client("clinic");

    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-containing-").FullName;
    private readonly FakeTimeProvider _clock = new(DateTimeOffset.UtcNow);
    private readonly LogFolder _auditFolder = new();
    private readonly AuditLog _audit;
    private readonly BreachCases _cases;
    private readonly Revocations _revocations;
    private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public ContainingTests()
    {
        Directory.CreateDirectory(Decisions);
        Directory.CreateDirectory(Cases);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(KeyFile, key.ExportPkcs8PrivateKeyPem());
        _audit = AuditLog.Open(_auditFolder.Options(), TimeProvider.System);
        _revocations = new(null, _clock);
        _cases = new(new KantaGateway.Gateway.GatewayOptions
        {
            PublicAddress = "https://localhost", Port = 1, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            Identification = null!, Breach = new() { CaseFolder = Cases },
        }, _audit, _clock);
    }

    private string Decisions => Path.Combine(_folder, "decisions");
    private string Cases => Path.Combine(_folder, "cases");
    private string KeyFile => Path.Combine(_folder, "key.pem");

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        _cases.Dispose();
        await _audit.DisposeAsync();
        _auditFolder.Dispose();
        _meters.Dispose();
        Directory.Delete(_folder, true);
    }

    [Fact]
    public async Task It_is_told_and_kept_with_its_case_once()
    {
        var approvals = Approved();
        using var containing = On(approvals);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() => containing.ContainAsync(Client, BreachKind.CanaryTouched, "A canary."))));
        Assert.True(_revocations.IsRevoked(RevokedName.Contained(Client)));
        Assert.Single(_cases.All);
        Assert.Equal(1, Approved().Current.Contained["client/clinic"].Case);
        Assert.Single(Directory.GetFiles(Decisions, "*.jws"));
    }

    [Fact]
    public async Task Where_the_decision_cannot_be_kept_it_is_told_until_it_can()
    {
        var approvals = Approved();
        using var containing = On(approvals);
        // Somebody else's file where the next entry would be: the log cannot be relied on.
        var broken = Path.Combine(Decisions, "00000001.jws");
        await File.WriteAllTextAsync(broken, "nobody signed this");
        await containing.ContainAsync(Client, BreachKind.CanaryTouched, "A canary.");
        for (var second = 0; second < 300; second += 30)
        {
            Assert.True(_revocations.IsRevoked(RevokedName.Contained(Client)));
            _clock.Advance(TimeSpan.FromSeconds(30));
            await containing.RetryAsync();
        }
        Assert.Single(_cases.All);
        File.Delete(broken);
        await containing.RetryAsync();
        Assert.Equal(1, Approved().Current.Contained["client/clinic"].Case);
        // And from then on nothing is tried any more.
        await containing.RetryAsync();
        Assert.Single(Directory.GetFiles(Decisions, "*.jws"));
        Assert.Single(_cases.All);
    }

    [Fact]
    public async Task Where_the_case_cannot_be_opened_the_decision_is_kept_and_gets_its_number_later()
    {
        var approvals = Approved();
        using var containing = On(approvals);
        var taken = Path.Combine(Cases, "00000001.json");
        Directory.CreateDirectory(taken);
        await containing.ContainAsync(Client, BreachKind.CanaryTouched, "A canary.");
        Assert.Null(Approved().Current.Contained["client/clinic"].Case);
        Directory.Delete(taken);
        await containing.RetryAsync();
        Assert.Equal(1, Approved().Current.Contained["client/clinic"].Case);
        Assert.Single(_cases.All);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_telling_that_failed_is_tried_again_until_it_is_told_and_no_longer(bool isTouchedAgain)
    {
        var log = new LogThatIsAway { IsAway = true };
        var revocations = new Revocations(log, _clock);
        var approvals = Approved();
        using var containing = new Containing(_cases, approvals, revocations, new(_meters.GetRequiredService<IMeterFactory>()), _clock, NullLogger<Containing>.Instance);
        Task AgainAsync() => isTouchedAgain ? containing.ContainAsync(Client, BreachKind.CanaryTouched, "A canary.") : containing.RetryAsync();
        await containing.ContainAsync(Client, BreachKind.CanaryTouched, "A canary.");
        await AgainAsync();
        Assert.False(revocations.IsKnownRevoked(RevokedName.Contained(Client)));
        log.IsAway = false;
        await AgainAsync();
        Assert.True(revocations.IsKnownRevoked(RevokedName.Contained(Client)));
        _clock.Advance(Approvals.Told * 2);
        await AgainAsync();
        Assert.False(revocations.IsKnownRevoked(RevokedName.Contained(Client)));
        Assert.Single(_cases.All);
        Assert.Single(Directory.GetFiles(Decisions, "*.jws"));
    }

    /// <summary>Of one gateway.</summary>
    private sealed class LogThatIsAway : IRevocationLog
    {
        private readonly List<Revocation> _entries = [];

        public bool IsAway { get; set; }

        public ValueTask<RevocationNews> RenewAsync(string gateway, long applied, Revocation? last, TimeSpan lease) => new(new RevocationNews(false, _entries.Count, [.. _entries.Where(e => e.Sequence > applied)]));

        public ValueTask<long> AddAsync(string name, DateTimeOffset until, bool anew)
        {
            if (IsAway)
                throw new SharedStateException("away");
            _entries.Add(new(name, until, _entries.Count + 1));
            return new(_entries.Count);
        }

        public ValueTask<bool> IsAwaitedAsync(long sequence, TimeSpan lease) => new(false);

        public ValueTask SubscribeAsync(Action told, Action reconnected) => default;
    }

    private Approvals Approved() => new(new DecisionLog(Decisions, KeyFile), new SeenActs(), _clock, NullLogger<Approvals>.Instance);

    private Containing On(Approvals approvals) => new(_cases, approvals, _revocations, new(_meters.GetRequiredService<IMeterFactory>()), _clock, NullLogger<Containing>.Instance);
}
