#pragma warning disable CA5394 // The order of the questions need not be unforeseeable, only mixed.
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;

namespace KantaGateway.Benchmarks;

/// <summary>
/// <c>timing</c>: whether the time of an answer tells what its bytes do not, that something is hidden.
/// </summary>
/// <remarks>
/// Method. Two people have the same visible record; one of them has as much again under a denied service event. A reader
/// with a permission asks about both, over one kept-alive connection, one question at a time, the two sides of a pair in
/// random order. Of each pair of samples the Mann-Whitney statistic is computed: the probability that an answer about
/// the hidden takes longer than one about the absent. 0.5 means that the times tell nothing; without a difference it lies
/// within 2.58 standard errors of 0.5 in 99 of 100 runs. A control with a small real difference must be found. Ranks and not means, for one stall of the machine would move a mean.
/// </remarks>
static class TimingCommand
{
    private const int Visible = 100, Hidden = 100;

    /// <summary>A difference that must be found, or the measurement is too coarse to say anything.</summary>
    private const string Control = "control: seven entries and five";

    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <param name="Probability">That an answer about the hidden takes longer than one about the absent.</param>
    /// <param name="Error">Standard error of it where there is no difference.</param>
    /// <param name="HiddenMicroseconds">Median.</param>
    /// <param name="AbsentMicroseconds">Median.</param>
    private sealed record Result(string Question, int Pairs, double Probability, double Error, double HiddenMicroseconds, double AbsentMicroseconds)
    {
        public bool Tells => Math.Abs(Probability - 0.5) > 2.58 * Error;

        public bool IsAsItShouldBe => Tells == (Question == Control);
    }

    private sealed record Report(DateTimeOffset Date, string Command, Machine Machine, IReadOnlyList<Result> Results);

