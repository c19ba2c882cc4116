using System.CommandLine;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Benchmarks;

/// <summary><c>decide</c>: what a decision costs over a person of fifty consents and two thousand open service events.</summary>
static class DecideCommand
{
    public static Command Create()
    {
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("decide.json") };
        var command = new Command("decide", "Cost of a decision, and of compiling a policy") { json };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var config = ManualConfig.CreateEmpty().AddJob(Job.ShortRun.WithToolchain(InProcessNoEmitToolchain.Instance))
                .AddDiagnoser(MemoryDiagnoser.Default).AddLogger(NullLogger.Instance).AddColumnProvider(BenchmarkDotNet.Columns.DefaultColumnProviders.Instance);
            var summary = BenchmarkRunner.Run<Decisions>(config);
            var results = summary.Reports.ToDictionary(r => r.BenchmarkCase.Descriptor.WorkloadMethod.Name, r => (
                Nanoseconds: r.ResultStatistics?.Median ?? throw new BenchmarkException("BenchmarkDotNet measured nothing."),
                Bytes: r.GcStats.GetBytesAllocatedPerOperation(r.BenchmarkCase) ?? throw new BenchmarkException("BenchmarkDotNet counted no bytes.")));
            var reference = results[nameof(Decisions.LookUp)].Nanoseconds;
            var folder = Directory.CreateTempSubdirectory("kanta-decide").FullName;
            try
            {
                return await new Report("decide", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(folder),
                    $"BenchmarkDotNet, one thread. A person with {Decisions.Consents} consents and {Decisions.Events:N0} service events of eight organisations, all of them open.",
                    [new("one decision", ["ns", "of a look-up", "bytes allocated"],
                    [
                        Row("a professional of another clinic, by permission, with the care relationship found", nameof(Decisions.Permitted)),
                        Row("the same in a named service event", nameof(Decisions.InNamedEvent)),
                        Row("one of occupational care, for one of four employers", nameof(Decisions.OccupationalCare)),
                        Row("a professional without a care relationship", nameof(Decisions.WithoutRelationship)),
                        Row("the person", nameof(Decisions.ThePerson)),
                        Row("one look-up of an OID among two thousand, the reference", nameof(Decisions.LookUp)),
                        Row("compiling the policy", nameof(Decisions.Compile)),
                    ])],
                    [
                        new("one decision, ns", results[nameof(Decisions.Permitted)].Nanoseconds, 1000, AtLeast: false),
                        new("the same of occupational care, ns", results[nameof(Decisions.OccupationalCare)].Nanoseconds, 1000, AtLeast: false),
                        new("bytes allocated by it", results[nameof(Decisions.Permitted)].Bytes, 0, AtLeast: false),
                        new("bytes allocated by that of occupational care", results[nameof(Decisions.OccupationalCare)].Bytes, 0, AtLeast: false),
                        new("compiling the policy, µs", results[nameof(Decisions.Compile)].Nanoseconds / 1000, 50, AtLeast: false),
                    ], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
            }
            finally
            {
                Directory.Delete(folder, true);
            }

            string[] Row(string what, string method) => [what, Measurement.Number(results[method].Nanoseconds, "0"), Measurement.Number(results[method].Nanoseconds / reference, "0.0"), Measurement.Number(results[method].Bytes, "0")];
        });
        return command;
    }
}

/// <summary>What <see cref="DecideCommand"/> measures.</summary>
public class Decisions
{
    public const int Consents = 50, Events = 2000, Organisations = 8;

    private static readonly DateTimeOffset Now = new(2026, 11, 25, 12, 0, 0, TimeSpan.Zero);
    private static readonly Pseudonym Somebody = Pseudonym.Read([1, .. new byte[Pseudonym.Size - 1]]);

    /// <summary>Which of the organisations gives occupational care.</summary>
    private const int Occupational = 5;

