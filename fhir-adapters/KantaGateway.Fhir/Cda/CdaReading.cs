using System.Xml.Linq;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Hl7v2;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Cda;

/// <summary>One document on its way into a transaction: its header, and the data types.</summary>
sealed partial class CdaReading(CdaSource source, string organisation, ReadOnlyMemory<byte> original, byte[] hash)
{
    private const string OfDocument = "Composition", OfPatient = "Patient", OfVisit = "Encounter", Uri = "urn:ietf:rfc:3986";

    private static readonly XNamespace Finnish = CdaAdapter.Finnish;

    private readonly List<FaultIssue> _issues = [];
    private Transaction _transaction = new("", []);
    private ResourceReference _patient = new(), _author = new();
    private ResourceReference? _visit;
    private string? _serviceEvent;

    public IReadOnlyList<FaultIssue> Issues => _issues;
    public IReadOnlyList<string> Sources => _transaction.Sources;
    public string? Code { get; private set; }
    public Identifier? DocumentId { get; private set; }

    /// <summary>Null where something is wrong, which is told in <see cref="Issues"/>.</summary>
    public Bundle? Read()
    {
        var root = source.Root;
        if (IdOf(CdaSource.One(root, "id"), OfDocument) is not { } id)
        {
            Wrong("A document has an id: an OID of its own, in root and extension.", "/ClinicalDocument/id", "required");
            return null;
        }
        DocumentId = id;
        _transaction = new("cda " + id.System + " " + id.Value, []);
        if (!ReadPatient())
            return null;
        ReadServiceEvent();
        ReadAuthor();
        var composition = ReadHeader(id);
        ReadSections(composition);
        var body = ReadBody();
        if (_issues.Count > 0)
            return null;
        var made = _transaction.Add(composition, "/ClinicalDocument", composition.Identifier);
        AddOriginal(composition, made, body);
        return _transaction.ToBundle();
    }

    private void Wrong(string sentence, string path, string code = "value")
    {
        if (_issues.Count < Profiles.ResourceParser.MaxIssues)
            _issues.Add(new(sentence, path, code));
    }

    private bool ReadPatient()
    {
        var roles = CdaSource.All(source.Root, "recordTarget", "patientRole").ToList();
        if (roles is not [var role])
        {
            Wrong("A document is about one person: one recordTarget with a patientRole.", "/ClinicalDocument/recordTarget", "structure");
            return false;
        }
        // C-CDA names the system of a national code otherwise; here one counts.
        if (CdaSource.All(role, "id").FirstOrDefault(static i => i.Attribute("root")?.Value == "1.2.246.21") is not { } coded)
        {
            Wrong("The person is named by the personal identity code: an id with root 1.2.246.21. Nobody is kept here without one.", CdaXml.PathOf(role) + "/id", "required");
            return false;
        }
        source.Take(coded, "root", OfPatient);
        if (!PersonalIdentityCode.TryParse(source.Take(coded, "extension", OfPatient), out var code))
        {
            Wrong("The personal identity code is not valid: all eleven characters are compared, capital letters, the check character too.", CdaXml.PathOf(coded) + "/@extension");
            return false;
        }
        Code = code.Reveal();
        var patient = new Patient { Identifier = [new(PersonalIdentityCode.System, Code) { Use = Identifier.IdentifierUse.Official, Type = new("http://terminology.hl7.org/CodeSystem/v2-0203", "NNFIN") }] };
        foreach (var other in CdaSource.All(role, "id").Where(i => i != coded))
            if (IdOf(other, OfPatient) is { } local)
                patient.Identifier.Add(local);
        patient.Address = [.. CdaSource.All(role, "addr").Select(AddressOf).OfType<Address>()];
        patient.Telecom = [.. CdaSource.All(role, "telecom").Select(TelecomOf).OfType<ContactPoint>()];
        if (CdaSource.One(role, "patient") is { } person)
        {
            patient.Name = [.. CdaSource.All(person, "name").Select(NameOf).OfType<HumanName>()];
            if (Time(CdaSource.One(person, "birthTime"), OfPatient)?.Value is { } born)
                patient.BirthDate = born.Length > 10 ? born[..10] : born;
            // HL7 AdministrativeGender, and the Finnish 1.2.246.537.5.1 (1 man, 2 woman).
            patient.Gender = source.Take(CdaSource.One(person, "administrativeGenderCode"), "code", OfPatient) switch
            {
                "F" or "2" => AdministrativeGender.Female, "M" or "1" => AdministrativeGender.Male, "UN" or "9" => AdministrativeGender.Other, "0" => AdministrativeGender.Unknown, _ => null,
            };
            source.Take(CdaSource.One(person, "administrativeGenderCode"), "codeSystem", OfPatient);
            if (patient.Gender is null)
                source.Leave(CdaSource.One(person, "administrativeGenderCode"));
        }
        _patient = _transaction.Add(patient, CdaXml.PathOf(role), new(PersonalIdentityCode.System, Code));
        return true;
    }

