using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using Org.BouncyCastle.Math;
using Certificate = Org.BouncyCastle.X509.X509Certificate;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>Asks one authority, by its list and its responder, whether it stands by a certificate.</summary>
/// <remarks>Thread-safe. The list is fetched once for all; a source that has failed is left alone for <see cref="Pause"/>.</remarks>
internal sealed partial class RevocationInquiry
{
    /// <summary>How long a source is left alone after it gave nothing that can be used.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    public const int LongestList = 10 * 1024 * 1024;
    private const int LongestAnswer = 64 * 1024;

    private readonly Certificate _authority;
    private readonly string _name;
    private readonly RevocationSource _source;
    private readonly HttpClient _http;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SemaphoreSlim _fetching = new(1);
    private RevocationList? _list;
    private DateTimeOffset _fetchAt = DateTimeOffset.MinValue;

    /// <exception cref="InvalidDataException">The source says neither where to ask nor that nobody is to be asked.</exception>
    public RevocationInquiry(X509Certificate2 authority, RevocationSource source, HttpClient http, TimeProvider time, ILogger logger)
    {
        if (source is { CrlAddress: null, CrlFile: null, OcspAddress: null, Unchecked: false })
            throw new InvalidDataException("A client authority has neither a revocation list nor a responder.");
        (_source, _http, _time, _logger) = (source, http, time, logger);
        _authority = new Certificate(authority.RawData);
        _name = RevocationSource.FingerprintOf(authority.RawDataMemory.Span);
    }

    private TimeSpan MaxAge => TimeSpan.FromSeconds(_source.MaxAgeSeconds);

    /// <summary>Does not throw: whatever goes wrong is unknown.</summary>
    public async Task<RevocationAnswer> AskAsync(BigInteger serial)
    {
        if (_source.Unchecked)
            return new(RevocationStatus.Good, DateTimeOffset.MaxValue);
        var list = _source.CrlAddress is null && _source.CrlFile is null ? null : await ListAsync().ConfigureAwait(false);
        if (list is not null && list.Revokes(serial))
            return new(RevocationStatus.Revoked, list.Until);
        if (_source.OcspAddress is { } responder && await AskResponderAsync(responder, serial, list).ConfigureAwait(false) is { } answer)
            return answer;
        return list is not null ? new(RevocationStatus.Good, list.Until) : new(RevocationStatus.Unknown, _time.GetUtcNow() + Pause);
    }

    /// <summary>The list in force; null when there is none.</summary>
    private async Task<RevocationList?> ListAsync()
    {
        await _fetching.WaitAsync().ConfigureAwait(false);
        try
        {
            var now = _time.GetUtcNow();
            if (now >= _fetchAt)
                try
                {
                    var encoded = _source.CrlFile is { } file ? await ReadAsync(file).ConfigureAwait(false)
                        : await SendAsync(new(HttpMethod.Get, _source.CrlAddress), LongestList).ConfigureAwait(false);
                    _list = RevocationList.Read(encoded, _authority, _list, now, MaxAge);
                    _fetchAt = now + MaxAge / 2;
                }
                catch (InvalidDataException unusable)
                {
                    LogUnusable(_name, "revocation list", unusable.Message);
                    // From now: the attempt may have taken longer than the pause.
                    _fetchAt = _time.GetUtcNow() + Pause;
                }
            return _list is { } list && list.Until > now ? list : null;
        }
        finally
        {
            _fetching.Release();
        }
    }

    /// <summary>Null when the responder is silent, or says what cannot be relied on.</summary>
    private async Task<RevocationAnswer?> AskResponderAsync(string address, BigInteger serial, RevocationList? list)
    {
        try
        {
            var question = new OcspQuestion(_authority, serial);
            var request = new HttpRequestMessage(HttpMethod.Post, address) { Content = new ByteArrayContent(question.Encoded) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/ocsp-request");
            var encoded = await SendAsync(request, LongestAnswer).ConfigureAwait(false);
            var now = _time.GetUtcNow();
            var answer = question.Read(encoded, list, now, MaxAge);
            return answer.Status == RevocationStatus.Unknown ? answer with { Until = now + Pause } : answer;
        }
        catch (InvalidDataException unusable)
        {
            LogUnusable(_name, "OCSP answer", unusable.Message);
            return null;
        }
    }

    private static async Task<byte[]> ReadAsync(string file)
    {
        try
        {
            return new FileInfo(file) is { Exists: true, Length: <= LongestList } ? await File.ReadAllBytesAsync(file).ConfigureAwait(false)
                : throw new InvalidDataException("there is no such file, or it is too long");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException("its file cannot be read", failure);
        }
    }

    /// <exception cref="InvalidDataException">There is no answer of at most so many bytes in time.</exception>
    private async Task<byte[]> SendAsync(HttpRequestMessage request, int longest)
    {
        using var _ = request;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(_source.TimeoutSeconds));
        try
        {
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, patience.Token).ConfigureAwait(false);
            if (response.StatusCode != HttpStatusCode.OK)
                throw new InvalidDataException($"the status is {(int)response.StatusCode}");
            await response.Content.LoadIntoBufferAsync(longest, patience.Token).ConfigureAwait(false);
            return await response.Content.ReadAsByteArrayAsync(patience.Token).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or OperationCanceledException)
        {
            throw new InvalidDataException("there is no answer in time, or it is too long", failure);
        }
    }

    [LoggerMessage(1103, LogLevel.Error, "The {What} of the client authority {Authority} cannot be used, because {Problem}. Without another source its certificates are refused with 503 once what is known is too old.")]
    private partial void LogUnusable(string authority, string what, string problem);
}
