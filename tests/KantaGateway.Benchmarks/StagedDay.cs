using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Benchmarks;

/// <summary>A way by which data leaves or is changed, as the audit log records it.</summary>
/// <param name="Types">Of what is shown or written.</param>
sealed record Road(string Name, AuditKind Kind, string Interaction, string? Query, params string[] Types)
{
    public bool Writes { get; init; }

    public bool ByCitizen { get; init; }

    /// <summary>All are versions of one resource.</summary>
    public bool IsHistory { get; init; }
}

/// <summary>What came of an access.</summary>
enum StagedOutcome
{
    /// <summary>It has shown or changed what the road says.</summary>
    Given,

    /// <summary>It was refused.</summary>
    Refused,

    /// <summary>A write was permitted, and what it wrote stands in another entry.</summary>
    Permitted,

    /// <summary>There was nothing to show.</summary>
    Empty,
}

/// <summary>One access of a staged day.</summary>
/// <param name="Number">Of the day, from 0.</param>
/// <param name="At">UTC.</param>
/// <param name="Certificate">SHA-256, base64url.</param>
/// <param name="Subscriber">OID of whose system asks, where that is another organisation.</param>
/// <param name="Citizen">Number of the citizen who acts.</param>
/// <param name="Person">Number of whose data it is; null: nobody's.</param>
/// <param name="Words">What the search was about.</param>
sealed record StagedAccess(int Number, DateTimeOffset At, Road Road, string Client, string Certificate, string? Professional, string Address, string Organisation, string? Subscriber, int? Citizen, string Token, int? Person,
    StagedOutcome Outcome, string? Words)
{
    /// <summary>What it has shown or changed of a person.</summary>
    public IEnumerable<AuditItem> Items => Outcome != StagedOutcome.Given ? []
        : Person is not { } person ? [new("PractitionerRole", StagedDay.IdOf(Number, 1), StagedDay.IdOf(Number, 100), Organisation)]
        : Road.Types.Select((type, i) => new AuditItem(type, type == "Patient" ? StagedDay.IdOf(person, 0) : StagedDay.IdOf(Number, Road.IsHistory ? 1 : 1 + i), StagedDay.IdOf(Number, 100 + i), Organisation));

    /// <summary>Whether somebody is affected by it.</summary>
    public bool Reaches => Person is not null && Outcome == StagedOutcome.Given;

    /// <summary>As the gateway records it.</summary>
    public AuditEntry Entry()
    {
        var decided = Outcome is StagedOutcome.Refused or StagedOutcome.Permitted;
        var isRefused = Outcome == StagedOutcome.Refused;
        return AuditEntry.Of(Person is { } person ? [.. BitConverter.GetBytes((long)person), 0, 0] : [], new()
        {
            Kind = decided ? AuditKind.AuthorizationDecision : Road.Kind, Interaction = Road.Interaction, Recorded = At, Server = "https://gateway.example.fi/fhir",
            System = new(Client, Address, null, Certificate), Organisation = new(Organisation, "Kuvitteellinen Klinikka " + Organisation[^2..]), Subscriber = Subscriber is null ? null : new(Subscriber, "Kuvitteellinen Palvelu"),
            Professional = Professional is null ? null : new(Professional, "Liisa Esimerkki", "laillistettu lääkäri"), Citizen = Citizen is { } citizen ? new(StagedDay.IdOf(citizen, 0), null, null) : null,
            PatientId = Person is { } about ? StagedDay.IdOf(about, 0) : null, PurposeOfUse = "TREAT", LegalBasis = isRefused ? null : "own-register", Rules = isRefused ? null : "own-register care-relationship",
            Outcome = isRefused ? AuditOutcome.SeriousFailure : AuditOutcome.Success, OutcomeDescription = isRefused ? "no care relationship" : null,
            RequestId = StagedDay.IdOf(Number, 99), TokenId = Token, Items = [.. Items], Digest = decided ? null : new byte[32], Query = Words ?? Road.Query,
        }, "clinic");
    }
}

/// <summary>
/// A day of a hundred thousand people and forty clinics, the same each time. One access in <see cref="Rarity"/> is a thief's, by each road in turn; others have all but one of the thief's marks, or have them where they say nothing.
/// </summary>
/// <param name="count">Accesses of the day.</param>
sealed class StagedDay(int count)
{
    public const int People = 100_000, Rarity = 2_500;

