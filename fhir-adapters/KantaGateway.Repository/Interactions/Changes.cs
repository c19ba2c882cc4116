using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>create, update, patch, delete and transaction: reads the body, has it written, answers (hl7.org/fhir/R4/http.html).</summary>
sealed partial class Changes(Writing writing, Reading reading, Histories histories, Searching searching, RowNames names, TimeProvider time, ILogger<Changes> log)
{
    /// <summary>Most resource versions that a transaction may store and show: the manifest of its answer travels in a header.</summary>
    public const int MaxItems = 10_000;

    /// <summary>Bytes after which a transaction's reads are no longer answered in the same Bundle.</summary>
    public const int MaxTransactionAnswer = 4 * Answer.MaxPage;

    public Task<Answer> CreateAsync(RepositoryRequest request, string type, ReadOnlyMemory<byte> body, string? ifNoneExist, ReturnPreference prefer, string correlationId, CancellationToken cancel) =>
        ChangeAsync(request, () =>
        {
            var creation = new BundleOperation(0, BundleMethod.Post, type, null) { Resource = Parse(body, type), IfNoneExist = ifNoneExist };
            return creation.Resource is DocumentReference reference ? PublishedWith(request, creation, reference) : [creation];
        }, prefer, correlationId, cancel);

    /// <summary>A DocumentReference with the document that it may bring along, and the submission set of the two (<see cref="SimplifiedPublish"/>).</summary>
    private BundleOperation[] PublishedWith(RepositoryRequest request, BundleOperation creation, DocumentReference reference)
    {
        string own = $"urn:uuid:{Guid.NewGuid()}", link = $"urn:uuid:{Guid.NewGuid()}";
        var (document, fault) = SimplifiedPublish.Extract(reference, link);
        if (fault is null && document is not null && creation.IfNoneExist is not null)
            fault = new(FaultKind.NotSupported, "A document is not published by criteria: it would be stored beside the DocumentReference that they find. Leave If-None-Exist out.", "http.If-None-Exist");
        if (fault is not null)
            throw new FaultException(fault);
        return document is null ? [creation] :
        [
            creation with { FullUrl = own },
            new(1, BundleMethod.Post, "Binary", null) { Resource = document, FullUrl = link },
            new(2, BundleMethod.Post, "List", null) { Resource = SubmissionSet.Of(reference, own, request.Scope.Controller, time.GetUtcNow()) },
        ];
    }

    /// <param name="id">Null where <paramref name="criteria"/> choose the resource.</param>
    public Task<Answer> UpdateAsync(RepositoryRequest request, string type, string? id, string? criteria, ReadOnlyMemory<byte> body,
        string? ifMatch, string? ifNoneMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel) =>
        ChangeAsync(request, () =>
        {
            var resource = Parse(body, type);
            if (id is not null && resource.Id != id)
                throw new FaultException(new Fault(FaultKind.Invalid, "The resource's id must be the one in the URL.", $"{type}.id"));
            return new(0, BundleMethod.Put, type, id) { Resource = resource, Query = criteria, IfMatch = ifMatch, IfNoneMatch = ifNoneMatch };
        }, prefer, correlationId, cancel);

    /// <summary>Stores the row of a Binary whose content is there already.</summary>
    /// <param name="id">Null: a new one.</param>
    /// <param name="make">The resource without its content; called again for each attempt.</param>
    /// <param name="generation">Of the data key that the content is sealed under.</param>
    public Task<Answer> StoreContentAsync(RepositoryRequest request, string? id, Func<Binary> make, StoredContent content, long generation,
        string? ifMatch, string? ifNoneMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel) =>
        ChangeAsync(request, () => new(0, id is null ? BundleMethod.Post : BundleMethod.Put, "Binary", id)
        {
            Resource = make(), Content = content, ContentGeneration = generation, IfMatch = ifMatch, IfNoneMatch = ifNoneMatch,
        }, prefer, correlationId, cancel);

