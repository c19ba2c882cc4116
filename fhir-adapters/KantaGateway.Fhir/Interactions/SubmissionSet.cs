using System.Globalization;
using System.Numerics;
using Hl7.Fhir.Model;

namespace KantaGateway.Fhir.Interactions;

/// <summary>
/// The submission set that IHE MHD has a Document Recipient make for a document that was published without one (ITI-105): who sent
/// what, when. A List, found like those that are sent (ITI-66). Pure.
/// </summary>
/// <remarks>
/// profiles.ihe.net/ITI/MHD, profile IHE.MHD.Minimal.SubmissionSet, which is not claimed: a client may claim none that are not known here.
/// It has no encounter by the profile, and is hidden with the document that it tells of.
/// </remarks>
public static class SubmissionSet
{
    /// <summary>Base of the canonical URLs of IHE MHD.</summary>
    public const string Mhd = "https://profiles.ihe.net/ITI/MHD/";

    /// <param name="document">What was published; stays as it is.</param>
    /// <param name="link">Full URL of the DocumentReference in the same write.</param>
    /// <param name="source">OID of the organisation that sent it.</param>
    /// <param name="submitted">When.</param>
    public static List Of(DocumentReference document, string link, string source, DateTimeOffset submitted)
    {
        var id = Guid.NewGuid();
        var set = new List
        {
            Status = List.ListStatus.Current,
            Mode = ListMode.Working,
            Code = new(Mhd + "CodeSystem/MHDlistTypes", "submissionset"),
            Subject = (ResourceReference?)document.Subject?.DeepCopy(),
            DateElement = new(submitted),
            // The unique id is an OID by ITI TF-3 4.2.3.3.12; one of a UUID belongs to nobody else (ITU-T X.667).
            Identifier =
            [
                new("urn:ietf:rfc:3986", $"urn:uuid:{id}") { Use = Identifier.IdentifierUse.Official },
                new("urn:ietf:rfc:3986", $"urn:oid:2.25.{NumberOf(id)}") { Use = Identifier.IdentifierUse.Usual },
            ],
            Entry = [new() { Item = new(link) }],
        };
        set.AddExtension(Mhd + "StructureDefinition/ihe-sourceId", new Identifier("urn:ietf:rfc:3986", "urn:oid:" + source));
        if (document.Type is { } type)
            set.AddExtension(Mhd + "StructureDefinition/ihe-designationType", (DataType)type.DeepCopy());
        // An organisation cannot be the source of a List, and what is contained in the DocumentReference is not in this one.
        set.Source = (ResourceReference?)document.Author.Find(a => a.Reference is { } literal && !literal.StartsWith('#')
            && literal.Split('/')[0] is "Practitioner" or "PractitionerRole" or "Patient" or "Device")?.DeepCopy();
        return set;
    }

    private static string NumberOf(Guid id) => new BigInteger(id.ToByteArray(bigEndian: true), isUnsigned: true, isBigEndian: true).ToString(CultureInfo.InvariantCulture);
}
