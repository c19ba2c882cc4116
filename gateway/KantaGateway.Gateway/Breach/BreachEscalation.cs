using System.Globalization;
using System.Net.Http.Headers;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Tells two independent recipients of every case, at its opening, when a clock changes its state and again until each has stopped: hourly while there is time, more often when one is near its
/// time or over it. That the last has stopped is told too, and how: nobody ends a case, or says that all is done, without their word of it. Who does not answer is asked again at every look and holds back nobody else. What was told is remembered beside the cases; without that memory it is told anew.
/// </summary>
/// <remarks>The message is a JWT (ES256) of the deployment's token key, which <c>/.well-known/jwks</c> shows: whose it is can be checked, and it says nothing of anybody.</remarks>
sealed partial class BreachEscalation : BackgroundService
{
    /// <summary>Between two looks where nothing happens.</summary>
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(30);

    /// <summary>So that none is taken for an access token, or another way round.</summary>
    public const string TokenType = "kanta-breach+jwt";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly BreachCases _cases;
    private readonly TokenKeys _keys;
    private readonly AuditLog _audit;
    private readonly GatewayOptions _options;
    private readonly EscalationOptions _escalation;
    private readonly TimeProvider _time;
    private readonly ILogger<BreachEscalation> _logger;
    private readonly HttpMessageInvoker _outside;
    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly string _file;
    private readonly Lock _remembering = new();
    private readonly Dictionary<string, Told> _told;
    private readonly SemaphoreSlim _changed = new(1);

    /// <summary>What a recipient was told of a case.</summary>
    /// <param name="States">Of its clocks; null: not known.</param>
    private sealed record Told(DateTimeOffset At, int Times, string? States = null);

    public BreachEscalation(BreachCases cases, TokenKeys keys, AuditLog audit, GatewayOptions options, TimeProvider time, ILogger<BreachEscalation> logger)
        : this(cases, keys, audit, options, time, logger, null)
    {
    }

    /// <param name="outside">The way to the recipients; null: over the network.</param>
    internal BreachEscalation(BreachCases cases, TokenKeys keys, AuditLog audit, GatewayOptions options, TimeProvider time, ILogger<BreachEscalation> logger, HttpMessageHandler? outside)
    {
        (_cases, _keys, _audit, _options, _time, _logger) = (cases, keys, audit, options, time, logger);
        _escalation = options.Breach?.Escalation ?? throw new InvalidOperationException("Nobody is named to whom cases are told.");
        _outside = new(outside ?? Handler(_escalation));
        _file = Path.Combine(options.Breach.CaseFolder, "told");
        _told = ReadTold();
        _cases.Changed += Wake;
    }

    /// <summary>How long after a message the next one follows.</summary>
    public static TimeSpan IntervalOf(IReadOnlyList<BreachClock> clocks, EscalationOptions options, DateTimeOffset now) =>
        TimeSpan.FromMinutes(clocks.Any(clock => clock.IsOpen && clock.Due - now <= TimeSpan.FromHours(options.UrgentHours)) ? options.UrgentMinutes : options.RepeatMinutes);

