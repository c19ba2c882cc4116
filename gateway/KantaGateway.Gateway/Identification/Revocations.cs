using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Gateway.Identification;

/// <summary>What can be revoked; kept and shared as a digest, so that whoever reads the store learns no name.</summary>
internal readonly record struct RevokedName
{
    private RevokedName(string kind, string value) =>
        Digest = Base64Url.EncodeToString(SHA256.HashData(Encoding.UTF8.GetBytes(kind + "\0" + value)));

    public string Digest { get; }

    /// <param name="jti">Of an access token.</param>
    public static RevokedName Token(string jti) => new("token", jti);

    /// <summary>All that a client has been given.</summary>
    public static RevokedName Client(string clientId) => new("client", clientId);

    /// <summary>All that a professional has been given through an organisation's systems.</summary>
    public static RevokedName Professional(string organisation, string id) => new("professional", organisation + "\0" + id);

    /// <summary>One session of a citizen.</summary>
    public static RevokedName Session(string session) => new("session", session);

    /// <param name="id">Of an <see cref="AppGrant"/>, or of what a code was turned into without one: every access token of it.</param>
    public static RevokedName Grant(string id) => new("grant", id);

    /// <summary>The tokens that apps have been given by a citizen.</summary>
    public static RevokedName AppsOf(Pseudonym person) => new("apps", person.Encode());

    /// <summary>The tokens that one app has been given by a citizen.</summary>
    public static RevokedName AppOf(Pseudonym person, string clientId) => new("app", person.Encode() + "\0" + clientId);

    /// <param name="session">A session of the citizens' broker (<c>sid</c>): all that began with it.</param>
    public static RevokedName BrokerSession(string session) => new("broker-session", session);

    /// <param name="subject">A subject of the citizens' broker (<c>sub</c>): all that began with it.</param>
    public static RevokedName BrokerSubject(string subject) => new("broker-subject", subject);

    /// <summary>All that a citizen has been given.</summary>
    public static RevokedName Person(Pseudonym person) => new("person", person.Encode());

    /// <summary>All that who or what is contained has been given, and whatever goes on for them.</summary>
    public static RevokedName Contained(Operators.ContainedSubject subject) => new("contained", subject.Text);

    /// <summary>The names that an access token bears.</summary>
    /// <param name="requester">The organisation that the token is for.</param>
    /// <param name="professional">Id of the professional; null in a system's own token.</param>
    /// <param name="person">The citizen; null in any token but an app's.</param>
    /// <param name="grant">What it came of; null in any token but an app's.</param>
    public static RevokedName[] OfToken(string jti, RegisteredClient client, RegisteredRequester requester, string? professional, Pseudonym? person, string? grant) =>
        [Token(jti), .. Of(client, requester, professional, person), .. grant is null ? (ReadOnlySpan<RevokedName>)[] : [Grant(grant)]];

    /// <summary>The names that a refresh token bears.</summary>
    /// <inheritdoc cref="OfToken"/>
    public static RevokedName[] OfGrant(string grant, RegisteredClient client, RegisteredRequester requester, string? professional, Pseudonym? person) =>
        [Grant(grant), .. Of(client, requester, professional, person)];

    private static IEnumerable<RevokedName> Of(RegisteredClient client, RegisteredRequester requester, string? professional, Pseudonym? person)
    {
        yield return Client(client.ClientId);
        yield return Contained(Operators.ContainedSubject.Client(client.ClientId));
        foreach (var organisation in Operators.ContainedSubject.OrganisationsOf(client.Organisation))
            yield return Contained(organisation);
        if (requester.Organisation != client.Organisation)
            foreach (var organisation in Operators.ContainedSubject.OrganisationsOf(requester.Organisation))
                yield return Contained(organisation);
        if (professional is not null)
        {
            yield return Professional(requester.Organisation.ToString(), professional);
            // Of the two, the one by which professionals go here.
            yield return Contained(Operators.ContainedSubject.Professional(true, "", professional));
            yield return Contained(Operators.ContainedSubject.Professional(false, requester.Organisation.ToString(), professional));
        }
        if (person is { } self)
        {
            yield return AppsOf(self);
            yield return AppOf(self, client.ClientId);
        }
    }
}

/// <summary>
/// What is no longer accepted although its own end has not come (RFC 7009 and the like). Once <see cref="RevokeAsync"/> has
/// returned, no gateway of the deployment accepts it in a request that begins later.
/// </summary>
/// <remarks>
/// Every gateway holds the whole list in memory, so asking costs no request to anybody. It may rely on what it holds for
/// two seconds from its last look at the shared log (its lease). Whoever revokes waits until each gateway has said that it has
/// applied the entry, or its lease has run out; a gateway whose lease has run out accepts nothing. Without a shared
/// store there is one gateway and nothing to wait for. Thread-safe.
/// </remarks>
/// <param name="capacity">Entries at most; a person's lives as long as a session, a token's five minutes.</param>
internal sealed class Revocations(IRevocationLog? log, TimeProvider time, int capacity = 200_000)
{
    /// <summary>How long a gateway may go on without having looked at the log.</summary>
    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(2);

