using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Transport;

namespace KantaGateway.Repository.Interactions;

/// <summary>A complete answer: nothing that can fail is left to do when its first byte is sent.</summary>
sealed record Answer(int Status, ReadOnlyMemory<byte> Body, IReadOnlyList<ManifestItem> Items)
{
    /// <summary>Bytes of resources on one page of a search or history; a page holds at least one, however large.</summary>
    public const int MaxPage = 8 << 20;

    /// <summary>Of a body that is no FHIR resource and leaves as it is; null for a resource, which takes the form that was asked for.</summary>
    public string? ContentType { get; init; }

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
        // The one place where an answer takes another form than the stored one: the digest is of the bytes that leave.
        var presentation = Presentation.Decode(context.Request.Headers[InternalHeaders.Presentation]);
        var body = ContentType is null ? presentation.Apply(Body) : Body;
        if (HasManifest)
            headers[InternalHeaders.Manifest] = DisclosureManifest.Of(Items, body.Span).Encode();
        if (body.IsEmpty)
            return;
        response.ContentType = ContentType ?? presentation.ContentType;
        response.ContentLength = body.Length;
        await response.BodyWriter.WriteAsync(body, context.RequestAborted).ConfigureAwait(false);
    }

    public static string ETagOf(string versionId) => $"W/\"{versionId}\"";
}
