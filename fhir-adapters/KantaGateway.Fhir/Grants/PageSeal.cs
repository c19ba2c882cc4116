using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Identifiers;

namespace KantaGateway.Fhir.Grants;

/// <summary>Where a search or history stands between two pages.</summary>
/// <param name="Compartment">Encoded <see cref="Pseudonym"/>.</param>
/// <param name="Target">What is paged: <c>Observation</c> for a search, <c>Observation/id/_history</c> for a history.</param>
/// <param name="Query">The search parameters, form-encoded.</param>
/// <param name="After">Sequence number of the last row already given.</param>
/// <param name="Head">Head of the compartment when the first page was answered: all pages show that moment.</param>
/// <param name="DirectoryHead">Likewise of the directory; 0 where it plays no part.</param>
/// <param name="IsBefore">The page goes backwards: what it holds lies before <paramref name="After"/>, or is the end of all where that is 0.</param>
/// <param name="IsLenient">What the query has that is not understood is left out (<c>Prefer: handling=lenient</c>).</param>
public sealed record PageState(
    [property: JsonPropertyName("p")] string Compartment,
    [property: JsonPropertyName("t")] string Target,
    [property: JsonPropertyName("q")] string Query,
    [property: JsonPropertyName("a"), JsonConverter(typeof(FixedWidthNumber))] long After,
    [property: JsonPropertyName("h"), JsonConverter(typeof(FixedWidthNumber))] long Head = 0,
    [property: JsonPropertyName("d"), JsonConverter(typeof(FixedWidthNumber))] long DirectoryHead = 0,
    [property: JsonPropertyName("b")] bool IsBefore = false,
    [property: JsonPropertyName("l")] bool IsLenient = false);

/// <summary>
/// Always sixteen digits: how many digits a sequence number has, and so the length of a link, would tell how much
/// hidden lies before it.
/// </summary>
sealed class FixedWidthNumber : JsonConverter<long>
{
    public override long Read(ref Utf8JsonReader reader, Type type, JsonSerializerOptions options) =>
        long.Parse(reader.GetString()!, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    public override void Write(Utf8JsonWriter writer, long value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.ToString("x16", CultureInfo.InvariantCulture));
}

/// <summary>
/// Seals page links: AES-256-GCM with a random nonce, the caller as associated data. A link tells its holder nothing,
/// and in another caller's hands it opens nothing. Following one is a new request with its own decision. Thread-safe.
/// </summary>
public sealed class PageSeal
{
    /// <summary>Longest link that is sealed or opened, characters: with its address it must fit into the 8 KiB that servers take as a request line.</summary>
    public const int MaxLength = 7_900;

    private const int Nonce = 12, Tag = 16;

    // Without escapes that would lengthen a query; nothing of it is ever shown as HTML.
    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly byte[] _key;

    /// <param name="serverKey">The deployment's identifier key, as for <see cref="IdentifierCipher"/>.</param>
    public PageSeal(ReadOnlySpan<byte> serverKey) =>
        _key = HKDF.DeriveKey(HashAlgorithmName.SHA256, serverKey.ToArray(), 32, info: Encoding.ASCII.GetBytes("kanta page link"));

    /// <param name="caller"><see cref="Grant.Caller"/> of whom the page was answered to.</param>
    /// <returns>Null when it would be longer than <see cref="MaxLength"/>; that depends on the query alone.</returns>
    public string? Seal(PageState state, string caller)
    {
        var plain = JsonSerializer.SerializeToUtf8Bytes(state, Json);
        if (Base64Url.GetEncodedLength(Nonce + plain.Length + Tag) > MaxLength)
            return null;
        var sealedBytes = new byte[Nonce + plain.Length + Tag];
        RandomNumberGenerator.Fill(sealedBytes.AsSpan(0, Nonce));
        using var aes = new AesGcm(_key, Tag);
        aes.Encrypt(sealedBytes.AsSpan(0, Nonce), plain, sealedBytes.AsSpan(Nonce, plain.Length), sealedBytes.AsSpan(Nonce + plain.Length), Encoding.UTF8.GetBytes(caller));
        return Base64Url.EncodeToString(sealedBytes);
    }

    /// <summary>Opens a link for the caller it was made for; null for any other text or caller.</summary>
    public PageState? Open(string? link, string caller)
    {
        if (string.IsNullOrEmpty(link) || link.Length > MaxLength || !Base64Url.IsValid(link))
            return null;
        var bytes = Base64Url.DecodeFromChars(link);
        if (bytes.Length <= Nonce + Tag)
            return null;
        var plain = new byte[bytes.Length - Nonce - Tag];
        using var aes = new AesGcm(_key, Tag);
        try
        {
            aes.Decrypt(bytes.AsSpan(0, Nonce), bytes.AsSpan(Nonce, plain.Length), bytes.AsSpan(Nonce + plain.Length), plain, Encoding.UTF8.GetBytes(caller));
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
        return JsonSerializer.Deserialize<PageState>(plain, Json);
    }
}
