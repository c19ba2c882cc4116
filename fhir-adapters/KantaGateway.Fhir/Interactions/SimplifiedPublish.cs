using System.Security.Cryptography;
using System.Text;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Interactions;

/// <summary>
/// IHE MHD Simplified Publish (ITI-105): a document is archived by one POST of its DocumentReference, with the document in
/// <c>attachment.data</c>. The document becomes a Binary of its own, stored with it; the DocumentReference tells where it is, how long and
/// of which digest. Only for who claims the profile: everywhere else data in an attachment stay where they are. Pure.
/// </summary>
/// <remarks>
/// profiles.ihe.net/ITI/MHD/ITI-105.html. The claim is taken out of <c>meta.profile</c>: without the data it would no longer be true.
/// With it a <see cref="SubmissionSet"/> is stored, as the profile has it.
/// </remarks>
public static class SimplifiedPublish
{
    public const string Profile = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.SimplifiedPublish.DocumentReference";

    /// <summary>Whether the profile is among those that a DocumentReference claims.</summary>
    /// <param name="profiles">Its <c>meta.profile</c>.</param>
    public static bool IsAmong(IEnumerable<string?> profiles) => profiles.Any(IsProfile);

    /// <summary>Takes the document out of its DocumentReference.</summary>
    /// <param name="reference">Claims the profile or not; changed where it does.</param>
    /// <param name="link">What <c>attachment.url</c> becomes: the full URL of the Binary in the same write.</param>
    /// <returns>The document, or what is wrong; neither where the profile is not claimed.</returns>
    public static (Binary? Document, Fault? Fault) Extract(DocumentReference reference, string link)
    {
        if (reference.Meta is not { } meta || !IsAmong(meta.Profile))
            return (null, null);
        const string At = "DocumentReference.content[0].attachment";
        var issues = new List<FaultIssue>();
        var attachment = reference.Content is [{ Attachment: { } only }] ? only : null;
        if (attachment is null)
            issues.Add(new("One document is published at a time: content is one attachment.", "DocumentReference.content", "structure"));
        if (reference.Status != DocumentReferenceStatus.Current)
            issues.Add(new("A document is published with the status current.", "DocumentReference.status", "business-rule"));
        if (attachment is { Data: not { Length: > 0 } })
            issues.Add(new("The document is in the attachment, as base64.", At + ".data", "required"));
        if (attachment is { Url: not null })
            issues.Add(new("The document is in the attachment or elsewhere, not both: leave url out, or the profile.", At + ".url", "structure"));
        if (attachment is { ContentType: null or "" })
            issues.Add(new("The media type of the document is missing.", At + ".contentType", "required"));
        if (issues.Count == 0)
        {
            var data = attachment!.Data!;
#pragma warning disable CA5350 // Attachment.hash is SHA-1 by the specification; it finds transmission errors, and what is stored is sealed by other means.
            var digest = SHA1.HashData(data);
#pragma warning restore CA5350
            if (attachment.SizeUnsignedInt is { } size && size != data.Length)
                issues.Add(new("The size is not that of the data.", At + ".size", "value"));
            // MHD's own examples have the hexadecimal digits in base64.
            if (attachment.Hash is { Length: > 0 } hash && !hash.AsSpan().SequenceEqual(digest)
                && !Encoding.ASCII.GetString(hash).Equals(Convert.ToHexString(digest), StringComparison.OrdinalIgnoreCase))
                issues.Add(new("The hash is not the SHA-1 of the data.", At + ".hash", "value"));
            if (issues.Count == 0)
            {
                meta.Profile = [.. meta.Profile.Where(p => !IsProfile(p))];
                // FHIR has no empty elements.
                if (!meta.EnumerateElements().Any(e => e.Value is not System.Collections.ICollection { Count: 0 }))
                    reference.Meta = null;
                (attachment.Data, attachment.Url, attachment.SizeUnsignedInt, attachment.Hash) = (null, link, data.Length, digest);
                return (new() { ContentType = attachment.ContentType, Data = data }, null);
            }
        }
        return (null, new(FaultKind.Unprocessable, issues));
    }

    private static bool IsProfile(string? canonical) => canonical is not null && (canonical == Profile || canonical.StartsWith(Profile + "|", StringComparison.Ordinal));
}