    /// <summary>The log counts a lease a little longer than its holder: two clocks never run quite alike.</summary>
    private static readonly TimeSpan LeaseInLog = Lease * 1.1;

    /// <summary>What has ended is forgotten whenever so many have come.</summary>
    private const int TidyEvery = 1_000;

    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(10);

    private readonly string _gateway = Guid.NewGuid().ToString("N");
    private readonly ConcurrentDictionary<string, Revocation> _entries = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _turn = new(1, 1);
    private long _epoch, _applied, _trustedSince, _reconnected;
    private int _sinceTidied;
    private bool _isTrusted, _hasReconnected;
    private Revocation? _last;

    /// <summary>Something has been revoked: what goes on may have to end.</summary>
    public event Action? Changed;

    /// <summary>Changes whenever something has been revoked: what was looked up under the same epoch need not be looked up again.</summary>
    public long Epoch => Volatile.Read(ref _epoch);

    /// <summary>
    /// Where the list is now. What is begun under a mark is ended by revocations after it only; so who was signed out
    /// everywhere can sign in again.
    /// </summary>
    public long Mark => Volatile.Read(ref _applied);

    /// <summary>Entries that are held, those that have ended lately too.</summary>
    public int Held => _entries.Count;

    /// <summary>Whether what this gateway holds may be relied on. If not, nobody may be let in: 503.</summary>
    public bool IsCurrent => log is null || (Volatile.Read(ref _isTrusted) && time.GetElapsedTime(Volatile.Read(ref _trustedSince)) < Lease);

    /// <summary>Whether a name is revoked.</summary>
    /// <exception cref="SharedStateException">This gateway cannot know: see <see cref="IsCurrent"/>.</exception>
    public bool IsRevoked(RevokedName name) => IsRevoked(name, long.MinValue);

    /// <summary>Whether a name has been revoked after a <see cref="Mark"/>.</summary>
    /// <exception cref="SharedStateException">This gateway cannot know: see <see cref="IsCurrent"/>.</exception>
    public bool IsRevoked(RevokedName name, long mark) => IsCurrent
        ? _entries.TryGetValue(name.Digest, out var entry) && entry.Until > time.GetUtcNow() && entry.Sequence > mark
        : throw new SharedStateException("What has been revoked is not known at the moment.");

    /// <summary>Whether this gateway knows that a name is revoked, however long ago it last looked: for what has been let in, and may have to end.</summary>
    public bool IsKnownRevoked(RevokedName name) => _entries.TryGetValue(name.Digest, out var entry) && entry.Until > time.GetUtcNow();

    /// <summary>Revokes a name at every gateway.</summary>
    /// <param name="until">When what bears the name ends anyway.</param>
    /// <exception cref="SharedStateException">It may or may not be in force everywhere; do it again.</exception>
    public async ValueTask RevokeAsync(RevokedName name, DateTimeOffset until, CancellationToken cancel = default)
    {
        // What is told has milliseconds; never less than what was asked.
        until = DateTimeOffset.FromUnixTimeMilliseconds(until.ToUnixTimeMilliseconds() + 1);
        MakeRoom();
        if (log is null)
        {
            Apply(new(name.Digest, until, Interlocked.Increment(ref _applied)));
            Interlocked.Increment(ref _epoch);
            Changed?.Invoke();
            return;
        }
        // After a failover the log may not know of leases that it gave before. They have run out by then.
        while (Volatile.Read(ref _hasReconnected) && time.GetElapsedTime(Volatile.Read(ref _reconnected)) is var ago && ago < LeaseInLog)
            await Task.Delay(LeaseInLog - ago, time, cancel).ConfigureAwait(false);
        var sequence = await log.AddAsync(name.Digest, until, anew: true).ConfigureAwait(false);
        await RenewAsync().ConfigureAwait(false);
        var began = time.GetTimestamp();
        while (await log.IsAwaitedAsync(sequence, LeaseInLog).ConfigureAwait(false))
        {
            // No gateway renews for this long without applying what it was given.
            if (time.GetElapsedTime(began) > 2 * LeaseInLog)
                throw new SharedStateException("A gateway has not confirmed the revocation.");
            await Task.Delay(AskAgain, time, cancel).ConfigureAwait(false);
        }
        // A failover between the two steps may have lost it, and its number may have become another's.
        if (!_entries.TryGetValue(name.Digest, out var entry) || entry.Until < until)
            throw new SharedStateException("The revocation has been lost.");
    }