    /// <summary>The service event (palvelutapahtuma) under which the document was made: a visit of its own OID.</summary>
    private void ReadServiceEvent()
    {
        if (CdaSource.One(source.Root, "componentOf", "encompassingEncounter") is not { } visit || CdaSource.One(visit, "id") is not { } id || IdOf(id, OfVisit) is not { } number)
            return;
        number.Use = Identifier.IdentifierUse.Official;
        if (number.System == Uri)
            _serviceEvent = number.Value;
        var period = PeriodOf(CdaSource.One(visit, "effectiveTime"), OfVisit);
        var encounter = new Encounter
        {
            Identifier = [number], Subject = _patient, Period = period,
            Status = period?.End is not null ? Encounter.EncounterStatus.Finished : Encounter.EncounterStatus.Unknown,
            Class = new(CdaWriting.ActCode, source.Take(CdaSource.One(visit, "code"), "code", OfVisit) is { } kind && CdaWriting.EncounterClasses.Contains(kind) ? kind : "AMB"),
        };
        source.Take(CdaSource.One(visit, "code"), "codeSystem", OfVisit);
        if (CdaSource.One(visit, "code") is { } kindOfVisit && kindOfVisit.Attribute("code")?.Value.Trim() != encounter.Class.Code)
            source.Leave(kindOfVisit);
        _visit = _transaction.Add(encounter, CdaXml.PathOf(visit), number);
    }

    private void ReadAuthor()
    {
        _author = CdaSource.All(source.Root, "author", "assignedAuthor").Select(AgentOf).OfType<ResourceReference>().FirstOrDefault()
            ?? new() { Identifier = new(Uri, "urn:oid:" + organisation), Type = "Organization" };
    }

    /// <summary>Who acted, by the number that the document has for them: nobody gets a right by it.</summary>
    private ResourceReference? AgentOf(XElement assigned)
    {
        var id = CdaSource.One(assigned, "id") is { } number ? IdOf(number, OfDocument) : null;
        var name = source.TakeText(CdaSource.One(assigned, "assignedPerson", "name"), OfDocument);
        var at = CdaSource.One(assigned, "representedOrganization") is { } place ? source.TakeText(CdaSource.One(place, "name"), OfDocument) : null;
        // A document that a system made, and no person.
        var isOrganisation = name is null && id is not null && IdOf(CdaSource.One(assigned, "representedOrganization", "id"), OfDocument) is { } its && its.System == id!.System && its.Value == id.Value;
        return id is null && name is null ? null : new() { Type = isOrganisation ? "Organization" : "Practitioner", Identifier = id, Display = name is null ? at : at is null ? name : $"{name}, {at}" };
    }

