using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Breach;

/// <summary>A synthetic person's record: what of it is denied to the reader, and what is not.</summary>
/// <param name="Patient">Patient id.</param>
/// <param name="Denied">Observation in the service event that is denied.</param>
/// <param name="Open">Observation in another one of the same organisation: a reader who does not see this is blind and proves nothing.</param>
/// <param name="DeniedEvent">OID of the service event.</param>
/// <param name="IsDeclared">Permission and denial are in force.</param>
sealed record SyntheticRecord(string Patient, string Denied, string Open, string DeniedEvent, bool IsDeclared);

/// <summary>Declares for a synthetic person what she would declare in the portal, by the road that the portal takes.</summary>
public interface ISyntheticCitizen
{
    /// <summary>
    /// Informed, disclosure permitted without an end, one service event denied without an exception, and nothing else: what of that is not in force is declared anew, and
    /// every other denial in force is withdrawn, whoever recorded it.
    /// </summary>
    /// <param name="isNew">Nothing is declared yet: a record that holds declarations is somebody's, and is not touched.</param>
    /// <exception cref="HttpRequestException">It could not be declared, or the record is somebody's; with the status that was answered.</exception>
    /// <exception cref="Fhir.Outcomes.FaultException">What is declared cannot be read now.</exception>
    Task DeclareAsync(Pseudonym self, string patient, string deniedServiceEvent, bool isNew, CancellationToken cancel);

    /// <summary>
    /// Whether the denial is in force no more because a desk has recorded another word of the person after it: then what it covered may be shown, and nothing is
    /// breached. Who lost or passed over the denial finds no such word.
    /// </summary>
    /// <exception cref="Fhir.Outcomes.FaultException">What is declared cannot be read now.</exception>
    Task<bool> IsOverruledAsync(Pseudonym self, string deniedServiceEvent, CancellationToken cancel);
}

/// <summary>Makes the records of synthetic people once, by the roads of any clinic, and remembers them in a file beside the cases.</summary>
sealed class SyntheticRecords(BreachOptions options, ProbeClient archivist, ProbeClient reader, ISyntheticCitizen citizen)
{
    private readonly string _file = Path.Combine(options.CaseFolder, "probes");
    private readonly ProbeOptions _probes = options.Probes!;
    private Dictionary<int, SyntheticRecord>? _known;

    /// <exception cref="HttpRequestException">It could not be made.</exception>
    public async Task<SyntheticRecord> OfAsync(int person, PersonalIdentityCode code, Pseudonym self, CancellationToken cancel)
    {
        _known ??= File.Exists(_file) ? JsonSerializer.Deserialize<Dictionary<int, SyntheticRecord>>(await File.ReadAllBytesAsync(_file, cancel).ConfigureAwait(false))! : [];
        if (!_known.TryGetValue(person, out var record))
        {
            record = await WriteAsync(code, cancel).ConfigureAwait(false);
            Remember(person, record);
            await citizen.DeclareAsync(self, record.Patient, record.DeniedEvent, isNew: true, cancel).ConfigureAwait(false);
        }
        else if (!record.IsDeclared)
            // Broken off in between: what is declared is ours.
            await citizen.DeclareAsync(self, record.Patient, record.DeniedEvent, isNew: false, cancel).ConfigureAwait(false);
        if (!record.IsDeclared)
            Remember(person, record = record with { IsDeclared = true });
        return record;
    }

    /// <summary>What the person has declared, brought back to what it should be.</summary>
    /// <inheritdoc cref="ISyntheticCitizen.DeclareAsync"/>
    public Task DeclareAnewAsync(SyntheticRecord record, Pseudonym self, CancellationToken cancel) =>
        citizen.DeclareAsync(self, record.Patient, record.DeniedEvent, isNew: false, cancel);

    /// <inheritdoc cref="ISyntheticCitizen.IsOverruledAsync"/>
    public Task<bool> IsOverruledAsync(SyntheticRecord record, Pseudonym self, CancellationToken cancel) => citizen.IsOverruledAsync(self, record.DeniedEvent, cancel);