    private static readonly string[] Employers = [.. Enumerable.Range(0, 4).Select(e => $"1.2.246.10.9900002{e}")];
    private static readonly string[] Names = [.. Enumerable.Range(0, Organisations).Select(o => $"1.2.246.10.9900001{o}")];

    private readonly Declaration[] _declarations =
    [
        new Informing { At = Now.AddYears(-1), TextVersion = Informing.CurrentTextVersion },
        new DisclosurePermit { At = Now.AddYears(-1) },
        .. Enumerable.Range(0, Consents - 2).Select(i => new DisclosureDenial { At = Now.AddDays(-i - 1), Target = new DenialTarget.OfServiceEvent($"{Names[i % Organisations]}.14.2025.{i}") }),
    ];

    private readonly ServiceEvent[] _events =
        [.. Enumerable.Range(0, Events).Select(i => new ServiceEvent($"{Names[i % Organisations]}.14.2026.{i}", Names[i % Organisations], "in-progress", Now.AddMinutes(i - 2 * Events), null)
        { Register = i % Organisations == Occupational ? Register.Occupational(Employers[i / Organisations % Employers.Length]) : Register.Patient })];

    private readonly Requester _professional = Asker(RequesterKind.Professional, Names[3], null);
    private readonly Requester _occupational = Asker(RequesterKind.Professional, Names[Occupational], null) with { ControllerKind = ControllerKind.Occupational };
    private readonly Requester _stranger = Asker(RequesterKind.Professional, "1.2.246.10.99000099", null);
    private readonly Requester _person = Asker(RequesterKind.Citizen, Names[3], Somebody);
    private readonly Interaction _search = new() { Kind = InteractionKind.Search, Type = "Observation", Compartment = Somebody, Needs = [("Observation", 's')] };
    private readonly Interaction _ofEmployer;
    private readonly string _named = $"{Names[3]}.14.2026.{Organisations * 100 + 3}";
    private readonly HashSet<string> _oids;
    private readonly PolicySnapshot _policy;

    public Decisions()
    {
        _policy = Compile();
        _ofEmployer = _search with { Employer = Employers[^1] };
        _oids = [.. _events.Select(e => e.Oid!)];
    }

    [Benchmark]
    public Decision Permitted() => Decide(_professional, _search);

    [Benchmark]
    public Decision InNamedEvent() =>
        ConsentDecision.Decide(_professional, _search, _policy, _policy.RelationshipOf(Names[3], _named, Now), Now);

    [Benchmark]
    public Decision OccupationalCare() => Decide(_occupational, _ofEmployer);

    [Benchmark]
    public Decision WithoutRelationship() => Decide(_stranger, _search);

    [Benchmark]
    public Decision ThePerson() => Decide(_person, _search);

    [Benchmark(Baseline = true)]
    public bool LookUp() => _oids.Contains(_named);

    [Benchmark]
    public PolicySnapshot Compile()
    {
        var policy = PolicySnapshot.Compile(1, _declarations, _events);
        // What is in force and what of one organisation is open are found at the first decision, so they belong to it.
        return policy.PermissionAt(Now) is null || policy.RelationshipOf(Names[3], null, Now) is null ? throw new InvalidOperationException("The permission is not in force.") : policy;
    }

    private Decision Decide(Requester requester, Interaction interaction) =>
        ConsentDecision.Decide(requester, interaction, _policy, _policy.RelationshipOf(requester.Organisation.ToString(), null, Now), Now);

    private static Requester Asker(RequesterKind kind, string organisation, Pseudonym? self) => new()
    {
        Kind = kind,
        ClientId = "benchmark",
        Organisation = Oid.Parse(organisation),
        OrganisationName = "Esimerkki Oy",
        ControllerKind = ControllerKind.Private,
        ProfessionalId = "p1",
        Self = self,
        PurposeOfUse = "TREAT",
        TokenId = "t",
        Scopes = SmartScope.ParseAll(["user/*.rs", "patient/*.rs"]),
        Expires = Now.AddHours(1),
    };
}
