#pragma warning disable CA5394 // The same seed gives the same requests; nothing here is a secret.
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using KantaGateway.Client;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>A gateway under the hammer, which may be down for a while.</summary>
/// <param name="Client">The other clinic, connected to this gateway.</param>
sealed record HammeredGateway(string Name, ClinicClient Client, FhirSession Reader)
{
    private volatile TaskCompletionSource _up = Up();

    public Task UpAsync(CancellationToken cancel) => _up.Task.WaitAsync(cancel);

    public void IsDown() => _up = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void IsUp() => _up.TrySetResult();

    /// <summary>It does not come back: who waits for it is told why.</summary>
    public void IsLost(Exception why) => _up.TrySetException(why);

    private static TaskCompletionSource Up()
    {
        var up = new TaskCompletionSource();
        up.SetResult();
        return up;
    }
}

/// <summary>A record with an entry in each of two service events of a clinic.</summary>
sealed record HammeredRecord(string Patient, string FirstNote, string SecondNote)
{
    public const string FirstText = "Ensimmaisen kaynnin salaisuus", SecondText = "Toisen kaynnin salaisuus";
    public const string FirstEvent = "1.2.246.10.99000011.14.2026.71", SecondEvent = "1.2.246.10.99000011.14.2026.72";

    /// <summary>One clinic archives, the other has a visit open.</summary>
    public static async Task<HammeredRecord> WriteAsync(ClinicClient archivist, ClinicClient reader, string code)
    {
        var patient = await StoredAsync(archivist, "Patient", HouseInMemory.Patient(code));
        Assert.Equal(patient, await StoredAsync(reader, "Patient", HouseInMemory.Patient(code)));
        var first = await NoteAsync(FirstEvent, FirstText);
        var second = await NoteAsync(SecondEvent, SecondText);
        await StoredAsync(reader, "Encounter", Some.Encounter("Patient/" + patient, Some.ServiceEvent(reader)));
        return new(patient, first, second);

        async Task<string> NoteAsync(string serviceEvent, string text)
        {
            var visit = Some.Encounter("Patient/" + patient, serviceEvent);
            visit["status"] = "finished";
            var note = Some.Observation("Patient/" + patient);
            note["encounter"] = new JsonObject { ["reference"] = "Encounter/" + await StoredAsync(archivist, "Encounter", visit) };
            note["code"]!["text"] = text;
            return await StoredAsync(archivist, "Observation", note);
        }
    }

    private static async Task<string> StoredAsync(ClinicClient clinic, string type, JsonObject body)
    {
        var reply = await clinic.System.CreateAsync(type, HouseInMemory.Json(body));
        Assert.True(reply.Status == 201, reply.ToString());
        return reply.Stored!.Value.Id;
    }
}

/// <summary>How the person declares; each returns when it is known to be in force, whatever breaks meanwhile.</summary>
interface ICitizenRoad
{
    Task DeclareAsync(Declared what, bool inForce);
}

enum Declared { Permission, DenialOfAll, DenialOfFirst }

/// <summary>Many readers hammer, a person changes her mind, and everything is written down.</summary>
sealed class Anvil(HammeredRecord record, IReadOnlyList<HammeredGateway> gateways, int seed)
{
    private const int ReadersPerGateway = 4, ReadsPerRound = 16;

    private readonly ConcurrentQueue<Read> _reads = [];
    private readonly ConcurrentDictionary<string, (int Shown, int Hidden, int Silent)> _roads = [];
    private readonly List<Write> _writes = [];
    private volatile Round _round = new(0);

    public IReadOnlyList<Write> Writes => _writes;
    public IReadOnlyCollection<Read> Reads => _reads;

    /// <summary>For each road how often it showed something, nothing, or gave no answer that says.</summary>
    public IReadOnlyDictionary<string, (int Shown, int Hidden, int Silent)> Roads => _roads;

