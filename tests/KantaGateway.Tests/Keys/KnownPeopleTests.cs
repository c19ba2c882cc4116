#pragma warning disable CA5394 // The same seed gives the same sequence; nothing here is a secret.
using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Custody;
using KantaGateway.Tests.Scenarios;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Keys;

/// <summary>Each identity code has one number for ever, whatever key it is found by, over the key service's own contract.</summary>
public sealed class KnownPeopleTests : IAsyncLifetime
{
    private const int RecordSize = 136;

    private readonly RunningKeys _keys = new();
    private readonly TemporaryFolder _elsewhere = new();
    private SilentBackend? _silent;

    public Task InitializeAsync() => _keys.InitializeAsync();

    public async Task DisposeAsync()
    {
        await _keys.DisposeAsync();
        _elsewhere.Dispose();
    }

    [Fact]
    public async Task A_number_is_random_and_the_same_after_a_restart_and_no_key_makes_it()
    {
        var number = await NumberAsync(0);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
        Assert.NotEqual(number, await NumberAsync(1));
        Assert.NotEqual(number, Pseudonym.Read(HMACSHA256.HashData(FileNow().PseudonymKeys!.Single().Key, Encoding.ASCII.GetBytes(Code(0)))));
        await using var another = new Another();
        await another.Keys.InitializeAsync();
        Assert.NotEqual(number, await NumberAsync(0, another.Keys));
        // The register names nobody.
        var bytes = await File.ReadAllBytesAsync(Register(1));
        Assert.Equal(2 * RecordSize, bytes.Length);
        Assert.Equal((-1, -1), (bytes.AsSpan().IndexOf(number.ToArray()), bytes.AsSpan().IndexOf(Encoding.ASCII.GetBytes(Code(0)))));
    }

    [Fact]
    public async Task However_many_ask_at_once_each_code_gets_one_number()
    {
        var numbers = await Task.WhenAll(Enumerable.Range(0, 120).Select(i => NumberAsync(i % 40)));
        for (var i = 0; i < numbers.Length; i++)
            Assert.Equal(numbers[i % 40], numbers[i]);
        Assert.Equal(40, numbers.Distinct().Count());
        Assert.Equal(40 * RecordSize, new FileInfo(Register(1)).Length);
    }

