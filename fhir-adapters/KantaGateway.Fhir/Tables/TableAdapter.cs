using System.Globalization;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Tables;

/// <summary>What one row comes to.</summary>
/// <param name="Number">Of the file.</param>
/// <param name="Bundle">A transaction about one person; null where there are issues.</param>
/// <param name="Sources">Of each entry of the Bundle the column that it comes from.</param>
/// <param name="Code">The person's identity code; null where the row has none.</param>
/// <param name="Key">By which the row is known again: the sender and all that is kept of it.</param>
/// <param name="Issues">What is wrong, each with row and column.</param>
public sealed record AdaptedRow(int Number, Bundle? Bundle, IReadOnlyList<string> Sources, string? Code, string Key, LossReport Report, IReadOnlyList<FaultIssue> Issues);

/// <summary>The rows of a practice's table as FHIR transactions, one each. Pure.</summary>
public static class TableAdapter
{
    private const string Uri = "urn:ietf:rfc:3986";

    /// <summary>Columns that the mapping does not know, and those that it names and the table lacks; none: it fits.</summary>
    public static IReadOnlyList<string> Explain(TableFile table, TableMapping mapping) =>
    [
        .. table.Titles.Where(t => !mapping.Columns.ContainsKey(t) && !mapping.Ignore.Contains(t)).Select(static t => $"The column \"{t}\" is in no part of the mapping: say in columns what it is, or in ignore that it is left behind."),
        .. mapping.Columns.Keys.Except(table.Titles).Select(static t => $"The mapping names a column \"{t}\" that the table does not have."),
    ];

    /// <summary>Turns a row into a transaction.</summary>
    /// <param name="organisation">Dotted OID of the sender, in whose register it is written.</param>
    /// <param name="at">When the table came: it does not say itself when it was made.</param>
    public static AdaptedRow Adapt(TableFile table, TableMapping mapping, (int Number, IReadOnlyList<string> Cells) row, string organisation, DateTimeOffset at)
    {
        var cells = new Dictionary<string, (string Title, string Text)>();
        var kept = new List<(string Title, string Text)>();
        for (var i = 0; i < Math.Min(row.Cells.Count, table.Titles.Count); i++)
            if (row.Cells[i].Trim() is { Length: > 0 } text && mapping.Columns.TryGetValue(table.Titles[i], out var meaning))
            {
                cells[meaning] = (table.Titles[i], text);
                kept.Add((table.Titles[i], text));
            }
        var key = Transaction.UuidOf(["table row", organisation, .. kept.SelectMany(static c => new[] { c.Title, c.Text })]);
        var reading = new RowReading(row.Number, cells, mapping, organisation, key);
        if (row.Cells.Count > table.Titles.Count)
            reading.Wrong(null, "The row has more cells than there are titles: a delimiter inside a cell stands in quotes.");
        var transaction = reading.Read();
        if (transaction is not null)
            AddOriginal(transaction, reading.Made, kept, key, organisation, at);
        var report = new LossReport([.. kept.Select(c => new SourcePart(PlaceOf(row.Number, c.Title), reading.Said.TryGetValue(c.Title, out var type) ? SourceFate.Mapped : SourceFate.Lost, type))]);
        return new(row.Number, transaction?.ToBundle(), transaction?.Sources ?? [], reading.Code, key, report, reading.Issues);
    }

