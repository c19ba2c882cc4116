using System.Text.Json;

namespace KantaGateway.Gateway.Formats;

/// <summary>Steps into FHIR JSON that end in null where an element is missing or of another kind.</summary>
internal static class Json
{
    public static JsonElement? At(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    public static string? String(this JsonElement element, string name) =>
        element.At(name) is { ValueKind: JsonValueKind.String } value && value.GetString() is { Length: > 0 } text ? text : null;

    /// <summary>The items of an array, the element itself when it is none, nothing when it is missing.</summary>
    public static IEnumerable<JsonElement> Each(this JsonElement element, string name) => element.At(name) switch
    {
        { ValueKind: JsonValueKind.Array } array => array.EnumerateArray(),
        { } single => [single],
        null => [],
    };
}
