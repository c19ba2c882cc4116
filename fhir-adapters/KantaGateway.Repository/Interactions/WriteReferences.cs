using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// What the rows of one write refer to. A reference leads to something that this request may see, in the patient's
/// compartment, in the directory or in the same write; and a resource has a reason to be in the compartment.
/// </summary>
sealed class WriteReferences(WriteUnit unit, string publicBase, IdentifierCipher identifiers)
{
    /// <summary>Companions of this write, each with a row that refers to it.</summary>
    public Dictionary<StagedRow, StagedRow> Referrers { get; } = [];

    /// <summary>What rows of this write refer to in it, and the FHIRPath of each reference.</summary>
    private readonly List<(StagedRow From, StagedRow To, string Expression)> _within = [];

    /// <summary>Follows every reference, and says in the unit's issues which lead nowhere.</summary>
    public void Check()
    {
        foreach (var staged in unit.Staged())
            if (staged.Content is not null)
                CheckReferences(staged);
        foreach (var staged in unit.Staged())
            CheckBelonging(staged);
        new WriteForms(unit, identifiers, _within).Check();
    }

    private void CheckReferences(StagedRow staged)
    {
        References.MakeRelative(staged.Content!, publicBase);
        var isDirectory = staged.Target.View.Compartment.IsDirectory;
        if (!isDirectory && staged.Operation.Type == "Patient")
            CheckIdentityCode(staged);
        if (References.ServiceEventCandidates(staged.Content!).Count > 1)
            unit.Issues.Add(new("More than one identifier may be the service event; mark the OID of the service event, and no other, as official.",
                WriteEvents.ExpressionOf(unit, staged), "business-rule"));
        foreach (var reference in References.Of(staged.Content!, unit.Root(staged.Operation)))
        {
            var (type, id) = (reference.Type, reference.Id);
            switch (reference.Kind)
            {
                case ReferenceKind.Logical or ReferenceKind.Contained or ReferenceKind.External:
                    continue;
                case ReferenceKind.Urn:
                    Wrong("A urn reference means something only inside a transaction that contains its target.", reference.Expression);
                    continue;
                case ReferenceKind.Malformed:
                    Wrong("The reference is neither Type/id nor a URL.", reference.Expression, "value");
                    continue;
                case ReferenceKind.Conditional:
                    if (!TryFindConditional(reference, out id))
                        continue;
                    reference.Element.Reference = $"{type}/{id}";
                    break;
            }
            Follow(type!, id!, reference.Expression);
        }
        foreach (var link in References.Links(staged.Content!, unit.Root(staged.Operation)))
        {
            // Where a document's text lies does not say whom it is about.
            var belongs = staged.BelongsToPatient;
            if (link is { Type: { } type, Id: { } id })
                Follow(type, id, link.Expression);
            else
                Wrong("A URL on this server is Type/id.", link.Expression, "value");
            staged.BelongsToPatient = belongs;
        }
        // What only names another resource tells of it too; whether there is one is not asked.
        if (!isDirectory)
            foreach (var (type, id, expression) in References.Mentions(staged.Content!, publicBase, unit.Root(staged.Operation)))
                if (unit.StagedById.TryGetValue($"{type}/{id}", out var other))
                    ShowWith(other, expression);
                else if (unit.CurrentOf(type, id, unit.Own) is { Deleted: false } stored)
                    staged.Targets.Add((stored, expression));
                else if (unit.AnyOf(type, id) is { Deleted: false } unseen)
                    staged.Mentions.Add(unseen);

        void Follow(string type, string id, string expression)
        {
            if (ResourceTypes.PlaceOf(type) == ResourcePlace.Directory)
            {
                if (!ResolvesInDirectory(type, id))
                    Wrong($"The reference names no {type} in the directory.", expression, "not-found");
            }
            else if (isDirectory)
                Wrong("An entry of the directory cannot refer to a patient's record.", expression);
            else if (type == "Patient")
            {
                if (id == identifiers.PatientId(unit.Own.View.Compartment))
                    staged.BelongsToPatient = true;
                else
                    Wrong("The reference names another patient than the record it would be stored in.", expression);
            }
            else if (unit.StagedById.TryGetValue($"{type}/{id}", out var other) && other.Content is not null)
            {
                ShowWith(other, expression);
                if (ResourceTypes.PlaceOf(type) == ResourcePlace.Companion)
                {
                    Referrers.TryAdd(other, staged);
                    other.ShownWith.Add(staged);
                }
                else
                    staged.BelongsToPatient = true;
            }
            else if (other is null && unit.CurrentOf(type, id, unit.Own) is { Deleted: false } stored)
            {
                staged.BelongsToPatient = true;
                staged.Targets.Add((stored, expression));
            }
            // A desk takes the denial of a prescription of any register (§59.2), and is not told whether there is one.
            else if (IsDeclared("MedicationRequest", ".provision.data["))
                return;
            // A review names the emergency that it settles, which nobody but the person reads: one that the reviewer's own organisation recorded.
            else if (IsDeclared("Consent", ".source") && unit.AnyOf(type, id) is { Deleted: false } recorded && recorded.Controller == staged.Target.Scope.Controller)
            {
                staged.BelongsToPatient = true;
                staged.Mentions.Add(recorded);
            }
            else
                Wrong($"The reference names no {type} that this request may refer to.", expression, "not-found");

            // Of what a clinic declares, a reference to this type at this place.
            bool IsDeclared(string target, string place) => type == target && staged.Operation.Type == "Consent" && staged.Target.Scope.MayDeclare
                && expression.Contains(place, StringComparison.Ordinal);
        }

        void ShowWith(StagedRow other, string expression)
        {
            staged.ShownWith.Add(other);
            _within.Add((staged, other, expression));
        }

        void Wrong(string sentence, string expression, string? code = null) => unit.Issues.Add(new(sentence, expression, code));
    }

