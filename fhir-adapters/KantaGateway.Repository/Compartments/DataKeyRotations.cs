using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Fhir.Transport;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>How far the sealing anew of one record is.</summary>
/// <param name="Act">Which act it is by: whose record it is, is not said.</param>
/// <param name="All">Rows of the record.</param>
/// <param name="Left">Those that are not sealed anew.</param>
/// <param name="PerSecond">Rows.</param>
sealed record RecordProgress(string Act, long All, long Left, double PerSecond) : WorkProgress(All, Left, PerSecond);

/// <summary>What came of the rotation of a data key.</summary>
/// <param name="Rows">Of the record, each sealed anew.</param>
/// <param name="Before">Digest of where it ended under the old key, 32 hexadecimal digits.</param>
/// <param name="After">Of the same row under the new one.</param>
sealed record RotatedRecord(long Rows, string Before, string After);

/// <summary>
/// Replaces the data key of one person, and seals all of the record anew under the new one, while requests go on: every version, its entry, which is its index, and its body, and the parts of contents. Thread-safe.
/// </summary>
/// <remarks>
/// 1. the key service gives the old key and a new one, the same again to whoever goes on; 2. contents are sealed anew in parts of other names; 3. all rows are, in one transaction, each held against the chain that it is
/// in and the end of it that is known; 4. before its commit the key service keeps where the record ends now; 5. after it, it lets the old key open nothing any more. A kill before the commit leaves the old record
/// and key, one after it the new ones: whoever asks for the new key first ends what is left of 5. Either way the act is carried out again, and says what came of it.
/// </remarks>
sealed partial class DataKeyRotations(ICompartmentStore store, KeyClient keys, OpenedCompartments opened, TimeProvider time, ILogger<DataKeyRotations> logger)
{
    /// <summary>Times that it begins anew because contents were stored meanwhile, or the old key was wrapped anew.</summary>
    private const int MaxAttempts = 16;

    private readonly ConcurrentDictionary<Pseudonym, Run> _running = new();

    /// <summary>Those under way in this process.</summary>
    public IReadOnlyList<RecordProgress> Progress => [.. _running.Values.Select(run => run.ProgressAt(time))];

    /// <summary>Does it, or waits for who does it already; goes on when nobody waits any more.</summary>
    /// <param name="statement">The gateway's, for the key service.</param>
    /// <exception cref="FaultException">There is no such record, or it may not be done. Ask again.</exception>
    /// <exception cref="TamperedException">The record is not as it was written; it is left as it is.</exception>
    /// <exception cref="StoreException">It may be done or not. Ask again.</exception>
    public async Task<RotatedRecord> RotateAsync(DataKeyRotation rotation, string statement, CancellationToken cancel)
    {
        var begun = new Run(rotation.Act, time.GetTimestamp());
        var run = _running.GetOrAdd(rotation.Compartment, begun);
        if (run == begun)
            run.Done = Task.Run(async () =>
            {
                try
                {
                    return await RunAsync(rotation.Compartment, statement, run).ConfigureAwait(false);
                }
                finally
                {
                    _running.TryRemove(new(rotation.Compartment, run));
                }
            }, CancellationToken.None);
        else if (run.Act != rotation.Act)
            throw new FaultException(new Fault(FaultKind.Busy, "Another rotation of this data key is under way. Carry it out again when that is done."));
        return await run.Ended.WaitAsync(cancel).ConfigureAwait(false);
    }