    /// <summary>Looks at the log, applies what is new, says so, and prolongs the lease. <see cref="RevocationLease"/> does it all the time.</summary>
    /// <exception cref="SharedStateException">The log does not answer; the lease runs on from the last time.</exception>
    public async ValueTask RenewAsync()
    {
        if (log is null)
            return;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            for (var round = 0; round < 10; round++)
            {
                // From before the question: the log's lease begins later and lasts longer.
                var asked = time.GetTimestamp();
                var news = await log.RenewAsync(_gateway, _applied, _last, LeaseInLog).ConfigureAwait(false);
                foreach (var entry in news.Entries)
                    Apply(entry);
                if (news.Entries.Count > 0)
                {
                    Interlocked.Increment(ref _epoch);
                    Changed?.Invoke();
                }
                // Not only who revokes has to make room.
                if ((_sinceTidied += news.Entries.Count) >= TidyEvery)
                    Tidy();
                if (news.IsBehind)
                    await RestoreAsync(news.Entries).ConfigureAwait(false);
                _last = news.Entries.Count > 0 ? news.Entries[^1] : news.IsBehind ? null : _last;
                Volatile.Write(ref _applied, news.Sequence);
                if (news.IsBehind)
                    continue;
                Volatile.Write(ref _trustedSince, asked);
                Volatile.Write(ref _isTrusted, true);
                // Applied, and the log does not know it yet: say so at once, somebody waits for it.
                if (news.Entries.Count == 0)
                    return;
            }
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Makes the next revocations wait until every lease from before has run out.</summary>
    public void Reconnected()
    {
        Volatile.Write(ref _reconnected, time.GetTimestamp());
        Volatile.Write(ref _hasReconnected, true);
    }

    /// <summary>The log has forgotten entries, as a failover may make it: each gateway adds what it still holds.</summary>
    private async ValueTask RestoreAsync(IReadOnlyList<Revocation> known)
    {
        var there = known.Select(entry => (entry.Name, entry.Until)).ToHashSet();
        var now = time.GetUtcNow();
        foreach (var entry in _entries.Values)
            if (entry.Until > now && !there.Contains((entry.Name, entry.Until)))
                await log!.AddAsync(entry.Name, entry.Until, anew: false).ConfigureAwait(false);
    }

    private void Apply(Revocation entry) => _entries.AddOrUpdate(entry.Name, entry, (_, old) =>
        new(entry.Name, old.Until > entry.Until ? old.Until : entry.Until, Math.Max(old.Sequence, entry.Sequence)));

    private void MakeRoom()
    {
        if (_entries.Count < capacity)
            return;
        Tidy();
        if (_entries.Count >= capacity)
            throw new SharedStateException("Too much has been revoked at once.");
    }

    private void Tidy()
    {
        _sinceTidied = 0;
        var now = time.GetUtcNow();
        foreach (var entry in _entries)
            if (entry.Value.Until <= now)
                _entries.TryRemove(entry);
    }
}

/// <summary>Keeps the lease of this gateway.</summary>
internal sealed partial class RevocationLease(Revocations revocations, ILogger<RevocationLease> logger, IRevocationLog? log = null) : BackgroundService
{
    private static readonly TimeSpan Every = Revocations.Lease / 4;

    private readonly SemaphoreSlim _told = new(0, 1);
    private bool _isSubscribed, _isAway;

    public override void Dispose()
    {
        base.Dispose();
        _told.Dispose();
    }

    /// <summary>Before the first request is served, where the log answers.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (log is null)
            return;
        await LookAsync().ConfigureAwait(false);
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await _told.WaitAsync(Every, stoppingToken).ConfigureAwait(false);
                await LookAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // A host that is only disposed would call this a failure.
        }
    }

    private async Task LookAsync()
    {
        try
        {
            if (!_isSubscribed)
            {
                await log!.SubscribeAsync(Tell, revocations.Reconnected).ConfigureAwait(false);
                _isSubscribed = true;
            }
            await revocations.RenewAsync().ConfigureAwait(false);
            if (_isAway)
                LogBack();
            _isAway = false;
        }
        catch (SharedStateException)
        {
            if (!_isAway)
                LogAway();
            _isAway = true;
        }
    }

    private void Tell()
    {
        try
        {
            _told.Release();
        }
        catch (Exception alreadyTold) when (alreadyTold is SemaphoreFullException or ObjectDisposedException)
        {
        }
    }

    [LoggerMessage(1110, LogLevel.Error, "The shared list of revocations does not answer. Two seconds after its last answer nobody is let in.")]
    private partial void LogAway();

    [LoggerMessage(1111, LogLevel.Information, "The shared list of revocations answers again.")]
    private partial void LogBack();
}
