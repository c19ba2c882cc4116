#pragma warning disable CA5394 // Whose record is asked for need not be unforeseeable, only mixed.
using System.Globalization;
using KantaGateway.Harness.Generating;

namespace KantaGateway.Benchmarks;

/// <summary>Requests about random patients of a seeded folder, made before the time begins.</summary>
/// <param name="File">As the load generator reads them.</param>
sealed record Workload(string Name, string File, IReadOnlyList<LoadRequest> Requests)
{
    private const string Json = "application/fhir+json";

    /// <summary>The same in every run.</summary>
    public static Random Chance { get; } = new(20_261);

    /// <summary>Reads by id: any resource of any patient.</summary>
    /// <param name="among">Patients that they are about; null: all.</param>
    public static IReadOnlyList<LoadRequest> Reads(SeededFolder seeded, int count, int[]? among = null) => Make(seeded, count, among, patient =>
    {
        var sequence = Chance.Next(seeded.SizeOf(patient)) + 1;
        return new("GET", $"/fhir/{SeededRecord.TypeAt(sequence)}/{seeded.Id(patient, sequence)}", []);
    });

    /// <summary>Searches of Observations by patient and code: ten hits in a record of 200.</summary>
    public static IReadOnlyList<LoadRequest> Searches(SeededFolder seeded, int count, int[]? among = null) => Make(seeded, count, among, patient =>
        new("GET", $"/fhir/Observation?patient={seeded.Id(patient, 1)}&code=http%3A%2F%2Floinc.org%7C{SeededRecord.Codes[Chance.Next(SeededRecord.Codes.Count - 1)]}&_count=10", []));

    /// <summary>Creations of an Observation of a visit that is there.</summary>
    public static IReadOnlyList<LoadRequest> Creates(SeededFolder seeded, int count, int[]? among = null)
    {
        var record = new SeededRecord();
        return Make(seeded, count, among, patient =>
            new("POST", "/fhir/Observation", record.NewObservation($"Patient/{seeded.Id(patient, 1)}", $"Encounter/{seeded.Id(patient, 2)}", Chance.Next(10_000)), Json));
    }

    /// <summary>Transactions that archive a new visit of ten resources.</summary>
    public static IReadOnlyList<LoadRequest> Transactions(SeededFolder seeded, string controller, int count, int[]? among = null)
    {
        var (record, number) = (new SeededRecord(), DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        return Make(seeded, count, among, patient =>
            new("POST", "/fhir", record.NewVisit($"Patient/{seeded.Id(patient, 1)}", string.Create(CultureInfo.InvariantCulture, $"{controller}.14.{number++}"), Chance.Next(10_000)), Json));
    }

    /// <summary>Of twenty requests twelve reads, five searches, two creations and a transaction.</summary>
    public static IReadOnlyList<LoadRequest> Mixed(SeededFolder seeded, string controller, int count)
    {
        LoadRequest[] all = [.. Reads(seeded, count * 12 / 20), .. Searches(seeded, count * 5 / 20), .. Creates(seeded, count * 2 / 20), .. Transactions(seeded, controller, count / 20)];
        Chance.Shuffle(all);
        return all;
    }

    /// <summary>A few patients, spread over all of them as the patients of a day are over those of a clinic.</summary>
    public static int[] Some(SeededFolder seeded, int count)
    {
        var patients = Enumerable.Range(0, seeded.Patients).ToArray();
        Chance.Shuffle(patients);
        return patients[..Math.Min(count, patients.Length)];
    }

    private static LoadRequest[] Make(SeededFolder seeded, int count, int[]? among, Func<int, LoadRequest> request) =>
        [.. Enumerable.Range(0, count).Select(_ => request(among is null ? Chance.Next(seeded.Patients) : among[Chance.Next(among.Length)]))];
}
