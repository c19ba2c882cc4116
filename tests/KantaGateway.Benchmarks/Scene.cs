using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Benchmarks;

/// <summary>
/// The people and records of the measurement: a person with a record of <see cref="Others"/> observations and a visit at
/// one clinic, who permits disclosure, and a professional of another clinic with an open visit of the person.
/// </summary>
sealed class Scene : IDisposable
{
    /// <summary>Observations in the person's record besides the one that is read.</summary>
    public const int Others = 200;

    private const string Reader = "revontuli", Kept = "scene.txt";

    private readonly ClinicClient _reader;
    private readonly string _professional;

    private Scene(ClinicClient reader, string professional, string target) => (_reader, _professional, Target) = (reader, professional, target);

    /// <summary>Path of the Observation that is read.</summary>
    public string Target { get; }

    /// <summary>The other clinic's professional reads what the person permits.</summary>
    public Caller Professional => new(_reader, c => _reader.ProfessionalTokenAsync(_professional, cancel: c));

    /// <summary>Finds the scene where an earlier run has left it, or makes it.</summary>
    public static async Task<Scene> PrepareAsync(House house, CancellationToken cancel)
    {
        var (folder, gateway, archivist) = (house.Folder, house.Clinic.Target, house.Clinic);
        var reader = ClinicClient.Open(folder, Reader, gateway);
        var professional = folder.ProfessionalOf(Reader).Id;
        var kept = Path.Combine(house.Seeded.Path, Kept);
        if (File.Exists(kept))
            return new(reader, professional, await File.ReadAllTextAsync(kept, cancel));
        using var citizen = new CitizenClient(folder, gateway, 0);
        var patient = await ArchivedVisit.RegisterAsync(reader.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel);
        var subject = $"Patient/{patient}";
        Expect.Status(await reader.System.CreateAsync("Encounter", Some.Bytes(Some.Encounter(subject, Some.ServiceEvent(reader))), cancel: cancel), "opening a visit", 201);
        await ArchivedVisit.RegisterAsync(archivist.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel);
        var visit = await ArchivedVisit.StoreAsync(archivist.System, patient, "Keskivaikea masennustila", "Potilas kertoo unettomuudesta.", cancel);
        Expect.Status(await archivist.System.BundleAsync(Some.Bundle("transaction", Enumerable.Range(0, Others).Select(i => (Some.Url(), Some.Observation(subject, value: 50 + i)))), cancel),
            "archiving observations", 200);
        await citizen.SignInAsync(cancel);
        await citizen.BeInformedAsync(cancel);
        await citizen.PermitAsync(cancel);
        var (type, id) = visit.Resources.First(r => r.Type == "Observation");
        var scene = new Scene(reader, professional, $"/fhir/{type}/{id}");
        await File.WriteAllTextAsync(kept, scene.Target, cancel);
        return scene;
    }

    public void Dispose() => _reader.Dispose();
}
