using System.Net;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Breach;

/// <summary>What is unusual of an access is seen and explained; an ordinary fortnight has nothing of it.</summary>
public sealed class SignsTests : IAsyncLifetime
{
    private static readonly IPAddress Ward = IPAddress.Parse("192.0.2.10");

    private BreadthWorld _world = null!;
    private Signs _signs = null!;
    private WatchedPeople _people = null!;
    private Requester _requester = null!;

    public Task InitializeAsync()
    {
        _world = new();
        _people = _world.People();
        _signs = _world.Signs(_people);
        _requester = _world.Professional("90001");
        return Task.CompletedTask;
    }

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task An_ordinary_fortnight_has_none_and_then_each_is_seen()
    {
        await _people.AddAsync(WatchedAs.Vip, BreadthWorld.Person(1_001), null, CancellationToken.None);
        await _people.AddAsync(WatchedAs.Colleague, BreadthWorld.Person(1_002), _requester.Organisation.ToString(), CancellationToken.None);
        await _people.AddAsync(WatchedAs.Colleague, BreadthWorld.Person(1_003), "1.2.246.10.99000011", CancellationToken.None);
        OrdinaryFortnight();
        Assert.Empty(_signs.Of());

        Assert.Equal([], Seen(() => _signs.Look(_requester, Ward, BreadthWorld.Person(1_003), null, true)));
        Assert.Equal([Sign.Vip], Seen(() => _signs.Look(_requester, Ward, BreadthWorld.Person(1_001), null, false)));
        Assert.Equal([Sign.Colleague], Seen(() => _signs.Look(_requester, Ward, BreadthWorld.Person(1_002), null, false)));
        Assert.Equal([Sign.NewAddress], Seen(() => _signs.Look(_requester, IPAddress.Parse("198.51.100.7"), BreadthWorld.Person(1_004), null, true)));
        Assert.Equal([Sign.UnusualPurpose], Seen(() => _signs.Look(_requester with { PurposeOfUse = "ETREAT" }, Ward, BreadthWorld.Person(1_004), null, true)));
        // Treated last week, and not any more.
        Assert.Equal([Sign.AfterVisit], Seen(() => _signs.Look(_requester, Ward, BreadthWorld.Person(5), null, false)));
        _world.Clock.Advance(TimeSpan.FromHours(18));
        Assert.Equal([Sign.NewHours], Seen(() => _signs.Look(_requester, Ward, BreadthWorld.Person(1_004), null, true)));
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(-1, true)]
    [InlineData(0, false)]
    public void People_in_the_order_of_their_codes_are_a_sequence(int step, bool isOne)
    {
        for (var i = 0; i < 8; i++)
        {
            // Up, down, or as people come.
            var day = step == 0 ? new[] { 4, 19, 2, 27, 11, 8, 23, 15 }[i] : 15 + step * i;
            var text = $"{day:00}0370-95{i}{PersonalIdentityCode.CheckCharacterOf($"{day:00}0370", $"95{i}")}";
            Assert.True(PersonalIdentityCode.TryParse(text, out var code));
            _signs.Look(_requester, Ward, BreadthWorld.Person(i), new(code, null), true);
        }
        Assert.Equal(isOne ? [Sign.Sequential] : [], Signs());
    }

    [Fact]
    public void People_in_the_order_of_their_names_are_a_sequence()
    {
        foreach (var (name, i) in new[] { "Aalto", "Ahonen", "Aro", "Eskola", "Heino", "Hietala", "Jokela", "Kallio" }.Select(static (name, i) => (name, i)))
            _signs.Look(_requester, Ward, BreadthWorld.Person(i), new(null, name), true);
        Assert.Equal([Sign.Sequential], Signs());
    }

    [Fact]
    public void A_score_is_of_one_day_and_each_sign_has_a_sentence()
    {
        foreach (var sign in Enum.GetValues<Sign>())
        {
            Assert.EndsWith(".", KantaGateway.Gateway.Breach.Signs.Explain(sign), StringComparison.Ordinal);
            Assert.InRange(KantaGateway.Gateway.Breach.Signs.WeightOf(sign, false), 1, 5);
        }
        OrdinaryFortnight();
        _signs.Look(_requester, Ward, BreadthWorld.Person(5), null, false);
        _signs.Look(_requester, Ward, BreadthWorld.Person(6), null, false);
        Assert.Equal(2, Assert.Single(_signs.Of()).Score);
        _world.Clock.Advance(TimeSpan.FromHours(25));
        Assert.Empty(_signs.Of());
        Assert.Equal("Sought(***)", new Sought(null, "Virtanen").ToString());
    }

    /// <summary>Ten working days from eight to four, own patients and now and then one without a visit.</summary>
    private void OrdinaryFortnight()
    {
        var person = 0;
        for (var day = 0; day < 14; day++, _world.Clock.Advance(TimeSpan.FromHours(24 - 8)))
            for (var hour = 0; hour < 8; hour++, _world.Clock.Advance(TimeSpan.FromHours(1)))
                if (day % 7 < 5)
                    for (var i = 0; i < 4; i++)
                        _signs.Look(_requester, Ward, BreadthWorld.Person(person++), null, person % 10 != 0);
    }

    private IEnumerable<Sign> Signs() => _signs.Of().SelectMany(static one => one.Signs).Select(static one => one.Sign);

    /// <summary>What has come by it.</summary>
    private IReadOnlyList<Sign> Seen(Action look)
    {
        var before = Signs().ToHashSet();
        look();
        return [.. Signs().Except(before)];
    }
}
