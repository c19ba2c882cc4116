using Hl7.Fhir.Model;
using KantaGateway.Fhir.Cda;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;
using Task = System.Threading.Tasks.Task;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>
/// GET <c>Composition/[id]/$cda</c>: a Composition and what it refers to, as a CDA R2 document. They are searched for by the caller, so that the caller gets what a search would give, decided and
/// recorded as one; only then a document is made of it.
/// </summary>
sealed class CompositionDocuments(IInnerRequests inner, DisclosureAudit audit)
{
    /// <summary>What a search brings with a Composition, the received original among it; entries of nested sections it does not find.</summary>
    private const string Includes = "&_include=Composition:subject&_include=Composition:encounter&_include=Composition:author&_include=Composition:attester&_include=Composition:entry&_revinclude=DocumentReference:related";

    /// <summary>Ids of one search, within <see cref="InteractionReader.MaxSearch"/>.</summary>
    private const int IdsAtOnce = 100;

    public async Task InvokeAsync(HttpContext context)
    {
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;
        if (InteractionReader.CheckUrl(context.Request) is { } badUrl)
        {
            await audit.RefuseAsync(context, requester, null, badUrl, "malformed");
            return;
        }
        var id = (string)context.Request.RouteValues["id"]!;
        var headers = AdapterEndpoints.PassedOn(context);
        var answer = await SearchAsync("Composition", $"_id={Uri.EscapeDataString(id)}{Includes}");
        var found = answer.Status == StatusCodes.Status200OK ? (Bundle)ResourceParser.Parse(answer.Body).Resource! : new();
        if (!found.Entry.Exists(static e => e.Resource is Composition))
        {
            // What is not found is read, so that it is answered as it is to who reads it: what is hidden like what is absent, and what was deleted as gone.
            if (answer.Status is StatusCodes.Status200OK or StatusCodes.Status400BadRequest)
                answer = await inner.SendAsync(requester, "GET", $"Composition/{Uri.EscapeDataString(id)}", headers: headers, cancel: context.RequestAborted);
            if (answer.Status == StatusCodes.Status200OK)
                await audit.RefuseAsync(context, requester, null, Fault.Absent, "not found");
            else
                await AdapterAnswers.PassOnAsync(context, answer, []);
            return;
        }
        var receipts = new List<string> { answer.Headers[Receipt.Header].ToString() };
        foreach (var (type, ids) in NestedEntries(found))
        {
            var more = await SearchAsync(type, $"_id={string.Join(',', ids)}&_count={IdsAtOnce}");
            // All are ids that were never given out.
            if (more.Status == StatusCodes.Status400BadRequest)
                continue;
            if (more.Status != StatusCodes.Status200OK)
            {
                await AdapterAnswers.PassOnAsync(context, more, []);
                return;
            }
            receipts.Add(more.Headers[Receipt.Header].ToString());
            found.Entry.AddRange(((Bundle)ResourceParser.Parse(more.Body).Resource!).Entry);
        }
        var (document, fault) = CdaWriter.Write(found);
        if (document is null)
        {
            await audit.RefuseAsync(context, requester, null, fault!, "no document");
            return;
        }
        context.Response.Headers[Receipt.Header] = string.Join(", ", receipts.Where(static r => r.Length > 0));
        context.Response.Headers.Vary = Formats.Negotiation.Vary;
        if (MediaTypeHeaderValue.TryParseList(context.Request.Headers.Accept, out var accepted) && accepted.Any(static range => range.MediaType.Equals(CdaAdapter.ContentType, StringComparison.OrdinalIgnoreCase)))
        {
            await AdapterAnswers.WriteAsync(context, StatusCodes.Status200OK, document.Bytes, CdaAdapter.ContentType);
            return;
        }
        var parameters = new Parameters();
        parameters.Parameter.Add(new() { Name = "document", Resource = new Binary { ContentType = CdaAdapter.ContentType, Data = document.Bytes } });
        parameters.Parameter.AddRange(AdapterAnswers.Of(document.Report));
        await AdapterAnswers.WriteAsync(context, parameters);

        Task<FhirAnswer> SearchAsync(string type, string form) =>
            inner.SendAsync(requester, "POST", type + "/_search", System.Text.Encoding.UTF8.GetBytes(form), "application/x-www-form-urlencoded", headers, context.RequestAborted);
    }

    /// <summary>What sections within sections refer to and the first search has not brought, by type.</summary>
    private static IReadOnlyList<(string Type, string[] Ids)> NestedEntries(Bundle found)
    {
        var known = found.Entry.Select(static e => $"{e.Resource!.TypeName}/{e.Resource.Id}").ToHashSet(StringComparer.Ordinal);
        var nested = found.Entry.Select(static e => e.Resource).OfType<Composition>().First().Section.SelectMany(static section => section.Section).SelectMany(WithNested).SelectMany(static section => section.Entry);
        return
        [
            .. nested.Select(static entry => References.TryReadLocal(entry.Reference ?? "", out var type, out var id) ? (Type: type!, Id: id!) : default).Where(one => ResourceTypes.IsServed(one.Type) && !known.Contains($"{one.Type}/{one.Id}"))
                .Distinct().GroupBy(static one => one.Type, static one => one.Id, StringComparer.Ordinal).SelectMany(static group => group.Chunk(IdsAtOnce).Select(ids => (group.Key, ids))),
        ];

        static IEnumerable<Composition.SectionComponent> WithNested(Composition.SectionComponent section) => section.Section.SelectMany(WithNested).Prepend(section);
    }
}
