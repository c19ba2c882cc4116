using System.Security.Cryptography;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace KantaGateway.Tests.Identification.Operators;

/// <summary>A second person's approval, whatever it is for.</summary>
public sealed class ApprovalsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kanta-decisions").FullName;
    private readonly string _keyFile;
    private readonly ShiftedClock _clock = new();
    private readonly SeenActs _acts = new();
    private readonly HttpContext _context = new DefaultHttpContext();

    public ApprovalsTests()
    {
        _keyFile = Path.Combine(_folder, "key.pem");
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        File.WriteAllText(_keyFile, key.ExportPkcs8PrivateKeyPem());
    }

    public void Dispose() => Directory.Delete(_folder, true);

    /// <summary>Or one person could put off every end. Somebody else who contains it too is news to who approves, and so is another case of the machine.</summary>
    [Fact]
    public async Task Who_contains_anew_puts_off_no_end_and_another_person_and_another_case_do()
    {
        var gateway = Gateway();
        ValueTask By(string who, ContainedSubject subject) => gateway.ContainAsync(_context, Some(who), subject, $"So says {who}.");
        ValueTask ByMachine(long of, ContainedSubject subject) => gateway.ContainAsync(subject, "A canary.", of, CancellationToken.None);
        var number = 0;
        foreach (var (before, again, isNews) in new (Func<ContainedSubject, ValueTask>[], Func<ContainedSubject, ValueTask>, bool)[]
        {
            ([one => By("olga", one)], one => By("OLGA", one), false),
            ([one => By("olga", one)], one => By("heikki", one), true),
            ([one => By("olga", one), one => By("heikki", one)], one => By("olga", one), false),
            ([one => By("olga", one)], one => ByMachine(1, one), true),
            ([one => ByMachine(1, one)], one => ByMachine(1, one), false),
            ([one => ByMachine(1, one)], one => ByMachine(2, one), true),
            ([one => By("olga", one), one => ByMachine(1, one)], one => By("olga", one), false),
        })
        {
            var client = ContainedSubject.Client($"clinic-{++number}");
            foreach (var contain in before)
                await contain(client);
            _clock.Ahead += TimeSpan.FromSeconds(1);
            var end = (await gateway.ProposeAsync(_context, Some("tiina"), ApprovalKind.ContainmentEnd, client.Text, null, "A false alarm.")).Proposal!;
            _clock.Ahead += TimeSpan.FromSeconds(1);
            await again(client);
            Assert.Equal((number, isNews ? DecisionRefusal.ChangedMeanwhile : null), (number, await gateway.ApproveAsync(_context, Some("tero"), end.Id, end.Digest)));
            Assert.Equal(isNews, Gateway().Current.Contained.ContainsKey(client.Text));
        }
    }

    [Fact]
    public async Task The_machine_contains_even_where_it_cannot_be_recorded_and_decides_nothing_else()
    {
        var gateway = Gateway();
        _acts.IsAway = true;
        await gateway.ContainAsync(ContainedSubject.Client("a"), "A canary.", 7, CancellationToken.None);
        _acts.IsAway = false;
        var kept = Assert.Single(Gateway().Current.Contained.Values);
        Assert.Equal(("client/a", "A canary.", 7L, true), (kept.Subject, kept.Reason, kept.Case, kept.By.IsMachine));
        var decision = new Decision { Number = 2, Previous = gateway.Current.Previous, At = _clock.GetUtcNow(), By = Decider.Machine(_clock.GetUtcNow()), Step = DecisionStep.Contained };
        foreach (var step in Enum.GetValues<DecisionStep>().Except([DecisionStep.Contained]))
            Assert.Equal(DecisionRefusal.NoRole, gateway.Current.Apply(decision with { Step = step, Subject = "client/a", Kind = ApprovalKind.ContainmentEnd, Content = "", Proposal = "", Digest = "" }, "").Refusal);
    }

    public static TheoryData<ApprovalKind> Kinds => [.. Enum.GetValues<ApprovalKind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Takes_effect_by_a_second_person_and_can_be_carried_out_once(ApprovalKind kind)
    {
        var gateway = Gateway();
        var (olga, heikki) = (Some("olga"), Some("heikki"));
        var proposal = await ProposeAsync(gateway, olga, kind);
        Assert.Equal(DecisionRefusal.NotApproved, await gateway.CarryOutAsync(_context, olga, proposal.Id, proposal.Digest));
        Assert.Null(await gateway.ApproveAsync(_context, heikki, proposal.Id, proposal.Digest));
        Assert.Equal(ProposalStatus.Approved, gateway.Current.Proposals[proposal.Id].Status);

        // Another gateway of the deployment uses it up.
        Assert.Null(await Gateway().CarryOutAsync(_context, olga, proposal.Id, proposal.Digest));
        Assert.Equal(DecisionRefusal.AlreadyDecided, await gateway.CarryOutAsync(_context, olga, proposal.Id, proposal.Digest));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Whoever_proposes_does_not_approve(ApprovalKind kind)
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), kind);
        foreach (var same in new[] { Some("olga"), Some("OLGA") with { Name = "Somebody Else", Session = "another" } })
            Assert.Equal(DecisionRefusal.SamePerson, await gateway.ApproveAsync(_context, same, proposal.Id, proposal.Digest));
        Assert.Equal(ProposalStatus.Open, Gateway().Current.Proposals[proposal.Id].Status);
        Assert.Contains(_acts.All, static act => act.Refused == "SamePerson");
        // The same id in another tenant is another person.
        Assert.Null(await gateway.ApproveAsync(_context, Some("olga") with { Tenant = "another" }, proposal.Id, proposal.Digest));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task Needs_the_role_that_the_kind_has(ApprovalKind kind)
    {
        var gateway = Gateway();
        var others = Enum.GetValues<OperatorRole>().Where(role => role != Approvals.RoleFor(kind)).ToHashSet();
        Assert.Equal(DecisionRefusal.NoRole, (await gateway.ProposeAsync(_context, Some("olga") with { Roles = others }, kind, "subject", null, "content")).Refusal);
        var proposal = await ProposeAsync(gateway, Some("olga"), kind);
        Assert.Equal(DecisionRefusal.NoRole, await gateway.ApproveAsync(_context, Some("heikki") with { Roles = others }, proposal.Id, proposal.Digest));
        Assert.Equal(DecisionRefusal.NoRole, await gateway.RejectAsync(_context, Some("heikki") with { Roles = others }, proposal.Id, proposal.Digest));
    }

    [Fact]
    public async Task Both_have_signed_in_in_the_last_quarter_of_an_hour()
    {
        var gateway = Gateway();
        var (olga, heikki) = (Some("olga"), Some("heikki"));
        _clock.Ahead = TimeSpan.FromMinutes(15) + TimeSpan.FromSeconds(1);
        Assert.Equal(DecisionRefusal.SignInAgain, (await gateway.ProposeAsync(_context, olga, ApprovalKind.BulkExport, "subject", null, "content")).Refusal);
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport);
        Assert.Equal(DecisionRefusal.SignInAgain, await gateway.ApproveAsync(_context, heikki, proposal.Id, proposal.Digest));
        Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
    }

    [Fact]
    public async Task A_proposal_is_open_for_a_day()
    {
        var gateway = Gateway();
        var (first, second) = (await ProposeAsync(gateway, Some("olga"), ApprovalKind.KeyCeremony), await ProposeAsync(gateway, Some("olga"), ApprovalKind.KeyCeremony));
        _clock.Ahead = TimeSpan.FromHours(23.9);
        Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), first.Id, first.Digest));
        _clock.Ahead = TimeSpan.FromHours(24);
        Assert.Equal(DecisionRefusal.TooLate, await gateway.ApproveAsync(_context, Some("heikki"), second.Id, second.Digest));
        Assert.Equal(DecisionRefusal.TooLate, await gateway.CarryOutAsync(_context, Some("olga"), first.Id, first.Digest));
    }

    [Fact]
    public async Task What_waits_is_carried_out_by_the_same_approval_when_its_time_has_come_and_within_seven_days()
    {
        var gateway = Gateway();
        var (first, second) = (await ProposeAsync(gateway, Some("olga"), ApprovalKind.Erasure), await ProposeAsync(gateway, Some("olga"), ApprovalKind.Erasure));
        foreach (var one in new[] { first, second })
            Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), one.Id, one.Digest, wait: TimeSpan.FromDays(7)));
        foreach (var days in new[] { 0, 2, 6.99 })
        {
            _clock.Ahead = TimeSpan.FromDays(days);
            Assert.Equal(DecisionRefusal.Waiting, await gateway.CarryOutAsync(_context, Some("olga"), first.Id, first.Digest));
        }
        _clock.Ahead = TimeSpan.FromDays(7.01);
        // The wait is the approval's, for every gateway that reads the log.
        Assert.Null(await Gateway().CarryOutAsync(_context, Some("olga"), first.Id, first.Digest));
        Assert.Equal(DecisionRefusal.AlreadyDecided, await gateway.RejectAsync(_context, Some("heikki"), first.Id, first.Digest));
        _clock.Ahead = TimeSpan.FromDays(14.01);
        Assert.Equal(DecisionRefusal.TooLate, await gateway.CarryOutAsync(_context, Some("olga"), second.Id, second.Digest));
    }

    [Theory]
    [InlineData("olga"), InlineData("heikki"), InlineData("tuula")]
    public async Task What_waits_is_stopped_by_anybody_with_its_role_until_it_is_carried_out(string who)
    {
        var gateway = Gateway();
        var (during, after) = (await ProposeAsync(gateway, Some("olga"), ApprovalKind.Erasure), await ProposeAsync(gateway, Some("olga"), ApprovalKind.Erasure));
        foreach (var one in new[] { during, after })
            Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), one.Id, one.Digest, wait: TimeSpan.FromDays(7)));
        Assert.Equal(DecisionRefusal.NoRole, await gateway.RejectAsync(_context, Some(who) with { Roles = new HashSet<OperatorRole> { OperatorRole.Keys } }, during.Id, during.Digest));
        Assert.Null(await gateway.RejectAsync(_context, Some(who), during.Id, during.Digest));
        _clock.Ahead = TimeSpan.FromDays(8);
        Assert.Equal(DecisionRefusal.NotApproved, await gateway.CarryOutAsync(_context, Some("olga"), during.Id, during.Digest));
        Assert.Null(await gateway.RejectAsync(_context, Some(who), after.Id, after.Digest));
        Assert.Equal(DecisionRefusal.NotApproved, await Gateway().CarryOutAsync(_context, Some("olga"), after.Id, after.Digest));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public async Task What_is_approved_and_need_not_wait_is_not_rejected_any_more(ApprovalKind kind)
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), kind);
        Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
        Assert.Equal(DecisionRefusal.AlreadyDecided, await gateway.RejectAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
    }

    [Fact]
    public async Task What_is_approved_is_what_the_approver_has_seen()
    {
        var gateway = Gateway();
        var (one, another) = (await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport, "ten people"), await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport, "everybody"));
        Assert.NotEqual(one.Digest, another.Digest);
        Assert.Equal(DecisionRefusal.OtherContent, await gateway.ApproveAsync(_context, Some("heikki"), another.Id, one.Digest));
        Assert.Equal(DecisionRefusal.NoSuchProposal, await gateway.ApproveAsync(_context, Some("heikki"), "none", one.Digest));
        Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), one.Id, one.Digest));
        Assert.Equal(DecisionRefusal.OtherContent, await gateway.CarryOutAsync(_context, Some("olga"), one.Id, another.Digest));
    }

    [Fact]
    public void A_digest_holds_every_part_in_its_place()
    {
        string[] digests =
        [
            Decision.DigestOf(ApprovalKind.Onboarding, "a", null, "b"), Decision.DigestOf(ApprovalKind.ScopeWidening, "a", null, "b"), Decision.DigestOf(ApprovalKind.Onboarding, "ab", null, ""),
            Decision.DigestOf(ApprovalKind.Onboarding, "a", "b", ""), Decision.DigestOf(ApprovalKind.Onboarding, "", "a", "b"),
        ];
        Assert.Equal(digests.Length, digests.Distinct().Count());
    }

    [Fact]
    public async Task What_is_rejected_is_not_approved_any_more()
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.BreachCaseEnd);
        Assert.Null(await gateway.RejectAsync(_context, Some("olga"), proposal.Id, proposal.Digest));
        Assert.Equal(DecisionRefusal.AlreadyDecided, await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
        Assert.Equal(ProposalStatus.Rejected, gateway.Current.Proposals[proposal.Id].Status);
    }

    [Fact]
    public async Task Of_many_who_approve_at_two_gateways_one_does()
    {
        var (here, there) = (Gateway(), Gateway());
        var proposal = await ProposeAsync(here, Some("olga"), ApprovalKind.KeyCeremony);
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(i => Task.Run(() => (i % 2 == 0 ? here : there).ApproveAsync(new DefaultHttpContext(), Some("heikki" + i), proposal.Id, proposal.Digest).AsTask())));
        Assert.Single(answers, static answer => answer is null);
        Assert.Equal(9, answers.Count(static answer => answer == DecisionRefusal.AlreadyDecided));
        Assert.Equal(2, Gateway().Current.Number);
    }

    [Fact]
    public async Task Another_gateway_knows_within_half_a_second()
    {
        var (here, there) = (Gateway(), Gateway());
        var proposal = await ProposeAsync(here, Some("olga"), ApprovalKind.KeyCeremony);
        _clock.Ahead += TimeSpan.FromSeconds(0.5);
        Assert.Equal(proposal.Digest, there.Current.Proposals[proposal.Id].Digest);
    }

    [Fact]
    public async Task Nothing_is_decided_that_cannot_be_recorded()
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.Onboarding);
        _acts.IsAway = true;
        Assert.Equal(FaultKind.AuditUnavailable, (await Assert.ThrowsAsync<FaultException>(async () => await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest))).Fault.Kind);
        Assert.Equal(ProposalStatus.Open, gateway.Current.Proposals[proposal.Id].Status);
        Assert.Equal(1, Gateway().Current.Number);
    }

    [Fact]
    public async Task Every_step_is_recorded_with_the_digest_before_it_is_kept()
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport);
        Assert.Null(await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest));
        Assert.Null(await gateway.CarryOutAsync(_context, Some("olga"), proposal.Id, proposal.Digest));
        Assert.Equal(["Proposed a bulk export of subject.", "Approved a bulk export of subject.", "Began to carry out a bulk export of subject."], _acts.All.Select(static act => act.Act));
        Assert.All(_acts.All, act => Assert.Equal(proposal.Digest, System.Buffers.Text.Base64Url.EncodeToString(act.Digest!)));
    }

    [Fact]
    public async Task What_cannot_be_kept_is_not_in_force_and_the_record_says_so()
    {
        var gateway = Gateway();
        // Where the entry would be written stands something that cannot be replaced.
        Directory.CreateDirectory(Path.Combine(_folder, "00000001.jws.new", "in the way"));
        Assert.Equal(FaultKind.StoreUnavailable, (await Assert.ThrowsAsync<FaultException>(async () => await ProposeAsync(gateway, Some("olga"), ApprovalKind.Onboarding))).Fault.Kind);
        Assert.Equal(0, gateway.Current.Number);
        Assert.Equal([null, "It could not be kept."], _acts.All.Select(static act => act.Refused));
    }

    [Theory]
    [InlineData("changed")]
    [InlineData("signed by another key")]
    [InlineData("lost in the middle")]
    [InlineData("in another order")]
    [InlineData("half")]
    [InlineData("of another log")]
    public async Task A_log_that_was_tampered_with_is_not_relied_on(string how)
    {
        var gateway = Gateway();
        foreach (var content in (string[])["one", "two", "three"])
            await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport, content);
        string At(int number) => Path.Combine(_folder, $"{number:D8}.jws");
        var text = File.ReadAllText(At(2));
        switch (how)
        {
            case "changed":
                var middle = text.Length / 2;
                File.WriteAllText(At(2), text[..middle] + (text[middle] == 'A' ? 'B' : 'A') + text[(middle + 1)..]);
                break;
            case "signed by another key":
                using (var thief = ECDsa.Create(ECCurve.NamedCurves.nistP256))
                {
                    var signed = text[..text.LastIndexOf('.')];
                    File.WriteAllText(At(2), signed + "." + System.Buffers.Text.Base64Url.EncodeToString(thief.SignData(System.Text.Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256)));
                }
                break;
            case "lost in the middle":
                File.Move(At(3), At(2), overwrite: true);
                break;
            case "in another order":
                var third = File.ReadAllText(At(3));
                File.WriteAllText(At(3), text);
                File.WriteAllText(At(2), third);
                break;
            case "of another log":
                // Signed by the same key, in its place by its number: what it follows is missing.
                var other = Directory.CreateDirectory(Path.Combine(_folder, "other")).FullName;
                var elsewhere = new Approvals(new DecisionLog(other, _keyFile), _acts, _clock, NullLogger<Approvals>.Instance);
                await ProposeAsync(elsewhere, Some("olga"), ApprovalKind.BulkExport, "one");
                await ProposeAsync(elsewhere, Some("olga"), ApprovalKind.BulkExport, "two");
                File.Copy(Path.Combine(other, "00000002.jws"), At(2), overwrite: true);
                File.Delete(At(3));
                break;
            default:
                File.WriteAllText(At(2), text[..(text.Length / 2)]);
                break;
        }
        Assert.Throws<InvalidDataException>(Gateway);
    }

    [Fact]
    public async Task A_gateway_that_sees_entries_vanish_decides_nothing_and_keeps_what_it_knows()
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport);
        File.Delete(Path.Combine(_folder, "00000001.jws"));
        _clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(1, gateway.Current.Number);
        Assert.Equal(FaultKind.StoreUnavailable, (await Assert.ThrowsAsync<FaultException>(async () => await gateway.ApproveAsync(_context, Some("heikki"), proposal.Id, proposal.Digest))).Fault.Kind);
    }

    /// <summary>Whoever holds the key of the log, a gateway that was taken over, is still held to the rules by the others.</summary>
    [Fact]
    public async Task A_signed_entry_that_breaks_a_rule_is_not_relied_on()
    {
        var gateway = Gateway();
        var proposal = await ProposeAsync(gateway, Some("olga"), ApprovalKind.BulkExport);
        var state = gateway.Current;
        var log = new DecisionLog(_folder, _keyFile);
        log.Append(2, log.Sign(new Decision { Number = 2, Previous = state.Previous, At = _clock.GetUtcNow(), By = Decider.Of(Some("olga")), Step = DecisionStep.Approved, Proposal = proposal.Id, Digest = proposal.Digest }));
        Assert.Throws<InvalidDataException>(Gateway);
        _clock.Ahead += TimeSpan.FromSeconds(1);
        Assert.Equal(ProposalStatus.Open, gateway.Current.Proposals[proposal.Id].Status);
    }

    private Approvals Gateway() => new(new DecisionLog(_folder, _keyFile), _acts, _clock, NullLogger<Approvals>.Instance);

    private Operator Some(string id) => new("tenant", id, id, Enum.GetValues<OperatorRole>().ToHashSet(), _clock.GetUtcNow(), "session");

    private async Task<Proposal> ProposeAsync(Approvals gateway, Operator who, ApprovalKind kind, string content = "content")
    {
        var contained = ContainedSubject.Organisation("1.2.246.10.90000001");
        // Only what is contained has an end.
        if (kind == ApprovalKind.ContainmentEnd)
            await gateway.ContainAsync(_context, who, contained, "reason");
        return (await gateway.ProposeAsync(_context, who, kind, kind == ApprovalKind.ContainmentEnd ? contained.Text : "subject", null, content)).Proposal!;
    }
}
