using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;

namespace KantaGateway.Tests.Keys;

/// <summary>What the key service is told of how far records are, and who is told of it, over its own contract.</summary>
public sealed class KnownHeadsTests : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private Pseudonym Matti => _keys.People[1];

    private readonly RunningKeys _keys = new();

    private string Heads => Path.Combine(_keys.Options.CustodyFolder, "heads");

    public Task InitializeAsync() => _keys.InitializeAsync();

    public Task DisposeAsync() => _keys.DisposeAsync();

    [Fact]
    public async Task Who_opens_a_record_is_told_how_far_it_was_now_and_after_a_restart()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        Assert.Equal((0, null), Of(await UnwrapAsync(Maija, maijas.Wrapped)));
        Assert.Equal(HttpStatusCode.NoContent, await TellAsync(Maija, 3, 0xa3, maijas.Witness));
        Assert.Equal(HttpStatusCode.NoContent, await TellAsync(Matti, 1, 0xb1, mattis.Witness));
        Assert.Equal(HttpStatusCode.NoContent, await TellAsync(Maija, 5, 0xa5, maijas.Witness));
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal((5, 0xa5), Of(await UnwrapAsync(Maija, maijas.Wrapped)));
            Assert.Equal((1, 0xb1), Of(await UnwrapAsync(Matti, mattis.Wrapped)));
            await RestartAsync();
        }
        // One place is the count's.
        Assert.Equal(3 * 64, new FileInfo(Heads).Length);
    }

    [Fact]
    public async Task An_older_head_and_another_one_of_the_same_length_change_nothing()
    {
        var maijas = await CreateAsync(Maija);
        await TellAsync(Maija, 5, 0xa5, maijas.Witness);
        await TellAsync(Maija, 4, 0xa4, maijas.Witness);
        await TellAsync(Maija, 5, 0xff, maijas.Witness);
        Assert.Equal((5, 0xa5), Of(await UnwrapAsync(Maija, maijas.Wrapped)));
    }

    [Fact]
    public async Task Only_who_was_given_the_key_a_short_while_ago_tells()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        var changed = maijas.Witness[..^1] + (maijas.Witness[^1] == 'A' ? 'B' : 'A');
        foreach (var witness in new[] { mattis.Witness, changed, "", "x" })
            Assert.Equal(HttpStatusCode.Forbidden, await TellAsync(Maija, 9, 9, witness));
        _keys.Time.Advance(TimeSpan.FromMinutes(10) + TimeSpan.FromMilliseconds(1));
        Assert.Equal(HttpStatusCode.Forbidden, await TellAsync(Maija, 9, 9, maijas.Witness));
        var again = await UnwrapAsync(Maija, maijas.Wrapped);
        Assert.Equal((0, null), Of(again));
        Assert.Equal(HttpStatusCode.NoContent, await TellAsync(Maija, 9, 9, again.Witness));
    }

    [Fact]
    public async Task No_other_key_is_made_for_who_has_a_record()
    {
        var maijas = await CreateAsync(Maija);
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        var grant = _keys.Grant(GrantUse.Write, Maija);
        using (var made = await _keys.PostAsync("/v1/keys/create", grant, new { }))
            Assert.Equal(HttpStatusCode.PreconditionFailed, made.StatusCode);
        // The same grant opens the one that there is.
        Assert.Equal(maijas.Key, (await _keys.UnwrapAsync(grant, maijas.Wrapped)).Key);
    }

    [Fact]
    public async Task Whose_key_is_destroyed_of_them_nothing_is_known()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        await TellAsync(Matti, 2, 0xb2, mattis.Witness);
        using (var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure("one", Maija, "proposer", "approver")), new { }))
            Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
        await TellAsync(Maija, 2, 0xa2, maijas.Witness);
        foreach (var _ in new[] { 1, 2 })
        {
            var known = await KnownAsync(Maija, Matti);
            Assert.Null(known.Heads[0]);
            Assert.Equal((2, 1, 3), (known.Heads[1]?.Sequence, known.Count, known.Places));
            await RestartAsync();
        }
    }

    /// <summary>A head's digest is made of what the store has: whoever has that and this folder would know whom each record of the custody log is about.</summary>
    [Fact]
    public async Task Nothing_in_the_file_stands_in_the_custody_log_too()
    {
        var maijas = await CreateAsync(Maija);
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        await _keys.StopAsync();
        var heads = await File.ReadAllBytesAsync(Heads);
        var recorded = Directory.EnumerateFiles(_keys.Options.CustodyFolder, "*.custody").SelectMany(File.ReadAllBytes).ToArray();
        Assert.NotEmpty(recorded);
        for (var at = 0; at + 16 <= heads.Length; at++)
            Assert.Equal(-1, recorded.AsSpan().IndexOf(heads.AsSpan(at, 16)));
        await _keys.StartAsync();
    }

    [Fact]
    public async Task What_a_telling_that_failed_has_left_behind_changes_nothing()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        var older = await File.ReadAllBytesAsync(Heads);
        await TellAsync(Maija, 2, 0xa2, maijas.Witness);
        await _keys.StopAsync();
        await File.WriteAllBytesAsync(Heads, [.. older, .. await File.ReadAllBytesAsync(Heads), 1, 2, 3]);
        await _keys.StartAsync();
        await TellAsync(Matti, 1, 0xb1, mattis.Witness);
        foreach (var _ in new[] { 1, 2 })
        {
            var known = await KnownAsync(Maija, Matti);
            Assert.Equal((2, 1, 2), (known.Heads[0]?.Sequence, known.Heads[1]?.Sequence, known.Count));
            await RestartAsync();
        }
        Assert.False((await File.ReadAllBytesAsync(Heads)).AsSpan(0, 64).ContainsAnyExcept((byte)0));
    }

    [Fact]
    public async Task A_damaged_place_is_left_out_and_the_others_stay()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        await TellAsync(Matti, 2, 0xb2, mattis.Witness);
        await _keys.StopAsync();
        var bytes = await File.ReadAllBytesAsync(Heads);
        bytes[RandomNumberGenerator.GetInt32(64)] ^= 1;
        await File.WriteAllBytesAsync(Heads, [.. bytes, 1, 2, 3]);
        await _keys.StartAsync();
        var known = await KnownAsync(Maija, Matti);
        Assert.Null(known.Heads[0]);
        Assert.Equal((2, 2, 1, 3), (known.Heads[1]?.Sequence, known.Heads[1]?.Place, known.Count, known.Places));
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        await RestartAsync();
        Assert.Equal((1, 2), ((await KnownAsync(Maija)).Heads[0]?.Sequence, (await KnownAsync(Maija)).Count));
    }

    [Fact]
    public async Task Only_by_the_gateways_word_that_two_persons_accept_it_is_what_was_known_forgotten()
    {
        var maijas = await CreateAsync(Maija);
        await TellAsync(Maija, 1, 0xa1, maijas.Witness);
        var restore = new StoreRestore("act", null, DateTimeOffset.UnixEpoch, "proposer", "approver");
        var foreign = new GrantSigner(ECDsa.Create(ECCurve.NamedCurves.nistP256), _keys.Time).Sign(restore);
        foreach (var word in (string?[])[null, "", foreign, _keys.Gateway.Sign(restore with { ApprovedBy = "proposer" }), _keys.Gateway.Sign(new KeyErasure("act", Maija, "proposer", "approver")), _keys.Grant(GrantUse.Write, Maija)])
            Assert.Equal(HttpStatusCode.Unauthorized, await RestoreAsync(word));
        // Another's record, and one that nobody has.
        foreach (var other in new[] { Matti, Pseudonym.Directory })
            Assert.Equal(HttpStatusCode.OK, await RestoreAsync(_keys.Gateway.Sign(restore with { Compartment = other })));
        Assert.NotNull((await KnownAsync(Maija)).Heads[0]);
        Assert.Equal(HttpStatusCode.OK, await RestoreAsync(_keys.Gateway.Sign(restore)));
        Assert.Null((await KnownAsync(Maija)).Heads[0]);

        async Task<HttpStatusCode> RestoreAsync(string? word)
        {
            using var answer = await _keys.PostAsync("/v1/restores", word, new { });
            return answer.StatusCode;
        }
    }

    [Theory]
    [InlineData("/v1/heads"), InlineData("/v1/heads/known")]
    public async Task What_is_no_question_is_refused(string path)
    {
        foreach (var body in new object[] { new { }, new { heads = Array.Empty<int>(), compartments = Array.Empty<int>() }, new { heads = new object?[] { null }, compartments = new object?[] { null } },
            new { heads = new[] { new { compartment = "x", sequence = 0, digest = new byte[16], witness = "" } } }, new { heads = new[] { new { compartment = "x", sequence = 1, digest = new byte[15], witness = "" } } },
            new { heads = new[] { new { compartment = "x", sequence = 1L + int.MaxValue, digest = new byte[16], witness = "" } } } })
            using (var answer = await _keys.PostAsync(path, null, body))
                Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    private async Task RestartAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }

    private Task<CreateAnswer> CreateAsync(Pseudonym person) => _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, person), new { });

    private Task<GivenKey> UnwrapAsync(Pseudonym person, byte[] wrapped) => _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, person), wrapped);

    private Task<KnownAnswer> KnownAsync(params Pseudonym[] people) => _keys.PostAsync<object, KnownAnswer>("/v1/heads/known", null, new { compartments = people.Select(person => person.Encode()) });

    private async Task<HttpStatusCode> TellAsync(Pseudonym person, long sequence, byte last, string witness)
    {
        using var answer = await _keys.PostAsync("/v1/heads", null, new { heads = new[] { new { compartment = person.Encode(), sequence, digest = (byte[])[.. new byte[15], last], witness } } });
        return answer.StatusCode;
    }

    private static (long Sequence, int? Last) Of(GivenKey answer) => (answer.Sequence, answer.Digest?[^1]);
}
