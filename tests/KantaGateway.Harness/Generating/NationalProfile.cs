#pragma warning disable CA5394 // Whom a request is about need not be unforeseeable.
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Harness.Generating;

/// <summary>A kind of request of the nation's.</summary>
/// <param name="PerSecond">Mean of the whole nation.</param>
/// <param name="IsOthers">Asked by another organisation than the one that recorded, for a professional.</param>
public sealed record NationalKind(string Name, double PerSecond, bool IsOthers = false)
{
    private const double Month = 30 * 86_400.0;

    /// <summary>What Kanta is asked (Kela's statistics): more than two million new documents a day; a month twelve million searches of the own register, eleven million of prescriptions, eight million of other organisations' data.</summary>
    public static IReadOnlyList<NationalKind> All { get; } =
    [
        new("archive a document", 2_000_000 / 86_400.0),
        new("search the own register", 12_000_000 / Month),
        new("search prescriptions", 11_000_000 / Month),
        new("search others' data", 8_000_000 / Month, IsOthers: true),
    ];

    /// <summary>Of all requests the part of this kind, 0 to 1.</summary>
    public double Share => PerSecond / All.Sum(static k => k.PerSecond);
}

/// <summary>The people that a load is about, and the requests about them.</summary>
sealed class NationalProfile
{
    private const string Json = "application/fhir+json", Form = "application/x-www-form-urlencoded";

    private static readonly string[] Codes = ["8867-4", "8480-6", "8462-4", "8310-5", "29463-7"];

    private readonly Random _chance;
    private readonly string _base;
    private readonly List<(string Patient, string Encounter)> _own = [];
    private readonly List<string> _others = [];

    private NationalProfile(int seed, string path) => (_chance, _base) = (new(seed), path.TrimEnd('/'));

    /// <summary>Registers people at a gateway: a clinic's patients with a record each, and citizens who permit another clinic to see theirs.</summary>
    public static async Task<NationalProfile> PrepareAsync(DevFolder folder, Uri target, ClinicClient clinic, ClinicClient reader, int people, int seed, CancellationToken cancel)
    {
        var profile = new NationalProfile(seed, "/fhir");
        for (var i = 0; i < people; i++)
            await profile.RecordAsync((type, body) => clinic.System.CreateAsync(type, body, cancel: cancel), body => clinic.System.BundleAsync(body, cancel), Some.ServiceEvent(clinic), CodeOf(seed, i)).ConfigureAwait(false);
        foreach (var index in folder.Citizens.Select((c, i) => (c, i)).Where(static c => c.c.Role.Contains("adult", StringComparison.OrdinalIgnoreCase)).Select(static c => c.i).Take(3))
        {
            using var citizen = new CitizenClient(folder, target, index);
            await citizen.SignInAsync(cancel).ConfigureAwait(false);
            await citizen.WithdrawEverythingAsync(cancel).ConfigureAwait(false);
            await citizen.BeInformedAsync(cancel).ConfigureAwait(false);
            await citizen.PermitAsync(cancel).ConfigureAwait(false);
            var patient = await profile.RecordAsync((type, body) => clinic.System.CreateAsync(type, body, cancel: cancel), body => clinic.System.BundleAsync(body, cancel), Some.ServiceEvent(clinic), citizen.Entry.IdentityCode).ConfigureAwait(false);
            await ArchivedVisit.RegisterAsync(reader.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel).ConfigureAwait(false);
            Expect.Status(await reader.System.CreateAsync("Encounter", Some.Bytes(Some.Encounter($"Patient/{patient}", Some.ServiceEvent(reader))), cancel: cancel).ConfigureAwait(false), "a visit at the other clinic", 201);
            profile._others.Add(patient);
        }
        return profile;
    }

