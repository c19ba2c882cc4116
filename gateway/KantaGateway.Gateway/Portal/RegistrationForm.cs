using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal;

/// <summary>How a member of a registration is filled in.</summary>
internal enum FieldShape { Line, Lines, Json, Choice, Several, Yes }

/// <param name="Member">Name in the clients file, and of the field.</param>
/// <param name="Choices">Of <see cref="FieldShape.Choice"/> and <see cref="FieldShape.Several"/>; an empty one is for none.</param>
internal sealed record RegistrationField(string Member, FieldShape Shape, params string[] Choices);

/// <summary>A registration as an operator writes it: a field for each member.</summary>
internal sealed class RegistrationForm
{
    /// <summary>Separates what stands in one line about an organisation: OID, kind, name, points of its services where they are stated, and <c>suspended</c> where it is.</summary>
    private const char Separator = '|';

    private static readonly string[] Kinds = ["public", "private", "occupational", "independent"];

    public static IReadOnlyList<(string Name, IReadOnlyList<RegistrationField> Fields)> Groups { get; } =
    [
        ("client", [new("client_id", FieldShape.Line), new("kind", FieldShape.Choice, "system", "app", "clinic_app"), new("client_name", FieldShape.Line)]),
        ("organisation",
        [
            new("organisation_oid", FieldShape.Line), new("organisation_name", FieldShape.Line), new("controller_kind", FieldShape.Choice, Kinds), new("service_requesters", FieldShape.Lines),
            new("produces_for", FieldShape.Lines), new("health_services", FieldShape.Several, [.. HealthServicePoints.All.Select(NumberOf)]),
        ]),
        ("system", [new("system_name", FieldShape.Line), new("system_version", FieldShape.Line), new("certification_class", FieldShape.Choice, "", "A1", "A2", "A3", "B")]),
        ("keys",
        [
            new("profile", FieldShape.Choice, "smart", "fapi2"), new("token_endpoint_auth_method", FieldShape.Choice, "private_key_jwt", "tls_client_auth"),
            new("token_endpoint_auth_signing_alg", FieldShape.Several, "ES256", "PS256", "ES384", "RS384"), new("jwks_uri", FieldShape.Line), new("jwks", FieldShape.Json),
            new("tls_client_certificates", FieldShape.Lines), new("certificate_subjects", FieldShape.Lines), new("dpop_bound_access_tokens", FieldShape.Yes), new("mllp", FieldShape.Yes),
        ]),
        ("access", [new("scopes", FieldShape.Lines), new("redirect_uris", FieldShape.Lines), new("professional_issuer", FieldShape.Line), new("id_token_signed_response_alg", FieldShape.Choice, [.. IdTokens.Algorithms]),
            new("unknown_profiles", FieldShape.Choice, "refuse", "accept")]),
    ];

    private static IEnumerable<RegistrationField> All => Groups.SelectMany(static group => group.Fields);

    private readonly Dictionary<string, string[]> _values;

    private RegistrationForm(Dictionary<string, string[]> values) => _values = values;

    /// <summary>What most registrations have.</summary>
    public static RegistrationForm Blank { get; } = new(new()
    {
        ["organisation_oid"] = ["1.2.246.10."], ["controller_kind"] = ["private"], ["certification_class"] = ["A3"], ["token_endpoint_auth_signing_alg"] = ["ES384"],
        ["jwks_uri"] = ["https://"], ["scopes"] = ["system/*.cruds\nuser/*.cruds"],
    });

    /// <summary>As a browser sent it: no member that is not one of the form's.</summary>
    public static RegistrationForm Read(IFormCollection form) =>
        new(All.ToDictionary(static field => field.Member, field => form[field.Member].Select(static value => (value ?? "").ReplaceLineEndings("\n").Trim()).ToArray()));

    /// <summary>A registration that is in force, to be changed.</summary>
    public static RegistrationForm Of(ClientRegistration registration)
    {
        var members = JsonNode.Parse(ClientDirectory.WriteOne(registration))!.AsObject();
        // What is in force by default stands in the form as what it is.
        members["token_endpoint_auth_signing_alg"] ??= new JsonArray([.. registration.Algorithms.Select(static one => (JsonNode)one)]);
        return new(All.ToDictionary(static field => field.Member, field => ValuesOf(field, members[field.Member])));
    }

    /// <summary>What stands in a field.</summary>
    public string this[string member] => _values.GetValueOrDefault(member) is [var value, ..] ? value : "";

    /// <summary>Whether a choice is made.</summary>
    public bool Has(string member, string choice) => _values.GetValueOrDefault(member)?.Contains(choice, StringComparer.Ordinal) is true;

