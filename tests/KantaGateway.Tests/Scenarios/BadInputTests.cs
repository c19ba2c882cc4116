using System.Net;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Scenarios;

/// <summary>Bad input is refused with the place of its fault, leaves nothing behind and does not cost the connection.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class BadInputTests(SharedHost host)
{
    public static TheoryData<string> Names => [.. BadInput.All.Select(b => b.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public Task Is_refused_and_leaves_nothing(string name)
    {
        var bad = BadInput.All.Single(b => b.Name == name);
        return RefusedAsync(bad.Name, (s, p, m) => bad.Send(s, p, m, CancellationToken.None), bad.Statuses, bad.Expression);
    }

    [Fact]
    public Task A_reference_into_another_compartment_is_refused_and_leaves_nothing() =>
        RefusedAsync("a reference into another compartment", (s, p, m) => BadInput.OtherCompartmentAsync(s, p, m, CancellationToken.None), [400, 422], "Observation.encounter");

    private async Task RefusedAsync(string what, Func<FhirSession, string, string, Task<FhirReply>> send, int[] statuses, string? expression)
    {
        // HTTP/1.1 and one connection: if the gateway dropped it, the next request would need another.
        using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target, version: HttpVersion.Version11, maxConnections: 1);
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, FictionalIdentityCode.Of(Guid.NewGuid().ToString()).Reveal(), "Testi Henkilö");
        var marker = $"urn:uuid:{Guid.NewGuid()}";
        var before = await clinic.System.SearchAsync("Observation", $"patient={patient}");
        var connections = clinic.Connections;

        var reply = await send(clinic.System, patient, marker);

        Expect.Refusal(reply, what, statuses, expression);
        Assert.False(BadInput.Echoes(reply));
        var after = await clinic.System.SearchAsync("Observation", $"patient={patient}");
        Assert.Equal(Appearance.Of(before), Appearance.Of(after));
        Assert.Equal(connections, clinic.Connections);
    }
}
