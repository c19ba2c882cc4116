using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What the requester is told about a refusal: what to do, never what there might be.</summary>
public static class Refusals
{
    public static Fault FaultOf(DenyReason reason) => reason switch
    {
        DenyReason.ScopeTooNarrow => new(FaultKind.Denied, "The access token's scopes do not reach this. Ask for a scope such as system/*.cruds or user/*.rs that your client is registered for."),
        DenyReason.PurposeNotServed => new(FaultKind.Denied, "This purpose of use is not served. Exchange the token with purpose_of_use=TREAT, or ETREAT in an emergency."),
        DenyReason.NoOpenServiceEvent => new(FaultKind.Denied, "No service event of your organisation that is open for this patient was found, or X-Service-Event names another. Archive the Encounter with status in-progress first. One that is open proves treatment until its end, and at most 30 days after it was last stored: where treatment goes on, write it again (PUT). Until then naming it refuses nothing of your own register, and shows nothing of others.", "http.X-Service-Event"),
        DenyReason.DeclarationByAnother => new(FaultKind.Denied, "This declaration is not yours to make. At a desk a new one is recorded (POST Consent) with your organisation in Consent.organization; what a professional records of the own access names that professional and organisation; the rest the person declares in the citizen's portal.", "Consent.organization"),
        DenyReason.UnsignedDeclaration => new(FaultKind.Denied, "What a person declares at a desk is signed: give the form in Consent.sourceAttachment (data with its contentType, or the url of what is stored) or Consent.sourceReference, which says that it is a form (LOINC 59284-0 as its type), or in Consent.verification verified true, verifiedWith the Patient or RelatedPerson, and verificationDate (Act 703/2023 §58).", "Consent.source"),
        DenyReason.NotInformed => new(FaultKind.Denied, "A permission or denial rests on informing: record that the person was informed with the text now in force first.", "Consent.category"),
        DenyReason.UnknownDeclaration => new(FaultKind.Unprocessable, "This Consent is none of the declarations that the Act knows: informing, disclosure permission, denial of all, of a public or occupational register, of a service event, of a prescription (Act 703/2023 §54, §59.2).", "Consent.provision"),
        DenyReason.DeclarationByCriteria => new(FaultKind.Unprocessable, "A declaration is recorded without looking for anything: leave out If-None-Exist and ifNoneExist, and write each reference as [Type]/[id], such as DocumentReference/[id] for the signed form, in the place of [Type]?[criteria].", "Consent"),
        DenyReason.PatientNotNamed => new(FaultKind.Unprocessable, "A declaration names the person whose it is, or the person would not find it: give Consent.patient.reference as Patient/[id] with the id of the Patient in whose record it is stored. An identifier or a conditional reference is not enough.", "Consent.patient.reference"),
        DenyReason.PermissionIsForAll => new(FaultKind.Unprocessable, "A disclosure permission covers all patient data and is narrowed by denials only (Act 703/2023 §54.1). Leave the provision with its type, and deny what is not to be disclosed.", "Consent.provision"),
        DenyReason.DocumentIsNoScope => new(FaultKind.Unprocessable, "A single document can be denied in social care only (Act 703/2023 §59.1); deny its service event. Of prescriptions give the MedicationRequest.", "Consent.provision.data"),
        DenyReason.PrivateProviderIsNoScope => new(FaultKind.Unprocessable, "A private provider cannot be denied as a whole: the registers of public controllers can, and those of occupational care (Act 703/2023 §59.2). Deny its service events.", "Consent.provision.data"),
        DenyReason.UnknownRegister => new(FaultKind.Unprocessable, "No controller with this OID has joined.", "Consent.provision.data"),
        DenyReason.DeclaredSince => new(FaultKind.VersionConflict, "Something else has been declared of the same since. Read the declarations again, and withdraw the one that is in force.", "Consent"),
        DenyReason.WrongTime => new(FaultKind.Unprocessable, "A declaration is dated no later than now, and its period ends after it begins, and after now. An emergency and a confirmation are dated now, within five minutes.", "Consent.dateTime"),
        DenyReason.TimeOfDayMissing => new(FaultKind.Unprocessable, "What may take the place of something said before (an informing, a permission, a withdrawn denial, one with an exception or an end) says when it was signed: give Consent.dateTime with the time of day, such as 2026-11-25T14:05:00+02:00.", "Consent.dateTime"),
        DenyReason.SubjectChanged => new(FaultKind.Unprocessable, "The next version of a declaration, and its withdrawal, is about the same as the declaration was. Declare the other thing in a Consent of its own.", "Consent.provision"),
        DenyReason.SpeakerUnclear => new(FaultKind.Unprocessable, "A declaration says who speaks: give each Consent.performer, and each Consent.verification.verifiedWith, as the very reference of Consent.patient, as a RelatedPerson by reference or type, or (a performer) as a Practitioner, PractitionerRole or Organization by reference or type. A name, an identifier or another address alone says of nobody who it is. What a desk takes back of a denial, or limits, names the person or a RelatedPerson there (Act 703/2023 §50, §51).", "Consent.performer"),
        DenyReason.NotForCustodians => new(FaultKind.Denied, "A child's denials are the child's: no custodian sets or changes one, and who represents a person declares nothing after their death (Act 703/2023 §50, §51, §58). Record what the child declares with the child as Consent.performer and in Consent.verification. Where the person is of age, see that Patient.birthDate says so.", "Consent.performer"),
        DenyReason.RecordTooWide => new(FaultKind.Unprocessable, "The period of this record is missing or too long (a confirmation holds at most 8 hours, an emergency 30 minutes), or its purpose is not that of the access token.", "Consent.provision.period"),
        DenyReason.NoEmergency => new(FaultKind.Denied, "No open emergency of yours is recorded for this patient. Record it first: POST Consent of the kind emergency-access, with its reason (Act 703/2023 §54.2).", "Consent"),
        DenyReason.UnitMissing => new(FaultKind.Denied, "An emergency is reviewed by another unit, so it is recorded for one: sign in through the organisation's identity provider, whose token names the service unit (claim unit), exchange it for an access token, and give the unit as the second Consent.organization.", "Consent.organization"),
        DenyReason.EmergenciesRest => new(FaultKind.Denied, "An emergency of yours has not been reviewed in time, or was found to be none. A reviewer of another unit settles it: POST Consent of the kind emergency-review.", "Consent"),
        DenyReason.NoReview => new(FaultKind.Denied, "An emergency is reviewed once, by a professional of another unit of the same organisation, named in Consent.sourceReference.", "Consent.sourceReference"),
        DenyReason.TaskTooNarrow => new(FaultKind.Denied, "The professional's task does not reach a type in this request in the services that the organisation is registered for (decree 457/2024 §4-9). Leave it out, or send what another task is needed for as that professional; where a service is missing, have it registered (health_services)."),
        DenyReason.EmployerMissing => new(FaultKind.Denied, "Occupational care keeps a register for each employer (Act 703/2023 §18): say which in X-Employer, by its OID.", "http.X-Employer"),
        // Somebody else's record is answered like one that is not there.
        DenyReason.NotOwnData or DenyReason.AsIfAbsent => Fault.Absent,
        _ => new(FaultKind.Denied, "No legal basis for this request was found."),
    };
}
