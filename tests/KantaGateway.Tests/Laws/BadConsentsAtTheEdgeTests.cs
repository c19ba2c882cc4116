using System.Text.RegularExpressions;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Harness.Clients;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>Events and consents of somebody else, through the real edge: the answer is the one that what never was gets (law 4).</summary>
public sealed partial class BadConsentsAtTheEdgeTests
{
    private const string Aurora = "1.2.246.10.99000011.14.2026.1", Closed = "1.2.246.10.99000022.14.2026.7", OfAnother = "1.2.246.10.99000022.14.2026.8", Unknown = "1.2.246.10.99000022.14.2026.9";

    [Fact]
    public async Task A_named_event_of_another_organisation_a_closed_one_and_one_of_another_patient_are_answered_like_one_that_never_was()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync(1, open: false);
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(house.Encounter(OfAnother, "in-progress")))).Status);
        var note = await house.AdmitAsync();
        Assert.Equal(201, (await house.Revontuli.System.CreateAsync("Encounter", HouseInMemory.Json(house.Encounter(Closed, "finished")))).Status);
        await house.PermitAsync();
        var token = await house.Revontuli.ProfessionalTokenAsync(house.Folder.ProfessionalOf("revontuli").Id);
        async Task<(int, string)> AskAsync(HttpMethod method, string target, string serviceEvent, string? form = null) => Told(await house.Revontuli.SendAsync(method, target, token,
            form is null ? null : System.Text.Encoding.UTF8.GetBytes(form), "application/x-www-form-urlencoded", [("X-Service-Event", serviceEvent)]));

        foreach (var (method, target, form) in new[] { (HttpMethod.Get, "Observation/" + note, null), (HttpMethod.Post, "Observation/_search", "patient=" + house.PatientId), (HttpMethod.Get, $"Patient/{house.PatientId}/$everything", null) })
        {
            var never = await AskAsync(method, target, Unknown, form);
            Assert.Equal(403, never.Item1);
            foreach (var bad in new[] { Aurora, Closed, OfAnother })
                Assert.Equal(never, await AskAsync(method, target, bad, form));
            Assert.Equal(200, (await AskAsync(method, target, "1.2.246.10.99000022.14.2026.1", form)).Item1);
        }

        // And what is denied is answered under a bad event as under a good one it would not be: there is nothing to compare.
        var shown = await AskAsync(HttpMethod.Get, "Observation/" + note, Unknown);
        await house.DeclareAsync(Declarations.Denial(house.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow));
        Assert.Equal(shown, await AskAsync(HttpMethod.Get, "Observation/" + note, Unknown));
    }

    [Fact]
    public async Task A_consent_about_another_patient_is_answered_alike_whoever_that_is()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync(1, open: false);
        var another = house.PatientId;
        await house.DeclareAsync(Declarations.Informing(another, DateTimeOffset.UtcNow));
        await house.AdmitAsync();
        var nobody = house.Gateway.GetRequiredService<IdentifierCipher>().PatientId(Pseudonym.Read(System.Security.Cryptography.SHA256.HashData("nobody"u8)));
        var answers = new HashSet<(int, string)>();
        foreach (var about in new[] { another, nobody })
            foreach (var consent in new[] { Declarations.Informing(about, DateTimeOffset.UtcNow), Declarations.Permit(about, DateTimeOffset.UtcNow), Declarations.Denial(about, new DenialTarget.All(), DateTimeOffset.UtcNow) })
            {
                var answer = await house.Gateway.GetRequiredService<IInnerRequests>().SendAsync(house.Citizen, "POST", "Consent", consent);
                answers.Add((answer.Status, Correlation().Replace(System.Text.Encoding.UTF8.GetString(answer.Body), "")));
            }
        Assert.Equal(404, Assert.Single(answers).Item1);
    }

    /// <summary>Everything but the correlation id.</summary>
    private static (int, string) Told(FhirReply reply) => (reply.Status, Correlation().Replace(reply.Text, "") + string.Join('|', reply.Headers.Keys.Order(StringComparer.OrdinalIgnoreCase)));

    [GeneratedRegex("[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}")]
    private static partial Regex Correlation();
}
