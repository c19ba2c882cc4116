using System.Net;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification.Mandates;
using KantaGateway.Simulators;

namespace KantaGateway.Tests.Identification.Mandates;

/// <summary>Citizens act for whom e-Authorizations lets them, and for nobody on anything less than its word.</summary>
/// <remarks>In a world of its own, whose clock goes forward only.</remarks>
public sealed class RepresentationsTests(IdentificationWorld world) : IClassFixture<IdentificationWorld>, IDisposable
{
    private const int Adult = 0, AnotherAdult = 3;
    private const int Child = 0, ChildWithNonDisclosureOrder = 1, MandateGiver = 2;

    private readonly CookieContainer _cookies = new();

    public void Dispose()
    {
        world.Authorizations.Misbehaves = default;
        world.Authorizations.Ahead = default;
        world.Authorizations.Renews = true;
        world.Refusals.IsAway = false;
    }

    [Theory]
    [InlineData(Child, "150315A902", "Onni Koe", RepresentationKind.Custodian)]
    [InlineData(MandateGiver, "300341-904", "Toivo Vanhus", RepresentationKind.Mandate)]
    public async Task A_citizen_acts_for_her_child_and_for_who_gave_her_a_mandate(int person, string code, string name, RepresentationKind kind)
    {
        await SignInAsync();
        Assert.Equal("/?acting=begun", await world.ActForAsync(_cookies, person));

        var whose = await world.WhoseAsync(_cookies);
        Assert.Equal(("for", kind.ToString(), name), (whose.GetProperty("standing").GetString(), whose.GetProperty("kind").GetString(), whose.GetProperty("name").GetString()));
        Assert.Equal(PseudonymOf(IdentificationWorld.CodeOf(code)).Encode(), whose.GetProperty("compartment").GetString());
        Assert.Equal((PseudonymOf(IdentificationWorld.TestCode), PseudonymOf(IdentificationWorld.CodeOf(code)), kind, null), world.Refusals.Represented[^1]);
    }

    /// <summary>suomi.fi: a child's non-disclosure order keeps custodians from acting automatically; the service says DISALLOWED and no more.</summary>
    [Fact]
    public async Task A_non_disclosure_order_keeps_the_custodian_out()
    {
        await SignInAsync();
        Assert.Equal("/on-behalf?acting=refused", await world.ActForAsync(_cookies, ChildWithNonDisclosureOrder));
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
        var (who, person, kind, refusal) = world.Refusals.Represented[^1];
        Assert.Equal((PseudonymOf(IdentificationWorld.TestCode), PseudonymOf(IdentificationWorld.CodeOf("160316A903")), (RepresentationKind?)null), (who, person, kind));
        Assert.NotNull(refusal);
    }

    /// <summary>As at the sign-in: who has a code of the register is nobody in a test service.</summary>
    [Fact]
    public async Task Nobody_comes_to_act_for_a_person_whose_code_is_outside_the_test_series()
    {
        var relations = world.Authorizations.Relations;
        world.Authorizations.Relations = [new(IdentificationWorld.TestCode, "131052-308T", IsCustodian: false), .. relations];
        try
        {
            await SignInAsync();
            Assert.Equal("/on-behalf?acting=refused", await world.ActForAsync(_cookies, 0));
            Assert.Equal("oneself", await world.StandingAsync(_cookies));
            Assert.Contains("of a kind that is not accepted here", world.Refusals.All[^1].Reason);
        }
        finally
        {
            world.Authorizations.Relations = relations;
        }
    }

    public static TheoryData<AuthorizationsStep, AuthorizationsFault> EveryMisbehaviour
    {
        get
        {
            var all = new TheoryData<AuthorizationsStep, AuthorizationsFault>();
            foreach (var step in Enum.GetValues<AuthorizationsStep>())
                foreach (var fault in Enum.GetValues<AuthorizationsFault>().Where(fault => fault != AuthorizationsFault.None))
                    // What a step cannot get wrong in that way is left out.
                    if (fault switch
                    {
                        AuthorizationsFault.AnotherPerson => false, // nobody knows better at the first question; see below
                        AuthorizationsFault.Oneself or AuthorizationsFault.Two or AuthorizationsFault.Nobody => step == AuthorizationsStep.Delegate,
                        AuthorizationsFault.Disallowed => step is AuthorizationsStep.List or AuthorizationsStep.Authorization,
                        AuthorizationsFault.Unknown => step is AuthorizationsStep.List or AuthorizationsStep.Authorization or AuthorizationsStep.Delegate,
                        AuthorizationsFault.AnotherKey => step != AuthorizationsStep.Token,
                        AuthorizationsFault.Expired => step != AuthorizationsStep.Register,
                        _ => true,
                    })
                        all.Add(step, fault);
            return all;
        }
    }