    private Composition ReadHeader(Identifier id)
    {
        var root = source.Root;
        var composition = new Composition
        {
            // One id is one original; the Composition that is made of it is another thing.
            Identifier = new(Uri, Transaction.UuidOf("cda composition", id.System!, id.Value!)),
            Status = CompositionStatus.Final, Subject = _patient, Encounter = _visit, Author = [_author],
            Type = Concept(CdaSource.One(root, "code"), OfDocument) ?? new() { Text = "?" },
            Title = source.TakeText(CdaSource.One(root, "title"), OfDocument) ?? "CDA",
            DateElement = Time(CdaSource.One(root, "effectiveTime"), OfDocument)!,
            Language = source.Take(CdaSource.One(root, "languageCode"), "code", OfDocument),
            Confidentiality = source.Take(CdaSource.One(root, "confidentialityCode"), "code", OfDocument) switch
            {
                "N" or "1" => Composition.V3ConfidentialityClassification.N, "R" => Composition.V3ConfidentialityClassification.R, "V" => Composition.V3ConfidentialityClassification.V, _ => null,
            },
        };
        source.Take(CdaSource.One(root, "confidentialityCode"), "codeSystem", OfDocument);
        if (composition.Confidentiality is null)
            source.Leave(CdaSource.One(root, "confidentialityCode"));
        if (composition.DateElement is null)
            Wrong("A document says when it was made.", "/ClinicalDocument/effectiveTime", "required");
        if (composition.Type.Text == "?")
            Wrong("A document says of which kind it is: a code and its system.", "/ClinicalDocument/code", "required");
        if (CdaSource.One(root, "custodian", "assignedCustodian", "representedCustodianOrganization") is { } custodian)
            composition.Custodian = new() { Type = "Organization", Identifier = CdaSource.One(custodian, "id") is { } whose ? IdOf(whose, OfDocument) : null, Display = source.TakeText(CdaSource.One(custodian, "name"), OfDocument) };
        foreach (var replaced in CdaSource.All(root, "relatedDocument"))
            if (source.Take(replaced, "typeCode", OfDocument) switch { "RPLC" => DocumentRelationshipType.Replaces, "APND" => DocumentRelationshipType.Appends, "XFRM" => DocumentRelationshipType.Transforms, _ => (DocumentRelationshipType?)null } is { } how
                && CdaSource.One(replaced, "parentDocument", "id") is { } parent && IdOf(parent, OfDocument) is { } before)
                composition.RelatesTo.Add(new() { Code = how, Target = before });
        foreach (var attester in CdaSource.All(root, "legalAuthenticator").Concat(CdaSource.All(root, "authenticator")))
            if (CdaSource.One(attester, "assignedEntity") is { } entity && AgentOf(entity) is { } who)
                composition.Attester.Add(new() { Mode = attester.Name.LocalName == "authenticator" ? Composition.CompositionAttestationMode.Professional : Composition.CompositionAttestationMode.Legal, Party = who, TimeElement = Time(CdaSource.One(attester, "time"), OfDocument) });
        // hl7fi:localHeader has the kind of document by Finnish code systems.
        if (source.Root.Element(Finnish + "localHeader") is { } local)
            foreach (var name in new[] { "documentType", "functionCode", "recordStatus" })
                if (local.Element(Finnish + name) is { } coded && Concept(coded, OfDocument) is { } category)
                    composition.Category.Add(category);
        OfServiceEvent(composition);
        return composition;
    }

    /// <param name="body">That is no sections; null: there is none.</param>
    private void AddOriginal(Composition composition, ResourceReference made, Binary? body)
    {
        var binary = _transaction.Add(new Binary { ContentType = CdaAdapter.ContentType, Data = original.ToArray() }, "/ClinicalDocument");
        var document = new DocumentReference
        {
            MasterIdentifier = DocumentId, Status = DocumentReferenceStatus.Current, Type = composition.Type, Category = composition.Category, Subject = _patient, Author = [_author], Custodian = composition.Custodian,
            Description = composition.Title, Date = composition.DateElement is { } date && date.Value!.Length > 10 ? date.ToDateTimeOffset(TimeSpan.Zero) : null,
            Content = [new() { Attachment = new() { ContentType = CdaAdapter.ContentType, Url = binary.Reference, SizeUnsignedInt = original.Length, Hash = hash, Language = composition.Language } }],
            RelatesTo = [.. composition.RelatesTo.Where(static r => r.Target is Identifier).Select(static r => new DocumentReference.RelatesToComponent { Code = r.Code, Target = new() { Identifier = (Identifier)r.Target } })],
            Context = new() { Encounter = _visit is null ? [] : [_visit], Related = [made] },
        };
        if (body is not null)
            document.Content.Add(new()
            {
                Attachment = new()
                {
                    ContentType = body.ContentType, Url = _transaction.Add(body, "/ClinicalDocument/component/nonXMLBody/text").Reference, SizeUnsignedInt = body.Data!.Length, Hash = CdaAdapter.HashOf(body.Data), Language = composition.Language,
                },
            });
        OfServiceEvent(document);
        _transaction.Add(document, "/ClinicalDocument", DocumentId);
    }

    private void OfServiceEvent(DomainResource resource)
    {
        if (_serviceEvent is not null)
            resource.AddExtension(References.ServiceEventExtension, new Hl7.Fhir.Model.Oid(_serviceEvent));
    }

    /// <summary>II: an OID of its own, or a number in a system.</summary>
    private Identifier? IdOf(XElement? id, string target)
    {
        if (id is null || source.Take(id, "root", target) is not { } system)
            return null;
        var number = source.Take(id, "extension", target);
        if (Guid.TryParseExact(system, "D", out var uuid))
            return number is null ? new(Uri, "urn:uuid:" + uuid.ToString("D")) : new("urn:uuid:" + uuid.ToString("D"), number);
        if (!Oid.TryParse(system, out var oid))
        {
            Wrong("The root is no OID.", CdaXml.PathOf(id) + "/@root");
            return null;
        }
        // The Finnish guides write the last arcs of an OID as the extension; together they are one.
        if (number is not null && Oid.TryParse($"{oid}.{number}", out var whole) && oid.ToString().StartsWith("1.2.246.10.", StringComparison.Ordinal))
            return new(Uri, whole.Urn);
        return number is null ? new(Uri, oid.Urn) : new(oid.Urn, number);
    }

