using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// A compartment as it stood at one head: the decrypted index of its rows. Immutable; views of later heads share the rows.
/// Valid while the lease it came from is held.
/// </summary>
sealed class CompartmentView
{
    private readonly CompartmentRow[] _rows;
    private readonly TypeRows[] _types;

    /// <param name="Firsts">First versions of the type's resources in the order of their creation; views of later heads append to it.</param>
    private readonly record struct TypeRows(string Type, CompartmentRow[] Firsts, int Count);

    private CompartmentView(Pseudonym compartment, CompartmentRow[] rows, int head, TypeRows[] types, long policyVersion) =>
        (Compartment, _rows, Head, _types, PolicyVersion) = (compartment, rows, head, types, policyVersion);

    public static CompartmentView Empty(Pseudonym compartment) => new(compartment, [], 0, [], 0);

    public Pseudonym Compartment { get; }

    /// <summary>Sequence of the last row; 0 when the compartment does not exist.</summary>
    public int Head { get; }

    /// <summary>
    /// Sequence of the last row that wrote something a decision rests on (Consent, Encounter); 0 for none. Of a view from
    /// <see cref="At"/> it is that of the view it was made of: a decision rests on the policy of today.
    /// </summary>
    public long PolicyVersion { get; }

    /// <summary>All versions of everything, in the order they were written.</summary>
    public ReadOnlySpan<CompartmentRow> Rows => _rows.AsSpan(0, Head);

    /// <summary>Types of which there are resources, deleted ones too; ordinal, for the order of their first would tell of hidden ones.</summary>
    public IEnumerable<string> Types()
    {
        foreach (var type in _types.OrderBy(t => t.Type, StringComparer.Ordinal))
            if (type.Firsts[0].Sequence <= Head)
                yield return type.Type;
    }

    /// <summary>
    /// First version of each resource of a type, in the order of their creation; of Patient: of each controller's record.
    /// </summary>
    public ArraySegment<CompartmentRow> FirstsOf(string type)
    {
        foreach (var rows in _types)
            if (rows.Type == type)
                return new(rows.Firsts, 0, CountUpToHead(rows));
        return ArraySegment<CompartmentRow>.Empty;
    }

    /// <summary>The compartment as it stood at an earlier head.</summary>
    /// <param name="head">0 to <see cref="Head"/>.</param>
    public CompartmentView At(int head)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)head, (uint)Head);
        return head == Head ? this : new(Compartment, _rows, head, _types, PolicyVersion);
    }

    /// <summary>The row with this sequence, or null.</summary>
    public CompartmentRow? Row(long sequence) => sequence > 0 && sequence <= Head ? _rows[sequence - 1] : null;

    /// <summary>
    /// Newest version of a resource other than Patient, be it a deletion; null when this compartment has no such resource.
    /// </summary>
    public CompartmentRow? Current(long resource) =>
        Row(resource) is { } first && first.Resource == resource ? Newest(first) : null;

    /// <summary>
    /// The Patient record of a controller, be it a deletion. Every controller keeps its own record under the one Patient
    /// id.
    /// </summary>
    public CompartmentRow? PatientOf(string controller)
    {
        foreach (var first in FirstsOf("Patient"))
            if (first.Controller == controller)
                return Newest(first);
        return null;
    }

    /// <summary>Newest version, within this view, of the resource that the row is a version of.</summary>
    public CompartmentRow Newest(CompartmentRow row)
    {
        // A later view may already have added versions; go back to this view's.
        var newest = row.First.Latest;
        while (newest.Sequence > Head)
            newest = newest.Previous!;
        return newest;
    }

    /// <summary>The view after more rows. Only the holder of the compartment's refresh lock calls it, on the newest view.</summary>
    /// <param name="added">Continues the sequence without a gap.</param>
    /// <exception cref="TamperedException">It does not.</exception>
    public CompartmentView With(IReadOnlyList<CompartmentRow> added)
    {
        var (rows, types, policy) = (_rows, _types.ToArray(), PolicyVersion);
        if (rows.Length < Head + added.Count)
            Array.Resize(ref rows, Math.Max(Head + added.Count, rows.Length * 2));
        for (var i = 0; i < added.Count; i++)
        {
            var row = added[i];
            if (row.Sequence != Head + i + 1)
                throw new TamperedException("A row of a compartment is missing.");
            rows[row.Sequence - 1] = row;
            if (FirstOf(row) is { } first)
            {
                (row.First, row.Previous) = (first, first.Latest);
                first.Latest = row;
            }
            else if (row.IsPatient || row.Resource == row.Sequence)
                AddFirst(row);
            else
                throw new TamperedException("A row belongs to a resource that does not exist.");
            if (row.DecidesPolicy)
                policy = row.Sequence;
        }
        return new(Compartment, rows, Head + added.Count, types, policy);

        CompartmentRow? FirstOf(CompartmentRow row)
        {
            if (!row.IsPatient)
                return row.Resource < row.Sequence && row.Resource > 0 && rows[row.Resource - 1] is { } first && first.Resource == row.Resource ? first : null;
            foreach (var of in types)
                if (of.Type == row.Type)
                    foreach (var patient in of.Firsts.AsSpan(0, of.Count))
                        if (patient.Controller == row.Controller)
                            return patient;
            return null;
        }

        void AddFirst(CompartmentRow row)
        {
            var at = Array.FindIndex(types, t => t.Type == row.Type);
            if (at < 0)
            {
                at = types.Length;
                types = [.. types, new(row.Type, new CompartmentRow[4], 0)];
            }
            var (type, firsts, count) = types[at];
            if (firsts.Length == count)
                Array.Resize(ref firsts, count * 2);
            firsts[count] = row;
            types[at] = new(type, firsts, count + 1);
        }
    }

    /// <summary>How many resources of a type there were at this head: all of them, unless the view was cut back.</summary>
    private int CountUpToHead(TypeRows rows)
    {
        if (rows.Firsts[rows.Count - 1].Sequence <= Head)
            return rows.Count;
        var (low, high) = (0, rows.Count - 1);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (rows.Firsts[middle].Sequence <= Head)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
}
