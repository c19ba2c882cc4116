using System.Collections.Concurrent;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// The compartments that are open now: bounded in number, bytes and time. A minute after the key service has checked a
/// grant for it, a compartment is closed and needs another. Who asks for it in the last quarter of that minute has their own
/// grant checked, and it stays open: so it is open only while it is asked for, and no longer than a minute on any one
/// grant. Thread-safe.
/// </summary>
sealed class OpenedCompartments : IDisposable
{
    private readonly ConcurrentDictionary<Pseudonym, OpenedCompartment> _opened = new();
    private static readonly TimeSpan LongestKeep = TimeSpan.FromSeconds(1);

    private readonly UntoldHeads _heads;
    private readonly SemaphoreSlim[] _opening = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1, 1))];
    private readonly ICompartmentStore _store;
    private readonly KeyClient _keys;
    private readonly IdentifierCipher _identifiers;
    private readonly ProtectionRules _rules;
    private readonly TimeProvider _time;
    private readonly int _maxCount;
    private readonly long _maxBytes;
    private readonly TimeSpan _maxAge;
    private readonly ITimer _sweep;
    private int _count;
    private long _bytes;

    /// <param name="heads">Takes what the key service is to be told of how far they are.</param>
    /// <param name="rules">Of today, by which what practices have recorded is protected whenever it was written.</param>
    /// <param name="maxCount">Compartments, at least 1.</param>
    /// <param name="maxBytes">Decrypted headers and entries, and what is kept beside them.</param>
    /// <param name="maxAge">At most 60 s.</param>
    public OpenedCompartments(ICompartmentStore store, KeyClient keys, UntoldHeads heads, IdentifierCipher identifiers, ProtectionRules rules, TimeProvider time, int maxCount, long maxBytes, TimeSpan maxAge)
    {
        (_store, _keys, _heads, _identifiers, _rules, _time, _maxCount, _maxBytes, _maxAge) = (store, keys, heads, identifiers, rules, time, maxCount, maxBytes, maxAge);
        // An unused compartment must be zeroed too, and nobody's request does it.
        _sweep = time.CreateTimer(_ => Sweep(), null, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(5));
    }

    /// <summary>Number of open compartments.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>
    /// Opens a compartment, without looking at the database when it is open already: the view may be behind.
    /// </summary>
    /// <param name="grant">Signed grant for the compartment, already verified here; the key service verifies it again.</param>
    /// <param name="depth">What it is opened for.</param>
    /// <exception cref="KantaGateway.Fhir.Outcomes.FaultException">The key service gives no key.</exception>
    public async ValueTask<CompartmentLease> OpenAsync(Pseudonym compartment, string grant, IndexDepth depth, CancellationToken cancel)
    {
        var opened = TryLease(compartment) ?? await OpenAnewAsync(compartment, grant, depth, cancel).ConfigureAwait(false);
        if (opened is null)
            return new(compartment, null, _store);
        try
        {
            if (_time.GetUtcNow() - opened.GrantChecked >= _maxAge * 0.75 && !await RenewAsync(compartment, opened, grant, cancel).ConfigureAwait(false))
            {
                opened.Release();
                return new(compartment, null, _store);
            }
            if (depth == IndexDepth.Entries && !opened.HasEntries)
            {
                await opened.DeepenAsync(_store, cancel).ConfigureAwait(false);
                MakeRoom();
            }
        }
        catch
        {
            opened.Release();
            throw;
        }
        return new(compartment, opened, _store);
    }

    /// <returns>False: it is destroyed, and closed.</returns>
    private async ValueTask<bool> RenewAsync(Pseudonym compartment, OpenedCompartment opened, string grant, CancellationToken cancel)
    {
        try
        {
            if (await opened.RenewAsync(_store, _keys, grant, _time.GetUtcNow(), cancel).ConfigureAwait(false))
                return true;
            opened.Close();
            await RemoveAsync(compartment, cancel).ConfigureAwait(false);
            return false;
        }
        catch (Exception e) when (e is not (OperationCanceledException or AskAnewException))
        {
            // Who is refused a key does not go on with an old one.
            opened.Close();
            throw;
        }
    }

    /// <summary>With a lease; null when there is no such compartment.</summary>
    private async ValueTask<OpenedCompartment?> OpenAnewAsync(Pseudonym compartment, string grant, IndexDepth depth, CancellationToken cancel)
    {
        // One of many that come at once asks the key service; the others find the compartment open.
        var opening = OpeningOf(compartment);
        await opening.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (TryLease(compartment) is { } meanwhile)
                return meanwhile;
            // Before the store is read: what is committed after that need not be there yet.
            var untold = _heads.Of(compartment);
            if (await _store.ReadIndexAsync(compartment, 0, cancel).ConfigureAwait(false) is not { } stored)
            {
                // Nor is it the store's to say that there never was one.
                if (untold.Head.Sequence == 0 && (await _keys.KnownAsync([compartment], cancel).ConfigureAwait(false)).Heads[0] is null)
                    return null;
                // Begun a moment ago, perhaps.
                stored = await _store.ReadIndexAsync(compartment, 0, cancel).ConfigureAwait(false) ?? throw new TamperedException("A compartment is not in the store any more.");
            }
            GivenKey? opens;
            try
            {
                opens = await _keys.UnwrapAsync(grant, stored.WrappedKey, cancel).ConfigureAwait(false);
            }
            catch (TamperedException)
            {
                // Rotated since it was read, perhaps: once more, with the grant that has opened nothing.
                var before = stored.Generation;
                stored = await _store.ReadIndexAsync(compartment, 0, cancel).ConfigureAwait(false);
                if (stored is null || stored.Generation == before)
                    throw;
                opens = await _keys.UnwrapAsync(grant, stored.WrappedKey, cancel).ConfigureAwait(false);
            }
            // That it is destroyed is not the store's to say: who has all rights there could hide anybody behind it.
            if (opens is not { } given)
            {
                if (stored.IsErased && stored.Index.Count == 0)
                    return null;
                await RemoveAsync(compartment, cancel).ConfigureAwait(false);
                return null;
            }
            // Others have gone on since it was read, perhaps.
            if (given.Known.Sequence > stored.Head)
                stored = await ReadAgainAsync(compartment, given, stored.Generation, cancel).ConfigureAwait(false);
            try
            {
                return Add(compartment, given, untold, stored, depth);
            }
            catch (TamperedException)
            {
                // What is known is of the record as it was sealed anew a moment ago, perhaps.
                if ((await _store.ReadBodyAsync(compartment, 0, cancel).ConfigureAwait(false)).Generation != stored.Generation)
                    throw new AskAnewException(null);
                throw;
            }
        }
        finally
        {
            opening.Release();
        }
    }

    private async ValueTask<StoredIndex> ReadAgainAsync(Pseudonym compartment, GivenKey given, long generation, CancellationToken cancel)
    {
        try
        {
            var again = await _store.ReadIndexAsync(compartment, 0, cancel).ConfigureAwait(false) ?? throw new TamperedException("A compartment is not in the store any more.");
            return again.Generation == generation ? again : throw new AskAnewException(null);
        }
        catch
        {
            CryptographicOperations.ZeroMemory(given.Key);
            throw;
        }
    }

    private SemaphoreSlim OpeningOf(Pseudonym compartment) => _opening[(uint)compartment.GetHashCode() % (uint)_opening.Length];

    /// <summary>Rows of a compartment are durable: it is so far now, whatever the store says later.</summary>
    public void Committed(ToldHead told) => _heads.Add(told);

    /// <summary>Keeps a compartment open whose first rows have just been stored, under the key that was made for it: its grant is spent, and the same request may read on.</summary>
    /// <param name="given">Its key is copied.</param>
    public async ValueTask KeepAsync(Pseudonym compartment, GivenKey given)
    {
        var opening = OpeningOf(compartment);
        // What is stored is answered soon: others may be waiting here for a key service that is silent.
        if (!await opening.WaitAsync(LongestKeep).ConfigureAwait(false))
            return;
        try
        {
            var untold = _heads.Of(compartment);
            if (TryLease(compartment) is { } meanwhile)
                meanwhile.Release();
            else if (await _store.ReadIndexAsync(compartment, 0, CancellationToken.None).ConfigureAwait(false) is { IsErased: false } stored)
                Add(compartment, given with { Key = given.Key.AsSpan().ToArray() }, untold, stored, IndexDepth.Headers).Release();
        }
        catch (Exception e) when (e is StoreException or TamperedException)
        {
            // What is stored is stored. Whoever asks next opens it, and is told.
        }
        finally
        {
            opening.Release();
        }
    }

    /// <summary>How far a compartment is by what the key service is still to be told from here.</summary>
    public ToldHead UntoldOf(Pseudonym compartment) => _heads.Of(compartment);

    /// <summary>Closes a compartment that was sealed anew under another key, and opens it under that one where it was open: for as long as the grant allows that it was opened with, so that nobody need ask for the key again.</summary>
    /// <param name="given">Its key is copied.</param>
    public async ValueTask RotatedAsync(Pseudonym compartment, GivenKey given)
    {
        if (!_opened.TryGetValue(compartment, out var before))
            return;
        var opening = OpeningOf(compartment);
        await opening.WaitAsync().ConfigureAwait(false);
        try
        {
            var isCurrent = _opened.TryGetValue(compartment, out var now) && now.Rotations == given.Rotations;
            if (isCurrent)
                return;
            (now ?? before).Close();
            if (_time.GetUtcNow() - before.GrantChecked >= _maxAge)
                return;
            var untold = _heads.Of(compartment);
            if (await _store.ReadIndexAsync(compartment, 0, CancellationToken.None).ConfigureAwait(false) is { IsErased: false } stored)
                Add(compartment, given with { Key = given.Key.AsSpan().ToArray() }, untold, stored, before.HasEntries ? IndexDepth.Entries : IndexDepth.Headers, before.GrantChecked).Release();
        }
        catch (Exception e) when (e is StoreException or TamperedException)
        {
            // Whoever asks next opens it, and is told.
        }
        finally
        {
            opening.Release();
        }
    }

    /// <summary>Destroys what is stored of a person whose key the key service has destroyed, and closes it.</summary>
    /// <exception cref="StoreException">It may not be.</exception>
    public async ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel)
    {
        await _store.EraseAsync(compartment, cancel).ConfigureAwait(false);
        if (_opened.TryGetValue(compartment, out var opened))
            opened.Close();
    }

    /// <summary>Of what was destroyed a backup has brought the rows back, or the store was never told. What cannot be removed now is when the next one asks: to nobody it makes a difference.</summary>
    private async ValueTask RemoveAsync(Pseudonym compartment, CancellationToken cancel)
    {
        try
        {
            await EraseAsync(compartment, cancel).ConfigureAwait(false);
        }
        catch (StoreException)
        {
            // It opens no more than before.
        }
    }

    public void Dispose()
    {
        _sweep.Dispose();
        foreach (var opened in _opened.Values)
            opened.Close();
    }

    /// <param name="untold">How far it was by what was to be told here before it was read.</param>
    private OpenedCompartment Add(Pseudonym compartment, GivenKey given, ToldHead untold, StoredIndex stored, IndexDepth depth, DateTimeOffset? grantChecked = null)
    {
        var opened = new OpenedCompartment(compartment, given, grantChecked ?? _time.GetUtcNow(), _identifiers, _rules, change => Interlocked.Add(ref _bytes, change), Closed, _heads.Add);
        try
        {
            opened.Load(stored, depth);
            // Where it has got another key since, the rows have another head.
            if (!opened.Continues(given.Known) || (untold.Rotations == given.Rotations && !opened.Continues(untold.Head)))
                throw new TamperedException("A compartment is not as far, or not the same, as it once was.");
        }
        catch
        {
            opened.Close();
            throw;
        }
        opened.TryLease();
        opened.Tell();
        MakeRoom();
        // Nobody else opens this compartment now, and there is no other: see OpenAsync.
        _opened[compartment] = opened;
        Interlocked.Increment(ref _count);
        return opened;
    }

    private OpenedCompartment? TryLease(Pseudonym compartment)
    {
        if (!_opened.TryGetValue(compartment, out var opened))
            return null;
        if (_time.GetUtcNow() - opened.GrantChecked >= _maxAge)
        {
            opened.Close();
            return null;
        }
        if (opened.TryLease())
            return opened;
        opened.Close();
        return null;
    }

    // Counted along, for to look at all of them would make each opening dearer the more are open.
    private void MakeRoom()
    {
        if (Count < _maxCount && Interlocked.Read(ref _bytes) <= _maxBytes)
            return;
        // The oldest tenth: they would have been closed next anyway, and the next few openings need not sort again.
        // Of a copy, which the dictionary makes whole: sorting it as it is leaves gaps where others close meanwhile.
        foreach (var (_, opened) in _opened.ToArray().OrderBy(o => o.Value.GrantChecked).Take(Math.Max(1, Count / 10)))
            opened.Close();
    }

    private void Sweep()
    {
        var now = _time.GetUtcNow();
        foreach (var (_, opened) in _opened)
            if (now - opened.GrantChecked >= _maxAge)
                opened.Close();
    }

    private void Closed(OpenedCompartment opened)
    {
        // Only this one: meanwhile somebody may have opened it anew.
        if (_opened.TryRemove(new(opened.View.Compartment, opened)))
            Interlocked.Decrement(ref _count);
    }
}
