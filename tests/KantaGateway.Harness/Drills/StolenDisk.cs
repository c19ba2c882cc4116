using System.Diagnostics;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Drills;

/// <summary>What a thief carries away: the disk of a development host as it lies there, and a backup made by <c>infra/backup.sh</c>.</summary>
/// <param name="copy">Where it goes; gone when this is disposed.</param>
sealed class StolenDisk(DirectoryInfo copy) : IDisposable
{
    public string Folder => copy.FullName;

    /// <summary>Bytes and files that were taken.</summary>
    public (long Bytes, int Files) Size
    {
        get
        {
            FileInfo[] files = [.. copy.EnumerateFiles("*", SearchOption.AllDirectories)];
            return (files.Sum(static f => f.Length), files.Length);
        }
    }

    /// <summary>Copies every file of the data folder.</summary>
    public static StolenDisk Copy(DevFolder folder)
    {
        var stolen = new StolenDisk(Directory.CreateTempSubdirectory("kanta-drill-"));
        foreach (var file in Directory.EnumerateFiles(folder.Path, "*", SearchOption.AllDirectories))
        {
            // Sockets have nothing to read.
            if (new FileInfo(file).Length == 0)
                continue;
            var to = Path.Combine(stolen.Folder, Path.GetRelativePath(folder.Path, file));
            Directory.CreateDirectory(Path.GetDirectoryName(to)!);
            using var source = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var target = File.Create(to);
            source.CopyTo(target);
        }
        return stolen;
    }

    /// <summary>A backup of the running host, made as its operator makes one. The keys to read it are thrown away: the thief has the archives.</summary>
    /// <exception cref="InvalidOperationException">It cannot be made here; the message says what is missing.</exception>
    public static async Task<StolenDisk> BackUpAsync(DevFolder folder, CancellationToken cancel)
    {
        var script = Script();
        var stolen = new StolenDisk(Directory.CreateTempSubdirectory("kanta-drill-"));
        try
        {
            foreach (var name in (string[])["store", "keys"])
            {
                var identity = Path.Combine(stolen.Folder, name + ".identity");
                await RunAsync("age-keygen", ["-o", identity], cancel).ConfigureAwait(false);
                await File.WriteAllTextAsync(Path.Combine(stolen.Folder, name + ".recipients"), await RunAsync("age-keygen", ["-y", identity], cancel).ConfigureAwait(false), cancel).ConfigureAwait(false);
                File.Delete(identity);
            }
            var configuration = Path.Combine(stolen.Folder, "backup.conf");
            await File.WriteAllTextAsync(configuration, $"""
                to={stolen.Folder} store_recipients={stolen.Folder}/store.recipients keys_recipients={stolen.Folder}/keys.recipients
                data={folder.Path}
                store=$data/repository/repository.db
                key_file=$data/keys/wrapping-keys.json custody=$data/keys/custody
                further_keys=("$data"/keys/identifier.key "$data"/keys/grant.key "$data"/keys/grant.pem "$data"/keys/decisions.key)
                audit=$data/audit operators=$data/operators breach=$data/breach emergencies=$data/emergencies clients=$data/keys/clients.json

                """, cancel).ConfigureAwait(false);
            await RunAsync("bash", [script, configuration], cancel).ConfigureAwait(false);
            return stolen;
        }
        catch
        {
            stolen.Dispose();
            throw;
        }
    }

    public void Dispose() => copy.Delete(recursive: true);

    private static string Script()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (Path.Combine(folder.FullName, "infra", "backup.sh") is var script && File.Exists(script))
                return script;
        throw new InvalidOperationException("infra/backup.sh is not above this program's folder.");
    }

    private static async Task<string> RunAsync(string program, string[] arguments, CancellationToken cancel)
    {
        Process process;
        try
        {
            process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            throw new InvalidOperationException($"{program} is not there: apt-get install age sqlite3");
        }
        using (process)
        {
            var said = process.StandardError.ReadToEndAsync(cancel);
            var output = await process.StandardOutput.ReadToEndAsync(cancel).ConfigureAwait(false);
            await process.WaitForExitAsync(cancel).ConfigureAwait(false);
            return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} ended with {process.ExitCode}: {await said.ConfigureAwait(false)}");
        }
    }
}
