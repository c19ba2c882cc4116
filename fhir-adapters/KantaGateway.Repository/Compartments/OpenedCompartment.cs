using System.Buffers;
using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Protection;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>How much of a compartment is decrypted.</summary>
enum IndexDepth
{
    /// <summary>What reading by id, histories and contents need: 60 bytes a row.</summary>
    Headers,

    /// <summary>What is searched as well: about a kilobyte a row.</summary>
    Entries,
}

/// <summary>
/// A compartment's data key and decrypted index, in memory for at most a minute after the key service has checked a grant for
/// it. Whoever works with it holds a lease; when it has been closed and the last lease is back, key and index are zeroed.
/// </summary>
sealed class OpenedCompartment
{
    /// <summary>Bytes that it takes without any row.</summary>
    private const int OwnSize = 1_500;

    private readonly byte[] _key;
    private long _generation;
    private readonly Action<long> _sizeChanged;
    private readonly Action<OpenedCompartment> _closed;
    private readonly Action<ToldHead> _tell;
    private readonly SemaphoreSlim _refreshing = new(1, 1);
    private readonly Lock _gate = new();
    private int _leases;
    private bool _isClosed;
    private readonly RowTable _rows;
    private volatile CompartmentView _view;
    private volatile bool _hasEntries;
    private volatile GivenKey _given;
    private long _checkedTicks;
    private int _renewing;

    /// <param name="given">The data key; owned from here on.</param>
    /// <param name="grantChecked">When the key service checked the grant that it was opened with.</param>
    /// <param name="identifiers">Reads the logical ids that a grant names.</param>
    /// <param name="rules">By which practices everything that they record is protected.</param>
    /// <param name="sizeChanged">Told of every change of <see cref="Size"/>, the last time when it is closed.</param>
    /// <param name="closed">Told when it is closed, whoever closes it, and again whenever it is once more.</param>
    /// <param name="tell">Takes what the key service is to be told of how far it is.</param>
    public OpenedCompartment(Pseudonym compartment, GivenKey given, DateTimeOffset grantChecked, IdentifierCipher identifiers, ProtectionRules rules, Action<long> sizeChanged, Action<OpenedCompartment> closed, Action<ToldHead> tell)
    {
        (_key, _given) = (given.Key, given);
        (_sizeChanged, _closed, _tell) = (sizeChanged, closed, tell);
        _checkedTicks = grantChecked.UtcTicks;
        _rows = new(compartment, identifiers, Grow, rules);
        _view = CompartmentView.Of(compartment, _rows);
    }

    /// <summary>When the key service last checked a grant for it.</summary>
    public DateTimeOffset GrantChecked => new(Volatile.Read(ref _checkedTicks), TimeSpan.Zero);

    /// <summary>Bytes of decrypted headers and entries and of what is kept beside them.</summary>
    public long Size { get; private set; }

    /// <summary>Of its data key: the store has another where the record was sealed anew since.</summary>
    public long Generation => _generation;

    /// <summary>How often it had got another data key, by what the key service says.</summary>
    public int Rotations => _given.Rotations;

    /// <summary>The newest view loaded so far.</summary>
    public CompartmentView View => _view;

    /// <summary>How far it was known to be when its past was last held against that.</summary>
    public CompartmentHead Known => _given.Known;

    /// <summary>The key service knows of a head of its past.</summary>
    public void KnownNow(CompartmentHead head) => _given = _given with { Known = head };

    /// <summary>What is told when it is so far.</summary>
    public ToldHead ToldOf(CompartmentHead head) => new(_view.Compartment, head, _given.Rotations, _given.Witness, this);

    /// <summary>Has it told where the newest view ends, unless that is known.</summary>
    public void Tell()
    {
        var view = _view;
        if (view.Head > Known.Sequence)
            _tell(ToldOf(CompartmentHead.Of(view.Compartment, view.Head, view.TagOf(view.Head))));
    }

    /// <summary>As <see cref="Continues"/>, without a lease; null: it is closed, or not so far yet.</summary>
    public bool? Has(CompartmentHead known)
    {
        if (!TryLease())
            return null;
        try
        {
            return known.Sequence > _view.Head ? null : Continues(known);
        }
        finally
        {
            Release();
        }
    }

    /// <summary>Whether it has the row that was once its last, and with it all before that.</summary>
    public bool Continues(CompartmentHead known) => known.Sequence == 0
        || (known.Sequence <= _view.Head && CompartmentHead.Of(_view.Compartment, known.Sequence, _view.TagOf(known.Sequence)) == known);

