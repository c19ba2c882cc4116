using System.Security.Cryptography;

namespace KantaGateway.Gateway.Portal;

/// <summary>
/// The style sheet, font and script, embedded in the assembly so that every host serves the same bytes wherever it runs.
/// Addresses carry a digest of the content, so a browser may keep them for good.
/// </summary>
internal static class PortalAssets
{
    private sealed record Asset(string ContentType, byte[] Bytes, string Address);

    private static readonly Dictionary<string, Asset> ByName = new (string Name, string ContentType)[]
    {
        ("suomifi-design-tokens.css", "text/css; charset=utf-8"),
        ("portal.css", "text/css; charset=utf-8"),
        ("session.js", "text/javascript; charset=utf-8"),
        ("print.js", "text/javascript; charset=utf-8"),
        ("proof.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("source-sans-3.woff2", "font/woff2"),
        ("suomifi-design-tokens.LICENSE.txt", "text/plain; charset=utf-8"),
        ("source-sans-3.LICENSE.txt", "text/plain; charset=utf-8"),
    }.ToDictionary(a => a.Name, a => Load(a.Name, a.ContentType));

    /// <summary>Address of an asset.</summary>
    /// <exception cref="KeyNotFoundException">The portal has no such asset.</exception>
    public static string Address(string name) => ByName[name].Address;

    public static IEndpointConventionBuilder MapPortalAssets(this IEndpointRouteBuilder app) =>
        app.MapGet("/assets/{name}", (string name, HttpContext context) =>
        {
            if (!ByName.TryGetValue(name, out var asset))
                return Results.NotFound();
            // The font's address stands in the style sheet without a digest, so it is asked for anew now and then.
            context.Response.Headers.CacheControl = context.Request.Query.ContainsKey("v") ? "public, max-age=31536000, immutable" : "public, max-age=86400";
            return Results.Bytes(asset.Bytes, asset.ContentType);
        });

    private static Asset Load(string name, string contentType)
    {
        using var stream = typeof(PortalAssets).Assembly.GetManifestResourceStream($"wwwroot/{name}")
            ?? throw new InvalidOperationException($"The portal's {name} is not in the assembly.");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return new(contentType, bytes, $"/assets/{name}?v={Convert.ToHexStringLower(SHA256.HashData(bytes))[..12]}");
    }
}
