using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Tests.Laws;

/// <summary>Act 703/2023 §18, §59.2: occupational care keeps a register for each employer, through the real edge, alone and in a batch.</summary>
public class OccupationalCareTests
{
    private const string Tuisku = "1.2.246.10.99000099", Employer = "1.2.246.10.2048198", Other = "1.2.246.10.15728600";

    [Fact]
    public async Task Each_employer_has_a_register_of_its_own_which_the_person_denies_alone()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var tuisku = ClinicClient.Open(house.Folder, "tuisku", house.Target);
        await house.AdmitAsync();
        var patient = HouseInMemory.Patient(house.Folder.Citizens[0].IdentityCode);

        // Without an employer nothing is written: there is no register to write it to.
        var refused = await tuisku.System.CreateAsync("Patient", HouseInMemory.Json(patient));
        Assert.Equal(403, refused.Status);
        Assert.Contains("X-Employer", refused.Text, StringComparison.Ordinal);
        var notes = new Dictionary<string, string>();
        foreach (var employer in (string[])[Employer, Other])
        {
            await CreateAsync(employer, patient);
            await CreateAsync(employer, house.Encounter($"{Tuisku}.14.{notes.Count}", "in-progress"));
            notes[employer] = await CreateAsync(employer, house.Observation("Työnantajan " + employer));
        }

        // Own to the register that is named, and to no other of the same house; the professional treats for both employers.
        var professional = tuisku.Professional(house.Folder.ProfessionalOf("tuisku").Id);
        foreach (var session in (FhirSession[])[tuisku.System, professional])
        {
            Assert.Equal(200, (await ReadAsync(session, notes[Employer], Employer)).Status);
            Assert.Equal(404, (await ReadAsync(session, notes[Other], Employer)).Status);
            Assert.Equal(200, (await ReadAsync(session, notes[Other], Other)).Status);
            // A batch is as many requests under one header.
            Assert.Equal(["200", "404"], await BatchAsync(session, Employer));
            Assert.Equal(["404", "200"], await BatchAsync(session, Other));
            Assert.Equal(["404", "404"], await BatchAsync(session, null));
        }

        await house.PermitAsync();
        Assert.Equal((200, 200), await SeenAsync());
        var denial = await house.DeclareAsync(Declarations.Denial(house.PatientId, new DenialTarget.OfRegister(Tuisku, Register.Occupational(Employer)), DateTimeOffset.UtcNow));
        Assert.Equal((404, 200), await SeenAsync());
        Assert.DoesNotContain("Työnantajan " + Employer, (await house.Reader.SearchAsync("Observation", "patient=" + house.PatientId)).Text, StringComparison.Ordinal);
        // From the house's other register too, and never from the owning one.
        Assert.Equal(404, (await ReadAsync(professional, notes[Employer], Other)).Status);
        Assert.Equal(200, (await ReadAsync(professional, notes[Employer], Employer)).Status);
        Assert.Equal(["200", "200"], await BatchAsync(professional, Employer));
        await house.WithdrawAsync(denial);
        Assert.Equal((200, 200), await SeenAsync());

        async Task<string> CreateAsync(string employer, JsonObject resource)
        {
            var reply = await tuisku.System.SendAsync(HttpMethod.Post, (string)resource["resourceType"]!, HouseInMemory.Json(resource), [("X-Employer", employer)]);
            Assert.True(reply.Status == 201, reply.Text);
            return reply.Stored!.Value.Id;
        }

        static Task<FhirReply> ReadAsync(FhirSession session, string id, string employer) => session.SendAsync(HttpMethod.Get, "Observation/" + id, headers: [("X-Employer", employer)]);

        async Task<string[]> BatchAsync(FhirSession session, string? employer)
        {
            var bundle = new JsonObject
            {
                ["resourceType"] = "Bundle", ["type"] = "batch",
                ["entry"] = new JsonArray([.. notes.Values.Select(id => new JsonObject { ["request"] = new JsonObject { ["method"] = "GET", ["url"] = "Observation/" + id } })]),
            };
            var reply = await session.SendAsync(HttpMethod.Post, "", HouseInMemory.Json(bundle), employer is null ? null : [("X-Employer", employer)]);
            Assert.True(reply.Status == 200, reply.Text);
            return [.. JsonNode.Parse(reply.Text)!["entry"]!.AsArray().Select(e => ((string)e!["response"]!["status"]!)[..3])];
        }

        async Task<(int, int)> SeenAsync() => ((await house.Reader.ReadAsync("Observation", notes[Employer])).Status, (await house.Reader.ReadAsync("Observation", notes[Other])).Status);
    }

    /// <summary>§26.2: the development host's therapy practice does nothing but psychotherapy, so all that it records is protected, whatever its system says.</summary>
    [Fact]
    public async Task What_the_therapy_practice_records_waits_for_a_confirmation()
    {
        await using var house = await HouseInMemory.OpenAsync();
        using var therapy = ClinicClient.Open(house.Folder, "terapia", house.Target);
        var note = await house.AdmitAsync();
        Assert.Equal(201, (await therapy.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(house.Folder.Citizens[0].IdentityCode)))).Status);
        var written = await therapy.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("Istunto")));
        Assert.Equal(201, written.Status);
        var session = written.Stored!.Value.Id;
        await house.PermitAsync();
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", note)).Status);
        Assert.Equal(404, (await house.Reader.ReadAsync("Observation", session)).Status);

        var now = DateTimeOffset.UtcNow;
        var confirmed = await house.Reader.CreateAsync("Consent", Declarations.Confirmation(house.PatientId, new ProtectedConfirmation
        {
            At = now, Until = now.AddHours(1), Professional = house.Folder.ProfessionalOf("revontuli").Id, Organisation = "1.2.246.10.99000022", Unit = "1.2.246.10.99000022.10.1", Purpose = "TREAT", Services = ProtectedService.Psychotherapy,
        }));
        Assert.True(confirmed.Status == 201, confirmed.Text);
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", session)).Status);
    }
}
