using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What step 2 made of a request.</summary>
public abstract record Reading
{
    private Reading() { }

    /// <param name="Body">The whole body, to forward.</param>
    public sealed record Single(Interaction Interaction, ReadOnlyMemory<byte> Body) : Reading
    {
        /// <summary>The body was not read: it streams to the repository, once.</summary>
        public bool IsStreamed { get; init; }
    }

    /// <summary>A batch: its entries are requests of their own.</summary>
    public sealed record Batch(RequestScan Scan, ReadOnlyMemory<byte> Body) : Reading
    {
        /// <summary>How many profiles the Bundle itself claims that are not known; its entries are counted by themselves.</summary>
        public int UnenforcedProfiles { get; init; }
    }

    /// <summary><c>$validate</c> of what is sent: the gateway answers it by itself, for it concerns no compartment.</summary>
    public sealed record Validation(Interaction Interaction, IReadOnlyList<FaultIssue> Issues) : Reading;

    public sealed record Refused(Fault Fault) : Reading;
}

/// <summary>
/// Step 2: turns a FHIR request into an <see cref="Interaction"/> with the one compartment that it concerns.
/// </summary>
/// <remarks>
/// Kanta's rule that identity codes stay out of URLs (they end up in the logs of every device on the way) is enforced
/// here. Bodies are read once, whole (<see cref="RequestBody"/>); only their references are looked at, the repository validates.
/// </remarks>
public sealed class InteractionReader
{
    /// <summary>Largest request body, bytes.</summary>
    public const int MaxBody = 10 * 1024 * 1024;

    /// <summary>Up to this much of an over-long body is read and thrown away, so that the connection stays usable.</summary>
    public const int MaxDrained = 64 * 1024 * 1024;

    /// <summary>Longest form of a search, bytes: it becomes part of the audit entry.</summary>
    public const int MaxSearch = 16 * 1024;

    public const string ServiceEventHeader = "X-Service-Event";

    /// <summary>Names the employer whose register is meant, of occupational care (Act 703/2023 §18).</summary>
    public const string EmployerHeader = "X-Employer";

    private readonly IdentifierCipher _ids;
    private readonly PageSeal _pages;
    private readonly GatewayOptions _options;
    private readonly SearchedCompartment _searched;
    private readonly WrittenCompartment _written;
    private readonly IControllers _controllers;

    public InteractionReader(IdentifierCipher ids, PageSeal pages, IPseudonyms pseudonyms, IControllers controllers, GatewayOptions options)
    {
        _controllers = controllers;
        var testCodes = options.Identification.TestIdentityCodes;
        (_ids, _pages, _options) = (ids, pages, options);
        _searched = new(ids, pseudonyms, options.PublicAddress, testCodes);
        _written = new(ids, pseudonyms, _searched, testCodes);
    }

