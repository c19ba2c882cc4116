using System.Text;
using System.Xml.Linq;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Identifiers;
using Oid = KantaGateway.Fhir.Identifiers.Oid;

namespace KantaGateway.Fhir.Cda;

/// <summary>One document on its way into CDA: its header, and the data types. Elements stand in the order of the schema (<c>POCD_MT000040</c>).</summary>
sealed partial class CdaWriting(CdaResources resources, Composition composition, Patient patient)
{
    public const string InText = "text", Loinc = "2.16.840.1.113883.6.1", DiagnosisCode = "29308-4", ActCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

    private const string Uri = "urn:ietf:rfc:3986", OfDocument = "ClinicalDocument", OfPatient = "patientRole", OfVisit = "encompassingEncounter";

    /// <summary>Kinds of visit that HL7's ActCode has for Encounter.class.</summary>
    public static readonly HashSet<string> EncounterClasses = ["AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR"];

    private static readonly XNamespace Hl7 = CdaAdapter.Hl7, Finnish = CdaAdapter.Finnish, Instance = "http://www.w3.org/2001/XMLSchema-instance";

    private readonly Dictionary<string, string> _said = new(StringComparer.Ordinal);
    private readonly StringBuilder _text = new();
    private Encounter? _visit;
    private string? _serviceEvent;

    /// <summary>From the path of each element that was written to what says it; <see cref="InText"/>: people read it.</summary>
    public IReadOnlyDictionary<string, string> Said => _said;

    /// <summary>All that people read.</summary>
    public string Text => _text.ToString();

    public XElement Write()
    {
        const string At = "Composition";
        _visit = resources.Of(composition.Encounter) as Encounter;
        _serviceEvent = ServiceEventOf(composition);
        if (composition.Status == CompositionStatus.Final)
            Say("final", At + ".status", OfDocument);
        SayDocumentsOwn(composition, At);
        return new(Hl7 + "ClinicalDocument",
            new XAttribute("xmlns", Hl7), new XAttribute(XNamespace.Xmlns + "hl7fi", Finnish), new XAttribute(XNamespace.Xmlns + "xsi", Instance),
            Empty("typeId", ("root", "2.16.840.1.113883.1.3"), ("extension", "POCD_HD000040")),
            OwnId(),
            Coded(composition.Type, At + ".type", "code", OfDocument) ?? Nothing("code"),
            One("title", Say(composition.Title, At + ".title", OfDocument) ?? ""),
            Time(composition.Date, At + ".date", "effectiveTime", OfDocument) ?? Nothing("effectiveTime"),
            Confidentiality(),
            composition.Language is { Length: > 0 } language ? Empty("languageCode", ("code", Say(language, At + ".language", OfDocument))) : null,
            Id(composition.Identifier, At + ".identifier", OfDocument, "setId"),
            RecordTarget(), Authors(), Custodian(), Attesters(), RelatedDocuments(), ComponentOf(), LocalHeader(),
            One("component", Body()));
    }

    /// <summary>A document of its own: another version of the Composition is another one, and what was received keeps its own id.</summary>
    private XElement OwnId() => Id(resources.DocumentId, "Bundle.identifier", OfDocument)
        ?? Empty("id", ("root", Transaction.UuidOf("cda of composition", composition.Id ?? composition.Identifier?.Value ?? "", composition.Meta?.VersionId ?? "")["urn:uuid:".Length..]));

    private XElement Confidentiality() => composition.Confidentiality is { } level
        ? Empty("confidentialityCode", ("code", Say(level.ToString(), "Composition.confidentiality", OfDocument)), ("codeSystem", "2.16.840.1.113883.5.25"))
        // As every document of a patient is in Finland.
        : Empty("confidentialityCode", ("code", "5"), ("codeSystem", "1.2.246.777.5.99902.2006"));

