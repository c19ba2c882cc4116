using System.Net;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Sealing;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Portal;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Breach;

/// <summary>Cases, their escalation and their notices on a disk of their own, with a clock that the test turns and recipients that answer as told.</summary>
sealed class BreachWorld : IAsyncDisposable
{
    public const string Supervisor = "https://supervisor.example/cases", Ombudsman = "https://ombudsman.example/cases";

    public static readonly NoticeWords Words = new(
        new("Palvelimelle murtauduttiin.", "Tietojasi voidaan julkaista.", "Palvelin on suljettu."), new("Ett intrång gjordes i en server.", "Dina uppgifter kan publiceras.", "Servern är stängd."),
        new("A server was broken into.", "Your data may be published.", "The server is closed."), "Tietosuojavastaava Toivo Koe, 029 000 0000");

    private readonly TemporaryFolder _folder = new();
    private readonly LogFolder _log = new();

    /// <param name="start">Where the clock stands; null: in March 2026.</param>
    public BreachWorld(DateTimeOffset? start = null)
    {
        Clock = new(start ?? new(2026, 3, 2, 8, 0, 0, TimeSpan.Zero));
        Directory.CreateDirectory(_folder.File("cases"));
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_folder.File("token.pem"), key.ExportPkcs8PrivateKeyPem());
        Keys = new([new TokenKey(_folder.File("token.pem"))], Clock);
        Options = PortalUnderTest.Options(false) with
        {
            CreateStores = true,
            Breach = new()
            {
                CaseFolder = _folder.File("cases"),
                Escalation = new() { Recipients = [new() { Name = "supervisor", Address = Supervisor }, new() { Name = "ombudsman", Address = Ombudsman }] },
                Notices = new() { Folder = _folder.File("notices"), LetterFolder = _folder.File("letters"), LetterKey = Convert.ToBase64String(SealedBox.PublicKeyOf(LetterKey)) },
            },
        };
        Audit = AuditLog.Open(_log.Options(_ =>
        {
            if (IsAuditAway)
                throw new IOException("away");
        }), TimeProvider.System);
        Cases = new(Options, Audit, Clock);
        Notices = new(Options, new byte[32], Cases, Audit, Clock);
    }

    /// <summary>The audit log's disk takes nothing.</summary>
    public bool IsAuditAway { get; set; }

    /// <summary>Of who prints letters.</summary>
    public static byte[] LetterKey { get; } = SealedBox.GeneratePrivateKey();

    public FakeTimeProvider Clock { get; }
    public GatewayOptions Options { get; set; }
    public TokenKeys Keys { get; }
    public AuditLog Audit { get; }
    public BreachCases Cases { get; private set; }
    public BreachNotices Notices { get; private set; }
    public Desks Outside { get; } = new();

    public string PathOf(string name) => _folder.File(name);

    public DateTimeOffset Now => Clock.GetUtcNow();

    public IReadOnlyList<BreachClock> ClocksOf(long number) =>
        BreachClocks.Of(Cases.Find(number)!, Cases.StepsOf(number), Cases.EndOf(number), TimeSpan.FromHours(Options.Breach!.PersonsWithinHours), Now);

    public BreachClock ClockOf(BreachClockKind kind) => ClocksOf(1).Single(clock => clock.Kind == kind);

    public BreachEscalation Escalation() => new(Cases, Keys, Audit, Options, Clock, NullLogger<BreachEscalation>.Instance, Outside);

    /// <summary>As after the end of the process.</summary>
    public void Restart()
    {
        Notices.Dispose();
        Cases.Dispose();
        Cases = new(Options, Audit, Clock);
        Notices = new(Options, new byte[32], Cases, Audit, Clock);
    }

    public Task<int?> SendAsync(params AffectedPerson[] people) => Notices.SendAsync(1, Words, people, "Tiina", static person => new IdentifierCipher(new byte[32]).PatientId(person), CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        Notices.Dispose();
        Cases.Dispose();
        await Audit.DisposeAsync();
        _log.Dispose();
        _folder.Dispose();
    }

    /// <summary>The recipients' hosts.</summary>
    public sealed class Desks : HttpMessageHandler
    {
        private readonly Lock _taking = new();
        private readonly TaskCompletionSource _both = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Each has been told of something.</summary>
        public Task Both => _both.Task;

        public List<(string To, string Token)> Told { get; } = [];

        /// <summary>An address that cannot be reached.</summary>
        public string? IsAway { get; set; }

        /// <summary>What whoever is reached answers.</summary>
        public HttpStatusCode Answer { get; set; } = HttpStatusCode.NoContent;

        public int CountOf(string address) => Told.Count(one => one.To == address);

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var to = request.RequestUri!.AbsoluteUri;
            if (to == IsAway)
                throw new HttpRequestException("Nobody is there.");
            if (Answer != HttpStatusCode.NoContent)
                return new(Answer);
            var token = await request.Content!.ReadAsStringAsync(cancellationToken);
            lock (_taking)
            {
                Told.Add((to, token));
                if (Told.Select(static one => one.To).Distinct().Count() == 2)
                    _both.TrySetResult();
            }
            return new(HttpStatusCode.NoContent);
        }
    }
}
