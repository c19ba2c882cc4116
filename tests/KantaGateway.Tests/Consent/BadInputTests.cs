using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;
using static KantaGateway.Tests.Consent.ConsentModel;

namespace KantaGateway.Tests.Consent;

/// <summary>
/// Consents, events and people that are not what they should be: each refused, or decided as the law says, and with the same answer as
/// absence wherever the difference would tell of what is hidden. Contradicting, overlapping, expired and future-dated declarations:
/// <see cref="InForceTests"/>; unknown scopes: <see cref="DeclarationsTests"/>; unsigned ones: <see cref="DeskDeclarationsTests"/>.
/// </summary>
public sealed class BadInputTests
{
    private const string Named = "1.2.246.10.99000022.14.2026.7";
    private static readonly string Own = ConsentWorld.Revontuli.ToString();
    private static readonly ServiceEvent Open = new(ConsentWorld.OwnEvent, Own, "in-progress", Now.AddDays(-1), null);

    /// <summary>Events that prove nothing, the last one of another patient: it is not in this person's policy at all.</summary>
    private static readonly ServiceEvent[][] BadEvents =
    [
        [new(Named, Aurora, "in-progress", Now.AddDays(-1), null)],
        [new(Named, Own, "finished", Now.AddDays(-1), null)],
        [new(Named, Own, "entered-in-error", null, null)],
        [new(Named, Own, "in-progress", Now.AddDays(-1), Now)],
        [new(Named, Own, "in-progress", Now.AddTicks(1), null)],
        [new(Named, Aurora, "in-progress", Now.AddDays(-40), null)],
        [new(Named, Own, "in-progress", Now.AddDays(-40), Now)],
        [new(Named, Own, "finished", Now.AddDays(-40), null)],
        [new(Named, Own, "booked", Now.AddDays(-40), Now.AddDays(-1)) { Kind = CareEventKind.Appointment }],
        [new(Named, Own, "booked", Now.AddHours(25), null) { Kind = CareEventKind.Appointment }],
        [],
    ];

    [Fact]
    public void An_event_of_another_organisation_a_closed_one_and_one_of_another_patient_are_refused_alike()
    {
        foreach (var purpose in new[] { "TREAT", "ETREAT" })
            foreach (var events in BadEvents)
                foreach (var interaction in new[] { InteractionKind.Search, InteractionKind.Read, InteractionKind.Create })
                    Assert.Equal(Decision.Deny.Of(DenyReason.NoOpenServiceEvent), Decide(purpose, interaction, [Open, .. events], Named));
    }

    /// <summary>§9: a stay that nobody has written for thirty days proves no treatment; the ward that names it reads, archives and writes it again.</summary>
    [Fact]
    public void An_own_visit_that_is_only_stale_leaves_the_own_register_as_if_none_were_named()
    {
        var stale = new ServiceEvent(Named, Own, "in-progress", Now.AddDays(-31), Now.AddTicks(1)) { StoredAt = Now - ServiceEvent.Lasts, Services = ProtectedService.Psychiatry };
        foreach (var purpose in new[] { "TREAT", "ETREAT" })
            foreach (var kind in new[] { InteractionKind.Search, InteractionKind.Read, InteractionKind.Create, InteractionKind.Update })
            {
                var named = Assert.IsType<Decision.Permit>(Decide(purpose, kind, [stale], Named));
                Assert.Contains(Rule.NoCareRelationship, named.Rules);
                Assert.Equal((Breadth.OwnRegister, ProtectedService.None), (named.Scope.Breadth, named.Scope.Withheld.SeenServices));
                Assert.Equal(Assert.IsType<Decision.Permit>(Decide(purpose, kind, [stale], null)).Scope, named.Scope);
                // Nor is it another one's proof; and written again it is one.
                Assert.Equal(named.Scope, Assert.IsType<Decision.Permit>(Decide(purpose, kind, [Open, stale], Named)).Scope);
                Assert.Equal(Breadth.Disclosed, Assert.IsType<Decision.Permit>(Decide(purpose, kind, [stale with { StoredAt = Now }], Named)).Scope.Breadth);
            }
    }

    [Fact]
    public void Where_none_is_named_they_leave_the_own_register_alone_as_if_there_were_none()
    {
        foreach (var interaction in new[] { InteractionKind.Search, InteractionKind.Read, InteractionKind.Create })
        {
            var absent = Assert.IsType<Decision.Permit>(Decide("TREAT", interaction, [], null));
            Assert.Equal(Breadth.OwnRegister, absent.Scope.Breadth);
            foreach (var events in BadEvents)
                Assert.Equal((absent.Scope, absent.Basis), Decide("TREAT", interaction, events, null) is Decision.Permit permit ? (permit.Scope, permit.Basis) : default);
        }
    }

