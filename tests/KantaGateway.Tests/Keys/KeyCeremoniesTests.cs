using System.Net;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Tests.Keys;

/// <summary>No wrapping key serves but by the approval of two operators, over the key service's own contract.</summary>
public sealed class KeyCeremoniesTests : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private readonly RunningKeys _keys = new();

    public Task InitializeAsync() => _keys.InitializeAsync();

    public Task DisposeAsync() => _keys.DisposeAsync();

    [Fact]
    public async Task An_approved_version_wraps_what_is_new_at_once_and_after_a_restart_and_the_old_one_still_opens()
    {
        var old = await CreateAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        var first = await CreateAsync();
        await RestartAsync();
        var second = await CreateAsync();
        Assert.Equal((1, 2, 2), (old.Wrapped[4], first.Wrapped[4], second.Wrapped[4]));
        foreach (var created in (CreateAnswer[])[old, first, second])
            Assert.Equal(created.Key, (await UnwrapAsync(created.Wrapped)).Key);
        var kept = await File.ReadAllTextAsync(Ceremonies);
        foreach (var part in (string[])["one", "proposer", "approver"])
            Assert.Contains($"\"{part}\"", kept, StringComparison.Ordinal);
    }

    [Fact]
    public async Task It_is_held_once_however_often_it_is_asked_for_and_no_version_is_left_out()
    {
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", 2));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", 4));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("one", 3));
        Assert.Equal(2, (await CreateAsync()).Wrapped[4]);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", 3));
        Assert.Equal(3, (await CreateAsync()).Wrapped[4]);
    }

    [Fact]
    public async Task Nothing_but_the_gateways_word_that_two_persons_want_it_holds_one()
    {
        using var another = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var ceremony = new KeyCeremony("one", CeremonyStep.Begin, 2, "proposer", "approver");
        foreach (var bearer in (string?[])[null, "x", _keys.Gateway.SignServiceToken(), _keys.Grant(GrantUse.Write, Maija), new GrantSigner(another, _keys.Time).Sign(ceremony),
            _keys.Gateway.Sign(ceremony with { ApprovedBy = "proposer" }), _keys.Gateway.Sign(ceremony with { ApprovedBy = "" }), _keys.Gateway.Sign(ceremony with { Version = 0 }), _keys.Gateway.Sign(ceremony with { Step = default }), _keys.Gateway.Sign(ceremony with { Key = default })])
            Assert.Equal(HttpStatusCode.Unauthorized, await HoldAsync(bearer));
        var late = _keys.Gateway.Sign(ceremony);
        _keys.Time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal(HttpStatusCode.Unauthorized, await HoldAsync(late));
        Assert.Equal(1, (await CreateAsync()).Wrapped[4]);
        // And it opens nothing else.
        using var name = await _keys.PostAsync("/v1/pseudonym", _keys.Gateway.Sign(ceremony), new { identityCode = "010190-900P" });
        Assert.Equal(HttpStatusCode.Unauthorized, name.StatusCode);
    }

    [Fact]
    public async Task A_key_that_somebody_put_into_the_file_serves_nobody_until_two_want_it()
    {
        await _keys.StopAsync();
        var file = JsonNode.Parse(await File.ReadAllTextAsync(_keys.Options.KeyFile))!;
        var put = RandomNumberGenerator.GetBytes(32);
        file["wrappingKeys"]!.AsArray().Add(new JsonObject { ["version"] = 2, ["key"] = Convert.ToBase64String(put) });
        await File.WriteAllTextAsync(_keys.Options.KeyFile, file.ToJsonString());
        await _keys.StartAsync();
        var created = await CreateAsync();
        Assert.Equal(1, created.Wrapped[4]);
        // What was wrapped with it opens no more than it wraps.
        var stranger = created.Wrapped.ToArray();
        stranger[4] = 2;
        Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _keys.AskAsync(_keys.Grant(GrantUse.Read, Maija), stranger)).Status);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        Assert.Equal(2, (await CreateAsync()).Wrapped[4]);
    }

    [Fact]
    public async Task What_is_kept_of_the_ceremonies_can_be_neither_changed_nor_taken_away()
    {
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        await _keys.StopAsync();
        var kept = await File.ReadAllTextAsync(Ceremonies);
        foreach (var changed in (string[])[kept.Replace("approver", "somebody", StringComparison.Ordinal), kept.Replace("\"version\":2", "\"version\":3", StringComparison.Ordinal), kept[..^10], "null", "{}"])
        {
            await File.WriteAllTextAsync(Ceremonies, changed);
            Assert.Contains("not as this key service wrote it", await RefusesToStartAsync(), StringComparison.Ordinal);
        }
        File.Delete(Ceremonies);
        Assert.Contains("founded with version 1 alone", await RefusesToStartAsync(), StringComparison.Ordinal);
        await File.WriteAllTextAsync(Ceremonies, kept);
        var file = JsonNode.Parse(await File.ReadAllTextAsync(_keys.Options.KeyFile))!;
        file["wrappingKeys"]!.AsArray().RemoveAt(1);
        var whole = await File.ReadAllTextAsync(_keys.Options.KeyFile);
        await File.WriteAllTextAsync(_keys.Options.KeyFile, file.ToJsonString());
        Assert.Contains("lost the wrapping key of version 2", await RefusesToStartAsync(), StringComparison.Ordinal);
        await File.WriteAllTextAsync(_keys.Options.KeyFile, whole);
        await _keys.StartAsync();
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public async Task One_that_was_cut_off_before_its_key_was_made_comes_to_its_end(bool atStart)
    {
        // The key file cannot be written: a folder is where it is made.
        var beside = _keys.Options.KeyFile + ".new";
        Directory.CreateDirectory(beside);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await HoldAsync("one", 2));
        Assert.Equal(1, (await CreateAsync()).Wrapped[4]);
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", 3));
        Directory.Delete(beside);
        if (atStart)
            await RestartAsync();
        else
            Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        var created = await CreateAsync();
        Assert.Equal(2, created.Wrapped[4]);
        await RestartAsync();
        Assert.Equal(created.Key, (await UnwrapAsync(created.Wrapped)).Key);
    }

    [Fact]
    public async Task One_that_was_cut_off_after_its_key_was_made_makes_no_second_key()
    {
        // It is decided, and its key cannot be made.
        var beside = _keys.Options.KeyFile + ".new";
        Directory.CreateDirectory(beside);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await HoldAsync("one", 2));
        Directory.Delete(beside);
        await _keys.StopAsync();
        // As a kill leaves it that comes before it is written as done.
        var made = new VersionedKey(2, RandomNumberGenerator.GetBytes(32));
        var file = KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true);
        (file with { WrappingKeys = [.. file.WrappingKeys!, made] }).Write(_keys.Options.KeyFile, overwrite: true);
        await _keys.StartAsync();
        Assert.Equal(2, (await CreateAsync()).Wrapped[4]);
        Assert.Equal(made.Key, KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true).WrappingKeys!.Single(key => key.Version == 2).Key);
    }

    [Fact]
    public async Task One_that_cannot_be_written_down_makes_no_key()
    {
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        var file = await File.ReadAllTextAsync(_keys.Options.KeyFile);
        // It cannot be written as decided, so nothing of it happens.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await HoldAsync("two", 3));
        Assert.Equal(file, await File.ReadAllTextAsync(_keys.Options.KeyFile));
        Directory.Delete(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", 3));
        using var keys = new FileBackend(_keys.Options.KeyFile, KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true));
        Assert.Equal([1, 2, 3], await keys.VersionsAsync(KeyKind.Wrapping, default));
    }

    [Fact]
    public async Task The_oldest_version_is_destroyed_when_two_want_it_and_what_only_it_opened_is_lost()
    {
        var old = await CreateAsync();
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("one", 1, CeremonyStep.Destroy));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", 2));
        // A record whose key was made just before may still be on its way into the store.
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("three", 1, CeremonyStep.Destroy));
        _keys.Time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("three", 2, CeremonyStep.Destroy));
        var moved = await RewrapAsync(old.Wrapped);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("three", 1, CeremonyStep.Destroy));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("three", 1, CeremonyStep.Destroy));
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal(HttpStatusCode.UnprocessableEntity, (await _keys.AskAsync(_keys.Grant(GrantUse.Read, Maija), old.Wrapped)).Status);
            Assert.Null(await RewrapAsync(old.Wrapped));
            Assert.Equal(old.Key, (await UnwrapAsync(moved!)).Key);
            await RestartAsync();
        }
        Assert.Equal([2u], KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true).WrappingKeys!.Select(key => key.Version));
        // And neither is its number given again, nor the only one destroyed.
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("four", 1));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("four", 2, CeremonyStep.Destroy));
    }

    [Fact]
    public async Task A_destruction_that_was_cut_off_opens_nothing_more_and_comes_to_its_end()
    {
        var old = await CreateAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        _keys.Time.Advance(TimeSpan.FromMinutes(10));
        Directory.CreateDirectory(_keys.Options.KeyFile + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await HoldAsync("two", 1, CeremonyStep.Destroy));
        Assert.Null(await RewrapAsync(old.Wrapped));
        Directory.Delete(_keys.Options.KeyFile + ".new");
        await RestartAsync();
        Assert.Equal([2u], KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true).WrappingKeys!.Select(key => key.Version));
    }

    [Fact]
    public async Task A_data_key_is_wrapped_anew_for_its_own_compartment_only_and_never_shown()
    {
        var old = await CreateAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", 2));
        Assert.Null(await RewrapAsync(old.Wrapped, Pseudonym.Read([1, 2, 3, 4, 5, 6, 7, 8, 9, 11])));
        Assert.Null(await RewrapAsync(old.Wrapped[..^1]));
        var moved = (await RewrapAsync(old.Wrapped))!;
        Assert.Equal(2u, WrappedKey.VersionOf(moved));
        Assert.Equal(-1, moved.AsSpan().IndexOf(old.Key));
        Assert.Equal(old.Key, (await UnwrapAsync(moved)).Key);
        Assert.Contains(CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue), record => record is { Operation: KeyOperation.Rewrap, Status: 200 });
        foreach (var body in (object[])[new { keys = Array.Empty<object>() }, new { }, new { keys = new[] { new { compartment = "x", wrapped = old.Wrapped } } }])
            using (var bad = await _keys.PostAsync("/v1/keys/rewrap", null, body))
                Assert.Equal(HttpStatusCode.BadRequest, bad.StatusCode);
    }

    /// <summary>What is stored of who is destroyed is removed. The writer of answers changes its way after some of them.</summary>
    [Fact]
    public async Task A_key_that_does_not_open_is_never_told_as_one_that_is_destroyed()
    {
        var created = await CreateAsync();
        created.Wrapped[WrappedKey.Length - 1] ^= 1;
        for (var i = 0; i < 30; i++)
            Assert.Null(await RewrapAsync(created.Wrapped));
    }

    private async Task<byte[]?> RewrapAsync(byte[] wrapped, Pseudonym? of = null) =>
        (await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null, new { keys = new[] { new { compartment = (of ?? Maija).Encode(), wrapped } } })).Wrapped.Single();

    private string Ceremonies => Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json");

    private async Task RestartAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }

    private async Task<string> RefusesToStartAsync() => (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message;

    private Task<HttpStatusCode> HoldAsync(string act, uint version, CeremonyStep step = CeremonyStep.Begin) => HoldAsync(_keys.Gateway.Sign(new KeyCeremony(act, step, version, "proposer", "approver")));

    private async Task<HttpStatusCode> HoldAsync(string? bearer)
    {
        using var answer = await _keys.PostAsync("/v1/ceremonies", bearer, new { });
        if (answer.IsSuccessStatusCode)
            await _keys.SettledAsync();
        return answer.StatusCode;
    }

    private Task<CreateAnswer> CreateAsync() => _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Maija), new { });

    private Task<GivenKey> UnwrapAsync(byte[] wrapped) => _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, Maija), wrapped);
}
