using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;

namespace KantaGateway.Repository.Interactions;

/// <summary>A complete answer: nothing that can fail is left to do when its first byte is sent.</summary>
sealed record Answer(int Status, ReadOnlyMemory<byte> Body, IReadOnlyList<ManifestItem> Items)
{
    public const string FhirJson = "application/fhir+json; charset=utf-8";

    /// <summary>Bytes of resources on one page of a search or history; a page holds at least one, however large.</summary>
    public const int MaxPage = 8 << 20;

    public string ContentType { get; init; } = FhirJson;
    public string? ETag { get; init; }
    public DateTimeOffset? LastModified { get; init; }
    public string? Location { get; init; }

    /// <summary>Whether it carries a manifest: every answer of the FHIR API does, an empty one too.</summary>
    public bool HasManifest { get; init; } = true;

    public async Task WriteAsync(HttpContext context)
    {
        var response = context.Response;
        response.StatusCode = Status;
        var headers = response.Headers;
        if (ETag is not null)
            headers.ETag = ETag;
        if (LastModified is { } modified)
            headers.LastModified = modified.ToString("R");
        if (Location is not null)
            headers.Location = Location;
        if (HasManifest)
            headers[InternalHeaders.Manifest] = DisclosureManifest.Of(Items, Body.Span).Encode();
        if (Body.IsEmpty)
            return;
        response.ContentType = ContentType;
        response.ContentLength = Body.Length;
        await response.BodyWriter.WriteAsync(Body, context.RequestAborted).ConfigureAwait(false);
    }

    public static string ETagOf(string versionId) => $"W/\"{versionId}\"";
}
