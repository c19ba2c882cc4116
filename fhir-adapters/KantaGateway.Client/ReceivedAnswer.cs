using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace KantaGateway.Client;

/// <summary>Under which entry of the audit log an answer stands.</summary>
/// <param name="Index">In the log, from 0.</param>
/// <param name="Entry">Id of the entry: the first half of what the log has published of it, in hexadecimal.</param>
public readonly record struct ReceivedReceipt(long Index, string Entry);

/// <summary>An answer to a FHIR request, or one to an entry of a batch, as far as receipts go.</summary>
/// <param name="What">Method, path and status, for messages; without parameters.</param>
/// <param name="Gives">Whether it gave something: such an answer has a receipt, and no other has.</param>
public sealed partial record ReceivedAnswer(string What, bool Gives, IReadOnlyList<ReceivedReceipt> Receipts)
{
    private const string Header = "Kanta-Receipt", Extension = "urn:kantagateway:receipt";

    /// <summary>Answers to the entries of a batch, whose own answer has no receipt; empty where it came as XML.</summary>
    public IReadOnlyList<ReceivedAnswer> Entries { get; private init; } = [];

    /// <summary>Null for what is no FHIR request about data, and for what is sent to an adapter: it answers with a report, and the requests that it makes of what was sent are recorded as such.</summary>
    /// <exception cref="InvalidDataException">A receipt is not of the form that is documented.</exception>
    internal static async Task<ReceivedAnswer?> OfAsync(HttpRequestMessage request, HttpResponseMessage response, CancellationToken cancel)
    {
        var path = request.RequestUri!.AbsolutePath;
        if (!path.StartsWith("/fhir", StringComparison.Ordinal) || path.StartsWith("/fhir/metadata", StringComparison.Ordinal) || path.StartsWith("/fhir/.well-known", StringComparison.Ordinal))
            return null;
        if (path.Split('/').ElementAtOrDefault(2) is "$hl7v2" or "$cda" or "$table")
            return null;
        var status = (int)response.StatusCode;
        var what = $"{request.Method} {path.Split('/').ElementAtOrDefault(2)} {status}";
        ReadOnlyMemory<byte> body = default;
        if (path.TrimEnd('/') == "/fhir" && status is >= 200 and < 300)
        {
            await response.Content.LoadIntoBufferAsync(cancel).ConfigureAwait(false);
            body = await response.Content.ReadAsByteArrayAsync(cancel).ConfigureAwait(false);
        }
        var isBatch = body.Span.IndexOf("\"batch-response\""u8) >= 0;
        var given = response.Headers.NonValidated.TryGetValues(Header, out var values) ? string.Join(", ", values) : "";
        return new(what, !isBatch && status is >= 200 and < 400, Parse(given)) { Entries = isBatch && body.Span[0] == '{' ? EntriesOf(body) : [] };
    }

    private static ReceivedAnswer[] EntriesOf(ReadOnlyMemory<byte> bundle)
    {
        using var document = JsonDocument.Parse(bundle);
        return [.. document.RootElement.GetProperty("entry").EnumerateArray().Select((entry, i) =>
        {
            var response = entry.GetProperty("response");
            var status = response.GetProperty("status").GetString() ?? "";
            var receipt = response.TryGetProperty("extension", out var extensions)
                ? extensions.EnumerateArray().Single(e => e.GetProperty("url").GetString() == Extension).GetProperty("valueString").GetString() : null;
            return new ReceivedAnswer($"entry {i} of a batch {status}", status.Length > 0 && status[0] is '2' or '3', Parse(receipt ?? ""));
        })];
    }

    /// <exception cref="InvalidDataException">It is not of the form that is documented.</exception>
    private static ReceivedReceipt[] Parse(string text) => text.Length == 0 ? [] : [.. text.Split(", ").Select(one => Form().Match(one) is { Success: true, Groups: var parts }
        ? new ReceivedReceipt(long.Parse(parts[1].ValueSpan, CultureInfo.InvariantCulture), parts[2].Value) : throw new InvalidDataException("A receipt of another form."))];

    [GeneratedRegex("^(0|[1-9][0-9]{0,14});entry=\"([0-9a-f]{32})\"$")]
    private static partial Regex Form();
}
