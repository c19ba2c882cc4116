// The model classes declare every element as nullable; a missing one shall fail the test by its exception.
#nullable disable warnings

using System.Security.Cryptography;
using System.Text.Json;
using Hl7.Fhir.Model;
using Hl7.Fhir.Serialization;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Tests.Audit;

public class BalpTests
{
    private const string Profiles = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";

    private static readonly DisclosureRecord Read = new()
    {
        Kind = AuditKind.Read, Interaction = "read", Recorded = new DateTimeOffset(2026, 3, 1, 12, 0, 0, 123, TimeSpan.FromHours(2)),
        Server = "https://localhost:8443/fhir", System = new("aurora", "127.0.0.1", null, "mWgUrNw0bcGPsN5uW2Ek9FZgbPAA4JvDMSqcbAGbjiw"), Organisation = new("1.2.246.10.99999991", "Klinikka Äurora"),
        PurposeOfUse = "TREAT", RequestId = "b9d0b3d2-58d1-4e1f-8c39-1f4c8a6f7a10",
        PatientId = "11111111-2222-4333-8444-555555555555", LegalBasis = "own-register", TokenId = "jti-1",
        Items = [Item("Observation")], Digest = SHA256.HashData([]),
    };

    private static readonly AuditPerson Professional = new("12345678", "Liisa Lääkäri", "laillistettu lääkäri");
    private static readonly AuditPerson Citizen = new("11111111-2222-4333-8444-555555555555", "Maija Meikäläinen", null);

    private static readonly AuditPerson Representative = new("22222222-2222-4333-8444-555555555555", "Raija Valtuutettu", AuditPerson.MandateHolder);

    public static readonly TheoryData<string> Names = [.. Records.Keys];

