using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit.Tree;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using Microsoft.Extensions.Time.Testing;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Tests.Fhir.Grants;

public sealed class GrantTests : IDisposable
{
    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly ECDsa _foreignKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2030, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly GrantSigner _signer;
    private readonly GrantVerifier _verifier;

    public GrantTests() => (_signer, _verifier) = (new(_key, _time), new([_key], _time));

    public void Dispose()
    {
        _key.Dispose();
        _foreignKey.Dispose();
    }

    private Grant AGrant => new()
    {
        Id = "grant-1",
        Use = GrantUse.Read,
        Compartment = Pseudonym.Read("0123456789"u8),
        PolicyVersion = 41,
        Scope = new() { Breadth = Breadth.Disclosed, Controller = "1.2.246.10.1", Withheld = new() { ServiceEvents = ["1.2.246.10.2.14.7"] }, Types = ["Observation"] },
        Caller = "client|person",
        PurposeOfUse = "TREAT",
        Writer = "1.2.246.10.3",
        Expires = _time.GetUtcNow().AddSeconds(60),
    };

    [Fact]
    public async Task A_grant_arrives_as_it_was_signed()
    {
        var (read, reason) = await _verifier.VerifyAsync(_signer.Sign(AGrant));
        Assert.Null(reason);
        Assert.Equal(AGrant with { Scope = null! }, read! with { Scope = null! });
        Assert.Equal(AGrant.Scope.Breadth, read.Scope.Breadth);
        Assert.Equal(AGrant.Scope.Controller, read.Scope.Controller);
        Assert.Equal(AGrant.Scope.Withheld.ServiceEvents, read.Scope.Withheld.ServiceEvents);
        Assert.Equal(AGrant.Scope.Types!, read.Scope.Types!);
    }

    [Fact]
    public async Task A_grant_without_a_policy_version_has_none_at_the_other_end()
    {
        var (read, _) = await _verifier.VerifyAsync(_signer.Sign(AGrant with { PolicyVersion = null }));
        Assert.Null(read!.PolicyVersion);
    }

    [Fact]
    public async Task A_grant_is_refused_at_the_second_it_expires()
    {
        var token = _signer.Sign(AGrant);
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.NotNull((await _verifier.VerifyAsync(token)).Grant);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Null((await _verifier.VerifyAsync(token)).Grant);
    }

    [Fact]
    public void A_grant_that_would_live_longer_than_a_minute_is_not_signed() =>
        Assert.Throws<ArgumentException>(() => _signer.Sign(AGrant with { Expires = _time.GetUtcNow().AddSeconds(61) }));

    [Fact]
    public async Task A_grant_signed_to_live_longer_than_a_minute_is_refused() =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", lifetime: 61))).Grant);

    [Fact]
    public async Task The_forged_grant_of_these_tests_is_accepted_when_nothing_about_it_is_wrong() =>
        Assert.NotNull((await _verifier.VerifyAsync(Forge(_key, "ES256"))).Grant);

    [Fact]
    public async Task A_grant_from_the_future_is_refused() => Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", start: 10))).Grant);

    [Fact]
    public async Task A_grant_of_another_key_is_refused()
    {
        Assert.Null((await _verifier.VerifyAsync(new GrantSigner(_foreignKey, _time).Sign(AGrant))).Grant);
        // A foreign key under the trusted key's name.
        Assert.Null((await _verifier.VerifyAsync(Forge(_foreignKey, "ES256", keyId: GrantSigner.KeyIdOf(_key)))).Grant);
    }

    [Theory]
    [InlineData("JWT", "kanta-repository", "kanta-gateway")]
    [InlineData("kanta-service+jwt", "kanta-repository", "kanta-gateway")]
    [InlineData("kanta-erasure+jwt", "kanta-repository", "kanta-gateway")]
    [InlineData("kanta-grants+jwt", "kanta-keys", "kanta-gateway")]
    [InlineData("kanta-grants+jwt", "kanta-repository", "somebody")]
    public async Task A_token_of_another_type_audience_or_issuer_is_no_grant(string type, string audience, string issuer) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", type: type, audience: audience, issuer: issuer))).Grant);

