using System.Net;
using System.Text.RegularExpressions;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;

namespace KantaGateway.Fhir.Profiles;

/// <summary>
/// What one entry of a transaction asks for, in the order in which R4 has them carried out (http.html, 3.1.0.11.2); PUT and
/// PATCH share a place, and so do GET and HEAD.
/// </summary>
public enum BundleMethod { Delete, Post, Put, Patch, Get, Head }

/// <summary>One checked entry of a transaction or batch.</summary>
/// <param name="Index">Position in <c>Bundle.entry</c>: where its answer goes.</param>
/// <param name="Type">Resource type in the URL, a known FHIR type.</param>
/// <param name="Id">Logical id in the URL; null on POST, on a search and where criteria choose the resource.</param>
public sealed record BundleOperation(int Index, BundleMethod Method, string Type, string? Id)
{
    /// <summary>Set on POST and PUT; of type <see cref="Type"/>.</summary>
    public Resource? Resource { get; init; }

    /// <summary>Content of a Binary that has been stored apart from it.</summary>
    public Search.StoredContent? Content { get; init; }

    /// <summary>Of the data key that <see cref="Content"/> is sealed under.</summary>
    public long ContentGeneration { get; init; }

    /// <summary>Set on PATCH.</summary>
    public ResourcePatch? Patch { get; init; }

    public string? FullUrl { get; init; }

    /// <summary>Version in <c>Type/id/_history/vid</c> of a GET.</summary>
    public string? VersionId { get; init; }

    /// <summary>GET of an instance's history.</summary>
    public bool IsHistory { get; init; }

    /// <summary>
    /// Search parameters after <c>?</c>: of a search, or the criteria by which a PUT, PATCH or DELETE finds its resource; null
    /// when it has none.
    /// </summary>
    public string? Query { get; init; }

    /// <summary>Whether it reads and changes nothing.</summary>
    public bool IsRead => Method is BundleMethod.Get or BundleMethod.Head;

    /// <summary>Whether criteria choose the resource that it changes, or whether it creates one.</summary>
    public bool IsConditional => !IsRead && (IfNoneExist ?? Query) is not null;

    public string? IfMatch { get; init; }
    public string? IfNoneExist { get; init; }
    public string? IfNoneMatch { get; init; }
    public DateTimeOffset? IfModifiedSince { get; init; }

    /// <summary>FHIRPath of the entry, <c>Bundle.entry[i]</c>.</summary>
    public string Expression => $"Bundle.entry[{Index}]";

    /// <summary>FHIRPath of its resource.</summary>
    public string ResourceExpression => $"Bundle.entry[{Index}].resource";

    public override string ToString() => $"{Expression} {Method} {Type}";
}

/// <summary>
/// A transaction or batch Bundle whose entries have been checked and put in the order of execution, and whose links
/// can be rewritten to the ids that the server gives.
/// </summary>
public sealed partial class TransactionBundle
{
    /// <summary>Most entries in one Bundle.</summary>
    public const int MaxEntries = 2_000;

    /// <summary>Most GET entries in one transaction; a batch's are requests of their own.</summary>
    public const int MaxReads = 50;

    private TransactionBundle(Bundle bundle, IReadOnlyList<BundleOperation> operations) =>
        (IsBatch, Profiles, Operations) = (bundle.Type == Bundle.BundleType.Batch, [.. bundle.Meta?.Profile ?? []], operations);

    public bool IsBatch { get; }

    /// <summary><c>Bundle.meta.profile</c>.</summary>
    public IReadOnlyList<string?> Profiles { get; }

    /// <summary>All DELETE, then all POST, all PUT and PATCH, all GET and HEAD; within each the order of the Bundle.</summary>
    public IReadOnlyList<BundleOperation> Operations { get; }

