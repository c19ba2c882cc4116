using Hl7.Fhir.Rest;
using Microsoft.Extensions.Http.Resilience;

namespace KantaGateway.Client;

/// <summary>
/// A clinic's system at the gateway: mutual TLS with the organisation's certificate, tokens by <c>private_key_jwt</c> and token exchange, and Firely's FHIR clients for the system and for its professionals, whose requests
/// are repeated where that is safe, whose refusals are typed, and whose receipts are kept. Thread-safe; one for the life of the process.
/// </summary>
public sealed class KantaClient : IDisposable
{
    private const string SystemCaller = "system";

    private readonly KantaClientOptions _options;
    private readonly ReceiptHandler _receiving;
    private readonly HttpMessageInvoker _wire;
    private readonly Polly.ResiliencePipeline<HttpResponseMessage> _requests;
    private readonly Polly.ResiliencePipeline<IssuedToken> _tokenRequests;
    private readonly Uri _base;

    private KantaClient(KantaClientOptions options)
    {
        _options = options;
        Address = new((options.Address ?? options.Registration.FhirUrl).GetLeftPart(UriPartial.Authority));
        _base = new(Address, options.Registration.FhirUrl.AbsolutePath.TrimEnd('/') + "/");
        Receipts = new(options.KeptAnswers);
        var connections = Transport.Handler(options.TrustedRoots, options.Certificate, options.Connected);
        if (options.MaxConnections is { } most)
            connections.MaxConnectionsPerServer = most;
        _receiving = new(Receipts) { InnerHandler = options.Between?.Invoke(connections) ?? connections };
        _wire = new(_receiving);
        Tokens = new(options.Time);
        TokenEndpoint = new(_wire, options, Address);
        (_requests, _tokenRequests) = (RepeatPolicy.ForRequests(options.Repeats, options.Time), RepeatPolicy.ForTokens(options.Repeats, options.Time));
    }

    /// <summary>Scheme, host and port of the gateway.</summary>
    public Uri Address { get; }

    public TokenEndpoint TokenEndpoint { get; }

    public TokenCache Tokens { get; }

    public ReceiptJournal Receipts { get; }

    public static KantaClient Open(KantaClientOptions options) => new(options);

    /// <summary>Requests under the system's own token: archive, and own register.</summary>
    /// <param name="serviceEvent">OID of the service event; null: the organisation's own open one.</param>
    public KantaFhirClient System(string? serviceEvent = null) => Caller(SystemCaller, TokenEndpoint.RequestSystemTokenAsync, serviceEvent);

    /// <summary>Requests in which the system acts for a professional. Keep one for each who has signed in, and dispose of it when they sign out.</summary>
    /// <param name="subject">Asks their identity provider for a subject token; called for each access token.</param>
    /// <param name="purpose">v3-ActReason code: TREAT, ETREAT, ...</param>
    /// <param name="serviceEvent">OID of the service event for which they ask; null: the organisation's own open one.</param>
    public KantaFhirClient Professional(Func<CancellationToken, Task<SubjectToken>> subject, string purpose = "TREAT", string? serviceEvent = null)
    {
        // A name of its own for each: two professionals never share a token.
        var caller = Guid.NewGuid().ToString("N");
        return Caller(caller, async (_, _, cancel) => await TokenEndpoint.ExchangeAsync(await subject(cancel).ConfigureAwait(false), purpose, cancel).ConfigureAwait(false), serviceEvent);
    }

    /// <summary>Asks the gateway for the proof of a receipt, and checks it.</summary>
    /// <returns>Null when the audit log has the entry; else what is wrong.</returns>
    /// <exception cref="InvalidOperationException">The options name no audit log.</exception>
    public async Task<string?> VerifyAsync(ReceivedReceipt receipt, CancellationToken cancel = default)
    {
        if (_options.AuditLog is not { } log)
            throw new InvalidOperationException("Receipts are verified by the audit log's key: set AuditLog in the options.");
        using var system = System();
        try
        {
            using var answer = await system.Http.GetAsync(new Uri(Address, $"/audit/receipts/{receipt.Index}"), cancel).ConfigureAwait(false);
            return ReceiptProof.ProblemOf(await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false), receipt, log, _options.Witnesses);
        }
        catch (NotThereException)
        {
            return "the log does not know it as ours";
        }
    }

    /// <summary>Sends a request as it is, once, over connections with the client's certificate: for what is neither FHIR nor a token.</summary>
    public Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancel = default) => _wire.SendAsync(request, cancel);

    public void Dispose()
    {
        Tokens.Dispose();
        _wire.Dispose();
    }

    private KantaFhirClient Caller(string name, Func<string?, string?, CancellationToken, Task<IssuedToken>> ask, string? serviceEvent)
    {
        // Outermost first: refusals, repeats, token; each attempt has the token of its time.
        var bearer = new BearerHandler(
            cancel => Tokens.GetAsync(name, inner => _tokenRequests.ExecuteAsync(async token => await ask(null, null, token).ConfigureAwait(false), inner).AsTask(), cancel),
            refused => Tokens.Forget(name, refused), serviceEvent) { InnerHandler = _receiving };
        var handler = new RefusalHandler(_options.Time) { InnerHandler = new ResilienceHandler(_requests) { InnerHandler = bearer } };
        // The connections are the system's and outlive this caller.
        var http = new HttpClient(handler, disposeHandler: false)
        {
            BaseAddress = _base,
            Timeout = Timeout.InfiniteTimeSpan, // each attempt has a time of its own
            DefaultRequestVersion = _options.HttpVersion,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
        };
        return new(_base, http, name == SystemCaller ? null : () => Tokens.Remove(name));
    }
}

/// <summary>Firely's client with everything that <see cref="KantaClient"/> adds. It remembers the last answer, so use one at a time.</summary>
public sealed class KantaFhirClient : FhirClient
{
    private readonly Action? _left;

    internal KantaFhirClient(Uri endpoint, HttpClient http, Action? left) : base(endpoint, http, new FhirClientSettings
    {
        PreferredFormat = ResourceFormat.Json,
        ReturnPreference = ReturnPreference.Representation,
        VerifyFhirVersion = false,
        UseAsync = false,
    }) => (Http, _left) = (http, left);

    /// <summary>The same road for what is no FHIR interaction, such as <c>$hl7v2</c> and <c>$cda</c>; relative addresses are under the FHIR base.</summary>
    public HttpClient Http { get; }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Http.Dispose();
            _left?.Invoke();
        }
        base.Dispose(disposing);
    }
}
