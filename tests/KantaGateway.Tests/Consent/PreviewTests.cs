using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using CsCheck;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Professionals;
using KantaGateway.Tests.Repository;
using static KantaGateway.Tests.Consent.ConsentModel;

namespace KantaGateway.Tests.Consent;

/// <summary>What the preview counts is what would be shown: the repository's counting under many policies, beside what its searches give. That the decisions are those of
/// real requests, <see cref="ConsentProperties.The_preview_is_what_is_enforced"/> says.</summary>
public sealed class PreviewTests : IAsyncLifetime
{
    private const int Policies = 140;

    private static readonly DisclosureScope Whole = new() { Breadth = Breadth.WholePerson };

    /// <summary>A permission narrowed by a visit and a register.</summary>
    private static readonly PolicySnapshot Narrowed = PolicySnapshot.Compile(1,
    [
        ConsentWorld.Declared("informed"), ConsentWorld.Declared("permit"), ConsentWorld.Declared($"deny-event:{Aurora}.14.2026.1"), ConsentWorld.Declared("deny-register:" + Hospital),
    ], []);

    private static readonly string[] Types = ["Observation", "Encounter"];

    private readonly Dictionary<string, (string Controller, string? Event)> _entries = [];
    private Pseudonym _person;
    private RepositoryWorld _world = null!;

