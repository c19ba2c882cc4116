using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
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
/// <see cref="PeopleFiles"/> of <see cref="PersonRecords"/> in the custody folder. Where they end stands in the record of the ceremonies, which no start goes without. This part gives numbers and finds them;
/// <c>KnownPeople.Anew.cs</c> writes everybody anew for another key, and <c>KnownPeople.Again.cs</c> finds those again whom a register from a backup lacks.
/// Memory: about 100 bytes a person.
/// </remarks>
/// <param name="files">Of the register, in the custody folder and on another disk.</param>
sealed partial class KnownPeople(string folder, PeopleFiles files, PersonRecords records, IKeyBackend backend, DataKeys keys, WrappingVersions wrapping, PseudonymVersions pseudonyms, KeyCeremonies ceremonies, KeyCustody custody, TimeProvider time, ILogger<KnownPeople> logger) : IDisposable
{
    private const int AtOnce = 100, MostTogether = 1_000;

    private readonly SemaphoreSlim _turn = new(1);
    private readonly Lock _gate = new();
    private readonly ConcurrentQueue<Asked> _asked = new();

    // Under the gate. A place is twice the number of the record in its file, and one more in a file of odd number.
    private readonly Dictionary<Digest, Pseudonym> _names = [];
    private readonly Dictionary<Pseudonym, int> _people = [];
    private readonly Dictionary<PersonForm, int> _forms = [];
    private readonly HashSet<Pseudonym> _others = [], _erasedCodes = [];

    // In turn.
    private readonly List<Entry> _unkept = [];
    private ChainedRecords _whole = null!;
    private ChainedRecords? _next;
    private int _generation = 1;

    private volatile uint[] _named = [];

    /// <summary>Somebody who is asked for.</summary>
    /// <param name="Stored">The number that a store says they have; null: any is as good.</param>
    /// <param name="Names">Of the versions by which somebody was named just before.</param>
    private sealed record Asked(PersonalIdentityCode Code, Pseudonym? Stored, Dictionary<uint, Digest> Names, TaskCompletionSource<Pseudonym> Answer)
    {
        /// <summary>What they get if nobody knows them; null: it is made in turn.</summary>
        public Ready? Ready { get; set; }
    }

    /// <summary>A number, and the code sealed for it.</summary>
    private sealed record Ready(Pseudonym Number, byte[] Sealed);

    /// <summary>A record that is in a file, and who it is about.</summary>
    private readonly record struct Entry(PersonKind Kind, Digest? Name, Pseudonym Number, PersonForm Form, int Place);

    /// <summary>Reads who has which number.</summary>
    /// <param name="hasHistory">Whether the custody log says that the service has been at work before.</param>
    /// <exception cref="InvalidOperationException">The files are not as this service left them; says what to do.</exception>
    public void Open(bool hasHistory)
    {
        var kept = ceremonies.People;
        var there = files.Numbers;
        if (kept is null && (hasHistory || there.Any(static number => number > 1)))
            throw new InvalidOperationException($"{files.Pattern}, or ceremonies.json beside it, which say who has which number, are not there or do not belong together: bring both back from where they were kept.");
        // One that has everybody and is newer than what is kept: a copy of it, or a backup in whose making it took the place of another.
        _generation = there.Where(number => number > (kept?.Generation ?? 1)).OrderDescending().FirstOrDefault(files.IsWhole, kept?.Generation ?? 1);
        var isKept = kept is null || kept.Generation == _generation;
        var codeless = new HashSet<Pseudonym>();
        // The new one first: whom it has is not looked for in the old one.
        if (there.Contains(_generation + 1) || (isKept && kept?.Next is not null))
        {
            _next = files.Of(_generation + 1);
            Read(_next, isKept ? kept?.Next : null, _generation + 1, codeless);
        }
        var moved = _people.Count;
        _whole = files.Of(_generation);
        Read(_whole, isKept ? kept?.End : kept!.Generation == _generation - 1 ? kept.Next : null, _generation, codeless);
        (_isMoving, _unmoved) = (_next is not null, _people.Count - moved);
        RequireNames();
        if (custody.HasErased)
            _erasedCodes.UnionWith(_people.Keys.Where(number => !codeless.Contains(number) && custody.IsErased(number.Encode())));
        Named();
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
        files.Sweep(_generation);
    }