    /// <summary>A cipher under the data key, for one thread.</summary>
    public AesGcm Cipher() => new(_key, 16);

    /// <summary>False once closed.</summary>
    public bool TryLease()
    {
        lock (_gate)
        {
            if (_isClosed)
                return false;
            _leases++;
            return true;
        }
    }

    public void Release()
    {
        lock (_gate)
            if (--_leases == 0 && _isClosed)
                Zero();
    }

    /// <summary>No new leases; zeroed with the last one, at once when there is none.</summary>
    public void Close()
    {
        lock (_gate)
            if (!_isClosed)
            {
                _isClosed = true;
                _sizeChanged(-Size);
                if (_leases == 0)
                    Zero();
            }
        // Again too: it may have been added only after it was closed.
        _closed(this);
    }

    /// <summary>
    /// Has the key service check another grant for it: from then on it may stay open as if it had just been opened, and nothing
    /// need be decrypted again. One request at a time asks; the others go on with what the last check allows. The caller holds a lease.
    /// </summary>
    /// <param name="now">When the check begins.</param>
    /// <returns>False: it is destroyed.</returns>
    /// <exception cref="KantaGateway.Fhir.Outcomes.FaultException">The key service gives no key.</exception>
    /// <exception cref="TamperedException">It gives another key, or knows of rows that are not there.</exception>
    public async ValueTask<bool> RenewAsync(ICompartmentStore store, KeyClient keys, string grant, DateTimeOffset now, CancellationToken cancel)
    {
        if (Interlocked.Exchange(ref _renewing, 1) != 0)
            return true;
        try
        {
            // Wrapped anew meanwhile, perhaps, and the old wrapping key destroyed.
            if (await store.ReadIndexAsync(_view.Compartment, long.MaxValue, cancel).ConfigureAwait(false) is not { WrappedKey: var wrapped, Generation: var generation })
                throw new TamperedException("A compartment that is open is not in the store any more.");
            RequireGeneration(generation);
            GivenKey? given;
            try
            {
                given = await keys.UnwrapAsync(grant, wrapped, cancel).ConfigureAwait(false);
            }
            catch (TamperedException)
            {
                // Rotated just now, perhaps.
                RequireGeneration((await store.ReadBodyAsync(_view.Compartment, 0, cancel).ConfigureAwait(false)).Generation);
                throw;
            }
            if (given is null)
                return false;
            var isSame = CryptographicOperations.FixedTimeEquals(given.Key, _key);
            CryptographicOperations.ZeroMemory(given.Key);
            if (!isSame)
                throw new TamperedException("The wrapped key of a compartment opens to another key than before.");
            // Others have gone on, perhaps.
            if (given.Known.Sequence > _view.Head)
                await RefreshAsync(store, cancel).ConfigureAwait(false);
            if (!Continues(given.Known))
                throw new TamperedException("A compartment is not as far, or not the same, as it once was.");
            _given = given;
            Volatile.Write(ref _checkedTicks, now.UtcTicks);
            Tell();
            return true;
        }
        finally
        {
            Volatile.Write(ref _renewing, 0);
        }
    }

    /// <summary>The store has it under this data key.</summary>
    /// <param name="stored">Of what was read.</param>
    /// <exception cref="AskAnewException">It was sealed anew under another one; closed.</exception>
    public void RequireGeneration(long stored)
    {
        if (stored == _generation)
            return;
        Close();
        throw new AskAnewException(null);
    }

    /// <summary>
    /// A view that contains every row committed before the call. The caller holds a lease.
    /// </summary>
    /// <exception cref="TamperedException">The stored rows are not those that were written.</exception>
    /// <exception cref="AskAnewException">It was sealed anew under another key.</exception>
    public ValueTask<CompartmentView> RefreshAsync(ICompartmentStore store, CancellationToken cancel) => LoadAsync(store, IndexDepth.Headers, cancel);

    /// <summary>Has whole entries for a search, and with them a view as fresh as <see cref="RefreshAsync"/> gives. The caller holds a lease.</summary>
    /// <exception cref="TamperedException">The stored rows are not those that were written.</exception>
    public ValueTask<CompartmentView> DeepenAsync(ICompartmentStore store, CancellationToken cancel) => LoadAsync(store, IndexDepth.Entries, cancel);

    /// <summary>Whether it can be searched.</summary>
    public bool HasEntries => _hasEntries;

