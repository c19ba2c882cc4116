using System.Net;
using System.Text.Json;
using KantaGateway.Gateway.Breach;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Breach;

/// <summary>A case from its opening to its end: clocks that nobody sets, a journal that nobody edits, and word of it until all is done.</summary>
public sealed class BreachCaseTests
{
    [Fact]
    public async Task The_clocks_follow_from_when_it_became_known_and_stop_with_what_was_done()
    {
        await using var world = new BreachWorld();
        var known = world.Now;
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        Assert.Equal(
            [
                (BreachClockKind.EarlyWarning, known.AddHours(24)), (BreachClockKind.DataProtectionAuthority, known.AddHours(72)), (BreachClockKind.IncidentNotification, known.AddHours(72)),
                (BreachClockKind.FinalReport, known.AddHours(72).AddMonths(1)), (BreachClockKind.Persons, known.AddHours(72)),
            ], world.ClocksOf(1).Select(clock => (clock.Kind, clock.Due)));
        Assert.All(world.ClocksOf(1), clock => Assert.Equal(BreachClockState.Running, clock.State));

        world.Clock.Advance(TimeSpan.FromHours(24));
        Assert.Equal(BreachClockState.Running, world.ClockOf(BreachClockKind.EarlyWarning).State);
        world.Clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal(BreachClockState.Overdue, world.ClockOf(BreachClockKind.EarlyWarning).State);

        await world.Cases.AddStepAsync(1, BreachStepKind.EarlyWarningSent, "Tiina", "Kyberturvallisuuskeskus", "NCSC-1");
        await world.Cases.AddStepAsync(1, BreachStepKind.IncidentNotified, "Tiina", "Kyberturvallisuuskeskus", "NCSC-1");
        await world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1/2026");
        var early = world.ClockOf(BreachClockKind.EarlyWarning);
        Assert.Equal((BreachClockState.Done, true, "Tiina", "NCSC-1"), (early.State, early.IsLate, early.DoneBy!.By, early.DoneBy.Reference));
        Assert.False(world.ClockOf(BreachClockKind.DataProtectionAuthority).IsLate);
        // A month from the notification that it follows (Act 124/2025 §11).
        Assert.Equal(world.Now.AddMonths(1), world.ClockOf(BreachClockKind.FinalReport).Due);
        // To do it again sets nothing back.
        world.Clock.Advance(TimeSpan.FromDays(2));
        await world.Cases.AddStepAsync(1, BreachStepKind.EarlyWarningSent, "Tero", "Kyberturvallisuuskeskus", "NCSC-2");
        Assert.Equal("Tiina", world.ClockOf(BreachClockKind.EarlyWarning).DoneBy!.By);
        Assert.Equal(BreachClockState.Overdue, world.ClockOf(BreachClockKind.Persons).State);
    }