    /// <summary>Checks a parsed Bundle.</summary>
    /// <returns>One of the two. The fault names every entry that is wrong, at most <see cref="ResourceParser.MaxIssues"/>.</returns>
    public static (TransactionBundle? Bundle, Fault? Fault) Read(Bundle bundle)
    {
        if (bundle.Type is not (Bundle.BundleType.Transaction or Bundle.BundleType.Batch))
            return (null, new Fault(FaultKind.Unprocessable, "Only a Bundle of type transaction or batch can be sent here.", "Bundle.type"));
        if (bundle.Entry.Count > MaxEntries)
            return (null, new Fault(FaultKind.Unprocessable, new FaultIssue($"The Bundle has more than {MaxEntries} entries.", "Bundle.entry", "too-costly")));
        var issues = new List<FaultIssue>();
        var operations = new List<BundleOperation>(bundle.Entry.Count);
        var fullUrls = new HashSet<string>(StringComparer.Ordinal);
        var targets = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < bundle.Entry.Count && issues.Count < ResourceParser.MaxIssues; i++)
        {
            var entry = bundle.Entry[i];
            if (ReadEntry(i, entry, issues) is not { } operation)
                continue;
            if (operation.FullUrl is { } url && operation.Resource is not null && !fullUrls.Add(url))
                issues.Add(new("Another entry has the same fullUrl.", $"Bundle.entry[{i}].fullUrl", "structure"));
            // Those that criteria find are compared once they are found; the same criteria would find, or make, the same twice.
            if (!operation.IsRead && (operation.Id ?? Criteria(operation)) is { } target && !targets.Add($"{operation.Type}/{target}"))
                issues.Add(new(operation.Method == BundleMethod.Post ? "Another entry has the same criteria." : "Another entry changes the same resource.",
                    $"Bundle.entry[{i}].request.{(operation.Method == BundleMethod.Post ? "ifNoneExist" : "url")}", "structure"));
            operations.Add(operation);
        }
        if (issues.Count > 0)
            return (null, new Fault(FaultKind.Unprocessable, issues));
        if (bundle.Type == Bundle.BundleType.Transaction && operations.Count(o => o.IsRead) > MaxReads)
            return (null, new Fault(FaultKind.Unprocessable, new FaultIssue($"A transaction has at most {MaxReads} GET entries; read outside it.", "Bundle.entry", "too-costly")));
        return (new(bundle, [.. operations.OrderBy(PlaceInOrder)]), null);

        static string? Criteria(BundleOperation operation) => (operation.Query ?? operation.IfNoneExist) is { } criteria ? "?" + criteria.TrimStart('?') : null;

