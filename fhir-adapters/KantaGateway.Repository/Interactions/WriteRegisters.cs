using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// The register that each row of a write goes to: the writer's own, unless an InformationCustodian Provenance in the same write names
/// another one of the same controller, or of a controller that the writer may write for. A Binary that is stored with its document goes with it.
/// </summary>
/// <remarks>Act 703/2023 §13 and §18: of purchased services the controller is who bought them; occupational care keeps a register for each employer.</remarks>
sealed class WriteRegisters
{
    private readonly DisclosureScope _scope;
    private readonly string _publicBase;

    // By fullUrl and by Type/id.
    private readonly Dictionary<string, (string Controller, string Register)> _named = new(StringComparer.Ordinal);

    /// <param name="scope">Of the grant: who writes.</param>
    /// <exception cref="FaultException">A Provenance names a controller that the writer may not write for, or no register that is kept.</exception>
    public WriteRegisters(DisclosureScope scope, IReadOnlyList<BundleOperation> operations, string publicBase, Func<BundleOperation, string?> root)
    {
        (_scope, _publicBase) = (scope, publicBase);
        foreach (var operation in operations)
        {
            if (operation.Resource is not Provenance provenance || Read(provenance, root(operation)) is not { } place)
                continue;
            foreach (var target in provenance.Target)
                if (target.Reference is { } literal)
                    _named.TryAdd(References.Relative(literal, publicBase), place);
            // It tells of the register itself.
            foreach (var name in NamesOf(operation))
                _named[name] = place;
            _named.TryAdd(KeyOf(operation), place);
        }
        if (_named.Count > 0)
            foreach (var operation in operations)
                if (operation.Resource is DocumentReference document && Of(operation) is var place && place != (scope.Controller, scope.Register))
                    AddContents(document, operations, place);
    }

    /// <summary>What is attached to a document and comes with it goes where the document goes, if it is not named itself: who is shown the document is shown its text.</summary>
    private void AddContents(DocumentReference document, IReadOnlyList<BundleOperation> operations, (string Controller, string Register) place)
    {
        foreach (var content in operations)
            if (content is { Method: BundleMethod.Post, Resource: Binary, FullUrl: { } url } && document.Content.Exists(its => its.Attachment?.Url == url))
                _named.TryAdd(References.Relative(url, _publicBase), place);
    }

    /// <summary>Controller and register that an operation's row goes to.</summary>
    public (string Controller, string Register) Of(BundleOperation operation)
    {
        if (_named.Count > 0)
            foreach (var name in (IEnumerable<string>)[.. NamesOf(operation), KeyOf(operation)])
                if (_named.TryGetValue(name, out var place))
                    return place;
        return (_scope.Controller, _scope.Register);
    }

    /// <summary>Where a Provenance says that what it is about belongs; null where it does not say.</summary>
    /// <exception cref="FaultException">The writer may not write there (403), or it is no register that is kept (422).</exception>
    public (string Controller, string Register)? Read(Provenance provenance, string? root)
    {
        if (InformationCustodian.Of(provenance) is not { } custodian)
            return null;
        var expression = root ?? "Provenance";
        if (custodian.Wrong is { } wrong)
            throw new FaultException(new Fault(FaultKind.Unprocessable, new FaultIssue(wrong, $"{expression}.entity", "business-rule")));
        // A custodian without an OID is the writer: nobody writes for others by leaving out whom.
        var controller = custodian.Controller is null || custodian.IsOf(_scope.Controller) ? _scope.Controller : _scope.MayWriteFor.FirstOrDefault(custodian.IsOf)
            ?? throw new FaultException(new Fault(FaultKind.Denied, "The Provenance names another organisation as the custodian, and this one may not write for it.", $"{expression}.agent"));
        if (controller != _scope.Controller && custodian.Register is not (null or Register.Patient))
            throw new FaultException(new Fault(FaultKind.Denied, "Purchased services go into the patient register of who bought them.", $"{expression}.agent"));
        return (controller, custodian.Register ?? (controller == _scope.Controller ? _scope.Register : Register.Patient));
    }

    private IEnumerable<string> NamesOf(BundleOperation operation)
    {
        if (operation.FullUrl is { } url)
            yield return References.Relative(url, _publicBase);
        if (operation.Id is { } id)
            yield return $"{operation.Type}/{id}";
    }

    // Of a Provenance that has no name, so that it is found again.
    private static string KeyOf(BundleOperation operation) => $"#{operation.Index}";
}
