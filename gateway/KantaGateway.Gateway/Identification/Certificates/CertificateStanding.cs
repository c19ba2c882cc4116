using Org.BouncyCastle.Math;

namespace KantaGateway.Gateway.Identification.Certificates;

/// <summary>What is known of whether a certificate, or one of those that its chain consists of, has been revoked, and how long that may be relied on.</summary>
/// <param name="chain">The certificate and its intermediates, each with the authority that issued it.</param>
/// <remarks>Thread-safe; one question at a time.</remarks>
internal sealed class CertificateStanding(IReadOnlyList<(RevocationInquiry Authority, BigInteger Serial)> chain, TimeProvider time)
{
    private readonly Lock _turn = new();
    private volatile Known? _known;
    private Task? _asking;

    /// <param name="RenewAt">From then on the authorities are asked again while this is still relied on.</param>
    private sealed record Known(RevocationStatus Status, DateTimeOffset Until, DateTimeOffset RenewAt);

    /// <summary>What may be relied on now. Asks nobody and waits for nothing; a renewal that is due begins behind it.</summary>
    public RevocationStatus At(DateTimeOffset now)
    {
        if (_known is not { } known || now >= known.Until)
            return RevocationStatus.Unknown;
        if (now >= known.RenewAt)
            _ = BeginAsync(now);
        return known.Status;
    }

    /// <summary>Completes when it is known as well as it can be now: at once while what is known may be relied on. Does not throw.</summary>
    public Task RenewAsync() => time.GetUtcNow() is var now && _known is { } known && now < known.Until ? Task.CompletedTask : BeginAsync(now);

    private Task BeginAsync(DateTimeOffset now)
    {
        lock (_turn)
            return _asking ?? (_known is { } known && now < known.RenewAt ? Task.CompletedTask : _asking = Task.Run(AskAsync));
    }

    private async Task AskAsync()
    {
        try
        {
            var answer = new RevocationAnswer(RevocationStatus.Good, DateTimeOffset.MaxValue);
            foreach (var (authority, serial) in chain)
                if (answer.Status != RevocationStatus.Revoked)
                    answer = Together(answer, await authority.AskAsync(serial).ConfigureAwait(false));
            var now = time.GetUtcNow();
            _known = answer.Status == RevocationStatus.Unknown && _known is { Status: not RevocationStatus.Unknown } kept && now < kept.Until
                ? kept with { RenewAt = answer.Until }
                : new(answer.Status, answer.Until, answer.Status == RevocationStatus.Unknown ? answer.Until : now + (answer.Until - now) / 3 * 2);
        }
        finally
        {
            lock (_turn)
                _asking = null;
        }
    }

    /// <summary>One that is revoked decides, else one that is unknown.</summary>
    private static RevocationAnswer Together(RevocationAnswer one, RevocationAnswer other) =>
        other.Status == RevocationStatus.Revoked ? other
            : new(one.Status == RevocationStatus.Good ? other.Status : one.Status, SignedByAuthority.Earlier(one.Until, other.Until));
}
