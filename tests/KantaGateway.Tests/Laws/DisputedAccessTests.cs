using System.Net;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Laws;

/// <summary>"I was not there": whoever had an access that the person disputes is shown nothing more, at once and everywhere, until it is settled or taken back.</summary>
public sealed class DisputedAccessTests : IAsyncLifetime
{
    private HouseInMemory _house = null!;
    private string _note = "";

    public async Task InitializeAsync()
    {
        _house = await HouseInMemory.OpenAsync();
        _note = await _house.AdmitAsync();
        await _house.PermitAsync();
    }

    public async Task DisposeAsync() => await _house.DisposeAsync();

    private Disputes Disputes => _house.Gateway.GetRequiredService<Disputes>();

    private IReadOnlyList<BreachCase> Cases => [.. _house.Gateway.GetRequiredService<BreachCases>().All.Where(static one => one.Kind == BreachKind.DisputedAccess)];

    [Fact]
    public async Task Whoever_had_a_disputed_access_is_shown_nothing_at_any_gateway_from_the_answer_on_and_until_it_is_taken_back()
    {
        var port = RunningHost.FreePorts();
        await using var further = await _house.StartFurtherGatewayAsync(port, _house.Repositories[0]);
        using var there = ClinicClient.Open(_house.Folder, "revontuli", new Uri($"https://localhost:{port}"));
        var readerThere = there.Professional(_house.Folder.ProfessionalOf("revontuli").Id);
        var entry = await ReadAsync();
        Assert.Equal(200, (await readerThere.ReadAsync("Observation", _note)).Status);
        Assert.Equal(200, (await _house.Revontuli.System.ReadAsync("Patient", _house.PatientId)).Status);

        var dispute = await Disputes.DisputeAsync(_house.Citizen, entry, default);
        Assert.NotNull(dispute);
        foreach (var (reader, system) in new[] { (_house.Reader, _house.Revontuli.System), (readerThere, there.System) })
        {
            // Also the one that has read it before, and rests on no policy.
            Assert.Equal(404, (await reader.ReadAsync("Observation", _note)).Status);
            Assert.Equal(404, (await system.ReadAsync("Patient", _house.PatientId)).Status);
            var search = await reader.SearchAsync("Observation", $"patient={_house.PatientId}");
            Assert.Equal((200, 0), (search.Status, search.Json.GetProperty("total").GetInt32()));
            Assert.Equal(0, (await system.SearchAsync("Encounter", $"patient={_house.PatientId}")).Json.GetProperty("total").GetInt32());
        }
        // A record that is closed and opened anew says the same.
        _house.CloseRecords();
        Assert.Equal(404, (await _house.Revontuli.System.ReadAsync("Patient", _house.PatientId)).Status);
        // Nobody else is kept from anything, and storing goes on.
        Assert.Equal(200, (await _house.Aurora.System.ReadAsync("Observation", _note)).Status);
        Assert.Equal(201, (await _house.Revontuli.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("kirjattu riidan aikana")))).Status);
        Assert.Equal(200, (await _house.Gateway.GetRequiredService<KantaGateway.Gateway.Forwarding.IInnerRequests>().SendAsync(_house.Citizen, "GET", "Observation/" + _note)).Status);
        // So does a professional's writing, with a permission in force and without one.
        Assert.Equal(201, (await _house.Reader.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("ammattilainen kirjaa")))).Status);
        Assert.Equal(201, (await _house.Aurora.Professional(_house.Folder.ProfessionalOf("aurora").Id).CreateAsync("Observation", HouseInMemory.Json(_house.Observation("toinen kirjaa")))).Status);

        // Once more it is the same dispute, and one case.
        Assert.Equal(dispute.Restriction.Id, (await Disputes.DisputeAsync(_house.Citizen, entry, default))!.Restriction.Id);
        Assert.Contains(dispute.Restriction.Id, Assert.Single(Cases).What, StringComparison.Ordinal);
        Assert.DoesNotContain(_house.PatientId, Cases[0].What, StringComparison.Ordinal);

        Assert.True(await Disputes.TakeBackAsync(_house.Citizen, dispute.Restriction.Id, default));
        Assert.False(await Disputes.TakeBackAsync(_house.Citizen, dispute.Restriction.Id, default));
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        Assert.Equal(200, (await there.System.ReadAsync("Patient", _house.PatientId)).Status);
        Assert.False(Assert.Single(await Disputes.ListAsync(_house.Citizen, default)).Holds);
        // What is over is no bar to writing, nor is a permission that is withdrawn.
        await _house.DeclareAsync(Declarations.Denial(_house.PatientId, new DenialTarget.All(), DateTimeOffset.UtcNow));
        Assert.Equal(201, (await _house.Reader.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("riidan jälkeen")))).Status);
        // Its case is two persons' to end.
        Assert.True(_house.Gateway.GetRequiredService<BreachCases>().IsOpen(Cases[0].Number));
    }

    [Fact]
    public async Task An_entry_that_is_no_access_of_a_place_of_care_to_the_person_is_not_disputed_and_nothing_is_stored()
    {
        var (mine, me) = (await ReadAsync(), _house.Citizen);
        await _house.Gateway.GetRequiredService<KantaGateway.Gateway.Forwarding.IInnerRequests>().SendAsync(me, "GET", "Observation/" + _note);
        var own = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(me)).Lines.First(static line => line.BySelf).Index;
        await _house.AdmitAsync(citizen: 1);
        foreach (var (citizen, entry) in ((Requester, long)[])[(_house.Citizen, mine), (me, own), (me, 0), (me, long.MaxValue), (me, -1), (me, 1_000_000)])
            Assert.Null(await Disputes.DisputeAsync(citizen, entry, default));
        Assert.Empty(await Disputes.ListAsync(me, default));
        Assert.Empty(await Disputes.ListAsync(_house.Citizen, default));
        Assert.Empty(Cases);
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
    }

    /// <summary>As where the gateway is killed between the two, or its disk takes the one and not the other.</summary>
    [Fact]
    public async Task A_freeze_whose_case_was_not_opened_gets_it_when_the_gateway_looks_again()
    {
        await Assert.Single(_house.Gateway.GetServices<IHostedService>().OfType<DisputeRecovery>()).StopAsync(default);
        var entry = await ReadAsync();
        var folder = _house.Gateway.GetRequiredService<GatewayOptions>().Breach!.CaseFolder;
        var marks = new DisputeMarks(folder);
        var taken = Directory.CreateDirectory(Path.Combine(folder, "00000001.json"));
        var dispute = await Disputes.DisputeAsync(_house.Citizen, entry, default);
        Assert.True(dispute!.Holds);
        Assert.Equal(404, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        Assert.Empty(Cases);
        await Assert.ThrowsAnyAsync<SystemException>(() => Disputes.RecoverAsync(default));
        Assert.Equal((_house.PatientId, entry), (Assert.Single(marks.All).Mark!.PatientId, marks.All[0].Mark!.Entry));
        taken.Delete();

        // Also twice, and where the case was opened and the mark is left.
        await Disputes.RecoverAsync(default);
        Assert.Contains(dispute.Restriction.Id, Assert.Single(Cases).What, StringComparison.Ordinal);
        marks.Add(new(_house.PatientId, entry, DateTimeOffset.UtcNow));
        await Disputes.RecoverAsync(default);
        Assert.Empty(marks.All);

        // What was not stored is waited for as long as it may be on its way; half a mark is of nothing.
        marks.Add(new(_house.PatientId, entry + 1, DateTimeOffset.UtcNow.AddMinutes(-5)));
        marks.Add(new(_house.PatientId, entry + 1, DateTimeOffset.UtcNow.AddMinutes(-15)));
        await File.WriteAllTextAsync(Path.Combine(folder, "0.disputed"), "{");
        await Disputes.RecoverAsync(default);
        Assert.Single(marks.All);
        Assert.Single(Cases);
    }

    [Fact]
    public async Task As_many_accesses_as_may_be_are_disputed_within_a_day_and_no_more()
    {
        const int Most = 10;
        for (var i = 0; i <= Most; i++)
            await ReadAsync();
        var entries = (await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen)).Lines
            .Where(line => line.OrganisationOid == _house.Revontuli.Client.OrganisationOid && line.Interaction == "read").Select(static line => line.Index).Take(Most + 1).ToList();
        foreach (var entry in entries.Take(Most))
            Assert.NotNull(await Disputes.DisputeAsync(_house.Citizen, entry, default));
        // What is taken back has been disputed; what holds is no other.
        Assert.True(await Disputes.TakeBackAsync(_house.Citizen, (await Disputes.ListAsync(_house.Citizen, default))[0].Restriction.Id, default));
        Assert.NotNull(await Disputes.DisputeAsync(_house.Citizen, entries[0], default));
        var many = await Assert.ThrowsAsync<FaultException>(() => Disputes.DisputeAsync(_house.Citizen, entries[Most], default));
        Assert.Equal(FaultKind.TooMany, many.Fault.Kind);
        Assert.InRange(many.Fault.RetryAfter!.Value, TimeSpan.FromHours(23), TimeSpan.FromHours(24));
        Assert.Equal(Most, (await Disputes.ListAsync(_house.Citizen, default)).Count);
        Assert.Equal(Most, Cases.Count);
    }

    /// <summary>Law 4, for changes: a resource of another, one of its own and one that there never was.</summary>
    [Fact]
    public async Task Who_is_shown_nothing_cannot_tell_by_a_change_what_is_there()
    {
        var entry = await ReadAsync();
        var own = (await _house.Revontuli.System.CreateAsync("Observation", HouseInMemory.Json(_house.Observation("oma")))).Stored!.Value.Id;
        await Disputes.DisputeAsync(_house.Citizen, entry, default);
        async Task<int> CountAsync() => (await _house.Gateway.GetRequiredService<KantaGateway.Audit.AuditLog>().ForSubjectAsync(_house.Citizen.Self!.Value.ToArray(), 1_000)).Count;
        var recorded = await CountAsync();
        const string JsonPatch = "application/json-patch+json", Patch = """[{"op":"replace","path":"/status","value":"amended"}]""";
        foreach (var reader in new[] { _house.Reader, _house.Revontuli.System })
            foreach (var ifMatch in new[] { null, $"W/\"{Guid.NewGuid():D}\"" })
            {
                (string, string)[]? headers = ifMatch is null ? null : [("If-Match", ifMatch)];
                foreach (var isPatch in new[] { true, false })
                {
                    var looks = new List<string>();
                    foreach (var id in new[] { _note, own, Guid.NewGuid().ToString("D") })
                    {
                        // The conditional reference looks for something.
                        var body = _house.Observation("muutos");
                        body["id"] = id;
                        body["encounter"] = new JsonObject { ["reference"] = "Encounter?identifier=urn:ietf:rfc:3986|urn:oid:1.2.246.10.99000011.14.2026.1" };
                        var answer = await reader.SendAsync(isPatch ? HttpMethod.Patch : HttpMethod.Put, $"Observation/{id}", isPatch ? Encoding.UTF8.GetBytes(Patch) : HouseInMemory.Json(body), headers, isPatch ? JsonPatch : "application/fhir+json");
                        looks.Add(Appearance.Of(answer, id));
                    }
                    Assert.StartsWith(isPatch ? "404" : ifMatch is null ? "428" : "405", looks[0], StringComparison.Ordinal);
                    Assert.Single(looks.Distinct());
                }
            }
        // That it was tried stands in the log under her name, and nothing was changed.
        Assert.True(await CountAsync() >= recorded + 16, "An attempt is not recorded.");
        Assert.Contains(HouseInMemory.Secret, (await _house.Aurora.System.ReadAsync("Observation", _note)).Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_two_operators_have_settled_closes_nothing_any_more()
    {
        var requester = _house.Citizen with { Kind = RequesterKind.Professional, ProfessionalId = "1", Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000022"), PurposeOfUse = "TREAT", Self = null, Scopes = SmartScope.ParseAll(["user/*.cruds"]) };
        var policy = PolicySnapshot.Compile(1, [new AccessRestriction { Id = "d1", At = DateTimeOffset.UtcNow.AddHours(-1), Organisation = "1.2.246.10.99000022", Entry = 1 }], []);
        Assert.True(policy.At(DateTimeOffset.UtcNow).IsRestricted(requester, DateTimeOffset.UtcNow));
        Assert.False(policy.At(DateTimeOffset.UtcNow).IsRestricted(requester with { EndedRestrictions = new HashSet<string> { "d1" } }, DateTimeOffset.UtcNow));
        Assert.False(policy.At(DateTimeOffset.UtcNow).IsRestricted(requester with { Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.990000221") }, DateTimeOffset.UtcNow));
        Assert.True(policy.At(DateTimeOffset.UtcNow).IsRestricted(requester with { Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000022.10.4") }, DateTimeOffset.UtcNow));

        // Of a unit, others of the place go on; whoever does not say of which unit it is may be of that one.
        var ofUnit = PolicySnapshot.Compile(1, [new AccessRestriction { Id = "d1", At = DateTimeOffset.UtcNow.AddHours(-1), Organisation = "1.2.246.10.99000022", Unit = "1.2.246.10.99000022.10.1", Entry = 1 }], []).At(DateTimeOffset.UtcNow);
        foreach (var (unit, isFrozen) in ((string?, bool)[])[("1.2.246.10.99000022.10.1", true), (null, true), ("1.2.246.10.99000022.10.2", false)])
            Assert.Equal((unit, isFrozen), (unit, ofUnit.IsRestricted(requester with { Unit = unit }, DateTimeOffset.UtcNow)));

        // What is overdue is said once a day, until the case has ended.
        await Disputes.DisputeAsync(_house.Citizen, await ReadAsync(), default);
        var clock = new FakeTimeProvider(DateTimeOffset.UtcNow);
        using var watch = new DisputeWatch(_house.Gateway.GetRequiredService<BreachCases>(), _house.Gateway.GetRequiredService<GatewayOptions>(), _house.Gateway.GetRequiredService<KantaGateway.Audit.AuditLog>(), clock, NullLogger<DisputeWatch>.Instance);
        Assert.Empty(await watch.LookAsync(default));
        clock.Advance(TimeSpan.FromDays(31));
        Assert.Equal([Cases[0].Number], await watch.LookAsync(default));
        Assert.Empty(await watch.LookAsync(default));
        clock.Advance(TimeSpan.FromDays(1));
        Assert.Equal([Cases[0].Number], await watch.LookAsync(default));
        await _house.Gateway.GetRequiredService<BreachCases>().EndAsync(Cases[0].Number, "Answered.", "x");
        clock.Advance(TimeSpan.FromDays(1));
        Assert.Empty(await watch.LookAsync(default));
    }

    [Fact]
    public async Task What_she_is_answered_she_reads_and_nobody_who_has_the_disk()
    {
        const string Said = "Vastaanotto oli 3.3., laskutus tarkisti käynnin.";
        var dispute = await Disputes.DisputeAsync(_house.Citizen, await ReadAsync(), default);
        Assert.Equal(404, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        using var heikki = await OperatorTests.SignInAsync(_house.Target.GetLeftPart(UriPartial.Authority), 1);
        using var tarja = await OperatorTests.SignInAsync(_house.Target.GetLeftPart(UriPartial.Authority), 2);
        using var proposed = await heikki.PostAsJsonAsync("/operator/acts", new { kind = "dispute-end", subject = dispute!.Restriction.Id, content = Said });
        var act = await proposed.Content.ReadFromJsonAsync<JsonElement>();
        Assert.True(Assert.Single(await Disputes.ListAsync(_house.Citizen, default)).Holds);
        using var approved = await tarja.PostAsJsonAsync($"/operator/acts/{act.GetProperty("id").GetString()}/approve", new { digest = act.GetProperty("digest").GetString() });
        Assert.Equal(HttpStatusCode.NoContent, approved.StatusCode);

        var settled = Assert.Single(await Disputes.ListAsync(_house.Citizen, default));
        Assert.Equal((Said, false), (settled.End!.Answer, settled.Holds));
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        foreach (var file in Directory.EnumerateFiles(_house.Gateway.GetRequiredService<GatewayOptions>().Identification.Operators!.LogFolder))
            Assert.DoesNotContain("laskutus", await File.ReadAllTextAsync(file), StringComparison.Ordinal);
    }

    [Fact]
    public void The_consent_of_a_dispute_is_read_as_it_was_written_and_anything_else_is_none()
    {
        var said = new AccessRestriction { At = new(2026, 11, 30, 10, 0, 0, TimeSpan.Zero), Organisation = "1.2.246.10.99000022", Unit = "1.2.246.10.99000022.10.1", Entry = 12_345_678_901 };
        foreach (var one in new[] { said, said with { Unit = null } })
        {
            var json = Encoding.UTF8.GetString(Declarations.Restriction("11111111-2222-4333-8444-555555555555", one));
            var read = Assert.IsType<AccessRestriction>(Declarations.Read(JsonElement.Parse(json)));
            Assert.Equal((one.Organisation, one.Unit, one.Entry, one.At, true), (read.Organisation, read.Unit, read.Entry, read.At, read.IsActive));
            Assert.False(read.ByCustodian || read.RecordedBy is not null || read.IsSpeakerUnclear);
            foreach (var (from, to) in new[] { ("deny", "permit"), ("12345678901", "-1"), ("12345678901", "x"), ("disputed-entry", "other-entry"), ("\"Organization\"", "\"Practitioner\"") })
                Assert.Null(Declarations.Read(JsonElement.Parse(json.Replace(from, to, StringComparison.Ordinal))));
        }
    }

    /// <summary>The professional reads the note.</summary>
    /// <returns>The entry that says so.</returns>
    private async Task<long> ReadAsync()
    {
        Assert.Equal(200, (await _house.Reader.ReadAsync("Observation", _note)).Status);
        var (lines, _) = await _house.Gateway.GetRequiredService<AccessLog>().ForPersonAsync(_house.Citizen);
        return lines.First(line => line.OrganisationOid == _house.Revontuli.Client.OrganisationOid && line.Interaction == "read").Index;
    }
}
