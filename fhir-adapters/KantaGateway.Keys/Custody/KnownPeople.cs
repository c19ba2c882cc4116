using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Keys.Backends;
using KantaGateway.Keys.Ceremonies;

namespace KantaGateway.Keys.Custody;

/// <summary>Where the register of people ends.</summary>
/// <param name="Generation">Number of the file that has everybody.</param>
/// <param name="End">Where that file ends.</param>
/// <param name="Next">Where the file ends that is to take its place; null: there is none.</param>
sealed record PeopleEnd(int Generation, ChainEnd End, ChainEnd? Next);

/// <summary>
/// Who has which number: each identity code has one, random, given out once and for ever the same. People are found by a name, an HMAC of the code under the pseudonym key: with another version of that key
/// everybody gets another name, and nobody another number. Thread-safe.
/// </summary>
/// <remarks>
/// <c>people-1</c> in the custody folder, <see cref="ChainedRecords"/> of 136 bytes: what it is (1), the version of the pseudonym key at 4 (4, big-endian), the name (16), the number and six zeros as one AES block under a
/// key that is made by the custody key (16), the code sealed with the wrapping key (65), and the HMAC at 112. It names nobody. Where it ends stands in the record of the ceremonies, which no start goes without.
/// After a ceremony of either key everybody is written anew, under the new name, the code sealed with the new key, into the file of the next number, while requests go on: who is not in it yet is found in the old file by the old
/// name. Whoever is new goes into the new file. Its last record says that everybody is in it; then the old file goes. So what is left to do is what the files say. Of who is erased the code is left out when
/// everybody is written anew, which is done for that alone once a day at most; under another pseudonym key there is no name for them, and they are forgotten.
/// Memory: about 100 bytes a person.
/// </remarks>
/// <param name="copyFolder">On another disk, with the same files; null: none are kept.</param>
sealed partial class KnownPeople(string folder, string? copyFolder, PeopleKeys own, IKeyBackend backend, DataKeys keys, WrappingVersions wrapping, PseudonymVersions pseudonyms, KeyCeremonies ceremonies, KeyCustody custody, TimeProvider time, ILogger<KnownPeople> logger) : IDisposable
{
    private const int Size = 136, NumberSize = 16, SealedAt = 40, AtOnce = 100, MostTogether = 1_000;

    /// <summary>How often everybody is written anew only because somebody is erased.</summary>
    public static readonly TimeSpan Rest = TimeSpan.FromDays(1);

    private const string FilePrefix = "people-", MarkName = "restored", BeforeName = "restored-before";

    private enum Kind : byte { Person = 1, Erased = 2, Whole = 3 }

    private readonly SemaphoreSlim _turn = new(1);
    private readonly Lock _gate = new();
    private readonly ConcurrentQueue<Asked> _asked = new();
    private readonly string _mark = Path.Combine(folder, MarkName), _before = Path.Combine(folder, BeforeName);
    private readonly Aes _numbers = own.Numbers();

    // Under the gate. A place is twice the number of the record in its file, and one more in a file of odd number.
    private readonly Dictionary<Digest, Pseudonym> _names = [];
    private readonly Dictionary<Pseudonym, int> _people = [];
    private readonly Dictionary<(uint Named, uint Sealed), int> _forms = [];
    private readonly HashSet<Pseudonym> _erasedCodes = [];

    // In turn.
    private readonly List<Entry> _unkept = [];
    private readonly HashSet<Pseudonym> _begunAnew = [];
    private ChainedRecords _whole = null!;
    private ChainedRecords? _next;
    private int _generation = 1;
    private DateTimeOffset _written = DateTimeOffset.MinValue;

    private volatile uint[] _named = [];
    private volatile bool _isLacking, _hasLacked, _isMoving;
    private long _moved, _unmoved, _began, _ended;

    private sealed record Asked(PersonalIdentityCode Code, Pseudonym? Number, TaskCompletionSource<Pseudonym> Answer);