    /// <summary>CD, CE, CV: code, translations, and the words of either.</summary>
    private CodeableConcept? Concept(XElement? coded, string target)
    {
        if (coded is null)
            return null;
        var concept = new CodeableConcept();
        foreach (var one in CdaSource.All(coded, "translation").Prepend(coded))
            if (source.Take(one, "code", target) is { } code)
                concept.Coding.Add(new(SystemOf(source.Take(one, "codeSystem", target)), code, source.Take(one, "displayName", target)));
            else if (source.Take(one, "displayName", target) is { } words)
                concept.Text ??= words;
        if (source.TakeText(CdaSource.One(coded, "originalText"), target) is { } text)
            concept.Text = text;
        return concept.Coding.Count > 0 || concept.Text is not null ? concept : null;
    }

    internal static string? SystemOf(string? oid) => oid switch
    {
        null => null,
        "2.16.840.1.113883.6.1" => "http://loinc.org",
        "2.16.840.1.113883.6.96" => "http://snomed.info/sct",
        "2.16.840.1.113883.6.8" => "http://unitsofmeasure.org",
        "2.16.840.1.113883.6.88" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "2.16.840.1.113883.6.90" => "http://hl7.org/fhir/sid/icd-10-cm",
        "2.16.840.1.113883.6.73" or "1.2.246.537.6.32" => "http://www.whocc.no/atc",
        _ => Oid.TryParse(oid, out var read) ? read.Urn : null,
    };

    private FhirDateTime? Time(XElement? time, string target)
    {
        if (source.Take(time, "value", target) is not { } text)
            return null;
        if (Hl7Time.TryRead(text, out var written))
            return new(written);
        Wrong("This is no time: YYYYMMDDHHMMSS, as short as it is precise, perhaps with +ZZZZ.", CdaXml.PathOf(time!) + "/@value");
        return null;
    }

    private Period? PeriodOf(XElement? interval, string target)
    {
        var (low, high, at) = (Time(CdaSource.One(interval, "low"), target), Time(CdaSource.One(interval, "high"), target), Time(interval, target));
        return low is null && high is null && at is null ? null : new() { StartElement = low ?? at, EndElement = high };
    }

    private HumanName? NameOf(XElement name)
    {
        var read = new HumanName
        {
            Family = string.Join(' ', CdaSource.All(name, "family").Select(part => source.TakeText(part, OfPatient)).OfType<string>()) is { Length: > 0 } family ? family : null,
            Given = [.. CdaSource.All(name, "given").Select(part => source.TakeText(part, OfPatient)).OfType<string>()],
        };
        if (read.Family is null && !read.Given.Any())
            read.Text = source.TakeText(name, OfPatient);
        return read.Family is not null || read.Given.Any() || read.Text is not null ? read : null;
    }

    private Address? AddressOf(XElement address)
    {
        var read = new Address
        {
            Line = [.. CdaSource.All(address, "streetAddressLine").Select(part => source.TakeText(part, OfPatient)).OfType<string>()],
            City = source.TakeText(CdaSource.One(address, "city"), OfPatient), PostalCode = source.TakeText(CdaSource.One(address, "postalCode"), OfPatient), State = source.TakeText(CdaSource.One(address, "state"), OfPatient),
            Country = source.TakeText(CdaSource.One(address, "country"), OfPatient),
        };
        if (!read.Line.Any() && read is { City: null, PostalCode: null, State: null, Country: null })
            read.Text = source.TakeText(address, OfPatient);
        return read.Line.Any() || read.City is not null || read.PostalCode is not null || read.State is not null || read.Country is not null || read.Text is not null ? read : null;
    }

    private ContactPoint? TelecomOf(XElement telecom) => source.Take(telecom, "value", OfPatient) is not { } value ? null
        : value.StartsWith("mailto:", StringComparison.OrdinalIgnoreCase) ? new() { System = ContactPoint.ContactPointSystem.Email, Value = value[7..] }
        : new() { System = ContactPoint.ContactPointSystem.Phone, Value = value.StartsWith("tel:", StringComparison.OrdinalIgnoreCase) ? value[4..] : value };
}
