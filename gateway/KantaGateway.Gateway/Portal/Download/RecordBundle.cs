using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using KantaGateway.Gateway.Formats;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Portal.Records;

namespace KantaGateway.Gateway.Portal.Download;

/// <summary>The whole record as one FHIR Bundle, a collection, in the bytes in which it is stored (EHDS Art. 3, 7; GDPR Art. 15, 20).</summary>
/// <remarks>It goes out while it is read: of a record of any length one page is in memory.</remarks>
internal sealed class RecordBundle(IInnerRequests requests, Texts texts, GatewayOptions options, TimeProvider time)
{
    /// <param name="pages">Of the whole record, oldest first.</param>
    /// <exception cref="RefusedException">A content was refused: the file is not whole, and must not end as if it were.</exception>
    public async Task WriteAsync(PipeWriter file, Requester citizen, IAsyncEnumerable<RecordPage> pages, CancellationToken cancel)
    {
        var id = Guid.NewGuid();
        file.Write(JsonSerializer.SerializeToUtf8Bytes(new JsonObject
        {
            ["resourceType"] = "Bundle",
            ["id"] = id.ToString("D"),
            ["identifier"] = new JsonObject { ["system"] = "urn:ietf:rfc:3986", ["value"] = $"urn:uuid:{id:D}" },
            ["type"] = "collection",
            ["timestamp"] = Dates.Machine(time.GetUtcNow()),
        }).AsSpan()[..^1]);
        file.Write(",\"entry\":["u8);
        Say(file, $"{texts["incomplete.title"]}. {texts["incomplete.text"]} {texts["incomplete.later"]}");
        var left = 0;
        await foreach (var page in pages.WithCancellation(cancel))
        {
            foreach (var entry in page.Entries)
            {
                var whole = entry;
                if (entry.Type == "Binary" && entry.Resource.String("data") is null)
                    if (await ContentAsync(citizen, entry, cancel) is { } content)
                        whole = content;
                    else
                        left++;
                file.Write(","u8);
                Write(file, AddressOf(whole), JsonMarshal.GetRawUtf8Value(whole.Resource));
            }
            await file.FlushAsync(cancel);
        }
        if (left > 0)
        {
            file.Write(","u8);
            Say(file, texts.Count("download.left", left));
        }
        file.Write("]}"u8);
        await file.FlushAsync(cancel);
    }

    /// <summary>A Binary with its content, which pages give without where it was sent as a file.</summary>
    /// <returns>Null where it is too large for a resource, or gone.</returns>
    private async Task<Entry?> ContentAsync(Requester citizen, Entry binary, CancellationToken cancel)
    {
        var answer = await requests.SendAsync(citizen, "GET", $"Binary/{binary.Id}", cancel: cancel);
        return answer.Status is StatusCodes.Status404NotFound or StatusCodes.Status406NotAcceptable or StatusCodes.Status410Gone ? null : binary with { Resource = FhirAnswers.Success(answer) };
    }

    private string AddressOf(Entry entry) => $"{options.PublicAddress}/fhir/{entry.Type}/{entry.Id}";

    /// <summary>What is said of the file, as the entry by which FHIR says things to people.</summary>
    private static void Say(PipeWriter file, string text) => Write(file, $"urn:uuid:{Guid.NewGuid():D}", JsonSerializer.SerializeToUtf8Bytes(new JsonObject
    {
        ["resourceType"] = "OperationOutcome",
        ["issue"] = new JsonArray(new JsonObject { ["severity"] = "information", ["code"] = "informational", ["details"] = new JsonObject { ["text"] = text } }),
    }));

    private static void Write(PipeWriter file, string address, ReadOnlySpan<byte> resource)
    {
        file.Write("{\"fullUrl\":\""u8);
        file.Write(Encoding.UTF8.GetBytes(address));
        file.Write("\",\"resource\":"u8);
        file.Write(resource);
        file.Write("}"u8);
    }
}
