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
    ];

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
