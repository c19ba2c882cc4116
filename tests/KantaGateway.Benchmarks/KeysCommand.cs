using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using KantaGateway.Harness.Generating;
using KantaGateway.Harness.Loading;
using KantaGateway.Keys;
using KantaGateway.Keys.Custody;

namespace KantaGateway.Benchmarks;

/// <summary><c>keys</c>: unwraps per second of a key service over a key file, each with a grant of its own, recorded on disk before the key leaves.</summary>
static class KeysCommand
{
    private const int People = 1_000, Verifications = 20_000;

    /// <summary>As a repository asks under load: keys in one request, and requests at once.</summary>
    private const int Together = 64, Lanes = 4;

    /// <summary>How grants come to be, and how keys are asked for by them.</summary>
    /// <param name="Name">Of the load.</param>
    /// <param name="Askers">Requests at once in the gateway, each of which asks for the next grant when it has the last; 0: each grant is signed for itself.</param>
    /// <param name="Together">Keys in one request.</param>
    private sealed record Kind(string Name, int Askers, int Together);

    private static readonly Kind One = new("unwrap, one a request, grants of 64 requests at once", 64, 1), Busy = new("unwrap, 64 a request, grants of 64 requests at once", 64, Together),
        Few = new("unwrap, 64 a request, grants of 8 requests at once", 8, Together), Alone = new("unwrap, 64 a request, each grant signed alone", 0, Together);

    /// <summary>Grants live a minute: what is signed for a load is used up within it.</summary>
    private const double LongestLoad = 30;

    public static Command Create()
    {
        var unwraps = new Option<int>("--unwraps") { Description = "Unwraps of one load", DefaultValueFactory = _ => 150_000 };
        var rounds = new Option<int>("--rounds") { Description = "Loads; the one with the median rate counts", DefaultValueFactory = _ => 5 };
        var connections = new Option<int>("--connections") { Description = "Connections at once, each of which asks for one key", DefaultValueFactory = _ => 64 };
        var json = new Option<string>("--json") { Description = "Where the results go", DefaultValueFactory = _ => Place.Measured("keys.json") };
        var place = new Place();
        var command = new Command("keys", "Unwraps per second of the key service") { unwraps, rounds, connections, json, place.Port };
        command.SetAction(async (parsed, cancel) =>
        {
            Place.RequireRelease();
            var folder = Directory.CreateTempSubdirectory("kanta-keys").FullName;
            try
            {
                var ports = new Ports(parsed.GetValue(place.Port));
                using var gateway = ECDsa.Create(ECCurve.NamedCurves.nistP256);
                var signer = new GrantSigner(gateway, TimeProvider.System);
                await File.WriteAllTextAsync(Path.Combine(folder, "gateway.pem"), gateway.ExportSubjectPublicKeyInfoPem(), cancel);
                await using var server = await ServerProcess.StartAsync(ServeCommand.Keys, folder, ports, cancel);
                await using var generator = await ServerProcess.StartAsync(ServeCommand.Generator, "", ports, cancel);
                var people = await MakeAsync(signer, ports, cancel);
                var file = PrivateFile.Write(Path.Combine(folder, "load.bin"), []);
                var measured = new List<Measurement>();
                var (most, at) = (Math.Clamp(parsed.GetValue(unwraps), 1_000, 500_000), parsed.GetValue(connections));
                var perSignature = new Dictionary<Kind, double>();
                Place.Say($"process {server.Id}");
                // The first two only warm it up.
                for (var round = -1; round <= Math.Clamp(parsed.GetValue(rounds), 1, 100); round++)
                    foreach (var kind in new[] { One, Busy, Few, Alone })
                    {
                        perSignature[kind] = await SaveAsync(file, signer, people, most / kind.Together, kind);
                        var one = await TakeAsync(folder, server, generator, new(file, 0, ports.Base, "Host: localhost\r\n", null, "", kind == One ? at : Lanes, LongestLoad, most / kind.Together), kind, cancel);
                        Place.Say(string.Create(CultureInfo.InvariantCulture, $"round {round}: {one.RequestsPerSecond:0} /s, {kind.Name}, {perSignature[kind]:0.0} a signature, p99 {one.P99:0.0} ms, {one.ServerCpu:0} µs of the server each, others {one.OtherShare:0.00} cores"));
                        if (round > 0)
                            measured.Add(one);
                    }
                Measurement of(Kind kind) => Measurement.MedianOf(measured.Where(one => one.Load == kind.Name));
                string perSignatureOf(Kind kind) => Measurement.Number(perSignature[kind], "0.0");
                var verification = VerificationOf(gateway);
                return await new Report("keys", DateTimeOffset.UtcNow, Place.Repeat(parsed), Machine.Describe(folder),
                    string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 over loopback without TLS. {People:N0} people, {most:N0} unwraps a load, {measured.Count / 4} loads of each kind, the median of them. Each grant is new, and used once. Rates are of keys, latencies of requests."),
                    [
                        new(string.Create(CultureInfo.InvariantCulture, $"{One.Name}, key file, {at} connections"), Measurement.Columns, [of(One).Row(null)]),
                        .. new[] { Busy, Few, Alone }.Select(kind => new ReportTable(string.Create(CultureInfo.InvariantCulture, $"{kind.Name}, key file, {Lanes} connections"), Measurement.Columns, [of(kind).Row(null)])),
                        new("for one unwrap", ["µs of the server's processor", "grants a signature"],
                        [
                            .. new[] { One, Busy, Few, Alone }.Select(kind => (string[])[kind.Name, Measurement.Number(of(kind).ServerCpu, "0.0"), perSignatureOf(kind)]),
                            ["one ES256 verification, the reference", Measurement.Number(verification, "0.0"), ""],
                        ]),
                    ],
                    [new("unwraps per second, grants of 64 requests at once, the load generator on the same cores", of(Busy).RequestsPerSecond, 20_000)], measured).PublishAsync(parsed.GetRequiredValue(json), cancel);
            }
            finally
            {
                Directory.Delete(folder, true);
            }
        });
        return command;
    }

