using System.Net.Http.Headers;
using System.Net.Mail;
using System.Text.Json;

namespace KantaGateway.Gateway.Breach;

/// <summary>
/// Has who was sent a notice told by e-mail or SMS to sign in, through the organisation's own relay: POST of <c>{"to", "text"}</c>, 2xx is taken. The text is one of the fixed ones of
/// <see cref="OutboundMessage"/>; where it goes is the relay's to know and is kept by nobody here.
/// </summary>
public sealed partial class NoticeMessages : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    private readonly string _relay;
    private readonly string _portal;
    private readonly HttpMessageInvoker _outside;
    private readonly ILogger<NoticeMessages> _logger;

    public NoticeMessages(GatewayOptions options, ILogger<NoticeMessages> logger) : this(options, logger, new SocketsHttpHandler { UseCookies = false, AllowAutoRedirect = false, ActivityHeadersPropagator = null })
    {
    }

    internal NoticeMessages(GatewayOptions options, ILogger<NoticeMessages> logger, HttpMessageHandler outside)
    {
        (_portal, _logger, _outside) = (options.PublicAddress, logger, new(outside));
        _relay = options.Breach?.Notices?.MessageRelay ?? throw new InvalidOperationException("There is no relay.");
    }

    /// <summary>Whether somebody can be reached so: an e-mail address, or a telephone number as <c>+358401234567</c>.</summary>
    public static bool IsReachable(string? to) => to is { Length: > 0 and <= 254 } && !OutboundMessage.HoldsIdentityCode(to)
        && (to[0] == '+' ? to.Length is >= 9 and <= 16 && to.AsSpan(1).IndexOfAnyExceptInRange('0', '9') < 0
            : MailAddress.TryCreate(to, out var address) && address.Address == to && !to.AsSpan().ContainsAny(" ,;<>\"\r\n"));

    /// <param name="to">As <see cref="IsReachable"/> has it.</param>
    /// <param name="language">fi, sv or en.</param>
    /// <returns>Whether the relay has taken it.</returns>
    public async Task<bool> SendAsync(string to, string language, CancellationToken cancel)
    {
        var message = OutboundMessage.ToSignIn(language, _portal);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(Timeout);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, _relay) { Content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(new { to, text = message.Text })) };
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            using var response = await _outside.SendAsync(request, limit.Token).ConfigureAwait(false);
            if (response.IsSuccessStatusCode)
                return true;
            LogRefused((int)response.StatusCode);
        }
        catch (Exception failure) when (failure is HttpRequestException or IOException || (failure is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            LogFailed(failure.Message);
        }
        return false;
    }

    public void Dispose() => _outside.Dispose();

    [LoggerMessage(1, LogLevel.Error, "The relay of messages answered {Status}; send the list of notices again.")]
    private partial void LogRefused(int status);

    [LoggerMessage(2, LogLevel.Error, "The relay of messages could not be reached ({Why}); send the list of notices again.")]
    private partial void LogFailed(string why);
}
