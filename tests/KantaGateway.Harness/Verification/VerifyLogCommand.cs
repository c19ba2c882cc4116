using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Audit;
using KantaGateway.Audit.Monitoring;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Harness.Clients;

namespace KantaGateway.Harness.Verification;

/// <summary><c>verify-log</c>: whether a log is what it has signed, and goes on from what it was at the last visit.</summary>
static class VerifyLogCommand
{
    /// <summary>Exit codes: it is; it is not; nobody knows.</summary>
    public const int Intact = 0, Faulty = 1, Unknown = 2;

    public static Command Create()
    {
        var address = new Argument<Uri>("URL") { CustomParser = Addresses.One, Description = "Prefix of the log, such as https://localhost:8443/audit/log" };
        var vkey = new Option<string>("--vkey") { Required = true, Description = "The log's verifier key, or a file with it" };
        var state = new Option<DirectoryInfo>("--state") { Required = true, Description = "Folder for what is remembered between two visits; made if there is none" };
        var witnesses = new Option<FileInfo>("--witness-policy") { Description = "File that says whose cosignatures a checkpoint needs (C2SP tlog-policy)" };
        var authority = new Option<FileInfo>("--authority") { Description = "PEM file with the roots of the log's certificate, instead of the system's" };
        var all = new Option<bool>("--all") { Description = "Reads everything again, and not only what is new" };
        var ahead = new Option<int>("--parallel") { DefaultValueFactory = _ => 8, Description = "Tiles that are fetched at once, 1 to 64" };
        ahead.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 64)
                result.AddError("--parallel is 1 to 64.");
        });
        var command = new Command("verify-log", "Checks a whole audit log from outside: signature, cosignatures, every entry, and that it goes on from the last visit") { address, vkey, state, witnesses, authority, all, ahead };
        command.SetAction(async (parsed, cancel) =>
        {
            var (say, warn) = (parsed.InvocationConfiguration.Output, parsed.InvocationConfiguration.Error);
            try
            {
                var log = KeyIn(parsed.GetRequiredValue(vkey));
                var policy = parsed.GetValue(witnesses) is { } file ? PolicyIn(file.FullName) : null;
                using var kept = new MonitorFolder(parsed.GetRequiredValue(state).FullName, log);
                using var http = new HttpLog(parsed.GetRequiredValue(address), parsed.GetValue(authority) is { } pem ? RootsIn(pem.FullName) : null);
                var before = kept.Verified?.Size;
                await say.WriteLineAsync(before is null ? $"{log.Name}: not visited before" : string.Create(CultureInfo.InvariantCulture, $"{log.Name}: {before} entries verified before")).ConfigureAwait(false);
                var shown = 0L;
                var report = await new LogMonitor(log, kept, http.ReadAsync, policy)
                {
                    Ahead = parsed.GetValue(ahead),
                    ReadsAll = parsed.GetValue(all),
                    Progress = (done, of) =>
                    {
                        if (done * 20 / of == shown)
                            return;
                        shown = done * 20 / of;
                        warn.WriteLine(string.Create(CultureInfo.InvariantCulture, $"read {done} of {of} entries"));
                    },
                }.CheckAsync(cancel).ConfigureAwait(false);
                foreach (var fault in report.Faults)
                    await say.WriteLineAsync($"{fault.Kind.ToString().ToUpperInvariant()}: {fault.What}").ConfigureAwait(false);
                if (report.Head is { } head)
                    await say.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"the log signs {head.Size} entries with root {Convert.ToBase64String(head.Root)}; {report.Read} were read")).ConfigureAwait(false);
                if (report.Pruned is { } pruned)
                    await say.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"what the first {pruned.Before} entries are about is kept no longer since {pruned.At:u}, the newest of them is of {pruned.Newest:u}: {pruned.Reason}")).ConfigureAwait(false);
                if (policy is not null)
                    await say.WriteLineAsync(report.Cosigners.Count == 0 ? "cosigned by nobody" : "cosigned by " + string.Join(", ", report.Cosigners.Select(w => w.Key.Name))).ConfigureAwait(false);
                await say.WriteLineAsync(report.IsIntact ? "The log is what it has signed." : "The log is NOT what it must be.").ConfigureAwait(false);
                return report.IsIntact ? Intact : Faulty;
            }
            catch (Exception unknown) when (unknown is HttpRequestException or IOException or InvalidDataException or UnauthorizedAccessException)
            {
                await warn.WriteLineAsync($"Not checked: {unknown.Message}. The next run goes on from what is known.").ConfigureAwait(false);
                return Unknown;
            }
        });
        return command;
    }

    private static NoteVerifier KeyIn(string given) =>
        NoteVerifier.TryParse(File.Exists(given) ? File.ReadAllText(given).Trim() : given, out var key) ? key : throw new InvalidDataException("--vkey is neither a log's verifier key nor a file with one");

    private static WitnessPolicy PolicyIn(string file) =>
        WitnessPolicy.TryParse(File.ReadAllBytes(file), out var policy, out var problem) ? policy : throw new InvalidDataException($"--witness-policy: {problem}");

    private static X509Certificate2Collection RootsIn(string file)
    {
        var roots = new X509Certificate2Collection();
        roots.ImportFromPemFile(file);
        return roots;
    }
}
