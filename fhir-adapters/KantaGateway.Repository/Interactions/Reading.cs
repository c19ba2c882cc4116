using System.Buffers;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Validation;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>read, vread, $meta and $validate of what is stored (hl7.org/fhir/R4/http.html).</summary>
sealed class Reading(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names)
{
    /// <param name="versionId">Null: the newest version.</param>
    public async Task<Answer> ReadAsync(RepositoryRequest request, string type, string id, string? versionId, CancellationToken cancel)
    {
        var (resource, version) = Locate(request, id, versionId);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, request.LeastDepth, cancel).ConfigureAwait(false);
        while (true)
        {
            var view = lease.View;
            var row = versionId is null
                ? Selection.Current(view, request.Scope, type, resource)
                : Selection.Version(view, request.Scope, type, resource, version);
            // One round trip for the body and the proof that the view is still the newest: the policy is checked in the
            // snapshot that is read.
            if (await lease.TryReadAsync(row is { Deleted: false } ? row : null, request.Scope, cancel).ConfigureAwait(false) is not { } body)
            {
                await lease.RefreshAsync(cancel).ConfigureAwait(false);
                continue;
            }
            request.RequirePolicy(view);
            if (row is null)
                throw new FaultException(Fault.Absent);
            if (row.Deleted)
                throw new FaultException(new Fault(FaultKind.Deleted, "The resource has been deleted; its earlier versions remain in its history."));
            var item = names.ItemOf(view.Compartment, row);
            return new Answer(200, body, [item]) { ETag = Answer.ETagOf(item.VersionId), LastModified = row.LastUpdated };
        }
    }

    /// <summary>The <c>meta</c> of a resource as Parameters (hl7.org/fhir/R4/resource-operation-meta.html).</summary>
    public async Task<Answer> MetaAsync(RepositoryRequest request, string type, string id, CancellationToken cancel)
    {
        var read = await ReadAsync(request, type, id, null, cancel).ConfigureAwait(false);
        using var resource = JsonDocument.Parse(read.Body);
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("resourceType"u8, "Parameters"u8);
            json.WriteStartArray("parameter"u8);
            json.WriteStartObject();
            json.WriteString("name"u8, "return"u8);
            json.WritePropertyName("valueMeta"u8);
            json.WriteRawValue(resource.RootElement.GetProperty("meta"u8).GetRawText(), skipInputValidation: true);
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return new Answer(200, buffer.WrittenMemory, read.Items);
    }

    /// <summary>What is wrong with a stored resource by the rules of today, as an OperationOutcome; it tells of the resource, so it is read like one.</summary>
    public async Task<Answer> ValidateAsync(RepositoryRequest request, string type, string id, ValidateOperation.Question question, string correlationId, CancellationToken cancel)
    {
        var read = await ReadAsync(request, type, id, null, cancel).ConfigureAwait(false);
        var issues = ValidateOperation.AnswerOfStored(read.Body, question, request.UnknownProfiles);
        return new Answer(200, FaultTable.ToOperationOutcome(new(FaultKind.Unprocessable, issues), correlationId, request.Language), read.Items);
    }

    /// <summary>The sequence numbers in an id and a version id; -1 for one that is not of this compartment and so matches nothing.</summary>
    private (long Resource, long Version) Locate(RepositoryRequest request, string id, string? versionId)
    {
        var resource = identifiers.TryReadResourceId(id, out var compartment, out var sequence) && compartment == request.Compartment ? sequence : -1;
        var version = versionId is not null && identifiers.TryReadVersionId(versionId, out var of, out var row) && of == request.Compartment ? row : -1;
        return (resource, version);
    }
}
