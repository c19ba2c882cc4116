using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;

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
        CheckForms();
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
                // What only the person and its register are shown from then on is nothing that care rests on.
                if (staged.Operation.Type == "Consent" && expression.Contains(".source", StringComparison.Ordinal) && unit.Own.View.IsNote(stored, staged.Target.Referable))
                    Wrong($"Entries of the record refer to this {type}: it is a note, and no form. Store the signed form by itself, or send it in sourceAttachment.data.", expression, "business-rule");
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

    /// <summary>
    /// No entry of care refers to a signed form, or to what is there because of one: to nobody else the form exists, and a reference that leads nowhere tells that
    /// something was declared (EHDS Art. 8). What only speaks of what is stored is hidden with the form (<see cref="WithheldRows.FormsOf"/>). Whoever does not see the form has
    /// been answered as if it were absent.
    /// </summary>
    private void CheckForms()
    {
        var telling = new HashSet<StagedRow>();
        var open = new Queue<StagedRow>();
        foreach (var staged in unit.Staged())
            foreach (var (target, expression) in staged.Targets)
                if (IsForm(target, staged.Target))
                {
                    var isHidden = staged.Replaces is { } before && IsForm(before, staged.Target);
                    if (!isHidden && target.Type == "Binary" && staged.Content is DocumentReference document && HasOthers(document, staged.Target))
                        unit.Issues.Add(new("This Binary is the signed form of a declaration: only the person and this register see it, and what has it attached. Leave it out of a document that has other contents.",
                            expression, "business-rule"));
                    else
                        Tells(staged, target.Type, expression);
                }
        while (open.TryDequeue(out var told))
            foreach (var (from, _, expression) in _within.Where(w => w.To == told))
                Tells(from, told.Operation.Type, expression);

        void Tells(StagedRow staged, string type, string expression)
        {
            if (!WithheldRows.SpeaksOfEntries(staged.Operation.Type) || (staged.Replaces is { } before && IsNote(before, staged.Target)))
                unit.Issues.Add(new($"This {type} is the signed form of a declaration, or tells of one: only the person and this register see it, and no entry of care refers to it. Leave the reference out; what care needs of it is stored by itself.",
                    expression, "business-rule"));
            else if (telling.Add(staged))
                open.Enqueue(staged);
        }

        // What entries of care refer to would stay, or be missing to them; what is hidden already is not hidden by this.
        static bool IsNote(CompartmentRow row, WriteTarget target) => !target.View.IsForm((int)row.Sequence) && target.View.IsNote(row, target.Referable);

        static bool IsForm(CompartmentRow row, WriteTarget target) => row.Controller == target.Controller && target.View.IsForm((int)row.Sequence);

        // Whether a document has contents of its own beside those of forms.
        bool HasOthers(DocumentReference document, WriteTarget target)
        {
            var attached = document.Content.FindAll(content => content.Attachment is { Url: not null } or { Data: not null });
            var forms = attached.Count(content => content.Attachment.Url is { } url && References.TryReadLocal(url, out var type, out var id)
                && unit.CurrentOf(type!, id!, target) is { } row && IsForm(row, target));
            return forms > 0 && forms < attached.Count;
        }
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
