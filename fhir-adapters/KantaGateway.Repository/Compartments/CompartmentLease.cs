using System.Security.Cryptography;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// Access to one compartment for one request. A compartment that does not exist has an empty lease: no key, head 0.
/// Disposed when the answer is complete. Whoever reads a body says through which scope, and gets what that scope shows of it.
/// </summary>
sealed class CompartmentLease(Pseudonym compartment, OpenedCompartment? opened, ICompartmentStore store) : IDisposable
{
    private OpenedCompartment? _opened = opened;

    public bool Exists => _opened is not null;

    /// <inheritdoc cref="OpenedCompartment.ToldOf"/>
    /// <exception cref="InvalidOperationException">The compartment does not exist.</exception>
    public ToldHead ToldOf(CompartmentHead head) => (_opened ?? throw new InvalidOperationException("No such compartment.")).ToldOf(head);

    /// <summary>Of the data key that it is open under; 0 where it does not exist.</summary>
    public long Generation => _opened?.Generation ?? 0;

    /// <summary>The newest view that is loaded; may be older than the database, see <see cref="RefreshAsync"/>.</summary>
    public CompartmentView View { get; private set; } = opened?.View ?? CompartmentView.Empty(compartment);

    /// <summary>A view with every row committed before the call.</summary>
    public async ValueTask<CompartmentView> RefreshAsync(CancellationToken cancel) =>
        View = _opened is null ? View : await _opened.RefreshAsync(store, cancel).ConfigureAwait(false);

    /// <summary>
    /// Body of a row of the view, read in one round trip that also tells whether the view is still the newest.
    /// </summary>
    /// <param name="row">Null: only the check.</param>
    /// <param name="scope">Who reads.</param>
    /// <returns>Null when the database has gone on since: refresh and begin again.</returns>
    /// <exception cref="AskAnewException">It was sealed anew under another key.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> TryReadAsync(CompartmentRow? row, DisclosureScope scope, CancellationToken cancel)
    {
        // Opening it has just looked, and there was nothing.
        if (_opened is null)
            return ReadOnlyMemory<byte>.Empty;
        var stored = await store.ReadBodyAsync(View.Compartment, row?.Sequence ?? 0, cancel).ConfigureAwait(false);
        if (stored.Head < View.Head)
            throw new TamperedException("A compartment has lost committed rows.");
        RequireGeneration(stored.Head, stored.Generation);
        if (stored.Head != View.Head)
            return null;
        return row is null ? ReadOnlyMemory<byte>.Empty : Open(row, scope, stored.Sealed);
    }

    /// <summary>Takes over rows that were just committed after a view, so that nobody need read them back.</summary>
    public async ValueTask CommittedAsync(CompartmentView before, IReadOnlyList<(CompartmentRow Row, UInt128 Tag)> rows)
    {
        if (_opened is not null)
            await _opened.CommittedAsync(before, rows, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Bodies of rows of the view, in order.</summary>
    public async ValueTask<ReadOnlyMemory<byte>[]> ReadAsync(IReadOnlyList<CompartmentRow> rows, DisclosureScope scope, CancellationToken cancel) =>
        rows.Count == 0 ? [] : Open(rows, scope, (await ReadSealedAsync(rows, cancel).ConfigureAwait(false)).Sealed);

    /// <summary>
    /// Bodies of rows of the view, in order, read in one round trip that also tells whether the view is still the newest.
    /// </summary>
    /// <param name="rows">None: only the check.</param>
    /// <param name="scope">Who reads.</param>
    /// <returns>Null when the database has gone on since: refresh and begin again.</returns>
    public async ValueTask<ReadOnlyMemory<byte>[]?> TryReadAsync(IReadOnlyList<CompartmentRow> rows, DisclosureScope scope, CancellationToken cancel)
    {
        // Opening it has just looked, and there was nothing.
        if (_opened is null)
            return [];
        var stored = await ReadSealedAsync(rows, cancel).ConfigureAwait(false);
        return stored.Head == View.Head ? Open(rows, scope, stored.Sealed) : null;
    }

    /// <summary>A cipher under the data key.</summary>
    /// <exception cref="InvalidOperationException">The compartment does not exist.</exception>
    public AesGcm Cipher() => (_opened ?? throw new InvalidOperationException("No such compartment.")).Cipher();

    public void Dispose()
    {
        _opened?.Release();
        _opened = null;
    }

    private async ValueTask<StoredBodies> ReadSealedAsync(IReadOnlyList<CompartmentRow> rows, CancellationToken cancel)
    {
        var sequences = new long[rows.Count];
        for (var i = 0; i < sequences.Length; i++)
            sequences[i] = rows[i].Sequence;
        var stored = await store.ReadBodiesAsync(View.Compartment, sequences, cancel).ConfigureAwait(false);
        if (stored.Head < View.Head)
            throw new TamperedException("A compartment has lost committed rows.");
        RequireGeneration(stored.Head, stored.Generation);
        // Destroyed meanwhile: looking again says so.
        if (stored.Head != View.Head && stored.Sealed.Contains(null))
            await RefreshAsync(cancel).ConfigureAwait(false);
        return stored;
    }

    // Of one that is destroyed, or that the store has lost, it is not said that it was sealed anew.
    private void RequireGeneration(long head, long generation)
    {
        if (head >= View.Head)
            _opened?.RequireGeneration(generation);
    }

    private ReadOnlyMemory<byte>[] Open(IReadOnlyList<CompartmentRow> rows, DisclosureScope scope, byte[]?[] stored)
    {
        var bodies = new ReadOnlyMemory<byte>[rows.Count];
        if (bodies.Length == 0)
            return bodies;
        using var cipher = Cipher();
        for (var i = 0; i < bodies.Length; i++)
            bodies[i] = Open(cipher, rows[i], scope, stored[i]);
        return bodies;
    }

    private ReadOnlyMemory<byte> Open(CompartmentRow row, DisclosureScope scope, byte[]? stored)
    {
        using var cipher = Cipher();
        return Open(cipher, row, scope, stored);
    }

    private ReadOnlyMemory<byte> Open(AesGcm cipher, CompartmentRow row, DisclosureScope scope, byte[]? stored)
    {
        ReadOnlyMemory<byte> body = RowSeal.OpenBody(cipher, View.Compartment, row.Sequence, View.TagOf(row.Sequence), row.Resource, row.Type,
            stored ?? throw new TamperedException("A body of a compartment is missing."));
        return View.HidesContacts(row, scope) ? ContactDetails.WithoutThem(body) : body;
    }
}