    /// <summary>Declarations one after the other, each with reads that begin after its answer, while readers read at every gateway.</summary>
    /// <param name="road">Nothing is declared but the informing when it begins.</param>
    /// <param name="rounds">Number of declarations.</param>
    /// <param name="before">Called before each with its number: faults begin here.</param>
    public async Task StrikeAsync(ICitizenRoad road, int rounds, Func<int, Task> before)
    {
        using var stop = new CancellationTokenSource();
        var readers = gateways.SelectMany((gateway, g) => Enumerable.Range(0, ReadersPerGateway).Select(i => Task.Run(() => ReadAsync(gateway, new Random(HashCode.Combine(seed, g, i)), stop.Token)))).ToArray();
        var broken = Task.WhenAny(readers);
        var random = new Random(seed);
        var state = new Dictionary<Declared, bool> { [Declared.Permission] = false, [Declared.DenialOfAll] = false, [Declared.DenialOfFirst] = false };
        try
        {
            for (var i = 0; i < rounds; i++)
            {
                await before(i);
                // Mostly permitted, so that there is something to deny.
                var what = !state[Declared.Permission] ? Declared.Permission : random.Next(9) switch { 0 => Declared.Permission, < 5 => Declared.DenialOfAll, _ => Declared.DenialOfFirst };
                var inForce = state[what] = !state[what];
                var invoked = Stopwatch.GetTimestamp();
                await road.DeclareAsync(what, inForce);
                var second = state[Declared.Permission] && !state[Declared.DenialOfAll];
                _writes.Add(new(invoked, Stopwatch.GetTimestamp(), new(second && !state[Declared.DenialOfFirst], second), $"{what} {(inForce ? "declared" : "withdrawn")} ({i})"));
                var round = _round = new Round(ReadsPerRound);
                if (await Task.WhenAny(round.Over, broken) == broken)
                    await await broken;
            }
        }
        finally
        {
            await stop.CancelAsync();
        }
        await Task.WhenAll(readers);
    }

    /// <summary>Null when the history is one that law 3 allows.</summary>
    public string? Explain() => Register.Explain(default, _writes, _reads);

    private async Task ReadAsync(HammeredGateway gateway, Random random, CancellationToken stop)
    {
        var link = default(string);
        while (!stop.IsCancellationRequested)
        {
            try
            {
                await gateway.UpAsync(stop);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            var round = _round;
            var (name, target, says) = Pick(random, ref link);
            var hangsUp = random.Next(15) == 0;
            using var cut = hangsUp ? new CancellationTokenSource(random.Next(1, 12)) : null;
            var invoked = Stopwatch.GetTimestamp();
            FhirReply? reply = null;
            try
            {
                reply = await gateway.Reader.SendAsync(HttpMethod.Get, target, cancel: cut?.Token ?? default);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or TokenRefusedException)
            {
                // Cut off: by the caller, on the line, or with the gateway.
            }
            var returned = Stopwatch.GetTimestamp();
            var (first, second) = reply is null ? (null, null) : (Said(reply, HammeredRecord.FirstText, says.First), Said(reply, HammeredRecord.SecondText, says.Second));
            _reads.Enqueue(new(invoked, returned, first, second, $"{name} at {gateway.Name}"));
            _roads.AddOrUpdate(name, static (_, f) => Add(default, f), static (_, known, f) => Add(known, f), first ?? second);
            if (name == "first page" && reply is { Status: 200 })
                link = Appearance.Next(reply);
            round.Read();
        }

        static (int, int, int) Add((int Shown, int Hidden, int Silent) known, bool? found) =>
            (known.Shown + (found == true ? 1 : 0), known.Hidden + (found == false ? 1 : 0), known.Silent + (found is null ? 1 : 0));
    }

    /// <summary>What is asked, and about which of the two an answer without its text says that it is hidden.</summary>
    private (string Name, string Target, (bool First, bool Second) Says) Pick(Random random, ref string? link) => random.Next(11) switch
    {
        0 or 1 => ("read", "Observation/" + record.FirstNote, (true, false)),
        2 => ("read of the second", "Observation/" + record.SecondNote, (false, true)),
        3 or 4 => ("search", $"Observation?patient={record.Patient}&_count=100", (true, true)),
        5 => ("everything", $"Patient/{record.Patient}/$everything?_count=200", (true, true)),
        6 => ("history", $"Observation/{record.FirstNote}/_history", (true, false)),
        7 => ("history of the type", $"Observation/_history?patient={record.Patient}&_count=100", (true, true)),
        // A page holds one of the two, so that the other is not on it says nothing.
        8 => ("first page", $"Observation?patient={record.Patient}&_count=1", (false, false)),
        _ => link is null ? ("first page", $"Observation?patient={record.Patient}&_count=1", (false, false)) : ("open page link", link, (false, false)),
    };

    private static bool? Said(FhirReply reply, string text, bool says) =>
        reply.Text.Contains(text, StringComparison.Ordinal) ? true : says && reply.Status is 200 or 404 ? false : null;

    private sealed class Round(int reads)
    {
        private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _left = reads;

        public Task Over => _over.Task;

        public void Read()
        {
            if (Interlocked.Decrement(ref _left) == 0)
                _over.SetResult();
        }
    }

    /// <summary>A line for each road, and one for the declarations.</summary>
    public IEnumerable<string> Report()
    {
        foreach (var (name, (shown, hidden, silent)) in _roads.OrderBy(r => r.Key, StringComparer.Ordinal))
            yield return string.Create(CultureInfo.InvariantCulture, $"{name}: {shown} showed something, {hidden} nothing, {silent} without an answer that says");
        yield return string.Create(CultureInfo.InvariantCulture, $"{_writes.Count} declarations, {_reads.Count} requests: {Explain() ?? "the history is that of one register"}");
    }
}
