using System.Net;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;
using KantaGateway.Tests.Repository;
using KantaGateway.Tests.Repository.Storage;
using KantaGateway.Tests.Scenarios;
using Some = KantaGateway.Tests.Repository.Some;

namespace KantaGateway.Tests.Faults;

/// <summary>What a kill, a torn write and a slow disk leave of a store.</summary>
public sealed class StoreFaultTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static readonly Pseudonym Person = RepositoryWorld.SomeNumber();

    /// <summary>A kill leaves what is written of the files, and whatever of the last write.</summary>
    [Fact]
    public async Task A_last_commit_of_SQLite_torn_anywhere_is_there_whole_or_not_at_all()
    {
        const int Before = 3, Last = 4;
        var source = Folder("source");
        StoreSchema.Migrate(Database(source));
        var (before, after) = (Folder("before"), Folder("after"));
        await using (var store = new SqliteStore(Database(source)))
        {
            Assert.True(await store.AppendAsync([new(Person, 0, [1], Rows(1, Before))], default));
            Copy(source, before);
            Assert.True(await store.AppendAsync([new(Person, Before, null, Rows(Before + 1, Last))], default));
            Copy(source, after);
        }
        var (old, whole) = (File.ReadAllBytes(Log(before)), File.ReadAllBytes(Log(after)));
        var from = old.AsSpan().CommonPrefixLength(whole);
        var found = new HashSet<long>();
        for (var cut = from; cut <= whole.Length; cut += cut == from ? 7 : 4001)
            foreach (var tear in new[] { "cut off", "zeros", "zeros before" })
            {
                var torn = Folder(Guid.NewGuid().ToString("N"));
                Copy(after, torn);
                var bytes = whole.ToArray();
                if (tear == "zeros before")
                    bytes.AsSpan(from, Math.Min(cut, whole.Length) - from).Clear();
                else
                    bytes.AsSpan(cut).Clear();
                File.WriteAllBytes(Log(torn), tear == "cut off" ? bytes[..cut] : bytes);
                await using var store = new SqliteStore(Database(torn));
                var index = (await store.ReadIndexAsync(Person, 0, default))!;
                Assert.Contains(index.Head, (long[])[Before, Before + Last]);
                Assert.Equal(index.Head, index.Index.Count);
                Assert.DoesNotContain(null, (await store.ReadBodiesAsync(Person, [.. Enumerable.Range(1, (int)index.Head).Select(i => (long)i)], default)).Sealed);
                Assert.True(await store.AppendAsync([new(Person, index.Head, null, Rows(index.Head + 1, 1))], default));
                found.Add(index.Head);
            }
        Assert.Equal(2, found.Count);
    }

    /// <summary>A copy of the files is what a kill at that moment leaves.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_kill_before_or_after_a_commit_leaves_a_whole_store_with_what_was_acknowledged(bool after)
    {
        var killed = Folder("killed");
        RepositoryWorld? world = null;
        var isArmed = false;
        void Kill()
        {
            if (!isArmed)
                return;
            isArmed = false;
            Copy(world!.Folder, killed);
        }
        await using var its = world = await RepositoryWorld.StartAsync(configure: builder => StoreInFront.Put(builder, real => new Watched(real, () => { if (!after) Kill(); }, () => { if (after) Kill(); })));
        var clinic = world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora);
        await clinic.StoreAsync(Some.Patient());
        await clinic.StoreAsync(Some.Observation(clinic.PatientId));
        isArmed = true;
        await clinic.TransactAsync(Some.Transaction(("POST", "Observation", Some.Observation(clinic.PatientId), null), ("POST", "Observation", Some.Observation(clinic.PatientId), null)));
        Assert.False(isArmed);
        await using var store = new SqliteStore(Path.Combine(killed, "repository.db"));
        var index = (await store.ReadIndexAsync(clinic.Grant.Compartment, 0, default))!;
        Assert.Equal((after ? 4 : 2, after ? 4 : 2), (index.Head, index.Index.Count));
    }

    [Fact]
    public async Task While_the_disk_is_slow_nobody_is_answered_before_it_is_durable_and_the_others_are_served()
    {
        var (asked, done) = (new TaskCompletionSource(), new TaskCompletionSource());
        var isSlow = false;
        await using var world = await RepositoryWorld.StartAsync(configure: builder => StoreInFront.Put(builder, real => new Watched(real, () =>
        {
            if (!isSlow)
                return;
            asked.TrySetResult();
            done.Task.Wait();
        }, static () => { })));
        var (clinic, neighbour) = (world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora), world.As(await world.NewPersonAsync(), RepositoryWorld.Aurora));
        await clinic.StoreAsync(Some.Patient());
        await neighbour.StoreAsync(Some.Patient());
        isSlow = true;
        var writing = clinic.CreateAsync(Some.Observation(clinic.PatientId));
        try
        {
            await asked.Task;
            // Read by everybody meanwhile, and by nobody what is not stored.
            (await neighbour.GetAsync("Patient/" + neighbour.PatientId)).Is(HttpStatusCode.OK);
            Assert.Equal(0, (int)(await clinic.SearchAsync("Observation")).Is(HttpStatusCode.OK).Json["total"]!);
            Assert.False(writing.IsCompleted);
        }
        finally
        {
            // Its end waits for the disk.
            done.SetResult();
        }
        var created = (await writing).Is(HttpStatusCode.Created);
        Assert.Equal([(string)created.Json["id"]!], (await clinic.SearchAsync("Observation")).Ids);
    }

    private string Folder(string name) => Directory.CreateDirectory(_folder.File(name)).FullName;

    private static string Database(string folder) => Path.Combine(folder, "store.db");

    private static string Log(string folder) => Database(folder) + "-wal";

    /// <summary>Without the memory that processes share: it is gone with them.</summary>
    private static void Copy(string from, string to)
    {
        foreach (var file in Directory.GetFiles(from, "*.db*"))
            if (!file.EndsWith("-shm", StringComparison.Ordinal))
                File.Copy(file, Path.Combine(to, Path.GetFileName(file)), overwrite: true);
    }

    private static SealedRow[] Rows(long first, int count) =>
        [.. Enumerable.Range(0, count).Select(i => new SealedRow(first + i, RandomNumberGenerator.GetBytes(100), RandomNumberGenerator.GetBytes(3000)))];

    /// <summary>Tells before a commit is asked for, and when it is durable.</summary>
    private sealed class Watched(ICompartmentStore real, Action before, Action after) : StoreInFront(real)
    {
        public override async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
        {
            before();
            var stored = await base.AppendAsync(appends, cancel);
            after();
            return stored;
        }
    }
}
