using System.Globalization;
using System.Text;
using System.Text.Json;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;

namespace KantaGateway.Benchmarks;

/// <summary>
/// The record that every seeded patient has: the Patient, then visits of <see cref="VisitSize"/> resources each, of about
/// 1 KB. What lies at a sequence follows from the sequence alone, and so does its id.
/// </summary>
/// <remarks>
/// A visit: Encounter, Condition, two MedicationRequests, DocumentReference, and an Observation of each of
/// <see cref="Codes"/>; so a record of 200 resources has ten hits for a code.
/// Resources and index entries are made by the repository's own serializer and indexer; only the checks of a write are
/// left out. Used by one thread at a time: the resources are made once and written over for each row.
/// </remarks>
sealed class SeededRecord
{
    public const int VisitSize = 20;

    private const int FirstObservation = 5;

    /// <summary>LOINC codes of the Observations.</summary>
    public static IReadOnlyList<string> Codes { get; } =
        ["8867-4", "8480-6", "8462-4", "8310-5", "9279-1", "2708-6", "29463-7", "8302-2", "39156-5", "718-7", "2339-0", "4548-4", "2093-3", "2160-0", "1988-5"];

    private readonly Patient _patient = Read<Patient>("""
        {"resourceType":"Patient","identifier":[{"use":"official","system":"urn:oid:1.2.246.21","value":"010190-900P"}],
         "active":true,"name":[{"use":"official","family":"Esimerkki","given":["Aino","Maria"]}],"telecom":[{"system":"phone","value":"+358 40 0000000","use":"mobile"}],
         "gender":"female","birthDate":"1990-01-01","address":[{"use":"home","line":["Esimerkkikatu 1 A 1"],"city":"Helsinki","postalCode":"00100","country":"FI"}]}
        """);

    private readonly Encounter _encounter = Read<Encounter>("""
        {"resourceType":"Encounter","identifier":[{"use":"official","system":"urn:ietf:rfc:3986","value":"urn:oid:1.2.3"}],"status":"finished",
         "class":{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB","display":"ambulatory"},
         "serviceType":{"coding":[{"system":"urn:oid:1.2.246.537.6.49","code":"50"}],"text":"Yleislääketieteen vastaanotto"},"subject":{"reference":"Patient/x"},
         "period":{"start":"2024-01-01T08:00:00+02:00","end":"2024-01-01T08:30:00+02:00"},
         "reasonCode":[{"text":"Seurantakäynti: verenpaine, paino ja laboratoriokokeet; lääkitys tarkistetaan."}],"location":[{"location":{"display":"Lääkäriasema, huone 12"}}]}
        """);

    private readonly Condition _condition = Read<Condition>("""
        {"resourceType":"Condition","clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"active"}]},
         "verificationStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-ver-status","code":"confirmed"}]},
         "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-category","code":"encounter-diagnosis"}]}],
         "code":{"coding":[{"system":"urn:oid:1.2.246.537.6.1","code":"I10","display":"Essentiaalinen verenpainetauti"}],"text":"Essentiaalinen (primaarinen) verenpainetauti"},
         "subject":{"reference":"Patient/x"},"encounter":{"reference":"Encounter/x"},"onsetDateTime":"2020-05-01","recordedDate":"2024-01-01T08:10:00+02:00",
         "note":[{"text":"Hoitotasapaino hyvä. Kotimittaukset keskimäärin 128/78. Jatketaan entisellä lääkityksellä, kontrolli puolen vuoden kuluttua."}]}
        """);

    private readonly MedicationRequest _medication = Read<MedicationRequest>("""
        {"resourceType":"MedicationRequest","status":"active","intent":"order",
         "medicationCodeableConcept":{"coding":[{"system":"http://www.whocc.no/atc","code":"C09AA05","display":"ramipril"}],"text":"Ramipriili 5 mg tabletti"},
         "subject":{"reference":"Patient/x"},"encounter":{"reference":"Encounter/x"},"authoredOn":"2024-01-01T08:20:00+02:00",
         "reasonCode":[{"coding":[{"system":"urn:oid:1.2.246.537.6.1","code":"I10"}]}],
         "dosageInstruction":[{"text":"1 tabletti aamuisin verenpaineen hoitoon","timing":{"repeat":{"frequency":1,"period":1,"periodUnit":"d"}},
          "doseAndRate":[{"doseQuantity":{"value":1,"unit":"tabletti","system":"http://unitsofmeasure.org","code":"{tbl}"}}]}],
         "dispenseRequest":{"numberOfRepeatsAllowed":3,"quantity":{"value":100,"unit":"tabletti","system":"http://unitsofmeasure.org","code":"{tbl}"}}}
        """);

