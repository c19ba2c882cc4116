using System.Buffers;
using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// What the gateway decides on: a person's declarations of will and the service events that are open, of every
/// controller. Goes to the gateway only, under a grant of its own kind.
/// </summary>
sealed class PolicyReading(OpenedCompartments compartments, IdentifierCipher identifiers, RowNames names)
{
    // R4 EncounterStatus of an event that has not ended.
    private const string Open = "status=planned,arrived,triaged,in-progress,onleave";

    private static readonly DisclosureScope Everything = new() { Breadth = Breadth.WholePerson };

    public async Task<Answer> ReadAsync(RepositoryRequest request, CancellationToken cancel)
    {
        request.Require(GrantUse.Policy);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        var open = SearchQuery.Parse("Encounter", Open, identifiers, request.Compartment, DateTimeOffset.UnixEpoch).Query!;
        var consents = Selection.OfType(view, Everything, "Consent").ToList();
        var events = Selection.OfType(view, Everything, "Encounter", open).Where(e => e.ServiceEvent is not null).ToList();
        var bodies = await lease.ReadAsync([.. consents, .. events], cancel).ConfigureAwait(false);

        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("version"u8, view.PolicyVersion);
            json.WriteStartArray("consents"u8);
            for (var i = 0; i < consents.Count; i++)
                json.WriteRawValue(bodies[i].Span, skipInputValidation: true);
            json.WriteEndArray();
            json.WriteStartArray("serviceEvents"u8);
            for (var i = 0; i < events.Count; i++)
                WriteEvent(json, events[i], names.IdOf(request.Compartment, events[i]), bodies[consents.Count + i]);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return new Answer(200, buffer.WrittenMemory, []) { ContentType = "application/json", HasManifest = false };
    }

    private static void WriteEvent(Utf8JsonWriter json, CompartmentRow row, string id, ReadOnlyMemory<byte> body)
    {
        using var document = JsonDocument.Parse(body);
        var encounter = document.RootElement;
        json.WriteStartObject();
        json.WriteString("oid"u8, row.ServiceEvent);
        json.WriteString("encounter"u8, id);
        json.WriteString("controller"u8, row.Controller);
        json.WriteString("status"u8, encounter.GetProperty("status"u8).GetString());
        if (encounter.TryGetProperty("period"u8, out var period))
            foreach (var end in (ReadOnlySpan<string>)["start", "end"])
                if (period.TryGetProperty(end, out var time))
                    json.WriteString(end, time.GetString());
        json.WriteEndObject();
    }
}
