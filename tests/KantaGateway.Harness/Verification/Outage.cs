using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Loading;

namespace KantaGateway.Harness.Verification;

/// <summary>What an outage did.</summary>
/// <param name="Lines">What was seen, for people.</param>
/// <param name="Wrong">What must not be; none: all is well.</param>
public sealed record OutageReport(IReadOnlyList<string> Lines, IReadOnlyList<string> Wrong);

/// <summary>
/// Writes and reads at several gateways while something behind them breaks off: what was acknowledged is there at every one of them afterwards and at any time between, what was denied is shown by none, and service is
/// back in time.
/// </summary>
/// <remarks>
/// A clinic creates, at each gateway for people of its own and for one that all write to; it reads what was acknowledged anywhere. A citizen permits and denies in turn, by the portal of the first gateway, and a professional of
/// another clinic reads and searches at all: a request that begins after a denial was answered, and ends before the withdrawal of it began, must not show the entry.
/// </remarks>
public sealed class Outage : IDisposable
{
    private const int WritersPerGateway = 3, ReadersPerGateway = 2;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(15), AfterFailure = TimeSpan.FromMilliseconds(200);

    private readonly DevFolder _folder;
    private readonly IReadOnlyList<Uri> _targets;
    private readonly ClinicClient[] _archivists, _others;
    private readonly string _marker = $"Salaisuus {Guid.NewGuid():N}";
    private readonly ConcurrentQueue<Asked> _asked = [];
    private readonly ConcurrentQueue<(string Id, string Identifier)> _stored = [];
    private readonly ConcurrentDictionary<string, byte> _unanswered = [];
    private readonly ConcurrentQueue<string> _lost = [];
    private readonly ConcurrentQueue<(long Began, long Ended, bool Shown, string Where)> _looks = [];
    private readonly List<(long From, long To)> _denied = [];
    private (string Id, string Identifier)[] _known = [];

    /// <param name="targets">Each gateway.</param>
    public Outage(DevFolder folder, IReadOnlyList<Uri> targets)
    {
        (_folder, _targets) = (folder, targets);
        _archivists = [.. targets.Select(target => ClinicClient.Open(folder, "aurora", target))];
        _others = [.. targets.Select(target => ClinicClient.Open(folder, "revontuli", target))];
    }

    private enum Kind { Write, Read, Declaration }

    private sealed record Asked(Kind What, long Began, long Ended, bool Answered);

