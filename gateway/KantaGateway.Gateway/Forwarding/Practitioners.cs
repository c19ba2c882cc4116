using System.Text;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Forwarding;

/// <inheritdoc />
/// <remarks>A FHIR search like any other, made and recorded as the professional's own.</remarks>
internal sealed class Practitioners(IInnerRequests requests) : IPractitioners
{
    // Terhikki and, for those whom it does not know, Kela's SV numbers.
    private static readonly string[] Systems = ["urn:oid:1.2.246.537.26", "urn:oid:1.2.246.537.25"];

    public async ValueTask<string?> FindAsync(Requester professional, CancellationToken cancel)
    {
        var number = professional.ProfessionalId!.Replace(@"\", @"\\", StringComparison.Ordinal).Replace(",", @"\,", StringComparison.Ordinal).Replace("|", @"\|", StringComparison.Ordinal).Replace("$", @"\$", StringComparison.Ordinal);
        var answer = await requests.SendAsync(professional, "POST", "Practitioner/_search",
            Encoding.UTF8.GetBytes("identifier=" + Uri.EscapeDataString(string.Join(',', Systems.Select(system => $"{system}|{number}")))), "application/x-www-form-urlencoded", cancel: cancel).ConfigureAwait(false);
        if (answer.Status != StatusCodes.Status200OK || answer.Manifest is not { } manifest)
            return null;
        // Every organisation enters whom it likes; whom another one calls by this number is nobody here.
        var own = manifest.Items.Where(item => item.Type == "Practitioner" && item.Controller == professional.Organisation.ToString()).Select(static item => item.Id).ToArray();
        return own is [var id] ? id : null;
    }
}
