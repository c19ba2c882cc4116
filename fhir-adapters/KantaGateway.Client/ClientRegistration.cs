using System.Text.Json;
using System.Text.Json.Serialization;

namespace KantaGateway.Client;

/// <summary>How a clinic's system is registered: the <c>client.json</c> that it was given.</summary>
/// <param name="OrganisationOid">Dotted OID.</param>
/// <param name="TokenUrl">Token endpoint; also the audience of client assertions.</param>
/// <param name="FhirUrl">FHIR base.</param>
/// <param name="Scopes">SMART scopes, those of the system (<c>system/</c>) and of its professionals (<c>user/</c>).</param>
/// <param name="Kid">Key id of the registered signing key.</param>
/// <param name="Alg">ES384 or RS384.</param>
public sealed record ClientRegistration(
    [property: JsonPropertyName("client_id")] string ClientId,
    [property: JsonPropertyName("organisation_oid")] string OrganisationOid,
    [property: JsonPropertyName("controller_kind")] string ControllerKind,
    [property: JsonPropertyName("token_url")] Uri TokenUrl,
    [property: JsonPropertyName("fhir_url")] Uri FhirUrl,
    [property: JsonPropertyName("scopes")] IReadOnlyList<string> Scopes,
    [property: JsonPropertyName("kid")] string Kid,
    [property: JsonPropertyName("alg")] string Alg)
{
    /// <exception cref="InvalidDataException">The file holds no registration.</exception>
    public static ClientRegistration Load(string file)
    {
        try
        {
            return JsonSerializer.Deserialize<ClientRegistration>(File.ReadAllBytes(file)) ?? throw new InvalidDataException($"{Path.GetFileName(file)} is empty.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{Path.GetFileName(file)} is no client.json.", e);
        }
    }

    /// <summary>The scopes of one kind, as a token is asked for.</summary>
    /// <param name="prefix"><c>system/</c> or <c>user/</c>.</param>
    public string ScopesOf(string prefix) => string.Join(' ', Scopes.Where(s => s.StartsWith(prefix, StringComparison.Ordinal)));
}