    /// <param name="lead">Load before the event.</param>
    /// <param name="after">Load after it.</param>
    /// <param name="within">When service has to be back.</param>
    /// <param name="happen">The event; over when it has happened.</param>
    public async Task<OutageReport> RunAsync(TimeSpan lead, TimeSpan after, TimeSpan within, Func<CancellationToken, Task> happen, CancellationToken cancel)
    {
        // :: Who there is
        var shared = await RegisterAsync(_archivists[0], "everybody", cancel).ConfigureAwait(false);
        var writers = new List<(ClinicClient Clinic, string Patient)>();
        foreach (var (clinic, g) in _archivists.Select((clinic, g) => (clinic, g)))
            for (var i = 0; i < WritersPerGateway; i++)
                writers.Add((clinic, i == 0 ? shared : await RegisterAsync(clinic, $"{g}-{i}", cancel).ConfigureAwait(false)));
        using var citizen = new CitizenClient(_folder, _targets[0], 1);
        var note = await AdmitAsync(citizen, cancel).ConfigureAwait(false);

        // :: Load, and what happens meanwhile
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var load = new List<Task>();
        load.AddRange(writers.Select(writer => Task.Run(() => WriteAsync(writer.Clinic, writer.Patient, stop.Token), cancel)));
        load.AddRange(_archivists.SelectMany(clinic => Enumerable.Range(0, ReadersPerGateway).Select(_ => Task.Run(() => ReadAsync(clinic, stop.Token), cancel))));
        load.AddRange(_others.Select(clinic => Task.Run(() => LookAsync(clinic, note.Patient, note.Id, stop.Token), cancel)));
        load.Add(Task.Run(() => DeclareAsync(citizen, stop.Token), cancel));
        await Task.Delay(lead, cancel).ConfigureAwait(false);
        var before = Stopwatch.GetTimestamp();
        await happen(cancel).ConfigureAwait(false);
        var happened = Stopwatch.GetTimestamp();
        await Task.Delay(after, cancel).ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(load).ConfigureAwait(false);

        // :: What is there
        foreach (var clinic in _archivists)
            await Parallel.ForEachAsync(_stored, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = cancel }, async (one, token) =>
            {
                var reply = await clinic.System.ReadAsync("Observation", one.Id, token).ConfigureAwait(false);
                Require(clinic, one, reply, isOver: true);
            }).ConfigureAwait(false);
        return Judge(before, happened, within);
    }

    public void Dispose()
    {
        foreach (var clinic in (ClinicClient[])[.. _archivists, .. _others])
            clinic.Dispose();
    }

    private static async Task<string> RegisterAsync(ClinicClient clinic, string who, CancellationToken cancel) =>
        await StoredAsync(clinic, "Patient", Some.Patient(FictionalIdentityCode.Of($"outage-{who}").Reveal(), "Kuormitus Esimerkki"), cancel).ConfigureAwait(false);

    private async Task<(string Patient, string Id)> AdmitAsync(CitizenClient citizen, CancellationToken cancel)
    {
        var patient = await StoredAsync(_archivists[0], "Patient", Some.Patient(citizen.Entry.IdentityCode, citizen.Entry.Name), cancel).ConfigureAwait(false);
        var visit = await StoredAsync(_archivists[0], "Encounter", Some.Bytes(Some.Encounter("Patient/" + patient, Some.ServiceEvent(_archivists[0]), "finished")), cancel).ConfigureAwait(false);
        var id = await StoredAsync(_archivists[0], "Condition", Some.Bytes(Some.Condition("Patient/" + patient, "Encounter/" + visit, _marker)), cancel).ConfigureAwait(false);
        await StoredAsync(_others[0], "Patient", Some.Patient(citizen.Entry.IdentityCode, citizen.Entry.Name), cancel).ConfigureAwait(false);
        await StoredAsync(_others[0], "Encounter", Some.Bytes(Some.Encounter("Patient/" + patient, Some.ServiceEvent(_others[0]))), cancel).ConfigureAwait(false);
        await citizen.SignInAsync(cancel).ConfigureAwait(false);
        await citizen.WithdrawEverythingAsync(cancel).ConfigureAwait(false);
        await citizen.BeInformedAsync(cancel).ConfigureAwait(false);
        await citizen.PermitAsync(cancel).ConfigureAwait(false);
        return (patient, id);
    }

    private static async Task<string> StoredAsync(ClinicClient clinic, string type, byte[] body, CancellationToken cancel)
    {
        var reply = await clinic.System.CreateAsync(type, body, cancel: cancel).ConfigureAwait(false);
        return reply is { Status: 200 or 201, Stored: { } stored } ? stored.Id : throw new InvalidDataException($"Before anything happened: {reply}");
    }

    private async Task WriteAsync(ClinicClient clinic, string patient, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            var identifier = $"urn:uuid:{Guid.NewGuid()}";
            var reply = await AskAsync(Kind.Write, () => clinic.System.CreateAsync("Observation", Some.Bytes(Some.Observation("Patient/" + patient, identifier: identifier)), cancel: CancellationToken.None), r => r.Status == 201).ConfigureAwait(false);
            if (reply is { Status: 201, Stored: { } stored })
            {
                _stored.Enqueue((stored.Id, identifier));
                if (_stored.Count % 16 == 0)
                    _known = [.. _stored];
            }
            else
                _unanswered.TryAdd(identifier, 0);
        }
    }

#pragma warning disable CA5394 // Which one is read is no secret.
    private async Task ReadAsync(ClinicClient clinic, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
            if (_known is { Length: > 0 } known)
            {
                var one = known[Random.Shared.Next(known.Length)];
                Require(clinic, one, await AskAsync(Kind.Read, () => clinic.System.ReadAsync("Observation", one.Id, CancellationToken.None), r => r.Status < 500).ConfigureAwait(false), isOver: false);
            }
            else
                await Task.Delay(Pause, CancellationToken.None).ConfigureAwait(false);
    }