    /// <param name="id">Null where <paramref name="criteria"/> choose the resource.</param>
    public Task<Answer> PatchAsync(RepositoryRequest request, string type, string? id, string? criteria, ReadOnlyMemory<byte> body, string? contentType,
        string? ifMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        var (patch, fault) = ResourcePatch.Read(body, contentType);
        if (patch is null)
            throw new FaultException(fault!);
        return ChangeAsync(request, () => new(0, BundleMethod.Patch, type, id) { Patch = patch, Query = criteria, IfMatch = ifMatch }, prefer, correlationId, cancel);
    }

    /// <param name="id">Null where <paramref name="criteria"/> choose the resource.</param>
    public Task<Answer> DeleteAsync(RepositoryRequest request, string type, string? id, string? criteria, string? ifMatch, ReturnPreference prefer, string correlationId, CancellationToken cancel) =>
        ChangeAsync(request, () => new(0, BundleMethod.Delete, type, id) { Query = criteria, IfMatch = ifMatch }, prefer, correlationId, cancel);

    private Task<Answer> ChangeAsync(RepositoryRequest request, Func<BundleOperation> parse, ReturnPreference prefer, string correlationId, CancellationToken cancel) =>
        ChangeAsync(request, () => [parse()], prefer, correlationId, cancel);

    /// <param name="parse">The change, and what is stored with it.</param>
    private async Task<Answer> ChangeAsync(RepositoryRequest request, Func<BundleOperation[]> parse, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        var shows = prefer is ReturnPreference.Representation or ReturnPreference.Unstated;
        var outcome = await writing.ExecuteAsync(request, () => (parse(), null), shows, cancel).ConfigureAwait(false);
        var written = outcome.Results[0];
        var body = prefer == ReturnPreference.OperationOutcome ? FaultTable.ToOperationOutcome(DoneBy(written, outcome.Warnings), correlationId, request.Language) : shows ? written.Body : default;
        ManifestItem[] items = [.. outcome.Results.Where(w => w is { Row: not null, IsKept: false }).Select(ItemOf)];
        var its = written.Row is null ? (ManifestItem?)null : ItemOf(written);
        var etag = its is { } version ? Answer.ETagOf(version.VersionId) : null;
        return written.Operation.Method == BundleMethod.Delete
            ? new Answer(body.IsEmpty ? 204 : 200, body, items) { ETag = etag, Heads = outcome.Heads }
            : new Answer(written.Created ? 201 : 200, body, items)
            {
                ETag = etag,
                LastModified = written.Row!.LastUpdated,
                Location = LocationOf(request, its!.Value),
                Warnings = outcome.Warnings.Count,
                Heads = outcome.Heads,
            };
    }

    /// <summary>What was done, for <c>Prefer: return=OperationOutcome</c>. Nothing in it depends on what else is stored.</summary>
    private static Fault DoneBy(Written written, params IReadOnlyList<FaultIssue> warnings)
    {
        var (diagnostics, message) = written switch
        {
            { Operation.Method: BundleMethod.Delete } => ("The resource is deleted, or was not there.", "deleted"),
            { Created: true } => ("The resource is created.", "created"),
            { Stored: true } => ("The new version is stored.", "changed"),
            _ => ("A resource that matches the criteria is there; nothing is stored.", "there-already"),
        };
        return new(FaultKind.Invalid, [new FaultIssue(diagnostics, null, "informational") { Severity = FaultSeverity.Information, Message = message }, .. warnings]);
    }

