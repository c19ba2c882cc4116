using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;

namespace KantaGateway.Repository.Compartments;

/// <summary>
/// A compartment as it stood at one head: the decrypted index of its rows. Immutable; views of later heads share the rows.
/// Valid while the lease it came from is held.
/// </summary>
sealed class CompartmentView
{
    private readonly RowTable _rows;

    /// <summary>Head of the view of today, which withholding is held against.</summary>
    private readonly int _today;

    private CompartmentView(Pseudonym compartment, RowTable rows, int head, int today, long policyVersion) =>
        (Compartment, _rows, Head, _today, PolicyVersion) = (compartment, rows, head, today, policyVersion);

    /// <summary>Of a compartment that does not exist.</summary>
    public static CompartmentView Empty(Pseudonym compartment) => new(compartment, new(compartment, null, _ => { }), 0, 0, 0);

    /// <summary>All rows that a table has now.</summary>
    public static CompartmentView Of(Pseudonym compartment, RowTable rows) => new(compartment, rows, rows.Count, rows.Count, rows.PolicyVersion);

    public Pseudonym Compartment { get; }

    /// <summary>Sequence of the last row; 0 when the compartment does not exist.</summary>
    public int Head { get; }

    /// <summary>
    /// Sequence of the last row that wrote something a decision rests on (<see cref="CompartmentRow.DecidesPolicy"/>); 0 for none. Of a view from
    /// <see cref="At"/> it is that of the view it was made of: a decision rests on the policy of today.
    /// </summary>
    public long PolicyVersion { get; }

    /// <summary>Whether the person's policy may take a controller's own register from it: then no decision rests on none.</summary>
    public bool HasRestrictions => _rows.HasRestrictions;

    /// <summary>Types of which there are resources, deleted ones too; ordinal, for the order of their first would tell of hidden ones.</summary>
    public IEnumerable<string> Types() => _rows.Types(Head).Order(StringComparer.Ordinal);

    /// <summary>
    /// First version of each resource of a type, in the order of their creation; of Patient: of each register's record.
    /// </summary>
    public IEnumerable<CompartmentRow> FirstsOf(string type)
    {
        foreach (var first in _rows.FirstsOf(type, Head))
            yield return _rows.Row(first);
    }