    private XElement RecordTarget()
    {
        var at = resources.PathOf(patient);
        Say(composition.Subject!.Reference, "Composition.subject.reference", OfPatient);
        var ids = new List<XElement>();
        for (var i = 0; i < patient.Identifier.Count; i++)
            if (Id(patient.Identifier[i], $"{at}.identifier[{i}]", OfPatient) is { } id)
            {
                ids.Add(id);
                // The root says it.
                if (patient.Identifier[i] is { System: PersonalIdentityCode.System, Use: Identifier.IdentifierUse.Official, Type.Coding: [{ System: "http://terminology.hl7.org/CodeSystem/v2-0203", Code: "NNFIN" }, ..] } code)
                    foreach (var (path, value) in (ReadOnlySpan<(string, string?)>)[("use", "official"), ("type.coding[0].system", code.Type.Coding[0].System), ("type.coding[0].code", code.Type.Coding[0].Code)])
                        Say(value, $"{at}.identifier[{i}].{path}", OfPatient);
            }
        return One("recordTarget", One("patientRole",
            ids.Count > 0 ? ids : Nothing("id"),
            patient.Address.Select((address, i) => Address(address, $"{at}.address[{i}]")),
            patient.Telecom.Select((contact, i) => Telecom(contact, $"{at}.telecom[{i}]")),
            One("patient",
                patient.Name.Select((name, i) => Name(name, $"{at}.name[{i}]")),
                Gender(patient.Gender, at + ".gender"),
                Time(patient.BirthDate, at + ".birthDate", "birthTime", OfPatient))));
    }

    /// <summary>By the Finnish code of sex.</summary>
    private XElement? Gender(AdministrativeGender? gender, string path) => gender is null || Say(gender.ToString(), path, OfPatient) is null ? null
        : Empty("administrativeGenderCode", ("code", gender switch { AdministrativeGender.Male => "1", AdministrativeGender.Female => "2", AdministrativeGender.Other => "9", _ => "0" }), ("codeSystem", "1.2.246.537.5.1.1997"));

    private IEnumerable<XElement> Authors() => composition.Author.DefaultIfEmpty(new()).Select((author, i) => One("author",
        Empty("time", ("value", TimeOf(composition.Date)), ("nullFlavor", TimeOf(composition.Date) is null ? "UNK" : null)),
        Agent(author, "assignedAuthor", $"Composition.author[{i}]")));

    /// <summary>Who acted, by number and name as the reference has them, or whoever it leads to.</summary>
    private XElement Agent(ResourceReference who, string name, string path)
    {
        var id = Id(who.Identifier, path + ".identifier", OfDocument);
        var called = Say(who.Display, path + ".display", OfDocument);
        if (who.Type is "Practitioner")
            Say(who.Type, path + ".type", OfDocument);
        var (person, organisation) = (called is null ? null : One("assignedPerson", One("name", called)), (XElement?)null);
        if (who.Type == "Organization" || resources.Of(who) is Organization)
            (person, organisation) = (null, One("representedOrganization", id is null ? null : new XElement(id), called is null ? null : One("name", called)));
        if (resources.Of(who) is { } resource)
        {
            Say(who.Reference, path + ".reference", OfDocument);
            var at = resources.PathOf(resource);
            switch (resource)
            {
                case Practitioner practitioner:
                    id ??= FirstId(practitioner.Identifier, at);
                    person ??= practitioner.Name.Count > 0 ? One("assignedPerson", Name(practitioner.Name[0], $"{at}.name[0]")) : null;
                    break;
                case Organization its:
                    id ??= FirstId(its.Identifier, at);
                    organisation = One("representedOrganization", id is null ? null : new XElement(id), One("name", Say(its.Name, $"{at}.name", OfDocument) ?? called ?? ""));
                    break;
            }
        }
        return One(name, id ?? Nothing("id"), person, organisation);
    }

    /// <param name="at">Path of whose they are.</param>
    /// <returns>Of the first identifier that CDA can write; null: it can write none.</returns>
    private XElement? FirstId(List<Identifier> identifiers, string at) =>
        identifiers.Select((identifier, i) => Id(identifier, $"{at}.identifier[{i}]", OfDocument)).FirstOrDefault(static made => made is not null);

    private XElement Custodian()
    {
        const string At = "Composition.custodian";
        var custodian = composition.Custodian;
        var its = resources.Of(custodian) as Organization;
        if (custodian?.Type == "Organization")
            Say(custodian.Type, At + ".type", OfDocument);
        var id = Id(custodian?.Identifier, At + ".identifier", OfDocument);
        if (its is not null)
            id ??= FirstId(its.Identifier, resources.PathOf(its));
        var name = Say(custodian?.Display, At + ".display", OfDocument) ?? (its is null ? null : Say(its.Name, resources.PathOf(its) + ".name", OfDocument));
        return One("custodian", One("assignedCustodian", One("representedCustodianOrganization", id ?? Nothing("id"), name is null ? null : One("name", name))));
    }

