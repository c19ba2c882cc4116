using System.Buffers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Formats;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>Reads the body of a request: once, whole, up to <see cref="InteractionReader.MaxBody"/>.</summary>
static class RequestBody
{
    /// <summary>The whole body, decompressed.</summary>
    public static async ValueTask<(ReadOnlyMemory<byte> Body, Fault? Fault)> ReadAsync(HttpRequest request, CancellationToken cancel)
    {
        if (request.Method is not ("POST" or "PUT" or "PATCH"))
            return (default, null);
        var (stream, unknown) = Compression.Decode(request);
        if (unknown is not null)
            return (default, unknown);
        var isCompressed = stream != request.Body;
        var length = request.ContentLength is { } l and <= InteractionReader.MaxBody ? (int)l : 0;
        var buffer = new ArrayBufferWriter<byte>(Math.Max(length, 256));
        long total = 0;
        int read;
        try
        {
            do
            {
                read = await stream.ReadAsync(buffer.GetMemory(16 * 1024), cancel);
                buffer.Advance(read);
                total += read;
            }
            while (read > 0 && total <= InteractionReader.MaxBody);
        }
        // So the decoders say that it is none of theirs.
        catch (Exception e) when (isCompressed && e is InvalidDataException or InvalidOperationException)
        {
            return (default, new(FaultKind.Invalid, $"The body is not {request.Headers.ContentEncoding}, as Content-Encoding says.", "http.Content-Encoding"));
        }
        if (total > InteractionReader.MaxBody)
        {
            // What is left is read as it came and thrown away: the caller gets an answer instead of a broken connection,
            // and what would unfold to gigabytes does not.
            var scrap = new byte[64 * 1024];
            while (await request.Body.ReadAsync(scrap, cancel) > 0)
                continue;
            return (default, new(FaultKind.TooLarge, $"The body is larger than {InteractionReader.MaxBody / (1024 * 1024)} MiB. Split it into several transactions."));
        }
        if (isCompressed)
        {
            request.Headers.Remove("Content-Encoding");
            Resize(request, buffer.WrittenCount);
        }
        return (buffer.WrittenMemory, null);
    }

    /// <summary>The parameters of a search that is posted; false: it is no form, or has too many or too long ones.</summary>
    public static bool TryReadForm(ReadOnlyMemory<byte> body, out Dictionary<string, StringValues> form)
    {
        form = [];
        try
        {
            using var reader = new FormReader(System.Text.Encoding.UTF8.GetString(body.Span));
            form = reader.ReadForm();
            return true;
        }
        catch (InvalidDataException)
        {
            return false;
        }
    }

    /// <summary>The body that goes on to the repository is another than came in.</summary>
    public static void Resize(HttpRequest request, int length)
    {
        request.Headers.Remove("Transfer-Encoding");
        request.ContentLength = length;
    }

    /// <summary>A body where none belongs would be promised to the repository by its headers and never sent.</summary>
    public static bool IsNeedless(HttpRequest request) => request.Method is not ("POST" or "PUT" or "PATCH") && request.ContentLength is not 0
        && request.HttpContext.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true;
}