    public async Task<Answer> TransactionAsync(RepositoryRequest request, ReadOnlyMemory<byte> body, ReturnPreference prefer, string correlationId, CancellationToken cancel)
    {
        var outcome = await writing.ExecuteAsync(request, () =>
        {
            var (transaction, fault) = TransactionBundle.Read((Bundle)Parse(body, "Bundle"));
            if (transaction is null)
                throw new FaultException(fault!);
            if (transaction.IsBatch)
                throw new FaultException(new Fault(FaultKind.NotSupported, "A batch is taken apart by the gateway; the repository takes transactions.", "Bundle.type"));
            // Before anything is stored: what is stored must be answered.
            if (transaction.Operations.Sum(MostItems) > MaxItems)
                throw new FaultException(new Fault(FaultKind.Unprocessable,
                    new FaultIssue($"The answer might hold more than {MaxItems} resources; search outside the transaction.", "Bundle.entry", "too-costly")));
            return (transaction.Operations, transaction);
        }, prefer == ReturnPreference.Representation, cancel).ConfigureAwait(false);

        // The transaction's own reads see its writes and are judged by the decision it was made under: the policy as it
        // stands right after the commit, whatever others have changed since.
        var reader = request.Grant.PolicyVersion is null ? request
            : request with { Held = new(request.Grant with { PolicyVersion = outcome.PolicyVersion }, request.Held.Token) };
        var shown = prefer == ReturnPreference.Representation ? outcome.Results.Sum(w => w.Body.Length) : 0;
        using var bundle = new BundleAnswer("transaction-response", 256 * outcome.Results.Count + shown);
        var json = bundle.Json;
        var items = new List<ManifestItem>(outcome.Results.Count);
        if (outcome.Results.Count > 0)
        {
            json.WriteStartArray("entry"u8);
            foreach (var written in outcome.Results.OrderBy(w => w.Operation.Index))
            {
                json.WriteStartObject();
                if (written.Operation.IsRead)
                    await WriteReadAsync(bundle, reader, written.Operation, items, correlationId, cancel).ConfigureAwait(false);
                else
                    WriteStored(bundle, request, written, prefer, items, correlationId);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return new Answer(200, bundle.Complete(), items) { Warnings = outcome.Warnings.Count, Heads = outcome.Heads };
    }

    private void WriteStored(BundleAnswer bundle, RepositoryRequest request, Written written, ReturnPreference prefer, List<ManifestItem> items, string correlationId)
    {
        var json = bundle.Json;
        if (prefer == ReturnPreference.Representation && !written.Body.IsEmpty)
            bundle.Resource(written.Body.Span);
        json.WriteStartObject("response"u8);
        json.WriteString("status"u8, written switch
        {
            { Operation.Method: BundleMethod.Delete } => "204 No Content",
            { Created: true } => "201 Created",
            _ => "200 OK",
        });
        if (written.Row is { } row)
        {
            var item = ItemOf(written);
            if (!written.IsKept)
                items.Add(item);
            if (!row.Deleted)
                json.WriteString("location"u8, LocationOf(request, item));
            json.WriteString("etag"u8, Answer.ETagOf(item.VersionId));
            json.WriteString("lastModified"u8, row.LastUpdated.ToString(CompartmentRow.InstantFormat, System.Globalization.CultureInfo.InvariantCulture));
        }
        if (prefer == ReturnPreference.OperationOutcome)
        {
            json.WritePropertyName("outcome"u8);
            FaultTable.Write(json, DoneBy(written), correlationId, request.Language);
        }
        json.WriteEndObject();
    }

    private async System.Threading.Tasks.Task WriteReadAsync(BundleAnswer bundle, RepositoryRequest request, BundleOperation operation, List<ManifestItem> items,
        string correlationId, CancellationToken cancel)
    {
        var json = bundle.Json;
        Answer answer;
        try
        {
            var asked = ResourceTypes.PlaceOf(operation.Type) == ResourcePlace.Directory && !request.Compartment.IsDirectory && request.Directory is { } directory
                ? request with { Held = directory } : request;
            // By id it shows the type that it names, and the gateway has looked for that in the token.
            if (operation.Id is not null)
                asked = asked with { Held = new(asked.Grant with { Scope = asked.Scope.OfAnyType }, asked.Held.Token) };
            answer = operation switch
            {
                { IsHistory: true, Id: { } id } => await histories.OfInstanceAsync(asked, operation.Type, id, operation.Query ?? "", cancel).ConfigureAwait(false),
                { Id: { } id } => await reading.ReadAsync(asked, operation.Type, id, operation.VersionId, cancel).ConfigureAwait(false),
                _ => await searching.SearchAsync(asked, operation.Type, operation.Query ?? "", lenient: false, cancel).ConfigureAwait(false),
            };
            answer = answer with { Body = ShapeOf(operation).Apply(answer.Body) };
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The changes are committed and must be answered; the entry says why its read was not.
            WriteOutcome(FaultOf(e));
            return;
        }
        if (bundle.Length + answer.Body.Length > MaxTransactionAnswer)
        {
            WriteOutcome(new(FaultKind.TooLarge, "The answer would be too large; read this outside the transaction."));
            return;
        }
        if (operation is { Id: not null, IsHistory: false })
            answer = answer.Unless(operation.IfNoneMatch, operation.IfModifiedSince);
        items.AddRange(answer.Items);
        if (!answer.Body.IsEmpty && operation.Method != BundleMethod.Head)
            bundle.Resource(answer.Body.Span);
        json.WriteStartObject("response"u8);
        json.WriteString("status"u8, answer.Status == StatusCodes.Status304NotModified ? "304 Not Modified"u8 : "200 OK"u8);
        if (answer.ETag is { } etag)
            json.WriteString("etag"u8, etag);
        if (answer.LastModified is { } modified)
            json.WriteString("lastModified"u8, modified.ToString(CompartmentRow.InstantFormat, System.Globalization.CultureInfo.InvariantCulture));
        json.WriteEndObject();

        void WriteOutcome(Fault fault)
        {
            json.WriteStartObject("response"u8);
            json.WriteString("status"u8, FaultTable.Of(fault.Kind).Status.ToString(System.Globalization.CultureInfo.InvariantCulture));
            json.WritePropertyName("outcome"u8);
            FaultTable.Write(json, fault, correlationId, request.Language);
            json.WriteEndObject();
        }

        Fault FaultOf(Exception e)
        {
            switch (e)
            {
                case FaultException expected:
                    return expected.Fault;
                case AskAnewException anew:
                    return new(FaultKind.Busy, anew.PolicyVersion is null ? "The record was closed meanwhile; read again." : "The patient's policy changed meanwhile; read again.");
                case StoreException:
                    ReadFailed(log, e, correlationId);
                    return new(FaultKind.StoreUnavailable, "The database did not answer this read. What the transaction writes is stored; read again.");
                case TamperedException:
                    Tampered(log, e, correlationId);
                    break;
                default:
                    ReadFailed(log, e, correlationId);
                    break;
            }
            return new(FaultKind.Unexpected, "This read failed; what the transaction writes is stored. Give the id of this outcome to the operator.");
        }
    }

    /// <summary>How much of the resources a read in a transaction shows; their format is that of the whole answer.</summary>
    private static Presentation ShapeOf(BundleOperation operation)
    {
        var (shape, fault) = PresentationParameters.Read(PresentationParameters.Parse(operation.Query ?? "").Where(p => p.Name is not ("_format" or "_pretty")),
            FhirFormat.Json, operation.Type, isSearch: operation is { Id: null, IsHistory: false });
        return shape ?? throw new FaultException(fault!);
    }

    /// <summary>Most items that an operation can add to the manifest.</summary>
    private static int MostItems(BundleOperation operation) =>
        operation is { IsRead: true, Id: null } or { IsRead: true, IsHistory: true }
            ? SearchQuery.MaxCount + (Uri.UnescapeDataString(operation.Query ?? "").Contains("include", StringComparison.Ordinal) ? SearchPage.MaxIncluded : 0) : 1;

    private ManifestItem ItemOf(Written written) => names.ItemOf(written.Compartment, written.Row!) with { Written = written.Stored };

    private static string LocationOf(RepositoryRequest request, ManifestItem item) => $"{request.Base}/{item.Type}/{item.Id}/_history/{item.VersionId}";

    private static Resource Parse(ReadOnlyMemory<byte> body, string type)
    {
        var (resource, fault) = ResourceParser.Parse(body);
        if (resource is null)
            throw new FaultException(fault!);
        return resource.TypeName == type ? resource
            : throw new FaultException(new Fault(FaultKind.Invalid, $"The body must be a {type}, as the URL says.", "resourceType"));
    }

    [LoggerMessage(1, LogLevel.Error, "A read in a committed transaction failed. Request {CorrelationId}.")]
    private static partial void ReadFailed(ILogger log, Exception e, string correlationId);

    [LoggerMessage(2, LogLevel.Critical, "Stored rows are not what was written. Request {CorrelationId}.")]
    private static partial void Tampered(ILogger log, Exception e, string correlationId);
}
