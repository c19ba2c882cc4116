using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Protection;

/// <summary>How what is stored says that it is the signed form of a declaration of will, and no note of care. Pure; thread-safe.</summary>
/// <remarks>
/// A form is shown to the person and its register alone (Act 703/2023 §58, EHDS Art. 8), so a Consent makes one only of what says that it is one. The codes are those LOINC
/// documents of the FHIR value set of consent categories (hl7.org/fhir/R4/valueset-consent-category.html) that a person signs; IHE PCF types the paperwork of its examples with one.
/// </remarks>
public static class SignedForms
{
    /// <summary>How to say it, for whom a form is refused.</summary>
    public const string HowToSay = "59284-0, 64292-6 or 57016-8 of http://loinc.org in type or category of a DocumentReference, in meta.tag of a QuestionnaireResponse";

    /// <summary>Consent document, release of information, acknowledgement of a privacy policy.</summary>
    private static readonly string[] Codes = ["59284-0", "64292-6", "57016-8"];

    /// <summary>Whether a resource says that it is a signed form.</summary>
    public static bool Says(Resource resource) => resource switch
    {
        DocumentReference document => new[] { document.Type }.Concat(document.Category).Any(static concept => concept?.Coding.Exists(Is) == true),
        // It has neither.
        QuestionnaireResponse answers => answers.Meta?.Tag.Exists(Is) == true,
        _ => false,
    };

    private static bool Is(Coding coding) => coding.System == "http://loinc.org" && Codes.Contains(coding.Code);
}
