using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using Microsoft.Extensions.DependencyInjection;

namespace KantaGateway.Tests.Keys;

/// <summary>Whom a register from a backup lacks is found again, and nobody is begun anew or begins a record under a number that nobody has.</summary>
public sealed class PeopleAgainTests : PeopleTests
{
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
        // The register knows of the other number: what stands behind its key is made whole, and the record opens.
        var damaged = anew.ToArray();
        damaged[^1] ^= 1;
        var whole = (await RewrapAsync(first, damaged))!;
        Assert.Equal((true, false, 2u), (whole.AsSpan(0, WrappedKey.Length).SequenceEqual(anew.AsSpan(0, WrappedKey.Length)), whole.AsSpan().SequenceEqual(damaged), WrappedKey.VersionOf(WrappedKey.PersonOf(whole).Span)));
        await _keys.UnwrapAsync(_keys.Grant(GrantUse.Write, first), anew);
        // But none is begun under it, and nobody is found by it: also under another key.
        Assert.Equal(HttpStatusCode.NotFound, await MadeAsync(first));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("three", CeremonyStep.Destroy, 1));
        await RestartAsync();
        Assert.Equal((second, HttpStatusCode.NotFound), (await NumberAsync(0), await MadeAsync(first)));
        await _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, first), anew);
        // Erased, it leaves the other one as it is.
        await EraseAsync(first);
        await WrittenAsync(4);
        await RestartAsync();
        Assert.Equal((second, HttpStatusCode.Gone, 1), (await NumberAsync(0), await MadeAsync(first), (int)(await ProgressAsync())["all"]!));
    }

    [Theory]
    [InlineData(true), InlineData(false)]
    public async Task No_record_is_begun_under_a_number_of_before_a_restore_that_nobody_has_any_more(bool isMarked)
    {
        var early = await NumberAsync(0);
        var backup = BackUp();
        var late = await NumberAsync(1);
        await _keys.StopAsync();
        BringBack(backup, isMarked);
        await _keys.StartAsync();
        // It was never stored, so no store tells of it. While it may be, nobody knows.
        Assert.Equal(isMarked ? HttpStatusCode.ServiceUnavailable : HttpStatusCode.NotFound, await MadeAsync(late));
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.False(await LacksAsync());
            Assert.Equal(HttpStatusCode.NotFound, await MadeAsync(late));
            await RestartAsync();
        }
        await CreateAsync(early);
        await CreateAsync(await NumberAsync(1));
        Assert.Equal(HttpStatusCode.OK, await MadeAsync(Pseudonym.Directory));
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
        await EraseAsync(early);
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

    /// <summary>Whoever gives out a key for a number that nobody has lets a record be begun, or go on, that no identity code finds.</summary>
    [Fact]
    public async Task Under_a_number_that_nobody_has_no_key_is_made_or_opened_or_replaced()
    {
        var (known, nobodys) = (await NumberAsync(0), Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size)));
        var keys = _keys.Services.GetRequiredService<DataKeys>();
        // As a store may have it: the key is genuine, and nothing says whose it is.
        var (_, wrapped) = await keys.CreateAsync(nobodys, default);
        byte[] withAnothers = [.. wrapped, .. WrappedKey.PersonOf(await CreateAsync(known)).Span];
        foreach (var status in new[] { HttpStatusCode.NotFound, HttpStatusCode.ServiceUnavailable })
        {
            Assert.Equal(status, await MadeAsync(nobodys));
            foreach (var stored in new[] { wrapped, withAnothers })
            {
                Assert.Equal(status, (await _keys.AskAsync(_keys.Grant(GrantUse.Read, nobodys), stored)).Status);
                using var rotated = await _keys.PostAsync("/v1/rotations", _keys.Gateway.Sign(new DataKeyRotation("act", nobodys, "proposer", "approver")), new { wrapped = stored });
                Assert.Equal(status, rotated.StatusCode);
                // What stands there stays.
                Assert.Equal(stored, await RewrapAsync(nobodys, stored));
            }
            var before = _keys.Time.GetUtcNow() - TimeSpan.FromMilliseconds(1);
            Assert.Equal(3, CustodyLog.ReadSince(_keys.Options.CustodyFolder, before).Count(record => record.Status == (int)status && record.Operation is KeyOperation.Create or KeyOperation.Unwrap));
            // Whoever may be lacking is not nobody.
            _keys.Time.Advance(TimeSpan.FromSeconds(1));
            await RestartAsync(isMarked: true);
        }
        // What says whose it is brings them back.
        byte[] own = [.. wrapped, .. await _keys.Services.GetRequiredService<DataKeys>().SealPersonAsync(FictionalIdentityCode.Of("people", 1), nobodys, default)];
        await _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, nobodys), own);
        Assert.Equal(nobodys, await NumberAsync(1));
    }

    [Fact]
    public async Task That_a_store_has_told_of_everybody_is_believed_when_it_has_told_of_each_whose_record_is_known()
    {
        var numbers = await RegisterAsync(3);
        var stored = new List<byte[]>();
        foreach (var number in numbers)
        {
            var made = await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, number), new { });
            stored.Add(made.Wrapped);
            // Of the last one nobody has told how far the record is.
            if (number != numbers[2])
                await TellAsync(number, made.Witness);
        }
        await RestartAsync(isMarked: true);
        var kept = await TestKeyAsync(numbers[2]);
        foreach (var told in new[] { null, (Pseudonym?)numbers[2], numbers[0] })
        {
            if (told is { } one)
                await RewrapAsync(one, stored[Array.IndexOf(numbers, one)]);
            Assert.Equal((HttpStatusCode.Conflict, true), (await WholeAsync(), await LacksAsync()));
        }
        // What was told before a restart is told again: another store may be there by then.
        await RestartAsync();
        await RewrapAsync(numbers[1], stored[1]);
        Assert.Equal((HttpStatusCode.Conflict, true), (await WholeAsync(), await LacksAsync()));
        // A record that was begun since was never lacking.
        await TellAsync(numbers[2], kept);
        // One whose key does not open is there all the same.
        stored[0][10] ^= 1;
        Assert.Null(await RewrapAsync(numbers[0], stored[0]));
        Assert.Equal((HttpStatusCode.NoContent, false), (await WholeAsync(), await LacksAsync()));

        async Task<string> TestKeyAsync(Pseudonym number) => (await _keys.UnwrapAsync(_keys.Grant(GrantUse.Read, number), stored[Array.IndexOf(numbers, number)])).Witness;
    }

    /// <summary>A write was on its way while an older register took the place of the one that knew its person.</summary>
    [Fact]
    public async Task A_record_that_was_stored_under_a_number_which_the_register_lacks_shows_that_it_is_an_older_one()
    {
        await NumberAsync(0);
        var backup = BackUp();
        var late = await NumberAsync(1);
        var made = await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, late), new { });
        await _keys.StopAsync();
        BringBack(backup, isMarked: false);
        await _keys.StartAsync();
        Assert.False(await LacksAsync());
        await TellAsync(late, made.Witness);
        foreach (var _ in new[] { 1, 2 })
        {
            Assert.Equal((true, HttpStatusCode.ServiceUnavailable), (await LacksAsync(), await AskAsync(1)));
            await RestartAsync();
        }
        await RewrapAsync(late, made.Wrapped);
        Assert.Equal((HttpStatusCode.NoContent, late), (await WholeAsync(), await NumberAsync(1)));
    }

    [Fact]
    public async Task A_register_that_is_newer_than_the_pseudonym_key_is_named_anew_and_nobody_new_gets_a_number_before()
    {
        await CopyingAsync();
        var numbers = await RegisterAsync(3);
        var (backup, keyFile) = (BackUp(), await File.ReadAllBytesAsync(_keys.Options.KeyFile));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        await DoneAsync();
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Destroy, 1));
        var late = await NumberAsync(3);
        await _keys.StopAsync();
        BringBack(backup, isMarked: true);
        await File.WriteAllBytesAsync(_keys.Options.KeyFile, keyFile);
        await SilentAsync(isRunning: false, opens: 0);
        // Nobody knows anybody by the key of before, and nobody is somebody new.
        Assert.Equal((4, HttpStatusCode.ServiceUnavailable, HttpStatusCode.ServiceUnavailable), ((int)await LeftAsync(), await AskAsync(0), await AskAsync(4)));
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(4));
        Silent.OpensLeft = null;
        await RestartAsync();
        await DoneAsync();
        Assert.Equal(numbers.Append(late), await RegisterAsync(4));
        await RestartAsync();
        Assert.Equal(numbers.Append(late), await RegisterAsync(4));
        Assert.Equal(HttpStatusCode.OK, await AskAsync(4));
    }

    [Fact]
    public async Task A_register_that_is_newer_than_both_keys_is_no_start_and_says_why()
    {
        await CopyingAsync();
        await RegisterAsync(3);
        var (backup, keyFile) = (BackUp(), await File.ReadAllBytesAsync(_keys.Options.KeyFile));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("one", CeremonyStep.Begin, 2));
        Assert.Equal(HttpStatusCode.OK, await HoldAsync("two", CeremonyStep.Begin, 2, KeyKind.Wrapping));
        await DoneAsync();
        await _keys.StopAsync();
        BringBack(backup, isMarked: true);
        await File.WriteAllBytesAsync(_keys.Options.KeyFile, keyFile);
        Assert.Contains("from before the ceremonies in which they began", await RefusesToStartAsync(), StringComparison.Ordinal);
        BringBackLater();

        // So that it can be disposed of.
        void BringBackLater()
        {
            foreach (var file in Directory.GetFiles(_elsewhere.Path, "people-*"))
                File.Delete(file);
            foreach (var file in Directory.GetFiles(_keys.Options.CustodyFolder, "people-*").Where(file => file != Register(1)))
                File.Delete(file);
            _keys.StartAsync().GetAwaiter().GetResult();
        }
    }

    [Theory]
    [InlineData(0), InlineData(1), InlineData(-1)]
    public async Task A_copy_that_says_something_else_is_no_start_however_long_it_is(int more)
    {
        await CopyingAsync();
        await RegisterAsync(3);
        await _keys.StopAsync();
        var copy = _elsewhere.File("people-1");
        var bytes = await File.ReadAllBytesAsync(copy);
        // Of another service with the same keys, say: the files go on differently from the second record on.
        var other = bytes.ToArray();
        other[RecordSize + 20] ^= 1;
        await File.WriteAllBytesAsync(copy, more < 0 ? other[..^RecordSize] : more == 0 ? other : [.. other, .. other]);
        var says = await RefusesToStartAsync();
        foreach (var named in new[] { Register(1), copy, nameof(KeysOptions.PeopleCopyFolder), "record 2" })
            Assert.Contains(named, says, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(copy, bytes);
        await _keys.StartAsync();
    }

    [Fact]
    public async Task What_the_folder_cuts_off_is_answered_and_done_later()
    {
        var number = await NumberAsync(0);
        var wrapped = await CreateAsync(number);
        await RestartAsync(isMarked: true);
        // Nothing in its place can be read, or taken away.
        foreach (var file in new[] { Mark, Register(1) })
        {
            File.Move(file, file + ".away");
            Directory.CreateDirectory(file);
        }
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await WholeAsync());
        using (var made = await _keys.PostAsync("/v1/keys/rewrap", null, new { keys = new[] { new { compartment = number.Encode(), wrapped } } }))
            Assert.Equal(HttpStatusCode.ServiceUnavailable, made.StatusCode);
        foreach (var file in new[] { Mark, Register(1) })
        {
            Directory.Delete(file);
            File.Move(file + ".away", file);
        }
        Assert.Equal(wrapped, await RewrapAsync(number, wrapped));
        Assert.Equal(HttpStatusCode.NoContent, await WholeAsync());
    }

    /// <summary>Starts it anew with a second register elsewhere.</summary>
    private async Task CopyingAsync()
    {
        await _keys.StopAsync();
        _keys.Change = options => options with { PeopleCopyFolder = _elsewhere.Path };
        await _keys.StartAsync();
    }

    private async Task TellAsync(Pseudonym number, string witness)
    {
        using var told = await _keys.PostAsync("/v1/heads", null, new { heads = new[] { new { compartment = number.Encode(), sequence = 1, digest = new byte[16], witness } } });
        Assert.Equal(HttpStatusCode.NoContent, told.StatusCode);
    }
}