    private bool TryFindConditional(ReferenceAt reference, out string? id)
    {
        id = null;
        var target = ResourceTypes.PlaceOf(reference.Type) == ResourcePlace.Directory && !unit.Own.View.Compartment.IsDirectory ? unit.Directory : unit.Own;
        var literal = reference.Element.Reference!;
        var (matches, fault) = target is null ? ([], null) : unit.Find(target, reference.Type!, literal[(literal.IndexOf('?') + 1)..]);
        if (fault is not null)
        {
            unit.Issues.Add(new(fault.Issues[0].Diagnostics, reference.Expression, "value"));
            return false;
        }
        if (matches.Count != 1)
        {
            unit.Issues.Add(new($"The conditional reference matches {(matches.Count == 0 ? "no" : "more than one")} {reference.Type}.", reference.Expression, "not-found"));
            return false;
        }
        id = identifiers.ResourceId(target!.View.Compartment, matches[0].Resource);
        return true;
    }

    private bool ResolvesInDirectory(string type, string id)
    {
        if (unit.StagedById.TryGetValue($"{type}/{id}", out var staged))
            return staged.Content is not null;
        var directory = unit.Own.View.Compartment.IsDirectory ? unit.Own : unit.Directory;
        return directory is not null && Resolves(directory, type, id);
    }

    private bool Resolves(WriteTarget target, string type, string id) => unit.CurrentOf(type, id, target) is { Deleted: false };

    /// <summary>A Patient record states whose it is, once, and never becomes another person's.</summary>
    private void CheckIdentityCode(StagedRow staged)
    {
        var patient = (Patient)staged.Content!;
        var root = unit.Root(staged.Operation) ?? "Patient";
        var codes = patient.Identifier.Where(i => i.System == PersonalIdentityCode.System).ToList();
        if (codes.Count != 1)
        {
            unit.Issues.Add(new($"A Patient has exactly one identifier with system {PersonalIdentityCode.System}, the personal identity code.", $"{root}.identifier", "required"));
            return;
        }
        if (staged.Replaces is not { Deleted: false } replaces)
            return;
        var (query, _) = SearchQuery.Parse("Patient", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System)}%7C{Uri.EscapeDataString(codes[0].Value ?? "")}",
            identifiers, staged.Target.View.Compartment, DateTimeOffset.UnixEpoch);
        if (query?.Matches(replaces.Entry) != true)
            unit.Issues.Add(new("The personal identity code of a Patient cannot be changed.", $"{root}.identifier", "business-rule"));
    }

    /// <summary>A resource in a patient's compartment must have a reason to be there.</summary>
    private void CheckBelonging(StagedRow staged)
    {
        if (staged.Content is not { } content || staged.BelongsToPatient || staged.Target.View.Compartment.IsDirectory || content is Patient)
            return;
        // An update of a companion: what it belongs to was decided when it was created.
        if (ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion && (Referrers.ContainsKey(staged) || staged.Replaces is not null))
            return;
        var root = unit.Root(staged.Operation);
        var subject = ResourceTypes.SubjectElements(staged.Operation.Type).FirstOrDefault();
        var expression = subject is null ? root ?? staged.Operation.Type : root is null ? subject : root + subject[subject.IndexOf('.')..];
        unit.Issues.Add(new(ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion
            ? "A resource of this type is stored together with one that refers to it, in the same transaction."
            : "The resource does not say which patient it is about.", expression, "required"));
    }
}
