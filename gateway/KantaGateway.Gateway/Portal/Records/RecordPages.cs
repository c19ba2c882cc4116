using System.Runtime.CompilerServices;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Portal.Records;

/// <summary>One page of a record.</summary>
/// <param name="Entries">In the order of storing; none that a page before it had.</param>
/// <param name="IsLast">There is no page after it.</param>
internal sealed record RecordPage(IReadOnlyList<Entry> Entries, bool IsLast);

/// <summary>
/// Reads the record with <c>$everything</c>, through the same steps as every other request: what the citizen may see of it, and the entries of the directory that it refers to. A page
/// is asked for when it is wanted, so that no record is too long to be read.
/// </summary>
internal sealed class RecordPages(IInnerRequests requests, IdentifierCipher ids, IHttpContextAccessor outer)
{
    /// <summary>Entries on a page: the most that the repository gives.</summary>
    private const int Size = 1000;

    /// <summary>The record of the person, oldest first; no page where no place of care has registered her.</summary>
    /// <param name="types">FHIR types; none: all.</param>
    /// <exception cref="RefusedException">An answer was not a success.</exception>
    public IAsyncEnumerable<RecordPage> OfPersonAsync(Requester citizen, IEnumerable<string> types, CancellationToken cancel = default) =>
        ReadAsync(citizen, $"Patient/{ids.PatientId(citizen.Person ?? throw new InvalidOperationException("A citizen's session names no person."))}", types, cancel);

    /// <summary>A visit and what refers to it; no page where there is none of that id.</summary>
    /// <exception cref="RefusedException">An answer was not a success.</exception>
    public IAsyncEnumerable<RecordPage> OfVisitAsync(Requester citizen, string id, IEnumerable<string> types, CancellationToken cancel = default) =>
        ReadAsync(citizen, $"Encounter/{id}", types, cancel);

    private async IAsyncEnumerable<RecordPage> ReadAsync(Requester citizen, string of, IEnumerable<string> types, [EnumeratorCancellation] CancellationToken cancel)
    {
        var given = new HashSet<(string, string)>();
        var answer = await requests.SendAsync(citizen, "POST", $"{of}/$everything", Parameters([.. types]), cancel: cancel);
        if (answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status410Gone)
            yield break;
        while (true)
        {
            FhirAnswers.RequireSuccess(answer);
            // Where its values are in a page takes more memory than the page, which goes back when the request is over.
            var document = JsonDocument.Parse(answer.Body);
            outer.HttpContext?.Response.RegisterForDispose(document);
            var bundle = document.RootElement;
            var controllers = (answer.Manifest?.Items ?? []).ToDictionary(i => (i.Type, i.Id), i => i.Controller);
            // A page brings what of the directory it refers to, whether or not one before it did.
            var entries = bundle.Each("entry").Select(e => e.At("resource")).OfType<JsonElement>()
                .Select(r => (Type: r.String("resourceType"), Id: r.String("id"), Resource: r)).Where(r => r.Type is not null && r.Id is not null && given.Add((r.Type, r.Id)))
                .Select(r => new Entry(r.Type!, r.Id!, controllers.GetValueOrDefault((r.Type!, r.Id!), ""), null, r.Resource)).ToList();
            var next = FhirAnswers.NextPage(bundle);
            yield return new(entries, next is null);
            if (next is null)
                yield break;
            answer = await requests.SendAsync(citizen, "GET", next, cancel: cancel);
        }
    }

    private static byte[] Parameters(IReadOnlyList<string> types)
    {
        var (count, wanted) = (new { name = "_count", valueInteger = Size }, new { name = "_type", valueString = string.Join(',', types) });
        return JsonSerializer.SerializeToUtf8Bytes(new { resourceType = "Parameters", parameter = types.Count == 0 ? (object[])[count] : [count, wanted] });
    }
}
