using System.Text.Json;
using Hl7.Fhir.Model;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Compartment;

/// <summary>What a reference's literal points to.</summary>
public enum ReferenceKind
{
    /// <summary>No literal: identifier or display only. Kept as it is.</summary>
    Logical,

    /// <summary><c>#id</c>: inside the same resource.</summary>
    Contained,

    /// <summary><c>Type/id</c> or <c>Type/id/_history/vid</c> on this server.</summary>
    Local,

    /// <summary><c>urn:uuid:</c> or <c>urn:oid:</c>: only means something inside a transaction.</summary>
    Urn,

    /// <summary><c>Type?parameters</c>.</summary>
    Conditional,

    /// <summary>A URL on another server. Kept as it is.</summary>
    External,

    /// <summary>None of these.</summary>
    Malformed,
}

/// <summary>One reference inside a resource.</summary>
/// <param name="Expression">FHIRPath of the reference, such as <c>Observation.performer[0]</c>.</param>
/// <param name="Element">The element itself; assigning its <c>Reference</c> rewrites the resource.</param>
/// <param name="Kind">What <see cref="ResourceReference.Reference"/> is.</param>
/// <param name="Type">Of a local or conditional reference: the target's type.</param>
/// <param name="Id">Of a local reference: the target's logical id.</param>
public readonly record struct ReferenceAt(string Expression, ResourceReference Element, ReferenceKind Kind, string? Type, string? Id)
{
    /// <summary>Masked: an id is personal data.</summary>
    public override string ToString() => $"{Expression} ({Kind})";
}

/// <summary>Finds, classifies and rewrites the references of a parsed resource. Pure; thread-safe.</summary>
public static class References
{
    /// <summary>Extension by which a resource names its service event (palvelutapahtuma): Finnish Base Profiles, <c>service-event</c>.</summary>
    public const string ServiceEventExtension = "https://hl7.fi/fhir/finnish-base-profiles/StructureDefinition/service-event";

    /// <summary>Every reference of the resource, contained resources and extensions included, in document order.</summary>
    /// <param name="root">FHIRPath of the resource where it is part of a larger body, such as <c>Bundle.entry[3].resource</c>.</param>
    public static IReadOnlyList<ReferenceAt> Of(Resource resource, string? root = null)
    {
        var found = new List<ReferenceAt>();
        ElementTree.Visit<ResourceReference>(resource, (reference, place) =>
        {
            var kind = Classify(reference.Reference, out var type, out var id);
            found.Add(new(place.ToExpression(), reference, kind, type, id));
        }, root);
        return found;
    }

    /// <summary>Says what a literal is.</summary>
    public static ReferenceKind Classify(string? literal, out string? type, out string? id)
    {
        type = id = null;
        if (literal is null)
            return ReferenceKind.Logical;
        if (literal.StartsWith('#'))
            return ReferenceKind.Contained;
        if (literal.StartsWith("urn:", StringComparison.Ordinal))
            return literal.StartsWith("urn:uuid:", StringComparison.Ordinal) || literal.StartsWith("urn:oid:", StringComparison.Ordinal)
                ? ReferenceKind.Urn : ReferenceKind.Malformed;
        if (literal.StartsWith("http://", StringComparison.Ordinal) || literal.StartsWith("https://", StringComparison.Ordinal))
            return ReferenceKind.External;
        if (literal.IndexOf('?') is > 0 and var question && ResourceTypes.IsFhirType(literal[..question]))
        {
            type = literal[..question];
            return ReferenceKind.Conditional;
        }
        return TryReadLocal(literal, out type, out id) ? ReferenceKind.Local : ReferenceKind.Malformed;
    }

    /// <summary>The type of resource that a literal is to, as far as it can be told without looking it up; else null.</summary>
    /// <param name="holder">The outermost resource that the reference stands in.</param>
    /// <param name="entries">From <c>fullUrl</c> to type, of the entries of the Bundle around it; null: none.</param>
    public static string? TargetType(string? literal, Resource holder, IReadOnlyDictionary<string, string>? entries)
    {
        switch (Classify(literal, out var type, out _))
        {
            case ReferenceKind.Local or ReferenceKind.Conditional:
                return type;
            case ReferenceKind.Contained:
                return literal == "#" ? holder.TypeName : (holder as DomainResource)?.Contained.Find(c => c.Id == literal![1..])?.TypeName;
            case ReferenceKind.Urn or ReferenceKind.External when entries is not null && entries.TryGetValue(literal!, out var entry):
                return entry;
            case ReferenceKind.External:
                // A RESTful address ends like a local reference (references.html#literal).
                var steps = literal!.Split('/');
                var at = steps.Length > 4 && steps[^2] == "_history" ? ^4 : ^2;
                return steps.Length > 4 && ResourceTypes.IsFhirType(steps[at]) ? steps[at] : null;
            default:
                return null;
        }
    }

