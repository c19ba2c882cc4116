using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Gateway.Consent;

/// <summary>
/// The FHIR form of declarations and access records: a Consent shaped after IHE Privacy Consent on FHIR (PCF 1.1). Here it is written;
/// <see cref="DeclarationReader"/> reads it.
/// </summary>
/// <remarks>
/// <list type="table">
/// <item><term>kind</term><description><c>category</c> with <see cref="KindSystem"/>: informing, disclosure-permission, disclosure-denial, protected-confirmation, emergency-access, emergency-review, emergency-acknowledgement, access-restriction</description></item>
/// <item><term>in force</term><description><c>status</c> active, within <c>provision.period</c> where there is one; inactive withdraws</description></item>
/// <item><term>withdrawal of another's</term><description>a new one with <c>status</c> inactive; <c>sourceReference</c> names the Consent that it withdraws, so that nothing else of its target is withdrawn with it</description></item>
/// <item><term>order</term><description>by the repository's numbering of versions: of two about the same thing the later decides where it closes; where it opens, if it is the person's own, or a form whose <c>dateTime</c>, and at the latest <c>meta.lastUpdated</c>, is not before anything said earlier</description></item>
/// <item><term>recorded at a desk</term><description><c>organization</c> by its OID, and <c>source[x]</c> or <c>verification</c> for the signed form (§58)</description></item>
/// <item><term>declared by a custodian</term><description><c>performer</c> a RelatedPerson, or <c>verification</c> by one alone; of who is of age that is whoever represents the person. Of everybody else the Patient by the reference of <c>patient</c>, or who works in care; where it may open something whoever else is named stands for a representative</description></item>
/// <item><term>informing text</term><description><c>policy.uri</c>: <see cref="InformingUri"/> + version</description></item>
/// <item><term>permission</term><description>root <c>provision.type</c> permit, and at most a period: it covers all data (§54.1)</description></item>
/// <item><term>denial of all</term><description>root <c>provision.type</c> deny</description></item>
/// <item><term>denial of a service event</term><description><c>provision.data</c> with meaning related and the Encounter by its OID</description></item>
/// <item><term>denial of a public register</term><description><c>provision.data</c> with meaning authoredby and the Organization by its OID</description></item>
/// <item><term>denial of an occupational register</term><description>the same with <c>provision.class</c> 4 of 1.2.246.537.5.40150, and the employer's Organization by its OID as data of meaning related</description></item>
/// <item><term>denial of a prescription</term><description><c>provision.data</c> with meaning instance and a MedicationRequest</description></item>
/// <item><term>allowed in an emergency</term><description>one nested <c>provision</c> of type permit and purpose ETREAT</description></item>
/// <item><term>confirmation, emergency, review</term><description><c>provision.actor</c> the Practitioner by identifier, <c>organization</c> its organisation and then its unit, <c>period</c>, <c>purpose</c>;
/// protected services as <c>securityLabel</c>; the reason of an emergency in <see cref="ReasonUrl"/>; a review names the emergency in <c>sourceReference</c></description></item>
/// <item><term>disputed access</term><description>root <c>provision.type</c> deny and <c>provision.actor</c> the Organization by its OID, and then its unit; the disputed entry of the audit log in <see cref="EntryUrl"/></description></item>
/// <item><term>acknowledgement</term><description>no <c>provision</c>; what was read of in <c>sourceReference</c>, an emergency or what a desk recorded. Of an answer to a request for rectification the Communication, which is no source, as <c>provision.data</c> of meaning instance</description></item>
/// </list>
/// </remarks>
public static class Declarations
{
    public const string KindSystem = AccessRestrictions.System;
    public const string EntryUrl = "https://kantagateway.fi/fhir/StructureDefinition/disputed-entry";
    public const string ServiceSystem = "https://kantagateway.fi/fhir/CodeSystem/protected-service";
    public const string ReasonSystem = "https://kantagateway.fi/fhir/CodeSystem/emergency-reason";
    public const string ReasonUrl = "https://kantagateway.fi/fhir/StructureDefinition/emergency-reason";
    public const string InformingUri = "https://kantagateway.fi/informing/";

    internal const string InformingKind = "informing", PermissionKind = "disclosure-permission", DenialKind = "disclosure-denial",
        ConfirmationKind = "protected-confirmation", EmergencyKind = "emergency-access", ReviewKind = "emergency-review",
        AcknowledgementKind = "emergency-acknowledgement";

    internal const string CustodianType = "RelatedPerson";