    [Fact]
    public async Task A_grant_and_a_service_token_cannot_stand_in_for_each_other()
    {
        Assert.True(await _verifier.IsServiceTokenAsync(_signer.SignServiceToken()));
        Assert.False(await _verifier.IsServiceTokenAsync(_signer.Sign(AGrant)));
        Assert.Null((await _verifier.VerifyAsync(_signer.SignServiceToken())).Grant);
    }

    [Fact]
    public async Task A_service_token_expires_and_a_foreign_one_is_refused()
    {
        var token = _signer.SignServiceToken();
        Assert.False(await _verifier.IsServiceTokenAsync(new GrantSigner(_foreignKey, _time).SignServiceToken()));
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.False(await _verifier.IsServiceTokenAsync(token));
        Assert.False(await _verifier.IsServiceTokenAsync(null));
    }

    [Fact]
    public async Task An_unsigned_root_and_one_signed_with_the_public_key_as_a_secret_are_refused()
    {
        var (root, rest) = Split(_signer.Sign(AGrant));
        var parts = root.Split('.');
        var none = Base64UrlEncoder.Encode("""{"alg":"none","typ":"kanta-grants+jwt"}""");
        Assert.Null((await _verifier.VerifyAsync($"{none}.{parts[1]}.{rest}")).Grant);
        Assert.Null((await _verifier.VerifyAsync($"{parts[0]}.{parts[1]}.{rest}")).Grant);

        var header = Base64UrlEncoder.Encode($$"""{"alg":"HS256","typ":"kanta-grants+jwt","kid":"{{GrantSigner.KeyIdOf(_key)}}"}""");
        var mac = HMACSHA256.HashData(_key.ExportSubjectPublicKeyInfo(), Encoding.ASCII.GetBytes($"{header}.{parts[1]}"));
        Assert.Null((await _verifier.VerifyAsync($"{header}.{parts[1]}.{Base64UrlEncoder.Encode(mac)}{rest}")).Grant);
    }

    [Fact]
    public async Task A_grant_with_any_byte_of_it_changed_is_refused()
    {
        var token = _signer.Sign([AGrant, AGrant with { Id = "grant-2" }])[0];
        var (root, _) = Split(token);
        // Also when its root is known already.
        Assert.NotNull((await _verifier.VerifyAsync(token)).Grant);
        int[] ends = [.. root.Index().Where(static at => at.Item == '.').Select(static at => at.Index), root.Length, token.LastIndexOf('~'), token.Length];
        // In the header, the payload, the signature, the place and the claims; the last character of each has bits that say nothing.
        foreach (var (from, to) in ends.Prepend(-1).Zip(ends))
            for (var at = from + 1; at < to - 1; at += 7)
            {
                var changed = token[..at] + (token[at] == 'A' ? 'B' : 'A') + token[(at + 1)..];
                Assert.Null((await _verifier.VerifyAsync(changed)).Grant);
            }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("a.b.c")]
    [InlineData("nonsense")]
    [InlineData("~")]
    [InlineData("~~")]
    [InlineData("a.b.c~AA~e30")]
    public async Task No_token_and_nonsense_are_refused_with_a_reason(string? token)
    {
        var (grant, reason) = await _verifier.VerifyAsync(token);
        Assert.Null(grant);
        Assert.False(string.IsNullOrEmpty(reason));
    }

    [Theory]
    [InlineData(GrantClaim.Use)]
    [InlineData(GrantClaim.Subject)]
    [InlineData(GrantClaim.Scope)]
    [InlineData(GrantClaim.Caller)]
    [InlineData(GrantClaim.Purpose)]
    public async Task A_signed_token_without_one_of_its_claims_is_refused_and_does_not_throw(string missing) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", without: missing))).Grant);

    [Theory]
    [InlineData("use", "None")]
    [InlineData("use", "2")]
    [InlineData("use", "Everything")]
    [InlineData("scp", "{}")]
    [InlineData("scp", "\"no scope\"")]
    [InlineData("scp", "null")]
    [InlineData("sub", "010190-999W")]
    public async Task A_signed_token_with_a_claim_that_says_nothing_known_is_refused(string claim, string value) =>
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", with: (claim, value)))).Grant);

