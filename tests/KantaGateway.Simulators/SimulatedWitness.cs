using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Tree;
using KantaGateway.Audit.Witnessing;
using NSec.Cryptography;

namespace KantaGateway.Simulators;

/// <summary>
/// A witness as C2SP tlog-witness has it, with Ed25519 cosignatures, at <c>/witness/name</c>: it keeps the largest checkpoint of each log in a file and cosigns what goes on from there. It can be silent. Thread-safe.
/// </summary>
public sealed class SimulatedWitness : IDisposable
{
    private readonly Func<string, NoteVerifier?> _logs;
    private readonly string _file;
    private readonly Key _key;
    private readonly Lock _turn = new();

    /// <param name="name">Last part of its key's name, and of its address.</param>
    /// <param name="file">Where it keeps what it has cosigned; its key stands beside it. Both are made when missing.</param>
    /// <param name="logs">The key of a log by its origin; null: a log that it does not know.</param>
    public SimulatedWitness(string name, string file, Func<string, NoteVerifier?> logs)
    {
        (Name, _file, _logs) = (name, file, logs);
        OwnerOnly.CreateFolder(System.IO.Path.GetDirectoryName(file)!);
        if (!File.Exists(file + ".key"))
            OwnerOnly.WriteWhole(file + ".key", RandomNumberGenerator.GetBytes(32));
        _key = Key.Import(SignatureAlgorithm.Ed25519, File.ReadAllBytes(file + ".key"), KeyBlobFormat.RawPrivateKey);
        Verifier = new WitnessVerifier("witness.example/" + name, _key.PublicKey.Export(KeyBlobFormat.RawPublicKey));
    }

    public string Name { get; }

    public WitnessVerifier Verifier { get; }

    /// <summary>Where it stands below its host's address.</summary>
    public string Address => "/witness/" + Name;

    /// <summary>503, to everybody.</summary>
    public bool IsSilent { get; set; }

    /// <summary>It answers once this is done.</summary>
    public Task Answering { get; set; } = Task.CompletedTask;

    /// <summary>Checkpoints that it was asked to cosign.</summary>
    public int Asked { get; private set; }

    /// <summary>Size that it has cosigned of a log; 0: none.</summary>
    public long SizeOf(string origin)
    {
        lock (_turn)
            return Read().GetValueOrDefault(origin)?.Size ?? 0;
    }

    public void Map(IEndpointRouteBuilder app)
    {
        app.MapPost(Address + "/add-checkpoint", async (HttpContext context) =>
        {
            using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
            var body = await reader.ReadToEndAsync();
            await Answering;
            return IsSilent ? Results.StatusCode(503) : Add(body);
        });
        app.MapGet(Address + "/{origin}/checkpoint", (string origin) =>
        {
            lock (_turn)
                return Read().FirstOrDefault(known => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(known.Key))) == origin).Value is { } last
                    ? Results.Text(last.Note, "text/plain; charset=utf-8") : Results.NotFound();
        });
    }

    public void Dispose() => _key.Dispose();

    // In the order of the specification.
    private IResult Add(string body)
    {
        Asked++;
        var split = body.IndexOf("\n\n", StringComparison.Ordinal);
        if (split < 0 || body[..split].Split('\n') is not [['o', 'l', 'd', ' ', .. var old], .. { Length: <= 63 } lines]
            || !long.TryParse(old, NumberStyles.None, CultureInfo.InvariantCulture, out var earlier) || earlier.ToString(CultureInfo.InvariantCulture) != old)
            return Results.BadRequest();
        var proof = new List<byte[]>();
        foreach (var line in lines)
        {
            var hash = new byte[32];
            if (!Convert.TryFromBase64String(line, hash, out var length) || length != 32)
                return Results.BadRequest();
            proof.Add(hash);
        }
        var note = body[(split + 2)..];
        if (_logs(note.Split('\n')[0]) is not { } log)
            return Results.NotFound();
        if (!Checkpoint.TryOpen(note, log, out var checkpoint))
            return Results.StatusCode(403);
        if (earlier > checkpoint.Size)
            return Results.BadRequest();
        lock (_turn)
        {
            var known = Read();
            var last = known.GetValueOrDefault(checkpoint.Origin) ?? new(0, Merkle.Empty, "");
            if (earlier != last.Size)
                return Results.Text(string.Create(CultureInfo.InvariantCulture, $"{last.Size}\n"), "text/x.tlog.size", statusCode: 409);
            if (earlier > 0 && earlier == checkpoint.Size && !checkpoint.Root.AsSpan().SequenceEqual(last.Root))
                return Results.StatusCode(409);
            var goesOn = earlier == 0 ? proof.Count == 0 && (checkpoint.Size > 0 || checkpoint.Root.AsSpan().SequenceEqual(Merkle.Empty)) : TiledTree.IsConsistent(earlier, last.Root, checkpoint.Size, checkpoint.Root, proof);
            if (!goesOn)
                return Results.StatusCode(422);
            var line = Cosign(note[..(note.IndexOf("\n\n", StringComparison.Ordinal) + 1)]);
            known[checkpoint.Origin] = new(checkpoint.Size, checkpoint.Root, note + line);
            OwnerOnly.WriteWhole(_file, JsonSerializer.SerializeToUtf8Bytes(known), overwrite: true);
            // :: Durable from here on.
            return Results.Text(line, "text/plain; charset=utf-8");
        }
    }

    /// <summary>A signature line, with its newline, on whatever it is given: what the witness itself never does.</summary>
    /// <param name="text">Text of a checkpoint.</param>
    public string Cosign(string text)
    {
        var time = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var bytes = new byte[12];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Verifier.KeyId);
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(4), time);
        return $"— {Verifier.Name} {Convert.ToBase64String([.. bytes, .. SignatureAlgorithm.Ed25519.Sign(_key, WitnessVerifier.MessageOf(time, text))])}\n";
    }

    private Dictionary<string, Last> Read() => File.Exists(_file) ? JsonSerializer.Deserialize<Dictionary<string, Last>>(File.ReadAllBytes(_file))! : [];

    private sealed record Last(long Size, byte[] Root, string Note);
}
