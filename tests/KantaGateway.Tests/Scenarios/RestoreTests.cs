using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Storage;
using KantaGateway.Dev;
using KantaGateway.Gateway;
using KantaGateway.Gateway.Operations;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Audit;
using static KantaGateway.Tests.Repository.Storage.PostgresDatabase;

namespace KantaGateway.Tests.Scenarios;

/// <summary>The restore drill: what <c>infra/backup.sh</c> takes from a running host, <c>infra/restore.sh</c> brings back.</summary>
public sealed class RestoreTests
{
    [Fact]
    public async Task What_was_backed_up_while_writes_went_on_is_there_again_and_the_audit_log_says_that_it_was_restored()
    {
        using var folder = new TemporaryFolder();
        var (data, restored, log) = (folder.File("data"), folder.File("restored"), folder.File("logs/host.log"));
        await MakeIdentitiesAsync(folder);
        var (own, elsewhere) = (Configure(folder, "own.conf", data), Configure(folder, "elsewhere.conf", restored));
        var port = RunningHost.FreePorts();
        var written = new ConcurrentDictionary<string, string>();
        string untouched, busy, later, backup, checkpoint;
        string[] before;
        ArchivedVisit visit;

        // :: A visit is archived; a backup is made while another record is written to; then the visit's record goes on, and all is killed.
        await using (var host = await RunningHost.StartAsync(data, log, port))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            visit = await ArchivedVisit.StoreAsync(clinic.System, await RegisterAsync(clinic), "Restored diagnosis", "Restored note");
            (untouched, busy) = (await RegisterAsync(clinic), await RegisterAsync(clinic));
            using var enough = new CancellationTokenSource();
            await WriteAsync(clinic, busy, written);
            before = [.. written.Keys];
            var writing = WriteOnAsync(clinic, busy, written, enough.Token);
            backup = (await RunAsync(folder, Script("backup.sh"), own)).Split('\n')[^1];
            await enough.CancelAsync();
            await writing;
            var heads = Path.Combine(data, "keys", "custody", "heads");
            later = await WriteAndTellAsync();
            // What was told first may have been of the other record, which nobody writes to any more.
            await WriteAndTellAsync();
            checkpoint = (await clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint")).Text;
            await host.KillAsync();

            // The key service is told a moment after the answer.
            async Task<string> WriteAndTellAsync()
            {
                var known = await File.ReadAllBytesAsync(heads);
                var stored = await WriteAsync(clinic, visit.Patient, new());
                while ((await File.ReadAllBytesAsync(heads)).AsSpan().SequenceEqual(known))
                    await Task.Yield();
                return stored;
            }
        }
        var manifest = await File.ReadAllLinesAsync(Path.Combine(backup, "manifest"));
        var taken = manifest.Single(static line => line.StartsWith("taken ", StringComparison.Ordinal))[6..];

        // :: Who can read one of the two has nothing of the other.
        await RunAsync(folder, "age", "-d", "-o", "/dev/null", "-i", folder.File("keys.identity"), Path.Combine(backup, "keys.tar.age"));
        foreach (var (identity, archive) in new[] { ("keys.identity", "store"), ("keys.identity", "gateway"), ("store.identity", "keys") })
            Assert.NotEqual(0, (await TryAsync(folder, "age", "-d", "-o", "/dev/null", "-i", folder.File(identity), Path.Combine(backup, archive + ".tar.age"))).Code);

        // :: Everything is lost: it comes back in an empty folder, as it was.
        await RunAsync(folder, Script("restore.sh"), elsewhere, backup);
        string[] found;
        await using (var host = await RunningHost.StartAsync(restored, log, port))
        {
            Assert.False(File.Exists(Path.Combine(restored, "audit", RestoreMark.Name)));
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            await IsThereAsync(clinic, visit);
            Assert.Equal(404, (await clinic.System.ReadAsync("Observation", later)).Status);
            // Nobody new has an id before the store has told whom the restored keys may lack.
            while (File.Exists(Path.Combine(restored, "keys/custody/restored")))
                await Task.Yield();
            await RegisterAsync(clinic);
            // What was written between the copies of the store and of the keys is known and not there.
            await AcceptAsync(host, taken);
            found = [.. await IdentifiersAsync(clinic, busy)];
            await host.StopAsync();
        }
        Assert.Equal([], before.Except(found));
        using (var audit = new AuditOnDisk(restored))
        {
            Assert.Equal([], audit.Verify(string.Join('\n', manifest[(Array.IndexOf(manifest, "checkpoint") + 1)..]) + "\n").Faults);
            // Whoever has kept a later checkpoint is told that entries are gone.
            Assert.NotEmpty(audit.Verify(checkpoint).Faults);
            audit.Refresh();
            Assert.Equal([], found.Where(identifier => audit.Of(written[identifier]).Count == 0));
            Assert.Contains($"{Path.GetFileName(backup)} of {taken}, store keys gateway, manifest ", Assert.Single(RestoresIn(audit)), StringComparison.Ordinal);
        }
        var (code, said) = await TryAsync(folder, Script("restore.sh"), elsewhere, backup);
        Assert.NotEqual(0, code);
        Assert.Contains("repository.db is there", said, StringComparison.Ordinal);

        // :: The store alone is lost: what was written since is missed, until two operators accept it.
        Directory.Delete(Path.Combine(data, "repository"), recursive: true);
        await RunAsync(folder, Script("restore.sh"), own, backup, "store");
        await using (var host = await RunningHost.StartAsync(data, log, port))
        {
            using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
            Assert.Equal(200, (await clinic.System.ReadAsync("Patient", untouched)).Status);
            Assert.Equal(500, (await clinic.System.ReadAsync("Patient", visit.Patient)).Status);
            await AcceptAsync(host, taken);
            await IsThereAsync(clinic, visit);
            Assert.Equal(404, (await clinic.System.ReadAsync("Observation", later)).Status);
            await host.StopAsync();
        }
        using (var audit = new AuditOnDisk(data))
        {
            Assert.Equal([], audit.Verify(checkpoint).Faults);
            audit.Refresh();
            Assert.Contains(", store, manifest ", Assert.Single(RestoresIn(audit)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task An_archive_that_is_not_what_the_manifest_says_is_not_restored()
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        var configuration = Configure(folder, "own.conf", folder.File("data"));
        Directory.CreateDirectory(folder.File("backup"));
        await File.WriteAllTextAsync(folder.File("backup/store.tar.age"), "another");
        await File.WriteAllTextAsync(folder.File("backup/manifest"), $"KantaGateway backup 1\ntaken 2026-01-31T04:00:00Z\nstore 7 {new string('0', 64)}\n");
        var (code, said) = await TryAsync(folder, Script("restore.sh"), configuration, folder.File("backup"));
        Assert.NotEqual(0, code);
        Assert.Contains("is not what the manifest says", said, StringComparison.Ordinal);
        Assert.False(Directory.Exists(folder.File("data")));
    }

    /// <summary>The keys of an HSM change with a ceremony alone, and of that the key file shows nothing.</summary>
    [Theory]
    [InlineData("s/\"count\":1/\"count\":2/", "custody/ceremonies.json", true)]
    [InlineData("s/{\"version\":1}/&,{\"version\":2}/", "custody/ceremonies.json", false)]
    [InlineData("s/a/b/", "keys.json", false)]
    [InlineData("s/a/b/", "grant.key", false)]
    public async Task A_backup_in_which_the_keys_changed_is_none(string change, string file, bool isOne)
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        Directory.CreateDirectory(folder.File("custody"));
        await File.WriteAllTextAsync(folder.File("custody/ceremonies.json"), """{"ceremonies":[{"version":1}],"erased":null,"rotated":null,"people":{"generation":1,"end":{"count":1}},"mac":"a"}""");
        await File.WriteAllTextAsync(folder.File("keys.json"), "a");
        await File.WriteAllTextAsync(folder.File("grant.key"), "a");
        // Just before what was read is encrypted.
        var configuration = Configure(folder, "own.conf", null, $"key_file={folder.File("keys.json")}\ncustody={folder.File("custody")}\nfurther_keys=({folder.File("grant.key")})\nage() {{ sed -i '{change}' {folder.File(file)}; command age \"$@\"; }}\n");
        var (code, said) = await TryAsync(folder, Script("backup.sh"), configuration);
        Assert.Equal((isOne, isOne), (code == 0, !said.Contains("do it again", StringComparison.Ordinal)));
        Assert.Equal(isOne ? 1 : 0, Directory.GetDirectories(folder.File("backups")).Length);
    }

    [Fact]
    public async Task Notices_letters_and_watched_people_come_back_and_none_that_the_audit_log_does_not_have()
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        string[] kept = ["notices/cases/1/a", "notices/people/b/a", "notices/people/b/a.read", "notices/codes/c", "letters/00000001-a.sealed", "watched/people", "breach/00000001.json"];
        foreach (var file in (string[])["audit/log", "audit/checkpoint", "audit/rows/000000000000", "audit/log.key", .. kept, "letters/00000001-d.sealed.new", "notices/codes/e.new"])
        {
            Directory.CreateDirectory(Path.GetDirectoryName(folder.File(file))!);
            await File.WriteAllTextAsync(folder.File(file), file);
        }
        // Another is sent as the audit log is read.
        var further = $"cat() {{ [ \"$1\" != {folder.File("audit/checkpoint")} ] || echo late > {folder.File("notices/people/b/late")}; command cat \"$@\"; }}\n";
        var backup = (await RunAsync(folder, Script("backup.sh"), Configure(folder, "own.conf", null, Places("") + further))).Split('\n')[^1];
        Assert.True(File.Exists(folder.File("notices/people/b/late")));
        await RunAsync(folder, Script("restore.sh"), Configure(folder, "elsewhere.conf", null, Places("restored/")), backup, "gateway");
        foreach (var file in kept)
            Assert.Equal(file, await File.ReadAllTextAsync(folder.File("restored/" + file)));
        foreach (var part in (string[])["notices", "letters", "watched"])
            Assert.Equal(kept.Count(file => file.StartsWith(part, StringComparison.Ordinal)), Directory.GetFiles(folder.File("restored/" + part), "*", SearchOption.AllDirectories).Length);
        // What is there is not overwritten.
        Directory.Delete(folder.File("restored/audit"), recursive: true);
        var (code, said) = await TryAsync(folder, Script("restore.sh"), folder.File("elsewhere.conf"), backup, "gateway");
        Assert.NotEqual(0, code);
        Assert.Contains("is there: move it away first", said, StringComparison.Ordinal);

        string Places(string under) => $"audit={folder.File(under + "audit")}\nbreach={folder.File(under + "breach")}\nnotices={folder.File(under + "notices")}\nletters={folder.File(under + "letters")}\nwatched={folder.File(under + "watched/people")}\n";
    }

    [Fact]
    public async Task A_database_is_restored_to_a_time_between_two_writes()
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        Directory.CreateDirectory(folder.File("wal"));
        // PostgreSQL does not run as root, and what it runs has to be within its reach.
        foreach (var script in (string[])["backup.sh", "restore.sh"])
            File.Copy(Script(script), folder.File(script));
        string configuration, backup, between;
        using (var server = await LocalPostgres.StartAsync(null, "archive_mode=on"))
        {
            configuration = Configure(folder, "postgres.conf", null, $"postgres='host={server.Folder} user=postgres'\npgdata={folder.File("pgdata")}\nwal={folder.File("wal")}\n");
            await GiveAsync(folder);
            await AskAsync(server.Superuser, $"ALTER SYSTEM SET archive_command = '{folder.File("backup.sh")} {configuration} wal %p %f'");
            await AskAsync(server.Superuser, "SELECT pg_reload_conf()");
            await AskAsync(server.Superuser, "CREATE TABLE written (what text)");
            await WriteAsync("before the backup");
            backup = (await AsServerAsync(folder, folder.File("backup.sh"), configuration)).Split('\n')[^1];
            await WriteAsync("before the accident");
            between = (string)(await AskAsync(server.Superuser, "SELECT clock_timestamp()::text"))!;
            await WriteAsync("the accident");
            var last = (string)(await AskAsync(server.Superuser, "SELECT pg_walfile_name(pg_switch_wal())"))!;
            while (!File.Exists(folder.File($"wal/{last}.age")))
                await Task.Yield();

            Task WriteAsync(string what) => AskAsync(server.Superuser, $"INSERT INTO written VALUES ('{what}')");
        }
        await AsServerAsync(folder, "env", $"KANTA_RESTORE_TO={between}", folder.File("restore.sh"), configuration, backup);
        await RestoredServerAsync(folder, async () =>
            Assert.Equal("before the backup, before the accident", await AskAsync($"Host={folder.Path};Username=postgres;Database=postgres", "SELECT string_agg(what, ', ') FROM written")));
    }

