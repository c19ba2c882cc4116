using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Storage;

/// <summary>One row to append: the two ciphertexts of one resource version.</summary>
/// <param name="Sequence">Number of the row in its compartment, from 1 without gaps.</param>
/// <param name="Index">Sealed index entry.</param>
/// <param name="Body">Sealed canonical JSON; empty for a deletion.</param>
/// <param name="Content">Content whose parts have been stored for this row; they are kept from its commit on.</param>
readonly record struct SealedRow(long Sequence, byte[] Index, byte[] Body, Guid? Content = null);

/// <summary>One compartment's share of a commit.</summary>
/// <param name="ExpectedHead">Head that the rows were made for; the commit fails when the compartment has moved on. 0: it does not exist yet.</param>
/// <param name="WrappedKey">The wrapped data key of a new compartment, else null.</param>
/// <param name="Rows">At least one; the first has sequence <paramref name="ExpectedHead"/> + 1.</param>
/// <param name="Generation">Of the data key that the rows are sealed under; the commit fails when the compartment has another one.</param>
sealed record CompartmentAppend(Pseudonym Compartment, long ExpectedHead, byte[]? WrappedKey, IReadOnlyList<SealedRow> Rows, long Generation = 0)
{
    public long NewHead => ExpectedHead + Rows.Count;
}

/// <summary>A compartment as one snapshot shows it.</summary>
/// <param name="WrappedKey">Data key, wrapped by the key service.</param>
/// <param name="Head">Sequence of its last committed row.</param>
/// <param name="Index">Sealed index entries after the sequence asked for, ascending and without gaps up to the head.</param>
/// <param name="Generation">How often its data key was replaced by another one.</param>
sealed record StoredIndex(byte[] WrappedKey, long Head, IReadOnlyList<(long Sequence, byte[] Sealed)> Index, long Generation)
{
    /// <summary>Whether it was destroyed: no key and no row is left, and nothing is appended to it.</summary>
    public bool IsErased => WrappedKey.Length == 0;
}

/// <summary>A compartment's data key as it is stored: wrapped.</summary>
readonly record struct StoredKey(Pseudonym Compartment, byte[] Wrapped);

/// <summary>The same data key wrapped anew, or another one in its place.</summary>
readonly record struct ReplacedKey(Pseudonym Compartment, byte[] Old, byte[] New);

/// <param name="All">Compartments.</param>
/// <param name="Others">Those whose data key is wrapped with another version than the one that was asked for.</param>
readonly record struct StoredKeyCount(long All, long Others);

/// <summary>Rows of a compartment, counted.</summary>
/// <param name="Count">How many different sequences.</param>
/// <param name="First">0 where there is none.</param>
/// <param name="Last">0 where there is none.</param>
readonly record struct RowCount(long Count, long First, long Last)
{
    /// <summary>Whether they are those from 1 to a head, without gaps.</summary>
    public bool AreAll(long head) => Count == head && Last == head && (head == 0 || First == 1);
}

/// <summary>A compartment as it is stored, looked at from outside.</summary>
/// <param name="WrappedKey">Empty where it is destroyed.</param>
/// <param name="LostContents">Contents of rows that are not there, or of which a part before another is missing, or all are.</param>
sealed record CountedRows(Pseudonym Compartment, byte[] WrappedKey, long Head, RowCount Entries, RowCount Bodies, long LostContents);

/// <summary>One sealed body, and the head of its compartment in the same snapshot.</summary>
/// <param name="Head">0 when the compartment does not exist.</param>
/// <param name="Sealed">Null when there is no such row. The caller's own array: it may decrypt in place.</param>
/// <param name="Generation">Of the data key.</param>
readonly record struct StoredBody(long Head, byte[]? Sealed, long Generation = 0);

/// <summary>Sealed bodies, and the head of their compartment in the same snapshot.</summary>
/// <param name="Head">0 when the compartment does not exist.</param>
/// <param name="Sealed">In the order asked for; null where there is no such row. The caller's own arrays.</param>
/// <param name="Generation">Of the data key.</param>
readonly record struct StoredBodies(long Head, byte[]?[] Sealed, long Generation);

/// <summary>A row as it is stored, to be sealed anew.</summary>
/// <param name="Body">Empty where there is none.</param>
readonly record struct StoredRow(long Sequence, byte[] Index, byte[] Body);

/// <summary>
/// What the repository needs of a database, and no more: append rows to compartments, read them back. It sees
/// compartment numbers, sequence numbers and ciphertext. Thread-safe.
/// </summary>
/// <remarks>
/// Rows are never changed, but with all of their compartment destroyed or sealed anew under another data key, so a head of a generation is a snapshot: whoever knows the head of a moment reads the rows up to it at any
/// later time and sees that moment. Each read method sees one snapshot of the database.
/// Every failure of the database is a <see cref="StoreException"/>.
/// </remarks>
interface ICompartmentStore : IAsyncDisposable
{
    /// <summary>Null when the compartment does not exist.</summary>
    ValueTask<StoredIndex?> ReadIndexAsync(Pseudonym compartment, long after, CancellationToken cancel);

    ValueTask<StoredBody> ReadBodyAsync(Pseudonym compartment, long sequence, CancellationToken cancel);

