using System.Buffers.Text;
using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Gateway.Breach;

/// <summary>As what a person is watched.</summary>
enum WatchedAs
{
    /// <summary>Nobody: whoever asks for her has no reason.</summary>
    Canary,

    /// <summary>Somebody about whom others are curious.</summary>
    Vip,

    /// <summary>Somebody who works for an organisation, for those who ask for it.</summary>
    Colleague,
}

/// <summary>
/// Whose records are watched: a file that all gateways share, with one line a person, <c>canary [digest]</c>, <c>vip [digest]</c> or <c>colleague [digest] [OID of the organisation]</c>. The digest is an HMAC-SHA256 of the
/// pseudonym under a key that comes of the identifier key: who reads the file learns of nobody, and a gateway knows whom it is asked for. Thread-safe.
/// </summary>
sealed class WatchedPeople
{
    private static readonly long LookEvery = TimeSpan.TicksPerSecond;
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5), AskAgain = TimeSpan.FromMilliseconds(10);

    private readonly string _file;
    private readonly byte[] _key;
    private readonly TimeProvider _time;
    private readonly ILogger<WatchedPeople> _logger;
    private readonly Lock _reading = new();
    private long _lookedAt;
    private (DateTime At, long Length) _stamp;
    private volatile FrozenDictionary<string, StringValues> _people;

    /// <exception cref="InvalidDataException">The file is not such a list.</exception>
    /// <exception cref="IOException">It is not there.</exception>
    public WatchedPeople(GatewayOptions options, IdentifierKey key, TimeProvider time, ILogger<WatchedPeople> logger)
    {
        (_file, _time, _logger) = (options.Breach!.PeopleFile!, time, logger);
        _key = key.Derive("kanta watched people");
        if (options.CreateStores && !File.Exists(_file))
        {
            OwnerOnly.CreateFolder(Path.GetDirectoryName(Path.GetFullPath(_file))!);
            OwnerOnly.WriteWhole(_file, []);
        }
        _people = Read();
    }

    /// <summary>Whether a person is a canary.</summary>
    public bool IsCanary(Pseudonym person) => Current is { Count: > 0 } people && people.ContainsKey(NameOf(WatchedAs.Canary, DigestOf(person)));

    /// <summary>Whether a person is one of those.</summary>
    public bool IsVip(Pseudonym person) => Current is { Count: > 0 } people && people.ContainsKey(NameOf(WatchedAs.Vip, DigestOf(person)));

    /// <summary>Whether a person works for an organisation.</summary>
    /// <param name="organisation">OID, dotted.</param>
    public bool IsColleague(Pseudonym person, string organisation) =>
        Current is { Count: > 0 } people && people.TryGetValue(NameOf(WatchedAs.Colleague, DigestOf(person)), out var at) && at.Contains(organisation);

    /// <summary>How many there are of a kind.</summary>
    public int Count(WatchedAs kind) => Current.Where(one => one.Key.StartsWith(NameOf(kind, ""), StringComparison.Ordinal)).Sum(static one => one.Value.Count);

    /// <summary>A name of a canary for those who decide about her: what the file says of her, which tells nobody who she is.</summary>
    public string CanaryNameOf(Pseudonym person) => CanaryName + DigestOf(person);

    /// <summary>Whether a canary has that name.</summary>
    public bool IsCanary(string name) => name.StartsWith(CanaryName, StringComparison.Ordinal) && Current.ContainsKey(NameOf(WatchedAs.Canary, name[CanaryName.Length..]));

    /// <summary>Takes a canary off by her name; that two persons have decided so is the caller's to know.</summary>
    /// <returns>False: she is not there.</returns>
    /// <exception cref="IOException">It could not be written.</exception>
    public Task<bool> RemoveCanaryAsync(string name, CancellationToken cancel) =>
        ChangeAsync((people, line) => people.Contains(line) ? [.. people.Where(one => one != line)] : null, NameOf(WatchedAs.Canary, name[CanaryName.Length..]), cancel);

    private const string CanaryName = "canary/";

    /// <summary>Adds a person; it is on disk with the return, and known to every gateway within a second.</summary>
    /// <param name="organisation">Of a colleague: OID, dotted.</param>
    /// <returns>False: the person is there.</returns>
    /// <exception cref="IOException">It could not be written.</exception>
    public Task<bool> AddAsync(WatchedAs kind, Pseudonym person, string? organisation, CancellationToken cancel) => ChangeAsync((people, line) => people.Contains(line) ? null : [.. people, line], LineOf(kind, person, organisation), cancel);

    /// <summary>Takes a person off.</summary>
    /// <returns>False: the person is not there.</returns>
    /// <inheritdoc cref="AddAsync"/>
    public Task<bool> RemoveAsync(WatchedAs kind, Pseudonym person, string? organisation, CancellationToken cancel) => ChangeAsync((people, line) => people.Contains(line) ? [.. people.Where(one => one != line)] : null, LineOf(kind, person, organisation), cancel);

    private async Task<bool> ChangeAsync(Func<string[], string, string[]?> change, string line, CancellationToken cancel)
    {
        using var turn = await TakeTurnAsync(cancel).ConfigureAwait(false);
        if (change(await File.ReadAllLinesAsync(_file, cancel).ConfigureAwait(false), line) is not { } lines)
            return false;
        OwnerOnly.WriteWhole(_file, Encoding.ASCII.GetBytes(string.Concat(lines.Select(static one => one + "\n"))), overwrite: true);
        lock (_reading)
            _people = Read();
        return true;
    }

    private async Task<IDisposable> TakeTurnAsync(CancellationToken cancel)
    {
        var began = System.Diagnostics.Stopwatch.StartNew();
        while (true)
            try
            {
                return OwnerOnly.OpenFile(_file + ".lock", FileShare.None);
            }
            catch (IOException) when (began.Elapsed < LongestWait)
            {
                await Task.Delay(AskAgain, cancel).ConfigureAwait(false);
            }
    }

    private FrozenDictionary<string, StringValues> Current
    {
        get
        {
            var looked = Volatile.Read(ref _lookedAt);
            var now = _time.GetUtcNow().UtcTicks;
            if ((ulong)(now - looked) >= (ulong)LookEvery && Interlocked.CompareExchange(ref _lookedAt, now, looked) == looked)
                try
                {
                    lock (_reading)
                        if (StampOf() != _stamp)
                            _people = Read();
                }
                catch (Exception failure) when (failure is IOException or InvalidDataException or UnauthorizedAccessException)
                {
                    // Whoever was watched is watched on.
                    BreachLog.NoPeople(_logger, failure.Message);
                }
            return _people;
        }
    }

    private (DateTime, long) StampOf() => new FileInfo(_file) is { Exists: true } file ? (file.LastWriteTimeUtc, file.Length) : throw new FileNotFoundException($"{_file} has gone.");

    private FrozenDictionary<string, StringValues> Read()
    {
        // From before it is read: what is written meanwhile is read the next time.
        var stamp = StampOf();
        var people = new Dictionary<string, StringValues>(StringComparer.Ordinal);
        foreach (var line in File.ReadAllLines(_file))
        {
            var parts = line.Split(' ');
            if (parts is not [{ } kind, { Length: 43 } digest, ..] || !Base64Url.IsValid(digest) || parts.Length != (kind == "colleague" ? 3 : 2) || kind is not ("canary" or "vip" or "colleague"))
                throw new InvalidDataException($"{_file}: a line is not one of the list of watched people.");
            var name = $"{kind} {digest}";
            people[name] = StringValues.Concat(people.GetValueOrDefault(name), parts.Length == 3 ? parts[2] : "");
        }
        _stamp = stamp;
        return people.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private string LineOf(WatchedAs kind, Pseudonym person, string? organisation) => kind == WatchedAs.Colleague ? $"{NameOf(kind, DigestOf(person))} {organisation}" : NameOf(kind, DigestOf(person));

    private static string NameOf(WatchedAs kind, string digest) => kind switch { WatchedAs.Canary => "canary ", WatchedAs.Vip => "vip ", _ => "colleague " } + digest;

    private string DigestOf(Pseudonym person)
    {
        Span<byte> bytes = stackalloc byte[Pseudonym.Size], digest = stackalloc byte[HMACSHA256.HashSizeInBytes];
        person.Write(bytes);
        HMACSHA256.HashData(_key, bytes, digest);
        return Base64Url.EncodeToString(digest);
    }
}

/// <summary>The deployment's identifier key, for keys that come of it: each for one purpose.</summary>
sealed class IdentifierKey(byte[] key)
{
    public byte[] Derive(string purpose) => HKDF.DeriveKey(HashAlgorithmName.SHA256, key, 32, info: Encoding.ASCII.GetBytes(purpose));
}
