using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Interactions;

/// <summary>
/// What the types that testify obey, whoever asks and by whichever road: alone, by criteria, in a batch or a transaction. Gateway
/// and repository both ask here. Pure.
/// </summary>
/// <remarks>
/// Consent: a declaration of will (Act 703/2023 §57-59), or the record of an access, is made or withdrawn one at a time, by id; so that
/// each is judged by itself and none is chosen by what happens to match; in a transaction only with the Provenance of its making. Provenance and AuditEvent say what was true when they were
/// written (§10, log data stay unaltered): they are made and never changed nor deleted. Who reads them is the matter of
/// <see cref="Grants.DisclosureScope.Admits"/>.
/// </remarks>
public static class ResourceRules
{
    /// <summary>Why a change may not be made; null: nothing here is against it. Reads are never refused.</summary>
    /// <param name="type">Resource type.</param>
    /// <param name="method">HTTP method, upper case.</param>
    /// <param name="isConditional">Whether criteria choose the resource, or whether one is made.</param>
    /// <param name="isInTransaction">An entry of a batch counts as a request of its own, and so does a <see cref="IsDeclaration">declaration with its Provenance</see>.</param>
    public static Fault? Refusal(string? type, string method, bool isConditional, bool isInTransaction) => (type, method) switch
    {
        (_, "GET" or "HEAD") => null,
        ("Provenance" or "AuditEvent", not "POST") => new(FaultKind.MethodNotAllowed,
            $"Resources of the type {type} are never changed nor deleted: they tell what was true when they were written. Store a new one: POST {type}."
                + (type == "AuditEvent" ? " Who has used their data the persons see in the portal, from the gateway's own log." : "")),
        ("Consent", not ("POST" or "PUT")) => new(FaultKind.MethodNotAllowed, "A declaration of will is withdrawn by a new version that says so: PUT Consent/[id]. It is neither patched nor deleted."),
        ("Consent", _) when isConditional => new(FaultKind.MethodNotAllowed, "A declaration of will is made by POST Consent and changed by PUT Consent/[id], without criteria."),
        ("Consent", _) when isInTransaction => new(FaultKind.MethodNotAllowed, "A declaration of will is made by itself: POST Consent, or a transaction of one Consent and the Provenance of its making, and nothing else."),
        _ => null,
    };

    /// <summary>
    /// Whether a transaction makes one declaration of will: a Consent and the Provenance that says how it was made, as Kanta exchanges them
    /// (simplifier.net, Sosiaali- ja terveydenhuollon välinen luovutuslupa).
    /// </summary>
    /// <param name="entries">Type and HTTP method, upper case, of each.</param>
    public static bool IsDeclaration(IEnumerable<(string? Type, string? Method)> entries)
    {
        var (consents, provenances) = (0, 0);
        foreach (var entry in entries)
            if (entry == ("Consent", "POST"))
                consents++;
            else if (entry == ("Provenance", "POST"))
                provenances++;
            else
                return false;
        return consents == 1 && provenances > 0;
    }

    /// <summary>Whether a route is offered for a type: what the CapabilityStatement says. Of Consents only new ones are taken from clinics.</summary>
    public static bool IsOffered(string type, RestRoute route) => type == "Consent"
        ? route.Method == "GET" || route.Interaction is RestInteraction.SearchType or RestInteraction.Create
        : route.Interaction is RestInteraction.SearchType or RestInteraction.Everything or RestInteraction.DocumentsOfPatient
            || Refusal(type, route.Method, IsConditional(route.Interaction), isInTransaction: false) is null;

    /// <summary>Whether criteria choose what an interaction changes.</summary>
    public static bool IsConditional(RestInteraction interaction) =>
        interaction is RestInteraction.ConditionalUpdate or RestInteraction.ConditionalPatch or RestInteraction.ConditionalDelete;
}
