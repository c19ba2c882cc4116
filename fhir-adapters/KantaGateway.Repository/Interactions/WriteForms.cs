using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Protection;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// Nothing that care is to read refers to a signed form, or to what is there because of one: to nobody else the form exists, and a reference that leads nowhere tells that
/// something was declared (EHDS Art. 8). And nothing is made a form that care would lose by it. What only speaks of what is stored is hidden with the form
/// (<see cref="WithheldRows.FormsOf"/>).
/// </summary>
/// <remarks>
/// In either order what is written last is refused, so nothing silently disappears. Whoever does not see the form has been answered as if it were absent, and nobody is refused
/// because of what they are not shown. The person, who sees every form, may speak of it.
/// </remarks>
/// <param name="within">What rows of the write refer to in it, and the FHIRPath of each reference.</param>
sealed class WriteForms(WriteUnit unit, IdentifierCipher identifiers, IReadOnlyCollection<(StagedRow From, StagedRow To, string Expression)> within)
{
    private readonly HashSet<StagedRow> _telling = [];
    private readonly Queue<StagedRow> _open = new();

    /// <summary>Says in the unit's issues what is wrong, once the references have been followed.</summary>
    public void Check()
    {
        foreach (var staged in unit.Staged())
        {
            // The person sees every form, and may ask for one to be rectified; who answers her names her request.
            if (staged.Content is null || RectificationRequests.Says(staged.Content))
                continue;
            if (IsHidden(staged))
                CheckStaysForm(staged);
            foreach (var (target, expression) in staged.Targets)
                if (!IsForm(target, staged.Target))
                    CheckMadeForm(staged, target, expression);
                else if (!IsHidden(staged) && target.Type == "Binary" && staged.Content is DocumentReference document && HasOthers(document, staged.Target))
                    Wrong("This Binary is the signed form of a declaration: only the person and this register see it, and what has it attached. Leave it out of a document that has other contents.", expression);
                else if (target.Labels?.IsRequest == true && WithheldRows.IsCare(staged.Operation.Type, SignedForms.Says(staged.Content)))
                    Wrong("This Communication is the person's request for rectification, or its answer: only she and this register see it, and nothing refers to it that care is to read. Leave the reference out.", expression);
                else
                    Tells(staged, target.Type, expression);
        }
        while (_open.TryDequeue(out var told))
            foreach (var (from, _, expression) in within.Where(w => w.To == told))
                Tells(from, told.Operation.Type, expression);
    }

    private void Tells(StagedRow staged, string type, string expression)
    {
        if (WithheldRows.IsCare(staged.Operation.Type, SignedForms.Says(staged.Content!)) || (staged.Replaces is { } before && IsNote(before, staged.Target)))
            Wrong($"This {type} is the signed form of a declaration, or tells of one: only the person and this register see it, and nothing refers to it that care is to read. Leave the reference out; what care needs of it is stored by itself. A document that is a form too says so by {SignedForms.HowToSay}.", expression);
        else if (_telling.Add(staged))
            _open.Enqueue(staged);
    }

    /// <summary>What a Consent names, and what a form is given to consist of, only the person and its register are shown from then on.</summary>
    private void CheckMadeForm(StagedRow staged, CompartmentRow target, string expression)
    {
        if ((staged.Content is not Consent && !(WithheldRows.HasParts(staged.Operation.Type) && IsHidden(staged))) || target.Controller != staged.Controller
            || !References.Parts(staged.Content!).Contains((target.Type, identifiers.ResourceId(staged.Target.View.Compartment, target.Resource)))
            || staged.Target.View.InTheWayOf(target, staged.Target.Referable) is not { } lost)
            return;
        var why = !WithheldRows.HasParts(lost.Type) ? $"{lost.Type} refers to this {target.Type}, or to what has it: it is a note, and no form."
            : $"{(lost.Resource == target.Resource ? $"This {target.Type}" : $"{lost.Type} that has this {target.Type}, or refers to it,")} does not say that it is one, as forms do: {SignedForms.HowToSay}.";
        Wrong($"What a declaration names as its signed form is hidden from other care. {why} Store the signed form by itself, or send it in sourceAttachment.data.", expression);
    }

    /// <summary>A form would be hidden from other care whatever is written into it.</summary>
    private void CheckStaysForm(StagedRow staged)
    {
        if (staged.Replaces!.Labels?.IsForm == true && !SignedForms.Says(staged.Content!))
            Wrong($"This {staged.Operation.Type} is the signed form of a declaration, or tells of one, and stays hidden from other care. Store what else there is to say in a new one.", unit.Root(staged.Operation) ?? staged.Operation.Type);
    }

    private void Wrong(string sentence, string expression) => unit.Issues.Add(new(sentence, expression, "business-rule"));

    private static bool IsHidden(StagedRow staged) => staged.Replaces is { } before && IsForm(before, staged.Target);

    // What care refers to would stay, or be missing to it; what is hidden already is not hidden by this.
    private static bool IsNote(CompartmentRow row, WriteTarget target) => !target.View.IsForm((int)row.Sequence) && target.View.IsNote(row, target.Referable);

    private static bool IsForm(CompartmentRow row, WriteTarget target) => row.Controller == target.Controller && target.View.IsForm((int)row.Sequence);

    /// <summary>Whether a document has contents of its own beside those of forms.</summary>
    private bool HasOthers(DocumentReference document, WriteTarget target)
    {
        var attached = document.Content.FindAll(content => content.Attachment is { Url: not null } or { Data: not null });
        var forms = attached.Count(content => content.Attachment.Url is { } url && References.TryReadLocal(url, out var type, out var id)
            && unit.CurrentOf(type!, id!, target) is { } row && IsForm(row, target));
        return forms > 0 && forms < attached.Count;
    }
}