    public static Command Create()
    {
        var pairs = new Option<int>("--pairs") { Description = "Questions of each kind on each side", DefaultValueFactory = _ => 5_000 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Artifact("timing.json") };
        var place = new Place();
        var command = new Command("timing", "Whether the time of an answer tells that something is hidden") { pairs, json, place.Data, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            var folder = Path.Combine(Path.GetFullPath(parsed.GetRequiredValue(place.Data)), "timing");
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
            Directory.CreateDirectory(folder);
            var ports = new Ports(parsed.GetValue(place.Port));
            await using var server = await ServerProcess.StartAsync(ServeCommand.Product, folder, ports, cancel);
            var count = Math.Clamp(parsed.GetValue(pairs), 100, 100_000);
            var results = await MeasureAsync(new(folder), new($"https://localhost:{ports.Gateway}"), count, cancel);
            foreach (var r in results)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{r.Question}: hidden slower with probability {r.Probability:0.0000} ± {2.58 * r.Error:0.0000} (median {r.HiddenMicroseconds:0} and {r.AbsentMicroseconds:0} µs, {r.Pairs} each): {(r.Tells ? "TELLS" : "tells nothing")}"));
            var file = Path.GetFullPath(parsed.GetRequiredValue(json));
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            await File.WriteAllTextAsync(file, JsonSerializer.Serialize(new Report(DateTimeOffset.UtcNow,
                $"dotnet run -c Release --project tests/KantaGateway.Benchmarks -- timing --pairs {count}", Machine.Describe(folder), results), Readable), cancel);
            return results.All(r => r.IsAsItShouldBe) ? 0 : 1;
        });
        return command;
    }

    private static async Task<IReadOnlyList<Result>> MeasureAsync(DevFolder folder, Uri target, int pairs, CancellationToken cancel)
    {
        using var archivist = ClinicClient.Open(folder, "aurora", target);
        using var clinic = ClinicClient.Open(folder, "revontuli", target, maxConnections: 1);
        var reader = clinic.Professional(folder.ProfessionalOf("revontuli").Id);
        var with = await WriteAsync(folder, target, archivist, clinic, citizen: 0, hides: true, cancel);
        var without = await WriteAsync(folder, target, archivist, clinic, citizen: 1, hides: false, cancel);
        var ids = new IdentifierCipher(Convert.FromBase64String(await File.ReadAllTextAsync(folder.File("keys/identifier.key"), cancel)));
        ids.TryReadResourceId(with.Patient, out var compartment, out _);
        // As many ids that no resource has, of the same compartment.
        string[] absent = [.. with.HiddenIds.Select((_, i) => ids.ResourceId(compartment, 1_000_000 + i))];
        return
        [
            await AskAsync("read by id", i => $"Observation/{with.HiddenIds[i % Hidden]}", i => $"Observation/{absent[i % Hidden]}", 404),
            await AskAsync("history by id", i => $"Observation/{with.HiddenIds[i % Hidden]}/_history", i => $"Observation/{absent[i % Hidden]}/_history", 404),
            await AskAsync("search by an id", i => $"Observation?patient={with.Patient}&_id={with.HiddenIds[i % Hidden]}", i => $"Observation?patient={with.Patient}&_id={absent[i % Hidden]}", 200),
            await AskAsync("search of a record with hidden entries and of one without", _ => $"Observation?patient={with.Patient}&code=8867-4&_count=5", _ => $"Observation?patient={without.Patient}&code=8867-4&_count=5", 200),
            await AskAsync(Control, _ => $"Observation?patient={with.Patient}&code=8867-4&_count=7", _ => $"Observation?patient={with.Patient}&code=8867-4&_count=5", 200),
            await AskAsync("search that matches only hidden entries", _ => $"Observation?patient={with.Patient}&code=29463-7", _ => $"Observation?patient={without.Patient}&code=29463-7", 200),
        ];

        async Task<Result> AskAsync(string question, Func<int, string> hidden, Func<int, string> nothing, int status)
        {
            var (first, second) = (new double[pairs], new double[pairs]);
            var random = new Random(703);
            for (var i = -200; i < pairs; i++)
            {
                var hiddenFirst = random.Next(2) == 0;
                var index = Math.Abs(i);
                var one = await TakeAsync(hiddenFirst ? hidden(index) : nothing(index));
                var other = await TakeAsync(hiddenFirst ? nothing(index) : hidden(index));
                if (i < 0)
                    continue; // warming up
                (first[i], second[i]) = hiddenFirst ? (one, other) : (other, one);
            }
            Array.Sort(first);
            Array.Sort(second);
            return new(question, pairs, ProbabilityOf(first, second), Math.Sqrt((2.0 * pairs + 1) / (12.0 * pairs * pairs)), first[pairs / 2], second[pairs / 2]);

            async Task<double> TakeAsync(string address)
            {
                var start = Stopwatch.GetTimestamp();
                var reply = await reader.SendAsync(HttpMethod.Get, address, cancel: cancel);
                var took = Stopwatch.GetElapsedTime(start).TotalMicroseconds;
                return reply.Status == status ? took : throw new BenchmarkException($"{question}: {reply.Status} came, {status} was expected.");
            }
        }
    }

    /// <summary>That a value of the first, sorted, is larger than one of the second; ties count half.</summary>
    private static double ProbabilityOf(double[] first, double[] second)
    {
        double larger = 0;
        int below = 0, upTo = 0;
        foreach (var value in first)
        {
            while (below < second.Length && second[below] < value)
                below++;
            upTo = Math.Max(upTo, below);
            while (upTo < second.Length && second[upTo] <= value)
                upTo++;
            larger += below + 0.5 * (upTo - below);
        }
        return larger / ((double)first.Length * second.Length);
    }

    private static async Task<(string Patient, string[] HiddenIds)> WriteAsync(DevFolder folder, Uri target, ClinicClient archivist, ClinicClient clinic, int citizen, bool hides, CancellationToken cancel)
    {
        using var person = new CitizenClient(folder, target, citizen);
        var patient = await ArchivedVisit.RegisterAsync(clinic.System, person.Entry.IdentityCode, person.Entry.Name, cancel);
        await ArchivedVisit.RegisterAsync(archivist.System, person.Entry.IdentityCode, person.Entry.Name, cancel);
        var subject = $"Patient/{patient}";
        Expect.Status(await clinic.System.CreateAsync("Encounter", Some.Bytes(Some.Encounter(subject, Some.ServiceEvent(clinic))), cancel: cancel), "opening a visit", 201);
        await ObservationsAsync(Some.ServiceEvent(archivist), Visible, "8867-4");
        var denied = Some.ServiceEvent(archivist);
        var hidden = hides ? await ObservationsAsync(denied, Hidden, "29463-7") : [];
        await person.SignInAsync(cancel);
        await person.BeInformedAsync(cancel);
        await person.PermitAsync(cancel);
        if (hides)
            await person.DenyEventAsync(denied, cancel);
        return (patient, hidden);

        async Task<string[]> ObservationsAsync(string serviceEvent, int count, string code)
        {
            var visit = Expect.Status(await archivist.System.CreateAsync("Encounter", Some.Bytes(Some.Encounter(subject, serviceEvent, "finished")), cancel: cancel), "archiving a visit", 201).Stored!.Value.Id;
            var reply = Expect.Status(await archivist.System.BundleAsync(Some.Bundle("transaction",
                Enumerable.Range(0, count).Select(i => (Some.Url(), Some.Observation(subject, $"Encounter/{visit}", code, 50 + i)))), cancel), "archiving observations", 200);
            return [.. ArchivedVisit.StoredBy(reply, count).Select(r => r.Id)];
        }
    }
}
