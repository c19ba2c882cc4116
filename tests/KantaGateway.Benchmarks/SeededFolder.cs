using System.Diagnostics;
using System.Text.Json;
using KantaGateway.Dev;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Benchmarks;

/// <summary>What was seeded, and what it cost.</summary>
/// <param name="Sizes">Resources of the patients, in turn.</param>
/// <param name="Patients">Their compartments, encoded.</param>
/// <param name="Seconds">Time of seeding.</param>
/// <param name="Bytes">On disk.</param>
sealed record Seeding(int[] Sizes, string[] Patients, long Rows, double Seconds, long Bytes);

/// <summary>
/// A data folder of the development host with many patients in it. They are put there through the repository's own
/// indexer, cipher and store and the key service's own keys, without HTTP and without the audit log: two million rows
/// over HTTP would take hours.
/// </summary>
sealed class SeededFolder
{
    /// <summary>Patients whose rows may wait for a commit together.</summary>
    private const int InFlight = 64;

    private const string Manifest = "seeding-3.json";

    private readonly Pseudonym[] _patients;
    private readonly IdentifierCipher _ids;

    private SeededFolder(string path, Seeding seeding)
    {
        (Path, Seeding) = (path, seeding);
        _patients = [.. seeding.Patients.Select(p => Pseudonym.TryDecode(p, out var pseudonym) ? pseudonym : throw new BenchmarkException($"{path} is not what was seeded; delete it."))];
        _ids = new(Convert.FromBase64String(File.ReadAllText(System.IO.Path.Combine(path, "keys", "identifier.key"))));
    }

    public string Path { get; }

    public Seeding Seeding { get; }

    public int Patients => _patients.Length;

    /// <summary>Number of resources that a patient was seeded with.</summary>
    public int SizeOf(int patient) => Seeding.Sizes[patient % Seeding.Sizes.Length];

    /// <summary>Id of the resource at a sequence of a patient's record.</summary>
    public string Id(int patient, long sequence) => sequence == 1 ? _ids.PatientId(_patients[patient]) : _ids.ResourceId(_patients[patient], sequence);

    /// <summary>Opens what is there already, or seeds it.</summary>
    /// <param name="folder">Emptied first where it is not wholly seeded with just this.</param>
    /// <param name="sizes">Resources of the patients, in turn, at least 1 each.</param>
    public static async Task<SeededFolder> OpenAsync(string folder, int patients, int[] sizes, Action<string> say, CancellationToken cancel)
    {
        var manifest = System.IO.Path.Combine(folder, Manifest);
        if (File.Exists(manifest) && JsonSerializer.Deserialize<Seeding>(await File.ReadAllTextAsync(manifest, cancel)) is { } found
            && found.Patients.Length == patients && found.Sizes.SequenceEqual(sizes))
            return new(folder, found);
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        say($"seeding {patients} patients with {string.Join(", ", sizes)} resources");
        var seeding = await SeedAsync(folder, patients, sizes, say, cancel);
        // Last: half a folder is not taken for a whole one.
        await File.WriteAllTextAsync(manifest, JsonSerializer.Serialize(seeding), cancel);
        return new(folder, seeding);
    }

