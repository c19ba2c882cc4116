using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Compartment;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Hl7v2;

/// <summary>One message on its way into a transaction: what its segments have in common, and the data types.</summary>
sealed partial class MessageReading(Hl7Message message, Transaction transaction, string organisation)
{
    private readonly List<ResourceReference> _made = [];
    private ResourceReference _patient = new();

    /// <summary>Of the person; null: the message names none.</summary>
    public string? Code { get; private set; }

    public void Read(string type, string trigger)
    {
        if (message.First("EVN") is { } said)
            foreach (var field in (ReadOnlySpan<int>)[1, 2, 6])
                said.Text(field);
        // Whose message it is decides everything else.
        if (!ReadPerson(changes: type == "ADT", merges: trigger == "A40"))
            return;
        switch (type)
        {
            case "ADT":
                ReadVisit(trigger);
                break;
            case "ORU":
                ReadResults();
                break;
            case "SIU":
                ReadAppointment(trigger);
                break;
            case "MDM":
                ReadDocument();
                break;
        }
    }

    /// <summary>The message itself, and which resources came from it.</summary>
    public void AddOriginal(string key, string digest)
    {
        if (_made.Count == 0)
            return;
        var header = message.Header;
        foreach (var field in (ReadOnlySpan<int>)[1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 18])
            for (var component = 1; component <= 3; component++)
                header.Text(field, component, target: "Provenance");
        Required(header, 7, "Provenance");
        var binary = transaction.Add(new Binary { ContentType = MessageAdapter.ContentType, Data = message.Original.ToArray() }, "MSH 1");
        transaction.Add(new Provenance
        {
            Target = _made,
            RecordedElement = Moment(header, 7) is { } sent ? new(sent) : null!,
            Agent = [new() { Who = new() { Identifier = new(MessageAdapter.MessageSystem, "urn:oid:" + organisation) } }],
            Entity =
            [
                Source(new() { Reference = binary.Reference, Identifier = new(MessageAdapter.MessageSystem, key) }),
                Source(new() { Identifier = new(MessageAdapter.MessageSystem, digest) }),
            ],
        }, "MSH 1");

        static Provenance.EntityComponent Source(ResourceReference what) => new() { Role = Provenance.ProvenanceEntityRole.Source, What = what };
    }

    private ResourceReference Add(Resource resource, Hl7Segment segment, Identifier? key = null)
    {
        var made = transaction.Add(resource, $"{segment.Name} {segment.Sequence}", key);
        _made.Add(made);
        return made;
    }

    private Hl7Segment? Required(string name)
    {
        if (message.First(name) is { } found)
            return found;
        message.Refuse(new(name, 1), Hl7ErrorCode.SegmentSequence, $"A message of this type has a segment {name}.");
        return null;
    }

    private string? Required(Hl7Segment segment, int field, string target, int component = 1)
    {
        if (segment.Text(field, component, target: target) is { } text)
            return text;
        message.Refuse(segment.At(field, 0, component > 1 ? component : 0), Hl7ErrorCode.RequiredFieldMissing, "This field is needed.");
        return null;
    }

    private void NotInTable(Hl7Segment segment, int field, string table) =>
        message.Refuse(segment.At(field), Hl7ErrorCode.TableValueNotFound, $"The value is not one of {table} that is served.");

    /// <summary>A dateTime as precise as it was written.</summary>
    private FhirDateTime? Time(Hl7Segment segment, int field, string target, int component = 1, int repetition = 1)
    {
        if (segment.Text(field, component, repetition, target: target) is not { } text)
            return null;
        if (Hl7Time.TryRead(text, out var time))
            return new(time);
        message.Refuse(segment.At(field, repetition > 1 ? repetition : 0, component > 1 ? component : 0), Hl7ErrorCode.DataType, "This is no time: YYYYMMDDHHMMSS, as short as it is precise, perhaps with +ZZZZ.");
        return null;
    }

    private DateTimeOffset? Moment(Hl7Segment segment, int field, string? target = null, int component = 1)
    {
        if (segment.Text(field, component, target: target) is not { } text)
            return null;
        if (Hl7Time.TryReadInstant(text, out var time))
            return time;
        message.Refuse(segment.At(field, 0, component > 1 ? component : 0), Hl7ErrorCode.DataType, "This is no moment: YYYYMMDDHHMM at least, perhaps with +ZZZZ.");
        return null;
    }

