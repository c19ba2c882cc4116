using System.Text;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Tests.Fhir.Hl7v2;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Forwarding;

/// <summary>HL7 v2 messages take the path of FHIR requests: who sends them is identified, what they say is in the sender's register once it is acknowledged.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class Hl7MessagesTests(SharedHost host) : IDisposable
{
    private readonly ClinicClient _clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
    private readonly string _code = FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal();
    private readonly string _run = Guid.NewGuid().ToString("N")[..12];

    public void Dispose() => _clinic.Dispose();

    [Fact]
    public async Task A_message_is_stored_once_and_can_be_read_by_FHIR()
    {
        var arrival = Mine(Sent.Arrival("1"));
        Assert.Equal("AA", Answer(await SendAsync(arrival), 200));
        Assert.Equal("AA", Answer(await SendAsync(arrival), 200));
        Assert.Equal("AA", Answer(await SendAsync(Mine(Sent.Results("2"))), 200));
        foreach (var (type, count) in new[] { ("Patient", 1), ("Encounter", 1), ("Condition", 1), ("AllergyIntolerance", 1), ("DiagnosticReport", 1), ("Observation", 3), ("Provenance", 2) })
            Assert.Equal((type, count), (type, await CountAsync(type)));

        // The same id with another content is another message.
        var other = await SendAsync(Mine(Sent.Results("2", "9.9")));
        Assert.Equal("AR", Answer(other, 409));
        // A correction is a version of the same report.
        Assert.Equal("AA", Answer(await SendAsync(Mine(Sent.Results("3", "9.9"))), 200));
        Assert.Equal(3, await CountAsync("Observation"));

        Assert.Equal("AA", Answer(await SendAsync(Mine(Sent.Bytes(Sent.Join(Sent.Header("ADT^A03", "4"), "EVN|A03|20261130120000", Sent.Person(), Sent.Pv1("I", ""))))), 200));
        var visit = (await _clinic.System.SearchAsync("Encounter", $"patient.identifier=urn:oid:1.2.246.21|{_code}")).Json.GetProperty("entry")[0].GetProperty("resource");
        Assert.Equal(("finished", "2026-11-30T10:00:00+02:00"), (visit.GetProperty("status").GetString(), visit.GetProperty("period").GetProperty("start").GetString()));
    }

    [Fact]
    public async Task A_bad_message_stops_no_other_of_its_batch_and_leaves_nothing()
    {
        var bad = Encoding.UTF8.GetString(Mine(Sent.Results("2"))).Replace("|NM|", "|NA|", StringComparison.Ordinal);
        var batch = $"BHS|^~\\&|||||||||B-1\r{Encoding.UTF8.GetString(Mine(Sent.Arrival("1")))}{bad}{Encoding.UTF8.GetString(Mine(Sent.Booking("3")))}BTS|3\r";
        var reply = await SendAsync(Encoding.UTF8.GetBytes(batch));
        Assert.Equal(200, reply.Status);
        var answers = Hl7Batch.Read(reply.Body).Batch!.Messages.Select(m => Hl7Message.Read(m)!).ToList();
        Assert.Equal(["AA", "AE", "AA"], answers.Select(a => a.First("MSA")!.Text(1)));
        Assert.Equal("OBX", answers[1].First("ERR")!.Text(2));
        foreach (var (type, count) in new[] { ("Encounter", 1), ("Appointment", 1), ("DiagnosticReport", 0), ("Provenance", 2) })
            Assert.Equal((type, count), (type, await CountAsync(type)));
    }

    [Fact]
    public async Task Nobody_sends_messages_but_an_identified_system()
    {
        Assert.Equal(401, (await _clinic.With(null).SendAsync(HttpMethod.Post, "$hl7v2", Mine(Sent.Arrival()), contentType: MessageAdapter.ContentType)).Status);
        Assert.Equal(403, (await _clinic.Professional(host.Folder.ProfessionalOf("aurora").Id).SendAsync(HttpMethod.Post, "$hl7v2", Mine(Sent.Arrival()), contentType: MessageAdapter.ContentType)).Status);
        var narrow = _clinic.With((await _clinic.RequestSystemTokenAsync(scope: "system/Observation.cruds")).Value);
        Assert.Equal("AR", Answer(await narrow.SendAsync(HttpMethod.Post, "$hl7v2", Mine(Sent.Arrival()), contentType: MessageAdapter.ContentType), 403));
        Assert.Equal(415, (await _clinic.System.SendAsync(HttpMethod.Post, "$hl7v2", Mine(Sent.Arrival()), contentType: "application/json")).Status);
        Assert.Equal(400, (await SendAsync("Hei"u8.ToArray())).Status);
        Assert.Equal(0, await CountAsync("Patient"));
    }

    /// <summary>Of this test's own person and visit.</summary>
    private byte[] Mine(byte[] message) => Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(message).Replace(Sent.Code(), _code, StringComparison.Ordinal).Replace("|POTILAS|", $"|{_run}|", StringComparison.Ordinal));

    private Task<FhirReply> SendAsync(byte[] message) => _clinic.System.SendAsync(HttpMethod.Post, "$hl7v2", message, contentType: MessageAdapter.ContentType);

    private static string? Answer(FhirReply reply, int status)
    {
        Assert.True(reply.Status == status, reply.ToString());
        Assert.Equal(MessageAdapter.ContentType, reply.Headers["Content-Type"]);
        return Hl7Message.Read(reply.Body)!.First("MSA")!.Text(1);
    }

    private async Task<int> CountAsync(string type) =>
        (await _clinic.System.SearchAsync(type, type == "Patient" ? $"identifier=urn:oid:1.2.246.21|{_code}" : $"patient.identifier=urn:oid:1.2.246.21|{_code}")).Json.GetProperty("total").GetInt32();
}