        static BundleMethod PlaceInOrder(BundleOperation operation) =>
            operation.Method switch { BundleMethod.Patch => BundleMethod.Put, BundleMethod.Head => BundleMethod.Get, var method => method };
    }

    /// <summary>
    /// Rewrites every link to an entry of a Bundle (references, elements of type uri and url, and <c>href</c> and <c>src</c>
    /// in narratives): a <c>fullUrl</c> itself, or a relative one that becomes it with the base of its own entry's <c>fullUrl</c>.
    /// </summary>
    /// <remarks>
    /// http.html#transaction. A canonical names a definition and is not rewritten; an oid or uuid could not hold what would
    /// have to be written.
    /// </remarks>
    /// <param name="operations">Entries with the resources to be stored, patched ones included.</param>
    /// <param name="targets">From <c>fullUrl</c> to <c>Type/id</c> of the resource stored for it.</param>
    /// <returns>A fault for a <c>urn:</c> reference that no entry answers to; null when all is rewritten.</returns>
    public static Fault? Rewrite(IEnumerable<BundleOperation> operations, IReadOnlyDictionary<string, string> targets)
    {
        var issues = new List<FaultIssue>();
        foreach (var operation in operations)
        {
            if (operation.Resource is not { } resource)
                continue;
            var ownBase = BaseOf(operation.FullUrl, resource.TypeName);
            ElementTree.Visit<Base>(resource, (element, place) =>
            {
                switch (element)
                {
                    case ResourceReference { Reference: { } literal } reference:
                        if (Target(literal, ownBase, targets) is { } target)
                            reference.Reference = target;
                        else if (References.Classify(literal, out _, out _) == ReferenceKind.Urn && issues.Count < ResourceParser.MaxIssues)
                            issues.Add(new("The reference names no entry of the Bundle.", place.ToExpression("reference"), "not-found"));
                        break;
                    case FhirUri { Value: { } uri } link when targets.TryGetValue(uri, out var entry):
                        link.Value = entry;
                        break;
                    case FhirUrl { Value: { } url } link when Target(url, ownBase, targets) is { } entry:
                        link.Value = entry;
                        break;
                    case Narrative { Div: { } div } narrative when targets.Count > 0 && Links().IsMatch(div):
                        narrative.Div = Links().Replace(div, m => Target(WebUtility.HtmlDecode(m.Groups["url"].Value), ownBase, targets) is { } entry
                            ? m.Value[..(m.Groups["url"].Index - m.Index)] + entry + m.Value[^1] : m.Value);
                        break;
                }
            }, operation.ResourceExpression);
        }
        return issues.Count > 0 ? new Fault(FaultKind.Unprocessable, issues) : null;
    }

    /// <summary>The links of a narrative. It has passed the XHTML rules, so attributes are quoted and text has no bare &lt;.</summary>
    [GeneratedRegex("""(?<=\s)(?:href|src)\s*=\s*(?<quote>["'])(?<url>[^"'<>]*)\k<quote>""")]
    private static partial Regex Links();

    private static string? Target(string literal, string? ownBase, IReadOnlyDictionary<string, string> targets)
    {
        if (literal.StartsWith('#'))
            return null;
        if (targets.TryGetValue(literal, out var target) || (ownBase is not null && targets.TryGetValue(ownBase + literal, out target)))
            return target;
        // A fragment of a resource in the Bundle: urn:uuid:...#part.
        return literal.IndexOf('#') is > 0 and var hash && targets.TryGetValue(literal[..hash], out target) ? target + literal[hash..] : null;
    }

    private static string? BaseOf(string? fullUrl, string type)
    {
        if (fullUrl is null || !fullUrl.StartsWith("http", StringComparison.Ordinal))
            return null;
        var at = fullUrl.LastIndexOf($"/{type}/", StringComparison.Ordinal);
        return at < 0 ? null : fullUrl[..(at + 1)];
    }

    private static BundleOperation? ReadEntry(int index, Bundle.EntryComponent entry, List<FaultIssue> issues)
    {
        var before = issues.Count;
        void Wrong(string sentence, string where, string code) => issues.Add(new(sentence, $"Bundle.entry[{index}].{where}", code));

        if (entry.Request is not { } request)
        {
            Wrong("Every entry of a transaction or batch needs a request.", "request", "required");
            return null;
        }
        BundleMethod? method = request.Method switch
        {
            Bundle.HTTPVerb.DELETE => BundleMethod.Delete,
            Bundle.HTTPVerb.POST => BundleMethod.Post,
            Bundle.HTTPVerb.PUT => BundleMethod.Put,
            Bundle.HTTPVerb.PATCH => BundleMethod.Patch,
            Bundle.HTTPVerb.GET => BundleMethod.Get,
            Bundle.HTTPVerb.HEAD => BundleMethod.Head,
            _ => null,
        };
        if (method is null)
            Wrong("The method is not supported; use POST, PUT, PATCH, DELETE, GET or HEAD.", "request.method", "not-supported");

        var url = request.Url ?? "";
        var question = url.IndexOf('?');
        var query = question < 0 ? null : url[(question + 1)..];
        // A slash before or after the path is common and changes nothing.
        var parts = (question < 0 ? url : url[..question]).Trim('/').Split('/');
        var type = parts[0];
        if (!ResourceTypes.IsFhirType(type))
        {
            Wrong("The URL does not begin with a FHIR resource type.", "request.url", "value");
            return null;
        }
        if (!ResourceTypes.IsServed(type))
            Wrong("Resources of this type are not kept here.", "request.url", "not-supported");
        var id = parts.Length > 1 ? parts[1] : null;
        var isHistory = parts.Length > 2 && parts[2] == "_history";
        var versionId = parts.Length > 3 ? parts[3] : null;
        var wellFormed = method switch
        {
            BundleMethod.Post => parts.Length == 1 && query is null,
            BundleMethod.Put or BundleMethod.Patch or BundleMethod.Delete => query is null ? parts.Length == 2 : parts.Length == 1 && query.Length > 0,
            _ => parts.Length <= 2 || (isHistory && parts.Length <= 4 && query is null),
        };
        if (method is not null && (!wellFormed || (id is not null && !References.IsId(id)) || (versionId is not null && !References.IsId(versionId))))
            Wrong("The URL does not fit the method: POST Type; PUT, PATCH or DELETE Type/id or Type?criteria; GET Type/id or Type?parameters.", "request.url", "value");

        var resource = entry.Resource;
        ResourcePatch? patch = null;
        if (method is BundleMethod.Post or BundleMethod.Put)
        {
            if (resource is null)
                Wrong("POST and PUT need a resource.", "resource", "required");
            else if (resource.TypeName != type)
                Wrong("The resource is of another type than the URL says.", "resource", "value");
            else if (method == BundleMethod.Put && query is null && resource.Id != id)
                Wrong("The resource's id must be the one in the URL.", "resource.id", "value");
        }
        else if (method == BundleMethod.Patch)
        {
            if (resource is null)
                Wrong($"PATCH needs Parameters, or a Binary with a JSON Patch ({ResourcePatch.JsonPatchType}).", "resource", "required");
            else if (ResourcePatch.Read(resource, $"Bundle.entry[{index}].resource") is var (read, fault) && (patch = read) is null)
                issues.AddRange(fault!.Issues);
        }
        else if (method is not null && resource is not null)
            Wrong("DELETE, GET and HEAD carry no resource.", "resource", "structure");

        return issues.Count > before || method is null ? null : new BundleOperation(index, method.Value, type, id)
        {
            Resource = patch is null ? resource : null,
            Patch = patch,
            FullUrl = entry.FullUrl,
            VersionId = versionId,
            IsHistory = isHistory && versionId is null,
            Query = query,
            IfMatch = request.IfMatch,
            IfNoneExist = request.IfNoneExist,
            IfNoneMatch = request.IfNoneMatch,
            IfModifiedSince = request.IfModifiedSince,
        };
    }
}