    /// <summary>Reads <c>Type/id</c>, with or without <c>/_history/vid</c>.</summary>
    public static bool TryReadLocal(string literal, out string? type, out string? id)
    {
        type = id = null;
        var slash = literal.IndexOf('/');
        if (slash <= 0 || !ResourceTypes.IsFhirType(literal[..slash]))
            return false;
        var rest = literal[(slash + 1)..];
        var history = rest.IndexOf("/_history/", StringComparison.Ordinal);
        if (history >= 0)
        {
            if (!IsId(rest.AsSpan(history + "/_history/".Length)))
                return false;
            rest = rest[..history];
        }
        if (!IsId(rest))
            return false;
        (type, id) = (literal[..slash], rest);
        return true;
    }

    /// <summary>Whether a text is a FHIR id: 1 to 64 of letters, digits, <c>-</c> and <c>.</c>.</summary>
    public static bool IsId(ReadOnlySpan<char> text) => text.Length is > 0 and <= 64 && !text.ContainsAnyExcept(IdCharacters);

    private static readonly System.Buffers.SearchValues<char> IdCharacters =
        System.Buffers.SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.");

    /// <summary>Turns references to this server's own base into relative ones, so that what is stored outlives a change of address.</summary>
    /// <param name="publicBase">The FHIR base, without a trailing slash, such as <c>https://localhost:8443/fhir</c>.</param>
    public static void MakeRelative(Resource resource, string publicBase)
    {
        var prefix = publicBase + "/";
        ElementTree.Visit<ResourceReference>(resource, (reference, _) =>
        {
            if (reference.Reference is { } literal && literal.StartsWith(prefix, StringComparison.Ordinal)
                && TryReadLocal(literal[prefix.Length..], out var _, out var _))
                reference.Reference = literal[prefix.Length..];
        });
        ElementTree.Visit<FhirUrl>(resource, (url, _) =>
        {
            if (url.Value is { } literal && literal.StartsWith(prefix, StringComparison.Ordinal))
                url.Value = literal[prefix.Length..];
        });
    }

    /// <summary>A URL of this server without its base; any other as it is.</summary>
    public static string Relative(string url, string publicBase) =>
        url.StartsWith(publicBase + "/", StringComparison.Ordinal) ? url[(publicBase.Length + 1)..] : url;

    /// <summary>The references by which the resource says whom it is about (<see cref="ResourceTypes.SubjectElements"/>).</summary>
    public static IReadOnlyList<ReferenceAt> Subjects(Resource resource, string? root = null)
    {
        var found = new List<ReferenceAt>();
        foreach (var path in ResourceTypes.SubjectElements(resource.TypeName))
            foreach (var (element, place) in ElementPath.Parse(path).Locate(resource, root))
                if (element is ResourceReference reference)
                {
                    var kind = Classify(reference.Reference, out var type, out var id);
                    found.Add(new(place, reference, kind, type, id));
                }
        return found;
    }

    /// <summary>
    /// The service event that the resource itself names: of an Encounter its official identifier, else one under
    /// <c>urn:ietf:rfc:3986</c>, else, and of others, the service-event extension; null when it names none.
    /// </summary>
    /// <remarks>
    /// Finnish Base Profiles write the OID of an Encounter bare with use=official; systems that follow RFC 3986 write
    /// <c>urn:oid:</c> under <c>urn:ietf:rfc:3986</c>. Both are read, always by this rule: a denial that was declared on one
    /// reading must bind under every other.
    /// </remarks>
    public static Oid? ServiceEvent(Resource resource) => FirstOf(ServiceEventCandidates(resource));

    /// <summary>As for a parsed resource, of one as it is stored.</summary>
    /// <param name="resource">A JSON object with <c>resourceType</c>.</param>
    public static Oid? ServiceEvent(JsonElement resource) => FirstOf(Candidates(
        Text(resource, "resourceType") == "Encounter"
            ? Each(resource, "identifier").Select(i => (Text(i, "use") == "official", Text(i, "system"), Text(i, "value"))) : [],
        Each(resource, "extension").Where(e => Text(e, "url") == ServiceEventExtension)
            .SelectMany(e => e.EnumerateObject()).Where(p => p.Name.StartsWith("value", StringComparison.Ordinal) && p.Value.ValueKind == JsonValueKind.String)
            .Select(p => p.Value.GetString())));