    /// <summary>
    /// Adds rows that the caller has just committed after <paramref name="before"/>, without reading them back.
    /// </summary>
    /// <returns>The view at exactly the head of that commit; null when others have committed and been loaded since.</returns>
    public async ValueTask<CompartmentView?> CommittedAsync(CompartmentView before, IReadOnlyList<(CompartmentRow Row, UInt128 Tag)> rows, CancellationToken cancel)
    {
        await _refreshing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (_view.Head != before.Head)
                return null;
            foreach (var (row, tag) in rows)
                Grow(_rows.Add(row.Sequence, tag, row.Entry));
            return Show();
        }
        finally
        {
            _refreshing.Release();
        }
    }

    /// <summary>The first load, before anybody else has the compartment.</summary>
    public void Load(StoredIndex stored, IndexDepth depth)
    {
        Grow(OwnSize);
        _generation = stored.Generation;
        Extend(stored, 0, depth);
    }

    private async ValueTask<CompartmentView> LoadAsync(ICompartmentStore store, IndexDepth depth, CancellationToken cancel)
    {
        await _refreshing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var view = _view;
            var after = depth == IndexDepth.Entries && !_rows.HasEntries ? 0 : view.Head;
            view = Extend(await store.ReadIndexAsync(view.Compartment, after, cancel).ConfigureAwait(false), after, depth);
            // Others have written, and not told it perhaps.
            Tell();
            return view;
        }
        catch (Exception e) when (e is TamperedException or FaultException)
        {
            // What is in memory may be half extended, or of a record that is destroyed, and the next request must look again from the beginning.
            Close();
            throw;
        }
        finally
        {
            _refreshing.Release();
        }
    }

    /// <param name="after">What was asked for: rows after the head of the view, or all.</param>
    private CompartmentView Extend(StoredIndex? stored, int after, IndexDepth depth)
    {
        var view = _view;
        if (stored is null || stored.Head < view.Head)
            throw new TamperedException("A compartment has lost committed rows.");
        if (stored.IsErased)
            throw Erased();
        RequireGeneration(stored.Generation);
        if (stored.Head != after + stored.Index.Count || (stored.Index.Count > 0 && stored.Index[0].Sequence != after + 1))
            throw new TamperedException("A row of a compartment is missing.");
        if (depth == IndexDepth.Entries)
            _rows.KeepEntries();
        if (stored.Index.Count > 0)
            Grow(Add(view, stored));
        // After the entries: who sees it may search.
        _hasEntries = _rows.HasEntries;
        return Show();
    }

    private CompartmentView Show() => _view = CompartmentView.Of(_view.Compartment, _rows);

    /// <summary>Of a request that was under way: the next one finds no record.</summary>
    private static FaultException Erased() => new(new Fault(FaultKind.StoreUnavailable, "The record changed while it was read. Nothing was given out or stored; ask again."));

    private long Add(CompartmentView view, StoredIndex stored)
    {
        var added = 0L;
        using var cipher = Cipher();
        var buffer = ArrayPool<byte>.Shared.Rent(stored.Index.Max(e => e.Sealed.Length));
        try
        {
            var before = _rows.TagOf((int)stored.Index[0].Sequence - 1);
            if (_rows.HasEntries)
                _rows.Expect(stored.Index.Sum(e => (long)Math.Max(0, e.Sealed.Length - RowSeal.Overhead)));
            foreach (var (sequence, sealedEntry) in stored.Index)
            {
                var entry = buffer.AsSpan(0, Math.Max(0, sealedEntry.Length - RowSeal.Overhead));
                RowSeal.OpenIndex(cipher, view.Compartment, sequence, before, sealedEntry, entry);
                before = RowSeal.TagOf(sealedEntry);
                if (sequence <= view.Head && before != _rows.TagOf((int)sequence))
                    throw new TamperedException("A row of a compartment was exchanged for another.");
                added += sequence <= view.Head ? _rows.Keep(sequence, entry) : _rows.Add(sequence, before, entry);
            }
        }
        finally
        {
            CryptographicOperations.ZeroMemory(buffer);
            ArrayPool<byte>.Shared.Return(buffer);
        }
        return added;
    }

    private void Grow(long added)
    {
        lock (_gate)
        {
            Size += added;
            if (!_isClosed)
                _sizeChanged(added);
        }
    }

    private void Zero()
    {
        CryptographicOperations.ZeroMemory(_key);
        _rows.Zero();
    }
}