    private IEnumerable<XElement> Attesters()
    {
        // One person is legally responsible; the others have signed.
        var legal = composition.Attester.FindIndex(static a => a is { Mode: Composition.CompositionAttestationMode.Legal, Party: not null });
        foreach (var i in Enumerable.Range(0, composition.Attester.Count).OrderBy(i => i == legal ? 0 : 1))
            if (composition.Attester[i] is { Party: { } party } attester)
            {
                var at = $"Composition.attester[{i}]";
                if (i == legal || attester.Mode == Composition.CompositionAttestationMode.Professional)
                    Say("mode", at + ".mode", OfDocument);
                yield return One(i == legal ? "legalAuthenticator" : "authenticator",
                    Time(attester.Time, at + ".time", "time", OfDocument) ?? Nothing("time"), Empty("signatureCode", ("code", "S")), Agent(party, "assignedEntity", at + ".party"));
            }
    }

    /// <summary>One that it replaces or appends to, and one that it is a transformation of: CDA R2 §4.2.3.1 allows no more.</summary>
    private IEnumerable<XElement> RelatedDocuments()
    {
        var made = new SortedDictionary<string, XElement>(StringComparer.Ordinal);
        // What was received, byte for byte, is the original; this is made of what was understood of it.
        foreach (var document in resources.All.Select(static one => one.Resource).OfType<DocumentReference>())
            if (!made.ContainsKey("XFRM") && document.Content.Exists(static c => c.Attachment?.ContentType == CdaAdapter.ContentType) && Id(document.MasterIdentifier, resources.PathOf(document) + ".masterIdentifier", OfDocument) is { } original)
                made["XFRM"] = original;
        for (var i = 0; i < composition.RelatesTo.Count; i++)
        {
            var (relation, at) = (composition.RelatesTo[i], $"Composition.relatesTo[{i}]");
            if (relation.Code switch { DocumentRelationshipType.Replaces => "RPLC", DocumentRelationshipType.Appends => "APND", DocumentRelationshipType.Transforms => "XFRM", _ => null } is { } type
                && !made.ContainsKey(type) && !(type != "XFRM" && made.Keys.Any(static k => k != "XFRM"))
                && relation.Target is Identifier target && Id(target, at + ".targetIdentifier", OfDocument) is { } id)
            {
                Say(type, at + ".code", OfDocument);
                made[type] = id;
            }
        }
        return made.Select(static one => new XElement(Hl7 + "relatedDocument", new XAttribute("typeCode", one.Key), One("parentDocument", one.Value)));
    }

    private XElement? ComponentOf()
    {
        if (_visit is null && _serviceEvent is null)
            return null;
        if (_visit is null)
            return One("componentOf", One("encompassingEncounter", Id(new(Uri, _serviceEvent), "", OfVisit), Nothing("effectiveTime")));
        var at = resources.PathOf(_visit);
        Say(composition.Encounter!.Reference, "Composition.encounter.reference", OfVisit);
        SayDocumentsOwn(_visit, at);
        var kind = _visit.Class is { System: ActCode, Code: { } code } && EncounterClasses.Contains(code) ? Empty("code", ("code", Say(code, at + ".class.code", OfVisit)), ("codeSystem", "2.16.840.1.113883.5.4"), ("displayName", Say(_visit.Class.Display, at + ".class.display", OfVisit))) : null;
        if (kind is not null)
            Say(ActCode, at + ".class.system", OfVisit);
        return One("componentOf", One("encompassingEncounter",
            Enumerable.Range(0, _visit.Identifier.Count).OrderBy(i => _visit.Identifier[i].Use == Identifier.IdentifierUse.Official ? 0 : 1).Select(i => Id(_visit.Identifier[i], $"{at}.identifier[{i}]", OfVisit)),
            kind, Interval(_visit.Period, at + ".period", "effectiveTime", OfVisit) ?? Nothing("effectiveTime")));
    }

    /// <summary>The kind of the document by Finnish code systems.</summary>
    private XElement? LocalHeader()
    {
        var made = new List<XElement>();
        foreach (var (name, system) in (ReadOnlySpan<(string, string)>)[("documentType", "1.2.246.537.5.5001"), ("functionCode", "1.2.246.537.5.40154.2008"), ("recordStatus", "1.2.246.537.5.40154")])
            for (var i = 0; i < composition.Category.Count; i++)
                if (composition.Category[i].Coding is [{ System: { } url }, ..] && (url == "urn:oid:" + system || name == "documentType" && url.StartsWith($"urn:oid:{system}.", StringComparison.Ordinal))
                    && Coded(composition.Category[i], $"Composition.category[{i}]", "code", OfDocument) is { } coded)
                {
                    made.Add(new(Finnish + name, coded.Attributes(), coded.Nodes()));
                    break;
                }
        return made.Count > 0 ? new(Finnish + "localHeader", made) : null;
    }