    internal const string PersonType = "Patient";

    internal const string ActReason = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
    internal const string RegisterSystem = "urn:oid:1.2.246.537.5.40150";
    internal const string OccupationalCode = "4";

    private const string Act = "https://www.finlex.fi/fi/laki/ajantasa/2023/20230703";

    /// <summary>Protected services as Consents name them.</summary>
    internal static readonly IReadOnlyDictionary<string, ProtectedService> ServiceCodes = new Dictionary<string, ProtectedService>(StringComparer.Ordinal)
    {
        ["psychotherapy"] = ProtectedService.Psychotherapy,
        ["psychiatry"] = ProtectedService.Psychiatry,
        ["psychology"] = ProtectedService.Psychology,
        ["mental-health"] = ProtectedService.MentalHealth,
        ["addiction"] = ProtectedService.Addiction,
        ["sexual-therapy"] = ProtectedService.SexualTherapy,
        ["genetics"] = ProtectedService.Genetics,
    };

    /// <summary>Every protected service, those too whose label nobody knows: what a confirmation without labels opens.</summary>
    internal const ProtectedService EveryService = (ProtectedService)byte.MaxValue;

    internal static readonly IReadOnlyDictionary<string, EmergencyReason> ReasonCodes = new Dictionary<string, EmergencyReason>(StringComparer.Ordinal)
    {
        ["cannot-be-asked"] = EmergencyReason.CannotBeAsked,
        ["cannot-assess"] = EmergencyReason.CannotAssess,
    };

    /// <summary>The person has been informed with the text now in force.</summary>
    public static byte[] Informing(string patientId, DateTimeOffset at) => Bytes(Consent(patientId, at, InformingKind, InformingUri + Gateway.Consent.Informing.CurrentTextVersion, null));

    public static byte[] Permit(string patientId, DateTimeOffset at) => Bytes(Consent(patientId, at, PermissionKind, Act + "#54", new() { ["type"] = "permit" }));

    /// <param name="patientId">Logical id of the Patient.</param>
    /// <param name="target">What is denied.</param>
    /// <param name="at">When, UTC.</param>
    /// <param name="allowsEmergency">The person lets it be used in an emergency.</param>
    public static byte[] Denial(string patientId, DenialTarget target, DateTimeOffset at, bool allowsEmergency = false)
    {
        var provision = new JsonObject { ["type"] = "deny" };
        switch (target)
        {
            case DenialTarget.OfServiceEvent its:
                provision["data"] = new JsonArray(Data("related", "Encounter", its.Oid));
                break;
            case DenialTarget.OfPrescription its:
                provision["data"] = new JsonArray(new JsonObject { ["meaning"] = "instance", ["reference"] = new JsonObject { ["reference"] = "MedicationRequest/" + its.Id } });
                break;
            case DenialTarget.OfRegister its when Register.EmployerOf(its.Register) is { } employer:
                provision["class"] = new JsonArray(Coding(RegisterSystem, OccupationalCode));
                provision["data"] = new JsonArray(Data("authoredby", "Organization", its.Controller), Data("related", "Organization", employer));
                break;
            case DenialTarget.OfRegister its:
                provision["data"] = new JsonArray(Data("authoredby", "Organization", its.Controller));
                break;
        }
        if (allowsEmergency)
            provision["provision"] = new JsonArray(new JsonObject { ["type"] = "permit", ["purpose"] = new JsonArray(Coding(ActReason, "ETREAT")) });
        return Bytes(Consent(patientId, at, DenialKind, Act + "#59", provision));
    }

    /// <summary>A professional's confirmation, §26.2.</summary>
    /// <param name="patientId">Logical id of the Patient.</param>
    /// <param name="confirmation">What is confirmed; its <see cref="Declaration.Until"/> is set.</param>
    public static byte[] Confirmation(string patientId, ProtectedConfirmation confirmation)
    {
        var provision = Access(confirmation, "permit");
        provision["purpose"] = new JsonArray(Coding(ActReason, confirmation.Purpose));
        if (confirmation.Services != EveryService)
            provision["securityLabel"] = new JsonArray([.. NamesOf(confirmation.Services).Select(s => (JsonNode)Coding(ServiceSystem, s))]);
        return Bytes(Record(patientId, confirmation, ConfirmationKind, Act + "#26", provision));
    }

