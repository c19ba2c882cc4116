using System.Text.Json;
using System.Text.Json.Serialization;

namespace KantaGateway.Gateway.Identification;

/// <summary>How strictly answers of outside services are read: what is not exactly as agreed is no answer.</summary>
internal static class ServiceAnswers
{
    /// <param name="maxDepth">Most levels of JSON.</param>
    public static JsonSerializerOptions Format(int maxDepth) => new(JsonSerializerDefaults.Web)
    {
        PropertyNameCaseInsensitive = false,
        NumberHandling = JsonNumberHandling.Strict,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        AllowDuplicateProperties = false,
        MaxDepth = maxDepth,
    };
}
