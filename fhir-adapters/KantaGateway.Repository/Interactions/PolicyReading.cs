using System.Buffers;
using System.Globalization;
using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Repository.Interactions;

/// <summary>
/// What the gateway decides on: a person's declarations of will, the service events and appointments of every controller that may prove a care
/// relationship, and of the person what the law asks for: day of birth and death. Goes to the gateway only,
/// under a grant of its own kind.
/// </summary>
/// <remarks>
/// JSON: <c>version</c>; <c>stored</c>, when the newest row of the record was (an instant); <c>consents</c>; <c>order</c>, of each Consent its place among all rows; <c>serviceEvents</c>, each with <c>kind</c> (Encounter or Appointment), <c>oid</c> (an Appointment may have none),
/// <c>controller</c>, <c>register</c>, <c>services</c> (<see cref="ProtectedService"/> as a number),
/// <c>unit</c> (OID of the Encounter's serviceProvider where that is another one than the controller; what an event has is that of all its rows), <c>stored</c> (when its newest version was, an instant), <c>status</c>,
/// <c>start</c>, <c>end</c>; <c>people</c>, what each register's Patient record says: <c>controller</c>, <c>birthDate</c>, <c>deceased</c> (a date), <c>alive</c> (true where it says so), <c>stored</c> (an instant). What is not known is left out.
/// </remarks>
sealed class PolicyReading(OpenedCompartments compartments, IdentifierCipher identifiers)
{
    // R4 EncounterStatus of an event that has not ended.
    private const string Open = "status=planned,arrived,triaged,in-progress,onleave";

    // R4 AppointmentStatus of one that all have agreed to and that is not over; what is proposed or pending proves nothing.
    private const string Agreed = "status=booked,arrived,checked-in";

    private static readonly DisclosureScope Everything = new() { Breadth = Breadth.WholePerson };

