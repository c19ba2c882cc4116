using System.Text.Json;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>Entries of one kind and place in a record, and how many of them each viewer would see.</summary>
/// <param name="Type">FHIR resource type.</param>
/// <param name="Controller">OID of the data controller.</param>
/// <param name="Register">As <see cref="Fhir.Grants.Register"/> names it.</param>
/// <param name="ServiceEvent">OID; null: of none.</param>
/// <param name="Count">How many there are.</param>
/// <param name="Seen">How many are seen, for each viewer in turn.</param>
public sealed record PreviewedEntries(string Type, string Controller, string Register, string? ServiceEvent, int Count, IReadOnlyList<int> Seen);

/// <summary>Asks the repository what would be seen of a record, for the person whose record it is.</summary>
/// <remarks>The scopes are those of <see cref="Preview"/>, and what admits an entry there is what admits it to a real request.</remarks>
public sealed class PolicyPreview(PolicyRequests requests)
{
    /// <summary>How many entries of each kind and place each scope admits, of those that the asker sees.</summary>
    /// <param name="citizen">The person, who represents them, or an app of theirs.</param>
    /// <param name="person">Whose record it is.</param>
    /// <param name="question">At most eight scopes.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="Fhir.Outcomes.FaultException">The repository cannot be reached.</exception>
    public async Task<IReadOnlyList<PreviewedEntries>> CountAsync(Requester citizen, Pseudonym person, PreviewQuestion question, CancellationToken cancel) =>
        await requests.AskAsync(citizen, person, "/preview", JsonContent.Create(question, options: JsonSerializerOptions.Default),
            static answer => answer.Deserialize<PreviewedEntries[]>(JsonSerializerOptions.Web) ?? throw new JsonException(), cancel);
}
