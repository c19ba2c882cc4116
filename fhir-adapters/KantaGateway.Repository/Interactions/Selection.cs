using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Which rows of a view a scope lets exist. Every interaction finds its rows through here, so that what is hidden takes
/// the same way as what was never there (law 4).
/// </summary>
static class Selection
{
    /// <summary>
    /// Newest version of the resource with this id, be it a deletion; null when there is none in the scope.
    /// </summary>
    /// <param name="resource">Sequence from the id; 0 is the Patient.</param>
    public static CompartmentRow? Current(CompartmentView view, DisclosureScope scope, string type, long resource)
    {
        if (resource == 0)
            return type == "Patient" ? Patient(view, scope) : null;
        return view.Current(resource) is { } row && row.Type == type && view.Admits(row, scope) ? row : null;
    }

    /// <summary>
    /// The Patient record to show: the requester's own, else the newest of others in the scope. A deleted record only
    /// when there is no other.
    /// </summary>
    public static CompartmentRow? Patient(CompartmentView view, DisclosureScope scope)
    {
        CompartmentRow? newest = null;
        foreach (var first in view.FirstsOf("Patient"))
        {
            var record = view.Newest(first);
            if (!view.Admits(record, scope))
                continue;
            if (scope.IsOwn(record.Controller, record.Register) && !record.Deleted)
                return record;
            if (newest is null || (newest.Deleted && !record.Deleted) || (newest.Deleted == record.Deleted && record.Sequence > newest.Sequence))
                newest = record;
        }
        return newest;
    }

    /// <summary>
    /// A past or present version of a resource. Only while its newest version is in the scope: else the old versions would
    /// tell that there is a hidden newer one.
    /// </summary>
    public static CompartmentRow? Version(CompartmentView view, DisclosureScope scope, string type, long resource, long sequence) =>
        view.Row(sequence) is { } row && row.Resource == resource && row.Type == type && view.Admits(row, scope) && view.Admits(view.Newest(row), scope) ? row : null;

    /// <summary>Versions of a resource in the scope, newest first.</summary>
    public static IEnumerable<CompartmentRow> History(CompartmentView view, DisclosureScope scope, string type, long resource)
    {
        for (var row = Current(view, scope, type, resource); row is not null; row = row.Previous)
            if (view.Admits(row, scope))
                yield return row;
    }

    /// <summary>
    /// Versions in the scope of all resources, newest first; of Patient those of the record that is shown.
    /// </summary>
    /// <param name="type">Null: every type.</param>
    public static IEnumerable<CompartmentRow> Versions(CompartmentView view, DisclosureScope scope, string? type)
    {
        var patient = Patient(view, scope)?.First;
        for (var sequence = view.Head; sequence > 0; sequence--)
            if (view.Row(sequence) is { } row && (type is null || row.Type == type) && view.Admits(row, scope) && view.Admits(view.Newest(row), scope)
                && (!row.IsPatient || row.First == patient))
                yield return row;
    }

    /// <summary>Whether no earlier version of the resource is in the scope: it counts as the one that created it.</summary>
    public static bool IsFirst(CompartmentView view, DisclosureScope scope, CompartmentRow row)
    {
        for (var earlier = row.Previous; earlier is not null; earlier = earlier.Previous)
            if (view.Admits(earlier, scope))
                return false;
        return true;
    }

    /// <summary>Newest versions of the resources of a type in the scope, without deleted ones, in the order of their creation.</summary>
    /// <param name="query">Leaves out what cannot match it; null: nothing.</param>
    public static IEnumerable<CompartmentRow> OfType(CompartmentView view, DisclosureScope scope, string type, SearchQuery? query = null) => OfType(view, view, scope, type, query);

    /// <summary>
    /// Those resources of a type as they stood at an earlier head of the same compartment, as far as they may be seen today:
    /// without what has been deleted or hidden since.
    /// </summary>
    /// <param name="then">View at the earlier head.</param>
    /// <param name="now">The newest view, which the decision was checked against.</param>
    /// <param name="query">Leaves out what cannot match it; null: nothing.</param>
    public static IEnumerable<CompartmentRow> OfType(CompartmentView then, CompartmentView now, DisclosureScope scope, string type, SearchQuery? query = null)
    {
        if (type == "Patient")
        {
            if (Patient(then, now, scope) is { } patient)
                yield return patient;
            yield break;
        }
        // Patients are few; of what a record holds most is passed over, and becomes no object.
        foreach (var first in then.FirstSequencesOf(type))
            if (Standing(then, now, scope, first) is > 0 and var standing && query?.MayMatch(then.EntryOf(standing)) != false)
                yield return then.Row(standing)!;
    }

    /// <summary>A resource as it stood then, when it may be seen today; null when not.</summary>
    /// <param name="first">Its first version.</param>
    public static CompartmentRow? Standing(CompartmentView then, CompartmentView now, DisclosureScope scope, CompartmentRow first) =>
        then.Row(Standing(then, now, scope, (int)first.Sequence));

    /// <summary>The same by sequences; 0 when it may not be seen.</summary>
    private static int Standing(CompartmentView then, CompartmentView now, DisclosureScope scope, int first)
    {
        var standing = then.NewestOf(first);
        return then.Shows(standing, scope) && (ReferenceEquals(then, now) || now.Shows(now.NewestOf(first), scope)) ? standing : 0;
    }

    /// <summary>The Patient record shown then, when it may be seen today; null when not.</summary>
    public static CompartmentRow? Patient(CompartmentView then, CompartmentView now, DisclosureScope scope) =>
        Patient(then, scope) is { Deleted: false } record ? Standing(then, now, scope, record.First) : null;
}
