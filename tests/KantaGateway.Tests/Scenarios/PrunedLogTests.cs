using System.CommandLine;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Audit.Storage;
using KantaGateway.Dev;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Scenarios;

/// <summary>A gateway whose audit log has entries of 2010, some of which were pruned before it starts and some while it runs.</summary>
public sealed class PrunedLogTests
{
    private const int Old = 120;

    private static readonly DateTimeOffset Then = new(2010, 3, 1, 9, 0, 0, TimeSpan.Zero);

    [Fact]
    public async Task A_gateway_starts_on_a_pruned_log_and_whoever_asks_for_what_has_gone_is_told_so()
    {
        using var folder = new TemporaryFolder();
        var options = new DevHostOptions { DataFolder = folder.File("data"), Port = RunningHost.FreePorts() };
        var audit = folder.File("data/audit");
        var place = new AuditLogOptions { Folder = audit, Origin = "localhost/kanta-audit", LogKey = [], ReaderPublicKey = [], Create = true, SegmentBytes = 4096 };
        Pseudonym person;
        string patient;
        await using (var host = await DevHost.StartAsync(options))
        {
            var services = host.Gateway.Services;
            Assert.True(PersonalIdentityCode.TryParse(new DevFolder(options.DataFolder).Citizens[0].IdentityCode, out var code));
            person = await services.GetRequiredService<IPseudonyms>().OfAsync(code, default);
            patient = services.GetRequiredService<IdentifierCipher>().PatientId(person);
            place = place with { ReaderPublicKey = await services.GetRequiredService<KeyServiceClient>().AuditReaderKeyAsync(default), LogKey = LogKeyFile.Open(audit, create: false) };
        }
        foreach (var file in Directory.GetFiles(audit).Where(static file => Path.GetFileName(file) != LogKeyFile.Name))
            File.Delete(file);
        foreach (var made in Directory.GetDirectories(audit))
            Directory.Delete(made, recursive: true);
        await using (var log = AuditLog.Open(place, new FakeTimeProvider(Then)))
            for (var i = 0; i < Old; i += 10)
                await log.AppendAsync([.. Enumerable.Range(i, 10).Select(n => Entry(person, patient, n))]);
        long first;
        await using (var log = AuditLog.Open(place, TimeProvider.System))
            first = (await log.PruneAsync(Segments.List(audit)[2], "Their twelve years are over.", DateTimeOffset.UtcNow, static _ => default))!.Before;

        await using (var host = await DevHost.StartAsync(options))
        {
            var target = new Uri(host.Address);
            var known = new DevFolder(options.DataFolder);
            using var citizen = new CitizenClient(known, target, 0);
            await citizen.SignInAsync();
            using var clinic = ClinicClient.Open(known, "aurora", target);
            await ListedFromAsync(first);
            Assert.Equal(200, (await citizen.GetAsync($"/access-log/entry/{Old - 1}")).Status);
            await GoneAsync(first - 1, first);

            var services = host.Gateway.Services.GetRequiredService<AuditLog>();
            var all = await services.PrunableAsync(DateTimeOffset.UtcNow);
            Assert.InRange(all, first + 1, Old);
            Assert.Equal(all, (await services.PruneAsync(all, "Theirs too.", DateTimeOffset.UtcNow, static _ => default))!.Before);
            await GoneAsync(first, all);
            await ListedFromAsync(all);
            // What is not hers looks as before.
            Assert.Equal(404, (await citizen.GetAsync("/access-log/entry/100000")).Status);
            Assert.Equal(404, (await clinic.System.SendAsync(HttpMethod.Get, "/audit/receipts/100000")).Status);
            Assert.Equal(404, (await clinic.System.SendAsync(HttpMethod.Get, "/audit/receipts/x")).Status);

            using var said = new StringWriter();
            var verified = await VerifyLogCommand.Create().Parse([new Uri(target, "/audit/log").ToString(), "--vkey", known.File("audit.vkey"), "--state", folder.File("state"), "--authority", known.File("ca.pem")])
                .InvokeAsync(new InvocationConfiguration { Output = said, Error = said, EnableDefaultExceptionHandler = false });
            Assert.True(verified == 0, said.ToString());
            Assert.Contains($"what the first {all} entries are about is kept no longer", said.ToString(), StringComparison.Ordinal);

            async Task ListedFromAsync(long index)
            {
                var listed = (await citizen.AccessLogAsync()).Select(static line => line.Index).ToList();
                Assert.Contains(Old - 1, listed);
                Assert.DoesNotContain(listed, line => line < index);
            }

            async Task GoneAsync(long index, long before)
            {
                // Whoever asks, for nobody knows any more whose it was.
                var receipt = await clinic.System.SendAsync(HttpMethod.Get, $"/audit/receipts/{index}");
                Assert.Equal(410, receipt.Status);
                Assert.Contains($"the first {before} entries", receipt.Text, StringComparison.Ordinal);
                Assert.Contains($"\n{before}\n", (await clinic.SendAsync(HttpMethod.Get, "/audit/log/pruned")).Text, StringComparison.Ordinal);
                var page = await citizen.GetAsync($"/access-log/entry/{index}");
                Assert.Equal((200, "/access-log"), (page.Status, page.Address.AbsolutePath));
                Assert.Equal("entry-pruned", page.With("data-notice").Single()["data-notice"]);
                Assert.Equal(410, (await citizen.AskAsync("/access-log/v1/disputes", $$"""{"entry":{{index}}}""")).Status);
            }
        }
        using var signer = new NoteSigner(place.Origin, place.LogKey);
        var found = AuditVerification.Of(audit, signer.Verifier);
        Assert.Equal([], found.Faults);
        Assert.Equal(0, found.Left);
    }

    private static AuditEntry Entry(Pseudonym person, string patient, int number) => AuditEntry.Of(person.ToArray(), new DisclosureRecord
    {
        Kind = AuditKind.Read,
        Interaction = "read",
        Recorded = Then,
        Server = "https://localhost/fhir",
        System = new("aurora", "192.0.2.1"),
        Organisation = new("1.2.246.10.90000001", "Aurora"),
        PatientId = patient,
        PurposeOfUse = "TREAT",
        LegalBasis = "own-register",
        RequestId = $"{number}",
        Items = [new("Observation", $"{number}", null, null)],
    }, "aurora");
}