    /// <summary>How a place of a table is named.</summary>
    /// <param name="title">Of the column; null: the whole row.</param>
    public static string PlaceOf(int number, string? title) => string.Create(CultureInfo.InvariantCulture, $"row {number}{(title is null ? "" : $", \"{title}\"")}");

    /// <summary>What is kept of the row, as it was written, and which resources came from it.</summary>
    private static void AddOriginal(Transaction transaction, List<ResourceReference> made, List<(string Title, string Text)> kept, string key, string organisation, DateTimeOffset at)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(kept.ToDictionary(static c => c.Title, static c => c.Text));
        var binary = transaction.Add(new Binary { ContentType = "application/json", Data = json }, "");
        transaction.Add(new Provenance
        {
            Target = made,
            Recorded = at,
            Agent = [new() { Who = new() { Identifier = new(Uri, "urn:oid:" + organisation) } }],
            Entity = [new() { Role = Provenance.ProvenanceEntityRole.Source, What = new() { Reference = binary.Reference, Identifier = new(Uri, key) } }],
        }, "");
    }

    private sealed class RowReading(int number, Dictionary<string, (string Title, string Text)> cells, TableMapping mapping, string organisation, string key)
    {
        private readonly List<FaultIssue> _issues = [];

        public IReadOnlyList<FaultIssue> Issues => _issues;
        public string? Code { get; private set; }
        public List<ResourceReference> Made { get; } = [];

        /// <summary>From a column's title to the resource that says it.</summary>
        public Dictionary<string, string> Said { get; } = [];

        public void Wrong(string? meaning, string sentence) => _issues.Add(new(sentence, PlaceOf(number, meaning is not null && cells.TryGetValue(meaning, out var cell) ? cell.Title : meaning is null ? null : mapping.Columns.First(c => c.Value == meaning).Key), "value"));

        public Transaction? Read()
        {
            if (Take("patient.identityCode", "Patient") is not { } text || !PersonalIdentityCode.TryParse(text, out var code))
            {
                Wrong("patient.identityCode", "The personal identity code is missing or not valid: all eleven characters are compared, capital letters, the check character too.");
                return null;
            }
            Code = code.Reveal();
            var transaction = new Transaction(key, []);
            var patient = ReadPatient();
            var (date, isDated) = Day("visit.date", "Encounter");
            if (!isDated)
                return null;
            var person = Add(transaction, patient, "patient.identityCode", new(PersonalIdentityCode.System, Code));
            var (visit, serviceEvent) = ReadVisit(transaction, person, date);
            ReadDiagnosis(transaction, person, visit, serviceEvent, date);
            ReadNote(transaction, person, visit, serviceEvent, date);
            return _issues.Count > 0 ? null : transaction;
        }

        private Patient ReadPatient()
        {
            var patient = new Patient { Identifier = [new(PersonalIdentityCode.System, Code) { Use = Identifier.IdentifierUse.Official, Type = new("http://terminology.hl7.org/CodeSystem/v2-0203", "NNFIN") }] };
            if (Take("patient.localId", "Patient") is { } local)
                patient.Identifier.Add(new("urn:oid:" + organisation, local));
            var (family, given) = (Take("patient.family", "Patient"), Take("patient.given", "Patient"));
            if (family is not null || given is not null)
                patient.Name = [new() { Family = family, Given = given?.Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [] }];
            patient.BirthDate = Day("patient.birthDate", "Patient").Day;
            var (street, postal, city) = (Take("patient.street", "Patient"), Take("patient.postalCode", "Patient"), Take("patient.city", "Patient"));
            if (street is not null || postal is not null || city is not null)
                patient.Address = [new() { Line = street is null ? [] : [street], PostalCode = postal, City = city }];
            if (Take("patient.phone", "Patient") is { } phone)
                patient.Telecom.Add(new(ContactPoint.ContactPointSystem.Phone, null, phone));
            if (Take("patient.email", "Patient") is { } mail)
                patient.Telecom.Add(new(ContactPoint.ContactPointSystem.Email, null, mail));
            return patient;
        }

        private (ResourceReference? Visit, string? ServiceEvent) ReadVisit(Transaction transaction, ResourceReference person, string? date)
        {
            var id = Take("visit.id", "Encounter");
            if (id is null && date is null)
                return (null, null);
            var isOid = Oid.TryParse(id, out var oid) && id!.Contains('.');
            var identifier = isOid ? new Identifier(Uri, oid.Urn) : id is not null ? new("urn:oid:" + organisation, id) : new(Uri, Transaction.UuidOf("table visit", organisation, Code!, date!));
            identifier.Use = Identifier.IdentifierUse.Official;
            var encounter = new Encounter
            {
                Identifier = [identifier], Subject = person, Status = Encounter.EncounterStatus.Finished, Class = new("http://terminology.hl7.org/CodeSystem/v3-ActCode", "AMB"),
                Period = date is null ? null : new() { Start = date, End = date },
                Participant = Take("visit.professional", "Encounter") is { } who ? [new() { Individual = new() { Type = "Practitioner", Display = who } }] : [],
            };
            return (Add(transaction, encounter, id is null ? "visit.date" : "visit.id", identifier), isOid ? oid.Urn : null);
        }

        private void ReadDiagnosis(Transaction transaction, ResourceReference person, ResourceReference? visit, string? serviceEvent, string? date)
        {
            var (coded, words) = (Take("diagnosis.code", "Condition"), Take("diagnosis.text", "Condition"));
            if (coded is null && words is null)
                return;
            var identifier = new Identifier(Uri, Transaction.UuidOf("table diagnosis", key));
            var condition = new Condition
            {
                Identifier = [identifier], Subject = person, Encounter = visit, Code = new() { Coding = coded is null ? [] : [new(mapping.DiagnosisSystem, coded)], Text = words }, RecordedDate = date,
                ClinicalStatus = new("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"), VerificationStatus = new("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
                Category = [new("http://terminology.hl7.org/CodeSystem/condition-category", "encounter-diagnosis")],
            };
            Add(transaction, Of(condition, serviceEvent), coded is null ? "diagnosis.text" : "diagnosis.code", identifier);
        }

        private void ReadNote(Transaction transaction, ResourceReference person, ResourceReference? visit, string? serviceEvent, string? date)
        {
            var title = Take("note.title", "DocumentReference");
            if (Take("note.text", "DocumentReference") is not { } text)
                return;
            var data = System.Text.Encoding.UTF8.GetBytes(text);
            var binary = transaction.Add(new Binary { ContentType = "text/plain; charset=utf-8", Data = data }, "note.text");
            var identifier = new Identifier(Uri, Transaction.UuidOf("table note", key));
            var note = new DocumentReference
            {
                MasterIdentifier = identifier, Status = DocumentReferenceStatus.Current, Subject = person, Description = title, Author = cells.TryGetValue("visit.professional", out var who) ? [new() { Type = "Practitioner", Display = who.Text }] : [],
                Date = date is null ? null : new DateTimeOffset(DateTime.ParseExact(date, "yyyy-MM-dd", CultureInfo.InvariantCulture), TimeSpan.FromHours(2)),
                Content = [new() { Attachment = new() { ContentType = "text/plain; charset=utf-8", Url = binary.Reference, Title = title, SizeUnsignedInt = data.Length } }],
                Context = visit is null ? null : new() { Encounter = [visit] },
            };
            Add(transaction, Of(note, serviceEvent), "note.text", identifier);
        }

        private static T Of<T>(T resource, string? serviceEvent) where T : DomainResource
        {
            if (serviceEvent is not null)
                resource.AddExtension(References.ServiceEventExtension, new Hl7.Fhir.Model.Oid(serviceEvent));
            return resource;
        }

        private ResourceReference Add(Transaction transaction, Resource resource, string meaning, Identifier identifier)
        {
            var made = transaction.Add(resource, cells.TryGetValue(meaning, out var cell) ? cell.Title : "", identifier);
            Made.Add(made);
            return made;
        }

        private string? Take(string meaning, string type)
        {
            if (!cells.TryGetValue(meaning, out var cell))
                return null;
            Said[cell.Title] = type;
            if (!cell.Text.Any(static c => char.IsControl(c) && c is not ('\t' or '\r' or '\n')))
                return cell.Text;
            Wrong(meaning, "The cell has a control character.");
            return null;
        }

        /// <summary>False: there is something that is no date.</summary>
        private (string? Day, bool IsGood) Day(string meaning, string type)
        {
            if (Take(meaning, type) is not { } text)
                return (null, true);
            // As a workbook's own dates are read.
            if (DateOnly.TryParseExact(text, [mapping.DateFormat, "yyyy-MM-dd"], CultureInfo.InvariantCulture, DateTimeStyles.None, out var day))
                return (day.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture), true);
            Wrong(meaning, $"The cell is no date of the form {mapping.DateFormat}.");
            return (null, false);
        }
    }
}
