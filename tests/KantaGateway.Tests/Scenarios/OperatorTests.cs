using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using KantaGateway.Dev;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Operators of the development host, from the sign-in to the audit log on disk.</summary>
public sealed class OperatorTests
{
    [Fact]
    public async Task Every_step_of_an_onboarding_is_in_the_audit_log_with_who_took_it()
    {
        using var folder = new TemporaryFolder();
        var data = folder.File("data");
        string digest;
        await using (var host = await DevHost.StartAsync(new DevHostOptions { DataFolder = data, Port = RunningHost.FreePorts() }))
        {
            using var olga = await SignInAsync(host.Address, 0);
            using var heikki = await SignInAsync(host.Address, 1);
            using var clients = JsonDocument.Parse(await olga.GetStringAsync("/operator/clients"));
            var aurora = clients.RootElement.GetProperty("clients").EnumerateArray().Single(c => c.GetProperty("client_id").GetString() == "aurora").GetRawText();
            using var proposed = await olga.PostAsync("/operator/clients/proposals", new StringContent(aurora.Replace("\"aurora\"", "\"aurora-2\"", StringComparison.Ordinal), Encoding.UTF8, "application/json"));
            Assert.Equal(HttpStatusCode.Created, proposed.StatusCode);
            var proposal = await proposed.Content.ReadFromJsonAsync<JsonElement>();
            digest = proposal.GetProperty("digest").GetString()!;
            var approve = $"/operator/clients/proposals/{proposal.GetProperty("id")}/approve";
            Assert.Equal(HttpStatusCode.Forbidden, (await olga.PostAsJsonAsync(approve, new { digest })).StatusCode);
            Assert.Equal(HttpStatusCode.NoContent, (await heikki.PostAsJsonAsync(approve, new { digest })).StatusCode);
            Assert.Equal(HttpStatusCode.NoContent, (await heikki.PostAsJsonAsync("/operator/clients/suspend", new { client_id = "aurora-2" })).StatusCode);
        }
        using var audit = new AuditOnDisk(data);
        audit.Refresh();
        var acts = audit.All.Where(static e => e.GetProperty("agent").EnumerateArray().Any(static a => a.TryGetProperty("role", out var role) && role[0].GetProperty("text").GetString() == "operator"))
            .Select(static e => (Who: e.GetProperty("agent").EnumerateArray().Single(static a => a.TryGetProperty("role", out _)).GetProperty("name").GetString(), e.GetProperty("outcome").GetString(), e.GetProperty("outcomeDesc").GetString()));
        Assert.Equal(
        [
            ("Olga Operaattori", "0", "Signed in."), ("Heikki Hyväksyjä", "0", "Signed in."),
            ("Olga Operaattori", "0", "Proposed the onboarding of aurora-2."),
            ("Olga Operaattori", "4", "Not done (SamePerson): Approved the onboarding of aurora-2."),
            ("Heikki Hyväksyjä", "0", "Approved the onboarding of aurora-2."),
            ("Heikki Hyväksyjä", "0", "Suspended client aurora-2."),
        ], acts);
    }

    /// <summary>A session of one of the fictional operators, as a browser gets it.</summary>
    /// <param name="address">Of the host, no trailing slash.</param>
    /// <param name="who">Index in <see cref="DevelopmentFolder.Operators"/>.</param>
    internal static async Task<HttpClient> SignInAsync(string address, int who)
    {
        var http = new HttpClient(new HttpClientHandler { CookieContainer = new(), ServerCertificateCustomValidationCallback = HttpClientHandler.DangerousAcceptAnyServerCertificateValidator }) { BaseAddress = new Uri(address) };
        await OperatorClient.SignInAsync(http, who);
        return http;
    }
}
