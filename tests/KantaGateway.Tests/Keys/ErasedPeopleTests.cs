using System.Net;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;
using KantaGateway.Keys.Ceremonies;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Scenarios;

namespace KantaGateway.Tests.Keys;

/// <summary>A data key that two persons have had destroyed is given to nobody, over the key service's own contract.</summary>
public sealed class ErasedPeopleTests : IAsyncLifetime
{
    private Pseudonym Maija => _keys.People[0];

    private Pseudonym Matti => _keys.People[1];

    private readonly RunningKeys _keys = new();

    public Task InitializeAsync() => _keys.InitializeAsync();

    public Task DisposeAsync() => _keys.DisposeAsync();

    private string Erased => Path.Combine(_keys.Options.CustodyFolder, "erased");

    private string Ceremonies => Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json");

    [Fact]
    public async Task It_opens_is_made_and_is_wrapped_anew_no_more_now_and_after_a_restart_and_every_other_is()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal(HttpStatusCode.Gone, await UnwrapAsync(Maija, maijas.Wrapped));
            using (var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, Maija), new { }))
                Assert.Equal(HttpStatusCode.Gone, made.StatusCode);
            var rewrapped = await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null,
                new { keys = new[] { new { compartment = Maija.Encode(), wrapped = maijas.Wrapped }, new { compartment = Matti.Encode(), wrapped = mattis.Wrapped } } });
            Assert.Equal((0, WrappedKey.LengthWithPerson), (rewrapped.Wrapped[0]?.Length, rewrapped.Wrapped[1]?.Length));
            Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Matti, mattis.Wrapped));
            await RestartAsync();
        }
        // It is on record beside every other use of a key.
        var records = CustodyLog.ReadSince(_keys.Options.CustodyFolder, DateTimeOffset.MinValue).ToList();
        Assert.Contains(records, record => record is { Operation: KeyOperation.Destroy, Status: 200 } && record.Grant == KeyCustody.GrantDigestOf("one"));
        Assert.Contains(records, record => record is { Operation: KeyOperation.Unwrap, Status: 410 });
        Assert.Contains(records, record => record is { Operation: KeyOperation.Rewrap, Status: 410 });
    }

    [Fact]
    public async Task Whose_is_destroyed_is_told_within_the_budget_of_who_asks_and_no_restart_gives_another()
    {
        var mattis = await CreateAsync(Matti);
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("two", Matti));
        await _keys.StopAsync();
        _keys.Change = static options => options with { Budgets = [new() { Seconds = 86_400, PerRequester = 1, Total = 100 }] };
        await _keys.StartAsync();
        await IsToldAsync(Maija, HttpStatusCode.Gone);
        await IsToldAsync(Matti, HttpStatusCode.TooManyRequests);
        await RestartAsync();
        await IsToldAsync(Matti, HttpStatusCode.TooManyRequests);
        await IsToldAsync(Maija, HttpStatusCode.Gone);

        async Task IsToldAsync(Pseudonym person, HttpStatusCode status)
        {
            using var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, person, caller: "prober"), new { });
            Assert.Equal((status, status), (made.StatusCode, (await _keys.AskAsync(_keys.Grant(GrantUse.Read, person, caller: "prober"), mattis.Wrapped)).Status));
        }
    }

    [Fact]
    public async Task Nothing_but_the_gateways_word_that_two_persons_want_it_destroys_one()
    {
        var maijas = await CreateAsync(Maija);
        var erasure = new KeyErasure("one", Maija, "proposer", "approver");
        var late = _keys.Gateway.Sign(erasure);
        foreach (var word in (string?[])[null, "x", _keys.Gateway.SignServiceToken(), _keys.Grant(GrantUse.Write, Maija), _keys.Gateway.Sign(new KeyCeremony("one", CeremonyStep.Begin, 2, "proposer", "approver")),
            _keys.Gateway.Sign(erasure with { ApprovedBy = "proposer" }), _keys.Gateway.Sign(erasure with { ProposedBy = "" }), _keys.Gateway.Sign(erasure with { Compartment = Pseudonym.Directory })])
            Assert.Equal(HttpStatusCode.Unauthorized, await EraseAsync(word));
        _keys.Time.Advance(TimeSpan.FromSeconds(61));
        Assert.Equal(HttpStatusCode.Unauthorized, await EraseAsync(late));
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, maijas.Wrapped));
    }

    [Fact]
    public async Task A_record_that_a_kill_cut_off_is_no_erasure_and_the_next_one_takes_its_place()
    {
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        await _keys.StopAsync();
        await using (var file = new FileStream(Erased, FileMode.Append))
            await file.WriteAsync(new byte[40]);
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Matti, mattis.Wrapped));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("two", Matti));
        await RestartAsync();
        Assert.Equal(128, new FileInfo(Erased).Length);
        Assert.Equal((HttpStatusCode.Gone, HttpStatusCode.Gone), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Matti, mattis.Wrapped)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(33)]
    [InlineData(63)]
    [InlineData(64)]
    public async Task A_file_that_was_changed_is_no_start(int at)
    {
        var bytes = await ErasedBothAsync();
        var other = bytes.ToArray();
        other[at] ^= 1;
        await RefusesToStartAsync(other);
        await RefusesToStartAsync(bytes[64..]);
        await File.WriteAllBytesAsync(Erased, bytes);
        await _keys.StartAsync();
        // It names nobody.
        Assert.DoesNotContain(Maija.Encode(), System.Text.Encoding.Latin1.GetString(bytes), StringComparison.Ordinal);
        Assert.Equal(-1, bytes.AsSpan().IndexOf(Maija.ToArray()));
    }

    [Theory]
    [InlineData(127)]
    [InlineData(64)]
    [InlineData(0)]
    [InlineData(null)]
    public async Task One_whose_end_was_torn_off_or_that_was_taken_away_is_no_start(int? left)
    {
        var bytes = await ErasedBothAsync();
        var kept = await File.ReadAllBytesAsync(Ceremonies);
        await RefusesToStartAsync(left is { } length ? bytes[..length] : null);
        // Nor where the ceremonies are gone too and version 1 alone would found a service, or are those from before there were erasures: the custody log knows.
        File.Delete(Ceremonies);
        await RefusesToStartAsync(left is { } again ? bytes[..again] : null);
        Assert.False(File.Exists(Ceremonies));
        await AsFoundedBeforeErasuresAsync(kept);
        await RefusesToStartAsync(left is { } more ? bytes[..more] : null);
        await File.WriteAllBytesAsync(Erased, bytes);
        await _keys.StartAsync();
        await RestartAsync();
    }

    [Fact]
    public async Task A_service_that_was_founded_before_there_were_erasures_starts_by_itself_and_forgets_none_from_then_on()
    {
        var maijas = await CreateAsync(Maija);
        await _keys.StopAsync();
        await AsFoundedBeforeErasuresAsync(await File.ReadAllBytesAsync(Ceremonies));
        Assert.False(File.Exists(Erased));
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.OK, await UnwrapAsync(Maija, maijas.Wrapped));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        await RestartAsync();
        Assert.Equal(HttpStatusCode.Gone, await UnwrapAsync(Maija, maijas.Wrapped));
        await _keys.StopAsync();
        await RefusesToStartAsync(null, andBack: true);
    }

    [Fact]
    public async Task One_that_a_kill_left_unsaid_in_the_ceremonies_holds_and_is_said_at_the_next_start()
    {
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        var kept = await File.ReadAllBytesAsync(Ceremonies);
        // The ceremonies cannot be written: the erasure is in the file, and nobody was told.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await EraseAsync("two", Matti));
        Assert.Equal(kept, await File.ReadAllBytesAsync(Ceremonies));
        Directory.Delete(Ceremonies + ".new");
        await RestartAsync();
        Assert.NotEqual(kept, await File.ReadAllBytesAsync(Ceremonies));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("two", Matti));
        Assert.Equal(128, new FileInfo(Erased).Length);
        await _keys.StopAsync();
        await RefusesToStartAsync((await File.ReadAllBytesAsync(Erased))[..64], andBack: true);
    }

    /// <summary>Both are erased, and the service is stopped.</summary>
    /// <returns>What it keeps of them.</returns>
    private async Task<byte[]> ErasedBothAsync()
    {
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("two", Matti));
        await _keys.StopAsync();
        return await File.ReadAllBytesAsync(Erased);
    }

    /// <param name="erased">What is in the file; null: it is gone.</param>
    /// <param name="andBack">Whether it is brought back and the service started.</param>
    private async Task RefusesToStartAsync(byte[]? erased, bool andBack = false)
    {
        var bytes = await File.ReadAllBytesAsync(Erased);
        if (erased is null)
            File.Delete(Erased);
        else
            await File.WriteAllBytesAsync(Erased, erased);
        Assert.Contains(Erased, (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(Erased, bytes);
        if (andBack)
            await _keys.StartAsync();
    }

    /// <summary>Writes the ceremonies as a release did that knew of no erasures.</summary>
    private async Task AsFoundedBeforeErasuresAsync(byte[] kept)
    {
        var read = JsonSerializer.Deserialize(kept, CeremonyJson.Default.CeremonyFile)!;
        var keys = KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true);
        var mac = HMACSHA256.HashData(HMACSHA256.HashData(keys.CustodyKey!, "kanta key ceremonies v1"u8),
            (byte[])[.. JsonSerializer.SerializeToUtf8Bytes(read.Ceremonies, CeremonyJson.Default.ListCeremony), .. "people"u8, .. JsonSerializer.SerializeToUtf8Bytes(read.People!, CeremonyJson.Default.PeopleEnd)]);
        var file = JsonNode.Parse(kept)!.AsObject();
        file.Remove("erased");
        file["mac"] = Convert.ToBase64String(mac);
        await File.WriteAllTextAsync(Ceremonies, file.ToJsonString());
    }

    private async Task RestartAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }

    private Task<HttpStatusCode> EraseAsync(string act, Pseudonym person) => EraseAsync(_keys.Gateway.Sign(new KeyErasure(act, person, "proposer", "approver")));

    private async Task<HttpStatusCode> EraseAsync(string? word)
    {
        using var answer = await _keys.PostAsync("/v1/erasures", word, new { });
        if (answer.IsSuccessStatusCode)
            await _keys.SettledAsync();
        return answer.StatusCode;
    }

    private Task<CreateAnswer> CreateAsync(Pseudonym person) => _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, person), new { });

    [Fact]
    public async Task Who_was_erased_after_a_backup_stays_erased_when_it_is_brought_back()
    {
        using var elsewhere = new TemporaryFolder();
        var (maijas, mattis) = (await CreateAsync(Maija), await CreateAsync(Matti));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        await _keys.StopAsync();
        _keys.Change = options => options with { ErasedCopyFile = elsewhere.File("erased") };
        await _keys.StartAsync();
        await _keys.StopAsync();
        // What was there before the copy is in it.
        Assert.Equal(await File.ReadAllBytesAsync(Erased), await File.ReadAllBytesAsync(elsewhere.File("erased")));
        foreach (var file in (string[])[Erased, Ceremonies])
            File.Copy(file, elsewhere.File("backup-" + Path.GetFileName(file)));
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("two", Matti));
        await _keys.StopAsync();
        foreach (var file in (string[])[Erased, Ceremonies])
            File.Copy(elsewhere.File("backup-" + Path.GetFileName(file)), file, overwrite: true);
        await _keys.StartAsync();
        Assert.Equal((HttpStatusCode.Gone, HttpStatusCode.Gone), (await UnwrapAsync(Maija, maijas.Wrapped), await UnwrapAsync(Matti, mattis.Wrapped)));
        // And without the copy, from then on.
        await _keys.StopAsync();
        _keys.Change = static options => options;
        await _keys.StartAsync();
        Assert.Equal(HttpStatusCode.Gone, await UnwrapAsync(Matti, mattis.Wrapped));
    }

    [Fact]
    public async Task An_erasure_is_done_when_it_stands_in_both_places()
    {
        using var elsewhere = new TemporaryFolder();
        var maijas = await CreateAsync(Maija);
        await _keys.StopAsync();
        _keys.Change = options => options with { ErasedCopyFile = elsewhere.File("erased") };
        await _keys.StartAsync();
        Directory.CreateDirectory(elsewhere.File("erased"));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await EraseAsync("one", Maija));
        Directory.Delete(elsewhere.File("erased"));
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        Assert.Equal(64, new FileInfo(elsewhere.File("erased")).Length);
        Assert.Equal(HttpStatusCode.Gone, await UnwrapAsync(Maija, maijas.Wrapped));
    }

    [Fact]
    public async Task A_copy_that_was_changed_or_goes_on_from_another_is_no_start()
    {
        using var elsewhere = new TemporaryFolder();
        await CreateAsync(Maija);
        Assert.Equal(HttpStatusCode.NoContent, await EraseAsync("one", Maija));
        await _keys.StopAsync();
        var kept = await File.ReadAllBytesAsync(Erased);
        foreach (var copy in (byte[][])[[.. kept, .. kept], [.. kept[..^1], (byte)(kept[^1] ^ 1), .. kept], [.. new byte[128]]])
        {
            await File.WriteAllBytesAsync(elsewhere.File("erased"), copy);
            Assert.Contains(elsewhere.File("erased") + " (ErasedCopyFile)", Assert.Throws<InvalidOperationException>(() => { KeysHost.Build(_keys.Options with { ErasedCopyFile = elsewhere.File("erased") }); }).Message, StringComparison.Ordinal);
        }
        Assert.Contains(nameof(KeysOptions.ErasedCopyFile), Assert.Throws<InvalidOperationException>(() => { KeysHost.Build(_keys.Options with { ErasedCopyFile = Path.Combine(_keys.Options.CustodyFolder, "copy") }); }).Message, StringComparison.Ordinal);
        await _keys.StartAsync();
    }

    private async Task<HttpStatusCode> UnwrapAsync(Pseudonym person, byte[] wrapped) => (await _keys.AskAsync(_keys.Grant(GrantUse.Read, person), wrapped)).Status;
}