    /// <summary>The compartment as it stood at an earlier head.</summary>
    /// <param name="head">0 to <see cref="Head"/>.</param>
    public CompartmentView At(int head)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)head, (uint)Head);
        return head == Head ? this : new(Compartment, _rows, head, _today, PolicyVersion);
    }

    /// <summary>The row with this sequence, or null.</summary>
    public CompartmentRow? Row(long sequence) => sequence > 0 && sequence <= Head ? _rows.Row((int)sequence) : null;

    /// <summary>Tag of the sealed entry of a row: it stands for all rows up to it. 0 of none.</summary>
    public UInt128 TagOf(long sequence) => _rows.TagOf((int)sequence);

    /// <summary>
    /// Newest version of a resource other than Patient, be it a deletion; null when this compartment has no such resource.
    /// </summary>
    public CompartmentRow? Current(long resource) =>
        Row(resource) is { } first && first.Resource == resource ? Newest(first) : null;

    /// <summary>
    /// The Patient record of a register, be it a deletion. Every register keeps its own record under the one Patient id.
    /// </summary>
    public CompartmentRow? PatientOf(string controller, string register)
    {
        foreach (var first in FirstsOf("Patient"))
            if (first.Controller == controller && first.Register == register)
                return Newest(first);
        return null;
    }

    /// <summary>Newest version, within this view, of the resource that the row is a version of.</summary>
    public CompartmentRow Newest(CompartmentRow row) => NewestOf((int)row.Sequence) is var newest && newest == row.Sequence ? row : _rows.Row(newest);

    // :: The same by sequences, for looking through many rows of which few become objects.

    /// <summary>Sequences of the first versions of the resources of a type, in the order of their creation.</summary>
    public ArraySegment<int> FirstSequencesOf(string type) => _rows.FirstsOf(type, Head);

    /// <inheritdoc cref="Newest"/>
    public int NewestOf(int sequence) => _rows.NewestOf(sequence, Head);

    /// <summary>Whether a row exists for a scope; a deletion does not.</summary>
    public bool Shows(int sequence, DisclosureScope scope) => !IsDeletion(sequence) && Admits(sequence, scope);

    /// <summary>Whether a scope lets a row exist, be it a deletion.</summary>
    public bool Admits(CompartmentRow row, DisclosureScope scope) => Admits((int)row.Sequence, scope);

    private bool Admits(int sequence, DisclosureScope scope)
    {
        ref readonly var facts = ref _rows.FactsOf(sequence);
        return scope.Admits(_rows.TypeOf(facts), _rows.ControllerOf(facts), _rows.RegisterOf(facts), HiddenFrom(scope, sequence)) && !TellsOfConsents(facts, scope) && Passes(sequence, scope);
    }

    private bool IsDeletion(int sequence) => (_rows.FactsOf(sequence).Marks & RowTable.RowMarks.Deleted) != 0;

    /// <summary>Whether a row is the Provenance of a Consent, which says that something was declared: hidden with it.</summary>
    private bool TellsOfConsents(in RowTable.Facts facts, DisclosureScope scope)
    {
        if (scope.ShowsConsents || _rows.TypeOf(facts) != "Provenance")
            return false;
        foreach (var target in _rows.TargetsOf(facts))
            if (target <= Head && _rows.TypeOf(_rows.FactsOf(target)) == "Consent")
                return true;
        return false;
    }

    /// <summary>The row of care, which a scope shows, that would be lost to other care if a Consent of its controller named a resource as its signed form; null: there is none.</summary>
    public CompartmentRow? InTheWayOf(CompartmentRow form, DisclosureScope scope) =>
        Row(WithheldRows.InTheWayOf(_rows, (int)form.Resource, Head, _rows.Forms(_today), sequence => Shows(sequence, scope)));

    /// <summary>Whether care in its register, which a scope shows, refers to a resource.</summary>
    public bool IsNote(CompartmentRow row, DisclosureScope scope) => WithheldRows.IsNote(_rows, (int)row.Resource, Head, sequence => Shows(sequence, scope));

    /// <summary>Whether a row is a signed form behind a Consent or a request for rectification, or is there because of one: it is shown to its register and the person.</summary>
    public bool IsForm(int sequence) => _rows.Forms(_today) is { } forms && sequence < forms.Length && forms[sequence];

    /// <summary>Whether a row passes the filters of token and task; a deletion where what it deleted does.</summary>
    private bool Passes(int sequence, DisclosureScope scope)
    {
        if (!scope.HasFilters)
            return true;
        ref readonly var facts = ref _rows.FactsOf(sequence);
        var type = _rows.TypeOf(facts);
        var isOwn = scope.IsOwn(_rows.ControllerOf(facts), _rows.RegisterOf(facts));
        if (type == "Binary" && scope.OfTask(isOwn) is not null && !IsOfDocument(facts.First, scope, isOwn))
            return false;
        if (!scope.Narrows(type, isOwn))
            return true;
        while (IsDeletion(sequence))
            if ((sequence = _rows.FactsOf(sequence).Previous) == 0)
                return false;
        var entry = _rows.EntryOf(sequence);
        // To whom addresses are not told, no filter tells of them (turvakielto).
        if (scope.HidesContacts && ContactDetails.AreSearchedIn(type) && HidesContacts(_rows.Row(sequence), scope))
            entry = ContactDetails.WithoutThem(entry);
        return scope.Passes(type, entry, isOwn);
    }

    /// <summary>
    /// Whether a content is that of a document which the scope shows today: as in its history, by a version that the scope shows, while it shows the newest one too.
    /// So a content that only an earlier version has is reached, and none by what the document was before it was corrected. Of a deleted document the
    /// last version counts, and in the own register alone; in that one also a content of no document is reached.
    /// </summary>
    private bool IsOfDocument(int content, DisclosureScope scope, bool isOwn)
    {
        var isOfNone = true;
        foreach (var first in _rows.FirstsOf("DocumentReference", Head))
        {
            // Only a document of the same register is the content's own: anybody's may name it.
            if (_rows.FactsOf(first).Register != _rows.FactsOf(content).Register)
                continue;
            var newest = _rows.NewestOf(first, Head);
            for (var version = newest; version > 0; version = _rows.FactsOf(version).Previous)
            {
                if (!_rows.TargetsOf(_rows.FactsOf(version)).Contains(content))
                    continue;
                if ((isOwn || !IsDeletion(newest)) && Admits(newest, scope) && Shows(version, scope))
                    return true;
                isOfNone = false;
            }
        }
        return isOwn && isOfNone;
    }

    /// <summary>Whether what tells where the person lives is left out of a row (turvakielto): the gateway asks it, and the register is another one.</summary>
    public bool HidesContacts(CompartmentRow row, DisclosureScope scope) => scope.HidesContacts && row.HasContacts && !scope.IsOwn(row.Controller, row.Register) && IsNonDisclosure;

    /// <summary>Whether the person stands under a non-disclosure for personal safety (turvakielto), by whoever's record of them.</summary>
    public bool IsNonDisclosure => _rows.IsNonDisclosure(_today);

    private Hidden HiddenFrom(DisclosureScope scope, int sequence) =>
        WithheldBy(scope).Of(sequence) | (IsForm(sequence) ? Hidden.AsForm : Hidden.None);

    private WithheldRows WithheldBy(DisclosureScope scope)
    {
        if (_last is { } last && ReferenceEquals(last.Scope, scope))
            return last.Rows;
        var rows = scope.Withheld.IsNothing ? WithheldRows.None : _rows.Withheld(scope.Withheld, _today);
        _last = new(scope, rows);
        return rows;
    }

    // One request asks of many rows in turn: what it asked last is asked next.
    private sealed record Asked(DisclosureScope Scope, WithheldRows Rows);

    private volatile Asked? _last;

    /// <summary>The decrypted entry of a row, where the compartment was opened with them.</summary>
    public ReadOnlySpan<byte> EntryOf(int sequence) => _rows.EntryOf(sequence);
}
