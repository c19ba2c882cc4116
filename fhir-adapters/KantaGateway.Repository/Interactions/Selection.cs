using KantaGateway.Fhir.Grants;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Which rows of a view a scope lets exist. Every interaction finds its rows through here, so that what is hidden takes
/// the same way as what was never there (law 4).
/// </summary>
static class Selection
{
    public static bool Admits(this DisclosureScope scope, CompartmentRow row) => scope.Admits(row.Type, row.Controller, row.ServiceEvent, row.RelatedEvents);

    /// <summary>
    /// Newest version of the resource with this id, be it a deletion; null when there is none in the scope.
    /// </summary>
    /// <param name="resource">Sequence from the id; 0 is the Patient.</param>
    public static CompartmentRow? Current(CompartmentView view, DisclosureScope scope, string type, long resource)
    {
        if (resource == 0)
            return type == "Patient" ? Patient(view, scope) : null;
        return view.Current(resource) is { } row && row.Type == type && scope.Admits(row) ? row : null;
    }

    /// <summary>
    /// The Patient record to show: the requester's own, else the newest of others in the scope. A deleted record only
    /// when there is no other.
    /// </summary>
    public static CompartmentRow? Patient(CompartmentView view, DisclosureScope scope)
    {
        var own = view.PatientOf(scope.Controller);
        if (own is not null && (own.Deleted || !scope.Admits(own)))
            own = null;
        if (own is not null)
            return own;
        CompartmentRow? newest = null;
        foreach (var record in view.Patients())
            if (scope.Admits(record)
                && (newest is null || (newest.Deleted && !record.Deleted) || (newest.Deleted == record.Deleted && record.Sequence > newest.Sequence)))
                newest = record;
        return newest;
    }

    /// <summary>
    /// A past or present version of a resource. Only while its newest version is in the scope: else the old versions would
    /// tell that there is a hidden newer one.
    /// </summary>
    public static CompartmentRow? Version(CompartmentView view, DisclosureScope scope, string type, long resource, long sequence) =>
        view.Row(sequence) is { } row && row.Resource == resource && row.Type == type && scope.Admits(row) && scope.Admits(view.Newest(row)) ? row : null;

    /// <summary>Versions of a resource in the scope, newest first.</summary>
    public static IEnumerable<CompartmentRow> History(CompartmentView view, DisclosureScope scope, string type, long resource)
    {
        for (var row = Current(view, scope, type, resource); row is not null; row = row.Previous)
            if (scope.Admits(row))
                yield return row;
    }

    /// <summary>Newest versions of the resources of a type in the scope, without deleted ones, in the order of their creation.</summary>
    public static IEnumerable<CompartmentRow> OfType(CompartmentView view, DisclosureScope scope, string type)
    {
        if (type == "Patient")
        {
            if (Patient(view, scope) is { Deleted: false } patient)
                yield return patient;
            yield break;
        }
        for (var sequence = 1; sequence <= view.Head; sequence++)
        {
            var first = view.Row(sequence)!;
            if (first.Resource != sequence || first.Type != type)
                continue;
            var row = view.Newest(first);
            if (!row.Deleted && scope.Admits(row))
                yield return row;
        }
    }
}