    /// <summary>CWE, CE, CNE: a code, a text or both.</summary>
    private static CodeableConcept? Concept(Hl7Segment segment, int field, string target, int repetition = 1)
    {
        var concept = new CodeableConcept();
        foreach (var first in (ReadOnlySpan<int>)[1, 4])
            if (segment.Text(field, first, repetition, target: target) is { } code)
            {
                var display = segment.Text(field, first + 1, repetition, target: target);
                if (SystemOf(segment.Text(field, first + 2, repetition, target: target)) is { } system)
                    concept.Coding.Add(new(system, code, display));
                else
                    // A code of nobody's system is no code to anybody else: it is read by people.
                    concept.Text ??= display is null || display == code ? code : $"{code} {display}";
            }
            else if (segment.Text(field, first + 1, repetition, target: target) is { } text)
                concept.Text ??= text;
        if (segment.Text(field, 9, repetition, target: target) is { } original)
            concept.Text = original;
        return concept.Coding.Count > 0 || concept.Text is not null ? concept : null;
    }

    /// <summary>HL7 table 0396, and OIDs.</summary>
    internal static string? SystemOf(string? name) => name switch
    {
        null => null,
        "LN" => "http://loinc.org",
        "SCT" or "SNM3" => "http://snomed.info/sct",
        "UCUM" => "http://unitsofmeasure.org",
        "I10" or "ICD10" or "ICD-10" => "urn:oid:1.2.246.537.6.1",
        "ATC" or "WC" => "http://www.whocc.no/atc",
        ['H', 'L', '7', .. { Length: 4 } number] when number.All(char.IsAsciiDigit) => "http://terminology.hl7.org/CodeSystem/v2-" + number,
        _ when Oid.TryParse(name, out var oid) => oid.Urn,
        _ => null,
    };

    /// <summary>CX and EI: an id and who gave it. One that nobody is named for is the sender's own.</summary>
    private Identifier? IdOf(Hl7Segment segment, int field, string target, bool isCx, int repetition = 1)
    {
        if (segment.Text(field, 1, repetition, target: target) is not { } id)
            return null;
        if (Oid.TryParse(id, out var itself) && id.Contains('.'))
            return new("urn:ietf:rfc:3986", itself.Urn);
        var authority = isCx ? segment.Text(field, 4, repetition, 2, target) : segment.Text(field, 3, repetition, target: target);
        var name = isCx ? segment.Text(field, 4, repetition, 1, target) : segment.Text(field, 2, repetition, target: target);
        return new(Oid.TryParse(authority, out var oid) || Oid.TryParse(name, out oid) ? oid.Urn : $"urn:oid:{organisation}", id);
    }

    /// <summary>XCN: who, by the number that the sender has for them. It says who acted; nobody gets a right by it.</summary>
    private static ResourceReference? Professional(Hl7Segment segment, int field, string target, int repetition = 1)
    {
        var id = segment.Text(field, 1, repetition, target: target);
        var name = string.Join(' ', new[] { segment.Text(field, 6, repetition, target: target), segment.Text(field, 3, repetition, target: target), segment.Text(field, 4, repetition, target: target), segment.Text(field, 2, repetition, 1, target) }.Where(static part => part is not null));
        if (id is null && name.Length == 0)
            return null;
        var system = Oid.TryParse(segment.Text(field, 9, repetition, 2, target), out var oid) || Oid.TryParse(segment.Text(field, 9, repetition, 1, target), out oid) ? oid.Urn : null;
        return new() { Type = "Practitioner", Identifier = id is null ? null : new(system, id), Display = name.Length > 0 ? name : null };
    }

    /// <summary>PL: where, in words.</summary>
    private static string? Place(Hl7Segment segment, int field, string target)
    {
        var place = string.Join(", ", Enumerable.Range(1, 4).Concat([7, 8, 9]).Select(c => segment.Text(field, c, target: target)).Where(static part => part is not null));
        return place.Length > 0 ? place : null;
    }

    /// <summary>The service event (palvelutapahtuma) that the visit number names, so that a denial of it covers what came with it.</summary>
    private void OfServiceEvent(DomainResource resource)
    {
        if (message.First("PV1")?.Text(19, target: resource.TypeName) is { } number && number.Contains('.') && Oid.TryParse(number, out var oid))
            resource.AddExtension(References.ServiceEventExtension, new Hl7.Fhir.Model.Oid(oid.Urn));
    }

    /// <summary>The segments after one, up to the next of the same name or of those named.</summary>
    private IEnumerable<Hl7Segment> After(Hl7Segment first, params string[] until) =>
        message.Segments.SkipWhile(s => s != first).Skip(1).TakeWhile(s => s.Name != first.Name && !until.Contains(s.Name));
}
