using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace KantaGateway.Audit.Balp;

/// <summary>What kind of event; it decides the IHE BALP pattern.</summary>
public enum AuditKind
{
    /// <summary>read, vread of one resource.</summary>
    Read,

    /// <summary>A search. One entry a person.</summary>
    Query,

    Create,
    Update,
    Delete,

    /// <summary>Any other RESTful interaction (history, transaction, operation): BALP has no pattern for it, the base resource holds it.</summary>
    Rest,

    /// <summary>An authorization decision, above all a refusal.</summary>
    AuthorizationDecision,

    /// <summary>Data of other controllers left the system (luovutus, Act 703/2023 §10).</summary>
    PrivacyDisclosure,
}

/// <summary>How it ended (audit-event-outcome).</summary>
public enum AuditOutcome
{
    Success = 0,

    /// <summary>Refused or failed because of the request.</summary>
    MinorFailure = 4,

    /// <summary>Denied, or failed because of the system.</summary>
    SeriousFailure = 8,
}

/// <summary>The asking system as the connection and the token name it.</summary>
/// <param name="ClientId">OAuth client id.</param>
/// <param name="Address">IP address of the connection's other end.</param>
/// <param name="AppName">Name under which citizens know the app at that time; null for what is no app of citizens.</param>
/// <param name="Certificate">SHA-256 of the TLS client certificate of the connection (DER), base64url; null where none was shown.</param>
public sealed record AuditSystem(string ClientId, string Address, string? AppName = null, string? Certificate = null);

/// <summary>The asking organisation.</summary>
/// <param name="Oid">Dotted object identifier.</param>
public sealed record AuditOrganisation(string Oid, string Name);

/// <summary>A professional or citizen who asks.</summary>
/// <param name="Id">Unique id: Terhikki number or the clinic's subject; a citizen's Patient id. Never an identity code.</param>
/// <param name="Role">Profession; of a citizen who acts for another by what right, else null.</param>
public sealed record AuditPerson(string Id, string? Name, string? Role)
{
    /// <summary>Role of a custodian who acts for a minor.</summary>
    public const string Custodian = "custodian";

    /// <summary>Role of who acts by a mandate of an adult.</summary>
    public const string MandateHolder = "mandate holder";
}

/// <summary>A resource that was disclosed, written or asked for.</summary>
/// <param name="VersionId">Null where none is known.</param>
/// <param name="Controller">OID of its data controller, the origin of the data (EHDS Annex II 3.3).</param>
/// <param name="Register">Which of the controller's registers it is in, where that is not the patient register (Act 703/2023 §10, §18).</param>
public readonly record struct AuditItem(string Type, string Id, string? VersionId, string? Controller, string? Register = null);

/// <summary>Where a write has left what is stored, in a form that tells nothing of it: against it the store can be held later.</summary>
/// <param name="Of"><see cref="Patient"/> or <see cref="Directory"/>.</param>
/// <param name="Sequence">How many versions it holds.</param>
/// <param name="Digest">32 hexadecimal digits.</param>
public readonly record struct AuditHead(string Of, long Sequence, string Digest)
{
    public const string Patient = "patient", Directory = "directory";
}

/// <summary>
/// One line of the use or disclosure log (käyttöloki, luovutusloki; Act 703/2023 §10): who, for which organisation and
/// purpose, on what legal basis, saw or changed what about whom, when, and how it ended.
/// </summary>
/// <remarks>
/// This is what an entry of the log holds. Its AuditEvent (<see cref="BalpEvent"/>) says the same in four times as many
/// bytes, follows from it, and is made when somebody looks.
/// </remarks>
public sealed record DisclosureRecord
{
    public required AuditKind Kind { get; init; }

    /// <summary>Code of restful-interaction: read, vread, search-type, history-instance, create, update, delete, transaction ...</summary>
    public required string Interaction { get; init; }

    public required DateTimeOffset Recorded { get; init; }

    /// <summary>The gateway's FHIR base, its name as recorder and server.</summary>
    public required string Server { get; init; }

    public required AuditSystem System { get; init; }

    public required AuditOrganisation Organisation { get; init; }

    /// <summary>The organisation whose system asks for <see cref="Organisation"/>, where that is another (serviceSubscriber).</summary>
    public AuditOrganisation? Subscriber { get; init; }

    public AuditPerson? Professional { get; init; }

