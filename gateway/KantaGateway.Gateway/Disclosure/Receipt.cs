using System.Globalization;
using KantaGateway.Audit;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Under which entries of the audit log an answer stands. Every answer that gives something has one (2xx, 304), and no other: what is hidden is
/// answered like what is absent, without.
/// </summary>
public static class Receipt
{
    /// <summary>A list (RFC 8941 §3.1): index of each entry in the log, and as a parameter the entry's id, 32 hexadecimal digits.</summary>
    public const string Header = "Kanta-Receipt";

    /// <summary>An entry of a batch has its receipt in its response, in this extension: a header does not hold that of 2,000 entries.</summary>
    public const string Extension = "urn:kantagateway:receipt";

    public static string Of(IReadOnlyList<AuditReceipt> entries) =>
        string.Join(", ", entries.Select(static e => string.Create(CultureInfo.InvariantCulture, $"{e.Index};entry=\"{e.EntryId}\"")));
}