    /// <summary>
    /// The different OIDs that have an equal claim to be the resource's service event. More than one must not be stored:
    /// which of them a denial has to name would be open.
    /// </summary>
    public static IReadOnlyList<Oid> ServiceEventCandidates(Resource resource) => Candidates(
        resource is Encounter encounter ? encounter.Identifier.Select(i => (i.Use == Identifier.IdentifierUse.Official, i.System, i.Value)) : [],
        resource is DomainResource domain
            ? domain.Extension.Where(e => e.Url == ServiceEventExtension).Select(e => (e.Value as PrimitiveType)?.JsonValue as string) : []);

    /// <summary>The rule itself: the OIDs of the first class that has any.</summary>
    private static Oid[] Candidates(IEnumerable<(bool IsOfficial, string? System, string? Value)> identifiers, IEnumerable<string?> named)
    {
        var own = identifiers.ToList();
        if (Oids(own.Where(i => i.IsOfficial).Select(i => i.Value)) is { Length: > 0 } official)
            return official;
        if (Oids(own.Where(i => i.System == "urn:ietf:rfc:3986").Select(i => i.Value)) is { Length: > 0 } registered)
            return registered;
        return Oids(named);

        static Oid[] Oids(IEnumerable<string?> texts) =>
            [.. texts.Select(t => Oid.TryParse(t, out var oid) ? oid : (Oid?)null).OfType<Oid>().Distinct()];
    }

    private static Oid? FirstOf(IReadOnlyList<Oid> candidates) => candidates.Count > 0 ? candidates[0] : null;

    private static string? Text(JsonElement holder, string name) =>
        holder.ValueKind == JsonValueKind.Object && holder.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static IEnumerable<JsonElement> Each(JsonElement holder, string name) =>
        holder.ValueKind == JsonValueKind.Object && holder.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.Array
            ? value.EnumerateArray().Where(e => e.ValueKind == JsonValueKind.Object) : [];

    /// <summary>
    /// The reference to the Encounter that a resource belongs to: its <c>encounter</c> or <c>context</c> element
    /// (<c>partOf</c> of an Encounter); null when it has none. Its service event is that Encounter's.
    /// </summary>
    public static ReferenceAt? EncounterReference(Resource resource)
    {
        foreach (var path in EncounterPaths(resource))
            foreach (var (element, place) in ElementPath.Parse(path).Locate(resource, null))
                if (element is ResourceReference { Reference: { } literal } reference)
                {
                    var kind = Classify(literal, out var type, out var id);
                    if (type is null or "Encounter")
                        return new(place, reference, kind, type, id);
                }
        return null;
    }

    /// <summary>
    /// The service event of the Encounter that a resource belongs to where it names it without an address here: by the identifier of
    /// the reference, or by an Encounter that it contains; null when it does not.
    /// </summary>
    public static Oid? EventOfUnaddressedEncounter(Resource resource)
    {
        foreach (var path in EncounterPaths(resource))
            foreach (var (element, _) in ElementPath.Parse(path).Locate(resource, null))
                if (element is ResourceReference reference)
                {
                    if (reference.Reference is ['#', .. var id] && (resource as DomainResource)?.Contained.Find(c => c.Id == id) is { } contained && ServiceEvent(contained) is { } its)
                        return its;
                    if (reference.Type is null or "Encounter" or EncounterType && Oid.TryParse(reference.Identifier?.Value, out var named))
                        return named;
                }
        return null;
    }

    /// <summary>
    /// The service events that a resource tells of without an address, wherever in it: by the identifier of a reference, by an Encounter
    /// that it contains, by an extension.
    /// </summary>
    /// <remarks>Where such an event is denied, the resource would tell of it as one with an address would. An OID too many hides nothing: no
    /// denial names it.</remarks>
    public static IReadOnlyCollection<Oid> EventsNamed(Resource resource)
    {
        var named = new HashSet<Oid>();
        ElementTree.Visit<Base>(resource, (element, _) =>
        {
            switch (element)
            {
                case ResourceReference { Type: null or "Encounter" or EncounterType, Identifier.Value: { } value } when Oid.TryParse(value, out var oid) && !IsOfOrganisation(oid):
                case Extension { Value: { } told } when Oid.TryParse(told is Identifier identifier ? identifier.Value : (told as PrimitiveType)?.JsonValue as string, out oid) && !IsOfOrganisation(oid):
                    named.Add(oid);
                    break;
                case Encounter contained when contained != resource:
                    named.UnionWith(ServiceEventCandidates(contained));
                    break;
            }
        });
        return named;
    }

