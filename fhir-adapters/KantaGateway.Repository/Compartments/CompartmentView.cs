using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// A compartment as it stood at one head: the decrypted index of its rows. Immutable; views of later heads share the rows.
/// Valid while the lease it came from is held.
/// </summary>
sealed class CompartmentView
{
    private readonly CompartmentRow[] _rows;
    private readonly CompartmentRow[] _patients;
    private readonly int _patientCount;

    private CompartmentView(Pseudonym compartment, CompartmentRow[] rows, int head, CompartmentRow[] patients, int patientCount, long policyVersion) =>
        (Compartment, _rows, Head, _patients, _patientCount, PolicyVersion) = (compartment, rows, head, patients, patientCount, policyVersion);

    public static CompartmentView Empty(Pseudonym compartment) => new(compartment, [], 0, [], 0, 0);

    public Pseudonym Compartment { get; }

    /// <summary>Sequence of the last row; 0 when the compartment does not exist.</summary>
    public int Head { get; }

    /// <summary>Sequence of the last row that wrote something a decision rests on (Consent, Encounter); 0 for none.</summary>
    public long PolicyVersion { get; }

    /// <summary>All versions of everything, in the order they were written.</summary>
    public ReadOnlySpan<CompartmentRow> Rows => _rows.AsSpan(0, Head);

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
        foreach (var first in _patients.AsSpan(0, _patientCount))
            if (first.Controller == controller)
                return Newest(first);
        return null;
    }

    /// <summary>Newest version of each controller's Patient record, in the order of their creation.</summary>
    public IEnumerable<CompartmentRow> Patients()
    {
        for (var i = 0; i < _patientCount; i++)
            yield return Newest(_patients[i]);
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
        var (rows, patients, patientCount, policy) = (_rows, _patients, _patientCount, PolicyVersion);
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
            else if (row.IsPatient)
            {
                if (patients.Length == patientCount)
                    Array.Resize(ref patients, Math.Max(4, patientCount * 2));
                patients[patientCount++] = row;
            }
            else if (row.Resource != row.Sequence)
                throw new TamperedException("A row belongs to a resource that does not exist.");
            if (row.DecidesPolicy)
                policy = row.Sequence;
        }
        return new(Compartment, rows, Head + added.Count, patients, patientCount, policy);

        CompartmentRow? FirstOf(CompartmentRow row)
        {
            if (!row.IsPatient)
                return row.Resource < row.Sequence && row.Resource > 0 && rows[row.Resource - 1] is { } first && first.Resource == row.Resource ? first : null;
            foreach (var patient in patients.AsSpan(0, patientCount))
                if (patient.Controller == row.Controller)
                    return patient;
            return null;
        }
    }
}
