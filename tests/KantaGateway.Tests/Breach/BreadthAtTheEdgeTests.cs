using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Laws;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Breach;

/// <summary>Breadth budgets on the whole gateway: what counts, what goes on, and who is told.</summary>
public sealed class BreadthAtTheEdgeTests
{
    [Fact]
    public async Task Over_the_budget_only_own_patients_are_opened_and_a_visit_makes_one()
    {
        await using var house = await HouseInMemory.OpenAsync(breadth: new() { Professional = new(3, 3, 3, 3), System = new(2, 2, 2, 2) });
        await house.AdmitAsync();
        var own = house.PatientId;
        var code = new Func<int, string>(static i => $"0{i + 1}0188-95{i}{PersonalIdentityCode.CheckCharacterOf($"0{i + 1}0188", $"95{i}")}");
        var patients = new List<string>();
        for (var i = 0; i < 5; i++)
            patients.Add((await house.Revontuli.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(code(i))))).Stored!.Value.Id);

        // Writes that show nothing count for nothing, own patients neither.
        for (var i = 0; i < 5; i++)
            Assert.Equal(200, (await house.Reader.ReadAsync("Patient", own)).Status);
        // A search by code that finds somebody without a visit, one that finds nobody, and a read that is refused for what it asks.
        Assert.Equal(200, (await SearchAsync(house.Reader, code(0))).Status);
        Assert.Equal(200, (await SearchAsync(house.Reader, code(7))).Status);
        Assert.Equal(200, (await house.Reader.ReadAsync("Patient", patients[1])).Status);
        // Once more the same is no other.
        Assert.Equal(200, (await house.Reader.ReadAsync("Patient", patients[1])).Status);
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
        var held = await house.Reader.ReadAsync("Patient", patients[2]);
        Assert.Equal(403, held.Status);
        Assert.Contains("open service event", held.Text, StringComparison.Ordinal);
        Assert.Equal(403, (await SearchAsync(house.Reader, code(8))).Status);
        Assert.Equal(200, (await house.Reader.ReadAsync("Patient", own)).Status);
        Assert.Equal(BreachKind.BreadthExceeded, Assert.Single(house.Gateway.GetRequiredService<BreachCases>().All).Kind);

        // What is hidden in the record of somebody who is treated, what another's record has and what there never was look alike.
        var hidden = (await house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("piilossa")))).Stored!.Value.Id;
        var others = house.Observation("muun");
        others["subject"] = new JsonObject { ["reference"] = "Patient/" + patients[3] };
        var untreated = (await house.Revontuli.System.CreateAsync("Observation", HouseInMemory.Json(others))).Stored!.Value.Id;
        foreach (var road in new[] { "Observation/{0}", "Observation/{0}/_history", "Observation/{0}/_history/" + Guid.NewGuid() })
        {
            var looks = new List<string>();
            foreach (var id in new[] { hidden, untreated, Guid.NewGuid().ToString("D") })
                looks.Add(Appearance.Of(await house.Reader.SendAsync(HttpMethod.Get, string.Format(null, road, id)), id));
            Assert.StartsWith("404", (await house.Reader.SendAsync(HttpMethod.Get, string.Format(null, road, hidden))).ToString(), StringComparison.Ordinal);
            Assert.Single(looks.Distinct());
        }
        // A change by id too, whether or not its body can be read.
        foreach (var patch in new[] { """[{"op":"replace","path":"/status","value":"amended"}]""", """[{"op":"nothing"}]""" })
        {
            var looks = new List<string>();
            foreach (var id in new[] { hidden, untreated, Guid.NewGuid().ToString("D") })
                looks.Add(Appearance.Of(await house.Reader.SendAsync(HttpMethod.Patch, "Observation/" + id, System.Text.Encoding.UTF8.GetBytes(patch), contentType: "application/json-patch+json"), id));
            Assert.DoesNotContain("403", looks[0][..3], StringComparison.Ordinal);
            Assert.Single(looks.Distinct());
        }

        // Care goes on: the visit is opened, and with it the record.
        var visit = house.Encounter("1.2.246.10.99000022.14.2026.77", "in-progress");
        visit["subject"] = new JsonObject { ["reference"] = "Patient/" + patients[2] };
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        Assert.Equal(200, (await house.Reader.ReadAsync("Patient", patients[2])).Status);

        // A system with its own token has an allowance of its own.
        Assert.Equal(200, (await house.Revontuli.System.ReadAsync("Patient", own)).Status);
        foreach (var (patient, status) in new[] { (patients[0], 200), (patients[1], 200), (patients[3], 403) })
            Assert.Equal(status, (await house.Revontuli.System.ReadAsync("Patient", patient)).Status);

        using var heikki = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), 1);
        var told = await heikki.GetFromJsonAsync<JsonElement>("/operator/unusual-access");
        Assert.Equal(["professional", "system"], told.GetProperty("stepped_down").EnumerateArray().Select(static one => one.GetProperty("of").GetString()).Order());
        Assert.All(patients, patient => Assert.DoesNotContain(patient, told.GetRawText(), StringComparison.Ordinal));
        using var olga = await OperatorTests.SignInAsync(house.Target.GetLeftPart(UriPartial.Authority), 0);
        Assert.Equal(System.Net.HttpStatusCode.Forbidden, (await olga.GetAsync(new Uri("/operator/unusual-access", UriKind.Relative))).StatusCode);
    }

    /// <summary>The desk: looked up, then the visit opened by the same professional. It is not counted any more, though nothing was read since.</summary>
    [Fact]
    public async Task A_visit_that_is_opened_after_the_look_gives_the_allowance_back()
    {
        await using var house = await HouseInMemory.OpenAsync(breadth: new() { Professional = new(1, 1, 1, 1) });
        for (var i = 0; i < 3; i++)
        {
            var code = $"1{i}0177-96{i}{PersonalIdentityCode.CheckCharacterOf($"1{i}0177", $"96{i}")}";
            var patient = (await house.Revontuli.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(code)))).Stored!.Value.Id;
            Assert.Equal(200, (await SearchAsync(house.Reader, code)).Status);
            var visit = house.Encounter($"1.2.246.10.99000022.14.2026.8{i}", "in-progress");
            visit["subject"] = new JsonObject { ["reference"] = "Patient/" + patient };
            Assert.Equal(201, (await house.Reader.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        }
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
    }

    /// <summary>The desk looks, and its system opens the visit.</summary>
    [Fact]
    public async Task A_visit_that_another_opens_after_the_look_gives_the_allowance_back()
    {
        await using var house = await HouseInMemory.OpenAsync(breadth: new() { Professional = new(1, 1, 1, 1) });
        for (var i = 0; i < 3; i++)
        {
            var code = $"1{i}0177-97{i}{PersonalIdentityCode.CheckCharacterOf($"1{i}0177", $"97{i}")}";
            var patient = (await house.Revontuli.System.CreateAsync("Patient", HouseInMemory.Json(HouseInMemory.Patient(code)))).Stored!.Value.Id;
            Assert.Equal(200, (await SearchAsync(house.Reader, code)).Status);
            var visit = house.Encounter($"1.2.246.10.99000022.14.2026.9{i}", "in-progress");
            visit["subject"] = new JsonObject { ["reference"] = "Patient/" + patient };
            Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(visit))).Status);
        }
        Assert.Empty(house.Gateway.GetRequiredService<BreachCases>().All);
    }

    private static Task<FhirReply> SearchAsync(FhirSession session, string code) => session.SearchAsync("Patient", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System + "|" + code)}");
}
