using KantaGateway.Audit;
using KantaGateway.Client;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Harness.Clients;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>Two gateways that share the audit log in a database: law 1 and "who has read my data", at whichever of them.</summary>
public sealed class OneAuditLogTests : IAsyncLifetime
{
    private LogDatabase _log = null!;
    private HouseInMemory _house = null!;
    private string _note = "";
    private int _port;
    private Microsoft.AspNetCore.Builder.WebApplication _other = null!;
    private ClinicClient _atOther = null!;

    public async Task InitializeAsync()
    {
        var database = await PostgresServer.NewDatabaseAsync();
        _log = LogDatabase.Of(database);
        _house = await HouseInMemory.OpenAsync(audit: database.Administrator);
        _note = await _house.AdmitAsync();
        _port = RunningHost.FreePorts();
        _other = await _house.StartFurtherGatewayAsync(_port, _house.Repositories[0]);
        _atOther = ClinicClient.Open(_house.Folder, "aurora", new Uri($"https://localhost:{_port}"));
    }

    public async Task DisposeAsync()
    {
        _atOther.Dispose();
        await _other.DisposeAsync();
        await _house.DisposeAsync();
    }

    [Fact]
    public async Task A_citizen_sees_at_one_gateway_what_the_other_has_disclosed_and_the_receipt_is_proven_at_both()
    {
        await _house.PermitAsync();
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        Assert.Equal(200, (await _atOther.System.ReadAsync("Observation", _note)).Status);

        foreach (var gateway in (IServiceProvider[])[_house.Gateway, _other.Services])
        {
            var (lines, _) = await gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen);
            var reads = lines.Where(line => line.Interaction == "read").ToArray();
            Assert.Equal(((string[])[_house.Aurora.Client.OrganisationOid, _house.Revontuli.Client.OrganisationOid]).Order(), reads.Select(line => line.OrganisationOid).Order());
            Assert.All(reads, line => Assert.Equal(_note, Assert.Single(line.Items).Id));
        }

        // Each asked for at the other than the one that gave it, by whom it was given to and by another.
        var there = _atOther.Received.SelectMany(answer => answer.Receipts).Last();
        var here = _house.Aurora.Received.SelectMany(answer => answer.Receipts).Last();
        foreach (var (receipt, asked, stranger) in (IEnumerable<(ReceivedReceipt, ClinicClient, ClinicClient)>)[(there, _house.Aurora, _house.Revontuli), (here, _atOther, _house.Revontuli)])
        {
            var reply = await asked.SendAsync(HttpMethod.Get, $"/audit/receipts/{receipt.Index}", await asked.TokenAsync());
            Assert.True(reply.Status == 200, reply.ToString());
            Assert.True(InclusionProof.TryParse(reply.Text, out var proof) && proof.IsOf(_house.Folder.AuditLog));
            Assert.Equal(receipt.Entry, proof.EntryId);
            Assert.Equal(404, (await stranger.SendAsync(HttpMethod.Get, $"/audit/receipts/{receipt.Index}", await stranger.TokenAsync())).Status);
        }
        Assert.Empty(_other.Services.GetRequiredService<AuditLog>().Verify(_house.Gateway.GetRequiredService<AuditLog>().ReadCheckpoint()).Faults);
    }

    [Fact]
    public async Task A_log_that_contradicts_itself_is_a_503_at_checkpoint_tiles_and_receipts()
    {
        Assert.Equal(200, (await _atOther.System.ReadAsync("Observation", _note)).Status);
        var receipt = _atOther.Received.SelectMany(answer => answer.Receipts).Last();
        // A checkpoint that is on its way would take the place of the changed one.
        await _other.Services.GetRequiredService<AuditLog>().PublishAsync();
        await PostgresDatabase.AskAsync(_log.Database.Administrator, "UPDATE entry SET envelope = '\\x00'; UPDATE checkpoint SET note = replace(note, 'localhost', 'elsewhere')");
        foreach (var path in (string[])["/audit/log/checkpoint", "/audit/log/tile/0/001", $"/audit/receipts/{receipt.Index}"])
        {
            var reply = await _atOther.SendAsync(HttpMethod.Get, path, await _atOther.TokenAsync());
            Assert.True(reply.Status == 503, $"{path}: {reply}");
        }
    }

    [Fact]
    public async Task While_the_log_s_database_is_gone_nothing_leaves_any_gateway_and_afterwards_everything_works_again()
    {
        ClinicClient[] gateways = [_house.Aurora, _atOther];
        foreach (var clinic in gateways)
            Assert.Contains(HouseInMemory.Secret, (await clinic.System.ReadAsync("Observation", _note)).Text);

        await _log.AllowAsync(connections: false);
        foreach (var clinic in gateways)
        {
            var read = clinic.System.ReadAsync("Observation", _note);
            var search = clinic.System.SearchAsync("Observation", "patient=" + _house.PatientId);
            var write = clinic.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("kirjaamaton")));
            foreach (var reply in await Task.WhenAll(read, search, write))
            {
                Assert.Equal(503, reply.Status);
                Assert.DoesNotContain(HouseInMemory.Secret, reply.Text);
                Assert.Equal("no-store", reply.Issues.Single().Code);
            }
            Assert.Equal(503, (await clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint", null)).Status);
            Assert.Contains("audit", (await clinic.SendAsync(HttpMethod.Get, "/health/ready", null)).Text);
        }
        await _log.AllowAsync(connections: true);

        foreach (var clinic in gateways)
        {
            // A server that was found to be gone is asked again a second later.
            FhirReply read;
            do
                read = await clinic.System.ReadAsync("Observation", _note);
            while (read.Status == 503);
            Assert.Contains(HouseInMemory.Secret, read.Text);
            var found = await clinic.System.SearchAsync("Observation", "patient=" + _house.PatientId);
            Assert.Equal(200, found.Status);
            Assert.DoesNotContain("kirjaamaton", found.Text);
        }
    }
}
