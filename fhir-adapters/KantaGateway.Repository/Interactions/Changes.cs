using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;

namespace KantaGateway.Repository.Interactions;

/// <summary>create, update, delete and transaction: reads the body, has it written, answers (hl7.org/fhir/R4/http.html).</summary>
sealed class Changes(Writing writing, Reading reading, Searching searching, RowNames names)
{
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
            answer = operation switch
            {
                { IsHistory: true, Id: { } id } => await reading.HistoryAsync(asked, operation.Type, id, operation.Query ?? "", cancel).ConfigureAwait(false),
                { Id: { } id } => await reading.ReadAsync(asked, operation.Type, id, operation.VersionId, cancel).ConfigureAwait(false),
                _ => await searching.SearchAsync(asked, operation.Type, operation.Query ?? "", cancel).ConfigureAwait(false),
            };
        }
        catch (Exception e) when (e is FaultException or PolicyMovedException)
        {
            // The changes are committed and must be answered; the entry says why its read was not.
            var fault = e is FaultException f ? f.Fault : new Fault(FaultKind.Busy, "The patient's policy changed meanwhile; read again.");
            json.WriteStartObject("response"u8);
            json.WriteString("status"u8, FaultTable.Of(fault.Kind).Status.ToString(System.Globalization.CultureInfo.InvariantCulture));
            json.WritePropertyName("outcome"u8);
            FaultTable.Write(json, fault, correlationId);
            json.WriteEndObject();
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
    }

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
}