    [Fact]
    public async Task An_audit_log_in_a_database_is_restored_as_it_was_archived_and_a_later_checkpoint_exposes_what_is_lost()
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        Directory.CreateDirectory(folder.File("wal"));
        Directory.CreateDirectory(folder.File("audit"));
        foreach (var script in (string[])["backup.sh", "restore.sh"])
            File.Copy(Script(script), folder.File(script));
        var (archived, lost, acknowledged) = ("", "", 0);
        LogDatabase restored;
        string configuration, backup;
        using (var server = await LocalPostgres.StartAsync(null, "archive_mode=on"))
        using (var place = await LogDatabase.NewAsync(server.Superuser))
        {
            configuration = Configure(folder, "audit.conf", null, $"postgres='host={server.Folder} user=postgres'\npgdata={folder.File("pgdata")}\nwal={folder.File("wal")}\naudit={folder.File("audit")}\n");
            await File.WriteAllTextAsync(folder.File("audit/log.key"), Convert.ToBase64String(place.LogKey));
            await GiveAsync(folder);
            await AskAsync(server.Superuser, $"ALTER SYSTEM SET archive_command = '{folder.File("backup.sh")} {configuration} wal %p %f'");
            await AskAsync(server.Superuser, "SELECT pg_reload_conf()");
            await using var log = place.Open();
            await WriteAsync(300);
            var writing = WriteAsync(300);
            backup = (await AsServerAsync(folder, folder.File("backup.sh"), configuration)).Split('\n')[^1];
            await writing;
            await log.PublishAsync();
            archived = log.ReadCheckpoint();
            var last = (string)(await AskAsync(server.Superuser, "SELECT pg_walfile_name(pg_switch_wal())"))!;
            while (!File.Exists(folder.File($"wal/{last}.age")))
                await Task.Yield();
            await log.AppendAsync(LogPlace.Entry(acknowledged));
            await log.PublishAsync();
            lost = log.ReadCheckpoint();
            restored = place.On(folder.Path);

            async Task WriteAsync(int entries)
            {
                for (var i = 0; i < entries; i++)
                    await log.AppendAsync(LogPlace.Entry(acknowledged++));
            }
        }
        // What says that it was restored is left for the gateway, whose folder is still there.
        await AsServerAsync(folder, "env", "KANTA_RESTORE_TO=newest", folder.File("restore.sh"), configuration, backup, "store");
        await RestoredServerAsync(folder, async () =>
        {
            using (restored)
            {
                await using (var log = restored.Open())
                {
                    Assert.Equal(Enumerable.Range(0, 600).Select(static i => $"{i}"), restored.Stored(log));
                    var options = new GatewayOptions
                    {
                        PublicAddress = "https://localhost", Port = 0, TlsCertificateFile = "", TlsKeyFile = "", ClientAuthorityFile = "", Repository = "", Keys = "", GrantKeyFile = "", IdentifierKeyFile = "", Identification = null!,
                        AuditFolder = folder.File("audit"), AuditOrigin = "localhost/log",
                    };
                    RestoreMark.Record(log, options, TimeProvider.System);
                    Assert.False(File.Exists(folder.File($"audit/{RestoreMark.Name}")));
                }
                Assert.Empty(restored.Verify(archived).Faults);
                Assert.Equal(601, restored.Verify(archived).Entries);
                // As long as the one that is lost, and not the same.
                Assert.Contains(restored.Verify(lost).Faults, static fault => fault.StartsWith("fork: the earlier checkpoint", StringComparison.Ordinal));
            }
        });
    }

    /// <summary>With the note of what was pruned, or the rest would look as if it had been tampered with.</summary>
    [Fact]
    public async Task A_pruned_audit_log_comes_back_as_one()
    {
        using var folder = new TemporaryFolder();
        await MakeIdentitiesAsync(folder);
        using var place = new LogFolder();
        await using (var log = AuditLog.Open(place.Options(null, LogFolder.ShortSegment), new Microsoft.Extensions.Time.Testing.FakeTimeProvider(new(2010, 1, 1, 0, 0, 0, TimeSpan.Zero))))
            for (var i = 0; i < 100; i += 10)
                await log.AppendAsync([.. Enumerable.Range(i, 10).Select(static n => LogPlace.Entry(n))]);
        Pruning pruning;
        await using (var log = place.Open(LogFolder.ShortSegment))
            pruning = (await log.PruneAsync(await log.PrunableAsync(DateTimeOffset.UtcNow), "Over.", DateTimeOffset.UtcNow, static _ => default))!;
        var backup = (await RunAsync(folder, Script("backup.sh"), Configure(folder, "backup.conf", null, $"audit={place.Store}\n"))).Split('\n')[^1];
        await RunAsync(folder, "sh", "-c", $"age -d -i {folder.File("store.identity")} {backup}/gateway.tar.age | tar -xf - -C {folder.Path}");
        var found = AuditVerification.Of(folder.File("audit"), place.Verifier, LogStore.ReadCheckpoint(place.Store));
        Assert.Equal((pruning.Before, 0), (found.Pruned!.Before, found.Left));
        // Tiles and indices are made again.
        Assert.All(found.Faults, static fault => Assert.StartsWith("tile ", fault, StringComparison.Ordinal));
        await using (var log = AuditLog.Open(place.Options(null, LogFolder.ShortSegment) with { Folder = folder.File("audit") }, TimeProvider.System))
            Assert.Equal(100 - pruning.Before, LogPlace.Entries(log).Count);
        found = AuditVerification.Of(folder.File("audit"), place.Verifier);
        Assert.Equal([], found.Faults);
    }

    private static string Script(string name) => Path.Combine(Solution.Folder, "infra", name);

    private static async Task MakeIdentitiesAsync(TemporaryFolder folder)
    {
        foreach (var name in (string[])["store", "keys"])
        {
            await RunAsync(folder, "age-keygen", "-o", folder.File($"{name}.identity"));
            await File.WriteAllTextAsync(folder.File($"{name}.recipients"), await RunAsync(folder, "age-keygen", "-y", folder.File($"{name}.identity")) + "\n");
        }
        Directory.CreateDirectory(folder.File("backups"));
    }

    /// <summary>A configuration of the scripts over a development host's data folder, or over something else.</summary>
    private static string Configure(TemporaryFolder folder, string name, string? data, string further = "")
    {
        var file = folder.File(name);
        File.WriteAllText(file, $"to={folder.File("backups")}\nstore_recipients={folder.File("store.recipients")}\nkeys_recipients={folder.File("keys.recipients")}\n{further}" + (data is null ? "" : $"""
            data={data}
            store=$data/repository/repository.db
            key_file=$data/keys/wrapping-keys.json custody=$data/keys/custody
            further_keys=("$data"/keys/identifier.key "$data"/keys/grant.key "$data"/keys/grant.pem "$data"/keys/decisions.key)
            audit=$data/audit operators=$data/operators breach=$data/breach notices=$data/breach-notices letters=$data/breach-letters watched=$data/watched/people emergencies=$data/emergencies clients=$data/keys/clients.json

            """));
        return file;
    }

    private static Task<string> RegisterAsync(ClinicClient clinic) =>
        ArchivedVisit.RegisterAsync(clinic.System, FictionalIdentityCode.Of($"restore {Guid.NewGuid()}").Reveal(), "Palautus Koe");

    /// <summary>Writes an Observation.</summary>
    /// <param name="written">Gets its identifier and the id of the request.</param>
    /// <returns>Its id.</returns>
    private static async Task<string> WriteAsync(ClinicClient clinic, string patient, ConcurrentDictionary<string, string> written)
    {
        var (identifier, request) = ($"urn:uuid:{Guid.NewGuid()}", Guid.NewGuid().ToString());
        written[identifier] = request;
        var reply = await clinic.System.SendAsync(HttpMethod.Post, "Observation", Some.Bytes(Some.Observation($"Patient/{patient}", identifier: identifier)), [("X-Request-Id", request)]);
        Assert.Equal(201, reply.Status);
        return reply.Stored!.Value.Id;
    }

    private static async Task WriteOnAsync(ClinicClient clinic, string patient, ConcurrentDictionary<string, string> written, CancellationToken enough)
    {
        while (!enough.IsCancellationRequested)
            await WriteAsync(clinic, patient, written);
    }

    private static async Task IsThereAsync(ClinicClient clinic, ArchivedVisit visit)
    {
        foreach (var (type, id) in visit.Resources)
            Assert.Equal(200, (await clinic.System.ReadAsync(type, id)).Status);
    }

    private static async Task<IEnumerable<string>> IdentifiersAsync(ClinicClient clinic, string patient)
    {
        var found = new List<string>();
        for (var page = await clinic.System.SearchAsync("Observation", $"patient={patient}&_count=200"); ; page = await clinic.System.SendAsync(HttpMethod.Get, Appearance.Next(page)!))
        {
            Assert.Equal(200, page.Status);
            found.AddRange(page.Json.GetProperty("entry").EnumerateArray().Select(static entry => entry.GetProperty("resource").GetProperty("identifier")[0].GetProperty("value").GetString()!));
            if (Appearance.Next(page) is null)
                return found;
        }
    }

    /// <summary>Two operators accept that the store is one of that time.</summary>
    private static async Task AcceptAsync(RunningHost host, string since)
    {
        var address = host.Target.ToString().TrimEnd('/');
        using var olga = await OperatorTests.SignInAsync(address, 0);
        using var heikki = await OperatorTests.SignInAsync(address, 1);
        using var proposed = await olga.PostAsJsonAsync("/operator/acts", new { kind = "store-restore", subject = "store", content = since });
        Assert.Equal(HttpStatusCode.Created, proposed.StatusCode);
        var act = await proposed.Content.ReadFromJsonAsync<JsonElement>();
        foreach (var (who, step) in new[] { (heikki, "approve"), (olga, "carry-out") })
            Assert.Equal(HttpStatusCode.NoContent, (await who.PostAsJsonAsync($"/operator/acts/{act.GetProperty("id").GetString()}/{step}", new { digest = act.GetProperty("digest").GetString() })).StatusCode);
    }

    private static IEnumerable<string> RestoresIn(AuditOnDisk audit) =>
        audit.All.Select(static e => e.TryGetProperty("outcomeDesc", out var said) ? said.GetString()! : "").Where(static said => said.StartsWith("Restored from a backup: ", StringComparison.Ordinal));

    /// <summary>A server on what was restored, on a socket in the folder.</summary>
    private static async Task RestoredServerAsync(TemporaryFolder folder, Func<Task> use)
    {
        var pg = Path.Combine(Directory.EnumerateDirectories("/usr/lib/postgresql").Max()!, "bin", "pg_ctl");
        // It goes after nothing that had room for more connections than it has itself.
        await AsServerAsync(folder, pg, "-D", folder.File("pgdata"), "-l", folder.File("pg.log"), "-w", "-o", $"-c listen_addresses= -c archive_mode=off -c max_connections=200 -c unix_socket_directories={folder.Path}", "start");
        try
        {
            // In use when it has come to that time, which is later than when it answers.
            while (await AskAsync($"Host={folder.Path};Username=postgres;Database=postgres", "SELECT pg_is_in_recovery()") is true)
                await Task.Yield();
            await use();
        }
        finally
        {
            await AsServerAsync(folder, pg, "-D", folder.File("pgdata"), "-m", "immediate", "-w", "stop");
        }
    }

    /// <summary>Lets the user of the database server in.</summary>
    private static async Task GiveAsync(TemporaryFolder folder)
    {
        if (Environment.UserName == "root")
            await RunAsync(folder, "chown", "-R", "postgres", folder.Path);
    }

    private static Task<string> AsServerAsync(TemporaryFolder folder, string program, params string[] arguments) =>
        Environment.UserName == "root" ? RunAsync(folder, "runuser", ["-u", "postgres", "--", program, .. arguments]) : RunAsync(folder, program, arguments);

    /// <returns>What it said.</returns>
    private static async Task<string> RunAsync(TemporaryFolder folder, string program, params string[] arguments)
    {
        var (code, said) = await TryAsync(folder, program, arguments);
        Assert.True(code == 0, $"{program} ended with {code}: {said}");
        return said;
    }

    private static async Task<(int Code, string Said)> TryAsync(TemporaryFolder folder, string program, params string[] arguments)
    {
        // Into a file: a server that is started there would keep a pipe open and us waiting.
        var output = folder.File(Guid.NewGuid().ToString("N") + ".out");
        var start = new ProcessStartInfo("/bin/sh")
        {
            WorkingDirectory = folder.Path,
            Environment = { ["KANTA_STORE_IDENTITY"] = folder.File("store.identity"), ["KANTA_KEYS_IDENTITY"] = folder.File("keys.identity") },
        };
        foreach (var argument in (string[])["-c", "output=$1; shift; exec \"$@\" >\"$output\" 2>&1 </dev/null", "sh", output, program, .. arguments])
            start.ArgumentList.Add(argument);
        using var process = Process.Start(start)!;
        await process.WaitForExitAsync();
        return (process.ExitCode, (await File.ReadAllTextAsync(output)).TrimEnd());
    }
}
