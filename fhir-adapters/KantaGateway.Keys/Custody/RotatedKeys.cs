using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys.Custody;

/// <summary>A new data key of a person that takes the place of the one that there is, and the record that is sealed anew for it.</summary>
/// <param name="Act">Whose it is.</param>
/// <param name="Mark">Of the new key.</param>
/// <param name="Wrapped">The new key.</param>
/// <param name="Before">Where the record ended under the old key, when it was sealed anew; none: it is not yet.</param>
/// <param name="After">Where it ends under the new one.</param>
sealed record PendingKey(Digest Act, Digest Mark, byte[] Wrapped, CompartmentHead Before, CompartmentHead After);

/// <summary>What is known of the data keys of one person that was rotated, or is being.</summary>
/// <param name="Marks">Of the keys that are given out; none: it was not rotated yet, and whatever opens is.</param>
/// <param name="Count">How often it was rotated.</param>
/// <param name="Pending">The rotation that is under way.</param>
/// <param name="Last">The one that was done last.</param>
sealed record PersonKeys(ImmutableArray<Digest> Marks, int Count, PendingKey? Pending, PendingKey? Last)
{
    public static PersonKeys None { get; } = new([], 0, null, null);
}

/// <summary>Where a rotation is.</summary>
/// <param name="Key">The old key; null: the rotation is done.</param>
/// <param name="NewKey">Null: the rotation is done.</param>
/// <param name="Wrapped">The new key, wrapped.</param>
/// <param name="Mark">Of the new key.</param>
/// <param name="Done">Of one that is done.</param>
sealed record RotationStep(byte[]? Key, byte[]? NewKey, byte[] Wrapped, Digest Mark, PendingKey? Done);

/// <summary>
/// Which data keys are valid of those people whose key was rotated: any other of theirs opens nothing any more, whatever copy of the store it comes from. Thread-safe.
/// </summary>
/// <remarks>
/// A rotation is three records: the new key is made; the record is sealed anew and about to take the place of the old one in the store, and where it ends is known; it has. Until the last one both keys are
/// given out, for which of the two the store has is not known here. Who asks for the new one shows that the store has it: only the repository that seals was told of it.
/// <c>rotated</c> in the custody folder, <see cref="ChainedRecords"/> of 200 bytes: which of them (1), the digest of the person at 8 (16), of the act (16), the time in milliseconds since the epoch (8, big-endian), the mark
/// of the new key (16), the new key wrapped (65, until it is in use), at 136 the sequence (8), the digest of the new head (16) and of the old one (16), and the HMAC, whose key is made by the custody key. It names
/// nobody, and a mark is an HMAC too. Where it ends stands in the record of the ceremonies, which no start goes without.
/// A backup of the folder knows nothing of what is rotated after it: that comes from the copy, which is as long or longer.
/// </remarks>
sealed partial class RotatedKeys(KeysOptions options, byte[] macKey, KeyCeremonies ceremonies, DataKeys keys, KnownHeads heads, CustodyLog log, TimeProvider time, ILogger<RotatedKeys> logger) : IDisposable
{
    private const int Size = 200;

    private enum Step : byte { Begun = 1, Sealed = 2, Done = 3, Made = 4 }

    private readonly SemaphoreSlim _turn = new(1);
    private readonly string _path = Path.Combine(options.CustodyFolder, "rotated");
    private readonly ChainedRecords _records = new(Path.Combine(options.CustodyFolder, "rotated"), Size, macKey, options.RotatedCopyFile);
    private readonly ConcurrentDictionary<Digest, PersonKeys> _people = new();

    /// <summary>Reads what was rotated. No file: nothing was.</summary>
    /// <param name="onRecord">Whose old key the custody log says opens nothing any more. Asked where the ceremonies do not say where the file ends.</param>
    /// <exception cref="InvalidOperationException">The file, or its copy, is not as this service left it; says what to do.</exception>
    public void Open(IEnumerable<Digest> onRecord)
    {
        if (!_records.TryOpen(ceremonies.Rotated, record => Apply(record.Span)) || (ceremonies.Rotated is null && !onRecord.All(_people.ContainsKey)))
            throw _records.Broken("which data keys open nothing any more", nameof(KeysOptions.RotatedCopyFile));
    }

    /// <summary>Brings each of the two files to where the other is, and has the ceremonies keep where they end, if they do not say it already.</summary>
    /// <exception cref="IOException">It may not be on disk.</exception>
    public async Task KeepEndAsync()
    {
        _records.Level();
        if ((ceremonies.Rotated?.Count ?? 0) != _records.End.Count)
            await ceremonies.KeepAsync(rotated: _records.End).ConfigureAwait(false);
    }

