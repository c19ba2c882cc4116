using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Audit.Postgres;
using KantaGateway.Dev;
using Npgsql;

namespace KantaGateway.Benchmarks;

/// <summary><c>audit</c>: what an append to the audit log costs, in files and in PostgreSQL, each in turn.</summary>
static class AuditCommand
{
    private const int RecordBytes = 700, People = 10_000;

    public static Command Create()
    {
        var entries = new Option<int>("--entries") { Description = "Of one load by 16 appenders at once; fewer append fewer", DefaultValueFactory = _ => 20_000 };
        var rounds = new Option<int>("--rounds") { Description = "Loads of each kind, in turn; the one with the median processor time counts", DefaultValueFactory = _ => 5 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("audit.json") };
        var place = new Place();
        var command = new Command("audit", "Appends to the audit log, in files and in PostgreSQL") { entries, rounds, json, place.Data };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            // On one disk, with its flushes.
            var folder = Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), "audit-" + Guid.NewGuid().ToString("N"));
            Directory.CreateDirectory(folder);
            using var server = await LocalPostgres.StartAsync(null, "shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=60min");
            try
            {
                var machine = Machine.Describe(folder);
                var (key, reader) = (RandomNumberGenerator.GetBytes(32), new AuditOpener(AuditOpener.GeneratePrivateKey()));
                var common = new AuditLogOptions { Origin = "localhost/log", LogKey = key, ReaderPublicKey = reader.PublicKey };
                var shared = common with { Engine = new PostgresAudit(await MakeAsync(server, key, cancel)) };
                await using var files = AuditLog.Open(common with { Folder = Path.Combine(folder, "log"), Create = true }, TimeProvider.System);
                await using var database = AuditLog.Open(shared, TimeProvider.System);
                await using var second = AuditLog.Open(shared, TimeProvider.System);
                (string Name, AuditLog[] Logs)[] engines = [("files", [files]), ("PostgreSQL", [database]), ("PostgreSQL, two logs", [database, second])];
                var rows = new List<IReadOnlyList<string>>();
                foreach (var appenders in (int[])[1, 4, 16, 64])
                {
                    var taken = engines.ToDictionary(engine => engine.Name, _ => new List<Taken>());
                    // The first round only warms up.
                    for (var round = 0; round <= Math.Clamp(parsed.GetValue(rounds), 1, 20); round++)
                        foreach (var (name, logs) in engines)
                        {
                            var one = await TakeAsync(server, logs, appenders, Math.Max(200, parsed.GetValue(entries) * Math.Min(appenders, 16) / 16));
                            Place.Say(string.Create(CultureInfo.InvariantCulture, $"{appenders} at once, round {round}, {name}: {one.Rate:0} /s, {one.PerCommit:0.0} a commit, {one.Own:0} + {one.Server:0} µs"));
                            if (round > 0)
                                taken[name].Add(one);
                        }
                    foreach (var (name, all) in taken)
                    {
                        var one = all.OrderBy(t => t.Own + t.Server).ElementAt(all.Count / 2);
                        rows.Add([string.Create(CultureInfo.InvariantCulture, $"{appenders} at once, {name}"), Measurement.Number(one.PerCommit, "0.0"), Measurement.Number(one.Own, "0"), Measurement.Number(one.Server, "0"),
                            Measurement.Number(one.Rate, "0"), Measurement.Number(one.P50, "0.00"), Measurement.Number(one.P99, "0.0"), Measurement.Number(one.Others, "0.00")]);
                    }
                }
                return await new Report("audit", DateTimeOffset.UtcNow, Place.Repeat(parsed), machine,
                    string.Create(CultureInfo.InvariantCulture, $"Records of {RecordBytes} bytes about {People:N0} people, each appended by itself and durable before the next of its appender; PostgreSQL on a Unix socket of the same machine, synchronous_commit=on."),
                    [new("an entry", ["entries a commit", "µs, gateway", "µs, PostgreSQL", "/s", "p50 ms", "p99 ms", "other cores"], rows)], [], []).PublishAsync(parsed.GetRequiredValue(json), cancel);
            }
            finally
            {
                Directory.Delete(folder, recursive: true);
            }
        });
        return command;
    }

    /// <param name="Own">Processor time of this process for an entry, µs; <paramref name="Server"/>: that of the database's processes.</param>
    /// <param name="Others">Cores that something else kept busy.</param>
    private sealed record Taken(double Rate, double PerCommit, double Own, double Server, double P50, double P99, double Others);

    private static async Task<Taken> TakeAsync(LocalPostgres server, AuditLog[] logs, int appenders, int count)
    {
        var (latencies, next) = (new double[count], 0);
        var (commits, own, theirs, before, begin) = (logs.Sum(log => log.Commits), Process.GetCurrentProcess().TotalProcessorTime, ServerTime(server), MachineTime.Now(), Stopwatch.GetTimestamp());
        await Task.WhenAll(Enumerable.Range(0, appenders).Select(appender => Task.Run(async () =>
        {
            for (var i = Interlocked.Increment(ref next) - 1; i < count; i = Interlocked.Increment(ref next) - 1)
            {
                var start = Stopwatch.GetTimestamp();
                await logs[appender % logs.Length].AppendAsync(new AuditEntry(BitConverter.GetBytes((long)(i % People)).Concat(new byte[2]).ToArray(), RandomNumberGenerator.GetBytes(RecordBytes), "clinic"));
                latencies[i] = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            }
        })));
        var (took, after) = (Stopwatch.GetElapsedTime(begin).TotalSeconds, MachineTime.Now());
        var (spent, spentThere) = ((Process.GetCurrentProcess().TotalProcessorTime - own).TotalSeconds, (ServerTime(server) - theirs).TotalSeconds);
        Array.Sort(latencies);
        return new(count / took, (double)count / (logs.Sum(log => log.Commits) - commits), spent / count * 1e6, spentThere / count * 1e6, latencies[count / 2], latencies[count * 99 / 100],
            ((after.Busy - before.Busy).TotalSeconds - spent - spentThere) / took);
    }

    /// <summary>Processor time of the server and all of its processes, proc(5).</summary>
    private static TimeSpan ServerTime(LocalPostgres server)
    {
        var (postmaster, ticks) = (File.ReadLines(Path.Combine(server.Folder, "data", "postmaster.pid")).First(), 0L);
        foreach (var process in Directory.EnumerateDirectories("/proc"))
            try
            {
                if (!char.IsAsciiDigit(Path.GetFileName(process)[0]))
                    continue;
                var stat = File.ReadAllText(Path.Combine(process, "stat"));
                // Field 3 is the first after the name in parentheses: 4 the parent, 14 and 15 its own time, 16 and 17 that of children who have ended.
                var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
                var isPostmaster = Path.GetFileName(process) == postmaster;
                if (isPostmaster || fields[1] == postmaster)
                    ticks += fields[11..(isPostmaster ? 15 : 13)].Sum(field => long.Parse(field, CultureInfo.InvariantCulture));
            }
            catch (IOException)
            {
                // It has ended.
            }
        return TimeSpan.FromSeconds(ticks / 100.0);
    }

    private static async Task<string> MakeAsync(LocalPostgres server, byte[] key, CancellationToken cancel)
    {
        await using (var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(server.Superuser) { Pooling = false }))
        {
            await using var make = source.CreateCommand("CREATE DATABASE audit");
            await make.ExecuteNonQueryAsync(cancel);
        }
        var administrator = new NpgsqlConnectionStringBuilder(server.Superuser) { Database = "audit" }.ToString();
        var service = await DevelopmentDatabase.MakeServiceRoleAsync(administrator, Convert.ToHexString(RandomNumberGenerator.GetBytes(16)), cancel);
        await PostgresAudit.MigrateAsync(administrator, new NpgsqlConnectionStringBuilder(service).Username!, "localhost/log", key, cancel);
        return service;
    }
}
