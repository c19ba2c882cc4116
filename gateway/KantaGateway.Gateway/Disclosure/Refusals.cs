using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What the requester is told about a refusal: what to do, never what there might be.</summary>
public static class Refusals
{
    public static Fault FaultOf(DenyReason reason) => reason switch
    {
        DenyReason.ScopeTooNarrow => new(FaultKind.Denied, "The access token's scopes do not reach this. Ask for a scope such as system/*.cruds or user/*.rs that your client is registered for."),
        DenyReason.PurposeNotServed => new(FaultKind.Denied, "This purpose of use is not served. Exchange the token with purpose_of_use=TREAT."),
        DenyReason.NoOpenServiceEvent => new(FaultKind.Denied, "X-Service-Event is not an open service event of your organisation for this patient. Archive the Encounter with status in-progress first.", "http.X-Service-Event"),
        DenyReason.DeclarationByAnother => new(FaultKind.Denied, "Permissions and denials are declared by the person in the citizen's portal.", "Consent"),
        DenyReason.NotInformed => new(FaultKind.Denied, "A permission or denial rests on informing: record that the person was informed with the text now in force first.", "Consent.category"),
        DenyReason.UnknownDeclaration => new(FaultKind.Unprocessable, "This Consent is none of the declarations that the Act knows: informing, disclosure permission, denial of all, denial of a service event.", "Consent.provision"),
        // Somebody else's record is answered like one that is not there.
        DenyReason.NotOwnData => Fault.Absent,
        _ => new(FaultKind.Denied, "No legal basis for this request was found."),
    };
}