    /// <summary>Whether nobody's key was rotated.</summary>
    public bool IsEmpty => _people.IsEmpty;

    /// <summary>How often a person's data key was rotated.</summary>
    public int RotationsOf(Digest person) => _people.TryGetValue(person, out var of) ? of.Count : 0;

    /// <summary>Whether a data key is one of its compartment still, or is to be.</summary>
    public bool IsKept(Digest person, Pseudonym compartment, byte[] key) => !_people.TryGetValue(person, out var of) || IsKept(of, MarkOf(compartment, key));

    /// <summary>Whether a data key may be given out. With the first time that the new one of a rotation is asked for, the store has it, and the old one opens nothing any more.</summary>
    /// <exception cref="IOException">That may not be on disk.</exception>
    public async ValueTask<bool> MayGiveAsync(KeyRequest request, Pseudonym compartment, byte[] key)
    {
        if (!_people.TryGetValue(request.Person, out var of))
            return true;
        var mark = MarkOf(compartment, key);
        return of.Pending?.Mark == mark ? await EndAsync(request, mark).ConfigureAwait(false) is not null : IsKept(of, mark);
    }

    /// <summary>Keeps that a new record was begun for a person of whom none was known, under a key of its own.</summary>
    /// <exception cref="IOException">It may not be on disk: give the key to nobody.</exception>
    public async ValueTask MadeAsync(KeyRequest request, Pseudonym compartment, byte[] key)
    {
        if (!_people.ContainsKey(request.Person))
            return;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            await AppendAsync(Step.Made, request.Person, new(request.Grant, MarkOf(compartment, key), [], default, default)).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Begins a rotation, or goes on with one.</summary>
    /// <param name="wrapped">The data key as the store has it.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <returns>Null: it is no key of this compartment.</returns>
    /// <exception cref="IOException">It may not be on disk. Ask again.</exception>
    public async Task<RotationStep?> BeginAsync(KeyRequest request, Pseudonym compartment, byte[] wrapped, CancellationToken cancel)
    {
        if (await keys.UnwrapAsync(wrapped, compartment, cancel).ConfigureAwait(false) is not { } key)
            return null;
        byte[]? made = null;
        var isGiven = false;
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            // What an earlier call has added may not be said in the ceremonies.
            await KeepEndAsync().ConfigureAwait(false);
            var of = _people.GetValueOrDefault(request.Person, PersonKeys.None);
            var mark = MarkOf(compartment, key);
            // The store has the new one: whoever was to say so did not come to it.
            if (of.Pending is { } sealedAnew && sealedAnew.Mark == mark)
            {
                if (await EndInTurnAsync(request, sealedAnew).ConfigureAwait(false) is not { } ended)
                    return null;
                of = ended;
            }
            if (!IsKept(of, mark))
                return null;
            if (of.Last is { } last && last.Act == request.Grant)
                return new(null, null, wrapped, last.Mark, last);
            // The new key of one that stopped is not made again: it may be on its way into the store. Where the wrapping key of that time is destroyed it is not, for the old one was wrapped anew there since.
            var pending = of.Pending;
            made = pending is null ? null : await keys.UnwrapAsync(pending.Wrapped, compartment, cancel).ConfigureAwait(false);
            if (made is null)
            {
                (made, var wrappedNew) = await keys.CreateAsync(compartment, cancel).ConfigureAwait(false);
                pending = new(request.Grant, MarkOf(compartment, made), wrappedNew, default, default);
                await AppendAsync(Step.Begun, request.Person, pending).ConfigureAwait(false);
            }
            else if (pending!.Act != request.Grant)
                await AppendAsync(Step.Begun, request.Person, pending = pending with { Act = request.Grant, Before = default, After = default }).ConfigureAwait(false);
            isGiven = true;
            return new(key, made, pending.Wrapped, pending.Mark, null);
        }
        finally
        {
            _turn.Release();
            if (!isGiven)
            {
                CryptographicOperations.ZeroMemory(key);
                CryptographicOperations.ZeroMemory(made);
            }
        }
    }

