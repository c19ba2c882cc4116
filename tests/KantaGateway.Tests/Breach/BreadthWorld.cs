using System.Diagnostics.Metrics;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Audit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Breach;

/// <summary>Gateways that count together, by a clock that the test turns; cases on disk.</summary>
sealed class BreadthWorld : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-breadth-").FullName;
    private readonly LogFolder _auditFolder = new();
    private readonly AuditLog _audit;
    private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public BreadthWorld()
    {
        _audit = AuditLog.Open(_auditFolder.Options(), TimeProvider.System);
        Metrics = new(_meters.GetRequiredService<IMeterFactory>());
        Options = new()
        {
            PublicAddress = "https://localhost", Port = 1, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", AuditFolder = "", AuditOrigin = "",
            CreateStores = true, Identification = null!, Breach = new() { CaseFolder = Path.Combine(_folder, "cases"), PeopleFile = Path.Combine(_folder, "people") },
        };
        Cases = new(Options, _audit, Clock);
        Shared = new MemoryState(Clock);
    }

    /// <summary>A Monday, eight in the morning in Finland.</summary>
    public FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2026, 11, 30, 6, 0, 0, TimeSpan.Zero));

    public KantaGateway.Gateway.GatewayOptions Options { get; }
    public BreachCases Cases { get; }
    public BreachMetrics Metrics { get; }
    public ISharedState Shared { get; set; }
    public string CaseFolder => Options.Breach!.CaseFolder;

    public BreadthBudgets Gateway(BreadthOptions? options = null) =>
        new(Shared, options ?? new(), new IdentifierKey(new byte[32]), Cases, Metrics, Clock, NullLogger<BreadthBudgets>.Instance);

    public WatchedPeople People() => new(Options, new IdentifierKey(new byte[32]), Clock, NullLogger<WatchedPeople>.Instance);

    public Signs Signs(WatchedPeople? people = null) => new(Options, Metrics, Clock, NullLogger<Signs>.Instance, people);

    public static Pseudonym Person(int number) => Pseudonym.Read([1, 2, 3, 4, 5, 6, (byte)(number >> 24), (byte)(number >> 16), (byte)(number >> 8), (byte)number]);

    public Requester Professional(string id, string client = "hospital", string organisation = "1.2.246.10.99000033") => System(client, organisation) with { Kind = RequesterKind.Professional, ProfessionalId = id };

    public Requester System(string client = "hospital", string organisation = "1.2.246.10.99000033") => new()
    {
        Kind = RequesterKind.System,
        ClientId = client,
        Organisation = Oid.Parse(organisation),
        OrganisationName = "Keskussairaala",
        ControllerKind = ControllerKind.Public,
        PurposeOfUse = "TREAT",
        TokenId = "token",
        Scopes = [],
        Expires = DateTimeOffset.MaxValue,
    };

    public async ValueTask DisposeAsync()
    {
        Cases.Dispose();
        await _audit.DisposeAsync();
        _auditFolder.Dispose();
        _meters.Dispose();
        Directory.Delete(_folder, true);
    }
}
