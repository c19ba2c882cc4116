using System.Text.Json;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary>A visit as the repository keeps it.</summary>
/// <param name="Resources">Type and id of everything stored, the Patient excepted.</param>
public sealed record ArchivedVisit(string Patient, string ServiceEvent, IReadOnlyList<(string Type, string Id)> Resources)
{
    /// <summary>Archives a visit in one transaction: Encounter, Condition, Observation and a note with its text.</summary>
    /// <param name="patient">Stored Patient id.</param>
    /// <param name="diagnosis">Text of the Condition.</param>
    /// <param name="note">Text of the note.</param>
    /// <exception cref="ExpectationException">The transaction was not stored whole.</exception>
    public static async Task<ArchivedVisit> StoreAsync(FhirSession session, string patient, string diagnosis, string note, CancellationToken cancel = default)
    {
        var serviceEvent = Some.ServiceEvent(session.Client);
        var subject = $"Patient/{patient}";
        var (encounter, binary) = (Some.Url(), Some.Url());
        var reply = await session.BundleAsync(Some.Bundle("transaction",
            (encounter, Some.Encounter(subject, serviceEvent)),
            (Some.Url(), Some.Condition(subject, encounter, diagnosis)),
            (Some.Url(), Some.Observation(subject, encounter)),
            (binary, Some.Binary(encounter, note)),
            (Some.Url(), Some.Note(subject, encounter, binary))), cancel).ConfigureAwait(false);
        return new(patient, serviceEvent, StoredBy(reply, 5));
    }

    /// <summary>Registers a Patient, or the caller's new version of their record.</summary>
    /// <returns>The Patient's id.</returns>
    public static async Task<string> RegisterAsync(FhirSession session, string identityCode, string name, CancellationToken cancel = default)
    {
        var reply = Expect.Status(await session.CreateAsync("Patient", Some.Patient(identityCode, name), cancel: cancel).ConfigureAwait(false), "registering a patient", 201);
        return reply.Stored is ("Patient", var id) ? id : throw new ExpectationException("a Location naming the Patient", reply.Headers.GetValueOrDefault("Location", "none"));
    }

    /// <summary>Type and id of each entry of a transaction's answer.</summary>
    public static IReadOnlyList<(string Type, string Id)> StoredBy(FhirReply reply, int count)
    {
        Expect.Status(reply, "a transaction", 200);
        var entries = reply.Json.GetProperty("entry").EnumerateArray().ToList();
        Expect.That(entries.Count == count, $"{count} entries in the answer", $"{entries.Count}");
        return [.. entries.Select(Location)];
    }

    private static (string Type, string Id) Location(JsonElement entry)
    {
        var response = entry.GetProperty("response");
        var status = response.GetProperty("status").GetString() ?? "";
        Expect.That(status.StartsWith("201", StringComparison.Ordinal), "201 for every entry", status);
        return FhirReply.ParseLocation(response.GetProperty("location").GetString() ?? "") ?? throw new ExpectationException("a location for every entry", "none");
    }
}
