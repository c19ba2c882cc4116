using System.IO.Compression;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Outcomes;
using Microsoft.AspNetCore.ResponseCompression;
using Microsoft.Extensions.Options;

namespace KantaGateway.Gateway.Formats;

/// <summary>gzip and brotli: of what is answered on FHIR paths, and of the bodies that come in there.</summary>
/// <remarks>
/// BREACH needs a browser that sends a secret along with what an attacker lets it ask; callers here hold tokens bound to
/// their certificate, and no answer repeats one. The portal, where cookies are, is never compressed.
/// </remarks>
public static class Compression
{
    /// <summary>Smallest answer that is worth the work, bytes: it fits into one packet.</summary>
    public const int MinLength = 1_400;

    public static void AddCompression(this IServiceCollection services)
    {
        services.AddSingleton<IResponseCompressionProvider, OfLargeAnswers>();
        services.AddResponseCompression(options =>
        {
            options.EnableForHttps = true;
            options.MimeTypes = [MediaTypes.Json, MediaTypes.Xml];
            options.Providers.Add<BrotliCompressionProvider>();
            options.Providers.Add<GzipCompressionProvider>();
        });
        // Records leave once; their size on the wire matters less than the time of the cores.
        services.Configure<BrotliCompressionProviderOptions>(o => o.Level = CompressionLevel.Fastest);
        services.Configure<GzipCompressionProviderOptions>(o => o.Level = CompressionLevel.Fastest);
    }

    /// <summary>Compresses answers under <c>/fhir</c> for callers who accept it; the first byte still waits for its record.</summary>
    public static void UseFhirCompression(this IApplicationBuilder app) =>
        app.UseWhen(c => c.Request.Headers.AcceptEncoding.Count > 0 && c.Request.Path.StartsWithSegments("/fhir"), fhir => fhir.UseResponseCompression());

    /// <summary>A request's body without its content encoding.</summary>
    /// <returns>A stream of what it really holds, of any length: the reader must bound it. A fault for an encoding that is not known.</returns>
    public static (Stream Body, Fault? Fault) Decode(HttpRequest request) => request.Headers.ContentEncoding.ToString().Trim().ToLowerInvariant() switch
    {
        "" or "identity" => (request.Body, null),
        "gzip" or "x-gzip" => (new GZipStream(request.Body, CompressionMode.Decompress, leaveOpen: true), null),
        "br" => (new BrotliStream(request.Body, CompressionMode.Decompress, leaveOpen: true), null),
        _ => (Stream.Null, new(FaultKind.UnsupportedMediaType, "A body may be compressed once, with gzip or br.", "http.Content-Encoding")),
    };

    private sealed class OfLargeAnswers(IServiceProvider services, IOptions<ResponseCompressionOptions> options) : ResponseCompressionProvider(services, options)
    {
        // Octets of a content are what their tag and positions say: they leave as they are, whatever their type.
        public override bool ShouldCompressResponse(HttpContext context) => context.Response.Headers.AcceptRanges.Count == 0 && context.Response.ContentLength is null or >= MinLength && base.ShouldCompressResponse(context);
    }
}