    public async Task InitializeAsync()
    {
        _world = await RepositoryWorld.StartAsync();
        _person = await _world.NewPersonAsync();
        foreach (var controller in (string[])[Aurora, Revontuli, Hospital])
        {
            var caller = _world.As(_person, controller);
            (await caller.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
            for (var number = 0; number <= 2; number++)
            {
                string? oid = number == 0 ? null : $"{controller}.14.2026.{number}", encounter = null;
                if (oid is not null)
                {
                    var visit = Some.Encounter(caller.PatientId, oid);
                    if (number == 2)
                        visit["meta"] = JsonNode.Parse("""{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}""");
                    _entries["Encounter/" + (encounter = await caller.StoreAsync(visit))] = (controller, oid);
                }
                for (var i = 0; i < 10; i++)
                    _entries["Observation/" + await caller.StoreAsync(Some.Observation(caller.PatientId, encounterId: encounter))] = (controller, oid);
            }
        }
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task The_preview_counts_exactly_what_a_search_would_show()
    {
        var reader = _world.As(_person, Aurora);
        foreach (var (person, denial) in Gen.Select(People, Denials).Array[Policies].Single(_ => true, "0000KaNtA123"))
        {
            var policy = person.Policy;
            DisclosureScope[] scopes =
            [
                .. Enum.GetValues<Viewer>().Select(v => Preview.Of(v, policy, Now).Scope),
                .. Enum.GetValues<Viewer>().Select(v => Preview.Of(v, policy.With(denial), Now).Scope),
            ];
            var reply = (await _world.SendAsync(reader.Grant with { Use = GrantUse.Policy }, null, "POST", "/preview", JsonSerializer.Serialize(new PreviewQuestion { Within = Whole, Scopes = scopes }), "application/json")).Is(HttpStatusCode.OK);
            var previewed = JsonSerializer.Deserialize<PreviewedEntries[]>(reply.Text, JsonSerializerOptions.Web)!;
            Assert.Equal(_entries.Count, previewed.Where(p => Types.Contains(p.Type)).Sum(p => p.Count));
            for (var i = 0; i < scopes.Length; i++)
                foreach (var type in Types)
                {
                    var shown = (await reader.With(_ => scopes[i]).SearchAsync(type, "_count=1000")).Is(HttpStatusCode.OK).Ids.Select(id => _entries[$"{type}/{id}"]).ToLookup(e => e);
                    foreach (var group in _entries.Where(e => e.Key.StartsWith(type, StringComparison.Ordinal)).GroupBy(e => e.Value))
                    {
                        var line = previewed.Single(p => p.Type == type && p.Controller == group.Key.Controller && p.ServiceEvent == group.Key.Event);
                        Assert.Equal((shown[group.Key].Count(), group.Count()), (line.Seen[i], line.Count));
                    }
                }
        }
    }

    /// <summary>What is hidden from a custodian is hidden from the custodian's question too; likewise what an app may not read.</summary>
    [Fact]
    public async Task What_the_asker_does_not_see_is_not_counted()
    {
        var aurora = Whole with { Breadth = Breadth.OwnRegister, Controller = Aurora };
        var custodian = Whole with { Withheld = new() { FromCustodians = true } };
        var app = Whole with { Types = ["Encounter"] };
        foreach (var (within, expected) in new[] { (aurora, _entries.Values.Count(e => e.Controller == Aurora)), (custodian, 0), (app, _entries.Keys.Count(k => k.StartsWith("Encounter", StringComparison.Ordinal))) })
        {
            var counted = (await AskAsync(new() { Within = within, Scopes = [Whole] })).Where(p => Types.Contains(p.Type)).ToList();
            Assert.Equal((expected, expected), (counted.Sum(p => p.Count), counted.Sum(p => p.Seen[0])));
        }
    }

    /// <summary>The parts of a scope explain it: whether an entry is seen is what a search shows, and each reason is one that the policy gives.</summary>
    [Fact]
    public async Task An_explanation_says_of_an_entry_what_a_search_would_show()
    {
        var reader = _world.As(_person, Revontuli);
        var (seen, hidden) = (0, new HashSet<Why>());
        foreach (var person in Gen.Select(People, Denials).Array[40].Single(_ => true, "0000KaNtA456").Select(p => p.Item1.Policy.With(p.Item2)).Append(Narrowed))
            foreach (var onlooker in (Onlooker[])
                [
                    Onlooker.Of(Viewer.Treating, []), Onlooker.Of(Viewer.InEmergency, []), new(Oid.Parse(Aurora), ControllerKind.Private, TaskClass.BroadCare, false, false),
                    new(Oid.Parse(Hospital), ControllerKind.Public, TaskClass.Support, false, true),
                ])
            {
                var permit = Assert.IsType<Decision.Permit>(Preview.Of(onlooker, person, Now));
                var shownBySearch = (await reader.With(_ => permit.Scope).SearchAsync("Observation", "_count=1000")).Is(HttpStatusCode.OK).Ids.ToHashSet();
                foreach (var (entry, (controller, serviceEvent)) in _entries.Where(e => e.Key.StartsWith("Observation", StringComparison.Ordinal)).Where((_, i) => i % 10 == 0))
                {
                    var id = entry.Split('/')[1];
                    var found = Assert.Single(await AskAsync(new() { Within = Whole, Scopes = EntryExplanation.PartsOf(permit.Scope), Only = new("Observation", id) }));
                    Assert.Equal((1, controller, serviceEvent), (found.Count, found.Controller, found.ServiceEvent));
                    var because = EntryExplanation.Of(permit, new("Observation", id, controller, Register.Patient, serviceEvent), [.. found.Seen.Select(count => count > 0)], person, onlooker.IsEmergency, Now);
                    Assert.NotEmpty(because);
                    var isSeen = because.All(b => b.Why is Why.OwnRegister or Why.Permission or Why.Emergency);
                    Assert.Equal(shownBySearch.Contains(id), isSeen);
                    if (isSeen)
                        seen++;
                    else
                        hidden.UnionWith(because.Select(b => b.Why));
                    Assert.Equal(because.Any(b => b.Why == Why.OwnRegister), isSeen && controller == onlooker.Organisation?.ToString());
                }
            }
        Assert.True(seen > 0);
        Assert.Superset(new HashSet<Why> { Why.NotInformed, Why.NoPermission, Why.DenialOfAll, Why.NoCareRelationship, Why.Task, Why.SpeciallyProtected, Why.DenialOfServiceEvent, Why.DenialOfRegister }, hidden);
    }

    [Fact]
    public async Task Of_one_entry_of_another_person_or_type_nothing_is_counted()
    {
        var id = _entries.Keys.First(k => k.StartsWith("Observation", StringComparison.Ordinal)).Split('/')[1];
        var stranger = _world.As(await _world.NewPersonAsync(), Aurora);
        (await stranger.CreateAsync(Some.Patient())).Is(HttpStatusCode.Created);
        var theirs = await stranger.StoreAsync(Some.Observation(stranger.PatientId));
        Assert.Single(await AskAsync(new() { Within = Whole, Scopes = [Whole], Only = new("Observation", id) }));
        foreach (var only in (PreviewedEntry[])[new("Encounter", id), new("Observation", theirs), new("Observation", "no-id"), new("Observation", Guid.NewGuid().ToString())])
            Assert.Empty(await AskAsync(new() { Within = Whole, Scopes = [Whole], Only = only }));
    }

    private async Task<PreviewedEntries[]> AskAsync(PreviewQuestion question) => JsonSerializer.Deserialize<PreviewedEntries[]>(
        (await _world.SendAsync(_world.As(_person, Aurora).Grant with { Use = GrantUse.Policy }, null, "POST", "/preview", JsonSerializer.Serialize(question), "application/json")).Is(HttpStatusCode.OK).Text, JsonSerializerOptions.Web)!;

    [Fact]
    public async Task A_preview_is_given_to_the_gateway_alone()
    {
        var reader = _world.As(_person, Aurora);
        foreach (var use in (GrantUse[])[GrantUse.Read, GrantUse.Write])
            (await _world.SendAsync(reader.Grant with { Use = use }, null, "POST", "/preview", JsonSerializer.Serialize(new PreviewQuestion { Within = Whole, Scopes = [Whole] }), "application/json")).Is(HttpStatusCode.Forbidden);
        foreach (var bad in (string[])["", "[]", "{}", "[1]", """{"w":{"b":3},"s":[]}""", """{"s":[{"b":1}]}""", $$"""{"w":{"b":3},"s":[{{string.Join(',', Enumerable.Repeat("""{"b":1}""", 9))}}]}"""])
            (await _world.SendAsync(reader.Grant with { Use = GrantUse.Policy }, null, "POST", "/preview", bad, "application/json")).Is(HttpStatusCode.BadRequest);
    }
}
