using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Transport;
using KantaGateway.Keys.Backends;

namespace KantaGateway.Keys.Custody;

/// <remarks>
/// After a ceremony of either key everybody is written anew, under the new name, the code sealed with the new key, into the file of the next number, while requests go on: who is not in it yet is found in the old file by the old
/// name. Whoever is new goes into the new file. Its last record says that everybody is in it; then the old file goes. So what is left to do is what the files say. Of who is erased the code is left out when
/// everybody is written anew, which is done for that alone once a day at most; under another pseudonym key there is no name for them, and they are forgotten.
/// Whoever is named by a key that does not serve, for the register is newer than the keys that were brought back, is found by nobody until they are named anew: so long nobody new gets a number.
/// </remarks>
sealed partial class KnownPeople
{
    /// <summary>How often everybody is written anew only because somebody is erased.</summary>
    public static readonly TimeSpan Rest = TimeSpan.FromDays(1);

    private DateTimeOffset _written = DateTimeOffset.MinValue;
    private volatile bool _isMoving;
    private long _moved, _unmoved, _began, _ended;

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
            _next = files.Of(_generation + 1);
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

    /// <param name="Old">As it stands in the old file.</param>
    /// <param name="New">Null: the person is forgotten.</param>
    private sealed record Move(Pseudonym Number, byte[] Old, byte[]? New);

    /// <returns>Null: nobody is to be moved from there.</returns>
    private async ValueTask<Move?> MoveAsync(byte[] record, long place, CancellationToken cancel)
    {
        var kind = PersonRecords.KindIn(record);
        if (kind == PersonKind.Whole)
            return null;
        var (number, form) = (records.NumberIn(record), PersonRecords.FormIn(record));
        lock (_gate)
            if (!_people.TryGetValue(number, out var at) || at != PlaceOf(place, _generation))
                return null;
        var (version, current, name) = (pseudonyms.Current, wrapping.Current, PersonRecords.NameIn(record));
        if (kind == PersonKind.Erased || custody.IsErased(number.Encode()))
            // The code is not kept, so there is no other name; under the same one their number is still refused.
            return new(number, record, name is { } same && form.Named == version ? records.Of(PersonKind.Erased, version, same, number, []) : null);
        // Copied: the HMAC is another one there.
        if (form == new PersonForm(version, current))
            return new(number, record, (byte[])record.Clone());
        var code = await CodeInAsync(record, number, cancel).ConfigureAwait(false);
        return new(number, record, records.Of(kind, version, name is not { } old ? default : form.Named == version ? old : await NameOfAsync(code, version, cancel).ConfigureAwait(false), number,
            form.Sealed == current ? PersonRecords.SealedIn(record) : await keys.SealPersonAsync(code, number, cancel).ConfigureAwait(false)));
    }

    private async Task AppendAsync(List<Move> moves)
    {
        await KeepAsync().ConfigureAwait(false);
        var place = _next!.End.Count;
        var wanted = moves.Select(static move => move.New).OfType<byte[]>().ToList();
        if (wanted.Count > 0)
        {
            _next.Append(wanted);
            await ceremonies.KeepAsync(people: EndNow()).ConfigureAwait(false);
        }
        lock (_gate)
        {
            foreach (var move in moves)
            {
                Leave(move.Number, move.Old);
                if (move.New is { } record)
                    Enter(new(PersonRecords.KindIn(record), PersonRecords.NameIn(record), move.Number, PersonRecords.FormIn(record), PlaceOf(place++, _generation + 1)));
                if (move.New is null || PersonRecords.FormIn(move.New).Sealed == 0)
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
        _next!.Append(PersonRecords.Whole());
        await ceremonies.KeepAsync(people: new(_generation + 1, _next.End, null)).ConfigureAwait(false);
        lock (_gate)
        {
            (_whole, _next) = (_next, null);
            _generation++;
        }
        // Until then what the old key names is on the disk.
        files.Sweep(_generation);
        _isMoving = false;
        LogWritten(_people.Count, pseudonyms.Current, wrapping.Current);
    }

    private long Left()
    {
        if (_isMoving)
            return Math.Max(1, _unmoved);
        var (named, sealedWith) = (pseudonyms.Current, wrapping.Current);
        return _forms.Where(form => form.Key.Named != named || (form.Key.Sealed != sealedWith && form.Key.Sealed != 0)).Sum(static form => form.Value);
    }

    /// <summary>Whether anybody is named by a key that does not serve: they would be somebody new.</summary>
    private bool HasNameless
    {
        get
        {
            lock (_gate)
                return _forms.Keys.Any(form => !pseudonyms.Serves(form.Named));
        }
    }

    /// <summary>Who is named by a key that does not serve is named anew, if the identity code opens.</summary>
    /// <exception cref="InvalidOperationException">It does not; says what to do.</exception>
    private void RequireNames()
    {
        if (!HasNameless)
            return;
        if (_forms.Keys.FirstOrDefault(form => !pseudonyms.Serves(form.Named) && form.Sealed != 0 && !wrapping.Serves(form.Sealed)) is { Named: > 0 } lost)
            throw new InvalidOperationException($"In {files.Pattern} people are named by the pseudonym key of version {lost.Named} and their identity codes sealed with the wrapping key of version {lost.Sealed}, and neither serves: the keys, or ceremonies.json, are from before the ceremonies in which they began. Bring back those from after them: without one of the two keys nobody is found.");
        LogNameless();
    }

    private async ValueTask<PersonalIdentityCode> CodeInAsync(byte[] record, Pseudonym number, CancellationToken cancel) =>
        await keys.OpenPersonAsync(PersonRecords.SealedIn(record), number, cancel).ConfigureAwait(false) ?? throw new KeyBackendException("An identity code in the register of people does not open: its wrapping key does not serve.");
}
