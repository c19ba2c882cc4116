using System.Text.Json.Serialization;

namespace KantaGateway.Fhir.Grants;

/// <summary>What the gateway asks the repository for a preview: how much of a record some scopes would admit.</summary>
public sealed record PreviewQuestion
{
    /// <summary>What the asker sees of the record; the rest is not counted, as if it were not there.</summary>
    [JsonPropertyName("w")]
    public required DisclosureScope Within { get; init; }

    [JsonPropertyName("s")]
    public required IReadOnlyList<DisclosureScope> Scopes { get; init; }

    /// <summary>The one entry that is asked about; null: all.</summary>
    [JsonPropertyName("o")]
    public PreviewedEntry? Only { get; init; }
}

/// <param name="Type">FHIR resource type, not Patient, whose records have one id.</param>
/// <param name="Id">Logical id.</param>
public sealed record PreviewedEntry([property: JsonPropertyName("t")] string Type, [property: JsonPropertyName("i")] string Id);
