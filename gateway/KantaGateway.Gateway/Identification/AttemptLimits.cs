using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification;

/// <summary>Somebody has to wait.</summary>
/// <param name="Left">How long.</param>
/// <param name="Explanation">A plain sentence for the caller.</param>
internal readonly record struct Waiting(TimeSpan Left, string Explanation);

/// <summary>
/// Holds back who fails to identify, asks for tokens or begins sign-ins too often: after that many in a minute further attempts are refused
/// for a minute, before anything is verified. That it began is recorded at once, how many were refused by <see cref="HeldReports"/>.
/// </summary>
/// <remarks>
/// Counted only under what cannot be claimed: failures under a valid organisation certificate, or without one the address (of IPv6
/// the /64, and sixteen times as many the /48, of which one customer may have 65,536 of the former); token requests under a client that has proven itself, and its certificate; sign-ins under the address. So nobody is
/// shut out by what another does in his name or beside him, and an access token that is known and good is never held
/// back. Gateways count together; while their store is away each counts alone.
/// </remarks>
internal sealed class AttemptLimits(ISharedState shared, OrganisationCertificates certificates, IIdentificationObserver observer, IdentificationMetrics metrics, GatewayOptions options, TimeProvider time)
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    /// <summary>Callers held back at once; the attempts of any more are examined and recorded one by one.</summary>
    private const int MostHolds = 100_000;

    /// <summary>Failures of a whole IPv6 /48 for each that one address may have.</summary>
    private const int NetworkShare = 16;

    /// <summary>Limit of what is answered all the same, and no longer recorded one by one.</summary>
    private const string Slips = "slips";

    private static readonly object CountedKey = new();

    private const string TooManyFailures = "Too many attempts to identify have failed from here. Wait for as long as Retry-After says, and mend what was wrong before.";
    private const string TooManyTokens = "The client asks for tokens too often. Wait for as long as Retry-After says, and use each token until it ends.";
    private const string TooManySignIns = "Too many sign-ins have begun from here within a minute. Wait for as long as Retry-After says.";

    private const string TooManyRequests = "Too many requests that are none have come from here. Wait for as long as Retry-After says.";

    private readonly MemoryState _alone = new(time);
    private readonly ConcurrentDictionary<string, Hold> _holds = new(StringComparer.Ordinal);

    private sealed class Hold(string limit, string explanation, IPAddress? address, string clientId, DateTimeOffset until)
    {
        public string Limit => limit;
        public string Explanation => explanation;
        public IPAddress? Address => address;
        public string ClientId => clientId;
        public DateTimeOffset Until => until;

        /// <summary>Refused since the last report.</summary>
        public long Count;
    }

    /// <summary>Whether the caller has to wait because too many of its attempts have failed; null: no.</summary>
    public Waiting? Wait(HttpContext context) =>
        _holds.IsEmpty ? null : CertificateOf(context) is { } certificate ? WaitUnder(certificate)
            : WaitUnder(AddressKeyOf(context)) ?? (NetworkKeyOf(context) is { } network ? WaitUnder(network) : null);

    /// <summary>Whether the client that a token request claims has to wait; null: no.</summary>
    /// <remarks>Held under the certificate too, so that to claim another's name holds nobody.</remarks>
    public Waiting? WaitForTokens(HttpContext context, Func<string?> claimed) =>
        _holds.IsEmpty || claimed() is not { } client ? null : WaitUnder(TokenKeyOf(context, client));

    /// <summary>The refusal of who has to wait: 429, with Retry-After in whole seconds, 1 or more, on the response.</summary>
    public static Fault Refuse(HttpContext context, Waiting wait)
    {
        context.Response.Headers.RetryAfter = Math.Max(1, (int)Math.Ceiling(wait.Left.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        return new(FaultKind.TooMany, wait.Explanation);
    }

    /// <summary>An attempt has failed and was told so. The one that makes them too many is recorded as such.</summary>
    public async ValueTask FailedAsync(HttpContext context)
    {
        var certificate = CertificateOf(context);
        await FailedAsync(context, certificate ?? AddressKeyOf(context), options.Identification.FailuresPerMinute).ConfigureAwait(false);
        if (certificate is null && NetworkKeyOf(context) is { } network)
            await FailedAsync(context, network, (long)NetworkShare * options.Identification.FailuresPerMinute).ConfigureAwait(false);
    }

    private async ValueTask FailedAsync(HttpContext context, string key, long most)
    {
        if (await CountAsync("failures", key).ConfigureAwait(false) >= most)
            await HoldAsync(context, key, "failures", TooManyFailures, "", "Too many attempts to identify have failed from here; what follows within a minute is refused unexamined and reported as a number.").ConfigureAwait(false);
    }

    /// <summary>
    /// Somebody was refused who has done nothing wrong: he was told a nonce, or his own token has ended. It holds nobody back; when it happens too often
    /// it is recorded as a number.
    /// </summary>
    /// <returns>False when it is not to be recorded by itself (<see cref="IsCounted"/>).</returns>
    public async ValueTask<bool> SlippedAsync(HttpContext context)
    {
        var key = "slips:" + (CertificateOf(context) ?? AddressKeyOf(context));
        if (HoldUnder(key) is not null)
        {
            context.Items[CountedKey] = true;
            return false;
        }
        if (await CountAsync(Slips, key).ConfigureAwait(false) >= options.Identification.FailuresPerMinute)
            await HoldAsync(context, key, Slips, "", "", "Nonces were told, or tokens had ended, too often here; what follows within a minute is answered and reported as a number.").ConfigureAwait(false);
        return true;
    }

    /// <summary>Whether the refusal of this request stands in a number that will be recorded.</summary>
    public static bool IsCounted(HttpContext context) => context.Items.ContainsKey(CountedKey);

    /// <summary>A client has proven itself and asks for something; null when it need not wait.</summary>
    public async ValueTask<Waiting?> AskedAsync(HttpContext context, RegisteredClient client)
    {
        if (await CountAsync("tokens", client.ClientId).ConfigureAwait(false) <= options.Identification.TokenRequestsPerMinute)
            return null;
        var key = TokenKeyOf(context, client.ClientId);
        await HoldAsync(context, key, "tokens", TooManyTokens, client.ClientId, "The client asks for tokens too often; what follows within a minute is refused unexamined and reported as a number.").ConfigureAwait(false);
        return WaitUnder(key) ?? new(Window, TooManyTokens);
    }

    /// <summary>Somebody wants to sign in; null when he need not wait.</summary>
    public async ValueTask<Waiting?> SignInAsync(HttpContext context)
    {
        var address = AddressKeyOf(context);
        var key = "sign-ins:" + address;
        if (WaitUnder(key) is { } waiting)
            return waiting;
        if (await CountAsync("sign-ins", address).ConfigureAwait(false) <= options.Identification.SignInsPerMinute)
            return null;
        await HoldAsync(context, key, "sign-ins", TooManySignIns, "", "Too many sign-ins have begun from here; what follows within a minute is refused and reported as a number.").ConfigureAwait(false);
        return WaitUnder(key) ?? new(Window, TooManySignIns);
    }

    /// <summary>Whether who opens what an app asks for has to wait, because too much of it was nothing; null: no.</summary>
    public Waiting? WaitForRequests(HttpContext context) => _holds.IsEmpty ? null : WaitUnder(RequestKeyOf(context));

    /// <summary>A browser came with a request that there is not, or not any more.</summary>
    public async ValueTask StrayedAsync(HttpContext context)
    {
        var key = RequestKeyOf(context);
        if (await CountAsync("requests", key).ConfigureAwait(false) >= options.Identification.FailuresPerMinute)
            await HoldAsync(context, key, "requests", TooManyRequests, "", "Too many requests that are none were opened from here; what follows within a minute is refused unexamined and reported as a number.").ConfigureAwait(false);
    }

    /// <summary>Records how many have been refused unexamined since the last report.</summary>
    /// <exception cref="FaultException">They could not be recorded; they stand in the next report.</exception>
    public async ValueTask ReportAsync(CancellationToken cancel)
    {
        foreach (var (key, hold) in _holds)
        {
            var count = Interlocked.Exchange(ref hold.Count, 0);
            if (count > 0)
            {
                try
                {
                    await observer.HeldAsync(hold.Address, hold.ClientId, hold.Limit == Slips
                        ? $"{count.ToString(CultureInfo.InvariantCulture)} times a nonce was told, or a token had ended, without a record of each ({hold.Limit})."
                        : $"{count.ToString(CultureInfo.InvariantCulture)} attempts were refused unexamined because there were too many ({hold.Limit}).", cancel).ConfigureAwait(false);
                }
                catch
                {
                    Interlocked.Add(ref hold.Count, count);
                    throw;
                }
            }
            // A window later nobody can still be counting under it.
            else if (hold.Until + Window <= time.GetUtcNow())
                _holds.TryRemove(KeyValuePair.Create(key, hold));
        }
    }

    private Waiting? WaitUnder(string key)
    {
        if (HoldUnder(key) is not { } hold)
            return null;
        metrics.Limited(hold.Limit);
        return new(hold.Until - time.GetUtcNow(), hold.Explanation);
    }

    /// <summary>What is in force under a key, counted once more; null when nothing is.</summary>
    private Hold? HoldUnder(string key)
    {
        if (!_holds.TryGetValue(key, out var hold) || hold.Until <= time.GetUtcNow())
            return null;
        Interlocked.Increment(ref hold.Count);
        return hold;
    }

    private async ValueTask<long> CountAsync(string kind, string key)
    {
        var name = SharedKey.Of(kind, key);
        try
        {
            return await shared.CountAsync(name, Window).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            return await _alone.CountAsync(name, Window).ConfigureAwait(false);
        }
    }

    private async ValueTask HoldAsync(HttpContext context, string key, string limit, string explanation, string clientId, string record)
    {
        var now = time.GetUtcNow();
        var hold = new Hold(limit, explanation, context.Connection.RemoteIpAddress, clientId, now + Window);
        if (_holds.TryGetValue(key, out var old))
        {
            if (old.Until > now)
                return;
            if (!_holds.TryUpdate(key, hold, old))
                return;
            // What the old one has not reported yet the new one will.
            Interlocked.Add(ref hold.Count, Interlocked.Exchange(ref old.Count, 0));
        }
        else if (_holds.Count >= MostHolds || !_holds.TryAdd(key, hold))
            return;
        await observer.RefusedAsync(context, clientId, record, context.RequestAborted).ConfigureAwait(false);
    }

    private static string AddressKeyOf(HttpContext context) => "address:" + PrefixOf(context.Connection.RemoteIpAddress);

    /// <summary>Null where an address is no part of a network that one customer has.</summary>
    private static string? NetworkKeyOf(HttpContext context) =>
        context.Connection.RemoteIpAddress is { AddressFamily: AddressFamily.InterNetworkV6, IsIPv4MappedToIPv6: false } address ? "network:" + Convert.ToHexString(address.GetAddressBytes().AsSpan(0, 6)) : null;

    // Apart from failures to identify, so that one of many behind an address shuts nobody out of answering by failing elsewhere.
    private static string RequestKeyOf(HttpContext context) => "requests:" + AddressKeyOf(context);

    private string TokenKeyOf(HttpContext context, string client) => $"tokens:{CertificateOf(context)}|{client}";

    private string? CertificateOf(HttpContext context) =>
        context.Connection.ClientCertificate is { } certificate && certificates.Examine(certificate) is { IsIssued: true } facts ? "certificate:" + facts.Thumbprint : null;

    private static string PrefixOf(IPAddress? address)
    {
        if (address is { IsIPv4MappedToIPv6: true })
            address = address.MapToIPv4();
        return address is { AddressFamily: AddressFamily.InterNetworkV6 } ? Convert.ToHexString(address.GetAddressBytes().AsSpan(0, 8)) : address?.ToString() ?? "";
    }
}

/// <summary>Records every minute, and at the end, how many attempts were refused unexamined.</summary>
internal sealed partial class HeldReports(AttemptLimits limits, TimeProvider time, ILogger<HeldReports> logger) : BackgroundService
{
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var minute = new PeriodicTimer(TimeSpan.FromMinutes(1), time);
        try
        {
            while (await minute.WaitForNextTickAsync(stoppingToken).ConfigureAwait(false))
                await ReportAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
        await ReportAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task ReportAsync(CancellationToken cancel)
    {
        try
        {
            await limits.ReportAsync(cancel).ConfigureAwait(false);
        }
        catch (FaultException)
        {
            LogUnrecorded();
        }
    }

    [LoggerMessage(1112, LogLevel.Error, "How many attempts were refused unexamined could not be recorded; it stands in the next report.")]
    private partial void LogUnrecorded();
}