    /// <summary>A record that is in a file, and who it is about.</summary>
    private readonly record struct Entry(Digest Name, Pseudonym Number, (uint Named, uint Sealed) Form, int Place);

    /// <summary>Whether it was brought back from a backup, and those may be missing who were registered after it: nobody new gets a number until a repository has told of everybody in its store.</summary>
    public bool IsLacking => _isLacking;

    /// <summary>How far it is that everybody is named and sealed with the current keys.</summary>
    public WorkProgress Progress
    {
        get
        {
            lock (_gate)
                return new(_people.Count, Left(), WorkProgress.RateOf(Volatile.Read(ref _moved), time.GetElapsedTime(Volatile.Read(ref _began), Volatile.Read(ref _ended))));
        }
    }

    /// <summary>Whether anybody is named or sealed with a version of a key, as far as any file says. Who was given a number before it was the current one no more is among them when this returns.</summary>
    public async Task<bool> UsesAsync(KeyKind kind, uint version, CancellationToken cancel)
    {
        await InTurnAsync(KeepAsync, cancel).ConfigureAwait(false);
        lock (_gate)
            return _isMoving || _forms.Keys.Any(form => version == (kind == KeyKind.Pseudonym ? form.Named : form.Sealed));
    }

    /// <summary>Reads who has which number.</summary>
    /// <param name="hasHistory">Whether the custody log says that the service has been at work before.</param>
    /// <exception cref="InvalidOperationException">The files are not as this service left them; says what to do.</exception>
    public void Open(bool hasHistory)
    {
        var kept = ceremonies.People;
        var files = FilesIn(folder).Concat(copyFolder is null ? [] : FilesIn(copyFolder)).Distinct().Order().ToList();
        if (kept is null && (hasHistory || files.Exists(static number => number > 1)))
            throw Broken();
        // One that has everybody and is newer than what is kept: a copy of it, or a backup in whose making it took the place of another.
        _generation = files.Where(number => number > (kept?.Generation ?? 1)).OrderDescending().FirstOrDefault(IsWhole, kept?.Generation ?? 1);
        var isKept = kept is null || kept.Generation == _generation;
        var codeless = new HashSet<Pseudonym>();
        // The new one first: whom it has is not looked for in the old one.
        if (files.Contains(_generation + 1) || (isKept && kept?.Next is not null))
        {
            _next = RecordsOf(_generation + 1);
            if (!_next.TryOpen(isKept ? kept?.Next : null, record => Read(_next, record.Span, _generation + 1, codeless)))
                throw Broken();
        }
        var moved = _people.Count;
        _whole = RecordsOf(_generation);
        if (!_whole.TryOpen(isKept ? kept?.End : kept!.Generation == _generation - 1 ? kept.Next : null, record => Read(_whole, record.Span, _generation, codeless)))
            throw Broken();
        (_isMoving, _unmoved) = (_next is not null, _people.Count - moved);
        // By a key that does not serve nobody would be found, and everybody would be somebody new.
        if (_forms.Keys.FirstOrDefault(form => !pseudonyms.Serves(form.Named)) is { Named: > 0 and var version })
            throw new InvalidOperationException($"In {folder} people are named by the pseudonym key of version {version}, which does not serve: bring back the key and ceremonies.json that belong to it.");
        if (custody.HasErased)
            _erasedCodes.UnionWith(_people.Keys.Where(number => !codeless.Contains(number) && custody.IsErased(number.Encode())));
        Named();
        if (_hasLacked = File.Exists(_before))
            _begunAnew.UnionWith(File.ReadAllBytes(_before).Chunk(NumberSize).Where(static block => block.Length == NumberSize).Select(block => Shown(block)));
        if (_isLacking = File.Exists(_mark))
            LogLacking();
    }

