using System.Net;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Interactions;

/// <summary>
/// <c>DocumentReference/$docref</c> (US Core and International Patient Access): which documents of a patient there are. Said as the
/// search that gives the same answer, so that there is one way to find a document. Pure.
/// </summary>
/// <remarks>hl7.org/fhir/us/core/OperationDefinition-docref.html: start and end are dates of care, so the period of the document's context.</remarks>
public static class DocumentQuery
{
    /// <param name="form">Parameters of the operation, form-encoded.</param>
    /// <returns>Parameters of a search of DocumentReference, or what is wrong.</returns>
    public static (string? Search, Fault? Fault) ToSearch(string form)
    {
        var (search, profiles) = (new List<string>(), new List<string>());
        foreach (var pair in form.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var (name, value) = pair.Split('=', 2) is [var n, var v] ? (WebUtility.UrlDecode(n), v) : (pair, "");
            switch (name)
            {
                case "patient" or "type" or "_count" or "_page" or "_format" or "_pretty" or "_summary" or "_elements":
                    search.Add(pair);
                    break;
                case "start":
                    search.Add("period=ge" + value);
                    break;
                case "end":
                    search.Add("period=le" + value);
                    break;
                case "profile":
                    profiles.Add(value);
                    break;
                case "on-demand" when value == "false":
                    break;
                case "on-demand":
                    return Wrong("No documents are made on demand here: leave on-demand out, or give false.");
                default:
                    return Wrong("$docref takes the parameters patient, start, end, type, profile and on-demand, and no other.");
            }

            (string?, Fault?) Wrong(string sentence) => (null, new(FaultKind.NotSupported, sentence, $"http.{name}"));
        }
        // Any of them will do.
        if (profiles.Count > 0)
            search.Add("_profile=" + string.Join(',', profiles));
        return (string.Join('&', search), null);
    }
}
