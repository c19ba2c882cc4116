using System.Text.Json;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;

namespace KantaGateway.Gateway.Portal;

/// <summary>The answer to one of the portal's own FHIR requests was not a success.</summary>
/// <param name="status">HTTP status of the answer.</param>
internal sealed class RefusedException(int status) : Exception($"The request was refused with {status}.")
{
    public int Status => status;
}

/// <summary>Reads what inner FHIR requests answer.</summary>
internal static class FhirAnswers
{
    /// <exception cref="RefusedException">The status is not 2xx.</exception>
    public static void RequireSuccess(FhirAnswer answer)
    {
        if (answer.Status is < 200 or >= 300)
            throw new RefusedException(answer.Status);
    }

    /// <summary>The resource of a 2xx answer.</summary>
    /// <exception cref="RefusedException">The status is not 2xx.</exception>
    public static JsonElement Success(FhirAnswer answer)
    {
        RequireSuccess(answer);
        return JsonElement.Parse(answer.Body);
    }

    /// <summary>Path and query of a Bundle's next page under the FHIR base; null on the last one.</summary>
    public static string? NextPage(JsonElement bundle)
    {
        const string Base = "/fhir/";
        var link = bundle.Each("link").FirstOrDefault(l => l.String("relation") == "next").String("url");
        var at = link?.IndexOf(Base, StringComparison.Ordinal) ?? -1;
        return at < 0 ? null : link![(at + Base.Length)..];
    }
}
