using KantaGateway.Fhir.Compartment;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// The service events (palvelutapahtuma) of the rows of one write: the one that each belongs to, and those that show
/// through it. Denials bind by them and by what a row refers to, so both are decided once, when a row is written.
/// </summary>
sealed class WriteEvents(WriteUnit unit, Dictionary<StagedRow, StagedRow> referrers)
{
    /// <summary>Finds the events of every row, and says in the unit's issues where that cannot be.</summary>
    public void Find()
    {
        foreach (var staged in unit.Staged())
            FindEvents(staged);
        Spread();
    }

    /// <summary>The service event of a row, and those of what it shows that is stored already.</summary>
    private void FindEvents(StagedRow staged)
    {
        var before = staged.Replaces;
        var own = staged.Content is null ? before!.ServiceEvent : ServiceEventOf(staged, 0);
        (staged.ServiceEvent, staged.HasServiceEvent) = (own, true);
        // Others have been stored under an Encounter's, be it none; and whatever has one would slip from under a denial of it.
        if (staged.Content is not null && before is { Deleted: false } && before.ServiceEvent != own
            && (before.ServiceEvent is not null || staged.Operation.Type == "Encounter"))
            unit.Issues.Add(new($"The service event of a stored {staged.Operation.Type} cannot be changed or taken away.", ExpressionOf(unit, staged), "business-rule"));
        if (own is not null)
            staged.Shown.Add(own);
        if (staged.Content is { } content)
            staged.Shown.UnionWith(References.EventsNamed(content).Select(e => e.ToString()));
        if (before is not null && KeepsWhatWasShown(staged))
            AddEvents(before);
        staged.Mentions.ForEach(AddEvents);
        foreach (var (target, expression) in staged.Targets)
        {
            AddEvents(target);
            // The companion's row is there and does not say that it shows this event too.
            if (own is not null && ResourceTypes.PlaceOf(target.Type) == ResourcePlace.Companion
                && target.ServiceEvent != own && !target.RelatedEvents.Contains(own))
                unit.Issues.Add(new($"The {target.Type} belongs to another service event or to none; store the two in one transaction, or set its securityContext to the Encounter.",
                    expression, "business-rule"));
        }

        void AddEvents(CompartmentRow row)
        {
            if (row.ServiceEvent is { } its)
                staged.Shown.Add(its);
            staged.Shown.UnionWith(row.RelatedEvents);
        }
    }

    /// <summary>Carries events along the references between the rows of this write, until nothing is added; references may go in circles.</summary>
    private void Spread()
    {
        for (var grew = true; grew;)
        {
            grew = false;
            foreach (var staged in unit.Staged())
                foreach (var other in staged.ShownWith)
                {
                    if (other == staged)
                        continue;
                    var before = staged.Shown.Count;
                    staged.Shown.UnionWith(other.Shown);
                    grew |= staged.Shown.Count > before;
                }
        }
    }

    /// <summary>
    /// The service event that a resource belongs to: named by itself, else its Encounter's, be it addressed or only named, else,
    /// of a companion, that of the resource it came with.
    /// </summary>
    private string? ServiceEventOf(StagedRow staged, int depth)
    {
        if (staged.HasServiceEvent || depth > 20)
            return staged.ServiceEvent;
        var found = Find();
        (staged.ServiceEvent, staged.HasServiceEvent) = (found, true);
        return found;

        string? Find()
        {
            if (staged.Content is not { } content)
                return staged.Replaces?.ServiceEvent;
            if (References.ServiceEvent(content) is { } named)
                return named.ToString();
            if (References.EncounterReference(content) is { Kind: ReferenceKind.Local, Type: "Encounter", Id: { } id })
                return unit.StagedById.TryGetValue($"Encounter/{id}", out var other)
                    ? ServiceEventOf(other, depth + 1)
                    : unit.CurrentOf("Encounter", id, unit.Own)?.ServiceEvent;
            if (References.EventOfUnaddressedEncounter(content) is { } unaddressed)
                return unaddressed.ToString();
            // A Provenance may name the Patient too, who belongs to no event: the first target that does decides.
            foreach (var (type, its) in References.Accompanies(content))
                if ((unit.StagedById.TryGetValue($"{type}/{its}", out var accompanied)
                        ? ServiceEventOf(accompanied, depth + 1)
                        : unit.CurrentOf(type, its, unit.Own)?.ServiceEvent) is { } shared)
                    return shared;
            if (referrers.TryGetValue(staged, out var referrer))
                return ServiceEventOf(referrer, depth + 1);
            return ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion ? staged.Replaces?.ServiceEvent : null;
        }
    }

    /// <summary>Sequences of the resources whose hiding hides a row: what it refers to, and of a companion what refers to it. Ascending, each once.</summary>
    public static int[] TargetsOf(StagedRow staged)
    {
        var targets = new SortedSet<int>();
        foreach (var (target, _) in staged.Targets)
            targets.Add((int)target.Resource);
        foreach (var mentioned in staged.Mentions)
            targets.Add((int)mentioned.Resource);
        foreach (var other in staged.ShownWith)
            targets.Add((int)other.Resource);
        // A deletion shows what it deleted; a companion was stored with those that refer to it.
        if (staged.Replaces is { } before && KeepsWhatWasShown(staged))
            foreach (var target in before.Targets)
                targets.Add(target);
        // The Patient is in no service event, and nothing is hidden by what it hides itself.
        targets.Remove(0);
        targets.Remove((int)staged.Resource);
        return [.. targets];
    }

    private static bool KeepsWhatWasShown(StagedRow staged) => staged.Content is null || ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion;

    /// <summary>FHIRPath of the element that says which service event a resource belongs to.</summary>
    public static string ExpressionOf(WriteUnit unit, StagedRow staged)
    {
        var root = unit.Root(staged.Operation) ?? staged.Operation.Type;
        return root + (staged.Operation.Type == "Encounter" ? ".identifier"
            : staged.Content is { } content && References.EncounterReference(content) is { } encounter ? encounter.Expression[encounter.Expression.IndexOf('.')..]
            : ".extension");
    }
}