    ValueTask<StoredBodies> ReadBodiesAsync(Pseudonym compartment, IReadOnlyList<long> sequences, CancellationToken cancel);

    /// <summary>
    /// Appends to one or more compartments, all or nothing. When it completes with true the rows are durable.
    /// </summary>
    /// <returns>False when a compartment no longer has the expected head; nothing is stored then.</returns>
    /// <exception cref="StoreException">
    /// Nothing is acknowledged. After a broken connection the rows may nevertheless be there; whole, if at all.
    /// </exception>
    ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel);

    /// <summary>Stores one part of a content, durably. It is nothing yet: only a committed row that has the content makes it last.</summary>
    /// <param name="content">UUID version 7: its time is that of the content's beginning.</param>
    /// <param name="number">From 0.</param>
    ValueTask StorePartAsync(Pseudonym compartment, Guid content, int number, ReadOnlyMemory<byte> sealedPart, CancellationToken cancel);

    /// <summary>Reads a part into a buffer.</summary>
    /// <returns>Its length; -1 when there is no such part.</returns>
    /// <exception cref="StoreException">The buffer is too small for it.</exception>
    ValueTask<int> ReadPartAsync(Pseudonym compartment, Guid content, int number, byte[] buffer, CancellationToken cancel);

    /// <summary>Removes the parts of one content, unless a row has it: of an upload that has just come to nothing.</summary>
    ValueTask DropPartsAsync(Pseudonym compartment, Guid content, CancellationToken cancel);

    /// <summary>Removes the parts of contents that no row has: of uploads that came to nothing and could not say so.</summary>
    /// <param name="before">UUID version 7: contents that began later are left alone, for they may be under way.</param>
    ValueTask SweepPartsAsync(Guid before, CancellationToken cancel);

    /// <summary>Compartments, ascending, whose data key is wrapped with another version of the wrapping key.</summary>
    /// <param name="version">Of the wrapping key.</param>
    /// <param name="after">The last one of the page before; null: from the first.</param>
    /// <param name="most">How many at most.</param>
    /// <param name="cancel">Stops the call.</param>
    ValueTask<IReadOnlyList<StoredKey>> ReadKeysAsync(uint version, Pseudonym? after, int most, CancellationToken cancel);

    /// <summary>How many compartments there are, and of how many the data key is wrapped with another version of the wrapping key. Looks at each of them.</summary>
    ValueTask<StoredKeyCount> CountKeysAsync(uint version, CancellationToken cancel);

    /// <summary>Compartments, ascending, with what they have, each of one snapshot: for whoever verifies the store. Looks at every row of them.</summary>
    /// <param name="after">The last one of the page before; null: from the first.</param>
    /// <param name="most">How many at most.</param>
    /// <param name="cancel">Stops the call.</param>
    ValueTask<IReadOnlyList<CountedRows>> CountRowsAsync(Pseudonym? after, int most, CancellationToken cancel);

    /// <summary>How many rows and contents are of no compartment that is there.</summary>
    ValueTask<long> CountStraysAsync(CancellationToken cancel);

    /// <summary>Puts wrapped keys in the places of those that are still as they were; durable when it completes.</summary>
    /// <returns>How many it has replaced.</returns>
    ValueTask<int> ReplaceKeysAsync(IReadOnlyList<ReplacedKey> keys, CancellationToken cancel);

    /// <summary>
    /// Puts another data key and other rows in the places of all of a compartment, all or nothing; with them begins its next generation. Nobody sees anything of it before it is durable, and nothing can be appended
    /// between <paramref name="settle"/> and that. Contents that no row has any more are left for the sweep.
    /// </summary>
    /// <param name="key">The old one as it is stored, and the new one, wrapped.</param>
    /// <param name="seal">Makes a row of one that is there, for the same sequence; called in ascending order. What it throws leaves everything as it was.</param>
    /// <param name="settle">Called once with the head, when every row is in its place, before that is durable. What it throws leaves everything as it was.</param>
    /// <param name="cancel">Stops the call before it is settled.</param>
    /// <returns>False: the compartment has not that key any more, and is as it was.</returns>
    /// <exception cref="StoreException">After it was settled it may be done or not.</exception>
    ValueTask<bool> ResealAsync(ReplacedKey key, Func<StoredRow, SealedRow> seal, Func<long, Task> settle, CancellationToken cancel);

    /// <summary>
    /// Destroys the wrapped key and every row, entry and content of a compartment, durably; a place of it stays, one beyond its last head, to which nothing can be appended. One that
    /// does not exist gets such a place.
    /// </summary>
    ValueTask EraseAsync(Pseudonym compartment, CancellationToken cancel);

    /// <summary>Completes when the database answers.</summary>
    ValueTask PingAsync(CancellationToken cancel);
}

/// <summary>The database failed or cannot be reached. The inner exception is for the log; it holds no resource data.</summary>
sealed class StoreException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What an operator is told who has run a command: with what the database said.</summary>
    public string Explanation => $"{Message} {InnerException?.Message}".TrimEnd();

    /// <summary>It failed in a commit: the rows may be there, whole, or not at all.</summary>
    public bool MayHaveStored { get; init; }
}
