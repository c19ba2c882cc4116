using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What a gateway can say of a key that was given out for one of its grants.</summary>
enum GrantStanding
{
    /// <summary>Nothing that would account for it: no request was under way, or it was answered, and no entry has come since.</summary>
    Unaccounted,

    /// <summary>An entry about the person, by the same token, was on disk in the audit log when the key was given out, or after.</summary>
    Recorded,

    /// <summary>A request is.</summary>
    UnderWay,

    /// <summary>The request that it was for has ended, and nothing of an answer has left the gateway.</summary>
    NothingLeft,
}

/// <summary>What came of the requests that one token has made about one person. Thread-safe. Times are those of <see cref="TimeProvider.GetTimestamp"/>: nobody sets them.</summary>
public sealed class GrantAccount(Requester requester, Pseudonym person)
{
    private int _underWay;
    private long _recorded = long.MinValue, _left = long.MinValue, _ended = long.MinValue;

    public Requester Requester => requester;

    public Pseudonym Person => person;

    internal bool IsUnderWay => Volatile.Read(ref _underWay) > 0;

    internal void Begin() => Interlocked.Increment(ref _underWay);

    /// <param name="hasLeft">Whether something of an answer has left the gateway.</param>
    internal void End(long at, bool hasLeft)
    {
        // Before it is not under way any more: who looks in between finds it ended.
        Volatile.Write(ref hasLeft ? ref _left : ref _ended, at);
        Interlocked.Decrement(ref _underWay);
    }

    internal void Record(long at) => Volatile.Write(ref _recorded, at);

    /// <param name="given">When the key was given out; the later it is taken to be, the less accounts for it.</param>
    internal GrantStanding StandingOf(long given)
    {
        var isUnderWay = IsUnderWay;
        return Volatile.Read(ref _recorded) >= given ? GrantStanding.Recorded
            : Volatile.Read(ref _left) >= given ? GrantStanding.Unaccounted
            : isUnderWay ? GrantStanding.UnderWay
            : Volatile.Read(ref _ended) >= given ? GrantStanding.NothingLeft : GrantStanding.Unaccounted;
    }
}

/// <summary>A request that is under way under a grant.</summary>
public sealed class AccountedRequest(GrantAccount account, TimeProvider time) : IDisposable
{
    /// <summary>Something of an answer has left the gateway.</summary>
    public bool HasLeft { get; set; }

    public void Dispose() => account.End(time.GetTimestamp(), HasLeft);
}

/// <summary>
/// What came of the grants of this gateway, for the key service, which knows them by the digest of their id. A grant belongs to a token and a person, and so does an entry in the audit log: that is how they pair. Thread-safe.
/// Kept in two halves that change places when the key service has said of which grants it wants to know (<see cref="Turn"/>), so that none is forgotten before. Memory: some 300 bytes for each token and person of two minutes.
/// </summary>
public sealed class GrantAccounts(TimeProvider time)
{
    private const int Most = 1_000_000;
    private static readonly TimeSpan Half = TimeSpan.FromSeconds(75);

    private readonly Lock _turn = new();
    private volatile Halves _now = new(new(), new());
    private long _since = time.GetTimestamp();
    private int _added;

    private sealed class OneHalf
    {
        public readonly ConcurrentDictionary<(string Token, Pseudonym Person), GrantAccount> Accounts = [];
        public readonly ConcurrentDictionary<UInt128, GrantAccount> Grants = [];
    }

    private sealed record Halves(OneHalf Young, OneHalf Old);

    /// <summary>By what the key service knows a grant.</summary>
    /// <param name="id">Of the grant.</param>
    public static UInt128 DigestOf(string id)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(id), hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    /// <summary>A grant is signed, or sent again.</summary>
    public void Signed(UInt128 digest, Requester requester, Pseudonym person)
    {
        var now = _now;
        if (now.Young.Grants.TryAdd(digest, OpenIn(now, requester, person)) && Interlocked.Increment(ref _added) >= Most)
            Change();
    }

    /// <summary>A request about a person begins; it is over when this is disposed of.</summary>
    public AccountedRequest Begin(Requester requester, Pseudonym person)
    {
        var account = OpenIn(_now, requester, person);
        account.Begin();
        return new(account, time);
    }

    /// <summary>An entry about a person, of what a token was used for, is on disk in the audit log.</summary>
    public void Recorded(string token, Pseudonym person)
    {
        var now = _now;
        var at = time.GetTimestamp();
        // Two where one was opened while the halves changed places.
        if (now.Young.Accounts.TryGetValue((token, person), out var account))
            account.Record(at);
        if (now.Old.Accounts.TryGetValue((token, person), out var older))
            older.Record(at);
    }

    /// <summary>Of a grant of this gateway; null: it has signed none of that digest lately.</summary>
    /// <param name="digest">32 hexadecimal digits.</param>
    internal GrantAccount? Find(string digest)
    {
        var now = _now;
        if (!UInt128.TryParse(digest, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value))
            return null;
        if (now.Young.Grants.TryGetValue(value, out var account))
            return account;
        // Asked about, it stays.
        return now.Old.Grants.TryGetValue(value, out account) ? now.Young.Grants.GetOrAdd(value, account) : null;
    }

    /// <summary>Forgets what is older than the key service still asks about; to be called after it has.</summary>
    internal void Turn()
    {
        if (time.GetElapsedTime(Volatile.Read(ref _since)) >= Half)
            Change();
    }

    private void Change()
    {
        lock (_turn)
        {
            var young = new OneHalf();
            // Its entry is still to come, however long it takes.
            foreach (var (key, account) in _now.Old.Accounts)
                if (account.IsUnderWay)
                    young.Accounts[key] = account;
            _now = new(young, _now.Young);
            (_since, _added) = (time.GetTimestamp(), 0);
        }
    }

    private static GrantAccount OpenIn(Halves now, Requester requester, Pseudonym person)
    {
        var key = (requester.TokenId, person);
        return now.Young.Accounts.TryGetValue(key, out var account) ? account
            : now.Young.Accounts.GetOrAdd(key, now.Old.Accounts.TryGetValue(key, out var older) ? older : new(requester, person));
    }
}
