using System.Buffers.Text;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace KantaGateway.Gateway.Identification.Professionals;

/// <summary>Asks the role register over HTTP with mTLS.</summary>
/// <remarks>
/// The real protocol is not public, so this is a narrow contract of this gateway's own behind <see cref="IProfessionalRights"/>: POST
/// <c>/rights</c> with <c>{"professional","question"}</c>, answered by 200 and <c>{"professional","question","valid","profession"}</c>, both
/// names repeated so that an answer that was kept or mixed up on the way is noticed. POST, since ids do not belong into URLs.
/// </remarks>
internal sealed partial class RoleRegister : IProfessionalRights
{
    private const int LongestAnswer = 16 * 1024;
    private const int LongestId = 128;

    /// <summary>A register that has failed is left alone for this long: its silence must not keep threads.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private static readonly JsonSerializerOptions Format = ServiceAnswers.Format(maxDepth: 4);

    private readonly HttpClient _http;
    private readonly Uri _address;
    private readonly TimeProvider _time;
    private readonly ILogger<RoleRegister> _logger;
    private readonly RecentCache<string, ProfessionalRight> _known = new(50_000);
    private readonly Lock _turn = new();
    private readonly Dictionary<string, Task<ProfessionalRight>> _asking = new(StringComparer.Ordinal);
    private long _pausedUntil;

    private sealed record Question([property: JsonPropertyName("professional")] string Professional, [property: JsonPropertyName("question")] string Name);

    private sealed record Answer(string Professional, string Question, bool Valid, string? Profession = null);

    /// <param name="http">Shows the gateway's certificate and follows no redirects.</param>
    public RoleRegister(RoleRegisterOptions options, HttpClient http, TimeProvider time, ILogger<RoleRegister> logger)
    {
        (_http, _time, _logger) = (http, time, logger);
        _address = new Uri(options.Address + "/rights");
        http.Timeout = TimeSpan.FromSeconds(options.TimeoutSeconds);
        http.MaxResponseContentBufferSize = LongestAnswer;
    }

    public ProfessionalRight? Known(string id) => _known.TryGet(id, out var right) && right.Until > _time.GetUtcNow() ? right : null;

    public async ValueTask<ProfessionalRight> AskAsync(string id, CancellationToken cancel)
    {
        if (Known(id) is { } known)
            return known;
        if (id.Length is 0 or > LongestId)
            return new(null, default, _time.GetUtcNow());
        if (Volatile.Read(ref _pausedUntil) > _time.GetUtcNow().UtcTicks)
            throw new ProfessionalRightsException("The role register does not answer.");
        // One question for all who ask at the same time; it goes on when one of them no longer waits.
        Task<ProfessionalRight>? asking;
        lock (_turn)
            if (!_asking.TryGetValue(id, out asking))
                _asking.Add(id, asking = Task.Run(() => AskAsync(id), CancellationToken.None));
        return await asking.WaitAsync(cancel).ConfigureAwait(false);
    }

    private async Task<ProfessionalRight> AskAsync(string id)
    {
        // From before the question: what the register knew when it answered was true after this.
        var until = _time.GetUtcNow() + IProfessionalRights.Bound;
        try
        {
            var question = new Question(id, Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(16)));
            using var request = new HttpRequestMessage(HttpMethod.Post, _address) { Content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(question, Format)) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            using var response = await _http.SendAsync(request).ConfigureAwait(false);
            if (response.StatusCode != HttpStatusCode.OK)
                throw response.StatusCode >= HttpStatusCode.InternalServerError ? new HttpRequestException($"its status is {(int)response.StatusCode}")
                    : new InvalidDataException($"its status is {(int)response.StatusCode}");
            var answer = JsonSerializer.Deserialize<Answer>(await response.Content.ReadAsByteArrayAsync().ConfigureAwait(false), Format)
                ?? throw new InvalidDataException("it is empty");
            if (answer.Professional != id || answer.Question != question.Name)
                throw new InvalidDataException("it answers another question");
            // A profession that is not known gives no task, and so no right here.
            var right = answer.Valid && TaskClasses.Of(answer.Profession) is { } tasks ? new ProfessionalRight(answer.Profession, tasks, until) : new(null, default, until);
            _known.Set(id, right);
            return right;
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException or InvalidDataException or OperationCanceledException or JsonException)
        {
            // What it does not understand of one professional says nothing about the others.
            if (failure is not (InvalidDataException or JsonException))
                Volatile.Write(ref _pausedUntil, (_time.GetUtcNow() + Pause).UtcTicks);
            // The messages of parsers quote what they could not read.
            LogUnusable(failure is InvalidDataException ? failure.Message : failure.GetType().Name);
            throw new ProfessionalRightsException("The role register does not answer.", failure);
        }
        finally
        {
            lock (_turn)
                _asking.Remove(id);
        }
    }

    [LoggerMessage(1120, LogLevel.Error, "The role register gave no answer that can be used ({Problem}). Professionals are not let in without one.")]
    private partial void LogUnusable(string problem);
}