    /// <summary>The same at another FHIR server, which asks for no tokens and no permissions.</summary>
    /// <param name="server">FHIR base.</param>
    public static async Task<NationalProfile> PrepareAsync(Uri server, int people, int seed, CancellationToken cancel)
    {
        var profile = new NationalProfile(seed, server.AbsolutePath);
        using var http = new HttpClient { Timeout = TimeSpan.FromMinutes(1) };
        for (var i = 0; i < people; i++)
            profile._others.Add(await profile.RecordAsync((type, body) => PostAsync("/" + type, body), body => PostAsync("", body), string.Create(CultureInfo.InvariantCulture, $"1.2.246.10.99000099.14.{seed}.{i}"), CodeOf(seed, i)).ConfigureAwait(false));
        return profile;

        async Task<FhirReply> PostAsync(string path, byte[] body)
        {
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new(Json);
            using var answer = await http.PostAsync(server.ToString().TrimEnd('/') + path, content, cancel).ConfigureAwait(false);
            return await FhirReply.ReadAsync(answer, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>Requests of one kind, to be sent in turn.</summary>
    public IReadOnlyList<LoadRequest> Requests(NationalKind kind, int count) => [.. Enumerable.Range(0, count).Select(_ => kind switch
    {
        { IsOthers: true } => Search("Observation", _others[_chance.Next(_others.Count)], $"&code=http%3A%2F%2Floinc.org%7C{Codes[_chance.Next(Codes.Length)]}"),
        { Name: "archive a document" } => Archive(_own[_chance.Next(_own.Count)]),
        { Name: "search prescriptions" } => Search("MedicationRequest", _own[_chance.Next(_own.Count)].Patient, "&status=active"),
        _ => Search("Observation", _own[_chance.Next(_own.Count)].Patient, $"&code=http%3A%2F%2Floinc.org%7C{Codes[_chance.Next(Codes.Length)]}"),
    })];

    private static string CodeOf(int seed, int person) => FictionalIdentityCode.Of(string.Create(CultureInfo.InvariantCulture, $"load/{seed}/{person}")).Reveal();

    private LoadRequest Search(string type, string patient, string more) => new("POST", $"{_base}/{type}/_search", Encoding.ASCII.GetBytes($"patient={patient}{more}&_count=20"), Form);

    private LoadRequest Archive((string Patient, string Encounter) whom) =>
        new("POST", $"{_base}/Observation", Some.Bytes(Some.Observation($"Patient/{whom.Patient}", $"Encounter/{whom.Encounter}", Codes[_chance.Next(Codes.Length)], _chance.Next(40, 180))), Json);

    private async Task<string> RecordAsync(Func<string, byte[], Task<FhirReply>> create, Func<byte[], Task<FhirReply>> transact, string serviceEvent, string code)
    {
        var registered = Expect.Status(await create("Patient", Some.Patient(code, "Kuormitus Esimerkki")).ConfigureAwait(false), "registering a person", 200, 201);
        var patient = registered.Stored?.Id ?? registered.Json.GetProperty("id").GetString()!;
        var (subject, encounter) = ($"Patient/{patient}", Some.Url());
        var stored = await transact(Some.Bundle("transaction",
            [(encounter, Some.Encounter(subject, serviceEvent)), .. Codes.Select(c => (Some.Url(), Some.Observation(subject, encounter, c))), (Some.Url(), Medication(subject, encounter)), (Some.Url(), Medication(subject, encounter))])).ConfigureAwait(false);
        _own.Add((patient, ArchivedVisit.StoredBy(stored, Codes.Length + 3)[0].Id));
        return patient;
    }

    private static JsonObject Medication(string subject, string encounter) => new()
    {
        ["resourceType"] = "MedicationRequest",
        ["status"] = "active",
        ["intent"] = "order",
        ["medicationCodeableConcept"] = new JsonObject { ["coding"] = new JsonArray(new JsonObject { ["system"] = "http://www.whocc.no/atc", ["code"] = "C09AA05" }) },
        ["subject"] = new JsonObject { ["reference"] = subject },
        ["encounter"] = new JsonObject { ["reference"] = encounter },
        ["authoredOn"] = "2026-01-01T08:20:00+02:00",
    };
}