    /// <summary>What the document says once, for all that is in it.</summary>
    private void SayDocumentsOwn(DomainResource resource, string at)
    {
        for (var i = 0; i < resource.Extension.Count; i++)
            if (_serviceEvent is not null && resource.Extension[i].Url == References.ServiceEventExtension && resource.Extension[i].Value is PrimitiveType { JsonValue: string oid } && oid == _serviceEvent && IsVisitNamed())
            {
                Say(oid, $"{at}.extension[{i}].url", OfVisit);
                Say(oid, $"{at}.extension[{i}].valueOid", OfVisit);
            }

        bool IsVisitNamed() => _visit is null || _visit.Identifier.Exists(identifier => identifier.Value == _serviceEvent);
    }

    private static string? ServiceEventOf(DomainResource resource) => resource.Extension.FirstOrDefault(static e => e.Url == References.ServiceEventExtension)?.Value is PrimitiveType { JsonValue: string oid } && Oid.TryParse(oid.Replace("urn:oid:", "", StringComparison.Ordinal), out _) ? oid : null;

    private string? Say(string? value, string path, string target)
    {
        if (string.IsNullOrEmpty(value))
            return null;
        if (path.Length > 0)
            _said[path] = target;
        return value;
    }

    private static XElement One(string name, params ReadOnlySpan<object?> content)
    {
        var made = new XElement(Hl7 + name);
        foreach (var part in content)
            made.Add(part);
        return made;
    }

    /// <param name="attributes">Those without a value are left out.</param>
    private static XElement Empty(string name, params ReadOnlySpan<(string Name, string? Value)> attributes)
    {
        var made = new XElement(Hl7 + name);
        foreach (var (attribute, value) in attributes)
            if (value is not null)
                made.Add(new XAttribute(attribute, value));
        return made;
    }

    private static XElement Nothing(string name) => new(Hl7 + name, new XAttribute("nullFlavor", "UNK"));

    /// <summary>II; null where it is no number of an OID or a UUID.</summary>
    private XElement? Id(Identifier? identifier, string path, string target, string name = "id")
    {
        if (identifier is not { System: { } system, Value: { Length: > 0 } value })
            return null;
        var isWhole = system == Uri;
        if (RootOf(isWhole ? value : system) is not { } root)
            return null;
        Say(system, path + ".system", target);
        Say(value, path + ".value", target);
        if (identifier.Use == Identifier.IdentifierUse.Official && target == OfVisit)
            Say("official", path + ".use", target);
        return Empty(name, ("root", root), ("extension", isWhole ? null : value));

        static string? RootOf(string uri) => uri.StartsWith("urn:oid:", StringComparison.Ordinal) && Oid.TryParse(uri["urn:oid:".Length..], out var oid) ? oid.ToString()
            : uri.StartsWith("urn:uuid:", StringComparison.Ordinal) && Guid.TryParseExact(uri["urn:uuid:".Length..], "D", out var uuid) ? uuid.ToString("D") : null;
    }

    /// <summary>CD: the first code that CDA can name, the others as translations, and the words; null where nothing of it can be written.</summary>
    /// <param name="isTyped">Of a value, which says what it is.</param>
    private XElement? Coded(CodeableConcept? concept, string path, string name, string target, bool isTyped = false)
    {
        if (concept is null)
            return null;
        var made = new XElement(Hl7 + name, isTyped ? new XAttribute(Instance + "type", "CD") : null);
        var translations = new List<XElement>();
        var isCoded = false;
        for (var i = 0; i < concept.Coding.Count; i++)
        {
            var (coding, at) = (concept.Coding[i], $"{path}.coding[{i}]");
            if (coding.Code is not { Length: > 0 } code || coding.System is not null && OidOf(coding.System) is null)
                continue;
            var one = isCoded ? new XElement(Hl7 + "translation") : made;
            one.Add(new XAttribute("code", Say(code, at + ".code", target)!));
            if (coding.System is not null)
                one.Add(new XAttribute("codeSystem", OidOf(coding.System)!));
            if (Say(coding.Display, at + ".display", target) is { } display)
                one.Add(new XAttribute("displayName", display));
            Say(coding.System, at + ".system", target);
            if (isCoded)
                translations.Add(one);
            isCoded = true;
        }
        if (!isCoded)
            made.Add(new XAttribute("nullFlavor", concept.Coding.Count > 0 ? "OTH" : "NI"));
        if (Say(concept.Text, path + ".text", target) is { } text)
            made.Add(One("originalText", text));
        // A code of a system that has no OID has words at least.
        else if (!isCoded && concept.Coding.Select(static c => c.Display).FirstOrDefault(static d => !string.IsNullOrEmpty(d)) is { } words)
        {
            made.Add(One("originalText", words));
            _text.Append(' ').Append(words).Append(' ');
        }
        else if (!isCoded)
            return null;
        made.Add(translations);
        return made;
    }