    public async ValueTask<Reading> ReadAsync(HttpContext context, Requester requester)
    {
        var request = context.Request;
        var cancel = context.RequestAborted;
        if (CheckUrl(request) is { } badUrl)
            return new Reading.Refused(badUrl);
        var segments = RestRoutes.Segments(request.Path.Value!);
        var address = RestRoutes.Match(request.Method, segments);
        var isContent = address is { Type: "Binary", Interaction: RestInteraction.Create or RestInteraction.Update } && RawContent.IsContent(request.ContentType);
        var (format, badFormat) = isContent ? default : Negotiation.OfBody(request, IsSearch(request));
        if (badFormat is not null)
            return new Reading.Refused(badFormat);
        var serviceEvent = OidIn(request, ServiceEventHeader);
        var employer = OidIn(request, EmployerHeader);
        foreach (var (header, oid) in (ReadOnlySpan<(string, string?)>)[(ServiceEventHeader, serviceEvent), (EmployerHeader, employer)])
            if (oid is { Length: 0 })
                return Refuse(FaultKind.Invalid, $"{header} is not an object identifier (OID).", $"http.{header}");
        if (isContent)
            return WriteContent(request, address, serviceEvent, employer);
        if (RequestBody.IsNeedless(request))
            return Refuse(FaultKind.Invalid, $"A {request.Method} request has no body.");
        var (body, badBody) = await RequestBody.ReadAsync(request, cancel);
        if (badBody is not null)
            return new Reading.Refused(badBody);
        if (IsSearch(request) && body.Length > MaxSearch)
            return Refuse(FaultKind.TooLarge, $"A search has at most {MaxSearch / 1024} KiB of parameters.");

        var showsContent = address is { Type: "Binary", Interaction: RestInteraction.Read or RestInteraction.VRead }
            && RawContent.IsAskedFor(request.Headers.Accept, request.Query["_format"]);
        if (!showsContent && Negotiation.Agree(context, address.Type, address.Interaction == RestInteraction.SearchType, FurtherParameters(request, requester, body)) is { } unreadable)
            return new Reading.Refused(unreadable);
        if (format == FhirFormat.Xml)
        {
            (body, var malformed) = XmlBody.ToJson(body);
            if (malformed is { Kind: FaultKind.Unprocessable } && address.Interaction is RestInteraction.Validate or RestInteraction.ValidateInstance && ResourceTypes.IsServed(address.Type))
                return Validated(address.Type!, ValidateOperation.OfResource(malformed.Issues, address.Type!));
            if (malformed is not null)
                return new Reading.Refused(malformed);
            request.ContentType = MediaTypes.Json;
            RequestBody.Resize(request, body.Length);
        }
        if (address.Interaction is not (RestInteraction.SearchType or RestInteraction.Everything or RestInteraction.DocumentsOfPatient
                or RestInteraction.Validate or RestInteraction.ValidateInstance)
            && ResourceRules.Refusal(address.Type, request.Method,
                ResourceRules.IsConditional(address.Interaction) || request.Headers.ContainsKey("If-None-Exist"), isInTransaction: false) is { } refusal)
            return new Reading.Refused(refusal);
        var isOwnOperation = segments is [['$', ..], ..] && (address.Route is not null || RestRoutes.Allowed(request.Method, segments).Length > 0);
        var reading = segments is [var served, ..] && !served.StartsWith('_') && !ResourceTypes.IsServed(served) && !isOwnOperation
            ? Refuse(FaultKind.Absent, ResourceTypes.IsFhirType(served)
                ? "This resource type is not kept here. GET /fhir/metadata lists those that are."
                : "There is no such resource type in FHIR R4.", served.StartsWith('$') ? null : "http.url")
            : address.Interaction switch
            {
                RestInteraction.Bundle => await BundleAsync(requester, body, cancel),
                RestInteraction.SearchType => await SearchTypeAsync(request, requester, address, body, cancel),
                RestInteraction.Create => await CreateAsync(address.Type!, body, request.Headers.ContainsKey("If-None-Exist"), cancel),
                RestInteraction.Read => OfId(InteractionKind.Read, address.Type!, address.Id!, 'r'),
                RestInteraction.Update => Update(address.Type!, address.Id!, body),
                // A patch shows what it does not carry, and its tests ask what is there: it reads too.
                RestInteraction.Patch => ChangeOfId(InteractionKind.Patch, address.Type!, address.Id!, "ur"),
                RestInteraction.Delete => ChangeOfId(InteractionKind.Delete, address.Type!, address.Id!, "d"),
                RestInteraction.ConditionalUpdate => await ConditionalUpdateAsync(request, address.Type!, body, cancel),
                RestInteraction.ConditionalPatch => await ByCriteriaAsync(InteractionKind.Patch, request, address.Type!, "usr", cancel),
                RestInteraction.ConditionalDelete => await ByCriteriaAsync(InteractionKind.Delete, request, address.Type!, "ds", cancel),
                RestInteraction.HistoryInstance => OfId(InteractionKind.History, address.Type!, address.Id!, 'r'),
                RestInteraction.VRead => OfId(InteractionKind.VRead, address.Type!, address.Id!, 'r'),
                RestInteraction.Meta => OfId(InteractionKind.Read, address.Type!, address.Id!, 'r'),
                RestInteraction.HistoryType or RestInteraction.HistorySystem => await HistoryAsync(request, requester, address.Type, cancel),
                RestInteraction.Everything => OfId(InteractionKind.Everything, address.Type!, address.Id!, 'r'),
                RestInteraction.DocumentsOfPatient => await DocumentsAsync(request, body, cancel),
                RestInteraction.Validate or RestInteraction.ValidateInstance => Validate(request, address.Type!, address.Id, requester, body),
                _ => NotServed(request.Method, segments, address),
            };
        return reading is Reading.Single single
            ? single with { Interaction = single.Interaction with { ServiceEvent = serviceEvent, Employer = employer }, Body = body }
            : reading;
    }

