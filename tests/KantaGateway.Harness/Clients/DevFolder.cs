using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Client;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Harness.Clients;

/// <summary>One fictional person of <c>citizens.json</c>; its position in the file is the broker's choice of them.</summary>
/// <param name="IdentityCode">Valid 900-series code.</param>
/// <param name="Role">Why the person is in the file, such as adult, guardian, minor.</param>
public sealed record CitizenEntry(
    [property: JsonPropertyName("identity_code")] string IdentityCode,
    [property: JsonPropertyName("name")] string Name,
    [property: JsonPropertyName("role")] string Role);

/// <summary>One fictional professional of <c>professionals.json</c>.</summary>
public sealed record ProfessionalEntry(
    [property: JsonPropertyName("id")] string Id,
    [property: JsonPropertyName("name")] string Name,
    [property: JsonPropertyName("profession")] string Profession,
    [property: JsonPropertyName("clinic")] string Clinic,
    [property: JsonPropertyName("unit")] string? Unit,
    [property: JsonPropertyName("subject_token_url")] Uri SubjectTokenUrl);

/// <summary>
/// The folder that a development gateway writes for those who call it (architecture section 11): its certificate
/// authority, the fictional clinics with their keys, professionals and citizens.
/// </summary>
public sealed class DevFolder
{
    /// <param name="path">The gateway's data folder.</param>
    /// <exception cref="DirectoryNotFoundException">No <c>ca.pem</c> there.</exception>
    public DevFolder(string path)
    {
        Path = System.IO.Path.GetFullPath(path);
        var authority = File("ca.pem");
        if (!System.IO.File.Exists(authority))
            throw new DirectoryNotFoundException($"{Path} holds no ca.pem: is it the data folder of a started gateway?");
        Authority = [];
        Authority.ImportFromPemFile(authority);
    }

    public string Path { get; }

    /// <summary>The only roots that the harness trusts.</summary>
    public X509Certificate2Collection Authority { get; }

    /// <summary>File with the key of the audit log: each gateway has its own log.</summary>
    public string LogKey { get; init; } = "audit.vkey";

    /// <summary>Given the connections, returns what stands between every client of this folder and them, to break things in a test; null: nothing.</summary>
    public Func<HttpMessageHandler, HttpMessageHandler>? Between { get; init; }

    /// <summary>Connections as the clients of this folder have them: what a check sends over them is kept for its report.</summary>
    public HttpMessageHandler Through(HttpMessageHandler connections) => new Exchanges.Handler(Between?.Invoke(connections) ?? connections);

    /// <summary>The key with which the audit log's checkpoints are checked.</summary>
    public NoteVerifier AuditLog => NoteVerifier.TryParse(System.IO.File.ReadAllText(File(LogKey)).Trim(), out var key) ? key : throw new InvalidDataException($"{LogKey} holds no verifier key.");

    /// <summary>Whose cosignatures a checkpoint needs; null: the gateway has no witnesses.</summary>
    public WitnessPolicy? Witnesses => !System.IO.File.Exists(File("witness-policy")) ? null
        : WitnessPolicy.TryParse(System.IO.File.ReadAllBytes(File("witness-policy")), out var policy, out var problem) ? policy : throw new InvalidDataException($"witness-policy: {problem}");

    public IReadOnlyList<CitizenEntry> Citizens => Read<CitizenEntry[]>("citizens.json");

    /// <summary>Position of the first adult among <see cref="Citizens"/>; 0 where there is none.</summary>
    public int FirstAdult => Citizens.Select(static (c, i) => (c.Role, i)).FirstOrDefault(static c => c.Role.Contains("adult", StringComparison.OrdinalIgnoreCase)).i;

    public IReadOnlyList<ProfessionalEntry> Professionals => Read<ProfessionalEntry[]>("professionals.json");

    /// <summary>Names of the clinics' folders, sorted.</summary>
    public IReadOnlyList<string> Clinics =>
        [.. Directory.EnumerateDirectories(File("clinics")).Select(System.IO.Path.GetFileName).OfType<string>().Order(StringComparer.Ordinal)];

    public ClientRegistration Client(string clinic) => ClientRegistration.Load(File($"clinics/{clinic}/client.json"));

    /// <summary>Absolute path of a file of the folder.</summary>
    public string File(string relative) => System.IO.Path.Combine(Path, relative);

    /// <summary>The first professional of a clinic, by the order of the file.</summary>
    public ProfessionalEntry ProfessionalOf(string clinic) =>
        Professionals.FirstOrDefault(p => p.Clinic == clinic)
        ?? throw new InvalidDataException($"professionals.json names nobody of {clinic}.");

    private T Read<T>(string relative) =>
        JsonSerializer.Deserialize<T>(System.IO.File.ReadAllBytes(File(relative)))
        ?? throw new InvalidDataException($"{relative} is empty.");
}