    internal static string? OidOf(string system) => system switch
    {
        "http://loinc.org" => Loinc,
        "http://snomed.info/sct" => "2.16.840.1.113883.6.96",
        "http://unitsofmeasure.org" => "2.16.840.1.113883.6.8",
        "http://www.nlm.nih.gov/research/umls/rxnorm" => "2.16.840.1.113883.6.88",
        "http://hl7.org/fhir/sid/icd-10-cm" => "2.16.840.1.113883.6.90",
        "http://www.whocc.no/atc" => "1.2.246.537.6.32",
        _ => system.StartsWith("urn:oid:", StringComparison.Ordinal) && Oid.TryParse(system["urn:oid:".Length..], out var oid) ? oid.ToString() : null,
    };

    /// <summary>A date, dateTime or instant as TS: YYYYMMDDHHMMSS.S+ZZZZ, as short as it is precise; null: there is none.</summary>
    private static string? TimeOf(string? time)
    {
        if (string.IsNullOrEmpty(time))
            return null;
        var (day, clock) = time.Split('T') is [var d, var c] ? (d, c) : (time, "");
        if (clock.EndsWith('Z'))
            clock = clock[..^1] + "+00:00";
        return (day.Replace("-", "", StringComparison.Ordinal) + clock.Replace(":", "", StringComparison.Ordinal)) is var written && written.All(static c => char.IsAsciiDigit(c) || c is '+' or '-' or '.') ? written : null;
    }

    private XElement? Time(string? time, string path, string name, string target)
    {
        if (TimeOf(time) is not { } value)
            return null;
        Say(time, path, target);
        return Empty(name, ("value", value));
    }

    /// <param name="period">Null, or without bounds: null.</param>
    private XElement? Interval(Period? period, string path, string name, string target)
    {
        var (low, high) = (Time(period?.Start, path + ".start", "low", target), Time(period?.End, path + ".end", "high", target));
        return low is null && high is null ? null : One(name, low, high);
    }

    private XElement? Name(HumanName name, string path)
    {
        var parts = new List<XElement>();
        foreach (var (element, values) in (ReadOnlySpan<(string, IEnumerable<string?>)>)[("prefix", name.Prefix), ("given", name.Given)])
            parts.AddRange(values.Select((value, i) => One(element, Say(value, $"{path}.{element}[{i}]", OfPatient) ?? "")));
        if (Say(name.Family, path + ".family", OfPatient) is { } family)
            parts.Add(One("family", family));
        parts.AddRange(name.Suffix.Select((value, i) => One("suffix", Say(value, $"{path}.suffix[{i}]", OfPatient) ?? "")));
        return parts.Count > 0 ? One("name", parts) : Say(name.Text, path + ".text", OfPatient) is { } text ? One("name", text) : null;
    }

    private XElement? Address(Address address, string path)
    {
        var parts = address.Line.Select((line, i) => One("streetAddressLine", Say(line, $"{path}.line[{i}]", OfPatient) ?? "")).ToList();
        foreach (var (element, value) in (ReadOnlySpan<(string, string?)>)[("postalCode", address.PostalCode), ("city", address.City), ("state", address.State), ("country", address.Country)])
            if (Say(value, $"{path}.{element}", OfPatient) is { } said)
                parts.Add(One(element, said));
        return parts.Count > 0 ? One("addr", parts) : Say(address.Text, path + ".text", OfPatient) is { } text ? One("addr", text) : null;
    }

    private XElement? Telecom(ContactPoint contact, string path)
    {
        if (contact.System switch { ContactPoint.ContactPointSystem.Phone => "tel:", ContactPoint.ContactPointSystem.Email => "mailto:", ContactPoint.ContactPointSystem.Fax => "fax:", _ => null } is not { } scheme || Say(contact.Value, path + ".value", OfPatient) is not { } value)
            return null;
        Say(scheme, path + ".system", OfPatient);
        // RFC 3966 §3: no spaces.
        return Empty("telecom", ("value", scheme + (scheme == "mailto:" ? value : value.Replace(" ", "", StringComparison.Ordinal))));
    }
}
