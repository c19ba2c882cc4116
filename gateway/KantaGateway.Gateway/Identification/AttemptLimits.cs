using System.Diagnostics.Metrics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Gateway.Identification;

/// <summary>
/// Holds back who fails to identify: after <see cref="IdentificationOptions.FailuresPerMinute"/> failures in a minute further attempts are refused
/// for a minute, before anything is verified and without an entry of their own in the audit log.
/// </summary>
/// <remarks>
/// Failures are counted, never requests, and only under what cannot be claimed: a valid organisation certificate, or without one the
/// address (of IPv6 the /64). So nobody is shut out by what another does in his name or beside him, and an access
/// token that is known and good is never held back. Gateways count together; while their store is away each counts alone.
/// </remarks>
internal sealed class AttemptLimits
{
    private static readonly TimeSpan Window = TimeSpan.FromMinutes(1);

    private readonly ISharedState _shared;
    private readonly OrganisationCertificates _certificates;
    private readonly IIdentificationObserver _observer;
    private readonly TimeProvider _time;
    private readonly int _limit;
    private readonly MemoryState _alone;
    private readonly RecentCache<string, DateTimeOffset> _until = new(100_000);
    private readonly Counter<long> _failed, _held;
    private volatile bool _isAnyHeld;

    public AttemptLimits(ISharedState shared, OrganisationCertificates certificates, IIdentificationObserver observer, GatewayOptions options, TimeProvider time, IMeterFactory meters)
    {
        (_shared, _certificates, _observer, _time, _limit) = (shared, certificates, observer, time, options.Identification.FailuresPerMinute);
        _alone = new(time);
        var meter = meters.Create("KantaGateway.Identification");
        _failed = meter.CreateCounter<long>("kanta.identification.failed", "{attempt}", "Attempts to identify that failed.");
        _held = meter.CreateCounter<long>("kanta.identification.held", "{attempt}", "Attempts that were refused because too many had failed.");
    }

    /// <summary>How long the caller has to wait; null: not at all.</summary>
    public TimeSpan? Wait(HttpContext context)
    {
        if (!_isAnyHeld || !_until.TryGet(KeyOf(context), out var until) || until - _time.GetUtcNow() is not { Ticks: > 0 } left)
            return null;
        _held.Add(1);
        return left;
    }

    /// <summary>The refusal of who has to wait: 429, with Retry-After in whole seconds, 1 or more, on the response.</summary>
    public static Fault Refuse(HttpContext context, TimeSpan wait)
    {
        context.Response.Headers.RetryAfter = Math.Max(1, (int)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        return new(FaultKind.TooMany, "Too many attempts to identify have failed from here. Wait for as long as Retry-After says, and mend what was wrong before.");
    }

    /// <summary>An attempt has failed and was told so. The one that makes them too many is recorded as such.</summary>
    public async ValueTask FailedAsync(HttpContext context)
    {
        _failed.Add(1);
        var key = KeyOf(context);
        var name = "failures:" + Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
        long count;
        try
        {
            count = await _shared.CountAsync(name, Window).ConfigureAwait(false);
        }
        catch (SharedStateException)
        {
            count = await _alone.CountAsync(name, Window).ConfigureAwait(false);
        }
        var now = _time.GetUtcNow();
        if (count < _limit || (_until.TryGet(key, out var until) && until > now))
            return;
        _until.Set(key, now + Window);
        _isAnyHeld = true;
        await _observer.RefusedAsync(context, "", "Too many attempts to identify have failed from here; what follows within a minute is refused without an entry of its own.", context.RequestAborted).ConfigureAwait(false);
    }

    private string KeyOf(HttpContext context) =>
        context.Connection.ClientCertificate is { } certificate && _certificates.Examine(certificate) is { IsIssued: true } facts
            ? "certificate:" + facts.Thumbprint : "address:" + PrefixOf(context.Connection.RemoteIpAddress);

    private static string PrefixOf(IPAddress? address)
    {
        if (address is { IsIPv4MappedToIPv6: true })
            address = address.MapToIPv4();
        return address is { AddressFamily: AddressFamily.InterNetworkV6 } ? Convert.ToHexString(address.GetAddressBytes().AsSpan(0, 8)) : address?.ToString() ?? "";
    }
}
