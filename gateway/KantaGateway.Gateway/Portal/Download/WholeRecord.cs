using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>
/// The whole record of the person by <c>$everything</c>, through the same steps as every other request: what the citizen may see of it, and the entries of the
/// directory that it refers to. Page by page, so that no record is too long to be given.
/// </summary>
internal sealed class WholeRecord(IInnerRequests requests, IdentifierCipher ids)
{
    private const int PageSize = 1000;

    /// <summary>Oldest first, each entry once.</summary>
    /// <param name="types">FHIR types; none: all.</param>
    /// <exception cref="RefusedException">An answer was not a success.</exception>
    public async IAsyncEnumerable<IReadOnlyList<Entry>> ReadAsync(Requester citizen, IReadOnlyList<string> types, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var given = new HashSet<(string, string)>();
        var answer = await requests.SendAsync(citizen, "POST", $"Patient/{ids.PatientId(citizen.Person!.Value)}/$everything", Parameters(types), cancel: cancel);
        // No place of care has registered the person.
        if (answer.Status == StatusCodes.Status404NotFound)
            yield break;
        while (true)
        {
            var bundle = FhirAnswers.Success(answer);
            var controllers = (answer.Manifest?.Items ?? []).ToDictionary(i => (i.Type, i.Id), i => i.Controller);
            // A page brings what of the directory it refers to, whether or not one before it did.
            yield return
            [
                .. bundle.Each("entry").Select(e => e.At("resource")).OfType<JsonElement>()
                    .Select(r => (Type: r.String("resourceType"), Id: r.String("id"), Resource: r)).Where(r => r.Type is not null && r.Id is not null && given.Add((r.Type, r.Id)))
                    .Select(r => new Entry(r.Type!, r.Id!, controllers.GetValueOrDefault((r.Type!, r.Id!), ""), null, r.Resource)),
            ];
            if (FhirAnswers.NextPage(bundle) is not { } next)
                yield break;
            answer = await requests.SendAsync(citizen, "GET", next, cancel: cancel);
        }
    }

    /// <summary>A Binary with its content, which pages give without where it was sent as a file.</summary>
    /// <returns>Null where it is too large for a resource, or gone.</returns>
    /// <exception cref="RefusedException">The answer was neither a success nor says that.</exception>
    public async Task<Entry?> ContentAsync(Requester citizen, Entry binary, CancellationToken cancel)
    {
        var answer = await requests.SendAsync(citizen, "GET", $"Binary/{binary.Id}", cancel: cancel);
        return answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status406NotAcceptable or StatusCodes.Status410Gone ? null : binary with { Resource = FhirAnswers.Success(answer) };
    }

    private static byte[] Parameters(IReadOnlyList<string> types)
    {
        var parameters = new JsonArray(new JsonObject { ["name"] = "_count", ["valueInteger"] = PageSize });
        if (types.Count > 0)
            parameters.Add(new JsonObject { ["name"] = "_type", ["valueString"] = string.Join(',', types) });
        return JsonSerializer.SerializeToUtf8Bytes(new JsonObject { ["resourceType"] = "Parameters", ["parameter"] = parameters });
    }

    /// <summary>Whether its content has to be asked for.</summary>
    public static bool LacksContent(Entry entry) => entry.Type == "Binary" && entry.Resource.String("data") is null;
}
