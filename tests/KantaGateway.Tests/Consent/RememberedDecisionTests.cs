using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Consent;

/// <summary>What a policy and a token remember of decisions is bounded, and serves exactly the question that it was made for.</summary>
public sealed class RememberedDecisionTests
{
    private const int Bound = 256;

    /// <summary>A token is remembered as long as it lives: who asks with it for every organisation in the world gets answers, and no memory grows.</summary>
    [Fact]
    public void Permits_are_remembered_up_to_a_bound_and_made_anew_beyond_it()
    {
        var system = ConsentWorld.Requester("system");
        var search = ConsentWorld.Interaction(InteractionKind.Search, "Observation");
        var remembered = Enumerable.Range(1, Bound + 2).Count(i =>
        {
            var requester = system with { Organisation = Oid.Parse($"1.2.246.10.{i}") };
            var (once, again) = (Decide(requester, search, PolicySnapshot.Empty), Decide(requester, search, PolicySnapshot.Empty));
            Assert.Equal($"1.2.246.10.{i}", once.Scope.Controller);
            Assert.Equal(once.Scope, again.Scope);
            return ReferenceEquals(once, again);
        });
        Assert.Equal(Bound, remembered);
    }

    [Fact]
    public void Relationships_are_remembered_of_so_many_organisations()
    {
        string[] organisations = [.. Enumerable.Range(1, 66).Select(i => $"1.2.246.10.{i}")];
        var policy = PolicySnapshot.Compile(1, [], [.. organisations.Select(o => new ServiceEvent(o + ".14.1", o, "in-progress", ConsentWorld.Now.AddDays(-1), null))]);
        var remembered = organisations.Count(o =>
        {
            var (once, again) = (policy.RelationshipOf(o, null, ConsentWorld.Now), policy.RelationshipOf(o, null, ConsentWorld.Now));
            Assert.Equal(new CareRelationship(o, o + ".14.1"), once);
            Assert.Equal(once, again);
            return ReferenceEquals(once, again);
        });
        Assert.Equal(64, remembered);
    }

    /// <summary>One policy, asked by many in every way: each gets what a policy that nobody had asked before would give.</summary>
    [Fact]
    public void What_was_decided_for_one_answers_for_nobody_else()
    {
        string[] declared = ["informed", "permit", "confirmed", "emergency", "deny-event:1.2.246.10.99000011.14.2026.1", "deny-register-but-emergency:1.2.246.10.99000033"];
        var events = new[] { ConsentWorld.Revontuli.ToString(), "1.2.246.10.99000011", "1.2.246.10.99000044" }.Select((o, i) =>
            new ServiceEvent(o + ".14.2026.1", o, "in-progress", ConsentWorld.Now.AddDays(-1), null) { Services = (ProtectedService)(i * 8), Register = i == 2 ? Register.Occupational("1.2.246.10.99000055") : Register.Patient }).ToArray();
        PolicySnapshot Fresh() => PolicySnapshot.Compile(1, declared.Select(ConsentWorld.Declared), events);
        var kept = Fresh();
        var scopes = SmartScope.ParseAll(["system/*.cruds", "user/*.cruds", "patient/*.cruds"]);
        var asked = 0;
        foreach (var organisation in events.Select(e => e.Controller))
            foreach (var who in new[] { "revontuli-laakari", "another" })
                foreach (var purpose in new[] { "TREAT", "ETREAT" })
                    foreach (var tasks in Enum.GetValues<KantaGateway.Gateway.Identification.Professionals.TaskClass>())
                        foreach (var kind in new[] { InteractionKind.Read, InteractionKind.Search, InteractionKind.Create })
                            foreach (var (own, profession, services) in new[]
                            {
                                (ProtectedService.None, "optikko", HealthServices.Reception), (ProtectedService.Psychotherapy, "optikko", HealthServices.Reception), (ProtectedService.None, "fysioterapeutti", HealthServices.Reception),
                                (ProtectedService.None, "optikko", HealthServices.Oral), (ProtectedService.None, "optikko", HealthServices.HospitalPharmacy),
                            })
                            foreach (var (employer, serviceEvent) in new[] { (null, null), ("1.2.246.10.99000055", null), ("1.2.246.10.99000066", organisation + ".14.2026.1") })
                            {
                                Requester Asker(IReadOnlyList<SmartScope> scopes) => ConsentWorld.Requester("professional", purpose) with
                                {
                                    Organisation = Oid.Parse(organisation), ProfessionalId = who, Tasks = tasks, Scopes = scopes, OwnServices = own, Profession = profession, Services = services,
                                    ControllerKind = organisation.EndsWith("44", StringComparison.Ordinal) ? ControllerKind.Occupational : ControllerKind.Private,
                                };
                                var interaction = ConsentWorld.Interaction(kind, "Appointment", serviceEvent: serviceEvent) with { Employer = employer };
                                var fresh = ConsentWorld.Decide(Asker([.. scopes]), interaction, Fresh());
                                var again = ConsentWorld.Decide(Asker(scopes), interaction, kept);
                                Assert.Equal(fresh.GetType(), again.GetType());
                                if (fresh is Decision.Deny)
                                    Assert.Equal(fresh, again);
                                if (fresh is Decision.Permit permit)
                                    Assert.Equal((permit.Basis, permit.Scope, string.Join(' ', permit.Rules), permit.RestsOnPolicy),
                                        again is Decision.Permit its ? (its.Basis, its.Scope, string.Join(' ', its.Rules), its.RestsOnPolicy) : default);
                                asked++;
                            }
        Assert.Equal(2700, asked);
    }