    private static async Task<Seeding> SeedAsync(string path, int patients, int[] sizes, Action<string> say, CancellationToken cancel)
    {
        var clock = Stopwatch.StartNew();
        using var folder = DevelopmentFolder.Open(path);
        // Founded as the host would found it; it listens nowhere.
        await using var service = KeysHost.Build(new()
        {
            Listen = "process:seeding", KeyFile = folder.WrappingKeyFile, GatewayKeyFile = folder.GrantPublicKeyFile, CustodyFolder = folder.CustodyFolder, CreateStores = true,
        }, static builder => builder.Logging.ClearProviders());
        var (keys, register) = (service.Services.GetRequiredService<DataKeys>(), service.Services.GetRequiredService<KnownPeople>());
        using var ids = new IdentifierCipher(Convert.FromBase64String(await File.ReadAllTextAsync(folder.IdentifierKeyFile, cancel)));
        var controller = DevelopmentFolder.Clinics[0].Oid;
        var codes = new HashSet<PersonalIdentityCode>();
        // Few of so many hashes fall on the same code; the next ones take their places.
        for (var attempt = 0; codes.Count < patients; attempt++)
            foreach (var i in Enumerable.Range(0, patients - codes.Count))
                codes.Add(FictionalIdentityCode.Of($"seeded/{i}", attempt));
        var people = new List<(Pseudonym Key, PersonalIdentityCode Value)>(patients);
        // Those of one part share a flush.
        foreach (var part in codes.Chunk(1_000))
            people.AddRange((await Task.WhenAll(part.Select(code => register.OfAsync(code, cancel).AsTask()))).Zip(part));
        // In the order of the key: pages of the database are written once.
        var ordered = people.OrderBy(p => Convert.ToHexString(p.Key.ToArray()), StringComparer.Ordinal).ToArray();
        var (updated, rows) = (DateTimeOffset.FromUnixTimeMilliseconds(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()), 0L);
        var reported = 0L;
        await using (var store = await OpenStoreAsync(folder, cancel))
        using (var records = new ThreadLocal<SeededRecord>(() => new()))
            await Parallel.ForEachAsync(Enumerable.Range(0, patients), new ParallelOptions { MaxDegreeOfParallelism = InFlight, CancellationToken = cancel }, async (i, stop) =>
            {
                var (compartment, code) = ordered[i];
                var (key, wrapped) = await keys.CreateAsync(compartment, stop);
                wrapped = await register.WithPersonAsync(wrapped, compartment, stop);
                using var cipher = new System.Security.Cryptography.AesGcm(key, 16);
                var sealedRows = new SealedRow[sizes[i % sizes.Length]];
                var before = UInt128.Zero;
                for (var at = 0; at < sealedRows.Length; at++)
                {
                    var sequence = at + 1;
                    var (resource, entry, body) = records.Value!.Row(ids, compartment, sequence, controller, code, updated);
                    var sealedEntry = RowSeal.SealIndex(cipher, compartment, sequence, before, entry);
                    before = RowSeal.TagOf(sealedEntry);
                    sealedRows[at] = new(sequence, sealedEntry,
                        RowSeal.SealBody(cipher, compartment, sequence, before, resource, SeededRecord.TypeAt(sequence), body));
                }
                if (!await store.AppendAsync([new(compartment, 0, wrapped, sealedRows)], stop))
                    throw new BenchmarkException("The database holds a seeded patient already: empty it first.");
                var done = Interlocked.Add(ref rows, sealedRows.Length);
                var last = Interlocked.Read(ref reported);
                if (done - last >= 200_000 && Interlocked.CompareExchange(ref reported, done, last) == last)
                    say($"{done:N0} rows, {done / clock.Elapsed.TotalSeconds:N0} rows/s");
            });
        return new(sizes, [.. ordered.Select(p => p.Key.Encode())], rows, clock.Elapsed.TotalSeconds,
            new DirectoryInfo(path).EnumerateFiles("*", SearchOption.AllDirectories).Sum(f => f.Length));
    }

    /// <summary>The store that the development host over this folder would open, made where it is missing.</summary>
    private static async Task<ICompartmentStore> OpenStoreAsync(DevelopmentFolder folder, CancellationToken cancel)
    {
        if (Environment.GetEnvironmentVariable("KANTA_POSTGRES") is not { Length: > 0 } postgres)
        {
            StoreSchema.Migrate(folder.DatabaseFile);
            return new SqliteStore(folder.DatabaseFile);
        }
        var service = await DevelopmentDatabase.MakeServiceRoleAsync(postgres, await File.ReadAllTextAsync(folder.DatabasePasswordFile, cancel), cancel);
        await StoreSchema.MigrateAsync(postgres, new Npgsql.NpgsqlConnectionStringBuilder(service).Username!, cancel);
        return await PostgresStore.OpenAsync(service, cancel);
    }
}