    /// <summary>Fewest accesses of which each road has some.</summary>
    public const int Fewest = 100_000;

    public const string Thief = "thief", Professional = "99999999", Address = "203.0.113.77";

    /// <summary>Number of the person whom nobody has a reason to look at.</summary>
    public const int Canary = 0;

    private const int Clinics = 40;

    public static readonly DateTimeOffset Begin = new(2026, 11, 1, 0, 0, 0, TimeSpan.Zero);

    private static readonly byte[] Shown = SHA256.HashData("the thief's"u8);

    /// <summary>SHA-256 of the thief's, hexadecimal, as an investigator has it.</summary>
    public static readonly string CertificateHex = Convert.ToHexStringLower(Shown);

    /// <summary>The same, base64url.</summary>
    public static readonly string Certificate = Base64Url.EncodeToString(Shown);

    private static readonly string[] Oids = [.. Enumerable.Range(0, Clinics).Select(static clinic => string.Create(CultureInfo.InvariantCulture, $"1.2.246.10.990001{clinic:00}"))];
    private static readonly string[] Clients = [.. Enumerable.Range(0, Clinics).Select(static clinic => string.Create(CultureInfo.InvariantCulture, $"clinic-{clinic}"))];
    private static readonly string[] Certificates = [.. Enumerable.Range(0, Clinics).Select(static clinic => Base64Url.EncodeToString(SHA256.HashData(BitConverter.GetBytes(clinic))))];
    private static readonly string AlikeCertificate = Base64Url.EncodeToString([.. Shown[..^1], (byte)(Shown[^1] ^ 1)]);

    private static readonly Road Read = new("read", AuditKind.Read, "read", null, "Observation"),
        Search = new("search", AuditKind.Query, "search-type", "Observation?code=http://loinc.org|8867-4", "Observation", "Encounter");

    public static readonly IReadOnlyList<Road> Roads =
    [
        Read,
        new("vread", AuditKind.Read, "vread", null, "Observation"),
        new("history", AuditKind.Rest, "history-instance", null, "Observation", "Observation", "Observation") { IsHistory = true },
        Search,
        new("page", AuditKind.Query, "search-type", "Observation?code=http://loinc.org|8867-4", "Observation", "Observation", "Observation"),
        new("include", AuditKind.Query, "search-type", "Observation?_include=Observation:encounter&_include=Observation:subject", "Observation", "Encounter", "Patient"),
        new("$everything", AuditKind.Rest, "operation", null, "Patient", "Encounter", "Condition", "MedicationRequest", "DocumentReference", "Observation", "Observation", "Observation"),
        new("batch, a part of it", AuditKind.Read, "read", null, "Condition"),
        new("transaction, written", AuditKind.Rest, "transaction", null, "Observation", "Condition") { Writes = true },
        new("transaction, shown", AuditKind.Rest, "read", null, "Patient", "MedicationRequest"),
        new("create", AuditKind.Create, "create", null, "Observation") { Writes = true },
        new("export of every version", AuditKind.Rest, "history-system", null, "Patient", "Encounter", "Condition", "Observation", "Observation", "MedicationRequest"),
        new("portal", AuditKind.Query, "search-type", "DocumentReference?", "DocumentReference", "DocumentReference") { ByCitizen = true },
        new("portal, $everything", AuditKind.Rest, "operation", null, "Patient", "Encounter", "Observation", "Consent") { ByCitizen = true },
    ];

    /// <summary>In the words of EHDS (Regulation (EU) 2025/327, Art. 14).</summary>
    public static string CategoryOf(string type) => type switch
    {
        "Observation" => "test-results",
        "Encounter" => "visits",
        "Condition" => "summary",
        "MedicationRequest" => "prescriptions",
        "DocumentReference" => "documents",
        "Patient" => "identity",
        "Consent" => "declarations",
        _ => throw new ArgumentOutOfRangeException(nameof(type)),
    };

    /// <summary>Accesses that come at the same second.</summary>
    public int Together { get; } = (count + 86_399) / 86_400;

    /// <summary>A stretch of the morning that begins and ends with a second in which there is something.</summary>
    public (DateTimeOffset From, DateTimeOffset To) Morning(TimeSpan length)
    {
        var begin = Begin + TimeSpan.FromSeconds(count / 3 / Together);
        return (begin, begin + length);
    }

