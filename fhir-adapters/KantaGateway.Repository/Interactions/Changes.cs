using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>create, update, delete and transaction: reads the body, has it written, answers (hl7.org/fhir/R4/http.html).</summary>
sealed partial class Changes(Writing writing, Reading reading, Searching searching, RowNames names, ILogger<Changes> log)
{
    /// <summary>Most resource versions that a transaction may store and show: the manifest of its answer travels in a header.</summary>
    public const int MaxItems = 10_000;

    /// <summary>Bytes after which a transaction's reads are no longer answered in the same Bundle.</summary>
    public const int MaxTransactionAnswer = 4 * Answer.MaxPage;

    public async Task<Answer> CreateAsync(RepositoryRequest request, string type, ReadOnlyMemory<byte> body, string? ifNoneExist, bool minimal, CancellationToken cancel)
    {
        var outcome = await writing.ExecuteAsync(request,
            () => ([new(0, BundleMethod.Post, type, null) { Resource = Parse(body, type), IfNoneExist = ifNoneExist }], null), cancel).ConfigureAwait(false);
        return Stored(request, outcome.Results[0], outcome.Results[0].Stored ? 201 : 200, minimal);
    }

    public async Task<Answer> UpdateAsync(RepositoryRequest request, string type, string id, ReadOnlyMemory<byte> body, string? ifMatch, bool minimal, CancellationToken cancel)
    {
        var outcome = await writing.ExecuteAsync(request, () =>
        {
            var resource = Parse(body, type);
            if (resource.Id != id)
                throw new FaultException(new Fault(FaultKind.Invalid, "The resource's id must be the one in the URL.", $"{type}.id"));
            return ([new(0, BundleMethod.Put, type, id) { Resource = resource, IfMatch = ifMatch }], null);
        }, cancel).ConfigureAwait(false);
        return Stored(request, outcome.Results[0], 200, minimal);
    }

    public async Task<Answer> DeleteAsync(RepositoryRequest request, string type, string id, string? ifMatch, CancellationToken cancel)
    {
        var outcome = await writing.ExecuteAsync(request, () => ([new(0, BundleMethod.Delete, type, id) { IfMatch = ifMatch }], null), cancel).ConfigureAwait(false);
        var written = outcome.Results[0];
        var item = ItemOf(written);
        return new Answer(204, ReadOnlyMemory<byte>.Empty, [item]) { ETag = Answer.ETagOf(item.VersionId) };
    }

    public async Task<Answer> TransactionAsync(RepositoryRequest request, ReadOnlyMemory<byte> body, string correlationId, CancellationToken cancel)
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
        }, cancel).ConfigureAwait(false);

        // The transaction's own reads see its writes and are judged by the decision it was made under: the policy as it
        // stands right after the commit, whatever others have changed since.
        var reader = request.Grant.PolicyVersion is null ? request
            : request with { Held = new(request.Grant with { PolicyVersion = outcome.PolicyVersion }, request.Held.Token) };
        using var bundle = new BundleAnswer("transaction-response", 256 * outcome.Results.Count);
        var json = bundle.Json;
        var items = new List<ManifestItem>(outcome.Results.Count);
        if (outcome.Results.Count > 0)
        {
            json.WriteStartArray("entry"u8);
            foreach (var written in outcome.Results.OrderBy(w => w.Operation.Index))
            {
                json.WriteStartObject();
                if (written.Row is null)
                    await WriteReadAsync(bundle, reader, written.Operation, items, correlationId, cancel).ConfigureAwait(false);
                else
                    WriteStored(json, request, written, items);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        return new Answer(200, bundle.Complete(), items);
    }

    private void WriteStored(Utf8JsonWriter json, RepositoryRequest request, Written written, List<ManifestItem> items)
    {
        var item = ItemOf(written);
        items.Add(item);
        json.WriteStartObject("response"u8);
        json.WriteString("status"u8, written switch
        {
            { Operation.Method: BundleMethod.Delete } => "204 No Content",
            { Operation.Method: BundleMethod.Post, Stored: true } => "201 Created",
            _ => "200 OK",
        });
        if (!written.Row!.Deleted)
            json.WriteString("location"u8, LocationOf(request, item));
        json.WriteString("etag"u8, Answer.ETagOf(item.VersionId));
        json.WriteString("lastModified"u8, written.Row.LastUpdated.ToString(CompartmentRow.InstantFormat, System.Globalization.CultureInfo.InvariantCulture));
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
                { IsHistory: true, Id: { } id } => await reading.HistoryAsync(asked, operation.Type, id, operation.Query ?? "", cancel).ConfigureAwait(false),
                { Id: { } id } => await reading.ReadAsync(asked, operation.Type, id, operation.VersionId, cancel).ConfigureAwait(false),
                _ => await searching.SearchAsync(asked, operation.Type, operation.Query ?? "", cancel).ConfigureAwait(false),
            };
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
        items.AddRange(answer.Items);
        bundle.Resource(answer.Body.Span);
        json.WriteStartObject("response"u8);
        json.WriteString("status"u8, "200 OK"u8);
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
                case PolicyMovedException:
                    return new(FaultKind.Busy, "The patient's policy changed meanwhile; read again.");
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

    /// <summary>Most items that an operation can add to the manifest.</summary>
    private static int MostItems(BundleOperation operation) =>
        operation is { Method: BundleMethod.Get, Id: null } or { Method: BundleMethod.Get, IsHistory: true } ? SearchQuery.MaxCount : 1;

    private Answer Stored(RepositoryRequest request, Written written, int status, bool minimal)
    {
        var item = ItemOf(written);
        return new Answer(status, minimal ? ReadOnlyMemory<byte>.Empty : written.Body, [item])
        {
            ETag = Answer.ETagOf(item.VersionId),
            LastModified = written.Row!.LastUpdated,
            Location = LocationOf(request, item),
        };
    }

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