    /// <summary>Tells whoever has to be told now.</summary>
    /// <returns>How many messages were taken.</returns>
    public async Task<int> LookAsync(CancellationToken cancel)
    {
        var now = _time.GetUtcNow();
        var due = new List<Task<bool>>();
        foreach (var one in _cases.All)
        {
            var clocks = BreachClocks.Of(one, _cases.StepsOf(one.Number), _cases.EndOf(one.Number), TimeSpan.FromHours(_options.Breach!.PersonsWithinHours), now);
            var (isOpen, states) = (clocks.Any(static clock => clock.IsOpen), StatesOf(clocks));
            foreach (var recipient in _escalation.Recipients)
                if (Remembered(one, recipient) is not { } told || told.States != states || (isOpen && (now - told.At >= IntervalOf(clocks, _escalation, now) || told.At > now)))
                    due.Add(TellAsync(one, clocks, recipient, now, cancel));
        }
        return (await Task.WhenAll(due).ConfigureAwait(false)).Count(static taken => taken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = _time.CreateTimer(_ => Wake(), null, Interval, Interval);
        try
        {
            while (true)
            {
                await _changed.WaitAsync(stoppingToken).ConfigureAwait(false);
                try
                {
                    await LookAsync(stoppingToken).ConfigureAwait(false);
                }
                catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
                {
                    LogNotRemembered(failure);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    public override void Dispose()
    {
        _cases.Changed -= Wake;
        base.Dispose();
        _outside.Dispose();
        _changed.Dispose();
    }

    private void Wake()
    {
        try
        {
            // One look sees all that has happened before it.
            if (_changed.CurrentCount == 0)
                _changed.Release();
        }
        catch (ObjectDisposedException)
        {
            // The gateway stops.
        }
    }

    private async Task<bool> TellAsync(BreachCase one, IReadOnlyList<BreachClock> clocks, EscalationRecipient recipient, DateTimeOffset now, CancellationToken cancel)
    {
        var times = (Remembered(one, recipient)?.Times ?? 0) + 1;
        var message = OutboundMessage.OfCase(one, clocks, times, OperatorOrigin.AddressOf(_options));
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
            limit.CancelAfter(Timeout);
            using var request = new HttpRequestMessage(HttpMethod.Post, recipient.Address) { Content = new StringContent(Signed(message, recipient, now), Encoding.ASCII, new MediaTypeHeaderValue("application/jwt")) };
            using var response = await _outside.SendAsync(request, limit.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                LogRefused(recipient.Name, (int)response.StatusCode, one.Number);
                return false;
            }
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException || (failure is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            LogNotTold(recipient.Name, failure.Message, one.Number);
            return false;
        }
        Remember(one, recipient, new(now, times, StatesOf(clocks)));
        try
        {
            await _audit.AppendAsync(OwnRecord.Of(_options, now, string.Create(CultureInfo.InvariantCulture, $"Told {recipient.Name} of breach case {one.Number}, for the {times}. time."), Encoding.UTF8.GetBytes(message.Text), AuditOutcome.Success), cancel).ConfigureAwait(false);
        }
        catch (AuditUnavailableException)
        {
            // It was told all the more; the log says by itself that it fails.
        }
        return true;
    }

    private string Signed(OutboundMessage message, EscalationRecipient recipient, DateTimeOffset now) => _handler.CreateToken(new SecurityTokenDescriptor
    {
        Issuer = _options.PublicAddress,
        Audience = recipient.Address,
        TokenType = TokenType,
        IssuedAt = now.UtcDateTime,
        Claims = new Dictionary<string, object> { ["jti"] = Guid.NewGuid().ToString("N"), ["breach"] = JsonSerializer.Deserialize<JsonElement>(message.Text) },
        SigningCredentials = new(_keys.Newest.Signing, SecurityAlgorithms.EcdsaSha256),
    });

    private static string StatesOf(IReadOnlyList<BreachClock> clocks) => string.Join(' ', clocks.Select(static clock => clock.State));

    // By the case itself: its number may be another's, where the file has come from somewhere else.
    private string KeyOf(BreachCase one, EscalationRecipient recipient) => $"{_cases.NameOf(one.Number)}/{recipient.Name}";

    private Dictionary<string, Told> ReadTold()
    {
        try
        {
            return File.Exists(_file) ? JsonSerializer.Deserialize<Dictionary<string, Told>>(File.ReadAllBytes(_file)) ?? [] : [];
        }
        catch (JsonException)
        {
            LogToldUnreadable();
            return [];
        }
    }

    private Told? Remembered(BreachCase one, EscalationRecipient recipient)
    {
        lock (_remembering)
            return _told.GetValueOrDefault(KeyOf(one, recipient));
    }

    private void Remember(BreachCase one, EscalationRecipient recipient, Told told)
    {
        lock (_remembering)
        {
            _told[KeyOf(one, recipient)] = told;
            OwnerOnly.WriteWhole(_file, JsonSerializer.SerializeToUtf8Bytes(_told), overwrite: true);
        }
    }

    private static SocketsHttpHandler Handler(EscalationOptions options)
    {
        var handler = new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.FromMinutes(5) };
        if (options.AuthorityFile is not { } file)
            return handler;
        var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
        policy.CustomTrustStore.ImportFromPemFile(file);
        handler.SslOptions = new() { CertificateChainPolicy = policy };
        return handler;
    }

    [LoggerMessage(1, LogLevel.Critical, "ALARM: {Recipient} answered {Status} when told of breach case {Case}; it is told again.")]
    private partial void LogRefused(string recipient, int status, long @case);

    [LoggerMessage(2, LogLevel.Critical, "ALARM: {Recipient} could not be told of breach case {Case} ({Why}); it is told again.")]
    private partial void LogNotTold(string recipient, string why, long @case);

    [LoggerMessage(4, LogLevel.Error, "Who was told of the breach cases cannot be read; all are told anew.")]
    private partial void LogToldUnreadable();

    [LoggerMessage(3, LogLevel.Error, "Who was told of the breach cases could not be kept; they are told again.")]
    private partial void LogNotRemembered(Exception failure);
}
