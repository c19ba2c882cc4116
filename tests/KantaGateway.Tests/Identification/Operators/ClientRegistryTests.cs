using System.Security.Cryptography;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>What operators decide holds whatever becomes of the clients file; what they may have decided unseen lets nobody in.</summary>
public sealed class ClientRegistryTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-registry").FullName;
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch.AddYears(50));
    private readonly HttpContext _context = new DefaultHttpContext();
    private int _writes;

    public ClientRegistryTests()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(KeyFile, key.ExportPkcs8PrivateKeyPem());
        WriteClients($"[{Entry("a")},{Entry("b")}]");
    }

    private string KeyFile => Path.Combine(_folder, "key.pem");
    private string ClientsFile => Path.Combine(_folder, "clients.json");

    public void Dispose() => Directory.Delete(_folder, true);

    [Theory]
    [InlineData("[{")]
    [InlineData(null)]
    public async Task A_suspension_is_in_force_on_every_gateway_while_the_clients_file_cannot_be_used(string? content)
    {
        var (here, decisions) = Gateway();
        var (there, _) = Gateway();
        if (content is null)
            File.Delete(ClientsFile);
        else
            WriteClients(content);
        Later(TimeSpan.FromSeconds(1));
        Assert.True(here.Current.Find("a")!.IsActive && there.Current.Find("a")!.IsActive);

        Assert.Null(await decisions.SuspendAsync(_context, Some("olga"), "a", () => true));
        Assert.False(here.Current.Find("a")!.IsActive);
        Later(TimeSpan.FromSeconds(1));
        Assert.False(there.Current.Find("a")!.IsActive);
        Assert.True(there.Current.Find("b")!.IsActive);
        // Nothing has changed since: what was derived from it stays good.
        var before = there.Current;
        Later(TimeSpan.FromSeconds(1));
        Assert.Same(before, there.Current);

        WriteClients($"[{Entry("a")},{Entry("c")}]");
        Later(TimeSpan.FromSeconds(1));
        Assert.False(there.Current.Find("a")!.IsActive);
        Assert.NotNull(there.Current.Find("c"));
    }

    [Fact]
    public async Task What_two_have_approved_is_in_force_too_while_the_clients_file_cannot_be_used()
    {
        var (gateway, decisions) = Gateway();
        WriteClients("[{");
        await ApproveAsync(decisions, "c", Entry("c"));
        Assert.True(gateway.Current.Find("c")!.IsActive);
        Assert.True(gateway.Current.Find("a")!.IsActive);
    }

    [Fact]
    public async Task A_decision_that_cannot_be_used_keeps_no_suspension_from_force()
    {
        var (gateway, decisions) = Gateway();
        // As a later version of the gateway may write it.
        await ApproveAsync(decisions, "c", Entry("c").Replace("{\"client_id\"", "{\"later\":1,\"client_id\"", StringComparison.Ordinal));
        Assert.True(gateway.Current.Find("a")!.IsActive);
        Assert.Null(await decisions.SuspendAsync(_context, Some("olga"), "a", () => true));
        Assert.False(gateway.Current.Find("a")!.IsActive);
        Assert.True(gateway.Current.Find("b")!.IsActive);
    }

    [Fact]
    public async Task Once_the_decisions_have_been_unreadable_for_a_minute_no_client_is_let_in()
    {
        var (gateway, decisions) = Gateway();
        Assert.Null(await decisions.SuspendAsync(_context, Some("olga"), "b", () => true));
        var entry = Path.Combine(_folder, "00000001.jws");
        var text = File.ReadAllText(entry);
        File.Delete(entry);
        Later(TimeSpan.FromSeconds(59));
        Assert.True(gateway.Current.Find("a")!.IsActive);
        Later(TimeSpan.FromSeconds(1));
        Assert.Equal(FaultKind.IdentificationUnavailable, Assert.Throws<FaultException>(() => gateway.Current).Fault.Kind);

        File.WriteAllText(entry, text);
        Later(TimeSpan.FromSeconds(1));
        Assert.True(gateway.Current.Find("a")!.IsActive);
        Assert.False(gateway.Current.Find("b")!.IsActive);
    }

    [Fact]
    public void A_gateway_that_nobody_asks_for_long_relies_on_what_it_reads_then()
    {
        var (gateway, _) = Gateway();
        Later(TimeSpan.FromHours(5));
        Assert.True(gateway.Current.Find("a")!.IsActive);
    }

    [Fact]
    public async Task The_clients_file_suspends_a_client_that_operators_have_approved()
    {
        var (gateway, decisions) = Gateway();
        await ApproveAsync(decisions, "a", Entry("a"));
        Assert.True(gateway.Current.Find("a")!.IsActive);
        WriteClients($"[{Entry("a", "\"status\":\"suspended\",")},{Entry("b")}]");
        Later(TimeSpan.FromSeconds(1));
        Assert.False(gateway.Current.Find("a")!.IsActive);
    }

    [Fact]
    public async Task The_clients_file_suspends_an_organisation_of_a_connection_that_operators_have_approved()
    {
        static string Requesters(string status) => $$"""
            "service_requesters":[{"organisation_oid":"1.2.246.10.2","organisation_name":"Two","controller_kind":"private"{{status}}},{"organisation_oid":"1.2.246.10.3","organisation_name":"Three","controller_kind":"private"}],
            """;
        var (gateway, decisions) = Gateway();
        await ApproveAsync(decisions, "a", Entry("a", Requesters("")));
        Assert.NotNull(gateway.Current.Find("a")!.RequesterOf("1.2.246.10.2"));
        WriteClients($"[{Entry("a", Requesters(",\"status\":\"suspended\""))}]");
        Later(TimeSpan.FromSeconds(1));
        Assert.Null(gateway.Current.Find("a")!.RequesterOf("1.2.246.10.2"));
        Assert.NotNull(gateway.Current.Find("a")!.RequesterOf("1.2.246.10.3"));
    }

    [Fact]
    public async Task A_client_that_the_machine_contains_is_out_until_two_persons_end_it_whatever_is_decided_about_its_registration()
    {
        WriteClients($"[{Entry("a")},{Entry("b")}]");
        var (registry, decisions) = Gateway();
        await decisions.ContainAsync(ContainedSubject.Client("a"), "A canary.", 1, CancellationToken.None);
        Assert.Equal((false, true), (registry.Current.Find("a")!.IsActive, registry.Current.Find("b")!.IsActive));
        await ApproveAsync(decisions, "a", Entry("a"));
        Assert.False(registry.Current.Find("a")!.IsActive);
        Assert.False(Gateway().Registry.Current.Find("a")!.IsActive);
        var end = (await decisions.ProposeAsync(_context, Some("olga"), ApprovalKind.ContainmentEnd, "client/a", null, "A typing error.")).Proposal!;
        Assert.Null(await decisions.ApproveAsync(_context, Some("heikki"), end.Id, end.Digest));
        Assert.True(registry.Current.Find("a")!.IsActive);
    }

    private void Later(TimeSpan by) => _time.Advance(by);

    /// <summary>Each at a time of its own: two writes may fall into one tick of the file system.</summary>
    private void WriteClients(string text)
    {
        File.WriteAllText(ClientsFile, text);
        File.SetLastWriteTimeUtc(ClientsFile, DateTime.UnixEpoch.AddYears(50).AddSeconds(++_writes));
    }

    private (ClientRegistry Registry, Approvals Decisions) Gateway()
    {
        var approvals = new Approvals(new DecisionLog(_folder, KeyFile), new SeenActs(), _time, NullLogger<Approvals>.Instance);
        return (new(ClientsFile, true, _time, NullLogger<ClientRegistry>.Instance, approvals), approvals);
    }

    private Operator Some(string id) => new("tenant", id, id, Enum.GetValues<OperatorRole>().ToHashSet(), _time.GetUtcNow(), "session");

    private async Task ApproveAsync(Approvals decisions, string clientId, string registration)
    {
        var proposal = (await decisions.ProposeAsync(_context, Some("olga"), ApprovalKind.Onboarding, clientId, null, registration)).Proposal!;
        Assert.Null(await decisions.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
    }

    private static string Entry(string id, string more = "") => $$$"""
        {"client_id":"{{{id}}}",{{{more}}}"organisation_oid":"1.2.246.10.1","organisation_name":"A","controller_kind":"private","scopes":["system/*.cruds"],
         "jwks":{"keys":[{"kty":"EC","crv":"P-384","kid":"1","x":"iEJ3KIAAMU7dEoYtXlCCG1DtOqVzj3Zp3ZSUdpqXKm6lOSBkAIpfCzfHsWMQ0kFm","y":"iEJ3KIAAMU7dEoYtXlCCG1DtOqVzj3Zp3ZSUdpqXKm6lOSBkAIpfCzfHsWMQ0kFm"}]}}
        """;
}