    [Fact]
    public async Task A_person_states_that_it_was_known_earlier_and_never_later()
    {
        await using var world = new BreachWorld();
        var now = world.Now;
        var opened = await world.Cases.OpenAsync(BreachKind.Reported, "A disk is missing.", new("Tiina", now.AddDays(-4)));
        Assert.Equal((now.AddDays(-4), now, "Tiina"), (opened.AwareAt, opened.OpenedAt, opened.OpenedBy));
        Assert.Equal(BreachClockState.Overdue, world.ClockOf(BreachClockKind.DataProtectionAuthority).State);
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => world.Cases.OpenAsync(BreachKind.Reported, "Another one.", new("Tiina", now.AddSeconds(1))));
        world.Restart();
        Assert.Equal([opened], world.Cases.All);
    }

    [Theory]
    [InlineData("00000001-0001.step", "TSV/1/2026", "TSV/9/2026")]
    [InlineData("00000001-0001.step", "2026-03-02", "2026-03-01")]
    [InlineData("00000001-0001.step", null, null)]
    [InlineData("00000001-0002.step", "\"number\": 2", "\"number\": 3")]
    [InlineData("00000001.json", "aware", "Aware")]
    public async Task A_journal_that_was_changed_or_has_lost_a_line_is_no_start(string file, string? from, string? to)
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1/2026");
        await world.Cases.AddStepAsync(1, BreachStepKind.Note, "Tero", note: "The disk was found.");
        world.Restart();
        Assert.Equal(["authority-notified", "note"], world.Cases.StepsOf(1).Select(step => JsonNamingPolicy.KebabCaseLower.ConvertName(step.Kind.ToString())));

        var path = world.PathOf("cases/" + file);
        if (from is null)
            File.Delete(path);
        else
            await File.WriteAllTextAsync(path, (await File.ReadAllTextAsync(path)).Replace(from, to, StringComparison.Ordinal));
        world.Cases.Dispose();
        Assert.Throws<InvalidDataException>(world.Restart);
    }

    [Fact]
    public async Task A_case_that_was_changed_before_another_or_has_the_end_of_another_is_no_start()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "Another answer stands in no entry.");
        var first = world.PathOf("cases/00000001.json");
        var was = await File.ReadAllTextAsync(first);
        await File.WriteAllTextAsync(first, was.Replace("2026-03-02", "2026-03-03", StringComparison.Ordinal));
        Assert.Throws<InvalidDataException>(world.Restart);
        await File.WriteAllTextAsync(first, was);
        world.Restart();
        await world.Cases.EndAsync(1, "A disk was full; nothing had left.", "digest");
        File.Copy(world.PathOf("cases/00000001.end"), world.PathOf("cases/00000002.end"));
        Assert.Throws<InvalidDataException>(world.Restart);
    }

    /// <summary>A chain does not miss its last link; the audit log does.</summary>
    [Theory]
    [InlineData("00000002.json")]
    [InlineData("00000001-0002.step")]
    [InlineData("00000001-0001.step", "00000001-0002.step")]
    [InlineData("00000001.end")]
    [InlineData("00000001.json", "00000001-0001.step", "00000001-0002.step", "00000001.end", "00000002.json")]
    public async Task What_was_cut_off_from_the_end_while_no_gateway_ran_is_no_start(params string[] gone)
    {
        await using var world = new BreachWorld();
        await world.Cases.CheckAsync();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1/2026");
        await world.Cases.AddStepAsync(1, BreachStepKind.Note, "Tero", note: "The disk was found.");
        await world.Cases.EndAsync(1, "A disk was full; nothing had left.", "digest");
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        world.Restart();
        await world.Cases.CheckAsync();

        foreach (var file in gone)
            File.Delete(world.PathOf("cases/" + file));
        world.Restart();
        await Assert.ThrowsAsync<InvalidDataException>(world.Cases.CheckAsync);
    }

    [Fact]
    public async Task A_gateway_that_shares_the_log_begins_with_no_cases_once_and_under_its_name_never_again()
    {
        await using var world = new BreachWorld();
        world.Options = world.Options with { AuditPostgres = "Host=/run/postgresql;Username=kanta_audit" };
        world.Options = world.Options with { Breach = world.Options.Breach! with { Gateway = "north" } };
        world.Restart();
        await world.Cases.CheckAsync();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");

        // Another begins beside it, and has cases of its own.
        using (var south = new BreachCases(world.Options with { Breach = world.Options.Breach! with { Gateway = "south", CaseFolder = world.PathOf("south") } }, world.Audit, world.Clock))
        {
            await south.CheckAsync();
            await south.OpenAsync(BreachKind.Unrecorded, "Another answer stands in no entry.");
            await south.CheckAsync();
        }
        await world.Cases.CheckAsync();

        File.Delete(world.PathOf("cases/00000001.json"));
        world.Restart();
        Assert.Contains("Breach.Gateway", (await Assert.ThrowsAsync<InvalidDataException>(world.Cases.CheckAsync)).Message, StringComparison.Ordinal);
    }

    /// <summary>Nor does a chain see that its last link is another.</summary>
    [Theory]
    [InlineData("00000002.json", "2026-03-02", "2026-03-03")]
    [InlineData("00000001-0002.step", "The disk was found.", "The disk was lost.")]
    [InlineData("00000001.end", "A disk was full; nothing had left.", "Nobody had been there.")]
    public async Task What_was_changed_at_the_end_while_no_gateway_ran_is_no_start(string file, string from, string to)
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Cases.AddStepAsync(1, BreachStepKind.AuthorityNotified, "Tero", "Tietosuojavaltuutettu", "TSV/1/2026");
        await world.Cases.AddStepAsync(1, BreachStepKind.Note, "Tero", note: "The disk was found.");
        await world.Cases.EndAsync(1, "A disk was full; nothing had left.", "digest");
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        var path = world.PathOf("cases/" + file);
        var was = await File.ReadAllTextAsync(path);
        var changed = was.Replace(from, to, StringComparison.Ordinal);
        Assert.NotEqual(was, changed);
        await File.WriteAllTextAsync(path, changed);
        world.Restart();
        await Assert.ThrowsAsync<InvalidDataException>(world.Cases.CheckAsync);
        await File.WriteAllTextAsync(path, was);
        world.Restart();
        await world.Cases.CheckAsync();
    }

    /// <summary>Or who cuts it off there would not be seen.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_the_audit_log_did_not_take_it_is_given_with_the_next_line_or_at_the_next_start(bool isStartedAnew)
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        world.IsAuditAway = true;
        await world.Cases.AddStepAsync(1, BreachStepKind.Note, "Tero", note: "The disk was found.");
        world.IsAuditAway = false;
        if (isStartedAnew)
            world.Restart();
        else
            await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Cases.CheckAsync();
        File.Delete(world.PathOf("cases/00000001-0001.step"));
        world.Restart();
        await Assert.ThrowsAsync<InvalidDataException>(world.Cases.CheckAsync);
    }

    [Fact]
    public async Task What_was_told_of_another_case_of_that_number_or_cannot_be_read_is_told_anew()
    {
        await using var world = new BreachWorld();
        await using var other = new BreachWorld();
        foreach (var (one, what) in new[] { (world, "An answer stands in no entry."), (other, "Another answer stands in no entry.") })
        {
            await one.Cases.OpenAsync(BreachKind.Unrecorded, what);
            using var escalation = one.Escalation();
            Assert.Equal(2, await escalation.LookAsync(default));
        }
        File.Copy(other.PathOf("cases/told"), world.PathOf("cases/told"), overwrite: true);
        using (var escalation = world.Escalation())
            Assert.Equal(2, await escalation.LookAsync(default));
        await File.WriteAllTextAsync(world.PathOf("cases/told"), "{");
        using (var escalation = world.Escalation())
            Assert.Equal(2, await escalation.LookAsync(default));
        using (var escalation = world.Escalation())
            Assert.Equal(0, await escalation.LookAsync(default));
    }

    [Fact]
    public async Task Two_recipients_are_told_at_once_and_again_more_often_near_a_time_until_all_is_done()
    {
        await using var world = new BreachWorld();
        using var escalation = world.Escalation();
        Assert.Equal(0, await escalation.LookAsync(default));
        await world.Cases.OpenAsync(BreachKind.DeniedDataShown, "Somebody was shown what a denial covers.");
        Assert.Equal(2, await escalation.LookAsync(default));
        Assert.Equal(0, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromMinutes(59));
        Assert.Equal(0, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(2, await escalation.LookAsync(default));
        // Six hours before the first word is due.
        world.Clock.Advance(TimeSpan.FromHours(17));
        Assert.Equal(2, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromMinutes(15));
        Assert.Equal(2, await escalation.LookAsync(default));
        // And when a time is over.
        world.Clock.Advance(TimeSpan.FromDays(40));
        Assert.Equal(2, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromMinutes(15));
        Assert.Equal(2, await escalation.LookAsync(default));

        foreach (var kind in (BreachStepKind[])[BreachStepKind.EarlyWarningSent, BreachStepKind.AuthorityNotified, BreachStepKind.IncidentNotified, BreachStepKind.PersonsNotified])
            await world.Cases.AddStepAsync(1, kind, "Tiina", "authority", "1");
        Assert.Equal(2, await escalation.LookAsync(default));
        // The final report has a month.
        world.Clock.Advance(TimeSpan.FromMinutes(15));
        Assert.Equal(0, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromMinutes(45));
        Assert.Equal(2, await escalation.LookAsync(default));
        await world.Cases.AddStepAsync(1, BreachStepKind.FinalReportSent, "Tiina", "authority", "1");
        Assert.Equal(2, await escalation.LookAsync(default));
        world.Clock.Advance(TimeSpan.FromDays(365));
        Assert.Equal(0, await escalation.LookAsync(default));
    }

    [Theory]
    [InlineData(false, "done")]
    [InlineData(true, "case-ended")]
    public async Task Nobody_stops_a_case_without_both_recipients_being_told_that_and_how_once(bool isEnded, string state)
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using (var escalation = world.Escalation())
        {
            Assert.Equal(2, await escalation.LookAsync(default));
            if (isEnded)
                await world.Cases.EndAsync(1, "A disk was full; nothing had left.", "digest");
            else
                foreach (var kind in (BreachStepKind[])[BreachStepKind.EarlyWarningSent, BreachStepKind.AuthorityNotified, BreachStepKind.IncidentNotified, BreachStepKind.FinalReportSent, BreachStepKind.PersonsNotified])
                    await world.Cases.AddStepAsync(1, kind, "Tiina", "authority", "made-up");
            // Who is away then is told when it is back.
            world.Outside.IsAway = BreachWorld.Supervisor;
            Assert.Equal(1, await escalation.LookAsync(default));
            world.Outside.IsAway = null;
            Assert.Equal(1, await escalation.LookAsync(default));
        }
        Assert.Equal((2, 2), (world.Outside.CountOf(BreachWorld.Supervisor), world.Outside.CountOf(BreachWorld.Ombudsman)));
        foreach (var (_, token) in world.Outside.Told.TakeLast(2))
            Assert.All(JsonDocument.Parse(Base64UrlEncoder.Decode(new JsonWebToken(token).EncodedPayload)).RootElement.GetProperty("breach").GetProperty("clocks").EnumerateArray(),
                clock => Assert.Equal(state, clock.GetProperty("state").GetString()));
        world.Restart();
        world.Clock.Advance(TimeSpan.FromDays(365));
        using (var escalation = world.Escalation())
            Assert.Equal(0, await escalation.LookAsync(default));
    }

    [Fact]
    public async Task Who_is_down_is_told_when_it_is_back_holds_nobody_else_back_and_a_restart_forgets_nothing()
    {
        await using var world = new BreachWorld();
        world.Outside.IsAway = BreachWorld.Supervisor;
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using (var escalation = world.Escalation())
        {
            Assert.Equal(1, await escalation.LookAsync(default));
            Assert.Equal(0, await escalation.LookAsync(default));
        }
        world.Restart();
        using (var escalation = world.Escalation())
        {
            Assert.Equal(0, await escalation.LookAsync(default));
            world.Outside.IsAway = null;
            Assert.Equal(1, await escalation.LookAsync(default));
        }
        Assert.Equal((1, 1), (world.Outside.CountOf(BreachWorld.Supervisor), world.Outside.CountOf(BreachWorld.Ombudsman)));
        // What was remembered has gone: rather twice than never.
        File.Delete(world.PathOf("cases/told"));
        using (var escalation = world.Escalation())
            Assert.Equal(2, await escalation.LookAsync(default));
    }

    [Theory]
    [InlineData(HttpStatusCode.InternalServerError)]
    [InlineData(HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.Found)]
    public async Task Who_answers_that_it_has_not_taken_it_is_told_again(HttpStatusCode answer)
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        using var escalation = world.Escalation();
        world.Outside.Answer = answer;
        Assert.Equal(0, await escalation.LookAsync(default));
        world.Outside.Answer = HttpStatusCode.NoContent;
        Assert.Equal(2, await escalation.LookAsync(default));
    }

    [Fact]
    public async Task The_running_service_tells_of_a_case_when_it_is_opened()
    {
        await using var world = new BreachWorld();
        using var escalation = world.Escalation();
        await escalation.StartAsync(default);
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        await world.Outside.Both;
        await escalation.StopAsync(default);
        Assert.Equal((1, 1), (world.Outside.CountOf(BreachWorld.Supervisor), world.Outside.CountOf(BreachWorld.Ombudsman)));
    }

    [Fact]
    public async Task What_recipients_are_told_is_signed_for_each_and_says_nothing_of_what_it_is_about()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Reported, "A note about Maija Meikäläinen was shown.", new("Tiina", null));
        using var escalation = world.Escalation();
        await escalation.LookAsync(default);
        foreach (var (to, token) in world.Outside.Told)
        {
            var read = await new JsonWebTokenHandler { MapInboundClaims = false }.ValidateTokenAsync(token, new()
            {
                ValidIssuer = world.Options.PublicAddress, ValidAudience = to, ValidTypes = [BreachEscalation.TokenType], IssuerSigningKey = world.Keys.Newest.Signing, ValidateLifetime = false,
            });
            Assert.True(read.IsValid, read.Exception?.Message);
            var payload = Base64UrlEncoder.Decode(new JsonWebToken(token).EncodedPayload);
            Assert.DoesNotContain("Maija", payload);
            var about = JsonDocument.Parse(payload).RootElement.GetProperty("breach");
            Assert.Equal((1, "reported", 5), (about.GetProperty("case").GetInt32(), about.GetProperty("kind").GetString(), about.GetProperty("clocks").GetArrayLength()));
        }
        Assert.Equal(2, world.Outside.Told.Count);
    }

    [Fact]
    public async Task A_case_that_two_persons_have_ended_before_anybody_was_told_is_told_once_and_its_journal_goes_on()
    {
        await using var world = new BreachWorld();
        await world.Cases.OpenAsync(BreachKind.Unrecorded, "An answer stands in no entry.");
        Assert.True(await world.Cases.EndAsync(1, "A disk was full; nothing had left.", "digest"));
        using var escalation = world.Escalation();
        Assert.Equal(2, await escalation.LookAsync(default));
        Assert.Equal(0, await escalation.LookAsync(default));
        Assert.All(world.ClocksOf(1), clock => Assert.Equal(BreachClockState.CaseEnded, clock.State));
        Assert.NotNull(await world.Cases.AddStepAsync(1, BreachStepKind.Note, "Tero", note: "Found out later."));
        Assert.Null(await world.Cases.AddStepAsync(2, BreachStepKind.Note, "Tero", note: "Of no case."));
        world.Restart();
        Assert.Single(world.Cases.StepsOf(1));
    }
}
