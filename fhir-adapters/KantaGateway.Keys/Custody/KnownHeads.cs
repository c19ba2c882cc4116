using System.Buffers.Binary;
using System.Security.Cryptography;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;

namespace KantaGateway.Keys.Custody;

/// <summary>What is known of a person's record.</summary>
/// <param name="Head">How far it was when somebody last told.</param>
/// <param name="Place">Which of the people it is, from 0; nobody gets the place of another.</param>
readonly record struct KnownHead(CompartmentHead Head, int Place);

/// <summary>
/// How far the records are, as those tell who have them open: whoever opens one later is told, and sees whether the store still has what it had. Thread-safe.
/// </summary>
/// <remarks>
/// <c>heads</c> in the custody folder, 64 bytes a person in a place of their own: a digest of the person that stands nowhere else (16), the sequence (8, big-endian), the digest of the head (16), the time of
/// telling in milliseconds since the epoch (8), and an HMAC (16), whose key is made by the custody key. It names nobody. One place, of the digest zero, has in the sequence how often the file has changed: so that whoever has seen more knows
/// that it was put back. The place of who was forgotten stays empty. A write changes whole places, so a torn one is one person's, and shows by the HMAC. Memory: about 70 bytes a person.
/// </remarks>
sealed partial class KnownHeads(string folder, byte[] macKey, TimeProvider time, ILogger<KnownHeads> logger) : IDisposable
{
    private const int Size = 64, MacAt = 48;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly Lock _gate = new();
    private readonly string _path = Path.Combine(folder, "heads");
    private readonly Dictionary<Digest, KnownHead> _known = [];
    private int _places;

    /// <summary>Under which it is kept how often the file has changed: nobody's.</summary>
    private static readonly Digest Changed = default;

    /// <summary>How often anything has changed here, ever.</summary>
    public long Changes
    {
        get
        {
            lock (_gate)
                return _known.TryGetValue(Changed, out var counted) ? counted.Head.Sequence : 0;
        }
    }

    /// <summary>How often it had when the file was read.</summary>
    public long ChangesBefore { get; private set; }

    /// <summary>Below which all had their places then.</summary>
    public int PlacesBefore { get; private set; }

    /// <summary>Of this start alone.</summary>
    public Guid Start { get; } = Guid.NewGuid();

    /// <summary>Of how many people a head is known, and below which number all of them have their places; some are empty.</summary>
    public (int People, int Places) Count
    {
        get
        {
            lock (_gate)
                return (_known.Count - (_known.ContainsKey(Changed) ? 1 : 0), _places);
        }
    }

    /// <summary>Reads what was told. No file: nothing was.</summary>
    public void Open()
    {
        var (damaged, left) = (0, new List<int>());
        if (File.Exists(_path))
            _known.EnsureCapacity((int)(new FileInfo(_path).Length / Size));
        Span<byte> mac = stackalloc byte[Size - MacAt];
        foreach (var record in RecordFile.Read(_path, Size))
        {
            var place = _places++;
            if (IsEmpty(record))
                continue;
            MacOf(record, mac);
            var (person, known) = (PersonOf(record), new KnownHead(HeadOf(record), place));
            if (!CryptographicOperations.FixedTimeEquals(record.AsSpan(MacAt), mac))
            {
                damaged++;
                left.Add(place);
            }
            // A telling that failed has left one behind: whoever it was for was told so, and told it again.
            else if (!_known.TryAdd(person, known))
            {
                var isFurther = _known[person].Head.Sequence < known.Head.Sequence;
                left.Add(isFurther ? _known[person].Place : place);
                if (isFurther)
                    _known[person] = known;
            }
        }
        (ChangesBefore, PlacesBefore) = (Changes, _places);
        if (damaged > 0)
            LogDamaged(damaged);
        try
        {
            if (left.Count > 0)
                Write(left.Select(static place => (place, new byte[Size])));
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // They are left out again at the next start.
        }
    }

    /// <summary>Of how many people a head is known whose places are among some.</summary>
    public int CountPlaces(Func<int, bool> isOne)
    {
        lock (_gate)
            return _known.Count(one => one.Key != Changed && isOne(one.Value.Place));
    }

    /// <returns>Null: nothing is known.</returns>
    public KnownHead? Of(Digest person)
    {
        lock (_gate)
            return _known.TryGetValue(person, out var known) ? known : null;
    }