    private readonly DocumentReference _document = Read<DocumentReference>("""
        {"resourceType":"DocumentReference","status":"current","docStatus":"final","type":{"coding":[{"system":"http://loinc.org","code":"11506-3","display":"Progress note"}]},
         "category":[{"coding":[{"system":"http://loinc.org","code":"11488-4"}]}],"subject":{"reference":"Patient/x"},"date":"2024-01-01T08:30:00.000+02:00",
         "description":"Hoitokertomus, yleislääketieteen vastaanotto",
         "content":[{"attachment":{"contentType":"text/plain","language":"fi","data":"UG90aWxhcyB0dWxlZSBzb3ZpdHVsbGUga29udHJvbGxpa8OkeW5uaWxsZS4gVm9pbnRpIGh5dsOkLCBlaSByaW50YWtpcHVqYSBlaWvDpCBoZW5nZW5haGRpc3R1c3RhLiBWZXJlbnBhaW5lIGtvdG9uYSBrZXNraW3DpMOkcmluIDEyOC83OC4gTMOkw6RraXR5cyBlbm5hbGxhYW4sIGtvbnRyb2xsaSBwdW9sZW4gdnVvZGVuIGt1bHV0dHVhLg==","title":"Hoitokertomus"}}],
         "context":{"encounter":[{"reference":"Encounter/x"}],"period":{"start":"2024-01-01T08:00:00+02:00"}}}
        """);

    private readonly Observation _observation = Read<Observation>("""
        {"resourceType":"Observation","identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:uuid:00000000-0000-0000-0000-000000000000"}],"status":"final",
         "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"vital-signs","display":"Vital Signs"}]}],
         "code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}],"text":"Mittaus vastaanotolla"},"subject":{"reference":"Patient/x"},"encounter":{"reference":"Encounter/x"},
         "effectiveDateTime":"2024-01-01T08:05:00+02:00","issued":"2024-01-01T08:06:00.000+02:00","performer":[{"display":"Sairaanhoitaja Eero Testihoitaja"}],
         "valueQuantity":{"value":72,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"},
         "interpretation":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N"}]}],
         "note":[{"text":"Mitattu istuen viiden minuutin levon jälkeen, kolmen mittauksen keskiarvo."}],
         "device":{"display":"Vastaanoton mittari"}}
        """);

    /// <summary>Type of the resource at a sequence, from 1.</summary>
    public static string TypeAt(long sequence) => sequence == 1 ? "Patient" : ((sequence - 2) % VisitSize) switch
    {
        0 => "Encounter",
        1 => "Condition",
        2 or 3 => "MedicationRequest",
        4 => "DocumentReference",
        _ => "Observation",
    };

    /// <summary>Sequence of the Encounter of the visit that a sequence after the first belongs to.</summary>
    public static long EncounterOf(long sequence) => sequence - (sequence - 2) % VisitSize;

    /// <summary>One row of a record, ready to be appended but for its sealing.</summary>
    /// <param name="ids">Ids of the deployment.</param>
    /// <param name="controller">OID of the controller in whose register it lies.</param>
    /// <param name="code">Identity code, for the Patient.</param>
    /// <returns>Sequence of the resource, index entry and canonical JSON.</returns>
    public (long Resource, byte[] Entry, byte[] Body) Row(IdentifierCipher ids, Pseudonym compartment, long sequence, string controller, PersonalIdentityCode code, DateTimeOffset updated)
    {
        var number = BitConverter.ToUInt32(compartment.ToArray(), 4);
        var resource = sequence == 1 ? 0 : sequence;
        string? serviceEvent = null;
        DomainResource content = _patient;
        if (sequence == 1)
            _patient.Identifier[0].Value = code.Reveal();
        else
        {
            var encounter = EncounterOf(sequence);
            serviceEvent = string.Create(CultureInfo.InvariantCulture, $"{controller}.14.{number}.{encounter}");
            content = About($"Patient/{ids.PatientId(compartment)}", $"Encounter/{ids.ResourceId(compartment, encounter)}", (int)((sequence - 2) % VisitSize), (int)(sequence / VisitSize), serviceEvent);
        }
        content.Id = ids.ResourceId(compartment, resource);
        content.Meta = new() { VersionId = ids.VersionId(compartment, sequence), LastUpdated = updated };
        var body = ResourceParser.Serialize(content);
        return (resource, Indexer.Build(new()
        {
            Type = content.TypeName,
            ResourceSequence = resource,
            RowSequence = sequence,
            Controller = controller,
            ServiceEvent = serviceEvent,
            BodySize = body.Length,
            LastUpdated = updated,
        }, content), body);
    }

