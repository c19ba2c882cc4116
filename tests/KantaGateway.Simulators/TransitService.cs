using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;

namespace KantaGateway.Simulators;

/// <summary>
/// The Transit secrets engine as its documentation has it (developer.hashicorp.com/vault/api-docs/secret/transit): encrypt, decrypt, hmac, keys and rotate
/// of <c>aes256-gcm96</c> and <c>hmac</c> keys. It can be silent, and answer with another version than it was asked for.
/// </summary>
public sealed class TransitService(string token)
{
    private readonly Dictionary<string, Versions> _keys = [];
    private readonly Lock _turn = new();

    /// <summary>503, as while it is sealed.</summary>
    public bool IsSealed { get; set; }

    /// <summary>Seals with the version before the one that was asked for.</summary>
    public bool IsBehind { get; set; }

    /// <summary>Versions of a key, and those before which nothing is opened, or sealed and named.</summary>
    private sealed class Versions : List<byte[]>
    {
        public int MinDecryption { get; set; } = 1;

        public int MinEncryption { get; set; }
    }

    public void AddKey(string name) => _keys[name] = [RandomNumberGenerator.GetBytes(32)];

    public void Rotate(string name)
    {
        lock (_turn)
            _keys[name].Add(RandomNumberGenerator.GetBytes(32));
    }

    public void Map(IEndpointRouteBuilder app, string mount = "transit")
    {
        app.MapGet($"/v1/{mount}/keys/{{name}}", (HttpContext context, string name) => Answer(context, name, null, (keys, _) =>
            new JsonObject { ["name"] = name, ["latest_version"] = keys.Count, ["min_decryption_version"] = keys.MinDecryption, ["exportable"] = false }));
        app.MapPost($"/v1/{mount}/keys/{{name}}/rotate", (HttpContext context, string name) => Answer(context, name, null, (keys, _) =>
        {
            Rotate(name);
            return new JsonObject { ["name"] = name, ["latest_version"] = keys.Count, ["min_decryption_version"] = keys.MinDecryption };
        }));
        app.MapPost($"/v1/{mount}/keys/{{name}}/config", async (HttpContext context, string name) => Answer(context, name, await BodyAsync(context), (keys, body) =>
        {
            (keys.MinDecryption, keys.MinEncryption) = ((int?)body["min_decryption_version"] ?? keys.MinDecryption, (int?)body["min_encryption_version"] ?? keys.MinEncryption);
            return new JsonObject { ["name"] = name, ["latest_version"] = keys.Count, ["min_decryption_version"] = keys.MinDecryption };
        }));
        app.MapPost($"/v1/{mount}/keys/{{name}}/trim", async (HttpContext context, string name) => Answer(context, name, await BodyAsync(context), (keys, body) =>
        {
            // "This value can at most be equal to the lesser of min_decryption_version and min_encryption_version", neither of them zero.
            if ((int?)body["min_available_version"] is not { } first || first < 1 || first > Math.Min(keys.MinDecryption, keys.MinEncryption))
                return null;
            foreach (var key in keys.Take(first - 1))
                CryptographicOperations.ZeroMemory(key);
            return new JsonObject { ["name"] = name, ["latest_version"] = keys.Count, ["min_decryption_version"] = keys.MinDecryption };
        }));
        app.MapPost($"/v1/{mount}/encrypt/{{name}}", async (HttpContext context, string name) => Answer(context, name, await BodyAsync(context), (keys, body) =>
        {
            var version = (int?)body["key_version"] is > 0 and var asked ? asked : keys.Count;
            if (version > keys.Count)
                return null;
            version = IsBehind ? version - 1 : version;
            var plain = Convert.FromBase64String((string)body["plaintext"]!);
            var sealedBytes = new byte[12 + plain.Length + 16];
            RandomNumberGenerator.Fill(sealedBytes.AsSpan(0, 12));
            using var aes = new AesGcm(keys[Math.Max(0, version - 1)], 16);
            aes.Encrypt(sealedBytes.AsSpan(0, 12), plain, sealedBytes.AsSpan(12, plain.Length), sealedBytes.AsSpan(^16..), AssociatedIn(body));
            return new JsonObject { ["ciphertext"] = string.Create(CultureInfo.InvariantCulture, $"vault:v{version}:{Convert.ToBase64String(sealedBytes)}"), ["key_version"] = version };
        }));
        app.MapPost($"/v1/{mount}/decrypt/{{name}}", async (HttpContext context, string name) => Answer(context, name, await BodyAsync(context), (keys, body) =>
        {
            var parts = ((string)body["ciphertext"]!).Split(':');
            if (parts is not ["vault", ['v', .. var number], var text] || !int.TryParse(number, CultureInfo.InvariantCulture, out var version) || version < keys.MinDecryption || version > keys.Count)
                return null;
            var sealedBytes = Convert.FromBase64String(text);
            var plain = new byte[sealedBytes.Length - 28];
            using var aes = new AesGcm(keys[version - 1], 16);
            try
            {
                aes.Decrypt(sealedBytes.AsSpan(0, 12), sealedBytes.AsSpan(12, plain.Length), sealedBytes.AsSpan(^16..), plain, AssociatedIn(body));
            }
            catch (AuthenticationTagMismatchException)
            {
                return null;
            }
            return new JsonObject { ["plaintext"] = Convert.ToBase64String(plain) };
        }));
        app.MapPost($"/v1/{mount}/hmac/{{name}}/sha2-256", async (HttpContext context, string name) => Answer(context, name, await BodyAsync(context), (keys, body) =>
        {
            var version = (int?)body["key_version"] ?? keys.Count;
            // "cannot generate HMAC: version is too old (disallowed by policy)"
            if (version < 1 || version < keys.MinEncryption || version > keys.Count)
                return null;
            return new JsonObject { ["hmac"] = string.Create(CultureInfo.InvariantCulture, $"vault:v{version}:{Convert.ToBase64String(HMACSHA256.HashData(keys[version - 1], Convert.FromBase64String((string)body["input"]!)))}") };
        }));
    }

    private static byte[] AssociatedIn(JsonNode body) => (string?)body["associated_data"] is { } text ? Convert.FromBase64String(text) : [];

    private static async Task<JsonNode?> BodyAsync(HttpContext context)
    {
        using var reader = new StreamReader(context.Request.Body, Encoding.UTF8);
        return JsonNode.Parse(await reader.ReadToEndAsync());
    }

    /// <param name="answer">Null: 400, as for what it cannot do.</param>
    private IResult Answer(HttpContext context, string name, JsonNode? body, Func<Versions, JsonNode, JsonObject?> answer)
    {
        if (IsSealed)
            return Results.Json(new { errors = new[] { "Vault is sealed" } }, statusCode: StatusCodes.Status503ServiceUnavailable);
        if (!CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(context.Request.Headers["X-Vault-Token"].ToString()), Encoding.UTF8.GetBytes(token)))
            return Results.Json(new { errors = new[] { "permission denied" } }, statusCode: StatusCodes.Status403Forbidden);
        lock (_turn)
            return _keys.TryGetValue(name, out var keys) && answer(keys, body ?? new JsonObject()) is { } data
                ? Results.Json(new JsonObject { ["request_id"] = Guid.NewGuid().ToString(), ["data"] = data })
                : Results.Json(new { errors = new[] { "invalid ciphertext or key" } }, statusCode: StatusCodes.Status400BadRequest);
    }
}