    [Fact]
    public async Task Claims_with_a_member_that_is_not_known_or_twice_there_are_refused()
    {
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", with: ("narrower", "yes")))).Grant);
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", changed: static claims => claims.Replace("{\"jti\":\"x\"", "{\"jti\":\"y\",\"jti\":\"x\"", StringComparison.Ordinal)))).Grant);
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", changed: static claims => claims.Replace("\"b\":1", "\"b\":1,\"zz\":1", StringComparison.Ordinal)))).Grant);
    }

    [Fact]
    public async Task Claims_for_somebody_else_or_that_outlive_their_root_are_refused()
    {
        Assert.Null((await _verifier.VerifyAsync(Forge(_key, "ES256", with: ("aud", "kanta-keys")))).Grant);
        Assert.Equal("lifetime", (await _verifier.VerifyAsync(Forge(_key, "ES256", lifetime: 30, with: ("exp", _time.GetUtcNow().ToUnixTimeSeconds() + 31)))).Reason);
        Assert.Equal("expired", (await _verifier.VerifyAsync(Forge(_key, "ES256", with: ("exp", _time.GetUtcNow().ToUnixTimeSeconds())))).Reason);
    }

    private static class GrantClaim
    {
        public const string Use = "use", Subject = "sub", Scope = "scp", Caller = "cal", Purpose = "pou";
    }

    private static (string Root, string Behind) Split(string token) => (token[..token.IndexOf('~', StringComparison.Ordinal)], token[token.IndexOf('~', StringComparison.Ordinal)..]);

    /// <summary>A grant alone under a root, put together by hand.</summary>
    private string Forge(ECDsa key, string algorithm, string type = "kanta-grants+jwt", string audience = "kanta-repository",
        string issuer = "kanta-gateway", int lifetime = 60, int start = 0, string? keyId = null, string? without = null, (string Claim, object Value)? with = null, Func<string, string>? changed = null)
    {
        var now = _time.GetUtcNow().AddSeconds(start);
        var said = new Dictionary<string, object>
        {
            ["jti"] = "x",
            ["aud"] = "kanta-repository",
            ["exp"] = now.AddSeconds(Math.Min(lifetime, 60)).ToUnixTimeSeconds(),
            ["sub"] = Pseudonym.Read("0123456789"u8).Encode(),
            ["use"] = "Read",
            ["scp"] = new { b = 1, c = "1.2.246.10.1" },
            ["cal"] = "c",
            ["pou"] = "TREAT",
        };
        if (without is not null)
            said.Remove(without);
        if (with is { } one)
            said[one.Claim] = one.Claim == GrantClaim.Scope ? JsonSerializer.Deserialize<JsonElement>((string)one.Value) : one.Value;
        var text = JsonSerializer.Serialize(said);
        var claims = Encoding.UTF8.GetBytes(changed?.Invoke(text) ?? text);
        return $"{Root(key, SHA256.HashData([0, .. claims]), 1, algorithm, type, audience, issuer, lifetime, start, keyId)}~{Base64UrlEncoder.Encode([0])}~{Base64UrlEncoder.Encode(claims)}";
    }

    private string Root(ECDsa key, byte[] hash, object size, string algorithm = "ES256", string type = "kanta-grants+jwt", string audience = "kanta-repository",
        string issuer = "kanta-gateway", int lifetime = 60, int start = 0, string? keyId = null)
    {
        var now = _time.GetUtcNow().UtcDateTime.AddSeconds(start);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = issuer,
            Audience = audience,
            TokenType = type,
            Claims = new Dictionary<string, object> { ["root"] = Base64UrlEncoder.Encode(hash), ["size"] = size },
            IssuedAt = now,
            NotBefore = now,
            Expires = now.AddSeconds(lifetime),
            SigningCredentials = new(new ECDsaSecurityKey(key) { KeyId = keyId ?? GrantSigner.KeyIdOf(key) }, algorithm),
        });
    }

    // :: Several under one signature

    private Grant[] Grants(int count) => [.. Enumerable.Range(0, count).Select(i => AGrant with { Id = $"grant-{i}", Expires = _time.GetUtcNow().AddSeconds(i % 30 + 31) })];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(64)]
    [InlineData(100)]
    [InlineData(256)]
    public async Task Grants_signed_together_arrive_each_as_it_was_signed_under_one_signature(int count)
    {
        var grants = Grants(count);
        var tokens = _signer.Sign(grants);
        Assert.Single(tokens.Select(static token => Split(token).Root).Distinct());
        for (var i = 0; i < count; i++)
        {
            var (read, reason) = await _verifier.VerifyAsync(tokens[i]);
            Assert.Null(reason);
            Assert.Equal((grants[i].Id, grants[i].Expires), (read!.Id, read.Expires));
        }
        // What a way adds stays far below what the listeners take of headers.
        Assert.True(tokens.Max(static token => token.Length) < 1_600);
    }

    [Fact]
    public void No_more_are_signed_together_than_a_place_can_say()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => _signer.Sign(Grants(257)));
        Assert.Throws<ArgumentOutOfRangeException>(() => _signer.Sign([]));
        Assert.Throws<ArgumentException>(() => _signer.Sign([AGrant, AGrant with { Expires = _time.GetUtcNow().AddSeconds(61) }]));
    }

    [Fact]
    public async Task No_grant_takes_the_place_the_claims_or_the_root_of_another()
    {
        var (one, other) = (_signer.Sign(Grants(5)).Select(static token => token.Split('~')).ToArray(), _signer.Sign([.. Grants(5).Select(static grant => grant with { Id = grant.Id + "b" })]).Select(static token => token.Split('~')).ToArray());
        foreach (var root in new[] { one[0][0], other[0][0] })
            foreach (var place in one.Concat(other).Select(static token => token[1]))
                foreach (var claims in one.Concat(other).Select(static token => token[2]))
                {
                    var isSigned = one.Concat(other).Any(token => token[0] == root && token[1] == place && token[2] == claims);
                    var (grant, reason) = await _verifier.VerifyAsync($"{root}~{place}~{claims}");
                    Assert.Equal((isSigned, isSigned ? null : "tree"), (grant is not null, reason));
                }
    }

    [Fact]
    public async Task A_node_is_no_grant_and_a_grant_is_no_node()
    {
        var tokens = _signer.Sign(Grants(4)).Select(static token => token.Split('~')).ToArray();
        byte[] Way(int i) => Base64UrlEncoder.DecodeBytes(tokens[i][1])[1..];
        // The two leaves under the first node, as if they were claims one floor up (a second preimage without the prefixes).
        byte[] below = [.. Way(1)[..32], .. Way(0)[..32]];
        foreach (var place in new byte[][] { [0, .. Way(0)[32..]], [1, .. Way(0)[32..]], [0, .. Way(0)], [0] })
            Assert.Equal("tree", (await _verifier.VerifyAsync($"{tokens[0][0]}~{Base64UrlEncoder.Encode(place)}~{Base64UrlEncoder.Encode(below)}")).Reason);
        // Claims that begin as a node does.
        Assert.Equal("tree", (await _verifier.VerifyAsync($"{tokens[0][0]}~{Base64UrlEncoder.Encode([0, .. Way(0)[32..]])}~{Base64UrlEncoder.Encode([1, .. below])}")).Reason);
        // The same tree signed by an attacker's rules opens nothing either: its leaf is hashed as a node.
        byte[] claims = Base64UrlEncoder.DecodeBytes(tokens[0][2]);
        Assert.Equal("tree", (await _verifier.VerifyAsync($"{Root(_key, SHA256.HashData([1, .. claims]), 1)}~AA~{tokens[0][2]}")).Reason);
        Assert.Equal("tree", (await _verifier.VerifyAsync($"{Root(_key, SHA256.HashData(claims), 1)}~AA~{tokens[0][2]}")).Reason);
        Assert.NotNull((await _verifier.VerifyAsync($"{Root(_key, SHA256.HashData([0, .. claims]), 1)}~AA~{tokens[0][2]}")).Grant);
    }

    [Fact]
    public async Task A_way_that_is_too_long_too_short_or_outside_of_the_tree_is_refused()
    {
        var tokens = _signer.Sign(Grants(3)).Select(static token => token.Split('~')).ToArray();
        var (place, last) = (Base64UrlEncoder.DecodeBytes(tokens[0][1]), Base64UrlEncoder.DecodeBytes(tokens[2][1]));
        Assert.Equal((1 + 64, 1 + 32), (place.Length, last.Length));
        byte[][] wrong = [[], [0], place[..^1], place[..^32], [.. place, .. new byte[32]], [.. place, 0], [1, .. place[1..]], [2, .. place[1..]], [3, .. place[1..]], [255, .. place[1..]], [0, .. new byte[9 * 32]], new byte[4_000]];
        foreach (var one in wrong)
            Assert.Contains((await _verifier.VerifyAsync($"{tokens[0][0]}~{Base64UrlEncoder.Encode(one)}~{tokens[0][2]}")).Reason, (string[])["tree", "form"]);
        // The last has no sibling on its floor, and is not itself that sibling.
        foreach (var one in new byte[][] { [3, .. last[1..]], [2, .. last[1..], .. last[1..]], [2, .. new byte[32], .. last[1..]], [0, .. last[1..]] })
            Assert.Equal("tree", (await _verifier.VerifyAsync($"{tokens[0][0]}~{Base64UrlEncoder.Encode(one)}~{tokens[2][2]}")).Reason);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(257)]
    [InlineData(long.MaxValue)]
    [InlineData("two")]
    public async Task A_root_that_says_no_size_of_a_tree_is_refused(object size)
    {
        var claims = _signer.Sign(AGrant).Split('~')[2];
        var hash = SHA256.HashData([0, .. Base64UrlEncoder.DecodeBytes(claims)]);
        Assert.NotNull((await _verifier.VerifyAsync($"{Root(_key, hash, 1)}~AA~{claims}")).Grant);
        Assert.NotNull((await _verifier.VerifyAsync($"{Root(_key, hash, size)}~AA~{claims}")).Reason);
        Assert.Equal("root", (await _verifier.VerifyAsync($"{Root(_key, hash[..31], 1)}~AA~{claims}")).Reason);
        Assert.Equal("root", (await _verifier.VerifyAsync($"{Root(_key, [.. hash, 0], 1)}~AA~{claims}")).Reason);
        // Of a tree of two this is no root.
        Assert.Equal("tree", (await _verifier.VerifyAsync($"{Root(_key, hash, 2)}~AA~{claims}")).Reason);
    }

    [Fact]
    public async Task A_root_is_no_grant_and_what_the_gateway_signs_besides_is_no_root()
    {
        var token = _signer.Sign(AGrant);
        var (root, rest) = Split(token);
        Assert.Null((await _verifier.VerifyAsync(root)).Grant);
        Assert.Null((await _verifier.VerifyAsync($"{root}~{root}~{root}")).Grant);
        Assert.Null((await _verifier.VerifyAsync($"{root}~{token}")).Grant);
        Assert.False(await _verifier.IsServiceTokenAsync(root));
        Assert.Null(await _verifier.VerifyErasureAsync(root));
        foreach (var other in new[] { _signer.SignServiceToken(), _signer.Sign(new KeyErasure("act", AGrant.Compartment, "proposer", "approver")), _signer.Sign(new DataKeyRotation("act", AGrant.Compartment, "proposer", "approver")) })
            Assert.Null((await _verifier.VerifyAsync(other + rest)).Grant);
    }

    [Fact]
    public async Task A_root_that_is_known_ends_when_it_ends_and_serves_nobody_before_it_began()
    {
        var tokens = _signer.Sign([.. Enumerable.Range(0, 3).Select(i => AGrant with { Id = $"grant-{i}" })]);
        Assert.NotNull((await _verifier.VerifyAsync(tokens[0])).Grant);
        _time.Advance(TimeSpan.FromSeconds(59));
        Assert.NotNull((await _verifier.VerifyAsync(tokens[1])).Grant);
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal("expired", (await _verifier.VerifyAsync(tokens[2])).Reason);
        Assert.Null((await new GrantVerifier([_key], _time).VerifyAsync(tokens[2])).Grant);

        // Known by a clock that was ahead.
        var early = new FakeTimeProvider(_time.GetUtcNow());
        var ahead = new GrantSigner(_key, _time).Sign(Grants(2));
        var verifier = new GrantVerifier([_key], early);
        Assert.NotNull((await verifier.VerifyAsync(ahead[0])).Grant);
        early.AdjustTime(early.GetUtcNow().AddSeconds(-3));
        Assert.Equal("expired", (await verifier.VerifyAsync(ahead[1])).Reason);
    }

    [Fact]
    public async Task A_grant_that_ends_before_its_root_ends_then()
    {
        var tokens = _signer.Sign([AGrant, AGrant with { Id = "short", Expires = _time.GetUtcNow().AddSeconds(5) }]);
        Assert.NotNull((await _verifier.VerifyAsync(tokens[1])).Grant);
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("expired", (await _verifier.VerifyAsync(tokens[1])).Reason);
        Assert.NotNull((await _verifier.VerifyAsync(tokens[0])).Grant);
    }

    [Fact]
    public async Task What_was_refused_is_not_remembered_as_right_and_what_is_known_helps_no_other_signature()
    {
        var tokens = _signer.Sign(Grants(2));
        var (root, rest) = Split(tokens[0]);
        var forged = $"{root[..(root.LastIndexOf('.') + 1)]}{Split(new GrantSigner(_foreignKey, _time).Sign(Grants(2))[0]).Root.Split('.')[2]}";
        for (var i = 0; i < 3; i++)
            Assert.Null((await _verifier.VerifyAsync(forged + rest)).Grant);
        Assert.NotNull((await _verifier.VerifyAsync(tokens[0])).Grant);
        // The right payload is known by now, and another signature under it is still another signature.
        Assert.Null((await _verifier.VerifyAsync(forged + rest)).Grant);
        Assert.Null((await _verifier.VerifyAsync(root[..root.LastIndexOf('.')] + "." + rest)).Grant);
        // A right signature with a wrong place is not remembered either, and spoils nothing.
        var others = _signer.Sign(Grants(2));
        Assert.Equal("tree", (await _verifier.VerifyAsync($"{Split(others[0]).Root}~AA~e30")).Reason);
        Assert.NotNull((await _verifier.VerifyAsync(others[1])).Grant);
    }

    [Fact]
    public async Task A_grant_longer_than_any_header_is_refused_before_it_is_looked_at() =>
        Assert.Equal("form", (await _verifier.VerifyAsync(_signer.Sign(AGrant) + new string('A', 256 << 10))).Reason);

    [Fact]
    public async Task More_roots_than_are_remembered_are_verified_all_the_same()
    {
        var known = new VerifiedTokens<string>(3, _ => _time.GetUtcNow().AddSeconds(1));
        for (var i = 0; i < 20; i++)
        {
            known.Add(TokenHash.Of($"{i}"), $"{i}", _time.GetUtcNow());
            Assert.True(known.TryGet(TokenHash.Of($"{i}"), out var found) && found == $"{i}");
            Assert.InRange(known.Count, 1, 3);
        }
        Assert.NotNull((await _verifier.VerifyAsync(_signer.Sign(Grants(2))[1])).Grant);
    }

    [Fact]
    public void The_tree_is_that_of_the_audit_log()
    {
        for (var size = 1; size <= 40; size++)
        {
            byte[][] claims = [.. Enumerable.Range(0, size).Select(static i => Encoding.ASCII.GetBytes($"claims {i}"))];
            var tree = new GrantTree(claims);
            for (var i = 0; i < size; i++)
            {
                var place = tree.PlaceOf(i);
                Assert.Equal(i, place[0]);
                Assert.Equal(tree.Root, TiledTree.RootFromInclusion(i, size, Merkle.HashLeaf(claims[i]), [.. place[1..].Chunk(32)])!);
                Assert.True(GrantTree.Holds(tree.Root, size, place, claims[i]));
            }
        }
    }
}