    /// <summary>Keeps where a record ends that is sealed anew and about to be in the store; on disk when this returns.</summary>
    /// <returns>False: there is no such rotation.</returns>
    /// <exception cref="IOException">It may not be: the store must stay as it is.</exception>
    public async Task<bool> SealedAsync(KeyRequest request, Digest mark, CompartmentHead before, CompartmentHead after)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (_people.GetValueOrDefault(request.Person)?.Pending is not { } pending || pending.Mark != mark)
                return false;
            await AppendAsync(Step.Sealed, request.Person, pending with { Before = before, After = after }).ConfigureAwait(false);
            return true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The store has the new key and what is sealed under it: the old one opens nothing any more when this returns, and how far the record is, is known of the new one. Said again, it changes nothing.</summary>
    /// <returns>Null: there is no such rotation, or its record was not sealed.</returns>
    /// <exception cref="IOException">It may not be on disk. Say it again.</exception>
    public async Task<PersonKeys?> EndAsync(KeyRequest request, Digest mark)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            await KeepEndAsync().ConfigureAwait(false);
            var of = _people.GetValueOrDefault(request.Person);
            return of?.Pending is { } pending && pending.Mark == mark ? await EndInTurnAsync(request, pending).ConfigureAwait(false)
                : of is not null && of.Marks.Contains(mark) ? of : null;
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose() => _turn.Dispose();

    private async Task<PersonKeys?> EndInTurnAsync(KeyRequest request, PendingKey pending)
    {
        if (pending.After.Sequence == 0)
            return null;
        // First: nobody tells of the new record before its key is given out, and nobody is given the old one after.
        await heads.ReplaceAsync(request.Head, pending.After).ConfigureAwait(false);
        await AppendAsync(Step.Done, request.Person, pending with { Wrapped = [] }).ConfigureAwait(false);
        await log.AppendAsync(new(KeyOperation.Retire, 200, time.GetUtcNow(), pending.Act, default, request.Person)).ConfigureAwait(false);
        LogRotated();
        return _people[request.Person];
    }

    private static bool IsKept(PersonKeys of, Digest mark) => of.Marks.IsEmpty || of.Marks.Contains(mark) || of.Pending?.Mark == mark;

    private async Task AppendAsync(Step step, Digest person, PendingKey pending)
    {
        var record = new byte[Size];
        record[0] = (byte)step;
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(8), person.Value);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(24), pending.Act.Value);
        BinaryPrimitives.WriteInt64BigEndian(record.AsSpan(40), time.GetUtcNow().ToUnixTimeMilliseconds());
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(48), pending.Mark.Value);
        pending.Wrapped.CopyTo(record.AsSpan(64));
        BinaryPrimitives.WriteInt64BigEndian(record.AsSpan(136), pending.After.Sequence);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(144), pending.After.Digest);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(160), pending.Before.Digest);
        _records.Append(record);
        Apply(record);
        await KeepEndAsync().ConfigureAwait(false);
    }

    private void Apply(ReadOnlySpan<byte> record)
    {
        var person = new Digest(BinaryPrimitives.ReadUInt128BigEndian(record[8..]));
        var of = _people.GetValueOrDefault(person, PersonKeys.None);
        var sequence = BinaryPrimitives.ReadInt64BigEndian(record[136..]);
        var said = new PendingKey(new(BinaryPrimitives.ReadUInt128BigEndian(record[24..])), new(BinaryPrimitives.ReadUInt128BigEndian(record[48..])), record.Slice(64, DataKeys.WrappedLength).ToArray(),
            new(sequence, BinaryPrimitives.ReadUInt128BigEndian(record[160..])), new(sequence, BinaryPrimitives.ReadUInt128BigEndian(record[144..])));
        _people[person] = (Step)record[0] switch
        {
            Step.Begun or Step.Sealed => of with { Pending = said },
            Step.Done => new([said.Mark], of.Count + 1, null, said),
            Step.Made => of with { Marks = of.Marks.IsEmpty ? [] : of.Marks.Add(said.Mark) },
            _ => throw new InvalidOperationException($"{_path} was written by a later release."),
        };
    }

    /// <summary>What a data key is known by: it tells nobody anything.</summary>
    private Digest MarkOf(Pseudonym compartment, ReadOnlySpan<byte> key)
    {
        Span<byte> named = stackalloc byte[Label.Length + Pseudonym.Size + DataKeys.KeyLength], mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Label.CopyTo(named);
        compartment.Write(named[Label.Length..]);
        key.CopyTo(named[^DataKeys.KeyLength..]);
        HMACSHA256.HashData(macKey, named, mac);
        CryptographicOperations.ZeroMemory(named);
        return new(BinaryPrimitives.ReadUInt128BigEndian(mac));
    }

    private static ReadOnlySpan<byte> Label => "data key"u8;

    [LoggerMessage(1308, LogLevel.Warning, "The data key of one person was rotated: the old one opens nothing any more.")]
    private partial void LogRotated();
}
