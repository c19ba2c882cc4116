using Hl7.Fhir.Model;
using KantaGateway.Fhir.Adapters;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Cda;

/// <summary>What a CDA document comes to.</summary>
/// <param name="Bundle">A transaction about one person; null where there is a fault.</param>
/// <param name="Sources">Of each entry of the Bundle the path of what it comes from.</param>
/// <param name="Code">The person's identity code.</param>
/// <param name="DocumentId">By which the document is known again: its id, one original each (Act 703/2023 §69).</param>
/// <param name="Hash">SHA-1 of the original, as its attachment has it.</param>
/// <param name="Report">Every attribute and text of the document.</param>
public sealed record AdaptedDocument(Bundle? Bundle, IReadOnlyList<string> Sources, string? Code, Identifier? DocumentId, byte[] Hash, LossReport Report, Fault? Fault);

/// <summary>CDA R2 documents, Finnish ones and C-CDA, as FHIR transactions. Pure.</summary>
/// <remarks>
/// A document becomes a Composition with the text of each section, the resources that its entries are where this reader knows them, and a
/// DocumentReference to the document itself, byte for byte. What an entry holds beyond that is in its section's text, and told so.
/// </remarks>
public static class CdaAdapter
{
    public const string Hl7 = "urn:hl7-org:v3", Finnish = "urn:hl7finland", ContentType = "application/hl7-cda+xml";

    /// <summary>Turns a document into a transaction.</summary>
    /// <param name="bytes">The document; the caller bounds its length.</param>
    /// <param name="organisation">Dotted OID of the sender, in whose register it is written.</param>
    public static AdaptedDocument Adapt(ReadOnlyMemory<byte> bytes, string organisation)
    {
        var hash = HashOf(bytes.Span);
        var (root, malformed) = CdaXml.Read(bytes);
        if (root is null)
            return new(null, [], null, null, hash, LossReport.Empty, malformed);
        if (root.Name != System.Xml.Linq.XName.Get("ClinicalDocument", Hl7))
            return new(null, [], null, null, hash, LossReport.Empty, new(FaultKind.Unprocessable, $"The document is no ClinicalDocument of {Hl7}.", "/"));
        var source = new CdaSource(root);
        var reading = new CdaReading(source, organisation, bytes, hash);
        var bundle = reading.Read();
        return new(bundle, bundle is null ? [] : reading.Sources, reading.Code, reading.DocumentId, hash, source.Report(), reading.Issues.Count > 0 ? new(FaultKind.Unprocessable, reading.Issues) : null);
    }

    /// <summary>SHA-1, as Attachment.hash is by the specification; what is stored is sealed by other means.</summary>
#pragma warning disable CA5350
    internal static byte[] HashOf(ReadOnlySpan<byte> bytes) => System.Security.Cryptography.SHA1.HashData(bytes);
#pragma warning restore CA5350
}
