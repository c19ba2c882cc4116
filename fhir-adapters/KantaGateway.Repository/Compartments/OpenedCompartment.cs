using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// A compartment's data key and decrypted index, in memory for at most a minute. Whoever works with it holds a lease;
/// when it has been closed and the last lease is back, key and index are zeroed.
/// </summary>
sealed class OpenedCompartment
{
    /// <summary>Bytes that a row takes beside its entry: the object, its service event, its places in lists.</summary>
    private const int RowOverhead = 320;

    private readonly byte[] _key;
    private readonly Action<long> _sizeChanged;
    private readonly SemaphoreSlim _refreshing = new(1, 1);
    private readonly Lock _gate = new();
    private int _leases;
    private bool _closed;
    private volatile CompartmentView _view;

    /// <param name="key">The data key; owned from here on.</param>
    /// <param name="opened">When the grant was checked.</param>
    /// <param name="sizeChanged">Told of every change of <see cref="Size"/>, the last time when it is closed.</param>
    public OpenedCompartment(Pseudonym compartment, byte[] key, DateTimeOffset opened, Action<long> sizeChanged)
    {
        _key = key;
        _sizeChanged = sizeChanged;
        Opened = opened;
        _view = CompartmentView.Empty(compartment);
    }

    public DateTimeOffset Opened { get; }

    /// <summary>Bytes of decrypted index and of what is kept beside it.</summary>
    public long Size { get; private set; }

    /// <summary>The newest view loaded so far.</summary>
    public CompartmentView View => _view;

    /// <summary>A cipher under the data key, for one thread.</summary>
    public AesGcm Cipher() => new(_key, 16);

    /// <summary>False once closed.</summary>
    public bool TryLease()
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            _leases++;
            return true;
        }
    }

    public void Release()
    {
        lock (_gate)
            if (--_leases == 0 && _closed)
                Zero();
    }

    /// <summary>No new leases; zeroed with the last one, at once when there is none.</summary>
    public void Close()
    {
        lock (_gate)
        {
            if (_closed)
                return;
            _closed = true;
            _sizeChanged(-Size);
            if (_leases == 0)
                Zero();
        }
    }

    /// <summary>
    /// A view that contains every row committed before the call. The caller holds a lease.
    /// </summary>
    /// <exception cref="TamperedException">The stored rows are not those that were written.</exception>
    public async ValueTask<CompartmentView> RefreshAsync(ICompartmentStore store, CancellationToken cancel)
    {
        await _refreshing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var view = _view;
            var stored = await store.ReadIndexAsync(view.Compartment, view.Head, cancel).ConfigureAwait(false);
            return Extend(view, stored);
        }
        catch (TamperedException)
        {
            // What is in memory may be half extended, and the next request must look again from the beginning.
            Close();
            throw;
        }
        finally
        {
            _refreshing.Release();
        }
    }

    /// <summary>
    /// Adds rows that the caller has just committed after <paramref name="before"/>, without reading them back.
    /// </summary>
    /// <returns>The view at exactly the head of that commit; null when others have committed and been loaded since.</returns>
    public async ValueTask<CompartmentView?> CommittedAsync(CompartmentView before, IReadOnlyList<CompartmentRow> rows, CancellationToken cancel)
    {
        await _refreshing.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (_view.Head != before.Head)
                return null;
            Grow(rows);
            return _view = _view.With(rows);
        }
        finally
        {
            _refreshing.Release();
        }
    }

    /// <summary>The first load, before anybody else has the compartment.</summary>
    public CompartmentView Load(StoredIndex stored) => Extend(_view, stored);

    private CompartmentView Extend(CompartmentView view, StoredIndex? stored)
    {
        if (stored is null || stored.Head < view.Head)
            throw new TamperedException("A compartment has lost committed rows.");
        if (stored.Head != view.Head + stored.Index.Count)
            throw new TamperedException("A row of a compartment is missing.");
        if (stored.Index.Count == 0)
            return view;
        var rows = new CompartmentRow[stored.Index.Count];
        using (var cipher = Cipher())
            for (var i = 0; i < rows.Length; i++)
            {
                var (sequence, sealedEntry) = stored.Index[i];
                rows[i] = CompartmentRow.Read(sequence, RowSeal.OpenIndex(cipher, view.Compartment, sequence, sealedEntry));
            }
        Grow(rows);
        return _view = view.With(rows);
    }

    private void Grow(IReadOnlyList<CompartmentRow> rows)
    {
        var added = rows.Sum(r => (long)r.Entry.Length + RowOverhead);
        lock (_gate)
        {
            Size += added;
            if (!_closed)
                _sizeChanged(added);
        }
    }

    private void Zero()
    {
        CryptographicOperations.ZeroMemory(_key);
        foreach (var row in _view.Rows)
            CryptographicOperations.ZeroMemory(row.Entry);
    }
}
