using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Patching;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Formats;

/// <summary>Agrees with the caller on the format of body and answer (hl7.org/fhir/R4/http.html#mime-type, #parameters; RFC 9110 12).</summary>
public static class Negotiation
{
    /// <summary>Request headers that choose among answers of one address.</summary>
    public const string Vary = "Accept, Accept-Language";

    /// <summary>What has been agreed; before that, for a refusal, what the caller seems to read.</summary>
    public static Presentation Of(HttpContext context)
    {
        if (context.Items.TryGetValue(typeof(Presentation), out var agreed))
            return (Presentation)agreed!;
        var format = Accepted(context.Request) ?? FhirFormat.Json;
        var shape = context.Request.Query;
        return new(MediaTypes.FormatOf(shape["_format"].ToString().Split(';')[0].Replace(' ', '+')) ?? format, shape["_pretty"] == "true");
    }

    /// <summary>Agrees on the answer. After this <see cref="Of"/> tells it.</summary>
    /// <param name="type">Type that the address names; null where it names none.</param>
    /// <param name="further">Form-encoded parameters that are not in the URL: of a search's body, or of the search that a page link goes on with.</param>
    /// <returns>Why no answer could be read; null when all is well.</returns>
    public static Fault? Agree(HttpContext context, string? type, bool isSearch, string further)
    {
        var request = context.Request;
        var isInner = IsInner(context);
        FhirFormat? accepted = isInner ? FhirFormat.Json : Accepted(request);
        var inUrl = request.QueryString.HasValue ? request.Query.SelectMany(p => p.Value, (p, value) => (p.Key, value ?? "")) : [];
        var parameters = further.Length == 0 ? inUrl : inUrl.Concat(Unlike(inUrl, PresentationParameters.Parse(further)));
        if (isInner)
            parameters = parameters.Where(p => p.Item1 is not ("_format" or "_pretty"));
        var (presentation, fault) = PresentationParameters.Read(parameters, accepted ?? FhirFormat.Json, type, isSearch);
        if (presentation is null)
            return fault;
        // What the address asks for overrides what the client says that it can read.
        if (accepted is null && !request.Query.ContainsKey("_format") && !further.Contains("_format=", StringComparison.Ordinal))
            return new(FaultKind.NotAcceptable, $"Only JSON and XML are served: Accept {MediaTypes.Json} or {MediaTypes.Xml}.", "http.Accept");
        context.Items[typeof(Presentation)] = presentation;
        return null;

        // A page link's parameters give way to what the request to follow it says anew.
        static IEnumerable<(string, string)> Unlike(IEnumerable<(string Name, string)> first, IEnumerable<(string Name, string)> second)
        {
            var named = first.Where(p => PresentationParameters.Contains(p.Name)).Select(p => p.Name).ToHashSet();
            return second.Where(p => !named.Contains(p.Name));
        }
    }

    /// <summary>Marks a request that comes from inside, such as a batch's entry: its answer becomes part of another and stays JSON.</summary>
    public static void KeepJson(HttpContext context) => context.Items[typeof(Negotiation)] = true;

    private static bool IsInner(HttpContext context) => context.Items.ContainsKey(typeof(Negotiation));

    /// <summary>Checks what the body says that it is.</summary>
    /// <returns>The format of a resource; null for a form, a JSON Patch or no body. A fault when it is none of these.</returns>
    public static (FhirFormat? Format, Fault? Fault) OfBody(HttpRequest request, bool isSearch)
    {
        if (request.Method is not ("POST" or "PUT" or "PATCH"))
            return (null, null);
        var isTyped = MediaTypeHeaderValue.TryParse(request.ContentType, out var type);
        if (isTyped && type!.Charset.Value is { Length: > 0 } charset && !charset.Trim('"').Equals("utf-8", StringComparison.OrdinalIgnoreCase))
            return Refuse("FHIR JSON and XML are UTF-8.");
        if (isSearch)
            return request.ContentLength is 0 || (isTyped && type!.MediaType.Equals("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase))
                ? (null, null) : Refuse("A search body has Content-Type application/x-www-form-urlencoded.");
        if (request.Method == "PATCH" && ResourcePatch.IsJsonPatch(request.ContentType))
            return (null, null);
        if (!isTyped || MediaTypes.FormatOf(type!.MediaType.Value) is not { } format)
            return Refuse(request.Method == "PATCH"
                ? $"A patch has Content-Type {ResourcePatch.JsonPatchType}, or {MediaTypes.Json} or {MediaTypes.Xml} with Parameters (FHIRPath Patch)."
                : $"A resource has Content-Type {MediaTypes.Json} or {MediaTypes.Xml}.");
        return IsOurVersion(type!) ? (format, null) : Refuse($"FHIR R4 is served: fhirVersion={MediaTypes.FhirVersion}.");

        static (FhirFormat?, Fault?) Refuse(string diagnostics) => (null, new(FaultKind.UnsupportedMediaType, diagnostics, "http.Content-Type"));
    }

    /// <summary>The format that the caller would rather read; null when it reads neither.</summary>
    private static FhirFormat? Accepted(HttpRequest request)
    {
        var header = request.Headers.Accept;
        // What nearly every client says.
        if (header.Count == 0 || (header.Count == 1 && header[0] is MediaTypes.Json or "*/*" or "application/json" or ""))
            return header.Count == 0 && request.ContentType?.Contains("xml", StringComparison.Ordinal) == true ? FhirFormat.Xml : FhirFormat.Json;
        if (!MediaTypeHeaderValue.TryParseList(header, out var ranges))
            return FhirFormat.Json;
        var json = Weight(ranges, FhirFormat.Json);
        var xml = Weight(ranges, FhirFormat.Xml);
        return json.Quality <= 0 && xml.Quality <= 0 ? null : xml.CompareTo(json) > 0 ? FhirFormat.Xml : FhirFormat.Json;
    }

    /// <summary>Quality of a format by the most precise range that fits it; then how precise that is; then how early it stands.</summary>
    private static (double Quality, int Precision, int Earliness) Weight(IList<MediaTypeHeaderValue> ranges, FhirFormat format)
    {
        var weight = (Quality: 0.0, Precision: -1, Earliness: 0);
        for (var i = 0; i < ranges.Count; i++)
        {
            var range = ranges[i];
            var precision = range.MatchesAllTypes ? 0
                : range.MediaType.Equals("application/*", StringComparison.OrdinalIgnoreCase) ? 1
                : MediaTypes.FormatOf(range.MediaType.Value) == format && IsOurVersion(range) ? 2 : -1;
            // Several names of one format: the best of them.
            if (precision > weight.Precision || (precision == weight.Precision && precision >= 0 && (range.Quality ?? 1) > weight.Quality))
                weight = (range.Quality ?? 1, precision, -i);
        }
        return weight;
    }

    private static bool IsOurVersion(MediaTypeHeaderValue type)
    {
        foreach (var parameter in type.Parameters)
            if (parameter.Name.Equals("fhirVersion", StringComparison.OrdinalIgnoreCase))
                return parameter.Value.Value?.Trim('"').StartsWith(MediaTypes.FhirVersion, StringComparison.Ordinal) == true;
        return true;
    }
}