    private static Dictionary<string, (DisclosureRecord Record, string? Profile)> Records => new()
    {
        ["read by a professional"] = (Read with { Professional = Professional, Unit = "1.2.246.10.99999991.10.7" }, "PatientRead"),
        ["read by a system"] = (Read, "PatientRead"),
        ["read by a host for its tenant"] = (Read with { Subscriber = new("1.2.246.10.99999992", "Isäntä Oy"), Professional = Professional }, "PatientRead"),
        ["vread by a citizen"] = (Read with { Interaction = "vread", Citizen = Citizen, PurposeOfUse = "PATRQT", LegalBasis = "the-person" }, "PatientRead"),
        ["read by a custodian"] = (Read with { Citizen = Representative with { Role = AuditPerson.Custodian }, PurposeOfUse = "PATRQT", LegalBasis = "on-behalf" }, "PatientRead"),
        ["update by a mandate holder"] = (Read with { Kind = AuditKind.Update, Interaction = "update", Citizen = Representative, PurposeOfUse = "PATRQT", LegalBasis = "on-behalf" }, "PatientUpdate"),
        ["search by a citizen's app"] = (Read with { Kind = AuditKind.Query, Interaction = "search-type", System = new("omakunto", "127.0.0.1", "Omakunto"),
            Citizen = Citizen with { Name = null }, PurposeOfUse = "PATRQT", LegalBasis = "own-data", Query = "Observation?" }, "PatientQuery"),
        ["read of the directory"] = (Read with { PatientId = null, Items = [Item("Organization")] }, "Read"),
        ["read of what is absent"] = (Read with { Outcome = AuditOutcome.MinorFailure, OutcomeDescription = "Not found.", Digest = null,
            Items = [new("Observation", Guid.NewGuid().ToString(), null, null)] }, null),
        ["search"] = (Read with { Kind = AuditKind.Query, Interaction = "search-type", Query = "Observation?code=http://loinc.org|1234-5&date=ge2026",
            Professional = Professional, Items = [Item("Observation"), Item("Observation"), Item("Encounter")] }, "PatientQuery"),
        ["search without a match"] = (Read with { Kind = AuditKind.Query, Interaction = "search-type", Items = [], Query = "Observation?status=final" }, "PatientQuery"),
        ["search of the directory"] = (Read with { Kind = AuditKind.Query, Interaction = "search-type", PatientId = null, Items = [], Query = "Organization?" }, "Query"),
        ["create"] = (Read with { Kind = AuditKind.Create, Interaction = "create", Professional = Professional }, "PatientCreate"),
        ["create in the directory"] = (Read with { Kind = AuditKind.Create, Interaction = "create", PatientId = null, Items = [Item("Practitioner")] }, "Create"),
        ["update"] = (Read with { Kind = AuditKind.Update, Interaction = "update" }, "PatientUpdate"),
        ["update that says where it has left record and directory"] = (Read with { Kind = AuditKind.Update, Interaction = "update", Rules = "own-register",
            Heads = [new(AuditHead.Patient, 12, new('a', 32)), new(AuditHead.Directory, 3, new('b', 32))] }, "PatientUpdate"),
        ["delete"] = (Read with { Kind = AuditKind.Delete, Interaction = "delete", Professional = Professional }, "PatientDelete"),
        ["transaction"] = (Read with { Kind = AuditKind.Rest, Interaction = "transaction", Items = [Item("Patient"), Item("Encounter"), Item("Observation")] }, null),
        ["history"] = (Read with { Kind = AuditKind.Rest, Interaction = "history-instance", Items = [Item("Observation"), Item("Observation")] }, null),
        ["denial under a consent"] = (Read with { Kind = AuditKind.AuthorizationDecision, Outcome = AuditOutcome.SeriousFailure,
            OutcomeDescription = "A denial covers it.", LegalBasis = null, ConsentId = "c1", Professional = Professional, Unit = "1.2.246.10.99999991.10.7", Items = [], Digest = null }, "AuthZconsent"),
        ["denial of a search by a system without any consent"] = (Read with { Kind = AuditKind.AuthorizationDecision, Interaction = "search-type",
            Outcome = AuditOutcome.SeriousFailure, LegalBasis = null, Items = [], Digest = null, Query = "Observation?" }, "AuthZconsent"),
        ["refusal before the person is known"] = (Read with { Kind = AuditKind.AuthorizationDecision, Outcome = AuditOutcome.SeriousFailure,
            LegalBasis = null, PatientId = null, TokenId = null, Items = [], Digest = null }, null),
        ["refusal of a caller nobody knows"] = (Read with { Kind = AuditKind.AuthorizationDecision, Interaction = "operation", System = new("unknown", "inside"),
            Organisation = new("unknown", "not identified"), PurposeOfUse = "", Outcome = AuditOutcome.SeriousFailure, OutcomeDescription = "no token",
            LegalBasis = null, PatientId = null, TokenId = null, Items = [], Digest = null }, null),
        ["decision with its rules"] = (Read with { Kind = AuditKind.AuthorizationDecision, Interaction = "create", Rules = "archive specially-protected", Items = [], Digest = null }, "AuthZconsent"),
        ["read by rules, from an occupational register"] = (Read with { Rules = "own-register disclosure-permission care-relationship", Items = [Item("Observation") with { Register = "4:1.2.246.10.99000055" }] }, "PatientRead"),
        ["disclosure of another controller's data"] = (Read with { Kind = AuditKind.PrivacyDisclosure, Interaction = "search-type", ConsentId = "c1",
            Professional = Professional, LegalBasis = "disclosure permission", Items = [Item("Observation"), Item("Condition")] }, "PrivacyDisclosure.Source"),
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_event_passes_a_strict_parser_and_claims_the_profile_that_it_has(string name)
    {
        var (record, profile) = Records[name];
        var auditEvent = Parse(record);
        var claimed = auditEvent.Meta?.Profile.Where(p => !p.Contains("OAUTH")).ToList() ?? [];
        Assert.Equal(profile is null ? [] : [Profiles + profile], claimed);
        if (profile is not null)
            RequirePattern(auditEvent, profile);
        Assert.Equal("2026-03-01T10:00:00.123Z", auditEvent.Recorded!.Value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_event_says_all_that_its_record_says(string name)
    {
        var record = Records[name].Record;
        RequireSame(record, BalpReader.Read(BalpEvent.Write(record)));
    }

    /// <summary>EHDS Annex II 3.2: who, whom, which categories of data, when, and whence they come.</summary>
    [Theory]
    [InlineData("Observation", "test-results"), InlineData("MedicationRequest", "prescriptions"), InlineData("MedicationDispense", "dispensations"), InlineData("ImagingStudy", "images")]
    [InlineData("AllergyIntolerance", "summary"), InlineData("DocumentReference", "documents"), InlineData("Encounter", "visits"), InlineData("Patient", "identity"), InlineData("Consent", "declarations"), InlineData("Basic", "other")]
    public void An_event_names_the_category_of_data_of_each_resource_by_its_type(string type, string category)
    {
        foreach (var (kind, interaction) in new[] { (AuditKind.Read, "read"), (AuditKind.Query, "search-type"), (AuditKind.Rest, "transaction"), (AuditKind.PrivacyDisclosure, "search-type") })
        {
            // The last is of no known controller.
            var auditEvent = Parse(Read with { Kind = kind, Interaction = interaction, Items = [Item(type), Item("Condition"), new(type, Guid.NewGuid().ToString(), null, null)] });
            Assert.Equal([category, "summary", category], auditEvent.Entity.SelectMany(static entity => entity.Detail).Where(static detail => detail.Type == "category").Select(static detail => detail.Value.ToString()!));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_record_is_kept_whole_and_becomes_the_same_event_when_the_entry_is_opened(string name)
    {
        var record = Records[name].Record;
        Assert.True(DisclosureRecord.TryRead(record.ToUtf8(), out var kept));
        RequireSame(record, kept);
        Assert.Equal(BalpEvent.Write(record), new OpenedEntry(0, default, [], record.ToUtf8(), []).AuditEvent);
    }

    [Theory]
    [InlineData(""), InlineData("[]"), InlineData("null"), InlineData("{}"), InlineData("""{"kind":"Read"}""")]
    [InlineData("""{"kind":"Read","interaction":"read","recorded":"2026-03-01T12:00:00Z","server":"s","system":null,"organisation":{"oid":"1.2","name":"x"},"purposeOfUse":"TREAT","requestId":"r"}""")]
    public void What_is_no_record_is_not_read_as_one(string json) => Assert.False(DisclosureRecord.TryRead(System.Text.Encoding.UTF8.GetBytes(json), out _));

    private static void RequireSame(DisclosureRecord expected, DisclosureRecord actual)
    {
        Assert.Equal(expected.Items, actual.Items);
        Assert.Equal(expected.Digest ?? [], actual.Digest ?? []);
        Assert.Equal(expected.Heads ?? [], actual.Heads ?? []);
        Assert.Equal(expected with { Items = [], Digest = null, Heads = null }, actual with { Items = [], Digest = null, Heads = null });
    }

    [Theory]
    [InlineData(""), InlineData(" "), InlineData("\0\t\r\n"), InlineData("\ud800"), InlineData("\udc00x"), InlineData("\u0085"), InlineData("<script>\"}"), InlineData("😀")]
    public void Whatever_an_unidentified_caller_sent_is_recorded_and_parses(string sent)
    {
        foreach (var text in (string[])[sent, sent + new string('x', 100_000)])
        {
            var auditEvent = Parse(Read with
            {
                Kind = AuditKind.AuthorizationDecision, System = new(text, text), Organisation = new(text, text), Professional = new(text, text, text),
                OutcomeDescription = text, RequestId = text, Query = text, LegalBasis = null, Items = [],
            });
            var recorded = auditEvent.Agent[0].Who.Identifier.Value;
            Assert.InRange(recorded.Length, 1, 4096);
            Assert.DoesNotContain(recorded, char.IsControl);
        }
    }

    [Fact]
    public void A_token_is_recorded_by_its_id_as_the_pattern_wants_it()
    {
        var auditEvent = Parse(Read);
        Assert.Contains(Profiles + "OAUTHaccessTokenUse.Minimal", auditEvent.Meta.Profile);
        var token = Assert.Single(auditEvent.Agent, a => a.Type.Coding[0].Code == "UserOauthAgent");
        Assert.Equal(["urn:ietf:params:oauth:jti:jti-1"], token.Policy);
        Assert.True(token.Requestor);
    }

    // The cardinalities and codes of the BALP 1.1 profiles (IHE/ITI.BasicAudit input/fsh), as far as they bind what is written here.
    private static void RequirePattern(AuditEvent auditEvent, string profile)
    {
        string[] agents = profile switch
        {
            "PatientRead" or "Read" => ["110152", "110153"],
            "PatientDelete" => ["110150", "custodian"],
            "AuthZconsent" => ["110150", "IRCP", "PROV", "authserver"],
            "PrivacyDisclosure.Source" => ["110153", "110152"],
            _ => ["110153", "110152"],
        };
        foreach (var code in agents)
        {
            var agent = Assert.Single(auditEvent.Agent, a => a.Type.Coding.Any(c => c.Code == code));
            Assert.NotNull(agent.Who);
            // Network addresses are of systems: one for each but the authorizer, none for people and organisations.
            Assert.Equal(code is not ("IRCP" or "PROV" or "authserver"), agent.Network is not null);
        }
        if (profile == "AuthZconsent")
        {
            Assert.Equal("110113", auditEvent.Type.Code);
            Assert.Equal(["AuthZ-Consent"], auditEvent.Subtype.Select(s => s.Code));
            Assert.All(auditEvent.Entity, e => Assert.Contains(e.Type.Code, (string[])["1", "Consent", "UserOauthAgent"]));
            Assert.Contains(auditEvent.Entity, e => e.Type.Code == "Consent" && e.What is not null);
            var client = auditEvent.Agent.Single(a => a.Type.Coding[0].Code == "110150");
            Assert.Empty(client.PurposeOfUse);
            var authorizer = auditEvent.Agent.Single(a => a.Type.Coding[0].Code == "authserver");
            Assert.True(authorizer.Who.IsExactly(auditEvent.Source.Observer));
        }
        else if (profile == "PrivacyDisclosure.Source")
        {
            Assert.Equal(("110106", AuditEvent.AuditEventAction.R), (auditEvent.Type.Code, auditEvent.Action!.Value));
            Assert.Contains(auditEvent.Subtype, s => s.Code == "disclose");
            Assert.True(auditEvent.Agent.Single(a => a.Type.Coding[0].Code == "110153").Who.IsExactly(auditEvent.Source.Observer));
        }
        else
        {
            Assert.Equal("rest", auditEvent.Type.Code);
            Assert.Equal(AuditEvent.AuditEventOutcome.N0, auditEvent.Outcome);
            var action = profile switch { "PatientCreate" or "Create" => "C", "PatientUpdate" => "U", "PatientDelete" => "D", "PatientQuery" or "Query" => "E", _ => "R" };
            Assert.Equal(action, auditEvent.Action.ToString());
            var data = Assert.Single(auditEvent.Entity, e => e.Type.Code == "2");
            if (profile.EndsWith("Query", StringComparison.Ordinal))
            {
                Assert.Equal("24", data.Role.Code);
                Assert.NotEmpty(data.Query);
                Assert.Null(data.What);
                Assert.Empty(data.Detail);
            }
            else
            {
                Assert.Equal("4", data.Role.Code);
                Assert.NotNull(data.What);
            }
            var user = auditEvent.Agent.SingleOrDefault(a => a.Type.Coding[0].System == "http://terminology.hl7.org/CodeSystem/v3-ParticipationType");
            Assert.True(user?.Requestor ?? true);
            Assert.Contains(auditEvent.Entity, e => e.Type.Code == "XrequestId" && e.What.Identifier.Value is { Length: > 0 });
        }
        Assert.Equal(profile.StartsWith("Patient", StringComparison.Ordinal) || profile is "AuthZconsent" or "PrivacyDisclosure.Source",
            auditEvent.Entity.Any(e => e.Type.Code == "1" && e.Role.Code == "1" && e.What.Reference.StartsWith("Patient/", StringComparison.Ordinal)));
    }

    // By way of the log, as every event that anybody sees.
    private static AuditEvent Parse(DisclosureRecord record)
    {
        Assert.True(DisclosureRecord.TryRead(record.ToUtf8(), out var kept));
        var reader = new Utf8JsonReader(BalpEvent.Write(kept));
        Assert.True(FhirJsonDeserializer.STRICT.TryDeserializeResource(ref reader, out var resource, out var issues),
            string.Join("; ", issues.Select(i => i.Message)));
        return Assert.IsType<AuditEvent>(resource);
    }

    private static AuditItem Item(string type) => new(type, Guid.NewGuid().ToString(), Guid.NewGuid().ToString(), "1.2.246.10.99999991");
}