    public StagedAccess this[int number]
    {
        get
        {
            var (mixed, turn) = (Mix(number + 1), number / Rarity);
            var clinic = (int)(mixed % Clinics);
            var road = number % 100 is var hundredth && hundredth < 60 ? Read : hundredth < 98 ? Search : Roads[turn % Roads.Count];
            var innocent = new StagedAccess(number, Begin + TimeSpan.FromSeconds(number / Together), road, road.ByCitizen ? "portal" : Clients[clinic], Certificates[clinic],
                road.ByCitizen ? null : string.Create(CultureInfo.InvariantCulture, $"{10_000_000 + mixed % 50_000}"), string.Create(CultureInfo.InvariantCulture, $"10.0.{clinic}.{mixed % 200}"), Oids[clinic], null,
                road.ByCitizen ? PersonOf(number) : null, IdOf(number, 98).Replace("-", "", StringComparison.Ordinal), PersonOf(number), StagedOutcome.Given, null);
            return (number % Rarity) switch
            {
                7 => TheftOf(innocent, Roads[turn % Roads.Count], turn),
                // The thief's own that reach nobody.
                100 => TheftOf(innocent, Read, 1) with { Outcome = StagedOutcome.Refused },
                101 => TheftOf(innocent, Roads[8], 1) with { Outcome = StagedOutcome.Permitted },
                102 => TheftOf(innocent, Search, 1) with { Outcome = StagedOutcome.Empty },
                103 => TheftOf(innocent, Search, 1) with { Person = null },
                // The thief's by some indicators, and by others not.
                110 => TheftOf(innocent, Read, 1) with { Professional = "88888888" },
                111 => TheftOf(innocent, Read, 1) with { Professional = null },
                112 => TheftOf(innocent, Read, 1) with { Subscriber = Oids[39] },
                113 => TheftOf(innocent, Read, 1) with { Certificate = AlikeCertificate, Address = "203.0.113.76" },
                // Others whose marks begin or end as the thief's do, or are in another case; of the same organisation.
                120 => innocent with { Client = "thief2", Organisation = Oids[0] },
                121 => innocent with { Client = "a-thief", Organisation = Oids[0] },
                122 => innocent with { Client = "Thief", Organisation = Oids[0] },
                123 => innocent with { Professional = "999999990" },
                124 => innocent with { Professional = "9999999" },
                125 => innocent with { Address = "203.0.113.7" },
                126 => innocent with { Address = "203.0.113.177" },
                127 => innocent with { Certificate = AlikeCertificate },
                128 => innocent with { Client = "clinic-0", Certificate = Certificates[0], Organisation = Oids[0], Professional = "88888888" },
                // All of it, where it says nothing.
                130 => innocent with { Road = Search, Words = $"Observation?note={Thief}&performer={Professional}&_source={Address}&_tag={Certificate}&focus={IdOf(Canary, 0)}&client={Thief}|{Professional}" },
                131 => innocent with { Road = Roads[12], Client = "portal", Professional = null, Citizen = Canary, Person = Math.Max(1, PersonOf(number)) },
                132 => innocent with { Token = Thief },
                _ => innocent,
            };
        }
    }

    private static StagedAccess TheftOf(StagedAccess access, Road road, int turn) => access with
    {
        Road = road, Client = road.ByCitizen ? "portal" : Thief, Certificate = Certificate, Professional = road.ByCitizen ? null : Professional, Address = turn % 3 == 0 ? "::ffff:" + Address : Address, Organisation = Oids[0],
        // Once in a while it is the canary.
        Person = turn % 40 == 0 ? Canary : access.Person, Citizen = road.ByCitizen ? turn % 40 == 0 ? Canary : access.Person : null,
    };

    private static int PersonOf(int number) => (int)(Mix(number) % People);

    private static ulong Mix(long number)
    {
        var mixed = (ulong)number * 0x9E3779B97F4A7C15;
        mixed ^= mixed >> 29;
        mixed *= 0xBF58476D1CE4E5B9;
        return mixed ^ mixed >> 32;
    }

    /// <summary>Of a person or an access, and what it has to do with it; 0: the person.</summary>
    public static string IdOf(int number, int part) => new Guid(number, (short)part, 0x4000, 0x80, 0, 0, 0, 0, 0, 0, 1).ToString("D");
}
