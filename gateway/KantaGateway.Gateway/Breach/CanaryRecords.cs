using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Makes the record of a canary by the road of any clinic: a person with a common name, whose birth date and gender are those of the identity code, and some visits of the last years with what
/// was measured and found. Nothing in it says what it is.
/// </summary>
sealed class CanaryRecords(GatewayOptions options, TimeProvider time) : IDisposable
{
    private static readonly string[] Families = ["Korhonen", "Virtanen", "Mäkinen", "Nieminen", "Mäkelä", "Hämäläinen", "Laine", "Heikkinen", "Koskinen", "Järvinen", "Lehtinen", "Saarinen", "Salminen", "Niemi", "Salonen", "Turunen"];
    private static readonly string[] Women = ["Anna", "Helena", "Johanna", "Kaarina", "Maria", "Sofia", "Emilia", "Hanna", "Riikka", "Tuula"];
    private static readonly string[] Men = ["Juhani", "Mikael", "Antti", "Heikki", "Johannes", "Matti", "Ilmari", "Olavi", "Tapio", "Eero"];
    private static readonly string[] Towns = ["Tampere", "Oulu", "Jyväskylä", "Kuopio", "Lahti", "Joensuu", "Pori", "Vaasa"];

    private static readonly (string Code, string Display)[] Findings = [("J06.9", "Akuutti ylähengitystieinfektio"), ("I10", "Essentiaalinen verenpainetauti"), ("M54.5", "Lannekipu"), ("R51", "Päänsärky"), ("L20.9", "Atooppinen ekseema"), ("K21.9", "Refluksitauti")];

    private readonly CanaryOptions _canaries = options.Breach!.Canaries!;
    private readonly ProbeClient _archivist = new(options.Breach!.Canaries!.Archivist, options, options.Breach.Canaries.AuthorityFile, time);

    /// <exception cref="HttpRequestException">It could not be made, or not all of it.</exception>
    public async Task MakeAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        var patient = await StoreAsync("Patient", PersonOf(code), cancel).ConfigureAwait(false);
        var at = time.GetUtcNow().AddDays(-RandomNumberGenerator.GetInt32(20, 200)).AddMinutes(-RandomNumberGenerator.GetInt32(0, 500));
        for (var visits = RandomNumberGenerator.GetInt32(2, 6); visits > 0; visits--, at = at.AddDays(-RandomNumberGenerator.GetInt32(30, 400)))
            await VisitAsync(patient, at, cancel).ConfigureAwait(false);
    }

    public void Dispose() => _archivist.Dispose();

    private async Task VisitAsync(string patient, DateTimeOffset at, CancellationToken cancel)
    {
        var visit = await StoreAsync("Encounter", new()
        {
            ["resourceType"] = "Encounter",
            ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = "urn:ietf:rfc:3986", ["value"] = string.Create(CultureInfo.InvariantCulture, $"urn:oid:{_canaries.Archivist.Organisation}.14.{at.Year}.{RandomNumberGenerator.GetInt32(1_000_000, int.MaxValue)}") }),
            ["status"] = "finished",
            ["class"] = new JsonObject { ["system"] = "http://terminology.hl7.org/CodeSystem/v3-ActCode", ["code"] = "AMB" },
            ["subject"] = new JsonObject { ["reference"] = "Patient/" + patient },
            ["period"] = new JsonObject { ["start"] = Text(at), ["end"] = Text(at.AddMinutes(RandomNumberGenerator.GetInt32(10, 45))) },
        }, cancel).ConfigureAwait(false);
        await StoreAsync("Observation", OfVisit("Observation", patient, visit, new()
        {
            ["status"] = "final",
            ["code"] = Coded("http://loinc.org", "8867-4", "Heart rate"),
            ["effectiveDateTime"] = Text(at.AddMinutes(5)),
            ["valueQuantity"] = new JsonObject { ["value"] = RandomNumberGenerator.GetInt32(55, 95), ["unit"] = "/min", ["system"] = "http://unitsofmeasure.org", ["code"] = "/min" },
        }), cancel).ConfigureAwait(false);
        var (finding, display) = Findings[RandomNumberGenerator.GetInt32(Findings.Length)];
        await StoreAsync("Condition", OfVisit("Condition", patient, visit, new()
        {
            ["clinicalStatus"] = Coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "resolved", "Resolved"),
            ["code"] = Coded("http://hl7.org/fhir/sid/icd-10", finding, display),
            ["recordedDate"] = Text(at.AddMinutes(8)),
        }), cancel).ConfigureAwait(false);
    }

    private static JsonObject OfVisit(string type, string patient, string visit, JsonObject rest)
    {
        rest["resourceType"] = type;
        rest["subject"] = new JsonObject { ["reference"] = "Patient/" + patient };
        rest["encounter"] = new JsonObject { ["reference"] = "Encounter/" + visit };
        return rest;
    }

    private static JsonObject Coded(string system, string code, string display) => new() { ["coding"] = new JsonArray(new JsonObject { ["system"] = system, ["code"] = code, ["display"] = display }) };

    private static JsonObject PersonOf(PersonalIdentityCode code)
    {
        var text = code.Reveal();
        // Century by the sign (+ 18, - and YXWVU 19, A-F 20), gender by the last digit of the individual number: DVV, the personal identity code.
        var century = text[6] switch { '+' => 18, >= 'A' and <= 'F' => 20, _ => 19 };
        var isWoman = (text[9] - '0') % 2 == 0;
        return new()
        {
            ["resourceType"] = "Patient",
            ["identifier"] = new JsonArray(new JsonObject { ["use"] = "official", ["system"] = PersonalIdentityCode.System, ["value"] = text }),
            ["name"] = new JsonArray(new JsonObject { ["family"] = Any(Families), ["given"] = new JsonArray(Any(isWoman ? Women : Men)) }),
            ["gender"] = isWoman ? "female" : "male",
            ["birthDate"] = $"{century}{text[4..6]}-{text[2..4]}-{text[..2]}",
            ["address"] = new JsonArray(new JsonObject { ["city"] = Any(Towns), ["country"] = "FI" }),
            // Or two registers' word of a death would end the retention.
            ["deceasedBoolean"] = false,
        };
    }

    private static string Any(string[] of) => of[RandomNumberGenerator.GetInt32(of.Length)];

    private static string Text(DateTimeOffset at) => at.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private async Task<string> StoreAsync(string type, JsonObject body, CancellationToken cancel)
    {
        var reply = await _archivist.SendAsync(HttpMethod.Post, "/fhir/" + type, await _archivist.SystemTokenAsync(cancel).ConfigureAwait(false), body.ToJsonString(), form: false, cancel).ConfigureAwait(false);
        return reply.StoredId ?? throw new HttpRequestException($"{type} was answered {reply.Status}.", null, (HttpStatusCode)reply.Status);
    }
}