    /// <summary>An emergency, §54.2.</summary>
    /// <param name="patientId">Logical id of the Patient.</param>
    /// <param name="emergency">Its <see cref="Declaration.Until"/> is set.</param>
    /// <param name="text">Why, in the professional's words; not empty.</param>
    public static byte[] Emergency(string patientId, EmergencyAccess emergency, string text)
    {
        var provision = Access(emergency, "permit");
        provision["purpose"] = new JsonArray(Coding(ActReason, "ETREAT"));
        var consent = Record(patientId, emergency, EmergencyKind, Act + "#54", provision);
        consent["extension"] = new JsonArray(new JsonObject
        {
            ["url"] = ReasonUrl,
            ["valueCodeableConcept"] = new JsonObject
            {
                ["coding"] = new JsonArray(Coding(ReasonSystem, ReasonCodes.First(r => r.Value == emergency.Reason).Key)),
                ["text"] = text,
            },
        });
        return Bytes(consent);
    }

    /// <summary>How an emergency was settled.</summary>
    public static byte[] Review(string patientId, EmergencyReview review)
    {
        var consent = Record(patientId, review, ReviewKind, Act + "#54", Access(review, review.IsJustified ? "permit" : "deny"));
        consent["sourceReference"] = new JsonObject { ["reference"] = "Consent/" + review.Emergency };
        return Bytes(consent);
    }

    /// <summary>The person has read the notice of an emergency, or of what a desk recorded.</summary>
    /// <param name="patientId">Logical id of the Patient.</param>
    /// <param name="notice">Logical id of its Consent.</param>
    /// <param name="at">When, UTC.</param>
    public static byte[] Acknowledged(string patientId, string notice, DateTimeOffset at)
    {
        var consent = Consent(patientId, at, AcknowledgementKind, Act + "#54", null);
        consent["sourceReference"] = new JsonObject { ["reference"] = "Consent/" + notice };
        return Bytes(consent);
    }

    /// <summary>The person has read the answer to a request for rectification.</summary>
    /// <param name="patientId">Logical id of the Patient.</param>
    /// <param name="answer">Logical id of its Communication.</param>
    /// <param name="at">When, UTC.</param>
    public static byte[] AcknowledgedAnswer(string patientId, string answer, DateTimeOffset at) => Bytes(Consent(patientId, at, AcknowledgementKind, "http://data.europa.eu/eli/reg/2016/679/oj#art_12",
        new() { ["data"] = new JsonArray(new JsonObject { ["meaning"] = "instance", ["reference"] = new JsonObject { ["reference"] = "Communication/" + answer } }) }));

