using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Storage;

enum CopiedKind : byte
{
    Compartment = 1,
    Entry,
    Body,
    Content,
    Part,
}

/// <summary>One row of a store, of whichever engine.</summary>
/// <param name="Number">Head of a compartment; sequence of an entry, a body or a content; number of a part.</param>
/// <param name="Content">Of a content and a part.</param>
/// <param name="Value">Wrapped key of a compartment; what is sealed; empty for a content.</param>
readonly record struct CopiedRow(CopiedKind Kind, Pseudonym Compartment, long Number, Guid Content, byte[] Value)
{
    public bool Is(CopiedRow other) => (Kind, Compartment, Number, Content) == (other.Kind, other.Compartment, other.Number, other.Content) && Value.AsSpan().SequenceEqual(other.Value);

    public void AddTo(IncrementalHash hash)
    {
        Span<byte> head = stackalloc byte[1 + Pseudonym.Size + 8 + 16 + 4];
        head[0] = (byte)Kind;
        Compartment.Write(head[1..]);
        System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(head[(1 + Pseudonym.Size)..], Number);
        Content.TryWriteBytes(head[(9 + Pseudonym.Size)..], bigEndian: true, out _);
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(head[^4..], Value.Length);
        hash.AppendData(head);
        hash.AppendData(Value);
    }
}

/// <summary>
/// A store as whoever copies it sees it: all of its rows in one order, the same for both engines. Compartments ascend; after each come its entries, bodies,
/// contents and their parts, ascending. Parts that no row has are no part of it: they are of uploads that came to nothing. Used by one at a time.
/// </summary>
interface ICopiedStore : IAsyncDisposable
{
    /// <summary>Where it is, without secrets.</summary>
    string Name { get; }

    /// <summary>Keeps everybody from writing to it until it is disposed.</summary>
    /// <exception cref="StoreException">Somebody writes to it.</exception>
    Task HoldAsync(CancellationToken cancel);

    /// <summary>Rows and parts, for the progress: heads of compartments together, and every part.</summary>
    Task<long> CountAsync(CancellationToken cancel);

    IAsyncEnumerable<CopiedRow> ReadAsync(Pseudonym? after, CancellationToken cancel);

    /// <summary>Makes it the target of a copy: it is nobody's store until <see cref="FinishAsync"/>.</summary>
    /// <returns>The last compartment that a copy from the same source, broken off, has brought here; null: none.</returns>
    /// <exception cref="StoreException">There is something else in it.</exception>
    Task<Pseudonym?> BeginAsync(string source, CancellationToken cancel);

    /// <summary>Adds a row; durable with the next commit.</summary>
    Task WriteAsync(CopiedRow row, CancellationToken cancel);

    Task CommitAsync(CancellationToken cancel);

    /// <summary>From now on it is a store like any other.</summary>
    Task FinishAsync(CancellationToken cancel);
}

/// <summary>Copies all of a store into an empty one, of either engine, and compares every row of both.</summary>
static class StoreCopy
{
    /// <summary>A commit closes with the compartment in which it reaches this.</summary>
    private const int BytesOfCommit = 8 << 20;

    /// <summary>Copies what the target does not have yet, and then compares all.</summary>
    /// <param name="say">Told of the progress.</param>
    /// <returns>Null: both are the same. Else the first difference; the target then stays nobody's store.</returns>
    /// <exception cref="StoreException">A database fails, the source is written to, or the target is not empty.</exception>
    public static async Task<string?> RunAsync(ICopiedStore source, ICopiedStore target, Action<string> say, CancellationToken cancel)
    {
        await source.HoldAsync(cancel).ConfigureAwait(false);
        var last = await target.BeginAsync(source.Name, cancel).ConfigureAwait(false);
        var progress = new Progress("copied", await source.CountAsync(cancel).ConfigureAwait(false), await target.CountAsync(cancel).ConfigureAwait(false), say);
        if (last is not null)
            say("going on where a copy was broken off");
        var bytes = 0L;
        await foreach (var row in source.ReadAsync(last, cancel).ConfigureAwait(false))
        {
            // Only between compartments: what is in the target is whole, so its last compartment tells where to go on.
            if (row.Kind == CopiedKind.Compartment && bytes >= BytesOfCommit)
            {
                await target.CommitAsync(cancel).ConfigureAwait(false);
                progress.Committed();
                bytes = 0;
            }
            await target.WriteAsync(row, cancel).ConfigureAwait(false);
            bytes += row.Value.Length;
            progress.Add(row);
        }
        await target.CommitAsync(cancel).ConfigureAwait(false);
        progress.Committed(isLast: true);
        var difference = await CompareAsync(source, target, say, cancel).ConfigureAwait(false);
        if (difference is null)
            await target.FinishAsync(cancel).ConfigureAwait(false);
        return difference;
    }

    /// <summary>Reads both and compares every row.</summary>
    /// <returns>Null: both are the same. Else the first difference, without personal data: a compartment is named by its place.</returns>
    public static async Task<string?> CompareAsync(ICopiedStore source, ICopiedStore target, Action<string> say, CancellationToken cancel)
    {
        var progress = new Progress("compared", await source.CountAsync(cancel).ConfigureAwait(false), 0, say);
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var compartment = 0L;
        await using var others = target.ReadAsync(null, cancel).GetAsyncEnumerator(cancel);
        await foreach (var row in source.ReadAsync(null, cancel).ConfigureAwait(false))
        {
            if (row.Kind == CopiedKind.Compartment)
                compartment++;
            if (!await others.MoveNextAsync().ConfigureAwait(false))
                return Difference("it and what follows is missing", row);
            if (!row.Is(others.Current))
                return Difference("it is another one", row);
            row.AddTo(digest);
            progress.Add(row);
            progress.Committed();
        }
        if (await others.MoveNextAsync().ConfigureAwait(false))
            return "the target has more than the source";
        progress.Committed(isLast: true);
        say($"both have the digest SHA-256 {Convert.ToHexStringLower(digest.GetHashAndReset())}");
        return null;

        string Difference(string what, CopiedRow row) => string.Create(CultureInfo.InvariantCulture, $"compartment {compartment}, {row.Kind.ToString().ToLowerInvariant()} {row.Number}: {what} in the target");
    }

    /// <summary>Says at most once in a second how far it is.</summary>
    /// <param name="done">Before this run.</param>
    private sealed class Progress(string verb, long all, long done, Action<string> say)
    {
        private readonly long _begin = Stopwatch.GetTimestamp(), _before = done;
        private long _done = done, _said;

        public void Add(CopiedRow row) => _done += row.Kind is CopiedKind.Entry or CopiedKind.Part ? 1 : 0;

        public void Committed(bool isLast = false)
        {
            if (!isLast && _said != 0 && Stopwatch.GetElapsedTime(_said).TotalSeconds < 1)
                return;
            _said = Stopwatch.GetTimestamp();
            var rate = (_done - _before) / Math.Max(0.001, Stopwatch.GetElapsedTime(_begin).TotalSeconds);
            // Of destroyed people the head counts and no row is there: the end is the end all the same.
            var left = isLast ? TimeSpan.Zero : TimeSpan.FromSeconds((long)Math.Min(1e8, Math.Max(0, all - _done) / Math.Max(1, rate)));
            say(string.Create(CultureInfo.InvariantCulture, $"{verb} {_done:N0} of {all:N0} rows and parts, {(isLast ? 100 : Math.Min(99, 100 * _done / Math.Max(1, all)))} %, {rate:N0} a second, {left:c} left"));
        }
    }
}