#pragma warning restore CA5394

    /// <summary>What was acknowledged is there, or there is no answer; when all is over there is one.</summary>
    private void Require(ClinicClient clinic, (string Id, string Identifier) one, FhirReply? reply, bool isOver)
    {
        if ((reply is null or { Status: >= 500 }) ? isOver : reply.Status != 200 || !reply.Text.Contains(one.Identifier, StringComparison.Ordinal))
            _lost.Enqueue($"{(isOver ? "afterwards" : "meanwhile")}: Observation/{one.Id} at {clinic.Target}: {reply?.Status.ToString(CultureInfo.InvariantCulture) ?? "no answer"}");
    }

    private async Task LookAsync(ClinicClient clinic, string patient, string note, CancellationToken stop)
    {
        var session = clinic.Professional(_folder.ProfessionalOf("revontuli").Id);
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            var began = Stopwatch.GetTimestamp();
            var reply = await AskAsync(Kind.Read, () => i % 2 == 0 ? session.ReadAsync("Condition", note, CancellationToken.None) : session.SearchAsync("Condition", "patient=" + patient, CancellationToken.None), r => r.Status < 500).ConfigureAwait(false);
            if (reply is not null)
                _looks.Enqueue((began, Stopwatch.GetTimestamp(), reply.Text.Contains(_marker, StringComparison.Ordinal), clinic.Target.ToString()));
        }
    }

    /// <summary>Denies all and takes it back, each until it is answered.</summary>
    private async Task DeclareAsync(CitizenClient citizen, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await UntilAsync(isDenied: true).ConfigureAwait(false);
            var from = Stopwatch.GetTimestamp();
            await Task.Delay(TimeSpan.FromMilliseconds(600), CancellationToken.None).ConfigureAwait(false);
            _denied.Add((from, Stopwatch.GetTimestamp()));
            if (stop.IsCancellationRequested)
                return;
            await UntilAsync(isDenied: false).ConfigureAwait(false);
            await Task.Delay(TimeSpan.FromMilliseconds(600), CancellationToken.None).ConfigureAwait(false);
        }

        async Task UntilAsync(bool isDenied)
        {
            while (true)
            {
                var began = Stopwatch.GetTimestamp();
                try
                {
                    var state = await citizen.ConsentAsync(CancellationToken.None).ConfigureAwait(false);
                    if (isDenied == state.Denials.Count > 0)
                    {
                        _asked.Enqueue(new(Kind.Declaration, began, Stopwatch.GetTimestamp(), true));
                        return;
                    }
                    if (isDenied)
                        await citizen.DenyAllAsync(CancellationToken.None).ConfigureAwait(false);
                    else
                        await citizen.WithdrawAsync(state.Denials[0].Id, CancellationToken.None).ConfigureAwait(false);
                }
                catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or PortalException)
                {
                    _asked.Enqueue(new(Kind.Declaration, began, Stopwatch.GetTimestamp(), false));
                    if (stop.IsCancellationRequested)
                        return;
                    await Task.Delay(AfterFailure, CancellationToken.None).ConfigureAwait(false);
                }
            }
        }
    }

    private async Task<FhirReply?> AskAsync(Kind kind, Func<Task<FhirReply>> ask, Func<FhirReply, bool> isAnswered)
    {
        var began = Stopwatch.GetTimestamp();
        FhirReply? reply = null;
        try
        {
            reply = await ask().ConfigureAwait(false);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or TokenRefusedException)
        {
            // No answer.
        }
        var answered = reply is not null && isAnswered(reply);
        _asked.Enqueue(new(kind, began, Stopwatch.GetTimestamp(), answered));
        await Task.Delay(answered ? Pause : AfterFailure, CancellationToken.None).ConfigureAwait(false);
        return reply;
    }

    /// <param name="before">When the event began.</param>
    /// <param name="happened">When it was over.</param>
    private OutageReport Judge(long before, long happened, TimeSpan within)
    {
        var (lines, wrong) = (new List<string>(), new List<string>());
        foreach (var kind in Enum.GetValues<Kind>())
        {
            var asked = _asked.Where(a => a.What == kind).ToList();
            var failed = asked.Where(a => !a.Answered).ToList();
            var lastFailure = failed.Count == 0 ? 0 : Since(failed.Max(a => a.Ended));
            var first = asked.Where(a => a.Answered && a.Began > happened).Select(a => Since(a.Ended)).DefaultIfEmpty(double.PositiveInfinity).Min();
            var ends = asked.Where(a => a.Answered).Select(a => a.Ended).Order().ToList();
            var silence = ends.Zip(ends.Skip(1), static (a, b) => Stopwatch.GetElapsedTime(a, b).TotalSeconds).DefaultIfEmpty(double.PositiveInfinity).Max();
            lines.Add(string.Create(CultureInfo.InvariantCulture,
                $"{Name(kind)}: {asked.Count - failed.Count} answered, {failed.Count} not; none answered for {silence:0.0} s; the first that began after the event answered {first:0.0} s after it, the last failure {lastFailure:0.0} s after it"));
            if (failed.Exists(a => a.Ended < before))
                wrong.Add($"{Name(kind)} failed before anything happened.");
            if (lastFailure > within.TotalSeconds || first > within.TotalSeconds || silence > within.TotalSeconds)
                wrong.Add(string.Create(CultureInfo.InvariantCulture, $"{Name(kind)} were not back within {within.TotalSeconds:0} s."));
        }
        var shownBetween = _looks.Count(look => look.Shown);
        var under = _looks.Where(look => _denied.Exists(d => look.Began >= d.From && look.Ended <= d.To)).ToList();
        lines.Add($"denial: {_denied.Count} in force in turn, {under.Count} looks while one was, of which {under.Count(look => look.Shown)} showed what it denies; {shownBetween} of all {_looks.Count} showed something");
        if (under.Exists(look => look.Shown))
            wrong.Add("What was denied was shown.");
        if (under.Count == 0 || shownBetween == 0)
            wrong.Add("Nothing was denied, or nothing shown, so the load shows little.");
        lines.Add($"acknowledged: {_stored.Count} writes, each read afterwards at {_archivists.Length} gateways; {_lost.Count} missing. {_unanswered.Count} writes were not answered.");
        if (_stored.IsEmpty)
            wrong.Add("Nothing was written.");
        wrong.AddRange(_lost.Take(10));
        return new(lines, wrong);

        double Since(long at) => at > happened ? Stopwatch.GetElapsedTime(happened, at).TotalSeconds : 0;

        static string Name(Kind kind) => kind switch { Kind.Write => "writes", Kind.Read => "reads", _ => "declarations" };
    }
}
