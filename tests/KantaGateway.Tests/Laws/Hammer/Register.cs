using System.Diagnostics;
using System.Globalization;

namespace KantaGateway.Tests.Laws.Hammer;

/// <summary>What a person's declarations let another clinic see.</summary>
/// <param name="First">Entries of the first service event.</param>
/// <param name="Second">Entries of the second one.</param>
readonly record struct Visible(bool First, bool Second);

/// <summary>One declaration: from the moment it was first asked for until its answer.</summary>
/// <param name="Invoked">Timestamp of <see cref="Stopwatch"/> before it was sent for the first time.</param>
/// <param name="Returned">After the answer that said it is in force; <see cref="long.MaxValue"/> when none came.</param>
/// <param name="Value">What is visible once it is in force.</param>
sealed record Write(long Invoked, long Returned, Visible Value, string What);

/// <summary>One request of another clinic.</summary>
/// <param name="First">Whether the answer showed the first service event; null: the answer does not say.</param>
/// <param name="Second">Likewise the second one.</param>
sealed record Read(long Invoked, long Returned, bool? First, bool? Second, string What)
{
    public bool Agrees(Visible value) => (First ?? value.First) == value.First && (Second ?? value.Second) == value.Second;
}

/// <summary>
/// Whether a history is that of one register with one writer, in which each operation takes effect at one moment between its beginning and its
/// end (linearizability). The argument is in the README of this folder.
/// </summary>
static class Register
{
    /// <param name="initial">What is visible before the first declaration.</param>
    /// <param name="writes">In their order: each begins after the answer to the one before.</param>
    /// <param name="reads">Any order.</param>
    /// <returns>Null when it is; else the first request that cannot be explained, in a sentence.</returns>
    public static string? Explain(Visible initial, IReadOnlyList<Write> writes, IEnumerable<Read> reads)
    {
        Write[] all = [new(long.MinValue, long.MinValue, initial, "nothing declared"), .. writes];
        for (var i = 1; i < all.Length; i++)
            if (all[i].Invoked < all[i - 1].Returned || all[i].Returned < all[i].Invoked)
                throw new ArgumentException("The declarations are not one after the other.", nameof(writes));
        var byBeginning = reads.OrderBy(r => r.Invoked).ToArray();
        var placed = new PriorityQueue<int, long>(); // the place of each read, by its end
        // The last declaration that a read before this one has seen, or one that was answered before it.
        var (seen, answered) = (0, 0);
        foreach (var read in byBeginning)
        {
            while (answered + 1 < all.Length && all[answered + 1].Returned < read.Invoked)
                answered++;
            while (placed.TryPeek(out var place, out var end) && end < read.Invoked)
            {
                placed.Dequeue();
                seen = Math.Max(seen, place);
            }
            var from = Math.Max(seen, answered);
            var at = from;
            while (at < all.Length && all[at].Invoked <= read.Returned && !read.Agrees(all[at].Value))
                at++;
            if (at == all.Length || all[at].Invoked > read.Returned)
                return $"{read.What}, begun at {Ms(read.Invoked)} and ended at {Ms(read.Returned)}, showed {Said(read)}. In force then: "
                    + string.Join("; ", all[from..at].Select(w => $"{w.What} ({(w.Value.First ? "both" : w.Value.Second ? "the second only" : "nothing")} to be seen), answered at {Ms(w.Returned)}"))
                    + (seen > answered ? "; a request before it had seen that already." : ".");
            placed.Enqueue(at, read.Returned);
        }
        return null;

        string Ms(long timestamp) => timestamp is long.MinValue ? "the beginning" : timestamp is long.MaxValue ? "no time"
            : string.Create(CultureInfo.InvariantCulture, $"{Stopwatch.GetElapsedTime(byBeginning[0].Invoked, timestamp).TotalMilliseconds:0.000} ms");
        static string Said(Read read) => $"{(read.First switch { true => "the first", false => "not the first", _ => "nothing about the first" })} and {(read.Second switch { true => "the second", false => "not the second", _ => "nothing about the second" })} service event";
    }
}
