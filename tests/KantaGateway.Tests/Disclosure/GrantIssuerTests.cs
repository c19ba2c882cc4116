using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Tests.Consent;
using KantaGateway.Tests.Faults;

namespace KantaGateway.Tests.Disclosure;

/// <summary>A grant is kept for those requests, and only those, for which a new one would say the same.</summary>
public sealed class GrantIssuerTests : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly GrantIssuer _issuer;

    public GrantIssuerTests() => _issuer = new(new GrantSigner(_key, TimeProvider.System), TimeProvider.System);

    public void Dispose() => _key.Dispose();

    private ValueTask<string> GrantAsync(DisclosureScope scope) => _issuer.ForAsync(ConsentWorld.Requester("professional"), ConsentWorld.Person, GrantUse.Read, scope, 7);

    private static DisclosureScope Scope(string[]? types, params string[] denied) =>
        new() { Breadth = Breadth.Disclosed, Controller = "1.2.246.10.1", Types = types, Withheld = new() { ServiceEvents = denied } };

    [Fact]
    public async Task Equal_scopes_made_at_different_times_share_a_grant()
    {
        Assert.Equal(await GrantAsync(Scope(["Observation", "Patient"], "1.2.3")), await GrantAsync(Scope(["Observation", "Patient"], "1.2.3")));
        Assert.Equal(await GrantAsync(Scope(null)), await GrantAsync(Scope(null)));
    }

    [Fact]
    public async Task A_grant_is_kept_for_half_its_life_and_not_when_the_clock_was_set()
    {
        var time = new SetClock();
        var issuer = new GrantIssuer(new GrantSigner(_key, time), time);
        ValueTask<string> Asked() => issuer.ForAsync(ConsentWorld.Requester("professional"), ConsentWorld.Person, GrantUse.Read, Scope(null), 7);
        var first = await Asked();
        time.Pass(KantaGateway.Fhir.Grants.Grant.MaxLifetime / 2 - TimeSpan.FromSeconds(1));
        Assert.Equal(first, await Asked());
        time.Pass(TimeSpan.FromSeconds(1));
        var second = await Asked();
        Assert.NotEqual(first, second);
        // Set back, it is of a time to come; set right again, it was signed by a clock that was not.
        time.Set = TimeSpan.FromHours(-1);
        var third = await Asked();
        time.Set = default;
        Assert.Equal(3, new[] { second, third, await Asked() }.Distinct().Count());
    }

    [Fact]
    public async Task A_grant_to_write_names_the_host_that_writes_for_a_tenant()
    {
        var verifier = new GrantVerifier([_key], TimeProvider.System);
        var requester = ConsentWorld.Requester("professional");
        var hosted = requester with { Subscriber = new(KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000044"), "Psykoterapeutti Saari") };
        Assert.Equal("1.2.246.10.99000044", await WriterAsync(hosted, GrantUse.Write));
        Assert.Null(await WriterAsync(hosted, GrantUse.Read));
        Assert.Null(await WriterAsync(requester with { TokenId = "another" }, GrantUse.Write));

        async Task<string?> WriterAsync(Requester of, GrantUse use) => (await verifier.VerifyAsync(await _issuer.ForAsync(of, ConsentWorld.Person, use, Scope(null), null))).Grant!.Writer;
    }

    [Fact]
    public async Task Another_type_or_denial_makes_another_grant()
    {
        DisclosureScope Filtered(string query, bool reads) => Scope(null) with { Filters = [new("Observation", [query], reads)] };
        DisclosureScope[] scopes = [Filtered("status=final", true), Filtered("status=final", false), Filtered("status=amended", true), Scope(null), Scope([]), Scope(["Observation"]), Scope(["Patient"]), Scope(["Observation", "Patient"]), Scope(null, "1.2.3")];
        Assert.Equal(scopes.Length, (await Task.WhenAll(scopes.Select(async scope => await GrantAsync(scope)))).Distinct().Count());
    }

    [Fact]
    public async Task Who_asks_while_a_signature_is_made_is_signed_for_together_by_the_next_one()
    {
        using var clock = new HeldClock();
        var issuer = new GrantIssuer(new GrantSigner(_key, clock), TimeProvider.System);
        Task<string> Asked(string caller) => issuer.ForAsync(ConsentWorld.Requester("professional") with { TokenId = caller }, ConsentWorld.Person, GrantUse.Read, Scope(null), 7).AsTask();
        // The first is in the middle of being signed.
        var first = Task.Run(() => Asked("first"));
        await clock.Reached;
        Task<string>[] others = [.. Enumerable.Range(0, 300).Select(i => Asked($"{i}"))];
        Assert.DoesNotContain(others, static one => one.IsCompleted);
        clock.Release();

        string[] signed = [await first, .. await Task.WhenAll(others)];
        Assert.Equal([1, 44, 256], signed.GroupBy(static grant => grant.Split('~')[0]).Select(static together => together.Count()).Order());
        var verifier = new GrantVerifier([_key], TimeProvider.System);
        var ids = new HashSet<string>();
        foreach (var one in signed)
            Assert.True(ids.Add((await verifier.VerifyAsync(one)).Grant!.Id));
        // Alone again, nobody waits.
        Assert.True(Asked("last").IsCompletedSuccessfully);
    }

    [Fact]
    public async Task Where_nothing_can_be_signed_everybody_who_waits_is_told_and_the_next_one_is_signed_for()
    {
        using var clock = new HeldClock();
        var issuer = new GrantIssuer(new GrantSigner(_key, clock), TimeProvider.System);
        Task<string> Asked(string caller) => issuer.ForAsync(ConsentWorld.Requester("professional") with { TokenId = caller }, ConsentWorld.Person, GrantUse.Read, Scope(null), 7).AsTask();
        var first = Task.Run(() => Asked("first"));
        await clock.Reached;
        Task<string>[] others = [.. Enumerable.Range(0, 3).Select(i => Asked($"{i}"))];
        // An hour behind the clock that the grants were made by, they would live too long.
        clock.Set = TimeSpan.FromHours(-1);
        clock.Release();
        foreach (var one in others.Prepend(first))
            await Assert.ThrowsAsync<ArgumentException>(() => one);
        clock.Set = default;
        Assert.NotEmpty(await Asked("next"));
    }

    /// <summary>Stops whoever looks at it for the first time, until it is released.</summary>
    private sealed class HeldClock : TimeProvider, IDisposable
    {
        private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim _released = new();

        public Task Reached => _reached.Task;

        public TimeSpan Set { get; set; }

        public void Release() => _released.Set();

        public override DateTimeOffset GetUtcNow()
        {
            if (_reached.TrySetResult())
                _released.Wait();
            return base.GetUtcNow() + Set;
        }

        public void Dispose() => _released.Dispose();
    }
}