    /// <summary>Never informed, no permission, all denied, not treated: what is missing is not to be told from what is given.</summary>
    [Fact]
    public void Whatever_is_missing_the_scope_is_the_same()
    {
        DisclosureScope ScopeOf(string declared, bool open) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional"),
            ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy(declared.Split(' ', StringSplitOptions.RemoveEmptyEntries), open))).Scope;
        var absent = ScopeOf("", false);
        foreach (var declared in new[] { "", "permit", "informed", "informed-old permit", "informed permit-withdrawn", "informed permit-expired", "informed permit-later", "informed permit deny-all", "informed permit unreadable" })
            Assert.Equal(absent, ScopeOf(declared, true));
        Assert.Equal(absent, ScopeOf("informed permit", false));
    }

    [Theory]
    [InlineData(TaskClass.Support)]
    [InlineData(TaskClass.Administration)]
    public void Who_has_not_the_task_gets_the_same_whatever_was_declared(TaskClass task) => Gen.Select(People, Askers.Where(a => a.Requester is { Kind: RequesterKind.Professional, ControllerKind: ControllerKind.Private }))
        .Sample((person, asker) =>
        {
            // Opened services and recorded confirmations are the asker's own doing; all else is the person's.
            var without = person with { Declared = [.. person.Declared.Where(d => d is AccessRecord)] };
            var narrow = asker with { Requester = asker.Requester with { Tasks = task } };
            return Same(ConsentModel.Decide(narrow, person.Policy), ConsentModel.Decide(narrow, without.Policy));
        });

    /// <summary>A refusal is told; so it may depend on nothing that the person declared.</summary>
    [Fact]
    public void A_refusal_to_a_professional_depends_on_nothing_that_the_person_declared() => Gen.Select(People, Askers.Where(a => a.Requester.Kind == RequesterKind.Professional))
        .Sample((person, asker) =>
        {
            var (with, without) = (ConsentModel.Decide(asker, person.Policy), ConsentModel.Decide(asker, (person with { Declared = [.. person.Declared.Where(d => d is AccessRecord)] }).Policy));
            return with is Decision.Deny == without is Decision.Deny && (with is not Decision.Deny || with.Equals(without));
        });

    [Fact]
    public void A_consent_about_another_person_is_refused_whoever_that_is_and_whatever_she_declared()
    {
        foreach (var declared in new[] { "informed", "permit", "deny-all", "permit-withdrawn" })
            foreach (var kind in new[] { InteractionKind.Create, InteractionKind.Update })
                foreach (var policy in new[] { PolicySnapshot.Empty, ConsentWorld.Policy(["informed", "permit"], true), ConsentWorld.Policy(["unreadable"], false) })
                    Assert.Equal(Decision.Deny.Of(DenyReason.NotOwnData), ConsentWorld.Decide(ConsentWorld.Requester("another citizen"), ConsentWorld.Interaction(kind, "Consent", declares: declared), policy));
    }

    /// <summary>Another patient's event, register or prescription in a denial: it denies what is named and nothing else.</summary>
    [Fact]
    public void A_denial_of_what_is_another_patients_hides_nothing_of_this_one() => Gen.Select(People, Askers, Entries)
        .Sample((person, asker, entry) =>
        {
            Declaration foreign(DenialTarget target) => new DisclosureDenial { Id = "f", At = Now.AddDays(-1), Target = target };
            var with = person with { Declared = [.. person.Declared, foreign(new DenialTarget.OfServiceEvent("1.2.246.10.99000099.14.2026.1")), foreign(new DenialTarget.OfPrescription("4f6c0b3e-1111-4000-8000-00000000ffff"))] };
            return Sees(asker, person, entry) == Sees(asker, with, entry);
        });

    private static bool Same(Decision one, Decision other) => one is Decision.Permit permit ? other is Decision.Permit its && its.Scope.Equals(permit.Scope) && its.Basis == permit.Basis : one.Equals(other);

    private static Decision Decide(string purpose, InteractionKind kind, ServiceEvent[] events, string? named)
    {
        var policy = PolicySnapshot.Compile(1, new[] { "informed", "permit", "emergency" }.Select(ConsentWorld.Declared), events);
        return ConsentWorld.Decide(ConsentWorld.Requester("professional", purpose), ConsentWorld.Interaction(kind, "Observation", serviceEvent: named), policy);
    }
}