    /// <summary>OID of the service unit for which the professional acts (Act 703/2023 §10); null where none was named.</summary>
    public string? Unit { get; init; }

    /// <summary>The citizen who acts. Another than <see cref="PatientId"/> when she acts for somebody: then both persons stand here.</summary>
    public AuditPerson? Citizen { get; init; }

    /// <summary>Patient id of the person whose data it is; null for the directory and for a person who is not known.</summary>
    public string? PatientId { get; init; }

    /// <summary>v3-ActReason code.</summary>
    public required string PurposeOfUse { get; init; }

    /// <summary>Name of the rule that permitted it, such as <c>own-register</c>; null for a refusal.</summary>
    public string? LegalBasis { get; init; }

    /// <summary>Names of the rules that took part in the decision, with spaces between them; null where none did.</summary>
    public string? Rules { get; init; }

    public AuditOutcome Outcome { get; init; } = AuditOutcome.Success;

    /// <summary>Plain sentence: why it was refused or failed.</summary>
    public string? OutcomeDescription { get; init; }

    /// <summary>X-Request-Id, or the correlation id where none came.</summary>
    public required string RequestId { get; init; }

    /// <summary>The access token's jti or the portal session's id, at most 32 characters. Never a token.</summary>
    public string? TokenId { get; init; }

    public IReadOnlyList<AuditItem> Items { get; init; } = [];

    /// <summary>Id of the Consent that the decision rests on.</summary>
    public string? ConsentId { get; init; }

    /// <summary>SHA-256 of the disclosed body, 32 bytes.</summary>
    public byte[]? Digest { get; init; }

    /// <summary>Of a write: where it has left the person's record, and the directory where it wrote there. Null where nothing was written.</summary>
    public IReadOnlyList<AuditHead>? Heads { get; init; }

    /// <summary>The search as it was understood, such as <c>Observation?code=...</c>; identity codes replaced by the Patient id.</summary>
    public string? Query { get; init; }

    /// <summary>As JSON, for the log: camel-case names, nothing for what is not known.</summary>
    public byte[] ToUtf8() => JsonSerializer.SerializeToUtf8Bytes(this, RecordJson.Default.DisclosureRecord);

    /// <summary>Reads a record with the part of it that was withheld from the person.</summary>
    /// <param name="withheld">Empty: nothing was, or it is not told.</param>
    public static bool TryRead(ReadOnlySpan<byte> utf8, ReadOnlySpan<byte> withheld, [NotNullWhen(true)] out DisclosureRecord? record)
    {
        if (!TryRead(utf8, out record))
            return false;
        if (withheld.IsEmpty)
            return true;
        if (WithheldPart.TryRead(withheld) is not { } part)
            return false;
        record = record with { Professional = new(part.Id, part.Name, record.Professional?.Role) };
        return true;
    }

    /// <summary>Reads what <see cref="ToUtf8"/> wrote; false for anything else.</summary>
    public static bool TryRead(ReadOnlySpan<byte> utf8, [NotNullWhen(true)] out DisclosureRecord? record)
    {
        try
        {
            record = JsonSerializer.Deserialize(utf8, RecordJson.Default.DisclosureRecord);
        }
        catch (JsonException)
        {
            record = null;
        }
        return record is { Server: not null, System: not null, Organisation: not null, Interaction: not null, PurposeOfUse: not null, RequestId: not null, Items: not null };
    }
}

/// <summary>What of a record the person is not told whom it is about: which employee it was (Act 703/2023 §74).</summary>
/// <param name="Id">As of <see cref="AuditPerson"/>.</param>
/// <param name="Name">Likewise.</param>
public sealed record WithheldPart(string Id, string? Name)
{
    public byte[] ToUtf8() => JsonSerializer.SerializeToUtf8Bytes(this, RecordJson.Default.WithheldPart);

    /// <summary>Null for what is none.</summary>
    public static WithheldPart? TryRead(ReadOnlySpan<byte> utf8)
    {
        try
        {
            return JsonSerializer.Deserialize(utf8, RecordJson.Default.WithheldPart) is { Id: not null } part ? part : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, UseStringEnumConverter = true)]
[JsonSerializable(typeof(DisclosureRecord)), JsonSerializable(typeof(WithheldPart))]
sealed partial class RecordJson : JsonSerializerContext;