    /// <summary>Brings the files and their copies to where the other is, has the ceremonies keep where they end, and takes away what has been replaced.</summary>
    /// <exception cref="IOException">It may not be on disk.</exception>
    public async Task KeepEndAsync()
    {
        _whole.Level();
        _next?.Level();
        if (ceremonies.People is not { } kept || kept.Generation != _generation || kept.End.Count != _whole.End.Count || kept.Next?.Count != _next?.End.Count)
            await ceremonies.KeepAsync(people: EndNow()).ConfigureAwait(false);
        Sweep();
    }

    /// <summary>The number of a person; one who has none is given one, which is on disk when this returns.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer, or nobody new gets a number now.</exception>
    /// <exception cref="IOException">It may not be on disk. Ask again.</exception>
    public async ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        // Who is written anew in between is found neither by the new name before nor by the old one after: that is looked for once more in turn.
        foreach (var version in _named)
            try
            {
                if (Of(await NameOfAsync(code, version, cancel).ConfigureAwait(false)) is { } number)
                    return number;
            }
            catch (KeyBackendException) when (!pseudonyms.Serves(version))
            {
                // It was destroyed just now, so nobody has a name by it any more.
            }
        var asked = Ask(code, null);
        await AnswerAsync(asked).ConfigureAwait(false);
        return await asked.Answer.Task.ConfigureAwait(false);
    }

    /// <summary>What stands behind a person's wrapped data key in the store, by which a register that lacks the person has them again.</summary>
    /// <param name="wrapped">Without it.</param>
    /// <param name="number">Whose key it is.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <param name="stored">What stands behind the key that is in a store already; null: none is, and no record is begun whose person may be lacking.</param>
    /// <returns>The same where they are erased; where nobody has the number, with what is stored.</returns>
    /// <exception cref="KeyBackendException">The backend does not answer, or it is not known whether somebody has the number.</exception>
    /// <exception cref="IOException">The register cannot be read.</exception>
    public async ValueTask<byte[]> WithPersonAsync(byte[] wrapped, Pseudonym number, CancellationToken cancel, ReadOnlyMemory<byte>? stored = null)
    {
        for (var attempt = 1; ; attempt++)
        {
            int place;
            bool isKnown;
            ChainedRecords? records;
            lock (_gate)
            {
                isKnown = _people.TryGetValue(number, out place);
                records = (place & 1) == (_generation & 1) ? _whole : _next;
            }
            if (!isKnown)
                return stored is { } behind ? [.. wrapped, .. await AnewAsync(behind, number, cancel).ConfigureAwait(false)]
                    // Also when it lacks nobody any more: a number that was given, and never stored, is nobody's since, and who has kept it would begin a record that no code finds.
                    : (_isLacking || _hasLacked) && !number.IsDirectory ? throw new KeyBackendException("The register was brought back from a backup, and lacks who has this number.")
                    : wrapped;
            try
            {
                if (records?.Read(place >> 1, 1) is not [var record] || NumberIn(record) != number)
                    throw new IOException("The register of people cannot be read.");
                if ((Kind)record[0] != Kind.Person)
                    return wrapped;
                var sealedCode = SealedIn(record);
                if (WrappedKey.VersionOf(sealedCode) != wrapping.Current)
                    sealedCode = await keys.SealPersonAsync(await CodeInAsync(record, number, cancel).ConfigureAwait(false), number, cancel).ConfigureAwait(false);
                return [.. wrapped, .. sealedCode];
            }
            catch (FileNotFoundException) when (attempt < 3)
            {
                // Another file has taken its place just now, and everybody is in it.
            }
        }
    }

    /// <summary>What stands behind a stored key, sealed with the current wrapping key; as it is where it does not open, for it may when a key is brought back.</summary>
    private async ValueTask<byte[]> AnewAsync(ReadOnlyMemory<byte> stored, Pseudonym number, CancellationToken cancel) =>
        !stored.IsEmpty && WrappedKey.VersionOf(stored.Span) != wrapping.Current && await keys.OpenPersonAsync(stored, number, cancel).ConfigureAwait(false) is { } code
            ? await keys.SealPersonAsync(code, number, cancel).ConfigureAwait(false) : stored.ToArray();

    /// <summary>Registers those whom the register lacks and a store knows; on disk when this returns. Only this service can have sealed what says which number is whose, so it knew them once: others may be lacking too.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer.</exception>
    /// <exception cref="IOException">They may not be on disk. Say it again.</exception>
    public async Task FindAgainAsync(IEnumerable<(Pseudonym Number, ReadOnlyMemory<byte> Sealed)> stored, CancellationToken cancel)
    {
        var (found, nobodys) = (new List<Asked>(), 0);
        foreach (var (number, sealedCode) in stored)
            if (number.IsDirectory || IsKnown(number))
                continue;
            else if (await keys.OpenPersonAsync(sealedCode, number, cancel).ConfigureAwait(false) is { } code)
                found.Add(Ask(code, number));
            else
                nobodys++;
        if (nobodys > 0 && _isLacking)
            LogNobodys(nobodys);
        foreach (var asked in found)
            await AnswerAsync(asked).ConfigureAwait(false);
        await Task.WhenAll(found.Select(static asked => asked.Answer.Task)).ConfigureAwait(false);
    }

    /// <summary>Nobody is missing any more: a repository has told of everybody in its store. Lasts when this returns.</summary>
    /// <exception cref="IOException">It may not.</exception>
    public Task HasEverybodyAsync(CancellationToken cancel) => InTurnAsync(() =>
    {
        if (_isLacking)
        {
            OwnerOnly.WriteWhole(_before, _begunAnew.SelectMany(Hidden).ToArray(), overwrite: true);
            _hasLacked = true;
            File.Delete(_mark);
            _isLacking = false;
        }
        return Task.CompletedTask;
    }, cancel);

    /// <summary>A person's data key is destroyed: the identity code is to go too.</summary>
    public void Erased(Pseudonym number)
    {
        lock (_gate)
            if (_people.ContainsKey(number))
                _erasedCodes.Add(number);
    }

    /// <summary>Whether everybody is to be written anew.</summary>
    public bool HasWork
    {
        get
        {
            lock (_gate)
                return _isMoving || Left() > 0 || (_erasedCodes.Count > 0 && time.GetUtcNow() >= _written + Rest);
        }
    }

    /// <summary>Writes everybody anew, with the current keys; goes on where it stopped.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer. Call it again.</exception>
    /// <exception cref="IOException">The disk does not. Call it again.</exception>
    public async Task WriteAnewAsync(CancellationToken cancel)
    {
        await InTurnAsync(async () =>
        {
            // Who stands at the end of the old file and was told to nobody is moved like the others.
            await KeepAsync().ConfigureAwait(false);
            if (_next is not null)
                return;
            _next = RecordsOf(_generation + 1);
            lock (_gate)
                (_isMoving, _unmoved) = (true, _people.Count);
        }, cancel).ConfigureAwait(false);
        var written = time.GetUtcNow();
        Volatile.Write(ref _moved, 0);
        Volatile.Write(ref _began, time.GetTimestamp());
        for (var place = 0L; place < _whole.End.Count; place += AtOnce)
        {
            // Not in turn: nobody else moves anybody, and who is new is in the other file.
            var moves = (await Task.WhenAll(_whole.Read(place, AtOnce).Index().Select(one => MoveAsync(one.Item, place + one.Index, cancel).AsTask())).ConfigureAwait(false)).OfType<Move>().ToList();
            await InTurnAsync(() => AppendAsync(moves), cancel).ConfigureAwait(false);
            Volatile.Write(ref _moved, _moved + moves.Count);
            Volatile.Write(ref _ended, time.GetTimestamp());
        }
        await InTurnAsync(EndAsync, cancel).ConfigureAwait(false);
        _written = written;
    }

    public void Dispose()
    {
        _turn.Dispose();
        _numbers.Dispose();
    }

    /// <param name="From">The name that it was found by.</param>
    /// <param name="Record">Null: the person is forgotten.</param>
    private sealed record Move(Digest From, Pseudonym Number, (uint Named, uint Sealed) FromForm, byte[]? Record);

    /// <returns>Null: nobody is to be moved from there.</returns>
    private async ValueTask<Move?> MoveAsync(byte[] record, long place, CancellationToken cancel)
    {
        if ((Kind)record[0] == Kind.Whole)
            return null;
        var (number, name, form) = (NumberIn(record), NameIn(record), FormIn(record));
        lock (_gate)
            if (!_people.TryGetValue(number, out var at) || at != PlaceOf(place, _generation))
                return null;
        var (version, current) = (pseudonyms.Current, wrapping.Current);
        if ((Kind)record[0] == Kind.Erased || custody.IsErased(number.Encode()))
            // The code is not kept, so there is no other name; under the same one their number is still refused.
            return new(name, number, form, form.Named == version ? RecordOf(Kind.Erased, version, name, number, []) : null);
        if (form == (version, current))
            return new(name, number, form, record);
        var code = await CodeInAsync(record, number, cancel).ConfigureAwait(false);
        return new(name, number, form, RecordOf(Kind.Person, version, form.Named == version ? name : await NameOfAsync(code, version, cancel).ConfigureAwait(false), number,
            form.Sealed == current ? SealedIn(record) : await keys.SealPersonAsync(code, number, cancel).ConfigureAwait(false)));
    }

    private async Task AppendAsync(List<Move> moves)
    {
        await KeepAsync().ConfigureAwait(false);
        var place = _next!.End.Count;
        // Copied: the HMAC is another one there.
        var records = moves.Where(static move => move.Record is not null).Select(static move => (byte[])move.Record!.Clone()).ToList();
        if (records.Count > 0)
        {
            _next.Append(records);
            await ceremonies.KeepAsync(people: EndNow()).ConfigureAwait(false);
        }
        lock (_gate)
        {
            foreach (var move in moves)
            {
                _names.Remove(move.From);
                Counted(move.FromForm, -1);
                if (move.Record is { } record)
                {
                    _names[NameIn(record)] = move.Number;
                    _people[move.Number] = PlaceOf(place++, _generation + 1);
                    Counted(FormIn(record), 1);
                }
                else
                    _people.Remove(move.Number);
                if (move.Record is null || FormIn(move.Record).Sealed == 0)
                    _erasedCodes.Remove(move.Number);
                _unmoved--;
            }
            Named();
        }
    }

    private async Task EndAsync()
    {
        await KeepAsync().ConfigureAwait(false);
        lock (_gate)
            if (_people.Values.Any(place => (place & 1) == (_generation & 1)))
                throw new InvalidOperationException("Somebody stands in the old file alone, so it does not go.");
        var whole = new byte[Size];
        whole[0] = (byte)Kind.Whole;
        _next!.Append(whole);
        await ceremonies.KeepAsync(people: new(_generation + 1, _next.End, null)).ConfigureAwait(false);
        lock (_gate)
        {
            (_whole, _next) = (_next, null);
            _generation++;
        }
        // Until then what the old key names is on the disk.
        Sweep();
        _isMoving = false;
        LogWritten(_people.Count, pseudonyms.Current, wrapping.Current);
    }

    private async Task InTurnAsync(Func<Task> act, CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            await act().ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private Asked Ask(PersonalIdentityCode code, Pseudonym? number)
    {
        var asked = new Asked(code, number, new(TaskCreationOptions.RunContinuationsAsynchronously));
        _asked.Enqueue(asked);
        return asked;
    }

    // Whose turn it is answers all who have come by then: they share a flush.
    private Task AnswerAsync(Asked asked) => InTurnAsync(async () =>
    {
        if (asked.Answer.Task.IsCompleted)
            return;
        // Over a key file nothing below waits: those who come from the same thread would each have a flush of their own.
        await Task.Yield();
        while (!asked.Answer.Task.IsCompleted)
        {
            var together = new List<Asked>();
            while (together.Count < MostTogether && _asked.TryDequeue(out var next))
                together.Add(next);
            try
            {
                await AddAsync(together).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                foreach (var one in together)
                    one.Answer.TrySetException(failure);
            }
        }
    }, CancellationToken.None);

    private async Task AddAsync(List<Asked> together)
    {
        await KeepAsync().ConfigureAwait(false);
        var (given, added, records) = (new Dictionary<PersonalIdentityCode, Pseudonym>(), new List<Entry>(), new List<byte[]>());
        var (file, generation) = _next is null ? (_whole, _generation) : (_next, _generation + 1);
        var (taken, isFoundAgain) = (new HashSet<Pseudonym>(), false);
        foreach (var one in together)
        {
            if (given.ContainsKey(one.Code))
                continue;
            Pseudonym? known = null;
            foreach (var version in _named)
                known ??= Of(await NameOfAsync(one.Code, version, CancellationToken.None).ConfigureAwait(false));
            if (known is null && one.Number is null && _isLacking)
            {
                one.Answer.TrySetException(new KeyBackendException("The register was brought back from a backup: nobody new gets a number until a repository has told of everybody in its store."));
                continue;
            }
            // Erased since it was looked at.
            if (known is null && one.Number is { } gone && custody.IsErased(gone.Encode()))
            {
                one.Answer.TrySetResult(gone);
                continue;
            }
            if (known is { } number)
            {
                if (one.Number is { } other && other != number)
                {
                    LogTwice();
                    // It proves as well as who is lacking that this is an older register. Once: the record stays under the other number.
                    if (!_begunAnew.Contains(other))
                        Lacks();
                    _begunAnew.Add(other);
                }
            }
            else
            {
                number = one.Number ?? Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size));
                while (one.Number is null && (number.IsDirectory || number == Pseudonym.Nobody || IsKnown(number) || taken.Contains(number)))
                    number = Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size));
                // Said twice, by two repositories, or of a number that somebody else has: it is not given again.
                if (!IsKnown(number) && taken.Add(number))
                {
                    var version = pseudonyms.Current;
                    var record = RecordOf(Kind.Person, version, await NameOfAsync(one.Code, version, CancellationToken.None).ConfigureAwait(false), number, await keys.SealPersonAsync(one.Code, number, CancellationToken.None).ConfigureAwait(false));
                    added.Add(new(NameIn(record), number, FormIn(record), PlaceOf(file.End.Count + records.Count, generation)));
                    records.Add(record);
                    isFoundAgain |= one.Number is not null;
                }
            }
            given[one.Code] = number;
        }
        if (records.Count > 0)
        {
            if (isFoundAgain)
                Lacks();
            file.Append(records);
            _unkept.AddRange(added);
            await KeepAsync().ConfigureAwait(false);
        }
        foreach (var one in together)
            if (given.TryGetValue(one.Code, out var number))
                one.Answer.TrySetResult(number);
    }

    /// <summary>Somebody has put an older folder in the place of this one, and said nothing.</summary>
    private void Lacks()
    {
        if (_isLacking)
            return;
        OwnerOnly.OpenFile(_mark, FileShare.None).Dispose();
        _isLacking = true;
        LogLacking();
    }

    /// <summary>Has the ceremonies keep where the file ends in which somebody is of whom nobody was told yet; from then on they are found.</summary>
    private async Task KeepAsync()
    {
        if (_unkept.Count == 0)
            return;
        await ceremonies.KeepAsync(people: EndNow()).ConfigureAwait(false);
        lock (_gate)
        {
            foreach (var entry in _unkept)
            {
                _names.Add(entry.Name, entry.Number);
                _people.Add(entry.Number, entry.Place);
                Counted(entry.Form, 1);
            }
            Named();
        }
        _unkept.Clear();
    }

    /// <param name="codeless">Of whom there is no identity code any more.</param>
    private void Read(ChainedRecords file, ReadOnlySpan<byte> record, int generation, HashSet<Pseudonym> codeless)
    {
        if ((Kind)record[0] == Kind.Whole)
            return;
        if ((Kind)record[0] is not (Kind.Person or Kind.Erased))
            throw new InvalidOperationException($"{folder} was written by a later release.");
        var number = NumberIn(record);
        if (_people.TryGetValue(number, out var place))
        {
            // They are in the new file.
            if ((place & 1) != (generation & 1))
                return;
            // Where the disk was silent about the first time, whoever is in the new file is there once more: by the later one they were found, and under its keys.
            var earlier = file.Read(place >> 1, 1)[0];
            _names.Remove(NameIn(earlier));
            Counted(FormIn(earlier), -1);
            codeless.Remove(number);
        }
        _people[number] = PlaceOf(file.End.Count - 1, generation);
        _names.Add(NameIn(record), number);
        Counted(FormIn(record), 1);
        if ((Kind)record[0] == Kind.Erased)
            codeless.Add(number);
    }

    private Pseudonym? Of(Digest name)
    {
        lock (_gate)
            return _names.TryGetValue(name, out var number) ? number : null;
    }

    /// <summary>Whether somebody has this number.</summary>
    public bool IsKnown(Pseudonym number)
    {
        lock (_gate)
            return _people.ContainsKey(number);
    }

    private long Left()
    {
        if (_isMoving)
            return Math.Max(1, _unmoved);
        var (named, sealedWith) = (pseudonyms.Current, wrapping.Current);
        return _forms.Where(form => form.Key.Named != named || (form.Key.Sealed != sealedWith && form.Key.Sealed != 0)).Sum(static form => form.Value);
    }

    private void Counted((uint, uint) form, int change)
    {
        if ((_forms[form] = _forms.GetValueOrDefault(form) + change) == 0)
            _forms.Remove(form);
    }

    /// <summary>Says again by which versions somebody may be named: the current one first.</summary>
    public void Named()
    {
        lock (_gate)
            _named = [pseudonyms.Current, .. _forms.Keys.Select(static form => form.Named).Distinct().Where(version => version != pseudonyms.Current).OrderDescending()];
    }

    private async ValueTask<Digest> NameOfAsync(PersonalIdentityCode code, uint version, CancellationToken cancel)
    {
        var text = Encoding.ASCII.GetBytes(code.Reveal());
        try
        {
            return new(BinaryPrimitives.ReadUInt128BigEndian(await backend.MacAsync(version, text, cancel).ConfigureAwait(false)));
        }
        finally
        {
            CryptographicOperations.ZeroMemory(text);
        }
    }

    private byte[] RecordOf(Kind kind, uint version, Digest name, Pseudonym number, ReadOnlySpan<byte> sealedCode)
    {
        var record = new byte[Size];
        record[0] = (byte)kind;
        BinaryPrimitives.WriteUInt32BigEndian(record.AsSpan(4), version);
        BinaryPrimitives.WriteUInt128BigEndian(record.AsSpan(8), name.Value);
        Hidden(number).CopyTo(record, 24);
        sealedCode.CopyTo(record.AsSpan(SealedAt));
        return record;
    }

    private Pseudonym NumberIn(ReadOnlySpan<byte> record) => Shown(record.Slice(24, NumberSize));

    private byte[] Hidden(Pseudonym number)
    {
        var block = new byte[NumberSize];
        number.Write(block);
        lock (_numbers)
            return _numbers.EncryptEcb(block, PaddingMode.None);
    }

    private Pseudonym Shown(ReadOnlySpan<byte> hidden)
    {
        Span<byte> block = stackalloc byte[NumberSize];
        lock (_numbers)
            _numbers.DecryptEcb(hidden, block, PaddingMode.None);
        return Pseudonym.Read(block);
    }

    private async ValueTask<PersonalIdentityCode> CodeInAsync(byte[] record, Pseudonym number, CancellationToken cancel) =>
        await keys.OpenPersonAsync(SealedIn(record), number, cancel).ConfigureAwait(false) ?? throw new KeyBackendException("An identity code in the register of people does not open: its wrapping key does not serve.");

    private static Digest NameIn(ReadOnlySpan<byte> record) => new(BinaryPrimitives.ReadUInt128BigEndian(record[8..]));

    private static byte[] SealedIn(ReadOnlySpan<byte> record) => record.Slice(SealedAt, WrappedKey.Length).ToArray();

    private static (uint Named, uint Sealed) FormIn(ReadOnlySpan<byte> record) =>
        (BinaryPrimitives.ReadUInt32BigEndian(record[4..]), WrappedKey.VersionOf(record.Slice(SealedAt, WrappedKey.Length)) ?? 0);

    private static int PlaceOf(long record, int generation) => checked((int)(record << 1)) | (generation & 1);

    private PeopleEnd EndNow() => new(_generation, _whole.End, _next?.End);

    private ChainedRecords RecordsOf(int generation) => new(Path.Combine(folder, NameOf(generation)), Size, own.MacKey, copyFolder is null ? null : Path.Combine(copyFolder, NameOf(generation)), generation - 1);

    private static string NameOf(int generation) => string.Create(CultureInfo.InvariantCulture, $"{FilePrefix}{generation}");

    private static IEnumerable<int> FilesIn(string folder) => Directory.EnumerateFiles(folder, FilePrefix + "*").Select(static file => Path.GetFileName(file)[FilePrefix.Length..])
        .Where(static text => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _)).Select(static text => int.Parse(text, CultureInfo.InvariantCulture));

    /// <summary>Whether a file has the record that says that everybody is in it. That it is genuine is seen when it is opened.</summary>
    private bool IsWhole(int generation) => new[] { folder, copyFolder }.OfType<string>().Select(where => Path.Combine(where, NameOf(generation))).Any(static file =>
    {
        if (!File.Exists(file))
            return false;
        using var stream = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite, 64 * 1024);
        var record = new byte[Size];
        while (stream.ReadAtLeast(record, Size, throwOnEndOfStream: false) == Size)
            if ((Kind)record[0] == Kind.Whole)
                return true;
        return false;
    });

    /// <summary>Takes the files away that another one has taken the place of.</summary>
    private void Sweep()
    {
        foreach (var where in new[] { folder, copyFolder }.OfType<string>())
            foreach (var old in FilesIn(where).Where(number => number < _generation).ToList())
                File.Delete(Path.Combine(where, NameOf(old)));
    }

    private InvalidOperationException Broken() => new($"{Path.Combine(folder, FilePrefix)}*, which says who has which number, is not there or not as this key service wrote it: bring it back, with ceremonies.json beside it, from where it was kept.");

    [LoggerMessage(1309, LogLevel.Warning, "All {People} people are named with the pseudonym key of version {Named} now, and their identity codes sealed with the wrapping key of version {Sealed}.")]
    private partial void LogWritten(int people, uint named, uint @sealed);

    [LoggerMessage(1310, LogLevel.Critical, "The custody folder was brought back from a backup, or put back to an earlier state. People who were registered after it are looked for in the store; until a repository has told of everybody in it, nobody new gets a number.")]
    private partial void LogLacking();

    [LoggerMessage(1313, LogLevel.Critical, "Of {Count} records in the store it is not known whose they are: what says so is missing, or was changed. Nobody finds them by an identity code.")]
    private partial void LogNobodys(int count);

    [LoggerMessage(1311, LogLevel.Critical, "Of one person the store has a record under another number than the register: it was begun anew while the register lacked them. What is under the other number nobody finds by the identity code.")]
    private partial void LogTwice();
}

/// <summary>The keys of the register of people, made by the custody key.</summary>
/// <param name="MacKey">Chains the records.</param>
/// <param name="NumberKey">Hides the numbers in them: AES-256.</param>
sealed record PeopleKeys(byte[] MacKey, byte[] NumberKey)
{
    public Aes Numbers()
    {
        var aes = Aes.Create();
        aes.Key = NumberKey;
        return aes;
    }
}