    [Fact]
    public async Task Under_another_pseudonym_key_everybody_keeps_the_number_while_requests_go_on_and_the_old_key_finds_nobody()
    {
        const int people = 250;
        var numbers = await RegisterAsync(people);
        var old = FileNow().PseudonymKeys!.Single().Key;
        using var enough = new CancellationTokenSource();
        var asked = 0;
        var load = Enumerable.Range(0, 3).Select(worker => Task.Run(async () =>
        {
            for (var i = worker; !enough.IsCancellationRequested; i += 3)
            {
                Assert.Equal(numbers[i % people], await NumberAsync(i % people));
                // And somebody new, who is found from then on.
                Assert.Equal(await NumberAsync(people + (i % 60)), await NumberAsync(people + (i % 60)));
                Interlocked.Increment(ref asked);
            }
        })).ToArray();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.True(asked > 0);
        var progress = await ProgressAsync();
        Assert.Equal((2, 100d, 0d), ((int)progress["version"]!, (double)progress["percent"]!, (double)progress["secondsLeft"]!));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        for (var then = Volatile.Read(ref asked); Volatile.Read(ref asked) < then + 50 && !load.Any(static task => task.IsCompleted);)
            await Task.Yield();
        await enough.CancelAsync();
        await Task.WhenAll(load);
        Assert.Equal([2u], FileNow().PseudonymKeys!.Select(static key => key.Version));
        Assert.Equal([Register(2)], Directory.GetFiles(_keys.Options.CustodyFolder, "people-*"));

        // :: Whoever has the old key finds nobody with it in anything that is kept.
        await _keys.StopAsync();
        var kept = Directory.GetFiles(_keys.Folder, "*", SearchOption.AllDirectories).Where(static file => !file.EndsWith(".sock", StringComparison.Ordinal)).Select(File.ReadAllBytes).ToList();
        Assert.Equal(1, FoundIn(kept, FileNow().PseudonymKeys!.Single().Key));
        Assert.Equal(0, FoundIn(kept, old));
        // Nor by a service that is given it, beside the new one or in its place.
        var whole = await File.ReadAllTextAsync(_keys.Options.KeyFile);
        var file = FileNow();
        (file with { PseudonymKeys = [new(1, old), .. file.PseudonymKeys!] }).Write(_keys.Options.KeyFile, overwrite: true);
        await _keys.StartAsync();
        Assert.Equal(numbers, await RegisterAsync(people));
        await _keys.StopAsync();
        foreach (var (version, says) in new[] { (1u, "lost the pseudonym key of version 2"), (2u, "another than the one that began its service") })
        {
            (file with { PseudonymKeys = [new(version, old)] }).Write(_keys.Options.KeyFile, overwrite: true);
            Assert.Contains(says, await RefusesToStartAsync(), StringComparison.Ordinal);
        }
        await File.WriteAllTextAsync(_keys.Options.KeyFile, whole);
        await _keys.StartAsync();
        Assert.Equal(numbers, await RegisterAsync(people));

        // 1: somebody's name under the key is in what is kept.
        int FoundIn(List<byte[]> kept, byte[] key) => Enumerable.Range(0, people).Any(i => HMACSHA256.HashData(key, Encoding.ASCII.GetBytes(Code(i))) is var name
            && kept.Exists(bytes => bytes.AsSpan().IndexOf(name.AsSpan(0, 8)) >= 0)) ? 1 : 0;
    }

