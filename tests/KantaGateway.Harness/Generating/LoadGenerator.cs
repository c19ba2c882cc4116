#pragma warning disable CA5394 // How long a person reads and when the next one comes need not be unforeseeable.
using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using HdrHistogram;
using KantaGateway.Client;

namespace KantaGateway.Harness.Generating;

/// <summary>What a client sends, but for the headers that all requests of a load have in common.</summary>
/// <param name="Target">Path and query.</param>
/// <param name="Body">Empty for none.</param>
sealed record LoadRequest(string Method, string Target, byte[] Body, string? ContentType = null, string? Header = null);

/// <summary>
/// One load. Closed: many connections that each send the next request when the answer to the last has come, so that who is slow is asked less. Open: requests come when they come, as those of a nation do, and each waits for a connection
/// that is free; its time runs from when it came.
/// </summary>
/// <param name="Requests">File of <see cref="LoadGenerator.Save"/>; the requests are sent in turn, again from the first after the last.</param>
/// <param name="Start">Where in the file to begin.</param>
/// <param name="Headers">Lines that every request has.</param>
/// <param name="Identity">Folder with the client's <c>tls.pem</c> and <c>tls.key</c>; null: without TLS.</param>
/// <param name="Authority">File with the root that is trusted.</param>
/// <param name="MaxRequests">Ends the load before its time; 0: never.</param>
/// <param name="Connects">Each request over a connection of its own, with a full handshake.</param>
/// <param name="ShowsCertificate">With TLS, whether that of the identity is shown.</param>
/// <param name="Pause">Seconds that each connection waits before a request, on average and at most twice as long: a person reads what came. Closed loads alone.</param>
/// <param name="Rate">Requests a second on average, at times that nobody plans (a Poisson process): the load is open; 0: closed.</param>
/// <param name="Ramp">Seconds in which it grows to its full size: of an open load the rate, of a closed one the number of connections.</param>
/// <param name="Host">Name or address where the port is.</param>
/// <param name="Seed">Of the times.</param>
sealed record Load(string Requests, long Start, int Port, string Headers, string? Identity, string Authority, int Connections, double Seconds, long MaxRequests = 0, bool Connects = false, bool ShowsCertificate = true, double Pause = 0, double Rate = 0, double Ramp = 0, string Host = "127.0.0.1", int Seed = 20_261);

/// <summary>What the generator saw. Latencies in milliseconds.</summary>
/// <param name="Failures">Connections that broke, answers that did not come, and statuses other than 2xx.</param>
/// <param name="FirstFailure">What the first of them was.</param>
/// <param name="Late">Open loads: requests that waited for a free connection for more than a tenth of a second. Many: the load is bound by its connections.</param>
sealed record LoadResult(long Requests, double Seconds, double P50, double P95, double P99, double P999, double Max, long Failures, string? FirstFailure, long Late)
{
    /// <summary>Microseconds; of this process alone, and not carried over to another.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public LongHistogram? Histogram { get; init; }
}

/// <summary>
/// The load generator, in a process of its own: HTTP/1.1 over kept-alive connections, with TLS 1.3 and a client
/// certificate where asked for, as wrk cannot and with other bodies and URLs as ab cannot. Every latency is kept, so that
/// percentiles are exact. Connections are opened before the time begins.
/// </summary>
static class LoadGenerator
{
    private const int MaxAnswer = 64 << 20, Digits = 3;

    /// <summary>Microseconds: an hour. What takes longer counts as long.</summary>
    private const long Longest = 3_600_000_000;

    /// <summary>How long an open load goes on after its end with what came before it.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan IsLate = TimeSpan.FromMilliseconds(100);

    private static readonly ConcurrentDictionary<string, SslStreamCertificateContext> Identities = new();

    private static readonly Dictionary<string, (DateTime Written, byte[][] Requests)> Loaded = [];