    /// <summary>An Observation as a client sends it.</summary>
    /// <param name="number">Any; decides code and value.</param>
    public byte[] NewObservation(string patient, string encounter, int number) => Sent(About(patient, encounter, FirstObservation + number % Codes.Count, number, ""));

    /// <summary>A visit as a client sends it: a transaction of an Encounter and nine resources of it.</summary>
    /// <param name="serviceEvent">OID, not used before.</param>
    public byte[] NewVisit(string patient, string serviceEvent, int number)
    {
        var url = $"urn:uuid:{Guid.NewGuid()}";
        using var buffer = new MemoryStream(12_000);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("resourceType"u8, "Bundle"u8);
            json.WriteString("type"u8, "transaction"u8);
            json.WriteStartArray("entry"u8);
            for (var place = 0; place < 10; place++)
            {
                var content = About(patient, url, place, number, serviceEvent);
                json.WriteStartObject();
                json.WriteString("fullUrl"u8, place == 0 ? url : $"urn:uuid:{Guid.NewGuid()}");
                json.WritePropertyName("resource"u8);
                json.WriteRawValue(Sent(content), skipInputValidation: true);
                json.WriteStartObject("request"u8);
                json.WriteString("method"u8, "POST"u8);
                json.WriteString("url"u8, content.TypeName);
                json.WriteEndObject();
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return buffer.ToArray();
    }

    private static byte[] Sent(DomainResource content)
    {
        (content.Id, content.Meta) = (null, null);
        return ResourceParser.Serialize(content);
    }

    private DomainResource About(string patient, string encounter, int place, int number, string serviceEvent)
    {
        var day = new DateTime(2024, 1, 1, 8, 0, 0, DateTimeKind.Unspecified).AddDays(number % 700);
        var moment = day.ToString("yyyy-MM-dd'T'HH:mm:ss'+02:00'", CultureInfo.InvariantCulture);
        switch (place)
        {
            case 0:
                _encounter.Identifier[0].Value = "urn:oid:" + serviceEvent;
                _encounter.Subject!.Reference = patient;
                (_encounter.Period!.Start, _encounter.Period.End) = (moment, day.AddMinutes(30).ToString("yyyy-MM-dd'T'HH:mm:ss'+02:00'", CultureInfo.InvariantCulture));
                return _encounter;
            case 1:
                (_condition.Subject!.Reference, _condition.Encounter!.Reference, _condition.RecordedDate) = (patient, encounter, moment);
                return _condition;
            case 2 or 3:
                (_medication.Subject!.Reference, _medication.Encounter!.Reference, _medication.AuthoredOn) = (patient, encounter, moment);
                return _medication;
            case 4:
                (_document.Subject!.Reference, _document.Context!.Encounter[0].Reference) = (patient, encounter);
                return _document;
            default:
                _observation.Identifier[0].Value = $"urn:uuid:{Guid.NewGuid()}";
                _observation.Code!.Coding[0].Code = Codes[(place - FirstObservation) % Codes.Count];
                (_observation.Subject!.Reference, _observation.Encounter!.Reference) = (patient, encounter);
                _observation.Effective = new FhirDateTime(moment);
                ((Quantity)_observation.Value!).Value = 50 + number % 100;
                return _observation;
        }
    }

    private static T Read<T>(string json) where T : Resource =>
        ResourceParser.Parse(Encoding.UTF8.GetBytes(json)) is { Resource: T resource } ? resource : throw new InvalidOperationException($"The {typeof(T).Name} to seed is not valid.");
}
