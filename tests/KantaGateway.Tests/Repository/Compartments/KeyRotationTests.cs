using System.Net;
using System.Threading.Channels;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Repository.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>All data keys are wrapped with a new wrapping key while requests go on, and the old one is destroyed.</summary>
public abstract class KeyRotationTests : IAsyncLifetime
{
    // Three pages of keys.
    private const int People = 250;

    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly FakeLogCollector _log = new();
    private readonly Channel<int> _replaced = Channel.CreateUnbounded<int>();
    private RepositoryWorld _world = null!;
    private WatchedKeys _store = null!;

    /// <summary>Whose key is not in the store yet.</summary>
    private Pseudonym? _hidden;

    /// <summary>How often all keys were looked through to their end because the key service lacked people.</summary>
    private int _told;

    private protected abstract Task<PostgresDatabase?> PostgresAsync();

    public async Task InitializeAsync() => _world = await RepositoryWorld.StartAsync(await PostgresAsync(), builder =>
    {
        builder.Logging.AddProvider(new FakeLoggerProvider(_log));
        StoreInFront.Put(builder, real => _store = new(real, _replaced, () => _hidden, () => Interlocked.Increment(ref _told)));
    }, _time);

    public async Task DisposeAsync() => await _world.DisposeAsync();

    [Fact]
    public async Task It_is_done_under_load_without_a_failed_request_and_the_old_key_is_useless_afterwards()
    {
        var people = await PeopleAsync(People);
        var known = (await _store.ReadIndexAsync(people[0].Grant.Compartment, long.MaxValue, default))!.WrappedKey;
        using var stop = new CancellationTokenSource();
        var asked = 0;
        var load = Enumerable.Range(0, 4).Select(worker => Task.Run(async () =>
        {
            for (var i = worker; !stop.IsCancellationRequested; i = (i + 4) % People)
            {
                (await people[i].SearchAsync("Observation")).Is(HttpStatusCode.OK);
                await people[i].StoreAsync(Some.Observation(people[i].PatientId));
                Interlocked.Increment(ref asked);
            }
        })).ToArray();

        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(People);
        var before = Volatile.Read(ref asked);
        await stop.CancelAsync();
        await Task.WhenAll(load);
        Assert.True(before > 0);

        var progress = (await _world.AskAsync(HttpMethod.Get, "/rotation")).Is(HttpStatusCode.OK).Json;
        Assert.Equal((2, 0L, 100d), ((int)progress["version"]!, (long)progress["left"]!, (double)progress["percent"]!));
        // Who was open before is asked about again with the key as it is wrapped now.
        _time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Destroy, 1));
        foreach (var person in people.Take(5))
            Assert.NotEqual(0, (int)(await Anew(person).SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        Assert.Equal(2u, WrappedKey.VersionOf((await _store.ReadIndexAsync(people[0].Grant.Compartment, long.MaxValue, default))!.WrappedKey));
        // A stolen copy of the store from before is as good as erased.
        await _store.ReplaceKeysAsync([new(people[0].Grant.Compartment, (await _store.ReadIndexAsync(people[0].Grant.Compartment, long.MaxValue, default))!.WrappedKey, known)], default);
        _time.Advance(TimeSpan.FromMinutes(2));
        (await Anew(people[0]).SearchAsync("Observation")).Is(HttpStatusCode.InternalServerError);
    }

    [Fact]
    public async Task A_record_that_is_open_stays_so_when_its_key_is_wrapped_anew_and_the_old_one_destroyed()
    {
        var person = (await PeopleAsync(1)).Single();
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        for (var minute = 0; minute < 15; minute++)
        {
            if (minute == 2)
            {
                (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
                await ReplacedAsync(1);
            }
            if (minute == 12)
                Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Destroy, 1));
            // In the last quarter of the minute: its own grant is checked, and it stays open.
            (await Anew(person).SearchAsync("Observation")).Is(HttpStatusCode.OK);
            _time.Advance(TimeSpan.FromSeconds(50));
        }
    }

    [Fact]
    public async Task What_was_cut_off_goes_on_where_it_stopped()
    {
        await PeopleAsync(People);
        _store.FailsAfter = 1;
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(100);
        Assert.Equal(-1, await _replaced.Reader.ReadAsync());
        Assert.Equal(People - 100, (long)(await _world.AskAsync(HttpMethod.Get, "/rotation")).Json["left"]!);
        // Another process over the same store.
        await _world.StopRepositoryAsync();
        await _world.StartRepositoryAsync();
        await ReplacedAsync(People - 100);
        Assert.Equal(0, (long)(await _world.AskAsync(HttpMethod.Get, "/rotation")).Json["left"]!);
    }

    [Fact]
    public async Task A_record_that_is_stored_behind_its_back_is_found_when_no_write_can_be_under_way_any_more()
    {
        var person = (await PeopleAsync(1)).Single().Grant.Compartment;
        var old = (await _store.ReadIndexAsync(person, long.MaxValue, default))!.WrappedKey;
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(1);
        await RunAgainAsync(person, old);
        // Everything is done then; a store that was restored since is found by looking again.
        await RunAgainAsync(person, old, KeyRotation.LookAgain);
    }

    /// <summary>Stores one under its old key behind its back and has it run once more; the run before is over when this returns.</summary>
    private async Task RunAgainAsync(Pseudonym person, byte[] old, TimeSpan? after = null)
    {
        var moved = (await _store.ReadIndexAsync(person, long.MaxValue, default))!.WrappedKey;
        _store.IsQuiet = true;
        Assert.Equal(1, await _store.ReplaceKeysAsync([new(person, moved, old)], default));
        _store.IsQuiet = false;
        _time.Advance(after ?? KeyRotation.LongestWrite);
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(1);
    }

    [Fact]
    public async Task A_key_that_does_not_open_is_counted_as_left_and_keeps_nobody_elses_from_being_wrapped_anew()
    {
        var people = await PeopleAsync(3);
        var wrapped = (await _store.ReadIndexAsync(people[1].Grant.Compartment, long.MaxValue, default))!.WrappedKey;
        var damaged = wrapped.ToArray();
        damaged[WrappedKey.Length - 1] ^= 1;
        _store.IsQuiet = true;
        Assert.Equal(1, await _store.ReplaceKeysAsync([new(people[1].Grant.Compartment, wrapped, damaged)], default));
        _store.IsQuiet = false;
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(2);
        Assert.Equal(1, (long)(await _world.AskAsync(HttpMethod.Get, "/rotation")).Json["left"]!);
    }

    [Fact]
    public async Task What_is_back_in_the_store_of_one_whose_key_is_destroyed_is_removed_again_and_the_old_wrapping_key_can_go()
    {
        var people = await PeopleAsync(3);
        var (first, gone) = (people[0].Grant.Compartment, people[1].Grant.Compartment);
        var old = (await _store.ReadIndexAsync(first, long.MaxValue, default))!.WrappedKey;
        // As a restored backup has it: the key service knows of the erasure, the store does not.
        await _world.EraseAsync(gone, isStoreTold: false);
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Begin, 2));
        (await _world.AskAsync(HttpMethod.Post, "/rotation")).Is(HttpStatusCode.Accepted);
        await ReplacedAsync(2);
        Assert.True(await _store.ReadIndexAsync(gone, 0, default) is { IsErased: true, Index.Count: 0 });
        var progress = (await _world.AskAsync(HttpMethod.Get, "/rotation")).Is(HttpStatusCode.OK).Json;
        Assert.Equal((2L, 0L), ((long)progress["all"]!, (long)progress["left"]!));
        await RunAgainAsync(first, old);
        _time.Advance(TimeSpan.FromMinutes(10));
        Assert.Equal(HttpStatusCode.OK, await _world.HoldAsync(CeremonyStep.Destroy, 1));
        Assert.NotEqual(0, (int)(await Anew(people[0]).SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
        Assert.DoesNotContain(_log.GetSnapshot(), static line => line.Level == LogLevel.Critical);
    }

    [Fact]
    public async Task Whom_the_key_service_lacks_after_a_restore_the_store_brings_back_by_itself()
    {
        var (early, backup) = (await _world.NumberOfAsync(RepositoryWorld.Code), _world.BackUpCustody());
        var late = await _world.NumberOfAsync("010190Y900P");
        var person = _world.As(late, RepositoryWorld.Aurora);
        await person.StoreAsync(Some.Patient());
        await PeopleAsync(120);
        await _world.StopRepositoryAsync();
        await _world.BringBackCustodyAsync(backup);
        Assert.Null(await _world.TryNumberOfAsync("010190Y900P"));
        await _world.StartRepositoryAsync();
        while (await _world.TryNumberOfAsync("010190A900P") is null)
            await Task.Yield();
        Assert.Equal((early, late), (await _world.NumberOfAsync(RepositoryWorld.Code), await _world.NumberOfAsync("010190Y900P")));
        Assert.NotEqual(0, (int)(await Anew(person).SearchAsync("Patient")).Is(HttpStatusCode.OK).Json["total"]!);
    }

    /// <summary>Its key was made before the key service was brought back, and its commit came behind the run that told of everybody.</summary>
    [Fact]
    public async Task A_person_whose_record_is_stored_behind_the_run_that_brings_everybody_back_is_brought_back_by_the_next()
    {
        var backup = _world.BackUpCustody();
        var (early, late) = (await _world.NumberOfAsync(RepositoryWorld.Code), await _world.NumberOfAsync("010190Y900P"));
        foreach (var number in new[] { early, late })
            await _world.As(number, RepositoryWorld.Aurora).StoreAsync(Some.Patient());
        await _world.StopRepositoryAsync();
        await _world.BringBackCustodyAsync(backup);
        _hidden = late;
        await _world.StartRepositoryAsync();
        while (await LacksAsync())
            await Task.Yield();
        _hidden = null;
        _time.Advance(KeyRotation.LongestWrite);
        // One run shows that this is an older register once more, and the run behind it tells of everybody then: a minute lies between them.
        // Only where it never does does the real time count.
        await ToldAsync().WaitAsync(TimeSpan.FromMinutes(1));
        while (await LacksAsync())
        {
            _time.Advance(KeyRotation.Interval);
            await Task.Yield();
        }
        Assert.Equal((early, late), (await _world.NumberOfAsync(RepositoryWorld.Code), await _world.NumberOfAsync("010190Y900P")));

        async Task ToldAsync()
        {
            while (Volatile.Read(ref _told) < 2)
            {
                _time.Advance(KeyRotation.Interval);
                await LacksAsync();
            }
        }

        async Task<bool> LacksAsync() => (bool)System.Text.Json.Nodes.JsonNode.Parse(await _world.KeyService.GetStringAsync("/v1/keys/versions"))!["lacks"]!;
    }

    [Fact]
    public async Task No_record_is_begun_under_an_id_that_is_nobodys_and_the_answer_says_what_to_do()
    {
        var nobody = _world.As(RepositoryWorld.SomeNumber(), RepositoryWorld.Aurora);
        var refused = (await nobody.CreateAsync(Some.Patient())).Is(HttpStatusCode.UnprocessableEntity);
        Assert.Contains("identity code", refused.Text, StringComparison.Ordinal);
        Assert.Null(await _store.ReadIndexAsync(nobody.Grant.Compartment, long.MaxValue, default));
    }

    /// <summary>People with a record each.</summary>
    private async Task<List<Caller>> PeopleAsync(int count)
    {
        var people = new List<Caller>();
        for (var i = 0; i < count; i++)
        {
            var person = _world.As(await _world.NewPersonAsync(), RepositoryWorld.Aurora);
            await person.StoreAsync(Some.Patient());
            await person.StoreAsync(Some.Observation(person.PatientId));
            people.Add(person);
        }
        return people;
    }

    /// <summary>The same caller, with a grant of now.</summary>
    private Caller Anew(Caller caller) => _world.As(caller.Grant.Compartment, RepositoryWorld.Aurora);

    private async Task ReplacedAsync(int keys)
    {
        while (keys > 0)
            keys -= await _replaced.Reader.ReadAsync();
        Assert.Equal(0, keys);
    }

    /// <summary>Tells of keys that were replaced, and fails once after some pages.</summary>
    private sealed class WatchedKeys(ICompartmentStore real, Channel<int> replaced, Func<Pseudonym?> hidden, Action told) : StoreInFront(real)
    {
        public int? FailsAfter { get; set; }
        public bool IsQuiet { get; set; }

        public override async ValueTask<IReadOnlyList<StoredKey>> ReadKeysAsync(uint version, Pseudonym? after, int most, CancellationToken cancel)
        {
            var keys = await base.ReadKeysAsync(version, after, most, cancel);
            if (version == 0 && keys.Count == 0)
                told();
            return [.. keys.Where(key => key.Compartment != hidden())];
        }

        public override async ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel)
        {
            if (FailsAfter is { } pages && (FailsAfter = pages - 1) < 0)
            {
                replaced.Writer.TryWrite(-1);
                throw new StoreException("It fails on purpose.");
            }
            var count = await base.ReplaceKeysAsync(keys, cancel);
            if (!IsQuiet)
                replaced.Writer.TryWrite(count);
            return count;
        }
    }
}

public sealed class SqliteKeyRotationTests : KeyRotationTests
{
    private protected override Task<PostgresDatabase?> PostgresAsync() => Task.FromResult<PostgresDatabase?>(null);
}

public sealed class PostgresKeyRotationTests : KeyRotationTests
{
    private protected override async Task<PostgresDatabase?> PostgresAsync() => await PostgresServer.NewDatabaseAsync();
}