    /// <summary>Writes requests for <see cref="Load.Requests"/>.</summary>
    public static void Save(string file, IEnumerable<LoadRequest> requests)
    {
        using var stream = new FileStream(file, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        Span<byte> length = stackalloc byte[8];
        foreach (var request in requests)
        {
            var (head, rest) = Of(request);
            BinaryPrimitives.WriteInt32LittleEndian(length, head.Length);
            BinaryPrimitives.WriteInt32LittleEndian(length[4..], rest.Length + request.Body.Length);
            stream.Write(length);
            stream.Write(head);
            stream.Write(rest);
            stream.Write(request.Body);
        }
    }

    /// <summary>First line, and the headers of its own with the empty line.</summary>
    private static (byte[] Head, byte[] Tail) Of(LoadRequest request) => (
        Encoding.ASCII.GetBytes($"{request.Method} {request.Target} HTTP/1.1\r\n"),
        Encoding.ASCII.GetBytes((request.Header is { } header ? header + "\r\n" : "")
            + (request.Body.Length > 0 ? $"Content-Type: {request.ContentType}\r\nContent-Length: {request.Body.Length}\r\n\r\n" : "\r\n")));

    /// <summary>Reads a <see cref="Load"/> a line, carries it out and answers with a <see cref="LoadResult"/>, until there is none.</summary>
    public static async Task ServeAsync(TextReader instructions, TextWriter answers, CancellationToken cancel)
    {
        while (await instructions.ReadLineAsync(cancel).ConfigureAwait(false) is { } line)
        {
            var result = await RunAsync(JsonSerializer.Deserialize<Load>(line)!, cancel).ConfigureAwait(false);
            await answers.WriteLineAsync(JsonSerializer.Serialize(result)).ConfigureAwait(false);
        }
    }

    /// <summary>An empty histogram as loads have it, for adding several up.</summary>
    public static LongHistogram NewHistogram() => new(1, Longest, Digits);

    /// <summary>Requests for a load in this process.</summary>
    public static byte[][] Pack(IEnumerable<LoadRequest> requests) => [.. requests.Select(static request =>
    {
        var (head, rest) = Of(request);
        var packed = new byte[4 + head.Length + rest.Length + request.Body.Length];
        BinaryPrimitives.WriteInt32LittleEndian(packed, head.Length);
        head.CopyTo(packed, 4);
        rest.CopyTo(packed, 4 + head.Length);
        request.Body.CopyTo(packed, 4 + head.Length + rest.Length);
        return packed;
    })];

    /// <summary>Carries a load out.</summary>
    /// <param name="packed">Requests of <see cref="Pack"/>; null: those in the file.</param>
    public static async Task<LoadResult> RunAsync(Load load, CancellationToken cancel, byte[][]? packed = null)
    {
        var requests = packed ?? Requests(load.Requests);
        var headers = Encoding.ASCII.GetBytes(load.Headers);
        var connections = await Task.WhenAll(Enumerable.Range(0, load.Connections).Select(_ => ConnectAsync(load, cancel))).ConfigureAwait(false);
        var next = load.Start - 1;
        var last = load.MaxRequests > 0 ? load.Start + load.MaxRequests - 1 : long.MaxValue;
        var chance = new Random(load.Seed);
        // How many were to come so far on average, when the next one does: unit steps of a Poisson process.
        var (expected, arrivals) = (0.0, new Lock());
        var begin = Stopwatch.GetTimestamp();
        var end = begin + (long)(load.Seconds * Stopwatch.Frequency);
        var sent = await Task.WhenAll(connections.Select((connection, i) => SendAsync(connection, i))).ConfigureAwait(false);
        var seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        var all = NewHistogram();
        foreach (var (took, _, _) in sent)
            all.Add(took);
        var failures = sent.SelectMany(static t => t.Failures).ToList();
        return new(all.TotalCount, seconds, At(50), At(95), At(99), At(99.9), At(100), failures.Count,
            failures.Count == 0 ? null : string.Join(", ", failures.CountBy(static one => one.Split(": ")[0]).OrderByDescending(static one => one.Value).Take(5).Select(static one => $"{one.Key} ({one.Value})")) + ". The first: " + failures[0], sent.Sum(static t => t.Late)) { Histogram = all };

        double At(double percentile) => all.TotalCount == 0 ? 0 : all.GetValueAtPercentile(percentile) / 1000.0;

        // When the next request is to be sent; null: now, in a load that is closed.
        async ValueTask<long?> TurnAsync()
        {
            if (load.Rate <= 0)
            {
                if (load.Pause > 0)
                    await Task.Delay(TimeSpan.FromSeconds(Share() * 2 * load.Pause), cancel).ConfigureAwait(false);
                return null;
            }
            double at;
            lock (arrivals)
            {
                expected += -Math.Log(1 - chance.NextDouble());
                // The rate grows evenly, so half of what the full one would bring comes within the ramp.
                var withinRamp = load.Rate * load.Ramp / 2;
                at = expected < withinRamp ? Math.Sqrt(2 * load.Ramp * expected / load.Rate) : expected / load.Rate + load.Ramp / 2;
            }
            var due = begin + (long)(at * Stopwatch.Frequency);
            if (due < end && Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due) is { Ticks: > 0 } wait)
                await Task.Delay(wait, cancel).ConfigureAwait(false);
            return due;
        }

        double Share()
        {
            lock (arrivals)
                return chance.NextDouble();
        }

        async Task<(LongHistogram Took, List<string> Failures, long Late)> SendAsync(Stream connection, int number)
        {
            var (times, failures, late) = (NewHistogram(), new List<string>(), 0L);
            var (sent, received) = (new byte[64 << 10], new byte[64 << 10]);
            try
            {
                if (load is { Rate: <= 0, Ramp: > 0 })
                    await Task.Delay(TimeSpan.FromSeconds(load.Ramp * number / load.Connections), cancel).ConfigureAwait(false);
                while (await TurnAsync().ConfigureAwait(false) is var due && (due ?? Stopwatch.GetTimestamp()) < end && Interlocked.Increment(ref next) is var place && place <= last)
                {
                    if (due is not null && Stopwatch.GetTimestamp() > end + Grace.TotalSeconds * Stopwatch.Frequency)
                    {
                        failures.Add("came, and was not sent: more came than these connections carry");
                        continue;
                    }
                    var request = requests[place % requests.Length];
                    var headLength = BinaryPrimitives.ReadInt32LittleEndian(request);
                    var length = request.Length - 4 + headers.Length;
                    if (sent.Length < length)
                        sent = new byte[length];
                    request.AsSpan(4, headLength).CopyTo(sent);
                    headers.CopyTo(sent.AsSpan(headLength));
                    request.AsSpan(4 + headLength).CopyTo(sent.AsSpan(headLength + headers.Length));
                    var start = due ?? Stopwatch.GetTimestamp();
                    if (due is { } came && Stopwatch.GetElapsedTime(came) > IsLate)
                        late++;
                    if (load.Connects)
                    {
                        await connection.DisposeAsync().ConfigureAwait(false);
                        connection = await ConnectAsync(load, cancel).ConfigureAwait(false);
                    }
                    await connection.WriteAsync(sent.AsMemory(0, length), cancel).ConfigureAwait(false);
                    (var status, var from, received) = await ReceiveAsync(connection, received, cancel).ConfigureAwait(false);
                    times.RecordValue(Math.Clamp((long)Stopwatch.GetElapsedTime(start).TotalMicroseconds, 1, Longest));
                    if (status is < 200 or > 299)
                        failures.Add($"{Encoding.ASCII.GetString(sent.AsSpan(0, sent.AsSpan().IndexOf(" HTTP"u8)))} was answered {status}: {Encoding.UTF8.GetString(received.AsSpan(from, Math.Min(400, received.Length - from))).TrimEnd('\0')}");
                }
            }
            catch (Exception e) when (e is IOException or SocketException or InvalidDataException or System.Security.Authentication.AuthenticationException)
            {
                failures.Add($"{e.GetType().Name}: {e.Message}");
            }
            finally
            {
                await connection.DisposeAsync().ConfigureAwait(false);
            }
            return (times, failures, late);
        }
    }

