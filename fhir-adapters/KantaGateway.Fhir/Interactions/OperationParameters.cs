using System.Text.Json;
using KantaGateway.Fhir.Outcomes;

namespace KantaGateway.Fhir.Interactions;

/// <summary>Parameters of an operation (hl7.org/fhir/R4/operations.html#request): in the address, in a Parameters resource, or both. Pure.</summary>
public static class OperationParameters
{
    /// <summary>Most parameters of one request.</summary>
    public const int MaxCount = 50;

    /// <summary>All of them as one form, so that both ways of asking are the same question.</summary>
    /// <param name="query">Form-encoded, from the address; without <c>?</c>.</param>
    /// <param name="body">Parameters as FHIR JSON; empty for none.</param>
    /// <returns>One of the two.</returns>
    public static (string? Form, Fault? Fault) ToForm(string query, ReadOnlySpan<byte> body)
    {
        if (body.IsEmpty)
            return (query, null);
        var form = new List<string>(query.Length > 0 ? [query] : []);
        try
        {
            var reader = new Utf8JsonReader(body);
            using var document = JsonDocument.ParseValue(ref reader);
            var root = document.RootElement;
            if (root.ValueKind != JsonValueKind.Object || !root.TryGetProperty("resourceType", out var type) || type.ValueKind != JsonValueKind.String || !type.ValueEquals("Parameters"))
                return (null, new(FaultKind.Invalid, "The body of an operation is a Parameters resource.", "resourceType"));
            if (!root.TryGetProperty("parameter", out var parameters))
                return (query, null);
            if (parameters.ValueKind != JsonValueKind.Array || parameters.GetArrayLength() > MaxCount)
                return (null, new(FaultKind.Invalid, $"Parameters.parameter is a list of at most {MaxCount}.", "Parameters.parameter"));
            foreach (var parameter in parameters.EnumerateArray())
            {
                if (parameter.ValueKind != JsonValueKind.Object || TextOf(parameter, "name") is not { } name || ValueOf(parameter) is not { } value)
                    return (null, new(FaultKind.Invalid, "A parameter has a name and one value that is a text, a number, a truth value, a Coding, a CodeableConcept or a Reference.",
                        $"Parameters.parameter[{form.Count - (query.Length > 0 ? 1 : 0)}]"));
                form.Add($"{Uri.EscapeDataString(name)}={Uri.EscapeDataString(value)}");
            }
        }
        catch (JsonException)
        {
            return (null, new(FaultKind.Invalid, "The body is not well-formed JSON."));
        }
        return (string.Join('&', form), null);
    }

    private static string? ValueOf(JsonElement parameter)
    {
        string? found = null;
        foreach (var property in parameter.EnumerateObject())
        {
            if (!property.Name.StartsWith("value", StringComparison.Ordinal))
                continue;
            if (found is not null)
                return null;
            found = property.Value.ValueKind switch
            {
                JsonValueKind.String => property.Value.GetString(),
                JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => property.Value.GetRawText(),
                JsonValueKind.Object => TokenOf(property.Value),
                _ => null,
            };
            if (found is null)
                return null;
        }
        return found;
    }

    /// <summary>A code with its system, or the literal of a reference.</summary>
    private static string? TokenOf(JsonElement value)
    {
        if (value.TryGetProperty("coding", out var codings))
            return codings is { ValueKind: JsonValueKind.Array } && codings.GetArrayLength() == 1 && codings[0].ValueKind == JsonValueKind.Object ? TokenOf(codings[0]) : null;
        if (TextOf(value, "reference") is { } literal)
            return literal;
        return TextOf(value, "code") is { } code ? TextOf(value, "system") is { } system ? $"{system}|{code}" : code : null;
    }

    private static string? TextOf(JsonElement holder, string name) =>
        holder.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}
