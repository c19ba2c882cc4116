using System.Globalization;

namespace KantaGateway.Audit.Monitoring;

/// <summary>Some leaves by the first eight bytes of their hashes, from an index on; fewer than asked for only at the end.</summary>
delegate ValueTask<ulong[]> ReadFingerprints(long from, int count);

/// <summary>
/// Names what was done to a sequence of leaves: which were changed, dropped, inserted or put in another order. It says what happened; that something did is proven by roots and signatures. Pure but for its readers.
/// </summary>
static class LeafComparison
{
    /// <summary>Leaves among which one that is missed is looked for.</summary>
    private const int Window = 512;

    /// <param name="from">Both are alike before it.</param>
    /// <param name="expected">As they were signed or seen.</param>
    /// <param name="found">As they are now; what there is beyond the expected ones is growth.</param>
    /// <param name="say">Told each.</param>
    /// <returns>How many of the expected ones were compared: with what is missing at the end, fewer than there are.</returns>
    public static async ValueTask<long> NameAsync(long from, ReadFingerprints expected, ReadFingerprints found, Action<LogFault> say)
    {
        var (a, b) = (from, from);
        for (var named = 0; named < MonitorReport.MaxFaults;)
        {
            var (before, now) = (await expected(a, Window).ConfigureAwait(false), await found(b, Window).ConfigureAwait(false));
            if (before.Length == 0 || now.Length == 0)
                break;
            var same = before.AsSpan().CommonPrefixLength(now);
            if (same > 0)
            {
                (a, b) = (a + same, b + same);
                continue;
            }
            var (dropped, inserted) = (Array.IndexOf(before, now[0]), Array.IndexOf(now, before[0]));
            var apart = Math.Max(dropped, inserted);
            named++;
            switch (dropped > 0, inserted > 0)
            {
                case (true, true):
                    say(new(LogFaultKind.Reordered, $"{Range(a, apart + 1)} in another order"));
                    (a, b) = (a + apart + 1, b + apart + 1);
                    break;
                case (true, false):
                    say(new(LogFaultKind.Dropped, $"{Range(a, dropped)} dropped"));
                    a += dropped;
                    break;
                case (false, true):
                    say(new(LogFaultKind.Inserted, $"{Range(b, inserted)} inserted"));
                    b += inserted;
                    break;
                default:
                    say(new(LogFaultKind.Changed, $"{Range(a, 1)} changed"));
                    (a, b) = (a + 1, b + 1);
                    break;
            }
        }
        return a;
    }

    private static string Range(long first, long count) => count == 1
        ? string.Create(CultureInfo.InvariantCulture, $"entry {first} was")
        : string.Create(CultureInfo.InvariantCulture, $"entries {first} to {first + count - 1} were");
}
