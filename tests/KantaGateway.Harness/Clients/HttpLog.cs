using System.Net;
using System.Security.Cryptography.X509Certificates;
using KantaGateway.Client;

namespace KantaGateway.Harness.Clients;

/// <summary>A log's public face over HTTP (C2SP tlog-tiles).</summary>
public sealed class HttpLog : IDisposable
{
    /// <summary>A full bundle of entries of 512 bytes, and more.</summary>
    private const int LongestResource = 256 << 10;

    private readonly HttpClient _client;
    private readonly string _prefix;

    /// <param name="address">Prefix of the log: https, or http on a loopback address.</param>
    /// <param name="roots">Roots that its certificate is checked by; null: the system's.</param>
    /// <exception cref="InvalidDataException">The address is not of that form.</exception>
    public HttpLog(Uri address, X509Certificate2Collection? roots)
    {
        if (!address.IsAbsoluteUri || address.Scheme != Uri.UriSchemeHttps && !(address.Scheme == Uri.UriSchemeHttp && address.IsLoopback))
            throw new InvalidDataException("The log's address is https, or http on a loopback address.");
        _prefix = address.GetLeftPart(UriPartial.Path).TrimEnd('/') + "/";
        _client = new HttpClient(roots is null ? new SocketsHttpHandler { AllowAutoRedirect = false, AutomaticDecompression = DecompressionMethods.GZip } : Transport.Handler(roots))
        {
            MaxResponseContentBufferSize = LongestResource,
            Timeout = TimeSpan.FromSeconds(30),
        };
        _client.DefaultRequestHeaders.UserAgent.ParseAdd("kanta-verify-log");
    }

    /// <summary>Resources asked for.</summary>
    public long Requests { get; private set; }

    /// <summary>A resource; null where the log has none of that path.</summary>
    /// <exception cref="HttpRequestException">It cannot be had: nothing is known of it.</exception>
    public async Task<byte[]?> ReadAsync(string path, CancellationToken cancel)
    {
        Requests++;
        try
        {
            using var answer = await _client.GetAsync(_prefix + path, cancel).ConfigureAwait(false);
            if (answer.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Gone)
                return null;
            if (answer.StatusCode != HttpStatusCode.OK)
                throw new HttpRequestException($"{path}: the log answered {(int)answer.StatusCode}");
            return await answer.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
        }
        catch (TaskCanceledException slow) when (!cancel.IsCancellationRequested)
        {
            throw new HttpRequestException($"{path}: the log did not answer in time", slow);
        }
    }

    public void Dispose() => _client.Dispose();
}
