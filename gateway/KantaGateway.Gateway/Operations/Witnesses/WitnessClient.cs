using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using KantaGateway.Audit.Witnessing;

namespace KantaGateway.Gateway.Operations.Witnesses;

/// <summary>What a witness answered to a checkpoint. There is no other case.</summary>
abstract record WitnessAnswer
{
    private WitnessAnswer()
    {
    }

    /// <param name="Lines">Signature lines, each with its newline; whether they verify is the asker's to check.</param>
    public sealed record Cosigned(string Lines) : WitnessAnswer;

    /// <summary>It is at another size than it was asked from.</summary>
    public sealed record At(long Size) : WitnessAnswer;

    /// <summary>It answered 409 and no size: where it was asked from its own size at that very size, it has another root of it.</summary>
    public sealed record Conflict : WitnessAnswer;

    /// <summary>The checkpoint does not go on from what it has cosigned.</summary>
    public sealed record Inconsistent : WitnessAnswer;

    /// <summary>It does not know the log, or not its key.</summary>
    public sealed record Stranger(int Status) : WitnessAnswer;

    /// <summary>It did not answer, or not as it should.</summary>
    public sealed record Silent(string Why) : WitnessAnswer;
}

/// <summary>Asks witnesses over HTTP (C2SP tlog-witness, add-checkpoint). Thread-safe.</summary>
sealed class WitnessClient : IDisposable
{
    /// <summary>Sixteen cosignatures, of which each may be post-quantum.</summary>
    private const int LongestAnswer = 128 << 10;

    private readonly HttpClient _http;

    /// <param name="options">Roots and patience.</param>
    public WitnessClient(WitnessOptions options)
    {
        var handler = new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (options.AuthorityFile is { } file)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(file);
            handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        }
        _http = new HttpClient(handler) { Timeout = TimeSpan.FromSeconds(options.TimeoutSeconds), MaxResponseContentBufferSize = LongestAnswer };
    }

    /// <summary>Submits a checkpoint.</summary>
    /// <param name="earlier">Size that the witness is thought to be at.</param>
    /// <param name="proof">From there to the checkpoint; empty where that is 0.</param>
    /// <param name="note">The checkpoint, with the log's signature.</param>
    public async Task<WitnessAnswer> AddCheckpointAsync(Witness witness, long earlier, IReadOnlyList<byte[]> proof, string note, CancellationToken cancel)
    {
        var body = new StringBuilder(string.Create(CultureInfo.InvariantCulture, $"old {earlier}\n"));
        foreach (var hash in proof)
            body.Append(Convert.ToBase64String(hash)).Append('\n');
        body.Append('\n').Append(note);
        try
        {
            using var content = new ByteArrayContent(Encoding.UTF8.GetBytes(body.ToString()));
            using var answer = await _http.PostAsync(witness.Address!.ToString().TrimEnd('/') + "/add-checkpoint", content, cancel).ConfigureAwait(false);
            return answer.StatusCode switch
            {
                HttpStatusCode.OK => new WitnessAnswer.Cosigned(await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false)),
                HttpStatusCode.Conflict => answer.Content.Headers.ContentType?.MediaType == "text/x.tlog.size" && SizeIn(await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false)) is { } size
                    ? new WitnessAnswer.At(size) : new WitnessAnswer.Conflict(),
                HttpStatusCode.UnprocessableEntity => new WitnessAnswer.Inconsistent(),
                HttpStatusCode.NotFound or HttpStatusCode.Forbidden => new WitnessAnswer.Stranger((int)answer.StatusCode),
                var other => new WitnessAnswer.Silent($"it answered {(int)other}"),
            };
        }
        catch (Exception silent) when (silent is HttpRequestException or InvalidOperationException or IOException || silent is OperationCanceledException && !cancel.IsCancellationRequested)
        {
            return new WitnessAnswer.Silent((silent.InnerException ?? silent).GetType().Name);
        }
    }

    public void Dispose() => _http.Dispose();

    private static long? SizeIn(string text) =>
        text.EndsWith('\n') && long.TryParse(text[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out var size) && size.ToString(CultureInfo.InvariantCulture) == text[..^1] ? size : null;
}