    /// <summary>A visit ends while no declaration begins or ends: what its service was shown is not shown any more.</summary>
    [Fact]
    public void What_a_service_was_shown_is_not_shown_when_its_visit_is_over()
    {
        var policy = PolicySnapshot.Compile(1, [],
            [new ServiceEvent("1.2.3", ConsentWorld.Revontuli.ToString(), "in-progress", ConsentWorld.Now.AddDays(-1), ConsentWorld.Now) { Services = ProtectedService.Psychiatry }, new ServiceEvent("1.2.4", ConsentWorld.Revontuli.ToString(), "in-progress", ConsentWorld.Now, null)]);
        var requester = ConsentWorld.Requester("professional");
        foreach (var (at, seen) in new[] { (ConsentWorld.Now.AddTicks(-1), ProtectedService.Psychiatry), (ConsentWorld.Now, ProtectedService.None) })
            Assert.Equal(seen, Assert.IsType<Decision.Permit>(ConsentDecision.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), policy,
                policy.RelationshipOf(ConsentWorld.Revontuli.ToString(), null, at), at)).Scope.Withheld.SeenServices);
    }

    /// <summary>Without a permission too: what each profession reaches of the own register in each service is its own.</summary>
    [Fact]
    public void What_is_narrowed_of_the_own_register_for_one_is_not_narrowed_so_for_another()
    {
        var (kept, search) = (ConsentWorld.Policy([], open: true), ConsentWorld.Interaction(InteractionKind.Search, "DocumentReference"));
        var scopes = SmartScope.ParseAll(["user/*.cruds"]);
        var narrowed = new HashSet<string>();
        foreach (var profession in new[] { "optikko", "fysioterapeutti", "lahihoitaja" })
            foreach (var services in new[] { HealthServices.Reception, HealthServices.Oral })
            {
                var asker = ConsentWorld.Requester("professional") with { Tasks = KantaGateway.Gateway.Identification.Professionals.TaskClass.LimitedCare, Profession = profession, Services = services, Scopes = scopes };
                var (again, fresh) = (Decide(asker, search, kept), Decide(asker, search, ConsentWorld.Policy([], open: true)));
                Assert.Equal((Breadth.OwnRegister, fresh.Scope), (again.Scope.Breadth, again.Scope));
                narrowed.Add(string.Join(' ', again.Scope.FiltersOfOwn?.SelectMany(f => f.AnyOf) ?? []));
            }
        Assert.Equal(6, narrowed.Count);
    }

    /// <summary>Whatever the task, the services and the practice are: what has been decided once is found and not made.</summary>
    [Theory]
    [InlineData("informed permit")]
    [InlineData("")]
    public void Deciding_the_same_again_allocates_nothing(string declared)
    {
        var (policy, search) = (ConsentWorld.Policy(declared.Split(' ', StringSplitOptions.RemoveEmptyEntries), open: true), ConsentWorld.Interaction(InteractionKind.Search, "Appointment"));
        foreach (var tasks in Enum.GetValues<KantaGateway.Gateway.Identification.Professionals.TaskClass>().Select(task => (KantaGateway.Gateway.Identification.Professionals.TaskClass?)task).Append(null))
            foreach (var services in new[] { HealthServices.Reception, HealthServices.Oral, HealthServices.HospitalPharmacy })
            {
                var asker = ConsentWorld.Requester("professional") with { Tasks = tasks, Profession = "optikko", Services = services, OwnServices = ProtectedService.Psychotherapy };
                for (var warming = 0; warming < 3; warming++)
                    Decide(asker, search, policy);
                var before = GC.GetAllocatedBytesForCurrentThread();
                ConsentWorld.Decide(asker, search, policy);
                Assert.Equal((tasks, services, 0), (tasks, services, GC.GetAllocatedBytesForCurrentThread() - before));
            }
    }

    [Fact]
    public void Why_something_is_missing_is_told_of_each()
    {
        var policy = ConsentWorld.Policy(["informed", "permit"], open: false);
        var requester = ConsentWorld.Requester("professional");
        var search = ConsentWorld.Interaction(InteractionKind.Search, "Observation");
        Assert.Contains(Rule.NoCareRelationship, Decide(requester, search, policy).Rules);
        Assert.Contains(Rule.TaskTooNarrow, Decide(requester with { Tasks = KantaGateway.Gateway.Identification.Professionals.TaskClass.Administration }, search, policy).Rules);
    }

    private static Decision.Permit Decide(Requester requester, Interaction interaction, PolicySnapshot policy) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, policy));
}