    /// <summary>The person disputes an access.</summary>
    /// <param name="patientId">Logical id of the Patient.</param>
    public static byte[] Restriction(string patientId, AccessRestriction restriction)
    {
        var actors = new JsonArray(Recipient(restriction.Organisation));
        if (restriction.Unit is { } unit)
            actors.Add(Recipient(unit));
        var consent = Consent(patientId, restriction.At, AccessRestrictions.Code, "http://data.europa.eu/eli/reg/2016/679/oj#art_18", new() { ["type"] = "deny", ["actor"] = actors });
        consent["extension"] = new JsonArray(new JsonObject { ["url"] = EntryUrl, ["valueString"] = restriction.Entry.ToString(CultureInfo.InvariantCulture) });
        return Bytes(consent);

        static JsonObject Recipient(string oid) => new()
        {
            ["role"] = new JsonObject { ["coding"] = new JsonArray(Coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")) },
            ["reference"] = Organisation(oid),
        };
    }

    /// <summary>Codes of protected services; none of a confirmation that opens every service.</summary>
    public static IEnumerable<string> NamesOf(ProtectedService services) =>
        services == EveryService ? [] : ServiceCodes.Where(s => (services & s.Value) != 0).Select(s => s.Key);

    /// <summary>Why an emergency was recorded, in the professional's words; null where the Consent says nothing of it.</summary>
    public static string? ReasonTextOf(JsonElement consent) => DeclarationReader.ReasonOf(consent)?.Text;

    /// <summary>The same Consent with who declares it, and its printable form (§58), which it keeps as it was shown.</summary>
    /// <param name="consent">Of this class, or one withdrawn.</param>
    /// <param name="xhtml">FHIR narrative: a <c>div</c>.</param>
    /// <param name="custodian">Name of the custodian who declares it for the child; null: the person does, or who holds a mandate.</param>
    public static byte[] Printable(byte[] consent, string xhtml, string? custodian = null)
    {
        var printable = JsonNode.Parse(consent)!.AsObject();
        printable["performer"] = new JsonArray(custodian is null ? PersonOf(printable) : new JsonObject { ["type"] = CustodianType, ["display"] = custodian });
        printable["text"] = new JsonObject { ["status"] = "generated", ["div"] = xhtml };
        return Bytes(printable);
    }

    /// <summary>The same Consent with status inactive: how a permission or denial is withdrawn (§58), as a new version. Its printed form was of what it declared.</summary>
    /// <param name="consent">The stored resource, or a new one like it.</param>
    /// <param name="of">Logical id of the Consent that a new one withdraws; null: it is the next version of what it withdraws.</param>
    public static byte[] Withdrawn(JsonElement consent, string? of = null)
    {
        var withdrawn = JsonObject.Create(consent)!;
        withdrawn.Remove("meta");
        withdrawn.Remove("text");
        // The person does; who declared and signed what it withdraws goes, and whoever is described for that alone.
        withdrawn["performer"] = new JsonArray(PersonOf(withdrawn));
        withdrawn.Remove("verification");
        if (withdrawn["contained"] is JsonArray contained)
        {
            withdrawn.Remove("contained");
            var rest = withdrawn.ToJsonString();
            contained.RemoveAll(its => !rest.Contains($"\"#{(string?)its?["id"]}\"", StringComparison.Ordinal));
            if (contained.Count > 0)
                withdrawn["contained"] = contained;
        }
        withdrawn["status"] = "inactive";
        if (of is not null)
            withdrawn["sourceReference"] = new JsonObject { ["reference"] = "Consent/" + of };
        return Bytes(withdrawn);
    }

    private static JsonObject PersonOf(JsonObject consent) => new() { ["reference"] = (string?)consent["patient"]?["reference"] };

    /// <inheritdoc cref="DeclarationReader.Read"/>
    public static Declaration? Read(JsonElement consent) => DeclarationReader.Read(consent).Declaration;

    private static JsonObject Record(string patientId, AccessRecord record, string kind, string policy, JsonObject provision)
    {
        var consent = Consent(patientId, record.At, kind, policy, provision);
        var organisations = new JsonArray(Organisation(record.Organisation));
        if (record.Unit is { } unit)
            organisations.Add(Organisation(unit));
        consent["organization"] = organisations;
        consent["performer"] = new JsonArray(Practitioner(record.Professional));
        return consent;
    }

    private static JsonObject Access(AccessRecord record, string type)
    {
        var provision = new JsonObject { ["type"] = type };
        if (record.Until is { } until)
            provision["period"] = new JsonObject { ["start"] = Instant(record.From ?? record.At), ["end"] = Instant(until) };
        provision["actor"] = new JsonArray(new JsonObject
        {
            ["role"] = new JsonObject { ["coding"] = new JsonArray(Coding("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP")) },
            ["reference"] = Practitioner(record.Professional),
        });
        return provision;
    }

    private static JsonObject Consent(string patientId, DateTimeOffset at, string kind, string policy, JsonObject? provision)
    {
        var consent = new JsonObject
        {
            ["resourceType"] = "Consent",
            ["status"] = "active",
            ["scope"] = Concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            ["category"] = new JsonArray(Concept("http://loinc.org", "59284-0"), Concept(KindSystem, kind)),
            ["patient"] = new JsonObject { ["reference"] = "Patient/" + patientId },
            ["dateTime"] = Instant(at),
            ["performer"] = new JsonArray(new JsonObject { ["reference"] = "Patient/" + patientId }),
            ["policy"] = new JsonArray(new JsonObject { ["authority"] = "https://www.finlex.fi", ["uri"] = policy }),
        };
        if (provision is not null)
            consent["provision"] = provision;
        return consent;
    }

    private static JsonObject Data(string meaning, string type, string oid) => new() { ["meaning"] = meaning, ["reference"] = ByOid(type, oid) };

    private static JsonObject Organisation(string oid) => ByOid("Organization", oid);

    private static JsonObject ByOid(string type, string oid) =>
        new() { ["type"] = type, ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + oid } };

    private static JsonObject Practitioner(string id) => new() { ["type"] = "Practitioner", ["identifier"] = new JsonObject { ["value"] = id } };

    private static JsonObject Concept(string system, string code) => new() { ["coding"] = new JsonArray(Coding(system, code)) };

    private static JsonObject Coding(string system, string code) => new() { ["system"] = system, ["code"] = code };

    private static string Instant(DateTimeOffset at) => at.ToUniversalTime().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    private static byte[] Bytes(JsonObject consent) => JsonSerializer.SerializeToUtf8Bytes(consent);
}