    /// <summary>Keeps heads that are further on than what is known; on disk when this returns. One that is not says nothing new.</summary>
    /// <exception cref="IOException">They may not be. Tell them again.</exception>
    public async Task TellAsync(IEnumerable<(Digest Person, CompartmentHead Head)> told)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            var (changes, places) = (new Dictionary<Digest, KnownHead>(), _places);
            foreach (var (person, head) in told)
            {
                var known = changes.TryGetValue(person, out var changed) ? changed : Of(person);
                if (known is { Head: var before } && before.Sequence == head.Sequence && before.Digest != head.Digest)
                    LogForked();
                if (known is null || known.Value.Head.Sequence < head.Sequence)
                    changes[person] = new(head, known?.Place ?? places++);
            }
            if (changes.Count > 0)
                Keep(changes, places);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Keeps the head of a record that was sealed anew in the place of what is known; on disk when this returns.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public async Task ReplaceAsync(Digest person, CompartmentHead head)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            var place = Of(person)?.Place ?? _places;
            Keep(new() { [person] = new(head, place) }, Math.Max(_places, place + 1));
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Forgets what is known of one person; on disk when this returns.</summary>
    /// <exception cref="IOException">It may not be.</exception>
    public async Task ForgetAsync(Digest person)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (Of(person) is { } known)
                Keep([], _places, [(person, known.Place)]);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Forgets what was told since a time; on disk when this returns.</summary>
    /// <param name="only">Of whom; null: of everybody.</param>
    /// <returns>Of how many people.</returns>
    /// <exception cref="IOException">It may not be.</exception>
    public async Task<int> ForgetSinceAsync(DateTimeOffset since, Digest? only)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            var forgotten = new List<(Digest Person, int Place)>();
            foreach (var (place, record) in RecordFile.Read(_path, Size).Index())
                if (!IsEmpty(record) && PersonOf(record) != Changed && BinaryPrimitives.ReadInt64BigEndian(record.AsSpan(40)) >= since.ToUnixTimeMilliseconds() && (only is null || PersonOf(record) == only))
                    forgotten.Add((PersonOf(record), place));
            if (forgotten.Count > 0)
                Keep([], _places, forgotten);
            return forgotten.Count;
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    /// <summary>On disk, and known, when this returns; counted as one more change.</summary>
    /// <param name="places">Below which all have their places.</param>
    private void Keep(Dictionary<Digest, KnownHead> changes, int places, IReadOnlyList<(Digest Person, int Place)>? forgotten = null)
    {
        changes[Changed] = new(new(Changes + 1, 0), Of(Changed)?.Place ?? places++);
        Write([.. (forgotten ?? []).Select(static one => (one.Place, new byte[Size])), .. changes.Select(change => (change.Value.Place, RecordOf(change.Key, change.Value.Head)))]);
        lock (_gate)
        {
            foreach (var (person, _) in forgotten ?? [])
                _known.Remove(person);
            foreach (var (person, known) in changes)
                _known[person] = known;
            _places = places;
        }
    }

    private void Write(IEnumerable<(int Place, byte[] Record)> records)
    {
        using var file = OwnerOnly.OpenFile(_path, FileShare.Read);
        if (file.Length < (long)_places * Size)
            throw new IOException("The file of known heads is shorter than it was.");
        foreach (var (place, record) in records)
            RandomAccess.Write(file.SafeFileHandle, record, (long)place * Size);
        RandomAccess.FlushToDisk(file.SafeFileHandle);
    }

    private byte[] RecordOf(Digest person, CompartmentHead head)
    {
        var record = new byte[Size];
        BinaryPrimitives.WriteUInt128BigEndian(record, person.Value);
        BinaryPrimitives.WriteInt64BigEndian(record.AsSpan(16), head.Sequence);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(24), head.Digest);
        BinaryPrimitives.WriteInt64BigEndian(record.AsSpan(40), time.GetUtcNow().ToUnixTimeMilliseconds());
        MacOf(record, record.AsSpan(MacAt));
        return record;
    }

    private static bool IsEmpty(byte[] record) => !record.AsSpan().ContainsAnyExcept((byte)0);

    private static Digest PersonOf(byte[] record) => new(BinaryPrimitives.ReadUInt128BigEndian(record));

    private static CompartmentHead HeadOf(ReadOnlySpan<byte> record) => new(BinaryPrimitives.ReadInt64BigEndian(record[16..]), BinaryPrimitives.ReadUInt128BigEndian(record[24..]));

    private void MacOf(ReadOnlySpan<byte> record, Span<byte> into)
    {
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(macKey, record[..MacAt], mac);
        mac[..into.Length].CopyTo(into);
    }

    [LoggerMessage(1305, LogLevel.Critical, "ALARM: of one person's record two pasts were told that have the same number of rows. The store was restored or exchanged while it was in use.")]
    private partial void LogForked();

    [LoggerMessage(1306, LogLevel.Critical, "{Count} of the known heads are damaged and left out: until those records are opened again, it is not noticed where the store has lost their ends.")]
    private partial void LogDamaged(int count);
}