    /// <summary>Reads one answer to its end.</summary>
    /// <returns>Its status, where its body begins, and the buffer: a larger one where it had to be.</returns>
    private static async ValueTask<(int Status, int BodyAt, byte[] Buffer)> ReceiveAsync(Stream connection, byte[] buffer, CancellationToken cancel)
    {
        var (filled, bodyAt, end, status) = (0, 0, int.MaxValue, 0);
        while (true)
        {
            if (filled == buffer.Length)
            {
                if (filled >= MaxAnswer)
                    throw new InvalidDataException("The answer is too large.");
                Array.Resize(ref buffer, buffer.Length * 2);
            }
            var read = await connection.ReadAsync(buffer.AsMemory(filled), cancel).ConfigureAwait(false);
            if (read == 0)
                throw new IOException("The server hung up.");
            filled += read;
            if (bodyAt == 0)
            {
                var at = buffer.AsSpan(0, filled).IndexOf("\r\n\r\n"u8);
                if (at < 0)
                    continue;
                bodyAt = at + 4;
                status = int.Parse(buffer.AsSpan(9, 3), CultureInfo.InvariantCulture);
                end = LengthOf(buffer.AsSpan(0, bodyAt), status) is { } length ? bodyAt + length : int.MaxValue;
            }
            // Chunked: the last chunk is empty, and a body of JSON holds no line that looks like one.
            if (filled >= end || (end == int.MaxValue && buffer.AsSpan(0, filled).EndsWith("0\r\n\r\n"u8)))
                return (status, bodyAt, buffer);
        }
    }