    private async Task<RotatedRecord> RunAsync(Pseudonym compartment, string statement, Run run)
    {
        // Before the store is read: what is committed after that need not be there yet.
        var untold = opened.UntoldOf(compartment);
        var stored = await store.ReadIndexAsync(compartment, long.MaxValue, CancellationToken.None).ConfigureAwait(false);
        if (stored is not { IsErased: false })
            throw new FaultException(Fault.Absent);
        // :: Step 1
        var given = await keys.RotateAsync(statement, stored.WrappedKey, CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (given.Done is { } done)
                return Outcome(done);
            using var copying = new ContentCopying(store, compartment, given, time);
            for (var attempt = 0; attempt < MaxAttempts; attempt++)
            {
                // :: Step 2
                stored = await copying.CopyAsync(stored.Generation, CancellationToken.None).ConfigureAwait(false);
                // :: Steps 3 and 4
                using var sealing = new RowSealing(compartment, given, untold.Rotations == given.Rotations ? untold.Head : default, copying.Copies, run);
                run.Begin(stored.Head);
                try
                {
                    if (!await store.ResealAsync(new(compartment, stored.WrappedKey, given.Wrapped), sealing.Seal, head => keys.SealedAsync(compartment, given.Ticket, sealing.HeadsAt(head), CancellationToken.None),
                        CancellationToken.None).ConfigureAwait(false))
                        continue;
                }
                catch (NewContentException)
                {
                    continue;
                }
                // :: Step 5
                var (witness, rotations) = await keys.EndRotationAsync(compartment, given.Ticket, CancellationToken.None).ConfigureAwait(false);
                await opened.RotatedAsync(compartment, new(given.New, sealing.Heads.After, witness, rotations)).ConfigureAwait(false);
                LogRotated(sealing.Heads.After.Sequence);
                return Outcome(sealing.Heads);
            }
            throw new FaultException(new Fault(FaultKind.Busy, "Contents were stored in the record all the while. Carry it out again."));
        }
        finally
        {
            CryptographicOperations.ZeroMemory(given.Old);
            CryptographicOperations.ZeroMemory(given.New);
        }
    }

    private static RotatedRecord Outcome(RotatedHeads heads) => new(heads.After.Sequence, heads.Before.Hex, heads.After.Hex);

    /// <summary>A content has been stored since they were copied.</summary>
    private sealed class NewContentException : Exception;

    /// <summary>One that is under way.</summary>
    private sealed class Run(string act, long began)
    {
        private readonly TaskCompletionSource<Task<RotatedRecord>> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private long _all, _sealed, _began = began;

        public string Act => act;

        public Task<RotatedRecord> Done { set => _done.SetResult(value); }

        public Task<RotatedRecord> Ended => _done.Task.Unwrap();

        public void Begin(long rows)
        {
            Volatile.Write(ref _all, rows);
            Volatile.Write(ref _sealed, 0);
        }

        public void Sealed() => Interlocked.Increment(ref _sealed);

        public RecordProgress ProgressAt(TimeProvider time)
        {
            var done = Volatile.Read(ref _sealed);
            // Others append meanwhile.
            var all = Math.Max(Volatile.Read(ref _all), done);
            return new(act, all, all - done, WorkProgress.RateOf(done, time.GetElapsedTime(_began)));
        }
    }

    /// <summary>Seals the contents of a record anew, under names of their own: until a row has them they are nothing, and nobody who reads the old ones notices. Those are left to the sweep.</summary>
    private sealed class ContentCopying(ICompartmentStore store, Pseudonym compartment, RotationKeys keys, TimeProvider time) : IDisposable
    {
        private readonly AesGcm _old = new(keys.Old, 16), _new = new(keys.New, 16);
        private long _scanned;
        private UInt128 _before;

        /// <summary>From the parts of a content to those that are sealed anew.</summary>
        public Dictionary<Guid, Guid> Copies { get; } = [];