    /// <summary>The registration as JSON, without what is left empty.</summary>
    /// <returns>What cannot be written as a member at all beside it; the rest is for who examines the registration.</returns>
    public (string Json, IReadOnlyList<RegistrationFault> Faults) Write()
    {
        var (members, faults) = (new JsonObject(), new List<RegistrationFault>());
        foreach (var field in All)
            switch (field.Shape)
            {
                case FieldShape.Yes:
                    if (Has(field.Member, "yes"))
                        members[field.Member] = true;
                    break;
                case FieldShape.Several:
                    // Nothing chosen is told as such; a client without signatures needs none.
                    if (_values.GetValueOrDefault(field.Member) is { Length: > 0 } chosen)
                        members[field.Member] = field.Member == "health_services" ? PointsIn(chosen) : new JsonArray([.. chosen.Select(static one => (JsonNode)one)]);
                    else if (field.Member == "token_endpoint_auth_signing_alg" && this["token_endpoint_auth_method"] != "tls_client_auth")
                        members[field.Member] = new JsonArray();
                    break;
                case FieldShape.Lines when field.Member == "service_requesters":
                    if (Requesters(faults) is { Count: > 0 } requesters)
                        members[field.Member] = requesters;
                    break;
                case FieldShape.Lines:
                    if (LinesOf(field.Member) is { Length: > 0 } lines)
                        members[field.Member] = new JsonArray([.. lines.Select(static one => (JsonNode)one)]);
                    break;
                case FieldShape.Json:
                    if (this[field.Member] is { Length: > 0 } json)
                        try
                        {
                            members[field.Member] = JsonNode.Parse(json);
                        }
                        catch (JsonException)
                        {
                            faults.Add(new(this["client_id"], field.Member, RegistrationRule.Json, $"{field.Member} is not JSON"));
                        }
                    break;
                default:
                    if (this[field.Member] is { Length: > 0 } value)
                        members[field.Member] = value;
                    break;
            }
        // Without these there is no registration that could be examined.
        foreach (var required in new[] { "client_id", "organisation_oid", "organisation_name", "controller_kind" })
            members[required] ??= "";
        members["scopes"] ??= new JsonArray();
        return (members.ToJsonString(), faults);
    }

    private JsonArray Requesters(List<RegistrationFault> faults)
    {
        var requesters = new JsonArray();
        foreach (var line in LinesOf("service_requesters"))
        {
            var parts = line.Split(Separator, StringSplitOptions.TrimEntries);
            var isSuspended = parts is [_, _, _, .., "suspended"];
            string[] services = parts.Length > 3 && parts[3] != "suspended" ? parts[3].Split(',', StringSplitOptions.TrimEntries) : [];
            if (parts is [{ Length: > 0 } oid, var kind, { Length: > 0 } name, ..] && Kinds.Contains(kind) && parts.Length == 3 + (services.Length > 0 ? 1 : 0) + (isSuspended ? 1 : 0)
                && services.All(static one => int.TryParse(one, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
                requesters.Add(new JsonObject
                {
                    ["organisation_oid"] = oid, ["controller_kind"] = kind, ["organisation_name"] = name, ["health_services"] = PointsIn(services), ["status"] = isSuspended ? "suspended" : "active",
                });
            else
                faults.Add(new(this["client_id"], "service_requesters", RegistrationRule.RequesterLine, "a line of service_requesters is not OID | kind | name, with the points of its services and suspended after it where it has them"));
        }
        return requesters;
    }

    private static string NumberOf(int point) => point.ToString(CultureInfo.InvariantCulture);

    /// <summary>What is no number stays what it is, for who examines the registration.</summary>
    private static JsonArray PointsIn(string[] points) => new([.. points.Select(static one => int.TryParse(one, NumberStyles.None, CultureInfo.InvariantCulture, out var point) ? (JsonNode)point : one)]);

    private static string LineOf(JsonObject requester) => string.Join($" {Separator} ",
        [
            (string)requester["organisation_oid"]!, (string)requester["controller_kind"]!, (string)requester["organisation_name"]!,
            .. requester["health_services"] is JsonArray { Count: > 0 } services ? [string.Join(", ", services.Select(static one => one!.ToString()))] : Array.Empty<string>(),
            .. (string?)requester["status"] == "suspended" ? ["suspended"] : Array.Empty<string>(),
        ]);

    private string[] LinesOf(string member) => this[member].Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static string[] ValuesOf(RegistrationField field, JsonNode? member) => (field.Shape, member) switch
    {
        (_, null) => [],
        (FieldShape.Yes, _) => member.GetValue<bool>() ? ["yes"] : [],
        (FieldShape.Several, JsonArray chosen) => [.. chosen.Select(static one => one!.ToString())],
        (FieldShape.Lines, JsonArray lines) => [string.Join('\n', lines.Select(static one => one is JsonObject requester ? LineOf(requester) : (string)one!))],
        (FieldShape.Json, _) => [member.ToJsonString(Readable)],
        _ => [(string)member!],
    };

    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true };
}