    public async Task<Answer> ReadAsync(RepositoryRequest request, CancellationToken cancel)
    {
        request.Require(GrantUse.Policy);
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, IndexDepth.Entries, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        var consents = Selection.OfType(view, Everything, "Consent").ToList();
        List<CompartmentRow> events = [.. Matching("Encounter", Open).Where(e => e.ServiceEvent is not null), .. Matching("Appointment", Agreed)];
        List<CompartmentRow> patients = [.. view.FirstsOf("Patient").Select(view.Newest).Where(p => !p.Deleted)];
        var bodies = await lease.ReadAsync([.. consents, .. events, .. patients], Everything, cancel).ConfigureAwait(false);
        var units = Enumerable.Range(0, events.Count).Where(i => events[i].ServiceEvent is not null && events[i].Type == "Encounter")
            .Select(i => (Event: events[i], Unit: UnitOf(bodies[consents.Count + i], events[i].Controller))).Where(static u => u.Unit is not null)
            .ToLookup(static u => (u.Event.Controller, u.Event.Register, u.Event.ServiceEvent), static u => u.Unit!);
        var services = events.Where(e => e.ServiceEvent is not null).ToLookup(e => (e.Controller, e.Register, e.ServiceEvent), e => e.Labels?.Services ?? 0);

        var buffer = new ArrayBufferWriter<byte>(1024);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("version"u8, view.PolicyVersion);
            if (view.Row(view.Head) is { } last)
                json.WriteString("stored"u8, InstantOf(last));
            json.WriteStartArray("consents"u8);
            for (var i = 0; i < consents.Count; i++)
                json.WriteRawValue(bodies[i].Span, skipInputValidation: true);
            json.WriteEndArray();
            // Rows are numbered in the order of their commits, whatever anybody's clock says.
            json.WriteStartArray("order"u8);
            foreach (var consent in consents)
                json.WriteNumberValue(consent.Sequence);
            json.WriteEndArray();
            json.WriteStartArray("serviceEvents"u8);
            for (var i = 0; i < events.Count; i++)
            {
                var (row, ofEvent) = (events[i], events[i].Labels?.Services ?? 0);
                foreach (var its in services[(row.Controller, row.Register, row.ServiceEvent)])
                    ofEvent |= its;
                // Of two units it is in neither alone.
                var unit = string.Join(' ', units[(row.Controller, row.Register, row.ServiceEvent)].Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal));
                WriteEvent(json, row, ofEvent, unit, bodies[consents.Count + i]);
            }
            json.WriteEndArray();
            WritePeople(json, patients, bodies.AsSpan(consents.Count + events.Count));
            json.WriteEndObject();
        }
        return new Answer(200, buffer.WrittenMemory, []) { ContentType = "application/json", HasManifest = false };

        IEnumerable<CompartmentRow> Matching(string type, string criteria)
        {
            var query = SearchQuery.Parse(type, criteria, identifiers, request.Compartment, DateTimeOffset.UnixEpoch).Query!;
            return Selection.OfType(view, Everything, type, query);
        }
    }

    /// <summary>Most scopes in one preview.</summary>
    private const int MaxScopes = 8;

    /// <summary>
    /// How many entries several scopes would admit, for the preview of a choice: by type, controller, register and service event. Admitted
    /// is here what <see cref="CompartmentView.Shows"/> says, as to a request with such a grant. What the asker does not see is not counted at all.
    /// </summary>
    /// <param name="request">With a policy grant of the person.</param>
    /// <param name="body">JSON: a <see cref="PreviewQuestion"/> of at most eight scopes.</param>
    /// <param name="cancel">Stops the call.</param>
    public async Task<Answer> PreviewAsync(RepositoryRequest request, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        request.Require(GrantUse.Policy);
        if (QuestionIn(body) is not { Scopes: { Count: > 0 and <= MaxScopes } scopes } question)
            throw new FaultException(new Fault(FaultKind.Invalid, $"A preview takes one to {MaxScopes} scopes, and the one of who asks."));
        var depth = question.Within.HasFilters || scopes.Any(static scope => scope.HasFilters) ? IndexDepth.Entries : IndexDepth.Headers;
        using var lease = await compartments.OpenAsync(request.Compartment, request.Held.Token, depth, cancel).ConfigureAwait(false);
        var view = await lease.RefreshAsync(cancel).ConfigureAwait(false);
        var seen = SequencesOf(view, question, request.Compartment).Where(sequence => view.Shows(sequence, question.Within)).ToList();
        var groups = new Dictionary<(string Type, string Controller, string Register, string? Event), int[]>();
        // Scope by scope: what one withholds is found once.
        for (var i = -1; i < scopes.Count; i++)
            foreach (var sequence in seen)
            {
                var row = view.Row(sequence)!;
                var key = (row.Type, row.Controller, row.Register, row.ServiceEvent);
                if (!groups.TryGetValue(key, out var counts))
                    groups.Add(key, counts = new int[scopes.Count + 1]);
                if (i < 0 || view.Shows(sequence, scopes[i]))
                    counts[i + 1]++;
            }
        return new Answer(200, JsonSerializer.SerializeToUtf8Bytes(groups.Select(g => new
        {
            type = g.Key.Type,
            controller = g.Key.Controller,
            register = g.Key.Register,
            serviceEvent = g.Key.Event,
            count = g.Value[0],
            seen = g.Value[1..],
        })), []) { ContentType = "application/json", HasManifest = false };
    }

    /// <summary>Newest versions of what is asked about: of one entry, or of all.</summary>
    private IEnumerable<int> SequencesOf(CompartmentView view, PreviewQuestion question, Pseudonym person)
    {
        if (question.Only is not { } only)
            return view.Types().SelectMany(type => view.FirstSequencesOf(type)).Select(view.NewestOf);
        return identifiers.TryReadResourceId(only.Id, out var compartment, out var first) && compartment == person
            ? view.FirstSequencesOf(only.Type).Where(sequence => sequence == first).Select(view.NewestOf) : [];
    }

    private static PreviewQuestion? QuestionIn(ReadOnlyMemory<byte> body)
    {
        try
        {
            return JsonSerializer.Deserialize<PreviewQuestion>(body.Span);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static void WritePeople(Utf8JsonWriter json, List<CompartmentRow> patients, ReadOnlySpan<ReadOnlyMemory<byte>> bodies)
    {
        json.WriteStartArray("people"u8);
        for (var i = 0; i < bodies.Length; i++)
        {
            using var document = JsonDocument.Parse(bodies[i]);
            var patient = document.RootElement;
            json.WriteStartObject();
            json.WriteString("controller"u8, patients[i].Controller);
            if (patient.TryGetProperty("birthDate"u8, out var born))
                json.WriteString("birthDate"u8, born.GetString());
            if (patient.TryGetProperty("deceasedDateTime"u8, out var died))
                json.WriteString("deceased"u8, died.GetString());
            // Where only the fact is known, the day it was written down is the day it is known of.
            else if (patient.TryGetProperty("deceasedBoolean"u8, out var isDead) && isDead.ValueKind == JsonValueKind.True)
                json.WriteString("deceased"u8, patients[i].LastUpdated.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture));
            else if (isDead.ValueKind == JsonValueKind.False)
                json.WriteBoolean("alive"u8, true);
            json.WriteString("stored"u8, InstantOf(patients[i]));
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static string InstantOf(CompartmentRow row) => row.LastUpdated.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    /// <summary>The unit that an Encounter names by its OID; null: none, or the controller itself.</summary>
    private static string? UnitOf(ReadOnlyMemory<byte> encounter, string controller)
    {
        using var document = JsonDocument.Parse(encounter);
        return document.RootElement.TryGetProperty("serviceProvider"u8, out var provider) && provider.TryGetProperty("identifier"u8, out var identifier)
            && identifier.TryGetProperty("value"u8, out var value) && Oid.TryParse(value.GetString(), out var oid) && oid.ToString() is var unit && unit != controller ? unit : null;
    }

    private static void WriteEvent(Utf8JsonWriter json, CompartmentRow row, ProtectedService services, string unit, ReadOnlyMemory<byte> body)
    {
        using var document = JsonDocument.Parse(body);
        var resource = document.RootElement;
        json.WriteStartObject();
        json.WriteString("kind"u8, row.Type);
        if (row.ServiceEvent is not null)
            json.WriteString("oid"u8, row.ServiceEvent);
        json.WriteString("controller"u8, row.Controller);
        json.WriteString("register"u8, row.Register);
        json.WriteNumber("services"u8, (byte)services);
        if (unit.Length > 0)
            json.WriteString("unit"u8, unit);
        json.WriteString("stored"u8, InstantOf(row));
        json.WriteString("status"u8, resource.GetProperty("status"u8).GetString());
        // An Encounter has a period; an Appointment its two ends.
        if (row.Type == "Appointment" || resource.TryGetProperty("period"u8, out resource))
            foreach (var end in (ReadOnlySpan<string>)["start", "end"])
                if (resource.TryGetProperty(end, out var time))
                    json.WriteString(end, time.GetString());
        json.WriteEndObject();
    }
}