        /// <summary>Copies what is there and is not copied yet.</summary>
        /// <returns>The record without its entries, as it was then.</returns>
        /// <exception cref="FaultException">Somebody else has rotated it meanwhile.</exception>
        public async Task<StoredIndex> CopyAsync(long generation, CancellationToken cancel)
        {
            var stored = await store.ReadIndexAsync(compartment, _scanned, cancel).ConfigureAwait(false);
            if (stored?.Generation != generation)
                throw new FaultException(new Fault(FaultKind.Busy, "The record was sealed anew by another process meanwhile. Carry it out again."));
            foreach (var (sequence, sealedEntry) in stored.Index)
            {
                var entry = new byte[Math.Max(0, sealedEntry.Length - RowSeal.Overhead)];
                RowSeal.OpenIndex(_old, compartment, sequence, _before, sealedEntry, entry);
                (_before, _scanned) = (RowSeal.TagOf(sealedEntry), sequence);
                var content = new IndexEntry(entry).Content;
                CryptographicOperations.ZeroMemory(entry);
                if (content is null || Copies.ContainsKey(content.Id))
                    continue;
                var copy = Guid.CreateVersion7(time.GetUtcNow());
                await PartSealing.CopyAsync(store, compartment, _old, _new, content, copy, cancel).ConfigureAwait(false);
                Copies.Add(content.Id, copy);
            }
            return stored with { Index = [] };
        }

        public void Dispose()
        {
            _old.Dispose();
            _new.Dispose();
        }
    }

    /// <summary>Seals the rows of a record anew, one after the other from the first, and takes none that was not written there: what was changed is not given a new seal.</summary>
    /// <param name="untold">How far it is by what is still to be told from here; none: nothing is.</param>
    private sealed class RowSealing(Pseudonym compartment, RotationKeys keys, CompartmentHead untold, Dictionary<Guid, Guid> copies, Run run) : IDisposable
    {
        private readonly AesGcm _old = new(keys.Old, 16), _new = new(keys.New, 16);
        private readonly HashSet<Guid> _owned = [];
        private long _head;
        private UInt128 _before, _after;

        public RotatedHeads Heads => new(CompartmentHead.Of(compartment, _head, _before), CompartmentHead.Of(compartment, _head, _after));

        /// <summary>All rows up to a head are sealed anew, and it is no less far than was known.</summary>
        public RotatedHeads HeadsAt(long head) => head == _head && head >= keys.Known.Sequence && head >= untold.Sequence ? Heads : throw new TamperedException("A compartment has lost committed rows.");

        public SealedRow Seal(StoredRow row)
        {
            if (row.Sequence != _head + 1)
                throw new TamperedException("A row of a compartment is missing.");
            var entry = new byte[Math.Max(0, row.Index.Length - RowSeal.Overhead)];
            RowSeal.OpenIndex(_old, compartment, row.Sequence, _before, row.Index, entry);
            (_before, _head) = (RowSeal.TagOf(row.Index), row.Sequence);
            if ((row.Sequence == keys.Known.Sequence && Heads.Before != keys.Known) || (row.Sequence == untold.Sequence && Heads.Before != untold))
                throw new TamperedException("A compartment is not the same as it once was.");
            var index = new IndexEntry(entry);
            var (resource, type) = (index.ResourceSequence, Encoding.UTF8.GetString(index.Type));
            var body = RowSeal.OpenBody(_old, compartment, row.Sequence, _before, resource, type, row.Body);
            Guid? owned = null;
            if (index.Content is { } content)
            {
                var copy = copies.TryGetValue(content.Id, out var found) ? found : throw new NewContentException();
                var renamed = index.WithParts(copy);
                CryptographicOperations.ZeroMemory(entry);
                entry = renamed;
                // A later version may keep the content of the one before it.
                owned = _owned.Add(content.Id) ? copy : null;
            }
            var sealedEntry = RowSeal.SealIndex(_new, compartment, row.Sequence, _after, entry);
            _after = RowSeal.TagOf(sealedEntry);
            var sealedBody = RowSeal.SealBody(_new, compartment, row.Sequence, _after, resource, type, body.Span);
            CryptographicOperations.ZeroMemory(entry);
            CryptographicOperations.ZeroMemory(row.Body);
            run.Sealed();
            return new(row.Sequence, sealedEntry, sealedBody, owned);
        }

        public void Dispose()
        {
            _old.Dispose();
            _new.Dispose();
        }
    }

    [LoggerMessage(2209, LogLevel.Warning, "The data key of one person was replaced, and {Rows} rows are sealed anew under another one.")]
    private partial void LogRotated(long rows);
}
