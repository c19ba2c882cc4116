#pragma warning disable CA5394 // The same seed gives the same sequence; nothing here is a secret.
using System.Net;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Custody;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Keys;

/// <summary>Everybody keeps the number while all are written anew for another key, whatever stops it.</summary>
public sealed class PeopleAnewTests : PeopleTests
{
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
        while (Volatile.Read(ref asked) == 0 && !load.Any(static task => task.IsCompleted))
            await Task.Yield();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await DoneAsync();
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
        Silent.OpensLeft = 130;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!Silent.HasFailed)
            await Task.Yield();
        Assert.Equal(people - 100, await LeftAsync());
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal(numbers, await RegisterAsync(people));
        // A restart does only what is left.
        Silent.OpensLeft = null;
        Silent.Opened = 0;
        await RestartAsync();
        await DoneAsync();
        Assert.Equal(people - 100, Silent.Opened);
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
        Silent.OpensLeft = 2;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2, KeyKind.Wrapping));
        while (!Silent.HasFailed)
            await Task.Yield();
        _keys.Time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1, KeyKind.Wrapping));
        Silent.OpensLeft = null;
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
        Silent.OpensLeft = 0;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!Silent.HasFailed)
            await Task.Yield();
        // They are written under the second key, and where the file ends cannot be kept.
        Directory.CreateDirectory(Ceremonies + ".new");
        Silent.OpensLeft = null;
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
        Silent.OpensLeft = 110;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!Silent.HasFailed)
            await Task.Yield();
        var (old, end) = (await File.ReadAllBytesAsync(Register(1)), await File.ReadAllBytesAsync(Ceremonies));
        Silent.OpensLeft = null;
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
        await EraseAsync(numbers[1]);
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
                        // A backend that is silent gives nobody a number.
                        if (await TryNumberAsync(i) is not { } number)
                            continue;
                        Assert.Equal(numbers.GetValueOrDefault(i, number), number);
                        numbers[i] = number;
                    }
                    break;
                case 5 when random.Next(2) == 0:
                    if (await HeldAsync(CeremonyStep.Begin, pseudonym.Last + 1, KeyKind.Pseudonym))
                        pseudonym.Last++;
                    break;
                case 5:
                    if (await HeldAsync(CeremonyStep.Begin, wrapping.Last + 1, KeyKind.Wrapping))
                        wrapping.Last++;
                    break;
                case 6:
                    _keys.Time.Advance(TimeSpan.FromMinutes(10));
                    if (await HeldAsync(CeremonyStep.Destroy, pseudonym.First, KeyKind.Pseudonym))
                        pseudonym.First++;
                    if (await HeldAsync(CeremonyStep.Destroy, wrapping.First, KeyKind.Wrapping))
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
                    Silent.CallsLeft = random.Next(2) == 0 ? random.Next(200) : null;
                    break;
                default:
                    // As a kill leaves it: the folder as it is at this moment.
                    var killed = BackUp();
                    await _keys.StopAsync();
                    // Else it would not start.
                    Silent.CallsLeft = null;
                    BringBack(killed, isMarked: false);
                    await _keys.StartAsync();
                    break;
            }
        Silent.CallsLeft = null;
        await RestartAsync();
        await DoneAsync();
        foreach (var (i, number) in numbers)
            Assert.Equal(number, await NumberAsync(i));
        Assert.Equal(numbers.Count, numbers.Values.Distinct().Count());

        // Of one that a silent backend cut off the same act goes on.
        async Task<bool> HeldAsync(CeremonyStep step, uint version, KeyKind key)
        {
            var name = $"{act++}";
            var status = await HoldAsync(name, step, version, key);
            if (status != HttpStatusCode.ServiceUnavailable)
                return status == HttpStatusCode.OK;
            Silent.CallsLeft = null;
            return await HoldAsync(name, step, version, key) == HttpStatusCode.OK;
        }
    }

    /// <summary>Whoever is on the way into the register when a ceremony begins is behind those who write it anew.</summary>
    [Fact]
    public async Task Who_is_on_the_way_into_the_register_while_everybody_is_written_anew_is_found_by_the_new_key()
    {
        var numbers = await RegisterAsync(3);
        await SilentAsync();
        var slow = new TaskCompletionSource();
        Silent.SealsAfter = slow.Task;
        var late = NumberAsync(3);
        while (Silent.Waited == 0)
            await Task.Yield();
        Silent.SealsAfter = null;
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        slow.SetResult();
        Assert.Equal(await late, await NumberAsync(3));
        await RestartAsync();
        Assert.Equal(numbers.Append(await late), await RegisterAsync(4));
        Assert.Equal((4, 0), ((int)(await ProgressAsync())["all"]!, (int)await LeftAsync()));
    }

    [Fact]
    public async Task What_nobody_expected_stops_it_for_a_minute_and_not_until_the_next_start()
    {
        var numbers = await RegisterAsync(3);
        await SilentAsync();
        (Silent.Fails, Silent.OpensLeft) = (new InvalidOperationException("Nobody expected it."), 1);
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        while (!Silent.HasFailed)
            await Task.Yield();
        Silent.OpensLeft = null;
        Assert.Equal(HttpStatusCode.Conflict, await HoldAsync("two", CeremonyStep.Destroy, 1));
        // Only where it never goes on does the number count.
        for (var minute = 0; await LeftAsync() > 0; minute++)
        {
            Assert.True(minute < 20_000, "It does not go on.");
            _keys.Time.Advance(PeopleWalk.Interval);
        }
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        Assert.Equal(numbers, await RegisterAsync(3));
    }
}
