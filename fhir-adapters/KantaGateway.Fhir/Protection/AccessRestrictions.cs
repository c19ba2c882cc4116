using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Protection;

/// <summary>How a Consent says that it restricts who may be shown the record at all, its own register too (GDPR Art. 18). Pure; thread-safe.</summary>
/// <remarks>What else a person declares leaves a controller its own register, which is read without asking for the person's policy; where one of these was ever stored, it is asked for.</remarks>
public static class AccessRestrictions
{
    public const string System = "https://kantagateway.fi/fhir/CodeSystem/declaration-kind", Code = "access-restriction";

    /// <summary>Whether a resource says that it is one, in force or not.</summary>
    public static bool Says(Resource resource) =>
        resource is Hl7.Fhir.Model.Consent consent && consent.Category.Exists(static concept => concept.Coding.Exists(static coding => coding.System == System && coding.Code == Code));
}