    private const string EncounterType = "http://hl7.org/fhir/StructureDefinition/Encounter";

    /// <summary>Organisations and their units are named by OID almost everywhere: node 10 of the Finnish tree, units below 10 of the organisation (JHS 159).</summary>
    private static bool IsOfOrganisation(Oid oid) => oid.ToString().Split('.') is ["1", "2", "246", "10", _] or ["1", "2", "246", "10", _, "10", ..];

    /// <summary>
    /// The local references to the resources that this one only accompanies, and whose service event it therefore shares: a
    /// Binary's security context, what a Provenance is about; none for others.
    /// </summary>
    /// <remarks>Otherwise a denial of that service event would leave them standing, and they would tell of what it hides.</remarks>
    public static IEnumerable<(string Type, string Id)> Accompanies(Resource resource)
    {
        var path = resource switch { Binary => "Binary.securityContext", Provenance => "Provenance.target", _ => null };
        if (path is null)
            yield break;
        foreach (var (element, _) in ElementPath.Parse(path).Locate(resource, null))
            if (element is ResourceReference { Reference: { } literal } && Classify(literal, out var type, out var id) == ReferenceKind.Local)
                yield return (type!, id!);
    }

    /// <summary>The links to this server in elements of type url, such as <c>Attachment.url</c>, each with its FHIRPath;
    /// without type and id where a relative <c>url</c> is not <c>Type/id</c>.</summary>
    /// <param name="root">As for <see cref="Of"/>.</param>
    public static IEnumerable<(string? Type, string? Id, string Expression)> Links(Resource resource, string? root = null)
    {
        var found = new List<(string?, string?, string)>();
        ElementTree.Visit<FhirUrl>(resource, (url, place) =>
        {
            if (url.Value is not { } literal)
                return;
            if (TryReadLocal(literal, out var type, out var id))
                found.Add((type, id, place.ToExpression()));
            else if (!literal.StartsWith('#') && !HasScheme(literal) && place.ToExpression() is var expression && expression.EndsWith(".url", StringComparison.Ordinal))
                found.Add((null, null, expression));
        }, root);
        return found;
    }

    /// <summary>
    /// The local references to what a resource consists of: the signed form that a Consent names as its source (<c>source[x]</c>), and the contents that lie in its
    /// attachments (<c>Attachment.url</c>), as those of a document; not what it is only related to.
    /// </summary>
    public static IEnumerable<(string Type, string Id)> Parts(Resource resource)
    {
        var found = new List<(string, string)>();
        if (resource is Consent { Source: ResourceReference { Reference: { } source } } && Classify(source, out var type, out var id) == ReferenceKind.Local)
            found.Add((type!, id!));
        ElementTree.Visit<Attachment>(resource, (attachment, _) =>
        {
            if (attachment.Url is { } url && TryReadLocal(url, out var ofContent, out var idOfContent))
                found.Add((ofContent!, idOfContent!));
        });
        return found;
    }

    /// <summary>
    /// The resources of this server that a resource names in elements of type uri and canonical, each with its FHIRPath. They need not be
    /// there: a URI is a name, and no reference.
    /// </summary>
    /// <param name="publicBase">As for <see cref="MakeRelative"/>.</param>
    public static IEnumerable<(string Type, string Id, string Expression)> Mentions(Resource resource, string publicBase, string? root = null)
    {
        var found = new List<(string, string, string)>();
        ElementTree.Visit<PrimitiveType>(resource, (element, place) =>
        {
            if (element is not (FhirUri or Canonical) || element.JsonValue is not string text)
                return;
            if (TryReadLocal(Relative(text.Split('|')[0], publicBase), out var type, out var id))
                found.Add((type!, id!, place.ToExpression()));
        }, root);
        return found;
    }

    /// <summary>Whether a URL is absolute: a colon comes before anything else that divides it.</summary>
    private static bool HasScheme(string url) => url.AsSpan().IndexOfAny(":/?#") is > 0 and var end && url[end] == ':';

    private static IEnumerable<string> EncounterPaths(Resource resource) => resource switch
    {
        Encounter => ["Encounter.partOf"],
        DocumentReference => ["DocumentReference.context.encounter"],
        Claim => ["Claim.item.encounter"],
        ExplanationOfBenefit => ["ExplanationOfBenefit.item.encounter"],
        _ => [$"{resource.TypeName}.encounter", $"{resource.TypeName}.context"],
    };
}
