namespace KantaGateway.Gateway.Identification;

/// <summary>A token key that follows another one.</summary>
public sealed record FollowingTokenKey
{
    /// <summary>P-256 private key (PKCS#8 PEM), not one of those before it.</summary>
    public required string File { get; init; }

    /// <summary>
    /// When it takes over, the same on every gateway, UTC: <c>2027-01-31T03:00:00Z</c>. Later than that of the key before it, and far enough ahead that
    /// every gateway has been told of the key by then.
    /// </summary>
    public required DateTimeOffset SignsFrom { get; init; }
}

/// <summary>
/// The deployment's token keys, oldest first. What any of them signed or sealed is good, also before its time: another gateway's clock may be ahead.
/// One signs and seals.
/// </summary>
internal sealed class TokenKeys
{
    /// <summary>A gateway that has just been told of a key publishes it for this long before it signs with it, so that the other gateways can be told too.</summary>
    public static readonly TimeSpan Announcement = TimeSpan.FromMinutes(5);

    /// <summary>A key that took over this long ago is known everywhere: a gateway that starts signs with it at once.</summary>
    public static readonly TimeSpan Settled = TimeSpan.FromHours(1);

    private readonly DateTimeOffset[] _from;
    private readonly TimeProvider _time;

    /// <param name="all">One at least, oldest first.</param>
    public TokenKeys(IReadOnlyList<TokenKey> all, TimeProvider time)
    {
        (All, _time) = (all, time);
        var started = time.GetUtcNow();
        // Before the first there is none that could sign in its place.
        _from = [DateTimeOffset.MinValue, .. all.Skip(1).Select(key => key.SignsFrom > started - Settled && key.SignsFrom < started + Announcement ? started + Announcement : key.SignsFrom)];
    }

    public IReadOnlyList<TokenKey> All { get; }

    /// <summary>The one that signs and seals now.</summary>
    public TokenKey Newest => All[IndexOfNewest];

    public int IndexOfNewest
    {
        get
        {
            var newest = All.Count - 1;
            // A single one costs no look at the clock.
            if (newest > 0)
                for (var now = _time.GetUtcNow(); _from[newest] > now;)
                    newest--;
            return newest;
        }
    }

    /// <exception cref="InvalidDataException">A file holds no P-256 private key, or one that another file holds too.</exception>
    public static IReadOnlyList<TokenKey> Read(IdentificationOptions options)
    {
        TokenKey[] all = [new(options.TokenKeyFile), .. (options.FollowingTokenKeys ?? []).Select(key => new TokenKey(key.File, key.SignsFrom))];
        return all.DistinctBy(key => key.Signing.KeyId).Count() == all.Length ? all
            : throw new InvalidDataException("Two of the token key files hold the same key.");
    }
}
