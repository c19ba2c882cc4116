using System.Net;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Keys;

/// <summary>The data key of one person is replaced by another one, and the old one is given to nobody any more, over the key service's own contract.</summary>
public sealed class RotatedKeysTests : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private Pseudonym Matti => _keys.People[1];

    private readonly RunningKeys _keys = new();

    public Task InitializeAsync() => _keys.InitializeAsync();

    public Task DisposeAsync() => _keys.DisposeAsync();

    private string Rotated => Path.Combine(_keys.Options.CustodyFolder, "rotated");

    private string Ceremonies => Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json");

    [Fact]
    public async Task Both_keys_open_until_the_store_has_the_new_one_and_then_that_alone_now_and_after_a_restart()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        await TellAsync(Maija, maijas.Witness, 7, 1);
        var begun = await BeginAsync("one", maijas.Wrapped);
        Assert.Equal(maijas.Key, begun.Key);
        Assert.Equal(7, begun.Sequence);
        Assert.NotEqual(maijas.Key, begun.NewKey);
        // Nothing has been sealed under the new one, so nobody asks for it.
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.UnprocessableEntity), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Maija, begun.Wrapped!)));
        Assert.Equal(HttpStatusCode.NoContent, await SealedAsync(begun.Ticket!, 8, 1, 2));
        await RestartAsync();
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, maijas.Wrapped));
        var opened = await OpenAsync(Maija, begun.Wrapped!);
        // How far the record is, is known of what is sealed under the new one.
        Assert.Equal(begun.NewKey, opened.Key);
        Assert.Equal((8L, 1), (opened.Sequence, opened.Rotations));
        Assert.Equal(2, opened.Digest![^1]);
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal((HttpStatusCode.UnprocessableEntity, HttpStatusCode.OK), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Maija, begun.Wrapped!)));
            var rewrapped = await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null,
                new { keys = new[] { new { compartment = Maija.Encode(), wrapped = maijas.Wrapped }, new { compartment = Maija.Encode(), wrapped = begun.Wrapped! }, new { compartment = Matti.Encode(), wrapped = mattis.Wrapped } } });
            Assert.Equal((true, false, false), (rewrapped.Wrapped[0] is null, rewrapped.Wrapped[1] is null, rewrapped.Wrapped[2] is null));
            Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Matti, mattis.Wrapped));
            await RestartAsync();
        }
        // It is on record beside every other use of a key, by its act.
        var records = CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue).ToList();
        foreach (var operation in new[] { KeyOperation.Rotate, KeyOperation.Retire })
            Assert.Contains(records, record => record.Operation == operation && record.Status == 200 && record.Grant == KeyCustody.GrantDigestOf("one"));
        // It names nobody, and holds no key that is in use.
        var bytes = await File.ReadAllBytesAsync(Rotated);
        Assert.Equal((-1, -1), (bytes.AsSpan().IndexOf(Maija.ToArray()), bytes.AsSpan(bytes.Length - 200).IndexOf(begun.Wrapped!)));
    }

    [Fact]
    public async Task An_act_goes_on_with_the_key_that_it_has_made_and_ends_once_and_the_next_one_makes_another()
    {
        var maijas = await CreateAsync(Maija);
        var begun = await BeginAsync("one", maijas.Wrapped);
        await RestartAsync();
        var again = await BeginAsync("one", maijas.Wrapped);
        // So does another act where the first has stopped: its key may be on its way into the store.
        var other = await BeginAsync("two", maijas.Wrapped);
        foreach (var going in new[] { again, other })
        {
            Assert.Equal(begun.NewKey, going.NewKey);
            Assert.Equal(begun.Wrapped, going.Wrapped);
        }
        Assert.Equal(HttpStatusCode.NoContent, await SealedAsync(other.Ticket!, 3, 1, 2));
        Assert.Equal(HttpStatusCode.OK, await EndAsync(other.Ticket!));
        Assert.Equal(HttpStatusCode.OK, await EndAsync(other.Ticket!));
        var done = await BeginAsync("two", other.Wrapped!);
        Assert.True(done is { Key: null, NewKey: null, Done.Sequence: 3 });
        Assert.Equal((1, 2), (done.Done!.Before[^1], done.Done.After[^1]));
        var third = await BeginAsync("three", other.Wrapped!);
        Assert.Equal(other.NewKey, third.Key);
        Assert.NotEqual(other.NewKey, third.NewKey);
        // The tickets of the old ones tell nothing of it.
        Assert.Equal((HttpStatusCode.Forbidden, HttpStatusCode.Forbidden), (await SealedAsync(other.Ticket!, 4, 1, 2), await EndAsync(third.Ticket!)));
        // The old key begins none, nor does another's.
        using var refused = await _keys.PostAsync("/v1/rotations", Word("four"), new { wrapped = maijas.Wrapped });
        using var others = await _keys.PostAsync("/v1/rotations", Word("four"), new { wrapped = (await CreateAsync(Matti)).Wrapped });
        Assert.Equal((HttpStatusCode.UnprocessableEntity, HttpStatusCode.UnprocessableEntity), (refused.StatusCode, others.StatusCode));
    }

    [Fact]
    public async Task Where_the_wrapping_key_of_one_that_stopped_is_destroyed_another_key_is_made()
    {
        var maijas = await CreateAsync(Maija);
        var begun = await BeginAsync("one", maijas.Wrapped);
        foreach (var (step, version) in new[] { (CeremonyStep.Begin, 2u), (CeremonyStep.Destroy, 1u) })
        {
            if (step == CeremonyStep.Destroy)
            {
                // Identity codes are sealed anew with the second key beside this, and the first one stays until none is left under it.
                await _keys.SettledAsync();
                _keys.Time.Advance(TimeSpan.FromMinutes(10));
            }
            var moved = step == CeremonyStep.Begin ? null : await RewrappedAsync(maijas.Wrapped);
            using var held = await _keys.PostAsync("/v1/ceremonies", _keys.Gateway.Sign(new KeyCeremony($"{step}", step, version, "proposer", "approver")), new { });
            Assert.Equal(HttpStatusCode.OK, held.StatusCode);
            if (moved is null)
                continue;
            Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapAsync(Maija, begun.Wrapped!));
            var other = await BeginAsync("one", moved);
            Assert.Equal(maijas.Key, other.Key);
            Assert.NotEqual(begun.NewKey, other.NewKey);
            Assert.Equal(HttpStatusCode.Forbidden, await SealedAsync(begun.Ticket!, 3, 1, 2));
            Assert.Equal(HttpStatusCode.NoContent, await SealedAsync(other.Ticket!, 3, 1, 2));
            Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, other.Wrapped!));
            Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapAsync(Maija, moved));
        }

        async Task<byte[]> RewrappedAsync(byte[] wrapped) => (await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null, new { keys = new[] { new { compartment = Maija.Encode(), wrapped } } })).Wrapped[0]!;
    }

    [Fact]
    public async Task Who_was_given_the_old_key_tells_nothing_of_the_record_under_the_new_one()
    {
        var maijas = await CreateAsync(Maija);
        await RotatedAsync("one", maijas.Wrapped);
        Assert.Equal(HttpStatusCode.Forbidden, await ToldAsync(Maija, maijas.Witness, 9, 9));
        var known = await _keys.PostAsync<object, KnownAnswer>("/v1/heads/known", null, new { compartments = new[] { Maija.Encode() } });
        Assert.Equal((8L, 1), (known.Heads[0]!.Sequence, known.Heads[0]!.Rotations));
    }

    [Fact]
    public async Task It_is_counted_like_any_other_key_that_is_given_out_and_not_made_for_whose_is_destroyed()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        await _keys.StopAsync();
        _keys.Change = static options => options with { Budgets = [new() { Seconds = 86_400, PerRequester = 1, Total = 100 }] };
        await _keys.StartAsync();
        await BeginAsync("one", maijas.Wrapped);
        await RestartAsync();
        using (var exceeded = await _keys.PostAsync("/v1/rotations", Word("two", Matti), new { wrapped = mattis.Wrapped }))
            Assert.Equal(HttpStatusCode.TooManyRequests, exceeded.StatusCode);
        using (var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure("three", Maija, "proposer", "approver")), new { }))
            Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
        using (var gone = await _keys.PostAsync("/v1/rotations", Word("one"), new { wrapped = maijas.Wrapped }))
            Assert.Equal(HttpStatusCode.Gone, gone.StatusCode);
    }

    [Fact]
    public async Task A_record_that_is_begun_anew_after_an_older_store_was_accepted_opens()
    {
        var maijas = await CreateAsync(Maija);
        await RotatedAsync("one", maijas.Wrapped);
        using (var restored = await _keys.PostAsync("/v1/restores", _keys.Gateway.Sign(new StoreRestore("two", null, DateTimeOffset.UnixEpoch, "proposer", "approver")), new { }))
            Assert.Equal(HttpStatusCode.OK, restored.StatusCode);
        // Two at once: which of them the store takes is not known here.
        var (one, two) = (await CreateAsync(Maija), await CreateAsync(Maija));
        await RestartAsync();
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.UnprocessableEntity), (await UnwrapAsync(Maija, one.Wrapped), await UnwrapAsync(Maija, two.Wrapped), await UnwrapAsync(Maija, maijas.Wrapped)));
    }

    [Theory]
    [InlineData(0), InlineData(10), InlineData(50), InlineData(180), InlineData(200), InlineData(599)]
    public async Task A_file_that_was_changed_cut_off_or_taken_away_is_no_start(int at)
    {
        var maijas = await CreateAsync(Maija);
        await RotatedAsync("one", maijas.Wrapped);
        await _keys.StopAsync();
        var bytes = await File.ReadAllBytesAsync(Rotated);
        Assert.Equal(600, bytes.Length);
        foreach (var other in (byte[]?[])[[.. bytes.Select((b, i) => i == at ? (byte)(b ^ 1) : b)], bytes[..at], bytes[200..], null])
            await RefusesToStartAsync(other);
        // Nor where the ceremonies are those from before: the custody log knows.
        var kept = await File.ReadAllBytesAsync(Ceremonies);
        File.Delete(Ceremonies);
        await RefusesToStartAsync(null);
        await File.WriteAllBytesAsync(Ceremonies, kept);
        // A part of a record that a kill has left is nothing, and the next one takes its place.
        await File.WriteAllBytesAsync(Rotated, [.. bytes, .. bytes[..100]]);
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapAsync(Maija, maijas.Wrapped));

        async Task RefusesToStartAsync(byte[]? file)
        {
            if (file is null)
                File.Delete(Rotated);
            else
                await File.WriteAllBytesAsync(Rotated, file);
            Assert.Contains(Rotated, (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message, StringComparison.Ordinal);
            await File.WriteAllBytesAsync(Rotated, bytes);
        }
    }

    [Fact]
    public async Task What_was_rotated_after_a_backup_opens_nothing_when_it_is_brought_back_where_there_is_a_copy()
    {
        using var elsewhere = new TemporaryFolder();
        using var backup = new TemporaryFolder();
        var copy = elsewhere.File("rotated");
        var maijas = await CreateAsync(Maija);
        var first = await RotatedAsync("one", maijas.Wrapped);
        await _keys.StopAsync();
        _keys.Change = options => options with { RotatedCopyFile = copy };
        await _keys.StartAsync();
        // What was there before the copy is in it.
        Assert.Equal(await File.ReadAllBytesAsync(Rotated), await File.ReadAllBytesAsync(copy));
        foreach (var file in (string[])[Rotated, Ceremonies])
            File.Copy(file, backup.File(Path.GetFileName(file)));
        var second = await RotatedAsync("two", first);
        Assert.Equal(await File.ReadAllBytesAsync(Rotated), await File.ReadAllBytesAsync(copy));
        await _keys.StopAsync();
        foreach (var file in (string[])[Rotated, Ceremonies])
            File.Copy(backup.File(Path.GetFileName(file)), file, overwrite: true);
        await _keys.StartAsync();
        Assert.Equal((HttpStatusCode.UnprocessableEntity, HttpStatusCode.UnprocessableEntity, HttpStatusCode.OK), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Maija, first), await UnwrapAsync(Maija, second)));
        // And without the copy, from then on.
        await _keys.StopAsync();
        _keys.Change = static options => options;
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.UnprocessableEntity, await UnwrapAsync(Maija, first));
        // A copy that goes on from another is no start, nor is one beside the first, or in the place of that of erased people.
        await _keys.StopAsync();
        await File.WriteAllBytesAsync(copy, [.. await File.ReadAllBytesAsync(Rotated), .. new byte[200]]);
        Refuses(_keys.Options with { RotatedCopyFile = copy }, "bring it back");
        Refuses(_keys.Options with { RotatedCopyFile = Path.Combine(_keys.Options.CustodyFolder, "copy") }, nameof(KeysOptions.RotatedCopyFile));
        Refuses(_keys.Options with { ErasedCopyFile = copy, RotatedCopyFile = copy }, nameof(KeysOptions.RotatedCopyFile));

        static void Refuses(KeysOptions options, string says) => Assert.Contains(says, Assert.Throws<InvalidOperationException>(() => { KeysHost.Build(options); }).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rotation_is_done_when_it_stands_in_both_places_and_in_the_ceremonies()
    {
        using var elsewhere = new TemporaryFolder();
        var copy = elsewhere.File("rotated");
        await _keys.StopAsync();
        _keys.Change = options => options with { RotatedCopyFile = copy };
        await _keys.StartAsync();
        var maijas = await CreateAsync(Maija);
        var begun = await BeginAsync("one", maijas.Wrapped);
        File.Delete(copy);
        Directory.CreateDirectory(copy);
        foreach (var _ in new[] { 1, 2 })
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await SealedAsync(begun.Ticket!, 8, 1, 2));
        Directory.Delete(copy);
        Assert.Equal(HttpStatusCode.NoContent, await SealedAsync(begun.Ticket!, 8, 1, 2));
        Directory.CreateDirectory(Ceremonies + ".new");
        foreach (var _ in new[] { 1, 2 })
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await EndAsync(begun.Ticket!));
        Directory.Delete(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.OK, await EndAsync(begun.Ticket!));
        Assert.Equal(await File.ReadAllBytesAsync(Rotated), await File.ReadAllBytesAsync(copy));
        await _keys.StopAsync();
        // The ceremonies know of the end.
        await File.WriteAllBytesAsync(Rotated, (await File.ReadAllBytesAsync(Rotated))[..^200]);
        File.Delete(copy);
        Assert.Contains(Rotated, (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_kill_between_a_record_of_a_rotation_and_the_ceremonies_loses_none_and_the_next_start_says_it_there()
    {
        var maijas = await CreateAsync(Maija);
        await KilledAsync(async () => Assert.Equal(HttpStatusCode.ServiceUnavailable, await BegunAsync()));
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, maijas.Wrapped));
        var begun = await BeginAsync("one", maijas.Wrapped);
        // The one that was killed had made its key.
        Assert.Equal(200, new FileInfo(Rotated).Length);
        await KilledAsync(async () => Assert.Equal(HttpStatusCode.ServiceUnavailable, await SealedAsync(begun.Ticket!, 8, 1, 2)));
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, maijas.Wrapped));
        Assert.Equal(HttpStatusCode.NoContent, await SealedAsync(begun.Ticket!, 8, 1, 2));
        await KilledAsync(async () => Assert.Equal(HttpStatusCode.ServiceUnavailable, await EndAsync(begun.Ticket!)));
        Assert.Equal((HttpStatusCode.UnprocessableEntity, HttpStatusCode.OK), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Maija, begun.Wrapped!)));
        Assert.Equal(HttpStatusCode.OK, await EndAsync(begun.Ticket!));
        Assert.NotNull((await BeginAsync("one", begun.Wrapped!)).Done);

        async Task<HttpStatusCode> BegunAsync()
        {
            using var answer = await _keys.PostAsync("/v1/rotations", Word("one"), new { wrapped = maijas.Wrapped });
            return answer.StatusCode;
        }

        // The ceremonies cannot be written, and then the process is gone. From the next start on they know of the record: without it there is no start.
        async Task KilledAsync(Func<Task> step)
        {
            Directory.CreateDirectory(Ceremonies + ".new");
            await step();
            Directory.Delete(Ceremonies + ".new");
            await RestartAsync();
            await _keys.StopAsync();
            var bytes = await File.ReadAllBytesAsync(Rotated);
            await File.WriteAllBytesAsync(Rotated, bytes[..^200]);
            Assert.Contains(Rotated, (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message, StringComparison.Ordinal);
            await File.WriteAllBytesAsync(Rotated, bytes);
            await _keys.StartAsync();
        }
    }

    [Fact]
    public async Task Nothing_is_taken_that_is_of_another_form()
    {
        var begun = await BeginAsync("one", (await CreateAsync(Maija)).Wrapped);
        foreach (var (path, body) in new (string, object)[]
        {
            ("/v1/rotations", new { }), ("/v1/rotations/sealed", new { compartment = Maija.Encode(), ticket = begun.Ticket, sequence = 0, before = new byte[16], after = new byte[16] }),
            ("/v1/rotations/sealed", new { compartment = Maija.Encode(), ticket = begun.Ticket, sequence = 1, before = new byte[15], after = new byte[16] }), ("/v1/rotations/sealed", new { compartment = "x", ticket = begun.Ticket, sequence = 1, before = new byte[16], after = new byte[16] }),
            ("/v1/rotations/end", new { compartment = Maija.Encode() }), ("/v1/rotations/end", new { compartment = Maija.Encode(), ticket = "x" }),
        })
        {
            using var refused = await _keys.PostAsync(path, Word("one"), body);
            Assert.Equal(HttpStatusCode.BadRequest, refused.StatusCode);
        }
        foreach (var other in new[] { Matti.Encode(), Pseudonym.Directory.Encode() })
        {
            using var refused = await _keys.PostAsync("/v1/rotations/end", null, new { compartment = other, ticket = begun.Ticket });
            Assert.Equal(HttpStatusCode.Forbidden, refused.StatusCode);
        }
        _keys.Time.Advance(RotationEndpoints.TicketLifetime + TimeSpan.FromSeconds(1));
        Assert.Equal(HttpStatusCode.Forbidden, await SealedAsync(begun.Ticket!, 1, 1, 2));
    }

    private string Word(string act, Pseudonym? person = null) => _keys.Gateway.Sign(new DataKeyRotation(act, person ?? Maija, "proposer", "approver"));

    private Task<CreateAnswer> CreateAsync(Pseudonym person) => _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, person), new { });

    private Task<RotateAnswer> BeginAsync(string act, byte[] wrapped) => _keys.PostAsync<object, RotateAnswer>("/v1/rotations", Word(act), new { wrapped });

    private async Task<HttpStatusCode> SealedAsync(string ticket, long sequence, byte before, byte after)
    {
        using var answer = await _keys.PostAsync("/v1/rotations/sealed", null, new { compartment = Maija.Encode(), ticket, sequence, before = Digest(before), after = Digest(after) });
        return answer.StatusCode;
    }

    private async Task<HttpStatusCode> EndAsync(string ticket)
    {
        using var answer = await _keys.PostAsync("/v1/rotations/end", null, new { compartment = Maija.Encode(), ticket });
        return answer.StatusCode;
    }

    /// <returns>The new key, wrapped.</returns>
    private async Task<byte[]> RotatedAsync(string act, byte[] wrapped)
    {
        var begun = await BeginAsync(act, wrapped);
        Assert.Equal((HttpStatusCode.NoContent, HttpStatusCode.OK), (await SealedAsync(begun.Ticket!, 8, 1, 2), await EndAsync(begun.Ticket!)));
        return begun.Wrapped!;
    }

    private async Task<HttpStatusCode> UnwrapAsync(Pseudonym person, byte[] wrapped) => (await _keys.AskAsync(_keys.Grant(GrantUse.Read, person), wrapped)).Status;

    private Task<GivenKey> OpenAsync(Pseudonym person, byte[] wrapped) => _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, person), wrapped);

    private async Task TellAsync(Pseudonym person, string witness, long sequence, byte digest) => Assert.Equal(HttpStatusCode.NoContent, await ToldAsync(person, witness, sequence, digest));

    private async Task<HttpStatusCode> ToldAsync(Pseudonym person, string witness, long sequence, byte digest)
    {
        using var answer = await _keys.PostAsync("/v1/heads", null, new { heads = new[] { new { compartment = person.Encode(), sequence, digest = Digest(digest), witness } } });
        return answer.StatusCode;
    }

    private static byte[] Digest(byte last) => [.. new byte[15], last];

    private async Task RestartAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }
}
