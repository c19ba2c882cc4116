using System.Globalization;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Tests.Audit;

/// <summary>Reads a record back out of its AuditEvent: what <see cref="BalpEvent"/> left out would be missing.</summary>
static class BalpReader
{
    public static DisclosureRecord Read(ReadOnlyMemory<byte> auditEvent)
    {
        using var document = JsonDocument.Parse(auditEvent);
        return Read(document.RootElement);
    }

    private static DisclosureRecord Read(JsonElement root)
    {
        var agents = root.GetProperty("agent").EnumerateArray().ToList();
        var entities = root.GetProperty("entity").EnumerateArray().ToList();
        var subtypes = root.GetProperty("subtype").EnumerateArray().ToList();
        var decision = Is(root.GetProperty("type"), BalpEvent.Dicom, "110113");
        var disclosure = Is(root.GetProperty("type"), BalpEvent.Dicom, "110106");

        var patientEntity = entities.Find(e => Is(e.GetProperty("type"), BalpEvent.EntityType, "1"));
        var transaction = entities.Find(e => Is(e.GetProperty("type"), BalpEvent.EntityTypes, "XrequestId"));
        var query = entities.Find(e => e.TryGetProperty("query", out _));
        var consent = entities.Find(e => Is(e.GetProperty("type"), BalpEvent.ResourceTypes, "Consent") && !e.TryGetProperty("role", out _));
        var token = agents.SelectMany(Policies).Concat(entities.Select(e => Text(e, "what", "identifier", "value"))).OfType<string>()
            .FirstOrDefault(p => p.StartsWith(BalpEvent.TokenPolicy, StringComparison.Ordinal));
        var basis = agents.SelectMany(Policies).FirstOrDefault(p => p.StartsWith(BalpEvent.LegalBasisPolicy, StringComparison.Ordinal));

        var client = agents.Find(a => a.TryGetProperty("network", out _));
        var clientId = Required(client, "who", "identifier", "value");
        var user = agents.Find(a => IsConcept(a, BalpEvent.Participation, null));
        var citizenId = After("Patient/", Text(user, "who", "reference"));
        var userId = citizenId ?? Text(user, "who", "identifier", "value");
        var role = user.ValueKind == JsonValueKind.Object && user.TryGetProperty("role", out var roles) ? Text(roles[0], "text") : null;
        var person = userId is null || userId == clientId ? null : new AuditPerson(userId, Text(user, "name"), role);
        var organisation = agents.Find(a => IsConcept(a, BalpEvent.RoleClass, "PROV"));
        var subscriber = agents.Find(a => IsConcept(a, BalpEvent.RoleClass, "AGNT"));
        var interaction = subtypes.Find(s => Text(s, "system") == BalpEvent.Interactions);

        return new DisclosureRecord
        {
            Kind = decision ? AuditKind.AuthorizationDecision : disclosure ? AuditKind.PrivacyDisclosure : KindOf(Text(interaction, "code")),
            Interaction = Text(interaction, "code") ?? Detail(patientEntity, BalpEvent.InteractionDetail, "valueString") ?? "",
            Recorded = DateTimeOffset.Parse(Required(root, "recorded"), CultureInfo.InvariantCulture),
            Server = Required(root, "source", "observer", "identifier", "value"),
            System = new(clientId, Required(client, "network", "address"), Text(client, "name"), Policies(client).Select(static policy => After(BalpEvent.CertificatePolicy, policy)).FirstOrDefault(static certificate => certificate is not null)),
            Organisation = new(After("urn:oid:", Text(organisation, "who", "identifier", "value")) ?? "unknown", Text(organisation, "who", "display") ?? ""),
            Subscriber = After("urn:oid:", Text(subscriber, "who", "identifier", "value")) is { } host ? new(host, Text(subscriber, "who", "display") ?? "") : null,
            Professional = citizenId is null ? person : null,
            Unit = After("urn:oid:", Text(user, "location", "identifier", "value")),
            Citizen = citizenId is null ? null : person,
            PatientId = After("Patient/", Text(patientEntity, "what", "reference")),
            PurposeOfUse = root.TryGetProperty("purposeOfEvent", out var purposes) ? Required(purposes[0].GetProperty("coding")[0], "code") : "",
            LegalBasis = After(BalpEvent.LegalBasisPolicy, basis) is { } rule ? Uri.UnescapeDataString(rule) : null,
            Rules = Detail(transaction, BalpEvent.RulesDetail, "valueString") ?? Detail(patientEntity, BalpEvent.RulesDetail, "valueString"),
            Outcome = (AuditOutcome)int.Parse(Required(root, "outcome"), CultureInfo.InvariantCulture),
            OutcomeDescription = Text(root, "outcomeDesc"),
            RequestId = Text(transaction, "what", "identifier", "value") ?? Detail(patientEntity, BalpEvent.RequestDetail, "valueString") ?? "",
            TokenId = After(BalpEvent.TokenPolicy, token),
            Items = [.. entities.Where(e => e.TryGetProperty("role", out var itemRole) && Is(itemRole, BalpEvent.ObjectRole, "4")).Select(Item)],
            ConsentId = After("Consent/", Text(consent, "what", "reference")),
            Digest = Detail(transaction, BalpEvent.DigestDetail, "valueBase64Binary") is { } digest ? Convert.FromBase64String(digest) : null,
            Heads = Heads(transaction) is { Length: > 0 } heads ? heads : null,
            Query = (Text(query, "query") ?? Detail(patientEntity, BalpEvent.QueryDetail, "valueBase64Binary")) is { } text
                ? Encoding.UTF8.GetString(Convert.FromBase64String(text)) : null,
        };
    }

