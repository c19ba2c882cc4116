using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Harness.Verification;

/// <summary>Something a gateway must refuse with a clear answer, storing nothing of it.</summary>
/// <param name="Name">What is wrong, as an end of the sentence "refuses ...".</param>
/// <param name="Send">Sends it; told the Patient it may refer to and an identifier by which a trace of it would be found.</param>
/// <param name="Statuses">Acceptable answers.</param>
/// <param name="Expression">Where the fault is; null when there is no element to name.</param>
public sealed record BadInput(string Name, Func<FhirSession, string, string, CancellationToken, Task<FhirReply>> Send, int[] Statuses, string? Expression)
{
    private const int TooLarge = 20 * 1024 * 1024;

    public override string ToString() => Name;

    /// <summary>The list, from broken syntax to broken meaning.</summary>
    public static IReadOnlyList<BadInput> All { get; } =
    [
        new("malformed JSON", (s, p, m, c) => s.CreateAsync("Observation", Encoding.UTF8.GetBytes(Observation(p, m).ToJsonString()[..^5]), cancel: c), [400], null),
        new("a body that is no resource", (s, p, m, c) => s.CreateAsync("Observation", "[1,2,3]"u8.ToArray(), cancel: c), [400, 422], null),
        new("a resource of another type than the address says", (s, p, m, c) => s.CreateAsync("Condition", Some.Bytes(Observation(p, m)), cancel: c), [400, 422], null),
        new("an unknown resource type", (s, p, m, c) => s.CreateAsync("Therapy", "{\"resourceType\":\"Therapy\"}"u8.ToArray(), cancel: c), [400, 404, 422], null),
        new("an unknown type inside a bundle", (s, p, m, c) => s.BundleAsync(Some.Bundle("transaction",
            (Some.Url(), Observation(p, m)), (Some.Url(), new JsonObject { ["resourceType"] = "Therapy" })), c), [400, 404, 422], "Bundle.entry[1]"),
        new("a missing mandatory element", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(Without(Observation(p, m), "status")), cancel: c), [400, 422], "Observation"),
        new("two values where one is allowed", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "status", new JsonArray("final", "final"))), cancel: c), [400, 422], "Observation.status"),
        new("a code outside a required value set", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "status", "finished")), cancel: c), [400, 422], "Observation.status"),
        new("an element that FHIR does not have", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "colour", "red")), cancel: c), [400, 422], "Observation"),
        new("an identity code with a wrong check character", (s, p, m, c) => s.CreateAsync("Patient", Some.Patient(WrongCheckCharacter(m), "Väärä Merkki"), cancel: c), [400, 422], "Patient.identifier[0].value"),
        new("a reference to what does not exist", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(Observation(p, m, $"Encounter/{Guid.NewGuid()}")), cancel: c), [400, 422], "Observation.encounter"),
        new("a reference to an entry that the bundle does not have", (s, p, m, c) => s.BundleAsync(Some.Bundle("transaction", (Some.Url(), Observation(p, m, Some.Url()))), c),
            [400, 422], "Bundle.entry[0].resource.encounter"),
        new("a body of 20 MB", (s, p, m, c) => s.CreateAsync("Observation", Large(p, m), cancel: c), [413], null),
        new("a bundle that fails at its last entry", (s, p, m, c) => s.BundleAsync(Some.Bundle("transaction",
            [.. Enumerable.Range(0, 9).Select(_ => (Some.Url(), Observation(p, m))), (Some.Url(), Without(Observation(p, m), "code"))]), c), [400, 422], "Bundle.entry[9]"),
        .. Hostile,
    ];

    /// <summary>What is sent to break a reader rather than by mistake.</summary>
    private static IEnumerable<BadInput> Hostile =>
    [
        new("JSON nested a hundred thousand levels deep", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", $"\"extension\":{Repeat("[{\"extension\":", Deep)}1{Repeat("}]", Deep)},\"status\""), c), [400], null),
        new("JSON arrays that never end", (s, p, m, c) => TextAsync(s, Repeat("[", Deep), c), [400], null),
        new("XML nested a hundred thousand levels deep", (s, p, m, c) => XmlAsync(s, $"<Observation {FhirXml}>{Repeat("<extension url=\"urn:x\">", Deep)}{Repeat("</extension>", Deep)}</Observation>", c), [400], null),
        new("XML elements that never end", (s, p, m, c) => XmlAsync(s, $"<Observation {FhirXml}>{Repeat("<extension>", Deep)}", c), [400], null),
        new("a billion laughs", (s, p, m, c) => XmlAsync(s, $"<!DOCTYPE x [<!ENTITY l0 \"lol\">{string.Concat(Enumerable.Range(1, 9).Select(i => $"<!ENTITY l{i} \"{Repeat($"&l{i - 1};", 10)}\">"))}]><Observation {FhirXml}><language value=\"&l9;\"/></Observation>", c), [400], null),
        new("an external entity", (s, p, m, c) => XmlAsync(s, $"<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Observation {FhirXml}><language value=\"&e;\"/></Observation>", c), [400], null),
        new("an external document type", (s, p, m, c) => XmlAsync(s, $"<!DOCTYPE x SYSTEM \"http://localhost:9/x.dtd\"><Observation {FhirXml}/>", c), [400], null),
        new("a member that stands twice", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", "\"status\":\"preliminary\",\"status\""), c), [400, 422], "Observation.status"),
        new("a type that stands twice", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", "\"resourceType\":\"Patient\",\"status\""), c), [400, 422], null),
        new("bytes that are no UTF-8", (s, p, m, c) => s.CreateAsync("Observation", Encoding.Latin1.GetBytes(Edited(p, m, "\"final\"", "\"\u00ff\u00fe\"")), cancel: c), [400], "Observation.status"),
        new("half a surrogate pair", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"final\"", "\"\\ud800\""), c), [400], "Observation.status"),
        new("a number beyond all bounds", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", "\"component\":[{\"code\":{\"text\":\"x\"},\"valueQuantity\":{\"value\":1e999999}}],\"status\""), c), [400, 422], "Observation.component[0].value"),
        new("a number of a thousand digits", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", $"\"component\":[{{\"code\":{{\"text\":\"x\"}},\"valueQuantity\":{{\"value\":{Repeat("9", 1000)}}}}}],\"status\""), c), [400, 422], "Observation.component[0].value"),
        new("a day that no month has", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "issued", "2026-02-30T10:00:00Z")), cancel: c), [400, 422], "Observation.issued"),
        new("a year beyond the calendar", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "issued", "10000-01-01T10:00:00Z")), cancel: c), [400, 422], "Observation.issued"),
        new("an hour that no day has", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "issued", "2026-01-01T25:00:00Z")), cancel: c), [400, 422], "Observation.issued"),
        new("a transaction of a hundred thousand entries", (s, p, m, c) => s.BundleAsync(Long("transaction"), c), [413, 422], "Bundle.entry"),
        new("a batch of a hundred thousand entries", (s, p, m, c) => s.BundleAsync(Long("batch"), c), [413, 422], "Bundle.entry"),
        new("contained resources within contained resources", (s, p, m, c) => s.CreateAsync("Observation", Some.Bytes(With(Observation(p, m), "contained", new JsonArray(
            new JsonObject { ["resourceType"] = "Basic", ["id"] = "a", ["code"] = new JsonObject { ["text"] = "x" }, ["contained"] = new JsonArray(new JsonObject { ["resourceType"] = "Basic", ["id"] = "b", ["code"] = new JsonObject { ["text"] = "x" } }) }))), cancel: c), [400, 422], "Observation"),
        new("contained resources within each other without end", (s, p, m, c) => TextAsync(s, Edited(p, m, "\"status\"", $"\"contained\":{Repeat("[{\"resourceType\":\"Basic\",\"contained\":", Deep / 10)}[]{Repeat("}]", Deep / 10)},\"status\""), c), [400], null),
    ];

    /// <summary>What needs two people: see <see cref="OtherCompartmentAsync"/>.</summary>
    public const string OtherCompartment = "a reference to another patient's compartment";

    /// <summary>Of all of them.</summary>
    public static IEnumerable<string> Names => All.Select(static b => b.Name).Append(OtherCompartment);

    private const int Deep = 100_000;

    private const string FhirXml = "xmlns=\"http://hl7.org/fhir\"";

    private static string Repeat(string text, int times) => new StringBuilder(text.Length * times).Insert(0, text, times).ToString();

    /// <summary>An acceptable Observation with one place of its text made another.</summary>
    private static string Edited(string patient, string marker, string place, string instead)
    {
        var text = Observation(patient, marker).ToJsonString();
        var at = text.IndexOf(place, StringComparison.Ordinal);
        return string.Concat(text.AsSpan(0, at), instead, text.AsSpan(at + place.Length));
    }

    private static Task<FhirReply> TextAsync(FhirSession session, string json, CancellationToken cancel) => session.CreateAsync("Observation", Encoding.UTF8.GetBytes(json), cancel: cancel);

    private static Task<FhirReply> XmlAsync(FhirSession session, string xml, CancellationToken cancel) =>
        session.SendAsync(HttpMethod.Post, "Observation", Encoding.UTF8.GetBytes(xml), [("Accept", "application/fhir+json")], "application/fhir+xml", cancel);

    private static byte[] Long(string type) => Encoding.UTF8.GetBytes(
        $"{{\"resourceType\":\"Bundle\",\"type\":\"{type}\",\"entry\":[{string.Join(',', Enumerable.Repeat("{\"request\":{\"method\":\"DELETE\",\"url\":\"Observation/none\"}}", Deep))}]}}");

    /// <summary>One more that needs two people: an entry of one that refers to the other's compartment.</summary>
    public static async Task<FhirReply> OtherCompartmentAsync(FhirSession session, string patient, string marker, CancellationToken cancel)
    {
        var other = await ArchivedVisit.RegisterAsync(session, FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal(), "Toinen Henkilö", cancel).ConfigureAwait(false);
        var encounter = Expect.Status(await session.CreateAsync("Encounter", Some.Bytes(Some.Encounter($"Patient/{other}", Some.ServiceEvent(session.Client))), cancel: cancel).ConfigureAwait(false), "a visit of another person", 201);
        return await session.CreateAsync("Observation", Some.Bytes(Observation(patient, marker, $"Encounter/{encounter.Stored!.Value.Id}")), cancel: cancel).ConfigureAwait(false);
    }

    private static JsonObject Observation(string patient, string marker, string? encounter = null) => Some.Observation($"Patient/{patient}", encounter, identifier: marker);

    private static JsonObject With(JsonObject resource, string member, JsonNode value)
    {
        resource[member] = value;
        return resource;
    }

    private static JsonObject Without(JsonObject resource, string member)
    {
        resource.Remove(member);
        return resource;
    }

    private static string WrongCheckCharacter(string seed)
    {
        var code = FictionalIdentityCode.Of(seed).Reveal();
        return $"{code[..10]}{(code[10] == 'A' ? 'B' : 'A')}";
    }

    private static byte[] Large(string patient, string marker)
    {
        var resource = Observation(patient, marker);
        resource["note"] = new JsonArray(new JsonObject { ["text"] = new string('x', TooLarge) });
        return Some.Bytes(resource);
    }

    /// <summary>Whether a code occurs in what a caller was told: an answer never echoes one.</summary>
    public static bool Echoes(FhirReply reply) => PersonalIdentityCode.Occurs(reply.Text);
}
