using KantaGateway.Audit;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Laws;

/// <summary>Law 1: the audit entry is on disk before the first byte of data leaves; where it can't be, 503 and nothing leaves.</summary>
public class NoDisclosureWithoutRecordTests
{
    [Fact]
    public async Task While_the_audit_store_takes_no_writes_nothing_leaves_and_afterwards_everything_works_again()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        var own = await house.Aurora.System.ReadAsync("Observation", note);
        Assert.Contains(HouseInMemory.Secret, own.Text);

        // A disk that is gone: what the writer has open takes writes as before, and nobody would find them again.
        var (rows, elsewhere) = (Path.Combine(house.Folder.File("audit"), "rows"), house.Folder.File("elsewhere"));
        Directory.Move(rows, elsewhere);
        var read = house.Aurora.System.ReadAsync("Observation", note);
        var search = house.Aurora.System.SearchAsync("Observation", "patient=" + house.PatientId);
        var write = house.Aurora.System.CreateAsync("Observation", HouseInMemory.Json(house.Observation("kirjaamaton")));
        foreach (var reply in await Task.WhenAll(read, search, write))
        {
            Assert.Equal(503, reply.Status);
            Assert.DoesNotContain(HouseInMemory.Secret, reply.Text);
            Assert.Equal("no-store", reply.Issues.Single().Code);
        }
        Directory.Move(elsewhere, rows);

        Assert.Equal(200, (await house.Aurora.System.ReadAsync("Observation", note)).Status);
        var found = await house.Aurora.System.SearchAsync("Observation", "patient=" + house.PatientId);
        Assert.DoesNotContain("kirjaamaton", found.Text); // the write whose intent could not be recorded was never tried
    }

    [Fact]
    public async Task Every_disclosure_is_in_the_persons_access_log_with_who_why_and_what()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        await house.PermitAsync();
        Assert.Equal(200, (await house.Reader.ReadAsync("Observation", note)).Status);

        var (lines, _) = await house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(house.Citizen);

        var line = lines.First(l => l.Interaction == "read");
        Assert.Equal("Revontuli Terveys Oy", line.OrganisationName);
        Assert.Equal("TREAT", line.PurposeOfUse);
        Assert.Equal("disclosure-permission", line.LegalBasis);
        var item = Assert.Single(line.Items);
        Assert.Equal(("Observation", note, house.Aurora.Client.OrganisationOid), (item.Type, item.Id, item.Controller));
        Assert.True(house.Gateway.GetRequiredService<AuditLog>().Verify().IsIntact);
    }

    [Fact]
    public async Task What_a_write_shows_is_recorded_as_shown_and_what_it_stores_as_stored()
    {
        await using var house = await HouseInMemory.OpenAsync();
        var note = await house.AdmitAsync();
        await house.PermitAsync();
        var bundle = $$$"""
            {"resourceType":"Bundle","type":"transaction","entry":[
              {"request":{"method":"GET","url":"Observation/{{{note}}}"}},
              {"resource":{{{house.Observation("oma").ToJsonString()}}},"request":{"method":"POST","url":"Observation"}}]}
            """;
        var answer = await house.Reader.BundleAsync(System.Text.Encoding.UTF8.GetBytes(bundle));
        Assert.Equal(200, answer.Status);
        Assert.True(answer.Text.Contains(HouseInMemory.Secret), answer.Text);

        var lines = (await house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(house.Citizen)).Lines;
        Assert.Equal([note], lines.Take(2).Single(l => l.Interaction == "read").Items.Select(i => i.Id));
        var stored = Assert.Single(lines.Take(2).Single(l => l.Interaction == "transaction").Items);
        Assert.NotEqual(note, stored.Id);
        Assert.Equal(house.Revontuli.Client.OrganisationOid, stored.Controller);
    }

    [Fact]
    public async Task Refusals_are_recorded_too()
    {
        await using var house = await HouseInMemory.OpenAsync();
        await house.AdmitAsync();
        var log = house.Gateway.GetRequiredService<AuditLog>();
        await log.PublishAsync();
        var before = SizeOf(log);

        Assert.Equal(401, (await house.Aurora.With(null).ReadAsync("Patient", house.PatientId)).Status);
        Assert.Equal(400, (await house.Aurora.System.SendAsync(HttpMethod.Get, "Observation")).Status);
        Assert.Equal(403, (await house.Aurora.System.CreateAsync("Consent", Declarations.Permit(house.PatientId, DateTimeOffset.UtcNow))).Status);

        await log.PublishAsync();
        Assert.True(SizeOf(log) >= before + 3);
    }

    private static long SizeOf(AuditLog log) => long.Parse(log.ReadCheckpoint().Split('\n')[1], System.Globalization.CultureInfo.InvariantCulture);
}