    /// <summary>The number of a person; one who has none is given one, which is on disk when this returns.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer, or nobody new gets a number now.</exception>
    /// <exception cref="IOException">It may not be on disk. Ask again.</exception>
    public async ValueTask<Pseudonym> OfAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        var names = new Dictionary<uint, Digest>();
        return await KnownAsync(code, names, cancel).ConfigureAwait(false) ?? await AnswerAsync(await AskAsync(code, null, names, cancel).ConfigureAwait(false)).ConfigureAwait(false);
    }

    /// <summary>The number of a person who has one already; null: nobody has asked for this code, as far as is known.</summary>
    /// <exception cref="KeyBackendException">The backend does not answer, or it is not known now whether anybody has.</exception>
    public async ValueTask<Pseudonym?> FindAsync(PersonalIdentityCode code, CancellationToken cancel)
    {
        var names = new Dictionary<uint, Digest>();
        if (await KnownAsync(code, names, cancel).ConfigureAwait(false) is { } number)
            return number;
        Pseudonym? found = null;
        await InTurnAsync(async () =>
        {
            found = await NamedAsync(code, names).ConfigureAwait(false);
            if (found is null && MayLack)
                throw Lacking();
        }, cancel).ConfigureAwait(false);
        return found;
    }

    /// <summary>Whether somebody has this number.</summary>
    public bool IsKnown(Pseudonym number)
    {
        lock (_gate)
            return _people.ContainsKey(number);
    }

    /// <summary>Whether a record may be begun under this number: it is the one under which somebody is found.</summary>
    public bool IsFound(Pseudonym number)
    {
        lock (_gate)
            return _people.ContainsKey(number) && !_others.Contains(number);
    }

    /// <summary>Says again by which versions somebody may be named: the current one first.</summary>
    public void Named()
    {
        lock (_gate)
            _named = [pseudonyms.Current, .. _forms.Keys.Select(static form => form.Named).Distinct().Where(version => version != pseudonyms.Current && pseudonyms.Serves(version)).OrderDescending()];
    }

    public void Dispose()
    {
        _turn.Dispose();
        records.Dispose();
    }

    /// <summary>By whichever name somebody has now.</summary>
    /// <param name="names">Gets each that was tried.</param>
    private async ValueTask<Pseudonym?> KnownAsync(PersonalIdentityCode code, Dictionary<uint, Digest> names, CancellationToken cancel)
    {
        // Who is written anew in between is found neither by the new name before nor by the old one after: that is looked for once more in turn.
        foreach (var version in _named)
            try
            {
                if (Of(names[version] = await NameOfAsync(code, version, cancel).ConfigureAwait(false)) is { } number)
                    return number;
            }
            catch (KeyBackendException) when (!pseudonyms.Serves(version))
            {
                // It was destroyed just now, so nobody has a name by it any more.
            }
        return null;
    }

    /// <summary>The same in turn, when nobody gets another name.</summary>
    private async ValueTask<Pseudonym?> NamedAsync(PersonalIdentityCode code, Dictionary<uint, Digest> names)
    {
        foreach (var version in _named)
        {
            if (!names.TryGetValue(version, out var name))
                names[version] = name = await NameOfAsync(code, version, CancellationToken.None).ConfigureAwait(false);
            if (Of(name) is { } number)
                return number;
        }
        return null;
    }

    /// <summary>Has somebody asked for, with all that the backend has to do for it: it may be far away, and whose turn it is waits for it only where a key was replaced meanwhile.</summary>
    /// <param name="sealedCode">What a store has; none: nothing.</param>
    private async ValueTask<Asked> AskAsync(PersonalIdentityCode code, Pseudonym? stored, Dictionary<uint, Digest> names, CancellationToken cancel, ReadOnlyMemory<byte> sealedCode = default)
    {
        foreach (var version in _named.Where(version => !names.ContainsKey(version)))
            names[version] = await NameOfAsync(code, version, cancel).ConfigureAwait(false);
        var asked = new Asked(code, stored, names, new(TaskCreationOptions.RunContinuationsAsynchronously));
        if (stored is { } theirs && WrappedKey.VersionOf(sealedCode.Span) == wrapping.Current)
            asked.Ready = new(theirs, sealedCode.ToArray());
        else if (stored is not null || !MayLack)
            asked.Ready = await ReadyAsync(code, stored ?? NewNumber(), cancel).ConfigureAwait(false);
        _asked.Enqueue(asked);
        return asked;
    }

    private async ValueTask<Ready> ReadyAsync(PersonalIdentityCode code, Pseudonym number, CancellationToken cancel) =>
        new(number, await keys.SealPersonAsync(code, number, cancel).ConfigureAwait(false));

    // Whose turn it is answers all who have come by then: they share a flush.
    private async Task<Pseudonym> AnswerAsync(Asked asked)
    {
        await InTurnAsync(async () =>
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
        }, CancellationToken.None).ConfigureAwait(false);
        return await asked.Answer.Task.ConfigureAwait(false);
    }

    private async Task AddAsync(List<Asked> together)
    {
        await KeepAsync().ConfigureAwait(false);
        var (given, taken, added, wanted) = (new Dictionary<PersonalIdentityCode, Pseudonym>(), new HashSet<Pseudonym>(), new List<Entry>(), new List<byte[]>());
        var (file, generation) = _next is null ? (_whole, _generation) : (_next, _generation + 1);
        var isFoundAgain = false;
        foreach (var one in together)
        {
            var known = given.TryGetValue(one.Code, out var number) ? number : await NamedAsync(one.Code, one.Names).ConfigureAwait(false);
            if (known is null && (HasNameless || (one.Stored is null && _isLacking)))
            {
                one.Answer.TrySetException(Lacking());
                continue;
            }
            // Erased since it was looked at.
            if (one.Stored is { } gone && custody.IsErased(gone.Encode()))
            {
                one.Answer.TrySetResult(gone);
                continue;
            }
            if (known is not null && (one.Stored is not { } other || other == known))
            {
                given[one.Code] = known.Value;
                continue;
            }
            // From here on: somebody new, or somebody of a store whom nobody knows, or knows by another number.
            var kind = known is null ? PersonKind.Person : PersonKind.Other;
            var ready = one.Ready is { } made && WrappedKey.VersionOf(made.Sealed) == wrapping.Current && (one.Stored is not null || IsFree(made.Number)) ? made
                : await ReadyAsync(one.Code, one.Stored ?? NewNumber(), CancellationToken.None).ConfigureAwait(false);
            given[one.Code] = known ?? ready.Number;
            // Said twice, by two repositories, or of a number that somebody else has: it is not given again.
            if (IsKnown(ready.Number) || !taken.Add(ready.Number))
                continue;
            if (kind == PersonKind.Other)
                LogTwice();
            var version = pseudonyms.Current;
            if (!one.Names.TryGetValue(version, out var name))
                name = await NameOfAsync(one.Code, version, CancellationToken.None).ConfigureAwait(false);
            var record = records.Of(kind, version, kind == PersonKind.Other ? default : name, ready.Number, ready.Sealed);
            added.Add(new(kind, PersonRecords.NameIn(record), ready.Number, PersonRecords.FormIn(record), PlaceOf(file.End.Count + wanted.Count, generation)));
            wanted.Add(record);
            isFoundAgain |= one.Stored is not null;

            bool IsFree(Pseudonym number) => !IsKnown(number) && !taken.Contains(number);
        }
        if (wanted.Count > 0)
        {
            if (isFoundAgain)
                Lacks();
            file.Append(wanted);
            _unkept.AddRange(added);
            await KeepAsync().ConfigureAwait(false);
        }
        foreach (var one in together)
            if (given.TryGetValue(one.Code, out var number))
                one.Answer.TrySetResult(number);
    }

    private Pseudonym NewNumber()
    {
        Pseudonym number;
        do
            number = Pseudonym.Read(RandomNumberGenerator.GetBytes(Pseudonym.Size));
        while (number.IsDirectory || number == Pseudonym.Nobody || IsKnown(number));
        return number;
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
                Enter(entry);
            Named();
        }
        _unkept.Clear();
    }

    private void Read(ChainedRecords file, ChainEnd? end, int generation, HashSet<Pseudonym> codeless)
    {
        if (!file.TryOpen(end, record => Read(file, record.Span, generation, codeless)))
            throw file.Broken("who has which number", nameof(KeysOptions.PeopleCopyFolder));
    }

    /// <param name="codeless">Of whom there is no identity code any more.</param>
    private void Read(ChainedRecords file, ReadOnlySpan<byte> record, int generation, HashSet<Pseudonym> codeless)
    {
        var kind = PersonRecords.KindIn(record);
        if (kind == PersonKind.Whole)
            return;
        if (!Enum.IsDefined(kind))
            throw new InvalidOperationException($"{folder} was written by a later release.");
        var number = records.NumberIn(record);
        if (_people.TryGetValue(number, out var place))
        {
            // They are in the new file.
            if ((place & 1) != (generation & 1))
                return;
            // Where the disk was silent about the first time, whoever is in the new file is there once more: by the later one they were found, and under its keys.
            Leave(number, file.Read(place >> 1, 1)[0]);
            codeless.Remove(number);
        }
        Enter(new(kind, PersonRecords.NameIn(record), number, PersonRecords.FormIn(record), PlaceOf(file.End.Count - 1, generation)));
        if (kind == PersonKind.Erased)
            codeless.Add(number);
    }

    private void Enter(Entry entry)
    {
        _people[entry.Number] = entry.Place;
        // A name by a key that does not serve leads nobody there.
        if (entry.Name is { } name && pseudonyms.Serves(entry.Form.Named))
            _names.Add(name, entry.Number);
        if (entry.Kind == PersonKind.Other)
            _others.Add(entry.Number);
        Counted(entry.Form, 1);
    }

    private void Leave(Pseudonym number, ReadOnlySpan<byte> record)
    {
        _people.Remove(number);
        _others.Remove(number);
        if (PersonRecords.NameIn(record) is { } name && _names.TryGetValue(name, out var named) && named == number)
            _names.Remove(name);
        Counted(PersonRecords.FormIn(record), -1);
    }

    private Pseudonym? Of(Digest name)
    {
        lock (_gate)
            return _names.TryGetValue(name, out var number) ? number : null;
    }

    private void Counted(PersonForm form, int change)
    {
        if ((_forms[form] = _forms.GetValueOrDefault(form) + change) == 0)
            _forms.Remove(form);
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

    private static int PlaceOf(long record, int generation) => checked((int)(record << 1)) | (generation & 1);

    private PeopleEnd EndNow() => new(_generation, _whole.End, _next?.End);

    // Of all parts of the class in one file: the generator takes those of several in no certain order, and the assembly would not be the same twice.

    [LoggerMessage(1309, LogLevel.Warning, "All {People} people are named with the pseudonym key of version {Named} now, and their identity codes sealed with the wrapping key of version {Sealed}.")]
    private partial void LogWritten(int people, uint named, uint @sealed);

    [LoggerMessage(1315, LogLevel.Critical, "The register of people is newer than the pseudonym key: keys from before a ceremony were brought back. Everybody is named anew with the one that serves; until that is done nobody new gets a number.")]
    private partial void LogNameless();

    [LoggerMessage(1310, LogLevel.Critical, "The custody folder was brought back from a backup, or put back to an earlier state. People who were registered after it are looked for in the store; until a repository has told of everybody in it, nobody new gets a number.")]
    private partial void LogLacking();

    [LoggerMessage(1313, LogLevel.Critical, "Of {Count} records in the store it is not known whose they are: what says so is missing, or was changed. Nobody finds them by an identity code.")]
    private partial void LogNobodys(int count);

    [LoggerMessage(1311, LogLevel.Critical, "Of one person the store has a record under another number than the register: it was begun anew while the register lacked them. What is under the other number nobody finds by the identity code.")]
    private partial void LogTwice();
}
