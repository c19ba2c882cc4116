using System.Globalization;
using System.Text.Json;
using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Gateway.Identification.Professionals;

namespace KantaGateway.Tests.Consent;

/// <summary>The Act's rules, case by case from the vector file, and as properties over random policies.</summary>
public class ConsentDecisionTests
{
    private static readonly JsonElement[] Cases =
        [.. JsonDocument.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Vectors", "consent-decisions.json"))).RootElement.GetProperty("cases").EnumerateArray()];

    public static TheoryData<string> Names => [.. Cases.Select(c => c.GetProperty("name").GetString()!)];

    [Theory, MemberData(nameof(Names))]
    public void Decides_as_the_law_says(string name)
    {
        var vector = Cases.Single(c => c.GetProperty("name").GetString() == name);
        Assert.NotEqual("", vector.GetProperty("section").GetString());
        var decision = Decided(vector);

        var expect = vector.GetProperty("expect");
        if (expect.TryGetProperty("deny", out var reason))
            Assert.Equal(reason.GetString(), Assert.IsType<Decision.Deny>(decision).Reason.ToString());
        else
        {
            var permit = Assert.IsType<Decision.Permit>(decision);
            Assert.Equal(expect.GetProperty("breadth").GetString(), permit.Scope.Breadth.ToString());
            Assert.Equal(expect.GetProperty("basis").GetString(), permit.Basis.ToString());
            IsList("denied", permit.Scope.Withheld.ServiceEvents);
            IsList("registers", permit.Scope.Withheld.Registers);
            IsList("prescriptions", permit.Scope.Withheld.Prescriptions);
            IsList("onlyOf", permit.Scope.OnlyOf ?? []);
            IsList("mayWriteFor", permit.Scope.MayWriteFor);
            if (expect.TryGetProperty("seen", out var seen))
                Assert.Equal((true, seen.GetString()), (permit.Scope.Withheld.SpeciallyProtected, permit.Scope.Withheld.SeenServices.ToString()));
            if (expect.TryGetProperty("rule", out var rule))
                Assert.Contains(Enum.Parse<Rule>(rule.GetString()!), permit.Rules);
            if (expect.TryGetProperty("register", out var register))
                Assert.Equal(register.GetString(), permit.Scope.Register);
            if (expect.TryGetProperty("unknownShownBefore", out var before))
                Assert.Equal((true, before.GetDateTimeOffset()), (permit.Scope.Withheld.FromCustodians, permit.Scope.Withheld.UnknownShownBefore));
            if (expect.TryGetProperty("others", out _))
            {
                Assert.DoesNotContain("DocumentReference", Assert.IsAssignableFrom<IReadOnlyList<string>>(permit.Scope.TypesOfOthers));
                Assert.Contains("MedicationRequest", permit.Scope.TypesOfOthers!);
            }
        }

        void IsList(string property, IReadOnlyList<string> actual)
        {
            if (expect.TryGetProperty(property, out var expected))
                Assert.Equal(expected.EnumerateArray().Select(e => e.GetString()), actual);
        }
    }

    [Fact]
    public void Every_rule_fires_in_some_case() =>
        Assert.Empty(Enum.GetValues<Rule>().Except(Cases.Select(Decided).OfType<Decision.Permit>().SelectMany(p => p.Rules)));

    private static Decision Decided(JsonElement vector)
    {
        var requester = ConsentWorld.Requester(vector.GetProperty("requester").GetString()!, Text("purpose") ?? "TREAT",
            vector.TryGetProperty("scopes", out var scopes) ? [.. scopes.EnumerateArray().Select(s => s.GetString()!)] : null,
            vector.TryGetProperty("expired", out _)) with
        {
            Tasks = Text("tasks") is { } tasks ? Enum.Parse<TaskClass>(tasks) : null,
            ControllerKind = Text("controllerKind") is { } controller ? Enum.Parse<ControllerKind>(controller) : ControllerKind.Private,
            JointWith = List("joint"),
            ProducesFor = List("producesFor"),
            OnBehalfOf = Text("onBehalf") is { } kind ? new(ConsentWorld.Person, Enum.Parse<RepresentationKind>(kind), "Onni Koe") : null,
            Unit = Text("unit"),
        };
        if (Text("who") is { } who)
            requester = requester with { ProfessionalId = who };
        var interaction = ConsentWorld.Interaction(Enum.Parse<InteractionKind>(Text("interaction")!, ignoreCase: true), Text("type") ?? "Observation",
            vector.TryGetProperty("directory", out _), Text("serviceEvent"), Text("declares")) with { Employer = Text("employer") };
        if (Text("client") is { } client)
            requester = requester with { ClientId = client };
        if (Text("asks") is { } asked)
            interaction = interaction with { Asks = new(asked, Register.Patient) };
        if (interaction.Declares is { } declared)
            interaction = interaction with { Declares = declared with { ByCustodian = requester.OnBehalfOf is { Kind: RepresentationKind.Custodian } } };
        var policy = ConsentWorld.Policy(vector.GetProperty("declared").EnumerateArray().Select(d => d.GetString()!), vector.GetProperty("open").GetBoolean(),
            Text("eventServices") is { } services ? Enum.Parse<ProtectedService>(services) : ProtectedService.None,
            new(Text("born") is { } born ? DateOnly.Parse(born, CultureInfo.InvariantCulture) : null,
                Text("died") is { } died ? DateTimeOffset.Parse(died + "T00:00Z", CultureInfo.InvariantCulture) : null),
            Text("treatedFor") is { } employer ? Register.Occupational(employer) : Register.Patient,
            vector.TryGetProperty("stale", out _) ? ConsentWorld.Now - ServiceEvent.Lasts : null);

        return ConsentWorld.Decide(requester, interaction, policy);

        string? Text(string property) => vector.TryGetProperty(property, out var value) ? value.GetString() : null;

        string[] List(string property) => vector.TryGetProperty(property, out var list) ? [.. list.EnumerateArray().Select(e => e.GetString()!)] : [];
    }

    private static readonly string[] Events = ["1.2.246.10.99000011.14.2026.1", "1.2.246.10.99000011.14.2026.2", "1.2.246.10.99000033.14.2026.1"];
    private static readonly Gen<string[]> Declarations = OneOf<string>(
        ["informed", "informed-old", "permit", "permit-withdrawn", "deny-all", "deny-all-withdrawn", "unreadable", .. Events.Select(e => "deny-event:" + e)]).Array[0, 8];
    private static readonly Gen<(string Controller, string? Event)> Entries =
        Gen.Select(OneOf<string>("1.2.246.10.99000011", "1.2.246.10.99000022", "1.2.246.10.99000033"), OneOf<string?>(null, Events[0], Events[1], Events[2]));

    private static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static bool Sees(IEnumerable<string> declared, bool open, (string Controller, string? Event) entry) =>
        ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Search, "Observation"), ConsentWorld.Policy(declared, open))
            is Decision.Permit permit && permit.Scope.Admits("Observation", entry.Controller, Register.Patient, permit.Scope.Withheld.ServiceEvents.Contains(entry.Event) ? Hidden.FromOthers : Hidden.None);

    [Fact]
    public void Adding_a_denial_never_shows_more() => Gen.Select(Declarations, Gen.Bool, Entries, OneOf<string>(["deny-all", "unreadable", .. Events.Select(e => "deny-event:" + e)]))
        .Sample((declared, open, entry, denial) => !Sees([.. declared, denial], open, entry) || Sees(declared, open, entry));

    [Fact]
    public void Removing_the_permission_never_shows_more() => Gen.Select(Declarations, Gen.Bool, Entries)
        .Sample((declared, open, entry) => !Sees(declared.Where(d => d != "permit"), open, entry) || Sees(declared, open, entry));

    [Fact]
    public void The_own_register_is_unaffected_by_any_declaration() => Gen.Select(Declarations, Gen.Bool, Entries)
        .Sample((declared, open, entry) => Sees(declared, open, (ConsentWorld.Revontuli.ToString(), entry.Event)));

    [Fact]
    public void The_order_of_declarations_decides_nothing() => Gen.Select(Declarations, Gen.Bool, Entries)
        .Sample((declared, open, entry) => Sees(declared, open, entry) == Sees(declared.Reverse(), open, entry));

    [Fact]
    public void Another_controllers_entry_is_seen_exactly_when_the_law_lists_every_condition() => Gen.Select(Declarations, Gen.Bool, Entries)
        .Where(t => t.Item3.Controller != ConsentWorld.Revontuli.ToString())
        .Sample((declared, open, entry) => Sees(declared, open, entry) == Reference(declared, open, entry.Event));

    /// <summary>The law's text once more, slow and in another style: a list of objections.</summary>
    private static bool Reference(string[] declared, bool open, string? serviceEvent)
    {
        var objections = new List<string>();
        if (!declared.Contains("informed"))
            objections.Add("§58, §68: never informed with the text in force");
        if (!declared.Contains("permit") || declared.Contains("permit-withdrawn"))
            objections.Add("§54.1: no disclosure permission");
        if (!open)
            objections.Add("§57: no treatment relationship");
        foreach (var declaration in declared)
            if (declaration is "deny-all" or "unreadable" || (serviceEvent is not null && declaration == "deny-event:" + serviceEvent))
                objections.Add("§59.2: denied");
        return objections.Count == 0;
    }

    [Fact]
    public void Every_kind_of_requester_and_interaction_gets_a_decision()
    {
        foreach (var kind in new[] { "system", "professional", "citizen", "another citizen" })
            foreach (var interaction in Enum.GetValues<InteractionKind>())
                Assert.NotNull(ConsentWorld.Decide(ConsentWorld.Requester(kind), ConsentWorld.Interaction(interaction, "Observation"), PolicySnapshot.Empty));
    }

    [Fact]
    public void A_decision_that_a_declaration_could_change_rests_on_the_policy() => Gen.Select(Declarations, Gen.Bool)
        .Sample((declared, open) => ConsentWorld.Decide(ConsentWorld.Requester("professional"), ConsentWorld.Interaction(InteractionKind.Read, "Observation"), ConsentWorld.Policy(declared, open))
            is Decision.Permit { RestsOnPolicy: true });

    [Theory]
    [InlineData(InteractionKind.Search, "user/Observation.rs user/Encounter.r user/Condition.s", "Condition Observation")]
    [InlineData(InteractionKind.Read, "user/Observation.rs user/Encounter.r user/Condition.s", "Encounter Observation")]
    [InlineData(InteractionKind.Create, "user/Observation.cs user/Encounter.r", "Observation")]
    [InlineData(InteractionKind.Search, "user/Observation.s user/Nonsense.s system/Patient.s", "Observation")]
    [InlineData(InteractionKind.Search, "user/Observation.s user/*.s", null)]
    [InlineData(InteractionKind.Search, "user/Observation.s user/*.r", "Observation")]
    public void What_is_shown_besides_the_asked_is_of_types_that_the_token_could_ask_for(InteractionKind kind, string scopes, string? types)
    {
        var requester = ConsentWorld.Requester("professional", scopes: scopes.Split(' '));
        var interaction = ConsentWorld.Interaction(kind, "Observation");
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, ConsentWorld.Policy(["informed", "permit"], true)));
        Assert.Equal(types?.Split(' '), permit.Scope.Types);
        Assert.Equal(types?.Split(' '), ConsentDecision.DirectoryBeside(requester, interaction).Types);
        Assert.Equal(types?.Split(' '), Assert.IsType<Decision.Permit>(
            ConsentWorld.Decide(requester, interaction with { Compartment = Pseudonym.Directory }, PolicySnapshot.Empty)).Scope.Types);
    }

    [Fact]
    public void A_token_that_names_every_type_reaches_what_a_token_for_all_does()
    {
        var requester = ConsentWorld.Requester("professional", scopes: [.. KantaGateway.Fhir.Compartment.ResourceTypes.Served.Select(t => $"user/{t}.s")]);
        Assert.Null(Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(InteractionKind.Search, "Observation"), PolicySnapshot.Empty)).Scope.Types);
    }

    /// <summary>§18: of occupational care a system too says for which employer it writes; a professional who names none writes where the person is treated.</summary>
    [Fact]
    public void Occupational_care_writes_into_one_employers_register()
    {
        var write = ConsentWorld.Interaction(InteractionKind.Create, "Observation");
        var system = ConsentWorld.Requester("system") with { ControllerKind = ControllerKind.Occupational };
        Assert.Equal(Decision.Deny.Of(DenyReason.EmployerMissing), ConsentWorld.Decide(system, write, PolicySnapshot.Empty));
        Assert.Equal(Register.Occupational(ConsentModel.Employer),
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(system, write with { Employer = ConsentModel.Employer }, PolicySnapshot.Empty)).Scope.Register);
        var treated = PolicySnapshot.Compile(1, [], [new ServiceEvent(ConsentWorld.OwnEvent, ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null) { Register = Register.Occupational(ConsentModel.Employer) }]);
        Assert.Equal(Register.Occupational(ConsentModel.Employer),
            Assert.IsType<Decision.Permit>(ConsentWorld.Decide(ConsentWorld.Requester("professional") with { ControllerKind = ControllerKind.Occupational }, write, treated)).Scope.Register);
    }

    /// <summary>§18: who treats for two employers and names neither writes nowhere, and reads neither's entries as its own.</summary>
    [Fact]
    public void Occupational_care_that_treats_for_two_employers_names_one_to_write()
    {
        var requester = ConsentWorld.Requester("professional") with { ControllerKind = ControllerKind.Occupational };
        var write = ConsentWorld.Interaction(InteractionKind.Create, "Observation");
        var treated = PolicySnapshot.Compile(1, [],
        [
            new ServiceEvent(ConsentWorld.OwnEvent, ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null) { Register = Register.Occupational(ConsentModel.Employer) },
            new ServiceEvent("1.2.246.10.99000022.14.2026.2", ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null) { Register = Register.Occupational(ConsentModel.OtherEmployer) },
        ]);
        Assert.Equal(Decision.Deny.Of(DenyReason.EmployerMissing), ConsentWorld.Decide(requester, write, treated));
        Assert.Equal(Register.Patient, RegisterOf(ConsentWorld.Interaction(InteractionKind.Search, "Observation")));
        Assert.Equal(Register.Occupational(ConsentModel.OtherEmployer), RegisterOf(write with { Employer = ConsentModel.OtherEmployer }));
        Assert.Equal(Register.Occupational(ConsentModel.Employer), RegisterOf(write with { ServiceEvent = ConsentWorld.OwnEvent }));

        string RegisterOf(Interaction interaction) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, treated)).Scope.Register;
    }

    /// <summary>§18: the register of one employer is own, before and after the visit too, unless the person is treated for others alone.</summary>
    [Theory]
    [InlineData(ConsentModel.Employer, true, true)]
    [InlineData(ConsentModel.OtherEmployer, false, false)]
    [InlineData(null, true, true)]
    public void Occupational_care_begins_and_finishes_a_visit_as_a_professional(string? treatedFor, bool reads, bool writes)
    {
        var requester = ConsentWorld.Requester("professional") with { ControllerKind = ControllerKind.Occupational };
        var policy = ConsentWorld.Policy([], treatedFor is not null, register: Register.Occupational(treatedFor ?? "none"));
        foreach (var (kind, type, letters, isPermitted) in new[]
        {
            (InteractionKind.Search, "Observation", "s", reads), (InteractionKind.Read, "Observation", "r", reads), (InteractionKind.Create, "Encounter", "csr", reads),
            (InteractionKind.Patch, "Observation", "ur", reads), (InteractionKind.Transaction, "Observation", "cr", reads),
            (InteractionKind.Create, "Patient", "c", writes), (InteractionKind.Create, "Encounter", "c", writes), (InteractionKind.Update, "Observation", "u", writes), (InteractionKind.Transaction, "Observation", "cu", writes),
        })
        {
            var decision = ConsentWorld.Decide(requester, ConsentWorld.Interaction(kind, type) with { Employer = ConsentModel.Employer, Needs = [.. letters.Select(letter => (type, letter))] }, policy);
            Assert.Equal((kind, letters, isPermitted ? null : DenyReason.NoOpenServiceEvent), (kind, letters, (decision as Decision.Deny)?.Reason));
            if (isPermitted)
                Assert.Equal((Register.Occupational(ConsentModel.Employer), Breadth.OwnRegister), (((Decision.Permit)decision).Scope.Register, ((Decision.Permit)decision).Scope.Breadth));
        }
        // Of two, one is enough; an event in no employer's register contradicts nothing.
        ServiceEvent other = new(null, ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null) { Register = Register.Occupational(ConsentModel.OtherEmployer) };
        var write = ConsentWorld.Interaction(InteractionKind.Create, "Observation") with { Employer = ConsentModel.Employer };
        foreach (var events in new ServiceEvent[][] { [other, other with { Register = Register.Occupational(ConsentModel.Employer) }], [other with { Register = Register.Patient }], [other with { Status = "finished" }], [other with { Controller = ConsentModel.Aurora }] })
            foreach (var interaction in (Interaction[])[write, ConsentWorld.Interaction(InteractionKind.Search, "Observation") with { Employer = ConsentModel.Employer }])
                Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, PolicySnapshot.Compile(1, [], events)));
    }

    /// <summary>§26.2: a practice that is wholly of one service sees what it recorded, before and after the visit, and of others nothing more by it.</summary>
    [Fact]
    public void A_practice_of_one_service_sees_its_own_entries_of_it_between_visits()
    {
        var therapist = ConsentWorld.Requester("professional") with { OwnServices = ProtectedService.Psychotherapy };
        foreach (var kind in new[] { InteractionKind.Search, InteractionKind.Update })
        {
            Withheld withheld(Requester requester, bool open, params string[] declared) => Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, ConsentWorld.Interaction(kind, "Observation"), ConsentWorld.Policy(declared, open))).Scope.Withheld;
            Assert.Equal((true, ProtectedService.Psychotherapy), (withheld(therapist, false).SpeciallyProtected, withheld(therapist, false).SeenServices));
            Assert.Equal(ProtectedService.Psychotherapy, withheld(therapist, true).SeenServices);
            Assert.Equal(ProtectedService.Psychotherapy | ProtectedService.Psychiatry, withheld(therapist, true, "confirmed").SeenServices);
            Assert.Equal(ProtectedService.None, withheld(ConsentWorld.Requester("professional"), false).SeenServices);
            // Where others' entries are shown too, of those only what the open event is of: the permission takes none of the own ones away.
            var disclosed = withheld(therapist, true, "informed", "permit");
            Assert.Equal((ProtectedService.None, ProtectedService.Psychotherapy), (disclosed.SeenServices, disclosed.SeenServicesOfOwn));
            Assert.Equal(ProtectedService.None, withheld(ConsentWorld.Requester("professional"), true, "informed", "permit").SeenServicesOfOwn);
        }
    }

    /// <summary>§59: a denial blocks other controllers and other registers, never the register that it was written in.</summary>
    [Theory]
    [InlineData("deny-all")]
    [InlineData("deny-event:" + ConsentWorld.OwnEvent)]
    [InlineData("deny-register:" + ConsentModel.Revontuli)]
    [InlineData("deny-prescription:4f6c0b3e-1111-4000-8000-000000000001")]
    public void No_denial_reaches_the_own_register(string denial)
    {
        var own = new ModelEntry("MedicationRequest", ConsentModel.Revontuli, Register.Patient, ConsentWorld.OwnEvent, "4f6c0b3e-1111-4000-8000-000000000001", ProtectedService.None, null, 0, null);
        var person = new ModelPerson([.. new[] { "informed", "permit", "emergency", denial }.Select(ConsentWorld.Declared)],
            [new ServiceEvent(ConsentWorld.OwnEvent, ConsentModel.Revontuli, "in-progress", ConsentWorld.Now.AddDays(-1), null)], PersonFacts.Unknown);
        foreach (var purpose in new[] { "TREAT", "ETREAT" })
        {
            var asker = ConsentModel.Asker("professional", who: "revontuli-laakari", purpose: purpose);
            Assert.True(ConsentModel.Sees(asker, person, own));
            // The same entry in any other register is hidden by it.
            Assert.Equal(denial.StartsWith("deny-register", StringComparison.Ordinal), ConsentModel.Sees(asker, person, own with { Controller = ConsentModel.Aurora }));
        }
    }

    [Fact]
    public void Nobody_but_the_person_sees_declarations()
    {
        foreach (var breadth in Enum.GetValues<Breadth>().Except([Breadth.WholePerson, Breadth.Directory]))
            Assert.False(new DisclosureScope { Breadth = breadth, Controller = "1.2" }.Admits("Consent", "1.2", Register.Patient, Hidden.None));
    }
}