    /// <summary>Null: chunked.</summary>
    private static int? LengthOf(ReadOnlySpan<byte> head, int status)
    {
        if (status is 204 or 304)
            return 0;
        foreach (var range in head.Split("\r\n"u8))
        {
            var line = head[range];
            if (line.Length > 15 && Ascii.EqualsIgnoreCase(line[..15], "content-length:"u8))
                return int.Parse(line[15..].Trim((byte)' '), CultureInfo.InvariantCulture);
        }
        return null;
    }

    private static async Task<Stream> ConnectAsync(Load load, CancellationToken cancel)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(load.Host, load.Port, cancel).ConfigureAwait(false);
        var stream = new NetworkStream(socket, ownsSocket: true);
        if (load.Identity is not { } identity)
            return stream;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        policy.CustomTrustStore.ImportFromPemFile(load.Authority);
        var tls = new SslStream(stream);
        await tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = load.Host == "127.0.0.1" ? "localhost" : load.Host,
            CertificateChainPolicy = policy,
            ClientCertificateContext = load.ShowsCertificate ? Identities.GetOrAdd(identity, static at => Transport.Identity(Path.Combine(at, "tls.pem"), Path.Combine(at, "tls.key"))) : null,
            AllowTlsResume = !load.Connects,
        }, cancel).ConfigureAwait(false);
        return tls;
    }

    /// <summary>Each as it lies in the file, without the second length: length of the first line, then everything.</summary>
    private static byte[][] Requests(string file)
    {
        var written = File.GetLastWriteTimeUtc(file);
        if (Loaded.TryGetValue(file, out var known) && known.Written == written)
            return known.Requests;
        var requests = new List<byte[]>();
        var bytes = File.ReadAllBytes(file).AsSpan();
        while (!bytes.IsEmpty)
        {
            var (head, rest) = (BinaryPrimitives.ReadInt32LittleEndian(bytes), BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]));
            requests.Add([.. bytes[..4], .. bytes.Slice(8, head + rest)]);
            bytes = bytes[(8 + head + rest)..];
        }
        Loaded[file] = (written, [.. requests]);
        return Loaded[file].Requests;
    }
}
