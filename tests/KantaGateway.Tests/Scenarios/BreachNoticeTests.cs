using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using Microsoft.IdentityModel.JsonWebTokens;

namespace KantaGateway.Tests.Scenarios;

/// <summary>A breach from its opening to the person's help page over the public contract: operators, recipients, portal, a second gateway, audit log and disk.</summary>
public sealed class BreachNoticeTests
{
    private const string What = "Verenpaine ja unettomuus";

    [Fact]
    public async Task From_the_opening_of_a_case_to_what_helps_the_person_whose_data_was_taken()
    {
        using var folder = new TemporaryFolder();
        var data = folder.File("data");
        await using var host = await DevHost.StartAsync(new DevHostOptions { DataFolder = data, Port = RunningHost.FreePorts() });
        var known = new DevFolder(data);
        var index = known.Citizens.Index().First(c => c.Item.Role == "guardian").Index;
        var person = known.Citizens[index];
        using var clinic = ClinicClient.Open(known, "aurora", new(host.Address));
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, person.IdentityCode, person.Name);
        var observation = (await clinic.System.CreateAsync("Observation", Some.Bytes(new JsonObject
        {
            ["resourceType"] = "Observation", ["status"] = "final", ["code"] = new JsonObject { ["text"] = What }, ["subject"] = new JsonObject { ["reference"] = $"Patient/{patient}" },
        }))).Stored!.Value.Id;

        // Whoever sees it opens a case, and two who are not one hear of it at once.
        using var olga = await OperatorTests.SignInAsync(host.Address, 0);
        using var opened = await olga.PostAsJsonAsync("/operator/breach-cases", new { what = "A backup disk is missing." });
        Assert.Equal(HttpStatusCode.Created, opened.StatusCode);
        foreach (var who in (string[])["supervisor", "ombudsman"])
        {
            var told = await host.BreachDesk.FirstOfAsync(who);
            Assert.DoesNotContain("disk", JsonSerializer.Serialize(new JsonWebToken(told).Claims.Select(claim => claim.Value)));
        }

        // The officer sends the notice, of which another has approved.
        using var heikki = await OperatorTests.SignInAsync(host.Address, 1);
        var text = new { what = "Varmuuskopio on kadonnut.", consequences = "Tietojasi voidaan julkaista.", measures = "Kopiot on suojattu." };
        using var tarja = await OperatorTests.SignInAsync(host.Address, 2);
        var (_, sent) = await OperatorClient.SendNoticesAsync(heikki, tarja, 1, new
        {
            words = new { fi = text, sv = text, en = text, contact = "Toivo Koe, 029 000 0000" },
            persons = new[] { new { identity_code = person.IdentityCode, items = new[] { new { type = "Observation", id = observation } } } },
        });
        Assert.Equal(1, sent!.Value.GetProperty("sent").GetInt32());

        // She finds it, opens it, and sees her own entry.
        using var helmi = new CitizenClient(known, new(host.Address), index);
        await helmi.SignInAsync();
        Assert.Equal("1", (await helmi.GetAsync("/")).With("data-breach-notices").Single()["data-breach-notices"]);
        var id = (await helmi.GetAsync("/notices")).With("data-breach-notice").Single()["data-breach-notice"];
        var page = await helmi.GetAsync("/notices/" + id);
        Assert.Equal(observation, page.With("data-entry").Single()["data-entry"]);
        Assert.Contains(What, page.Text);
        var code = page.With("data-code").Single()["data-code"];
        Assert.Empty((await helmi.GetAsync("/")).With("data-breach-notices"));
        // A statement has her name.
        Assert.Contains(person.Name, (await helmi.GetAsync($"/notices/{id}/print/police")).Text);

        // Another gateway knows the code.
        var port = RunningHost.FreePorts();
        await host.StartFurtherGatewayAsync(port);
        foreach (var gateway in (string[])[host.Address, $"https://localhost:{port}"])
        {
            using var anybody = new CitizenClient(known, new(gateway), index);
            var check = await anybody.GetAsync("/notice-check");
            Assert.Equal("real", (await anybody.SubmitAsync(check.Form("check-form")!, new() { ["code"] = code })).With("data-check").Single()["data-check"]);
        }

        // All of it stands in the log, and nothing of it in the clear beside it.
        using var audit = new AuditOnDisk(data);
        audit.Refresh();
        string[] said = [.. audit.All.Select(e => e.TryGetProperty("outcomeDesc", out var description) ? description.GetString()! : "")];
        foreach (var step in (string[])["Opened breach case 1", "Told supervisor of breach case 1", "Told ombudsman of breach case 1", "Sends notices of breach case 1 to 1 persons.", "Sent the notice of breach case 1.", "The notice of breach case 1 was read."])
            Assert.Contains(said, one => one.StartsWith(step, StringComparison.Ordinal));
        Assert.Contains(audit.All, e => e.GetRawText().Contains("The notice of breach case 1 was read.", StringComparison.Ordinal) && e.GetRawText().Contains($"Patient/{patient}", StringComparison.Ordinal));
        foreach (var file in Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories).Where(file => Path.GetRelativePath(data, file).StartsWith("breach", StringComparison.Ordinal) && Path.GetFileName(file) != "lock"))
            foreach (var secret in (string[])[person.IdentityCode, What, observation, code])
                Assert.DoesNotContain(secret, Encoding.Latin1.GetString(await File.ReadAllBytesAsync(file)));
    }
}