    [Fact]
    public async Task What_was_cut_off_goes_on_where_it_stopped_and_the_old_key_stays_until_nobody_is_named_by_it()
    {
        const int people = 250;
        var numbers = await RegisterAsync(people);
        await SilentAsync();
        // Somewhere in the second hundred.
        _silent!.OpensLeft = 130;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!_silent.HasFailed)
            await Task.Yield();
        Assert.Equal(people - 100, await LeftAsync());
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal(numbers, await RegisterAsync(people));
        // A restart does only what is left.
        _silent.OpensLeft = null;
        _silent.Opened = 0;
        await RestartAsync();
        await DoneAsync();
        Assert.Equal(people - 100, _silent.Opened);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal(numbers, await RegisterAsync(people));
        await RestartAsync();
        Assert.Equal(numbers, await RegisterAsync(people));
    }

    [Fact]
    public async Task Identity_codes_are_sealed_anew_with_another_wrapping_key_and_the_old_one_stays_until_none_is_left()
    {
        var numbers = await RegisterAsync(5);
        await SilentAsync();
        _silent!.OpensLeft = 2;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2, KeyKind.Wrapping));
        while (!_silent.HasFailed)
            await Task.Yield();
        _keys.Time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1, KeyKind.Wrapping));
        _silent.OpensLeft = null;
        await RestartAsync();
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1, KeyKind.Wrapping));
        // They open: everybody gets another name by them.
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("three", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("four", CeremonyStep.Destroy, 1));
        await RestartAsync();
        Assert.Equal(numbers, await RegisterAsync(5));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(30)]
    [InlineData(100)]
    [InlineData(RecordSize - 1)]
    [InlineData(RecordSize)]
    public async Task A_register_that_was_changed_is_no_start(int at)
    {
        await RegisterAsync(3);
        await _keys.StopAsync();
        var bytes = await File.ReadAllBytesAsync(Register(1));
        var changed = bytes.ToArray();
        changed[at] ^= 1;
        foreach (var other in (byte[][])[changed, bytes[RecordSize..], bytes[..^RecordSize], bytes[..^1], []])
        {
            await File.WriteAllBytesAsync(Register(1), other);
            Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        }
        File.Delete(Register(1));
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        // Nor where what says where it ends is gone too: the custody log knows that the service was at work.
        await File.WriteAllBytesAsync(Register(1), bytes);
        await _keys.StartAsync();
        await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, await NumberAsync(0)), new { });
        await _keys.StopAsync();
        File.Delete(Ceremonies);
        File.Delete(Register(1));
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        Assert.False(File.Exists(Register(1)));
    }

    /// <summary>Each durable step of giving a number fails once before it and once after it.</summary>
    [Fact]
    public async Task Who_was_not_told_a_number_because_the_disk_failed_gets_one_and_no_other_later()
    {
        Directory.CreateDirectory(Register(1));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(0));
        Directory.Delete(Register(1));
        // It is in the register, and where that ends could not be kept.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(0));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(1));
        Directory.Delete(Ceremonies + ".new");
        var number = await NumberAsync(0);
        Assert.Equal(RecordSize, new FileInfo(Register(1)).Length);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
        // A kill in that place: nobody was told, and it stands.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(2));
        await _keys.StopAsync();
        Directory.Delete(Ceremonies + ".new");
        await File.AppendAllTextAsync(Register(1), "a part of a record");
        await _keys.StartAsync();
        await NumberAsync(2);
        await NumberAsync(3);
        Assert.Equal(3 * RecordSize, new FileInfo(Register(1)).Length - new FileInfo(Register(1)).Length % RecordSize);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
    }

    [Fact]
    public async Task Who_was_not_told_a_number_because_the_disk_failed_is_written_anew_with_the_others()
    {
        var numbers = await RegisterAsync(3);
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(3));
        Directory.Delete(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        // Only where it never ends does the time count.
        await DoneAsync().WaitAsync(TimeSpan.FromMinutes(1));
        var number = await NumberAsync(3);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        await RestartAsync();
        Assert.Equal(numbers.Append(number), await RegisterAsync(4));
        Assert.Equal(4, (int)(await ProgressAsync())["all"]!);
    }

    [Fact]
    public async Task Who_is_in_the_new_register_twice_is_found_by_the_later_record_after_a_restart_too()
    {
        var numbers = await RegisterAsync(3);
        await SilentAsync();
        _silent!.OpensLeft = 0;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!_silent.HasFailed)
            await Task.Yield();
        // They are written under the second key, and where the file ends cannot be kept.
        Directory.CreateDirectory(Ceremonies + ".new");
        _silent.OpensLeft = null;
        await RestartAsync();
        while (!File.Exists(Register(2)) || new FileInfo(Register(2)).Length < 3 * RecordSize)
            await Task.Yield();
        // Answered when what failed has come to its end.
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Directory.Delete(Ceremonies + ".new");
        // Then once more, under the third.
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("three", CeremonyStep.Begin, 3));
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("four", CeremonyStep.Destroy, 2));
        Assert.Equal(7 * RecordSize, new FileInfo(Register(2)).Length);
        await RestartAsync();
        Assert.Equal(numbers, await RegisterAsync(3));
    }

    [Fact]
    public async Task An_old_register_under_the_number_of_a_newer_one_is_no_start()
    {
        await RegisterAsync(2);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await WrittenAsync(2);
        var old = await File.ReadAllBytesAsync(Register(2));
        await NumberAsync(2);
        await _keys.StopAsync();
        await File.WriteAllBytesAsync(Register(3), old);
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        File.Delete(Register(3));
        await _keys.StartAsync();
    }

    /// <summary>A kill after each durable step of the end: the last record, what says where it ends, the old file.</summary>
    [Theory]
    [InlineData(true, true), InlineData(true, false), InlineData(false, true)]
    public async Task The_new_register_takes_the_place_of_the_old_one_whatever_a_kill_left_undone(bool isOldThere, bool isEndUnkept)
    {
        var numbers = await RegisterAsync(130);
        await SilentAsync();
        _silent!.OpensLeft = 110;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!_silent.HasFailed)
            await Task.Yield();
        var (old, end) = (await File.ReadAllBytesAsync(Register(1)), await File.ReadAllBytesAsync(Ceremonies));
        _silent.OpensLeft = null;
        await RestartAsync();
        await DoneAsync();
        await _keys.StopAsync();
        if (isOldThere)
            await File.WriteAllBytesAsync(Register(1), old);
        if (isEndUnkept)
            await File.WriteAllBytesAsync(Ceremonies, end);
        await _keys.StartAsync();
        Assert.Equal(numbers, await RegisterAsync(130));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal([Register(2)], Directory.GetFiles(_keys.Options.CustodyFolder, "people-*"));
        await RestartAsync();
        Assert.Equal(numbers, await RegisterAsync(130));
    }

    [Fact]
    public async Task Of_who_is_erased_the_identity_code_goes_and_their_number_stays_refused_and_is_nobodys_under_another_key()
    {
        var numbers = await RegisterAsync(3);
        var wrapped = await CreateAsync(numbers[1]);
        Assert.Equal(WrappedKey.LengthWithPerson, wrapped.Length);
        var code = WrappedKey.PersonOf(wrapped).ToArray();
        Assert.True(Has(Register(1), code));
        using (var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure("act", numbers[1], "proposer", "approver")), new { }))
            Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
        await WrittenAsync(2);
        Assert.False(Has(Register(2), code));
        Assert.Equal(numbers, await RegisterAsync(3));
        using (var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, numbers[1]), new { }))
            Assert.Equal(HttpStatusCode.Gone, made.StatusCode);
        // No store brings it back.
        Assert.Empty((await RewrapAsync(numbers[1], wrapped))!);
        await RestartAsync();
        // There is no code left to be taken out.
        Assert.False(_keys.Services.GetRequiredService<KnownPeople>().HasWork);
        Assert.True(File.Exists(Register(2)));
        Assert.Equal(numbers, await RegisterAsync(3));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.Equal(2, (int)(await ProgressAsync())["all"]!);
        Assert.NotEqual(numbers[1], await NumberAsync(1));
        Assert.Equal((numbers[0], numbers[2]), (await NumberAsync(0), await NumberAsync(2)));
        Assert.Empty((await RewrapAsync(numbers[1], wrapped))!);
        await RestartAsync();
        Assert.Equal((numbers[0], numbers[2]), (await NumberAsync(0), await NumberAsync(2)));
    }

    [Fact]
    public async Task Whom_a_register_from_a_backup_lacks_a_store_brings_back_and_nobody_new_gets_a_number_before()
    {
        var early = await NumberAsync(0);
        var backup = BackUp();
        var late = await NumberAsync(1);
        var (earlys, lates) = (await CreateAsync(early), await CreateAsync(late));
        await _keys.StopAsync();
        BringBack(backup, isMarked: true);
        await _keys.StartAsync();
        Assert.True(await LacksAsync());
        Assert.Equal(early, await NumberAsync(0));
        Assert.Equal((HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable), (await AskAsync(1), await AskAsync(2)));
        using (var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, late), new { }))
            Assert.Equal(HttpStatusCode.ServiceUnavailable, made.StatusCode);

        // :: What the store made up, or exchanged, names nobody.
        var (key, person) = (lates[..WrappedKey.Length], WrappedKey.PersonOf(lates).ToArray());
        var stranger = Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size));
        var changed = person.ToArray();
        changed[40] ^= 1;
        foreach (var (number, behind) in new[] { (stranger, person), (early, person), (late, WrappedKey.PersonOf(earlys).ToArray()), (late, changed), (late, key) })
            await RewrapAsync(number, [.. key, .. behind]);
        Assert.Equal((early, HttpStatusCode.ServiceUnavailable), (await NumberAsync(0), await AskAsync(1)));

        Assert.Equal(lates.Length, (await RewrapAsync(late, lates))!.Length);
        Assert.Equal((early, late), (await NumberAsync(0), await NumberAsync(1)));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(2));
        await RestartAsync();
        Assert.True(await LacksAsync());
        Assert.Equal(late, await NumberAsync(1));
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        Assert.Equal(HttpStatusCode.OK, await AskAsync(2));
        await RestartAsync();
        Assert.False(await LacksAsync());
        Assert.Equal((early, late), (await NumberAsync(0), await NumberAsync(1)));
    }

    [Fact]
    public async Task A_register_that_was_put_back_by_hand_is_noticed_when_somebody_is_opened_whom_it_lacks()
    {
        var backup = BackUp();
        var number = await NumberAsync(0);
        var wrapped = await CreateAsync(number);
        await _keys.StopAsync();
        BringBack(backup, isMarked: false);
        await _keys.StartAsync();
        Assert.False(await LacksAsync());
        await _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, number), wrapped);
        Assert.Equal(number, await NumberAsync(0));
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.True(await LacksAsync());
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(1));
            await RestartAsync();
        }
        // Of whom it does not lack it takes nothing for that.
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        await _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, number), wrapped);
        Assert.False(await LacksAsync());
    }

    [Fact]
    public async Task A_record_that_was_begun_anew_meanwhile_keeps_its_number_and_shows_once_that_the_register_is_an_older_one()
    {
        var backup = BackUp();
        var first = await NumberAsync(0);
        var wrapped = await CreateAsync(first);
        await _keys.StopAsync();
        // By hand: nothing says that it is from a backup.
        BringBack(backup, isMarked: false);
        await _keys.StartAsync();
        var second = await NumberAsync(0);
        Assert.NotEqual(first, second);
        // What says whose the other record is stays behind its key.
        Assert.Equal(wrapped, await RewrapAsync(first, wrapped));
        Assert.Equal(second, await NumberAsync(0));
        // Who was begun anew was not found: others may not be found either.
        Assert.True(await LacksAsync());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(1));
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        // The record stays as it is, and stops nobody again.
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal(wrapped, await RewrapAsync(first, wrapped));
            Assert.False(await LacksAsync());
            await RestartAsync();
        }
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2, KeyKind.Wrapping));
        var anew = (await RewrapAsync(first, wrapped))!;
        Assert.Equal((WrappedKey.LengthWithPerson, 2u), (anew.Length, WrappedKey.VersionOf(WrappedKey.PersonOf(anew).Span)));
        // What does not open stays too.
        anew[^1] ^= 1;
        Assert.Equal(anew, await RewrapAsync(first, anew));
    }

    [Fact]
    public async Task No_record_is_begun_under_a_number_of_before_a_restore_that_nobody_has_any_more()
    {
        var early = await NumberAsync(0);
        var backup = BackUp();
        var late = await NumberAsync(1);
        await _keys.StopAsync();
        BringBack(backup, isMarked: true);
        await _keys.StartAsync();
        // It was never stored, so no store tells of it.
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.False(await LacksAsync());
            using (var made = await _keys.PostAsync("/v1/keys/create", _keys.Grant(GrantUse.Write, late), new { }))
                Assert.Equal(HttpStatusCode.ServiceUnavailable, made.StatusCode);
            await RestartAsync();
        }
        await CreateAsync(early);
        await CreateAsync(await NumberAsync(1));
        await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, Pseudonym.Directory), new { });
    }

    [Fact]
    public async Task A_copy_on_another_disk_knows_whom_a_register_from_a_backup_lacks()
    {
        await _keys.StopAsync();
        _keys.Change = options => options with { PeopleCopyFolder = _elsewhere.Path };
        await _keys.StartAsync();
        var early = await NumberAsync(0);
        var backup = BackUp();
        var late = await NumberAsync(1);
        await _keys.StopAsync();
        Assert.Equal(await File.ReadAllBytesAsync(Register(1)), await File.ReadAllBytesAsync(_elsewhere.File("people-1")));
        BringBack(backup, isMarked: false);
        await _keys.StartAsync();
        Assert.Equal((early, late), (await NumberAsync(0), await NumberAsync(1)));
        // Also where everybody has been sealed anew since.
        backup = BackUp();
        using (var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure("act", early, "proposer", "approver")), new { }))
            Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
        await WrittenAsync(2);
        var last = await NumberAsync(2);
        await _keys.StopAsync();
        Assert.Equal([_elsewhere.File("people-2")], Directory.GetFiles(_elsewhere.Path, "people-*"));
        BringBack(backup, isMarked: false);
        await _keys.StartAsync();
        Assert.Equal((late, last), (await NumberAsync(1), await NumberAsync(2)));
        Assert.Equal([Register(2)], Directory.GetFiles(_keys.Options.CustodyFolder, "people-*"));
        // One that goes on from another is no start.
        await _keys.StopAsync();
        var bytes = await File.ReadAllBytesAsync(Register(2));
        bytes[^1] ^= 1;
        await File.WriteAllBytesAsync(_elsewhere.File("people-2"), [.. bytes, .. bytes]);
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        File.Delete(_elsewhere.File("people-2"));
        await _keys.StartAsync();
    }

    /// <summary>Random sequences of asking, rotating, erasing and kills, at any call of the backend, against a model that knows the numbers alone.</summary>
    [Theory]
    [InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6)]
    public async Task Nobody_ever_gets_another_number_whatever_happens_in_whatever_order(int seed)
    {
        var random = new Random(seed);
        await SilentAsync();
        var (numbers, gone) = (new Dictionary<int, Pseudonym>(), new HashSet<int>());
        var (pseudonym, wrapping, act) = ((First: 1u, Last: 1u), (First: 1u, Last: 1u), 0);
        for (var step = 0; step < 120; step++)
            switch (random.Next(10))
            {
                case <= 4:
                    foreach (var i in Enumerable.Range(0, random.Next(1, 30)).Select(_ => random.Next(160)).Where(i => !gone.Contains(i)).ToList())
                    {
                        var number = await NumberAsync(i);
                        Assert.Equal(numbers.GetValueOrDefault(i, number), number);
                        numbers[i] = number;
                    }
                    break;
                case 5 when random.Next(2) == 0:
                    if (await HoldAsync($"{act++}", CeremonyStep.Begin, pseudonym.Last + 1) == HttpStatusCode.OK)
                        pseudonym.Last++;
                    break;
                case 5:
                    if (await HoldAsync($"{act++}", CeremonyStep.Begin, wrapping.Last + 1, KeyKind.Wrapping) == HttpStatusCode.OK)
                        wrapping.Last++;
                    break;
                case 6:
                    _keys.Time.Advance(TimeSpan.FromMinutes(10));
                    if (await HoldAsync($"{act++}", CeremonyStep.Destroy, pseudonym.First) == HttpStatusCode.OK)
                        pseudonym.First++;
                    if (await HoldAsync($"{act++}", CeremonyStep.Destroy, wrapping.First, KeyKind.Wrapping) == HttpStatusCode.OK)
                        wrapping.First++;
                    break;
                case 7 when numbers.Count > 20:
                    var one = numbers.Keys.ElementAt(random.Next(numbers.Count));
                    using (var erased = await _keys.PostAsync("/v1/erasures", _keys.Gateway.Sign(new KeyErasure($"{act++}", numbers[one], "proposer", "approver")), new { }))
                        Assert.Equal(HttpStatusCode.NoContent, erased.StatusCode);
                    numbers.Remove(one);
                    gone.Add(one);
                    break;
                case 8:
                    _silent!.OpensLeft = random.Next(2) == 0 ? random.Next(60) : null;
                    break;
                default:
                    // As a kill leaves it: the folder as it is at this moment.
                    var killed = BackUp();
                    await _keys.StopAsync();
                    BringBack(killed, isMarked: false);
                    await _keys.StartAsync();
                    break;
            }
        _silent!.OpensLeft = null;
        await RestartAsync();
        await DoneAsync();
        foreach (var (i, number) in numbers)
            Assert.Equal(number, await NumberAsync(i));
        Assert.Equal(numbers.Count, numbers.Values.Distinct().Count());
    }

    private string Ceremonies => Path.Combine(_keys.Options.CustodyFolder, "ceremonies.json");

    private string Register(int generation) => Path.Combine(_keys.Options.CustodyFolder, $"people-{generation}");

    private static bool Has(string file, byte[] bytes) => File.ReadAllBytes(file).AsSpan().IndexOf(bytes) >= 0;

    private KeyFile FileNow() => KeyFile.Open(_keys.Options.KeyFile, create: false, isBackend: true);

    private static string Code(int person) => FictionalIdentityCode.Of("people", person).Reveal();

    private async Task<Pseudonym[]> RegisterAsync(int people)
    {
        var numbers = new List<Pseudonym>();
        foreach (var part in Enumerable.Range(0, people).Chunk(50))
            numbers.AddRange(await Task.WhenAll(part.Select(person => NumberAsync(person))));
        return [.. numbers];
    }

    private async Task<Pseudonym> NumberAsync(int person, RunningKeys? of = null)
    {
        var keys = of ?? _keys;
        var answer = await keys.PostAsync<object, PseudonymAnswer>("/v1/pseudonym", keys.Gateway.SignServiceToken(), new { identityCode = Code(person) });
        Assert.True(Pseudonym.TryDecode(answer.Pseudonym, out var number));
        return number;
    }

    private async Task<HttpStatusCode> AskAsync(int person)
    {
        using var answer = await _keys.PostAsync("/v1/pseudonym", _keys.Gateway.SignServiceToken(), new { identityCode = Code(person) });
        return answer.StatusCode;
    }

    private async Task<byte[]> CreateAsync(Pseudonym number) => (await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, number), new { })).Wrapped;

    private async Task<byte[]?> RewrapAsync(Pseudonym number, byte[] wrapped) =>
        (await _keys.PostAsync<object, RewrapAnswer>("/v1/keys/rewrap", null, new { keys = new[] { new { compartment = number.Encode(), wrapped } } })).Wrapped.Single();

    private async Task<HttpStatusCode> HoldAsync(string act, CeremonyStep step, uint version, KeyKind key = KeyKind.Pseudonym)
    {
        using var answer = await _keys.PostAsync("/v1/ceremonies", _keys.Gateway.Sign(new KeyCeremony(act, step, version, "proposer", "approver", key)), new { });
        return answer.StatusCode;
    }

    private async Task<HttpStatusCode> WholeAsync()
    {
        using var answer = await _keys.PostAsync("/v1/people/whole", null, new { });
        return answer.StatusCode;
    }

    private async Task<bool> LacksAsync() => (bool)JsonNode.Parse(await _keys.Client.GetStringAsync("/v1/keys/versions"))!["lacks"]!;

    private async Task<JsonNode> ProgressAsync() => JsonNode.Parse(await _keys.Client.GetStringAsync("/v1/people"))!;

    private async Task<long> LeftAsync() => (long)(await ProgressAsync())["left"]!;

    private async Task DoneAsync()
    {
        while (await LeftAsync() > 0)
            await Task.Yield();
    }

    /// <summary>Everybody is in the file of that number alone.</summary>
    private async Task WrittenAsync(int generation)
    {
        while (!File.Exists(Register(generation)) || File.Exists(Register(generation - 1)) || await LeftAsync() > 0)
            await Task.Yield();
    }

    /// <summary>Starts it anew over a backend that can fall silent.</summary>
    private async Task SilentAsync()
    {
        await _keys.StopAsync();
        _silent = new();
        _keys.Configure = builder => builder.Services.AddSingleton<IKeyBackend>(_ => _silent.Over(new FileBackend(_keys.Options.KeyFile, FileNow())));
        await _keys.StartAsync();
    }

    private async Task RestartAsync()
    {
        await _keys.StopAsync();
        await _keys.StartAsync();
    }

    private async Task<string> RefusesToStartAsync() => (await Assert.ThrowsAsync<InvalidOperationException>(_keys.StartAsync)).Message;

    /// <summary>The files of the custody folder, what says where they end before them.</summary>
    private Dictionary<string, byte[]> BackUp()
    {
        var backup = new Dictionary<string, byte[]> { [Ceremonies] = File.ReadAllBytes(Ceremonies) };
        foreach (var file in Directory.GetFiles(_keys.Options.CustodyFolder).Where(file => Path.GetFileName(file) != "lock" && file != Ceremonies && !file.EndsWith(".new", StringComparison.Ordinal)))
            try
            {
                backup[file] = File.ReadAllBytes(file);
            }
            catch (FileNotFoundException)
            {
                // Another one has taken its place while we looked, and has everybody.
                return BackUp();
            }
        return backup;
    }

    private void BringBack(Dictionary<string, byte[]> backup, bool isMarked)
    {
        foreach (var file in Directory.GetFiles(_keys.Options.CustodyFolder).Where(static file => Path.GetFileName(file) != "lock"))
            File.Delete(file);
        foreach (var (file, bytes) in backup)
            File.WriteAllBytes(file, bytes);
        if (isMarked)
            File.WriteAllText(Path.Combine(_keys.Options.CustodyFolder, "restored"), "");
    }

    private sealed class Another : IAsyncDisposable
    {
        public RunningKeys Keys { get; } = new();

        public async ValueTask DisposeAsync() => await Keys.DisposeAsync();
    }

    /// <summary>A backend that opens only so much and then is silent about what is to be opened.</summary>
    private sealed class SilentBackend : IKeyBackend
    {
        private readonly Lock _turn = new();
        private IKeyBackend _real = null!;
        private int? _opensLeft;

        public int? OpensLeft
        {
            set
            {
                lock (_turn)
                    (_opensLeft, HasFailed) = (value, false);
            }
        }

        public int Opened { get; set; }

        public bool HasFailed { get; private set; }

        public SilentBackend Over(IKeyBackend real)
        {
            _real = real;
            return this;
        }

        public ValueTask<byte[]?> OpenAsync(uint version, ReadOnlyMemory<byte> sealedKey, ReadOnlyMemory<byte> associated, CancellationToken cancel)
        {
            lock (_turn)
            {
                if (_opensLeft is { } left && (_opensLeft = Math.Max(-1, left - 1)) < 0)
                {
                    HasFailed = true;
                    throw new KeyBackendException("It is silent on purpose.");
                }
                Opened++;
            }
            return _real.OpenAsync(version, sealedKey, associated, cancel);
        }

        public ValueTask<IReadOnlyList<uint>> VersionsAsync(KeyKind kind, CancellationToken cancel) => _real.VersionsAsync(kind, cancel);
        public ValueTask MakeAsync(KeyKind kind, uint version, CancellationToken cancel) => _real.MakeAsync(kind, version, cancel);
        public ValueTask DestroyAsync(KeyKind kind, uint version, CancellationToken cancel) => _real.DestroyAsync(kind, version, cancel);
        public ValueTask<byte[]> SealAsync(uint version, ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> associated, CancellationToken cancel) => _real.SealAsync(version, key, associated, cancel);
        public ValueTask<byte[]> MacAsync(uint version, ReadOnlyMemory<byte> text, CancellationToken cancel) => _real.MacAsync(version, text, cancel);
        public ValueTask<byte[]> DeriveAsync(string label, CancellationToken cancel) => _real.DeriveAsync(label, cancel);
        public void Dispose() => _real.Dispose();
    }
}
