using System.Globalization;
using System.Text;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Harness.Verification;

/// <summary>What clinics send that is no FHIR: messages, documents, tables.</summary>
static class AdapterChecks
{
    private const string Hl7 = "application/hl7-v2", Cda = "application/hl7-cda+xml";

    public static async Task RunAsync(Steps steps, ClinicClient clinic, CancellationToken cancel)
    {
        var code = FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal();
        await steps.AlsoAsync("adapters.hl7v2", "acknowledges an ADT message with AA, twice, and stores it once", async () =>
        {
            var message = Arrival(code, "A1");
            foreach (var when in (string[])["the first time", "when it comes again"])
            {
                var reply = Expect.Status(await SendAsync(clinic, message, cancel).ConfigureAwait(false), $"an ADT message {when}", 200);
                Expect.That(Acknowledgement(reply) == "AA", $"AA {when}", Acknowledgement(reply));
            }
            await CountAsync(clinic, "Encounter", code, 1, cancel).ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("adapters.hl7v2-bad", "says in ERR what is wrong with a message, and stores nothing", async () =>
        {
            var other = FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal();
            var reply = await SendAsync(clinic, Arrival(other, "A2").Replace("PV1|1|O|", "PV1|1|Ö|", StringComparison.Ordinal).Replace("20261130100000", "20269930100000", StringComparison.Ordinal), cancel).ConfigureAwait(false);
            Expect.Status(reply, "a message with a day that no month has", 400, 422);
            Expect.That(Acknowledgement(reply) is "AE" or "AR", "AE or AR", Acknowledgement(reply));
            Expect.That(reply.Text.Contains("\rERR|", StringComparison.Ordinal), "an ERR segment", "none");
            await CountAsync(clinic, "Patient", other, 0, cancel).ConfigureAwait(false);
        }).ConfigureAwait(false);
        await steps.AlsoAsync("adapters.cda-hostile", "refuses a document type and entities in CDA", async () =>
        {
            const string Document = "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>&e;</title></ClinicalDocument>";
            var reply = await clinic.System.SendAsync(HttpMethod.Post, "$cda?dry-run=true", Encoding.UTF8.GetBytes(Document), [("Accept", "application/fhir+json")], Cda, cancel: cancel).ConfigureAwait(false);
            Expect.Refusal(reply, "a document type in CDA", [400, 422]);
            Expect.That(!reply.Text.Contains("root:", StringComparison.Ordinal), "nothing of a file", "some");
        }).ConfigureAwait(false);
        await steps.AlsoAsync("adapters.table", "reports each row of a dry run, and stores none", () => TableAsync(clinic, cancel)).ConfigureAwait(false);
        await steps.AlsoAsync("adapters.unidentified", "identifies who sends to an adapter", async () =>
        {
            foreach (var (path, type) in new[] { ("$hl7v2", Hl7), ("$cda", Cda) })
                Expect.Status(await clinic.With(null).SendAsync(HttpMethod.Post, path, Encoding.UTF8.GetBytes(Arrival(code, "A3")), contentType: type, cancel: cancel).ConfigureAwait(false), $"{path} without a token", 401);
        }).ConfigureAwait(false);
    }

    private static async Task TableAsync(ClinicClient clinic, CancellationToken cancel)
    {
        var (good, bad) = (FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal(), "990199-999Z");
        const string Mapping = """{"columns":{"Tunnus":"patient.identityCode","Sukunimi":"patient.family","Etunimi":"patient.given","Käynti":"visit.date"},"delimiter":";","encoding":"utf-8","dateFormat":"d.M.yyyy"}""";
        using var form = new MultipartFormDataContent
        {
            { new StringContent(Mapping, Encoding.UTF8, "application/json"), "mapping", "mapping.json" },
            { new StringContent($"Tunnus;Sukunimi;Etunimi;Käynti\n{good};Esimerkki;Meri;3.9.2025\n{bad};Malli;Onni;4.9.2025\n", Encoding.UTF8, "text/csv"), "table", "table.csv" },
        };
        var reply = Expect.Status(await clinic.SendAsync(HttpMethod.Post, "$table?dry-run=true", await clinic.TokenAsync(cancel).ConfigureAwait(false), form, cancel: cancel).ConfigureAwait(false), "a dry run of a table", 200);
        var rows = reply.Json.GetProperty("parameter").EnumerateArray().Where(static p => p.GetProperty("name").GetString() == "row")
            .Select(static row => row.GetProperty("part").EnumerateArray().First(static p => p.GetProperty("name").GetString() == "status").GetProperty("valueCode").GetString()).ToList();
        Expect.That(rows is ["good", "refused"], "a good row and a refused one", string.Join(", ", rows));
        await CountAsync(clinic, "Patient", good, 0, cancel).ConfigureAwait(false);
    }

    private static Task<FhirReply> SendAsync(ClinicClient clinic, string message, CancellationToken cancel) =>
        clinic.System.SendAsync(HttpMethod.Post, "$hl7v2", Encoding.UTF8.GetBytes(message), contentType: Hl7, cancel: cancel);

    private static async Task CountAsync(ClinicClient clinic, string type, string code, int count, CancellationToken cancel)
    {
        var who = Uri.EscapeDataString("urn:oid:1.2.246.21|" + code);
        var found = Expect.Status(await clinic.System.SearchAsync(type, $"{(type == "Patient" ? "identifier" : "patient.identifier")}={who}", cancel).ConfigureAwait(false), $"a search of {type} afterwards", 200);
        Expect.That(Appearance.Total(found) == count, $"{count} {type} stored", $"{Appearance.Total(found)}");
    }

    /// <summary>MSA-1.</summary>
    private static string Acknowledgement(FhirReply reply) =>
        reply.Text.Split('\r').FirstOrDefault(static s => s.StartsWith("MSA|", StringComparison.Ordinal))?.Split('|').ElementAtOrDefault(1) ?? "no MSA segment";

    private static string Arrival(string code, string id)
    {
        var sender = Guid.NewGuid().ToString("N")[..12];
        var visit = string.Create(CultureInfo.InvariantCulture, $"1.2.246.10.99000011.14.{DateTime.UtcNow.Ticks}");
        return string.Join('\r',
            $@"MSH|^~\&|{sender}|AURORA|KANTA|KELA|20261130101500||ADT^A04^ADT_A01|{id}|P|2.5||||||UNICODE UTF-8", "EVN|A04|20261130101500",
            $"PID|1||{code}^^^&1.2.246.21&ISO^NNFIN||Tarkastus^Tahvo||19800229|M", $"PV1|1|O|POLI^12||||123456^Lääkäri^Leena{new string('|', 12)}{visit}{new string('|', 25)}20261130100000") + "\r";
    }
}