    /// <summary>Another visit of the reader's, on which its sight rests.</summary>
    /// <exception cref="HttpRequestException">It could not be made.</exception>
    public async Task OpenVisitAsync(SyntheticRecord record, CancellationToken cancel) =>
        await StoreAsync(reader, "Encounter", Visit(record.Patient, ServiceEventOf(_probes.Reader), "in-progress"), cancel).ConfigureAwait(false);

    private async Task<SyntheticRecord> WriteAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        var patient = await StoreAsync(archivist, "Patient", Person(code), cancel).ConfigureAwait(false);
        var deniedEvent = ServiceEventOf(_probes.Archivist);
        var denied = await NoteAsync(patient, deniedEvent, cancel).ConfigureAwait(false);
        var open = await NoteAsync(patient, ServiceEventOf(_probes.Archivist), cancel).ConfigureAwait(false);
        await StoreAsync(reader, "Patient", Person(code), cancel).ConfigureAwait(false);
        var record = new SyntheticRecord(patient, denied, open, deniedEvent, IsDeclared: false);
        await OpenVisitAsync(record, cancel).ConfigureAwait(false);
        return record;
    }

    private async Task<string> NoteAsync(string patient, string serviceEvent, CancellationToken cancel)
    {
        var visit = await StoreAsync(archivist, "Encounter", Visit(patient, serviceEvent, "finished"), cancel).ConfigureAwait(false);
        return await StoreAsync(archivist, "Observation", new()
        {
            ["resourceType"] = "Observation",
            ["status"] = "final",
            ["code"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://loinc.org", ["code"] = "8867-4" }) },
            ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient },
            ["encounter"] = new JsonObject { ["reference"] = "Encounter/" + visit },
            ["valueQuantity"] = new JsonObject { ["value"] = RandomNumberGenerator.GetInt32(55, 95), ["unit"] = "/min", ["system"] = "http://unitsofmeasure.org", ["code"] = "/min" },
        }, cancel).ConfigureAwait(false);
    }

    private static async Task<string> StoreAsync(ProbeClient system, string type, JsonObject body, CancellationToken cancel)
    {
        var reply = await system.SendAsync(HttpMethod.Post, "/fhir/" + type, await system.SystemTokenAsync(cancel).ConfigureAwait(false), body.ToJsonString(), form: false, cancel).ConfigureAwait(false);
        return reply.StoredId ?? throw new HttpRequestException($"{type} was answered {reply.Status}.", null, (HttpStatusCode)reply.Status);
    }

    private static JsonObject Person(PersonalIdentityCode code) => new()
    {
        ["resourceType"] = "Patient",
        ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = PersonalIdentityCode.System, ["value"] = code.Reveal() }),
        ["name"] = new JsonArray(new JsonObject { ["family"] = "Lehtonen", ["given"] = new JsonArray("Kaino") }),
        // Or two registers' word of a death long ago would end the retention of what the probes ask for.
        ["birthDate"] = "1990-01-01",
        ["deceasedBoolean"] = false,
    };

    private static JsonObject Visit(string patient, string serviceEvent, string status) => new()
    {
        ["resourceType"] = "Encounter",
        ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = "urn:oid:" + serviceEvent }),
        ["status"] = status,
        ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
        ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient },
    };

    /// <summary>A new service event (palvelutapahtuma, node 14) of the organisation.</summary>
    private static string ServiceEventOf(ProbeSystem system) => string.Create(CultureInfo.InvariantCulture, $"{system.Organisation}.14.2026.{RandomNumberGenerator.GetInt32(1_000_000, int.MaxValue)}");

    private void Remember(int person, SyntheticRecord record)
    {
        _known![person] = record;
        Audit.OwnerOnly.WriteWhole(_file, JsonSerializer.SerializeToUtf8Bytes(_known), overwrite: true);
    }
}
