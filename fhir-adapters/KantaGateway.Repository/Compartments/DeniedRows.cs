using System.Collections;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// The rows of a compartment, up to a head, that show something of denied service events: they belong to one, were related to one when they were
/// written, or refer to a resource whose newest version shows one, however many references away. So what others name may come into a
/// service event afterwards, and they are hidden with it. Immutable.
/// </summary>
sealed class DeniedRows
{
    /// <summary>Nothing is denied.</summary>
    public static readonly DeniedRows None = new([], 0, new(0));

    private readonly BitArray _rows;

    private DeniedRows(IReadOnlyList<string> serviceEvents, int head, BitArray rows) => (ServiceEvents, Head, _rows) = (serviceEvents, head, rows);

    /// <summary>OIDs of the denied service events.</summary>
    public IReadOnlyList<string> ServiceEvents { get; }

    public int Head { get; }

    /// <param name="sequence">Of a row up to the head.</param>
    public bool Contains(int sequence) => sequence < _rows.Length && _rows[sequence];

    /// <summary>The same rows under another list of the same service events.</summary>
    public DeniedRows Under(IReadOnlyList<string> serviceEvents) => new(serviceEvents, Head, _rows);

    /// <summary>Finds them in time linear in rows and references.</summary>
    public static DeniedRows Of(RowTable table, IReadOnlyList<string> serviceEvents, int head)
    {
        var rows = new BitArray(head + 1);
        var events = new HashSet<string>(serviceEvents, StringComparer.Ordinal);
        var among = table.EventsAmong(events);
        var spreading = new Stack<int>();
        for (var sequence = 1; sequence <= head; sequence++)
        {
            ref readonly var facts = ref table.FactsOf(sequence);
            if (among[facts.Event] || (facts.Extras != 0 && Array.Exists(table.ExtrasOf(facts).RelatedEvents, events.Contains)))
                Add(sequence);
        }
        if (spreading.Count > 0)
            Spread();
        return new(serviceEvents, head, rows);

        void Add(int sequence)
        {
            if (rows[sequence])
                return;
            rows[sequence] = true;
            if (table.NewestOf(sequence, head) == sequence)
                spreading.Push(table.FactsOf(sequence).First);
        }

        void Spread()
        {
            var referrers = Referrers();
            while (spreading.TryPop(out var first))
                foreach (var referrer in referrers[first])
                    Add(referrer);
        }

        ILookup<int, int> Referrers()
        {
            var pairs = new List<(int Target, int Row)>();
            for (var sequence = 1; sequence <= head; sequence++)
                foreach (var target in table.TargetsOf(table.FactsOf(sequence)))
                    pairs.Add((target, sequence));
            return pairs.ToLookup(p => p.Target, p => p.Row);
        }
    }
}
