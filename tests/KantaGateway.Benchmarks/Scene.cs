using System.Security.Cryptography.X509Certificates;
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

    private const string Archivist = "aurora", Reader = "revontuli";

    private readonly ClinicClient _archivist, _reader;
    private readonly string _professional;

    private Scene(ClinicClient archivist, ClinicClient reader, string professional, string target) =>
        (_archivist, _reader, _professional, Target) = (archivist, reader, professional, target);

    /// <summary>Path of the Observation that everybody reads.</summary>
    public string Target { get; }

    /// <summary>The archiving clinic's system reads its own register.</summary>
    public Caller System => new("system, own register", _archivist, c => _archivist.TokenAsync(c));

    /// <summary>The other clinic's professional reads what the person permits.</summary>
    public Caller Professional => new("professional, by permission", _reader, c => _reader.ProfessionalTokenAsync(_professional, cancel: c));

    public static async Task<Scene> PrepareAsync(DevFolder folder, Uri gateway, CancellationToken cancel)
    {
        var archivist = ClinicClient.Open(folder, Archivist, gateway);
        var reader = ClinicClient.Open(folder, Reader, gateway);
        using var citizen = new CitizenClient(folder, gateway, 0);
        var patient = await ArchivedVisit.RegisterAsync(reader.System, citizen.Entry.IdentityCode, citizen.Entry.Name, cancel);
        var subject = $"Patient/{patient}";
        Expect.Status(await reader.System.CreateAsync("Encounter", Some.Bytes(Some.Encounter(subject, Some.ServiceEvent(reader))), cancel: cancel), "opening a visit", 201);
        var visit = await ArchivedVisit.StoreAsync(archivist.System, patient, "Keskivaikea masennustila", "Potilas kertoo unettomuudesta.", cancel);
        Expect.Status(await archivist.System.BundleAsync(Some.Bundle("transaction", Enumerable.Range(0, Others).Select(i => (Some.Url(), Some.Observation(subject, value: 50 + i)))), cancel),
            "archiving observations", 200);
        await citizen.SignInAsync(cancel);
        await citizen.BeInformedAsync(cancel);
        await citizen.PermitAsync(cancel);
        var (type, id) = visit.Resources.First(r => r.Type == "Observation");
        return new(archivist, reader, folder.ProfessionalOf(Reader).Id, $"/fhir/{type}/{id}");
    }

    public void Dispose()
    {
        _archivist.Dispose();
        _reader.Dispose();
    }
}

/// <summary>Somebody who reads.</summary>
/// <param name="Name">For the table.</param>
/// <param name="Clinic">Whose certificate is presented.</param>
sealed record Caller(string Name, ClinicClient Clinic, Func<CancellationToken, Task<string?>> TokenAsync)
{
    /// <summary>The headers of a request.</summary>
    /// <param name="terminated">Whether TLS ended before the gateway: then the certificate comes in a header.</param>
    public async Task<IReadOnlyList<(string Name, string Value)>> HeadersAsync(bool terminated, CancellationToken cancel)
    {
        var authorization = ("Authorization", "Bearer " + await TokenAsync(cancel));
        if (!terminated)
            return [authorization];
        using var certificate = X509CertificateLoader.LoadCertificateFromFile(Clinic.Folder.File($"clinics/{Clinic.Name}/tls.pem"));
        return [authorization, ("X-Client-Cert", Convert.ToBase64String(certificate.RawData))];
    }
}