    [Theory, MemberData(nameof(EveryMisbehaviour))]
    public async Task Nobody_comes_to_act_for_another_by_a_service_that_misbehaves(AuthorizationsStep step, AuthorizationsFault fault)
    {
        await SignInAsync();
        var before = world.Refusals.Represented.Count(represented => represented.Kind is not null);
        var seen = world.Refusals.All.Count + world.Refusals.Represented.Count;
        world.Authorizations.Misbehaves = (step, fault);
        var end = await world.ActForAsync(_cookies, Child);
        Assert.Contains(end, new[] { "/on-behalf?acting=refused", "/on-behalf?acting=expired", "/on-behalf?acting=unavailable" });
        world.Authorizations.Misbehaves = default;
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
        Assert.Equal(before, world.Refusals.Represented.Count(represented => represented.Kind is not null));
        // Whatever it was, it is recorded.
        Assert.True(world.Refusals.All.Count + world.Refusals.Represented.Count > seen);
    }

    [Theory, MemberData(nameof(EveryMisbehaviour))]
    public async Task Nobody_goes_on_acting_for_another_by_a_service_that_misbehaves(AuthorizationsStep step, AuthorizationsFault fault)
    {
        // Asked once, at the beginning.
        if (step == AuthorizationsStep.Register)
            return;
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        // Longer than a token lives, so that every step is asked.
        world.Clock.Ahead += TimeSpan.FromMinutes(11);
        world.Authorizations.Misbehaves = (step, fault);
        var standing = await world.StandingAsync(_cookies);
        Assert.Contains(standing, new[] { "unknown", "refused", "expired" });
        // What is only not known is known again; what has ended has ended.
        world.Authorizations.Misbehaves = default;
        if (standing != "unknown")
            Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task Who_is_named_as_somebody_else_later_is_not_acted_for()
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        world.Clock.Ahead += Representations.Bound;
        world.Authorizations.Misbehaves = (AuthorizationsStep.Delegate, AuthorizationsFault.AnotherPerson);
        Assert.Equal("refused", await world.StandingAsync(_cookies));
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task A_service_that_was_silent_is_asked_again()
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        world.Clock.Ahead += Representations.Bound;
        world.Authorizations.Misbehaves = (AuthorizationsStep.Authorization, AuthorizationsFault.Error);
        Assert.Equal("unknown", await world.StandingAsync(_cookies));
        Assert.Equal("unknown", await world.StandingAsync(_cookies));
        Assert.Contains(world.Refusals.All, seen => seen is { Client: "portal", Reason: "e-Authorizations gave no answer that can be used." });
        world.Authorizations.Misbehaves = default;
        Assert.Equal("for", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task The_answer_is_relied_on_for_five_minutes_and_then_asked_anew()
    {
        Assert.Equal(TimeSpan.FromMinutes(5), Representations.Bound);
        await SignInAsync();
        await world.ActForAsync(_cookies, MandateGiver);
        var relations = world.Authorizations.Relations;
        var asked = world.Authorizations.Asked.Values.Sum();
        world.Authorizations.Relations = [.. relations.Where(r => r.IsCustodian)];
        try
        {
            world.Clock.Ahead += Representations.Bound - TimeSpan.FromSeconds(10);
            Assert.Equal("for", await world.StandingAsync(_cookies));
            Assert.Equal(asked, world.Authorizations.Asked.Values.Sum());
            world.Clock.Ahead += TimeSpan.FromSeconds(10);
            Assert.Equal("refused", await world.StandingAsync(_cookies));
            Assert.NotEqual(asked, world.Authorizations.Asked.Values.Sum());
            Assert.Equal((null, true), (world.Refusals.Represented[^1].Kind, world.Refusals.Represented[^1].Refusal is not null));
        }
        finally
        {
            world.Authorizations.Relations = relations;
        }
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    /// <summary>A mandate that takes the place of custody is another right, and the other way round.</summary>
    [Fact]
    public async Task Another_right_than_at_the_choice_has_to_be_chosen_anew()
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        var relations = world.Authorizations.Relations;
        world.Authorizations.Relations = [.. relations.Select(r => r with { IsCustodian = false })];
        try
        {
            world.Clock.Ahead += Representations.Bound;
            Assert.Equal("refused", await world.StandingAsync(_cookies));
        }
        finally
        {
            world.Authorizations.Relations = relations;
        }
    }

    [Theory]
    [InlineData(true, "for")]
    [InlineData(false, "expired")]
    public async Task A_token_that_has_ended_is_renewed_where_that_is_offered(bool renews, string standing)
    {
        world.Authorizations.Renews = renews;
        await SignInAsync();
        Assert.Equal("/?acting=begun", await world.ActForAsync(_cookies, Child));
        world.Clock.Ahead += TimeSpan.FromSeconds(600);
        Assert.Equal(standing, await world.StandingAsync(_cookies));
        if (renews)
        {
            // The new one can be renewed too.
            world.Clock.Ahead += TimeSpan.FromSeconds(600);
            Assert.Equal("for", await world.StandingAsync(_cookies));
        }
    }

    [Theory]
    [InlineData(-285, true)]
    [InlineData(285, true)]
    [InlineData(-315, false)]
    [InlineData(315, false)]
    public async Task The_clocks_may_differ_by_five_minutes(int seconds, bool isTaken)
    {
        await SignInAsync();
        world.Authorizations.Ahead = TimeSpan.FromSeconds(seconds);
        Assert.Equal(isTaken ? "/?acting=begun" : "/on-behalf?acting=unavailable", await world.ActForAsync(_cookies, Child));
    }

    [Fact]
    public async Task Going_back_to_oneself_ends_it()
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        using var http = world.Connect(cookies: _cookies);
        using var back = await http.PostAsync("/on-behalf/self", null);
        Assert.Equal("/?acting=over", back.Headers.Location!.OriginalString);
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Theory]
    [InlineData("/signout")]
    [InlineData("/signout/everywhere")]
    public async Task It_ends_with_the_session(string signOut)
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        using var http = world.Connect(cookies: _cookies);
        using var left = await http.PostAsync(signOut, null);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync("/whose")).StatusCode);
        await SignInAsync();
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task A_session_that_begins_in_the_same_browser_is_for_who_signs_in()
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        await world.SignInAsync(_cookies, AnotherAdult);
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task What_was_chosen_comes_back_once_to_the_session_that_set_out()
    {
        await SignInAsync();
        var callback = await world.ChooseAsync(await world.BeginChoiceAsync(_cookies), Child);
        var stranger = new CookieContainer();
        await world.SignInAsync(stranger, AnotherAdult);
        Assert.Equal("/on-behalf?acting=expired", await world.ComeBackAsync(stranger, callback));
        Assert.Equal("oneself", await world.StandingAsync(stranger));
        Assert.Equal("/?acting=sign-in-first", await world.ComeBackAsync(new CookieContainer(), callback));

        var forged = new UriBuilder(callback) { Query = callback.Query.Replace("state=", "state=x", StringComparison.Ordinal) }.Uri;
        Assert.Equal("/on-behalf?acting=expired", await world.ComeBackAsync(_cookies, forged));
        Assert.Equal("/on-behalf?acting=expired", await world.ComeBackAsync(_cookies, new Uri(callback.GetLeftPart(UriPartial.Path))));
        Assert.Equal("/?acting=begun", await world.ComeBackAsync(_cookies, callback));
        Assert.Equal("/on-behalf?acting=expired", await world.ComeBackAsync(_cookies, callback));
        Assert.Equal("for", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task Who_cancels_acts_for_nobody()
    {
        await SignInAsync();
        Assert.Equal("/on-behalf?acting=cancelled", await world.ActForAsync(_cookies, null));
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Fact]
    public async Task Nobody_acts_for_another_unrecorded()
    {
        await SignInAsync();
        var callback = await world.ChooseAsync(await world.BeginChoiceAsync(_cookies), Child);
        world.Refusals.IsAway = true;
        Assert.Equal("/on-behalf?acting=unavailable", await world.ComeBackAsync(_cookies, callback));
        world.Refusals.IsAway = false;
        Assert.Equal("oneself", await world.StandingAsync(_cookies));
    }

    [Theory]
    [InlineData("/on-behalf/choose")]
    [InlineData("/on-behalf/self")]
    public async Task Another_site_cannot_turn_a_session_to_anybody(string path)
    {
        await SignInAsync();
        await world.ActForAsync(_cookies, Child);
        using var http = world.Connect(cookies: _cookies);
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Headers = { { "Sec-Fetch-Site", "cross-site" } } };
        Assert.Equal(HttpStatusCode.Forbidden, (await http.SendAsync(request)).StatusCode);
        Assert.Equal("for", await world.StandingAsync(_cookies));
    }

    [Theory]
    [InlineData("/on-behalf/choose")]
    [InlineData("/on-behalf/self")]
    public async Task Who_is_not_signed_in_is_sent_to_sign_in(string path)
    {
        using var http = world.Connect();
        using var response = await http.PostAsync(path, null);
        Assert.Equal((HttpStatusCode.SeeOther, "/?acting=sign-in-first"), (response.StatusCode, response.Headers.Location!.OriginalString));
    }

    private Task<Uri> SignInAsync() => world.SignInAsync(_cookies, Adult);

    private static Pseudonym PseudonymOf(string code) => Pseudonym.Read(SHA256.HashData(Encoding.ASCII.GetBytes(code)));
}