    /// <summary>People with a data key each.</summary>
    /// <returns>Of each the wrapped key.</returns>
    private static async Task<(Pseudonym Person, byte[] Wrapped)[]> MakeAsync(GrantSigner signer, Ports ports, CancellationToken cancel)
    {
        using var http = new HttpClient { BaseAddress = new($"http://127.0.0.1:{ports.Base}") };
        var made = new (Pseudonym, byte[])[People];
        var people = new List<Pseudonym>(People);
        // Those of one part share a flush.
        foreach (var part in Enumerable.Range(0, People).Chunk(100))
            people.AddRange(await Task.WhenAll(part.Select(i => RegisterAsync(FictionalIdentityCode.Of("keys", i)))));
        for (var i = 0; i < People; i++)
        {
            var person = people[i];
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/keys/create") { Content = JsonContent.Create(new { }) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Sign(signer, person, GrantUse.Write));
            using var answer = await http.SendAsync(request, cancel);
            answer.EnsureSuccessStatusCode();
            var wrapped = (await answer.Content.ReadFromJsonAsync<JsonElement>(cancel)).GetProperty("wrapped").GetBytesFromBase64();
            made[i] = (person, wrapped);
        }
        return made;

        async Task<Pseudonym> RegisterAsync(PersonalIdentityCode code)
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/pseudonym") { Content = JsonContent.Create(new { identityCode = code.Reveal() }) };
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", signer.SignServiceToken());
            using var answer = await http.SendAsync(request, cancel);
            answer.EnsureSuccessStatusCode();
            return Pseudonym.TryDecode((await answer.Content.ReadFromJsonAsync<JsonElement>(cancel)).GetProperty("pseudonym").GetString(), out var number) ? number : throw new BenchmarkException("The key service gave no number.");
        }
    }

    /// <returns>Grants for each signature.</returns>
    private static async Task<double> SaveAsync(string file, GrantSigner signer, (Pseudonym Person, byte[] Wrapped)[] people, int count, Kind kind)
    {
        var grants = new string[count * kind.Together];
        if (kind.Askers == 0)
            Parallel.For(0, grants.Length, i => grants[i] = Sign(signer, people[i % people.Length].Person, GrantUse.Read));
        else
        {
            var (issuer, next) = (new GrantIssuer(signer, TimeProvider.System), -1);
            await Task.WhenAll(Enumerable.Range(0, kind.Askers).Select(_ => Task.Run(async () =>
            {
                while (Interlocked.Increment(ref next) is var i && i < grants.Length)
                    grants[i] = await issuer.ForAsync(Clinic, people[i % people.Length].Person, GrantUse.Read, OwnRegister, policyVersion: null, anew: true);
            })));
        }
        LoadGenerator.Save(file, grants.Zip(Enumerable.Range(0, grants.Length)).Chunk(kind.Together).Select(together => new LoadRequest("POST", "/v1/keys/unwrap", JsonSerializer.SerializeToUtf8Bytes(new
        {
            keys = together.Select(one => new { grant = one.First, wrapped = people[one.Second % people.Length].Wrapped }),
        }), "application/json")));
        return (double)grants.Length / grants.Select(static grant => grant[..grant.IndexOf('~', StringComparison.Ordinal)]).Distinct().Count();
    }

    private static readonly DisclosureScope OwnRegister = new() { Breadth = Breadth.OwnRegister, Controller = "1.2.246.10.99000011" };

    private static readonly Requester Clinic = new()
    {
        Kind = RequesterKind.System, ClientId = "aurora", Organisation = KantaGateway.Fhir.Identifiers.Oid.Parse("1.2.246.10.99000011"), OrganisationName = "Aurora", ControllerKind = ControllerKind.Private,
        PurposeOfUse = "TREAT", TokenId = "t", Scopes = [], Expires = DateTimeOffset.MaxValue,
    };

    private static string Sign(GrantSigner signer, Pseudonym person, GrantUse use) => signer.Sign(new Grant
    {
        Id = Guid.NewGuid().ToString("N"), Use = use, Compartment = person, Scope = OwnRegister, Caller = Clinic.Caller,
        PurposeOfUse = "TREAT", Expires = DateTimeOffset.UtcNow + Grant.MaxLifetime - TimeSpan.FromSeconds(1),
    });

    private static async Task<Measurement> TakeAsync(string folder, ServerProcess server, ServerProcess generator, Load load, Kind kind, CancellationToken cancel)
    {
        var recordedBefore = GivenIn(folder);
        var (cpuBefore, toolBefore, machineBefore) = (server.Cpu, generator.Cpu, MachineTime.Now());
        var result = await generator.AskAsync<LoadResult>(JsonSerializer.Serialize(load), cancel);
        var (cpu, tool, machine) = (server.Cpu - cpuBefore, generator.Cpu - toolBefore, MachineTime.Now());
        if (result.Failures > 0 || result.Requests == 0)
            throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture, $"{result.Failures} of {result.Requests} unwraps failed, so these are no numbers. The first: {result.FirstFailure}"));
        var keys = result.Requests * kind.Together;
        // A refusal stands in the answer, and every key on record.
        if (GivenIn(folder) - recordedBefore is var given && given != keys)
            throw new BenchmarkException(string.Create(CultureInfo.InvariantCulture, $"{keys} keys were asked for, and {given} given out, so these are no numbers."));
        var others = machine.Busy - machineBefore.Busy - tool - (machine.Own - machineBefore.Own) - cpu;
        return new(kind.Name, "key service, key file", false, load.Connections, keys, keys / result.Seconds, result.P50, result.P95, result.P99, result.Max,
            cpu.TotalMicroseconds / keys, cpu.TotalSeconds / result.Seconds, tool.TotalSeconds / result.Seconds, Math.Max(0, others.TotalSeconds / result.Seconds), null);
    }

    private static long GivenIn(string folder) =>
        CustodyLog.ReadSince(Path.Combine(folder, Custody), DateTimeOffset.MinValue).LongCount(static record => record is { Operation: KeyOperation.Unwrap, Status: 200 });

    private const string Custody = "custody";

    /// <returns>Microseconds of one.</returns>
    private static double VerificationOf(ECDsa key)
    {
        var hash = RandomNumberGenerator.GetBytes(32);
        var signature = key.SignHash(hash);
        for (var i = 0; i < Verifications / 10; i++)
            key.VerifyHash(hash, signature);
        var begin = Stopwatch.GetTimestamp();
        for (var i = 0; i < Verifications; i++)
            if (!key.VerifyHash(hash, signature))
                throw new BenchmarkException("A signature does not verify.");
        return Stopwatch.GetElapsedTime(begin).TotalMicroseconds / Verifications;
    }

    /// <summary>The key service over a folder of its own.</summary>
    public static async Task<IAsyncDisposable> ServeAsync(string folder, Ports ports)
    {
        var app = KeysHost.Build(new()
        {
            Listen = $"http://127.0.0.1:{ports.Base}", KeyFile = Path.Combine(folder, "keys.json"), GatewayKeyFile = Path.Combine(folder, "gateway.pem"),
            CustodyFolder = Path.Combine(folder, Custody), CreateStores = true,
        }, static builder => builder.Logging.ClearProviders());
        await app.StartAsync();
        return app;
    }
}