    private static AuditKind KindOf(string? interaction) => interaction switch
    {
        "read" or "vread" => AuditKind.Read,
        "search" or "search-type" or "search-system" => AuditKind.Query,
        "create" => AuditKind.Create,
        "update" or "patch" => AuditKind.Update,
        "delete" => AuditKind.Delete,
        _ => AuditKind.Rest,
    };

    private static AuditItem Item(JsonElement entity)
    {
        var parts = Required(entity, "what", "reference").Split('/');
        return new(parts[0], parts[1], parts.Length > 3 ? parts[3] : null, Detail(entity, BalpEvent.ControllerDetail, "valueString"),
            Detail(entity, BalpEvent.RegisterDetail, "valueString"));
    }

    private static IEnumerable<string> Policies(JsonElement agent) =>
        agent.TryGetProperty("policy", out var policies) ? policies.EnumerateArray().Select(p => p.GetString()!) : [];

    private static string? Detail(JsonElement entity, string type, string value) => Details(entity, type, value).FirstOrDefault();

    private static IEnumerable<string?> Details(JsonElement entity, string type, string value) =>
        entity.ValueKind == JsonValueKind.Object && entity.TryGetProperty("detail", out var details)
            ? details.EnumerateArray().Where(d => Text(d, "type") == type).Select(d => Text(d, value))
            : [];

    private static AuditHead[] Heads(JsonElement transaction) => [.. Details(transaction, BalpEvent.HeadDetail, "valueString").Select(static head => head!.Split(' '))
        .Select(static head => new AuditHead(head[0], long.Parse(head[1], CultureInfo.InvariantCulture), head[2]))];

    private static bool Is(JsonElement coding, string system, string code) => Text(coding, "system") == system && Text(coding, "code") == code;

    private static bool IsConcept(JsonElement agent, string system, string? code) =>
        agent.GetProperty("type").GetProperty("coding")[0] is var coding && Text(coding, "system") == system && (code is null || Text(coding, "code") == code);

    private static string? After(string prefix, string? text) =>
        text is not null && text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : null;

    private static string Required(JsonElement element, params ReadOnlySpan<string> path) =>
        Text(element, path) ?? throw new FormatException("An element is missing.");

    // Null where a step is missing.
    private static string? Text(JsonElement element, params ReadOnlySpan<string> path)
    {
        foreach (var step in path)
            if (element.ValueKind != JsonValueKind.Object || !element.TryGetProperty(step, out element))
                return null;
        return element.GetString();
    }
}
