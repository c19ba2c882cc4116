using System.Text.Json;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.WebUtilities;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>Finds the one compartment that a body to be written concerns.</summary>
/// <param name="searched">For the searches within a body: conditional references, a transaction's reads.</param>
/// <param name="testCodes">Whether identity codes are those of a test service, see <see cref="SearchedCompartment.ForeignCode"/>.</param>
sealed class WrittenCompartment(IdentifierCipher ids, IPseudonyms pseudonyms, SearchedCompartment searched, bool testCodes)
{
    /// <summary>
    /// The compartment a body is about: the Patient it registers, else the patient it refers to, else the resource it addresses.
    /// Where it names several, the first is taken and the repository refuses the others by their elements.
    /// </summary>
    public async ValueTask<(Pseudonym, Fault?)> OfAsync(RequestScan scan, string? type, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        if (scan.IdentityCodes.Count > 1)
            return (default, Explain(body, "One transaction concerns one patient; this names several identity codes.", type is null ? "Bundle.entry" : "Patient.identifier"));
        if (scan.IdentityCodes is [var written])
            return !PersonalIdentityCode.TryParse(written, out var code) ? (default, Explain(body, "The identity code is not valid.", "Patient.identifier"))
                : SearchedCompartment.ForeignCode(code, testCodes) is { } foreign ? (default, Explain(body, foreign, "Patient.identifier"))
                : (await pseudonyms.OfAsync(code, cancel), null);
        foreach (var id in scan.PatientIds)
            if (ids.TryReadResourceId(id, out var compartment, out var sequence) && sequence == 0 && !compartment.IsDirectory)
                return (compartment, null);
        foreach (var reference in scan.ConditionalReferences)
            if (reference.StartsWith("Patient?", StringComparison.Ordinal)
                && await searched.OfAsync("Patient", QueryHelpers.ParseQuery(reference["Patient".Length..]), cancel) is ({ } sought, null))
                return (sought, null);
        if (type == "Patient" || scan.Entries.Any(e => e is { ResourceType: "Patient", Method: "POST" }))
            return (default, Explain(body, "A Patient needs a personal identity code: identifier with system urn:oid:1.2.246.21.", "Patient.identifier"));
        if (!scan.TouchesPatient)
            return (Pseudonym.Directory, null);
        foreach (var entry in scan.Entries)
            if (entry.Url?.TrimStart('/').Split('/', '?') is [_, var id, ..] && ids.TryReadResourceId(id, out var compartment, out _) && !compartment.IsDirectory)
                return (compartment, null);
        foreach (var entry in scan.Entries)
            if (entry.Url?.Split('?', 2) is [var asked, var query]
                && await searched.OfAsync(asked.Trim('/'), QueryHelpers.ParseQuery(query), cancel) is ({ } named, null))
                return (named, null);
        if (type == "Binary" && ContextOf(body) is { } context)
            return (context, null);
        return (default, Explain(body, type is not null && type != "Binary" && ResourceTypes.PlaceOf(type) == ResourcePlace.Companion
            ? $"A {type} is created in a transaction with a resource that refers to it: alone it does not say whose record it belongs to."
            : "It must refer to a patient that is registered here: Patient/[id].", null));
    }

    /// <summary>The compartment of the resource that a Binary names as its security context (hl7.org/fhir/R4/binary.html).</summary>
    private Pseudonym? ContextOf(ReadOnlyMemory<byte> body)
    {
        using var document = JsonDocument.Parse(body);
        return document.RootElement.TryGetProperty("securityContext", out var context) && context.ValueKind == JsonValueKind.Object
            && context.TryGetProperty("reference", out var reference) && reference.ValueKind == JsonValueKind.String
            && References.TryReadLocal(reference.GetString()!, out _, out var id) && ids.TryReadResourceId(id, out var compartment, out _) && !compartment.IsDirectory
            ? compartment : null;
    }

    /// <summary>
    /// Why a body has no compartment: what the validator finds wrong with it, else the elements that should have named
    /// a patient, else the sentence given. Off the good path, so it may take its time.
    /// </summary>
    private Fault Explain(ReadOnlyMemory<byte> body, string diagnostics, string? expression)
    {
        var (resource, fault) = ResourceParser.Parse(body);
        if (fault is not null)
            return fault;
        var resources = resource is Hl7.Fhir.Model.Bundle bundle
            ? bundle.Entry.Select((e, i) => (e.Resource!, Root: $"Bundle.entry[{i}].resource")).Where(e => e.Item1 is not null)
            : [(resource!, resource!.TypeName)];
        FaultIssue[] unresolved = [.. resources.SelectMany(r => References.Of(r.Item1, r.Item2))
            .Where(r => r is { Kind: ReferenceKind.Local, Type: "Patient" } && !ids.TryReadResourceId(r.Id, out _, out _))
            .Take(ResourceParser.MaxIssues)
            .Select(r => new FaultIssue("The reference names no patient that is registered here. Register the patient first and use the id that comes back.", r.Expression))];
        if (unresolved.Length > 0)
            return new(FaultKind.Unprocessable, unresolved);
        if (expression is null && resource is { } single and not Hl7.Fhir.Model.Bundle)
            expression = ResourceTypes.SubjectElements(single.TypeName) is [var subject, ..] ? subject : single.TypeName;
        return new(FaultKind.Unprocessable, diagnostics, expression ?? "Bundle.entry");
    }
}