    /// <summary>Of a resource that is sent the gateway answers; one that is stored is read, like any other.</summary>
    /// <param name="id">Null: it would be a new one.</param>
    private Reading Validate(HttpRequest request, string type, string? id, Requester requester, ReadOnlyMemory<byte> body)
    {
        var (question, fault) = ValidateOperation.Read(request.QueryString.Value?.TrimStart('?') ?? "", body, type, isStored: id is not null);
        if (question is null)
            return new Reading.Refused(fault!);
        if (question.Resource.IsEmpty)
            return OfId(InteractionKind.Read, type, id!, 'r');
        (var issues, fault) = ValidateOperation.Answer(question, type, id, requester.UnknownProfiles);
        return fault is null ? Validated(type, issues, id is null ? 'c' : 'u') : new Reading.Refused(fault);
    }

    /// <summary>Whoever may send such a resource may ask what would be said of it; asking is not yet declaring.</summary>
    private static Reading.Validation Validated(string type, IReadOnlyList<FaultIssue> issues, char letter = 'c') =>
        new(Single(InteractionKind.Validate, type, Pseudonym.Directory, type == "Consent" ? 'r' : letter).Interaction, issues);

    /// <summary>A content that streams by: all that is decided about is in the headers.</summary>
    private Reading WriteContent(HttpRequest request, RestAddress address, string? serviceEvent, string? employer)
    {
        if (request.ContentLength > _options.MaxBinary)
            return Refuse(FaultKind.TooLarge, $"The content is larger than {_options.MaxBinary >> 20} MiB, the most that is kept of one Binary.");
        // What is kept is given back as it was sent; it would have lost how it is to be read.
        if (request.Headers.ContentEncoding.Count > 0)
            return Refuse(FaultKind.UnsupportedMediaType, "A content is sent without Content-Encoding.", "http.Content-Encoding");
        if (request.Headers.ContainsKey("If-None-Exist"))
            return Refuse(FaultKind.NotSupported, "A content is not created by criteria: there are none to find a Binary by.", "http.If-None-Exist");
        var about = RawContent.SecurityContext(request.Headers[RawContent.SecurityContextHeader], _options.PublicAddress + "/fhir");
        Reading.Single single;
        if (address.Id is { } id)
            single = ChangeOfId(InteractionKind.Update, "Binary", id, "u");
        else if (about is { } context && _ids.TryReadResourceId(context.Id, out var compartment, out _) && !compartment.IsDirectory)
            single = Single(InteractionKind.Create, "Binary", compartment, 'c');
        else
            return new Reading.Refused(RawContent.NoSecurityContext);
        // Counted by the repository while it streams; a length that is said has just been looked at.
        if (request.HttpContext.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
            limit.MaxRequestBodySize = null;
        return single with { Interaction = single.Interaction with { ServiceEvent = serviceEvent, Employer = employer }, IsStreamed = true };
    }

    /// <summary>What to do instead, where that can be said.</summary>
    private static Reading NotServed(string method, string[] segments, RestAddress address) => segments switch
    {
        ["_search"] => Refuse(FaultKind.NotSupported, "Search one type at a time: POST [Type]/_search."),
        // Alone it has another endpoint.
        _ when RestRoutes.IsOfAdapter(address.Interaction) => Refuse(FaultKind.NotSupported, "This operation is asked for by itself, and in no batch."),
        [_, _, "$meta-add" or "$meta-delete"] => Refuse(FaultKind.MethodNotAllowed, "Meta is part of a version and changes with a new one only. Update or patch the resource."),
        [_, ..] when RestRoutes.Allowed(method, segments) is { Length: > 0 } methods =>
            Refuse(FaultKind.MethodNotAllowed, $"This method does not go with this address, {methods} does. GET /fhir/metadata lists the interactions."),
        _ => Refuse(FaultKind.Absent, "There is nothing at this address. GET /fhir/metadata lists the interactions."),
    };

    private async ValueTask<Reading> SearchTypeAsync(HttpRequest request, Requester requester, RestAddress address, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        var type = address.Type!;
        if (request.Method != "POST" && request.Query.ContainsKey("_page"))
            return Page(requester, InteractionKind.Search, type, type, 's', request.Query["_page"].ToString());
        var form = new Dictionary<string, StringValues>();
        if (request.Method == "POST" && !RequestBody.TryReadForm(body, out form))
            return Refuse(FaultKind.Invalid, "The search body is no form, or has too many or too long parameters.");
        IEnumerable<KeyValuePair<string, StringValues>> parameters = [.. request.Query, .. form];
        return await SearchAsync(type, address.Id is { } patient ? parameters.Append(new(address.PatientParameter, patient)) : parameters, cancel);
    }

    /// <summary>Refuses what a proxy could read differently from us, and identity codes.</summary>
    public static Fault? CheckUrl(HttpRequest request)
    {
        var raw = request.HttpContext.Features.Get<IHttpRequestFeature>()?.RawTarget;
        var target = string.IsNullOrEmpty(raw) ? request.Path.Value + request.QueryString.Value : raw;
        var path = target.Split('?', 2)[0];
        if (path.Contains("//", StringComparison.Ordinal) || path.Contains('\\') || path.Contains("%2f", StringComparison.OrdinalIgnoreCase)
            || path.Contains("%5c", StringComparison.OrdinalIgnoreCase) || path.Contains("%2e", StringComparison.OrdinalIgnoreCase)
            || path.Contains("/../", StringComparison.Ordinal) || path.Contains("%00", StringComparison.Ordinal))
            return new(FaultKind.Invalid, "The path has an encoded or doubled separator or a dot segment. Write it plainly.", "http.url");
        if (PersonalIdentityCode.Occurs(target)
            || (target.Contains('%') && PersonalIdentityCode.Occurs(Uri.UnescapeDataString(target)))
            || (target.Contains('+') && PersonalIdentityCode.Occurs(Uri.UnescapeDataString(target.Replace('+', ' ')))))
            return new(FaultKind.Invalid,
                "An identity code may not stand in a URL, because devices on the way log URLs. Send the same search as POST [Type]/_search with the parameters in a form body.", "http.url");
        return null;
    }

    /// <summary>Parameters that say something of the answer and are not in the URL; a page link goes on as its search began.</summary>
    private string FurtherParameters(HttpRequest request, Requester requester, ReadOnlyMemory<byte> body) =>
        IsSearch(request) ? System.Text.Encoding.UTF8.GetString(body.Span)
        : request.Query.TryGetValue("_page", out var link) && _pages.Open(link, requester.Caller) is { } state ? state.Query : "";

    private Reading.Single OfId(InteractionKind kind, string type, string id, char letter)
    {
        // An id that is none of ours takes the whole way too: decision, record and answer are those of a hidden one.
        var isDirectory = ResourceTypes.PlaceOf(type) == ResourcePlace.Directory;
        return Single(kind, type, _ids.TryReadResourceId(id, out var compartment, out _) && compartment.IsDirectory == isDirectory ? compartment
            : isDirectory ? Pseudonym.Directory : Pseudonym.Nobody, letter);
    }

    private Reading.Single ChangeOfId(InteractionKind kind, string type, string id, string letters)
    {
        var single = OfId(kind, type, id, letters[0]);
        return single with { Interaction = single.Interaction with { Needs = [.. letters.Select(l => (type, l))], WritesDirectory = single.Interaction.Compartment.IsDirectory } };
    }

    private Reading Update(string type, string id, ReadOnlyMemory<byte> body)
    {
        var scan = RequestScan.Read(body.Span);
        if (scan.Fault is { } fault)
            return new Reading.Refused(fault);
        var single = ChangeOfId(InteractionKind.Update, type, id, "u");
        return single with { Interaction = Declaring(single.Interaction with { Needs = [.. single.Interaction.Needs, .. SearchesOf(scan)] }, body) };
    }

    /// <summary>An update of what the criteria find; they and the body choose the same compartment.</summary>
    private async ValueTask<Reading> ConditionalUpdateAsync(HttpRequest request, string type, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        var scan = RequestScan.Read(body.Span);
        if (scan.Fault is { } fault)
            return new Reading.Refused(fault);
        if (scan.ResourceType != type)
            return Refuse(FaultKind.Invalid, "The resource's type is not the one in the address.", "resourceType");
        var (named, wrong) = await _searched.OfAsync(type, request.Query, cancel);
        if (wrong is not null)
            return new Reading.Refused(wrong);
        var (ofBody, refused) = await _written.OfAsync(scan, type, body, cancel);
        if (refused is not null && named is null)
            return new Reading.Refused(refused);
        if (refused is null && named is not null && named != ofBody)
            return Refuse(FaultKind.Invalid, "The criteria name another patient than the resource. An update concerns one.", "http.url");
        var search = Search(type, named ?? ofBody, request.Query);
        return search with
        {
            Interaction = search.Interaction with
            {
                Kind = InteractionKind.Update,
                WritesDirectory = search.Interaction.Compartment.IsDirectory,
                Needs = [(type, 'u'), (type, 'c'), (type, 's'), .. SearchesOf(scan)],
            },
        };
    }

    /// <summary>A change whose criteria choose the compartment and in it the resource.</summary>
    private async ValueTask<Reading> ByCriteriaAsync(InteractionKind kind, HttpRequest request, string type, string letters, CancellationToken cancel)
    {
        var reading = await SearchAsync(type, request.Query, cancel);
        return reading is not Reading.Single search ? reading : search with
        {
            Interaction = search.Interaction with
            {
                Kind = kind,
                WritesDirectory = search.Interaction.Compartment.IsDirectory,
                Needs = [.. letters.Select(l => (type, l))],
            },
        };
    }

    /// <summary>A conditional reference is a search, whatever it stands in.</summary>
    private static IEnumerable<(string, char)> SearchesOf(RequestScan scan) => scan.ConditionalReferences.Select(r => (r[..r.IndexOf('?')], 's'));

    private async ValueTask<Reading> CreateAsync(string type, ReadOnlyMemory<byte> body, bool conditional, CancellationToken cancel)
    {
        var scan = RequestScan.Read(body.Span);
        if (scan.Fault is { } fault)
            return new Reading.Refused(fault);
        if (scan.ResourceType != type)
            return Refuse(FaultKind.Invalid, "The resource's type is not the one in the address.", "resourceType");
        var (compartment, refused) = await _written.OfAsync(scan, type, body, cancel);
        if (refused is not null)
            return new Reading.Refused(refused);
        var single = Single(InteractionKind.Create, type, compartment, 'c');
        return single with
        {
            Interaction = Declaring(single.Interaction, body) with
            {
                WritesDirectory = compartment.IsDirectory,
                // A conditional create searches, and answers with what it finds.
                Needs =
                [
                    (type, 'c'), .. conditional ? [(type, 's'), (type, 'r')] : Array.Empty<(string, char)>(), .. SearchesOf(scan),
                    // Its document becomes a Binary, and the two a submission set.
                    .. type == "DocumentReference" && SimplifiedPublish.IsAmong(scan.ClaimedProfiles) ? [("Binary", 'c'), ("List", 'c')] : Array.Empty<(string, char)>(),
                ],
            },
        };
    }

    private async ValueTask<Reading> BundleAsync(Requester requester, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        var scan = RequestScan.Read(body.Span);
        if (scan.Fault is { } fault)
            return new Reading.Refused(fault);
        if (scan.ResourceType != "Bundle")
            return Refuse(FaultKind.Invalid, "Only a Bundle is posted to the base. Post a resource to its type: POST [Type].", "resourceType");
        if (scan is { BundleType: "batch" or "transaction", Misplaced: { Count: > 0 } misplaced })
            return new Reading.Refused(new Fault(FaultKind.Unprocessable, misplaced));
        if (scan.BundleType == "batch")
        {
            var claims = new List<FaultIssue>();
            ResourceValidator.CheckBundle(scan.ClaimedProfiles, requester.UnknownProfiles, claims);
            return claims.Exists(i => i.Severity == FaultSeverity.Error)
                ? new Reading.Refused(new Fault(FaultKind.Unprocessable, claims))
                : new Reading.Batch(scan, body) { UnenforcedProfiles = claims.Count };
        }
        if (scan.BundleType != "transaction")
            return Refuse(FaultKind.Invalid, "Bundle.type must be transaction or batch here.", "Bundle.type");

        var needs = new List<(string, char)>();
        var isDeclaration = ResourceRules.IsDeclaration(scan.Entries.Select(static entry => (entry.TargetType, entry.Method)));
        foreach (var entry in scan.Entries)
        {
            var type = entry.TargetType;
            if (!ResourceTypes.IsServed(type))
                return Refuse(FaultKind.Unprocessable, ResourceTypes.IsFhirType(type) ? "This resource type is not kept here." : "There is no such resource type in FHIR R4.",
                    $"Bundle.entry[{entry.Index}].resource");
            var letters = (entry.Method, entry.IsConditional) switch
            {
                ("POST", false) => "c",
                ("POST", true) => "csr",
                ("PUT", false) => "u",
                ("PUT", true) => "ucs",
                ("PATCH", false) => "ur",
                ("PATCH", true) => "usr",
                ("DELETE", false) => "d",
                ("DELETE", true) => "ds",
                ("GET" or "HEAD", _) => entry.Url?.Contains('?') == true || entry.Url?.Trim('/') == type ? "s" : "r",
                _ => "",
            };
            if (letters.Length == 0)
                return Refuse(FaultKind.Unprocessable, "The method must be POST, PUT, PATCH, DELETE, GET or HEAD.", $"Bundle.entry[{entry.Index}].request.method");
            if (ResourceRules.Refusal(type, entry.Method!, entry.IsConditional, isInTransaction: !isDeclaration) is { } refusal)
                return new Reading.Refused(refusal with { Issues = [refusal.Issues[0] with { Expression = $"Bundle.entry[{entry.Index}].request.method" }] });
            needs.AddRange(letters.Select(l => (type!, l)));
        }
        needs.AddRange(SearchesOf(scan));
        var (compartment, refused) = await _written.OfAsync(scan, null, body, cancel);
        if (refused is not null)
            return new Reading.Refused(refused);
        var interaction = new Interaction
        {
            Kind = InteractionKind.Transaction,
            Compartment = compartment,
            Needs = [.. needs.Distinct()],
            WritesDirectory = scan.TouchesDirectory,
        };
        return isDeclaration ? DeclaringTransaction(interaction, scan, body) : new Reading.Single(interaction, body);
    }

    /// <summary>A declaration with the Provenance of its making is judged as the declaration.</summary>
    private Reading DeclaringTransaction(Interaction interaction, RequestScan scan, ReadOnlyMemory<byte> body)
    {
        var consent = scan.Entries.First(static entry => entry.TargetType == "Consent");
        foreach (var provenance in scan.Entries)
            if (provenance.TargetType == "Provenance" && !TellsOnlyOf(consent.FullUrl, body[provenance.Resource]))
                return Refuse(FaultKind.Unprocessable, "A Provenance that comes with a Consent tells of that Consent alone: name the fullUrl of its entry in Provenance.target.", $"Bundle.entry[{provenance.Index}].resource.target");
        return new Reading.Single(Declaring(interaction with { Kind = InteractionKind.Create, Type = "Consent" }, body[consent.Resource]), body);
    }

    private static bool TellsOnlyOf(string? fullUrl, ReadOnlyMemory<byte> provenance)
    {
        using var document = JsonDocument.Parse(provenance);
        return fullUrl is not null && document.RootElement.TryGetProperty("target", out var targets) && targets.ValueKind == JsonValueKind.Array && targets.GetArrayLength() > 0
            && targets.EnumerateArray().All(target => target.ValueKind == JsonValueKind.Object && target.TryGetProperty("reference", out var reference)
                && reference.ValueKind == JsonValueKind.String && reference.GetString() == fullUrl);
    }

    private async ValueTask<Reading> SearchAsync(string type, IEnumerable<KeyValuePair<string, StringValues>> parameters, CancellationToken cancel)
    {
        if (ResourceTypes.PlaceOf(type) == ResourcePlace.Directory)
        {
            foreach (var (name, values) in parameters)
                foreach (var value in values)
                    if (SearchedCompartment.RefusedParameter(type, name, value ?? "") is { } refused)
                        return new Reading.Refused(refused);
            return Search(type, Pseudonym.Directory, parameters);
        }
        var (found, wrong) = await _searched.OfAsync(type, parameters, cancel);
        if (wrong is not null)
            return new Reading.Refused(wrong);
        return found is { } one
            ? Search(type, one, parameters)
            : Refuse(FaultKind.NotSupported, type == "Patient"
                ? "A search concerns one patient. POST Patient/_search with identifier=urn:oid:1.2.246.21|[identity code], or give _id."
                : "A search concerns one patient: give patient=[id], or POST [Type]/_search with patient.identifier=urn:oid:1.2.246.21|[identity code].", "http.patient");
    }

    private static Reading.Single Search(string type, Pseudonym compartment, IEnumerable<KeyValuePair<string, StringValues>> parameters)
    {
        var reading = Single(InteractionKind.Search, type, compartment, 's');
        return reading with { Interaction = reading.Interaction with { Query = AuditedQuery(type, parameters), Sought = SoughtBy(parameters) } };
    }

    private static Sought? SoughtBy(IEnumerable<KeyValuePair<string, StringValues>> parameters)
    {
        PersonalIdentityCode? code = null;
        string? family = null;
        foreach (var (name, values) in parameters)
            if (name.EndsWith("identifier", StringComparison.Ordinal) && values is [{ } value] && value.IndexOf('|') is var bar and >= 0 && PersonalIdentityCode.TryParse(value[(bar + 1)..], out var read))
                code = read;
            else if (name is "family" or "name" && values is [{ Length: > 0 } text])
                family = text;
        return code is null && family is null ? null : new(code, family);
    }

    /// <summary>The question as the audit keeps it.</summary>
    private static string AuditedQuery(string type, IEnumerable<KeyValuePair<string, StringValues>> parameters)
    {
        var asked = parameters.SelectMany(p => p.Value, (p, value) => $"{p.Key}={(PersonalIdentityCode.Occurs(value) ? "[identity code]" : value)}");
        return $"{type}?{string.Join('&', asked)}";
    }

    /// <param name="target">What the link must be a page of.</param>
    /// <param name="type">Null for everything of a patient.</param>
    private Reading Page(Requester requester, InteractionKind kind, string target, string? type, char letter, string link)
    {
        if (_pages.Open(link, requester.Caller) is not { } state || state.Target != target || !Pseudonym.TryDecode(state.Compartment, out var compartment))
            return Refuse(FaultKind.Invalid, "This page link is not one that you were given. Repeat the search.", "http._page");
        // Each page is a disclosure of its own, and the record of it says what was asked for.
        var page = Single(kind, type, compartment, letter);
        return page with { Interaction = page.Interaction with { Query = AuditedQuery(target, QueryHelpers.ParseQuery(state.Query)) } };
    }

    /// <summary>History of a type or of everything: of one patient, or of a type of the directory.</summary>
    private async ValueTask<Reading> HistoryAsync(HttpRequest request, Requester requester, string? type, CancellationToken cancel)
    {
        var (kind, target) = type is null ? (InteractionKind.HistorySystem, "_history") : (InteractionKind.HistoryType, $"{type}/_history");
        if (request.Query.TryGetValue("_page", out var link))
            return Page(requester, kind, target, type, 'r', link.ToString());
        if (ResourceTypes.PlaceOf(type) == ResourcePlace.Directory)
            return Single(kind, type, Pseudonym.Directory, 'r');
        var (found, wrong) = await _searched.OfAsync(type ?? "Patient", request.Query, cancel);
        return wrong is not null ? new Reading.Refused(wrong)
            : found is { } one ? Single(kind, type, one, 'r')
            : Refuse(FaultKind.Denied, type is null
                ? "History of the whole system is not given. Ask for that of one patient: GET _history?patient=[id]."
                : "History of a whole type is not given. Ask for that of one patient: GET [Type]/_history?patient=[id].", "http.patient");
    }

    /// <summary>$docref is a search in other words.</summary>
    private async ValueTask<Reading> DocumentsAsync(HttpRequest request, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        var (form, fault) = OperationParameters.ToForm(request.QueryString.Value?.TrimStart('?') ?? "", body.Span);
        if (fault is null)
            (form, fault) = DocumentQuery.ToSearch(form!);
        return fault is not null ? new Reading.Refused(fault) : await SearchAsync("DocumentReference", QueryHelpers.ParseQuery(form), cancel);
    }

    private static bool IsSearch(HttpRequest request) => request.Method == "POST" && request.Path.Value!.EndsWith("/_search", StringComparison.Ordinal);

    /// <summary>The OID in a header; null: there is none, empty: it is no OID.</summary>
    private static string? OidIn(HttpRequest request, string header) =>
        request.Headers[header].ToString() is not { Length: > 0 } named ? null : Oid.TryParse(named, out var oid) ? oid.ToString() : "";

    /// <summary>What a Consent declares, and what must be known of whom it names; whom a Communication asks for rectification.</summary>
    private Interaction Declaring(Interaction interaction, ReadOnlyMemory<byte> body)
    {
        if (interaction.Type is not ("Consent" or "Communication"))
            return interaction;
        using var document = JsonDocument.Parse(Relative(body));
        if (interaction.Type == "Communication")
            return interaction with { Asks = RectificationRequest.AskedIn(document.RootElement) };
        var (declaration, objection) = DeclarationReader.Read(document.RootElement, "Patient/" + _ids.PatientId(interaction.Compartment));
        return interaction with
        {
            Declares = declaration,
            Objection = objection,
            KindsOfDenied = declaration is DisclosureDenial { Target: DenialTarget.OfRegister target } ? _controllers.KindsOf(target.Controller) : [],
        };
    }

    /// <summary>A Consent as it will be stored: references and addresses of what lies here without the server's own address.</summary>
    private ReadOnlyMemory<byte> Relative(ReadOnlyMemory<byte> consent)
    {
        var publicBase = _options.PublicAddress + "/fhir";
        if (consent.Span.IndexOf(Encoding.UTF8.GetBytes(publicBase)) < 0)
            return consent;
        var json = JsonNode.Parse(consent.Span);
        MakeRelative(json);
        return JsonSerializer.SerializeToUtf8Bytes(json);

        void MakeRelative(JsonNode? node)
        {
            if (node is JsonArray array)
                foreach (var item in array)
                    MakeRelative(item);
            if (node is not JsonObject element)
                return;
            foreach (var (name, value) in element.ToArray())
                if (name is "reference" or "url" && value is JsonValue text && text.TryGetValue(out string? literal))
                    element[name] = References.Relative(literal, publicBase);
                else
                    MakeRelative(value);
        }
    }

    /// <param name="type">Null for everything of a patient, for which a token must at least reach the Patient.</param>
    private static Reading.Single Single(InteractionKind kind, string? type, Pseudonym compartment, char letter) =>
        new(new Interaction { Kind = kind, Type = type, Compartment = compartment, Needs = [(type ?? "Patient", letter)] }, default);

    private static Reading Refuse(FaultKind kind, string diagnostics, string? expression = null) => new Reading.Refused(new Fault(kind, diagnostics, expression));
}
